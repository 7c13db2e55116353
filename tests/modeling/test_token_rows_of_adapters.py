"""Adapters with trained rows of tokens (`trainable_token_indices`) in a model: whole, and each in its turn."""

import pytest
import torch
from model_variants import FEW, VARIANTS, randomized
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

ROWS = {"first": [3, 5], "second": [5, 9], "without": None}
TIED = "composed-mlp"  # input and output embeddings are one
WORDS = torch.tensor([[3, 5, 7, 9]])


@pytest.fixture(params=[*FEW, TIED], scope="module")
def trained(request, tmp_path_factory):
    """A variant, and a folder with its `base` and the adapters of `ROWS`."""
    variant, place = VARIANTS[request.param], tmp_path_factory.mktemp("trained")
    randomized(variant.kind._from_config(variant.make())).save_pretrained(place / "base")
    for seed, (name, rows) in enumerate(ROWS.items()):
        model = variant.kind.from_pretrained(place / "base", dtype=torch.float32)
        tokens = next(path for path, module in model.named_modules() if module is model.get_input_embeddings())
        layers = [path for path, _ in model.named_modules() if path.endswith("q_proj")][-1:]
        rows = rows and {tokens: rows}
        made = get_peft_model(model, LoraConfig(r=2, target_modules=layers, trainable_token_indices=rows))
        generator = torch.Generator().manual_seed(seed)
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.data = torch.randn(parameter.shape, generator=generator)
        made.save_pretrained(place / name)
    return variant, place


def rows_of(model):
    """What the words are to a model, and the scores that its head gives them."""
    head = model.get_output_embeddings()
    read = model.get_input_embeddings()(WORDS)
    return torch.cat([read.flatten(), *([] if head is None else [head(torch.ones_like(read)).flatten()])])


def loaded(trained, *names):
    variant, place = trained
    model = variant.kind.from_pretrained(place / "base", dtype=torch.float32)
    for name in names:
        model.load_adapter(str(place / name), name)
    return model


@torch.no_grad()
def test_of_two_adapters_with_rows_of_tokens_the_active_one_is_read(trained):
    alone = {name: rows_of(loaded(trained, name)) for name in ("first", "second")}
    assert not torch.equal(alone["first"], alone["second"])
    model = loaded(trained, "first", "second")
    assert torch.equal(rows_of(model), alone["second"])
    for name in ("first", "second", "first"):
        model.set_adapter(name)
        assert torch.equal(rows_of(model), alone[name])


@torch.no_grad()
@pytest.mark.parametrize("steps", ["without, first, -first", "first, -first, without", "first, without"])
def test_an_adapter_without_rows_is_used_beside_and_behind_one_with_them(trained, steps):
    variant, place = trained
    model = loaded(trained)
    for step in steps.split(", "):
        if step.startswith("-"):
            model.delete_adapter(step[1:])
        else:
            model.load_adapter(str(place / step), step)
    assert torch.equal(rows_of(model), rows_of(loaded(trained)))
    variant.predict(model.eval(), variant.prediction())
    if "-first" not in steps:
        model.set_adapter("first")
        assert torch.equal(rows_of(model), rows_of(loaded(trained, "first")))
        model.set_adapter("without")
        assert torch.equal(rows_of(model), rows_of(loaded(trained)))


def test_an_adapter_without_rows_is_saved_whole_beside_one_with_them(trained, tmp_path):
    _, place = trained
    model = loaded(trained, "first", "without")
    for name in ("without", "first"):
        model.set_adapter(name)
        assert model.active_adapters() == [name]
        model.save_pretrained(tmp_path / name)
        wanted = load_file(place / name / "adapter_model.safetensors")
        torch.testing.assert_close(load_file(tmp_path / name / "adapter_model.safetensors"), wanted, rtol=0, atol=0)


def test_the_rows_of_an_adapter_are_those_of_its_file(trained):
    _, place = trained
    saved = load_file(place / "first" / "adapter_model.safetensors")
    rows = next(tensor for name, tensor in saved.items() if "trainable_tokens_delta" in name)
    model = loaded(trained, "first")
    found = [value for name, value in model.named_parameters() if "trainable_tokens_delta" in name]
    assert found and all(torch.equal(value, rows) for value in found)


@pytest.mark.parametrize("name", [name for name, each in VARIANTS.items() if each.make().tie_word_embeddings])
def test_rows_of_tied_embeddings_are_those_by_which_words_are_scored(name):
    model = VARIANTS[name].kind._from_config(VARIANTS[name].make())
    tokens = next(path for path, module in model.named_modules() if module is model.get_input_embeddings())
    layers = [path for path, _ in model.named_modules() if path.endswith("q_proj")][-1:]
    made = get_peft_model(model, LoraConfig(r=2, target_modules=layers, trainable_token_indices={tokens: [3, 5]}))
    rows = next(parameter for path, parameter in made.named_parameters() if "trainable_tokens_delta" in path)
    torch.nn.init.constant_(rows, 0.5)
    states = torch.ones(1, rows.shape[-1])
    with torch.no_grad():
        found = model.get_output_embeddings()(states)[0, [3, 5]]
    torch.testing.assert_close(found, torch.full((2,), 0.5 * rows.shape[-1]))
