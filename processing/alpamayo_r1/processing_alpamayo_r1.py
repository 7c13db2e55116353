"""From what a car has (camera frames, the path it drove, a request) to what Alpamayo-R1 reads, and its texts back.

Published form: NVlabs/alpamayo, helper.py (the prompt), models/base_model.py (the history's tokens) and
models/token_utils.py (the parts of the text).
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.language_model_config import check_positive
from ...configuration.vla_errors import ConfigError, InputError
from ...modeling.alpamayo_r1.reasoning_text import split_text
from ...modeling.alpamayo_r1.trajectory_tokenizers import DeltaTrajectoryTokenizer, tokenize_history
from ..advantage_prompt import ADVANTAGE_TEMPLATE, advantages_of, checked_template, with_advantage
from ..chat_turns import Turn, read_turns
from ..image_processing_alpamayo_r1 import AlpamayoR1ImageProcessor
from ..portable_processor import PortableProcessor
from ..prompts import check_image_tokens, padded, prompt_token_ids
from ..sample_inputs import check_return_tensors, checked_texts, named_in_order
from .driving_prompt import (
    IMAGE_TOKEN,
    REQUEST,
    SYSTEM_PROMPT,
    driving_prompt_pieces,
    read_history,
    request_of,
)
from .messages import CHAT_TEMPLATE, driving_messages, images_of, with_image_tokens
from .special_tokens import TRAJ_TOKEN, VALUE_TOKEN


class AlpamayoR1Processor(PortableProcessor):
    """Frames, driven path and request of one sample or a batch become the arguments of `sample_trajectories`.

    Args:
        image_processor: an `AlpamayoR1ImageProcessor`.
        tokenizer: the base model's, after `add_trajectory_tokens`.
        num_history_tokens: placeholders of the path in the prompt (`tokens_per_history_traj` of the config).
        history_token_config: arguments of the `DeltaTrajectoryTokenizer` (`hist_traj_tokenizer_cfg`).
        history_token_start_idx: id of the history's first value (`hist_token_start_idx`).
        system_prompt, request: texts of the prompt; the defaults are those that the release was trained on.
        answer_start: how the answer begins.
        padding_side: of shorter prompts in a batch; the model wants "left".
        view_names: names of the views in the order of training; a dict of views is put in that order.
        advantage_template: the request with a word of `advantage`, at "{instruction}" and "{advantage}".

    Raises:
        ConfigError: an argument has the wrong form or does not fit the tokenizer; the message names it.
    """

    auto_classes = AlpamayoR1Config.auto_classes
    model_types = (AlpamayoR1Config.model_type,)

    def __init__(
        self,
        image_processor: AlpamayoR1ImageProcessor | None = None,
        tokenizer: Any = None,
        num_history_tokens: int = 48,
        history_token_config: Mapping[str, Any] | None = None,
        history_token_start_idx: int = 154669,
        system_prompt: str = SYSTEM_PROMPT,
        request: str = REQUEST,
        answer_start: str = "<|cot_start|>",
        padding_side: str = "left",
        view_names: list[str] | None = None,
        advantage_template: str = ADVANTAGE_TEMPLATE,
        **kwargs,
    ):
        self.num_history_tokens = num_history_tokens
        self.history_token_config = copy.deepcopy(dict(history_token_config or {}))
        self.history_token_start_idx = history_token_start_idx
        self.system_prompt = system_prompt
        self.request = request
        self.answer_start = answer_start
        self.advantage_template = checked_template(advantage_template)
        check_positive("num_history_tokens", num_history_tokens)
        self.check_tokens(tokenizer)
        super().__init__(image_processor, tokenizer, padding_side, view_names, **kwargs)

    @classmethod
    def for_config(cls, config: AlpamayoR1Config, tokenizer: Any, **images: Any) -> "AlpamayoR1Processor":
        """The processor of a model.

        Args:
            tokenizer: with the tokens of trajectories, `model.tokenizer`.
            images: further arguments of the image processor, such as `image_mean`; Qwen3-VL's by default.

        Raises:
            ConfigError: the tokenizer does not have the tokens at the ids that the config says.
        """
        return cls(
            AlpamayoR1ImageProcessor(**{"min_pixels": config.min_pixels, "max_pixels": config.max_pixels, **images}),
            tokenizer,
            num_history_tokens=config.tokens_per_history_traj,
            history_token_config=config.hist_traj_tokenizer_cfg,
            history_token_start_idx=config.hist_token_start_idx,
            view_names=config.view_names,
        )

    def check_tokens(self, tokenizer: Any) -> None:
        """Refuse a tokenizer without the trajectory tokens, or with the history's values at other ids."""
        vocabulary = tokenizer.get_vocab()
        names = (TRAJ_TOKEN["history_start"], TRAJ_TOKEN["history"], TRAJ_TOKEN["history_end"], VALUE_TOKEN.format(0))
        for name in (IMAGE_TOKEN, *names):
            if name not in vocabulary:
                raise ConfigError(f"the tokenizer has no token {name!r}; call add_trajectory_tokens first.")
        first = self.history_token_start_idx - vocabulary[VALUE_TOKEN.format(0)]
        last = first + self.history_values.vocab_size - 1
        for value in (first, last):
            found, expected = vocabulary.get(VALUE_TOKEN.format(value)), vocabulary[VALUE_TOKEN.format(0)] + value
            if found != expected:
                raise ConfigError(
                    f"history_token_start_idx={self.history_token_start_idx} with {last - first + 1} values needs "
                    f"{VALUE_TOKEN.format(value)!r} at id {expected}; in the tokenizer it is at {found}."
                )

    @property
    def history_values(self) -> DeltaTrajectoryTokenizer:
        """Between a driven path and its values; ids are values plus `history_token_start_idx`."""
        return DeltaTrajectoryTokenizer(**self.history_token_config)

    def __call__(
        self,
        images: Any,
        ego_history_xyz: Any,
        ego_history_rot: Any,
        text: str | Sequence[str] | None = None,
        return_tensors: str = "pt",
        padding_side: str | None = None,
        history_frame: str = "ego",
        advantage: str | Sequence[str | None] | None = None,
        history: Any = None,
    ) -> BatchFeature:
        """Prepare one sample (a history without a batch dimension) or a batch.

        Args:
            images: of one sample (cameras, frames, 3, height, width) uint8, or lists of cameras of lists of frames, or
                a flat list, camera by camera with the oldest frame first; for a batch a list of these, one for each
                history. See `AlpamayoR1ImageProcessor.preprocess`. Where the checkpoint records `view_names`, a sample
                may be a dict of camera -> frames.
            ego_history_xyz: (steps, 3), (batch, steps, 3) or (batch, 1, steps, 3): positions in metres in the frame of
                the last pose, 0.1 s apart, the oldest first.
            ego_history_rot: the same with (3, 3) in place of 3: rotations to that frame.
            history_frame: "ego", or "world" for poses in any other frame, which are converted; predictions are in the
                frame of the last pose either way.
            text: the request, one for all samples or one for each; the processor's `request` by default. It may be the
                whole prompt with it, as `prompt_text` writes it; special tokens that it spells are text.
            history: earlier turns of the conversation, the oldest first, see `read_turns`; they stand between the
                system's line and the turn with the images. For a batch a list of turns for each sample.
            return_tensors: "pt" or "np".
            padding_side: "right" or "left"; the processor's setting by default.
            advantage: a word beside the request, such as "positive", for a model that learnt such words; one for
                all samples or one for each, `None` for none.

        Returns:
            `input_ids` and `attention_mask` (batch, length), with the history's tokens in place; `pixel_values` and
            `image_grid_thw` of all images of the batch; `ego_history_xyz` (batch, 1, steps, 3) and `ego_history_rot`
            (batch, 1, steps, 3, 3) float32: the arguments of `sample_trajectories`.

        Raises:
            InputError: an argument has the wrong form, the history has fewer than two poses, values that are not
                finite or matrices that are no rotations, its last pose is not the origin, or its tokens are not as
                many as the placeholders.
        """
        check_return_tensors(return_tensors)
        xyz, rot = read_history(ego_history_xyz, ego_history_rot, history_frame)
        samples = self.split_samples(images, len(xyz))
        requests = self.requests(text, len(xyz))
        words = zip(requests, read_turns(history, len(xyz)), advantages_of(advantage, len(xyz)), strict=True)
        pixels = [self.image_processor(sample, return_tensors="np") for sample in samples]
        rows = [
            self.prompt_ids(self.image_processor.tokens_per_image(sample["image_grid_thw"]), *said)
            for sample, said in zip(pixels, words, strict=True)
        ]
        tokens = tokenize_history(self.history_values, xyz, rot, self.history_token_start_idx)
        rows = [self.with_history(row, found) for row, found in zip(rows, tokens.tolist(), strict=True)]
        data = padded(rows, self.tokenizer, padding_side or self.padding_side)
        for name in ("pixel_values", "image_grid_thw"):
            data[name] = np.concatenate([sample[name] for sample in pixels])
        data |= {"ego_history_xyz": xyz.numpy(), "ego_history_rot": rot.numpy()}
        return BatchFeature(data, tensor_type=return_tensors)

    # ---- the published calls

    def create_message(self, frames: Any) -> list[dict[str, Any]]:
        """The chat of one scene, up to where the answer begins, for `apply_chat_template`.

        frames: (images, 3, height, width) uint8, camera by camera with the oldest frame first, or a list of images.
        Raises InputError for an array of another number of dimensions.
        """
        if getattr(frames, "ndim", 4) != 4:
            raise InputError(f"frames has shape {tuple(frames.shape)}; (images, 3, height, width) is needed.")
        return driving_messages(
            list(frames), self.system_prompt, self.num_history_tokens, self.request, self.answer_start
        )

    def apply_chat_template(
        self,
        conversation: Sequence[Any],
        chat_template: str | None = None,
        tokenize: bool = False,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        return_dict: bool = False,
        return_tensors: str | None = "pt",
        padding_side: str | None = None,
    ) -> Any:
        """Messages as text, as ids, or as arguments of the model, in which the history has placeholders.

        The published call is `apply_chat_template(create_message(frames), tokenize=True, add_generation_prompt=False,
        continue_final_message=True, return_dict=True, return_tensors="pt")`.

        Args:
            conversation: one chat, `[{"role": ..., "content": [{"type": "text", "text": ...}, ...]}, ...]`, or several;
                an image is `{"type": "image", "image": ...}` with whatever the image processor takes.
            chat_template: in Jinja; Qwen3-VL's format by default.
            tokenize: return ids and not text.
            add_generation_prompt: open the assistant's turn.
            continue_final_message: leave the last message open.
            return_dict: with `tokenize`, return `input_ids`, `attention_mask` and, where there are images,
                `pixel_values` and `image_grid_thw`, and not `input_ids` alone.
            return_tensors, padding_side: as in `__call__`.

        Raises:
            InputError: a message holds something else than text and images, or its texts hold image tokens.
        """
        single = isinstance(conversation[0], Mapping)
        chats = [conversation] if single else list(conversation)
        images = [images_of(chat) for chat in chats]
        texts = self.tokenizer.apply_chat_template(
            chats,
            chat_template=chat_template or CHAT_TEMPLATE,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
        )
        if not tokenize:
            return texts[0] if single else texts
        pixels = [self.image_processor(sample, return_tensors="np") if sample else {} for sample in images]
        counts = [self.image_processor.tokens_per_image(p["image_grid_thw"]) if p else [] for p in pixels]
        rows = [with_image_tokens(text, count) for text, count in zip(texts, counts, strict=True)]
        rows = self.tokenizer(rows, add_special_tokens=False)["input_ids"]
        data = padded(rows, self.tokenizer, padding_side or self.padding_side)
        for name in ("pixel_values", "image_grid_thw") if any(pixels) else ():
            data[name] = np.concatenate([sample[name] for sample in pixels if sample])
        output = BatchFeature(data, tensor_type=return_tensors)
        return output if return_dict else output["input_ids"]

    def fuse_traj_tokens(
        self, input_ids: torch.LongTensor, traj_data: Mapping[str, Any] | None = None
    ) -> torch.LongTensor:
        """The prompts with the driven paths in place of their placeholders, a new (batch, length).

        traj_data: `ego_history_xyz` and `ego_history_rot` as in `__call__`, in the frame of the last pose; without both
        of them the prompts stay as they are.

        Raises:
            InputError: as `__call__`, or the number of prompts is another one than that of the paths.
        """
        history = [(traj_data or {}).get(f"ego_history_{part}") for part in ("xyz", "rot")]
        if all(part is None for part in history):
            return input_ids
        xyz, rot = read_history(*history)
        if len(xyz) != len(input_ids):
            raise InputError(f"input_ids holds {len(input_ids)} prompts, ego_history_xyz {len(xyz)} paths.")
        tokens = tokenize_history(self.history_values, xyz, rot, self.history_token_start_idx)
        rows = zip(input_ids.tolist(), tokens.tolist(), strict=True)
        return torch.tensor([self.with_history(row, found) for row, found in rows]).to(input_ids)

    # ---- the parts of a prompt

    def split_samples(self, images: Any, batch_size: int) -> list[Any]:
        """The images of each sample; with one sample all that there are, in any nesting."""
        if batch_size == 1:
            return [self.in_order(images)]
        if not hasattr(images, "__len__") or len(images) != batch_size:
            count = f"{len(images)} samples" if hasattr(images, "__len__") else type(images).__name__
            raise InputError(f"images holds {count}, ego_history_xyz {batch_size}; give one entry for each history.")
        return [self.in_order(sample) for sample in images]

    def in_order(self, sample: Any) -> Any:
        """A dict of cameras as the list of their frames, in the order of training; other forms as they are."""
        if not isinstance(sample, Mapping):
            return sample
        if self.view_names is None:
            raise InputError(
                f"images has the cameras {list(sample)}, but this checkpoint records no view_names: give a list, "
                "camera by camera as in training."
            )
        return [frames for _, frames in named_in_order(sample, self.view_names)]

    def requests(self, text: str | Sequence[str] | None, batch_size: int) -> list[str]:
        """One request for each sample."""
        texts = checked_texts(self.request if text is None else text)
        if text is None or isinstance(text, str):
            return texts * batch_size
        if len(texts) != batch_size:
            raise InputError(f"text holds {len(texts)} requests, ego_history_xyz {batch_size} samples.")
        return texts

    def prompt_text(self, tokens_per_image: Sequence[int], text: str | None = None) -> str:
        """The prompt of one sample as a reader sees it, with placeholders for its history; the ids: `prompt_ids`.

        tokens_per_image: image tokens of each image; ones give the text as the published chat template writes it.
        """
        before, behind = self.prompt_pieces(tokens_per_image)
        return before + (self.request if text is None else text) + behind

    def prompt_pieces(self, tokens_per_image: Sequence[int], turns: Sequence[Turn] = ()) -> list[str]:
        """What stands around the texts of earlier turns and the request, one more than these."""
        prompt = self.system_prompt, tokens_per_image, self.num_history_tokens
        *before, behind = driving_prompt_pieces(*prompt, turns)
        return [*before, behind + self.answer_start]

    def prompt_ids(
        self,
        tokens_per_image: Sequence[int],
        text: str | None = None,
        turns: Sequence[Turn] = (),
        advantage: str | None = None,
    ) -> list[int]:
        """The prompt of one sample as ids. Raises InputError for a text that brings image tokens of its own."""
        pieces = self.prompt_pieces(tokens_per_image, turns)
        request = self.request if text is None else request_of(text, self.system_prompt, pieces[-1])
        request = with_advantage(self.advantage_template, request, advantage)
        kept = (IMAGE_TOKEN, TRAJ_TOKEN["history"])  # refused by their number
        texts = [*(turn.text for turn in turns), request]
        ids = prompt_token_ids(self.tokenizer, pieces, texts, kept, add_special_tokens=False)
        check_image_tokens(ids, self.tokenizer, IMAGE_TOKEN, sum(tokens_per_image))
        return ids

    def with_history(self, ids: list[int], history: list[int]) -> list[int]:
        """The ids with the history's tokens in place of the placeholders. Raises InputError for another number."""
        placeholder = self.tokenizer.convert_tokens_to_ids(TRAJ_TOKEN["history"])
        count = ids.count(placeholder)
        if count != len(history):
            raise InputError(
                f"the prompt has {count} history placeholders, ego_history_xyz gives {len(history)} tokens; "
                "num_history_tokens and the number of poses must fit each other: with 3 tokens a pose, give "
                f"{count // 3} poses."
            )
        tokens = iter(history)
        return [next(tokens) if i == placeholder else i for i in ids]

    def split_reasoning(self, token_ids: Any, skip_special_tokens: bool = False) -> dict[str, Any]:
        """Generated tokens, with or without the prompt, as `{"cot": ..., "meta_action": ..., "answer": ...}`.

        Args:
            token_ids: (length,) for one text in each part, (rows, length) for a list of texts. A part whose end the
                model did not write is empty.
            skip_special_tokens: whether special tokens within a part are left out.

        Raises:
            InputError: token_ids has another number of dimensions.
        """
        ids = np.asarray(token_ids.cpu() if isinstance(token_ids, torch.Tensor) else token_ids)
        if ids.ndim not in (1, 2):
            raise InputError(f"token_ids has shape {ids.shape}; accepted is (length,) or (rows, length).")
        texts = [self.tokenizer.decode(row, skip_special_tokens=False) for row in np.atleast_2d(ids).tolist()]
        parts = split_text(texts)
        if skip_special_tokens:
            special = [t.content for t in self.tokenizer.added_tokens_decoder.values() if t.special]
            parts = {part: [_without(text, special) for text in texts] for part, texts in parts.items()}
        return parts if ids.ndim == 2 else {part: texts[0] for part, texts in parts.items()}

    def decode(self, sequences: Any, skip_special_tokens: bool = False) -> dict[str, Any]:
        """Reasoning apart from the rest, see `split_reasoning`; `batch_decode` gives whole texts, as elsewhere."""
        return self.split_reasoning(sequences, skip_special_tokens)


def _without(text: str, tokens: Sequence[str]) -> str:
    for token in tokens:
        text = text.replace(token, "")
    return text.strip()
