"""Two stacks of decoder layers that attend together: a language model and a second, narrower one, the action expert.

In every paired layer each stream has its own norms, projections and MLP; keys and values are common. Because the
prefix never sees the suffix, a pass of the prefix that keeps its keys and values, followed by a pass of the suffix
over them, gives exactly the joint pass; training and sampling both run that way (`stack_passes.py`). Only a caller's
own 4-D mask needs the joint pass in one piece (`joint_pass.py`).
The design is pi0's (arXiv 2410.24164); `LLaVA3DWithActionExpertModel` is named, but not published, in
3dvla-starvla_framework.
"""

import torch
from torch import nn
from transformers import LlamaModel, MistralModel, PretrainedConfig, PreTrainedModel

from ...configuration.language_model_config import as_expert_config
from ...configuration.vla_errors import InputError
from ..masking import check_mask, prefix_attention, suffix_attention
from ..model_parts import stack_of
from ..modules import ModuleReference
from ..sharded_layer import tie_keys_and_values
from ..stack_passes import PrefixCache, SuffixInputs, run_prefix, run_suffix
from ..stock_initialisation import StockInitialisation
from .joint_pass import fitted, run_jointly, suffix_rows

STACKS = {"llama": LlamaModel, "mistral": MistralModel}


class LLaVA3DWithActionExpertModel(StockInitialisation, PreTrainedModel):
    """The base language model with the expert joined to it.

    Its masks are of all places: a Mistral's `sliding_window` holds where it writes text, and not here.

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
        self.post_init()

    @property
    def base(self) -> nn.Module:
        """The base's stack."""
        return self._base.module

    def follow_owner(self, stack: nn.Module, causal_prefix: bool) -> None:
        """From now on join the expert to whatever stands where the owner's stack was, which reads a prefix so."""
        self._base.refer_to(stack)
        if self.causal_prefix != causal_prefix:
            self.causal_prefix = causal_prefix

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
            streams = prefix, suffix
            return run_jointly(self.base, self.expert, self.partners, streams, attention_mask, position_ids), None
        keep = use_cache or suffix is not None
        states, cache = self.run_prefix(prefix, attention_mask, position_ids, keep)
        suffix_out = None if suffix is None else self.run_suffix(suffix, cache, None, position_ids)
        return [states[-1], suffix_out], cache if use_cache else None

    def run_prefix(
        self,
        prefix: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        keep: bool = True,
    ) -> tuple[list[torch.Tensor], PrefixCache | None]:
        """The base over the prefix, see `read_prefix`."""
        return read_prefix(self.base, prefix, attention_mask, self.causal_prefix, position_ids, keep)

    def run_suffix(
        self,
        suffix: torch.Tensor,
        cache: PrefixCache,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
    ) -> torch.Tensor:
        """The expert over the suffix and a kept prefix; without mask and positions those of the prefix's pass go on."""
        given = attention_mask, position_ids
        if any(value is not None for value in given):
            mask, rotary = self.suffix_inputs(suffix, cache, *given)
        else:
            mask, rotary = cache.once(suffix, lambda: self.suffix_inputs(suffix, cache, *given))
        return self.expert.norm(run_suffix(self.expert.layers, suffix, mask, rotary, cache, self.partners))

    def suffix_inputs(
        self,
        suffix: torch.Tensor,
        cache: PrefixCache,
        attention_mask: torch.Tensor | None,
        position_ids: torch.LongTensor | None,
    ) -> SuffixInputs:
        """Mask and rotary embedding of a pass of the suffix; of its numbers nothing is read."""
        length, real, is_4d = suffix.shape[1], cache.real, attention_mask is not None and attention_mask.dim() == 4
        if attention_mask is not None and not is_4d:
            real = check_mask(suffix.new_empty(len(suffix), cache.length), attention_mask)
        kind = self.expert.config._attn_implementation
        mask, positions = suffix_attention(suffix, cache.length, real, kind, cache.samples)
        if is_4d:
            mask = fitted(suffix_rows(attention_mask, length, cache.length), suffix.dtype)
        if position_ids is not None:
            positions = checked_positions(position_ids, suffix, length, cache.length + length)[:, -length:]
        return mask, self.base.rotary_emb(suffix, positions)


def read_prefix(
    stack: nn.Module,
    prefix: torch.Tensor,
    attention_mask: torch.Tensor | None,
    causal: bool,
    position_ids: torch.LongTensor | None = None,
    keep: bool = True,
) -> tuple[list[torch.Tensor], PrefixCache | None]:
    """A language model's stack over the prefix; arguments as in `LLaVA3DWithActionExpertModel.forward`.

    Returns the states after each layer, the last of them after the final norm, and, with `keep`, keys and values.
    """
    length, real = prefix.shape[1], None
    if attention_mask is not None and attention_mask.dim() == 4:
        if min(attention_mask.shape[2:]) < length:
            raise InputError(f"attention_mask {tuple(attention_mask.shape)} is smaller than the prefix ({length}).")
        mask = fitted(attention_mask[:, :, :length, :length], prefix.dtype)
        positions = torch.arange(length, device=prefix.device).expand(len(prefix), -1)
    else:
        kind = stack.config._attn_implementation
        mask, real, positions = prefix_attention(prefix, attention_mask, causal, kind)
    if position_ids is not None:
        positions = checked_positions(position_ids[:, :length], prefix, length)
    cache = PrefixCache(length, real) if keep else None
    states = run_prefix(stack.layers, prefix, mask, stack.rotary_emb(prefix, positions), cache)
    return [*states[:-1], stack.norm(states[-1])], cache


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
