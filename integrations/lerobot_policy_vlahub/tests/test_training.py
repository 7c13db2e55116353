"""`lerobot-train` trains a policy, and what it saved is a policy of LeRobot and a checkpoint of vlahub."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot_policy_vlahub.__main__ import write_policy
from lerobot_policy_vlahub.configuration_vlahub import VlahubConfig
from lerobot_policy_vlahub.modeling_vlahub import VlahubPolicy
from observations import FEATURES, TASKS, as_lerobot, policy_of, seen
from scripts import run
from transformers import AutoModelForImageTextToText

from vlahub.data import ActionChunks, collator_for, load_frames
from vlahub.errors import VLAError

CAMERAS = ["observation.images.primary", "observation.images.wrist"]


def trained(dataset, output, *more):
    """The folder of the policy that two steps of `lerobot-train` save."""
    fixed = {"dataset.repo_id": "drawn/table", "dataset.root": dataset, "policy.device": "cpu", "batch_size": 2}
    fixed |= {"policy.push_to_hub": "false", "steps": 2, "save_freq": 2, "num_workers": 0, "output_dir": output}
    run("train", *(f"--{name}={value}" for name, value in fixed.items()), *more)
    return Path(output, "checkpoints", "000002", "pretrained_model")


def evaluated(output, *more):
    """What two episodes of `lerobot-eval` on the drawn table wrote."""
    fixed = {"env.discover_packages_path": "drawn_table", "env.type": "drawn_table", "policy.device": "cpu"}
    fixed |= {"eval.n_episodes": 2, "eval.batch_size": 2, "eval.use_async_envs": "false", "output_dir": output}
    # gymnasium's wrappers hide the task of this environment from LeRobot 0.4.
    run("eval", *(f"--{name}={value}" for name, value in fixed.items()), f"--policy.instruction={TASKS[0]}", *more)
    return json.loads(Path(output, "eval_info.json").read_text())["overall"]


def rows_of(dataset, rows):
    """Rows of the dataset as LeRobot's loader gives them, and as vlahub's examples."""
    examples = ActionChunks(load_frames(dataset), 4, CAMERAS, "observation.state")
    chosen = [examples[row] for row in rows]
    batch = {"task": [example["text"] for example in chosen]}
    for i, camera in enumerate(CAMERAS):
        views = torch.stack([torch.from_numpy(np.array(example["images"][i])) for example in chosen])
        batch[camera] = views.permute(0, 3, 1, 2).float() / 255
    for name, key in {"action": "actions", "observation.state": "state", "action_is_pad": "action_is_pad"}.items():
        batch[name] = torch.stack([torch.as_tensor(example[key]) for example in chosen])
    return batch, chosen


def test_the_loss_is_that_of_the_familys_collator(robot_checkpoint, dataset):
    policy, before, _ = policy_of(robot_checkpoint)
    batch, examples = rows_of(dataset, [0, 4, 9])
    torch.manual_seed(0)
    loss, parts = policy.forward(before(batch))
    torch.manual_seed(0)
    expected = policy.model(**collator_for(policy.model.config, policy.processor)(examples)).loss
    assert torch.equal(loss, expected) and all(isinstance(part, float) for part in parts.values())


def test_what_trains_is_what_the_stage_says_in_float32(make_checkpoint):
    policy, *_ = policy_of(make_checkpoint("cogvla"), stage="A", optimizer_lr=1e-3)
    [group] = policy.get_optim_params()
    assert {id(p) for p in group["params"]} == {id(p) for p in policy.parameters() if p.requires_grad}
    assert 0 < len(group["params"]) < len(list(policy.parameters())) and group["lr"] == 1e-3
    policy.config.stage, policy.config.top_layers = "B", 1
    assert [group["lr"] for group in policy.get_optim_params()] == [1e-3, 1e-4]
    policy.config.stage = "A"
    with pytest.raises(VLAError, match="top_layers=1 is for stage B"):
        policy.get_optim_params()
    with pytest.raises(VLAError, match="dtype=bfloat16: what trains is float32"):
        policy_of(make_checkpoint("cogvla"), dtype="bfloat16")[0].get_optim_params()


@pytest.mark.parametrize("views", [{}, {"front": CAMERAS[1], "hand": CAMERAS[0]}])
def test_what_was_trained_knows_its_views_by_name(make_checkpoint, tmp_path, views):
    policy, before, _ = policy_of(make_checkpoint("multimodal_vla"), views=views)
    policy.get_optim_params()
    batch = before(as_lerobot(seen(1), TASKS[:1]))
    expected = policy.predict_action_chunk(batch)
    policy.save_pretrained(tmp_path / "policy")
    again = VlahubPolicy.from_pretrained(tmp_path / "policy")
    assert again.processor.view_names == again.model.config.view_names == (list(views) or ["primary", "wrist"])
    assert torch.equal(again.predict_action_chunk(batch), expected)
    alone = policy_of(tmp_path / "policy" / "checkpoint", views=views)[0]
    assert torch.equal(alone.predict_action_chunk(batch), expected)


def test_a_policy_that_was_saved_is_the_same_and_holds_a_checkpoint(robot_checkpoint, tmp_path):
    policy, before, _ = policy_of(robot_checkpoint, n_action_steps=2, unnorm_key="drawn")
    batch = before(as_lerobot(seen(1), TASKS[:1]))
    torch.manual_seed(0)
    expected = policy.predict_action_chunk(batch)
    policy.save_pretrained(tmp_path / "policy")
    again = VlahubPolicy.from_pretrained(tmp_path / "policy")
    torch.manual_seed(0)
    assert torch.equal(again.predict_action_chunk(batch), expected) and not again.training
    assert again.config.n_action_steps == 2 and again.config.input_features == FEATURES
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "policy" / "checkpoint")
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in policy.model.state_dict().items())
    other = PreTrainedConfig.from_pretrained(tmp_path / "policy", cli_overrides=["--checkpoint=elsewhere"])
    with pytest.raises(VLAError, match=r"checkpoint=elsewhere: .*has weights of its own"):
        VlahubPolicy.from_pretrained(tmp_path / "policy", config=other)


def test_weights_that_were_gathered_elsewhere_are_saved(make_checkpoint, tmp_path):
    """As under FSDP, where LeRobot 0.6 hands the whole state dict over."""
    policy, *_ = policy_of(make_checkpoint("cogvla"))
    gathered = {name: value + 1 if value.is_floating_point() else value for name, value in policy.state_dict().items()}
    (tmp_path / "policy").mkdir()
    policy._save_pretrained(tmp_path / "policy", state_dict=gathered)
    again = VlahubPolicy.from_pretrained(tmp_path / "policy").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in gathered.items())


def test_a_policy_on_the_hub_is_downloaded_at_its_revision(make_checkpoint, tmp_path, monkeypatch):
    asked = []
    policy, *_ = policy_of(make_checkpoint("cogvla"))
    policy.save_pretrained(tmp_path / "policy")
    found = "lerobot_policy_vlahub.checkpoint_folders.snapshot_download"
    monkeypatch.setattr(found, lambda name, **options: asked.append((name, options["revision"])) or tmp_path / "policy")
    VlahubPolicy.from_pretrained("me/policy", revision="v1")
    assert asked == [("me/policy", "v1")]


def test_a_checkpoint_is_a_pretrained_policy_by_the_names_of_its_views(make_checkpoint):
    checkpoint = make_checkpoint("cogvla", processor={"view_names": ["primary", "wrist"]})
    policy = VlahubPolicy.from_pretrained(checkpoint)
    assert list(policy.config.input_features) == list(FEATURES)
    with pytest.raises(VLAError, match="records no names of its views"):
        VlahubPolicy.from_pretrained(make_checkpoint("cogvla"))


def test_what_a_policy_is_loaded_from_is_named_once(make_checkpoint, tmp_path, monkeypatch):
    """A config may say what else is wanted, but not another checkpoint than the one whose weights are read."""
    checkpoint = make_checkpoint("cogvla", processor={"view_names": ["primary", "wrist"]})
    other = make_checkpoint("multimodal_vla")
    monkeypatch.chdir(checkpoint.parent)
    for same in (None, str(checkpoint), checkpoint.name):
        policy = VlahubPolicy.from_pretrained(
            checkpoint, config=VlahubConfig(checkpoint=same, device="cpu"), strict=True
        )
        assert policy.config.checkpoint == str(checkpoint)
    for fields, more in (
        ({"checkpoint": str(other)}, {}),
        ({"checkpoint": "me/policy"}, {}),
        ({"revision": "v1"}, {}),
        ({}, {"revision": "v1"}),
    ):
        with pytest.raises(VLAError, match=rf"{next(iter((fields | more).values()))}.*{checkpoint.name}"):
            VlahubPolicy.from_pretrained(checkpoint, config=VlahubConfig(**fields, device="cpu"), **more)
    policy.save_pretrained(tmp_path / "policy")
    with pytest.raises(VLAError, match=r"revision=v1: .* is a folder"):
        VlahubPolicy.from_pretrained(tmp_path / "policy", revision="v1")
    for wrong in ({"n_action_steps": 1}, {"unnorm_keyy": "drawn"}):
        with pytest.raises(TypeError, match=next(iter(wrong))):
            VlahubPolicy.from_pretrained(checkpoint, **wrong)
        with pytest.raises(TypeError, match=next(iter(wrong))):
            VlahubPolicy(policy.config, **wrong)


def test_statistics_of_a_dataset_are_taken_and_saved(make_checkpoint, dataset, statistics, tmp_path):
    checkpoint = make_checkpoint("cogvla", norm_stats={})
    with pytest.raises(VLAError, match="holds no statistics"):
        policy_of(checkpoint)[0].predict_action_chunk(as_lerobot(seen(1), TASKS[:1]))
    policy, *_ = policy_of(checkpoint, statistics=str(dataset / "dataset_statistics.json"))
    policy.save_pretrained(tmp_path / "policy")
    again = VlahubPolicy.from_pretrained(tmp_path / "policy")
    assert again.model.config.norm_stats == again.processor.norm_stats == statistics
    assert again.config.statistics is None
    with pytest.raises(VLAError, match=r"--policy.statistics=.*nowhere.json"):
        policy_of(checkpoint, statistics=str(tmp_path / "nowhere.json"))


def test_lerobots_own_statistics_are_taken_where_they_are_those_of_all_frames(make_checkpoint, statistics):
    own = {"action": statistics["drawn"]["action"], "observation.state": statistics["drawn"]["proprio"]}
    names = ("min", "max", "mean", "std", "q01", "q99")
    stats = {key: {name: torch.tensor(part[name]) for name in names} for key, part in own.items()}
    given = {"device": "cpu", "statistics": "dataset"}
    bounds = {"normalization_type": "bounds"}
    checkpoint = make_checkpoint("cogvla", norm_stats={}, processor=bounds, **bounds)
    config = VlahubConfig(checkpoint=str(checkpoint), input_features=dict(FEATURES), **given)
    found = VlahubPolicy(config, dataset_stats=stats).processor.norm_stats["dataset"]
    assert found["action"]["min"] == pytest.approx(own["action"]["min"]) and found["action"]["mask"] == [True] * 7
    assert "q01" not in found["action"]
    by_quantiles = make_checkpoint("cogvla", norm_stats={}, normalization_type="bounds_q99")
    with pytest.raises(VLAError, match=r"normalises by q01 and q99, .* means .*vlahub stats"):
        fields = given | {"checkpoint": str(by_quantiles), "input_features": dict(FEATURES)}
        VlahubPolicy(VlahubConfig(**fields), dataset_stats=stats)
    del stats["action"]["min"]
    with pytest.raises(VLAError, match=r"lack action/min.*vlahub stats"):
        VlahubPolicy(config, dataset_stats=stats)


def test_a_training_on_other_units_than_the_statistics_ends(make_checkpoint, dataset):
    """Degrees for radians, which clipping would hide."""
    policy, before, _ = policy_of(make_checkpoint("cogvla"), unnorm_key="drawn")
    batch, _ = rows_of(dataset, range(0, 16))
    degrees = before(batch | {"action": batch["action"] * 57.3})
    policy.forward(degrees)  # an evaluation learns nothing
    policy.train()
    policy.forward(degrees)
    with pytest.raises(VLAError, match=r"of the actions of the dataset lie outside .*--policy.statistics=FILE"):
        policy.forward(degrees)


def test_what_is_trained_is_evaluated_and_trained_on(make_checkpoint, dataset, tmp_path):
    checkpoint = make_checkpoint("cogvla")
    start = f"--policy.checkpoint={checkpoint}", "--policy.type=vlahub"
    saved = trained(dataset, tmp_path / "run", *start, "--policy.n_action_steps=2")
    before, after = (
        AutoModelForImageTextToText.from_pretrained(folder) for folder in (checkpoint, saved / "checkpoint")
    )
    changed = [name for name, value in before.state_dict().items() if not torch.equal(value, after.state_dict()[name])]
    assert changed
    first = evaluated(tmp_path / "one", f"--policy.path={saved}")
    assert first["n_episodes"] == 2
    goes_on = tmp_path / "run" / "checkpoints" / "000002" / "pretrained_model" / "train_config.json"
    run("train", f"--config_path={goes_on}", "--resume=true", "--steps=3")
    assert (tmp_path / "run" / "checkpoints" / "000003" / "pretrained_model" / "checkpoint" / "config.json").is_file()


def test_an_adapter_of_lerobot_is_trained_and_evaluated(make_checkpoint, dataset, tmp_path):
    views = {"primary": CAMERAS[0], "wrist": CAMERAS[1]}
    write_policy(tmp_path / "policy", checkpoint=str(make_checkpoint("cogvla")), views=views)
    adapter = "--peft.method_type=LORA", "--peft.r=2"
    saved = trained(dataset, tmp_path / "run", f"--policy.path={tmp_path / 'policy'}", *adapter)
    assert (saved / "adapter_model.safetensors").is_file() and not (saved / "checkpoint").exists()
    assert evaluated(tmp_path / "evaluated", f"--policy.path={saved}")["n_episodes"] == 2
    with pytest.raises(VLAError, match="folder of an adapter holds none"):
        more = adapter, ("--policy.statistics=" + str(dataset / "dataset_statistics.json"),)
        trained(dataset, tmp_path / "other", f"--policy.path={tmp_path / 'policy'}", *more[0], *more[1])


def test_what_goes_to_the_hub_has_the_checkpoints_code_and_tokenizer(make_checkpoint, monkeypatch):
    """LeRobot uploads JSON and weights alone; the files beside them are uploaded behind."""
    uploaded = {}

    class Hub:
        def upload_folder(self, repo_id, folder_path, path_in_repo):
            uploaded.update({f"{path_in_repo}/{path.name}": repo_id for path in Path(folder_path).iterdir()})

    monkeypatch.setattr(PreTrainedPolicy, "push_model_to_hub", lambda *given, **options: None)
    monkeypatch.setattr("lerobot_policy_vlahub.modeling_vlahub.HfApi", Hub)
    policy, *_ = policy_of(make_checkpoint("cogvla"), repo_id="me/policy")
    policy.push_model_to_hub(cfg=None)
    assert uploaded["checkpoint/modeling_cogvla.py"] == uploaded["checkpoint/tokenizer.json"] == "me/policy"
    assert not any(name.endswith(".safetensors") for name in uploaded)
