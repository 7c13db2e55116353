"""An adapter is loaded whole and active, or a model is as it was: PEFT puts its layers in before anybody looks at its
tensors, and of a second adapter activates these layers, but not its copies of whole parts; PEFT 0.18 switches those of
all adapters off."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn

from ..configuration.vla_errors import ConfigError


@contextmanager
def whole_or_not_at_all(model: nn.Module, name: str) -> Iterator[None]:
    """Around the loading of an adapter of this name: after it the adapter is the active one, and after an error the
    model has the modules, the adapters, the active ones, the training modes and the trained parameters of before.

    Raises:
        ConfigError: the adapter lacks a copy of a whole part, which PEFT asks for by its name (4.57).
    """
    modules = [(module, dict(module._modules), module.training) for module in model.modules()]
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    had_adapters = getattr(model, "_hf_peft_config_loaded", False)
    before, active = (list(model.peft_config), model.active_adapters()) if had_adapters else ([], [])
    try:
        with missing_part_is_named(), parts_stay_on(model):
            yield
        if had_adapters:
            activate(model, name)
    except BaseException:
        if not had_adapters:
            model._hf_peft_config_loaded = False
            vars(model).pop("peft_config", None)
        elif name not in before and name in model.peft_config:
            model.set_adapter(active)
            model.delete_adapter(name)
        for module, children, training in modules:
            module._modules.clear()
            module._modules.update(children)
            module.training = training
        train_again(trained)
        raise


@contextmanager
def missing_part_is_named() -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise ConfigError(
            f"the weights of the adapter do not fit its config; missing keys: {error.args[0]}."
        ) from error


@contextmanager
def parts_stay_on(model: nn.Module) -> Iterator[None]:
    """Around what adds an adapter to a model that may have others."""
    before = switched_off(model)
    try:
        yield
    finally:
        for part in switched_off(model) - before:
            part.enable_adapters(True)


def switched_off(model: nn.Module) -> set[nn.Module]:
    """Layers and parts whose adapters are out of use; what is PEFT's has a flag where models have a method."""
    return {module for module in model.modules() if getattr(module, "disable_adapters", None) is True}


def activate(model: nn.Module, name: str) -> None:
    """Predict with an adapter, all of it; which parameters train stays as it is."""
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.set_adapter(name)
    train_again(trained)


def train_again(trained: Iterable[tuple[nn.Parameter, bool]]) -> None:
    for parameter, requires_grad in trained:
        parameter.requires_grad_(requires_grad)
