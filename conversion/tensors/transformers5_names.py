"""What transformers 5 calls the modules that 4.57 calls otherwise: its `conversion_mapping`, as 4.57 does not have it.

Rows as in transformers 5.23: a pattern within the names of a class's parameters, and what its first match becomes. Only
renames of encoders are here: language models of image-text models are called alike since 4.52, and experts that 5.x
stores in one tensor have no name of their own.
"""

import re

from transformers import PreTrainedModel

CLIP = ((r"^vision_model\.", ""),)
CLIP_TEXT = ((r"^text_model\.", ""),)
DINOV2 = (
    (r"attention\.attention\.query(?!\w)", "attention.q_proj"),
    (r"attention\.attention\.key(?!\w)", "attention.k_proj"),
    (r"attention\.attention\.value(?!\w)", "attention.v_proj"),
    (r"attention\.output\.dense(?!\w)", "attention.o_proj"),
    (r"mlp\.weights_out(?!\w)", "mlp.down_proj"),
)
VIT = (
    (r"encoder\.layer\.", "layers."),
    (r"attention\.query(?!\w)", "q_proj"),
    (r"attention\.key(?!\w)", "k_proj"),
    (r"attention\.value(?!\w)", "v_proj"),
    (r"attention\.output\.dense(?!\w)", "attention.o_proj"),
    (r"intermediate\.dense(?!\w)", "mlp.fc1"),
    (r"output\.dense(?!\w)", "mlp.fc2"),
)
CLIP_CLASSES = (
    "CLIPVisionModel",
    "AltCLIPVisionModel",
    "ChineseCLIPVisionModel",
    "CLIPSegVisionModel",
    "MetaClip2VisionModel",
    "MLCDVisionModel",
    "SiglipVisionModel",
    "Siglip2VisionModel",
)
CLIP_TEXT_CLASSES = ("CLIPTextModel", "CLIPSegTextModel", "MetaClip2TextModel", "SiglipTextModel", "Siglip2TextModel")
VIT_CLASSES = (
    "ViTModel",
    "ASTModel",
    "BeitModel",
    "DeiTModel",
    "IJepaModel",
    "ViTMAEModel",
    "ViTMSNModel",
    "VivitModel",
)
DINOV2_CLASSES = ("Dinov2Model", "Dinov2Backbone", "Dinov2WithRegistersModel", "Dinov2WithRegistersBackbone")
TABLE = {
    **dict.fromkeys(CLIP_CLASSES, CLIP),
    **dict.fromkeys(CLIP_TEXT_CLASSES, CLIP_TEXT),
    **dict.fromkeys(VIT_CLASSES, VIT),
    **dict.fromkeys(DINOV2_CLASSES, DINOV2),
    "DINOv3ViTModel": ((r"(?<!model\.)layer\.", "model.layer."),),
    "DINOv3ConvNextModel": ((r"(?<!model\.)stages\.", "model.stages."),),
    "GPTNeoXForCausalLM": ((r"^embed_out(?!\w)", "lm_head"),),
}


def newer_names(model: PreTrainedModel) -> dict[str, str]:
    """The model's name for each parameter that transformers 5 calls otherwise."""
    found = {}
    inner = [(path, TABLE[type(module).__name__]) for path, module in model.named_modules() if rows_of(module)]
    for name in model.state_dict():
        newer = name
        for path, rows in inner:
            newer = renamed(newer, path, rows)
        if newer != name:
            found[newer] = name
    return found


def rows_of(module: object) -> tuple[tuple[str, str], ...]:
    return TABLE.get(type(module).__name__, ())


def renamed(name: str, path: str, rows: tuple[tuple[str, str], ...]) -> str:
    prefix = f"{path}." if path else ""
    if not name.startswith(prefix):
        return name
    inside = name.removeprefix(prefix)
    for pattern, replacement in rows:
        inside = re.sub(pattern, replacement, inside, count=1)
    return prefix + inside
