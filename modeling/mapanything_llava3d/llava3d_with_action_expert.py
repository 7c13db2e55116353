"""Two stacks of decoder layers that attend together: a language model and a second, narrower one, the action expert.

In every paired layer each stream has its own norms, projections and MLP; keys and values are common. Because the
prefix never sees the suffix, a pass of the prefix that keeps its keys and values, followed by a pass of the suffix
over them, gives exactly the joint pass; training and sampling both run that way, through the stock layers of
transformers. Only a caller's own 4-D mask needs the joint pass in one piece.
The design is pi0's (arXiv 2410.24164); `LLaVA3DWithActionExpertModel` is named, but not published, in
3dvla-starvla_framework.
"""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import LlamaModel, MistralModel, PretrainedConfig, PreTrainedModel
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb, repeat_kv

from ...configuration.language_model_config import as_expert_config
from ...configuration.vla_errors import InputError
from ..attention import attend
from ..joint_attention import prefix_mask, prefix_padding, suffix_mask
from ..module_reference import ModuleReference
from ..new_parts import stack_of
from ..prefix_cache import KeyValueCollector, PrefixCache, run_layer
from ..sharded_layer import tie_keys_and_values

STACKS = {"llama": LlamaModel, "mistral": MistralModel}
HIDDEN = -30000.0  # of an additive mask: no key; float16 holds it, too
ROOM = 64  # for a suffix behind a kept prefix: state, time and up to 62 actions; more makes the cache grow once


class LLaVA3DWithActionExpertModel(PreTrainedModel):
    """The base language model with the expert joined to it.

    Args:
        language_model: the base; a causal language model or its stack. It is used and not owned: its parameters do
            not appear among those of this module.
        expert_config: the expert's stack; default the base's at half its width. Heads and head size are the base's.
        expert_layer_alignment: `top` or `even`, see `MapAnythingLlava3DConfig`.
        prefix_attention: `bidirectional` or `causal`, where no 4-D mask says otherwise.
    """

    supports_gradient_checkpointing = True
    _no_split_modules = ["LlamaDecoderLayer", "MistralDecoderLayer"]
    _supports_sdpa = True

    def __init__(
        self,
        language_model: nn.Module,
        expert_config: PretrainedConfig | None = None,
        expert_layer_alignment: str = "top",
        prefix_attention: str = "bidirectional",
    ):
        base = stack_of(language_model)
        if expert_config is None:
            expert_config = as_expert_config(base.config)
            expert_config._attn_implementation = base.config._attn_implementation
        super().__init__(expert_config)
        self._base = ModuleReference(base)
        tie_keys_and_values(base.layers[-1])
        self.expert = STACKS[expert_config.model_type](expert_config)
        self.expert.embed_tokens = None
        self.partners = paired_layers(len(base.layers), len(self.expert.layers), expert_layer_alignment)
        self.causal_prefix = prefix_attention == "causal"
        self.gradient_checkpointing = False
        self.post_init()

    @property
    def base(self) -> nn.Module:
        """The base's stack."""
        return self._base.module

    @property
    def hidden_size(self) -> int:
        """Width of the prefix."""
        return self.base.config.hidden_size

    @property
    def expert_hidden_size(self) -> int:
        """Width of the suffix."""
        return self.expert.config.hidden_size

    def forward(
        self,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: PrefixCache | None = None,
        inputs_embeds: list[torch.Tensor | None] | None = None,
        use_cache: bool = False,
    ) -> tuple[list[torch.Tensor | None], PrefixCache | None]:
        """One pass of the prefix, of the suffix over a kept prefix, or of both.

        Args:
            inputs_embeds: `[prefix_embs, suffix_embs]`, (batch, prefix length, hidden_size) and (batch, suffix length,
                expert_hidden_size); either may be `None`.
            attention_mask: (batch, prefix length), 0 on padding, or an additive mask (batch, 1, length, length) of
                prefix and suffix together, of which a pass of one takes its part; without it nothing is padded.
            position_ids: (batch, length), of prefix and suffix together, or only of what is passed; without it tokens
                that are not padding are counted.
            past_key_values: the kept prefix, for a pass of the suffix alone. It is not changed by it.
            use_cache: keep the prefix.

        Returns:
            `([prefix_out, suffix_out], cache)`: states after the final norms, as wide as what went in.

        Raises:
            InputError: an argument is missing or has the wrong shape.
        """
        prefix, suffix = inputs_embeds or (None, None)
        if prefix is None and suffix is None:
            raise InputError("inputs_embeds must hold [prefix_embs, suffix_embs]; one of them may be None.")
        if prefix is None:
            if past_key_values is None:
                raise InputError("past_key_values is missing: a suffix alone needs the kept prefix it belongs to.")
            return [None, self.run_suffix(suffix, past_key_values, attention_mask, position_ids)], past_key_values
        if suffix is not None and position_ids is not None:
            checked_positions(position_ids, prefix, prefix.shape[1] + suffix.shape[1])
        is_4d = attention_mask is not None and attention_mask.dim() == 4
        if suffix is not None and is_4d:
            if use_cache:
                raise InputError("use_cache=True needs a pass of the prefix alone where the mask is 4-D.")
            return self.run_jointly(prefix, suffix, attention_mask, position_ids), None
        prefix_out, cache, _ = self.run_prefix(
            prefix, attention_mask, position_ids, keep=use_cache or suffix is not None
        )
        suffix_out = None if suffix is None else self.run_suffix(suffix, cache, None, position_ids)
        return [prefix_out, suffix_out], cache if use_cache else None

    def run_prefix(
        self,
        prefix: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        keep: bool = True,
    ) -> tuple[torch.Tensor, PrefixCache | None, list[torch.Tensor]]:
        """The base over the prefix; arguments as in `forward`.

        Returns the states after the final norm, the kept keys and values, and the states after each layer, the last
        of them after the final norm.
        """
        length = prefix.shape[1]
        mask, real, positions = self.prefix_attention_inputs(prefix, attention_mask)
        if position_ids is not None:
            positions = checked_positions(position_ids[:, :length], prefix, length)
        rotary = self.base.rotary_emb(prefix, positions)
        room = 0 if torch.is_grad_enabled() else ROOM
        cache = PrefixCache(prefix.shape[0], length, real, room) if keep else None
        states = []
        for layer in self.base.layers:
            prefix, keys, values = self.maybe_checkpointed(prefix_layer, layer, prefix, mask, *rotary)
            if cache is not None:
                cache.append(keys, values)
            states.append(prefix)
        states[-1] = self.base.norm(prefix)
        return states[-1], cache, states

    def prefix_attention_inputs(
        self, prefix: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor]:
        """Mask, padding and positions of the prefix; mask and padding are `None` where everything sees everything."""
        batch, length = prefix.shape[:2]
        counted = torch.arange(length, device=prefix.device).expand(batch, -1)
        if attention_mask is None and not self.causal_prefix:
            return None, None, counted
        if attention_mask is not None and attention_mask.dim() == 4:
            if min(attention_mask.shape[2:]) < length:
                raise InputError(f"attention_mask {tuple(attention_mask.shape)} is smaller than the prefix ({length}).")
            return fitted(attention_mask[:, :, :length, :length], prefix.dtype), None, counted
        real = prefix_padding(prefix, attention_mask)
        kind = self.base.config._attn_implementation
        mask, positions = prefix_mask(real, self.causal_prefix, prefix.dtype, kind)
        return mask, real if attention_mask is not None else None, positions

    def run_suffix(
        self,
        suffix: torch.Tensor,
        cache: PrefixCache,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
    ) -> torch.Tensor:
        """The expert over the suffix and a kept prefix; without mask and positions those of the prefix's pass go on."""
        length, kind = suffix.shape[1], self.expert.config._attn_implementation
        if attention_mask is None:
            mask = cache.suffix_mask(length, suffix.dtype, kind)
        elif attention_mask.dim() == 4:
            mask = fitted(suffix_rows(attention_mask, length, cache.length), suffix.dtype)
        else:
            real = prefix_padding(suffix.new_empty(suffix.shape[0], cache.length), attention_mask)
            mask = suffix_mask(real, length, suffix.dtype, kind)
        if position_ids is None:
            positions = cache.suffix_positions(length, suffix.device)
        else:
            positions = checked_positions(position_ids, suffix, length, cache.length + length)[:, -length:]
        rotary = self.base.rotary_emb(suffix, positions)
        cache.reserve(length, suffix.dtype)
        for layer, partner in zip(self.expert.layers, self.partners, strict=True):
            keys_values = cache.extender(partner)
            suffix = self.maybe_checkpointed(suffix_layer, layer, suffix, mask, *rotary, keys_values)
        return self.expert.norm(suffix)

    def run_jointly(
        self,
        prefix: torch.Tensor,
        suffix: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.LongTensor | None,
    ) -> list[torch.Tensor]:
        """Both streams at once under any mask (batch, 1, length, length); returns `[prefix_out, suffix_out]`."""
        split = [prefix.shape[1], suffix.shape[1]]
        length = sum(split)
        if attention_mask.shape[2:] != (length, length):
            raise InputError(f"attention_mask {tuple(attention_mask.shape)} must end in ({length}, {length}).")
        if position_ids is None:
            position_ids = torch.arange(length, device=prefix.device).expand(prefix.shape[0], -1)
        cos, sin = self.base.rotary_emb(prefix, position_ids)
        expert_layers = dict(zip(self.partners, self.expert.layers, strict=True))
        alone = (
            fitted(attention_mask[:, :, : split[0], : split[0]], prefix.dtype),
            cos[:, : split[0]],
            sin[:, : split[0]],
        )
        for index, layer in enumerate(self.base.layers):
            if index in expert_layers:
                pair = layer, expert_layers[index]
                prefix, suffix = self.maybe_checkpointed(joint_layer, pair, prefix, suffix, attention_mask, cos, sin)
            else:
                prefix, _, _ = self.maybe_checkpointed(prefix_layer, layer, prefix, *alone)
        return [self.base.norm(prefix), self.expert.norm(suffix)]

    def maybe_checkpointed(self, function, *args):
        """`function(*args)`, recomputed in the backward pass where gradient checkpointing is on.

        The layers' own checkpointing would drop the keys and values that they are called for.
        """
        if self.gradient_checkpointing and self.training:
            return checkpoint(function, *args, use_reentrant=False)
        return function(*args)


def paired_layers(num_base_layers: int, num_expert_layers: int, alignment: str) -> list[int]:
    """For each expert layer the base layer it attends with."""
    if alignment == "even":
        return [(i + 1) * num_base_layers // num_expert_layers - 1 for i in range(num_expert_layers)]
    return list(range(num_base_layers - num_expert_layers, num_base_layers))


def checked_positions(position_ids: torch.Tensor, embeds: torch.Tensor, *lengths: int) -> torch.Tensor:
    """`position_ids`, if they have one of these lengths for each sample of `embeds`."""
    if position_ids.dim() != 2 or position_ids.shape[1] not in lengths or position_ids.shape[0] not in (1, len(embeds)):
        wanted = " or ".join(f"({len(embeds)}, {length})" for length in lengths)
        raise InputError(f"position_ids has shape {tuple(position_ids.shape)}; {wanted} is needed.")
    return position_ids


def suffix_rows(mask: torch.Tensor, suffix_len: int, prefix_len: int) -> torch.Tensor:
    """The suffix's part of a joint mask; a mask of these rows alone passes."""
    if mask.shape[2] < suffix_len or mask.shape[3] != prefix_len + suffix_len:
        raise InputError(
            f"attention_mask {tuple(mask.shape)} does not fit a prefix of {prefix_len} and a suffix of {suffix_len}."
        )
    return mask[:, :, -suffix_len:]


def fitted(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A caller's additive mask in another dtype; a row without any key, of padding, sees everything.

    What is hidden gets the lowest value that a score can be added to, for infinities make NaN of a row, and a lower one
    makes NaN of its gradient in cuDNN's attention.
    """
    if not mask.is_floating_point():
        raise InputError(f"a 4-D attention_mask is added to the scores and must be floating point, not {mask.dtype}.")
    hidden = mask < HIDDEN
    mask = mask.masked_fill(hidden.all(dim=-1, keepdim=True), 0)
    return mask.clamp(min=HIDDEN).to(dtype)


def prefix_layer(
    layer: nn.Module, hidden_states: torch.Tensor, mask: torch.Tensor | None, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One base layer; returns its output, keys and values."""
    collector = KeyValueCollector()
    hidden_states = run_layer(layer, hidden_states, mask, (cos, sin), collector)
    return hidden_states, collector.keys, collector.values


def suffix_layer(
    layer: nn.Module,
    hidden_states: torch.Tensor,
    mask: torch.Tensor | None,
    cos: torch.Tensor,
    sin: torch.Tensor,
    keys_values,
) -> torch.Tensor:
    """One expert layer over its own tokens and the prefix's."""
    return run_layer(layer, hidden_states, mask, (cos, sin), keys_values)


def joint_layer(
    layers: tuple[nn.Module, nn.Module],
    prefix: torch.Tensor,
    suffix: torch.Tensor,
    mask: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One pair of layers whose attention is common; without the dropout that a config may ask of attention weights."""
    streams = prefix, suffix
    projected = [projections(layer, stream) for layer, stream in zip(layers, streams, strict=True)]
    query, key, value = (torch.cat(parts, dim=2) for parts in zip(*projected, strict=True))
    query, key = apply_rotary_pos_emb(query, key, cos, sin)
    attention = layers[0].self_attn
    groups = attention.num_key_value_groups
    implementation = attention.config._attn_implementation
    mask = fitted(mask, query.dtype)
    mixed = attend(query, repeat_kv(key, groups), repeat_kv(value, groups), mask, implementation)
    parts = mixed.transpose(1, 2).flatten(2).split([stream.shape[1] for stream in streams], dim=1)
    return tuple(after_attention(*args) for args in zip(layers, streams, parts, strict=True))


def projections(layer: nn.Module, hidden_states: torch.Tensor) -> list[torch.Tensor]:
    """Query, key and value of one stream, (batch, heads, tokens, head_dim)."""
    attention, normed = layer.self_attn, layer.input_layernorm(hidden_states)
    shape = (*normed.shape[:-1], -1, attention.head_dim)
    return [
        linear(normed).view(shape).transpose(1, 2) for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
    ]


def after_attention(layer: nn.Module, hidden_states: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
    hidden_states = hidden_states + layer.self_attn.o_proj(mixed.to(hidden_states.dtype))
    return hidden_states + layer.mlp(layer.post_attention_layernorm(hidden_states))
