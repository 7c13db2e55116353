"""A folder, or a repository on the Hub as a folder."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from ..configuration.vla_errors import ConversionError
from .files.given_paths import meant_folder, why_not_local

SETTINGS = ["*.json", "*.yaml", "*.txt", "*.jinja", "*.model", "*.py", "*.md"]
PATTERNS = [*SETTINGS, "*.safetensors", "*.bin", "*.pt", "lora_adapter/*"]


def source_folder(name: str, weights: bool = True, everything: bool = False) -> Path:
    """`name` as a local folder; a repository id is downloaded into the Hub's cache, on request without its weights.

    everything: download all files, also those that no conversion reads.

    Raises:
        ConversionError: there is neither such a folder nor such a repository.
    """
    if not name:
        raise ConversionError("the name of a folder is empty: is a variable not set?")
    if Path(name).is_dir():
        return Path(name)
    neither = f"{name} is neither a folder nor a repository that can be reached"
    local = why_not_local(name)
    if local:
        raise ConversionError(f"{neither}: {local}")
    patterns = None if everything else PATTERNS if weights else SETTINGS
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        where = meant_folder(Path(name)) or f" (a folder of this name would lie in {Path.cwd()})"
        raise ConversionError(f"{neither}: {reason.rstrip('.')}{where}.") from error
