"""The results as JSON, and as tables for people and for RESULTS.md."""

import datetime
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.card.device import facts
from benchmarks.card.results import FAILED, PASSED, SKIPPED, Result

RESULTS = Path(__file__).parents[1] / "RESULTS.md"
HEADING = "## card"
HEAD = ("check", "passed", "failed", "skipped", "nearest to its bound", "value", "bound", "seconds")


def report_of(device: str, results: list[Result], seconds: float) -> dict[str, Any]:
    """What the JSON holds. Numbers that are not finite become null: their reason says what they were."""
    counts = Counter(result.outcome for result in results)
    return {
        "date": datetime.date.today().isoformat(),
        **facts(device),
        "seconds": round(seconds, 1),
        **{outcome: counts[outcome] for outcome in (PASSED, FAILED, SKIPPED)},
        "results": [result.as_dict() for result in results],
    }


def write_json(report: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def summary(report: dict[str, Any]) -> str:
    """In Markdown: a line for each check, what failed, what was skipped and why, and what was only measured."""
    parts = [about(report), table(HEAD, map(line_of, *zip(*by_check(report).items(), strict=True)))]
    results = report["results"]
    failed = [f"- {place(each)}: {each['why']}" for each in results if each["outcome"] == FAILED]
    reasons = Counter(f"{each['check']}: {each['why']}" for each in results if each["outcome"] == SKIPPED)
    measured = [each for each in results if each["outcome"] == PASSED and each["bound"] is None]
    for title, lines in (
        ("Failed", failed),
        ("Skipped", [f"- {count} x {reason}" for reason, count in reasons.items()]),
        ("Measured", [table(("what", "value"), ((place(each), f"{each['value']:.3g}") for each in measured))]),
    ):
        if lines and (title != "Measured" or measured):
            parts.append(f"{title}:\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def about(report: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    card = f", CUDA {report['cuda']}, driver {report['driver']}" if "cuda" in report else ""
    return (
        f"{report['date']}, commit {report['commit']}, {report['name']} ({report['device']}){card}, Python "
        f"{report['python']}, {versions}: {report[PASSED]} passed, {report[FAILED]} failed, "
        f"{report[SKIPPED]} skipped in {report['seconds']:.0f} s."
    )


def by_check(report: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in report["results"]:
        found[line["check"]].append(line)
    return dict(found)


def line_of(check: str, lines: list[dict[str, Any]]) -> list[str]:
    """Counts of one check, and the figure that comes nearest to a bound, or is furthest beyond one."""
    counts = Counter(line["outcome"] for line in lines)
    bounded = [line for line in lines if line["value"] is not None and line["bound"]]
    nearest = max(bounded, key=lambda line: line["value"] / line["bound"], default=None)
    figures = ["-"] * 3
    if nearest:
        figures = [f"{nearest['case']}: {nearest['figure']}", f"{nearest['value']:.2g}", f"{nearest['bound']:g}"]
    seconds = sum(line["seconds"] for line in lines)
    return [check, *(str(counts[outcome]) for outcome in (PASSED, FAILED, SKIPPED)), *figures, f"{seconds:.0f}"]


def place(line: dict[str, Any]) -> str:
    return ", ".join(part for part in (line["check"], line["case"], line["figure"]) if part)


def table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    head = list(head)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))


def write_section(report: dict[str, Any]) -> None:
    """Put the tables into RESULTS.md, in place of those that are there."""
    from benchmarks.card_table import write  # with transformers

    write(f"{HEADING}\n\n{summary(report)}")
