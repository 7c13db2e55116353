"""Where vision, text and robot state of a composed VLA meet."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ...configuration.vla_errors import InputError
from ..film import modulate
from ..floating_dtype import floating_dtype
from ..input_checks import check_ids, check_length, check_rows
from ..masking import masked_mean
from .multimodal_inputs import max_positions


class MultimodalFusion:
    """Methods of `MultimodalVLAForActionPrediction` that lead to what its head reads."""

    def fuse(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        state: torch.Tensor | None,
        image_grid_thw: torch.LongTensor | None,
        labels: torch.LongTensor | None = None,
        answer_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """What the head reads, (batch, tokens, hidden_size), which of it is real (`None`: all), states of the text.

        labels: (batch, length); from the first on that is not -100 the text is being written.
        answer_mask: (batch, length), 1 on tokens that the modulation of vision tokens must not know.
        """
        if pixel_values is None:
            raise InputError("pixel_values is missing.")
        pixel_values = pixel_values.to(self.dtype)
        real = self.checked_mask(input_ids, attention_mask)
        state = self.state_token(state)
        if self.config.fusion == "late":
            return self.fuse_late(input_ids, real, pixel_values, image_grid_thw, state)
        queries = [] if self.action_queries is None else [self.action_queries(len(input_ids))]
        written = torch.zeros_like(real) if labels is None else (labels != -100).cumsum(dim=1) > 0
        embeds, real, arguments, text = self.sequence(
            input_ids, real, pixel_values, image_grid_thw, [*state, *queries], written, answer_mask
        )
        self.check_places(embeds)
        states = self.backbone.run(embeds, real, **arguments)
        text_states = states[:, text]
        if self.query_attention is not None:
            return self.query_attention(states, real), None, text_states
        return (states[:, -self.config.num_queries :], None, text_states) if queries else (states, real, text_states)

    def fuse_late(
        self,
        input_ids: torch.LongTensor,
        real: torch.Tensor,
        pixel_values: torch.Tensor,
        image_grid_thw: torch.LongTensor | None,
        state: list[torch.Tensor],
    ) -> tuple[torch.Tensor, None, torch.Tensor]:
        """Vision and text meet in the head alone: the mean of the one, the last state of the other."""
        real = real & ~self.is_image(input_ids)
        embeds = self.get_input_embeddings()(input_ids)
        self.check_places(embeds)
        text_states = self.backbone.run(embeds, real)
        places = torch.arange(real.shape[1], device=real.device)
        last = places.masked_fill(~real, -1).amax(dim=1)
        tokens, seen = self.vision_tokens(input_ids, pixel_values, image_grid_thw)
        pooled = [masked_mean(tokens, seen), text_states[torch.arange(len(real)), last].unsqueeze(1), *state]
        joined = torch.cat(pooled, dim=1)
        if self.late_projector is None:
            return joined, None, text_states
        joined = F.gelu(self.late_projector(joined.flatten(1)))
        return joined.unsqueeze(1) + self.action_queries(len(joined)), None, text_states

    def sequence(
        self,
        input_ids: torch.LongTensor,
        real: torch.Tensor,
        pixel_values: torch.Tensor | None,
        image_grid_thw: torch.LongTensor | None,
        behind: Sequence[torch.Tensor] = (),
        written: torch.Tensor | None = None,
        answer_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any], slice]:
        """One sequence of all tokens: embeddings, padding, what else the backbone needs, and where the text is.

        A VLM with its own projector puts images in the place of their tokens; otherwise vision tokens come first, and
        image tokens are hidden.
        """
        embeds, arguments, before = self.get_input_embeddings()(input_ids), {}, []
        is_image, length, scale = self.is_image(input_ids), input_ids.shape[1], self.backbone.input_scale
        is_prompt = real & ~is_image if answer_mask is None else real & ~is_image & (answer_mask == 0)
        if self.backbone.has_image_tokens and self.config.projector_type is None:
            arguments = {"input_ids": input_ids, "image_grid_thw": image_grid_thw}
            if self.film is None:
                arguments["pixel_values"] = pixel_values
            else:
                tokens, seen = self.vision_tokens(input_ids, pixel_values, image_grid_thw)
                tokens = self.modulated(tokens, embeds * scale, is_prompt)
                embeds = embeds.masked_scatter(is_image.unsqueeze(-1), (tokens[seen] / scale).to(embeds.dtype))
        elif pixel_values is not None:
            tokens, seen = self.vision_tokens(input_ids, pixel_values, image_grid_thw)
            real = real & ~is_image
            tokens = tokens if self.film is None else self.modulated(tokens, embeds * scale, is_prompt)
            before, real = [tokens], torch.cat([seen, real], dim=1)
        start = before[0].shape[1] if before else 0
        added = real.new_ones(len(real), sum(tokens.shape[1] for tokens in behind))
        if self.backbone.has_image_tokens and written is not None:
            arguments["num_added"] = added.shape[1]
            arguments["written"] = F.pad(written, (start, added.shape[1]))
        before, behind = ([(one / scale).to(embeds.dtype) for one in tokens] for tokens in (before, behind))
        embeds = torch.cat([*before, embeds, *behind], dim=1)
        return embeds, torch.cat([real, added], dim=1), arguments, slice(start, start + length)

    def vision_tokens(
        self, input_ids: torch.LongTensor, pixel_values: torch.Tensor, image_grid_thw: torch.LongTensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Projected vision features (batch, tokens, hidden_size), and which of them are real, (batch, tokens) bool."""
        pixel_values = pixel_values.to(self.dtype)
        if self.backbone.has_image_tokens:
            counts = self.is_image(input_ids).sum(dim=1)
            features = self.backbone.image_features(pixel_values, image_grid_thw, counts)
        else:
            features = self.backbone.image_features(pixel_values)
        if len(features) != len(input_ids):
            raise InputError(f"pixel_values holds {len(features)} samples, input_ids {len(input_ids)}.")
        lengths = torch.tensor([len(rows) for rows in features], device=input_ids.device)
        if (lengths == lengths[0]).all():
            tokens = torch.stack(features)
            tokens = tokens if self.projector is None else self.projector(tokens)
            return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        rows = features if self.projector is None else [self.projector(one[None])[0] for one in features]
        lengths = torch.tensor([len(one) for one in rows], device=input_ids.device)
        return pad_sequence(rows, batch_first=True), torch.arange(int(lengths.max()), device=lengths.device) < lengths[
            :, None
        ]

    def modulated(self, tokens: torch.Tensor, embeds: torch.Tensor, is_text: torch.Tensor) -> torch.Tensor:
        """Vision tokens, scaled and shifted by the mean of the text's embeddings."""
        condition = masked_mean(embeds, is_text).squeeze(1)
        return modulate(tokens, *self.film(condition.to(floating_dtype(self.film))))

    def is_image(self, input_ids: torch.LongTensor) -> torch.Tensor:
        """(batch, length) bool, true on image tokens, which only a VLM has."""
        if not self.backbone.has_image_tokens:
            return torch.zeros_like(input_ids, dtype=torch.bool)
        return input_ids == self.backbone.image_token_id

    @property
    def uses_own_path(self) -> bool:
        """Whether a VLM reads images as it was trained to."""
        return self.config.projector_type is None and self.config.fusion in ("early", "cross_attention")

    # ---- arguments

    def state_token(self, state: torch.Tensor | None) -> list[torch.Tensor]:
        """The robot's state as a token (batch, 1, hidden_size), or nothing where none is used."""
        if state is None:
            return []
        return [self.proprio_projector(state.to(floating_dtype(self.proprio_projector))).unsqueeze(1)]

    def checked_mask(self, input_ids: torch.LongTensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """(batch, length) bool, false on padding; the ids are looked at, too."""
        check_ids(input_ids, self.get_input_embeddings())
        if attention_mask is None:
            return torch.ones_like(input_ids, dtype=torch.bool)
        check_rows(attention_mask)
        return attention_mask != 0

    def check_places(self, embeds: torch.Tensor) -> None:
        """Refuse embeddings (batch, length, hidden_size) that the language model has no positions for."""
        check_length({"image, text and action": embeds.shape[1]}, max_positions(self.config.text_part))


def check_state(word: str, state: torch.Tensor | None, batch_size: int, config: MultimodalVLAConfig) -> None:
    """Refuse a robot's state that is missing, not wanted, or of another shape; word: what its caller calls it."""
    if not config.use_proprio:
        if state is not None:
            raise InputError(f"{word} was given, but this model takes no robot state (use_proprio is False).")
        return
    wanted = batch_size, config.proprio_dim
    if state is None or tuple(state.shape) != wanted:
        found = None if state is None else tuple(state.shape)
        raise InputError(f"{word} has shape {found}; (batch, proprio_dim) is {wanted}.")
