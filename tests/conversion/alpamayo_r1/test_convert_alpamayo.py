"""Published Alpamayo-R1 checkpoints, rebuilt at a tiny size, become what loads with one line."""

import json
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file

from vlahub import AlpamayoR1, AlpamayoR1Processor
from vlahub.conversion import source_folder
from vlahub.conversion.cli import main

HEAD, EMBEDDINGS = "vlm.lm_head.weight", "vlm.model.language_model.embed_tokens.weight"
CONSTANTS = [
    *(f"action_in_proj.{name}.freqs" for name in ("sinus.0", "sinus.1", "timestep_fourier_encoder")),
    *(f"action_space.{name}" for name in ("accel_mean", "accel_std", "curvature_mean", "curvature_std")),
]


@dataclass(frozen=True)
class Published:
    """A published folder and its base model."""

    folder: Path
    vlm: Path

    def convert(self, output, *more):
        return main(["convert", str(self.folder), str(output), "--vlm", str(self.vlm), "--quiet", *more])

    def copied(self, folder):
        """The same to damage: the published files in one shard, and the base."""
        shutil.copytree(self.folder, folder / "published")
        shutil.copytree(self.vlm, folder / "vlm")
        copy = Published(folder / "published", folder / "vlm")
        copy.write_weights(self.weights())
        return copy

    def weights(self):
        return {
            name: value for path in sorted(self.folder.glob("*.safetensors")) for name, value in load_file(path).items()
        }

    def write_weights(self, weights):
        for path in self.folder.glob("model*"):
            path.unlink()
        save_file(weights, self.folder / "model.safetensors", {"format": "pt"})

    def change(self, path, **fields):
        """Fields of a config.json; a dict changes the dict that is there."""
        config = json.loads(path.read_text())
        for name, value in fields.items():
            config[name] = {**config[name], **value} if isinstance(value, dict) else value
        path.write_text(json.dumps(config))

    def change_config(self, **fields):
        self.change(self.folder / "config.json", **fields)


@pytest.fixture(scope="session")
def published(tiny_alpamayo, tmp_path_factory):
    """Not to be changed; bfloat16, constants included."""
    folder = tmp_path_factory.mktemp("alpamayo")
    tiny_alpamayo.TinyAlpamayo().write(folder)
    return Published(folder / "published", folder / "vlm")


@pytest.fixture(scope="session")
def converted(published, tmp_path_factory):
    """Not to be changed."""
    output = tmp_path_factory.mktemp("converted") / "out"
    assert published.convert(output) == 0
    return output


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """Two cameras with two frames each, and a straight drive, as .npz."""
    import numpy as np

    path = tmp_path_factory.mktemp("scene") / "scene.npz"
    xyz = np.stack([np.linspace(-7.5, 0, 16), np.zeros(16), np.zeros(16)], axis=-1).astype(np.float32)
    images = np.random.RandomState(0).randint(0, 255, (2, 2, 3, 60, 90), dtype=np.uint8)
    np.savez(path, images=images, ego_history_xyz=xyz, ego_history_rot=np.tile(np.eye(3, dtype=np.float32), (16, 1, 1)))
    return path


def predict(checkpoint, output, *more):
    options = ["--num-traj-samples", "2", "--max-new-tokens", "4", "--output", str(output)]
    code = main(["predict", str(checkpoint), *options, *more])
    return json.loads(output.read_text()) if code == 0 else code


def report_of(folder):
    return json.loads((folder / "conversion_report.json").read_text())


# ---- what is written


def test_every_source_tensor_is_written_bit_for_bit_or_accounted_for(published, converted, weights_of):
    source, written, report = published.weights(), weights_of(converted), report_of(converted)
    assert set(written) == set(source) - set(CONSTANTS)
    for name, value in written.items():
        assert value.dtype == torch.bfloat16 and torch.equal(value, source[name]), name
    left = [(entry["source"].rpartition(":")[2], entry["status"], entry["reason"]) for entry in report["leftovers"]]
    assert sorted(left) == [(name, "unused", "computed from the config") for name in CONSTANTS]
    assert report["inputs"] == {"run": "published", "vlm": "vlm"}


def test_the_checkpoint_is_one_folder_with_sizes_tokens_and_bounds_of_both_sources(converted):
    model = AlpamayoR1.from_pretrained(converted, dtype="auto")
    processor = AlpamayoR1Processor.from_pretrained(converted)
    assert model.dtype == torch.bfloat16 and model.vlm.lm_head.weight.shape == (470, 32)
    assert model.config.vlm_config.text_config.num_hidden_layers == 2
    assert processor.tokenizer.convert_tokens_to_ids("<|traj_future_start|>") == 454
    assert model.config.traj_token_ids["future_start"] == 454
    assert model.config.pad_token_id == model.tokenizer.pad_token_id == processor.tokenizer.pad_token_id is not None
    assert (processor.image_processor.min_pixels, processor.image_processor.max_pixels) == (1024, 8192)
    assert processor.history_values.vocab_size == 60 and processor.history_token_start_idx == 382


def test_the_config_names_no_class_and_no_code_but_its_own(converted):
    text = (converted / "config.json").read_text()
    assert "_target_" not in text and "somebody/a-base-model" in text
    assert set(json.loads(text)["auto_map"]) > {"AutoModel", "AutoModelForImageTextToText", "AutoProcessor"}


def test_the_card_shows_how_to_load_and_whose_licence_applies(converted):
    card = (converted / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\nlicense: apache-2.0\n") and "autonomous-driving" in card
    assert "model.sample_trajectories(**inputs" in card and "next 6.4 seconds" in card
    assert "- run, `published`: `apache-2.0`\n- vlm, `vlm`: `apache-2.0`" in card and "$" not in card


def test_a_second_conversion_gives_the_same_bytes_and_leaves_the_sources_alone(
    published, converted, snapshot, tmp_path
):
    before = snapshot(published.folder, published.vlm)
    assert published.convert(tmp_path / "out") == 0
    assert snapshot(published.folder, published.vlm) == before
    first, second = ({Path(p).name: h for p, h in snapshot(folder).items()} for folder in (converted, tmp_path / "out"))
    assert first == second


def test_a_dry_run_prints_the_plan_and_writes_nothing(published, tmp_path, capsys):
    arguments = ["convert", str(published.folder), str(tmp_path / "out"), "--vlm", str(published.vlm), "--dry-run"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "traj_token_start_idx  282" in captured.out + captured.err
    assert not (tmp_path / "out").exists()


def test_dtype_casts_every_weight(published, tmp_path, weights_of):
    assert published.convert(tmp_path / "out", "--dtype", "float32") == 0
    assert {value.dtype for value in weights_of(tmp_path / "out").values()} == {torch.float32}
    assert AlpamayoR1.from_pretrained(tmp_path / "out", dtype="auto").dtype == torch.float32


def test_base_files_beside_the_weights_need_no_option(published, tmp_path):
    copy = published.copied(tmp_path)
    shutil.move(copy.vlm, copy.folder / "vlm")
    assert main(["convert", str(copy.folder), str(tmp_path / "out"), "--quiet"]) == 0
    assert (tmp_path / "out" / "tokenizer.json").exists()


# ---- tied embeddings


@pytest.mark.parametrize("twice", [False, True])
def test_tied_embeddings_are_written_once(tiny_alpamayo, tmp_path, weights_of, twice):
    tiny_alpamayo.TinyAlpamayo(tied=True).write(tmp_path)
    tied = Published(tmp_path / "published", tmp_path / "vlm")
    if twice:
        weights = tied.weights()
        tied.write_weights({**weights, HEAD: weights[EMBEDDINGS].clone()})
    assert tied.convert(tmp_path / "out") == 0
    assert HEAD not in weights_of(tmp_path / "out")
    left = [entry for entry in report_of(tmp_path / "out")["leftovers"] if HEAD in entry["source"]]
    assert [entry["status"] for entry in left] == ["superseded"] * twice
    model = AlpamayoR1.from_pretrained(tmp_path / "out", dtype="auto")
    assert model.vlm.lm_head.weight is model.get_input_embeddings().weight


def test_tied_embeddings_that_differ_are_refused(published, tmp_path, capsys):
    copy = published.copied(tmp_path)
    copy.change(copy.vlm / "config.json", tie_word_embeddings=True)
    assert copy.convert(tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert HEAD in error and EMBEDDINGS in error and "differ" in error


# ---- constants


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("action_space.accel_std", torch.tensor(0.7), ("0.7", "0.681043")),
        ("action_in_proj.sinus.1.freqs", torch.tensor([[1.0, 1.26, 1.59, 2.5]]), ("2.5", "2.0]")),
        ("action_space.curvature_mean", torch.tensor(float("nan")), ("nan", "0.000269217")),
    ],
)
def test_a_constant_that_is_not_the_configs_is_refused_with_both_values(
    published, tmp_path, capsys, name, value, shown
):
    copy = published.copied(tmp_path)
    copy.write_weights({**copy.weights(), name: value})
    assert copy.convert(tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert name in error and all(number in error for number in shown)
    assert not (tmp_path / "out").exists()


def test_a_constant_that_no_action_dimension_has_is_refused(published, tmp_path, capsys):
    copy = published.copied(tmp_path)
    copy.write_weights({**copy.weights(), "action_in_proj.sinus.7.freqs": torch.ones(1, 4)})
    assert copy.convert(tmp_path / "out") == 1
    assert "action_in_proj.sinus.7.freqs" in capsys.readouterr().err


# ---- refusals


def test_without_its_base_the_error_names_the_option(published, tmp_path, capsys):
    assert main(["convert", str(published.folder), str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "--vlm DIR" in error and "somebody/a-base-model" in error


def test_of_a_base_on_the_hub_no_weights_are_downloaded(published, tmp_path, monkeypatch):
    asked = {}

    def download(name, allow_patterns, revision):
        asked[name] = allow_patterns
        return str(published.vlm)

    monkeypatch.setattr(source_folder, "snapshot_download", download)
    base = replace(published, vlm="somebody/a-base-model")
    assert base.convert(tmp_path / "out") == 0
    assert report_of(tmp_path / "out")["inputs"]["vlm"] == "somebody/a-base-model"
    files = ["config.json", "tokenizer.json", "merges.txt", "model.safetensors", "model-00001-of-2.bin"]
    assert list(filter_repo_objects(files, allow_patterns=asked["somebody/a-base-model"])) == files[:3]


@pytest.mark.parametrize("field", ["action_space_cfg", "traj_tokenizer_cfg", "diffusion_cfg", "action_out_proj_cfg"])
def test_a_hostile_target_is_named_and_never_imported(published, tmp_path, capsys, monkeypatch, field):
    (tmp_path / "hostile.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    copy = published.copied(tmp_path)
    copy.change_config(**{field: {"_target_": "hostile.run"}})
    assert copy.convert(tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "hostile.run" in error and field in error
    assert not (tmp_path / "ran").exists() and "hostile" not in sys.modules


def test_another_base_is_told_by_its_shapes(published, tmp_path, capsys):
    copy = published.copied(tmp_path)
    copy.change(copy.vlm / "config.json", text_config={"intermediate_size": 64})
    assert copy.convert(tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "mlp.gate_proj.weight has shape (48, 32)" in error and "(64, 32)" in error


@pytest.mark.parametrize("field", ["vocab_size", "traj_token_start_idx", "traj_token_ids"])
def test_token_ids_that_the_tokenizer_does_not_give_are_refused_with_both(published, tmp_path, capsys, field):
    copy = published.copied(tmp_path)
    told = {"vocab_size": 471, "traj_token_start_idx": 281, "traj_token_ids": {"history": 459}}[field]
    copy.change_config(**{field: told})
    assert copy.convert(tmp_path / "out") == 1
    error = capsys.readouterr().err
    numbers = {"vocab_size": ("471", "470"), "traj_token_start_idx": ("281", "282"), "traj_token_ids": ("459", "457")}
    assert field in error and all(number in error for number in numbers[field])


def test_without_the_special_tokens_the_six_markers_follow_the_trajectory(published, tmp_path):
    copy = published.copied(tmp_path)
    names = ("history", "future", "history_start", "future_start", "history_end", "future_end")
    ids = {name: 442 + i for i, name in enumerate(names)}
    copy.change_config(add_special_tokens=False, vocab_size=448, traj_token_ids=ids)
    weights = copy.weights()
    copy.write_weights({**weights, **{name: weights[name][:448].clone() for name in (HEAD, EMBEDDINGS)}})
    assert copy.convert(tmp_path / "out") == 0
    tokenizer = AlpamayoR1Processor.from_pretrained(tmp_path / "out").tokenizer
    assert tokenizer.convert_tokens_to_ids("<|traj_future_start|>") == 445 and len(tokenizer) == 448


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weights: weights.pop("expert.norm.weight"), "expert.norm.weight"),
        (lambda weights: weights.update({"expert.layers.9.mlp.up_proj.weight": torch.ones(2)}), "expert.layers.9"),
        (lambda weights: weights.update({"diffusion.mystery": torch.ones(2)}), "diffusion.mystery"),
    ],
)
def test_a_missing_or_an_unknown_tensor_is_named(published, tmp_path, capsys, change, words):
    copy = published.copied(tmp_path)
    weights = copy.weights()
    change(weights)
    copy.write_weights(weights)
    assert copy.convert(tmp_path / "out") == 1
    assert words in capsys.readouterr().err


def test_a_base_of_another_kind_or_without_a_tokenizer_is_refused(published, tmp_path, capsys):
    copy = published.copied(tmp_path)
    (copy.vlm / "tokenizer.json").unlink()
    assert copy.convert(tmp_path / "out") == 1
    assert "tokenizer.json" in capsys.readouterr().err
    copy.change(copy.vlm / "config.json", model_type="llama")
    assert copy.convert(tmp_path / "out") == 1
    assert "'llama'" in capsys.readouterr().err


# ---- verify, merge-lora, predict


def test_verify_knows_the_family_and_recomputes_it(published, converted, tmp_path, capsys):
    assert main(["verify", str(converted), "--quiet"]) == 0
    assert main(["verify", str(converted), "--against", str(published.folder), "--quiet"]) == 0
    shutil.copytree(converted, tmp_path / "damaged")
    damaged = replace(published, folder=tmp_path / "damaged")
    weights = damaged.weights()
    del weights["action_out_proj.bias"]
    damaged.write_weights(weights)
    assert main(["verify", str(damaged.folder), "--quiet"]) == 1
    assert "action_out_proj.bias" in capsys.readouterr().err


def test_a_lora_on_the_converted_checkpoint_merges_as_peft_does(converted, tmp_path):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    config = peft.LoraConfig(
        r=2, lora_alpha=4, target_modules=["q_proj", "qkv", "action_out_proj"], init_lora_weights=False
    )
    model = peft.get_peft_model(AlpamayoR1.from_pretrained(converted, dtype=torch.float32), config)
    model.save_pretrained(tmp_path / "adapter")
    arguments = ["--base", str(converted), "--adapter", str(tmp_path / "adapter"), "--output", str(tmp_path / "out")]
    assert main(["merge-lora", *arguments, "--dtype", "float32", "--quiet"]) == 0
    merged, wanted = AlpamayoR1.from_pretrained(tmp_path / "out"), model.merge_and_unload().state_dict()
    before = load_file(converted / "model.safetensors")
    for name, value in merged.state_dict().items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-5, atol=1e-6, msg=name)
    name = "expert.layers.1.self_attn.q_proj.weight"
    assert not torch.equal(merged.state_dict()[name], before[name].float())


def test_predict_writes_trajectories_and_reasoning_and_repeats_them(converted, scene, tmp_path, capsys):
    first = predict(converted, tmp_path / "a.json", "--history", str(scene))
    assert capsys.readouterr().out.count("reasoning: ") == 2
    assert torch.tensor(first["pred_xyz"]).shape == (2, 64, 3) and len(first["has_start_token"]) == 2
    assert predict(converted, tmp_path / "b.json", "--history", str(scene)) == first
    assert predict(converted, tmp_path / "c.json", "--history", str(scene), "--seed", "1") != first


def test_predict_refuses_a_model_of_another_pace_than_scenes_have(converted, scene, tmp_path, capsys):
    slow = tmp_path / "slow"
    shutil.copytree(converted, slow)
    config = json.loads((slow / "config.json").read_text())
    config["action_space_cfg"]["dt"] = 0.2
    (slow / "config.json").write_text(json.dumps(config))
    assert predict(slow, tmp_path / "a.json", "--history", str(scene)) == 1
    assert "['dt'] is 0.2" in capsys.readouterr().err and not (tmp_path / "a.json").exists()


def test_predict_converts_a_history_of_another_frame_and_refuses_it_otherwise(converted, scene, tmp_path, capsys):
    import numpy as np

    arrays = dict(np.load(scene))
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    driven = arrays["ego_future_xyz"] = np.linspace(0, 40, 64)[:, None] * np.array([1.0, 0.0, 0.0])
    for name in ("ego_history_xyz", "ego_future_xyz"):
        arrays[name] = arrays[name].astype(np.float64) @ turn.T + [4.5e6, 100.0, 7.0]
    arrays["ego_history_rot"] = turn @ arrays["ego_history_rot"]
    np.savez(tmp_path / "world.npz", **arrays)
    wanted = predict(converted, tmp_path / "a.json", "--history", str(scene))
    options = ["--history", str(tmp_path / "world.npz")]
    assert predict(converted, tmp_path / "b.json", *options) == 1
    assert "[4500000.0, 100.0, 7.0]" in capsys.readouterr().err
    plot = ["--plot", str(tmp_path / "world.png")]
    found = predict(converted, tmp_path / "c.json", *options, "--history-frame", "world", *plot)
    assert found["reasoning"] == wanted["reasoning"] and (tmp_path / "world.png").stat().st_size
    distance = np.linalg.norm((np.array(found["pred_xyz"]) - driven)[..., :2], axis=-1)  # (samples, steps)
    assert found["minADE"] == pytest.approx(distance.mean(axis=1).min(), rel=1e-4)
    assert found["minFDE"] == pytest.approx(distance[:, -1].min(), rel=1e-4)
    assert f"minADE: {found['minADE']:.3f} m" in capsys.readouterr().out
    arrays["ego_future_xyz"][3] = np.nan
    np.savez(tmp_path / "broken.npz", **arrays)
    assert predict(converted, tmp_path / "d.json", "--history", str(tmp_path / "broken.npz")) == 1
    assert "ego_future_xyz" in capsys.readouterr().err
    torch.testing.assert_close(torch.tensor(found["pred_xyz"]), torch.tensor(wanted["pred_xyz"]), atol=1e-4, rtol=0)


def test_predict_draws_a_picture(converted, scene, tmp_path):
    from PIL import Image

    predict(converted, tmp_path / "out.json", "--history", str(scene), "--plot", str(tmp_path / "out.png"))
    picture = Image.open(tmp_path / "out.png").convert("RGB")
    assert min(picture.size) > 400 and len(set(picture.getdata())) > 100


def test_without_matplotlib_predict_says_so_before_it_loads_anything(converted, scene, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert predict(converted, tmp_path / "out.json", "--history", str(scene), "--plot", str(tmp_path / "a.png")) == 1
    assert "vlahub[plot]" in capsys.readouterr().err and not (tmp_path / "out.json").exists()


def test_predict_reads_images_from_folders_and_the_path_from_json(converted, scene, tmp_path):
    import numpy as np
    from PIL import Image

    arrays = np.load(scene)
    history = {name: arrays[name].tolist() for name in ("ego_history_xyz", "ego_history_rot")}
    (tmp_path / "history.json").write_text(json.dumps(history))
    for camera, frames in enumerate(arrays["images"]):
        (tmp_path / "views" / f"camera_{camera}").mkdir(parents=True)
        for number, frame in enumerate(frames):
            Image.fromarray(frame.transpose(1, 2, 0)).save(tmp_path / f"views/camera_{camera}/{number}.png")
    options = ["--images", str(tmp_path / "views"), "--history", str(tmp_path / "history.json")]
    wanted = predict(converted, tmp_path / "a.json", "--history", str(scene))
    assert predict(converted, tmp_path / "b.json", *options) == wanted


@pytest.mark.parametrize(
    ("content", "words"),
    [({"ego_history_xyz": [[0, 0, 0]]}, "lacks ego_history_rot"), ([1, 2], "cannot be read"), (None, "--history")],
)
def test_predict_refuses_a_history_that_is_none(converted, tmp_path, capsys, content, words):
    path = tmp_path / "history.json"
    path.write_text(json.dumps(content))
    options = [] if content is None else ["--history", str(path)]
    assert predict(converted, tmp_path / "out.json", *options) == 1
    assert words in capsys.readouterr().err


def test_predict_with_what_was_not_converted_says_so(published, scene, tmp_path, capsys):
    assert predict(published.folder, tmp_path / "out.json", "--history", str(scene)) == 1
    assert f"Run first: vlahub convert {published.folder} OUTPUT --vlm BASE" in capsys.readouterr().err


def test_predict_prints_a_robots_actions(merged, tmp_path, capsys):
    from PIL import Image

    views = [tmp_path / f"{i}.png" for i in range(2)]
    for view in views:
        Image.new("RGB", (64, 48), (90, 120, 60)).save(view)
    options = ["--images", *map(str, views), "--instruction", "lift it", "--output", str(tmp_path / "out.json")]
    assert main(["predict", str(merged), *options]) == 0
    actions = json.loads((tmp_path / "out.json").read_text())["actions"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[-9].split() == ["step", "x", "y", "z", "roll", "pitch", "yaw", "gripper"]
    assert float(lines[-1].split()[1]) == pytest.approx(actions[7][0], abs=1e-4)
    assert main(["predict", str(merged), "--images", str(views[0])]) == 1
    assert "--instruction" in capsys.readouterr().err


def test_statistics_of_a_dataset_are_refused(published, tmp_path, capsys):
    (tmp_path / "dataset_statistics.json").write_text("{}")
    command = ["convert", published.folder, tmp_path / "out", "--vlm", published.vlm, "--quiet"]
    assert main([*map(str, command), "--statistics", str(tmp_path / "dataset_statistics.json")]) == 1
    assert "--statistics was given, but an Alpamayo-R1 normalises by its action space" in capsys.readouterr().err


def test_what_the_published_files_leave_out_is_assumed_aloud(published, tmp_path):
    copy = published.copied(tmp_path)
    config = json.loads((copy.folder / "config.json").read_text())
    (copy.folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "max_pixels"}))
    (copy.vlm / "preprocessor_config.json").write_text("{}")
    assert copy.convert(tmp_path / "out") == 0
    settings = json.loads((tmp_path / "out" / "conversion_report.json").read_text())["settings"]
    found = [name for name, setting in settings.items() if setting["known"].startswith("assumed")]
    assert found == ["image_processor", "max_pixels"]
    assert "`max_pixels`: `196608`" in (tmp_path / "out" / "README.md").read_text()
    assert published.convert(tmp_path / "whole") == 0
    assert "assumed" not in (tmp_path / "whole" / "conversion_report.json").read_text()


def test_a_release_writes_as_it_says_and_does_not_draw_its_words_as_its_base_does(published, tmp_path):
    copy = published.copied(tmp_path)
    (copy.vlm / "generation_config.json").write_text(json.dumps({"do_sample": True, "top_k": 20, "eos_token_id": 3}))
    assert copy.convert(tmp_path / "base") == 0
    assert "do_sample" not in json.loads((tmp_path / "base" / "generation_config.json").read_text())
    (copy.folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    assert copy.convert(tmp_path / "own") == 0
    assert json.loads((tmp_path / "own" / "generation_config.json").read_text())["eos_token_id"] == [2, 7]
