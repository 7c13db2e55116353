"""BLIP-2's querying transformer as a projector (Li et al., arXiv 2301.12597), from transformers."""

import torch
from torch import nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from ..learned_tokens import LearnedTokens


class QFormerProjector(nn.Module):
    """`num_latents` tokens of `hidden_size` from any number of vision features, which every layer looks at."""

    def __init__(self, input_size: int, hidden_size: int, num_latents: int, num_layers: int, num_heads: int):
        super().__init__()
        config = Blip2QFormerConfig(
            hidden_size=input_size,
            encoder_hidden_size=input_size,
            intermediate_size=4 * input_size,
            num_hidden_layers=num_layers,
            num_attention_heads=num_heads,
            cross_attention_frequency=1,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.latents = LearnedTokens(num_latents, input_size)
        self.qformer = Blip2QFormerModel(config)
        self.proj = nn.Linear(input_size, hidden_size)

    def forward(self, features: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(batch, features, input_size) -> (batch, num_latents, hidden_size).

        mask: (batch, features) bool, true on features that may be looked at; `None`: all.
        """
        queries = self.latents(features)
        seen = {} if mask is None else {"encoder_attention_mask": mask.long()}
        states = self.qformer(query_embeds=queries, encoder_hidden_states=features, **seen).last_hidden_state
        return self.proj(states)
