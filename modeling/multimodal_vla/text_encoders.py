"""Text models of a composed VLA: language models, and encoders, all of whose tokens see each other."""

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForTextEncoding, PretrainedConfig

from ...configuration.multimodal_vla.proven_backbones import is_headless
from .language_masks import encoder_mask


def text_model_class(text_config: PretrainedConfig) -> type:
    """The Auto class of a text model; RoBERTa and its kind keep their head also as encoders: checkpoints have it."""
    return AutoModelForTextEncoding if is_headless(text_config) else AutoModelForCausalLM


def bidirectional_states(encoder: nn.Module, embeds: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """States of an encoder, (batch, tokens, hidden_size), each row as it is without its padding.

    Padding goes behind the tokens first, for some encoders count it, in positions (DistilBERT) or distances (T5).

    embeds: (batch, tokens, hidden_size); real: (batch, tokens) bool, false on padding, anywhere.
    """
    order = real.long().argsort(dim=1, descending=True, stable=True)
    rows = torch.arange(len(real), device=real.device)[:, None]
    mask = encoder_mask(encoder.config, real[rows, order], embeds.dtype)
    states = encoder(inputs_embeds=embeds[rows, order], attention_mask=mask).last_hidden_state
    return states[rows, order.argsort(dim=1)]
