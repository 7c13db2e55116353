"""Under which name a file has the parameter that an adapter changes: one, none, or a refusal, and never a guess."""

from types import SimpleNamespace

import pytest
from torch import nn

from vlahub.conversion.tensors import base_model
from vlahub.conversion.tensors.base_model import BaseModel
from vlahub.conversion.tensors.transformers_names import Translated
from vlahub.errors import ConversionError


@pytest.fixture
def base(monkeypatch):
    """`base(file's name: (model's name, whether it becomes that unchanged))`; no model is asked."""

    def make(**table):
        translated = {key: Translated(*row) for key, row in table.items()}
        names = SimpleNamespace(of=lambda key: translated.get(key, Translated(key, True)))
        monkeypatch.setattr(base_model, "translation_of", lambda model: names)
        return BaseModel(None, list(table))

    return make


def test_a_parameter_is_found_by_the_files_name_and_by_the_models(base):
    found = base(old=("new", True), same=("same", True))
    assert {name: found.key(name) for name in ("old", "new", "same")} == {"old": "old", "new": "old", "same": "same"}
    assert found.key("other") is None


def test_a_name_that_two_tensors_answer_to_is_refused(base):
    """The file's `a` becomes `c`, and the model's `a` is the file's `b`."""
    found = base(a=("c", True), b=("a", True))
    with pytest.raises(ConversionError, match="the adapter changes a, which may be any of the base's a, b"):
        found.key("a")
    assert found.key("b") == "b" and found.key("c") == "a"


def test_what_is_computed_with_in_another_form_is_refused_and_what_the_file_has_of_it_is_not(base):
    found = base(part=("joined", False))
    assert found.key("part") == "part"
    found = base(joined=("joined", False))
    with pytest.raises(ConversionError, match="the adapter changes joined, which transformers stores in another form"):
        found.key("joined")


def test_a_tensor_that_is_stored_under_the_models_own_name_is_known_by_it_alone(base):
    found = base(old=("new", True))
    found.store("new", instead_of="old")
    assert found.key("new") == "new" and found.name_of == {"new": "new"} and "old" not in found.name_of


def test_modules_go_by_the_names_of_each_release_once_and_never_by_two_in_one_set(monkeypatch):
    """As on 4.57, whose model has one name and 5.x another."""
    translation = SimpleNamespace(of=lambda key: Translated(key, True), newer={"newer.weight": "tower.weight"})
    monkeypatch.setattr(base_model, "translation_of", lambda model: translation)
    model = nn.ModuleDict({"tower": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    keys = ["tower.weight", "tower.bias", "head.weight", "head.bias"]
    found = BaseModel(model, keys).module_names()
    both = {"tower": "tower.weight", "head": "head.weight"}
    assert found == [both, {"newer": "tower.weight", "head": "head.weight"}]
    translation.newer = {}
    assert BaseModel(model, keys).module_names() == [both]
