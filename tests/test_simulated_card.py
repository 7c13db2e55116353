"""On cards that are not there: what was forgotten on the processor, or on the other card, ends in torch's error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulated_card import native

from benchmarks.card.cases import CASES
from benchmarks.card.processes import FAMILIES

REPOSITORY = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not native.can_build(), reason="a simulated card is built by g++")


def on_cards(*words, cards="0,1"):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": cards, "PYTHONWARNINGS": "ignore"}
    environment["PYTHONPATH"] = ":".join([".", "tests", "examples"])
    command = [sys.executable, "-m", "simulated_card", *words]
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-1000:] + ended.stderr[-4000:]


def results(family, checks, lines, parts, cards="0,1"):
    """Of the check's every `parts`-th job, those that ran and held; whichever did not ends the test."""
    on_cards("benchmarks.card.process", "cuda", family, checks, str(lines), "0", str(parts), cards=cards)
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    failed = [each for each in found if each["outcome"] == "failed"]
    assert not failed, failed
    return [each for each in found if each["outcome"] == "passed"]


def test_the_cards_refuse_what_cards_refuse_and_compute_what_a_processor_does():
    on_cards("simulated_card.themselves")


def test_what_is_drawn_on_cards_is_given_back_and_what_they_predict_is_plotted():
    pytest.importorskip("matplotlib")
    on_cards("calls_on_cards")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_each_family_computes_on_a_card_and_spread_over_two(family, tmp_path):
    found = results(family, "spread,parity,host_waits", tmp_path / "lines", parts=1000)
    first = next(case.name for case in CASES if case.family == family)
    figures = {(each["check"], each["figure"]) for each in found if each["case"] == first}
    assert {("parity", "actions"), ("parity", "worst gradient"), ("waits", "as CUDA counts")} <= figures
    spread = {figure for check, figure in figures if check == "spread"}
    assert spread >= {f"{name}, from card {card} on" for name in ("actions", "loss", "gradients") for card in (0, 1)}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_else_each_family_is_asked_it_computes_on_a_card(family):
    on_cards("simulated_card.asked", family)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_model_computes_on_a_card_and_spread_over_two(family, tmp_path):
    found = results(family, "spread,parity,rounding,low_bits,host_waits", tmp_path / "lines", parts=1)
    found += results(family, "fast_prediction", tmp_path / "graphs", parts=1000)
    found += results(family, "trainer", tmp_path / "trainer", parts=1, cards="0")
    of_family = {case.name for case in CASES if case.family == family}
    for check in ("spread", "parity", "bfloat16"):
        assert {each["case"] for each in found if each["check"] == check} == of_family
    assert {"low bits", "trainer", "waits", "graphs"} <= {each["check"] for each in found}
