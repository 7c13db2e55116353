"""The last step of a prediction: it is finite, or it is an error.

The output alone does not tell on a CPU: where all scores of a query are NaN, torch's attention answers zeros
(`scaled_dot_product_attention` without a mask, torch 2.13; its plain form answers NaN). So weights that lie on a CPU
are looked at, too, in one pass over them, but for those that a model knows to reveal themselves in what it answers
(`revealing_layers.py`). Those on an accelerator are not: that would read all of them once more.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn

from ..configuration.normalization_statistics import LARGEST, STATISTICS
from ..configuration.vla_errors import NonFiniteError
from .fused_linears import is_plain
from .input_checks import check_rows

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
SHOWN = 4
NOT_FINITE = (
    "The prediction, or what it was computed from, is NaN or infinite: call predict_action uncompiled, which "
    "says where."
)


def finite_rows(values: torch.Tensor) -> torch.Tensor:
    """(batch,) bool: whether all values of a row of (batch, ...) are finite, without waiting for a device."""
    return values.isfinite().flatten(1).all(dim=1)


def is_whole(
    outputs: Mapping[str, torch.Tensor | None],
    inputs: Mapping[str, torch.Tensor | None],
    real: torch.Tensor | None = None,
) -> torch.Tensor:
    """Bool, of no dimension: whether all is finite and each row had a text, all arguments as in `require_finite`.

    It asks no device, so that a prediction's core can end with it, and passes once over each tensor.
    """
    tensors = [each for each in (*given(outputs).values(), *given(inputs).values()) if each.numel()]
    device = tensors[0].device
    flags = [each.all().to(device) for each in tensors if each.dtype == torch.bool]
    finite = all_finite([each for each in tensors if each.dtype != torch.bool])
    flags += [] if finite is None else [finite.to(device)]
    if real is not None:
        flags.append(real.ne(0).any(dim=1).all().to(device))
    return torch.stack(flags).all()


def require_finite(
    model: nn.Module,
    outputs: Mapping[str, torch.Tensor | None],
    inputs: Mapping[str, torch.Tensor | None],
    statistics: Mapping[str, Any] | None = None,
    real: torch.Tensor | None = None,
    whole: torch.Tensor | None = None,
    revealing: Iterable[nn.Module] = (),
) -> None:
    """Look at a prediction and at what it was computed from; a device is asked once, when all is computed.

    In a compiled prediction the look is part of the graph (`torch._assert_async`): what is not finite ends it with a
    RuntimeError that names nothing, and on CUDA with a failed device-side assertion, after which the process cannot use
    the device any more. torch leaves gradients switched off behind a compiled function under `no_grad` that raised. Who
    has to go on passes `check_finite=False` and looks at the actions.

    Args:
        model: that made it.
        outputs: (batch, ...) each; what a later step could hide (logits of a token that is chosen, noise that is
            clipped) comes as the (batch,) bool of `finite_rows`.
        inputs: tensors of any shape; what a model did not get is `None`.
        statistics: those that the prediction was un-normalised with, `{"q01": [...], ...}`; read for the message.
        real: (batch, length), 0 on padding, of which no row may have nothing else.
        whole: `is_whole` of the same, where the core of the prediction has computed it.
        revealing: linear layers of the model whose weights, where they are not finite, show in `outputs` or have no
            part in them; see `revealing_layers.py`. They are looked at where they are more than that.

    Raises:
        NonFiniteError: something is not; the message names it, with the rows of the batch.
        InputError: a row of `real` is padding alone.
    """
    whole = is_whole(outputs, inputs, real) if whole is None else whole
    on_cpu = all_finite(unrevealed_on_cpu(model, revealing))
    if torch.compiler.is_compiling():
        if real is not None:
            check_rows(real)
        torch._assert_async(whole if on_cpu is None else whole & on_cpu.to(whole.device), NOT_FINITE)
        return
    if torch.stack([flag for flag in (whole.cpu(), on_cpu) if flag is not None]).all():
        return
    if real is not None:
        check_rows(real)
    raise NonFiniteError(what_is_not(model, outputs, inputs, statistics))


def what_is_not(
    model: nn.Module,
    outputs: Mapping[str, torch.Tensor | None],
    inputs: Mapping[str, torch.Tensor | None],
    statistics: Mapping[str, Any] | None,
) -> str:
    """The message, for which everything is looked at by its name; arguments as in `require_finite`."""
    rows = {name: each if each.dtype == torch.bool else finite_rows(each) for name, each in given(outputs).items()}
    wrong = {name: (~flags).nonzero().flatten().tolist() for name, flags in rows.items() if not flags.all()}
    sources = [name for name, each in given(inputs).items() if not each.isfinite().all()]
    if statistics:
        sources += [f"statistics[{name!r}]" for name in wrong_statistics(statistics, model.config.normalization_type)]
    weights = [name for name, tensor in weights_on_cpu(model) if not all_finite([tensor])]
    sources += weights[:SHOWN] + [f"{len(weights) - SHOWN} more weights"] * (len(weights) > SHOWN)
    return " ".join([said_of(wrong), said_of_sources(sources)])


def weights_on_cpu(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers in floating point, by name, as far as they lie on a CPU."""
    named = chain(model.named_parameters(), model.named_buffers())
    return ((name, part) for name, each in named for part in stored_parts(each) if is_on_cpu(part))


def unrevealed_on_cpu(model: nn.Module, revealing: Iterable[nn.Module]) -> list[torch.Tensor]:
    """Those of `weights_on_cpu` that have to be looked at: not those of plain linear layers that reveal themselves."""
    known = {linear for linear in revealing if is_plain(linear)}
    others = [module for module in model.modules() if module not in known]
    tables = [table for module in others for table in (module._parameters, module._buffers) if table]
    tensors = [each for table in tables for each in table.values() if each is not None]
    return [part for each in tensors for part in stored_parts(each) if is_on_cpu(part)]


def stored_parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """The tensor itself; of a weight that torchao quantised, which knows few operations, what it is stored as."""
    if type(tensor) in (torch.Tensor, nn.Parameter) or not hasattr(tensor, "tensor_data_names"):
        return [tensor]
    found = [getattr(tensor, name) for name in tensor.tensor_data_names]
    return [part for each in found for part in stored_parts(each)]


def is_on_cpu(tensor: torch.Tensor) -> bool:
    """Whether it holds numbers in floating point, and on a CPU."""
    return tensor.dtype in FLOATING and tensor.device.type == "cpu" and tensor.numel() > 0


def all_finite(tensors: list[torch.Tensor]) -> torch.Tensor | None:
    """Bool, of no dimension: whether all values of all tensors are finite, in one pass and without a copy.

    It lies where the first of them does; `None` for no tensors. Minimum and maximum of a tensor are NaN where one value
    is. They are looked at together: several small operations a tensor would cost as much as the pass.
    """
    if not tensors:
        return None
    with torch.no_grad():
        ends = [end for tensor in tensors for end in torch.aminmax(tensor)]
        if len({(end.dtype, end.device) for end in ends}) > 1:
            widest = torch.float64 if any(end.dtype == torch.float64 for end in ends) else torch.float32
            ends = [end.to(ends[0].device, widest) for end in ends]
        return torch.stack(ends).isfinite().all()


def given(tensors: Mapping[str, torch.Tensor | None]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def said_of(wrong: Mapping[str, list[int]]) -> str:
    if not wrong:
        return "The prediction was computed from values that are NaN or infinite:"
    parts = ", ".join(f"{name} (rows {rows} of the batch)" for name, rows in wrong.items())
    return f"The prediction is NaN or infinite in its {parts};"


def said_of_sources(sources: list[str]) -> str:
    if sources:
        return f"not finite among what it was computed from: {', '.join(sources)}."
    return (
        "all that it was computed from is finite: look for weights that are not, or use a dtype with a larger range "
        "than float16."
    )


def wrong_statistics(statistics: Mapping[str, Any], normalization_type: str) -> list[str]:
    """Names of the lists that this kind of normalisation reads and float32 cannot hold, in dimensions that the mask
    does not leave out; statistics may hold more beside them, such as names and counts."""
    found = []
    for name in STATISTICS[normalization_type]:
        values, mask = np.asarray(statistics[name], np.float64), statistics.get("mask")
        read = np.ones(len(values), bool) if mask is None or not len(mask) else np.asarray(mask, bool)
        if not (np.abs(values[read]) <= LARGEST).all():
            found.append(name)
    return found
