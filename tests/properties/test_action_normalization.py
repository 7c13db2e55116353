"""Robot units to the normalised range and back, against the published formulas in numpy's float64."""

import warnings

import numpy as np
import pytest
import torch
from drawn import SEEDS, floats
from hypothesis import given
from hypothesis import strategies as st

from vlahub.configuration.normalization_statistics import STATISTICS, check_statistics
from vlahub.errors import ConfigError
from vlahub.modeling.action_normalization import normalize, unnormalize
from vlahub.processing.state_range import far_values

KINDS = st.sampled_from(sorted(STATISTICS))
ROUNDING = 2.0**-22  # of float32, relative, twice


@st.composite
def statistics(draw, kind=None, least=1):
    """(statistics, normalization_type): of a few dimensions, some of them constant, with a mask or without."""
    kind = kind or draw(KINDS)
    size = draw(st.integers(least, 4))
    number = floats(-1e4, 1e4)
    first = [draw(number) for _ in range(size)]
    widths = [draw(st.one_of(st.just(0.0), floats(1e-6, 1e4))) for _ in range(size)]
    second = widths if kind == "normal" else [low + width for low, width in zip(first, widths, strict=True)]
    found = dict(zip(STATISTICS[kind], (first, second), strict=True))
    mask = draw(st.sampled_from(["none", "missing", "drawn"]))
    if mask != "none":
        found["mask"] = None if mask == "missing" else [draw(st.booleans()) for _ in range(size)]
    return found, kind


def terms(found, kind):
    first, second = (np.array(found[name], np.float64) for name in STATISTICS[kind])
    mask = np.array(found.get("mask") or [True] * len(first))
    return first, second if kind == "normal" else second - first, mask


@given(statistics(), st.data())
def test_values_become_those_of_the_published_formula(drawn, data):
    found, kind = drawn
    first, span, mask = terms(found, kind)
    share = np.array([[data.draw(floats(-1.5, 2.5)) for _ in first] for _ in range(3)])
    values = (first + share * np.where(span > 0, span, 1)).astype(np.float32)
    wanted = (values.astype(np.float64) - first) / (span + 1e-8)
    is_constant = (span <= np.finfo(np.float32).eps * np.abs(first)) & (values == first.astype(np.float32))
    wanted = np.where(is_constant, 0, wanted)
    if kind != "normal":
        wanted = np.clip(2 * wanted - 1, -1, 1)
    for clip_unmasked in (True, False):
        as_they_are = np.clip(values, -1, 1) if clip_unmasked and kind != "normal" else values
        result = normalize(torch.from_numpy(values), found, kind, clip_unmasked)
        np.testing.assert_allclose(result.numpy(), np.where(mask, wanted, as_they_are), rtol=ROUNDING, atol=1e-12)


@given(statistics(), st.data())
def test_normalised_values_become_those_of_the_published_formula(drawn, data):
    found, kind = drawn
    first, span, mask = terms(found, kind)
    values = np.array([[data.draw(floats(-3, 3)) for _ in first] for _ in range(2)], np.float32)
    exact = values.astype(np.float64)
    share = exact if kind == "normal" else (exact + 1) / 2
    wanted = np.where(mask, share * (span + 1e-8) + first, exact)
    result = unnormalize(torch.from_numpy(values), found, kind)
    np.testing.assert_allclose(result.numpy(), wanted.astype(np.float32), rtol=2.0**-23)


@given(statistics(), st.data())
def test_actions_that_were_recorded_come_back(drawn, data):
    """Within what float32 holds of them and of their place in the range."""
    found, kind = drawn
    first, span, mask = terms(found, kind)
    share = np.array([[data.draw(floats(0, 1)) for _ in first] for _ in range(2)])
    values = np.where(mask, first + share * span, share).astype(np.float32)
    normalised = normalize(torch.from_numpy(values), found, kind, clip_unmasked=False)
    back = unnormalize(normalised, found, kind).numpy()
    assert np.abs(normalised.numpy()[:, mask]).max(initial=0) <= 1 or kind == "normal"
    scale = np.maximum(np.abs(first), np.abs(first + span))
    tolerance = np.where(mask, ROUNDING * (span + scale) + 2e-8, 0)
    assert (np.abs(back.astype(np.float64) - values) <= tolerance).all()


@given(statistics(least=2), st.permutations(range(4)), SEEDS)
def test_dimensions_do_not_know_of_each_other(drawn, order, seed):
    found, kind = drawn
    size = len(found[STATISTICS[kind][0]])
    order = [i for i in order if i < size]
    moved = {name: None if values is None else [values[i] for i in order] for name, values in found.items()}
    values = torch.from_numpy(np.random.default_rng(seed).uniform(-100, 100, (2, 3, size)))
    for function in (normalize, unnormalize):
        assert torch.equal(function(values[..., order], moved, kind), function(values, found, kind)[..., order])
        assert torch.equal(function(values[0, 0], found, kind), function(values, found, kind)[0, 0])


@given(statistics())
def test_what_is_drawn_here_is_what_a_config_takes(drawn):
    found, kind = drawn
    check_statistics({"a": {"action": found}}, kind, len(found[STATISTICS[kind][0]]))


@given(statistics(), st.sampled_from(["longer", "text", "infinite", "swapped", "mask"]), st.data())
def test_what_cannot_be_normalised_by_is_refused(drawn, fault, data):
    found, kind = drawn
    first, second = STATISTICS[kind]
    size = len(found[first])
    place = data.draw(st.integers(0, size - 1))
    if fault == "longer":
        found[second] = [*found[second], 1.0]
    elif fault == "text":
        found[first][place] = "0"
    elif fault == "infinite":
        found[second][place] = data.draw(st.sampled_from([float("inf"), float("nan"), 1e39]))
    elif fault == "swapped":
        found[second][place] = -1.0 if kind == "normal" else float(np.nextafter(found[first][place], -np.inf))
    else:
        found["mask"] = [1] * size
    with pytest.raises(ConfigError, match="norm_stats"):
        check_statistics({"a": {"action": found}}, kind, size)


@given(statistics(kind="bounds"), st.data())
def test_a_state_is_far_outside_two_lengths_of_what_was_recorded_away(drawn, data):
    found, _ = drawn
    low, high = (np.array(found[name]) for name in ("min", "max"))
    state = np.array([[data.draw(floats(-1e5, 1e5)) for _ in low] for _ in range(data.draw(st.integers(1, 3)))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named = {value.dimension: value.value for value in far_values(state, found)}
    for i in range(len(low)):
        length = high[i] - low[i] if high[i] > low[i] else max(abs(low[i]), 1)
        beyond = [max(low[i] - value, value - high[i]) / length for value in state[:, i]]
        assert (i in named) == (max(beyond) > 2)
        assert i not in named or named[i] == state[int(np.argmax(beyond)), i]
