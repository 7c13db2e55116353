"""Scores of the next token, as a language model of transformers makes them of its own last states."""

import torch
from torch import nn

from ...configuration.multimodal_vla.backbone_facts import LOGIT_DIVISORS, LOGIT_FACTORS


def language_logits(model: nn.Module, states: torch.Tensor) -> torch.Tensor:
    """(..., vocabulary) of states (..., hidden_size) behind the last norm.

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
