"""What goes through a composed VLA: a batch of prompts with their images, and the one sequence that they become."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ...configuration.vla_errors import InputError
from ..input_checks import check_ids, check_rows, check_tensor, model_device
from ..masking import check_mask, without_answers
from .gated_cross_attention import SeenByLayers

TOKEN_TYPES = ("token_type_ids", "mm_token_type_ids")


class Prompt(NamedTuple):
    """Prompts and their images, checked.

    Attributes:
        input_ids: (batch, length).
        real: (batch, length) bool, false on padding.
        is_image: (batch, length) bool, true on image tokens, which only a VLM has.
        images: what the vision tower or the VLM reads, by the names of its arguments; empty where text is written
            without images. `pixel_values` is among them, and with some VLMs sizes, masks or grids of the images.
        features: of the images, where a prediction has made them before; see `with_features` of the backbones.
    """

    input_ids: torch.LongTensor
    real: torch.Tensor
    is_image: torch.Tensor
    images: Mapping[str, torch.Tensor] = MappingProxyType({})
    features: torch.Tensor | None = None

    @property
    def pixel_values(self) -> torch.Tensor | None:
        """(batch, views, 3, height, width), or without views; what a VLM calls so; `None`: no images."""
        return self.images.get("pixel_values")

    def shortened(self, length: int) -> "Prompt":
        """Without what is behind the first `length` places, which is padding."""
        rows = {name: getattr(self, name)[:, :length] for name in ("input_ids", "real", "is_image")}
        return self._replace(**rows)

    def without(self, answer_mask: torch.Tensor) -> "Prompt":
        """The same, answers hidden as padding is; answer_mask: (batch, length), 1 on their tokens.

        Raises:
            InputError: a mask of another shape, or a row of answers alone.
        """
        real = without_answers(self.input_ids, self.real, answer_mask)
        check_rows(real)
        return self._replace(real=real != 0)


class TokenSequence(NamedTuple):
    """All tokens that the language model reads, in one sequence.

    Attributes:
        embeds: (batch, tokens, hidden_size), divided by what the language model multiplies them by.
        real: (batch, tokens) bool, false on padding.
        text: where the prompt's text is.
        prompt: of a VLM, whose tokens the sequence starts with and whose images have their places there; `None` where
            images are tokens of ours, or not in the sequence.
        reads_images: whether the VLM puts the images of `prompt` in the places of its image tokens.
        written: (batch, tokens) bool, text that is being written and sees only what is before it; `None`: none.
        num_added: tokens at the end that the language model does not know.
        seen: what layers of the language model see of images that are not in the sequence.
    """

    embeds: torch.Tensor
    real: torch.Tensor
    text: slice = slice(None)
    prompt: Prompt | None = None
    reads_images: bool = False
    written: torch.Tensor | None = None
    num_added: int = 0
    seen: SeenByLayers | None = None


def padding_first(sequence: TokenSequence) -> tuple[TokenSequence, torch.LongTensor]:
    """The same with padding before all tokens, and where each token came from, (batch, tokens).

    For layers that hand a state from token to token, which padding between tokens would wear off, or that see as many
    places as a window is wide. The prompt stays as it was.
    """
    order = sequence.real.long().argsort(dim=1, stable=True)
    moved = sequence._replace(embeds=in_order(sequence.embeds, order), real=sequence.real.gather(1, order))
    return moved, order


def in_order(tokens: torch.Tensor, order: torch.LongTensor) -> torch.Tensor:
    """Tokens (batch, length, size) in another order, (batch, length)."""
    return tokens.gather(1, order.unsqueeze(-1).expand_as(tokens))


def checked_prompt(
    model: PreTrainedModel,
    input_ids: torch.LongTensor,
    attention_mask: torch.Tensor | None,
    pixel_values: torch.Tensor | None,
    image_grid_thw: torch.LongTensor | None = None,
    vlm_inputs: Mapping[str, torch.Tensor] = MappingProxyType({}),
    waits: bool = True,
) -> Prompt:
    """A prompt out of the arguments of a public method, its pixels in the model's dtype.

    Args:
        model: a `MultimodalVLAForActionPrediction`.
        vlm_inputs: further arguments of the VLM that its own processor returned beside the pixels. Token types are not
            read: they follow from the ids, and tokens come behind those.
        waits: look for rows of padding alone also where a device has to be waited for.

    Raises:
        InputError: an id has no embedding, a row is padding alone, or the backbone does not read such an argument.
    """
    check_ids(input_ids, model.get_input_embeddings())
    real = check_mask(input_ids, attention_mask)
    if attention_mask is not None and (waits or real.device.type == "cpu"):
        check_rows(real)
    given = {"image_grid_thw": image_grid_thw, **vlm_inputs}
    further = {name: value for name, value in given.items() if value is not None and name not in TOKEN_TYPES}
    check_vlm_inputs(model, further)
    given = {"pixel_values": pixel_values, **further}
    images = {name: in_dtype(value, model.dtype) for name, value in given.items() if value is not None}
    return Prompt(input_ids, real, model.backbone.is_image(input_ids), images)


def check_vlm_inputs(model: PreTrainedModel, vlm_inputs: Mapping[str, torch.Tensor]) -> None:
    """Refuse arguments that the backbone does not read, by name, and what is no tensor on the model's device."""
    known = model.backbone.image_arguments
    for name, value in vlm_inputs.items():
        if name not in known:
            raise InputError(
                f"{name} is no argument of this model, whose {model.backbone.model_type} reads "
                f"{', '.join(sorted(known))}."
            )
        check_tensor(name, value, model_device(model))


def in_dtype(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Real numbers in the dtype of a model; sizes, masks and grids as they are."""
    return value.to(dtype) if value.is_floating_point() else value


def check_samples(count: int, prompt: Prompt) -> None:
    """Refuse images of more or fewer samples than the prompt has."""
    if count != len(prompt.input_ids):
        raise InputError(f"pixel_values holds {count} samples, input_ids {len(prompt.input_ids)}.")


def check_state(state: torch.Tensor | None, batch_size: int, config: MultimodalVLAConfig) -> None:
    """Refuse a robot's state that is missing, not wanted, or not of shape (batch, state_dim)."""
    if not config.use_state:
        if state is not None:
            raise InputError("state was given, but this model takes no robot state (use_state is False).")
        return
    wanted = batch_size, config.state_dim
    if state is None or tuple(state.shape) != wanted:
        found = None if state is None else tuple(state.shape)
        if found is None:
            raise InputError(f"state is missing: this checkpoint needs the normalised robot state, {wanted}.")
        raise InputError(f"state has shape {found}; (batch, state_dim) is {wanted}.")


def check_writes_text(config: MultimodalVLAConfig, asked: str) -> None:
    """Refuse what needs a language model of an encoder; asked: what that is."""
    if not config.writes_text:
        raise InputError(
            f"{asked} needs a language model, and text_config.model_type={config.text_config.model_type!r} is an "
            "encoder: it scores no next token. Ask for actions, or compose with a decoder-only model."
        )
