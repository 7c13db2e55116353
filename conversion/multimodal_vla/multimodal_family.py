"""Composed models, as the conversion knows them: born here, so that nothing is converted; adapters are merged."""

from ..family import Family
from .inspected_composed import INSPECTION

MULTIMODAL_VLA = Family(name="multimodal_vla", inspection=INSPECTION)
