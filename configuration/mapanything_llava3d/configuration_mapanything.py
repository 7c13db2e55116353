"""Configuration of MapAnything's geometry features (arXiv 2509.13414): the published sizes, and how sizes are read off
a checkpoint."""

import math
import re
from collections.abc import Mapping

from ..known_fields import KnownFieldsConfig, keeps_arguments
from ..language_model_config import check_choices, check_counts
from ..vla_errors import ConfigError

MLP_TYPES = ("mlp", "swiglu")
CHOICES = {"mlp_type": MLP_TYPES, "info_sharing_mlp_type": MLP_TYPES}
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
HEAD_SIZE = 64  # of every published model

V1 = {  # DINOv2 ViT-L/14
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "mlp_type": "mlp",
    "final_norm": True,
    "info_sharing_hidden_size": 768,
    "info_sharing_num_hidden_layers": 24,
    "info_sharing_num_attention_heads": 12,
    "info_sharing_intermediate_size": 3072,
    "info_sharing_mlp_type": "mlp",
    "info_sharing_layer_scale": False,
}


class MapAnythingGeometryConfig(KnownFieldsConfig):
    """The defaults are MapAnything V1.1: the first 24 blocks of DINOv2 ViT-g/14 and 16 blocks of information sharing.

    Args:
        hidden_size, num_hidden_layers, num_attention_heads, intermediate_size: of the image encoder, DINOv2.
        mlp_type: `mlp` (linear, GELU, linear) or `swiglu`; `intermediate_size` is what the last linear layer reads.
        patch_size: height and width of a patch in pixels.
        image_size: height and width in pixels that the position table was trained for; other inputs interpolate it.
        final_norm: the encoder ends with a norm.
        info_sharing_hidden_size, ..., info_sharing_mlp_type: the same of the transformer over all views.
        info_sharing_layer_scale: its blocks have a learned factor per channel; those of the encoder always do.
        layer_norm_eps: of every norm.

    Raises:
        ConfigError: a field does not fit; the message names it.
    """

    model_type = "mapanything_geometry"
    base_config_key = "geometry_config"

    @keeps_arguments
    def __init__(
        self,
        hidden_size: int = 1536,
        num_hidden_layers: int = 24,
        num_attention_heads: int = 24,
        intermediate_size: int = 4096,
        mlp_type: str = "swiglu",
        patch_size: int = 14,
        image_size: int = 518,
        final_norm: bool = False,
        info_sharing_hidden_size: int = 1536,
        info_sharing_num_hidden_layers: int = 16,
        info_sharing_num_attention_heads: int = 24,
        info_sharing_intermediate_size: int = 4096,
        info_sharing_mlp_type: str = "swiglu",
        info_sharing_layer_scale: bool = True,
        layer_norm_eps: float = 1e-6,
        initializer_range: float = 0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.check()

    def check(self) -> None:
        """Refuse values that cannot work, by the name of the field."""
        check_choices(self, CHOICES)
        for prefix in ("", "info_sharing_"):
            check_counts(self, *(prefix + field for field in SIZES))
            heads, width = (getattr(self, f"{prefix}{field}") for field in ("num_attention_heads", "hidden_size"))
            if width % heads:
                raise ConfigError(f"{prefix}num_attention_heads={heads} does not divide {prefix}hidden_size={width}.")
        check_counts(self, "patch_size", "image_size")
        if self.image_size % self.patch_size:
            raise ConfigError(f"image_size={self.image_size} must be a multiple of patch_size={self.patch_size}.")

    def check_pictures(self, size: int) -> None:
        """Raises ConfigError unless pictures of a vision tower, which it sees as they are, can be cut into patches.

        size: `image_size` of the tower.
        """
        if size % self.patch_size:
            raise ConfigError(
                f"vision_config.image_size={size} is no multiple of geometry_config.patch_size={self.patch_size}, and "
                "both see one picture: take a vision tower of another resolution (SigLIP so400m/14 at 224), or none of "
                "the geometry (use_geometric_branch=False; assemble without --geometry)."
            )

    @property
    def grid_size(self) -> int:
        """Patches along one side of the position table."""
        return self.image_size // self.patch_size

    @classmethod
    def v1(cls, **overrides) -> "MapAnythingGeometryConfig":
        """MapAnything V1: DINOv2 ViT-L/14 and 24 narrower blocks of information sharing without layer scale."""
        return cls(**{**V1, **overrides})

    @classmethod
    def v1_1(cls, **overrides) -> "MapAnythingGeometryConfig":
        """MapAnything V1.1, which is the default."""
        return cls(**overrides)


def infer_geometry_config(
    shapes: Mapping[str, tuple[int, ...]],
    num_attention_heads: int | None = None,
    info_sharing_num_attention_heads: int | None = None,
) -> MapAnythingGeometryConfig:
    """The config of a published checkpoint.

    Args:
        shapes: `{key: shape}` with the published names `encoder.model.*` and `info_sharing.*`; others are passed over.
        num_attention_heads, info_sharing_num_attention_heads: shapes do not show heads; without these they have 64
            channels each, as in every published model.

    Raises:
        ConfigError: a key is missing or cannot be that of a MapAnything checkpoint; the message names it.
    """
    check_view_table(shapes)
    patch_size = shape_of(shapes, "encoder.model.patch_embed.proj.weight")[-1]
    image_size = grid_size_of(shapes) * patch_size
    encoder = transformer_sizes(shapes, "encoder.model.blocks", "", num_attention_heads)
    blocks = "info_sharing.self_attention_blocks"
    sharing = transformer_sizes(shapes, blocks, "info_sharing_", info_sharing_num_attention_heads)
    if encoder["hidden_size"] != sharing["info_sharing_hidden_size"]:
        shape_of(shapes, "info_sharing.proj_embed.weight")  # what leads from one width to the other must be there
    return MapAnythingGeometryConfig(
        **encoder,
        **sharing,
        patch_size=patch_size,
        image_size=image_size,
        final_norm="encoder.model.norm.weight" in shapes,
        info_sharing_layer_scale=f"{blocks}.0.ls1.gamma" in shapes,
    )


def shape_of(shapes: Mapping[str, tuple[int, ...]], key: str) -> tuple[int, ...]:
    """The shape of a tensor. Raises ConfigError where there is none of that name."""
    if key not in shapes:
        raise ConfigError(f"{key} is missing: this is no checkpoint of MapAnything, or not all of it.")
    return tuple(shapes[key])


def check_view_table(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The table is fixed and not loaded, but more rows than one mean another use of it."""
    rows = shapes.get("info_sharing.view_pos_table", (1,))[0]
    if rows != 1:
        raise ConfigError(
            f"info_sharing.view_pos_table has {rows} rows: models with positions for later views are not supported, "
            "only those that mark the first view."
        )


def transformer_sizes(
    shapes: Mapping[str, tuple[int, ...]], blocks: str, prefix: str, num_heads: int | None
) -> dict[str, int | str]:
    """Depth, widths and kind of MLP of the transformer under `blocks`, as config fields that begin with `prefix`."""
    numbers = {int(match[1]) for key in shapes if (match := re.match(rf"{re.escape(blocks)}\.(\d+)\.", key))}
    norms = [shape_of(shapes, f"{blocks}.{n}.norm1.weight") for n in range(max(numbers, default=0) + 1)]
    kinds = {"mlp": f"{blocks}.0.mlp.fc2.weight", "swiglu": f"{blocks}.0.mlp.w3.weight"}
    found = [kind for kind, key in kinds.items() if key in shapes]
    if not found:
        raise ConfigError(f"neither {kinds['mlp']} nor {kinds['swiglu']} is there: the kind of MLP is unknown.")
    width = norms[0][0]
    if num_heads is None and width % HEAD_SIZE:
        raise ConfigError(
            f"{prefix}num_attention_heads cannot be told from {prefix}hidden_size={width}, which is no multiple of "
            f"{HEAD_SIZE}: give it."
        )
    return {
        f"{prefix}hidden_size": width,
        f"{prefix}num_hidden_layers": len(norms),
        f"{prefix}num_attention_heads": width // HEAD_SIZE if num_heads is None else num_heads,
        f"{prefix}intermediate_size": shapes[kinds[found[0]]][1],
        f"{prefix}mlp_type": found[0],
    }


def grid_size_of(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Side of the square that the position table covers; its first row is the class token's."""
    patches = shape_of(shapes, "encoder.model.pos_embed")[1] - 1
    side = math.isqrt(patches)
    if side * side != patches:
        raise ConfigError(f"encoder.model.pos_embed has {patches} patch positions, which is no square grid.")
    return side
