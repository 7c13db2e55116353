"""README.md of a composed model into which adapters were merged."""

from pathlib import Path

from huggingface_hub import ModelCardData

from ...configuration.checkpoint_card import PLACEHOLDER, card_body
from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ..model_card import base_licence, code, filled, is_repository, licence_text, listed, parameters_text, save_card


def write_multimodal_card(folder: Path, config: MultimodalVLAConfig, report: dict, base_folder: Path) -> None:
    """Fill `model_cards/multimodal_vla.md`; the usage is what `save_pretrained` writes, too."""
    licence = base_licence(base_folder)
    base = report["inputs"].get("base", "")
    metadata = ModelCardData(
        base_model=base if is_repository(base) else None,
        datasets=[key for key in sorted(config.norm_stats) if is_repository(key)] or None,
        library_name="transformers",
        pipeline_tag="robotics",
        tags=["robotics", "vision-language-action", config.model_type],
        **licence,
    )
    values = {
        "usage": card_body(config, PLACEHOLDER),
        "parameters": parameters_text(report),
        "inputs": listed([f"{role} {code(name)}" for role, name in sorted(report["inputs"].items())]),
        "licence": licence_text(licence),
    }
    save_card(folder, metadata, filled("multimodal_vla", values), report, config)
