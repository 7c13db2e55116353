"""A published checkpoint of 3dvla-starvla_framework becomes one folder that loads with one line."""

from functools import partial
from pathlib import Path
from typing import Any

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.vla_errors import ConversionError
from ..assumptions import assumed
from ..checkpoint_files import generation_of, write_files
from ..checkpoint_plan import plan_checkpoint
from ..family import Family
from ..files.json_file import read_json
from ..job import Job, Prepared
from ..settings import Settings
from ..tensors.collected import Collected
from ..tensors.size_limits import check_layers
from .geometry_heads import sharing_heads
from .given_parts import check_used_by_run
from .options import CHUNK, MODEL_FIELDS, Llava3DRunOptions, option_of
from .processor import IMAGE_TOKEN, make_llava3d_processor, tokenizer_with_image_token
from .run import Run, collect_run, read_run
from .sizes import (
    DIT,
    described_parts,
    dit_fields,
    expert_fields,
    geometry_config,
    language_fields,
    vision_fields,
)

PARTS = {"language": "text_config", "vision": "vision_config"}
ROLES_OF_MODEL = ("vision", "language", "geometry")
PUBLISHED_FIELDS = (  # of MapAnythingLlava3DConfig upstream, where a transformers config.json has them
    "prefix_lang_dropout_prob",
    "prefix_image_dropout_prob",
    "action_token_begin_idx",
    "use_time_weight",
    "image_seq_length",
    "vision_model_name_or_path",
    "language_model_name_or_path",
    "mapanything_model_name_or_path",
)
WHY = "as in the published code"
DIT_STEPS = 4  # of published predictions with the DiT head
DIT_DEFAULTS = {"attention_head_dim": 64, "num_timestep_buckets": 1000}
FLOW_STEPS = 20  # of published predictions with the joined expert
DIT_FIELDS = (  # settings that no tensor shows, under the same names upstream
    "noise_beta_alpha",
    "noise_beta_beta",
    "noise_s",
    "num_timestep_buckets",
    "num_inference_timesteps",
)


def plan_conversion(family: Family, job: Job) -> Prepared:
    """Plan a conversion.

    Raises:
        ConversionError, ConfigError: something is missing, unknown or does not fit.
    """
    options = job.options(Llava3DRunOptions)
    run = read_run(job.adapters[0], options.step)
    collected = collect_run(run)
    tokenizer = tokenizer_with_image_token([*given_tokenizers(job), run.folder])
    settings = Settings()
    settings.know("image_token_id", tokenizer.convert_tokens_to_ids(IMAGE_TOKEN), "read", "tokenizer")
    add_parts_of_run(job, run, options, collected, settings)
    add_published(run, settings)
    add_experts(run, options, collected, settings)
    config = MapAnythingLlava3DConfig(**settings.fields)
    settings.facts += described_parts(config)
    plan = plan_checkpoint(family, job, collected, config, settings.facts)
    processor = make_llava3d_processor(config, tokenizer, **processor_settings(run, settings))
    sources = {"run": run.folder} | {role: folder for role, folder in job.parts.items() if role in ROLES_OF_MODEL}
    written_by = [run.folder, *(sources[role] for role in ("language",) if role in sources)]
    generation = generation_of(written_by, config.text_config, config.pad_token_id)
    write = partial(write_files, family, config, generation, processor.save_pretrained, sources)
    return Prepared(family.name, plan, write, config=config)


def given_tokenizers(job: Job) -> list[Path]:
    return [job.parts[role] for role in ("tokenizer", "language") if role in job.parts]


def processor_settings(run: Run, settings: Settings) -> dict[str, Any]:
    """What a processor's files and a run's config say about prompts and cameras."""
    published = read_json([run.folder], "processor_config.json", required=False) or {}
    found = {name: published[name] for name in ("intrinsic_config", "prompt_template") if published.get(name)}
    found |= {"prompt_template": run.prompt} if run.prompt else {}
    if "prompt_template" not in found:
        settings.facts.append(assumed("prompt_template", "{instruction}", "the run's config names none"))
    return found


def add_parts_of_run(job: Job, run: Run, options: Llava3DRunOptions, collected: Collected, settings: Settings) -> None:
    """Configs of vision tower, language model and geometry branch."""
    configs = {role: part_config(job, run, role) for role in PARTS}
    for config in (run.model, run.framework, *configs.values()):
        check_layers(config, len(collected.candidates), f"the config of {run.folder}, or of a part,")
    settings.fields["vision_config"] = vision_fields(configs["vision"], collected)
    settings.fields["text_config"] = language_fields(configs["language"], collected)
    said = {**run.model, **(run.framework.get("mapanything_llava3d") or {})}.get("use_geometric_branch")
    has_geometry = any(name.startswith("geometric_model.") for name in collected.candidates)
    if said and not has_geometry and not options.no_geometry:
        raise ConversionError(
            "config.json says use_geometric_branch=true, but no source has a tensor of it: is a file missing? Where "
            "the model was trained without, pass --no-geometry."
        )
    wanted = has_geometry if said is None else said
    off = "given (--no-geometry)" if options.no_geometry else "read (config, tensors)"
    settings.assume("use_geometric_branch", wanted and not options.no_geometry, off)
    if settings.fields["use_geometric_branch"]:
        published = run.model.get("mapanything_config") or {}
        if "geometry" in job.parts:
            published = read_json([job.parts["geometry"]], "config.json", required=True)
        if sharing_heads(published) is None:
            why = "as every published MapAnything has them"
            settings.facts.append(assumed("geometry_heads", "64 channels each", why, "--geometry DIR"))
        settings.fields["geometry_config"] = geometry_config(published, collected)
    elif "geometry" in job.parts:
        raise ConversionError(
            f"--geometry {job.parts['geometry']} is given, but the model will have no geometry branch, {off}; leave "
            "it out."
        )


def part_config(job: Job, run: Run, role: str) -> dict[str, Any]:
    """config.json of one part: as given with --language or --vision, else what the checkpoint's own says.

    Raises:
        ConversionError: neither is there; the message names the option.
    """
    name = PARTS[role]
    if role in job.parts:
        content = read_json([job.parts[role]], "config.json", required=True)
        return content.get(name) or content
    if not run.model.get(name):
        raise ConversionError(
            f"the number of attention heads of the {role} model is in no tensor: pass --{role} DIR, a folder whose "
            f"config.json is that of the model (or of a published checkpoint with {name})."
        )
    return run.model[name]


def add_published(run: Run, settings: Settings) -> None:
    """What the checkpoint's own config says of the model as a whole."""
    said = {**run.model, **(run.framework.get("mapanything_llava3d") or {})}
    for name in PUBLISHED_FIELDS:
        settings.assume(name, said.get(name), "read (config)")


def add_experts(run: Run, options: Llava3DRunOptions, collected: Collected, settings: Settings) -> None:
    """Which experts there are, their sizes, and what trained them."""
    names = collected.candidates
    has_flow, has_dit = "action_expert.action_in_proj.weight" in names, "dit_action_head.future_tokens.weight" in names
    kinds = [kind for kind, there in (("deep_fusion", has_flow), ("dit", has_dit)) if there]
    settings.know("action_expert_type", "+".join(kinds) or None, "read", "tensors")
    check_used_by_run(options, settings.fields["action_expert_type"], settings.fields["use_geometric_branch"])
    if "spatial_embed_tokens.weight" in names:
        settings.know("use_spatial_token", True, "read", "tensors")
        settings.know("spatial_token_num", collected.shape("spatial_embed_tokens.weight")[0], "read", "tensors")
    for name in MODEL_FIELDS:
        settings.settle(name, getattr(options, name, None), option_of(name))
    # Published training: a DiT head over the causal language model, a joined expert over an open prefix.
    settings.suppose("prefix_attention", "bidirectional" if has_flow else "causal", WHY, "--prefix-attention")
    if settings.fields["use_geometric_branch"]:
        settings.suppose("geometry_normalization", "none", WHY, "--geometry-normalization")
    settings.suppose("pixel_range", "siglip", WHY, "--pixel-range")
    settings.settle("num_inference_steps", options.num_inference_steps, "--num-inference-steps")
    if has_flow:
        settings.fields["expert_config"] = expert_fields(collected)
        settings.suppose("num_inference_steps", FLOW_STEPS, WHY, "--num-inference-steps")
    if kinds:
        add_chunk_of_run(run, options, collected, settings, "action_expert" if has_flow else "dit_action_head")
        add_units(run, options, settings)
    if has_dit:
        settings.fields["dit_config"] = dit_settings(run, options, collected, settings)


def add_chunk_of_run(run: Run, options: Llava3DRunOptions, collected: Collected, settings: Settings, part: str) -> None:
    """Sizes of actions and state; the horizon is in no tensor."""
    flow = part == "action_expert"
    action = f"{part}.{'action_in_proj' if flow else 'action_encoder.layer1'}.weight"
    state = f"{part}.{'state_proj' if flow else 'state_encoder.layer1'}.weight"
    settings.know("action_dim", collected.shape(action)[1], "read", "tensors")
    use_state = state in collected.candidates and options.use_state is not False
    settings.know("use_state", use_state, "given" if options.use_state is False else "read", "--no-state or tensors")
    if use_state:
        settings.know("state_dim", collected.shape(state)[1], "read", "tensors")
    trained = run.framework.get("action_model") or {}
    window = trained.get("future_action_window_size")
    horizon = run.model.get(CHUNK) if window is None else window + 1
    settings.settle(CHUNK, options.num_action_chunks, "--action-horizon", horizon, "read (config)")
    settings.require(CHUNK, "--action-horizon N, the actions of one prediction")


def add_units(run: Run, options: Llava3DRunOptions, settings: Settings) -> None:
    """The statistics of the training data: published code un-normalises with 1st and 99th percentile."""
    if not settings.add_statistics(options.statistics, [run.folder]):
        raise ConversionError(
            "no statistics to un-normalise actions with: dataset_statistics.json is missing; pass --statistics FILE."
        )
    settings.settle("normalization_type", options.normalization, "--normalization")
    settings.suppose("normalization_type", "bounds_q99", WHY, "--normalization")


def dit_settings(run: Run, options: Llava3DRunOptions, collected: Collected, settings: Settings) -> dict[str, Any]:
    """Fields of the DiT head: from tensors, from the run's config, from options, and the published code's defaults."""
    trained = run.framework.get("action_model") or {}
    diffusion = trained.get("diffusion_model_cfg") or {}
    settings.assume("num_inference_steps", trained.get("num_inference_timesteps"), "read (config)")
    settings.suppose("num_inference_steps", DIT_STEPS, WHY, "--num-inference-steps")
    of_dit = Settings()
    of_dit.settle("context", options.context, "--context")
    if trained.get("use_concat_cross_context") is not None:
        of_dit.assume("context", "concat" if trained["use_concat_cross_context"] else "cross", "read (config)")
    of_dit.suppose("context", "cross", WHY, "--context")
    of_dit.settle("output_projection", options.output_projection, "--output-projection")
    fields = dit_fields(collected)
    width = collected.shape(f"{DIT}future_tokens.weight")[1]
    if fields["output_projection"] == "adaln" and fields["output_dim"] == width:
        why = "its tensors are there, and some code leaves them unused"
        of_dit.suppose("output_projection", "adaln", why, "--output-projection")
    for name, found in (("attention_head_dim", diffusion), ("num_timestep_buckets", trained)):
        of_dit.assume(name, found.get(name), "read (config)")
        of_dit.suppose(name, DIT_DEFAULTS[name], WHY, None)
    settings.facts += of_dit.facts
    fields |= {name: trained[name] for name in DIT_FIELDS if trained.get(name) is not None}
    if diffusion.get("dropout") is not None:
        fields["dropout"] = diffusion["dropout"]
    return fields | of_dit.fields
