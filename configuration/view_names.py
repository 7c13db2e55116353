"""The cameras of a model by name, in the order in which it was trained to see them."""

from collections.abc import Sequence
from typing import Any

from .vla_errors import ConfigError

LEROBOT_PREFIX = "observation.images."


def short_name(name: str) -> str:
    """The name of a camera without LeRobot's prefix of its column."""
    return name.removeprefix(LEROBOT_PREFIX)


def checked_view_names(view_names: Sequence[str] | None, count: int | None = None) -> list[str] | None:
    """The names in a list of their own, without LeRobot's prefix; `None` where none are recorded.

    Args:
        count: views that the model sees; `None` is any number.

    Raises:
        ConfigError: they are no strings, one is there twice, or there are not as many as views.
    """
    if view_names is None:
        return None
    is_list = isinstance(view_names, Sequence) and not isinstance(view_names, str)
    if not is_list or not view_names or not all(isinstance(name, str) and name for name in view_names):
        raise ConfigError(f"view_names={view_names!r} must be a list of the names of the views, or None.")
    names = [short_name(name) for name in view_names]
    if len(set(names)) < len(names):
        raise ConfigError(f"view_names={view_names!r} holds a name twice.")
    if count is not None and len(names) != count:
        raise ConfigError(f"view_names={view_names!r} has {len(names)} names; the model sees {count} views.")
    return names


def record_views(config: Any, processor: Any, view_names: Sequence[str]) -> list[str]:
    """Let a model's config and its processor say which view is which; returns the names as they are recorded.

    view_names: in the order of training, such as the `images` of `ActionChunks`.
    Raises ConfigError where they are not as many as the views of the model; nothing was changed then.
    """
    names = checked_view_names(view_names, config.num_images_in_input)
    processor.view_names = checked_view_names(names, processor.image_processor.num_images_in_input)
    config.view_names = list(names)
    return names
