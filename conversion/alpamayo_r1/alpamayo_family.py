"""Alpamayo-R1, as the conversion knows it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..family import Family
from .card import CARD
from .inspected_alpamayo import INSPECTION
from .names import EMBEDDINGS, TABLE
from .options import DRIVING, DRIVING_EVALUATION, EXPERT, VLM, AlpamayoOptions, add_alpamayo_arguments
from .start_options import AlpamayoStartOptions, add_start_arguments

if TYPE_CHECKING:  # slow to import
    from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
    from ..job import Job, Prepared
    from ..tensors.collected import Collected
    from .served_driving import DrivingPolicy


def is_converted_alpamayo(config: dict[str, Any]) -> bool:
    return isinstance(config.get("vlm_config"), dict)


def prepare_alpamayo(job: "Job") -> "Prepared":
    from .checkpoint import plan_alpamayo

    return plan_alpamayo(ALPAMAYO_R1, job)


def collect_alpamayo(job: "Job") -> "Collected":
    from .weights import collect_weights

    return collect_weights(job)


def create_alpamayo(job: "Job") -> "Prepared":
    from .creation import plan_start

    return plan_start(ALPAMAYO_R1, job)


def served_alpamayo(folder: Path) -> "DrivingPolicy":
    from .served_driving import driving_policy_of

    return driving_policy_of(folder)


def check_alpamayo(collected: "Collected", config: "AlpamayoR1Config") -> None:
    from .constants import check_constants

    check_constants(collected, config)


ALPAMAYO_R1 = Family(
    name="alpamayo_r1",
    published=("alpamayo_r1", "alpamayo1_5", "alpamayo_reasoning_vla"),
    is_converted=is_converted_alpamayo,
    needed=f" --{VLM} BASE",
    arguments={"convert": add_alpamayo_arguments, "create": add_start_arguments},
    options=AlpamayoOptions,
    create_options=AlpamayoStartOptions,
    parts={VLM: False, EXPERT: True},
    table=TABLE,
    collect=collect_alpamayo,
    embeddings=EMBEDDINGS,
    check=check_alpamayo,
    misfit=f"does --{VLM} name the base model that this one was trained from?",
    prepare=prepare_alpamayo,
    create=create_alpamayo,
    card=CARD,
    prediction=DRIVING,
    evaluation=DRIVING_EVALUATION,
    inspection=INSPECTION,
    served=served_alpamayo,
)
