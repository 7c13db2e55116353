"""LoRA arithmetic, left to PEFT: one layer at a time is wrapped in PEFT's own layer, in float32, and merged.

So rank and alpha patterns, rsLoRA, DoRA and the other variants are right by construction.
"""

import copy
import json
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from ..configuration.vla_errors import ConversionError

# "X.lora_A.weight" (saved adapter) and "X.lora_A.default.weight" (a wrapped module's own state) alike.
LORA_KEY = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_(?:embedding_)?[AB]|lora_magnitude_vector)(?:\.default)?(?P<rest>\.\w+)?"
)
BASE_LAYER_KEY = re.compile(r"(?P<module>.+)\.base_layer\.(?P<parameter>\w+)")
ADAPTER_PREFIX = "base_model.model."


@dataclass(frozen=True)
class AdapterKey:
    """Where a tensor of an adapter belongs: the module it adapts, and its place in PEFT's layer."""

    module: str
    part: str


def parse_adapter_key(key: str) -> AdapterKey | None:
    """`X.lora_A.weight` -> module X, part `lora_A.default.weight`; `None` for a tensor that is not part of a LoRA."""
    match = LORA_KEY.fullmatch(key)
    if match is None:
        return None
    rest = ".weight" if match["part"] == "lora_magnitude_vector" else match["rest"] or ""
    return AdapterKey(match["module"].removeprefix(ADAPTER_PREFIX), f"{match['part']}.default{rest}")


def read_lora_config(folder: Path) -> LoraConfig:
    """The adapter's config.

    Raises:
        ConversionError: there is none, or it is not a LoRA's.
    """
    path = folder / "adapter_config.json"
    if not path.exists():
        raise ConversionError(f"{path} is missing: without it the strength of the adapter (alpha / r) is unknown.")
    peft_type = json.loads(path.read_text(encoding="utf-8")).get("peft_type")
    if peft_type != "LORA":
        raise ConversionError(f"{path}: peft_type {peft_type!r} is not supported; only LORA adapters can be merged.")
    return PeftConfig.from_pretrained(str(folder))


def merge_linear(
    module: str,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    parts: dict[str, torch.Tensor],
    config: LoraConfig,
) -> torch.Tensor:
    """`weight` (out, in) with the adapter merged in, float32.

    Args:
        module: the layer's name as the adapter knows it; PEFT matches its patterns against it.
        bias: the layer's bias; some variants are scaled by it, none of those supported changes it.
        parts: the adapter's tensors by their place in PEFT's layer, such as `lora_A.default.weight`.

    Raises:
        ConversionError: the adapter does not fit the weight, or the result is not finite.
    """
    with torch.device("meta"):
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = nn.Parameter(weight.to(torch.float32, copy=True), requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias.float(), requires_grad=False)
    layer = wrap(module, linear, config)
    missing = set(layer.state_dict()) - set(parts) - {"base_layer.weight", "base_layer.bias"}
    if missing:
        raise ConversionError(f"the adapter of {module} lacks {', '.join(sorted(missing))}.")
    try:
        layer.load_state_dict(parts, strict=False)
        layer.merge(safe_merge=True)
    except (RuntimeError, ValueError) as error:
        raise ConversionError(f"the adapter of {module} cannot be merged: {error}") from error
    return layer.base_layer.weight.data


def wrap(module: str, linear: nn.Linear, config: LoraConfig) -> LoraLayer:
    """PEFT's layer around `linear`, made by PEFT from the adapter's own config in a tree where it has its real name."""
    *parents, name = module.split(".")
    root = parent = nn.Module()
    for part in parents:
        parent.add_module(part, nn.Module())
        parent = getattr(parent, part)
    parent.add_module(name, linear)
    config = copy.deepcopy(config)
    config.target_modules, config.modules_to_save = {module}, None
    config.exclude_modules = config.layers_to_transform = None
    inject_adapter_in_model(config, root)
    return root.get_submodule(module)


def check_lora_shapes(module: str, weight: tuple[int, ...], parts: dict[str, tuple[int, ...]]) -> None:
    """Refuse an adapter for a layer of another size before anything is computed; arguments are shapes."""
    shape_a, shape_b = parts.get("lora_A.default.weight"), parts.get("lora_B.default.weight")
    if shape_a is None or shape_b is None:
        raise ConversionError(f"the adapter of {module} has {', '.join(sorted(parts))}; lora_A and lora_B are needed.")
    if len(weight) != 2 or shape_a[1] != weight[1] or shape_b[0] != weight[0] or shape_a[0] != shape_b[1]:
        raise ConversionError(
            f"the adapter does not fit the base: {module} is {tuple(weight)}, lora_A {shape_a}, lora_B {shape_b}."
        )
