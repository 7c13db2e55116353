"""`python -m benchmarks gpu`: that it runs whole on a CPU, and that its table says what was measured."""

import weakref
from types import SimpleNamespace

import pytest
import torch

from benchmarks import card_table, gpu, published_sizes
from benchmarks.card_measures import Measured
from benchmarks.card_rows import EXPERT, ROWS, RobotCall
from benchmarks.random_weights import build, bytes_of
from vlahub.modeling.fast_prediction import FastPredictionStats


def lines_of(text):
    """The cells of the table, without head and rule."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    return [cells for cells in rows if len(cells) == len(card_table.HEAD)][2:]


def check(text, rows, modes):
    lines = lines_of(text)
    assert sorted((line[0], line[1]) for line in lines) == sorted((row.name, mode) for row in rows for mode in modes)
    for line in lines:
        named = dict(zip(card_table.HEAD, line, strict=True))
        assert float(named["largest difference to eager"]) == 0
        assert float(named["floor ms"]) >= 0 and float(named["first call s"]) >= 0
        assert named["kernels"] == named["peak memory GiB"] == "-"


def test_one_family_is_measured_and_its_operators_are_named(capsys):
    assert gpu.main("mapanything_llava3d", "graphs", "cpu", 4, show_kernels=True) == 0
    text = capsys.readouterr().out
    check(text, [row for row in ROWS if row.family == "mapanything_llava3d"], ("eager", "graphs"))
    assert "aten::" in text and "samples" not in text


@pytest.mark.slow
def test_all_families_are_measured_on_a_cpu(capsys):
    assert gpu.main(None, "graphs", "cpu", 4) == 0
    text = capsys.readouterr().out
    check(text, ROWS, ("eager", "graphs"))
    assert "| 64 |" in text


def test_a_card_that_recorded_nothing_is_no_line_of_graphs():
    setting = gpu.Setting("cuda", ("graphs",), 1.0, gpu.Budget(1), False)
    stats = FastPredictionStats("graphs", 1, 2, 3, {"could not be recorded": 3}, 0, 0, 1)
    with pytest.raises(RuntimeError, match=r"a row, graphs: 3 calls ran eagerly.*could not be recorded"):
        gpu.check_recorded(SimpleNamespace(fast_prediction_stats=stats), "a row, graphs", setting)
    whole = stats._replace(eager_fallbacks=0, eager_reasons={})
    gpu.check_recorded(SimpleNamespace(fast_prediction_stats=whole), "a row, graphs", setting)
    gpu.check_recorded(SimpleNamespace(fast_prediction_stats=None), "a row, eager", setting)


def test_what_there_is_no_time_for_is_said(capsys):
    assert gpu.main("cogvla", "eager", "cpu", 0) == 0
    assert f"{sum(row.family == 'cogvla' for row in ROWS)} lines are missing" in capsys.readouterr().out


def test_a_models_memory_is_its_own_and_compiling_comes_last(monkeypatch):
    alive, order = [], []
    build_as_before = gpu.build

    def watched(make, device, dtype):
        assert not any(model() is not None for model in alive)
        model = build_as_before(make, device, dtype)
        alive.append(weakref.ref(model))
        return model

    monkeypatch.setattr(gpu, "build", watched)
    setting = gpu.Setting("cpu", gpu.MODES, 1e9, gpu.Budget(60), False)
    monkeypatch.setattr(gpu, "RUNS_ON_CPU", 1)
    monkeypatch.setattr(gpu, "switch", lambda model, mode: order.append(mode))
    rows = [row for row in ROWS if row.model in ("cogvla", "llava3d") and not row.name.endswith("batch 8")]
    lines = [line for line, _ in gpu.all_lines(rows, setting)]
    assert order == ["eager", "graphs"] * 2 + ["compile"] * 2 and len(alive) == 4
    assert [line[:2] for line in lines][-2:] == [[row.name, "compile"] for row in rows]


def test_every_line_is_written_at_once(tmp_path, monkeypatch):
    results = tmp_path / "RESULTS.md"
    results.write_text("# Results\n")
    monkeypatch.setattr(card_table, "RESULTS", results)
    monkeypatch.setattr(gpu, "machine", lambda *_: "a machine")
    rows = [row for row in ROWS if row.family == "cogvla"]
    cells = ["1.0"] * len(card_table.HEAD)

    def broken_off(rows, setting):
        yield [rows[0].name, "eager", *cells[2:]], ""
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu, "all_lines", broken_off)
    with pytest.raises(KeyboardInterrupt):
        gpu.main("cogvla", "eager", "cpu", 4, write_results=True)
    text = results.read_text()
    assert rows[0].name in text and f"{len(rows) - 1} lines are missing" in text


@pytest.mark.parametrize(
    "name, billions",
    [
        ("cogvla", 8.88),
        pytest.param("cogvla without LFP", 8.08, marks=pytest.mark.slow),
        pytest.param("cogvla in OFT form", 7.64, marks=pytest.mark.slow),
        pytest.param("llava3d", 10.50, marks=pytest.mark.slow),
    ],
)
def test_robots_models_of_the_published_sizes_predict_where_there_are_no_numbers(name, billions, without_autocast):
    with torch.device("meta"):
        model = published_sizes.MODELS[name](False).bfloat16().eval()
    assert round(sum(each.numel() for each in model.parameters()) / 1e9, 2) == billions
    actions = model.predict_action(**RobotCall(2).inputs(model, False), check_finite=False)
    assert actions.shape == (2, model.config.num_action_chunks, 7)


def test_the_published_driver_is_as_large_as_the_release_and_its_scene_fills_buckets():
    with torch.device("meta"):
        model = published_sizes.alpamayo(False)
    assert sum(each.numel() for each in model.parameters()) == 11_078_526_194
    assert bytes_of(model, next(iter(EXPERT))) / 4e9 == pytest.approx(2.279, abs=1e-3)
    assert published_sizes.alpamayo_inputs(model, False)["input_ids"].shape == (1, 3152)


def test_weights_are_drawn_where_they_are_and_buffers_keep_their_values():
    def make():
        return published_sizes.llava3d(True)

    model, plain = build(make, "cpu", torch.bfloat16), make()
    assert {each.dtype for each in model.parameters()} == {torch.bfloat16}
    assert model.state_dict().keys() == plain.state_dict().keys()
    for (name, found), (_, wanted) in zip(model.named_buffers(), plain.named_buffers(), strict=True):
        torch.testing.assert_close(found, wanted, msg=name)
    weight = next(each for name, each in model.named_parameters() if name.endswith("layers.0.mlp.down_proj.weight"))
    assert weight.float().std().item() == pytest.approx(weight.shape[1] ** -0.5, rel=0.1)


def test_a_tokens_line_is_the_difference_of_two_calls_divided():
    row = next(row for row in ROWS if row.divided_by == 32)
    actions = torch.zeros(2)
    found = Measured(9.0, 0.5, 0.4, 4000, 0.4, 3 * 2**30, [], actions + 1)
    less = Measured(8.0, 0.18, 0.16, 800, 0.08, 2**30, [], actions)
    line = dict(
        zip(card_table.HEAD, card_table.line_of(row, "graphs", found, less, actions, 2**30, 0.005), strict=True)
    )
    assert (line["median ms"], line["minimum ms"], line["kernels"]) == ("10.00", "7.50", "100")
    assert (line["GPU busy"], line["median / floor"], line["first call s"]) == ("100%", "2.0", "9.0")
    assert gpu.differ([list(line.values())])


def test_the_section_of_the_results_is_replaced_and_the_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(card_table, "RESULTS", tmp_path / "RESULTS.md")
    card_table.RESULTS.write_text("# Results\n\n## predict\n\nold\n\n## gpu\n\nold\n\n## merge\n\nold\n")
    card_table.write("## gpu\n\nnew\n")
    assert card_table.RESULTS.read_text() == "# Results\n\n## predict\n\nold\n\n## gpu\n\nnew\n\n## merge\n\nold\n"
