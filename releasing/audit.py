"""`make audit`: known vulnerabilities in the versions that the constraints files pin.

    python releasing/audit.py constraints.txt ...

pip-audit asks its service about every pin. Findings that cannot be mended here stand in accepted_findings.json,
each with the reason. Exit code 1: there are others; 2: a file or the list is not in order. Where the service does
not answer, one line says so, and the exit code is 0.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ACCEPTED = Path(__file__).with_name("accepted_findings.json")
COMMAND = ("-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json")
NO_ANSWER = ("requests.exceptions", "ServiceError", "ConnectionError", "network may be blocking")  # what pip-audit says


class NotInOrder(Exception):
    """A file cannot be read as what it should be."""


@dataclass(frozen=True)
class Answer:
    """What the service said of the pins of one file.

    Attributes:
        findings: `(package, version, names of the vulnerability, versions that mend it)`; names: the id first.
        unknown: packages that it does not know, so that nothing was learned of them.
        asked: how many pins there are.
    """

    findings: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]
    unknown: list[str]
    asked: int

    @property
    def is_one(self) -> bool:
        """A mirror of packages that knows of no vulnerabilities skips every pin, for which pip-audit finds nothing."""
        return len(self.unknown) < self.asked


def main(files: list[str]) -> int:
    try:
        accepted = accepted_findings(ACCEPTED)
        answers = {name: ask(Path(name)) for name in files}
    except NotInOrder as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2
    silent = [name for name, answer in answers.items() if answer is None or not answer.is_one]
    if silent:
        print(f"audit: the service of pip-audit could not be asked about {', '.join(silent)}; nothing is known of them")
    return report({name: answer for name, answer in answers.items() if name not in silent}, accepted, not silent)


def report(answers: dict[str, Answer], accepted: dict[str, str], is_whole: bool) -> int:
    """Print what was learned; the exit code. is_whole: every file was answered for."""
    bad, seen = 0, set()
    for file, answer in answers.items():
        for package, version, names, mended_by in answer.findings:
            reason = next((accepted[name] for name in names if name in accepted), None)
            seen.update(names)
            bad += reason is None
            mend = f"mended by {', '.join(mended_by)}" if mended_by else "nothing mends it yet"
            print(f"{file}: {package} {version}: {names[0]}, {mend if reason is None else f'accepted: {reason}'}")
        if answer.unknown:
            print(f"{file}: not known to the service: {', '.join(answer.unknown)}")
        print(f"{file}: {answer.asked - len(answer.unknown)} pins asked about, {len(answer.findings)} findings")
    if is_whole and (old := sorted(set(accepted) - seen)):
        print(f"{ACCEPTED.name}: no longer found, remove {', '.join(old)}")
    return 1 if bad else 0


def ask(file: Path) -> Answer | None:
    """What the service says of a file's pins; `None` where it does not answer.

    Raises:
        NotInOrder: pip-audit cannot read the file.
    """
    command = [sys.executable, *COMMAND, "--requirement", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return answer_of(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError):
        lines = [line for line in done.stderr.strip().splitlines() if not line.startswith("WARNING")]
        if any(word in done.stderr for word in NO_ANSWER):
            return None
        raise NotInOrder(f"{file}: {lines[-1] if lines else 'pip-audit said nothing'}") from None


def answer_of(document: dict) -> Answer:
    """From pip-audit's JSON."""
    pins = document["dependencies"]
    findings = [
        (pin["name"], pin["version"], (found["id"], *found.get("aliases", ())), tuple(found.get("fix_versions", ())))
        for pin in pins
        for found in pin.get("vulns", ())
    ]
    return Answer(findings, [pin["name"] for pin in pins if "skip_reason" in pin], len(pins))


def accepted_findings(path: Path) -> dict[str, str]:
    """`{id of a vulnerability: why it is accepted}`.

    Raises:
        NotInOrder: an entry has no reason.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    without = [name for name, reason in content.items() if not isinstance(reason, str) or not reason.strip()]
    if without:
        raise NotInOrder(f"{path.name}: {', '.join(without)}: say why this is accepted.")
    return content


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
