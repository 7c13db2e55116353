"""Where navigation stands in the prompts of Alpamayo 1.5, and the prompts without it."""

from typing import Any, NamedTuple

import torch

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.vla_errors import InputError
from .guided_velocity import check_finite_number

MARKERS = "<|route_start|>", "<|route_end|>"


class Route(NamedTuple):
    """Ids of the tokens around navigation in a prompt, and of padding."""

    start: int
    end: int
    pad: int


def route_of(config: AlpamayoR1Config, weight: Any) -> Route | None:
    """The tokens of navigation where a prediction is guided; `None` where it is not (no weight, or 1).

    Raises:
        InputError: the weight is no finite number, or the model has no such tokens.
    """
    if weight is None:
        return None
    check_finite_number("guidance_weight", weight)
    if weight == 1:
        return None
    ids = [config.special_token_id(key) for key in ("route_start", "route_end")]
    if None in ids:
        raise InputError(f"guidance_weight={weight}: this model has no tokens {MARKERS[0]} and {MARKERS[1]}.")
    return Route(*ids, 0 if config.pad_token_id is None else config.pad_token_id)


def is_wrong_route(input_ids: torch.LongTensor, route: Route) -> torch.Tensor:
    """Bool, of no dimension, where the ids are: no prompt (batch, length) has navigation, or one has half of it, more
    than one, or its end before its start."""
    starts, ends = input_ids == route.start, input_ids == route.end
    counts = starts.sum(dim=1), ends.sum(dim=1)
    backwards = starts.int().argmax(dim=1) > ends.int().argmax(dim=1)
    return ((counts[0] != counts[1]) | (counts[0] > 1) | backwards).any() | ~counts[0].any()


def refuse_route(input_ids: torch.LongTensor, route: Route) -> None:
    """Raises InputError with what `is_wrong_route` found, if it found something."""
    ids = input_ids.cpu()
    starts, ends = (ids == route.start).sum(dim=1).tolist(), (ids == route.end).sum(dim=1).tolist()
    if not any(starts) and not any(ends):
        raise InputError(
            "guidance_weight was given, but no prompt has navigation (nav_text of the processor): leave it out, or 1."
        )
    for row, counts in enumerate(zip(starts, ends, strict=True)):
        if counts not in ((0, 0), (1, 1)):
            raise InputError(f"row {row} of input_ids has {counts[0]} {MARKERS[0]} and {counts[1]} {MARKERS[1]}.")
        if counts == (1, 1) and (ids[row] == route.start).int().argmax() > (ids[row] == route.end).int().argmax():
            raise InputError(f"row {row} of input_ids has {MARKERS[1]} before {MARKERS[0]}.")


def without_route(
    input_ids: torch.LongTensor, real: torch.Tensor | None, route: Route
) -> tuple[torch.LongTensor, torch.Tensor]:
    """Prompts (batch, length) without their navigation and its markers, padded on the left to the same length, and
    what of them is no padding, (batch, length) bool. real: the same of the prompts, or `None` where all is real."""
    opened = (input_ids == route.start).cumsum(dim=1)
    closed = (input_ids == route.end).cumsum(dim=1)
    kept = (opened == closed) & (input_ids != route.end)
    kept = kept if real is None else kept & real
    order = kept.long().argsort(dim=1, stable=True)
    moved = kept.gather(1, order)
    return input_ids.gather(1, order).masked_fill(~moved, route.pad), moved
