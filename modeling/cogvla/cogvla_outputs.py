"""What the CogVLA model returns."""

from dataclasses import dataclass

import torch
from transformers import Cache
from transformers.modeling_outputs import ModelOutput

from ..cache_names import OUTPUT_NAME, OutputWithCache
from ..moe_aggregator import ratio_figures

TOWERS = ("featurizer", "fused_featurizer")  # of the vision backbone, in the order of their weights


@dataclass
class CogVLAOutput(OutputWithCache):
    """What `forward` returns.

    Attributes:
        loss: `action_loss` where continuous actions were given, else `lm_loss`.
        lm_loss: cross entropy over action and stop tokens.
        action_loss: mean L1 distance of normalised actions, or mean squared error of the noise in them (diffusion).
        logits: (batch, action tokens + 1, vocabulary) at the action and stop positions; in text generation (batch, 1,
            vocabulary), for the next token.
        predictions: (batch, num_action_chunks, action_dim), the continuous head's: normalised actions, or their noise.
        action_hidden_states: (batch, action tokens, hidden_size), each the state that predicts an action token.
        moe_ratios: (batch, views, 2), weights of the two vision towers.
        kept_vision_tokens: `{layer: (batch, k)}`, ascending, 0 being the first vision token.
        past_key_values, cache: the cache of text generation, under both of its names.
    """

    loss: torch.Tensor | None = None
    lm_loss: torch.Tensor | None = None
    action_loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    predictions: torch.Tensor | None = None
    action_hidden_states: torch.Tensor | None = None
    moe_ratios: torch.Tensor | None = None
    kept_vision_tokens: dict[int, torch.Tensor] | None = None
    if OUTPUT_NAME == "cache":
        cache: Cache | None = None
    else:
        past_key_values: Cache | None = None


@dataclass
class CogVLAActionOutput(ModelOutput):
    """What `predict_action(..., return_dict=True)` returns.

    Attributes:
        actions: (batch, num_action_chunks, action_dim) in robot units, float32.
        normalized_actions: the same before un-normalisation, float32.
        action_hidden_states, moe_ratios, kept_vision_tokens: as in `CogVLAOutput`.
        predicted_token_ids: (batch, num_action_chunks * action_dim), discrete head only.
    """

    actions: torch.Tensor | None = None
    normalized_actions: torch.Tensor | None = None
    action_hidden_states: torch.Tensor | None = None
    moe_ratios: torch.Tensor | None = None
    kept_vision_tokens: dict[int, torch.Tensor] | None = None
    predicted_token_ids: torch.Tensor | None = None


def training_figures(output: CogVLAOutput, num_vision_tokens: int) -> dict[str, torch.Tensor]:
    """`moe_ratio/TOWER`, the mean weight of each, and `lfp_kept/layer_N`, the kept share of the vision tokens; scalars.

    num_vision_tokens: of a sample, before any layer prunes them.
    """
    figures = ratio_figures(output.moe_ratios, TOWERS)
    for layer, kept in (output.kept_vision_tokens or {}).items():
        share = kept.shape[-1] / num_vision_tokens
        figures[f"lfp_kept/layer_{layer}"] = torch.full((), share, dtype=torch.float32, device=kept.device)
    return figures
