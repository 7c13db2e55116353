"""Which release a published Alpamayo is of, by what its config.json says: R1, 1.5, or what fine-tuning left of either.

The weights of both have one form. Published fine-tuning (NVlabs/alpamayo-recipes) works on R1's package, and rewrites
the config of 1.5 for it (scripts/convert_checkpoint.py, `to-a1`); its first stage leaves the VLM alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

R1, LATER = "Alpamayo-R1", "Alpamayo 1.5"
FIRST_STAGE = "alpamayo_reasoning_vla"  # model type of the VLM without an expert
PUBLISHED = ("alpamayo_r1", "alpamayo1_5", FIRST_STAGE)
TRAINED = "Trainable"  # architectures of published fine-tuning begin with it
LABELS = "camera_labels"


class Release(NamedTuple):
    """name: of the release; how: by what it is known; camera_labels: whether its prompts name cameras."""

    name: str
    how: str
    camera_labels: bool


def texts_in(value: Any) -> Iterator[str]:
    """All texts in lists and mappings, but keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (Mapping, list)):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from texts_in(each)


def release_of(published: Mapping[str, Any]) -> Release:
    """published: a config.json, as published or ours."""
    if published.get("model_type") == "alpamayo1_5":
        return Release(LATER, "read (config: model_type)", True)
    if any(text.startswith("alpamayo1_5.") for text in texts_in(published)):
        return Release(LATER, "read (config: names of classes)", True)
    if published.get("include_camera_ids"):
        return Release(LATER, "read (config: include_camera_ids)", True)
    if published.get(LABELS):
        return Release(LATER, "read (config: camera_labels)", True)
    return Release(R1, "read (config)", False)


def is_fine_tuned(published: Mapping[str, Any]) -> bool:
    """Whether published fine-tuning wrote it, which leaves no trace of the release that it began with."""
    names = published.get("architectures") or []
    return published.get("model_type") == FIRST_STAGE or any(str(name).startswith(TRAINED) for name in names)


def has_later_names(published: Mapping[str, Any]) -> bool:
    """Whether reserved tokens have the names of the later release."""
    return release_of(published).name == LATER
