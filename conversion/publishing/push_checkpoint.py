"""A checkpoint folder becomes a repository on the Hub, in one commit."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from tqdm import tqdm

from ...configuration.checkpoint_card import is_repository
from ...configuration.checkpoint_weights import WEIGHT_NAMES
from ...configuration.vla_errors import ConversionError
from ...training.waiting import WAIT
from ..files.file_hashes import changes_since, entry_of, report_text, with_own_hash
from ..files.file_kinds import CARD_NAME, REPORT_NAME
from ..files.given_paths import HOME, meant_folder
from ..files.json_file import read_json
from ..files.run_files import read_run_config
from ..folders.folder_contents import look_at, published_family
from ..folders.folder_roles import hint
from ..report import left_behind_table
from ..tensors.tensor_source import TensorGroup, open_checkpoint
from ..terminal import text_of
from .published_card import card_to_publish
from .uploaded_files import files_to_delete, files_to_upload

COMMIT = re.compile(r"[0-9a-f]{40}")
NO_BRANCH = re.compile(r"[^\w./-]|^[-/.]|\.\.|//|[/.]$|\.lock$")
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN, with a token that may write to it"
# What the library raises when a request fails: its own errors, those of its HTTP client (which depends on its version),
# ValueError for refused metadata or objects, RuntimeError around the failed upload of one file.
HUB_ERRORS = (*HfHubHTTPError.__bases__, OSError, ValueError, RuntimeError)


def check_repository_id(repo_id: str) -> None:
    """Raises ConversionError for what is no repository's id."""
    if not is_repository(repo_id):
        raise ConversionError(f"{repo_id!r} is no repository id; it has the form user/name.")


def check_branch(revision: str | None) -> None:
    """Raises ConversionError for what can be no branch: a commit, or a name that git does not take."""
    if revision is None:
        return
    if COMMIT.fullmatch(revision):
        raise ConversionError(f"--revision {revision} is a commit, which nothing is added to; name a branch.")
    if NO_BRANCH.search(revision):
        raise ConversionError(
            f"--revision {revision!r} is no name of a branch: letters, digits, '-', '_', '.' and '/' are taken, as in "
            "my-branch."
        )


def check_target(repo_id: str, revision: str | None, create_pr: bool) -> None:
    """Raises ConversionError for what can be no place to upload to."""
    check_repository_id(repo_id)
    check_branch(revision)
    if create_pr and revision:
        raise ConversionError(f"a pull request goes to main: leave out --create-pr, or --revision {revision}.")


def push_checkpoint(
    folder: Path,
    repo_id: str,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    quiet: bool = False,
    card: str | None = None,
    allow_code: bool = False,
) -> str:
    """Upload a folder in one commit; returns the URL of the commit or pull request.

    The repository is made if it does not exist, and so is the branch. The same commit deletes what
    the folder does not have and transformers might load in its place, see `files_to_delete`. Files that arrived in an
    upload that broke off are not sent again.

    Args:
        folder: what `merge-lora` or `save_pretrained` wrote; only the files of a checkpoint are uploaded, see
            `file_kinds.py`.
        card: what becomes of a README.md that the repository has. `None`: one that we wrote and nobody edited is
            renewed, any other stays; "keep": it stays; "renew": it is replaced by the folder's.
        allow_code: publish Python files that are not ours.
        private: only its owner sees a new repository.
        revision: a branch other than main.
        create_pr: open a pull request instead of changing main.

    Raises:
        ConversionError: the folder is no complete checkpoint or holds code that is not ours, the name is invalid, the
            token is missing or does not permit it, the Hub refuses or cannot be reached. No branch that others load
            from has changed.
    """
    check_target(repo_id, revision, create_pr)
    files, left = files_to_upload(folder, loadable_weights(folder), allow_code)
    with explained(repo_id), progress_bars(not quiet):
        if not get_token():
            raise ConversionError(f"there is no token for {repo_id}: {LOG_IN}.")
        api = HfApi()
        create_repository(api, repo_id, private)
        new_branch = revision is not None and not api.revision_exists(repo_id, revision)
        source = None if new_branch else revision
        present = set(api.list_repo_files(repo_id, revision=source))
        present_card = published_card(api, repo_id, source, present)
        published = card_to_publish(folder, repo_id, present_card, card)
        operations = make_operations(files, folder, published.text, present_card, present, quiet)
        left_lines = [text_of(left_behind_table(left, "not uploaded:"))] if left else []
        for line in [] if quiet else [*published.notes, *stale_report(folder), *left_lines]:
            tqdm.write(line)
        if new_branch:  # large files first, so that an upload that breaks off leaves no branch
            api.preupload_lfs_files(repo_id, [o for o in operations if isinstance(o, CommitOperationAdd)])
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        message = "Upload checkpoint with vlahub"
        commit = api.create_commit(repo_id, operations, commit_message=message, revision=revision, create_pr=create_pr)
        return commit.pr_url or commit.commit_url


def create_repository(api: HfApi, repo_id: str, private: bool) -> None:
    """Without `private` the owner's default holds, and what exists is used."""
    api.create_repo(repo_id, private=private or None, exist_ok=True)
    if private and not api.repo_info(repo_id).private:
        raise ConversionError(
            f"{repo_id} exists and is public, so that --private would not hide what is uploaded: "
            "make it private in its settings first, or choose another name."
        )


def make_operations(
    files: list[Path], folder: Path, card: str | None, present_card: str | None, present: set[str], quiet: bool = True
) -> list[CommitOperationAdd | CommitOperationDelete]:
    """All files and the card, and the removal of what `present`, the repository's files, has that would be read, too.

    card, present_card: what the repository will have, as the report says in its list of files, and what it has.
    """
    content = {path.name: path for path in files}
    if card is not None:
        content[CARD_NAME] = card.encode()
    if card is not None and REPORT_NAME in content:
        content[REPORT_NAME] = report_with_card(read_json([folder], REPORT_NAME, required=True), card)
    if card == present_card:
        content.pop(CARD_NAME, None)
    names = tqdm(sorted(content), desc="hashing", unit="file", delay=WAIT, leave=False, disable=quiet)
    return [
        *(CommitOperationAdd(name, content[name]) for name in names),
        *(CommitOperationDelete(name) for name in files_to_delete(present, content)),
    ]


def stale_report(folder: Path) -> list[str]:
    """What to say where the report was written for other files."""
    report = read_json([folder], REPORT_NAME, required=False) or {}
    changes = changes_since(folder, report, quiet=False) if "files" in report else None
    if not changes:
        return []
    return [f"warning: {REPORT_NAME} is of other files ({changes}); vlahub verify --accept records them as they are."]


def report_with_card(report: dict, card: str) -> bytes:
    """The report for a repository whose card has its name in it, or is another one."""
    if CARD_NAME in report.get("files", {}):
        report["files"][CARD_NAME] = entry_of(card.encode())
        return report_text(with_own_hash(report)).encode()
    return report_text(report).encode()


def published_card(api: HfApi, repo_id: str, revision: str | None, present: set[str]) -> str | None:
    """README.md of the repository, `None` where it has none."""
    if CARD_NAME not in present:
        return None
    path = api.hf_hub_download(repo_id, CARD_NAME, revision=revision)
    return Path(path).read_text(encoding="utf-8", errors="replace")


def loadable_weights(folder: Path) -> TensorGroup:
    """The weights of a folder; refuse one that nobody could load. Reads no more than the headers of the weights."""
    if not folder.is_dir():
        reason = f": {HOME}" if str(folder).startswith("~") else ": name what merge-lora or save_pretrained wrote."
        raise ConversionError(f"{folder} is no folder{meant_folder(folder)}{reason}")
    if not (folder / "config.json").is_file():
        raise ConversionError(
            f"{folder} has no config.json: name the folder that merge-lora or save_pretrained wrote; "
            f"{look_at(folder)}. {hint(look_at(folder))}"
        )
    weights = open_checkpoint(folder, folder.name)
    if weights is None or any(file.path.suffix != ".safetensors" for file in weights.files):
        raise ConversionError(
            f"{folder} has no weights: neither {WEIGHT_NAMES[0]} nor {WEIGHT_NAMES[1]}. {hint(look_at(folder))}"
        )
    if published_family(read_run_config(folder)) and not (folder / REPORT_NAME).is_file():
        raise ConversionError(f"{look_at(folder)}, which is not converted yet. {hint(look_at(folder))}")
    list(weights)  # reads the header of every file
    return weights


@contextmanager
def explained(repo_id: str) -> Iterator[None]:
    """Turn what the library raises into one error that says what to do."""
    try:
        yield
    except ConversionError:
        raise
    except HUB_ERRORS as error:
        if getattr(error, "filename", None):  # of this machine, not of the Hub
            raise
        cause = root(error)
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if status in (401, 403):
            message = f"the Hub does not permit this to {repo_id}: {hub_reason(cause)}. You may need to {LOG_IN}."
        elif status or isinstance(cause, ValueError):
            message = f"the Hub refused the upload to {repo_id}: {hub_reason(cause)}."
        else:
            message = f"the upload to {repo_id} did not end: {hub_reason(cause)}. It changed nothing yet: run it again."
        raise ConversionError(message) from error


def root(error: BaseException) -> BaseException:
    """The request's own error: the library wraps it for the upload of one file."""
    return error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error


def hub_reason(error: BaseException) -> str:
    """On one line: what the server said, where it said anything."""
    said = getattr(error, "server_message", None) or str(error) or type(error).__name__
    return " ".join(said.split()).rstrip(".")


@contextmanager
def progress_bars(shown: bool) -> Iterator[None]:
    hide = not shown and not are_progress_bars_disabled()
    if hide:
        disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            enable_progress_bars()
