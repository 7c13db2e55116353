"""The tokens that Alpamayo-R1 adds to the tokenizer of its vision-language model, in the published order.

First one token for each value of a trajectory token, `<i0>`, `<i1>`, ...; then either every special token that the base
tokenizer lacks, or (`add_special_tokens=False`) only the six of `TRAJ_TOKEN`, in the order of that table. The order
decides the ids, and with them the rows of the embedding. Published form: NVlabs/alpamayo, models/base_model.py.
"""

from collections.abc import Mapping
from typing import Any

from ..vla_errors import ConfigError

VALUE_TOKEN = "<i{}>"
TRAJ_TOKEN = {
    "history": "<|traj_history|>",
    "future": "<|traj_future|>",
    "history_start": "<|traj_history_start|>",
    "future_start": "<|traj_future_start|>",
    "history_end": "<|traj_history_end|>",
    "future_end": "<|traj_future_end|>",
}
SPECIAL_TOKEN_KEYS = (
    "prompt_start",
    "prompt_end",
    "image_start",
    "image_pre_tkn",
    "image_end",
    "traj_history_start",
    "traj_history_pre_tkn",
    "traj_history_end",
    "cot_start",
    "cot_end",
    "meta_action_start",
    "meta_action_end",
    "traj_future_start",
    "traj_future_pre_tkn",
    "traj_future_end",
    "traj_history",
    "traj_future",
    "image_pad",
    "vectorized_wm",
    "vectorized_wm_start",
    "vectorized_wm_end",
    "vectorized_wm_pre_tkn",
    "route_start",
    "route_pad",
    "route_end",
    "question_start",
    "question_end",
    "answer_start",
    "answer_end",
)
SPECIAL_TOKENS = {key: f"<|{key}|>" for key in SPECIAL_TOKEN_KEYS}
# Alpamayo 1.5 has other names for what it does not write, at the same ids.
RESERVED_KEYS = (
    "image_pre_tkn",
    "traj_history_pre_tkn",
    "meta_action_start",
    "meta_action_end",
    "traj_future_pre_tkn",
    "vectorized_wm",
    "vectorized_wm_start",
    "vectorized_wm_end",
    "vectorized_wm_pre_tkn",
)
LATER_TOKENS = SPECIAL_TOKENS | {key: f"<|_padding_{i}|>" for i, key in enumerate(RESERVED_KEYS)}
OF_BASE = ("image_pad",)  # a Qwen3-VL's own


def add_trajectory_tokens(
    tokenizer: Any, traj_vocab_size: int, add_special_tokens: bool = True, later_names: bool = False
) -> dict[str, Any]:
    """Add the tokens to `tokenizer` in place; one that holds them already, under the names of either release, stays as
    it is.

    Args:
        traj_vocab_size: number of trajectory values: those of the future's tokenizer, then those of the history's.
        add_special_tokens: whether all special tokens are added, as in the release, or only those of `TRAJ_TOKEN`.
        later_names: give reserved tokens the names that they have in Alpamayo 1.5 (`LATER_TOKENS`).

    Returns:
        `traj_token_start_idx` (id of `<i0>`), `traj_token_ids` (by the keys of `TRAJ_TOKEN`), `special_token_ids` (by
        `SPECIAL_TOKEN_KEYS`; `None` for a token that is not there) and `vocab_size` (with the added tokens).

    Raises:
        ConfigError: the tokenizer holds some of the tokens, or another number or order of them; it was not changed.
    """
    if not isinstance(traj_vocab_size, int) or isinstance(traj_vocab_size, bool) or traj_vocab_size < 1:
        raise ConfigError(f"traj_vocab_size={traj_vocab_size!r} must be a whole number above 0.")
    values = [VALUE_TOKEN.format(i) for i in range(traj_vocab_size)]
    vocabulary = tokenizer.get_vocab()
    there = values[0] in vocabulary
    names = names_in(vocabulary) if there else LATER_TOKENS if later_names else SPECIAL_TOKENS
    special = list((names if add_special_tokens else TRAJ_TOKEN).values())
    if there:
        _check_tokens(vocabulary, values, special)
    else:
        present = [token for token in (*values, *TRAJ_TOKEN.values()) if token in vocabulary]
        if present:
            raise ConfigError(f"the tokenizer holds {present[0]!r} but not {values[0]!r}; begin with the base one.")
        tokenizer.add_tokens(values)
        tokenizer.add_tokens(special, special_tokens=True)
        vocabulary = tokenizer.get_vocab()
    return {
        "traj_token_start_idx": vocabulary[values[0]],
        "traj_token_ids": {key: vocabulary[token] for key, token in TRAJ_TOKEN.items()},
        "special_token_ids": {key: vocabulary.get(token) for key, token in names.items()},
        "vocab_size": len(tokenizer),
    }


def names_in(vocabulary: dict[str, int]) -> dict[str, str]:
    """The names of the special tokens in a tokenizer that has them, `SPECIAL_TOKENS` or `LATER_TOKENS`."""
    first = RESERVED_KEYS[0]
    is_later = SPECIAL_TOKENS[first] not in vocabulary and LATER_TOKENS[first] in vocabulary
    return LATER_TOKENS if is_later else SPECIAL_TOKENS


def special_token_id(key: str, traj_token_ids: Mapping[str, int], add_special_tokens: bool) -> int | None:
    """The id of a special token, by its key in `SPECIAL_TOKEN_KEYS`; `None` where a model has only `TRAJ_TOKEN`.

    Those that a Qwen3-VL does not have stand in their order, one behind the other.
    """
    added = [key for key in SPECIAL_TOKEN_KEYS if key not in OF_BASE]
    if not add_special_tokens:
        return None
    return traj_token_ids["history"] + added.index(key) - added.index("traj_history")


def _check_tokens(vocabulary: dict[str, int], values: list[str], special: list[str]) -> None:
    """Refuse a tokenizer whose trajectory tokens are not the ones that would be added, one after the other."""
    missing = [token for token in values + special if token not in vocabulary]
    if missing:
        raise ConfigError(
            f"the tokenizer holds {values[0]!r} already but lacks {missing[0]!r}: traj_vocab_size={len(values)} or "
            "add_special_tokens differs from what it was made with."
        )
    first = vocabulary[values[0]]
    added = values + [token for token in special if vocabulary[token] >= first]  # the others are the base tokenizer's
    for i, token in enumerate(added):
        if vocabulary[token] != first + i:
            raise ConfigError(
                f"the tokenizer has {token!r} at id {vocabulary[token]}, expected {first + i}: traj_vocab_size="
                f"{len(values)} or add_special_tokens differs from what it was made with."
            )
