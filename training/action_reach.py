"""Which parameters the loss of actions does not depend on."""

from transformers import PreTrainedModel

from ..modeling.new_parts import stack_of

# Of a layer whose keys and values alone are read, what does not matter.
QUERY_SIDE = ("self_attn.q_proj.", "self_attn.q_norm.", "self_attn.o_proj.", "mlp.", "post_attention_layernorm.")


def let_actions_through(model: PreTrainedModel) -> None:
    """Switch `stop_grad_from_vlm` of the config off, where it is on, for a VLM that is to learn from actions alone."""
    if model.config.stop_grad_from_vlm:
        model.config.stop_grad_from_vlm = False


def unreached_by_actions(model: PreTrainedModel) -> set[str]:
    """Names of the language model's parameters that a loss of actions alone does not depend on.

    That follows from what actions read of the language model, `actions_read` of the config. With `stop_grad_from_vlm`
    nothing outside of the model's `action_parts` is reached.
    """
    read = model.config.actions_read
    if read == "logits":
        return set()
    if model.config.stop_grad_from_vlm:
        return {name for name, _ in model.named_parameters() if not name.startswith(model.action_parts)}
    unreached = {id(p) for p in model.get_output_embeddings().parameters()}
    if read != "states":
        stack = stack_of(model.language_part)
        last = stack.layers[-1].named_parameters()
        unreached |= {id(p) for name, p in last if read == "earlier layers" or name.startswith(QUERY_SIDE)}
        unreached |= {id(p) for p in stack.norm.parameters()}
    unreached -= {id(p) for p in model.get_input_embeddings().parameters()}  # where they are tied
    return {name for name, p in model.named_parameters() if id(p) in unreached}
