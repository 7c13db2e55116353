"""Trajectories as bins, steps and actions of a unicycle, and back, against numpy's float64 and its least squares."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from drawn import SEEDS, floats, numbers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from vlahub.configuration.alpamayo_r1.trajectory_vocabulary import (
    LATER_TOKENS,
    SPECIAL_TOKENS,
    TRAJ_TOKEN,
    add_trajectory_tokens,
    special_token_id,
)
from vlahub.errors import InputError
from vlahub.modeling.alpamayo_r1.ego_frame import check_poses, in_frame_of_last
from vlahub.modeling.alpamayo_r1.smoothed_least_squares import solve_smoothed, trapezoid_equations
from vlahub.modeling.alpamayo_r1.trajectory_bins import Bins
from vlahub.modeling.alpamayo_r1.trajectory_metrics import minADE, minFDE
from vlahub.modeling.alpamayo_r1.trajectory_text import is_of_trajectory
from vlahub.modeling.alpamayo_r1.trajectory_tokenizers import (
    DeltaTrajectoryTokenizer,
    DiscreteTrajectoryTokenizer,
    fitted_slopes,
    tokenize_history,
)
from vlahub.modeling.alpamayo_r1.unicycle_action_space import UnicycleAccelCurvatureActionSpace, rotation_about_z


@st.composite
def bins(draw, most=5000):
    """Ranges of one to three dimensions, and how many bins they have."""
    least = draw(st.lists(floats(-20, 20), min_size=1, max_size=3))
    return Bins(least, [low + draw(floats(0.05, 40)) for low in least], draw(st.integers(2, most)))


@given(bins(), st.data())
def test_a_number_is_the_nearest_bin_and_the_outermost_ones_take_the_rest(bins, data):
    least, greatest = np.array(bins.least), np.array(bins.greatest)
    size = (greatest - least) / (bins.count - 1)
    share = np.array([[data.draw(floats(-0.5, 1.5)) for _ in least] for _ in range(3)])
    values = (least + share * (greatest - least)).astype(np.float32)
    tokens = bins.encode(torch.from_numpy(values))
    exact = np.clip((values - least) / size, 0, bins.count - 1)
    slack = 1e-6 * (np.abs(least) + np.abs(greatest) + greatest - least) / size  # of float32, in bins
    assert (np.abs(tokens.numpy() - exact) <= 0.5 + slack).all()
    decoded = bins.decode(tokens).double().numpy()
    inside = np.clip(values, least, greatest)
    assert (np.abs(decoded - inside) <= size * (0.5 + slack) + 1e-6).all()


@given(bins())
def test_every_token_is_the_token_of_its_own_middle(bins):
    tokens = torch.arange(bins.count)[:, None].expand(-1, len(bins.least))
    assert torch.equal(bins.encode(bins.decode(tokens)), tokens)
    ends = torch.tensor([bins.least, bins.greatest])
    assert bins.encode(ends).tolist() == [[0] * len(bins.least), [bins.count - 1] * len(bins.least)]
    far = torch.tensor([[-math.inf], [math.inf], [-1e30], [1e30]]).expand(-1, len(bins.least))
    assert bins.encode(far)[:, 0].tolist() == [0, bins.count - 1] * 2
    for wrong in (-1, bins.count):
        with pytest.raises(InputError, match=f"0..{bins.count - 1}"):
            bins.decode(torch.full((1, len(bins.least)), wrong))


@st.composite
def paths(draw, least=1, most=12, step=3.5):
    """(poses, 3) and yaw (poses,): steps of at most `step` metres and any turns."""
    poses, seed = draw(st.integers(least, most)), draw(SEEDS)
    generator = np.random.default_rng(seed)
    xyz = generator.uniform(-step, step, (poses, 3)).cumsum(axis=0)
    return torch.from_numpy(xyz).float(), torch.from_numpy(generator.uniform(-3, 3, poses).cumsum()).float()


@given(paths(), st.integers(50, 2000), st.booleans())
def test_a_path_comes_back_from_its_steps_within_half_a_bin_for_each(path, count, predict_yaw):
    xyz, yaw = path
    tokenizer = DeltaTrajectoryTokenizer(num_bins=count, predict_yaw=predict_yaw)
    rot = rotation_about_z(yaw)
    tokens = tokenizer.encode(xyz[:1], rot[:1], xyz, rot)
    assert tokens.shape == (len(xyz) * tokenizer.tokens_per_pose,)
    assert tokens.min() >= 0 and tokens.max() < tokenizer.vocab_size
    found, turned, _ = tokenizer.decode(xyz[:1], rot[:1], tokens, yaw_convention="fixed")
    poses = np.arange(1, len(xyz) + 1)[:, None]
    assert (np.abs((found - xyz).numpy()) <= poses * (np.array([8, 8, 20]) / (count - 1) / 2 + 1e-5)).all()
    steps = torch.diff(torch.cat([torch.zeros(1, 3), xyz.double()]), dim=0).numpy()
    exact = (steps + np.array([4, 4, 10])) / np.array([8, 8, 20]) * (count - 1)
    assert (np.abs(tokens.view(len(xyz), -1)[:, :3].numpy() - exact) <= 0.501 + 1e-4 * count / 50).all()
    if predict_yaw:
        difference = torch.atan2(turned[:, 1, 0], turned[:, 0, 0]) - yaw
        wrong = torch.atan2(difference.sin(), difference.cos()).abs().numpy()
        assert (wrong <= poses[:, 0] * (math.pi / (count - 1) + 1e-5)).all()
        published = tokenizer.decode(xyz[:1], rot[:1], tokens)[1]
        torch.testing.assert_close(published, turned.mT, atol=1e-5, rtol=0)  # the same turns the other way


@given(paths(least=2), st.integers(1, 3), st.integers(0, 99))
def test_groups_of_a_history_are_tokenised_one_behind_the_other(path, groups, start):
    xyz, rot = path[0], rotation_about_z(path[1])
    tokenizer = DeltaTrajectoryTokenizer()
    shifts = torch.arange(groups)[:, None, None] * 0.1
    found = tokenize_history(tokenizer, (xyz + shifts)[None], rot.expand(1, groups, -1, -1, -1), start)
    each = [tokenizer.encode(xyz[:1], rot[:1], xyz + shift, rot) for shift in shifts]
    assert torch.equal(found, torch.cat(each)[None] + start)


@given(paths(least=4, most=16), st.integers(1, 2))
def test_slopes_are_those_of_numpys_polynomials(path, dimensions):
    positions = path[0][:, :dimensions].double()
    found = fitted_slopes(positions).numpy()
    poses = len(positions)
    length = min(10, poses)
    for i in range(poses):
        start = min(max(i - 5, 0), poses - length)
        for d in range(dimensions):
            cubic = np.polynomial.Polynomial.fit(np.arange(length), positions[start : start + length, d].numpy(), 3)
            assert found[i, d] == pytest.approx(cubic.deriv()(i - start), abs=1e-6)


@st.composite
def spaces(draw, most=10):
    return UnicycleAccelCurvatureActionSpace(
        accel_mean=draw(floats(-0.5, 0.5)),
        accel_std=draw(floats(0.2, 2)),
        curvature_mean=draw(floats(-0.01, 0.01)),
        curvature_std=draw(floats(0.01, 0.1)),
        dt=draw(st.sampled_from([0.1, 0.25, 0.5])),
        n_waypoints=draw(st.integers(4, most)),
    )


def driven(space, action, speed, height):
    """Poses of one plan in floats of Python: the trapezoidal rule along a heading that turns with the distance."""
    x, y, heading, poses = 0.0, 0.0, 0.0, []
    for accel, curvature in action.tolist():
        accel = accel * space.accel_std + space.accel_mean
        curvature = curvature * space.curvature_std + space.curvature_mean
        after, turn = speed + accel * space.dt, curvature * (speed * space.dt + accel * space.dt**2 / 2)
        x += space.dt / 2 * (speed * math.cos(heading) + after * math.cos(heading + turn))
        y += space.dt / 2 * (speed * math.sin(heading) + after * math.sin(heading + turn))
        speed, heading = after, heading + turn
        poses.append((x, y, height, heading))
    return np.array(poses)


@given(spaces(), st.integers(1, 3), floats(-1, 20), SEEDS)
def test_actions_are_driven_step_by_step(space, batch, speed, seed):
    action = numbers(seed, batch, space.n_waypoints, 2)
    history, height = torch.zeros(batch, 1, 3), float(np.float32(0.3))
    history[..., 2] = height
    start = torch.linspace(speed, speed + 1, batch)
    xyz, rot = space.action_to_traj(action, history, torch.eye(3).expand(batch, 1, 3, 3), {"v": start})
    for row in range(batch):
        wanted = driven(space, action[row], start[row].item(), height)
        np.testing.assert_allclose(xyz[row].numpy(), wanted[:, :3], atol=2e-3, rtol=1e-4)
        np.testing.assert_allclose(
            rot[row].numpy(), rotation_about_z(torch.from_numpy(wanted[:, 3])).numpy(), atol=1e-3
        )


@given(st.integers(4, 9), st.integers(1, 3), st.sampled_from([0.1, 0.5]), st.booleans(), floats(1e-4, 1), SEEDS)
def test_smoothed_sequences_are_numpys_least_squares(size, order, dt, has_first, weight, seed):
    """Of equations, weighted differences and a ridge, one below the other."""
    generator = np.random.default_rng(seed)
    rows, wanted, ridge = generator.standard_normal((size + 2, size)), generator.standard_normal(size + 2), 1e-3
    difference = np.diff(np.eye(size), n=order, axis=0) / dt**order
    stacked = np.concatenate([rows, math.sqrt(weight) * difference, math.sqrt(ridge) * np.eye(size)])
    right = np.concatenate([wanted, np.zeros(len(stacked) - size - 2)])
    normal, target = (torch.from_numpy(each) for each in (rows.T @ rows, rows.T @ wanted))
    first = float(generator.standard_normal()) if has_first else None
    given_first = torch.tensor(first, dtype=torch.float64) if has_first else None
    found = solve_smoothed(normal, target, order, dt, weight, ridge, given_first).numpy()
    if has_first:
        rest = np.linalg.lstsq(stacked[:, 1:], right - stacked[:, 0] * first, rcond=None)[0]
        exact = np.concatenate([[first], rest])
    else:
        exact = np.linalg.lstsq(stacked, right, rcond=None)[0]
    np.testing.assert_allclose(found, exact, atol=1e-6 * max(1, np.abs(exact).max()), rtol=1e-5)


@given(st.integers(1, 6), st.sampled_from([0.1, 0.5]), SEEDS)
def test_speeds_along_headings_have_the_equations_of_the_trapezoidal_rule(steps, dt, seed):
    generator = np.random.default_rng(seed)
    heading, displacement = generator.uniform(-3, 3, steps + 1), generator.standard_normal((steps, 2))
    rows = np.zeros((2 * steps, steps + 1))
    for t in range(steps):
        for axis, function in enumerate((np.cos, np.sin)):
            rows[2 * t + axis, t], rows[2 * t + axis, t + 1] = function(heading[t]), function(heading[t + 1])
    right = displacement.reshape(-1) * 2 / dt
    normal, target = trapezoid_equations(torch.from_numpy(displacement), torch.from_numpy(heading), dt)
    np.testing.assert_allclose(normal.numpy(), rows.T @ rows, atol=1e-9)
    np.testing.assert_allclose(target.numpy(), rows.T @ right, atol=1e-9)


@given(floats(4, 20), st.integers(1, 2), SEEDS)
def test_the_actions_of_a_gentle_drive_come_back_and_so_do_its_poses_from_tokens(speed, batch, seed):
    space = UnicycleAccelCurvatureActionSpace(accel_std=0.5, curvature_std=0.01, n_waypoints=16)
    time = torch.arange(16) / 16
    waves = numbers(seed, batch, 2, 1)
    action = (waves.clamp(-1, 1) * torch.sin(2 * time + numbers(seed + 1, batch, 2, 1))).mT
    history, start = (torch.zeros(batch, 1, 3), torch.eye(3).expand(batch, 1, 3, 3)), {"v": torch.full((batch,), speed)}
    poses = space.action_to_traj(action, *history, start)
    found = space.traj_to_action(*history, *poses, start)
    again = space.action_to_traj(found, *history, start)
    assert (again[0] - poses[0]).abs().max() < 0.05
    assert torch.allclose(
        space.traj_to_action(history[0][:1], history[1][:1], poses[0][:1], poses[1][:1], {"v": start["v"][:1]}),
        found[:1],
        atol=1e-5,
    )
    xs = torch.stack([speed * torch.arange(-4, 1) * space.dt, torch.zeros(5), torch.zeros(5)], dim=-1).expand(
        batch, -1, -1
    )
    eyes = torch.eye(3).expand(batch, 5, 3, 3)
    tokenizer = DiscreteTrajectoryTokenizer(space, [-8, -8], [8, 8], 3000)
    tokens = tokenizer.encode(xs, eyes, *poses)
    assert tokens.shape == (batch, 32)
    decoded = tokenizer.decode(xs, eyes, tokens)[0]
    assert (decoded - poses[0]).abs().max() < 0.3


@given(spaces(), st.integers(2, 900), SEEDS)
def test_tokens_of_actions_say_which_actions(space, count, seed):
    """Decoding is driving what the bins' middles say, whatever the tokens are."""
    tokenizer = DiscreteTrajectoryTokenizer(space, [-2, -3], [2, 4], count)
    tokens = torch.from_numpy(np.random.default_rng(seed).integers(0, count, (2, space.n_waypoints * 2)))
    xs = torch.stack([torch.arange(-3.0, 1) * 0.4, torch.zeros(4), torch.ones(4)], dim=-1).expand(2, -1, -1)
    eyes = torch.eye(3).expand(2, 4, 3, 3)
    found = tokenizer.decode(xs, eyes, tokens)
    shares = tokens.view(2, -1, 2).double() / (count - 1)
    action = (shares * torch.tensor([4.0, 7.0]) + torch.tensor([-2.0, -3.0])).float()
    wanted = space.action_to_traj(action, xs, eyes)
    torch.testing.assert_close(found[0], wanted[0], atol=1e-3, rtol=1e-3)


@given(st.integers(1, 3), st.integers(1, 2), st.integers(1, 4), st.integers(1, 6), st.booleans(), st.data(), SEEDS)
def test_errors_of_the_best_sample_are_found_one_by_one(batch, sets, samples, waypoints, only_xy, data, seed):
    pred, truth = numbers(seed, batch, sets, samples, waypoints, 3), numbers(seed + 1, batch, waypoints, 3)
    horizon = data.draw(st.one_of(st.none(), st.integers(1, waypoints)))
    kept = slice(0, 2 if only_xy else 3)
    ade, fde = minADE(pred, truth, horizon, only_xy), minFDE(pred, truth, horizon, only_xy)
    for row in range(batch):
        averages, ends = [], []
        for group in pred[row].double().numpy():
            distances = np.sqrt(((group - truth[row].double().numpy())[..., kept] ** 2).sum(axis=-1))
            best = distances[distances.mean(axis=1).argmin()]
            averages.append(best[:horizon].mean())
            ends.append(min(distances[:, :horizon][:, -1]))
        assert ade[row].item() == pytest.approx(np.mean(averages), rel=1e-4)
        assert fde[row].item() == pytest.approx(np.mean(ends), rel=1e-4)


@given(st.integers(1, 3), st.integers(1, 5), SEEDS)
def test_poses_seen_from_the_last_are_poses_and_end_at_the_origin(batch, poses, seed):
    generator = np.random.default_rng(seed)
    rot = torch.from_numpy(np.linalg.qr(generator.standard_normal((batch, poses, 3, 3)))[0])
    rot[..., 0] *= torch.linalg.det(rot).sign()[..., None]
    xyz = torch.from_numpy(generator.standard_normal((batch, poses, 3)) * 50)
    found, turned = in_frame_of_last(xyz, rot, xyz[:, -1], rot[:, -1])
    check_poses("history", found.float(), turned.float(), ends_at_origin=True)
    back = torch.einsum("bij,bpj->bpi", rot[:, -1], found) + xyz[:, -1:]
    torch.testing.assert_close(back, xyz)
    torch.testing.assert_close(torch.einsum("bij,bpjk->bpik", rot[:, -1], turned), rot)
    with pytest.raises(InputError, match="no rotation"):
        check_poses("history", found, turned * torch.tensor([1.0, 1.0, -1.0]), ends_at_origin=False)


@given(st.integers(1, 60), st.integers(1, 30), st.booleans(), st.booleans())
def test_a_vocabulary_gets_each_value_once_and_is_known_again(values, words, add_special_tokens, later):
    def plain():
        known = {word: i for i, word in enumerate(["<unk>", *(f"w{i}" for i in range(words)), "<|image_pad|>"])}
        return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(known, "<unk>")), unk_token="<unk>")

    tokenizer, before = plain(), len(plain())
    found = add_trajectory_tokens(tokenizer, values, add_special_tokens, later)
    names = LATER_TOKENS if later else SPECIAL_TOKENS
    added = [f"<i{i}>" for i in range(values)]
    added += [token for token in (names if add_special_tokens else TRAJ_TOKEN).values() if token != "<|image_pad|>"]
    assert tokenizer.convert_tokens_to_ids(added) == list(range(before, before + len(added)))
    assert found["traj_token_start_idx"] == before and found["vocab_size"] == len(tokenizer) == before + len(added)
    assert add_trajectory_tokens(tokenizer, values, add_special_tokens, later) == found
    for key, id_of in found["special_token_ids"].items():
        if add_special_tokens and key != "image_pad":
            assert special_token_id(key, found["traj_token_ids"], True) == id_of
    config = SimpleNamespace(
        traj_token_start_idx=before, traj_vocab_size=values, traj_token_ids=found["traj_token_ids"]
    )
    ids = torch.arange(len(tokenizer))
    markers = {found["traj_token_ids"][name] for name in ("future_start", "future_end")}
    wanted = [before <= i < before + values or i in markers for i in ids.tolist()]
    assert is_of_trajectory(ids, config).tolist() == wanted
