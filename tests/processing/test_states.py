"""The forms in which a robot's state is given, and states that the training data cannot have had."""

import copy
import warnings

import numpy as np
import pytest
import torch

from vlahub.conversion.serving.robot_policy import RobotPolicy
from vlahub.conversion.serving.server_metrics import ServerMetrics
from vlahub.errors import FarStateWarning, InputError

VIEWS = [np.full((40, 48, 3), 90, np.uint8)] * 2
STATE = [0.25 * i - 0.5 for i in range(8)]
FORMS = {
    "a list": STATE,
    "a tuple": tuple(STATE),
    "a row": [STATE],
    "a row and a step": [[STATE]],
    "float32": np.array(STATE, np.float32),
    "float16": np.array(STATE, np.float16),
    "big-endian": np.array(STATE, ">f8"),
    "backwards": np.array(STATE[::-1])[::-1],
    "not to be written": np.frombuffer(np.array(STATE).tobytes()),
    "a tensor": torch.tensor(STATE),
    "bfloat16 with a gradient": torch.tensor(STATE, dtype=torch.bfloat16, requires_grad=True),
    "a list of tensors": [torch.tensor(value, requires_grad=True) for value in STATE],
    "a list of numpy's": list(np.array(STATE, np.float32)),
    "mixed": [torch.tensor(STATE[0]), np.float32(STATE[1]), *STATE[2:]],
}
REFUSED = {
    "texts": ([str(value) for value in STATE], "state must be numbers, .state_dim,."),
    "truth values": ([True, False] * 4, "no real number"),
    "complex": (np.array(STATE) + 1j, "no real number"),
    "a dict": ({"joint": 1.0}, "state must be numbers"),
    "uneven": ([STATE, STATE[:3]], "state must be numbers"),
    "a number": (0.5, r"state has shape \(\); \(batch, state_dim\) is \(1, 8\)"),
    "a column": (np.array(STATE)[:, None], r"state has shape \(8, 1\); \(batch, state_dim\) is \(1, 8\)"),
    "two steps": ([[STATE, STATE]], r"state has shape \(1, 2, 8\)"),
    "beyond float32": ([1e39, *STATE[1:]], "not finite"),
    "no numbers": ([], r"state has shape \(1, 0\)"),
    "nowhere": (torch.empty(8, device="meta"), "state must be numbers"),
}


@pytest.fixture(scope="module")
def robot(family, family_checkpoint):
    if family.unnorm_key is None:
        pytest.skip("a car has no state")
    return family.processor.from_pretrained(family_checkpoint)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_state_is_the_same_state(form, robot):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = robot(images=VIEWS, text="go", state=FORMS[form])["state"]
    assert found.shape == (1, 8) and found.dtype == torch.float32
    torch.testing.assert_close(found, robot(images=VIEWS, text="go", state=STATE)["state"])


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_no_state_is_refused_by_its_form(form, robot):
    state, words = REFUSED[form]
    with pytest.raises(InputError, match=words):
        robot(images=VIEWS, text="go", state=state)


def with_statistics(robot, kind, **statistics):
    """The processor with other statistics of the state."""
    changed = copy.deepcopy(robot)
    changed.warned_of, changed.normalization_type = set(), kind
    for stats in changed.norm_stats.values():
        for part in changed.state_parts:
            stats.pop(part, None)
        stats[changed.state_parts[0]] = {name: [value] * 8 for name, value in statistics.items()}
    return changed


RANGES = {  # of 0 to 2, and what lies just inside and just outside of what is far
    "min and max": ("bounds", {"min": 0.0, "max": 2.0}, 6.0, 6.01),
    "quantiles within a longer range": (
        "bounds_q99",
        {"q01": 0.5, "q99": 1.5, "min": 0.0, "max": 2.0},
        -4.0,
        -4.01,
    ),
    "quantiles alone": ("bounds_q99", {"q01": 0.0, "q99": 2.0}, 6.0, 6.01),
    "mean and deviation": ("normal", {"mean": 1.0, "std": 1 / 3}, 5.99, 6.01),
    "what never changed": ("bounds", {"min": 50.0, "max": 50.0}, 149.0, 151.0),
    "what was always 0": ("bounds", {"min": 0.0, "max": 0.0}, -1.9, -2.1),
}


@pytest.mark.parametrize("name", RANGES)
def test_a_state_far_outside_of_the_statistics_is_warned_of(name, robot):
    kind, statistics, inside, outside = RANGES[name]
    usual = next(iter(statistics.values()))
    processor = with_statistics(robot, kind, **statistics)
    states = [[usual] * 3 + [value] + [usual] * 4 for value in (inside, outside)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        processor(images=VIEWS, text="go", state=states[0])
    with pytest.warns(FarStateWarning, match=rf"state\[3\] is {outside:g}, recorded were .* unnorm_key") as found:
        processor(images=[VIEWS, VIEWS], text=["go", "go"], state=states)
    assert found[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # named once
        processor(images=VIEWS, text="go", state=states[1])
    with pytest.warns(FarStateWarning, match=r"state\[0\] is 1e\+30"):
        processor(images=VIEWS, text="go", state=[1e30, *states[1][1:]])


def test_a_server_counts_such_states_and_begins_with_none(robot, family_checkpoint, family):
    processor = with_statistics(robot, "bounds", min=400.0, max=410.0)
    key = family.unnorm_key
    processor.norm_stats[key][processor.state_parts[0]]["names"] = [f"joint {i}" for i in range(8)]
    policy = RobotPolicy(family_checkpoint, processor, family.config.from_pretrained(family_checkpoint))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert policy.prepared(policy.blank()).far == ()
    observation = {"images": VIEWS, "instruction": "go", "unnorm_key": key}
    with pytest.warns(FarStateWarning, match=r"state\[2\] \(joint 2\) is 0, recorded were 400 to 410"):
        far = policy.prepared(observation | {"state": [405, 405, 0, 405, 405, 405, 405, 900]}).far
    metrics = ServerMetrics()
    for _ in range(2):
        metrics.add_far("my-vla", far)
    lines = [line for line in metrics.text({}).splitlines() if line.startswith("vlahub_far")]
    assert lines == [f'vlahub_far_states_total{{dimension="{i}",model="my-vla"}} 2' for i in (2, 7)]


@pytest.mark.parametrize("key", [5, 1.5, b"a", {}, {"demo_tabletop": 1}, object(), ["no"], [5], [[]], True])
def test_a_key_of_statistics_that_is_no_text_is_refused(key, robot):
    with pytest.raises(InputError, match="unnorm_key"):
        robot(images=VIEWS, text="go", state=STATE, unnorm_key=key)
