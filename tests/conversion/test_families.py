"""The table of families: quick to import, whole, and all that the rest of the conversion asks."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from vlahub.conversion.families import FAMILIES, OURS
from vlahub.conversion.family import Family
from vlahub.conversion.job import Job
from vlahub.conversion.tensors.rename import rename

SLOW = {"torch", "transformers", "peft", "numpy", "huggingface_hub"}


def test_the_table_is_imported_without_what_is_slow():
    source = "import sys, vlahub.conversion.families; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout.split()
    assert not SLOW.intersection(loaded)


def test_a_word_for_what_is_converted_means_one_family():
    for words in ("published", "bases"):
        found = [word for family in FAMILIES.values() for word in getattr(family, words)]
        assert len(found) == len(set(found))
    assert {name: family.name for name, family in FAMILIES.items()} == dict(zip(FAMILIES, FAMILIES, strict=True))


@pytest.mark.parametrize("name", OURS)
def test_the_classes_of_a_family_are_those_that_are_registered(name):
    family = OURS[name]
    assert family.config.model_type == name
    assert family.model.config_class is family.config
    assert family.processor.__name__.endswith("Processor")


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.table])
def test_a_run_of_a_family_is_planned_by_what_the_value_says(name):
    family = FAMILIES[name]
    assert family.prepare and family.embeddings
    published = [row for row in family.table if row.replacement]
    assert published and all(row.reason for row in family.table)
    with pytest.raises(Exception, match="no known layout has"):
        rename("no.such.tensor", family.table, "file")


def test_a_family_takes_its_own_options_of_what_was_given(tmp_path):
    given = {"num_images": 2, "step": "3", "statistics": None, "unknown": "x"}
    job = Job([tmp_path], tmp_path / "out", given=given)
    cogvla, llava3d = (job.options(FAMILIES[name].options) for name in ("cogvla", "mapanything_llava3d"))
    assert cogvla.num_images == 2 and llava3d.step == "3" and cogvla.statistics is None
    assert not hasattr(llava3d, "num_images") and {option.name for option in fields(Job)}.isdisjoint(vars(cogvla))


def test_a_family_that_says_nothing_has_its_adapters_merged_key_by_key():
    family = Family(name="toy")
    assert family.prepare is None and not family.published and not family.table
    assert family.is_converted({"model_type": "toy"}) and family.unused_reason("x", None) is None
    assert not family.is_run(Path("."), {"model_type": "toy"})
