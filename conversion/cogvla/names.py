"""The names that tensors of CogVLA, OpenVLA-OFT and OpenVLA have in published files, and in the model."""

from ...configuration.cogvla.openvla_names import OPENVLA_NAMES
from ..tensors.rename import Row

TABLE = [Row(*row) for row in OPENVLA_NAMES]

# Side files by the start of their names: what their keys lack in front.
SIDE_FILES = {
    "vision_backbone": "vision_backbone.",
    "non_lora_trainables": "",
    "action_head": "action_head.",
    "proprio_projector": "proprio_projector.",
    "noisy_action_projector": "noisy_action_projector.",
}


def expected_in(target: str) -> str:
    """The file of a run in which a tensor of the output is usually found; for error messages."""
    if ".film." in target or ".aggregation." in target:
        return "vision_backbone--*_checkpoint.pt"
    if target.startswith("moe_aggregator.") or ".router." in target:
        return "non_lora_trainables--*_checkpoint.pt"
    for kind in ("action_head", "proprio_projector", "noisy_action_projector"):
        if target.startswith(f"{kind}."):
            return f"{kind}--*_checkpoint.pt"
    return "the base model's weights"
