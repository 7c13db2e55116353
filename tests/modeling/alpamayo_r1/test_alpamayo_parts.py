"""Action projection, flow matching and metrics of Alpamayo-R1: the published numbers, precision, refusals."""

import math

import pytest
import torch

from vlahub.errors import ConfigError, InputError
from vlahub.modeling.alpamayo_r1.trajectory_flow_matching import FlowMatching, training_times
from vlahub.modeling.alpamayo_r1.trajectory_metrics import minADE, minFDE
from vlahub.modeling.alpamayo_r1.waypoint_projection import PerWaypointActionInProjV2, fourier_features, frequencies


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---- projection


@pytest.fixture
def projection(golden):
    case = golden("alpamayo/action_in_proj")
    module = PerWaypointActionInProjV2(**case.config)
    module.load_state_dict(case.state())  # the published keys, frequencies included
    return case, module


def test_noisy_actions_have_the_published_features(projection):
    case, module = projection
    case.check("features", module(case.input("x"), case.input("t")))
    case.check("features_t0", module(case.input("x"), torch.zeros(1, 1, 1)))
    case.check("fourier_x", fourier_features(case.input("x")[..., 0], 20, 100.0))
    assert not [key for key in module.state_dict() if "freqs" in key]


def test_times_of_samples_and_of_waypoints_broadcast(projection):
    case, module = projection
    x, t = case.input("x"), case.input("t")
    torch.testing.assert_close(module(x, t.expand(3, 64, 1)), module(x, t))
    torch.testing.assert_close(module(x, torch.tensor(0.25)), module(x, torch.full((3, 1, 1), 0.25)))


def test_phases_stay_float32_under_bfloat16_weights(projection):
    case, module = projection
    x, t = case.input("x"), case.input("t")
    exact = module(x, t)
    found = module.to(torch.bfloat16)(x, t)
    assert found.dtype == torch.bfloat16
    assert (found.float() - exact).abs().max() < 0.1  # with rounded frequencies 1.7, with rounded actions 2.7
    assert fourier_features(x, 20, 100.0).dtype == torch.float32


def test_a_projection_built_on_the_meta_device_loses_nothing(projection):
    case, module = projection
    with torch.device("meta"):
        empty = PerWaypointActionInProjV2(**case.config)
    empty = empty.to_empty(device="cpu")
    empty.load_state_dict(module.state_dict())
    assert torch.equal(empty(case.input("x"), case.input("t")), module(case.input("x"), case.input("t")))


def test_features_have_mean_square_one_and_frequencies_equal_ratios():
    features = fourier_features(numbers(50), 8, 10.0)
    torch.testing.assert_close(features.square().mean(-1), torch.ones(50))
    torch.testing.assert_close(frequencies(8, 1000.0, "cpu"), torch.tensor([1.0, 10.0, 100.0, 1000.0]))
    torch.testing.assert_close(
        fourier_features(torch.tensor([0.25]), 2, 1.0), math.sqrt(2) * torch.tensor([[1.0, 0.0]]), atol=1e-6, rtol=0
    )


def test_rounded_frequencies_are_accepted_and_others_refused_by_name(projection):
    case, module = projection
    state = case.state()
    name = "timestep_fourier_encoder.freqs"
    module.load_state_dict({**state, name: state[name].bfloat16()})
    with pytest.raises(ConfigError, match=r"timestep_fourier_encoder\.freqs is"):
        module.load_state_dict({**state, name: state[name] * 1.1})
    with pytest.raises(ConfigError, match=r"sinus\.1\.freqs is"):
        module.load_state_dict({**state, "sinus.1.freqs": state["sinus.1.freqs"][:, :5]})
    with pytest.raises(RuntimeError, match=r"sinus\.2\.freqs"):
        module.load_state_dict({**state, "sinus.2.freqs": state["sinus.1.freqs"]})


def test_projections_that_cannot_work_are_refused(projection):
    for odd_or_none in (7, 0):
        with pytest.raises(ConfigError, match=f"num_fourier_feats={odd_or_none}"):
            PerWaypointActionInProjV2([64, 2], 8, num_fourier_feats=odd_or_none)
    with pytest.raises(ConfigError, match=r"max_freq=0\.5"):
        PerWaypointActionInProjV2([64, 2], 8, max_freq=0.5)
    with pytest.raises(ConfigError, match=r"num_enc_layers=0 must be 1 or more"):
        PerWaypointActionInProjV2([64, 2], 8, num_enc_layers=0)
    for shape in ((3, 64, 3), (64, 2), (1, 3, 64, 2)):
        with pytest.raises(InputError, match=r"x has shape .*; \(batch, waypoints, 2\)"):
            projection[1](torch.zeros(shape), torch.zeros(3, 1, 1))


def test_norms_of_a_projection_divide_as_published(projection):
    """By the root of the mean square and 1e-5: of what is small, nearly nothing is left."""
    for norm in (each for each in projection[1].encoder.modules() if isinstance(each, torch.nn.RMSNorm)):
        small = torch.full((1, norm.weight.shape[0]), 1e-3)
        torch.testing.assert_close(norm(small), norm.weight[None] * 1e-3 / (1e-6 + 1e-5) ** 0.5)


# ---- flow matching


def test_noise_flows_to_the_published_samples(golden):
    case = golden("alpamayo/flow_matching")
    flow = FlowMatching(**case.config)
    matrix, offset, slope = (case.input(name) for name in ("A", "b", "w"))

    def velocity(x, t):
        return x @ matrix.T + t * slope + offset

    noise = case.input("noise")
    case.check("sample", flow.sample(3, velocity, noise=noise))
    case.check("sample_3_steps", flow.sample(3, velocity, noise=noise, inference_step=3))
    steps, times = flow.sample(3, velocity, noise=noise, return_all_steps=True)
    case.check("all_steps", steps)
    case.check("time_steps", times)
    assert torch.equal(steps[:, 0], noise) and torch.equal(steps[:, -1], flow.sample(3, velocity, noise=noise))


@pytest.mark.parametrize("sampler", ["beta", "uniform"])
def test_training_batches_are_the_published_ones(golden, sampler):
    case = golden("alpamayo/flow_matching")
    flow = FlowMatching(**case.config, train_timestep_sampler=sampler)
    times = training_times(case.input(f"{sampler}_draw"), sampler)
    data = flow.construct_training_data(case.input("x"), case.input("train_noise"), times)
    case.check(f"{sampler}.timesteps", data["timesteps"])
    case.check(f"{sampler}.noisy_x", data["noisy_x"])
    loss = flow.compute_loss_from_pred(data, torch.zeros_like(data["x"]))
    case.check(f"{sampler}.loss_of_zero_pred", loss)
    assert flow.compute_loss_from_pred(data, (data["x"] - data["noise"])) == 0


@pytest.mark.parametrize(("sampler", "share_below_half"), [("beta", 1 - (1 - 0.5 / 0.999) ** 1.5), ("uniform", 0.5)])
def test_drawn_times_follow_their_distribution(sampler, share_below_half):
    torch.manual_seed(0)
    data = FlowMatching((1, 1), train_timestep_sampler=sampler).construct_training_data(torch.zeros(20000, 1, 1))
    times = data["timesteps"]
    assert times.min() >= 0 and times.max() < 1 and times.dtype == torch.float32
    assert (times < 0.5).float().mean().item() == pytest.approx(share_below_half, abs=0.01)
    torch.testing.assert_close(data["noisy_x"], (1 - times) * data["noise"])


def test_the_velocity_of_a_straight_line_leads_to_the_data_in_any_number_of_steps():
    data, noise = numbers(2, 4, 2), numbers(2, 4, 2, seed=1)
    flow = FlowMatching([4, 2])
    for steps in (1, 7):
        found = flow.sample(2, lambda x, t: data - noise, noise=noise, inference_step=steps)
        torch.testing.assert_close(found, data, atol=1e-5, rtol=0)


def test_state_and_time_are_float32_whatever_the_network_is():
    seen = []

    def velocity(x, t):
        seen.append((x.dtype, t.dtype, tuple(t.shape), t[0].item()))
        return x.bfloat16()

    found = FlowMatching((4, 2), num_inference_steps=2).sample(3, velocity, noise=numbers(3, 4, 2).bfloat16())
    assert found.dtype == torch.float32
    assert seen == [(torch.float32, torch.float32, (3, 1, 1), 0.0), (torch.float32, torch.float32, (3, 1, 1), 0.5)]
    data = FlowMatching((4, 2)).construct_training_data(numbers(3, 4, 2).bfloat16())
    assert {tensor.dtype for tensor in data.values()} == {torch.float32}


def test_a_generator_makes_a_sample_that_can_be_repeated():
    flow = FlowMatching((4, 2))
    first, again, other = (
        flow.sample(2, lambda x, t: -x, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.testing.assert_close(first, 0.9**10 * numbers(2, 4, 2, seed=1))


def test_misspelt_and_unknown_options_are_refused():
    flow = FlowMatching((4, 2))
    with pytest.raises(TypeError, match="inference_steps"):
        flow.sample(2, lambda x, t: x, inference_steps=3)
    with pytest.raises(TypeError, match="num_steps"):
        FlowMatching((4, 2), num_steps=3)
    with pytest.raises(ConfigError, match="int_method='heun'"):
        FlowMatching((4, 2), int_method="heun")
    with pytest.raises(ConfigError, match="train_timestep_sampler='normal'"):
        FlowMatching((4, 2), train_timestep_sampler="normal")
    for steps in (0, -1, 2.5):
        with pytest.raises(InputError, match=f"{steps}"):
            flow.sample(2, lambda x, t: x, inference_step=steps)
    with pytest.raises(InputError, match=r"noise has shape \(2, 4, 3\)"):
        flow.sample(2, lambda x, t: x, noise=torch.zeros(2, 4, 3))
    with pytest.raises(InputError, match=r"x has shape \(2, 3, 2\)"):
        flow.construct_training_data(torch.zeros(2, 3, 2))
    with pytest.raises(InputError, match=r"timesteps has shape \(3,\)"):
        flow.construct_training_data(torch.zeros(2, 4, 2), timesteps=torch.zeros(3))


@pytest.mark.parametrize(("weight", "asked"), [(1, ["guided"]), (0, ["unguided"]), (0.5, ["guided", "unguided"])])
def test_only_the_velocities_that_weigh_something_are_asked(weight, asked):
    seen = []

    def velocity(name):
        return lambda x, t: seen.append(name) or torch.zeros_like(x)

    given = {"unguided_step_fn": velocity("unguided"), "inference_guidance_weight": weight, "inference_step": 1}
    FlowMatching((4, 2), use_classifier_free_guidance=True).sample(1, velocity("guided"), **given)
    assert seen == asked


def test_guidance_without_an_unguided_velocity_is_refused_and_noise_may_be_cold():
    flow = FlowMatching((4, 2))
    with pytest.raises(InputError, match="guidance needs unguided_step_fn"):
        flow.sample(1, lambda x, t: x, use_classifier_free_guidance=True, inference_guidance_weight=1.5)
    assert not flow.sample(1, lambda x, t: x, temperature=0.0).any()


# ---- metrics


def test_metrics_agree_with_a_loop_over_sets_and_samples():
    pred, truth = numbers(2, 3, 4, 10, 3), numbers(2, 10, 3, seed=1)
    for only_xy, size in ((True, 2), (False, 3)):
        for horizon in (None, 4, 10):
            average, final = torch.zeros(2), torch.zeros(2)
            for row in range(2):
                for group in pred[row]:
                    errors = [(sample - truth[row])[:, :size].square().sum(-1).sqrt() for sample in group]
                    best = min(errors, key=lambda error: error.mean())
                    average[row] += best[:horizon].mean() / 3
                    final[row] += min(error[(horizon or 10) - 1] for error in errors) / 3
            torch.testing.assert_close(minADE(pred, truth, horizon, only_xy), average)
            torch.testing.assert_close(minFDE(pred, truth, horizon, only_xy), final)


def test_the_best_sample_counts_and_the_height_does_not():
    truth = torch.stack([torch.arange(1, 65.0), torch.zeros(64), torch.zeros(64)], dim=-1)[None]
    pred = truth[:, None, None] + torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.5, 9.0]])[None, None, :, None]
    assert minADE(pred, truth).item() == pytest.approx(0.5) and minFDE(pred, truth).item() == pytest.approx(0.5)
    assert minADE(pred, truth, only_xy=False).item() == pytest.approx(5)
    assert minADE(pred[:, :, :1].bfloat16(), truth).dtype == torch.float32


def test_the_best_sample_is_the_best_over_the_whole_trajectory_at_every_horizon():
    truth = torch.zeros(1, 4, 3)
    pred = torch.zeros(1, 1, 2, 4, 3)
    pred[0, 0, 0, :, 0] = torch.tensor([0.0, 0.0, 8.0, 8.0])
    pred[0, 0, 1, :, 0] = torch.tensor([1.0, 1.0, 1.0, 1.0])
    assert minADE(pred, truth, timestep_horizon=2).item() == 1
    assert minFDE(pred, truth, timestep_horizon=2).item() == 0 and minFDE(pred, truth).item() == 1


def test_shapes_that_would_broadcast_by_chance_are_refused():
    with pytest.raises(InputError, match=r"gt_xyz \(1, 1, 64, 3\)"):
        minADE(torch.zeros(1, 1, 2, 64, 3), torch.zeros(1, 1, 64, 3))
    with pytest.raises(InputError, match=r"gt_xyz \(1, 64, 3\)"):
        minFDE(torch.zeros(2, 1, 2, 64, 3), torch.zeros(1, 64, 3))
    for horizon in (0, 65):
        with pytest.raises(InputError, match=f"timestep_horizon={horizon}"):
            minFDE(torch.zeros(1, 1, 2, 64, 3), torch.zeros(1, 64, 3), timestep_horizon=horizon)
