"""LoRA adapters in every variant: added by the model or by PEFT, saved, loaded, switched off, merged."""

import peft
import pytest
import torch
from base_statistics import statistics_of
from model_variants import FEW, VARIANTS, randomized
from packaging.version import Version
from peft import LoraConfig, PeftModel, get_peft_model

import vlahub
from vlahub.errors import InputError

# PEFT asks by a name that transformers 6 drops.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*is deprecated:FutureWarning")

few = pytest.mark.parametrize("variant", FEW, indirect=True)
# Parts that PEFT can train whole, among them all that another part uses and does not own.
WHOLE = [
    *[("llava3d-flow", part) for part in ("language_model", "language_model_with_expert", "action_expert")],
    *[("llava3d-mistral-both", part) for part in ("language_model_with_expert", "action_expert", "dit_action_head")],
    *[("composed-flow", part) for part in ("action_network", "action_head")],
    ("cogvla", "action_head"),
    ("alpamayo-1.5", "expert"),
]
# PEFT hands such a part its first argument by its place before 0.20, and these have keywords alone.
BY_KEYWORDS = ("language_model_with_expert", "action_network")
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def shaken(model):
    """Every trained number changed, by which an adapter has an effect."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value += 0.05 * torch.randn(value.shape, generator=generator)
    return model.eval()


def free_to_train(variant):
    """The variant's model; where its config keeps the language model frozen, no LoRA has a place until it does not."""
    config = variant.make()
    if getattr(config, "freeze_language_model", False):
        with pytest.raises(InputError, match="freeze_language_model=False"):
            vlahub.lora_config(variant.model())
        config.freeze_language_model = False
    return randomized(variant.kind._from_config(config)).eval()


def everywhere(rank=4, alpha=12):
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear")


@few
def test_an_adapter_that_is_saved_leaves_the_weights_beside_it(variant, tmp_path, adapters_of_transformers):
    model = free_to_train(variant)
    model.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin.index.json").write_bytes(b"of somebody")
    there = {name: (tmp_path / name).read_bytes() for name in ("model.safetensors", "pytorch_model.bin.index.json")}
    model.add_adapter(vlahub.lora_config(model, 4, 12))
    model.save_pretrained(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").is_file()
    assert {name: (tmp_path / name).read_bytes() for name in there} == there


@pytest.mark.newest
def test_an_adapter_of_the_model_is_saved_loaded_and_switched_off(
    variant, saved, load, tmp_path, adapters_of_transformers
):
    model = free_to_train(variant)
    model.add_adapter(vlahub.lora_config(model, 4, 12))
    shaken(model)
    changed = variant.predict(model, variant.prediction())
    assert (changed - saved.actions).abs().max() > 1e-3
    model.save_pretrained(tmp_path)
    again = load()
    again.load_adapter(str(tmp_path))
    torch.testing.assert_close(variant.predict(again.eval(), variant.prediction()), changed, **CLOSE)


@pytest.mark.newest
def test_an_adapter_of_peft_everywhere_is_saved_loaded_and_merged(variant, saved, load, tmp_path):
    model = shaken(get_peft_model(variant.model(), everywhere()))
    changed = variant.predict(model.base_model.model, variant.prediction())
    assert (changed - saved.actions).abs().max() > 1e-3
    with model.disable_adapter():
        plain = variant.predict(model.base_model.model, variant.prediction())
    torch.testing.assert_close(plain, saved.actions, **CLOSE)
    model.save_pretrained(tmp_path / "adapter")
    again = PeftModel.from_pretrained(load(), tmp_path / "adapter").eval()
    torch.testing.assert_close(variant.predict(again.base_model.model, variant.prediction()), changed, **CLOSE)
    merged = again.merge_and_unload()
    assert type(merged) is variant.kind
    torch.testing.assert_close(variant.predict(merged, variant.prediction()), changed, **CLOSE)
    merged.save_pretrained(tmp_path / "merged")
    loaded = variant.kind.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(variant.predict(loaded, variant.prediction()), changed, **CLOSE)


@pytest.mark.newest
@pytest.mark.parametrize(
    ("variant", "part"), [(VARIANTS[name], part) for name, part in WHOLE], ids=map("/".join, WHOLE)
)
def test_a_part_that_peft_trains_whole_takes_the_place_of_the_first(variant, part, tmp_path):
    """In training, in a prediction beside the adapter, and where the model goes on without PEFT."""
    if part in BY_KEYWORDS and Version(peft.__version__) < Version("0.20"):
        pytest.skip("PEFT before 0.20 gives a part that it trains whole no keywords alone")
    lora = LoraConfig(r=4, target_modules="all-linear", modules_to_save=[part])
    model = get_peft_model(variant.model(), lora)
    model(**variant.training()).loss.backward()
    whole = [value for key, value in model.named_parameters() if value.requires_grad and ".modules_to_save." in key]
    unused = [value for value in whole if value.grad is None]
    assert len(unused) < len(whole) / 2  # of a language model that an expert reads, the end of the last layer
    changed = variant.predict(shaken(model).base_model.model, variant.prediction())
    merged = model.merge_and_unload()
    torch.testing.assert_close(variant.predict(merged, variant.prediction()), changed, **CLOSE)
    merged.save_pretrained(tmp_path)
    loaded = variant.kind.from_pretrained(tmp_path, dtype=torch.float32)
    torch.testing.assert_close(variant.predict(loaded, variant.prediction()), changed, **CLOSE)


@few
def test_what_peft_merges_is_what_vlahub_merges(variant, saved, tmp_path):
    """The weights of `merge_and_unload` and of `vlahub merge-lora`, rank and alpha being different."""
    from vlahub.conversion.cli import main

    model = shaken(get_peft_model(variant.model(), everywhere()))
    model.save_pretrained(tmp_path / "adapter")
    sources = ["--base", str(saved.folder), "--adapter", str(tmp_path / "adapter"), "--output", str(tmp_path / "out")]
    options = ["--quiet", "--dtype", "float32", "--no-verify", *statistics_of(saved.folder)]
    assert main(["merge-lora", *sources, *options]) == 0
    found = variant.kind.from_pretrained(tmp_path / "out").state_dict()
    wanted = model.merge_and_unload().state_dict()
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}")


@few
def test_gradients_reach_an_adapter_under_checkpointing(variant):
    model = get_peft_model(variant.model(), everywhere()).train()
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable()
    model(**variant.training()).loss.backward()
    trained = [key for key, value in model.named_parameters() if "lora_B" in key and value.grad is not None]
    assert len(trained) > 10 and any(model.get_parameter(key).grad.any() for key in trained)
