"""Rotary settings that both lines of transformers read.

5.x writes `rope_parameters`; 4.57 reads `rope_theta`, `partial_rotary_factor` and `rope_scaling` and ignores the other.
Without this a base frequency, or a share of dimensions that rotate, other than the default would be lost silently
between the two.
"""

from collections.abc import Mapping
from typing import Any

import transformers

OWN_FIELDS = ("rope_theta", "partial_rotary_factor")  # of 4.57
WANTS_A_TYPE = ("mllama_text_model",)  # that cannot be built on 4.57 without one
READS_PARAMETERS = not transformers.__version__.startswith("4.")


def readable_rope(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a config, nested ones included, as the running line reads them."""
    found = {
        name: readable_rope(value) if isinstance(value, Mapping) and name != "rope_parameters" else value
        for name, value in fields.items()
    }
    rope = found.get("rope_parameters")
    if READS_PARAMETERS or not rope or "rope_type" not in rope:  # without a type: one entry for each kind of layer
        return found
    del found["rope_parameters"]
    found |= {name: rope[name] for name in OWN_FIELDS if name in rope}
    scaling = {name: value for name, value in rope.items() if name not in OWN_FIELDS}
    is_default = scaling == {"rope_type": "default"} and found.get("model_type") not in WANTS_A_TYPE
    found["rope_scaling"] = None if is_default else scaling
    return found
