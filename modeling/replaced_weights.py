"""What a save replaces: transformers leaves weights of other names and an adapter where they are, and might load
them."""

import json
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from transformers import PretrainedConfig

from ..configuration.checkpoint_weights import WEIGHT_NAMES, with_variant
from ..configuration.hub_removals import remove_from_repository
from ..configuration.normalization_statistics import plain

SAVED = re.compile(r"model(\.\w+)?(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index(\.\w+)?\.json")
REPLACED = "_replaced_adapter"  # what begins so is uploaded by no Trainer
STATISTICS, VIEWS, BASE_WEIGHTS = "dataset_statistics.json", "view_names.json", "base_weights.json"
ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", BASE_WEIGHTS)
# What commands read of a checkpoint, or lies beside an adapter.
OF_FORMER_WEIGHTS = ("conversion_report.json", STATISTICS, VIEWS)


@contextmanager
def shards_of_other_variants(folder: str | os.PathLike, variant: str | None) -> Iterator[None]:
    """Around the saving of a model: shards of other variants have other names meanwhile, and their own again behind it.
    transformers deletes what begins as the files that it writes.

    variant: of what is saved, as in `save_pretrained`.
    """
    found = [path for path in Path(folder).glob("model*-of-*.safetensors") if SAVED.fullmatch(path.name)]
    others = [path for path in found if variant_of(path.name) != (variant and f".{variant}")]
    aside = {path: path.rename(path.with_name(f"kept-{path.name}")) for path in others}
    try:
        yield
    finally:
        for path, renamed in aside.items():
            renamed.rename(path)


@contextmanager
def one_set_of_weights(folder: str | os.PathLike, variant: str | None = None) -> Iterator[None]:
    """Around the saving of a model: what it did not write goes away of the files that all weights are read from, where
    transformers would choose it, or could not tell it from what was written. Pickles beside safetensors stay. An
    adapter, which transformers would add, goes into the subfolder `_replaced_adapter`, with a copy of its statistics
    and names of views: it may be all that is left of a training.

    variant: of the names, as in `save_pretrained`.
    """
    names = [with_variant(name, variant) for name in WEIGHT_NAMES]
    before = states_of(Path(folder), names)
    yield
    after = states_of(Path(folder), names)
    if written := {name for name in after if after[name] != before.get(name)}:
        pairs = max(names.index(name) for name in written) // 2 + 1  # of a file and an index
        for name in after.keys() & set(names[: 2 * pairs]) - written:
            (Path(folder) / name).unlink()
        adapter = [name for name in ADAPTER if (Path(folder) / name).is_file()]
        put_aside(Path(folder), adapter)
        for name in (STATISTICS, VIEWS):
            if adapter and (Path(folder) / name).is_file():
                shutil.copyfile(Path(folder) / name, Path(folder) / REPLACED / name)


def put_other_statistics_aside(folder: str | os.PathLike, config: PretrainedConfig) -> None:
    """Move statistics of a former run, which are not those of the config, into the subfolder `_replaced_adapter`."""
    path, own = Path(folder, STATISTICS), plain(config.norm_stats or {})
    if not path.is_file():
        return
    with suppress(ValueError, AttributeError):  # what is no mapping says nothing of this model
        if all(own.get(key) == value for key, value in json.loads(path.read_text(encoding="utf-8")).items()):
            return
    put_aside(Path(folder), [STATISTICS])


def put_aside(folder: Path, names: Iterable[str]) -> None:
    """Move files into `REPLACED`, in the place of those that were put there before."""
    for name in names:
        (folder / REPLACED).mkdir(exist_ok=True)
        (folder / name).replace(folder / REPLACED / name)


def states_of(folder: Path, names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """When the files of these names were written, and how large they are."""
    found = {name: (folder / name).stat() for name in names if (folder / name).is_file()}
    return {name: (state.st_mtime_ns, state.st_size) for name, state in found.items()}


def replaced_weights(present: Iterable[str], saved: Iterable[str]) -> list[str]:
    """The files of weights `present` in a repository that are not `saved`, of the variants that these are of; and of
    an adapter, with which transformers would load the base that it names in the place of any weights. With weights of
    no variant go the report, the statistics and the views of those before: a config has its own."""
    saved = set(saved)
    variants = {variant_of(name) for name in saved if SAVED.fullmatch(name)}
    others = set(present) - saved
    replaced = {name for name in others if SAVED.fullmatch(name) and variant_of(name) in variants}
    if variants:
        replaced |= others.intersection(ADAPTER)
    if None in variants:
        replaced |= others.intersection(OF_FORMER_WEIGHTS)
    return sorted(replaced)


def variant_of(name: str) -> str | None:
    """That of a file of weights, `.fp16` of `model.fp16-00001-of-00002.safetensors`; `None`: it has none."""
    found = SAVED.fullmatch(name)
    return found[1] or found[3]


def remove_replaced(repo_id: str, saved: Collection[str], revision: str | None, token: str | bool | None) -> None:
    """Take them out of a repository, by a commit behind that of the files `saved`."""
    if any(SAVED.fullmatch(name) for name in saved):
        remove_from_repository(repo_id, lambda present: replaced_weights(present, saved), revision, token)


def files_since(folder: str | os.PathLike, times: Mapping[str, float]) -> list[str]:
    """Names of the files that were written since; times: of those that were there, by their names."""
    return [name for name in os.listdir(folder) if os.path.getmtime(os.path.join(folder, name)) > times.get(name, -1)]
