"""Which checkpoints a Trainer removes where `save_total_limit` says how many stay: those that it wrote, and no copies
that somebody gave other names, such as checkpoint-500-good."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

from transformers import Trainer, trainer, trainer_utils

from .run_folder import is_checkpoint

SORT = "sort_checkpoints"  # by which transformers 5 finds them, where 4.57 has a method


class KeepsCopies(Trainer):
    """A `Trainer` to which a folder is a checkpoint by its whole name, not by how that begins."""

    def train(self, *args, **kwargs):
        with copies_are_left_out():
            return super().train(*args, **kwargs)

    def _sorted_checkpoints(self, *args, **kwargs) -> list[str]:
        return [path for path in super()._sorted_checkpoints(*args, **kwargs) if is_checkpoint(Path(path))]


@contextmanager
def copies_are_left_out() -> Iterator[None]:
    """Of what transformers 5 sorts to remove the first of it."""
    sort = getattr(trainer_utils, SORT, None)
    if sort is None:
        yield
        return

    @wraps(sort)
    def without_copies(*args, **kwargs) -> list[str]:
        return [path for path in sort(*args, **kwargs) if is_checkpoint(Path(path))]

    for module in (trainer, trainer_utils):
        setattr(module, SORT, without_copies)
    try:
        yield
    finally:
        for module in (trainer, trainer_utils):
            setattr(module, SORT, sort)
