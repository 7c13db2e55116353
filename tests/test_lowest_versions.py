"""constraints-lowest.txt is the lower bounds of setup.cfg, all of them and nothing else."""

import configparser
from pathlib import Path

from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[1]
OF_MAKE = ("terminal", "plot", "video", "hdf5", "quant", "serve", "dev")  # extras whose packages `dev` has, too


def lower_bounds():
    """`{package: {lower bounds}}` of what setup.cfg requires, and of what it names for `dev`."""
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    extras = setup["options.extras_require"]
    lines = [setup["options"]["install_requires"], *(extras[name] for name in OF_MAKE)]
    found = {}
    for line in "\n".join(lines).split("\n"):
        if line:
            requirement = Requirement(line)
            bounds = {one.version for one in requirement.specifier if one.operator == ">="}
            found.setdefault(requirement.name, set()).update(bounds)
    return found


def constraints():
    lines = (REPOSITORY / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line.split("#")[0].strip()) for line in lines if line.split("#")[0].strip()]
    return {one.name: {str(one.specifier)} for one in pinned}


def test_lowest_constraints_are_the_lower_bounds_of_setup_cfg():
    assert constraints() == {name: {f"=={version}" for version in bounds} for name, bounds in lower_bounds().items()}


def test_every_requirement_has_one_lower_bound():
    assert {name for name, bounds in lower_bounds().items() if len(bounds) != 1} == set()
