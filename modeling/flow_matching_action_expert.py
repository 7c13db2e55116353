"""Actions from noise by flow matching, with a network that reads a prefix and the suffix behind it.

The network is LLaVA-3D's joined stacks, or the one stack of composed VLAs (`ContextActionNetwork`).

Suffix tokens: the state where it is used, one token for each noisy action, and one for the time; the velocity is read
at the action tokens. Upstream: 3dvla-starvla_framework, modeling_flow_expert_dev.py, after pi0 (arXiv 2410.24164).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..configuration.vla_config import alias
from ..configuration.vla_errors import ConfigError, InputError
from .embodiments import check_embodiments, ids_given, linear_for
from .flow_matching import (
    FlowMatchingLoss,
    check_sampling,
    check_share,
    interpolate,
    sample_time,
    sinusoidal_time_embedding,
    step_weights,
)
from .flow_sampling import FlowStep, followed_flow
from .input_checks import one_of
from .loss_items import Items, given_times, learnt_steps
from .modules import ModuleReference, floating_dtype
from .ode_sampling import OdeSampling, chosen_sampling
from .stack_passes import PrefixCache

MIN_PERIOD, MAX_PERIOD = 4e-3, 4.0  # of the time embedding


class FlowMatchingActionExpert(nn.Module):
    """Training loss and sampling of action chunks.

    Args:
        llava_with_expert_model: the network, a `LLaVA3DWithActionExpertModel` or anything with its `forward`, under the
            published name. It is used and not owned: its parameters do not appear among those of this module.
        action_dim, num_action_chunks: the shape of one chunk (dimensions, steps); 10 steps by default.
        state_dim, use_state: size of the robot's state, and whether it is an input.
        hidden_size: width of the suffix; that of the network's expert.
        use_time_weight: the loss weighs a sample by 1 - time.
        time_sampling: how `compute_loss` draws times, `beta` or `uniform`.
        action_horizon: `num_action_chunks` under its published name.
        num_embodiments: robots with their own projections of state and actions; with several every method takes their
            ids, `embodiment_id` (batch,).

    Raises:
        ConfigError: `hidden_size` is not the expert's, a state is used whose size is not given, or `time_sampling` is
            unknown.
        InputError: `num_action_chunks` and `action_horizon` are both given.
    """

    action_horizon = alias("num_action_chunks")

    def __init__(
        self,
        llava_with_expert_model: nn.Module,
        action_dim: int = 7,
        num_action_chunks: int | None = None,
        state_dim: int | None = None,
        hidden_size: int | None = None,
        use_state: bool = False,
        use_time_weight: bool = True,
        time_sampling: str = "beta",
        action_horizon: int | None = None,
        num_embodiments: int = 1,
    ):
        super().__init__()
        self._network = ModuleReference(llava_with_expert_model)
        self.action_dim = action_dim
        chunks = one_of(num_action_chunks=num_action_chunks, action_horizon=action_horizon)
        self.num_action_chunks = 10 if chunks is None else chunks
        self.use_state = use_state
        self.use_time_weight = use_time_weight
        self.time_sampling = time_sampling
        self.hidden_size = self.checked_width(hidden_size)
        check_sampling(time_sampling)
        if use_state and not state_dim:
            raise ConfigError(f"use_state=True needs state_dim, the size of the robot's state; it is {state_dim!r}.")
        self.state_dim, self.num_embodiments = state_dim, num_embodiments
        self.state_proj = linear_for(num_embodiments, state_dim, self.hidden_size) if use_state else None
        self.action_in_proj = linear_for(num_embodiments, action_dim, self.hidden_size)
        self.time_mlp_in = nn.Linear(self.hidden_size, self.hidden_size)
        self.time_mlp_out = nn.Linear(self.hidden_size, self.hidden_size)
        self.action_out_proj = linear_for(num_embodiments, self.hidden_size, action_dim)
        self.flow_loss = FlowMatchingLoss()

    def checked_width(self, hidden_size: int | None) -> int:
        wanted = getattr(self.llava_with_expert, "expert_hidden_size", None)
        if wanted is None:
            wanted = hidden_size or self.llava_with_expert.hidden_size
        if hidden_size not in (None, wanted):
            raise ConfigError(f"hidden_size={hidden_size} must be the width of the expert, {wanted}.")
        return wanted

    @property
    def llava_with_expert(self) -> nn.Module:
        """The network, under its published name."""
        return self._network.module

    def follow_owner(self, network: nn.Module, use_time_weight: bool, time_sampling: str) -> None:
        """From now on use whatever stands where the owner's network was, and times as its config says."""
        self._network.refer_to(network)
        if (use_time_weight, time_sampling) != (self.use_time_weight, self.time_sampling):
            self.use_time_weight, self.time_sampling = use_time_weight, time_sampling

    @property
    def dtype(self) -> torch.dtype:
        return floating_dtype(self)

    def forward(
        self,
        prefix_embs: torch.Tensor | None,
        actions: torch.Tensor,
        time: torch.Tensor,
        state: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: PrefixCache | None = None,
        embodiment_id: torch.LongTensor | None = None,
    ) -> torch.Tensor:
        """The velocity `noise - actions` at noisy actions: (batch, num_action_chunks, action_dim), float32.

        Args:
            prefix_embs: (batch, prefix length, the network's hidden_size); `None` where `past_key_values` holds the
                prefix, as the network kept it.
            actions: (batch, num_action_chunks, action_dim), normalised, with as much noise as `time` says.
            time: (batch,), from 1 (noise) to 0 (actions).
            state, attention_mask, position_ids: as in `compute_loss`.

        Raises:
            InputError: an argument has the wrong shape, or the state is missing.
        """
        self.check_chunk(actions, len(actions) if prefix_embs is None else len(prefix_embs))
        (_, suffix_out), _ = self.llava_with_expert(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=[prefix_embs, self.embed_suffix(actions, checked_time(time, actions), state, embodiment_id)],
        )
        return self.read(suffix_out, embodiment_id)[0]

    def compute_loss(
        self,
        prefix_embs: torch.Tensor,
        actions: torch.Tensor,
        state: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        time: torch.Tensor | None = None,
        noise: torch.Tensor | None = None,
        stop_grad_from_vlm: bool = False,
        action_is_pad: torch.Tensor | None = None,
        num_items_in_batch: Items | None = None,
        sample_weight: torch.Tensor | None = None,
        embodiment_id: torch.LongTensor | None = None,
    ) -> torch.Tensor:
        """The flow-matching loss of a batch, a scalar in float32.

        Args:
            prefix_embs: (batch, prefix length, the network's hidden_size).
            actions: (batch, num_action_chunks, action_dim), normalised.
            state: (batch, state_dim) or (batch, 1, state_dim), normalised; needed exactly where `use_state` is on.
            attention_mask, position_ids: as in `LLaVA3DWithActionExpertModel.forward`.
            time, noise: (batch,) in 0..1 and of the shape of `actions`; drawn when left out.
            stop_grad_from_vlm: the loss has no gradient in the prefix's keys and values.
            action_is_pad: (batch, num_action_chunks), true on steps that are not learnt.
            num_items_in_batch: totals of `loss_items`, where this batch is a part of what makes a step.
            sample_weight: (batch,), what each sample weighs in the mean, beside the weight of its time.
            embodiment_id: (batch,), exactly where there are several embodiments.

        Raises:
            InputError: an argument has the wrong shape, the state is missing, or totals were counted by other times.
        """
        noise, time = self.checked_or_drawn(prefix_embs, actions, noise, time, num_items_in_batch)
        cache = None
        if stop_grad_from_vlm:
            cache, attention_mask = self.kept_prefix(prefix_embs, attention_mask, position_ids)
            prefix_embs = None
        noisy = interpolate(actions, noise, time)
        given = state, attention_mask, position_ids, cache, embodiment_id
        velocity = self.forward(prefix_embs, noisy, time, *given)
        return self.loss(velocity, actions, noise, time, action_is_pad, num_items_in_batch, sample_weight)

    def loss_items(
        self,
        actions: torch.Tensor,
        time: torch.Tensor,
        action_is_pad: torch.Tensor | None,
        sample_weight: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What the steps of a batch weigh in its loss, a scalar; arguments as in `compute_loss`.

        Raises InputError where its times weigh and there are none.
        """
        learnt = learnt_steps(actions, action_is_pad, sample_weight)
        return step_weights(actions[..., 0], self.time_weight(time), learnt).sum()

    def time_weight(self, time: torch.Tensor) -> torch.Tensor | None:
        """(batch,), of the samples."""
        return 1 - given_times(time).float() if self.use_time_weight else None

    def sample_time(self, batch_size: int, device: torch.device | str | None = None) -> torch.Tensor:
        """(batch,) float32, as `time_sampling` says."""
        return sample_time(batch_size, self.time_sampling, device)

    @torch.no_grad()
    def sample_actions(
        self,
        prefix_embs: torch.Tensor,
        state: torch.Tensor | None = None,
        num_inference_steps: int | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        noise: torch.Tensor | None = None,
        num_steps: int | None = None,
        ode_solver: str | None = None,
        ode_spacing: str | None = None,
        num_samples: int | None = None,
        embodiment_id: torch.LongTensor | None = None,
    ) -> torch.Tensor:
        """Normalised actions (batch, num_action_chunks, action_dim), float32, in steps from noise.

        The prefix runs once. `num_inference_steps`, also called `num_steps`, are 10 by default, each of one evaluation
        of the velocity; `ode_solver` and `ode_spacing` say how they are made, see `ode_sampling.py`. Other arguments as
        in `compute_loss`; noise is drawn when left out.

        num_samples: draw so many for each row of the prefix; actions and noise are (batch, num_samples,
            num_action_chunks, action_dim) then.
        """
        ode = chosen_sampling(OdeSampling(10), num_inference_steps, num_steps, ode_solver, ode_spacing)
        noise = self.checked_or_drawn_noise(prefix_embs, noise, num_samples)
        self.check_state(state, len(prefix_embs), embodiment_id)
        return followed_flow(self, prefix_embs, state, attention_mask, position_ids, noise, ode, embodiment_id)

    @torch.no_grad()
    def kept_prefix(
        self,
        prefix_embs: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_ids: torch.LongTensor | None,
    ) -> tuple[PrefixCache, torch.Tensor | None]:
        """Keys and values of the prefix without gradients, and the mask that a pass of the suffix over them needs."""
        _, cache = self.llava_with_expert(
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=[prefix_embs, None],
            use_cache=True,
        )
        if attention_mask is not None and attention_mask.dim() == 2:
            attention_mask = None  # the cache knows the padding and keeps the mask that follows from it
        return cache, attention_mask

    def stepper(
        self,
        cache: PrefixCache,
        state: torch.Tensor | None,
        batch_size: int,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        embodiment_id: torch.LongTensor | None = None,
        progresses: Sequence[float] = (),
    ) -> FlowStep:
        """The velocity over a kept prefix, see `FlowStep`, for a batch whose arguments are checked.

        progresses: where it will be asked; what depends on time is made for all of them now.
        """
        self.check_state(state, batch_size, embodiment_id)
        return FlowStep(self, cache, state, attention_mask, position_ids, embodiment_id, progresses)

    # ---- suffix in, velocity out

    def embed_suffix(
        self,
        actions: torch.Tensor,
        time: torch.Tensor,
        state: torch.Tensor | None,
        embodiment_id: torch.LongTensor | None = None,
    ) -> torch.Tensor:
        """(batch, suffix length, hidden_size) from noisy actions, time (batch,) and state."""
        states = self.embed_state(state, actions.shape[0], embodiment_id)
        return torch.cat([*states, *self.embed_actions(actions, time, *ids_given(embodiment_id))], dim=1)

    def embed_state(
        self, state: torch.Tensor | None, batch_size: int, embodiment_id: torch.LongTensor | None = None
    ) -> list[torch.Tensor]:
        """The state token (batch, 1, hidden_size), or nothing where no state is used; see `check_state`."""
        self.check_state(state, batch_size, embodiment_id)
        return self.state_tokens(state, *ids_given(embodiment_id))

    def state_tokens(self, state: torch.Tensor | None, *embodiment_id: torch.LongTensor) -> list[torch.Tensor]:
        """As `embed_state`, of arguments that are checked."""
        if state is None:
            return []
        flat = state.squeeze(1) if state.dim() == 3 else state
        return [self.state_proj(flat.to(self.dtype).unsqueeze(1), *embodiment_id)]

    def embed_actions(
        self, actions: torch.Tensor, time: torch.Tensor, *embodiment_id: torch.LongTensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Action tokens (batch, num_action_chunks, hidden_size) and the time token (batch, 1, hidden_size)."""
        return self.action_in_proj(actions.to(self.dtype), *embodiment_id), self.time_tokens(time)

    def time_tokens(self, time: torch.Tensor) -> torch.Tensor:
        """(n,) -> (n, 1, hidden_size)."""
        embedded = sinusoidal_time_embedding(time, self.hidden_size, MIN_PERIOD, MAX_PERIOD).to(self.dtype)
        return self.time_mlp_out(F.silu(self.time_mlp_in(embedded))).unsqueeze(1)

    def read(
        self, suffix_out: torch.Tensor, embodiment_id: torch.LongTensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Velocity (batch, num_action_chunks, action_dim) in float32, and the states it is read from."""
        first = 1 if self.use_state else 0
        states = suffix_out[:, first : first + self.num_action_chunks]
        return self.action_out_proj(states, *ids_given(embodiment_id)).float(), states

    def loss(
        self,
        velocity: torch.Tensor,
        actions: torch.Tensor,
        noise: torch.Tensor,
        time: torch.Tensor,
        action_is_pad: torch.Tensor | None = None,
        num_items_in_batch: Items | None = None,
        sample_weight: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Of a velocity at noisy actions, a scalar in float32; see `compute_loss` for the arguments."""
        given = action_is_pad is not None or sample_weight is not None
        learnt = learnt_steps(actions, action_is_pad, sample_weight) if given else None
        total = None if num_items_in_batch is None else num_items_in_batch["flow"]
        return self.flow_loss(velocity, noise - actions.float(), self.time_weight(time), learnt, total)

    # ---- arguments

    def check_state(
        self, state: torch.Tensor | None, batch_size: int, embodiment_id: torch.LongTensor | None = None
    ) -> None:
        """Refuse a state that is missing, not wanted, or of another size, and such embodiments (InputError)."""
        check_embodiments(self.num_embodiments, embodiment_id, batch_size)
        if not self.use_state:
            if state is not None:
                raise InputError("state was given, but this model takes no robot state (use_state is False).")
            return
        if state is None:
            raise InputError(f"state is missing: this model needs the robot's {self.state_dim} values.")
        if state.shape not in ((batch_size, self.state_dim), (batch_size, 1, self.state_dim)):
            raise InputError(
                f"state has shape {tuple(state.shape)}; (batch, state_dim) or (batch, 1, state_dim) with batch="
                f"{batch_size} and state_dim={self.state_dim} is needed."
            )

    def checked_or_drawn(
        self,
        prefix_embs: torch.Tensor,
        actions: torch.Tensor,
        noise: torch.Tensor | None,
        time: torch.Tensor | None,
        items: Items | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Noise like `actions` and time (batch,), float32; items: totals, which need the times that they count."""
        if items is not None and self.use_time_weight:
            given_times(time)
        self.check_chunk(actions, prefix_embs.shape[0])
        noise = self.checked_or_drawn_noise(actions, noise)
        if time is None:
            return noise, self.sample_time(actions.shape[0], actions.device)
        time = checked_time(time, actions)
        check_share(time)
        return noise, time

    def check_chunk(self, actions: torch.Tensor, batch_size: int) -> None:
        wanted = batch_size, self.num_action_chunks, self.action_dim
        if actions.shape != wanted:
            raise InputError(f"actions has shape {tuple(actions.shape)}; (batch, horizon, action_dim) is {wanted}.")

    def checked_or_drawn_noise(
        self, like: torch.Tensor, noise: torch.Tensor | None, num_samples: int | None = None
    ) -> torch.Tensor:
        """Noise (batch, num_action_chunks, action_dim) in float32 for as many rows as `like` has, or (batch,
        num_samples, num_action_chunks, action_dim)."""
        samples = () if num_samples is None else (num_samples,)
        wanted = like.shape[0], *samples, self.num_action_chunks, self.action_dim
        if noise is None:
            return torch.randn(wanted, dtype=torch.float32, device=like.device)
        if noise.shape != wanted:
            raise InputError(f"noise has shape {tuple(noise.shape)}; {wanted} is needed.")
        return noise.to(like.device, torch.float32)


def checked_time(time: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """(batch,) float32. Raises InputError unless there is one value for each sample of `actions`."""
    if time.shape != actions.shape[:1]:
        raise InputError(f"time has shape {tuple(time.shape)}; one value for each of {actions.shape[0]} samples.")
    return time.to(actions.device, torch.float32)
