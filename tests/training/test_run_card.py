"""The card of a run: what the saved model's says stays, what this training was is added once, and edits are kept."""

import re
import shlex
from types import SimpleNamespace

import pytest
from torch import nn

from vlahub import MultimodalVLAConfig
from vlahub.configuration.checkpoint_card import body_of, is_of, is_unedited, stamped
from vlahub.training.adapter_card import MERGE as ADAPTER_MERGE
from vlahub.training.adapter_card import USE
from vlahub.training.finetuning.arguments import make_arguments
from vlahub.training.finetuning.options import STRATEGIES, FinetuneOptions
from vlahub.training.finetuning.run_card import HEADING, WORDS, merge_command, write_run_card
from vlahub.training.finetuning.run_data import RunData

ADAPTERS = f"# An adapter\n\n{ADAPTER_MERGE}\n\nmerge-lora --base BASE\n\n{USE}\n\nbeside its base"
WHOLE = "# A model\n\nwhat it is"


class Model(nn.Module):
    """One part that is frozen, and a new one of which half trains."""

    pretrained_parts, added_parts = ("language_model",), ()

    def __init__(self):
        super().__init__()
        self.config = MultimodalVLAConfig()
        self.language_model, self.head = nn.Linear(3, 2).requires_grad_(False), nn.Linear(1, 2)
        self.head.bias.requires_grad_(False)


class Wrapped(nn.Module):
    """As PEFT's, which has no config of ours."""

    def __init__(self, model):
        super().__init__()
        self.base_model, self.config = model, None

    def get_base_model(self):
        return self.base_model


@pytest.fixture
def run(tmp_path):
    """`run(**options)`: one whose model was saved with a card."""

    def make(model="you/base", dataset="/home/me/kitchen", steps=3, **options):
        folder = tmp_path / "my run"
        folder.mkdir(exist_ok=True)
        options = FinetuneOptions(model=model, dataset=dataset, **options)
        data = RunData(range(90), None, None, ["column_0", "column_1"], ["top", "wrist"], None, 1200)
        arguments = make_arguments(output_dir=str(folder), use_cpu=True, max_steps=9)
        whole = Model()
        parts = {"model": Wrapped(whole) if options.train == "lora" else whole, "options": options, "data": data}
        found = SimpleNamespace(arguments=arguments, **parts)
        card = folder / "README.md"
        if not card.exists():
            text = ADAPTERS if options.train == "lora" else WHOLE
            card.write_text(stamped(f"---\nlibrary_name: peft\ntags:\n- robotics\n---\n\n{text}", whole.config))
        write_run_card(found, steps, {"train_loss": 0.5, "epoch": 2, "by": "hand"})
        return card, found

    return make


def table(text):
    """Its rows of two cells, `{name: value}`."""
    return dict(re.findall(r"^\| ([^|]+) \| ([^|]*) \|$", text, re.MULTILINE))


def test_a_card_says_what_was_trained_on_what_and_to_which_figures(run):
    card, _ = run(train="full", steps=3)
    text = card.read_text()
    said = table(text)
    assert (said["base model"], said["dataset"]) == ("`you/base`", "`kitchen`, 1,200 rows")
    assert said["camera views"] == "`top`, `wrist`"
    assert said["steps"] == "3"  # that were done, of 9
    assert (said["train_loss"], said["epoch"]) == ("0.5", "2") and "by" not in said
    assert "| language_model | frozen | 0 (0.00%) |\n| head | in part | 2 (50.00%) |" in text
    assert text.startswith("---\nlibrary_name: peft\ntags:\n- robotics\n---\n") and "# A model\n\nwhat it is" in text


@pytest.mark.parametrize("train", STRATEGIES)
def test_a_card_says_what_kind_of_training_it_was_and_what_comes_next(run, train):
    card, found = run(train=train)
    text = card.read_text()
    assert table(text)["trained"] == WORDS[train]
    command = f"\n    {merge_command(found)}\n"
    assert (command in text, "nothing has to be merged" in text) == (train == "lora", train != "lora")
    assert "merge-lora --base BASE" not in text and (USE in text) == (train == "lora")


@pytest.mark.parametrize("train", ["lora", "A"])
def test_a_run_that_is_gone_on_with_renews_what_its_card_says(run, train):
    card, _ = run(train=train, steps=3)
    card, found = run(train=train, steps=6)
    text = card.read_text()
    assert text.count(HEADING) == 1 and table(text)["steps"] == "6"
    model = found.model.get_base_model() if train == "lora" else found.model
    assert is_unedited(text) and is_of(text, model.config) and body_of(text).count("# A") == 1


def test_a_card_that_somebody_edited_stays(run):
    card, _ = run(train="A")
    card.write_text(edited := card.read_text().replace("what it is", "what I know of it"))
    run(train="A", steps=6)
    assert card.read_text() == edited


def test_the_command_that_merges_a_run_is_one_that_a_shell_takes(run):
    card, found = run(model="/home/me/my base")
    assert table(card.read_text())["base model"] == "`my base`"
    found.arguments.output_dir += "/"
    words = shlex.split(merge_command(found))
    folder = found.arguments.output_dir.rstrip("/")
    wanted = ["--base", "/home/me/my base", "--adapter", folder, "--output", f"{folder}-merged"]
    assert words == ["merge-lora", *wanted]
