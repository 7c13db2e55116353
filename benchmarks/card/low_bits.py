"""Weights in 8 and 4 bits: our own layers, what torchao makes of weights, and QLoRA over bitsandbytes."""

import copy
import importlib
import math
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from types import ModuleType

import torch
from packed_weights import fill
from peft import get_peft_model, prepare_model_for_kbit_training
from torch import nn
from transformers import BitsAndBytesConfig

import vlahub
from benchmarks.card import APART
from benchmarks.card.cases import Case, cases, on, placed, predict
from benchmarks.card.learning import relative
from benchmarks.card.results import Figure, Job, Skipped
from vlahub.conversion.quantised_layers import as_settings, layers_to_quantise
from vlahub.conversion.tensors.quantisation import quantise
from vlahub.modeling.quantized_linear import QuantizedLinear

KINDS = ("int8", "fp8", "int4")
SAME = 1e-4
NEAR = 0.9  # of a random model's actions, beside those in full precision; what has nothing to do with them is 1.4 away
STEPS, LEARNING_RATE = 5, 5e-4
LEARNT = 0.999  # of a later loss, over the first; without learning it is 1


def jobs(device: str, family: str | None) -> Iterator[Job]:
    for case in cases(family, is_first=True):
        for kind in KINDS:
            yield Job("low bits", f"{case.name}, {kind}", partial(own_layers, case, kind, device))
        for kind in KINDS:
            yield Job("low bits", f"{case.name}, {kind} by torchao", partial(by_torchao, case, kind, device))
        for bits in (8, 4):
            yield Job("low bits", f"{case.name}, {bits} bits by bitsandbytes", partial(qlora, case, bits, device))


# ---- our own layers


@torch.no_grad()
def own_layers(case: Case, kind: str, device: str) -> Iterator[Figure]:
    """Drawn numbers, beside the same ones as weights in float64 on the CPU: any device reads them alike."""
    tiny = case.tiny()
    model = quantised(tiny.model, kind)
    generator = torch.Generator().manual_seed(0)
    for layer in own_layers_of(model).values():
        fill(layer, generator)
    wanted = predict(with_full_weights(tiny.model, model).double(), on("cpu", tiny.prompt, torch.float64))
    found = predict(placed(model, device), on(device, tiny.prompt))
    yield Figure("actions", relative(found, wanted), SAME)


@torch.no_grad()
def by_torchao(case: Case, kind: str, device: str) -> Iterator[Figure]:
    needed("torchao")
    tiny = case.tiny()
    model, weights = quantised(tiny.model, kind), dict(tiny.model.named_modules())
    for name, layer in own_layers_of(model).items():
        layer.load_state_dict(quantise(weights[name].weight, layer.kind), strict=False)
    wanted = predict(placed(tiny.model, device), on(device, tiny.prompt))
    found = predict(placed(model, device), on(device, tiny.prompt))
    yield Figure("actions, beside full precision", relative(found, wanted), NEAR)


def quantised(full: nn.Module, kind: str) -> nn.Module:
    """The same model with layers of lower precision, whose numbers are still to come."""
    config = copy.deepcopy(full.config)
    config.weight_quantization = as_settings(layers_to_quantise(full, kind), kind)
    model = type(full)._from_config(config).eval()
    model.load_state_dict(full.state_dict(), strict=False)
    return model


def own_layers_of(model: nn.Module) -> dict[str, QuantizedLinear]:
    return {name: module for name, module in model.named_modules() if isinstance(module, QuantizedLinear)}


def with_full_weights(full: nn.Module, model: nn.Module) -> nn.Module:
    """A copy of a model with the weights that the layers of another stand for."""
    found = copy.deepcopy(full)
    modules = dict(found.named_modules())
    for name, layer in own_layers_of(model).items():
        modules[name].weight.copy_(layer.weight_as(torch.float32))
    return found


# ---- bitsandbytes


def qlora(case: Case, bits: int, device: str) -> Iterator[Figure]:
    """What is loaded predicts about what the full model does, and adapters over it learn."""
    needed("bitsandbytes")
    tiny = case.tiny()
    options = BitsAndBytesConfig(**{f"load_in_{bits}bit": True})
    with tempfile.TemporaryDirectory() as folder:
        tiny.model.save_pretrained(folder)
        placement = {"quantization_config": options, "dtype": torch.float32, "device_map": {"": device}}
        model = type(tiny.model).from_pretrained(folder, **placement)
    for module in model.modules():  # some processors repack weights of layers in evaluation mode, where they are larger
        if type(module).__module__.startswith("bitsandbytes"):
            module.train()
    batch, prompt = (on(device, each) for each in (tiny.batch, tiny.prompt))
    with torch.no_grad():
        wanted = predict(placed(tiny.model, device), prompt)
        yield Figure("actions, beside full precision", relative(predict(model, prompt), wanted), NEAR)
    losses = adapted(model.train(), batch)
    yield Figure("losses that are not finite", sum(not math.isfinite(loss) for loss in losses), 0)
    yield Figure("lowest later loss over the first", min(losses[1:]) / losses[0], LEARNT)


def adapted(model: nn.Module, batch: dict) -> list[float]:
    """Losses of a few steps of LoRA, with gradient checkpointing."""
    prepared = prepare_model_for_kbit_training(model, gradient_checkpointing_kwargs={"use_reentrant": False})
    model = get_peft_model(prepared, vlahub.lora_config(prepared, 4, 8))
    vlahub.freeze_unreached(model, batch)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)
    losses = []
    for _ in range(STEPS):
        torch.manual_seed(0)  # of the dropout
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def needed(package: str) -> ModuleType:
    """A package that need not be there; one that was carried along is found by others only where it works."""
    carried = str(APART / package)
    sys.path.append(carried)
    try:
        return importlib.import_module(package)
    except Exception as error:  # a build for another CUDA or torch fails in ways of its own
        sys.path.remove(carried)
        raise Skipped(f"{package} cannot be used here: {type(error).__name__}: {error}") from error
