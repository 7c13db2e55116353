"""Which view is which: recorded names put a dict in the order of training, in every family, or refuse it."""

import copy
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch

import vlahub
from vlahub.configuration.view_names import checked_view_names
from vlahub.data import camera_columns, collator_for, record_views
from vlahub.errors import ConfigError, InputError
from vlahub.training.video_frames import DepthImage

VIEWS = list(np.random.RandomState(0).randint(0, 256, (2, 40, 48, 3)).astype(np.uint8))
STEPS = np.linspace(-8, 0, 16)
PATH = {
    "ego_history_xyz": np.stack([STEPS, 0 * STEPS, 0 * STEPS], axis=-1),
    "ego_history_rot": np.tile(np.eye(3), (16, 1, 1)),
}
NAMES = ["top", "wrist"]


@pytest.fixture(scope="module")
def loaded(family, family_checkpoint):
    """Config and processor of a family."""
    return SimpleNamespace(
        config=family.config.from_pretrained(family_checkpoint),
        processor=family.processor.from_pretrained(family_checkpoint),
        robot=family.unnorm_key is not None,
        family=family,
    )


@pytest.fixture
def recorded(loaded):
    """The same with the names of its views."""
    made = SimpleNamespace(**vars(loaded))
    made.config, made.processor = copy.deepcopy(loaded.config), copy.copy(loaded.processor)
    assert record_views(made.config, made.processor, ["observation.images.top", "wrist"]) == NAMES
    return made


def pixels(loaded, images):
    if loaded.robot:
        return loaded.processor(images=images, text="go", state=[0.1] * 8)["pixel_values"]
    return loaded.processor(images, *PATH.values())["pixel_values"]


def test_a_dict_in_any_order_is_the_list_in_the_recorded_one(recorded):
    wanted = pixels(recorded, VIEWS)
    for first, second in (("top", "wrist"), ("observation.images.top", "wrist")):
        for names in ((first, second), (second, first)):
            views = {name: VIEWS[0] if name == first else VIEWS[1] for name in names}
            assert torch.equal(pixels(recorded, views), wanted), names
    swapped = pixels(recorded, {"top": VIEWS[1], "wrist": VIEWS[0]})
    assert not torch.equal(swapped, wanted)


@pytest.mark.parametrize(
    "names",
    [
        ("primary", "wrist"),
        ("top",),
        ("top", "wrist", "side"),
        ("top", "observation.images.top"),
        ("top", "wrist", "observation.images.top"),
        (),
    ],
)
def test_other_names_are_refused_with_both_lists(recorded, names):
    views = dict.fromkeys(names, VIEWS[0])
    with pytest.raises(InputError) as caught:
        pixels(recorded, views)
    assert f"images has the views {list(names)}" in str(caught.value) and "['top', 'wrist']" in str(caught.value)


def test_without_recorded_names_the_first_view_decides(loaded):
    if not loaded.robot:
        with pytest.raises(InputError, match=r"cameras \['top', 'wrist'\], but this checkpoint records no view_names"):
            pixels(loaded, dict(zip(NAMES, VIEWS, strict=True)))
        return
    views = {"observation.images.wrist": VIEWS[1], "observation.images.primary": VIEWS[0]}
    assert torch.equal(pixels(loaded, views), pixels(loaded, VIEWS))
    with pytest.raises(InputError, match="exactly one of"):
        pixels(loaded, dict(zip(NAMES, VIEWS, strict=True)))


def test_names_are_saved_with_config_and_processor(recorded, tmp_path):
    recorded.config.save_pretrained(tmp_path)
    recorded.processor.save_pretrained(tmp_path)
    assert recorded.family.config.from_pretrained(tmp_path).view_names == NAMES
    assert recorded.family.processor.from_pretrained(tmp_path).view_names == NAMES
    assert recorded.family.config().view_names is None if recorded.family.prefix == "CogVLA" else True


def test_a_processor_has_as_many_names_as_views(recorded, tmp_path):
    if not recorded.robot:
        pytest.skip("a car's model sees any number of views")
    recorded.processor.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"view_names=.* has 3 names; the model sees \d views"):
        recorded.family.processor.from_pretrained(tmp_path, num_images_in_input=2, view_names=[*NAMES, "side"])


def test_training_puts_a_dict_in_the_same_order(recorded):
    collator = collator_for(recorded.config, recorded.processor, unnorm_key=recorded.family.unnorm_key)
    augmented = collator_for(recorded.config, recorded.processor, lambda image: image, recorded.family.unnorm_key)
    if recorded.robot:
        example = {"text": "go", "state": np.zeros(8), "actions": np.zeros((8, 7))}
    else:
        example = PATH | {"ego_future_xyz": np.zeros((64, 3)), "ego_future_rot": np.tile(np.eye(3), (64, 1, 1))}
    for collate in (collator, augmented):
        wanted = collate([example | {"images": VIEWS}])["pixel_values"]
        views = {"wrist": VIEWS[1], "observation.images.top": VIEWS[0]}
        assert torch.equal(collate([example | {"images": views}])["pixel_values"], wanted)
        with pytest.raises(InputError, match="trained with"):
            collate([example | {"images": {"primary": VIEWS[0], "wrist": VIEWS[1]}}])


@pytest.mark.parametrize(
    ("names", "count", "words"),
    [
        ("top", None, "must be a list"),
        ([], None, "must be a list"),
        (["top", ""], None, "must be a list"),
        (["top", "observation.images.top"], None, "twice"),
        (["top"], 2, r"has 1 names; the model sees 2 views"),
    ],
)
def test_names_that_cannot_be_are_refused(names, count, words):
    with pytest.raises(ConfigError, match=words):
        checked_view_names(names, count)


def test_a_refused_record_changes_nothing():
    config = vlahub.CogVLAConfig(num_images_in_input=2)
    processor = SimpleNamespace(view_names=None, image_processor=None)
    with pytest.raises(ConfigError, match="3 names"):
        record_views(config, processor, ["a", "b", "c"])
    assert config.view_names is None and processor.view_names is None


def test_columns_follow_the_names_of_a_checkpoint():
    kinds = {"observation.images.wrist": datasets.Image(), "depth": DepthImage(), "top": datasets.Image()}
    frames = datasets.Dataset.from_dict({name: [] for name in kinds}, features=datasets.Features(kinds))
    assert camera_columns(frames, None) == ["observation.images.wrist", "top"]
    assert camera_columns(frames, NAMES) == ["top", "observation.images.wrist"]
    assert camera_columns(frames, NAMES, ["depth"]) == ["depth"]
    with pytest.raises(InputError, match=r"views \['front'\], the dataset has \['wrist', 'top'\]"):
        camera_columns(frames, ["front"])
