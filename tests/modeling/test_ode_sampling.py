"""The steps from noise to actions: orders of convergence, spacing, what they cost, and every model that takes them."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from model_variants import VARIANTS
from tiny_configs import composed_config

import vlahub
from vlahub.errors import ConfigError, InputError
from vlahub.modeling.alpamayo_r1.trajectory_flow_matching import FlowMatching
from vlahub.modeling.ode_sampling import OdeSampling, asked_progress, chosen_sampling, integrate, times_at

NOISE = torch.linspace(-2, 2, 12).view(2, 3, 2)
PAIRS = [(solver, spacing) for solver in ("euler", "midpoint", "heun") for spacing in ("uniform", "cosine")]
COST = {"euler": 1, "midpoint": 2, "heun": 2}


def naive(velocity, noise, steps, solver, spacing):
    """As the textbook writes it, in numpy's float64; `velocity(x, time)`, time from 1 to 0."""
    times = 1 - np.linspace(0, 1, steps + 1) if spacing == "uniform" else np.cos(np.linspace(0, np.pi / 2, steps + 1))
    x = noise.double()
    for now, then in pairwise(times):
        h = then - now
        k = velocity(x, now)
        if solver == "midpoint":
            k = velocity(x + h / 2 * k, now + h / 2)
        if solver == "heun":
            k = (k + velocity(x + h * k, then)) / 2
        x = x + h * k
    return x


@pytest.mark.parametrize(("solver", "spacing"), PAIRS)
def test_steps_are_those_of_the_textbook_and_their_error_falls_with_the_order_of_the_solver(solver, spacing):
    def velocity(x, time):
        return 3 * x + math.cos(2 * time)

    errors = {}
    exact = naive(velocity, NOISE, 20_000, "midpoint", "uniform")
    for steps in (8, 16, 32):
        asked = []

        def seen(x, progress, asked=asked):
            asked.append(progress)
            assert x.dtype == torch.float32
            return velocity(x.double(), 1 - progress)

        found = integrate(seen, NOISE, steps, solver, spacing)
        torch.testing.assert_close(found.double(), naive(velocity, NOISE, steps, solver, spacing), atol=1e-5, rtol=1e-5)
        assert found.dtype == torch.float32 and len(asked) == steps * COST[solver]
        assert asked[0] == 0 and max(asked) <= 1
        errors[steps] = (found.double() - exact).abs().max().item()
    order = math.log2(errors[16] / errors[32])
    assert order == pytest.approx(COST[solver], abs=0.25)


@pytest.mark.parametrize(("solver", "spacing"), PAIRS)
def test_where_a_velocity_will_be_asked_is_known_before(solver, spacing):
    asked = []
    integrate(lambda x, progress: asked.append(progress) or x, NOISE, 4, solver, spacing)
    places = asked_progress(4, solver, spacing)
    assert places == list(dict.fromkeys(asked))
    assert torch.equal(times_at(places, "cpu"), torch.tensor([1 - place for place in places]))


def test_one_euler_step_after_another_is_what_it_was():
    x = NOISE
    for step in range(7):
        x = x - torch.tanh(x * (1 - step / 7)) / 7
    assert torch.equal(integrate(lambda x, progress: torch.tanh(x * (1 - progress)), NOISE, 7), x)


def test_a_call_says_more_than_the_defaults_and_unknown_choices_are_refused():
    defaults = OdeSampling(4, "heun", "cosine")
    assert chosen_sampling(defaults) == defaults
    assert chosen_sampling(defaults, 6, ode_spacing="uniform") == (6, "heun", "uniform")
    assert chosen_sampling(defaults, num_steps=2, ode_solver="euler") == (2, "euler", "cosine")
    with pytest.raises(InputError, match="ode_solver='rk4' is unknown; choose from euler, midpoint, heun"):
        chosen_sampling(defaults, ode_solver="rk4")
    with pytest.raises(InputError, match="ode_spacing='log'"):
        chosen_sampling(defaults, ode_spacing="log")
    with pytest.raises(InputError, match="num_steps=0"):
        chosen_sampling(defaults, num_steps=0)


# ---- the models


@pytest.mark.parametrize("kind", ["deep_fusion", "dit", "deep_fusion+dit"])
def test_llava3d_follows_its_config_or_the_call(llava3d, kind, tmp_path):
    statistics = {"a": {"action": {"q01": [-1.0] * 7, "q99": [2.0] * 7}}}
    model, batch = llava3d(action_expert_type=kind, norm_stats=statistics, num_inference_steps=3)
    inputs = {name: batch[name] for name in ("input_ids", "pixel_values")} | {"noise": torch.randn(2, 4, 7)}
    head, expert = model.dit_action_head, model.action_expert
    counted = count_calls(expert.action_out_proj if head is None else head.action_decoder)
    plain = model.predict_action(**inputs)
    assert torch.equal(model.predict_action(**inputs, ode_solver="euler", ode_spacing="uniform"), plain)
    found = {pair: model.predict_action(**inputs, ode_solver=pair[0], ode_spacing=pair[1]) for pair in PAIRS}
    assert counted == [3 * sum([1, 1, *(COST[solver] for solver, _ in PAIRS)])]
    assert len({tuple(each.flatten().tolist()) for each in found.values()}) == len(PAIRS)
    model.config.ode_solver, model.config.ode_spacing = "heun", "cosine"
    assert torch.equal(model.predict_action(**inputs), found["heun", "cosine"])
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert torch.equal(again.predict_action(**inputs), found["heun", "cosine"])


def count_calls(module):
    counted = [0]
    module.register_forward_hook(lambda *_: counted.__setitem__(0, counted[0] + 1))
    return counted


def test_a_composed_flow_head_follows_them_and_other_heads_refuse_them():
    torch.manual_seed(0)
    model = vlahub.MultimodalVLAForActionPrediction(composed_config(action_head="flow", ode_solver="midpoint")).eval()
    inputs = {
        "input_ids": torch.randint(3, 90, (2, 5)),
        "pixel_values": torch.randn(2, 1, 3, 28, 28),
        "state": torch.randn(2, 4),
        "noise": torch.randn(2, 4, 3),
    }
    counted = count_calls(model.action_head.action_out_proj)
    found = model.predict_action(**inputs)
    assert counted == [6]
    assert torch.equal(model.predict_action(**inputs, ode_solver="midpoint"), found)
    assert not torch.equal(model.predict_action(**inputs, ode_solver="euler"), found)
    model.config.action_head, model.action_head = "mlp", None
    with pytest.raises(InputError, match="ode_solver='heun' was given, but action_head='mlp'"):
        model.predict_action(**inputs, ode_solver="heun")


@pytest.mark.parametrize(
    ("field", "value"), [("num_inference_steps", 1), ("ode_solver", "heun"), ("ode_spacing", "cosine")]
)
def test_alpamayo_follows_its_config_or_the_call(field, value):
    variant = VARIANTS["alpamayo-r1"]
    model, inputs = variant.model(), variant.prediction()

    def actions(**asked):
        options = {"num_traj_samples": 1, "top_k": 1, "max_new_tokens": 2}
        return model.sample_trajectories(**inputs, **options, **asked).actions

    asked = actions(**{field: value})
    assert not torch.equal(actions(), asked)
    setattr(model.config, field, value)
    assert torch.equal(actions(), asked)


@pytest.mark.parametrize(("solver", "spacing"), PAIRS)
def test_alpamayos_sampler_takes_the_same_steps_with_its_own_time(solver, spacing):
    flow = FlowMatching((3, 2), ode_solver=solver, ode_spacing=spacing)
    states, times = flow.sample(2, lambda x, t: t - x, return_all_steps=True, noise=NOISE, inference_step=5)
    wanted = naive(lambda x, time: x - (1 - time), NOISE, 5, solver, spacing)
    torch.testing.assert_close(states[:, -1].double(), wanted, atol=1e-5, rtol=1e-5)
    assert states.shape == (2, 6, 3, 2) and torch.equal(states[:, 0], NOISE)
    ends = np.linspace(0, 1, 6)
    ends = ends if spacing == "uniform" else 1 - np.cos(ends * np.pi / 2)
    torch.testing.assert_close(times, torch.from_numpy(ends).float())
    told = FlowMatching((3, 2)).sample(2, lambda x, t: t - x, noise=NOISE, inference_step=5, ode_solver=solver,
                                       ode_spacing=spacing)  # fmt: skip
    assert torch.equal(told, states[:, -1])


def test_alpamayos_config_reads_the_published_method_and_its_own_words():
    published = {"_target_": "alpamayo_r1.diffusion.flow_matching.FlowMatching", "int_method": "euler"}
    config = vlahub.AlpamayoR1Config(diffusion_cfg=published, num_inference_steps=4)
    assert (config.ode_solver, config.ode_spacing) == ("euler", "uniform")
    config = vlahub.AlpamayoR1Config(diffusion_cfg=published, ode_solver="heun", ode_spacing="cosine")
    again = vlahub.AlpamayoR1Config.from_dict(config.to_dict())
    assert (again.ode_solver, again.ode_spacing) == ("heun", "cosine")
    assert again.diffusion_cfg == {"int_method": "euler", "ode_solver": "heun", "ode_spacing": "cosine"}
    with pytest.raises(ConfigError, match="int_method='rk4' is unknown"):
        vlahub.AlpamayoR1Config(diffusion_cfg={"int_method": "rk4"})


@pytest.mark.parametrize("kind", ["MapAnythingLlava3DConfig", "DiTActionHeadConfig", "MultimodalVLAConfig"])
def test_configs_refuse_unknown_choices(kind):
    for field, value in (("ode_solver", "rk4"), ("ode_spacing", "log")):
        with pytest.raises(ConfigError, match=f"{field}='{value}' is unknown; choose from"):
            getattr(vlahub, kind)(**{field: value})
