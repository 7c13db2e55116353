"""The tokens that Alpamayo-R1 adds, for processors and for scripts that import them from here.

They are `trajectory_vocabulary.py`'s, for the model needs them to begin from a base.
"""

from ...configuration.alpamayo_r1.trajectory_vocabulary import SPECIAL_TOKEN_KEYS as KEYS
from ...configuration.alpamayo_r1.trajectory_vocabulary import SPECIAL_TOKENS as TOKENS
from ...configuration.alpamayo_r1.trajectory_vocabulary import TRAJ_TOKEN as MARKERS
from ...configuration.alpamayo_r1.trajectory_vocabulary import VALUE_TOKEN as VALUE
from ...configuration.alpamayo_r1.trajectory_vocabulary import add_trajectory_tokens as add_tokens

SPECIAL_TOKEN_KEYS, SPECIAL_TOKENS, TRAJ_TOKEN, VALUE_TOKEN = KEYS, TOKENS, MARKERS, VALUE
add_trajectory_tokens = add_tokens
