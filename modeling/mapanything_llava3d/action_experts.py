"""The action experts of LLaVA-3D at work: deep fusion, the DiT head, or the one feeding the other.

All of them learn the velocity `noise - actions` over time 1 to 0 (`flow_matching.py`); the DiT head counts time the
other way, and is converted here.
"""

import torch
from torch import nn

from ...configuration.vla_errors import InputError
from ..flow_matching import check_steps, integrate, interpolate
from ..joint_attention import prefix_mask, prefix_padding
from ..loss_items import Items, learnt_steps, text_items
from .llava3d_language_model import LLaVA3DForCausalLMV2


class ActionExperts:
    """Methods of a model that has `config`, `language_model`, `language_model_with_expert`, `action_expert`,
    `dit_action_head` and `dit_action_projector`, of which the last four may be `None`."""

    def action_loss(
        self,
        prefix_embs: torch.Tensor,
        attention_mask: torch.Tensor | None,
        actions: torch.Tensor,
        state: torch.Tensor | None,
        time: torch.Tensor | None,
        noise: torch.Tensor | None,
        stop_grad: bool = False,
        action_is_pad: torch.Tensor | None = None,
        num_items_in_batch: Items | None = None,
    ) -> torch.Tensor:
        """The flow-matching loss; prefix_embs: (batch, length, hidden_size), the rest as in the model's `forward`."""
        counted = action_is_pad, num_items_in_batch
        if not self.config.has_dit:
            return self.action_expert.compute_loss(
                prefix_embs, actions, state, attention_mask, None, time, noise, stop_grad, *counted
            )
        if not self.config.has_deep_fusion:
            with torch.set_grad_enabled(torch.is_grad_enabled() and not stop_grad):
                states = layer_states(self.language_model, prefix_embs, attention_mask, self.causal_prefix)
            time = None if time is None else 1 - time
            return self.dit_action_head.compute_loss(states, actions, state, attention_mask, time, noise, *counted)
        return self.fused_dit_loss(prefix_embs, attention_mask, actions, state, time, noise, stop_grad, counted)

    def fused_dit_loss(
        self, prefix_embs, attention_mask, actions, state, time, noise, stop_grad, counted
    ) -> torch.Tensor:
        """The mean of the two losses, over one pass of the prefix and the same noisy actions."""
        expert, network = self.action_expert, self.language_model_with_expert
        noise, time = expert.checked_or_drawn(prefix_embs, actions, noise, time)
        noisy = interpolate(actions, noise, time)
        suffix = expert.embed_suffix(noisy, time, state)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not stop_grad):
            _, cache, states = network.run_prefix(prefix_embs, attention_mask)
        velocity, action_states = expert.read(network.run_suffix(suffix, cache))
        buckets = self.dit_action_head.bucket(1 - time)
        features = self.dit_action_projector(action_states)
        dit_velocity = -self.dit_action_head.velocity(states, noisy, buckets, state, attention_mask, features)
        dit_loss = self.dit_action_head.loss(dit_velocity, actions, noise, *counted)
        return (expert.loss(velocity, actions, noise, time, *counted) + dit_loss) / 2

    def drawn(self, actions: torch.Tensor | None = None, time: torch.Tensor | None = None, **kwargs) -> dict:
        """`{"time": (batch,)}` for a batch of `forward` that has none, where its loss weighs samples by it."""
        if actions is None or time is not None or not self.config.has_deep_fusion:
            return {}
        return {"time": self.action_expert.sample_time(len(actions), actions.device)}

    def loss_items(
        self,
        actions: torch.Tensor | None = None,
        time: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        action_is_pad: torch.Tensor | None = None,
        **kwargs,
    ) -> dict[str, torch.Tensor]:
        """What a batch of `forward` counts in each of its losses, see `loss_items.py`; `time` is not drawn here."""
        items = {} if labels is None else {"text": text_items(labels)}
        if actions is not None and self.config.has_deep_fusion:
            items["flow"] = self.action_expert.loss_items(actions, time, action_is_pad)
        if actions is not None and self.config.has_dit:
            items["dit"] = learnt_steps(actions, action_is_pad).sum()
        return items

    def sample_normalized_actions(
        self,
        prefix_embs: torch.Tensor,
        attention_mask: torch.Tensor | None,
        state: torch.Tensor | None,
        num_steps: int | None,
        noise: torch.Tensor | None,
    ) -> torch.Tensor:
        """(batch, action_horizon, action_dim), float32; the prefix runs once whatever the number of steps."""
        num_steps = self.config.num_inference_steps if num_steps is None else num_steps
        check_steps(num_steps)
        if not self.config.has_dit:
            return self.action_expert.sample_actions(prefix_embs, state, num_steps, attention_mask, noise=noise)
        if not self.config.has_deep_fusion:
            states = layer_states(self.language_model, prefix_embs, attention_mask, self.causal_prefix)
            return self.dit_action_head.predict_action(states, state, attention_mask, num_steps, noise)
        return self.sample_fused_dit(prefix_embs, attention_mask, state, num_steps, noise)

    def sample_fused_dit(self, prefix_embs, attention_mask, state, num_steps, noise) -> torch.Tensor:
        head = self.dit_action_head
        noise = self.action_expert.checked_or_drawn_noise(prefix_embs, noise)
        _, cache, states = self.language_model_with_expert.run_prefix(prefix_embs, attention_mask)
        step = self.action_expert.stepper(cache, state, noise.shape[0])
        context = head.prepare_context(states, state, attention_mask, project=True)

        def velocity(actions: torch.Tensor, progress: float) -> torch.Tensor:
            features = self.dit_action_projector(step(actions, progress)[1])
            bucket = int(progress * head.config.num_timestep_buckets)
            buckets = torch.full(actions.shape[:1], bucket, device=actions.device)
            return -head.velocity_in(context, actions, buckets, features)

        return integrate(velocity, noise, num_steps)

    @property
    def causal_prefix(self) -> bool:
        return self.config.prefix_attention == "causal"

    def check_has_expert(self) -> None:
        if self.config.action_expert_type is None:
            raise InputError(
                "action_expert_type is None: this model has no action expert; generate() writes action tokens, which "
                "the processor's decode_actions() reads."
            )


def layer_states(
    language_model: LLaVA3DForCausalLMV2,
    prefix_embs: torch.Tensor,
    attention_mask: torch.Tensor | None,
    causal: bool,
) -> tuple[torch.Tensor, ...]:
    """States (batch, length, hidden_size) after each layer, bottom to top, the last of them after the final norm."""
    stack: nn.Module = language_model.decoder
    real, kind = prefix_padding(prefix_embs, attention_mask), stack.config._attn_implementation
    mask, positions = prefix_mask(real, causal, prefix_embs.dtype, kind)
    output = stack(
        inputs_embeds=prefix_embs,
        attention_mask=mask,
        position_ids=positions,
        use_cache=False,
        output_hidden_states=True,
    )
    return output.hidden_states[1:]
