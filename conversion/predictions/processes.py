"""One process, or several that `accelerate launch` started, which share the work of a command."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from accelerate import PartialState

from ...configuration.vla_errors import InputError


@dataclass(frozen=True)
class Processes:
    """Which process this is.

    Attributes:
        rank, count: its number, and how many there are.
        device: what it computes on.
        main_first: a context that the first process passes before the others enter it, such as for downloads.
    """

    rank: int
    count: int
    device: str
    main_first: Callable[[], AbstractContextManager]

    @property
    def is_main(self) -> bool:
        """Whether it is the one that prints and writes."""
        return self.rank == 0


@contextmanager
def joined_processes(device: str | None) -> Iterator[Processes]:
    """Join the other processes, if there are any, until the block ends without an error.

    device: that was asked for; `None`: the CPU, or, of several processes, each one's own.

    Raises:
        InputError: there are several processes, and one device was named or not all were joined.
    """
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        yield Processes(0, 1, device or "cpu", nullcontext)
        return
    if device not in (None, "cpu"):
        raise InputError(f"--device {device}: of {count} processes each takes a device of its own; leave it out.")
    state = PartialState(cpu=device == "cpu" or not torch.accelerator.is_available())
    if state.num_processes != count:
        raise InputError(f"{count} processes were started, but accelerate joined {state.num_processes} of them.")
    yield Processes(state.process_index, state.num_processes, str(state.device), state.main_process_first)
    state.destroy_process_group()
