"""The whole chain on tasks of a simulator: demonstrations, statistics, training, LoRA, merging, and success in a loop.

Meta-World's scripted experts demonstrate in LeRobot's environment; a small model learns from their recordings, and then
solves the tasks from starts that it has not seen, by `lerobot-eval` and by `vlahub serve` with openpi-client, with the
same actions. `make demo-closed-loop` calls this in an environment that has LeRobot.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from closed_loop_figures import largest_difference
from metaworld_model import write_model
from metaworld_scene import TASKS, expert_success

sys.path.append(str(Path(__file__).parents[1]))
from demo_folder import fresh_folder

HERE = Path(__file__).parent
VLAHUB = [sys.executable, "-m", "vlahub"]
ENOUGH = 0.8  # of the episodes
WANDERING = 10, 120  # episodes of the untrained model and their steps, of which the expert needs fewer than 80
BY_CHANCE = 0.2  # of the episodes, at most, that the untrained model may solve
TRAINING = "--batch-size 64 --weight-decay 0.01 --warmup-steps 50 --lr-scheduler-type cosine --adam-beta2 0.95"
# Products of so small a model are not worth dividing between cores; threads that wait for each other cost far more.
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
REPORTING = "--max-grad-norm 1 --logging-steps 100 --save-steps 100000 --dataloader-num-workers 1"


def main() -> None:
    arguments = parse_arguments()
    folder = fresh_folder(arguments.output)
    seconds = {}
    with stage(f"1. demonstrations of {' and '.join(TASKS)}, by LeRobot's dataset writer: {folder}", seconds):
        dataset, seeds = folder / "demonstrations", ["--seed", str(arguments.seed * 1_000_000 + 100_000)]
        run(sys.executable, script("record"), str(dataset), "--episodes", str(arguments.demonstrations), *seeds)
    with stage("2. a small new model learns them: first whole, then by LoRA, which is merged", seconds):
        checkpoint = trained(folder, dataset, arguments)
    with stage("3. unseen starts: lerobot-eval with the plugin, and vlahub serve with openpi-client", seconds):
        figures = evaluated_in_all_ways(folder, checkpoint, arguments)
    figures["minutes"] = {title: round(taken / 60, 1) for title, taken in seconds.items()}
    text = json.dumps(figures, indent=2, allow_nan=False)
    (folder / "figures.json").write_text(text)
    print(text)
    if failed := [task for task in TASKS if not is_as_it_should_be(figures, task)]:
        sys.exit(
            f"{', '.join(failed)}: fewer than {ENOUGH:.0%} of the episodes succeed, or more than {BY_CHANCE:.0%} by "
            "chance, or the two ways differ."
        )


@contextmanager
def stage(title: str, seconds: dict[str, float]) -> Iterator[None]:
    """Say what comes, and note how long it took."""
    print(title, flush=True)
    start = time.monotonic()
    yield
    seconds[title.partition(":")[0]] = time.monotonic() - start


def is_as_it_should_be(figures: dict[str, dict[str, float]], task: str) -> bool:
    """Whether a task is solved, by what was learnt, and alike in both ways."""
    is_solved = min(figures[way][task] for way in ("lerobot-eval", "openpi-client")) >= ENOUGH
    is_alike = figures["largest difference of the actions"][task] == 0
    return is_solved and is_alike and figures["untrained"][task] <= BY_CHANCE


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo_closed_loop_output"), help="folder (replaced)")
    parser.add_argument("--demonstrations", type=int, default=3000, help="episodes of each task")
    parser.add_argument("--steps", type=int, default=5000, help="of the training, of which LoRA has another eighth")
    parser.add_argument("--episodes", type=int, default=20, help="to evaluate with, of each task")
    parser.add_argument("--seed", type=int, default=0, help="of everything: other seeds, other starts")
    return parser.parse_args()


def trained(folder: Path, dataset: Path, arguments: argparse.Namespace) -> Path:
    """The merged checkpoint."""
    new, base, adapter, checkpoint = (folder / name for name in ("untrained", "base", "adapter", "checkpoint"))
    statistics = folder / "dataset_statistics.json"
    run(*VLAHUB, "stats", str(dataset), "--output", str(statistics))
    write_model(new, statistics, arguments.seed)
    options = [*f"{TRAINING} {REPORTING}".split(), "--seed", str(arguments.seed)]
    options += ["--dataset", str(dataset), "--statistics", str(statistics)]
    whole = ["--train", "full", "--backbone-lr-scale", "1", "--steps", str(arguments.steps), "--learning-rate", "2e-3"]
    run(*VLAHUB, "train", str(new), "--output", str(base), *options, *whole)
    lora = ["--train", "lora", "--steps", str(arguments.steps // 8), "--learning-rate", "3e-4"]
    run(*VLAHUB, "train", str(base), "--output", str(adapter), *options, *lora)
    merge = ["--base", str(base), "--adapter", str(adapter), "--output", str(checkpoint)]
    run(*VLAHUB, "merge-lora", *merge)
    return checkpoint


def evaluated_in_all_ways(folder: Path, checkpoint: Path, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """What succeeds: way -> task -> share of the episodes; and how far the actions of the two ways are apart."""
    seeds = evaluated(arguments)
    figures = {"expert": {task: share(expert_success(task, seeds)) for task in TASKS}}
    figures["lerobot-eval"] = evaluated_by_lerobot(folder, checkpoint, arguments)
    with served(checkpoint, folder) as url:
        figures["openpi-client"] = evaluated_by_openpi(folder, url, seeds)
    with served(folder / "untrained", folder) as url:
        figures["untrained"] = evaluated_by_openpi(folder, url, seeds[: WANDERING[0]], WANDERING[1])
    figures["largest difference of the actions"] = {task: difference(folder, task) for task in TASKS}
    return figures


def evaluated(arguments: argparse.Namespace) -> range:
    """Seeds that no demonstration has."""
    first = 1000 + arguments.seed * 1_000_000
    return range(first, first + arguments.episodes)


def evaluated_by_lerobot(folder: Path, checkpoint: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """The success of each task."""
    seeds, commands = evaluated(arguments), []
    for task in TASKS:
        options = [f"--policy.checkpoint={checkpoint}", "--policy.type=vlahub", "--policy.device=cpu"]
        options += ["--env.type=metaworld", f"--env.task={task}", "--eval.batch_size=1", f"--seed={seeds.start}"]
        options += [f"--eval.n_episodes={len(seeds)}", f"--output_dir={folder / 'lerobot_eval' / task}"]
        commands.append([sys.executable, script("lerobot_eval"), str(actions_file(folder, task, "lerobot")), *options])
    run_together(commands)
    found = {task: json.loads((folder / "lerobot_eval" / task / "eval_info.json").read_text()) for task in TASKS}
    return {task: info["overall"]["pc_success"] / 100 for task, info in found.items()}


def evaluated_by_openpi(folder: Path, url: str, seeds: range, max_steps: int | None = None) -> dict[str, float]:
    """The success of each task; max_steps: of the untrained model, whose actions are not kept."""
    name, commands = "openpi" if max_steps is None else "untrained", []
    for task in TASKS:
        options = ["--seed", str(seeds.start), "--episodes", str(len(seeds))]
        options += ["--figures", str(figures_file(folder, task, name))]
        if max_steps is None:
            options += ["--actions", str(actions_file(folder, task, name)), "--strip", str(folder / f"{task}.png")]
        else:
            options += ["--max-steps", str(max_steps)]
        commands.append([sys.executable, script("openpi"), url, task, *options])
    run_together(commands)
    return {task: json.loads(figures_file(folder, task, name).read_text())["success"] for task in TASKS}


def difference(folder: Path, task: str) -> float:
    """The largest between what was done in the two ways."""
    first, second = (np.load(actions_file(folder, task, way)) for way in ("lerobot", "openpi"))
    return largest_difference(first, second)


def actions_file(folder: Path, task: str, way: str) -> Path:
    return folder / f"{task}_actions_{way}.npz"


def figures_file(folder: Path, task: str, way: str) -> Path:
    return folder / f"{task}_{way}.json"


def share(successes: Iterator[bool]) -> float:
    return float(np.mean(list(successes)))


def script(name: str) -> str:
    return str(HERE / f"metaworld_{name}.py")


@contextmanager
def served(checkpoint: Path, folder: Path) -> Iterator[str]:
    """A server of the checkpoint for as long as it is needed; gives its address for websockets.

    Two tasks ask at once: predicted in one batch, their actions would be rounded otherwise than one by one.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [*VLAHUB, "serve", str(checkpoint), "--port", str(port), "--max-batch", "1"]
    show(command)
    with (
        (folder / "serve.log").open("ab") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRONMENT) as server,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/healthz", server)
            yield f"ws://127.0.0.1:{port}"
        finally:
            server.terminate()


def wait_for(url: str, server: subprocess.Popen) -> None:
    while server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    sys.exit("vlahub serve ended; serve.log says why")


def run(*command: str) -> None:
    run_together([list(command)])


def run_together(commands: list[list[str]]) -> None:
    """Show commands and run them side by side; a failure ends the demonstration."""
    running = []
    for command in commands:
        show(command)
        running.append(subprocess.Popen(command, env=ENVIRONMENT))
    codes = [process.wait() for process in running]
    if any(codes):
        sys.exit(1)


def show(command: list[str]) -> None:
    print("$ " + " ".join(Path(word).name if word.startswith("/") else word for word in command), flush=True)


if __name__ == "__main__":
    main()
