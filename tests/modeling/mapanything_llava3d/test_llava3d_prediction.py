"""A prediction of LLaVA-3D at the speed of a card: what waits, what is one graph, what padding may not change."""

from contextlib import nullcontext

import pytest
import torch
from host_waits import HostWaits
from traced_graphs import TracedGraph

from vlahub.errors import InputError, NonFiniteError
from vlahub.modeling.action_normalization import affine_terms
from vlahub.modeling.fast_prediction import FastPrediction
from vlahub.modeling.mapanything_llava3d.llava3d_prediction import (
    ActionInputs,
    ActionOptions,
    predicted_actions,
    require_sound,
    run_prediction,
)
from vlahub.modeling.ode_sampling import OdeSampling

IMAGE, PATCHES, HORIZON, DIM, STATE = 40, 4, 4, 7, 5
STATISTICS = {
    "a": {
        "action": {"q01": [-2.0] * DIM, "q99": [3.0] * DIM, "mask": [True] * 6 + [False]},
        "state": {"q01": [-1.0] * STATE, "q99": [1.0] * STATE},
    }
}
DIT = {"num_hidden_layers": 2, "num_future_tokens": 3, "mlp_hidden_dim": 16, "dropout": 0.0}
KINDS = {
    "joined": {"action_expert_type": "deep_fusion"},
    "causal": {"action_expert_type": "deep_fusion", "prefix_attention": "causal", "expert_num_layers": 2},
    "robots": {"action_expert_type": "deep_fusion", "num_embodiments": 3},
    "dit": {"action_expert_type": "dit", "prefix_attention": "causal"},
    "dit, guided": {"action_expert_type": "dit", "dit_config": {**DIT, "condition_dropout": 0.1, "context": "concat"}},
    "dit, self": {"action_expert_type": "dit", "dit_config": {**DIT, "context": "self"}, "num_embodiments": 3},
    "fused": {"action_expert_type": "deep_fusion+dit"},
}
OPTIONS = {"dit, guided": {"guidance_scale": 2.0}, "causal": {"ode_solver": "midpoint", "ode_spacing": "cosine"}}
every_kind = pytest.mark.parametrize("kind", KINDS)
CLOSE = {"atol": 2e-5, "rtol": 2e-5}


@pytest.fixture
def make(llava3d, randomized):
    """`make(kind, **config) -> model` with a state, random weights, and three steps."""

    def build(kind="joined", **fields):
        known = {"use_state": True, "state_dim": STATE, "norm_stats": STATISTICS, "dit_config": DIT}
        model, _ = llava3d(**{**known, "num_inference_steps": 3, **KINDS[kind], **fields})
        return randomized(model).eval()

    return build


def call(kind="joined", length=12, rows=2, padded=False, **more):
    """Arguments of `predict_action`, of prompts of so many places."""
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(1, IMAGE, (rows, length), generator=generator)
    ids[:, 1 : 1 + 2 * PATCHES] = IMAGE
    inputs = {
        "input_ids": ids,
        "pixel_values": torch.rand(rows, 2, 3, 28, 28, generator=generator) * 2 - 1,
        "state": torch.randn(rows, STATE, generator=generator),
        "intrinsic": torch.eye(3).expand(rows, 2, -1, -1),
        "noise": torch.randn(rows, HORIZON, DIM, generator=generator),
    }
    if padded:
        inputs["attention_mask"] = torch.ones_like(ids)
        inputs["attention_mask"][1, -2:] = 0
        inputs["attention_mask"][0, :1] = 0
    if KINDS[kind].get("num_embodiments"):
        inputs["embodiment_id"] = torch.arange(rows) + 1
    return inputs | OPTIONS.get(kind, {}) | more


def recorded(model, **options):
    model.fast_prediction = FastPrediction(model, options, TracedGraph)
    return model


# ---- waits


@every_kind
@pytest.mark.parametrize("samples", [None, 2])
def test_nothing_waits_for_the_device_but_the_check_at_the_end(make, kind, samples):
    model, arguments = make(kind), call(kind, padded=samples is not None, num_samples=samples)
    arguments["noise"] = None if samples else arguments["noise"]
    model.predict_action(**arguments)  # statistics go to the device in the first call
    for check_finite, wanted in ((False, 0), (True, 1)):
        with HostWaits() as waits:
            model.predict_action(**arguments, check_finite=check_finite)
        assert sum(waits.found.values()) == wanted, waits.found


# ---- graphs and buckets


@every_kind
def test_prompts_of_a_bucket_are_one_graph_and_predict_what_they_predict_unpadded(make, kind):
    model = make(kind)
    calls = [call(kind, length, padded=padded) for length, padded in ((12, False), (14, True), (15, False), (17, True))]
    wanted = [model.predict_action(**arguments) for arguments in calls]
    recorded(model, length_bucket=8)
    for arguments, expected in zip(calls, wanted, strict=True):
        torch.testing.assert_close(model.predict_action(**arguments), expected, **CLOSE)
    stats = model.fast_prediction_stats
    assert (stats.captures, stats.replays, stats.eager_fallbacks) == (2, 4, 0), stats


def test_a_state_that_is_not_finite_is_an_error_also_where_no_action_sees_it(make):
    """With blocks that read nothing but the VLM."""
    model, inputs = make("dit", dit_config={**DIT, "context": "cross"}), call("dit")
    assert torch.equal(model.predict_action(**inputs), model.predict_action(**inputs | {"state": -inputs["state"]}))
    inputs["state"][1, 0] = torch.nan
    with pytest.raises(NonFiniteError, match=r"computed from: state\."):
        model.predict_action(**inputs)


def test_no_padding_of_a_bucket_is_taken_for_an_image(make):
    """Where images have id 0, with which prompts are padded."""
    model, inputs = make(image_token_id=0), call(length=13)
    inputs["input_ids"] = inputs["input_ids"].masked_fill(inputs["input_ids"] == IMAGE, 0)
    wanted = model.predict_action(**inputs)
    torch.testing.assert_close(recorded(model, length_bucket=8).predict_action(**inputs), wanted, **CLOSE)


@every_kind
def test_what_is_another_computation_is_another_graph(make, kind):
    model = make(kind)
    changes = [{}, {"num_steps": 2}, {"ode_solver": "heun"}, {"num_samples": 2, "noise": None}, {"return_dict": True}]
    if kind == "dit, guided":
        changes.append({"guidance_scale": 1.0})

    def answers():
        torch.manual_seed(0)
        found = [model.predict_action(**call(kind, 16, **change)) for change in changes]
        return [each.get("actions") if isinstance(each, dict) else each for each in found]

    wanted = answers()
    recorded(model)
    for _ in range(2):
        torch.testing.assert_close(answers(), wanted, **CLOSE)
    assert model.fast_prediction_stats.captures == len(changes) - 1


def test_one_wait_remains_where_a_graph_is_replayed(make):
    model, arguments = recorded(make()), call()
    model.predict_action(**arguments)
    for check_finite, wanted in ((False, 0), (True, 1)):
        model.predict_action(**arguments, check_finite=check_finite)
        with HostWaits() as waits:
            model.predict_action(**arguments, check_finite=check_finite)
        assert sum(waits.found.values()) == wanted, waits.found


@pytest.mark.parametrize("kind", ["joined", "dit", "fused"])
def test_projections_lie_side_by_side_under_their_names_and_weights_may_change(make, kind):
    model, arguments = make(kind), call(kind)
    names = list(model.state_dict())
    recorded(model)
    joined = [linear for group in model.projections_to_fuse() for linear in group]
    assert all(getattr(linear, "laid_side_by_side", False) for linear in joined)
    assert list(model.state_dict()) == names
    model.predict_action(**arguments)
    with torch.no_grad():
        for group in model.projections_to_fuse():
            group[1].weight.mul_(0.5)
    found = model.predict_action(**arguments)
    model.disable_fast_prediction()
    torch.testing.assert_close(found, model.predict_action(**arguments), **CLOSE)


def test_every_projection_of_an_input_is_among_those_that_are_joined(make):
    """None is forgotten: what is named reads one input, and the layers name all they have."""
    model = make("fused", dit_config={**DIT, "context": "interleave", "num_hidden_layers": 3})
    named = {id(linear) for group in model.projections_to_fuse() for linear in group}
    parts = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "to_k", "to_v")
    there = {id(m) for name, m in model.named_modules() if name.endswith(parts)}
    own = model.dit_action_head.model.transformer_blocks[1].attn1.to_q
    assert named == there | {id(own)}


# ---- what is wrong


@pytest.mark.parametrize(
    ("kind", "change", "error", "message"),
    [
        ("joined", {"input_ids": torch.full((2, 12), 3)}, InputError, r"has \[0, 0\] image tokens .* sample has 8"),
        ("joined", {"attention_mask": torch.tensor([[1] * 12, [0] * 12])}, InputError, "padding alone: row 1"),
        ("joined", {"state": torch.full((2, STATE), float("nan"))}, NonFiniteError, "state"),
        *(
            (kind, {"embodiment_id": torch.tensor([1, -1])}, InputError, r"embodiment_id\[1\] is -1; .* 0 to 2")
            for kind in KINDS
            if "num_embodiments" in KINDS[kind]
        ),
    ],
)
@pytest.mark.parametrize("fast", [False, True])
def test_what_a_device_is_asked_once_for_is_named(make, kind, change, error, message, fast):
    """As on an accelerator, where ids are not looked at before."""
    model = recorded(make(kind)) if fast else make(kind)
    arguments = {**call(kind, padded=True), **change}
    ids, mask = arguments["input_ids"], arguments["attention_mask"]
    given = [arguments[name] for name in ("pixel_values", "intrinsic", "state", "noise")]
    robots = arguments.get("embodiment_id")
    numbers = {name: arguments[name] for name in ("pixel_values", "state", "intrinsic", "noise")}
    statistics = STATISTICS["a"]["action"]
    with torch.no_grad():
        terms = affine_terms(statistics, "bounds_q99", given[-1])
        options = ActionOptions(OdeSampling(2), 1.0, "bounds_q99", True)
        found = run_prediction(model, ids, mask, (*given, robots, terms), options)
        assert not found.whole
        with HostWaits() as waits, pytest.raises(error, match=message):
            require_sound(model, ids, mask, numbers, found, statistics, robots)
    assert waits.found["_local_scalar_dense"] >= 1


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("joined", {"state": torch.zeros(2, 3)}, "state has shape"),
        ("joined", {"state": None}, "state is missing"),
        ("dit", {"state": None}, "state is missing"),
        ("dit", {"noise": torch.zeros(2, 1, 1)}, "noise has the shape"),
        ("robots", {"embodiment_id": torch.tensor([0, 3])}, r"embodiment_id\[1\] is 3"),
        ("fused", {"guidance_scale": 2.0}, "only a DiT head alone can be guided"),
    ],
)
def test_arguments_are_refused_before_anything_is_recorded(make, kind, change, message):
    model = recorded(make(kind))
    with pytest.raises(InputError, match=message):
        model.predict_action(**{**call(kind), **change})
    assert model.fast_prediction_stats.captures == 0 and model.fast_prediction_stats.eager_fallbacks == 0


# ---- compiled


def core_and_inputs(model, arguments):
    """The core, and its inputs as `predict_action` makes them."""
    taken = {}
    model.fast_prediction = Spy(taken)
    model.predict_action(**arguments)
    model.disable_fast_prediction()
    return taken["core"], taken["inputs"], taken["options"]


class Spy:
    """In the place of `FastPrediction`: keeps what a core was called with."""

    length_bucket = 8

    def __init__(self, taken):
        self.taken = taken

    def reason_at_first_sight(self, model):
        return None

    def session(self, model):
        return nullcontext()

    def forget(self):
        """Nothing is kept but for the test."""

    def run(self, model, core, inputs, options, buffers):
        self.taken.update(core=core, inputs=inputs, options=options)
        return core(model, inputs, options)


@torch.no_grad()
@pytest.mark.parametrize(
    "kind", ["robots", *(pytest.param(k, marks=pytest.mark.slow) for k in ("dit, guided", "fused"))]
)
def test_the_core_is_one_graph_for_all_prompts_of_a_bucket(make, kind):
    model = make(kind, num_inference_steps=2)
    torch._dynamo.reset()
    frames = []

    def backend(graph, examples):
        frames.append(graph)
        return graph.forward

    compiled = torch.compile(predicted_actions, backend=backend, fullgraph=True, dynamic=False)
    for length in (12, 13, 16):
        core, inputs, options = core_and_inputs(model, call(kind, length))
        assert core is predicted_actions and isinstance(inputs, ActionInputs)
        torch.testing.assert_close(compiled(model, inputs, options), core(model, inputs, options), **CLOSE)
    assert len(frames) == 1
    torch._dynamo.reset()


@pytest.mark.inductor
@pytest.mark.slow
@every_kind
def test_compiled_by_inductor_it_predicts_the_same(make, kind):
    model = make(kind)
    calls = [call(kind, length, padded=padded) for length, padded in ((12, False), (14, True), (16, False))]
    wanted = [model.predict_action(**arguments) for arguments in calls]
    torch._dynamo.reset()
    model.enable_fast_prediction("compile", length_bucket=16)
    for arguments, expected in zip(calls, wanted, strict=True):
        torch.testing.assert_close(model.predict_action(**arguments), expected, atol=1e-4, rtol=1e-4)
    stats = model.fast_prediction_stats
    assert (stats.captures, stats.replays, stats.eager_fallbacks) == (1, 3, 0), stats
