"""What modules of a model were given and returned while it predicted, by forward hooks that are gone afterwards.

Under hooks a prediction runs eagerly, to the same answer (docs/real-time.md).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from torch import nn


class Call(NamedTuple):
    """One call of a module."""

    args: tuple
    kwargs: dict[str, Any]
    output: Any


@contextmanager
def recorded_calls(
    watched: Mapping[str, tuple[nn.Module, Callable[[Call], Any]]],
) -> Iterator[dict[str, list[Any]]]:
    """Inside the block, collect what is read off each call of modules, in order, by name.

    watched: `{name: (module, what to keep of a call)}`.
    """
    found: dict[str, list[Any]] = {name: [] for name in watched}
    with ExitStack() as hooks:
        for name, (module, read) in watched.items():
            hooks.callback(watch(module, read, found[name]).remove)
        yield found


def watch(module: nn.Module, read: Callable[[Call], Any], calls: list[Any]) -> Any:
    """The handle of a hook that appends to `calls`."""

    def keep(module: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
        calls.append(read(Call(args, kwargs, output)))

    return module.register_forward_hook(keep, with_kwargs=True)
