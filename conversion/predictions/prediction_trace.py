"""What a prediction came from, as values for a picture; how each family finds it out is in its folder.

Everything is of one sample, in arrays on the host.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...configuration.vla_errors import InputError
from ...modeling.action_normalization import find_statistics, unnormalize
from .shown_views import given_views


@dataclass(frozen=True)
class Asked:
    """One prediction that is asked for.

    Attributes:
        images: views as a caller gave them, a list or a dict by name.
        text: the instruction.
        inputs: what the processor made of them, a batch of one, on the model's device.
        options: further arguments of `predict_action`, such as `unnorm_key` and `num_samples`.
    """

    images: Any
    text: str
    inputs: Mapping[str, Any]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Drawn:
    """The chunks that were predicted, one or several samples.

    Attributes:
        actions: (samples, num_action_chunks, action_dim) in the robot's units; the first is what a robot would execute.
        spread: (num_action_chunks, action_dim), standard deviation of the samples in the robot's units; `None`: one
            chunk was asked for.
        entropy: (num_action_chunks, action_dim) in nats, of tokens that were drawn.
    """

    actions: np.ndarray
    spread: np.ndarray | None = None
    entropy: np.ndarray | None = None


@dataclass(frozen=True)
class PatchAttention:
    """Where the learned tokens of one vision encoder look.

    Attributes:
        encoder: its name.
        weights: (views, tokens, patches), what each token gives to each patch, row by row of the grid; adds up to 1.
        on_patches: (views, tokens), share of all its attention that falls on patches, and not on tokens beside them.
        grid: rows and columns of patches.
    """

    encoder: str
    weights: np.ndarray
    on_patches: np.ndarray
    grid: tuple[int, int]


@dataclass(frozen=True)
class KeptTokens:
    """The vision tokens that each pruning layer of the language model reads.

    Attributes:
        kept: `{layer: (views, tokens of a view) bool}`.
        num_layers: of the language model, pruning or not.
        grid: rows and columns where a token is a patch; `None`: it is a learned one.
    """

    kept: Mapping[int, np.ndarray]
    num_layers: int
    grid: tuple[int, int] | None

    def shares(self) -> np.ndarray:
        """(num_layers, views), the share of each view's tokens that a layer reads; 1 where nothing is pruned."""
        views = len(next(iter(self.kept.values())))
        rows = [self.kept[i].mean(axis=1) if i in self.kept else np.ones(views) for i in range(self.num_layers)]
        return np.stack(rows)


@dataclass(frozen=True)
class PredictionTrace:
    """Of one prediction; what a model has not is `None` or empty.

    Attributes:
        drawn: what was predicted.
        views: of each camera (height, width, 3) uint8, as the model saw it, or as it was given where `as_seen` is
            false.
        attention: of each encoder with learned tokens.
        kept: of the layers that prune.
        encoders, encoder_weights: names, and (views, encoders), what each vision encoder weighs for each view.
        path: (steps + 1, num_action_chunks, action_dim) in the robot's units, the first sample from noise to actions.
        grounding: (views,), cosine of each view and the instruction.
    """

    drawn: Drawn
    views: list[np.ndarray]
    as_seen: bool = True
    attention: tuple[PatchAttention, ...] = ()
    kept: KeptTokens | None = None
    encoders: tuple[str, ...] = ()
    encoder_weights: np.ndarray | None = None
    path: np.ndarray | None = None
    grounding: np.ndarray | None = None


Trace = Callable[[Any, Any, Asked], PredictionTrace]  # of model, processor, what is asked


def traced_plainly(model: Any, processor: Any, asked: Asked) -> PredictionTrace:
    """Of any robot's model: the views as they were given, and the prediction."""
    drawn = predicted(model, asked)
    return PredictionTrace(drawn, given_views(processor, asked.images, asked.text), as_seen=False)


def predicted(model: Any, asked: Asked) -> Drawn:
    """The prediction itself, by the model's `predict_action`.

    Raises:
        InputError: there are several samples in the batch: a picture shows one.
    """
    rows = len(asked.inputs["input_ids"])
    if rows != 1:
        raise InputError(f"a picture shows one observation, the inputs have {rows}; draw each in a call of its own.")
    found = model.predict_action(**asked.inputs, **asked.options)
    if asked.options.get("num_samples") is None:
        return Drawn(on_host(found))
    entropy = None if found.entropy is None else on_host(found.entropy[0])
    return Drawn(on_host(found.actions[0]), on_host(found.spread[0]), entropy)


def path_of(model: Any, asked: Asked, states: list[torch.Tensor], drawn: Drawn) -> np.ndarray:
    """`PredictionTrace.path` of the first sample.

    states: normalised, (rows, num_action_chunks, action_dim) each, at the beginning of each step; the first row counts.
    """
    way = torch.stack([state[0].float().cpu().reshape(drawn.actions.shape[1:]) for state in states])
    statistics = find_statistics(model.config.norm_stats, asked.options.get("unnorm_key"))["action"]
    way = unnormalize(way, statistics, model.config.normalization_type).numpy()
    return np.concatenate([way, drawn.actions[:1]])


def on_host(tensor: torch.Tensor) -> np.ndarray:
    """As float32."""
    return tensor.detach().float().cpu().numpy()
