"""The picture of `vlahub evaluate` for robots: its lines are the actions, its bars the figures that are written."""

import numpy as np
import pytest
from picture_checks import check_texts, words_of

from vlahub.conversion.predictions.action_plot import evaluation_figure
from vlahub.conversion.predictions.evaluated_data import json_ready
from vlahub.training.action_errors import action_errors, executed_actions
from vlahub.training.gripper_events import gripper_events


def evaluated(names, grippers=(), episodes=2, frames=30, steps=4, stride=1, scale=1.0):
    """Chunks at some frames of some episodes, and the figures of them, as `vlahub evaluate` has them."""
    random = np.random.RandomState(0)
    frame = np.arange(0, frames, stride)
    episode, frame = np.repeat(np.arange(3, 3 + episodes), len(frame)), np.tile(frame, episodes)
    time = frame[:, None] + np.arange(steps)
    recorded = scale * np.sin(time[..., None] / 5 + random.rand(len(names)) * 6)
    predicted = recorded + scale * 0.2 * random.randn(*recorded.shape)
    for i in grippers:
        recorded[..., i], predicted[..., i] = time // 10 % 2, (time - 1) // 10 % 2
    pads = time >= frames
    actions = executed_actions(episode, frame, predicted, recorded, pads)
    figures = {"checkpoint": "my-vla", "dataset": "blocks", "samples": len(frame), "episodes": np.unique(episode)}
    events = [{"dimension": i, "name": names[i], **gripper_events(actions, i, 5)} for i in grippers]
    figures |= {"dimensions": names, "gripper": events, **action_errors(predicted, recorded, pads)}
    return actions, json_ready(figures)


def panels(figure, title):
    """The axes that a row has, by its title: those of the episodes, and that of the steps."""
    [text] = [text for text in figure.texts if text.get_text().startswith(title)]
    top = text.get_position()[1]
    return [axes for axes in figure.axes if 0 < top - axes.get_position().y1 < 0.3 / figure.get_figheight()]


@pytest.mark.parametrize(("stride", "fps"), [(1, 10.0), (7, None)])
def test_lines_are_the_actions_over_time_and_bars_the_errors_by_step(stride, fps):
    names = ["x", "y $", "hand"]
    actions, result = evaluated(names, [2], episodes=4, stride=stride)
    figure = evaluation_figure(actions, result, ["m", "", ""], fps, episodes=3)
    for i, (name, title) in enumerate(zip(names, ["x (m):", "y $:", "hand:"], strict=True)):
        *shown, steps = panels(figure, title)
        assert len(shown) == 3
        for axes, episode in zip(shown, (3, 4, 5), strict=True):
            rows = actions.episode == episode
            for line in axes.lines[:2]:
                time, values = line.get_data()
                kept = ~np.isnan(values)
                np.testing.assert_array_equal(time[kept], actions.frame[rows] / (fps or 1))
                np.testing.assert_array_equal(values[kept], getattr(actions, line.get_label())[rows, i])
                assert (~kept).sum() == (4 if stride == 7 else 0)  # between chunks that do not meet
        heights = [bar.get_height() for bar in steps.patches]
        assert heights == [step[i] for step in result["per_step"]["mae"]], name
        assert steps.lines[0].get_ydata()[0] == result["recorded_std"][i]
    read = words_of(figure)
    assert ("time (s)" in read) == (fps is not None) and ("frame" in read) == (fps is None)
    assert f"x (m):  MAE {result['mae'][0]:.3g},  RMSE {result['rmse'][0]:.3g}" in read and "episode 5" in read
    assert "episode 6" not in read and f"mean absolute error {result['action_error']:.4g}" in read


def marked_switches(axes):
    return {line.get_label(): line.get_xdata().tolist() for line in axes.lines if line.get_marker() in ("^", "v")}


@pytest.mark.parametrize("fps", [None, 10.0])
def test_switches_of_a_gripper_are_marked_where_they_are(fps):
    actions, result = evaluated(["x", "hand"], [1], episodes=1)
    figure = evaluation_figure(actions, result, ["", ""], fps)
    axes, _ = panels(figure, "hand:")
    frames = {"recorded up": [10], "recorded down": [20], "predicted up": [11], "predicted down": [1, 21]}
    assert marked_switches(axes) == {name: [frame / (fps or 1) for frame in found] for name, found in frames.items()}
    heights = {line.get_label(): line.get_ydata()[0] for line in axes.lines if line.get_marker() in ("^", "v")}
    assert heights["recorded up"] == heights["recorded down"] > heights["predicted up"]  # recorded at the top
    assert "2 of 2 switches met, 3 predicted" in words_of(figure)
    assert "in the units of the dataset's actions" in words_of(figure)


def test_switches_are_those_of_their_own_episode_and_none_is_between_chunks_that_do_not_meet():
    actions, result = evaluated(["x", "hand"], [1], stride=7)
    second = actions.episode == 4
    actions.recorded[second, 1] = actions.predicted[second, 1] = actions.frame[second] == 8
    figure = evaluation_figure(actions, result, ["", ""], None)
    *shown, _ = panels(figure, "hand:")
    # Chunks reach the frames 0 to 3, 7 to 10, 14 to 17, ...: at 14 and 21 nobody knows what was before.
    once = {"recorded up": [10], "recorded down": [], "predicted up": [], "predicted down": [1]}
    there_and_back = {"recorded up": [8], "recorded down": [9], "predicted up": [8], "predicted down": [9]}
    assert [marked_switches(axes) for axes in shown] == [once, there_and_back]


@pytest.mark.parametrize(("count", "episodes"), [(2, 3), (10, 3), (11, 1)])
def test_panels_stand_side_by_side_in_two_blocks_of_one_episode_where_there_are_many(count, episodes):
    names = [f"joint_{i}" for i in range(count)]
    actions, result = evaluated(names, [0], episodes=4, frames=6, steps=2)
    figure = evaluation_figure(actions, result, ["rad"] + [""] * (count - 1), None, episodes=3)
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(boxes) == count * (episodes + 1)
    for i, box in enumerate(boxes):
        assert 0 < box.x0 < box.x1 < 1 and 0 < box.y0 < box.y1 < 1
        assert not any(box.overlaps(other) for other in boxes[:i])
    *shown, steps = panels(figure, "joint_0 (rad):")[: episodes + 1]  # without the second block
    limits = {axes.get_ylim() for axes in shown}
    assert len(shown) == episodes and len(limits) == 1  # of one dimension they can be compared
    lows, highs = zip(*(line.get_ydata()[[0, -1]] for axes in shown for line in axes.lines[:2]), strict=True)
    (low, high) = limits.pop()
    assert low < min(lows) - 0.2 and high > max(highs) + 0.2  # with room for switches
    top, bottom = steps.get_ylim()[::-1]
    assert bottom == 0 and top > max(result["recorded_std"][0], *(step[0] for step in result["per_step"]["mae"]))
    read = words_of(figure)
    assert f"of 4 episodes, drawn: {episodes}" in read and "in the units of" not in read


def test_a_gripper_that_is_never_moved_is_said_to_be_so_and_has_no_threshold():
    actions, result = evaluated(["x", "hand"], [1], episodes=1, frames=9)
    figure = evaluation_figure(actions, result, ["", ""], None)
    [axes, _] = panels(figure, "hand:")
    assert "never switches" in words_of(figure) and "switches met" not in words_of(figure)
    assert len(axes.lines) == 2 and "gripper switches up or down" not in words_of(figure)


@pytest.mark.parametrize("case", ["seven", "thirty-two", "one step that never moves", "large and small numbers"])
def test_nothing_lies_on_anything_else(case):
    long = [f"observation_of_the_left_arm_joint_{i}.position.pos" for i in range(32)]
    given = {
        "seven": (["x", "y", "z", "roll", "pitch", "yaw", "gripper"], [6], {"episodes": 5, "steps": 8}),
        "thirty-two": (long, [15, 31], {"steps": 50}),
        "one step that never moves": (["0"], [0], {"episodes": 1, "frames": 1, "steps": 1}),
        "large and small numbers": (long[:3], [], {"scale": np.array([1e-7, 1, 123456.0])}),
    }[case]
    actions, result = evaluated(given[0], given[1], **given[2])
    figure = evaluation_figure(actions, result, ["rad"] * len(given[0]), 30.0)
    check_texts(figure)
    assert figure.get_figwidth() == 12 and len([a for a in figure.axes if a.patches]) == len(given[0])
