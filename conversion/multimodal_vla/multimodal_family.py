"""Composed models, as the conversion knows them: born here, so that nothing is converted; adapters are merged."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..family import Family

if TYPE_CHECKING:  # slow to import
    from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig


def write_multimodal_readme(
    folder: Path, config: "MultimodalVLAConfig", report: dict, sources: dict[str, Path]
) -> None:
    from .multimodal_card import write_multimodal_card

    write_multimodal_card(folder, config, report, sources["base"])


MULTIMODAL_VLA = Family(name="multimodal_vla", write_card=write_multimodal_readme)
