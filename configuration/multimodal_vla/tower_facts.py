"""How vision towers of transformers are built, by model type: what a composed VLA does inside of them, or side by side.

Read in the code of transformers, on the lines that it has; tests hold the features against those of the towers' own
calls.
"""

from typing import NamedTuple


class BlockNames(NamedTuple):
    """Attributes of a tower with pre-norm blocks, whose forward is embeddings, blocks, norm.

    Attributes:
        blocks: the list of blocks, from the tower.
        norm: behind the last block.
        norm1, attention, scale1, norm2, scale2: of a block, beside `mlp`; a scale is there with layer scale alone.
    """

    blocks: str
    norm: str
    norm1: str
    attention: str
    norm2: str
    scale1: str | None = None
    scale2: str | None = None


DINOV2 = BlockNames("encoder.layer", "layernorm", "norm1", "attention", "norm2", "layer_scale1", "layer_scale2")
BLOCK_NAMES = {
    "siglip_vision_model": BlockNames("encoder.layers", "post_layernorm", "layer_norm1", "self_attn", "layer_norm2"),
    "dinov2": DINOV2,
    "dinov2_with_registers": DINOV2,
}
# Towers whose last tokens are the patches, row by row; class and register tokens come before them.
PATCHES_LAST = (*BLOCK_NAMES, "beit", "clip_vision_model", "deit", "dinov3_vit", "vit")
