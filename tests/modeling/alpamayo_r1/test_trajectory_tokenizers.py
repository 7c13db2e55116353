"""Trajectory tokenizers: the published tokens, both readings of the heading, batches, refusals."""

import math

import numpy as np
import pytest
import torch

from vlahub.errors import ConfigError, InputError
from vlahub.modeling.alpamayo_r1.trajectory_bins import Bins
from vlahub.modeling.alpamayo_r1.trajectory_tokenizers import (
    DeltaTrajectoryTokenizer,
    DiscreteTrajectoryTokenizer,
    fitted_slopes,
    tokenize_history,
)
from vlahub.modeling.alpamayo_r1.unicycle_action_space import (
    UnicycleAccelCurvatureActionSpace,
    rotation_about_z,
    yaw_of,
)


def circle(radius=20.0, turn=0.05, poses=16):
    """Poses (1, poses, 3) and rotations of a left turn from the origin, the first one step ahead."""
    yaw = turn * torch.arange(1, poses + 1.0)
    xyz = torch.stack([radius * yaw.sin(), radius * (1 - yaw.cos()), 0 * yaw], dim=-1)
    return xyz[None], rotation_about_z(yaw)[None]


def encoded(tokenizer, xyz, rot):
    return tokenizer.encode(xyz[..., :1, :], rot[..., :1, :, :], xyz, rot)


# ---- steps


@pytest.mark.parametrize("name", ["no_yaw", "yaw", "coarse_yaw"])
def test_steps_have_the_published_tokens(golden, name):
    case = golden("alpamayo/delta_tokenizer")
    xyz, rot = case.input("xyz"), case.input("rot")
    tokenizer = DeltaTrajectoryTokenizer(**case.config["tokenizers"][name])
    tokens = encoded(tokenizer, xyz, rot)
    case.check(f"{name}.tokens", tokens)
    for prefix, ids in ((f"{name}.decoded", tokens), (f"{name}.tokens_in", case.input(f"{name}.tokens_in"))):
        decoded_xyz, decoded_rot, times = tokenizer.decode(xyz, rot, ids)
        case.check(f"{prefix}_xyz", decoded_xyz)
        case.check(f"{prefix}_rot", decoded_rot)
        assert times is None
    assert tokenizer.vocab_size == case.config["tokenizers"][name].get("num_bins", 1000)


def test_a_history_has_the_published_token_ids_and_groups_follow_each_other(golden):
    case = golden("alpamayo/delta_tokenizer")
    start = case.config["history_start_idx"]
    xyz, rot = case.input("xyz"), case.input("rot")
    ids = tokenize_history(DeltaTrajectoryTokenizer(), xyz[:, None], rot[:, None], start)
    case.check("history_ids", ids)
    grouped = tokenize_history(DeltaTrajectoryTokenizer(), xyz.unflatten(0, (2, 2)), rot.unflatten(0, (2, 2)), start)
    assert torch.equal(grouped, ids.view(2, 96))


def test_positions_come_back_within_half_a_bin_a_step():
    xyz, rot = circle()
    tokenizer = DeltaTrajectoryTokenizer()
    found, _, _ = tokenizer.decode(xyz, rot, encoded(tokenizer, xyz, rot))
    bound = torch.arange(1, 17)[:, None] * torch.tensor([8.0, 8.0, 20.0]) / 999 / 2
    assert ((found - xyz).abs() <= bound + 1e-5).all()


def test_a_step_out_of_range_is_cut_to_it():
    xyz, rot = circle()
    tokenizer = DeltaTrajectoryTokenizer()
    tokens = encoded(tokenizer, xyz - torch.tensor([15.0, -9.0, 0.0]), rot)
    assert tokens[0, :3].tolist() == [0, 999, 500]
    assert torch.equal(tokens[:, 3:], encoded(tokenizer, xyz, rot)[:, 3:])


def test_published_headings_of_turn_tokens_are_mirrored_and_fixed_ones_are_not():
    xyz, rot = circle()
    tokenizer = DeltaTrajectoryTokenizer(predict_yaw=True)
    tokens = encoded(tokenizer, xyz, rot)
    _, mirrored, _ = tokenizer.decode(xyz, rot, tokens)
    _, fixed, _ = tokenizer.decode(xyz, rot, tokens, yaw_convention="fixed")
    torch.testing.assert_close(yaw_of(fixed), yaw_of(rot), atol=16 * math.pi / 999, rtol=0)
    torch.testing.assert_close(yaw_of(mirrored), -yaw_of(fixed))


def test_a_turn_across_the_back_is_a_small_one():
    yaw = torch.tensor([[1.5, 3.0, -3.1]])
    tokenizer = DeltaTrajectoryTokenizer(predict_yaw=True)
    tokens = encoded(tokenizer, torch.zeros(1, 3, 3), rotation_about_z(yaw))
    turns = -(tokens.view(1, 3, 4)[..., 3] / 999 * 2 * math.pi - math.pi)
    torch.testing.assert_close(turns, torch.tensor([[1.5, 1.5, 2 * math.pi - 6.1]]), atol=0.004, rtol=0)


def test_a_standing_car_heads_45_degrees_as_published_and_ahead_when_fixed():
    xyz, rot = torch.zeros(1, 16, 3), torch.eye(3).expand(1, 16, 3, 3)
    tokenizer = DeltaTrajectoryTokenizer()
    tokens = encoded(tokenizer, xyz, rot)
    _, published, _ = tokenizer.decode(xyz, rot, tokens)
    torch.testing.assert_close(yaw_of(published), torch.full((1, 16), math.pi / 4), atol=1e-3, rtol=0)
    _, fixed, _ = tokenizer.decode(xyz, rot, tokens, yaw_convention="fixed")
    torch.testing.assert_close(fixed, rot)


def test_a_car_that_stops_keeps_its_heading_when_fixed():
    xyz, rot = circle(poses=40)
    xyz, rot = (
        torch.cat([xyz, xyz[:, -1:].expand(-1, 20, -1)], 1),
        torch.cat([rot, rot[:, -1:].expand(-1, 20, -1, -1)], 1),
    )
    tokenizer = DeltaTrajectoryTokenizer()
    tokens = encoded(tokenizer, xyz, rot)
    _, published, _ = tokenizer.decode(xyz, rot, tokens)
    _, fixed, _ = tokenizer.decode(xyz, rot, tokens, yaw_convention="fixed")
    torch.testing.assert_close(fixed[:, :40], published[:, :40])
    torch.testing.assert_close(yaw_of(fixed)[0, 40:], torch.full((20,), 2.0), atol=0.1, rtol=0)
    assert (yaw_of(published)[0, 40:] - 2).abs().max() > 1


def test_a_car_that_trembles_where_it_stands_keeps_its_heading_when_fixed():
    """Its steps are more than a bin, and what a cubic fits to them is less."""
    xyz, rot = torch.zeros(1, 16, 3), torch.eye(3).expand(1, 16, 3, 3)
    xyz[:, ::2, 1] = 0.012
    tokenizer = DeltaTrajectoryTokenizer()
    tokens = encoded(tokenizer, xyz, rot)
    assert (tokens.view(1, 16, 3)[..., 1] - 499.5).abs().min() > 1
    _, published, _ = tokenizer.decode(xyz, rot, tokens)
    assert yaw_of(published).abs().max() > 0.8
    _, fixed, _ = tokenizer.decode(xyz, rot, tokens, yaw_convention="fixed")
    torch.testing.assert_close(fixed, rot)


@pytest.mark.parametrize("poses", [2, 3, 4, 7, 10, 23])
@pytest.mark.filterwarnings("ignore:Polyfit may be poorly conditioned")
def test_slopes_are_those_of_numpys_polynomial_fit(poses):
    positions = torch.randn(2, poses, 2, generator=torch.Generator().manual_seed(poses), dtype=torch.float64)
    length, wanted = min(10, poses), torch.zeros(2, poses, 2)
    for row in range(2):
        for pose in range(poses):
            start = min(max(pose - 5, 0), poses - length)
            window = positions[row, start : start + length].numpy()
            for axis in range(2):
                cubic = np.polyfit(np.arange(length), window[:, axis], 3)
                wanted[row, pose, axis] = np.polyval(np.polyder(cubic), pose - start)
    torch.testing.assert_close(fitted_slopes(positions), wanted.double(), atol=1e-5, rtol=1e-5)


def test_low_precision_poses_and_batches_make_the_same_tokens():
    xyz, rot = circle(radius=16.0)
    xyz = xyz.bfloat16()
    tokenizer = DeltaTrajectoryTokenizer(predict_yaw=True)
    tokens = encoded(tokenizer, xyz, rot)
    assert torch.equal(tokens, encoded(tokenizer, xyz.float(), rot))
    batch = encoded(tokenizer, xyz.expand(2, 3, 16, 3), rot.expand(2, 3, 16, 3, 3))
    assert torch.equal(batch, tokens.expand(2, 3, 64))
    decoded_xyz, decoded_rot, _ = tokenizer.decode(xyz, rot, batch)
    assert decoded_xyz.shape == (2, 3, 16, 3) and decoded_rot.shape == (2, 3, 16, 3, 3)
    assert decoded_xyz.dtype == torch.float32


def test_what_is_no_step_is_refused():
    xyz, rot = circle()
    tokenizer = DeltaTrajectoryTokenizer(num_bins=60)
    tokens = encoded(tokenizer, xyz, rot)
    with pytest.raises(InputError, match="fut_xyz holds NaN"):
        encoded(tokenizer, xyz.masked_fill(xyz == xyz.max(), torch.nan), rot)
    with pytest.raises(InputError, match="47 tokens"):
        tokenizer.decode(xyz, rot, tokens[:, 1:])
    with pytest.raises(InputError, match=r"to 60; they must lie in 0\.\.59"):
        tokenizer.decode(xyz, rot, torch.full((1, 48), 60))
    with pytest.raises(InputError, match="yaw_convention='right'"):
        tokenizer.decode(xyz, rot, tokens, yaw_convention="right")
    with pytest.raises(InputError, match=r"ego_history_xyz has shape \(1, 16, 3\)"):
        tokenize_history(tokenizer, xyz, rot)
    with pytest.raises(ConfigError, match="num_bins=1"):
        DeltaTrajectoryTokenizer(num_bins=1)
    with pytest.raises(ConfigError, match=r"from \[-1\] to \[1, 2\]"):
        Bins([-1], [1, 2], 3)
    with pytest.raises(ConfigError, match=r"from \[4, -4, -10\] to \[4, 4, 10\]"):
        DeltaTrajectoryTokenizer(ego_xyz_min=(4, -4, -10))


def test_what_is_not_finite_still_has_a_token_of_the_bins():
    """On a device it is refused later, after the ids were looked up."""
    values = torch.tensor([[torch.nan], [torch.inf], [-torch.inf]])
    assert Bins([-1], [1], 5).encode(values).tolist() == [[0], [4], [0]]


def test_outside_is_what_lies_more_than_half_a_bin_from_the_ends():
    values = torch.tensor([[-1.3], [-1.2], [0.0], [1.2], [1.3]])
    assert Bins([-1], [1], 5).outside(values).flatten().tolist() == [True, False, False, False, True]


# ---- actions


def discrete(config):
    space = UnicycleAccelCurvatureActionSpace(**config["action_space"])
    return DiscreteTrajectoryTokenizer(space, config["dims_min"], config["dims_max"], config["num_bins"])


def test_actions_have_the_published_tokens(golden):
    case = golden("alpamayo/discrete_tokenizer")
    history = case.input("history_xyz"), case.input("history_rot")
    tokenizer = discrete(case.config)
    found = tokenizer.encode(*history, case.input("future_xyz"), case.input("future_rot"))
    tokens = torch.tensor(case["outputs"]["tokens"]["values"]).view(4, 128)
    assert found.shape == tokens.shape and found.dtype == torch.int64 and tokenizer.vocab_size == 3000
    assert (found - tokens).abs().max() <= 1 and (found != tokens).float().mean() < 0.02
    for prefix, ids in (("decoded", tokens), ("tokens_in", case.input("tokens_in"))):
        xyz, rot, times = tokenizer.decode(*history, ids)
        case.check(f"{prefix}_xyz", xyz)
        case.check(f"{prefix}_rot", rot)
        assert times is None


def test_tokens_of_decoded_actions_are_the_tokens_again(golden):
    case = golden("alpamayo/discrete_tokenizer")
    tokenizer = discrete(case.config)
    action = torch.tensor([[-10.0, 10.0], [11.0, 0.0]])
    assert tokenizer.bins.encode(action).tolist() == [[0, 2999], [2999, 1500]]
    tokens = case.input("tokens_in").view(4, 64, 2)
    assert torch.equal(tokenizer.bins.encode(tokenizer.bins.decode(tokens)), tokens)


def test_actions_of_any_batch_shape_are_what_they_are_alone(golden):
    case = golden("alpamayo/discrete_tokenizer")
    tokenizer = discrete(case.config)
    parts = [case.input(name) for name in ("history_xyz", "history_rot", "future_xyz", "future_rot")]
    tokens = tokenizer.encode(*parts)
    nested = [part.unflatten(0, (2, 2)) for part in parts]
    assert torch.equal(tokenizer.encode(*nested), tokens.view(2, 2, 128))
    xyz, _, _ = tokenizer.decode(*nested[:2], tokens.view(2, 2, 128))
    torch.testing.assert_close(xyz.flatten(0, 1), tokenizer.decode(*parts[:2], tokens)[0])


def test_what_is_no_action_is_refused(golden):
    case = golden("alpamayo/discrete_tokenizer")
    history = case.input("history_xyz"), case.input("history_rot")
    with pytest.raises(InputError, match="127 tokens were given; a trajectory has 128"):
        discrete(case.config).decode(*history, torch.zeros(4, 127, dtype=torch.long))
    with pytest.raises(InputError, match="from -1 to 0"):
        discrete(case.config).decode(*history, torch.tensor([-1, 0]).repeat(4, 64))
    with pytest.raises(ConfigError, match=r"dims_min=\[-10\].* 2 dimensions"):
        discrete({**case.config, "dims_min": [-10], "dims_max": [10]})
