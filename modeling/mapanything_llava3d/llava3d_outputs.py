"""What the LLaVA-3D model returns."""

from dataclasses import dataclass

import torch
from transformers import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast, ModelOutput

from ..cache_names import OUTPUT_NAME, OutputWithCache


@dataclass
class MapAnythingLlava3DOutput(OutputWithCache):
    """What `forward` returns.

    Attributes:
        loss: the sum of `action_loss` and `lm_loss`, of those that there are.
        lm_loss: cross entropy of the next token, where labels were given.
        action_loss: flow-matching loss, where actions were given; with two experts the mean of theirs.
        logits: (batch, length, vocabulary), unless there are actions and no labels.
        image_hidden_states: (batch, image tokens, hidden_size), what was put in the place of the image tokens.
        past_key_values, cache: the cache of text generation, under both of its names.
    """

    loss: torch.Tensor | None = None
    lm_loss: torch.Tensor | None = None
    action_loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    image_hidden_states: torch.Tensor | None = None
    if OUTPUT_NAME == "cache":
        cache: Cache | None = None
    else:
        past_key_values: Cache | None = None


@dataclass
class MapAnythingLlava3DActionOutput(ModelOutput):
    """What `predict_action(..., return_dict=True)` returns.

    Attributes:
        actions: (batch, num_action_chunks, action_dim) in robot units, float32.
        normalized_actions: the same before un-normalisation, float32.
    """

    actions: torch.Tensor | None = None
    normalized_actions: torch.Tensor | None = None


def joined_output(
    text: CausalLMOutputWithPast, action_loss: torch.Tensor | None, image_hidden_states: torch.Tensor | None
) -> MapAnythingLlava3DOutput:
    """What the language model returned, with the loss of the actions."""
    return MapAnythingLlava3DOutput(
        loss=text.loss if action_loss is None else action_loss + text.loss,
        lm_loss=text.loss,
        action_loss=action_loss,
        logits=text.logits,
        image_hidden_states=image_hidden_states,
        **{OUTPUT_NAME: getattr(text, OUTPUT_NAME)},
    )
