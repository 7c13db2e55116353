"""Rotary settings that both lines of transformers read.

5.x writes `rope_parameters`; 4.57 reads `rope_theta` and `rope_scaling` and ignores the other. Without this a base
frequency other than the default would be lost silently between the two.
"""

from collections.abc import Mapping
from typing import Any

import transformers

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
    if "rope_theta" in rope:
        found["rope_theta"] = rope["rope_theta"]
    scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
    found["rope_scaling"] = None if scaling == {"rope_type": "default"} else scaling
    return found
