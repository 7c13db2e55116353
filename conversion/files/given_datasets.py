"""A dataset as it is named on the command line: what can be no dataset is refused before anything is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...configuration.vla_errors import InputError
from .given_paths import exists, meant_folder, why_no_single_name


def check_dataset_name(name: str) -> None:
    """Raises InputError for what is neither there nor can be the id of a dataset on the Hub."""
    if not exists(Path(name)) and (reason := why_no_single_name(name)):
        raise InputError(f"{name} cannot be read as a dataset: {reason}")


@contextmanager
def reading_dataset(name: str) -> Iterator[None]:
    """Where the Hub has no such dataset, say what folder may be meant."""
    try:
        yield
    except InputError as error:
        is_of_name = str(error).startswith(f"{name} ") and not exists(Path(name))
        if not is_of_name or not (meant := meant_folder(Path(name))):
            raise
        raise InputError(f"{str(error).rstrip('.')}{meant}.") from error
