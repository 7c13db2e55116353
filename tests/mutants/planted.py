"""One small fault: a text of one file, what stands there instead, and the tests that should notice."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
FIVE = "transformers>=5"


class ListError(Exception):
    """An entry of the list does not fit the tree (any more)."""


@dataclass(frozen=True)
class Mutant:
    """only_on: the releases on which the faulty code runs, or its tests do, as pip has them: `"transformers<5"`."""

    name: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]
    only_on: str = FIVE

    @property
    def runs_here(self) -> bool:
        """Whether the releases that are installed are such."""
        wanted = Requirement(self.only_on)
        return wanted.specifier.contains(version(wanted.name), prereleases=True)

    def mutated(self, repository: Path = REPOSITORY) -> str:
        """The file with the fault; ListError if its text is not there exactly once."""
        path = repository / self.file
        if not path.is_file():
            raise ListError(f"{self.name}: there is no file {self.file}")
        source = path.read_text(encoding="utf-8")
        if (count := source.count(self.text)) != 1:
            raise ListError(f"{self.name}: {self.file} has the text {self.text!r} {count} times, not once")
        return source.replace(self.text, self.replacement)


def planted(file: str, tests: str, *rows: tuple[str, ...], only_on: str = FIVE) -> list[Mutant]:
    """Mutants of one file.

    Args:
        tests: a file of tests.
        rows: (name, text, replacement, *tests), the latter functions of that file without `test_`, or whole ids.
        only_on: see `Mutant`.
    """
    return [
        Mutant(name, file, text, new, tuple(w if "/" in w else f"{tests}::test_{w}" for w in words), only_on)
        for name, text, new, *words in rows
    ]
