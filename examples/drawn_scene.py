"""A table with a bowl and a plate, drawn, for a demonstration without a camera.

python examples/drawn_scene.py FOLDER
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = 224


def draw_scene() -> Image.Image:
    """The view of the main camera, 224 x 224."""
    image = Image.new("RGB", (SIZE, SIZE), (196, 186, 170))
    draw = ImageDraw.Draw(image)
    draw.polygon([(0, 90), (SIZE, 90), (SIZE, SIZE), (0, SIZE)], fill=(150, 108, 72))
    draw.ellipse((120, 128, 204, 176), fill=(238, 238, 232), outline=(180, 180, 176), width=2)
    draw.ellipse((136, 137, 188, 167), outline=(200, 200, 196), width=2)
    draw.pieslice((34, 108, 98, 172), 0, 180, fill=(38, 38, 42))
    draw.ellipse((34, 128, 98, 152), fill=(64, 64, 70))
    draw.rectangle((104, 0, 120, 62), fill=(120, 122, 128))
    draw.rectangle((98, 62, 106, 84), fill=(90, 92, 98))
    draw.rectangle((118, 62, 126, 84), fill=(90, 92, 98))
    return image


def wrist_view(image: Image.Image) -> Image.Image:
    """The middle of the main view, enlarged: a stand-in for a second camera."""
    width, height = image.size
    box = (width // 4, height // 4, width - width // 4, height - height // 4)
    return image.crop(box).resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def save_views(folder: Path, image: Image.Image | None) -> list[Path]:
    """Write both views of `image`, or of the drawn scene, into `folder`."""
    primary = image.convert("RGB") if image else draw_scene()
    paths = [folder / "primary.png", folder / "wrist.png"]
    for path, view in zip(paths, (primary, wrist_view(primary)), strict=True):
        view.save(path)
    return paths


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(*save_views(Path(sys.argv[1]), None))
