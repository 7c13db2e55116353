"""Errors of a driving model's trajectories on recorded drives: predicted, counted, printed and drawn."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...configuration.vla_errors import InputError
from ...modeling.alpamayo_r1.trajectory_metrics import minADE
from ...processing.alpamayo_r1.route_and_question import reads_routes
from ...training.alpamayo_r1.collator_alpamayo_r1 import AlpamayoR1Collator
from ...training.alpamayo_r1.driving_scenes import DrivingScenes
from ...training.alpamayo_r1.trajectory_errors import best_samples, trajectory_errors
from ...training.dataset_columns import check_texts
from ...training.example_columns import ExampleColumns
from ...training.open_loop import Samples, batch_seed, noise_for, predicted_in_batches, samples_of
from ..predictions.checkpoint_loading import load_config, load_model, load_processor
from ..predictions.evaluated_data import (
    EvaluatedData,
    described,
    evaluated_data,
    json_ready,
    settings_of,
    with_advantage,
)
from ..predictions.flow_options import flow_options
from ..predictions.processes import Processes, joined_processes
from ..table_lines import Column, Table
from ..terminal import show
from .evaluation_plot import plot_scenes

POSE = "observation.state"
SAMPLES = 6  # trajectories of a scene
NAMES = ["x", "y", "z"]
SETTINGS = ("top_p", "top_k", "temperature", "max_new_tokens")
ROUTES = "nav_text"
PROMPTS = ("text", ROUTES)  # texts of the examples that their prompts hold


@dataclass(frozen=True)
class Drives:
    """A checkpoint, without its weights, and the recorded scenes that it is asked about."""

    collator: AlpamayoR1Collator
    data: EvaluatedData
    examples: DrivingScenes
    samples: Samples


@dataclass(frozen=True)
class Paths:
    """What was predicted and driven in all scenes, metres in the frame of each scene's last pose.

    Attributes:
        predicted: (scenes, samples, waypoints, 3).
        driven: (scenes, waypoints, 3).
        started: (scenes, samples) bool, whether a sample announced its trajectory.
    """

    predicted: torch.Tensor
    driven: torch.Tensor
    started: torch.Tensor


def evaluate_trajectories(
    folder: Path, arguments: argparse.Namespace, sampling: dict[str, Any], plot: Path | None = None
) -> dict[str, Any]:
    """Draw trajectories for recorded scenes, and print how far they are from the driven paths.

    Args:
        folder: of a checkpoint.
        arguments: of `vlahub evaluate`.
        sampling: arguments of `sample_trajectories`.
        plot: where to draw the picture.

    Returns:
        what is written, see docs/evaluation.md; empty in all processes but the first.

    Raises:
        InputError: the dataset does not fit the model; nothing was predicted.
        NonFiniteError: a prediction is not finite.
    """
    with joined_processes(arguments.device) as processes:
        drives = prepared(folder, arguments, processes)
        paths = predicted_paths(folder, drives, arguments, sampling, processes)
        if not processes.is_main:
            return {}
    samples = drives.samples
    settings = settings_of(arguments, drives.data, (*SETTINGS, "trajectory_source"))
    settings |= {name: drives.examples.texts[name] for name in PROMPTS if name in drives.examples.texts}
    result = described(arguments, drives.data, samples) | {"settings": settings, "dimensions": NAMES}
    result |= {"num_traj_samples": paths.predicted.shape[1], "started": paths.started.float().mean().item()}
    result |= trajectory_errors(paths.predicted, paths.driven) | {"per_episode": per_episode(samples, paths)}
    result = json_ready(result)
    if not arguments.quiet:
        print_result(result)
    if plot:
        best = best_samples(paths.predicted, paths.driven)
        plot_scenes(plot, paths.predicted.numpy(), best.numpy(), paths.driven.numpy(), titles(samples), result)
    return result


def prepared(folder: Path, arguments: argparse.Namespace, processes: Processes) -> Drives:
    """All that can be looked at before the weights are read, with the first scene brought to the model's form.

    Raises:
        InputError: what is asked for does not fit; the message says what.
    """
    processor, config = load_processor(folder), load_config(folder)
    data = evaluated_data(arguments, processor.view_names or config.view_names, processes)
    if arguments.text:
        check_texts(data.frames, [arguments.text])
    writes = arguments.trajectory_source == "text"
    flow = flow_options(config, vars(arguments))
    if writes and flow:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in flow)
        raise InputError(f"{named}: what the language model writes follows no flow; leave it out.")
    collator = AlpamayoR1Collator(config, processor, learn_trajectory_text=writes, learn_actions=not writes)
    columns = ExampleColumns(data.views, arguments.state or [POSE], text=arguments.text)
    routes = [ROUTES] if ROUTES in data.frames.column_names and not reads_routes(processor.tokenizer) else []
    # As in a training, which reads the column of navigation by itself.
    examples = collator.examples_from(data.frames.remove_columns(routes), columns)
    samples = samples_of(data.frames, examples.rows, arguments.stride, arguments.max_samples)
    first = [examples[int(samples.index[0])]]
    collator.recorded(first)
    collator.scenes(with_advantage(first, arguments.advantage))
    return Drives(collator, data, examples, samples)


def predicted_paths(
    folder: Path, drives: Drives, arguments: argparse.Namespace, sampling: dict[str, Any], processes: Processes
) -> Paths:
    """Trajectories of all scenes, in every process."""
    collator, device = drives.collator, torch.device(processes.device)
    model = load_model(folder, processes.device, arguments.dtype, arguments.fast, arguments.quiet)
    sampling = {"num_traj_samples": SAMPLES, **sampling}
    shape = sampling["num_traj_samples"], collator.config.num_action_chunks, 2

    def predict(batch: list[dict], samples: Samples) -> list[tuple]:
        start = {"generator": torch.Generator(device).manual_seed(batch_seed(arguments.seed, samples))}
        if collator.learn_actions:
            start["noise"] = noise_for(samples, arguments.seed, shape).flatten(0, 1)
            start |= flow_options(collator.config, vars(arguments))
        batch = with_advantage(batch, arguments.advantage)
        output = collator.predicted(model, batch, device, **start, **sampling)
        found = output.pred_xyz[:, 0].float().cpu(), collator.recorded(batch), output.has_start_token[:, 0].cpu()
        return [tuple(part.numpy() for part in row) for row in zip(*found, strict=True)]

    part, progress = (processes.rank, processes.count), processes.is_main and not arguments.quiet
    asked = drives.examples, drives.samples, arguments.batch_size, arguments.seed
    found = predicted_in_batches(predict, *asked, device, part, arguments.num_workers, progress)
    return Paths(*(torch.stack([torch.as_tensor(value) for value in part]) for part in zip(*found, strict=True)))


def per_episode(samples: Samples, paths: Paths) -> list[dict[str, Any]]:
    """The mean minADE of each drive."""
    errors = minADE(paths.predicted.unsqueeze(1), paths.driven).numpy()
    episodes = dict.fromkeys(samples.episode.tolist())
    means = {episode: errors[samples.episode == episode] for episode in episodes}
    return [{"episode": e, "samples": len(found), "minADE": float(found.mean())} for e, found in means.items()]


def titles(samples: Samples) -> list[str]:
    """What each scene is called in the picture."""
    pairs = zip(samples.episode.tolist(), samples.frame.tolist(), strict=True)
    return [f"episode {episode}, frame {frame}" for episode, frame in pairs]


def print_result(result: dict[str, Any]) -> None:
    """The figures as a table."""
    numbers = [Column("minADE", right=True, width=9), Column("minFDE", right=True, width=9)]
    rows = [[f"{row['seconds']}", f"{row['minADE']:.3f}", f"{row['minFDE']:.3f}"] for row in result["horizons"]]
    show(Table([Column("seconds", width=9), *numbers], rows))
    for name, mae, rmse in zip(result["dimensions"], result["mae"], result["rmse"], strict=True):
        print(f"{name} of the best sample: MAE {mae:.3f} m, RMSE {rmse:.3f} m")
    print(f"started a trajectory: {result['started']:.1%} of the samples")
    where = (
        f"{result['samples']} scenes of {len(result['episodes'])} episodes, {result['num_traj_samples']} samples each"
    )
    print(f"minADE {result['minADE']:.3f} m, minFDE {result['minFDE']:.3f} m ({where})")
