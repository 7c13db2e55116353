"""A CogVLA, OpenVLA-OFT or OpenVLA run, or a merged checkpoint of one, becomes one folder that loads with one line."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import GenerationConfig

from ..configuration.configuration_cogvla import CogVLAConfig
from ..configuration.remote_code import write_remote_code
from ..configuration.vla_errors import ConversionError
from ..modeling.modeling_cogvla import CogVLAForActionPrediction
from ..processing.image_processing_cogvla import CogVLAImageProcessor
from ..processing.portable_tokenizer import make_tokenizer_portable
from ..processing.processing_cogvla import CogVLAProcessor
from .model_card import write_model_card
from .openvla_layout import Layout, find_layout
from .openvla_plan import collect, make_plan
from .openvla_settings import Options, make_config
from .output_folder import check_output, output_folder
from .plan import Fact, Plan
from .report import describe, report_of, write_report
from .weight_writer import write_weights

FAMILY = "cogvla"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


@dataclass
class Job:
    """One conversion: what to read, what to write, and the settings that were given.

    Attributes:
        run: a run folder or a merged checkpoint; base: the base model, where the run is not merged.
        dtype: "auto" (the base's), "float32", "bfloat16" or "float16".
        inputs: names of run and base for the report, where no path belongs.
    """

    run: Path
    output: Path
    base: Path | None = None
    options: Options = field(default_factory=Options)
    dtype: str = "auto"
    max_shard_bytes: int = 2 * 10**9
    center_crop: bool = False
    overwrite: bool = False
    dry_run: bool = False
    quiet: bool = False
    inputs: dict[str, str] = field(default_factory=dict)


def convert_cogvla(job: Job) -> Plan:
    """Carry out a job; with `dry_run` only plan it.

    Raises:
        ConversionError, ConfigError: something is missing, unknown or does not fit; nothing was written.
    """
    check_output(job.output, job.overwrite or job.dry_run)
    for source in filter(None, (job.run, job.base)):
        if source.resolve() == job.output.resolve() or job.output.resolve() in source.resolve().parents:
            raise ConversionError(f"the output {job.output} would replace the source {source}; name another folder.")
    layout = find_layout(job.base, job.run)
    collected = collect(layout)
    config, facts = make_config(layout, collected, job.options)
    dtype = choose_dtype(job.dtype, layout, facts)
    config.dtype = dtype
    plan = make_plan(layout, collected, config, dtype)
    plan.facts = facts
    processor_parts = read_processor(layout, config, job.center_crop, facts)
    report(job, describe(plan))
    if not job.dry_run:
        with output_folder(job.output, job.overwrite) as folder:
            write_checkpoint(folder, job, layout, plan, config, processor_parts)
        report(job, f"wrote {job.output}")
    return plan


def write_checkpoint(
    folder: Path, job: Job, layout: Layout, plan: Plan, config: CogVLAConfig, image_processor: CogVLAImageProcessor
) -> None:
    config.architectures = [CogVLAForActionPrediction.__name__]
    config.save_pretrained(folder)
    generation = GenerationConfig.from_model_config(config.text_config)
    generation.pad_token_id = config.pad_token_id
    generation.save_pretrained(folder)
    write_processor(folder, layout, config, image_processor)
    content = report_of(plan, FAMILY, job.inputs)
    write_report(content, folder)
    write_model_card(folder, config, content)
    write_weights(plan, folder, layout.lora_config, job.max_shard_bytes, job.quiet)


def choose_dtype(name: str, layout: Layout, facts: list[Fact]) -> torch.dtype:
    """`auto` is the dtype of the base's embeddings."""
    if name != "auto":
        facts.append(Fact("dtype", name, "given (--dtype)"))
        return DTYPES[name]
    dtype = layout.weights.info("language_model.model.embed_tokens.weight").dtype
    facts.append(Fact("dtype", str(dtype).removeprefix("torch."), "read (embeddings)"))
    return dtype


def read_processor(layout: Layout, config: CogVLAConfig, center_crop: bool, facts: list[Fact]) -> CogVLAImageProcessor:
    """The image processor, from the published one where there is one."""
    size = config.featurizer_config.image_size
    settings = {"num_images_in_input": config.num_images_in_input, "center_crop": center_crop}
    facts.append(Fact("center_crop", center_crop, "given (--center-crop)" if center_crop else "default"))
    for folder in layout.folders:
        path = folder / "preprocessor_config.json"
        if path.exists():
            facts.append(Fact("image_processor", path.name, "read"))
            return CogVLAImageProcessor.from_prismatic(json.loads(path.read_text(encoding="utf-8")), **settings)
    facts.append(Fact("image_processor", "means and deviations of DINOv2 and SigLIP", "default"))
    return CogVLAImageProcessor(image_sizes=[size, size], **settings)


def write_processor(folder: Path, layout: Layout, config: CogVLAConfig, image_processor: CogVLAImageProcessor) -> None:
    """Image processor and, where the source has one, tokenizer; a processor needs both."""
    source = next((f for f in layout.folders if (f / "tokenizer.json").exists()), None)
    auto_map = {name: value for name, value in config.auto_classes.items() if "Processor" in name}
    image_processor.auto_map = auto_map
    image_processor.save_pretrained(folder)
    if source is None:
        tqdm.write("warning: the source has no tokenizer.json; the checkpoint has no processor until one is added.")
    else:
        for name in TOKENIZER_FILES:
            if (source / name).exists():
                shutil.copyfile(source / name, folder / name)
        make_tokenizer_portable(folder, CogVLAProcessor.__name__)
    settings = {
        "auto_map": auto_map,
        "processor_class": CogVLAProcessor.__name__,
        "norm_stats": config.norm_stats,
        "normalization_type": config.normalization_type,
        "proprio_dim": config.proprio_dim,
    }
    text = json.dumps(settings, indent=2, sort_keys=True)
    (folder / "processor_config.json").write_text(text + "\n", encoding="utf-8")
    write_remote_code(CogVLAConfig, CogVLAConfig.auto_classes, folder)


def report(job: Job, text: str) -> None:
    if not job.quiet:
        tqdm.write(text)
