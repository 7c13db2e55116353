"""The one table of families. Importing it is quick: what a family needs for its work is imported when it works."""

from .alpamayo_r1.alpamayo_family import ALPAMAYO_R1
from .cogvla.cogvla_family import COGVLA
from .generic.generic_family import generic_family
from .mapanything_llava3d.llava3d_family import MAPANYTHING_LLAVA3D
from .multimodal_vla.multimodal_family import MULTIMODAL_VLA

OURS = {family.name: family for family in (COGVLA, MAPANYTHING_LLAVA3D, ALPAMAYO_R1, MULTIMODAL_VLA)}
GENERIC = generic_family(OURS)
FAMILIES = {**OURS, GENERIC.name: GENERIC}
