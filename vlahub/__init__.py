"""vlahub: vision-language-action models as Hugging Face Hub checkpoints. Importing it registers the Auto classes."""

import transformers
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageTextToText, AutoProcessor

from vlahub import errors
from vlahub.configuration.configuration_cogvla import CogVLAConfig
from vlahub.configuration.configuration_cogvla_vision import CogVLAVisionConfig
from vlahub.modeling.action_tokens import actions_to_tokens, tokens_to_actions
from vlahub.modeling.modeling_cogvla import CogVLAForActionPrediction
from vlahub.processing.image_processing_cogvla import CogVLAImageProcessor
from vlahub.processing.processing_cogvla import CogVLAProcessor

# transformers 5 dropped the name; checkpoints of both lines answer to it here.
AutoModelForVision2Seq = getattr(transformers, "AutoModelForVision2Seq", AutoModelForImageTextToText)

AutoConfig.register("cogvla", CogVLAConfig)
for auto_class in {AutoModel, AutoModelForImageTextToText, AutoModelForVision2Seq}:
    auto_class.register(CogVLAConfig, CogVLAForActionPrediction)
AutoImageProcessor.register(CogVLAConfig, slow_image_processor_class=CogVLAImageProcessor)
AutoProcessor.register(CogVLAConfig, CogVLAProcessor)

__version__ = "0.1.0"
__all__ = [
    "AutoModelForVision2Seq",
    "CogVLAConfig",
    "CogVLAForActionPrediction",
    "CogVLAImageProcessor",
    "CogVLAProcessor",
    "CogVLAVisionConfig",
    "actions_to_tokens",
    "errors",
    "tokens_to_actions",
]
