"""Which code converts what: by the model type in config.json, or as told."""

from pathlib import Path

from ..configuration.configuration_cogvla import CogVLAConfig
from ..configuration.vla_errors import ConversionError
from .cogvla_checkpoint import prepare_cogvla
from .generic_checkpoint import prepare_generic
from .job import Job, Prepared
from .openvla_layout import read_json
from .openvla_plan import model_shapes
from .openvla_settings import Options
from .report import REPORT_NAME
from .verify import verify_against, verify_checkpoint

FAMILIES = {"cogvla": prepare_cogvla, "generic": prepare_generic}
PUBLISHED = {"openvla": "cogvla"}  # model types of published checkpoints
DECODING = {"block": "parallel", "bidirectional": "parallel", "causal": "autoregressive"}


def prepare(job: Job, family: str = "auto") -> Prepared:
    """Plan a job by its family; `auto`: that of the published model type, else generic.

    Raises:
        ConversionError, ConfigError: see the family.
    """
    folders = [folder for folder in (job.adapters[0], job.base) if folder]
    config = read_json(folders, "config.json", required=True)
    for folder in folders:
        check_full_precision(read_json([folder], "config.json", required=False) or {})
    if family == "auto":
        family = PUBLISHED.get(config.get("model_type"), "generic")
        if family == "generic" and job.base is None:
            known = ", ".join(sorted(PUBLISHED))
            raise ConversionError(f"model_type is {config.get('model_type')!r}; what can be converted is {known}.")
    return FAMILIES[family](job)


def check_full_precision(config: dict) -> None:
    """Refuse a quantised base: a LoRA cannot be added to its numbers."""
    quantization = config.get("quantization_config")
    if quantization:
        method = quantization.get("quant_method", "an unknown method")
        raise ConversionError(
            f"the base is quantised ({method}): merge into the full-precision base model that it was made from; "
            "--dtype converts the result."
        )


def verify_folder(folder: Path, quiet: bool = False) -> str:
    """Check any checkpoint; returns what was checked, in words.

    Raises:
        ConversionError: see `verify_checkpoint`.
    """
    config = read_json([folder], "config.json", required=True)
    expected = expected_shapes(folder, config)
    verify_checkpoint(folder, expected, quiet)
    if expected is None:
        return "all tensors are readable and finite; names were not checked: the model is not one known here"
    return f"all {len(expected)} tensors of the model are there, in shape, readable and finite"


def expected_shapes(folder: Path, config: dict) -> dict[str, tuple[int, ...]] | None:
    """Names and shapes of the parameters of our own models."""
    if config.get("model_type") == CogVLAConfig.model_type:
        return model_shapes(CogVLAConfig.from_pretrained(folder))
    return None


def verify_sources(folder: Path, job: Job, quiet: bool = False) -> str:
    """Recompute a checkpoint from the sources of `job`, whose settings are read from the checkpoint itself."""
    report = read_json([folder], REPORT_NAME, required=True)
    if report["family"] == "cogvla":
        job.options = options_of(CogVLAConfig.from_pretrained(folder))
    dtype = report["settings"]["dtype"]
    job.dtype = dtype["value"] if dtype["known"].startswith("given") else "auto"
    plan = FAMILIES[report["family"]](job).plan
    verify_against(plan, folder, quiet, job.device)
    return f"all {len(plan.tensors)} tensors equal their recomputation from the sources"


def options_of(config: CogVLAConfig) -> Options:
    """The options that lead to this config."""
    return Options(
        num_images=config.num_images_in_input,
        num_action_chunks=config.num_action_chunks,
        action_dim=config.action_dim,
        normalization=config.normalization_type,
        num_diffusion_steps=config.num_diffusion_steps if config.action_head == "diffusion" else None,
        decoding=DECODING[config.action_attention] if config.action_head == "discrete" else None,
    )
