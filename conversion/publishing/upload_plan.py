"""What `vlahub push --dry-run` says: the files that would be uploaded, found out without the Hub."""

from pathlib import Path

from ..report import left_behind_table
from ..table_lines import Column, Table
from ..terminal import show
from .push_checkpoint import check_target, loadable_weights, stale_report
from .uploaded_files import files_to_upload


def show_upload(
    folder: Path, repo_id: str, revision: str | None, create_pr: bool, allow_code: bool, quiet: bool = False
) -> None:
    """Print what `push_checkpoint` would upload, and what it leaves. What the repository holds is not looked at.

    Raises:
        ConversionError: the folder is refused, or the name is invalid; as by `push_checkpoint`.
    """
    check_target(repo_id, revision, create_pr)
    files, left = files_to_upload(folder, loadable_weights(folder), allow_code)
    if quiet:
        return
    rows = [[path.relative_to(folder).as_posix(), str(path.stat().st_size)] for path in files]
    show(Table([Column("file"), Column("bytes", right=True, before="  ")], rows, f"{folder} to {repo_id}:"))
    if left:
        show(left_behind_table(left, "not uploaded:"))
    for line in stale_report(folder):
        print(line)
    print("nothing was uploaded (--dry-run)")
