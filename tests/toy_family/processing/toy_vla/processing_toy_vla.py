"""Image and instruction become what a toy VLA reads."""

import numpy as np
from transformers import BatchFeature

from ...configuration.toy_vla.configuration_toy_vla import ToyVLAConfig
from ..image_processors import FixedSizeImageProcessor
from ..prompts import padded, prompt_token_ids
from ..robot_processor import RobotProcessor


class ToyVLAImageProcessor(FixedSizeImageProcessor):
    arguments = ("size", "num_views")

    def __init__(self, size=None, num_views=1, **kwargs):
        super().__init__(size or {"height": 14, "width": 14}, num_views, **kwargs)

    def normalized(self, pixels: np.ndarray) -> np.ndarray:
        return pixels.astype(np.float32) / np.float32(255)


class ToyVLAProcessor(RobotProcessor):
    auto_classes = {
        **ToyVLAConfig.auto_classes,
        "AutoProcessor": "processing_toy_vla.ToyVLAProcessor",
        "AutoImageProcessor": "processing_toy_vla.ToyVLAImageProcessor",
    }

    def __init__(self, image_processor=None, tokenizer=None, norm_stats=None, view_names=None, **kwargs):
        robot = norm_stats, "bounds_q99", None, None
        super().__init__(image_processor, tokenizer, *robot, "{instruction}", "right", view_names, **kwargs)

    def __call__(self, images, text, state=None, unnorm_key=None, return_tensors="pt", padding_side="right"):
        samples, instructions, data = self.read(images, text, state, None, unnorm_key, return_tensors)
        ids = [prompt_token_ids(self.tokenizer, ["", ""], each) for each in instructions]
        data |= padded(ids, self.tokenizer, padding_side)
        data["pixel_values"] = self.image_processor(samples)["pixel_values"]
        return BatchFeature(data, tensor_type=return_tensors)
