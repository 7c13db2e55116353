"""What the card of a CogVLA, OpenVLA-OFT or OpenVLA checkpoint says about its parts."""

from typing import Any

from ..card_markdown import code, stack_text

PROMPT = "In: What action should the robot take to {instruction}?\nOut:"  # published, in all its versions


def cogvla_facts(config: Any) -> dict[str, str]:
    """Rows of the table, Markdown by name; config: a `CogVLAConfig`."""
    towers = config.featurizer_config, config.fused_featurizer_config
    fusion = [code(config.vision_aggregate_type)] + ["FiLM"] * config.use_film
    fusion += [f"{config.num_vision_aggr} aggregation tokens a view"] * config.use_aggr
    steps = ""
    if config.action_head == "diffusion":
        shown = config.num_inference_steps or config.num_diffusion_steps
        steps = f", {shown} of {config.num_diffusion_steps} diffusion steps"
    return {
        "vision towers": f"{' and '.join(map(stack_text, towers))}, {towers[0].image_size} pixels",
        "fusion of the vision towers": ", ".join(fusion),
        "language model": f"Llama, {stack_text(config.text_config)}",
        "pruning of vision tokens": pruning_text(config),
        "action head": f"{code(config.action_head)}, {code(config.action_attention)} attention{steps}",
        "prompt": code(PROMPT),
    }


def pruning_text(config: Any) -> str:
    """The layers that prune, and the least that any keeps."""
    ratios = config.lfp_keep_ratios
    if not ratios:
        return "none"
    least = min(ratios.values())
    return f"layers {min(ratios)} to {max(ratios)}, {code(config.lfp_type)}, down to {100 * least:.0f} % of the tokens"
