"""Files that a push leaves in a repository though what it uploaded takes their place."""

from collections.abc import Callable, Iterable

from huggingface_hub import CommitOperationDelete, HfApi

MESSAGE = "Remove what the last commit replaced"


def remove_from_repository(
    repo_id: str,
    replaced: Callable[[Iterable[str]], list[str]],
    revision: str | None,
    token: str | bool | None,
) -> None:
    """Take files out of a repository, by a commit behind that of what replaces them; none where there are none.

    replaced: which of the files that are there, by their names.
    """
    api = HfApi(token=token)
    if stale := replaced(api.list_repo_files(repo_id, revision=revision)):
        operations = [CommitOperationDelete(name) for name in stale]
        api.create_commit(repo_id, operations, commit_message=MESSAGE, revision=revision)
