"""Both releases of Alpamayo, and what published fine-tuning leaves of them, become checkpoints of one class."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from alpamayo_prompts import call, frames
from safetensors.torch import load_file, save_file

from vlahub import AlpamayoR1, AlpamayoR1Config, AlpamayoR1Processor
from vlahub.configuration.vla_errors import ConfigError
from vlahub.conversion.alpamayo_r1.checkpoint import release_facts
from vlahub.conversion.alpamayo_r1.releases import PUBLISHED, release_of
from vlahub.conversion.cli import main
from vlahub.conversion.families import FAMILIES

EXPERT = ("expert.", "action_in_proj.", "action_out_proj.")
BUFFERS = ("action_space.", "freqs")
LATER = "alpamayo1_5"


@dataclass(frozen=True)
class Source:
    """A published folder, and its base model beside it."""

    folder: Path

    @property
    def vlm(self):
        return self.folder.parent / "vlm"

    def weights(self):
        files = sorted(self.folder.glob("*.safetensors"))
        return {name: value for path in files for name, value in load_file(path).items()}

    def keep(self, wanted):
        """Only the weights whose names are wanted."""
        kept = {name: value for name, value in self.weights().items() if wanted(name)}
        for path in self.folder.glob("model*"):
            path.unlink()
        save_file(kept, self.folder / "model.safetensors", {"format": "pt"})

    def change(self, *without, **fields):
        path = self.folder / "config.json"
        config = json.loads(path.read_text()) | fields
        path.write_text(json.dumps({name: value for name, value in config.items() if name not in without}))

    def convert(self, *more):
        output = self.folder.parent / "out"
        assert main(["convert", str(self.folder), str(output), "--vlm", str(self.vlm), "--overwrite", *more]) == 0
        return output


@pytest.fixture
def source(tiny_alpamayo, tmp_path):
    """`source(package)` -> a published folder of the release."""

    def make(package, name="run", seed=0):
        tiny_alpamayo.TinyAlpamayo(package=package, seed=seed).write(tmp_path / name)
        return Source(tmp_path / name / "published")

    return make


def settings_of(folder):
    return json.loads((folder / "conversion_report.json").read_text())["settings"]


@pytest.mark.parametrize(
    ("package", "name", "labels", "token"),
    [("alpamayo_r1", "Alpamayo-R1", False, "meta_action_start"), (LATER, "Alpamayo 1.5", True, "_padding_2")],
)
def test_report_card_config_and_processor_say_which_release_it_is(source, capsys, package, name, labels, token):
    published = source(package)
    output = published.convert()
    assert settings_of(output)["release"]["value"] == name and settings_of(output)["camera_labels"]["value"] is labels
    assert name in capsys.readouterr().out
    for folder in (published.folder, output):
        assert main(["inspect", str(folder)]) == 0
        assert ("Alpamayo 1.5" in capsys.readouterr().out) == labels
    card = (output / "README.md").read_text()
    assert f"The release is {name}." in card and ("named, with numbers of frames" in card) == labels
    config = json.loads((output / "config.json").read_text())
    assert config["model_type"] == "alpamayo_r1" and config["camera_labels"] is labels
    processor = AlpamayoR1Processor.from_pretrained(output)
    assert processor.camera_labels is labels and f"<|{token}|>" in processor.tokenizer.get_vocab()
    model = AlpamayoR1.from_pretrained(output)
    source_weights = published.weights()
    assert all(torch.equal(value, source_weights[key].float()) for key, value in model.float().state_dict().items())


@pytest.mark.slow
def test_weights_without_buffers_convert_to_the_same(source):
    whole = source(LATER)
    first = load_file(whole.convert() / "model.safetensors")
    whole.keep(lambda name: not any(part in name for part in BUFFERS))
    second = load_file(whole.convert() / "model.safetensors")
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "guidance"),
    [
        ("alpamayo_r1", {"train_ignore_guidance_rate": 0.1, "train_timestep_sampler": "beta"}),
        (LATER, {"use_classifier_free_guidance": False, "num_inference_steps": 7}),
    ],
)
def test_arguments_of_the_flow_of_either_release_are_read(source, package, guidance):
    published = source(package)
    flow = json.loads((published.folder / "config.json").read_text())["diffusion_cfg"]
    published.change(diffusion_cfg=flow | guidance | {"inference_guidance_weight": 1.5})
    model = AlpamayoR1.from_pretrained(published.convert())
    assert model.diffusion.inference_guidance_weight == 1.5
    assert model.config.num_inference_steps == guidance.get("num_inference_steps", 10)


def test_an_argument_that_no_release_knows_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"diffusion_cfg has 'guidance_scale'; known are .*inference_guidance_weight"):
        AlpamayoR1Config(diffusion_cfg={"guidance_scale": 2.0})


@pytest.mark.slow
@pytest.mark.parametrize("names", ["earlier", "later"])
def test_a_base_with_the_tokens_of_either_release_keeps_their_names(source, names):
    from transformers import AutoTokenizer

    from vlahub.processing.alpamayo_r1.special_tokens import add_trajectory_tokens

    published = source(LATER)
    tokenizer = AutoTokenizer.from_pretrained(published.vlm)
    add_trajectory_tokens(tokenizer, 160, later_names=names == "later")
    tokenizer.save_pretrained(published.vlm)
    vocabulary = AlpamayoR1Processor.from_pretrained(published.convert()).tokenizer.get_vocab()
    assert ("<|_padding_8|>" in vocabulary) == (names == "later")
    assert len(vocabulary) == 470


@pytest.mark.parametrize(("package", "usual"), [("alpamayo_r1", False), (LATER, True)])
def test_whether_prompts_name_cameras_is_as_given_in_every_release(package, usual):
    assert release_facts({"model_type": package}, None)[0] is usual
    for given in (True, False):
        found, facts = release_facts({"model_type": package}, given)
        [fact] = [fact for fact in facts if fact.name == "camera_labels"]
        assert found is fact.value is given and fact.how == "given (--camera-labels)"


@pytest.mark.slow
def test_the_second_stage_of_fine_tuning_converts_and_labels_are_as_said(source, capsys):
    """As `to-a1` and the trainer leave it: R1's names, and the setting of cameras where 1.5 had it."""
    published = source("alpamayo_r1")
    published.change(architectures=["TrainableAlpamayoR1"])
    assert not AlpamayoR1Config.from_pretrained(published.convert()).camera_labels
    assert "camera_labels=False (fine-tuning does not record" in capsys.readouterr().err
    output = published.convert("--camera-labels", "yes")
    assert AlpamayoR1Config.from_pretrained(output).camera_labels
    assert settings_of(output)["camera_labels"]["known"] == "given (--camera-labels)"
    published.change(include_camera_ids=True)
    output = published.convert()
    assert AlpamayoR1Config.from_pretrained(output).camera_labels
    assert settings_of(output)["release"]["value"] == "Alpamayo 1.5"


@pytest.fixture
def first_stage(source):
    """The VLM alone, and a config without an expert."""
    published = source("alpamayo_r1", "stage", seed=3)
    published.keep(lambda name: name.startswith("vlm."))
    gone = ("expert_cfg", "action_space_cfg", "diffusion_cfg", "action_in_proj_cfg", "action_out_proj_cfg")
    published.change(*gone, model_type="alpamayo_reasoning_vla", architectures=["TrainableReasoningVLA"])
    return published


@pytest.mark.slow
def test_a_first_stage_gets_a_new_expert_that_is_said_to_be_untrained(first_stage, capsys):
    output = first_stage.convert()
    model, weights = AlpamayoR1.from_pretrained(output), first_stage.weights()
    assert all(torch.equal(model.state_dict()[name], value) for name, value in weights.items())
    assert "**never trained**" in (output / "README.md").read_text()
    assert settings_of(output)["expert"]["known"].startswith("new, and not trained")
    inputs = call(AlpamayoR1Processor.from_pretrained(output), frames(2))
    with torch.inference_mode():
        written = model.write_trajectories(**inputs, max_new_tokens=2)
    assert written.pred_xyz.isfinite().all()
    assert main(["verify", str(output), "--against", str(first_stage.folder)]) == 0


def test_a_first_stage_takes_the_expert_of_its_release(first_stage, source, capsys):
    release = source(LATER, "release", seed=5)
    flow = json.loads((release.folder / "config.json").read_text())["diffusion_cfg"]
    release.change(diffusion_cfg=flow | {"num_inference_steps": 7})
    output = first_stage.convert("--expert", str(release.folder))
    assert AlpamayoR1Config.from_pretrained(output).num_inference_steps == 7
    found, vlm, expert = load_file(output / "model.safetensors"), first_stage.weights(), release.weights()
    for name, value in found.items():
        assert torch.equal(value, (expert if name.startswith(EXPERT) else vlm)[name]), name
    report = json.loads((output / "conversion_report.json").read_text())
    assert report["inputs"]["expert"] == "published" and report["settings"]["expert"]["known"] == "given (--expert)"
    assert main(["verify", str(output), "--against", str(first_stage.folder)]) == 1
    assert "weights of another source (--expert)" in capsys.readouterr().err
    arguments = ["convert", str(release.folder), str(output), "--vlm", str(release.vlm), "--overwrite"]
    assert main([*arguments, "--expert", str(release.folder)]) == 1
    assert "has an expert of its own" in capsys.readouterr().err


def test_images_are_normalised_as_the_base_does_it(source):
    published = source("alpamayo_r1")
    wanted = {"image_mean": [0.4, 0.45, 0.5], "image_std": [0.2, 0.25, 0.3]}
    path = published.vlm / "preprocessor_config.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(known | wanted))
    processor = AlpamayoR1Processor.from_pretrained(published.convert("--no-verify"))
    assert {name: list(getattr(processor.image_processor, name)) for name in wanted} == wanted


def test_a_base_whose_image_token_is_another_in_its_tokenizer_is_refused(source, capsys):
    published = source("alpamayo_r1")
    path = published.vlm / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"image_token_id": config["image_token_id"] + 1}))
    output = published.folder.parent / "out"
    assert main(["convert", str(published.folder), str(output), "--vlm", str(published.vlm)]) == 1
    assert f"image_token_id is {config['image_token_id'] + 1} in the base model's" in capsys.readouterr().err


@pytest.mark.slow
def test_a_release_whose_expert_is_missing_is_refused(source, capsys):
    published = source(LATER)
    published.keep(lambda name: name.startswith("vlm."))
    output = published.folder.parent / "out"
    assert main(["convert", str(published.folder), str(output), "--vlm", str(published.vlm)]) == 1
    assert "no source has" in capsys.readouterr().err and not output.exists()


def test_the_family_takes_the_model_types_of_all():
    assert FAMILIES["alpamayo_r1"].published == PUBLISHED


@pytest.mark.parametrize(
    ("published", "is_later"),
    [
        ({"model_type": "alpamayo1_5"}, True),
        ({"model_type": "alpamayo_r1", "traj_tokenizer_cfg": {"_target_": ["alpamayo1_5.models.X"]}}, True),
        ({"model_type": "alpamayo_r1", "include_camera_ids": True}, True),
        ({"model_type": "alpamayo_r1", "camera_labels": True}, True),
        ({"model_type": "alpamayo_r1", "include_camera_ids": False, "camera_labels": False}, False),
        ({"model_type": "alpamayo_r1", "alpamayo1_5.key": "alpamayo_r1.models.X", "note": "of alpamayo1_5."}, False),
    ],
)
def test_each_trace_of_the_later_release_tells_it(published, is_later):
    found = release_of(published)
    assert (found.name, found.camera_labels) == ("Alpamayo 1.5" if is_later else "Alpamayo-R1", is_later)


def test_the_example_of_a_card_names_cameras_and_says_where_to_drive():
    from vlahub.configuration.card_snippet import Asked, snippet

    asked = Asked(images=("a.png", "b.png", "c.png", "d.png"))
    code = snippet(AlpamayoR1Config(camera_labels=True), asked=asked)
    assert "camera_indices = [0, 1, 2, 6]" in code and "camera_indices=camera_indices, nav_text=nav_text)" in code
    compile(code, "card", "exec")
    assert "nav_text" not in snippet(AlpamayoR1Config(), asked=asked)
    alone = Asked(images=("front.png",))
    assert "camera_indices = [1]" in snippet(AlpamayoR1Config(camera_labels=True), asked=alone)
