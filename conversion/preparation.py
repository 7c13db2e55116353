"""From a job to a plan: its folders are looked at, and the family that they are of plans it."""

from pathlib import Path

from ..configuration.vla_errors import ConversionError
from .checkpoint_plan import plan_again
from .families import FAMILIES
from .family_card import new_tensors
from .files.json_file import read_json
from .files.report_form import load_report
from .files.run_files import read_run_config
from .files.settings_errors import reading_settings
from .folders.folder_roles import check_part, check_roles, is_own_to_quantise
from .job import Job, Prepared, source_folders
from .merged_adapters import check_not_merged
from .own_checkpoint import prepare_own
from .quantised_layers import quantise_plan
from .tensors.plan import Plan
from .tensors.size_limits import check_layers_of
from .tensors.verify_tensors import verify_against
from .travelling.travelling_code import own_config
from .unused_options import refuse_unused

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model")


def prepare(job: Job, family: str = "auto") -> Prepared:
    """Plan a job by its family; `auto`: that of the published model type, else generic.

    Raises:
        ConversionError, ConfigError: a folder is not what its place needs, or see the family.
    """
    own = job.quantize is not None and job.base is None and is_own_to_quantise(job.adapters[0])
    if not own:
        check_roles(job.base, job.adapters)
        check_not_merged(job.base, job.adapters)
    folders = [folder for folder in (job.adapters[0], job.base) if folder]
    with reading_settings(*folders):
        for folder in folders:
            check_full_precision(read_json([folder], "config.json", required=False) or {})
        if own:
            refuse_unused(job.given, None, job.parts, "vlahub's own")
            return prepare_own(job)
        chosen = FAMILIES[chosen_family(job, folders) if family == "auto" else family]
        check_tokenizer_folder(job)
        prepared = chosen.prepare(job)  # where that fails, its reason says more
        refuse_unused(job.given, chosen.options, [role for role in job.parts if role not in chosen.parts], chosen.name)
        return prepared


def chosen_family(job: Job, folders: list[Path]) -> str:
    """By the published model type.

    Raises:
        ConversionError: it is none that can be converted.
    """
    model_type = published_type(folders)
    words = {family.name: family.bases if job.base else family.published for family in FAMILIES.values()}
    known = {word: name for name, found in words.items() for word in found}
    if model_type not in known and job.base is None:
        raise ConversionError(
            f"{folders[0]}: model_type is {model_type!r}; what can be converted is {', '.join(sorted(known))}."
        )
    return known.get(model_type, "generic")


def published_type(folders: list[Path]) -> str | None:
    """What the first config says: the model type, or the name of the training framework."""
    config = read_run_config(folders[0]) or read_json(folders, "config.json", required=True)
    return config.get("model_type") or (config.get("framework") or {}).get("name")


def create(job: Job, family: str) -> Prepared:
    """Plan the start of a new model, from a base model or from published parts.

    Raises:
        ConversionError, ConfigError: see the family.
    """
    with_weights = {role for role, weights in FAMILIES[family].parts.items() if weights} | {"base"}
    sources = source_folders(job)
    with reading_settings(*sources.values()):
        check_tokenizer_folder(job)
        for role, folder in sources.items():
            check_full_precision(read_json([folder], "config.json", required=False) or {})
            if role in with_weights:
                check_part(role, folder)
        return FAMILIES[family].create(job)


def check_tokenizer_folder(job: Job) -> None:
    """Refuse a folder that was named for its tokenizer and has none: that of the base would be taken."""
    folder = job.parts.get("tokenizer")
    if folder is not None and not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ConversionError(
            f"--tokenizer {folder} holds no tokenizer ({', '.join(TOKENIZER_FILES)}); name the folder that has it, or "
            "leave it out."
        )


def check_full_precision(config: dict) -> None:
    """Refuse a quantised base: nothing can be added to its numbers."""
    quantization = config.get("quantization_config") or config.get("weight_quantization")
    if quantization:
        method = quantization.get("quant_method") or quantization.get("kind") or "an unknown method"
        raise ConversionError(
            f"the base is quantised ({method}): use the full-precision base model that it was made from; "
            "--dtype converts the result."
        )


def verify_sources(folder: Path, job: Job, quiet: bool = False) -> Plan:
    """Recompute a checkpoint from the sources of `job`, whose settings are read from the checkpoint itself; returns the
    plan of what was recomputed."""
    settings = read_json([folder], "config.json", required=True)
    job.quantize = (settings.get("weight_quantization") or {}).get("kind")
    own = job.quantize is not None and job.base is None and is_own_to_quantise(job.adapters[0])
    if not own:
        check_roles(job.base, job.adapters)
    report = load_report(folder, required=True)
    dtype = report["settings"]["dtype"]
    job.dtype = dtype["value"] if dtype["known"].startswith("given") else "auto"
    with reading_settings(folder, *job.adapters):
        check_layers_of(folder, settings)
        plan = prepare_own(job).plan if own else plan_of(report, folder, job)
        if job.quantize:
            quantise_plan(plan, job.quantize, own_config(job.adapters[0] if own else folder))
    verify_against(plan, folder, quiet, job.device)
    return plan


def plan_of(report: dict, folder: Path, job: Job) -> Plan:
    """The plan that led to a checkpoint, from its sources in `job`."""
    family = FAMILIES[report["family"]]
    if family.create and "run" not in report["inputs"]:
        raise ConversionError(
            f"{folder} was created or assembled; do it once more: the same sources and seed give the same bytes."
        )
    read = {source.partition("/")[0] for entry in report["tensors"].values() for source in entry["sources"]}
    if unread := sorted(read & set(family.parts) - set(job.parts)):
        raise ConversionError(
            f"{folder} also holds weights of another source (--{unread[0]}); convert once more: the same sources give "
            "the same bytes."
        )
    new = sorted({name.partition(".")[0] for name in new_tensors(report)})
    return plan_again(family, job, folder, new, report["settings"]["seed"]["value"] if new else 0)
