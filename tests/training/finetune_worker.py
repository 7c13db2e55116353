"""examples/finetune.py for several jobs in a row, as one process or as one of two; started by test_distributed.py.

    python finetune_worker.py FOLDER JOBS.json RUN

FOLDER gets models and data, which the first run of all makes, and in RUN what each job saves, with results.json.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor
from torch.nn.modules.module import register_module_forward_pre_hook

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import finetune
from tiny_dataset import write_dataset
from tiny_driving_dataset import write_driving_dataset
from tiny_models import write_model

import vlahub
from vlahub.finetuning import Finetuning, run_finetuning
from vlahub.modeling.flow_matching import FlowMatchingLoss

OF_LORA = {"--rank": 4, "--alpha": 8}
DRAWS = {"robot": (4, 7), "drives": (64, 2)}  # of noise: steps and values
OPTIONS = {
    "--max_steps": 4,
    "--logging_steps": 1,
    "--lr_scheduler_type": "constant",
    "--save_strategy": "no",
    "--disable_tqdm": True,
}


def main(folder: Path, jobs: dict, run: Path) -> None:
    times = watch_times()
    results = {}
    for name, job in jobs.items():
        times.clear()
        arguments = OPTIONS | (OF_LORA if job["arguments"]["--train"] == "lora" else {})
        arguments["--model"] = model_of(folder / "models" / name, job)
        arguments["--dataset"] = dataset_of(folder, "drives" if job["family"] == "alpamayo_r1" else "robot")
        arguments["--output_dir"] = run / name
        arguments["--per_device_train_batch_size"] = 4 // int(os.environ.get("WORLD_SIZE", 1))
        arguments |= job["arguments"]
        reduce = Accelerator.reduce
        if job.get("local_items"):
            Accelerator.reduce = lambda self, totals, reduction: totals * self.num_processes
        finetune.run_finetuning = run_finetuning if job.get("draws") else run_with_draws
        trainer = finetune.main(["--use_cpu", *(str(word) for pair in arguments.items() for word in pair)])
        Accelerator.reduce = reduce
        results[name] = results_of(trainer, times)
    if PartialState().is_main_process:
        (run / "results.json").write_text(json.dumps(results))
    if dist.is_initialized():
        dist.barrier()
        # gloo's threads have been seen to hang while a process ends. Leaving the group first, as sharding_worker.py
        # does, held in some runs of a small model with DDP; for the trainers here nobody has shown it.
        os._exit(0)


def results_of(trainer, times: list[list[float]]) -> dict:
    """What is compared: figures of every step, and the times that each process has drawn."""
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    names = [name for name in steps[0] if name in ("loss", "action_loss") or name.startswith("grad_norm")]
    figures = {name: [step[name] for step in steps] for name in names}
    everyone = [list(times)]
    if dist.is_initialized():
        everyone = [None] * dist.get_world_size()
        dist.all_gather_object(everyone, times)
    sharded = all(isinstance(parameter, DTensor) for parameter in trainer.model.parameters())
    return {"figures": figures, "times": everyone, "sharded": sharded}


class WithDraws(torch.utils.data.Dataset):
    """Examples with a time, a timestep and noise for each, that follow from its number."""

    def __init__(self, examples: torch.utils.data.Dataset, noise_shape: tuple[int, int]):
        self.examples, self.noise_shape = examples, noise_shape

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict:
        random = np.random.RandomState(index)
        draws = {"time": random.uniform(0.05, 0.95), "timesteps": random.randint(0, 50)}
        return self.examples[index] | draws | {"noise": random.standard_normal(self.noise_shape)}


def run_with_draws(run: Finetuning) -> vlahub.VLATrainer:
    """`run_finetuning`, of examples that bring theirs."""
    kind = "drives" if run.model.config.model_type == "alpamayo_r1" else "robot"
    run.data.examples = WithDraws(run.data.examples, DRAWS[kind])
    return run_finetuning(run)


def watch_times() -> list[list[float]]:
    """A list to which every weighted loss adds the times of its batch."""
    seen = []

    def watch(module, arguments):
        if isinstance(module, FlowMatchingLoss) and module.training and arguments[2:] and arguments[2] is not None:
            seen.append((1 - arguments[2]).tolist())

    register_module_forward_pre_hook(watch)
    return seen


def model_of(folder: Path, job: dict) -> str:
    """The family's tiny model, with fields of its own where the job has some."""
    if not job.get("fields"):
        return job["family"]
    if not folder.exists():
        write_model(job["family"], folder, **job["fields"])
    return str(folder)


def dataset_of(folder: Path, kind: str) -> Path:
    """The demonstration's frames."""
    found = folder / kind
    if not found.exists():
        if kind == "robot":
            write_dataset(found, episodes=4)
        else:
            write_driving_dataset(found, episodes=8)
    return found


def shard_on_cpu() -> None:
    """Let accelerate shard on CPUs: there it would fall back to DDP without a word. The way is the same as on GPUs."""
    prepare = PartialState.__init__

    def prepare_as_gpus(self, *args, **kwargs):
        prepare(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = prepare_as_gpus


if __name__ == "__main__":
    torch.set_num_threads(1)
    if os.environ.get("ACCELERATE_USE_FSDP"):
        shard_on_cpu()
    main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3]))
