"""A published Alpamayo-R1 and the files of its base model become one folder that loads with one line."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.alpamayo_r1.trajectory_vocabulary import add_trajectory_tokens
from ...configuration.card_markdown import layers_text, stack_text
from ...configuration.vla_errors import ConversionError
from ...modeling.alpamayo_r1.alpamayo_start import expert_sizes
from ...processing.alpamayo_r1.processing_alpamayo_r1 import AlpamayoR1Processor
from ..assumptions import assumed
from ..checkpoint_files import generation_of, write_files
from ..checkpoint_plan import plan_checkpoint, tensors_of_run
from ..family import Family
from ..files.json_file import read_json
from ..files.tokenizer_files import load_fast_tokenizer
from ..job import Job, Prepared
from ..tensors.plan import Fact
from ..tensors.size_limits import check_layers
from .names import EXPERT_PARTS
from .options import EXPERT, VLM, AlpamayoOptions
from .releases import FIRST_STAGE, LABELS, has_later_names, is_fine_tuned, release_of
from .weights import has_expert

BASE_TYPE = "qwen3_vl"
SEED = 0  # of an expert that no source has
# Of the file, not the model.
FILE_FIELDS = ("architectures", "auto_map", "dtype", "torch_dtype", "transformers_version")
TOKEN_FIELDS = ("vocab_size", "traj_token_start_idx", "traj_token_ids")
EXPERT_FIELDS = (  # of the published config: what belongs to the expert
    "expert_cfg",
    "action_space_cfg",
    "diffusion_cfg",
    "action_in_proj_cfg",
    "action_out_proj_cfg",
    "expert_non_causal_attention",
)
ANSWER_FIELDS = (  # of the published config: what they are changes answers, and no tensor shows them
    "action_space_cfg",
    "diffusion_cfg",
    "traj_tokenizer_cfg",
    "hist_traj_tokenizer_cfg",
    "tokens_per_history_traj",
    "tokens_per_future_traj",
    "expert_non_causal_attention",
    "min_pixels",
    "max_pixels",
)
IMAGE_FIELDS = ("patch_size", "temporal_patch_size", "merge_size", "image_mean", "image_std")


def plan_alpamayo(family: Family, job: Job) -> Prepared:
    """Plan a conversion.

    Raises:
        ConversionError, ConfigError: something is missing, unknown or does not fit.
    """
    if job.base is not None or len(job.adapters) > 1:
        raise ConversionError(
            "an Alpamayo-R1 is converted first (vlahub convert PUBLISHED OUTPUT --vlm BASE); a LoRA is then merged "
            "into the result."
        )
    options = job.options(AlpamayoOptions)
    if options.statistics is not None:
        raise ConversionError("--statistics was given, but an Alpamayo-R1 normalises by its action space.")
    folder = job.adapters[0]
    base = base_folder(job)
    collected = tensors_of_run(family, job)
    for source in (folder, base):
        published = read_json([source], "config.json", required=True)
        check_layers(published, len(collected.candidates), f"{source}/config.json")
    published = published_fields(job)
    config = read_config(published, base)
    tokenizer = tokenizer_of_base(base)
    release = read_json([job.parts.get(EXPERT, folder)], "config.json", required=True)
    config.camera_labels, facts = release_facts(release, options.names_cameras)
    facts += check_tokens(config, tokenizer, has_later_names(release))
    is_new = published.get("model_type") == FIRST_STAGE and not has_expert(collected)
    facts += parts_in_words(config, base, VLM in job.parts, expert_source(is_new, EXPERT in job.parts))
    facts += assumed_fields(published, config)
    facts += [Fact("seed", SEED, "default")] if is_new else []
    config.pad_token_id = tokenizer.pad_token_id
    plan = plan_checkpoint(family, job, collected, config, facts, EXPERT_PARTS if is_new else (), SEED)
    processor = make_alpamayo_processor(config, tokenizer, base, facts)
    # The VLM's own would have it draw its words, and the release does not.
    generation = generation_of([folder], config.vlm_config.text_config, config.pad_token_id)
    sources = {"run": folder, "vlm": base}
    sources |= {EXPERT: job.parts[EXPERT]} if EXPERT in job.parts else {}
    write = partial(write_files, family, config, generation, processor.save_pretrained, sources)
    return Prepared(family.name, plan, write, config=config)


def base_folder(job: Job) -> Path:
    """Where config, tokenizer and image settings of the base model are: as given, else `vlm/` beside the weights.

    What the published config names as its base is text, and is neither opened nor downloaded.
    """
    inside = job.adapters[0] / "vlm"
    if VLM in job.parts or (inside / "config.json").is_file():
        return job.parts.get(VLM, inside)
    named = (read_json([job.adapters[0]], "config.json", required=True)).get("vlm_name_or_path")
    hint = f" config.json names {named!r}." if named else ""
    raise ConversionError(
        f"{job.adapters[0]} holds neither sizes nor tokenizer of the vision-language model it was trained from: pass "
        f"--vlm DIR, a folder or Hub repository of that model (its weights are not needed).{hint}"
    )


def published_fields(job: Job) -> dict[str, Any]:
    """The published config, of a first stage with what belongs to the expert in that of the release that has it."""
    published = read_json([job.adapters[0]], "config.json", required=True)
    if EXPERT not in job.parts:
        return published
    release = read_json([job.parts[EXPERT]], "config.json", required=True)
    return published | {name: release[name] for name in EXPERT_FIELDS if name in release}


def read_config(published: dict[str, Any], base: Path) -> AlpamayoR1Config:
    """The published config with the base model's sizes in it.

    Raises:
        ConfigError: it names a class that is not known; nothing was imported.
    """
    sizes = read_json([base], "config.json", required=True)
    if sizes.get("model_type") != BASE_TYPE:
        raise ConversionError(
            f"{base}/config.json has model_type {sizes.get('model_type')!r}; the base of this family is {BASE_TYPE!r}."
        )
    left_out = (*FILE_FIELDS, "model_type", LABELS)
    settings = {name: value for name, value in published.items() if name not in left_out}
    settings["vlm_config"] = {name: value for name, value in sizes.items() if name not in FILE_FIELDS}
    if published.get("model_type") == FIRST_STAGE and not settings.get("expert_cfg"):
        settings["expert_cfg"] = expert_sizes(AlpamayoR1Config.from_dict(settings | {"expert_cfg": {}}), {})
    return AlpamayoR1Config.from_dict(settings)


def tokenizer_of_base(base: Path) -> PreTrainedTokenizerBase:
    """The base model's, in its fast form.

    Raises:
        ConversionError: it has none that can be read.
    """
    if not (base / "tokenizer.json").exists():
        raise ConversionError(
            f"{base} has no tokenizer.json: --vlm must name a folder with the base model's tokenizer."
        )
    return load_fast_tokenizer(base)


def assumed_fields(published: dict[str, Any], config: AlpamayoR1Config) -> list[Fact]:
    """Settings that the published config.json leaves to the default of the released model."""
    why = "the released model's, for config.json does not have it"
    return [assumed(name, getattr(config, name), why) for name in ANSWER_FIELDS if name not in published]


def release_facts(published: Mapping[str, Any], given: bool | None) -> tuple[bool, list[Fact]]:
    """Whether prompts name cameras, and that and the release for the report.

    published: config.json of the run, of a first stage with `--expert` that of its release; given: `--camera-labels`,
    `None` where it was not.
    """
    release = release_of(published)
    facts = [Fact("release", release.name, release.how)]
    if given is not None:
        return given, [*facts, Fact(LABELS, given, "given (--camera-labels)")]
    if is_fine_tuned(published) and not release.camera_labels:
        why = "fine-tuning does not record the release that it began with"
        return False, [*facts, assumed(LABELS, False, why, "--camera-labels yes")]
    return release.camera_labels, [*facts, Fact(LABELS, release.camera_labels, f"that of {release.name}")]


def check_tokens(config: AlpamayoR1Config, tokenizer: PreTrainedTokenizerBase, later_names: bool) -> list[Fact]:
    """Add the trajectory's tokens to the tokenizer, and see that they get the ids with which the model was trained.

    later_names: see `add_trajectory_tokens`.

    Raises:
        ConversionError: an id of config.json is another one in the tokenizer.
    """
    found = add_trajectory_tokens(tokenizer, config.traj_vocab_size, config.add_special_tokens, later_names)
    for field in TOKEN_FIELDS:
        told, has = getattr(config, field), found[field]
        nested = isinstance(has, dict)
        pairs = [(f"{field}.{key}", told[key], has[key]) for key in has] if nested else [(field, told, has)]
        for name, published, built in pairs:
            if published != built:
                raise ConversionError(
                    f"{name} is {published} in config.json, but {built} in the base model's tokenizer with the "
                    "trajectory's tokens added: does --vlm name the base model that this one was trained from?"
                )
    image, known = config.vlm_config.image_token_id, tokenizer.convert_tokens_to_ids("<|image_pad|>")
    if image != known:
        raise ConversionError(
            f"image_token_id is {image} in the base model's config.json, but {known} in its tokenizer."
        )
    return [Fact(field, getattr(config, field), "read (config, tokenizer)") for field in TOKEN_FIELDS]


def expert_source(is_new: bool, given: bool) -> str:
    """Where the expert is from, for the report."""
    if is_new:
        return "new, and not trained: the first stage has none; --expert takes that of a release"
    return "given (--expert)" if given else "read (config)"


def parts_in_words(config: AlpamayoR1Config, base: Path, given: bool, expert_known: str) -> list[Fact]:
    """The parts of the model in a line each; given: whether `--vlm` was; expert_known: see `expert_source`."""
    text, vision, expert = config.vlm_config.text_config, config.vlm_config.vision_config, config.expert_config
    source = (base.resolve().name, "given (--vlm)") if given else ("vlm/", "read (beside the weights)")
    return [
        Fact("vlm", *source),
        Fact("vision_tower", layers_text(vision.depth, vision.hidden_size), "read (base model)"),
        Fact("language_model", stack_text(text), "read (base model)"),
        Fact("expert", stack_text(expert), expert_known),
        Fact("tie_word_embeddings", config.tie_word_embeddings, "read (base model)"),
    ]


def make_alpamayo_processor(
    config: AlpamayoR1Config, tokenizer: PreTrainedTokenizerBase, base: Path, facts: list[Fact]
) -> AlpamayoR1Processor:
    """Image settings are the base model's, within the bounds on pixels that this model was trained with."""
    published: dict[str, Any] = read_json([base], "preprocessor_config.json", required=False) or {}
    images = {name: published[name] for name in IMAGE_FIELDS if name in published}
    if lacking := [name for name in IMAGE_FIELDS if name not in published]:
        why = "those of Qwen3-VL, for the base's preprocessor_config.json does not have them"
        facts.append(assumed("image_processor", ", ".join(lacking), why))
    return AlpamayoR1Processor.for_config(config, tokenizer, **images)
