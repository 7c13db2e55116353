"""Pictures of any shape as patches, for a vision tower that reads them with masks and shapes (SigLIP 2 NaFlex)."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import torch

from ...configuration.vla_errors import InputError

SHAPES = {  # what there is of each view
    "pixel_values": "(batch, views, patches, dim)",
    "pixel_attention_mask": "(batch, views, patches)",
    "spatial_shapes": "(batch, views, 2)",
}


class NaflexImages(NamedTuple):
    """All views of a batch.

    Attributes:
        pixel_values: (batch, views, patches, dim), padded.
        pixel_attention_mask: (batch, views, patches), 1 on patches.
        spatial_shapes: (batch, views, 2), rows and columns of patches.
    """

    pixel_values: torch.Tensor
    pixel_attention_mask: torch.Tensor
    spatial_shapes: torch.Tensor

    @property
    def real(self) -> torch.Tensor:
        """(batch, views * patches) bool, false on padding."""
        return self.pixel_attention_mask.flatten(1) != 0

    def further(self, known: Collection[str]) -> dict[str, torch.Tensor]:
        """A tower's arguments beside the pixels, of all views one behind the other; known: names of its arguments."""
        mask = "attention_mask" if "attention_mask" in known else "pixel_attention_mask"  # inside of two, on 4.57
        return {mask: self.pixel_attention_mask.flatten(0, 1), "spatial_shapes": self.spatial_shapes.flatten(0, 1)}


def naflex_images(images: Mapping[str, torch.Tensor]) -> NaflexImages:
    """By the names of the tower's arguments; one view may come without its dimension.

    Raises:
        InputError: an argument is missing or has another shape than the others.
    """
    missing = [name for name in SHAPES if name not in images]
    if missing:
        raise InputError(f"{', '.join(missing)} is missing: this vision tower reads {', '.join(SHAPES)} together.")
    found = [images[name] for name in SHAPES]
    if found[0].dim() == 3:
        found = [value.unsqueeze(1) for value in found]
    pixels, mask, shapes = found
    fits = pixels.dim() == 4 and mask.shape == pixels.shape[:3] and shapes.shape == (*pixels.shape[:2], 2)
    if not fits:
        shown = ", ".join(f"{name} {tuple(images[name].shape)}" for name in SHAPES)
        needed = ", ".join(f"{name} {form}" for name, form in SHAPES.items())
        raise InputError(f"images have the shapes {shown}; {needed}, or without views, are needed.")
    return NaflexImages(pixels, mask, shapes)
