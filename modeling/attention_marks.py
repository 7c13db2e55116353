"""What transformers 4.57 leaves in configs where another attention is chosen for a model that is there."""

from torch import nn
from transformers import PretrainedConfig

MARK = "_attn_was_changed"  # 4.57's, of a config that it has changed, and leaves in those of parts in parts


def forget_attention_marks(model: nn.Module) -> None:
    """Take the marks out of the configs of all parts: 4.57 leaves a marked part as it is, and saves the mark."""
    for module in model.modules():
        if isinstance(config := getattr(module, "config", None), PretrainedConfig):
            vars(config).pop(MARK, None)
