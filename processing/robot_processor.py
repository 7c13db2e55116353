"""What the processors of robots share: samples, the instruction in a prompt, the state, and the statistics' units."""

import copy
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..configuration.language_model_config import check_positive
from ..configuration.normalization_statistics import STATE_PARTS, check_finite, check_statistics, plain
from ..configuration.vla_errors import ConfigError, FarStateWarning, InputError
from ..modeling.action_normalization import find_statistics, normalize
from ..modeling.input_checks import one_of
from .advantage_prompt import ADVANTAGE_TEMPLATE, advantages_of, checked_template, with_advantage
from .portable_processor import PortableProcessor
from .prompts import instruction_of
from .sample_inputs import check_return_tensors, finite_numbers, pair_samples, read_samples
from .state_range import FarValue, far_values

SIZES = frozenset(["state_dim", "proprio_dim"])  # the words for the size of the state
STATE_FORM = "(state_dim,), (batch, state_dim) or (batch, 1, state_dim)"
FAR_STATE = (
    "the state lies far outside of the training data's, and is clipped where a range normalises it: {}. Are units, "
    "order and unnorm_key those of the training?"
)


class RobotProcessor(PortableProcessor):
    """Camera images, an instruction and a state in robot units become the arguments of `predict_action`.

    Args:
        norm_stats: `{unnorm_key: {"action": {...}, "proprio" or "state": {...}}}`, statistics in robot units.
        normalization_type: which of the statistics are used, see `action_normalization`.
        action_dim: values of one action, where the processor reads or writes actions.
        state_dim, proprio_dim: size of the robot's state, under one of its words; `None` for a model without state.
            A subclass has the other word than that on disk as an `alias`.
        prompt_template: what an instruction is put into, at "{instruction}".
        advantage_template: the instruction with a word of `advantage`, at "{instruction}" and "{advantage}".
        padding_side, view_names: as in `PortableProcessor`.

    Raises:
        ConfigError: an argument has the wrong form, or the statistics do not fit the sizes; the message names it.
    """

    state_parts = STATE_PARTS  # names of the state's statistics; the first that there is counts
    image_pattern = ""  # a regular expression for the image tokens of a whole prompt

    def __init__(
        self,
        image_processor: Any,
        tokenizer: Any,
        norm_stats: Mapping[str, Any] | None,
        normalization_type: str,
        action_dim: int | None,
        state_dim: int | None,
        prompt_template: str,
        padding_side: str,
        view_names: Sequence[str] | None,
        proprio_dim: int | None = None,
        advantage_template: str = ADVANTAGE_TEMPLATE,
        **kwargs: Any,
    ):
        if "{instruction}" not in prompt_template:
            raise ConfigError(f"prompt_template={prompt_template!r} has no '{{instruction}}' in it.")
        if None not in (state_dim, proprio_dim) and state_dim != proprio_dim:
            raise ConfigError(
                f"{type(self).__name__} has state_dim={state_dim!r} and proprio_dim={proprio_dim!r}, two words for one "
                "size; give one of them."
            )
        state_dim = proprio_dim if state_dim is None else state_dim
        if state_dim is not None:
            check_positive("state_dim", state_dim)
        self.norm_stats = copy.deepcopy(norm_stats or {})
        self.normalization_type = normalization_type
        self.state_dim = state_dim
        self.prompt_template = prompt_template
        self.advantage_template = checked_template(advantage_template)
        check_statistics(self.norm_stats, normalization_type, action_dim, state_dim)
        self.warned_of: set[tuple[str | None, int]] = set()
        super().__init__(image_processor, tokenizer, padding_side, view_names, **kwargs)

    @classmethod
    def from_args_and_dict(cls, args: Sequence[Any], processor_dict: Mapping[str, Any], **kwargs: Any):
        """As in transformers; a size of the state takes the place of the file's, by whichever word it is given."""
        given = not SIZES.isdisjoint(kwargs)
        kept = {name: value for name, value in processor_dict.items() if not (given and name in SIZES)}
        return super().from_args_and_dict(args, kept, **kwargs)

    def read(
        self,
        images: Any,
        text: str | Sequence[str],
        state: Any,
        proprio: Any,
        unnorm_key: str | Sequence[str] | None,
        return_tensors: str | None,
    ) -> tuple[list[list[np.ndarray]], list[str], dict[str, np.ndarray]]:
        """What a call was given: views (height, width, 3) uint8 and instruction of each sample, and the state.

        The state is `{"state": (batch, state_dim)}`, normalised; empty for a model without. Raises InputError where the
        arguments do not fit each other or the processor.
        """
        check_return_tensors(return_tensors)
        samples, instructions = pair_samples(images, text)
        samples = read_samples(samples, self.image_processor.num_images_in_input, self.view_names)
        rows = self.normalize_state(one_of(state=state, proprio=proprio), len(samples), unnorm_key)
        return samples, instructions, {} if rows is None else {"state": rows.numpy()}

    def instruction_of(self, text: str) -> str:
        """The instruction in the whole prompt of the template, with image tokens or not; other texts as they are."""
        head, *_, tail = self.prompt_template.split("{instruction}")
        return instruction_of(text, head, tail, self.image_pattern)

    def advantages(self, advantage: str | Sequence[str | None] | None, batch_size: int) -> list[str | None]:
        """The word of each sample, see `advantages_of`."""
        return advantages_of(advantage, batch_size)

    def with_advantage(self, instruction: str, advantage: str | None) -> str:
        """The instruction with the word, as `advantage_template` says; without a word itself."""
        return with_advantage(self.advantage_template, instruction, advantage)

    def normalize_state(
        self, state: Any, batch_size: int, unnorm_key: str | Sequence[str] | None
    ) -> torch.Tensor | None:
        """(batch, state_dim) float32 in -1..1 (or standard deviations); `None` for a model without state.

        Args:
            state: in robot units, (state_dim,) for a batch of one, (batch, state_dim) or (batch, 1, state_dim).
            unnorm_key: whose statistics; a list has one for each sample.

        Raises:
            InputError: the state is missing or not wanted, has another shape or is not finite, or a key is unknown,
                ambiguous, or missing for a sample.
        """
        if self.state_dim is None:
            if state is not None:
                raise InputError("state was given, but this checkpoint takes no robot state (state_dim is None).")
            return None
        rows = state_rows(state, batch_size, self.state_dim)
        if not isinstance(unnorm_key, (list, tuple)):
            statistics = self.state_statistics(unnorm_key)
            self.warn_of(far_values(rows.numpy(), statistics), unnorm_key)
            return normalize(rows, statistics, self.normalization_type)
        if len(unnorm_key) != batch_size:
            raise InputError(
                f"unnorm_key has {len(unnorm_key)} entries, the batch {batch_size} rows; they must be as many."
            )
        statistics = [self.state_statistics(key) for key in unnorm_key]
        for key, row, own in zip(unnorm_key, rows, statistics, strict=True):
            self.warn_of(far_values(row[None].numpy(), own), key)
        return torch.stack([normalize(*pair, self.normalization_type) for pair in zip(rows, statistics, strict=True)])

    def warn_of(self, found: Sequence[FarValue], unnorm_key: str | None) -> None:
        """Warn of values far outside of the statistics, once of each dimension: a robot asks many times a second."""
        if new := [value for value in found if (unnorm_key, value.dimension) not in self.warned_of]:
            self.warned_of.update((unnorm_key, value.dimension) for value in new)
            text = FAR_STATE.format("; ".join(map(str, new)))
            warnings.warn(text, FarStateWarning, stacklevel=5)  # where the processor is called

    def far_values(self, state: Any, unnorm_key: str | None) -> list[FarValue]:
        """What of one state, as a call takes it, lies far outside of the statistics; nothing for a model without.

        Raises:
            InputError: see `normalize_state`.
        """
        if self.state_dim is None or state is None:
            return []
        return far_values(state_rows(state, 1, self.state_dim).numpy(), self.state_statistics(unnorm_key))

    def state_statistics(self, unnorm_key: str | None) -> dict[str, Any]:
        """Raises InputError for an unknown or ambiguous key, and for statistics without a state."""
        statistics = find_statistics(self.norm_stats, unnorm_key)
        found = [statistics[part] for part in self.state_parts if part in statistics]
        if not found:
            names = " or ".join(map(repr, self.state_parts))
            raise InputError(f"the statistics of unnorm_key={unnorm_key!r} have no {names} part to normalise by.")
        return found[0]

    def action_statistics(self, unnorm_key: str | None) -> dict[str, Any]:
        """Raises InputError for an unknown or ambiguous key."""
        return find_statistics(self.norm_stats, unnorm_key)["action"]

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> None:
        """As in `PortableProcessor`.

        Raises:
            ConfigError: statistics that were put into the processor hold a number that is not finite: JSON has no such.
        """
        check_finite(self.norm_stats, "norm_stats")
        self.norm_stats = plain(self.norm_stats)
        super().save_pretrained(save_directory, push_to_hub, **kwargs)


def state_rows(state: Any, batch_size: int, state_dim: int) -> torch.Tensor:
    """The state as a caller gives it, in any form of `STATE_FORM` -> (batch, state_dim) float64."""
    if state is None:
        raise InputError(f"state is missing: this checkpoint needs the robot's {state_dim} state values.")
    values = finite_numbers("state", state, STATE_FORM, torch.float64)
    if values.dim() == 3:
        values = values.squeeze(1)
    if values.dim() == 1 and batch_size == 1:
        values = values.unsqueeze(0)
    if values.shape != (batch_size, state_dim):
        raise InputError(f"state has shape {tuple(values.shape)}; (batch, state_dim) is {(batch_size, state_dim)}.")
    return values
