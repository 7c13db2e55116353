"""What `vlahub inspect` says of LLaVA-3D models: their parts, their experts, and what a run leaves open."""

from collections.abc import Mapping
from typing import Any

from ...configuration.mapanything_llava3d.llava3d_weight_parts import LLAVA3D_PARTS
from ..family_inspection import (
    FamilyInspection,
    ModelFacts,
    RunFacts,
    RunPlan,
    robot_facts,
)
from .geometry_heads import CHANNELS, has_usual_heads, sharing_heads

EXPERT_WORDS = {"deep_fusion": "flow matching, joined to the language model's layers", "dit": "DiT head"}
BASE_TYPES = ("llava_llama", "llava_mistral", "llama", "mistral")


def llava3d_facts(config: Mapping[str, Any], processor: Mapping[str, Any]) -> ModelFacts:
    kind, geometry = config.get("action_expert_type"), config.get("use_geometric_branch", True)
    choices = {
        "experts": " and ".join(EXPERT_WORDS.get(each, each) for each in kind.split("+")) if kind else None,
        "robots (embodiments)": config.get("num_embodiments"),
        "geometry branch": f"MapAnything, pixels {config.get('geometry_normalization')}" if geometry else "none",
        "attention in the prefix": config.get("prefix_attention"),
        "ODE solver": config.get("ode_solver"),
    }
    facts = robot_facts(config, processor, choices)
    facts.action_head, facts.predicts = kind, "text" if kind == "none" else "actions"
    return facts


def llava3d_plans(facts: RunFacts) -> list[RunPlan]:
    """Of a run of the framework, whose weights have names of their own, or of a published model."""
    plan = RunPlan()
    framework = facts.config.get("framework") or {}
    if framework.get("name"):
        plan.know("framework", framework["name"], "read (config)")
    if facts.shapes:
        has_geometry = any(name.startswith("geometric_model.") for name in facts.shapes)
        plan.know("geometry branch", has_geometry, "read (tensors)")
        if has_geometry and sharing_heads(facts.config.get("mapanything_config") or {}) is None:
            settle_heads(plan, facts)
    if facts.statistics:
        plan.know("norm_stats", sorted(facts.statistics), "read")
    else:
        plan.need("--statistics FILE", "actions cannot be un-normalised without the statistics of the training data")
    if not facts.config.get("text_config"):
        plan.need("--language DIR", "the language model's config.json and tokenizer are not in the run")
    if not facts.config.get("vision_config"):
        plan.need("--vision DIR", "the vision tower's config.json is not in the run")
    return [plan]


def settle_heads(plan: RunPlan, facts: RunFacts) -> None:
    """Of the geometry branch, whose heads nothing in the run says."""
    if has_usual_heads(facts.shapes):
        plan.know("geometry_heads", f"{CHANNELS} channels each", "assumed (--geometry DIR)")
    else:
        plan.need("--geometry DIR", "the heads of its MapAnything are in the config.json of that alone")


def uses_of_base(config: Mapping[str, Any]) -> list[str]:
    """Parts that an assembly takes: a SigLIP, a LLaVA-3D (or a Llama, Mistral), a MapAnything."""
    command = "vlahub create --family mapanything_llava3d"
    if config.get("model_type") in BASE_TYPES:
        return [f"{command} --vision SIGLIP --language PLACE --geometry MAPANYTHING --output OUTPUT"]
    if config.get("model_type") in ("siglip", "siglip_vision_model"):
        return [f"{command} --vision PLACE --language LLAVA3D --geometry MAPANYTHING --output OUTPUT"]
    if "info_sharing_config" in config or "encoder_config" in config:
        return [f"{command} --vision SIGLIP --language LLAVA3D --geometry PLACE --output OUTPUT"]
    return []


INSPECTION = FamilyInspection(
    parts=LLAVA3D_PARTS,
    facts=llava3d_facts,
    plans=llava3d_plans,
    uses=uses_of_base,
)
