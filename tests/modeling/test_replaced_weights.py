"""After a save transformers chooses what was written, whatever lay there; nothing else goes away."""

import json
import os
from itertools import product

import pytest

from vlahub.configuration.checkpoint_weights import WEIGHT_NAMES, entry_of_weights
from vlahub.modeling.replaced_weights import files_since, one_set_of_weights, replaced_weights, shards_of_other_variants

SAFE, SAFE_INDEX, PICKLED, PICKLED_INDEX = WEIGHT_NAMES
ADAPTER = ["adapter_config.json", "adapter_model.bin", "adapter_model.safetensors"]
OF_RUN = ["dataset_statistics.json", "view_names.json"]
STAYS = {SAFE: {PICKLED, PICKLED_INDEX}, SAFE_INDEX: {PICKLED, PICKLED_INDEX}, PICKLED: set(), PICKLED_INDEX: set()}


@pytest.mark.parametrize("written", WEIGHT_NAMES)
@pytest.mark.parametrize("there", list(product([False, True], repeat=4)), ids=str)
def test_what_was_written_is_what_is_read(there, written, tmp_path):
    before = {name for name, is_there in zip(WEIGHT_NAMES, there, strict=True) if is_there}
    for name in before:
        (tmp_path / name).write_text("old")
    with one_set_of_weights(tmp_path):
        (tmp_path / written).write_text("the new one")
        (tmp_path / "config.json").write_text("{}")
    left = {path.name for path in tmp_path.iterdir()} - {"config.json"}
    assert left == {written} | (before & STAYS[written])
    assert entry_of_weights(tmp_path).name == written


def test_where_nothing_was_written_all_stays(tmp_path):
    for name in (*WEIGHT_NAMES, "adapter_config.json"):
        (tmp_path / name).write_text("old")
    with one_set_of_weights(tmp_path):
        (tmp_path / "adapter_model.safetensors").write_text("new")
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize("written", [SAFE_INDEX, "model.fp16.safetensors"])
def test_whole_weights_put_an_adapter_in_their_folder_aside(written, tmp_path):
    for content in ("first", "second"):
        for name in [*ADAPTER, *OF_RUN, "notes.txt"]:
            (tmp_path / name).write_text(content)
        with one_set_of_weights(tmp_path, "fp16" if "fp16" in written else None):
            (tmp_path / written).write_text(f"new {content}")
        stays = {*OF_RUN, "notes.txt"}
        assert {path.name for path in tmp_path.iterdir()} == {written, *stays, "_replaced_adapter"}
        found = {path.name: path.read_text() for path in (tmp_path / "_replaced_adapter").iterdir()}
        assert found == dict.fromkeys([*ADAPTER, *OF_RUN], content)


def test_weights_without_an_adapter_put_nothing_aside(tmp_path):
    (tmp_path / OF_RUN[0]).write_text("its own")
    with one_set_of_weights(tmp_path):
        (tmp_path / SAFE).write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {SAFE, OF_RUN[0]}


def test_what_was_written_is_told_by_its_time_where_its_size_is_the_same(tmp_path):
    for name in (SAFE, SAFE_INDEX):
        (tmp_path / name).write_text("old")
        os.utime(tmp_path / name, (1, 1))
    with one_set_of_weights(tmp_path):
        (tmp_path / SAFE).write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {SAFE}


def test_files_since_are_those_of_a_later_time_and_new_ones(tmp_path):
    for name, time in (("same", 5), ("later", 6), ("new", 4)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time, time))
    assert sorted(files_since(tmp_path, {"same": 5, "later": 5})) == ["later", "new"]


def test_of_two_kinds_that_were_written_none_is_read_with_what_was_there(tmp_path):
    for name in WEIGHT_NAMES:
        (tmp_path / name).write_text("old")
    with one_set_of_weights(tmp_path):
        for name in (SAFE, PICKLED):
            (tmp_path / name).write_text("the new one")
    assert {path.name for path in tmp_path.iterdir()} == {SAFE, PICKLED}


@pytest.mark.parametrize(("variant", "stay"), [(None, [0]), ("fp16", [1]), ("bf16", [])])
def test_shards_of_other_variants_have_other_names_while_a_model_is_saved(variant, stay, tmp_path):
    names = ["model-00001-of-00002.safetensors", "model.fp16-00001-of-00002.safetensors"]
    for name in names:
        (tmp_path / name).write_text(name)
    with shards_of_other_variants(tmp_path, variant):
        assert [number for number, name in enumerate(names) if (tmp_path / name).exists()] == stay
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict(zip(names, names, strict=True))


def test_statistics_of_a_former_run_do_not_lie_beside_the_weights_of_another(family, family_checkpoint, tmp_path):
    model = family.model.from_pretrained(family_checkpoint)
    own, file = dict(model.config.norm_stats), tmp_path / "dataset_statistics.json"
    for content in ({"another": {}}, own | {"another": {}}, ["none"]):
        file.write_text(json.dumps(content))
        model.save_pretrained(tmp_path)
        assert not file.exists()
        assert json.loads((tmp_path / "_replaced_adapter" / file.name).read_text()) == content
    if own:
        file.write_text(json.dumps(own))
        model.save_pretrained(tmp_path)
        assert json.loads(file.read_text()) == own


def test_a_save_that_fails_takes_nothing_away(tmp_path):
    (tmp_path / SAFE).write_text("old")
    with pytest.raises(OSError, match="full"), one_set_of_weights(tmp_path):
        (tmp_path / SAFE_INDEX).write_text("half of it")
        raise OSError("the disk is full")
    assert (tmp_path / SAFE).read_text() == "old"


def test_files_of_a_repository_are_replaced_by_such_of_weights_alone():
    present = [SAFE, "model-00001-of-00002.safetensors", "README.md", "head.safetensors", PICKLED]
    assert replaced_weights(present, ["README.md", "config.json"]) == []
    assert replaced_weights(present, [SAFE]) == ["model-00001-of-00002.safetensors"]
    assert replaced_weights(present, [SAFE_INDEX]) == ["model-00001-of-00002.safetensors", SAFE]


@pytest.mark.parametrize("saved", WEIGHT_NAMES[:2])
def test_whole_weights_replace_an_adapter_and_an_adapter_replaces_none(saved):
    assert replaced_weights([*ADAPTER, "policy/adapter_config.json", "README.md"], [saved]) == ADAPTER
    assert replaced_weights([SAFE, SAFE_INDEX, *ADAPTER], ADAPTER[2:]) == []


FP16 = ["model.fp16-00001-of-00002.safetensors", "model.fp16.safetensors", "model.safetensors.index.fp16.json"]


@pytest.mark.parametrize("saved", FP16)
def test_a_variant_replaces_its_own_files_alone(saved):
    plain = [SAFE, SAFE_INDEX, "model-00001-of-00002.safetensors"]
    assert replaced_weights([*plain, *FP16], [saved]) == sorted(set(FP16) - {saved})
    assert replaced_weights([*plain, *FP16], plain[:1]) == sorted(plain[1:])


OF_BEFORE = ["conversion_report.json", "dataset_statistics.json"]


def test_the_report_and_the_statistics_of_the_weights_before_go_with_these():
    present = [*OF_BEFORE, "README.md", "trainer_state.json"]
    assert replaced_weights(present, [SAFE]) == replaced_weights(present, [SAFE_INDEX]) == OF_BEFORE
    assert replaced_weights(present, [SAFE, *OF_BEFORE]) == []
    assert replaced_weights(present, FP16[:1]) == replaced_weights(present, ["config.json"]) == []
