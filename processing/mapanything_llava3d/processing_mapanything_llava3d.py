"""From what a robot has (camera images, an instruction, its state, its cameras) to what the LLaVA-3D model reads.

Published form: lululuyuanyuanyuanGe/3dvla-starvla_framework, processing_mapanything_llava3d.py.
"""

import copy
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import BatchFeature, ProcessorMixin

from ...configuration.language_model_config import check_positive
from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.normalization_statistics import check_statistics
from ...configuration.view_names import checked_view_names, processor_views
from ...configuration.vla_errors import ConfigError, InputError
from ...modeling.action_normalization import find_statistics, unnormalize
from ..full_prompt import instruction_of
from ..image_inputs import pair_samples, read_samples
from ..image_prompt import add_image_token, image_prompt_ids, padded
from ..portable_processor import save_portable_processor
from ..robot_state import finite_numbers, normalized_rows, state_rows
from ..text_inputs import check_return_tensors
from .camera_intrinsics import checked_intrinsic_config, find_intrinsics, scaled_intrinsics
from .image_processing_mapanything_llava3d import MapAnythingLlava3DImageProcessor
from .spatial_action_tokenizer import ACTION_DIM, ACTION_TOKEN, SpatialActionTokenizer, add_action_tokens

STATE_PARTS = ("state", "proprio")


class MapAnythingLlava3DProcessor(ProcessorMixin):
    """Images, instruction, state and camera matrices of one sample or a batch become the arguments of the model.

    Args:
        image_processor: a `MapAnythingLlava3DImageProcessor`.
        tokenizer: the language model's tokenizer; the image token and the action tokens are added where it lacks them.
        image_token: marks in a text where the image features go.
        image_seq_length: image tokens of one view; `None` is the image processor's number of patches.
        norm_stats, normalization_type, state_dim: as in `MapAnythingLlava3DConfig`; `state_dim` is `None` for a model
            without state.
        intrinsic_config: `{key: {"intrinsic": 3 x 3, "width": pixels, "height": pixels}}`, the camera of each dataset.
        action_token_config: settings of `SpatialActionTokenizer`, see its `to_dict`; `None`: no action tokens.
        prompt_template: what an instruction is put into, at "{instruction}".
        padding_side: "right" for actions, "left" for `generate`.
        view_names: names of the views in the order of training; a dict of views is put in that order.

    Raises:
        ConfigError: an argument has the wrong form or does not fit the tokenizer; the message names it.
    """

    attributes = ["image_processor", "tokenizer"]
    if transformers.__version__.startswith("4."):  # 5.x reads the arguments of `__init__`
        image_processor_class = "AutoImageProcessor"
        tokenizer_class = "AutoTokenizer"

    def __init__(
        self,
        image_processor: MapAnythingLlava3DImageProcessor | None = None,
        tokenizer: Any = None,
        image_token: str = "<image>",
        image_seq_length: int | None = None,
        norm_stats: dict | None = None,
        normalization_type: str = "bounds_q99",
        state_dim: int | None = None,
        intrinsic_config: dict | None = None,
        action_token_config: dict | None = None,
        prompt_template: str = "{instruction}",
        padding_side: str = "right",
        view_names: list[str] | None = None,
        **kwargs,
    ):
        self.image_token = image_token
        self.image_seq_length = image_processor.image_seq_length if image_seq_length is None else image_seq_length
        self.norm_stats = copy.deepcopy(norm_stats or {})
        self.normalization_type = normalization_type
        self.state_dim = state_dim
        self.intrinsic_config = checked_intrinsic_config(intrinsic_config)
        tokens = None if action_token_config is None else SpatialActionTokenizer.from_dict(action_token_config)
        self.action_token_config = tokens and tokens.to_dict()
        self.prompt_template = prompt_template
        self.padding_side = padding_side
        self.check()
        self.view_names = checked_view_names(view_names, processor_views(image_processor))
        super().__init__(image_processor, tokenizer, **kwargs)
        add_image_token(tokenizer, image_token)
        if tokens is not None:
            add_action_tokens(tokenizer, tokens.vocab_size)

    def check(self) -> None:
        """Refuse settings that cannot work, by the name of the argument."""
        check_positive("image_seq_length", self.image_seq_length)
        if "{instruction}" not in self.prompt_template:
            raise ConfigError(f"prompt_template={self.prompt_template!r} has no '{{instruction}}' in it.")
        if self.padding_side not in ("right", "left"):
            raise ConfigError(f"padding_side={self.padding_side!r} is unknown; choose from right, left.")
        action_dim = None if self.action_token_config is None else ACTION_DIM
        check_statistics(self.norm_stats, self.normalization_type, action_dim, self.state_dim)

    @property
    def image_token_id(self) -> int:
        return self.tokenizer.convert_tokens_to_ids(self.image_token)

    @property
    def action_tokens(self) -> SpatialActionTokenizer | None:
        """Between actions and the ids of their tokens in this processor's tokenizer; `None` without action tokens."""
        if self.action_token_config is None:
            return None
        first = self.tokenizer.convert_tokens_to_ids(ACTION_TOKEN.format(0))
        return SpatialActionTokenizer.from_dict(self.action_token_config, first)

    def __call__(
        self,
        images: Any,
        text: str | Sequence[str],
        state: Any = None,
        intrinsic: Any = None,
        unnorm_key: str | Sequence[str] | None = None,
        actions: Any = None,
        return_tensors: str = "pt",
        padding_side: str | None = None,
    ) -> BatchFeature:
        """Prepare one sample (`text` is a string) or a batch (`text` is a list of strings).

        Args:
            images: the views of a sample, as a list or as a dict such as `{"primary": ..., "wrist": ...}`; for a batch
                a list of these. Each image is PIL, or uint8 (height, width, 3).
            text: the instruction. It may hold one image token, which stands for all views, or one for each view;
                without any, the images come first. It may be the whole prompt of `prompt_template` with it; other
                special tokens that it spells are text.
            state: the robot's state in its own units, (state_dim,), (batch, state_dim) or (batch, 1, state_dim).
            intrinsic: camera matrices in pixels of the images as they were taken, (3, 3), (views, 3, 3) or (batch,
                views, 3, 3); by default those of `intrinsic_config` for `unnorm_key`.
            unnorm_key: the dataset whose statistics and camera are used; needed where there are several. A batch
                may have one for each sample.
            actions: normalised actions to train on, (steps, 7) for one sample or (batch, steps, 7); their tokens follow
                the text.
            return_tensors: "pt" or "np".
            padding_side: "right" or "left"; the processor's setting by default.

        Returns:
            `input_ids` and `attention_mask` (batch, length), `pixel_values` (batch, views, 3, height, width) and, where
            they exist, `state` (batch, state_dim), normalised, and `intrinsic` (batch, views, 3, 3) in pixels of the
            resized images: the arguments of `predict_action`.

        Raises:
            InputError: the number of views or image tokens, the form of an argument or the `unnorm_key` is wrong.
        """
        check_return_tensors(return_tensors)
        samples, instructions = pair_samples(images, text)
        samples = read_samples(samples, self.image_processor.num_views, self.view_names)
        data = {"state": self.normalize_state(state, len(samples), unnorm_key)}
        data["intrinsic"] = self.resized_intrinsic(intrinsic, samples, unnorm_key)
        ids = [self.prompt_ids(instruction, len(samples[0])) for instruction in instructions]
        if actions is not None:
            suffixes = self.action_ids(actions, len(samples))
            ids = [prompt + suffix for prompt, suffix in zip(ids, suffixes, strict=True)]
        data = {name: value.numpy() for name, value in data.items() if value is not None}
        data |= padded(ids, self.tokenizer, padding_side or self.padding_side)
        data["pixel_values"] = self.image_processor(samples)["pixel_values"]
        return BatchFeature(data, tensor_type=return_tensors)

    def prompt_ids(self, instruction: str, views: int) -> list[int]:
        """The prompt of one sample; an instruction that is the whole prompt already is taken out of it."""
        pieces = self.prompt_template.split("{instruction}")
        head, tail = pieces[0].replace(self.image_token, "{images}"), pieces[-1]
        images = rf"(?:{re.escape(self.image_token)}\s*)*"
        instruction = instruction_of(instruction, head if "{images}" in head else "{images}" + head, tail, images)
        return image_prompt_ids(self.tokenizer, pieces, instruction, self.image_token, self.image_seq_length, views)

    def normalize_state(
        self, state: Any, batch_size: int, unnorm_key: str | Sequence[str] | None
    ) -> torch.Tensor | None:
        """(batch, state_dim) in -1..1 (or standard deviations) from the robot's own units."""
        if state is not None:
            form = "(state_dim,), (batch, state_dim) or (batch, 1, state_dim)"
            state = finite_numbers("state", state, form, torch.float64)
            state = state.squeeze(1) if state.dim() == 3 else state
        rows = state_rows(state, batch_size, self.state_dim, "state_dim")
        if rows is None:
            return None
        return normalized_rows(rows, self.norm_stats, unnorm_key, STATE_PARTS, self.normalization_type)

    def resized_intrinsic(
        self, intrinsic: Any, samples: list[list[np.ndarray]], unnorm_key: str | Sequence[str] | None
    ) -> torch.Tensor | None:
        """(batch, views, 3, 3) for the resized images; `None` where no camera is known."""
        sizes = [[view.shape[:2] for view in sample] for sample in samples]
        if intrinsic is None:
            cameras = find_intrinsics(self.intrinsic_config, unnorm_key, len(samples))
            if cameras is None:
                return None
            intrinsic = [[camera["intrinsic"]] * len(sample) for camera, sample in zip(cameras, samples, strict=True)]
            sizes = [
                [(camera["height"], camera["width"])] * len(sample)
                for camera, sample in zip(cameras, samples, strict=True)
            ]
        return scaled_intrinsics(intrinsic, sizes, self.image_processor.size)

    def action_ids(self, actions: Any, batch_size: int) -> list[list[int]]:
        """For each sample the ids of its actions' tokens, three for each step."""
        if self.action_token_config is None:
            raise InputError("actions were given, but this processor has no action tokens (action_token_config).")
        values = finite_numbers("actions", actions, f"(steps, {ACTION_DIM}) or (batch, steps, {ACTION_DIM})").numpy()
        if values.ndim == 2 and batch_size == 1:
            values = values[None]
        if values.ndim != 3 or values.shape[::2] != (batch_size, ACTION_DIM):
            raise InputError(
                f"actions have shape {values.shape}; accepted is (batch, steps, {ACTION_DIM}) with batch {batch_size}."
            )
        return self.action_tokens.encode(values).reshape(batch_size, -1).tolist()

    def decode_actions(self, token_ids: Any, unnorm_key: str | None = None) -> torch.Tensor:
        """Generated action tokens, without the prompt -> actions in the robot's own units.

        Args:
            token_ids: (batch, 3 * steps) or (3 * steps,), integers; end and padding tokens behind the last action are
                left out.
            unnorm_key: the dataset whose statistics are used; needed where there are several.

        Returns:
            (batch, steps, 7) float32; the batch is 1 for a single row.

        Raises:
            InputError: an id is not an action token of its place, their number is no multiple of 3, or there are no
                statistics of actions.
        """
        tokens = self.action_tokens
        if tokens is None:
            raise InputError("this processor has no action tokens (action_token_config is None).")
        ends = [i for i in (self.tokenizer.eos_token_id, self.tokenizer.pad_token_id) if i is not None]
        steps = tokens.as_steps(token_ids.cpu() if isinstance(token_ids, torch.Tensor) else token_ids, ends)
        actions = torch.from_numpy(tokens.decode(steps))
        return unnormalize(actions, find_statistics(self.norm_stats, unnorm_key)["action"], self.normalization_type)

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs) -> None:
        """As in transformers, in the files that both lines read; the folder also gets the code that loads it."""
        save_portable_processor(self, MapAnythingLlava3DConfig.auto_classes, save_directory)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", Path(save_directory).name), **kwargs)
