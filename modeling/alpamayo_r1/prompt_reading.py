"""Images and text through Alpamayo-R1's VLM in one pass, on both lines of transformers.

What depends on the values of `input_ids`, `attention_mask` and `image_grid_thw` is found out first (`places_of`); the
pass itself puts image features where the image tokens stand without asking the device for their number.
"""

from typing import Any

import torch
from torch import nn
from transformers import DynamicCache, Qwen3VLForConditionalGeneration
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from ..cache_names import cache_argument
from ..masking import check_mask
from ..mrope_positions import rope_positions
from ..prediction_core import padded_before, run_core
from ..stack_passes import without_checkpointing
from .vision_encoding import Grid, Images, PatchPlaces, can_encode, encode_images, grid_on_host, patch_places

TEXT_CACHE = cache_argument(Qwen3VLTextModel.forward)


def fuse_history(input_ids: torch.LongTensor, tokens: torch.LongTensor, placeholder: int) -> torch.LongTensor:
    """Prompts (batch, length) with a history's tokens (batch, n) in the place of its placeholders, where there are any.

    It has as many as there are tokens; the device is not asked.
    """
    places = input_ids == placeholder
    order = (places.cumsum(dim=1) - 1).clamp(0, tokens.shape[1] - 1)
    return torch.where(places, tokens.to(input_ids).gather(1, order), input_ids)


def read_images(
    model: nn.Module, pixel_values: torch.Tensor | None, image_grid_thw: torch.LongTensor | None
) -> tuple[Images | None, torch.LongTensor | None]:
    """Images of a prediction, or `None`, and their grid where the model computes.

    model: an `AlpamayoR1`; pixel_values: (patches, 1536); image_grid_thw: (images, 3), on the CPU.
    """
    if pixel_values is None:
        return None, None
    tower = model.vlm.model.visual
    if torch.compiler.is_compiling() or not can_encode(tower):
        return stock_images(model.vlm, pixel_values, image_grid_thw), image_grid_thw
    grid = grid_on_host(image_grid_thw)
    places = patch_places(grid, tower.spatial_merge_size, tower.num_grid_per_side, pixel_values.device)
    # All patches are one batch: their number is none that `max_batch_size` limits.
    return run_core(model, encode_scene, (pixel_values[None], places), grid), places.grid


def encode_scene(model: nn.Module, inputs: tuple[torch.Tensor, PatchPlaces], grid: Grid) -> Images:
    """Core: see `encode_images`."""
    return encode_images(model.vlm.model.visual, inputs[0][0], inputs[1], grid)


def stock_images(
    vlm: Qwen3VLForConditionalGeneration, pixel_values: torch.Tensor | None, image_grid_thw: torch.LongTensor | None
) -> Images | None:
    """As `read_images`, by the tower's own forward."""
    if pixel_values is None:
        return None
    output = vlm.model.visual(pixel_values, grid_thw=image_grid_thw.to(pixel_values.device))
    if isinstance(output, tuple):  # 4.57
        return Images(*output)
    return Images(output.pooler_output, output.deepstack_features)


def read_scene(
    model: nn.Module,
    input_ids: torch.LongTensor,
    attention_mask: torch.Tensor | None,
    pixel_values: torch.Tensor | None,
    image_grid_thw: torch.LongTensor | None,
) -> tuple[dict[str, Any], int, torch.LongTensor | None]:
    """All that depends on prompts and images alone, of values that were checked (`check_values`).

    model: an `AlpamayoR1`; image_grid_thw: (images, 3), on the CPU.

    Returns:
        `input_ids`; `positions` (3, batch, length); `real` (batch, length) bool, false on padding, or `None` where
        there was no mask; `images`, what the vision tower makes of them, or `None`. Before prompts there is as much
        more padding as fast prediction wants: how much, is the second. There is none where the expert sees padding
        (`mask_prompt_padding=False`): more of it is another answer. The third is the grid where the model computes.
    """
    length = input_ids.shape[1]
    if model.config.mask_prompt_padding:
        input_ids, attention_mask = padded_before(model, input_ids, attention_mask)
    images, grid = read_images(model, pixel_values, image_grid_thw)
    positions, real = places_of(model.vlm, input_ids, attention_mask, grid)
    real = None if attention_mask is None else real
    scene = {"input_ids": input_ids, "positions": positions, "real": real, "images": images}
    return scene, input_ids.shape[1] - length, grid


def places_of(
    vlm: Qwen3VLForConditionalGeneration,
    input_ids: torch.LongTensor,
    attention_mask: torch.Tensor | None,
    image_grid_thw: torch.LongTensor | None,
) -> tuple[torch.LongTensor, torch.Tensor]:
    """Positions (3, batch, length) and what is no padding, (batch, length) bool.

    Raises:
        InputError: there are more or fewer image tokens than the images have.
    """
    real = check_mask(input_ids, attention_mask)
    return rope_positions(vlm, input_ids, real.long(), image_grid_thw), real


def read_tokens(
    vlm: Qwen3VLForConditionalGeneration,
    input_ids: torch.LongTensor,
    positions: torch.LongTensor,
    real: torch.Tensor | None,
    images: Images | None,
    cache: DynamicCache | None,
) -> torch.Tensor:
    """Last hidden states (batch, length, hidden_size) of whole sequences.

    real: (batch, length) bool, or `None` where nothing is padded; cache: takes the keys and values.
    """
    embeds, deepstack = embedded(vlm, input_ids, images)
    added = {}
    if images is not None:
        # The stock layers add features to `states[places]`; with rows as places, to whole rows.
        added["visual_pos_masks"] = torch.arange(len(embeds), device=embeds.device)
        added["deepstack_visual_embeds"] = deepstack
    return vlm.model.language_model(
        inputs_embeds=embeds,
        attention_mask=None if real is None else real.long(),
        position_ids=positions,
        use_cache=cache is not None,
        **{TEXT_CACHE: cache},
        **added,
    ).last_hidden_state


def embedded(
    vlm: Qwen3VLForConditionalGeneration, input_ids: torch.LongTensor, images: Images | None
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Embeddings (batch, length, hidden_size) with images among them, and of that size what the first layers add."""
    embeds = vlm.get_input_embeddings()(input_ids)
    if images is None:
        return embeds, []
    is_image = input_ids == vlm.config.image_token_id
    embeds = torch.where(is_image[..., None], spread(images.tokens.to(embeds), is_image), embeds)
    return embeds, [spread(features.to(embeds), is_image) for features in images.deepstack]


def spread(features: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Features (n, size), one after the other, at the n true places (batch, length), and 0 elsewhere."""
    order = (places.flatten().cumsum(dim=0) - 1).clamp(min=0).view_as(places)
    return torch.where(places[..., None], features[order], 0)


def read_text(
    vlm: Qwen3VLForConditionalGeneration,
    input_ids: torch.LongTensor,
    positions: torch.LongTensor,
    real: torch.Tensor,
    images: tuple[torch.Tensor | None, torch.LongTensor | None],
    keep: bool,
    learns: bool,
) -> tuple[torch.Tensor, DynamicCache | None]:
    """The VLM over whole texts in training: states (batch, length, hidden_size), and keys and values.

    images: pixel_values and image_grid_thw.
    keep: keys and values are needed; the language model's layers are then not checkpointed.
    learns: a loss has gradients in the VLM, as far as it trains.
    """
    cache = DynamicCache() if keep else None
    learns = learns and torch.is_grad_enabled() and any(parameter.requires_grad for parameter in vlm.parameters())
    with torch.set_grad_enabled(learns), without_checkpointing(decoder_modules(vlm) if keep else []):
        return read_tokens(vlm, input_ids, positions, real, stock_images(vlm, *images), cache), cache


def decoder_modules(vlm: Qwen3VLForConditionalGeneration) -> list[nn.Module]:
    """The language model and its layers: all that may switch the cache off for the sake of checkpointing."""
    return [vlm.model.language_model, *vlm.model.language_model.layers]
