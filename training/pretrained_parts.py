"""Which parts of our models the loss of actions does not depend on, and which a config keeps out of training."""

from torch import nn

from ..modeling.mapanything_llava3d.dit_layers import block_context
from ..modeling.mapanything_llava3d.llava3d_with_action_expert import stack_of
from ..modeling.new_parts import language_model_of

# What the loss of actions trains where it stops at the VLM's keys and values.
EXPERTS = ("expert.", "action_in_proj.", "action_out_proj.", "action_expert.", "language_model_with_expert.", "dit_")
# Of a layer whose keys and values alone are read, what does not matter.
QUERY_SIDE = ("self_attn.q_proj.", "self_attn.q_norm.", "self_attn.o_proj.", "mlp.", "post_attention_layernorm.")


def frozen_by_config(model: nn.Module) -> list[nn.Parameter]:
    """What the model's own config keeps out of training."""
    if not getattr(model.config, "freeze_vision_tower", False):
        return []
    return list(model.backbone.frozen_part.parameters())


def let_actions_through(model: nn.Module) -> None:
    """Switch `stop_grad_from_vlm` of the config off, where it is on, for a VLM that is to learn from actions alone."""
    if getattr(model.config, "stop_grad_from_vlm", False):
        model.config.stop_grad_from_vlm = False


def unreached_by_actions(model: nn.Module) -> set[str]:
    """Names of the language model's parameters that a loss of actions alone does not depend on.

    Heads that read states need no output embeddings. Experts that read keys and values (deep fusion, Alpamayo-R1) see
    neither the rest of the last layer nor the final norm. A DiT head whose last block looks at its own tokens (blocks
    that alternate, an even number of them) sees nothing of the last layer. With `stop_grad_from_vlm` nothing outside of
    the experts is reached.
    """
    if not has_head_of_its_own(model.config):
        return set()
    if getattr(model.config, "stop_grad_from_vlm", False):
        return {name for name, _ in model.named_parameters() if not name.startswith(EXPERTS)}
    unreached = {id(p) for p in model.get_output_embeddings().parameters()}
    if not reads_last_states(model.config):
        stack, needs_keys = stack_of(language_model_of(model)), reads_last_keys(model.config)
        last = stack.layers[-1].named_parameters()
        unreached |= {id(p) for name, p in last if name.startswith(QUERY_SIDE) or not needs_keys}
        unreached |= {id(p) for p in stack.norm.parameters()}
    unreached -= {id(p) for p in model.get_input_embeddings().parameters()}  # where they are tied
    return {name for name, p in model.named_parameters() if id(p) in unreached}


def has_head_of_its_own(config) -> bool:
    """Whether actions come from another head than the language model's."""
    if config.model_type == "mapanything_llava3d":
        return config.action_expert_type is not None
    return getattr(config, "action_head", None) != "discrete"


def reads_last_keys(config) -> bool:
    """Whether an expert attends to keys and values of the last layer."""
    return config.model_type == "alpamayo_r1" or getattr(config, "has_deep_fusion", False)


def reads_last_states(config) -> bool:
    """Whether a head reads the states after the last layer."""
    if getattr(config, "has_dit", False):
        return block_context(config.dit_config.context, config.dit_config.num_hidden_layers - 1) != "own"
    return not reads_last_keys(config)
