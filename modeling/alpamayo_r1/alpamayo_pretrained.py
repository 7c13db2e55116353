"""What transformers and training ask of an Alpamayo-R1 as of any model: its parts by name, loading, fast prediction."""

import inspect
from typing import Any

import torch
from torch import nn

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ..cache_names import CACHE_NAMES
from ..fast_prediction import FastPredictionStats
from ..llama_layers import projections_of
from ..masking import check_mask
from ..padded_prompts import padding_before, refuse_embeds, with_prompts
from ..strict_loading import StrictPreTrainedModel, tied_weights
from .driving_inputs import refuse_unfilled
from .reasoning_text import load_tokenizer
from .start_in_memory import EXPERT_PARTS


class AlpamayoR1PreTrainedModel(StrictPreTrainedModel):
    """A model of which `vlm` is the Qwen3-VL, and `expert` a stack of layers as many."""

    config_class = AlpamayoR1Config
    base_model_prefix = "vlm"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False
    pretrained_parts = ("vlm",)
    action_parts = EXPERT_PARTS
    named_parts = {"expert": tuple(part.rstrip(".") for part in EXPERT_PARTS)}
    _no_split_modules = ["Qwen3VLTextDecoderLayer", "Qwen3VLVisionBlock"]
    _skip_keys_device_placement = list(CACHE_NAMES)
    _supports_sdpa = True
    _supports_flash_attn = True
    _tied_weights_keys = tied_weights({"vlm.lm_head.weight": "vlm.model.language_model.embed_tokens.weight"})

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """As in transformers; the tokenizer of the checkpoint comes along, for the texts of the samples."""
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        found = load_tokenizer(pretrained_model_name_or_path, kwargs)
        model.tokenizer = model.tokenizer if found is None else found  # an adapter has its base model's
        return loaded

    def projections_to_fuse(self) -> list[list[nn.Module]]:
        """Queries, keys and values, gate and up, of each layer of the VLM's text and of the expert."""
        layers = *self.vlm.model.language_model.layers, *self.expert.layers
        return [group for layer in layers for group in projections_of(layer)]

    @property
    def language_part(self) -> nn.Module:
        return self.vlm.model.language_model

    def get_input_embeddings(self) -> nn.Module:
        return self.vlm.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.vlm.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.vlm.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.vlm.lm_head = value

    def enable_diffusion_expert_cuda_graph(self, max_batch_size: int | None = None, max_graphs: int = 4) -> None:
        """`enable_fast_prediction` under the published name: of a whole drive, whose four parts have a graph each.

        max_batch_size: trajectories of one call; larger calls run eagerly. max_graphs: shapes of calls that are kept.
        """
        self.enable_fast_prediction("graphs", max_graphs=4 * max_graphs, max_batch_size=max_batch_size)

    @property
    def diffusion_expert_cuda_graph_stats(self) -> FastPredictionStats | None:
        """`fast_prediction_stats` under the published name."""
        return self.fast_prediction_stats

    @torch.no_grad()
    def generate(self, input_ids: torch.LongTensor, attention_mask: torch.Tensor | None = None, **kwargs) -> Any:
        """Text alone, by the VLM's own `generate` and this model's `generation_config`; prompts may be padded on either
        side, and come back as they were.

        Raises InputError for prompts with a place for a path, and for `inputs_embeds`.
        """
        refuse_embeds(kwargs)
        refuse_unfilled(input_ids, self.config.traj_token_ids["history"])
        mask, ids = attention_mask, input_ids
        if attention_mask is not None:
            mask, ids = padding_before(check_mask(input_ids, attention_mask).long(), input_ids)
        if "mm_token_type_ids" in inspect.signature(self.vlm.forward).parameters:  # also under accelerate's hooks
            is_image = ids == self.config.vlm_config.image_token_id
            kwargs.setdefault("mm_token_type_ids", is_image.int())  # 5.x computes wrong positions without them
        self.vlm.generation_config = self.generation_config
        return with_prompts(self.vlm.generate(input_ids=ids, attention_mask=mask, **kwargs), input_ids)
