"""What is known of each action head of composed VLAs before a model is there; its class is in `composed_heads.py`."""

from collections.abc import Callable
from typing import Any, NamedTuple


class HeadFacts(NamedTuple):
    """Of one head.

    Attributes:
        num_queries: of a `MultimodalVLAConfig`, how many learned tokens' states the head reads; 0: all states instead.
        actions_read: see `VLAConfig`.
        has_draws: its loss draws `time`, which may weigh the samples, and `noise`, or reads them from a batch.
        has_tokens: actions are tokens of the language model.
        draws_samples: it can answer differently each time, by its noise or by the probabilities of its tokens.
    """

    num_queries: Callable[[Any], int]
    actions_read: str = "states"
    has_draws: bool = False
    has_tokens: bool = False
    draws_samples: bool = True


HEAD_FACTS = {
    "mlp": HeadFacts(lambda config: config.num_action_chunks, draws_samples=False),
    "flow": HeadFacts(
        lambda config: config.num_action_chunks if config.fusion == "cross_attention" else 0, has_draws=True
    ),
    "discrete": HeadFacts(
        lambda config: config.num_action_chunks * config.action_dim, actions_read="logits", has_tokens=True
    ),
}
