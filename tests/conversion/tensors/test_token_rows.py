"""Which rows of an embedding an adapter has trained, by the names that its config has for embeddings."""

import pytest
from peft import LoraConfig

from vlahub.conversion.tensors.lora_merge import token_indices

SEVERAL = {"embed_tokens": [1], "tower.embed_tokens": [2, 3], "lm_head": [4]}


@pytest.mark.parametrize(
    ("indices", "module", "wanted"),
    [
        (None, "model.embed_tokens", []),
        ([9, 1], "model.embed_tokens", [9, 1]),
        (SEVERAL, "model.embed_tokens", [1]),
        (SEVERAL, "model.tower.embed_tokens", [2, 3]),
        (SEVERAL, "embed_tokens", [2, 3]),  # as an adapter of the tower alone calls it
        (SEVERAL, "lm_head", [4]),
        (SEVERAL, "model.other", []),
    ],
)
def test_rows_are_those_of_the_name_that_fits_best(indices, module, wanted):
    assert token_indices(module, LoraConfig(trainable_token_indices=indices)) == wanted
