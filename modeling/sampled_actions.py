"""Several chunks for one observation, and what they tell about how sure a model is.

Heads that begin with noise draw chunks by their noise; heads of tokens draw them by the probabilities of their bins,
whose entropy is known beside the draws. A head of regression has one answer, and nothing to draw.
"""

from dataclasses import dataclass

import torch
from transformers.modeling_outputs import ModelOutput

from ..configuration.vla_errors import InputError


@dataclass
class SampledActions(ModelOutput):
    """What `predict_action(..., num_samples=n)` returns, of every family; float32.

    Attributes:
        actions: (batch, num_samples, num_action_chunks, action_dim) in robot units.
        normalized_actions: the same before un-normalisation.
        spread: (batch, num_action_chunks, action_dim), the standard deviation of the samples about their mean, in robot
            units; 0 for one sample.
        entropy: (batch, num_action_chunks, action_dim) in nats, of heads of tokens: of the probabilities among the bins
            of each token, from 0 (sure) to the logarithm of their number. Where a token is read after those before it
            (OpenVLA), the mean over the samples.
        mean_entropy: (batch,), over the tokens of the chunk.
    """

    actions: torch.Tensor | None = None
    normalized_actions: torch.Tensor | None = None
    spread: torch.Tensor | None = None
    entropy: torch.Tensor | None = None
    mean_entropy: torch.Tensor | None = None


def check_num_samples(num_samples: int, draws: bool, head: str) -> None:
    """Refuse a number that is none above 0, and a head that has one answer; head: what it is, for the message."""
    if not draws:
        raise InputError(
            f"num_samples={num_samples!r}: {head} predicts one chunk and draws none, so that samples do not differ; "
            "leave it out. Heads of flow matching, diffusion and tokens draw."
        )
    if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples < 1:
        raise InputError(f"num_samples={num_samples!r} must be a whole number above 0.")


def repeated(tensor: torch.Tensor | None, count: int) -> torch.Tensor | None:
    """Each row of (batch, ...) `count` times, one behind the other; `None` as it is."""
    return tensor if tensor is None or count == 1 else tensor.repeat_interleave(count, dim=0)


def with_spread(actions: torch.Tensor, normalized: torch.Tensor, entropy: torch.Tensor | None = None) -> SampledActions:
    """Samples with what they tell; all arguments as the attributes of `SampledActions`."""
    mean = None if entropy is None else entropy.flatten(1).mean(dim=1)
    return SampledActions(actions, normalized, actions.std(dim=1, correction=0), entropy, mean)


def token_entropy(logits: torch.Tensor) -> torch.Tensor:
    """Of (..., bins), in nats and float32, (...)."""
    return torch.special.entr(logits.float().softmax(dim=-1)).sum(dim=-1)


def drawn_bins(logits: torch.Tensor, exponentials: torch.Tensor | None = None) -> torch.Tensor:
    """Numbers of bins (...), drawn by the probabilities of logits (..., bins) without asking the device.

    The largest of probabilities over exponential noise falls on each bin as often as its probability says.

    exponentials: that noise, (..., bins) in float32, where a core of a prediction, which draws nothing, was given it.
    """
    probabilities = logits.float().softmax(dim=-1)
    noise = torch.empty_like(probabilities).exponential_() if exponentials is None else exponentials
    return (probabilities / noise).argmax(dim=-1)
