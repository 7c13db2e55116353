"""Composed VLAs at tiny sizes: every choice trains, predicts, loads; padding, frozen parts, heads, text, refusals."""

import itertools
import json

import pytest
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from tiny_configs import (
    BLOCK,
    CHUNK,
    COMPOSED,
    DIM,
    GEMMA,
    LLAMA,
    STATE,
    TOWER,
    VOCABULARY,
    WIDTH,
    composed_config,
)
from transformers import AutoModel, AutoModelForCausalLM, CLIPConfig, GemmaConfig, LlamaConfig, SiglipConfig
from transformers.models.auto import AutoConfig

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction, tokens_to_actions
from vlahub.errors import ConfigError, InputError
from vlahub.modeling.multimodal_vla.fusion import early_sequence, fuse
from vlahub.modeling.multimodal_vla.grounding import unit_features
from vlahub.modeling.multimodal_vla.multimodal_inputs import checked_prompt
from vlahub.modeling.multimodal_vla.vision_tokens import vision_tokens

PROJECTORS = ("linear", "mlp", "perceiver", "qformer")
FUSIONS = ("early", "cross_attention", "late", "film")
HEADS = ("mlp", "flow", "discrete")
GATED = "gated_cross_attention"
FURTHER = [
    ("token_learner", "early", "mlp"),
    ("prismatic", "film", "discrete"),
    ("token_learner", "late", "flow"),
    ("perceiver", GATED, "mlp"),
    ("mlp", GATED, "flow"),
    ("token_learner", GATED, "discrete"),
]
every_choice = pytest.mark.parametrize(
    ("projector", "fusion", "head"), [*itertools.product(PROJECTORS, FUSIONS, HEADS), *FURTHER]
)
every_fusion = pytest.mark.parametrize("fusion", [*FUSIONS, GATED])
every_head = pytest.mark.parametrize("head", HEADS)
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
LENGTHS = (6, 4)
STATISTICS = COMPOSED["norm_stats"]
TEXT_TOWER = {"hidden_size": 24, **BLOCK, "vocab_size": 60, "max_position_embeddings": 16}
TWO_TOWERS = {
    "siglip": lambda: SiglipConfig(text_config={**TEXT_TOWER, "projection_size": 24}, vision_config=TOWER),
    "clip": lambda: CLIPConfig(text_config={**TEXT_TOWER, "eos_token_id": 59}, vision_config=TOWER, projection_dim=16),
}


@pytest.fixture
def composed(randomized):
    """`composed(**config) -> model` in evaluation mode, every weight of which matters."""
    return lambda **fields: randomized(MultimodalVLAForActionPrediction(composed_config(**fields))).eval()


class Batch:
    """Two samples of different lengths with two views and a state, together on one side of the padding, or singly."""

    def __init__(self, config, side="right", vocabulary=200):
        generator = torch.Generator().manual_seed(5)
        self.side, self.is_flow = side, config.action_head == "flow"
        self.rows = [torch.randint(3, vocabulary, (length,), generator=generator) for length in LENGTHS]
        self.pixels = torch.randn(2, 2, 3, 28, 28, generator=generator)
        self.proprio = torch.randn(2, STATE, generator=generator) if config.use_proprio else None
        self.noise = torch.randn(2, config.num_action_chunks, config.action_dim, generator=generator)
        self.actions = torch.rand(self.noise.shape, generator=generator) * 2 - 1
        self.time = torch.tensor([0.3, 0.8])

    def text(self, rows=(0, 1), extra=0):
        longest = max(len(self.rows[i]) for i in rows) + extra
        ids, mask = torch.full((len(rows), longest), 7), torch.zeros(len(rows), longest, dtype=torch.long)
        for place, i in enumerate(rows):
            length = len(self.rows[i])
            part = slice(length) if self.side == "right" else slice(longest - length, longest)
            ids[place, part], mask[place, part] = self.rows[i], 1
        return {"input_ids": ids, "attention_mask": mask}

    def inputs(self, rows=(0, 1), extra=0):
        state = {} if self.proprio is None else {"proprio": self.proprio[list(rows)]}
        return {**self.text(rows, extra), "pixel_values": self.pixels[list(rows)], **state}

    def prediction(self, rows=(0, 1), extra=0):
        return self.inputs(rows, extra) | ({"noise": self.noise[list(rows)]} if self.is_flow else {})

    def training(self, rows=(0, 1)):
        known = {"noise": self.noise[list(rows)], "time": self.time[list(rows)]} if self.is_flow else {}
        return {**self.inputs(rows), **known, "actions": self.actions[list(rows)]}

    def labels(self):
        text = self.text()
        return text["input_ids"].masked_fill(text["attention_mask"] == 0, -100)


def sequence_of(model, text, pixels):
    prompt = checked_prompt(model, text["input_ids"], text["attention_mask"], pixels, None)
    return early_sequence(model.backbone, model.projector, model.film, prompt)


def without_gradient(model):
    return [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]


# ---- every choice


@every_choice
def test_a_training_step_reaches_every_part_and_what_is_written_predicts_the_same(
    composed, tmp_path, projector, fusion, head
):
    model = composed(projector_type=projector, fusion=fusion, action_head=head, freeze_language_model=False)
    batch = Batch(model.config)
    loss = model.train()(**batch.training()).loss
    loss.backward()
    assert loss.isfinite() and loss.dtype == torch.float32 and not without_gradient(model)
    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained == {name.split(".")[0] for name, _ in model.named_parameters()}
    actions = model.eval().predict_action(**batch.prediction())
    assert actions.shape == (2, CHUNK, DIM) and actions.dtype == torch.float32 and actions.isfinite().all()
    model.save_pretrained(tmp_path)
    loaded = MultimodalVLAForActionPrediction.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded.predict_action(**batch.prediction()), actions, rtol=0, atol=0)


@every_choice
def test_a_padded_row_predicts_what_it_predicts_alone(composed, projector, fusion, head):
    model = composed(projector_type=projector, fusion=fusion, action_head=head)
    alone = [model.predict_action(**Batch(model.config).prediction([i])) for i in range(2)]
    assert head == "discrete" or (alone[0] - alone[1]).abs().max() > 1e-2
    for side in ("left", "right"):
        found = model.predict_action(**Batch(model.config, side).prediction(extra=2))
        torch.testing.assert_close(found, torch.cat(alone), **CLOSE)


@every_fusion
@every_head
def test_all_that_a_prediction_is_given_has_an_influence(composed, fusion, head):
    model = composed(fusion=fusion, action_head=head, projector_type="perceiver")
    arguments = Batch(model.config).training()
    if head == "mlp":
        arguments["actions"] = arguments["actions"] + 5  # an error that is linear in the prediction
    wanted = model(**arguments).loss
    views = arguments["pixel_values"].clone()
    views[:, 1] *= -1
    changes = {
        "proprio": arguments["proprio"] + 1,
        "input_ids": arguments["input_ids"] + 1,
        "pixel_values": views,
    }
    for name, value in changes.items():
        assert (model(**{**arguments, name: value}).loss - wanted).abs() > 1e-4, name


def test_one_view_needs_no_dimension_for_views(composed):
    model = composed()
    arguments = Batch(model.config).prediction()
    three = torch.cat([arguments["pixel_values"], arguments["pixel_values"][:, :1]], dim=1)
    assert model.predict_action(**{**arguments, "pixel_values": three}).shape == (2, CHUNK, DIM)
    one = model.predict_action(**{**arguments, "pixel_values": three[:, :1]})
    torch.testing.assert_close(model.predict_action(**{**arguments, "pixel_values": three[:, 0]}), one)


def test_without_proprio_there_is_no_projector_for_it(composed):
    for fusion in ("early", "late"):
        model = composed(use_proprio=False, proprio_dim=None, fusion=fusion)
        assert model.proprio_projector is None
        assert model.predict_action(**Batch(model.config).prediction()).isfinite().all()


def test_predictions_are_in_robot_units(composed):
    model = composed()
    output = model.predict_action(**Batch(model.config).prediction(), return_dict=True)
    low, high = (torch.tensor(STATISTICS["a"]["action"][name]) for name in ("q01", "q99"))
    torch.testing.assert_close(output.actions, low + (output.normalized_actions + 1) / 2 * (high - low), **CLOSE)
    assert output.token_ids is None


OTHERS = {
    "clip": {"vision_config": {"model_type": "clip_vision_model", **TOWER}},
    "dinov2": {"vision_config": {"model_type": "dinov2", **TOWER, "mlp_ratio": 2}},
    "vit": {"vision_config": {"model_type": "vit", **TOWER}},
    "llama": {"text_config": LLAMA},
    "tied llama": {"text_config": {**LLAMA, "tie_word_embeddings": True}},
    "qwen2": {"text_config": {**LLAMA, "model_type": "qwen2", "num_key_value_heads": 1}},
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_towers_and_language_models_predict_and_load(composed, tmp_path, name):
    model = composed(action_head="discrete", **OTHERS[name])
    batch = Batch(model.config, "left")
    actions = model.predict_action(**batch.prediction())
    torch.testing.assert_close(model.predict_action(**batch.prediction([1])), actions[1:], **CLOSE)
    model.save_pretrained(tmp_path)
    loaded = MultimodalVLAForActionPrediction.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded.predict_action(**batch.prediction()), actions, rtol=0, atol=0)
    tied = model.config.text_config.tie_word_embeddings
    for each in (model, loaded):
        assert (each.get_output_embeddings().weight is each.get_input_embeddings().weight) == tied
    assert model.config.tie_word_embeddings == tied


def test_vision_tokens_enter_a_gemma_as_the_projector_made_them(composed):
    """A Gemma scales embeddings of text; where it does so differs between the lines of transformers."""
    model, seen = composed(fusion="early"), []
    layer = model.backbone.language_model.model.layers[0]
    layer.register_forward_pre_hook(lambda _, args, kwargs: seen.append((*args, *kwargs.values())[0]), with_kwargs=True)
    arguments = Batch(model.config).inputs([0])
    model.predict_action(**arguments)
    prompt = checked_prompt(model, arguments["input_ids"], None, arguments["pixel_values"], None)
    vision, _ = vision_tokens(model.backbone, model.projector, prompt)
    count = vision.shape[1]
    torch.testing.assert_close(seen[0][:, :count], vision, **CLOSE)
    text = F.embedding(arguments["input_ids"], model.get_input_embeddings().weight) * WIDTH**0.5
    torch.testing.assert_close(seen[0][:, count : count + LENGTHS[0]], text, **CLOSE)


# ---- what trains


def frozen_names(model):
    return {name for name, p in model.named_parameters() if not p.requires_grad}


def assert_tower_is_frozen(model):
    tower = {f"backbone.vision_tower.{name}" for name, _ in model.backbone.vision_tower.named_parameters()}
    assert frozen_names(model) == tower
    outputs = []
    model.backbone.vision_tower.register_forward_hook(lambda *arguments: outputs.append(arguments[-1]))
    batch = Batch(model.config)
    before = {name: p.clone() for name, p in model.backbone.vision_tower.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.5)
    model.train()(**batch.training()).loss.backward()
    optimizer.step()
    assert not outputs[0].last_hidden_state.requires_grad
    for name, p in model.backbone.vision_tower.named_parameters():
        assert p.grad is None and torch.equal(p, before[name])


def test_a_frozen_tower_has_no_gradients_and_costs_no_memory_for_them(composed, tmp_path):
    assert_tower_is_frozen(composed())
    model = composed(text_config=LLAMA)
    model.save_pretrained(tmp_path)
    assert_tower_is_frozen(MultimodalVLAForActionPrediction.from_pretrained(tmp_path))


def test_a_tower_that_is_not_frozen_trains(composed, tmp_path):
    model = composed(freeze_vision_tower=False, text_config=LLAMA)
    model.save_pretrained(tmp_path)
    for each in (model, MultimodalVLAForActionPrediction.from_pretrained(tmp_path)):
        assert not frozen_names(each)
        each(**Batch(each.config).training()).loss.backward()
        trained = {name for name, p in each.backbone.vision_tower.named_parameters() if p.grad is not None}
        assert {name for name in trained if "encoder.layers" in name and "mlp" in name}


def test_lora_and_new_heads_train_and_merge_into_a_model_that_predicts_the_same(composed):
    model, batch = composed(), Batch(composed_config())
    new = ["action_head", "action_queries", "projector", "proprio_projector"]
    lora = LoraConfig(r=2, target_modules=r".*language_model.*\.(q_proj|down_proj)", modules_to_save=new)
    wrapped = get_peft_model(model, lora)
    trained = {name for name, p in wrapped.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name or "modules_to_save" in name for name in trained)
    before = wrapped.base_model.model.predict_action(**batch.prediction())
    optimizer = torch.optim.Adam([p for p in wrapped.parameters() if p.requires_grad], lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        wrapped(**batch.training()).loss.backward()
        optimizer.step()
    assert not without_gradient(wrapped)
    after = wrapped.base_model.model.predict_action(**batch.prediction())
    assert (after - before).abs().max() > 1e-2
    merged = wrapped.merge_and_unload()
    assert isinstance(merged, MultimodalVLAForActionPrediction)
    torch.testing.assert_close(merged.predict_action(**batch.prediction()), after, **CLOSE)


# ---- heads


def test_the_mlp_heads_loss_is_the_mean_absolute_error(composed):
    model = composed()
    batch = Batch(model.config)
    found = model.predict_action(**batch.inputs(), return_dict=True).normalized_actions
    torch.testing.assert_close(model(**batch.training()).loss, (found - batch.actions).abs().mean())


@pytest.mark.parametrize("words", [None, 260])
def test_the_discrete_heads_loss_is_the_cross_entropy_of_its_bins(composed, words):
    """The edges are 1/15.5 apart: the value at an edge has the token of that edge's place from the end."""
    model = composed(action_head="discrete", action_vocab_size=words)
    batch, end = Batch(model.config), words or VOCABULARY
    ranks = torch.arange(2 * CHUNK * DIM).reshape(2, CHUNK, DIM) + 1
    actions = torch.linspace(-1, 1, 32)[ranks - 1] + 0.01
    text = batch.text()
    prompt = checked_prompt(model, text["input_ids"], text["attention_mask"], batch.pixels, None)
    states, _, _ = fuse(model.fusion_parts, model.config, prompt, batch.proprio)
    logits = model.get_output_embeddings()(states)[..., end - 32 : end]
    wanted = F.cross_entropy(logits.flatten(0, 1), (32 - ranks).flatten())
    torch.testing.assert_close(model(**batch.inputs(), actions=actions).loss, wanted)
    output = model.predict_action(**batch.inputs(), return_dict=True)
    assert torch.equal(output.token_ids.flatten(1), end - 32 + logits.argmax(dim=-1))
    assert torch.equal(output.normalized_actions, tokens_to_actions(output.token_ids, end, 32))


def test_the_flow_heads_context_runs_once_and_its_suffix_once_a_step(composed):
    model = composed(action_head="flow")
    shapes = []
    model.action_network.stack.layers[-1].mlp.register_forward_hook(lambda _, args, output: shapes.append(output.shape))
    tower = []
    model.backbone.vision_tower.register_forward_hook(lambda *_: tower.append(1))
    arguments = Batch(model.config).prediction()
    actions = model.predict_action(**arguments, num_steps=7)
    context = 2 * 4 + LENGTHS[0] + 1  # patches of both views, text, proprio
    assert [shape[1] for shape in shapes] == [context] + [CHUNK + 1] * 7 and len(tower) == 1
    default = model.predict_action(**arguments)
    torch.testing.assert_close(default, model.predict_action(**arguments, num_steps=3))
    assert (default - actions).abs().max() > 1e-3


@every_head
def test_gradient_checkpointing_changes_neither_loss_nor_gradients(composed, head):
    model = composed(action_head=head).train()
    arguments, results = Batch(model.config).training(), []
    for on in (False, True):
        if on:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.zero_grad()
        loss = model(**arguments).loss
        loss.backward()
        results.append((loss, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}))
    assert model.is_gradient_checkpointing
    torch.testing.assert_close(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1], **CLOSE)


def toy_task():
    """Sixty-four pictures of one colour and states; actions are a linear function of both."""
    generator = torch.Generator().manual_seed(3)
    colours, states = torch.rand(64, 2, generator=generator) * 2 - 1, torch.rand(64, 2, generator=generator) * 2 - 1
    pixels = torch.cat([colours, -colours[:, :1]], dim=1)[:, :, None, None].expand(-1, -1, 28, 28)
    actions = torch.stack([(colours + states[:, :1]) / 2, (states - colours[:, 1:]) / 2], dim=1)
    ids = torch.tensor([[5, 9]]).expand(64, -1)
    return {"input_ids": ids, "pixel_values": pixels, "proprio": states}, actions


@pytest.mark.parametrize(
    "head", [name if name == "mlp" else pytest.param(name, marks=pytest.mark.slow) for name in HEADS]
)
def test_a_toy_task_is_learned(randomized, head):
    """A flow head sees every sample at two times in a step."""
    statistics = {"a": {part: {"q01": [-1.0] * 2, "q99": [1.0] * 2} for part in ("action", "proprio")}}
    sizes = {"action_dim": 2, "num_action_chunks": 2, "proprio_dim": 2, "norm_stats": statistics}
    flow = {"time_sampling": "uniform", "use_time_weight": False, "num_inference_steps": 5}
    config = composed_config(action_head=head, text_config=LLAMA, **sizes, **flow)
    model = randomized(MultimodalVLAForActionPrediction(config), seed=1).train()
    torch.manual_seed(0)
    inputs, actions = toy_task()
    times, rate = (2, 6e-3) if head == "flow" else (1, 3e-3)
    repeated = {name: torch.cat([value] * times) for name, value in {**inputs, "actions": actions}.items()}
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 250)
    for _ in range(250):
        optimizer.zero_grad()
        model(**repeated).loss.backward()
        optimizer.step()
        schedule.step()
    error = (model.eval().predict_action(**inputs) - actions).abs().mean()
    assert error < 0.2 * (actions - actions.mean(dim=0)).abs().mean(), error


# ---- text


def test_the_language_loss_is_that_of_the_language_model_on_the_same_embeddings(composed):
    model = composed()
    batch = Batch(model.config)
    labels = batch.labels()
    output = model(**batch.training(), labels=labels)
    torch.testing.assert_close(output.loss, output.action_loss + output.lm_loss)
    text_only = model(**batch.inputs(), labels=labels)
    torch.testing.assert_close(text_only.loss, output.lm_loss)
    assert text_only.action_loss is None and text_only.logits.shape == (2, LENGTHS[0], VOCABULARY)
    sequence = sequence_of(model, batch.text(), batch.pixels)
    embeds, real = sequence.embeds, sequence.real
    all_labels = torch.full(real.shape, -100)
    all_labels[:, sequence.text] = labels
    all_labels[:, sequence.text.start] = -100  # what follows the pictures is not predicted
    wanted = model.backbone.language_model(
        inputs_embeds=embeds,
        attention_mask=real.long(),
        position_ids=(real.long().cumsum(dim=1) - 1).clamp(min=0),
        labels=all_labels,
    )
    torch.testing.assert_close(output.lm_loss, wanted.loss)


@pytest.mark.parametrize("fusion", ["early", "film", "cross_attention"])
def test_a_composed_model_writes_what_its_language_model_writes_after_the_same_embeddings(composed, fusion):
    model = composed(fusion=fusion)
    arguments = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": -1}
    rows = []
    for i in range(2):
        batch = Batch(model.config, "left")
        text = batch.text([i])
        sequence = sequence_of(model, text, batch.pixels[[i]])
        given = {"inputs_embeds": sequence.embeds, "attention_mask": sequence.real.long()}
        rows.append(model.backbone.language_model.generate(**given, **arguments))
        logits = model(**batch.inputs([i])).logits
        assert rows[-1][0, 0] == logits[0, -1].argmax()
    batch = Batch(model.config, "left")
    found = model.generate(**batch.text(), pixel_values=batch.pixels, **arguments)
    assert found.shape == (2, 4) and torch.equal(found, torch.cat(rows))


def test_with_late_fusion_the_text_is_written_without_seeing_pictures(composed):
    model = composed(fusion="late")
    batch, arguments = Batch(model.config, "left"), {"max_new_tokens": 4, "do_sample": False, "eos_token_id": -1}
    found = model.generate(**batch.text(), pixel_values=batch.pixels, **arguments)
    embeds = model.get_input_embeddings()(batch.text()["input_ids"])
    mask = batch.text()["attention_mask"]
    wanted = model.backbone.language_model.generate(inputs_embeds=embeds, attention_mask=mask, **arguments)
    assert torch.equal(found, wanted) and found.shape == (2, 4)
    assert torch.equal(found, model.generate(**batch.text(), **arguments))


# ---- grounding


@pytest.mark.parametrize("name", TWO_TOWERS)
def test_grounding_is_the_cosine_of_the_two_towers_for_each_view(composed, name):
    model = composed(vision_config=TWO_TOWERS[name]())
    tower, batch = model.backbone.vision_tower, Batch(model.config)
    ids = torch.tensor([[5, 6, 7, 59], [8, 9, 59, 59]])
    found = model.grounding_score(batch.pixels, ids)
    assert found.shape == (2, 2) and (found[0] - found[1]).abs().max() > 1e-3
    with torch.no_grad():
        text = tower.get_text_features(ids)
        for view in range(2):
            image = tower.get_image_features(batch.pixels[:, view])
            pair = [getattr(features, "pooler_output", features) for features in (image, text)]
            torch.testing.assert_close(found[:, view], F.cosine_similarity(*pair), **CLOSE)
    torch.testing.assert_close(model.grounding_score(batch.pixels[:, 0], ids), found[:, :1], **CLOSE)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    masked = model.grounding_score(batch.pixels, ids, mask)
    torch.testing.assert_close(masked[0], found[0], **CLOSE)
    with torch.no_grad():
        image = tower.get_image_features(batch.pixels[:, 0])
        pair = [image, tower.get_text_features(ids, attention_mask=mask)]
    pair = [getattr(features, "pooler_output", features) for features in pair]
    torch.testing.assert_close(masked[:, 0], F.cosine_similarity(*pair), **CLOSE)
    if name == "siglip":  # a CLIP's text ends at its first end token, and tokens before see none behind them
        assert (masked[1] - found[1]).abs().max() > 1e-5
    with pytest.raises(InputError, match="input_ids is a list; a torch tensor"):
        model.grounding_score(batch.pixels, ids.tolist())
    assert model.predict_action(**batch.prediction()).isfinite().all()


def test_grounding_is_that_of_the_first_of_two_vision_towers(composed):
    second = {"model_type": "clip_vision_model", **TOWER}
    alone = composed(vision_config=TWO_TOWERS["siglip"]())
    pair = composed(vision_config=TWO_TOWERS["siglip"](), second_vision_config=second)
    pair.backbone.vision_tower.load_state_dict(alone.backbone.vision_tower.state_dict())
    pixels, ids = torch.rand(2, 2, 6, 28, 28), torch.tensor([[5, 6, 7, 59], [8, 9, 59, 59]])
    assert torch.equal(pair.grounding_score(pixels, ids), alone.grounding_score(pixels[:, :, :3], ids))


def test_cosines_of_bfloat16_features_are_float32():
    features = torch.randn(50, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    found = unit_features(features)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(50), atol=1e-6, rtol=0)


def test_a_tower_without_text_gives_no_grounding(composed):
    with pytest.raises(InputError, match=r"grounding_score needs a vision backbone with a text tower .*siglip_vision"):
        composed().grounding_score(torch.zeros(1, 3, 28, 28), torch.ones(1, 3, dtype=torch.long))


# ---- pretrained parts


@pytest.fixture
def saved(tmp_path, randomized):
    """Folders of a SigLIP with both towers, a CLIP vision tower, a Gemma and a Llama."""
    configs = {
        "siglip": TWO_TOWERS["siglip"](),
        "clip": AutoConfig.for_model("clip_vision_model", **TOWER),
        "gemma": GemmaConfig(**{k: v for k, v in GEMMA.items() if k != "model_type"}),
        "llama": LlamaConfig(**{k: v for k, v in LLAMA.items() if k != "model_type"}),
    }
    for seed, (name, config) in enumerate(configs.items()):
        auto = AutoModelForCausalLM if name in ("gemma", "llama") else AutoModel
        model = auto.from_config(config)
        randomized(torch.nn.ModuleDict({"model": model}), seed)
        model.save_pretrained(tmp_path / name)
    return tmp_path


def assert_same_weights(part, source, dtype=torch.float32):
    wanted = source.to(dtype).state_dict()
    found = part.state_dict()
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def dtypes(model):
    return {p.dtype for p in model.parameters()}


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, "bfloat16"])
@pytest.mark.parametrize(("vision", "grounding"), [("siglip", False), ("siglip", True), ("clip", False)])
def test_pretrained_backbones_keep_their_weights_and_give_new_parts_their_dtype(saved, dtype, vision, grounding):
    paths = {"vision": str(saved / vision), "text": str(saved / "llama")}
    model = MultimodalVLAForActionPrediction.from_backbones(**paths, dtype=dtype, grounding=grounding, **COMPOSED)
    wanted = torch.float32 if dtype is None else torch.bfloat16
    assert dtypes(model) == {wanted} and not any(p.is_meta for p in model.parameters())
    source = AutoModel.from_pretrained(saved / vision)
    tower = model.backbone.vision_tower
    if vision == "siglip" and not grounding:
        inner = getattr(tower, "vision_model", tower)  # 5.x has no such level
        assert_same_weights(inner, getattr(source.vision_model, "vision_model", source.vision_model), wanted)
        assert model.config.vision_config.model_type == "siglip_vision_model"
    else:
        assert_same_weights(tower, source, wanted)
    assert_same_weights(model.backbone.language_model, AutoModelForCausalLM.from_pretrained(saved / "llama"), wanted)
    assert model.backbone.has_two_towers == grounding
    assert frozen_names(model) == {f"backbone.vision_tower.{name}" for name, _ in tower.named_parameters()}
    batch = Batch(model.config)
    assert model.eval().predict_action(**batch.prediction()).dtype == torch.float32
    loss = model(**batch.training()).loss
    loss.backward()
    assert loss.isfinite() and loss.dtype == torch.float32


@pytest.mark.parametrize("text", ["gemma", "llama"])
@pytest.mark.parametrize("head", ["flow", "discrete"])
def test_a_model_of_pretrained_backbones_is_written_and_loads(saved, tmp_path, text, head):
    model = MultimodalVLAForActionPrediction.from_backbones(
        str(saved / "siglip"), str(saved / text), action_head=head, **COMPOSED
    ).eval()
    model.save_pretrained(tmp_path / "all")
    loaded = MultimodalVLAForActionPrediction.from_pretrained(tmp_path / "all").eval()
    arguments = Batch(model.config).prediction()
    torch.testing.assert_close(loaded.predict_action(**arguments), model.predict_action(**arguments), rtol=0, atol=0)


def test_new_parts_differ_with_the_seed_and_are_initialised(saved):
    torch.manual_seed(0)
    model = MultimodalVLAForActionPrediction.from_backbones(
        str(saved / "clip"), str(saved / "llama"), fusion="film", action_head="flow", **COMPOSED
    )
    new = {n: p for n, p in model.named_parameters() if not n.startswith(("backbone", "film")) and "bias" not in n}
    for name, p in new.items():
        assert p.isfinite().all() and p.abs().max() > 0, name
        assert "norm" in name or p.dim() < 2 or 0.005 < p.std() < 0.5, name
    assert not any(p.any() for p in model.film.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_dtype_of_a_nested_config_does_not_win(composed, tmp_path, dtype):
    composed(text_config=LLAMA).save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    for name in ("text_config", "vision_config", "expert_config"):
        content[name] |= {"dtype": "float16", "torch_dtype": "float16"}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert dtypes(MultimodalVLAForActionPrediction.from_pretrained(tmp_path, dtype=dtype)) == {dtype}
    assert dtypes(MultimodalVLAForActionPrediction(MultimodalVLAConfig.from_pretrained(tmp_path))) == {torch.float32}


def test_weights_that_lack_a_part_are_refused_by_its_name(composed, tmp_path):
    composed(text_config=LLAMA).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="missing keys: film"):
        MultimodalVLAForActionPrediction.from_pretrained(tmp_path, fusion="film")


# ---- refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixel_values": None}, "^pixel_values is missing"),
        ({"pixel_values": torch.zeros(2, 28, 28)}, r"^pixel_values has shape \(2, 28, 28\)"),
        ({"pixel_values": torch.zeros(2, 2, 1, 28, 28)}, r"^pixel_values has shape \(2, 2, 1, 28, 28\)"),
        ({"pixel_values": torch.zeros(3, 2, 3, 28, 28)}, "^pixel_values holds 3 samples, input_ids 2"),
        ({"proprio": None}, r"^state is missing.* \(2, 4\)"),
        ({"proprio": torch.zeros(2, 5)}, r"^state has shape \(2, 5\); .* \(2, 4\)"),
        ({"proprio": torch.zeros(1, 4)}, r"^state has shape \(1, 4\)"),
        (
            {"attention_mask": torch.ones(2, 5, dtype=torch.long)},
            r"^attention_mask has shape \(2, 5\), input_ids \(2, 6\)",
        ),
        ({"attention_mask": torch.tensor([[1] * 6, [0] * 6])}, "^attention_mask has a row of padding alone"),
        ({"unnorm_key": "b"}, "^unnorm_key='b' is unknown; choices: a"),
        ({"noise": torch.zeros(1, CHUNK, DIM)}, r"^noise has shape \(1, 4, 3\)"),
        ({"num_inference_steps": 0}, "steps=0"),
        (
            {"num_steps": 3, "num_inference_steps": 3},
            "^num_inference_steps and num_steps are two names of one argument",
        ),
        ({"state": torch.zeros(2, 4)}, "^state and proprio are two names of one argument; pass one of them"),
    ],
)
@pytest.mark.parametrize("fusion", ["early", "late"])
def test_wrong_arguments_of_a_prediction_are_refused_by_name(composed, fusion, change, message):
    model = composed(action_head="flow", fusion=fusion)
    with pytest.raises(InputError, match=message):
        model.predict_action(**{**Batch(model.config).prediction(), **change})


@every_head
@pytest.mark.parametrize("shape", [(2, CHUNK, 2), (2, 3, DIM), (1, CHUNK, DIM), (CHUNK, DIM)])
def test_actions_of_another_shape_are_refused(composed, head, shape):
    model = composed(action_head=head)
    with pytest.raises(InputError, match=r"^actions has shape"):
        model(**Batch(model.config).inputs(), actions=torch.zeros(shape))


def test_a_state_that_is_not_used_is_refused(composed):
    model = composed(use_proprio=False)
    for word in ("state", "proprio"):
        with pytest.raises(InputError, match="state was given, but this model takes no robot state"):
            model.predict_action(**Batch(model.config).inputs(), **{word: torch.zeros(2, STATE)})


def test_the_published_words_are_the_same_arguments(composed):
    model = composed(action_head="flow")
    batch = Batch(model.config)
    given, training = batch.prediction(), batch.training()
    renamed = {"state" if name == "proprio" else name: value for name, value in given.items()}
    wanted = model.predict_action(**given, num_steps=2)
    assert torch.equal(model.predict_action(**renamed, num_inference_steps=2), wanted)
    wanted = model(**training).loss
    assert torch.equal(model(state=training.pop("proprio"), **training).loss, wanted)


def test_statistics_must_be_named_where_there_are_none_or_several(composed):
    model = composed(norm_stats={})
    with pytest.raises(InputError, match=r"unnorm_key must say which.*none"):
        model.predict_action(**Batch(model.config).inputs())
    model = composed(norm_stats={**STATISTICS, "b": STATISTICS["a"]})
    with pytest.raises(InputError, match="choices: a, b"):
        model.predict_action(**Batch(model.config).inputs())
