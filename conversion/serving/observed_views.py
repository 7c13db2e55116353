"""Which image of a client is which view of the model: by name, else main camera and wrist camera, never by guess."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...configuration.view_names import LEROBOT_PREFIX, short_name
from ...configuration.vla_errors import InputError

WRIST = "wrist"


def views_of(images: Mapping[str, Any], view_names: Sequence[str] | None, is_ordered: bool = False) -> Any:
    """The images as a processor takes them: a dict by the model's names, or a list in the order of training.

    Args:
        images: by the client's names, such as `full_image` and `wrist_image`.
        view_names: of the model; a name that both have is one view, else the only image without "wrist" in its name is
            the only view without, and so for those with it; of several on wrists "left" and "right" are told apart, and
            the one is never the other. A model without names sees the main camera first.
        is_ordered: the client sends several wrist cameras in the order of training, as OpenVLA-OFT's do.

    Raises:
        InputError: more than one assignment is possible, or none; both lists are in the message. Or two images have
            one name.
    """
    by_name = {short_name(name): image for name, image in images.items()}
    if len(by_name) < len(images):
        raise InputError(f"the images are {list(images)}: with and without {LEROBOT_PREFIX!r} a name is the same one.")
    if view_names is None:
        main, wrists = parted(by_name)
        if len(main) > 1 or (len(wrists) > 1 and not is_ordered):
            raise InputError(
                f"the images are {list(images)}, and this checkpoint records no names of views: --observation-map says "
                "in which order it was trained to see them."
            )
        return [by_name[name] for name in main + wrists]
    if set(by_name) == set(view_names):
        return by_name
    pairs = list(zip(parted(view_names), parted(by_name), strict=True))
    pairs = [each for pair in pairs for each in by_side(*pair)]
    if any(len(group) != 1 for pair in pairs for group in pair) or any(are_opposite(*pair) for pair in pairs):
        raise InputError(
            f"the images are {list(images)}, the views of this checkpoint {list(view_names)}: give each of them and no "
            "others by these names, or start the server with --observation-map."
        )
    return {view: by_name[name] for (view,), (name,) in pairs}


def by_side(views: list[str], given: list[str]) -> list[tuple[list[str], list[str]]]:
    """Cameras of one kind in pairs of lists: all, or, where there are several, those of the left and the right arm."""
    if len(views) < 2:
        return [(views, given)] if views or given else []
    sides = sorted({side_of(name) for name in (*views, *given)})
    return [([n for n in views if side_of(n) == side], [n for n in given if side_of(n) == side]) for side in sides]


def are_opposite(views: list[str], given: list[str]) -> bool:
    """Whether one pair is of a left and a right camera."""
    return {side_of(views[0]), side_of(given[0])} == {"left", "right"}


def side_of(name: str) -> str:
    """`left`, `right`, or nothing where a name says neither or both."""
    sides = [side for side in ("left", "right") if side in name.lower()]
    return sides[0] if len(sides) == 1 else ""


def parted(names: Sequence[str] | Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Names of main cameras, and of those on a wrist."""
    wrists = [name for name in names if WRIST in name.lower()]
    return [name for name in names if name not in wrists], wrists
