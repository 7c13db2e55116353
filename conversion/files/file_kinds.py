"""Which files belong to a checkpoint: merging copies no others, conversions report them, and `push` uploads no others.

A file travels when its name is of a known kind, it lies in the folder itself and is no link that leads out of it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

WEIGHTS, CONFIG, PROCESSOR, TOKENIZER = "weights", "config", "processor", "tokenizer"
CARD, PICTURE, STATISTICS, VIEWS, REPORT, CODE = "card", "picture", "statistics", "views", "report", "code"
BASE = "weights of the base"
PICTURE_NAME, EXAMPLE_VIEW = "prediction.png", r"example_view_\d+\.png"
CARD_NAME, STATISTICS_NAME, REPORT_NAME = "README.md", "dataset_statistics.json", "conversion_report.json"
VIEWS_NAME, GENERATION_NAME = "view_names.json", "generation_config.json"
BASE_WEIGHTS_NAME = "base_weights.json"

# Names as transformers writes them; vocabularies by the `vocab_files_names` of its tokenizers.
KINDS = {
    WEIGHTS: r"model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json",
    CONFIG: r"(generation_)?config\.json",
    PROCESSOR: r"(processor|(video_|image_|audio_)?preprocessor|audio_tokenizer)_config\.json",
    TOKENIZER: r"tokenizer(_config)?\.json|special_tokens_map\.json|added_tokens\.json|chat_template\.(jinja|json)"
    r"|grounding_tokenizer\.json"  # of a text tower beside the language model
    r"|(vocab|merges|dict|normalizer|entity_vocab|target_vocab|emoji|byte_maps|word_shape|word_pronunciation)"
    r"([-_.]\w+)?\.(json|txt)|[\w.-]+\.(model|spm|tiktoken|codes)|tekken\.json|prophetnet\.tokenizer",
    CARD: r"README\.md|(LICENSE|LICENCE|NOTICE|COPYING|USE_POLICY)([-.]\w+)*",
    PICTURE: rf"{re.escape(PICTURE_NAME)}|{EXAMPLE_VIEW}",  # that the card shows, or reads
    STATISTICS: re.escape(STATISTICS_NAME),
    VIEWS: re.escape(VIEWS_NAME),  # beside an adapter
    BASE: re.escape(BASE_WEIGHTS_NAME),  # beside an adapter, too
    REPORT: re.escape(REPORT_NAME),
    CODE: r"[A-Za-z_]\w*\.py",
}
PICKLED = r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?"  # weights that are read, and never travel
# What reads the Hub and git leave in a folder: neither uploaded nor reported.
OF_TOOLS = (".git", ".gitattributes", ".gitignore", ".cache")
BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class LeftBehind:
    """A file or folder that does not travel, and why."""

    path: Path
    reason: str


def example_view(index: int) -> str:
    """The name of an image that the example of a card reads from the repository."""
    return f"example_view_{index}.png"


def is_example_view(name: str) -> bool:
    return re.fullmatch(EXAMPLE_VIEW, name) is not None


def kind_of(name: str) -> str | None:
    """The kind of a file by its name; `None` for one that is no part of a checkpoint."""
    return next((kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, name)), None)


def travelling(folder: Path, *kinds: str) -> list[Path]:
    """The files of these kinds in a folder, sorted by name; links that lead out are not among them."""
    return [path for path in sorted(folder.iterdir()) if kind_of(path.name) in kinds and refusal(path) is None]


def left_behind(folder: Path) -> list[LeftBehind]:
    """What lies in a folder and may not travel; what tools leave there is not mentioned."""
    others = [path for path in sorted(folder.iterdir()) if path.name not in OF_TOOLS]
    return [LeftBehind(path, reason) for path in others if (reason := refusal(path))]


def refusal(path: Path) -> str | None:
    """Why a file or folder may not travel; `None` where it may."""
    if leads_out(path):
        return "a link out of its folder"
    if path.is_dir():
        return "a folder"
    if not path.is_file():
        return "not a regular file"
    return None if kind_of(path.name) else "not a kind of file that belongs to a checkpoint"


def leads_out(path: Path) -> bool:
    """Whether a path is a link to something outside of its folder.

    A snapshot in the Hub's cache is all links, to blobs of the same repository; those are followed.
    """
    if not path.is_symlink():
        return False
    folder = path.parent.resolve()
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # it leads nowhere, or round in a circle
        return True
    return not target.is_relative_to(folder) and not (target.parent == blobs_of(folder) and BLOB.fullmatch(target.name))


def blobs_of(folder: Path) -> Path | None:
    """Where the Hub's cache keeps the content of a snapshot: `models--X--Y/snapshots/REVISION` -> `models--X--Y/blobs`.

    folder: resolved; the snapshot or a folder in it.
    """
    for snapshot in (folder, *folder.parents[:-2]):
        repository = snapshot.parent.parent
        if snapshot.parent.name == "snapshots" and repository.name.startswith("models--"):
            return repository / "blobs"
    return None
