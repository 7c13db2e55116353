"""Language models and VLMs of transformers that a composed VLA may be built around.

A composed VLA hands embeddings, a padding mask and positions to its backbone. For the model types listed here it was
shown, on the lines of transformers that have them, that the states are then those of the model's own documented call,
with padding on either side. What is not listed may count positions or build masks in another way.
"""

from ..vla_errors import ConfigError
from .backbone_facts import POSITIONS_BEHIND_PADDING
from .vlm_facts import UNFIT_VLMS, VLMS

LANGUAGE_MODELS = (
    *("apertus", "arcee", "biogpt", "bitnet", "bloom", "cohere", "cohere2", "ctrl", "cwm", "doge", "ernie4_5"),
    *("ernie4_5_moe", "exaone4", "falcon", "falcon_h1", "falcon_mamba", "flex_olmo", "gemma", "gemma2", "gemma3_text"),
    *("glm", "glm4", "glm4_moe", "gpt2", "gpt-sw3", "gpt_bigcode", "gpt_neox", "gpt_neox_japanese", "gpt_oss", "gptj"),
    *("granite", "granitemoe", "granitemoeshared", "helium", "hunyuan_v1_dense", "jamba", "jetmoe", "lfm2", "llama"),
    *("mamba", "minimax", "ministral", "ministral3", "mistral", "mixtral", "modernbert-decoder", "mpt", "nanochat"),
    *("nemotron", "olmo", "olmo2", "olmo3", "olmoe", "openai-gpt", "opt", "persimmon", "phi", "phi3", "phimoe"),
    *("qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_next", "seed_oss", "smollm3", "stablelm", "starcoder2"),
    *("vaultgemma", "xglm"),
)
COUNTS_PADDING = "its positions count padding, so that a row that is padded on the left would be another row"
NEEDS_SIZES = "it wants the sizes of its images beside them"
READS_IDS = "its layers read the token ids, too, and not their embeddings alone"
READS_PADDING = "its state runs on through padding"
REASONS = {
    **dict.fromkeys(("bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "marian", "mbart"), COUNTS_PADDING),
    **dict.fromkeys(("mvp", "pegasus", "plbart", "prophetnet", "roformer", "trocr"), COUNTS_PADDING),
    **dict.fromkeys(("rwkv", "xlstm"), READS_PADDING),
    **dict.fromkeys(("cpmant", "deepseek_v4", "gemma3n_text", "gemma4_text"), READS_IDS),
    **UNFIT_VLMS,
}
# Vision models whose features are not those of a picture.
UNFIT_TOWERS = {
    "vit_mae": "it leaves out patches at random",
    **dict.fromkeys(("pixtral", "siglip2_vision_model"), NEEDS_SIZES),
    **dict.fromkeys(("timesformer", "videomae", "vivit"), "it reads videos"),
}
UNPROVEN = "its states have not been shown to be those of its own call"


def check_tower(field: str, kind: str) -> None:
    """Refuse a vision tower whose features would not be those of the pixels.

    field: where the config has it; kind: the model type. Raises ConfigError with the reason.
    """
    if kind in UNFIT_TOWERS:
        raise ConfigError(
            f"{field}.model_type={kind!r} cannot be the vision tower of a composed VLA: {UNFIT_TOWERS[kind]}."
        )


def check_proven(field: str, kind: str) -> None:
    """Refuse a backbone whose states would not be its own.

    field: `vlm_config` or `text_config`; kind: the model type.
    Raises ConfigError with the reason and the model types that are proven.
    """
    proven = tuple(VLMS) if field == "vlm_config" else (*LANGUAGE_MODELS, *POSITIONS_BEHIND_PADDING)
    if kind not in proven:
        raise ConfigError(
            f"{field}.model_type={kind!r} cannot be the backbone of a composed VLA: {REASONS.get(kind, UNPROVEN)}; "
            f"proven are {', '.join(proven)}."
        )
