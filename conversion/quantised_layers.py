"""`--quantize`: which layers of a checkpoint get weights of lower precision, and the plan that writes these."""

import copy
from statistics import median
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from ..configuration.vla_config import VLAConfig
from ..configuration.vla_errors import ConversionError
from ..configuration.weight_quantization import gigabytes, group_size_of, pattern_of
from ..modeling.film import ZeroLinear
from ..modeling.model_parts import is_pretrained
from .tensors.plan import Fact, Plan, PlannedTensor
from .tensors.quantisation import torchao_primitives
from .tensors.transformers_names import translation_of
from .tensors.verify_tensors import some

FEWEST_OUTPUTS = 8  # layers with fewer decide between a few things, as the scores of a router


def layers_to_quantise(model: PreTrainedModel, kind: str) -> dict[str, str]:
    """`{name of a linear layer: kind of its weight}`.

    All that lie inside of pretrained parts: the language model, vision towers, and what conditions their layers (FiLM
    of towers and routers). Policy heads, experts, projectors, embeddings, output embeddings, norms and scores of
    routers stay as they are.

    In 4 bits are the language model's own layers that have no fewer outputs than inputs. In 8 are `down_proj`, whose
    errors changed actions most (docs/lower-precision.md), and `k_proj` and `v_proj` of grouped heads, which are small;
    all else; and widths that no group divides.

    Args:
        model: may be on the meta device.
        kind: of `QUANTIZED_KINDS`.
    """
    language_model = {id(module) for module in model.language_part.modules()}
    found: dict[str, str] = {}
    for name, module in model.named_modules():
        if type(module) not in (nn.Linear, ZeroLinear) or name.split(".")[0] not in model.pretrained_parts:
            continue
        if module is model.get_output_embeddings() or module.out_features < FEWEST_OUTPUTS:
            continue
        own = id(module) in language_model and is_pretrained(model, name)
        fits = group_size_of(kind, module.in_features) is not None and module.out_features >= module.in_features
        found[name] = kind if kind != "int4" or (own and fits) else "int8"
    return found


def as_settings(layers: dict[str, str], kind: str) -> dict[str, Any]:
    """What `weight_quantization` of a config says of `layers_to_quantise`.

    Raises:
        ConversionError: layers whose names differ in numbers alone would get different kinds.
    """
    patterns: dict[str, str] = {}
    for name, chosen in layers.items():
        if patterns.setdefault(pattern_of(name), chosen) != chosen:
            raise ConversionError(
                f"--quantize {kind}: the layers {pattern_of(name)} differ in width; choose int8 or fp8."
            )
    kinds = sorted(set(patterns.values()))
    return {"kind": kind, "layers": {each: sorted(p for p in patterns if patterns[p] == each) for each in kinds}}


def quantise_plan(plan: Plan, kind: str, config: PretrainedConfig | None) -> None:
    """Change a plan so that it writes weights of lower precision, and the config that goes with it.

    config: of the checkpoint; `None` or another library's where it is not of a family of ours.

    Raises:
        ConversionError: the model is none of ours, torchao is missing, or a layer's weight is not in the plan.
    """
    if not isinstance(config, VLAConfig):
        raise ConversionError(
            "--quantize is for checkpoints of vlahub's families; others: transformers' TorchAoConfig."
        )
    torchao_primitives()
    with torch.device("meta"):
        model = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)](copy.deepcopy(config))  # a model writes into its own
    layers = layers_to_quantise(model, kind)
    settings = as_settings(layers, kind)
    whole = plan.bytes
    plan.tensors = quantised_tensors(plan.tensors, model, layers)
    config.weight_quantization = settings | {"bytes": {"stored": plan.bytes, "whole": whole}}
    counts = ", ".join(f"{list(layers.values()).count(each)} layers {each}" for each in settings["layers"])
    size = f"{gigabytes(plan.bytes)} in place of {gigabytes(whole)}"
    plan.facts += [
        Fact("quantize", kind, f"given (--quantize): {counts}, all else as it is; {size}"),
        *(Fact(f"weights in {each}", ", ".join(names), "inferred") for each, names in settings["layers"].items()),
    ]


def quantised_tensors(
    tensors: list[PlannedTensor], model: PreTrainedModel, layers: dict[str, str]
) -> list[PlannedTensor]:
    """The tensors of a plan with those of `layers_to_quantise` in lower precision, under the names that the files have.

    Raises:
        ConversionError: weights of some layers are not in the plan, or are stored in another form than the model's.
    """
    translation, state = translation_of(model), model.state_dict()
    own = {tensor.name: translation.of(tensor.name).name for tensor in tensors}
    kinds = {f"{name}.weight": chosen for name, chosen in layers.items()}
    found = {
        tensor.name: kinds[own[tensor.name]]
        for tensor in tensors
        if own[tensor.name] in kinds and tensor.info.shape == tuple(state[own[tensor.name]].shape)
    }
    if missing := sorted(kinds.keys() - {own[name] for name in found}):
        raise ConversionError(f"--quantize: the checkpoint stores these weights in another form: {some(missing)}.")
    return [part for t in tensors for part in (t.quantised(found[t.name]) if t.name in found else [t])]


def describe_errors(errors: dict[str, float]) -> str:
    """errors: of quantised weights by the names of their numbers, see `Written`."""
    worst = max(errors, key=errors.__getitem__)
    return (
        f"quantised {len(errors)} weights; norm of the error over that of the weight: "
        f"{median(errors.values()):.2%} in the "
        f"middle, at most {errors[worst]:.2%} ({worst.removesuffix('.qweight')})"
    )
