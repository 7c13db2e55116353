"""`vlahub.lora_config`: PEFT's adapter folder holds all that was trained, and merging it gives the trained model."""

import copy
import itertools
import re

import numpy as np
import pytest
import torch
from base_statistics import statistics_of
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from tiny_configs import composed_config
from tiny_text_models import tiny_text_config
from torch import nn

import vlahub
from vlahub.conversion.cli import main
from vlahub.errors import InputError
from vlahub.training.lora_config import is_adapted

VIEWS = np.random.RandomState(0).randint(0, 255, (2, 60, 80, 3), dtype=np.uint8)
WRAPPED = (".default", ".modules_to_save")


RANK, ALPHA = 2, 8
SPATIAL = {"use_spatial_token": True, "spatial_token_num": 5, "action_token_begin_idx": 35}
TIED = {"tie_word_embeddings": True}

# Every projector with every fusion; heads, towers and language models in turn.
CASES = {
    " ".join(fields.values()): ("multimodal_vla", fields)
    for fields in (
        {"projector_type": projector, "fusion": fusion, "action_head": head, "tower": tower, "text": text}
        for (projector, fusion), head, tower, text in zip(
            itertools.product(("linear", "mlp", "perceiver", "qformer"), ("early", "cross_attention", "late", "film")),
            itertools.cycle(("flow", "mlp", "discrete")),
            itertools.cycle(("siglip", "two towers", "clip", "dinov2", "vit")),
            itertools.cycle(("gemma", "llama", "tied llama")),
            strict=False,
        )
    )
} | {
    "cogvla l1": ("cogvla", {"action_head": "l1"}),
    "cogvla discrete": ("cogvla", {"action_head": "discrete", "lfp_enable_film": False}),
    "cogvla diffusion tied": ("cogvla", {"action_head": "diffusion", "text_config": TIED}),
    "deep_fusion": ("mapanything_llava3d", {"action_expert_type": "deep_fusion"}),
    "deep_fusion tied": ("mapanything_llava3d", {"action_expert_type": "deep_fusion", "text_config": TIED}),
    "dit mistral": ("mapanything_llava3d", {"action_expert_type": "dit", "text_config": {"model_type": "mistral"}}),
    "deep_fusion+dit": ("mapanything_llava3d", {"action_expert_type": "deep_fusion+dit", **SPATIAL}),
    "paligemma": ("multimodal_vla", {"vlm": "paligemma", "action_head": "flow"}),
    "llava": ("multimodal_vla", {"vlm": "llava", "action_head": "flow", "projector_type": "linear"}),
    "qwen2.5-vl": ("multimodal_vla", {"vlm": "qwen2_5_vl", "action_head": "mlp"}),
    "qwen3-vl": ("multimodal_vla", {"vlm": "qwen3_vl", "action_head": "discrete"}),
    "alpamayo": ("alpamayo_r1", {}),
    "alpamayo labels": ("alpamayo_r1", {"labels": True}),
}


def moved(adapted):
    """The model with every trainable weight moved, as by training."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.02)
    return adapted


@pytest.fixture(scope="module")
def trained(family, family_checkpoint):
    """The family's model in PEFT, trained."""
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32).eval()
    return moved(get_peft_model(model, vlahub.lora_config(model, r=4, lora_alpha=8)).eval())


@torch.no_grad()
def loss_of(model, batch):
    return model.eval()(**batch).loss.item()


def trainable_names(adapted):
    names = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    for part in WRAPPED:
        names = [name.replace(part, "") for name in names]
    return set(names)


def merged_by_hand(base, saved):
    """The base's weights with those of an adapter's folder: B A alpha / r added, or taken as they are."""
    weights = {name: value.detach().clone() for name, value in base.items()}
    for key, value in saved.items():
        name = key.removeprefix("base_model.model.")
        if name.endswith(".lora_A.weight"):
            other = saved[key.replace("lora_A", "lora_B")]
            weights[name.replace(".lora_A", "")] += other @ value * ALPHA / RANK
        elif ".lora_B" not in name:
            weights[name] = value
    return weights


@pytest.mark.parametrize("name", CASES)
def test_an_adapter_folder_makes_any_fresh_base_the_trained_model(tiny, name, tmp_path):
    family, fields = CASES[name]
    made = tiny(family, **fields)
    fresh, before, loss = copy.deepcopy(made.model), made.actions(), loss_of(made.model, made.batch)
    untouched = {parameter: value.detach().clone() for parameter, value in made.model.named_parameters()}
    config = vlahub.lora_config(made.model, RANK, ALPHA, action_loss_only="labels" not in fields)
    adapted = moved(get_peft_model(made.model, config))
    adapted.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert saved.keys() == trainable_names(adapted) and len(saved) > 30
    assert not any("lm_head." in key or ".embed_tokens." in key for key in saved)

    wanted = made.actions(adapted.get_base_model())
    loaded = PeftModel.from_pretrained(fresh, tmp_path)
    torch.testing.assert_close(made.actions(loaded.get_base_model()), wanted, rtol=1e-4, atol=1e-4)
    merged = loaded.merge_and_unload()
    torch.testing.assert_close(made.actions(merged), wanted, rtol=1e-4, atol=1e-4)
    assert abs(loss_of(merged, made.batch) - loss) > 1e-3
    assert "discrete" in name or (wanted - before).abs().max() > 0.1  # the likeliest token may be what it was
    torch.testing.assert_close(dict(merged.named_parameters()), merged_by_hand(untouched, saved), rtol=1e-5, atol=1e-6)


def test_the_adapter_folder_holds_every_trainable_parameter_and_merges_to_the_trained_model(
    family, family_checkpoint, family_call, trained, tmp_path
):
    processor = family.processor.from_pretrained(family_checkpoint)
    wanted = family_call(trained.get_base_model(), processor, VIEWS)
    trained.save_pretrained(tmp_path / "adapter")
    saved = set(load_file(tmp_path / "adapter" / "adapter_model.safetensors"))
    assert saved == trainable_names(trained) and len(saved) > 50

    sources = ["--base", str(family_checkpoint), "--adapter", str(tmp_path / "adapter")]
    options = ["--output", str(tmp_path / "merged"), "--dtype", "float32", "--quiet"]
    assert main(["merge-lora", *sources, *options, *statistics_of(family_checkpoint)]) == 0
    merged = family.model.from_pretrained(tmp_path / "merged", dtype=torch.float32).eval()
    found = family_call(merged, processor, VIEWS)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=2e-5)
    before = family.model.from_pretrained(family_checkpoint, dtype=torch.float32).eval()
    assert (found - family_call(before, processor, VIEWS)).abs().max() > 0.05


def test_new_parts_train_whole_and_pretrained_ones_by_lora(trained):
    names = trainable_names(trained)
    whole = {name for name in names if "lora_" not in name}
    pretrained = ("backbone.", "geometric_model.", "language_model.", "vision_backbone.", "vision_tower.", "vlm.")
    inside = {n for n in whole if n.removeprefix("base_model.model.").startswith(pretrained)}
    assert all(any(part in name for part in ("film", "aggregation", "router")) for name in inside)
    assert any("q_proj.lora_A" in name for name in names)
    assert not any(name.endswith(("lm_head.weight", "embed_tokens.weight")) for name in names)
    base = {f"base_model.model.{name}" for name, _ in trained.get_base_model().named_parameters()}
    new = {n for n in base if not n.removeprefix("base_model.model.").startswith(pretrained) and "lora_" not in n}
    plain = {name.replace(".original_module", "") for name in new if ".modules_to_save." not in name}
    assert plain <= whole


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("had", [False, True], ids=["beside another", "behind another"])
def test_a_further_adapter_trains_what_the_first_one_does(tiny, name, had, adapters_of_transformers):
    family, fields = CASES[name]
    model = tiny(family, **fields).model
    options = {"action_loss_only": "labels" not in fields}
    first = vlahub.lora_config(model, RANK, ALPHA, **options)
    model.add_adapter(copy.deepcopy(first), "first")  # PEFT shortens its names
    wanted = {parameter.replace(".first", "") for parameter in trainable_names(model)}
    if had:
        model.delete_adapter("first")
    second = vlahub.lora_config(model, RANK, ALPHA, **options)
    assert (second.target_modules, second.modules_to_save) == (first.target_modules, first.modules_to_save)
    model.add_adapter(second, "second")
    assert {parameter.replace(".second", "") for parameter in trainable_names(model)} == wanted


# Of each kind of new part one module, with bare parameters (tokens, embeddings) among them.
NEW = {
    "cogvla diffusion tied": {
        "vision_backbone.featurizer.aggregation",
        "vision_backbone.fused_featurizer.blocks.1.film.scale",
        "vision_backbone.fused_featurizer.blocks.1.film.shift",
        "moe_aggregator.router.0",
        "moe_aggregator.featurizer_proj.fc1",
        "language_model.model.layers.3.router.router",
        "language_model.model.layers.3.router.shift.2",
        "proprio_projector.fc2",
        "noisy_action_projector.fc1",
        "action_head.model.fc1",
    },
    "deep_fusion+dit": {
        "vision_projector",
        "geometric_projector",
        "fusion_projector",
        "spatial_embed_tokens",
        "language_model_with_expert.expert.layers.0.self_attn.q_proj",
        "language_model_with_expert.expert.norm",
        "action_expert.time_mlp_in",
        "dit_action_head.future_tokens",
        "dit_action_projector",
    },
    "linear late discrete clip tied llama": {"projector", "late_projector", "action_queries", "proprio_projector"},
    "linear film flow dinov2 gemma": {"projector", "film.shift", "action_network.stack.norm", "proprio_projector"},
    "alpamayo": {"expert.layers.1.mlp.up_proj", "expert.norm", "action_in_proj.encoder.trunk.0", "action_out_proj"},
}


@pytest.mark.parametrize("name", NEW)
def test_new_parts_are_named_one_by_one_or_with_what_holds_them(tiny, name):
    family, fields = CASES[name]
    model = tiny(family, **fields).model
    config = vlahub.lora_config(model)
    assert NEW[name] <= set(config.modules_to_save)
    modules = dict(model.named_modules())
    assert config.target_modules <= modules.keys() and set(config.modules_to_save) <= modules.keys()
    assert all(isinstance(modules[target], nn.Linear) for target in config.target_modules)


def test_a_name_that_ends_others_takes_them_whole(tiny):
    """PEFT trains each module whole whose name ends in one that it is given: never a module and a part of it."""
    model = tiny("multimodal_vla", vlm="llava", projector_type="linear", use_proprio=True, proprio_dim=2).model
    config = vlahub.lora_config(model)
    taken = {name for name, _ in model.named_modules() if name.endswith(tuple(config.modules_to_save))}
    projectors = {"projector", "proprio_projector", "backbone.vlm.model.multi_modal_projector"}
    assert projectors <= taken == set(config.modules_to_save)
    inside = {name for name in taken | config.target_modules for other in taken if name.startswith(f"{other}.")}
    assert not inside


@pytest.mark.parametrize("name", ["deep_fusion", "alpamayo"])
def test_text_that_is_learned_too_adapts_the_last_layer_whole(tiny, name):
    family, fields = CASES[name]
    model = tiny(family, **fields).model
    kinds = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
    kinds += ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")

    def adapted(**options):
        targets = vlahub.lora_config(model, **options).target_modules
        return {target.split("layers.")[-1] for target in targets if "language_model." in target}

    depth = 1 + max(int(target.split(".")[0]) for target in adapted())
    every = {f"{layer}.{kind}" for layer in range(depth) for kind in kinds}
    assert adapted(action_loss_only=False) == every
    assert adapted() == every - {f"{depth - 1}.{kind}" for kind in kinds if kind[-6] not in "kv"}


def test_options_go_to_peft_and_replace_ours(family, family_checkpoint):
    model = family.model.from_pretrained(family_checkpoint)
    config = vlahub.lora_config(model, r=8, lora_alpha=4, lora_dropout=0.1, use_rslora=True, target_modules=["q_proj"])
    assert isinstance(config, LoraConfig)
    assert (config.r, config.lora_alpha, config.lora_dropout, config.use_rslora) == (8, 4, 0.1, True)
    assert config.target_modules == {"q_proj"}
    assert (vlahub.lora_config(model).r, vlahub.lora_config(model).lora_alpha) == (32, 16)


@pytest.mark.parametrize("tower", ["two towers", "siglip", "clip", "vit"])
def test_what_does_not_run_of_a_tower_gets_no_lora(tower, tiny):
    made = tiny("multimodal_vla", tower=tower, freeze_vision_tower=False)
    targets = vlahub.lora_config(made.model).target_modules
    inside = {name for name in targets if name.startswith("backbone.vision_tower.")}
    linear = {name for name, module in made.model.named_modules() if isinstance(module, nn.Linear)}
    idle = {name for name in linear if {"text_model", "head", "pooler"} & set(name.split("."))}
    assert inside and not inside & idle
    assert idle or tower == "clip"
    made.model(**made.batch).loss.backward()
    assert all(made.model.get_submodule(name).weight.grad is not None for name in inside)
    assert all(made.model.get_submodule(name).weight.grad is None for name in idle)


def test_linear_layers_of_a_models_own_kind_and_those_that_are_not_called_get_no_lora():
    own = type("Router", (nn.Linear,), {"__module__": "transformers.models.phimoe.modeling_phimoe"})
    attention = nn.MultiheadAttention(2, 1)
    assert is_adapted(nn.Linear(2, 2), ["layers", "q_proj"]) and not is_adapted(nn.Identity(), ["layers", "q_proj"])
    for layer in (own(2, 2), attention.out_proj):
        assert not is_adapted(layer, ["layers", "q_proj"])
    assert not is_adapted(nn.Linear(2, 2), ["model", "lm_head"])


@pytest.mark.parametrize("kind", ["phimoe", "olmoe"])
def test_a_router_that_returns_more_than_a_product_gets_no_lora(kind):
    text = tiny_text_config(kind)
    model = vlahub.MultimodalVLAForActionPrediction(composed_config(text_config=text, action_head="mlp"))
    model.add_adapter(vlahub.lora_config(model, RANK, ALPHA))
    batch = {"input_ids": torch.tensor([[5, 6, 7]]), "pixel_values": torch.randn(1, 1, 3, 28, 28)}
    batch |= {"state": torch.zeros(1, model.config.state_dim)}
    model(**batch, actions=torch.rand(1, model.config.num_action_chunks, model.config.action_dim)).loss.backward()
    assert model.eval().predict_action(**batch).isfinite().all()


GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 300, "n_positions": 256}


@pytest.mark.parametrize("tower", [{}, {"freeze_vision_tower": False}])
@pytest.mark.parametrize("kind", ["gpt2", "openai-gpt"])
def test_layers_of_gpt2_are_named_and_what_the_message_says_trains_and_merges_them(kind, tower, tmp_path):
    """Whether a vision tower would get one or nothing at all."""
    torch.manual_seed(0)
    model = vlahub.MultimodalVLAForActionPrediction(composed_config(text_config=GPT2 | {"model_type": kind}, **tower))
    with pytest.raises(InputError, match=r"h\.0\.attn\.c_attn and 7 other layers are GPT-2's Conv1D") as refused:
        vlahub.lora_config(model)
    model.save_pretrained(tmp_path / "base")
    call = re.search(r"lora_config\(.*?\)", str(refused.value))[0]
    config = eval(call, {"lora_config": vlahub.lora_config, "model": model})
    adapted = get_peft_model(model, config)
    layers = [name for name, _ in adapted.named_parameters() if "lora_B" in name]
    assert len(layers) == 8 and all("language_model" in name for name in layers)
    with torch.no_grad():
        for name, value in adapted.named_parameters():
            if "lora_B" in name:
                value += torch.randn(value.shape)
    adapted.save_pretrained(tmp_path / "run")
    sources = ["--base", str(tmp_path / "base"), "--adapter", str(tmp_path / "run"), "--output", str(tmp_path / "out")]
    assert main(["merge-lora", *sources, "--quiet", *statistics_of(tmp_path / "base")]) == 0
    found = vlahub.MultimodalVLAForActionPrediction.from_pretrained(tmp_path / "out").state_dict()
    torch.testing.assert_close(found, dict(adapted.merge_and_unload().state_dict()), rtol=1e-5, atol=1e-5)


def test_a_frozen_vision_tower_gets_no_lora():
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    siglip = {"model_type": "siglip_vision_model", **sizes, "image_size": 28, "patch_size": 14}
    llama = {"model_type": "llama", **sizes, "vocab_size": 300}
    for frozen in (True, False):
        config = vlahub.MultimodalVLAConfig(vision_config=siglip, text_config=llama, freeze_vision_tower=frozen)
        model = vlahub.MultimodalVLAForActionPrediction(config)
        targets = vlahub.lora_config(model).target_modules
        assert any("vision_tower" in name for name in targets) is not frozen
        assert not any(".head." in name or name.endswith("lm_head") for name in targets)


def test_a_model_of_another_kind_is_refused():
    model = nn.Sequential(nn.Linear(2, 2))
    model.config = None
    with pytest.raises(InputError, match="Sequential cannot say what is trained of it"):
        vlahub.lora_config(model)


@pytest.mark.parametrize("name", CASES)
def test_every_kind_trains_under_autocast(tiny, name):
    family, fields = CASES[name]
    made = tiny(family, **fields)
    with torch.autocast("cpu", torch.bfloat16):
        loss = made.model(**made.batch).loss
    loss.backward()
    assert loss.dtype == torch.float32 and loss.isfinite()
    gradients = [parameter.grad for parameter in made.model.parameters() if parameter.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)
