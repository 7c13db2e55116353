"""The rows of the benchmark: which prediction of which model, what of it is the figure, and what it must read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from benchmarks.published_sizes import alpamayo_inputs, cogvla_inputs, llava3d_inputs
from benchmarks.random_weights import bytes_of


@dataclass(frozen=True)
class RobotCall:
    """`predict_action` on so many samples."""

    batch: int = 1
    is_long = False

    def inputs(self, model: nn.Module, small: bool) -> dict[str, torch.Tensor]:
        make = cogvla_inputs if hasattr(model.config, "use_lfp") else llava3d_inputs
        return make(model, self.batch)

    def __call__(self, model: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        torch.manual_seed(0)
        return model.predict_action(**inputs)


@dataclass(frozen=True)
class CarCall:
    """`sample_trajectories`: so many samples, tokens of text, and steps of the expert."""

    samples: int
    tokens: int
    steps: int
    is_long = True

    def inputs(self, model: nn.Module, small: bool) -> dict[str, torch.Tensor]:
        return alpamayo_inputs(model, small)

    def __call__(self, model: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        torch.manual_seed(0)
        counts = {"num_traj_samples": self.samples, "max_new_tokens": self.tokens}
        return model.sample_trajectories(**inputs, **counts, num_inference_steps=self.steps).actions


@dataclass(frozen=True)
class Row:
    """One line of the table: the time of `call`, or of what it does more than `less`, divided by how often it does it.

    Attributes:
        model: one of `published_sizes.MODELS`.
        reads: how often parameters whose names begin so are read at least, each weight of the rest once.
        only: nothing but those of `reads` is read.
        chunk: actions that one robot gets of a call; `None` where the row is no whole prediction.
        target: milliseconds to reach on an H200.
    """

    name: str
    model: str
    call: RobotCall | CarCall
    less: CarCall | None = None
    divided_by: int = 1
    reads: Mapping[str, int] = field(default_factory=dict)
    only: bool = False
    chunk: int | None = None
    target: float | None = None

    @property
    def family(self) -> str:
        return FAMILIES[self.model.split()[0]]

    def bytes_read(self, model: nn.Module) -> int:
        """The least that one of what the row counts must read of the weights."""
        parts = {beginning: bytes_of(model, beginning) for beginning in self.reads}
        rest = 0 if self.only else bytes_of(model) - sum(parts.values())
        return rest + sum(size * self.reads[beginning] for beginning, size in parts.items())


FAMILIES = {"cogvla": "cogvla", "llava3d": "mapanything_llava3d", "alpamayo": "alpamayo_r1"}
TEXT = {"vlm.model.language_model.layers": 1, "vlm.lm_head": 1}
EXPERT = {"expert.layers": 1}
WHOLE = {"vlm.model.language_model.layers": 41, "vlm.lm_head": 41, "expert.layers": 10}
WHOLE |= {"vlm.model.language_model.embed_tokens": 0}


def token_row(samples: int, target: float) -> Row:
    """A token costs what 40 cost more than 8."""
    calls = CarCall(samples, 40, 2), CarCall(samples, 8, 2)
    name = f"Alpamayo-R1, one text token, {samples} sample{'s' * (samples > 1)}"
    return Row(name, "alpamayo", *calls, divided_by=32, reads=TEXT, only=True, target=target)


def step_row(samples: int, target: float | None) -> Row:
    """A step costs what 12 cost more than 2."""
    calls = CarCall(samples, 8, 12), CarCall(samples, 8, 2)
    name = f"Alpamayo-R1, one expert step, {samples} sample{'s' * (samples > 1)}"
    return Row(name, "alpamayo", *calls, divided_by=10, reads=EXPERT, only=True, target=target)


STEPS = {"language_model_with_expert.expert": 10}
ROWS = [
    Row("CogVLA, 2 images, L1", "cogvla", RobotCall(), chunk=8, target=13),
    Row("CogVLA, batch 8", "cogvla", RobotCall(8), chunk=8),
    Row("CogVLA without LFP", "cogvla without LFP", RobotCall(), chunk=8),
    Row("OFT form, 512 vision tokens", "cogvla in OFT form", RobotCall(), chunk=8, target=18),
    Row("OFT form, batch 8", "cogvla in OFT form", RobotCall(8), chunk=8),
    Row("LLaVA-3D, prefix of 296, 10 steps", "llava3d", RobotCall(), reads=STEPS, chunk=10, target=35),
    Row("Alpamayo-R1, 40 tokens, 10 steps", "alpamayo", CarCall(1, 40, 10), reads=WHOLE, chunk=64, target=520),
    token_row(1, 6),
    token_row(6, 9),
    step_row(1, 4),
    step_row(6, None),
]
