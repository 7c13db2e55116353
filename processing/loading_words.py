"""Keyword arguments of `from_pretrained` of a processor: one that nobody would read is refused.

transformers hands all of them on to image processor and tokenizer, and each drops silently what it does not know.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from ..configuration.known_fields import check_arguments
from ..configuration.words_of_loaders import OF_LOADING, OF_MODELS, OF_TOKENIZERS

# Of image processors of transformers: ours have some of them.
OF_IMAGES = frozenset(
    [
        "center_crop",
        "crop_size",
        "data_format",
        "default_to_square",
        "disable_grouping",
        "do_center_crop",
        "do_convert_rgb",
        "do_image_splitting",
        "do_normalize",
        "do_pad",
        "do_rescale",
        "do_resize",
        "image_mean",
        "image_seq_length",
        "image_std",
        "input_data_format",
        "interpolation",
        "max_pixels",
        "merge_size",
        "min_pixels",
        "pad_size",
        "patch_size",
        "resample",
        "rescale_factor",
        "return_tensors",
        "size",
        "size_divisor",
        "temporal_patch_size",
    ]
)


def check_loading_words(kind: type, image_processor: Any, given: Mapping[str, Any]) -> None:
    """Refuse what neither the processor nor its parts nor transformers' loaders have a use for.

    Args:
        kind: class of the processor; image_processor: that was read, a `CheckedImageProcessor`.
        given: keyword arguments of `from_pretrained`.

    Raises:
        ConfigError: the message names the argument, its value, and what is spelled alike.
    """
    own = constructor_words(kind).union(type(image_processor).arguments)
    of_loaders = OF_LOADING | OF_MODELS | OF_TOKENIZERS - {"padding_side"}
    check_arguments(f"{kind.__name__}.from_pretrained", given, own | of_loaders)


def constructor_words(kind: type) -> set[str]:
    """The named arguments of a class's own constructor, which may settle those of its base classes."""
    return set(inspect.signature(kind.__init__).parameters) - {"self", "args", "kwargs"}
