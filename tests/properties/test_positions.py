"""Positions of tokens under padding and among images, against transformers and against counting one by one."""

import inspect

import numpy as np
import pytest
import torch
from drawn import SEEDS, numbers, padding_masks
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForImageTextToText, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from vlahub.errors import InputError
from vlahub.modeling.alpamayo_r1.expert_velocity import positions_behind
from vlahub.modeling.decoder_layer_pass import pass_inputs, rotated_heads
from vlahub.modeling.llama_layers import rotated
from vlahub.modeling.mrope_positions import rope_positions
from vlahub.modeling.multimodal_vla.language_model_rules import text_positions

IMAGE, START, END, MERGE = 90, 92, 93, 2
SPECIAL = {"image_token_id": IMAGE, "video_token_id": 91, "vision_start_token_id": START, "vision_end_token_id": END}


@pytest.fixture(scope="session")
def qwen():
    """Alpamayo-R1's kind of VLM, without weights: positions need none."""
    config = AutoConfig.for_model("qwen3_vl", **SPECIAL)
    config.vision_config.spatial_merge_size = MERGE
    config.vision_config.depth = config.text_config.num_hidden_layers = 1
    config.vision_config.deepstack_visual_indexes = [0]
    if not getattr(config.text_config, "rope_scaling", True):
        config.text_config.rope_scaling = {"rope_type": "default", "mrope_section": [24, 20, 20]}  # 4.57 needs it
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)


TEXT = st.lists(st.integers(1, 80), max_size=4)
SIZES = st.tuples(st.integers(1, 5), st.integers(1, 5))  # of an image in tokens
PROMPTS = st.lists(st.tuples(TEXT.filter(bool), st.lists(st.tuples(SIZES, TEXT), max_size=3)), min_size=1, max_size=3)


def padded(rows, pads, left):
    """(ids, mask) of rows of ids; pads: how many more columns than the longest row."""
    length = max(map(len, rows)) + pads
    fill = [[0] * (length - len(row)) for row in rows]
    ids = [pad + row if left else row + pad for row, pad in zip(rows, fill, strict=True)]
    marks = [
        [0] * len(pad) + [1] * len(row) if left else [1] * len(row) + [0] * len(pad)
        for row, pad in zip(rows, fill, strict=True)
    ]
    return torch.tensor(ids), torch.tensor(marks)


def written(prompts):
    """Ids of each row, and the grid of all images in patches, or `None`."""
    rows, grid = [], []
    for text, images in prompts:
        row = list(text)
        for (height, width), more in images:
            row += [START, *[IMAGE] * (height * width), END, *more]
            grid.append([1, height * MERGE, width * MERGE])
        rows.append(row)
    return rows, torch.tensor(grid) if grid else None


def counted(row, sizes):
    """(3, length), token by token; sizes: of the row's images, in tokens."""
    places, following, sizes, i = [], 0, iter(sizes), 0
    while i < len(row):
        if row[i] != IMAGE:
            places.append((following,) * 3)
            following, i = following + 1, i + 1
            continue
        height, width = next(sizes)
        places += [(following, following + y, following + x) for y in range(height) for x in range(width)]
        following, i = following + max(height, width), i + height * width
    return torch.tensor(places).T


@given(PROMPTS, st.integers(0, 3), st.booleans())
def test_images_are_placed_as_in_transformers_on_either_side_of_padding(qwen, prompts, pads, left):
    rows, grid = written(prompts)
    ids, mask = padded(rows, pads, left)
    found = rope_positions(qwen, ids, mask, grid)
    arguments = {"image_grid_thw": grid, "attention_mask": mask}
    if "mm_token_type_ids" in inspect.signature(qwen.model.get_rope_index).parameters:
        arguments["mm_token_type_ids"] = (ids == IMAGE).int()
    theirs = qwen.model.get_rope_index(ids, **arguments)[0]
    assert torch.equal(found, theirs.masked_fill(mask == 0, 1))
    for row, (text, (_, images)) in enumerate(zip(rows, prompts, strict=True)):
        own = found[:, row][:, mask[row] != 0]
        assert torch.equal(own, counted(text, [size for size, _ in images]))


@given(PROMPTS, st.integers(1, 3))
def test_image_tokens_that_no_image_has_are_refused(qwen, prompts, more):
    rows, grid = written(prompts)
    rows[0] += [IMAGE] * more
    ids, mask = padded(rows, 0, left=True)
    with pytest.raises(InputError, match="image tokens"):
        rope_positions(qwen, ids, mask, grid)


@given(padding_masks(), st.integers(0, 3))
def test_text_is_counted_without_its_padding(real, first):
    found = text_positions(real, first)
    for row in range(len(real)):
        assert found[row][real[row]].tolist() == [first + i for i in range(int(real[row].sum()))]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(1, 5))
def test_an_experts_tokens_follow_each_rows_text(first, count):
    found = positions_behind(torch.tensor(first), count)
    assert found.tolist() == [[[start + i for i in range(count)] for start in first]] * 3


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.sampled_from([2, 4, 8]), SEEDS)
def test_heads_are_turned_in_planes_of_two_numbers(batch, length, heads, size, seed):
    """Numbers i and i + size / 2 of a head are a complex number, turned by position * theta ** (-2 i / size)."""
    config = LlamaConfig(hidden_size=heads * size, num_attention_heads=heads, head_dim=size)
    positions = torch.from_numpy(np.random.default_rng(seed).integers(0, 500, (batch, length)))
    states = numbers(seed, batch, heads, length, size)
    rotary = LlamaRotaryEmbedding(config)(states, positions)
    angles = positions.double().numpy()[:, None, :, None] * 10000.0 ** (-2 * np.arange(size // 2) / size)
    real, imaginary = np.split(states.double().numpy(), 2, axis=-1)
    turned = (real + 1j * imaginary) * np.exp(1j * angles)
    wanted = np.concatenate([turned.real, turned.imag], axis=-1)
    np.testing.assert_allclose(rotated(states, rotary).numpy(), wanted, atol=2e-4)  # angles of 500 in float32
    with torch.no_grad():
        inputs = pass_inputs(None, rotary, states)
    found = rotated_heads(states.transpose(1, 2), inputs.rotary[0], inputs.turned)
    torch.testing.assert_close(found, apply_rotary_pos_emb(states, states, *rotary)[0], atol=1e-6, rtol=1e-6)
