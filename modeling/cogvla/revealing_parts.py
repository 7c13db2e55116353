"""What of CogVLA needs no look behind a prediction on a CPU, see `revealing_layers.py`."""

from torch import nn
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from ..fused_linears import is_unhooked
from ..revealing_layers import revealing_in_decoder_layer, revealing_in_vision_block
from .film_vision_transformer import FiLMVisionTransformer
from .token_pruning import LFPDecoderLayer


def revealing_layers(model: nn.Module) -> list[nn.Module]:
    """Linear layers whose weights, where they are not finite, show in an answer or have no part in it.

    Of the towers, every token of which is NaN then, and with them those that the language model keeps. Of the language
    model: action tokens pass all its layers whole, pruned ones, too, and the answer is read from their states, or
    from logits that are looked at, all of them. Other heads than the discrete one do not read its `lm_head`.
    """
    language_model, backbone = model.language_model, model.vision_backbone
    towers = backbone.featurizer, backbone.fused_featurizer
    towers = [each for each in towers if is_known(each, FiLMVisionTransformer)]
    layers = [each for each in language_model.model.layers if is_known(each, LlamaDecoderLayer, LFPDecoderLayer)]
    found = [linear for tower in towers for block in tower.blocks for linear in revealing_in_vision_block(block)]
    found += [linear for layer in layers for linear in revealing_in_decoder_layer(layer)]
    return [*found, language_model.lm_head]


def is_known(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether its call does what one of these classes does."""
    return type(module) in kinds and is_unhooked(module)
