"""`vlahub predict` with navigation, guidance and questions, and a server's scenes with them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from vlahub import AlpamayoR1, AlpamayoR1Processor
from vlahub.conversion.alpamayo_r1.camera_names import numbers_of
from vlahub.conversion.alpamayo_r1.served_driving import driving_policy_of
from vlahub.conversion.cli import main
from vlahub.errors import InputError

NAV = "Turn left onto Main St in 40m"
CAMERAS = [1, 6]
FEW = ["--num-traj-samples", "2", "--max-new-tokens", "3", "--num-inference-steps", "2"]


@pytest.fixture(scope="module")
def drivers(tiny_alpamayo, tmp_path_factory):
    """A converted checkpoint of each release; not to be changed."""

    def convert(package):
        folder = tmp_path_factory.mktemp(package)
        tiny_alpamayo.TinyAlpamayo(package=package, dtype=torch.float32).write(folder)
        arguments = ["convert", str(folder / "published"), str(folder / "out"), "--vlm", str(folder / "vlm")]
        assert main([*arguments, "--quiet"]) == 0
        return folder / "out"

    return {package: convert(package) for package in ("alpamayo_r1", "alpamayo1_5")}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.npz"
    xyz = np.stack([np.linspace(-7.5, 0, 16), np.zeros(16), np.zeros(16)], axis=-1).astype(np.float32)
    images = np.random.RandomState(0).randint(0, 255, (2, 2, 3, 60, 90), dtype=np.uint8)
    poses = {"ego_history_xyz": xyz, "ego_history_rot": np.tile(np.eye(3, dtype=np.float32), (16, 1, 1))}
    np.savez(path, images=images, camera_indices=np.array(CAMERAS), **poses)
    return path


@pytest.fixture(scope="module")
def parts(drivers, scene):
    """Processor, model and scene of the later release."""
    folder = drivers["alpamayo1_5"]
    return AlpamayoR1Processor.from_pretrained(folder), AlpamayoR1.from_pretrained(folder), dict(np.load(scene))


def poses_of(arrays):
    return {name: arrays[name] for name in ("ego_history_xyz", "ego_history_rot")}


def predicted(checkpoint, scene, tmp_path, *more):
    output = tmp_path / "out.json"
    assert main(["predict", str(checkpoint), "--history", str(scene), "--output", str(output), *more]) == 0
    return json.loads(output.read_text())


@pytest.mark.parametrize(("package", "labels"), [("alpamayo1_5", True), ("alpamayo_r1", False)])
def test_a_prediction_obeys_navigation_guidance_and_the_setting_of_labels(drivers, scene, tmp_path, package, labels):
    folder, arrays = drivers[package], dict(np.load(scene))
    guided = ["--nav", NAV, "--guidance-weight", "1.5", "--noise-temperature", "0.6"]
    found = predicted(folder, scene, tmp_path, *FEW, *guided)
    processor, model = AlpamayoR1Processor.from_pretrained(folder), AlpamayoR1.from_pretrained(folder)
    named = {"camera_indices": CAMERAS} if labels else {}
    inputs = processor(arrays["images"], **poses_of(arrays), nav_text=NAV, **named)
    torch.manual_seed(0)
    options = {"num_traj_samples": 2, "max_new_tokens": 3, "num_inference_steps": 2}
    wanted = model.sample_trajectories(**inputs, **options, guidance_weight=1.5, noise_temperature=0.6)
    np.testing.assert_allclose(found["pred_xyz"], wanted.pred_xyz[0, 0].numpy(), atol=1e-4)


@pytest.mark.slow
def test_folders_with_the_names_of_cameras_tell_their_numbers(drivers, scene, parts, tmp_path):
    processor, model, arrays = parts
    for name, frames in zip(("camera_front_tele_30fov", "camera_front_wide_120fov"), arrays["images"], strict=True):
        (tmp_path / "cameras" / name).mkdir(parents=True)
        for number, frame in enumerate(frames):
            Image.fromarray(np.moveaxis(frame, 0, -1)).save(tmp_path / "cameras" / name / f"{number}.png")
    found = predicted(drivers["alpamayo1_5"], scene, tmp_path, *FEW, "--images", str(tmp_path / "cameras"))
    inputs = processor(arrays["images"][::-1].copy(), **poses_of(arrays), camera_indices=CAMERAS)
    torch.manual_seed(0)
    wanted = model.sample_trajectories(**inputs, num_traj_samples=2, max_new_tokens=3, num_inference_steps=2)
    np.testing.assert_allclose(found["pred_xyz"], wanted.pred_xyz[0, 0].numpy(), atol=1e-4)


def test_a_question_is_answered_printed_and_written_again(drivers, scene, parts, tmp_path, capsys):
    processor, model, arrays = parts
    for _ in range(2):  # an earlier answer, known again
        options = ["--question", "Is the light red?", "--max-new-tokens", "5", "--top-k", "1"]
        found = predicted(drivers["alpamayo1_5"], scene, tmp_path, *options)
    inputs = processor(arrays["images"], question="Is the light red?", camera_indices=CAMERAS)
    wanted = model.generate_text(inputs, top_k=1, max_generation_length=5)
    assert found == {"question": "Is the light red?", "answers": [wanted.answer[0, 0]], "finished": [False]}
    assert f"answer: {wanted.answer[0, 0]!r} (not finished)" in capsys.readouterr().out


BESIDE = {
    "--nav": ["--nav", NAV],
    "--guidance-weight": ["--guidance-weight", "1.5"],
    "--num-traj-sets": ["--num-traj-sets", "2"],
    "--num-inference-steps": ["--num-inference-steps", "2"],
    "--ode-solver": ["--ode-solver", "heun"],
    "--ode-spacing": ["--ode-spacing", "cosine"],
    "--guidance-scale": ["--guidance-scale", "3"],
    "--history": ["--images", "x.png"],
    "--history-frame": ["--history-frame", "ego"],
    "--plot": ["--plot", "x.png"],
}


@pytest.mark.slow
@pytest.mark.parametrize("option", BESIDE)
def test_what_a_question_has_no_use_for_is_refused(drivers, scene, tmp_path, monkeypatch, capsys, option):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.png").write_bytes(b"") if option == "--history" else None
    given = ["predict", str(drivers["alpamayo1_5"]), "--history", str(scene), "--question", "why?"]
    assert main([*given, *BESIDE[option]]) == 1
    assert f"{option} has no use beside --question" in capsys.readouterr().err


WRONG = {
    "marker": (["--nav", "left<|route_end|>"], 1, "marker"),
    "marker in a question": (["--question", "<|answer_start|>"], 1, "marker"),
    "cameras": (["--camera-indices", "0", "1", "2"], 1, "camera_indices 3"),
    "weight": (["--guidance-weight", "nan"], 2, "no finite number"),
    "cold": (["--noise-temperature", "-1"], 2, "no number from 0 on"),
    "guided by nothing": (["--guidance-weight", "1.5"], 1, "--guidance-weight needs --nav TEXT"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_one_line(drivers, scene, capsys, name):
    options, code, message = WRONG[name]
    try:
        found = main(["predict", str(drivers["alpamayo1_5"]), "--history", str(scene), *options])
    except SystemExit as error:
        found = error.code
    assert found == code and message in capsys.readouterr().err


def test_a_number_for_the_folder_of_another_camera_is_refused(drivers, scene, tmp_path, capsys):
    folders = [tmp_path / name for name in ("camera_front_tele_30fov", "Camera_Front_Wide_120fov", "mine")]
    for folder in folders:
        folder.mkdir()
        Image.new("RGB", (90, 60)).save(folder / "0.png")
    for labels in (True, False):
        assert numbers_of([6, 1, 9], {}, folders, labels) == [6, 1, 9] and numbers_of([1], {}, None, labels) == [1]
        with pytest.raises(InputError, match=r"--camera-indices 6 2 9: 2 would be .*Wide_120fov, and that is camera 1"):
            numbers_of([6, 2, 9], {}, folders, labels)
    given = ["predict", str(drivers["alpamayo1_5"]), "--images", *map(str, folders[:2]), "--camera-indices", "1", "6"]
    for question in ([], ["--question", "why?"]):
        more = question or ["--history", str(scene)]
        assert main([*given, *more]) == 1
        assert "1 would be" in capsys.readouterr().err


def test_a_question_needs_images(drivers, capsys):
    assert main(["predict", str(drivers["alpamayo1_5"]), "--question", "why?"]) == 1
    assert "--question needs --images" in capsys.readouterr().err


def test_a_served_scene_has_navigation_cameras_and_guidance(drivers, parts):
    processor, _, arrays = parts
    policy = driving_policy_of(drivers["alpamayo1_5"])
    more = {"nav_text": NAV, "camera_indices": CAMERAS, "guidance_weight": 1.5, "noise_temperature": 0.6}
    scene = policy.prepared({"images": arrays["images"], **poses_of(arrays), **more})
    wanted = processor(arrays["images"], **poses_of(arrays), nav_text=NAV, camera_indices=CAMERAS)
    assert torch.equal(scene.inputs["input_ids"], wanted["input_ids"])
    assert scene.sampling == {"guidance_weight": 1.5, "noise_temperature": 0.6}


@pytest.mark.parametrize(("package", "text"), [("alpamayo1_5", "Front left camera: frame 0 "), ("alpamayo_r1", None)])
def test_the_first_scene_of_a_server_names_cameras_as_the_model_was_trained(drivers, package, text):
    policy = driving_policy_of(drivers[package])
    prompt = policy.processor.tokenizer.decode(policy.prepared(policy.blank()).inputs["input_ids"][0])
    assert text in prompt if text else "camera" not in prompt
