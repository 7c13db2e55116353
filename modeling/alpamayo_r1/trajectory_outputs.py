"""What the Alpamayo-R1 model returns."""

from dataclasses import dataclass

import torch
from transformers.modeling_outputs import ModelOutput


@dataclass
class AlpamayoR1Output(ModelOutput):
    """What `forward` returns.

    Attributes:
        loss: the sum of `action_loss` and `lm_loss`, of those that there are.
        action_loss: flow-matching loss of the expert, where a future was given.
        lm_loss: cross entropy of the next token, where labels were given.
        logits: (batch, length, vocabulary), where labels were given or there is no future.
    """

    loss: torch.Tensor | None = None
    action_loss: torch.Tensor | None = None
    lm_loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None


@dataclass
class AlpamayoR1TrajectoryOutput(ModelOutput):
    """What `sample_trajectories` returns; samples lie in the order batch, set, sample.

    Attributes:
        pred_xyz: (batch, sets, samples, waypoints, 3) metres, in the frame of the last history pose.
        pred_rot: (batch, sets, samples, waypoints, 3, 3).
        actions: (batch, sets, samples, waypoints, 2), normalised acceleration and curvature.
        has_start_token: (batch, sets, samples) bool: whether the text ended by opening the trajectory. Where it did
            not, the trajectory is drawn all the same, behind the last token.
        reasoning: `[batch][set][sample]` texts; `None` where the model has no tokenizer.
        sequences: (batch * sets * samples, length), prompts and accepted tokens, then padding.
    """

    pred_xyz: torch.Tensor | None = None
    pred_rot: torch.Tensor | None = None
    actions: torch.Tensor | None = None
    has_start_token: torch.Tensor | None = None
    reasoning: list | None = None
    sequences: torch.Tensor | None = None


@dataclass
class DrawnTrajectories:
    """What `predict_trajectories` computes, for rows in the order batch, set, sample.

    Attributes:
        actions, pred_xyz, pred_rot: (rows, waypoints, 2), (rows, waypoints, 3) and (rows, waypoints, 3, 3).
        sequences: (rows, length), prompts and accepted tokens, then padding.
        lengths: (rows,), accepted tokens of each text.
        finite: (rows,) bool, whether a text was drawn from finite logits.
    """

    actions: torch.Tensor
    pred_xyz: torch.Tensor
    pred_rot: torch.Tensor
    sequences: torch.Tensor
    lengths: torch.Tensor
    finite: torch.Tensor
