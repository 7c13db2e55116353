"""The drawn board: its expert reaches the block that is meant, chance does not, and a trained policy of each family
does."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from running_server import Running

from vlahub.conversion.serving.action_sessions import ActionSessions
from vlahub.conversion.serving.prediction_service import Batching, PredictionService
from vlahub.conversion.serving.robot_policy import robot_policy_of

sys.path.append(str(Path(__file__).parents[2] / "examples" / "closed_loop"))
from board_episodes import finished_episodes, served_policy, strip, success_rate
from demo_drawn_board import LEAST, RECIPES, UNSEEN, learned_checkpoint, loaded_policy
from drawn_board import COLOURS, LARGEST, SIDE, STEPS, DrawnBoard, draw_blocks

BOARDS = range(200)


@pytest.mark.parametrize("colour", COLOURS)
def test_the_expert_reaches_the_block_that_is_meant_from_everywhere(colour):
    for seed in BOARDS:
        world = DrawnBoard()
        world.reset(seed, colour)
        while not world.is_over:
            assert not world.succeeded
            world.step(world.expert())
        assert world.succeeded and world.steps == STEPS


def test_who_does_not_look_or_does_not_read_fails():
    """Chance, an arm that stays, one that goes to the middle, and one that goes to the other block."""
    draws = np.random.default_rng(0)

    def chance(observations):
        return draws.uniform(-LARGEST, LARGEST, (len(observations), 1, 2))

    def still(observations):
        return np.zeros((len(observations), 1, 2))

    def middle(observations):
        return np.array([[-each["state"]] for each in observations])

    assert max(success_rate(policy, BOARDS) for policy in (chance, still, middle)) < 0.1
    world = DrawnBoard()
    for seed in BOARDS:
        world.reset(seed)
        other = next(colour for colour in COLOURS if colour != world.colour)
        while not world.is_over:
            world.step(world.blocks[other] - world.arm)
        assert not world.succeeded


def test_a_block_is_drawn_where_it_lies_with_the_back_of_the_board_above():
    image = np.asarray(draw_blocks({"red": np.array([0.1, 0.12]), "blue": np.array([-0.1, -0.12])}))
    assert tuple(image[6, 24]) == COLOURS["red"] and tuple(image[25, 8]) == COLOURS["blue"]


def test_a_seed_is_a_board_and_the_colour_that_is_meant_is_in_the_words_alone():
    boards = [DrawnBoard().reset(seed, colour) for seed in (3, 4) for colour in ("red", "red", "blue")]
    assert all(np.array_equal(boards[0][name], boards[1][name]) for name in ("image", "state"))
    assert all(np.array_equal(boards[0][name], boards[2][name]) for name in ("image", "state"))
    assert boards[0]["instruction"] == boards[1]["instruction"] != boards[2]["instruction"]
    assert not np.array_equal(boards[0]["image"], boards[3]["image"])


@pytest.mark.parametrize("action", [[0.0], [0.0, np.nan], [0.0, 0.0, 0.0]], ids=str)
def test_what_is_no_motion_is_refused(action):
    world = DrawnBoard()
    world.reset(0)
    with pytest.raises(ValueError, match="an action is two finite numbers"):
        world.step(action)


def test_a_motion_is_cut_at_what_the_arm_can_do_and_at_the_edge():
    world = DrawnBoard()
    world.reset(0)
    world.way = [np.zeros(2)]
    assert np.allclose(world.step([9, -9])["state"], [LARGEST, -LARGEST])
    for _ in range(STEPS):
        state = world.step([9, -9])["state"]
    assert np.allclose(state, [0.2, -0.2])


@pytest.fixture(scope="module", params=[family for family in RECIPES if family != "multimodal_vla"])
def learned(request, tmp_path_factory):
    """(folder, checkpoint) of a family; `make demo-drawn-board` asks the same of multimodal_vla."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp(request.param)
    yield folder, learned_checkpoint(request.param, folder)
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.long
def test_a_trained_policy_succeeds_on_unseen_boards_and_an_untrained_one_does_not(learned):
    folder, checkpoint = learned
    assert success_rate(loaded_policy(checkpoint), UNSEEN) >= LEAST
    assert success_rate(loaded_policy(folder / "untrained", statistics_of=checkpoint), UNSEEN) < 0.2


@pytest.mark.slow
@pytest.mark.long
def test_the_same_policy_behind_a_port_does_the_same(learned):
    """Its actions are those of `predict_action`, so every arm ends where it ends without the server."""
    _, checkpoint = learned
    policy = robot_policy_of(checkpoint)
    policy.load("cpu")
    service = PredictionService()
    service.add("board", policy, Batching(), ActionSessions())
    running = Running(service)
    try:
        direct, served = loaded_policy(checkpoint), served_policy(running.url)
        alone = [finished_episodes(direct, [seed])[0] for seed in UNSEEN[:10]]
        asked = finished_episodes(served, UNSEEN[:10])
    finally:
        running.stop()
    assert [world.succeeded for world in asked] == [world.succeeded for world in alone]
    assert all(np.array_equal(one.arm, other.arm) for one, other in zip(asked, alone, strict=True))
    assert np.mean([world.succeeded for world in asked]) >= 0.9


def test_the_strip_shows_where_the_arm_was():
    picture = np.asarray(strip(lambda observations: np.full((len(observations), 3, 2), -0.01), 0, every=3))
    assert picture.shape == (160, 5 * 160 + 4 * 4, 3)
    world = DrawnBoard()
    world.reset(0)
    for column in range(5):
        x, y = world.arm - 0.01 * 3 * column
        row, across = int((SIDE / 2 - y) / SIDE * 160), int((SIDE / 2 + x) / SIDE * 160)
        assert tuple(picture[row, 164 * column + across]) == (20, 20, 24)
