"""What the composed VLAs return."""

from dataclasses import dataclass

import torch
from transformers.modeling_outputs import ModelOutput


@dataclass
class MultimodalVLAOutput(ModelOutput):
    """What `forward` returns.

    Attributes:
        loss: the sum of `action_loss` and `lm_loss`, of those that there are.
        action_loss: where actions were given: mean absolute error (mlp), cross entropy (discrete) or flow matching.
        lm_loss: cross entropy of the next token, where labels were given.
        logits: (batch, length, vocabulary) of the text, where labels were given or no actions.
        moe_ratios: (batch, views, 2), the weights of two vision towers, where a mixture weighs them.
    """

    loss: torch.Tensor | None = None
    action_loss: torch.Tensor | None = None
    lm_loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    moe_ratios: torch.Tensor | None = None


@dataclass
class MultimodalVLAActionOutput(ModelOutput):
    """What `predict_action(..., return_dict=True)` returns.

    Attributes:
        actions: (batch, num_action_chunks, action_dim) in robot units, float32.
        normalized_actions: the same before un-normalisation.
        token_ids: like actions, of a discrete head.
        moe_ratios: as in `MultimodalVLAOutput`.
    """

    actions: torch.Tensor | None = None
    normalized_actions: torch.Tensor | None = None
    token_ids: torch.LongTensor | None = None
    moe_ratios: torch.Tensor | None = None
