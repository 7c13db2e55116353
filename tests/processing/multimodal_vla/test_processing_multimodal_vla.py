"""MultimodalVLAProcessor: prompts of composed models and VLMs, patches, proprio, discrete actions, or a named error."""

import copy
import importlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from fresh_python import in_fresh_python
from PIL import Image
from tokenizers import AddedToken, Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import (
    AutoConfig,
    CLIPVisionConfig,
    Dinov2Config,
    LlavaConfig,
    LlavaProcessor,
    PaliGemmaConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    Qwen3VLConfig,
    SiglipVisionConfig,
    ViTConfig,
)

from vlahub.configuration.vla_errors import ConfigError, InputError
from vlahub.processing.cogvla.image_processing_cogvla import CogVLAImageProcessor
from vlahub.processing.image_processing_alpamayo_r1 import AlpamayoR1ImageProcessor
from vlahub.processing.multimodal_vla.image_processing_multimodal_vla import MultimodalVLAImageProcessor
from vlahub.processing.multimodal_vla.processing_multimodal_vla import MultimodalVLAProcessor

WORDS = ["pick", "up", "the", "bowl", "wave", "user", "assistant", "USER", "ASSISTANT", ":", "\n"]
MARKS = ["<image>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
SPECIAL = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"}
VOCABULARY = {token: i for i, token in enumerate([*SPECIAL.values(), *WORDS, *MARKS])}

LOW, HIGH = [-2.0, -1.0, 0.0], [2.0, 3.0, 1.0]
STATISTICS = {
    "action": {"q01": LOW, "q99": HIGH, "min": LOW, "max": HIGH, "mask": [True, True, False]},
    "proprio": {"q01": [0.0, -4.0], "q99": [2.0, 4.0], "min": [0.0, 0.0], "max": [1.0, 1.0]},
}
DISCRETE = {
    "norm_stats": {"kitchen": STATISTICS},
    "num_action_chunks": 2,
    "action_dim": 3,
    "num_action_bins": 16,
    "action_vocab_size": 100,
}
VLM = {"prompt_template": "{images}<bos>{instruction}\n", "image_token": "<image>", "image_seq_length": 4}
PATCHES = {"min_pixels": 64, "max_pixels": 4096, "patch_size": 4}


def noise(height=28, width=28, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


VIEWS = [noise(seed=1), noise(14, 56, seed=2)]


def ids_of(text):
    """Ids of tokens that the text gives between spaces; `<image>*4` is four of them."""
    counted = [token.partition("*") for token in text.replace("\\n", "\n").split(" ")]
    return [VOCABULARY[token] for token, _, count in counted for _ in range(int(count or 1))]


@pytest.fixture
def tokenizer():
    """Words, signs and lines; the special tokens of the families; a begin token where special tokens are asked for."""
    raw = Tokenizer(WordLevel(VOCABULARY, "<unk>"))
    split = [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Punctuation()]
    raw.pre_tokenizer = pre_tokenizers.Sequence(split)
    raw.post_processor = processors.TemplateProcessing("<bos> $A", special_tokens=[("<bos>", 0)])
    raw.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in MARKS])
    return PreTrainedTokenizerFast(tokenizer_object=raw, **SPECIAL)


@pytest.fixture
def make(tokenizer):
    def build(images=None, **settings):
        kind, arguments = MultimodalVLAImageProcessor, {"size": {"height": 28, "width": 28}}
        if images == "patches":
            kind, arguments = AlpamayoR1ImageProcessor, PATCHES
            settings = {"prompt_template": "{images}{instruction}", "image_token": "<|image_pad|>", **settings}
        return MultimodalVLAProcessor(kind(**arguments), tokenizer, **settings)

    return build


def check_equal(found, expected):
    assert set(found) == set(expected)
    for name in expected:
        assert torch.equal(found[name], expected[name]), name


# Prompts


def test_the_text_of_a_composed_model_holds_no_images(make):
    output = make()(images=VIEWS, text="pick up the bowl")
    assert output["input_ids"].tolist() == [ids_of("<bos> pick up the bowl")]
    assert output["pixel_values"].shape == (1, 2, 3, 28, 28)


def test_an_instruction_stands_in_all_its_places(make):
    output = make(prompt_template="{instruction} : {instruction}")(images=VIEWS, text="wave")
    assert output["input_ids"].tolist() == [ids_of("<bos> wave : wave")]


def test_special_tokens_are_added_as_asked(make):
    for settings, expected in (
        ({}, "<bos> wave"),
        ({"add_special_tokens": False}, "wave"),
        ({**VLM, "prompt_template": "{images}{instruction}"}, "<image>*4 wave"),
        ({**VLM, "prompt_template": "{images}{instruction}", "add_special_tokens": True}, "<bos> <image>*4 wave"),
    ):
        assert make(**settings).prompt_ids("wave", [4]) == ids_of(expected)


@pytest.mark.parametrize("views", [1, 3])
def test_each_view_has_its_image_tokens(make, views):
    output = make(**VLM)(images=[noise()] * views, text="wave")
    assert output["input_ids"].tolist() == [ids_of(f"<image>*{4 * views} <bos> wave \\n")]


def test_each_view_is_framed_as_the_format_says(make):
    settings = {**VLM, "image_format": "<|vision_start|>{image}<|vision_end|>"}
    ids = make(**settings)(images=VIEWS, text="wave")["input_ids"]
    view = "<|vision_start|> <image>*4 <|vision_end|>"
    assert ids.tolist() == [ids_of(f"{view} {view} <bos> wave \\n")]


def test_patches_give_each_view_the_tokens_of_its_size(make):
    processor = make("patches")
    output = processor(images=[noise(16, 24), noise(32, 8)], text="wave")
    assert output["image_grid_thw"].tolist() == [[1, 4, 6], [1, 8, 2]]
    assert output["input_ids"].tolist() == [ids_of("<|image_pad|>*10 wave")]
    assert output["pixel_values"].shape == (40, 3 * 2 * 4 * 4)
    alone = processor.image_processor(noise(32, 8), return_tensors="pt")["pixel_values"]
    assert torch.equal(output["pixel_values"][24:], alone)


def test_the_instruction_is_put_in_as_it_is(make):
    processor = make(**VLM)
    assert processor.prompt_text("wave {images} {0}", [1]) == "<image><bos>wave {images} {0}\n"
    assert make().prompt_text("{images}") == "{images}"


@pytest.mark.parametrize(
    ("kind", "token", "count"),
    [(None, "<image>", "9 image tokens, the images 8"), ("patches", "<|image_pad|>", "13 image tokens, the images 12")],
)
def test_an_instruction_with_image_tokens_is_refused(make, kind, token, count):
    with pytest.raises(InputError, match=f"the prompt has {count}") as caught:
        make(kind, **({} if kind else VLM))(images=[noise(16, 24)] * 2, text=f"wave {token}")
    assert repr(token) in str(caught.value)


def test_an_empty_prompt_is_refused(make):
    with pytest.raises(InputError, match="the text '' has no tokens"):
        make(add_special_tokens=False)(images=VIEWS, text="")


# Prompts of models


def model_config(vlm=None, vision=None, image_size=28, **fields):
    defaults = {
        "norm_stats": {},
        "normalization_type": "bounds_q99",
        "state_size": None,
        "num_action_chunks": 2,
        "action_dim": 3,
        "action_head": "mlp",
        "num_action_bins": 16,
        "action_vocab_size": 32,
        "view_names": None,
    }
    return SimpleNamespace(vlm_config=vlm, vision_config=vision, image_size=image_size, **{**defaults, **fields})


def with_tokens(config, token="<image>"):
    """The VLM's config with the image token where the tokenizer has it."""
    config.image_token_id = config.image_token_index = VOCABULARY[token]
    return config


def paligemma():
    return with_tokens(PaliGemmaConfig(vision_config={"model_type": "siglip_vision_model", "patch_size": 14}))


def llava(strategy="default", tower="clip_vision_model"):
    vision = {"model_type": tower, "patch_size": 14}
    return with_tokens(LlavaConfig(vision_config=vision, vision_feature_select_strategy=strategy))


def qwen(kind, patch_size):
    vision = {"patch_size": patch_size, "spatial_merge_size": 2, "temporal_patch_size": 2}
    return with_tokens(kind(vision_config=vision), "<|image_pad|>")


def test_paligemma_gets_its_published_prompt(tokenizer):
    processor = MultimodalVLAProcessor.for_config(model_config(paligemma()), tokenizer)
    output = processor(images=VIEWS, text="wave")
    assert output["input_ids"].tolist() == [ids_of("<image>*8 <bos> wave \\n")]
    assert processor.image_processor.image_mean == [0.5] * 3
    assert processor.image_processor.size == {"height": 28, "width": 28}


@pytest.mark.parametrize(
    ("strategy", "tower", "tokens"),
    [
        ("default", "clip_vision_model", 4),
        ("full", "clip_vision_model", 5),
        ("full", "siglip_vision_model", 4),
        ("default", "siglip_vision_model", 3),
    ],
)
def test_llava_gets_its_published_prompt_and_as_many_tokens_as_its_tower_gives(tokenizer, strategy, tower, tokens):
    processor = MultimodalVLAProcessor.for_config(model_config(llava(strategy, tower)), tokenizer)
    ids = processor(images=noise(), text="wave")["input_ids"][0].tolist()
    assert ids == ids_of(f"<bos> USER : <image>*{tokens} \\n wave ASSISTANT :")


@pytest.mark.parametrize(("kind", "patch"), [(Qwen2VLConfig, 14), (Qwen2_5_VLConfig, 14), (Qwen3VLConfig, 16)])
def test_qwen_gets_its_published_chat_and_patches(tokenizer, kind, patch):
    processor = MultimodalVLAProcessor.for_config(model_config(qwen(kind, patch)), tokenizer)
    images = processor.image_processor
    assert isinstance(images, AlpamayoR1ImageProcessor)
    assert (images.patch_size, images.min_pixels, images.max_pixels) == (patch, 3136, 1003520)
    assert images.image_mean == ([0.5] * 3 if kind is Qwen3VLConfig else [0.48145466, 0.4578275, 0.40821073])
    output = processor(images=[noise(4 * patch, 6 * patch)] * 2, text="wave")
    view = "<|vision_start|> <|image_pad|>*6 <|vision_end|>"
    text = f"<|im_start|> user \\n {view} {view} wave <|im_end|> \\n <|im_start|> assistant \\n"
    assert output["input_ids"].tolist() == [ids_of(text)]
    assert output["pixel_values"].shape == (48, 3 * 2 * patch * patch)


def published_images(family, name, **settings):
    """The published image processor of the installed transformers that works with PIL."""
    for file, kind in (
        ("image_processing_pil", f"{name}ImageProcessorPil"),
        ("image_processing", f"{name}ImageProcessor"),
    ):
        module = f"transformers.models.{family}.{file}_{family}"
        if importlib.util.find_spec(module):
            return getattr(importlib.import_module(module), kind)(**settings)


@pytest.mark.parametrize("strategy", ["default", "full"])
def test_llava_gets_what_its_published_processor_gives(tokenizer, strategy):
    images = published_images("clip", "CLIP", size={"height": 28, "width": 28}, do_center_crop=False)
    settings = {"vision_feature_select_strategy": strategy, "num_additional_image_tokens": 1, "image_token": "<image>"}
    published = LlavaProcessor(images, tokenizer, patch_size=14, **settings)
    text = "USER: <image><image>\npick up the bowl ASSISTANT:"
    expected = published(images=[Image.fromarray(view) for view in VIEWS], text=text, return_tensors="np")
    processor = MultimodalVLAProcessor.for_config(model_config(llava(strategy)), tokenizer)
    found = processor(images=VIEWS, text="pick up the bowl")
    assert found["input_ids"].tolist() == expected["input_ids"].tolist()
    np.testing.assert_allclose(found["pixel_values"][0], expected["pixel_values"], rtol=0, atol=2e-6)


def test_qwen_gets_the_patches_of_its_published_image_processor(tokenizer):
    bounds = {"min_pixels": 3136, "max_pixels": 1003520}
    if not transformers.__version__.startswith("4."):  # 5.x reads them under these names
        bounds = {"size": {"shortest_edge": 3136, "longest_edge": 1003520}}
    published = published_images("qwen2_vl", "Qwen2VL", **bounds)
    expected = published([Image.fromarray(view) for view in VIEWS], return_tensors="pt")
    processor = MultimodalVLAProcessor.for_config(model_config(qwen(Qwen2_5_VLConfig, 14)), tokenizer)
    found = processor(images=VIEWS, text="wave")
    for name in ("pixel_values", "image_grid_thw"):
        torch.testing.assert_close(found[name], expected[name])


@pytest.mark.parametrize(
    ("vision", "mean"),
    [
        (SiglipVisionConfig(), 0.5),
        (ViTConfig(), 0.5),
        (CLIPVisionConfig(), 0.48145466),
        (Dinov2Config(), 0.485),
    ],
    ids=["siglip", "vit", "clip", "dinov2"],
)
def test_a_composed_model_gets_the_pixels_of_its_tower(tokenizer, vision, mean):
    processor = MultimodalVLAProcessor.for_config(model_config(vision=vision, image_size=42), tokenizer)
    assert processor.image_processor.image_mean[0] == mean
    output = processor(images=VIEWS, text="wave")
    assert output["pixel_values"].shape == (1, 2, 3, 42, 42)
    assert output["input_ids"].tolist() == [ids_of("<bos> wave")]


def test_fields_of_the_config_become_arguments(tokenizer):
    fields = {**DISCRETE, "num_action_bins": 8, "action_head": "discrete", "state_size": 2}
    fields |= {"normalization_type": "bounds", "view_names": ["primary", "wrist"]}
    config = model_config(vision=SiglipVisionConfig(), **fields)
    processor = MultimodalVLAProcessor.for_config(config, tokenizer)
    assert (processor.proprio_dim, processor.num_action_bins, processor.action_vocab_size) == (2, 8, 100)
    for name in ("norm_stats", "normalization_type", "view_names", "num_action_chunks", "action_dim"):
        assert getattr(processor, name) == getattr(config, name), name
    config.state_size, config.action_head = None, "flow"
    processor = MultimodalVLAProcessor.for_config(config, tokenizer)
    assert processor.proprio_dim is None and processor.action_vocab_size is None


def test_defaults_give_way_to_overrides_of_both_processors(tokenizer):
    config = model_config(qwen(Qwen2VLConfig, 14))
    overrides = {"max_pixels": 4096, "prompt_template": "{images}{instruction}", "padding_side": "left"}
    processor = MultimodalVLAProcessor.for_config(config, tokenizer, **overrides)
    assert processor.image_processor.max_pixels == 4096 and processor.padding_side == "left"
    assert processor.prompt_text("wave") == "wave"
    composed = model_config(vision=SiglipVisionConfig())
    processor = MultimodalVLAProcessor.for_config(composed, tokenizer, num_views=2, image_mean=[0.0, 0.0, 0.0])
    assert (processor.image_processor.num_views, processor.image_processor.image_mean) == (2, [0.0] * 3)
    with_state = model_config(vision=SiglipVisionConfig(), state_size=3)
    for word in ("state_dim", "proprio_dim"):
        assert MultimodalVLAProcessor.for_config(with_state, tokenizer, **{word: 5}).state_dim == 5
    assert MultimodalVLAProcessor.for_config(composed, tokenizer, num_images_in_input=2).image_processor.num_views == 2
    own = MultimodalVLAImageProcessor()
    assert MultimodalVLAProcessor.for_config(composed, tokenizer, image_processor=own).image_processor is own
    with pytest.raises(ConfigError, match="no argument max_pixels=4096"):  # of the other image processor
        MultimodalVLAProcessor.for_config(composed, tokenizer, max_pixels=4096)


def test_a_vlm_with_tokens_of_fixed_number_may_have_a_prompt_of_ones_own(tokenizer):
    other = AutoConfig.for_model("gemma3", image_token_index=VOCABULARY["<image>"])
    given = {"prompt_template": "<bos>{images}{instruction}", "image_seq_length": 3}
    processor = MultimodalVLAProcessor.for_config(model_config(other), tokenizer, **given)
    assert processor(images=noise(), text="wave")["input_ids"].tolist() == [ids_of("<bos> <image>*3 wave")]


def test_a_tokenizer_without_the_image_token_is_refused(tokenizer, make):
    config = paligemma()
    config.image_token_id = config.image_token_index = 5000
    with pytest.raises(ConfigError, match=r"no token with vlm_config\.image_token_id=5000"):
        MultimodalVLAProcessor.for_config(model_config(config), tokenizer)
    with pytest.raises(ConfigError, match="no token image_token='<picture>'"):
        make(**{**VLM, "image_token": "<picture>"})


# Batches


@pytest.mark.parametrize("side", ["right", "left"])
def test_shorter_prompts_are_filled_up_on_the_side_asked_for(make, side):
    processor = make(padding_side=side)
    batch = processor(images=[noise()] * 2, text=["wave", "pick up the bowl"])
    fill = ids_of("<pad>*3")
    short = ids_of("<bos> wave")
    assert batch["input_ids"][0].tolist() == (short + fill if side == "right" else fill + short)
    mask = [1, 1, 0, 0, 0]
    assert batch["attention_mask"].tolist() == [mask if side == "right" else mask[::-1], [1] * 5]
    other = "left" if side == "right" else "right"
    turned = processor(images=[noise()] * 2, text=["wave", "pick up the bowl"], padding_side=other)
    assert turned["attention_mask"][0].tolist() == batch["attention_mask"][0].tolist()[::-1]


@pytest.mark.parametrize("kind", [None, "patches"])
def test_a_batch_equals_its_samples_run_singly(make, kind):
    settings = {**({} if kind else VLM), "norm_stats": {"kitchen": STATISTICS}, "action_dim": 3, "proprio_dim": 2}
    processor = make(kind, **settings)
    samples, texts = [VIEWS, [noise(16, 24), noise(60, 20, seed=4)]], ["wave", "pick up the bowl"]
    proprio = [[1.5, -3.0], [0.0, 4.0]]
    batch = processor(images=samples, text=texts, state=proprio)
    singles = [
        processor(images=views, text=text, state=state)
        for views, text, state in zip(samples, texts, proprio, strict=True)
    ]
    assert batch["input_ids"].dtype == torch.int64 and batch["pixel_values"].dtype == torch.float32
    for i, single in enumerate(singles):
        assert torch.equal(batch["input_ids"][i][batch["attention_mask"][i].bool()], single["input_ids"][0])
    for name in ("pixel_values", "state", *(["image_grid_thw"] if kind else [])):
        assert torch.equal(batch[name], torch.cat([single[name] for single in singles])), name


@pytest.mark.parametrize("kind", [None, "patches"])
def test_every_form_of_the_views_gives_the_same(make, kind):
    processor = make(kind)
    front, left = VIEWS
    expected = processor(images=[front, left], text="wave")
    names = {"input_ids", "attention_mask", "pixel_values", *(["image_grid_thw"] if kind else [])}
    assert set(expected) == names
    for images, text in (
        ({"wrist": left, "primary": front}, "wave"),
        ((torch.from_numpy(front), torch.from_numpy(left).permute(2, 0, 1)), "wave"),
        ([[front, left]], ["wave"]),
    ):
        check_equal(processor(images=images, text=text), expected)
    single = processor(images=front, text="wave")
    check_equal(processor(images=[front], text=["wave"]), single)
    arrays = processor(images=VIEWS, text="wave", return_tensors="np")
    assert all(isinstance(arrays[name], np.ndarray) for name in names)
    assert all(np.array_equal(arrays[name], expected[name].numpy()) for name in names)


@pytest.mark.parametrize("kind", [None, "patches"])
@pytest.mark.parametrize(
    ("images", "text", "message"),
    [
        ([VIEWS] * 3, ["wave", "wave"], "images holds 3 samples, text 2"),
        ([VIEWS, VIEWS[:1]], ["wave", "wave"], "sample 1 has 1 images, expected 2"),
        ({"left": noise()}, "wave", "exactly one of"),
        ("picture.png", "wave", "got str"),
    ],
)
def test_images_that_do_not_fit_are_refused(make, kind, images, text, message):
    with pytest.raises(InputError, match=message):
        make(kind)(images=images, text=text)


def test_an_unknown_padding_side_is_refused(make):
    with pytest.raises(InputError, match="padding_side='middle' is unknown"):
        make()(images=noise(), text="wave", padding_side="middle")


# Proprio


@pytest.fixture
def with_proprio(make):
    return make(norm_stats={"kitchen": STATISTICS}, action_dim=3, proprio_dim=2)


@pytest.mark.parametrize("form", [list, tuple, np.array, torch.tensor])
def test_proprio_is_normalised_by_the_statistics(with_proprio, form):
    for state, count in (([1.5, -3.0], 1), ([[1.5, -3.0]], 1), ([[1.5, -3.0]] * 2, 2)):
        output = with_proprio(images=[[noise()]] * count, text=["wave"] * count, state=form(state))
        torch.testing.assert_close(output["state"], torch.tensor([[0.5, -0.75]] * count))


def test_statistics_named_state_serve_proprio_where_there_are_no_others(make):
    action, proprio = STATISTICS["action"], STATISTICS["proprio"]
    state = {"q01": [0.0, 0.0], "q99": [10.0, 10.0]}
    stats = {"a": {"action": action, "state": state}, "b": {"action": action, "state": state, "proprio": proprio}}
    processor = make(norm_stats=stats, action_dim=3, proprio_dim=2)
    found = [processor(images=noise(), text="wave", state=[1.5, 2.5], unnorm_key=key)["state"][0] for key in "ab"]
    torch.testing.assert_close(found[0], torch.tensor([-0.7, -0.5]))
    torch.testing.assert_close(found[1], torch.tensor([0.5, 0.625]))


@pytest.mark.parametrize(
    ("proprio", "message"),
    [
        (None, "this checkpoint needs the robot's 2 state values"),
        ([0.0] * 3, r"shape \(1, 3\); \(batch, state_dim\) is \(1, 2\)"),
        ([0.0, float("nan")], "not finite"),
        ("forward", "must be numbers"),
    ],
)
def test_proprio_of_the_wrong_form_is_refused(with_proprio, proprio, message):
    with pytest.raises(InputError, match=message):
        with_proprio(images=VIEWS, text="wave", state=proprio)


def test_proprio_for_a_model_without_it_is_refused(make):
    with pytest.raises(InputError, match=r"\(state_dim is None\)"):
        make()(images=VIEWS, text="wave", state=[0.0, 0.0])


def test_statistics_are_never_guessed(make):
    two = {"kitchen": STATISTICS, "lab": STATISTICS}
    for stats, key, message in (
        (two, None, "unnorm_key must say which.*choices: kitchen, lab"),
        (two, "garage", "unnorm_key='garage' is unknown"),
        ({}, None, "none: the checkpoint holds no statistics"),
    ):
        processor = make(norm_stats=stats, action_dim=3, proprio_dim=2)
        with pytest.raises(InputError, match=message):
            processor(images=noise(), text="wave", state=[0.0, 0.0], unnorm_key=key)


# Discrete actions


def some_actions(*shape):
    return torch.from_numpy(np.random.RandomState(0).uniform(LOW, HIGH, (*shape, 2, 3))).float()


def test_actions_come_back_within_half_a_bin(make):
    processor = make(**DISCRETE)
    actions = some_actions(5)
    ids = processor.encode_actions(actions)
    assert ids.shape == (5, 2, 3) and ids.dtype == torch.int64 and ids.min() >= 84 and ids.max() < 100
    found = processor.decode_actions(ids)
    assert found.shape == (5, 2, 3) and found.dtype == torch.float32
    half_bin = torch.tensor([2.0, 2.0, 1.0]) / 15  # 15 bins between 16 edges over [-1, 1], times the scale
    assert ((found - actions).abs() <= half_bin + 1e-5).all()
    assert torch.equal(processor.encode_actions(found), ids)


def test_actions_are_normalised_by_the_statistics_of_the_settings(make):
    action = STATISTICS["action"] | {"min": [-4.0, -2.0, 0.0], "max": [4.0, 6.0, 1.0]}
    wide = {"norm_stats": {"kitchen": {"action": action}}, "normalization_type": "bounds"}
    processor = make(**DISCRETE | wide)
    ends = torch.tensor([[*action["min"][:2], -1.0], action["max"]])
    assert processor.encode_actions(ends).tolist() == [[[99] * 3, [84] * 3]]
    found = processor.decode_actions([[[99] * 3, [84] * 3]])[0, :, :2]
    torch.testing.assert_close(found, ends[:, :2] * 14 / 15 + torch.tensor([0.0, 2 / 15]))


def test_the_ends_of_the_range_are_the_ends_of_the_vocabulary(make):
    processor = make(**DISCRETE)
    ends = torch.stack([torch.tensor([*LOW[:2], -1.0]), torch.tensor(HIGH)])
    assert processor.encode_actions(ends).tolist() == [[[99] * 3, [84] * 3]]
    assert torch.equal(processor.encode_actions(ends * 9), processor.encode_actions(ends))
    found = processor.decode_actions([[[99] * 3, [84] * 3]])  # the middles between the outermost of 16 edges
    torch.testing.assert_close(found[0, :, :2], ends[:, :2] * 14 / 15 + torch.tensor([0.0, 1 / 15]))


@pytest.mark.parametrize("form", [lambda ids: ids, torch.Tensor.tolist, torch.Tensor.numpy], ids=["pt", "list", "np"])
def test_ids_may_be_given_in_any_form(make, form):
    processor = make(**DISCRETE)
    ids = processor.encode_actions(some_actions(4))
    expected = processor.decode_actions(ids)
    assert torch.equal(processor.decode_actions(form(ids.reshape(4, 6))), expected)
    assert torch.equal(processor.decode_actions(form(ids[0].flatten())), expected[:1])
    assert torch.equal(processor.encode_actions(form(some_actions())), ids[:1])


def test_the_unnorm_key_selects_the_statistics_of_actions(make):
    doubled = {"action": {**STATISTICS["action"], "q01": [-4.0, -2.0, 0.0], "q99": [4.0, 6.0, 1.0]}}
    processor = make(**{**DISCRETE, "norm_stats": {"kitchen": STATISTICS, "lab": doubled}})
    ids = processor.encode_actions(some_actions(2), unnorm_key="kitchen")
    kitchen, lab = (processor.decode_actions(ids, unnorm_key=key) for key in ("kitchen", "lab"))
    torch.testing.assert_close(kitchen[..., :2] * 2, lab[..., :2])
    with pytest.raises(InputError, match=r"unnorm_key must say which.*kitchen, lab"):
        processor.decode_actions(ids)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[[90] * 3, [90, 83, 90]]], r"token_ids\[0, 1, 1\] is 83; the ids of the 16 bins are 84 to 99"),
        ([90] * 5 + [100], r"token_ids\[0, 1, 2\] is 100"),
        ([90] * 5, r"shape \(5,\); accepted are \(batch, \*\(2, 3\)\), \(batch, 6\) and \(6,\)"),
        ([[90] * 3] * 2, r"shape \(2, 3\)"),
        (90, r"shape \(\)"),
        ([[90], [90, 90]], "rows of different lengths"),
        ([90.0] * 6, "must be integers, got float64"),
        ([True] * 6, "must be integers, got bool"),
    ],
)
def test_ids_that_are_no_actions_are_refused(make, ids, message):
    with pytest.raises(InputError, match=message):
        make(**DISCRETE).decode_actions(ids)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros((3, 3)), r"shape \(3, 3\); accepted is \(2, 3\)"),
        (np.zeros(6), r"shape \(6,\)"),
        (np.zeros((1, 1, 2, 3)), r"shape \(1, 1, 2, 3\)"),
        (np.full((2, 3), np.nan), "not finite"),
    ],
)
def test_actions_of_the_wrong_form_are_refused(make, actions, message):
    with pytest.raises(InputError, match=message):
        make(**DISCRETE).encode_actions(actions)


def test_a_model_without_a_discrete_head_refuses_both_directions(make):
    processor = make(**{**DISCRETE, "action_vocab_size": None})
    for act in (processor.decode_actions, processor.encode_actions):
        with pytest.raises(InputError, match="action_vocab_size is None"):
            act([90] * 6)


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"normalization_type": "minmax"}, "normalization_type='minmax' is unknown; choose from bounds"),
        ({"prompt_template": "wave"}, "prompt_template='wave' has no '{instruction}'"),
        ({"prompt_template": "{images}{instruction}"}, "not at all without one, and image_token=None"),
        ({**VLM, "prompt_template": "{instruction}"}, "holds '{images}' 0 times"),
        ({**VLM, "prompt_template": "{images}{images}{instruction}"}, "holds '{images}' 2 times"),
        ({**VLM, "image_format": "<image>"}, "image_format='<image>' must hold '{image}' once"),
        ({**VLM, "image_format": "{image}{image}"}, "must hold '{image}' once"),
        ({**VLM, "image_seq_length": None}, "image_seq_length=None"),
        ({"padding_side": "middle"}, "padding_side='middle'"),
        ({"proprio_dim": 0}, "state_dim=0"),
        ({"num_action_chunks": 0}, "num_action_chunks=0"),
        ({"action_dim": 0}, "action_dim=0"),
        ({"num_action_bins": 1}, "num_action_bins=1 must be at least 2"),
        ({"num_action_bins": 16.0}, "num_action_bins=16.0 must be"),
        ({"action_vocab_size": 0}, "action_vocab_size=0 must be"),
        ({"action_vocab_size": 255}, "num_action_bins=256 must be .* at most action_vocab_size=255"),
        ({"norm_stats": {"kitchen": STATISTICS}}, r"\['kitchen'\]\['action'\].* needs 7"),
        (
            {"norm_stats": {"kitchen": STATISTICS}, "action_dim": 3, "proprio_dim": 4},
            r"\['kitchen'\]\['proprio'\]\['q01'\] has 2 values",
        ),
    ],
)
def test_a_setting_that_cannot_be_is_named(make, settings, message):
    with pytest.raises(ConfigError, match=message):
        make(**settings)


@pytest.mark.parametrize(("images", "name"), [(CogVLAImageProcessor(), "CogVLAImageProcessor"), (None, "NoneType")])
def test_another_image_processor_is_refused(tokenizer, images, name):
    with pytest.raises(ConfigError, match=f"image_processor is a {name}; it must be a MultimodalVLAImageProcessor or"):
        MultimodalVLAProcessor(images, tokenizer)


def test_nothing_that_the_caller_passes_is_changed(make):
    settings = copy.deepcopy(DISCRETE)
    inputs = {"images": VIEWS, "state": np.array([1.5, -3.0], dtype=np.float32)}
    before = copy.deepcopy((settings, inputs))
    processor = make(proprio_dim=2, **settings)
    outputs = [processor(text="wave", **inputs) for _ in range(2)]
    for tensor in outputs[0].values():
        tensor.zero_()
    processor.decode_actions(processor.encode_actions(some_actions(1)))
    np.testing.assert_equal((settings, inputs), before)
    torch.testing.assert_close(outputs[1]["state"], torch.tensor([[0.5, -0.75]]))


# Saving and loading

WITHOUT_VLAHUB = """
import sys
sys.modules["vlahub"] = None
import torch
from transformers import AutoImageProcessor, AutoProcessor
folder, again, inputs, outputs = sys.argv[1:]
AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
processor.save_pretrained(again)
inputs, ids = torch.load(inputs)
torch.save((dict(processor(**inputs)), processor.decode_actions(ids)), outputs)
"""


def in_another_process(tmp_path, name, inputs):
    """Load what is saved in the folder `name` without vlahub, save it as `name` + `name`, return its output."""
    torch.save(inputs, tmp_path / "in.pt")
    arguments = [tmp_path / name, tmp_path / (name + name), tmp_path / "in.pt", tmp_path / f"{name}.pt"]
    environment = {"HF_HOME": str(tmp_path / f"home_{name}"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    child = in_fresh_python(["-c", WITHOUT_VLAHUB, *arguments], env=environment, cwd=tmp_path)
    assert child.returncode == 0, child.stderr[-3000:]
    return torch.load(tmp_path / f"{name}.pt")


@pytest.mark.parametrize("kind", ["composed", "vlm", "patches"])
def test_a_saved_processor_loads_without_vlahub_and_can_be_saved_again(make, kind, tmp_path):
    settings = {**DISCRETE, **(VLM if kind == "vlm" else {}), "proprio_dim": 2, "padding_side": "left"}
    settings |= {"normalization_type": "bounds", "add_special_tokens": kind == "vlm"}
    processor = make(kind, **settings)
    processor.save_pretrained(tmp_path / "a")
    inputs = {
        "images": [[torch.from_numpy(view) for view in VIEWS]] * 2,
        "text": ["wave", "pick up the bowl"],
        "state": torch.tensor([[0.5, 0.25], [0.0, 1.0]]),
    }
    ids = processor.encode_actions(some_actions(2))
    for name in ("a", "aa"):
        output, actions = in_another_process(tmp_path, name, (inputs, ids))
        check_equal(output, processor(**inputs))
        assert torch.equal(actions, processor.decode_actions(ids))


@pytest.mark.parametrize(("kind", "suffix"), [("composed", "multimodal_vla"), ("patches", "alpamayo_r1")])
def test_a_saved_folder_names_the_image_processor_that_is_in_use(make, kind, suffix, tmp_path):
    make(kind).save_pretrained(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"} <= names
    code = {"processing_multimodal_vla.py", f"image_processing_{suffix}.py"}
    auto_map = json.loads((tmp_path / "processor_config.json").read_text())["auto_map"]
    assert {f"{value.split('.')[0]}.py" for value in auto_map.values()} == code <= names
    assert not any(name.startswith(("modeling_", "configuration_")) for name in names)


def test_a_saved_processor_of_patches_comes_back_the_same(make, tmp_path):
    processor = make("patches", **DISCRETE, proprio_dim=2, image_format="<|vision_start|>{image}<|vision_end|>")
    processor.save_pretrained(tmp_path)
    loaded = MultimodalVLAProcessor.from_pretrained(tmp_path)
    assert loaded.image_processor.to_dict() == processor.image_processor.to_dict()
    inputs = {"images": VIEWS, "text": "wave", "state": [1.0, 1.0]}
    check_equal(loaded(**inputs), processor(**inputs))
