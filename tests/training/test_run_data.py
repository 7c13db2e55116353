"""What a fine-tune makes of its data: which column is read for what, what is held out, and what is said of it."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
from families import make_llava3d
from PIL import Image

import vlahub
from vlahub.errors import InputError
from vlahub.training.augmentation import RandomAugmentation
from vlahub.training.example_columns import ExampleColumns
from vlahub.training.finetuning import run_data
from vlahub.training.finetuning.options import FinetuneOptions
from vlahub.training.finetuning.run_data import assumptions, collator_of, columns_of, settle_data, state_columns

ROBOT = SimpleNamespace(normalization_type="bounds_q99", view_names=None)
CAR = SimpleNamespace(normalization_type=None, view_names=None)
SIZE, WORDS = {"top": 30, "wrist": 20}, ["Put the red block", "on the tray"]


def options_of(dataset="kitchen", **given):
    return FinetuneOptions(model="base", dataset=str(dataset), **given)


def frames_of(rows=4, seed=0, **columns):
    """Episodes of two rows; the views differ in size, and no number is twice there."""
    random = np.random.RandomState(seed)
    known = {
        **{name: [Image.new("RGB", (size, size)) for _ in range(rows)] for name, size in SIZE.items()},
        "episode_index": np.arange(rows) // 2,
        "action": random.uniform(-1, 1, (rows, 7)).tolist(),
        "observation.state": random.uniform(-1, 1, (rows, 8)).tolist(),
        "task": [WORDS[0]] * rows,
        "request": [WORDS[1]] * rows,
        "robot": [i % 3 for i in range(rows)],
    }
    return datasets.Dataset.from_dict(known | columns)


@pytest.fixture(scope="module")
def robots(tmp_path_factory):
    """Config and processor of three embodiments; they are not to be changed."""
    folder = make_llava3d(tmp_path_factory.mktemp("robots"))
    fields = vlahub.MapAnythingLlava3DConfig.from_pretrained(folder).to_dict() | {"num_embodiments": 3}
    fields["dit_config"] |= {"num_embodiments": 3}
    processor = vlahub.MapAnythingLlava3DProcessor.from_pretrained(folder)
    return vlahub.MapAnythingLlava3DConfig.from_dict(fields), processor


@pytest.fixture
def settled(robots):
    """`settled(frames, **options)` -> its `RunData`; `.config` and `.processor` are what got statistics and views."""

    def settle(frames, held_out=None, config_views=None, processor_views=None, quiet=True, **options):
        settle.config, settle.processor = copy.deepcopy(robots)
        settle.config.view_names, settle.processor.view_names = config_views, processor_views
        given = {"embodiment_column": "robot"} | options
        return settle_data(
            frames, held_out, options_of(**given), settle.config, settle.processor, quiet, progress=False
        )

    return settle


# ---- columns


@pytest.mark.parametrize(
    ("answer", "learn_text", "column"), [("said", True, "said"), (None, True, "answer"), ("said", False, None)]
)
def test_every_option_of_a_column_names_the_one_that_is_for_it(answer, learn_text, column):
    names = {"weight_column": "w", "advantage_column": "a", "embodiment_column": "e", "text": "t", "action": ["x", "y"]}
    options = options_of(**names, answer=answer, learn_text=learn_text, repeat_last=True)
    assert columns_of(options, ["top"], ["s"]) == ExampleColumns(
        images=["top"],
        state=["s"],
        action=["x", "y"],
        text="t",
        weight="w",
        advantage="a",
        embodiment="e",
        answer=column,
        repeat_last=True,
    )
    assert columns_of(options_of(), ["top"], None) == ExampleColumns(["top"], None, ["action"])


@pytest.mark.parametrize("has_state", [True, False])
def test_a_state_that_was_named_is_never_left_out(has_state):
    frames = SimpleNamespace(column_names=["observation.state"] if has_state else [])
    assert state_columns(frames, options_of()) == (["observation.state"] if has_state else None)
    for named in (["pose"], ["observation.state", "pose"]):
        assert state_columns(frames, options_of(state=named)) == named


MISSING = {
    "a view": ({"images": ["top", "left"]}, "left"),
    "the instruction": ({"text": "words"}, "words"),
    "what rows weigh": ({"weight_column": "weights"}, "weights"),
    "words for the prompt": ({"advantage_column": "quality"}, "quality"),
    "the robot": ({"embodiment_column": "robots"}, "robots"),
}


@pytest.mark.parametrize("what", MISSING)
def test_a_column_that_is_missing_is_told_of_before_all_rows_are_read(what, settled, monkeypatch):
    options, name = MISSING[what]
    monkeypatch.setattr(run_data, "run_statistics", lambda *_: pytest.fail("read"))
    with pytest.raises(InputError, match=rf"no columns \['{name}'\]"):
        settled(frames_of(), **options)
    with pytest.raises(InputError, match=r"no columns \['task'\]"):
        settled(frames_of().remove_columns("task"))


def test_a_car_needs_no_instruction_unless_one_is_named():
    for config, text, columns in (
        (CAR, None, []),
        (CAR, "said", ["said"]),
        (ROBOT, None, ["task"]),
        (ROBOT, "said", ["said"]),
    ):
        assert run_data.texts_of(options_of(text=text), config) == columns


def test_examples_are_of_the_columns_that_were_named(settled):
    frames = frames_of(**{"joints": np.full((4, 7), 0.5).tolist(), "pose": np.full((4, 8), 0.25).tolist()})
    example = settled(frames, action=["joints"], state=["pose"], text="request", images=["wrist", "top"]).examples[1]
    assert example["text"] == WORDS[1] and example["embodiment_id"] == 1
    assert (example["actions"][0] == 0.5).all() and (example["state"] == 0.25).all()
    assert [np.shape(image)[:2] if isinstance(image, np.ndarray) else image.size for image in example["images"]] == [
        (20, 20),
        (30, 30),
    ]
    assert "answer" not in example and "sample_weight" not in example


# ---- views


@pytest.mark.parametrize(
    ("given", "columns"),
    [
        ({}, ["top", "wrist"]),
        ({"config_views": ["wrist", "top"]}, ["wrist", "top"]),
        ({"processor_views": ["wrist", "top"]}, ["wrist", "top"]),
        ({"config_views": ["top", "wrist"], "processor_views": ["wrist", "top"]}, ["wrist", "top"]),
        ({"processor_views": ["wrist", "top"], "images": ["top", "wrist"]}, ["top", "wrist"]),
    ],
    ids=str,
)
def test_views_are_those_that_were_named_else_those_that_the_checkpoint_saw(settled, given, columns):
    found = settled(frames_of(), **given)
    assert found.images == found.views == settled.config.view_names == settled.processor.view_names == columns
    assert found.examples.images == columns


# ---- examples


def test_what_is_held_out_is_measured_and_not_learnt(settled):
    frames, held_out = frames_of(6), frames_of(2, seed=1)
    found = settled(frames, held_out, state=["observation.state"])
    for examples, rows in ((found.examples, frames), (found.held_out, held_out)):
        first = [examples[i]["actions"][0] for i in range(len(examples))]
        assert len(first) == len(examples) and all(np.isclose(a, rows["action"]).all(axis=1).any() for a in first)
    assert settled(frames).held_out is None
    [statistics] = found.statistics.values()
    assert statistics["num_transitions"] == found.rows == 6
    assert settled.config.norm_stats == settled.processor.norm_stats == found.statistics


def test_rows_of_a_run_are_those_of_its_data_however_many_examples_they_make(settled, monkeypatch):
    """A car's first and last rows make none."""

    class Scenes:
        """Stands for its collator."""

        examples_from = staticmethod(lambda frames, columns: range(1, len(frames) - 1))

        def __call__(self, examples):
            assert examples == [1]

    monkeypatch.setattr(run_data, "collator_of", lambda *_: Scenes())
    found = settled(frames_of(6))
    assert (found.rows, len(found.examples)) == (6, 4)


def test_an_example_that_the_model_does_not_take_is_refused_before_it_is_loaded(settled):
    with pytest.raises(InputError, match="embodiment_id"):
        settled(frames_of(robot=[7, 0, 1, 2]))


def test_statistics_of_the_whole_dataset_are_not_said_to_be_of_others(settled, tmp_path, capsys):
    """Those of a folder are of all of its rows, held out or not."""
    [statistics] = settled(frames_of(6)).statistics.values()
    (tmp_path / "dataset_statistics.json").write_text(json.dumps({"mine": statistics}))
    for held_out, said in ((frames_of(2), False), (frames_of(4), True), (None, False)):
        rows = 6 if held_out is None else 4
        settled(frames_of(rows), held_out, quiet=False, dataset=tmp_path)
        assert ("of 6 rows where the dataset has 8" in capsys.readouterr().out) is said


# ---- what is learnt


LEARNT = {
    "lora": ({}, {"learn_text": False}),
    "text": ({"learn_text": True}, {"learn_text": True}),
    "trajectories": ({"trajectory_text": True}, {"learn_text": False, "learn_trajectory_text": True}),
    "vlm": ({"train": "vlm"}, {"learn_text": True, "learn_trajectory_text": True, "learn_actions": False}),
}


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("name", LEARNT)
def test_a_collator_learns_what_the_options_say(name, augment, monkeypatch):
    asked = []
    monkeypatch.setattr(run_data, "collator_for", lambda *given, **named: asked.append((given, named)))
    options, learnt = LEARNT[name]
    collator_of("config", "processor", options_of(**options, augment=augment))
    [(given, named)] = asked
    assert given[:2] == ("config", "processor") and named == learnt
    assert isinstance(given[2], RandomAugmentation) is augment and (given[2] is None) is not augment


# ---- what nobody said


def assumed(config=ROBOT, columns=("observation.state",), state=("observation.state",), **options):
    """The first word of each sentence."""
    found = assumptions(SimpleNamespace(column_names=columns), options_of(**options), config, state and list(state))
    return [sentence.partition(":")[0] for sentence in found]


def test_what_nobody_said_is_told_and_nothing_else(tmp_path):
    assert assumed() == ["views", "actions", "evaluation"]
    assert assumed(state=None) == ["views", "state", "actions", "evaluation"]
    assert assumed(images=["top"]) == ["actions", "evaluation"]
    known = SimpleNamespace(**vars(ROBOT) | {"view_names": ["top"]})
    assert assumed(known) == assumed(known, images=["top"]) == ["actions", "evaluation"]
    assert assumed(eval_episodes=0.1) == ["views", "actions"]
    assert assumed(unmasked_actions=[-1]) == assumed(statistics="own.json") == ["views", "evaluation"]
    Path(tmp_path, "dataset_statistics.json").write_text("{}")
    assert assumed(dataset=tmp_path) == ["views", "evaluation"]
    assert assumed(CAR) == ["views", "reasoning", "evaluation"]
    assert assumed(CAR, columns=("reasoning",), state=None) == ["views", "evaluation"]


def test_a_run_has_what_was_assumed_of_it_beside_its_data(settled):
    found = settled(frames_of(), images=["wrist", "top"], unmasked_actions=[-1]).assumed
    assert [sentence.partition(":")[0] for sentence in found] == ["evaluation"]
