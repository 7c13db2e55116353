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
        crosses: images are read by cross-attention; there are no features of them among the tokens.
        stack_alone: its forward reads no embeddings beside pixels: the images are put among them first, and its
            language model reads them.
        projects_apart: features are projected behind `get_image_features`.
        turned_experts: 4.57 holds experts the other way round than 5.x, as the published weights do.
        carries_state: layers hand a state from token to token, which padding between tokens would wear off.
        reads_sizes: the vision tower reads sizes, masks or grids of the images as numbers of the host, so that its
            features are made before the part of a prediction that asks no device.
        takes_lengths: since 5.9 that tower takes what follows from the grid ready-made.
    """

    first_position: int = 0
    full_prefix: bool = False
    open_images: bool = False
    layered_features: bool = False
    tiled: bool = False
    one_size: bool = False
    crosses: bool = False
    stack_alone: bool = False
    projects_apart: bool = False
    turned_experts: bool = False
    carries_state: bool = False
    reads_sizes: bool = False
    takes_lengths: bool = False

    @property
    def replaceable_features(self) -> bool:
        """Whether another projector, or FiLM, can put features in the place of the VLM's own."""
        return not self.layered_features and not self.crosses


VLMS = {
    "aya_vision": VLMFacts(),
    "blip-2": VLMFacts(one_size=True, stack_alone=True, reads_sizes=True),
    "cohere2_vision": VLMFacts(),
    "deepseek_vl": VLMFacts(one_size=True),
    "gemma3": VLMFacts(open_images=True),
    "glm4v": VLMFacts(reads_sizes=True),
    "idefics3": VLMFacts(tiled=True, reads_sizes=True),
    "internvl": VLMFacts(),
    "janus": VLMFacts(one_size=True),
    "llama4": VLMFacts(tiled=True, stack_alone=True, projects_apart=True),
    "llava": VLMFacts(one_size=True),
    "llava_next": VLMFacts(tiled=True, reads_sizes=True),
    "llava_onevision": VLMFacts(tiled=True, reads_sizes=True),
    "mistral3": VLMFacts(reads_sizes=True),
    "minicpmv4_6": VLMFacts(tiled=True, carries_state=True, reads_sizes=True),
    "mllama": VLMFacts(tiled=True, crosses=True),
    "paligemma": VLMFacts(first_position=1, full_prefix=True, one_size=True),
    "qwen2_vl": VLMFacts(reads_sizes=True, takes_lengths=True),
    "qwen2_5_vl": VLMFacts(reads_sizes=True, takes_lengths=True),
    "qwen3_vl": VLMFacts(layered_features=True),
    "qwen3_vl_moe": VLMFacts(layered_features=True, turned_experts=True),
    "smolvlm": VLMFacts(tiled=True, reads_sizes=True),
    "vipllava": VLMFacts(one_size=True),
}
# Fields that 5.x reads under two names and 4.57 under the older one alone; both are written.
OLDER_NAMES = {
    "qwen3_moe": {"num_experts": "num_local_experts"},
    "qwen3_vl_moe_text": {"num_experts": "num_local_experts"},
    "vipllava": {"vision_feature_layers": "vision_feature_layer"},
}
UNFIT_VLMS = {
    "florence2": "it is an encoder with a decoder behind it, and the positions of its encoder count padding",
    **dict.fromkeys(("gemma3n", "gemma4"), "its layers read the token ids, too, and not their embeddings alone"),
}
