"""Actions from noise by the DiT head: what does not change from step to step once, and then the steps.

The context holds tokens, masks and the keys and values of the VLM; what depends on the time alone (its waves, its
embedding, and how it modulates each block) is made for all steps in one product each. Arguments are checked and noise
is drawn before, so that `followed_dit` can be a part of a prediction's core.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ..ode_sampling import OdeSampling, asked_progress, integrate
from ..sampled_actions import repeated
from .dit_layers import DiTTime
from .null_condition import guided, twice


@dataclass
class DiTContext:
    """What a velocity depends on besides noisy actions and time; the same in every step of a prediction.

    tokens: (batch, tokens, hidden_size), the embedded state, where there is one, and the future tokens.
    layers: for each block, what it gets of the VLM: mask and states, or mask, `None`, keys and values; for a block
        that does not look at the VLM, nothing, or a mask.
    is_cross: whether blocks that look at the VLM look at nothing else.
    positions: (horizon, hidden_size), what is added to the actions, where the head has positions.
    embodiment_id: (batch,), where there are several embodiments.
    """

    tokens: torch.Tensor
    layers: list[tuple[torch.Tensor | None, ...]]
    is_cross: bool
    positions: torch.Tensor | None = None
    embodiment_id: torch.LongTensor | None = None

    def repeated(self, count: int) -> "DiTContext":
        """That of each sample `count` times, one behind the other; what cross-attention looks at once for all of them,
        see `DiTAttention.forward`."""
        layers = self.layers
        if not self.is_cross:
            layers = [tuple(repeated(each, count) for each in layer) for layer in layers]
        tokens, ids = repeated(self.tokens, count), repeated(self.embodiment_id, count)
        return DiTContext(tokens, layers, self.is_cross, self.positions, ids)


@torch.no_grad()
def followed_dit(
    head: nn.Module,
    vl_embs_list: Sequence[torch.Tensor],
    state: torch.Tensor | None,
    mask: torch.Tensor | None,
    noise: torch.Tensor,
    ode: OdeSampling,
    scale: float,
    embodiment_id: torch.LongTensor | None = None,
) -> torch.Tensor:
    """Normalised actions of the shape of `noise`, float32; asks no device and draws nothing.

    head: a `DiTActionHead`, see there for the VLM's arguments; noise: (batch, horizon, action_dim), or (batch,
        num_samples, horizon, action_dim); scale: of the guidance, 1 for none.
    """
    count, start = (1, noise) if noise.dim() == 3 else (noise.shape[1], noise.flatten(0, 1))
    context = sampling_context(head, vl_embs_list, state, mask, embodiment_id, count, scale != 1)
    times = dit_times(head, asked_progress(*ode), noise.device)

    def velocity(noisy_actions: torch.Tensor, progress: float) -> torch.Tensor:
        rows = noisy_actions if scale == 1 else twice(noisy_actions)
        found = head.velocity_in(context, rows, times[progress])
        return -(found if scale == 1 else guided(found, scale))

    return integrate(velocity, start, *ode).view(noise.shape)


def sampling_context(
    head: nn.Module,
    vl_embs_list: Sequence[torch.Tensor],
    state: torch.Tensor | None,
    mask: torch.Tensor | None,
    embodiment_id: torch.LongTensor | None,
    count: int,
    is_guided: bool,
) -> DiTContext:
    """Of each sample `count` times; where it is guided, all once more behind them, under the null condition."""
    if not is_guided:
        return head.prepare_context(vl_embs_list, state, mask, True, embodiment_id).repeated(count)
    both = [twice(vl_embs) for vl_embs in vl_embs_list]
    state, mask, embodiment_id = (twice(each) for each in (state, mask, embodiment_id))
    dropped = torch.arange(len(both[0]), device=both[0].device) >= len(both[0]) // 2
    return head.prepare_context(both, state, mask, True, embodiment_id, dropped).repeated(count)


def dit_times(head: nn.Module, progresses: Sequence[float], device: torch.device) -> dict[float, DiTTime]:
    """The time at each progress, in one row for all samples; filled in on the device, which need not wait."""
    buckets = torch.stack(
        [torch.full((), head.bucket_at(progress), dtype=torch.long, device=device) for progress in progresses]
    )
    times = head.at_times(buckets, ahead=True)
    rows = (slice(place, place + 1) for place in range(len(progresses)))
    return {progress: time_of_rows(times, chosen) for progress, chosen in zip(progresses, rows, strict=True)}


def time_of_rows(times: DiTTime, rows: slice) -> DiTTime:
    """Those rows alone."""
    waves = None if times.waves is None else times.waves[rows]
    return DiTTime(waves, times.temb[rows], tuple(each[rows] for each in times.modulations))
