"""How a CogVLA model gets from its inputs to a chunk of actions: all at once, by denoising, or token by token."""

from typing import Any

import torch
import torch.nn.functional as F
from transformers import DynamicCache

from ..action_normalization import unnormalize
from ..action_tokens import tokens_to_actions
from ..finite_predictions import finite_rows
from .action_sequence import ActionSequence, LanguageModelInputs
from .cogvla_outputs import CogVLAActionOutput
from .ddim import ddim_step, sampling_steps, sinusoidal_embedding


class ActionDecoding:
    """The ways to predict, for a model that has the steps of a forward pass; `statistics` are those of the actions."""

    def decode_in_parallel(
        self,
        sequence: ActionSequence,
        pixel_values: torch.Tensor,
        state: torch.Tensor | None,
        noise: torch.Tensor | None,
        statistics: dict[str, Any],
        num_inference_steps: int,
    ) -> tuple[CogVLAActionOutput, dict[str, torch.Tensor]]:
        """All actions from one pass over the sequence, or, with the diffusion head, one pass a denoising step.

        Also what is finite of that which the actions do not show, by name, (batch,) bool each.
        """
        averaged = sequence.real & ~sequence.is_action
        inputs, moe_ratios = self.action_inputs(
            sequence, pixel_values, state, averaged, count=self.config.num_action_tokens
        )
        token_ids, finite = None, {}
        if self.config.action_head == "diffusion":
            actions, states, kept, finite["predicted noise"] = self.denoise(
                inputs, sequence, noise, num_inference_steps
            )
        else:
            states, kept = self.run_language_model(inputs)
        if self.config.action_head == "l1":
            actions = self.action_head(states).float()
        elif self.config.action_head == "discrete":
            logits = self.language_model.lm_head(states)
            token_ids, finite["logits"] = logits.argmax(dim=-1), finite_rows(logits)
            actions = self.actions_of(token_ids)
        output = CogVLAActionOutput(
            actions=unnormalize(actions, statistics, self.config.normalization_type),
            normalized_actions=actions,
            action_hidden_states=states,
            moe_ratios=moe_ratios,
            kept_vision_tokens=kept,
            predicted_token_ids=token_ids,
        )
        return output, finite

    def denoise(
        self,
        inputs: LanguageModelInputs,
        sequence: ActionSequence,
        noise: torch.Tensor | None,
        num_inference_steps: int,
    ) -> tuple[torch.Tensor, torch.Tensor, dict[int, torch.Tensor], torch.Tensor]:
        """DDIM from `noise` to normalised actions (float32); also the states and kept tokens of the last step.

        At last (batch,) bool: whether all predicted noise was finite; the steps clip what is infinite.
        """
        num_steps, device = self.config.num_diffusion_steps, inputs.prefix.device
        steps = sampling_steps(num_steps, num_inference_steps)
        batch, width = inputs.prefix.shape[0], inputs.prefix.shape[-1]
        shape = (batch, self.config.num_action_chunks, self.config.action_dim)
        actions = torch.randn(shape, device=device) if noise is None else noise.to(device)
        times = sinusoidal_embedding(torch.arange(num_steps, device=device), width)
        finite = torch.ones(batch, dtype=torch.bool, device=device)
        for step in steps:
            noised = self.with_noise(inputs, sequence, actions, times[step].expand(batch, -1))
            states, kept = self.run_language_model(noised)
            predicted = self.action_head(states)
            finite = finite & finite_rows(predicted)
            actions = ddim_step(actions, predicted, step, num_steps, -steps.step)
        return actions, states, kept, finite

    def decode_one_by_one(
        self,
        ids: torch.Tensor,
        real: torch.Tensor,
        pixel_values: torch.Tensor,
        state: torch.Tensor | None,
        statistics: dict[str, Any],
    ) -> tuple[CogVLAActionOutput, dict[str, torch.Tensor]]:
        """Action tokens one after another, each from all before it (OpenVLA); returns as `decode_in_parallel`."""
        cache = DynamicCache(config=self.config.text_config)
        states, kept, moe_ratios = self.prefill(ids, real, pixel_values, state, cache)
        logits = self.language_model.lm_head(states)
        all_states, all_ids, finite = [states], [logits.argmax(dim=-1)], finite_rows(logits)
        for _ in range(self.config.num_action_tokens - 1):
            real = F.pad(real, (0, 1), value=True)
            all_states.append(self.decode_step(all_ids[-1], real, cache))
            logits = self.language_model.lm_head(all_states[-1])
            all_ids.append(logits.argmax(dim=-1))
            finite = finite & finite_rows(logits)
        token_ids = torch.cat(all_ids, dim=1)
        actions = self.actions_of(token_ids)
        output = CogVLAActionOutput(
            actions=unnormalize(actions, statistics, self.config.normalization_type),
            normalized_actions=actions,
            action_hidden_states=torch.cat(all_states, dim=1),
            moe_ratios=moe_ratios,
            kept_vision_tokens=kept,
            predicted_token_ids=token_ids,
        )
        return output, {"logits": finite}

    def actions_of(self, token_ids: torch.Tensor) -> torch.Tensor:
        """(batch, tokens) -> normalised actions (batch, num_action_chunks, action_dim), float32."""
        vocab_size = self.config.text_config.vocab_size - self.config.pad_to_multiple_of
        values = tokens_to_actions(token_ids, vocab_size, self.config.n_action_bins)
        return values.view(-1, self.config.num_action_chunks, self.config.action_dim)
