"""What is found out about a checkpoint without its weights: one value, of which text, JSON and cards are made."""

from dataclasses import asdict, dataclass, field
from typing import Any

from ...configuration.weight_parts import Memory, Part
from ..family_inspection import ModelFacts, Need, Setting, StatisticsTable


@dataclass(frozen=True)
class FileRole:
    """One file of a folder and what it is for; `bytes` of its content."""

    file: str
    bytes: int
    role: str


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter: its settings, and the base model that it names.

    Attributes:
        r, alpha: `None` where its config is missing.
        modules: how many layers it changes.
        saved_whole: names of modules that it holds whole.
    """

    r: int | None
    alpha: float | None
    modules: int
    parameters: int
    base: str | None
    saved_whole: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class NextStep:
    """What can be done with it.

    Attributes:
        command: a command line; words in capitals are to be filled in.
        words: when it is the right one, or what it makes.
        settings: that the command would read or infer from the files.
        needed: options that it cannot do without, each with the reason; they are in `command`.
    """

    command: str
    words: str = ""
    settings: list[Setting] = field(default_factory=list)
    needed: list[Need] = field(default_factory=list)


@dataclass
class Inspection:
    """What a place holds. Everything is plain data, and the same every time.

    Attributes:
        place: as it was asked for; revision: the commit of a repository on the Hub.
        kind: `checkpoint` (of ours, loads as it is), `published` (to be converted first), `run` (to be merged),
            `adapter` (of PEFT, alone), `base` (a model of transformers), `unsupported` or `other`.
        words: the same in a sentence.
        family: the name of a family of ours, `None` where it is of none.
        model_type, architecture: of config.json.
        parts: of the model in the order of its data flow; empty where no weights were found.
        model: sizes, heads and prompts; `None` where the family is unknown.
        statistics: of the training data, one for each key and kind of vector.
        provenance: of conversion_report.json: family, inputs, dtype, settings (name: how it is known), operations
            (name: tensors), release; `None` without a report.
        licence: of the card's metadata, and `base_model` beside it.
        files: and what each is for.
        adapter: of a run or an adapter folder.
        next_steps: commands that take it.
        oddities: what is missing or strange, a sentence each.
    """

    place: str
    kind: str
    words: str
    revision: str | None = None
    family: str | None = None
    model_type: str | None = None
    architecture: str | None = None
    parameters: int = 0
    bytes: int = 0
    parts: list[Part] = field(default_factory=list)
    model: ModelFacts | None = None
    statistics: list[StatisticsTable] = field(default_factory=list)
    memory: Memory | None = None
    quantization: str | None = None
    provenance: dict[str, Any] | None = None
    licence: dict[str, Any] = field(default_factory=dict)
    adapter: Adapter | None = None
    files: list[FileRole] = field(default_factory=list)
    next_steps: list[NextStep] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON has it: mappings, lists, strings and numbers; the keys are the names of the attributes."""
        return asdict(self)
