"""Rows of tokens that adapters train (`trainable_token_indices`): PEFT asks for those of any adapter, also of one that
has none beside one that has some, where it saves an adapter, and where transformers 4.57 loads it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from .adapters_in_use import parts_of_peft

ASKED = ("adapter_state_dict", "adapter_state_dict_load_map")  # methods of PEFT's parts, of the name of an adapter


@contextmanager
def rows_are_asked_of_their_adapters(model: nn.Module) -> Iterator[None]:
    """Around what asks the parts of a model for the tensors of an adapter: those with rows have none of others'."""
    parts = [part for part in parts_of_peft(model) if getattr(part, "token_adapter", None) is not None]
    for part in parts:
        for method in ASKED:
            setattr(part, method, of_own_adapters(part, getattr(part, method)))
    try:
        yield
    finally:
        for part in parts:
            for method in ASKED:
                vars(part).pop(method, None)  # the method of the class again


def of_own_adapters(part: nn.Module, method: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def asked(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return method(name, *args, **kwargs) if name in part.token_adapter.token_indices else {}

    return asked
