"""From what a car has (camera frames, the path it drove, a request) to what Alpamayo-R1 reads, and its texts back.

Published form: NVlabs/alpamayo, helper.py (the prompt), models/base_model.py (the history's tokens) and
models/token_utils.py (the parts of the text).
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import BatchFeature

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.language_model_config import check_positive
from ...configuration.vla_errors import InputError
from ...modeling.alpamayo_r1.trajectory_tokenizers import DeltaTrajectoryTokenizer, tokenize_history
from ..advantage_prompt import ADVANTAGE_TEMPLATE, advantages_of, checked_template, with_advantage
from ..chat_turns import Turn, read_turns
from ..image_processing_alpamayo_r1 import AlpamayoR1ImageProcessor
from ..portable_processor import PortableProcessor
from ..prompts import check_image_tokens, prompt_token_ids
from ..sample_inputs import check_return_tensors
from .driving_prompt import (
    IMAGE_TOKEN,
    REQUEST,
    SYSTEM_PROMPT,
    DrivingPrompt,
    driving_prompt_pieces,
    question_prompt_pieces,
    read_history,
    request_of,
)
from .history_placeholders import check_tokens, filled
from .messages import (
    CHAT_TEMPLATE,
    SceneMessage,
    driving_text,
    images_of,
    published_frames,
    published_labels,
    with_image_tokens,
)
from .route_and_question import (
    ANSWER_START,
    QUESTION,
    check_alone,
    check_request,
    navigations_of,
    questions_of,
)
from .scene_samples import as_batch, in_order, labels_of, requests_of, split_samples
from .special_tokens import TRAJ_TOKEN
from .written_parts import split_ids


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
        camera_labels: the model was trained with names of cameras in its prompts: Alpamayo 1.5.

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
        camera_labels: bool = False,
        **kwargs,
    ):
        self.num_history_tokens = num_history_tokens
        self.history_token_config = copy.deepcopy(dict(history_token_config or {}))
        self.history_token_start_idx = history_token_start_idx
        self.system_prompt = system_prompt
        self.request = request
        self.answer_start = answer_start
        self.advantage_template = checked_template(advantage_template)
        self.camera_labels = camera_labels
        check_positive("num_history_tokens", num_history_tokens)
        check_tokens(tokenizer, history_token_start_idx, self.history_values.vocab_size)
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
            camera_labels=config.camera_labels,
        )

    @property
    def history_values(self) -> DeltaTrajectoryTokenizer:
        """Between a driven path and its values; ids are values plus `history_token_start_idx`."""
        return DeltaTrajectoryTokenizer(**self.history_token_config)

    def __call__(
        self,
        images: Any,
        ego_history_xyz: Any = None,
        ego_history_rot: Any = None,
        text: str | Sequence[str] | None = None,
        return_tensors: str = "pt",
        padding_side: str | None = None,
        history_frame: str = "ego",
        advantage: str | Sequence[str | None] | None = None,
        history: Any = None,
        camera_indices: Any = None,
        nav_text: str | Sequence[str | None] | None = None,
        question: str | Sequence[str] | None = None,
    ) -> BatchFeature:
        """Prepare one sample (a history without a batch dimension) or a batch; or questions about images.

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
            camera_indices: the number of each camera, as PhysicalAI-AV counts them (`camera_labels.py`), in the order
                of the images; of all samples, or a list with those of each. Prompts name the cameras then, as Alpamayo
                1.5 was trained: it saw cameras in the order of their numbers, and nothing is sorted here. Without, they
                are named by `view_names` where `camera_labels` is set and these are the dataset's.
            nav_text: where to drive ("Turn left onto Main St in 40m"), one for all samples or one for each, `None` for
                none; it stands between path and request, letter by letter.
            question: one, or one for each entry of `images`; it stands alone: without path, request and navigation. The
                result is for `generate_text`.

        Returns:
            `input_ids` and `attention_mask` (batch, length), with the history's tokens in place; `pixel_values` and
            `image_grid_thw` of all images of the batch; `ego_history_xyz` (batch, 1, steps, 3) and `ego_history_rot`
            (batch, 1, steps, 3, 3) float32: the arguments of `sample_trajectories`. With a question no poses.

        Raises:
            InputError: an argument has the wrong form, the history has fewer than two poses, values that are not
                finite or matrices that are no rotations, its last pose is not the origin, its tokens are not as many
                as the placeholders, cameras are not as many as the images are grouped for, navigation or question holds
                a marker, or a question comes with what it stands without.
        """
        check_return_tensors(return_tensors)
        side = padding_side or self.padding_side
        poses = {"ego_history_xyz": ego_history_xyz, "ego_history_rot": ego_history_rot}
        if question is not None:
            check_alone(poses | {"text": text, "advantage": advantage, "history": history, "nav_text": nav_text})
            return self.asked(images, questions_of(question, self.tokenizer), camera_indices, side, return_tensors)
        xyz, rot = read_history(ego_history_xyz, ego_history_rot, history_frame)
        samples = split_samples(images, len(xyz), self.view_names, "ego_history_xyz")
        labels = labels_of(images, samples, camera_indices, self.view_names, self.camera_labels)
        routes = navigations_of(nav_text, len(xyz), self.tokenizer)
        requests, turns = requests_of(text, self.request, len(xyz)), read_turns(history, len(xyz))
        words = zip(requests, turns, advantages_of(advantage, len(xyz)), labels, routes, strict=True)
        pixels = [self.image_processor(sample, return_tensors="np") for sample in samples]
        rows = [
            self.prompt_ids(self.image_processor.tokens_per_image(sample["image_grid_thw"]), *said)
            for sample, said in zip(pixels, words, strict=True)
        ]
        tokens = tokenize_history(self.history_values, xyz, rot, self.history_token_start_idx)
        rows = [self.with_history(row, found) for row, found in zip(rows, tokens.tolist(), strict=True)]
        driven = {"ego_history_xyz": xyz.numpy(), "ego_history_rot": rot.numpy()}
        return as_batch(rows, pixels, self.tokenizer, side, return_tensors, driven)

    def asked(
        self, images: Any, questions: Sequence[str], camera_indices: Any, side: str, return_tensors: str | None
    ) -> BatchFeature:
        """Questions about images, as `__call__` returns them."""
        samples = split_samples(images, len(questions), self.view_names, "question")
        labels = labels_of(images, samples, camera_indices, self.view_names, self.camera_labels)
        pixels = [self.image_processor(sample, return_tensors="np") for sample in samples]
        counts = [self.image_processor.tokens_per_image(sample["image_grid_thw"]) for sample in pixels]
        pieces = [question_prompt_pieces(self.system_prompt, *scene) for scene in zip(counts, labels, strict=True)]
        words = zip(pieces, questions, strict=True)
        rows = [prompt_token_ids(self.tokenizer, *said, add_special_tokens=False) for said in words]
        return as_batch(rows, pixels, self.tokenizer, side, return_tensors)

    # ---- the published calls

    def create_message(
        self,
        frames: Any,
        camera_indices: Any = None,
        num_frames_per_camera: int = 4,
        nav_text: str | None = None,
        use_nav_prompt: bool = False,
    ) -> list[dict[str, Any]]:
        """The chat of one scene, up to where the answer begins, for `apply_chat_template`.

        Args:
            frames: (images, 3, height, width) uint8, camera by camera with the oldest frame first, or a list of images.
            camera_indices, nav_text: as in `__call__`; num_frames_per_camera: with `camera_indices`.
            use_nav_prompt: without effect, as published.

        Raises:
            InputError: an array of another number of dimensions, frames that are not as many as said, or as `__call__`.
        """
        found = published_frames(frames)
        labels = published_labels(found, camera_indices, num_frames_per_camera, self.camera_labels)
        (route,) = navigations_of(nav_text, 1, self.tokenizer)
        text = driving_text(self.num_history_tokens, route, self.request)
        return SceneMessage(found, labels, self.system_prompt).written(text, self.answer_start)

    def create_vqa_message(
        self, frames: Any, question: str, camera_indices: Any = None, num_frames_per_camera: int = 4
    ) -> list[dict[str, Any]]:
        """The chat of a question about one scene; arguments and errors as in `create_message`."""
        found = published_frames(frames)
        labels = published_labels(found, camera_indices, num_frames_per_camera, self.camera_labels)
        (text,) = questions_of(question, self.tokenizer)
        return SceneMessage(found, labels, self.system_prompt).written(text.join(QUESTION), ANSWER_START)

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
        output = as_batch(rows, pixels, self.tokenizer, padding_side or self.padding_side, return_tensors)
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

    def in_order(self, sample: Any) -> Any:
        """A dict of cameras as the list of their frames, in the order of training; other forms as they are."""
        return in_order(sample, self.view_names)

    def prompt_text(self, tokens_per_image: Sequence[int], text: str | None = None) -> str:
        """The prompt of one sample as a reader sees it, with placeholders for its history; the ids: `prompt_ids`.

        tokens_per_image: image tokens of each image; ones give the text as the published chat template writes it.
        """
        before, behind = self.prompt_pieces(tokens_per_image)
        return before + (self.request if text is None else text) + behind

    def prompt_pieces(self, tokens_per_image: Sequence[int], *rest: Any) -> list[str]:
        """What stands around the texts of earlier turns, of navigation and the request, one more than these.

        rest: labels, whether there is navigation, and turns, see `DrivingPrompt`.
        """
        prompt = DrivingPrompt(self.system_prompt, tokens_per_image, self.num_history_tokens, *rest)
        *before, behind = driving_prompt_pieces(prompt)
        return [*before, behind + self.answer_start]

    def prompt_ids(
        self,
        tokens_per_image: Sequence[int],
        text: str | None = None,
        turns: Sequence[Turn] = (),
        advantage: str | None = None,
        labels: Sequence[str] = (),
        nav_text: str | None = None,
    ) -> list[int]:
        """The prompt of one sample as ids. Raises InputError for a text that brings image tokens of its own."""
        pieces = self.prompt_pieces(tokens_per_image, labels, nav_text is not None, turns)
        request = self.request if text is None else request_of(text, self.system_prompt, pieces[-1])
        check_request(request)
        request = with_advantage(self.advantage_template, request, advantage)
        kept = (IMAGE_TOKEN, TRAJ_TOKEN["history"])  # refused by their number
        texts = [*(turn.text for turn in turns), *([] if nav_text is None else [nav_text]), request]
        ids = prompt_token_ids(self.tokenizer, pieces, texts, kept, add_special_tokens=False)
        check_image_tokens(ids, self.tokenizer, IMAGE_TOKEN, sum(tokens_per_image))
        return ids

    def with_history(self, ids: list[int], history: list[int]) -> list[int]:
        """The ids with the history's tokens in place of the placeholders. Raises InputError for another number."""
        placeholder = self.tokenizer.convert_tokens_to_ids(TRAJ_TOKEN["history"])
        return filled(ids, history, placeholder, self.history_values.tokens_per_pose)

    def split_reasoning(self, token_ids: Any, skip_special_tokens: bool = False) -> dict[str, Any]:
        """Generated tokens, with or without the prompt, as `{"cot": ..., "meta_action": ..., "answer": ...}`.

        Args:
            token_ids: (length,) for one text in each part, (rows, length) for a list of texts. A part whose end the
                model did not write is empty.
            skip_special_tokens: whether special tokens within a part are left out.

        Raises:
            InputError: token_ids has another number of dimensions.
        """
        return split_ids(self.tokenizer, token_ids, skip_special_tokens)

    def decode(self, sequences: Any, skip_special_tokens: bool = False) -> dict[str, Any]:
        """Reasoning apart from the rest, see `split_reasoning`; `batch_decode` gives whole texts, as elsewhere."""
        return self.split_reasoning(sequences, skip_special_tokens)
