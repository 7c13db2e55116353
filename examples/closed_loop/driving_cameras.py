"""What the cameras of a car see of a drawn road: true perspective, a lane in strong colours on plain ground."""

from dataclasses import dataclass

import numpy as np
from driving_road import HALF_LANE, Road
from PIL import Image, ImageDraw

# Ground and sky are near a picture's mean, so that what a model sees at first is the lane.
SKY, GROUND, ASPHALT = (120, 128, 150), (128, 128, 122), (24, 24, 32)
LEFT_PAINT, RIGHT_PAINT = (255, 200, 0), (255, 255, 255)
NEAREST, FARTHEST = 0.6, 70.0  # metres of road before a camera that are drawn
PAINT_WIDTH = 0.4  # metres
ALONG = np.concatenate([np.arange(-2, 12, 0.5), np.arange(12, 30, 1.0), np.arange(30, FARTHEST, 2.0)])
FINE = 2  # pixels are drawn so many times as fine along each side


@dataclass(frozen=True)
class RoadCamera:
    """A pinhole camera on the car, looking ahead and down.

    Attributes:
        field_of_view, down: horizontally, and below the horizon, in degrees.
        height: metres above the ground; width_pixels, height_pixels: of its frames.
    """

    field_of_view: float
    down: float
    height: float = 1.6
    width_pixels: int = 32
    height_pixels: int = 32

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """points: (n, 2) on the ground in the car's frame -> pixels (n, 2), column and row, and depths (n,)."""
        down = np.deg2rad(self.down)
        ahead = points[:, 0] * np.cos(down) + self.height * np.sin(down)
        below = self.height * np.cos(down) - points[:, 0] * np.sin(down)
        focal = self.width_pixels / 2 / np.tan(np.deg2rad(self.field_of_view) / 2)
        scale = focal / np.maximum(ahead, 1e-3)
        columns = self.width_pixels / 2 - points[:, 1] * scale
        return np.stack([columns, self.height_pixels / 2 + below * scale], axis=-1), ahead

    def horizon(self) -> float:
        """The row of the horizon."""
        focal = self.width_pixels / 2 / np.tan(np.deg2rad(self.field_of_view) / 2)
        return self.height_pixels / 2 - focal * np.tan(np.deg2rad(self.down))

    def frame(self, road: Road, along: float, place: np.ndarray, yaw: float) -> Image.Image:
        """What it sees from a place (2,) with this yaw; along: metres along the road, about."""
        picture = Image.new("RGB", (self.width_pixels * FINE, self.height_pixels * FINE), GROUND)
        draw = ImageDraw.Draw(picture)
        draw.rectangle((0, 0, self.width_pixels * FINE, self.horizon() * FINE), fill=SKY)
        centre, headings = road.at(along + ALONG)
        left = np.stack([-np.sin(headings), np.cos(headings)], axis=-1)
        turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        for inner, outer, colour in STRIPES:
            edges = [self.project((centre + side * left - place) @ turn) for side in (inner, outer)]
            hidden = np.flatnonzero(np.minimum(edges[0][1], edges[1][1]) < NEAREST)
            near, far = seen_run(hidden, len(centre))
            corners = np.concatenate([edges[0][0][near:far], edges[1][0][near:far][::-1]]) * FINE
            if far - near > 1:
                draw.polygon([tuple(corner) for corner in corners], fill=colour)
        return picture.reduce(FINE)


def seen_run(hidden: np.ndarray, count: int) -> tuple[int, int]:
    """First and last (exclusive) of the points before the camera, up to the first behind it; hidden: those behind."""
    gaps = np.diff(np.concatenate([[-1], hidden, [count]]))
    run = int(np.argmax(gaps > 1))
    near = 0 if not len(hidden) or run == 0 else int(hidden[run - 1]) + 1
    return near, near + int(gaps[run]) - 1


STRIPES = (
    (-HALF_LANE, HALF_LANE, ASPHALT),
    (HALF_LANE - PAINT_WIDTH, HALF_LANE, LEFT_PAINT),
    (-HALF_LANE, PAINT_WIDTH - HALF_LANE, RIGHT_PAINT),
)
CAMERAS = {
    "camera_front_wide_120fov": RoadCamera(90.0, 22.0),
}
