"""A drawn drive round a bend: camera frames, the path behind the car and the path ahead, for a demonstration.

Every pixel below the horizon is a ray to the ground, coloured by where it meets the bend: lanes, marks, verge, grass.
The car drives at constant speed on a circle, so its poses are exact. Coordinates are the car's at the last history pose
(t0): x ahead, y to the left, z up, in metres; 10 Hz.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

HISTORY_STEPS, FUTURE_STEPS, TIME_STEP = 16, 64, 0.1
CAMERA_HEIGHT = 1.5  # metres
CAMERAS = ((60.0, 100.0), (0.0, 100.0), (-60.0, 100.0), (0.0, 30.0))  # yaw to the left and field of view, degrees
CAMERA_INDICES = (0, 1, 2, 6)  # as PhysicalAI-AV numbers them: cross left, front wide, cross right, front tele
HALF_LANE = 1.8  # metres; the car drives in the right one of two lanes
SKY, HORIZON = np.array([96, 150, 210.0]), np.array([205, 218, 228.0])
GRASS, VERGE, ASPHALT, PAINT = ([84, 118, 62], [128, 120, 98], [78, 80, 84], [226, 226, 218])
MAX_DEPTH = 200.0  # metres; from there on everything is haze


@dataclass(frozen=True)
class Bend:
    """The car's way: a circle through the origin, tangent to x. radius in metres, positive to the left."""

    radius: float
    speed: float  # m/s

    def poses(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """times: (steps,) in seconds from t0 -> positions (steps, 3) and rotations (steps, 3, 3) to the t0 frame."""
        yaw = self.speed * times / self.radius
        zero, one = np.zeros_like(yaw), np.ones_like(yaw)
        xyz = np.stack([self.radius * np.sin(yaw), self.radius * (1 - np.cos(yaw)), zero], axis=-1)
        cos, sin = np.cos(yaw), np.sin(yaw)
        rows = [[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]]
        return xyz, np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    def along_and_left(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """points: (..., 2) -> metres driven from the origin, and metres to the left of the car's way."""
        side = np.sign(self.radius)
        x, y = points[..., 0], points[..., 1] - self.radius
        return abs(self.radius) * np.arctan2(x, -side * y), side * (abs(self.radius) - np.hypot(x, y))

    def point(self, along: float, left: float) -> np.ndarray:
        """The inverse of `along_and_left`, (2,)."""
        angle = along / self.radius
        return np.array([0, self.radius]) + (self.radius - left) * np.array([np.sin(angle), -np.cos(angle)])


@dataclass(frozen=True)
class Camera:
    """A pinhole camera on the car at `CAMERA_HEIGHT`."""

    yaw: float  # radians to the left of ahead
    focal: float  # pixels
    height: int
    width: int
    position: np.ndarray  # (2,), metres in the t0 frame

    def project(self, point: np.ndarray, height: float) -> tuple[float, float, float]:
        """Column, row and depth of a point at (2,) and so many metres above the ground."""
        offset = point - self.position
        ahead = offset @ [np.cos(self.yaw), np.sin(self.yaw)]
        left = offset @ [-np.sin(self.yaw), np.cos(self.yaw)]
        scale = self.focal / max(ahead, 1e-6)
        return self.width / 2 - left * scale, self.height / 2 + (CAMERA_HEIGHT - height) * scale, ahead

    def ground(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the rays of the rows below the horizon meet the ground: (rows, width, 2), and their depth (rows, 1)."""
        rows = np.arange(self.height // 2, self.height) + 0.5 - self.height / 2
        depth = CAMERA_HEIGHT * self.focal / np.maximum(rows, 0.5)[:, None]
        left = -(np.arange(self.width) + 0.5 - self.width / 2)[None] / self.focal * depth
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        return np.stack([depth * cos - left * sin, depth * sin + left * cos], axis=-1) + self.position, depth


def driving_scene(cameras: int = 4, frames: int = 4, height: int = 270, width: int = 480, seed: int = 0) -> dict:
    """Draw the scene; the same arguments give the same arrays.

    Args:
        cameras: 1 to 4: left, ahead, right, ahead with a long lens.
        frames: for each camera the last ones, 0.1 s apart; the last is at t0.
        height, width: of a frame, in pixels.
        seed: decides the bend, the speed, the trees and the grass.

    Returns:
        `images` (cameras, frames, 3, height, width) uint8, oldest frame first; `camera_indices` (cameras,), by which
        pictures name the cameras; `ego_history_xyz` (16, 3) and
        `ego_history_rot` (16, 3, 3), whose last pose is the origin; `ego_future_xyz` (64, 3) and `ego_future_rot` (64,
        3, 3). Poses are float32.
    """
    if not 1 <= cameras <= len(CAMERAS) or not 1 <= frames <= HISTORY_STEPS:
        raise ValueError(f"cameras={cameras} must be 1 to {len(CAMERAS)}, frames={frames} 1 to {HISTORY_STEPS}.")
    random = np.random.RandomState(seed)
    bend = Bend(radius=random.choice([-1, 1]) * random.uniform(45, 80), speed=random.uniform(7, 11))
    trees = [(along, side * random.uniform(9, 16)) for along in np.arange(-40, 110, 9.0) for side in (-1, 1)]
    texture = random.uniform(0.88, 1.12, (64, 64))
    steps = np.arange(1 - HISTORY_STEPS, FUTURE_STEPS + 1)
    xyz, rot = (array.astype(np.float32) for array in bend.poses(steps * TIME_STEP))
    images = [
        [_frame(camera, bend, trees, texture, time * TIME_STEP, height, width) for time in range(1 - frames, 1)]
        for camera in CAMERAS[:cameras]
    ]
    return {
        "images": np.asarray(images).transpose(0, 1, 4, 2, 3),
        "camera_indices": np.array(CAMERA_INDICES[:cameras], dtype=np.int64),
        "ego_history_xyz": xyz[:HISTORY_STEPS],
        "ego_history_rot": rot[:HISTORY_STEPS],
        "ego_future_xyz": xyz[HISTORY_STEPS:],
        "ego_future_rot": rot[HISTORY_STEPS:],
    }


def _frame(
    mounting: tuple[float, float],
    bend: Bend,
    trees: list[tuple[float, float]],
    texture: np.ndarray,
    time: float,
    height: int,
    width: int,
) -> np.ndarray:
    """What one camera sees at `time` seconds from t0, (height, width, 3) uint8."""
    yaw, field_of_view = np.deg2rad(mounting)
    xyz, _ = bend.poses(np.array([time]))
    focal = width / 2 / np.tan(field_of_view / 2)
    camera = Camera(yaw + bend.speed * time / bend.radius, focal, height, width, xyz[0, :2])
    points, depth = camera.ground()
    image = np.empty((height, width, 3))
    image[: height // 2] = SKY + (HORIZON - SKY) * np.linspace(0, 1, height // 2)[:, None, None]
    haze = np.clip(depth / MAX_DEPTH, 0, 1)[..., None]
    image[height // 2 :] = _ground_colours(points, bend, texture) * (1 - haze) + HORIZON * haze
    picture = Image.fromarray(image.round().clip(0, 255).astype(np.uint8))
    _draw_trees(ImageDraw.Draw(picture), camera, [bend.point(*tree) for tree in trees])
    return np.asarray(picture)


def _ground_colours(points: np.ndarray, bend: Bend, texture: np.ndarray) -> np.ndarray:
    """points: (rows, columns, 2) on the ground -> their colours, (rows, columns, 3)."""
    along, left = bend.along_and_left(points)
    dashes = (np.abs(left - HALF_LANE) < 0.08) & (along % 9 < 3)
    edges = (np.abs(left + HALF_LANE) < 0.08) | (np.abs(left - 3 * HALF_LANE) < 0.08)
    from_middle = np.abs(left - HALF_LANE)
    colours = np.select(
        [(dashes | edges)[..., None], (from_middle < 4)[..., None], (from_middle < 5)[..., None]],
        [PAINT, ASPHALT, VERGE],
        default=GRASS,
    )
    cells = np.floor(np.clip(points, -1e4, 1e4) * 2).astype(int) % len(texture)
    return colours * texture[cells[..., 0], cells[..., 1], None]


def _draw_trees(draw: ImageDraw.ImageDraw, camera: Camera, places: list[np.ndarray]) -> None:
    """Trunk and crown of each tree in front of the camera, the farthest first."""
    for place in sorted(places, key=lambda place: -np.hypot(*(place - camera.position))):
        column, foot, depth = camera.project(place, 0.0)
        if not 3 < depth < MAX_DEPTH / 2:
            continue
        metre = camera.focal / depth
        trunk = (column - 0.2 * metre, foot - 2 * metre, column + 0.2 * metre, foot)
        crown = (column - 1.5 * metre, foot - 5 * metre, column + 1.5 * metre, foot - 1.7 * metre)
        draw.rectangle(trunk, fill=(86, 66, 48))
        draw.ellipse(crown, fill=(52, 92, 48))
