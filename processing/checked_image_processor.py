"""Image processors that check what is given to `from_pretrained` as they check the arguments of their constructor."""

from typing import Any

from transformers.image_processing_utils import BaseImageProcessor


class CheckedImageProcessor(BaseImageProcessor):
    """A subclass names its `arguments`."""

    model_input_names = ["pixel_values"]
    arguments = ()

    @classmethod
    def from_dict(cls, image_processor_dict: dict[str, Any], **kwargs: Any):
        """As in transformers, which sets what overrides the file as attributes that nobody has checked."""
        overrides = {name: kwargs.pop(name) for name in cls.arguments if name in kwargs}
        return super().from_dict({**image_processor_dict, **overrides}, **kwargs)
