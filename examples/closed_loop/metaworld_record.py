"""Demonstrations of Meta-World's scripted experts, written by LeRobot's own dataset writer.

python examples/closed_loop/metaworld_record.py FOLDER --episodes 3000

An episode is a short window of a demonstration, anywhere on the way to the end of the task, for another goal each: what
a policy must learn is where the goal is, and further frames of the same goal teach little of that. What is recorded is
what the expert would do; what is done there is that with noise (DART, arXiv 1703.09327), so that the policy also sees
how to come back.
"""

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from datasets import disable_progress_bars
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from metaworld_scene import MAX_STEPS, TASKS, Scene
from PIL import Image
from tqdm import tqdm

FPS = 80  # of the environment
PUSHED_STEPS = 16  # at most, in which the hand is pushed anywhere before the expert begins
NOISE = 0.25  # standard deviation of what is added to an action; actions are -1..1
MOVES = np.array([1, 1, 1, 0], dtype=np.float32)  # the fourth action closes the gripper
CAMERA = "observation.image"  # LeRobot's name of this environment's view


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the dataset to write; it must not exist")
    parser.add_argument("--tasks", nargs="+", default=TASKS, metavar="TASK")
    parser.add_argument("--episodes", type=int, default=3000, help="of each task")
    parser.add_argument("--frames", type=int, default=4, help="of each episode")
    parser.add_argument("--size", type=int, default=64, help="pixels that a frame is scaled to")
    parser.add_argument("--seed", type=int, default=100_000, help="of the first episode of each task")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that simulate")
    arguments = parser.parse_args()
    jobs = [
        (task, seed, arguments.frames, arguments.size)
        for seed in range(arguments.seed, arguments.seed + arguments.episodes)
        for task in arguments.tasks
    ]
    disable_progress_bars()  # one for each episode
    dataset = LeRobotDataset.create(
        arguments.folder.name, FPS, features(arguments.size), root=arguments.folder, use_videos=False
    )
    # Each process renders for itself: a context of OpenGL does not survive a fork.
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        for episode in tqdm(pool.map(recorded, jobs, chunksize=8), total=len(jobs), unit="episode", mininterval=5):
            for frame in episode:
                dataset.add_frame(frame)
            dataset.save_episode()
    dataset.finalize()
    print(f"{len(jobs)} episodes of {arguments.frames} frames: {arguments.folder}")


def features(size: int) -> dict[str, dict]:
    """Of LeRobot's dataset."""
    names = {"names": ["x", "y", "z", "gripper"]}
    return {
        CAMERA: {"dtype": "image", "shape": (size, size, 3), "names": ["height", "width", "channels"]},
        "observation.state": {"dtype": "float32", "shape": (4,), **names},
        "action": {"dtype": "float32", "shape": (4,), **names},
    }


def recorded(job: tuple[str, int, int, int]) -> list[dict]:
    """The frames of one episode; job: task, seed, frames and their size."""
    task, seed, frames, size = job
    scene = scene_of(task)
    steps, _ = begun(scene, seed, MAX_STEPS)
    first = np.random.default_rng((seed, 1)).integers(steps + 1)
    _, random = begun(scene, seed, first)
    return list(window(scene, random, frames, size))


@cache
def scene_of(task: str) -> Scene:
    """One in a process, for building one takes a second."""
    return Scene(task, light=True)


def begun(scene: Scene, seed: int, most: int) -> tuple[int, np.random.Generator]:
    """A demonstration without frames, which cost most of the time, up to the end of the task, at most so many steps:
    the expert's steps, and the random numbers that go on."""
    random = np.random.default_rng(seed)
    scene.reset(seed)
    push = random.uniform(-1, 1, 4).astype(np.float32) * MOVES
    for _ in range(random.integers(PUSHED_STEPS)):
        scene.step(push)
    for step in range(most):
        if scene.step(noisy(scene.expert_step().action, random)):
            return step, random
    return most, random


def window(scene: Scene, random: np.random.Generator, frames: int, size: int) -> Iterator[dict]:
    """So many frames from here on."""
    for _ in range(frames):
        step = scene.expert_step()
        yield {
            CAMERA: scaled(scene.frame(), size),
            "observation.state": step.state,
            "action": step.action,
            "task": scene.instruction,
        }
        scene.step(noisy(step.action, random))


def noisy(action: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.clip(action + random.normal(0, NOISE, 4).astype(np.float32) * MOVES, -1, 1)


def scaled(frame: np.ndarray, size: int) -> np.ndarray:
    """As the model's processor scales what it gets."""
    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BICUBIC))


if __name__ == "__main__":
    main()
