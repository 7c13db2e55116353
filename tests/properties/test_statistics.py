"""Statistics, episodes, chunks and errors of recorded data, against numpy over the whole at once."""

import json
import tempfile
import warnings
from fractions import Fraction
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, Features, Sequence, Value, concatenate_datasets
from drawn import SEEDS, floats
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vlahub.conversion.cli import main
from vlahub.conversion.datasets.running_statistics import ImageStatistics, RunningStatistics
from vlahub.training.action_chunks import ActionChunks
from vlahub.training.action_errors import action_errors, executed_actions
from vlahub.training.gripper_events import gripper_events, matched
from vlahub.training.open_loop import samples_of
from vlahub.training.statistics import dataset_statistics, run_statistics

KINDS = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "int64": np.int64, "uint8": np.uint8}


@st.composite
def columns(draw, rows):
    """(values (rows, width), feature): of any kind of number and list, with offsets, outliers and constants."""
    width, kind = draw(st.integers(1, 3)), draw(st.sampled_from(sorted(KINDS)))
    generator = np.random.default_rng(draw(SEEDS))
    shape = draw(st.sampled_from(["normal", "cauchy", "switch", "constant", "offset"]))
    values = {
        "normal": generator.standard_normal((rows, width)),
        "cauchy": np.clip(generator.standard_cauchy((rows, width)), -1e4, 1e4),
        "switch": (generator.random((rows, width)) < 0.02) * 1.0,
        "constant": np.full((rows, width), 0.1),
        "offset": 1e4 + generator.standard_normal((rows, width)),
    }[shape]
    if not kind.startswith("float"):
        values = np.abs(values * 10) % 200
    value, is_flat = Value(kind), width == 1 and draw(st.booleans())
    length = draw(st.sampled_from([-1, width]))
    return values.astype(KINDS[kind]), value if is_flat else Sequence(value, length=length)


@st.composite
def recordings(draw, most=120):
    """(frames, {column: (rows, width)}, lengths of episodes), in one table or several that are joined."""
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=6))
    rows = min(sum(lengths), most)
    drawn = {name: draw(columns(rows)) for name in ("action", "gripper", "observation.state")}
    episodes = np.repeat(np.arange(len(lengths)), lengths)[:rows]
    content = {
        name: [row[0].item() if isinstance(feature, Value) else row.tolist() for row in values]
        for name, (values, feature) in drawn.items()
    }
    features = {name: feature for name, (_, feature) in drawn.items()} | {"episode_index": Value("int64")}
    frames = Dataset.from_dict(content | {"episode_index": episodes.tolist()}, features=Features(features))
    cuts = sorted(draw(st.lists(st.integers(1, rows), max_size=3)))
    pieces = [frames.select(range(a, b)) for a, b in zip([0, *cuts], [*cuts, rows], strict=True) if a < b]
    joined = concatenate_datasets(pieces) if len(pieces) > 1 else frames
    return joined, {name: values for name, (values, _) in drawn.items()}, np.unique(episodes, return_counts=True)[1]


def check(found, values, unmasked=()):
    """found: of one part; values: (rows, width), of which numpy says the same."""
    values = values.astype(np.float64)
    low, high = values.min(axis=0), values.max(axis=0)
    q01, q99 = np.quantile(values, 0.01, axis=0), np.quantile(values, 0.99, axis=0)
    hidden = (q01.astype(np.float32) == q99.astype(np.float32)) & (low.astype(np.float32) < high.astype(np.float32))
    wanted = {"min": low, "max": high, "q01": np.where(hidden, low, q01), "q99": np.where(hidden, high, q99)}
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, atol=0, err_msg=name)
    size = np.abs(values).max() + 1e-12
    np.testing.assert_allclose(found["mean"], values.mean(axis=0), rtol=1e-9, atol=1e-12 * size)
    np.testing.assert_allclose(found["std"], values.std(axis=0), rtol=1e-7, atol=1e-9 * size)
    width = values.shape[1]
    assert found["mask"] == [i not in {j % width for j in unmasked} for i in range(width)]


@given(recordings(), st.integers(1, 130), st.data())
def test_statistics_are_those_of_numpy_whatever_the_batches_and_columns(recording, batch_size, data):
    frames, values, lengths = recording
    action = data.draw(st.permutations(["action", "gripper"]))[: data.draw(st.integers(1, 2))]
    joined = np.concatenate([values[name].astype(np.float64) for name in action], axis=1)
    width = joined.shape[1]
    unmasked = data.draw(st.lists(st.integers(-width, width - 1), max_size=2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = dataset_statistics(frames, action, unmasked_actions=unmasked, batch_size=batch_size, progress=False)
    check(found["action"], joined, unmasked)
    check(found["proprio"], values["observation.state"])
    assert (found["num_transitions"], found["num_trajectories"]) == (len(joined), len(lengths))


@given(SEEDS, st.integers(1, 150), st.integers(1, 60), st.integers(5, 90), st.integers(5, 90))
def test_quantiles_of_a_sample_are_those_of_so_many_rows_of_the_data_whatever_the_batches(seed, rows, kept, one, other):
    values = np.random.default_rng(seed).permutation(rows).astype(np.float32)[:, None]
    frames = Dataset.from_dict({"action": values.tolist()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        first, second = (
            dataset_statistics(frames, state=None, exact_rows=kept, batch_size=size, progress=False)
            for size in (one, other)
        )
    for name in ("min", "max", "q01", "q99"):
        assert first["action"][name] == second["action"][name]
    found = first["action"]
    assert (found["min"], found["max"]) == ([0], [rows - 1])
    size = min(kept, rows)
    if size == rows:
        check(found, values)
    assert 0 <= found["q01"][0] <= found["q99"][0] <= rows - 1
    assert found["q99"][0] - found["q01"][0] >= 0.98 * (size - 1) - 1e-6  # of so many different whole numbers


@given(st.lists(recordings(most=40), min_size=1, max_size=3, unique_by=lambda each: len(each[0])), st.data())
@settings(max_examples=max(3, settings.default.max_examples // 10))
def test_the_command_writes_what_numpy_says_of_every_dataset(several, data):
    with tempfile.TemporaryDirectory() as folder:
        content = {}
        for number, (frames, values, _) in enumerate(several):
            source, output = Path(folder) / f"robot {number}", Path(folder) / f"{number}.json"
            source.mkdir()
            frames.to_parquet(source / "a.parquet")
            options = ["--action", "gripper", "action", "--unmasked-actions", "0", "--quiet"]
            assert main(["stats", str(source), "--output", str(output), *options]) == 0
            written = json.loads(output.read_text())
            assert list(written) == [source.name]
            joined = np.concatenate([values[name].astype(np.float64) for name in ("gripper", "action")], axis=1)
            check(written[source.name]["action"], joined, (0,))
            check(written[source.name]["proprio"], values["observation.state"])
            again = run_statistics(frames, source, file=output, quiet=True)
            assert again == written
            content |= written
        assert len(content) == len(several)


@given(SEEDS, st.integers(1, 60), st.integers(1, 4), st.lists(st.integers(1, 60), max_size=4), floats(-1e6, 1e6))
def test_running_statistics_are_those_of_all_rows_at_once(seed, rows, width, cuts, offset):
    values = np.random.default_rng(seed).standard_normal((rows, width)) + offset
    running, ends = RunningStatistics(), sorted({*(cut for cut in cuts if cut < rows), rows})
    for start, end in zip([0, *ends], ends, strict=False):
        running.add(values[start:end])
    found = running.result()
    np.testing.assert_array_equal(found["min"], values.min(axis=0))
    np.testing.assert_array_equal(found["max"], values.max(axis=0))
    np.testing.assert_allclose(found["mean"], values.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found["std"], values.std(axis=0), rtol=1e-6, atol=1e-9)


@given(SEEDS, st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(1, 255))
def test_statistics_of_images_are_those_of_all_pixels_at_once(seed, count, height, width, most):
    pictures = np.random.default_rng(seed).integers(0, most + 1, (count, height, width, 3), dtype=np.uint8)
    running = ImageStatistics()
    for picture in pictures:
        running.add(picture[None])
    pixels, found = pictures.reshape(-1, 3) / 255, running.result()
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(found[name], getattr(pixels, name)(axis=0), atol=1e-12)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(1, 9), st.booleans(), SEEDS)
def test_a_chunk_is_the_next_actions_of_its_episode(lengths, steps, repeat_last, seed):
    rows = sum(lengths)
    actions = np.random.default_rng(seed).standard_normal((rows, 2)).astype(np.float32)
    content = {
        "action": actions.tolist(),
        "task": [f"task {i}" for i in range(rows)],
        "view": [Image.new("RGB", (2, 2))] * rows,
        "episode_index": np.repeat(np.arange(len(lengths)) * 3, lengths).tolist(),
        "frame_index": [i for length in lengths for i in range(length)],
    }
    chunks = ActionChunks(Dataset.from_dict(content), steps, repeat_last=repeat_last)
    assert len(chunks) == rows
    row = 0
    for length in lengths:
        for frame in range(length):
            example = chunks[row]
            wanted = [actions[row - frame + min(frame + i, length - 1)] for i in range(steps)]
            assert np.array_equal(example["actions"], wanted) and example["text"] == f"task {row}"
            if repeat_last:
                assert "action_is_pad" not in example
            else:
                assert example["action_is_pad"].tolist() == [frame + i >= length for i in range(steps)]
            row += 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 12), st.integers(1, 4))
def test_executed_actions_are_those_of_the_last_chunk_that_was_predicted(lengths, stride, most, steps):
    """Frame by frame, with the chunks that were asked for."""
    rows = sum(lengths)
    numbers = np.repeat(np.arange(len(lengths)) + 4, lengths)
    frames = Dataset.from_dict({"episode_index": numbers.tolist()})
    samples = samples_of(frames, np.arange(rows), stride, most)
    asked = [i for i in range(rows) if (i - np.flatnonzero(numbers == numbers[i])[0]) % stride == 0]
    if most < len(asked):
        exact = [Fraction(i * (len(asked) - 1), max(most - 1, 1)) for i in range(most)]
        assert all(
            abs(asked.index(found) - place) <= Fraction(1, 2) for found, place in zip(samples.index, exact, strict=True)
        )
    else:
        assert samples.index.tolist() == asked
    starts = np.concatenate([[0], np.cumsum(lengths)])
    assert samples.frame.tolist() == [i - starts[numbers[i] - 4] for i in samples.index.tolist()]
    predicted = samples.index[:, None] * 100.0 + np.arange(steps)
    recorded = samples.index[:, None] * 1.0 + np.arange(steps)
    is_pad = recorded >= starts[numbers[samples.index] - 4 + 1][:, None]
    found = executed_actions(samples.episode, samples.frame, predicted[..., None], recorded[..., None], is_pad)
    wanted = []
    for row in range(rows):
        before = [i for i in samples.index.tolist() if i <= row and numbers[i] == numbers[row] and row - i < steps]
        last = max((i for i in samples.index.tolist() if i <= row and numbers[i] == numbers[row]), default=None)
        if before and last in before:
            wanted.append((numbers[row], row - starts[numbers[row] - 4], last * 100.0 + row - last, row))
    assert list(zip(found.episode, found.frame, found.predicted[:, 0], found.recorded[:, 0], strict=True)) == wanted


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.data(), SEEDS)
def test_errors_are_means_over_what_is_no_padding(samples, steps, dimensions, data, seed):
    generator = np.random.default_rng(seed)
    predicted, recorded = generator.standard_normal((2, samples, steps, dimensions)).astype(np.float32)
    real = np.array([[i < data.draw(st.integers(0, steps)) for i in range(steps)] for _ in range(samples)])
    real[0, 0] = True
    found = action_errors(predicted, recorded, ~real)
    difference = (predicted.astype(np.float64) - recorded)[real]
    np.testing.assert_allclose(found["mae"], np.abs(difference).mean(axis=0))
    np.testing.assert_allclose(found["rmse"], np.sqrt((difference**2).mean(axis=0)))
    np.testing.assert_allclose(found["recorded_std"], recorded[real].astype(np.float64).std(axis=0))
    assert found["action_error"] == pytest.approx(found["mae"].mean())
    for step in range(steps):
        own = (predicted.astype(np.float64) - recorded)[real[:, step], step]
        assert found["per_step"]["count"][step] == len(own)
        if len(own):
            np.testing.assert_allclose(found["per_step"]["mae"][step], np.abs(own).mean(axis=0))
        else:
            assert np.isnan(found["per_step"]["mae"][step]).all()


def most_pairs(first, second, tolerance):
    """By trying all."""
    for size in range(min(len(first), len(second)), 0, -1):
        for some in combinations(range(len(first)), size):
            for others in combinations(range(len(second)), size):
                if all(abs(first[i] - second[j]) <= tolerance for i, j in zip(some, others, strict=True)):
                    return size
    return 0


TIMES = st.lists(st.integers(0, 15), max_size=5, unique=True).map(sorted)


@given(TIMES, TIMES, st.integers(0, 4))
def test_as_many_events_as_possible_are_matched(first, second, tolerance):
    pairs = matched(np.array(first), np.array(second), tolerance)
    assert len(pairs) == most_pairs(first, second, tolerance)
    assert all(a in first and b in second and abs(a - b) <= tolerance for a, b in pairs)
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=8), min_size=1, max_size=3), st.integers(0, 3), SEEDS)
def test_a_gripper_that_is_predicted_as_recorded_has_all_of_its_events(states, tolerance, seed):
    recorded = np.concatenate(states).astype(float)[:, None]
    episode = np.repeat(np.arange(len(states)), [len(each) for each in states])
    frame = np.concatenate([np.arange(len(each)) for each in states])
    none = np.zeros((len(frame), 1), bool)
    actions = executed_actions(episode, frame, recorded[:, None], recorded[:, None], none)
    found = gripper_events(actions, 0, tolerance, threshold=0.5)
    events = sum(a != b for each in states for a, b in pairwise(each))
    assert found["recorded"] == found["predicted"] == found["matched"] == events
    assert found["accuracy"] == 1 and (not events or (found["f1"], found["delay"]) == (1, 0))
