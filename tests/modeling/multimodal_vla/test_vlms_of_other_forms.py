"""VLMs that read images in another way than among their tokens in one forward, and those that are refused."""

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from tiny_vlms import LLAMA, TINY_VLMS, tiny_vlm, tokenizer_with
from transformers import Blip2Processor, BlipImageProcessor
from transformers.utils import is_torchvision_available

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction, MultimodalVLAProcessor
from vlahub.configuration.multimodal_vla.vlm_facts import VLMS
from vlahub.errors import ConfigError
from vlahub.modeling.multimodal_vla.vlm_backbone import of_length

OLDER = transformers.__version__.startswith("4.")
VIEW = np.random.RandomState(0).randint(0, 256, (28, 28, 3)).astype(np.uint8)
HEAD = {"action_head": "mlp", "action_dim": 3, "num_action_chunks": 2, "num_action_bins": 32}
HEAD |= {"norm_stats": {"a": {"action": {"q01": [-1.0] * 3, "q99": [1.0] * 3}}}}
NEW = ("blip-2", "deepseek_vl", "glm4v", "janus", "mllama", "qwen3_vl_moe", "minicpmv4_6")


def config_of(kind, **fields):
    return MultimodalVLAConfig(vlm_config=tiny_vlm(kind)[0], **{**HEAD, **fields})


@pytest.mark.parametrize("kind", [k if k == "mllama" else pytest.param(k, marks=pytest.mark.slow) for k in NEW])
def test_the_tokenizer_alone_gives_a_processor_whose_prompts_the_model_reads(kind, randomized):
    if kind not in TINY_VLMS:
        pytest.skip("transformers 4.57 has no such model")
    config, own = config_of(kind), tiny_vlm(kind)[1]
    processor = MultimodalVLAProcessor.for_config(config, getattr(own, "tokenizer", own))
    model = randomized(MultimodalVLAForActionPrediction(config)).eval()
    inputs = processor(images=[[VIEW, VIEW[::-1]]] * 2, text=["put the bowl", "pick"])
    found = model.predict_action(**inputs)
    one = processor(images=[VIEW, VIEW[::-1]], text="pick")
    torch.testing.assert_close(model.predict_action(**one)[0], found[1], atol=1e-5, rtol=1e-5)


def test_blip_2s_prompt_and_pixels_are_those_of_its_processor():
    config, tokenizer = config_of("blip-2"), tiny_vlm("blip-2")[1]
    found = MultimodalVLAProcessor.for_config(config, tokenizer)(images=[VIEW], text="put the bowl")
    own = Blip2Processor(BlipImageProcessor(size={"height": 28, "width": 28}), tokenizer, num_query_tokens=3)
    wanted = own(Image.fromarray(VIEW), "<bos>Question: put the bowl Answer:", return_tensors="pt")
    assert torch.equal(found["input_ids"], wanted["input_ids"])
    torch.testing.assert_close(found["pixel_values"][:, 0], wanted["pixel_values"])
    whole = MultimodalVLAProcessor.for_config(config, own)(images=[VIEW, VIEW], text="put the bowl")
    assert (whole["input_ids"] == config.vlm_config.image_token_index).sum() == 6


@pytest.mark.parametrize("side", ["right", "left"])
def test_tokens_behind_a_mllama_prompt_look_at_what_the_next_words_would(side):
    processor = MultimodalVLAProcessor.for_config(config_of("mllama"), tiny_vlm("mllama")[1])
    views = [[VIEW, VIEW[:, :14]], [VIEW[:14], VIEW]]
    masks = [
        processor(images=views, text=texts, padding_side=side)["cross_attention_mask"]
        for texts in (["put", "put the bowl"], ["put in in in", "put the bowl in in in"])
    ]
    if side == "left":  # the prompt's end is behind the instruction, and the same
        assert torch.equal(of_length(masks[0], masks[1].shape[1])[:, -4:], masks[1][:, -4:])
    assert torch.equal(of_length(masks[0], masks[1].shape[1])[1], masks[1][1])


def test_experts_are_written_as_they_were_published_on_either_line(randomized, tmp_path):
    """(experts, in, out); transformers 5 holds them the other way round."""
    config = config_of("qwen3_vl_moe")
    model = randomized(MultimodalVLAForActionPrediction(config)).eval()
    model.save_pretrained(tmp_path)
    text = config.vlm_config.text_config
    shapes = {"gate_up_proj": (text.hidden_size, 2 * text.moe_intermediate_size)}
    shapes["down_proj"] = (text.moe_intermediate_size, text.hidden_size)
    written, own = load_file(tmp_path / "model.safetensors"), model.state_dict()
    for name, shape in shapes.items():
        found = {key: value for key, value in written.items() if key.endswith(f"experts.{name}")}
        assert found and {value.shape[1:] for value in found.values()} == {shape}
        assert all(torch.equal(value, own[key] if OLDER else own[key].mT) for key, value in found.items())
    again, resumed = (
        MultimodalVLAForActionPrediction.from_pretrained(tmp_path),
        MultimodalVLAForActionPrediction(config),
    )
    resumed.load_state_dict(written)
    for other in (again, resumed):
        assert all(torch.equal(value, own[key]) for key, value in other.state_dict().items())


def test_parts_that_need_image_features_are_refused_for_a_vlm_without():
    for fields in ({"projector_type": "mlp"}, {"fusion": "film"}, {"fusion": "late"}):
        with pytest.raises(ConfigError, match="reads image features, and a mllama has none among its tokens"):
            config_of("mllama", **fields)
    assert config_of("mllama", fusion="cross_attention").fusion == "cross_attention"
    with pytest.raises(ConfigError, match="replaces image features, which a qwen3_vl_moe also reads in deeper layers"):
        config_of("qwen3_vl_moe", fusion="film")


def test_vlms_that_cannot_be_are_refused_with_the_reason(tmp_path):
    with pytest.raises(ConfigError, match=r"'florence2' cannot be .*: it is an encoder with a decoder behind it, and"):
        MultimodalVLAConfig(vlm_config={"model_type": "florence2"}, **HEAD)
    transformers.Florence2Config().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="'florence2' cannot be the backbone of a composed VLA"):
        MultimodalVLAForActionPrediction.from_vlm(str(tmp_path))
    t5 = {"model_type": "t5", "d_model": 32, "d_ff": 48, "num_layers": 1, "num_heads": 2, "d_kv": 16, "vocab_size": 60}
    with pytest.raises(ConfigError, match="the language model is a t5, an encoder with a decoder behind it"):
        MultimodalVLAConfig(vlm_config={**tiny_vlm("blip-2")[0], "text_config": t5}, **HEAD)
    without = {name: value for name, value in tiny_vlm("blip-2")[0].items() if name != "image_token_index"}
    with pytest.raises(ConfigError, match=r"vlm_config\.image_token_index is missing"):
        MultimodalVLAForActionPrediction(MultimodalVLAConfig(vlm_config=without, **HEAD))
    if OLDER:
        with pytest.raises(ConfigError, match="minicpmv4_6"):
            MultimodalVLAConfig(vlm_config={"model_type": "minicpmv4_6"}, **HEAD)


def test_a_processor_that_needs_what_is_not_installed_says_so():
    pytest.importorskip("tokenizers")
    if is_torchvision_available():
        pytest.skip("torchvision is here")
    tokenizer = tokenizer_with("<|image|>", "<|patch|>")
    with pytest.raises(ConfigError, match=r"'Llama4ImageProcessor' cannot be used here: it needs .*torchvision"):
        MultimodalVLAProcessor.for_config(config_of("llama4"), tokenizer)


def test_the_table_names_every_vlm_that_is_tried_here():
    assert {*NEW, "llama4"} <= set(VLMS) and LLAMA["model_type"] == "llama"
