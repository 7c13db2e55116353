"""An adapter is loaded or added whole and is in use, or a model is as it was: PEFT puts its layers in before anybody
looks at its tensors."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ..configuration.vla_errors import ConfigError
from .adapters_in_use import adapters_of, switch_adapters, use_adapters


@contextmanager
def whole_or_not_at_all(model: nn.Module, name: str) -> Iterator[None]:
    """Around the loading or adding of an adapter of this name: after it the adapter is the one that is in use, also
    where adapters were switched off, and it trains if its config says so. After an error the model has the modules,
    the adapters, the active ones, the training modes and the trained parameters of before.
    """
    modules = [(module, dict(module._modules), module.training) for module in model.modules()]
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    before, active, were_off = adapters_of(model)
    try:
        yield
        use_adapters(model, name, is_frozen=model.peft_config[name].inference_mode)
    except BaseException:
        if name not in before:
            if before:
                use_adapters(model, active[:1])  # PEFT takes none out of parts beside several, or if they differ
            forget_adapter(model, name)
            if before:
                use_adapters(model, active)
                switch_adapters(model, on=not were_off)
            else:
                model._hf_peft_config_loaded = False
                vars(model).pop("peft_config", None)
        for module, children, training in modules:
            module._modules.clear()
            module._modules.update(children)
            module.training = training
        for parameter, requires_grad in trained:
            parameter.requires_grad_(requires_grad)
        raise


def forget_adapter(model: nn.Module, name: str) -> None:
    """Take an adapter, or what there is of it, out of PEFT's modules, which may be of others or of none any more."""
    if (config := getattr(model, "peft_config", {}).pop(name, None)) is not None:
        peft = importlib.import_module("peft.functional")
        peft.delete_adapter(model, name, prefix=f"{config.peft_type.value.lower()}_")


@contextmanager
def missing_part_is_named() -> Iterator[None]:
    """Around the loading of an adapter.

    Raises:
        ConfigError: it lacks a copy of a whole part, which PEFT asks for by its name (4.57).
    """
    try:
        yield
    except KeyError as error:
        raise ConfigError(
            f"the weights of the adapter do not fit its config; missing keys: {error.args[0]}."
        ) from error
