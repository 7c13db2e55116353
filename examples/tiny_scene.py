"""A drawn table with four blocks and two trays, and a gripper that moves to the block that it is told.

Everything follows smoothly from where the blocks lie, the instruction and the gripper's position, so that a model can
learn it. Positions are on the table: x to the right and y to the back from -0.5 to 0.5 m, z up.
"""

import numpy as np
from PIL import Image, ImageDraw

HEIGHT, WIDTH = 64, 80
COLOURS = {"red": (206, 48, 42), "green": (52, 156, 72), "blue": (46, 84, 190), "yellow": (232, 196, 52)}
# The instruction, its block, and how far beside the block the gripper goes: towards the tray (x in metres).
TASKS = (
    ("pick up the red block", "red", 0.0),
    ("pick up the green block", "green", 0.0),
    ("put the blue block on the left tray", "blue", -0.06),
    ("put the yellow block on the right tray", "yellow", 0.06),
)
GAIN = 0.35  # share of the way that one step covers


def episode(index: int, frames: int, seed: int) -> dict[str, np.ndarray]:
    """The numbers and pictures of one episode; its task is `TASKS[index % 4]`.

    Returns:
        "state" (frames, 8): position (m), rotation (rad), both fingers (m); "action" (frames, 7): the motion to the
        next frame in metres and radians, and how far the gripper shall close, 0 to 1; "primary" and "wrist"
        (frames, 64, 80, 3) uint8.
    """
    draws = np.random.default_rng((seed, index))
    blocks = block_positions(draws)
    _, colour, beside = TASKS[index % len(TASKS)]
    x, y = blocks[colour] + (beside, 0.0)
    goal = np.array([x, y, 0.02, 0.5 * y, -0.5 * x, 0.8 * x])
    pose = np.concatenate([draws.uniform(-0.25, 0.25, 2), [0.3], draws.uniform(-0.1, 0.1, 3)])
    rows: dict[str, list[np.ndarray]] = {"state": [], "action": [], "primary": [], "wrist": []}
    for _ in range(frames):
        motion = GAIN * (goal - pose)
        closed = float(np.exp(-(np.linalg.norm(goal[:3] - pose[:3]) ** 2) / 0.02))
        finger = 0.04 * (1 - closed)
        view = draw_table(blocks, pose[:3])
        rows["state"].append(np.array([*pose, finger, -finger], np.float32))
        rows["action"].append(np.array([*motion, closed], np.float32))
        rows["primary"].append(np.asarray(view))
        rows["wrist"].append(np.asarray(wrist_view(view, pose)))
        pose = pose + motion
    return {name: np.stack(values) for name, values in rows.items()}


def block_positions(draws: np.random.Generator) -> dict[str, np.ndarray]:
    """Where each block lies, (2,) metres: one in every quarter of the middle of the table, in any order."""
    quarters = draws.permutation([(-0.13, -0.16), (-0.13, 0.16), (0.13, -0.16), (0.13, 0.16)])
    return {colour: quarter + draws.uniform(-0.07, 0.07, 2) for colour, quarter in zip(COLOURS, quarters, strict=True)}


def pixel(x: float, y: float) -> tuple[float, float]:
    """Metres on the table -> column and row of the main view."""
    return (0.5 + x) * WIDTH, (0.5 - y) * HEIGHT


def draw_table(blocks: dict[str, np.ndarray], gripper: np.ndarray) -> Image.Image:
    """The main camera looks down on the table; the gripper is the smaller the lower it is. gripper: (3,) metres."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (168, 138, 104))
    draw = ImageDraw.Draw(image)
    for left in (1, WIDTH - 11):
        draw.rectangle((left, 12, left + 9, HEIGHT - 13), fill=(214, 214, 210), outline=(150, 150, 148))
    for colour, (x, y) in blocks.items():
        column, row = pixel(x, y)
        draw.rectangle((column - 4, row - 4, column + 4, row + 4), fill=COLOURS[colour])
    column, row = pixel(gripper[0], gripper[1])
    size = 3 + 12 * gripper[2]
    draw.ellipse((column - size, row - size, column + size, row + size), outline=(30, 30, 34), width=2)
    return image


def wrist_view(view: Image.Image, pose: np.ndarray) -> Image.Image:
    """What lies round the gripper, enlarged twice."""
    column, row = (round(value) for value in pixel(pose[0], pose[1]))
    left, top = column - WIDTH // 4, row - HEIGHT // 4
    box = (left, top, left + WIDTH // 2, top + HEIGHT // 2)
    return view.crop(box).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
