"""The calls of the published scripts of Alpamayo-R1 and 1.5, as calls of the model here."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ...configuration.vla_errors import InputError
from .reasoning_text import parts_of_texts
from .trajectory_flow_matching import FlowMatching

TENSORS = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")
OF_QWEN = ("mm_token_type_ids",)  # of transformers' processor: where images are, which the ids say
POSES = ("ego_history_xyz", "ego_history_rot")
FLAG, WEIGHT = "use_classifier_free_guidance", "inference_guidance_weight"
OPTIONS = {"inference_step": "num_inference_steps", "int_method": "ode_solver", "temperature": "noise_temperature"}
GUIDED = "sample_trajectories_from_data_with_vlm_rollout_cfg_nav"


def published_inputs(data: Mapping[str, Any], diffusion_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Arguments of `sample_trajectories` in the published call without guidance.

    Raises:
        InputError: an option is unknown, or is one of guidance.
    """
    options = known_options(diffusion_kwargs)
    if options.pop(FLAG, False):
        raise InputError(f"diffusion_kwargs holds {FLAG}=True: this call is not guided; {GUIDED} is.")
    if (weight := options.pop(WEIGHT, None)) is not None:
        raise InputError(f"diffusion_kwargs holds {WEIGHT}={weight!r}: this call is not guided; {GUIDED} is.")
    return tokenized(data) | poses_of(data) | renamed(options)


def published_guided_inputs(
    data: Mapping[str, Any], diffusion_kwargs: Mapping[str, Any] | None, flow: FlowMatching
) -> dict[str, Any]:
    """The same of the published call with guidance. flow: of the model, for what is not given.

    Raises:
        InputError: an option is unknown, guidance is not switched on, or no weight says how strong it is.
    """
    options = known_options(diffusion_kwargs)
    flag, weight = options.pop(FLAG, None), options.pop(WEIGHT, None)
    if not (flow.use_classifier_free_guidance if flag is None else flag):
        raise InputError(f"diffusion_kwargs needs {FLAG}=True: without it this is the call without guidance.")
    if weight is None and flow.inference_guidance_weight == 1:
        raise InputError(f"diffusion_kwargs needs {WEIGHT}: the model's, 1, is the call without guidance.")
    weight = flow.inference_guidance_weight if weight is None else weight
    return tokenized(data) | poses_of(data) | renamed(options) | {"guidance_weight": weight}


def known_options(diffusion_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Raises InputError for one that is unknown."""
    options = dict(diffusion_kwargs or {})
    known = (*OPTIONS, FLAG, WEIGHT)
    if unknown := sorted(options.keys() - set(known)):
        raise InputError(f"diffusion_kwargs holds {unknown}; known are {', '.join(known)}.")
    return options


def renamed(options: Mapping[str, Any]) -> dict[str, Any]:
    return {OPTIONS[name]: value for name, value in options.items() if value is not None}


def poses_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """The path just driven: beside `tokenized_data`, as published, or inside of it, as the processor returns it.

    Raises InputError where it is missing, or is another one inside.
    """
    inside = data.get("tokenized_data", data)
    found = {name: inside.get(name) if data.get(name) is None else data[name] for name in POSES}
    if missing := [name for name, value in found.items() if value is None]:
        raise InputError(f"data lacks {', '.join(missing)}, the path just driven; it holds {', '.join(data)}.")
    check_once(data, inside, POSES)
    return found


def check_once(data: Mapping[str, Any], inside: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raises InputError where something is in `tokenized_data` and, with other numbers, beside it."""
    for name in names:
        if data.get(name) is not None and inside.get(name) is not None and not same_numbers(data[name], inside[name]):
            raise InputError(f"data holds {name} twice, with other numbers in tokenized_data: leave one of them out.")


def same_numbers(first: Any, second: Any) -> bool:
    """Whether two tensors hold the same, however many dimensions of 1 they have."""
    pair = [torch.as_tensor(each).squeeze().cpu().double() for each in (first, second)]
    return torch.equal(*pair)


def tokenized(data: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a prompt in `{"tokenized_data": {...}, ...}`, or in what the processor returns.

    What else is in a dataset's `data` beside its `tokenized_data` stays unread, as in the published calls.

    Raises:
        InputError: there are none, others are beside `tokenized_data`, or something in it would be left unread.
    """
    given = data.get("tokenized_data", data)
    if not isinstance(given, Mapping) or "input_ids" not in given:
        raise InputError("data holds no input_ids: give what the processor returns, or {'tokenized_data': it, ...}.")
    if unread := [str(name) for name in given if name not in (*TENSORS, *OF_QWEN, *POSES)]:
        raise InputError(
            f"{', '.join(unread)} is nothing that this model reads of a prompt, which is {', '.join(TENSORS)}: leave "
            "it out, or give what this call has an argument for as one."
        )
    check_once(data, given, TENSORS)
    return {name: given[name] for name in TENSORS if name in given}


def published_outputs(model: nn.Module, arguments: Mapping[str, Any], return_extra: bool) -> tuple:
    """`pred_xyz, pred_rot` of `sample_trajectories`, and on request the parts of the texts, (batch, sets, samples).

    Raises:
        InputError: as that call does; or texts are asked for and the model has no tokenizer.
    """
    if return_extra and model.tokenizer is None:
        raise InputError("return_extra needs the tokenizer: load the model from a checkpoint that has one.")
    output = model.sample_trajectories(**arguments)
    texts = (output.sequences, output.has_start_token.shape, model.tokenizer)
    return output.pred_xyz, output.pred_rot, *([parts_of_texts(*texts)] if return_extra else [])
