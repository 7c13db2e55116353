"""From a recorded dataset to a LeRobot folder that appears whole or not at all."""

import argparse
import sys
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from ...configuration.vla_errors import ConversionError
from ..files.output_guard import check_output, lies_inside
from ..output_folder import output_folder
from .hdf5_episodes import HDF5Episodes
from .lerobot_writer import LeRobotWriter
from .recorded_episode import Choice
from .rlds_episodes import RLDSEpisodes

ASSUMED_FPS = 10


def convert_dataset(arguments: argparse.Namespace, choice: Choice) -> None:
    """Carry out `vlahub data convert`; one episode is in memory at a time.

    Raises:
        InputError: the source cannot be read, or its episodes do not fit each other; nothing was written.
        ConversionError: the output may not be written.
    """
    output = arguments.output
    check_empty(output)
    check_output(output, inputs=[arguments.source])
    if arguments.format == "rlds":
        episodes = RLDSEpisodes(arguments.source, choice, arguments.split or "train", arguments.swap_colours)
    else:
        episodes = HDF5Episodes(arguments.source, choice, arguments.swap_colours)
    count = min(len(episodes), arguments.max_episodes or len(episodes))
    next(iter(episodes), None)  # what is wrong with the first one is said before anything else
    if not arguments.quiet and (note := lies_inside(output, [arguments.source])):
        print(f"note: {note}", file=sys.stderr)
    fps = arguments.fps or recorded_rate(episodes)
    with output_folder(output, overwrite=False) as folder:
        writer = LeRobotWriter(folder, fps, arguments.videos, arguments.robot_type)
        how = {"desc": "converting", "unit": "episode", "disable": arguments.quiet}
        for episode in tqdm(islice(episodes, arguments.max_episodes), total=count, **how):
            writer.add(episode)
        writer.finish()
    if not arguments.quiet:
        columns = ", ".join(f"{name} {list(form[1:])}" for name, form in writer.form.items())
        print(f"{len(writer.episodes)} episodes, {writer.frames} frames, {len(writer.tasks)} instructions: {columns}")
        if empty := sum(row["tasks"] == [""] for row in writer.episodes):
            print(
                f"note: {empty} episodes have an empty instruction, which no training takes; "
                "--instruction or --text give another one"
            )
        print(f"wrote {output}")


def recorded_rate(episodes: RLDSEpisodes | HDF5Episodes) -> int:
    """Frames in a second that the source tells of, or those that are assumed, which a note says."""
    if (rate := getattr(episodes, "fps", None)) is not None:
        return rate
    print(f"note: nothing says how many frames a second has; {ASSUMED_FPS} are assumed (--fps)", file=sys.stderr)
    return ASSUMED_FPS


def check_empty(output: Path) -> None:
    """Raises ConversionError for a folder that holds anything: a dataset is never replaced."""
    if output.is_dir() and any(output.iterdir()):
        raise ConversionError(f"{output} is not empty; name another folder.")
