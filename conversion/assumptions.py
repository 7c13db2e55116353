"""Settings that no file records and nobody gave: said aloud in the plan, the report, the card and a warning."""

from collections.abc import Iterable

from ..configuration.card_markdown import code, words
from .tensors.plan import Fact

ASSUMED = "assumed"
CARD = """

## Assumed

No published file records these settings and none was given; the model may have been trained with others:

"""


def assumed(name: str, value: object, why: str, option: str | None = None) -> Fact:
    """A setting that was taken because published code has it; option: what says otherwise."""
    return Fact(name, value, f"{ASSUMED} ({why}{f'; {option} says otherwise' if option else ''})")


def assumed_facts(facts: Iterable[Fact]) -> list[Fact]:
    return [fact for fact in facts if fact.how.startswith(ASSUMED)]


def assumptions_warning(facts: Iterable[Fact]) -> str | None:
    """One line for stderr, or `None` where everything is known."""
    found = [f"{fact.name}={fact.value} {fact.how.removeprefix(ASSUMED).strip()}" for fact in assumed_facts(facts)]
    return f"warning: assumed, for no file says it: {'; '.join(found)}." if found else None


def assumptions_text(report: dict) -> str:
    """The part of a model card that lists them; empty where there are none."""
    rows = [
        f"- {code(name)}: {code(setting['value'])}, {words(setting['known'])}"
        for name, setting in sorted(report["settings"].items())
        if setting["known"].startswith(ASSUMED)
    ]
    return CARD + "\n".join(rows) if rows else ""
