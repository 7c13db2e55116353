"""All planted faults, and the one by which a run sees that its copies are what tests import."""

from . import (
    alpamayo_r1_mutants,
    asking_mutants,
    card_mutants,
    cogvla_mutants,
    command_mutants,
    configuration_mutants,
    conversion_mutants,
    driving_mutants,
    evaluated_mutants,
    folder_mutants,
    loading_mutants,
    mapanything_llava3d_mutants,
    merging_mutants,
    modeling_mutants,
    multimodal_vla_mutants,
    processing_mutants,
    publishing_mutants,
    reading_mutants,
    serving_mutants,
    training_mutants,
    verifying_mutants,
)
from .planted import Mutant

MUTANTS: list[Mutant] = [
    *modeling_mutants.MUTANTS,
    *cogvla_mutants.MUTANTS,
    *mapanything_llava3d_mutants.MUTANTS,
    *multimodal_vla_mutants.MUTANTS,
    *alpamayo_r1_mutants.MUTANTS,
    *driving_mutants.MUTANTS,
    *configuration_mutants.MUTANTS,
    *processing_mutants.MUTANTS,
    *publishing_mutants.MUTANTS,
    *reading_mutants.MUTANTS,
    *command_mutants.MUTANTS,
    *conversion_mutants.MUTANTS,
    *evaluated_mutants.MUTANTS,
    *folder_mutants.MUTANTS,
    *asking_mutants.MUTANTS,
    *loading_mutants.MUTANTS,
    *serving_mutants.MUTANTS,
    *merging_mutants.MUTANTS,
    *verifying_mutants.MUTANTS,
    *card_mutants.MUTANTS,
    *training_mutants.MUTANTS,
]

NOTHING_IMPORTS = Mutant(
    "nothing-imports",
    "configuration/__init__.py",
    '"""Configuration',
    'raise RuntimeError("planted")\n"""Configuration',
    ("tests/configuration/test_normalization_statistics.py",),
)
