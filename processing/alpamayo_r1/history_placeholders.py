"""The places of a driven path in Alpamayo-R1's prompts, and the tokens that go there."""

from typing import Any

from ...configuration.vla_errors import ConfigError, InputError
from .driving_prompt import IMAGE_TOKEN
from .special_tokens import TRAJ_TOKEN, VALUE_TOKEN


def check_tokens(tokenizer: Any, history_token_start_idx: int, num_values: int) -> None:
    """Raises ConfigError for a tokenizer without the trajectory tokens, or with the history's values at other ids."""
    vocabulary = tokenizer.get_vocab()
    names = (TRAJ_TOKEN["history_start"], TRAJ_TOKEN["history"], TRAJ_TOKEN["history_end"], VALUE_TOKEN.format(0))
    for name in (IMAGE_TOKEN, *names):
        if name not in vocabulary:
            raise ConfigError(f"the tokenizer has no token {name!r}; call add_trajectory_tokens first.")
    first = history_token_start_idx - vocabulary[VALUE_TOKEN.format(0)]
    last = first + num_values - 1
    for value in (first, last):
        found, expected = vocabulary.get(VALUE_TOKEN.format(value)), vocabulary[VALUE_TOKEN.format(0)] + value
        if found != expected:
            raise ConfigError(
                f"history_token_start_idx={history_token_start_idx} with {last - first + 1} values needs "
                f"{VALUE_TOKEN.format(value)!r} at id {expected}; in the tokenizer it is at {found}."
            )


def filled(ids: list[int], history: list[int], placeholder: int, tokens_per_pose: int) -> list[int]:
    """The ids with the history's tokens in place of the placeholders. Raises InputError for another number."""
    count = ids.count(placeholder)
    if count != len(history):
        raise InputError(
            f"the prompt has {count} history placeholders, ego_history_xyz gives {len(history)} tokens; "
            f"num_history_tokens and the number of poses must fit each other: with {tokens_per_pose} tokens a pose, "
            f"give {count // tokens_per_pose} poses."
        )
    tokens = iter(history)
    return [next(tokens) if i == placeholder else i for i in ids]
