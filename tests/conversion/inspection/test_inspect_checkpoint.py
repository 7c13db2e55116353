"""What `vlahub inspect` says, held against the models themselves and against what the other commands do."""

import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_configs import cogvla_config, composed_config, llava3d_config
from transformers import LlamaConfig, LlamaForCausalLM

import vlahub
from vlahub.conversion.cli import main
from vlahub.conversion.family_inspection import robot_facts, robot_statistics
from vlahub.conversion.inspection.headers import read_header
from vlahub.conversion.inspection.inspect_checkpoint import inspect_checkpoint
from vlahub.errors import ConversionError

MODELS = {
    "cogvla": (vlahub.CogVLAForActionPrediction, cogvla_config()),
    "concatenated": (
        vlahub.CogVLAForActionPrediction,
        cogvla_config(use_lfp=False, use_aggr=False, use_film=False, vision_aggregate_type="concat"),
    ),
    "llava3d": (
        vlahub.MapAnythingLlava3DForConditionalGeneration,
        llava3d_config(action_expert_type="deep_fusion+dit", action_dim=7),
    ),
    "composed": (vlahub.MultimodalVLAForActionPrediction, composed_config(projector_type="perceiver", fusion="film")),
}


@pytest.fixture(scope="module", params=MODELS)
def saved(request, tmp_path_factory):
    torch.manual_seed(0)
    kind, config = MODELS[request.param]
    model = kind(config)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    return model, folder


def test_parts_add_up_to_the_models_own_number_of_parameters(saved):
    """Tied weights are stored once, and counted once."""
    model, folder = saved
    found = inspect_checkpoint(str(folder))
    assert found.kind == "checkpoint" and found.family == model.config.model_type
    assert found.parameters == sum(part.parameters for part in found.parts) == model.num_parameters()
    assert found.memory.stored == found.bytes == 4 * found.parameters
    assert "unknown" not in [part.name for part in found.parts]


def test_pretrained_and_added_parts_are_those_of_the_class(saved):
    from vlahub.conversion.families import OURS

    model, _ = saved
    family = OURS[model.config.model_type].inspection.parts
    assert family is model.config.weight_parts
    assert family.pretrained == tuple(model.pretrained_parts)
    assert set(family.added) <= set(model.added_parts)


def test_lower_precision_is_predicted_to_the_byte(saved):
    """The rule by names and shapes picks the layers that `--quantize` picks."""
    from vlahub.conversion.quantised_layers import layers_to_quantise
    from vlahub.modeling.quantized_linear import stored_shapes

    model, folder = saved
    memory = inspect_checkpoint(str(folder)).memory
    for kind in ("int8", "int4"):
        wanted = 2 * model.num_parameters()
        for name, chosen in layers_to_quantise(model, kind).items():
            module = model.get_submodule(name)
            stored = stored_shapes(chosen, module.out_features, module.in_features).values()
            wanted += sum(torch.empty(shape, dtype=dtype).nbytes for shape, dtype in stored) - 2 * module.weight.numel()
        assert getattr(memory, kind) == wanted


@pytest.mark.parametrize("average", [0.5, 0.3])
def test_what_a_cogvla_reads_and_prunes_is_its_configs(average, tmp_path):
    config = cogvla_config(view_names=["front", "wrist"], lfp_average_factor=average)
    vlahub.CogVLAForActionPrediction(config).save_pretrained(tmp_path)
    found = inspect_checkpoint(str(tmp_path))
    assert found.model.token_pruning == config.lfp_keep_ratios
    assert (found.model.view_names, found.model.num_action_chunks) == (["front", "wrist"], config.num_action_chunks)
    assert (found.model.action_dim, found.model.state_dim) == (config.action_dim, config.state_dim)
    actions, state = found.statistics
    assert [d.low for d in actions.dimensions] == config.norm_stats["tiny"]["action"]["q01"]
    assert [d.normalised for d in actions.dimensions] == [True, True, False]
    assert (state.part, len(state.dimensions)) == ("state", config.state_dim)


def test_a_merged_checkpoint_names_its_sources(merged, capsys):
    assert main(["inspect", str(merged), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(json.dumps(inspect_checkpoint(str(merged)).as_dict()))
    assert found["provenance"]["inputs"] == {"base": "base", "run": "run"}
    assert found["oddities"] == ["README.md names no licence."]


def test_text_is_ascii_where_nobody_watches_and_draws_the_schedule(merged, capsys):
    assert main(["inspect", str(merged)]) == 0
    text = capsys.readouterr().out
    assert text.isascii()
    ratios = inspect_checkpoint(str(merged)).model.token_pruning
    bars = dict(re.findall(r"^ +(\d+) +[\d.]+% +(#+)$", text, re.MULTILINE))
    assert {int(layer): len(bar) for layer, bar in bars.items()} == {i: round(40 * r) for i, r in ratios.items()}


@pytest.mark.parametrize(("dtype", "option"), [("float32", " --dtype bfloat16"), ("bfloat16", "")])
def test_lower_precision_names_the_options_that_give_that_size(dtype, option, tmp_path, capsys):
    model = vlahub.CogVLAForActionPrediction(cogvla_config()).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path)
    assert main(["inspect", str(tmp_path)]) == 0
    assert f"int8 (--quantize int8{option}) " in capsys.readouterr().out


def test_nothing_slow_is_imported(merged):
    source = (
        "import sys; from vlahub.conversion.cli import main; assert main(['inspect', sys.argv[1]]) == 0; "
        "print({'torch', 'transformers', 'peft'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", source, merged], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"


# ---- runs and published models: the printed command is the one that works

VALUES = {"OUTPUT": None, "N": "2", "PLATFORM": "libero"}


def carried_out(command, base, output):
    """The exit code of a printed command, with its capitals filled in."""
    words = shlex.split(command.replace("--base base", f"--base {shlex.quote(str(base))}"))[1:]
    filled = [str(output) if word == "OUTPUT" else VALUES.get(word, word) for word in words]
    return main([*filled, "--dry-run", "--quiet"])


@pytest.mark.parametrize("name", ["cogvla", "openvla_oft", "diffusion", "openvla"])
def test_the_command_of_a_run_is_accepted_and_each_option_is_needed(name, request, tmp_path, capsys):
    run = request.getfixturevalue(name)
    found = inspect_checkpoint(str(run.run))
    assert (found.kind, found.family, found.oddities) == ("run", "cogvla", [])
    for step in found.next_steps:
        assert carried_out(step.command, run.base, tmp_path / "out") == 0, capsys.readouterr().err
        for need in step.needed:
            assert carried_out(step.command.replace(f" {need.option}", ""), run.base, tmp_path / "out") == 1


def test_what_a_run_would_give_is_what_the_merge_reads(cogvla, merged):
    report = inspect_checkpoint(str(merged)).provenance["settings"]
    (step,) = inspect_checkpoint(str(cogvla.run)).next_steps
    for setting in step.settings:
        name = "proprio_dim" if setting.name == "state_dim" else setting.name
        assert setting.value == report[name]["value"], name


def test_a_run_that_carries_its_bases_config_is_not_said_to_attend_as_an_openvla_oft(cogvla, tmp_path):
    """The merge refuses it until the run's own config.json is there."""
    run = shutil.copytree(cogvla.run, tmp_path / "run")
    shutil.copy(cogvla.base / "config.json", run / "config.json")
    (step,) = inspect_checkpoint(str(run)).next_steps
    (attention,) = [setting for setting in step.settings if setting.name == "action_attention"]
    assert attention.value == "unknown" and attention.how.startswith("config.json is the base's: copy the run's own")
    assert carried_out(step.command, cogvla.base, tmp_path / "out") == 1


def test_an_adapter_inside_a_run_points_to_the_run(cogvla):
    found = inspect_checkpoint(str(cogvla.run / "lora_adapter"))
    assert found.adapter.r == 4 and str(cogvla.run) in found.oddities[0]


def test_published_models_name_the_command_that_takes_them(openvla, tiny_alpamayo, tmp_path):
    tiny_alpamayo.TinyAlpamayo().write(tmp_path)
    alpamayo = inspect_checkpoint(str(tmp_path / "published"))
    assert (alpamayo.kind, alpamayo.family) == ("published", "alpamayo_r1")
    assert alpamayo.next_steps[0].command.startswith("vlahub convert ") and "--vlm" in alpamayo.next_steps[0].command
    assert [d.unit for d in alpamayo.statistics[0].dimensions] == ["m/s^2", "1/m"]
    base = inspect_checkpoint(str(openvla.base))
    assert (base.kind, base.family) == ("published", "cogvla")
    assert any("merge-lora --base" in step.command for step in base.next_steps)


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("pi0", "config.json", {"type": "pi05", "input_features": {}}),
        ("pi0", "config.json", {"model_type": "pi0", "architectures": ["PI0ForConditionalGeneration"]}),
        ("pi0", "config.json", {"action_dim": 32, "paligemma_variant": "gemma_2b", "action_expert_variant": "x"}),
        ("pi0", "assets/droid/norm_stats.json", {}),
        ("SmolVLA", "config.json", {"type": "smolvla", "output_features": {}}),
        ("SmolVLA", "pretrained_model/config.json", {"type": "smolvla"}),
        ("GR00T", "config.json", {"model_type": "gr00t_n1_5", "architectures": ["GR00T_N1_5"]}),
        ("GR00T", "config.json", {"model_type": "Gr00tN1d6"}),
        ("GR00T", "config.json", {"type": "groot", "input_features": {}}),
        ("a policy of LeRobot", "config.json", {"type": "act", "input_features": {}}),
    ],
)
def test_policies_of_other_projects_are_named_with_the_reason(name, file, content, tmp_path, assert_refused, capsys):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(json.dumps(content))
    if file.startswith("assets"):
        (tmp_path / "params").mkdir()
        (tmp_path / "params" / "_METADATA").touch()
    elif file == "config.json":
        save_file({"a": torch.ones(2)}, tmp_path / "model.safetensors")
    found = inspect_checkpoint(str(tmp_path))
    assert found.kind == "unsupported" and found.words.startswith(f"{name} (")
    assert "neither loads nor converts" in found.words and "nothing to merge" in found.words
    in_lerobots_form = {"input_features", "output_features"} & content.keys()
    words = "Policies of LeRobot" if in_lerobots_form else re.escape(found.words)
    assert_refused(main(["convert", str(tmp_path), str(tmp_path / "out")]), capsys, words)
    assert_refused(main(["predict", str(tmp_path), "--images", "a.png", "--instruction", "go"]), capsys, words)


# ---- what is missing or broken


@pytest.fixture
def copied(merged, tmp_path):
    return shutil.copytree(merged, tmp_path / "copy")


def odd(folder):
    return " ".join(inspect_checkpoint(str(folder)).oddities)


def test_shards_that_are_missing_are_named(tmp_path):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=64, **sizes))
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    whole = inspect_checkpoint(str(tmp_path))
    assert whole.kind == "base" and whole.parameters == model.num_parameters() and not whole.oddities
    shard = sorted(tmp_path.glob("model-*"))[0]
    shard.unlink()
    assert f"names {shard.name}, which is missing" in odd(tmp_path)


@pytest.mark.parametrize("total", [1, 10**12, "many"])
def test_a_total_size_that_is_not_that_of_the_shards_is_odd_and_hinders_no_merge(total, cogvla, tmp_path):
    run = cogvla.copied_with_base(tmp_path)
    assert not inspect_checkpoint(str(run.base)).oddities
    index = run.base / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    stored = sum(tensor.nbytes for shard in run.base.glob("*.safetensors") for tensor in load_file(shard).values())
    content["metadata"] = {"total_size": stored}
    index.write_text(json.dumps(content))
    assert not inspect_checkpoint(str(run.base)).oddities
    content["metadata"] = {"total_size": total}
    index.write_text(json.dumps(content))
    assert f"says total_size={total!r}, its shards hold {stored} bytes" in odd(run.base)
    assert run.merge(tmp_path / "out", "--dry-run") == 0


@pytest.mark.parametrize("value", [["a"], {"a": "b"}, 5, None, True])
def test_an_index_that_names_no_file_is_odd_and_the_rest_is_read(value, openvla, tmp_path):
    run = openvla.copied_with_base(tmp_path)
    index = next(run.base.glob("*.index.json"))
    content = json.loads(index.read_text())
    key = sorted(content["weight_map"])[3]
    content["weight_map"][key] = value
    index.write_text(json.dumps(content))
    found = inspect_checkpoint(str(run.base))
    assert any(f"names no file for {key}, but {value!r}" in oddity for oddity in found.oddities), found.oddities
    assert not any("leaves out" in oddity for oddity in found.oddities)
    assert found.family == "cogvla" and found.parameters


def in_pickles(base, shards):
    """The weights of a published model as `pytorch_model.bin`, or as so many shards of it."""
    files = sorted(base.glob("model*.safetensors"))
    tensors = {name: tensor for file in files for name, tensor in load_file(file).items()}
    for file in base.glob("model*.safetensors*"):
        file.unlink()
    if shards == 1:
        torch.save(tensors, base / "pytorch_model.bin")
        return
    weight_map = {name: f"pytorch_model-{i % shards + 1:05}-of-{shards:05}.bin" for i, name in enumerate(tensors)}
    for shard in set(weight_map.values()):
        torch.save({name: tensor for name, tensor in tensors.items() if weight_map[name] == shard}, base / shard)
    metadata = {"total_size": sum(tensor.nbytes for tensor in tensors.values())}
    (base / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": metadata, "weight_map": weight_map}))


@pytest.mark.parametrize("shards", [1, 2])
def test_a_repository_of_pickles_alone_is_inspected_as_the_same_in_safetensors(shards, openvla, tmp_path):
    run = openvla.copied_with_base(tmp_path)
    wanted = inspect_checkpoint(str(run.base))
    in_pickles(run.base, shards)
    found = inspect_checkpoint(str(run.base))
    assert (found.kind, found.family, found.parts) == (wanted.kind, wanted.family, wanted.parts)
    assert found.bytes == wanted.bytes and found.memory == wanted.memory
    assert wanted.oddities == [] and [oddity.split(": ")[0] for oddity in found.oddities] == ["weights are pickled"]
    assert [step.command for step in found.next_steps] == [step.command for step in wanted.next_steps]
    assert run.merge(tmp_path / "out", "--decoding", "autoregressive", "--dry-run") == 0


@pytest.mark.parametrize("keep", [4, 100, -1000])
def test_a_file_that_is_cut_off_is_odd_and_no_failure(keep, copied):
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert re.search("model.safetensors (is cut off|cannot be read as safetensors)", odd(copied))


def test_code_that_no_file_names_is_odd(copied):
    (copied / "custom_generate").mkdir()
    (copied / "custom_generate" / "generate.py").touch()
    (copied / "adapter_config.json").write_text('{"base_model_name_or_path": "a/b"}')
    found = odd(copied)
    assert "custom_generate/generate.py is code that runs" in found and "adapter_config.json lies beside" in found


def test_a_header_that_is_no_header_is_odd(copied):
    (copied / "model.safetensors").write_bytes((5).to_bytes(8, "little") + b"[1,2]")
    assert "header is malformed" in odd(copied)


def test_mixed_dtypes_unknown_tensors_and_missing_files_are_odd(copied):
    weights = load_file(copied / "model.safetensors")
    weights["language_model.lm_head.weight"] = weights["language_model.lm_head.weight"].half()
    weights["extra.weight"] = torch.ones(2)
    save_file(weights, copied / "model.safetensors", {"format": "pt"})
    (copied / "tokenizer.json").unlink()
    (copied / "modeling_cogvla.py").unlink()
    found = odd(copied)
    for words in ("mixed dtype", "extra.weight", "tokenizer.json is missing", "modeling_cogvla.py is missing"):
        assert words in found


def test_code_of_another_repository_and_missing_statistics_are_odd(copied):
    config = json.loads((copied / "config.json").read_text())
    config["auto_map"]["AutoModel"] = "someone/else--modeling_x.X"
    config["norm_stats"] = {}
    (copied / "config.json").write_text(json.dumps(config))
    assert "lies in another repository" in odd(copied) and "no statistics of training data" in odd(copied)


def test_what_cannot_be_read_at_all_ends_with_one(tmp_path, copied, assert_refused, capsys):
    (tmp_path / "empty").mkdir()
    for place, message in (
        (tmp_path / "empty", "is empty"),
        (tmp_path / "nothing", "neither a folder nor a repository"),
        (copied / "config.json", "it is a file"),
    ):
        assert_refused(main(["inspect", str(place)]), capsys, message)
    (copied / "config.json").write_text("{")
    assert_refused(main(["inspect", str(copied)]), capsys, "config.json is not valid JSON")


def test_a_missing_config_is_odd_and_the_family_is_guessed_from_names(copied):
    (copied / "config.json").unlink()
    found = inspect_checkpoint(str(copied))
    assert "config.json is missing." in found.oddities and "those of the family cogvla" in found.words


def test_a_folder_has_no_revision(copied):
    with pytest.raises(ConversionError, match="has no revisions"):
        inspect_checkpoint(str(copied), revision="main")


@pytest.fixture(scope="module")
def alpamayo(tiny_alpamayo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alpamayo")
    tiny_alpamayo.TinyAlpamayo().write(folder)
    sources = [str(folder / "published"), str(folder / "out"), "--vlm", str(folder / "vlm")]
    assert main(["convert", *sources, "--quiet"]) == 0
    return folder / "out"


def test_an_alpamayo_is_as_large_as_its_class_says(alpamayo):
    model = vlahub.AlpamayoR1.from_pretrained(alpamayo)
    found = inspect_checkpoint(str(alpamayo))
    assert found.parameters == model.num_parameters() and found.memory.bfloat16 == found.bytes
    assert found.model.predicts == "trajectories" and found.statistics[0].dimensions[1].name == "curvature"


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_a_checkpoint_of_lower_precision_is_as_large_as_was_predicted(kind, alpamayo, tmp_path):
    pytest.importorskip("torchao")
    assert main(["convert", str(alpamayo), str(tmp_path / kind), "--quantize", kind, "--quiet"]) == 0
    whole, less = inspect_checkpoint(str(alpamayo)), inspect_checkpoint(str(tmp_path / kind))
    assert (less.quantization, less.parameters) == (kind, whole.parameters)
    assert less.bytes == getattr(whole.memory, kind) and less.memory.bfloat16 == whole.memory.bfloat16


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("bounds", "min", "max"), ("bounds_q99", "q01", "q99"), ("normal", "min", "max")]
)
def test_ranges_are_those_that_the_model_normalises_by(kind, low, high):
    values = {"min": [-4.0, -5.0], "q01": [-2.0, -3.0], "mean": [0.5, 0.6], "q99": [2.0, 3.0], "max": [4.0, 5.0]}
    for part, name in (("action", "action"), ("proprio", "state"), ("state", "state")):
        statistics = {"mine": {"action": values, part: values}}
        table = robot_statistics(statistics, kind)[-1]
        assert (table.key, table.part, table.range) == ("mine", name, f"{low} to {high}")
        assert [(each.low, each.high) for each in table.dimensions] == list(zip(values[low], values[high], strict=True))


@pytest.mark.parametrize("word", ["state_dim", "proprio_dim"])
def test_a_state_that_a_model_does_not_use_is_none(word):
    assert robot_facts({word: 8}, {}).state_dim == robot_facts({word: 8, "use_state": True}, {}).state_dim == 8
    assert robot_facts({word: 8, "use_state": False}, {}).state_dim is None


def test_tensors_that_lie_in_another_shard_than_the_index_says_are_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    shards = {name: f"model-0000{i}-of-00003.safetensors" for i, name in enumerate(("a", "b", "c"), 1)}
    for name, shard in shards.items():
        save_file({name: torch.zeros(2)}, tmp_path / shard)
    for named, wrong in ((shards, None), ({**shards, "a": shards["b"], "b": shards["a"]}, "hold: a, b.")):
        index = {"metadata": {"total_size": 24}, "weight_map": named}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        found = [text for text in inspect_checkpoint(str(tmp_path)).oddities if "index.json" in text]
        assert len(found) == bool(wrong) and all(text.endswith(f"shards do not {wrong}") for text in found)


@pytest.mark.parametrize("length", ["2", 1.5, -1, True, None, [2], float("nan"), float("inf")])
@pytest.mark.parametrize("field", ["shape", "data_offsets"])
def test_a_header_whose_sizes_are_none_is_refused(field, length, tmp_path):
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    entry[field] = [*entry[field][:-1], length]
    text = json.dumps({"a": entry}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(ConversionError, match="its header is malformed"):
        read_header(path, path.name)


@pytest.mark.parametrize(
    ("more", "problem"), [(-1, "is cut off: it has 95 bytes"), (0, None), (3, "has 3 bytes behind")]
)
def test_a_file_has_as_many_bytes_as_its_header_names_and_no_more(more, problem, tmp_path):
    text = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).ljust(72).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16 + more))
    found = read_header(path, path.name)
    assert [(entry.name, entry.dtype, entry.shape) for entry in found.tensors] == [("a", "float32", (4,))]
    assert found.problem is None if problem is None else problem in found.problem


def test_a_header_that_is_nested_deeply_is_refused(tmp_path):
    text = b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    (tmp_path / "x").write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(ConversionError, match="cannot be read as safetensors"):
        read_header(tmp_path / "x", "x")


def test_a_checkpoint_whose_config_has_what_no_model_has_is_named(family_checkpoint, tmp_path):
    shutil.copytree(family_checkpoint, tmp_path / "copy")
    path = tmp_path / "copy/config.json"
    config, refused = json.loads(path.read_text()), []
    for name in config.keys() - {"model_type", "architectures"}:
        for value in (0.5, "text", [1], {"a": 1}):
            path.write_text(json.dumps(config | {name: value}))
            try:
                assert inspect_checkpoint(str(tmp_path / "copy")).family
            except ConversionError as error:
                refused.append(str(error))
    assert refused and all(str(tmp_path / "copy") in told for told in refused)
