"""Input and output embeddings: found, set, resized and tied as transformers' users know them."""

import pytest
import torch
from safetensors.torch import load_file


def rows(model):
    return model.get_input_embeddings().weight.shape[0]


def is_tied(model):
    head = model.get_output_embeddings()
    return head is not None and head.weight is model.get_input_embeddings().weight


@pytest.mark.newest
def test_embeddings_are_found_and_set(variant):
    model = variant.model()
    table = model.get_input_embeddings()
    assert isinstance(table, torch.nn.Embedding)
    own = torch.nn.Embedding(*table.weight.shape)
    model.set_input_embeddings(own)
    assert model.get_input_embeddings() is own
    head = model.get_output_embeddings()
    if head is not None:
        other = torch.nn.Linear(head.in_features, head.out_features, bias=False)
        model.set_output_embeddings(other)
        assert model.get_output_embeddings() is other


@pytest.mark.newest
def test_more_rows_leave_predictions_as_they_were_and_are_saved_and_loaded(variant, saved, tmp_path):
    model, before = variant.model(), variant.make()
    count = rows(model)
    model.resize_token_embeddings(count + 7, mean_resizing=False)
    assert rows(model) == count + 7 == model.config.get_text_config().vocab_size
    head = model.get_output_embeddings()
    assert head is None or head.weight.shape[0] == count + 7
    assert is_tied(model) == is_tied(variant.kind(before))
    assert [name for name, module in model.named_modules() if module.training] == []  # as before
    torch.testing.assert_close(variant.predict(model, variant.prediction()), saved.actions)
    model.save_pretrained(tmp_path)
    again = variant.kind.from_pretrained(tmp_path)
    assert rows(again) == count + 7
    torch.testing.assert_close(variant.predict(again, variant.prediction()), saved.actions)


@pytest.mark.newest
def test_tied_weights_are_one_also_when_they_are_loaded_and_are_saved_once(variant, saved, load):
    model = load()
    assert is_tied(model) == is_tied(saved.model)
    if is_tied(model):
        held = load_file(saved.folder / "model.safetensors")
        shared = {name for name, value in model.named_parameters(remove_duplicate=False)} - {
            name for name, value in model.named_parameters()
        }
        assert shared and not shared & held.keys()
        assert len(list(model.parameters())) == len(list(saved.model.parameters()))


@pytest.mark.newest
def test_a_step_moves_both_ends_of_tied_weights(variant):
    model = variant.model()
    if not is_tied(model):
        pytest.skip("they are apart")
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(1)
    assert torch.equal(model.get_output_embeddings().weight, model.get_input_embeddings().weight)
