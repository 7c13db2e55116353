"""Which parameters a loss does not depend on: known beforehand of one of actions, or found out from a batch."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from ..configuration.vla_errors import InputError
from ..modeling.model_parts import stack_of
from .evaluation import numbers_given_back

# Of a layer whose keys and values alone are read, what does not matter.
QUERY_SIDE = ("self_attn.q_proj.", "self_attn.q_norm.", "self_attn.o_proj.", "mlp.", "post_attention_layernorm.")
# An expert that is a module of its own, as most mixtures have them in transformers 4.57; 5.x stacks their weights.
EXPERT = re.compile(r"(?<=\.experts\.)(expert_)?\d+(?=\.)")


def let_actions_through(model: PreTrainedModel) -> None:
    """Switch `stop_grad_from_vlm` of the config off, where it is on, for a VLM that is to learn from actions alone."""
    if model.config.stop_grad_from_vlm:
        model.config.stop_grad_from_vlm = False


def set_stop_gradient(model: PreTrainedModel, stop: bool, vlm_trains: bool, learns_text: bool) -> None:
    """Set the config's `stop_grad_from_vlm`: whether the VLM learns from text alone, or from actions, too.

    Args:
        vlm_trains: parameters of the VLM shall train, or adapters of it.
        learns_text: there is a loss of text.

    Raises:
        InputError: see `check_stop_gradient`.
    """
    check_stop_gradient(model.config, stop, vlm_trains, learns_text)
    model.config.stop_grad_from_vlm = stop


def check_stop_gradient(config: PretrainedConfig, stop: bool, vlm_trains: bool, learns_text: bool) -> None:
    """Refuse a value of `stop_grad_from_vlm`; the arguments are those of `set_stop_gradient`.

    Raises:
        InputError: the family has no such setting, or the VLM would learn from nothing.
    """
    if "stop_grad_from_vlm" not in vars(config):
        raise InputError(f"stop_grad_from_vlm={stop}: a {config.model_type} has no such setting; leave it out.")
    if stop and vlm_trains and not learns_text:
        raise InputError(
            "stop_grad_from_vlm=True leaves nothing that the VLM could learn from: also learn text, or train stage A."
        )


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
    output = model.get_output_embeddings()
    unreached = set() if output is None else {id(p) for p in output.parameters()}
    if read != "states":
        stack = stack_of(model.language_part)
        last = stack.layers[-1].named_parameters()
        unreached |= {id(p) for name, p in last if read == "earlier layers" or name.startswith(QUERY_SIDE)}
        unreached |= {id(p) for p in stack.norm.parameters()}
    unreached -= {id(p) for p in model.get_input_embeddings().parameters()}  # where they are tied
    return {name for name, p in model.named_parameters() if id(p) in unreached}


def freeze_unreached(model: nn.Module, batch: Mapping[str, Any]) -> list[str]:
    """Freeze the trainable parameters that the loss of a batch does not depend on, and return their names.

    Distributed data-parallel training waits for the gradient of every trainable parameter, and some pretrained models
    have parts that are not run: poolers, text towers, last layers. Costs one forward pass; the random numbers that
    it takes are given back.

    Of a mixture of experts those that no token of the batch is routed to keep training with the others: another batch
    reaches them. Where they are modules of their own, as in transformers 4.57, distributed data-parallel training needs
    `find_unused_parameters=True`, which `vlahub train` sets.

    Args:
        model: one of ours, also inside PEFT.
        batch: arguments of its `forward`, moved to its device here; one sample is enough.

    Raises:
        InputError: the batch has no loss, or gradient checkpointing hides what it depends on.
    """
    return freeze_outside(model, loss_of_batch(model, batch))


def loss_of_batch(model: nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
    """The loss of a batch with its graph; the arguments and what is raised are those of `freeze_unreached`."""
    device = next(model.parameters()).device
    inputs = {name: v.to(device) if isinstance(v, torch.Tensor) else v for name, v in batch.items()}
    inputs.pop("sample_weight", None)  # of one sample, it may be 0
    with numbers_given_back(device), torch.enable_grad():
        loss = model(**inputs).loss
    if loss is None:
        raise InputError(f"a batch of {', '.join(batch)} has no loss; actions or labels are needed.")
    return loss


def freeze_outside(model: nn.Module, loss: torch.Tensor) -> list[str]:
    """Freeze the trainable parameters that a loss does not depend on, and return their names.

    The experts of one mixture are reached where one of them is.
    """
    reached = {id(p) for p in leaves_of(loss)}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    kinds = {of_any_expert(name) for name, p in trained.items() if id(p) in reached}
    names = [name for name, p in trained.items() if id(p) not in reached and of_any_expert(name) not in kinds]
    for name in names:
        trained[name].requires_grad_(False)
    return names


def of_any_expert(name: str) -> str:
    """A parameter's name without the number of its expert, which is that of all experts of its mixture."""
    return EXPERT.sub("*", name)


def chooses_experts(model: nn.Module) -> bool:
    """Whether it depends on a batch which of the trainable parameters it reaches: some are of experts that are modules
    of their own."""
    return any(p.requires_grad and EXPERT.search(name) for name, p in model.named_parameters())


def leaves_of(loss: torch.Tensor) -> list[torch.Tensor]:
    """The tensors that would get a gradient from a loss.

    Raises:
        InputError: a part is checkpointed in the old way, which runs it without a graph.
    """
    seen, waiting, leaves = set(), [loss.grad_fn], []
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == "CheckpointFunctionBackward":
            raise InputError("use_reentrant=True of gradient checkpointing hides what a loss depends on; use False.")
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        waiting += [following for following, _ in node.next_functions]
    return leaves
