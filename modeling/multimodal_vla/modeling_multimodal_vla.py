"""A VLA composed of any vision tower, projector, fusion, language model and action head, or of a VLM and a head.

Data flow: vision features become tokens of the language model's width; text, vision and robot state meet where `fusion`
says; the head reads the states of learned queries (mlp, discrete) or all of them (flow). Instances of the scheme are
RT-1 (arXiv 2212.06817), Octo (2405.12213), OpenVLA-OFT (2502.19645) and pi0 (2410.24164).
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText, GenerationMixin
from transformers.utils import can_return_tuple

from ...configuration.known_fields import check_arguments, known_fields
from ...configuration.multimodal_vla.configuration_multimodal_vla import TWO_TOWERS, MultimodalVLAConfig, kind_of
from ...configuration.multimodal_vla.proven_backbones import check_proven
from ...configuration.vla_errors import InputError
from ..action_heads import MLPResNet
from ..action_normalization import find_statistics, unnormalize
from ..action_tokens import actions_to_tokens, tokens_to_actions
from ..film import FiLM
from ..finite_predictions import finite_rows, require_finite
from ..flow_matching_action_expert import FlowMatchingActionExpert
from ..input_checks import check_inputs, refuse_sampling
from ..learned_tokens import LearnedTokens
from ..loss_items import Items, items_of_text, learnt_steps, text_items, weighted_mean
from ..masking import without_answers
from ..projectors import MLPProjector
from ..strict_loading import StrictPreTrainedModel
from .chosen_parts import make_backbone, make_projector
from .context_action_network import ContextActionNetwork
from .fusion import MultimodalFusion
from .multimodal_outputs import MultimodalVLAActionOutput, MultimodalVLAOutput
from .perceiver_resampler import PerceiverResampler
from .portable_weights import WRITES_OWN_NAMES, PortableWeights, tied_weights_of


class MultimodalVLAForActionPrediction(MultimodalFusion, PortableWeights, StrictPreTrainedModel, GenerationMixin):
    """The model that users call: `predict_action`, `forward` for training, `generate` for text, `grounding_score`.

    Where a checkpoint brings the code, transformers would replace a class that generates and is no `GenerationMixin` by
    a nameless one, of which no object can be pickled.
    """

    config_class = MultimodalVLAConfig
    base_model_prefix = "backbone"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False  # the losses are means
    pretrained_parts = ("backbone",)
    _supports_sdpa = True

    def __init__(self, config: MultimodalVLAConfig, pretrained: Mapping[str, nn.Module] | None = None):
        """pretrained: parts of the backbone that exist already, by the names of its attributes."""
        super().__init__(config)
        for nested in nested_configs(config):
            nested.dtype = torch.get_default_dtype()  # sub-models would be made in the dtype of their configs
        with torch.device("meta") if pretrained else contextlib.nullcontext():
            self.backbone = make_backbone(config)
        width = config.hidden_size
        self.projector = make_projector(config)
        self.film = FiLM(width, width) if config.fusion == "film" else None
        self.proprio_projector = MLPProjector(config.proprio_dim, width) if config.use_proprio else None
        self.action_queries = self.query_attention = self.late_projector = None
        if config.fusion == "cross_attention":
            resampler = config.num_queries, config.num_resampler_layers, config.num_resampler_heads
            self.query_attention = PerceiverResampler(width, width, *resampler)
        elif config.num_queries:
            self.action_queries = LearnedTokens(config.num_queries, width)
        if config.fusion == "late" and config.num_queries:
            self.late_projector = nn.Linear((3 if config.use_proprio else 2) * width, width)
        self.make_head()
        self._no_split_modules = sorted(
            {name for module in self.modules() for name in getattr(module, "_no_split_modules", None) or ()}
        )
        self.parts_with_first_names = () if self.backbone.has_image_tokens else ("backbone.vision_tower",)
        if WRITES_OWN_NAMES:
            self._tied_weights_keys = tied_weights_of(self)  # 4.57 asks the parts itself
        self.post_init()
        if self.film is not None:  # starts as the identity; 5.x asks `_init_weights` for no module without own weights
            nn.init.zeros_(self.film.scale.weight)
            nn.init.zeros_(self.film.shift.weight)
        for name, module in (pretrained or {}).items():
            setattr(self.backbone, name, module)
        self.freeze()

    def make_head(self) -> None:
        """The modules that read actions out of states; a discrete head has the language model's."""
        config = self.config
        self.action_network = self.action_head = None
        if config.action_head == "mlp":
            self.action_head = MLPResNet(config.hidden_size, config.hidden_size, config.action_dim)
        elif config.action_head == "flow":
            self.action_network = ContextActionNetwork(config.hidden_size, config.expert_config)
            self.action_head = FlowMatchingActionExpert(
                self.action_network,
                config.action_dim,
                config.num_action_chunks,
                use_time_weight=config.use_time_weight,
                time_sampling=config.time_sampling,
            )

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LearnedTokens):
            text = self.config.text_part  # OPT and XGLM call it otherwise
            nn.init.normal_(module.tokens, std=getattr(text, "initializer_range", None) or text.init_std)

    @property
    def frozen_parts(self) -> list[nn.Module]:
        return [self.backbone.frozen_part] if self.config.freeze_vision_tower else []

    @property
    def language_part(self) -> nn.Module:
        return self.backbone.language_part

    def freeze(self) -> None:
        """Keep the vision tower out of training, where the config says so."""
        for part in self.frozen_parts:
            part.requires_grad_(False)

    # ---- made of pretrained parts

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """As in transformers; what the config freezes is frozen."""
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        (loaded[0] if isinstance(loaded, tuple) else loaded).freeze()
        return loaded

    @classmethod
    def from_backbones(
        cls,
        vision: str,
        text: str,
        dtype: torch.dtype | str | None = None,
        grounding: bool = False,
        text_kwargs: Mapping[str, Any] | None = None,
        **options,
    ) -> "MultimodalVLAForActionPrediction":
        """A pretrained vision tower and language model, and new parts between and behind them.

        Args:
            vision, text: Hub ids or folders, of models of `AutoModel` and `AutoModelForCausalLM`.
            dtype: of all parts; float32 by default.
            grounding: keep the text tower of a SigLIP or CLIP, for `grounding_score`.
            text_kwargs: for the language model's `from_pretrained`, such as `quantization_config`.
            options: fields of `MultimodalVLAConfig`.

        Raises:
            ConfigError: an option is unknown or does not fit, or `proven_backbones.py` does not list the language
                model; before weights are read.
        """
        check_arguments(cls.config_class.__name__, options, known_fields(cls.config_class))
        check_proven("text_config", AutoConfig.from_pretrained(text).model_type)
        config = AutoConfig.from_pretrained(vision)
        if config.model_type in TWO_TOWERS and not grounding:
            config = config.vision_config
        dtype = torch.float32 if dtype is None else dtype
        parts = {
            "vision_tower": AutoModel.from_pretrained(vision, config=config, dtype=dtype),
            "language_model": AutoModelForCausalLM.from_pretrained(text, dtype=dtype, **(text_kwargs or {})),
        }
        configs = {"vision_config": parts["vision_tower"].config, "text_config": parts["language_model"].config}
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
        check_proven("vlm_config", kind_of(AutoConfig.from_pretrained(vlm)))  # before weights are read
        dtype = torch.float32 if dtype is None else dtype
        model = AutoModelForImageTextToText.from_pretrained(vlm, dtype=dtype, **(vlm_kwargs or {}))
        return cls.around({"vlm": model}, vlm_config=model.config, **options)

    @classmethod
    def around(cls, parts: dict[str, nn.Module], **fields) -> "MultimodalVLAForActionPrediction":
        """New modules take the dtype and the device of the pretrained ones, which are not copied."""
        model = cls(cls.config_class(**fields), parts)
        owner = parts.get("vlm", parts.get("language_model"))
        for name, child in model.named_children():
            if name != "backbone":
                child.to(owner.device)
                for parameter in child.parameters():  # buffers, such as rotary frequencies, stay float32
                    parameter.data = parameter.data.to(owner.dtype)
        return model

    def get_input_embeddings(self) -> nn.Module:
        return self.backbone.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.backbone.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.backbone.language_model.get_output_embeddings()

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.backbone.language_model.set_output_embeddings(value)

    # ---- what users call

    @torch.no_grad()
    def predict_action(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        proprio: torch.Tensor | None = None,
        image_grid_thw: torch.LongTensor | None = None,
        unnorm_key: str | None = None,
        num_steps: int | None = None,
        noise: torch.Tensor | None = None,
        return_dict: bool = False,
        check_finite: bool = True,
        do_sample: bool = False,
    ) -> torch.Tensor | MultimodalVLAActionOutput:
        """Predict a chunk of actions for each sample.

        Args:
            input_ids: (batch, length), with a VLM as many image tokens as its images have features.
            pixel_values: (batch, views, 3, height, width), or without views; patches, where the VLM reads those.
            attention_mask: (batch, length), 0 on padding, on either side.
            proprio: (batch, proprio_dim), normalised as the processor returns it.
            image_grid_thw: (images, 3), for VLMs that read patches.
            unnorm_key: whose statistics turn the prediction into robot units; needed where there are several.
            num_steps, noise: of the flow head: Euler steps, and where they start (batch, chunks, action_dim).
            return_dict: return a `MultimodalVLAActionOutput` instead of the actions alone.
            check_finite: end with an error where the prediction, or what it was computed from, is not finite.
            do_sample: for calls written for OpenVLA; False is what is done, True is refused.

        Returns:
            (batch, num_action_chunks, action_dim) in robot units, float32.

        Raises:
            InputError: an argument has the wrong form, or `unnorm_key` is unknown or ambiguous.
            NonFiniteError: see `check_finite`.
        """
        refuse_sampling(do_sample)
        inputs = {"pixel_values": pixel_values, "proprio": proprio, "noise": noise}
        check_inputs(self, input_ids, attention_mask, inputs)
        statistics = find_statistics(self.config.norm_stats, unnorm_key)["action"]
        states, real, _ = self.fuse(input_ids, pixel_values, attention_mask, proprio, image_grid_thw)
        token_ids = finite_logits = None
        if self.config.action_head == "flow":
            steps = self.config.num_inference_steps if num_steps is None else num_steps
            normalized = self.action_head.sample_actions(states, num_steps=steps, attention_mask=real, noise=noise)
        elif self.config.action_head == "mlp":
            normalized = self.action_head(states).float()
        else:
            logits = self.bin_logits(states)
            finite_logits = finite_rows(logits)
            token_ids = self.first_bin + logits.argmax(dim=-1).unflatten(1, self.chunk_shape)
            normalized = tokens_to_actions(token_ids, self.config.action_vocab_size, self.config.num_action_bins)
        actions = unnormalize(normalized, statistics, self.config.normalization_type)
        if check_finite:
            require_finite(self, {"actions": actions, "logits": finite_logits}, inputs, statistics)
        return MultimodalVLAActionOutput(actions, normalized, token_ids) if return_dict else actions

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        actions: torch.Tensor | None = None,
        proprio: torch.Tensor | None = None,
        image_grid_thw: torch.LongTensor | None = None,
        time: torch.Tensor | None = None,
        noise: torch.Tensor | None = None,
        action_is_pad: torch.Tensor | None = None,
        answer_mask: torch.Tensor | None = None,
        num_items_in_batch: Items | None = None,
    ) -> MultimodalVLAOutput:
        """With `actions` the loss of the head; with labels, or without actions, the language model.

        Args:
            labels: (batch, length), -100 where there is nothing to learn.
            actions: (batch, num_action_chunks, action_dim), normalised.
            time, noise: of the flow head: (batch,) in 0..1, 1 being noise, and like actions; drawn when left out.
            action_is_pad: (batch, num_action_chunks), true on steps behind the end of an episode, which are not learnt.
            answer_mask: (batch, length), 1 on text behind the prompts that the language model learns to write and the
                head does not see, as in a prediction; it costs a second pass.
            num_items_in_batch: totals of `loss_items` over the batches that make one step, where this is one of them.
            The others are as in `predict_action`.

        Raises:
            InputError: an argument has the wrong form.
        """
        numbers = {"pixel_values": pixel_values, "proprio": proprio, "actions": actions, "time": time, "noise": noise}
        check_inputs(self, input_ids, attention_mask, numbers)
        prompts = None if answer_mask is None else without_answers(input_ids, attention_mask, answer_mask)
        given = pixel_values, attention_mask, proprio, image_grid_thw
        states, real, text_states = self.fuse(input_ids, *given, labels, answer_mask)
        if prompts is not None and actions is not None:
            states, real, _ = self.fuse(input_ids, pixel_values, prompts, proprio, image_grid_thw)
        action_loss = lm_loss = logits = None
        if actions is not None:
            action_loss = self.action_loss(states, real, actions, time, noise, action_is_pad, num_items_in_batch)
        if labels is not None or actions is None:
            logits = self.backbone.logits(text_states)
        if labels is not None:
            lm_loss = self.backbone.language_model.loss_function(
                logits=logits,
                labels=labels,
                vocab_size=logits.shape[-1],
                num_items_in_batch=items_of_text(labels, num_items_in_batch),
            )
        losses = [loss for loss in (action_loss, lm_loss) if loss is not None]
        return MultimodalVLAOutput(
            loss=sum(losses) if losses else None, action_loss=action_loss, lm_loss=lm_loss, logits=logits
        )

    @torch.no_grad()
    def generate(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_grid_thw: torch.LongTensor | None = None,
        **kwargs,
    ) -> torch.LongTensor:
        """Text, by the `generate` of the language model or the VLM; prompts are padded on the left.

        A VLM that is used as it is returns prompts and new tokens, as ever; otherwise only new tokens come back. With
        late fusion the language model sees no image.
        """
        check_inputs(self, input_ids, attention_mask, {"pixel_values": pixel_values})
        real = self.checked_mask(input_ids, attention_mask)
        if self.backbone.has_image_tokens and self.uses_own_path:
            if pixel_values is not None:
                kwargs |= self.backbone.images(pixel_values, image_grid_thw) | self.backbone.token_types(input_ids)
            return self.backbone.generate(input_ids=input_ids, attention_mask=real.long(), **kwargs)
        if self.config.fusion == "late":
            embeds, real = self.get_input_embeddings()(input_ids), real & ~self.is_image(input_ids)
        else:
            embeds, real, _, _ = self.sequence(input_ids, real, pixel_values, image_grid_thw)
        self.check_places(embeds)
        return self.backbone.generate(inputs_embeds=embeds, attention_mask=real.long(), **kwargs)

    @torch.no_grad()
    def grounding_score(
        self,
        pixel_values: torch.Tensor,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        check_finite: bool = True,
    ) -> torch.Tensor:
        """Cosine similarity of each view and the text, (batch, views) in -1..1: is the scene what the text says?

        Args:
            pixel_values: (batch, views, 3, height, width), or without views.
            input_ids, attention_mask: (batch, length), by the tokenizer of the text tower, as that tower was trained
                (SigLIP: padded to its maximum length, without a mask).
            check_finite: end with an error where the scores, or the pixels, are not finite.

        Raises:
            InputError: the vision backbone has no text tower (SigLIP and CLIP have, with `grounding=True`).
            NonFiniteError: see `check_finite`.
        """
        if not self.backbone.has_two_towers:
            raise InputError(
                f"grounding_score needs a vision backbone with a text tower ({', '.join(TWO_TOWERS)}), built with "
                f"grounding=True; this one is a {self.config.vision_part.model_type}."
            )
        check_inputs(self, input_ids, attention_mask, {"pixel_values": pixel_values})
        views = pixel_values if pixel_values.dim() == 5 else pixel_values.unsqueeze(1)
        tower = self.backbone.vision_tower
        mask = {} if attention_mask is None else {"attention_mask": attention_mask}
        image = unit_features(tower.get_image_features(views.flatten(0, 1).to(self.dtype)))
        text = unit_features(tower.get_text_features(input_ids, **mask))
        scores = torch.einsum("bvd,bd->bv", image.unflatten(0, views.shape[:2]), text)
        if check_finite:
            require_finite(self, {"scores": scores}, {"pixel_values": pixel_values})
        return scores

    # ---- heads

    @property
    def chunk_shape(self) -> tuple[int, int]:
        return self.config.num_action_chunks, self.config.action_dim

    @property
    def first_bin(self) -> int:
        """The lowest token id of the discrete head."""
        return self.config.action_vocab_size - self.config.num_action_bins

    def bin_logits(self, states: torch.Tensor) -> torch.Tensor:
        """(batch, chunks * action_dim, bins) float32, of the language model's own output embeddings."""
        return self.get_output_embeddings()(states)[..., self.first_bin : self.config.action_vocab_size].float()

    def action_loss(
        self,
        states: torch.Tensor,
        real: torch.Tensor | None,
        actions: torch.Tensor,
        time: torch.Tensor | None,
        noise: torch.Tensor | None,
        action_is_pad: torch.Tensor | None = None,
        num_items_in_batch: Items | None = None,
    ) -> torch.Tensor:
        """The head's loss, a scalar in float32."""
        wanted = len(states), *self.chunk_shape
        if tuple(actions.shape) != wanted:
            raise InputError(f"actions has shape {tuple(actions.shape)}; (batch, chunks, action_dim) is {wanted}.")
        if self.config.action_head == "flow":
            drawn = {"time": time, "noise": noise}
            counted = {"action_is_pad": action_is_pad, "num_items_in_batch": num_items_in_batch}
            return self.action_head.compute_loss(states, actions, attention_mask=real, **drawn, **counted)
        learnt = learnt_steps(actions, action_is_pad)
        total = None if num_items_in_batch is None else num_items_in_batch["action"]
        if self.config.action_head == "mlp":
            errors = (self.action_head(states).float() - actions.float()).abs().mean(dim=2)
            return weighted_mean(errors, learnt, total)
        ids = actions_to_tokens(actions, self.config.action_vocab_size, self.config.num_action_bins)
        errors = F.cross_entropy(self.bin_logits(states).mT, (ids - self.first_bin).flatten(1), reduction="none")
        return weighted_mean(errors.view(actions.shape).mean(dim=2), learnt, total)

    def drawn(self, actions: torch.Tensor | None = None, time: torch.Tensor | None = None, **kwargs) -> dict:
        """`{"time": (batch,)}` for a batch of `forward` that has none, where its loss weighs samples by it."""
        if actions is None or time is not None or self.config.action_head != "flow":
            return {}
        return {"time": self.action_head.sample_time(len(actions), actions.device)}

    def loss_items(
        self,
        actions: torch.Tensor | None = None,
        time: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        action_is_pad: torch.Tensor | None = None,
        **kwargs,
    ) -> dict[str, torch.Tensor]:
        """What a batch of `forward` counts in each of its losses, see `loss_items.py`; `time` is not drawn here."""
        items = {} if labels is None else {"text": text_items(labels)}
        if actions is not None and self.config.action_head == "flow":
            items["flow"] = self.action_head.loss_items(actions, time, action_is_pad)
        elif actions is not None:
            items["action"] = learnt_steps(actions, action_is_pad).sum()
        return items


def nested_configs(config: Any) -> list[Any]:
    """All configs inside a config."""
    found = [getattr(config, name) for name in config.sub_configs]
    return found + [deeper for one in found if one is not None for deeper in nested_configs(one)]


def unit_features(features: Any) -> torch.Tensor:
    """(n, size) of length 1; 5.x wraps them."""
    return F.normalize(getattr(features, "pooler_output", features).float(), dim=-1)
