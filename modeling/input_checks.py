"""What a caller passes to a model, checked before anything is computed: by type, shape and device, ids on a CPU."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..configuration.vla_errors import InputError
from .built_fields import check_as_built
from .spread_parts import hooks_of


def check_inputs(
    model: nn.Module,
    input_ids: Any,
    attention_mask: Any = None,
    floating: Mapping[str, Any] | None = None,
    num_cached: int = 0,
) -> None:
    """Refuse what is no tensor, of another kind of number, of another shape, or on another device than the model.

    Which device a model wants that is split by accelerate or FSDP is theirs to say.

    Args:
        input_ids: (batch, length).
        attention_mask: (batch, num_cached + length) or `None`.
        floating: arguments that hold real numbers, by name; those that are `None` are left out.
        num_cached: tokens that were read before and lie in a cache.

    Raises:
        InputError: as above; the message names the argument and says what is needed.
        ConfigError: the config was changed where the model cannot follow, see `check_as_built`.
    """
    if not torch.compiler.is_compiling():
        check_as_built(model)
    numbers = {name: value for name, value in (floating or {}).items() if value is not None}
    masks = {} if attention_mask is None else {"attention_mask": attention_mask}
    for name, value in {"input_ids": input_ids, **masks, **numbers}.items():
        check_tensor(name, value, model_device(model))
    if input_ids.is_floating_point() or input_ids.is_complex() or input_ids.dtype == torch.bool:
        raise InputError(f"input_ids is {input_ids.dtype}; token ids are whole numbers (torch.int64).")
    if input_ids.dim() != 2 or not input_ids.numel():
        raise InputError(f"input_ids has shape {tuple(input_ids.shape)}; (batch, length), both above 0, is needed.")
    if attention_mask is not None and attention_mask.is_floating_point():
        raise InputError(
            f"attention_mask is {attention_mask.dtype}; whole numbers or torch.bool are needed, 1 on tokens and 0 on "
            "padding: is it one that is added to scores?"
        )
    wanted = input_ids.shape[0], num_cached + input_ids.shape[1]
    if attention_mask is not None and attention_mask.shape != wanted:
        behind = f" behind {num_cached} cached tokens" * (num_cached > 0)
        raise InputError(
            f"attention_mask has shape {tuple(attention_mask.shape)}, input_ids {tuple(input_ids.shape)}{behind}; "
            f"{wanted} is needed."
        )
    for name, value in numbers.items():
        if not value.is_floating_point():
            raise InputError(f"{name} is {value.dtype}; floating point numbers are needed, as a processor makes them.")
        if not value.numel():
            raise InputError(f"{name} has shape {tuple(value.shape)}, without a single number.")


def check_labels(labels: Any, tokens: torch.Tensor, name: str = "labels") -> None:
    """Refuse labels that are no token ids (batch, length), one for each token; `None` passes.

    tokens: (batch, length), ids or their embeddings.

    Raises:
        InputError: the message names the argument, by `name`.
    """
    if labels is None:
        return
    check_tensor(name, labels, None)
    if labels.is_floating_point() or labels.shape != tokens.shape[:2]:
        raise InputError(
            f"{name} is {labels.dtype} of shape {tuple(labels.shape)}; token ids {tuple(tokens.shape[:2])} are needed, "
            "-100 where there is nothing to learn."
        )


def check_patches(pixel_values: torch.Tensor | None, image_grid_thw: Any, on_host: torch.Tensor | None = None) -> None:
    """Refuse images as patches without their grid, a grid without its patches, and one of other images.

    pixel_values: (patches, values), checked by `check_inputs`; image_grid_thw: (images, 3), there or on the CPU;
        on_host: the same, where it was brought to the CPU before, so that no device is asked again.
    """
    if pixel_values is None and image_grid_thw is None:
        return
    if pixel_values is None or image_grid_thw is None:
        missing, given = ("pixel_values", "image_grid_thw")[:: 1 if pixel_values is None else -1]
        raise InputError(f"{missing} is missing, {given} was given: images are patches with the grid of their sizes.")
    on_cpu = (
        isinstance(image_grid_thw, torch.Tensor) and image_grid_thw.device.type == "cpu"
    )  # wherever the patches are
    check_tensor("image_grid_thw", image_grid_thw, None if on_cpu else pixel_values.device)
    if image_grid_thw.is_floating_point() or image_grid_thw.dim() != 2 or image_grid_thw.shape[-1] != 3:
        raise InputError(
            f"image_grid_thw is {image_grid_thw.dtype} of shape {tuple(image_grid_thw.shape)}; whole numbers of shape "
            "(images, 3) are needed, as the processor makes them."
        )
    grid = image_grid_thw if on_host is None else on_host
    patches = int(grid.numpy().prod(axis=-1).sum() if grid.device.type == "cpu" else grid.prod(dim=-1).sum())
    if pixel_values.dim() != 2 or len(pixel_values) != patches:
        raise InputError(
            f"pixel_values has shape {tuple(pixel_values.shape)}, but the images of image_grid_thw have {patches} "
            "patches, a row each."
        )


def views_of(pixel_values: torch.Tensor, channels: int = 3) -> torch.Tensor:
    """(batch, views, channels, height, width); one view may come without its dimension.

    channels: three for each tower that reads the pixels in a normalisation of its own.

    Raises:
        InputError: another shape.
    """
    if pixel_values.dim() not in (4, 5) or pixel_values.shape[-3] != channels:
        raise InputError(
            f"pixel_values has shape {tuple(pixel_values.shape)}; (batch, views, {channels}, height, width), or "
            "without views, is needed."
        )
    return pixel_values if pixel_values.dim() == 5 else pixel_values.unsqueeze(1)


def check_tensor(name: str, value: Any, device: torch.device | None) -> None:
    """device: that of the model, or `None` where any will do."""
    if not isinstance(value, torch.Tensor):
        raise InputError(f"{name} is a {type(value).__name__}; a torch tensor is needed (return_tensors='pt').")
    if device is not None and not is_same_device(value.device, device):
        raise InputError(f"{name} is on {value.device}, the model on {device}: use .to({str(device)!r}).")


def is_same_device(device: torch.device, wanted: torch.device) -> bool:
    """Any card will do where a hook has but its kind: of `device_map="cuda"`, which tensors on it call cuda:0."""
    return device == wanted or (wanted.index is None and device.type == wanted.type)


def model_device(model: nn.Module) -> torch.device | None:
    """Where inputs must be; `None` for a sharded model, and one without weights, where any will do."""
    is_sharded = hasattr(next(model.parameters()), "placements")
    device = execution_device(model)
    return None if is_sharded or device.type == "meta" else device


def execution_device(model: nn.Module) -> torch.device:
    """Where accelerate's hooks put what goes into the model; without them, that of its first weights.

    Weights on disk, or those that accelerate moves only while they are needed, are on "meta".
    """
    first = next(model.parameters(), None)
    if first is not None and not first.is_meta and not hasattr(model, "_hf_hook"):
        return first.device  # every input of a prediction asks, and to go through all modules takes milliseconds
    places = (hook.execution_device for hook in hooks_of(model))
    of_hooks = next((place for place in places if place is not None), None)
    if of_hooks is not None:
        return torch.device(of_hooks)
    return next((each.device for each in model.parameters() if not each.is_meta), torch.device("meta"))


def check_ids(input_ids: torch.Tensor, embeddings: nn.Module) -> None:
    """Refuse ids (batch, length) without an embedding, where looking costs no wait for a device.

    Elsewhere, and in a compiled call, it is the embedding that ends with an error of its own.
    """
    if input_ids.device.type != "cpu" or torch.compiler.is_compiling():
        return
    vocab_size = getattr(embeddings, "num_embeddings", None) or embeddings.weight.shape[0]
    ids = input_ids.numpy()
    wrong = (ids < 0) | (ids >= vocab_size)
    if wrong.any():
        row, place = (int(places[0]) for places in wrong.nonzero())
        raise InputError(
            f"input_ids[{row}, {place}] is {ids[row, place]}; the model has embeddings of 0 to "
            f"{vocab_size - 1}: was it the tokenizer of this checkpoint?"
        )


def one_of(**given: Any) -> Any:
    """The value that came under one of two names, as in `one_of(state=state, proprio=proprio)`; `None`: neither came.

    Raises:
        InputError: both came.
    """
    used = {name: value for name, value in given.items() if value is not None}
    if len(used) > 1:
        raise InputError(f"{' and '.join(used)} are two names of one argument; pass one of them.")
    return [*used.values(), None][0]  # torch.compile of torch 2.6 knows no `next` with a default


def check_length(parts: Mapping[str, int], limit: int | None) -> None:
    """Refuse a sequence with more places than the language model has positions.

    parts: tokens by what they are; limit: `max_position_embeddings`, `None` for models without such a limit.
    """
    length = sum(parts.values())
    if limit is not None and length > limit:
        counted = ", ".join(f"{count} {name}" for name, count in parts.items() if count)
        raise InputError(
            f"the sequence has {length} places ({counted}), but the language model only {limit} positions "
            "(max_position_embeddings): shorten the text."
        )


def check_rows(real: torch.Tensor, least: int = 1, what: str = "a prompt") -> None:
    """Refuse rows of padding, or with too few real tokens. real: (batch, length), 0 on padding; reads one number.

    In a compiled call it is an assertion of the graph (a RuntimeError), which does not know the row.
    """
    if torch.compiler.is_compiling():
        enough = (real.ne(0).sum(dim=1) >= least).all()
        torch._assert_async(enough, f"attention_mask has a row of padding alone, or too short for {what}.")
        return
    shortest, row = torch.stack(real.ne(0).sum(dim=1).min(dim=0)).tolist()
    if shortest == 0:
        raise InputError(f"attention_mask has a row of padding alone: row {row}; leave it out, or give it a text.")
    if shortest < least:
        raise InputError(
            f"input_ids row {row} has {shortest} real tokens by attention_mask; {what} needs at least {least}."
        )


def refuse_sampling(do_sample: bool | None) -> None:
    """OpenVLA's `predict_action` takes `do_sample`; here actions are always the most likely ones."""
    if do_sample:
        raise InputError(
            "do_sample=True: predict_action gives the model's best actions and draws none; leave it out or pass False. "
            "Text is sampled by generate(..., do_sample=True)."
        )
