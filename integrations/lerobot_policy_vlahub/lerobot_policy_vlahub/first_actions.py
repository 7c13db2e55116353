"""Whether what is learnt first are actions of the statistics that normalise them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vlahub.training.action_units import check_actions

EXAMPLES = (
    32  # drawn from all over a dataset, of which less than half lie outside of its own statistics by chance never
)
REMEDY = "`vlahub stats`, and --policy.statistics=FILE"


class FirstActions:
    """Looks at the first examples of a training, and at no more.

    Args:
        statistics: of actions, by which the model normalises; config: of the model.
    """

    def __init__(self, statistics: dict[str, Any], config: Any):
        self.statistics = statistics
        self.config = config
        self.seen: list[np.ndarray] | None = []

    def look_at(self, examples: Sequence[dict[str, Any]]) -> None:
        """Raises InputError as soon as most actions of `EXAMPLES` examples lie outside of the statistics, or are such
        as the model's head does not reach."""
        if self.seen is None:
            return
        self.seen += [done(example) for example in examples]
        if len(self.seen) >= EXAMPLES:
            rows, self.seen = np.concatenate(self.seen), None
            check_actions(rows, "the dataset", self.statistics, self.config, REMEDY)


def done(example: dict[str, Any]) -> np.ndarray:
    """(steps, action_dim): the actions of an example without those that fill a chunk behind the end of an episode."""
    actions = torch.as_tensor(example["actions"]).double().numpy()
    return actions[~np.asarray(example.get("action_is_pad", [False] * len(actions)), dtype=bool)]
