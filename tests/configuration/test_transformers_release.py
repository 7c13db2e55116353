"""On which releases of transformers something is done that others need not, whichever of them runs here."""

import ast

import pytest
import transformers
from mutants.planted import REPOSITORY

from vlahub.configuration.transformers_release import IS_4, RELEASE

FIRST, LAST = (4, 57), (5, 99)
# The first release on which it is so, and the first on which it is no more.
TRUE_ON = {
    "configuration/multimodal_vla/proven_backbones.py DOGE_LOSES_ITS_MASK": ((5, 0), (5, 18)),
    "configuration/rope_settings.py OLMO3_HAS_ONE": ((5, 0), (5, 13)),
    "configuration/rope_settings.py READS_PARAMETERS": ((5, 0), LAST),
    "configuration/transformers_release.py IS_4": (FIRST, (5, 0)),
    "modeling/adapter_filling.py LEAVES_OUT": ((5, 0), (5, 18)),
    "modeling/adapter_loading.py HAS_WEIGHT_MAPPING": ((5, 0), LAST),
    "modeling/multimodal_vla/capped_attention.py LEAVES_OUT_CAPS": (FIRST, (5, 21)),
    "modeling/multimodal_vla/portable_weights.py WRITES_OWN_NAMES": ((5, 0), LAST),
}
RELEASES = [FIRST, *((5, minor) for minor in range(30))]


def assigned(place):
    """The expression of a constant of a module."""
    file, _, name = place.partition(" ")
    body = ast.parse((REPOSITORY / file).read_text(encoding="utf-8")).body
    values = [each.value for each in body if isinstance(each, ast.Assign) and each.targets[0].id == name]
    return compile(ast.Expression(values[0]), file, "eval")


@pytest.mark.every_case
@pytest.mark.parametrize("place", TRUE_ON)
def test_each_is_done_on_the_releases_that_need_it(place):
    begin, end = TRUE_ON[place]
    found = [release for release in RELEASES if eval(assigned(place), {"RELEASE": release, "IS_4": release < (5, 0)})]
    assert found == [release for release in RELEASES if begin <= release < end]


def test_no_constant_that_depends_on_the_release_is_left_out():
    names = ("RELEASE", "IS_4")
    found = {
        f"{path.relative_to(REPOSITORY).as_posix()} {each.targets[0].id}"
        for folder in ("configuration", "modeling", "processing", "training", "conversion")
        for path in (REPOSITORY / folder).rglob("*.py")
        for each in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(each, ast.Assign) and any(getattr(node, "id", None) in names for node in ast.walk(each.value))
    }
    assert found == TRUE_ON.keys()


def test_the_release_is_that_which_is_installed():
    assert ".".join(map(str, RELEASE)) == ".".join(transformers.__version__.split(".")[:2])
    assert (RELEASE[0] == 4) == IS_4
