"""How far weights in int8, fp8 and int4 take actions and layers from bfloat16: tiny models of all families on a CPU."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn
from transformers.utils import logging

from vlahub.conversion.cli import main as vlahub_command
from vlahub.modeling.quantized_linear import QuantizedLinear

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from families import FAMILIES, Family  # the tiny models of the tests

KINDS = ("int8", "fp8", "int4")
SCENES, SIZE, WORST = 3, 64, 5  # of two images each, pixels of a side; layers that are named
HEADER = "| family | kind | actions | weights, median and largest | outputs of layers, median and largest |\n"
HEADER += "| --- | --- | --- | --- | --- |"


def main() -> None:
    """Print the table, and below it the layers of each model whose outputs change most. Needs torchao.

    All errors are norms of a difference over the norm of what bfloat16 gives, over `SCENES` predictions; that of
    bfloat16 itself is against float32. Of int4 the weights and outputs are those of the layers that are in 4 bits.
    """
    logging.disable_progress_bar()
    rows, layers = [], []
    for name, family in FAMILIES.items():
        with TemporaryDirectory() as folder:
            for row, worst in measured(name, family, Path(folder)):
                rows.append(row)
                layers.extend(worst)
    print(HEADER, *rows, "", *layers, sep="\n")


def measured(name: str, family: Family, folder: Path):
    """Lines of the table, each with those of its worst layers."""
    checkpoint = drawn_anew(family, family.make(folder / "tiny"), folder / "full")
    predict = predictions_of(family, checkpoint)
    full = family.model.from_pretrained(checkpoint, dtype=torch.bfloat16)
    actions = predict(full)
    exact = predict(family.model.from_pretrained(checkpoint, dtype=torch.float32))
    yield f"| {name} | bfloat16 | {relative(actions, exact):.1%} | | |", []
    for kind in KINDS:
        out = folder / kind
        if vlahub_command(["convert", str(checkpoint), str(out), "--quantize", kind, "--quiet"]):
            sys.exit(1)
        model = family.model.from_pretrained(out, dtype=torch.bfloat16)
        error = relative(predict(model), actions)
        layers = {
            n: each for n, each in model.named_modules() if isinstance(each, QuantizedLinear) and each.kind == kind
        }
        outputs = output_errors(full, layers, lambda: predict(full))
        weights = weight_errors(full, layers)
        cells = middle_and_largest(weights.values()), middle_and_largest(outputs.values())
        worst = sorted(outputs, key=outputs.__getitem__)[: -WORST - 1 : -1]
        lines = [f"{name} in {kind}: {layer} {outputs[layer]:.1%}" for layer in worst]
        yield f"| {name} | {kind} | {error:.1%} | {' | '.join(cells)} |", lines


def drawn_anew(family: Family, checkpoint: Path, out: Path) -> Path:
    """A checkpoint whose matrices are normal with variance 1 / inputs, so that every part tells in the actions: a new
    head, or FiLM, hardly does."""
    model = family.model.from_pretrained(checkpoint, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(std=parameter[0].numel() ** -0.5, generator=generator)
    model.save_pretrained(out)
    family.processor.from_pretrained(checkpoint).save_pretrained(out)
    return out


def predictions_of(family: Family, checkpoint: Path) -> Callable[[nn.Module], torch.Tensor]:
    """A function from a model to its actions in all scenes."""
    names = {"np": np}
    exec(family.call, names)
    processor = family.processor.from_pretrained(checkpoint)
    views = np.random.default_rng(0).integers(0, 255, (SCENES, 2, SIZE, SIZE, 3), dtype=np.uint8)
    inputs = [names["prepare"](processor, scene) for scene in views]

    def predict(model: nn.Module) -> torch.Tensor:
        torch.manual_seed(0)  # of the noise, where actions begin as noise
        return torch.stack([names["predict"](model, dict(scene)).float() for scene in inputs])

    return predict


@torch.no_grad()
def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected.float()).norm() / expected.float().norm())


def middle_and_largest(errors: Iterable[float]) -> str:
    errors = list(errors)
    return f"{median(errors):.1%}, {max(errors):.1%}"


def weight_errors(full: nn.Module, layers: dict[str, QuantizedLinear]) -> dict[str, float]:
    return {
        name: relative(layer.weight_as(torch.float32), full.get_submodule(name).weight)
        for name, layer in layers.items()
    }


def output_errors(full: nn.Module, layers: dict[str, QuantizedLinear], run: Callable[[], object]) -> dict[str, float]:
    """The error of each layer's outputs for the inputs that the full model's layer gets.

    run: a prediction of the full model.
    """
    errors: dict[str, list[float]] = {}
    hooks = []
    for name, layer in layers.items():

        def compare(_, inputs, output, name=name, layer=layer):
            errors.setdefault(name, []).append(relative(layer(*inputs), output))

        hooks.append(full.get_submodule(name).register_forward_hook(compare))
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    return {name: sum(found) / len(found) for name, found in errors.items()}
