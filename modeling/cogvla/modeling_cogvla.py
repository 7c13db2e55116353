"""CogVLA, OpenVLA-OFT and OpenVLA: from camera views and an instruction to a chunk of robot actions.

Data flow: text embeddings -> their mean conditions the vision towers (FiLM) and their fusion -> vision tokens go
between BOS and prompt, with a state and a diffusion-time token -> Llama with token pruning -> states at the action
positions -> action head -> robot units. (arXiv 2508.21046, 2502.19645, 2406.09246.)
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Cache, GenerationMixin
from transformers.utils import can_return_tuple

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ..action_normalization import affine_terms, find_statistics
from ..cache_names import OUTPUT_NAME, one_cache
from ..finite_predictions import require_finite
from ..input_checks import check_ids, check_inputs, check_labels, check_rows, one_of, refuse_sampling
from ..loss_items import Items, check_sample_weight
from ..masking import check_mask, masked_mean
from ..mlp import MLP
from ..moe_aggregator import MoEAggregator
from ..padded_prompts import refuse_embeds, with_prompts
from ..prediction_core import exclusive, padded_behind, run_core
from ..prismatic_projector import PrismaticProjector
from ..sampled_actions import SampledActions, with_spread
from .action_decoding import ContinuousActionHead
from .action_sequence import ActionSequence, find_action_block, left_padded, right_padded
from .cogvla_core import predicted
from .cogvla_core_inputs import CogVLACoreInputs, core_options, drawn_numbers
from .cogvla_inputs import (
    Observation,
    check_actions,
    check_diffusion_options,
    check_observation,
    check_places,
    observation,
)
from .cogvla_losses import action_loss, check_learnable, counted_items, noised, token_loss
from .cogvla_outputs import CogVLAActionOutput, CogVLAOutput, training_figures
from .cogvla_pretrained_model import CogVLAPreTrainedModel
from .prismatic_vision_backbone import PrismaticVisionBackbone
from .pruned_language_model import LanguageModel, LanguageModelInputs
from .revealing_parts import revealing_layers


class CogVLAForActionPrediction(CogVLAPreTrainedModel, GenerationMixin):
    """The model that users call: `predict_action` for actions, `forward` for training, `generate` for text."""

    accepts_loss_kwargs = False  # a Trainer must weigh accumulated batches itself: the losses are means

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
        self.proprio_projector = MLP(config.state_dim, width) if config.use_state else None
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

    def projections_to_fuse(self) -> list[list[nn.Module]]:
        """Linear layers that read the same input, see `fused_linears.py`: FiLM of each tower, and of the language model
        those of attention, MLP and router."""
        towers = self.vision_backbone.featurizer, self.vision_backbone.fused_featurizer
        parts = *towers, self.language_model.model
        return [group for part in parts for group in part.projections_to_fuse() if group]

    def training_figures(self, output: CogVLAOutput) -> dict[str, torch.Tensor]:
        return training_figures(output, self.config.num_vision_tokens)

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
        num_samples: int | None = None,
    ) -> torch.Tensor | CogVLAActionOutput | SampledActions:
        """Predict a chunk of actions for each sample, (batch, num_action_chunks, action_dim) in robot units, float32.

        Args:
            input_ids: (batch, length) prompts; the prompt-end token is appended where it is missing.
            pixel_values: (batch, 6 * views, height, width) or (batch, views, 6, height, width).
            attention_mask: (batch, length), 0 on padding, on either side; without it everything is real.
            state: (batch, state_dim), normalised as the processor returns it. Published name: `proprio`.
            unnorm_key: whose statistics turn the prediction into robot units; needed where there are several.
            noise: (batch, num_action_chunks, action_dim), where the diffusion head starts; drawn when left out.
            return_dict: return a `CogVLAActionOutput` instead of the actions alone.
            num_inference_steps: of the diffusion head, 1 to `config.num_diffusion_steps`; the config's by default.
            check_finite: end with an error where the prediction, or what it was computed from, is not finite, or a row
                is padding alone. Without it no device is asked for a number, and such a row's actions are NaN.
            do_sample: for calls written for OpenVLA; False is what is done, True is refused.
            num_samples: draw so many chunks for each sample, and return them, their spread and, of the discrete head,
                the entropy of its tokens as `SampledActions`; `noise` is (batch, num_samples, num_action_chunks,
                action_dim) then. The L1 head has nothing to draw, and refuses it.

        Raises:
            InputError: an argument has the wrong form, or `unnorm_key` is unknown or ambiguous.
            NonFiniteError: see `check_finite`.
        """
        refuse_sampling(do_sample)
        state = one_of(state=state, proprio=proprio)
        pixel_values, state = check_observation(self, input_ids, attention_mask, pixel_values, state, noise=noise)
        actions = self.config.num_action_tokens + (self.config.action_attention != "causal")
        check_places(self.config, input_ids.shape[1] + 1, actions)
        statistics = find_statistics(self.config.norm_stats, unnorm_key)["action"]
        options = core_options(self, num_inference_steps, num_samples, check_finite, return_dict)
        noise, exponentials = drawn_numbers(self.config, input_ids, noise, num_samples)
        terms = affine_terms(statistics, self.config.normalization_type, pixel_values)
        with exclusive(self):
            if self.language_model.has_fixed_frequencies:
                input_ids, attention_mask = padded_behind(self, input_ids, attention_mask)
            inputs = CogVLACoreInputs(input_ids, attention_mask, pixel_values, state, noise, exponentials, terms)
            found = run_core(self, predicted, inputs, options)
        if check_finite:
            given = {"pixel_values": pixel_values, "state": state, "noise": noise}
            made = {"actions": found.actions, **found.finite}
            require_finite(self, made, given, statistics, attention_mask, found.whole, revealing_layers(self))
        if num_samples is not None:
            return with_spread(found.actions, found.normalized, found.entropy)
        if not return_dict:
            return found.actions
        return CogVLAActionOutput(
            actions=found.actions,
            normalized_actions=found.normalized,
            action_hidden_states=found.hidden_states,
            moe_ratios=found.moe_ratios,
            kept_vision_tokens=found.kept_vision_tokens,
            predicted_token_ids=found.token_ids,
        )

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
        sample_weight: torch.Tensor | None = None,
    ) -> CogVLAOutput:
        """Training forward over text that ends with its action and stop tokens.

        Args:
            input_ids, attention_mask: (batch, length); each row ends with `num_action_chunks * action_dim` action
                tokens and a stop token, then padding: the mask tells where.
            pixel_values, state, proprio: as in `predict_action`.
            labels: (batch, length), -100 where there is nothing to learn; only action and stop tokens count.
            actions: (batch, num_action_chunks, action_dim), normalised, for a continuous head.
            noise, timesteps: (batch, num_action_chunks, action_dim) and (batch,), for the diffusion head; drawn when
                left out.
            action_is_pad: (batch, num_action_chunks), true on steps behind the end of an episode, which a continuous
                head does not learn; what a discrete one learns is said by the labels.
            num_items_in_batch: totals of `loss_items` over the batches that make one step, where this is one of them.
            sample_weight: (batch,), what each sample weighs in the means, of its actions and of its tokens.
            past_key_values, cache, text_generation: set by `generate`, where `input_ids` is plain text.

        Raises:
            InputError: an argument has the wrong form.
        """
        state = one_of(state=state, proprio=proprio)
        if text_generation:
            return self.next_token(input_ids, attention_mask, pixel_values, state, one_cache(cache, past_key_values))
        numbers = {"actions": actions, "noise": noise, "sample_weight": sample_weight}
        seen = observation(self, input_ids, attention_mask, pixel_values, state, **numbers)
        check_sample_weight(sample_weight, len(input_ids), num_items_in_batch)
        check_places(self.config, input_ids.shape[1])
        check_diffusion_options(self.config, noise=noise, timesteps=timesteps)
        actions = check_actions(self.config, input_ids, "actions", actions)
        check_learnable(self, labels, actions)
        check_labels(labels, input_ids)
        if labels is not None:
            labels = right_padded(check_mask(input_ids, attention_mask), labels)[1]
        counted = action_is_pad, num_items_in_batch, sample_weight
        return self.learn(seen, labels, actions, noise, timesteps, *counted)

    def loss_items(
        self,
        labels: torch.Tensor | None = None,
        actions: torch.Tensor | None = None,
        action_is_pad: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        sample_weight: torch.Tensor | None = None,
        **kwargs,
    ) -> dict[str, torch.Tensor]:
        """What a batch of `forward` counts in each of its losses, see `loss_items.py`."""
        return counted_items(self.config, labels, actions, action_is_pad, attention_mask, sample_weight)

    # ---- text

    def generate(self, input_ids: torch.LongTensor, attention_mask: torch.Tensor | None = None, **kwargs):
        """As in transformers: the prompts with their continuations, or a dict-like output holding them.

        With `use_cache=False` every token reads images and prompt anew, in the light of the text so far (FiLM, fusion
        and pruning all depend on it), so its text can differ from cached decoding.

        Args:
            input_ids, attention_mask: (batch, length) prompts.
            pixel_values, state, proprio: as in `predict_action`.

        Raises InputError for `inputs_embeds`, beside what `predict_action` raises.
        """
        refuse_embeds(kwargs)
        kwargs["state"] = one_of(state=kwargs.pop("state", None), proprio=kwargs.pop("proprio", None))
        check_inputs(self, input_ids, attention_mask, {name: kwargs.get(name) for name in ("pixel_values", "state")})
        check_ids(input_ids, self.get_input_embeddings())
        check_places(self.config, input_ids.shape[1])
        real, ids = left_padded(check_mask(input_ids, attention_mask), input_ids)
        check_rows(real)
        length = input_ids.shape[1]
        output = super().generate(input_ids=ids, attention_mask=real.long(), prompt_length=length, **kwargs)
        return with_prompts(output, input_ids)

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        past_key_values: Cache | None = None,
        attention_mask: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
        prompt_length: int = 0,
        cache: Cache | None = None,
        **kwargs,
    ) -> dict:
        """The first step reads prompt and images; with a cache every later one reads its last token only.

        transformers pads prompts on the left here, while the cache holds them padded on the right.
        """
        mask, cache = check_mask(input_ids, attention_mask), one_cache(cache, past_key_values)
        inputs = {"attention_mask": mask, OUTPUT_NAME: cache, "text_generation": True}
        if cache is None or cache.get_seq_length() == 0:
            return inputs | {"input_ids": input_ids, "pixel_values": pixel_values, "state": state}
        (prompt,) = right_padded(mask[:, :prompt_length])
        mask = torch.cat([prompt, mask[:, prompt_length:]], dim=1)
        return inputs | {"input_ids": input_ids[:, -1:], "attention_mask": mask}

    def next_token(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        pixel_values: torch.Tensor | None,
        state: torch.Tensor | None,
        cache: Cache | None,
    ) -> CogVLAOutput:
        """Logits (batch, 1, vocabulary) of the token after `input_ids`, or after the one token that continues `cache`.

        attention_mask: (batch, length of the whole text so far).
        """
        if cache is not None and cache.get_seq_length() > 0:
            prefix_length, kept = self.config.num_vision_tokens + self.config.use_state, None
            ahead = self.language_model.ahead(attention_mask.bool(), prefix_length, count=1)
            states = self.language_model.read_on(input_ids, ahead, cache)
        else:
            prompt, _ = self.prompt_inputs(observation(self, input_ids, attention_mask, pixel_values, state))
            states, kept = self.language_model.read(prompt, cache)
        logits = self.language_model.lm_head(states)
        return CogVLAOutput(logits=logits, kept_vision_tokens=kept, **{OUTPUT_NAME: cache})

    # ---- the steps of a forward pass

    def learn(
        self,
        seen: Observation,
        labels: torch.Tensor | None,
        actions: torch.Tensor | None,
        noise: torch.Tensor | None,
        timesteps: torch.Tensor | None,
        action_is_pad: torch.Tensor | None,
        items: Items | None,
        sample_weight: torch.Tensor | None,
    ) -> CogVLAOutput:
        """One pass over text with its action block, and the losses; labels: (batch, length), padded as the text is."""
        config, count, target = self.config, self.config.num_action_tokens + 1, actions
        is_diffusion = config.action_head == "diffusion"
        sequence = find_action_block(seen.input_ids, seen.real, config.num_action_tokens)
        averaged = ~sequence.is_action if config.language_mean == "padded" else sequence.real & ~sequence.is_action
        inputs, moe_ratios = self.action_inputs(seen, sequence, averaged, count)
        if is_diffusion:
            draws = actions, noise, timesteps
            inputs, target = noised(config, self.noisy_action_projector, inputs, sequence, *draws)
        states, kept = self.language_model.read(inputs)
        logits = self.language_model.lm_head(states)
        predictions = None if self.action_head is None else self.action_head(states[:, :-1])
        losses = {"lm_loss": None, "action_loss": None}
        if labels is not None:
            wanted = labels.gather(1, sequence.predicting(count) + 1)
            losses["lm_loss"] = token_loss(logits, wanted, items, sample_weight)
        if actions is not None:
            losses["action_loss"] = action_loss(predictions, target, action_is_pad, is_diffusion, items, sample_weight)
        return CogVLAOutput(
            loss=losses["lm_loss"] if actions is None else losses["action_loss"],
            **losses,
            logits=logits,
            predictions=predictions,
            action_hidden_states=states[:, :-1],
            moe_ratios=moe_ratios,
            kept_vision_tokens=kept,
        )

    def action_inputs(
        self, seen: Observation, sequence: ActionSequence, averaged: torch.Tensor, count: int
    ) -> tuple[LanguageModelInputs, torch.Tensor | None]:
        """Everything before the language model, for text with an action block; also the weights of the towers.

        averaged: (batch, length) bool, the tokens whose mean embedding conditions the vision towers; count: see
        `LanguageModel.assemble`.
        """
        embeds = self.get_input_embeddings()(sequence.input_ids)
        condition = masked_mean(embeds, averaged).squeeze(1)
        prefix, moe_ratios = self.encode_prefix(seen.pixel_values, condition, seen.state)
        if self.config.action_attention != "causal":  # predicted in parallel: no action token knows another
            embeds = embeds.masked_fill(sequence.is_action.unsqueeze(-1), 0)
        if self.config.action_head == "diffusion":  # a place for the time token
            prefix = F.pad(prefix, (0, 0, 0, 1))
        return self.language_model.assemble(sequence, embeds, prefix, self.config.action_attention, count), moe_ratios

    def prompt_inputs(
        self, seen: Observation, averaged_too: int | None = None
    ) -> tuple[LanguageModelInputs, torch.Tensor | None]:
        """As `action_inputs`, for text without an action block, of which the last token's state is wanted.

        averaged_too: a token whose embedding goes into the mean with those of the text: the stop token behind actions
            that are still to be written, which stands in the text of `learn`.
        """
        sequence = ActionSequence(seen.input_ids, seen.real, seen.real.sum(dim=1) - 1, num_action_tokens=0)
        embeds = self.get_input_embeddings()(seen.input_ids)
        averaged, real = embeds, seen.real
        if averaged_too is not None:
            more = self.get_input_embeddings()(torch.full_like(seen.input_ids[:, :1], averaged_too))
            averaged, real = torch.cat([more, embeds], dim=1), F.pad(real, (1, 0), value=True)
        condition = masked_mean(averaged, real).squeeze(1)
        prefix, moe_ratios = self.encode_prefix(seen.pixel_values, condition, seen.state)
        return self.language_model.assemble(sequence, embeds, prefix, mode="causal", count=1), moe_ratios

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
