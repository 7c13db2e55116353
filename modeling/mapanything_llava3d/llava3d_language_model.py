"""The base language model of LLaVA-3D: a Llama or a Mistral under the published names."""

import torch
from torch import nn
from transformers import (
    Cache,
    GenerationMixin,
    LlamaForCausalLM,
    MistralForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from ..cache_names import CACHE_NAMES, cache_argument, one_cache
from ..loss_items import cross_entropy
from ..stock_initialisation import StockInitialisation

LANGUAGE_MODELS = {"llama": LlamaForCausalLM, "mistral": MistralForCausalLM}
MODELS_CACHE = cache_argument(LlamaForCausalLM.forward)  # and so it is in Mistral's


class LLaVA3DForCausalLMV2(StockInitialisation, PreTrainedModel, GenerationMixin):
    """A causal language model of transformers as `model`, so that keys read `model.model.layers...`.

    Args:
        config: a `LlamaConfig` or `MistralConfig`.
    """

    supports_gradient_checkpointing = True
    _no_split_modules = ["LlamaDecoderLayer", "MistralDecoderLayer"]
    _skip_keys_device_placement = list(CACHE_NAMES)
    _supports_sdpa = True

    def __init__(self, config: PretrainedConfig):
        super().__init__(config)
        self.model = LANGUAGE_MODELS[config.model_type](config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.model.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.model.lm_head = value

    @property
    def decoder(self) -> nn.Module:
        """The stack without its output projection."""
        return self.model.model

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        cache: Cache | None = None,
        sample_weight: torch.Tensor | None = None,
        **kwargs,
    ) -> CausalLMOutputWithPast:
        """As in `LlamaForCausalLM`; the cache goes by both of its names.

        sample_weight: (batch,), what the labels of each row weigh in the mean; `num_items_in_batch` is of weights then.
        """
        weighted = labels is not None and sample_weight is not None
        total = kwargs.pop("num_items_in_batch", None) if weighted else None
        kwargs[MODELS_CACHE] = one_cache(cache, past_key_values)
        output = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            labels=None if weighted else labels,
            use_cache=use_cache,
            **kwargs,
        )
        if weighted:
            places = labels[:, 1:].to(output.logits.device)
            output.loss = cross_entropy(output.logits[:, :-1], places, total, sample_weight)
        return output
