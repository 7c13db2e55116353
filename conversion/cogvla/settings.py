"""What the output's config says, and how each setting is known: read from files, given as an option, or inferred."""

import math
from collections.abc import Mapping
from typing import Any

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig, check_published, has_cogvla_fields
from ...configuration.cogvla.configuration_cogvla_vision import TIMM_MODELS
from ...configuration.vla_errors import ConversionError
from ..assumptions import assumed
from ..dataset_statistics import read_statistics, statistics_size
from ..settings import Settings
from ..tensors.collected import Collected
from ..tensors.plan import Fact
from ..tensors.size_limits import check_layers
from .layout import RunLayout
from .options import PLATFORMS, CogVLAOptions

HIDDEN_SIZE_7B = 4096
TOWERS = ("featurizer", "fused_featurizer")
STEPS = {  # of a diffusion head, with the names that published configs would have for them
    "num_diffusion_steps": ("num_diffusion_steps", "num_diffusion_steps_train"),
    "num_inference_steps": ("num_inference_steps", "num_diffusion_steps_inference"),
}


def make_config(layout: RunLayout, collected: Collected, options: CogVLAOptions) -> tuple[CogVLAConfig, list[Fact]]:
    """The config of the output.

    Raises:
        ConversionError: a setting is unknown (the message names the option to pass) or contradicts another.
        ConfigError: the published config.json is not one that is supported.
    """
    published = dict(layout.config)
    check_layers(published, len(collected.candidates), "config.json")
    check_published(published)
    settings = Settings()
    add_sizes(published, collected, settings)
    add_model_parts(published, collected, settings)
    add_run_statistics(published, layout, options, settings)
    add_given(options, settings)
    add_decoding(published, layout, options, settings)
    settings.require("num_images_in_input", "--num-images N")
    settings.require("num_action_chunks", "--num-action-chunks N, or --platform")
    settings.require("action_dim", "--action-dim N, or --platform")
    settings.require("normalization_type", "--normalization bounds|bounds_q99|normal, or --platform")
    add_diffusion(published, options, settings)
    return CogVLAConfig.from_openvla(published, **settings.fields), settings.facts


def add_sizes(published: dict, collected: Collected, settings: Settings) -> None:
    """Sizes of towers and language model from their tensors, into the published config where it is silent."""
    kwargs = published.get("timm_kwargs") or [{}, {}]
    described = zip(TOWERS, published["timm_model_ids"], kwargs, strict=True)
    towers = [{**tower_sizes(collected, name, model_id, given), **given} for name, model_id, given in described]
    for name, sizes in zip(TOWERS, towers, strict=True):
        shown = f"{sizes['embed_dim']} wide, {sizes['depth'] - 1} of {sizes['depth']} blocks"
        settings.facts.append(Fact(name, shown, "read (tensors)"))
    published["timm_kwargs"] = towers
    said = published.get("image_sizes") or [None, None]
    published["image_sizes"] = [image_size(collected, name, size) for name, size in zip(TOWERS, said, strict=True)]
    text = dict(published.get("text_config") or {})
    vocab_size, hidden_size = collected.shape("language_model.model.embed_tokens.weight")
    if "num_attention_heads" not in text and hidden_size != HIDDEN_SIZE_7B:
        raise ConversionError(
            f"the language model is {hidden_size} wide and text_config of config.json has no num_attention_heads."
        )
    text.setdefault("vocab_size", vocab_size)
    text.setdefault("hidden_size", hidden_size)
    text.setdefault("intermediate_size", collected.shape("language_model.model.layers.0.mlp.up_proj.weight")[0])
    text.setdefault("num_hidden_layers", collected.num_layers("language_model.model.layers."))
    published["text_config"] = text
    shown = f"{text['hidden_size']} wide, {text['num_hidden_layers']} layers, {text['vocab_size']} tokens"
    settings.facts.append(Fact("language_model", shown, "read (tensors, config.json)"))


def tower_sizes(collected: Collected, name: str, model_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of the vision tower `name`, from its tensors.

    given: its entry in timm_kwargs of config.json. Raises ConversionError where the number of heads is unknown.
    """
    prefix = f"vision_backbone.{name}."
    width, _, patch_size, _ = collected.shape(prefix + "patch_embed.proj.weight")
    published = TIMM_MODELS.get(model_id, {})
    if "num_heads" not in given and published.get("embed_dim", width) != width:
        raise ConversionError(
            f"{name} is {width} wide, {model_id} is {published['embed_dim']}: its number of attention heads is unknown "
            "(timm_kwargs of config.json may say it)."
        )
    registers = prefix + "reg_token"
    return {
        "embed_dim": width,
        "depth": collected.num_layers(prefix + "blocks."),
        "intermediate_size": collected.shape(prefix + "blocks.0.mlp.fc1.weight")[0],
        "patch_size": patch_size,
        "num_registers": collected.shape(registers)[1] if registers in collected.candidates else 0,
        "has_class_token": prefix + "cls_token" in collected.candidates,
        "has_layer_scale": prefix + "blocks.0.ls1.scale_factor" in collected.candidates,
    }


def image_size(collected: Collected, name: str, said: int | None) -> int:
    """From the number of position embeddings; what config.json says decides how much is left at the edges."""
    prefix = f"vision_backbone.{name}."
    patch_size = collected.shape(prefix + "patch_embed.proj.weight")[2]
    side = math.isqrt(collected.shape(prefix + "pos_embed")[1])
    return said if said and said // patch_size == side else side * patch_size


def add_model_parts(published: dict, collected: Collected, settings: Settings) -> None:
    """Which parts the model has, from the tensors; what config.json promises must be there."""
    names = collected.candidates
    aggregation = "vision_backbone.featurizer.aggregation.tokens"
    text = published["text_config"]
    found = {
        "use_film": any(".film." in name for name in names),
        "use_aggr": aggregation in names,
        "vision_aggregate_type": "moe" if "moe_aggregator.router.0.weight" in names else "concat",
        "use_lfp": any(".router.router." in name for name in names),
    }
    promised = {**{name: published.get(name) for name in found}, "use_lfp": text.get("use_lfp")}
    files = dict.fromkeys(found, "vision_backbone--*_checkpoint.pt")
    files |= dict.fromkeys(("vision_aggregate_type", "use_lfp"), "non_lora_trainables--*_checkpoint.pt")
    for name, value in found.items():
        if promised[name] is not None and promised[name] != value:
            raise ConversionError(
                f"config.json says {name}={promised[name]!r}, but the tensors say {value!r}. Is {files[name]} missing?"
            )
        settings.know(name, value, "read", "tensors")
    if found["use_aggr"]:
        settings.know("num_vision_aggr", collected.shape(aggregation)[1], "read", "tensors")
    if found["use_lfp"]:
        settings.know("lfp_enable_film", any(".router.scale." in name for name in names), "read", "tensors")
        for name in ("lfp_type", "lfp_average_factor"):
            if text.get(name) is None:
                raise ConversionError(f"text_config of config.json has no {name}, which the pruning layers need.")
            settings.know(name, text[name], "read", "config.json")
    add_head(collected, settings)


def add_head(collected: Collected, settings: Settings) -> None:
    """Kind and sizes of the action head and of the state projector."""
    names = collected.candidates
    if "action_head.model.fc2.weight" not in names:
        settings.know("action_head", "discrete", "inferred", "no action head in the files")
    else:
        diffusion = is_diffusion(collected)
        settings.know("action_head", "diffusion" if diffusion else "l1", "read", "tensors")
        settings.know("action_dim", collected.shape("action_head.model.fc2.weight")[0], "read", "action head")
    proprio = "proprio_projector.fc1.weight"
    if proprio in names:
        settings.know("proprio_dim", collected.shape(proprio)[1], "read", "proprio projector")
    else:
        settings.facts.append(Fact("proprio_dim", None, "inferred (no proprio projector in the files)"))


def is_diffusion(collected: Collected) -> bool:
    """Whether the head predicts noise, by its published names; then there is a projector of noisy actions, too."""
    fc2 = collected.best("action_head.model.fc2.weight")
    predicts_noise = "noise_predictor" in fc2.key
    if predicts_noise != ("noisy_action_projector.fc1.weight" in collected.candidates):
        found, lacking = ("a diffusion head", "no") if predicts_noise else ("a head that is no diffusion head", "a")
        raise ConversionError(
            f"{fc2.file.path} holds {found}, but there is {lacking} noisy_action_projector--*_checkpoint.pt: is a file "
            "missing, or from another run?"
        )
    return predicts_noise


def add_run_statistics(published: dict, layout: RunLayout, options: CogVLAOptions, settings: Settings) -> None:
    """The run's own statistics; those of the base model say nothing about what was fine-tuned."""
    statistics, how = read_statistics(options.statistics, layout.folders[:1])
    if not statistics and layout.merged:
        statistics, how = published.get("norm_stats"), "read (config.json)"
        if statistics and layout.side_files:  # a run whose config.json is the base's
            how = assumed("norm_stats", None, "config.json, for the run has no own", "--statistics FILE").how
    if not statistics:
        raise ConversionError(
            f"no statistics to un-normalise actions with: dataset_statistics.json is missing in {layout.folders[0]}; "
            "pass --statistics FILE."
        )
    published["norm_stats"] = statistics
    settings.facts.append(Fact("norm_stats", sorted(statistics), how))


def add_given(options: CogVLAOptions, settings: Settings) -> None:
    """What options say; where they are silent, what `--platform` says."""
    given = {
        "num_images_in_input": (options.num_images, "--num-images"),
        "num_action_chunks": (options.num_action_chunks, "--num-action-chunks"),
        "action_dim": (options.action_dim, "--action-dim"),
        "normalization_type": (options.normalization, "--normalization"),
    }
    for name, (value, option) in given.items():
        if value is not None:
            settings.know(name, value, "given", option)
    platform = PLATFORMS.get(options.platform, {})
    for name in ("num_action_chunks", "action_dim", "normalization_type"):
        if name in platform and given[name][0] is None:
            settings.know(name, platform[name], "given", f"--platform {options.platform}")


def add_diffusion(published: dict, options: CogVLAOptions, settings: Settings) -> None:
    """Steps of a diffusion head: no tensor shows them, and another number gives other actions without an error."""
    if settings.fields["action_head"] != "diffusion":
        for name in STEPS:
            if getattr(options, name) is not None:
                raise ConversionError(f"--{name.replace('_', '-')} was given, but the files hold no diffusion head.")
        return
    for name, names in STEPS.items():
        for said in names:
            if published.get(said) is not None:
                settings.know(name, published[said], "read", "config.json")
        if getattr(options, name) is not None:
            settings.know(name, getattr(options, name), "given", f"--{name.replace('_', '-')}")
    settings.require(
        "num_diffusion_steps",
        "--num-diffusion-steps N, the steps that the head was trained with (published scripts train with 50)",
    )
    why = "as many as it was trained with, as in published scripts"
    if "num_inference_steps" not in settings.fields:  # `None` in the config
        settings.facts.append(
            assumed("num_inference_steps", settings.fields["num_diffusion_steps"], why, "--num-inference-steps N")
        )


def add_decoding(published: dict, layout: RunLayout, options: CogVLAOptions, settings: Settings) -> None:
    """How action tokens see each other; discrete OpenVLA-OFT and plain OpenVLA leave the same files."""
    side_files = [kind for kind in layout.side_files if kind not in ("vision_backbone", "non_lora_trainables")]
    discrete = settings.fields["action_head"] == "discrete"
    if discrete and side_files and options.decoding is None:
        raise ConversionError(
            f"the run has {side_files[0]}--*_checkpoint.pt but no action_head--*_checkpoint.pt. Is it missing? If the "
            "model was trained with discrete action tokens, pass --decoding parallel."
        )
    if has_cogvla_fields(published):
        settings.know("action_attention", "block", "inferred", "CogVLA's fields in config.json")
    elif not discrete:
        settings.know("action_attention", "bidirectional", "inferred", "continuous head: OpenVLA-OFT")
    elif options.decoding is None:
        raise ConversionError(
            "these files may be OpenVLA-OFT with discrete tokens or plain OpenVLA: pass --decoding parallel "
            "(OpenVLA-OFT) or --decoding autoregressive (OpenVLA)."
        )
    parallel = settings.fields.get("action_attention") or "bidirectional"
    if options.decoding is not None:
        attention = parallel if options.decoding == "parallel" else "causal"
        settings.know("action_attention", attention, "given", f"--decoding {options.decoding}")
    if settings.fields["action_attention"] == "causal":
        infer_openvla(published["norm_stats"], settings)
    elif discrete and "action_dim" not in settings.fields:
        settings.know("action_dim", action_size(published["norm_stats"]), "inferred", "statistics")


def infer_openvla(norm_stats: dict, settings: Settings) -> None:
    """Plain OpenVLA sees one image and predicts one action, normalised by percentiles."""
    for name, value in (
        ("num_images_in_input", 1),
        ("num_action_chunks", 1),
        ("action_dim", action_size(norm_stats)),
        ("normalization_type", "bounds_q99"),
    ):
        if name not in settings.fields:
            settings.know(name, value, "inferred", "plain OpenVLA")


def action_size(norm_stats: dict) -> int:
    size = statistics_size(norm_stats, "action")
    if size is None:
        raise ConversionError("the statistics' actions have no length, or not the same everywhere: pass --action-dim.")
    return size
