"""What `vlahub inspect` says of Alpamayo-R1: its parts, its action space in units, and its prompt."""

from collections.abc import Mapping
from typing import Any

from ...configuration.alpamayo_r1.alpamayo_weight_parts import ALPAMAYO_PARTS
from ..family_inspection import (
    Dimension,
    FamilyInspection,
    ModelFacts,
    RunFacts,
    RunPlan,
    StatisticsTable,
)
from .options import VLM
from .releases import LATER, release_of

DIMENSIONS = (("acceleration", "accel", "m/s^2"), ("curvature", "curvature", "1/m"))


def action_space(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings of the unicycle action space, in our config.json and in the published one."""
    return config.get("action_space_cfg") or {}


def alpamayo_facts(config: Mapping[str, Any], processor: Mapping[str, Any]) -> ModelFacts:
    space, diffusion = action_space(config), config.get("diffusion_cfg") or {}
    steps, chunk = diffusion.get("num_inference_steps"), space.get("n_waypoints")
    request = processor.get("request")
    history, future = config.get("tokens_per_history_traj"), config.get("tokens_per_future_traj")
    return ModelFacts(
        predicts="trajectories",
        action_head="flow matching over the language model's keys and values",
        action_dim=len(DIMENSIONS),
        num_action_chunks=chunk,
        view_names=config.get("view_names") or processor.get("view_names"),
        num_inference_steps=steps,
        prompt=f"{processor['system_prompt']} ... {request}" if request and processor.get("system_prompt") else None,
        choices={
            "release": LATER if release_of(config).name == LATER else None,
            "time step": f"{space['dt']} s" if space.get("dt") else None,
            "history": f"{history} tokens" if history else None,
            "trajectory as text": f"{future} tokens" if future else None,
            "base model": config.get("vlm_name_or_path"),
        },
    )


def alpamayo_statistics(statistics: Mapping[str, Any], config: Mapping[str, Any]) -> list[StatisticsTable]:
    """Of the action space: it is normalised by constants of the config, and not by statistics of a dataset."""
    space = action_space(config)
    if not all(f"{key}_{name}" in space for _, key, _ in DIMENSIONS for name in ("mean", "std")):
        return []
    dimensions = [
        Dimension(name, unit, *(space.get(f"{key}_bounds") or (None, None)), space[f"{key}_mean"], space[f"{key}_std"])
        for name, key, unit in DIMENSIONS
    ]
    return [StatisticsTable("action space", "action", "bounds", dimensions)]


def alpamayo_plans(facts: RunFacts) -> list[RunPlan]:
    """Of a published model, whose tokenizer and image settings are those of its base."""
    plan, base = RunPlan(), facts.config.get("vlm_name_or_path")
    if base:
        plan.know("base model", base, "read (config.json)")
    plan.need(f"--{VLM} {base or 'BASE'}", "tokenizer, config and image settings of its base model are not in it")
    return [plan]


def uses_of_base(config: Mapping[str, Any]) -> list[str]:
    """A Qwen3-VL is what it starts from."""
    is_base = config.get("model_type") == "qwen3_vl"
    return ["vlahub create --family alpamayo_r1 --base PLACE --output OUTPUT"] if is_base else []


INSPECTION = FamilyInspection(
    parts=ALPAMAYO_PARTS,
    facts=alpamayo_facts,
    statistics=alpamayo_statistics,
    plans=alpamayo_plans,
    uses=uses_of_base,
)
