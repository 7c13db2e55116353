"""What a drive asks a device for, what it refuses at the end, and its prompt's pass beside the stock one."""

import pytest
import torch
from host_waits import HostWaits
from tiny_configs import alpamayo_config
from traced_graphs import TracedGraph
from transformers import DynamicCache

from vlahub import AlpamayoR1
from vlahub.configuration.vla_errors import InputError
from vlahub.modeling.alpamayo_r1 import prompt_pass, value_checks
from vlahub.modeling.alpamayo_r1.prompt_pass import PromptInputs, prompt_logits, read_prompt
from vlahub.modeling.alpamayo_r1.prompt_reading import read_scene, read_tokens
from vlahub.modeling.alpamayo_r1.text_keys import TextSizes, text_keys
from vlahub.modeling.fast_prediction import FastPrediction

PAD, IMAGE, HISTORY = 300, 312, 501
OPTIONS = {"num_traj_samples": 2, "max_new_tokens": 4, "num_inference_steps": 2}


@pytest.fixture(scope="module")
def case(golden):
    return golden("alpamayo/alpamayo_expert_step")


@pytest.fixture(scope="module")
def make_model(case):
    def make(**fields):
        model = AlpamayoR1(alpamayo_config(case, **fields)).eval()
        model.load_state_dict(case.state(), strict=True)
        return model

    return make


@pytest.fixture
def model(make_model):
    return make_model()


@pytest.fixture
def scenes(case):
    """Two prompts, the second shorter, padded on the left, with one image where the first has two."""
    long, patches = case.input("input_ids")[0].tolist(), case.input("pixel_values")
    short = [*long[:20], 309, *[IMAGE] * 6, 310, 491, *[HISTORY] * 48, 493, *long[-30:]]
    pads = len(long) - len(short)
    return {
        "input_ids": torch.tensor([long, [PAD] * pads + short]),
        "attention_mask": torch.tensor([[1] * len(long), [0] * pads + [1] * len(short)]),
        "pixel_values": torch.cat([patches, patches[:24].flip(0)]),
        "image_grid_thw": torch.cat([case.input("image_grid_thw"), torch.tensor([[1, 4, 6]])]),
        "ego_history_xyz": torch.cat([case.input("ego_history_xyz"), case.input("ego_history_xyz") * 0.6]),
        "ego_history_rot": torch.cat([case.input("ego_history_rot")] * 2),
    }


@pytest.mark.parametrize("grid_on_host", [True, False])
@pytest.mark.parametrize("check_finite", [True, False])
def test_a_drive_waits_for_the_grid_the_end_of_the_text_and_one_look_at_the_end(
    check_finite, grid_on_host, model, scenes
):
    scenes["image_grid_thw"].is_on_host = grid_on_host
    with HostWaits(elsewhere=True):
        model.sample_trajectories(**scenes, **OPTIONS)  # what is made once
    with HostWaits(elsewhere=True) as waits:
        model.sample_trajectories(**scenes, **OPTIONS, check_finite=check_finite)
    assert waits.asked == (not grid_on_host) + 1 + 1, waits
    assert waits.handed == 0, waits


def test_values_at_hand_are_looked_at_before_and_nothing_is_read_but_the_end_of_the_text(model, scenes):
    model.sample_trajectories(**scenes, **OPTIONS)
    with HostWaits() as waits:
        model.sample_trajectories(**scenes, **OPTIONS, check_finite=False)
    assert waits.asked == 1, str(waits)


def changed(scenes, **tensors):
    return {**scenes, **tensors}


def test_a_grid_without_numbers_is_not_asked_for_them():
    grid = torch.empty(1, 3, dtype=torch.long, device="meta")
    assert value_checks.on_host(grid) is grid


WRONG = {
    "padding on the right": (lambda s: {"attention_mask": s["attention_mask"].flip(1)}, "ends with padding"),
    "a row of padding": (lambda s: {"attention_mask": s["attention_mask"] * torch.tensor([[1], [0]])}, "row 1"),
    "image tokens": (lambda s: {"input_ids": s["input_ids"].where(s["input_ids"] != IMAGE, 40)}, "has 0 image tokens"),
    "placeholders": (
        lambda s: {"input_ids": s["input_ids"].where(torch.arange(s["input_ids"].shape[1]) < 140, 40)},
        "history placeholders",
    ),
    "poses": (lambda s: {"ego_history_xyz": s["ego_history_xyz"] + 1}, "not at the origin"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("at_hand", [True, False])
def test_wrong_values_are_refused_by_name_wherever_they_are(at_hand, change, message, model, scenes, monkeypatch):
    computed = []
    model.action_out_proj.register_forward_hook(lambda *_: computed.append(1))
    monkeypatch.setattr(value_checks, "at_hand", lambda tensor: at_hand)
    if not at_hand:  # positions are looked at by themselves where ids are on a CPU
        monkeypatch.setattr("vlahub.modeling.mrope_positions.check_image_tokens", lambda *_: None)
    with pytest.raises(InputError, match=message):
        model.sample_trajectories(**changed(scenes, **change(scenes)), **OPTIONS, check_finite=False)
    assert bool(computed) != at_hand


@pytest.mark.parametrize("padded", [True, False])
@torch.no_grad()
def test_a_prompt_in_parts_is_the_stock_pass(padded, make_model, scenes, case):
    """Also the keys and values of padding, which the published expert sees."""
    model = make_model(mask_prompt_padding=False)
    one = {name: case.input(name) for name in ("input_ids", "pixel_values", "image_grid_thw")}
    names = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")
    scene = read_scene(model, *((scenes if padded else one).get(name) for name in names))[0]
    inputs, cache = PromptInputs(**scene), DynamicCache()
    assert (inputs.real is not None) == padded
    wanted = model.vlm.lm_head(read_tokens(model.vlm, *inputs, cache)[:, -1])
    keys = text_keys(model, model.vlm, TextSizes(*inputs.input_ids.shape[:1], 1, inputs.input_ids.shape[1], 2, 0))
    with HostWaits() as waits:
        found = read_prompt(model, inputs, (), keys)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    for kept, layer in zip(keys.prompt, cache.layers, strict=True):
        torch.testing.assert_close(kept[0], layer.keys, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(kept[1], layer.values, atol=1e-5, rtol=1e-5)
    assert not waits.found, waits


@torch.no_grad()
def test_a_watched_decoder_reads_its_prompt_by_itself(model, scenes, monkeypatch):
    names = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")
    inputs = PromptInputs(**read_scene(model, *(scenes[name] for name in names))[0])
    keys = text_keys(model, model.vlm, TextSizes(*inputs.input_ids.shape[:1], 1, inputs.input_ids.shape[1], 2, 0))
    wanted, seen = prompt_logits(model, inputs, keys), []
    kept = [each.clone() for pair in keys.prompt for each in pair]
    model.vlm.model.language_model.layers[0].register_forward_hook(lambda *_: seen.append(1))
    monkeypatch.setattr(prompt_pass, "run_core", None)
    torch.testing.assert_close(prompt_logits(model, inputs, keys), wanted, atol=1e-5, rtol=1e-5)
    assert seen
    for one, other in zip(kept, (each for pair in keys.prompt for each in pair), strict=True):
        real = inputs.real[:, None, :, None]
        torch.testing.assert_close(one * real, other * real, atol=1e-5, rtol=1e-5)


def test_a_limit_of_trajectories_is_none_of_patches(model, scenes):
    model.enable_fast_prediction()
    model.fast_prediction = FastPrediction(model, {"max_batch_size": 4, "length_bucket": 16}, TracedGraph)
    for _ in range(2):
        model.sample_trajectories(**scenes, **OPTIONS)
    stats = model.fast_prediction_stats
    assert (stats.eager_fallbacks, stats.captures) == (0, 4), stats  # images, prompt, token, expert


def test_the_published_names_of_graphs_are_those_of_fast_prediction(model, scenes):
    assert model.diffusion_expert_cuda_graph_stats is None
    model.enable_diffusion_expert_cuda_graph(max_batch_size=6, max_graphs=2)
    fast = model.fast_prediction
    assert (fast.mode, fast.max_batch_size, fast.max_graphs) == ("graphs", 6, 8)
    assert model.diffusion_expert_cuda_graph_stats == model.fast_prediction_stats
