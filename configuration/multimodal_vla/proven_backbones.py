"""Text models, VLMs and vision towers of transformers that a composed VLA may be built around.

A composed VLA hands embeddings, a padding mask and positions to its backbone. For the model types listed here it was
shown, on the lines of transformers that have them, that the states are then those of the model's own documented call,
with padding on either side. What is not listed may count positions or build masks in another way.

Vision towers are not listed: all features of a picture will do, and what has none is refused.
"""

import transformers
from transformers import PretrainedConfig

from ..transformers_release import RELEASE
from ..vla_errors import ConfigError
from .backbone_facts import (
    FEATURE_MAPS,
    POSITIONS_BEHIND_PADDING,
    TEXT_ENCODERS,
    WIDTHS_OF_STAGES,
    WIDTHS_OF_TOKENS,
)
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
NARROW_EMBEDDINGS = "its embeddings are narrower than its states"
REASONS = {
    **dict.fromkeys(("bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "marian", "mbart"), COUNTS_PADDING),
    **dict.fromkeys(("mvp", "pegasus", "plbart", "prophetnet", "roformer", "trocr"), COUNTS_PADDING),
    **dict.fromkeys(("rwkv", "xlstm"), READS_PADDING),
    **dict.fromkeys(("albert", "electra"), NARROW_EMBEDDINGS),
    **dict.fromkeys(("cpmant", "deepseek_v4", "gemma3n_text", "gemma4_text"), READS_IDS),
    **UNFIT_VLMS,
}
# Vision models whose features are not those of a picture.
UNFIT_TOWERS = {
    "vit_mae": "it leaves out patches at random",
    "dinat": "its features are laid out as (height, width, channels)",
    "mgp-str": "it gives characters, and no features",
    "swin2sr": "it gives another picture, and no features",
    **dict.fromkeys(("sam_hq_vision_model", "sam_vision_model"), "its features have another width than its layers"),
    "pixtral": NEEDS_SIZES,
    **dict.fromkeys(("timesformer", "videomae", "vivit"), "it reads videos"),
}
DOGE_LOSES_ITS_MASK = (5, 0) <= RELEASE < (5, 18)  # that of its values, where nothing is padded
UNPROVEN = "its states have not been shown to be those of its own call"


def is_text_encoder(text_config: PretrainedConfig) -> bool:
    """Whether a text model is read as an encoder, all of whose tokens see each other, and that has no next token."""
    is_decoder = getattr(text_config, "is_decoder", False)
    return type(text_config).model_type in TEXT_ENCODERS and not is_decoder


def is_headless(text_config: PretrainedConfig) -> bool:
    """Whether a text model has embeddings alone and no scores, which RoBERTa and its kind have also as encoders."""
    return is_text_encoder(text_config) and type(text_config).model_type not in POSITIONS_BEHIND_PADDING


def width_of_tokens(text_config: PretrainedConfig) -> int:
    """Of what a text model reads, and of its states."""
    return getattr(text_config, WIDTHS_OF_TOKENS.get(type(text_config).model_type, "hidden_size"))


def width_of_features(vision_config: PretrainedConfig) -> int | None:
    """Of the features of a vision tower; `None`: its config names none, or more than one."""
    if type(vision_config).model_type in WIDTHS_OF_STAGES:
        return vision_config.hidden_sizes[-1]
    return getattr(vision_config, "hidden_size", None)


def check_vision_tower(vision_config: PretrainedConfig) -> None:
    """Refuse what is no vision model, or none with features of a picture. Raises ConfigError with the reason."""
    kind = type(vision_config).model_type
    check_tower("vision_config", kind)
    is_known = hasattr(vision_config, "patch_size") or kind in (*FEATURE_MAPS, *WIDTHS_OF_STAGES)
    if not is_known or width_of_features(vision_config) is None:
        raise ConfigError(f"vision_config.model_type is {kind!r}, which is no vision tower with features of one width.")


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
    if kind == "doge" and DOGE_LOSES_ITS_MASK:
        raise ConfigError(
            f"{field}.model_type='doge' cannot be the backbone of a composed VLA with transformers "
            f"{transformers.__version__}, which leaves its mask out where nothing is padded: load it with transformers "
            "5.18 or newer, or with 4.57."
        )
    proven = tuple(VLMS) if field == "vlm_config" else (*LANGUAGE_MODELS, *POSITIONS_BEHIND_PADDING)
    encoders = "" if field == "vlm_config" else f", and as encoders {', '.join(TEXT_ENCODERS)}"
    if kind not in proven:
        raise ConfigError(
            f"{field}.model_type={kind!r} cannot be the backbone of a composed VLA: {REASONS.get(kind, UNPROVEN)}; "
            f"proven are {', '.join(proven)}{encoders}."
        )
