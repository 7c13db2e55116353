"""A CogVLA, OpenVLA-OFT or OpenVLA run, or a merged checkpoint of one, becomes one folder that loads with one line."""

import json
import shutil
from functools import partial
from pathlib import Path

import torch
from transformers import GenerationConfig

from ..configuration.configuration_cogvla import CogVLAConfig
from ..configuration.remote_code import write_remote_code
from ..configuration.vla_errors import ConversionError
from ..modeling.modeling_cogvla import CogVLAForActionPrediction
from ..processing.image_processing_cogvla import CogVLAImageProcessor
from ..processing.portable_tokenizer import make_tokenizer_portable
from ..processing.processing_cogvla import CogVLAProcessor
from .job import Job, Prepared, say
from .model_card import write_model_card
from .openvla_layout import Layout, find_layout, read_json
from .openvla_plan import collect, make_plan
from .openvla_settings import make_config
from .plan import Fact

FAMILY = "cogvla"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def prepare_cogvla(job: Job) -> Prepared:
    """Plan a job.

    Raises:
        ConversionError, ConfigError: something is missing, unknown or does not fit.
    """
    if len(job.adapters) > 1:
        raise ConversionError(f"a CogVLA or OpenVLA run is merged alone; {len(job.adapters)} were given.")
    layout = find_layout(job.base, job.adapters[0])
    collected = collect(layout)
    config, facts = make_config(layout, collected, job.options)
    config.dtype = choose_dtype(job.dtype, layout, facts)
    plan = make_plan(layout, collected, config, config.dtype)
    plan.facts = facts
    image_processor = read_image_processor(layout, config, job.center_crop, facts)
    if tokenizer_folder(layout) is None:
        say(job, "warning: the source has no tokenizer.json; the checkpoint has no processor until one is added.")
    return Prepared(FAMILY, plan, partial(write_files, layout, config, image_processor))


def write_files(
    layout: Layout, config: CogVLAConfig, image_processor: CogVLAImageProcessor, folder: Path, report: dict
) -> None:
    """Everything but the weights: configs, code, processor, tokenizer, card."""
    config.architectures = [CogVLAForActionPrediction.__name__]
    config.save_pretrained(folder)
    generation = GenerationConfig.from_model_config(config.text_config)
    generation.pad_token_id = config.pad_token_id
    generation.save_pretrained(folder)
    write_processor(folder, layout, config, image_processor)
    write_model_card(folder, config, report, layout.folders[-1])


def choose_dtype(name: str, layout: Layout, facts: list[Fact]) -> torch.dtype:
    """`auto` is the dtype of the base's embeddings."""
    if name != "auto":
        facts.append(Fact("dtype", name, "given (--dtype)"))
        return getattr(torch, name)
    dtype = layout.weights.info("language_model.model.embed_tokens.weight").dtype
    facts.append(Fact("dtype", str(dtype).removeprefix("torch."), "read (embeddings)"))
    return dtype


def read_image_processor(
    layout: Layout, config: CogVLAConfig, center_crop: bool, facts: list[Fact]
) -> CogVLAImageProcessor:
    """The image processor, from the published one where there is one."""
    size = config.featurizer_config.image_size
    settings = {"num_images_in_input": config.num_images_in_input, "center_crop": center_crop}
    facts.append(Fact("center_crop", center_crop, "given (--center-crop)" if center_crop else "default"))
    published = read_json(layout.folders, "preprocessor_config.json", required=False)
    if published:
        facts.append(Fact("image_processor", "preprocessor_config.json", "read"))
        return CogVLAImageProcessor.from_prismatic(published, **settings)
    facts.append(Fact("image_processor", "means and deviations of DINOv2 and SigLIP", "default"))
    return CogVLAImageProcessor(image_sizes=[size, size], **settings)


def tokenizer_folder(layout: Layout) -> Path | None:
    return next((folder for folder in layout.folders if (folder / "tokenizer.json").exists()), None)


def write_processor(folder: Path, layout: Layout, config: CogVLAConfig, image_processor: CogVLAImageProcessor) -> None:
    """Image processor and, where the source has one, tokenizer; a processor needs both."""
    source = tokenizer_folder(layout)
    auto_map = {name: value for name, value in config.auto_classes.items() if "Processor" in name}
    image_processor.auto_map = auto_map
    image_processor.save_pretrained(folder)
    if source is not None:
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
        "view_names": config.view_names,
    }
    text = json.dumps(settings, indent=2, sort_keys=True)
    (folder / "processor_config.json").write_text(text + "\n", encoding="utf-8")
    write_remote_code(CogVLAConfig, CogVLAConfig.auto_classes, folder)
