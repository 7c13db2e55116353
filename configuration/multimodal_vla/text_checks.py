"""What is asked of the text model of a composed VLA by the choices beside it."""

from typing import Any

from ..vla_errors import ConfigError
from .head_facts import HEAD_FACTS
from .vlm_facts import VLMS


def check_text_model(config: Any) -> None:
    """Refuse what an encoder cannot do, and what only models can whose first token sees the text.

    config: a `MultimodalVLAConfig`, its backbones and choices set. Raises ConfigError.
    """
    if not config.writes_text and HEAD_FACTS[config.action_head].has_tokens:
        raise ConfigError(
            f"action_head={config.action_head!r} scores tokens by the head of a language model, and "
            f"text_config.model_type={config.text_config.model_type!r} is an encoder, which has none; choose mlp or "
            "flow."
        )
    if config.text_pooling == "cls" and config.fusion in ("late", "film") and not first_token_sees_text(config):
        raise ConfigError(
            f"text_pooling='cls' with fusion={config.fusion!r} reads the first token, which in a "
            f"{config.text_part.model_type!r} sees nothing of the text behind it; choose last or mean, or an encoder."
        )


def first_token_sees_text(config: Any) -> bool:
    """Whether attention goes in both directions; config: a `MultimodalVLAConfig`."""
    if config.vlm_config is None:
        return not config.writes_text
    return VLMS[type(config.vlm_config).model_type].full_prefix
