"""The pretrained part of a VLA that starts from a VLM of transformers; only its documented outputs are read."""

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModelForImageTextToText

from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig, kind_of
from ...configuration.vla_errors import InputError
from ..input_checks import check_patches
from ..masking import mask_for, without_empty_rows
from ..mrope_positions import rope_positions
from .multimodal_inputs import scale_of_inputs, text_positions, views_of

VISION_NAMES = ("vision_tower", "visual", "vision_model")  # what VLMs of transformers call theirs
FIRST_POSITION = {"paligemma": 1}
FULL_PREFIX = ("paligemma",)  # their prompts see each other in both directions
OPEN_IMAGES = ("gemma3",)  # the tokens of an image do, and token types say where they are


class VLMBackbone(nn.Module):
    """A model of `AutoModelForImageTextToText`; attributes as of `ComposedBackbone`."""

    has_image_tokens = True
    has_two_towers = False

    def __init__(self, config: MultimodalVLAConfig):
        super().__init__()
        self.vlm = AutoModelForImageTextToText.from_config(config.vlm_config)
        self.input_scale = scale_of_inputs(config.text_part)
        self.model_type = kind_of(config.vlm_config)
        self.image_token_id = image_token_of(config.vlm_config)

    @property
    def language_model(self) -> nn.Module:
        return self.vlm

    @property
    def language_part(self) -> nn.Module:
        """The part of the VLM that is a language model."""
        return self.vlm.model.language_model

    @property
    def frozen_part(self) -> nn.Module:
        """What `freeze_vision_tower` freezes; the VLM's projector trains."""
        return next(getattr(self.vlm.model, name) for name in VISION_NAMES if hasattr(self.vlm.model, name))

    @property
    def implementation(self) -> str | None:
        """Of the attention of the language model."""
        return self.vlm.model.language_model.config._attn_implementation

    @property
    def has_grid(self) -> bool:
        """Whether images come as patches with a grid of their sizes, and positions in three dimensions."""
        return hasattr(self.vlm.model, "get_rope_index")

    def image_features(
        self, pixel_values: torch.Tensor, image_grid_thw: torch.LongTensor | None = None, counts: Any = None
    ) -> list[torch.Tensor]:
        """Features of each sample as they enter the language model's layers, (tokens, hidden_size) each.

        counts: (batch,), image tokens of each sample.
        """
        features = self.vlm.model.get_image_features(**self.images(pixel_values, image_grid_thw))
        features = getattr(features, "pooler_output", features)  # 5.x wraps them
        if not isinstance(features[0], torch.Tensor):
            features = features[0]  # Qwen3-VL on 4.57: the others are for deeper layers
        features = features if isinstance(features, torch.Tensor) else torch.cat([f.flatten(0, -2) for f in features])
        features = features.flatten(0, -2)
        if len(features) != int(counts.sum()):
            raise InputError(f"input_ids has {int(counts.sum())} image tokens, the images {len(features)} features.")
        return list((features * self.input_scale).split(counts.tolist()))

    def images(self, pixel_values: torch.Tensor, image_grid_thw: torch.LongTensor | None) -> dict[str, torch.Tensor]:
        """The VLM's arguments."""
        if self.has_grid:
            if image_grid_thw is None:
                raise InputError(f"image_grid_thw is missing: a {self.model_type} reads images as patches.")
            check_patches(pixel_values, image_grid_thw)
            return {"pixel_values": pixel_values, "image_grid_thw": image_grid_thw}
        return {"pixel_values": views_of(pixel_values).flatten(0, 1)}

    def run(
        self,
        inputs_embeds: torch.Tensor,
        real: torch.Tensor,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.Tensor | None = None,
        image_grid_thw: torch.LongTensor | None = None,
        written: torch.Tensor | None = None,
        num_added: int = 0,
    ) -> torch.Tensor:
        """States after the last layer's norm, like inputs_embeds.

        Args:
            real: (batch, length) bool, false on padding.
            input_ids: the tokens that the sequence starts with, for their positions; further tokens follow them.
            pixel_values, image_grid_thw: images that the VLM puts in the place of the image tokens' embeddings.
            written: (batch, length) bool, text that is being written and sees only what is before it.
            num_added: tokens at the end that the VLM does not know.
        """
        arguments = {} if pixel_values is None else self.images(pixel_values, image_grid_thw)
        mask = real.long()
        if self.model_type in FULL_PREFIX:
            written = torch.zeros_like(real) if written is None else written
            allowed = full_prefix(real, written, num_added)
            mask = mask_for(self.implementation, allowed, inputs_embeds.dtype)
        if self.model_type in OPEN_IMAGES:
            arguments["token_type_ids"] = self.image_places(input_ids, real)
        return self.vlm.model(
            inputs_embeds=inputs_embeds,
            attention_mask=mask,
            position_ids=self.positions(real, input_ids, image_grid_thw),
            use_cache=False,
            **arguments,
        ).last_hidden_state

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(batch, length, vocabulary) of states as of `run`."""
        return self.vlm.get_output_embeddings()(states)

    def image_places(self, input_ids: torch.LongTensor | None, real: torch.Tensor) -> torch.LongTensor:
        """(batch, length), 1 on image tokens of the sequence whose first tokens are `input_ids`."""
        if input_ids is None:
            return torch.zeros_like(real, dtype=torch.long)
        return F.pad((input_ids == self.image_token_id).long(), (0, real.shape[1] - input_ids.shape[1]))

    def positions(
        self, real: torch.Tensor, input_ids: torch.LongTensor | None, image_grid_thw: torch.LongTensor | None
    ) -> torch.LongTensor:
        """(batch, length), or (3, batch, length) for a VLM that places image tokens in three dimensions."""
        if not self.has_grid:
            return text_positions(real, FIRST_POSITION.get(self.model_type, 0))
        if input_ids is None:
            return text_positions(real)[None].expand(3, -1, -1)
        known = input_ids.shape[1]
        places = rope_positions(self.vlm, input_ids, real[:, :known].long(), image_grid_thw)
        last = places.amax(dim=0).masked_fill(~real[:, :known], 0).amax(dim=1, keepdim=True)
        more = last + real[:, known:].long().cumsum(dim=1)
        return torch.cat([places, more[None].expand(3, -1, -1)], dim=2)

    def token_types(self, input_ids: torch.LongTensor) -> dict[str, torch.Tensor]:
        """What some VLMs want to be told about a prompt: that it is one, and where its images are."""
        is_image = (input_ids == self.image_token_id).int()
        types = {"token_type_ids": is_image if self.model_type in OPEN_IMAGES else torch.zeros_like(input_ids)}
        types["mm_token_type_ids"] = is_image
        known = inspect.signature(self.vlm.model.forward).parameters
        return {name: value for name, value in types.items() if name in known}

    def generate(self, inputs_embeds: torch.Tensor | None = None, **kwargs) -> torch.LongTensor:
        """By the VLM's own `generate`.

        Raises:
            InputError: it takes no embeddings, or needs the ids for its positions.
        """
        if inputs_embeds is not None:
            known = inspect.signature(self.vlm.prepare_inputs_for_generation).parameters
            if self.has_grid or "inputs_embeds" not in known:
                raise InputError(
                    f"a {self.model_type} generates text only with its own projector, and early or cross_attention "
                    "fusion."
                )
            kwargs["inputs_embeds"] = inputs_embeds
        return self.vlm.generate(**kwargs)


def full_prefix(real: torch.Tensor, written: torch.Tensor, num_added: int) -> torch.Tensor:
    """Who sees whom, (batch, length, length) bool: all see the prompt, what is written sees what is before it.

    The last `num_added` tokens see everything, and nothing else sees them: text is the same with and without them.
    """
    place = torch.arange(real.shape[1], device=real.device)
    added = place >= real.shape[1] - num_added
    prompt = ~written & ~added
    allowed = prompt[:, None, :] | (place[None, :] <= place[:, None]) | (added[None, :] & added[:, None])
    return without_empty_rows(allowed & real[:, None, :])


def image_token_of(config: Any) -> int:
    """Id of the token in whose place image features go; its name differs between models and lines."""
    return next(
        value for n in ("image_token_id", "image_token_index") if (value := getattr(config, n, None)) is not None
    )
