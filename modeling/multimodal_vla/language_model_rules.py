"""What differs between language models of transformers: how tokens are counted and scaled, and how scores are made."""

import torch
from torch import nn
from transformers import PretrainedConfig

from ...configuration.multimodal_vla.backbone_facts import (
    LOGIT_DIVISORS,
    LOGIT_FACTORS,
    POSITIONS_BEHIND_PADDING,
    SCALES_INPUTS,
)
from ...configuration.transformers_release import RELEASE
from ..input_checks import check_length
from ..model_watch import part_of_model


def scale_of_inputs(text_config: PretrainedConfig) -> float:
    """The factor that a language model puts on the embeddings that it is given; since 5.4 its table of them does."""
    scales = RELEASE < (5, 4) and text_config.model_type in SCALES_INPUTS
    return text_config.hidden_size**0.5 if scales else 1.0


def first_position(text_config: PretrainedConfig) -> int:
    """The position of the first token that is not padding."""
    return text_config.pad_token_id + 1 if text_config.model_type in POSITIONS_BEHIND_PADDING else 0


def text_positions(real: torch.Tensor, first: int = 0) -> torch.LongTensor:
    """(batch, length): tokens that are not padding, counted; real: (batch, length) bool."""
    return (real.long().cumsum(dim=1) - 1).clamp(min=0) + first


def places_of(text_config: PretrainedConfig) -> int | None:
    """How many tokens a language model has positions for; `None`: as many as one likes."""
    limit = getattr(text_config, "max_position_embeddings", None)
    return None if limit is None else limit - first_position(text_config)


def check_places(embeds: torch.Tensor, text_config: PretrainedConfig) -> None:
    """Refuse embeddings (batch, length, hidden_size) that the language model has no positions for.

    Raises:
        InputError: there are too many; the message says how many there may be.
    """
    check_length({"image, text and action": embeds.shape[1]}, places_of(text_config))


def without_head(language_model: nn.Module) -> nn.Module:
    """The stack of a causal language model; 4.57 does not know that of some, such as Gemma 3, by its name."""
    stack = language_model.base_model
    return getattr(stack, "model", stack) if stack is language_model else stack


def language_logits(model: nn.Module, states: torch.Tensor) -> torch.Tensor:
    """Scores of the next token (..., vocabulary), of states (..., hidden_size) behind the last norm.

    Some models have more than a matrix there: a layer before it (RoBERTa, ModernBERT), a factor, or a soft cap, with
    which their text is trained and written.

    model: of `AutoModelForCausalLM`.
    """
    config, matrix = model.config, model.get_output_embeddings()
    head = getattr(model, "lm_head", matrix)
    if head is matrix:
        logits = matrix(states)
    else:
        logits = head(states)
        if all(module is not matrix for module in head.modules()):
            logits = matrix(logits)
    if config.model_type in LOGIT_FACTORS:
        logits = logits * getattr(config, LOGIT_FACTORS[config.model_type])
    if config.model_type in LOGIT_DIVISORS:
        logits = logits / getattr(config, LOGIT_DIVISORS[config.model_type])
    cap = getattr(config, "final_logit_softcapping", None)
    return logits if cap is None else cap * torch.tanh(logits / cap)


def keep_dtype(model: nn.Module) -> None:
    """Have language models in 16 bits compute in their dtype throughout, where constants of another one would make
    float32 of it, which 4.57 cannot multiply with the next weights: CTRL's positions, and Apertus's activations; and
    the gate of an ERNIE 4.5 in the float32 of what it is given there."""
    for module in model.modules():
        if type(module).__name__ == "CTRLModel":
            module.register_forward_pre_hook(positions_in_dtype)
        if type(module).__name__ == "XIELUActivation":
            module.register_forward_hook(in_dtype_of_input)
        if type(module).__name__ == "Ernie4_5_MoeSparseMoeBlock" and isinstance(module.gate, nn.Linear):
            module.gate.register_forward_pre_hook(weights_in_dtype_of_input)


@part_of_model
def positions_in_dtype(stack: nn.Module, _arguments: tuple) -> None:
    """The hook of `keep_dtype` for CTRL, whose positions no `to` reaches on 4.57."""
    stack.pos_encoding = stack.pos_encoding.to(stack.dtype)


@part_of_model
def in_dtype_of_input(_module: nn.Module, arguments: tuple, output: torch.Tensor) -> torch.Tensor:
    """The hook of `keep_dtype` for an activation whose weights stay bfloat16 in a float16 model of 4.57."""
    return output.to(arguments[0].dtype)


@part_of_model
def weights_in_dtype_of_input(linear: nn.Module, arguments: tuple) -> None:
    """The hook of `keep_dtype` for a layer that a `to` of the model has cast, and its caller counts as float32."""
    linear.to(arguments[0].dtype)
