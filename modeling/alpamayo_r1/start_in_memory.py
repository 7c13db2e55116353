"""A start of an Alpamayo-R1 in memory: a Qwen3-VL with the tokens of trajectories and an expert that is drawn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.checkpoint_json import read_mapping
from ...configuration.checkpoint_weights import WEIGHT_NAMES
from ...configuration.vla_errors import ConfigError
from ..base_tensors import BaseTensors, base_folder, drawn, loaded, settled_dtype, split_arguments
from ..generation_settings import GENERATION
from ..initial_values import described
from ..vocabulary_rows import moments_of, new_rows
from .alpamayo_start import next_config, start_config
from .reasoning_text import load_tokenizer

BASE_TYPE = "qwen3_vl"
EXPERT_PARTS = ("expert.", "action_in_proj.", "action_out_proj.")
EMBEDDINGS, HEAD = "vlm.model.language_model.embed_tokens.weight", "vlm.lm_head.weight"
FILES = [
    "config.json",
    GENERATION,
    "tokenizer*.json",
    "special_tokens_map.json",
    "chat_template*",
    "*.safetensors",
    WEIGHT_NAMES[1],
]
NOT_OF_CONFIG = ("architectures", "auto_map", "dtype", "torch_dtype", "transformers_version")  # of its file


def start_from_base(
    kind: type[PreTrainedModel], base: str, seed: int, dtype: torch.dtype | str, arguments: Mapping[str, Any]
) -> PreTrainedModel:
    """See `AlpamayoR1.from_base`."""
    hub, loading, switches = split_arguments(arguments)
    folder = base_folder(base, hub, FILES)
    config, tensors, tokenizer = read_base(folder, switches)
    config.vlm_name_or_path = config.vlm_name_or_path or str(base)
    config.dtype = settled_dtype(dtype, tensors[EMBEDDINGS].dtype)
    state = state_of_start(kind, config, tensors, seed)
    model = loaded(kind, config, state, loading, folder)
    model.tokenizer = tokenizer
    return model


def read_base(
    folder: Path, switches: Mapping[str, Any]
) -> tuple[AlpamayoR1Config, BaseTensors, PreTrainedTokenizerFast]:
    """Config and tokenizer of the start, and the tensors that are carried over.

    Raises:
        ConfigError: the base is neither a Qwen3-VL nor an Alpamayo-R1 of ours, or see `start_config`, `next_config`.
    """
    published = read_mapping(folder / "config.json")
    tokenizer = load_tokenizer(folder, {})
    if tokenizer is None:
        raise ConfigError(f"{folder} has no tokenizer, to which the tokens of trajectories could be added.")
    if "expert_cfg" in published and isinstance(published.get("vlm_config"), dict):  # ours, not the published one
        config = next_config(AlpamayoR1Config.from_pretrained(folder), switches)
        return config, BaseTensors(folder, lambda key: None if key.startswith(EXPERT_PARTS) else key), tokenizer
    if published.get("model_type") != BASE_TYPE:
        raise ConfigError(
            f"{folder}/config.json has model_type {published.get('model_type')!r}; an Alpamayo-R1 begins with a "
            f"{BASE_TYPE!r}, or with an Alpamayo-R1 of ours (vlahub convert makes one of a published one)."
        )
    vlm = {name: value for name, value in published.items() if name not in NOT_OF_CONFIG}
    config = start_config(vlm, tokenizer, switches)
    return config, BaseTensors(folder, lambda key: None if "rotary_emb." in key else f"vlm.{key}"), tokenizer


def state_of_start(
    kind: type[PreTrainedModel], config: AlpamayoR1Config, tensors: BaseTensors, seed: int
) -> dict[str, torch.Tensor]:
    """All tensors of the start: those of the base, and what is new, in float32.

    Raises:
        ConfigError: the base lacks a tensor, or has one that the start has no place for.
    """
    model, initial = described(kind, config)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if config.tie_word_embeddings:
        del shapes[HEAD]
    if unknown := sorted(tensors.places.keys() - shapes.keys() - {HEAD}):
        raise ConfigError(f"the base holds {unknown[0]}, for which the start has no place.")
    state = {}
    for name, shape in shapes.items():
        if name.startswith(EXPERT_PARTS):
            state[name] = drawn(model, initial, name, shape, seed)
        else:
            state[name] = resized(tensors[name], shape[0], name, seed) if name in (EMBEDDINGS, HEAD) else tensors[name]
    return state


def resized(old: torch.Tensor, rows: int, name: str, seed: int) -> torch.Tensor:
    """Embeddings (old rows, width) as (rows, width); see `vocabulary_rows.py`."""
    if rows <= len(old):
        return old[:rows].clone()
    return torch.cat([old, new_rows(moments_of([old]), name, seed, 0, rows - len(old)).to(old.dtype)])
