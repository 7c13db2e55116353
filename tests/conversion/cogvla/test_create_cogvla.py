"""The start of a policy from a base model: OpenVLA, OpenVLA-OFT, or an earlier step; by the command and in Python."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor
from transformers.dynamic_module_utils import get_class_from_dynamic_module

import vlahub
from vlahub import CogVLAForActionPrediction, CogVLAProcessor
from vlahub.configuration.cogvla.openvla_names import name_in_model
from vlahub.conversion.cli import main
from vlahub.conversion.files.file_hashes import with_own_hash
from vlahub.conversion.predictions.checkpoint_loading import load_model
from vlahub.conversion.report import write_report
from vlahub.conversion.untrained_tensors import untrained_of
from vlahub.data import collator_for
from vlahub.errors import ConfigError

ALL = ("--film", "--aggregation-tokens", "4", "--fusion", "moe", "--lfp", "shiftedcos_decay_0.85_0.15")
ALL += ("--action-head", "l1", "--num-images", "2", "--state-dim", "8")
SWITCHES = {"film": True, "aggregation_tokens": 4, "fusion": "moe", "lfp": "shiftedcos_decay_0.85_0.15"}
SWITCHES |= {"action_head": "l1", "num_images": 2, "state_dim": 8}
OFT = {"num_images": 2, "num_action_chunks": 8, "normalization": "bounds_q99"}


def create(base, output, *options):
    return main(["create", "--family", "cogvla", "--base", str(base), "--output", str(output), "--quiet", *options])


@pytest.fixture(scope="session")
def openvla(tiny_run, tmp_path_factory):
    """A published OpenVLA; not to be changed."""
    folder = tmp_path_factory.mktemp("openvla")
    tiny_run.TinyRun(layers=4).write(folder)
    return folder / "base"


@pytest.fixture(scope="session")
def started(openvla, tmp_path_factory):
    """A CogVLA from it, all at once; not to be changed."""
    output = tmp_path_factory.mktemp("start") / "out"
    assert create(openvla, output, *ALL) == 0
    return output


@pytest.fixture(scope="session")
def merged_oft(tiny_run, tmp_path_factory):
    """A published OpenVLA-OFT whose weights are merged, its heads beside them in side files."""
    folder = tmp_path_factory.mktemp("oft")
    run = tiny_run.TinyRun(cogvla=False, layers=4)
    run.write(folder)
    shutil.rmtree(folder / "run" / "lora_adapter")
    for path in (folder / "base").glob("model*"):
        shutil.copy(path, folder / "run")
    return folder / "run"


@pytest.fixture
def named(openvla, tmp_path):
    """A folder with a tokenizer that is told from the base's, and nothing else."""
    folder = tmp_path / "named"
    folder.mkdir()
    shutil.copy(openvla / "tokenizer.json", folder)
    settings = json.loads((openvla / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 123}))
    return folder


def with_heads_inside(folder, output):
    """The same with all tensors in one file, under published names."""
    output.mkdir()
    tensors = {}
    for path in folder.glob("model-*.safetensors"):
        tensors |= load_file(path)
    for path in folder.glob("*.pt"):
        kind = path.name.partition("--")[0]
        found = torch.load(path, weights_only=True)
        tensors |= {f"{kind}.{key.removeprefix('module.')}": value for key, value in found.items()}
    save_file(tensors, output / "model.safetensors")
    for name in ("config.json", "dataset_statistics.json"):
        shutil.copy(folder / name, output)
    return output


def tensors_of(folder):
    """All tensors of a folder, under the names of the model."""
    found = {}
    for path in sorted(folder.glob("model*.safetensors")):
        found |= load_file(path)
    return found


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.dtype == second[name].dtype and torch.equal(value, second[name]), name


def settings_of(model):
    """Of the config; 4.57 notes the dtype of a part in memory, and 5.x where it was loaded from."""
    left_out = ("auto_map", "architectures", "_name_or_path")
    fields = {name: value for name, value in model.config.to_dict().items() if name not in left_out}
    for value in fields.values():
        if isinstance(value, dict):
            value.pop("dtype", None)
    return fields


def report_of(folder):
    return json.loads((folder / "conversion_report.json").read_text())


def config_of(folder):
    config = json.loads((folder / "config.json").read_text())
    return {name: value for name, value in config.items() if not name.startswith("_")}


def test_all_of_the_base_is_carried_bit_for_bit_and_the_report_lists_what_is_new(openvla, started):
    report, written = report_of(started), tensors_of(started)
    base = {name_in_model(key): value for key, value in tensors_of(openvla).items()}
    for name, tensor in report["tensors"].items():
        if tensor["operation"] == "copy":
            assert torch.equal(written[name], base[name]), name
        else:
            assert tensor["operation"] == "initialised" and name not in base, name
    reasons = {left["reason"] for left in report["leftovers"]}
    assert "the MoE aggregator replaces it" in reasons and len(reasons) == 3
    new = report["settings"]["new_tensors"]["value"]
    words = ("film", "aggregation", "fusion", "lfp", "state", "action_head")
    assert all(f"{word} (" in new for word in words) and "others" not in new
    assert report["inputs"] == {"base": "base"} and report["settings"]["use_film"]["known"] == "given (--film)"
    card = (started / "README.md").read_text()
    assert "not trained" in card and "untrained" in card and "The rest is the base, number by number" in card
    assert new in " ".join(card.split())


def test_new_parts_start_as_in_a_new_model(started):
    tensors = tensors_of(started)
    assert not any(value.any() for name, value in tensors.items() if ".film." in name)
    drawn = tensors["vision_backbone.featurizer.aggregation.tokens"].float()
    assert drawn.shape == (1, 4, 32) and 0.7 < drawn.std() < 1.3
    assert 0.015 < tensors["moe_aggregator.router.0.weight"].float().std() < 0.025
    assert 0.01 < tensors["language_model.model.layers.3.router.router.weight"].float().std() < 0.03


@pytest.mark.parametrize(
    "steps",
    [
        [["--film"], ["--action-head", "l1", "--state-dim", "8", "--num-images", "2"], [*ALL[1:7]]],
        [["--fusion", "moe"], ["--aggregation-tokens", "4"], ALL[:1] + ALL[7:], ALL[5:7]],
    ],
)
def test_steps_in_every_order_are_all_at_once(openvla, started, tmp_path, steps):
    base = openvla
    for number, options in enumerate(steps):
        assert create(base, tmp_path / str(number), *options, "--no-verify") == 0
        base = tmp_path / str(number)
    assert_same(tensors_of(base), tensors_of(started))
    assert config_of(base) == config_of(started)
    assert {path.name for path in base.iterdir()} == {path.name for path in started.iterdir()}


def test_another_seed_changes_what_is_drawn_and_nothing_else(openvla, started, tmp_path):
    assert create(openvla, tmp_path / "out", *ALL, "--seed", "1") == 0
    first, second, report = tensors_of(started), tensors_of(tmp_path / "out"), report_of(started)
    drawn = {name for name, tensor in report["tensors"].items() if tensor["sources"][0].startswith("normal")}
    assert {name for name in first if not torch.equal(first[name], second[name])} == drawn


def test_with_nothing_switched_on_it_is_what_convert_makes(openvla, tmp_path):
    assert create(openvla, tmp_path / "start", "--no-verify") == 0
    options = ("--decoding", "autoregressive", "--quiet", "--no-verify")
    assert main(["convert", str(openvla), str(tmp_path / "base"), *options]) == 0
    assert_same(tensors_of(tmp_path / "start"), tensors_of(tmp_path / "base"))
    assert config_of(tmp_path / "start") == config_of(tmp_path / "base")
    assert "not trained" not in (tmp_path / "start" / "README.md").read_text()


@pytest.mark.parametrize(
    ("base", "message"),
    [("/nowhere/at/all", "neither a folder nor a repository"), (".", "holds no config.json: is it a model?")],
)
def test_what_is_no_model_is_no_base(tmp_path, monkeypatch, base, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        CogVLAForActionPrediction.from_base(base, film=True)


@pytest.mark.parametrize("dtype", ["auto", "float32"])
def test_from_base_is_what_the_command_writes(openvla, started, tmp_path, dtype):
    folder = started
    if dtype != "auto":
        folder = tmp_path / "out"
        assert create(openvla, folder, *ALL, "--dtype", dtype) == 0
    kind = CogVLAForActionPrediction
    model = kind.from_base(str(openvla), dtype=getattr(torch, dtype, dtype), **SWITCHES)
    written = kind.from_pretrained(folder, dtype="auto")
    assert model.name_or_path == model.config.name_or_path == ""  # which an adapter would name as its base
    assert_same(model.state_dict(), written.state_dict())
    assert settings_of(model) == settings_of(written)
    model.save_pretrained(tmp_path / "saved")
    assert_same(tensors_of(tmp_path / "saved"), tensors_of(folder))


def test_the_code_of_a_checkpoint_starts_from_a_base_too(openvla, started):
    kind = get_class_from_dynamic_module("modeling_cogvla.CogVLAForActionPrediction", str(started))
    assert kind is not CogVLAForActionPrediction
    assert_same(kind.from_base(str(openvla), **SWITCHES).state_dict(), tensors_of(started))


def test_pruning_is_switched_on_in_a_model_that_was_trained_without_it(openvla, tmp_path):
    kind = CogVLAForActionPrediction
    model = kind.from_base(str(openvla), film=True, action_head="l1", num_images=2, seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    model.save_pretrained(tmp_path / "trained")
    later = kind.from_base(str(tmp_path / "trained"), lfp="deep_all", lfp_average_factor=0.25, seed=3)
    before, after = model.state_dict(), later.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert {name.split(".")[4] for name in after.keys() - before.keys()} == {"router"}
    assert sorted(later.config.lfp_keep_ratios) == [2, 3] and later.config.norm_stats == model.config.norm_stats
    options = ("--lfp", "deep_all", "--lfp-average-factor", "0.25", "--seed", "3")
    assert create(tmp_path / "trained", tmp_path / "out", *options) == 0
    assert_same(tensors_of(tmp_path / "out"), after)


def read_text(model, inputs):
    """Greedy text and all its logits."""
    options = {"max_new_tokens": 6, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    output = model.eval().generate(**inputs, **options)
    return output.sequences, torch.stack(output.logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_with_film_and_a_head_the_base_writes_what_it_wrote_bit_for_bit(openvla, tmp_path, dtype):
    assert main(["convert", str(openvla), str(tmp_path / "base"), "--decoding", "autoregressive", "--quiet"]) == 0
    base = CogVLAForActionPrediction.from_pretrained(tmp_path / "base", dtype=dtype)
    start = CogVLAForActionPrediction.from_base(str(openvla), dtype=dtype, film=True, action_head="l1")
    images = np.random.RandomState(0).randint(0, 255, (56, 56, 3), dtype=np.uint8)
    inputs = AutoProcessor.from_pretrained(tmp_path / "base")(images=[images], text="pick up the bowl")
    inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
    assert all(map(torch.equal, read_text(base, inputs), read_text(start, inputs)))


def test_a_start_predicts_and_trains_at_once(started):
    processor = AutoProcessor.from_pretrained(started)
    model = CogVLAForActionPrediction.from_pretrained(started, dtype=torch.float32)
    rng = np.random.RandomState(0)
    views = [rng.randint(0, 255, (40, 60, 3), dtype=np.uint8) for _ in range(2)]
    example = {"images": views, "text": "pick up the bowl", "state": np.zeros(8, np.float32)}
    actions = model.predict_action(**processor(**example, return_tensors="pt"))
    assert actions.shape == (1, 8, 7) and actions.isfinite().all()
    collator = collator_for(model.config, processor)
    loss = model(**collator([example | {"actions": rng.randn(8, 7)}])).loss
    loss.backward()
    for part in ("router.router", "film.scale", "aggregation", "moe_aggregator", "action_head", "proprio_projector"):
        gradients = [p.grad for name, p in model.named_parameters() if part in name]
        assert any(g is not None and g.any() for g in gradients), part


def test_images_of_a_start_are_as_it_is_told_and_else_as_in_its_base(openvla, tmp_path):
    steps = {
        "first": (openvla, ("--center-crop", "--image-resize", "bicubic"), (True, "bicubic")),
        "kept": (tmp_path / "first", ("--film",), (True, "bicubic")),
        "told": (tmp_path / "first", ("--no-center-crop", "--image-resize", "jpeg_lanczos3"), (False, "jpeg_lanczos3")),
    }
    for name, (base, options, wanted) in steps.items():
        assert create(base, tmp_path / name, "--no-verify", *options) == 0
        written = json.loads((tmp_path / name / "preprocessor_config.json").read_text())
        assert (written["center_crop"], written["image_resize"]) == wanted, name


def test_names_of_views_go_on_with_the_processor_of_a_start(started, tmp_path):
    base = changed(started, tmp_path / "base", lambda folder: None)
    path = base / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"view_names": ["front", "wrist"]}))
    assert create(base, tmp_path / "out", "--no-verify", "--no-center-crop") == 0
    assert CogVLAProcessor.from_pretrained(tmp_path / "out").view_names == ["front", "wrist"]


def test_what_is_given_wins_over_the_platform_of_a_start(openvla, tmp_path):
    given = ("--platform", "aloha", "--action-dim", "7", "--num-action-chunks", "3", "--action-head", "l1")
    assert create(openvla, tmp_path / "out", "--no-verify", *given) == 0
    config = config_of(tmp_path / "out")
    found = config["num_action_chunks"], config["action_dim"], config["normalization_type"]
    assert found == (3, 7, "bounds")  # the last is the platform's


def test_a_published_oft_grows_and_keeps_its_head(merged_oft, tmp_path, capsys):
    assert create(merged_oft, tmp_path / "out", "--film") == 1
    error = capsys.readouterr().err
    for option in ("--num-images", "--num-action-chunks", "--normalization"):
        assert option in error
    assert create(merged_oft, tmp_path / "out", "--film", "--num-images", "2", "--platform", "libero") == 0
    report = report_of(tmp_path / "out")
    assert report["settings"]["new_tensors"]["value"] == "film (28 tensors)"
    assert report["tensors"]["action_head.model.fc2.weight"]["operation"] == "copy"
    assert report["settings"]["norm_stats"]["value"] == ["demo_tabletop"]
    with pytest.raises(ConfigError, match=r"files of a training run beside its weights .*vlahub create"):
        CogVLAForActionPrediction.from_base(str(merged_oft), film=True, **OFT)
    inside = with_heads_inside(merged_oft, tmp_path / "inside")
    with pytest.raises(ConfigError, match=r"say what it was: num_images_in_input \(--num-images\), num_action_chunks"):
        CogVLAForActionPrediction.from_base(str(inside), film=True)
    model = CogVLAForActionPrediction.from_base(str(inside), film=True, **OFT)
    assert_same(model.state_dict(), tensors_of(tmp_path / "out"))
    assert model.config.action_attention == "bidirectional" and model.config.state_dim == 8


def test_what_is_created_verifies_and_is_not_recomputed_from_a_run(openvla, started, tmp_path, capsys):
    assert main(["verify", str(started), "--quiet"]) == 0
    assert main(["verify", str(started), "--against", str(openvla), "--quiet"]) == 1
    assert "the same sources and seed give the same bytes" in capsys.readouterr().err
    assert create(openvla, tmp_path / "again", *ALL, "--no-verify") == 0
    assert (tmp_path / "again" / "conversion_report.json").read_bytes() == (
        started / "conversion_report.json"
    ).read_bytes()


def test_a_dry_run_prints_what_would_be_new(openvla, tmp_path, capsys):
    arguments = ["create", "--family", "cogvla", "--base", str(openvla), "--output", str(tmp_path / "out"), "--dry-run"]
    assert main([*arguments, *ALL]) == 0
    text = capsys.readouterr().out
    assert "not in the base" in text and "lfp (" in text and "initialised  all 0" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"film": "no"}, r"use_film \(--film\) is 'no'; True or False is needed"),
        ({"lfp": True}, r"lfp_type \(--lfp\) is True; the name of a schedule is needed"),
        ({"dtype": "bf16"}, "dtype='bf16' is unknown; choose from auto, float32"),
        ({"dtype": torch.int8}, "dtype=torch.int8 is unknown"),
        ({"torch_dtype": torch.float16}, "no argument torch_dtype=torch.float16: it is called dtype"),
        ({"quantization_config": {"load_in_4bit": True}}, "no argument quantization_config=.*save the start"),
        ({"num_labels": 3}, "CogVLAConfig has no argument num_labels=3"),
    ],
)
def test_what_from_base_does_not_know_is_refused(openvla, arguments, message):
    with pytest.raises(ConfigError, match=message):
        CogVLAForActionPrediction.from_base(str(openvla), **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--no-film"], "switches FiLM off, which the base has"),
        (["--no-lfp"], "switches token pruning off, which the base has"),
        (["--aggregation-tokens", "8"], "num_vision_aggr (--aggregation-tokens) is 8, but the base was trained with 4"),
        (["--state-dim", "7"], "state_dim (--state-dim) is 7, but the base was trained with 8"),
        (["--action-head", "diffusion"], "is 'diffusion', but the base was trained with 'l1'"),
        (["--fusion", "concat"], "is 'concat', but the base was trained with 'moe'"),
        (["--platform", "aloha"], "action_dim (--action-dim) is 14, but the base was trained with 7"),
        (["--lfp", "interleave"], "by which layers [2] no longer prune"),
    ],
)
def test_bad_starts_are_refused_by_name_and_leave_nothing(started, tmp_path, capsys, options, message):
    assert create(started, tmp_path / "out", *options) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def changed(base, folder, change):
    shutil.copytree(base, folder)
    change(folder)
    return folder


def edit_tensors(folder, change):
    path = sorted(folder.glob("model*.safetensors"))[0]
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_statistics_beside_a_base_are_what_its_actions_are_un_normalised_with(openvla, tmp_path):
    own = json.loads((openvla / "config.json").read_text())["norm_stats"]
    text = json.dumps({"beside": next(iter(own.values()))})
    base = changed(openvla, tmp_path / "base", lambda folder: (folder / "dataset_statistics.json").write_text(text))
    assert create(base, tmp_path / "out", "--film") == 0
    for config in (config_of(tmp_path / "out"), CogVLAForActionPrediction.from_base(str(base), film=True).config):
        found = config["norm_stats"] if isinstance(config, dict) else config.norm_stats
        assert list(found) == ["beside"] and "beside" not in own


def test_a_quantised_model_is_no_base(openvla, tmp_path):
    """Also where its weights could be read as they are."""

    def change(folder):
        content = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(content | {"quantization_config": {"load_in_8bit": True}}))

    base = changed(openvla, tmp_path / "base", change)
    with pytest.raises(ConfigError, match="is quantised: use the full-precision model"):
        CogVLAForActionPrediction.from_base(str(base), film=True)


STATE = "proprio_projector.fc1.bias"
HEAD = "action_head.model.fc2.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "config.json").write_text('{"model_type": "llama"}'), "model_type is 'llama'"),
        (
            lambda folder: edit_tensors(folder, lambda t: t.pop("proprio_projector.fc1.bias")),
            "proprio_projector.fc1.bias",
        ),
        (lambda folder: edit_tensors(folder, lambda t: t.update(odd=torch.ones(2))), "odd"),
        (lambda folder: edit_tensors(folder, lambda t: t.update({HEAD: torch.ones(9)})), HEAD),
    ],
)
def test_a_base_that_lacks_or_brings_something_is_refused_both_ways(started, tmp_path, capsys, change, message):
    base = changed(started, tmp_path / "base", change)
    assert create(base, tmp_path / "out", "--num-images", "3") == 1
    assert message in capsys.readouterr().err
    with pytest.raises(vlahub.errors.VLAError, match=message):
        CogVLAForActionPrediction.from_base(str(base), num_images=3)


def test_a_training_run_is_no_base(tiny_run, tmp_path, capsys):
    tiny_run.TinyRun(layers=4).write(tmp_path)
    assert create(tmp_path / "run", tmp_path / "out", "--film") == 1
    assert "--base must name a whole model" in capsys.readouterr().err


def test_options_of_another_family_are_unknown(openvla, tmp_path):
    with pytest.raises(SystemExit):
        create(openvla, tmp_path / "out", "--expert-hidden-size", "8")
    with pytest.raises(SystemExit):
        main(["create", "--family", "mapanything_llava3d", "--film", "--output", str(tmp_path / "out")])


PATCHES = "vision_backbone.fused_featurizer.patch_embed.proj.weight"
PUBLISHED = {  # of openvla/openvla-7b
    "vision_backbone.featurizer.cls_token": "vision_backbone.featurizer.cls_token",
    "vision_backbone.featurizer.blocks.23.ls2.scale_factor": "vision_backbone.featurizer.blocks.23.ls2.scale_factor",
    "vision_backbone.featurizer.norm.weight": None,
    "vision_backbone.fused_featurizer.attn_pool.latent": None,
    "vision_backbone.fused_featurizer.attn_pool.mlp.fc1.weight": None,
    "vision_backbone.fused_featurizer.attn_pool.kv.bias": None,
    PATCHES: PATCHES,
    "projector.fc3.bias": "projector.fc3.bias",
    "language_model.lm_head.weight": "language_model.lm_head.weight",
    "language_model.model.layers.31.self_attn.q_proj.weight": "language_model.model.layers.31.self_attn.q_proj.weight",
}


@pytest.mark.parametrize("key", PUBLISHED)
def test_the_names_of_the_published_model_are_known(key):
    assert name_in_model(key) == PUBLISHED[key]
    with pytest.raises(ConfigError, match="which no known layout has"):
        name_in_model(f"odd.{key}")


def test_a_quantised_start_is_still_called_untrained(started, tmp_path, capsys):
    pytest.importorskip("torchao", reason="quantising needs torchao: pip install 'vlahub[quant]'")
    copy, again = tmp_path / "copy", tmp_path / "again"
    assert main(["convert", str(started), str(copy), "--quantize", "int8", "--quiet"]) == 0
    new = {name for name, entry in report_of(started)["tensors"].items() if entry["operation"] == "initialised"}
    mark = report_of(copy)["untrained"]
    assert mark["is_start"] and {name.replace(".qweight", ".weight") for name in mark["tensors"]} >= new
    shutil.copytree(copy, again)
    (again / "README.md").unlink()
    assert main(["card", str(again), "--no-run", "--quiet"]) == 0
    for folder in (copy, again):
        card = (folder / "README.md").read_text()
        assert card.count("**This checkpoint is not trained.**") == 1 and "- untrained" in card.split("---")[1]
    for folder in (started, copy):
        capsys.readouterr()
        assert main(["inspect", str(folder)]) == 0
        assert "never trained, and as random as at the start: " in capsys.readouterr().out


def change(folder, words):
    """Add to the tensors that begin so, as a training would that is saved over the folder."""
    for path in folder.glob("*.safetensors"):
        tensors = load_file(path)
        changed = {name: value + 1 for name, value in tensors.items() if name.startswith(words)}
        save_file(tensors | changed, path, {"format": "pt"})


@pytest.mark.parametrize("is_marked", [False, True])
def test_what_was_trained_and_accepted_is_untrained_no_longer(is_marked, started, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(started, copy)
    report = report_of(copy)
    new = {name for name, entry in report["tensors"].items() if entry["operation"] == "initialised"}
    if is_marked:  # as after the merge of an adapter that reaches none of them
        report["tensors"] |= {name: {**report["tensors"][name], "operation": "copy"} for name in new}
        report["untrained"] = {"tensors": sorted(new), "is_start": True}
        write_report(with_own_hash(report), copy)
    change(copy, ("action_head.",))
    assert main(["verify", str(copy), "--accept", "--quiet"]) == 0
    left = untrained_of(copy)
    assert left.names == {name for name in new if not name.startswith("action_head.")} and not left.is_start
    assert not is_marked or report_of(copy)["untrained"] == {"tensors": sorted(left.names), "is_start": False}
    change(copy, ("",))
    assert main(["verify", str(copy), "--accept", "--quiet"]) == 0
    assert untrained_of(copy) is None and "untrained" not in report_of(copy)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_start_is_named_as_such_where_it_is_loaded_for_a_prediction(quiet, started, capsys):
    load_model(started, "cpu", quiet=quiet)
    assert ("is a start for training" in capsys.readouterr().err) is not quiet


# A tokenizer from elsewhere


def converted(source, output, *options):
    return main(["convert", str(source), str(output), "--platform", "libero", "--num-images", "2", "--quiet", *options])


@pytest.mark.parametrize("has_one", [True, False])
@pytest.mark.parametrize("make", ["create", "convert"])
def test_a_tokenizer_that_is_named_is_the_one_that_the_output_has(make, has_one, openvla, merged_oft, named, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(openvla if make == "create" else merged_oft, source)
    if not has_one:
        for path in source.glob("tokenizer*"):
            path.unlink()
    call = {"create": create, "convert": converted}[make]
    assert call(source, tmp_path / "out", "--tokenizer", str(named)) == 0
    assert CogVLAProcessor.from_pretrained(tmp_path / "out").tokenizer.model_max_length == 123


@pytest.mark.parametrize("make", [create, converted])
def test_a_named_tokenizer_that_cannot_travel_is_refused(make, openvla, merged_oft, named, tmp_path, capsys):
    (named / "tokenizer.json").rename(named / "tokenizer.model")
    source = openvla if make is create else merged_oft
    assert make(source, tmp_path / "out", "--tokenizer", str(named)) == 1
    assert f"--tokenizer {named} holds no tokenizer.json" in capsys.readouterr().err


def test_a_start_writes_as_its_base(openvla, tmp_path):
    base = shutil.copytree(openvla, tmp_path / "base")
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7], "max_new_tokens": 33}))
    assert create(base, tmp_path / "out", *ALL) == 0
    by_command = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert (by_command["eos_token_id"], by_command["max_new_tokens"]) == ([2, 7], 33)
    found = CogVLAForActionPrediction.from_base(str(base), **SWITCHES).generation_config
    assert found.to_diff_dict() == by_command and found.pad_token_id == 32000
