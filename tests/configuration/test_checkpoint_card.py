"""Whose text a model card is, and what the short one says about each family."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import transformers
from huggingface_hub import ModelCard, ModelCardData
from tiny_configs import cogvla_config, llava3d_config

from vlahub.configuration.card_stamp import config_mark, stamped_with
from vlahub.configuration.card_weights import with_other_weights
from vlahub.configuration.checkpoint_card import (
    TRANSFORMERS_TEXT,
    checkpoint_card,
    is_model_of,
    is_of,
    is_unedited,
    stamped,
    write_checkpoint_card,
)
from vlahub.configuration.former_card import former_card_body

FORMER_CARD = Path(__file__).parents[1] / "golden" / "cogvla_card_0.1.md"
CARD = "---\nlicense: mit\ntags:\n- a\n- b\n---\n\n# A model\n\nIt does things.\n"
# Of the tiny checkpoint of each family, as an earlier release marked its card.
FORMER_MARKS = {
    "cogvla": "f866cb8b00028c778c0ccc974197e923388261532b75c22c22707db17a213243",
    "mapanything_llava3d": "13812f0c4ec55bef5e7ddc1a0e20f7087d5d9ceac26cc701e8b5cc4fe6caa3d4",
    "multimodal_vla": "5807e08f60e933702a4afae87e701425a023e4a484254368fa07a1816b56adef",
    "alpamayo_r1": "dc4242cbe3e24d1b20b2ec8a890f36e57738cf7ab85c1d1be1670ba3e30d76f4",
}
EDITS = {
    "a word": lambda card: card.replace("things", "thing"),
    "a line": lambda card: card + "\nMore.\n",
    "the licence": lambda card: card.replace("mit", "apache-2.0"),
    "a new field": lambda card: card.replace("license", "language: en\nlicense"),
    "broken metadata": lambda card: card.replace("license: mit", "license: ["),
    "all": lambda card: "# By hand\n",
    "nothing left": lambda card: "",
}
SAME = {
    "itself": lambda card: card,
    "Windows": lambda card: card.replace("\n", "\r\n"),
    "spaces at the end": lambda card: card.replace("# A model", "# A model  ") + "\n\n",
    "read and written by the Hub's library": lambda card: str(ModelCard(card)),
    "stamped again": lambda card: stamped(card),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_card_is_told_from_ours(edit):
    card = stamped(CARD)
    assert is_unedited(card) and card.startswith("---\nlicense: mit\n")
    assert not is_unedited(EDITS[edit](card))


@pytest.mark.parametrize("change", SAME)
def test_what_tools_do_to_a_card_is_no_edit(change):
    assert is_unedited(SAME[change](stamped(CARD)))


def test_a_card_without_the_comment_is_somebody_elses():
    assert not is_unedited(CARD)


def test_the_empty_card_of_transformers_is_nobodys():
    card = ModelCard.from_template(ModelCardData(library_name="transformers"), model_description=TRANSFORMERS_TEXT)
    assert is_unedited(str(card))
    assert not is_unedited(str(card).replace("## Uses", "## My uses"))
    source = transformers.utils.hub.create_and_tag_model_card.__code__.co_consts
    assert TRANSFORMERS_TEXT in source


def test_the_short_card_says_how_a_family_is_called(family, family_checkpoint):
    config = family.config.from_pretrained(family_checkpoint)
    text = checkpoint_card(config, "somebody/model")
    assert is_unedited(text) and is_of(text, config)
    assert 'repository = "somebody/model"' in text and f"# {family.model_name}\n" in text
    assert {"robotics", config.model_type} <= set(ModelCard(text).data.tags)
    if family.unnorm_key:
        assert f'unnorm_key="{family.unnorm_key}"' in text and "state=[0.0] * 8," in text and "(batch, 8, 7)" in text
        config.norm_stats = {"another": config.norm_stats[family.unnorm_key]}
        assert not is_of(text, config)
    else:
        assert "sample_trajectories" in text and "unnorm_key" not in text


def test_a_card_is_written_anew_only_where_it_is_ours_and_no_longer_true(family, family_checkpoint, tmp_path):
    config, card = family.config.from_pretrained(family_checkpoint), tmp_path / "README.md"
    card.write_text(stamped(CARD, config))
    write_checkpoint_card(tmp_path, config)
    assert "It does things." in card.read_text()  # says more than the short one, and is true
    card.write_text(stamped(CARD, None))
    write_checkpoint_card(tmp_path, config)
    assert "It does things." not in card.read_text() and ModelCard.load(card).data.license == "mit"
    card.write_text(EDITS["a word"](stamped(CARD, None)))
    write_checkpoint_card(tmp_path, config)
    assert "It does thing." in card.read_text()


def test_a_card_of_an_earlier_release_keeps_how_it_was_made_while_it_is_true(family, family_checkpoint, tmp_path):
    config, path = family.config.from_pretrained(family_checkpoint), tmp_path / "README.md"
    made = "---\nlicense: mit\n---\n\n# run\n\n## How it was made\n\nConverted by vlahub from run `run`."
    card = stamped_with(made, FORMER_MARKS[config.model_type])
    assert is_unedited(card) and is_of(card, config)
    path.write_text(card)
    write_checkpoint_card(tmp_path, config)
    assert "Converted by vlahub from run `run`." in path.read_text() and is_of(path.read_text(), config)
    if family.unnorm_key:
        config.norm_stats = {"another": config.norm_stats[family.unnorm_key]}
        assert not is_of(card, config)


def test_a_card_that_an_earlier_release_wrote_is_ours():
    """Its whole text, as it was converted then; one word of it changed makes it somebody's own."""
    card = FORMER_CARD.read_text(encoding="utf-8")
    assert "| parameters | 4,769,583 in float32" in card and "| parameters |" not in with_other_weights(card, "")
    assert is_unedited(card) and config_mark(card) == FORMER_MARKS["cogvla"]
    assert not is_unedited(card.replace("base model", "basis"))


def test_the_words_of_an_earlier_release_are_about_the_first_statistics_and_this_models_views():
    config = cogvla_config(num_images_in_input=2)
    [statistics] = config.norm_stats.values()
    config.norm_stats = {"b": statistics, "a": {**statistics, "num_transitions": 1234}}
    text = former_card_body(config)
    assert text.count('unnorm_key="a"') == 2 and 'unnorm_key="b"' not in text
    assert '[Image.open("view_0.png"), Image.open("view_1.png")]' in text
    assert text.index("| `a` |  | 1,234 |") < text.index("| `b` |")


def test_the_words_of_an_earlier_release_about_a_model_that_writes():
    text = former_card_body(llava3d_config(action_expert_type=None))
    assert "A vision-language-action model: from camera images and text to text; it has no action head." in text
    assert "model.generate(**processor(" in text and "predict_action" not in text


def test_a_model_whose_class_was_derived_from_ours_is_one_of_ours():
    """As torch's `fully_shard` does it; a part of a model is none."""
    config = SimpleNamespace(auto_classes={"AutoModelForVision2Seq": "modeling_cogvla.CogVLAForActionPrediction"})
    whole = type("CogVLAForActionPrediction", (), {})
    assert is_model_of(type("FSDPCogVLAForActionPrediction", (whole,), {})(), config)
    assert is_model_of(whole(), config) and not is_model_of(object(), config)
