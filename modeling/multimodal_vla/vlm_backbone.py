"""The pretrained part of a VLA that starts from a VLM of transformers; only its documented outputs are read."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModelForImageTextToText, PretrainedConfig

from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ...configuration.multimodal_vla.nested_configs import kind_of
from ...configuration.multimodal_vla.vlm_facts import VLMS
from ...configuration.vla_errors import ConfigError, InputError
from ..input_checks import check_patches, views_of
from ..masking import mask_for, without_empty_rows
from ..mrope_positions import rope_positions
from ..padded_prompts import padding_before, with_prompts
from .image_sizes import grid_arguments, sizes_on_host
from .language_masks import asks_in_layers, causal_masks, counts_places, has_windows, reads_padding, windows_below
from .language_model_rules import scale_of_inputs, text_positions, without_head
from .multimodal_inputs import Prompt, TokenSequence, in_order, padding_first

# What VLMs of transformers call their parts, and their arguments that are not about images: a policy sees no videos.
VISION_NAMES = ("vision_tower", "visual", "vision_model")
EXPERTS = ("mlp.experts.gate_up_proj", "mlp.experts.down_proj")
LANGUAGE_NAMES = ("language_model", "text_model")
NOT_OF_IMAGES = (
    *("self", "input_ids", "attention_mask", "position_ids", "past_key_values", "cache", "inputs_embeds", "use_cache"),
    *("token_type_ids", "mm_token_type_ids", "labels", "output_attentions", "output_hidden_states", "return_dict"),
    *("cache_position", "kwargs", "rope_deltas", "image_hidden_states", "mm_encoder_outputs", "logits_to_keep"),
    *("pixel_values_videos", "video_grid_thw", "second_per_grid_ts", "image_sizes_videos", "target_sizes_videos"),
)


class VLMBackbone(nn.Module):
    """A model of `AutoModelForImageTextToText`; attributes as of `ComposedBackbone`."""

    has_image_tokens = True
    has_two_towers = False
    weighs_towers = False
    first_named_parts = ()

    def __init__(self, config: MultimodalVLAConfig):
        super().__init__()
        self.vlm = AutoModelForImageTextToText.from_config(config.vlm_config)
        self.input_scale = scale_of_inputs(config.text_part)
        self.model_type = kind_of(config.vlm_config)
        self.facts = VLMS[self.model_type]
        self.image_arguments = frozenset(inspect.signature(self.core.forward).parameters).difference(NOT_OF_IMAGES)
        self.image_token_id = image_token_of(config.vlm_config)

    @property
    def turned_weights(self) -> tuple[str, ...]:
        """See `PortableWeights`."""
        return EXPERTS if self.facts.turned_experts else ()

    @property
    def language_model(self) -> nn.Module:
        return self.vlm

    @property
    def core(self) -> nn.Module:
        """The VLM without its language model's head, where that stands apart."""
        return getattr(self.vlm, "model", self.vlm)

    @property
    def language_part(self) -> nn.Module:
        """The part of the VLM that is a language model."""
        return part_of(self.core, LANGUAGE_NAMES)

    @property
    def vision_parts(self) -> list[nn.Module]:
        """What `freeze_vision_tower` freezes; the VLM's projector trains."""
        return [part_of(self.core, VISION_NAMES)]

    @property
    def implementation(self) -> str | None:
        """Of the attention of the language model."""
        return self.language_part.config._attn_implementation

    @property
    def has_grid(self) -> bool:
        """Whether images come as patches with a grid of their sizes, and positions in three dimensions."""
        return hasattr(self.core, "get_rope_index")

    @property
    def is_one_piece(self) -> bool:
        """Whether nothing but the vision tower asks a device for a number in a prediction."""
        return not self.facts.layered_features and not asks_in_layers(self.text_config)

    @property
    def may_be_padded(self) -> bool:
        """Whether padding behind prompts changes nothing but roundings, and no padding is taken for an image."""
        windowed = self.facts.open_images and has_windows(self.text_config)  # transformers makes its masks
        return self.image_token_id != 0 and not windowed and not reads_padding(self.text_config)

    @property
    def text_config(self) -> PretrainedConfig:
        """Of the language model's layers."""
        return without_head(self.language_part).config

    def is_image(self, input_ids: torch.LongTensor) -> torch.Tensor:
        """(batch, length) bool, true on image tokens."""
        return input_ids == self.image_token_id

    def embed(self, input_ids: torch.LongTensor) -> torch.Tensor:
        """(batch, length, hidden_size)."""
        return self.vlm.get_input_embeddings()(input_ids)

    def reads_sizes(self, prompt: Prompt) -> bool:
        """Whether the vision tower reads sizes, masks or grids of the images as numbers of the host."""
        return self.facts.reads_sizes or "image_sizes" in prompt.images

    def with_features(self, prompt: Prompt) -> Prompt:
        """With the features of all images, (tokens, hidden_size); as it is, where the language model's layers read the
        images themselves. Whether they are as many as the image tokens is looked at where no device is waited for.
        """
        if prompt.features is not None or not self.facts.replaceable_features:
            return prompt
        features = self.all_features(prompt.images)
        if prompt.is_image.device.type == "cpu" and not torch.compiler.is_compiling():
            check_count(int(prompt.is_image.numpy().sum()), len(features))
        return prompt._replace(features=features)

    def image_features(self, prompt: Prompt) -> torch.Tensor | list[torch.Tensor]:
        """Features of each sample as they enter the language model's layers, (tokens, hidden_size) each.

        One tensor where all samples have as many; that they do is known beforehand where each has its row of views. In
        a prediction it is one tensor always, with places for text between the images; see `real_features`.
        """
        if self.has_gaps(prompt):
            return self.placed_features(prompt)
        features, batch = self.joined_features(prompt), len(prompt.input_ids)
        if batch > 1 and not self.has_rows(prompt):
            rows = features.split(prompt.is_image.sum(dim=1).tolist())
            return torch.stack(rows) if len({len(row) for row in rows}) == 1 else list(rows)
        return features.unflatten(0, (batch, -1))

    def has_rows(self, prompt: Prompt) -> bool:
        """Whether each sample has its row of views, as many as the others and of one size."""
        if self.has_grid or self.facts.tiled or "image_sizes" in prompt.images:
            return False
        return prompt.pixel_values.dim() == 5 or (self.facts.one_size and len(prompt.pixel_values) == len(prompt.real))

    def has_gaps(self, prompt: Prompt) -> bool:
        """Whether the features of a sample lie at the places of its image tokens, since their number is not known."""
        return prompt.features is not None and len(prompt.real) > 1 and not self.has_rows(prompt)

    def real_features(self, prompt: Prompt) -> torch.Tensor | None:
        """Which of `image_features` are no padding, (batch, tokens) bool; `None`: all."""
        return prompt.is_image if self.has_gaps(prompt) else None

    def placed_features(self, prompt: Prompt) -> torch.Tensor:
        """(batch, length, hidden_size): the features at the places of the image tokens, anything elsewhere."""
        return at_image_tokens(self.joined_features(prompt), prompt.is_image)

    def joined_features(self, prompt: Prompt) -> torch.Tensor:
        """Of all images as they enter the layers, as many as there are image tokens: (tokens, hidden_size).

        Raises:
            InputError: there are more or fewer.
        """
        return self.counted_features(prompt) * self.input_scale

    def counted_features(self, prompt: Prompt) -> torch.Tensor:
        """As `joined_features`, before the language model multiplies what it reads."""
        if prompt.features is not None:
            return prompt.features
        features = self.all_features(prompt.images)
        if not torch.compiler.is_compiling():
            check_count(int(prompt.is_image.sum()), len(features))
        return features

    def all_features(self, given: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(tokens, hidden_size), of `Prompt.images`."""
        known = inspect.signature(self.core.get_image_features).parameters
        grid = given["image_grid_thw"].cpu() if self.facts.takes_lengths and "image_grid_thw" in given else None
        images = self.images(sizes_on_host(given), grid)
        if grid is not None:
            images = grid_arguments(self.vision_parts[0], images, grid)
        if "kwargs" not in known:  # through which 4.57 hands sizes of images to a tower
            images = {name: value for name, value in images.items() if name in known}
        if self.facts.projects_apart:
            features = self.core.multi_modal_projector(self.own_features(images, known))
        else:
            features = self.core.get_image_features(**images)
            features = getattr(features, "pooler_output", features)  # 5.x wraps them
        if not isinstance(features[0], torch.Tensor):
            features = features[0]  # Qwen3-VL on 4.57: the others are for deeper layers
        features = features if isinstance(features, torch.Tensor) else torch.cat([f.flatten(0, -2) for f in features])
        return features.flatten(0, -2)

    def own_features(self, images: Mapping[str, torch.Tensor], known: Mapping[str, Any]) -> torch.Tensor:
        """(images, tokens, size of the tower): what `get_image_features` returns of a VLM that projects behind it."""
        strategy = "vision_feature_select_strategy"  # which 4.57 wants to be told
        options = {strategy: getattr(self.vlm.config.vision_config, strategy)} if strategy in known else {}
        features = self.core.get_image_features(**images, **options)
        return getattr(features, "last_hidden_state", features)

    def images(
        self, given: Mapping[str, torch.Tensor], grid: torch.LongTensor | None = None
    ) -> dict[str, torch.Tensor]:
        """The VLM's arguments, of `Prompt.images`; grid: see `check_patches`."""
        if self.has_grid:
            if "image_grid_thw" not in given:
                raise InputError(f"image_grid_thw is missing: a {self.model_type} reads images as patches.")
            check_patches(given["pixel_values"], given["image_grid_thw"], grid)
        images = {name: value for name, value in given.items() if name in self.image_arguments}
        if self.has_grid or self.facts.tiled:
            return images
        return {**images, "pixel_values": views_of(given["pixel_values"]).flatten(0, 1)}

    def run(self, sequence: TokenSequence) -> torch.Tensor:
        """States after the last layer's norm, (batch, tokens, hidden_size)."""
        if sequence.reads_images and self.facts.replaceable_features:
            sequence = sequence._replace(embeds=self.with_images(sequence), reads_images=False)
        prompt, real = sequence.prompt, sequence.real
        places = self.positions(real, prompt), image_places(prompt, real)
        if not self.pads_first(real.shape[1]):
            return self.run_as_it_stands(sequence, *places)
        moved, order = padding_first(sequence)
        places = (each.gather(-1, order.expand_as(each)) for each in places)
        return in_order(self.run_as_it_stands(moved, *places), order.argsort(dim=1))

    def pads_first(self, length: int) -> bool:
        """As of `ComposedBackbone`; Gemma 3's masks are always those of transformers."""
        if self.facts.full_prefix:
            return False
        windowed = self.facts.open_images and windows_below(self.text_config, length) != ()
        return self.facts.carries_state or windowed or counts_places(self.text_config, length)

    def run_as_it_stands(
        self, sequence: TokenSequence, positions: torch.LongTensor, places: torch.LongTensor
    ) -> torch.Tensor:
        """As `run`, with padding where it is, and images in their places unless the layers read them.

        positions: see `positions`; places: of images, see `image_places`.
        """
        arguments = self.images(sequence.prompt.images) if sequence.reads_images else {}
        if "cross_attention_mask" in arguments:
            arguments["cross_attention_mask"] = of_length(arguments["cross_attention_mask"], sequence.real.shape[1])
        # PaliGemma's mask is given whole; in training 5.0 to 5.8 want its types all the same.
        if self.facts.open_images or (self.facts.full_prefix and self.core.training):
            arguments["token_type_ids"] = places
        stack = without_head(self.language_part) if self.facts.stack_alone else self.core
        return stack(
            inputs_embeds=sequence.embeds,
            attention_mask=self.mask(sequence),
            position_ids=positions,
            use_cache=False,
            **arguments,
        ).last_hidden_state

    def mask(self, sequence: TokenSequence) -> torch.Tensor | dict[str, torch.Tensor]:
        """Who sees whom, as the VLM takes it."""
        real, dtype = sequence.real, sequence.embeds.dtype
        if self.facts.full_prefix:
            written = torch.zeros_like(real) if sequence.written is None else sequence.written
            return mask_for(self.implementation, full_prefix(real, written, sequence.num_added), dtype)
        if self.facts.open_images or self.facts.carries_state:
            return real.long()
        return causal_masks(self.text_config, real, dtype)

    def with_images(self, sequence: TokenSequence) -> torch.Tensor:
        """Embeddings of a sequence, features in the places of its image tokens."""
        embeds, prompt = sequence.embeds, sequence.prompt
        known = prompt.input_ids.shape[1]
        placed = at_image_tokens(self.counted_features(prompt), prompt.is_image).to(embeds.dtype)
        placed = torch.where(prompt.is_image.unsqueeze(-1), placed, embeds[:, :known])
        return torch.cat([placed, embeds[:, known:]], dim=1)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(batch, length, vocabulary) of states as of `run`."""
        return self.vlm.get_output_embeddings()(states)

    def positions(self, real: torch.Tensor, prompt: Prompt | None) -> torch.LongTensor:
        """(batch, length), or (3, batch, length) for a VLM that places image tokens in three dimensions.

        real: (batch, length) bool; prompt: whose tokens the sequence starts with, see `TokenSequence`.
        """
        if not self.has_grid:
            return text_positions(real, self.facts.first_position)
        if prompt is None:
            return text_positions(real)[None].expand(3, -1, -1)
        known = prompt.input_ids.shape[1]
        places = rope_positions(self.vlm, prompt.input_ids, real[:, :known].long(), prompt.images.get("image_grid_thw"))
        last = places.amax(dim=0).masked_fill(~real[:, :known], 0).amax(dim=1, keepdim=True)
        more = last + real[:, known:].long().cumsum(dim=1)
        return torch.cat([places, more[None].expand(3, -1, -1)], dim=2)

    def generate_as_it_is(self, prompt: Prompt, **kwargs) -> torch.LongTensor:
        """Prompts and new tokens, by the VLM's own `generate`, with the images where it puts them."""
        real, ids, is_image = padding_before(prompt.real, prompt.input_ids, prompt.is_image)
        if prompt.pixel_values is not None:
            kwargs |= self.images(prompt.images) | self.token_types(prompt._replace(input_ids=ids, is_image=is_image))
        if "cross_attention_mask" in kwargs:
            _, kwargs["cross_attention_mask"] = padding_before(prompt.real, kwargs["cross_attention_mask"])
        return with_prompts(self.vlm.generate(input_ids=ids, attention_mask=real.long(), **kwargs), prompt.input_ids)

    def token_types(self, prompt: Prompt) -> dict[str, torch.Tensor]:
        """What some VLMs want to be told about a prompt: that it is one, and where its images are."""
        is_image = prompt.is_image.int()
        types = {"token_type_ids": is_image if self.facts.open_images else torch.zeros_like(prompt.input_ids)}
        types["mm_token_type_ids"] = is_image
        known = inspect.signature(self.core.forward).parameters
        return {name: value for name, value in types.items() if name in known}

    def generate(self, sequence: TokenSequence, **kwargs) -> torch.LongTensor:
        """New tokens, by the VLM's own `generate`.

        Raises:
            InputError: it takes no embeddings, or needs the ids for its positions.
        """
        known = inspect.signature(self.vlm.prepare_inputs_for_generation).parameters
        if self.has_grid or "inputs_embeds" not in known:
            raise InputError(
                f"a {self.model_type} generates text only with its own projector, and early or cross_attention fusion."
            )
        return self.vlm.generate(inputs_embeds=sequence.embeds, attention_mask=sequence.real.long(), **kwargs)


def part_of(vlm: nn.Module, names: Sequence[str]) -> nn.Module:
    """The part of a VLM that has one of these names."""
    return next(getattr(vlm, name) for name in names if hasattr(vlm, name))


def of_length(cross_attention_mask: torch.Tensor, length: int) -> torch.Tensor:
    """(batch, length, images, tiles): tokens behind a prompt look at the images that its last token looks at.

    cross_attention_mask: (batch, prompt length, images, tiles), as the VLM's processor makes it.
    """
    known = cross_attention_mask.shape[1]
    last = cross_attention_mask[:, -1:].expand(-1, length - known, -1, -1)
    return torch.cat([cross_attention_mask, last], dim=1)


def at_image_tokens(features: torch.Tensor, is_image: torch.Tensor) -> torch.Tensor:
    """(batch, length, size): features (tokens, size) in the places where `is_image` (batch, length) is true, one after
    the other, and anything elsewhere."""
    index = (is_image.flatten().cumsum(dim=0) - 1).clamp(0, len(features) - 1)
    return features[index].unflatten(0, is_image.shape)


def image_places(prompt: Prompt | None, real: torch.Tensor) -> torch.LongTensor:
    """(batch, length), 1 on image tokens of a sequence that starts with those of the prompt; real: like it."""
    if prompt is None:
        return torch.zeros_like(real, dtype=torch.long)
    return F.pad(prompt.is_image.long(), (0, real.shape[1] - prompt.is_image.shape[1]))


def check_count(found: int, num_features: int) -> None:
    """Refuse more or fewer image tokens than features."""
    if found != num_features:
        raise InputError(f"input_ids has {found} image tokens, the images {num_features} features.")


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
    """Id of the token in whose place image features go; its name differs between models and lines.

    Raises:
        ConfigError: the config has none, as those of the first BLIP-2 checkpoints.
    """
    found = (getattr(config, name, None) for name in ("image_token_id", "image_token_index"))
    index = next((value for value in found if value is not None), None)
    if index is None:
        raise ConfigError(
            f"vlm_config.image_token_index is missing: a {kind_of(config)} puts image features in that token's place."
        )
    return index
