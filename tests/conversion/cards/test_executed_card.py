"""`vlahub card`: what was executed stands in the card, and what somebody wrote in it stays."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import save_file

from vlahub import CogVLAConfig
from vlahub.configuration.card_example import PLACE, SEEN_BLOCK, block
from vlahub.configuration.checkpoint_card import CARD_NAME, is_of, is_unedited, write_checkpoint_card
from vlahub.conversion.cards import executed_card
from vlahub.conversion.cli import main
from vlahub.conversion.plots.picture_file import PREDICTION_MARK, is_marked
from vlahub.conversion.publishing.push_checkpoint import loadable_weights
from vlahub.conversion.publishing.uploaded_files import files_to_upload
from vlahub.errors import ConversionError

FORMER_CARD = Path(__file__).parents[2] / "golden" / "cogvla_card_0.1.md"
NUMBERS = "(1, 8, 7)\ntensor([[1., 2.]])\n"
OWN = "\n## My robot\n\nIt stands in the kitchen, `a|b`.\n"
RAMP = Image.linear_gradient("L")


@pytest.fixture
def checkpoint(merged, tmp_path):
    """A copy of the CogVLA checkpoint, to be changed."""
    return shutil.copytree(merged, tmp_path / "my-vla")


@pytest.fixture
def card(checkpoint, monkeypatch):
    """`card(*options) -> exit code` of `vlahub card`, whose example prints `card.printed` without being run."""

    class Card:
        printed, code, folder = NUMBERS, "", checkpoint

        def __call__(self, *options):
            return main(["card", str(checkpoint), "--no-picture", *map(str, options)])

        @property
        def text(self):
            return (checkpoint / CARD_NAME).read_text()

        def write(self, text):
            (checkpoint / CARD_NAME).write_text(text)

    found = Card()

    def pretended(code, *_):
        found.code = code
        return found.printed

    monkeypatch.setattr(executed_card, "run_example", pretended)
    return found


def blocks(text):
    """The texts of the blocks of code and output of a card."""
    return re.findall(r"^```(?:python|text)\n(.*?)^```$", text, re.M | re.S)


# Executed


def predicted(family, folder):
    """What the example has to print, asked of the model here."""
    model, processor = family.model.from_pretrained(folder, dtype="auto"), family.processor.from_pretrained(folder)
    views = [RAMP.convert("RGB"), RAMP.rotate(90).convert("RGB")][: model.config.num_images_in_input or 1]
    if family.unnorm_key is None:
        xyz = np.stack([np.linspace(-15, 0, 16), np.zeros(16), np.zeros(16)], axis=-1)
        eye = np.tile(np.eye(3), (16, 1, 1))
        inputs = processor(images=[[view] for view in views], ego_history_xyz=xyz, ego_history_rot=eye)
        torch.manual_seed(0)
        output = model.sample_trajectories(**inputs, num_traj_samples=1)
        return f"(1, 1, 1, 64, 3)\n{output.pred_xyz[0, 0, 0, 63]}\n{output.reasoning[0][0][0]}\n"
    inputs = processor(images=views, text="pick up the bowl", state=[0.0] * 8)
    torch.manual_seed(0)
    return f"(1, 8, 7)\n{model.predict_action(**inputs)[0, :3]}\n"


DRAWN = [pytest.param(name, True, marks=[pytest.mark.slow, pytest.mark.long]) for name in FAMILIES]


@pytest.mark.parametrize("family,drawn", [("multimodal_vla", False), *DRAWN], indirect=["family"])
def test_what_the_example_printed_is_the_prediction_and_the_picture_shows_it(
    family, drawn, family_checkpoint, tmp_path
):
    if drawn:
        pytest.importorskip("matplotlib")
    folder = shutil.copytree(family_checkpoint, tmp_path / "my-vla")
    config, before = family.config.from_pretrained(folder), ModelCard.load(folder / CARD_NAME).data.to_dict()
    numbers = torch.get_rng_state()
    assert main(["card", str(folder), "--picture" if drawn else "--no-picture", "--quiet"]) == 0
    assert torch.equal(torch.get_rng_state(), numbers)
    text = (folder / CARD_NAME).read_text()
    code, output = blocks(text)[:2]
    assert output.split() == predicted(family, folder).split() and "linear_gradient" in code
    assert f"transformers {executed_card.version('transformers')}" in text and "on a CPU" in text
    assert is_unedited(text) and is_of(text, config) and ModelCard(text).data.to_dict() == before
    picture = folder / "prediction.png"
    assert ("](prediction.png)" in text) == (picture.is_file() and is_marked(picture, PREDICTION_MARK)) == drawn
    assert (picture in files_to_upload(folder, loadable_weights(folder), allow_code=False)[0]) == drawn
    if (folder / "conversion_report.json").is_file():
        assert main(["verify", str(folder), "--quiet"]) == 0


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("family", ["alpamayo_r1", "multimodal_vla"], indirect=True)
def test_views_by_name_are_asked_about_in_the_order_of_the_model(family, family_checkpoint, tmp_path):
    """With images that lie in the repository then, from which the example reads them."""
    folder, names = shutil.copytree(family_checkpoint, tmp_path / "my-vla"), ['front "wide"', "left|x"]
    model, processor = family.model.from_pretrained(folder), family.processor.from_pretrained(folder)
    model.config.view_names = processor.view_names = names
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "conversion_report.json").unlink(missing_ok=True)
    Image.radial_gradient("L").save(tmp_path / "front.png")
    RAMP.save(tmp_path / "left.png")
    images = [f"{names[1]}={tmp_path / 'left.png'}", f"{names[0]}={tmp_path / 'front.png'}"]
    assert main(["card", str(folder), "--images", *images, "--keep-images", "--text", "turn left"]) == 0
    code, output = blocks((folder / CARD_NAME).read_text())[:2]
    views = [np.asarray(Image.open(folder / f"example_view_{i}.png"))[..., 0] for i in range(2)]
    assert np.array_equal(views[0], np.asarray(Image.radial_gradient("L"))) and np.array_equal(views[1], RAMP)
    assert code.index("front") < code.index("left|x") and re.search(r"\d", output)
    assert (folder / "prediction.png").is_file() and 'text="turn left"' in code


def test_the_example_names_the_images_the_text_and_the_state_that_were_given(card, tmp_path):
    names = ['it\'s `a` "b".png', "ö.png"]
    for name in names:
        RAMP.save(tmp_path / name)
    given = ["--images", *(tmp_path / name for name in names), "--text", 'say "hi"\n```', "--state", *range(8)]
    assert card(*given) == 0
    for name in names:
        assert f"Image.open({json.dumps(name, ensure_ascii=False)})" in card.code
    assert "state=[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]" in card.code
    assert "text='say \"hi\"\\n```'," in card.code
    compile(card.code, "code", "exec")
    assert card.code in card.text and "which are not in this repository" in card.text
    assert not list(card.folder.glob("*.png"))


def test_images_are_kept_when_it_is_asked_for_without_what_a_camera_noted(card, tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 3, "at home"
    RAMP.save(tmp_path / "a.jpg", exif=exif)
    RAMP.save(tmp_path / "b.png")
    images = ["--images", tmp_path / "a.jpg", tmp_path / "b.png", "--keep-images"]
    for _ in range(2):  # also where they lie there already
        assert card(*images) == 0
    kept = Image.open(card.folder / "example_view_0.png")
    assert b"at home" not in (card.folder / "example_view_0.png").read_bytes()
    upside_down = np.asarray(Image.open(tmp_path / "a.jpg").rotate(180).convert("RGB"))
    assert np.array_equal(np.asarray(kept), upside_down)
    assert 'Image.open(cached_file(repository, "example_view_1.png"))' in card.text
    assert main(["verify", str(card.folder), "--quiet"]) == 0
    assert card() == 0 and not list(card.folder.glob("*.png"))
    assert main(["verify", str(card.folder), "--quiet"]) == 0


def test_without_a_run_the_card_has_the_code_alone(card):
    first = card.text
    assert card() == 0 and NUMBERS in card.text
    assert card("--no-run") == 0 and card.text == first


def test_the_same_again_is_the_same_file(card):
    assert card() == 0
    once = card.text
    assert card() == 0 and card.text == once


# Whose text it is


def test_what_somebody_wrote_into_the_card_stays(card):
    card.write(card.text.replace("tags:", "license: mit\ntags:", 1) + OWN)
    before = card.text
    assert card() == 0
    assert OWN in card.text and ModelCard(card.text).data.license == "mit" and NUMBERS in card.text
    assert not is_unedited(card.text)
    assert card("--no-run") == 0 and card.text == before


@pytest.mark.parametrize("word", ["predict_action(**inputs", "tensor([[1."])
def test_what_somebody_wrote_into_the_example_is_not_overwritten(word, card, snapshot, assert_refused, capsys):
    assert card() == 0
    card.write(card.text.replace(word, f"\nMINE {word}", 1))
    before = snapshot(card.folder)
    capsys.readouterr()
    assert_refused(card(), capsys, r"somebody wrote in what vlahub card renews")
    assert snapshot(card.folder) == before


def test_a_card_of_somebodys_own_is_left_alone_unless_it_has_a_place_for_the_example(
    card, snapshot, assert_refused, capsys
):
    card.write("# Mine\n\nNothing else.\n")
    before = snapshot(card.folder)
    assert_refused(card(), capsys, f"put a line {PLACE} where the example is to stand")
    assert snapshot(card.folder) == before
    card.write(f"# Mine\n\n{PLACE}\n\nNothing else.\n")
    assert card() == 0
    assert card.text.startswith("# Mine\n\n<!-- example;") and card.text.endswith("-->\n\nNothing else.\n")
    assert NUMBERS in card.text
    once = card.text
    assert card() == 0 and card.text == once


def test_a_card_of_an_earlier_release_becomes_one_of_today(card):
    """With the report, all of it; without one, what it says stays, and the example is put in its place."""
    report = card.folder / "conversion_report.json"
    card.write(FORMER_CARD.read_text())
    assert card() == 0
    assert NUMBERS in card.text and "Actions of `demo_tabletop`:" in card.text and is_unedited(card.text)
    assert "by vlahub from base `base` and run `run`" in card.text
    report.unlink()
    card.write(FORMER_CARD.read_text())
    assert card() == 0
    assert NUMBERS in card.text and "by vlahub from base `base` and run `run`" in card.text
    assert is_unedited(card.text) and len(blocks(card.text)) == 2


def test_a_report_without_licences_leaves_the_licence_as_the_card_has_it(card):
    path = card.folder / "conversion_report.json"
    report = json.loads(path.read_text())
    path.write_text(json.dumps({name: report[name] for name in report if name not in ("files", "licences", "command")}))
    former = FORMER_CARD.read_text().replace("library_name", "license: mit\nlibrary_name", 1)
    card.write(executed_card.stamped(former.replace("Not recorded where", "`mit`, not where")))
    assert card() == 0
    assert ModelCard(card.text).data.license == "mit" and "\n`mit`, not where" in card.text


def test_a_folder_without_a_card_gets_one(card):
    (card.folder / CARD_NAME).unlink()
    assert card() == 0
    assert is_unedited(card.text)
    assert NUMBERS in card.text and "by vlahub from base `base` and run `run`" in card.text


def test_a_card_that_was_downloaded_keeps_the_name_of_its_repository(card):
    card.write(card.text.replace('"user/name"', '"me/mine"'))
    assert card() == 0
    assert 'repository = "me/mine"' in card.code and card.code in card.text


def test_other_weights_take_what_was_seen_with_the_former_ones_out_of_any_card(card):
    assert card() == 0
    card.write(card.text + OWN)
    write_checkpoint_card(card.folder, CogVLAConfig.from_pretrained(card.folder))
    assert NUMBERS not in card.text and OWN in card.text and "predict_action" in card.text


# Names and outputs of anybody


def test_no_name_and_no_output_breaks_out_of_its_place(card):
    name = "x <!-- end of example --> ``` '''\n\"\"\" <b>"
    for file in ("config.json", "processor_config.json"):
        path = card.folder / file
        content = json.loads(path.read_text())
        content["norm_stats"] = {name: content["norm_stats"]["demo_tabletop"]}
        path.write_text(json.dumps(content))
    (card.folder / "conversion_report.json").unlink()
    card.printed = f"```\n<!-- end of {SEEN_BLOCK} -->\n{block(SEEN_BLOCK, 'x')}\n## A heading\n"
    assert card() == 0
    once = card.text
    compile(card.code, "code", "exec")
    assert card() == 0 and card.text == once and is_unedited(once)
    card.write(once + OWN)
    card.printed = NUMBERS
    assert card() == 0 and "A heading" not in card.text and OWN in card.text and NUMBERS in card.text


# What fails


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_the_folder_as_it_was(checkpoint, snapshot, tmp_path):
    before = snapshot(checkpoint)
    command = [sys.executable, "-m", "vlahub", "card", str(checkpoint)]
    with subprocess.Popen(command, env=os.environ | {"TMPDIR": str(tmp_path)}) as running:
        while not (children := Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()):
            time.sleep(0.1)
        os.kill(running.pid, signal.SIGKILL)
        os.kill(int(children[0]), signal.SIGKILL)
    assert running.returncode == -signal.SIGKILL and snapshot(checkpoint) == before


def test_an_example_that_fails_leaves_the_folder_as_it_was(card, monkeypatch, snapshot, assert_refused, capsys):
    def fails(*_):
        raise ConversionError("the card's example failed: no luck.")

    before = snapshot(card.folder)
    monkeypatch.setattr(executed_card, "run_example", fails)
    assert_refused(card(), capsys, "no luck")
    assert snapshot(card.folder) == before


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_files_that_cannot_be_written_leave_the_card_as_it_was(name, card, monkeypatch, snapshot, capsys):
    def fails(*_):
        raise OSError(28, "No space left on device")

    before = snapshot(card.folder)
    monkeypatch.setattr(os, name, fails)
    assert card() == 1 and "No space left" in capsys.readouterr().err
    assert snapshot(card.folder) == before


def test_a_card_that_was_changed_meanwhile_is_not_replaced(card, monkeypatch, assert_refused, capsys):
    def slow(*_):
        card.write("# Written meanwhile\n")
        return NUMBERS

    monkeypatch.setattr(executed_card, "run_example", slow)
    assert_refused(card(), capsys, "was changed while the example ran")
    assert card.text == "# Written meanwhile\n" and not list(card.folder.glob(".*"))


@pytest.mark.slow
def test_a_picture_that_shows_another_prediction_is_left_out(card, capsys):
    pytest.importorskip("matplotlib")
    assert card("--picture") == 0
    assert "the picture is left out" in capsys.readouterr().err
    assert not (card.folder / "prediction.png").exists() and "prediction.png" not in card.text


def test_weights_of_an_older_card_take_their_picture_with_them(card, capsys):
    (card.folder / "prediction.png").write_bytes(b"png " + PREDICTION_MARK.encode())
    files, left = files_to_upload(card.folder, loadable_weights(card.folder), allow_code=False)
    assert card.folder / "prediction.png" not in files and "does not show" in left[-1].reason
    capsys.readouterr()
    assert card() == 0 and not (card.folder / "prediction.png").exists()
    assert capsys.readouterr().out == f"wrote {card.folder / CARD_NAME}\n"
    assert card("--no-run") == 0
    assert capsys.readouterr().out == f"wrote {card.folder / CARD_NAME}; its example was not run\n"


REFUSED = {
    "a state of another length": (["--state", "1"], r"--state has 1 values, the state of this model 8"),
    "an unknown dataset": (["--unnorm-key", "x"], "choices: demo_tabletop"),
    "an empty text": (["--text", " "], "says nothing"),
    "images to keep": (["--keep-images"], "--keep-images: name the images"),
    "a picture of nothing": (["--no-run", "--picture"], "choose one"),
    "too few images": (["--images", "a.png"], "names 1 of the 2 views"),
    "views by other names": (["--images", "x=a.png", "y=a.png"], "give the files alone"),
    "no image": (["--images", "README.md", "a.png"], "README.md cannot be read as an image"),
}


@pytest.mark.parametrize("options,message", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_the_model_is_refused(options, message, card, monkeypatch, snapshot, assert_refused, capsys):
    before = snapshot(card.folder)
    monkeypatch.chdir(card.folder.parent)
    RAMP.save("a.png")
    Path("README.md").write_text("# no image\n")
    assert_refused(card(*options), capsys, message)
    assert snapshot(card.folder) == before and not card.code


def test_images_larger_than_a_card_takes_are_refused(card, tmp_path, assert_refused, capsys):
    noise = np.random.RandomState(0).randint(0, 255, (850, 850, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    assert_refused(card("--images", tmp_path / "a.png", tmp_path / "a.png", "--keep-images"), capsys, "at most")


def test_code_that_is_not_ours_is_not_run_unasked(card, assert_refused, capsys):
    with open(card.folder / "modeling_cogvla.py", "a") as file:
        file.write("print('hello')\n")
    (card.folder / "conversion_report.json").unlink()
    assert_refused(card(), capsys, r"not this release's \(modeling_cogvla.py\).*--allow-code")
    assert not card.code
    assert card("--allow-code") == 0 and card("--no-run") == 0


def test_code_that_transformers_runs_by_its_place_is_not_run_unasked(card, assert_refused, capsys):
    (card.folder / "custom_generate").mkdir()
    (card.folder / "custom_generate" / "generate.py").write_text("print('hello')\n")
    assert_refused(card(), capsys, r"not this release's \(custom_generate/generate\.py\).*--allow-code")
    assert not card.code and card("--no-run") == 0


PLACES = {
    "no folder": (lambda folder: folder / "nothing", "is no folder"),
    "a cache": (lambda folder: cache_with(folder), "lies in the cache of the Hub"),
    "a run": (lambda folder: run_in(folder), "an adapter"),
    "a card that is a link": (lambda folder: linked(folder), "is a link out of its folder"),
}


def cache_with(folder):
    place = folder.parent / "models--a--b" / "snapshots" / "0123"
    return shutil.copytree(folder, place)


def run_in(folder):
    (folder.parent / "run").mkdir()
    (folder.parent / "run" / "adapter_config.json").write_text("{}")
    save_file({"lora_A": torch.zeros(1)}, folder.parent / "run" / "adapter_model.safetensors")
    return folder.parent / "run"


def linked(folder):
    (folder / CARD_NAME).rename(folder.parent / "elsewhere.md")
    (folder / CARD_NAME).symlink_to(folder.parent / "elsewhere.md")
    return folder


@pytest.mark.parametrize("make,message", PLACES.values(), ids=PLACES)
def test_places_where_no_card_is_written(make, message, card, assert_refused, capsys):
    assert_refused(main(["card", str(make(card.folder))]), capsys, message)
    assert not card.code


def test_metadata_that_the_hub_cannot_read_are_refused_before_anything_runs(card, snapshot, assert_refused, capsys):
    card.write(f"---\ntags: [\n---\n\n# Mine\n\n{PLACE}\n")
    before = snapshot(card.folder)
    assert_refused(card(), capsys, "its metadata, between the first two lines ---, cannot be read")
    assert not card.code and snapshot(card.folder) == before


def test_weights_that_were_cut_off_are_refused_before_anything_runs(card, assert_refused, capsys):
    path = card.folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    assert_refused(card(), capsys, "model.safetensors")
    assert not card.code
