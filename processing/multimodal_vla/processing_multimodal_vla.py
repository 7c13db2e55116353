"""From what a robot has (images, an instruction, its state) to what a composed VLA reads, and tokens to actions."""

import inspect
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, BatchFeature, ProcessorMixin

from ...configuration.known_fields import check_arguments
from ...configuration.language_model_config import check_positive
from ...configuration.multimodal_vla.head_facts import HEAD_FACTS
from ...configuration.vla_config import alias
from ...configuration.vla_errors import ConfigError, InputError
from ...modeling.action_normalization import normalize, unnormalize
from ...modeling.action_tokens import actions_to_tokens, tokens_to_actions
from ..advantage_prompt import ADVANTAGE_TEMPLATE
from ..chat_turns import Turn, read_turns
from ..prompts import MARK, check_image_tokens, check_padding_side, padded, prompt_token_ids
from ..robot_processor import SIZES, RobotProcessor
from ..sample_inputs import check_return_tensors, finite_numbers, pair_samples, read_samples
from .bin_ids import check_bins, checked_bin_ids
from .grounding_text import GroundingText, grounding_ids, tokenizer_of_towers
from .image_processing_tower import TowerImageProcessor, is_of_transformers, published_with_towers
from .image_processing_vlm import own_processor_from
from .prepared_by_vlm import inputs_by_vlm, prepared_by_vlm
from .processor_defaults import image_processor_of, vlm_prompt
from .prompt_form import PromptForm
from .prompt_tokenizer import PromptParts
from .vlm_defaults import own_processor_row

# Names, for a checkpoint's own code may come as a class of each file that imports it.
IMAGE_PROCESSORS = (
    *("MultimodalVLAImageProcessor", "AlpamayoR1ImageProcessor", "TowerImageProcessor"),
    "VLMImageProcessor",
)


class MultimodalVLAProcessor(RobotProcessor):
    """Images, instruction and state of one sample or a batch become the arguments of a composed VLA or a VLM.

    Args:
        image_processor: a `MultimodalVLAImageProcessor`, for Qwen's towers an `AlpamayoR1ImageProcessor`, a tower's own
            in a `TowerImageProcessor`, or the VLM's own processor in a `VLMImageProcessor`.
        tokenizer: the language model's tokenizer.
        prompt_template: what an instruction is put into, at "{instruction}"; a VLM's has "{images}", too.
        image_token: the VLM's token in whose places it puts image features. `None`: a composed model, which puts image
            features before the text by itself. For a `VLMImageProcessor` it is what that replaces by image tokens.
        image_seq_length: image tokens of one view of a VLM; not read where the image processor makes patches or
            prompts, for their number then follows from the size of each view.
        image_format: text of one view, with its image tokens at "{image}".
        norm_stats, normalization_type: statistics of robot units, `{unnorm_key: {"action": ..., "proprio": ...}}`.
        state_dim: size of the robot's state; `None` for a model without state.
        proprio_dim: `state_dim` under its published name.
        num_action_chunks, action_dim: actions of one prediction and values of one action.
        num_action_bins: bins of one value of the discrete head.
        action_vocab_size: the ids of the bins are the last `num_action_bins` below it; `None`: no discrete head.
        padding_side: of shorter prompts in a batch; "right" for actions, "left" for `generate`.
        add_special_tokens: whether the tokenizer adds its begin and end tokens. By default it does so for composed
            models only: the template of a VLM writes them itself.
        view_names: names of the views in the order of training; a dict of views is put in that order.
        advantage_template: the instruction with a word of `advantage`, at "{instruction}" and "{advantage}".
        grounding_config: settings of a `GroundingText`, whose tokenizer `from_pretrained` finds beside the processor's
            files; `None`: no text tower. `for_config` makes both.

    Attributes:
        grounding_text: what `grounding=True` reads texts with, a `GroundingText` or `None`.

    Raises:
        ConfigError: an argument has the wrong form or does not fit the tokenizer; the message names it.
    """

    state_dim = alias("proprio_dim")
    model_types = ("multimodal_vla",)

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
        state_dim: int | None = None,
        advantage_template: str = ADVANTAGE_TEMPLATE,
        grounding_config: dict | None = None,
        **kwargs,
    ):
        self.grounding_config = grounding_config
        self.grounding_text = None
        self.image_token = image_token
        self.image_seq_length = image_seq_length
        self.image_format = image_format
        self.num_action_chunks = num_action_chunks
        self.action_dim = action_dim
        self.num_action_bins = num_action_bins
        self.action_vocab_size = action_vocab_size
        self.add_special_tokens = image_token is None if add_special_tokens is None else add_special_tokens
        self.check_numbers()
        found = type(image_processor).__name__
        if found not in IMAGE_PROCESSORS:
            raise ConfigError(f"image_processor is a {found}; it must be a {' or a '.join(IMAGE_PROCESSORS)}.")
        robot = norm_stats, normalization_type, action_dim, state_dim
        words = prompt_template, padding_side, view_names, proprio_dim, advantage_template
        super().__init__(image_processor, tokenizer, *robot, *words, **kwargs)
        self.prompt_form.check(image_processor, tokenizer, image_seq_length)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any):
        """As in transformers, with the text tower's tokenizer, where the checkpoint has one."""
        processor = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        if processor.grounding_config is not None:
            settings = processor.grounding_config
            processor.grounding_text = GroundingText.load(pretrained_model_name_or_path, settings, **kwargs)
        return processor

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> None:
        """As in `RobotProcessor`, with the text tower's tokenizer."""
        if self.grounding_text is not None:
            self.grounding_text.save(save_directory)
        super().save_pretrained(save_directory, push_to_hub, **kwargs)

    @classmethod
    def for_config(
        cls, config: Any, tokenizer: Any, grounding_tokenizer: Any = None, **overrides: Any
    ) -> "MultimodalVLAProcessor":
        """The processor of a model: prompt, image tokens and pixel statistics of its vision tower or VLM.

        Args:
            config: of the model. Read are `vlm_config`, or `vision_config` and `second_vision_config`, `image_size`,
                `state_size`, `action_head` and the fields that have the name of an argument of this class.
            tokenizer: the language model's, or the VLM's whole processor (`AutoProcessor`), which then prepares images
                and prompts, the latter by its chat template.
            grounding_tokenizer: the text tower's, for `grounding=True`: itself, its folder or its Hub id. By default
                that of the place where `from_backbones(..., grounding=True)` found the tower, if there is one.
            overrides: arguments of this class or of its image processor, such as `prompt_template`,
                `num_images_in_input`, `max_pixels` or `image_settings={"do_image_splitting": False}`, in place of the
                defaults. With `image_processor` that one is used as it is; it may be the tower's own, of transformers.

        Raises:
            ConfigError: there is no default for this VLM, a tokenizer is not the VLM's or the text tower's, or an
                override is unknown.
        """
        names = ("norm_stats", "normalization_type", "num_action_chunks", "action_dim", "num_action_bins", "view_names")
        settings = {name: getattr(config, name) for name in names}
        if SIZES.isdisjoint(overrides):
            settings["state_dim"] = config.state_size
        settings["action_vocab_size"] = config.action_vocab_size if HEAD_FACTS[config.action_head].has_tokens else None
        prepared = {} if "image_processor" in overrides else prepared_by_vlm(config, tokenizer, overrides)
        tokenizer = tokenizer.tokenizer if isinstance(tokenizer, ProcessorMixin) else tokenizer
        if "image_processor" not in overrides | prepared:
            settings["image_processor"] = image_processor_of(config, overrides)
        if is_of_transformers(overrides.get("image_processor")):
            overrides["image_processor"] = TowerImageProcessor.around(overrides["image_processor"])
        known = {*inspect.signature(cls.__init__).parameters, "chat_template"}
        check_arguments(cls.__name__, overrides, known)
        settings |= prepared
        if config.vlm_config is not None and not prepared:
            settings |= vlm_prompt(config, tokenizer, overrides)
        processor = cls(tokenizer=tokenizer, **{**settings, **overrides})
        if grounding_tokenizer is None:
            grounding_tokenizer = tokenizer_of_towers(config.vision_config)
        if grounding_tokenizer is not None:
            processor.grounding_text = GroundingText.for_towers(config.vision_config, grounding_tokenizer)
            processor.grounding_config = processor.grounding_text.settings
        return processor

    @classmethod
    def from_backbones(
        cls, vision: str | Sequence[str], text: str, config: Any, **overrides: Any
    ) -> "MultimodalVLAProcessor":
        """The processor of a model of the same backbones: what was published with the tower, and the text model's
        tokenizer.

        Args:
            vision, text: Hub ids or folders, as of the model's `from_backbones`. One tower's own image processor
                prepares its pictures; of two towers' the statistics are taken, and pictures are those of `for_config`.
            config: of the model.
            overrides: as in `for_config`; of the image processor `image_settings`, changed one by one.

        Raises:
            ConfigError: there is no image processor of transformers beside a tower, or it cannot be used here; or as
                in `for_config`.
        """
        overrides = published_with_towers(vision, overrides) | overrides
        return cls.for_config(config, AutoTokenizer.from_pretrained(text), **overrides)

    @classmethod
    def from_vlm(cls, vlm: str, config: Any, **overrides: Any) -> "MultimodalVLAProcessor":
        """The processor of a model that `from_vlm` made, of the files of its VLM.

        Args:
            vlm: Hub id or folder.
            config: of the model.
            overrides: as in `for_config`.

        Raises:
            ConfigError: as in `for_config`.
        """
        own = own_processor_from(vlm) if own_processor_row(config.vlm_config) else AutoTokenizer.from_pretrained(vlm)
        return cls.for_config(config, own, **overrides)

    def check_numbers(self) -> None:
        """Refuse sizes that cannot work, by the name of the argument."""
        for name in ("num_action_chunks", "action_dim", "num_action_bins"):
            check_positive(name, getattr(self, name))
        check_bins(self.num_action_bins, self.action_vocab_size)

    def __call__(
        self,
        images: Any,
        text: str | Sequence[str],
        state: Any = None,
        unnorm_key: str | Sequence[str] | None = None,
        return_tensors: str = "pt",
        padding_side: str | None = None,
        proprio: Any = None,
        advantage: str | Sequence[str | None] | None = None,
        history: Any = None,
        grounding: bool = False,
    ) -> BatchFeature:
        """Prepare one sample (`text` is a string) or a batch (`text` is a list of strings).

        Args:
            images: the views of a sample, as a list or as a dict such as `{"primary": ..., "wrist": ...}`; for a batch
                a list of these, with as many views in each. Each image is PIL, or uint8 (height, width, 3).
            text: the instruction, or the whole prompt of `prompt_template` with it. Special tokens that it spells are
                text.
            state: the robot's state in its own units, (state_dim,) or (batch, state_dim).
            unnorm_key: whose statistics normalise the state; needed where there are several. A batch may have one for
                each sample.
            return_tensors: "pt" or "np".
            padding_side: "right" or "left"; the processor's setting by default.
            proprio: `state` under its published name.
            advantage: a word beside the instruction, such as "positive", for a model that learnt such words; one for
                all samples or one for each, `None` for none.
            history: earlier turns, the oldest first, see `read_turns`; they and the text go through the chat template
                of processor or tokenizer, and the images stand in the last turn. For a batch a list of turns for each
                sample.
            grounding: prepare the text for the vision backbone's text tower: the arguments of `grounding_score`. A
                state is not read.

        Returns:
            `input_ids` and `attention_mask` (batch, length), `pixel_values` (batch, views, 3, height, width), 6 for two
            vision towers, and, for a model that takes the state, `state` (batch, state_dim) float32, normalised. From
            an image processor of patches `pixel_values` is (patches of all images, dim) beside `image_grid_thw`
            (images, 3), and from a VLM's own processor all that this returns, in the VLM's own shapes. With `grounding`
            `input_ids` and `pixel_values`, and for a CLIP `attention_mask`.

        Raises:
            InputError: the number of views, the form of an argument or the `unnorm_key` is wrong, an instruction holds
                image tokens, there are earlier turns and no chat template that takes them, or there is no text tower.
        """
        if grounding:
            return self.grounding_inputs(images, text, history, advantage, return_tensors)
        samples, instructions, data = self.read(images, text, state, proprio, unnorm_key, return_tensors)
        side = padding_side or self.padding_side
        check_padding_side(side, InputError)
        turns, words = read_turns(history, len(samples)), self.advantages(advantage, len(samples))
        if self.image_processor.makes_prompts:
            places = [[1] * len(views) for views in samples]
            said = zip(instructions, places, turns, words, strict=True)
            prompts = [self.prompt_parts(*sample) for sample in said]
            data |= inputs_by_vlm(self.image_processor.own_processor(self.tokenizer), samples, prompts, side)
            return BatchFeature(data, tensor_type=return_tensors)
        pixels, tokens_per_view = self.pixels(samples)
        rows = [self.prompt_ids(*sample) for sample in zip(instructions, tokens_per_view, turns, words, strict=True)]
        data |= padded(rows, self.tokenizer, side) | pixels
        return BatchFeature(data, tensor_type=return_tensors)

    def grounding_inputs(
        self, images: Any, text: Any, history: Any, advantage: Any, return_tensors: str | None
    ) -> BatchFeature:
        """What `grounding_score` reads: the views as a prediction sees them, and the text for the text tower."""
        check_return_tensors(return_tensors)
        samples, texts = pair_samples(images, text)
        samples = read_samples(samples, self.image_processor.num_images_in_input, self.view_names)
        said = [self.instruction_of(text) for text in texts]
        data = grounding_ids(self.grounding_text, said, history=history, advantage=advantage)
        return BatchFeature(data | self.pixels(samples)[0], tensor_type=return_tensors)

    def pixels(self, samples: list[list[np.ndarray]]) -> tuple[dict[str, np.ndarray], list[list[int]]]:
        """What the vision tower reads, and for each sample the image tokens of each of its views.

        samples: views (height, width, 3) uint8.
        """
        if not self.image_processor.makes_patches:
            tokens = [[self.image_seq_length] * len(sample) for sample in samples]
            return dict(self.image_processor(samples, return_tensors="np")), tokens
        parts = [self.image_processor(sample, return_tensors="np") for sample in samples]
        tokens = [self.image_processor.tokens_per_image(part["image_grid_thw"]) for part in parts]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, tokens

    def prompt_text(self, instruction: str, tokens_per_view: Sequence[int] = ()) -> str:
        """The prompt of one sample as a reader sees it; the ids: `prompt_ids`.

        tokens_per_view: image tokens of each view, not read for a composed model.
        """
        return instruction.join(self.prompt_form.pieces(tokens_per_view))

    @property
    def prompt_form(self) -> PromptForm:
        """How a prompt is written."""
        return PromptForm(self.prompt_template, self.image_token, self.image_format)

    @property
    def image_pattern(self) -> str:
        """See `RobotProcessor`."""
        return self.prompt_form.image_pattern()

    def prompt_parts(
        self, instruction: str, tokens_per_view: Sequence[int], turns: Sequence[Turn], advantage: str | None
    ) -> PromptParts:
        """The prompt of one sample; earlier turns are written by the chat template, as the instruction then is."""
        instruction = self.with_advantage(self.instruction_of(instruction), advantage)
        if not turns:
            pieces = self.prompt_form.pieces(tokens_per_view)
            return PromptParts(pieces, [instruction] * (len(pieces) - 1), self.add_special_tokens)
        pieces = self.prompt_form.conversation_pieces(self.tokenizer, self.chat_template, tokens_per_view, turns)
        writes_begin = pieces[0].startswith(self.tokenizer.bos_token or MARK)
        adds_begin = self.add_special_tokens and self.image_token is not None  # as transformers' processors do
        return PromptParts(pieces, [*(turn.text for turn in turns), instruction], adds_begin and not writes_begin)

    def prompt_ids(
        self,
        instruction: str,
        tokens_per_view: Sequence[int] = (),
        turns: Sequence[Turn] = (),
        advantage: str | None = None,
    ) -> list[int]:
        """The prompt of one sample as ids.

        Raises InputError for an instruction that brings image tokens of its own, and for a prompt without any token.
        """
        parts = self.prompt_parts(instruction, tokens_per_view, turns, advantage)
        kept = [] if self.image_token is None else [self.image_token]
        ids = prompt_token_ids(self.tokenizer, parts.pieces, parts.texts, kept, parts.add_special_tokens)
        if not ids:
            raise InputError(f"the text {instruction!r} has no tokens.")
        if self.image_token is not None:
            check_image_tokens(ids, self.tokenizer, self.image_token, sum(tokens_per_view))
        return ids

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
        self.check_discrete()
        chunk = self.num_action_chunks, self.action_dim
        ids = checked_bin_ids(token_ids, chunk, self.num_action_bins, self.action_vocab_size)
        actions = tokens_to_actions(ids, self.action_vocab_size, self.num_action_bins)
        return unnormalize(actions, self.action_statistics(unnorm_key), self.normalization_type)

    def encode_actions(self, actions: Any, unnorm_key: str | None = None) -> torch.Tensor:
        """Actions in the robot's own units -> ids for the discrete head, the way back of `decode_actions`.

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

    def check_discrete(self) -> None:
        if self.action_vocab_size is None:
            raise InputError("this processor has no tokens of actions (action_vocab_size is None).")

    @property
    def auto_classes(self) -> dict[str, str]:
        """`{Auto class: "file.Class"}` of this processor and of the image processor that it has."""
        kind = type(self.image_processor)
        return {
            "AutoProcessor": "processing_multimodal_vla.MultimodalVLAProcessor",
            "AutoImageProcessor": f"{kind.__module__.split('.')[-1]}.{kind.__name__}",
        }
