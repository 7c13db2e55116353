"""The Python code of a card: how a model of a config is loaded and asked, as it stands."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PLACEHOLDER = "user/name"  # of the repository, until its name is known
INSTRUCTION = "pick up the bowl"
QUESTION = "What is on the table?"

LOAD = """repository = {repository}
processor = AutoProcessor.from_pretrained(repository, trust_remote_code=True)
model = AutoModelForImageTextToText.from_pretrained(repository, trust_remote_code=True, dtype="auto")

"""
ROBOT = """inputs = processor(
    images={images},{note}
    text={text},
{state}{embodiment}    unnorm_key={key},
)
{seed}actions = model.predict_action(**inputs, unnorm_key={key})  # (batch, {chunk}, {dim}), in the robot's units
print(tuple(actions.shape))
print(actions[0, :3])
"""
FRONT, RELEASE_CAMERAS = [1], [0, 1, 2, 6]  # front wide; cross left, front wide, cross right, front tele
NAVIGATION = "Turn left onto Main St in 40m"
WORDS = {"camera_indices": "PhysicalAI-AV's numbers, in the order of the images", "nav_text": "None for none"}
TEXT = """inputs = processor(images={images}, text={text}){note}
tokens = model.generate(**inputs, max_new_tokens=20, do_sample=False)
print(processor.batch_decode(tokens, skip_special_tokens=True))
"""
CAR = """images = {images}  # cameras, each with its frames, the oldest first{note}
xyz = np.zeros(({poses}, 3))  # metres in the frame of the last pose: x ahead, y left, z up; {dt} s apart
xyz[:, 0] = np.linspace({start}, 0, {poses})  # straight on, at 10 m/s
rot = np.tile(np.eye(3), ({poses}, 1, 1))  # rotations to that frame
{told}inputs = processor(images=images, ego_history_xyz=xyz, ego_history_rot=rot{request})

torch.manual_seed(0)  # of text and noise
output = model.sample_trajectories(**inputs, num_traj_samples=1)
print(tuple(output.pred_xyz.shape))  # (batch, sets, samples, {waypoints}, 3) metres, {dt} s apart
print(output.pred_xyz[0, 0, 0, -1])
print(output.reasoning[0][0][0])
"""


@dataclass(frozen=True)
class Asked:
    """What the example of a card asks.

    Attributes:
        images: names of files, one a view; `None` for names that stand for the reader's own.
        text: the instruction; `None` for an example.
        state: of the robot, in its units; `None` for zeros.
        unnorm_key: whose statistics; `None` for the first.
        drawn: the code draws pictures of its own, so that it runs anywhere as it stands.
        kept: the images lie in the repository.
    """

    images: tuple[str, ...] | None = None
    text: str | None = None
    state: tuple[float, ...] | None = None
    unnorm_key: str | None = None
    drawn: bool = False
    kept: bool = False


EXAMPLE = Asked()


def snippet(config: Any, repository: str = PLACEHOLDER, asked: Asked = EXAMPLE) -> str:
    """Code that loads a model of one of our families, asks it once and prints what it predicts."""
    values = {"images": images_code(config, asked), "note": "", "text": literal(asked.text or INSTRUCTION)}
    if asked.drawn:
        values["note"] = '  # drawn; put yours here: Image.open("photo.png")'
    if config.predicts == "trajectories":
        call, modules = car_call(config, asked, values), ["numpy as np", "torch"]
    elif config.predicts == "text":
        call, modules = TEXT.format(**values | {"text": literal(asked.text or QUESTION)}), []
    else:
        call, modules = robot_call(config, asked, values), ["torch"] * config.draws_noise
    imports = "".join(f"import {module}\n" for module in modules)
    imports += "from PIL import Image\nfrom transformers import AutoModelForImageTextToText, AutoProcessor\n"
    imports += "from transformers.utils import cached_file\n\n" if asked.kept else "\n"
    return imports + LOAD.format(repository=literal(repository)) + call


def robot_call(config: Any, asked: Asked, values: dict[str, str]) -> str:
    """With this config's state, statistics and sizes."""
    size, key = config.state_size, example_key(config, asked)
    state = f"[0.0] * {size}" if asked.state is None else list(asked.state)
    return ROBOT.format(
        **values,
        state=f"    state={state},  # in the robot's units\n" if size else "",
        embodiment="    embodiment_id=0,\n" if config.num_embodiments > 1 else "",
        key="None" if key is None else literal(key),
        seed="torch.manual_seed(0)  # of the noise that actions are made from\n" if config.draws_noise else "",
        chunk=config.num_action_chunks,
        dim=config.action_dim,
    )


def example_key(config: Any, asked: Asked) -> str | None:
    """The `unnorm_key` of an example; `None` where a model has no statistics."""
    return asked.unnorm_key or (min(config.norm_stats) if config.norm_stats else None)


def car_call(config: Any, asked: Asked, values: dict[str, str]) -> str:
    poses, start = straight_path(config)
    dt, words = config.action_space_cfg["dt"], car_words(config, asked)
    return CAR.format(
        images=values["images"],
        note=values["note"].replace("  # ", "; "),
        poses=poses,
        dt=f"{dt:g}",
        start=start,
        told="".join(f"{name} = {json.dumps(words[name], allow_nan=False)}  # {WORDS[name]}\n" for name in words),
        request=(f", text={literal(asked.text)}" if asked.text else "") + "".join(f", {name}={name}" for name in words),
        waypoints=config.action_space_cfg["n_waypoints"],
    )


def car_words(config: Any, asked: Asked) -> dict[str, Any]:
    """What the prompt of a driving model that was trained with names of cameras has beside the request: their numbers
    (of one the front camera's, of four those of the release), unless `view_names` are recorded, and navigation."""
    if not config.camera_labels:
        return {}
    count = count_of_views(config, asked)
    numbers = {len(known): known for known in (FRONT, RELEASE_CAMERAS)}.get(count, list(range(count)))
    return ({} if config.view_names else {"camera_indices": numbers}) | {"nav_text": NAVIGATION}


def straight_path(config: Any) -> tuple[int, str]:
    """The path driven before: how many poses, and how far ahead the first one is, in metres; at 10 m/s."""
    poses = config.num_history_poses
    return poses, f"{-10 * config.action_space_cfg['dt'] * (poses - 1):g}"


def images_code(config: Any, asked: Asked) -> str:
    """The views, by name where the checkpoint records names; frames of a car stand in lists of their own."""
    of_car = config.predicts == "trajectories"
    names = getattr(config, "view_names", None)
    count = count_of_views(config, asked)
    files = asked.images or [f"{names[i]}.png" if names else f"view_{i}.png" for i in range(count)]
    if asked.drawn:
        rotated = [f".rotate({90 * i})" if i else "" for i in range(count)]
        views = [f'Image.linear_gradient("L"){turn}.convert("RGB")' for turn in rotated]
    else:
        places = [f"cached_file(repository, {literal(name)})" if asked.kept else literal(name) for name in files]
        views = [f"Image.open({place})" for place in places]
    views = [f"[{view}]" for view in views] if of_car else views
    return listed_views(views, names if names and len(names) == len(views) else None)


def count_of_views(config: Any, asked: Asked) -> int:
    names = getattr(config, "view_names", None)
    return len(asked.images or names or ()) or config.num_images_in_input or 1


def by_name(config: Any, views: Sequence[Any]) -> Any:
    """Views as the code gives them to the processor: by the names that the checkpoint records, else in their order."""
    names = getattr(config, "view_names", None)
    return dict(zip(names, views, strict=True)) if names and len(names) == len(views) else list(views)


def listed_views(views: Sequence[str], names: Sequence[str] | None) -> str:
    """A list or a dict on one line, or on a line each where that is long."""
    items = [f"{literal(name)}: {view}" for name, view in zip(names, views, strict=True)] if names else list(views)
    first, last = "{}" if names else "[]"
    line = f"{first}{', '.join(items)}{last}"
    return line if len(line) <= 90 else f"{first}\n        " + ",\n        ".join(items) + f",\n    {last}"


def literal(text: str) -> str:
    """A string of Python on one line, whatever it holds."""
    return json.dumps(text, ensure_ascii=False, allow_nan=False) if text.isprintable() else ascii(text)
