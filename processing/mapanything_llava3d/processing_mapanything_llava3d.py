"""From what a robot has (camera images, an instruction, its state, its cameras) to what the LLaVA-3D model reads.

Published form: lululuyuanyuanyuanGe/3dvla-starvla_framework, processing_mapanything_llava3d.py.
"""

import re
from collections.abc import Sequence
from typing import Any

import torch
from transformers import BatchFeature

from ...configuration.language_model_config import check_positive
from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.vla_config import alias
from ...configuration.vla_errors import InputError
from ...modeling.action_normalization import unnormalize
from ..advantage_prompt import ADVANTAGE_TEMPLATE
from ..chat_turns import Turn, chat_pieces, read_turns, without_frame
from ..prompts import instruction_of, padded
from ..robot_processor import RobotProcessor
from ..sample_inputs import finite_numbers, whole_numbers
from .camera_intrinsics import checked_intrinsic_config, resized_intrinsics
from .image_processing_mapanything_llava3d import MapAnythingLlava3DImageProcessor
from .image_prompt import add_image_token, image_prompt_ids
from .spatial_action_tokenizer import ACTION_DIM, ACTION_TOKEN, SpatialActionTokenizer, add_action_tokens, warn_of_cut


class MapAnythingLlava3DProcessor(RobotProcessor):
    """Images, instruction, state and camera matrices of one sample or a batch become the arguments of the model.

    Args:
        image_processor: a `MapAnythingLlava3DImageProcessor`.
        tokenizer: the language model's tokenizer; the image token and the action tokens are added where it lacks them.
        image_token: marks in a text where the image features go.
        image_seq_length: image tokens of one view; `None` is the image processor's number of patches.
        norm_stats, normalization_type, state_dim: as in `MapAnythingLlava3DConfig`; `state_dim` is `None` for a model
            without state.
        proprio_dim: `state_dim` under the word of other checkpoints.
        intrinsic_config: `{key: {"intrinsic": 3 x 3, "width": pixels, "height": pixels}}`, the camera of each dataset.
        action_token_config: settings of `SpatialActionTokenizer`, see its `to_dict`; `None`: no action tokens.
        prompt_template: what an instruction is put into, at "{instruction}".
        padding_side: "right" for actions, "left" for `generate`.
        view_names: names of the views in the order of training; a dict of views is put in that order.
        advantage_template: the instruction with a word of `advantage`, at "{instruction}" and "{advantage}".

    Raises:
        ConfigError: an argument has the wrong form or does not fit the tokenizer; the message names it.
    """

    auto_classes = MapAnythingLlava3DConfig.auto_classes
    model_types = (MapAnythingLlava3DConfig.model_type,)
    state_parts = ("state", "proprio")
    proprio_dim = alias("state_dim")

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
        proprio_dim: int | None = None,
        advantage_template: str = ADVANTAGE_TEMPLATE,
        **kwargs,
    ):
        self.image_token = image_token
        self.image_seq_length = image_processor.image_seq_length if image_seq_length is None else image_seq_length
        check_positive("image_seq_length", self.image_seq_length)
        self.intrinsic_config = checked_intrinsic_config(intrinsic_config)
        tokens = None if action_token_config is None else SpatialActionTokenizer.from_dict(action_token_config)
        self.action_token_config = tokens and tokens.to_dict()
        robot = norm_stats, normalization_type, tokens and ACTION_DIM, state_dim
        words = prompt_template, padding_side, view_names, proprio_dim, advantage_template
        super().__init__(image_processor, tokenizer, *robot, *words, **kwargs)
        add_image_token(tokenizer, image_token)
        if tokens is not None:
            add_action_tokens(tokenizer, tokens.vocab_size)

    @property
    def image_token_id(self) -> int:
        """The tokenizer's id of `image_token`."""
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
        proprio: Any = None,
        advantage: str | Sequence[str | None] | None = None,
        embodiment_id: int | Sequence[int] | None = None,
        history: Any = None,
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
            proprio: `state` under the word of other checkpoints.
            advantage: a word beside the instruction, such as "positive", for a model that learnt such words; one for
                all samples or one for each, `None` for none.
            embodiment_id: whose encoders and decoders the model uses, where it has several (`num_embodiments`); one for
                all samples or one for each.
            history: earlier turns, the oldest first, see `read_turns`; they and the text go through the tokenizer's
                chat template, and the images stand before the text where none of these texts has an image token. For a
                batch a list of turns for each sample.

        Returns:
            `input_ids` and `attention_mask` (batch, length), `pixel_values` (batch, views, 3, height, width) and, where
            they exist, `state` (batch, state_dim), normalised, and `intrinsic` (batch, views, 3, 3) in pixels of the
            resized images, and `embodiment_id` (batch,) as it was given: the arguments of `predict_action`.

        Raises:
            InputError: the number of views or image tokens, the form of an argument or the `unnorm_key` is wrong, or
                there are earlier turns and no chat template.
        """
        samples, instructions, data = self.read(images, text, state, proprio, unnorm_key, return_tensors)
        matrices = resized_intrinsics(intrinsic, self.intrinsic_config, unnorm_key, samples, self.image_processor.size)
        if matrices is not None:
            data["intrinsic"] = matrices.numpy()
        said = zip(
            instructions, read_turns(history, len(samples)), self.advantages(advantage, len(samples)), strict=True
        )
        ids = [self.prompt_ids(text, len(samples[0]), turns, word) for text, turns, word in said]
        if actions is not None:
            suffixes = self.action_ids(actions, len(samples))
            ids = [prompt + suffix for prompt, suffix in zip(ids, suffixes, strict=True)]
        data |= padded(ids, self.tokenizer, padding_side or self.padding_side)
        data["pixel_values"] = self.image_processor(samples)["pixel_values"]
        if embodiment_id is not None:
            data["embodiment_id"] = whole_numbers("embodiment_id", embodiment_id, len(samples))
        return BatchFeature(data, tensor_type=return_tensors)

    def prompt_ids(
        self, instruction: str, views: int, turns: Sequence[Turn] = (), advantage: str | None = None
    ) -> list[int]:
        """The prompt of one sample; an instruction that is the whole prompt already is taken out of it.

        turns: earlier ones, written by the chat template, as the instruction then is.
        """
        pieces = self.prompt_template.split("{instruction}")
        instruction = self.with_advantage(self.instruction_of(instruction), advantage)
        image = self.image_token, self.image_seq_length, views
        if not turns:
            return image_prompt_ids(self.tokenizer, pieces, instruction, *image)
        texts = [*(turn.text for turn in turns), instruction]
        before, behind = without_frame(self.tokenizer, self.chat_template, pieces)
        if not any(self.image_token in text for text in (*texts, before, behind)):
            before = f"{self.image_token} {before}"
        said = [*((turn.role, "", "") for turn in turns), ("user", before, behind)]
        chat = chat_pieces(self.tokenizer, self.chat_template, said)
        return image_prompt_ids(self.tokenizer, chat, texts, *image, add_special_tokens=False)

    def instruction_of(self, text: str) -> str:
        """As in `RobotProcessor`, the images of the prompt being where its template has them, or in front of it."""
        pieces = self.prompt_template.split("{instruction}")
        head = pieces[0].replace(self.image_token, "{images}")
        head = head if "{images}" in head else "{images}" + head
        return instruction_of(text, head, pieces[-1], rf"(?:{re.escape(self.image_token)}\s*)*")

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
        warn_of_cut(values)
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
        return unnormalize(actions, self.action_statistics(unnorm_key), self.normalization_type)
