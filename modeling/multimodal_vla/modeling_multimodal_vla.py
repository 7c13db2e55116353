"""A VLA composed of any vision tower, projector, fusion, language model and action head, or of a VLM and a head.

Data flow: vision features become tokens of the language model's width; text, vision and robot state meet where `fusion`
says; the head reads the states of learned queries (mlp, discrete) or all of them (flow). Instances of the scheme are
RT-1 (arXiv 2212.06817), Octo (2405.12213), OpenVLA-OFT (2502.19645) and pi0 (2410.24164).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import GenerationMixin
from transformers.utils import can_return_tuple

from ...configuration.known_fields import check_arguments, known_fields
from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ...configuration.multimodal_vla.head_facts import HEAD_FACTS
from ..action_normalization import affine_terms, find_statistics
from ..film import FiLM
from ..finite_predictions import require_finite
from ..input_checks import check_inputs, check_labels, one_of, refuse_sampling
from ..loss_items import ActionTargets, Items, check_sample_weight, text_items, text_loss
from ..mlp import MLP
from ..ode_sampling import chosen_sampling
from ..padded_prompts import refuse_embeds
from ..sampled_actions import SampledActions, check_num_samples, with_spread
from .backbones import generation_of, load_backbones, load_vlm, make_backbone, put_beside, whole_layers
from .capped_attention import LEAVES_OUT_CAPS, attend_with_caps
from .composed_heads import HEADS, Head, check_actions, check_flow_options
from .composed_prediction import PredictionInputs, PredictionOptions, padded_prompt, predicted, require_whole
from .composed_pretrained_model import ComposedPreTrainedModel
from .fusion import FusionParts, fuse, make_queries, prompt_sequence
from .gated_cross_attention import make_gated_layers, open_layers
from .grounding import scaled, similarity_of_views
from .language_model_rules import keep_dtype
from .multimodal_inputs import (
    TOKEN_TYPES,
    check_state,
    check_vlm_inputs,
    check_writes_text,
    checked_prompt,
    padding_first,
)
from .multimodal_outputs import MultimodalVLAActionOutput, MultimodalVLAOutput
from .portable_weights import tied_weights_of
from .token_sequences import moe_ratios
from .tower_conditioning import make_conditioning
from .vision_tokens import make_projector


class MultimodalVLAForActionPrediction(ComposedPreTrainedModel, GenerationMixin):
    """The model that users call: `predict_action`, `forward` for training, `generate` for text, `grounding_score`.

    Where a checkpoint brings the code, transformers would replace a class that generates and is no `GenerationMixin` by
    a nameless one, of which no object can be pickled.
    """

    accepts_loss_kwargs = False  # the losses are means

    def __init__(self, config: MultimodalVLAConfig, pretrained: Mapping[str, nn.Module] | None = None):
        """pretrained: parts of the backbone that exist already, by the names of its attributes."""
        super().__init__(config)
        pretrained = pretrained or {}
        self.backbone = make_backbone(config, pretrained)
        width = config.hidden_size
        self.projector = make_projector(config)
        self.tower_conditioning = make_conditioning(config)
        self.film = FiLM(width, width) if config.fusion == "film" else None
        self.gated_layers = make_gated_layers(config)
        self.proprio_projector = MLP(config.state_dim, width) if config.use_state else None
        self.action_queries, self.query_attention, self.late_projector = make_queries(config)
        self.action_network, self.action_head = HEADS[config.action_head].modules(config)
        self._no_split_modules = whole_layers(self, config)
        self.parts_with_first_names = self.backbone.first_named_parts
        self.turned_weights = self.backbone.turned_weights
        self._tied_weights_keys = tied_weights_of(self)
        self.post_init()
        for name, module in pretrained.items():
            setattr(self.backbone, name, module)
        if LEAVES_OUT_CAPS:
            attend_with_caps(self.backbone)
        keep_dtype(self.backbone)
        if self.gated_layers is not None:
            open_layers(self.backbone.stack.layers)
        self.freeze()

    # ---- made of pretrained parts

    @classmethod
    def from_backbones(
        cls,
        vision: str | Sequence[str],
        text: str,
        dtype: torch.dtype | str | None = None,
        grounding: bool = False,
        text_kwargs: Mapping[str, Any] | None = None,
        **options,
    ) -> "MultimodalVLAForActionPrediction":
        """A pretrained vision tower, or two, and a language model, and new parts between and behind them.

        Args:
            vision, text: Hub ids or folders, of a model of `AutoModel` (of two towers a list), and of a language model
                or a text encoder (also a whole T5, whose encoder is read).
            dtype: of all parts; float32 by default; "auto": that which the language model is stored in.
            grounding: keep the text tower of a SigLIP or CLIP, the first of two, for `grounding_score`.
            text_kwargs: for the language model's `from_pretrained`, such as `quantization_config`.
            options: fields of `MultimodalVLAConfig`.

        Raises:
            ConfigError: an option is unknown or does not fit, `proven_backbones.py` does not list the text model, or
                the vision model has no features of pictures; before weights are read.
        """
        check_arguments(cls.config_class.__name__, options, known_fields(cls.config_class))
        parts, configs = load_backbones(vision, text, dtype, grounding, text_kwargs, options)
        return cls.around(parts, **configs, **options)

    @classmethod
    def from_vlm(
        cls,
        vlm: str,
        dtype: torch.dtype | str | None = None,
        vlm_kwargs: Mapping[str, Any] | None = None,
        **options,
    ) -> "MultimodalVLAForActionPrediction":
        """A pretrained VLM and a new action head; arguments as in `from_backbones`.

        Raises ConfigError for an unknown option, and for a VLM that `proven_backbones.py` does not list.
        """
        check_arguments(cls.config_class.__name__, options, known_fields(cls.config_class))
        parts = load_vlm(vlm, dtype, vlm_kwargs)
        return cls.around(parts, vlm_config=parts["vlm"].config, **options)

    @classmethod
    def around(cls, parts: dict[str, nn.Module], **fields) -> "MultimodalVLAForActionPrediction":
        """New modules take the dtype and the device of the pretrained ones, which are not copied; the model writes by
        the settings of the one that writes."""
        model = cls(cls.config_class(**fields), parts)
        owner = parts.get("vlm", parts.get("language_model"))
        put_beside(model, owner)
        model.generation_config = generation_of(owner) or model.generation_config
        return model

    # ---- what users call

    @torch.no_grad()
    def predict_action(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
        image_grid_thw: torch.LongTensor | None = None,
        unnorm_key: str | None = None,
        num_inference_steps: int | None = None,
        noise: torch.Tensor | None = None,
        return_dict: bool = False,
        check_finite: bool = True,
        do_sample: bool = False,
        proprio: torch.Tensor | None = None,
        num_steps: int | None = None,
        ode_solver: str | None = None,
        ode_spacing: str | None = None,
        num_samples: int | None = None,
        **vlm_inputs: torch.Tensor,
    ) -> torch.Tensor | SampledActions | MultimodalVLAActionOutput:
        """Predict a chunk of actions for each sample: (batch, num_action_chunks, action_dim) in robot units, float32.

        Args:
            input_ids: (batch, length), with a VLM as many image tokens as its images have features.
            pixel_values: (batch, views, 3, height, width), or without views; patches, where the VLM reads those.
            attention_mask: (batch, length), 0 on padding, on either side.
            state: (batch, state_dim), normalised as the processor returns it; also called `proprio`.
            image_grid_thw: (images, 3), for VLMs that read patches; others refuse it.
            unnorm_key: whose statistics turn the prediction into robot units; needed where there are several.
            num_inference_steps, ode_solver, ode_spacing, noise: of the flow head: how many steps, also called
                `num_steps`, how they are made, see `ode_sampling.py`, and where they start, (batch, chunks,
                action_dim). Other heads refuse them.
            return_dict: return a `MultimodalVLAActionOutput` instead of the actions alone.
            check_finite: end with an error where the prediction, or what it was computed from, is not finite, or image
                tokens are miscounted; else those actions are NaN, and no device is waited for.
            do_sample: for calls written for OpenVLA; False is what is done, True is refused.
            num_samples: draw so many chunks for each sample, over one pass of images and text, and return them, their
                spread and, of the discrete head, the entropy of its tokens as `SampledActions`; `noise` is (batch,
                num_samples, chunks, action_dim) then. The mlp head has nothing to draw, and refuses it.
            vlm_inputs: what the own processor of the VLM or the vision tower returned beside these, such as
                `image_sizes`, or `pixel_attention_mask` and `spatial_shapes`; its own forward reads them.

        Raises:
            InputError: an argument is unknown or has the wrong form, or `unnorm_key` is unknown or ambiguous.
            NonFiniteError: see `check_finite`.
        """
        refuse_sampling(do_sample)
        state, head = one_of(state=state, proprio=proprio), self.config.action_head
        if num_samples is not None:
            check_num_samples(num_samples, self.config.draws_samples, f"action_head={head!r}")
        steps = {"num_inference_steps": num_inference_steps, "num_steps": num_steps}
        check_flow_options(self.config, ode_solver=ode_solver, ode_spacing=ode_spacing, **steps, noise=noise)
        ode = chosen_sampling(self.config, num_inference_steps, num_steps, ode_solver, ode_spacing)
        check_inputs(self, input_ids, attention_mask, {"pixel_values": pixel_values, "state": state, "noise": noise})
        check_state(state, len(input_ids), self.config)
        statistics = find_statistics(self.config.norm_stats, unnorm_key)["action"]
        text, images = padded_prompt(self, input_ids, attention_mask), (pixel_values, image_grid_thw, vlm_inputs)
        prompt = checked_prompt(self, *text, *images, waits=False)
        terms = affine_terms(statistics, self.config.normalization_type, input_ids)
        given = PredictionInputs(prompt, state, self.head.draws(input_ids, noise, num_samples), terms)
        found = predicted(self, given, PredictionOptions(ode, num_samples, check_finite), input_ids.shape[1])
        if check_finite:
            require_whole(self, found, given, statistics)
        if num_samples is not None:
            return with_spread(found.actions, found.normalized, found.entropy)
        if not return_dict:
            return found.actions
        return MultimodalVLAActionOutput(found.actions, found.normalized, found.token_ids, found.ratios)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        actions: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
        image_grid_thw: torch.LongTensor | None = None,
        time: torch.Tensor | None = None,
        noise: torch.Tensor | None = None,
        action_is_pad: torch.Tensor | None = None,
        answer_mask: torch.Tensor | None = None,
        num_items_in_batch: Items | None = None,
        proprio: torch.Tensor | None = None,
        sample_weight: torch.Tensor | None = None,
        **vlm_inputs: torch.Tensor,
    ) -> MultimodalVLAOutput:
        """With `actions` the loss of the head; with labels, or without actions, the language model (no encoder).

        Args:
            labels: (batch, length), -100 where there is nothing to learn.
            actions: (batch, num_action_chunks, action_dim), normalised.
            time, noise: of the flow head: (batch,) in 0..1, 1 being noise, and like actions; drawn when left out.
            action_is_pad: (batch, num_action_chunks), true on steps behind the end of an episode, which are not learnt.
            answer_mask: (batch, length), 1 on text behind the prompts that the language model learns to write and the
                head does not see, as in a prediction; it costs a second pass.
            num_items_in_batch: totals of `loss_items` over the batches that make one step, where this is one of them.
            sample_weight: (batch,), what each sample weighs in the means, of actions and of text.
            The others are as in `predict_action`.

        Raises:
            InputError: an argument has the wrong form, or an encoder is asked for text.
        """
        if labels is not None or actions is None:
            check_writes_text(self.config, "labels" if labels is not None else "a call without actions")
        state = one_of(state=state, proprio=proprio)
        numbers = {"pixel_values": pixel_values, "state": state, "actions": actions, "time": time, "noise": noise}
        numbers["sample_weight"] = sample_weight
        check_inputs(self, input_ids, attention_mask, numbers)
        check_sample_weight(sample_weight, len(input_ids), num_items_in_batch)
        check_flow_options(self.config, time=time, noise=noise)
        check_labels(labels, input_ids)
        check_state(state, len(input_ids), self.config)
        prompt = checked_prompt(self, input_ids, attention_mask, pixel_values, image_grid_thw, vlm_inputs)
        asked = prompt if answer_mask is None else prompt.without(answer_mask)
        read = (self.fusion_parts, state) if actions is not None else (self.fusion_parts.for_text(), None)
        states, real, text_states = fuse(read[0], self.config, prompt, read[1], labels, answer_mask)
        if asked is not prompt and actions is not None:
            states, real, _ = fuse(self.fusion_parts, self.config, asked, state)
        action_loss = lm_loss = logits = None
        if actions is not None:
            check_actions(actions, len(states), self.config)
            targets = ActionTargets(actions, time, noise, action_is_pad, num_items_in_batch, sample_weight)
            action_loss = self.head.loss(states, real, targets)
        if labels is not None or actions is None:
            logits = self.backbone.logits(text_states)
        if labels is not None:
            plain = self.backbone.language_model.loss_function
            lm_loss = text_loss(plain, logits, labels, num_items_in_batch, sample_weight)
        losses = [loss for loss in (action_loss, lm_loss) if loss is not None]
        ratios = moe_ratios(self.backbone, self.projector, asked)
        return MultimodalVLAOutput(sum(losses) if losses else None, action_loss, lm_loss, logits, ratios)

    @torch.no_grad()
    def generate(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_grid_thw: torch.LongTensor | None = None,
        **kwargs,
    ) -> torch.LongTensor:
        """Text, by the `generate` of the language model or the VLM and this model's `generation_config`; prompts may be
        padded on either side.

        A VLM that is used as it is returns prompts and new tokens, as ever; otherwise only new tokens come back. With
        late fusion the language model sees no image. Raises InputError for an encoder, which writes none, and for
        `inputs_embeds`.
        """
        refuse_embeds(kwargs)
        check_writes_text(self.config, "generate")
        check_inputs(self, input_ids, attention_mask, {"pixel_values": pixel_values})
        self.backbone.language_model.generation_config = self.generation_config
        names = self.backbone.image_arguments.union(TOKEN_TYPES).intersection(kwargs)
        vlm_inputs = {name: kwargs.pop(name) for name in names}
        prompt = checked_prompt(self, input_ids, attention_mask, pixel_values, image_grid_thw, vlm_inputs)
        if self.backbone.has_image_tokens and self.projector is None and self.config.fusion not in ("late", "film"):
            return self.backbone.generate_as_it_is(prompt, **kwargs)
        sequence, _ = padding_first(prompt_sequence(self.fusion_parts, self.config, prompt))
        return self.backbone.generate(sequence, **kwargs)

    @torch.no_grad()
    def grounding_score(
        self,
        pixel_values: torch.Tensor,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        check_finite: bool = True,
        as_logits: bool = False,
        **vision_inputs: torch.Tensor,
    ) -> torch.Tensor:
        """Cosine similarity of each view and the text, (batch, views) in -1..1: is the scene what the text says?

        `docs/talking-to-a-policy.md` has an example with a threshold.

        Args:
            pixel_values: (batch, views, 3, height, width), or without views.
            input_ids, attention_mask: (batch, length), by the tokenizer of the text tower, as that tower was trained
                (SigLIP: padded to its maximum length, without a mask): `processor(images, text, grounding=True)`.
            as_logits: instead, the `logits_per_image` of the two towers: the cosine, scaled (and of a SigLIP shifted)
                as they learned to. The sigmoid of a SigLIP's is a probability; those of a CLIP compare texts.
            check_finite: end with an error where the scores, or the pixels, are not finite.
            vision_inputs: what the image processor returned beside the pixels (SigLIP 2 NaFlex).

        Raises:
            InputError: the vision backbone has no text tower (SigLIP and CLIP have, with `grounding=True`).
            NonFiniteError: see `check_finite`.
        """
        check_inputs(self, input_ids, attention_mask, {"pixel_values": pixel_values})
        check_vlm_inputs(self, vision_inputs)
        inputs = pixel_values.to(self.dtype), input_ids, attention_mask, vision_inputs
        scores = similarity_of_views(self.backbone, *inputs)
        scores = scaled(self.backbone.vision_tower, scores) if as_logits else scores
        if check_finite:
            require_finite(self, {"scores": scores}, {"pixel_values": pixel_values})
        return scores

    # ---- what a prediction is made with, and what a loss counts

    @property
    def fusion_parts(self) -> FusionParts:
        """The modules before the head."""
        behind = self.proprio_projector, self.action_queries, self.query_attention, self.late_projector
        inside = self.tower_conditioning, self.gated_layers
        return FusionParts(self.backbone, self.projector, self.film, *behind, *inside, self.config.text_pooling)

    @property
    def head(self) -> Head:
        """What reads actions out of states, with the network that there is now, of which PEFT trains a copy."""
        if self.action_network is not None:
            times = self.config.use_time_weight, self.config.time_sampling
            self.action_head.follow_owner(self.action_network, *times)
        return HEADS[self.config.action_head](self.action_head, self.get_output_embeddings(), self.config)

    def drawn(self, actions: torch.Tensor | None = None, time: torch.Tensor | None = None, **kwargs) -> dict:
        """`{"time": (batch,)}` for a batch of `forward` that has none, where its loss weighs samples by it."""
        if actions is None or time is not None or not HEAD_FACTS[self.config.action_head].has_draws:
            return {}
        return {"time": self.head.module.sample_time(len(actions), actions.device)}

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
        if actions is not None:
            targets = ActionTargets(actions, time, action_is_pad=action_is_pad, sample_weight=sample_weight)
            items |= self.head.loss_items(targets)
        return items
