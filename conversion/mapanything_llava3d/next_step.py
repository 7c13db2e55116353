"""The start from a LLaVA-3D checkpoint of ours: the same model with parts that it has not yet."""

import copy
from functools import partial
from typing import Any

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.mapanything_llava3d.llava3d_start import next_llava3d
from ...configuration.vla_errors import ConversionError
from ...modeling.mapanything_llava3d.expert_of_base_layers import copied_sizes, starts_from_base
from ...processing.mapanything_llava3d.processing_mapanything_llava3d import MapAnythingLlava3DProcessor
from ..checkpoint_files import generation_of, write_files
from ..checkpoint_plan import plan_checkpoint, weights_of
from ..dataset_statistics import statistics_size
from ..family import Family
from ..files.json_file import read_json
from ..job import Job, Prepared
from ..settings import Settings
from ..tensors.collected import SourceGroup, collect
from ..tensors.plan import Fact
from ..tensors.rename import Row
from .assembly import add_chunk, dit_options
from .expert_from_base import copy_layers
from .given_parts import check_used
from .names import GEOMETRY_TABLE
from .options import MODEL_FIELDS, Llava3DOptions
from .sizes import described_parts, geometry_config

OWN_TABLE = [Row(r"(.+)", r"\1", "the base")]
ADDED = ("geometry",)  # roles of parts that can be joined to a checkpoint


def plan_next_step(family: Family, job: Job) -> Prepared:
    """Plan a start from `job.base`.

    Raises:
        ConversionError, ConfigError: the base is none of ours, or what is asked for does not fit it.
    """
    check_base(family, job)
    options = job.options(Llava3DOptions)
    base = MapAnythingLlava3DConfig.from_pretrained(job.base)
    groups = [SourceGroup(weights_of(job.base, "base"), OWN_TABLE)]
    groups += [SourceGroup(weights_of(job.parts[role], role), GEOMETRY_TABLE) for role in ADDED if role in job.parts]
    collected = collect(groups)
    switches = switches_of(options, base)
    if "geometry" in job.parts:
        published = read_json([job.parts["geometry"]], "config.json", required=False) or {}
        switches |= {"use_geometric_branch": True, "geometry_config": geometry_config(published, collected)}
        switches["mapanything_model_name_or_path"] = job.inputs["geometry"]
    start = next_llava3d(base, switches)
    facts = [*described_parts(start.config), Fact("new", sorted(start.parts), "given")]
    facts.append(Fact("seed", options.seed, "given or default (--seed)"))
    new = start.modules
    if starts_from_base(options.expert_init, options.expert_init_layers, start.config.action_expert_type):
        facts.append(copy_layers(options, start.config, collected))
    plan = plan_checkpoint(family, job, collected, start.config, facts, new, options.seed)
    processor = processor_of_base(job, start.config)
    sources = {"base": job.base, **job.parts}
    generation = generation_of([job.base], start.config.text_config, start.config.pad_token_id)
    write = partial(write_files, family, start.config, generation, processor.save_pretrained, sources)
    return Prepared(family.name, plan, write, config=start.config)


def check_base(family: Family, job: Job) -> None:
    """Raises ConversionError for a base of another kind, and for parts beside it that it has itself."""
    published = read_json([job.base], "config.json", required=True)
    if published.get("model_type") != family.name or not family.is_converted(published):
        raise ConversionError(
            f"{job.base}/config.json has model_type {published.get('model_type')!r}; --base is a LLaVA-3D checkpoint "
            "of ours, and a new one is made with --vision and --language."
        )
    if beside := sorted(set(job.parts) - set(ADDED)):
        raise ConversionError(f"--{beside[0]} is a part that the base has already; leave it out beside --base.")


def processor_of_base(job: Job, config: MapAnythingLlava3DConfig) -> MapAnythingLlava3DProcessor:
    """The base's, which knows the state and the statistics of the start."""
    processor = MapAnythingLlava3DProcessor.from_pretrained(job.base)
    processor.norm_stats = copy.deepcopy(config.norm_stats)
    processor.normalization_type, processor.state_dim = config.normalization_type, config.state_size
    return processor


def switches_of(options: Llava3DOptions, base: MapAnythingLlava3DConfig) -> dict[str, Any]:
    """What was given on the command line, as fields of the config; sizes may be those of the statistics.

    Raises:
        ConversionError: the base has no expert yet, and sizes of the actions are missing; or see `starts_from_base`.
    """
    settings = Settings()
    statistics = settings.add_statistics(options.statistics, [])
    experts = options.action_expert_type or base.action_expert_type
    check_used(options, experts or "none")
    if base.action_expert_type is None and experts not in (None, "none"):
        add_chunk(options, statistics, settings)
    elif options.use_state and not (base.use_state or options.state_dim):
        settings.assume("state_dim", statistics_size(statistics, "state"), "inferred (statistics)")
    if not settings.fields.get("use_state", True):
        del settings.fields["use_state"]
    names = (*MODEL_FIELDS, "action_dim", "num_action_chunks", "use_state", "state_dim", "action_expert_type")
    given = {name: getattr(options, name) for name in names} | {"normalization_type": options.normalization}
    given |= {"use_geometric_branch": False if options.no_geometry else None}
    if base.action_expert_type is None and given["action_expert_type"] == "none":
        given["action_expert_type"] = None
    if "dit" in (experts or ""):
        given["dit_config"] = dit_options(options, base.text_config.num_hidden_layers, base.has_dit)
    if starts_from_base(options.expert_init, options.expert_init_layers, experts):
        if base.has_deep_fusion:
            raise ConversionError("--expert-init base would replace the expert that the base has; leave it out.")
        sizes = options.expert_hidden_size, options.expert_mlp_ratio
        given["expert_config"] = copied_sizes(base.text_config, *sizes)
    return {**settings.fields, **{name: value for name, value in given.items() if value not in (None, {})}}
