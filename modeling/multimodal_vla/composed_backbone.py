"""The pretrained part of a composed VLA: vision towers, one or two, and a text model that do not know each other.

Both come from transformers' Auto classes, and only their documented outputs are read.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import AutoModel

from ...configuration.multimodal_vla.backbone_facts import CARRIES_STATE, READS_PATCHES, TWO_TOWERS
from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ...configuration.vla_errors import InputError
from ..cache_names import CACHE_NAMES, cache_argument
from ..input_checks import views_of
from ..stack_passes import without_checkpointing
from .gated_cross_attention import SEEN, CacheWithImages, SeenByLayers
from .image_sizes import sizes_on_host
from .language_masks import asks_in_layers, causal_masks, counts_places, reads_padding
from .language_model_rules import first_position, language_logits, scale_of_inputs, text_positions, without_head
from .multimodal_inputs import Prompt, TokenSequence, check_samples, in_order, padding_first
from .naflex_images import SHAPES, NaflexImages, naflex_images
from .text_encoders import bidirectional_states, text_model_class
from .tower_conditioning import Conditions
from .tower_features import features_of_tower
from .tower_outputs import check_arguments_of_tower


class ComposedBackbone(nn.Module):
    """One or two models of `AutoModel` and one of `AutoModelForCausalLM`, or an encoder in its place.

    Attributes:
        image_arguments: names of what `Prompt.images` may hold.
        model_type: of the vision tower, the first of two, for messages.
        weighs_towers: the features of two towers are weighed by the instruction, and not read side by side.
        input_scale: the language model multiplies embeddings by it; what is not its own is divided first.
    """

    has_image_tokens = False
    turned_weights = ()  # see `PortableWeights`

    def __init__(self, config: MultimodalVLAConfig):
        super().__init__()
        for field in config.towers:
            check_arguments_of_tower(field, getattr(config, field))
        self.vision_tower = AutoModel.from_config(config.vision_config)
        second = config.second_vision_config
        self.second_vision_tower = None if second is None else AutoModel.from_config(second)
        self.language_model = text_model_class(config.text_config).from_config(config.text_config)
        self.writes_text = config.writes_text
        self.input_scale = scale_of_inputs(config.text_config)
        self.model_type = config.vision_config.model_type
        self.image_sizes = [getattr(tower, "image_size", None) for tower in config.towers.values()]
        self.feature_layer = config.vision_feature_layer
        self.weighs_towers = config.vision_aggregate_type == "moe"
        self.first_position = first_position(config.text_config)
        self.has_two_towers = config.vision_config.model_type in TWO_TOWERS
        self.arguments = [frozenset(inspect.signature(tower.forward).parameters) for tower in self.towers]
        self.reads_patches = self.tower.config.model_type in READS_PATCHES
        self.image_arguments = frozenset(SHAPES if self.reads_patches else ["pixel_values"])
        self.arguments_of_stack = frozenset(inspect.signature(self.stack.forward).parameters)

    @property
    def first_named_parts(self) -> tuple[str, ...]:
        """See `PortableWeights`."""
        second = ("backbone.second_vision_tower",) if self.second_vision_tower is not None else ()
        return ("backbone.vision_tower", *second)

    @property
    def language_part(self) -> nn.Module:
        return self.language_model

    @property
    def vision_parts(self) -> list[nn.Module]:
        """What `freeze_vision_tower` freezes."""
        return [part for part in (self.vision_tower, self.second_vision_tower) if part is not None]

    @property
    def tower(self) -> nn.Module:
        """What reads pixels, without the text tower that may be beside it; the first of two vision towers."""
        return self.vision_tower.vision_model if self.has_two_towers else self.vision_tower

    @property
    def towers(self) -> list[nn.Module]:
        """All that read pixels, one or two."""
        return [self.tower, *self.vision_parts[1:]]

    @property
    def is_one_piece(self) -> bool:
        """As of `VLMBackbone`."""
        return not asks_in_layers(self.stack.config)

    def pads_first(self, length: int) -> bool:
        """Whether padding between the tokens of a sequence has to go before them: a state runs on through it, or it
        counts as a place."""
        config = self.stack.config
        return config.model_type in CARRIES_STATE or counts_places(config, length)

    @property
    def may_be_padded(self) -> bool:
        """As of `VLMBackbone`."""
        return not reads_padding(self.stack.config)

    def reads_sizes(self, prompt: Prompt) -> bool:
        """Whether the vision tower reads shapes of the images as numbers of the host."""
        return self.reads_patches

    def with_features(self, prompt: Prompt) -> Prompt:
        """With the features of images that come as patches, whose shapes a device is asked for once."""
        images = sizes_on_host(prompt.images)
        return prompt._replace(features=self.image_features(prompt._replace(images=images)))

    def is_image(self, input_ids: torch.LongTensor) -> torch.Tensor:
        """(batch, length) bool: no token stands for an image."""
        return torch.zeros_like(input_ids, dtype=torch.bool)

    def embed(self, input_ids: torch.LongTensor) -> torch.Tensor:
        """(batch, length, hidden_size)."""
        return self.language_model.get_input_embeddings()(input_ids)

    def image_features(self, prompt: Prompt, conditions: Conditions | None = None) -> torch.Tensor:
        """Features of each sample, (batch, views * tokens, width), those of two towers side by side in the width.

        conditions: what is done inside of the towers, where that is something.
        """
        if prompt.features is not None:
            return prompt.features
        if self.reads_patches:
            return self.patch_features(naflex_images(prompt.images), prompt)
        towers, inside, embedding = self.towers, [None] * 2, None
        if conditions is not None:
            inside, embedding = conditions
        views = views_of(prompt.pixel_values, channels=3 * len(towers))
        check_samples(len(views), prompt)
        pixels = views.flatten(0, 1).split(3, dim=1)  # of each tower in its own normalisation
        options = self.feature_layer, len(towers) > 1
        features = [
            features_of_tower(tower, pixels[i], self.of_size(i, views), inside[i], embedding, *options)
            for i, tower in enumerate(towers)
        ]
        return torch.cat(features, dim=-1).unflatten(0, views.shape[:2]).flatten(1, 2)

    def patch_features(self, images: NaflexImages, prompt: Prompt) -> torch.Tensor:
        """As `image_features`, of pictures that come as patches."""
        check_samples(len(images.pixel_values), prompt)
        pixels, further = images.pixel_values, images.further(self.arguments[0])
        features = features_of_tower(
            self.tower, pixels.flatten(0, 1), further, None, None, self.feature_layer, patches_alone=False
        )
        return features.unflatten(0, pixels.shape[:2]).flatten(1, 2)

    def real_features(self, prompt: Prompt) -> torch.Tensor | None:
        """Which of `image_features` are no padding, (batch, views * tokens) bool; `None`: all."""
        return naflex_images(prompt.images).real if self.reads_patches else None

    def of_size(self, number: int, views: torch.Tensor) -> dict[str, bool]:
        """The argument that a tower with a fixed size needs for pixels of another one."""
        size = self.image_sizes[number]
        wanted = (size, size) if isinstance(size, int) else size
        fits = wanted is None or tuple(views.shape[-2:]) == tuple(wanted)
        can_fit = "interpolate_pos_encoding" in self.arguments[number]
        return {"interpolate_pos_encoding": True} if can_fit and not fits else {}

    def run(self, sequence: TokenSequence) -> torch.Tensor:
        """States after the last layer's norm, (batch, tokens, hidden_size)."""
        if not self.writes_text:
            return bidirectional_states(self.stack, sequence.embeds, sequence.real)
        if self.pads_first(sequence.real.shape[1]):
            moved, order = padding_first(sequence)
            return in_order(self.run_as_it_stands(moved), order.argsort(dim=1))
        return self.run_as_it_stands(sequence)

    def run_as_it_stands(self, sequence: TokenSequence) -> torch.Tensor:
        """As `run`, with padding where it is; in the dtype of what was read, also where a stack keeps its residuals in
        float32 (Mamba)."""
        arguments = {"use_cache": False, "position_ids": text_positions(sequence.real, self.first_position)}
        states = self.stack(
            inputs_embeds=sequence.embeds,
            attention_mask=causal_masks(self.stack.config, sequence.real, sequence.embeds.dtype),
            **{name: value for name, value in arguments.items() if name in self.arguments_of_stack},
            **({} if sequence.seen is None else {SEEN: sequence.seen}),
        ).last_hidden_state
        return states.to(sequence.embeds.dtype)

    @property
    def stack(self) -> nn.Module:
        """The language model without its head."""
        return without_head(self.language_model)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(batch, length, vocabulary) of states as of `run`."""
        return language_logits(self.language_model, states)

    def generate(self, sequence: TokenSequence, **kwargs) -> torch.LongTensor:
        """New tokens, by the language model's own `generate`.

        Raises:
            InputError: layers look at images, and an option leaves no cache of ours to bring them there.
        """
        inputs = {"inputs_embeds": sequence.embeds, "attention_mask": sequence.real.long()}
        if sequence.seen is None:
            return self.language_model.generate(**inputs, **kwargs)
        with without_checkpointing(self.stack.layers):  # it drops caches
            return self.language_model.generate(**inputs, **kwargs | self.cache_for(sequence.seen, kwargs))

    def cache_for(self, seen: SeenByLayers, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of `generate` that take `seen` to the layers; given: those of the caller."""
        wrong = [name for name in ("cache_implementation", *CACHE_NAMES) if given.get(name) is not None]
        wrong += ["use_cache"] * (given.get("use_cache") is False)
        if wrong:
            raise InputError(
                f"{', '.join(wrong)} cannot be chosen with fusion='gated_cross_attention': the images reach the layers "
                "by the cache that generate makes; leave it out."
            )
        cache = CacheWithImages(self.language_model.config, seen)
        return {"use_cache": True, "cache_implementation": None, cache_argument(self.language_model.forward): cache}
