"""`vlahub convert --quantize`: what is written loads with one line, verifies, predicts, and does not train."""

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import vlahub
from benchmarks.quantise import drawn_anew, predictions_of, relative
from vlahub.configuration.vla_errors import ConfigError, ConversionError, InputError
from vlahub.conversion.cli import main
from vlahub.conversion.own_checkpoint import write_own_files
from vlahub.conversion.quantised_layers import as_settings, layers_to_quantise
from vlahub.conversion.tensors import quantisation
from vlahub.conversion.tensors.quantisation import QuantisationError, quantise
from vlahub.conversion.travelling.travelling_code import own_config
from vlahub.modeling.quantized_linear import GROUP_SIZES, QuantizedLinear, dequantised, group_size_of, quantise_layers
from vlahub.training.own_classes import check_full_precision_weights

KINDS = ("int8", "fp8", "int4")
BOUNDS = {"int8": 0.012, "fp8": 0.03, "int4": 0.12}  # norm of the error over that of a weight of normal numbers


def bytes_of(model):
    tensors = {id(value): value for value in (*model.parameters(), *model.buffers())}
    return sum(value.nbytes for value in tensors.values())


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_of_the_published_cogvla_at_7b(kind):
    with torch.device("meta"):
        model = vlahub.CogVLAForActionPrediction(vlahub.CogVLAConfig()).to(torch.bfloat16)
        layers = layers_to_quantise(model, kind)
        whole = bytes_of(model)
        quantise_layers(model, as_settings(layers, kind))
    assert 17.7e9 < whole < 17.8e9
    assert not any(name.startswith(("action_head", "moe_aggregator")) or "lm_head" in name for name in layers)
    assert bytes_of(model) < {"int8": 9.4e9, "fp8": 9.4e9, "int4": 7.2e9}[kind]  # of the three, int4 fits 8 GB


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_multiplies_by_what_is_stored_in_any_dtype_and_keeps_its_scales(kind):
    pytest.importorskip("torchao", reason="quantising needs torchao: pip install 'vlahub[quant]'")
    torch.manual_seed(0)
    linear = nn.Linear(96, 40)
    weight = linear.weight.detach() * torch.logspace(-7, 0, 40)[:, None]  # rows of very different sizes
    weight[3] = 0
    layer = QuantizedLinear(linear, kind)
    layer.load_state_dict(quantise(weight, kind) | {"bias": linear.bias.detach()})
    error = (layer.weight_as(torch.float32) - weight).norm(dim=1) / weight.norm(dim=1).clamp(min=1e-30)
    assert error.max() < BOUNDS[kind] * 1.3
    x = torch.randn(5, 96)
    expected = nn.functional.linear(x, layer.weight_as(torch.float32), linear.bias)
    torch.testing.assert_close(layer(x), expected)
    for dtype in (torch.bfloat16, torch.float16):
        scale = layer.weight_scale.clone()
        layer.to(dtype)
        torch.testing.assert_close(layer(x.to(dtype)).float(), expected, atol=0.03, rtol=0.03)
        assert torch.equal(layer.weight_scale, scale) and layer.weight_scale.dtype == torch.float32


def test_int8_and_int4_numbers_are_those_of_plain_rounding():
    pytest.importorskip("torchao", reason="quantising needs torchao: pip install 'vlahub[quant]'")
    weight = torch.randn(6, 256, generator=torch.Generator().manual_seed(1))
    stored = quantise(weight, "int8")
    scale = weight.abs().amax(1, keepdim=True) / 127
    torch.testing.assert_close(stored["weight_scale"], scale)
    assert (stored["qweight"] - (weight / scale).round()).abs().max() <= 1
    stored = quantise(weight, "int4")
    groups = weight.view(6, -1, group_size_of("int4", 256))
    step = (groups.amax(-1) - groups.amin(-1)) / 15
    torch.testing.assert_close(stored["weight_scale"], step)
    back = dequantised("int4", stored["qweight"], stored["weight_scale"], stored["weight_zero_point"], torch.float32)
    assert ((back - weight).view(groups.shape).abs() <= step[..., None] * 1.001).all()


def test_an_error_of_stored_numbers_is_a_norm_over_a_norm_over_all_rows():
    pytest.importorskip("torchao", reason="quantising needs torchao: pip install 'vlahub[quant]'")
    weight = torch.randn(6, 256, generator=torch.Generator().manual_seed(2))
    error, back = QuantisationError(), []
    for rows in weight.split(4):
        stored = quantise(rows, "int8")
        error.add(rows, "int8", stored)
        back.append(stored["qweight"] * stored["weight_scale"])
    assert error.relative == pytest.approx(float((torch.cat(back) - weight).norm() / weight.norm()), rel=1e-5)


def test_a_torchao_without_what_is_used_is_named(monkeypatch):
    module = SimpleNamespace(**dict.fromkeys(name for name in quantisation.USED if name != "_choose_scale_float8"))
    monkeypatch.setattr(quantisation, "import_module", lambda name: module)
    with pytest.raises(ConversionError, match=r"release of torchao has no _choose_scale_float8; pip install"):
        quantise(torch.ones(2, 4), "fp8")


def test_widths_that_no_group_divides_are_refused_in_4_bits():
    with pytest.raises(ConfigError, match=f"24 input features are no multiple of {GROUP_SIZES[-1]}"):
        QuantizedLinear(nn.Linear(24, 8), "int4")


SLOW = pytest.mark.slow  # a checkpoint in int4 holds int8, too


@pytest.mark.parametrize("kind", [pytest.param("int8", marks=SLOW), pytest.param("fp8", marks=SLOW), "int4"])
def test_a_checkpoint_of_lower_precision_loads_verifies_and_predicts(
    family, family_checkpoint, family_call, kind, tmp_path, capsys
):
    pytest.importorskip("torchao", reason="quantising needs torchao: pip install 'vlahub[quant]'")
    out = tmp_path / kind
    assert main(["convert", str(family_checkpoint), str(out), "--quantize", kind]) == 0
    assert "quantised" in capsys.readouterr().out
    report = json.loads((out / "conversion_report.json").read_text())
    errors = {name: entry["relative_error"] for name, entry in report["tensors"].items() if "relative_error" in entry}
    assert errors and max(errors.values()) < BOUNDS["int4" if kind == "int4" else kind] * 1.3
    card = (out / "README.md").read_text()
    assert f"lower precision ({kind})" in card and "policy heads and embeddings among it" in card
    assert re.search(r"[\d.]+ [KM]B of weights in place of [\d.]+ [KM]B\.", card)
    assert main(["verify", str(out), "--code", "--quiet"]) == 0
    assert main(["verify", str(out), "--against", str(family_checkpoint), "--quiet"]) == 0
    model = family.model.from_pretrained(out)
    small = {name for name, module in model.named_modules() if isinstance(module, QuantizedLinear)}
    assert len(small) == len(errors) and all(name.split(".")[0] in model.pretrained_parts for name in small)
    processor = family.processor.from_pretrained(out)
    views = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    actions = family_call(model, processor, views)
    model.save_pretrained(tmp_path / "again")
    processor.save_pretrained(tmp_path / "again")  # the driving model reads its tokenizer there
    again = family.model.from_pretrained(tmp_path / "again")
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    # Not the same bits: sums depend on where weights lie in memory, and the two files begin at different places.
    torch.testing.assert_close(torch.as_tensor(family_call(again, processor, views)), torch.as_tensor(actions))
    with pytest.raises(InputError, match=r"stored in lower precision.*train the checkpoint that it was made from"):
        check_full_precision_weights(model)
    assert main(["convert", str(out), str(tmp_path / "twice"), "--quantize", kind]) == 1
    assert f"quantised ({kind})" in capsys.readouterr().err


# Errors of actions against bfloat16 on matrices of random numbers; see docs/lower-precision.md for those found.
ACTION_BOUNDS = {
    "CogVLA": {"int8": 0.1, "fp8": 0.45},
    "MapAnythingLlava3D": {"int8": 0.03, "fp8": 0.08},
    "MultimodalVLA": {"int8": 0.02, "fp8": 0.06},
    "AlpamayoR1": {"int8": 0.12, "fp8": 0.25},
}


@pytest.mark.slow
def test_actions_in_8_bits_are_near_those_in_bfloat16(family, family_checkpoint, tmp_path):
    pytest.importorskip("torchao", reason="quantising needs torchao: pip install 'vlahub[quant]'")
    checkpoint = drawn_anew(family, family_checkpoint, tmp_path / "full")
    predict = predictions_of(family, checkpoint)
    actions = predict(family.model.from_pretrained(checkpoint, dtype=torch.bfloat16))
    for kind, bound in ACTION_BOUNDS[family.prefix].items():
        assert main(["convert", str(checkpoint), str(tmp_path / kind), "--quantize", kind, "--quiet"]) == 0
        found = predict(family.model.from_pretrained(tmp_path / kind, dtype=torch.bfloat16))
        assert 0 < relative(found, actions) < bound


def test_a_damaged_choice_of_layers_is_named(family, family_checkpoint, tmp_path):
    folder = shutil.copytree(family_checkpoint, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    for settings, words in [
        ({"kind": "int3", "layers": {}}, "'int3' is unknown"),
        ({"kind": "int8", "layers": {}, "bytes": 3}, "bytes=3 must be"),
        ({"kind": "int8", "layers": {"int8": ["nowhere.*"]}}, r"'nowhere.\*' is no linear layer"),
    ]:
        (folder / "config.json").write_text(json.dumps(config | {"weight_quantization": settings}))
        with pytest.raises(ConfigError, match=words):
            family.model.from_pretrained(folder)


@pytest.mark.parametrize("is_edited", [True, False])
def test_a_card_that_stays_has_the_images_that_its_example_reads(is_edited, merged, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(merged, source)
    out.mkdir()
    for name in ("example_view_0.png", "example_view_1.png", "prediction.png"):
        (source / name).write_bytes(b"of the source")
    if is_edited:
        with (source / "README.md").open("a") as card:
            card.write('Image.open("example_view_1.png"), drawn in prediction.png\n')
    report = json.loads((source / "conversion_report.json").read_text())
    write_own_files(source, own_config(source), out, report)
    assert [path.name for path in out.glob("*.png")] == (["example_view_1.png"] if is_edited else [])
