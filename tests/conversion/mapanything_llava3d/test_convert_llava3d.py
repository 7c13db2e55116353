"""Published checkpoints of 3dvla-starvla_framework, rebuilt at a tiny size, become what loads with one line."""

import json
import shlex
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tiny_configs import llava3d_config

from vlahub import MapAnythingLlava3DForConditionalGeneration, MapAnythingLlava3DProcessor
from vlahub.conversion.cli import main
from vlahub.conversion.inspection.inspect_checkpoint import inspect_checkpoint
from vlahub.conversion.mapanything_llava3d.names import unused_reason
from vlahub.conversion.tensors import choice

INTERFACE = "mapanythingllava3d_vlm_interface.model."
LLM = "language_model.model."
PROMPT = "Your task is {instruction}. Answer with actions."


@dataclass(frozen=True)
class PublishedRun:
    """A run on disk and the options that its conversion needs."""

    folder: Path
    options: tuple[str, ...]

    def convert(self, output, *more):
        return main(["convert", str(self.folder), str(output), "--quiet", *self.options, *more])

    def copied(self, folder):
        shutil.copytree(self.folder, folder)
        return PublishedRun(folder, self.options)

    def without_geometry(self):
        """The same, converted as a model without the geometry branch."""
        place = self.options.index("--geometry")
        return PublishedRun(self.folder, (*self.options[:place], *self.options[place + 2 :], "--no-geometry"))


def published_names(weights):
    """Our names -> those of the published model, without a framework around it."""
    renamed = {}
    for name, value in weights.items():
        name = name.replace("geometric_model.", "geometric_model.map_anything_model.")
        renamed[name.replace("dit_action_head.", "action_model.")] = value
    dead = {
        f"{LLM}model.mm_projector.0.weight": torch.ones(3, 3),
        f"{LLM}model.video_tower.prompt_encoder.weight": torch.ones(3),
        "vision_tower.vision_model.head.probe": torch.ones(1, 1, 32),
        "geometric_model.map_anything_model.scale_token": torch.ones(64),
        "geometric_model.map_anything_model.dense_head.0.bias": torch.ones(4),
        "geometric_model.map_anything_model.info_sharing.view_pos_table": torch.ones(1, 32),
    }
    return {**renamed, **dead}


def with_copies(published):
    """As the joined model registers its parts: the language model three times, the expert twice."""
    copies = {}
    for name, value in published.items():
        if name.startswith(LLM):
            copies[f"language_model_with_expert.{name}"] = value
            copies[f"action_expert.llava_with_expert.{name}"] = value
        elif name.startswith("language_model_with_expert.expert."):
            parameter = name.removeprefix("language_model_with_expert.expert.")
            copies[f"language_model_with_expert.action_expert.model.{parameter}"] = value
            copies[f"action_expert.llava_with_expert.action_expert.model.{parameter}"] = value
    copies["language_model_with_expert.action_expert.lm_head.weight"] = torch.ones(5, 32)
    kept = {k: v for k, v in published.items() if not k.startswith("language_model_with_expert.expert.")}
    return {**kept, **copies}


def framework_config(**action_model):
    diffusion = {"num_layers": 2, "output_dim": 64, "dropout": 0.2, "interleave_self_attention": True}
    action = {"action_dim": 7, "state_dim": 8, "future_action_window_size": 3, "action_horizon": 4}
    action |= {"noise_beta_alpha": 1.5, "noise_beta_beta": 1.0, "noise_s": 0.999, "num_timestep_buckets": 500}
    action |= {"num_inference_timesteps": 3, "diffusion_model_cfg": diffusion, "vl_layer_selection": "last"}
    vlm = {"base_vlm": "/somewhere/base", "prefix_image_dropout_prob": 0.1, "use_geometric_branch": True}
    framework = {"name": "MapAnythingLlava3DPI", "mapanything_llava3d": vlm, "action_model": {**action, **action_model}}
    return {"run_id": "tiny", "framework": framework, "datasets": {"vla_data": {"CoT_prompt": PROMPT}}}


NEEDED = {
    "dit_run": ["--geometry", "--language", "--vision"],
    "fused_folder": ["--geometry"],
    "without_statistics": ["--geometry", "--statistics", "--language", "--vision"],
}


@pytest.fixture(scope="session")
def dit(parts, tmp_path_factory):
    """The model that the DiT run below holds."""
    output = tmp_path_factory.mktemp("dit") / "out"
    options = ["--action-expert-type", "dit", "--context", "cross", "--prefix-attention", "causal", "--use-state"]
    options += ["--dit-num-layers", "2", "--geometry-normalization", "none", "--action-horizon", "4"]
    assert parts.assemble(output, *options) == 0
    return output


@pytest.fixture(scope="session")
def dit_run(dit, parts, weights_of, tmp_path_factory):
    """A training run: config.yaml, statistics, and the state in a pickle."""
    folder = tmp_path_factory.mktemp("dit_run") / "run"
    (folder / "checkpoints").mkdir(parents=True)
    names = {
        (name if name.startswith("action_model.") else INTERFACE + name): value
        for name, value in published_names(weights_of(dit)).items()
    }
    torch.save(names, folder / "checkpoints" / "steps_500_pytorch_model.pt")
    (folder / "config.yaml").write_text(yaml.safe_dump(framework_config()))
    shutil.copyfile(parts.folder / "dataset_statistics.json", folder / "dataset_statistics.json")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n\nA run.\n")
    return PublishedRun(folder, part_options(parts))


@pytest.fixture(scope="session")
def fused_folder(assembled, parts, weights_of, tmp_path_factory):
    """A folder in transformers' form of the joined model, which names its language model three times."""
    folder = tmp_path_factory.mktemp("fused") / "published"
    folder.mkdir()
    language = json.loads((parts.folder / "language" / "config.json").read_text())
    vision = json.loads((parts.folder / "vision" / "config.json").read_text())["vision_config"]
    config = {"model_type": "mapanything_llava3d", "text_config": language, "vision_config": vision}
    config |= {"image_token_index": -200, "hidden_size": 64, "projection_dim": 2048, "expert_hidden_size": 32}
    config |= {"action_horizon": 4, "use_action_expert": True, "vision_model_name_or_path": "/models/siglip"}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = with_copies(published_names(weights_of(assembled)))
    save_file({k: v.clone() for k, v in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(parts.folder / "language" / name, folder / name)
    shutil.copyfile(parts.folder / "dataset_statistics.json", folder / "dataset_statistics.json")
    return PublishedRun(folder, ("--geometry", str(parts.folder / "geometry")))


def part_options(parts, *roles):
    """What says the number of attention heads."""
    return tuple(w for r in roles or ("language", "vision", "geometry") for w in (f"--{r}", str(parts.folder / r)))


def report_of(folder):
    return json.loads((folder / "conversion_report.json").read_text())


def predicted(folder, **changes):
    """Actions for one sample; changes: settings of the config or of its DiT head."""
    model = MapAnythingLlava3DForConditionalGeneration.from_pretrained(folder).eval()
    for name, value in changes.items():
        setattr(model.config if name in model.config.to_dict() else model.config.dit_config, name, value)
    ids = torch.tensor([[1, *[model.config.image_token_id] * 32, 40, 50]])
    pixels = torch.linspace(-1, 1, 2 * 3 * 56 * 56).view(1, 2, 3, 56, 56)
    state = torch.ones(1, 8) if model.config.use_state else None
    return model.predict_action(ids, pixels, state=state, noise=torch.ones(1, 4, 7))


def assert_refused(code, capsys, *words):
    said = capsys.readouterr().err.splitlines(keepends=True)
    error = "".join(line for line in said if not line.startswith("warning: assumed"))
    assert code == 1 and error.startswith("error: "), error
    assert all(word in error for word in words), error


def edit_yaml(path, change):
    config = yaml.safe_load(path.read_text())
    change(config["framework"])
    path.write_text(yaml.safe_dump(config))


def edit_state(run, change):
    path = next((run.folder / "checkpoints").glob("*.pt"))
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


def edit_tensors(run, change):
    path = run.folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})


# A training run with a DiT head


def test_a_training_run_becomes_the_model_that_was_trained(dit_run, dit, tmp_path, weights_of):
    assert dit_run.convert(tmp_path / "out") == 0
    expected = weights_of(dit)
    found = weights_of(tmp_path / "out")
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert torch.equal(predicted(tmp_path / "out"), predicted(dit, num_inference_steps=3, num_timestep_buckets=500))
    assert not torch.equal(predicted(tmp_path / "out"), predicted(dit, num_inference_steps=3))


def test_settings_of_a_run_are_read_from_its_config_and_tensors(dit_run, tmp_path):
    assert dit_run.convert(tmp_path / "out") == 0
    config = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path / "out").config
    head = config.dit_config
    assert (config.action_expert_type, config.action_dim, config.action_horizon, config.state_dim) == ("dit", 7, 4, 8)
    assert (head.num_hidden_layers, head.num_future_tokens, head.max_seq_len, head.output_dim) == (2, 32, 1024, 64)
    assert (head.context, head.num_timestep_buckets, head.num_inference_timesteps, head.dropout) == (
        "cross",
        500,
        3,
        0.2,
    )
    assert (config.prefix_attention, config.geometry_normalization, config.pixel_range) == ("causal", "none", "siglip")
    assert (config.normalization_type, config.prefix_image_dropout_prob) == ("bounds_q99", 0.1)
    settings = report_of(tmp_path / "out")["settings"]
    assert settings["prefix_attention"] == {
        "value": "causal",
        "known": "assumed (as in the published code; --prefix-attention says otherwise)",
    }
    processor = MapAnythingLlava3DProcessor.from_pretrained(tmp_path / "out")
    assert processor.prompt_template == PROMPT and processor.image_token_id == config.image_token_id == 354


@pytest.mark.parametrize(
    ("name", "options"), [("dit_action_head_concat", ()), ("dit_action_head_starvla", ("--context", "interleave"))]
)
def test_a_published_head_in_a_run_predicts_the_published_actions(golden, dit_run, tmp_path, name, options):
    case, run = golden(f"llava3d/{name}"), dit_run.copied(tmp_path / "run")

    def replaced(state):
        for key in [key for key in state if key.startswith("action_model.")]:
            del state[key]
        state.update({f"action_model.{key}": value for key, value in case.state().items()})

    edit_state(run, replaced)
    edit_yaml(run.folder / "config.yaml", lambda framework: framework.update(action_model=case.config["action_model"]))
    assert run.convert(tmp_path / "out", *options) == 0
    head = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path / "out").eval().dit_action_head
    layers = [case.input(f"vl_hidden_{i}") for i in range(head.config.num_hidden_layers)]
    mask = case.input("encoder_attention_mask")
    case.check("predicted_actions", head.predict_action(layers, case.input("state"), mask, noise=case.input("noise")))


def test_a_run_can_be_verified_against_its_source(dit_run, tmp_path, capsys):
    assert dit_run.convert(tmp_path / "out") == 0
    assert main(["verify", str(tmp_path / "out"), "--against", str(dit_run.folder)]) == 0
    assert "equal their recomputation" in capsys.readouterr().out
    other = dit_run.copied(tmp_path / "other")
    edit_state(other, lambda state: state[f"{INTERFACE}fusion_projector.weight"].mul_(2))
    code = main(["verify", str(tmp_path / "out"), "--against", str(other.folder), "--quiet"])
    assert_refused(code, capsys, "fusion_projector.weight")


def test_a_state_in_its_parallel_wrapper_and_as_safetensors_is_read(dit_run, dit, tmp_path, weights_of):
    run = dit_run.copied(tmp_path / "run")
    path = next((run.folder / "checkpoints").glob("*.pt"))
    state = {f"module.{k}": v.clone() for k, v in torch.load(path, weights_only=True).items()}
    save_file(state, path.with_suffix(".safetensors"), {"format": "pt"})
    path.unlink()
    assert run.convert(tmp_path / "out") == 0
    expected = weights_of(dit)
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(tmp_path / "out").items())


@pytest.mark.parametrize(("step", "file"), [("final", "final_model/pytorch_model.pt"), ("900", None)])
def test_of_several_steps_the_one_that_is_named_is_converted(dit_run, tmp_path, capsys, step, file):
    run = dit_run.copied(tmp_path / "run")
    path = next((run.folder / "checkpoints").glob("*.pt"))
    other = run.folder / (file or "checkpoints/steps_900_pytorch_model.pt")
    other.parent.mkdir(exist_ok=True)
    shutil.copyfile(path, other)
    assert_refused(run.convert(tmp_path / "out"), capsys, "--step", "500", step)
    assert run.convert(tmp_path / "out", "--step", step) == 0
    sources = {source for t in report_of(tmp_path / "out")["tensors"].values() for source in t["sources"]}
    assert {source.split(":")[0] for source in sources} == {f"run/{other.relative_to(run.folder)}"}
    assert_refused(run.convert(tmp_path / "none", "--step", "7"), capsys, "--step 7", "500")


@pytest.mark.parametrize("name", ["checkpoints/steps_500_pytorch_model", "final_model/pytorch_model"])
def test_of_two_files_of_one_step_none_is_taken_unseen(dit_run, tmp_path, capsys, name):
    run = dit_run.copied(tmp_path / "run")
    pickled, safe = run.folder / f"{name}.pt", run.folder / f"{name}.safetensors"
    pickled.parent.mkdir(exist_ok=True)
    next((run.folder / "checkpoints").glob("*.pt")).rename(pickled)
    save_file(torch.load(pickled, weights_only=True), safe)
    for step in ([], ["--step", "final" if "final" in name else "500"]):
        assert_refused(run.convert(tmp_path / "out", *step), capsys, "one step twice", f"{name}.pt and {name}.safet")
    pickled.unlink()
    assert run.convert(tmp_path / "out") == 0


UNUSED = {  # options that a run has no use for, and what the error says
    "dit_run": [("--expert-layer-alignment even", "no joined expert")],
    "fused_folder": [
        ("--context concat", "no DiT head"),
        ("--output-projection none", "no DiT head"),
        ("--step 7", "there are model.safetensors"),
        ("--no-geometry", "the model will have no geometry branch, given (--no-geometry)"),
    ],
    "without_geometry": [("--geometry-normalization imagenet", "no geometry branch")],
    "without_experts": [
        ("--num-action-chunks 4", "no action expert"),
        ("--normalization bounds", "no action expert"),
        ("--num-inference-steps 4", "no action expert"),
    ],
}


@pytest.fixture(scope="session")
def without_experts(fused_folder, tmp_path_factory):
    """The same without what predicts actions."""
    run = fused_folder.copied(tmp_path_factory.mktemp("without") / "published")
    tensors = load_file(run.folder / "model.safetensors")
    kept = {name: value for name, value in tensors.items() if "expert" not in name}
    save_file(kept, run.folder / "model.safetensors", {"format": "pt"})
    (run.folder / "dataset_statistics.json").unlink()
    return run


@pytest.fixture
def without_geometry(fused_folder):
    return fused_folder.without_geometry()


@pytest.mark.parametrize(("name", "option", "lack"), [(n, *row) for n, rows in UNUSED.items() for row in rows])
def test_an_option_that_a_run_has_no_use_for_is_refused(name, option, lack, request, tmp_path, capsys):
    run = request.getfixturevalue(name)
    assert_refused(run.convert(tmp_path / "out", *option.split()), capsys, option.split("--")[-1].split()[0], lack)
    assert run.convert(tmp_path / "out", "--dry-run") == 0


def test_a_run_that_was_trained_with_both_contexts_says_so(dit_run, tmp_path):
    run = dit_run.copied(tmp_path / "run")
    edit_yaml(run.folder / "config.yaml", lambda f: f["action_model"].update(use_concat_cross_context=True))
    assert run.convert(tmp_path / "out", "--dry-run") == 0
    assert run.convert(tmp_path / "out") == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["dit_config"]["context"] == "concat"
    assert run.convert(tmp_path / "given", "--context", "interleave") == 0
    config = json.loads((tmp_path / "given" / "config.json").read_text())
    assert config["dit_config"]["context"] == "interleave"


def test_options_leave_out_what_was_not_trained(dit_run, tmp_path):
    options = ("--no-state", "--output-projection", "none")
    assert dit_run.without_geometry().convert(tmp_path / "out", *options) == 0
    reasons = {row["source"].split(":")[1]: row["reason"] for row in report_of(tmp_path / "out")["leftovers"]}
    assert "--no-state" in reasons["action_model.state_encoder.layer1.weight"]
    assert "geometry" in reasons[f"{INTERFACE}fusion_projector.weight"]
    assert "output_projection" in reasons["action_model.model.proj_out_1.weight"]
    assert predicted(tmp_path / "out").shape == (1, 4, 7)


@pytest.mark.parametrize("name", ["action_expert.state_proj.weight", "dit_action_head.state_encoder.layer1.weight"])
def test_no_expert_without_a_state_has_use_for_its_projector(name):
    without, with_state = llava3d_config(use_state=False), llava3d_config(use_state=True, state_dim=3)
    assert "--no-state" in unused_reason(name, without) and unused_reason(name, with_state) is None


def test_a_vision_projector_between_equal_widths_is_left_out(write_parts, tmp_path, weights_of):
    parts = write_parts(vision_width=64)
    assert parts.assemble(tmp_path / "model", "--action-expert-type", "dit", "--action-horizon", "4") == 0
    folder = tmp_path / "run"
    folder.mkdir()
    state = published_names(weights_of(tmp_path / "model"))
    del state["vision_tower.vision_model.head.probe"]
    state |= {"vision_projector.weight": torch.ones(64, 64), "vision_projector.bias": torch.ones(64)}
    torch.save(state, folder / "model.pt")
    (folder / "config.json").write_text(json.dumps(framework_config()))
    options = (*part_options(parts), "--statistics", str(parts.folder / "dataset_statistics.json"))
    assert PublishedRun(folder, options).convert(tmp_path / "out") == 0
    reasons = {row["source"].split(":")[1]: row["reason"] for row in report_of(tmp_path / "out")["leftovers"]}
    assert "equally wide" in reasons["vision_projector.weight"]


# The joined model, in transformers' form


def test_a_joined_model_is_written_once_whatever_its_copies(fused_folder, assembled, tmp_path, weights_of):
    assert fused_folder.convert(tmp_path / "out") == 0
    expected, found = weights_of(assembled), weights_of(tmp_path / "out")
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    left = report_of(tmp_path / "out")["leftovers"]
    copies = [row for row in left if row["reason"] == "the same tensor under another name"]
    # 30 tensors of the language model twice more, 19 of the expert once more
    assert len(copies) == 2 * 30 + 19 and {row["status"] for row in copies} == {"superseded"}


def test_a_joined_model_predicts_as_the_one_it_was_made_from(fused_folder, assembled, tmp_path):
    assert fused_folder.convert(tmp_path / "out", "--geometry-normalization", "imagenet") == 0
    config = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path / "out").config
    assert (config.action_expert_type, config.prefix_attention) == ("deep_fusion", "bidirectional")
    assert (config.expert_config.hidden_size, config.expert_config.num_hidden_layers) == (32, 2)
    assert config.image_token_id == 354 and config.vision_model_name_or_path == "/models/siglip"
    assert torch.equal(predicted(tmp_path / "out"), predicted(assembled, num_inference_steps=20))


def test_copies_that_one_pickle_holds_once_are_told_without_reading_them(
    assembled, fused_folder, tmp_path, weights_of, monkeypatch
):
    run = fused_folder.copied(tmp_path / "run")
    (run.folder / "model.safetensors").unlink()
    torch.save(with_copies(published_names(weights_of(assembled))), run.folder / "pytorch_model.bin")
    monkeypatch.setattr(choice, "have_equal_bits", lambda first, second: pytest.fail("was read"))
    assert run.convert(tmp_path / "out") == 0
    expected = weights_of(assembled)
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(tmp_path / "out").items())


def test_copies_that_differ_are_refused_by_both_names(fused_folder, tmp_path, capsys):
    run = fused_folder.copied(tmp_path / "run")
    copy = f"action_expert.llava_with_expert.{LLM}model.layers.2.mlp.up_proj.weight"
    edit_tensors(run, lambda tensors: tensors[copy][5, 5].add_(1e-3))
    assert_refused(run.convert(tmp_path / "out"), capsys, copy, f"{LLM}model.layers.2.mlp.up_proj.weight and", "differ")
    assert not (tmp_path / "out").exists()


def test_a_language_model_under_its_copy_alone_is_found(fused_folder, assembled, tmp_path, weights_of):
    """safetensors keeps one of the names of a shared tensor, whichever."""
    run = fused_folder.copied(tmp_path / "run")
    edit_tensors(run, lambda tensors: [tensors.pop(k) for k in list(tensors) if k.startswith((LLM, "action_expert.l"))])
    assert run.convert(tmp_path / "out") == 0
    expected = weights_of(assembled)
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(tmp_path / "out").items())


@pytest.mark.parametrize("name", ["expert", "expert_model.model", "language_model_expert", "gemma_expert.model.model"])
def test_the_experts_stack_is_told_from_the_base_by_its_name(fused_folder, assembled, tmp_path, weights_of, name):
    run = fused_folder.copied(tmp_path / "run")

    def renamed(tensors):
        for key in [key for key in tensors if ".action_expert.model." in key]:
            tensors[key.replace(".action_expert.model.", f".{name}.")] = tensors.pop(key)

    edit_tensors(run, renamed)
    assert run.convert(tmp_path / "out") == 0
    expected = weights_of(assembled)
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(tmp_path / "out").items())


def test_a_model_without_action_parts_becomes_one_that_writes_text(fused_folder, tmp_path):
    run = fused_folder.copied(tmp_path / "run")
    edit_tensors(run, lambda tensors: [tensors.pop(k) for k in list(tensors) if "expert" in k])
    (run.folder / "dataset_statistics.json").unlink()
    assert run.convert(tmp_path / "out") == 0
    model = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path / "out").eval()
    assert model.config.action_expert_type is None
    ids = torch.tensor([[1, *[354] * 16, 40]])
    written = model.generate(ids, pixel_values=torch.zeros(1, 3, 56, 56), max_new_tokens=2, do_sample=False)
    assert written.shape[1] >= 2


def test_the_card_of_a_converted_run_does_not_call_it_untrained(dit_run, tmp_path):
    assert dit_run.convert(tmp_path / "out") == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "not trained" not in card and "untrained" not in card and "initialised" not in card
    assert "- run, `run`: `mit`" in card and "- language, `language`: `llama2`" in card
    assert "DiT head, 2 blocks, context `cross`" in card


# Refusals


def drop(end):
    return lambda tensors: tensors.pop(next(key for key in tensors if key.endswith(end)))


DAMAGED_RUNS = {
    "a tensor of no known name": (
        lambda run: edit_state(run, lambda s: s.update({"action_model.new.weight": torch.ones(2)})),
        ("action_model.new.weight",),
    ),
    "a part of no known name": (
        lambda run: edit_state(run, lambda s: s.update({f"{INTERFACE}depth_tower.weight": torch.ones(2)})),
        (f"{INTERFACE}depth_tower.weight",),
    ),
    "a tensor that is missing": (
        lambda run: edit_state(run, drop("layers.1.self_attn.q_proj.weight")),
        ("layers.1.self_attn.q_proj.weight",),
    ),
    "no horizon": (
        lambda run: edit_yaml(run.folder / "config.yaml", lambda f: f["action_model"].pop("future_action_window_size")),
        ("action_horizon", "--action-horizon"),
    ),
    "no statistics": (
        lambda run: (run.folder / "dataset_statistics.json").unlink(),
        ("dataset_statistics.json", "--statistics"),
    ),
    "normalised states": (
        lambda run: edit_yaml(
            run.folder / "config.yaml", lambda f: f["mapanything_llava3d"].update(normalize_vl_hidden=True)
        ),
        ("normalize_vl_hidden",),
    ),
    "the first layers": (
        lambda run: edit_yaml(
            run.folder / "config.yaml", lambda f: f["action_model"].update(vl_layer_selection="first")
        ),
        ("vl_layer_selection",),
    ),
    "another framework": (
        lambda run: edit_yaml(run.folder / "config.yaml", lambda f: f.update(name="QwenGR00T")),
        ("'QwenGR00T'", "MapAnythingLlava3DPI"),
    ),
    "a config that is not YAML": (lambda run: (run.folder / "config.yaml").write_text("a: ["), ("config.yaml",)),
    "no weights": (lambda run: shutil.rmtree(run.folder / "checkpoints"), ("no weights",)),
}


@pytest.mark.parametrize("name", DAMAGED_RUNS)
def test_a_damaged_run_is_refused_by_name_and_leaves_nothing(dit_run, tmp_path, capsys, name):
    damage, words = DAMAGED_RUNS[name]
    run = dit_run.copied(tmp_path / "run")
    damage(run)
    assert_refused(run.convert(tmp_path / "out" / "checkpoint"), capsys, *words)
    assert not (tmp_path / "out" / "checkpoint").exists()


@pytest.mark.parametrize(("role", "other"), [("language", "vision"), ("vision", "language")])
def test_heads_that_no_file_says_are_asked_for_by_option(dit_run, parts, tmp_path, capsys, role, other):
    tokenizer = ("--tokenizer", str(parts.folder / "language"))
    run = PublishedRun(dit_run.folder, (*part_options(parts, other, "geometry"), *tokenizer))
    assert_refused(run.convert(tmp_path / "out"), capsys, "attention heads", f"--{role} DIR")


def test_parts_configs_may_come_from_a_published_checkpoint(dit_run, fused_folder, tmp_path):
    options = ("--language", str(fused_folder.folder), "--vision", str(fused_folder.folder), *fused_folder.options)
    assert PublishedRun(dit_run.folder, options).convert(tmp_path / "out") == 0
    assert predicted(tmp_path / "out").shape == (1, 4, 7)


def test_a_horizon_can_be_given(fused_folder, tmp_path, capsys):
    run = fused_folder.copied(tmp_path / "run")
    path = run.folder / "config.json"
    config = json.loads(path.read_text())
    del config["action_horizon"]
    path.write_text(json.dumps(config))
    assert_refused(run.convert(tmp_path / "out"), capsys, "--action-horizon")
    assert run.convert(tmp_path / "out", "--action-horizon", "6") == 0
    assert json.loads((tmp_path / "out" / "config.json").read_text())["action_horizon"] == 6


def test_a_converted_checkpoint_is_not_converted_again(assembled, tmp_path, capsys):
    assert_refused(main(["convert", str(assembled), str(tmp_path / "out"), "--quiet"]), capsys, "converted checkpoint")


# What a run does not say


def test_what_a_run_does_not_say_is_assumed_aloud(dit_run, fused_folder, tmp_path, capsys):
    run = dit_run.copied(tmp_path / "run")
    edit_yaml(run.folder / "config.yaml", lambda framework: framework["action_model"].pop("num_inference_timesteps"))
    assert main(["convert", str(run.folder), str(tmp_path / "dit"), *run.options]) == 0
    warning = capsys.readouterr().err
    known = {name: setting["known"] for name, setting in report_of(tmp_path / "dit")["settings"].items()}
    options = {
        "prefix_attention": "--prefix-attention",
        "geometry_normalization": "--geometry-normalization",
        "pixel_range": "--pixel-range",
        "normalization_type": "--normalization",
        "num_inference_steps": "--num-inference-steps",
        "context": "--context",
    }
    card = (tmp_path / "dit" / "README.md").read_text()
    for name, option in options.items():
        assert known[name].startswith("assumed") and option in known[name]
        assert f"{name}=" in warning and f"`{name}`" in card
    assert known["num_timestep_buckets"] == "read (config)" and "geometry_heads" not in known

    given = ["--prefix-attention", "causal", "--geometry-normalization", "none", "--pixel-range", "siglip"]
    given += ["--normalization", "bounds_q99", "--num-inference-steps", "7", "--quiet"]
    assert main(["convert", str(fused_folder.folder), str(tmp_path / "fused"), *fused_folder.options, *given]) == 0
    settings = report_of(tmp_path / "fused")["settings"]
    assert settings["num_inference_steps"] == {"value": 7, "known": "given (--num-inference-steps)"}
    assert [name for name, setting in settings.items() if setting["known"].startswith("assumed")] == ["prompt_template"]


def test_a_geometry_branch_that_the_config_promises_must_be_there(dit_run, tmp_path, capsys):
    run = dit_run.copied(tmp_path / "run")

    def without(state):
        for key in [key for key in state if "geometric_model." in key or "geometric_projector" in key]:
            del state[key]

    edit_state(run, without)
    words = ("use_geometric_branch=true", "--no-geometry")
    assert_refused(run.convert(tmp_path / "out"), capsys, *words)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stats: stats["action"]["q01"].__setitem__(2, float("nan")), "['action']['q01'][2] is nan"),
        (lambda stats: stats["state"]["q99"].__setitem__(0, "1"), "['state']['q99'][0] is '1'"),
        (lambda stats: stats.pop("state"), "has no 'proprio' or 'state' part"),
    ],
)
def test_statistics_that_cannot_be_used_end_a_conversion_and_an_assembly(
    change, message, dit_run, parts, tmp_path, capsys
):
    file = tmp_path / "other.json"
    statistics = json.loads((parts.folder / "dataset_statistics.json").read_text())
    change(next(iter(statistics.values())))
    file.write_text(json.dumps(statistics))
    assert_refused(dit_run.convert(tmp_path / "out", "--statistics", str(file)), capsys, message)
    options = ["--statistics", str(file), "--action-horizon", "4", "--use-state", "--state-dim", "8"]
    assert_refused(parts.assemble(tmp_path / "out", *options), capsys, message)
    assert not (tmp_path / "out").exists()


# What inspect says before


def test_of_several_steps_inspect_counts_the_one_that_it_names(dit_run, tmp_path):
    run = dit_run.copied(tmp_path / "run")
    path = next((run.folder / "checkpoints").glob("*.pt"))
    other = path.with_name("steps_900_pytorch_model.pt")
    shutil.copyfile(path, other)
    state = torch.load(other, weights_only=True)
    state["spatial_embed_tokens.weight"] = torch.zeros(3, 5)
    torch.save(state, other)
    one, both = (inspect_checkpoint(str(folder)) for folder in (dit_run.folder, run.folder))
    assert both.parameters == one.parameters + 15
    [told] = [text for text in both.oddities if "several steps" in text]
    assert told.endswith("checkpoints/steps_900_pytorch_model.pt.")


@pytest.mark.parametrize("name", ["dit_run", "fused_folder", "without_statistics"])
def test_the_command_that_inspect_prints_is_accepted_and_each_option_of_it_is_needed(
    name, parts, request, tmp_path, capsys
):
    if name == "without_statistics":
        run = request.getfixturevalue("dit_run").copied(tmp_path / "run")
        (run.folder / "dataset_statistics.json").unlink()
    else:
        run = request.getfixturevalue(name)
    (step,) = inspect_checkpoint(str(run.folder)).next_steps
    values = {
        str(run.folder): str(tmp_path / "out"),  # behind it stands OUTPUT
        "--language": str(parts.folder / "language"),
        "--vision": str(parts.folder / "vision"),
        "--geometry": str(parts.folder / "geometry"),
        "--statistics": str(parts.folder / "dataset_statistics.json"),
    }

    def carried_out(command):
        words = shlex.split(command)[1:]
        filled = [values.get(before, word) for before, word in pairwise(["", *words])]
        return main([*filled, "--dry-run", "--quiet"])

    assert [need.option.split()[0] for need in step.needed] == NEEDED[name]
    assert carried_out(step.command) == 0, capsys.readouterr().err
    for need in step.needed:
        assert carried_out(step.command.replace(f" {need.option}", "")) == 1
        assert need.option.split()[0] in capsys.readouterr().err


def test_a_run_writes_as_it_says(dit_run, tmp_path):
    run = dit_run.copied(tmp_path / "run")
    (run.folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7], "max_new_tokens": 33}))
    assert run.convert(tmp_path / "out", "--no-verify") == 0
    found = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert (found["eos_token_id"], found["max_new_tokens"]) == ([2, 7], 33)
