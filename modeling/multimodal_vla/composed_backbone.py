"""The pretrained part of a composed VLA: a vision tower and a language model that do not know each other.

Both come from transformers' Auto classes, and only their documented outputs are read.
"""

import inspect

import torch
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM

from ...configuration.multimodal_vla.backbone_facts import TWO_TOWERS
from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ...configuration.vla_errors import ConfigError
from ..input_checks import views_of
from .language_model_rules import first_position, language_logits, scale_of_inputs, text_positions, without_head
from .multimodal_inputs import Prompt, TokenSequence


class ComposedBackbone(nn.Module):
    """A model of `AutoModel` and one of `AutoModelForCausalLM`.

    Attributes:
        image_arguments: names of what `Prompt.images` may hold.
        model_type: of the vision tower, for messages.
        input_scale: the language model multiplies embeddings by it; what is not its own is divided first.
    """

    has_image_tokens = False
    turned_weights = ()  # see `PortableWeights`
    image_arguments = frozenset(["pixel_values"])

    def __init__(self, config: MultimodalVLAConfig):
        super().__init__()
        self.vision_tower = AutoModel.from_config(config.vision_config)
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)
        self.input_scale = scale_of_inputs(config.text_config)
        self.model_type = config.vision_config.model_type
        self.image_size = config.image_size
        self.first_position = first_position(config.text_config)
        self.has_two_towers = config.vision_config.model_type in TWO_TOWERS
        check_arguments_of_tower(self.tower, config.vision_config.model_type)
        self.interpolates = "interpolate_pos_encoding" in inspect.signature(self.tower.forward).parameters
        self.arguments_of_stack = frozenset(inspect.signature(self.stack.forward).parameters)

    @property
    def language_part(self) -> nn.Module:
        return self.language_model

    @property
    def frozen_part(self) -> nn.Module:
        """What `freeze_vision_tower` freezes."""
        return self.vision_tower

    @property
    def tower(self) -> nn.Module:
        """What reads pixels, without the text tower that may be beside it."""
        return self.vision_tower.vision_model if self.has_two_towers else self.vision_tower

    def is_image(self, input_ids: torch.LongTensor) -> torch.Tensor:
        """(batch, length) bool: no token stands for an image."""
        return torch.zeros_like(input_ids, dtype=torch.bool)

    def embed(self, input_ids: torch.LongTensor) -> torch.Tensor:
        """(batch, length, hidden_size)."""
        return self.language_model.get_input_embeddings()(input_ids)

    def image_features(self, prompt: Prompt) -> torch.Tensor:
        """Features of each sample, (batch, views * patches, width of the vision tower)."""
        views = views_of(prompt.pixel_values)
        features = self.tower(views.flatten(0, 1), **self.of_size(views)).last_hidden_state
        return features.unflatten(0, views.shape[:2]).flatten(1, 2)

    def of_size(self, views: torch.Tensor) -> dict[str, bool]:
        """The argument that towers with a fixed size need for pixels of another one."""
        size = self.image_size
        wanted = (size, size) if isinstance(size, int) else size
        fits = wanted is None or tuple(views.shape[-2:]) == tuple(wanted)
        return {} if fits or not self.interpolates else {"interpolate_pos_encoding": True}

    def run(self, sequence: TokenSequence) -> torch.Tensor:
        """States after the last layer's norm, (batch, tokens, hidden_size)."""
        arguments = {"use_cache": False, "position_ids": text_positions(sequence.real, self.first_position)}
        return self.stack(
            inputs_embeds=sequence.embeds,
            attention_mask=sequence.real.long(),
            **{name: value for name, value in arguments.items() if name in self.arguments_of_stack},
        ).last_hidden_state

    @property
    def stack(self) -> nn.Module:
        """The language model without its head."""
        return without_head(self.language_model)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(batch, length, vocabulary) of states as of `run`."""
        return language_logits(self.language_model, states)

    def generate(self, sequence: TokenSequence, **kwargs) -> torch.LongTensor:
        """New tokens, by the language model's own `generate`."""
        return self.language_model.generate(
            inputs_embeds=sequence.embeds, attention_mask=sequence.real.long(), **kwargs
        )


def check_arguments_of_tower(tower: nn.Module, kind: str) -> None:
    """Refuse a vision tower that does not read pixels alone; kind: its model type.

    Raises:
        ConfigError: its forward begins with another argument than `pixel_values`, or needs more than that.
    """
    first, *others = inspect.signature(tower.forward).parameters.values()
    needed = [one.name for one in others if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
    if first.name != "pixel_values" or needed:
        raise ConfigError(
            f"vision_config.model_type={kind!r} cannot be the vision tower of a composed VLA: it reads "
            f"{', '.join([first.name, *needed])}, and a tower is given pixel_values alone."
        )
