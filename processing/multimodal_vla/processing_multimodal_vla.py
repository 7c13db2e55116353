"""From what a robot has (images, an instruction, its state) to what a composed VLA reads, and tokens to actions."""

import copy
import inspect
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import BatchFeature, ProcessorMixin

from ...configuration.known_fields import check_arguments
from ...configuration.language_model_config import check_positive
from ...configuration.normalization_statistics import STATE_PARTS, check_statistics
from ...configuration.view_names import checked_view_names, processor_views
from ...configuration.vla_errors import ConfigError, InputError
from ...modeling.action_normalization import find_statistics, normalize, unnormalize
from ...modeling.action_tokens import actions_to_tokens, tokens_to_actions
from ..full_prompt import instruction_of
from ..image_inputs import pair_samples, read_samples
from ..image_prompt import padded
from ..instruction_tokens import prompt_token_ids
from ..portable_processor import save_portable_processor
from ..robot_state import finite_numbers, normalized_rows, state_rows
from ..text_inputs import check_return_tensors
from .processor_defaults import image_processor_of, vlm_prompt

# A processor of fixed size and one of patches. The code of the one in use is saved, so only these are known.
IMAGE_PROCESSORS = ("MultimodalVLAImageProcessor", "AlpamayoR1ImageProcessor")


class MultimodalVLAProcessor(ProcessorMixin):
    """Images, instruction and state of one sample or a batch become the arguments of a composed VLA or a VLM.

    Args:
        image_processor: a `MultimodalVLAImageProcessor`, or for Qwen's towers an `AlpamayoR1ImageProcessor`.
        tokenizer: the language model's tokenizer.
        prompt_template: what an instruction is put into, at "{instruction}"; a VLM's has "{images}", too.
        image_token: the VLM's token in whose places it puts image features. `None`: a composed model, which puts image
            features before the text by itself.
        image_seq_length: image tokens of one view of a VLM; not read where the image processor makes patches, for
            their number then follows from the size of each view.
        image_format: text of one view, with its image tokens at "{image}".
        norm_stats, normalization_type: statistics of robot units, `{unnorm_key: {"action": ..., "proprio": ...}}`.
        proprio_dim: size of the robot's state; `None` for a model without state.
        num_action_chunks, action_dim: actions of one prediction and values of one action.
        num_action_bins: bins of one value of the discrete head.
        action_vocab_size: the ids of the bins are the last `num_action_bins` below it; `None`: no discrete head.
        padding_side: of shorter prompts in a batch; "right" for actions, "left" for `generate`.
        add_special_tokens: whether the tokenizer adds its begin and end tokens. By default it does so for composed
            models only: the template of a VLM writes them itself.
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
        image_processor: Any = None,
        tokenizer: Any = None,
        prompt_template: str = "{instruction}",
        image_token: str | None = None,
        image_seq_length: int | None = None,
        image_format: str = "{image}",
        norm_stats: dict | None = None,
        normalization_type: str = "bounds_q99",
        proprio_dim: int | None = None,
        num_action_chunks: int = 8,
        action_dim: int = 7,
        num_action_bins: int = 256,
        action_vocab_size: int | None = None,
        padding_side: str = "right",
        add_special_tokens: bool | None = None,
        view_names: list[str] | None = None,
        **kwargs,
    ):
        self.prompt_template = prompt_template
        self.image_token = image_token
        self.image_seq_length = image_seq_length
        self.image_format = image_format
        self.norm_stats = copy.deepcopy(norm_stats or {})
        self.normalization_type = normalization_type
        self.proprio_dim = proprio_dim
        self.num_action_chunks = num_action_chunks
        self.action_dim = action_dim
        self.num_action_bins = num_action_bins
        self.action_vocab_size = action_vocab_size
        self.padding_side = padding_side
        self.add_special_tokens = image_token is None if add_special_tokens is None else add_special_tokens
        self.check_numbers()
        self.check_prompt(image_processor, tokenizer)
        self.view_names = checked_view_names(view_names, processor_views(image_processor))
        super().__init__(image_processor, tokenizer, **kwargs)

    @classmethod
    def for_config(cls, config: Any, tokenizer: Any, **overrides: Any) -> "MultimodalVLAProcessor":
        """The processor of a model: prompt, image tokens and pixel statistics of its vision tower or VLM.

        Args:
            config: of the model. Read are `vlm_config` or `vision_config`, `image_size`, `use_proprio`, `action_head`
                and the fields that have the name of an argument of this class.
            tokenizer: the language model's.
            overrides: arguments of this class or of its image processor, such as `prompt_template`, `num_views` or
                `max_pixels`, in place of the defaults. With `image_processor` that one is used as it is; code that
                was itself loaded from a checkpoint needs it, for it may hold no other image processor.

        Raises:
            ConfigError: there is no default for this VLM, the tokenizer is not the VLM's, or an override is unknown.
        """
        names = ("norm_stats", "normalization_type", "num_action_chunks", "action_dim", "num_action_bins")
        settings = {name: getattr(config, name) for name in names}
        settings["view_names"] = getattr(config, "view_names", None)  # configs written before it lack it
        settings["proprio_dim"] = config.proprio_dim if config.use_proprio else None
        settings["action_vocab_size"] = config.action_vocab_size if config.action_head == "discrete" else None
        if "image_processor" not in overrides:
            settings["image_processor"] = image_processor_of(config, overrides)
        known = {*inspect.signature(cls.__init__).parameters, "chat_template"}
        check_arguments(cls.__name__, overrides, known)
        if config.vlm_config is not None:
            settings |= vlm_prompt(config, tokenizer, overrides)
        return cls(tokenizer=tokenizer, **{**settings, **overrides})

    def check_numbers(self) -> None:
        """Refuse sizes and statistics that cannot work, by the name of the argument."""
        for name in ("num_action_chunks", "action_dim", "num_action_bins"):
            check_positive(name, getattr(self, name))
        for name in ("proprio_dim", "action_vocab_size"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if self.num_action_bins < 2 or self.num_action_bins > (self.action_vocab_size or self.num_action_bins):
            raise ConfigError(
                f"num_action_bins={self.num_action_bins} must be at least 2 and at most action_vocab_size="
                f"{self.action_vocab_size}."
            )
        check_statistics(self.norm_stats, self.normalization_type, self.action_dim, self.proprio_dim)

    def check_prompt(self, image_processor: Any, tokenizer: Any) -> None:
        """Refuse texts that do not fit each other, the image processor or the tokenizer."""
        found = type(image_processor).__name__
        if found not in IMAGE_PROCESSORS:
            raise ConfigError(f"image_processor is a {found}; it must be a {' or a '.join(IMAGE_PROCESSORS)}.")
        if self.padding_side not in ("right", "left"):
            raise ConfigError(f"padding_side={self.padding_side!r} is unknown; choose from right, left.")
        if "{instruction}" not in self.prompt_template:
            raise ConfigError(f"prompt_template={self.prompt_template!r} has no '{{instruction}}' in it.")
        places = self.prompt_template.count("{images}")
        if places != (self.image_token is not None):
            raise ConfigError(
                f"prompt_template={self.prompt_template!r} holds '{{images}}' {places} times; it must be there once "
                f"with an image_token and not at all without one, and image_token={self.image_token!r}."
            )
        if self.image_token is None:
            return
        if self.image_token not in tokenizer.get_vocab():
            raise ConfigError(f"the tokenizer has no token image_token={self.image_token!r}.")
        if self.image_format.count("{image}") != 1:
            raise ConfigError(f"image_format={self.image_format!r} must hold '{{image}}' once.")
        if not hasattr(image_processor, "tokens_per_image"):
            check_positive("image_seq_length", self.image_seq_length)

    def __call__(
        self,
        images: Any,
        text: str | Sequence[str],
        state: Any = None,
        unnorm_key: str | Sequence[str] | None = None,
        return_tensors: str = "pt",
        padding_side: str | None = None,
    ) -> BatchFeature:
        """Prepare one sample (`text` is a string) or a batch (`text` is a list of strings).

        Args:
            images: the views of a sample, as a list or as a dict such as `{"primary": ..., "wrist": ...}`; for a batch
                a list of these, with as many views in each. Each image is PIL, or uint8 (height, width, 3).
            text: the instruction, or the whole prompt of `prompt_template` with it. Special tokens that it spells are
                text.
            state: the robot's state in its own units, (proprio_dim,) or (batch, proprio_dim).
            unnorm_key: whose statistics normalise the state; needed where there are several. A batch may have one for
                each sample.
            return_tensors: "pt" or "np".
            padding_side: "right" or "left"; the processor's setting by default.

        Returns:
            `input_ids` and `attention_mask` (batch, length), `pixel_values` (batch, views, 3, height, width) and, for a
            model that takes the state, `proprio` (batch, proprio_dim) float32, normalised. From an image processor of
            patches `pixel_values` is (patches of all images, dim) beside `image_grid_thw` (images, 3).

        Raises:
            InputError: the number of views, the form of an argument or the `unnorm_key` is wrong, or an instruction
                holds image tokens.
        """
        check_return_tensors(return_tensors)
        samples, instructions = pair_samples(images, text)
        samples = read_samples(samples, getattr(self.image_processor, "num_views", None), self.view_names)
        proprio = self.normalize_proprio(state, len(samples), unnorm_key)
        pixels, tokens_per_view = self.pixels(samples)
        rows = [self.prompt_ids(*sample) for sample in zip(instructions, tokens_per_view, strict=True)]
        data = padded(rows, self.tokenizer, padding_side or self.padding_side) | pixels
        if proprio is not None:
            data["proprio"] = proprio.numpy()
        return BatchFeature(data, tensor_type=return_tensors)

    def pixels(self, samples: list[list[np.ndarray]]) -> tuple[dict[str, np.ndarray], list[list[int]]]:
        """What the vision tower reads, and for each sample the image tokens of each of its views.

        samples: views (height, width, 3) uint8.
        """
        if not hasattr(self.image_processor, "tokens_per_image"):
            tokens = [[self.image_seq_length] * len(sample) for sample in samples]
            return {"pixel_values": self.image_processor(samples)["pixel_values"]}, tokens
        parts = [self.image_processor(sample, return_tensors="np") for sample in samples]
        tokens = [self.image_processor.tokens_per_image(part["image_grid_thw"]) for part in parts]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, tokens

    def prompt_text(self, instruction: str, tokens_per_view: Sequence[int] = ()) -> str:
        """The prompt of one sample; tokens_per_view: image tokens of each view, not read for a composed model."""
        return instruction.join(self.prompt_pieces(tokens_per_view))

    def prompt_pieces(self, tokens_per_view: Sequence[int]) -> list[str]:
        """What stands before, between and behind the places of the instruction."""
        prompt = self.prompt_template
        if self.image_token is not None:
            views = [self.image_format.replace("{image}", self.image_token * count) for count in tokens_per_view]
            prompt = prompt.replace("{images}", "".join(views))
        return prompt.split("{instruction}")

    def instruction_of(self, text: str) -> str:
        """The instruction in the whole prompt of the template, with image tokens or not; other texts as they are."""
        pieces = self.prompt_template.split("{instruction}")
        images = ""
        if self.image_token is not None:
            before, after = map(re.escape, self.image_format.split("{image}"))
            images = rf"(?:{before}(?:{re.escape(self.image_token)})+{after}\s*)*"
        return instruction_of(text, pieces[0], pieces[-1], images)

    def prompt_ids(self, instruction: str, tokens_per_view: Sequence[int] = ()) -> list[int]:
        """The prompt of one sample as ids.

        Raises InputError for an instruction that brings image tokens of its own, and for a prompt without any token.
        """
        pieces = self.prompt_pieces(tokens_per_view)
        instruction = self.instruction_of(instruction)
        kept = [] if self.image_token is None else [self.image_token]
        ids = prompt_token_ids(self.tokenizer, pieces, instruction, kept, self.add_special_tokens)
        if not ids:
            raise InputError(f"the text {instruction!r} has no tokens.")
        if self.image_token is not None:
            found = ids.count(self.tokenizer.convert_tokens_to_ids(self.image_token))
            if found != sum(tokens_per_view):
                raise InputError(
                    f"the prompt has {found} image tokens, the images {sum(tokens_per_view)}: leave "
                    f"{self.image_token!r} out of the text."
                )
        return ids

    def normalize_proprio(
        self, state: Any, batch_size: int, unnorm_key: str | Sequence[str] | None
    ) -> torch.Tensor | None:
        """(batch, proprio_dim) in -1..1 (or standard deviations) from the robot's own units."""
        rows = state_rows(state, batch_size, self.proprio_dim, "proprio_dim")
        if rows is None:
            return None
        return normalized_rows(rows, self.norm_stats, unnorm_key, STATE_PARTS, self.normalization_type)

    def decode_actions(self, token_ids: Any, unnorm_key: str | None = None) -> torch.Tensor:
        """Ids of the discrete head -> actions in the robot's own units, the centres of their bins.

        Args:
            token_ids: (batch, num_action_chunks, action_dim), (batch, num_action_chunks * action_dim) or one row of
                the latter; integers.
            unnorm_key: the dataset whose statistics are used; needed where there are several.

        Returns:
            (batch, num_action_chunks, action_dim) float32; the batch is 1 for a single row.

        Raises:
            InputError: another shape, an id outside of the bins, no discrete head, or no such statistics.
        """
        ids = self.action_ids(token_ids)
        actions = tokens_to_actions(ids, self.action_vocab_size, self.num_action_bins)
        return unnormalize(actions, self.action_statistics(unnorm_key), self.normalization_type)

    def encode_actions(self, actions: Any, unnorm_key: str | None = None) -> torch.Tensor:
        """Actions in the robot's own units -> ids for the discrete head.

        actions: (batch, num_action_chunks, action_dim), or one sample without the batch. Values beyond the statistics'
        range fall into the outermost bins.
        Returns (batch, num_action_chunks, action_dim) int64. Raises InputError as `decode_actions` does.
        """
        self.check_discrete()
        shape = self.num_action_chunks, self.action_dim
        values = finite_numbers("actions", actions, "(batch, num_action_chunks, action_dim)", torch.float64)
        if values.dim() not in (2, 3) or values.shape[-2:] != shape:
            raise InputError(f"actions have shape {tuple(values.shape)}; accepted is {shape} or (batch, *{shape}).")
        values = normalize(values.reshape(-1, *shape), self.action_statistics(unnorm_key), self.normalization_type)
        return actions_to_tokens(values, self.action_vocab_size, self.num_action_bins)

    def action_ids(self, token_ids: Any) -> torch.Tensor:
        """(batch, num_action_chunks, action_dim) int64 on the CPU, all of them ids of bins."""
        self.check_discrete()
        try:
            ids = np.asarray(token_ids.cpu() if isinstance(token_ids, torch.Tensor) else token_ids)
        except ValueError as error:
            raise InputError(f"token_ids have rows of different lengths: {error}") from error
        if ids.dtype.kind not in "iu":
            raise InputError(f"token_ids must be integers, got {ids.dtype}.")
        chunk = self.num_action_chunks, self.action_dim
        row = chunk[0] * chunk[1]
        if ids.shape[1:] not in (chunk, (row,)) and ids.shape != (row,):
            raise InputError(
                f"token_ids have shape {ids.shape}; accepted are (batch, *{chunk}), (batch, {row}) and ({row},)."
            )
        ids = ids.reshape(-1, *chunk).astype(np.int64)
        first = self.action_vocab_size - self.num_action_bins
        wrong = np.argwhere((ids < first) | (ids >= self.action_vocab_size))
        if len(wrong):
            place = tuple(wrong[0].tolist())
            raise InputError(
                f"token_ids{list(place)} is {ids[place]}; the ids of the {self.num_action_bins} bins are {first} to "
                f"{self.action_vocab_size - 1}."
            )
        return torch.from_numpy(ids)

    def check_discrete(self) -> None:
        if self.action_vocab_size is None:
            raise InputError("this processor has no tokens of actions (action_vocab_size is None).")

    def action_statistics(self, unnorm_key: str | None) -> dict[str, Any]:
        return find_statistics(self.norm_stats, unnorm_key)["action"]

    @property
    def auto_classes(self) -> dict[str, str]:
        """`{Auto class: "file.Class"}` of this processor and of the image processor that it has."""
        kind = type(self.image_processor)
        return {
            "AutoProcessor": "processing_multimodal_vla.MultimodalVLAProcessor",
            "AutoImageProcessor": f"{kind.__module__.split('.')[-1]}.{kind.__name__}",
        }

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs) -> None:
        """As in transformers, in the files that both lines read; the folder also gets the code that loads it."""
        save_portable_processor(self, self.auto_classes, save_directory)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", Path(save_directory).name), **kwargs)
