"""Bodies of requests to a server: JSON of /act in its three forms, msgpack of openpi; and maps of observations."""

import base64
import io
import json
from pathlib import Path
from random import Random

import msgpack
import numpy as np
import yaml
from PIL import Image

from vlahub.conversion.serving.act_requests import read_act
from vlahub.conversion.serving.json_values import encoded
from vlahub.conversion.serving.limits import Limits
from vlahub.conversion.serving.msgpack_values import packed
from vlahub.conversion.serving.observation_map import read_map
from vlahub.conversion.serving.openpi_websocket import read_frame
from vlahub.conversion.serving.robot_policy import robot_policy_of

from ..byte_changes import changed_bytes
from ..json_changes import changed, changed_text, places
from ..robots import STATE, VIEWS, write_robot
from ..target import Target, accepted, keep, kept

ROBOTS = ("cogvla", "multimodal_vla")
MAP = {"images": ["top", "wrist"], "state": ["joints", "gripper"], "instruction": "prompt"}
ODD = (b"", b"\xff", 2**63, -1, 1.5, None, [], {}, "x", True, [2**40], [0], "<f8", "|O", "|S9", "<M8", b"data", [-1])


def png() -> str:
    buffer = io.BytesIO()
    Image.fromarray(VIEWS[0]).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


class Bodies(Target):
    name, slice = "bodies", 150

    def prepare(self, folder: Path) -> None:
        self.policies = {name: robot_policy_of(write_robot(name, folder / name)) for name in ROBOTS}
        for policy in self.policies.values():
            policy.load("cpu", quiet=True)
        rest = {"instruction": "pick up the block", "state": STATE}
        self.json = [
            encoded({"images": VIEWS, **rest}),
            encoded({"image": VIEWS[0], "instruction": "pick up the block", "wrist_image": VIEWS[1]}),
            encoded({"full_image": VIEWS[0], "wrist_image": VIEWS[1], **rest}),
            {"images": [png(), f"data:image/png;base64,{png()}"], **rest, "seed": 3, "session": "a", "reset": True},
            {"encoded": json.dumps(encoded({"images": VIEWS, **rest}))},
            encoded({"top": VIEWS[0], "wrist": VIEWS[1], "joints": STATE[:7], "gripper": 0.5, "prompt": "wave"}),
        ]
        state = np.array(STATE)
        self.frames = [
            {
                "observation/image": VIEWS[0],
                "observation/wrist_image": VIEWS[1],
                "observation/state": state,
                "prompt": "go",
            },
            {"images": {"a": VIEWS[0], "b": VIEWS[1]}, "state": state, "prompt": "go", "seed": np.int64(3)},
            {"top": VIEWS[0], "wrist": VIEWS[1], "joints": state[:7], "gripper": np.float32(0.5), "prompt": "wave"},
        ]

    def change(self, random: Random, folder: Path) -> str:
        name, form = random.choice(ROBOTS), random.choice(("json", "json", "msgpack", "msgpack", "map"))
        if form == "json":
            body, told = changed_text(random, random.choice(self.json))
        elif form == "map":
            content, told = changed(random, json.loads(json.dumps(MAP)))
            body = yaml.dump(content).encode("utf-8", "surrogatepass")
            if random.random() < 0.1:
                body, told = changed_bytes(random, body)
        else:
            body, told = self.changed_frame(random)
        keep((name, form, random.random() < 0.3, body), folder)
        (folder / "map.yaml").write_bytes(body if form == "map" else yaml.dump(MAP).encode())
        return f"{form} to {name}: {told}"

    def changed_frame(self, random: Random) -> tuple[bytes, str]:
        data = packed(random.choice(self.frames))
        if random.random() < 0.4:
            return changed_bytes(random, data)
        content = msgpack.unpackb(data)  # arrays as maps, to be changed by their fields
        path = random.choice(places(content))
        holder = content
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = random.choice(ODD)
        return msgpack.packb(content), f"{holder[path[-1]]!r} at {path}"

    def run(self, folder: Path, output: Path) -> None:
        """An answer is finite, and JSON."""
        name, form, is_mapped, body = kept(folder)
        policy = self.policies[name]
        by = read_map(folder / "map.yaml") if is_mapped or form == "map" else None
        if form == "map":
            accepted(lambda: by.check(policy, name))
            body = packed(self.frames[-1])
        if form == "json":
            act = read_act(body, policy, Limits(), by)
            observation, answer = act.observation, act.answer
        else:
            observation, answer = read_frame(body, policy, Limits(), by), lambda value, said: value.tolist()
        (actions,) = policy.predicted([policy.prepared(observation)])
        assert np.isfinite(actions).all() and actions.shape[1] == 7
        json.dumps(answer(actions, {}), allow_nan=False)
