"""Writes a tiny data set of drives, for trying to fine-tune an Alpamayo-R1 without downloads.

    python examples/tiny_driving_dataset.py FOLDER

Each episode is a drive at constant speed round a bend, both drawn at random: 81 rows 0.1 s apart, so that two of them
have 1.5 s behind and 6.4 s ahead. The path ahead follows from what is seen of the road and from the path behind.
FOLDER is read by `datasets.load_from_disk`.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, Image, Sequence, Value
from driving_scene import ASPHALT, GRASS, HALF_LANE, HORIZON, PAINT, SKY, TIME_STEP, VERGE, Bend, Camera
from PIL import Image as PILImage

ROWS = 81
SIZE = 64  # pixels
CAMERAS = {"observation.images.front": 100.0, "observation.images.far": 30.0}  # field of view in degrees
SPEEDS, RADII = (5.0, 12.0), (45.0, 90.0)  # m/s and metres
REASONING = "follow the road"
FEATURES = Features(
    {
        "episode_index": Value("int64"),
        "frame_index": Value("int64"),
        "timestamp": Value("float32"),
        "observation.state": Sequence(Value("float64"), length=7),
        **dict.fromkeys(CAMERAS, Image()),
        "reasoning": Value("string"),
    }
)


def write_driving_dataset(folder: str | Path, episodes: int = 32, seed: int = 0) -> None:
    """Write a `Dataset.save_to_disk` folder; the same arguments give the same data.

    Columns are episode_index, frame_index, timestamp (s), `observation.state` (x y z qw qx qy qz in a frame of the
    episode's own), an image for each of `CAMERAS`, and `reasoning`, the same few words everywhere.
    """
    random = np.random.RandomState(seed)
    rows = [row for episode in range(episodes) for row in drive(episode, random)]
    columns = {name: [row[name] for row in rows] for name in FEATURES}
    Dataset.from_dict(columns, features=FEATURES).save_to_disk(str(folder))


def drive(episode: int, random: np.random.RandomState) -> Iterator[dict[str, Any]]:
    """The rows of one episode."""
    bend = Bend(radius=random.choice([-1, 1]) * random.uniform(*RADII), speed=random.uniform(*SPEEDS))
    start, turn = random.uniform(-500, 500, 2), random.uniform(-np.pi, np.pi)
    world = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    for frame in range(ROWS):
        time = frame * TIME_STEP
        place = bend.poses(np.array([time]))[0][0, :2]
        yaw = bend.speed * time / bend.radius
        half = (turn + yaw) / 2
        yield {
            "episode_index": episode,
            "frame_index": frame,
            "timestamp": time,
            "observation.state": [*(world @ place + start), 0.0, np.cos(half), 0.0, 0.0, np.sin(half)],
            **{name: draw_view(bend, place, yaw, field) for name, field in CAMERAS.items()},
            "reasoning": REASONING,
        }


def draw_view(bend: Bend, place: np.ndarray, yaw: float, field_of_view: float) -> PILImage.Image:
    """What a camera that looks ahead sees from `place` (2,); yaw in radians, field of view in degrees."""
    camera = Camera(yaw, SIZE / 2 / np.tan(np.deg2rad(field_of_view) / 2), SIZE, SIZE, place)
    along, left = bend.along_and_left(camera.ground()[0])
    from_middle = np.abs(left - HALF_LANE)
    painted = (from_middle < 0.15) & (along % 9 < 3)
    edges = np.abs(from_middle - 2 * HALF_LANE) < 0.15
    zones = [(painted | edges)[..., None], (from_middle < 4)[..., None], (from_middle < 5)[..., None]]
    ground = np.select(zones, [PAINT, ASPHALT, VERGE], default=GRASS)
    sky = np.broadcast_to(SKY + (HORIZON - SKY) * np.linspace(0, 1, SIZE // 2)[:, None, None], ground.shape)
    return PILImage.fromarray(np.concatenate([sky, ground]).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder to write")
    parser.add_argument("--episodes", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_driving_dataset(arguments.folder, arguments.episodes, arguments.seed)
    print(f"{arguments.episodes} drives of {ROWS} rows: {arguments.folder}")


if __name__ == "__main__":
    main()
