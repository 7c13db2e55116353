"""The names of tensors in a published Alpamayo-R1, and in the model.

Names: nvidia/Alpamayo-R1-10B, model.safetensors.index.json (1166 tensors, 7 of them constants).
"""

from ..tensors.rename import Row

EMBEDDINGS = "vlm.model.language_model.embed_tokens.weight"
HEAD = "vlm.lm_head.weight"
EXPERT_PARTS = ("expert", "action_in_proj", "action_out_proj")
CONSTANT = "computed from the config"
TABLE = [
    Row(r"(vlm\.model\.visual\..+)", r"\1", "vision tower"),
    Row(r"(?:vlm\.model\.language_model|expert)\.rotary_emb\.\w+", None, "computed, not learned"),
    Row(r"(vlm\.model\.language_model\..+)", r"\1", "language model"),
    Row(r"(vlm\.lm_head\.weight)", r"\1", "output embeddings"),
    Row(r"(expert\.(?:layers\.\d+|norm)\..+)", r"\1", "stack of the expert"),
    Row(r"action_in_proj\.(?:sinus\.\d+|timestep_fourier_encoder)\.freqs", None, CONSTANT),
    Row(r"(action_in_proj\.(?:encoder|norm)\..+)", r"\1", "projection of actions"),
    Row(r"(action_out_proj\.(?:weight|bias))", r"\1", "projection to actions"),
    Row(r"action_space\.(?:accel|curvature)_(?:mean|std)", None, CONSTANT),
]
BASE_TABLE = [  # of a Qwen3-VL
    Row(r"model\.language_model\.rotary_emb\.\w+", None, "computed, not learned"),
    Row(r"(model\.(?:visual|language_model)\..+)", r"vlm.\1", "vision tower and language model"),
    Row(r"(lm_head\.weight)", r"vlm.\1", "output embeddings"),
]
