"""Actions as tokens: uniform bins over [-1, 1], counted from the end of the vocabulary (RT-2; OpenVLA, 2406.09246).

Upstream: openvla/openvla, prismatic/vla/action_tokenizer.py.
"""

import torch


def bin_edges(num_bins: int, like: torch.Tensor) -> torch.Tensor:
    """`num_bins` evenly spaced edges over [-1, 1], float32."""
    return torch.linspace(-1, 1, num_bins, device=like.device, dtype=torch.float64).float()


def tokens_to_actions(token_ids: torch.Tensor, vocab_size: int, num_bins: int) -> torch.Tensor:
    """Token ids -> normalised values, the centres of the bins between the edges (one fewer than edges).

    vocab_size is the size without the rows that only pad the embedding. Ids outside the bins' range count as the
    nearest bin.
    """
    edges = bin_edges(num_bins, token_ids)
    centres = (edges[:-1] + edges[1:]) / 2
    return centres[(vocab_size - token_ids - 1).clamp(0, num_bins - 2)]


def actions_to_tokens(actions: torch.Tensor, vocab_size: int, num_bins: int) -> torch.Tensor:
    """Normalised values -> token ids: `vocab_size` minus the number of edges at or below the value."""
    edges = bin_edges(num_bins, actions)
    return vocab_size - torch.bucketize(actions.float().clamp(-1, 1), edges, right=True)
