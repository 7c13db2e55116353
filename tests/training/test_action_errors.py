"""Errors of chunks and success of gripper events, against plain loops over numpy arrays."""

import json
from itertools import combinations

import numpy as np
import pytest
import torch
from datasets import Dataset

from vlahub.errors import InputError
from vlahub.evaluation import action_errors, executed_actions, gripper_events
from vlahub.training import open_loop
from vlahub.training.dimension_names import dimension_names, dimension_units, frames_per_second, record_names
from vlahub.training.open_loop import batch_seed, episodes_of, noise_for, predicted_in_batches, samples_of

LENGTHS = {4: 7, 2: 3, 9: 1}  # rows of each episode, by its number


def chunks(steps=4, dimensions=3, stride=1, seed=0):
    """Chunks of drawn episodes, as `ActionChunks` pads them: where they begin, both actions and the padding."""
    random = np.random.RandomState(seed)
    rows = []
    for episode, length in LENGTHS.items():
        recorded = random.standard_normal((length, dimensions)).astype(np.float32)
        for frame in range(0, length, stride):
            places = np.minimum(np.arange(frame, frame + steps), length - 1)
            is_pad = np.arange(frame, frame + steps) >= length
            predicted = random.standard_normal((steps, dimensions)).astype(np.float32)
            rows.append((episode, frame, predicted, recorded[places], is_pad))
    return [np.array(column) for column in zip(*rows, strict=True)]


def test_errors_are_those_of_a_loop_over_all_steps_that_are_no_padding():
    _, _, predicted, recorded, is_pad = chunks()
    found = action_errors(predicted, recorded, is_pad)
    pairs = [(s, h) for s in range(len(predicted)) for h in range(4) if not is_pad[s, h]]
    for d in range(3):
        errors = [float(predicted[s, h, d]) - float(recorded[s, h, d]) for s, h in pairs]
        assert found["mae"][d] == pytest.approx(np.mean(np.abs(errors)))
        assert found["rmse"][d] == pytest.approx(np.sqrt(np.mean(np.square(errors))))
        assert found["recorded_std"][d] == pytest.approx(np.std([float(recorded[s, h, d]) for s, h in pairs]))
        for step in range(4):
            own = [error for error, (_, h) in zip(errors, pairs, strict=True) if h == step]
            assert found["per_step"]["count"][step] == len(own)
            assert found["per_step"]["mae"][step, d] == pytest.approx(np.mean(np.abs(own)))
            assert found["per_step"]["rmse"][step, d] == pytest.approx(np.sqrt(np.mean(np.square(own))))
    assert found["action_error"] == pytest.approx(found["mae"].mean())


def test_what_padding_holds_does_not_matter_and_nothing_else_is_no_answer():
    _, _, predicted, recorded, is_pad = chunks()
    first = action_errors(predicted, recorded, is_pad)
    predicted[is_pad] = 1e9
    assert action_errors(predicted, recorded, is_pad)["mae"].tolist() == first["mae"].tolist()
    last = action_errors(predicted[-1:], recorded[-1:], is_pad[-1:])  # of an episode of one row
    assert last["per_step"]["count"].tolist() == [1, 0, 0, 0] and np.isnan(last["per_step"]["mae"][1:]).all()
    with pytest.raises(InputError, match="every step is padding"):
        action_errors(predicted, recorded, np.ones_like(is_pad))
    with pytest.raises(InputError, match="is_pad"):
        action_errors(predicted, recorded, is_pad[:, :2])


@pytest.mark.parametrize("stride", [1, 2, 4, 6])
def test_a_robot_follows_a_chunk_until_the_next_one_is_there(stride):
    episode, frame, predicted, recorded, is_pad = chunks(stride=stride)
    actions = executed_actions(episode, frame, predicted, recorded, is_pad)
    wanted = []
    for number, length in LENGTHS.items():
        for t in range(length):
            begins = [i for i in range(len(frame)) if episode[i] == number and frame[i] <= t]
            if t - frame[begins[-1]] < predicted.shape[1]:
                wanted.append((number, t, predicted[begins[-1], t - frame[begins[-1]]]))
    assert list(zip(actions.episode, actions.frame, strict=True)) == [row[:2] for row in wanted]
    np.testing.assert_array_equal(actions.predicted, [row[2] for row in wanted])
    follows = [
        i > 0 and wanted[i][0] == wanted[i - 1][0] and wanted[i][1] == wanted[i - 1][1] + 1 for i in range(len(wanted))
    ]
    assert actions.follows.tolist() == follows


def events(states, starts, sign):
    return [t for t in range(1, len(states)) if t not in starts and states[t] - states[t - 1] == sign]


def most_matches(first, second, tolerance):
    """By trying all subsets in order, which pairs that cross cannot beat."""
    for size in range(min(len(first), len(second)), 0, -1):
        for some in combinations(first, size):
            for others in combinations(second, size):
                if all(abs(a - b) <= tolerance for a, b in zip(some, others, strict=True)):
                    return size
    return 0


@pytest.mark.parametrize("tolerance", [0, 1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_gripper_events_are_matched_as_often_as_possible_and_once_each(tolerance, seed):
    random = np.random.RandomState(seed)
    episode = np.repeat([0, 1], [14, 12])
    frame = np.concatenate([np.arange(14), np.arange(12)])
    values = random.randint(0, 2, (2, 26, 1)).astype(np.float32)
    actions = executed_actions(episode, frame, *values[:, :, None], np.zeros((26, 1), bool))
    found = gripper_events(actions, 0, tolerance)
    predicted, recorded = values[..., 0].astype(int)
    counted = dict.fromkeys(("recorded", "predicted", "matched"), 0)
    for sign in (1, -1):
        for rows in (range(14), range(14, 26)):
            times = [events(side[list(rows)], (), sign) for side in (recorded, predicted)]
            counted["recorded"] += len(times[0])
            counted["predicted"] += len(times[1])
            counted["matched"] += most_matches(*times, tolerance)
    assert {name: found[name] for name in counted} == counted
    assert found["precision"] == counted["matched"] / counted["predicted"]
    assert found["recall"] == counted["matched"] / counted["recorded"]
    assert found["accuracy"] == pytest.approx((predicted == recorded).mean())
    assert (
        found["threshold"] == 0.5 and found["rising"]["recorded"] + found["falling"]["recorded"] == counted["recorded"]
    )


def series(predicted, recorded):
    rows = np.arange(len(recorded))
    values = (np.array(side, np.float32)[:, None, None] for side in (predicted, recorded))
    return executed_actions(np.zeros(len(rows), int), rows, *values, np.zeros((len(rows), 1), bool))


def test_directions_delays_thresholds_and_a_gripper_that_never_moves():
    late = series([0, 0, 0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 1, 1, 0, 0])
    found = gripper_events(late, 0, tolerance=2)
    assert (found["matched"], found["delay"]) == (2, 1.5)  # 2 frames late to close, 1 to open
    assert gripper_events(late, 0, tolerance=1)["matched"] == 1
    wrong_way = series([1, 1, 1, 0, 0], [0, 0, 0, 1, 1])
    assert gripper_events(wrong_way, 0, tolerance=5)["matched"] == 0
    still = series([0, 1, 0, 1], [0.2] * 4)
    assert gripper_events(still, 0, 2) == {"threshold": None, "tolerance": 2, "frames": 4}
    found = gripper_events(still, 0, 2, threshold=0.5)
    assert (found["recorded"], found["predicted"], found["precision"]) == (0, 3, 0) and np.isnan(found["recall"])
    on_it = gripper_events(series([0, 0.5, 1], [0, 0, 1]), 0, 0, threshold=0.5)  # a state lies above the threshold
    assert (on_it["matched"], on_it["accuracy"]) == (1, 1)


@pytest.mark.parametrize("second", [(0, [3, 4, 5]), (1, [0, 1, 2])], ids=["behind a gap", "of the next episode"])
def test_switches_of_two_runs_of_frames_are_never_matched(second):
    """One in the last frame of a run, the other in the second frame of the next."""
    number, frames = second
    episode, frame = np.array([0, 0, *[number] * 3]), np.array([0, 1, *frames])
    recorded, predicted = (np.array(side, np.float32)[:, None, None] for side in ([0, 1, 1, 1, 1], [0, 0, 0, 1, 1]))
    actions = executed_actions(episode, frame, predicted, recorded, np.zeros((5, 1), bool))
    found = gripper_events(actions, 0, tolerance=2)
    assert (found["recorded"], found["predicted"], found["matched"]) == (1, 1, 0)


def test_samples_are_chosen_by_episode_stride_and_number():
    episode = np.repeat(list(LENGTHS), list(LENGTHS.values()))
    frames = Dataset.from_dict({"episode_index": episode})
    everything = samples_of(frames, np.arange(11))
    assert everything.frame.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 0] and everything.episode.tolist() == [*episode]
    every = samples_of(frames, np.arange(11), stride=3)
    assert every.frame.tolist() == [0, 3, 6, 0, 0] and every.index.tolist() == [0, 3, 6, 7, 10]
    later = samples_of(frames, np.array([1, 2, 3, 9]), stride=2)  # examples that begin later, as those of drives
    assert (later.index.tolist(), later.frame.tolist(), later.episode.tolist()) == ([0, 2, 3], [1, 3, 2], [4, 4, 2])
    assert samples_of(frames, np.arange(11), max_samples=3).index.tolist() == [0, 5, 10]
    assert samples_of(frames, np.arange(11), max_samples=99).index.tolist() == list(range(11))
    assert episodes_of(frames, [9, 4])["episode_index"] == [4] * 7 + [9]
    assert episodes_of(frames.rename_column("episode_index", "drive"), [9], "drive")["drive"] == [9]
    with pytest.raises(InputError, match=r"no episodes \[3\]; those of the dataset are 2 to 9"):
        episodes_of(frames, [3, 4])
    for name in ("stride", "max_samples"):
        with pytest.raises(InputError, match=f"{name}=0"):
            samples_of(frames, np.arange(11), **{name: 0})
    for numbers in ([0.0, 1.0], [-1, 0]):
        with pytest.raises(InputError, match="'episode_index' must hold whole numbers from 0 on"):
            samples_of(Dataset.from_dict({"episode_index": numbers}), np.arange(2))


class Rows(torch.utils.data.Dataset):
    """Examples that say which they are, and whether another process read them."""

    def __len__(self):
        return 11

    def __getitem__(self, index):
        return index, torch.utils.data.get_worker_info() is not None


def test_batches_and_their_random_numbers_are_the_same_however_many_processes_share_them(monkeypatch, capsys):
    frames = Dataset.from_dict({"episode_index": np.repeat(list(LENGTHS), list(LENGTHS.values()))})
    samples = samples_of(frames, np.arange(11), stride=2)  # 0, 2, 4, 6 of an episode, 0 and 2 of the next, one more

    def found(part, **options):
        def predict(batch, chosen):
            drawn = torch.rand(()).item()
            return [(*row, int(frame), drawn) for row, frame in zip(batch, chosen.frame, strict=True)]

        return predicted_in_batches(predict, Rows(), samples, 2, 3, torch.device("cpu"), part, **options)

    whole = found((0, 1))
    assert "predicting" in capsys.readouterr().err
    assert [row[:3] for row in whole] == [(i, False, int(f)) for i, f in zip(samples.index, samples.frame, strict=True)]
    for first in range(0, 7, 2):
        torch.manual_seed(batch_seed(3, samples.taken(np.array([first]))))
        assert {row[3] for row in whole[first : first + 2]} == {torch.rand(()).item()}
    assert len({row[3] for row in whole}) == 4
    shares = []
    monkeypatch.setattr(open_loop, "gather_object", lambda own: shares.append(own) or own)
    second, first = (found((rank, 2), progress=False) for rank in (1, 0))
    assert not capsys.readouterr().err
    monkeypatch.setattr(open_loop, "gather_object", lambda own: shares[0] + own)
    assert (len(second), len(first)) == (3, 4) and found((0, 2)) == whole
    assert all(row[1] for row in found((0, 2), num_workers=1)[:2])
    with pytest.raises(InputError, match="batch_size=0"):
        predicted_in_batches(None, Rows(), samples, 0, 3, torch.device("cpu"))


def test_noise_of_a_sample_does_not_depend_on_the_others():
    frames = Dataset.from_dict({"episode_index": np.repeat([4, 2], 4)})
    everything, some = samples_of(frames, np.arange(8)), samples_of(frames, np.arange(8), stride=2)
    noise = noise_for(everything, 3, (2, 5))
    assert torch.equal(noise_for(some, 3, (2, 5)), noise[some.index])
    assert not torch.equal(noise_for(everything, 4, (2, 5)), noise) and noise.unique().numel() == noise.numel()


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["x", "y"], ["x", "y"]),
        ({"motors": ["x", "y"]}, ["x", "y"]),
        ({"y": 1, "x": 0}, ["x", "y"]),
        (None, ["0", "1"]),
        (["x"], ["0", "1"]),
    ],
)
def test_dimensions_are_called_as_the_dataset_calls_them(names, wanted, tmp_path):
    (tmp_path / "meta").mkdir()
    info = {"features": {"action": {"names": names}}}
    (tmp_path / "meta/info.json").write_text(json.dumps(info))
    assert dimension_names(tmp_path, ["action"], 2) == wanted
    assert dimension_names(tmp_path / "nothing", ["action"], 2) == ["0", "1"]


@pytest.mark.parametrize(
    ("units", "wanted"),
    [(["m", "rad"], ["m", "rad"]), (["m"], ["", ""]), (["m", "m", "rad"], ["", ""]), (None, ["", ""])],
)
def test_units_are_those_of_the_dataset_where_there_is_one_for_each_dimension(units, wanted, tmp_path):
    (tmp_path / "meta").mkdir()
    info = {"features": {"action": {"names": ["x", "y"], "units": units}}}
    (tmp_path / "meta/info.json").write_text(json.dumps(info))
    assert dimension_units(tmp_path, ["action"], 2) == wanted
    statistics = {"action": {"min": [0.0, 0.0]}}
    record_names(statistics, tmp_path, {"action": "action"})
    assert statistics["action"]["names"] == ["x", "y"]
    assert statistics["action"].get("units", ["", ""]) == wanted


@pytest.mark.parametrize(
    ("fps", "wanted"), [(10, 10.0), (12.5, 12.5), (0, None), (-5, None), ("10", None), (None, None)]
)
def test_a_rate_is_a_number_above_0_or_none(fps, wanted, tmp_path):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text(json.dumps({"fps": fps}))
    assert frames_per_second(tmp_path) == wanted
