"""An adapter is loaded or added whole and is in use, or a model is as it was: PEFT puts its layers in before anybody
looks at its tensors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from ..configuration.vla_errors import ConfigError
from .adapters_in_use import check_name_free, use_adapters

NOT_KEPT = ("merged_adapters",)  # which PEFT takes out of the weights when it puts another adapter in


@contextmanager
def whole_or_not_at_all(model: nn.Module, name: str) -> Iterator[None]:
    """Around the loading or adding of an adapter of this name: after it the adapter is the one that is in use, also
    where adapters were switched off, and it trains if its config says so. After an error the model has the modules,
    the adapters, the active ones, the training modes and the trained parameters of before, whoever put adapters in: the
    model's own methods, or PEFT's around it.

    Raises:
        InputError: see `check_name_free`.
    """
    check_name_free(model, name)
    before = [(module, fields_of(module)) for module in model.modules()]
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        yield
        use_adapters(model, name, is_frozen=model.peft_config[name].inference_mode)
    except BaseException:
        for module, fields in before:
            give_back(module, fields)
        for parameter, requires_grad in trained:
            parameter.requires_grad_(requires_grad)
        raise


def fields_of(module: nn.Module) -> dict[str, tuple[Any, Any]]:
    """A module's own attributes, and of those that hold others, such as its children, what they hold."""
    fields = {name: value for name, value in vars(module).items() if name not in NOT_KEPT}
    return {name: (value, held(value)) for name, value in fields.items()}


def held(value: Any) -> Any:
    return value.copy() if isinstance(value, dict | list | set) else None


def give_back(module: nn.Module, fields: dict[str, tuple[Any, Any]]) -> None:
    """Put a module's attributes back, those that hold others as the same objects: PEFT's modules share some."""
    own = vars(module)
    for name in own.keys() - fields.keys() - set(NOT_KEPT):
        del own[name]
    for name, (value, content) in fields.items():
        own[name] = value
        if content is not None:
            value.clear()
            (value.extend if isinstance(value, list) else value.update)(content)


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
