"""Where Alpamayo-R1 computes and where its tokens stand: hooks of accelerate, weights on disk, padding."""

import copy

import pytest
import torch
import transformers
from accelerate import disk_offload
from accelerate.hooks import ModelHook, add_hook_to_module

from vlahub import AlpamayoR1, AlpamayoR1Config
from vlahub.modeling.input_checks import execution_device
from vlahub.modeling.mrope_positions import rope_positions

NAMES = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw", "ego_history_xyz", "ego_history_rot")
OPTIONS = {"num_traj_samples": 1, "top_k": 1, "max_new_tokens": 3, "num_inference_steps": 2}
PAD = 300
# Left-padded rows whose padding the expert sees, as the published code has it (computed on transformers 4.57).
PADDED_ACTIONS = [[-1.2663573, -0.4809711], [-1.4553082, -0.7822829], [1.3762820, 0.6269509]]  # waypoints 0, 31, 63


@pytest.fixture(scope="module")
def case(golden):
    return golden("alpamayo/alpamayo_expert_step")


@pytest.fixture
def make_model(case):
    def make(**overrides):
        fields = copy.deepcopy(case.config)
        config = AlpamayoR1Config(
            vlm_config=fields.pop("vlm"), **fields.pop("expect"), **fields, pad_token_id=PAD, **overrides
        )
        model = AlpamayoR1(config).eval()
        model.load_state_dict(case.state(), strict=True)
        return model

    return make


@pytest.fixture
def scene(case):
    return {name: case.input(name) for name in NAMES}


@pytest.fixture
def noise():
    return torch.randn(1, 64, 2, generator=torch.Generator().manual_seed(0))


def test_text_under_a_hook_is_the_same_text(make_model, scene):
    """accelerate wraps `forward` when it places a model, which hides the names of its arguments."""
    model = make_model()
    prompt = {name: scene[name] for name in NAMES[:4]}
    prompt["input_ids"] = model.with_history(scene["input_ids"], *(scene[name][:, 0] for name in NAMES[4:]))
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None}
    wanted = model.generate(**prompt, **options)
    for module in (model.vlm, model.vlm.model):
        add_hook_to_module(module, ModelHook())
    assert torch.equal(model.generate(**prompt, **options), wanted)


@pytest.mark.parametrize("part", ["vlm.model.visual", "expert", None])
def test_weights_on_disk_drive_the_same(part, make_model, scene, noise, tmp_path):
    if part != "expert" and transformers.__version__.startswith("4."):
        pytest.skip("4.57 makes the vision tower's indices on the device of its weights, which is none on disk")
    model = make_model()
    wanted = model.sample_trajectories(**scene, noise=noise, **OPTIONS).pred_xyz
    disk_offload(model if part is None else model.get_submodule(part), tmp_path, torch.device("cpu"))
    assert any(parameter.is_meta for parameter in model.parameters())
    assert execution_device(model) == torch.device("cpu")
    torch.testing.assert_close(model.sample_trajectories(**scene, noise=noise, **OPTIONS).pred_xyz, wanted)


def test_padding_stands_at_place_1_on_both_lines(make_model, case):
    ids = case.input("input_ids")
    padded = torch.cat([torch.full((1, 3), PAD), ids], dim=1)
    mask = (torch.arange(padded.shape[1]) >= 3).long()[None]
    grid = case.input("image_grid_thw")
    vlm = make_model().vlm
    found = rope_positions(vlm, padded, mask, grid)
    assert (found[:, :, :3] == 1).all()
    assert torch.equal(found[:, :, 3:], rope_positions(vlm, ids, torch.ones_like(ids), grid))


def test_padding_that_the_expert_sees_gives_the_published_numbers(make_model, scene):
    """The second row, shorter and padded on the left, in the batch with the first."""
    model = make_model(mask_prompt_padding=False)
    long = scene["input_ids"][0].tolist()
    short = [*long[:20], 309, *[312] * 6, 310, 491, *[501] * 48, 493, *long[-30:]]
    pads = len(long) - len(short)
    patches = scene["pixel_values"]
    batch = {
        "input_ids": torch.tensor([long, [PAD] * pads + short]),
        "attention_mask": torch.tensor([[1] * len(long), [0] * pads + [1] * len(short)]),
        "pixel_values": torch.cat([patches, patches[:24].flip(0)]),
        "image_grid_thw": torch.cat([scene["image_grid_thw"], torch.tensor([[1, 4, 6]])]),
        "ego_history_xyz": torch.cat([scene["ego_history_xyz"], scene["ego_history_xyz"] * 0.6]),
        "ego_history_rot": torch.cat([scene["ego_history_rot"]] * 2),
    }
    forced = [[40, 41, 498], [50, 498, 498]]

    def write(input_ids, scores):
        step = input_ids.shape[1] - len(long)
        if step < 3:
            scores = torch.full_like(scores, float("-inf"))
            for row in range(2):
                scores[row, forced[row][step]] = 0.0
        return scores

    noise = torch.randn(2, 64, 2, generator=torch.Generator().manual_seed(0))
    options = {**OPTIONS, "max_new_tokens": 6, "num_inference_steps": 3, "top_p": 1.0, "temperature": 1.0}
    found = model.sample_trajectories(**batch, **options, noise=noise, logits_processor=[write]).actions[1, 0, 0]
    torch.testing.assert_close(found[[0, 31, 63]], torch.tensor(PADDED_ACTIONS), atol=2e-5, rtol=0)
