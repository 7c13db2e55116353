"""From what a robot has (camera images, an instruction, its state) to what the CogVLA model reads."""

from collections.abc import Sequence
from typing import Any

from transformers import BatchFeature

from ...configuration.cogvla.cogvla_facts import PROMPT
from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ...configuration.vla_config import alias
from ...configuration.vla_errors import ConfigError
from ..advantage_prompt import ADVANTAGE_TEMPLATE
from ..chat_turns import Turn, read_turns
from ..prompts import padded, prompt_token_ids
from ..robot_processor import RobotProcessor
from .image_processing_cogvla import CogVLAImageProcessor
from .prompt_turns import turn_pieces


class CogVLAProcessor(RobotProcessor):
    """Images, instruction and state of one sample or a batch become the arguments of `predict_action`.

    Args:
        image_processor: a `CogVLAImageProcessor`; it also holds how many views a sample has.
        tokenizer: the language model's tokenizer; prompts are padded on the right.
        norm_stats, normalization_type, state_dim: as in `CogVLAConfig`; they normalise the robot state.
        proprio_dim: `state_dim` under its published name.
        view_names: names of the views in the order of training; a dict of views is put in that order.
        advantage_template: the instruction with a word of `advantage`, at "{instruction}" and "{advantage}".
    """

    auto_classes = CogVLAConfig.auto_classes
    model_types = (CogVLAConfig.model_type,)
    state_dim = alias("proprio_dim")

    @property
    def prompt_template(self) -> str:
        """The published prompt, the only one of these models.

        Raises:
            ConfigError: another one is set: it would not be saved.
        """
        return PROMPT

    @prompt_template.setter
    def prompt_template(self, value: str) -> None:
        if value != PROMPT:
            raise ConfigError(
                f"prompt_template={value!r} cannot be set: a {type(self).__name__} has the prompt with which these "
                f"models were trained, {PROMPT!r}, and saves no other."
            )

    def __init__(
        self,
        image_processor: CogVLAImageProcessor | None = None,
        tokenizer: Any = None,
        norm_stats: dict | None = None,
        normalization_type: str = "bounds_q99",
        proprio_dim: int | None = None,
        view_names: list[str] | None = None,
        state_dim: int | None = None,
        advantage_template: str = ADVANTAGE_TEMPLATE,
        **kwargs,
    ):
        robot = norm_stats, normalization_type, None, state_dim
        words = PROMPT, "right", view_names, proprio_dim, advantage_template
        super().__init__(image_processor, tokenizer, *robot, *words, **kwargs)

    def __call__(
        self,
        images: Any,
        text: str | Sequence[str],
        state: Any = None,
        unnorm_key: str | Sequence[str] | None = None,
        center_crop: bool | None = None,
        return_tensors: str = "pt",
        image_resize: str | None = None,
        proprio: Any = None,
        advantage: str | Sequence[str | None] | None = None,
        history: Any = None,
    ) -> BatchFeature:
        """Prepare one sample (`text` is a string) or a batch (`text` is a list of strings).

        Args:
            images: the views of a sample, as a list or as a dict such as `{"primary": ..., "wrist": ...}`; for a batch
                a list of these. Each image is PIL, or uint8 (height, width, 3).
            text: the instruction, such as "pick up the bowl", or the whole published prompt with it. Special tokens
                that it spells are text.
            state: the robot's state in its own units, (state_dim,) or (batch, state_dim); for a model with it.
            unnorm_key: whose statistics normalise the state; needed where the checkpoint holds several.
                A batch may have one for each sample.
            center_crop: crop the images to 90 % of their area, as for models trained with random crops; the image
                processor's setting by default.
            return_tensors: "pt" or "np".
            image_resize: `jpeg_lanczos3`, as in evaluations of OpenVLA, OpenVLA-OFT and CogVLA on benchmarks, or
                `bicubic`, as OpenVLA's deploy script; the image processor's setting by default.
            proprio: `state` under its published name.
            advantage: a word beside the instruction, such as "positive", for a model that learnt such words; one for
                all samples or one for each, `None` for none.
            history: earlier turns, the oldest first, see `read_turns`; they are written as the published code writes
                a conversation (`prompt_turns.py`). For a batch a list of them for each sample.

        Returns:
            `input_ids` and `attention_mask` (batch, length), `pixel_values` (batch, 6 * views, height, width) and, for
            a model that takes the state, `state` (batch, state_dim), normalised: the arguments of `predict_action`.

        Raises:
            InputError: the number of views, the form of the state or of a turn, or the `unnorm_key` is wrong.
        """
        samples, instructions, data = self.read(images, text, state, proprio, unnorm_key, return_tensors)
        turns, words = read_turns(history, len(samples)), self.advantages(advantage, len(samples))
        rows = [self.prompt_ids(*sample) for sample in zip(instructions, turns, words, strict=True)]
        data |= padded(rows, self.tokenizer, "right")
        options = {"center_crop": center_crop, "image_resize": image_resize}
        data["pixel_values"] = self.image_processor(samples, **options)["pixel_values"]
        return BatchFeature(data, tensor_type=return_tensors)

    def prompt_ids(self, instruction: str, turns: Sequence[Turn] = (), advantage: str | None = None) -> list[int]:
        """The prompt of one sample; an instruction that is the whole prompt already is taken out of it.

        Raises InputError for turns that the published form cannot write.
        """
        said = [*turns, Turn("user", instruction)]
        texts = [self.instruction_of(t.text).lower() if t.role == "user" else t.text for t in said]
        texts[-1] = self.with_advantage(texts[-1], advantage)
        said = [Turn(t.role, text) for t, text in zip(said, texts, strict=True)]
        return prompt_token_ids(self.tokenizer, *turn_pieces(said, self.prompt_template, self.tokenizer.eos_token))
