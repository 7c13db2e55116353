"""A pass of Alpamayo-R1 in training: its VLM over whole texts, the expert over its keys and values, and the losses."""

from typing import NamedTuple

import torch
from torch import nn

from ...configuration.vla_errors import InputError
from ..flow_matching import check_share
from ..input_checks import check_labels
from ..loss_items import Items
from .expert_velocity import start_of_trajectory, trajectory_loss, without_gradient
from .prompt_reading import places_of, read_text
from .trajectory_outputs import AlpamayoR1Output
from .trajectory_text import text_losses


class Learnt(NamedTuple):
    """What is learnt of a batch.

    Attributes:
        target: (batch, waypoints, 2), normalised actions; `None` where the expert learns nothing.
        labels, trajectory_labels, time, noise, sample_weight: see `AlpamayoR1.forward`.
        items: totals of `loss_items` over the batches that make one step, where this is one of them.
    """

    target: torch.Tensor | None
    labels: torch.LongTensor | None
    trajectory_labels: torch.LongTensor | None
    time: torch.Tensor | None
    noise: torch.Tensor | None
    items: Items | None
    sample_weight: torch.Tensor | None

    @property
    def has_labels(self) -> bool:
        return self.labels is not None or self.trajectory_labels is not None


def check_draws(learnt: Learnt) -> None:
    """Refuse a time outside of 0..1, and time or noise without a future (InputError)."""
    if learnt.time is not None:
        check_share(learnt.time)
    for name in ("time", "noise"):
        if learnt.target is None and getattr(learnt, name) is not None:
            raise InputError(f"{name} was given without ego_future_xyz: it is of the loss of a future; leave it out.")


def training_pass(
    model: nn.Module,
    input_ids: torch.LongTensor,
    attention_mask: torch.Tensor | None,
    images: tuple[torch.Tensor | None, torch.LongTensor | None],
    learnt: Learnt,
    stop: bool,
) -> AlpamayoR1Output:
    """The losses of an `AlpamayoR1`, and the logits of its language model where they are needed or asked for.

    images: pixel_values and image_grid_thw; stop: the expert's loss has no gradient in the VLM.
    """
    check_labels(learnt.labels, input_ids)
    check_labels(learnt.trajectory_labels, input_ids, "trajectory_labels")
    check_draws(learnt)
    config, target = model.config, learnt.target
    positions, real = places_of(model.vlm, input_ids, attention_mask, images[1])
    learns = learnt.has_labels or target is None or not stop
    states, cache = read_text(model.vlm, input_ids, positions, real, images, keep=target is not None, learns=learns)
    action_loss = logits = None
    if target is not None:
        data = model.diffusion.construct_training_data(target, learnt.noise, learnt.time)
        total = None if learnt.items is None else learnt.items["action"]
        start = start_of_trajectory(input_ids, config.traj_token_ids["future_start"])
        text = without_gradient(cache) if stop else cache
        known = real if config.mask_prompt_padding else None
        parts = model.expert_parts, model.diffusion
        action_loss = trajectory_loss(text, positions, start, known, data, *parts, total, learnt.sample_weight)
    if learnt.has_labels or target is None:
        logits = model.vlm.lm_head(states)
    counted = learnt.items, learnt.sample_weight
    written = text_losses(model.vlm, logits, learnt.labels, learnt.trajectory_labels, *counted)
    losses = [loss for loss in (action_loss, *written) if loss is not None]
    return AlpamayoR1Output(sum(losses) if losses else None, action_loss, *written, logits)
