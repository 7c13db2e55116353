"""Which code converts what: by the model type in config.json, or as told."""

from pathlib import Path

from ..configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ..configuration.cogvla.configuration_cogvla import CogVLAConfig
from ..configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ..configuration.vla_errors import ConversionError
from .alpamayo_r1 import alpamayo_checkpoint
from .alpamayo_r1.alpamayo_checkpoint import prepare_alpamayo
from .cogvla.cogvla_checkpoint import prepare_cogvla
from .cogvla.openvla_settings import Options
from .files.file_kinds import REPORT_NAME
from .files.json_file import read_json
from .folders.folder_roles import check_part, check_roles
from .generic.generic_checkpoint import prepare_generic
from .job import Job, Prepared
from .mapanything_llava3d.llava3d_assembly import prepare_assembly
from .mapanything_llava3d.llava3d_conversion import plan_again, prepare_conversion
from .mapanything_llava3d.llava3d_run import FRAMEWORK, read_run_config
from .settings_errors import reading_settings
from .tensors.plan import Plan
from .tensors.size_limits import check_layers_of
from .tensors.verify_tensors import verify_against

LLAVA3D = MapAnythingLlava3DConfig.model_type
ALPAMAYO = AlpamayoR1Config.model_type
FAMILIES = {
    "cogvla": prepare_cogvla,
    LLAVA3D: prepare_conversion,
    ALPAMAYO: prepare_alpamayo,
    "generic": prepare_generic,
}
ASSEMBLIES = {LLAVA3D: prepare_assembly}
MODEL_ROLES = ("vision", "language", "geometry")  # parts of an assembly whose weights are read
MERGED = {"openvla": "cogvla"}  # model types of base models with a family's own way of merging
# Model types and frameworks of merged checkpoints.
PUBLISHED = {**MERGED, LLAVA3D: LLAVA3D, FRAMEWORK: LLAVA3D} | dict.fromkeys(
    alpamayo_checkpoint.PUBLISHED_TYPES, ALPAMAYO
)
DECODING = {"block": "parallel", "bidirectional": "parallel", "causal": "autoregressive"}


def prepare(job: Job, family: str = "auto") -> Prepared:
    """Plan a job by its family; `auto`: that of the published model type, else generic.

    Raises:
        ConversionError, ConfigError: a folder is not what its place needs, or see the family.
    """
    check_roles(job.base, job.adapters)
    folders = [folder for folder in (job.adapters[0], job.base) if folder]
    with reading_settings(*folders):
        for folder in folders:
            check_full_precision(read_json([folder], "config.json", required=False) or {})
        return FAMILIES[chosen_family(job, folders) if family == "auto" else family](job)


def chosen_family(job: Job, folders: list[Path]) -> str:
    """By the published model type.

    Raises:
        ConversionError: it is none that can be converted.
    """
    model_type = published_type(folders)
    family = (MERGED if job.base else PUBLISHED).get(model_type, "generic")
    if family == "generic" and job.base is None:
        known = ", ".join(sorted(PUBLISHED))
        raise ConversionError(f"{folders[0]}: model_type is {model_type!r}; what can be converted is {known}.")
    return family


def published_type(folders: list[Path]) -> str | None:
    """What the first config says: the model type, or the name of the training framework."""
    config = read_run_config(folders[0]) or read_json(folders, "config.json", required=True)
    return config.get("model_type") or (config.get("framework") or {}).get("name")


def assemble(job: Job, family: str) -> Prepared:
    """Plan a checkpoint from published parts.

    Raises:
        ConversionError, ConfigError: see the family.
    """
    with reading_settings(*job.parts.values()):
        for role, folder in job.parts.items():
            check_full_precision(read_json([folder], "config.json", required=False) or {})
            if role in MODEL_ROLES:
                check_part(role, folder)
        return ASSEMBLIES[family](job)


def check_full_precision(config: dict) -> None:
    """Refuse a quantised base: a LoRA cannot be added to its numbers."""
    quantization = config.get("quantization_config")
    if quantization:
        method = quantization.get("quant_method", "an unknown method")
        raise ConversionError(
            f"the base is quantised ({method}): merge into the full-precision base model that it was made from; "
            "--dtype converts the result."
        )


def verify_sources(folder: Path, job: Job, quiet: bool = False) -> str:
    """Recompute a checkpoint from the sources of `job`, whose settings are read from the checkpoint itself."""
    check_roles(job.base, job.adapters)
    report = read_json([folder], REPORT_NAME, required=True)
    dtype = report["settings"]["dtype"]
    job.dtype = dtype["value"] if dtype["known"].startswith("given") else "auto"
    with reading_settings(folder, *job.adapters):
        check_layers_of(folder, read_json([folder], "config.json", required=True))
        plan = plan_of(report, folder, job)
    verify_against(plan, folder, quiet, job.device)
    return f"all {len(plan.tensors)} tensors equal their recomputation from the sources"


def plan_of(report: dict, folder: Path, job: Job) -> Plan:
    """The plan that led to a checkpoint, from its sources in `job`."""
    if report["family"] == LLAVA3D:
        if "run" not in report["inputs"]:
            raise ConversionError(
                f"{folder} was assembled; assemble it once more: the same parts and seed give the same bytes."
            )
        return plan_again(job, MapAnythingLlava3DConfig.from_pretrained(folder))
    if report["family"] == ALPAMAYO:
        return alpamayo_checkpoint.plan_again(job, AlpamayoR1Config.from_pretrained(folder))
    if report["family"] == "cogvla":
        job.options = options_of(CogVLAConfig.from_pretrained(folder), folder)
    return FAMILIES[report["family"]](job).plan


def options_of(config: CogVLAConfig, folder: Path) -> Options:
    """The options that lead to this config, which lies in a checkpoint's folder."""
    diffusion = config.action_head == "diffusion"
    return Options(
        num_images=config.num_images_in_input,
        num_action_chunks=config.num_action_chunks,
        action_dim=config.action_dim,
        normalization=config.normalization_type,
        num_diffusion_steps=config.num_diffusion_steps if diffusion else None,
        num_inference_steps=config.num_inference_steps if diffusion else None,
        statistics=folder / "config.json",
        decoding=DECODING[config.action_attention] if config.action_head == "discrete" else None,
    )
