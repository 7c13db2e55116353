"""Data for fine-tuning: frames -> examples -> batches, augmentation and statistics."""

from vlahub.configuration.view_names import record_views
from vlahub.training.action_chunks import ActionChunks
from vlahub.training.alpamayo_r1.driving_scenes import DrivingScenes
from vlahub.training.alpamayo_r1.published_annotations import LingoQuestions, NavigationSamples
from vlahub.training.augmentation import RandomAugmentation
from vlahub.training.collators import (
    AlpamayoR1Collator,
    CogVLACollator,
    MapAnythingLlava3DCollator,
    MultimodalVLACollator,
    collator_for,
)
from vlahub.training.dataset_columns import camera_columns
from vlahub.training.episodes import hold_out_episodes
from vlahub.training.lerobot import load_frames
from vlahub.training.statistics import apply_norm_stats, apply_statistics, dataset_statistics, run_statistics

__all__ = [
    "ActionChunks",
    "AlpamayoR1Collator",
    "CogVLACollator",
    "DrivingScenes",
    "LingoQuestions",
    "MapAnythingLlava3DCollator",
    "MultimodalVLACollator",
    "NavigationSamples",
    "RandomAugmentation",
    "apply_norm_stats",
    "apply_statistics",
    "camera_columns",
    "collator_for",
    "dataset_statistics",
    "hold_out_episodes",
    "load_frames",
    "record_views",
    "run_statistics",
]
