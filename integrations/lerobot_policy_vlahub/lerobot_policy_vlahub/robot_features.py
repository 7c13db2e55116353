"""Which features of an environment, dataset or robot are the views, state and actions of a checkpoint.

Nothing of LeRobot is imported here.
"""

from collections.abc import Collection, Mapping, Sequence

from vlahub.configuration.view_names import LEROBOT_PREFIX, short_name
from vlahub.conversion.serving.observed_views import views_of
from vlahub.errors import InputError

EXAMPLE = '--policy.views=\'{"primary": "observation.images.top"}\''


def view_keys(
    image_keys: Sequence[str], view_names: Sequence[str] | None, num_views: int | None, views: Mapping[str, str]
) -> list[str]:
    """The image features that the model sees, in the order of training.

    Args:
        image_keys: all that there are, such as `observation.images.wrist` or `observation.image`.
        view_names: of the checkpoint; `None`: not recorded.
        num_views: that it sees; `None`: any number.
        views: `{view: image feature}`, as the user says it; where it is empty a view is the feature of its name
            (further cameras are not looked at), else the only one without "wrist" in its name is the only such view,
            and so for those with it.

    Raises:
        InputError: a view or feature is unknown or missing, or more than one assignment is possible; the message holds
            both lists.
    """
    found = chosen_keys(image_keys, view_names, views) if views else matched_keys(image_keys, view_names)
    if num_views is not None and len(found) != num_views:
        raise InputError(
            f"this checkpoint sees {num_views} views, and {found} are {len(found)} of the images {list(image_keys)}: "
            f"{EXAMPLE} names one for each view."
        )
    return found


def chosen_keys(image_keys: Sequence[str], view_names: Sequence[str] | None, views: Mapping[str, str]) -> list[str]:
    """What the user says, in the order of training."""
    if unknown := [key for key in views.values() if key not in image_keys]:
        raise InputError(f"--policy.views names {unknown}; the images are {list(image_keys)}.")
    given = {short_name(view): key for view, key in views.items()}
    if len(given) < len(views):
        raise InputError(f"--policy.views is of {list(views)}: with and without {LEROBOT_PREFIX!r} a name is the same.")
    if view_names is None:
        return list(given.values())
    if set(given) != set(view_names):
        raise InputError(
            f"--policy.views is of the views {list(given)}; those of this checkpoint are {list(view_names)}."
        )
    return [given[view] for view in view_names]


def matched_keys(image_keys: Sequence[str], view_names: Sequence[str] | None) -> list[str]:
    """What follows from the names."""
    by_name = {short_name(key): key for key in image_keys}
    is_one = len(by_name) == len(image_keys)  # two features of one short name are told apart by the user alone
    if view_names is not None and is_one and set(view_names) <= set(by_name):
        return [by_name[view] for view in view_names]
    try:
        found = views_of({key: key for key in image_keys}, view_names)
    except InputError as error:
        names = "records no names" if view_names is None else f"has {list(view_names)}"
        raise InputError(
            f"the images are {list(image_keys)}, and of its views this checkpoint {names}: say which is which by "
            f"{EXAMPLE}, a feature for each view."
        ) from error
    return found if view_names is None else [found[view] for view in view_names]


def is_joined(name: str, features: Collection[str]) -> bool:
    """Whether an environment has a feature in parts that a step of LeRobot joins: LIBERO `observation.state.eef_pos`...

    How many numbers that gives is known, and checked, with the first observation.
    """
    return name not in features and any(feature.startswith(f"{name}.") for feature in features)


def check_vector(name: str, shapes: Mapping[str, Sequence[int]], size: int, what: str) -> None:
    """Refuse a feature that is missing or of another size.

    Args:
        shapes: of all features by name.
        what: the numbers of the checkpoint that it is, such as "actions".

    Raises:
        InputError: the message names the feature, and both sizes.
    """
    if name not in shapes:
        raise InputError(
            f"this checkpoint needs {what} of {size} numbers, and there is no feature {name!r}; there are "
            f"{sorted(shapes)}."
        )
    if tuple(shapes[name]) != (size,):
        raise InputError(f"{name} has the shape {tuple(shapes[name])}; {what} of this checkpoint have {size} numbers.")
