"""The layerwise flow-matching DiT action head (starVLA's LayerwiseFlowmatchingActionHead; GR00T N1, arXiv 2503.14734).

A sequence of state, learned future tokens and noisy actions passes a diffusion transformer, each block of which reads
one layer of the VLM; a velocity is read at the actions. The head's own convention is `time` from 0 (noise) to 1
(actions) and velocity `actions - noise`, the reverse of `flow_matching.py`; loss and sampling convert at the border.
Upstream: starVLA/starVLA, starVLA/model/modules/action_model/LayerwiseFM_ActionHeader.py.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Beta

from ...configuration.mapanything_llava3d.configuration_dit_action_head import DiTActionHeadConfig
from ...configuration.vla_errors import InputError
from ..embodiments import check_embodiments, ids_given
from ..flow_matching import FlowMatchingLoss, interpolate
from ..loss_items import Items, learnt_steps
from ..modules import floating_dtype
from ..ode_sampling import chosen_sampling
from .dit_layers import MLP, ActionEncoder, DiT, DiTTime
from .dit_sampling import DiTContext, followed_dit
from .null_condition import chosen_guidance, drawn_drops, with_null_condition

LAST_TIME = 1 - 2**-24  # the largest float32 below 1


class DiTActionHead(nn.Module):
    """Actions from the hidden states of a VLM's layers.

    Every method takes of the VLM:
        vl_embs_list: one tensor (batch, vl_tokens, vl_hidden_size) for each layer, bottom to top. Of more layers than
            the head has blocks, the top-most are used.
        state: (batch, state_dim) or (batch, 1, state_dim), exactly where `config.state_dim` is set.
        encoder_attention_mask: (batch, vl_tokens), zero or false on padding; `None` without padding.
        embodiment_id: (batch,) whole numbers, exactly where `config.num_embodiments` is above 1.

    Raises:
        InputError: one of them, or of the other arguments, is missing or has another shape.
    """

    def __init__(self, config: DiTActionHeadConfig):
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.model = DiT(config)
        self.vl_projector = nn.Linear(config.vl_hidden_size, width) if config.vl_hidden_size != width else None
        inner, robots = config.mlp_hidden_dim, config.num_embodiments
        self.state_encoder = MLP(config.state_dim, inner, width, robots) if config.state_dim else None
        self.action_encoder = ActionEncoder(config.action_dim, width, robots)
        self.action_decoder = MLP(config.output_dim, inner, config.action_dim, robots)
        self.flow_loss = FlowMatchingLoss()
        self.future_tokens = nn.Embedding(config.num_future_tokens, width)
        nn.init.normal_(self.future_tokens.weight, std=0.02)
        if config.add_pos_embed:
            self.position_embedding = nn.Embedding(config.max_seq_len, width)
            nn.init.normal_(self.position_embedding.weight, std=0.02)

    def compute_loss(
        self,
        vl_embs_list: Sequence[torch.Tensor],
        actions: torch.Tensor,
        state: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        time: torch.Tensor | None = None,
        noise: torch.Tensor | None = None,
        action_is_pad: torch.Tensor | None = None,
        num_items_in_batch: Items | None = None,
        sample_weight: torch.Tensor | None = None,
        embodiment_id: torch.LongTensor | None = None,
        dropped: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean squared error of the velocity, a float32 scalar.

        actions, noise: (batch, horizon, action_dim), normalised; time: (batch,), 0 is noise and 1 is actions. Noise
        and time are drawn when they are not given. action_is_pad: (batch, horizon), true on steps that are not learnt;
        num_items_in_batch: totals of `loss_items`, where this batch is a part of what makes a step; sample_weight:
        (batch,), what each sample weighs in the mean. dropped: (batch,) bool, which samples see the null condition;
        drawn in training, by `config.condition_dropout`.
        """
        self.check_state(state, len(vl_embs_list[0]), embodiment_id)
        dropped = drawn_drops(self.config, self.training, actions) if dropped is None else dropped
        mask = encoder_attention_mask
        context = self.prepare_context(vl_embs_list, state, mask, embodiment_id=embodiment_id, dropped=dropped)
        batch = context.tokens.shape[0]
        noise = torch.randn_like(actions, dtype=torch.float32) if noise is None else noise
        time = self.sample_time(batch, actions.device) if time is None else time
        self.check_chunk("actions", actions, batch)
        self.check_chunk("noise", noise, batch)
        check_shape("time", time, (batch,))
        noisy_actions = interpolate(actions, noise, 1 - time.float())
        velocity = self.velocity_in(context, noisy_actions, self.at_times(self.bucket(time)))
        return self.loss(-velocity, actions, noise, action_is_pad, num_items_in_batch, sample_weight)

    def loss(
        self,
        velocity: torch.Tensor,
        actions: torch.Tensor,
        noise: torch.Tensor,
        action_is_pad: torch.Tensor | None = None,
        num_items_in_batch: Items | None = None,
        sample_weight: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Of a velocity `noise - actions`; see `compute_loss`."""
        given = action_is_pad is not None or sample_weight is not None
        learnt = learnt_steps(actions, action_is_pad, sample_weight) if given else None
        total = None if num_items_in_batch is None else num_items_in_batch["dit"]
        return self.flow_loss(velocity, noise.float() - actions.float(), None, learnt, total)

    @torch.no_grad()
    def predict_action(
        self,
        vl_embs_list: Sequence[torch.Tensor],
        state: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        num_inference_steps: int | None = None,
        noise: torch.Tensor | None = None,
        num_steps: int | None = None,
        ode_solver: str | None = None,
        ode_spacing: str | None = None,
        num_samples: int | None = None,
        guidance_scale: float | None = None,
        embodiment_id: torch.LongTensor | None = None,
    ) -> torch.Tensor:
        """Normalised actions (batch, horizon, action_dim), float32.

        num_inference_steps, num_steps: how many steps, under one of the two names; ode_solver, ode_spacing: how they
        are made, see `ode_sampling.py`; each by default as the config says. noise: where they start; drawn if `None`.
        num_samples: draw so many for each row; actions and noise are (batch, num_samples, horizon, action_dim) then.
        guidance_scale: see the config; other than 1 it costs a second pass of the blocks, in one batch with the first.
        """
        ode = chosen_sampling(self.config, num_inference_steps, num_steps, ode_solver, ode_spacing)
        scale = chosen_guidance(self.config, guidance_scale)
        noise = self.checked_or_drawn_noise(vl_embs_list[0], noise, num_samples)
        self.check_state(state, len(vl_embs_list[0]), embodiment_id)
        return followed_dit(self, vl_embs_list, state, encoder_attention_mask, noise, ode, scale, embodiment_id)

    def projections_to_fuse(self) -> list[list[nn.Linear]]:
        """Layers that read the same input."""
        blocks = self.model.transformer_blocks
        return [group for block in blocks for group in block.attn1.projections_to_fuse(block.context)]

    def velocity(
        self,
        vl_embs_list: Sequence[torch.Tensor],
        noisy_actions: torch.Tensor,
        buckets: torch.Tensor,
        state: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        action_features: torch.Tensor | None = None,
        embodiment_id: torch.LongTensor | None = None,
    ) -> torch.Tensor:
        """Velocity `actions - noise` (batch, horizon, action_dim) in the weights' dtype.

        Args:
            noisy_actions: (batch, horizon, action_dim).
            buckets: (batch,), the time of each sample, see `bucket`.
            action_features: (batch, horizon, hidden_size), which take the place of what the action encoder makes of
                `noisy_actions`; these are not read then.
        """
        self.check_state(state, len(vl_embs_list[0]), embodiment_id)
        context = self.prepare_context(vl_embs_list, state, encoder_attention_mask, embodiment_id=embodiment_id)
        check_shape("buckets", buckets, (len(context.tokens),))
        return self.velocity_in(context, noisy_actions, self.at_times(buckets), action_features)

    def velocity_in(
        self,
        context: DiTContext,
        noisy_actions: torch.Tensor,
        time: DiTTime,
        action_features: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """As `velocity`, for a context from `prepare_context` and a time from `at_times`."""
        batch, horizon = context.tokens.shape[0], self.config.num_action_chunks
        if action_features is None:
            self.check_chunk("noisy_actions", noisy_actions, batch)
            ids = ids_given(context.embodiment_id)
            action_features = self.action_encoder(noisy_actions.to(self.dtype), time.waves, *ids)
        else:
            check_shape("action_features", action_features, (batch, horizon, self.config.hidden_size))
        if context.positions is not None:
            action_features = action_features + context.positions
        hidden_states = torch.cat([context.tokens, action_features.to(self.dtype)], dim=1)
        hidden_states = self.model(hidden_states, time, context.layers)
        return self.action_decoder(hidden_states[:, -horizon:], *ids_given(context.embodiment_id))

    def prepare_context(
        self,
        vl_embs_list: Sequence[torch.Tensor],
        state: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        project: bool = False,
        embodiment_id: torch.LongTensor | None = None,
        dropped: torch.Tensor | None = None,
    ) -> DiTContext:
        """What does not depend on noisy actions and time.

        dropped: (batch,) bool, which samples see the null condition; `None`: none.
        project: also make the keys and values of the VLM's layers, which pays when more than one velocity is asked
            for; in training they are better made inside the blocks, where gradient checkpointing can drop them.
        """
        vl_embs_list = self.top_layers(vl_embs_list)
        batch, vl_tokens, _ = vl_embs_list[0].shape
        tokens = torch.cat([*self.encode_state(state, embodiment_id), self.future(vl_embs_list[0])], dim=1)
        mask = encoder_attention_mask
        if mask is not None:
            check_shape("encoder_attention_mask", mask, (batch, vl_tokens))
        if dropped is not None:
            check_shape("dropped", dropped, (batch,))
            vl_embs_list, mask = with_null_condition(vl_embs_list, mask, dropped)
        if mask is not None:
            own = tokens.shape[1] + self.config.num_action_chunks if self.config.context in ("concat", "self") else 0
            mask = F.pad(mask.bool(), (0, own), value=True)[:, None, None]
            mask = tokens.new_zeros(mask.shape).masked_fill(~mask, float("-inf")) if project else mask
        if self.config.context == "self":
            tokens = torch.cat([vl_embs_list[-1].to(self.dtype), tokens], dim=1)
            layers = [(mask,)] * len(self.model.transformer_blocks)
            return DiTContext(tokens, layers, False, self.positions(tokens), embodiment_id)
        blocks = zip(self.model.transformer_blocks, vl_embs_list, strict=True)
        layers = [block.vl_inputs(vl_embs.to(self.dtype), mask, project) for block, vl_embs in blocks]
        is_cross = self.config.context in ("cross", "interleave")
        return DiTContext(tokens, layers, is_cross, self.positions(tokens), embodiment_id)

    def future(self, like: torch.Tensor) -> torch.Tensor:
        """The future tokens, (batch, num_future_tokens, hidden_size), for as many rows as `like` has."""
        places = torch.arange(self.config.num_future_tokens, device=like.device)
        return self.future_tokens(places).expand(len(like), -1, -1)

    def positions(self, like: torch.Tensor) -> torch.Tensor | None:
        """What is added to action features, (num_action_chunks, hidden_size), where the head has positions."""
        if not self.config.add_pos_embed:
            return None
        return self.position_embedding(torch.arange(self.config.num_action_chunks, device=like.device))

    def top_layers(self, vl_embs_list: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """As many layers as there are blocks, the last ones, in the width of the blocks; for `self` the last one."""
        blocks = 1 if self.config.context == "self" else self.config.num_hidden_layers
        if len(vl_embs_list) < blocks:
            raise InputError(
                f"vl_embs_list has {len(vl_embs_list)} layers, the head has {blocks} blocks: each reads a layer."
            )
        vl_embs_list = vl_embs_list[-blocks:]
        shape = (*vl_embs_list[0].shape[:2], self.config.vl_hidden_size)
        for i, vl_embs in enumerate(vl_embs_list):
            check_shape(f"vl_embs_list[{i - blocks}]", vl_embs, shape)
        if self.vl_projector is None:
            return vl_embs_list
        return [self.vl_projector(vl_embs.to(self.dtype)) for vl_embs in vl_embs_list]

    def encode_state(
        self, state: torch.Tensor | None, embodiment_id: torch.LongTensor | None = None
    ) -> list[torch.Tensor]:
        """[(batch, 1, hidden_size)], or [] without state."""
        if state is None:
            return []
        state = state.unsqueeze(1) if state.dim() == 2 else state
        return [self.state_encoder(state.to(self.dtype), *ids_given(embodiment_id))]

    def check_state(
        self, state: torch.Tensor | None, batch: int, embodiment_id: torch.LongTensor | None = None
    ) -> None:
        """Refuse a state that is missing, not wanted, or of another size, and such embodiments (InputError)."""
        check_embodiments(self.config.num_embodiments, embodiment_id, batch)
        size = self.config.state_dim
        if (state is None) != (size is None):
            raise InputError(
                f"state is {'missing' if state is None else 'given'}, state_dim of the head is {size}: "
                f"{'pass' if state is None else 'leave out'} the state."
            )
        if state is not None:
            check_shape("state", state.unsqueeze(1) if state.dim() == 2 else state, (batch, 1, size))

    def at_times(self, buckets: torch.Tensor, ahead: bool = False) -> DiTTime:
        """What the network reads of times (rows,); ahead: see `DiT.at_times`."""
        waves = None if self.action_encoder is None else self.action_encoder.waves(buckets)
        return self.model.at_times(buckets, self.dtype, ahead)._replace(waves=waves)

    def sample_time(self, batch_size: int, device: torch.device | str | None = None) -> torch.Tensor:
        """(batch,) float32 in [0, 1), denser towards noise."""
        alpha, beta = (
            torch.full((batch_size,), value, dtype=torch.float32, device=device)
            for value in (self.config.noise_beta_alpha, self.config.noise_beta_beta)
        )
        drawn = Beta(alpha, beta, validate_args=False).sample()
        return (1 - drawn / self.config.noise_s).clamp(0, LAST_TIME)

    def bucket(self, time: torch.Tensor) -> torch.Tensor:
        """The whole number that the blocks see of a time; both (batch,)."""
        return (time.float() * self.config.num_timestep_buckets).long()

    def bucket_at(self, progress: float) -> int:
        """As `bucket`, of the progress that a prediction has made; at the end the last one that is learnt."""
        return min(int(progress * self.config.num_timestep_buckets), self.config.num_timestep_buckets - 1)

    def checked_or_drawn_noise(
        self, like: torch.Tensor, noise: torch.Tensor | None, num_samples: int | None
    ) -> torch.Tensor:
        """(batch, num_action_chunks, action_dim), or (batch, num_samples, num_action_chunks, action_dim), for as many
        rows as `like` has."""
        samples = () if num_samples is None else (num_samples,)
        shape = len(like), *samples, self.config.num_action_chunks, self.config.action_dim
        if noise is None:
            return torch.randn(shape, dtype=torch.float32, device=like.device)
        check_shape("noise", noise, shape)
        return noise

    def check_chunk(self, name: str, chunk: torch.Tensor, batch: int) -> None:
        check_shape(name, chunk, (batch, self.config.num_action_chunks, self.config.action_dim))

    @property
    def dtype(self) -> torch.dtype:
        """That of the weights; an embedding's, since no quantisation touches it."""
        return floating_dtype(self)


def check_shape(name: str, tensor: torch.Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise InputError(f"{name} has the shape {tuple(tensor.shape)}; the head needs {shape}.")
