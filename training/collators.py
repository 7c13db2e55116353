"""From examples to batches: one collator a family, to be a Trainer's `data_collator` (remove_unused_columns=False)."""

import inspect
from typing import Any

from ..configuration.vla_errors import InputError
from .alpamayo_r1.collator_alpamayo_r1 import AlpamayoR1Collator
from .cogvla.collator_cogvla import CogVLACollator
from .collator_entries import Augment
from .collator_robot import RobotCollator
from .mapanything_llava3d.collator_mapanything_llava3d import MapAnythingLlava3DCollator
from .multimodal_vla.collator_multimodal_vla import MultimodalVLACollator
from .own_classes import check_own_classes

# One row a family: the model type of a config, and what makes a collator of config and processor.
COLLATORS = {
    "cogvla": CogVLACollator,
    "mapanything_llava3d": MapAnythingLlava3DCollator,
    "multimodal_vla": MultimodalVLACollator,
    "alpamayo_r1": AlpamayoR1Collator,
}


def collator_for(
    config: Any,
    processor: Any,
    augment: Augment | None = None,
    unnorm_key: str | None = None,
    learn_text: bool = False,
    **options: Any,
) -> RobotCollator | AlpamayoR1Collator:
    """The collator of a model's family.

    Args:
        config, processor: of the model.
        augment: changes each image, PIL -> PIL; for training only.
        unnorm_key: the dataset whose statistics normalise actions and state; Alpamayo-R1 has none.
        learn_text: also learn to write text: Alpamayo-R1 the examples' `reasoning`, LLaVA-3D and composed models their
            `answer`.
        options: further ones of the family's collator, such as `learn_trajectory_text` and `learn_actions` of
            Alpamayo-R1's.

    Raises:
        InputError: the family is unknown or its collator has no such option, or config, processor and `unnorm_key` do
            not fit each other.
    """
    if config.model_type not in COLLATORS:
        raise InputError(f"model_type={config.model_type!r} has no collator; known are {', '.join(COLLATORS)}.")
    check_own_classes(config)
    make = COLLATORS[config.model_type]
    unknown = options.keys() - inspect.signature(make).parameters.keys()
    if unknown:
        raise InputError(f"a {config.model_type} does not learn with {', '.join(sorted(unknown))}; leave it out.")
    return make(config, processor, augment=augment, unnorm_key=unnorm_key, learn_text=learn_text, **options)
