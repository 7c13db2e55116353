"""Tokens are drawn as by transformers' warpers and `torch.multinomial`, and the device is not asked."""

import pytest
import torch
from host_waits import HostWaits
from transformers.generation import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from vlahub.modeling.alpamayo_r1.rollout import fill_exponentials
from vlahub.modeling.alpamayo_r1.token_drawing import (
    Drawing,
    Warping,
    WithoutTrajectoryTokens,
    chosen,
    draw,
    nothing_written,
)
from vlahub.modeling.alpamayo_r1.written_trajectories import TrajectoryWriting

VOCABULARY = 50


@pytest.fixture
def scores():
    """Rows with ties, with tokens that are left out, and one that is all but certain."""
    scores = torch.randn(4, VOCABULARY, generator=torch.Generator().manual_seed(0)) * 3
    scores[1, ::3], scores[2, 10:40], scores[3, 7] = 1.5, -torch.inf, 60.0
    return scores


@pytest.mark.parametrize("top_p", [1.0, 0.98, 0.3])
@pytest.mark.parametrize("top_k", [None, 1, 5, 500])
@pytest.mark.parametrize("temperature", [1.0, 0.6, 7.0])
def test_scores_are_transformers(temperature, top_k, top_p, scores):
    stock = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    stock += [TopKLogitsWarper(top_k)] if top_k else []
    stock += [TopPLogitsWarper(top_p)] if top_p < 1 else []
    assert torch.equal(Warping(temperature, top_k, top_p)(scores), stock(None, scores))


def test_a_draw_is_that_of_multinomial(scores):
    ours, theirs = (torch.Generator().manual_seed(3) for _ in range(2))
    for _ in range(20):
        found = chosen(scores, fill_exponentials(torch.empty_like(scores), ours))
        assert torch.equal(found, torch.multinomial(scores.softmax(dim=-1), 1, generator=theirs)[:, 0])


def test_what_a_callers_generator_draws_is_drawn_where_it_is(scores):
    """The memory to fill is on another device than the generator, as that of a model on a card is."""
    ours, own = (torch.Generator().manual_seed(3) for _ in range(2))
    numbers = torch.empty_like(scores, device="meta")
    assert fill_exponentials(numbers, ours) is numbers
    torch.empty_like(scores).exponential_(generator=own)
    assert torch.equal(ours.get_state(), own.get_state())


REASONING = WithoutTrajectoryTokens(30, 8)
RULES = {"reasoning": REASONING, "a future": TrajectoryWriting(40, 41, (30, 36), 3, 2, REASONING, (5, 41))}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_nobody_waits_and_nothing_given_is_changed(rule, scores):
    drawing = Drawing(rule, Warping(0.6, 20, 0.9), (5, 6), 0)
    written, logits = nothing_written(4, 8, 0, scores.device), scores.nan_to_num(neginf=-9.0)
    exponentials = torch.ones_like(scores)
    given = [each.clone() for each in (*written, logits)]
    with HostWaits() as waits:
        after = draw(logits, written, exponentials, drawing)
    assert not waits.found
    assert all(torch.equal(one, other) for one, other in zip((*written, logits), given, strict=True))
    assert after.count == 1 and after.lengths.tolist() == [1] * 4


def test_a_future_is_opened_written_and_ended_whatever_is_likely():
    drawing = Drawing(RULES["a future"], Warping(1.0, 1, 1.0), (41,), 0)
    logits = torch.zeros(2, VOCABULARY)
    logits[:, [5, 31, 41]] = torch.tensor([9.0, 3.0, 8.0])  # an end, a value, the end of a future
    logits[1, 40] = 20.0  # the second opens its future itself
    written = nothing_written(2, 8, 0, logits.device)
    for _ in range(7):
        written = draw(logits, written, torch.ones_like(logits), drawing)
    assert written.tokens[1].tolist() == [40, 31, 31, 31, 41, 0, 0, 0]
    assert written.tokens[0, 2:7].tolist() == [40, 31, 31, 31, 41]
    assert not {5, 31, 41} & set(written.tokens[0, :2].tolist())
    assert written.lengths.tolist() == [7, 5]


def test_rows_of_logits_that_are_not_finite_are_told(scores):
    drawing = Drawing(REASONING, Warping(1.0, None, 0.9), (5,), 0)
    logits, written = scores.nan_to_num(neginf=-9.0), nothing_written(4, 3, 0, scores.device)
    logits[2, 3] = torch.nan
    written = draw(logits, written, torch.ones_like(logits), drawing)
    assert written.finite.tolist() == [True, True, False, True]
    ended = written._replace(ended=torch.tensor([False, False, False, True]))
    logits[3] = torch.inf
    assert draw(logits, ended, torch.ones_like(logits), drawing).finite.tolist() == [True, True, False, True]
