"""The whole LLaVA-3D model at tiny sizes: batches, padding, counts of calls, training, loading, text, refusals."""

import copy
import json

import pytest
import torch
from transformers import LlamaForCausalLM, Trainer, TrainingArguments

from vlahub import MapAnythingLlava3DConfig, MapAnythingLlava3DForConditionalGeneration
from vlahub.errors import ConfigError, InputError
from vlahub.modeling.cache_names import cache_argument
from vlahub.modeling.embodiments import EmbodimentLinear
from vlahub.modeling.mapanything_llava3d.action_experts import sample_actions
from vlahub.modeling.mapanything_llava3d.llava3d_inputs import check_tokens, has_image_tokens
from vlahub.modeling.mapanything_llava3d.llava3d_with_action_expert import read_prefix
from vlahub.modeling.mapanything_llava3d.siglip_tower import geometry_pixels, siglip_pixels

KINDS = ["deep_fusion", "dit", "deep_fusion+dit"]
every_kind = pytest.mark.parametrize("kind", KINDS)
IMAGE, VIEWS, PATCHES, HORIZON, DIM, STATE, VOCABULARY = 45, 2, 4, 4, 7, 5, 40
STATISTICS = {
    "tiny": {
        "action": {"q01": [-2.0] * DIM, "q99": [3.0] * DIM, "mask": [True] * 6 + [False]},
        "state": {"q01": [-1.0] * STATE, "q99": [1.0] * STATE},
    }
}
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
LENGTHS = (3, 7, 5)


@pytest.fixture
def tiny(llava3d, randomized):
    """`tiny(attn_implementation="sdpa", **config) -> model`: two views, a state, random weights."""

    def make(attn_implementation="sdpa", text_config=None, **fields):
        example, _ = llava3d(action_expert_type=None, use_geometric_branch=False)
        sizes = {name: getattr(example.config, name).to_dict() for name in ("vision_config", "geometry_config")}
        text = example.config.text_config.to_dict() | {"model_type": "llama", **(text_config or {})}
        config = MapAnythingLlava3DConfig(
            **{
                **sizes,
                "text_config": text,
                "image_token_id": IMAGE,
                "action_horizon": HORIZON,
                "use_state": True,
                "state_dim": STATE,
                "expert_num_layers": 2,
                "norm_stats": STATISTICS,
                "dit_config": {"num_hidden_layers": 2, "num_future_tokens": 3, "mlp_hidden_dim": 16, "dropout": 0.0},
                **fields,
            }
        )
        model = MapAnythingLlava3DForConditionalGeneration._from_config(config, attn_implementation=attn_implementation)
        return randomized(model).eval()

    return make


class Batch:
    """Three samples of different lengths, together on one side of the padding, or singly without any."""

    def __init__(self, side="right", views=VIEWS, use_state=True):
        generator = torch.Generator().manual_seed(7)
        self.side = side
        self.rows = []
        for i, length in enumerate(LENGTHS):
            text = torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()
            self.rows.append([1, *text[:i], *[IMAGE] * views * PATCHES, *text[i:]])
        self.pixels = torch.rand(3, views, 3, 28, 28, generator=generator) * 2 - 1
        self.state = torch.randn(3, STATE, generator=generator) if use_state else None
        self.noise = torch.randn(3, HORIZON, DIM, generator=generator)
        self.actions = torch.randn(3, HORIZON, DIM, generator=generator)
        self.time = torch.tensor([0.2, 0.5, 0.8])

    def prompt(self, rows=(0, 1, 2)):
        longest = max(len(self.rows[i]) for i in rows)
        ids, mask = torch.zeros(len(rows), longest, dtype=torch.long), torch.zeros(len(rows), longest, dtype=torch.long)
        for place, i in enumerate(rows):
            row = torch.tensor(self.rows[i])
            part = slice(len(row)) if self.side == "right" else slice(longest - len(row), longest)
            ids[place, part], mask[place, part] = row, 1
        return {"input_ids": ids, "attention_mask": mask, "pixel_values": self.pixels[list(rows)]}

    def prediction(self, rows=(0, 1, 2)):
        state = {} if self.state is None else {"state": self.state[list(rows)]}
        return {**self.prompt(rows), **state, "noise": self.noise[list(rows)]}

    def training(self, rows=(0, 1, 2)):
        return {**self.prediction(rows), "actions": self.actions[list(rows)], "time": self.time[list(rows)]}

    def labels(self, rows=(0, 1, 2)):
        prompt = self.prompt(rows)
        hidden = (prompt["input_ids"] == IMAGE) | (prompt["attention_mask"] == 0)
        return prompt["input_ids"].masked_fill(hidden, -100)


def count_calls(modules):
    counts = dict.fromkeys(modules, 0)
    for name, module in modules.items():
        module.register_forward_pre_hook(lambda *_, name=name: counts.update({name: counts[name] + 1}))
    return counts


# ---- predictions


@every_kind
@pytest.mark.parametrize("padded", [True, False])
def test_everything_but_the_action_expert_runs_once_in_a_prediction(tiny, kind, padded):
    model, arguments = tiny(action_expert_type=kind), Batch().prediction((0, 1, 2) if padded else (1,))
    if not padded:
        del arguments["attention_mask"]
    once = {"vision": model.vision_tower, "geometry": model.geometric_model, "fusion": model.fusion_projector}
    once |= {f"base {i}": layer for i, layer in enumerate(model.language_model.decoder.layers)}
    every_step = {}
    if model.language_model_with_expert is not None:
        layers = model.language_model_with_expert.expert.layers
        every_step |= {f"expert {i}": layer for i, layer in enumerate(layers)}
        once["state"] = model.action_expert.state_proj
    if model.dit_action_head is not None:
        blocks = model.dit_action_head.model.transformer_blocks
        every_step |= {f"block {i}": block for i, block in enumerate(blocks)}
        once |= {"dit state": model.dit_action_head.state_encoder, "vlm keys": blocks[0].attn1.to_k}
    counts, steps = count_calls(once), count_calls(every_step)
    assert model.predict_action(**arguments, num_steps=10).isfinite().all()
    assert set(counts.values()) == {1}, counts
    assert set(steps.values()) == {10}, steps


@every_kind
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_padded_row_predicts_what_it_predicts_alone(tiny, kind, side, implementation):
    model, batch = tiny(implementation, action_expert_type=kind), Batch(side)
    together = model.predict_action(**batch.prediction())
    for i in range(3):
        alone = model.predict_action(**batch.prediction([i]))
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.05


@every_kind
@pytest.mark.parametrize("prefix_attention", ["causal", "bidirectional"])
def test_padding_may_stand_anywhere(tiny, kind, prefix_attention):
    model, batch = tiny(action_expert_type=kind, prefix_attention=prefix_attention), Batch()
    arguments = batch.prediction([1])
    wanted = model.predict_action(**arguments)
    ids = arguments["input_ids"][0].tolist()
    spread = [0, *ids[:4], 0, 0, *ids[4:10], 0, *ids[10:], 0]
    real = [0, *[1] * 4, 0, 0, *[1] * 6, 0, *[1] * (len(ids) - 10), 0]
    arguments |= {"input_ids": torch.tensor([spread]), "attention_mask": torch.tensor([real])}
    torch.testing.assert_close(model.predict_action(**arguments), wanted, atol=1e-4, rtol=1e-4)
    arguments["input_ids"] = torch.where(arguments["attention_mask"] == 0, 9, arguments["input_ids"])
    torch.testing.assert_close(model.predict_action(**arguments), wanted, atol=1e-4, rtol=1e-4)


@every_kind
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_loss_of_a_padded_batch_is_the_mean_of_its_rows(tiny, kind, side):
    model, batch = tiny(action_expert_type=kind, use_time_weight=False), Batch(side)
    together = model(**batch.training()).loss
    alone = torch.stack([model(**batch.training([i])).loss for i in range(3)])
    torch.testing.assert_close(together, alone.mean(), atol=1e-4, rtol=1e-4)


@every_kind
def test_a_causal_prefix_differs_from_a_bidirectional_one(tiny, kind):
    arguments = Batch().prediction()
    two = [tiny(action_expert_type=kind, prefix_attention=how) for how in ("causal", "bidirectional")]
    first, second = (model.predict_action(**arguments) for model in two)
    assert (first - second).abs().max() > 1e-3


@every_kind
@pytest.mark.parametrize("causal", [True, False])
def test_a_prefix_that_has_no_padding_needs_no_mask(tiny, kind, causal):
    model = tiny(action_expert_type=kind, prefix_attention="causal" if causal else "bidirectional")
    arguments = Batch().prediction([1])
    wanted = model.predict_action(**arguments)
    del arguments["attention_mask"]
    torch.testing.assert_close(model.predict_action(**arguments), wanted, **CLOSE)


@every_kind
def test_everything_that_a_prediction_is_given_has_an_influence(tiny, kind):
    model, batch = tiny(action_expert_type=kind), Batch()
    arguments = batch.prediction()
    wanted = model.predict_action(**arguments)
    ids = arguments["input_ids"].clone()
    ids[:, -1] = torch.where(arguments["attention_mask"][:, -1] == 1, 7, 0)
    other_view = arguments["pixel_values"].clone()
    other_view[:, 1] *= -1
    changes = {
        "input_ids": ids,
        "pixel_values": other_view,
        "state": arguments["state"] + 0.5,
        "noise": arguments["noise"] + 0.5,
        "num_steps": 3,
    }
    for name, value in changes.items():
        changed = model.predict_action(**{**arguments, name: value})
        assert (changed - wanted)[1].abs().max() > 1e-4, name
    swapped = model.predict_action(**{**arguments, "pixel_values": arguments["pixel_values"].flip(1)})
    assert (swapped - wanted).abs().max() > 1e-4
    torch.testing.assert_close(model.predict_action(**arguments), wanted)


@every_kind
def test_the_states_two_shapes_are_one(tiny, kind):
    model, batch = tiny(action_expert_type=kind), Batch()
    arguments = batch.prediction()
    wanted = model.predict_action(**arguments)
    arguments["state"] = arguments["state"][:, None]
    torch.testing.assert_close(model.predict_action(**arguments), wanted)
    arguments = batch.training()
    wanted = model(**arguments).loss
    arguments["state"] = arguments["state"][:, None]
    torch.testing.assert_close(model(**arguments).loss, wanted)


def test_predictions_are_in_robot_units_and_masked_dimensions_pass_unchanged(tiny):
    model = tiny()
    output = model.predict_action(**Batch().prediction(), return_dict=True)
    wanted = output.normalized_actions * 2.5 + 0.5
    wanted[..., -1] = output.normalized_actions[..., -1]
    torch.testing.assert_close(output.actions, wanted)
    torch.testing.assert_close(model.predict_action(**Batch().prediction()), wanted)
    assert output.actions.dtype == output.normalized_actions.dtype == torch.float32


@every_kind
def test_the_configs_number_of_steps_is_the_default(tiny, kind):
    """One of them that differs from the defaults of all experts."""
    model, arguments = tiny(action_expert_type=kind, num_inference_steps=3), Batch().prediction()
    wanted = model.predict_action(**arguments, num_steps=3)
    torch.testing.assert_close(model.predict_action(**arguments), wanted)


@every_kind
def test_without_noise_predictions_follow_the_seed(tiny, kind):
    model, arguments = tiny(action_expert_type=kind), Batch().prediction()
    del arguments["noise"]
    torch.manual_seed(3)
    first, second = model.predict_action(**arguments), model.predict_action(**arguments)
    torch.manual_seed(3)
    assert torch.equal(model.predict_action(**arguments), first)
    assert not torch.equal(first, second)


@every_kind
def test_one_view_needs_no_dimension_for_views(tiny, kind):
    model, batch = tiny(action_expert_type=kind), Batch(views=1)
    arguments = batch.prediction()
    wanted = model.predict_action(**arguments)
    arguments["pixel_values"] = arguments["pixel_values"][:, 0]
    torch.testing.assert_close(model.predict_action(**arguments), wanted)


@every_kind
@pytest.mark.parametrize("text", [{"model_type": "mistral"}, {"num_key_value_heads": 4}, {"head_dim": 8}])
def test_other_language_models_predict_train_and_write(tiny, kind, text):
    model, batch = tiny(action_expert_type=kind, text_config=text, expert_layer_alignment="even"), Batch("left")
    together = model.predict_action(**batch.prediction())
    torch.testing.assert_close(together[:1], model.predict_action(**batch.prediction([0])), atol=1e-4, rtol=1e-4)
    model(**batch.training(), labels=batch.labels()).loss.backward()
    assert model.generate(**batch.prompt(), max_new_tokens=2, do_sample=False).shape[1] == len(batch.rows[1]) + 2


def test_without_geometry_there_is_no_geometry_to_call(tiny):
    model = tiny(use_geometric_branch=False)
    assert not any("geometric" in name or "fusion_projector" in name for name in model.state_dict())
    pixels = Batch().pixels
    wanted = model.vision_projector(model.vision_tower(pixels.flatten(0, 1))).reshape(3, VIEWS * PATCHES, -1)
    torch.testing.assert_close(model.get_image_features(pixels), wanted)


def test_equal_widths_need_no_projector(tiny):
    assert tiny(text_config={"hidden_size": 32}).vision_projector is None


def test_both_pixel_ranges_show_the_same_picture_to_both_branches():
    unit = torch.rand(2, 2, 3, 4, 4)
    siglip = unit * 2 - 1
    for normalization in ("none", "imagenet"):
        found = geometry_pixels(siglip, "siglip", normalization)
        torch.testing.assert_close(found, geometry_pixels(unit, "unit", normalization), **CLOSE)
    torch.testing.assert_close(siglip_pixels(unit, "unit"), siglip_pixels(siglip, "siglip"))
    imagenet = geometry_pixels(unit, "unit", "imagenet")
    torch.testing.assert_close(imagenet[:, :, 1], (unit[:, :, 1] - 0.456) / 0.224)


def test_intrinsics_reach_the_geometry_model(tiny):
    model, seen = tiny(), []
    model.geometric_model.register_forward_hook(lambda _, arguments, output: seen.append(arguments[1]))
    intrinsic = torch.eye(3).expand(3, VIEWS, 3, 3)
    model.predict_action(**Batch().prediction(), intrinsic=intrinsic)
    model(**Batch().training(), intrinsic=intrinsic)
    assert len(seen) == 2 and all(each is intrinsic for each in seen)
    with pytest.raises(InputError, match="intrinsic is a list; a torch tensor"):
        model.predict_action(**Batch().prediction(), intrinsic=intrinsic.tolist())


@every_kind
def test_the_number_of_steps_goes_by_two_names_of_which_one_is_given(tiny, kind):
    model, arguments = tiny(action_expert_type=kind), Batch().prediction()
    wanted = model.predict_action(**arguments, num_steps=3)
    assert torch.equal(model.predict_action(**arguments, num_inference_steps=3), wanted)
    with pytest.raises(InputError, match="num_inference_steps and num_steps are two names"):
        model.predict_action(**arguments, num_inference_steps=3, num_steps=3)
    with pytest.raises(InputError, match="num_inference_steps=0 must be"):
        model.predict_action(**arguments, num_inference_steps=0)


# ---- one graph


def compiled(function):
    torch._dynamo.reset()
    return torch.compile(function, backend="eager", fullgraph=True)


@pytest.mark.slow
@every_kind
def test_a_prediction_of_a_padded_batch_is_one_graph_and_the_same_numbers(tiny, kind):
    model, arguments = tiny(action_expert_type=kind), Batch("left").prediction() | {"num_inference_steps": 2}
    wanted = model.predict_action(**arguments)
    found = compiled(model.predict_action)(**arguments, check_finite=False)  # with it: test_compiled_predictions.py
    torch.testing.assert_close(found, wanted, **CLOSE)


@pytest.mark.slow
@every_kind
def test_a_prediction_without_padding_state_geometry_and_second_view_is_one_graph(tiny, kind):
    other = {"use_state": False, "use_geometric_branch": False, "prefix_attention": "causal"}
    model = tiny(action_expert_type=kind, text_config={"model_type": "mistral"}, num_inference_steps=2, **other)
    arguments = Batch(views=1, use_state=False).prediction([1])
    del arguments["attention_mask"]
    arguments["pixel_values"] = arguments["pixel_values"][:, 0]
    wanted = model.predict_action(**arguments)
    found = compiled(model.predict_action)(**arguments, check_finite=False)
    torch.testing.assert_close(found, wanted, **CLOSE)


GEOMETRIES = {
    "V1": {"mlp_type": "mlp", "final_norm": True, "info_sharing_mlp_type": "mlp", "info_sharing_layer_scale": False},
    "V1.1": {"mlp_type": "swiglu", "info_sharing_mlp_type": "swiglu", "info_sharing_layer_scale": True},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GEOMETRIES)
@torch.no_grad()
def test_the_features_of_several_views_are_one_graph_with_every_geometry(tiny, name):
    example = tiny().config.geometry_config.to_dict()
    model, pixels = tiny(geometry_config={**example, "image_size": 42, **GEOMETRIES[name]}), Batch().pixels
    wanted = model.get_image_features(pixels)
    torch.testing.assert_close(compiled(model.get_image_features)(pixels), wanted, **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "message"), [("tokens", "image tokens"), ("padding", "row of padding alone")])
def test_a_compiled_call_still_ends_where_tokens_do_not_fit(tiny, fault, message):
    config, prompt = tiny(use_geometric_branch=False).config, Batch().prompt()
    arguments = [config, prompt["input_ids"], prompt["attention_mask"], prompt["pixel_values"]]
    check = compiled(check_tokens)
    check(*arguments)
    place = ("tokens", "padding").index(fault) + 1
    arguments[place] = arguments[place].clone()
    arguments[place][1] = 0
    with pytest.raises(RuntimeError, match=message):
        check(*arguments)


def test_without_asking_a_device_images_are_counted_in_each_row(tiny):
    """One row has one too many and another one too few, so that the batch has as many as it should."""
    config, prompt = tiny(use_geometric_branch=False).config, Batch().prompt()
    ids, pixels = prompt["input_ids"], prompt["pixel_values"]
    assert has_image_tokens(config, ids, pixels)
    ids[0, ids[0].tolist().index(IMAGE)], ids[1, 0] = 3, IMAGE
    assert not has_image_tokens(config, ids, pixels)


# ---- the two experts together


def test_the_loss_of_both_experts_is_the_mean_of_theirs_over_one_pass_of_the_prefix(tiny):
    model, batch = tiny(action_expert_type="deep_fusion+dit"), Batch()
    counts = count_calls({"base": model.language_model.decoder.layers[0], "vision": model.vision_tower})
    loss = model(**batch.training()).action_loss
    assert counts == {"base": 1, "vision": 1}
    mask, time = batch.prompt()["attention_mask"], batch.time[:, None, None]
    prefix, _ = model.embed_prefix(**batch.prompt())
    first = model.action_expert.compute_loss(
        prefix, batch.actions, batch.state, mask, time=batch.time, noise=batch.noise
    )
    noisy = time * batch.noise + (1 - time) * batch.actions
    suffix = model.action_expert.embed_suffix(noisy, batch.time, batch.state)
    (_, output), _ = model.language_model_with_expert(mask, inputs_embeds=[prefix, suffix])
    features = model.dit_action_projector(output[:, 1:-1])
    states = read_prefix(model.language_model.decoder, prefix, mask, False)[0]
    velocity = model.dit_action_head.velocity(
        states, noisy, ((1 - batch.time) * 1000).long(), batch.state, mask, features
    )
    second = (velocity - (batch.actions - batch.noise)).square().mean()
    torch.testing.assert_close(loss, (first + second) / 2)


def test_the_dit_heads_loss_has_the_models_convention_of_time(tiny):
    """The head itself counts time from noise to actions."""
    model, batch = tiny(action_expert_type="dit"), Batch()
    mask, time = batch.prompt()["attention_mask"], batch.time[:, None, None]
    states = read_prefix(model.language_model.decoder, model.embed_prefix(**batch.prompt())[0], mask, False)[0]
    noisy, buckets = time * batch.noise + (1 - time) * batch.actions, ((1 - batch.time) * 1000).long()
    velocity = model.dit_action_head.velocity(states, noisy, buckets, batch.state, mask)
    wanted = (velocity - (batch.actions - batch.noise)).square().mean()
    torch.testing.assert_close(model(**batch.training()).loss, wanted)


def test_both_experts_together_sample_by_the_dit_heads_velocity_over_the_other_ones_features(tiny):
    model, batch = tiny(action_expert_type="deep_fusion+dit"), Batch("left")
    mask, x = batch.prompt()["attention_mask"], batch.noise
    with torch.no_grad():
        prefix, _ = model.embed_prefix(**batch.prompt())
        states = read_prefix(model.language_model.decoder, prefix, mask, False)[0]
        for step in range(4):
            suffix = model.action_expert.embed_suffix(x, torch.full((3,), 1 - step / 4), batch.state)
            (_, output), _ = model.language_model_with_expert(mask, inputs_embeds=[prefix, suffix])
            features, buckets = model.dit_action_projector(output[:, 1:-1]), torch.full((3,), 250 * step)
            x = x + model.dit_action_head.velocity(states, x, buckets, batch.state, mask, features) / 4
    found = model.predict_action(**batch.prediction(), num_steps=4, return_dict=True).normalized_actions
    torch.testing.assert_close(found, x, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_states_of_the_layers_are_those_of_the_stock_stack(tiny, kind, causal):
    how = "causal" if causal else "bidirectional"
    model = tiny(action_expert_type="deep_fusion+dit", text_config={"model_type": kind}, prefix_attention=how)
    prompt = Batch("left").prompt()
    real = prompt["attention_mask"] == 1
    prefix, _ = model.embed_prefix(**prompt)
    allowed = (real[:, None, :] | torch.eye(real.shape[1], dtype=torch.bool))[:, None]
    stock = model.language_model.decoder(
        inputs_embeds=prefix,
        attention_mask=allowed.tril() if causal else allowed,
        position_ids=(real.cumsum(dim=1) - 1).clamp(min=0),
        use_cache=False,
        output_hidden_states=True,
    ).hidden_states[1:]
    ours, _ = model.language_model_with_expert.run_prefix(prefix, prompt["attention_mask"])
    assert len(stock) == len(ours) == model.config.text_config.num_hidden_layers
    for one, other in zip(stock, ours, strict=True):
        torch.testing.assert_close(one[real], other[real], **CLOSE)


# ---- training


@pytest.mark.parametrize("arguments", [None, {"use_reentrant": True}, {"use_reentrant": False}])
@pytest.mark.parametrize("with_labels", [False, True])
@every_kind
def test_gradient_checkpointing_changes_neither_losses_nor_gradients(tiny, kind, with_labels, arguments):
    model, batch = tiny(action_expert_type=kind).train(), Batch("left")
    inputs = batch.training() | ({"labels": batch.labels()} if with_labels else {})

    def gradients():
        model.zero_grad()
        losses = model(**inputs)
        losses.loss.backward()
        found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        return {"loss": losses.loss.detach(), **found}

    wanted = gradients()
    model.gradient_checkpointing_enable(arguments)
    calls = count_calls({"base": model.language_model.decoder.layers[0].mlp})
    found = gradients()
    assert found.keys() == wanted.keys()
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    assert calls["base"] == (4 if with_labels else 2)  # recomputed in the backward pass
    model.gradient_checkpointing_disable()
    torch.testing.assert_close(gradients(), wanted, atol=1e-5, rtol=1e-4)


def test_gradient_checkpointing_in_training_mode_leaves_predictions_as_they_are(tiny):
    for kind in KINDS:
        model, arguments = tiny(action_expert_type=kind), Batch("left").prediction()
        wanted = model.predict_action(**arguments)
        model.gradient_checkpointing_enable()
        torch.testing.assert_close(model.train().predict_action(**arguments), wanted)


@every_kind
def test_only_what_cannot_matter_to_the_actions_is_left_without_gradient(tiny, kind):
    model, batch = tiny(action_expert_type=kind, dit_config={"num_hidden_layers": 3, "dropout": 0.0}), Batch()
    model(**batch.training()).loss.backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    last = "language_model.model.model.layers.2."
    unused = {name for name in without if not name.startswith((last, "language_model.model.model.norm"))}
    assert {name for name in unused if "lm_head" not in name and not name.endswith("k_proj.bias")} == set()
    if kind != "deep_fusion":
        assert not any(name.startswith(last) for name in without)


def test_labels_and_actions_together_give_the_sum_of_both_losses(tiny):
    model, batch = tiny(), Batch()
    both = model(**batch.training(), labels=batch.labels())
    text = model(**batch.prompt(), labels=batch.labels())
    action = model(**batch.training())
    torch.testing.assert_close(both.loss, text.loss + action.loss)
    torch.testing.assert_close(both.lm_loss, text.loss)
    torch.testing.assert_close(both.action_loss, action.loss)
    assert action.lm_loss is None and action.logits is None and text.action_loss is None
    assert text.image_hidden_states.shape == action.image_hidden_states.shape == (3, VIEWS * PATCHES, 64)


@pytest.mark.parametrize("with_labels", [False, True])
def test_accumulating_gradients_in_a_trainer_weighs_no_loss_more_than_once(tiny, with_labels, tmp_path):
    batch = Batch()
    sample = {name: value[1] for name, value in batch.training().items()}
    sample |= {"labels": batch.labels()[1]} if with_labels else {}
    norms = []
    for steps in (1, 4):
        options = {"max_steps": 1, "learning_rate": 0.0, "logging_steps": 1, "save_strategy": "no", "report_to": []}
        arguments = TrainingArguments(
            str(tmp_path), per_device_train_batch_size=2, gradient_accumulation_steps=steps, use_cpu=True, **options
        )
        trainer = Trainer(tiny(), arguments, train_dataset=[sample] * 8)
        trainer.train()
        norms.append(trainer.state.log_history[0]["grad_norm"])
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)


def test_outputs_come_as_a_tuple_on_request(tiny):
    model, batch = tiny(), Batch()
    found = model(**batch.training(), return_dict=False)
    assert isinstance(found, tuple)
    torch.testing.assert_close(found[0], model(**batch.training()).loss)


@pytest.mark.parametrize("kind", ["llama", "mistral"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_language_loss_is_that_of_the_language_model_on_the_same_embeddings(tiny, kind, side):
    model, batch = tiny(text_config={"model_type": kind}), Batch(side)
    prompt = batch.prompt()
    embeds, _ = model.embed_prefix(**prompt)
    stock = type(model.language_model.model)(model.config.text_config)
    stock.load_state_dict(model.language_model.model.state_dict())
    arguments = {"attention_mask": prompt["attention_mask"], "labels": batch.labels()}
    wanted = stock(inputs_embeds=embeds, **arguments)
    found = model(**prompt, labels=batch.labels())
    torch.testing.assert_close(found.loss, wanted.loss)
    torch.testing.assert_close(found.logits, wanted.logits)
    from_embeds = model(inputs_embeds=embeds, **arguments)
    torch.testing.assert_close(from_embeds.loss, wanted.loss)


def test_action_losses_may_start_from_embeddings(tiny):
    model, batch = tiny(), Batch()
    inputs = batch.training()
    wanted = model(**inputs).loss
    prompt = {name: inputs.pop(name) for name in ("input_ids", "pixel_values")}
    embeds, _ = model.embed_prefix(**prompt, attention_mask=inputs["attention_mask"])
    torch.testing.assert_close(model(inputs_embeds=embeds, **inputs).loss, wanted)


def test_tokens_are_dropped_in_training_alone_whole_and_of_their_own_kind(tiny):
    model = tiny(prefix_lang_dropout_prob=0.5, prefix_image_dropout_prob=0.5, use_geometric_branch=False)
    prompt = Batch().prompt()
    is_image, real = prompt["input_ids"] == IMAGE, prompt["attention_mask"] == 1
    wanted, _ = model.embed_prefix(**prompt)
    torch.manual_seed(0)
    found, _ = model.train().embed_prefix(**prompt)
    dropped = (found == 0).all(dim=-1)
    kept = (found - 2 * wanted).abs().amax(dim=-1) < 1e-5
    assert (dropped | kept)[real].all()
    for tokens in (is_image, real & ~is_image):
        assert 0 < dropped[tokens].sum() < tokens.sum()


@pytest.mark.parametrize("kind", [k if k == "deep_fusion" else pytest.param(k, marks=pytest.mark.slow) for k in KINDS])
def test_an_expert_learns_a_toy_task(llava3d, kind):
    """Actions that follow from two text tokens; the error is relative to that of always predicting the mean."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    model, _ = llava3d(
        action_expert_type=kind,
        text_config={**sizes, "num_key_value_heads": 2, "vocab_size": 16, "initializer_range": 0.1},
        expert_hidden_size=32,
        use_geometric_branch=False,
        action_horizon=2,
        action_dim=3,
        dit_config={"attention_head_dim": 16, "num_future_tokens": 2, "mlp_hidden_dim": 64, "dropout": 0.0},
    )
    ids = torch.cartesian_prod(torch.arange(8), torch.arange(8, 16))
    table = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
    actions = (table[ids[:, 0]] + table[ids[:, 1]]).view(64, 2, 3) / 2
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.train().parameters(), fused=True)
    losses = []
    for step in range(150):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * min(1, (step + 1) / 10, (150 - step) / 50)
        loss = model(input_ids=ids.repeat(3, 1), actions=actions.repeat(3, 1, 1)).loss  # at three times each
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < sum(losses[:10]) / 8
    with torch.no_grad():
        found = sample_actions(
            model.eval().expert_parts(), model.embed_prefix(ids, None, None)[0], None, None, 10, None
        )
    error = (found - actions).square().mean() / (actions - actions.mean(dim=0)).square().mean()
    assert error < 0.05


# ---- loading and ownership


@every_kind
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("text", ["llama", "mistral"])
def test_saved_and_loaded_it_predicts_the_same(tiny, kind, tied, text, tmp_path):
    model = tiny(action_expert_type=kind, text_config={"tie_word_embeddings": tied, "model_type": text})
    model.save_pretrained(tmp_path)
    loaded, info = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    embeddings = loaded.get_input_embeddings().weight
    assert (loaded.get_output_embeddings().weight is embeddings) == tied == loaded.config.tie_word_embeddings
    arguments, batch = Batch().prediction(), Batch()
    torch.testing.assert_close(loaded.predict_action(**arguments), model.predict_action(**arguments))
    torch.testing.assert_close(loaded(**batch.prompt()).logits, model(**batch.prompt()).logits)
    if loaded.language_model_with_expert is not None:
        assert loaded.language_model_with_expert.base is loaded.language_model.decoder
        assert loaded.action_expert.llava_with_expert is loaded.language_model_with_expert


@every_kind
def test_no_parameter_appears_under_two_names(tiny, kind):
    model = tiny(action_expert_type=kind)
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    assert len(names) == len({id(p) for p in model.parameters()})
    tensors = [tensor for tensor in model.state_dict().values() if tensor.numel()]
    assert len({tensor.data_ptr() for tensor in tensors}) == len(tensors) == len(names)


def test_a_checkpoint_that_lacks_the_expert_is_refused_by_name(tiny, tmp_path):
    tiny(action_expert_type="dit").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "action_expert_type": "deep_fusion"}))
    with pytest.raises(ConfigError, match=r"missing keys: action_expert\.action_in_proj"):
        MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path)


@every_kind
def test_loaded_in_bfloat16_it_predicts_in_float32(tiny, kind, tmp_path):
    model, arguments = tiny(action_expert_type=kind), Batch().prediction()
    model.save_pretrained(tmp_path)
    half = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    seen, expert = [], half.action_expert if half.dit_action_head is None else half.dit_action_head
    watched = expert.action_in_proj if half.dit_action_head is None else expert.action_decoder
    watched.register_forward_hook(lambda _, arguments, output: seen.append(arguments[0].dtype))
    found = half.predict_action(**arguments)
    assert found.dtype == torch.float32 and set(seen) == {torch.bfloat16}
    torch.testing.assert_close(found, model.predict_action(**arguments), atol=0.5, rtol=0.1)
    loss = half(**Batch().training()).loss
    assert loss.dtype == torch.float32
    loss.backward()


@every_kind
def test_construction_on_the_meta_device_has_the_same_parameters(tiny, kind):
    model = tiny(action_expert_type=kind)
    with torch.device("meta"):
        empty = MapAnythingLlava3DForConditionalGeneration(model.config)
    shapes = [{key: value.shape for key, value in each.state_dict().items()} for each in (model, empty)]
    assert shapes[0] == shapes[1]
    assert all(p.is_meta for p in empty.parameters())


def test_a_fresh_model_is_initialised_throughout(llava3d):
    model, inputs = llava3d(action_expert_type="deep_fusion+dit")
    assert all(p.isfinite().all() for p in model.parameters())
    flat = [n for n, p in model.named_parameters() if p.dim() > 1 and p.abs().max() == 0]
    assert not flat
    assert model(**inputs).loss < 10


def test_weights_of_each_embodiment_start_as_those_of_linear_layers(llava3d):
    model, _ = llava3d(action_expert_type="dit", num_embodiments=2)
    layers = [module for module in model.modules() if isinstance(module, EmbodimentLinear)]
    assert layers and not any(layer.bias.any() for layer in layers)
    deviations = torch.stack([layer.weight.std() for layer in layers])
    torch.testing.assert_close(deviations, torch.full_like(deviations, 0.02), rtol=0.3, atol=0)


def test_a_copy_owns_all_its_parts(tiny):
    model = tiny()
    twin = copy.deepcopy(model)
    wanted = model.predict_action(**Batch().prediction())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    torch.testing.assert_close(twin.predict_action(**Batch().prediction()), wanted)


def test_the_attention_implementation_reaches_every_part(tiny):
    model = tiny("eager", action_expert_type="deep_fusion+dit")
    found = {name: m.config._attn_implementation for name, m in model.named_modules() if hasattr(m, "config")}
    assert set(found.values()) == {"eager"}, found


# ---- text


def greedy(model, prompt, count):
    """Step by step, the whole sequence anew each time."""
    embeds, _ = model.embed_prefix(**prompt)
    mask, tokens = prompt["attention_mask"], []
    for _ in range(count):
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        logits = model(inputs_embeds=embeds, attention_mask=mask, position_ids=positions, use_cache=False).logits
        tokens.append(logits[:, -1].argmax(dim=-1))
        embeds = torch.cat([embeds, model.embed_prefix(tokens[-1][:, None], None, None)[0]], dim=1)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
    return torch.stack(tokens, dim=1)


@pytest.mark.parametrize("text", ["llama", "mistral"])
@pytest.mark.parametrize("use_cache", [True, False])
@torch.no_grad()
def test_generated_text_is_greedy_decoding_by_hand(tiny, text, use_cache):
    model, prompt = tiny(text_config={"model_type": text}), Batch("left").prompt()
    counts = count_calls({"vision": model.vision_tower, "geometry": model.geometric_model})
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": -1, "pad_token_id": 0}
    found = model.generate(**prompt, **options, use_cache=use_cache)
    assert counts == ({"vision": 1, "geometry": 1} if use_cache else {"vision": 6, "geometry": 6})
    assert torch.equal(found[:, : prompt["input_ids"].shape[1]], prompt["input_ids"])
    new = found[:, prompt["input_ids"].shape[1] :]
    assert torch.equal(new, greedy(model, prompt, 6))
    assert len(new.unique()) > 2


def test_generated_text_of_a_padded_batch_is_that_of_its_rows(tiny):
    model, batch = tiny(), Batch("left")
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": -1, "pad_token_id": 0}
    together = model.generate(**batch.prompt(), **options)[:, -6:]
    alone = torch.cat([model.generate(**batch.prompt([i]), **options)[:, -6:] for i in range(3)])
    assert torch.equal(together, alone)


def test_beams_read_the_images_once(tiny):
    model, batch = tiny(), Batch("left")
    counts = count_calls({"vision": model.vision_tower})
    options = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": -1, "pad_token_id": 0, "num_beams": 3}
    together = model.generate(**batch.prompt(), **options)[:, -4:]
    assert counts == {"vision": 1}
    alone = torch.cat([model.generate(**batch.prompt([i]), **options)[:, -4:] for i in range(3)])
    assert torch.equal(together, alone)


def test_an_image_token_that_the_model_writes_is_text(tiny):
    """The token may be part of the vocabulary, and then it may be written."""
    token = 2  # the texts of a batch do without it
    model, prompt = tiny(image_token_id=token), Batch("left").prompt()
    prompt["input_ids"] = prompt["input_ids"].masked_fill(prompt["input_ids"] == IMAGE, token)
    options = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": -1, "pad_token_id": 0}
    found = model.generate(**prompt, **options, sequence_bias={(token,): 1e4})[:, -5:]
    assert (found == token).all()


@torch.no_grad()
def test_text_behind_a_cache_has_to_fit_together_with_it(tiny):
    model = tiny(action_expert_type=None, text_config={"max_position_embeddings": 8})
    text = torch.arange(3, 12)[None]
    cache = model(text[:, :6], use_cache=True).past_key_values
    assert model(text[:, 6:8], past_key_values=copy.deepcopy(cache)).logits.isfinite().all()
    with pytest.raises(InputError, match=r"9 places .* only 8 positions"):
        model(text[:, 6:], past_key_values=cache)


@pytest.mark.parametrize("token", [IMAGE, 2])
@torch.no_grad()
def test_images_that_come_in_a_later_turn_are_read_or_refused_but_never_ignored(tiny, token):
    """Also where the image token is a word of the vocabulary, and could pass for text."""
    model, batch = tiny(image_token_id=token), Batch()
    first, second = (torch.tensor([[token if i == IMAGE else i for i in batch.rows[row]]]) for row in (0, 2))
    ids, pixels = torch.cat([first, second], dim=1), batch.pixels[[0, 2]]
    cache = model(first, pixels[:1], use_cache=True).past_key_values
    other = copy.deepcopy(cache)
    found = model(second, pixels[1:], past_key_values=cache).logits
    changed = model(second, -pixels[1:], past_key_values=other).logits
    assert (found - changed).abs().max() > 1e-3
    cache = model(first, pixels[:1], use_cache=True).past_key_values
    with pytest.raises(InputError, match="image tokens"):
        model(second, past_key_values=cache)
    cache = model(first, pixels[:1], use_cache=True).past_key_values
    options = {"max_new_tokens": 2, "do_sample": False, "eos_token_id": -1, "pad_token_id": 0}
    counts = count_calls({"vision": model.vision_tower})
    try:
        model.generate(ids, pixel_values=pixels[1:], **{cache_argument(model.generate): cache}, **options)
    except InputError:
        return
    assert counts == {"vision": 1}


def spatial(tiny, **fields):
    model = tiny(use_spatial_token=True, spatial_token_num=6, action_token_begin_idx=30, **fields)
    prompt = Batch("left").prompt()
    prompt["input_ids"] = prompt["input_ids"].clone()
    prompt["input_ids"][:, -2:] = torch.tensor([[30, 35], [29, 36], [31, 31]])
    return model, prompt


def test_spatial_tokens_have_a_table_of_their_own(tiny):
    model, prompt = spatial(tiny)
    embeds, _ = model.embed_prefix(**prompt)
    text, table = model.get_input_embeddings().weight, model.spatial_embed_tokens.weight
    wanted = [[table[0], table[5]], [text[29], text[36]], [table[1], table[1]]]
    torch.testing.assert_close(embeds[:, -2:], torch.stack([torch.stack(row) for row in wanted]))
    gradients = torch.autograd.grad(embeds.square().sum(), [text, table])
    assert gradients[0][30:36].abs().max() == 0 and gradients[1][[0, 1, 5]].abs().min() > 0
    assert gradients[1][[2, 3, 4]].abs().max() == 0


def test_spatial_tokens_that_the_model_writes_are_read_from_that_table(tiny):
    model, prompt = spatial(tiny)
    options = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": -1, "pad_token_id": 0}
    bias = {(token,): 50.0 for token in range(30, 36)}
    seen = count_calls({"table": model.spatial_embed_tokens})
    found = model.generate(**prompt, **options, sequence_bias=bias)
    assert ((found[:, -4:] >= 30) & (found[:, -4:] < 36)).all() and seen["table"] == 4
    embeds, _ = model.embed_prefix(found, prompt["pixel_values"], None)
    mask = torch.cat([prompt["attention_mask"], torch.ones(3, 4, dtype=torch.long)], dim=1)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    logits = model(inputs_embeds=embeds, attention_mask=mask, position_ids=positions).logits[:, -5:-1, 30:36]
    assert torch.equal(logits.argmax(dim=-1) + 30, found[:, -4:])


def test_ids_past_the_vocabulary_are_fine_for_spatial_tokens_alone(tiny):
    model = tiny(use_spatial_token=True, spatial_token_num=6, action_token_begin_idx=VOCABULARY + 10)
    ids = torch.tensor([[1, VOCABULARY + 10, VOCABULARY + 15]])
    embeds, _ = model.embed_prefix(ids, None, None)
    torch.testing.assert_close(embeds[0, 1:], model.spatial_embed_tokens.weight[[0, 5]])
    with pytest.raises(IndexError):
        model.embed_prefix(ids + 1, None, None)
    assert model(input_ids=ids).logits.isfinite().all()
    for other, place in ((ids - 1, 1), (ids + 1, 2)):
        with pytest.raises(InputError, match=rf"input_ids\[0, {place}\] is {other[0, place]};"):
            model(input_ids=other)


@pytest.mark.parametrize("tied", [True, False])
def test_the_vocabulary_can_grow(tiny, tied, tmp_path):
    model, batch = tiny(text_config={"tie_word_embeddings": tied}), Batch()
    wanted, logits = model.predict_action(**batch.prediction()), model(**batch.prompt()).logits
    model.resize_token_embeddings(48, mean_resizing=False)
    torch.testing.assert_close(model.predict_action(**batch.prediction()), wanted)
    output = model(**batch.prompt(), labels=batch.labels())
    assert output.logits.shape[-1] == 48 and output.loss.isfinite()
    torch.testing.assert_close(output.logits[..., :VOCABULARY], logits)
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == tied
    model.save_pretrained(tmp_path)
    loaded = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.config.text_config.vocab_size == 48
    torch.testing.assert_close(loaded.predict_action(**batch.prediction()), wanted)


def test_a_model_without_expert_writes_text_and_refuses_actions(tiny):
    model, batch = tiny(action_expert_type=None), Batch("left")
    assert not any("expert" in name or name.startswith("dit") for name in model.state_dict())
    assert isinstance(model.language_model.model, LlamaForCausalLM)
    assert model(**batch.prompt(), labels=batch.labels()).loss.isfinite()
    for call in (lambda: model.predict_action(**batch.prediction()), lambda: model(**batch.training())):
        with pytest.raises(InputError, match="action_expert_type is None"):
            call()


# ---- refusals


REFUSED = {
    "too few image tokens": (
        {"input_ids": torch.tensor([[1, *[IMAGE] * 7, 5]] * 3), "attention_mask": None},
        r"\[7, 7, 7\] image tokens.*8 image features",
    ),
    "too many image tokens in one row": (
        {"input_ids": torch.tensor([[1, *[IMAGE] * 8, 5], [1, *[IMAGE] * 9], [1, *[IMAGE] * 8, 5]])}
        | {"attention_mask": None},
        r"\[8, 9, 8\] image tokens.*8 image features",
    ),
    "too few and too many that add up": (
        {"input_ids": torch.tensor([[1, *[IMAGE] * count, *[5] * (9 - count)] for count in (7, 9, 8)])}
        | {"attention_mask": None},
        r"\[7, 9, 8\] image tokens.*8 image features",
    ),
    "no pixels": ({"pixel_values": None}, r"\[8, 8, 8\] image tokens.*0 image features"),
    "no input ids": ({"input_ids": None}, "input_ids is missing"),
    "one view too few": ({"pixel_values": torch.zeros(3, 1, 3, 28, 28)}, "8, 8, 8.* 4 image features"),
    "pixels of other samples": ({"pixel_values": torch.zeros(2, 2, 3, 28, 28)}, "pixel_values holds 2 samples.* 3"),
    "three dimensions": ({"pixel_values": torch.zeros(3, 28, 28)}, r"pixel_values has shape \(3, 28, 28\)"),
    "six dimensions": ({"pixel_values": torch.zeros(3, 1, 2, 3, 28, 28)}, "pixel_values has shape"),
    "channels last": ({"pixel_values": torch.zeros(3, 2, 28, 28, 3)}, "pixel_values has shape"),
    "no state": ({"state": None}, "state is missing"),
    "short state": ({"state": torch.zeros(3, STATE - 1)}, "state has .*shape"),
    "state of other samples": ({"state": torch.zeros(2, STATE)}, "state has .*shape"),
    "noise of other samples": ({"noise": torch.zeros(2, HORIZON, DIM)}, "noise has .*shape"),
    "short noise": ({"noise": torch.zeros(3, HORIZON - 1, DIM)}, "noise has .*shape"),
    "mask of another length": ({"attention_mask": torch.ones(3, 5, dtype=torch.long)}, "attention_mask has .*shape"),
}
PREDICTION_ONLY = {
    "no steps": ({"num_steps": 0}, "num_steps=0"),
    "half a step": ({"num_steps": 2.5}, r"num_steps=2\.5"),
    "unknown statistics": ({"unnorm_key": "other"}, "unnorm_key='other' is unknown; choices: tiny"),
}
TRAINING_ONLY = {
    "actions of other samples": ({"actions": torch.zeros(2, HORIZON, DIM)}, "(actions|noise) has .*shape"),
    "short actions": ({"actions": torch.zeros(3, HORIZON - 1, DIM)}, "actions has .*shape"),
    "time of other samples": ({"time": torch.zeros(2)}, "time has .*shape"),
    "time with too many dimensions": ({"time": torch.zeros(3, 1)}, "time has .*shape"),
}


@every_kind
@pytest.mark.parametrize("name", [*REFUSED, *PREDICTION_ONLY])
def test_a_prediction_that_cannot_be_meant_is_refused(tiny, kind, name):
    change, message = {**REFUSED, **PREDICTION_ONLY}[name]
    with pytest.raises(InputError, match=message):
        tiny(action_expert_type=kind).predict_action(**{**Batch().prediction(), **change})


@every_kind
@pytest.mark.parametrize("name", [*REFUSED, *TRAINING_ONLY])
def test_a_training_pass_that_cannot_be_meant_is_refused(tiny, kind, name):
    change, message = {**REFUSED, **TRAINING_ONLY}[name]
    with pytest.raises(InputError, match=message):
        tiny(action_expert_type=kind)(**{**Batch().training(), **change})


@every_kind
def test_a_state_that_the_model_does_not_take_is_refused(tiny, kind):
    model, batch = tiny(action_expert_type=kind, use_state=False), Batch()
    for call, arguments in ((model.predict_action, batch.prediction()), (model, batch.training())):
        with pytest.raises(InputError, match=r"state (was|is) given"):
            call(**arguments)
    arguments = Batch(use_state=False)
    assert model.predict_action(**arguments.prediction()).isfinite().all()
    assert model(**arguments.training()).loss.isfinite()


@pytest.mark.parametrize(
    ("stats", "message"),
    [({}, "holds no statistics"), ({**STATISTICS, "other": STATISTICS["tiny"]}, "must say which.*other, tiny")],
)
def test_statistics_that_are_missing_or_ambiguous_are_refused_before_anything_runs(tiny, stats, message):
    model = tiny(norm_stats=stats)
    counts = count_calls({"vision": model.vision_tower})
    with pytest.raises(InputError, match=message):
        model.predict_action(**Batch().prediction())
    assert counts == {"vision": 0}


def test_images_that_would_be_ignored_beside_embeddings_are_refused(tiny):
    model, batch = tiny(), Batch()
    embeds, _ = model.embed_prefix(**batch.prompt())
    with pytest.raises(InputError, match="inputs_embeds"):
        model(inputs_embeds=embeds, pixel_values=batch.pixels)


# ---- widths and gradients of the experts


@pytest.mark.parametrize("kind", ["dit", "deep_fusion+dit"])
def test_a_dit_of_another_width_reads_the_language_model_through_a_projection(tiny, kind, tmp_path):
    dit = {
        "num_hidden_layers": 2,
        "num_future_tokens": 3,
        "mlp_hidden_dim": 16,
        "dropout": 0.0,
        "attention_head_dim": 8,
    }
    model = tiny(action_expert_type=kind, dit_hidden_size=24, dit_config=dit)
    head, batch = model.dit_action_head, Batch()
    assert model.config.dit_hidden_size == head.config.hidden_size == 24 != model.config.text_config.hidden_size
    wanted = model.predict_action(**batch.prediction())
    model.save_pretrained(tmp_path)
    loaded = MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded.predict_action(**batch.prediction()), wanted)
    model(**batch.training()).loss.backward()
    assert head.vl_projector.weight.grad.abs().sum() > 0
    if kind != "dit":
        return
    states = [torch.randn(2, 5, model.config.text_config.hidden_size) for _ in range(2)]
    arguments = torch.randn(2, HORIZON, 7), torch.tensor([3, 5]), torch.randn(2, STATE)
    found = head.velocity(states, *arguments)
    projected, head.vl_projector, head.config.vl_hidden_size = [head.vl_projector(x) for x in states], None, 24
    torch.testing.assert_close(found, head.velocity(projected, *arguments))


@pytest.mark.parametrize("kind", ["deep_fusion", "dit", "deep_fusion+dit"])
def test_the_loss_of_the_experts_can_stop_at_the_language_model(tiny, kind):
    results = []
    for stop in (False, True):
        model = tiny(action_expert_type=kind)
        output = model(**Batch().training(), stop_grad_from_vlm=stop)
        output.loss.backward()
        results.append((output.loss.detach(), {n for n, p in model.named_parameters() if p.grad is not None}))
    (loss, reached), (stopped, kept) = results
    torch.testing.assert_close(stopped, loss)
    experts = ("language_model_with_expert.", "action_expert.", "dit_action")
    assert kept == {name for name in reached if name.startswith(experts)} and kept < reached
    assert not model.config.stop_grad_from_vlm  # joint training is what this family was published with


@pytest.mark.parametrize(("times", "mean"), [("beta", 0.6), ("uniform", 0.5)])
def test_times_are_drawn_as_the_config_says(llava3d, times, mean):
    model, _ = llava3d(action_expert_type="deep_fusion", time_sampling=times)
    torch.manual_seed(0)
    drawn = model.drawn(actions=torch.zeros(4000, 4, 7))["time"]
    assert drawn.mean().item() == pytest.approx(mean, abs=0.02)
