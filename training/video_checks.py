"""Whether the rows of a LeRobot dataset hit the frames of its videos, seen when it is loaded.

A frame that is nearly right is a wrong one: at the end of an episode it is one of the next episode. LeRobot itself
refuses times that miss their frame by more than 1e-4 s (lerobot/datasets, `tolerance_s`).
"""

from pathlib import Path

import numpy as np
from datasets.utils import are_progress_bars_disabled
from tqdm import tqdm

from ..configuration.vla_errors import InputError
from .lerobot_layout import Layout, Video
from .video_frames import frame_rate, has_av

TOLERANCE = 1e-4  # seconds


def check_videos(layout: Layout, episode: np.ndarray, times: np.ndarray, tolerance: float) -> None:
    """Refuse rows that are not in step with the videos; without PyAV the files themselves are not looked at.

    Args:
        episode, times: (rows,) number of the episode and seconds since its start, in the order of episode and frame.
        tolerance: seconds by which a row's time may miss its frame.

    Raises:
        InputError: the message names the camera, the file or the episode, and both figures.
    """
    check_rates(layout)
    check_times(layout, episode, times, tolerance)
    for camera in layout.episodes[0].videos:
        check_parts(layout, camera, tolerance)


def check_rates(layout: Layout) -> None:
    """Refuse videos that have another number of frames in a second than the dataset's rows."""
    for camera, rate in layout.video_rates.items():
        if not same_rate(rate, layout.fps):
            raise InputError(
                f"{layout.folder}: the videos of {camera} have {rate:g} frames in a second by info.json, the rows "
                f"{layout.fps:g} (fps): encode them anew at the dataset's rate."
            )
    if not has_av():
        return
    files = sorted({video.file for episode in layout.episodes for video in episode.videos.values()})
    for file in tqdm(files, desc="videos", unit="file", delay=2, leave=False, disable=are_progress_bars_disabled()):
        check_file_rate(file, layout.fps)


def check_file_rate(file: Path, fps: float) -> None:
    """Raises InputError unless a video has `fps` frames in a second."""
    rate = frame_rate(file)
    if rate is not None and not same_rate(rate, fps):
        raise InputError(
            f"{file} has {rate:g} frames in a second, the dataset {fps:g} (fps in info.json): encode it anew at the "
            "dataset's rate."
        )


def same_rate(first: float, second: float) -> bool:
    """30000/1001 and 30 are not the same: after 17 s a row would show its neighbour. Rounded to two digits it is."""
    return abs(first - second) <= 5e-4 * second


def check_times(layout: Layout, episode: np.ndarray, times: np.ndarray, tolerance: float) -> None:
    """Refuse an episode whose rows are not 1 / fps seconds apart."""
    steps, step = np.diff(times), 1 / layout.fps
    off = np.abs(steps - step) > 2 * tolerance + rounding(times)
    wrong = np.flatnonzero(off & (np.diff(episode) == 0))
    if wrong.size:
        row = wrong[0]
        raise InputError(
            f"{layout.folder}: in episode {episode[row]} the timestamp goes from {times[row]:.4f} s to "
            f"{times[row + 1]:.4f} s, where fps={layout.fps:g} asks for steps of {step:.4f} s: rows do not hit the "
            "frames of the videos."
        )


def check_parts(layout: Layout, camera: str, tolerance: float) -> None:
    """Refuse parts of videos that overlap, or that have another length than their episode."""
    last: dict[Path, tuple[float, int]] = {}
    for episode in sorted(layout.episodes, key=lambda e: (e.videos[camera].start, e.index)):
        video = episode.videos[camera]
        check_part(layout, camera, video, episode.index, episode.length)
        end, before = last.get(video.file, (-np.inf, -1))
        if video.start < end - tolerance:
            raise InputError(
                f"{layout.folder}: in {video.file.name} the part of episode {episode.index} ({camera}) begins at "
                f"{video.start:.4f} s, before that of episode {before} ends ({end:.4f} s)."
            )
        last[video.file] = video.start + episode.length / layout.fps, episode.index


def check_part(layout: Layout, camera: str, video: Video, episode: int, length: int) -> None:
    """Raises InputError unless an episode's part of a video is as long as its rows."""
    if video.end is None:
        return
    frames = (video.end - video.start) * layout.fps
    if abs(frames - length) > 0.5:
        raise InputError(
            f"{layout.folder}: the part of episode {episode} in {video.file.name} ({camera}) goes from "
            f"{video.start:.4f} s to {video.end:.4f} s, which are {frames:.1f} frames; the episode has {length} rows."
        )


def rounding(times: np.ndarray) -> float:
    """By how much float32, in which LeRobot stores times, may change them; in seconds."""
    return float(np.spacing(np.float32(np.abs(times).max(initial=1.0))))
