"""Options of a fine-tune that the model's config alone settles: refused before its weights are loaded."""

from transformers import PretrainedConfig

from ...configuration.vla_errors import InputError
from ..own_classes import check_full_precision_config
from ..training_stages import check_arguments
from ..unreached import check_stop_gradient
from .options import FinetuneOptions


def check_settled(options: FinetuneOptions, config: PretrainedConfig) -> None:
    """Refuse what a model of this config cannot be asked for, or what nothing that trains would learn from.

    Raises:
        InputError, ConfigError: the message names the option, or the argument by which `trainable_parameter_groups` and
            `set_stop_gradient` have it.
    """
    check_full_precision_config(config)
    if options.stop_grad_from_vlm is not None:
        check_stop_gradient(config, options.stop_grad_from_vlm, options.train != "A", options.learns_text)
    check_text(options, config)
    if options.train != "lora":
        check_stage(options, config)


def check_text(options: FinetuneOptions, config: PretrainedConfig) -> None:
    """Raises InputError for a loss of text that reaches nothing of what trains, or a weight of it that is none."""
    for name in ("learn_text", "trajectory_text"):
        if getattr(options, name) and options.train == "A" and not config.text_reads_new_parts:
            raise InputError(
                f"--{name} True: --train A trains what is new alone, and of this {config.model_type} no text depends "
                "on it; leave it out, or train more (--train lora, B or full)."
            )
    if not 0 <= options.text_weight < float("inf"):
        raise InputError(f"--text_weight {options.text_weight} must be a number of 0 or more.")


def check_stage(options: FinetuneOptions, config: PretrainedConfig) -> None:
    """Raises InputError or ConfigError, see `check_arguments`."""
    layers = options.top_layers if options.train == "B" else 0
    backbone = getattr(config, "vlm_config", None) or config
    depth = getattr(backbone.get_text_config(), "num_hidden_layers", None)
    scales = options.backbone_lr_scale, options.vision_lr_scale
    check_arguments(options.train, layers, layers if depth is None else depth, *scales)
