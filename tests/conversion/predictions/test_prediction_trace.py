"""What a picture of a prediction is drawn of: the prediction itself, and what hooks read beside it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_configs import IMAGE_SIZE, PROMPT_END, cogvla_config, composed_config, llava3d_config

import vlahub
from vlahub.conversion.families import OURS
from vlahub.conversion.multimodal_vla.prediction_trace import seen_views
from vlahub.conversion.predictions.prediction_trace import Asked, traced_plainly
from vlahub.errors import InputError
from vlahub.modeling import flow_sampling
from vlahub.modeling.action_normalization import unnormalize
from vlahub.modeling.mapanything_llava3d import action_experts, dit_sampling
from vlahub.processing.image_processors import FixedSizeImageProcessor

SIZE = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
STATISTICS = {"a": {"action": {"q01": [-1.0, -2.0, 0.0], "q99": [2.0, 5.0, 1.0], "mask": [True, True, False]}}}
SIGLIP_AND_TEXT = {
    "model_type": "siglip",
    "vision_config": {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2},
    "text_config": {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2},
}
SIGLIP_AND_TEXT["vision_config"] |= {"image_size": IMAGE_SIZE, "patch_size": 14}
SIGLIP_AND_TEXT["text_config"] |= {"vocab_size": 50, "projection_size": 24, "max_position_embeddings": 8}
DINO = {"model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
DINO |= {"image_size": IMAGE_SIZE, "patch_size": 14}


def made(kind, config):
    """With weights large enough for every part to matter."""
    generator = torch.Generator().manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_scale = name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "scale_factor"))
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.15 + is_scale)
    return model


def asked_of(model, image_processor, views, **options):
    """A prompt, views of noise, and a processor that has what a trace asks it for."""
    generator = torch.Generator().manual_seed(1)
    images = [np.random.RandomState(i).randint(0, 256, (IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8) for i in range(views)]
    inputs = {"input_ids": torch.tensor([[1, *range(5, 9), PROMPT_END if PROMPT_END < 300 else 9]])}
    inputs["pixel_values"] = image_processor([images], return_tensors="pt")["pixel_values"]
    if model.config.use_state:
        inputs["state"] = torch.randn(1, model.config.state_dim, generator=generator)
    processor = SimpleNamespace(image_processor=image_processor, view_names=None, grounding_text=None)
    return processor, Asked(images, "lift it", inputs, options)


def cogvla(views=2, options=(), **fields):
    model = made(vlahub.CogVLAForActionPrediction, cogvla_config(num_images_in_input=views, **fields))
    images = vlahub.CogVLAImageProcessor((IMAGE_SIZE,) * 2, evaluation_size=IMAGE_SIZE, num_images_in_input=views)
    return model, *asked_of(model, images, views, **dict(options))


def llava3d(options=(), **fields):
    fields = {"action_dim": 3, "norm_stats": STATISTICS, **fields}
    model = made(vlahub.MapAnythingLlava3DForConditionalGeneration, llava3d_config(**fields))
    processor, asked = asked_of(model, vlahub.MapAnythingLlava3DImageProcessor(SIZE), 2, **dict(options))
    patches = 2 * (IMAGE_SIZE // 14) ** 2
    asked.inputs["input_ids"] = torch.tensor([[*[40] * patches, 5, 6, 7]])
    return model, processor, asked


def composed(options=(), **fields):
    model = made(vlahub.MultimodalVLAForActionPrediction, composed_config(**fields))
    second = {"second_image_mean": [0.4] * 3, "second_image_std": [0.2] * 3} if len(model.config.towers) > 1 else {}
    images = vlahub.MultimodalVLAImageProcessor(SIZE, [0.5, 0.4, 0.3], [0.2, 0.3, 0.4], **second)
    return model, *asked_of(model, images, 2, **dict(options))


AGGREGATION = {"use_aggr": True, "num_vision_aggr": 3}
OPENVLA = {"use_film": False, "use_aggr": False, "use_lfp": False, "vision_aggregate_type": "concat"}
TWO_TOWERS = {"second_vision_config": DINO, "vision_aggregate_type": "moe", "projector_type": "mlp"}
MODELS = {
    "cogvla": lambda **more: cogvla(**more),
    "cogvla, tokens": lambda **more: cogvla(action_head="discrete", **more),
    "oft, diffusion": lambda **more: cogvla(views=1, action_head="diffusion", **OPENVLA, **more),
    "openvla": lambda **more: cogvla(
        views=1, action_head="discrete", action_attention="causal", num_action_chunks=1, **OPENVLA, **more
    ),
    "pruned, token by token": lambda **more: cogvla(
        action_head="discrete", action_attention="causal", num_action_chunks=1, **more
    ),
    "pruned patches": lambda **more: cogvla(use_aggr=False, **more),
    "llava, deep fusion": lambda **more: llava3d(action_expert_type="deep_fusion", **more),
    "llava, dit": lambda **more: llava3d(action_expert_type="dit", **more),
    "llava, both": lambda **more: llava3d(action_expert_type="deep_fusion+dit", **more),
    "composed, flow": lambda **more: composed(action_head="flow", **more),
    "composed, mlp": lambda **more: composed(action_head="mlp", **TWO_TOWERS, **more),
    "composed, aggregation": lambda **more: composed(
        action_head="flow", use_film=True, **TWO_TOWERS, **AGGREGATION, **more
    ),
}


def trace_of(model, processor, asked, seed=3):
    torch.manual_seed(seed)
    return OURS[model.config.model_type].prediction.trace(model, processor, asked)


def hooks_of(model):
    return [(module._forward_hooks.copy(), module._forward_pre_hooks.copy()) for module in model.modules()]


@pytest.mark.parametrize("kind", MODELS)
def test_the_actions_of_a_picture_are_those_of_a_prediction_and_no_hook_stays(kind):
    model, processor, asked = MODELS[kind]()
    hooks = hooks_of(model)
    trace = trace_of(model, processor, asked)
    torch.manual_seed(3)
    predicted = model.predict_action(**asked.inputs)
    np.testing.assert_array_equal(trace.drawn.actions, predicted.numpy())
    assert trace.drawn.spread is None and hooks_of(model) == hooks
    assert trace.as_seen and len(trace.views) == len(asked.images)
    for seen, given in zip(trace.views, asked.images, strict=True):
        assert seen.dtype == np.uint8 and np.array_equal(seen, given)  # of the size of the input: back bit by bit


@pytest.mark.parametrize("kind", ["cogvla, tokens", "oft, diffusion", "openvla", "llava, both", "composed, flow"])
def test_samples_of_a_picture_are_those_of_a_prediction(kind):
    model, processor, asked = MODELS[kind](options={"num_samples": 3})
    trace = trace_of(model, processor, asked)
    torch.manual_seed(3)
    found = model.predict_action(**asked.inputs, num_samples=3)
    np.testing.assert_array_equal(trace.drawn.actions, found.actions[0].numpy())
    np.testing.assert_array_equal(trace.drawn.spread, found.spread[0].numpy())
    assert (trace.drawn.entropy is None) == (found.entropy is None)
    if found.entropy is not None:
        np.testing.assert_array_equal(trace.drawn.entropy, found.entropy[0].numpy())
    if trace.path is not None:
        np.testing.assert_array_equal(trace.path[-1], found.actions[0, 0].numpy())


@pytest.mark.parametrize("kind", ["cogvla", "llava, dit", "composed, mlp"])
def test_views_are_as_large_as_the_model_saw_them(kind):
    model, processor, asked = MODELS[kind]()
    larger = [image.repeat(2, axis=0).repeat(3, axis=1) for image in asked.images]
    trace = trace_of(model, processor, Asked(larger, asked.text, asked.inputs, asked.options))
    assert trace.as_seen and all(np.array_equal(*pair) for pair in zip(trace.views, asked.images, strict=True))


def test_of_a_model_of_which_nothing_else_is_known_views_are_as_they_were_given():
    model, processor, asked = MODELS["cogvla"]()
    trace = traced_plainly(model, processor, asked)
    assert not trace.as_seen and trace.attention == () and trace.kept is None
    assert all(np.array_equal(*pair) for pair in zip(trace.views, asked.images, strict=True))
    np.testing.assert_array_equal(trace.drawn.actions, model.predict_action(**asked.inputs).numpy())


# ---- CogVLA


def naive_attention(queries, keys, heads, count, patches):
    """(views, tokens, patches): token by token, head by head."""
    queries, keys = queries.double(), keys.double()
    size = queries.shape[-1] // heads
    rows = torch.zeros(len(queries), count, patches, dtype=torch.float64)
    for view in range(len(queries)):
        for token in range(count):
            for head in range(heads):
                part = slice(head * size, (head + 1) * size)
                query, seen = queries[view, token - count, part], keys[view, :, part]
                weights = torch.softmax(seen @ query / size**0.5, dim=0)
                rows[view, token] += weights[-count - patches : -count] / heads
    return rows


def assert_attention(attention, rows, side):
    """That of a trace is the naive one."""
    shares = rows.sum(dim=-1)
    np.testing.assert_allclose(attention.on_patches, shares, atol=1e-6)
    np.testing.assert_allclose(attention.weights, rows / shares[..., None], atol=1e-6)
    np.testing.assert_allclose(attention.weights.sum(axis=-1), 1, atol=1e-6)
    assert attention.weights.shape == rows.shape and attention.grid == (side, side)
    assert attention.weights.std() > 0.01 and (attention.on_patches < 1).all()


def inputs_while(modules, run):
    """What `run` returns, and what each module was given last, by the names of `modules`."""
    seen = {}
    handles = [
        module.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[0]}))
        for name, module in modules.items()
    ]
    found = run()
    for handle in handles:
        handle.remove()
    return found, seen


def test_attention_of_aggregation_tokens_is_the_naive_one_and_adds_up_to_one():
    model, processor, asked = cogvla()
    towers = {"DINOv2": model.vision_backbone.featurizer, "SigLIP": model.vision_backbone.fused_featurizer}
    blocks = {name: tower.blocks[-1] for name, tower in towers.items()}
    trace, seen = inputs_while(blocks, lambda: trace_of(model, processor, asked))
    assert [attention.encoder for attention in trace.attention] == list(towers)
    for attention in trace.attention:
        block = blocks[attention.encoder]
        with torch.no_grad():
            query, key, _ = block.attn.qkv(block.norm1(seen[attention.encoder])).chunk(3, dim=-1)
        heads, count = block.attn.num_heads, model.config.num_vision_aggr
        assert_attention(attention, naive_attention(query, key, heads, count, 4), 2)


@pytest.mark.parametrize("kind", ["cogvla", "pruned patches", "pruned, token by token"])
def test_kept_tokens_are_as_many_as_the_schedule_says_and_those_of_the_prediction(kind):
    model, processor, asked = MODELS[kind]()
    trace = trace_of(model, processor, asked)
    config, found = model.config, model.predict_action(**asked.inputs, return_dict=True)
    ratios = config.lfp_keep_ratios
    assert list(trace.kept.kept) == list(ratios) and trace.kept.num_layers == config.text_config.num_hidden_layers
    shares = trace.kept.shares()
    for layer in range(trace.kept.num_layers):
        if layer not in ratios:
            assert (shares[layer] == 1).all()
            continue
        is_kept = trace.kept.kept[layer]
        assert is_kept.sum() == int(config.num_vision_tokens * ratios[layer])
        assert np.flatnonzero(is_kept).tolist() == found.kept_vision_tokens[layer][0].tolist()
        np.testing.assert_allclose(shares[layer], is_kept.sum(axis=1) / is_kept.shape[1])
    assert trace.kept.grid == (None if config.use_aggr else (2, 2))
    np.testing.assert_array_equal(trace.encoder_weights, found.moe_ratios[0].numpy())
    np.testing.assert_allclose(trace.encoder_weights.sum(axis=1), 1, atol=1e-6)


def test_models_without_the_parts_have_views_and_chunk():
    trace = trace_of(*MODELS["openvla"]())
    parts = trace.attention, trace.kept, trace.encoder_weights, trace.path, trace.grounding
    assert parts == ((), None, None, None, None)


# ---- the way from noise


@pytest.fixture
def visited(monkeypatch):
    """The states at which steps begin, as `integrate` itself tells them."""
    found = []
    for module in (flow_sampling, dit_sampling, action_experts):
        plain = module.integrate
        monkeypatch.setattr(module, "integrate", lambda *given, plain=plain: plain(*given, visited=found))
    return found


FLOWS = [
    ("llava, deep fusion", {}),
    ("llava, dit", {"ode_solver": "midpoint"}),
    ("llava, dit", {"guidance_scale": 2.0}),
    ("llava, both", {"ode_solver": "heun", "num_samples": 2}),
    ("composed, flow", {"ode_solver": "heun", "ode_spacing": "cosine"}),
    ("composed, flow", {"num_samples": 2}),
]


@pytest.mark.parametrize(("kind", "options"), FLOWS, ids=str)
def test_the_path_is_the_solvers_and_ends_at_the_prediction(kind, options, visited):
    fields = {"dit_config": {"condition_dropout": 0.1}} if "guidance_scale" in options else {}
    model, processor, asked = MODELS[kind](options={**options, "num_inference_steps": 4}, **fields)
    trace = trace_of(model, processor, asked)
    statistics = next(iter(model.config.norm_stats.values()))["action"]
    states = torch.stack([state[0] for state in visited])
    np.testing.assert_array_equal(trace.path[:-1], unnormalize(states, statistics, "bounds_q99").numpy())
    np.testing.assert_array_equal(trace.path[-1], trace.drawn.actions[0])
    assert len(trace.path) == 5


def test_the_path_is_in_the_units_of_the_statistics_that_were_named(visited):
    other = {"q01": [-10.0, -20.0, 0.0], "q99": [20.0, 50.0, 1.0], "mask": [True, True, False]}
    options = {"unnorm_key": "b", "num_inference_steps": 2}
    norm_stats = {**STATISTICS, "b": {"action": other}}
    trace = trace_of(*llava3d(action_expert_type="deep_fusion", norm_stats=norm_stats, options=options))
    states = torch.stack([state[0] for state in visited])
    np.testing.assert_array_equal(trace.path[:-1], unnormalize(states, other, "bounds_q99").numpy())
    np.testing.assert_array_equal(trace.path[-1], trace.drawn.actions[0])


def test_the_path_of_a_diffusion_head_begins_with_the_noise_and_ends_at_the_prediction():
    noise = torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(2))
    model, processor, asked = cogvla(action_head="diffusion", options={"noise": noise})
    trace = trace_of(model, processor, asked)
    statistics = model.config.norm_stats["tiny"]["action"]
    np.testing.assert_array_equal(trace.path[0], unnormalize(noise[0], statistics, "bounds_q99").numpy())
    np.testing.assert_array_equal(trace.path[-1], trace.drawn.actions[0])
    assert len(trace.path) == model.config.num_diffusion_steps + 1


# ---- composed models


def test_the_weights_of_two_composed_towers_are_those_of_the_prediction():
    model, processor, asked = MODELS["composed, mlp"]()
    trace = trace_of(model, processor, asked)
    found = model.predict_action(**asked.inputs, return_dict=True)
    np.testing.assert_array_equal(trace.encoder_weights, found.moe_ratios[0].numpy())
    np.testing.assert_allclose(trace.encoder_weights.sum(axis=1), 1, atol=1e-6)
    assert trace.encoders == ("siglip", "dinov2")


REGISTERS = {**DINO, "model_type": "dinov2_with_registers", "num_register_tokens": 2, "patch_size": 7}
AGGREGATING = {
    "one tower": {},
    "two towers of other patches, FiLM": {"second_vision_config": REGISTERS, "use_film": True},
    "weighed, features of the second to last block": {**TWO_TOWERS, "vision_feature_layer": -2},
    "beside a text tower, flow": {"vision_config": SIGLIP_AND_TEXT, "action_head": "flow", "use_film": True},
}


@pytest.mark.parametrize("name", AGGREGATING)
def test_attention_of_composed_aggregation_tokens_is_the_naive_one(name):
    model, processor, asked = composed(**{"action_head": "mlp", **AGGREGATION, **AGGREGATING[name]})
    config, readers = model.config, {}
    for number, (tower, part) in enumerate(zip(model.backbone.towers, config.towers.values(), strict=True)):
        last = f".{part.num_hidden_layers + (config.vision_feature_layer or -1)}."
        layers = {path: layer for path, layer in tower.named_modules() if last in path}
        (query,) = (layer for path, layer in layers.items() if path.endswith((".q_proj", ".query")))
        (key,) = (layer for path, layer in layers.items() if path.endswith((".k_proj", ".key")))
        readers[number] = query, key
    queries = {number: query for number, (query, _) in readers.items()}
    trace, seen = inputs_while(queries, lambda: trace_of(model, processor, asked))
    assert len(trace.attention) == len(readers) and [one.encoder for one in trace.attention] == list(trace.encoders)
    for number, tower in enumerate(config.towers.values()):
        with torch.no_grad():
            query, key = (layer(seen[number]) for layer in readers[number])
        side = IMAGE_SIZE // tower.patch_size
        rows = naive_attention(query, key, tower.num_attention_heads, 3, side**2)
        assert_attention(trace.attention[number], rows, side)
    assert trace_of(*composed(action_head="mlp")).attention == ()


def test_the_grounding_score_is_the_models():
    model, processor, asked = composed(action_head="mlp", vision_config=SIGLIP_AND_TEXT)
    assert trace_of(model, processor, asked).grounding is None  # no tokenizer of the text tower
    texts = {"input_ids": torch.tensor([[5, 6, 7, 1, 1, 1, 1, 1]]), "pixel_values": asked.inputs["pixel_values"]}

    class Grounded(SimpleNamespace):
        def __call__(self, images, text, grounding):
            assert grounding and text == asked.text
            return SimpleNamespace(to=lambda device: texts)

    processor = Grounded(**{**vars(processor), "grounding_text": object()})
    np.testing.assert_array_equal(
        trace_of(model, processor, asked).grounding, model.grounding_score(**texts)[0].numpy()
    )


@pytest.mark.parametrize(
    ("shape", "is_seen"),
    [
        ((1, 2, 3, 4, 5), True),
        ((1, 2, 6, 4, 5), True),
        ((1, 3, 3, 4, 5), False),
        ((2, 2, 3, 4, 5), False),
        ((2, 3, 4, 5), False),
    ],
)
def test_as_many_pictures_as_views_are_what_the_first_tower_saw(shape, is_seen):
    pixels = torch.zeros(shape)
    pixels[..., 3:, :, :] = 1.0  # of a second tower
    inner = SimpleNamespace(image_mean=[0.5, 0.25, 0.0], image_std=[0.5, 0.5, 0.5])
    processor = SimpleNamespace(image_processor=SimpleNamespace(own_image_processor=lambda: inner))
    found = seen_views(processor, Asked([], "", {"pixel_values": pixels}, {}), count=2)
    assert (found is not None) == is_seen
    for view in found or ():
        assert view.shape == (4, 5, 3) and view[0, 0].tolist() == [128, 64, 0]


def test_views_that_a_model_reads_otherwise_are_shown_as_they_were_given():
    model, processor, asked = composed(action_head="mlp")

    class Tiles(FixedSizeImageProcessor):
        """Of statistics that nobody knows."""

    processor.image_processor = Tiles(SIZE, None)
    trace = trace_of(model, processor, asked)
    assert not trace.as_seen and all(map(np.array_equal, trace.views, asked.images))


def test_several_observations_are_refused():
    model, processor, asked = MODELS["composed, mlp"]()
    hooks = hooks_of(model)
    batch = {name: torch.cat([value] * 2) for name, value in asked.inputs.items()}
    with pytest.raises(InputError, match="one observation, the inputs have 2"):
        trace_of(model, processor, Asked(asked.images, asked.text, batch, {}))
    assert hooks_of(model) == hooks
