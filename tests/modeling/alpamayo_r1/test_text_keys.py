"""Keys and values of texts: a prompt's are in memory once, and a layer over them is the stock one."""

import copy
from pathlib import Path

import pytest
import torch
from tiny_configs import alpamayo_config
from torch.utils._pytree import tree_leaves
from transformers import Qwen3VLConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextDecoderLayer

from vlahub import AlpamayoR1
from vlahub.modeling.alpamayo_r1.text_keys import TextSizes, kept_bytes, repeated_bytes, text_keys
from vlahub.modeling.alpamayo_r1.text_layer import can_run_in_parts, run_in_parts, turning
from vlahub.modeling.sharded_layer import tie_keys_and_values
from vlahub.modeling.shared_prefix_attention import prefix_bias, shared_prefix_attention
from vlahub.modeling.stack_passes import LAYERS_CACHE, KeyValueCollector

DOCS = Path(__file__).parents[3] / "docs" / "real-time-alpamayo-r1.md"


@pytest.fixture
def model(golden):
    return AlpamayoR1(alpamayo_config(golden("alpamayo/alpamayo_expert_step"))).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_memory_of_samples_is_what_is_said(model, dtype):
    sizes = TextSizes(batch=2, samples=6, prompt=50, text=7, waypoints=4)
    model, config = model.to(dtype), model.config.vlm_config
    kept = text_keys(model, model.vlm, sizes)

    assert sum(each.nbytes for each in tree_leaves(kept)) == kept_bytes(config, sizes, dtype.itemsize)
    assert [len(part) for part in kept] == [config.text_config.num_hidden_layers] * 2
    repeated = [torch.cat([p.repeat_interleave(6, 0), w], 2) for p, w in zip(*map(tree_leaves, kept), strict=True)]
    assert sum(each.nbytes for each in repeated) == repeated_bytes(config, sizes, dtype.itemsize)


def test_at_published_sizes_16_samples_need_an_eighth_of_16_prompts():
    text = {"num_hidden_layers": 36, "num_key_value_heads": 8, "head_dim": 128}
    config = Qwen3VLConfig(text_config=text)
    sizes = [TextSizes(1, samples, prompt=3168, text=128, waypoints=64) for samples in (1, 6, 16, 64)]
    kept, repeated = ([round(of(config, each) / 2**20) for each in sizes] for of in (kept_bytes, repeated_bytes))
    assert (kept, repeated) == ([472, 608, 878, 2174], [472, 2835, 7560, 30240])
    rows = [f"| {each.samples} | {one:,} | {other:,} |" for each, one, other in zip(sizes, kept, repeated, strict=True)]
    assert "\n".join(rows) in DOCS.read_text()


def test_places_of_new_tokens_are_zero_whatever_was_there(model, monkeypatch):
    monkeypatch.setattr(
        "vlahub.modeling.alpamayo_r1.text_keys.empty_pair",
        lambda *_: (torch.tensor(torch.nan), torch.tensor(torch.nan)),
    )
    found = text_keys(model, model.vlm, TextSizes(1, 1, 1, 1, 1))
    assert not any(each.item() for pair in found.written for each in pair)


LAYER = {"hidden_size": 24, "intermediate_size": 40, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}


@pytest.fixture
def layer():
    torch.manual_seed(0)
    config = Qwen3VLConfig(text_config=LAYER).text_config
    config._attn_implementation = "sdpa"
    layer = Qwen3VLTextDecoderLayer(config, 0).eval()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_a_layer_in_its_parts_is_the_stock_one(layer, dtype):
    layer, states = layer.to(dtype), torch.randn(3, 5, 24).to(dtype)
    angles = torch.randn(3, 5, 4).repeat(1, 1, 2)
    rotary, causal = (angles.cos().to(dtype), angles.sin().to(dtype)), torch.ones(5, 5, dtype=torch.bool).tril()
    collector, found = KeyValueCollector(), KeyValueCollector()
    mask = {"attention_mask": causal.expand(3, 1, 5, 5), LAYERS_CACHE: collector}
    wanted = layer(states, position_embeddings=rotary, **mask)

    def attend(queries, keys, values):
        found.update(keys, values)
        nothing = [each[:, :, :0] for each in (keys, values)]
        bias = prefix_bias(torch.ones(3, 0, dtype=torch.bool), causal.expand(1, 1, 5, 5))
        return shared_prefix_attention(queries, nothing, (keys, values), bias, layer.self_attn.scaling)

    tolerance = {"atol": 1e-5, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 0.15, "rtol": 0.02}
    torch.testing.assert_close(run_in_parts(layer, states, turning(rotary), attend), wanted, **tolerance)
    torch.testing.assert_close(found.keys, collector.keys, **tolerance)
    torch.testing.assert_close(found.values, collector.values, **tolerance)


def test_a_layer_with_hooks_on_what_would_not_be_called_is_run_whole(layer):
    tie_keys_and_values(layer)
    layer.mlp.up_proj.register_forward_hook(print)
    assert can_run_in_parts(layer)
    for part in (layer, layer.self_attn, layer.mlp):
        handle = part.register_forward_pre_hook(print)
        assert not can_run_in_parts(layer)
        handle.remove()
    assert not can_run_in_parts(copy.deepcopy(layer).train())
    another = copy.deepcopy(layer)
    another.__class__ = type("Another", (Qwen3VLTextDecoderLayer,), {})
    assert not can_run_in_parts(another)
    hooked = copy.deepcopy(layer)
    hooked.self_attn.forward = print
    assert not can_run_in_parts(hooked)
