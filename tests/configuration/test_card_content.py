"""What a card says: true of the model, the same each time, and harmless whatever names are in it."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from markdown_it import MarkdownIt
from tiny_configs import cogvla_config, llava3d_config

from vlahub import AlpamayoR1Config
from vlahub.configuration.card_markdown import code, fenced, table, words
from vlahub.configuration.card_snippet import Asked, snippet
from vlahub.configuration.card_statistics import dimensions_table
from vlahub.configuration.checkpoint_card import checkpoint_card
from vlahub.configuration.weight_parts import size_text
from vlahub.conversion.inspection.inspect_checkpoint import inspect_checkpoint

NAMES = {
    "a pipe": "left|right",
    "HTML": "<img src=x onerror=alert(1)>",
    "a comment's end": "--> <script>",
    "backticks": "a`b``c",
    "a link": "[click](https://evil.example)",
    "emphasis": "**bold** _x_ ~~y~~",
    "a backslash": "a\\|b",
    "an entity": "&lt;b&gt;",
    "a space in front": " x",
    "another script": "碗 é",
}


class Read(HTMLParser):
    """Tags and the text of each cell of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.cells, self.is_in_cell = set(), [], False
        self.feed(MarkdownIt("commonmark").enable("table").render(page))

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag in ("td", "th"):
            self.cells.append("")
            self.is_in_cell = True

    def handle_endtag(self, tag):
        self.is_in_cell &= tag not in ("td", "th")

    def handle_data(self, data):
        if self.is_in_cell:
            self.cells[-1] += data


def rows_of(text):
    """Cells of each row of the table of dimensions."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_the_example_asks_for_the_first_statistics_and_for_one_robot_of_several():
    config = llava3d_config(num_embodiments=2)
    config.norm_stats = {"b": {}, "a": {}}
    code = snippet(config)
    assert code.count('unnorm_key="a"') == 2 and "    embodiment_id=0,\n" in code
    assert "embodiment_id" not in snippet(llava3d_config())
    assert snippet(config, asked=Asked(unnorm_key="b")).count('unnorm_key="b"') == 2


def test_the_example_of_a_car_drives_up_to_its_place():
    config = AlpamayoR1Config()
    names = {"np": np}
    lines = snippet(config).splitlines()
    exec("\n".join(line for line in lines if line.startswith(("xyz", "rot"))), names)
    xyz, step = names["xyz"], 10 * config.action_space_cfg["dt"]
    assert len(xyz) * 3 == config.tokens_per_history_traj and names["rot"].shape == (len(xyz), 3, 3)
    np.testing.assert_allclose(xyz[:, 0], step * np.arange(1 - len(xyz), 1), atol=1e-9)
    assert not xyz[:, 1:].any()


def test_views_of_another_number_than_the_recorded_names_stand_in_a_list():
    config = cogvla_config(num_images_in_input=2)
    config.view_names = ["top", "wrist"]
    given = Asked(images=("a.png", "b.png"))
    assert 'images={"top": Image.open("a.png"), "wrist": Image.open("b.png")},' in snippet(config, asked=given)
    assert 'images=[Image.open("a.png")],' in snippet(config, asked=Asked(images=("a.png",)))


# Names of anybody


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_in_a_cell_is_shown_as_it_is_and_does_nothing(name):
    read = Read(table(["a", "b"], [[code(name), "end"]]))
    assert read.cells[2:] == [name, "end"]
    assert read.tags <= {"table", "thead", "tbody", "tr", "th", "td", "code"}
    read = Read(f"{words(name)}\n\n" + table(["a"], [[words(name)]]))
    assert read.cells[1] == name.strip() and read.tags <= {"p", "table", "thead", "tbody", "tr", "th", "td"}


def test_a_name_on_two_lines_stays_in_its_cell():
    assert Read(table(["a", "b"], [[code("x\n| y\r\u2028z"), "end"]])).cells[2:4] == ["x\\n| y\\r\\u2028z", "end"]
    assert words("# a\n\n# b") == "&#35; a &#35; b"


def test_a_block_of_code_ends_where_it_should():
    read = Read(fenced("print(1)\n```\n<b>\n````\n") + "\n\nafter")
    assert read.tags == {"pre", "code", "p"}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_the_name_of_a_dataset_stands_in_the_whole_card_harmless(name):
    plain = cogvla_config()
    config = cogvla_config(norm_stats={name: plain.norm_stats["tiny"]})
    plain, odd = Read(card_text(plain)), Read(card_text(config))
    assert odd.tags == plain.tags and len(odd.cells) == len(plain.cells) and name in odd.cells
    compile(snippet(config), "snippet", "exec")


def card_text(config):
    return checkpoint_card(config).split("\n---\n", 1)[1]


# The same each time


def test_a_card_depends_on_nothing_but_what_the_config_says():
    statistics = cogvla_config().norm_stats["tiny"]
    one, other = cogvla_config(norm_stats={"a": statistics, "b": statistics}), cogvla_config()
    other.norm_stats = {"b": dict(reversed(statistics.items())), "a": statistics}
    assert checkpoint_card(one) == checkpoint_card(one) == checkpoint_card(other)


# The numbers


@pytest.mark.parametrize("kind,columns", [("bounds", ("min", "max")), ("normal", ("mean", "std"))])
def test_the_table_has_the_numbers_of_the_statistics(kind, columns):
    draw = np.random.default_rng(0)
    first = draw.normal(size=5) * 10.0 ** np.arange(-3, 2)
    second = first + 1
    first[4] = second[4] = 0
    mask = [True, False, True, True, True]
    statistics = {columns[0]: first.tolist(), columns[1]: second.tolist(), "mask": mask, "units": ["m"] * 5}
    rows = rows_of(dimensions_table(statistics, kind, ["x", "y|", "z", "yaw", "grip"]))
    assert [row[0] for row in rows] == ["0", "1", "2", "3", "4"]
    found = np.array([row[3:5] for row in rows], dtype=float)
    np.testing.assert_allclose(found, np.stack([first, second], 1), rtol=5e-4)
    assert [row[5] for row in rows] == ["yes", "no, passes unchanged", "yes", "yes", "yes; constant in the data"]
    assert [row[1] for row in rows] == ["`x`", "<code>y&#124;</code>", "`z`", "`yaw`", "`grip`"]


def test_names_of_another_length_are_left_out():
    assert "name" not in dimensions_table({"min": [0.0], "max": [1.0]}, "bounds", ["x", "y"])


# True of the model


def test_what_the_card_says_is_true_of_the_model(family, family_checkpoint, tmp_path, capsys):
    config = family.config.from_pretrained(family_checkpoint)
    model = family.model.from_pretrained(family_checkpoint)
    model.save_pretrained(tmp_path)
    text = (tmp_path / "README.md").read_text()
    cells = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|", text, re.M))
    assert int(cells["all"].replace(",", "")) == sum(p.numel() for p in model.parameters())
    for name, said in config.facts.items():
        assert f"\n| {name} | {said} |\n" in text
    capsys.readouterr()
    exec(compile(snippet(config, str(family_checkpoint), Asked(drawn=True)), "card", "exec"), {})
    shape = capsys.readouterr().out.splitlines()[0]
    chunk = f"{config.num_action_chunks}, {config.action_dim}"
    assert shape == (f"(1, {chunk})" if family.unnorm_key else f"(1, 1, 1, {config.num_action_chunks}, 3)")


def test_the_card_says_of_the_weights_what_inspect_says(family, family_checkpoint, tmp_path):
    family.model.from_pretrained(family_checkpoint, dtype=torch.bfloat16).save_pretrained(tmp_path)
    text, found = (tmp_path / "README.md").read_text(), inspect_checkpoint(str(tmp_path))
    rows = re.findall(r"^\| ([^|]+) \| ([\d,]+) \| [\d.e-]+ % \| ([^|]+) \| (\w+) \|$", text, re.M)
    assert rows == [(p.name, f"{p.parameters:,}", size_text(p.bytes), *p.dtypes) for p in found.parts]
    memory = found.memory
    needs = [f"{size_text(memory.stored)} as they are stored"]
    needs += [f"{size_text(size)} in {kind}" for kind, size in (("int8", memory.int8), ("int4", memory.int4))]
    assert memory.stored == memory.bfloat16 and f"The weights alone need {', '.join(needs)} (" in text


def test_the_card_says_of_the_model_what_inspect_says(family, family_checkpoint):
    """Each of the two reads it in a way of its own: one from the config object, one from JSON without transformers."""
    text = checkpoint_card(family.config.from_pretrained(family_checkpoint))
    found = inspect_checkpoint(str(family_checkpoint))
    model, (table, *_) = found.model, found.statistics
    if family.unnorm_key:
        assert f"| actions | (batch, {model.num_action_chunks}, {model.action_dim}) |" in text
        assert f"| robot state | {model.state_dim} values |" in text
        assert f"| normalisation | `{model.normalization_type}`: {table.range.replace(' to ', ' and ')} of each" in text
    else:
        assert f"| trajectory | {model.num_action_chunks} waypoints, {model.choices['time step']} apart |" in text
    for dimension in table.dimensions:
        assert f" | {dimension.low:.4g} | {dimension.high:.4g} | " in text


def test_what_nobody_recorded_is_said_not_to_be():
    config = cogvla_config(num_images_in_input=2)
    config.norm_stats = {"mine": {"action": config.norm_stats["tiny"]["action"], "num_trajectories": "many"}}
    text = checkpoint_card(config)
    for fact in (
        "| views | 2; their names are not recorded |",
        "| `mine` | not recorded | not recorded | 2 |",
        "The statistics record no units",
        "- licence: not recorded\n- base model: not recorded\n- datasets: not recorded\n",
    ):
        assert fact in text, fact


LAYERS = {
    "cogvla": ("language model", r"(\d+) layers", lambda model: len(model.language_model.model.layers)),
    "mapanything_llava3d": (
        "vision tower",
        r"(\d+) layers",
        lambda model: model.config.vision_config.num_hidden_layers,
    ),
    "multimodal_vla": ("action head", "`(.*)`", lambda model: model.config.action_head),
    "alpamayo_r1": ("expert", r"(\d+) layers", lambda model: len(model.expert.layers)),
}


def test_the_rows_about_the_parts_are_those_of_the_modules(family, family_checkpoint):
    model = family.model.from_pretrained(family_checkpoint)
    name, pattern, count = LAYERS[model.config.model_type]
    assert re.search(pattern, model.config.facts[name])[1] == str(count(model))


def test_the_cars_statistics_are_those_of_its_config(family, family_checkpoint):
    config = family.config.from_pretrained(family_checkpoint)
    if family.unnorm_key:
        assert config.action_text == ""
        return
    space = config.action_space_cfg
    for row, field in zip(rows_of(config.action_text.split("\n\n")[-1]), ("accel", "curvature"), strict=True):
        numbers = [*space[f"{field}_bounds"], space[f"{field}_mean"], space[f"{field}_std"]]
        np.testing.assert_allclose([float(cell) for cell in row[3:7]], numbers, rtol=5e-4)
