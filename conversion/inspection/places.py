"""What is inspected: a folder, or a repository on the Hub of which small files alone are downloaded."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...configuration.vla_errors import ConversionError
from ..files.file_kinds import CARD_NAME, OF_TOOLS
from ..files.given_paths import why_not_local
from ..files.hub_reasons import hub_errors, no_repository
from .headers import Header, header_of, read_header
from .pickled_headers import read_pickled

if TYPE_CHECKING:  # slow to import
    from huggingface_hub import HfApi

# Of a repository: what says something and is small. Tokenizers and code are not read, they are there or not.
WANTED = (CARD_NAME, "config.yaml")
NOT_WANTED = ("tokenizer.json", "vocab.json", "added_tokens.json", "merges.json", "trainer_state.json")
LARGEST = 20 * 10**6
DEPTH = 2  # folders below that may hold an adapter, or weights of a run
AT_ONCE = 8


@dataclass(frozen=True)
class Place:
    """A folder to look at.

    Attributes:
        name: as it was asked for.
        folder: of a repository one with its small files, and empty files in the place of all others.
        sizes: bytes of every file, by its path in the folder.
        revision: the commit, of a repository.
        header: of a safetensors file, by its path.
    """

    name: str
    folder: Path
    sizes: dict[str, int]
    header: Callable[[str], Header]
    revision: str | None = None

    @property
    def is_remote(self) -> bool:
        return self.revision is not None

    def header_or_names(self, file: str) -> Header:
        """Of a file of weights, whatever its format.

        Raises:
            ConversionError: it cannot be read; on the Hub only safetensors can.
        """
        if file.endswith(".safetensors"):
            return self.header(file)
        if self.is_remote:
            raise ConversionError(f"{file} is pickled; its tensors can be listed once it is downloaded.")
        return Header(read_pickled(self.folder / file, file))


@contextmanager
def open_place(name: str, revision: str | None = None, token: str | bool | None = None) -> Iterator[Place]:
    """A folder, or a repository's id.

    Raises:
        ConversionError: there is neither, or a revision was given for a folder.
    """
    if not name:
        raise ConversionError("the name of a folder is empty: is a variable not set?")
    if Path(name).is_dir():
        if revision:
            raise ConversionError(f"--revision {revision}: {name} is a folder, and has no revisions.")
        yield local_place(name)
        return
    reason = why_not_local(name)
    if reason:
        raise ConversionError(f"{name} is neither a folder nor a repository that can be reached: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        yield remote_place(name, Path(folder), revision, token)


def local_place(name: str) -> Place:
    folder = Path(name)
    paths = [path for path in below(folder, DEPTH) if path.is_file()]
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}
    return Place(name, folder, sizes, lambda file: read_header(folder / file, file))


def below(folder: Path, depth: int) -> Iterator[Path]:
    """Files and folders, some levels deep; what git and the Hub leave is not followed."""
    for path in sorted(folder.iterdir()):
        yield path
        if depth and path.is_dir() and path.name not in OF_TOOLS:
            yield from below(path, depth - 1)


def remote_place(name: str, folder: Path, revision: str | None, token: str | bool | None) -> Place:
    """Download the small files of a repository into the Hub's cache, and put the names of the others beside them."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    try:
        commit = api.model_info(name, revision=revision).sha
        entries = [
            entry for entry in api.list_repo_tree(name, recursive=True, revision=commit) if hasattr(entry, "size")
        ]
        sizes = {entry.path: entry.size for entry in entries if stays_inside(Path(entry.path))}
        small = [file for file, size in sizes.items() if is_wanted(file) and size <= LARGEST]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            copies = list(pool.map(lambda file: api.hf_hub_download(name, file, revision=commit), small))
    except hub_errors() as error:
        raise ConversionError(no_repository(name, revision, error)) from error
    for file in sizes:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    for file, copy in zip(small, copies, strict=True):
        shutil.copyfile(copy, folder / file)
    return Place(name, folder, sizes, lambda file: remote_header(api, name, commit, file, sizes[file]), commit)


def stays_inside(path: Path) -> bool:
    """Whether a path of a repository is one below its folder, and none that tools leave."""
    return not path.is_absolute() and ".." not in path.parts and path.name not in OF_TOOLS


def is_wanted(file: str) -> bool:
    name = file.rpartition("/")[2]
    return name in WANTED or (name.endswith(".json") and name not in NOT_WANTED)


def remote_header(api: "HfApi", name: str, commit: str, file: str, size: int) -> Header:
    """By ranged reads of the first bytes.

    Raises:
        ConversionError: it is no safetensors file, or cannot be reached.
    """
    from huggingface_hub.errors import SafetensorsParsingError

    try:
        found = api.parse_safetensors_file_metadata(name, file, revision=commit).tensors
    except SafetensorsParsingError as error:
        raise ConversionError(f"{file} cannot be read as safetensors: {str(error).splitlines()[0]}") from error
    except hub_errors() as error:
        raise ConversionError(no_repository(name, commit, error)) from error
    entries = {k: {"dtype": t.dtype, "shape": t.shape, "data_offsets": t.data_offsets} for k, t in found.items()}
    return header_of(entries, file, size)
