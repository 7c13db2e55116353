"""vlahub: vision-language-action models as Hugging Face Hub checkpoints. Importing it registers the Auto classes."""

import transformers
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageTextToText, AutoProcessor

from vlahub import errors
from vlahub.configuration.configuration_cogvla import CogVLAConfig
from vlahub.configuration.configuration_cogvla_vision import CogVLAVisionConfig
from vlahub.configuration.configuration_dit_action_head import DiTActionHeadConfig
from vlahub.configuration.configuration_mapanything import MapAnythingGeometryConfig
from vlahub.configuration.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from vlahub.modeling.action_tokens import actions_to_tokens, tokens_to_actions
from vlahub.modeling.dit_action_head import DiTActionHead
from vlahub.modeling.flow_matching_action_expert import FlowMatchingActionExpert
from vlahub.modeling.llava3d_language_model import LLaVA3DForCausalLMV2
from vlahub.modeling.llava3d_with_action_expert import LLaVA3DWithActionExpertModel
from vlahub.modeling.mapanything_geometry import MapAnythingGeometry
from vlahub.modeling.modeling_cogvla import CogVLAForActionPrediction
from vlahub.modeling.modeling_mapanything_llava3d import MapAnythingLlava3DForConditionalGeneration
from vlahub.modeling.training_stages import trainable_parameter_groups
from vlahub.processing.image_processing_cogvla import CogVLAImageProcessor
from vlahub.processing.image_processing_mapanything_llava3d import MapAnythingLlava3DImageProcessor
from vlahub.processing.processing_cogvla import CogVLAProcessor
from vlahub.processing.processing_mapanything_llava3d import MapAnythingLlava3DProcessor
from vlahub.processing.spatial_action_tokenizer import ActionTokenizer, SpatialActionTokenizer

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
    "AutoModelForVision2Seq",
    "CogVLAConfig",
    "CogVLAForActionPrediction",
    "CogVLAImageProcessor",
    "CogVLAProcessor",
    "CogVLAVisionConfig",
    "DiTActionHead",
    "DiTActionHeadConfig",
    "FlowMatchingActionExpert",
    "LLaVA3DForCausalLMV2",
    "LLaVA3DWithActionExpertModel",
    "MapAnythingGeometry",
    "MapAnythingGeometryConfig",
    "MapAnythingLlava3DConfig",
    "MapAnythingLlava3DForConditionalGeneration",
    "MapAnythingLlava3DImageProcessor",
    "MapAnythingLlava3DProcessor",
    "SpatialActionTokenizer",
    "actions_to_tokens",
    "errors",
    "tokens_to_actions",
    "trainable_parameter_groups",
]
