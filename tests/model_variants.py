"""Every family and its main variants at a tiny size, under one interface: `VARIANTS[name]`.

A variant makes its config, inputs for a prediction of two samples of different lengths, and inputs for a loss. Weights
are drawn large enough for every part to matter.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_configs import (
    GEMMA,
    IMAGE_SIZE,
    LLAMA,
    PROMPT_END,
    SIGLIP,
    TOWER,
    bounds,
    cogvla_config,
    composed_config,
    llava3d_config,
    made,
)
from torch.nn.utils.rnn import pad_sequence

import vlahub

CASE = Path(__file__).parent / "golden" / "alpamayo_1_5" / "nav_left_padded.json"
BOTH = (0, 1)


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def words(seed: int, length: int, first: int = 3, last: int = 39) -> list[int]:
    return torch.randint(first, last, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def padded(rows: list[list[int]], side: str, value: int) -> dict[str, torch.Tensor]:
    """Rows of tokens as `input_ids` and `attention_mask`, the padding on `side`."""
    ids = pad_sequence([torch.tensor(row) for row in rows], True, value, side)
    mask = pad_sequence([torch.ones(len(row), dtype=torch.long) for row in rows], True, 0, side)
    return {"input_ids": ids, "attention_mask": mask}


def chosen(tensors: dict[str, torch.Tensor | None], rows: tuple[int, ...]) -> dict[str, torch.Tensor]:
    return {name: value[list(rows)] for name, value in tensors.items() if value is not None}


@dataclass(frozen=True)
class Variant:
    """Attributes:
    kind: the class of the model.
    make: a new config.
    sides: where prompts may be padded.
    """

    kind: type
    make: Callable[[], Any]
    sides: tuple[str, ...] = ("left", "right")

    @property
    def family(self) -> str:
        return self.kind.config_class.model_type

    def model(self, **options) -> Any:
        """In evaluation mode, with drawn weights."""
        return randomized(self.kind._from_config(self.make(), **options)).eval()

    def prediction(self, rows: tuple[int, ...] = BOTH, side: str = "left") -> dict[str, Any]:
        """Arguments of `predict`, for some of the two samples."""
        return CALLS[self.family].prediction(self.make(), rows, side)

    def training(self) -> dict[str, Any]:
        """Arguments of `forward` with nothing left to chance, both samples."""
        return CALLS[self.family].training(self.make())

    def predict(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        return CALLS[self.family].predict(model, inputs)


def randomized(module: Any, seed: int = 0) -> Any:
    """Weights for which every part matters: norms and scales around 1, embeddings 0.7, all else 0.15."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            values = torch.randn(parameter.shape, generator=generator)
            owner = name.rsplit(".", 2)[-2]
            if ("norm" in owner and name.endswith("weight")) or name.endswith("scale_factor"):
                parameter.copy_(1 + 0.1 * values)
            else:
                parameter.copy_(values * (0.7 if "embed_tokens" in name else 0.15))
    return module


class CogVLA:
    @staticmethod
    def prompts() -> list[list[int]]:
        return [[1, *words(1, 4, last=180), PROMPT_END], [1, *words(2, 7, last=180), PROMPT_END]]

    @staticmethod
    def tensors(config: Any) -> dict[str, torch.Tensor | None]:
        pixels = drawn(3, 2, config.num_images_in_input, 6, IMAGE_SIZE, IMAGE_SIZE)
        state = drawn(4, 2, config.state_dim) if config.use_state else None
        chunk = (2, config.num_action_chunks, config.action_dim)
        noise = drawn(5, *chunk) if config.action_head == "diffusion" else None
        return {"pixel_values": pixels, "state": state, "noise": noise}

    @classmethod
    def prediction(cls, config: Any, rows: tuple[int, ...], side: str) -> dict[str, Any]:
        prompts = [cls.prompts()[row] for row in rows]
        return padded(prompts, side, 0) | chosen(cls.tensors(config), rows)

    @classmethod
    def training(cls, config: Any) -> dict[str, Any]:
        answer = [*words(6, config.num_action_tokens, 193, 256), config.stop_token_id]
        text = padded([prompt + answer for prompt in cls.prompts()], "right", 0)
        labels = [[-100] * len(prompt) + answer for prompt in cls.prompts()]
        inputs = text | chosen(cls.tensors(config), BOTH) | {"labels": padded(labels, "right", -100)["input_ids"]}
        if config.action_head != "discrete":
            inputs["actions"] = drawn(7, 2, config.num_action_chunks, config.action_dim).tanh()
        if config.action_head == "diffusion":
            inputs["timesteps"] = torch.tensor([1, 3])
        return inputs

    @staticmethod
    def predict(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        return model.predict_action(**inputs)


class Llava3D(CogVLA):
    @staticmethod
    def prompts() -> list[list[int]]:
        return [[1, *[40] * 4, *words(1, 3)], [1, *[40] * 4, *words(2, 6)]]

    @staticmethod
    def tensors(config: Any) -> dict[str, torch.Tensor | None]:
        noise = drawn(5, 2, config.num_action_chunks, config.action_dim)
        state = drawn(4, 2, config.state_dim) if config.use_state else None
        return {"pixel_values": drawn(3, 2, 1, 3, IMAGE_SIZE, IMAGE_SIZE), "state": state, "noise": noise}

    @classmethod
    def training(cls, config: Any) -> dict[str, Any]:
        inputs = cls.prediction(config, BOTH, "right")
        actions = drawn(7, 2, config.num_action_chunks, config.action_dim).tanh()
        return inputs | {"actions": actions, "time": torch.tensor([0.3, 0.8])}


class Composed(Llava3D):
    @staticmethod
    def tensors(config: Any) -> dict[str, torch.Tensor | None]:
        chunk = (2, config.num_action_chunks, config.action_dim)
        noise = drawn(5, *chunk) if config.action_head == "flow" else None
        state = drawn(4, 2, config.state_dim) if config.use_state else None
        pixels = drawn(3, 2, 1, 3 if config.second_vision_config is None else 6, IMAGE_SIZE, IMAGE_SIZE)
        if config.vlm_config is not None and config.vlm_config.model_type.startswith("qwen"):
            pixels = drawn(3, 2, 1, 16, 3 * 2 * config.vlm_config.vision_config.patch_size**2)
        return {"pixel_values": pixels, "state": state, "noise": noise}

    @classmethod
    def prediction(cls, config: Any, rows: tuple[int, ...], side: str) -> dict[str, Any]:
        prompts, vlm = [words(1, 3), words(2, 6)], config.vlm_config
        if vlm is not None:
            image = [290] * 4
            image = [291, *image, 292] if vlm.model_type.startswith("qwen") else image
            prompts = [[*image, *prompt] for prompt in prompts]
        inputs = padded([prompts[row] for row in rows], side, 0) | chosen(cls.tensors(config), rows)
        if vlm is not None and vlm.model_type.startswith("qwen"):
            inputs["pixel_values"] = inputs["pixel_values"].flatten(0, 2)
            inputs["image_grid_thw"] = torch.tensor([[1, 4, 4]] * len(rows))
        return inputs

    @classmethod
    def training(cls, config: Any) -> dict[str, Any]:
        inputs = super().training(config)
        return inputs if config.action_head == "flow" else {k: v for k, v in inputs.items() if k != "time"}


class Alpamayo:
    @staticmethod
    def scenes(case: dict, rows: tuple[int, ...]) -> dict[str, list]:
        """Tokens, patches, grids and paths of the case's two scenes."""
        stored = {name: torch.tensor(spec["values"]) for name, spec in case["inputs"].items() if "values" in spec}
        shaped = {name: value.view(case["inputs"][name]["shape"]) for name, value in stored.items()}
        tokens = [shaped["input_ids"][i][shaped["attention_mask"][i] > 0].tolist() for i in BOTH]
        images = [row.count(309) for row in tokens]
        grids = shaped["image_grid_thw"].split(images)
        patches = drawn(3, *case["inputs"]["pixel_values"]["shape"]).split([int(g.prod(1).sum()) for g in grids])
        found = {"tokens": tokens, "pixel_values": patches, "image_grid_thw": grids}
        found |= {name: shaped[name].split(1) for name in ("ego_history_xyz", "ego_history_rot")}
        return {name: [value[row] for row in rows] for name, value in found.items()}

    @classmethod
    def prediction(cls, config: Any, rows: tuple[int, ...], side: str) -> dict[str, Any]:
        found = cls.scenes(alpamayo_case(), rows)
        inputs = padded(found.pop("tokens"), side, config.pad_token_id)
        inputs |= {name: torch.cat(value) for name, value in found.items()}
        guided = (
            {"guidance_weight": 1.5} if getattr(config, "include_camera_ids", False) and 1 in rows else {}
        )  # of which one has a route
        return inputs | {"noise": drawn(5, 2, 64, 2)[list(rows)], **guided}

    @classmethod
    def training(cls, config: Any) -> dict[str, Any]:
        found = cls.scenes(alpamayo_case(), BOTH)
        start = config.traj_token_ids["future_start"]
        inputs = padded([[*row, 65, 66, start] for row in found.pop("tokens")], "left", config.pad_token_id)
        real = inputs["attention_mask"]
        unlearnt = (real == 0) | (real.cumsum(dim=1) == 1)  # the first token would be told by the padding before it
        inputs |= {"labels": inputs["input_ids"].masked_fill(unlearnt, -100)}
        inputs |= {name: torch.cat(value) for name, value in found.items()}
        future = torch.linspace(0, 20, 65)[1:]
        xyz = torch.stack([future, 0.01 * future**2, 0 * future], dim=-1)
        inputs |= {"ego_future_xyz": torch.stack([xyz, 0.5 * xyz]), "ego_future_rot": torch.eye(3).expand(2, 64, 3, 3)}
        return inputs | {"noise": drawn(5, 2, 64, 2), "time": torch.tensor([0.3, 0.8])}

    @staticmethod
    def predict(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        greedy = {"num_traj_samples": 1, "top_k": 1, "max_new_tokens": 3, "num_inference_steps": 2}
        return model.sample_trajectories(**inputs, **greedy).actions


@cache
def alpamayo_case() -> dict[str, Any]:
    return json.loads(CASE.read_text())


def alpamayo(is_later: bool, **fields) -> Any:
    settings = copy.deepcopy(alpamayo_case()["config"])
    if not is_later:
        settings = json.loads(json.dumps(settings).replace("alpamayo1_5.", "alpamayo_r1."))
        del settings["include_camera_ids"], settings["include_frame_nums"]
    parts = {"vlm_config": settings.pop("vlm"), **settings.pop("expect"), "pad_token_id": 300}
    if not is_later:
        parts |= {"mask_prompt_padding": True, "stop_grad_from_vlm": False}
        parts["vlm_config"] |= TIED
    return made(vlahub.AlpamayoR1Config, parts | settings, fields)


PLAIN = {"use_film": False, "use_aggr": False, "use_lfp": False, "vision_aggregate_type": "concat"}
TIED = {"tie_word_embeddings": True}
AS_TEXT = {"action_head": "discrete", "action_attention": "causal"}
QWEN_TEXT = {name: value for name, value in GEMMA.items() if name not in ("head_dim", "model_type")}
TOKENS = {"image_token_id": 290, "vision_start_token_id": 291, "vision_end_token_id": 292, "video_token_id": 293}
PALIGEMMA = {"model_type": "paligemma", "text_config": GEMMA, "vision_config": SIGLIP, "projection_dim": 32}
LLAVA = {"model_type": "llava", "text_config": LLAMA, "vision_config": {"model_type": "clip_vision_model", **TOWER}}
DINO = {"model_type": "dinov2_with_registers", "hidden_size": 16, "mlp_ratio": 2, "num_register_tokens": 2}
DINO |= {"num_hidden_layers": 2, "num_attention_heads": 2, "image_size": IMAGE_SIZE, "patch_size": 14}
TWO_TOWERS = {"vision_config": DINO, "second_vision_config": SIGLIP, "vision_aggregate_type": "moe"}
TWO_TOWERS |= {"use_film": True, "use_aggr": True, "num_vision_aggr": 2}
ROPE = {"rope_type": "default", "mrope_section": [4, 2, 2], "mrope_interleaved": True}
QWEN_VISION = {"hidden_size": 24, "intermediate_size": 32, "depth": 2, "num_heads": 2, "out_hidden_size": 32}
QWEN = {
    "model_type": "qwen3_vl",
    "text_config": {**QWEN_TEXT, "model_type": "qwen3_vl_text", "head_dim": 16, "rope_scaling": ROPE},
    "vision_config": QWEN_VISION | {"patch_size": 16, "deepstack_visual_indexes": [0], "num_position_embeddings": 16},
    **TOKENS,
}


def cogvla(**fields) -> Variant:
    return Variant(vlahub.CogVLAForActionPrediction, lambda: cogvla_config(**fields))


def llava3d(kind: str, **fields) -> Variant:
    state = {"use_state": True, "state_dim": 4, "norm_stats": {"a": {"action": bounds(7), "state": bounds(4)}}}
    config = {"action_expert_type": kind, "num_inference_steps": 3, **state, **fields}
    config["dit_config"] = {"dropout": 0.0}
    return Variant(vlahub.MapAnythingLlava3DForConditionalGeneration, lambda: llava3d_config(**config))


def composed(**fields) -> Variant:
    return Variant(vlahub.MultimodalVLAForActionPrediction, lambda: composed_config(**fields))


VARIANTS = {
    "cogvla": cogvla(action_head="l1"),
    "cogvla-discrete": cogvla(action_head="discrete"),
    "cogvla-diffusion": cogvla(action_head="diffusion"),
    "openvla": cogvla(**PLAIN | AS_TEXT, state_dim=None),
    "openvla-oft": cogvla(**PLAIN | {"use_film": True}, action_head="l1", text_config=TIED),
    "aggregation-only": cogvla(**PLAIN | {"use_aggr": True}, action_head="l1", num_images_in_input=1, state_dim=None),
    "llava3d-flow": llava3d("deep_fusion"),
    "llava3d-dit": llava3d("dit", use_state=False),
    "llava3d-mistral-both": llava3d("deep_fusion+dit", text_config={"model_type": "mistral", **TIED}),
    "composed-mlp": composed(action_head="mlp", fusion="early", projector_type="mlp"),
    "composed-flow": composed(action_head="flow", fusion="film", projector_type="perceiver"),
    "composed-discrete-late": composed(action_head="discrete", fusion="late", projector_type="qformer"),
    "composed-gated": composed(action_head="mlp", fusion="gated_cross_attention", text_config=LLAMA),
    "composed-two-towers": composed(action_head="flow", text_config=LLAMA, use_state=False, **TWO_TOWERS),
    "vlm-paligemma-flow": composed(vlm_config={**PALIGEMMA, "image_token_index": 290}, action_head="flow"),
    "vlm-llava-late": composed(
        vlm_config={**LLAVA, "image_token_index": 290}, action_head="mlp", fusion="late", use_state=False
    ),
    "vlm-qwen-mlp": composed(vlm_config=QWEN, action_head="mlp"),
    "alpamayo-r1": Variant(vlahub.AlpamayoR1, lambda: alpamayo(is_later=False), sides=("left",)),
    "alpamayo-1.5": Variant(vlahub.AlpamayoR1, lambda: alpamayo(is_later=True), sides=("left",)),
}
# One of each kind, for what costs more, or is the same code for all.
FEW = ("openvla-oft", "llava3d-mistral-both", "composed-flow", "vlm-qwen-mlp", "alpamayo-1.5")
# All, for a property that hardly depends on the variant: those that are not among the few in `make test-slow`.
FEW_FIRST = [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS]
CALLS = {"cogvla": CogVLA, "mapanything_llava3d": Llava3D, "multimodal_vla": Composed, "alpamayo_r1": Alpamayo}
