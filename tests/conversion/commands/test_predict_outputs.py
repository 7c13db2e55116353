"""What `vlahub predict` may write, and when it finds out; options that a model has no use for."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from families import make_llava3d
from PIL import Image

import vlahub
from vlahub.conversion import source_folder
from vlahub.conversion.alpamayo_r1 import driving_prediction, trajectory_plot
from vlahub.conversion.cli import main
from vlahub.conversion.commands import predict
from vlahub.conversion.predictions import checkpoint_loading, robot_prediction
from vlahub.conversion.predictions.prediction_plot import panels_of
from vlahub.conversion.predictions.robot_prediction import NO_STATE


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    for number in range(2):
        Image.new("RGB", (64, 48), (90, 120, 60)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def driver(tiny_alpamayo, tmp_path_factory):
    """A driving checkpoint, not to be changed."""
    folder = tmp_path_factory.mktemp("driver")
    tiny_alpamayo.TinyAlpamayo().write(folder)
    sources = [str(folder / "published"), str(folder / "out"), "--vlm", str(folder / "vlm")]
    assert main(["convert", *sources, "--quiet"]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.npz"
    xyz = np.stack([np.linspace(-7.5, 0, 16), np.zeros(16), np.zeros(16)], axis=-1).astype(np.float32)
    images = np.zeros((2, 2, 3, 60, 90), dtype=np.uint8)
    np.savez(path, images=images, ego_history_xyz=xyz, ego_history_rot=np.tile(np.eye(3, dtype=np.float32), (16, 1, 1)))
    return path


def robot(checkpoint, views, *more):
    return main(["predict", str(checkpoint), "--images", str(views), "--instruction", "lift it", *map(str, more)])


def drive(checkpoint, scene, *more):
    options = ["--num-traj-samples", "1", "--max-new-tokens", "2"]
    return main(["predict", str(checkpoint), "--history", str(scene), *options, *map(str, more)])


@pytest.fixture
def no_model(monkeypatch):
    """What is refused is refused before a model is loaded."""

    def load(*_):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(checkpoint_loading, "check_folder", load)


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "mine.txt"], "mine.txt exists and is no result of this command"),
        (["--output", "data/a.json"], "data/a.json is an input of this command"),
        (["--plot", "data/a.png"], "data/a.png is an input of this command"),
        (["--output", "a.png", "--plot", "data/../a.png"], "--output and --plot both name a.png"),
        (["--plot", "out.xyz"], "png"),
        (["--device", "warp"], "--device warp cannot be used"),
    ],
)
def test_what_cannot_be_is_said_before_a_checkpoint_is_looked_for(
    words, message, command, tmp_path, monkeypatch, capsys
):
    """A checkpoint may be a download of gigabytes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(source_folder, "source_folder", lambda *given, **named: pytest.fail("looked for"))
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.json").write_text('{"actions": [[0.0]]}')  # an earlier result, by what it holds
    (tmp_path / "data/a.png").write_bytes(b"\x89PNG")
    given = {"predict": ["--images", "data", "--instruction", "go"], "evaluate": ["--dataset", "data"]}
    assert main([command, "me/mine", *given[command], *words]) == 1
    assert message in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["data", "mine.txt"]
    assert sorted(os.listdir("data")) == ["a.json", "a.png"]


EXISTING = {
    "picture.png": b"\x89PNG something",
    "notes.txt": b"mine",
    "config.json": b'{"model_type": "x"}',
    "list.json": b"[1]",
    "statistics.json": b'{"a": {"action": {}}}',
    "broken.json": b"{",
    "empty.json": b"",
    "actions_and_more.json": b'{"actions": [[0]], "mine": 1}',
}


@pytest.mark.parametrize("name", EXISTING)
def test_a_file_that_is_no_prediction_is_not_replaced(name, merged, views, tmp_path, no_model, capsys):
    (tmp_path / name).write_bytes(EXISTING[name])
    assert robot(merged, views, "--output", tmp_path / name) == 1
    assert f"{name} exists and is no result of this command" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == EXISTING[name] and os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("kind", ["image", "config", "weights", "link to an image"])
def test_an_input_is_no_output(kind, merged, views, tmp_path, no_model, capsys):
    shutil.copytree(views, tmp_path / "views")
    image = tmp_path / "views" / "0.png"
    (tmp_path / "link.json").symlink_to(image)
    outputs = {"image": image, "config": merged / "config.json", "link to an image": tmp_path / "link.json"}
    output = outputs.get(kind, merged / "model.safetensors")
    before = output.read_bytes()
    assert robot(merged, tmp_path / "views", "--output", output) == 1
    assert "is an input of this command" in capsys.readouterr().err and output.read_bytes() == before


def test_a_scene_is_no_output(driver, scene, no_model, capsys):
    before = scene.read_bytes()
    assert drive(driver, scene, "--output", scene) == 1 and drive(driver, scene, "--plot", scene) == 1
    assert capsys.readouterr().err.count("is an input") == 2 and scene.read_bytes() == before


@pytest.mark.parametrize("option", ["--output", "--plot"])
def test_a_path_that_cannot_be_written_is_noticed_before_the_model_is_loaded(
    option, driver, scene, merged, views, tmp_path, no_model
):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("missing/out.png", "folder.png", "file/out.png", f"{'x' * 300}.png"):
        assert drive(driver, scene, option, tmp_path / name) == 1
        assert robot(merged, views, option, tmp_path / name) == 1
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]


def test_a_picture_in_a_format_that_there_is_none_of_is_noticed_before(
    driver, scene, merged, views, tmp_path, no_model, capsys
):
    for ask in (lambda *more: drive(driver, scene, *more), lambda *more: robot(merged, views, *more)):
        for name in ("out.xyz", "out"):
            assert ask("--plot", tmp_path / name) == 1
            assert "png" in capsys.readouterr().err and os.listdir(tmp_path) == []


def test_without_matplotlib_a_picture_is_refused_before_the_model_is_loaded(
    merged, views, tmp_path, no_model, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert robot(merged, views, "--plot", tmp_path / "out.png") == 1
    assert "pip install 'vlahub[plot]'" in capsys.readouterr().err and os.listdir(tmp_path) == []


def test_the_picture_of_a_robot_is_of_the_actions_that_are_printed(merged, views, tmp_path, capsys):
    plain, output, picture = tmp_path / "plain.json", tmp_path / "out.json", tmp_path / "out.png"
    assert robot(merged, views, "--output", plain) == 0
    table = capsys.readouterr().out
    for _ in range(2):  # a picture of ours is replaced
        assert robot(merged, views, "--output", output, "--plot", picture) == 0
        assert capsys.readouterr().out == table and output.read_text() == plain.read_text()
    assert predict.is_picture(picture) and Image.open(picture).width == 1200
    assert robot(merged, views, "--fast", "compile", "--plot", picture) == 0
    assert "--plot predicts eagerly" in capsys.readouterr().err
    Image.open(picture).convert("RGB").save(picture)
    assert robot(merged, views, "--plot", picture) == 1
    assert "no result of this command" in capsys.readouterr().err


def test_samples_of_a_robot_are_written_with_their_spread(diffusion, merged, views, tmp_path, capsys):
    assert diffusion.merge(tmp_path / "model", "--dtype", "float32") == 0
    capsys.readouterr()
    output, one = tmp_path / "out.json", views / "0.png"
    options = ["--num-samples", "3", "--output", output, "--plot", tmp_path / "out.png"]
    assert robot(tmp_path / "model", one, *options) == 0
    printed, found = capsys.readouterr().out, json.loads(output.read_text())
    assert "spread (standard deviation) of 3 samples" in printed
    samples = np.array(found["samples"])
    assert len(samples) == 3 and found["actions"] == found["samples"][0]
    np.testing.assert_allclose(found["spread"], samples.std(axis=0), atol=1e-5)
    assert robot(tmp_path / "model", one, "--output", output) == 0  # an earlier result, known again
    assert robot(merged, views, "--num-samples", "3") == 1
    assert "--num-samples 3: this model's action head predicts one chunk" in capsys.readouterr().err


def test_steps_are_those_of_the_prediction_and_of_its_path(diffusion, merged, views, tmp_path, monkeypatch, capsys):
    assert diffusion.merge(tmp_path / "model", "--dtype", "float32") == 0
    output, one, paths = tmp_path / "out.json", views / "0.png", []
    monkeypatch.setattr(robot_prediction, "plot_trace", lambda path, trace, *_: paths.append(trace.path))
    assert robot(tmp_path / "model", one, "--output", output, "--num-inference-steps", "2") == 0
    plain = output.read_text()
    options = ["--output", output, "--num-inference-steps", "2", "--plot", tmp_path / "out.png"]
    assert robot(tmp_path / "model", one, *options) == 0
    assert output.read_text() == plain and len(paths[0]) == 2 + 1
    capsys.readouterr()
    assert robot(merged, views, "--num-inference-steps", "3") == 1
    assert "--num-inference-steps 3: this model's action head takes a single one" in capsys.readouterr().err


@pytest.fixture(scope="module")
def flowing(tmp_path_factory):
    """A LLaVA-3D with a DiT head that can be guided, not to be changed."""
    fields = {"action_expert_type": "dit", "dit_config": {"condition_dropout": 0.1}}
    return make_llava3d(tmp_path_factory.mktemp("flowing") / "llava", **fields)


FLOW = {"ode_solver": "heun", "ode_spacing": "cosine", "guidance_scale": 2.5, "num_inference_steps": 3}


@pytest.mark.parametrize("name", [None, *(pytest.param(name, marks=pytest.mark.slow) for name in FLOW)])
def test_how_a_flow_is_followed_is_said_by_options_that_reach_prediction_and_picture(name, flowing, views, tmp_path,
                                                                                      monkeypatch):  # fmt: skip
    asked, drawn, plain = FLOW if name is None else {name: FLOW[name]}, [], robot_prediction.plot_trace
    monkeypatch.setattr(robot_prediction, "plot_trace", lambda *given: drawn.append(given) or plain(*given))
    options = [word for key, value in asked.items() for word in (f"--{key.replace('_', '-')}", value)]
    outputs = ["--output", tmp_path / "out.json", "--plot", tmp_path / "out.png"]
    assert robot(flowing, views, *options, *outputs) == 0
    _, trace, model, processor, what = drawn[0]
    torch.manual_seed(0)
    found = model.predict_action(**what.inputs, **asked)[0]
    assert json.loads((tmp_path / "out.json").read_text())["actions"] == found.tolist()
    torch.manual_seed(0)
    assert not torch.equal(model.predict_action(**what.inputs)[0], found)
    assert len(trace.path) == asked.get("num_inference_steps", model.config.num_inference_steps) + 1
    np.testing.assert_array_equal(trace.path[-1], found.numpy())
    note = next(panel.note for panel in panels_of(trace, model, processor, what) if "noise" in panel.note)
    wanted = ["heun"] * ("ode_solver" in asked) + ["cosine"] * ("ode_spacing" in asked)
    wanted += ["guidance 2.5"] * ("guidance_scale" in asked)
    assert all(word in note for word in wanted)


@pytest.fixture(scope="module")
def two_robots(flowing, tmp_path_factory):
    """The same with a second robot's statistics, not to be changed."""
    folder = tmp_path_factory.mktemp("two") / "llava"
    shutil.copytree(flowing, folder)
    for name in ("config.json", "processor_config.json"):
        content = json.loads((folder / name).read_text())
        [statistics] = content["norm_stats"].values()
        other = {part: {"q01": [-9.0] * len(s["q01"]), "q99": [3.0] * len(s["q01"])} for part, s in statistics.items()}
        (folder / name).write_text(json.dumps(content | {"norm_stats": {"a": statistics, "b": other}}))
    return folder


@pytest.mark.parametrize(("key", "state"), [("a", None), ("b", None), ("b", [0.5, -1, 0.25, 2, -2, 1, 0, -0.5])])
def test_statistics_and_state_that_are_given_are_those_of_the_prediction(key, state, two_robots, views, tmp_path):
    options = ["--unnorm-key", key, *(["--state", *state] if state else [])]
    assert robot(two_robots, views, *options, "--output", tmp_path / "out.json") == 0
    model = vlahub.MapAnythingLlava3DForConditionalGeneration.from_pretrained(two_robots)
    processor = vlahub.MapAnythingLlava3DProcessor.from_pretrained(two_robots)
    images = [Image.open(path) for path in sorted(views.iterdir())]
    inputs = processor(images=images, text="lift it", state=state or [0.0] * 8, unnorm_key=key)
    torch.manual_seed(0)
    found = json.loads((tmp_path / "out.json").read_text())["actions"]
    np.testing.assert_allclose(found, model.predict_action(**inputs, unnorm_key=key)[0].numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_a_state_far_outside_of_the_statistics_is_a_note_and_no_warning(quiet, flowing, views, capsys):
    assert robot(flowing, views, "--state", "1e30", *["0"] * 7, *quiet) == 0
    assert "vlahub: the state lies far outside" in (said := capsys.readouterr().err) and "state[0] is 1e+30" in said
    assert said.count("\n") == 1 or not quiet


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        (["--ode-solver", "heun"], "--ode-solver heun: this model's action head follows no flow"),
        (["--ode-spacing", "cosine"], "--ode-spacing cosine: this model's action head follows no flow"),
        (["--guidance-scale", "2"], "--guidance-scale 2.0: this model has no DiT head that was trained with"),
    ],
)
def test_a_head_that_follows_no_flow_refuses_how_to(option, answer, merged, views, capsys):
    assert robot(merged, views, *option) == 1
    assert answer in capsys.readouterr().err


def test_sets_of_trajectories_are_printed_written_and_drawn(driver, scene, tmp_path, monkeypatch, capsys):
    known = dict(np.load(scene))
    future = np.stack([np.linspace(0.5, 32, 64), *[np.zeros(64)] * 2], axis=-1)
    np.savez(tmp_path / "scene.npz", **known, ego_future_xyz=future)
    drawn, titles, plain = [], [], driving_prediction.plot_trajectories
    monkeypatch.setattr(
        driving_prediction,
        "plot_trajectories",
        lambda *given, **more: drawn.append(given[2]) or titles.append(more["title"]) or plain(*given, **more),
    )
    monkeypatch.chdir(driver)
    output, options = tmp_path / "out.json", ["--num-traj-sets", "2", "--num-inference-steps", "2"]
    options += ["--num-traj-samples", "3", "--output", output, "--plot", tmp_path / "out.png"]
    for _ in range(2):  # an earlier result, known again
        assert drive(".", tmp_path / "scene.npz", *options) == 0
    assert titles == [f"Trajectories that {driver.name} predicts for scene.npz"] * 2
    printed, found = capsys.readouterr().out, json.loads(output.read_text())
    assert "reasoning (set 2):" in printed and "best of 3 samples over" in printed and "mean of 2 sets" in printed
    assert drawn[0].shape[:2] == (2, 3)
    np.testing.assert_allclose([one["pred_xyz"] for one in found["sets"]], drawn[0].numpy(), atol=1e-6)
    assert {name: found[name] for name in found["sets"][0]} == found["sets"][0]
    errors = np.linalg.norm(drawn[0].numpy()[..., :2] - future[: drawn[0].shape[2], :2], axis=-1)
    assert found["minADE"] == pytest.approx(errors.mean(axis=-1).min(axis=1).mean(), rel=1e-5)


def test_an_output_inside_of_the_checkpoint_is_told_of(merged, views, tmp_path, capsys):
    shutil.copytree(merged, tmp_path / "model")
    output = tmp_path / "model" / "out.json"
    assert robot(tmp_path / "model", views, "--output", output) == 0
    assert f"note: {output} lies inside of {tmp_path / 'model'}, which is read" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "model"), "--quiet"]) == 1
    assert "additional: out.json" in capsys.readouterr().err
    given = ["--quiet", "--state", *[0] * 8]
    assert robot(tmp_path / "model", views, "--output", output.with_name("more.json"), *given) == 0
    assert capsys.readouterr().err == ""


def test_output_and_plot_are_two_files(driver, scene, tmp_path, no_model, capsys):
    assert drive(driver, scene, "--plot", tmp_path / "a.png", "--output", tmp_path / "x" / ".." / "a.png") == 1
    assert "both name" in capsys.readouterr().err


def test_an_earlier_prediction_is_replaced_and_one_that_fails_leaves_it(merged, views, tmp_path, monkeypatch):
    output = tmp_path / "out.json"
    assert robot(merged, views, "--output", output) == 0
    first = output.read_text()
    monkeypatch.setattr(checkpoint_loading, "check_folder", lambda *_: 1 / 0)
    assert robot(merged, views, "--output", output) == 1
    assert output.read_text() == first and os.listdir(tmp_path) == ["out.json"]
    monkeypatch.undo()
    output.write_text(json.dumps({"actions": [[0.0]]}))
    assert robot(merged, views, "--output", output) == 0
    assert output.read_text() == first and os.listdir(tmp_path) == ["out.json"]


def test_pictures_of_ours_are_replaced_and_others_are_not(driver, scene, tmp_path, capsys):
    picture, output = tmp_path / "out.png", tmp_path / "out.json"
    for _ in range(2):
        assert drive(driver, scene, "--plot", picture, "--output", output) == 0
    assert trajectory_plot.is_plot(picture) and predict.is_prediction(output)
    Image.open(picture).convert("RGB").save(picture)
    before = picture.read_bytes()
    assert drive(driver, scene, "--plot", picture) == 1
    assert "no result of this command" in capsys.readouterr().err and picture.read_bytes() == before


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".jpg"])
def test_a_picture_is_known_again_where_its_format_has_a_place_for_that(suffix, tmp_path):
    path = tmp_path / f"out{suffix}"
    trajectory_plot.plot_trajectories(path, [[np.zeros((3, 8, 8), np.uint8)]], np.zeros((2, 3)), "text")
    assert trajectory_plot.is_plot(path) == (suffix != ".jpg")


ROBOT_HAS_NO_USE = [
    ["--history", "x.npz"], ["--num-traj-sets", "2"], ["--num-traj-samples", "2"], ["--top-p", "0.5"], ["--top-k", "1"],
    ["--temperature", "0.1"], ["--max-new-tokens", "3"], ["--nav", "left"], ["--question", "why?"],
    ["--guidance-weight", "1.5"], ["--noise-temperature", "0.6"], ["--camera-indices", "1"],
]  # fmt: skip


@pytest.mark.parametrize("option", ROBOT_HAS_NO_USE, ids=lambda option: option[0])
def test_a_robot_refuses_options_of_driving(option, merged, views, tmp_path, monkeypatch, no_model, capsys):
    monkeypatch.chdir(tmp_path)
    assert robot(merged, views, *option) == 1
    error = capsys.readouterr().err
    assert option[0] in error and "no use" in error and os.listdir(tmp_path) == []
    assert main(["predict", str(merged), *option]) == 1  # and that is said first, not what is missing
    assert option[0] in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--instruction", "go"], ["--state", "0", "1"], ["--unnorm-key", "k"]], ids=str)
def test_a_driving_model_refuses_options_of_robots(option, driver, scene, no_model, capsys):
    assert drive(driver, scene, *option) == 1
    assert option[0] in capsys.readouterr().err


def test_a_state_for_a_model_without_one_is_refused(openvla, views, tmp_path, capsys):
    assert openvla.merge(tmp_path / "out", "--decoding", "autoregressive", "--dtype", "float32") == 0
    assert robot(tmp_path / "out", views / "0.png", "--state", "0", "1") == 1
    assert "--state" in capsys.readouterr().err


def test_a_seed_is_for_every_family(merged, views):
    assert robot(merged, views, "--seed", "3") == 0


# Statistics


@pytest.mark.parametrize("name", ["picture.png", "config.json", "stats.json", "picture.json"])
def test_statistics_replace_nothing_else_even_when_asked_to(name, tmp_path, capsys):
    contents = {"config.json": b'{"model_type": "x"}', "stats.json": b'{"action": {"mean": [0]}, "state": {}}'}
    content = contents.get(name, b"\x89PNG")
    (tmp_path / name).write_bytes(content)
    (tmp_path / "data").mkdir()
    assert main(["stats", str(tmp_path / "data"), "--output", str(tmp_path / name), "--overwrite"]) == 1
    assert "no result of this command" in capsys.readouterr().err and (tmp_path / name).read_bytes() == content


def test_statistics_are_not_written_into_their_dataset(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.json").write_text("{}")
    assert main(["stats", str(tmp_path / "data"), "--output", str(tmp_path / "data" / "a.json"), "--overwrite"]) == 1
    assert "is an input" in capsys.readouterr().err and (tmp_path / "data" / "a.json").read_text() == "{}"


@pytest.mark.parametrize("option", [["--fast"], ["--fast", "graphs"]])
def test_fast_graphs_on_a_cpu_say_that_they_have_no_effect(option, merged, views, driver, scene, tmp_path, capsys):
    outputs = [tmp_path / f"{name}.json" for name in ("plain", "fast", "drive", "fast drive")]
    assert robot(merged, views, "--output", outputs[0]) == drive(driver, scene, "--output", outputs[2]) == 0
    capsys.readouterr()
    assert robot(merged, views, "--output", outputs[1], *option) == 0
    assert "--fast graphs has no effect on cpu" in capsys.readouterr().err
    assert drive(driver, scene, "--output", outputs[3], *option) == 0
    capsys.readouterr()
    assert robot(merged, views, "--output", outputs[1], *option, "--quiet") == 0
    assert "has no effect" not in capsys.readouterr().err
    plain, fast = (np.array(json.loads(each.read_text())["actions"]) for each in outputs[:2])
    np.testing.assert_allclose(fast, plain, atol=1e-5)
    assert json.loads(outputs[3].read_text()).keys() == json.loads(outputs[2].read_text()).keys()


def test_an_unknown_way_to_be_fast_is_refused(merged, views, no_model, capsys):
    with pytest.raises(SystemExit, match="2"):
        robot(merged, views, "--fast", "quickly")
    assert "invalid choice: 'quickly'" in capsys.readouterr().err


def test_a_quiet_prediction_is_json_alone_and_with_an_output_nothing(merged, views, tmp_path, capsys):
    capsys.readouterr()
    given = ["--quiet", "--state", *[0] * 8]
    assert robot(merged, views, *given) == 0
    printed = capsys.readouterr()
    assert robot(merged, views, *given, "--output", tmp_path / "out.json") == 0
    assert json.loads(printed.out) == json.loads((tmp_path / "out.json").read_text())
    assert printed.err == "" and capsys.readouterr() == ("", "")


def test_the_picture_that_a_card_shows_is_left_to_the_card(merged, views, tmp_path, no_model, capsys):
    picture = tmp_path / "prediction.png"
    Image.new("RGB", (8, 8)).save(picture)
    picture.write_bytes(picture.read_bytes() + b"vlahub predict")
    assert predict.is_picture(picture)
    (tmp_path / "README.md").write_text("![what it predicts](prediction.png)")
    assert robot(merged, views, "--plot", picture) == 1
    assert "prediction.png is the picture that" in (error := capsys.readouterr().err) and "name another file" in error


def test_a_state_that_is_not_given_is_told(merged, views, capsys):
    assert robot(merged, views) == 0
    assert "--state was not given: zeros stand for its 8 values" in capsys.readouterr().err
    assert robot(merged, views, "--quiet") == 0
    first = capsys.readouterr()
    assert first.err.splitlines() == [f"vlahub: {NO_STATE.format(size=8)}"]
    assert robot(merged, views, "--quiet", "--state", *[0] * 8) == 0
    assert capsys.readouterr() == (first.out, "")
