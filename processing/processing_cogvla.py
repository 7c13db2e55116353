"""From what a robot has (camera images, an instruction, its state) to what the CogVLA model reads."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import BatchFeature, ProcessorMixin

from ..configuration.configuration_cogvla import CogVLAConfig
from ..configuration.remote_code import write_remote_code
from ..configuration.vla_errors import InputError
from ..modeling.action_normalization import find_statistics, normalize
from .image_processing_cogvla import CogVLAImageProcessor
from .portable_tokenizer import make_tokenizer_portable

PROMPT = "In: What action should the robot take to {instruction}?\nOut:"


class CogVLAProcessor(ProcessorMixin):
    """Images, instruction and state of one sample or a batch become the arguments of `predict_action`.

    Args:
        image_processor: a `CogVLAImageProcessor`; it also holds how many views a sample has.
        tokenizer: the language model's tokenizer; prompts are padded on the right.
        norm_stats, normalization_type, proprio_dim: as in `CogVLAConfig`; they normalise the robot state.
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
        **kwargs,
    ):
        self.norm_stats = norm_stats or {}
        self.normalization_type = normalization_type
        self.proprio_dim = proprio_dim
        tokenizer.padding_side = "right"
        super().__init__(image_processor, tokenizer, **kwargs)

    def __call__(
        self,
        images: Any,
        text: str | Sequence[str],
        state: Any = None,
        unnorm_key: str | None = None,
        center_crop: bool | None = None,
        return_tensors: str = "pt",
    ) -> BatchFeature:
        """Prepare one sample (`text` is a string) or a batch (`text` is a list of strings).

        Args:
            images: the views of a sample, as a list or as a dict such as `{"primary": ..., "wrist": ...}`; for a batch
                a list of these. Each image is PIL, or uint8 (height, width, 3).
            text: the instruction, such as "pick up the bowl".
            state: the robot's state in its own units, (proprio_dim,) or (batch, proprio_dim); for a model with it.
            unnorm_key: whose statistics normalise the state; needed where the checkpoint holds several.
            center_crop: crop the images to 90 % of their area, as for models trained with random crops; the image
                processor's setting by default.
            return_tensors: "pt" or "np".

        Returns:
            `input_ids` and `attention_mask` (batch, length), `pixel_values` (batch, 6 * views, height, width) and, for
            a model that takes the state, `proprio` (batch, proprio_dim), normalised: the arguments of `predict_action`.

        Raises:
            InputError: the number of views, the form of the state or the `unnorm_key` is wrong.
        """
        instructions = [text] if isinstance(text, str) else list(text)
        samples = [images] if isinstance(text, str) else list(images)
        if len(samples) != len(instructions):
            raise InputError(f"images holds {len(samples)} samples, text {len(instructions)}; they must be as many.")
        samples = [s if isinstance(s, (list, tuple, Mapping)) else [s] for s in samples]
        proprio = self.normalize_state(state, len(instructions), unnorm_key)
        prompts = [PROMPT.format(instruction=instruction.lower()) for instruction in instructions]
        tokens = self.tokenizer(prompts, padding=True, return_token_type_ids=False)
        pixel_values = self.image_processor(samples, center_crop=center_crop)["pixel_values"]
        data = {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}
        data["pixel_values"] = pixel_values
        if proprio is not None:
            data["proprio"] = proprio.numpy()
        return BatchFeature(data, tensor_type=return_tensors)

    def normalize_state(self, state: Any, batch_size: int, unnorm_key: str | None) -> torch.Tensor | None:
        """(batch, proprio_dim) in -1..1 (or standard deviations) from the robot's own units."""
        if self.proprio_dim is None:
            if state is not None:
                raise InputError("state was given, but this checkpoint takes no robot state (proprio_dim is None).")
            return None
        if state is None:
            raise InputError(f"state is missing: this checkpoint needs the robot's {self.proprio_dim} state values.")
        try:
            values = torch.as_tensor(state, dtype=torch.float32)
        except (TypeError, ValueError) as error:
            raise InputError(f"state must be numbers, (proprio_dim,) or (batch, proprio_dim): {error}") from error
        if values.dim() == 1 and batch_size == 1:
            values = values.unsqueeze(0)
        if values.shape != (batch_size, self.proprio_dim):
            raise InputError(
                f"state has shape {tuple(values.shape)}; (batch, proprio_dim) is {(batch_size, self.proprio_dim)}."
            )
        if not values.isfinite().all():
            raise InputError(f"state holds values that are not finite: {values.tolist()}.")
        statistics = find_statistics(self.norm_stats, unnorm_key).get("proprio")
        if statistics is None:
            raise InputError(f"the statistics of unnorm_key={unnorm_key!r} have no 'proprio' part to normalise by.")
        return normalize(values, statistics, self.normalization_type)

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs) -> None:
        """As in transformers, in the files that both lines read; the folder also gets the code that loads it."""
        folder = Path(save_directory)
        for part in (self, self.image_processor):
            part.auto_map = {k: v for k, v in CogVLAConfig.auto_classes.items() if "Processor" in k}
        super().save_pretrained(folder)
        self.image_processor.save_pretrained(folder)  # 4.57 reads it from a file of its own
        make_tokenizer_portable(folder, type(self).__name__)
        write_remote_code(type(self), CogVLAConfig.auto_classes, folder)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", folder.name), **kwargs)
