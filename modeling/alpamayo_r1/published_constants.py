"""Constants that published checkpoints hold as tensors and that here follow from the config."""

from collections.abc import Mapping

import torch

from ...configuration.vla_errors import ConfigError

BF16_ROUNDING = 2**-8  # relative; published checkpoints may have been cast to bfloat16, constants included


def drop_constants(state_dict: dict[str, torch.Tensor], prefix: str, wanted: Mapping[str, torch.Tensor]) -> None:
    """Take constants out of a state dict, in place, after comparing them with the config's.

    wanted: name below `prefix` -> value. Names that the state dict lacks are left alone.

    Raises:
        ConfigError: a stored value differs from the config's by more than rounding to bfloat16, or in shape.
    """
    for name, value in wanted.items():
        stored = state_dict.pop(prefix + name, None)
        if stored is None:
            continue
        stored, value = stored.detach().cpu().double(), value.cpu().double()
        same_shape = stored.shape == value.shape
        if not same_shape or not ((stored - value).abs() <= BF16_ROUNDING * value.abs()).all():
            raise ConfigError(
                f"{prefix}{name} is {stored.tolist()} in the weights, but the config gives {value.tolist()}; "
                "use the config that belongs to these weights."
            )
