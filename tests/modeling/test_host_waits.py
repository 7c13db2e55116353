"""Between its first and last kernel a prediction asks its device nothing and hands it nothing, in every family."""

import math

import numpy as np
import pytest
import torch
from host_waits import HostWaits
from tiny_configs import IMAGE_SIZE, bounds, composed_config, llava3d_config

from vlahub import (
    MapAnythingLlava3DForConditionalGeneration,
    MultimodalVLAForActionPrediction,
)

LENGTH, IMAGE_TOKEN = 9, 40
LLAVA3D = {"use_state": True, "state_dim": 4, "norm_stats": {"a": {"action": bounds(7), "state": bounds(4)}}}
DIFFUSION = {"action_head": "diffusion", "num_diffusion_steps": 4}


def llava3d(**fields):
    return MapAnythingLlava3DForConditionalGeneration(llava3d_config(**LLAVA3D, **fields))


def composed(**fields):
    return MultimodalVLAForActionPrediction(composed_config(**fields))


# Models by what they do; each with the options of its call.
PREDICTIONS = {
    "cogvla l1": (lambda tiny: tiny(), {}),
    "cogvla discrete": (lambda tiny: tiny(action_head="discrete"), {}),
    "cogvla diffusion": (lambda tiny: tiny(**DIFFUSION), {}),
    "cogvla diffusion, samples": (lambda tiny: tiny(**DIFFUSION), {"num_samples": 3}),
    "llava3d deep fusion": (lambda _: llava3d(), {}),
    "llava3d deep fusion, samples, Heun": (lambda _: llava3d(), {"num_samples": 3, "ode_solver": "heun"}),
    "llava3d DiT": (lambda _: llava3d(action_expert_type="dit"), {"num_samples": 2}),
    "composed flow": (lambda _: composed(action_head="flow"), {}),
    "composed flow, samples": (lambda _: composed(action_head="flow", fusion="film"), {"num_samples": 3}),
    "composed regression": (lambda _: composed(action_head="mlp", fusion="cross_attention"), {}),
    "composed bins": (lambda _: composed(action_head="discrete", fusion="early"), {}),
    "composed late": (lambda _: composed(action_head="mlp", fusion="late"), {}),
}


def inputs_of(model):
    """A batch of two, the second prompt shorter."""
    family, config = model.config.model_type, model.config
    input_ids = torch.arange(2 * LENGTH).view(2, LENGTH) + 3
    if family == "mapanything_llava3d":
        input_ids[:, :4] = IMAGE_TOKEN
    mask = torch.ones_like(input_ids)
    mask[1, -2:] = 0
    views = config.num_images_in_input if family == "cogvla" else 1
    channels = 6 if family == "cogvla" else 3
    pixel_values = torch.rand(2, views, channels, IMAGE_SIZE, IMAGE_SIZE)
    return {"input_ids": input_ids, "attention_mask": mask, "pixel_values": pixel_values, "state": torch.rand(2, 4)}


def counted(call, **options):
    """Of the second of two calls."""
    with HostWaits(elsewhere=True):
        call(**options)
    with HostWaits(elsewhere=True) as waits:
        call(**options)
    return waits


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_prediction_asks_nothing_and_runs_on_a_device_that_holds_no_numbers(name, tiny_model, without_autocast):
    make, options = PREDICTIONS[name]
    model = make(tiny_model).eval()
    inputs, options = inputs_of(model), {**options, "return_dict": True, "check_finite": False}
    waits = counted(model.predict_action, **inputs, **options)
    assert (waits.asked, waits.handed) == (0, 0), str(waits)
    real = model.predict_action(**inputs, **options).actions
    inputs = {key: value.to("meta") for key, value in inputs.items()}
    actions = model.to("meta").predict_action(**inputs, **options).actions
    assert actions.is_meta and actions.shape == real.shape


@pytest.fixture(scope="module")
def loaded(family, family_checkpoint):
    """The family's model, and inputs from its processor."""
    views = np.random.default_rng(0).integers(0, 255, (2, 40, 40, 3), dtype=np.uint8)
    names = {"np": np}
    exec(family.call, names)
    inputs = names["prepare"](family.processor.from_pretrained(family_checkpoint), views)
    return family.model.from_pretrained(family_checkpoint, dtype=torch.float32).eval(), dict(inputs)


@pytest.mark.parametrize("check_finite", [False, True])
def test_a_robots_prediction_asks_once_for_the_check_at_its_end_and_else_never(loaded, check_finite):
    model, inputs = loaded
    if not hasattr(model, "predict_action"):
        pytest.skip("it writes text, whose end is asked for")
    waits = counted(model.predict_action, **inputs, check_finite=check_finite)
    assert (waits.asked, waits.handed) == (int(check_finite), 0), str(waits)


@pytest.mark.parametrize("max_new_tokens", [3, 17])
@pytest.mark.parametrize("num_traj_samples", [1, 3])
def test_a_drive_asks_for_the_grid_every_eight_tokens_at_the_end_and_for_the_text(
    loaded, max_new_tokens, num_traj_samples
):
    model, inputs = loaded
    if not hasattr(model, "sample_trajectories"):
        pytest.skip("it writes no text")
    options = {"max_new_tokens": max_new_tokens, "num_traj_samples": num_traj_samples, "top_k": 1}
    for check_finite in (False, True):
        waits = counted(model.sample_trajectories, **inputs, **options, check_finite=check_finite)
        assert waits.handed == 0, str(waits)
        grid, look, text = 1, 1, 1  # the look tells of wrong inputs, too, which lie on the device here
        assert waits.asked <= grid + math.ceil(max_new_tokens / 8) + look + text, str(waits)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_itself_sees_no_wait(loaded):
    model, inputs = loaded
    if not hasattr(model, "predict_action"):
        pytest.skip("it writes text, whose end is asked for")
    model = model.to("cuda")
    inputs = {key: value.to("cuda") if isinstance(value, torch.Tensor) else value for key, value in inputs.items()}
    try:
        model.predict_action(**inputs, check_finite=False)
        torch.cuda.set_sync_debug_mode("error")
        model.predict_action(**inputs, check_finite=False)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        model.to("cpu")
