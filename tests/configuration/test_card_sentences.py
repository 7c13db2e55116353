"""What a card says of a model in words: each of its numbers, and each case in its own words."""

from types import SimpleNamespace

import pytest
from tiny_configs import cogvla_config

from vlahub.configuration.card_example import SEEN_BLOCK, block
from vlahub.configuration.card_markdown import details, sections, stack_text
from vlahub.configuration.card_metadata import kept_metadata, origin_text
from vlahub.configuration.checkpoint_card import (
    LIMITS,
    LIMITS_OF_CARS,
    LIMITS_OF_TEXT,
    card_body,
    checkpoint_card,
    config_hash,
    fields_of_actions,
    is_repository,
    stamped,
    views_row,
    what_it_does,
    write_checkpoint_card,
)
from vlahub.configuration.weight_parts import TensorEntry


def config(**fields):
    known = {"predicts": "actions", "does": "It acts", "num_images_in_input": 2, "num_action_chunks": 4}
    known |= {"state_size": None, "normalization_type": "bounds", "action_dim": 7, "view_names": None}
    return SimpleNamespace(**known | fields)


def test_parts_that_are_empty_leave_no_gap():
    assert sections("a\n", "", "\nb") == "a\n\nb" and sections("", "") == ""
    assert details("more", "text") == "<details>\n<summary>more</summary>\n\ntext\n\n</details>"


@pytest.mark.parametrize(("layers", "text"), [(1, "1 layer of width 8"), (2, "2 layers of width 8")])
def test_a_stack_of_one_layer_has_one_layer(layers, text):
    assert stack_text(SimpleNamespace(num_hidden_layers=layers, hidden_size=8)) == text


DOES = [
    ({}, "It acts: from 2 camera images and an instruction to a chunk of 4 actions."),
    ({"num_images_in_input": 1}, "It acts: from 1 camera image and an instruction to a chunk of 4 actions."),
    ({"num_images_in_input": None}, "It acts: from camera images and an instruction to a chunk of 4 actions."),
    (
        {"state_size": 8, "num_action_chunks": 1},
        "It acts: from 2 camera images, an instruction and the robot's state to one action.",
    ),
    ({"predicts": "trajectories"}, "It acts."),
    (
        {"predicts": "text"},
        "A vision-language model: from camera images and text to text; it has no action head.",
    ),
]


@pytest.mark.parametrize(("fields", "said"), DOES)
def test_what_a_model_does_is_a_sentence_of_what_it_reads_and_gives(fields, said):
    assert what_it_does(config(**fields)) == said


VIEWS = [
    ({}, "2; their names are not recorded"),
    ({"num_images_in_input": 1}, "1"),
    ({"num_images_in_input": None}, "any number"),
    ({"view_names": ["top", "left|x"]}, "2, in this order: `top`, <code>left&#124;x</code>"),
    ({"num_images_in_input": None, "view_names": ["top"]}, "1, in this order: `top`"),
    ({"num_images_in_input": 3, "view_names": ["top"]}, "3, in this order: `top`"),
]


@pytest.mark.parametrize(("fields", "said"), VIEWS)
def test_views_are_counted_and_named_where_that_is_recorded(fields, said):
    assert views_row(config(**fields)) == {"views": said}


def test_actions_have_rows_where_they_are_a_robots():
    rows = fields_of_actions(config(state_size=8))
    assert rows["robot state"] == "8 values" and rows["actions"] == "(batch, 4, 7)"
    assert rows["normalisation"] == "`bounds`: min and max of each dimension"
    assert fields_of_actions(config())["robot state"] == "none"
    assert set(fields_of_actions(config(predicts="text"))) == {"views"}
    assert set(fields_of_actions(config(normalization_type=None))) == {"views"}


@pytest.mark.parametrize(
    ("predicts", "limits"), [("actions", LIMITS), ("trajectories", LIMITS_OF_CARS), ("text", LIMITS_OF_TEXT)]
)
def test_limits_and_actions_are_those_of_what_is_predicted(predicts, limits, monkeypatch):
    known = cogvla_config()
    monkeypatch.setattr(type(known), "predicts", predicts)
    monkeypatch.setattr(type(known), "action_text", "As a car acts.")
    monkeypatch.setattr("vlahub.configuration.checkpoint_card.snippet", lambda *_: "run()")
    text = card_body(known)
    assert text.endswith(f"## Limits\n\n{limits}")
    assert ("## Actions" in text) == (predicts == "actions") != ("As a car acts." in text)


def test_what_a_command_knows_stands_in_the_body_beside_what_the_config_says():
    known = cogvla_config()
    known.weight_quantization = {"kind": "int8", "layers": {"int8": ["a.b"]}}
    text = card_body(known, "me/mine", seen="It printed 1.", facts={"run": "`x`"}, names=list("abc"))
    assert text.index("| run | `x` |\n") < text.index("| vision tower") < text.index("| actions | (batch,")
    assert f"end of {SEEN_BLOCK}" in text and "It printed 1." in text
    assert 'repository = "me/mine"' in text and "| 0 | `a` |" in text and "int8" in text
    assert f"end of {SEEN_BLOCK}" not in card_body(known)


def test_a_card_is_of_a_class_as_much_as_of_what_its_config_says(monkeypatch):
    known, before = cogvla_config(), config_hash(cogvla_config())
    monkeypatch.setattr(type(known), "auto_classes", {**known.auto_classes, "AutoModel": "a.Another"})
    assert config_hash(known) != before and config_hash(None) == "none"


TENSORS = [TensorEntry("language_model.a", "float32", (2, 3))]


def test_all_that_is_given_stands_in_a_new_card_and_an_edited_one_says_that_it_may_be_wrong(tmp_path, caplog):
    known, path = cogvla_config(), tmp_path / "README.md"
    given = {"origin": "## From\n\nhere", "warning": "> Not trained.\n\n", "tensors": TENSORS}
    write_checkpoint_card(tmp_path, known, "me/mine", **given)
    text = path.read_text()
    assert text.index("> Not trained.\n") < text.index("## Load it") < text.index("## From\n\nhere")
    assert "- untrained\n" in text
    assert 'repository = "me/mine"' in text and "| all | 6 |" in text and "Licence and origin" not in text
    plain = checkpoint_card(known)
    assert "untrained" not in plain and "Licence and origin" in plain
    for edited, warns in ((text + "\nMine.\n", False), (stamped("---\na: b\n---\n# x\n") + "\nMine.\n", True)):
        caplog.clear()
        path.write_text(edited)
        write_checkpoint_card(tmp_path, known, tensors=TENSORS)
        assert path.read_text() == edited and ("was written for another config" in caplog.text) == warns
    caplog.clear()
    seen = f"\n{block(SEEN_BLOCK, 'It printed 1.')}\n"
    path.write_text(f"# By hand\n{seen}")
    write_checkpoint_card(tmp_path, known, tensors=TENSORS)
    assert path.read_text() == "# By hand\n\n" and not caplog.text


OLDER = {"license": "mit", "base_model": "a/b", "datasets": ["c/d", "e/f"], "language": "en"}


def test_licence_and_origin_of_a_card_of_ours_hold_for_the_next_and_of_no_other():
    fields = "license: mit\nbase_model: a/b\ndatasets:\n- c/d\n- e/f\nlanguage: en\n"
    card = f"---\n{fields}---\n\n# x\n"
    kept = {name: OLDER[name] for name in ("license", "base_model", "datasets")}
    assert kept_metadata(stamped(card)) == kept
    assert kept_metadata(card) == kept_metadata(None) == {}
    text = origin_text(kept)
    assert "- licence: `mit`\n- base model: `a/b`\n- datasets: `c/d`, `e/f`\n" in text
    assert origin_text({}).count("not recorded") == 3


@pytest.mark.parametrize(("name", "is_one"), [("a/b", True), ("ab", False), ("a/b/c", False), ("a/-b", False)])
def test_a_repository_has_an_owner_and_a_name(name, is_one):
    assert is_repository(name) == is_one
