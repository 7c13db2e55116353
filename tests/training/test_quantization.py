"""QLoRA on a processor: what is in 4 bits, what trains, and what merges into the model in full precision."""

import copy
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from base_statistics import statistics_of
from peft import get_peft_model, prepare_model_for_kbit_training
from safetensors.torch import load_file
from transformers import BitsAndBytesConfig

import vlahub
from vlahub.conversion.cli import main
from vlahub.errors import InputError
from vlahub.training.collators import collator_for

bnb = pytest.importorskip("bitsandbytes", reason="4-bit loading needs bitsandbytes: pip install 'vlahub[quant]'")

RANK, ALPHA = 4, 8
VIEWS = np.random.RandomState(0).randint(0, 255, (2, 60, 80, 3), dtype=np.uint8)
LAYERS = {
    "cogvla": "language_model.model.layers",
    "mapanything_llava3d": "language_model.model.model.layers",
    "multimodal_vla": "backbone.language_model.model.layers",
    "alpamayo_r1": "vlm.model.language_model.layers",
}
LINEAR = r"\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"


def load_quantised(family, folder, config):
    """The checkpoint on the processor, in float32 but for what the config has in 4 bits."""
    return family.model.from_pretrained(
        folder, quantization_config=config, dtype=torch.float32, device_map={"": "cpu"}
    ).train()


@pytest.fixture(scope="module")
def full(family, family_checkpoint):
    """The model in full precision."""
    return family.model.from_pretrained(family_checkpoint, dtype=torch.float32).train()


def in_4_bits(family, family_checkpoint):
    config = family.config.from_pretrained(family_checkpoint)
    options = vlahub.quantization_config(config, bnb_4bit_compute_dtype=torch.float32)
    return load_quantised(family, family_checkpoint, options)


@pytest.fixture(scope="module")
def quantised(family, family_checkpoint):
    """The model in 4 bits, not to be changed."""
    return in_4_bits(family, family_checkpoint)


@pytest.fixture(scope="module")
def trained(family, family_checkpoint, family_examples, full, tmp_path_factory):
    """A few steps of QLoRA: the model, losses, the frozen parameters, the adapter's folder, and a batch."""
    processor = family.processor.from_pretrained(family_checkpoint)
    batch = collator_for(full.config, processor, unnorm_key=family.unnorm_key)(family_examples)
    settings = {"use_reentrant": False}
    quantised = in_4_bits(family, family_checkpoint)
    before = {name: p.detach().clone() for name, p in quantised.named_parameters()}
    prepared = prepare_model_for_kbit_training(quantised, gradient_checkpointing_kwargs=settings)
    model = get_peft_model(prepared, vlahub.lora_config(prepared, RANK, ALPHA))
    vlahub.freeze_unreached(model, batch)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    losses, without = [], set()
    for _ in range(5):
        losses.append(loss_of(model, batch))
        losses[-1].backward()
        without = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("adapter")
    model.save_pretrained(folder)
    return SimpleNamespace(
        model=model, losses=losses, without=without, before=before, folder=folder, batch=batch, processor=processor
    )


def loss_of(model, batch):
    torch.manual_seed(0)  # of the dropout
    return model(**batch).loss


def test_the_language_models_layers_are_in_4_bits_and_nothing_else(family, full, quantised):
    modules, weights = dict(quantised.named_modules()), dict(full.named_parameters())
    found = {name for name, module in modules.items() if isinstance(module, bnb.nn.Linear4bit)}
    stack = re.escape(LAYERS[quantised.config.model_type])
    assert found == {name for name in modules if re.fullmatch(stack + LINEAR, name)} and len(found) >= 14
    for name, parameter in quantised.named_parameters():
        module = name.removesuffix(".weight")
        if module not in found:
            assert parameter.dtype == torch.float32 and torch.equal(parameter, weights[name]), name
            continue
        state = modules[module].weight.quant_state
        assert parameter.dtype == torch.uint8 and state.quant_type == "nf4" and state.nested
        restored = bnb.functional.dequantize_4bit(parameter, state)
        assert restored.shape == weights[name].shape
        assert 0 < (restored - weights[name]).abs().mean() < 0.5 * weights[name].abs().mean()


def test_options_take_the_place_of_defaults_and_the_models_config_stays(family, family_checkpoint):
    config = family.config.from_pretrained(family_checkpoint)
    before = copy.deepcopy(config.to_dict())
    options = vlahub.quantization_config(config, bnb_4bit_quant_type="fp4")
    assert config.to_dict() == before
    assert (options.load_in_4bit, options.bnb_4bit_quant_type, options.bnb_4bit_use_double_quant) == (True, "fp4", True)
    assert options.bnb_4bit_compute_dtype == torch.bfloat16


def test_a_step_trains_adapters_and_new_parts_and_leaves_the_4_bits_alone(trained):
    assert trained.losses[-1] < trained.losses[0] and torch.stack(trained.losses).isfinite().all()
    assert not trained.without
    after = {name.replace(".base_layer", ""): p for name, p in trained.model.get_base_model().named_parameters()}
    for name, parameter in trained.before.items():
        if parameter.dtype == torch.uint8:
            assert torch.equal(after[name], parameter) and not after[name].requires_grad
    assert {p.dtype for p in trained.model.parameters() if p.requires_grad} == {torch.float32}


def test_the_adapter_folder_is_complete(trained):
    saved = load_file(trained.folder / "adapter_model.safetensors")
    names = {name for name, p in trained.model.named_parameters() if p.requires_grad}
    assert {name.replace(".default", "").replace(".modules_to_save", "") for name in names} <= saved.keys()
    assert any(".lora_A." in name for name in saved) and any(".lora_" not in name for name in saved)


def test_merged_into_full_precision_it_does_what_was_trained(family, family_call, full, trained, tmp_path):
    base = full.config._name_or_path
    sources = ["--base", str(base), "--adapter", str(trained.folder), *statistics_of(base)]
    assert main(["merge-lora", *sources, "--output", str(tmp_path / "out"), "--dtype", "float32", "--quiet"]) == 0
    merged = family.model.from_pretrained(tmp_path / "out", dtype=torch.float32).train()
    with torch.no_grad():
        found, wanted, untrained = (loss_of(model, trained.batch) for model in (merged, trained.model, full))
    assert abs(found - wanted) < 0.2 * abs(untrained - wanted)
    models = merged.eval(), predicting(trained.model), full.eval()
    actions = [family_call(model, trained.processor, VIEWS) for model in models]
    assert torch.isfinite(actions[0]).all()
    assert (actions[0] - actions[1]).abs().mean() < 0.6 * (actions[2] - actions[1]).abs().mean()


def predicting(model):
    """The base in PEFT, in evaluation mode but for layers that some processors would repack, where they are larger."""
    for module in model.eval().modules():
        if isinstance(module, bnb.nn.Linear4bit):
            module.train()
    return model.get_base_model()


def test_a_model_whose_new_parts_are_quantised_is_refused(family, family_checkpoint, full):
    kept = [name for name, module in full.named_modules() if module is full.get_output_embeddings()]
    everything = BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=kept)
    model = load_quantised(family, family_checkpoint, everything)
    with pytest.raises(InputError, match=r"new and trains whole.*uint8.*vlahub\.quantization_config"):
        vlahub.lora_config(model)
