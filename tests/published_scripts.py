"""The client sides of published evaluation scripts, told again: the same calls and payloads, a simulator in between.

- openpi: examples/libero/main.py, examples/droid/main.py, examples/aloha_real/env.py with main.py
- OpenVLA: the call in vla-scripts/deploy.py
- OpenVLA-OFT: experiments/robot/aloha/run_aloha_eval.py with openvla_utils.get_action_from_server
"""

from collections import deque

import numpy as np
import requests
from openpi_client import image_tools
from openpi_client.runtime import environment


class Scenes:
    """A simulator that shows something else at each step, and writes down what it was told to do.

    Args:
        sizes: of what it tells by name: (height, width) of images, or (n,) of vectors.
    """

    def __init__(self, sizes):
        self.sizes, self.step_number, self.actions, self.asked = sizes, 0, [], []

    def look(self):
        draw = np.random.default_rng(self.step_number)
        pictures = {name: size for name, size in self.sizes.items() if len(size) == 2}
        found = {name: draw.integers(0, 256, (*size, 3), dtype=np.uint8) for name, size in pictures.items()}
        return found | {name: draw.uniform(-1, 1, size) for name, size in self.sizes.items() if len(size) == 1}

    def step(self, action):
        self.actions.append(np.array(action))
        self.step_number += 1
        return self.look()


def libero(client, scenes, task, steps, replan_steps, size=224):
    """Plans anew when its queue of actions is empty. scenes.asked: what it sent."""
    plan, seen = deque(), scenes.look()
    for _ in range(steps):
        if not plan:
            turned = {name: np.ascontiguousarray(seen[name][::-1, ::-1]) for name in ("agentview", "eye_in_hand")}
            small = {
                name: image_tools.convert_to_uint8(image_tools.resize_with_pad(image, size, size))
                for name, image in turned.items()
            }
            element = {
                "observation/image": small["agentview"],
                "observation/wrist_image": small["eye_in_hand"],
                "observation/state": np.concatenate((seen["eef_pos"], seen["axis_angle"], seen["gripper_qpos"])),
                "prompt": str(task),
            }
            scenes.asked.append(element)
            chunk = client.infer(element)["actions"]
            assert len(chunk) >= replan_steps
            plan.extend(chunk[:replan_steps])
        seen = scenes.step(plan.popleft().tolist())


def droid(client, scenes, instruction, steps, open_loop_horizon, shape):
    """Takes one action after the other of a chunk, of which it knows the shape."""
    done, chunk, seen = 0, None, scenes.look()
    for _ in range(steps):
        if done == 0 or done >= open_loop_horizon:
            done = 0
            request = {
                "observation/exterior_image_1_left": image_tools.resize_with_pad(seen["left_image"], 224, 224),
                "observation/wrist_image_left": image_tools.resize_with_pad(seen["wrist_image"], 224, 224),
                "observation/joint_position": seen["joint_position"],
                "observation/gripper_position": seen["gripper_position"],
                "prompt": instruction,
            }
            scenes.asked.append(request)
            chunk = client.infer(request)["actions"]
            assert chunk.shape == shape
        action, done = chunk[done], done + 1
        gripper = np.ones((1,)) if action[-1].item() > 0.5 else np.zeros((1,))
        seen = scenes.step(np.clip(np.concatenate([action[:-1], gripper]), -1, 1))


class AlohaEnvironment(environment.Environment):
    """Cameras (3, height, width) by name, the joints, and no prompt."""

    def __init__(self, scenes, steps, reset_position=None):
        self.scenes, self.steps, self.reset_position = scenes, steps, reset_position

    def reset(self):
        self.left = self.steps

    def is_episode_complete(self):
        self.left -= 1
        return self.left <= 0

    def get_observation(self):
        seen = self.scenes.look()
        images = {name: image for name, image in seen.items() if name.startswith("cam_")}
        small = {name: image_tools.resize_with_pad(image, 224, 224) for name, image in images.items()}
        found = {
            "state": seen["qpos"],
            "images": {name: np.moveaxis(image_tools.convert_to_uint8(each), -1, 0) for name, each in small.items()},
        }
        self.scenes.asked.append(found)
        return found

    def apply_action(self, action):
        self.scenes.step(action["actions"])


def openvla(url, scenes, task, steps, unnorm_key):
    """One action a request, after `json_numpy.patch()`."""
    for _ in range(steps):
        payload = {"image": scenes.look()["image"], "instruction": task, "unnorm_key": unnorm_key}
        scenes.asked.append(payload)
        scenes.step(requests.post(url + "/act", json=payload).json())


def oft_aloha(url, scenes, task, steps, open_loop_steps):
    """A queue of actions, after `json_numpy.patch()`."""
    actions, seen = deque(), scenes.look()
    for _ in range(steps):
        if not actions:
            views = {"full_image": "cam_high", "left_wrist_image": "cam_left_wrist"}
            views["right_wrist_image"] = "cam_right_wrist"
            observation = {name: seen[camera] for name, camera in views.items()}
            observation |= {"state": seen["qpos"], "instruction": task}
            scenes.asked.append(observation)
            answer = requests.post(url + "/act", json=observation).json()
            actions.extend(answer[:open_loop_steps])
        seen = scenes.step(actions.popleft().tolist())
