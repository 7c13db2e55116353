"""From what a robot has (camera images, an instruction, its state) to what the CogVLA model reads."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import BatchFeature, ProcessorMixin

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ...configuration.normalization_statistics import STATE_PARTS, check_statistics
from ...configuration.view_names import checked_view_names, processor_views
from ..full_prompt import instruction_of
from ..image_inputs import pair_samples, read_samples
from ..image_prompt import padded
from ..instruction_tokens import prompt_token_ids
from ..portable_processor import save_portable_processor
from ..robot_state import normalized_rows, state_rows
from ..text_inputs import check_return_tensors
from .image_processing_cogvla import CogVLAImageProcessor

PROMPT = "In: What action should the robot take to {instruction}?\nOut:"  # published, in all its versions


class CogVLAProcessor(ProcessorMixin):
    """Images, instruction and state of one sample or a batch become the arguments of `predict_action`.

    Args:
        image_processor: a `CogVLAImageProcessor`; it also holds how many views a sample has.
        tokenizer: the language model's tokenizer; prompts are padded on the right.
        norm_stats, normalization_type, proprio_dim: as in `CogVLAConfig`; they normalise the robot state.
        view_names: names of the views in the order of training; a dict of views is put in that order.
    """

    attributes = ["image_processor", "tokenizer"]
    if transformers.__version__.startswith("4."):  # 5.x reads the arguments of `__init__`
        image_processor_class = "AutoImageProcessor"
        tokenizer_class = "AutoTokenizer"

    def __init__(
        self,
        image_processor: CogVLAImageProcessor | None = None,
        tokenizer: Any = None,
        norm_stats: dict | None = None,
        normalization_type: str = "bounds_q99",
        proprio_dim: int | None = None,
        view_names: list[str] | None = None,
        **kwargs,
    ):
        self.norm_stats = copy.deepcopy(norm_stats or {})
        self.normalization_type = normalization_type
        self.proprio_dim = proprio_dim
        check_statistics(self.norm_stats, normalization_type, state_dim=proprio_dim)
        self.view_names = checked_view_names(view_names, processor_views(image_processor))
        super().__init__(image_processor, tokenizer, **kwargs)

    def __call__(
        self,
        images: Any,
        text: str | Sequence[str],
        state: Any = None,
        unnorm_key: str | Sequence[str] | None = None,
        center_crop: bool | None = None,
        return_tensors: str = "pt",
        image_resize: str | None = None,
    ) -> BatchFeature:
        """Prepare one sample (`text` is a string) or a batch (`text` is a list of strings).

        Args:
            images: the views of a sample, as a list or as a dict such as `{"primary": ..., "wrist": ...}`; for a batch
                a list of these. Each image is PIL, or uint8 (height, width, 3).
            text: the instruction, such as "pick up the bowl", or the whole published prompt with it. Special tokens
                that it spells are text.
            state: the robot's state in its own units, (proprio_dim,) or (batch, proprio_dim); for a model with it.
            unnorm_key: whose statistics normalise the state; needed where the checkpoint holds several.
                A batch may have one for each sample.
            center_crop: crop the images to 90 % of their area, as for models trained with random crops; the image
                processor's setting by default.
            return_tensors: "pt" or "np".
            image_resize: `jpeg_lanczos3`, as in evaluations of OpenVLA, OpenVLA-OFT and CogVLA on benchmarks, or
                `bicubic`, as OpenVLA's deploy script; the image processor's setting by default.

        Returns:
            `input_ids` and `attention_mask` (batch, length), `pixel_values` (batch, 6 * views, height, width) and, for
            a model that takes the state, `proprio` (batch, proprio_dim), normalised: the arguments of `predict_action`.

        Raises:
            InputError: the number of views, the form of the state or the `unnorm_key` is wrong.
        """
        check_return_tensors(return_tensors)
        samples, instructions = pair_samples(images, text)
        proprio = self.normalize_state(state, len(instructions), unnorm_key)
        samples = read_samples(samples, self.image_processor.num_images_in_input, self.view_names)
        data = padded([self.prompt_ids(instruction) for instruction in instructions], self.tokenizer, "right")
        options = {"center_crop": center_crop, "image_resize": image_resize}
        data["pixel_values"] = self.image_processor(samples, **options)["pixel_values"]
        if proprio is not None:
            data["proprio"] = proprio.numpy()
        return BatchFeature(data, tensor_type=return_tensors)

    def prompt_ids(self, instruction: str) -> list[int]:
        """The prompt of one sample; an instruction that is the whole prompt already is taken out of it."""
        pieces = PROMPT.split("{instruction}")
        return prompt_token_ids(self.tokenizer, pieces, instruction_of(instruction, *pieces).lower())

    def normalize_state(
        self, state: Any, batch_size: int, unnorm_key: str | Sequence[str] | None
    ) -> torch.Tensor | None:
        """(batch, proprio_dim) in -1..1 (or standard deviations) from the robot's own units."""
        rows = state_rows(state, batch_size, self.proprio_dim, "proprio_dim")
        if rows is None:
            return None
        return normalized_rows(rows, self.norm_stats, unnorm_key, STATE_PARTS, self.normalization_type)

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs) -> None:
        """As in transformers, in the files that both lines read; the folder also gets the code that loads it."""
        save_portable_processor(self, CogVLAConfig.auto_classes, save_directory)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", Path(save_directory).name), **kwargs)
