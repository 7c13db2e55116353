"""The start of a new Alpamayo-R1: a Qwen3-VL with the tokens of trajectories, and an expert that is not trained.

Or, from one that was begun before, the same VLM with another expert. Published form: NVlabs/alpamayo,
models/base_model.py, `from_pretrained_submodules`.
"""

from dataclasses import fields
from functools import partial
from typing import Any

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.card_markdown import layers_text, stack_text
from ...configuration.vla_errors import ConversionError
from ...modeling.alpamayo_r1.alpamayo_start import next_config, start_config
from ...processing.alpamayo_r1.processing_alpamayo_r1 import AlpamayoR1Processor
from ..checkpoint_files import generation_of, write_files
from ..checkpoint_plan import plan_checkpoint, weights_of
from ..family import Family
from ..files.json_file import read_json
from ..job import Job, Prepared
from ..tensors.collected import Collected, SourceGroup, collect
from ..tensors.plan import Fact, SourceTensor
from ..tensors.rename import Row
from ..tensors.resized_rows import ResizedRows
from ..tensors.size_limits import check_layers
from .checkpoint import BASE_TYPE, FILE_FIELDS, make_alpamayo_processor, tokenizer_of_base
from .names import BASE_TABLE, EMBEDDINGS, EXPERT_PARTS, HEAD, TABLE
from .start_options import EXPERT_FIELDS, AlpamayoStartOptions

LEAST = {"num_action_chunks": 1, "num_history_poses": 2}  # a driven path has two ends


def plan_start(family: Family, job: Job) -> Prepared:
    """Plan a start from `job.base`.

    Raises:
        ConversionError, ConfigError: the base is none of this family, or what is asked for does not fit it.
    """
    published = read_json([job.base], "config.json", required=True)
    if published.get("model_type") == family.name and family.is_converted(published):
        return plan_next(family, job)
    if published.get("model_type") != BASE_TYPE:
        raise ConversionError(
            f"{job.base}/config.json has model_type {published.get('model_type')!r}; an Alpamayo-R1 begins with a "
            f"{BASE_TYPE!r}, or with an Alpamayo-R1 of ours (vlahub convert makes one of a published one)."
        )
    options = job.options(AlpamayoStartOptions)
    check_counts(options)
    collected = collect([SourceGroup(weights_of(job.base, "base"), BASE_TABLE)])
    check_layers(published, len(collected.candidates), f"{job.base}/config.json")
    vlm = {name: value for name, value in published.items() if name not in FILE_FIELDS}
    tokenizer = tokenizer_of_base(job.base)
    known = len(tokenizer)
    config = start_config(vlm, tokenizer, switches_of(options))
    config.vlm_name_or_path = job.inputs["base"]
    facts = [*resize_vocabulary(collected, config, known, options.seed), *parts_in_words(config, options)]
    plan = plan_checkpoint(family, job, collected, config, facts, EXPERT_PARTS, options.seed)
    processor = make_alpamayo_processor(config, tokenizer, job.base, facts)
    return prepared(family, job, plan, config, processor)


def plan_next(family: Family, job: Job) -> Prepared:
    """Plan a start from a checkpoint of ours, with another expert.

    Raises:
        ConversionError, ConfigError: see `next_config`.
    """
    options = job.options(AlpamayoStartOptions)
    base = AlpamayoR1Config.from_pretrained(job.base)
    config = next_config(base, switches_of(options, base.tokens_per_pose))
    reason = "another expert was asked for"
    left_out = [Row(rf"(?:{part})\..+", None, reason) for part in EXPERT_PARTS]
    collected = collect([SourceGroup(weights_of(job.base, "base"), [*left_out, *TABLE])])
    facts = parts_in_words(config, options)
    plan = plan_checkpoint(family, job, collected, config, facts, EXPERT_PARTS, options.seed)
    return prepared(family, job, plan, config, AlpamayoR1Processor.from_pretrained(job.base))


def check_counts(options: AlpamayoStartOptions) -> None:
    """Raises ConversionError for a number of waypoints or poses that no model works with, by the option's name."""
    for name, least in LEAST.items():
        value = getattr(options, name)
        if value is not None and value < least:
            raise ConversionError(f"--{name.replace('_', '-')} {value} must be {least} or more.")


def switches_of(options: AlpamayoStartOptions, tokens_per_pose: int = 3) -> dict[str, Any]:
    """What was given on the command line, as fields of the config.

    tokens_per_pose: of a history, three in a new start.
    """
    expert = {field: getattr(options, name) for name, field in EXPERT_FIELDS.items()}
    poses = options.num_history_poses
    switches = {
        "expert_cfg": {field: value for field, value in expert.items() if value is not None} or None,
        "num_action_chunks": options.num_action_chunks,
        "tokens_per_history_traj": None if poses is None else tokens_per_pose * poses,
        "traj_tokenizer_cfg": None if options.future_bins is None else {"num_bins": options.future_bins},
        "hist_traj_tokenizer_cfg": None if options.history_bins is None else {"num_bins": options.history_bins},
        "min_pixels": options.min_pixels,
        "max_pixels": options.max_pixels,
    }
    return {name: value for name, value in switches.items() if value is not None}


def prepared(family: Family, job: Job, plan: Any, config: AlpamayoR1Config, processor: AlpamayoR1Processor) -> Prepared:
    generation = generation_of([job.base], config.vlm_config.text_config, config.pad_token_id)
    write = partial(write_files, family, config, generation, processor.save_pretrained, {"base": job.base})
    return Prepared(family.name, plan, write, config=config)


def resize_vocabulary(collected: Collected, config: AlpamayoR1Config, known: int, seed: int) -> list[Fact]:
    """Give embeddings and output embeddings as many rows as the tokenizer has tokens now, as published.

    A base has more rows than tokens: the first new tokens get rows that are there, which no text has trained.

    known: tokens of the base.

    Raises:
        ConversionError: the base has more tokens than rows.
    """
    rows, there = config.vocab_size, collected.shape(EMBEDDINGS)[0]
    if known > there:
        raise ConversionError(
            f"the base's tokenizer has {known} tokens, its embeddings {there} rows: do they belong together?"
        )
    for target in (EMBEDDINGS, HEAD):
        candidates = collected.candidates.get(target)
        if candidates is not None:
            name = EMBEDDINGS if config.tie_word_embeddings else target
            candidates.versions = [
                [resized(source, rows, name, seed) for source in version] for version in candidates.versions
            ]
    new = max(0, rows - there)
    return [
        Fact("vocab_size", rows, f"{known} tokens of the base and {rows - known} of trajectories"),
        Fact("new_embedding_rows", new, "drawn around the mean of the base's" if new else "the base has enough"),
    ]


def resized(source: SourceTensor, rows: int, name: str, seed: int) -> ResizedRows:
    return ResizedRows(
        **{field.name: getattr(source, field.name) for field in fields(source)}, rows=rows, name=name, seed=seed
    )


def parts_in_words(config: AlpamayoR1Config, options: AlpamayoStartOptions) -> list[Fact]:
    """The parts of the model in a line each."""
    vision, text = config.vlm_config.vision_config, config.vlm_config.text_config
    return [
        Fact("vision_tower", layers_text(vision.depth, vision.hidden_size), "read (base)"),
        Fact("language_model", stack_text(text), "read (base)"),
        Fact("expert", stack_text(config.expert_config), "new; given, or in the release's proportions to the base"),
        Fact("tie_word_embeddings", config.tie_word_embeddings, "read (base)"),
        Fact("seed", options.seed, "given or default (--seed)"),
    ]
