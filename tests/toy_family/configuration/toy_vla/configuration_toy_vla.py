"""What can be configured of a toy VLA."""

from ..known_fields import keeps_arguments
from ..vla_config import VLAConfig, auto_classes_of


class ToyVLAConfig(VLAConfig):
    model_type = "toy_vla"
    auto_classes = auto_classes_of("configuration_toy_vla.ToyVLAConfig", "modeling_toy_vla.ToyVLAForActionPrediction")
    normalization_type = "bounds_q99"

    @keeps_arguments
    def __init__(self, vocab_size=32, hidden_size=16, action_dim=7, num_action_chunks=4, norm_stats=None, **kwargs):
        self.norm_stats = norm_stats or {}
        super().__init__(**kwargs)
        self.check_robot()
