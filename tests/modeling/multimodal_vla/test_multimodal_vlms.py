"""Composed VLAs around VLMs of transformers: what the VLM makes of the same input, padding, FiLM, text, loading."""

import inspect
import json

import pytest
import torch
import torch.nn.functional as F
import transformers
from transformers import AutoConfig, AutoModelForImageTextToText

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction
from vlahub.errors import InputError
from vlahub.modeling.multimodal_vla.fusion import fuse
from vlahub.modeling.multimodal_vla.multimodal_inputs import checked_prompt
from vlahub.modeling.multimodal_vla.vlm_backbone import full_prefix

OLDER = transformers.__version__.startswith("4.")
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
IMAGE, START, END, VOCABULARY, PATCHES, VIEWS, LENGTHS = 290, 291, 292, 300, 4, 2, (6, 4)
BLOCK = {"intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
TEXT = {"hidden_size": 32, **BLOCK, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": VOCABULARY, **SPECIAL}
TOWER = {"hidden_size": 24, **BLOCK, "image_size": 28, "patch_size": 14}
QWEN_TOWER = {"hidden_size": 24, "intermediate_size": 32, "depth": 2, "num_heads": 2, "out_hidden_size": 32}
QWEN_TOKENS = {
    "image_token_id": IMAGE,
    "vision_start_token_id": START,
    "vision_end_token_id": END,
    "video_token_id": 293,
}
VLMS = {
    "paligemma": {
        "text_config": {"model_type": "gemma", **TEXT},
        "vision_config": {"model_type": "siglip_vision_model", **TOWER},
        "image_token_index": IMAGE,
        "projection_dim": 32,
    },
    "llava": {
        "text_config": {"model_type": "llama", **TEXT},
        "vision_config": {"model_type": "clip_vision_model", **TOWER, "num_hidden_layers": 3},
        "image_token_index": IMAGE,
    },
    "qwen2_5_vl": {
        "text_config": {
            **{name: value for name, value in TEXT.items() if name != "head_dim"},
            "model_type": "qwen2_5_vl_text",
            "rope_scaling": {"type" if OLDER else "rope_type": "mrope" if OLDER else "default"}
            | {"mrope_section": [2, 3, 3]},
        },
        "vision_config": {**QWEN_TOWER, "patch_size": 14, "fullatt_block_indexes": [1], "window_size": 56},
        **QWEN_TOKENS,
    },
    "qwen3_vl": {
        "text_config": {
            **TEXT,
            "model_type": "qwen3_vl_text",
            "rope_scaling": {"rope_type": "default", "mrope_section": [4, 2, 2], "mrope_interleaved": True},
        },
        "vision_config": {
            **QWEN_TOWER,
            "patch_size": 16,
            "deepstack_visual_indexes": [0],
            "num_position_embeddings": 16,
        },
        **QWEN_TOKENS,
    },
}
every_vlm = pytest.mark.parametrize("name", VLMS)
replaceable = pytest.mark.parametrize("name", ["paligemma", "llava", "qwen2_5_vl"])
OPTIONS = {
    "action_dim": 3,
    "num_action_chunks": 4,
    "num_action_bins": 32,
    "num_latents": 5,
    "norm_stats": {
        "a": {"action": {"q01": [-1.0] * 3, "q99": [1.0] * 3}, "proprio": {"q01": [-1.0] * 2, "q99": [1.0] * 2}}
    },
    "num_inference_steps": 3,
    "expert_config": {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4, "num_hidden_layers": 2},
}
GREEDY = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}


@pytest.fixture
def around(randomized):
    """`around("llava", **config) -> model` in evaluation mode, every weight of which matters."""

    def make(name, **fields):
        config = MultimodalVLAConfig(vlm_config={"model_type": name, **VLMS[name]}, **{**OPTIONS, **fields})
        return randomized(MultimodalVLAForActionPrediction(config)).eval()

    return make


class Batch:
    """Two samples of different lengths with two views, together on one side of the padding, or singly."""

    def __init__(self, name, side="right", image_tokens=PATCHES):
        generator = torch.Generator().manual_seed(5)
        self.name, self.side, self.is_qwen = name, side, name.startswith("qwen")
        image = [START, *[IMAGE] * image_tokens, END] if self.is_qwen else [IMAGE] * image_tokens
        texts = [torch.randint(3, 200, (length,), generator=generator).tolist() for length in LENGTHS]
        self.rows = [torch.tensor([*image, *text[:1], *image, *text[1:]]) for text in texts]
        if self.is_qwen:  # four by four patches of an image become two by two tokens
            pixels = 3 * 2 * VLMS[name]["vision_config"]["patch_size"] ** 2
            self.pixels = torch.randn(2, VIEWS, 16, pixels, generator=generator)
        else:
            self.pixels = torch.randn(2, VIEWS, 3, 28, 28, generator=generator)
        self.noise = torch.randn(2, 4, 3, generator=generator)
        self.actions = torch.rand(2, 4, 3, generator=generator) * 2 - 1

    def text(self, rows=(0, 1), extra=0):
        longest = max(len(self.rows[i]) for i in rows) + extra
        ids, mask = torch.full((len(rows), longest), 7), torch.zeros(len(rows), longest, dtype=torch.long)
        for place, i in enumerate(rows):
            length = len(self.rows[i])
            part = slice(length) if self.side == "right" else slice(longest - length, longest)
            ids[place, part], mask[place, part] = self.rows[i], 1
        return {"input_ids": ids, "attention_mask": mask}

    def inputs(self, rows=(0, 1), extra=0):
        pixels = self.pixels[list(rows)]
        if not self.is_qwen:
            return {**self.text(rows, extra), "pixel_values": pixels}
        grid = torch.tensor([[1, 4, 4]] * VIEWS * len(rows))
        return {**self.text(rows, extra), "pixel_values": pixels.flatten(0, 2), "image_grid_thw": grid}

    def documented(self, vlm, rows=(0, 1)):
        """What the VLM's own processor would return for the same."""
        arguments = self.inputs(rows)
        ids = arguments["input_ids"]
        if not self.is_qwen:
            arguments["pixel_values"] = arguments["pixel_values"].flatten(0, 1)
        if self.name == "paligemma":
            arguments["token_type_ids"] = torch.zeros_like(ids)
        if self.is_qwen and "mm_token_type_ids" in inspect.signature(vlm.model.forward).parameters:
            arguments["mm_token_type_ids"] = (ids == IMAGE).int()
        return arguments

    def prediction(self, head, rows=(0, 1), extra=0):
        return self.inputs(rows, extra) | ({"noise": self.noise[list(rows)]} if head == "flow" else {})


def fused(model, batch, rows=(0, 1), state=None):
    return fuse(
        model.fusion_parts, model.config, checked_prompt(model, **{"image_grid_thw": None, **batch.inputs(rows)}), state
    )


# ---- the VLM's own way


@pytest.mark.newest
@every_vlm
@pytest.mark.parametrize("training", [True, False])
def test_the_head_reads_the_states_that_the_vlm_has_of_the_same_input(around, name, training):
    """The flow head reads all of them, and nothing is appended to the prompt."""
    model, batch = around(name, action_head="flow").train(training), Batch(name)
    for i in range(2):
        states, _, text_states = fused(model, batch, [i])
        assert torch.equal(states, text_states)
        plain = model.backbone.vlm.model.eval()(**batch.documented(model.backbone.vlm, [i])).last_hidden_state
        torch.testing.assert_close(states, plain, **CLOSE)


@pytest.mark.parametrize("training", [True, False])
def test_a_paligemma_in_training_is_told_where_images_are_though_its_mask_is_given_whole(around, training):
    """5.0 to 5.8 refuse it otherwise."""
    model, batch, told = around("paligemma", action_head="flow").train(training), Batch("paligemma"), []
    model.backbone.core.register_forward_pre_hook(lambda _, args, kwargs: told.append(kwargs), with_kwargs=True)
    fused(model, batch, [0])
    assert len(told) == 1 and told[0]["attention_mask"].dim() == 4
    assert ("token_type_ids" in told[0]) == training
    assert not training or torch.equal(told[0]["token_type_ids"], (batch.inputs([0])["input_ids"] == IMAGE).long())


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "qwen3_vl"])
def test_queries_behind_a_causal_prompt_do_not_change_its_states(around, name):
    model, batch = around(name, action_head="discrete", use_proprio=True, proprio_dim=2), Batch(name)
    _, _, found = fused(model, batch, [0], torch.ones(1, 2))
    plain = model.backbone.vlm.model(**batch.documented(model.backbone.vlm, [0])).last_hidden_state
    torch.testing.assert_close(found, plain, **CLOSE)


def test_added_tokens_see_everything_and_what_is_written_what_is_before_it():
    """Of two tokens of a prompt, padding, two written ones, and two that are added."""
    real = torch.tensor([[1, 1, 0, 1, 1, 1, 1]]) == 1
    written = torch.tensor([[0, 0, 0, 1, 1, 0, 0]]) == 1
    prompt, first, second, added = "1100000", "1101000", "1101100", "1101111"
    found = full_prefix(real, written, num_added=2)[0, [0, 1, 3, 4, 5, 6]]
    assert ["".join(map(str, row)) for row in found.int().tolist()] == [prompt, prompt, first, second, added, added]


def allowed(names, choices):
    """Each VLM with each `(projector, fusion)` that it takes."""
    pairs = [(name, *choice) for name in names for choice in choices]
    return [pair for pair in pairs if pair[0] != "qwen3_vl" or (pair[1] is None and pair[2] != "film")]


@pytest.mark.parametrize("head", ["mlp", "flow"])
@pytest.mark.parametrize(
    ("name", "projector", "fusion"),
    allowed(
        VLMS,
        [
            *((None, fusion) for fusion in ("early", "cross_attention", "late", "film")),
            *((projector, fusion) for projector in ("mlp", "perceiver") for fusion in ("early", "late", "film")),
        ],
    ),
)
def test_padded_rows_predict_what_they_predict_alone_and_all_parts_train(around, name, projector, fusion, head):
    model = around(name, projector_type=projector, fusion=fusion, action_head=head)
    alone = torch.cat([model.predict_action(**Batch(name).prediction(head, [i])) for i in range(2)])
    assert (alone[0] - alone[1]).abs().max() > 1e-3
    for side in ("left", "right"):
        found = model.predict_action(**Batch(name, side).prediction(head, extra=2))
        torch.testing.assert_close(found, alone, **CLOSE)
    model(**Batch(name).inputs(), actions=Batch(name).actions).loss.backward()
    without = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    own_projector = ("multi_modal_projector", "merger")
    assert all("lm_head" in n or any(part in n for part in own_projector) for n in without), without
    assert projector is None or model.projector is not None


@pytest.mark.parametrize(
    ("name", "projector", "fusion"),
    allowed(
        ["qwen2_5_vl", "qwen3_vl"],
        [(None, "early"), (None, "film"), (None, "late"), ("mlp", "early"), ("perceiver", "film"), ("mlp", "late")],
    ),
)
def test_samples_of_one_batch_may_have_different_numbers_of_pictures(around, name, projector, fusion):
    model, batch = around(name, projector_type=projector, fusion=fusion), Batch(name)
    batch.rows[1] = batch.rows[1][PATCHES + 2 :]  # its first picture is left out
    inputs = batch.inputs()
    grid = inputs["image_grid_thw"]
    both = {**inputs, "pixel_values": torch.cat([*batch.pixels[0], batch.pixels[1, 1]]), "image_grid_thw": grid[:3]}
    first = batch.inputs([0])
    second = {**batch.text([1]), "pixel_values": batch.pixels[1, 1], "image_grid_thw": grid[:1]}
    alone = torch.cat([model.predict_action(**each) for each in (first, second)])
    torch.testing.assert_close(model.predict_action(**both), alone, **CLOSE)


@pytest.mark.newest
@every_vlm
def test_what_is_written_predicts_the_same(around, name, tmp_path):
    model, batch = around(name, action_head="discrete"), Batch(name)
    model.save_pretrained(tmp_path)
    loaded = MultimodalVLAForActionPrediction.from_pretrained(tmp_path).eval()
    for arguments in (batch.inputs(), batch.inputs([1])):
        first, second = (
            each.forward(**arguments, actions=batch.actions[: len(arguments["input_ids"])]) for each in (model, loaded)
        )
        torch.testing.assert_close(first.loss, second.loss, rtol=0, atol=0)
        torch.testing.assert_close(model.predict_action(**arguments), loaded.predict_action(**arguments))
    frozen = {n for n, p in loaded.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, p in model.named_parameters() if not p.requires_grad} and frozen
    assert all("vision" in n or "visual" in n for n in frozen)


@every_vlm
@pytest.mark.parametrize("count", [PATCHES - 1, PATCHES + 1])
def test_another_number_of_image_tokens_than_features_is_refused(around, name, count):
    for fusion in ("early", "late"):
        with pytest.raises(ValueError, match=r"[Ii]mage"):
            around(name, fusion=fusion).predict_action(**Batch(name, image_tokens=count).inputs())


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
def test_patches_need_their_grid(around, name):
    arguments = Batch(name).inputs()
    del arguments["image_grid_thw"]
    with pytest.raises(InputError, match="image_grid_thw"):
        around(name).predict_action(**arguments)


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
def test_a_video_is_no_part_of_an_observation(around, name):
    inputs = Batch(name).inputs()
    videos = {"pixel_values_videos": inputs["pixel_values"], "video_grid_thw": inputs["image_grid_thw"]}
    model = around(name)
    for given, value in videos.items():
        for call in (model.predict_action, model):
            with pytest.raises(InputError, match=f"^{given} is no argument of this model"):
                call(**inputs, **{given: value})


@replaceable
def test_film_in_the_places_of_images_does_not_know_the_answer(around, name):
    model, given = around(name, fusion="film", action_head="flow"), Batch(name).inputs([0])
    torch.nn.init.normal_(model.film.shift.weight)
    answer, states = torch.zeros_like(given["input_ids"]), []
    answer[:, -1] = 1
    for word in (11, 12):
        given["input_ids"] = given["input_ids"].masked_fill(answer == 1, word)
        labels = given["input_ids"].masked_fill(answer == 0, -100)
        prompt = checked_prompt(model, **{"image_grid_thw": None, **given})
        states.append(fuse(model.fusion_parts, model.config, prompt, None, labels, answer)[2])
    torch.testing.assert_close(states[0][:, :-1], states[1][:, :-1], **CLOSE)
    assert (states[0] - states[1])[:, -1].abs().max() > 1e-3


@replaceable
def test_film_starts_as_the_identity(around, name):
    early = around(name, action_head="flow")
    film = MultimodalVLAForActionPrediction(
        MultimodalVLAConfig(vlm_config=early.config.vlm_config, fusion="film", action_head="flow", **OPTIONS)
    ).eval()
    missing = film.load_state_dict(early.state_dict(), strict=False)
    assert not missing.unexpected_keys and all(key.startswith("film.") for key in missing.missing_keys)
    arguments = Batch(name).prediction("flow")
    wanted = early.predict_action(**arguments)
    torch.testing.assert_close(film.predict_action(**arguments), wanted, **CLOSE)
    torch.nn.init.constant_(film.film.shift.bias, 0.5)
    assert (film.predict_action(**arguments) - wanted).abs().max() > 1e-3


@replaceable
@pytest.mark.parametrize("projector", [None, "mlp"])
def test_film_is_conditioned_on_the_mean_of_the_text_as_it_enters_the_layers(around, name, projector):
    """Without padding and image tokens; a Gemma scales embeddings of text by the root of its width."""
    model, batch, seen = around(name, fusion="film", projector_type=projector), Batch(name), []
    model.film.register_forward_hook(lambda _, arguments, output: seen.append(arguments[0]))
    model.predict_action(**batch.inputs(extra=2))
    scale = 32**0.5 if name == "paligemma" else 1.0
    for i, row in enumerate(batch.rows):
        words = F.embedding(row[row != IMAGE], model.get_input_embeddings().weight)
        torch.testing.assert_close(seen[0][i], words.mean(dim=0) * scale, **CLOSE)


# ---- text


@every_vlm
@pytest.mark.parametrize("fusion", ["early", "cross_attention"])
def test_a_vlm_writes_what_it_writes_without_us(around, name, fusion):
    model, batch = around(name, fusion=fusion), Batch(name, "left")
    scores = {"output_logits": True, "return_dict_in_generate": True}
    plain = model.backbone.vlm.generate(**batch.documented(model.backbone.vlm), **GREEDY, **scores)
    found = model.generate(**batch.inputs(), **GREEDY, **scores)
    torch.testing.assert_close(found.logits, plain.logits, atol=1e-4, rtol=1e-4)
    assert torch.equal(found.sequences, plain.sequences)
    assert found.sequences.shape[1] == batch.text()["input_ids"].shape[1] + 4


@every_vlm
def test_a_padded_prompt_is_continued_as_it_is_alone(around, name):
    model, batch = around(name), Batch(name, "left")
    together = model.generate(**batch.inputs(), **GREEDY)
    for i in range(2):
        assert torch.equal(together[i, -4:], model.generate(**batch.inputs([i]), **GREEDY)[0, -4:])


WRITERS = [*((name, "early") for name in VLMS), ("llava", "film"), ("llava", "late")]


@pytest.mark.parametrize(("name", "fusion"), WRITERS)
def test_writing_and_the_logits_of_forward_agree(around, name, fusion):
    """With FiLM text is written from modulated images, and with late fusion from none."""
    model, batch = around(name, action_head="flow", fusion=fusion), Batch(name, "left")
    written = model.generate(
        **batch.inputs(), **{**GREEDY, "max_new_tokens": 1}, output_logits=True, return_dict_in_generate=True
    )
    logits = model(**batch.inputs()).logits[:, -1]
    torch.testing.assert_close(written.logits[0].float(), logits, atol=1e-4, rtol=1e-4)


@every_vlm
def test_a_vlm_writes_without_pictures(around, name):
    model = around(name)
    ids = torch.tensor([[5, 6, 7]])
    found = model.generate(ids, **GREEDY)
    assert torch.equal(found, model.backbone.vlm.generate(input_ids=ids, **GREEDY))


@pytest.mark.parametrize("unlearnt", [None, -1, -2])
@every_vlm
def test_the_language_loss_does_not_see_what_it_predicts(around, name, unlearnt):
    """The states of a prompt may see all of it; those of what is to be written see nothing behind them, also where some
    of it is not learnt."""
    model, batch = around(name, action_head="flow"), Batch(name)
    arguments = batch.inputs([0])
    labels = arguments["input_ids"].clone()
    labels[:, :-3] = -100
    place = -1 if unlearnt is None else unlearnt
    if unlearnt is not None:
        labels[:, unlearnt] = -100
    logits = model(**arguments, labels=labels).logits
    ids = arguments["input_ids"].clone()
    ids[:, place] += 1
    changed = model(**{**arguments, "input_ids": ids}, labels=ids.masked_fill(labels == -100, -100)).logits
    torch.testing.assert_close(changed[:, -4:place], logits[:, -4:place], **CLOSE)
    assert (changed[:, place] - logits[:, place]).abs().max() > 1e-4


# ---- pretrained


@pytest.fixture
def folder(tmp_path, randomized):
    """`folder("llava") -> path` of the plain VLM's checkpoint."""

    def make(name):
        model = AutoModelForImageTextToText.from_config(
            AutoConfig.for_model(name, **json.loads(json.dumps(VLMS[name])))
        )
        randomized(torch.nn.ModuleDict({"model": model}))
        model.save_pretrained(tmp_path / name)
        return str(tmp_path / name)

    return make


@every_vlm
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_a_pretrained_vlm_keeps_its_weights_and_gives_the_head_its_dtype(folder, name, dtype, tmp_path):
    path, wanted = folder(name), dtype or torch.float32
    model = MultimodalVLAForActionPrediction.from_vlm(path, dtype=dtype, action_head="flow", **OPTIONS).eval()
    assert {p.dtype for p in model.parameters()} == {wanted} and not any(p.is_meta for p in model.parameters())
    plain = AutoModelForImageTextToText.from_pretrained(path, dtype=wanted).eval()
    first, second = model.backbone.vlm.state_dict(), plain.state_dict()
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in second)
    batch = Batch(name)
    if dtype is None:
        with torch.no_grad():
            states = plain.model(**batch.documented(plain, [0])).last_hidden_state
            torch.testing.assert_close(fused(model, batch, [0])[0], states, **CLOSE)
    assert any(not p.requires_grad for p in model.parameters())
    actions = model.predict_action(**batch.prediction("flow"))
    assert actions.dtype == torch.float32
    model.save_pretrained(tmp_path / "all")
    loaded = MultimodalVLAForActionPrediction.from_pretrained(tmp_path / "all", dtype=wanted).eval()
    torch.testing.assert_close(loaded.predict_action(**batch.prediction("flow")), actions, rtol=0, atol=0)
    assert {p.dtype for p in loaded.parameters()} == {wanted}


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl"])
def test_a_dtype_inside_the_vlms_config_does_not_win(around, name, tmp_path):
    around(name).save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    for part in (content["vlm_config"], content["vlm_config"]["text_config"], content["vlm_config"]["vision_config"]):
        part |= {"dtype": "float16", "torch_dtype": "float16"}
    (tmp_path / "config.json").write_text(json.dumps(content))
    loaded = MultimodalVLAForActionPrediction.from_pretrained(tmp_path, dtype=torch.float32)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
