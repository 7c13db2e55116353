"""What a graph of a model depends on beside its inputs: looked at before every replay, in less than a millisecond."""

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torch_module

GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks")
PLAIN = (bool, int, float, str, type(None))


class ModelWatch:
    """The modules, parameters and buffers of a model as they are now, by identity and address.

    A weight that is updated in its place changes nothing; one that is moved, replaced, wrapped or added does.
    """

    def __init__(self, model: nn.Module):
        self.modules = list(model.modules())
        self.children = [module._modules for module in self.modules if module._modules]
        self.tensors = [table for m in self.modules for table in (m._parameters, m._buffers) if table]
        self.hooks = [table for m in self.modules for table in (m._forward_hooks, m._forward_pre_hooks)]
        self.configs = {id(m.config): m.config for m in self.modules if hasattr(m, "config")}.values()
        found = [each for table in self.tensors for each in table.values() if each is not None]
        self.devices = {each.device for each in found}
        self.device = next(iter(self.devices), torch.device("cpu"))
        self.adapted = [module for module in self.modules if hasattr(module, "merged_adapters")]
        self.is_sharded = any(hasattr(each, "placements") for each in found)
        self.is_split = any(hasattr(m, name) for m in self.modules for name in ("hf_device_map", "_hf_hook"))
        self.before = self.fingerprint()

    def fingerprint(self) -> tuple:
        """Identities of all modules, identities and addresses of all tensors, plain fields of configs, and which
        adapters are at work."""
        children = [id(module) for table in self.children for module in table.values()]
        tensors = [(id(each), address(each)) for table in self.tensors for each in table.values()]
        fields = [(name, value) for c in self.configs for name, value in vars(c).items() if isinstance(value, PLAIN)]
        return children, tensors, fields, [adapter_state(module) for module in self.adapted]

    def has_changed(self) -> bool:
        return self.fingerprint() != self.before

    def reason_against(self) -> str | None:
        """Why calls of this model are not recorded at all, or `None`."""
        if any(module.training for module in self.modules):
            return "training mode"
        hooks = (hook for table in self.hooks for hook in table.values())
        if any(not is_part_of_model(hook) for hook in hooks) or any(
            getattr(torch_module, name) for name in GLOBAL_HOOKS
        ):
            return "hooks"
        if self.is_split or self.is_sharded:
            return "the model is split or sharded"
        if len(self.devices) > 1 or self.device.type == "meta":
            return "parts lie on several devices"
        return None

    def settings(self) -> Hashable:
        """What else decides which kernels run: attention of all parts, autocast, precision and determinism."""
        attention = tuple(str(getattr(config, "_attn_implementation", None)) for config in self.configs)
        device = self.device.type
        autocast = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
        sdp = torch.backends.cuda
        kernels = sdp.flash_sdp_enabled(), sdp.mem_efficient_sdp_enabled(), sdp.math_sdp_enabled()
        precision = torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
        return attention, autocast, kernels, precision


def address(tensor: Any) -> int | None:
    """Where its numbers lie; `None` for those that have no single place (quantised, sharded) and for nothing."""
    return tensor.data_ptr() if type(tensor) in (nn.Parameter, torch.Tensor) else None


def part_of_model(hook: Callable) -> Callable:
    """A decorator: this hook belongs to the model's arithmetic and is recorded with it."""
    hook.is_part_of_model = True
    return hook


def is_part_of_model(hook: Callable) -> bool:
    """Also those by which transformers 5 hands out hidden states that the model asked for, in this very call."""
    if getattr(hook, "__module__", None) == "transformers.utils.output_capturing":
        return True
    return getattr(getattr(hook, "func", hook), "is_part_of_model", False)


def adapter_state(module: nn.Module) -> tuple:
    """Which adapters of a layer of PEFT are added, with what factors, or are merged or switched off."""
    scaling = getattr(module, "scaling", {})
    factors = tuple(sorted(scaling.items())) if isinstance(scaling, dict) else ()
    return tuple(module.active_adapters), factors, module.disable_adapters, tuple(module.merged_adapters)
