"""What a fine-tune is told beside transformers' TrainingArguments; imports nothing slow, for `--help` reads it."""

from dataclasses import dataclass, field
from typing import Any

STATE, ACTION, INSTRUCTION, ANSWER = "observation.state", "action", "task", "answer"
STRATEGIES = ["lora", "A", "B", "full", "vlm"]
DTYPES = ["float32", "bfloat16", "float16"]
TRAINING_DEFAULTS: dict[str, Any] = {
    "remove_unused_columns": False,  # the collators read all of an example
    "ddp_find_unused_parameters": False,  # there are none left, see `freeze_unreached`; but of experts that are chosen
    "learning_rate": 5e-4,
    "logging_steps": 10,
    "logging_nan_inf_filter": False,  # it hides them, and waits for the device in every step
    "save_total_limit": 2,
    "report_to": "none",
}
# What few people change.
ADVANCED = {
    "backbone_lr_scale",
    "vision_lr_scale",
    "dtype",
    "repeat_last",
    "learn_text",
    "trajectory_text",
    "stop_grad_from_vlm",
    "answer",
    "text_weight",
    "weight_column",
    "advantage_column",
    "embodiment_column",
}


@dataclass
class FinetuneOptions:
    """What is trained on what. The metadata are for `HfArgumentParser`, and for the options of `vlahub train`."""

    model: str = field(metadata={"help": "checkpoint: folder or Hub repository"})
    dataset: str = field(metadata={"help": "LeRobot folder, saved or Hub dataset"})
    train: str = field(
        default="lora",
        metadata={
            "help": "lora; A: what is new; B: also the language model's top layers; full; vlm: Alpamayo-R1's text alone"
        }
        | {"choices": STRATEGIES},
    )
    rank: int = field(default=32, metadata={"help": "of LoRA"})
    alpha: int = field(default=16, metadata={"help": "of LoRA"})
    quantize: bool = field(default=False, metadata={"help": "load the language model in 4 bits (QLoRA)"})
    top_layers: int = field(default=4, metadata={"help": "of the language model, with --train B"})
    backbone_lr_scale: float = field(default=0.1, metadata={"help": "on the learning rate, with --train B and full"})
    vision_lr_scale: float = field(default=0.1, metadata={"help": "on that of the vision tower, with --train vlm"})
    dtype: str = field(default="float32", metadata={"help": "of the weights", "choices": DTYPES})
    images: list[str] = field(
        default_factory=list,
        metadata={"help": "image columns, main camera first; the model's recorded views, else all but depth"},
    )
    action: list[str] = field(default_factory=lambda: [ACTION], metadata={"help": "column of the actions, or several"})
    state: list[str] = field(
        default_factory=lambda: [STATE],
        metadata={"help": "of the state, or of a car's pose (x y z qw qx qy qz: w first), or several"},
    )
    text: str | None = field(
        default=None, metadata={"help": f"column of the instruction ({INSTRUCTION}; a car needs none)"}
    )
    statistics: str | None = field(default=None, metadata={"help": "file; the dataset folder's, else computed"})
    unmasked_actions: list[int] = field(
        default_factory=list, metadata={"help": "dimensions to leave as they are; statistics are computed"}
    )
    eval_episodes: float = field(default=0.0, metadata={"help": "share of the episodes to evaluate with"})
    repeat_last: bool = field(default=False, metadata={"help": "also learn to repeat an episode's last action"})
    augment: bool = field(default=False, metadata={"help": "crop and recolour images at random"})
    learn_text: bool = field(default=False, metadata={"help": "also to write `reasoning` (Alpamayo-R1) or `--answer`"})
    trajectory_text: bool = field(default=False, metadata={"help": "also to write trajectories (Alpamayo-R1)"})
    stop_grad_from_vlm: bool | None = field(default=None, metadata={"help": "the VLM learns from text alone"})
    answer: str | None = field(
        default=None, metadata={"help": f"column of the text to write, with --learn_text ({ANSWER})"}
    )
    text_weight: float = field(default=1.0, metadata={"help": "of the loss of text, where text is learnt"})
    weight_column: str | None = field(default=None, metadata={"help": "of what each row weighs in the loss"})
    advantage_column: str | None = field(default=None, metadata={"help": "of a word for the prompt"})
    embodiment_column: str | None = field(default=None, metadata={"help": "of the robot, where a model has several"})
    resume: bool = field(default=False, metadata={"help": "go on from the last checkpoint in the output folder"})

    @property
    def learns_text(self) -> bool:
        """Whether there is a loss of text."""
        return self.train == "vlm" or self.learn_text or self.trajectory_text
