"""Statistics of a dataset: equal to numpy's, in one pass, without an image; and what reads and refuses them."""

import json
import os
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Array2D, Dataset, Features, Image, Sequence, Value, concatenate_datasets, load_from_disk
from tiny_configs import cogvla_config

import vlahub
from vlahub.configuration.checkpoint_card import checkpoint_card
from vlahub.conversion.cli import main
from vlahub.conversion.commands.stats import dataset_name, is_replaceable, output_file
from vlahub.conversion.family_inspection import robot_statistics
from vlahub.errors import ConfigError, InputError
from vlahub.modeling.action_normalization import normalize
from vlahub.training import dimension_names
from vlahub.training.statistics import apply_statistics, dataset_statistics, run_statistics

STATE = "observation.state"
TYPES = {np.float32: "float32", np.float64: "float64", np.int64: "int64"}


def frames_of(actions, states=None, lengths=None, **columns):
    """A dataset of these arrays (rows, dimensions), each in its own dtype."""
    arrays = {"action": actions} | ({} if states is None else {STATE: states})
    kinds = {name: Sequence(Value(TYPES[array.dtype.type])) for name, array in arrays.items()}
    if lengths is not None:
        columns["episode_index"] = np.repeat(np.arange(len(lengths)), lengths).tolist()
        kinds["episode_index"] = Value("int64")
    return Dataset.from_dict({name: list(a) for name, a in arrays.items()} | columns, features=Features(kinds))


def outliers(rows, dimensions, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_cauchy((rows, dimensions)).astype(dtype)


def check_against_numpy(found, values, mask=None, columns=None):
    values = np.asarray(values).astype(np.float64)
    assert list(found) == ["min", "max", "mean", "std", "q01", "q99", "mask", *(["columns"] if columns else [])]
    assert found.get("columns") == columns
    for name, wanted in (
        ("min", values.min(axis=0)),
        ("max", values.max(axis=0)),
        ("q01", np.quantile(values, 0.01, axis=0)),
        ("q99", np.quantile(values, 0.99, axis=0)),
    ):
        assert found[name] == wanted.tolist(), name
    spread = np.abs(values).max(axis=0) * 1e-12
    assert (np.abs(found["mean"] - values.mean(axis=0)) <= spread).all()
    assert (np.abs(found["std"] - values.std(axis=0)) <= spread).all()
    assert found["mask"] == (mask or [True] * values.shape[1])


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("dimensions", (1, 14))
@pytest.mark.parametrize(("rows", "batch_size"), ((1, 10), (7, 3), (1000, 1000), (3001, 100)))
def test_statistics_are_those_of_numpy_whatever_the_batches(rows, batch_size, dimensions, dtype):
    actions, states = outliers(rows, dimensions, dtype), outliers(rows, dimensions + 1, np.float32, seed=1)
    frames = frames_of(actions, states)
    found = dataset_statistics(frames, batch_size=batch_size, progress=False)
    assert list(found) == ["action", "proprio", "num_transitions"] and found["num_transitions"] == rows
    check_against_numpy(found["action"], actions)
    check_against_numpy(found["proprio"], states)


def test_float64_is_not_rounded_and_integers_count_as_numbers():
    """datasets' numpy format would give float32, in which 2**24 + 1 is 2**24."""
    actions = np.array([[2.0**24 + 1], [0.1], [-3.0]])
    check_against_numpy(dataset_statistics(frames_of(actions), state=None, progress=False)["action"], actions)
    whole = np.array([[2**24 + 1, 3], [5, -4]], dtype=np.int64)
    check_against_numpy(dataset_statistics(frames_of(whole), state=None, progress=False)["action"], whole)


@pytest.mark.filterwarnings("ignore:action, dimension 0")  # in float32, all but the outlier are one number
@pytest.mark.parametrize("batch_size", (1, 64, 5000))
@pytest.mark.parametrize("first", (0.0, 1.0))
def test_moments_keep_their_digits_at_a_large_offset(batch_size, first):
    """Against exact arithmetic: a sum of squares in float64 would have no digit left."""
    values = 1e6 + 1e-3 * np.random.default_rng(0).standard_normal(2000)
    values[0] += first  # an outlier from which the others are far away
    found = dataset_statistics(frames_of(values[:, None]), state=None, batch_size=batch_size, progress=False)["action"]
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    assert found["mean"] == pytest.approx([float(mean)], rel=1e-15)
    assert found["std"] == pytest.approx([float(variance) ** 0.5], rel=1e-12)


def test_constant_dimensions_have_no_deviation():
    actions = np.tile([0.1, -1e9, 0.0], (777, 1))
    found = dataset_statistics(frames_of(actions), state=None, batch_size=10, progress=False)["action"]
    assert found["std"] == [0.0] * 3
    for name in ("min", "max", "mean", "q01", "q99"):
        assert found[name] == [0.1, -1e9, 0.0]


def test_beyond_the_exact_rows_quantiles_are_sampled_and_the_rest_stays_exact():
    rows, kept = 50_000, 5000
    actions = np.sort(outliers(rows, 2), axis=0)
    frames = frames_of(actions, actions)
    found = dataset_statistics(frames, exact_rows=kept, progress=False)
    small = dataset_statistics(frames, exact_rows=kept, batch_size=777, progress=False)
    assert all(small["action"][name] == found["action"][name] for name in ("min", "max", "q01", "q99"))
    assert found["proprio"] == found["action"]  # both are taken from the same rows
    tolerance = 5 * np.sqrt(0.01 * 0.99 / kept)
    for name, rank in (("q01", 0.01), ("q99", 0.99)):
        ranks = [np.searchsorted(actions[:, i], found["action"][name][i]) / rows for i in range(2)]
        assert ranks != [rank] * 2 and np.abs(np.subtract(ranks, rank)).max() < tolerance
    exact = dataset_statistics(frames, exact_rows=rows, progress=False)
    check_against_numpy(exact["action"], actions)
    for name in ("min", "max", "mean", "std"):
        assert found["action"][name] == exact["action"][name]


def test_images_and_transforms_are_not_run():
    def refuse(batch):
        raise AssertionError("a row was decoded")

    actions = outliers(20, 3)
    frames = frames_of(actions)
    broken = [{"bytes": b"no picture", "path": None}] * 20
    pictures = Dataset.from_dict({"view": broken}, features=Features({"view": Image()}))
    frames = concatenate_datasets([frames, pictures], axis=1)
    check_against_numpy(dataset_statistics(frames, state=None, progress=False)["action"], actions)
    frames.set_transform(refuse)
    check_against_numpy(dataset_statistics(frames, state=None, progress=False)["action"], actions)


def test_selected_rows_and_vectors_of_fixed_length_and_plain_numbers_are_read():
    actions = outliers(50, 2, np.float32)
    fixed = Features({"action": Sequence(Value("float32"), length=2), "gripper": Value("float64")})
    frames = Dataset.from_dict({"action": list(actions), "gripper": np.arange(50.0)}, features=fixed)
    order = np.random.default_rng(0).permutation(50)[:31]
    found = dataset_statistics(frames.select(order), state="gripper", batch_size=4, progress=False)
    check_against_numpy(found["action"], actions[order])
    check_against_numpy(found["proprio"], order[:, None])
    assert dataset_statistics(frames, action="gripper", state="gripper", progress=False)["num_transitions"] == 50


@pytest.mark.parametrize("batch_size", (1, 2, 3, 100))
def test_trajectories_are_runs_of_the_episode_index(batch_size):
    frames = frames_of(outliers(10, 1), lengths=[3, 1, 2, 4])
    assert dataset_statistics(frames, state=None, batch_size=batch_size, progress=False)["num_trajectories"] == 4
    twice = concatenate_datasets([frames, frames.select(range(3))])
    assert dataset_statistics(twice, state=None, batch_size=batch_size, progress=False)["num_trajectories"] == 5


def test_unmasked_actions_count_from_either_end():
    actions, states = outliers(5, 7), outliers(5, 7)
    found = dataset_statistics(frames_of(actions, states), unmasked_actions=[-1, 0], progress=False)
    assert found["action"]["mask"] == [False, *[True] * 5, False]
    assert found["proprio"]["mask"] == [True] * 7


def test_a_mask_that_is_asked_for_is_computed_beside_a_file_of_the_dataset(tmp_path):
    frames, stored = frames_of(outliers(5, 2)), {"stored": {"action": {"mask": [True, True]}}}
    (tmp_path / "dataset_statistics.json").write_text(json.dumps(stored))
    assert run_statistics(frames, tmp_path, quiet=True, progress=False) == stored
    [(name, found)] = run_statistics(frames, tmp_path, None, [-1], quiet=True, progress=False).items()
    assert name == tmp_path.name and found["action"]["mask"] == [True, False]


def test_a_dataset_on_the_hub_has_the_statistics_and_names_that_its_folder_has(tmp_path, monkeypatch):
    frames, stored = frames_of(outliers(5, 2), outliers(5, 1)), {"stored": {"action": {"mask": [True, True]}}}
    monkeypatch.setattr("vlahub.training.statistics.dataset_folder", lambda name: {"user/table": tmp_path}[name])
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text(json.dumps({"features": {"action": {"names": ["x", "y"]}}}))
    [(name, found)] = run_statistics(frames, "user/table", quiet=True, progress=False).items()
    assert (name, found["action"]["names"]) == ("table", ["x", "y"])
    (tmp_path / "dataset_statistics.json").write_text(json.dumps(stored))
    assert run_statistics(frames, "user/table", quiet=True, progress=False) == stored


@pytest.mark.parametrize(
    ("action", "state"), [("gripper", STATE), ("action", ["gripper"]), (["action", "gripper"], STATE)]
)
def test_a_dataset_s_own_statistics_of_other_columns_are_refused(action, state, dataset):
    frames = load_from_disk(dataset.folder).add_column("gripper", np.arange(300.0))
    dataset.output = dataset.folder / "dataset_statistics.json"
    assert stats(dataset, "--quiet") == 0
    for given in (STATE, None):
        assert run_statistics(frames, dataset.folder, state=given, quiet=True, progress=False)
    with pytest.raises(InputError, match=r"is of the columns \['(action|observation.state)'\], not of"):
        run_statistics(frames, dataset.folder, action=action, state=state, quiet=True, progress=False)


def test_it_is_said_that_a_dataset_has_grown_since_its_statistics_were_made(dataset, capsys):
    frames = load_from_disk(dataset.folder)
    dataset.output = dataset.folder / "dataset_statistics.json"
    assert stats(dataset, "--quiet") == 0
    more = concatenate_datasets([frames, frames.select(range(20))])
    for given, rows, said in (
        (frames, None, False),
        (frames, 320, False),
        (more, None, True),
        (frames.select([0]), 320, True),
    ):
        run_statistics(given, dataset.folder, progress=False, rows=rows)
        assert ("of 300 rows where the dataset has 320;" in capsys.readouterr().out) == said


def test_new_statistics_warn_of_far_states_anew():
    statistics = dataset_statistics(frames_of(outliers(50, 3), outliers(50, 2)), progress=False)
    config = cogvla_config(norm_stats={"a": statistics}, action_dim=3, state_dim=2)
    processor = SimpleNamespace(warned_of={("a", 0)})
    processor.normalization_type = config.normalization_type
    apply_statistics(config, processor, "a", statistics)
    assert not processor.warned_of


# ---- refusals


def with_row(row, at=13, rows=20, **features):
    values = outliers(rows, 3).tolist()
    values[at] = row
    return Dataset.from_dict({"action": values}, features=Features(features) if features else None)


@pytest.mark.parametrize("bad", (float("nan"), float("inf"), -float("inf"), None, 1e39))
@pytest.mark.parametrize("batch_size", (1, 5, 100))
def test_numbers_that_are_not_finite_are_refused_by_row_and_dimension(bad, batch_size):
    frames = with_row([0.5, bad, 1.0], action=Sequence(Value("float64")))
    with pytest.raises(InputError, match=r"'action', row 13, dimension 1 is "):
        dataset_statistics(frames, state=None, batch_size=batch_size, progress=False)


def test_missing_integers_are_refused():
    with pytest.raises(InputError, match="'action', row 1, dimension 0 is nan"):
        dataset_statistics(Dataset.from_dict({"action": [[1], [None]]}), state=None, progress=False)


@pytest.mark.parametrize("bad", ([1.0, 2.0], [1.0] * 4, [], None))
@pytest.mark.parametrize("batch_size", (1, 5, 100))
def test_vectors_of_different_lengths_are_refused_by_row(bad, batch_size):
    count = 0 if bad is None else len(bad)
    with pytest.raises(InputError, match=f"'action', row 13 has {count} numbers; the rows before it have 3"):
        dataset_statistics(with_row(bad), state=None, batch_size=batch_size, progress=False)


def test_a_missing_vector_of_fixed_length_is_refused():
    frames = with_row(None, action=Sequence(Value("float32"), length=3))
    with pytest.raises(InputError, match="row 13 has 0 numbers"):
        dataset_statistics(frames, state=None, progress=False)


@pytest.mark.parametrize("first", ([], None))
def test_a_first_row_without_numbers_is_refused(first):
    with pytest.raises(InputError, match="'action', row 0 is "):
        dataset_statistics(with_row(first, at=0), state=None, progress=False)


@pytest.mark.parametrize(
    ("rows", "kind"),
    (
        (["left", "right"], None),
        ([["left"], ["right"]], None),
        ([[True], [False]], None),
        ([[[1.0, 2.0]], [[3.0, 4.0]]], None),
        ([[[1.0, 2.0]], [[3.0, 4.0]]], Array2D((1, 2), "float32")),
    ),
)
def test_columns_of_anything_but_vectors_of_numbers_are_refused(rows, kind):
    frames = Dataset.from_dict({"action": rows}, features=kind and Features({"action": kind}))
    with pytest.raises(InputError, match=r"'action' must hold vectors of numbers, not"):
        dataset_statistics(frames, state=None, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"action": "actions"}, "no column 'actions'; the columns are action, episode_index"),
        ({"state": STATE}, f"no column '{STATE}'.*pass state=None"),
        ({"unmasked_actions": [2]}, "unmasked_actions=2 must be between -2 and 1"),
        ({"unmasked_actions": [0, -3]}, "unmasked_actions=-3"),
        ({"exact_rows": 0}, "0 rows"),
        ({"batch_size": 0}, "batch_size=0"),
    ),
)
def test_impossible_arguments_are_refused(options, message):
    frames = frames_of(outliers(6, 2), lengths=[6])
    with pytest.raises(InputError, match=message):
        dataset_statistics(frames, **{"state": None, **options}, progress=False)


def test_a_dataset_without_rows_is_refused():
    with pytest.raises(InputError, match="no rows"):
        dataset_statistics(frames_of(outliers(6, 2)).select([]), state=None, progress=False)


def test_a_row_without_an_episode_is_refused():
    frames = Dataset.from_dict({"action": [[1.0], [2.0]], "episode_index": [0, None]})
    with pytest.raises(InputError, match="'episode_index'"):
        dataset_statistics(frames, state=None, progress=False)


# ---- models


@pytest.fixture(scope="module")
def statistics():
    actions, states = np.random.default_rng(0).normal(3, 2, (200, 7)), np.random.default_rng(1).normal(-1, 5, (200, 8))
    return dataset_statistics(frames_of(actions, states, [100, 100]), unmasked_actions=[6], progress=False)


@pytest.fixture
def parts(family, family_checkpoint):
    return family.config.from_pretrained(family_checkpoint), family.processor.from_pretrained(family_checkpoint)


def test_every_robot_family_normalises_by_the_new_statistics(family, parts, statistics, tmp_path):
    config, processor = parts
    if family.unnorm_key is None:
        with pytest.raises(InputError, match=r"'alpamayo_r1'.*action space"):
            apply_statistics(config, processor, "table", statistics)
        return
    apply_statistics(config, processor, "table", statistics)
    config.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert family.config.from_pretrained(tmp_path).norm_stats == {"table": statistics}
    reloaded = family.processor.from_pretrained(tmp_path)
    assert reloaded.norm_stats == {"table": statistics}
    state = np.arange(8, dtype=np.float32)
    view = np.zeros((30, 40, 3), dtype=np.uint8)
    inputs = reloaded(images=[view, view], text="Put the red block on the tray", state=state)
    found = inputs["state"]
    low, high = np.array(statistics["proprio"]["q01"]), np.array(statistics["proprio"]["q99"])
    wanted = np.clip(2 * (state - low) / (high - low) - 1, -1, 1)
    np.testing.assert_allclose(torch.as_tensor(found)[0], wanted, atol=1e-6)


def test_statistics_that_do_not_fit_change_nothing(family, parts, statistics):
    if family.unnorm_key is None:
        pytest.skip("no statistics at all")
    config, processor = parts
    before = config.norm_stats, processor.norm_stats
    short = {name: values[:-1] for name, values in statistics["action"].items()}
    for wrong, message in (
        (statistics | {"action": short}, "'action'.* has 6 values"),
        (statistics | {"proprio": short}, "'proprio'.* has 6 values"),
        ({"action": statistics["action"]}, "no .*proprio.* part; .*=8 needs one"),
        ({"proprio": statistics["proprio"]}, "'action'.* has 0 values"),
    ):
        with pytest.raises(ConfigError, match=message):
            apply_statistics(config, processor, "table", wrong)
    processor.normalization_type = "normal"
    with pytest.raises(ConfigError, match="'bounds_q99' in the model and 'normal' in the processor"):
        apply_statistics(config, processor, "table", statistics)
    assert (config.norm_stats, processor.norm_stats) == before


def test_a_model_without_state_needs_no_statistics_of_it(statistics):
    config = vlahub.MapAnythingLlava3DConfig(use_state=False, state_dim=5)
    processor = SimpleNamespace(normalization_type=config.normalization_type)
    apply_statistics(config, processor, "table", {"action": statistics["action"]})
    apply_statistics(config, processor, "table", statistics)
    assert config.norm_stats == processor.norm_stats == {"table": statistics}


def test_unmasked_actions_pass_unchanged_where_models_normalise(statistics):
    actions = torch.full((1, 7), 0.3)
    found = normalize(actions, statistics["action"], "bounds_q99")
    assert found[0, 6] == actions[0, 6] and (found[0, :6] != actions[0, :6]).all()


# ---- the command


@pytest.fixture
def dataset(tmp_path, request):
    """A folder that `vlahub stats` reads, with what is in it."""
    actions, states = outliers(300, 3, np.float32), outliers(300, 2)
    folder = tmp_path / "red_blocks.v1"
    frames_of(actions, states, [100, 150, 50]).save_to_disk(folder)
    return SimpleNamespace(folder=folder, actions=actions, states=states, output=tmp_path / "new" / "statistics.json")


def stats(dataset, *options):
    return main(["stats", str(dataset.folder), "--output", str(dataset.output), *options])


def test_the_command_writes_what_the_model_reads_and_prints_a_table(dataset, capsys):
    assert stats(dataset, "--unmasked-actions", "0", "-1") == 0
    content = json.loads(dataset.output.read_text(encoding="utf-8"))
    assert list(content) == ["red_blocks.v1"]
    found = content["red_blocks.v1"]
    check_against_numpy(found["action"], dataset.actions, [False, True, False], ["action"])
    check_against_numpy(found["proprio"], dataset.states, None, ["observation.state"])
    assert (found["num_transitions"], found["num_trajectories"]) == (300, 3)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split() == ["action", "min", "q01", "mean", "std", "q99", "max"]
    assert len(lines) == 1 + 3 + 1 + 2 + 1 and lines[-1].startswith("red_blocks.v1: 300 rows -> ")
    assert [float(x) for x in lines[2].split()[1:3]] == pytest.approx(
        [found["action"]["min"][1], found["action"]["q01"][1]], rel=1e-3
    )
    assert [line.endswith("passes unchanged") for line in lines[1:4]] == [True, False, True]
    assert "300/300" in printed.err  # the progress bar
    assert os.listdir(dataset.output.parent) == ["statistics.json"]


def test_columns_name_and_sample_size_can_be_given(dataset, capsys):
    options = ["--name", "table", "--action-column", STATE, "--state-column", "action", "--exact-rows", "50"]
    assert stats(dataset, *options) == 0
    found = json.loads(dataset.output.read_text(encoding="utf-8"))["table"]
    assert found["action"]["max"] == dataset.states.max(axis=0).tolist()
    assert found["proprio"]["min"] == dataset.actions.min(axis=0).tolist()
    assert found["action"]["q99"] != np.quantile(dataset.states, 0.99, axis=0).tolist()
    assert "random sample" in capsys.readouterr().out
    assert stats(dataset, "--overwrite", "--exact-rows", "300") == 0  # as many as there are
    assert "random sample" not in capsys.readouterr().out
    found = json.loads(dataset.output.read_text(encoding="utf-8"))["red_blocks.v1"]
    check_against_numpy(found["action"], dataset.actions, None, ["action"])


def test_quiet_prints_nothing_nor_does_datasets_while_it_reads_parquet(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    actions = outliers(30, 2)
    frames_of(actions).to_parquet(tmp_path / "a.parquet")
    capsys.readouterr()
    assert main(["stats", str(tmp_path / "a.parquet"), "--output", str(tmp_path / "out.json"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    check_against_numpy(
        json.loads((tmp_path / "out.json").read_text())["a.parquet"]["action"], actions, None, ["action"]
    )


def test_a_dataset_without_state_has_no_proprio_part(dataset):
    frames_of(dataset.actions).save_to_disk(dataset.folder.with_name("actions_only"))
    dataset.folder = dataset.folder.with_name("actions_only")
    assert stats(dataset, "--quiet") == 0
    assert list(json.loads(dataset.output.read_text(encoding="utf-8"))["actions_only"]) == ["action", "num_transitions"]
    assert stats(dataset, "--state-column", STATE, "--overwrite") == 1  # it was asked for


def test_an_output_is_replaced_only_when_that_is_asked_for(dataset, capsys):
    dataset.output.parent.mkdir()
    dataset.output.write_text("mine", encoding="utf-8")
    assert stats(dataset) == 1
    assert dataset.output.read_text(encoding="utf-8") == "mine"
    assert "exists; name another file, or pass --overwrite" in capsys.readouterr().err
    assert stats(dataset, "--overwrite", "--quiet") == 0
    assert "red_blocks.v1" in json.loads(dataset.output.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "content", "is_ours"),
    [
        ("a.json", b'{"a": {"action": {}}, "b": {"action": {}}}', True),
        ("a.json", b'{"a": {"action": {}}, "b": {"proprio": {}}}', False),
        ("a.json", b'{"a": {"action": {}}, "b": 3}', False),
        ("a.json", b'[{"action": {}}]', False),
        ("a.json", b'{"a": {"act', True),  # of a run that was killed
        ("a.json", b"\xff\xfe", False),
        ("a.txt", b'{"a": {"action": {}}}', False),
    ],
)
def test_a_file_is_of_statistics_where_each_of_its_datasets_has_actions(name, content, is_ours, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert is_replaceable(tmp_path / name) is is_ours


def test_the_command_records_the_names_of_the_dataset(dataset, monkeypatch):
    def record(statistics, folder, columns):
        statistics["action"]["names"] = [str(folder), *columns["action"], *columns["proprio"]]

    monkeypatch.setattr(dimension_names, "record_names", record)
    assert stats(dataset, "--quiet") == 0
    found = json.loads(dataset.output.read_text(encoding="utf-8"))["red_blocks.v1"]
    assert found["action"]["names"] == [str(dataset.folder), "action", STATE]


def test_a_folder_is_no_output(dataset):
    dataset.output.mkdir(parents=True)
    assert stats(dataset, "--overwrite") == 1


def test_a_failure_leaves_no_file_and_the_old_one_in_place(dataset, capsys):
    dataset.output.parent.mkdir()
    dataset.output.write_text("mine", encoding="utf-8")
    assert stats(dataset, "--overwrite", "--action-column", "actions") == 1
    assert "no column 'actions'" in capsys.readouterr().err
    assert os.listdir(dataset.output.parent) == ["statistics.json"]
    assert dataset.output.read_text(encoding="utf-8") == "mine"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    output = tmp_path / "statistics.json"
    with pytest.raises(InputError, match="exists"), output_file(output, overwrite=False) as file:
        file.write("ours")
        output.write_text("theirs", encoding="utf-8")
    assert os.listdir(tmp_path) == ["statistics.json"] and output.read_text(encoding="utf-8") == "theirs"


def test_the_key_is_the_name_of_what_was_read(tmp_path, monkeypatch):
    (tmp_path / "blocks").mkdir()
    monkeypatch.chdir(tmp_path / "blocks")
    assert dataset_name(".") == dataset_name(str(tmp_path / "blocks")) == "blocks"
    assert dataset_name("user/blocks") == "user/blocks"


def test_wrong_usage_exits_with_2(dataset):
    with pytest.raises(SystemExit) as error:
        main(["stats", str(dataset.folder)])
    assert error.value.code == 2


# Percentiles that coincide, joined columns


def gripper(rows=1000, closed=3):
    """A first dimension of noise, and a second that is 1 but for a few rows of 0 and one of 5."""
    values = np.random.default_rng(0).standard_normal((rows, 2))
    values[:, 1] = 1
    values[:closed, 1], values[-1, 1] = 0, 5
    return values


@pytest.mark.parametrize("part", ["action", "proprio"])
def test_percentiles_that_coincide_though_other_values_occur_become_bounds(part):
    values, others = gripper(), outliers(1000, 1)
    frames = frames_of(values, others) if part == "action" else frames_of(others, values)
    with pytest.warns(UserWarning, match=rf"{part}, dimension 1: at least 98 of 100 values are 1, but .* 0 to 5"):
        found = dataset_statistics(frames, progress=False)[part]
    assert (found["q01"][1], found["q99"][1]) == (0, 5)
    assert found["q01"][0] == np.quantile(values[:, 0], 0.01)
    scaled = normalize(torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 5.0]]), found, "bounds_q99")[:, 1]
    assert len(set(scaled.tolist())) == 3 and scaled.abs().max() <= 1


@pytest.mark.filterwarnings("error")
def test_constant_dimensions_and_spread_ones_are_left_as_they_are():
    values = np.concatenate([outliers(500, 1), np.full((500, 1), 0.1), gripper(500, 20)[:, 1:]], axis=1)
    values[-20:, 2] = 5
    check_against_numpy(dataset_statistics(frames_of(values), state=None, progress=False)["action"], values)


def test_the_command_says_what_it_widened(tmp_path, capsys):
    frames_of(gripper()).save_to_disk(tmp_path / "data")
    output = tmp_path / "statistics.json"
    assert main(["stats", str(tmp_path / "data"), "--output", str(output), "--quiet"]) == 0
    assert "note: action, dimension 1: at least 98 of 100 values are 1" in capsys.readouterr().err
    found = json.loads(output.read_text())["data"]["action"]
    assert (found["q01"][1], found["q99"][1]) == (0, 5)


def test_joined_columns_are_one_vector(tmp_path):
    left, right = outliers(300, 2), outliers(300, 1, seed=4)
    frames = frames_of(left, right).add_column("gripper", np.arange(300.0))
    wanted = np.concatenate([np.arange(300.0)[:, None], left], axis=1)
    found = dataset_statistics(frames, ["gripper", "action"], [STATE, "gripper"], batch_size=7, progress=False)
    check_against_numpy(found["action"], wanted)
    check_against_numpy(found["proprio"], np.concatenate([right, np.arange(300.0)[:, None]], axis=1))
    frames.save_to_disk(tmp_path / "data")
    arguments = ["stats", str(tmp_path / "data"), "--output", str(tmp_path / "a.json"), "--quiet"]
    assert main([*arguments, "--action", "gripper", "action", "--state", STATE, "gripper"]) == 0
    written = json.loads((tmp_path / "a.json").read_text())["data"]
    for part in ("action", "proprio"):
        columns = {"action": ["gripper", "action"], "proprio": [STATE, "gripper"]}[part]
        wanted = {name: pytest.approx(values, rel=1e-9) for name, values in found[part].items()}
        assert written[part] == {**wanted, "columns": columns}


def test_names_and_units_of_the_dataset_stand_in_its_statistics_and_in_cards(dataset):
    (dataset.folder / "meta").mkdir()
    names = {"action": {"names": {"motors": ["x", "y", "grip"]}, "units": ["m", "m", ""]}, STATE: {"names": ["one"]}}
    (dataset.folder / "meta/info.json").write_text(json.dumps({"features": names}))
    run = run_statistics(load_from_disk(dataset.folder), dataset.folder, state=STATE, quiet=True, progress=False)
    found = run["red_blocks.v1"]
    assert (found["action"]["names"], found["action"]["units"]) == (["x", "y", "grip"], ["m", "m", ""])
    assert "names" not in found["proprio"]  # of another length
    config = cogvla_config(norm_stats=run, action_dim=3, state_dim=2)
    text = checkpoint_card(config)
    low, high = (f"{found['action'][name][0]:.4g}" for name in ("q01", "q99"))
    assert f"| 0 | `x` | `m` | {low} | {high} | yes |" in text and "record no units" not in text
    table = robot_statistics(config.norm_stats, config.normalization_type)[0]
    assert [(d.name, d.unit) for d in table.dimensions] == [("x", "m"), ("y", "m"), ("grip", "")]
