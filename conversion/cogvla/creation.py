"""The start of a policy from a base model: what the base has is carried over, what is switched on is drawn."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from ...configuration.cogvla.cogvla_start import Start, named, own_fields, start_config
from ...configuration.cogvla.configuration_cogvla import CogVLAConfig, check_published
from ...configuration.cogvla.openvla_base import base_config, is_own
from ...configuration.vla_errors import ConversionError
from ...modeling.cogvla.start_from_base import new_names
from ...modeling.initial_values import described
from ...modeling.new_parts import is_in_part
from ...processing.cogvla.image_processing_cogvla import CogVLAImageProcessor
from ..assumptions import assumed
from ..checkpoint_files import generation_of, write_files
from ..checkpoint_plan import plan_checkpoint
from ..dataset_statistics import read_statistics
from ..family import Family
from ..files.json_file import read_json
from ..job import Job, Prepared, say
from ..tensors.collected import Collected, SourceGroup, collect
from ..tensors.plan import Fact
from ..tensors.rename import Row
from ..tensors.size_limits import check_layers
from .checkpoint import check_tokenizer_of, read_image_processor, write_processor
from .layout import RunLayout, collect_layout, find_layout
from .options import PLATFORMS, CogVLAStartOptions
from .settings import check_diffusion, shapes_of

OWN_NAMES = [Row("(.+)", r"\1", "a checkpoint of this family")]
NOT_OF_CONFIG = ("seed", "platform", "center_crop", "image_resize")
SETTINGS = (  # of the config, in the order of the report
    "vision_aggregate_type",
    "use_film",
    "num_vision_aggr",
    "lfp_type",
    "lfp_average_factor",
    "lfp_enable_film",
    "lfp_schedule_layers",
    "action_head",
    "action_attention",
    "language_mean",
    "num_action_chunks",
    "action_dim",
    "state_dim",
    "num_images_in_input",
    "normalization_type",
    "num_diffusion_steps",
    "num_inference_steps",
    "norm_stats",
)


def plan_start(family: Family, job: Job) -> Prepared:
    """Plan a start.

    Raises:
        ConversionError, ConfigError: the base is none that a start can be made of, or what is asked for would lose a
            part of it or have no effect.
    """
    options = job.options(CogVLAStartOptions)
    given = given_switches(options)
    layout, collected = open_base(job.base)
    base = read_config(layout, collected, given)
    start = start_config(base, given)
    config, facts = start.config, facts_of(start, own_fields(given))
    new = new_tensor_names(family, base, config, collected)
    facts.append(Fact("new_tensors", new_text(family, new), "not in the base"))
    facts.append(Fact("seed", options.seed, "given or default (--seed)"))
    plan = plan_checkpoint(family, job, collected, config, facts, new, options.seed)
    if not config.norm_stats:
        say(job, "warning: without --statistics the checkpoint can be trained, but predict_action has no units yet.")
    layout.tokenizer = job.parts.get("tokenizer")
    image_processor = start_image_processor(layout, options, config, facts)
    check_tokenizer_of(job, layout)
    processor = partial(write_processor, layout, config, image_processor)
    generation = generation_of([job.base], config.text_config, config.pad_token_id)
    write = partial(write_files, family, config, generation, processor, {"base": job.base})
    return Prepared(family.name, plan, write, config=config)


def given_switches(options: CogVLAStartOptions) -> dict[str, Any]:
    """What `start_config` takes, of what was given."""
    given = {name: value for name, value in vars(options).items() if value is not None and name not in NOT_OF_CONFIG}
    if options.platform:
        given = {**PLATFORMS[options.platform], **own_fields(given)}
    if options.statistics:
        given["statistics"] = read_statistics(options.statistics, [])[0]
    return given


def open_base(folder: Path) -> tuple[RunLayout, Collected]:
    """The files of a base, and its tensors under the names that the model has.

    Raises:
        ConfigError: it is of another family.
        ConversionError: a file is missing or damaged.
    """
    layout = find_layout(None, folder, "base")
    check_layers(layout.config, len(layout.weights.file_of), f"{folder}/config.json")
    if is_own(layout.config):
        return layout, collect([SourceGroup(layout.weights, OWN_NAMES)])
    model_type = layout.config.get("model_type")
    if model_type != "openvla":
        raise ConversionError(
            f"{folder}/config.json: model_type is {model_type!r}; a CogVLA begins with a published 'openvla', or with "
            "a CogVLA of ours. The other families: vlahub create --help."
        )
    check_published(layout.config)
    return layout, collect_layout(layout)


def read_config(layout: RunLayout, collected: Collected, given: dict[str, Any]) -> CogVLAConfig:
    """The config of the base as it is."""
    if is_own(layout.config):
        return CogVLAConfig.from_pretrained(layout.folders[0])
    if "action_head.model.fc2.weight" in collected.candidates:
        check_diffusion(collected)
    statistics = read_statistics(None, layout.folders)[0] or layout.config.get("norm_stats")
    return base_config({**layout.config, "norm_stats": statistics}, shapes_of(collected), own_fields(given))


def new_tensor_names(family: Family, base: CogVLAConfig, config: CogVLAConfig, collected: Collected) -> list[str]:
    """What is drawn. Raises ConversionError where the base holds one of these, which its config does not tell."""
    new = new_names(family.model, base, described(family.model, config)[0])
    for name in new:
        if name in collected.candidates:
            source = collected.best(name)
            raise ConversionError(f"{source.file.path} holds {source.key}, which its config.json does not tell.")
    return new


def new_text(family: Family, new: list[str]) -> str:
    """How many tensors of which part."""
    parts = family.model.named_parts.items()
    words = [next((w for w, paths in parts if any(is_in_part(name, p) for p in paths)), "others") for name in new]
    return ", ".join(f"{word} ({count} tensors)" for word, count in Counter(words).items()) or "nothing"


def facts_of(start: Start, given: dict[str, Any]) -> list[Fact]:
    """The settings of the start that have an effect, and how each is known."""
    config, facts = start.config, []
    for name in SETTINGS:
        if not has_effect(name, config):
            continue
        value = sorted(config.norm_stats) if name == "norm_stats" else getattr(config, name)
        option = named(name).partition("(")[2].rstrip(")")
        how = f"given ({option})" if name in given else start.reasons.get(name, "read (base)")
        facts.append(Fact(name, value, how))
    return facts


def has_effect(name: str, config: CogVLAConfig) -> bool:
    """Whether a setting is of a part that there is."""
    if name.startswith("lfp_"):
        return config.use_lfp
    if name in ("num_diffusion_steps", "num_inference_steps"):
        return config.action_head == "diffusion"
    return config.use_aggr if name == "num_vision_aggr" else True


def start_image_processor(
    layout: RunLayout, options: CogVLAStartOptions, config: CogVLAConfig, facts: list[Fact]
) -> CogVLAImageProcessor:
    """That of the base, with what was given."""
    settings = {"center_crop": options.center_crop, "image_resize": options.image_resize}
    settings = {name: value for name, value in settings.items() if value is not None}
    facts += [Fact(name, value, f"given (--{name.replace('_', '-')})") for name, value in settings.items()]
    settings["num_images_in_input"] = config.num_images_in_input
    if is_own(layout.config):
        published = read_json(layout.folders[:1], "preprocessor_config.json", required=False) or {}
        known = {name: value for name, value in published.items() if name in CogVLAImageProcessor.arguments}
        size = config.featurizer_config.image_size
        return CogVLAImageProcessor(**{"image_sizes": [size, size], **known, **settings})
    if "center_crop" not in settings:
        why = "a model that will be trained with random crops needs it"
        facts.append(assumed("center_crop", False, why, "--center-crop"))
    return read_image_processor(layout, config, settings, facts)
