"""What the Alpamayo-R1 model returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase
from transformers.modeling_outputs import ModelOutput

from ..finite_predictions import is_whole, require_finite
from .reasoning_text import reasoning_of
from .rollout import TextSampling
from .value_checks import ValueCheck, look_again


@dataclass
class AlpamayoR1Output(ModelOutput):
    """What `forward` returns.

    Attributes:
        loss: the sum of the losses below, of those that there are.
        action_loss: flow-matching loss of the expert, where a future was given.
        lm_loss: cross entropy of the next token, where labels were given.
        trajectory_lm_loss: that of futures as text, where labels of theirs were given.
        logits: (batch, length, vocabulary), where labels were given or there is no future.
    """

    loss: torch.Tensor | None = None
    action_loss: torch.Tensor | None = None
    lm_loss: torch.Tensor | None = None
    trajectory_lm_loss: torch.Tensor | None = None
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
class Trajectories:
    """What `predict_trajectories` computes, for rows in the order batch, set, sample.

    Attributes:
        actions, pred_xyz, pred_rot: (rows, waypoints, 2), (rows, waypoints, 3) and (rows, waypoints, 3, 3).
        sequences: (rows, length), prompts and accepted tokens, then padding.
        lengths: (rows,), accepted tokens of each text.
        finite: (rows,) bool, whether a text was drawn from finite logits.
        longest: the largest of the lengths; `None` in a compiled call, which does not ask.
    """

    actions: torch.Tensor
    pred_xyz: torch.Tensor
    pred_rot: torch.Tensor
    sequences: torch.Tensor
    lengths: torch.Tensor
    finite: torch.Tensor
    longest: int | None = None


def check_drawn(
    model: nn.Module,
    drawn: Trajectories,
    batch: int,
    inputs: Mapping[str, torch.Tensor | None],
    late: Sequence[ValueCheck] = (),
    check_finite: bool = True,
) -> None:
    """The one look at a device behind the last kernel; none where there is nothing to look at.

    late: of `check_values`; check_finite: look at the trajectories, too, and at what they were computed from.

    Raises:
        InputError: a check of `late` found something.
        NonFiniteError: rows of the batch, or inputs, are not finite.
    """
    outputs = {name: getattr(drawn, name).unflatten(0, (batch, -1)) for name in ("actions", "pred_xyz", "pred_rot")}
    outputs["logits of the text"] = drawn.finite.view(batch, -1).all(dim=1)
    check_outputs(model, outputs, inputs, late, check_finite)


def check_outputs(
    model: nn.Module,
    outputs: Mapping[str, torch.Tensor],
    inputs: Mapping[str, torch.Tensor | None],
    late: Sequence[ValueCheck] = (),
    check_finite: bool = True,
) -> None:
    """As `check_drawn`, of any outputs (`require_finite`)."""
    flags = [~check.fault for check in late] + ([is_whole(outputs, inputs)] if check_finite else [])
    if not flags:
        return
    device = next(iter(outputs.values())).device
    whole = torch.stack([flag.to(device) for flag in flags]).all().cpu()
    if late and not whole.numpy():
        look_again(late)
    if check_finite:
        require_finite(model, outputs, inputs, whole=whole)


def with_texts(
    drawn: Trajectories,
    shape: tuple[int, int, int],
    prompt_length: int,
    sampling: TextSampling,
    tokenizer: PreTrainedTokenizerBase | None,
) -> AlpamayoR1TrajectoryOutput:
    """Rows as (batch, sets, samples), and their texts; what is padding in all rows of a compiled call is left out."""
    longest = int(drawn.lengths.max()) if drawn.longest is None else drawn.longest
    sequences = drawn.sequences[:, : prompt_length + min(sampling.max_new_tokens, longest + 1)]
    written = sequences[:, prompt_length:]
    reasoning = None
    if tokenizer is not None:
        lengths_first = torch.cat([drawn.lengths[:, None], written], dim=1).cpu().numpy()  # read at once
        rows = [row[1 : 1 + row[0]] for row in lengths_first]
        texts = [reasoning_of(tokenizer.decode(row, skip_special_tokens=False)) for row in rows]
        reasoning = np.array(texts, dtype=object).reshape(shape).tolist()
    return AlpamayoR1TrajectoryOutput(
        pred_xyz=drawn.pred_xyz.unflatten(0, shape),
        pred_rot=drawn.pred_rot.unflatten(0, shape),
        actions=drawn.actions.unflatten(0, shape),
        has_start_token=(written == sampling.end_ids[0]).any(dim=1).view(shape),
        reasoning=reasoning,
        sequences=sequences,
    )
