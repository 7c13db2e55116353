"""Times, noise and the way from noise to actions: distributions by their quantiles, solvers by their order."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from drawn import SEEDS, floats, numbers
from hypothesis import given
from hypothesis import strategies as st

from vlahub.modeling.alpamayo_r1.trajectory_flow_matching import FlowMatching
from vlahub.modeling.cogvla.ddim import add_noise, ddim_step, sampling_steps, signal_levels
from vlahub.modeling.flow_matching import FlowMatchingLoss, interpolate, sample_time, sinusoidal_time_embedding
from vlahub.modeling.ode_sampling import asked_progress, integrate

SOLVERS = {"euler": 1, "midpoint": 2, "heun": 2}
SPACINGS = st.sampled_from(["uniform", "cosine"])


@given(st.sampled_from(["beta", "uniform"]), SEEDS)
def test_times_of_training_have_the_distribution_that_they_are_named_after(distribution, seed):
    """By Kolmogorov and Smirnov: the largest distance of 4000 draws from the distribution function, 1 in 10^7."""
    torch.manual_seed(seed % 2**31)
    count = 4000
    time = (np.sort(sample_time(count, distribution).double().numpy()) - 0.001) / 0.998
    assert time.min() > -1e-6 and time.max() < 1 + 1e-6
    exact = np.clip(time, 0, 1) ** (1.5 if distribution == "beta" else 1)
    steps = np.arange(count + 1) / count
    distance = max((exact - steps[:-1]).max(), (steps[1:] - exact).max())
    assert distance < math.sqrt(-math.log(1e-7 / 2) / 2 / count)


@given(st.integers(1, 3), st.integers(1, 3), st.lists(floats(0, 1), min_size=3, max_size=3), SEEDS)
def test_the_velocity_is_what_leads_from_one_time_to_another(batch, horizon, times, seed):
    actions, noise = numbers(seed, batch, horizon, 2), numbers(seed + 1, batch, horizon, 2)
    now, then = (torch.tensor(each[:batch]) for each in (times, times[::-1]))
    between = (then - now).view(-1, 1, 1) * (noise - actions)
    torch.testing.assert_close(interpolate(actions, noise, now) + between, interpolate(actions, noise, then))
    zeros = torch.zeros(batch)
    assert torch.equal(interpolate(actions, noise, zeros), actions)
    assert torch.equal(interpolate(actions, noise, zeros + 1), noise)


@given(floats(-2, 2), floats(-2, 2), floats(0.5, 3), SPACINGS, st.sampled_from(sorted(SOLVERS)), SEEDS)
def test_errors_fall_with_the_order_of_a_solver(slope, push, wave, spacing, solver, seed):
    """Of dx/dt = slope x + push cos(wave t), whose solution is known; time goes from 1 to 0."""
    noise = numbers(seed, 1, 2, 2)

    def particular(time):
        return push * (wave * math.sin(wave * time) - slope * math.cos(wave * time)) / (slope**2 + wave**2)

    exact = (noise.double() - particular(1.0)) * math.exp(-slope) + particular(0.0)

    def velocity(x, progress):
        return slope * x.double() + push * math.cos(wave * (1 - progress))

    errors = [
        (integrate(velocity, noise, steps, solver, spacing).double() - exact).abs().max().item()
        for steps in (8, 16, 32)
    ]
    order = SOLVERS[solver]
    size = 2 + noise.abs().max().item()
    assert errors[2] < size * 40 * (abs(slope) + wave + 1) ** (order + 1) * (1 / 32) ** order
    for coarse, fine in pairwise(errors):
        assert fine < coarse * (0.75 if order == 1 else 0.5) or fine < 3e-2**order * size


@given(st.integers(1, 12), SPACINGS, st.sampled_from(sorted(SOLVERS)), SEEDS)
def test_a_constant_velocity_is_followed_exactly_and_asked_where_it_was_said(steps, spacing, solver, seed):
    noise, velocity = numbers(seed, 2, 3, 2), numbers(seed + 1, 2, 3, 2)
    asked, visited = [], []
    found = integrate(lambda x, progress: asked.append(progress) or velocity, noise, steps, solver, spacing, visited)
    torch.testing.assert_close(found, noise - velocity, atol=1e-5, rtol=1e-5)
    assert asked_progress(steps, solver, spacing) == list(dict.fromkeys(asked))
    assert len(asked) == steps * SOLVERS[solver] and len(visited) == steps
    assert all(0 <= progress <= 1 for progress in asked) and asked == sorted(asked)
    starts = asked if solver == "euler" else asked[::2]
    if spacing == "uniform":
        assert starts == [float(Fraction(i, steps)) for i in range(steps)]


@given(st.integers(1, 4), st.integers(1, 6), st.booleans(), st.booleans(), SEEDS)
def test_an_error_of_a_velocity_is_a_mean_by_the_weights(batch, horizon, weighted, masked, seed):
    generator = np.random.default_rng(seed)
    velocity, target = numbers(seed, batch, horizon, 2), numbers(seed + 1, batch, horizon, 2)
    weight = torch.from_numpy(generator.uniform(0.1, 5, batch)).float() if weighted else None
    learnt = torch.from_numpy(generator.random((batch, horizon)) < 0.6) if masked else None
    found = FlowMatchingLoss()(velocity, target, weight, learnt)
    errors = (velocity.double() - target.double()).square().mean(dim=2).numpy()
    weights = np.ones((batch, horizon))
    weights = weights if weight is None else weights * weight.double().numpy()[:, None]
    weights = weights if learnt is None else weights * learnt.numpy()
    wanted = (errors * weights).sum() / weights.sum() if weights.any() else 0.0
    assert found.item() == pytest.approx(wanted, rel=1e-5, abs=1e-7)


@given(st.lists(floats(0, 1), min_size=1, max_size=4), st.integers(1, 16), floats(1e-3, 0.1), floats(1, 10))
def test_a_time_is_sines_and_cosines_of_periods_in_equal_ratios(times, half, shortest, longest):
    found = sinusoidal_time_embedding(torch.tensor(times), 2 * half, shortest, longest).double().numpy()
    shares = np.linspace(0, 1, half)
    angles = 2 * np.pi * np.array(times)[:, None] / (shortest * (longest / shortest) ** shares)
    np.testing.assert_allclose(found, np.concatenate([np.sin(angles), np.cos(angles)], axis=1), atol=6e-3)


@given(st.integers(2, 100), st.data(), SEEDS)
def test_a_sampler_that_knows_the_noise_finds_the_clean_sample(num_steps, data, seed):
    """DDIM, from any number of steps: x0 = (x_t - sqrt(1 - level) noise) / sqrt(level)."""
    taken = data.draw(st.integers(1, num_steps))
    levels = signal_levels(num_steps)
    assert all(a > b for a, b in pairwise(levels)) and 0 < levels[-1] < levels[0] < 1
    steps = sampling_steps(num_steps, taken)
    stride = num_steps // taken
    assert list(steps) == [i * stride for i in range(taken)][::-1]
    clean, noise = numbers(seed, 2, 3).clamp(-0.9, 0.9), numbers(seed + 1, 2, 3)
    sample = add_noise(clean, noise, torch.tensor([steps[0]] * 2), levels).double()
    level = levels[steps[0]]
    wanted = math.sqrt(level) * clean.double() + math.sqrt(1 - level) * noise.double()
    torch.testing.assert_close(sample, wanted, atol=1e-6, rtol=1e-5)
    for step in steps:
        rest = (wanted if step == steps[0] else sample) - math.sqrt(levels[step]) * clean.double()
        sample = ddim_step(
            wanted if step == steps[0] else sample, rest / math.sqrt(1 - levels[step]), levels, step, stride
        )
    torch.testing.assert_close(sample.double(), clean.double(), atol=5e-4, rtol=5e-4)


@given(SEEDS, st.integers(1, 3), st.integers(1, 8))
def test_a_trajectory_is_the_end_of_the_line_that_its_flow_draws(seed, batch, steps):
    """Alpamayo's time goes from 0 (noise) to 1."""
    noise, end = numbers(seed, batch, 4, 2), numbers(seed + 1, batch, 4, 2)
    flow = FlowMatching(x_dims=[4, 2], num_inference_steps=steps)
    found = flow.sample(batch, lambda x, t: (end - x.float()) / (1 - t), torch.device("cpu"), noise=noise)
    torch.testing.assert_close(found, end, atol=1e-4, rtol=1e-4)
