"""vlahub: vision-language-action models as Hugging Face Hub checkpoints.

Importing it is quick: torch and transformers are imported with the first name that needs them. Our classes are in the
tables of transformers' Auto classes before the first Auto call, in whatever order things are imported, see
`auto_watcher.py`.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vlahub.launched_precision  # noqa: F401, read now: other TrainingArguments write it
from vlahub.auto_watcher import register_in_time

if TYPE_CHECKING:
    from vlahub import data as data
    from vlahub import errors
    from vlahub import evaluation as evaluation
    from vlahub import finetuning as finetuning
    from vlahub.auto_classes import FAMILIES as FAMILIES
    from vlahub.auto_classes import AutoModelForVision2Seq
    from vlahub.configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
    from vlahub.configuration.cogvla.configuration_cogvla import CogVLAConfig
    from vlahub.configuration.cogvla.configuration_cogvla_vision import CogVLAVisionConfig
    from vlahub.configuration.mapanything_llava3d.configuration_dit_action_head import DiTActionHeadConfig
    from vlahub.configuration.mapanything_llava3d.configuration_mapanything import MapAnythingGeometryConfig
    from vlahub.configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
    from vlahub.configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
    from vlahub.conversion.alpamayo_r1.navigation_plot import plot_navigation
    from vlahub.conversion.prediction_picture import plot_prediction
    from vlahub.modeling.action_tokens import actions_to_tokens, tokens_to_actions
    from vlahub.modeling.alpamayo_r1.modeling_alpamayo_r1 import AlpamayoR1
    from vlahub.modeling.alpamayo_r1.trajectory_flow_matching import FlowMatching
    from vlahub.modeling.alpamayo_r1.trajectory_metrics import minADE, minFDE
    from vlahub.modeling.alpamayo_r1.trajectory_tokenizers import DeltaTrajectoryTokenizer, DiscreteTrajectoryTokenizer
    from vlahub.modeling.alpamayo_r1.unicycle_action_space import UnicycleAccelCurvatureActionSpace
    from vlahub.modeling.alpamayo_r1.waypoint_projection import PerWaypointActionInProjV2
    from vlahub.modeling.cogvla.modeling_cogvla import CogVLAForActionPrediction
    from vlahub.modeling.flow_matching_action_expert import FlowMatchingActionExpert
    from vlahub.modeling.mapanything_llava3d.dit_action_head import DiTActionHead
    from vlahub.modeling.mapanything_llava3d.llava3d_language_model import LLaVA3DForCausalLMV2
    from vlahub.modeling.mapanything_llava3d.llava3d_with_action_expert import LLaVA3DWithActionExpertModel
    from vlahub.modeling.mapanything_llava3d.mapanything_geometry import MapAnythingGeometry
    from vlahub.modeling.mapanything_llava3d.modeling_mapanything_llava3d import (
        MapAnythingLlava3DForConditionalGeneration,
    )
    from vlahub.modeling.multimodal_vla.modeling_multimodal_vla import MultimodalVLAForActionPrediction
    from vlahub.processing.alpamayo_r1.navigation_comparison import compare_navigation, swap_direction
    from vlahub.processing.alpamayo_r1.processing_alpamayo_r1 import AlpamayoR1Processor
    from vlahub.processing.cogvla.image_processing_cogvla import CogVLAImageProcessor
    from vlahub.processing.cogvla.processing_cogvla import CogVLAProcessor
    from vlahub.processing.image_processing_alpamayo_r1 import AlpamayoR1ImageProcessor
    from vlahub.processing.mapanything_llava3d.image_processing_mapanything_llava3d import (
        MapAnythingLlava3DImageProcessor,
    )
    from vlahub.processing.mapanything_llava3d.processing_mapanything_llava3d import MapAnythingLlava3DProcessor
    from vlahub.processing.mapanything_llava3d.spatial_action_tokenizer import ActionTokenizer, SpatialActionTokenizer
    from vlahub.processing.multimodal_vla.image_processing_multimodal_vla import MultimodalVLAImageProcessor
    from vlahub.processing.multimodal_vla.image_processing_tower import TowerImageProcessor
    from vlahub.processing.multimodal_vla.image_processing_vlm import VLMImageProcessor
    from vlahub.processing.multimodal_vla.processing_multimodal_vla import MultimodalVLAProcessor
    from vlahub.training.adapter_card import write_adapter_card
    from vlahub.training.alpamayo_r1.physical_ai_av_clips import load_physical_aiavdataset
    from vlahub.training.health import HealthCallback
    from vlahub.training.lora_config import lora_config
    from vlahub.training.quantization import quantization_config
    from vlahub.training.run_folder import check_run_folder, clear_run_folder
    from vlahub.training.sharding import save_sharded, shard_model
    from vlahub.training.trainer import VLATrainer, last_checkpoint
    from vlahub.training.training_stages import trainable_parameter_groups
    from vlahub.training.unreached import freeze_unreached, set_stop_gradient

__version__ = "0.1.0"
__all__ = [
    "ActionTokenizer",
    "AlpamayoR1",
    "AlpamayoR1Config",
    "AlpamayoR1ImageProcessor",
    "AlpamayoR1Processor",
    "AutoModelForVision2Seq",
    "CogVLAConfig",
    "CogVLAForActionPrediction",
    "CogVLAImageProcessor",
    "CogVLAProcessor",
    "CogVLAVisionConfig",
    "DeltaTrajectoryTokenizer",
    "DiTActionHead",
    "DiTActionHeadConfig",
    "DiscreteTrajectoryTokenizer",
    "FlowMatching",
    "FlowMatchingActionExpert",
    "HealthCallback",
    "LLaVA3DForCausalLMV2",
    "LLaVA3DWithActionExpertModel",
    "MapAnythingGeometry",
    "MapAnythingGeometryConfig",
    "MapAnythingLlava3DConfig",
    "MapAnythingLlava3DForConditionalGeneration",
    "MapAnythingLlava3DImageProcessor",
    "MapAnythingLlava3DProcessor",
    "MultimodalVLAConfig",
    "MultimodalVLAForActionPrediction",
    "MultimodalVLAImageProcessor",
    "MultimodalVLAProcessor",
    "PerWaypointActionInProjV2",
    "SpatialActionTokenizer",
    "TowerImageProcessor",
    "UnicycleAccelCurvatureActionSpace",
    "VLATrainer",
    "VLMImageProcessor",
    "actions_to_tokens",
    "check_run_folder",
    "clear_run_folder",
    "compare_navigation",
    "errors",
    "freeze_unreached",
    "last_checkpoint",
    "load_physical_aiavdataset",
    "lora_config",
    "minADE",
    "minFDE",
    "plot_navigation",
    "plot_prediction",
    "quantization_config",
    "save_sharded",
    "set_stop_gradient",
    "shard_model",
    "swap_direction",
    "tokens_to_actions",
    "trainable_parameter_groups",
    "write_adapter_card",
]

# Where each name is defined, besides the sub-packages.
HOMES = {
    "FAMILIES": "vlahub.auto_classes",
    "AutoModelForVision2Seq": "vlahub.auto_classes",
    "ActionTokenizer": "vlahub.processing.mapanything_llava3d.spatial_action_tokenizer",
    "AlpamayoR1": "vlahub.modeling.alpamayo_r1.modeling_alpamayo_r1",
    "AlpamayoR1Config": "vlahub.configuration.alpamayo_r1.configuration_alpamayo_r1",
    "AlpamayoR1ImageProcessor": "vlahub.processing.image_processing_alpamayo_r1",
    "AlpamayoR1Processor": "vlahub.processing.alpamayo_r1.processing_alpamayo_r1",
    "CogVLAConfig": "vlahub.configuration.cogvla.configuration_cogvla",
    "CogVLAForActionPrediction": "vlahub.modeling.cogvla.modeling_cogvla",
    "CogVLAImageProcessor": "vlahub.processing.cogvla.image_processing_cogvla",
    "CogVLAProcessor": "vlahub.processing.cogvla.processing_cogvla",
    "CogVLAVisionConfig": "vlahub.configuration.cogvla.configuration_cogvla_vision",
    "DeltaTrajectoryTokenizer": "vlahub.modeling.alpamayo_r1.trajectory_tokenizers",
    "DiTActionHead": "vlahub.modeling.mapanything_llava3d.dit_action_head",
    "DiTActionHeadConfig": "vlahub.configuration.mapanything_llava3d.configuration_dit_action_head",
    "DiscreteTrajectoryTokenizer": "vlahub.modeling.alpamayo_r1.trajectory_tokenizers",
    "FlowMatching": "vlahub.modeling.alpamayo_r1.trajectory_flow_matching",
    "FlowMatchingActionExpert": "vlahub.modeling.flow_matching_action_expert",
    "HealthCallback": "vlahub.training.health",
    "LLaVA3DForCausalLMV2": "vlahub.modeling.mapanything_llava3d.llava3d_language_model",
    "LLaVA3DWithActionExpertModel": "vlahub.modeling.mapanything_llava3d.llava3d_with_action_expert",
    "MapAnythingGeometry": "vlahub.modeling.mapanything_llava3d.mapanything_geometry",
    "MapAnythingGeometryConfig": "vlahub.configuration.mapanything_llava3d.configuration_mapanything",
    "MapAnythingLlava3DConfig": "vlahub.configuration.mapanything_llava3d.configuration_mapanything_llava3d",
    "MapAnythingLlava3DForConditionalGeneration": "vlahub.modeling.mapanything_llava3d.modeling_mapanything_llava3d",
    "MapAnythingLlava3DImageProcessor": "vlahub.processing.mapanything_llava3d.image_processing_mapanything_llava3d",
    "MapAnythingLlava3DProcessor": "vlahub.processing.mapanything_llava3d.processing_mapanything_llava3d",
    "MultimodalVLAConfig": "vlahub.configuration.multimodal_vla.configuration_multimodal_vla",
    "MultimodalVLAForActionPrediction": "vlahub.modeling.multimodal_vla.modeling_multimodal_vla",
    "MultimodalVLAImageProcessor": "vlahub.processing.multimodal_vla.image_processing_multimodal_vla",
    "MultimodalVLAProcessor": "vlahub.processing.multimodal_vla.processing_multimodal_vla",
    "PerWaypointActionInProjV2": "vlahub.modeling.alpamayo_r1.waypoint_projection",
    "SpatialActionTokenizer": "vlahub.processing.mapanything_llava3d.spatial_action_tokenizer",
    "UnicycleAccelCurvatureActionSpace": "vlahub.modeling.alpamayo_r1.unicycle_action_space",
    "VLATrainer": "vlahub.training.trainer",
    "TowerImageProcessor": "vlahub.processing.multimodal_vla.image_processing_tower",
    "VLMImageProcessor": "vlahub.processing.multimodal_vla.image_processing_vlm",
    "actions_to_tokens": "vlahub.modeling.action_tokens",
    "check_run_folder": "vlahub.training.run_folder",
    "clear_run_folder": "vlahub.training.run_folder",
    "compare_navigation": "vlahub.processing.alpamayo_r1.navigation_comparison",
    "freeze_unreached": "vlahub.training.unreached",
    "last_checkpoint": "vlahub.training.trainer",
    "load_physical_aiavdataset": "vlahub.training.alpamayo_r1.physical_ai_av_clips",
    "lora_config": "vlahub.training.lora_config",
    "minADE": "vlahub.modeling.alpamayo_r1.trajectory_metrics",
    "minFDE": "vlahub.modeling.alpamayo_r1.trajectory_metrics",
    "plot_navigation": "vlahub.conversion.alpamayo_r1.navigation_plot",
    "plot_prediction": "vlahub.conversion.prediction_picture",
    "quantization_config": "vlahub.training.quantization",
    "save_sharded": "vlahub.training.sharding",
    "set_stop_gradient": "vlahub.training.unreached",
    "shard_model": "vlahub.training.sharding",
    "swap_direction": "vlahub.processing.alpamayo_r1.navigation_comparison",
    "tokens_to_actions": "vlahub.modeling.action_tokens",
    "trainable_parameter_groups": "vlahub.training.training_stages",
    "write_adapter_card": "vlahub.training.adapter_card",
}
SUBMODULES = (
    "configuration",
    "conversion",
    "data",
    "errors",
    "evaluation",
    "finetuning",
    "model_cards",
    "modeling",
    "processing",
    "training",
)

# In a clone the sub-packages lie beside this folder, which hides an installed vlahub from what runs there.
if not (Path(__file__).parent / "configuration").exists():
    __path__.append(str(Path(__file__).parents[1]))


def __getattr__(name: str) -> Any:
    """Import a name where it is first used (PEP 562)."""
    if name in SUBMODULES:
        return importlib.import_module(f"vlahub.{name}")
    if name not in HOMES:
        raise AttributeError(f"module 'vlahub' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES, *SUBMODULES})


register_in_time()
