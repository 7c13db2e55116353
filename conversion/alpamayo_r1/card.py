"""What README.md of an Alpamayo-R1 checkpoint says."""

from typing import Any

from ..family_card import Card, Origin, licence_list, new_text, stack_text, untrained_text

NUMBERS_OF_A_POSE = 3  # tokens that the history's tokenizer makes of one pose
CONSTANTS = """ What the published files hold as buffers (statistics of the actions, frequencies) was compared
with the config, from which the model computes it."""
ROWS = """ Embeddings and output embeddings have {count} new rows, around the mean of the base's, for the tokens of
trajectories."""


def alpamayo_values(config: Any, report: dict) -> dict[str, str]:
    """config: an `AlpamayoR1Config`."""
    vision, space = config.vlm_config.vision_config, config.action_space_cfg
    return {
        "warning": untrained_text(report),
        "constants": CONSTANTS if "vlm" in report["inputs"] else "",
        "new": new_text(report) + new_rows_text(report),
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
    }


def new_rows_text(report: dict) -> str:
    """Of embeddings that grew."""
    count = report["settings"].get("new_embedding_rows", {}).get("value", 0)
    return ROWS.format(count=count) if count else ""


def origin(inputs: dict[str, str], licences: dict[str, dict[str, str]]) -> Origin:
    """The weights are the run's, or the base's that it was merged into; of the vision-language model none are read."""
    role = "base" if "base" in licences else "run"
    return Origin(inputs.get(role, ""), licences[role], licence_list(licences, inputs))


CARD = Card(
    template="alpamayo_r1",
    title="Alpamayo-R1",
    values=alpamayo_values,
    tags=("robotics", "autonomous-driving", "vision-language-action"),
    origin=origin,
)
