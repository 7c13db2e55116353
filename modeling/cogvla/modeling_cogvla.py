"""CogVLA, OpenVLA-OFT and OpenVLA: from camera views and an instruction to a chunk of robot actions.

Data flow: text embeddings -> their mean conditions the vision towers (FiLM) and their fusion -> vision tokens go
between BOS and prompt, with a state and a diffusion-time token -> Llama with token pruning -> states at the action
positions -> action head -> robot units. (arXiv 2508.21046, 2502.19645, 2406.09246.)
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Cache, GenerationMixin
from transformers.utils import can_return_tuple

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ...configuration.vla_errors import InputError
from ..action_heads import ContinuousActionHead
from ..action_normalization import find_statistics
from ..cache_names import CACHE_NAMES, one_cache
from ..finite_predictions import require_finite
from ..input_checks import check_ids, check_inputs, check_rows, one_of, refuse_sampling
from ..learned_tokens import LearnedTokens
from ..loss_items import IGNORED, Items, cross_entropy, learnt_steps, weighted_mean
from ..masking import masked_mean, parallel_decoding_mask
from ..projectors import MLP, PrismaticProjector
from ..strict_loading import StrictPreTrainedModel, tied_weights
from ..vision_layers import LayerScale
from .action_decoding import ActionDecoding
from .action_sequence import (
    ActionSequence,
    LanguageModelInputs,
    find_action_block,
    right_aligned,
    with_action_block,
    with_prompt_end,
)
from .cogvla_inputs import (
    check_actions,
    check_inference_steps,
    check_pixel_values,
    check_places,
    check_state,
    mask_or_ones,
)
from .cogvla_outputs import CogVLAActionOutput, CogVLAOutput
from .ddim import add_noise, sinusoidal_embedding
from .film_vision_transformer import FiLMVisionTransformer
from .moe_aggregator import MoEAggregator
from .prismatic_vision_backbone import PrismaticVisionBackbone
from .text_generation import TextGeneration
from .token_pruning import STACKS_CACHE, LFPLlamaModel, Pruning


class CogVLAPreTrainedModel(StrictPreTrainedModel):
    """Initialisation, and what transformers needs to know of this family."""

    config_class = CogVLAConfig
    supports_gradient_checkpointing = True
    _no_split_modules = ["LlamaDecoderLayer", "LFPDecoderLayer", "VisionBlock"]
    _skip_keys_device_placement = list(CACHE_NAMES)
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        std = self.config.text_config.initializer_range
        if isinstance(module, FiLMVisionTransformer):
            for token in (module.pos_embed, module.cls_token, module.reg_token):
                if token is not None:
                    nn.init.normal_(token, std=std)
            for block in module.blocks:
                if block.film is not None:  # starts as the identity
                    nn.init.zeros_(block.film.scale.weight)
                    nn.init.zeros_(block.film.shift.weight)
        elif isinstance(module, LearnedTokens):
            nn.init.normal_(module.tokens, std=std)
        elif isinstance(module, LayerScale):
            nn.init.ones_(module.factor)


class LanguageModel(nn.Module):
    """Llama with token pruning and its output projection, under the published names `model` and `lm_head`."""

    def __init__(self, config: CogVLAConfig):
        super().__init__()
        text = config.text_config
        self.model = LFPLlamaModel(text, config.lfp_keep_ratios, config.lfp_enable_film)
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)


class CogVLAForActionPrediction(ActionDecoding, TextGeneration, CogVLAPreTrainedModel, GenerationMixin):
    """The model that users call: `predict_action` for actions, `forward` for training, `generate` for text."""

    accepts_loss_kwargs = False  # a Trainer must weigh accumulated batches itself: the losses are means
    pretrained_parts = ("vision_backbone", "language_model")
    added_parts = ("film", "aggregation", "router")
    _tied_weights_keys = tied_weights({"language_model.lm_head.weight": "language_model.model.embed_tokens.weight"})

    def __init__(self, config: CogVLAConfig):
        super().__init__(config)
        width = config.text_config.hidden_size
        towers = config.featurizer_config.hidden_size, config.fused_featurizer_config.hidden_size
        self.vision_backbone = PrismaticVisionBackbone(config)
        if config.vision_aggregate_type == "moe":
            self.moe_aggregator = MoEAggregator(*towers, width)
        else:
            self.projector = PrismaticProjector(sum(towers), width)
        self.language_model = LanguageModel(config)
        self.proprio_projector = MLP(config.proprio_dim, width) if config.proprio_dim else None
        self.action_head = None
        if config.action_head != "discrete":
            self.action_head = ContinuousActionHead(width, config.num_action_chunks, config.action_dim)
        self.noisy_action_projector = MLP(1, width) if config.action_head == "diffusion" else None
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.model.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.model.embed_tokens = value

    def get_output_embeddings(self) -> nn.Module:
        return self.language_model.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.language_model.lm_head = value

    @torch.no_grad()
    def predict_action(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
        unnorm_key: str | None = None,
        noise: torch.Tensor | None = None,
        return_dict: bool = False,
        num_inference_steps: int | None = None,
        check_finite: bool = True,
        do_sample: bool = False,
        proprio: torch.Tensor | None = None,
    ) -> torch.Tensor | CogVLAActionOutput:
        """Predict a chunk of actions for each sample.

        Args:
            input_ids: (batch, length) prompts; the prompt-end token is appended where it is missing.
            pixel_values: (batch, 6 * views, height, width) or (batch, views, 6, height, width).
            attention_mask: (batch, length), 0 on padding, on either side; without it everything is real.
            state: (batch, state_dim), the normalised state as the processor returns it.
            unnorm_key: whose statistics turn the prediction into robot units; needed where there are several.
            noise: (batch, num_action_chunks, action_dim), where the diffusion head starts; drawn when left out.
            return_dict: return a `CogVLAActionOutput` instead of the actions alone.
            num_inference_steps: steps of the diffusion head's sampler, from 1 to `config.num_diffusion_steps`; the
                config's by default.
            check_finite: end with an error where the prediction, or what it was computed from, is not finite.
            do_sample: for calls written for OpenVLA; False is what is done, True is refused.
            proprio: another name of `state`.

        Returns:
            (batch, num_action_chunks, action_dim) in robot units, float32.

        Raises:
            InputError: an argument has the wrong form, or `unnorm_key` is unknown or ambiguous.
            NonFiniteError: see `check_finite`.
        """
        config = self.config
        refuse_sampling(do_sample)
        state = one_of(state=state, proprio=proprio)
        check_inputs(self, input_ids, attention_mask, {"pixel_values": pixel_values, "state": state, "noise": noise})
        statistics = find_statistics(config.norm_stats, unnorm_key)["action"]
        pixel_values = check_pixel_values(config, input_ids, pixel_values, self.dtype)
        state = check_state(config, input_ids, state, self.dtype)
        noise = check_actions(config, input_ids, "noise", noise) if noise is not None else None
        num_inference_steps = check_inference_steps(config, num_inference_steps)
        check_ids(input_ids, self.get_input_embeddings())
        check_places(config, input_ids.shape[1] + 1, config.num_action_tokens + (config.action_attention != "causal"))
        mask = mask_or_ones(input_ids, attention_mask)
        on_cpu = mask.device.type == "cpu"
        if on_cpu:
            check_rows(mask)
        real, ids = right_aligned(mask, input_ids)
        ids, real = with_prompt_end(ids, real, config.prompt_end_token_id)
        if config.action_attention == "causal":
            output, finite = self.decode_one_by_one(ids, real, pixel_values, state, statistics)
        else:
            sequence = with_action_block(ids, real, config.num_action_tokens, config.stop_token_id)
            output, finite = self.decode_in_parallel(
                sequence, pixel_values, state, noise, statistics, num_inference_steps
            )
        if not on_cpu:
            check_rows(mask)  # reading it before would wait for the device
        if check_finite:
            inputs = {"pixel_values": pixel_values, "state": state, "noise": noise}
            require_finite(self, {"actions": output.actions, **finite}, inputs, statistics)
        return output if return_dict else output.actions

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        actions: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
        noise: torch.Tensor | None = None,
        timesteps: torch.LongTensor | None = None,
        action_is_pad: torch.Tensor | None = None,
        num_items_in_batch: Items | None = None,
        past_key_values: Cache | None = None,
        text_generation: bool = False,
        cache: Cache | None = None,
        proprio: torch.Tensor | None = None,
    ) -> CogVLAOutput:
        """Training forward over text that ends with its action and stop tokens.

        Args:
            input_ids, attention_mask: (batch, length); each row ends with `num_action_chunks * action_dim` action
                tokens and a stop token, then padding: the mask tells where.
            pixel_values, state: as in `predict_action`.
            labels: (batch, length), -100 where there is nothing to learn; only action and stop tokens count.
            actions: (batch, num_action_chunks, action_dim), normalised, for a continuous head.
            noise, timesteps: (batch, num_action_chunks, action_dim) and (batch,), for the diffusion head; drawn when
                left out.
            action_is_pad: (batch, num_action_chunks), true on steps behind the end of an episode, which a continuous
                head does not learn; what a discrete one learns is said by the labels.
            num_items_in_batch: totals of `loss_items` over the batches that make one step, where this is one of them.
            past_key_values, cache, text_generation: set by `generate`, where `input_ids` is plain text.
            proprio: another name of `state`.

        Raises:
            InputError: an argument has the wrong form.
        """
        config, state = self.config, one_of(state=state, proprio=proprio)
        if text_generation:
            cache = one_cache(cache, past_key_values)
            return self.forward_text(input_ids, attention_mask, pixel_values, state, cache)
        numbers = {"pixel_values": pixel_values, "state": state, "actions": actions, "noise": noise}
        check_inputs(self, input_ids, attention_mask, numbers)
        check_ids(input_ids, self.get_input_embeddings())
        check_places(config, input_ids.shape[1], 0)
        mask = mask_or_ones(input_ids, attention_mask)
        pixel_values = check_pixel_values(config, input_ids, pixel_values, self.dtype)
        state = check_state(config, input_ids, state, self.dtype)
        actions = check_actions(config, input_ids, "actions", actions) if actions is not None else None
        real, ids = right_aligned(mask, input_ids)
        sequence = find_action_block(ids, real, config.num_action_tokens)
        averaged = ~sequence.is_action if config.language_mean == "padded" else real & ~sequence.is_action
        inputs, moe_ratios = self.action_inputs(
            sequence, pixel_values, state, averaged, count=config.num_action_tokens + 1
        )
        target = actions
        if config.action_head == "diffusion":
            inputs, target = self.noised_for_training(inputs, sequence, actions, noise, timesteps)
        states, kept = self.run_language_model(inputs)

        logits = self.language_model.lm_head(states)
        predictions = None if self.action_head is None else self.action_head(states[:, :-1])
        lm_loss = action_loss = None
        if labels is not None:
            wanted = right_aligned(mask, labels)[1].gather(1, sequence.predicting(states.shape[1]) + 1)
            total = None if num_items_in_batch is None else num_items_in_batch["text"]
            lm_loss = cross_entropy(logits.flatten(0, 1), wanted.flatten(), total)
        if actions is not None:
            errors = predictions.float() - target
            errors = errors.square() if config.action_head == "diffusion" else errors.abs()
            total = None if num_items_in_batch is None else num_items_in_batch["action"]
            action_loss = weighted_mean(errors.mean(dim=2), learnt_steps(actions, action_is_pad), total)
        return CogVLAOutput(
            loss=lm_loss if action_loss is None else action_loss,
            lm_loss=lm_loss,
            action_loss=action_loss,
            logits=logits,
            predictions=predictions,
            action_hidden_states=states[:, :-1],
            moe_ratios=moe_ratios,
            kept_vision_tokens=kept,
        )

    def drawn(self, **batch) -> dict:
        """What a batch of `forward` needs so that its `loss_items` are known: nothing here."""
        return {}

    def loss_items(
        self,
        labels: torch.Tensor | None = None,
        actions: torch.Tensor | None = None,
        action_is_pad: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs,
    ) -> dict[str, torch.Tensor]:
        """What a batch of `forward` counts in each of its losses, see `loss_items.py`."""
        items = {}
        if actions is not None:
            items["action"] = learnt_steps(actions, action_is_pad).sum()
        if labels is not None:
            block = self.config.num_action_tokens + 1  # labels before it are not learnt
            place = mask_or_ones(input_ids, attention_mask).ne(0).flip(1).cumsum(dim=1).flip(1)
            items["text"] = ((place >= 1) & (place <= block) & (labels != IGNORED)).sum().float()
        return items

    # ---- the steps of a forward pass

    def action_inputs(
        self,
        sequence: ActionSequence,
        pixel_values: torch.Tensor,
        state: torch.Tensor | None,
        averaged: torch.Tensor,
        count: int,
    ) -> tuple[LanguageModelInputs, torch.Tensor | None]:
        """Everything before the language model, for text with an action block; also the weights of the towers.

        averaged: (batch, length) bool, the tokens whose mean embedding conditions the vision towers; count: see
        `assemble`.
        """
        embeds = self.get_input_embeddings()(sequence.input_ids)
        prefix, moe_ratios = self.encode_prefix(pixel_values, masked_mean(embeds, averaged).squeeze(1), state)
        if self.config.action_attention != "causal":  # predicted in parallel: no action token knows another
            embeds = embeds.masked_fill(sequence.is_action.unsqueeze(-1), 0)
        if self.config.action_head == "diffusion":  # a place for the time token
            prefix = F.pad(prefix, (0, 0, 0, 1))
        return self.assemble(sequence, embeds, prefix, self.config.action_attention, count), moe_ratios

    def encode_prefix(
        self, pixel_values: torch.Tensor, condition: torch.Tensor, state: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Vision tokens and state token, (batch, prefix length, hidden_size), and the weights (batch, views, 2).

        pixel_values: (batch, views, 6, height, width); condition: (batch, hidden_size), the mean text embedding;
        state: (batch, state_dim).
        """
        features, fused_features = self.vision_backbone(pixel_values, condition)
        moe_ratios = None
        if self.config.vision_aggregate_type == "moe":
            tokens, ratios = self.moe_aggregator(features, fused_features, condition)
            moe_ratios = ratios.unsqueeze(1).expand(-1, pixel_values.shape[1], -1)
        else:
            tokens = self.projector(torch.cat([features, fused_features], dim=-1))
        if state is not None:
            tokens = torch.cat([tokens, self.proprio_projector(state).unsqueeze(1)], dim=1)
        return tokens, moe_ratios

    def assemble(
        self, sequence: ActionSequence, embeds: torch.Tensor, prefix: torch.Tensor, mode: str, count: int
    ) -> LanguageModelInputs:
        """Put the prefix (batch, prefix length, hidden_size) behind the BOS of embeds (batch, length, hidden_size).

        mode: see `parallel_decoding_mask`; count: how many states are wanted, from the last prompt token on.
        """
        batch, length = prefix.shape[:2]
        outside = sequence.real.new_zeros(batch, length)
        behind_vision = torch.arange(length, device=prefix.device).expand(batch, -1) >= self.config.num_vision_tokens
        real, block = after_bos(sequence.real, ~outside), after_bos(sequence.is_block, outside)
        return LanguageModelInputs(
            text_embeds=embeds,
            prefix=prefix,
            attention_mask=parallel_decoding_mask(
                real, block, mode, embeds.dtype, self.language_model.model.config._attn_implementation
            ),
            prompt=after_bos(sequence.is_prompt, behind_vision),
            positions=sequence.predicting(count) + length,
        )

    def with_noise(
        self,
        inputs: LanguageModelInputs,
        sequence: ActionSequence,
        noisy_actions: torch.Tensor,
        time_embeds: torch.Tensor,
    ) -> LanguageModelInputs:
        """The inputs of one denoising step.

        noisy_actions: (batch, num_action_chunks, action_dim), one token a number; time_embeds: (batch, hidden_size).
        """
        dtype = inputs.prefix.dtype
        tokens = self.noisy_action_projector(noisy_actions.to(dtype).flatten(1).unsqueeze(-1))
        tokens = tokens.to(inputs.text_embeds.dtype)  # autocast changes that of a projection, not of an embedding
        index = sequence.predicting(tokens.shape[1]) + 1
        text_embeds = inputs.text_embeds.scatter(1, index.unsqueeze(-1).expand_as(tokens), tokens)
        prefix = torch.cat([inputs.prefix[:, :-1], time_embeds.to(dtype).unsqueeze(1)], dim=1)
        return replace(inputs, text_embeds=text_embeds, prefix=prefix)

    def noised_for_training(
        self,
        inputs: LanguageModelInputs,
        sequence: ActionSequence,
        actions: torch.Tensor | None,
        noise: torch.Tensor | None,
        timesteps: torch.Tensor | None,
    ) -> tuple[LanguageModelInputs, torch.Tensor]:
        """Inputs with noise in the actions, and the noise, which is what the diffusion head learns to predict."""
        if actions is None:
            raise InputError("actions is missing: the diffusion head learns from noised actions.")
        steps = self.config.num_diffusion_steps
        noise = torch.randn_like(actions) if noise is None else check_actions(self.config, actions, "noise", noise)
        if timesteps is None:
            timesteps = torch.randint(steps, actions.shape[:1], device=actions.device)
        time_embeds = sinusoidal_embedding(timesteps, inputs.prefix.shape[-1])
        return self.with_noise(inputs, sequence, add_noise(actions, noise, timesteps, steps), time_embeds), noise

    def run_language_model(
        self, inputs: LanguageModelInputs, cache: Cache | None = None
    ) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
        """The wanted states (batch, count, hidden_size), after the final norm, and the tokens that each layer kept."""
        pruning = Pruning(self.config.num_vision_tokens, inputs.prompt)
        hidden_states = self.language_model.model(
            inputs_embeds=after_bos(inputs.text_embeds, inputs.prefix),
            attention_mask=inputs.attention_mask,
            use_cache=cache is not None,
            pruning=pruning,
            **{STACKS_CACHE: cache},
        ).last_hidden_state
        index = inputs.positions.unsqueeze(-1).expand(-1, -1, hidden_states.shape[-1])
        return hidden_states.gather(1, index), pruning.kept


def after_bos(text: torch.Tensor, prefix: torch.Tensor) -> torch.Tensor:
    """(batch, length, ...) with (batch, prefix length, ...) put behind its first token."""
    return torch.cat([text[:, :1], prefix, text[:, 1:]], dim=1)
