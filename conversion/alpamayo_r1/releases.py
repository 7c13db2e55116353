"""Which release a published Alpamayo is of, by what its config.json says: R1, 1.5, or what fine-tuning left of either.

The weights of both have one form. Published fine-tuning (NVlabs/alpamayo-recipes) works on R1's package, and rewrites
the config of 1.5 for it (scripts/convert_checkpoint.py, `to-a1`); its first stage leaves the VLM alone.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..assumptions import assumed
from ..tensors.plan import Fact

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


def release_of(published: Mapping[str, Any]) -> Release:
    """published: a config.json, as published or ours."""
    if published.get("model_type") == "alpamayo1_5":
        return Release(LATER, "read (config: model_type)", True)
    if '"alpamayo1_5.' in json.dumps(published):
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


def release_facts(published: Mapping[str, Any], given: bool | None) -> tuple[bool, list[Fact]]:
    """Whether prompts name cameras, and that and the release for the report.

    published: config.json of the run, of a first stage with `--expert` that of its release; given: `--camera-labels`,
    `None` where it was not.
    """
    release = release_of(published)
    facts = [Fact("release", release.name, release.how)]
    if given is not None:
        return given, [*facts, Fact(LABELS, given, "given (--camera-labels)")]
    if is_fine_tuned(published) and not release.camera_labels:
        why = "fine-tuning does not record the release that it began with"
        return False, [*facts, assumed(LABELS, False, why, "--camera-labels yes")]
    return release.camera_labels, [*facts, Fact(LABELS, release.camera_labels, f"that of {release.name}")]


def has_later_names(published: Mapping[str, Any]) -> bool:
    """Whether reserved tokens have the names of the later release."""
    return release_of(published).name == LATER
