"""A vision tower's own image processor of transformers, kept as settings: what it is made of again, on either line."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature

from ...configuration.language_model_config import check_positive
from ...configuration.vla_config import alias
from ...configuration.vla_errors import ConfigError, InputError
from ..image_processors import CheckedImageProcessor
from ..sample_inputs import read_samples
from .image_processing_vlm import NOT_SETTINGS, made, uses_torchvision
from .own_classes_of_vlms import image_processor_class, without_backend

# Without torchvision transformers has none for DINOv3; these steps are the same, but for rounding to 8 bits in between.
STAND_INS = {"DINOv3ViTImageProcessor": "ViTImageProcessor"}


class TowerImageProcessor(CheckedImageProcessor):
    """The image processor that a vision tower was trained with: its size, crop, filter and statistics.

    Args:
        image_settings: its arguments, and its class as `image_processor_type`.
        use_torchvision: take the class of torchvision where there are two; otherwise that of PIL and numpy, whose
            pixels are the same everywhere. Where the one asked for is missing, the other is taken.
        num_views: views of one sample; `None` is any number, the same for all samples of a batch. Also called
            `num_images_in_input`.

    Raises:
        ConfigError: transformers has no such class, or what it needs is not installed.
    """

    arguments = ("image_settings", "use_torchvision", "num_views", "num_images_in_input")
    makes_patches = False
    num_images_in_input = alias("num_views")

    def __init__(
        self,
        image_settings: Mapping[str, Any] | None = None,
        use_torchvision: bool = False,
        num_views: int | None = None,
        num_images_in_input: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        num_views = num_views if num_images_in_input is None else num_images_in_input
        if num_views is not None:
            check_positive("num_views", num_views)
        self.image_settings = copy.deepcopy(dict(image_settings or {}))
        self.use_torchvision = use_torchvision
        self.num_views = num_views
        self.own_image_processor()  # before the first batch

    @classmethod
    def around(cls, processor: BaseImageProcessor, **overrides: Any) -> "TowerImageProcessor":
        """Of a tower's own image processor; overrides: arguments of this class, `image_settings` one by one."""
        name = type(processor).__name__
        settings = processor.to_dict() | {"image_processor_type": name}
        return cls.of_settings(settings, **{"use_torchvision": uses_torchvision(name), **overrides})

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any], **overrides: Any) -> "TowerImageProcessor":
        """Of the settings in a tower's folder, such as a `preprocessor_config.json`; overrides as in `around`.

        Raises ConfigError as the class does, and for settings that name no class.
        """
        name = settings.get("image_processor_type") or settings.get("feature_extractor_type")
        if not isinstance(name, str):
            raise ConfigError("the settings of an image processor name no image_processor_type.")
        found = {key: value for key, value in settings.items() if key not in NOT_SETTINGS and key[0] != "_"}
        found |= overrides.pop("image_settings", {})
        found.pop("feature_extractor_type", None)
        kind = without_backend(name).replace("FeatureExtractor", "ImageProcessor")  # the name of older folders
        return cls(found | {"image_processor_type": kind}, **overrides)

    def own_image_processor(self) -> BaseImageProcessor:
        """The tower's image processor of transformers, made of the settings."""
        settings = dict(self.image_settings)
        name = settings.pop("image_processor_type", "")
        name = name if self.use_torchvision else STAND_INS.get(name, name)
        return made(image_processor_class(name, self.use_torchvision), settings)

    def preprocess(self, images: Any, return_tensors: str | None = None, **kwargs: Any) -> BatchFeature:
        """The images of one sample or of a batch, in the forms of `FixedSizeImageProcessor.preprocess`, as the tower's
        own image processor prepares them.

        Returns:
            `pixel_values`: (batch, views, 3, height, width) float32; from one that makes patches of its own number for
            each picture (SigLIP 2 NaFlex) (batch, views, patches, dim), beside `pixel_attention_mask` (batch, views,
            patches), 1 on patches, and `spatial_shapes` (batch, views, 2), rows and columns of them.

        Raises:
            InputError: an image of another form, a wrong number of views, an option that does not exist, or pictures
                that come out in different sizes.
        """
        if kwargs:
            raise InputError(f"unknown options {sorted(kwargs)}; known is return_tensors.")
        samples = read_samples(images, self.num_images_in_input)
        views = [Image.fromarray(view) for sample in samples for view in sample]
        own = self.own_image_processor()
        try:
            found = {name: np.asarray(value) for name, value in own(images=views, return_tensors="pt").items()}
        except ValueError as error:
            raise InputError(f"{type(own).__name__} does not make one batch of these pictures: {error}") from error
        data = {name: value.reshape(len(samples), -1, *value.shape[1:]) for name, value in found.items()}
        return BatchFeature(data, tensor_type=return_tensors)


def is_of_transformers(image_processor: Any) -> bool:
    """Whether an image processor is one of transformers itself."""
    is_known = isinstance(image_processor, BaseImageProcessor)
    return is_known and type(image_processor).__module__.startswith("transformers.models.")


def published_with_towers(vision: str | Sequence[str], overrides: dict[str, Any]) -> dict[str, Any]:
    """What was published with a vision tower or two, as overrides of `for_config`.

    One tower's own image processor, whose arguments are taken out of `overrides`; of two towers mean and deviation of
    pixels: they share pictures, resized to one size.

    vision: Hub ids or folders. Raises ConfigError where there is none, or it cannot be used here.
    """
    if isinstance(vision, str):
        given = {name: overrides.pop(name) for name in TowerImageProcessor.arguments if name in overrides}
        return {"image_processor": TowerImageProcessor.of_settings(published_settings(vision), **given)}
    found = {}
    for prefix, folder in zip(("", "second_"), vision, strict=True):
        settings = published_settings(folder)
        for name in ("image_mean", "image_std"):
            if name not in settings:
                raise ConfigError(f"vision={folder!r}: its preprocessor_config.json says no {name}.")
            found[prefix + name] = settings[name]
    return found


def published_settings(vision: str) -> dict[str, Any]:
    """Raises ConfigError where no image processor was published with a tower."""
    try:
        return TowerImageProcessor.get_image_processor_dict(vision)[0]
    except OSError as error:
        raise ConfigError(
            f"vision={vision!r} has no image processor of transformers (preprocessor_config.json); for_config has "
            "defaults for its kind."
        ) from error
