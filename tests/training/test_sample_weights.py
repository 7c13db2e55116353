"""What rows of a dataset weigh: from their column over examples and batches to the losses, and what is refused."""

from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

import vlahub.data
from vlahub.errors import InputError
from vlahub.training.action_chunks import ActionChunks
from vlahub.training.alpamayo_r1.driving_scenes import DrivingScenes

EXAMPLES = Path(__file__).parents[2] / "examples"
WEIGHTS = [0.0, 0.5, 2.0, 1e-3, 7.0, 1.0]


def robot_frames(weights):
    return {
        "top": [Image.new("RGB", (4, 4)) for _ in range(6)],
        "episode_index": [0] * 6,
        "action": np.zeros((6, 3)).tolist(),
        "task": ["go"] * 6,
        "advantage": weights,
    }


def chunks(weights):
    return ActionChunks(datasets.Dataset.from_dict(robot_frames(weights)), 2, weight="advantage")


def scenes(weights):
    frames = robot_frames(weights) | {"observation.state": [[0.1 * i, 0, 0, 1, 0, 0, 0] for i in range(6)]}
    sizes = {"num_frames": 1, "num_history": 1, "num_future": 1}
    return DrivingScenes(datasets.Dataset.from_dict(frames), weight="advantage", **sizes)


@pytest.mark.parametrize("make", [chunks, scenes])
def test_examples_have_the_weight_of_their_row(make):
    for weights in (WEIGHTS, [[weight] for weight in WEIGHTS]):
        found = [example["sample_weight"] for example in make(weights)]
        assert np.shape(found[0]) == () and found == [np.float32(weight) for weight in WEIGHTS[: len(found)]]


@pytest.mark.parametrize("make", [chunks, scenes])
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0] * 5 + [-0.25], r"column 'advantage' is -0\.25 in row 5; weights are not negative"),
        ([1.0, float("nan")] + [1.0] * 4, "column 'advantage' is not finite in row 1: nan"),
        ([1.0, None] + [1.0] * 4, "column 'advantage'"),
        ([0.0] * 6, "column 'advantage' is 0 in every row"),
        ([[1.0, 2.0]] * 6, "column 'advantage' has 2 numbers a row; a weight is one number"),
        (["high"] * 6, "column 'advantage' must hold vectors of numbers"),
    ],
)
def test_columns_that_are_no_weights_are_refused_before_anything_is_learnt(make, weights, message):
    with pytest.raises(InputError, match=message):
        make(weights)


def test_a_missing_column_is_named():
    with pytest.raises(InputError, match=r"have no columns .*'value'"):
        ActionChunks(datasets.Dataset.from_dict(robot_frames(WEIGHTS)), 2, weight="value")


def test_collators_pass_weights_on_and_refuse_what_is_none(family, family_checkpoint, family_examples):
    config, processor = (getattr(family, kind).from_pretrained(family_checkpoint) for kind in ("config", "processor"))
    collator = vlahub.data.collator_for(config, processor, unnorm_key=family.unnorm_key)
    examples = [example | {"sample_weight": weight} for example, weight in zip(family_examples, (3, 0.5), strict=True)]
    batch = collator(examples)
    assert batch["sample_weight"].dtype == torch.float32 and batch["sample_weight"].tolist() == [3.0, 0.5]
    assert "sample_weight" not in collator(family_examples)
    with pytest.raises(InputError, match=r"examples\[1\] has no 'sample_weight'"):
        collator([examples[0], family_examples[1]])
    for weight, message in ((-1.0, r"examples\[0\]\['sample_weight'\] is -1; 0 to inf"), (float("nan"), "not finite")):
        with pytest.raises(InputError, match=message):
            collator([examples[0] | {"sample_weight": weight}, examples[1]])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cogvla", "alpamayo_r1"])
def test_the_script_learns_by_a_column_of_weights(name, tmp_path, monkeypatch):
    """The batches of its Trainer have the column's numbers."""
    monkeypatch.syspath_prepend(EXAMPLES)
    import finetune
    from tiny_dataset import write_dataset
    from tiny_driving_dataset import write_driving_dataset

    from vlahub.data import load_frames

    write = write_driving_dataset if name == "alpamayo_r1" else write_dataset
    write(folder := tmp_path / "data", episodes=2, **({} if name == "alpamayo_r1" else {"frames": 2}))
    frames = load_frames(folder)
    weights = [float(index == 0) for index in frames["episode_index"]]
    frames.add_column("advantage", weights).save_to_disk(tmp_path / "weighted")
    options = ["--model", name, "--output_dir", str(tmp_path / "run"), "--max_steps", "1", "--use_cpu=True"]
    options += ["--logging_steps=1", "--disable_tqdm=True", "--per_device_train_batch_size=200", "--save_strategy=no"]
    trainer = finetune.main([*options, "--dataset", str(tmp_path / "weighted"), "--weight_column", "advantage"])
    assert next(entry["loss"] for entry in trainer.state.log_history if "loss" in entry) > 0
    assert set(trainer.data_collator(list(trainer.train_dataset))["sample_weight"].tolist()) == {0.0, 1.0}
