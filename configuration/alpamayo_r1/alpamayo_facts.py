"""What the card of an Alpamayo-R1 checkpoint says about its parts and its action space."""

from typing import Any

from ..card_markdown import layers_text, sections, stack_text, table

DIMENSIONS = (("acceleration", "m/s^2", "accel"), ("curvature", "1/m", "curvature"))
HEADER = ("dimension", "name", "unit", "min", "max", "mean", "std", "normalised")
ACTIONS = """## Actions

One trajectory is {waypoints} actions, {dt} s apart, which are integrated to poses of the car: `pred_xyz` in metres and
`pred_rot`, in the frame of the last pose of the driven path (x ahead, y left, z up)."""


def alpamayo_facts(config: Any) -> dict[str, str]:
    """Rows of the table, Markdown by name; config: an `AlpamayoR1Config`."""
    vision, space = config.vlm_config.vision_config, config.action_space_cfg
    steps = f"flow matching in {config.num_inference_steps} steps"
    return {
        "vision tower": layers_text(vision.depth, vision.hidden_size),
        "language model": f"Qwen3-VL, {stack_text(config.vlm_config.text_config)}",
        "expert": f"{stack_text(config.expert_config)}, over the keys and values of the language model; {steps}",
        "trajectory": f"{space['n_waypoints']} waypoints, {space['dt']:g} s apart",
        "history": f"{config.num_history_poses} poses as {config.tokens_per_history_traj} tokens",
        "prompt's cameras": "named, with numbers of frames" if config.camera_labels else "in order, without names",
        "images": f"resized to between {config.min_pixels:,} and {config.max_pixels:,} pixels",
    }


def alpamayo_does(config: Any) -> str:
    seconds = config.action_space_cfg["n_waypoints"] * config.action_space_cfg["dt"]
    return (
        "A driving model that reasons: from camera frames and the path just driven to a text about the scene, and from "
        f"there to trajectories of the next {seconds:g} seconds"
    )


def alpamayo_actions(config: Any) -> str:
    """The section about actions, whose statistics are part of the config."""
    space = config.action_space_cfg
    rows = []
    for i, (name, unit, field) in enumerate(DIMENSIONS):
        numbers = (*space[f"{field}_bounds"], space[f"{field}_mean"], space[f"{field}_std"])
        rows.append([str(i), name, unit, *(f"{float(value):.4g}" for value in numbers), "yes"])
    text = ACTIONS.format(waypoints=space["n_waypoints"], dt=f"{space['dt']:g}")
    return sections(text, table(HEADER, rows))
