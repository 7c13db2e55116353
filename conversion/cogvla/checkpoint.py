"""A CogVLA, OpenVLA-OFT or OpenVLA run, or a merged checkpoint of one, becomes one folder that loads with one line."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ...configuration.cogvla.openvla_base import is_own
from ...configuration.vla_errors import ConversionError
from ...processing.cogvla.image_processing_cogvla import IMAGE_RESIZES, CogVLAImageProcessor
from ...processing.cogvla.processing_cogvla import CogVLAProcessor
from ...processing.portable_processor import make_tokenizer_portable
from ..assumptions import assumed
from ..checkpoint_files import generation_of, write_files
from ..checkpoint_plan import plan_checkpoint
from ..family import Family
from ..files.file_kinds import TOKENIZER, leads_out, travelling
from ..files.json_file import json_text, read_json
from ..files.tokenizer_files import links_out, load_fast_tokenizer
from ..job import Job, Prepared, say
from ..tensors.adapter_coverage import check_coverage
from ..tensors.adapter_file import read_content
from ..tensors.plan import Fact, Plan, SourceTensor
from ..tensors.rename import rename
from .layout import RunLayout, collect_layout, find_layout
from .names import TABLE
from .options import CogVLAOptions
from .run_names import NO_CROP_KNOWN, crop_of
from .settings import make_config

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
OF_PROCESSOR = ("advantage_template",)
TOKENIZER_FILES += ("chat_template.jinja",)


def plan_cogvla(family: Family, job: Job) -> Prepared:
    """Plan a job.

    Raises:
        ConversionError, ConfigError: something is missing, unknown or does not fit.
    """
    if len(job.adapters) > 1:
        raise ConversionError(
            f"a CogVLA or OpenVLA run is merged alone; {len(job.adapters)} were given: name one with --adapter."
        )
    options = job.options(CogVLAOptions)
    layout = find_layout(job.base, job.adapters[0])
    layout.tokenizer = job.parts.get("tokenizer")
    collected = collect_layout(layout)
    config, facts = make_config(layout, collected, options)
    plan = plan_checkpoint(family, job, collected, config, facts)
    check_run_adapter(layout, plan)
    run_name = job.inputs.get("run", job.adapters[0].resolve().name)
    check_state(run_name, config, facts)
    settings = {"num_images_in_input": config.num_images_in_input}
    settings["center_crop"] = settle_crop(options.center_crop, run_name, facts)
    settings["image_resize"] = settle_resize(options.image_resize, config, facts)
    image_processor = read_image_processor(layout, config, settings, facts)
    check_tokenizer_of(job, layout)
    sources = {"base": job.base} if job.base else {"run": job.adapters[0]}
    processor = partial(write_processor, layout, config, image_processor)
    generation = generation_of(layout.folders, config.text_config, config.pad_token_id)
    write = partial(write_files, family, config, generation, processor, sources)
    return Prepared(family.name, plan, write, config=config)


def check_state(run_name: str, config: CogVLAConfig, facts: list[Fact]) -> None:
    """Whether the model was trained without the robot's state, where no file of a projector of the state is there.

    Raises:
        ConversionError: the run's name tells otherwise.
    """
    if config.proprio_dim is not None or config.action_head == "discrete":
        return
    missing = "no proprio_projector--*_checkpoint.pt"
    if "proprio" in run_name:
        raise ConversionError(
            f"the run is called {run_name!r}, but there is {missing}: is it missing? Without it the model would be "
            "another; rename the folder if it was trained without the robot's state."
        )
    if not any("proprio" in parts for parts in config.norm_stats.values()):
        return
    facts[:] = [fact for fact in facts if fact.name != "proprio_dim"]
    facts.append(assumed("proprio_dim", None, f"{missing}: trained without the robot's state"))


def settle_crop(given: bool | None, run_name: str, facts: list[Fact]) -> bool:
    """Whether the processor crops: models that learned from random crops are evaluated on the centre."""
    if given is not None:
        facts.append(Fact("center_crop", given, f"given (--{'' if given else 'no-'}center-crop)"))
        return given
    if (known := crop_of(run_name)) is not None:
        facts.append(Fact("center_crop", *known))
        return known[0]
    why = NO_CROP_KNOWN
    facts.append(assumed("center_crop", False, why, "--center-crop or --no-center-crop"))
    return False


def settle_resize(given: str | None, config: CogVLAConfig, facts: list[Fact]) -> str:
    """How camera images of another size than the training data's are resized; only OpenVLA's own scripts differ."""
    if given is not None:
        facts.append(Fact("image_resize", given, "given (--image-resize)"))
        return given
    if config.action_attention == "causal":
        why = "as in OpenVLA's LIBERO and Bridge evaluations; its deploy script has bicubic"
        facts.append(assumed("image_resize", IMAGE_RESIZES[0], why, "--image-resize"))
    else:
        facts.append(Fact("image_resize", IMAGE_RESIZES[0], "inferred (all scripts of OpenVLA-OFT and CogVLA)"))
    return IMAGE_RESIZES[0]


def read_image_processor(
    layout: RunLayout, config: CogVLAConfig, settings: dict[str, Any], facts: list[Fact]
) -> CogVLAImageProcessor:
    """The image processor, from the published one where there is one."""
    size = config.featurizer_config.image_size
    published = read_json(layout.folders, "preprocessor_config.json", required=False)
    if published:
        facts.append(Fact("image_processor", "preprocessor_config.json", "read"))
        return CogVLAImageProcessor.from_prismatic(published, **settings)
    why = "there is no preprocessor_config.json; these are those of the published towers"
    facts.append(assumed("image_processor", "means and deviations of DINOv2 and SigLIP", why))
    return CogVLAImageProcessor(image_sizes=[size, size], **settings)


def tokenizer_folder(layout: RunLayout) -> Path | None:
    folders = [layout.tokenizer] if layout.tokenizer else layout.folders
    found = (folder for folder in folders if (folder / "tokenizer.json").exists())
    return next((folder for folder in found if not leads_out(folder / "tokenizer.json")), None)


def check_tokenizer_of(job: Job, layout: RunLayout) -> None:
    """It travels as it is: notice a damaged one before anything is written, and say it where there is none.

    Raises:
        ConversionError: it is damaged, or one was given that cannot travel.
    """
    tokenizer = tokenizer_folder(layout)
    if tokenizer is None and layout.tokenizer:
        raise ConversionError(f"--tokenizer {layout.tokenizer} holds no tokenizer.json, or a link out of the folder.")
    if tokenizer is not None:
        load_fast_tokenizer(tokenizer, links_out(tokenizer))
    else:
        say(job, "warning: the source has no tokenizer.json; the checkpoint has no processor until one is added.")


def write_processor(
    layout: RunLayout, config: CogVLAConfig, image_processor: CogVLAImageProcessor, folder: Path
) -> None:
    """Image processor and, where the source has one, tokenizer; a processor needs both. Their code is there already."""
    source = tokenizer_folder(layout)
    auto_map = {name: value for name, value in config.auto_classes.items() if "Processor" in name}
    image_processor.auto_map = auto_map
    image_processor.save_pretrained(folder)
    if source is not None:
        for path in travelling(source, TOKENIZER):
            if path.name in TOKENIZER_FILES:
                shutil.copyfile(path, folder / path.name)
        make_tokenizer_portable(folder, CogVLAProcessor.__name__)
    settings = words_of_base(layout) | {
        "auto_map": auto_map,
        "processor_class": CogVLAProcessor.__name__,
        "norm_stats": config.norm_stats,
        "normalization_type": config.normalization_type,
        "proprio_dim": config.proprio_dim,
        "view_names": config.view_names,
    }
    text = json_text(settings, "processor_config.json", indent=2, sort_keys=True)
    (folder / "processor_config.json").write_text(text, encoding="utf-8")


def words_of_base(layout: RunLayout) -> dict[str, Any]:
    """What the processor of a checkpoint of ours says that no config holds."""
    if not is_own(layout.config):
        return {}
    written = read_json(layout.folders[:1], "processor_config.json", required=False) or {}
    return {name: written[name] for name in OF_PROCESSOR if name in written}


def check_run_adapter(layout: RunLayout, plan: Plan) -> None:
    """See that the adapter holds all that its config names, of what the base gives to the model.

    Weights that side files replace need no LoRA, whatever the adapter's config names.

    Raises:
        ConversionError: the adapter lacks something; the message names it.
    """
    if layout.adapter is None or layout.merged:
        return
    content = read_content(layout.adapter)
    sources = {t.name: t.source for t in plan.tensors if isinstance(t.source, SourceTensor)}
    base = {name: source for name, source in sources.items() if source.file in layout.weights.files}
    changed = [f"{module}.weight" for module in content.loras] + [n for n in content.whole if n.endswith(".weight")]
    targets = {name: rename(name, TABLE, str(layout.adapter.path)).target for name in changed}
    found = {name.removesuffix(".weight"): base[target].key for name, target in targets.items() if target in base}
    shapes = {source.key: source.shape for source in base.values()}
    check_coverage(layout.adapter.path, content, layout.lora_config, None, shapes, found)
