"""LeRobot datasets on the Hub, as folders in its cache."""

import re
from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..configuration.vla_errors import InputError
from .lerobot_layout import INFO

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
PATTERNS = ["meta/*", "data/*", "videos/*", "images/*", "dataset_statistics.json"]  # `*` goes into folders, too


def dataset_folder(source: str | Path, revision: str | None = None) -> Path | None:
    """A folder as it is; a LeRobot dataset on the Hub is downloaded into the cache, whole, and is its folder there.

    What was downloaded before is not loaded again, and is found without a network, too.

    Args:
        source: a folder or file, or the id of a dataset on the Hub, `user/name`.
        revision: branch, tag or commit; LeRobot tags each version of its layout, such as "v2.1".

    Returns:
        `None` for anything else, such as a dataset on the Hub without LeRobot's meta files.

    Raises:
        InputError: there is no such dataset or revision, or it cannot be reached; or a folder was given a revision.
    """
    if Path(source).exists():
        if revision is not None:
            raise InputError(
                f"revision={revision!r}: {source} is a folder, and only datasets on the Hub have revisions."
            )
        return Path(source)
    name = str(source)
    if not REPOSITORY.fullmatch(name) or name.startswith("."):
        return None
    try:
        hf_hub_download(name, INFO, repo_type="dataset", revision=revision)
        return Path(snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=PATTERNS))
    except LocalEntryNotFoundError as error:
        raise InputError(f"{name} is no folder, and the Hub cannot be reached: {first_line(error)}") from error
    except EntryNotFoundError:
        return None
    except RevisionNotFoundError as error:
        raise InputError(f"the dataset {name} on the Hub has no revision {revision!r}.") from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"{name} is neither a folder nor a dataset on the Hub that can be read; a private or gated one needs "
            "`hf auth login`."
        ) from error
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise InputError(f"{name} cannot be read from the Hub: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
