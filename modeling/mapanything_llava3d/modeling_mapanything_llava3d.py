"""LLaVA-3D with MapAnything geometry and action experts: from camera views and an instruction to a chunk of actions.

Data flow: SigLIP features of every view, fused with the scene's geometry, take the place of the image tokens among the
text embeddings; this prefix runs through the language model once; an expert turns noise into actions in a few steps
that look at it. (LLaVA-3D: arXiv 2409.18125; MapAnything: arXiv 2509.13414; deep fusion after pi0: arXiv 2410.24164.)
"""

from typing import Any

import torch
from torch import nn
from transformers import Cache, GenerationMixin
from transformers.utils import can_return_tuple

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.mapanything_llava3d.llava3d_start import MODULES
from ...configuration.vla_errors import InputError
from ..action_normalization import affine_terms, find_statistics
from ..cache_names import cache_argument, one_cache
from ..flow_matching_action_expert import FlowMatchingActionExpert
from ..input_checks import check_labels, one_of, refuse_sampling
from ..loss_items import ActionTargets, Items, check_sample_weight, items_of_text, learnt_steps, text_items
from ..masking import check_mask, without_answers
from ..ode_sampling import chosen_sampling
from ..padded_prompts import padding_before, refuse_embeds, with_prompts
from ..sampled_actions import SampledActions, with_spread
from ..strict_loading import tied_weights
from .action_experts import ActionParts, action_loss, check_state, checked_or_drawn_noise, chosen_scale
from .dit_action_head import DiTActionHead
from .image_features import ImageParts, image_features
from .llava3d_inputs import check_arguments, check_has_expert, check_sampling, check_text_arguments, check_tokens
from .llava3d_language_model import LLaVA3DForCausalLMV2
from .llava3d_outputs import MapAnythingLlava3DActionOutput, MapAnythingLlava3DOutput, joined_output
from .llava3d_prediction import ActionOptions, joint_projections, require_sound, run_prediction
from .llava3d_pretrained_model import MapAnythingLlava3DPreTrainedModel
from .llava3d_with_action_expert import LLaVA3DWithActionExpertModel
from .mapanything_geometry import MapAnythingGeometry
from .prefix_tokens import drop_tokens, embed_spatial, put_features
from .siglip_tower import SiglipTower

GENERATES_CACHE = cache_argument(GenerationMixin.prepare_inputs_for_generation)


class MapAnythingLlava3DForConditionalGeneration(MapAnythingLlava3DPreTrainedModel, GenerationMixin):
    """The model that users call: `predict_action` for actions, `forward` for training, `generate` for text."""

    accepts_loss_kwargs = False  # a Trainer must weigh accumulated batches itself: the loss is a mean
    pretrained_parts = ("vision_tower", "geometric_model", "language_model")
    named_parts = MODULES
    action_parts = ("action_expert.", "language_model_with_expert.", "dit_action_")
    _tied_weights_keys = tied_weights(
        {"language_model.model.lm_head.weight": "language_model.model.model.embed_tokens.weight"}
    )

    def __init__(self, config: MapAnythingLlava3DConfig):
        super().__init__(config)
        vision_width, width = config.vision_config.hidden_size, config.text_config.hidden_size
        self.vision_tower = SiglipTower(config.vision_config)
        self.vision_projector = nn.Linear(vision_width, width) if vision_width != width else None
        self.geometric_model = self.geometric_projector = self.fusion_projector = None
        if config.use_geometric_branch:
            self.geometric_model = MapAnythingGeometry(config.geometry_config)
            self.geometric_projector = nn.Linear(config.geometry_config.info_sharing_hidden_size, width)
            self.fusion_projector = nn.Linear(2 * width, width)
        self.language_model = LLaVA3DForCausalLMV2(config.text_config)
        self.spatial_embed_tokens = nn.Embedding(config.spatial_token_num, width) if config.use_spatial_token else None
        self.language_model_with_expert = self.action_expert = self.dit_action_head = None
        if config.has_deep_fusion:
            self.language_model_with_expert = LLaVA3DWithActionExpertModel(
                self.language_model, config.expert_config, config.expert_layer_alignment, config.prefix_attention
            )
            self.action_expert = FlowMatchingActionExpert(
                self.language_model_with_expert,
                config.action_dim,
                config.num_action_chunks,
                state_dim=config.state_dim,
                use_state=config.use_state,
                use_time_weight=config.use_time_weight,
                time_sampling=config.time_sampling,
                num_embodiments=config.num_embodiments,
            )
        if config.has_dit:
            self.dit_action_head = DiTActionHead(config.dit_config)
        self.dit_action_projector = None
        if config.has_dit and config.has_deep_fusion:
            self.dit_action_projector = nn.Linear(config.expert_hidden_size, config.dit_config.hidden_size)
            self.dit_action_head.action_encoder = None  # the expert's states take its place
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.language_model.get_output_embeddings()

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_output_embeddings(value)

    @torch.no_grad()
    def predict_action(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
        intrinsic: torch.Tensor | None = None,
        unnorm_key: str | None = None,
        num_inference_steps: int | None = None,
        noise: torch.Tensor | None = None,
        return_dict: bool = False,
        check_finite: bool = True,
        do_sample: bool = False,
        num_steps: int | None = None,
        proprio: torch.Tensor | None = None,
        ode_solver: str | None = None,
        ode_spacing: str | None = None,
        num_samples: int | None = None,
        guidance_scale: float | None = None,
        embodiment_id: torch.LongTensor | None = None,
    ) -> torch.Tensor | SampledActions | MapAnythingLlava3DActionOutput:
        """Predict a chunk of actions for each sample.

        Args:
            input_ids: (batch, length), with as many image tokens as the views have features.
            pixel_values: (batch, views, 3, height, width), or (batch, 3, height, width) for one view.
            attention_mask: (batch, length), 0 on padding, anywhere; without it everything is real.
            state: (batch, state_dim) or (batch, 1, state_dim), normalised as the processor returns it; also called
                `proprio`.
            intrinsic: camera matrices (batch, views, 3, 3) in pixels, for a geometry model that can use them;
                MapAnything's features do not depend on them.
            unnorm_key: whose statistics turn the prediction into robot units; needed where there are several.
            num_inference_steps, num_steps: how many steps, under one of the two names; ode_solver, ode_spacing: how
                they are made, see `ode_sampling.py`. By default all as the config says.
            noise: (batch, num_action_chunks, action_dim), where the sampling starts; drawn when left out.
            return_dict: return a `MapAnythingLlava3DActionOutput` instead of the actions alone.
            check_finite: end with an error where the prediction, or what it was computed from, is not finite, and on an
                accelerator where rows have no text or other image tokens than views have features (on a CPU that is
                seen before); the one time that a prediction waits for the device.
            do_sample: for calls written for OpenVLA; False is what is done, True is refused.
            num_samples: draw so many chunks for each sample, over one pass of images and text, and return them and
                their spread as `SampledActions`; `noise` is (batch, num_samples, num_action_chunks, action_dim) then.
            guidance_scale: of a DiT head that was trained with `condition_dropout`, see its config; 1 is none.
            embodiment_id: (batch,), whose encoders and decoders are used, where `config.num_embodiments` is above 1.

        Returns:
            (batch, num_action_chunks, action_dim) in robot units, float32, unless `return_dict` or `num_samples` ask
            for more.

        Raises:
            InputError: an argument has the wrong form, or `unnorm_key` is unknown or ambiguous.
            NonFiniteError: see `check_finite`.
        """
        refuse_sampling(do_sample)
        check_has_expert(self.config)
        state = one_of(state=state, proprio=proprio)
        ode = chosen_sampling(self.config, num_inference_steps, num_steps, ode_solver, ode_spacing)
        inputs = {"pixel_values": pixel_values, "state": state, "intrinsic": intrinsic, "noise": noise}
        check_arguments(self, input_ids, attention_mask, inputs)
        check_sampling(self.config, num_samples, guidance_scale)
        parts = self.expert_parts()
        check_state(parts, state, len(input_ids), embodiment_id)
        statistics = find_statistics(self.config.norm_stats, unnorm_key)["action"]
        if input_ids.device.type == "cpu" or torch.compiler.is_compiling():
            check_tokens(self.config, input_ids, attention_mask, pixel_values)
        noise = checked_or_drawn_noise(parts, input_ids, noise, num_samples)
        terms = affine_terms(statistics, self.config.normalization_type, noise)
        given = pixel_values, intrinsic, state, noise, embodiment_id, terms
        scale = chosen_scale(parts, guidance_scale)
        options = ActionOptions(ode, scale, self.config.normalization_type, check_finite)
        found = run_prediction(self, input_ids, attention_mask, given, options)
        if check_finite:
            require_sound(self, input_ids, attention_mask, inputs, found, statistics, embodiment_id)
        if num_samples is not None:
            return with_spread(found.actions, found.normalized)
        if return_dict:
            return MapAnythingLlava3DActionOutput(found.actions, found.normalized)
        return found.actions

    def projections_to_fuse(self) -> list[list[nn.Linear]]:
        """Of the towers, the language model and the experts; see `StrictPreTrainedModel`."""
        return joint_projections(self)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        actions: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
        intrinsic: torch.Tensor | None = None,
        time: torch.Tensor | None = None,
        noise: torch.Tensor | None = None,
        answer_mask: torch.Tensor | None = None,
        action_is_pad: torch.Tensor | None = None,
        num_items_in_batch: Items | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        stop_grad_from_vlm: bool | None = None,
        cache: Cache | None = None,
        proprio: torch.Tensor | None = None,
        sample_weight: torch.Tensor | None = None,
        embodiment_id: torch.LongTensor | None = None,
        **kwargs,
    ) -> MapAnythingLlava3DOutput:
        """With `actions` the loss of the action experts; without them, or with labels, the language model.

        Args:
            input_ids, pixel_values, attention_mask, intrinsic, state or proprio, embodiment_id: as in `predict_action`.
            labels: (batch, length), -100 where there is nothing to learn.
            actions, time, noise, action_is_pad, num_items_in_batch (items), sample_weight: see `ActionTargets`; the
                text of a sample weighs as much as its actions.
            answer_mask: (batch, length), 1 on text behind the prompts that the language model learns to write and the
                action experts do not see, as in a prediction.
            inputs_embeds: (batch, length, hidden_size), in the place of `input_ids` and `pixel_values`.
            stop_grad_from_vlm: the loss of the actions has no gradient in the prefix; by default as the config says.
            position_ids, past_key_values or cache, use_cache, kwargs: as in `LlamaForCausalLM`.

        Raises:
            InputError: an argument has the wrong form.
        """
        check_text_arguments(kwargs)
        cache, state = one_cache(cache, past_key_values), one_of(state=state, proprio=proprio)
        targets = ActionTargets(actions, time, noise, action_is_pad, num_items_in_batch, sample_weight)
        numbers = {"sample_weight": sample_weight, "pixel_values": pixel_values, "intrinsic": intrinsic, "state": state}
        numbers |= {"actions": actions, "time": time, "noise": noise}
        inputs_embeds, features = self.embed_inputs(input_ids, inputs_embeds, attention_mask, numbers, cache)
        check_sample_weight(sample_weight, len(inputs_embeds), num_items_in_batch)
        check_labels(labels, inputs_embeds)
        loss = None
        if actions is not None:
            check_has_expert(self.config)
            stop = self.config.stop_grad_from_vlm if stop_grad_from_vlm is None else stop_grad_from_vlm
            mask = without_answers(inputs_embeds, attention_mask, answer_mask)
            loss = action_loss(self.expert_parts(), inputs_embeds, mask, state, targets, stop, embodiment_id)
        if actions is not None and labels is None:
            return MapAnythingLlava3DOutput(loss=loss, action_loss=loss, image_hidden_states=features)
        if labels is not None:
            kwargs["num_items_in_batch"] = items_of_text(labels, num_items_in_batch, sample_weight)
            kwargs["sample_weight"] = sample_weight
        kwargs |= {"position_ids": position_ids, "cache": cache, "labels": labels, "use_cache": use_cache}
        text = self.language_model(inputs_embeds=inputs_embeds, attention_mask=attention_mask, **kwargs)
        return joined_output(text, loss, features)

    # ---- text

    def generate(
        self, input_ids: torch.LongTensor | None = None, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> Any:
        """As in transformers; prompts (batch, length) may be padded on either side, and come back as they were.

        Raises InputError for `inputs_embeds`, which only `forward` takes.
        """
        refuse_embeds(kwargs)
        if input_ids is None or attention_mask is None or attention_mask.shape != input_ids.shape:
            return super().generate(input_ids=input_ids, attention_mask=attention_mask, **kwargs)
        mask, ids = padding_before(attention_mask, input_ids)
        return with_prompts(super().generate(input_ids=ids, attention_mask=mask, **kwargs), input_ids)

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.LongTensor,
        past_key_values: Cache | None = None,
        pixel_values: torch.Tensor | None = None,
        cache: Cache | None = None,
        **kwargs,
    ) -> dict:
        """As in transformers; the images go in with their tokens and never again."""
        cache = one_cache(cache, past_key_values)
        inputs = super().prepare_inputs_for_generation(input_ids, **{GENERATES_CACHE: cache}, **kwargs)
        ids = inputs.get("input_ids")
        is_cached = cache is not None and cache.get_seq_length() > 0
        is_text = is_cached and ids is not None and (ids.shape[1] == 1 or not self.has_images(ids))
        return inputs if is_text else inputs | {"pixel_values": pixel_values}

    def has_images(self, input_ids: torch.LongTensor) -> bool:
        """Whether image tokens are among several that follow a cache: drafted ones, or those of a second question."""
        return bool((input_ids == self.config.image_token_id).any())

    def is_generating(
        self, input_ids: torch.LongTensor | None, pixel_values: torch.Tensor | None, cache: Cache | None
    ) -> bool:
        """Whether `input_ids` is the one token that was written last; it is text, whatever its id."""
        cached = cache is not None and cache.get_seq_length() > 0
        return cached and pixel_values is None and input_ids is not None and input_ids.shape[1] == 1

    # ---- actions

    def expert_parts(self) -> ActionParts:
        """The parts that there are now, of which PEFT trains copies, and as the config is now."""
        stack, network = self.language_model.decoder, self.language_model_with_expert
        causal = self.config.prefix_attention == "causal"
        if network is not None:
            network.follow_owner(stack, causal)
            self.action_expert.follow_owner(network, self.config.use_time_weight, self.config.time_sampling)
        experts = self.action_expert, self.dit_action_head, self.dit_action_projector
        return ActionParts(stack, causal, network, *experts)

    def drawn(self, actions: torch.Tensor | None = None, time: torch.Tensor | None = None, **kwargs) -> dict:
        """`{"time": (batch,)}` for a batch of `forward` that has none, where its loss weighs samples by it."""
        if actions is None or time is not None or not self.config.has_deep_fusion:
            return {}
        return {"time": self.expert_parts().expert.sample_time(len(actions), actions.device)}

    def loss_items(
        self,
        actions: torch.Tensor | None = None,
        time: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        action_is_pad: torch.Tensor | None = None,
        sample_weight: torch.Tensor | None = None,
        **kwargs,
    ) -> dict[str, torch.Tensor]:
        """What a batch of `forward` counts in each of its losses, see `loss_items.py`; `time` is not drawn here."""
        items = {} if labels is None else {"text": text_items(labels, sample_weight)}
        if actions is not None and self.config.has_deep_fusion:
            items["flow"] = self.expert_parts().expert.loss_items(actions, time, action_is_pad, sample_weight)
        if actions is not None and self.config.has_dit:
            items["dit"] = learnt_steps(actions, action_is_pad, sample_weight).sum()
        return items

    # ---- the prefix

    def embed_inputs(
        self,
        input_ids: torch.LongTensor | None,
        inputs_embeds: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        numbers: dict[str, torch.Tensor | None],
        cache: Cache | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What `forward` gives to the language model, (batch, length, hidden_size), and the image features in it.

        numbers: arguments of `forward` that hold real numbers; all are checked here.
        """
        pixel_values = numbers["pixel_values"]
        if inputs_embeds is not None and pixel_values is not None:
            raise InputError("inputs_embeds takes the place of pixel_values, too; pass one of them.")
        if self.is_generating(input_ids, pixel_values, cache):
            return self.embed_text(input_ids), None
        if inputs_embeds is not None:
            return inputs_embeds, None
        num_cached = 0 if cache is None else int(cache.get_seq_length())
        check_arguments(self, input_ids, attention_mask, numbers, num_cached)
        check_tokens(self.config, input_ids, attention_mask, pixel_values)
        return self.embed_prefix(input_ids, pixel_values, attention_mask, numbers["intrinsic"])

    def embed_prefix(
        self,
        input_ids: torch.LongTensor | None,
        pixel_values: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        intrinsic: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Text embeddings with the image features in their places, (batch, length, hidden_size), and the features.

        Each row has as many image tokens as there are features: see `check_tokens`.
        """
        is_image = input_ids == self.config.image_token_id
        embeds = self.embed_text(input_ids.masked_fill(is_image, 0))
        if self.training and self.config.prefix_lang_dropout_prob:
            real = check_mask(embeds, attention_mask)
            dropped = drop_tokens(embeds, self.config.prefix_lang_dropout_prob)
            embeds = torch.where((~is_image & real).unsqueeze(-1), dropped, embeds)
        if pixel_values is None:
            return embeds, None
        features = self.get_image_features(pixel_values, intrinsic)
        return put_features(embeds, is_image, features.to(embeds.dtype)), features

    def embed_text(self, input_ids: torch.LongTensor) -> torch.Tensor:
        """Embeddings of text; spatial action tokens have a table of their own where the config says so."""
        if self.spatial_embed_tokens is None:
            return self.get_input_embeddings()(input_ids)
        table, first = self.spatial_embed_tokens, self.config.action_token_begin_idx
        return embed_spatial(input_ids, self.get_input_embeddings(), table, first)

    def get_image_features(self, pixel_values: torch.Tensor, intrinsic: torch.Tensor | None = None) -> torch.Tensor:
        """Features of all views in order, (batch, views * patches, hidden_size).

        pixel_values, intrinsic: as in `predict_action`.
        """
        projectors = self.geometric_model, self.geometric_projector, self.fusion_projector
        parts = ImageParts(self.vision_tower, self.vision_projector, *projectors)
        dropout = self.config.prefix_image_dropout_prob if self.training else 0.0
        return image_features(parts, self.config, pixel_values.to(self.dtype), intrinsic, dropout)
