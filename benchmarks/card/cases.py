"""The models: every family in its main variants at a tiny size, each with a batch to learn and a prompt to answer."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from alpamayo_golden import BATCH, published_model
from golden_cases import golden_case
from tiny_batches import Tiny, tiny_batch
from torch import nn
from torch.nn.attention import SDPBackend

# What training computes attention with (`training/trainer.py`): all but cuDNN's.
TRAINING_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


@dataclass(frozen=True)
class Case:
    """One model. fields: of its config, and options of `tiny_batch`.

    Attributes:
        writes_tokens: its actions are tokens or follow from some, which another rounding may change altogether.
        is_trained: it is one of those that `training.py` and `memory.py` train.
        is_first: the family's first, with which costly checks content themselves.
        asks: transformers' code of its vision tower reads grids of its device (docs/real-time-composed.md).
        is_recorded: some of it can be recorded as a graph.
        make: makes it where no batch of the tests is at hand.
    """

    name: str
    family: str
    fields: dict[str, Any] = field(default_factory=dict)
    writes_tokens: bool = False
    is_trained: bool = False
    is_first: bool = False
    asks: bool = False
    is_recorded: bool = True
    make: Callable[[], Tiny] | None = None

    @property
    def prunes(self) -> bool:
        """Whether layers leave out image tokens of low scores: where two are close, rounding decides which."""
        return self.family == COGVLA and self.fields.get("use_lfp", True)

    def tiny(self) -> Tiny:
        """The model in evaluation mode, in float32, on the CPU."""
        made = self.make() if self.make else tiny_batch(golden_case, self.family, **self.fields)
        if "noise" in made.batch and "time" not in made.batch and self.family == "multimodal_vla":
            made.batch["time"] = torch.linspace(0.3, 0.8, len(made.batch["noise"]))
        made.model.eval()
        return made


def guided_drive() -> Tiny:
    """An Alpamayo 1.5 that follows its navigation, for two prompts of different lengths; two samples of each."""
    case = golden_case("alpamayo_1_5/nav_left_padded")
    prompt = {name: case.input(name) for name in BATCH}
    rows = 2 * len(prompt["input_ids"])
    prompt["noise"] = torch.randn(rows, 64, 2, generator=torch.Generator().manual_seed(0))
    prompt |= {"num_traj_samples": 2, "guidance_weight": 1.5, "noise_temperature": 0.7, "num_inference_steps": 3}
    prompt |= {"top_k": 1, "max_new_tokens": 6}
    return Tiny(published_model(case, "sdpa", mask_prompt_padding=True), {}, prompt)


CALM = {"dit_config": {"dropout": 0.0}}
OFT_FORM = {"use_lfp": False, "use_film": False, "use_aggr": False}
COGVLA, LLAVA3D, COMPOSED, ALPAMAYO = "cogvla", "mapanything_llava3d", "multimodal_vla", "alpamayo_r1"
CASES = [
    Case("CogVLA, L1", COGVLA, {"action_head": "l1"}, is_trained=True, is_first=True),
    Case("CogVLA, diffusion", COGVLA, {"action_head": "diffusion"}, is_trained=True),
    Case("CogVLA, tokens", COGVLA, {"action_head": "discrete"}, writes_tokens=True),
    Case("CogVLA, one projector", COGVLA, {"action_head": "l1", "vision_aggregate_type": "concat"}),
    Case("OpenVLA-OFT", COGVLA, {**OFT_FORM, "action_head": "l1", "action_attention": "bidirectional"}),
    Case(
        "OpenVLA",
        COGVLA,
        {**OFT_FORM, "action_head": "discrete", "action_attention": "causal"},
        writes_tokens=True,
    ),
    Case("LLaVA-3D, deep fusion", LLAVA3D, is_trained=True, is_first=True),
    Case("LLaVA-3D, DiT", LLAVA3D, {"action_expert_type": "dit", **CALM}, is_trained=True),
    Case("LLaVA-3D, both", LLAVA3D, {"action_expert_type": "deep_fusion+dit", **CALM}),
    Case("LLaVA-3D, text alone", LLAVA3D, {"action_expert_type": None, "labels": True}),
    Case(
        "composed, flow, FiLM, perceiver",
        COMPOSED,
        {"action_head": "flow", "fusion": "film", "projector_type": "perceiver"},
        is_trained=True,
        is_first=True,
    ),
    Case(
        "composed, regression, cross-attention, Q-Former",
        COMPOSED,
        {"action_head": "mlp", "fusion": "cross_attention", "projector_type": "qformer"},
        is_trained=True,
    ),
    Case(
        "composed, tokens, early",
        COMPOSED,
        {"action_head": "discrete", "fusion": "early", "projector_type": "mlp"},
        writes_tokens=True,
    ),
    Case("composed, late", COMPOSED, {"action_head": "mlp", "fusion": "late", "projector_type": "linear"}),
    Case(
        "composed, gated cross-attention, token learner",
        COMPOSED,
        {"action_head": "flow", "fusion": "gated_cross_attention", "projector_type": "token_learner"},
    ),
    Case("composed, PaliGemma", COMPOSED, {"vlm": "paligemma", "action_head": "flow"}),
    Case("composed, LLaVA", COMPOSED, {"vlm": "llava", "action_head": "mlp"}),
    Case("composed, Qwen2.5-VL", COMPOSED, {"vlm": "qwen2_5_vl", "action_head": "flow"}, asks=True),
    Case("composed, Qwen3-VL", COMPOSED, {"vlm": "qwen3_vl", "action_head": "mlp"}, asks=True, is_recorded=False),
    Case("Alpamayo-R1", ALPAMAYO, writes_tokens=True, is_trained=True, is_first=True),
    Case("Alpamayo-R1, text too", ALPAMAYO, {"labels": True}, writes_tokens=True, is_trained=True),
    Case("Alpamayo 1.5, guided", ALPAMAYO, writes_tokens=True, make=guided_drive),
]


def cases(family: str | None = None, **wanted: bool) -> Iterator[Case]:
    """Those of a family, or all, whose attributes are as wanted."""
    for case in CASES:
        if family in (None, case.family) and all(getattr(case, name) == value for name, value in wanted.items()):
            yield case


# ---- the same model elsewhere and in other dtypes


def on(device: str, given: dict[str, Any], dtype: torch.dtype | None = None) -> dict[str, Any]:
    """Arguments with their tensors on a device, and floating ones in a dtype."""

    def moved(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return value.to(device, dtype if value.is_floating_point() else None)

    return {name: moved(value) for name, value in given.items()}


def placed(model: nn.Module, device: str) -> nn.Module:
    """A copy on a device."""
    return copy.deepcopy(model).to(device)


def in_bfloat16(model: nn.Module) -> nn.Module:
    """The model with rounded parameters; buffers stay what they are, as where a checkpoint is loaded."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    return model


def predict(model: nn.Module, prompt: dict[str, Any], **options: Any) -> torch.Tensor:
    """The actions of any family; what is drawn (a text between two tokens alike, say) is drawn alike in each call."""
    torch.manual_seed(0)
    call = getattr(model, "predict_action", None)
    return call(**prompt, **options) if call else model.sample_trajectories(**prompt, **options).actions


def predicts(tiny: Tiny) -> bool:
    """Not a language model without an expert of actions."""
    return getattr(tiny.model.config, "action_expert_type", "") is not None
