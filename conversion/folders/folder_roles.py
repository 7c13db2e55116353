"""Whether a folder is what its place in a command needs; if not, what it looks like and what to run instead."""

from pathlib import Path

from ...configuration.checkpoint_weights import WEIGHT_NAMES
from ...configuration.vla_errors import ConversionError
from ..files.adapter_places import ADAPTER_NAMES
from ..files.file_kinds import REPORT_NAME
from ..files.given_paths import why_no_single_name
from ..files.run_files import LOOSE_FILES, matches, read_run_config
from .folder_contents import (
    ADAPTED,
    ADAPTER_FOLDER,
    WHOLE,
    FolderContents,
    Kind,
    is_converted,
    look_at,
    published_family,
)
from .other_policies import other_policy

CHECKPOINT, RUN, MODEL = "checkpoint", "run", "model"  # what a command needs in a place
OWN_CHECKPOINT = "checkpoint"  # in what integrations/lerobot_policy_vlahub saves
UNKNOWN = (Kind.MODEL, Kind.OTHER)  # what is loaded by transformers, or fails there by its own words


def check_roles(base: Path | None, adapters: list[Path]) -> None:
    """Refuse folders in the wrong place: swapped, or without what their role needs.

    Args:
        base: of a merge; `None` where a whole model is converted.
        adapters: what is merged into the base, or the one folder that is converted.

    Raises:
        ConversionError: the message says what each folder looks like and which command would fit.
    """
    found = [look_at(folder) for folder in adapters]
    if base is None:
        for contents in found:
            check_whole(contents)
        return
    model = look_at(base)
    strangers = [contents for contents in found if contents.kind not in ADAPTED or contents.run_of]
    if model.kind in ADAPTED and strangers and strangers[0].kind in WHOLE:
        raise ConversionError(
            f"base and adapter seem to be swapped: as --base was given what holds an adapter ({model}), as --adapter "
            f"what holds none ({strangers[0]}). Run: {merge_command(strangers[0].folder, base)}"
        )
    check_base(model)
    for contents in strangers:
        refuse_adapter(contents, base)


def is_own_to_quantise(folder: Path) -> bool:
    """Whether a folder that is to be converted is a checkpoint of ours, which only `--quantize` finds something to do
    with."""
    return look_at(folder).kind is Kind.CONVERTED


def check_base(contents: FolderContents) -> None:
    """Of a merge: a whole model and nothing that belongs to a run."""
    if contents.kind is Kind.OTHER:
        raise ConversionError(f"--base {contents.folder} holds no model weights: {contents}. {hint(contents, MODEL)}")
    if contents.kind not in (Kind.MODEL, Kind.CONVERTED):
        raise ConversionError(
            f"--base must name a whole model and nothing of a training run: {contents}. {hint(contents, MODEL)}"
        )


def refuse_adapter(contents: FolderContents, base: Path) -> None:
    if contents.run_of:
        raise ConversionError(f"{contents}, which would be lost. Run: {merge_command(base, contents.run_of)}")
    if contents.kind in WHOLE:
        raise ConversionError(
            f"--adapter must name what was trained; {contents} and holds no adapter: nothing is to be merged into "
            f"{base}. Published weights that are merged already: vlahub convert {contents.folder} OUTPUT"
        )
    raise ConversionError(
        f"{contents.folder} holds no adapter ({ADAPTER_FOLDER}/{ADAPTER_NAMES[0]} or {ADAPTER_NAMES[0]}): {contents}. "
        f"{hint(contents, RUN)}"
    )


def check_whole(contents: FolderContents) -> None:
    """Of a conversion: a model whose weights are all there, and not one of ours."""
    refuse_other_policy(contents)
    if contents.kind in (Kind.MODEL, Kind.MERGED_RUN, Kind.FRAMEWORK_RUN):
        return
    if contents.kind is Kind.OTHER and loose_weights(contents.folder):
        return
    if contents.kind is Kind.CONVERTED:
        raise ConversionError(
            f"{contents}: it loads as it is, and nothing is left to convert but its precision "
            f"(--quantize). To check it: vlahub verify {contents.folder}"
        )
    raise ConversionError(f"{contents.folder} holds no model weights: {contents}. {hint(contents, MODEL)}")


def check_checkpoint(folder: Path) -> None:
    """Refuse to verify what is not a checkpoint, where it is known what it is instead."""
    contents = look_at(folder)
    if contents.kind is Kind.OTHER and not (folder / REPORT_NAME).is_file():
        raise ConversionError(f"{folder} holds no weights of a model: {contents}. {hint(contents)}")
    if contents.kind not in (*UNKNOWN, Kind.CONVERTED, Kind.MERGED_RUN):
        raise ConversionError(f"{contents}, which is no checkpoint that can be verified. {hint(contents)}")


def check_ready(folder: Path) -> None:
    """Refuse to load, for predictions or training, what has to be converted or merged first or is no model at all.

    Raises:
        ConversionError: the message says what the folder looks like and what to run instead.
    """
    contents = look_at(folder)
    refuse_other_policy(contents)
    config = read_run_config(folder) if contents.kind in (*UNKNOWN, Kind.CONVERTED, Kind.MERGED_RUN) else {}
    below = contents.adapters_below or models_below(folder) or runs_below(folder)
    nothing_yet = contents.kind is Kind.OTHER and below
    if is_converted(config) or (contents.kind in UNKNOWN and not published_family(config) and not nothing_yet):
        return
    raise ConversionError(f"{contents}, which cannot be loaded as it is. {hint(contents)}")


def refuse_other_policy(contents: FolderContents) -> None:
    """Of a policy that only its own project loads; those in LeRobot's form are refused with the command that runs them.

    Raises:
        ConversionError: the message says what it is, and why it is not converted.
    """
    if contents.kind not in UNKNOWN:
        return
    if words := other_policy(contents.folder, read_run_config(contents.folder)):
        raise ConversionError(f"{contents.folder} is {words}.")


def check_trainable(name: str) -> None:
    """`check_ready` of a folder or of a repository's id, before transformers finds its own words.

    Raises:
        ConversionError: a folder that has to be converted or merged first, or no folder where only one can be meant.
    """
    if Path(name).is_dir():
        check_ready(Path(name))
        return
    if reason := why_no_single_name(name):
        raise ConversionError(f"{name} cannot be trained: {reason}")


def check_part(role: str, folder: Path) -> None:
    """Refuse, as a source of a new model, what holds an adapter, which would be left out, or no weights."""
    contents = look_at(folder)
    if contents.kind in (Kind.OTHER, Kind.DATASET, Kind.SAVED_DATASET, Kind.CACHE, Kind.PIPELINE):
        raise ConversionError(f"--{role} {folder} holds no model weights: {contents}. {hint(contents, MODEL)}")
    merged = role == "base" and contents.kind is Kind.MERGED_RUN  # whose adapter is in its weights
    if contents.kind in (*ADAPTED, Kind.SIDE_FILES, Kind.LEROBOT) and not merged:
        raise ConversionError(f"--{role} must name a whole model: {contents}. {hint(contents, MODEL)}")


def loose_weights(folder: Path) -> bool:
    """Files of weights by other names, of which a run may have one beside its config."""
    return bool(matches(folder, LOOSE_FILES))


def hint(contents: FolderContents, wanted: str = CHECKPOINT) -> str:
    """The command that fits what a folder holds; wanted: what its place in the command needs."""
    if contents.run_of:
        return f"Run: {merge_command('BASE', contents.run_of)}"
    if contents.kind in (Kind.RUN, Kind.ADAPTER):
        return f"Run: {merge_command('BASE', contents.folder)}, where BASE is the model that it was trained from."
    whole = contents.kind in (Kind.MERGED_RUN, Kind.FRAMEWORK_RUN)
    published = published_family(read_run_config(contents.folder)) if whole or contents.kind in UNKNOWN else None
    if whole or published:
        return f"Run first: vlahub convert {contents.folder} OUTPUT{published.needed if published else ''}"
    if contents.adapters_below:
        adapter = contents.folder / contents.adapters_below[0]
        if wanted == CHECKPOINT:
            return f"Run first: {merge_command('BASE', adapter)}"
        return f"Name the folder that the adapter lies in: {adapter}"
    if contents.kind is Kind.SIDE_FILES:
        return f"The run's {ADAPTER_FOLDER}/ or its merged weights are missing: copy them beside the side files."
    return hint_of_stranger(contents, wanted)


def hint_of_stranger(contents: FolderContents, wanted: str) -> str:
    """What to do with what is no model of a kind that is known here."""
    folder = contents.folder
    if contents.kind is Kind.LEROBOT and (folder / OWN_CHECKPOINT / "config.json").is_file():
        return f"It holds a checkpoint of vlahub that LeRobot runs or trained: name {folder / OWN_CHECKPOINT}"
    if contents.kind is Kind.LEROBOT:
        return (
            f"Policies of LeRobot (this one's type is {read_run_config(folder).get('type')!r}) are not converted: run "
            f"it with LeRobot (lerobot-eval --policy.path={folder}), or train a model of vlahub on its dataset."
        )
    if contents.kind is Kind.CACHE:
        found = sorted((folder / "snapshots").glob("*"))
        named = folder.name.partition("--")[2].replace("--", "/")
        return f"Name the repository, {named}" + (f", or a snapshot in it: {found[-1]}" if found else ".")
    if contents.kind is Kind.DATASET:
        return f"To compute its statistics: vlahub stats {folder} --output dataset_statistics.json"
    if contents.kind is Kind.SAVED_DATASET:
        return "Commands that read a dataset take it as --dataset."
    if contents.kind is Kind.PIPELINE:
        return "It is no vision-language-action model known here."
    below = hint_of_what_lies_below(folder, wanted) if contents.kind is Kind.OTHER else ""
    return below or "Is the download or the copy incomplete?"


def hint_of_what_lies_below(folder: Path, wanted: str) -> str:
    """Of a folder of folders: that which was probably meant, or what makes it of them; nothing where there is none."""
    runs, models = runs_below(folder), models_below(folder)
    ready = [model for model in models if is_converted(read_run_config(model))]
    others = [model for model in models if model not in ready]
    if wanted == CHECKPOINT and not ready and runs:
        return f"Run first: {merge_command(others[0] if len(others) == 1 else 'BASE', runs[0])}"
    if wanted == CHECKPOINT and not ready and others:
        return hint(look_at(others[0])) if published_family(read_run_config(others[0])) else named("model", others)
    order = {CHECKPOINT: ready, RUN: runs, MODEL: models}
    found = {wanted: order[wanted]} | order  # what is wanted comes first
    return next((named(kind, places) for kind, places in found.items() if places), "")


def named(kind: str, places: list[Path]) -> str:
    return f"Name a {kind} in it: {', '.join(map(str, places[:3]))}"


def runs_below(folder: Path) -> list[Path]:
    """Folders in a folder that hold a training run."""
    return sorted(entry for entry in folder.iterdir() if (entry / ADAPTER_FOLDER / ADAPTER_NAMES[0]).is_file())


def models_below(folder: Path) -> list[Path]:
    """Folders in a folder that hold a whole model."""
    return [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and holds_model(entry)]


def holds_model(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any((folder / n).is_file() for n in WEIGHT_NAMES)


def merge_command(base: Path | str, adapter: Path | str) -> str:
    return f"vlahub merge-lora --base {base} --adapter {adapter} --output OUTPUT"
