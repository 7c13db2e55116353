"""A new LLaVA-3D model with an action expert, from published parts: SigLIP, LLaVA-3D and MapAnything.

What no part has (projectors, expert, action head) is initialised; the result is a start for training, not a policy.
"""

from functools import partial
from typing import Any

from ...configuration.language_model_config import as_language_model_config
from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.vla_errors import ConversionError
from ...modeling.mapanything_llava3d.expert_of_base_layers import copied_sizes, starts_from_base
from ..checkpoint_files import generation_of, write_files
from ..checkpoint_plan import plan_checkpoint, weights_of
from ..dataset_statistics import statistics_size
from ..family import Family
from ..files.json_file import read_json
from ..job import Job, Prepared, say
from ..settings import Settings
from ..tensors.collected import Collected, SourceGroup, collect
from ..tensors.plan import Fact
from ..tensors.size_limits import check_layers
from .expert_from_base import copy_layers
from .given_parts import check_kinds, check_used
from .names import GEOMETRY_TABLE, LANGUAGE_TABLE, NEW, VISION_TABLE
from .options import CHUNK, MODEL_FIELDS, Llava3DOptions, option_of
from .processor import IMAGE_TOKEN, make_llava3d_processor, tokenizer_with_image_token
from .sizes import described_parts, geometry_config, language_fields, vision_fields

TABLES = {"vision": VISION_TABLE, "language": LANGUAGE_TABLE, "geometry": GEOMETRY_TABLE}
DEEP_FUSION = "deep_fusion"
DIT_BLOCKS = 16  # of the published head; never more than the language model has layers


def plan_assembly(family: Family, job: Job) -> Prepared:
    """Plan an assembly.

    Raises:
        ConversionError, ConfigError: a part is missing, unknown or does not fit, or an option is missing.
    """
    options = job.options(Llava3DOptions)
    roles = part_roles(job, options)
    check_kinds({role: job.parts[role] for role in roles})
    check_used(options, options.action_expert_type or DEEP_FUSION)
    collected = collect(SourceGroup(weights_of(job.parts[role], role), TABLES[role]) for role in roles)
    folders = [job.parts[role] for role in ("tokenizer", "language") if role in job.parts]
    tokenizer = tokenizer_with_image_token(folders)
    settings = Settings()
    add_parts(job, collected, settings)
    add_actions(options, settings)
    settings.know("image_token_id", tokenizer.convert_tokens_to_ids(IMAGE_TOKEN), "read", "tokenizer")
    for role in roles:
        settings.fields[f"{'mapanything' if role == 'geometry' else role}_model_name_or_path"] = job.inputs[role]
    config = MapAnythingLlava3DConfig(**settings.fields)
    settings.facts += [*described_parts(config), Fact("seed", options.seed, "given or default (--seed)")]
    if starts_from_base(options.expert_init, options.expert_init_layers, config.action_expert_type):
        settings.facts.append(copy_layers(options, config, collected))
    plan = plan_checkpoint(family, job, collected, config, settings.facts, NEW, options.seed)
    if not config.norm_stats:
        say(job, "warning: without --statistics the checkpoint can be trained, but predict_action has no units yet.")
    sources = {role: job.parts[role] for role in roles}
    processor = make_llava3d_processor(config, tokenizer)
    generation = generation_of([job.parts["language"]], config.text_config, config.pad_token_id)
    write = partial(write_files, family, config, generation, processor.save_pretrained, sources)
    return Prepared(family.name, plan, write, config=config)


def part_roles(job: Job, options: Llava3DOptions) -> list[str]:
    if missing := [role for role in ("vision", "language") if role not in job.parts]:
        raise ConversionError(f"pass --{missing[0]} DIR, or --base for a checkpoint of ours that gets further parts.")
    if options.no_geometry == ("geometry" in job.parts):
        raise ConversionError("pass either --geometry MAPANYTHING or --no-geometry.")
    return [role for role in TABLES if role in job.parts]


def add_parts(job: Job, collected: Collected, settings: Settings) -> None:
    """Configs of the three parts."""
    vision, language = (read_json([job.parts[role]], "config.json", required=True) for role in ("vision", "language"))
    for role, config in (("vision", vision), ("language", language)):
        check_layers(config, len(collected.candidates), f"{job.parts[role]}/config.json")
    settings.fields["vision_config"] = vision_fields(vision.get("vision_config", vision), collected)
    settings.fields["text_config"] = language_fields(language, collected)
    settings.know("use_geometric_branch", "geometry" in job.parts, "given", "--geometry or --no-geometry")
    if "geometry" in job.parts:
        published = read_json([job.parts["geometry"]], "config.json", required=False) or {}
        settings.fields["geometry_config"] = geometry_config(published, collected)


def add_actions(options: Llava3DOptions, settings: Settings) -> None:
    """Expert, action head, their sizes, and the statistics."""
    statistics = settings.add_statistics(options.statistics, [])
    settings.settle("normalization_type", options.normalization, "--normalization", "bounds_q99")
    settings.settle("action_expert_type", options.action_expert_type, "--action-expert-type", DEEP_FUSION)
    expert = settings.fields["action_expert_type"]
    if starts_from_base(options.expert_init, options.expert_init_layers, expert):
        text = as_language_model_config(settings.fields["text_config"])
        sizes = options.expert_hidden_size, options.expert_mlp_ratio
        settings.fields["expert_config"] = copied_sizes(text, *sizes)
    for name in MODEL_FIELDS:
        settings.settle(name, getattr(options, name), option_of(name))
    if "dit" in expert:
        settings.fields["dit_config"] = dit_options(options, settings.fields["text_config"]["num_hidden_layers"])
    if expert == "none":
        settings.fields["action_expert_type"] = None
    else:
        add_chunk(options, statistics, settings)


def add_chunk(options: Llava3DOptions, statistics: dict, settings: Settings) -> None:
    """Sizes of actions and state."""
    for name, part in (("action_dim", "action"), ("state_dim", "state")):
        if part == "state" and not (options.use_state or options.state_dim):
            continue
        size = statistics_size(statistics, part)
        settings.settle(name, getattr(options, name), option_of(name), size, "inferred (statistics)")
        settings.require(name, f"{option_of(name)} N, or --statistics FILE that has it")
    settings.fields["use_state"] = "state_dim" in settings.fields
    settings.settle(CHUNK, options.num_action_chunks, "--action-horizon")
    settings.require(CHUNK, "--action-horizon N, the actions of one prediction")


def dit_options(options: Llava3DOptions, num_layers: int, is_there: bool = False) -> dict[str, Any]:
    """Fields of the DiT head's config; is_there: of one that is not new, which has no defaults."""
    fields = {
        "num_hidden_layers": options.dit_num_layers or (None if is_there else min(DIT_BLOCKS, num_layers)),
        "context": options.context,
        "output_projection": options.output_projection,
        "condition_dropout": options.condition_dropout,
    }
    return {name: value for name, value in fields.items() if value is not None}
