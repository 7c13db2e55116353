"""The list of planted faults fits the tree: each text is there once, and what takes its place is another program."""

import ast
from functools import cache
from pathlib import Path

import pytest
from mutants.copied_tree import CopiedTree
from mutants.every import MUTANTS, NOTHING_IMPORTS
from mutants.planted import REPOSITORY, ListError, Mutant, planted


def test_every_planted_fault_fits_the_tree_compiles_and_names_tests_that_exist():
    for mutant in (*MUTANTS, NOTHING_IMPORTS):
        assert mutant.text != mutant.replacement, mutant.name
        compile(mutant.mutated(), mutant.file, "exec", flags=ast.PyCF_ONLY_AST)
        for test in mutant.tests:
            file, _, function = test.partition("::")
            source = text_of(file)
            assert f"def {function.partition('[')[0]}(" in source if function else "def test_" in source, test


@cache
def text_of(file):
    return (REPOSITORY / file).read_text(encoding="utf-8")


def test_names_of_mutants_are_unique():
    names = [mutant.name for mutant in MUTANTS]
    assert sorted(set(names)) == sorted(names)


def test_an_entry_whose_text_is_gone_or_there_twice_is_an_error_that_names_it(tmp_path):
    mutant = Mutant("a-name", "file.py", "a = 1", "a = 2", ("tests/test_structure.py",))
    with pytest.raises(ListError, match=r"a-name: there is no file file\.py"):
        mutant.mutated(tmp_path)
    for count in (0, 2):
        (tmp_path / "file.py").write_text("a = 1\n" * count)
        with pytest.raises(ListError, match=f"a-name: file.py has the text 'a = 1' {count} times"):
            mutant.mutated(tmp_path)


@pytest.mark.parametrize(("only_on", "runs"), [(">=4", True), ("<4", False), ("<4,>=4", False), ("", True)])
def test_a_fault_of_other_releases_is_not_tried_here(only_on, runs):
    assert Mutant("a-name", "file.py", "1", "2", (), f"transformers{only_on}").runs_here == runs


def test_a_fault_is_of_the_newer_line_unless_it_says_otherwise():
    rows = ("name", "1", "2", "test"), ("other", "1", "2", "test")
    assert {mutant.only_on for mutant in planted("a.py", "b.py", *rows)} == {"transformers>=5"}
    assert {mutant.only_on for mutant in planted("a.py", "b.py", *rows, only_on="peft<0.20")} == {"peft<0.20"}


def test_a_fault_is_in_the_copy_alone_and_only_while_it_is_tried(tmp_path):
    tree = CopiedTree(tmp_path / "tree", ["configuration/__init__.py", "vlahub/__init__.py"])
    copy, original = tmp_path / "tree/configuration/__init__.py", REPOSITORY / "configuration/__init__.py"
    before = original.read_text()
    with tree.mutated(NOTHING_IMPORTS):
        assert copy.read_text() != before == original.read_text()
    assert copy.read_text() == before
    assert Path(tree.environment["PYTHONPATH"].split(":")[0]) == tmp_path / "tree"
