"""A start from a LLaVA-3D checkpoint in memory: its tensors, and those of the parts that are switched on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from ...configuration.checkpoint_json import read_mapping
from ...configuration.checkpoint_weights import WEIGHT_NAMES
from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.mapanything_llava3d.llava3d_start import Llava3DStart, next_llava3d
from ...configuration.vla_errors import ConfigError
from ..base_tensors import BaseTensors, base_folder, drawn, loaded, settled_dtype, split_arguments
from ..generation_settings import GENERATION
from ..initial_values import described
from ..new_parts import is_in_part
from .expert_of_base_layers import chosen_layers, copied_sizes, copied_tensors, starts_from_base

EMBEDDINGS = "language_model.model.model.embed_tokens.weight"
FILES = ["config.json", GENERATION, "*.safetensors", WEIGHT_NAMES[1]]


def start_from_base(
    kind: type[PreTrainedModel], base: str, seed: int, dtype: torch.dtype | str, arguments: Mapping[str, Any]
) -> PreTrainedModel:
    """See `MapAnythingLlava3DPreTrainedModel.from_base`."""
    hub, loading, switches = split_arguments(arguments)
    init, chosen = switches.pop("expert_init", None), switches.pop("expert_init_layers", None)
    folder = base_folder(base, hub, FILES)
    known = own_config(folder)
    experts = switches.get("action_expert_type", known.action_expert_type)
    copies = starts_from_base(init, chosen, experts)
    if copies:
        if known.has_deep_fusion:
            raise ConfigError("expert_init='base' would replace the expert that the base has; leave it out.")
        asked = switches.get("expert_hidden_size"), switches.get("expert_mlp_ratio")
        switches["expert_config"] = copied_sizes(known.text_config, *asked)
    start = next_llava3d(known, switches)
    if "geometry" in start.parts:
        raise ConfigError(
            "use_geometric_branch=True needs MapAnything's weights: vlahub create --base DIR --geometry MAPANYTHING "
            "joins them to a checkpoint."
        )
    tensors = BaseTensors(folder, lambda key: key)
    layers = chosen_layers(start.config, chosen) if copies else []
    start.config.dtype = settled_dtype(dtype, tensors[EMBEDDINGS].dtype)
    return loaded(kind, start.config, state_of_start(kind, start, tensors, layers, seed), loading, folder)


def own_config(folder: Path) -> MapAnythingLlava3DConfig:
    """Raises ConfigError where the folder holds no checkpoint of ours."""
    published = read_mapping(folder / "config.json")
    if "expert_config" not in published or "geometry_config" not in published:
        raise ConfigError(
            f"{folder}/config.json has model_type {published.get('model_type')!r} and is no LLaVA-3D checkpoint of "
            "ours: vlahub create joins published parts to one."
        )
    return MapAnythingLlava3DConfig.from_pretrained(folder)


def state_of_start(
    kind: type[PreTrainedModel], start: Llava3DStart, tensors: BaseTensors, layers: Sequence[int], seed: int
) -> dict[str, torch.Tensor]:
    """All tensors of the start: those of the base, copies of its layers, and what is new, in float32.

    Raises:
        ConfigError: the base lacks a tensor.
    """
    model, initial = described(kind, start.config)
    copied = copied_tensors(layers, tensors.places) if layers else {}
    state = {}
    for name, value in model.state_dict().items():
        if name in copied:
            state[name] = tensors[copied[name]]
        elif name not in tensors.places and any(is_in_part(name, part) for part in start.modules):
            state[name] = drawn(model, initial, name, tuple(value.shape), seed)
        elif name in tensors.places or not start.config.tie_word_embeddings or not name.endswith("lm_head.weight"):
            state[name] = tensors[name]
    return state
