"""Constants in the files of a published Alpamayo-R1, which are no weights: the model computes them from its config."""

import math
from collections.abc import Mapping

import torch

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.vla_errors import ConversionError
from ...modeling.alpamayo_r1.published_constants import BF16_ROUNDING
from ...modeling.alpamayo_r1.waypoint_projection import frequencies
from ..tensors.collected import Collected
from .names import CONSTANT


def constants_of(config: AlpamayoR1Config) -> dict[str, torch.Tensor]:
    """What the published modules keep as buffers, from the config alone."""
    space, projection = config.action_space_cfg, config.action_in_proj_cfg
    names = ("accel_mean", "accel_std", "curvature_mean", "curvature_std")
    found = {f"action_space.{name}": torch.tensor(space[name], dtype=torch.float64) for name in names}
    waves = frequencies(projection["num_fourier_feats"], projection["max_freq"], "cpu")[None].double()
    parts = ("sinus.0", "sinus.1", "timestep_fourier_encoder")
    return found | {f"action_in_proj.{part}.freqs": waves for part in parts}


def check_constants(collected: Collected, config: AlpamayoR1Config) -> None:
    """Compare stored constants with those that the model will compute; bfloat16 may have rounded them.

    Raises:
        ConversionError: one is another number, or unknown; the message names it and both values.
    """
    known: Mapping[str, torch.Tensor] = constants_of(config)
    for source in (left.source for left in collected.leftovers if left.reason == CONSTANT):
        name = source.key.removeprefix("module.")
        if name not in known:
            raise ConversionError(f"{source.file.path} holds the constant {name}; known are {', '.join(known)}.")
        stored, wanted = source.load().double(), known[name]
        if stored.shape != wanted.shape or not ((stored - wanted).abs() <= BF16_ROUNDING * wanted.abs()).all():
            raise ConversionError(
                f"{source.file.path}: {name} is {numbers_text(stored)}, but config.json gives {numbers_text(wanted)}: "
                "was it trained with another config?"
            )


def numbers_text(values: torch.Tensor) -> str:
    """Numbers in six digits, the first ten of them."""
    numbers = [float(f"{value:.6g}") for value in values.reshape(-1)[:10].tolist()]
    text = str(numbers[0] if math.prod(values.shape) == 1 else numbers)
    return text if values.numel() <= 10 else f"{text}, ... ({values.numel()} numbers)"
