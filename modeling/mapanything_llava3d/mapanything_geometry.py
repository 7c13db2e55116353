"""MapAnything's geometry features of one or several views (arXiv 2509.13414).

Data flow: each view alone through DINOv2 (arXiv 2304.07193) -> the first view is marked -> a transformer whose blocks
attend in turn over all views and within each -> norm. Everything that MapAnything puts on top (poses, depth, heads) is
left out, as in the published wrapper. Parameters have their published names. Upstream: facebookresearch/map-anything,
mapanything/models/mapanything/model.py; castacks/UniCeption, info_sharing/alternating_attention_transformer.py;
lululuyuanyuanyuanGe/3dvla-starvla_framework, starVLA/mapanything_llava3d/model/modeling_mapanything.py.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ...configuration.mapanything_llava3d.configuration_mapanything import MapAnythingGeometryConfig
from ...configuration.vla_errors import InputError
from ..mlp import MLP
from ..modules import floating_dtype
from ..vision_layers import LayerScale, PatchEmbedding, SwiGLU, VisionBlock

INTERPOLATION_OFFSET = 0.1  # DINOv2 scales its positions to this much more than the patches of the image


class MapAnythingGeometry(nn.Module):
    """Views of a scene -> features of their patches that know of all views."""

    def __init__(self, config: MapAnythingGeometryConfig):
        super().__init__()
        self.config = config
        self.encoder = nn.ModuleDict({"model": DINOv2Encoder(config)})
        self.info_sharing = InformationSharing(config)

    def forward(self, pixel_values: torch.Tensor, intrinsics: torch.Tensor | None = None) -> torch.Tensor:
        """
        pixel_values: (batch, 3, height, width), one view, or (batch, views, 3, height, width), whose first view is the
            reference; ImageNet statistics, height and width multiples of the patch size.
        intrinsics: camera matrices. These features do not depend on them: MapAnything reads cameras in encoders of
            their own, which the published wrapper never calls. Taken so that callers need not know which geometry
            model they have; not looked at.
        Returns (batch, views * patches, info_sharing_hidden_size): the patches of each view row by row, view by view.

        Raises:
            InputError: pixel_values have another shape.
        """
        self.check_pixel_values(pixel_values)
        views = pixel_values.unsqueeze(1) if pixel_values.ndim == 4 else pixel_values
        features = self.encoder["model"](views.flatten(0, 1))
        return self.info_sharing(features.unflatten(0, views.shape[:2]))

    def check_pixel_values(self, pixel_values: torch.Tensor) -> None:
        shape, patch_size = tuple(pixel_values.shape), self.config.patch_size
        if len(shape) not in (4, 5) or shape[-3] != 3:
            raise InputError(
                f"pixel_values has shape {shape}; give (batch, 3, height, width) or (batch, views, 3, height, width)."
            )
        if shape[-2] % patch_size or shape[-1] % patch_size:
            raise InputError(
                f"pixel_values is {shape[-2]} x {shape[-1]} pixels; resize height and width to multiples of "
                f"patch_size={patch_size}."
            )


class DINOv2Encoder(nn.Module):
    """DINOv2 without registers."""

    def __init__(self, config: MapAnythingGeometryConfig):
        super().__init__()
        width = config.hidden_size
        self.grid_size = config.grid_size
        self.patch_size = config.patch_size
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.grid_size**2, width))
        self.patch_embed = PatchEmbedding(width, config.patch_size)
        sizes = width, config.num_attention_heads, config.intermediate_size
        self.blocks = nn.ModuleList(
            geometry_block(config, *sizes, config.mlp_type, layer_scale=True) for _ in range(config.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps) if config.final_norm else nn.Identity()

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(images, 3, height, width) -> (images, patches, hidden_size), patches row by row, without class token."""
        images, _, height, width = pixel_values.shape
        patches = self.patch_embed(pixel_values.to(floating_dtype(self.patch_embed)))
        hidden_states = torch.cat([self.cls_token.expand(images, -1, -1), patches], dim=1)
        hidden_states = hidden_states + self.positions(height // self.patch_size, width // self.patch_size)
        for block in self.blocks:
            hidden_states = block(hidden_states)
        return self.norm(hidden_states[:, 1:])

    def positions(self, rows: int, columns: int) -> torch.Tensor:
        """(1, 1 + rows * columns, hidden_size): the trained table, interpolated where the grid is another one."""
        side = self.grid_size
        if (rows, columns) == (side, side):
            return self.pos_embed
        table = self.pos_embed[:, 1:].float().transpose(1, 2).unflatten(2, (side, side))
        scale = [(count + INTERPOLATION_OFFSET) / side for count in (rows, columns)]
        table = F.interpolate(table, scale_factor=scale, mode="bicubic").flatten(2).transpose(1, 2)
        return torch.cat([self.pos_embed[:, :1], table.to(self.pos_embed.dtype)], dim=1)


class InformationSharing(nn.Module):
    """Transformer over several views; even blocks attend over all of them, odd ones within each."""

    def __init__(self, config: MapAnythingGeometryConfig):
        super().__init__()
        width = config.info_sharing_hidden_size
        same = width == config.hidden_size
        self.proj_embed = nn.Identity() if same else nn.Linear(config.hidden_size, width)
        sizes = width, config.info_sharing_num_attention_heads, config.info_sharing_intermediate_size
        self.self_attention_blocks = nn.ModuleList(
            geometry_block(config, *sizes, config.info_sharing_mlp_type, config.info_sharing_layer_scale)
            for _ in range(config.info_sharing_num_hidden_layers)
        )
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, views, patches, hidden_size) -> (batch, views * patches, info_sharing_hidden_size)."""
        batch, views, patches, _ = features.shape
        hidden_states = self.proj_embed(features)
        hidden_states = hidden_states + reference_mark(hidden_states)
        groups = (batch, views * patches), (batch * views, patches)
        for number, block in enumerate(self.self_attention_blocks):
            hidden_states = block(hidden_states.reshape(*groups[number % 2], -1))
        return self.norm(hidden_states.reshape(*groups[0], -1))


def geometry_block(
    config: MapAnythingGeometryConfig,
    hidden_size: int,
    num_heads: int,
    intermediate_size: int,
    mlp_type: str,
    layer_scale: bool,
) -> VisionBlock:
    """A block of either part."""
    if mlp_type == "swiglu":
        mlp = SwiGLU(hidden_size, intermediate_size)
    else:
        mlp = MLP(hidden_size, hidden_size, intermediate_size)
    return VisionBlock(config, hidden_size, num_heads, mlp, "gamma" if layer_scale else None)


def reference_mark(hidden_states: torch.Tensor) -> torch.Tensor:
    """What tells the first view from the others: row 0 of a sinusoidal table, zeros and ones in turn.

    hidden_states: (batch, views, patches, width), for sizes and device; returns (views, 1, width) to add to it.
    """
    mark = hidden_states.new_zeros(hidden_states.shape[1], 1, hidden_states.shape[-1])
    mark[0, :, 1::2].fill_(1)  # an assignment would hand the number over from Python
    return mark


@torch.no_grad()
def init_geometry_weights(module: nn.Module, std: float) -> None:
    """Initialise what transformers does not know; a model that holds a `MapAnythingGeometry` calls this from its
    `_init_weights` for every module."""
    if isinstance(module, DINOv2Encoder):
        nn.init.normal_(module.cls_token, std=std)
        nn.init.normal_(module.pos_embed, std=std)
    elif isinstance(module, LayerScale):
        nn.init.ones_(module.factor)
