"""README.md of an Alpamayo-R1 checkpoint."""

from pathlib import Path

from huggingface_hub import ModelCardData

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ..assumptions import assumptions_text
from ..mapanything_llava3d.llava3d_card import licence_list, stack_text
from ..model_card import (
    PLACEHOLDER,
    base_licence,
    code,
    filled,
    is_repository,
    listed,
    parameters_text,
    save_card,
)

NUMBERS_OF_A_POSE = 3  # tokens that the history's tokenizer makes of one pose


def write_alpamayo_card(folder: Path, config: AlpamayoR1Config, report: dict, sources: dict[str, Path]) -> None:
    """Fill `model_cards/alpamayo_r1.md`.

    Args:
        report: the content of `conversion_report.json`.
        sources: folders by their role; their own README.md say under which licences they may be passed on.
    """
    licences = {role: base_licence(source) for role, source in sources.items()}
    named = {role: report["inputs"].get(role, role) for role in sources}
    text = filled("alpamayo_r1", card_values(config, report) | {"licence": licence_list(licences, named)})
    save_card(folder, card_metadata(config, report, licences), text, report, config)


def card_metadata(config: AlpamayoR1Config, report: dict, licences: dict[str, dict[str, str]]) -> ModelCardData:
    """What the Hub searches by. The weights are the run's, or the base's that it was merged into; so is the licence."""
    role = "base" if "base" in licences else "run"
    source = report["inputs"].get(role, "")
    return ModelCardData(
        base_model=source if is_repository(source) else None,
        library_name="transformers",
        pipeline_tag="robotics",
        tags=["robotics", "autonomous-driving", "vision-language-action", config.model_type],
        **licences[role],
    )


def card_values(config: AlpamayoR1Config, report: dict) -> dict[str, str]:
    inputs, vision = report["inputs"], config.vlm_config.vision_config
    space = config.action_space_cfg
    return {
        "title": inputs.get("run", "Alpamayo-R1"),
        "repository": PLACEHOLDER,
        "seconds": f"{space['n_waypoints'] * space['dt']:g}",
        "waypoints": str(space["n_waypoints"]),
        "dt": f"{space['dt']:g}",
        "poses": str(config.tokens_per_history_traj // NUMBERS_OF_A_POSE),
        "history_tokens": str(config.tokens_per_history_traj),
        "vision": f"{vision.depth} layers of width {vision.hidden_size}",
        "language": stack_text(config.vlm_config.text_config),
        "expert": stack_text(config.expert_config),
        "min_pixels": f"{config.min_pixels:,}",
        "max_pixels": f"{config.max_pixels:,}",
        "parameters": parameters_text(report),
        "assumed": assumptions_text(report),
        "inputs": listed([f"{role} {code(name)}" for role, name in sorted(inputs.items())]),
    }
