"""The text of an inspection: every value in its own place, and what is not known left out."""

from dataclasses import replace

import pytest

from vlahub.configuration.weight_parts import Memory, Part
from vlahub.conversion.family_inspection import Dimension, ModelFacts, Need, Setting, StatisticsTable
from vlahub.conversion.inspection.inspection import Adapter, FileRole, Inspection, NextStep
from vlahub.conversion.inspection.text import MOST_FILES, text_of

GRIPPER = Dimension("gripper", "", 0.0, 1.0, 0.25, 0.5, normalised=False)
TABLE = StatisticsTable(
    "mine", "action", "q01 to q99", [Dimension("x", "m", -1.5, 2.5, 0.123456, 3.5), GRIPPER], 11, 22
)
FILES = [FileRole("b.bin", 3000, "weights"), FileRole("a.bin", 4000, "weights"), FileRole("c.json", 5, "config")]
STEP = NextStep(
    "vlahub merge-lora --base BASE --adapter RUN",
    "for a robot",
    [Setting("bins", 256, "read (config)")],
    [Need("--base", "the adapter names none")],
)
REPORT = {
    "inputs": {"run": "my-run", "base": "user/base"},
    "operations": {"copied": 1234, "merged": 5},
    "transformers_version": "5.1",
    "settings": {"seed": {"value": 7, "known": "default"}},
}
FACTS = ModelFacts(
    "actions", "l1", 7, 8, 2, ["top", "wrist"], 9, "bounds", 10, "In: {x}", {4: 0.25}, {"geometry": False}
)
ALL = Inspection(
    "my-vla",
    "run",
    "a run",
    "0123",
    "cogvla",
    "openvla",
    "OpenVLA",
    2340,
    5670,
    [Part("vision", 3, 1234, 4936, {"float32": 1234}), Part("head", 2, 1106, 2212, {"bfloat16": 1106})],
    FACTS,
    [TABLE],
    Memory(7000, 4000, 3000, 2000),
    None,
    REPORT,
    {"license": "other", "license_name": "mine", "base_model": ["a/b", "c/d"]},
    Adapter(16, 32, 1001, 2002, "user/base", ["lm_head", "router"]),
    FILES,
    [STEP],
    ["README.md names no licence."],
)


def rows(inspection):
    """`{title of a section: its rows, each as its words}`; the first line is the title ""."""
    first, *sections = text_of(inspection).split("\n\n")
    found = {"": [first.split()]}
    for section in sections:
        title, *lines = section.split("\n")
        found[title] = [line.split() for line in lines]
    return found


WANTED = {
    "": ["my-vla: a run"],
    "what it is": [
        *("revision 0123", "family cogvla", "model_type openvla", "class OpenVLA", "licence mine"),
        "base model a/b, c/d",
    ],
    "parts": [
        "part tensors parameters stored dtype",
        "vision 3 1,234 4.94 KB float32",
        "head 2 1,106 2.21 KB bfloat16",
        "all 5 2,340 5.67 KB",
    ],
    "memory for the weights alone": [
        *("as stored 7 KB", "bfloat16 4 KB", "int8 (--quantize int8 --dtype bfloat16) 3 KB"),
        "int4 (--quantize int4 --dtype bfloat16) 2 KB",
    ],
    "model": [
        *("predicts actions", "camera views 2 (top, wrist)", "robot state 9 numbers", "action head l1"),
        *("actions of a chunk 8", "action dimensions 7", "normalisation bounds", "inference steps 10"),
        *("prompt 'In: {x}'", "geometry no"),
    ],
    "vision tokens kept by layer (LFP)": ["layer kept", "4 25.0% " + 10 * "#"],
    "statistics: mine, action, range q01 to q99, 11 trajectories, 22 transitions": [
        "dimension low high mean std unit",
        "x -1.5 2.5 0.1235 3.5 m",
        "gripper 0 1 0.25 0.5 robot's passes as it is",
    ],
    "adapter": [
        "LoRA r 16, alpha 32, 1,001 layers, 2,002 parameters",
        *("base model user/base", "saved whole lm_head, router"),
    ],
    "where it comes from": [
        *("base user/base", "run my-run", "tensors 1,234 copied, 5 merged", "transformers 5.1"),
        "seed 7 - default",
    ],
    "files": ["file size what for", "b.bin 3 KB weights", "a.bin 4 KB weights", "c.json 5 B config"],
    "next (for a robot)": ["vlahub merge-lora --base BASE --adapter RUN"],
    "  it would find": ["bins 256 - read (config)"],
    "  it needs": ["--base the adapter names none"],
    "missing or odd": ["README.md names no licence."],
}


def test_every_value_stands_in_its_place():
    assert rows(ALL) == {title: [line.split() for line in lines] for title, lines in WANTED.items()}


def test_what_is_not_known_is_left_out():
    assert rows(Inspection("x", "other", "weights", model=ModelFacts("text"))) == {
        "": [["x:", "weights"]],
        "model": [["predicts", "text"]],
    }
    nothing = replace(ALL, adapter=Adapter(16, 32, 1, 1, None), provenance={**REPORT, "transformers_version": None})
    found = rows(replace(nothing, licence={"license": "mit"}, next_steps=[NextStep("vlahub verify x")]))
    assert found["adapter"][1:] == [["base", "model", "not", "named"]] and ["licence", "mit"] in found["what it is"]
    assert not any("transformers" in row for row in found["where it comes from"])
    assert found["next"] == [["vlahub", "verify", "x"]]


@pytest.mark.parametrize(
    ("memory", "quantization", "said"),
    [
        (Memory(4000, 4000, 3000), None, ["as stored", "bfloat16", "int8 (--quantize int8)"]),
        (Memory(2000, 4000), "int4", ["as stored (int4)", "bfloat16"]),
    ],
)
def test_memory_names_the_options_that_make_it_so(memory, quantization, said):
    found = rows(replace(ALL, memory=memory, quantization=quantization))["memory for the weights alone"]
    assert [" ".join(row[:-2]) for row in found] == said


@pytest.mark.parametrize(
    ("views", "names", "said"),
    [(2, None, "2, names not recorded"), (None, ["top"], "any number (top)"), (1, ["top"], "1 (top)")],
)
def test_views_are_counted_and_named(views, names, said):
    facts = replace(FACTS, num_images_in_input=views, view_names=names)
    assert ["camera", "views", *said.split()] in rows(replace(ALL, model=facts))["model"]


@pytest.mark.parametrize(("datasets", "is_shown"), [(3, True), (4, False)])
def test_statistics_of_many_datasets_are_counted(datasets, is_shown):
    tables = [replace(TABLE, key=f"k{i}", part=part) for i in range(datasets) for part in ("action", "state")]
    tables[0] = replace(tables[0], trajectories=None)
    found = [title for title in rows(replace(ALL, statistics=tables)) if title.startswith("statistics")]
    if is_shown:
        assert len(found) == 6 and found[0].endswith("q99, 22 transitions") and found[1].endswith("22 transitions")
        return
    assert found == ["statistics of 4 datasets (unnorm_key; --json has the numbers)"]
    head, first, *others = rows(replace(ALL, statistics=tables))[found[0]]
    assert head == ["unnorm_key", "trajectories", "transitions"] and first == ["k0", "22"]
    assert others == [[f"k{i}", "11", "22"] for i in (1, 2, 3)]


def test_files_of_a_checkpoint_and_many_of_a_run_are_counted():
    counted = [["what", "for", "files", "size"], ["weights", "2", "7", "KB"], ["config", "1", "5", "B"]]
    assert rows(replace(ALL, kind="checkpoint"))["files"] == counted
    many = [FileRole(f"{i}.pt", 1, "weights") for i in range(MOST_FILES)]
    for kind in ("run", "adapter"):
        assert len(rows(replace(ALL, kind=kind, files=many))["files"]) == 1 + MOST_FILES
    assert rows(replace(ALL, files=[*many, FILES[0]]))["files"][1:] == [["weights", str(MOST_FILES + 1), "3.03", "KB"]]


def test_numbers_are_set_to_the_right_and_a_narrow_terminal_breaks_texts_alone():
    lines = text_of(ALL).splitlines()
    first = lines.index("parts") + 2
    assert lines[first].index("1,234") == lines[first + 1].index("1,106") and lines[first].endswith("4.94 KB  float32")
    assert lines[first + 1].index(" 2 ") == lines[first].index(" 3 ")
    narrow = text_of(ALL, width=30).splitlines()
    assert "  vlahub merge-lora --base BASE --adapter RUN" in narrow
    assert max(len(line) for line in narrow if "vlahub" not in line) < max(map(len, lines))
