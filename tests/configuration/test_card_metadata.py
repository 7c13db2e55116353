"""The metadata of cards: valid for the Hub in every family, whatever its sources and data are called."""

import re
from types import SimpleNamespace

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from huggingface_hub.utils import validate_repo_id
from markdown_it import MarkdownIt

from vlahub.configuration.card_licence import LICENCES, hub_licence, licence_name
from vlahub.configuration.card_metadata import pipeline_of
from vlahub.configuration.checkpoint_card import checkpoint_card, stamped
from vlahub.conversion.copied_card import write_copied_card
from vlahub.conversion.families import OURS
from vlahub.conversion.model_card import write_card

# Special to YAML, Markdown or HTML.
HOSTILE = "- a: [b]\n---\n# *c* | `d` <img src=x onerror=e> {f} $g ${h} &amp; --> \"i\" 'j' : #k"
REPORT = {
    "dtype": "float32",
    "settings": {HOSTILE: {"value": HOSTILE, "known": f"assumed ({HOSTILE})"}},
    "tensors": {f"{HOSTILE}.weight": {"operation": "copy", "shape": [2], "dtype": "float32", "sources": []}},
    "command": f"merge-lora --base '{HOSTILE}'",
    "made_with": dict.fromkeys(("vlahub", "transformers", "torch"), "1.0"),
    "foreign_code": [HOSTILE],
}
SAID = {
    "of the list": ({"license": "mit"}, {"license": "mit"}),
    "of the list, with a link": (
        {"license": "llama3.1", "license_link": "https://example.org/tea"},
        {"license": "llama3.1", "license_link": "https://example.org/tea"},
    ),
    "capitals": ({"license": "Apache-2.0"}, {"license": "apache-2.0"}),
    "in a list": ({"license": ["mit"]}, {"license": "mit"}),
    "several": (
        {"license": ["mit", "gemma"]},
        {"license": "other", "license_name": "mit-and-gemma"},
    ),
    "of no list": (
        {"license": "NVIDIA Open Model License"},
        {"license": "other", "license_name": "nvidia-open-model-license"},
    ),
    "a name in words": (
        {"license": "other", "license_name": "Tea & Cake", "license_link": "https://example.org/tea"},
        {"license": "other", "license_name": "tea-cake", "license_link": "https://example.org/tea"},
    ),
    "a link into the base": ({"license": "other", "license_link": "LICENSE"}, {"license": "other"}),
    "a link with markup": ({"license": "mit", "license_link": "https://x.org/<b>"}, {"license": "mit"}),
    "no name": ({"license": "other", "license_name": 3}, {"license": "other"}),
    "nothing": ({"license": None, "license_name": "tea"}, {}),
}


def checked(text):
    """The card, whose metadata the Hub takes: as its documentation and its library have it."""
    data = yaml.safe_load(REGEX_YAML_BLOCK.search(text)[2])
    assert ModelCardData(**data).to_dict() == ModelCard(text).data.to_dict() == data
    assert data.get("license", "mit") in LICENCES and re.fullmatch(r"[a-z0-9.+-]+", data.get("license_name", "a"))
    assert data["pipeline_tag"] in ("robotics", "image-text-to-text") and data["library_name"] == "transformers"
    assert all(re.fullmatch(r"[a-z0-9_-]+", tag) for tag in data["tags"])
    for field in ("base_model", "datasets"):
        found = data.get(field, [])
        for name in [found] if isinstance(found, str) else found:
            validate_repo_id(name)
    return ModelCard(text)


def tags_of(text):
    page = MarkdownIt("commonmark").enable("table").render(text)
    return set(re.findall(r"<([a-z0-9]+)", re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL)))


@pytest.mark.parametrize("said, wanted", SAID.values(), ids=SAID)
def test_a_licence_is_one_that_the_hub_takes(said, wanted):
    assert hub_licence(said) == wanted == hub_licence(wanted)


def test_a_licence_in_words_links_where_it_can_be_read():
    assert licence_name({"license": "mit"}) == "`mit`"
    link = {"license": "other", "license_name": "tea", "license_link": "https://example.org/tea"}
    assert licence_name(link) == "`tea` (<https://example.org/tea>)"


def test_a_model_that_writes_is_no_robots():
    assert [pipeline_of(SimpleNamespace(predicts=kind)) for kind in ("actions", "trajectories", "text")] == [
        "robotics",
        "robotics",
        "image-text-to-text",
    ]


@pytest.mark.parametrize("name", ["user/base", HOSTILE], ids=["a repository", "special characters"])
def test_every_familys_card_is_valid_whatever_things_are_called(family, family_checkpoint, name, tmp_path):
    config = family.config.from_pretrained(family_checkpoint)
    if family.unnorm_key:
        config.norm_stats = {
            name: config.norm_stats[family.unnorm_key],
            "user/data": config.norm_stats[family.unnorm_key],
        }
    base = tmp_path / "base"
    base.mkdir()
    (base / "README.md").write_text(f"---\n{yaml.safe_dump({'license': name})}---\n")
    report = {**REPORT, "inputs": {"base": name, "run": name}}
    write_card(tmp_path, OURS[config.model_type].card, config, report, {"base": base})
    text = (tmp_path / "README.md").read_text()
    card = checked(text)
    assert card.data.license == "other" and card.data.license_name
    assert (card.data.base_model in ("user/base", ["user/base"])) == (name == "user/base")
    if family.unnorm_key:
        assert "user/data" in card.data.datasets
    assert tags_of(card.text) <= {
        "h1",
        "h2",
        "p",
        "pre",
        "code",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "ul",
        "li",
    }
    checked(checkpoint_card(config, known=text))


COPIED = """---
license: mit
base_model: user/base
---

# run

## How it was made

Merged by vlahub from base `user/base` and run `run`; `conversion_report.json` names the source of every tensor.

## Licence

`mit`, inherited from the base model.
"""


def test_a_copy_in_lower_precision_says_how_it_and_its_source_were_made(family, family_checkpoint, tmp_path):
    config = family.config.from_pretrained(family_checkpoint)
    (tmp_path / "README.md").write_text(stamped(COPIED, config))
    config.weight_quantization = {"kind": "int8", "layers": {"int8": ["a.*.b"]}}
    tensors = {"language_model.a.qweight": {"operation": "quantise", "shape": [4, 2], "dtype": "int8", "sources": []}}
    write_copied_card(tmp_path, config, {**REPORT, "tensors": tensors, "inputs": {"run": "my-vla"}})
    card = checked((tmp_path / "README.md").read_text())
    assert (card.data.license, card.data.base_model) == ("mit", "user/base")
    made, source = card.text.split("## How `my-vla` was made")
    assert "## How it was made\n\nOf `my-vla`, whose linear layers" in made and "| int8 |" in made
    assert "Merged by vlahub from base `user/base` and run `run`; its own `conversion_report.json`" in source
    assert "`mit`, inherited from the base model." in source
    (tmp_path / "README.md").write_text(checkpoint_card(config, known=stamped(COPIED)))
    config.weight_quantization = {"kind": "int4", "layers": {"int4": ["a.*.b"]}}
    write_copied_card(tmp_path, config, {**REPORT, "tensors": tensors, "inputs": {"run": "my-vla"}})
    text = (tmp_path / "README.md").read_text()
    assert "## Licence and origin\n\n- licence: `mit`\n- base model: `user/base`\n- datasets: not recorded\n" in text
    (tmp_path / "README.md").write_text("# By hand\n")
    write_copied_card(tmp_path, config, {**REPORT, "inputs": {"run": "my-vla"}})
    assert (tmp_path / "README.md").read_text() == "# By hand\n"
