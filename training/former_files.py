"""What a run that is pushed finds of a former one in its repository, and transformers would still read."""

from collections.abc import Iterable
from pathlib import Path

from ..configuration.hub_removals import remove_from_repository
from ..modeling.replaced_weights import replaced_weights
from ..processing.portable_processor import PROCESSOR_FILES, replaced_files


def former_files(folder: str | Path, present: Iterable[str]) -> list[str]:
    """Of the files of a repository those that are of a former run, by their names: weights of other names, an adapter,
    a report and statistics beside whole weights, and special tokens and chat templates beside a processor.

    folder: of the run, as it was pushed.
    """
    folder, present = Path(folder), list(present)
    found = replaced_weights(present, [path.name for path in folder.iterdir()])
    if (folder / PROCESSOR_FILES[0]).is_file():
        found += replaced_files(folder, present)
    return sorted(set(found))


def remove_former_files(folder: str, repo_id: str, revision: str | None, token: str | None) -> None:
    """Take them out of the repository that the folder was pushed to, by a commit of their own."""
    remove_from_repository(repo_id, lambda present: former_files(folder, present), revision, token)
