"""A world to act in: a board with a red and a blue block, seen from above, and an arm that goes to the one it is told.

Where the blocks lie is in the picture alone, which block is meant in the instruction alone, and where the arm stands in
the state alone. The world is kinematic: an action is the arm's motion of one step. Everything follows from a seed.
"""

import numpy as np
from PIL import Image, ImageDraw

SIDE = 0.4  # metres; x to the right and y to the back, 0 in the middle
PIXELS = 32  # along a side of the picture
BLOCK = 0.12  # metres, the side of a block
REACH = BLOCK / 2  # the arm stands on a block that is no further than this
APART = 0.16  # metres between the middles of the blocks, at least
LARGEST = 0.08  # metres along an axis, the motion of one step
GAIN = 0.5  # share of the way that the expert covers in a step, where that is not too far
STEPS = 12  # of an episode
COLOURS = {"red": (206, 48, 42), "blue": (46, 84, 190)}
INSTRUCTIONS = {"red": "touch the red block", "blue": "go to the blue square"}  # what differs is more than one word


class DrawnBoard:
    """One episode after the other.

    Attributes:
        colour: of the block that is meant.
        blocks: where the middle of each lies, (2,) metres by colour.
        way: where the arm was, at first and after each step of this episode, (2,) metres each.
    """

    def reset(self, seed: int, colour: str | None = None) -> dict[str, object]:
        """Begin the episode of that seed, or its twin in which the block of that colour is meant.

        Returns the first observation.
        """
        draws = np.random.default_rng(seed)
        drawn = list(COLOURS)[draws.integers(len(COLOURS))]
        self.colour = drawn if colour is None else colour
        within = (SIDE - BLOCK) / 2
        red, blue = draws.uniform(-within, within, (2, 2))
        while np.linalg.norm(red - blue) < APART:
            red, blue = draws.uniform(-within, within, (2, 2))
        self.blocks = {"red": red, "blue": blue}
        self.way = [draws.uniform(-SIDE / 2, SIDE / 2, 2)]
        return self.observation()

    def observation(self) -> dict[str, object]:
        """`image` (32, 32, 3) uint8, `state` (2,) float32, the arm in metres, and `instruction`."""
        image = np.asarray(draw_blocks(self.blocks))
        return {"image": image, "state": self.arm.astype(np.float32), "instruction": INSTRUCTIONS[self.colour]}

    def step(self, action: np.ndarray) -> dict[str, object]:
        """Move the arm by an action (2,) in metres, as far as it can; returns the next observation.

        Raises:
            ValueError: it has another size, or is not finite.
        """
        action = np.asarray(action, np.float64)
        if action.shape != (2,) or not np.isfinite(action).all():
            raise ValueError(f"an action is two finite numbers, not {action}")
        self.way.append(np.clip(self.arm + np.clip(action, -LARGEST, LARGEST), -SIDE / 2, SIDE / 2))
        return self.observation()

    @property
    def arm(self) -> np.ndarray:
        """Where the arm stands, (2,) metres."""
        return self.way[-1]

    @property
    def steps(self) -> int:
        """That were made in this episode."""
        return len(self.way) - 1

    @property
    def is_over(self) -> bool:
        return self.steps >= STEPS

    @property
    def succeeded(self) -> bool:
        """Whether the episode is over and the arm stands on the block that was meant."""
        return self.is_over and bool(np.linalg.norm(self.arm - self.blocks[self.colour]) <= REACH)

    def expert(self) -> np.ndarray:
        """The motion (2,) in metres with which a demonstration goes on from here."""
        return np.clip(GAIN * (self.blocks[self.colour] - self.arm), -LARGEST, LARGEST)


def draw_blocks(blocks: dict[str, np.ndarray]) -> Image.Image:
    """The board from above, 0.0125 m a pixel."""
    scale = PIXELS / SIDE
    image = Image.new("RGB", (PIXELS * 4, PIXELS * 4), (128, 128, 128))
    draw = ImageDraw.Draw(image)
    for colour, (x, y) in blocks.items():
        column, row, half = (4 * scale * value for value in (SIDE / 2 + x, SIDE / 2 - y, BLOCK / 2))
        draw.rectangle((column - half, row - half, column + half - 1, row + half - 1), fill=COLOURS[colour])
    return image.resize((PIXELS, PIXELS), Image.Resampling.BOX)  # edges between pixels are blended
