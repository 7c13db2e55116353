"""What is said before a training begins: tables whose numbers are those of the run."""

from types import SimpleNamespace

import pytest
from torch import nn

from vlahub.training.finetuning import overview
from vlahub.training.finetuning.arguments import make_arguments
from vlahub.training.finetuning.memory import MemoryEstimate
from vlahub.training.finetuning.options import FinetuneOptions
from vlahub.training.finetuning.overview import (
    Table,
    as_text,
    memory_table,
    parts_table,
    settings_of,
    settings_table,
    share,
    statistics_table,
    view_table,
)
from vlahub.training.finetuning.run_data import RunData
from vlahub.training.finetuning.trained_parts import trained_parts

NUMBERS = {"q01": [-1.0, 0.0], "q99": [2.0, 4.0], "min": [-5.0, -5.0], "max": [5.0, 5.0]}


def data_of(**given):
    known = {"examples": range(1200), "held_out": None, "statistics": None, "images": [], "views": [], "state": None}
    return RunData(**known | {"rows": 1200} | given)


def options_of(**given):
    return FinetuneOptions(model="base", dataset="data", **given)


def test_tables_are_text_with_columns_as_wide_as_their_widest_cell():
    tables = [
        Table("first", ("a", "name"), [("1", "left"), ("22", "r")], ["of two"]),
        Table("second", (), [("x", "")]),
        Table("third: none"),
    ]
    lines = ["first", "  a   name", "  1   left", "  22  r", "  of two", "", "second", "  x", "", "third: none"]
    assert as_text(tables).splitlines() == lines


def test_views_are_beside_their_columns():
    table = view_table(data_of(images=["observation.images.b", "a"], views=["b", "a"]))
    assert table.columns == ("", "view", "column")
    assert table.rows == [("0", "b", "observation.images.b"), ("1", "a", "a")]


@pytest.mark.parametrize(("kind", "names"), [("bounds_q99", ("q01", "q99")), ("bounds", ("min", "max"))])
def test_statistics_are_those_that_normalise_and_without_a_mask_all_dimensions_are(kind, names):
    data, config = data_of(statistics={"kitchen": {"action": NUMBERS}}), SimpleNamespace(normalization_type=kind)
    table = statistics_table(data, config, options_of())
    assert "kitchen" in table.title and table.columns == ("", "dimension", *names, "mask")
    found = [(row[0], *map(float, row[2:4]), row[4]) for row in table.rows]
    assert found == [("action", *(NUMBERS[name][i] for name in names), "normalised") for i in range(2)]


def test_dimensions_of_a_dataset_on_the_hub_have_the_names_of_its_download(tmp_path, monkeypatch):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text('{"features": {"action": {"names": ["knee", "hip"]}}}')
    monkeypatch.setattr(overview, "dataset_folder", lambda name: tmp_path)
    data, config = data_of(statistics={"kitchen": {"action": NUMBERS}}), SimpleNamespace(normalization_type="bounds")
    table = statistics_table(data, config, FinetuneOptions(model="base", dataset="you/kitchen"))
    assert [row[1] for row in table.rows] == ["knee", "hip"]


def test_models_that_normalise_by_numbers_of_their_own_have_no_statistics():
    table = statistics_table(data_of(), SimpleNamespace(normalization_type=None), options_of())
    assert table.title.startswith("statistics: none") and not table.rows


def test_parts_are_shown_with_what_trains_of_them():
    model = nn.ModuleDict({"frozen": nn.Linear(999, 2).requires_grad_(False), "head": nn.Linear(1, 2)})
    model.pretrained_parts, model["head"].bias.requires_grad = (), False
    table = parts_table(model)
    assert table.columns == ("part", "how", "train", "share", "of")
    assert table.rows == [
        ("frozen", "frozen", "0", "0.00%", "2,000"),
        ("head", "in part", "2", "50.00%", "4"),
        ("all", "", "2", "0.10%", "2,004"),
    ]
    assert share(0, 0) == ""


class Towers(nn.Module):
    """A language model with an adapter that is frozen, and a vision tower in a part of its own."""

    pretrained_parts, added_parts = ("language_model", "vision_tower"), ()

    def __init__(self):
        super().__init__()
        layer = nn.Linear(2, 2)
        layer.lora_A = nn.Linear(2, 1, bias=False).requires_grad_(False)
        self.language_model = nn.ModuleDict({"layer": layer})
        self.vision_tower = nn.ModuleDict({"vision_model": nn.Linear(3, 3).requires_grad_(False)})


class Wrapped(nn.Module):
    """As PEFT's: the names of parameters begin with two of its own."""

    def __init__(self, model):
        super().__init__()
        self.base_model = nn.ModuleDict({"model": model})

    def get_base_model(self):
        return self.base_model["model"]


def test_parts_inside_of_peft_have_the_names_of_the_model():
    model = Towers()
    found = [(part.name, part.how, part.trained, part.parameters) for part in trained_parts(model)]
    assert found == [("language_model", "in part", 6, 8), ("vision_tower", "frozen", 0, 12)]
    assert trained_parts(Wrapped(model)) == trained_parts(model)


def test_memory_is_shown_by_what_it_is_of():
    table = memory_table(MemoryEstimate(1e3, 2e6, 3e9, 4.0, ["a rough word"]))
    shown = {"weights": "1 kB", "gradients": "2 MB", "optimiser's states": "3 GB", "activations": "4 B"}
    assert dict(table.rows) == {**shown, "together": "3 GB"} and table.notes == ["a rough word"]


@pytest.mark.parametrize(
    ("given", "asked", "name", "said"),
    [
        ({"fp16": True}, {}, "precision", "fp16"),
        ({"bf16": True}, {"quantize": True}, "precision", "bf16; the language model's weights in 4 bits (QLoRA)"),
        ({"lr_scheduler_type": "cosine"}, {}, "learning rate", "0.0005, cosine, warm-up 0"),
        ({"optim": "adamw_bnb_8bit"}, {}, "optimiser", "adamw_bnb_8bit"),
        ({}, {}, "examples", "1,200 (held out: 1,300)"),
        ({}, {}, "loss of the first example, before training", "1.235"),
    ],
    ids=str,
)
def test_steps_are_shown_by_what_they_are_made_of(given, asked, name, said, tmp_path):
    arguments = make_arguments(output_dir=str(tmp_path), use_cpu=True, **given)
    table = settings_table(data_of(held_out=range(1300)), options_of(**asked), arguments, 1.23456)
    assert dict(table.rows)[name] == said
    assert settings_of(data_of(), options_of(), arguments)["examples"] == "1,200 (held out: 0)"
