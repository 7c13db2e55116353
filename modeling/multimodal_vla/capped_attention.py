"""The attention of language models that bound its scores (`attn_logit_softcapping`: cap * tanh(score / cap)).

torch's sdpa has no such bound. transformers 5.21 and newer know that these models have no sdpa, and refuse it; those
before choose it for them, and leave the bound out.
"""

from torch import nn
from transformers import PreTrainedModel
from transformers.utils import logging

from ...configuration.transformers_release import RELEASE

logger = logging.get_logger(__name__)

CAPPED = ("gemma2", "vaultgemma")
LEAVES_OUT_CAPS = RELEASE < (5, 21)


def attend_with_caps(backbone: nn.Module) -> None:
    """Give each language model of this kind `eager` in place of `sdpa`; after each choice of attention."""
    for model in backbone.modules():
        if not isinstance(model, PreTrainedModel) or model.config.model_type not in CAPPED:
            continue
        if model.config._attn_implementation == "sdpa":
            logger.warning_once(
                f"The language model is a {model.config.model_type}, whose scores of attention are bounded, which sdpa "
                "cannot do: it attends with 'eager'."
            )
            model.config._attn_implementation = "eager"
