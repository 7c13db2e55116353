"""vlahub: vision-language-action models as Hugging Face Hub checkpoints. Importing it registers the Auto classes."""

import transformers
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageTextToText, AutoProcessor

from vlahub import errors
from vlahub.configuration.configuration_alpamayo_r1 import AlpamayoR1Config
from vlahub.configuration.configuration_cogvla import CogVLAConfig
from vlahub.configuration.configuration_cogvla_vision import CogVLAVisionConfig
from vlahub.configuration.configuration_dit_action_head import DiTActionHeadConfig
from vlahub.configuration.configuration_mapanything import MapAnythingGeometryConfig
from vlahub.configuration.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from vlahub.configuration.configuration_multimodal_vla import MultimodalVLAConfig
from vlahub.modeling.action_tokens import actions_to_tokens, tokens_to_actions
from vlahub.modeling.alpamayo_flow_matching import FlowMatching
from vlahub.modeling.dit_action_head import DiTActionHead
from vlahub.modeling.flow_matching_action_expert import FlowMatchingActionExpert
from vlahub.modeling.llava3d_language_model import LLaVA3DForCausalLMV2
from vlahub.modeling.llava3d_with_action_expert import LLaVA3DWithActionExpertModel
from vlahub.modeling.mapanything_geometry import MapAnythingGeometry
from vlahub.modeling.modeling_alpamayo_r1 import AlpamayoR1
from vlahub.modeling.modeling_cogvla import CogVLAForActionPrediction
from vlahub.modeling.modeling_mapanything_llava3d import MapAnythingLlava3DForConditionalGeneration
from vlahub.modeling.modeling_multimodal_vla import MultimodalVLAForActionPrediction
from vlahub.modeling.trajectory_metrics import minADE, minFDE
from vlahub.modeling.trajectory_tokenizers import DeltaTrajectoryTokenizer, DiscreteTrajectoryTokenizer
from vlahub.modeling.unicycle_action_space import UnicycleAccelCurvatureActionSpace
from vlahub.modeling.waypoint_projection import PerWaypointActionInProjV2
from vlahub.processing.image_processing_alpamayo_r1 import AlpamayoR1ImageProcessor
from vlahub.processing.image_processing_cogvla import CogVLAImageProcessor
from vlahub.processing.image_processing_mapanything_llava3d import MapAnythingLlava3DImageProcessor
from vlahub.processing.image_processing_multimodal_vla import MultimodalVLAImageProcessor
from vlahub.processing.processing_alpamayo_r1 import AlpamayoR1Processor
from vlahub.processing.processing_cogvla import CogVLAProcessor
from vlahub.processing.processing_mapanything_llava3d import MapAnythingLlava3DProcessor
from vlahub.processing.processing_multimodal_vla import MultimodalVLAProcessor
from vlahub.processing.spatial_action_tokenizer import ActionTokenizer, SpatialActionTokenizer
from vlahub.training.health import HealthCallback
from vlahub.training.lora_config import lora_config
from vlahub.training.quantization import quantization_config
from vlahub.training.run_folder import prepare_run_folder
from vlahub.training.sharding import save_sharded, shard_model
from vlahub.training.trainer import VLATrainer, last_checkpoint
from vlahub.training.training_stages import freeze_unreached, trainable_parameter_groups

# transformers 5 dropped the name; checkpoints of both lines answer to it here.
AutoModelForVision2Seq = getattr(transformers, "AutoModelForVision2Seq", AutoModelForImageTextToText)

FAMILIES = (
    (CogVLAConfig, CogVLAForActionPrediction, CogVLAProcessor, CogVLAImageProcessor),
    (
        MapAnythingLlava3DConfig,
        MapAnythingLlava3DForConditionalGeneration,
        MapAnythingLlava3DProcessor,
        MapAnythingLlava3DImageProcessor,
    ),
    (AlpamayoR1Config, AlpamayoR1, AlpamayoR1Processor, AlpamayoR1ImageProcessor),
    (MultimodalVLAConfig, MultimodalVLAForActionPrediction, MultimodalVLAProcessor, MultimodalVLAImageProcessor),
)
for config, model, processor, image_processor in FAMILIES:
    AutoConfig.register(config.model_type, config)
    for auto_class in {AutoModel, AutoModelForImageTextToText, AutoModelForVision2Seq}:
        auto_class.register(config, model)
    AutoImageProcessor.register(config, slow_image_processor_class=image_processor)
    AutoProcessor.register(config, processor)

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
    "UnicycleAccelCurvatureActionSpace",
    "VLATrainer",
    "actions_to_tokens",
    "errors",
    "freeze_unreached",
    "last_checkpoint",
    "lora_config",
    "minADE",
    "minFDE",
    "prepare_run_folder",
    "quantization_config",
    "save_sharded",
    "shard_model",
    "tokens_to_actions",
    "trainable_parameter_groups",
]
