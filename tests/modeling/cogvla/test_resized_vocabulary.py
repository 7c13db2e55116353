"""The ids of action bins follow from the vocabulary's size: other sizes keep them, or are refused."""

import pytest
import torch
from model_variants import VARIANTS

from vlahub.errors import ConfigError

VARIANT = VARIANTS["cogvla-discrete"]


def new_model():
    """256 ids and 64 rows of padding, none of which is likelier than an id."""
    model = VARIANT.model()
    with torch.no_grad():
        head = model.get_output_embeddings().weight
        head[256:] = head[5]
    return model


@pytest.fixture(scope="module")
def actions():
    return VARIANT.predict(new_model(), VARIANT.prediction())


@pytest.mark.parametrize("arguments", [(256,), (200, 64), (300,), (320,), (None,), (340,), (321, 64)])
def test_actions_are_the_same_with_any_size_that_holds_the_bins(arguments, actions):
    model = new_model()
    table = model.resize_token_embeddings(*arguments, mean_resizing=False)
    assert table.weight.shape[0] - model.config.pad_to_multiple_of == 256
    assert torch.equal(VARIANT.predict(model, VARIANT.prediction()), actions)


@pytest.mark.parametrize("arguments", [(255,), (1,), (190, 64)])
def test_a_size_that_cuts_bins_off_is_refused_and_nothing_is_changed(arguments, actions):
    model = new_model()
    with pytest.raises(ConfigError, match="256 of tokens and action bins"):
        model.resize_token_embeddings(*arguments)
    assert torch.equal(VARIANT.predict(model, VARIANT.prediction()), actions)
