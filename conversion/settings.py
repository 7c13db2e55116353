"""Fields of a model's config as they become known: read from files, given as an option, inferred, or assumed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..configuration.vla_errors import ConversionError
from .assumptions import assumed
from .dataset_statistics import read_statistics
from .tensors.plan import Fact


@dataclass
class Settings:
    """Fields of a model's config as they become known, each with its origin."""

    fields: dict[str, Any] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)

    def know(self, name: str, value: Any, how: str, source: str) -> None:
        """Record a value.

        Raises:
            ConversionError: it contradicts what is known already.
        """
        known = self.fields.get(name)
        if known is not None and known != value:
            raise ConversionError(
                f"{name} is {value!r} by {source}, but {known!r} by what was read before; leave it out, or give what "
                "fits."
            )
        if name not in self.fields:
            self.fields[name] = value
            self.facts.append(Fact(name, value, f"{how} ({source})"))

    def assume(self, name: str, value: Any, how: str) -> None:
        """Record a value that gives way to what is known already; `None` is none."""
        if value is not None and name not in self.fields:
            self.fields[name] = value
            self.facts.append(Fact(name, value, how))

    def suppose(self, name: str, value: Any, why: str, option: str | None) -> None:
        """Record what published code has, where neither files nor options say anything."""
        if name not in self.fields:
            self.fields[name] = value
            self.facts.append(assumed(name, value, why, option))

    def settle(self, name: str, given: Any, option: str, otherwise: Any = None, how: str = "default") -> None:
        """Record what an option says, else another value where there is one."""
        if given is not None:
            self.know(name, given, "given", option)
        self.assume(name, otherwise, how)

    def require(self, name: str, options: str) -> None:
        if name not in self.fields:
            raise ConversionError(f"{name} can be neither read nor inferred from these files: pass {options}.")

    def add_statistics(self, file: Path | None, folders: list[Path]) -> dict[str, Any]:
        """Record the statistics of the training data, `{}` where there are none; see `read_statistics`."""
        statistics, how = read_statistics(file, folders)
        self.fields["norm_stats"] = statistics
        if statistics:
            self.facts.append(Fact("norm_stats", sorted(statistics), how))
        return statistics
