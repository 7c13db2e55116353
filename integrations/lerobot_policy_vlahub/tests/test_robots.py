"""`lerobot-rollout` of LeRobot 0.6, and `lerobot-record` of 0.4, move a drawn robot by a policy's folder."""

import drawn_arm
import numpy as np
import pytest
from lerobot_lines import ROBOT_COMMAND
from lerobot_policy_vlahub.__main__ import write_policy
from lerobot_policy_vlahub.modeling_vlahub import VlahubPolicy
from observations import TASKS, predicted_by_vlahub, seen
from scripts import run


def test_a_robot_is_told_the_actions_of_what_it_sees(make_checkpoint, tmp_path):
    checkpoint = make_checkpoint("cogvla", processor={"view_names": ["primary", "wrist"]})
    write_policy(tmp_path / "policy", checkpoint=str(checkpoint))
    drawn_arm.SENT.clear()
    name, options = ROBOT_COMMAND
    fixed = {"robot.discover_packages_path": "drawn_arm", "robot.type": "drawn_arm", "policy.device": "cpu"}
    fixed |= {"policy.path": tmp_path / "policy", "play_sounds": "false"}
    options = options(TASKS[0], tmp_path / "recorded")
    run(name, *(f"--{option}={value}" for option, value in (fixed | options).items()))
    policy = VlahubPolicy.from_pretrained(tmp_path / "policy")
    [chunk] = predicted_by_vlahub(policy, seen(1), TASKS[:1]).numpy()
    sent = np.array(drawn_arm.SENT, np.float32)
    assert len(sent) > 8
    assert np.array_equal(sent[:8], np.concatenate([chunk, chunk]))


@pytest.fixture(autouse=True)
def no_display(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
