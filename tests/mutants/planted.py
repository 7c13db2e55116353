"""One small fault: a text of one file, what stands there instead, and the tests that should notice."""

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


class ListError(Exception):
    """An entry of the list does not fit the tree (any more)."""


@dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]

    def mutated(self, repository: Path = REPOSITORY) -> str:
        """The file with the fault; ListError if its text is not there exactly once."""
        path = repository / self.file
        if not path.is_file():
            raise ListError(f"{self.name}: there is no file {self.file}")
        source = path.read_text(encoding="utf-8")
        if (count := source.count(self.text)) != 1:
            raise ListError(f"{self.name}: {self.file} has the text {self.text!r} {count} times, not once")
        return source.replace(self.text, self.replacement)


def planted(file: str, tests: str, *rows: tuple[str, ...]) -> list[Mutant]:
    """Mutants of one file.

    Args:
        tests: a file of tests.
        rows: (name, text, replacement, *tests), the latter functions of that file without `test_`, or whole ids.
    """
    return [
        Mutant(name, file, text, new, tuple(word if "/" in word else f"{tests}::test_{word}" for word in words))
        for name, text, new, *words in rows
    ]
