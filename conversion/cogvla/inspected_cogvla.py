"""What `vlahub inspect` says of CogVLA, OpenVLA-OFT and OpenVLA: parts, schedules, and what a run leaves open."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...configuration.cogvla.cogvla_facts import PROMPT
from ...configuration.cogvla.cogvla_weight_parts import COGVLA_PARTS
from ...configuration.cogvla.openvla_names import cogvla_parts, has_cogvla_fields, parts_found
from ...configuration.cogvla.pruning_schedule import lfp_keep_ratios
from ...configuration.vla_errors import ConfigError
from ..family_inspection import FamilyInspection, ModelFacts, RunFacts, RunPlan, robot_facts
from .options import PLATFORMS
from .run_names import NO_CROP_KNOWN, crop_of

SIDE_FILE_WORDS = {
    "vision_backbone": "vision towers with FiLM and aggregation tokens",
    "non_lora_trainables": "MoE aggregator and routers of token pruning, or the projector",
    "action_head": "action head",
    "proprio_projector": "projector of the robot's state",
    "noisy_action_projector": "projector of noisy actions, of a diffusion head",
}
ATTENTION = {"block": "CogVLA", "bidirectional": "OpenVLA-OFT", "causal": "OpenVLA"}


def cogvla_facts(config: Mapping[str, Any], processor: Mapping[str, Any]) -> ModelFacts:
    """Of a converted checkpoint, or of a published config.json, which says less."""
    text = config.get("text_config") or {}
    lfp = text if "action_attention" not in config else config  # published configs have it in text_config
    ratios, attention = keep_ratios(lfp, text), config.get("action_attention")
    choices = {
        "action attention": f"{attention} ({ATTENTION.get(attention, 'unknown')})" if attention else None,
        "fusion of the towers": config.get("vision_aggregate_type"),
        "FiLM": config.get("use_film"),
        "aggregation tokens a view": config.get("num_vision_aggr") if config.get("use_aggr") else None,
        "token pruning (LFP)": lfp.get("lfp_type") if ratios else None,
        "diffusion steps": config.get("num_diffusion_steps") if config.get("action_head") == "diffusion" else None,
    }
    facts = robot_facts(config, processor, choices)
    facts.prompt, facts.token_pruning = PROMPT, ratios
    return facts


def keep_ratios(lfp: Mapping[str, Any], text: Mapping[str, Any]) -> dict[int, float]:
    """`{layer: share of vision tokens kept}`; empty where nothing is pruned, or the schedule is unknown."""
    if not lfp.get("use_lfp") or not text.get("num_hidden_layers"):
        return {}
    layers, average = text["num_hidden_layers"], lfp.get("lfp_average_factor")
    schedule = lfp.get("lfp_schedule_layers") or 32  # as converted checkpoints carry it
    try:
        return lfp_keep_ratios(lfp["lfp_type"], 0.5 if average is None else average, layers, schedule)
    except (ConfigError, KeyError, TypeError):
        return {}


def cogvla_plans(facts: RunFacts) -> list[RunPlan]:
    """What a merge would read and infer (as settings.py and checkpoint.py do), and the options that it would ask for.

    Discrete tokens of OpenVLA-OFT and plain OpenVLA leave the same files: two plans.
    """
    found = parts_found(facts.shapes)
    others = [kind for kind in facts.side_files if kind not in ("vision_backbone", "non_lora_trainables")]
    is_cogvla = has_cogvla_fields(facts.config) or cogvla_parts(found)
    if found["action_head"] == "discrete" and (others or not is_cogvla):
        plain = plan_of(facts, found, "if it predicts token by token (OpenVLA)", ["--decoding autoregressive"])
        parallel = plan_of(facts, found, "if it predicts a chunk at once (OpenVLA-OFT)", ["--decoding parallel"])
        add_unrecorded(facts, found, parallel)
        return [plain, parallel]
    plan = plan_of(facts, found)
    if has_cogvla_fields(facts.config):
        plan.know("action_attention", "block", "inferred (CogVLA's fields in config.json)")
    elif cogvla_parts(found):
        plan.know("action_attention", "unknown", "config.json is the base's: copy the run's own beside its files")
    else:
        plan.know("action_attention", "bidirectional", "inferred (continuous head: OpenVLA-OFT)")
    add_unrecorded(facts, found, plan)
    return [plan]


def plan_of(facts: RunFacts, found: Mapping[str, Any], words: str = "", given: Sequence[str] = ()) -> RunPlan:
    """What files and names tell; found: see `parts_found`."""
    plan = RunPlan(words=words, given=list(given))
    how = "inferred (no action head in the files)" if found["action_head"] == "discrete" else "read (tensors)"
    plan.know("action_head", found["action_head"], how)
    for name, place in (("action_dim", "action head"), ("state_dim", "state projector")):
        if found.get(name) is not None:
            plan.know(name, found[name], f"read ({place})")
    for name in ("use_film", "vision_aggregate_type", "num_vision_aggr", "use_lfp"):
        if name in found:
            plan.know(name, found[name], "read (tensors)")
    text = facts.config.get("text_config") or {}
    for name in ("lfp_type", "lfp_average_factor") if found["use_lfp"] else ():
        if text.get(name) is not None:
            plan.know(name, text[name], "read (config.json)")
    if facts.statistics:
        plan.know("norm_stats", sorted(facts.statistics), "read")
    else:
        plan.need("--statistics FILE", "actions cannot be un-normalised without the statistics of the training data")
    crop = crop_of(facts.name)
    plan.know("center_crop", *(crop or (False, f"assumed ({NO_CROP_KNOWN}; --center-crop says otherwise)")))
    return plan


def add_unrecorded(facts: RunFacts, found: Mapping[str, Any], plan: RunPlan) -> None:
    """The options for what no file of a model that predicts chunks records."""
    plan.need("--num-images N", "no file says how many camera views a sample has")
    plan.need(
        "--platform PLATFORM",
        "no file says the length of a chunk and the normalisation: "
        f"{', '.join(PLATFORMS)}; or --num-action-chunks N and --normalization KIND",
    )
    said = [facts.config.get(name) for name in ("num_diffusion_steps", "num_diffusion_steps_train")]
    if found["action_head"] == "diffusion" and not any(said):
        plan.need("--num-diffusion-steps N", "no file says with how many steps the head was trained (published: 50)")


def uses_of_base(config: Mapping[str, Any]) -> list[str]:
    """A published OpenVLA is the base of a merge and the start of a training."""
    if config.get("model_type") != "openvla":
        return []
    return [
        "vlahub merge-lora --base PLACE --adapter RUN --output OUTPUT",
        "vlahub create --family cogvla --base PLACE --output OUTPUT",
    ]


INSPECTION = FamilyInspection(
    parts=COGVLA_PARTS,
    facts=cogvla_facts,
    side_files=SIDE_FILE_WORDS,
    plans=cogvla_plans,
    uses=uses_of_base,
)
