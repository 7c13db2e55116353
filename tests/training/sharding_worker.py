"""`shard_model` on two processes against one, for models of every family; started by test_distributed.py.

    python -m torch.distributed.run --standalone --nproc_per_node 2 sharding_worker.py FOLDER EVERY

Each process trains the whole model on the whole batch, and the sharded one together with the other process, each on
its half of the batch. FOLDER gets models, data, what both ways save, and results.json. EVERY: 1 for all cases, 2 for
every second one.
"""

import copy
import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from finetune_worker import DRAWS, WithDraws, dataset_of, write_model
from tiny_models import CHUNKS, ROBOT
from torch.distributed.tensor import DTensor
from transformers import AutoModelForImageTextToText, AutoProcessor

import vlahub
from vlahub.data import (
    ActionChunks,
    DrivingScenes,
    apply_statistics,
    collator_for,
    dataset_statistics,
    load_frames,
)
from vlahub.training.health import squared_norm

STEPS, BATCH, LEARNING_RATE = 3, 4, 0.01
STATE = "observation.state"
CALM = {"dit_config": {"dropout": 0.0}}
PARTS = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
PALIGEMMA = {
    "model_type": "paligemma",
    "text_config": {"model_type": "gemma", **PARTS, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 300},
    "vision_config": {"model_type": "siglip_vision_model", **PARTS, "image_size": 28, "patch_size": 14},
    "image_token_index": 290,
    "projection_dim": 32,
}
DINOV2 = {"model_type": "dinov2", "hidden_size": 16, "mlp_ratio": 2, "num_hidden_layers": 2, "num_attention_heads": 2}
TOWERS = {  # FiLM and aggregation tokens inside of two, and a mixture of them
    "second_vision_config": {**DINOV2, "image_size": 28, "patch_size": 14},
    **{"use_film": True, "use_aggr": True, "num_vision_aggr": 3, "vision_aggregate_type": "moe"},
    "freeze_vision_tower": False,
}
CASES = {  # family, stage, fields of the config
    "cogvla_l1": ("cogvla", "full", {}),
    "cogvla_diffusion": ("cogvla", "full", {"action_head": "diffusion"}),
    "llava3d_deep_fusion": ("mapanything_llava3d", "full", {}),
    "llava3d_dit": ("mapanything_llava3d", "full", {"action_expert_type": "dit", **CALM}),
    "llava3d_both": ("mapanything_llava3d", "B", {"action_expert_type": "deep_fusion+dit", **CALM}),
    "composed_mlp": ("multimodal_vla", "full", {"fusion": "film", "projector_type": "mlp"}),
    "composed_flow": ("multimodal_vla", "full", {"action_head": "flow", "projector_type": "qformer"}),
    "composed_discrete": ("multimodal_vla", "full", {"action_head": "discrete", "fusion": "cross_attention"}),
    "composed_towers": ("multimodal_vla", "full", TOWERS),
    "composed_gated": ("multimodal_vla", "full", {"fusion": "gated_cross_attention", "projector_type": "perceiver"}),
    "composed_paligemma": ("paligemma", "full", {"action_head": "flow"}),
    "alpamayo": ("alpamayo_r1", "full", {}),
    "alpamayo_expert": ("alpamayo_r1", "A", {}),
}


def main(folder: Path, every: int) -> None:
    dist.init_process_group("gloo")
    results = {}
    for name, (family, stage, fields) in [*CASES.items()][::every]:
        if dist.get_rank() == 0:
            write(family, folder / name / "model", fields)
        dist.barrier()
        results[name] = Case(family, stage, folder / name).run()
    if dist.get_rank() == 0:
        (folder / "results.json").write_text(json.dumps(results))
    dist.barrier()
    dist.destroy_process_group()


def write(family: str, folder: Path, fields: dict) -> None:
    """A tiny model with its processor and data."""
    if family == "paligemma":
        statistics = {"demo": {"action": {"q01": [-1.0] * 7, "q99": [2.0] * 7}}}
        fields = {**ROBOT, **fields, "num_action_chunks": CHUNKS, "norm_stats": statistics}
        config = vlahub.MultimodalVLAConfig(vlm_config=PALIGEMMA, **fields)
        torch.manual_seed(0)
        vlahub.MultimodalVLAForActionPrediction(config).save_pretrained(folder)
    else:
        write_model(family, folder, **fields)
        frames_of(family, folder.parents[1])


def frames_of(family: str, folder: Path):
    """Those of the demonstration."""
    return load_frames(dataset_of(folder, kind_of(family)))


def kind_of(family: str) -> str:
    return "drives" if family == "alpamayo_r1" else "robot"


class Case:
    """A model and its batch: `batch(rows)` are arguments of its `forward`, `prompt` those of a prediction."""

    def __init__(self, family: str, stage: str, folder: Path):
        self.family, self.folder = family, folder
        self.model = AutoModelForImageTextToText.from_pretrained(folder / "model", dtype=torch.float32)
        torch.manual_seed(0)
        with torch.no_grad():  # what begins as zeros is moved, so that everything matters
            for parameter in self.model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        make = paligemma_batch if family == "paligemma" else demonstration_batch
        self.batch, self.prompt = make(family, self.model.config, folder)
        vlahub.trainable_parameter_groups(self.model, stage, 1 if stage == "B" else 0)
        vlahub.freeze_unreached(self.model, self.batch(range(1)))
        self.model.train()

    def run(self) -> dict:
        """Losses of the whole model, how far it moved, and for both sharded ones how far they are from it."""
        rank, world = dist.get_rank(), dist.get_world_size()
        half = range(rank * BATCH // world, (rank + 1) * BATCH // world)
        model = copy.deepcopy(self.model)
        losses, gradients, norm = self.train(model, range(BATCH))
        pairs = zip(model.parameters(), self.model.parameters(), strict=True)
        moved = max(float((now - before).detach().abs().max()) for now, before in pairs)
        if rank == 0:
            model.save_pretrained(self.folder / "wanted")
        found = {"whole": losses, "moved": moved}
        for way, steps in (("checkpointed", 1), ("sharded", STEPS)):
            model = copy.deepcopy(self.model)
            if way == "checkpointed":
                model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            vlahub.shard_model(model)
            whole = [name for name, parameter in model.named_parameters() if not isinstance(parameter, DTensor)]
            losses, others, other_norm = self.train(model, half, steps)
            found[way] = {"losses": losses, "not split": whole, "norm": abs(other_norm / norm - 1)}
            found[way]["gradients of one alone"] = sorted(gradients.keys() ^ others.keys())
            distances = [(others[name] - value).norm() / norm for name, value in gradients.items() if name in others]
            found[way]["gradients"] = float(max(distances))
        vlahub.save_sharded(model, self.folder / "saved")
        loaded = AutoModelForImageTextToText.from_pretrained(self.folder / "saved")
        found["predictions"] = float((self.predict(model) - self.predict(loaded)).abs().max())
        return found

    def train(self, model, rows: range, steps: int = STEPS) -> tuple[list[float], dict[str, torch.Tensor], float]:
        """Losses of all steps, over all processes; the first step's gradients, whole, and their norm."""
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=LEARNING_RATE, momentum=0.9)
        losses, gradients, norm = [], {}, 0.0
        for step in range(steps):
            loss = model(**self.batch(rows)).loss
            loss.backward()
            if step == 0:
                gradients = {n: whole_tensor(p.grad) for n, p in model.named_parameters() if p.grad is not None}
                norm = norm_of(trained)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(mean_of(loss.detach()))
        return losses, gradients, norm

    def predict(self, model) -> torch.Tensor:
        model.eval()
        if self.family == "alpamayo_r1":
            options = {"num_traj_samples": 1, "top_k": 1, "max_new_tokens": 3}
            return model.sample_trajectories(**self.prompt, **options).actions
        return model.predict_action(**self.prompt)


def demonstration_batch(family: str, config, folder: Path):
    """`batch` and `prompt` of rows that lie far apart; the config gets their statistics."""
    frames = frames_of(family, folder.parent)
    processor = AutoProcessor.from_pretrained(folder / "model")
    if family != "alpamayo_r1":
        statistics = dataset_statistics(frames, state=STATE, progress=False)
        apply_statistics(config, processor, "demo", statistics)
    examples = DrivingScenes(frames) if family == "alpamayo_r1" else ActionChunks(frames, CHUNKS, state=STATE)
    examples = WithDraws(examples, DRAWS[kind_of(family)])
    chosen = [examples[row * (len(examples) // BATCH)] for row in range(BATCH)]
    collator = collator_for(config, processor)
    if family == "alpamayo_r1":
        history = collator.poses(chosen, "ego_history", collator.history_steps)
        prompt = dict(processor(collator.frames(chosen), *history.values()))
    else:
        prompt = collator.inputs(chosen)
    noise = {name: value for name, value in collator(chosen).items() if name == "noise"}
    return lambda rows: collator([chosen[row] for row in rows]), prompt | noise


def paligemma_batch(family: str, config, folder: Path):
    """`batch` and `prompt` of numbers."""
    random = torch.Generator().manual_seed(0)
    text = torch.randint(3, 200, (BATCH, 5), generator=random)
    shape = BATCH, config.num_action_chunks, config.action_dim
    prompt = {
        "input_ids": torch.cat([torch.full((BATCH, 4), PALIGEMMA["image_token_index"]), text], dim=1),
        "pixel_values": torch.randn(BATCH, 3, 28, 28, generator=random),
        "noise": torch.randn(shape, generator=random),
    }
    learned = {"actions": torch.rand(shape, generator=random) * 2 - 1, "time": torch.linspace(0.1, 0.9, BATCH)}
    return lambda rows: {name: value[list(rows)] for name, value in (prompt | learned).items()}, prompt


def whole_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A copy, of all shards where it is split."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.clone()


def norm_of(parameters: list) -> float:
    """Of all gradients, as `HealthCallback` sums it up over the processes."""
    squared, shards = squared_norm(parameters)
    return mean_of(squared * shards) ** 0.5


def mean_of(value: torch.Tensor) -> float:
    """Over the processes."""
    total = value.clone()
    dist.all_reduce(total)
    return float(total) / dist.get_world_size()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]))
