"""Options reach what they are for: each is seen where it takes effect, beside the same command without it."""

import dataclasses
import inspect
import json
from pathlib import Path

import pytest
import torch

from vlahub.conversion import job as jobs
from vlahub.conversion import preparation
from vlahub.conversion.cli import main, make_parser
from vlahub.conversion.commands.train import given_options, training_arguments
from vlahub.conversion.predictions import robot_prediction
from vlahub.conversion.publishing import push_checkpoint
from vlahub.conversion.tensors import weight_writer


@pytest.fixture
def verified(monkeypatch):
    """The jobs that `verify --against` recomputes."""
    found = []

    def verify_sources(folder, job, quiet=False):
        found.append((job, quiet))
        return preparation.Plan([])

    monkeypatch.setattr(preparation, "verify_sources", verify_sources)
    return found


def test_verify_reads_the_base_the_runs_and_the_device(merged, cogvla, verified, capsys):
    sources = ["verify", str(merged), "--against", str(cogvla.run)]
    assert main(sources) == 0
    assert main([*sources, "--base", str(cogvla.base), "--device", "meta", "--quiet"]) == 0
    (plain, loud), (given, quiet) = verified
    assert (plain.adapters, plain.base, plain.device, loud) == ([cogvla.run], None, "cpu", False)
    assert (given.adapters, given.base, given.device, quiet) == ([cogvla.run], cogvla.base, "meta", True)
    assert given.output == merged


def test_recomputing_takes_place_on_the_device(merged, cogvla, monkeypatch):
    seen = []
    monkeypatch.setattr(preparation, "verify_against", lambda plan, folder, quiet, device: seen.append(device))
    sources = ["verify", str(merged), "--against", str(cogvla.run), "--base", str(cogvla.base), "--quiet"]
    assert main(sources) == 0 and main([*sources, "--device", "meta"]) == 0
    assert seen == ["cpu", "meta"]


@pytest.fixture
def ran(monkeypatch):
    """The jobs of commands that convert, of which none is carried out."""
    found = []
    monkeypatch.setattr(jobs, "run_job", lambda job, prepare: found.append(job))
    return found


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["--no-verify"], {"verify": False}),
        (["--device", "meta"], {"device": "meta"}),
        (["--dtype", "bfloat16"], {"dtype": "bfloat16"}),
        (["--max-shard-size", "5MB"], {"max_shard_bytes": 5 * 10**6}),
        (["--dry-run"], {"dry_run": True}),
        (["--allow-code"], {"allow_code": True}),
        (["--overwrite"], {"overwrite": True}),
    ],
)
def test_an_option_of_a_conversion_changes_its_job_alone(words, changed, cogvla, ran, tmp_path):
    for more in ([], words):
        assert cogvla.merge(tmp_path / "out", *more) == 0
    plain, given = ({name: value for name, value in vars(job).items() if name != "command"} for job in ran)
    assert {name: given[name] for name in given if given[name] != plain[name]} == changed
    assert plain["base"] == cogvla.base and plain["adapters"] == [cogvla.run] and plain["verify"] and plain["quiet"]


def test_without_verifying_nothing_is_read_back_and_else_it_is(openvla, tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(jobs, "verify_written", lambda plan, folder, written, quiet, device: looked.append(device))
    decoding = ("--decoding", "autoregressive")
    assert openvla.merge(tmp_path / "first", *decoding, "--no-verify") == 0 and looked == []
    assert openvla.merge(tmp_path / "second", *decoding) == 0 and looked == ["cpu"]


def test_a_conversion_computes_and_verifies_on_the_device(openvla, tmp_path, monkeypatch):
    computed, verified = [], []
    plain = weight_writer.Computation
    monkeypatch.setattr(weight_writer, "Computation", lambda planned, device: computed.append(device) or plain(planned))
    monkeypatch.setattr(jobs, "verify_written", lambda plan, folder, written, quiet, device: verified.append(device))
    options = ("--decoding", "autoregressive", "--device", "meta")
    assert openvla.merge(tmp_path / "out", *options) == 0
    assert set(computed) == {"meta"} and verified == ["meta"]


@pytest.fixture
def pushed(monkeypatch):
    """What uploads were asked for."""
    found = []

    def push(folder, name, **options):
        found.append((Path(folder), name, options))
        return "https://hub/me/mine"

    monkeypatch.setattr(push_checkpoint, "push_checkpoint", push)
    return found


def test_an_upload_after_a_conversion_is_as_quiet_as_the_conversion(cogvla, ran, pushed, tmp_path, capsys):
    target = ["--push-to-hub", "me/mine"]
    assert cogvla.merge(tmp_path / "out", *target, "--card", "keep") == 0
    assert capsys.readouterr() == ("", "")
    loud = ["merge-lora", "--base", str(cogvla.base), "--adapter", str(cogvla.run), "--output", str(tmp_path / "out")]
    assert main([*loud, *target, "--allow-code"]) == 0
    assert "https://hub/me/mine" in capsys.readouterr().out
    assert pushed == [
        (tmp_path / "out", "me/mine", {"card": "keep", "allow_code": False, "quiet": True}),
        (tmp_path / "out", "me/mine", {"card": None, "allow_code": True, "quiet": False}),
    ]


PLAIN = {
    "private": False, "revision": None, "create_pr": False, "quiet": False, "card": None, "allow_code": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ([], {}),
        (["--private"], {"private": True}),
        (["--revision", "mine"], {"revision": "mine"}),
        (["--create-pr"], {"create_pr": True}),
        (["--quiet"], {"quiet": True}),
        (["--card", "renew"], {"card": "renew"}),
        (["--allow-code"], {"allow_code": True}),
    ],
)
def test_an_option_of_push_reaches_the_upload(words, changed, pushed, tmp_path, capsys):
    assert main(["push", str(tmp_path), "me/mine", *words]) == 0
    assert pushed == [(tmp_path, "me/mine", PLAIN | changed)]
    assert bool(capsys.readouterr().out) is ("--quiet" not in words)


PREDICTED = {
    "state": None, "unnorm_key": None, "device": "cpu", "advantage": None, "embodiment_id": None, "fast": None,
    "num_samples": None, "quiet": False, "instruction": "lift it", "picture": None,
}  # fmt: skip
FLOW = dict.fromkeys(("num_inference_steps", "ode_solver", "ode_spacing", "guidance_scale"))


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ([], {}),
        (["--unnorm-key", "b"], {"unnorm_key": "b"}),
        (["--state", "1", "-2.5"], {"state": [1.0, -2.5]}),
        (["--device", "meta"], {"device": "meta"}),
        (["--advantage", "good"], {"advantage": "good"}),
        (["--embodiment-id", "3"], {"embodiment_id": 3}),
        (["--num-samples", "4"], {"num_samples": 4}),
        (["--fast", "compile"], {"fast": "compile"}),
        (["--quiet"], {"quiet": True}),
        (["--num-inference-steps", "7"], {"num_inference_steps": 7}),
        (["--ode-solver", "heun"], {"ode_solver": "heun"}),
        (["--ode-spacing", "cosine"], {"ode_spacing": "cosine"}),
        (["--guidance-scale", "1.5"], {"guidance_scale": 1.5}),
    ],
)
def test_an_option_of_predict_reaches_the_prediction(words, changed, merged, monkeypatch, tmp_path):
    asked = []

    def predict_actions(*given, **named):
        asked.append(inspect.signature(plain).bind(*given, **named))
        asked[-1].apply_defaults()
        return {"actions": [[0.0]]}

    plain = robot_prediction.predict_actions
    monkeypatch.setattr(robot_prediction, "predict_actions", predict_actions)
    assert main(["predict", str(merged), "--images", "a.png", "b.png", "--instruction", "lift it", *words]) == 0
    found = dict(asked[0].arguments)
    assert (found.pop("folder"), found.pop("paths")) == (merged, [Path("a.png"), Path("b.png")])
    assert found.pop("flow") | found == FLOW | PREDICTED | changed


@pytest.mark.parametrize(("words", "seed"), [([], 0), (["--seed", "5"], 5)])
def test_the_seed_of_predict_is_what_noise_and_text_are_drawn_by(words, seed, merged, monkeypatch):
    drawn = []

    def predict_actions(*given, **named):
        drawn.append(torch.randn(3))
        return {"actions": [[0.0]]}

    monkeypatch.setattr(robot_prediction, "predict_actions", predict_actions)
    for _ in range(2):
        assert main(["predict", str(merged), "--images", "a.png", "b.png", "--instruction", "lift it", *words]) == 0
    wanted = torch.randn(3, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0], wanted)


def test_an_option_of_predict_writes_its_file(merged, monkeypatch, tmp_path):
    monkeypatch.setattr(robot_prediction, "predict_actions", lambda *given, **named: {"actions": [[0.5]]})
    words = ["--images", "a.png", "b.png", "--instruction", "lift it", "--output", str(tmp_path / "out.json")]
    assert main(["predict", str(merged), *words]) == 0
    assert json.loads((tmp_path / "out.json").read_text()) == {"actions": [[0.5]]}


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["--train", "B"], {"train": "B"}),
        (["--rank", "3"], {"rank": 3}),
        (["--alpha", "5"], {"alpha": 5}),
        (["--top-layers", "2"], {"top_layers": 2}),
        (["--images", "a", "b"], {"images": ["a", "b"]}),
        (["--state", "a", "b"], {"state": ["a", "b"]}),
        (["--action", "a"], {"action": ["a"]}),
        (["--text", "words"], {"text": "words"}),
        (["--unmasked-actions", "-1"], {"unmasked_actions": [-1]}),
        (["--statistics", "s.json"], {"statistics": "s.json"}),
        (["--eval-episodes", "0.1"], {"eval_episodes": 0.1}),
        (["--augment"], {"augment": True}),
        (["--backbone-lr-scale", "0.5"], {"backbone_lr_scale": 0.5}),
        (["--dtype", "bfloat16"], {"dtype": "bfloat16"}),
        (["--repeat-last"], {"repeat_last": True}),
        (["--weight-column", "w"], {"weight_column": "w"}),
        (["--advantage-column", "w"], {"advantage_column": "w"}),
    ],
)
def test_an_option_of_train_is_one_of_the_fine_tune(words, changed):
    found = []
    for more in ([], words):
        command = ["train", "model", "--dataset", "d", "--output", "run", *more]
        found.append(dataclasses.asdict(given_options(make_parser(command).parse_args(command))))
    assert {name: found[1][name] for name in found[1] if found[1][name] != found[0][name]} == changed


def test_arguments_of_the_training_reach_it():
    words = ["--learning-rate", "1e-3", "--batch-size", "3", "--steps", "7", "--seed", "5", "--weight-decay", "0.25"]
    command = ["train", "model", "--dataset", "d", "--output", "run", "--use_cpu", "--quiet", *words]
    found = training_arguments(make_parser(command).parse_args(command))
    assert (found.learning_rate, found.per_device_train_batch_size, found.max_steps) == (1e-3, 3, 7)
    assert (found.seed, found.weight_decay, found.output_dir, found.disable_tqdm) == (5, 0.25, "run", True)
