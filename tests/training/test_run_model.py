"""The model of a fine-tune: loaded as the options say, and told by them what trains, and how fast."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vlahub.training.finetuning import run_model
from vlahub.training.finetuning.options import FinetuneOptions
from vlahub.training.finetuning.run_model import first_pass, load_model, with_what_trains

TEXT = ({"learn_text": True}, {"trajectory_text": True})


def options_of(**given):
    return FinetuneOptions(model="base", dataset="data", **given)


@pytest.fixture
def asked(monkeypatch):
    """What is asked for by name, with the arguments; `asked("groups")` of a call."""
    found = []

    def stand_in(name, returned):
        def call(*given, **named):
            found.append((name, given, named))
            return returned or f"{name} of {given[0]}"

        return call

    monkeypatch.setattr(run_model, "lora_config", stand_in("config", "LoRA"))
    monkeypatch.setattr(run_model, "trainable_parameter_groups", stand_in("groups", ["groups"]))
    monkeypatch.setattr(run_model, "set_stop_gradient", stand_in("stop", None))
    monkeypatch.setattr("peft.get_peft_model", stand_in("adapted", None))
    monkeypatch.setattr("peft.prepare_model_for_kbit_training", stand_in("prepared", None))
    return found


def arguments_of(**given):
    return SimpleNamespace(**{"learning_rate": 0.25, "gradient_checkpointing": False} | given)


# ---- what trains


@pytest.mark.parametrize("text", [{}, *TEXT], ids=str)
def test_an_adapter_is_of_the_rank_and_alpha_that_were_asked_for(asked, text):
    model, groups = with_what_trains("model", options_of(rank=3, alpha=5, **text), arguments_of())
    assert (model, groups) == ("adapted of model", None)
    assert asked == [("config", ("model", 3, 5), {"action_loss_only": not text}), ("adapted", ("model", "LoRA"), {})]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_weights_in_4_bits_are_prepared_before_they_get_an_adapter(asked, checkpointing):
    arguments = arguments_of(gradient_checkpointing=checkpointing)
    model, _ = with_what_trains("model", options_of(quantize=True), arguments)
    assert model == "adapted of prepared of model"
    assert asked[0] == ("prepared", ("model", checkpointing), {}) and asked[1][1][0] == "prepared of model"


@pytest.mark.parametrize("text", [{}, *TEXT], ids=str)
@pytest.mark.parametrize(("train", "layers"), [("A", 0), ("B", 7), ("full", 0), ("vlm", 0)])
def test_groups_have_the_layers_and_the_rates_that_were_asked_for(asked, train, layers, text):
    options = options_of(train=train, top_layers=7, backbone_lr_scale=0.5, vision_lr_scale=0.75, **text)
    assert with_what_trains("model", options, arguments_of()) == ("model", ["groups"])
    only = {"action_loss_only": train != "vlm" and not text, "vision_lr_scale": 0.75, "lr": 0.25}
    assert asked == [("groups", ("model", train, layers, 0.5), only)]


@pytest.mark.parametrize("train", ["A", "full", "lora"])
@pytest.mark.parametrize("stop", [None, False, True])
@pytest.mark.parametrize("text", [{}, *TEXT], ids=str)
def test_a_gradient_is_stopped_or_not_where_the_options_say_either(asked, train, stop, text):
    with_what_trains("model", options_of(train=train, stop_grad_from_vlm=stop, **text), arguments_of())
    found = [given for name, given, _ in asked if name == "stop"]
    assert found == ([] if stop is None else [("model", stop, train != "A", bool(text))])
    assert stop is None or asked[0][0] == "stop"  # what trains depends on it


# ---- what is loaded


@pytest.mark.parametrize("quantize", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_are_loaded_in_the_dtype_that_was_asked_for(dtype, quantize, monkeypatch):
    loaded = []
    monkeypatch.setattr(run_model, "quantization_config", lambda config: f"4 bits of {config}")
    monkeypatch.setattr(run_model.AutoConfig, "from_pretrained", lambda place: f"config of {place}")
    by = run_model.AutoModelForImageTextToText
    monkeypatch.setattr(by, "from_pretrained", lambda place, **named: loaded.append((place, named)))
    load_model(options_of(dtype=dtype, quantize=quantize))
    more = {"quantization_config": "4 bits of config of base"} if quantize else {}
    assert loaded == [("base", {"dtype": getattr(torch, dtype), **more})]


# ---- its first pass


def test_a_first_pass_says_its_loss_and_freezes_what_that_does_not_reach(monkeypatch):
    model = nn.ModuleDict({"used": nn.Linear(2, 1), "beside": nn.Linear(2, 1)})
    model["used"].register_buffer("scale", torch.full((3, 1), 0.5))
    monkeypatch.setattr(run_model, "loss_of_batch", lambda model, x: (model["used"](x) * model["used"].scale).sum())
    found = first_pass(model, x := torch.ones(3, 2))
    assert found.loss == pytest.approx(model["used"](x).sum().item() / 2)
    assert found.activation_bytes == x.nbytes  # nor are buffers activations
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {"used.weight", "used.bias"}
