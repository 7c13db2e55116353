"""Whose encoders and decoders an example is for: from a dataset's column over the processor to the model."""

import json

import datasets
import numpy as np
import pytest
import torch
from families import make_llava3d
from PIL import Image

import vlahub
from vlahub.conversion.cli import main
from vlahub.data import ActionChunks, collator_for
from vlahub.errors import InputError


@pytest.fixture(scope="module")
def robots(tmp_path_factory):
    """Config, processor and a model of three embodiments."""
    folder = make_llava3d(tmp_path_factory.mktemp("robots"))
    config = vlahub.MapAnythingLlava3DConfig.from_pretrained(folder)
    fields = config.to_dict() | {"num_embodiments": 3}
    fields["dit_config"] |= {"num_embodiments": 3}
    config = vlahub.MapAnythingLlava3DConfig.from_dict(fields)
    torch.manual_seed(0)
    model = vlahub.MapAnythingLlava3DForConditionalGeneration(config).eval()
    return config, vlahub.MapAnythingLlava3DProcessor.from_pretrained(folder), model


def frames_of(ids):
    return datasets.Dataset.from_dict(
        {
            "top": [Image.new("RGB", (30, 30)) for _ in ids],
            "episode_index": [0] * len(ids),
            "action": np.random.RandomState(0).randn(len(ids), 7).tolist(),
            "observation.state": np.zeros((len(ids), 8)).tolist(),
            "task": ["Put the red block on the tray"] * len(ids),
            "robot": ids,
            "quality": ["positive", None, "negative"][: len(ids)],
        }
    )


def test_a_column_of_ids_reaches_the_loss_and_the_predictions(robots):
    config, processor, model = robots
    frames = frames_of([2, 0, 1])
    chunks = ActionChunks(frames, 8, state="observation.state", embodiment="robot", advantage="quality")
    examples = list(chunks)
    assert [example["embodiment_id"] for example in examples] == [2, 0, 1]
    assert [example.get("advantage") for example in examples] == ["positive", None, "negative"]
    collator = collator_for(config, processor)
    batch = collator(examples)
    assert batch["embodiment_id"].dtype == torch.int64 and batch["embodiment_id"].tolist() == [2, 0, 1]
    assert model(**batch).loss.isfinite()
    assert collator.prediction_errors(model, examples, torch.device("cpu")).isfinite().all()
    always = ActionChunks(frames, 8, state="observation.state", embodiment=1)
    assert always[0]["embodiment_id"] == always[2]["embodiment_id"] == 1


def test_ids_that_there_are_not_are_refused(robots):
    config, processor, _ = robots
    collator = collator_for(config, processor)
    example = ActionChunks(frames_of([0, 1, 2]), 8, state="observation.state")[0]
    with pytest.raises(InputError, match=r"examples\[0\] has no 'embodiment_id'"):
        collator([example])
    for wrong, message in (
        (3, r"examples\[0\]\['embodiment_id'\] is 3; 0 to 2"),
        (-1, "is -1"),
        (0.5, "whole numbers"),
    ):
        with pytest.raises(InputError, match=message):
            collator([example | {"embodiment_id": wrong}])


def test_a_processor_passes_ids_on_for_all_or_for_each(robots):
    processor, view = robots[1], np.zeros((30, 30, 3), np.uint8)
    call = {"images": [[view], [view]], "text": ["go", "go"], "state": np.zeros((2, 8))}
    for given, wanted in ((2, [2, 2]), ([0, 1], [0, 1]), (torch.tensor([1, 1]), [1, 1])):
        assert processor(**call, embodiment_id=given)["embodiment_id"].tolist() == wanted
    assert "embodiment_id" not in processor(**call)
    for wrong in (0.5, [0], "left", [0, 1, 2], True):
        with pytest.raises(InputError, match=r"embodiment_id is .*; a whole number, or 2 of them"):
            processor(**call, embodiment_id=wrong)


def test_the_command_line_says_whose_and_how_good(robots, tmp_path, capsys):
    _, processor, model = robots
    for part in (model, processor):
        part.save_pretrained(tmp_path / "robots")
    Image.new("RGB", (30, 30), (9, 90, 200)).save(tmp_path / "view.png")
    out = tmp_path / "out.json"
    command = ["predict", str(tmp_path / "robots"), "--images", str(tmp_path / "view.png"), "--instruction", "red tray"]

    def predicted(*options):
        assert main([*command, *options, "--output", str(out)]) == 0
        return json.loads(out.read_text())["actions"]

    found = {index: predicted("--embodiment-id", str(index)) for index in range(3)}
    assert found[0] != found[1] != found[2] != found[0]
    assert predicted("--embodiment-id", "1", "--advantage", "block") != found[1]
    for options, message in (
        ([], "embodiment_id is missing: this model has 3 embodiments"),
        (["--embodiment-id", "3"], "embodiment_id[0] is 3; the model has embodiments 0 to 2"),
        (["--embodiment-id", "-1"], "embodiment_id[0] is -1"),
    ):
        assert main([*command, *options]) == 1
        assert message in capsys.readouterr().err
