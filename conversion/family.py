"""What the conversion knows of one family of models, as a value: the rest of `conversion` asks it, and knows no family.

A `Family` is built in a file of the family's folder that imports nothing slow (`families.py` lists them all, and the
command line reads it for every `--help`): what needs torch is imported inside the functions of the value.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .family_card import ANY_CARD, Card
from .family_inspection import UNKNOWN_MODEL, FamilyInspection
from .predictions.evaluation import ROBOT_EVALUATION
from .predictions.prediction import ROBOT, PredictionKind
from .tensors.rename import Row

if TYPE_CHECKING:  # slow to import
    from transformers import PretrainedConfig, PreTrainedModel, ProcessorMixin

    from .job import Job, Prepared
    from .serving.served_policy import ServedPolicy
    from .tensors.collected import Collected

AddArguments = Callable[[argparse.ArgumentParser], None]


def robot_policy(folder: Path) -> "ServedPolicy":
    from .serving.robot_policy import robot_policy_of

    return robot_policy_of(folder)


@dataclass(frozen=True)
class Family:
    """One family. `config` is the `PretrainedConfig` of a checkpoint of ours, `run` what is converted.

    Attributes:
        name: the model_type of our checkpoints, and the word for `--family`; "generic" for any model of transformers.
        published: model types, and names of training frameworks, in the configs of what `convert` takes.
        bases: model types of base models whose runs the family merges itself; all others are merged key by key.
        is_converted: whether the content of a config.json with `name` as its model type is ours, not the published one.
        is_run: whether a folder, with the content of its config, is a run of the family whose weights have names of
            their own.
        run_words: what such a folder is, in words.
        side_files: the files that a run has beside its adapter: the starts of their names, such as `action_head` of
            action_head--10_checkpoint.pt, and what the keys in them lack in front.
        needed: the options that `convert` cannot do without, for hints, such as " --vlm BASE".

        arguments: what the family declares on the command line, by command ("merge-lora", "convert", "create",
            "assemble"); a family that has a start to create declares --base, where it has one, and --seed itself.
        options: a dataclass of those options; its fields name what is put into `Job.given`.
        create_options: the same of `create`, where it has others.
        parts: roles of further folders (an option each, `--vision`), and whether their weights are read.

        table: from the names of published tensors to those of the model; empty where all is done key by key.
        embeddings: the tensor whose dtype is the output's with `--dtype auto`.
        collect: reads the names of all tensors of a run; `None` where `table` holds for the weights of its folder.
        check: refuses tensors that contradict a config, beyond names and shapes.
        unused_reason: why a model of this config has no use for a tensor of a known name; `None` when it should have.
        expected_in: the file of a run in which a tensor is usually found, for error messages.
        misfit: what to ask where a tensor has another shape than the model, for error messages.

        prepare: plans a merge or a conversion; `None` where checkpoints are born here and adapters are merged into
            them key by key.
        create: plans the start of a new model, from a base model (`Job.base`) or from several parts (`Job.parts`).
        card: what README.md of a checkpoint says.
        prediction: what a checkpoint takes from `vlahub predict`.
        evaluation: what it takes from `vlahub evaluate`.
        inspection: what `vlahub inspect` asks.
        served: what `vlahub serve` asks, of a folder.
    """

    name: str
    published: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    is_converted: Callable[[dict[str, Any]], bool] = lambda config: True
    is_run: Callable[[Path, dict[str, Any]], bool] = lambda folder, config: False
    run_words: str = ""
    side_files: Mapping[str, str] = field(default_factory=dict)
    needed: str = ""

    arguments: Mapping[str, AddArguments] = field(default_factory=dict)
    options: type | None = None
    create_options: type | None = None
    parts: Mapping[str, bool] = field(default_factory=dict)

    table: Sequence[Row] = ()
    embeddings: str = ""
    collect: "Callable[[Job], Collected] | None" = None
    check: "Callable[[Collected, Any], None] | None" = None
    unused_reason: Callable[[str, Any], str | None] = lambda target, config: None
    expected_in: Callable[[str], str] | None = None
    misfit: str = ""

    prepare: "Callable[[Job], Prepared] | None" = None
    create: "Callable[[Job], Prepared] | None" = None
    card: Card = ANY_CARD
    prediction: PredictionKind = ROBOT
    evaluation: PredictionKind = ROBOT_EVALUATION
    inspection: FamilyInspection = UNKNOWN_MODEL
    served: "Callable[[Path], ServedPolicy]" = robot_policy

    @property
    def config(self) -> "type[PretrainedConfig]":
        """The class of its configs, as it is registered with transformers."""
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING

        return CONFIG_MAPPING[self.name]

    @property
    def model(self) -> "type[PreTrainedModel]":
        """The class that users load, as it is registered."""
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

        return MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[self.config]

    @property
    def processor(self) -> "type[ProcessorMixin]":
        """The class of its processors, as it is registered."""
        from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

        return PROCESSOR_MAPPING[self.config]
