"""What a folder holds: a whole model, an adapter, a training run, or something else; and whether it has the right role.

One look for all families and commands. It reads names and config.json, no weights.
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ..configuration.vla_errors import ConversionError
from .llava3d_run import FINAL_FILES, STEP_FILES, matches, read_run_config
from .openvla_layout import SIDE_FILES
from .tensor_source import INDEX_NAMES, WHOLE_NAMES

ADAPTER_NAMES = ("adapter_model.safetensors", "adapter_model.bin")
ADAPTER_FOLDER = "lora_adapter"
LEVELS = ("*", f"{ADAPTER_FOLDER}/*")  # where else an adapter may lie
SHOWN = 3


class Kind(Enum):
    """The value says what a folder looks like, in words."""

    MODEL = "a whole model"
    CONVERTED = "a converted checkpoint"
    MERGED_RUN = "a training run with the whole model in it"
    FRAMEWORK_RUN = "a training run of 3dvla-starvla_framework"
    RUN = "a training run that is not merged"
    ADAPTER = "an adapter"
    SIDE_FILES = "a training run's side files without the adapter"
    LEROBOT = "a policy of LeRobot"
    OTHER = "neither a model nor an adapter"


WHOLE = (Kind.MODEL, Kind.CONVERTED, Kind.FRAMEWORK_RUN)
ADAPTED = (Kind.RUN, Kind.ADAPTER, Kind.MERGED_RUN)


@dataclass(frozen=True)
class FolderContents:
    """Names of what was found, relative to the folder.

    Attributes:
        weights: of a whole model, in transformers' form.
        adapter: in the folder or in its lora_adapter/.
        adapters_below: other folders, one level down, that hold an adapter.
        side_files: of OpenVLA-OFT and CogVLA, such as action_head--10_checkpoint.pt.
        run_of: the training run that this folder is the adapter of, where it lies in one.
    """

    folder: Path
    kind: Kind
    weights: list[str]
    adapter: list[str]
    adapters_below: list[str]
    side_files: list[str]
    run_of: Path | None

    def __str__(self) -> str:
        names = [*self.weights, *self.adapter, *self.side_files]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        shown = f" ({', '.join(names[:SHOWN])}{more})" if names else ""
        below = f", with an adapter in {', '.join(self.adapters_below)}" if self.adapters_below else ""
        inside = f", that of the run {self.run_of}" if self.run_of else ""
        return f"{self.folder} looks like {self.kind.value}{shown}{inside}{below}"


def look_at(folder: Path) -> FolderContents:
    """What a folder holds.

    Raises:
        ConversionError: it is no folder, or its config.json cannot be read.
    """
    if not folder.is_dir():
        raise ConversionError(f"{folder} is not a folder.")
    weights = [name for name in (*INDEX_NAMES, *WHOLE_NAMES) if (folder / name).exists()][:1]
    places = [path for name in ADAPTER_NAMES for path in (f"{ADAPTER_FOLDER}/{name}", name)]
    adapter = [path for path in places if (folder / path).exists()]
    side_files = side_files_of(folder)
    below = {path.parent for name in ADAPTER_NAMES for at in LEVELS for path in folder.glob(f"{at}/{name}")}
    parent = folder.resolve().parent
    in_run = adapter and not side_files and side_files_of(parent)
    return FolderContents(
        folder=folder,
        kind=kind_of(folder, weights, adapter, side_files),
        weights=weights,
        adapter=adapter,
        adapters_below=sorted(str(path.relative_to(folder)) for path in below if path.name != ADAPTER_FOLDER),
        side_files=side_files,
        run_of=parent if in_run else None,
    )


def side_files_of(folder: Path) -> list[str]:
    return sorted(path.name for kind in SIDE_FILES for path in folder.glob(f"{kind}--*.pt"))


def kind_of(folder: Path, weights: list[str], adapter: list[str], side_files: list[str]) -> Kind:
    if weights and (adapter or side_files):
        return Kind.MERGED_RUN
    if adapter:
        return Kind.RUN if side_files else Kind.ADAPTER
    if side_files:
        return Kind.SIDE_FILES
    config = read_run_config(folder)
    if is_lerobot_policy(folder, config):
        return Kind.LEROBOT
    if weights:
        return Kind.CONVERTED if is_converted(config) else Kind.MODEL
    return Kind.FRAMEWORK_RUN if config.get("framework") or matches(folder, (*STEP_FILES, *FINAL_FILES)) else Kind.OTHER


def is_lerobot_policy(folder: Path, config: dict[str, Any]) -> bool:
    """LeRobot's config.json names a policy by `type` and knows no `model_type`."""
    named = isinstance(config.get("type"), str) and "model_type" not in config
    return named and ("input_features" in config or (folder / "train_config.json").exists())


def is_converted(config: dict[str, Any]) -> bool:
    """Whether a config.json is one of ours; two families have the published model type and other fields."""
    ours = {
        "cogvla": True,
        "multimodal_vla": True,
        "mapanything_llava3d": "expert_config" in config and "geometry_config" in config,
        "alpamayo_r1": isinstance(config.get("vlm_config"), dict),
    }
    return ours.get(config.get("model_type"), False)


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


def check_base(contents: FolderContents) -> None:
    """Of a merge: a whole model and nothing that belongs to a run."""
    if contents.kind is Kind.OTHER:
        raise ConversionError(f"--base {contents.folder} holds no model weights: {contents}. {hint(contents)}")
    if contents.kind not in (Kind.MODEL, Kind.CONVERTED):
        raise ConversionError(
            f"--base must name a whole model and nothing of a training run: {contents}. {hint(contents)}"
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
        f"{hint(contents)}"
    )


def check_whole(contents: FolderContents) -> None:
    """Of a conversion: a model whose weights are all there, and not one of ours."""
    if contents.kind in (Kind.MODEL, Kind.MERGED_RUN, Kind.FRAMEWORK_RUN):
        return
    if contents.kind is Kind.OTHER and loose_weights(contents.folder):
        return
    if contents.kind is Kind.CONVERTED:
        raise ConversionError(
            f"{contents}: it loads as it is, and nothing is left to convert. To check it: vlahub verify "
            f"{contents.folder}"
        )
    raise ConversionError(f"{contents.folder} holds no model weights: {contents}. {hint(contents)}")


def check_checkpoint(folder: Path) -> None:
    """Refuse to verify what is not a checkpoint, where it is known what it is instead."""
    contents = look_at(folder)
    if contents.kind in (Kind.RUN, Kind.ADAPTER, Kind.SIDE_FILES, Kind.LEROBOT, Kind.FRAMEWORK_RUN):
        raise ConversionError(f"{contents}, which is no checkpoint that can be verified. {hint(contents)}")


def check_part(role: str, folder: Path) -> None:
    """Refuse, as a part of an assembly, what holds an adapter, which would be left out, or no weights."""
    contents = look_at(folder)
    if contents.kind in (*ADAPTED, Kind.SIDE_FILES, Kind.LEROBOT):
        raise ConversionError(f"--{role} must name a whole model: {contents}. {hint(contents)}")


def loose_weights(folder: Path) -> bool:
    """Files of weights by other names, of which a LLaVA-3D run may have one beside its config."""
    return bool(matches(folder, ("*.pt", "*.bin", "*.safetensors")))


def hint(contents: FolderContents) -> str:
    """The command that fits what a folder holds."""
    if contents.run_of:
        return f"Run: {merge_command('BASE', contents.run_of)}"
    if contents.kind in (Kind.RUN, Kind.ADAPTER):
        return f"Run: {merge_command('BASE', contents.folder)}, where BASE is the model that it was trained from."
    if contents.kind is Kind.MERGED_RUN:
        return f"Run first: vlahub convert {contents.folder} OUTPUT"
    if contents.kind is Kind.FRAMEWORK_RUN:
        return f"Run: vlahub convert {contents.folder} OUTPUT"
    if contents.adapters_below:
        return f"Name the folder that the adapter lies in: {contents.folder / contents.adapters_below[0]}"
    if contents.kind is Kind.SIDE_FILES:
        return f"The run's {ADAPTER_FOLDER}/ or its merged weights are missing: copy them beside the side files."
    if contents.kind is Kind.LEROBOT:
        return "Policies of LeRobot are loaded by LeRobot and are not converted here."
    return "Is the download or the copy incomplete?"


def merge_command(base: Path | str, adapter: Path | str) -> str:
    return f"vlahub merge-lora --base {base} --adapter {adapter} --output OUTPUT"
