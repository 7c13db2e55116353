"""Parts of composed VLAs alone: resamplers, the flow head's network against one joint pass, which class a choice is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import GemmaConfig, LlamaConfig

from vlahub import FlowMatchingActionExpert, MultimodalVLAConfig, MultimodalVLAForActionPrediction
from vlahub.configuration.multimodal_vla.head_facts import HEAD_FACTS
from vlahub.errors import InputError
from vlahub.modeling.film import FiLM
from vlahub.modeling.learned_tokens import LearnedTokens
from vlahub.modeling.masking import additive
from vlahub.modeling.mlp import MLP
from vlahub.modeling.mlp_resnet import MLPResNet
from vlahub.modeling.multimodal_vla import language_model_rules
from vlahub.modeling.multimodal_vla.composed_heads import HEADS
from vlahub.modeling.multimodal_vla.context_action_network import ContextActionNetwork
from vlahub.modeling.multimodal_vla.multimodal_inputs import Prompt
from vlahub.modeling.multimodal_vla.perceiver_resampler import PerceiverResampler
from vlahub.modeling.multimodal_vla.qformer_projector import QFormerProjector
from vlahub.modeling.multimodal_vla.token_learner import TokenLearner
from vlahub.modeling.multimodal_vla.vision_tokens import vision_tokens
from vlahub.modeling.prismatic_projector import PrismaticProjector

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
IN, OUT, LATENTS = 24, 32, 5
CONTEXT, SUFFIX = 7, 4
BLOCK = {"intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
CHOICES = {
    "vision_config": {
        "model_type": "siglip_vision_model",
        "hidden_size": IN,
        **BLOCK,
        "image_size": 28,
        "patch_size": 14,
    },
    "text_config": {"model_type": "llama", "hidden_size": OUT, **BLOCK, "vocab_size": 300},
    "expert_config": {"hidden_size": 16, **BLOCK, "num_key_value_heads": 1},
    "num_latents": LATENTS,
}


@pytest.fixture(params=[PerceiverResampler, QFormerProjector, TokenLearner])
def resampler(request, randomized):
    sizes = (LATENTS,) if request.param is TokenLearner else (LATENTS, 2, 4)
    return randomized(request.param(IN, OUT, *sizes)).eval()


@pytest.fixture
def network(randomized):
    """`network(**config) -> ContextActionNetwork` that reads tokens of another width than its own."""

    def make(attn_implementation="sdpa", **fields):
        sizes = {"hidden_size": 24, **BLOCK, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1}
        config = LlamaConfig(**{**sizes, "head_dim": 6, **fields}, attn_implementation=attn_implementation)
        return randomized(ContextActionNetwork(OUT, config)).eval()

    return make


def tokens(length, width=IN, seed=0):
    return torch.randn(2, length, width, generator=torch.Generator().manual_seed(seed))


# ---- resamplers


def test_as_many_tokens_come_out_however_many_go_in(resampler):
    for length in (1, LATENTS, 40):
        assert resampler(tokens(length)).shape == (2, LATENTS, OUT)


def test_the_order_of_tokens_does_not_matter_and_every_one_of_them_does(resampler):
    given = tokens(9)
    wanted = resampler(given)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(resampler(given[:, order]), wanted, **CLOSE)
    for place in range(9):
        changed = given.clone()
        changed[0, place] *= -2
        found = resampler(changed)
        assert (found[0] - wanted[0]).abs().max() > 1e-3
        torch.testing.assert_close(found[1], wanted[1], **CLOSE)


def test_latents_differ_from_each_other(resampler):
    found = resampler(tokens(9))
    assert torch.cdist(found, found)[0][~torch.eye(LATENTS, dtype=torch.bool)].min() > 1e-3


@torch.no_grad()
def test_latents_look_at_tokens_and_at_themselves_each_normed(randomized):
    """Flamingo's formula, head by head."""
    layer, latents = randomized(PerceiverResampler(IN, OUT, LATENTS, 1, 4)).layers[0], tokens(LATENTS, OUT)
    attention, given = layer.attention, 3 * tokens(9, OUT, seed=1) + 1
    normed = attention.norm_latents(latents)
    seen = torch.cat([attention.norm_tokens(given), normed], dim=1)
    query, key, value = attention.q_proj(normed), attention.k_proj(seen), attention.v_proj(seen)
    heads = zip(*(part.split(OUT // 4, dim=-1) for part in (query, key, value)), strict=True)
    mixed = [((q @ k.mT) / (OUT // 4) ** 0.5).softmax(dim=-1) @ v for q, k, v in heads]
    wanted = latents + attention.o_proj(torch.cat(mixed, dim=-1))
    torch.testing.assert_close(layer(latents, given, None), wanted + layer.mlp(wanted), **CLOSE)


def test_a_perceiver_is_its_layers_one_after_the_other_and_a_norm(randomized):
    perceiver, given = randomized(PerceiverResampler(IN, OUT, LATENTS, 2, 4)), tokens(9)
    states = perceiver.latents(torch.empty(2, 1))
    for layer in perceiver.layers:
        states = layer(states, perceiver.proj(given), None)
    torch.testing.assert_close(perceiver(given), perceiver.norm(states), **CLOSE)


def test_every_layer_of_a_qformer_looks_at_the_features_and_none_drops_out(randomized):
    projector, given = randomized(QFormerProjector(IN, OUT, LATENTS, 3, 4)), tokens(9)
    layers = projector.qformer.encoder.layer
    assert len(layers) == 3 and all(layer.has_cross_attention for layer in layers)
    assert {layer.attention.attention.num_attention_heads for layer in layers} == {4}
    assert {layer.intermediate_query.dense.out_features for layer in layers} == {4 * IN}
    torch.testing.assert_close(projector.train()(given), projector.eval()(given), **CLOSE)


def test_tokens_that_a_mask_hides_are_not_there(resampler):
    given = tokens(9)
    mask = torch.ones(2, 9, dtype=torch.bool)
    torch.testing.assert_close(resampler(given, mask), resampler(given), **CLOSE)
    mask[0, [1, 8]] = False
    found = resampler(given, mask)
    torch.testing.assert_close(found[:1], resampler(given[:1, [0, 2, 3, 4, 5, 6, 7]]), **CLOSE)
    torch.testing.assert_close(found[1:], resampler(given[1:]), **CLOSE)


def test_a_token_learner_weighs_positions_by_a_softmax_of_an_mlps_scores(randomized):
    """The published `TokenLearnerModuleV11`, written out in numpy."""
    learner, given = randomized(TokenLearner(IN, OUT, LATENTS, bottleneck_size=6)).double(), tokens(9).double()
    weights = {name: value.double().numpy() for name, value in learner.state_dict().items()}
    wanted = np.zeros((2, LATENTS, OUT))
    for i, features in enumerate(given.double().numpy()):
        scores = np.zeros((9, LATENTS))
        for j, x in enumerate(features):
            normed = (x - x.mean()) / np.sqrt(x.var() + 1e-6) * weights["norm.weight"] + weights["norm.bias"]
            hidden = weights["fc1.weight"] @ normed + weights["fc1.bias"]
            hidden = 0.5 * hidden * (1 + np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)))
            scores[j] = weights["fc2.weight"] @ hidden + weights["fc2.bias"]
        for k in range(LATENTS):
            share = np.exp(scores[:, k]) / np.exp(scores[:, k]).sum()
            token = sum(share[j] * features[j] for j in range(9))
            wanted[i, k] = weights["proj.weight"] @ token + weights["proj.bias"]
    np.testing.assert_allclose(learner(given).detach().numpy(), wanted, rtol=1e-6, atol=1e-6)  # shares are float32


def test_the_weights_of_a_token_learner_of_bfloat16_are_made_in_float32(randomized, monkeypatch):
    """A softmax whose shares are rounded one by one adds up to 1 over the many places of a picture no more."""
    learner, asked = randomized(TokenLearner(IN, OUT, LATENTS)).bfloat16(), []
    original = torch.Tensor.softmax
    monkeypatch.setattr(
        torch.Tensor, "softmax", lambda *args, **kwargs: asked.append(original(*args, **kwargs)) or asked[-1]
    )
    assert learner(tokens(300).bfloat16()).dtype == torch.bfloat16
    (shares,) = asked
    assert shares.dtype == torch.float32 and shares.shape == (2, 300, LATENTS)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2, LATENTS), atol=1e-5, rtol=0)


def test_features_of_as_many_tokens_as_a_sample_has_are_projected_and_padded_behind():
    rows, projector = [tokens(3)[0], tokens(5, seed=1)[1]], torch.nn.Linear(IN, OUT)
    ids = torch.zeros(2, 4, dtype=torch.long)
    prompt = Prompt(ids, ids == 0, ids != 0)
    found, real = vision_tokens(SimpleNamespace(image_features=lambda prompt: rows), projector, prompt)
    assert real.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    for row, own, count in zip(rows, found, (3, 5), strict=True):
        torch.testing.assert_close(own[:count], projector(row), **CLOSE)
    with pytest.raises(InputError, match="pixel_values holds 1 samples, input_ids 2"):
        vision_tokens(SimpleNamespace(image_features=lambda prompt: rows[:1]), projector, prompt)


def test_learned_tokens_are_the_same_for_every_sample():
    module = LearnedTokens(3, 8)
    torch.nn.init.normal_(module.tokens)
    found = module(torch.empty(4, 1))
    assert found.shape == (4, 3, 8) and all(torch.equal(row, module.tokens) for row in found)
    assert [name for name, _ in module.named_parameters()] == ["tokens"]


# ---- the network of the flow head


MASKS = {
    "no mask": None,
    "no padding": torch.ones(2, CONTEXT, dtype=torch.long),
    "right": torch.tensor([[1] * 7, [1] * 4 + [0] * 3]),
    "left": torch.tensor([[0] * 2 + [1] * 5, [1] * 7]),
    "inside": torch.tensor([[1, 1, 0, 1, 0, 1, 1], [1, 0, 0, 0, 1, 1, 1]]),
}


def jointly(network, context, suffix, mask):
    """One pass of the same stack over both, with the mask and the positions written out."""
    real = torch.ones(2, CONTEXT) if mask is None else mask
    allowed = torch.zeros(2, CONTEXT + SUFFIX, CONTEXT + SUFFIX, dtype=torch.bool)
    allowed[:, :, :CONTEXT] = real[:, None].bool()
    allowed[:, CONTEXT:, CONTEXT:] = True
    positions = torch.zeros(2, CONTEXT + SUFFIX, dtype=torch.long)
    for row in range(2):
        count = 0
        for place in range(CONTEXT + SUFFIX):
            positions[row, place] = max(count if place >= CONTEXT or real[row, place] else count - 1, 0)
            count += int(place >= CONTEXT or real[row, place] != 0)
    states = network.stack(
        inputs_embeds=torch.cat([network.context_proj(context), suffix], dim=1),
        attention_mask=additive(allowed, suffix.dtype),
        position_ids=positions,
        use_cache=False,
    ).last_hidden_state
    return states[:, CONTEXT:]


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_context_and_suffix_apart_are_one_joint_pass(network, name, implementation):
    module, mask = network(implementation), MASKS[name]
    context, suffix = tokens(CONTEXT, OUT), tokens(SUFFIX, 24, seed=1)
    wanted = jointly(module, context, suffix, mask)
    (none, found), cache = module(mask, inputs_embeds=[context, suffix])
    assert none is None and cache is None
    torch.testing.assert_close(found, wanted, **CLOSE)
    with torch.no_grad():
        (_, nothing), cache = module(mask, inputs_embeds=[context, None], use_cache=True)
        assert nothing is None
        for seed in (2, 1):  # a step leaves nothing behind for the next
            suffix = tokens(SUFFIX, 24, seed=seed)
            (_, found), kept = module(past_key_values=cache, inputs_embeds=[None, suffix])
            assert kept is cache
            torch.testing.assert_close(found, jointly(module, context, suffix, mask), **CLOSE)


def test_gradients_of_the_two_ways_are_the_same(network):
    module, mask = network(), MASKS["left"]
    results = []
    for run in (
        lambda *given: module(mask, inputs_embeds=[*given])[0][1],
        lambda *given: jointly(module, *given, mask),
    ):
        module.zero_grad()
        context, suffix = tokens(CONTEXT, OUT).requires_grad_(), tokens(SUFFIX, 24, seed=1).requires_grad_()
        run(context, suffix).square().sum().backward()
        own = {name: p.grad for name, p in module.named_parameters()}
        results.append({**own, "context": context.grad, "suffix": suffix.grad})
    assert all(grad is not None for grad in results[0].values())
    torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=1e-4)
    assert not results[0]["context"][0, :2].any() and results[0]["context"][0, 2:].all(dim=-1).all()


def test_a_longer_suffix_than_the_room_behind_the_context_is_read(network):
    module = network()
    context, suffix = tokens(CONTEXT, OUT), tokens(150, 24, seed=1)
    (_, wanted), _ = module(inputs_embeds=[context, suffix])
    with torch.no_grad():
        _, cache = module(inputs_embeds=[context, None], use_cache=True)
        (_, found), _ = module(past_key_values=cache, inputs_embeds=[None, suffix])
    torch.testing.assert_close(found, wanted, **CLOSE)


def test_the_stack_has_no_embeddings_and_gives_the_width_of_the_suffix(network):
    module = network()
    assert (module.hidden_size, module.expert_hidden_size) == (OUT, 24)
    assert not any("embed_tokens" in name for name in module.state_dict())


@pytest.mark.parametrize("horizon", [SUFFIX - 1])
def test_the_expert_samples_by_euler_steps_of_joint_passes(network, randomized, horizon):
    module = network()
    expert = randomized(FlowMatchingActionExpert(module, 3, horizon), seed=1)
    context, mask = tokens(CONTEXT, OUT), MASKS["inside"]
    noise = x = torch.randn(2, horizon, 3, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        for step in range(5):
            suffix = expert.embed_suffix(x, torch.full((2,), 1 - step / 5), None)
            x = x - expert.action_out_proj(jointly(module, context, suffix, mask)[:, :horizon]) / 5
    found = expert.sample_actions(context, num_steps=5, attention_mask=mask, noise=noise)
    torch.testing.assert_close(found, x, **CLOSE)


# ---- what a choice is


def test_a_choice_is_the_part_of_that_name():
    def made(**fields):
        return MultimodalVLAForActionPrediction(MultimodalVLAConfig(**CHOICES, **fields))

    film = made(projector_type="mlp", fusion="film", action_head="flow")
    assert type(film.projector) is MLP and type(film.film) is FiLM
    assert type(film.action_head) is FlowMatchingActionExpert and type(film.action_network) is ContextActionNetwork
    assert film.action_head.llava_with_expert is film.action_network and film.action_queries is None
    queries = made(projector_type="perceiver", fusion="cross_attention", use_proprio=True, proprio_dim=4)
    assert type(queries.projector) is type(queries.query_attention) is PerceiverResampler
    assert type(queries.action_head) is MLPResNet and type(queries.proprio_projector) is MLP
    assert type(made(projector_type="qformer").projector) is QFormerProjector
    assert type(made(projector_type="prismatic").projector) is PrismaticProjector
    assert type(made(projector_type="token_learner").projector) is TokenLearner
    assert made(projector_type="token_learner").projector.fc2.out_features == LATENTS
    sizes = {"num_resampler_layers": 3, "num_resampler_heads": 2}
    layers = made(projector_type="perceiver", **sizes).projector.layers
    assert [layer.attention.num_heads for layer in layers] == [2] * 3
    layers = made(projector_type="qformer", **sizes).projector.qformer.encoder.layer
    assert [layer.attention.attention.num_attention_heads for layer in layers] == [2] * 3
    discrete = made(projector_type="linear", action_head="discrete")
    assert type(discrete.projector) is torch.nn.Linear and discrete.action_head is None
    assert len(discrete.action_queries.tokens) == 8 * 7 and len(made().action_queries.tokens) == 8


@pytest.mark.parametrize(("weighs", "times"), [(True, "uniform"), (False, "beta")])
def test_a_flow_head_weighs_and_draws_times_as_its_config_says(weighs, times):
    options = {"use_time_weight": weighs, "time_sampling": times}
    _, head = HEADS["flow"].modules(MultimodalVLAConfig(**CHOICES, **options, action_head="flow"))
    assert {name: getattr(head, name) for name in options} == options


def test_parts_of_other_choices_are_not_there():
    model = MultimodalVLAForActionPrediction(MultimodalVLAConfig(**CHOICES))
    assert {name for name, _ in model.named_children()} == {"backbone", "projector", "action_queries", "action_head"}


def test_every_head_that_a_config_may_choose_has_a_class():
    assert tuple(HEADS) == tuple(HEAD_FACTS)


@pytest.mark.parametrize("spread", [0.3, 0.02])
def test_learned_tokens_begin_as_wide_as_the_text_models_weights(spread):
    torch.manual_seed(0)
    text = {**CHOICES["text_config"], "initializer_range": spread}
    config = MultimodalVLAConfig(**{**CHOICES, "text_config": text, "action_head": "mlp", "num_action_chunks": 64})
    tokens = MultimodalVLAForActionPrediction(config).action_queries.tokens
    assert tokens.std().item() == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize(
    "release, factor", [((4, 57), 8.0), ((5, 0), 8.0), ((5, 3), 8.0), ((5, 4), 1.0), ((5, 23), 1.0)]
)
def test_what_is_given_to_a_stack_that_scales_it_is_divided_first(monkeypatch, release, factor):
    monkeypatch.setattr(language_model_rules, "RELEASE", release)
    assert language_model_rules.scale_of_inputs(GemmaConfig(hidden_size=64)) == factor
    assert language_model_rules.scale_of_inputs(LlamaConfig(hidden_size=64)) == 1
