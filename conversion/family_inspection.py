"""What `vlahub inspect` asks of a family: the parts of its models by the names of tensors, and what its configs say.

Imports nothing slow: an inspection reads JSON and headers, and takes less than a second.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..configuration.field_words import WORDS
from ..configuration.weight_parts import NO_PARTS, PartRules

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Setting:
    """A setting that a conversion would find; how: the words of its plan, such as "read (tensors)"."""

    name: str
    value: Any
    how: str


@dataclass(frozen=True)
class Need:
    """An option that a conversion cannot do without, with a placeholder for its value, and why."""

    option: str
    why: str


@dataclass(frozen=True)
class Dimension:
    """One number of an action or a state.

    Attributes:
        name: its index where nobody recorded a name.
        unit: empty where none is recorded: then it is the robot's own.
        low, high: the range that is normalised; `None` where the statistics have none.
        normalised: False for one that passes as it is (a gripper).
    """

    name: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    std: float | None = None
    normalised: bool = True


@dataclass(frozen=True)
class StatisticsTable:
    """Of one dataset (`key`, the `unnorm_key`) and one kind of vector (`part`: action or state)."""

    key: str
    part: str
    range: str
    dimensions: list[Dimension]
    trajectories: int | None = None
    transitions: int | None = None


@dataclass
class ModelFacts:
    """What a model reads and predicts, by the project's own words.

    Attributes:
        predicts: actions, trajectories or text.
        num_images_in_input: camera views; `None` is any number.
        view_names: of the views in the order of training; `None` where they are not recorded.
        token_pruning: `{layer: share of vision tokens kept}`.
        choices: what else was chosen, in words; `None` is left out.
    """

    predicts: str = "actions"
    action_head: str | None = None
    action_dim: int | None = None
    num_action_chunks: int | None = None
    num_images_in_input: int | None = None
    view_names: list[str] | None = None
    state_dim: int | None = None
    normalization_type: str | None = None
    num_inference_steps: int | None = None
    prompt: str | None = None
    token_pruning: dict[int, float] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.choices = {name: value for name, value in self.choices.items() if value is not None}


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run or a published model without its weights.

    Attributes:
        name: of the folder or repository, without its path.
        config: of config.json, or the framework's config.yaml.
        statistics: by their key.
        side_files: kinds of the files beside an adapter.
        merged: whether whole weights are there.
        shapes: of all tensors that could be read, by the names that the model has for them.
    """

    name: str
    config: Mapping[str, Any]
    statistics: Mapping[str, Any]
    side_files: tuple[str, ...]
    merged: bool
    shapes: Shapes


@dataclass
class RunPlan:
    """What a conversion would find in a run, and what it would ask for.

    Attributes:
        words: when this plan is the right one, where there are several.
        given: options that tell it from the others.
    """

    words: str = ""
    given: list[str] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    needed: list[Need] = field(default_factory=list)

    def know(self, name: str, value: Any, how: str) -> None:
        self.settings.append(Setting(name, value, how))

    def need(self, option: str, why: str) -> None:
        self.needed.append(Need(option, why))


def value_of(config: Mapping[str, Any], name: str) -> Any:
    """A field by any of its words; `None` where config.json has none of them."""
    words = next((words for words in WORDS if name in words), (name,))
    return next((config[word] for word in words if config.get(word) is not None), None)


def robot_facts(
    config: Mapping[str, Any], processor: Mapping[str, Any], choices: Mapping[str, Any] | None = None
) -> ModelFacts:
    """Of a config whose fields have the project's words; choices: of the family, beside them."""
    state = value_of(config, "state_dim") if value_of(config, "use_state") is not False else None
    return ModelFacts(
        action_head=config.get("action_head"),
        action_dim=config.get("action_dim"),
        num_action_chunks=value_of(config, "num_action_chunks"),
        num_images_in_input=value_of(config, "num_images_in_input"),
        view_names=config.get("view_names") or processor.get("view_names"),
        state_dim=state,
        normalization_type=config.get("normalization_type"),
        num_inference_steps=value_of(config, "num_inference_steps"),
        prompt=processor.get("prompt_template"),
        choices=dict(choices or {}),
    )


def robot_statistics(statistics: Mapping[str, Any], normalization_type: str | None) -> list[StatisticsTable]:
    """Tables of `norm_stats`; those of the state under one name, whatever it is called there."""
    from ..configuration.normalization_statistics import STATE_PARTS, STATISTICS  # numpy

    names = STATISTICS.get(normalization_type)
    tables = []
    for key in sorted(statistics):
        entry = statistics[key] if isinstance(statistics[key], dict) else {}
        for part in ("action", *STATE_PARTS):
            if isinstance(entry.get(part), dict):
                tables.append(table_of(key, part, entry, names))
    return tables


def table_of(key: str, part: str, entry: Mapping[str, Any], wanted: tuple[str, str] | None) -> StatisticsTable:
    """wanted: names of the statistics that a model normalises by; others where these are no range, or missing."""
    from ..configuration.normalization_statistics import RANGES, STATE_PARTS

    values = entry[part]
    lists = {name: value for name, value in values.items() if isinstance(value, list)}
    size = max(map(len, lists.values()), default=0)
    ranges = [wanted, *RANGES] if wanted in RANGES else list(RANGES)
    low, high = next((names for names in ranges if set(names) <= lists.keys()), ranges[0])

    def at(name: str, i: int) -> Any:
        return lists[name][i] if i < len(lists.get(name, ())) else None

    dimensions = [
        Dimension(
            name=str(at("names", i) or i),
            unit=str(at("units", i) or ""),
            low=at(low, i),
            high=at(high, i),
            mean=at("mean", i),
            std=at("std", i),
            normalised=at("mask", i) is not False,
        )
        for i in range(size)
    ]
    name, sizes = (
        "state" if part in STATE_PARTS else part,
        [entry.get(f"num_{n}") for n in ("trajectories", "transitions")],
    )
    return StatisticsTable(key, name, f"{low} to {high}", dimensions, *sizes)


@dataclass(frozen=True)
class FamilyInspection:
    """One family's answers.

    Attributes:
        parts: as in the config's class, `weight_parts`.
        facts: from config.json and processor_config.json.
        statistics: from `norm_stats` (or dataset_statistics.json), and the config.
        processor_files: without which there is no processor.
        side_files: what the files beside an adapter are, by kind.
        plans: what a conversion of a run, or of a published model, would find and ask for; several where the files
            may be of several models.
        uses: command lines that take a base model with this config.json, "PLACE" standing for it.
    """

    parts: PartRules = NO_PARTS
    facts: Callable[[Mapping[str, Any], Mapping[str, Any]], ModelFacts] = robot_facts
    statistics: Callable[[Mapping[str, Any], Mapping[str, Any]], list[StatisticsTable]] = lambda stats, config: (
        robot_statistics(stats, config.get("normalization_type"))
    )
    processor_files: tuple[str, ...] = ("processor_config.json", "preprocessor_config.json", "tokenizer.json")
    side_files: Mapping[str, str] = field(default_factory=dict)
    plans: Callable[[RunFacts], list[RunPlan]] = lambda facts: [RunPlan()]
    uses: Callable[[Mapping[str, Any]], list[str]] = lambda config: []


UNKNOWN_MODEL = FamilyInspection()
