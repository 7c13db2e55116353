"""Adapters and bases of different releases of transformers: their names meet, in both directions."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import MixtralConfig, MixtralForCausalLM, Qwen2MoeConfig, Qwen2MoeForCausalLM

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction
from vlahub.conversion.cli import main

HEADER = "base_model.model."


def load_families():
    """`tiny_families.py`, which lies beside this file and is no test."""
    spec = importlib.util.spec_from_file_location("tiny_families", Path(__file__).with_name("tiny_families.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


families = load_families()
CONFIGS, FIVE, OLDEST, STARTS = families.CONFIGS, families.FIVE, families.OLDEST, families.STARTS
tiny, linear_layers = families.tiny, families.linear_layers


def name_4(family, name):
    return families.name_in_4(family, name) if FIVE else name


def name_5(family, name):
    return name if FIVE else families.name_in_5(family, name)


RELEASES = {"4.57": name_4, "5": name_5, "before 4.52": lambda f, name: families.oldest_name(f, name_4(f, name))}
OTHER = "4.57" if FIVE else "5"
CASES = [(family, OTHER) for family in CONFIGS] + [(family, "before 4.52") for family in OLDEST]
KINDS = ("llava", "video_llava", "siglip_vision_model", "clip_text_model", "dinov2", "dinov3_vit", "vit", "qwen2_vl")


def save_adapter(folder, family, rename, make=tiny):
    """An adapter on every linear layer, with the names that another release has; its own state otherwise."""
    torch.manual_seed(1)
    model = make(family)
    lora = LoraConfig(r=2, lora_alpha=6, init_lora_weights=False, target_modules=linear_layers(model))
    get_peft_model(model, lora).save_pretrained(folder / "own", save_embedding_layers=False)
    tensors = load_file(folder / "own" / "adapter_model.safetensors")
    config = json.loads((folder / "own" / "adapter_config.json").read_text())
    modules = {key: key.removeprefix(HEADER).partition(".lora_") for key in tensors}
    (folder / "adapter").mkdir()
    renamed = {f"{HEADER}{rename(family, m)}.lora_{part}": tensors[key] for key, (m, _, part) in modules.items()}
    assert len(renamed) == len(tensors)
    save_file(renamed, folder / "adapter" / "adapter_model.safetensors", {"format": "pt"})
    config["target_modules"] = sorted({rename(family, module) for module, _, _ in modules.values()})
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    return {rename(family, module) for module, _, _ in modules.values()}


def merge(folder, base="base", options=()):
    sources = ["--base", str(folder / base), "--adapter", str(folder / "adapter"), *options]
    return main(["merge-lora", "--family", "generic", *sources, "--output", str(folder / "out"), "--quiet"])


def check_equal(found, expected):
    state = found.state_dict()
    for name, value in expected.state_dict().items():
        assert torch.equal(state[name], value), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("family", "release"), CASES)
def test_an_adapter_of_any_release_fits_a_base_of_this_one(tmp_path, family, release):
    torch.manual_seed(0)
    model = tiny(family)
    model.save_pretrained(tmp_path / "base")
    modules = save_adapter(tmp_path, family, RELEASES[release])
    assert (modules == set(linear_layers(model))) is (release == OTHER and family not in STARTS)
    assert merge(tmp_path) == 0
    base = type(model).from_pretrained(tmp_path / "base")
    check_equal(
        type(model).from_pretrained(tmp_path / "out"),
        PeftModel.from_pretrained(base, tmp_path / "own").merge_and_unload(),
    )


def stored_as(folder, family, model, rename):
    """Rewrite the base with the names that a release has for the modules; returns the new name of each tensor."""
    path = folder / "base" / "model.safetensors"
    count = len(load_file(path))
    own = {}
    for name, value in model.state_dict().items():
        if not any(value.data_ptr() == other.data_ptr() for other in own.values()):
            own[name] = value
    assert len(own) == count
    names = {name: rename(family, name.rpartition(".")[0]) + "." + name.rpartition(".")[2] for name in own}
    save_file({names[name]: value.clone() for name, value in own.items()}, path, {"format": "pt"})
    return names


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stored", ["4.57", "5"])
@pytest.mark.parametrize("trained", ["4.57", "5"])
@pytest.mark.parametrize("family", KINDS)
def test_base_and_adapter_may_both_have_the_names_of_any_release(tmp_path, family, trained, stored):
    torch.manual_seed(0)
    model = tiny(family)
    model.save_pretrained(tmp_path / "base")
    save_adapter(tmp_path, family, RELEASES[trained])
    names = stored_as(tmp_path, family, model, RELEASES[stored])
    assert merge(tmp_path) == 0
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == set(names.values())
    expected = PeftModel.from_pretrained(model, tmp_path / "own").merge_and_unload().state_dict()
    for name, key in names.items():
        assert torch.equal(found[key], expected[name]), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tower", ["siglip_vision_model", "dinov2"])
def test_the_tower_of_a_composed_model_has_the_names_of_any_release(tmp_path, tower):
    prefix = "backbone.vision_tower."
    text = {**families.TEXT, "model_type": "gemma", "vocab_size": 300}
    statistics = {"a": {"action": {"q01": [-1.0] * 7, "q99": [2.0] * 7}}}
    vision = {"model_type": tower, **CONFIGS[tower]}

    def composed(_=None):
        return MultimodalVLAForActionPrediction(
            MultimodalVLAConfig(vision_config=vision, text_config=text, norm_stats=statistics)
        )

    def rename(family, name):
        inside = RELEASES[OTHER](family, name.removeprefix(prefix))
        return f"{prefix}{inside}" if name.startswith(prefix) else name

    torch.manual_seed(0)
    model = composed()
    model.save_pretrained(tmp_path / "base")
    assert save_adapter(tmp_path, tower, rename, composed) != set(linear_layers(model))
    assert merge(tmp_path, options=["--statistics", str(tmp_path / "base" / "config.json")]) == 0
    base = type(model).from_pretrained(tmp_path / "base")
    check_equal(
        type(model).from_pretrained(tmp_path / "out"),
        PeftModel.from_pretrained(base, tmp_path / "own").merge_and_unload(),
    )


def test_a_layer_that_the_config_names_is_missed_whatever_the_release_calls_it(tmp_path, capsys):
    tiny("dinov2").save_pretrained(tmp_path / "base")
    save_adapter(tmp_path, "dinov2", RELEASES[OTHER])
    path = tmp_path / "adapter" / "adapter_config.json"
    leaves = ["query", "value"] if FIVE else ["q_proj", "v_proj"]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target_modules": leaves}))
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = {k: v for k, v in load_file(path).items() if leaves[0] in k or leaves[1] in k}
    save_file(tensors, path, {"format": "pt"})
    assert merge(tmp_path) == 0
    save_file(
        {
            k: v
            for k, v in tensors.items()
            if f"layer.1.attention.attention.{leaves[0]}" not in k and f"layer.1.attention.{leaves[0]}" not in k
        },
        path,
        {"format": "pt"},
    )
    sources = ["--base", str(tmp_path / "base"), "--adapter", str(tmp_path / "adapter")]
    assert main(["merge-lora", "--family", "generic", *sources, "--output", str(tmp_path / "out2"), "--quiet"]) == 1
    error = capsys.readouterr().err
    assert "encoder.layer.1.attention" in error and leaves[0] in error


SIZES = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
EXPERTS = {
    "mixtral": (
        lambda: MixtralForCausalLM(MixtralConfig(**SIZES, num_key_value_heads=2, num_local_experts=2)),
        ("w1", "w2"),
    ),
    "qwen2_moe": (
        lambda: Qwen2MoeForCausalLM(
            Qwen2MoeConfig(
                **SIZES, num_key_value_heads=2, num_experts=2, moe_intermediate_size=24, num_experts_per_tok=1
            )
        ),
        ("gate_proj", "down_proj"),
    ),
}


@pytest.mark.parametrize("family", EXPERTS)
def test_experts_trained_one_by_one_merge_into_the_files_where_they_lie_one_by_one(tmp_path, family):
    make, leaves = EXPERTS[family]
    torch.manual_seed(0)
    make().save_pretrained(tmp_path / "base")
    weights = load_file(tmp_path / "base" / "model.safetensors")
    experts = [key for key in weights if ".experts." in key and key.split(".")[-2] in leaves]
    assert len(experts) == 4
    write_adapter(tmp_path / "adapter", {key.removesuffix(".weight"): weights[key].shape for key in experts}, leaves)
    assert merge(tmp_path) == 0
    adapter = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    found = load_file(tmp_path / "out" / "model.safetensors")
    for key, value in weights.items():
        module = f"{HEADER}{key.removesuffix('.weight')}"
        if key in experts:
            value = value + 3 * (adapter[f"{module}.lora_B.weight"] @ adapter[f"{module}.lora_A.weight"])
        torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-6, msg=key)


@pytest.mark.skipif(not FIVE, reason="transformers 4 keeps experts apart")
@pytest.mark.parametrize("family", EXPERTS)
def test_an_adapter_of_joined_experts_is_refused_by_name(tmp_path, family, capsys):
    torch.manual_seed(0)
    model = EXPERTS[family][0]()
    model.save_pretrained(tmp_path / "base")
    name = next(name for name, _ in model.named_parameters() if name.endswith("experts.down_proj"))
    write_adapter(tmp_path / "adapter", {name: (16, 24)}, ("down_proj",))
    assert merge(tmp_path) == 1
    assert name in capsys.readouterr().err
    lora = LoraConfig(r=2, target_modules=["q_proj"], target_parameters=[name])
    get_peft_model(model, lora).save_pretrained(tmp_path / "adapter")
    assert merge(tmp_path) == 1
    assert "target_parameters" in capsys.readouterr().err


def write_adapter(folder, shapes, targets):
    folder.mkdir()
    tensors = {}
    for module, (rows, columns) in shapes.items():
        tensors[f"{HEADER}{module}.lora_A.weight"] = torch.randn(2, columns)
        tensors[f"{HEADER}{module}.lora_B.weight"] = torch.randn(rows, 2)
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    config = {
        "peft_type": "LORA",
        "r": 2,
        "lora_alpha": 6,
        "target_modules": [f"experts.{i}.{t}" for i in range(2) for t in targets],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
