"""LoRA arithmetic, left to PEFT: one layer at a time is wrapped in PEFT's own layer, in float32, and merged.

So rank and alpha patterns, rsLoRA, DoRA and the other variants are right by construction.
"""

import copy
import warnings
from collections.abc import Collection
from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers.pytorch_utils import Conv1D

from ...configuration.vla_errors import ConversionError
from ..files.json_file import load_json
from .adapter_settings import CHANGE_BASE, check_settings

LORA_BIAS = "lora_B.default.bias"
ROW_PARTS = ("lora_B.default.weight", LORA_BIAS, "lora_magnitude_vector.default.weight")


def read_lora_config(folder: Path) -> LoraConfig:
    """The adapter's config.

    Raises:
        ConversionError: there is none, or it is not one of a LoRA that can be merged.
    """
    path = folder / "adapter_config.json"
    if not path.exists():
        raise ConversionError(f"{path} is missing: without it the strength of the adapter (alpha / r) is unknown.")
    try:
        written = load_json(path)
    except ConversionError as error:
        raise ConversionError(f"{path} cannot be read: {error}") from error
    check_settings(path, written)
    try:
        return PeftConfig.from_pretrained(str(folder))
    except (ValueError, TypeError, AttributeError) as error:
        raise ConversionError(f"{path} cannot be read: {error}") from error


class LoraMerger:
    """Merges one adapter that fits (`check_adapter`) into one layer's weight, whole or, for linear layers, by rows.

    Args:
        module: the layer's name as the adapter knows it; PEFT matches its patterns against it.
        shape: of the weight of a linear layer (out, in), an embedding (entries, size), a convolution (out, in, ...)
            or, with `fan_in_fan_out`, a GPT-2 layer (in, out).
        parts: the adapter's tensors by their place in PEFT's layer, such as `lora_A.default.weight`.
        device: where the arithmetic is done.

    Raises:
        ConversionError: the adapter cannot be merged.
    """

    def __init__(
        self,
        module: str,
        shape: tuple[int, ...],
        parts: dict[str, torch.Tensor],
        config: LoraConfig,
        device: str = "cpu",
    ):
        self.module, self.shape, self.config, self.device = module, shape, config, device
        self.parts = {name: tensor.to(device, torch.float32) for name, tensor in parts.items()}
        self.layer = None if changes_base(config) else wrap(module, bare_layer(shape, parts, config), config)

    def merge(self, weight: torch.Tensor, first: int = 0) -> torch.Tensor:
        """The weight, or its rows from `first` on, with the adapter merged in; float32, on the CPU."""
        full = nn.Parameter(weight.to(self.device, torch.float32, copy=True), requires_grad=False)
        layer = self.layer
        if layer is None:
            bare = bare_layer(self.shape, self.parts, self.config)
            bare.weight = full
            layer = wrap(self.module, bare, self.config)
        layer.merged_adapters.clear()
        layer.base_layer.weight = full
        rows = slice(first, first + len(weight))
        by_rows = len(weight) < self.shape[0]
        for name, part in self.parts.items():
            assign(layer, name, part[rows] if by_rows and name in ROW_PARTS else part)
        if LORA_BIAS in self.parts:  # merged by `merge_lora_bias`; PEFT wants one to be there
            layer.base_layer.bias = nn.Parameter(
                torch.zeros(len(weight), dtype=torch.float32, device=self.device), requires_grad=False
            )
        try:
            layer.merge()
        except (RuntimeError, ValueError, NotImplementedError) as error:
            raise ConversionError(f"the adapter of {self.module} cannot be merged: {error}") from error
        return layer.base_layer.weight.data.cpu()


def assign(layer: nn.Module, name: str, value: torch.Tensor) -> None:
    """Put a tensor in the place of a parameter, whatever its shape."""
    owner, _, parameter = name.rpartition(".")
    setattr(layer.get_submodule(owner), parameter, nn.Parameter(value, requires_grad=False))


def merges_by_rows(parts: Collection[str], shape: tuple[int, ...], config: LoraConfig) -> bool:
    """Whether each row of the result depends on the same row of the weight alone: linear layers, DoRA's included."""
    linear = len(shape) == 2 and "lora_A.default.weight" in parts and not config.fan_in_fan_out
    return linear and not changes_base(config)


def merge_lora_bias(
    module: str, bias: torch.Tensor, parts: dict[str, torch.Tensor], config: LoraConfig
) -> torch.Tensor:
    """A layer's bias with the bias of an adapter's B added (`lora_bias`), float32."""
    weight_shape = (len(bias), parts["lora_A.default.weight"].shape[1])
    layer = wrap(module, bare_layer(weight_shape, parts, config), config)
    return bias.float() + parts[LORA_BIAS].float() * layer.scaling["default"]


def replace_rows(module: str, weight: torch.Tensor, rows: torch.Tensor, config: LoraConfig) -> torch.Tensor:
    """An embedding with the rows of PEFT's `trainable_token_indices` replaced, float32."""
    return weight.float().index_copy(0, torch.tensor(token_indices(module, config)), rows.float())


def token_indices(module: str, config: LoraConfig) -> list[int]:
    """The rows of an embedding that an adapter trained; where the config names several, those of the best fit."""
    indices = config.trainable_token_indices
    if not isinstance(indices, dict):
        return list(indices or [])
    fits = [name for name in indices if module.endswith(name) or name.endswith(f".{module}")]
    return list(indices[max(fits, key=len)]) if fits else []


def changes_base(config: LoraConfig) -> bool:
    """Whether PEFT takes the adapter's initial value out of the base weight when it loads it (PiSSA, OLoRA)."""
    return config.init_lora_weights in CHANGE_BASE


def bare_layer(shape: tuple[int, ...], parts: Collection[str], config: LoraConfig) -> nn.Module:
    """A layer of the kind that a weight of `shape` and the adapter's parts belong to, without memory."""
    bias = LORA_BIAS in parts
    with torch.device("meta"):
        if any(part.startswith("lora_embedding") for part in parts):
            return nn.Embedding(*shape)
        if len(shape) > 2:
            convolution = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}[len(shape)]
            return convolution(shape[1], shape[0], shape[2:], bias=bias)
        if config.fan_in_fan_out:
            return Conv1D(shape[1], shape[0])
        return nn.Linear(shape[1], shape[0], bias=bias)


def wrap(module: str, layer: nn.Module, config: LoraConfig) -> LoraLayer:
    """PEFT's layer around `layer`, made by PEFT from the adapter's own config in a tree where it has its real name."""
    *parents, name = module.split(".")
    root = parent = nn.Module()
    for part in parents:
        parent.add_module(part, nn.Module())
        parent = getattr(parent, part)
    parent.add_module(name, layer)
    config = copy.deepcopy(config)
    config.target_modules, config.modules_to_save = {module}, None
    config.exclude_modules = config.layers_to_transform = config.trainable_token_indices = None
    config.bias = "none"
    if not changes_base(config):
        config.init_lora_weights = True  # what it starts as does not matter: the trained parts replace it
    with warnings.catch_warnings():  # patterns for other layers match nothing here, as they should
        warnings.simplefilter("ignore")
        inject_adapter_in_model(config, root, low_cpu_mem_usage=not changes_base(config))
    return root.get_submodule(module)


def check_adapter(module: str, weight: tuple[int, ...], parts: dict[str, tuple[int, ...]], config: LoraConfig) -> None:
    """Refuse an adapter that is not exactly what PEFT's layer holds, before anything is computed; arguments are shapes.

    Raises:
        ConversionError: a part is missing, unknown or of the wrong shape; the message names module and shapes.
    """
    if changes_base(config):
        config = copy.deepcopy(config)
        config.init_lora_weights = True
    layer = wrap(module, bare_layer(weight, parts, config), config)
    wanted = {k: tuple(v.shape) for k, v in layer.state_dict().items() if not k.startswith("base_layer.")}
    if set(wanted) != set(parts):
        missing, extra = sorted(set(wanted) - set(parts)), sorted(set(parts) - set(wanted))
        raise ConversionError(
            f"the adapter of {module} does not fit its config: missing {missing or 'nothing'}, unknown "
            f"{extra or 'nothing'}."
        )
    for name, shape in parts.items():
        if shape != wanted[name]:
            raise ConversionError(
                f"the adapter does not fit the base: {name} of {module} is {shape}, its layer needs {wanted[name]}."
            )
