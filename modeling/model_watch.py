"""What a graph of a model depends on beside its inputs: looked at before every replay, in less than a millisecond."""

import weakref
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torch_module

from .kernel_settings import kernel_settings

GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks")
PLAIN = (bool, int, float, str, type(None))
PLAIN_TENSORS = (nn.Parameter, torch.Tensor)
OF_TRANSFORMERS = "transformers.utils.output_capturing"  # its hooks give intermediate states to whoever asks for them
SHARDS = ("placements", "ds_id", "_is_flat_param")  # attributes of parameters of DTensor, DeepSpeed and FSDP


class ModelWatch:
    """The modules, parameters and buffers of a model as they are now, by identity and address.

    A weight that is updated in its place changes nothing; one that is moved, replaced, wrapped or added does. Modules
    that were replaced are kept alive until it is made anew, so that no other has their identity. The model, which has
    the watch, is not: its memory would come back at the next garbage collection only.
    """

    def __init__(self, model: nn.Module):
        modules = list(model.modules())
        self.model, self.parts = weakref.ref(model), modules[1:]
        self.fields_of_parts = [vars(module) for module in self.parts]
        self.names = [plain_names(fields) for fields in self.fields()]
        self.children = [module._modules for module in modules]
        self.tensors = [table for m in modules for table in (m._parameters, m._buffers)]
        self.hooks = [table for m in modules for table in (m._forward_hooks, m._forward_pre_hooks)]
        self.configs = {id(m.config): m.config for m in modules if hasattr(m, "config")}.values()
        found = [each for table in self.tensors for each in table.values() if each is not None]
        self.devices = {each.device for each in found}
        self.device = next(iter(self.devices), torch.device("cpu"))
        self.adapted = [module for module in self.parts if hasattr(module, "merged_adapters")]
        self.is_sharded = any(hasattr(each, name) for each in found for name in SHARDS)
        self.is_split = any(len(set((getattr(m, "hf_device_map", None) or {}).values())) > 1 for m in modules)
        self.before = self.fingerprint()

    def fields(self) -> list[dict[str, Any]]:
        """The attributes of the model, and of each of its parts."""
        return [vars(self.model()), *self.fields_of_parts]

    def fingerprint(self) -> tuple:
        """Identities of all modules, addresses and layouts of all tensors, forwards of modules of their own, numbers
        and switches of modules and configs, and which adapters are at work."""
        children = [id(module) for table in self.children if table for module in table.values()]
        tensors = [place_of(each) for table in self.tensors if table for each in table.values()]
        own = self.fields()
        forwards = [fields["forward"] for fields in own if "forward" in fields]
        forwards = [each for each in forwards if not is_forward_of_class(each)]
        fields = [(name, value) for c in self.configs for name, value in vars(c).items() if isinstance(value, PLAIN)]
        numbers = [fields.get(name) for fields, names in zip(own, self.names, strict=True) for name in names]
        return children, tensors, forwards, fields, numbers, [adapter_state(module) for module in self.adapted]

    def has_changed(self) -> bool:
        return self.fingerprint() != self.before

    def reason_against(self) -> str | None:
        """Why calls of this model are not recorded at all, or `None`."""
        if self.model().training or any(module.training for module in self.parts):
            return "training mode"
        hooks = (hook for table in self.hooks if table for hook in table.values())
        if (
            any(not is_part_of_model(hook) for hook in hooks)
            or any("_hf_hook" in fields for fields in self.fields())
            or any(getattr(torch_module, name) for name in GLOBAL_HOOKS)
        ):
            return "hooks"
        if self.is_split or self.is_sharded:
            return "the model is split or sharded"
        if len(self.devices) > 1 or self.device.type == "meta":
            return "parts lie on several devices" if len(self.devices) > 1 else "weights are on the meta device"
        return None

    def settings(self) -> Hashable:
        """What else decides which kernels run: attention of all parts, autocast, precision and determinism."""
        attention = tuple(str(getattr(config, "_attn_implementation", None)) for config in self.configs)
        return attention, kernel_settings(self.device)


def place_of(tensor: Any) -> Hashable:
    """Where its numbers lie, and how; of quantised weights where those of their parts do."""
    if tensor is None:
        return None
    if type(tensor) in PLAIN_TENSORS:
        return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype
    if not hasattr(tensor, "__tensor_flatten__"):
        return id(tensor), type(tensor)
    names, context = tensor.__tensor_flatten__()
    return type(tensor), repr(context), tuple(place_of(getattr(tensor, name)) for name in names)


def is_forward_of_class(forward: Any) -> bool:
    """Whether a module's own `forward` is but that of its class, as transformers 4 leaves it behind."""
    owner = getattr(forward, "__self__", None)
    return owner is not None and getattr(forward, "__func__", None) is getattr(type(owner), "forward", None)


def plain_names(fields: dict[str, Any]) -> tuple[str, ...]:
    """Names of a module's own numbers, texts and switches, such as `eps` or `keep_ratio`, which a graph is made with.

    `training` is looked at anew in every call, and `max_seq_len_cached` is a note of the longest sequence so far.
    """
    skipped = ("training", "max_seq_len_cached")
    return tuple(
        name for name, value in fields.items() if isinstance(value, PLAIN) and name[0] != "_" and name not in skipped
    )


def part_of_model(hook: Callable) -> Callable:
    """A decorator: this hook belongs to the model's arithmetic and is recorded with it."""
    hook.is_part_of_model = True
    return hook


def is_part_of_model(hook: Callable) -> bool:
    function = getattr(hook, "func", hook)
    return getattr(function, "is_part_of_model", False) or getattr(function, "__module__", None) == OF_TRANSFORMERS


def adapter_state(module: nn.Module) -> tuple:
    """Which adapters of a layer of PEFT are added, with what factors, or are merged or switched off."""
    scaling = getattr(module, "scaling", {})
    factors = tuple(sorted(scaling.items())) if isinstance(scaling, dict) else ()
    return tuple(module.active_adapters), factors, module.disable_adapters, tuple(module.merged_adapters)
