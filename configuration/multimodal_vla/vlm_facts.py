"""VLMs of transformers that a composed VLA may be built around: a row a model type for what differs between them.

For each of them it was shown, on the lines of transformers that have it, that the states are those of its own
documented call, with padding on either side. `UNFIT_VLMS` says why others cannot be; what is in neither is unproven.
"""

from typing import NamedTuple


class VLMFacts(NamedTuple):
    """Of one model type.

    Attributes:
        first_position: of the first token that is not padding.
        full_prefix: tokens of a prompt see each other in both directions.
        open_images: the tokens of an image do, and token types say where they are.
        layered_features: image features enter several layers, and cannot be replaced.
        tiled: `pixel_values` has a dimension of tiles of its own, (images or samples, tiles, 3, height, width), which
            are not the views of a sample.
        one_size: each view is as many features, whatever its size.
    """

    first_position: int = 0
    full_prefix: bool = False
    open_images: bool = False
    layered_features: bool = False
    tiled: bool = False
    one_size: bool = False


VLMS = {
    "aya_vision": VLMFacts(),
    "cohere2_vision": VLMFacts(),
    "gemma3": VLMFacts(open_images=True),
    "idefics3": VLMFacts(tiled=True),
    "internvl": VLMFacts(),
    "llava": VLMFacts(one_size=True),
    "llava_next": VLMFacts(tiled=True),
    "llava_onevision": VLMFacts(tiled=True),
    "mistral3": VLMFacts(),
    "paligemma": VLMFacts(first_position=1, full_prefix=True, one_size=True),
    "qwen2_vl": VLMFacts(),
    "qwen2_5_vl": VLMFacts(),
    "qwen3_vl": VLMFacts(layered_features=True),
    "smolvlm": VLMFacts(tiled=True),
    "vipllava": VLMFacts(one_size=True),
}
# Fields that 5.x reads under two names and 4.57 under the older one alone; both are written.
OLDER_NAMES = {"vipllava": {"vision_feature_layers": "vision_feature_layer"}}
UNFIT_VLMS = {
    **dict.fromkeys(("gemma3n", "gemma4"), "its layers read the token ids, too, and not their embeddings alone"),
}
