"""A new LLaVA-3D model with an action expert, from published parts: SigLIP, LLaVA-3D and MapAnything.

What no part has (projectors, expert, action head) is initialised; the result is a start for training, not a policy.
"""

from functools import partial
from typing import Any

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.vla_errors import ConversionError
from ..cogvla.openvla_plan import Collected
from ..cogvla.openvla_settings import Settings
from ..dataset_statistics import statistics_size
from ..files.json_file import read_json
from ..job import Job, Prepared, say
from ..tensors.plan import Fact
from ..tensors.size_limits import check_layers
from ..tensors.tensor_source import TensorGroup, open_checkpoint
from .llava3d_checkpoint import (
    FAMILY,
    IMAGE_TOKEN,
    add_statistics,
    choose_dtype,
    described,
    make_processor,
    read_tokenizer,
    write_files,
)
from .llava3d_names import GEOMETRY_TABLE, LANGUAGE_TABLE, VISION_TABLE
from .llava3d_options import MODEL_FIELDS, Llava3DOptions, option_of
from .llava3d_plan import collect, make_plan
from .llava3d_sizes import geometry_config, language_fields, vision_fields

TABLES = {"vision": VISION_TABLE, "language": LANGUAGE_TABLE, "geometry": GEOMETRY_TABLE}
DIT_BLOCKS = 16  # of the published head; never more than the language model has layers


def prepare_assembly(job: Job) -> Prepared:
    """Plan an assembly.

    Raises:
        ConversionError, ConfigError: a part is missing, unknown or does not fit, or an option is missing.
    """
    roles = part_roles(job)
    collected = collect((opened(job, role), TABLES[role]) for role in roles)
    tokenizer = read_tokenizer([job.parts[role] for role in ("tokenizer", "language") if role in job.parts])
    settings = Settings()
    add_parts(job, collected, settings)
    add_actions(job.llava3d, settings)
    settings.know("image_token_id", tokenizer.convert_tokens_to_ids(IMAGE_TOKEN), "read", "tokenizer")
    for role in roles:
        settings.fields[f"{'mapanything' if role == 'geometry' else role}_model_name_or_path"] = job.inputs[role]
    config = MapAnythingLlava3DConfig(**settings.fields)
    settings.facts += [*described(config), Fact("seed", job.llava3d.seed, "given or default (--seed)")]
    config.dtype = choose_dtype(job.dtype, collected, settings.facts)
    plan = make_plan(collected, config, config.dtype, job.llava3d.seed)
    plan.facts = settings.facts
    if not config.norm_stats:
        say(job, "warning: without --statistics the checkpoint can be trained, but predict_action has no units yet.")
    sources = {role: job.parts[role] for role in roles}
    return Prepared(FAMILY, plan, partial(write_files, config, make_processor(config, tokenizer), sources))


def part_roles(job: Job) -> list[str]:
    if job.llava3d.no_geometry == ("geometry" in job.parts):
        raise ConversionError("pass either --geometry MAPANYTHING or --no-geometry.")
    return [role for role in TABLES if role in job.parts]


def opened(job: Job, role: str) -> TensorGroup:
    weights = open_checkpoint(job.parts[role], role)
    if weights is None:
        raise ConversionError(
            f"{job.parts[role]} holds no model weights (model.safetensors, its shards, or pytorch_model.bin)."
        )
    return weights


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
    statistics = add_statistics(options.statistics, [], settings)
    settings.settle("normalization_type", options.normalization, "--normalization", "bounds_q99")
    settings.settle("action_expert_type", options.action_expert_type, "--action-expert-type", "deep_fusion")
    expert = settings.fields["action_expert_type"]
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
    settings.settle("action_horizon", options.action_horizon, "--action-horizon")
    settings.require("action_horizon", "--action-horizon N, the actions of one prediction")


def dit_options(options: Llava3DOptions, num_layers: int) -> dict[str, Any]:
    fields = {
        "num_hidden_layers": options.dit_num_layers or min(DIT_BLOCKS, num_layers),
        "context": options.context,
        "output_projection": options.output_projection,
    }
    return {name: value for name, value in fields.items() if value is not None}
