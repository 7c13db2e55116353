"""Actions from noise by a flow-matching expert: the prefix once, and then steps in which nothing is made twice.

What does not change from step to step is made before the first: keys and values of the prefix, the state's token, the
time's tokens of all steps (in one product), masks and rotary embeddings. Arguments are checked and noise is drawn
before (`FlowMatchingActionExpert.sample_actions`), so that `followed_flow` can be a part of a prediction's core.
"""

from collections.abc import Sequence

import torch
from torch import nn

from .embodiments import ids_given
from .ode_sampling import OdeSampling, asked_progress, integrate, times_at
from .sampled_actions import repeated
from .stack_passes import PrefixCache


@torch.no_grad()
def followed_flow(
    expert: nn.Module,
    prefix_embs: torch.Tensor,
    state: torch.Tensor | None,
    attention_mask: torch.Tensor | None,
    position_ids: torch.LongTensor | None,
    noise: torch.Tensor,
    ode: OdeSampling,
    embodiment_id: torch.LongTensor | None = None,
) -> torch.Tensor:
    """Normalised actions of the shape of `noise`, float32; asks no device, draws nothing and checks nothing.

    expert: a `FlowMatchingActionExpert`; noise: (batch, num_action_chunks, action_dim), or (batch, num_samples,
        num_action_chunks, action_dim); the other arguments are as in the expert's `sample_actions`.
    """
    cache, attention_mask = expert.kept_prefix(prefix_embs, attention_mask, position_ids)
    count, start = (1, noise) if noise.dim() == 3 else (noise.shape[1], noise.flatten(0, 1))
    is_shared = attention_mask is None and position_ids is None  # a caller's own say nothing of samples
    mask, positions = (
        each if each is None or len(each) == 1 else repeated(each, count) for each in (attention_mask, position_ids)
    )
    if count > 1:
        cache = cache.shared(count) if is_shared else cache.repeated(count)
    rows = repeated(state, count), mask, positions, repeated(embodiment_id, count)
    step = FlowStep(expert, cache, *rows, asked_progress(*ode), count if is_shared else 1)
    return integrate(lambda actions, progress: step(actions, progress)[0], start, *ode).view(noise.shape)


class FlowStep:
    """A function of noisy actions (batch, num_action_chunks, action_dim) and progress that runs an expert's suffix over
    a kept prefix; its results are those of the expert's `read`.

    Args:
        expert: a `FlowMatchingActionExpert`.
        cache: as its network keeps a prefix; state, attention_mask, position_ids, embodiment_id: of the rows of noisy
            actions.
        progresses: where it will be asked, all of 0 to 1.
        samples: rows of one row of the cache, one behind the other, where it is `shared` by so many.
    """

    def __init__(
        self,
        expert: nn.Module,
        cache: PrefixCache,
        state: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        position_ids: torch.LongTensor | None,
        embodiment_id: torch.LongTensor | None,
        progresses: Sequence[float],
        samples: int = 1,
    ):
        self.expert, self.ids = expert, ids_given(embodiment_id)
        self.kept = {"attention_mask": attention_mask, "position_ids": position_ids, "past_key_values": cache}
        self.state_tokens = expert.state_tokens(state, *self.ids)
        self.progresses, self.time_tokens, self.samples = progresses, {}, samples

    def __call__(self, actions: torch.Tensor, progress: float) -> tuple[torch.Tensor, torch.Tensor]:
        action_tokens = self.expert.action_in_proj(actions.to(self.expert.dtype), *self.ids)
        time_token = self.time_token(progress, actions.device).expand(len(actions), -1, -1)
        suffix = torch.cat([*self.state_tokens, action_tokens, time_token], dim=1)
        together = suffix.reshape(len(suffix) // self.samples, -1, suffix.shape[-1])
        (_, suffix_out), _ = self.expert.llava_with_expert(inputs_embeds=[None, together], **self.kept)
        return self.expert.read(suffix_out.reshape(suffix.shape), *self.ids)

    def time_token(self, progress: float, device: torch.device) -> torch.Tensor:
        """(1, 1, hidden_size); the first call makes those of all steps."""
        if progress not in self.time_tokens:
            places = self.progresses if progress in self.progresses else [progress]
            tokens = self.expert.time_tokens(times_at(places, device)).split(1)
            self.time_tokens.update(zip(places, tokens, strict=True))
        return self.time_tokens[progress]
