"""What navigation changes: one scene driven with it, without it, and with left and right swapped.

Published form: NVlabs/alpamayo1.5, nav_utils.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...configuration.vla_errors import InputError
from .processing_alpamayo_r1 import AlpamayoR1Processor


@dataclass(frozen=True)
class NavigationComparison:
    """What `compare_navigation` returns.

    Attributes:
        nav_text, swapped_text: what was asked, and the same with left and right swapped.
        with_nav, without_nav, swapped: outputs of `sample_trajectories`, from the same noise; `swapped` is `None` where
            the text names neither left nor right.
    """

    nav_text: str
    swapped_text: str
    with_nav: Any
    without_nav: Any
    swapped: Any = None


def swap_direction(nav_text: str) -> str:
    """Navigation with the words left and right swapped, of any case; as published, "Right" keeps its capital as "Left",
    and "left" becomes "right" in small letters."""
    return re.sub(r"\b(left|right)\b", opposite, nav_text, flags=re.IGNORECASE)


def opposite(found: re.Match) -> str:
    word = found[0]
    return "right" if word.lower() == "left" else "left" if word[0].islower() else "Left"


def compare_navigation(
    model: nn.Module,
    data: Mapping[str, Any],
    nav_text: str,
    processor: AlpamayoR1Processor,
    seed: int = 0,
    guidance_weight: float | None = None,
    **sampling: Any,
) -> NavigationComparison:
    """Drive one scene three times, each from the same random numbers.

    Args:
        model: an `AlpamayoR1`; the inputs are brought to its device.
        data: as `load_physical_aiavdataset` returns it: `image_frames` (or `images`), `ego_history_xyz`,
            `ego_history_rot` and, where the model was trained with names of cameras, `camera_indices`.
        nav_text: "Turn left onto Main St in 40m".
        processor: of the checkpoint, whose request, system prompt and resolution no config has.
        seed: of texts and noise.
        guidance_weight: of the drives with navigation. sampling: further arguments of `sample_trajectories`, of all.

    Raises:
        InputError: nav_text is none, data lacks something, or as processor and model say.
    """
    if not isinstance(nav_text, str):
        raise InputError(f"nav_text is a {type(nav_text).__name__}; a text is needed, which is compared with none.")
    frames = data.get("image_frames", data.get("images"))
    missing = [name for name in ("ego_history_xyz", "ego_history_rot") if name not in data]
    if frames is None or missing:
        raise InputError(f"data lacks {', '.join(missing or ['image_frames'])}; it holds {', '.join(data)}.")
    poses = {name: data[name] for name in ("ego_history_xyz", "ego_history_rot")}
    cameras = data.get("camera_indices") if processor.camera_labels else None
    device = next(model.parameters()).device

    def drive(text: str | None, weight: float | None) -> Any:
        inputs = processor(frames, **poses, nav_text=text, camera_indices=cameras).to(device)
        generator = torch.Generator(device).manual_seed(seed)
        return model.sample_trajectories(**inputs, generator=generator, guidance_weight=weight, **sampling)

    other = swap_direction(nav_text)
    swapped = None if other == nav_text else drive(other, guidance_weight)
    return NavigationComparison(nav_text, other, drive(nav_text, guidance_weight), drive(None, None), swapped)
