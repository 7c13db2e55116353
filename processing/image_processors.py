"""What image processors share: checked settings; and camera images, views of a scene, brought to one size."""

import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature

from ..configuration.checkpoint_json import read_mapping
from ..configuration.checkpoint_place import check_place
from ..configuration.known_fields import check_arguments
from ..configuration.language_model_config import check_positive
from ..configuration.vla_config import alias
from ..configuration.vla_errors import ConfigError, InputError
from .loading_words import OF_IMAGES
from .sample_inputs import read_samples

IMAGE_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
MISSPELT = 0.85  # how much alike a word is that can only be meant, of 1
OF_FILES = ("auto_map", "feature_extractor_type", "image_processor_type", "processor_class")  # beside the settings


class CheckedImageProcessor(BaseImageProcessor):
    """Checks what is given to `from_pretrained` as its constructor checks it; a subclass names its `arguments`.

    Raises:
        ConfigError: an argument that the class has not; a file may hold some of another release.
    """

    model_input_names = ["pixel_values"]
    arguments = ()
    makes_prompts = False  # whether it puts image tokens into prompts, too

    def __init__(self, **kwargs: Any):
        check_arguments(type(self).__name__, kwargs, (*self.arguments, *OF_FILES))
        super().__init__(**kwargs)

    @classmethod
    def get_image_processor_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any
    ) -> tuple[dict, dict]:
        """As in transformers, of `from_pretrained`. Raises CheckpointError for a place without an image processor."""
        check_place(pretrained_model_name_or_path, IMAGE_PROCESSOR_FILES, kwargs.get("subfolder"))
        return super().get_image_processor_dict(pretrained_model_name_or_path, **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> list[str]:
        """As in transformers, and into the file of a processor that lies there: 5.x reads that one."""
        written = super().save_pretrained(save_directory, *args, **kwargs)
        path = Path(save_directory, IMAGE_PROCESSOR_FILES[1])
        fields = read_mapping(path) if path.is_file() else {}
        if "image_processor" in fields:
            fields["image_processor"] |= json.loads(self.to_json_string())
            text = json.dumps(fields, indent=2, sort_keys=True, allow_nan=False)
            path.write_text(text + "\n", encoding="utf-8")
        return written

    @classmethod
    def from_dict(cls, image_processor_dict: dict[str, Any], **kwargs: Any):
        """As in transformers, which sets what overrides the file as attributes that nobody has checked.

        Other words are those of a processor and its tokenizer, and pass, but for a misspelt one and for those of other
        image processors, of which transformers 5 would make attributes that nothing reads.
        """
        for name, value in kwargs.items():
            alike = difflib.get_close_matches(name, cls.arguments, 1, MISSPELT)
            if alike and alike != [name]:
                raise ConfigError(f"{cls.__name__} has no argument {name}={value!r}: did you mean {alike[0]}?")
            if name in OF_IMAGES.difference(cls.arguments):
                raise ConfigError(
                    f"{cls.__name__} has no argument {name}={value!r}; it has {', '.join(sorted(cls.arguments))}."
                )
        overrides = {name: kwargs.pop(name) for name in cls.arguments if name in kwargs}
        own = {name for name in image_processor_dict if name in (*cls.arguments, *OF_FILES) or name[0] == "_"}
        read = {name: image_processor_dict[name] for name in own}
        found = super().from_dict({**read, **overrides}, **kwargs)
        for name in image_processor_dict.keys() - own:
            setattr(found[0] if isinstance(found, tuple) else found, name, image_processor_dict[name])
        return found


class FixedSizeImageProcessor(CheckedImageProcessor):
    """Resizes (PIL bicubic, no crop) and normalises; a subclass says how, in `normalized`.

    Attributes:
        size: `{"height": pixels, "width": pixels}` of the model's input.
        num_images_in_input: views of one sample; `None` is any number, the same for all samples of a batch. Published
            as `num_views`.
    """

    makes_patches = False
    num_images_in_input = alias("num_views")

    def __init__(
        self, size: Mapping[str, int], num_views: int | None, num_images_in_input: int | None = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        num_views = num_views if num_images_in_input is None else num_images_in_input
        if num_views is not None:
            check_positive("num_views", num_views)
        self.size = checked_size(size)
        self.num_views = num_views

    def preprocess(self, images: Any, return_tensors: str | None = None, **kwargs: Any) -> BatchFeature:
        """Turn the images of one sample or of a batch into model input.

        Args:
            images: one sample is an image, a list of images or a dict of name -> image; a batch is a list of such lists
                or dicts. With one view a flat list of images is a batch. A dict names its first view 'primary' or
                'full_image'; the others follow in the dict's order. An image is a PIL image, a uint8 array (height,
                width, 3) or a uint8 tensor (height, width, 3) or (3, height, width).
            return_tensors: "pt" or "np"; None gives numpy.

        Returns:
            `pixel_values`: (batch, views, 3, height, width) float32.

        Raises:
            InputError: an image of another form, a wrong number of views, a dict without a first view, or an option
                that does not exist.
        """
        if kwargs:
            raise InputError(f"unknown options {sorted(kwargs)}; known is return_tensors.")
        samples = read_samples(images, self.num_images_in_input)
        pixels = np.stack([[self._pixels(view) for view in sample] for sample in samples])
        return BatchFeature({"pixel_values": pixels}, tensor_type=return_tensors)

    def _pixels(self, image: np.ndarray) -> np.ndarray:
        """image: (height, width, 3) uint8 -> (3, *size) float32."""
        height, width = self.size["height"], self.size["width"]
        if image.shape[:2] != (height, width):
            image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
        return self.normalized(image.transpose(2, 0, 1))

    def normalized(self, pixels: np.ndarray) -> np.ndarray:
        """(3, height, width) uint8 -> float32, as the vision tower was trained."""
        raise NotImplementedError


def checked_size(size: Any) -> dict[str, int]:
    if not isinstance(size, Mapping) or set(size) != {"height", "width"}:
        raise ConfigError(f"size must be {{'height': pixels, 'width': pixels}}, got {size!r}.")
    for name in ("height", "width"):
        check_positive(f"size[{name!r}]", size[name])
    return {"height": size["height"], "width": size["width"]}
