"""What the output's config says, and how each setting is known: read from files, given as an option, or inferred."""

from collections.abc import Mapping
from typing import Any

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig, check_published
from ...configuration.cogvla.openvla_names import has_cogvla_fields, is_wrapped_by_film, parts_found
from ...configuration.cogvla.openvla_sizes import (
    PROMISED,
    TOWERS,
    VISION_FILE,
    TensorShapes,
    check_promised,
    with_sizes,
)
from ...configuration.vla_errors import ConversionError
from ..assumptions import assumed
from ..dataset_statistics import read_statistics, statistics_size
from ..settings import Settings
from ..tensors.collected import Collected
from ..tensors.plan import Fact
from ..tensors.size_limits import check_layers
from .layout import RunLayout
from .options import PLATFORMS, CogVLAOptions

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
    shapes = shapes_of(collected)
    add_sizes(published, shapes, settings)
    add_model_parts(published, collected, shapes, settings)
    add_run_statistics(published, layout, options, settings)
    add_given(options, settings)
    add_decoding(published, layout, options, settings)
    settings.require("num_images_in_input", "--num-images N")
    settings.require("num_action_chunks", "--num-action-chunks N, or --platform")
    settings.require("action_dim", "--action-dim N, or --platform")
    settings.require("normalization_type", "--normalization bounds|bounds_q99|normal, or --platform")
    add_diffusion(published, options, settings)
    return CogVLAConfig.from_openvla(published, **settings.fields), settings.facts


def shapes_of(collected: Collected) -> TensorShapes:
    """Of what will be read of each tensor."""
    return TensorShapes({name: found.best.shape for name, found in collected.candidates.items() if found.versions})


def add_sizes(published: dict, shapes: TensorShapes, settings: Settings) -> None:
    """Sizes of towers and language model from their tensors, into the published config where it is silent."""
    published.update(with_sizes(published, shapes))
    for name, sizes in zip(TOWERS, published["timm_kwargs"], strict=True):
        shown = f"{sizes['embed_dim']} wide, {sizes['depth'] - 1} of {sizes['depth']} blocks"
        settings.facts.append(Fact(name, shown, "read (tensors)"))
    text = published["text_config"]
    shown = f"{text['hidden_size']} wide, {text['num_hidden_layers']} layers, {text['vocab_size']} tokens"
    settings.facts.append(Fact("language_model", shown, "read (tensors, config.json)"))


def add_model_parts(published: dict, collected: Collected, shapes: TensorShapes, settings: Settings) -> None:
    """Which parts the model has, from the tensors; what config.json promises must be there."""
    found, text = parts_found(shapes), published["text_config"]
    check_promised(published, found)
    check_film(collected, found)
    for name in PROMISED:
        settings.know(name, found[name], "read", "tensors")
    for name in ("num_vision_aggr", "lfp_enable_film"):
        if name in found:
            settings.know(name, found[name], "read", "tensors")
    for name in ("lfp_type", "lfp_average_factor") if found["use_lfp"] else ():
        if text.get(name) is None:
            raise ConversionError(
                f"text_config of config.json has no {name}, which the pruning layers need: is the run's own "
                "config.json missing? Copy it into the run's folder."
            )
        settings.know(name, text[name], "read", "config.json")
    add_head(found, collected, settings)


def check_film(collected: Collected, found: Mapping[str, Any]) -> None:
    """See that FiLM is there where a LoRA names the layers inside its blocks: OpenVLA-OFT's config.json tells nothing.

    Raises:
        ConversionError: the message names the file that is missing.
    """
    if found["use_film"]:
        return
    for source in (source for candidates in collected.candidates.values() for source in candidates.sources):
        if is_wrapped_by_film(source.key):
            raise ConversionError(
                f"{source.file.path} holds {source.key}, a layer inside a FiLM block, but no file holds FiLM: is "
                f"{VISION_FILE} missing?"
            )


def add_head(found: Mapping[str, Any], collected: Collected, settings: Settings) -> None:
    """Kind and sizes of the action head and of the state projector; found: see `parts_found`."""
    if found["action_head"] == "discrete":
        settings.know("action_head", "discrete", "inferred", "no action head in the files")
    else:
        check_diffusion(collected)
        settings.know("action_head", found["action_head"], "read", "tensors")
        settings.know("action_dim", found["action_dim"], "read", "action head")
    if found["state_dim"] is not None:
        settings.know("proprio_dim", found["state_dim"], "read", "proprio projector")
    else:
        settings.facts.append(Fact("proprio_dim", None, "inferred (no proprio projector in the files)"))


def check_diffusion(collected: Collected) -> None:
    """See that a head that predicts noise, by its published names, has its projector of noisy actions, and no other."""
    fc2 = collected.best("action_head.model.fc2.weight")
    predicts_noise = "noise_predictor" in fc2.key
    if predicts_noise != ("noisy_action_projector.fc1.weight" in collected.candidates):
        found, lacking = ("a diffusion head", "no") if predicts_noise else ("a head that is no diffusion head", "a")
        raise ConversionError(
            f"{fc2.file.path} holds {found}, but there is {lacking} noisy_action_projector--*_checkpoint.pt: is a file "
            "missing, or from another run?"
        )


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
