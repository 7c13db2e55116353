"""What README.md of one family says besides what all of them say, and words for it; nothing here is slow to import."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from ..configuration.card_licence import licence_name
from ..configuration.card_markdown import code, words
from .untrained_tensors import INITIALISED, untrained_in

UNKNOWN_LICENCE = "Not recorded where this checkpoint was made; the terms of the base model apply."
UNTRAINED = """> **This checkpoint is not trained.** It is a starting point for training: parts of it hold random
> numbers, and so what it predicts means nothing.

"""
PARTLY = """> **Parts of this checkpoint were never trained**: in {parts} there is what the start, which it was made
> from, was initialised with. Where predictions read that, they mean nothing.

"""
NEW = """

{count:,} of the tensors, {parameters:,} parameters, were initialised at random with seed {seed} and **never trained**:
{parts}. The rest is {rest}, number by number."""


@dataclass(frozen=True)
class Origin:
    """Where the weights are from.

    Attributes:
        base_model: name or names of the inputs that they are from; only repositories are linked.
        licence: `license` and what belongs to it, for the Hub; empty where it is unknown.
        licence_text: the same for people.
    """

    base_model: str | list[str]
    licence: dict[str, str]
    licence_text: str


def of_base(inputs: dict[str, str], licences: dict[str, dict[str, str]]) -> Origin:
    """Of what has one source whose licence holds: the base, or the run where it is merged already.

    Args:
        inputs: names of what was converted by their role, as in the report.
        licences: of the sources by their role, as `base_licence` reads them.
    """
    (licence,) = licences.values()
    text = f"{licence_name(licence)}, inherited from the base model." if licence else UNKNOWN_LICENCE
    return Origin(inputs.get("base", ""), licence, text)


def no_values(config: Any, report: dict) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Card:
    """The card of one family; what is not said here `model_card.py` takes from config and report.

    Attributes:
        template: of `model_cards/`; the default one holds for any family.
        title: where the run has no name.
        values: what only this family says, from config and report.
        dimension_names: of an action, from the report, where it tells them.
        tags: what the Hub searches by, besides the model type.
        origin: where the weights are from, from the inputs and their licences, both by role.
    """

    template: str = "checkpoint"
    title: str = "A vision-language-action model"
    values: Callable[[Any, dict], dict[str, str]] = no_values
    dimension_names: Callable[[dict], Sequence[str]] = lambda report: ()
    tags: tuple[str, ...] = ("robotics", "vision-language-action")
    origin: Callable[[dict[str, str], dict[str, dict[str, str]]], Origin] = of_base


ANY_CARD = Card()


def licence_list(licences: dict[str, dict[str, str]], inputs: dict[str, str]) -> str:
    """One line for each source."""
    lines = [
        f"- {words(role)}, {code(inputs.get(role, role))}: "
        f"{licence_name(licence) if licence else 'not recorded where this was made'}"
        for role, licence in licences.items()
    ]
    if len(lines) == 1:
        return of_base(inputs, licences).licence_text
    return "The licence of each source applies to its part:\n\n" + "\n".join(lines)


def new_tensors(report: dict) -> dict[str, dict]:
    """Those that hold random numbers."""
    return {name: tensor for name, tensor in report["tensors"].items() if tensor["operation"] == INITIALISED}


def untrained_text(report: dict) -> str:
    """A warning at the top of the card of a start, and of what was made of one; empty where everything was trained."""
    found = untrained_in(report)
    if found is None or found.is_start:
        return UNTRAINED if found else ""
    return PARTLY.format(parts=listed([code(part) for part in parts_with(found.names)]))


def parts_with(names: Iterable[str]) -> list[str]:
    """The first words of tensors' names."""
    return sorted({name.partition(".")[0] for name in names})


def new_text(report: dict) -> str:
    """What a start has that no source had; empty for any other checkpoint."""
    new = new_tensors(report)
    if not new:
        return ""
    said = report["settings"].get("new_tensors")  # where parts lie inside of the base's
    parts = said["value"] if said else listed([code(part) for part in parts_with(new)])
    size = sum(prod(tensor["shape"]) for tensor in new.values())
    rest = "the base" if "base" in report["inputs"] else "the published parts"
    seed = report["settings"]["seed"]["value"]
    return NEW.format(count=len(new), parameters=size, seed=seed, parts=parts, rest=rest)


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def listed(items: list[str]) -> str:
    """`["a", "b", "c"]` -> `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]]))
