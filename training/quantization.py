"""4-bit loading for QLoRA: what may be quantised, and what has to stay as it is because it trains whole."""

import copy
from typing import Any

import torch
from transformers import AutoModel, BitsAndBytesConfig, PretrainedConfig

from ..modeling.model_parts import kept_in_floating_point


def quantization_config(config: PretrainedConfig, **options: Any) -> BitsAndBytesConfig:
    """For `from_pretrained(..., quantization_config=...)`: the language model's linear layers in 4 bits (NF4).

    New parts train whole and vision towers are small, so both keep their dtype, and so do output embeddings.

    Args:
        config: of one of our models; nothing is loaded.
        options: arguments of `BitsAndBytesConfig` in place of the defaults, such as `bnb_4bit_compute_dtype`.

    Raises:
        ImportError: bitsandbytes is not installed (`pip install 'vlahub[quant]'`).
    """
    with torch.device("meta"):
        model = AutoModel.from_config(copy.deepcopy(config))  # a model writes into its own
    defaults = {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": torch.bfloat16,
        "llm_int8_skip_modules": kept_in_floating_point(model),  # so named by transformers for 4 bits, too
    }
    return BitsAndBytesConfig(**{**defaults, **options})
