"""What a training is estimated to need, against counts by hand."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers.training_args import OptimizerNames

from vlahub.training.finetuning.memory import memory_estimate

TRAINED, FROZEN = 8, 15  # weights
DEFAULTS = {"optim": "adamw_torch", "per_device_train_batch_size": 1, "world_size": 1, "bf16": False, "fp16": False}
DEFAULTS |= {"fsdp": [], "deepspeed": None, "gradient_checkpointing": False}


def estimated(dtype=torch.float32, example_bytes=1000, **given):
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)).to(dtype)
    model[0].requires_grad_(False)
    return memory_estimate(model, SimpleNamespace(**DEFAULTS | given), example_bytes)


STATES = {  # bytes of a float32 weight
    "adamw_torch": 8,
    "adamw_bnb_8bit": 2,
    "adamw_torch_4bit": 1,
    "lion_32bit": 4,
    "paged_lion_8bit": 1,
    "rmsprop_bnb_8bit": 1,
    "ademamix": 12,
    "paged_ademamix_8bit": 3,
    "adafactor": 0,
    "sgd": 0,
    "schedule_free_sgd": 4,
    "rmsprop": 4,
    "adagrad": 4,
    "adalomo": 0,
    OptimizerNames.ADAMW_8BIT: 2,  # as TrainingArguments have it
}


@pytest.mark.parametrize("optimizer", STATES)
def test_an_optimisers_states_are_those_of_the_weights_that_train(optimizer):
    assert estimated(optim=optimizer).states == TRAINED * STATES[optimizer]


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_all_weights_are_stored_and_those_that_train_have_gradients(dtype, size):
    found = estimated(dtype)
    assert (found.weights, found.gradients) == (size * (TRAINED + FROZEN), size * TRAINED)
    assert found.states == 2 * size * TRAINED
    assert found.total == found.weights + found.gradients + found.states + found.activations


def test_gradients_are_there_twice_where_devices_share_nothing_else():
    found = estimated(world_size=2)
    assert found.gradients == 2 * estimated().gradients
    assert any("twice, for DDP" in note for note in found.notes)
    for sharding in ({"fsdp": ["full_shard"]}, {"deepspeed": "zero3.json"}):
        found = estimated(world_size=2, **sharding)
        assert found.gradients == estimated().gradients
        assert any("sharding divides" in note and "over 2 devices" in note for note in found.notes)


def test_buffers_are_stored_like_weights():
    model = nn.BatchNorm1d(3, affine=False)  # mean, variance and a count of 8 bytes
    arguments = SimpleNamespace(**DEFAULTS)
    assert memory_estimate(model, arguments, 0).weights == 2 * 3 * 4 + 8


def test_activations_are_those_of_each_example_and_half_in_the_place_of_float32():
    assert estimated(per_device_train_batch_size=3).activations == 3000
    assert estimated(per_device_train_batch_size=3, bf16=True).activations == 1500
    assert estimated(per_device_train_batch_size=3, fp16=True).activations == 1500
    assert estimated(torch.bfloat16, bf16=True).activations == 1000


@pytest.mark.parametrize(
    ("frozen", "head", "activations"),
    [
        (torch.uint8, torch.float32, 500),  # in 4 bits, beside what trains in float32
        (torch.bfloat16, torch.bfloat16, 1000),  # and LoRA of it in float32
    ],
)
def test_activations_are_half_only_where_all_that_trains_is_float32(frozen, head, activations):
    model = nn.Sequential(nn.Linear(4, 3).requires_grad_(False), nn.Linear(3, 2), nn.Linear(2, 1))
    for parameter in model[0].parameters():
        parameter.data = parameter.data.to(frozen)
    model[2].to(head)
    assert memory_estimate(model, SimpleNamespace(**DEFAULTS | {"bf16": True}), 1000).activations == activations


@pytest.mark.parametrize("name", ["gradient_checkpointing", "activation_checkpointing"])
def test_checkpointing_by_either_name_is_told_of_beside_the_activations(name):
    assert not any("checkpointing" in note for note in estimated().notes)
    assert any("gradient checkpointing keeps a fraction" in note for note in estimated(**{name: True}).notes)
