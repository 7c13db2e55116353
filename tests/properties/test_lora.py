"""Adapters merged tensor by tensor are those that PEFT merges into a model, and those of the papers' formulas."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import SEEDS, floats
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from vlahub.conversion.tensors.adapter_file import find_adapter, read_content
from vlahub.conversion.tensors.lora_merge import (
    LORA_BIAS,
    LoraMerger,
    check_adapter,
    merge_lora_bias,
    merges_by_rows,
    replace_rows,
)
from vlahub.errors import ConversionError


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.v = nn.Linear(6, 8), nn.Linear(6, 4, bias=False)


class Model(nn.Module):
    """Layers of every kind that PEFT adapts; two blocks, whose layers have the same names."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Block(), Block()])
        self.embed = nn.Embedding(9, 6)
        self.conv = nn.Conv2d(3, 5, (2, 3))
        self.gpt2 = Conv1D(7, 6)

    def forward(self, x):
        return x


FEW = settings(max_examples=max(4, settings.default.max_examples // 3))  # a model each
KEYS = st.sampled_from(["q", "v", "layers.0.q", "layers.1.v", "embed", "conv", r"layers\.\d.q", r"^layers\.1\.q"])
RANKS = st.integers(1, 5)


@st.composite
def adapters(draw):
    """A config of LoRA; where its layers are not plain ones alone, without what PEFT has for linear layers only."""
    kind = draw(st.sampled_from(["linear", "linear", "mixed", "gpt2"]))
    targets = {"linear": ["q", "v"], "mixed": ["q", "embed", "conv"], "gpt2": ["gpt2"]}[kind]
    options = {"use_rslora": draw(st.booleans())}
    if kind == "linear":
        extra = draw(st.sampled_from(["none", "dora", "lora_bias"]))
        options |= {"use_dora": extra == "dora", "lora_bias": extra == "lora_bias"}
        targets = ["q"] if extra == "lora_bias" else targets  # of layers that have one
    return LoraConfig(
        r=draw(RANKS),
        lora_alpha=draw(st.one_of(st.integers(1, 40), floats(0.5, 40))),
        target_modules=targets,
        rank_pattern=draw(st.dictionaries(KEYS, RANKS, max_size=2)),
        alpha_pattern=draw(st.dictionaries(KEYS, st.integers(1, 64), max_size=2)),
        fan_in_fan_out=kind == "gpt2",
        **options,
    )


def trained(config, seed):
    """The base's tensors, and a wrapped model all of whose adapter is random."""
    torch.manual_seed(seed % 2**31)
    base = Model()
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.normal_()
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(base, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_()
                if "magnitude" in name:
                    parameter.abs_()
    return before, model


def saved(model, before):
    """What PEFT writes: the parts of each module and the config as a conversion reads them, and what PEFT merges of it.

    A model of PEFT in memory is no oracle: it writes patterns in the order of the alphabet and takes the first that
    fits. Where one was trained in another order, its file has another strength; where ranks differ, nobody reads it,
    and what PEFT merges is `None`.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
        file, config = find_adapter(Path(folder))
        loras = read_content(file).loras
        parts = {module: {part: source.load() for part, source in each.items()} for module, each in loras.items()}
        base = Model()
        base.load_state_dict(before)
        try:
            merged = PeftModel.from_pretrained(base, folder).merge_and_unload().state_dict()
        except RuntimeError as error:
            assert "size mismatch" in str(error)
            merged = None
    return parts, config, merged


def shapes_of(parts):
    return {part: tuple(value.shape) for part, value in parts.items()}


@FEW
@given(adapters(), SEEDS, st.data())
def test_a_merge_is_pefts_whole_and_by_rows(config, seed, data):
    before, model = trained(config, seed)
    loras, read, wanted = saved(model, before)
    shapes = {module: tuple(before[f"{module}.weight"].shape) for module in loras}
    if wanted is None:
        with pytest.raises(ConversionError, match="does not fit the base"):
            for module, parts in loras.items():
                check_adapter(module, shapes[module], shapes_of(parts), read)
        return
    changed = {name for name in before if not torch.equal(before[name], wanted[name])}
    assert {f"{module}.weight" for module in loras} == {name for name in changed if name.endswith(".weight")}
    for module, parts in loras.items():
        weight, name = before[f"{module}.weight"], f"{module}.weight"
        check_adapter(module, shapes[module], shapes_of(parts), read)
        merger = LoraMerger(module, shapes[module], parts, read)
        torch.testing.assert_close(merger.merge(weight), wanted[name], atol=1e-3, rtol=1e-4)
        if merges_by_rows(parts, shapes[module], read):
            cuts = sorted(data.draw(st.sets(st.integers(1, len(weight) - 1), max_size=3)))
            rows = [merger.merge(weight[a:b], a) for a, b in zip([0, *cuts], [*cuts, len(weight)], strict=True)]
            torch.testing.assert_close(torch.cat(rows), wanted[name], atol=1e-3, rtol=1e-4)
        if LORA_BIAS in parts:
            bias = merge_lora_bias(module, before[f"{module}.bias"], parts, read)
            torch.testing.assert_close(bias, wanted[f"{module}.bias"], atol=1e-3, rtol=1e-4)


@given(RANKS, floats(0.5, 40), st.booleans(), st.booleans(), SEEDS)
def test_a_merge_is_that_of_the_papers(rank, alpha, use_rslora, use_dora, seed):
    """W + alpha / r B A (rsLoRA: alpha / sqrt(r)); DoRA: its rows, each of the length that was learnt."""
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=["v"], use_rslora=use_rslora, use_dora=use_dora)
    generator = np.random.default_rng(seed)
    weight, a, b = (generator.standard_normal(shape) for shape in ((4, 6), (rank, 6), (4, rank)))
    wanted = weight + alpha / (np.sqrt(rank) if use_rslora else rank) * b @ a
    parts = {"lora_A.default.weight": a, "lora_B.default.weight": b}
    if use_dora:
        lengths = np.linalg.norm(wanted, axis=1)
        assume(lengths.min() > 0.1)
        parts["lora_magnitude_vector.default.weight"] = generator.uniform(0.5, 2, 4)
        wanted = wanted * (parts["lora_magnitude_vector.default.weight"] / lengths)[:, None]
    tensors = {name: torch.from_numpy(value).float() for name, value in parts.items()}
    found = LoraMerger("layers.1.v", (4, 6), tensors, config).merge(torch.from_numpy(weight).float())
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-3, rtol=1e-4)


@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=5, unique=True), st.sampled_from(["list", "short", "long"]), SEEDS
)
def test_rows_of_trained_tokens_go_where_their_ids_say(ids, form, seed):
    config = LoraConfig(
        target_modules=["q"],
        trainable_token_indices={"list": ids, "short": {"embed": ids}, "long": {"model.embed": ids, "embed": [0]}}[
            form
        ],
    )
    generator = torch.Generator().manual_seed(seed)
    weight, rows = torch.randn(9, 3, generator=generator), torch.randn(len(ids), 3, generator=generator)
    found = replace_rows("model.embed", weight, rows, config)
    for row in range(9):
        assert torch.equal(found[row], rows[ids.index(row)] if row in ids else weight[row])


@FEW
@given(adapters(), SEEDS, st.sampled_from(["missing", "shape", "more"]))
def test_an_adapter_that_does_not_fit_its_config_is_refused(config, seed, fault):
    before, model = trained(config, seed)
    loras, read, merged = saved(model, before)
    assume(merged is not None)
    module, parts = sorted(loras.items())[0]
    shapes = shapes_of(parts)
    part = sorted(shapes)[0]
    if fault == "missing":
        del shapes[part]
    elif fault == "shape":
        shapes[part] = (shapes[part][0] + 1, *shapes[part][1:])
    else:
        shapes["lora_X.default.weight"] = (1, 1)
    with pytest.raises(ConversionError, match=module.replace(".", r"\.")):
        check_adapter(module, tuple(before[f"{module}.weight"].shape), shapes, read)
