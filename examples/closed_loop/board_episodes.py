"""Episodes of a policy on the drawn board: how many succeed, and a picture of one."""

import base64
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from board_demonstrations import png
from drawn_board import PIXELS, SIDE, DrawnBoard
from PIL import Image, ImageDraw

# Observations of several boards -> the actions of each until the next observation, (boards, steps, 2) metres.
Policy = Callable[[list[dict[str, Any]]], np.ndarray]
ZOOM = 5  # of a frame of the strip


def finished_episodes(policy: Policy, seeds: Sequence[int]) -> list[DrawnBoard]:
    """The boards of these seeds after their episodes, whose chunks of actions are carried out whole."""
    worlds = [DrawnBoard() for _ in seeds]
    observations = [world.reset(seed) for world, seed in zip(worlds, seeds, strict=True)]
    while not worlds[0].is_over:
        for actions in np.asarray(policy(observations)).swapaxes(0, 1):
            observations = [world.step(action) for world, action in zip(worlds, actions, strict=True)]
    return worlds


def success_rate(policy: Policy, seeds: Sequence[int]) -> float:
    """The share of these episodes in which the arm stands on the right block in the end."""
    return float(np.mean([world.succeeded for world in finished_episodes(policy, seeds)]))


def checkpoint_policy(model: Any, processor: Any, seed: int = 0) -> Policy:
    """A checkpoint as a policy; seed: of the noise of each prediction, where the head draws it."""

    def act(observations: list[dict[str, Any]]) -> np.ndarray:
        images, texts, states = ([each[name] for each in observations] for name in ("image", "instruction", "state"))
        inputs = processor(images=[[image] for image in images], text=texts, state=np.stack(states))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return model.predict_action(**inputs).numpy()

    return act


def served_policy(url: str, seed: int = 0) -> Policy:
    """What `vlahub serve` answers at an address, as a policy; one request for each board."""
    import requests

    def act(observations: list[dict[str, Any]]) -> np.ndarray:
        chunks = []
        for each in observations:
            asked = {
                "images": [base64.b64encode(png(each["image"])).decode()],
                "instruction": each["instruction"],
                "seed": seed,
            }
            response = requests.post(url + "/act", json=asked | {"state": each["state"].tolist()}, timeout=60)
            response.raise_for_status()
            chunks.append(response.json()["actions"])
        return np.array(chunks, np.float32)

    return act


def strip(policy: Policy, seed: int, every: int = 2) -> Image.Image:
    """The board at the beginning and after each `every` steps, side by side, with the arm (a cross) and its way."""
    [world] = finished_episodes(policy, [seed])
    image = world.observation()["image"]
    return side_by_side([frame_of(image, world.way[: step + 1]) for step in range(0, world.steps + 1, every)])


def frame_of(image: np.ndarray, way: list[np.ndarray]) -> Image.Image:
    """One picture of the strip; way: where the arm was, the last being where it is, (2,) metres each."""
    frame = Image.fromarray(image).resize((PIXELS * ZOOM,) * 2, Image.Resampling.NEAREST)
    draw, scale = ImageDraw.Draw(frame), PIXELS * ZOOM / SIDE
    points = [((SIDE / 2 + x) * scale, (SIDE / 2 - y) * scale) for x, y in way]
    if len(points) > 1:
        draw.line(points, fill=(255, 255, 255), width=1)
    column, row = points[-1]
    for size, width, colour in ((7, 5, (255, 255, 255)), (6, 3, (20, 20, 24))):
        draw.line((column - size, row, column + size, row), fill=colour, width=width)
        draw.line((column, row - size, column, row + size), fill=colour, width=width)
    return frame


def side_by_side(frames: list[Image.Image], gap: int = 4) -> Image.Image:
    """Pictures of one size in a row."""
    width, height = frames[0].size
    joined = Image.new("RGB", (len(frames) * (width + gap) - gap, height), (255, 255, 255))
    for number, frame in enumerate(frames):
        joined.paste(frame, (number * (width + gap), 0))
    return joined
