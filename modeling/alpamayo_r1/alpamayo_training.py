"""Training of Alpamayo-R1's expert: flow matching over the keys and values of a given text."""

import torch
from torch import nn
from transformers import DynamicCache

from ...configuration.vla_errors import InputError
from ..loss_items import text_items
from ..mrope_positions import rope_positions
from ..stack_passes import without_checkpointing
from .rollout import VLM_CACHE, decoder_modules
from .trajectory_expert import kept_text, run_expert


class AlpamayoTraining:
    """Methods of `AlpamayoR1` that only its `forward` uses."""

    def read_text(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None,
        pixel_values: torch.Tensor | None,
        image_grid_thw: torch.LongTensor | None,
        keep: bool,
        learns: bool = True,
    ) -> tuple[torch.Tensor, DynamicCache | None, torch.LongTensor, torch.Tensor]:
        """The VLM over whole texts: states (batch, length, hidden_size), keys and values, positions and padding.

        keep: keys and values are needed; the language model's layers are then not checkpointed.
        learns: a loss has gradients in the VLM, as far as it trains.
        """
        real = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask != 0
        positions = rope_positions(self.vlm, input_ids, real.long(), image_grid_thw)
        cache = DynamicCache() if keep else None
        stack = decoder_modules(self.vlm) if keep else []
        learns = learns and torch.is_grad_enabled() and is_trained(self.vlm)
        with torch.set_grad_enabled(learns), without_checkpointing(stack):
            output = self.vlm.model(
                input_ids=input_ids,
                attention_mask=real.long(),
                position_ids=positions,
                pixel_values=pixel_values,
                image_grid_thw=image_grid_thw,
                use_cache=keep,
                **{VLM_CACHE: cache},
            )
        return output.last_hidden_state, cache, positions, real

    def action_target(
        self,
        history: tuple[torch.Tensor, torch.Tensor],
        ego_future_xyz: torch.Tensor,
        ego_future_rot: torch.Tensor | None,
    ) -> torch.Tensor:
        """Normalised actions (batch, waypoints, 2) that lead along the future."""
        if ego_future_rot is None:
            raise InputError("ego_future_rot is missing: a future has positions and rotations.")
        future = self.checked_future(ego_future_xyz, ego_future_rot, len(history[0]))
        return self.action_space.traj_to_action(*history, *future)

    def action_loss(
        self,
        input_ids: torch.LongTensor,
        real: torch.Tensor,
        positions: torch.LongTensor,
        cache: DynamicCache,
        target: torch.Tensor,
        time: torch.Tensor | None,
        noise: torch.Tensor | None,
        stop_grad_from_vlm: bool = False,
        total: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean squared error of the velocity `actions - noise`; time runs from 0 (noise) to 1 (actions)."""
        data = self.diffusion.construct_training_data(target, noise, time)
        start = self.start_of_trajectory(input_ids)
        text = kept_text(cache, stop_grad_from_vlm)
        place = torch.arange(input_ids.shape[1], device=input_ids.device)
        seen = (place[None] <= start[:, None]) & (real | (not self.config.mask_prompt_padding))
        tokens = target.shape[1]
        mask = self.action_mask(seen, tokens)
        first = positions.amax(dim=0).gather(1, start[:, None]) + 1
        places = (first + torch.arange(tokens, device=first.device))[None].expand(3, -1, -1)
        rotary = self.expert.rotary_emb(target.to(self.expert_dtype), places)
        embeds = self.action_in_proj(data["noisy_x"], data["timesteps"])
        states = run_expert(self.expert, embeds, text, mask, rotary)
        return self.diffusion.compute_loss_from_pred(data, self.action_out_proj(states), total)

    def drawn(self, **batch) -> dict:
        """What a batch of `forward` needs so that its `loss_items` are known: nothing here."""
        return {}

    def loss_items(
        self, ego_future_xyz: torch.Tensor | None = None, labels: torch.Tensor | None = None, **kwargs
    ) -> dict[str, torch.Tensor]:
        """What a batch of `forward` counts in each of its losses, see `loss_items.py`."""
        items = {} if labels is None else {"text": text_items(labels)}
        if ego_future_xyz is not None:
            waypoints = len(ego_future_xyz) * ego_future_xyz.shape[-2]
            items["action"] = torch.tensor(float(waypoints), device=ego_future_xyz.device)
        return items

    def start_of_trajectory(self, input_ids: torch.LongTensor) -> torch.LongTensor:
        """(batch,), where each row's `<|traj_future_start|>` stands."""
        is_start = input_ids == self.config.traj_token_ids["future_start"]
        if not is_start.any(dim=1).all():
            rows = (~is_start.any(dim=1)).nonzero().flatten().tolist()
            raise InputError(f"rows {rows} of input_ids have no <|traj_future_start|>, behind which the expert starts.")
        return is_start.int().argmax(dim=1)


def is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
