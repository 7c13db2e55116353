"""The house: a folder a family in every layer, imports that point one way, and three tables that name families."""

import ast
import configparser
from functools import cache
from pathlib import Path

import pytest

from vlahub.conversion.families import OURS

REPOSITORY = Path(__file__).parents[1]
LAYERS = ("configuration", "modeling", "processing", "training", "conversion")
FAMILIES = tuple(OURS)
TABLES = ("training/collators.py", "conversion/families.py")  # the third is vlahub/auto_classes.py
FILES = sorted(path.relative_to(REPOSITORY) for layer in LAYERS for path in (REPOSITORY / layer).rglob("*.py"))
MODULES = {file.with_suffix("").parts for file in FILES}
# Folders of conversion, the lowest first: each imports those before it, and what stands at the top.
FLOORS = ("files", "tensors", "travelling")


@cache
def imports(file):
    """Paths, without suffix, of the project's files that one file imports, wherever in it."""
    return imported(file, ast.parse((REPOSITORY / file).read_text()))


def imported(file, tree):
    package = file.parts[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*package[: len(package) - node.level + 1], *(node.module or "").split("."))
            base = tuple(filter(None, base))
            found |= {base} if base in MODULES else {(*base, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vlahub."):
            found.add(tuple(node.module.split(".")[1:]))
    return found & MODULES


@cache
def imports_for_types(file):
    """Those of `imports` that are there for type checkers alone."""
    blocks = [node for node in ast.parse((REPOSITORY / file).read_text()).body if isinstance(node, ast.If)]
    return {parts for node in blocks if "TYPE_CHECKING" in ast.dump(node.test) for parts in imported(file, node)}


def family_of(parts):
    return next((part for part in parts[1:-1] if part in FAMILIES), None)


def test_imports_point_from_a_layer_to_those_before_it():
    for file in FILES:
        allowed = LAYERS[: LAYERS.index(file.parts[0]) + 1]
        assert {parts[0] for parts in imports(file)} <= set(allowed), file


def test_a_familys_files_import_no_other_family():
    for file in FILES:
        if family := family_of(file.parts):
            assert {family_of(parts) for parts in imports(file)} <= {family, None}, file


def test_what_several_families_use_imports_no_family_but_in_the_tables():
    for file in FILES:
        if family_of(file.parts) is None and file.as_posix() not in TABLES:
            assert not {parts for parts in imports(file) if family_of(parts)}, file


def test_no_file_imports_itself_by_way_of_others():
    whole, waiting = set(), []

    def visit(parts):
        assert parts not in waiting, [*waiting[waiting.index(parts) :], parts]
        if parts not in whole:
            waiting.append(parts)
            for needed in imports(Path(*parts).with_suffix(".py")):
                visit(needed)
            whole.add(waiting.pop())

    for parts in sorted(MODULES):
        visit(parts)


def test_no_folder_imports_itself_by_way_of_others():
    """With the files of a folder taken together; imports for type checkers alone are none."""
    rooms = {file: file.parts[:2] for file in FILES}
    doors = {room: set() for room in rooms.values()}
    for file in FILES:
        used = {rooms[Path(*parts).with_suffix(".py")] for parts in imports(file) - imports_for_types(file)}
        doors[rooms[file]] |= used - {rooms[file]}
    while free := [room for room, used in doors.items() if not used]:
        doors = {room: used - set(free) for room, used in doors.items() if room not in free}
    assert not doors


@pytest.mark.parametrize("floor", FLOORS)
def test_the_floors_of_conversion_stand_on_each_other(floor):
    above = {"commands", "publishing", "predictions", "folders", *FLOORS[FLOORS.index(floor) + 1 :]}
    for file in FILES:
        if file.parts[:2] == ("conversion", floor):
            assert not {parts for parts in imports(file) if parts[0] == "conversion" and parts[1] in above}, file


def test_only_the_command_line_imports_commands():
    for file in FILES:
        if file.parts[:2] != ("conversion", "commands") and file.as_posix() != "conversion/cli.py":
            assert not {parts for parts in imports(file) if parts[:2] == ("conversion", "commands")}, file


def test_no_code_compares_a_model_type_with_a_familys_name():
    for file in FILES:
        if file.as_posix() in TABLES:
            continue
        for node in ast.walk(ast.parse((REPOSITORY / file).read_text())):
            if isinstance(node, ast.Compare):
                names = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
                classes = {each.value.id for each in ast.walk(node) if is_own_model_type(each)}
                assert not names & set(FAMILIES) and not classes, f"{file}:{node.lineno}"


def is_own_model_type(node):
    """`CogVLAConfig.model_type` and the like."""
    named = isinstance(node, ast.Attribute) and node.attr == "model_type" and isinstance(node.value, ast.Name)
    return named and node.value.id.endswith("Config")


def test_a_family_has_a_folder_of_its_name_in_every_layer_and_in_the_tests():
    for layer in LAYERS:
        folders = {path.name for path in (REPOSITORY / layer).iterdir() if (path / "__init__.py").exists()}
        assert set(FAMILIES) <= folders, layer
        more = {"training": {"finetuning"}}.get(layer, set())  # beside the families
        assert layer == "conversion" or set(FAMILIES) | more == folders, layer
        assert (REPOSITORY / "tests" / layer).is_dir()


def test_a_wheel_holds_every_package():
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "setup.cfg")
    listed = settings["options"]["packages"].split()
    folders = {file.parent.as_posix().replace("/", ".") for file in FILES}
    assert sorted(listed) == sorted(["vlahub", "vlahub.model_cards", *(f"vlahub.{name}" for name in folders)])
