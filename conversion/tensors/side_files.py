"""Files of tensors that a run has beside its adapter, such as action_head--10_checkpoint.pt."""

from collections.abc import Iterable
from pathlib import Path

from ...configuration.vla_errors import ConversionError
from .tensor_source import TensorFile


def find_side_files(run: Path, kinds: Iterable[str], label: str = "run") -> dict[str, TensorFile]:
    """The files that a run has beside its adapter, by their kind: the start of the name, before `--`.

    label: how reports call the run.

    Raises:
        ConversionError: there are several of a kind, or of different steps.
    """
    found = {}
    for kind in kinds:
        paths = sorted(run.glob(f"{kind}--*.pt"))
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise ConversionError(f"{run} holds several {kind} files ({names}); keep the one to convert.")
        if paths:
            found[kind] = TensorFile(paths[0], f"{label}/{paths[0].name}")
    steps = {file.path.name.split("--", 1)[1] for file in found.values()}
    if len(steps) > 1:
        names = ", ".join(file.path.name for file in found.values())
        raise ConversionError(f"{run} holds side files of different steps ({names}); keep those of one.")
    return found
