"""A composed prediction at the speed of a card: nothing is asked on the way, and it is one piece in any bucket.

Graphs are those of `traced_graphs.py`, which records on a CPU what a card would.
"""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import transformers
from host_waits import HostWaits
from tiny_configs import composed_config
from tiny_text_models import tiny_text_config, weights_that_matter
from traced_graphs import TracedGraph

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction
from vlahub.configuration.multimodal_vla.proven_backbones import LANGUAGE_MODELS
from vlahub.errors import InputError, NonFiniteError
from vlahub.modeling.fast_prediction import FastPrediction
from vlahub.modeling.fused_linears import lay_side_by_side
from vlahub.modeling.multimodal_vla.composed_prediction import composed_core

OLDER = transformers.__version__.startswith("4.")
CLOSE = {"atol": 2e-5, "rtol": 2e-5}
BUCKET = 16


def beside(name):
    """Another file of tests in this folder, for its sizes and batches."""
    spec = importlib.util.spec_from_file_location(f"fast_{name}", Path(__file__).with_name(f"{name}.py"))
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


parts, vlms, choices = map(beside, ("test_multimodal_vla", "test_multimodal_vlms", "test_backbone_choices"))
prepared, padded, towers = map(beside, ("test_vlms_by_their_processors", "test_states_over_padding", "test_two_towers"))


def recorded(model, **options):
    """With graphs as a CPU can have them; compiled where `mode` says so."""
    recorder = None if options.get("mode") == "compile" else TracedGraph
    model.fast_prediction = FastPrediction(model, {"length_bucket": BUCKET, **options}, recorder)
    return model


def longer(inputs):
    """The same prompts with one more place, which is padding, and so in the same bucket."""
    more = {"input_ids": 7, "attention_mask": 0}
    return {name: F.pad(each, (0, 1), value=more[name]) if name in more else each for name, each in inputs.items()}


def num_buckets(inputs):
    """Of the prompts and of `longer` ones together."""
    length = inputs["input_ids"].shape[1]
    return len({-(-places // BUCKET) for places in (length, length + 1)})


def waits_of(model, inputs, **options):
    """What would be waited for, were the model on another device."""
    try:
        for _ in range(2):  # what is made once and kept is made in the first
            with HostWaits(elsewhere=True) as waits:
                model.predict_action(**inputs, **options)
    except NotImplementedError:  # experts of 5.x count by a kernel of CUDA, between limits, so that it looks at nothing
        with HostWaits() as waits:
            model.predict_action(**inputs, **options)
        not_there = ("histc at", "input_checks.py")
        return sum(count for place, count in waits.places.items() if not any(name in place for name in not_there))
    return waits.asked + waits.handed


def check_fast(model, inputs):
    """Nothing is asked, once at the end with `check_finite`; a graph answers as it was recorded, for a whole bucket."""
    plain = model.predict_action(**inputs)
    assert waits_of(model, inputs, check_finite=False) == 0
    assert waits_of(model, inputs) == 1
    recorded(model)
    for each in (inputs, longer(inputs), inputs):
        torch.testing.assert_close(model.predict_action(**each), plain, **CLOSE)
    stats = model.fast_prediction.stats
    captures = num_buckets(inputs) if model.backbone.may_be_padded else 2
    assert (stats.captures, stats.replays, stats.eager_fallbacks) == (captures, 3, 0), stats
    model.fast_prediction.length_bucket = 1
    assert torch.equal(model.predict_action(**inputs), plain)


def check_core_compiles(model, inputs, backend="eager"):
    """The core is one graph of torch.compile, with the same numbers, and one for all prompts of a bucket."""
    plain = model.predict_action(**inputs)
    counter = torch._dynamo.testing.CompileCounterWithBackend(backend)
    seen, run = [], torch.compile(composed_core, backend=counter, fullgraph=True, dynamic=False)
    recorded(model)
    model.fast_prediction.run = lambda model, core, *rest: seen.append(core) or run(model, *rest[:2])
    for each in (inputs, longer(inputs)):
        torch.testing.assert_close(model.predict_action(**each), plain, **CLOSE)
    assert seen == [composed_core] * 2 and counter.frame_count == 1


@pytest.fixture
def fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


EVERY_FUSION = [
    ("linear", "early", "discrete", "llama"),
    ("mlp", "cross_attention", "flow", "llama"),
    ("perceiver", "late", "mlp", "llama"),
    ("qformer", "film", "flow", "gemma"),
    ("token_learner", "early", "mlp", "llama"),
    ("perceiver", "gated_cross_attention", "flow", "llama"),
    ("mlp", "late", "flow", "llama"),
    ("prismatic", "film", "discrete", "llama"),
    ("linear", "gated_cross_attention", "discrete", "llama"),
    ("perceiver", "cross_attention", "mlp", "llama"),
]
every_fusion = pytest.mark.parametrize(("projector", "fusion", "head", "text"), EVERY_FUSION)


@pytest.fixture
def composed(randomized):
    """`composed(projector, fusion, head, text) -> model`, every weight of which matters, and its batch."""

    def make(projector, fusion, head, text="llama", **fields):
        texts = {"llama": parts.LLAMA, "gemma": parts.GEMMA}
        fields = {
            "projector_type": projector,
            "fusion": fusion,
            "action_head": head,
            "num_inference_steps": 2,
            **fields,
        }
        config = composed_config(text_config=texts[text], **fields)
        return randomized(MultimodalVLAForActionPrediction(config)).eval(), parts.Batch(config)

    return make


# ---- heads, fusions, towers


@every_fusion
def test_every_head_and_fusion_asks_nothing_and_replays_from_a_graph(composed, projector, fusion, head, text):
    model, batch = composed(projector, fusion, head, text)
    check_fast(model, batch.prediction(extra=2))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("fusion", ["early", "late"])
def test_padding_of_a_bucket_goes_with_padding_of_a_batch_on_either_side(composed, fusion, side):
    model, batch = composed("linear", fusion, "mlp")
    alone = torch.cat([model.predict_action(**batch.prediction([row])) for row in range(2)])
    batch.side = side
    torch.testing.assert_close(recorded(model).predict_action(**batch.prediction(extra=2)), alone, **CLOSE)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("fusion", ["early", "gated_cross_attention"])
def test_windows_are_not_filled_by_padding(randomized, fusion, side):
    text = {**parts.LLAMA, "model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 6}
    config = composed_config(text_config=text, projector_type="perceiver", fusion=fusion, action_head="mlp")
    model, batch = randomized(MultimodalVLAForActionPrediction(config)).eval(), parts.Batch(config)
    alone = torch.cat([model.predict_action(**batch.prediction([row])) for row in range(2)])
    batch.side = side
    inputs = batch.prediction(extra=2)
    torch.testing.assert_close(model.predict_action(**inputs), alone, **CLOSE)
    torch.testing.assert_close(recorded(model).predict_action(**inputs), alone, **CLOSE)


@pytest.mark.parametrize("head", ["flow", "discrete"])
def test_samples_are_drawn_before_the_graph_and_are_those_of_an_eager_call(composed, head):
    model, batch = composed("linear", "early", head)
    inputs = {**batch.inputs(), "num_samples": 3}
    torch.manual_seed(0)
    plain = model.predict_action(**inputs)
    recorded(model)
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        found.append(model.predict_action(**inputs).normalized_actions)
    assert model.fast_prediction.stats.replays == 2
    torch.testing.assert_close(found[0], plain.normalized_actions, **CLOSE)
    assert not torch.allclose(found[1], found[0])


@pytest.mark.parametrize("name", ["concat", "moe"])
def test_two_towers_ask_nothing(randomized, name):
    config = composed_config(**{**towers.PAIR, **towers.CHOICES[name], "vision_feature_layer": -2})
    model = randomized(MultimodalVLAForActionPrediction(config)).eval()
    check_fast(model, towers.arguments(model, pixel_values=towers.pixels(3 * len(config.towers))))


def test_a_bucket_that_is_longer_than_the_language_model_is_left_out(composed):
    model, batch = composed("perceiver", "early", "mlp")
    inputs = batch.prediction()
    plain, length = model.predict_action(**inputs), inputs["input_ids"].shape[1]
    around = model.config.num_latents + 1 + model.config.num_queries  # images before, the state and queries behind
    for limit in (length + around, BUCKET + around - 1):
        model.config.text_config.max_position_embeddings = limit
        torch.testing.assert_close(recorded(model).predict_action(**inputs), plain, **CLOSE)
    model.config.text_config.max_position_embeddings = length + around - 1
    with pytest.raises(InputError, match=f"only {length + around - 1} positions"):
        recorded(model).predict_action(**inputs)


def test_what_is_wrong_ends_a_fast_prediction_by_its_name(composed):
    model, batch = composed("linear", "early", "mlp")
    inputs = batch.prediction()
    recorded(model).predict_action(**inputs)
    with pytest.raises(NonFiniteError, match="pixel_values"):
        model.predict_action(**{**inputs, "pixel_values": inputs["pixel_values"] * torch.nan})
    with pytest.raises(InputError, match="row 1"):
        model.predict_action(**{**inputs, "attention_mask": inputs["attention_mask"] * torch.tensor([[1], [0]])})
    assert model.fast_prediction.stats.eager_fallbacks == 0


# ---- text models and VLMs

# What transformers itself asks or hands over in a prediction: (5.x, 4.57), at most. What is not here: nothing.
ASKS = {
    **{"bloom": (0, 1), "ctrl": (2, 1), "distilbert": (0, 2), "ernie4_5_moe": (0, 9), "falcon": (4, 4)},
    **{"falcon_h1": (3, 3), "flex_olmo": (0, 8), "glm4_moe": (0, 4), "gpt_oss": (0, 70), "granitemoe": (0, 2)},
    **{"granitemoeshared": (0, 2), "jamba": (3, 8), "jetmoe": (4, 4), "lfm2": (3, 1), "minimax": (3, 19)},
    **{"mixtral": (0, 18), "mpt": (0, 1), "olmoe": (0, 8), "phimoe": (0, 10), "qwen2_moe": (0, 18)},
    **{"qwen3_moe": (0, 18), "qwen3_next": (3, 13), "xglm": (0, 3)},
    # VLMs, with two views of two samples; a vision tower that reads sizes does so before the core
    **{"blip-2": (1, 0), "glm4v": (12, 59), "idefics3": (4, 51), "llava_next": (2, 2), "llava_onevision": (3, 3)},
    **{"minicpmv4_6": (43, 0), "mistral3": (1, 19), "mllama": (1, 1), "pixtral": (1, 19), "qwen2_5_vl": (12, 104)},
    **{"qwen3_vl": (21, 107), "qwen3_vl_moe": (40, 107), "smolvlm": (4, 52)},
}
NOT_ONE_PIECE = ("qwen3_vl", "qwen3_vl_moe", "minicpmv4_6", "mllama")
AVAILABLE = transformers.models.auto.configuration_auto.CONFIG_MAPPING_NAMES


def some(*fast):
    """Of a list of kinds those that are named run always, the others with the slow tests."""
    return lambda kinds: [
        kind if kind in fast else pytest.param(kind, marks=pytest.mark.slow) for kind in kinds if kind in AVAILABLE
    ]


def with_language_model(kind):
    """A model around it, and inputs."""
    text = {"model_type": kind, **padded.SIZES, **padded.KINDS.get(kind, {})}
    text = text if kind in padded.KINDS else tiny_text_config(kind)
    config = composed_config(text_config=text, use_state=False, state_dim=None, action_head="mlp")
    model = weights_that_matter(MultimodalVLAForActionPrediction(config))
    return model, {name: each for name, each in choices.inputs_of(config).items() if name != "state"}


def check_asks(kind, model, inputs):
    bound = ASKS.get(kind, (0, 0))[OLDER]
    if not bound:
        check_fast(model, inputs)
        return
    plain = model.predict_action(**inputs)
    assert waits_of(model, inputs, check_finite=False) <= bound
    if kind in vlms.VLMS or kind in prepared.TINY_VLMS:
        recorded(model)
        for each in (inputs, longer(inputs)) if kind not in NOT_ONE_PIECE else (inputs,):
            torch.testing.assert_close(model.predict_action(**each), plain, **CLOSE)
        wanted = 0 if kind in NOT_ONE_PIECE else num_buckets(inputs)
        assert model.fast_prediction.stats.captures == wanted


@pytest.mark.parametrize("kind", some("gpt2", "gemma2", "mamba", "mpt", "qwen2_moe", "falcon_h1")(LANGUAGE_MODELS))
def test_what_language_models_ask_is_known_and_no_bucket_changes_their_answer(kind):
    """Queries behind the padding of a bucket see the text as near as they would without it."""
    text = (
        {"model_type": kind, **padded.SIZES, **padded.KINDS[kind]} if kind in padded.KINDS else tiny_text_config(kind)
    )
    config = composed_config(text_config=text, use_state=False, state_dim=None, action_head="mlp")
    model = weights_that_matter(MultimodalVLAForActionPrediction(config))
    inputs = choices.inputs_of(model.config)
    check_asks(kind, model, {name: value for name, value in inputs.items() if name != "state"})


@pytest.mark.parametrize("kind", some("bert", "t5")(choices.TEXT_ENCODERS))
def test_encoders_ask_nothing(kind):
    model = choices.composed(text_config=choices.encoder_config(kind), num_inference_steps=2)
    check_asks(kind, model, choices.inputs_of(model.config))


@pytest.mark.parametrize("kind", some("clip_vision_model", "resnet")(choices.TOWERS))
def test_towers_ask_nothing(kind):
    model = choices.composed(vision_config=choices.tower_config(kind), num_inference_steps=2)
    check_asks(kind, model, choices.inputs_of(model.config, 64))


@pytest.mark.parametrize("fields", [{}, {"projector_type": "perceiver", "fusion": "late"}, {"fusion": "film"}])
@pytest.mark.parametrize("kind", vlms.VLMS)
def test_what_vlms_ask_is_known_with_features_of_their_own_and_with_others(randomized, kind, fields):
    if kind == "qwen3_vl" and fields:
        pytest.skip("its image features cannot be replaced")
    config = MultimodalVLAConfig(vlm_config={"model_type": kind, **vlms.VLMS[kind]}, **{**vlms.OPTIONS, **fields})
    model = randomized(MultimodalVLAForActionPrediction(config)).eval()
    check_asks(kind, model, vlms.Batch(kind).prediction("mlp", extra=1))


@pytest.mark.parametrize("kind", some("gemma3", "idefics3", "llava_next")(prepared.TINY_VLMS))
def test_what_vlms_with_processors_of_their_own_ask_is_known(randomized, kind):
    case = prepared.Case(kind, randomized, action_head="mlp")
    check_asks(kind, case.model, case.inputs())


# ---- one piece for torch.compile


@pytest.mark.slow
@every_fusion
def test_the_core_of_every_head_and_fusion_compiles_once_a_bucket(
    composed, fresh_dynamo, projector, fusion, head, text
):
    model, batch = composed(projector, fusion, head, text)
    check_core_compiles(model, batch.prediction())


@pytest.mark.inductor
@pytest.mark.slow
def test_compiled_mode_answers_as_an_eager_call(composed, fresh_dynamo):
    """By inductor."""
    model, batch = composed("linear", "early", "discrete")
    inputs = batch.prediction()
    plain = model.predict_action(**inputs)
    recorded(model, mode="compile")
    for each in (inputs, longer(inputs)):
        torch.testing.assert_close(model.predict_action(**each), plain, atol=1e-4, rtol=1e-4)
    assert model.fast_prediction.stats.captures == 1 and not model.fast_prediction.stats.eager_fallbacks


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bloom", "gemma2", "gpt2", "mamba", "phi3", "qwen3_moe", "qwen3_next"])
def test_the_core_around_language_models_compiles(fresh_dynamo, kind):
    if OLDER and ASKS.get(kind, (0, 0))[1]:
        pytest.skip("it asks for numbers on 4.57, and runs eagerly")
    text = (
        {"model_type": kind, **padded.SIZES, **padded.KINDS[kind]} if kind in padded.KINDS else tiny_text_config(kind)
    )
    config = composed_config(text_config=text, use_state=False, state_dim=None, action_head="mlp")
    model = weights_that_matter(MultimodalVLAForActionPrediction(config))
    inputs = choices.inputs_of(model.config)
    check_core_compiles(model, {name: value for name, value in inputs.items() if name != "state"})


@pytest.mark.slow
@pytest.mark.parametrize("kind", vlms.VLMS)
def test_the_core_around_vlms_compiles(randomized, fresh_dynamo, kind):
    if kind in NOT_ONE_PIECE:
        pytest.skip("transformers asks between its layers")
    config = MultimodalVLAConfig(vlm_config={"model_type": kind, **vlms.VLMS[kind]}, **vlms.OPTIONS)
    model = randomized(MultimodalVLAForActionPrediction(config)).eval()
    check_core_compiles(model, vlms.Batch(kind).prediction("mlp"))


# ---- products of one input


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"fusion": "film", "projector_type": "perceiver"}, 3),  # FiLM, and keys and values in two layers
        ({"fusion": "gated_cross_attention", "projector_type": "linear", "cross_layer_interval": 1}, 1),
        ({"fusion": "early", "action_head": "flow", "num_inference_steps": 2}, 4),  # two layers of the expert
        ({**towers.PAIR, "use_film": True, "vision_feature_layer": -2}, 2),  # FiLM of each tower
    ],
)
def test_layers_of_ours_that_read_one_input_are_one_product(randomized, fields, count):
    config = composed_config(**{"text_config": parts.LLAMA, "action_head": "mlp", "num_resampler_layers": 2, **fields})
    model = randomized(MultimodalVLAForActionPrediction(config)).eval()
    inputs = choices.inputs_of(config)
    channels = 3 * len(config.towers)
    inputs["pixel_values"] = torch.randn(2, 2, channels, 28, 28, generator=torch.Generator().manual_seed(0))
    plain, names = model.predict_action(**inputs), model.state_dict().keys()
    groups = model.projections_to_fuse()
    assert len(groups) == count
    for group in groups:
        lay_side_by_side(group)
    called, call = [], torch.nn.Module.__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Linear, "__call__", lambda self, x: called.append(self) or call(self, x))
        torch.testing.assert_close(model.predict_action(**inputs), plain, **CLOSE)
    assert called and not set(called) & {linear for group in groups for linear in group}
    assert model.state_dict().keys() == names
