"""Training asks the classes of config and model what differs between families; older ones cannot answer."""

from typing import Any

from ..configuration.vla_errors import InputError
from ..modeling.quantized_linear import is_quantised


def check_own_classes(asked: Any) -> None:
    """Refuse a config or a model whose class does not say what actions are made from.

    Such is any other model of transformers, and one of ours whose code came out of a checkpoint of an earlier release.

    Raises:
        InputError: the message names the class, and says how to load it.
    """
    if not hasattr(getattr(asked, "config", asked), "actions_read"):
        raise InputError(
            f"{type(asked).__module__}.{type(asked).__name__} cannot say what is trained of it: load a model of "
            "vlahub's, without trust_remote_code=True where its checkpoint was made by an earlier release."
        )


def check_learnable(config: Any) -> None:
    """Refuse the config of a model that can predict and would learn something else.

    Raises:
        InputError: the message says why, and what to train instead.
    """
    if reason := getattr(config, "why_not_trained", None):
        raise InputError(reason)


def check_trainable(model: Any) -> None:
    """Refuse a model of another class, see `check_own_classes`, or that PEFT wraps, one that has no part that was
    trained before, and one that would learn something else, see `check_learnable`.

    Raises:
        InputError: the message names the class.
    """
    check_not_wrapped(model)
    check_own_classes(model)
    check_full_precision_weights(model)
    check_learnable(model.config)
    if all(getattr(model, name, None) is None for name in model.pretrained_parts):
        raise InputError(
            f"{type(model).__name__} has no part that was trained before: its `pretrained_parts`, "
            f"{model.pretrained_parts}, must name a child, such as its language model."
        )


def check_not_wrapped(model: Any) -> None:
    """Refuse a model that PEFT wraps: it answers for the one inside, whose parts have other names in it.

    Raises:
        InputError: the message says which model to ask for.
    """
    if hasattr(model, "get_base_model"):
        raise InputError(
            f"a {type(model).__name__} is a model that PEFT wraps already: give the one inside it, "
            "model.get_base_model(), and what is found for a further adapter to add_adapter; what the wrapped one "
            "trains is set by its adapters."
        )


def check_full_precision_weights(model: Any) -> None:
    """Refuse a model of a checkpoint that `vlahub convert --quantize` wrote: no gradient trains stored integers.

    Raises:
        InputError: the message says what to train instead.
    """
    if is_quantised(model):
        raise InputError(in_lower_precision(type(model).__name__))


def check_full_precision_config(config: Any) -> None:
    """The same of the config of such a checkpoint, whose model need not be there."""
    if config.weight_quantization is not None:
        raise InputError(in_lower_precision(config.model_type))


def in_lower_precision(name: str) -> str:
    """Why a model does not train, and what does."""
    return (
        f"the weights of this {name} are stored in lower precision (weight_quantization), which is for predictions: "
        "train the checkpoint that it was made from, and convert the result with --quantize again."
    )
