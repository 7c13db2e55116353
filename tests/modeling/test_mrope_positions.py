"""Positions of image tokens: those of transformers' own functions, without its loops over images."""

import inspect

import pytest
import torch
from host_waits import HostWaits
from transformers import AutoConfig, AutoModelForImageTextToText

from vlahub.errors import InputError
from vlahub.modeling.mrope_positions import rope_positions

IMAGE, KINDS = 90, ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "glm4v")
MERGE = 2
SPECIAL = {"image_token_id": IMAGE, "video_token_id": 91, "vision_start_token_id": 92, "vision_end_token_id": 93}
SPECIAL |= {"image_start_token_id": 92, "image_end_token_id": 93, "video_start_token_id": 94, "video_end_token_id": 95}


@pytest.fixture(scope="module", params=KINDS)
def vlm(request):
    config = AutoConfig.for_model(request.param)
    for name, value in SPECIAL.items():
        setattr(config, name, value)
    config.vision_config.spatial_merge_size = MERGE
    if request.param == "qwen3_vl" and not getattr(config.text_config, "rope_scaling", True):
        config.text_config.rope_scaling = {"rope_type": "default", "mrope_section": [24, 20, 20]}  # 4.57 needs it
    with torch.device("meta"):  # positions need no weights
        for part, depth in ((config.vision_config, "depth"), (config.text_config, "num_hidden_layers")):
            setattr(part, depth, 1)
        config.vision_config.deepstack_visual_indexes = [0]
        return AutoModelForImageTextToText.from_config(config)


def prompts(rows, seed):
    """Ids of rows of images (height, width) in patches among text, padded on the left or the right, and their grid."""
    generator = torch.Generator().manual_seed(seed)
    texts, grid = [], []
    for images in rows:
        text = torch.randint(1, 80, (int(torch.randint(1, 6, (), generator=generator)),), generator=generator).tolist()
        for height, width in images:
            text += [92, *[IMAGE] * (height * width // MERGE**2), 93]
            text += torch.randint(1, 80, (seed % 4 + 1,), generator=generator).tolist()
            grid.append([1, height, width])
        texts.append(text)
    longest = max(map(len, texts))
    pads = [[0] * (longest - len(text)) for text in texts]
    left = seed % 2
    ids = torch.tensor([pad + text if left else text + pad for pad, text in zip(pads, texts, strict=True)])
    marks = [
        [0] * len(pad) + [1] * len(t) if left else [1] * len(t) + [0] * len(pad)
        for pad, t in zip(pads, texts, strict=True)
    ]
    return ids, torch.tensor(marks), torch.tensor(grid) if grid else None


ROWS = [
    [[(4, 6)]],
    [[(4, 6), (8, 2)], [(2, 2)]],
    [[], [(6, 6), (2, 10), (4, 4)], [(10, 4)]],
    [[(2, 2)] * 4, []],
    [[], []],
]


def of_transformers(vlm, ids, mask, grid):
    arguments = {"image_grid_thw": grid, "attention_mask": mask}
    if "mm_token_type_ids" in inspect.signature(vlm.model.get_rope_index).parameters:
        arguments["mm_token_type_ids"] = (ids == IMAGE).int()
    return vlm.model.get_rope_index(ids, **arguments)[0].masked_fill(mask == 0, 1)


@pytest.mark.parametrize("rows", ROWS, ids=range(len(ROWS)))
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_positions_are_those_of_transformers(vlm, rows, seed):
    ids, mask, grid = prompts(rows, seed)
    with HostWaits() as waits:
        found = rope_positions(vlm, ids, mask, grid)
    assert torch.equal(found, of_transformers(vlm, ids, mask, grid))
    assert not waits.found


def test_more_or_fewer_image_tokens_than_features_are_refused(vlm):
    ids, mask, grid = prompts(ROWS[1], 0)
    with pytest.raises(InputError, match=r"input_ids has 11 image tokens, but the images of image_grid_thw have 10"):
        rope_positions(vlm, ids, mask, grid[:2])
    with pytest.raises(InputError, match=r"input_ids has 11 image tokens, but the images of image_grid_thw have 12"):
        rope_positions(vlm, ids, mask, torch.cat([grid, grid[-1:]]))
