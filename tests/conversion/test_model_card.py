"""README.md of a family: what its card says, and what holds where it has none of its own."""

import json
from importlib.resources import files

import pytest
from huggingface_hub import ModelCard

from vlahub import CogVLAConfig
from vlahub.conversion.families import OURS
from vlahub.conversion.family_card import ANY_CARD, Card, Origin, licence_list, new_text
from vlahub.conversion.model_card import write_card
from vlahub.conversion.untrained_tensors import INITIALISED


@pytest.fixture
def card_of(merged, tmp_path):
    """`card_of(card, **sources) -> ModelCard` of the merged run; sources: the text of their README.md."""

    def write(card, **sources):
        report = json.loads((merged / "conversion_report.json").read_text())
        report["inputs"] = {role: f"user/{role}" for role in sources}
        for role, text in sources.items():
            (tmp_path / role).mkdir()
            (tmp_path / role / "README.md").write_text(text)
        config = CogVLAConfig.from_pretrained(merged)
        write_card(tmp_path, card, config, report, {role: tmp_path / role for role in sources})
        return ModelCard((tmp_path / "README.md").read_text())

    return write


@pytest.mark.parametrize("name", OURS)
def test_every_family_has_a_template(name):
    assert files("vlahub.model_cards").joinpath(f"{OURS[name].card.template}.md").is_file()


def test_a_family_without_a_card_of_its_own_says_how_it_is_called_and_what_it_was_made_of(card_of):
    card = card_of(ANY_CARD, base="---\nlicense: mit\n---\n")
    assert card.data.base_model == "user/base" and card.data.license == "mit" and "cogvla" in card.data.tags
    assert "model.predict_action(" in card.content and "Created by vlahub from base `user/base`" in card.content
    assert "`mit`, inherited from the base model." in card.content


def test_what_a_family_says_comes_before_what_all_say(card_of):
    def two(inputs, licences):
        return Origin(list(inputs.values()), {"license": "other"}, licence_list(licences, inputs))

    values = {"usage": "Ask it twice."}
    card = card_of(
        Card(values=lambda config, report: values, tags=("one",), origin=two), a="", b="---\nlicense: mit\n---"
    )
    assert "Ask it twice." in card.content and "predict_action" not in card.content
    assert card.data.base_model == ["user/a", "user/b"] and card.data.tags == ["one", "cogvla"]
    assert "- a, `user/a`: not recorded" in card.content and "- b, `user/b`: `mit`" in card.content


@pytest.mark.parametrize(
    ("inputs", "settings", "said"),
    [
        ({"vision": "v"}, {}, "`head` and `norm`. The rest is the published parts"),
        ({"base": "b"}, {"new_tensors": {"value": "a head"}}, "a head. The rest is the base"),
    ],
    ids=["of parts", "of a base"],
)
def test_what_was_never_trained_is_counted_and_named(inputs, settings, said):
    shapes = {"head.weight": [4, 8], "norm.bias": [3], "model.embed_tokens.weight": [100, 8]}
    tensors = {
        name: {"operation": "copied" if name.startswith("model") else INITIALISED, "shape": shape}
        for name, shape in shapes.items()
    }
    report = {"inputs": inputs, "tensors": tensors, "settings": settings | {"seed": {"value": 7}}}
    counted = "2 of the tensors, 35 parameters, were initialised at random with seed 7 and **never trained**: "
    assert counted + said in " ".join(new_text(report).split())
    assert new_text(report | {"tensors": {"model.embed_tokens.weight": tensors["model.embed_tokens.weight"]}}) == ""
