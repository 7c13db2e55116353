"""What people get wrong first with collators, losses and the Trainer: an error that names the value and the remedy,
before anything is learnt from it."""

from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from model_variants import VARIANTS
from PIL import Image
from torch.utils.data import ConcatDataset, Subset
from transformers import TrainingArguments

from vlahub import VLATrainer
from vlahub.data import ActionChunks, apply_statistics, collator_for, dataset_statistics
from vlahub.errors import InputError
from vlahub.training.action_units import check_units

VIEWS = list(np.random.RandomState(0).randint(0, 256, (2, 40, 48, 3)).astype(np.uint8))
CHUNK, DIM, STATE = 8, 7, 8
ACTIONS = np.full((CHUNK, DIM), 0.1, np.float32)
NAN = float("nan")


def example(**changes):
    """One of the collators', without the entries that are `None`."""
    entries = {"images": VIEWS, "text": "go", "actions": ACTIONS, "state": np.zeros(STATE)} | changes
    return {name: value for name, value in entries.items() if value is not None}


# The examples of a batch, and words of the error.
BATCHES = {
    "no examples": ([], "no examples", "is the dataset empty?"),
    "a batch in columns": ({"images": [VIEWS], "text": ["go"]}, "a list of examples", "got a dict"),
    "paths": (["episode_0"], "a list of examples", "with a str"),
    "no images": ([example(images=None)], "examples[0] has no 'images'", "remove_unused_columns=False"),
    "no text": ([example(text=None)], "examples[0] has no 'text'", "remove_unused_columns=False"),
    "no actions": ([example(actions=None)], "examples[0] has no 'actions'", "remove_unused_columns=False"),
    "no state": ([example(state=None)], "examples[0] has no 'state'", "remove_unused_columns=False"),
    "LeRobot's names": ([example(actions=None, action=ACTIONS)], "no 'actions'", "its entries are action, images"),
    "one of two without state": ([example(), example(state=None)], "examples[1] has no 'state'"),
    "an array of views": ([example(images=np.stack(VIEWS))], "['images'] is a ndarray", "a list or a dict"),
    "views of 0 to 1": ([example(images=[view / 255 for view in VIEWS])], "float64", "uint8"),
    "channels first": ([example(images=[v.transpose(2, 0, 1) for v in VIEWS])], "(3, 40, 48)", "(height, width, 3)"),
    "files of views": ([example(images=["a.png", "b.png"])], "got str", "PIL.Image.open"),
    "one action": ([example(actions=ACTIONS[0])], "examples[0]['actions'] has shape (7,)", "(8, 7)"),
    "a shorter chunk": ([example(), example(actions=ACTIONS[1:])], "examples[1]['actions']", "(7, 7)", "(8, 7)"),
    "other dimensions": ([example(actions=np.zeros((CHUNK, DIM + 1)))], "has shape (8, 8)", "(8, 7)"),
    "a NaN": ([example(actions=ACTIONS * NAN)], "examples[0]['actions']", "not finite"),
    "actions as text": ([example(actions="left")], "examples[0]['actions'] must be numbers"),
    "a longer state": ([example(state=np.zeros(STATE + 1))], "examples[0]['state'] has shape (9,)", "(8,)"),
    "a state with NaN": ([example(state=np.full(STATE, NAN))], "examples[0]['state']", "not finite"),
    "a list of texts": ([example(text=["go"])], "examples[0]['text'] is a list", "a string"),
    "bytes": ([example(text=b"go")], "examples[0]['text'] is a bytes", "a string"),
    "a misspelt key": ([example(), example(unnorm_key="libero")], "unnorm_key='libero' is unknown", "choices: "),
    "half of a padding": ([example(action_is_pad=np.full(CHUNK, 0.5))], "['action_is_pad']", "8 truth values"),
    "a longer padding": ([example(action_is_pad=np.zeros(CHUNK + 1))], "['action_is_pad']", "8 truth values"),
    "a negative weight": ([example(sample_weight=-1)], "examples[0]['sample_weight'] is -1", "0 to inf"),
    "some weights": ([example(sample_weight=1), example()], "examples[1] has no 'sample_weight'", "all or none"),
}

# What is done to a batch before `forward`.
FORWARDS = {
    "padding of floats": (lambda batch: {"action_is_pad": torch.zeros(2, CHUNK)}, "action_is_pad is torch.float32"),
    "padding of one": (lambda batch: {"action_is_pad": torch.zeros(1, CHUNK).bool()}, "action_is_pad has shape (1, 8)"),
    "an added mask": (lambda batch: {"attention_mask": batch["attention_mask"] * -1e9}, "attention_mask is", "padding"),
    "a mask of another length": (lambda batch: {"attention_mask": batch["attention_mask"][:, 1:]}, "attention_mask"),
    "one chunk of two": (lambda batch: {"actions": batch["actions"][:1]}, "actions has shape (1, 8, 7)", "(2, 8, 7)"),
    "one step": (lambda batch: {"actions": batch["actions"][:, :1]}, "actions has shape (2, 1, 7)", "(2, 8, 7)"),
    "one dimension": (lambda batch: {"actions": batch["actions"][..., :1]}, "actions has shape (2, 8, 1)"),
    "flat actions": (lambda batch: {"actions": batch["actions"].flatten(1)}, "actions has shape (2, 56)"),
    "whole actions": (lambda batch: {"actions": batch["actions"].long()}, "actions is torch.int64", "floating"),
    "one state of two": (lambda batch: {"state": batch["state"][:1]}, "state has shape (1, 8)"),
    "one image of two": (lambda batch: {"pixel_values": batch["pixel_values"][:1]}, "pixel_values"),
    "labels of floats": (lambda batch: {"labels": batch["input_ids"].float()}, "labels is torch.float32", "-100"),
    "fewer labels": (lambda batch: {"labels": batch["input_ids"][:, 1:]}, "labels is torch.int64 of shape", "-100"),
    "a weight of three": (lambda batch: {"sample_weight": torch.ones(3)}, "sample_weight has shape (3,)", "(2,)"),
    "no weight at all": (lambda batch: {"sample_weight": torch.zeros(2)}, "sample_weight is 0", "above 0"),
    "two states": (lambda batch: {"proprio": batch["state"]}, "state and proprio", "pass one of them"),
}


@pytest.fixture(scope="module")
def parts(family, family_checkpoint):
    """Config and processor of a robot, with a checkpoint's model."""
    if family.unnorm_key is None:
        pytest.skip("a car has no state and no statistics")
    model = family.model.from_pretrained(family_checkpoint)
    return model.train(), family.processor.from_pretrained(family_checkpoint)


def refused(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("mistake", BATCHES)
def test_a_mistake_in_the_examples_of_a_collator_is_named(mistake, parts):
    model, processor = parts
    batch, *words = BATCHES[mistake]
    refused(lambda: collator_for(model.config, processor)(batch), words)


@pytest.mark.parametrize("mistake", FORWARDS)
def test_a_mistake_in_a_batch_of_training_is_named(mistake, parts):
    model, processor = parts
    change, *words = FORWARDS[mistake]
    batch = collator_for(model.config, processor)([example(), example(text="go on")])
    refused(lambda: model(**batch | change(batch)), words)


@pytest.mark.parametrize("time", [2.0, -0.5])
@pytest.mark.parametrize("name", [name for name, variant in VARIANTS.items() if "time" in variant.training()])
def test_a_time_outside_of_flow_matching_is_refused(name, time):
    variant = VARIANTS[name]
    inputs = variant.training() | {"time": torch.tensor([0.3, time])}
    refused(lambda: variant.model()(**inputs), [f"time holds {time}", "0 to 1"])


@pytest.mark.parametrize("name", ["action_pad", "noises"])
def test_a_misspelt_argument_of_a_forward_is_refused(name, parts):
    model, processor = parts
    batch = collator_for(model.config, processor)([example()])
    with pytest.raises((InputError, TypeError), match=name):
        model(**batch, **{name: batch["actions"]})


def test_a_continuous_head_does_not_go_without_its_actions(parts, family):
    """The language model would learn tokens that no prediction reads, and the head nothing."""
    model, processor = parts
    if family.prefix != "CogVLA":
        pytest.skip("its batches have no labels beside the actions")
    batch = collator_for(model.config, processor)([example()])
    refused(lambda: model(**batch | {"actions": None}), ["actions is missing", "l1 head", "collator_for"])


# ---- units


def frames(actions):
    """One episode of the actions (rows, DIM), as a LeRobot dataset has it."""
    rows = {"action": actions.tolist(), "observation.state": np.zeros((len(actions), STATE)).tolist()}
    dot = Image.new("RGB", (2, 2))
    rows |= {"episode_index": [0] * len(actions), "task": ["go"] * len(actions), "image": [dot] * len(actions)}
    return datasets.Dataset.from_dict(rows)


@pytest.fixture(scope="module")
def small_actions():
    """(rows, DIM) of a few centimetres, the last a gripper."""
    drawn = np.random.RandomState(1).uniform(-0.03, 0.03, (40, DIM))
    drawn[:, -1] = np.arange(40) % 2
    return drawn


CHANGES = {
    "normalised before": (lambda actions: actions / 0.03, "normalised before"),
    "in millimetres": (lambda actions: actions * 1000, "other units"),
    "of another robot": (lambda actions: actions + 0.5, "other data"),
}


def train_on(actions, statistics, parts, folder):
    model, processor = parts
    apply_statistics(model.config, processor, "mine", statistics)
    examples = ActionChunks(frames(actions), CHUNK, state="observation.state")
    arguments = TrainingArguments(folder, remove_unused_columns=False, report_to="none", use_cpu=True)
    collator = collator_for(model.config, processor)
    return VLATrainer(model, arguments, train_dataset=examples, data_collator=collator)


@pytest.mark.parametrize("change", CHANGES)
def test_actions_of_other_units_than_the_statistics_are_refused(change, small_actions, parts, tmp_path):
    statistics = dataset_statistics(frames(small_actions), unmasked_actions=[-1], progress=False)
    other, word = CHANGES[change]
    words = "column action", "dimension 0", word, "dataset_statistics(frames)"
    refused(lambda: train_on(other(small_actions), statistics, parts, tmp_path), words)


def test_actions_of_the_statistics_are_not_refused(small_actions, parts, tmp_path):
    statistics = dataset_statistics(frames(small_actions), unmasked_actions=[-1], progress=False)
    assert train_on(small_actions, statistics, parts, tmp_path).train_dataset
    moved = small_actions + np.eye(DIM)[-1] * 5  # which is not normalised, so that its statistics do not matter
    assert train_on(moved, statistics, parts, tmp_path).train_dataset


WRAPPED = {
    "as they are": lambda examples: examples,
    "some of them": lambda examples: Subset(examples, [3, 1]),
    "beside others": lambda examples: ConcatDataset([Subset(examples, [0]), examples]),
}


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("kind", ["bounds", "bounds_q99", "normal"])
def test_units_are_looked_at_by_the_statistics_that_normalise_and_in_parts_of_datasets(kind, wrapped, small_actions):
    statistics = dataset_statistics(frames(small_actions), unmasked_actions=[-1], progress=False)
    config = SimpleNamespace(norm_stats={"mine": statistics}, normalization_type=kind, bounded_actions=False)
    collator = SimpleNamespace(config=config, unnorm_key=None)

    def look_at(actions):
        chunks = ActionChunks(frames(actions), CHUNK, state="observation.state")
        check_units(WRAPPED[wrapped](chunks), collator)

    look_at(small_actions)
    for change, word in CHANGES.values():
        refused(lambda change=change: look_at(change(small_actions)), ["column action", "dimension 0", word])
