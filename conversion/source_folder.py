"""A folder, or a repository on the Hub as a folder."""

from pathlib import Path

from huggingface_hub import snapshot_download

from ..configuration.vla_errors import ConversionError
from .files.given_paths import why_not_local
from .files.hub_reasons import hub_errors, no_repository

# All kinds of files of a checkpoint but weights, see `file_kinds.py`, and the configs of runs.
SETTINGS = ["*.json", "*.yaml", "*.txt", "*.jinja", "*.py", "*.md", "example_view_*.png"]
SETTINGS += ["*.model", "*.spm", "*.tiktoken", "*.codes", "*.tokenizer"]  # vocabularies
SETTINGS += ["LICENSE*", "LICENCE*", "NOTICE*", "COPYING*", "USE_POLICY*"]
PATTERNS = [*SETTINGS, "*.safetensors", "*.bin", "*.pt", "lora_adapter/*"]


def source_folder(name: str, weights: bool = True, everything: bool = False, revision: str | None = None) -> Path:
    """`name` as a local folder; a repository id is downloaded into the Hub's cache, on request without its weights.

    everything: download all files, also those that no conversion reads.
    revision: of a repository: branch, tag or commit.

    Raises:
        ConversionError: there is neither such a folder nor such a repository.
    """
    if not name:
        raise ConversionError("the name of a folder is empty: is a variable not set?")
    if Path(name).is_dir():
        return Path(name)
    if local := why_not_local(name):
        raise ConversionError(f"{name} is neither a folder nor a repository that can be reached: {local}")
    patterns = None if everything else PATTERNS if weights else SETTINGS
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except hub_errors() as error:
        raise ConversionError(no_repository(name, revision, error)) from error
