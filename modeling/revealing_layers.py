"""Layers of a transformer whose weights show in its output where they are not finite: no look at them is needed.

A weight or bias of a linear layer that is NaN or infinite makes a product NaN or infinite for every token, since zero
times either is NaN. What is added to the states that go from layer to layer stays there: a norm makes NaN of infinity,
sums, products, GELU and SiLU keep NaN and make it of minus infinity, and tokens attend to values that are NaN or
infinite with weights that make NaN of them, zero among these. So values, the output of attention, MLPs and FiLM reveal
themselves. Queries and keys do not: scores that are all NaN or minus infinity are zeros to torch's attention on a CPU.
Nor does what a softmax, a ReLU, or a choice of tokens reads, which makes a finite number of minus infinity.
"""

from torch import nn
from transformers.activations import ACT2FN
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaDecoderLayer, LlamaMLP

from .film import FiLM
from .fused_linears import is_unhooked
from .mlp import MLP
from .vision_layers import VisionAttention, VisionBlock

SILU = type(ACT2FN["silu"])
ATTENTION = ("sdpa", "eager")  # implementations whose weights of values are known to be numbers, all of them


def revealing_in_decoder_layer(layer: LlamaDecoderLayer) -> list[nn.Module]:
    """Of a Llama's layer, or of one that does the same with some of its tokens: those on which an answer depends."""
    attention, mlp = layer.self_attn, layer.mlp
    kinds = type(attention), type(mlp), type(mlp.act_fn)
    if kinds != (LlamaAttention, LlamaMLP, SILU) or attention.config._attn_implementation not in ATTENTION:
        return []
    if not all(is_unhooked(module) for module in (layer, attention, mlp)):
        return []
    return [attention.v_proj, attention.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj]


def revealing_in_vision_block(block: nn.Module) -> list[nn.Module]:
    """Of a `VisionBlock`, in a tower whose last states an answer depends on."""
    if type(block) is not VisionBlock or type(block.attn) is not VisionAttention or type(block.mlp) is not MLP:
        return []
    films = [] if block.film is None else [block.film]
    if not all(is_unhooked(module) for module in (block, block.attn, block.mlp, *films)):
        return []
    modulating = [linear for film in films if type(film) is FiLM for linear in (film.scale, film.shift)]
    return [block.attn.proj, block.mlp.fc1, block.mlp.fc2, *modulating]
