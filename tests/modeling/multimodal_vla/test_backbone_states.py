"""The states of a backbone are those of its own documented call, for every model type that is accepted."""

import inspect
from contextlib import nullcontext

import pytest
import torch
import transformers
from of_this_release import skip_unless_here
from packaging.version import Version
from tiny_text_models import BLOCK, tiny_text_config, weights_that_matter
from tiny_vlms import TINY_VLMS
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction
from vlahub.configuration.multimodal_vla import proven_backbones
from vlahub.configuration.multimodal_vla.backbone_facts import POSITIONS_BEHIND_PADDING
from vlahub.configuration.multimodal_vla.proven_backbones import LANGUAGE_MODELS, check_proven
from vlahub.configuration.multimodal_vla.vlm_facts import VLMS
from vlahub.errors import ConfigError, InputError
from vlahub.modeling.multimodal_vla.fusion import fuse
from vlahub.modeling.multimodal_vla.language_masks import causal_masks
from vlahub.modeling.multimodal_vla.multimodal_inputs import TokenSequence, checked_prompt

LENGTHS = (7, 5)
IMAGE = 290
TEXT = {"hidden_size": 32, **BLOCK, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 300}
TEXT |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
TOWER = {"hidden_size": 24, **BLOCK, "image_size": 28, "patch_size": 14}
CLIP = {"model_type": "clip_vision_model", **TOWER, "num_hidden_layers": 3}
SIGLIP = {"model_type": "siglip_vision_model", **TOWER}
LAYERS = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 6}  # below the prompts
COHERE = {"text_config": {"model_type": "cohere2", **TEXT}, "vision_config": SIGLIP, "downsample_factor": 1}
FOUND = {  # image tokens of one image, and what each VLM is made of
    "aya_vision": (4, COHERE),
    "cohere2_vision": (4, COHERE),
    "gemma3": (
        4,
        {"text_config": {"model_type": "gemma3_text", **TEXT, **LAYERS}, "vision_config": SIGLIP}
        | {"mm_tokens_per_image": 4, "boi_token_index": 291, "eoi_token_index": 292},
    ),
    "internvl": (
        1,
        {"text_config": {"model_type": "qwen2", **TEXT}, "vision_config": {"model_type": "internvl_vision", **TOWER}}
        | {"downsample_ratio": 0.5, "image_seq_length": 1},
    ),
    "llava": (4, {"text_config": {"model_type": "llama", **TEXT}, "vision_config": CLIP}),
    "paligemma": (4, {"text_config": {"model_type": "gemma2", **TEXT}, "vision_config": SIGLIP, "projection_dim": 32}),
    "vipllava": (
        4,
        {"text_config": {"model_type": "llama", **TEXT}, "vision_config": CLIP, "vision_feature_layers": [-2, -1]},
    ),
}
QWEN = {"qwen2_5_vl", "qwen3_vl"}  # in test_multimodal_vlms.py
EXPERT = {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 1}
HEAD = {"action_dim": 3, "num_action_chunks": 2, "action_head": "flow", "expert_config": EXPERT}


def padded(rows, side):
    longest = max(map(len, rows))
    ids, real = torch.full((len(rows), longest), 7), torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        part = slice(len(row)) if side == "right" else slice(longest - len(row), longest)
        ids[i, part], real[i, part] = row, True
    return ids, real


@pytest.mark.parametrize(
    ("kind", "switches"),
    [
        *((kind, {}) for kind in (*LANGUAGE_MODELS, *POSITIONS_BEHIND_PADDING)),
        ("falcon", {"alibi": True}),
        ("falcon", {"alibi": True, "new_decoder_architecture": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_language_model_has_the_states_of_its_own_call_on_either_side_of_padding(kind, switches):
    skip_unless_here(kind)
    config = tiny_text_config(kind)
    for name, value in switches.items():
        setattr(config, name, value)
    vision = {"model_type": "siglip_vision_model", **TOWER}
    model = weights_that_matter(
        MultimodalVLAForActionPrediction(MultimodalVLAConfig(vision_config=vision, text_config=config, **HEAD))
    )
    backbone = model.backbone
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(3, 200, (length,), generator=generator) for length in LENGTHS]
    with torch.no_grad():
        no_cache = {"use_cache": False} if "use_cache" in inspect.signature(backbone.stack.forward).parameters else {}
        own = [backbone.stack(input_ids=row[None], **no_cache).last_hidden_state[0] for row in rows]
        for side in ("right", "left"):
            ids, real = padded(rows, side)
            found = backbone.run(TokenSequence(backbone.embed(ids), real))
            for i in range(2):
                torch.testing.assert_close(found[i][real[i]], own[i], atol=2e-5, rtol=2e-5)
        text = backbone.language_model(input_ids=rows[0][None], **no_cache).logits[0]
        torch.testing.assert_close(backbone.logits(own[0]), text, atol=1e-4, rtol=1e-4)
    assert (own[0][:5] - own[1]).abs().max() > 1e-2


@pytest.mark.parametrize("kind", ["gemma2", "cohere2"])
@pytest.mark.parametrize("training", [False, True])
def test_a_window_is_as_wide_as_the_models_own_wherever_padding_is(kind, training):
    text = tiny_text_config(kind)
    text.sliding_window = 3
    vision = {"model_type": "siglip_vision_model", **TOWER}
    config = MultimodalVLAConfig(vision_config=vision, text_config=text, **HEAD)
    backbone = weights_that_matter(MultimodalVLAForActionPrediction(config)).backbone
    real = torch.tensor([[1, 1, 1, 1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 0, 1, 1, 1]]) == 1
    row = torch.arange(20, 27)
    ids = torch.full(real.shape, 7).masked_scatter(real, row.repeat(3))
    with torch.set_grad_enabled(training):
        assert isinstance(causal_masks(backbone.stack.config, real, torch.float32), dict) is not training
        own = backbone.stack(input_ids=row[None], use_cache=False).last_hidden_state[0]
        found = backbone.run(TokenSequence(backbone.embed(ids), real))
    torch.testing.assert_close(found[real].unflatten(0, (3, -1)), own.expand(3, -1, -1), atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("fusion", ["early", "late"])
@pytest.mark.parametrize("kind", ["gpt2", "opt", "roberta"])
def test_every_position_of_a_table_can_be_used_and_no_more(kind, fusion):
    """RoBERTa's first positions are those of padding."""
    vision = {"model_type": "siglip_vision_model", **TOWER}
    statistics = {"a": {"action": {"q01": [-1.0] * 3, "q99": [1.0] * 3}}}
    fields = {"vision_config": vision, "text_config": tiny_text_config(kind), "norm_stats": statistics, **HEAD}
    fields["fusion"] = fusion
    model = weights_that_matter(MultimodalVLAForActionPrediction(MultimodalVLAConfig(**fields)))
    room = 64 - 2 * (kind == "roberta") - 4 * (fusion == "early")
    pixels, ids = torch.zeros(1, 3, 28, 28), torch.full((1, room + 1), 5)
    assert model.predict_action(ids[:, 1:], pixels).shape == (1, 2, 3)
    with pytest.raises(InputError, match=f"only {62 if kind == 'roberta' else 64} positions"):
        model.predict_action(ids, pixels)
    with pytest.raises(InputError, match="'roberta' is an encoder" if kind == "roberta" else "positions"):
        model.generate(ids, pixels)


@pytest.mark.parametrize("kind", FOUND)
@pytest.mark.parametrize("training", [False, True])
def test_a_vlm_has_the_states_of_its_own_call(kind, training):
    skip_unless_here(kind)
    count, fields = FOUND[kind]
    names = {"image_token_id": IMAGE, "image_token_index": IMAGE}
    config = MultimodalVLAConfig(vlm_config={"model_type": kind, **fields, **names}, **HEAD)
    model = weights_that_matter(MultimodalVLAForActionPrediction(config))
    vlm = model.backbone.vlm
    generator = torch.Generator().manual_seed(0)
    rows = [torch.tensor([1, 5, *[IMAGE] * count, 6, *[IMAGE] * count, *range(7, 7 + more)]) for more in (4, 2)]
    pixels = torch.randn(2, 2, 3, 28, 28, generator=generator)
    own = []
    with torch.no_grad():
        for row, views in zip(rows, pixels, strict=True):
            is_image = (row[None] == IMAGE).int()
            types = {"token_type_ids": is_image if kind == "gemma3" else torch.zeros_like(is_image)}
            arguments = {n: v for n, v in types.items() if n in inspect.signature(vlm.model.forward).parameters}
            arguments |= {"input_ids": row[None], "attention_mask": torch.ones_like(row[None]), "pixel_values": views}
            own.append(vlm.model(**arguments).last_hidden_state[0])
        model.train(training)
        for side in ("right", "left"):
            ids, real = padded(rows, side)
            found, _, _ = fuse(
                model.fusion_parts, model.config, checked_prompt(model, ids, real.long(), pixels, None), None
            )
            for i in range(2):
                torch.testing.assert_close(found[i][real[i]], own[i], atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("training", [False, True])
def test_queries_behind_gemma_3_see_what_they_see_without_padding(training):
    """The window is below the sequence."""
    count, fields = FOUND["gemma3"]
    vlm = {"model_type": "gemma3", **fields, "image_token_id": IMAGE, "image_token_index": IMAGE}
    config = MultimodalVLAConfig(vlm_config=vlm, action_dim=3, num_action_chunks=2, action_head="mlp")
    model = weights_that_matter(MultimodalVLAForActionPrediction(config))
    rows = [torch.tensor([1, 5, 291, *[IMAGE] * count, 292, *range(7, 7 + more)]) for more in (3, 12)]
    pixels = torch.randn(2, 1, 3, 28, 28, generator=torch.Generator().manual_seed(0))

    def states(ids, real):
        prompt = checked_prompt(model, ids, real.long(), pixels[: len(ids)], None)
        return fuse(model.fusion_parts, config, prompt, None)[0][0]

    with torch.set_grad_enabled(training):
        alone = states(rows[0][None], torch.ones_like(rows[0][None]))
        for side in ("right", "left"):
            torch.testing.assert_close(states(*padded(rows, side)), alone, atol=2e-5, rtol=2e-5)


def test_queries_behind_a_prompt_of_gemma_3_do_not_change_its_states():
    count, fields = FOUND["gemma3"]
    config = MultimodalVLAConfig(
        vlm_config={"model_type": "gemma3", **fields, "image_token_index": IMAGE}, **{**HEAD, "action_head": "mlp"}
    )
    model = weights_that_matter(MultimodalVLAForActionPrediction(config))
    ids = torch.tensor([[1, 5, *[IMAGE] * count, 6, 7]])
    pixels = torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    types = (ids == IMAGE).int()
    vlm, arguments = model.backbone.vlm, {"input_ids": ids, "pixel_values": pixels}
    with torch.no_grad():
        _, _, found = fuse(model.fusion_parts, model.config, checked_prompt(model, ids, None, pixels, None), None)
        own = vlm.model(**arguments, token_type_ids=types).last_hidden_state
        causal = vlm.model(**arguments, token_type_ids=types * 0).last_hidden_state
    torch.testing.assert_close(found, own, atol=2e-5, rtol=2e-5)
    assert (found - causal).abs().max() > 1e-2
    options = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None}
    own = vlm.generate(**arguments, token_type_ids=types, **options)
    assert torch.equal(model.generate(ids, pixels, **options), own)


def test_qwen2_vl_has_the_states_of_its_own_call():
    text = {n: v for n, v in TEXT.items() if n != "head_dim"}
    old = transformers.__version__.startswith("4.")
    rope = {"type": "mrope"} if old else {"rope_type": "default"}
    text |= {"model_type": "qwen2_vl_text", "rope_scaling": {**rope, "mrope_section": [2, 3, 3]}}
    vision = {"embed_dim": 24, "hidden_size": 32, "depth": 2, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14}
    tokens = {"image_token_id": IMAGE, "vision_start_token_id": 291, "vision_end_token_id": 292, "video_token_id": 293}
    fields = {"model_type": "qwen2_vl", "text_config": text, "vision_config": vision, **tokens}
    model = weights_that_matter(MultimodalVLAForActionPrediction(MultimodalVLAConfig(vlm_config=fields, **HEAD)))
    vlm, generator = model.backbone.vlm, torch.Generator().manual_seed(0)
    rows = [torch.tensor([5, 291, *[IMAGE] * 4, 292, *range(7, 7 + more)]) for more in (4, 2)]
    pixels, grid = torch.randn(2, 16, 3 * 2 * 14**2, generator=generator), torch.tensor([[1, 4, 4]])
    own = []
    with torch.no_grad():
        for row, patches in zip(rows, pixels, strict=True):
            arguments = {"input_ids": row[None], "pixel_values": patches, "image_grid_thw": grid}
            if "mm_token_type_ids" in inspect.signature(vlm.model.forward).parameters:
                arguments["mm_token_type_ids"] = (row[None] == IMAGE).int()
            own.append(vlm.model(**arguments).last_hidden_state[0])
        for side in ("right", "left"):
            ids, real = padded(rows, side)
            prompt = checked_prompt(model, ids, real.long(), pixels.flatten(0, 1), grid.repeat(2, 1))
            found, _, _ = fuse(model.fusion_parts, model.config, prompt, None)
            for i in range(2):
                torch.testing.assert_close(found[i][real[i]], own[i], atol=2e-5, rtol=2e-5)


def test_what_is_proven_is_tested():
    there = {kind for kind in VLMS if kind in CONFIG_MAPPING_NAMES}  # of this line of transformers
    assert there == set(FOUND) | QWEN | {"qwen2_vl"} | set(TINY_VLMS) - {"pixtral"}  # a tower, with LLaVA around it


UNPROVEN = [("bart", "positions count padding"), ("pegasus", "count padding"), ("xlnet", "not been shown")]
UNPROVEN_VLMS = [("gemma3n", "reads? the token ids"), ("idefics2", "not been shown"), ("udop", "not been shown")]


@pytest.mark.parametrize(("kind", "reason"), UNPROVEN)
def test_a_language_model_that_is_not_proven_is_refused_before_weights_are_read(kind, reason, tmp_path, monkeypatch):
    AutoConfig.for_model(kind).save_pretrained(tmp_path)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", None)
    with pytest.raises(ConfigError, match=rf"text_config.model_type='{kind}'.*{reason}.*proven are apertus"):
        MultimodalVLAForActionPrediction.from_backbones("unused", str(tmp_path))


def test_a_language_model_that_a_release_computes_in_another_way_is_refused_there(monkeypatch):
    assert ((5, 0) <= Version(transformers.__version__).release < (5, 18)) == proven_backbones.DOGE_LOSES_ITS_MASK
    for is_lost in (False, True):
        monkeypatch.setattr(proven_backbones, "DOGE_LOSES_ITS_MASK", is_lost)
        with pytest.raises(ConfigError, match=r"5\.18 or newer, or with 4\.57") if is_lost else nullcontext():
            check_proven("text_config", "doge")


@pytest.mark.parametrize(("kind", "reason"), UNPROVEN_VLMS)
def test_a_vlm_that_is_not_proven_is_refused_before_weights_are_read(kind, reason, tmp_path, monkeypatch):
    AutoConfig.for_model(kind).save_pretrained(tmp_path)
    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", None)
    with pytest.raises(ConfigError, match=rf"vlm_config.model_type='{kind}'.*{reason}.*paligemma"):
        MultimodalVLAForActionPrediction.from_vlm(str(tmp_path))


def test_a_vlm_with_a_tower_whose_features_are_not_those_of_a_picture_is_refused():
    fields = {**FOUND["llava"][1], "vision_config": {"model_type": "vit_mae", **TOWER}}
    with pytest.raises(ConfigError, match=r"vlm_config.vision_config.model_type='vit_mae'.*at random"):
        MultimodalVLAConfig(vlm_config={"model_type": "llava", **fields})


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("sam_vision_model", "another width"),
        ("vit_mae", "at random"),
        ("videomae", "videos"),
        ("pixtral", "sizes"),
    ],
)
def test_a_tower_whose_features_are_not_those_of_a_picture_is_refused(kind, reason):
    with pytest.raises(ConfigError, match=rf"vision_config.model_type='{kind}'.*{reason}"):
        MultimodalVLAConfig(vision_config={"model_type": kind}, text_config={"model_type": "llama"})


TINY_LLAMA = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


def test_a_tower_that_reads_more_than_pixels_is_refused():
    config = MultimodalVLAConfig(
        vision_config={"model_type": "vilt", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        text_config={"model_type": "llama", **TINY_LLAMA},
        num_action_bins=16,
    )
    with pytest.raises(ConfigError, match=r"vilt.*it reads input_ids, and a tower"):
        MultimodalVLAForActionPrediction(config)
