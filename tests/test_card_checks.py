"""`make test-gpu`: what its checks find is what it says, whatever becomes of them; and it runs whole without a card."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
import time
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from traced_graphs import TracedGraph

from benchmarks import card_table
from benchmarks.card import __main__ as command
from benchmarks.card import (
    carried,
    compiled,
    device,
    fast_prediction,
    host_waits,
    low_bits,
    memory,
    process,
    processes,
    report,
    rounding,
    trainer,
)
from benchmarks.card.cases import CASES, cases, in_bfloat16, predict
from benchmarks.card.fast_prediction import OPTIONS, ready
from benchmarks.card.learning import gradient_errors, loss_and_gradients
from benchmarks.card.processes import Run, Unit, units
from benchmarks.card.results import Figure, Job, Result, Skipped, results_of
from benchmarks.observations import observations
from vlahub import MultimodalVLAForActionPrediction
from vlahub.modeling.captured_graphs import copied
from vlahub.modeling.cogvla import token_pruning
from vlahub.modeling.fast_prediction import FastPrediction

FAMILIES = {"cogvla", "mapanything_llava3d", "multimodal_vla", "alpamayo_r1"}


def outcomes(run):
    return [(result.figure, result.outcome) for result in results_of(Job("check", "case", run))]


# ---- one job


def test_a_figure_holds_up_to_its_bound_and_no_number_holds():
    figures = [Figure("a", 1.0, 1.0), Figure("b", 1.1, 1.0), Figure("c", float("nan"), 1.0), Figure("d", float("inf"))]
    found = outcomes(lambda: [*figures, Figure("e", 5.0)])
    assert found == [("a", "passed"), ("b", "failed"), ("c", "failed"), ("d", "failed"), ("e", "passed")]


def test_a_job_that_raises_has_failed_with_its_message_and_keeps_what_it_found():
    def run():
        yield Figure("a", 0.0, 1.0)
        raise ValueError("no\nsuch kernel")

    first, second = results_of(Job("check", "case", run))
    assert (first.outcome, second.outcome) == ("passed", "failed")
    assert second.why.startswith("ValueError: no such kernel (test_card_checks.py:")


def test_a_job_that_cannot_run_here_is_skipped_and_one_that_looks_at_nothing_has_failed():
    def run():
        raise Skipped("there is no torchao")

    (result,) = results_of(Job("check", "case", run))
    assert (result.outcome, result.why) == ("skipped", "there is no torchao")
    assert outcomes(list) == [("", "failed")]


# ---- what the figures are of


def test_gradients_of_one_small_parameter_show_in_the_worst():
    wanted = {"large": torch.ones(1000), "small": torch.full((2,), 0.5)}
    found = {"large": torch.ones(1000), "small": torch.full((2,), -0.5)}
    whole, worst = gradient_errors(found, wanted)
    assert whole < 0.05 and worst == pytest.approx(2.0)
    assert gradient_errors({"large": torch.ones(1000)}, wanted) == (float("inf"), float("inf"))


def test_every_family_has_a_first_model_and_some_that_train():
    assert {case.family for case in cases(is_first=True)} == FAMILIES == {case.family for case in CASES}
    assert {case.family for case in cases(is_trained=True)} == FAMILIES
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_batch_brings_all_that_is_drawn_and_rounding_leaves_buffers(family):
    (case,) = cases(family, is_first=True)
    tiny = case.tiny()
    torch.manual_seed(1)
    first = loss_and_gradients(tiny.model, tiny.batch)
    torch.manual_seed(2)
    assert gradient_errors(first[1], loss_and_gradients(tiny.model, tiny.batch)[1]) == (0.0, 0.0)
    buffers = [each.dtype for each in tiny.model.buffers()]
    rounded = in_bfloat16(tiny.model)
    assert {each.dtype for each in rounded.parameters()} == {torch.bfloat16}
    assert [each.dtype for each in rounded.buffers()] == buffers


PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::convolution", "aten::_scaled_dot_product")


def form_of(func, args, kwargs):
    """What decides which kernel a product is."""
    tensors = [each for each in tree_iter((args, kwargs)) if isinstance(each, torch.Tensor)]
    return func.name(), *((each.dtype, each.shape, each.stride()) for each in tensors)


class Products(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.name().startswith(PRODUCTS):
            self.found.add(form_of(func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("family", sorted(FAMILIES))
@torch.no_grad()
def test_graphs_are_held_against_predictions_of_the_same_products(family):
    """Those of others, such as attention without a mask, have other bits on a card, and the same on a processor."""
    (case,) = cases(family, is_first=True)
    model, prompt = ready(case, "cpu", torch.float32)
    model.fuse_projections()
    with Products() as eager:
        predict(model, prompt)
    model.fast_prediction = FastPrediction(model, OPTIONS, TracedGraph)
    predict(model, prompt)
    steps = [step for graph in model.fast_prediction.graphs.values() for step in graph.steps]
    recorded = {form_of(*step[:3]) for step in steps if step[0].name().startswith(PRODUCTS)}
    assert recorded and recorded <= eager.found


class StaleGraph(TracedGraph):
    """Goes on with the inputs of its recording, whatever it is called with."""

    def __init__(self, function, inputs, *others):
        self.recorded = copied(inputs)
        super().__init__(function, inputs, *others)

    def __call__(self, inputs):
        return super().__call__(self.recorded)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_graphs_that_go_on_with_old_inputs_fail(family, monkeypatch):
    monkeypatch.setattr(fast_prediction, "TracedGraph", StaleGraph)
    (case,) = cases(family, is_first=True)
    figures = [each for each in fast_prediction.graphs(case, "cpu") if "other bits" in each.name]
    assert figures and not any(figure.holds for figure in figures)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_observations_differ_in_all_that_a_robot_sees(family):
    (case,) = cases(family, is_first=True)
    _, prompt = ready(case, "cpu", torch.float32)
    first, second, third = observations(prompt, 3)
    assert first is prompt
    for name in ("pixel_values", "state", "proprio", "noise", "ego_history_xyz"):
        if name in prompt:
            assert not torch.equal(second[name], first[name]) and not torch.equal(third[name], second[name])
    assert torch.equal(third["input_ids"], prompt["input_ids"]) is ("image_grid_thw" in prompt)


def test_a_loss_that_is_not_finite_and_one_that_does_not_fall_fail(monkeypatch):
    (job, *_) = trainer.jobs("cpu", "multimodal_vla")
    plain, count = MultimodalVLAForActionPrediction.forward, []

    @functools.wraps(plain)
    def spoilt(*args, **kwargs):
        count.append(1)
        output = plain(*args, **kwargs)
        if len(count) == 3:  # the first is not the Trainer's
            output.loss = output.loss * float("nan")
        return output

    monkeypatch.setattr(MultimodalVLAForActionPrediction, "forward", spoilt)
    failed = {result.figure for result in results_of(job) if result.outcome == "failed"}
    assert failed == {"losses that are not finite", "steps that were skipped"}
    assert not Figure("lowest later loss over the first", 1.0, low_bits.LEARNT).holds


@pytest.mark.parametrize("name", ["CogVLA, L1", "OpenVLA-OFT"])
@pytest.mark.parametrize("turned", [False, True])
def test_where_rounding_keeps_other_image_tokens_differences_are_told_and_bound_nothing(monkeypatch, name, turned):
    choose = token_pruning.highest_scored

    def others_in_bfloat16(scores, ratio):
        is_rounded = turned and torch.equal(scores, scores.bfloat16().float())
        return choose(-scores if is_rounded else scores, ratio)

    def score(self, states, pruning):
        found = plain(self, states, pruning)
        return found.bfloat16().float() if states.dtype == torch.bfloat16 else found

    plain = token_pruning.TokenRouter.forward
    monkeypatch.setattr(token_pruning.TokenRouter, "forward", score)
    monkeypatch.setattr(token_pruning, "highest_scored", others_in_bfloat16)
    (case,) = (case for case in CASES if case.name == name)
    bounds = [figure.bound for figure in rounding.rounding(case, "cpu")]
    assert len(bounds) == 4 and bounds == (
        [None] * 4 if turned and case.prunes else [*rounding.LEARNING, rounding.ACTIONS]
    )
    assert token_pruning.highest_scored is others_in_bfloat16


def test_compiling_is_skipped_where_nothing_can_be_compiled(monkeypatch):
    monkeypatch.setattr(compiled, "missing_for_triton", lambda: "a C compiler")
    (job,) = compiled.jobs("cuda", "mapanything_llava3d")
    (result,) = results_of(job)
    assert (result.outcome, result.why) == ("skipped", "Inductor needs a C compiler for a card, and there is none here")


@pytest.mark.parametrize("text", ["answer = 42", "raise AttributeError('made for another torch')"])
def test_a_package_that_was_carried_is_found_only_by_the_check_that_needs_it_and_if_it_works(
    tmp_path, monkeypatch, text
):
    folder = tmp_path / "carriedpackage"
    folder.mkdir()
    (folder / "carriedpackage.py").write_text(text)
    (folder / "carriedpackage-1.5.dist-info").mkdir()
    (folder / "carriedpackage-1.5.dist-info" / "METADATA").write_text("Name: carriedpackage\nVersion: 1.5\n")
    for module in (low_bits, device):
        monkeypatch.setattr(module, "APART", tmp_path)
    before = list(sys.path)
    monkeypatch.setattr(sys, "path", list(before))
    assert device.version("carriedpackage") == "1.5" and device.version("nocarriedpackage") == "not installed"
    assert importlib.util.find_spec("carriedpackage") is None
    if "raise" in text:
        with pytest.raises(Skipped, match="made for another torch"):
            low_bits.needed("carriedpackage")
        assert sys.path == before and importlib.util.find_spec("carriedpackage") is None
    else:
        assert low_bits.needed("carriedpackage").answer == 42
        assert sys.path == [*before, str(folder)]
        del sys.modules["carriedpackage"]


# ---- processes


def check_that(folder, name, lines):
    """A check of its own in a folder that processes start in."""
    package = folder / "benchmarks" / "card"
    package.mkdir(parents=True, exist_ok=True)
    for empty in (package.parent, package):
        (empty / "__init__.py").write_text("")
    (package / "process.py").write_text("import json, os, sys, time\n" + "\n".join(lines))


LINE = json.dumps(Result("check", "first", "a", 0.0, 1.0, "passed", "", 0.1).as_dict())
WRITE = f"open(sys.argv[4], 'a').write({LINE!r} + chr(10))"


@pytest.mark.parametrize(
    "lines, wanted",
    [
        ([WRITE], ["passed"]),
        ([WRITE, "sys.exit('cuda is gone')"], ["passed", "failed"]),
        ([WRITE, "os.kill(os.getpid(), 11)"], ["passed", "failed"]),
        ([], ["failed"]),
    ],
)
def test_a_process_that_dies_has_failed_and_what_it_found_is_kept(tmp_path, monkeypatch, lines, wanted):
    check_that(tmp_path, "check", lines)
    monkeypatch.setattr(processes, "FOLDER", tmp_path)
    found = Run("cpu", time.monotonic() + 300, 2).results([Unit(("check",), None)])
    assert [result.outcome for result in found] == wanted
    if "sys.exit" in "".join(lines):
        assert "ended with 1: ...cuda is gone" in found[-1].why and "after check, first" in found[-1].why


def test_what_is_not_done_in_time_has_failed_and_is_stopped(tmp_path, monkeypatch):
    check_that(tmp_path, "check", [f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))", "time.sleep(600)"])
    monkeypatch.setattr(processes, "FOLDER", tmp_path)
    pid = tmp_path / "pid"
    run = Run("cpu", float("inf"), 1)
    original = run.ended

    def ended():
        if pid.exists() and pid.read_text():
            run.end = 0.0
        return original()

    run.ended = ended
    found = run.results([Unit(("one",), None), Unit(("two",), None)])
    assert [result.why for result in found] == ["the time was over", "the time was over before it began"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_card_has_a_process_for_each_check_and_family():
    found = units("cuda", command.CHECKS, None)
    assert {(unit.checks, unit.family) for unit in found} == {((c,), f) for c in command.CHECKS for f in FAMILIES}
    assert sorted(unit.part for unit in found if unit.part[1] > 1) == [(0, 2), (1, 2)]
    assert [unit.checks for unit in units("cpu", command.CHECKS, None)] == [command.CHECKS]


def test_the_parts_of_a_check_do_all_of_its_jobs_once(tmp_path, monkeypatch):
    for (check, family), parts in processes.PARTS.items():
        assert 1 < parts <= len(process.jobs_of(check, "cuda", family))
    jobs = [Job("check", str(number), lambda: [Figure("a", 0.0)]) for number in range(5)]
    monkeypatch.setattr(process, "jobs_of", lambda *_: jobs)
    monkeypatch.setattr(process, "as_precise_as_possible", lambda: None)
    for number in range(2):
        process.main("cuda", None, ["check"], str(tmp_path / "lines"), number, 2)
    found = [json.loads(line)["case"] for line in (tmp_path / "lines").read_text().splitlines()]
    assert found == ["0", "2", "4", "1", "3"]


# ---- the report


@pytest.mark.parametrize("value, status", [(0.5, 0), (2.0, 1), (float("inf"), 1)])
def test_the_status_is_1_where_a_check_failed_and_the_json_says_everything(
    tmp_path, monkeypatch, capsys, value, status
):
    def results(run, waiting):
        failed = list(results_of(Job("parity", "CogVLA", lambda: [Figure("loss", value, 1.0), Figure("peak", 3.0)])))
        return [*failed, Result("low bits", "CogVLA", "", None, None, "skipped", "there is no torchao", 0.0)]

    monkeypatch.setattr(Run, "results", results)
    assert command.main(["--device", "cpu", "--json", str(tmp_path / "card.json")]) == status
    found = json.loads((tmp_path / "card.json").read_text())
    assert (found["passed"], found["failed"], found["skipped"]) == (2 - status, status, 1)
    assert {"device", "name", "commit", "versions", "date", "seconds"} <= found.keys()
    assert found["versions"]["torch"] == torch.__version__
    first = found["results"][0]
    assert first["value"] == (None if value == float("inf") else value) and first["bound"] == 1.0
    text = capsys.readouterr().out
    assert "1 x low bits: there is no torchao" in text and "| parity, CogVLA, peak | 3 |" in text
    assert ("Failed:" in text) == bool(status)
    monkeypatch.setattr(card_table, "RESULTS", tmp_path / "RESULTS.md")
    card_table.RESULTS.write_text("# Results\n\n## card\n\nold\n\n## gpu\n\nkept\n")
    report.write_section(found)
    written = card_table.RESULTS.read_text()
    assert "old" not in written and written.endswith("\n\n## gpu\n\nkept\n") and "| parity |" in written


def test_a_check_that_is_unknown_is_refused_and_so_is_a_card_that_is_not_there(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["--checks", "parity,parities"])
    assert "--checks parities: choose from" in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main(["--device", "cuda", "--json", str(tmp_path / "card.json")]) == 2


# ---- what a card alone runs


def on_the_processor(to):
    """`to` for which "cuda" is the CPU."""

    def moved(self, *given, **named):
        return to(self, *("cpu" if isinstance(each, str) and each == "cuda" else each for each in given), **named)

    return moved


@pytest.fixture
def stand_in(monkeypatch):
    """A processor that answers where a card is asked for; of its memory `more` bytes are lost from look to look."""
    for kind in (torch.Tensor, torch.nn.Module):
        monkeypatch.setattr(kind, "to", on_the_processor(kind.to))
    for name in ("synchronize", "reset_peak_memory_stats", "get_sync_debug_mode", "set_sync_debug_mode"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3 * 2**20)
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None, raising=False)
    monkeypatch.setattr(FastPrediction, "recorder_for", lambda self, device: TracedGraph)
    held = SimpleNamespace(bytes=100, more=0)

    def allocated():
        held.bytes += held.more
        return held.bytes

    monkeypatch.setattr(torch.cuda, "memory_allocated", allocated)
    return held


@pytest.mark.parametrize("check", ["parity", "rounding", "fast_prediction", "memory", "host_waits"])
def test_the_lines_for_a_card_run(stand_in, check):
    """As far as a processor can tell; compiling is left out."""
    jobs = [
        job
        for job in importlib.import_module(f"benchmarks.card.{check}").jobs("cuda", "mapanything_llava3d")
        if job.case == "LLaVA-3D, deep fusion"
    ]
    found = [result for job in jobs for result in results_of(job)]
    assert {result.outcome for result in found} == {"passed"}, found
    if check == "memory":
        assert {result.value for result in found if "peak" in result.figure} == {3.0} and len(found) == 8


def test_memory_that_is_left_and_waits_that_cuda_tells_are_failures(stand_in, monkeypatch):
    stand_in.more = 512
    (case,) = cases("mapanything_llava3d", is_first=True)
    lost = [each for each in memory.memory(case, "cuda") if "left" in each.name]
    assert [each.value for each in lost] == [512, 512, 512] and not any(each.holds for each in lost)

    def waiting(model, prompt, **options):
        warnings.warn("Synchronization debug mode does not yet detect all synchronizing operations", stacklevel=1)
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)

    monkeypatch.setattr(host_waits, "predict", waiting)
    (figure,) = host_waits.waits(case, "cuda")
    assert (figure.value, figure.holds) == (1, False)


# ---- the whole


def test_a_folder_that_others_made_is_not_replaced(tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(SystemExit, match="was not made by this command"):
        carried.main(tmp_path)
    assert (tmp_path / "notes").read_text() == "mine"


def test_packages_that_only_another_machine_had_are_not_thrown_away(tmp_path, monkeypatch, capsys):
    (tmp_path / carried.PACKAGES / "datasets-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "commit.txt").write_text("abc123\n")
    monkeypatch.setattr(carried, "is_installed", lambda package: package not in ("datasets", "dill"))
    with pytest.raises(SystemExit, match=r"commit abc123\) holds datasets, not installed here: run python3 -m"):
        carried.main(tmp_path)
    assert (tmp_path / carried.PACKAGES / "datasets-1.0.dist-info").is_dir()
    monkeypatch.setattr(carried, "wheel", lambda work: sys.exit("no wheel"))
    with pytest.raises(SystemExit, match="no wheel"):
        carried.main(tmp_path / "new")
    assert "not installed here: datasets, dill. What needs them is skipped." in capsys.readouterr().out


def test_a_package_is_carried_with_its_metadata_and_no_other(tmp_path):
    assert carried.is_installed("pluggy") and not carried.is_installed("nosuchpackage")
    carried.carry("pluggy", tmp_path)
    assert (tmp_path / "pluggy" / "__init__.py").is_file() and list(tmp_path.glob("pluggy-*.dist-info/METADATA"))


@pytest.mark.slow
def test_all_checks_hold_on_a_processor_from_a_folder_that_holds_all_they_need(tmp_path):
    folder = tmp_path / "card"
    carried.main(folder)
    for extra in ("setup.cfg", "pyproject.toml", "modeling"):
        assert not (folder / extra).exists()
    words = ["-m", "benchmarks.card", "--device", "cpu", "--json", str(tmp_path / "card.json")]
    ended = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    found = json.loads((tmp_path / "card.json").read_text())
    lines = [line for line in found["results"] if line["outcome"] == "passed"]
    checks = {"parity", "bfloat16", "graphs", "compile", "training", "low bits", "memory", "trainer", "waits"}
    assert {line["check"] for line in lines} == checks
    learned = {case.name for case in CASES if not case.make}
    assert {line["case"] for line in lines if line["check"] == "parity" and line["figure"] == "gradients"} == learned
    trained = [line["figure"] for line in lines if line["check"] == "training"]
    assert len(trained) == 8 * len(list(cases(is_trained=True)))  # DDP and FSDP2, two dtypes, losses and gradients
