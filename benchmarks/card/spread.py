"""Parts in turn on two cards, as `device_map="auto"` spreads a model: losses, gradients and actions stay the same."""

import tempfile
from collections.abc import Iterator
from functools import partial

import torch
from accelerate.utils import find_tied_parameters
from torch import nn

from benchmarks.card.cases import Case, cases, on, predict, predicts
from benchmarks.card.learning import learning_figures, loss_and_gradients, relative
from benchmarks.card.results import Figure, Job, Skipped
from vlahub.configuration.transformers_release import RELEASE
from vlahub.modeling.input_checks import execution_device

LEARNING = (5e-5, 1e-4, 1e-3)  # loss, gradients, the worst parameter's
ACTIONS = 1e-4
# Before 5.9 transformers' own code of this tower asks a weight inside it where its inputs are.
WHOLE = ("Qwen3VLVisionModel",) if RELEASE < (5, 9) else ()


def jobs(device: str, family: str | None) -> Iterator[Job]:
    for case in cases(family):
        yield Job("spread", case.name, partial(spread, case, device))


def spread(case: Case, device: str) -> Iterator[Figure]:
    """Both ways round: what one leaves where it is asked for, the other does not."""
    if device != "cuda" or torch.cuda.device_count() < 2:
        raise Skipped("it takes two cards")
    tiny = case.tiny()
    with tempfile.TemporaryDirectory() as folder:
        tiny.model.save_pretrained(folder)
        for first in (0, 1):
            placement = {"device_map": in_turn(tiny.model, first), "dtype": torch.float32}
            model = type(tiny.model).from_pretrained(folder, **placement).eval()
            yield from spread_figures(model, tiny, f", from card {first} on")


def spread_figures(model: nn.Module, tiny, suffix: str) -> Iterator[Figure]:
    device = str(execution_device(model))
    if predicts(tiny):
        wanted = predict(tiny.model, tiny.prompt)
        yield Figure(f"actions{suffix}", relative(predict(model, on(device, tiny.prompt)), wanted), ACTIONS)
    if tiny.batch:
        wanted = loss_and_gradients(tiny.model, tiny.batch)
        for each in learning_figures(loss_and_gradients(model, on(device, tiny.batch)), wanted, LEARNING):
            yield Figure(each.name + suffix, each.value, each.bound)


def in_turn(model: nn.Module, first: int) -> dict[str, int]:
    """A device map of the smallest parts that may lie apart; those that share a weight lie together."""
    parts = parts_of(model, "", {*model._no_split_modules, *WHOLE})
    places = {name: (number + first) % 2 for number, name in enumerate(parts)}
    for tied in find_tied_parameters(model):
        together = [part for part in parts if any(name == part or name.startswith(f"{part}.") for name in tied)]
        places |= dict.fromkeys(together, places[together[0]])
    return places


def parts_of(module: nn.Module, name: str, whole: set[str]) -> list[str]:
    """Names of layers that stay whole, of modules without others inside, and of tensors beside these."""
    inside = dict(module.named_children())
    if type(module).__name__ in whole or not inside:
        return [name] if module.state_dict() or list(module.buffers()) else []
    tensors = dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))
    found = [f"{name}.{each}".lstrip(".") for each in tensors]
    for each, part in inside.items():
        found += parts_of(part, f"{name}.{each}".lstrip("."), whole)
    return found
