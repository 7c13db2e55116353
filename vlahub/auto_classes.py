"""Our classes in the tables of transformers' Auto classes; importing this file puts them there."""

import transformers
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor, PretrainedConfig

# By its file: 5.4 to 5.17 have another class of this name at the top where torchvision is missing, which refuses.
from transformers.models.auto.image_processing_auto import AutoImageProcessor

from vlahub.configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from vlahub.configuration.cogvla.configuration_cogvla import CogVLAConfig
from vlahub.configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from vlahub.configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from vlahub.modeling.alpamayo_r1.modeling_alpamayo_r1 import AlpamayoR1
from vlahub.modeling.cogvla.modeling_cogvla import CogVLAForActionPrediction
from vlahub.modeling.mapanything_llava3d.modeling_mapanything_llava3d import MapAnythingLlava3DForConditionalGeneration
from vlahub.modeling.multimodal_vla.modeling_multimodal_vla import MultimodalVLAForActionPrediction
from vlahub.processing.alpamayo_r1.processing_alpamayo_r1 import AlpamayoR1Processor
from vlahub.processing.cogvla.image_processing_cogvla import CogVLAImageProcessor
from vlahub.processing.cogvla.processing_cogvla import CogVLAProcessor
from vlahub.processing.image_processing_alpamayo_r1 import AlpamayoR1ImageProcessor
from vlahub.processing.mapanything_llava3d.image_processing_mapanything_llava3d import MapAnythingLlava3DImageProcessor
from vlahub.processing.mapanything_llava3d.processing_mapanything_llava3d import MapAnythingLlava3DProcessor
from vlahub.processing.multimodal_vla.image_processing_multimodal_vla import MultimodalVLAImageProcessor
from vlahub.processing.multimodal_vla.image_processing_tower import TowerImageProcessor
from vlahub.processing.multimodal_vla.image_processing_vlm import VLMImageProcessor
from vlahub.processing.multimodal_vla.processing_multimodal_vla import MultimodalVLAProcessor

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


class VLMImageProcessorConfig(PretrainedConfig):
    """Stands for a model: the tables know an image processor by one, and `MultimodalVLAConfig` has its own."""


class TowerImageProcessorConfig(PretrainedConfig):
    """The same, for the image processors of vision towers."""


AutoImageProcessor.register(VLMImageProcessorConfig, slow_image_processor_class=VLMImageProcessor)
AutoImageProcessor.register(TowerImageProcessorConfig, slow_image_processor_class=TowerImageProcessor)
