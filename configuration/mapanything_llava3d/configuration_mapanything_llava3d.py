"""Configuration of LLaVA-3D with MapAnything geometry and an action expert joined to it.

Sources: ZCMax/LLaVA-3D (arXiv 2409.18125), facebookresearch/map-anything (arXiv 2509.13414), pi0 (arXiv 2410.24164),
and lululuyuanyuanyuanGe/3dvla-starvla_framework, starVLA/mapanything_llava3d.
"""

import copy
import math
from collections.abc import Mapping
from typing import Any

from transformers import AutoConfig, LlamaConfig, MistralConfig, PretrainedConfig, SiglipVisionConfig

from ..checkpoint_json import reading_fields
from ..known_fields import in_own_words, keeps_arguments
from ..language_model_config import (
    MAX_STEPS,
    as_expert_config,
    as_language_model_config,
    check_choices,
    check_counts,
    check_positive,
    with_token_ids,
)
from ..ode_choices import ODE_CHOICES
from ..view_names import checked_view_names
from ..vla_config import VLAConfig, auto_classes_of, words_on_disk
from ..vla_errors import ConfigError
from .configuration_dit_action_head import DiTActionHeadConfig
from .configuration_mapanything import MapAnythingGeometryConfig
from .llava3d_changes import LLAVA3D_CHANGES
from .llava3d_facts import llava3d_facts
from .llava3d_weight_parts import LLAVA3D_PARTS

CHOICES = {
    "action_expert_type": ("deep_fusion", "dit", "deep_fusion+dit", None),
    "expert_layer_alignment": ("top", "even"),
    "prefix_attention": ("bidirectional", "causal"),
    "pixel_range": ("siglip", "unit"),
    "geometry_normalization": ("imagenet", "none"),
    "time_sampling": ("beta", "uniform"),
    **ODE_CHOICES,
}
DEFAULT_SAMPLING = {"num_inference_steps": 10, "ode_solver": "euler", "ode_spacing": "uniform"}
SHARED_BY_STREAMS = ("num_attention_heads", "num_key_value_heads", "head_dim")


class MapAnythingLlava3DConfig(VLAConfig):
    """Everything that a checkpoint of this family needs to know about itself.

    Args:
        vision_config: a `SiglipVisionConfig` or dict; default SigLIP so400m/14 at 224 pixels.
        text_config: a `LlamaConfig`, `MistralConfig` or dict; of the base language model.
        geometry_config: a `MapAnythingGeometryConfig` or dict; default its V1.1 form.
        expert_config: the expert's stack, of the same class as `text_config`; a dict may hold only what differs from
            the default, which is the base at half its width. Heads and head size are those of the base.
        expert_hidden_size, expert_num_layers, expert_mlp_ratio: the same as short forms (published field names).
        dit_config: a `DiTActionHeadConfig` or dict, of the DiT head.
        dit_hidden_size: its width as a short form; another one than the language model's makes a projection between.
        image_token_id: marks where image features go; need not be in the vocabulary. `image_token_index` is another
            name for it.
        image_seq_length: image tokens of one view; `None` is the vision tower's number of patches.
        action_expert_type: `deep_fusion` (the expert stack), `dit`, `deep_fusion+dit`, or `None` for a model that
            writes text and action tokens only.
        expert_layer_alignment: with fewer expert layers than base layers, they pair with the `top`-most base layers
            or `even`ly spread ones.
        prefix_attention: `bidirectional`, or `causal` for checkpoints trained that way.
        action_dim, num_action_chunks: the shape of one prediction (dimensions, steps). Published name of the latter:
            `action_horizon`.
        use_state, state_dim: whether the robot's state is an input, and its size.
        num_embodiments: robots that have each their own encoders of state and actions and their own decoder of actions,
            in every action expert; a call says by `embodiment_id` whose they are.
        stop_grad_from_vlm: the action experts' loss has no gradient in the language model and what comes before it.
        use_time_weight: the flow-matching loss of `deep_fusion` weighs a sample by 1 - time; that of the DiT head has
            no weights.
        time_sampling: `beta` draws training times from Beta(1.5, 1), `uniform` evenly. A DiT head alone draws them by
            `dit_config.noise_beta_alpha` and `noise_beta_beta`.
        num_inference_steps, ode_solver, ode_spacing: steps of one prediction, unless the call says otherwise, and how
            they are made: `euler` (one velocity a step), `midpoint` or `heun` (two); `uniform`, or `cosine`, shorter
            near the noise. `None` is 10, `euler` and `uniform`, or what `dit_config` says where there is only the DiT
            head.
        pixel_range: `siglip`: the processor normalises pixels to [-1, 1]; `unit`: pixels come in [0, 1] and the model
            normalises them.
        geometry_normalization: `imagenet` normalises what the geometry branch sees as MapAnything was trained; `none`
            gives it pixels in [0, 1], as the published training code did.
        use_geometric_branch: without it image features are SigLIP's alone.
        prefix_lang_dropout_prob, prefix_image_dropout_prob: share of text and image tokens dropped in training.
        use_spatial_token, spatial_token_num, action_token_begin_idx: a table of their own for the embeddings of
            `spatial_token_num` token ids, from `action_token_begin_idx` on.
        normalization_type, norm_stats: `{unnorm_key: {"action": {"q01": [...], ...}, "state": {...}}}`, see
            `normalization_statistics.py`.
        vision_model_name_or_path, language_model_name_or_path, mapanything_model_name_or_path: where the parts came
            from; kept as text, never opened.
        view_names: the cameras in the order of training, in which a dict of views is put; `None`: not recorded.

    Raises:
        ConfigError: a field is unknown or does not fit the others; the message names it.
    """

    model_type = "mapanything_llava3d"
    attribute_map = words_on_disk("action_horizon") | {"image_token_index": "image_token_id"}
    sub_configs = {
        "vision_config": SiglipVisionConfig,
        "text_config": AutoConfig,
        "expert_config": AutoConfig,
        "geometry_config": MapAnythingGeometryConfig,
        "dit_config": DiTActionHeadConfig,
    }
    changeable_fields = LLAVA3D_CHANGES
    weight_parts = LLAVA3D_PARTS
    auto_classes = auto_classes_of(
        "configuration_mapanything_llava3d.MapAnythingLlava3DConfig",
        "modeling_mapanything_llava3d.MapAnythingLlava3DForConditionalGeneration",
        "processing_mapanything_llava3d.MapAnythingLlava3DProcessor",
        "image_processing_mapanything_llava3d.MapAnythingLlava3DImageProcessor",
    )

    @keeps_arguments
    def __init__(
        self,
        vision_config: SiglipVisionConfig | dict | None = None,
        text_config: LlamaConfig | MistralConfig | dict | None = None,
        geometry_config: MapAnythingGeometryConfig | dict | None = None,
        expert_config: LlamaConfig | MistralConfig | dict | None = None,
        dit_config: DiTActionHeadConfig | dict | None = None,
        expert_hidden_size: int | None = None,
        expert_num_layers: int | None = None,
        expert_mlp_ratio: float | None = None,
        image_token_id: int = 32000,
        image_seq_length: int | None = None,
        action_expert_type: str | None = "deep_fusion",
        expert_layer_alignment: str = "top",
        prefix_attention: str = "bidirectional",
        action_dim: int = 7,
        num_action_chunks: int = 10,
        use_state: bool = False,
        state_dim: int | None = None,
        use_time_weight: bool = True,
        time_sampling: str = "beta",
        num_inference_steps: int | None = None,
        pixel_range: str = "siglip",
        geometry_normalization: str = "imagenet",
        use_geometric_branch: bool = True,
        prefix_lang_dropout_prob: float = 0.0,
        prefix_image_dropout_prob: float = 0.0,
        use_spatial_token: bool = False,
        spatial_token_num: int = 259,
        action_token_begin_idx: int | None = None,
        normalization_type: str = "bounds_q99",
        norm_stats: dict | None = None,
        vision_model_name_or_path: str | None = None,
        language_model_name_or_path: str | None = None,
        mapanything_model_name_or_path: str | None = None,
        dit_hidden_size: int | None = None,
        stop_grad_from_vlm: bool = False,
        view_names: list[str] | None = None,
        ode_solver: str | None = None,
        ode_spacing: str | None = None,
        num_embodiments: int = 1,
        **kwargs,
    ):
        with reading_fields("vision_config"):
            self.vision_config = as_vision_config(vision_config)
        with reading_fields("text_config"):
            self.text_config = as_language_model_config(text_config)
        self.geometry_config = as_config(MapAnythingGeometryConfig, geometry_config)
        short = expert_hidden_size, expert_num_layers, expert_mlp_ratio
        with reading_fields("expert_config"):
            self.expert_config = as_expert_config(self.text_config, expert_config, *short)
        self.norm_stats = copy.deepcopy(norm_stats or {})
        self.view_names = checked_view_names(view_names)
        self.dit_config = self.as_dit_config(dit_config, dit_hidden_size)
        given = num_inference_steps, ode_solver, ode_spacing
        for (name, default), value in zip(DEFAULT_SAMPLING.items(), given, strict=True):
            default = default if self.has_deep_fusion else getattr(self.dit_config, name)
            setattr(self, name, default if value is None else value)
        super().__init__(**with_token_ids(kwargs, self.text_config, self.text_config.tie_word_embeddings))
        self.check()
        if expert_config is not None:
            self.check_short_forms(*short)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any):
        """As in transformers.

        Raises:
            ConfigError: see `VLAConfig`; or `dit_config` says how to sample, and this config something else.
        """
        found = super().from_dict(config_dict, **kwargs)
        config, changes = found[0] if isinstance(found, tuple) else found, kwargs.get("dit_config")
        if isinstance(changes, Mapping):
            asked = in_own_words(DiTActionHeadConfig, changes)
            for name in asked.keys() & DEFAULT_SAMPLING.keys():
                if asked[name] != getattr(config, name):
                    raise ConfigError(
                        f"dit_config={{{name!r}: {asked[name]!r}}} has no effect beside the {name}="
                        f"{getattr(config, name)!r} of the config around it: give {name}={asked[name]!r} there."
                    )
        return found

    def check_short_forms(self, hidden_size: int | None, num_layers: int | None, mlp_ratio: float | None) -> None:
        """Refuse short forms that say something else than `expert_config`."""
        given = {"expert_hidden_size": hidden_size, "expert_num_layers": num_layers, "expert_mlp_ratio": mlp_ratio}
        for field, value in given.items():
            if value is not None and not math.isclose(value, getattr(self, field), rel_tol=1e-2):
                raise ConfigError(f"{field}={value} is not what expert_config says, {getattr(self, field)}.")

    def as_dit_config(
        self, value: DiTActionHeadConfig | dict | None, hidden_size: int | None = None
    ) -> DiTActionHeadConfig:
        """The DiT head's config; what it shares with this one is taken from here unless it is given."""
        fields = value.to_dict() if isinstance(value, PretrainedConfig) else dict(value or {})
        if hidden_size is not None and fields.get("hidden_size", hidden_size) != hidden_size:
            raise ConfigError(f"dit_hidden_size={hidden_size} is not what dit_config says, {fields['hidden_size']}.")
        if isinstance(value, PretrainedConfig):
            return copy.deepcopy(value)
        text = self.text_config
        shared = {"num_hidden_layers": text.num_hidden_layers, "hidden_size": hidden_size or text.hidden_size}
        shared = shared | self.shared_with_dit if self.has_dit else {}
        return DiTActionHeadConfig(**{**shared, **in_own_words(DiTActionHeadConfig, fields)})

    @property
    def shared_with_dit(self) -> dict[str, int | None]:
        """The fields of the DiT head's config that follow from this one."""
        return {
            "vl_hidden_size": self.text_config.hidden_size,
            "action_dim": self.action_dim,
            "num_action_chunks": self.num_action_chunks,
            "state_dim": self.state_size,
            "num_embodiments": self.num_embodiments,
        }

    @property
    def predicts(self) -> str:
        """What is asked of the model: actions, or text where it has no action expert."""
        return "text" if self.action_expert_type is None else "actions"

    @property
    def draws_noise(self) -> bool:
        """See `VLAConfig`."""
        return self.predicts == "actions"

    @property
    def follows_flow(self) -> bool:
        """See `VLAConfig`."""
        return self.predicts == "actions"

    @property
    def can_be_guided(self) -> bool:
        """See `VLAConfig`; a DiT head alone can, if it knows the null condition."""
        return self.has_dit and not self.has_deep_fusion and self.dit_config.condition_dropout > 0

    @property
    def facts(self) -> dict[str, str]:
        """See `VLAConfig`."""
        return llava3d_facts(self)

    @property
    def actions_read(self) -> str:
        """See `VLAConfig`; a DiT head reads states, but where its last block looks at its own tokens alone."""
        if self.action_expert_type is None:
            return "logits"
        if self.has_dit and self.dit_config.reads_last_layer:
            return "states"
        return "keys" if self.has_deep_fusion else "earlier layers"

    @property
    def has_deep_fusion(self) -> bool:
        """Whether an expert stack attends to the language model in its layers, `action_expert`."""
        return self.action_expert_type in ("deep_fusion", "deep_fusion+dit")

    @property
    def has_dit(self) -> bool:
        """Whether there is a DiT head, `dit_action_head`."""
        return self.action_expert_type in ("dit", "deep_fusion+dit")

    @property
    def expert_hidden_size(self) -> int:
        """Width of the expert's stack."""
        return self.expert_config.hidden_size

    @property
    def expert_num_layers(self) -> int:
        """Layers of the expert's stack, at most the language model's."""
        return self.expert_config.num_hidden_layers

    @property
    def expert_mlp_ratio(self) -> float:
        """Width of the expert's MLPs, as a multiple of that of its stack."""
        return self.expert_config.intermediate_size / self.expert_config.hidden_size

    @property
    def dit_hidden_size(self) -> int:
        """Width of the DiT head."""
        return self.dit_config.hidden_size

    def refuse_guidance_scale(self, scale: float) -> None:
        """Raises ConfigError: transformers knows such a field for text, where no head of actions reads it."""
        raise ConfigError(
            f"guidance_scale={scale!r} is a field of dit_config (dit_config={{'guidance_scale': {scale!r}}}), or an "
            "argument of predict_action."
        )

    guidance_scale = property(fset=refuse_guidance_scale)  # without a getter: there is no such field

    @property
    def num_image_tokens(self) -> int:
        """Image tokens of one view."""
        if self.image_seq_length is not None:
            return self.image_seq_length
        return (self.vision_config.image_size // self.vision_config.patch_size) ** 2

    def check(self) -> None:
        """Refuse values that cannot work, by the name of the field."""
        check_choices(self, CHOICES)
        check_counts(self, "spatial_token_num", "num_embodiments")
        if self.num_embodiments > 1 and self.action_expert_type is None:
            raise ConfigError(
                f"num_embodiments={self.num_embodiments} is of action experts; action_expert_type is None."
            )
        check_positive("num_inference_steps", self.num_inference_steps, MAX_STEPS)
        if self.image_seq_length is not None:
            check_counts(self, "image_seq_length")
        for field in ("prefix_lang_dropout_prob", "prefix_image_dropout_prob"):
            if not 0 <= getattr(self, field) < 1:
                raise ConfigError(f"{field}={getattr(self, field)!r} must be at least 0 and below 1.")
        if self.use_spatial_token and self.action_token_begin_idx is None:
            raise ConfigError("use_spatial_token=True needs action_token_begin_idx, the first id of the action tokens.")
        if self.use_geometric_branch:
            self.geometry_config.check_pictures(self.vision_config.image_size)
        self.check_experts()
        self.check_robot()

    def check_experts(self) -> None:
        """Raises ConfigError unless expert and DiT head fit the language model that they read."""
        text, expert = self.text_config, self.expert_config
        if expert.model_type != text.model_type:
            raise ConfigError(
                f"expert_config.model_type is {expert.model_type!r}, text_config.model_type {text.model_type!r}: the "
                "two stacks must be of one kind."
            )
        for field in SHARED_BY_STREAMS:
            if getattr(expert, field) != getattr(text, field):
                raise ConfigError(
                    f"expert_config.{field}={getattr(expert, field)} must be that of text_config, "
                    f"{getattr(text, field)}: the two stacks attend together."
                )
        if not 1 <= expert.num_hidden_layers <= text.num_hidden_layers:
            raise ConfigError(
                f"expert_config.num_hidden_layers={expert.num_hidden_layers} must be between 1 and the base's "
                f"{text.num_hidden_layers}."
            )
        if expert.hidden_size % 2:
            raise ConfigError(f"expert_config.hidden_size={expert.hidden_size} must be even (sines and cosines).")
        if self.has_dit:
            self.check_dit()

    def check_dit(self) -> None:
        """Raises ConfigError unless the DiT head has this config's sizes, and a layer to read for each block."""
        if self.time_sampling != "beta" and not self.has_deep_fusion:
            raise ConfigError(
                f"time_sampling={self.time_sampling!r} has no effect with action_expert_type='dit': the head draws its "
                "times by dit_config.noise_beta_alpha and noise_beta_beta (1 and 1 draw evenly)."
            )
        for field, value in self.shared_with_dit.items():
            if getattr(self.dit_config, field) != value:
                raise ConfigError(
                    f"dit_config.{field}={getattr(self.dit_config, field)} must be {value}, as in the config around "
                    "it; where the head is new, dit_config = config.as_dit_config(None) has all of its sizes."
                )
        if self.has_deep_fusion and self.dit_config.condition_dropout:
            raise ConfigError(
                f"dit_config.condition_dropout={self.dit_config.condition_dropout} is for a DiT head alone: with "
                "action_expert_type='deep_fusion+dit' it reads features of an expert that has seen the condition."
            )
        if self.dit_config.context == "self":
            return
        if self.dit_config.num_hidden_layers > self.text_config.num_hidden_layers:
            raise ConfigError(
                f"dit_config.num_hidden_layers={self.dit_config.num_hidden_layers} must not exceed the base's "
                f"{self.text_config.num_hidden_layers}: every block reads one of its layers."
            )


def as_vision_config(value: SiglipVisionConfig | dict | None) -> SiglipVisionConfig:
    """SigLIP without its pooling head, which this family does not use."""
    if isinstance(value, PretrainedConfig):
        return copy.deepcopy(value)
    so400m = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
    fields = {**so400m, "patch_size": 14, "image_size": 224} if value is None else copy.deepcopy(dict(value))
    fields.pop("model_type", None)
    return SiglipVisionConfig(**{**fields, "vision_use_head": False})


def as_config(kind: type[PretrainedConfig], value: PretrainedConfig | dict | None) -> PretrainedConfig:
    """A config of this kind from what a caller gives; nothing of the caller's is kept."""
    return copy.deepcopy(value) if isinstance(value, PretrainedConfig) else kind(**(value or {}))
