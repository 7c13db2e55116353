"""Tiny models of every family and kind with a batch each, made from what the tests of the models have."""

import copy
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from tiny_configs import (
    GEMMA,
    LLAMA,
    SIGLIP,
    TOWER,
    alpamayo_config,
    bounds,
    cogvla_config,
    composed_config,
    llava3d_config,
)
from torch import nn

import vlahub

TESTS = Path(__file__).parent


def load(folder, name):
    """A file of other tests, for the sizes and batches that it has."""
    spec = importlib.util.spec_from_file_location(f"{folder}_{name}".replace("/", "_"), TESTS / folder / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shared = load("modeling", "conftest")
backbones = load("modeling/multimodal_vla", "test_multimodal_vla")
vlms = load("modeling/multimodal_vla", "test_multimodal_vlms")
driving = load("modeling/alpamayo_r1", "test_alpamayo_model")

TOWERS = {
    "siglip": SIGLIP,
    "two towers": {"model_type": "siglip", "text_config": backbones.TEXT_TOWER, "vision_config": TOWER},
    **{name: backbones.OTHERS[name]["vision_config"] for name in ("clip", "dinov2", "vit")},
}
TEXTS = {
    "gemma": GEMMA,
    "gemma, not tied": {**GEMMA, "tie_word_embeddings": False},
    "llama": LLAMA,
    **{name: backbones.OTHERS[name]["text_config"] for name in ("tied llama", "qwen2")},
}


@dataclass
class Tiny:
    """A model in training mode whose every weight matters; arguments of its `forward`, and of a prediction."""

    model: nn.Module
    batch: dict
    prompt: dict

    def actions(self, model: nn.Module | None = None) -> torch.Tensor:
        """What the model, or another one in its place, predicts."""
        model = self.model if model is None else model
        was_training = model.training
        predict = getattr(model.eval(), "predict_action", None)
        actions = predict(**self.prompt) if predict else model.sample_trajectories(**self.prompt).actions
        model.train(was_training)
        return actions

    def drawing(self) -> dict:
        """The batch without what the model draws by itself."""
        return {name: value for name, value in self.batch.items() if name not in ("noise", "time", "timesteps")}


def make_cogvla(golden, **fields):
    config = cogvla_config(**fields)
    model = vlahub.CogVLAForActionPrediction._from_config(config)
    batch = shared.Batch(config, block=True).training()
    return Tiny(model, batch, shared.Batch(config).prediction())


def make_llava3d(golden, labels=False, **fields):
    config = llava3d_config(**{"norm_stats": {"a": {"action": bounds(7)}}, **fields})
    model = vlahub.MapAnythingLlava3DForConditionalGeneration(config)
    random = torch.Generator().manual_seed(0)
    text = torch.randint(1, 40, (2, 5), generator=random)
    prompt = {"input_ids": torch.cat([torch.full((2, 4), 40), text], dim=1)}
    prompt["pixel_values"] = torch.rand(2, 1, 3, 28, 28, generator=random) * 2 - 1
    learned = {"labels": torch.cat([torch.full((2, 4), -100), text], dim=1)} if labels else {}
    if config.action_expert_type is None:
        return Tiny(model, prompt | learned, prompt)
    noise, actions = torch.randn(2, 2, 4, 7, generator=random)
    learned |= {"actions": actions, "noise": noise, "time": torch.tensor([0.2, 0.7])}
    return Tiny(model, prompt | learned, prompt | {"noise": noise})


def make_composed(golden, vlm=None, tower="siglip", text="gemma", labels=False, **fields):
    if vlm is None:
        chosen = {"vision_config": TOWERS[tower], "text_config": TEXTS[text]}
        config = composed_config(**chosen | {"freeze_vision_tower": False} | fields)
        batch = backbones.Batch(config)
        arguments, prompt = batch.training(), batch.prediction()
        learned = batch.labels()
    else:
        chosen = {"model_type": vlm, **copy.deepcopy(vlms.VLMS[vlm])}
        config = vlahub.MultimodalVLAConfig(
            vlm_config=chosen, **{**vlms.OPTIONS, "freeze_vision_tower": False, **fields}
        )
        batch = vlms.Batch(vlm)
        prompt = batch.prediction(config.action_head)
        arguments = prompt | {"actions": batch.actions}
        learned = prompt["input_ids"].masked_fill(prompt["attention_mask"] == 0, -100)
    return Tiny(
        vlahub.MultimodalVLAForActionPrediction(config), arguments | ({"labels": learned} if labels else {}), prompt
    )


def make_alpamayo(golden, labels=False, **fields):
    case = golden("alpamayo/alpamayo_expert_step")
    reached = {"stop_grad_from_vlm": False}  # what a loss reaches is a subject of these tests
    model = vlahub.AlpamayoR1(alpamayo_config(case, **reached | fields))
    scenes = driving.Scenes(case)
    batch = driving.training_batch(model, scenes, 0, 1)
    if labels:
        batch["labels"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    options = {**driving.GREEDY, "max_new_tokens": 2, "noise": driving.noise(2)}
    return Tiny(model, batch, {**scenes.batch(0, 1), **options})


MAKERS = {
    "cogvla": make_cogvla,
    "mapanything_llava3d": make_llava3d,
    "multimodal_vla": make_composed,
    "alpamayo_r1": make_alpamayo,
}


def tiny_batch(golden, family, **fields):
    """`tiny_batch(golden, "cogvla", action_head="l1", ...)` -> `Tiny`; `labels=True`: text is learned, too."""
    made = MAKERS[family](golden, **fields)
    shared.randomize(made.model).train()
    return made
