"""Attention of many samples over one prefix: its keys are in memory once, and are read once for all samples.

Samples of one prompt differ in what was written behind it. Their queries are rows of one matrix product with the
prompt's keys, as are the query heads of one key head; each sample's own keys are a second product, and one softmax goes
over both.
"""

import torch

KeysValues = tuple[torch.Tensor, torch.Tensor]


def shared_prefix_attention(
    queries: torch.Tensor, shared: KeysValues, own: KeysValues, bias: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Attention of each row over the prefix of its sample's prompt, and behind it over keys of its own.

    Products are in the queries' dtype, the softmax in float32; no key is copied.

    Args:
        queries: (batch * samples, heads, tokens, head_dim), samples of one prompt one behind the other.
        shared: keys and values of prefixes, (batch, key heads, prefix length, head_dim); as many query heads for each.
        own: the same of each row, (batch * samples, key heads, room, head_dim).
        bias: of `prefix_bias`, what may be looked at.
        scaling: of the scores, in most models `head_dim ** -0.5`.

    Returns:
        (batch * samples, tokens, heads * head_dim).
    """
    batch, key_heads, length = shared[0].shape[:3]
    rows, heads, tokens, _ = queries.shape
    samples, groups = rows // batch, heads // key_heads
    by_row = queries.reshape(batch, samples, key_heads, groups * tokens, -1)
    by_head = by_row.transpose(1, 2)  # (batch, key heads, samples, groups * tokens, head_dim)
    own_keys, own_values = (each.unflatten(0, (batch, samples)) for each in own)
    over_shared = by_head.flatten(2, 3) @ shared[0].mT
    over_own = by_row @ own_keys.mT
    scores = torch.cat([over_shared.unflatten(2, (samples, -1)), over_own.transpose(1, 2)], dim=-1)
    scores = torch.add(bias, scores.unflatten(3, (groups, tokens)), alpha=scaling)
    weights = scores.softmax(dim=-1).to(queries.dtype).flatten(3, 4)
    from_shared = (weights[..., :length].flatten(2, 3) @ shared[1]).unflatten(2, (samples, -1))
    from_own = weights[..., length:].transpose(1, 2) @ own_values
    mixed = from_own + from_shared.transpose(1, 2)  # (batch, samples, key heads, groups * tokens, head_dim)
    return mixed.unflatten(3, (groups, tokens)).permute(0, 1, 4, 2, 3, 5).reshape(rows, tokens, -1)


def prefix_bias(shared: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """What is added to scores: 0 where a key may be looked at, minus infinity elsewhere; one for all layers.

    Args:
        shared: (batch, prefix length) bool, true on tokens of prefixes and false on their padding.
        own: (batch or 1, samples or 1, tokens or 1, room) bool, true where a token may look at its row's own keys.
            Every token sees some key.

    Returns:
        (batch, 1, samples or 1, 1, tokens or 1, prefix length + room), float32.
    """
    own = own.expand(len(shared), -1, -1, -1)
    seen = torch.cat([shared[:, None, None].expand(*own.shape[:3], -1), own], dim=-1)
    return torch.zeros_like(seen, dtype=torch.float32).masked_fill(~seen, float("-inf"))[:, None, :, None]
