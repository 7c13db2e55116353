"""CogVLA, OpenVLA-OFT and OpenVLA, as the conversion knows them."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..family import Family
from .names import SIDE_FILES, TABLE, expected_in, unused_reason
from .options import CogVLAOptions, add_unrecorded_arguments

if TYPE_CHECKING:  # slow to import
    from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
    from ..job import Job, Prepared
    from ..tensors.collected import Collected


def prepare_cogvla(job: "Job") -> "Prepared":
    from .checkpoint import plan_cogvla

    return plan_cogvla(COGVLA, job)


def collect_cogvla(job: "Job") -> "Collected":
    from .layout import collect_layout, find_layout

    return collect_layout(find_layout(job.base, job.adapters[0]))


def write_cogvla_card(folder: Path, config: "CogVLAConfig", report: dict, sources: dict[str, Path]) -> None:
    from ..model_card import write_model_card

    write_model_card(folder, config, report, sources.get("base") or sources.get("run"))


COGVLA = Family(
    name="cogvla",
    published=("openvla",),
    bases=("openvla",),
    side_files=SIDE_FILES,
    arguments={"merge-lora": add_unrecorded_arguments, "convert": add_unrecorded_arguments},
    options=CogVLAOptions,
    table=TABLE,
    embeddings="language_model.model.embed_tokens.weight",
    collect=collect_cogvla,
    unused_reason=unused_reason,
    expected_in=expected_in,
    prepare=prepare_cogvla,
    write_card=write_cogvla_card,
)
