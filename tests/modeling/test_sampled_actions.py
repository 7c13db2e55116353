"""Several chunks over one look at the scene: equal to chunks drawn one by one, and what they tell."""

import math

import pytest
import torch
from tiny_configs import composed_config

import vlahub
from vlahub.errors import InputError
from vlahub.modeling.sampled_actions import SampledActions, drawn_bins, token_entropy

SAMPLES = 3
CLOSE = {"atol": 2e-5, "rtol": 2e-5}
STATISTICS = {"a": {"action": {"q01": [-1.0, -2.0, 0.0, 1.0, -4.0, 3.0, -1.0], "q99": [2.0] * 5 + [9.0, 1.0]}}}
STATISTICS["a"]["state"] = {"q01": [0.0] * 5, "q99": [1.0] * 5}
OPENVLA = {
    "action_attention": "causal",
    "use_film": False,
    "use_aggr": False,
    "use_lfp": False,
    "vision_aggregate_type": "concat",
    "action_head": "discrete",
    "num_action_chunks": 1,
}


def calls(module):
    counted = []
    module.register_forward_hook(lambda *_: counted.append(1))
    return counted


def check_samples(model, inputs, noise, looks):
    """The samples are the chunks that each noise alone leads to, and their spread numpy's; one look at the scene."""
    counted = calls(looks)
    found = model.predict_action(**inputs, noise=noise, num_samples=SAMPLES)
    assert len(counted) == 1 and isinstance(found, SampledActions) and found.entropy is None
    single = [model.predict_action(**inputs, noise=each) for each in noise.unbind(1)]
    torch.testing.assert_close(found.actions, torch.stack(single, dim=1), **CLOSE)
    spread = found.actions.double().numpy().std(axis=1)
    torch.testing.assert_close(found.spread, torch.from_numpy(spread).float(), **CLOSE)
    assert found.spread.min() > 0 and found.normalized_actions.shape == noise.shape
    with pytest.raises(InputError, match=r"noise has .*shape"):
        model.predict_action(**inputs, noise=noise[:, 0], num_samples=SAMPLES)
    for count in (0, True, 2.0):
        with pytest.raises(InputError, match=rf"num_samples={count} must be a whole number"):
            model.predict_action(**inputs, num_samples=count)
    torch.manual_seed(3)
    one = model.predict_action(**inputs, num_samples=1)
    torch.manual_seed(3)
    torch.testing.assert_close(one.actions[:, 0], model.predict_action(**inputs), **CLOSE)
    assert one.spread.abs().max() == 0
    torch.manual_seed(3)
    start = torch.randn(noise.shape)
    torch.manual_seed(3)
    drawn = model.predict_action(**inputs, num_samples=SAMPLES)
    assert torch.equal(drawn.actions, model.predict_action(**inputs, noise=start, num_samples=SAMPLES).actions)


@pytest.mark.parametrize("kind", ["deep_fusion", "dit", "deep_fusion+dit"])
def test_llava3d_draws_over_one_prefix(llava3d, kind):
    model, batch = llava3d(action_expert_type=kind, norm_stats=STATISTICS, use_state=True, state_dim=5)
    inputs = {name: batch[name] for name in ("input_ids", "pixel_values")}
    inputs |= {"state": torch.rand(2, 5), "attention_mask": torch.ones(2, 9, dtype=torch.long)}
    inputs["attention_mask"][0, -2:] = 0
    layers = model.language_model.decoder.layers
    check_samples(model, inputs, torch.randn(2, SAMPLES, 4, 7), layers[0].mlp)


def composed(**fields):
    torch.manual_seed(0)
    model = vlahub.MultimodalVLAForActionPrediction(composed_config(**fields)).eval()
    inputs = {
        "input_ids": torch.randint(3, 90, (2, 5)),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
        "pixel_values": torch.randn(2, 1, 3, 28, 28),
        "state": torch.randn(2, 4),
    }
    return model, inputs


@pytest.mark.parametrize("fusion", ["early", "cross_attention"])
def test_a_composed_flow_head_draws_over_one_prefix(fusion):
    model, inputs = composed(action_head="flow", fusion=fusion)
    check_samples(model, inputs, torch.randn(2, SAMPLES, 4, 3), model.backbone.vision_tower)


def test_cogvlas_diffusion_draws_over_one_look_at_the_images(tiny_model, tiny_batch):
    model = tiny_model(action_head="diffusion")
    inputs = tiny_batch(model.config).prediction()
    del inputs["noise"]
    check_samples(model, inputs, torch.randn(3, SAMPLES, 2, 3), model.vision_backbone)


# ---- tokens


def test_bins_are_drawn_by_their_probabilities_and_their_entropy_is_that_of_the_formula():
    probabilities = torch.tensor([[0.5, 0.25, 0.125, 0.125], [1.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(token_entropy(probabilities.log()), torch.tensor([1.75 * math.log(2), 0.0]))
    torch.manual_seed(0)
    drawn = drawn_bins(probabilities.log().expand(20_000, 2, 4))
    for row, wanted in zip(drawn.unbind(1), probabilities, strict=True):
        torch.testing.assert_close(row.bincount(minlength=4) / 20_000, wanted, atol=0.02, rtol=0)


def test_bins_of_bfloat16_are_drawn_and_told_by_probabilities_of_float32():
    """In bfloat16 they are rounded to three digits, and so is the entropy."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(512, 64, generator=generator).bfloat16()
    exponentials = torch.empty(512, 64).exponential_(generator=generator)
    assert token_entropy(logits).dtype == torch.float32
    torch.testing.assert_close(token_entropy(logits), token_entropy(logits.float()), atol=0, rtol=0)
    close = (logits.float().softmax(-1) / exponentials).sort(dim=-1, descending=True).values
    assert (close[:, 1] / close[:, 0]).max() > 0.995  # two bins between which rounding would decide
    assert torch.equal(drawn_bins(logits, exponentials), drawn_bins(logits.float(), exponentials))


def entropy_of(logits):
    found = torch.distributions.Categorical(logits=logits.detach()).entropy()
    return found.view(len(found), -1, 3)


def test_a_composed_discrete_head_draws_its_bins_by_exponential_numbers():
    model, inputs = composed(action_head="discrete")
    torch.manual_seed(0)
    drawn = model.head.draws(inputs["input_ids"], None, 200)
    assert drawn.dtype == torch.float32 and drawn.shape[:2] == (len(inputs["input_ids"]), 200)
    shares = [(drawn > bound).float().mean() for bound in (0, 0.5, 1, 2)]
    torch.testing.assert_close(torch.stack(shares), torch.tensor([0.0, -0.5, -1, -2]).exp(), atol=0.01, rtol=0)


def test_a_composed_discrete_head_tells_the_entropy_of_its_tokens():
    model, inputs = composed(action_head="discrete")
    seen = []
    kind = type(model.head)
    original = kind.logits
    kind.logits = lambda self, states: seen.append(original(self, states)) or seen[-1]
    try:
        counted = calls(model.backbone.vision_tower)
        found = model.predict_action(**inputs, num_samples=64)
    finally:
        kind.logits = original
    assert len(counted) == 1 and len(seen) == 1 and found.actions.shape == (2, 64, 4, 3)
    torch.testing.assert_close(found.entropy, entropy_of(seen[0]), **CLOSE)
    torch.testing.assert_close(found.mean_entropy, found.entropy.mean(dim=(1, 2)))
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(1e4)  # as sure as can be: all samples are the best chunk
    sure = model.predict_action(**inputs, num_samples=4)
    assert sure.mean_entropy.max() < 1e-3
    assert torch.equal(sure.actions, model.predict_action(**inputs)[:, None].expand(-1, 4, -1, -1))


@pytest.mark.parametrize("fields", [{"action_head": "discrete"}, OPENVLA])
def test_cogvla_tells_the_entropy_of_its_tokens_at_once_or_one_by_one(tiny_model, tiny_batch, fields):
    model = tiny_model(**fields)
    inputs = tiny_batch(model.config).prediction()
    seen, looks = [], calls(model.vision_backbone)
    model.language_model.lm_head.register_forward_hook(lambda _, __, logits: seen.append(logits))
    found = model.predict_action(**inputs, num_samples=16)
    chunk = model.config.num_action_chunks
    assert len(looks) == 1 and found.actions.shape == (3, 16, chunk, 3) and found.spread.max() > 0
    bins = slice(320 - 64 - 64, 320 - 64)
    logits = torch.cat(seen, dim=1)[..., bins]
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    entropy = entropy.view(3, -1, chunk * 3).mean(dim=1).view(3, chunk, 3)
    torch.testing.assert_close(found.entropy, entropy, **CLOSE)
    values = found.normalized_actions.unique()
    assert values.min() >= -1 and values.max() <= 1 and len(values) > 8
    with torch.no_grad():
        model.language_model.lm_head.weight[bins] *= 1e4
    sure = model.predict_action(**inputs, num_samples=2)
    assert sure.mean_entropy.max() < 1e-3
    torch.testing.assert_close(sure.actions, model.predict_action(**inputs)[:, None].expand(-1, 2, -1, -1))


# ---- refusals and graphs


def test_regression_has_nothing_to_draw(tiny_model, tiny_batch):
    model = tiny_model()
    with pytest.raises(InputError, match="num_samples=4: action_head='l1' predicts one chunk and draws none"):
        model.predict_action(**tiny_batch(model.config).prediction(), num_samples=4)
    model, inputs = composed(action_head="mlp")
    with pytest.raises(InputError, match="num_samples=4: action_head='mlp' predicts one chunk"):
        model.predict_action(**inputs, num_samples=4)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["flow", "discrete"])
def test_samples_of_a_composed_model_are_one_graph(head):
    model, inputs = composed(action_head=head)
    check_graph(model, inputs, head == "flow" and torch.randn(2, SAMPLES, 4, 3))


@pytest.mark.slow
@pytest.mark.parametrize("fields", [{"action_head": "diffusion"}, {"action_head": "discrete"}, OPENVLA])
def test_samples_of_a_cogvla_are_one_graph(tiny_model, tiny_batch, fields):
    model = tiny_model(**fields, text_config={"num_hidden_layers": 2})
    inputs = tiny_batch(model.config).prediction()
    inputs.pop("noise", None)
    check_graph(model, inputs, fields["action_head"] == "diffusion" and torch.randn(3, SAMPLES, 2, 3))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["deep_fusion", "dit", "deep_fusion+dit"])
def test_samples_of_a_llava3d_are_one_graph_with_every_solver(llava3d, kind):
    model, batch = llava3d(action_expert_type=kind, norm_stats=STATISTICS, num_inference_steps=2)
    inputs = {name: batch[name] for name in ("input_ids", "pixel_values")}
    check_graph(model, inputs | {"ode_solver": "heun", "ode_spacing": "cosine"}, torch.randn(2, SAMPLES, 4, 7))


def check_graph(model, inputs, noise):
    torch._dynamo.reset()
    more = {"num_samples": SAMPLES} | ({} if noise is False else {"noise": noise})
    compiled = torch.compile(model.predict_action, backend="eager", fullgraph=True)
    found, plain = compiled(**inputs, **more), model.predict_action(**inputs, **more)
    for name in ("actions", "spread") if noise is not False else ("entropy",) * (found.actions.shape[2] > 1):
        torch.testing.assert_close(found[name], plain[name], rtol=1e-4, atol=1e-4)
    assert found.actions.isfinite().all()
    torch._dynamo.reset()
