"""The names that tensors of this family have in published parts and runs, and in the model.

Parts: google/siglip-so400m-patch14-224, ZCMax/LLaVA-3D-7B, facebook/map-anything. Runs:
lululuyuanyuanyuanGe/3dvla-starvla_framework, starVLA/model/framework/MapAnythingLlava3DPI.py and
starVLA/mapanything_llava3d/model/modeling_mapanything_llava3d_dev.py.
"""

from typing import TYPE_CHECKING

from ..tensors.rename import Row

if TYPE_CHECKING:  # slow to import
    from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig

FRAMEWORK = "MapAnythingLlava3DPI"  # what a run's config calls itself
STEP_FILES = ("checkpoints/steps_*_pytorch_model.*", "checkpoints/steps_*_model.*")
FINAL_FILES = ("final_model/pytorch_model.*",)

LAYER = r"layers\.\d+\.(?:self_attn\.[qkvo]_proj|mlp\.(?:gate|up|down)_proj|(?:input|post_attention)_layernorm)"
ROOT = r"(?:mapanythingllava3d_vlm_interface\.model\.)?"
JOINED = ROOT + r"(?:language_model_with_expert|action_expert\.llava_with_expert)\."
EXPERT = JOINED + r"(?:\w+\.)*?\w*expert\w*\.(?:model\.)*"
FLOW = "state_proj|action_in_proj|time_mlp_in|time_mlp_out|action_out_proj"


def vision_rows(prefix: str) -> list[Row]:
    return [
        Row(prefix + r"vision_model\.head\..+", None, "SigLIP's pooling head: features are those of the patches"),
        Row(prefix + r"(?:vision_model\.)?embeddings\.position_ids", None, "computed, not learned"),
        Row(
            prefix + r"(?:vision_model\.)?((?:embeddings|encoder|post_layernorm)\..+)",
            r"vision_tower.vision_model.\1",
            "SigLIP",
        ),
    ]


def language_rows(prefix: str) -> list[Row]:
    """prefix: in front of a causal language model's names."""
    dead = r"(?:model\.)?(?:mm_projector|vision_tower|video_tower|image_newline)(?:\..+)?"
    return [
        Row(prefix + dead, None, "LLaVA's own vision side: SigLIP and MapAnything take its place"),
        Row(prefix + r"(?:model\.)?(?:layers\.\d+\.self_attn\.)?rotary_emb\.\w+", None, "computed, not learned"),
        Row(
            prefix + rf"(?:model\.)?((?:embed_tokens|norm|{LAYER})\.(?:weight|bias))",
            r"language_model.model.model.\1",
            "language model",
        ),
        Row(prefix + r"(lm_head\.weight)", r"language_model.model.\1", "language model"),
    ]


def geometry_rows(prefix: str) -> list[Row]:
    dead = r"(?:\w+_(?:encoder|head|adaptor)|fusion_norm_layer|scale_token)(?:\..+)?"
    return [
        Row(prefix + r"info_sharing\.view_pos_table", None, "fixed, not learned"),
        Row(prefix + r"encoder\.model\.mask_token", None, "of DINOv2's own training"),
        Row(prefix + r"((?:encoder\.model|info_sharing)\..+)", r"geometric_model.\1", "MapAnything"),
        Row(prefix + dead, None, "MapAnything's inputs and outputs: its features are read before them"),
    ]


VISION_TABLE = [
    *vision_rows(""),
    Row(r"text_model\..+|logit_scale|logit_bias", None, "SigLIP's text side: the language model reads the text"),
]
LANGUAGE_TABLE = language_rows("")
GEOMETRY_TABLE = geometry_rows("")
RUN_TABLE = [
    *vision_rows(ROOT + r"vision_tower\."),
    *geometry_rows(ROOT + r"geometric_model\.(?:map_anything_model\.)?"),
    Row(ROOT + r"((?:vision|geometric|fusion)_projector\.(?:weight|bias))", r"\1", "projector"),
    Row(ROOT + r"(spatial_embed_tokens\.weight)", r"\1", "embeddings of spatial tokens"),
    *language_rows(ROOT + r"language_model\.model\."),
    Row(
        EXPERT + rf"((?:norm|{LAYER})\.(?:weight|bias))", r"language_model_with_expert.expert.\1", "stack of the expert"
    ),
    Row(EXPERT + r"(?:embed_tokens|lm_head)\.weight", None, "the expert neither reads nor writes tokens"),
    Row(EXPERT + r"(?:layers\.\d+\.self_attn\.)?rotary_emb\.\w+", None, "computed, not learned"),
    *language_rows(JOINED + r"(?:\w+\.)*?"),
    Row(ROOT + rf"(action_expert\.(?:{FLOW})\.(?:weight|bias))", r"\1", "projections of the expert"),
    Row(r"(?:action_model|dit_action_head)\.(.+)", r"dit_action_head.\1", "DiT head"),
    Row(r"(dit_action_projector\.(?:weight|bias))", r"\1", "from the expert to the DiT head"),
]
# What an assembly makes anew where the model has it.
NEW = (
    "vision_projector",
    "geometric_projector",
    "fusion_projector",
    "language_model_with_expert",
    "action_expert",
    "dit_action_head",
    "dit_action_projector",
)


def unused_reason(target: str, config: "MapAnythingLlava3DConfig") -> str | None:
    """Why the model has no use for a tensor of a known name; `None` when it should have."""
    part = target.split(".")[0]
    widths = config.vision_config.hidden_size, config.text_config.hidden_size
    if part == "vision_projector" and widths[0] == widths[1]:
        return "vision and language model are equally wide: published code skips it, too"
    if part in ("geometric_model", "geometric_projector", "fusion_projector") and not config.use_geometric_branch:
        return "built without the geometry branch"
    if part == "language_model_with_expert" and not config.has_deep_fusion:
        return "there are no action projections: this expert was never used"
    if target.startswith("dit_action_head.model.proj_out_") and config.dit_config.output_projection == "none":
        return "with output_projection none the action decoder reads the last block"
    if target.startswith(("dit_action_head.state_encoder.", "action_expert.state_proj.")) and not config.use_state:
        return "trained without state (--no-state)"
    if target.startswith("dit_action_head.action_encoder.") and config.has_deep_fusion and config.has_dit:
        return "the expert's states take its place"
    if target == "language_model.model.lm_head.weight" and config.tie_word_embeddings:
        return "tied to the embeddings"
    return None
