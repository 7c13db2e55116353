"""Which parameters decay: transformers' policy, for groups of parameters as for a Trainer's own."""

from collections.abc import Collection
from typing import Any

from torch import nn


def split_by_decay(
    model: nn.Module, groups: list[dict[str, Any]], decaying: Collection[str], weight_decay: float
) -> list[dict[str, Any]]:
    """Each group of an optimiser in two, one that decays and one that does not; groups that are empty are left out.

    Args:
        decaying: names of the parameters that decay, see `Trainer.get_decay_parameter_names`.
        weight_decay: of groups that say nothing else.
    """
    if not weight_decay:
        return groups
    decays = {id(parameter) for name, parameter in model.named_parameters() if name in decaying}
    found = []
    for group in groups:
        amount = group.get("weight_decay", weight_decay)
        for is_decaying, value in ((True, amount), (False, 0.0)):
            chosen = [p for p in group["params"] if (id(p) in decays) == is_decaying]
            if chosen:
                found.append({**group, "params": chosen, "weight_decay": value})
    return found
