"""Each variant of `model_variants.py` in turn, as it is and saved."""

from types import SimpleNamespace

import pytest
import torch
from model_variants import VARIANTS


@pytest.fixture(scope="session", params=VARIANTS)
def variant(request):
    return VARIANTS[request.param]


@pytest.fixture(scope="session")
def name(variant):
    """That of the variant."""
    return next(name for name, each in VARIANTS.items() if each is variant)


@pytest.fixture(scope="session")
def saved(variant, tmp_path_factory):
    """A model in float32, not to be changed; the `folder` that it was saved in, and the `actions` that it predicts."""
    model = variant.model()
    folder = tmp_path_factory.mktemp("saved")
    model.save_pretrained(folder)
    return SimpleNamespace(model=model, folder=folder, actions=variant.predict(model, variant.prediction()))


@pytest.fixture
def load(variant, saved):
    """`load(**options) -> model` in evaluation mode, in float32 unless options say otherwise."""
    return lambda **options: variant.kind.from_pretrained(saved.folder, **{"dtype": torch.float32, **options}).eval()
