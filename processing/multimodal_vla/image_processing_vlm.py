"""A VLM's own processor of transformers, kept as settings: what it is made of again, on either line, without a folder.

It prepares whole prompts: it puts image tokens into them, as many as the size of each picture asks for, and returns
whatever its model reads beside the pixels.
"""

import copy
import functools
import inspect
from collections.abc import Mapping
from typing import Any

from transformers import AutoTokenizer, ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.models.auto.image_processing_auto import AutoImageProcessor  # see vlahub/auto_classes.py

from ...configuration.language_model_config import check_positive
from ...configuration.transformers_release import IS_4
from ...configuration.vla_config import alias
from ...configuration.vla_errors import ConfigError
from ..image_processors import CheckedImageProcessor
from .own_classes_of_vlms import image_processor_class, processor_class, root_of, without_backend

PARTS = ("image_processor", "video_processor", "tokenizer")
NOT_SETTINGS = ("processor_class", "image_processor", "tokenizer", "video_processor", "auto_map", "chat_template")


class VLMImageProcessor(CheckedImageProcessor):
    """The image processor of a VLM, and the processor that goes with it.

    Args:
        vlm_processor_class: name of the VLM's processor in transformers, such as `Idefics3Processor`.
        vlm_processor_settings: its arguments, but for the image processor and the tokenizer.
        image_settings: of its image processor: its arguments, and its class as `image_processor_type`.
        use_torchvision: take the image processor of torchvision where there are two; otherwise that of PIL and numpy,
            whose pixels are the same everywhere. Where the one asked for is missing, the other is taken.
        num_views: views of one sample; `None` is any number, the same for all samples of a batch. Also called
            `num_images_in_input`.

    Raises:
        ConfigError: transformers has no such classes, or what they need is not installed.
    """

    arguments = (
        *("vlm_processor_class", "vlm_processor_settings", "image_settings", "use_torchvision", "num_views"),
        "num_images_in_input",
    )
    makes_patches = False
    makes_prompts = True
    num_images_in_input = alias("num_views")

    def __init__(
        self,
        vlm_processor_class: str = "",
        vlm_processor_settings: Mapping[str, Any] | None = None,
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
        self.vlm_processor_class = vlm_processor_class
        self.vlm_processor_settings = copy.deepcopy(dict(vlm_processor_settings or {}))
        self.image_settings = copy.deepcopy(dict(image_settings or {}))
        self.use_torchvision = use_torchvision
        self.num_views = num_views
        self.own_image_processor()  # before the first batch

    @classmethod
    def around(cls, processor: ProcessorMixin, **overrides: Any) -> "VLMImageProcessor":
        """Of a VLM's own processor; overrides: arguments of this class, `image_settings` one by one."""
        found, kind = processor.image_processor.to_dict(), type(processor.image_processor).__name__
        changed = dict(overrides.pop("image_settings", {}))
        settings = {
            "vlm_processor_class": type(processor).__name__,
            "vlm_processor_settings": portable_settings(processor.to_dict(), type(processor)),
            "image_settings": {name: value for name, value in found.items() if name not in NOT_SETTINGS} | changed,
            "use_torchvision": uses_torchvision(kind),
        }
        settings["image_settings"]["image_processor_type"] = without_backend(kind)
        return cls(**{**settings, **overrides})

    def own_image_processor(self) -> BaseImageProcessor:
        """The VLM's image processor of transformers, made of the settings."""
        settings = dict(self.image_settings)
        kind = image_processor_class(settings.pop("image_processor_type", ""), self.use_torchvision)
        if "min_pixels" in inspect.signature(kind.__init__).parameters:  # Qwen's on 4.57, which does not read `size`
            edges = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}
            sizes = settings.get("size") or {}
            settings = {name: sizes[edge] for name, edge in edges.items() if edge in sizes} | settings
        return made(kind, settings)

    def own_processor(self, tokenizer: Any) -> ProcessorMixin:
        """The VLM's processor of transformers around a tokenizer, for images and text alone."""
        kind = without_videos(processor_class(self.vlm_processor_class))
        images = self.own_image_processor()
        parts = {"image_processor": images, "tokenizer": tokenizer}
        return made(kind, parts | without_parts(kind, images) | self.vlm_processor_settings)

    def preprocess(self, images: Any, return_tensors: str | None = None, **kwargs: Any) -> BatchFeature:
        """As in the VLM's image processor."""
        return self.own_image_processor()(images, return_tensors=return_tensors, **kwargs)


def own_processor_from(vlm: str) -> ProcessorMixin:
    """A VLM's processor of transformers as its files have it, for images and text alone; vlm: Hub id or folder.

    Raises:
        ConfigError: transformers has no such classes, or what they need is not installed.
    """
    settings, _ = ProcessorMixin.get_processor_dict(vlm)
    images, tokenizer = AutoImageProcessor.from_pretrained(vlm), AutoTokenizer.from_pretrained(vlm)
    saved = settings, images.get_image_processor_dict(vlm)[0]  # one of them names it
    kind = without_videos(
        processor_class(next((one["processor_class"] for one in saved if "processor_class" in one), ""))
    )
    parts = {"image_processor": images, "tokenizer": tokenizer} | without_parts(kind, images)
    own = made(kind, parts | portable_settings(settings, kind))
    own.chat_template = settings.get("chat_template")
    return own


def without_parts(kind: type, image_processor: BaseImageProcessor) -> dict[str, Any]:
    """Arguments for the parts that a processor of this class, made by `without_videos`, does without here."""
    if "video_processor" not in inspect.signature(kind.__init__).parameters:
        return {}
    return {"video_processor": image_processor if "video_processor" in kind.attributes else None}


def portable_settings(settings: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Arguments of a processor of this class that JSON can hold; its parts are kept elsewhere."""
    known = inspect.signature(kind.__init__).parameters
    return {
        name: value
        for name, value in settings.items()
        if name in known and name not in NOT_SETTINGS and isinstance(value, (str, int, float, bool, list, dict))
    }


def uses_torchvision(image_processor_type: str) -> bool:
    """Whether this class works on tensors; the lines mark the other one of the two."""
    return image_processor_type.endswith("Fast") if IS_4 else not image_processor_type.endswith("Pil")


def made(kind: type, arguments: Mapping[str, Any]) -> Any:
    """An object of a class of transformers. Raises ConfigError where it needs what is not installed."""
    try:
        return kind(**arguments)
    except ImportError as error:
        raise ConfigError(f"{kind.__name__} of transformers cannot be used here: {root_of(error)}.") from error


@functools.cache
def without_videos(kind: type) -> type:
    """The same processor without its video processor, which needs torchvision and is not asked here.

    MiniCPM-V asks it for settings when it is made: there the image processor, which has the same, stands in its place.
    """
    order = [name for name in inspect.signature(kind.__init__).parameters if name in PARTS]
    parts = order[:-1] if order[-1] == "video_processor" else order
    fields = {"attributes": parts, "get_attributes": classmethod(lambda cls: list(parts)), "__module__": __name__}
    # 4.57 refuses some image processors of torchvision, and tokenizers as this package saves them, by their classes.
    fields |= {"image_processor_class": "AutoImageProcessor", "tokenizer_class": "AutoTokenizer"}
    if "video_processor" in parts:
        fields["check_argument_for_proper_class"] = lambda self, name, part: type(part)
    return type(kind.__name__, (kind,), fields)
