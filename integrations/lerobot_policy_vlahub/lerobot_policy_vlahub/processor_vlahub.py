"""LeRobot's steps before and after the policy: they rename, batch and move, and change no value.

What a checkpoint's own processor does (resizing, normalising, tokenising, and back to robot units) happens once, in the
policy. The steps that normalise are there because LeRobot's scripts address them by name; their mode is the identity.
"""

from typing import Any

import torch
from lerobot.processor import (
    AddBatchDimensionProcessorStep,
    DeviceProcessorStep,
    NormalizerProcessorStep,
    PolicyAction,
    PolicyProcessorPipeline,
    RenameObservationsProcessorStep,
    UnnormalizerProcessorStep,
)
from lerobot.processor.converters import policy_action_to_transition, transition_to_policy_action
from lerobot.utils.constants import POLICY_POSTPROCESSOR_DEFAULT_NAME, POLICY_PREPROCESSOR_DEFAULT_NAME

from .configuration_vlahub import VlahubConfig


def make_vlahub_pre_post_processors(
    config: VlahubConfig, dataset_stats: dict[str, dict[str, torch.Tensor]] | None = None
) -> tuple[
    PolicyProcessorPipeline[dict[str, Any], dict[str, Any]], PolicyProcessorPipeline[PolicyAction, PolicyAction]
]:
    """The pipelines around a policy; `dataset_stats` are not read, for a policy has its own."""
    identity = {"norm_map": config.normalization_mapping, "stats": None}
    before = [
        RenameObservationsProcessorStep(rename_map={}),
        AddBatchDimensionProcessorStep(),
        DeviceProcessorStep(device=config.device),
        NormalizerProcessorStep(features={**config.input_features, **config.output_features}, **identity),
    ]
    after = [UnnormalizerProcessorStep(features=config.output_features, **identity), DeviceProcessorStep(device="cpu")]
    return (
        PolicyProcessorPipeline[dict[str, Any], dict[str, Any]](steps=before, name=POLICY_PREPROCESSOR_DEFAULT_NAME),
        PolicyProcessorPipeline[PolicyAction, PolicyAction](
            steps=after,
            name=POLICY_POSTPROCESSOR_DEFAULT_NAME,
            to_transition=policy_action_to_transition,
            to_output=transition_to_policy_action,
        ),
    )
