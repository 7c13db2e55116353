"""A file for each kind of input."""

from .bodies import Bodies
from .checkpoints import Checkpoints
from .datasets import Datasets
from .headers import Headers
from .images import Images
from .indexes import Indexes
from .pickles import Pickles
from .prompts import Prompts
from .sources import Sources
from .states import States

ALL = (Headers, Indexes, Pickles, Images, Prompts, States, Bodies, Datasets, Checkpoints, Sources)
TARGETS = {target.name: target for target in ALL}
