"""Language models of transformers whose layers can be given something to look at (`fusion="gated_cross_attention"`).

Their forward hands an argument that they do not know down to their layers, and in `generate` a cache of any class; both
were tried for each, on the lines of transformers that have it. Of others the layers would not see the images.
"""

from typing import Any

from ..language_model_config import check_positive
from ..vla_errors import ConfigError

HAND_DOWN = (
    *("apertus", "arcee", "biogpt", "bitnet", "cohere", "cohere2", "cwm", "doge", "ernie4_5", "ernie4_5_moe"),
    *("exaone4", "flex_olmo", "gemma", "gemma2", "gemma3_text", "glm", "glm4", "glm4_moe", "gpt_oss", "granite"),
    *("helium", "hunyuan_v1_dense", "lfm2", "llama", "ministral", "ministral3", "mistral", "mixtral"),
    *("modernbert-decoder", "nanochat", "olmo", "olmo2", "olmo3", "persimmon", "phi", "phi3", "qwen2", "qwen3"),
    *("qwen3_moe", "seed_oss", "smollm3", "starcoder2", "vaultgemma"),
)


def check_gated(config: Any) -> None:
    """Refuse a backbone whose layers cannot look at images, and an interval that leaves none of them.

    config: a `MultimodalVLAConfig` with gated cross-attention. Raises ConfigError.
    """
    if config.vlm_config is not None:
        raise ConfigError(
            "fusion='gated_cross_attention' gives images to a language model that has not learnt to see; with "
            "vlm_config choose another fusion, or compose one of vision_config and text_config."
        )
    if config.text_config.model_type not in HAND_DOWN:
        raise ConfigError(
            f"fusion='gated_cross_attention' does not reach the layers of text_config.model_type="
            f"{config.text_config.model_type!r}; it does so with {', '.join(HAND_DOWN)}."
        )
    check_positive("cross_layer_interval", config.cross_layer_interval)
