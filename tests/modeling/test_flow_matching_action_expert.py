"""Flow matching and its action expert: arithmetic, sampling, what is computed once, what is refused."""

import math

import pytest
import torch
from joint_attention import build_joint_attention_inputs
from torch import nn
from transformers import LlamaConfig, LlamaModel

from vlahub.errors import ConfigError, InputError
from vlahub.modeling.embodiments import EmbodimentLinear
from vlahub.modeling.flow_matching import (
    FlowMatchingLoss,
    integrate,
    interpolate,
    sample_time,
    sinusoidal_time_embedding,
)
from vlahub.modeling.flow_matching_action_expert import FlowMatchingActionExpert
from vlahub.modeling.mapanything_llava3d.llava3d_with_action_expert import LLaVA3DWithActionExpertModel
from vlahub.modeling.stack_passes import PrefixCache

BATCH, PREFIX, HORIZON, DIM, STATE = 3, 5, 4, 7, 6
PADDING = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [1, 0, 1, 1, 0]])
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


PREFIX_EMBS, ACTIONS, NOISE = numbers(BATCH, PREFIX, 32), numbers(BATCH, HORIZON, DIM, seed=1), numbers(3, 4, 7, seed=2)
STATES, TIME = numbers(BATCH, STATE, seed=3), torch.tensor([0.1, 0.5, 0.9])


@pytest.fixture
def make(randomized):
    """`make(**options) -> (expert, modules of network and expert)`."""

    def build(**options):
        sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
        base = LlamaModel(LlamaConfig(hidden_size=32, intermediate_size=40, vocab_size=4, **sizes))
        network = LLaVA3DWithActionExpertModel(
            randomized(base), LlamaConfig(hidden_size=24, intermediate_size=40, vocab_size=4, **sizes)
        )
        if options.get("use_state", True):
            options = {"use_state": True, "state_dim": STATE, **options}
        expert = FlowMatchingActionExpert(randomized(network, 1), DIM, HORIZON, **options)
        return randomized(expert, 2).eval(), nn.ModuleList([base.eval(), network.eval(), expert])

    return build


# ---- arithmetic


@pytest.mark.parametrize(("distribution", "power"), [("beta", 1.5), ("uniform", 1.0)])
def test_times_follow_their_distribution_inside_the_margins(distribution, power):
    torch.manual_seed(0)
    time = sample_time(40000, distribution)
    assert time.dtype == torch.float32 and time.shape == (40000,)
    assert time.min() >= 0.001 and time.max() <= 0.999
    unscaled = ((time - 0.001) / 0.998).sort().values
    for share in (0.1, 0.3, 0.5, 0.9):
        assert (unscaled < share).float().mean().item() == pytest.approx(share**power, abs=0.01)


def test_time_one_is_noise_and_time_zero_the_actions():
    torch.testing.assert_close(interpolate(ACTIONS, NOISE, torch.ones(BATCH)), NOISE)
    torch.testing.assert_close(interpolate(ACTIONS, NOISE, torch.zeros(BATCH)), ACTIONS)
    middle = interpolate(ACTIONS.bfloat16(), NOISE, torch.full((BATCH,), 0.5, dtype=torch.float64))
    assert middle.dtype == torch.float32
    torch.testing.assert_close(middle, (ACTIONS.bfloat16().float() + NOISE) / 2)


def test_the_velocity_of_a_straight_line_is_learnt_without_loss_and_leads_to_the_actions_in_any_number_of_steps():
    velocity = NOISE - ACTIONS
    assert FlowMatchingLoss()(velocity, NOISE - ACTIONS) == 0
    for steps in (1, 3, 10):
        torch.testing.assert_close(integrate(lambda x, t: velocity, NOISE, steps), ACTIONS, **CLOSE)


def test_the_velocity_is_asked_at_evenly_spaced_progress_from_the_noise_on():
    asked = []
    integrate(lambda x, progress: asked.append((progress, x.clone())) or torch.ones_like(x), NOISE, 4)
    assert [progress for progress, _ in asked] == [0, 0.25, 0.5, 0.75]
    for progress, x in asked:
        torch.testing.assert_close(x, NOISE - progress)


def test_weights_are_relative_and_average_the_errors_of_the_samples():
    errors = (ACTIONS - NOISE).square().mean(dim=(1, 2))
    weight = torch.tensor([0.9, 0.5, 0.1])
    zero = torch.zeros_like(ACTIONS)
    wanted = (errors * weight).sum() / weight.sum()
    torch.testing.assert_close(FlowMatchingLoss()(zero, NOISE - ACTIONS, weight), wanted)
    torch.testing.assert_close(FlowMatchingLoss()(zero, NOISE - ACTIONS, weight * 7), wanted)
    torch.testing.assert_close(FlowMatchingLoss()(zero, NOISE - ACTIONS), errors.mean())


def test_the_time_embedding_holds_sines_and_cosines_of_geometric_periods():
    found = sinusoidal_time_embedding(TIME, 6, 0.004, 4.0)
    periods = [0.004, math.sqrt(0.004 * 4.0), 4.0]
    waves = [[f(2 * math.pi * t / p) for f in (math.sin, math.cos) for p in periods] for t in TIME.tolist()]
    torch.testing.assert_close(found, torch.tensor(waves), atol=5e-4, rtol=0)  # float32 angles of up to 1400
    assert sinusoidal_time_embedding(TIME.bfloat16(), 6, 0.004, 4.0).dtype == torch.float32


# ---- the expert


def test_padding_alone_and_a_joint_mask_give_the_same_loss_and_samples(make):
    expert, _ = make()
    joint, positions, _ = build_joint_attention_inputs(PREFIX_EMBS, HORIZON + 2, PADDING)
    known = {"time": TIME, "noise": NOISE}
    loss = expert.compute_loss(PREFIX_EMBS, ACTIONS, STATES, PADDING, **known)
    torch.testing.assert_close(expert.compute_loss(PREFIX_EMBS, ACTIONS, STATES, joint, positions, **known), loss)
    samples = expert.sample_actions(PREFIX_EMBS, STATES, 3, PADDING, noise=NOISE)
    jointly = expert.sample_actions(PREFIX_EMBS, STATES, 3, joint, positions, noise=NOISE)
    torch.testing.assert_close(jointly, samples, **CLOSE)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("padding", [None, PADDING])
def test_samples_of_a_prompt_are_those_of_each_noise_alone_over_keys_that_lie_in_memory_once(
    make, monkeypatch, padding, implementation
):
    expert, modules = make()
    for stack in (modules[0], modules[1].expert):
        stack.config._attn_implementation = implementation
    noise = numbers(BATCH, 5, HORIZON, DIM, seed=8)
    wanted = [expert.sample_actions(PREFIX_EMBS, STATES, 3, padding, noise=each) for each in noise.unbind(1)]
    seen, extended = [], PrefixCache.extended

    def spy(*args):
        seen.append(extended(*args)[0].shape)
        return extended(*args)

    monkeypatch.setattr(PrefixCache, "extended", spy)
    found = expert.sample_actions(PREFIX_EMBS, STATES, 3, padding, noise=noise, num_samples=5)
    torch.testing.assert_close(found, torch.stack(wanted, dim=1), **CLOSE)
    assert set(seen) == {(BATCH, 2, PREFIX + 5 * (HORIZON + 2), 8)}


def test_samples_under_a_mask_and_positions_of_the_callers_are_those_of_padding(make):
    expert, _ = make()
    joint, positions, _ = build_joint_attention_inputs(PREFIX_EMBS, HORIZON + 2, PADDING)
    known = {"noise": numbers(BATCH, 2, HORIZON, DIM, seed=8), "num_samples": 2}
    wanted = expert.sample_actions(PREFIX_EMBS, STATES, 3, PADDING, **known)
    found = expert.sample_actions(PREFIX_EMBS, STATES, 3, joint, positions, **known)
    torch.testing.assert_close(found, wanted, **CLOSE)


@pytest.mark.parametrize("given", ["mask", "positions"])
def test_samples_under_a_mask_or_positions_alone_are_those_of_each_noise(make, given):
    expert, _ = make()
    joint, positions, _ = build_joint_attention_inputs(PREFIX_EMBS, HORIZON + 2, PADDING)
    more = (joint, None) if given == "mask" else (None, positions)
    noise = numbers(BATCH, 2, HORIZON, DIM, seed=8)
    wanted = [expert.sample_actions(PREFIX_EMBS, STATES, 3, *more, noise=each) for each in noise.unbind(1)]
    found = expert.sample_actions(PREFIX_EMBS, STATES, 3, *more, noise=noise, num_samples=2)
    torch.testing.assert_close(found, torch.stack(wanted, dim=1), **CLOSE)


def test_each_embodiment_has_its_own_encoders_and_decoder(make):
    expert, _ = make(num_embodiments=3)
    ids = torch.tensor([2, 0, 1])
    noise = numbers(BATCH, 2, HORIZON, DIM, seed=8)
    found = expert.sample_actions(PREFIX_EMBS, STATES, 3, noise=noise, num_samples=2, embodiment_id=ids)
    own = [name for name, module in expert.named_modules() if isinstance(module, EmbodimentLinear)]
    assert {name.split(".")[0] for name in own} == {"state_proj", "action_in_proj", "action_out_proj"}
    for row, index in enumerate(ids.tolist()):
        plain, _ = make()
        weights = {
            name: value[index] if name.rpartition(".")[0] in own else value
            for name, value in expert.state_dict().items()
        }
        plain.load_state_dict(weights)
        wanted = plain.sample_actions(PREFIX_EMBS, STATES, 3, noise=noise, num_samples=2)
        torch.testing.assert_close(found[row], wanted[row], **CLOSE)


def test_a_negative_embodiment_has_no_weights_where_ids_are_not_looked_at():
    """As on an accelerator: as an index it would be that of the last robot."""
    layer = EmbodimentLinear(3, DIM, HORIZON)
    found = layer(numbers(BATCH, PREFIX, DIM), torch.tensor([2, -1, 0]))
    assert found[1].isnan().all() and found[[0, 2]].isfinite().all()


@pytest.mark.parametrize("use_state", [True, False])
def test_samples_are_the_euler_steps_of_joint_passes(make, use_state):
    expert, _ = make(use_state=use_state)
    states = STATES if use_state else None
    joint, positions, _ = build_joint_attention_inputs(PREFIX_EMBS, HORIZON + 1 + use_state, PADDING)
    x = NOISE
    with torch.no_grad():
        for step in range(5):
            suffix = expert.embed_suffix(x, torch.full((BATCH,), 1 - step / 5), states)
            (_, output), _ = expert.llava_with_expert(joint, positions, inputs_embeds=[PREFIX_EMBS, suffix])
            x = x - expert.action_out_proj(output[:, use_state : use_state + HORIZON]) / 5
    found = expert.sample_actions(PREFIX_EMBS, states, 5, PADDING, noise=NOISE)
    torch.testing.assert_close(found, x, **CLOSE)


@pytest.mark.parametrize("weighted", [True, False])
def test_the_loss_is_that_of_one_joint_pass_at_the_given_time(make, weighted):
    expert, _ = make(use_time_weight=weighted)
    noisy = TIME[:, None, None] * NOISE + (1 - TIME[:, None, None]) * ACTIONS
    suffix = expert.embed_suffix(noisy, TIME, STATES)
    joint, positions, _ = build_joint_attention_inputs(PREFIX_EMBS, HORIZON + 2, PADDING)
    (_, output), _ = expert.llava_with_expert(joint, positions, inputs_embeds=[PREFIX_EMBS, suffix])
    errors = (expert.action_out_proj(output[:, 1:-1]) - (NOISE - ACTIONS)).square().mean(dim=(1, 2))
    weight = 1 - TIME if weighted else torch.ones(BATCH)
    found = expert.compute_loss(PREFIX_EMBS, ACTIONS, STATES, PADDING, time=TIME, noise=NOISE)
    torch.testing.assert_close(found, (errors * weight).sum() / weight.sum())


@pytest.mark.parametrize("use_state", [True, False])
@pytest.mark.parametrize("padding", [None, PADDING])
def test_one_prediction_runs_the_prefix_once_and_the_suffix_once_a_step(make, use_state, padding):
    expert, modules = make(use_state=use_state)
    counts = {}
    watched = {
        "base": modules[0].layers[1].mlp,
        "expert": expert.llava_with_expert.expert.layers[1].mlp,
        "state": expert.state_proj,
        "time": expert.time_mlp_out,
    }
    for name, module in watched.items():
        if module is not None:
            module.register_forward_hook(lambda *_, name=name: counts.update({name: counts.get(name, 0) + 1}))
    expert.sample_actions(PREFIX_EMBS, STATES if use_state else None, 10, padding, noise=NOISE)
    assert counts == {"base": 1, "expert": 10, "time": 1} | ({"state": 1} if use_state else {})


def test_the_states_two_shapes_are_one(make):
    expert, _ = make()
    known = {"time": TIME, "noise": NOISE}
    flat = expert.compute_loss(PREFIX_EMBS, ACTIONS, STATES, **known)
    torch.testing.assert_close(expert.compute_loss(PREFIX_EMBS, ACTIONS, STATES[:, None], **known), flat)
    assert not torch.equal(expert.compute_loss(PREFIX_EMBS, ACTIONS, STATES + 1, **known), flat)
    flat = expert.sample_actions(PREFIX_EMBS, STATES, 2, noise=NOISE)
    torch.testing.assert_close(expert.sample_actions(PREFIX_EMBS, STATES[:, None], 2, noise=NOISE), flat)


def test_times_and_noise_are_drawn_when_left_out_and_follow_the_seed(make):
    expert, _ = make(time_sampling="uniform")
    runs = {
        "loss": lambda: expert.compute_loss(PREFIX_EMBS, ACTIONS, STATES),
        "samples": lambda: expert.sample_actions(PREFIX_EMBS, STATES, 2),
    }
    for run in runs.values():
        torch.manual_seed(5)
        first, second = run(), run()
        torch.manual_seed(5)
        assert torch.equal(first, run()) and not torch.equal(first, second)


def test_the_chosen_distribution_of_times_is_drawn_from(make, monkeypatch):
    asked = []

    def record(batch_size, distribution, device):
        asked.append((batch_size, distribution))
        return TIME

    monkeypatch.setattr("vlahub.modeling.flow_matching_action_expert.sample_time", record)
    for distribution in ("uniform", "beta"):
        make(time_sampling=distribution)[0].compute_loss(PREFIX_EMBS, ACTIONS, STATES)
    assert asked == [(BATCH, "uniform"), (BATCH, "beta")]


def test_weights_in_bfloat16_keep_time_noise_and_actions_in_float32(make):
    expert, modules = make()
    wanted = expert.sample_actions(PREFIX_EMBS, STATES, 10, noise=NOISE)
    modules.bfloat16()
    seen = []
    inner, tokens = expert.read, expert.time_tokens
    expert.time_tokens = lambda time: seen.append(time.dtype) or tokens(time)
    expert.read = lambda *args: seen.append(inner(*args)[0].dtype) or inner(*args)
    found = expert.sample_actions(PREFIX_EMBS.bfloat16(), STATES, 10, PADDING * 0 + 1, noise=NOISE.bfloat16())
    assert set(seen) == {torch.float32} and len(seen) == 1 + 10
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, atol=0.1, rtol=0.1)
    loss = expert.compute_loss(PREFIX_EMBS.bfloat16(), ACTIONS.bfloat16(), STATES.bfloat16(), PADDING)
    assert loss.dtype == torch.float32 and loss.isfinite()
    loss.backward()


def test_gradients_reach_every_part_of_the_expert_and_the_prefix(make):
    expert, modules = make()
    prefix = PREFIX_EMBS.clone().requires_grad_()
    expert.compute_loss(prefix, ACTIONS, STATES, PADDING).backward()
    assert prefix.grad[PADDING == 1].abs().amax(dim=-1).min() > 0
    assert prefix.grad[PADDING == 0].abs().max() == 0
    for module in modules[1:]:
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in module.parameters())


def test_the_network_is_used_but_not_owned(make):
    expert, modules = make()
    assert set(expert.state_dict()) == {
        f"{part}.{kind}"
        for part in ("state_proj", "action_in_proj", "time_mlp_in", "time_mlp_out", "action_out_proj")
        for kind in ("weight", "bias")
    }
    names = [name for name, _ in modules.named_parameters(remove_duplicate=False)]
    assert len(names) == len({id(p) for p in modules.parameters()})


# ---- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"actions": ACTIONS[:, :3]}, r"actions has shape \(3, 3, 7\).*\(3, 4, 7\)"),
        ({"actions": ACTIONS[..., :6]}, r"actions has shape \(3, 4, 6\)"),
        ({"actions": ACTIONS[0]}, r"actions has shape \(4, 7\)"),
        ({"actions": ACTIONS[:2], "state": STATES[:2]}, "actions"),
        ({"noise": NOISE[:1]}, r"noise has shape \(1, 4, 7\); \(3, 4, 7\)"),
        ({"noise": NOISE[0]}, r"noise has shape \(4, 7\)"),
        ({"time": TIME[:1]}, r"time has shape \(1,\)"),
        ({"time": TIME[:, None]}, r"time has shape \(3, 1\)"),
        ({"time": torch.tensor(0.5)}, r"time has shape \(\)"),
        ({"state": None}, "state is missing: .* 6 values"),
        ({"state": STATES[:, :5]}, r"state has shape \(3, 5\).*state_dim=6"),
        ({"state": STATES[:, None].expand(-1, 2, -1)}, r"state has shape \(3, 2, 6\)"),
        ({"state": STATES[0]}, r"state has shape \(6,\)"),
        ({"state": STATES[:1]}, r"state has shape \(1, 6\)"),
        ({"state": STATES.repeat(2, 1)}, r"state has shape \(6, 6\)"),
        ({"attention_mask": PADDING[:, :4]}, r"attention_mask has shape \(3, 4\)"),
        ({"position_ids": torch.arange(PREFIX).expand(BATCH, -1)}, "position_ids"),
    ],
)
def test_wrong_arguments_of_the_loss_are_refused_by_name(make, arguments, message):
    with pytest.raises(InputError, match=message):
        make()[0].compute_loss(**{"prefix_embs": PREFIX_EMBS, "actions": ACTIONS, "state": STATES, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_steps": 0}, "num_steps=0 must be"),
        ({"num_steps": -3}, "num_steps=-3"),
        ({"num_steps": 2.5}, r"num_steps=2\.5"),
        ({"num_inference_steps": 0}, "num_inference_steps=0 must be"),
        ({"num_inference_steps": 2, "num_steps": 2}, "num_inference_steps and num_steps are two names of one argument"),
        ({"noise": NOISE[:2]}, r"noise has shape \(2, 4, 7\); \(3, 4, 7\)"),
        ({"state": None}, "state is missing"),
        ({"state": STATES[:2]}, r"state has shape \(2, 6\)"),
        ({"attention_mask": PADDING[:2]}, r"attention_mask has shape \(2, 5\)"),
        ({"position_ids": torch.arange(PREFIX).expand(BATCH, -1)}, "position_ids"),
    ],
)
def test_wrong_arguments_of_sampling_are_refused_by_name(make, arguments, message):
    with pytest.raises(InputError, match=message):
        make()[0].sample_actions(**{"prefix_embs": PREFIX_EMBS, "state": STATES, **arguments})


def test_a_state_that_is_not_used_is_refused(make):
    expert, _ = make(use_state=False)
    with pytest.raises(InputError, match="takes no robot state"):
        expert.compute_loss(PREFIX_EMBS, ACTIONS, STATES)
    with pytest.raises(InputError, match="takes no robot state"):
        expert.sample_actions(PREFIX_EMBS, STATES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 32}, "hidden_size=32 must be the width of the expert, 24"),
        ({"state_dim": None}, "use_state=True needs state_dim"),
        ({"state_dim": 0}, "use_state=True needs state_dim"),
        ({"time_sampling": "normal"}, "time_sampling='normal'"),
    ],
)
def test_options_that_cannot_work_are_refused(make, options, message):
    with pytest.raises(ConfigError, match=message):
        make(**options)


# ---- the published call


def test_the_chunk_and_the_steps_have_their_published_names_too(make):
    expert, _ = make()
    network = expert.llava_with_expert
    assert (expert.num_action_chunks, expert.action_horizon) == (HORIZON, HORIZON)
    assert FlowMatchingActionExpert(network, DIM, action_horizon=5).num_action_chunks == 5
    assert FlowMatchingActionExpert(network).action_horizon == 10
    with pytest.raises(InputError, match="num_action_chunks and action_horizon are two names of one argument"):
        FlowMatchingActionExpert(network, DIM, num_action_chunks=5, action_horizon=5)
    known = {"prefix_embs": PREFIX_EMBS, "state": STATES, "noise": NOISE}
    wanted = expert.sample_actions(**known, num_inference_steps=3)
    assert torch.equal(expert.sample_actions(**known, num_steps=3), wanted)
    assert torch.equal(expert.sample_actions(**known, num_steps=10), expert.sample_actions(**known))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("use_state", [True, False])
def test_forward_is_the_velocity_that_loss_and_sampling_see(make, use_state, padded):
    expert, _ = make(use_state=use_state)
    state = STATES if use_state else None
    mask = PADDING if padded else None
    noisy = interpolate(ACTIONS, NOISE, TIME)
    velocity = expert(PREFIX_EMBS, noisy, TIME, state, attention_mask=mask)
    assert velocity.shape == ACTIONS.shape and velocity.dtype == torch.float32
    loss = expert.compute_loss(PREFIX_EMBS, ACTIONS, state, mask, time=TIME, noise=NOISE)
    torch.testing.assert_close(loss, expert.loss(velocity, ACTIONS, NOISE, TIME))
    one_step = expert.sample_actions(PREFIX_EMBS, state, 1, mask, noise=NOISE)
    torch.testing.assert_close(one_step, NOISE - expert(PREFIX_EMBS, NOISE, torch.ones(BATCH), state, mask), **CLOSE)
    with torch.no_grad():
        _, cache = expert.llava_with_expert(attention_mask=mask, inputs_embeds=[PREFIX_EMBS, None], use_cache=True)
        again = expert(None, noisy, TIME, state, past_key_values=cache)
    torch.testing.assert_close(again, velocity, **CLOSE)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"actions": ACTIONS[:, 1:]}, "actions"), ({"time": TIME[:1]}, "time"), ({"state": None}, "state is missing")],
)
def test_forward_refuses_what_does_not_fit(make, change, message):
    expert, _ = make()
    arguments = {"prefix_embs": PREFIX_EMBS, "actions": ACTIONS, "time": TIME, "state": STATES}
    with pytest.raises(InputError, match=message):
        expert(**{**arguments, **change})


@pytest.mark.parametrize("padded", [False, True])
def test_the_loss_can_stop_at_the_prefix(make, padded):
    mask = PADDING if padded else None
    results = []
    for stop in (False, True):
        expert, modules = make()
        prefix = PREFIX_EMBS.clone().requires_grad_()
        loss = expert.compute_loss(prefix, ACTIONS, STATES, mask, time=TIME, noise=NOISE, stop_grad_from_vlm=stop)
        loss.backward()
        results.append((loss.detach(), prefix.grad, modules))
    (loss, grad, free), (stopped, none, kept) = results
    torch.testing.assert_close(stopped, loss, **CLOSE)
    assert grad is not None and none is None
    assert any(p.grad is not None for p in free[0].parameters()) and all(p.grad is None for p in kept[0].parameters())
    for (name, one), two in zip(free[1:].named_parameters(), kept[1:].parameters(), strict=True):
        assert (one.grad is None) == (two.grad is None), name
        if one.grad is not None:
            torch.testing.assert_close(two.grad, one.grad, **CLOSE)
