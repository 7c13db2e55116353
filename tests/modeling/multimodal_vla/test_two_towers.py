"""Two vision towers of a composed VLA, FiLM and aggregation tokens inside of them: against CogVLA's own parts."""

import itertools
import re
from types import SimpleNamespace

import pytest
import torch
from tiny_configs import BLOCK, LLAMA, TOWER, WIDTH, cogvla_config, composed_config
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    CLIPVisionConfig,
    Dinov2WithRegistersConfig,
    LlamaConfig,
    SiglipConfig,
    SiglipVisionConfig,
    SwinConfig,
)
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from vlahub import CogVLAForActionPrediction, MultimodalVLAConfig, MultimodalVLAForActionPrediction
from vlahub.configuration.multimodal_vla.tower_facts import BLOCK_NAMES
from vlahub.errors import ConfigError, InputError
from vlahub.modeling.masking import masked_mean
from vlahub.modeling.multimodal_vla.fusion import gated_sequence
from vlahub.modeling.multimodal_vla.multimodal_inputs import checked_prompt
from vlahub.modeling.multimodal_vla.tower_conditioning import num_patches, run_block
from vlahub.modeling.multimodal_vla.vision_tokens import vision_tokens
from vlahub.processing.multimodal_vla.image_processing_multimodal_vla import MultimodalVLAImageProcessor
from vlahub.processing.multimodal_vla.processor_defaults import image_processor_of
from vlahub.training.lora_config import lora_config

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
DEPTH, VIEWS, TOKENS = 3, 2, 3
SIGLIP = {"model_type": "siglip_vision_model", **TOWER, "num_hidden_layers": DEPTH, "hidden_act": "gelu"}
DINO = {"model_type": "dinov2_with_registers", "hidden_size": 16, "mlp_ratio": 2, "num_register_tokens": 2}
DINO |= {"num_hidden_layers": DEPTH, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
PAIR = {"vision_config": DINO, "second_vision_config": SIGLIP, "text_config": LLAMA}
# From transformers' names, on both lines, to those of CogVLA's towers, which are timm's.
RENAMES = [
    (r"^vision_model\.", ""),
    (r"^embeddings\.patch_embedding(s\.projection)?\.", "patch_embed.proj."),
    (r"^encoder\.layers?\.", "blocks."),
    (r"\.layer_norm", ".norm"),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.scale_factor"),
    (r"\.self_attn\.|\.attention\.(attention|output)\.|\.attention\.", ".attn."),
    (r"\.attn\.(out_proj|o_proj|dense)\.", ".attn.proj."),
    (r"\.attn\.([qkv])(_proj|uery|ey|alue)\.", r".attn.\1."),
]
INPUTS = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])


@pytest.fixture
def composed(randomized):
    """`composed(**config) -> model` in evaluation mode, every weight of which matters."""

    def make(**fields):
        return randomized(MultimodalVLAForActionPrediction(composed_config(**{**PAIR, **fields}))).eval()

    return make


def pixels(channels=6, size=28, views=VIEWS):
    return torch.randn(2, views, channels, size, size, generator=torch.Generator().manual_seed(3))


def arguments(model, **changes):
    state = torch.linspace(-1, 1, 8).view(2, 4)
    return {"input_ids": INPUTS, "attention_mask": MASK, "pixel_values": pixels(), "state": state, **changes}


def tokens_of(model, pixel_values):
    """Vision tokens, and the mean embedding of the text that they depend on."""
    prompt = checked_prompt(model, INPUTS, MASK, pixel_values, None)
    condition = masked_mean(model.backbone.embed(INPUTS) * model.backbone.input_scale, prompt.real).squeeze(1)
    tokens, real = vision_tokens(model.backbone, model.projector, prompt, condition, model.tower_conditioning)
    assert real.all()
    return tokens, condition


def weights_of_tower(tower, conditioning):
    """A tower's weights under the names of CogVLA's; what is not run there is left out."""
    given = {}
    for name, value in tower.state_dict().items():
        for pattern, replacement in RENAMES:
            name = re.sub(pattern, replacement, name)
        given[name] = value
    run = tuple(f"blocks.{number}." for number in range(DEPTH - 1))
    found = {name: value for name, value in given.items() if name.startswith(("patch_embed.", *run))}
    for start, kind in itertools.product(run, ("weight", "bias")):
        parts = [found.pop(f"{start}attn.{letter}.{kind}") for letter in "qkv"]
        found[f"{start}attn.qkv.{kind}"] = torch.cat(parts)
    if "embeddings.cls_token" in given:
        positions = given["embeddings.position_embeddings"]
        found |= {"pos_embed": positions[:, 1:], "cls_token": given["embeddings.cls_token"] + positions[:, :1]}
        found["reg_token"] = given["embeddings.register_tokens"]
    else:
        found["pos_embed"] = given["embeddings.position_embedding.weight"][None]
    if conditioning is not None:
        inside = conditioning.state_dict()
        found |= {re.sub(r"^film\.(\d+)\.", r"blocks.\1.film.", name): value for name, value in inside.items()}
    return found


def cogvla_with_the_weights_of(model):
    """A CogVLA whose towers and fusion are those of a composed model."""
    config, tower = model.config, {"num_attention_heads": 2, "num_hidden_layers": DEPTH - 1, "image_size": 28}
    plain = {"num_registers": 0, "has_class_token": False, "has_layer_scale": False}
    cogvla = CogVLAForActionPrediction(
        cogvla_config(
            featurizer_config={"hidden_size": 16, "intermediate_size": 32, "num_registers": 2, **tower},
            fused_featurizer_config={"hidden_size": 24, "intermediate_size": 48, **plain, **tower},
            vision_aggregate_type=config.vision_aggregate_type,
            use_film=config.use_film,
            use_aggr=config.use_aggr,
            num_vision_aggr=TOKENS,
        )
    ).eval()
    inside = model.tower_conditioning or [None, None]
    for own, tower, conditioning in zip(
        ("featurizer", "fused_featurizer"), model.backbone.vision_parts, inside, strict=True
    ):
        cogvla.vision_backbone.get_submodule(own).load_state_dict(weights_of_tower(tower, conditioning))
    own = cogvla.moe_aggregator if config.vision_aggregate_type == "moe" else cogvla.projector
    own.load_state_dict(model.projector.state_dict())
    return cogvla


# ---- against CogVLA


@pytest.mark.parametrize("aggregate", ["concat", "moe"])
@pytest.mark.parametrize("film", [False, True])
@pytest.mark.parametrize("aggregation", [False, True])
def test_the_tokens_of_two_towers_are_those_of_cogvlas_own_parts(composed, aggregate, film, aggregation):
    inside = {"use_film": film, "use_aggr": aggregation, "num_vision_aggr": TOKENS}
    model = composed(vision_aggregate_type=aggregate, vision_feature_layer=-2, **inside)
    with torch.no_grad():
        found, condition = tokens_of(model, pixels())
        wanted, ratios = cogvla_with_the_weights_of(model).encode_prefix(pixels(), condition, None)
    assert found.shape == (2, VIEWS * (TOKENS if aggregation else 4), WIDTH)
    torch.testing.assert_close(found, wanted, **CLOSE)
    if aggregate == "moe":
        assert (ratios[:, :, 0] - 0.5).abs().max() > 1e-3
        output = model(**arguments(model), actions=torch.zeros(2, 4, 3))
        torch.testing.assert_close(output.moe_ratios, ratios, **CLOSE)
        shares = model.training_figures(output)
        torch.testing.assert_close(shares["moe_ratio/vision_tower"], ratios[:, :, 0].mean(), **CLOSE)
        found = model.predict_action(**arguments(model), return_dict=True).moe_ratios
        torch.testing.assert_close(found, ratios, **CLOSE)


# ---- against the towers' own calls


TOWERS = {
    "siglip": SIGLIP,
    "dinov2": {**DINO, "model_type": "dinov2"} | {"use_swiglu_ffn": True},
    "dinov2_with_registers": DINO,
}
TOWERS["dinov2"].pop("num_register_tokens")


@pytest.mark.parametrize("name", TOWERS)
@pytest.mark.parametrize("layer", [None, -2, -3])
def test_film_that_changes_nothing_leaves_the_features_of_the_towers_own_call(composed, name, layer):
    fields = {"vision_config": TOWERS[name], "second_vision_config": None, "projector_type": "linear"}
    model = composed(**fields, use_film=True, vision_feature_layer=layer)
    assert len(model.tower_conditioning[0].film) == DEPTH + (0 if layer is None else layer + 1)
    for parameter in model.tower_conditioning.parameters():
        torch.nn.init.zeros_(parameter)
    views = pixels(3)
    with torch.no_grad():
        found, _ = tokens_of(model, views)
        own = model.backbone.vision_tower(views.flatten(0, 1), output_hidden_states=True)
        features = own.last_hidden_state if layer is None else own.hidden_states[layer]
    wanted = model.projector(features[:, -4:]).unflatten(0, (2, VIEWS)).flatten(1, 2)
    torch.testing.assert_close(found, wanted, **CLOSE)


def test_blocks_that_film_acts_in_drop_paths_as_they_do_without_it(composed):
    """DINOv2 has this in training, with a rate above 0."""
    names = BLOCK_NAMES["dinov2_with_registers"]
    block = composed().backbone.vision_tower.get_submodule(names.blocks)[0]
    block.drop_path.forward = lambda branch: 0 * branch
    states, factor, shift = torch.linspace(-1, 1, 2 * 7 * 16).view(2, 7, 16).split([5, 1, 1], dim=1)
    found = run_block(block, names, states, factor, shift)
    torch.testing.assert_close(found, states * factor + shift)


@pytest.mark.parametrize("layer", [None, -2])
def test_each_tower_reads_its_own_three_channels_and_gives_its_patches(composed, layer):
    model, views = composed(projector_type="linear", vision_feature_layer=layer), pixels()
    own = []
    with torch.no_grad():
        for number, tower in enumerate(model.backbone.vision_parts):
            output = tower(views.flatten(0, 1)[:, 3 * number : 3 * number + 3], output_hidden_states=True)
            own.append((output.last_hidden_state if layer is None else output.hidden_states[layer])[:, -4:])
        wanted = model.projector(torch.cat(own, dim=-1)).unflatten(0, (2, VIEWS)).flatten(1, 2)
        torch.testing.assert_close(tokens_of(model, views)[0], wanted, **CLOSE)


@pytest.mark.parametrize("name", ["siglip", "dinov2_with_registers", "clip"])
@pytest.mark.parametrize("layer", [None, -2, -3])
def test_one_tower_gives_all_tokens_of_a_layer(composed, name, layer):
    tower = CLIPVisionConfig(**TOWER | {"num_hidden_layers": DEPTH}) if name == "clip" else TOWERS[name]
    fields = {"vision_config": tower, "second_vision_config": None, "projector_type": "linear"}
    model, views = composed(**fields, vision_feature_layer=layer), pixels(3)
    with torch.no_grad():
        own = model.backbone.vision_tower(views.flatten(0, 1), output_hidden_states=True)
        features = own.last_hidden_state if layer is None else own.hidden_states[layer]
        wanted = model.projector(features).unflatten(0, (2, VIEWS)).flatten(1, 2)
        torch.testing.assert_close(tokens_of(model, views)[0], wanted, **CLOSE)


def test_aggregation_tokens_stand_for_different_patches(composed):
    model = composed(second_vision_config={**SIGLIP, "patch_size": 7}, use_aggr=True, num_vision_aggr=TOKENS)
    assert tokens_of(model, pixels())[0].shape == (2, VIEWS * TOKENS, WIDTH)


def test_towers_of_different_sizes_read_pictures_of_the_smaller_one(composed):
    """As DINOv2, trained with 518 pixels, beside a SigLIP of 224."""
    model = composed(vision_config={**DINO, "image_size": 56})
    assert model.config.image_size == 28
    assert tokens_of(model, pixels())[0].shape == (2, VIEWS * 4, WIDTH)
    turned = composed(vision_config=SIGLIP | {"image_size": 56}, second_vision_config=DINO)
    assert tokens_of(turned, pixels())[0].shape == (2, VIEWS * 4, WIDTH)
    second = composed(second_vision_config=SIGLIP | {"image_size": 56})
    assert tokens_of(second, pixels())[0].shape == (2, VIEWS * 4, WIDTH)
    clip = CLIPVisionConfig(**TOWER | {"num_hidden_layers": DEPTH, "image_size": 56})
    earlier = composed(vision_config=clip, second_vision_config=SIGLIP, vision_feature_layer=-2)
    assert tokens_of(earlier, pixels())[0].shape == (2, VIEWS * 4, WIDTH)


# ---- as part of a model


CHOICES = {
    "concat": {},
    "moe": {"vision_aggregate_type": "moe", "use_film": True, "use_aggr": True, "num_vision_aggr": TOKENS},
    "perceiver": {"projector_type": "perceiver", "use_aggr": True, "num_vision_aggr": TOKENS},
    "film": {"fusion": "film", "use_film": True, "vision_feature_layer": -2},
    "late": {"fusion": "late", "use_film": True, "vision_aggregate_type": "moe"},
    "one tower": {"second_vision_config": None, "vision_config": SIGLIP, "use_film": True, "use_aggr": True},
}
every_choice = pytest.mark.parametrize("name", CHOICES)


def of_choice(composed, name, **fields):
    model = composed(**CHOICES[name], **fields)
    return model, arguments(model, pixel_values=pixels(3 * len(model.config.towers)))


@every_choice
def test_a_training_step_reaches_every_part_and_what_is_written_predicts_the_same(composed, tmp_path, name):
    model, given = of_choice(composed, name)
    actions = torch.linspace(5, 7, 24).view(2, 4, 3)  # far off: an error that is linear in the prediction
    model.train()(**given, actions=actions).loss.backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert {n for n in without if not n.startswith("backbone")} == set()
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, _ in model.named_parameters() if "vision_tower" in n}
    wanted = model.eval().predict_action(**given)
    model.save_pretrained(tmp_path)
    loaded = MultimodalVLAForActionPrediction.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded.predict_action(**given), wanted, rtol=0, atol=0)


@every_choice
def test_a_padded_row_predicts_what_it_predicts_alone(composed, name):
    model, given = of_choice(composed, name)
    alone = []
    for row, length in enumerate((4, 2)):
        one = {key: value[row : row + 1] for key, value in given.items()}
        one |= {key: one[key][:, :length] for key in ("input_ids", "attention_mask")}
        alone.append(model.predict_action(**one))
    torch.testing.assert_close(model.predict_action(**given), torch.cat(alone), **CLOSE)


def test_the_text_conditions_the_towers_and_their_mixture(composed):
    for fields in ({"use_film": True}, {"vision_aggregate_type": "moe"}):
        model = composed(**fields)
        prompts = [checked_prompt(model, ids, MASK, pixels(), None) for ids in (INPUTS, INPUTS + 1)]
        found = []
        for prompt in prompts:
            condition = masked_mean(model.backbone.embed(prompt.input_ids), prompt.real).squeeze(1)
            parts = model.backbone, model.projector, prompt, condition, model.tower_conditioning
            found.append(vision_tokens(*parts)[0])
        assert (found[0] - found[1]).abs().amax(dim=(1, 2)).min() > 1e-3


def test_what_towers_weigh_is_asked_by_the_prompt_and_not_by_the_answer_behind_it(composed):
    model, given = of_choice(composed, "moe")
    wanted = model.predict_action(**given, return_dict=True).moe_ratios
    behind = {"input_ids": torch.tensor([[11, 12]] * 2), "attention_mask": torch.ones(2, 2, dtype=torch.long)}
    answered = {**given, **{name: torch.cat([given[name], more], dim=1) for name, more in behind.items()}}
    answered["answer_mask"] = torch.tensor([[0, 0, 0, 0, 1, 1]] * 2)
    actions = torch.zeros(2, 4, 3)
    torch.testing.assert_close(model(**answered, actions=actions).moe_ratios, wanted, **CLOSE)
    other = model(**{**answered, "answer_mask": None}, actions=actions).moe_ratios
    assert (other - wanted).abs().max() > 1e-3


def test_what_layers_see_of_images_is_asked_by_the_prompt_and_not_by_the_answer_behind_it(composed):
    model, given = of_choice(composed, "moe", fusion="gated_cross_attention")
    ids, mask = torch.tensor([[11, 12]] * 2), torch.ones(2, 2, dtype=torch.long)

    def seen(ids, mask, answer_mask=None):
        prompt = checked_prompt(model, ids, mask, given["pixel_values"])
        with torch.no_grad():
            return gated_sequence(model.fusion_parts, prompt, [], None, answer_mask).seen.keys_values[0][0]

    wanted, answered = seen(INPUTS, MASK), (torch.cat([INPUTS, ids], dim=1), torch.cat([MASK, mask], dim=1))
    torch.testing.assert_close(seen(*answered, torch.tensor([[0, 0, 0, 0, 1, 1]] * 2)), wanted, **CLOSE)
    assert (seen(*answered) - wanted).abs().max() > 1e-3


def test_what_each_tower_weighs_is_logged_by_its_name(composed):
    model, given = of_choice(composed, "moe")
    output = model.predict_action(**given, return_dict=True)
    output.moe_ratios = torch.tensor([[0.25, 0.75], [0.35, 0.65]])
    figures = model.training_figures(output)
    assert {name: round(value.item(), 3) for name, value in figures.items()} == {
        "moe_ratio/vision_tower": 0.3,
        "moe_ratio/second_vision_tower": 0.7,
    }


def test_patches_of_a_picture_that_is_no_square_are_counted_along_both_sides():
    for height, width, count in ((28, 56, 8), (56, 28, 8), (29, 43, 6)):
        assert num_patches(SimpleNamespace(patch_size=14), torch.zeros(1, 3, height, width)) == count


def test_a_new_model_sees_through_film_as_without_it():
    torch.manual_seed(0)
    plain = MultimodalVLAForActionPrediction(composed_config(**PAIR)).eval()
    conditioned = MultimodalVLAForActionPrediction(composed_config(**PAIR, use_film=True)).eval()
    conditioned.load_state_dict(plain.state_dict(), strict=False)
    wanted = plain.predict_action(**arguments(plain))
    assert not any(p.any() for p in conditioned.tower_conditioning.parameters())
    torch.testing.assert_close(conditioned.predict_action(**arguments(plain)), wanted, **CLOSE)


def test_film_is_switched_on_in_a_model_trained_without_it(composed, tmp_path):
    model = composed()
    wanted = model.predict_action(**arguments(model))
    model.save_pretrained(tmp_path)
    config = composed_config(**PAIR, use_film=True)
    loaded = MultimodalVLAForActionPrediction.from_pretrained(
        tmp_path, config=config, new_parts=["tower_conditioning"]
    ).eval()
    torch.testing.assert_close(loaded.predict_action(**arguments(model)), wanted, **CLOSE)
    with pytest.raises(ConfigError, match="missing keys: tower_conditioning"):
        MultimodalVLAForActionPrediction.from_pretrained(tmp_path, config=config)


def test_gradient_checkpointing_changes_neither_loss_nor_gradients(composed):
    model, given = of_choice(composed, "moe", freeze_vision_tower=False)
    results = []
    for on in (False, True):
        if on:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.zero_grad()
        loss = model.train()(**given, actions=torch.zeros(2, 4, 3)).loss
        loss.backward()
        results.append((loss, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}))
    assert any("vision_tower" in name for name in results[0][1])
    torch.testing.assert_close(results[0], results[1], **CLOSE)


def test_text_is_written_behind_the_tokens_of_both_towers(composed):
    model = composed(**CHOICES["moe"], action_head="discrete")
    given = {name: value for name, value in arguments(model).items() if name != "state"}
    given |= {"input_ids": INPUTS[:1], "attention_mask": MASK[:1], "pixel_values": pixels()[:1]}
    written = model.generate(**given, max_new_tokens=2, do_sample=False, eos_token_id=-1)
    assert written.shape == (1, 2)
    assert written[0, 0] == model(**given, state=torch.zeros(1, 4)).logits[0, -1].argmax()


# ---- from pretrained parts


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A SigLIP with both its towers, a DINOv2 and a Llama, saved; and the models."""
    torch.manual_seed(0)
    text = {"hidden_size": 24, **BLOCK, "vocab_size": 60, "max_position_embeddings": 16, "projection_size": 24}
    configs = {
        "siglip": SiglipConfig(text_config=text, vision_config={**SIGLIP, "image_size": 28}),
        "dino": Dinov2WithRegistersConfig(**{k: v for k, v in DINO.items() if k != "model_type"} | {"image_size": 56}),
        "patch7": SiglipVisionConfig(**{**SIGLIP, "patch_size": 7}),
        "llama": LlamaConfig(**{k: v for k, v in LLAMA.items() if k != "model_type"}),
    }
    found = {}
    for name, config in configs.items():
        folder = tmp_path_factory.mktemp(name)
        kind = AutoModelForCausalLM if name == "llama" else AutoModel
        model = kind.from_config(config)
        model.save_pretrained(folder)
        found[name] = str(folder), model
    return found


def test_pretrained_towers_are_put_together_with_their_own_weights_and_pixels(folders, tmp_path):
    (siglip, _), (dino, dino_model), (llama, _) = (folders[name] for name in ("siglip", "dino", "llama"))
    options = {"action_dim": 3, "num_action_chunks": 2, "use_film": True, "num_action_bins": 16}
    options["norm_stats"] = {"a": {"action": {"q01": [-1.0] * 3, "q99": [1.0] * 3}}}
    model = MultimodalVLAForActionPrediction.from_backbones([siglip, dino], llama, grounding=True, **options).eval()
    for name, value in dino_model.state_dict().items():
        assert torch.equal(model.backbone.second_vision_tower.state_dict()[name], value)
    assert not any(p.any() for p in model.tower_conditioning.parameters())
    processor = MultimodalVLAImageProcessor.from_dict(image_processor_of(model.config, {}).to_dict())
    picture = torch.randint(0, 256, (40, 40, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found = processor([[picture, picture]], return_tensors="pt")["pixel_values"]
    assert found.shape == (1, 2, 6, 28, 28)
    scaled = found[:, :, :3] * 0.5 + 0.5
    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
    torch.testing.assert_close(found[:, :, 3:], (scaled - mean) / std, **CLOSE)
    given = {"input_ids": INPUTS[:1], "pixel_values": found}
    wanted = model.predict_action(**given)
    score = model.grounding_score(found, torch.tensor([[5, 6]]))
    text = model.backbone.vision_tower
    assert score.shape == (1, 2) and torch.equal(score[:, 0], score[:, 1]) and hasattr(text, "text_model")
    model.save_pretrained(tmp_path)
    loaded = MultimodalVLAForActionPrediction.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded.predict_action(**given), wanted, rtol=0, atol=0)
    torch.testing.assert_close(loaded.grounding_score(found, torch.tensor([[5, 6]])), score)


def test_a_lora_trains_both_towers_and_what_is_new_whole(composed):
    model = composed(**CHOICES["moe"], freeze_vision_tower=False)
    config = lora_config(model)
    for tower, kind in (("vision_tower", "attention"), ("second_vision_tower", "self_attn")):
        assert any(name.startswith(f"backbone.{tower}") and kind in name for name in config.target_modules)
    assert not any(".head." in name for name in config.target_modules)
    new = ("tower_conditioning.1.film.0.scale", "tower_conditioning.0.aggregation", "projector.router.0")
    assert set(new) <= set(config.modules_to_save)


def test_blocks_that_film_acts_in_are_not_sharded_by_themselves(composed):
    assert "SiglipEncoderLayer" in composed()._no_split_modules
    inside = composed(use_film=True)._no_split_modules
    assert "LlamaDecoderLayer" in inside and not any(name.startswith(("Siglip", "Dinov2")) for name in inside)


# ---- refusals


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vision_aggregate_type": "sum"}, "^vision_aggregate_type='sum' is unknown; choose from concat, moe"),
        ({"vision_aggregate_type": "moe", "second_vision_config": None}, "second_vision_config is missing"),
        ({"vision_aggregate_type": "moe", "projector_type": "perceiver"}, "^projector_type='perceiver' does not go"),
        ({"second_vision_config": {**SIGLIP, "patch_size": 7}}, "makes 16 patches .* of vision_config 4: they cannot"),
        ({"second_vision_config": {"model_type": "swin", "image_size": 28}}, "model_type='swin' cannot be one of two"),
        ({"second_vision_config": SiglipConfig()}, "^second_vision_config.model_type='siglip' has a text tower"),
        (
            {"vision_config": {"model_type": "clip_vision_model", **TOWER}, "use_film": True},
            "^use_film=True acts inside",
        ),
        ({"use_aggr": True, "num_vision_aggr": 0}, "num_vision_aggr"),
        ({"vision_feature_layer": -1}, "^vision_feature_layer=-1 must be between -3 and -2"),
        ({"vision_feature_layer": -4}, "^vision_feature_layer=-4 must be between -3 and -2"),
        ({"vision_feature_layer": 2}, "^vision_feature_layer=2 must be between"),
        ({"vision_config": SwinConfig(), "vision_feature_layer": -2, "second_vision_config": None}, "is 'swin'"),
    ],
)
def test_choices_of_towers_that_cannot_work_are_refused_by_name(fields, message):
    with pytest.raises(ConfigError, match=message):
        composed_config(**{**PAIR, **fields})


@pytest.mark.parametrize(
    "field",
    [
        *({"use_film": True}, {"use_aggr": True}, {"second_vision_config": DINO}, {"vision_feature_layer": -2}),
        {"vision_aggregate_type": "moe"},
    ],
)
def test_choices_of_towers_are_refused_with_a_vlm(field):
    vlm = {"model_type": "llava", "vision_config": CLIPVisionConfig(**TOWER).to_dict(), "text_config": LLAMA}
    with pytest.raises(ConfigError, match=f"{next(iter(field))} cannot be chosen with vlm_config"):
        MultimodalVLAConfig(vlm_config=vlm, **field)


@pytest.mark.parametrize("larger", ["vision_config", "second_vision_config"])
@torch.no_grad()
def test_a_tower_of_another_size_than_its_pictures_is_told_so(composed, larger):
    model = composed(**{"vision_config": SIGLIP, "second_vision_config": SIGLIP, larger: {**SIGLIP, "image_size": 56}})
    told = []
    for tower in model.backbone.towers:
        tower.register_forward_pre_hook(
            lambda module, args, kwargs: told.append(kwargs.get("interpolate_pos_encoding", False)), with_kwargs=True
        )
    assert model.predict_action(**arguments(model)).isfinite().all()
    assert told == [larger == "vision_config", larger == "second_vision_config"]


def test_pictures_in_one_normalisation_are_refused_and_so_are_those_of_other_samples(composed):
    model = composed(use_film=True)
    with pytest.raises(InputError, match=r"\(batch, views, 6, height, width\)"):
        model.predict_action(**arguments(model, pixel_values=pixels(3)))
    with pytest.raises(InputError, match="pixel_values holds 1 samples, input_ids 2"):
        model.predict_action(**arguments(model, pixel_values=pixels()[:1]))


def test_towers_that_do_not_fit_are_refused_before_weights_are_read(folders, monkeypatch):
    monkeypatch.setattr(AutoModel, "from_pretrained", None)
    paths = [folders[name][0] for name in ("dino", "patch7")]
    with pytest.raises(ConfigError, match="cannot be joined"):
        MultimodalVLAForActionPrediction.from_backbones(paths, folders["llama"][0], num_action_bins=16)
    with pytest.raises(ConfigError, match="names 3 vision towers; a composed VLA has one or two"):
        MultimodalVLAForActionPrediction.from_backbones([*paths, paths[0]], folders["llama"][0])
