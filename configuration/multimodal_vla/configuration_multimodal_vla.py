"""Configuration of a composed VLA: any vision tower and language model of transformers, or a VLM, and a head."""

import copy
from collections.abc import Mapping
from typing import Any

import transformers
from transformers import AutoConfig, LlamaConfig, PretrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

from ..known_fields import keeps_arguments
from ..language_model_config import (
    MAX_STEPS,
    as_language_model_config,
    check_choices,
    check_counts,
    check_positive,
    with_token_ids,
)
from ..rope_settings import readable_rope
from ..view_names import checked_view_names
from ..vla_config import VLAConfig, auto_classes_of, words_on_disk
from ..vla_errors import ConfigError
from .head_facts import HEAD_FACTS
from .proven_backbones import check_proven, check_tower
from .vlm_facts import OLDER_NAMES, VLMS, VLMFacts

CHOICES = {
    "projector_type": ("linear", "mlp", "perceiver", "qformer", None),
    "fusion": ("early", "cross_attention", "late", "film"),
    "action_head": tuple(HEAD_FACTS),
    "time_sampling": ("beta", "uniform"),
}
HEAD_COUNTS = (8, 4, 2, 1)


class MultimodalVLAConfig(VLAConfig):
    """Which parts a composed model has, and their sizes.

    Args:
        vlm_config: of a model of `AutoModelForImageTextToText` (config or dict with `model_type`) that
            `vlm_facts.py` lists; it takes the place of `vision_config` and `text_config`.
        vision_config: of any vision model of `AutoModel` (SigLIP, DINOv2, CLIP, ViT, ...). One with two towers
            (`siglip`, `siglip2`, `clip`) also gives `grounding_score`.
        text_config: of a model of `AutoModelForCausalLM` that `proven_backbones.py` lists.
        projector_type: from vision features to tokens of the language model: `linear`, `mlp`, `perceiver` or `qformer`.
            `None` is `mlp`, and with a VLM its own projector.
        num_latents: tokens that `perceiver` and `qformer` make of all views together.
        num_resampler_layers, num_resampler_heads: of `perceiver`, `qformer` and the queries of `cross_attention`.
        fusion: `early` (vision, text and state tokens in one sequence), `film` (the same, the text scaling and
            shifting the vision tokens first), `cross_attention` (action queries look at the language model's states),
            `late` (vision and text are pooled apart and joined before the head).
        action_head: `mlp` (regression), `flow` (flow matching) or `discrete` (bins at the end of the vocabulary).
        action_dim, num_action_chunks: dimensions and steps of a prediction.
        use_state, state_dim: whether the robot's state is an input, and its size. Published names: `use_proprio`,
            `proprio_dim`.
        freeze_vision_tower: the vision tower does not train.
        expert_config: a `LlamaConfig` or dict, the stack of the flow head; sizes follow from the language model's.
        num_inference_steps, time_sampling, use_time_weight: of the flow head, as in `FlowMatchingActionExpert`.
        num_action_bins, action_vocab_size: of the discrete head; the bins are the last token ids below
            `action_vocab_size`, the language model's `vocab_size` by default.
        norm_stats, normalization_type: `{unnorm_key: {"action": {"q01": [...], ...}, "proprio": {...}}}`, see
            `normalization_statistics.py`.
        view_names: the cameras in the order of training, in which a dict of views is put; `None`: not recorded.

    Raises:
        ConfigError: a value is unknown or does not fit the others; the message names its field.
    """

    model_type = "multimodal_vla"
    attribute_map = words_on_disk("proprio_dim", "use_proprio")
    auto_classes = auto_classes_of(
        "configuration_multimodal_vla.MultimodalVLAConfig", "modeling_multimodal_vla.MultimodalVLAForActionPrediction"
    )

    @keeps_arguments
    def __init__(
        self,
        vlm_config: PretrainedConfig | dict | None = None,
        vision_config: PretrainedConfig | dict | None = None,
        text_config: PretrainedConfig | dict | None = None,
        projector_type: str | None = None,
        num_latents: int = 64,
        num_resampler_layers: int = 2,
        num_resampler_heads: int | None = None,
        fusion: str = "early",
        action_head: str = "mlp",
        action_dim: int = 7,
        num_action_chunks: int = 8,
        use_state: bool = False,
        state_dim: int | None = None,
        freeze_vision_tower: bool = True,
        expert_config: LlamaConfig | dict | None = None,
        num_inference_steps: int = 10,
        time_sampling: str = "beta",
        use_time_weight: bool = True,
        num_action_bins: int = 256,
        action_vocab_size: int | None = None,
        norm_stats: dict | None = None,
        normalization_type: str = "bounds_q99",
        view_names: list[str] | None = None,
        **kwargs,
    ):
        given = {"vlm_config": vlm_config, "vision_config": vision_config, "text_config": text_config}
        if all(value is None for value in given.values()):
            given |= {"vision_config": {"model_type": "siglip_vision_model"}, "text_config": {"model_type": "llama"}}
        for name, value in given.items():
            setattr(self, name, as_any_config(name, value))
        self.check_backbones()
        self.projector_type = projector_type if projector_type or self.vlm_config is not None else "mlp"
        widths = self.hidden_size if self.projector_type != "qformer" else self.vision_hidden_size
        self.num_resampler_heads = (
            largest_divisor(self.hidden_size, widths) if num_resampler_heads is None else num_resampler_heads
        )
        self.expert_config = as_flow_config(expert_config, self.hidden_size)
        self.action_vocab_size = self.text_part.vocab_size if action_vocab_size is None else action_vocab_size
        self.norm_stats = copy.deepcopy(norm_stats or {})
        self.view_names = checked_view_names(view_names)
        tied = self.text_part.tie_word_embeddings if self.vlm_config is None else ties_words(self.vlm_config)
        super().__init__(**with_token_ids(kwargs, self.text_part, tied))
        self.check()

    @property
    def sub_configs(self) -> dict[str, type]:
        """The nested configs that there are; 4.57 cannot write a missing one under a name of this table."""
        classes = {
            **dict.fromkeys(("vlm_config", "vision_config", "text_config"), AutoConfig),
            "expert_config": LlamaConfig,
        }
        return {name: kind for name, kind in classes.items() if getattr(self, name, None) is not None}

    def to_diff_dict(self) -> dict[str, Any]:
        """As in transformers, with whole nested configs: what is default on one line may not be on the other."""
        found = super().to_diff_dict()
        found["tie_word_embeddings"] = self.tie_word_embeddings
        found |= {name: whole(getattr(self, name)) for name in self.sub_configs}
        if self.vlm_config is not None:  # each line reads another of these
            tied = {"tie_word_embeddings": ties_words(self.vlm_config)}
            found["vlm_config"] |= tied
            if isinstance(found["vlm_config"].get("text_config"), dict):
                found["vlm_config"]["text_config"] |= tied
        return found

    @property
    def text_part(self) -> PretrainedConfig:
        """The language model's config, wherever it is."""
        return self.text_config if self.vlm_config is None else self.vlm_config.get_text_config()

    @property
    def vision_part(self) -> PretrainedConfig:
        """The config of the vision tower alone."""
        config = self.vision_config if self.vlm_config is None else self.vlm_config
        return getattr(config, "vision_config", config)

    @property
    def hidden_size(self) -> int:
        """Width of the language model's tokens."""
        return self.text_part.hidden_size

    @property
    def vision_hidden_size(self) -> int:
        """Width of the vision features that a projector reads; those of a VLM went through its own projector."""
        return self.vision_part.hidden_size if self.vlm_config is None else self.hidden_size

    @property
    def image_size(self) -> int | None:
        """Pixels along a side, where the vision tower has a fixed size."""
        return getattr(self.vision_part, "image_size", None)

    @property
    def actions_read(self) -> str:
        """See `VLAConfig`."""
        return HEAD_FACTS[self.action_head].actions_read

    @property
    def num_queries(self) -> int:
        """Learned tokens whose states the head reads; a flow head reads all states instead, or one query a step."""
        return HEAD_FACTS[self.action_head].num_queries(self)

    @property
    def described(self) -> dict[str, str]:
        """The choices, for the model card."""
        backbone = {"vision-language model": self.vlm_config.model_type} if self.vlm_config is not None else {}
        if self.vlm_config is None:
            backbone = {"vision tower": self.vision_config.model_type, "language model": self.text_config.model_type}
        projector = {"projector": self.projector_type} if self.projector_type else {}
        return {**backbone, **projector, "fusion": self.fusion, "action head": self.action_head}

    def check_backbones(self) -> None:
        """Refuse anything but a VLM, or a vision model and a language model."""
        parts = self.vision_config, self.text_config
        if self.vlm_config is not None and any(part is not None for part in parts):
            raise ConfigError("vlm_config takes the place of vision_config and text_config; give one or the others.")
        if self.vlm_config is None and any(part is None for part in parts):
            raise ConfigError("vision_config and text_config belong together; one of them is missing.")
        kinds = {
            "vlm_config": MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
            "text_config": MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        }
        for field, known in kinds.items():
            part = getattr(self, field)
            if part is not None and kind_of(part) not in known:
                raise ConfigError(f"{field}.model_type is {kind_of(part)!r}, which is no model of that kind.")
            if part is not None:
                check_proven(field, kind_of(part))
        if self.text_part.is_encoder_decoder:
            raise ConfigError(
                f"the language model is a {kind_of(self.text_part)}, an encoder with a decoder behind it; a head reads "
                "the states of one stack."
            )
        if self.vlm_config is None:
            check_tower("vision_config", kind_of(self.vision_part))
        elif kind_of(self.vision_part) != "pixtral":  # VLMs hand the sizes of images to it
            check_tower("vlm_config.vision_config", kind_of(self.vision_part))
        if self.vlm_config is None and not hasattr(self.vision_part, "patch_size"):
            raise ConfigError(f"vision_config.model_type is {kind_of(self.vision_part)!r}, which is no vision tower.")

    def check(self) -> None:
        """Refuse values that cannot work, by the name of the field."""
        check_choices(self, CHOICES)
        check_counts(self, "num_latents", "num_resampler_layers", "num_resampler_heads")
        check_positive("num_inference_steps", self.num_inference_steps, MAX_STEPS)
        if not isinstance(self.num_action_bins, int) or not 2 <= self.num_action_bins <= self.action_vocab_size:
            raise ConfigError(
                f"num_action_bins={self.num_action_bins!r} must be between 2 and action_vocab_size="
                f"{self.action_vocab_size}."
            )
        if self.action_vocab_size > self.text_part.vocab_size:
            raise ConfigError(
                f"action_vocab_size={self.action_vocab_size} is above the language model's vocab_size, "
                f"{self.text_part.vocab_size}."
            )
        for field, width in (("the language model's", self.hidden_size), ("the vision", self.vision_hidden_size)):
            if self.uses_heads_of(field) and width % self.num_resampler_heads:
                raise ConfigError(f"num_resampler_heads={self.num_resampler_heads} must divide {field} width, {width}.")
        self.check_features()
        self.check_robot()

    def check_features(self) -> None:
        """Refuse parts that need image features of a VLM that has none to give, or puts them elsewhere, too."""
        facts = VLMFacts() if self.vlm_config is None else VLMS[kind_of(self.vlm_config)]
        chosen = f"projector_type={self.projector_type!r} with fusion={self.fusion!r}"
        if facts.layered_features and (self.projector_type is not None or self.fusion == "film"):
            raise ConfigError(
                f"{chosen} replaces image features, which a {kind_of(self.vlm_config)} also reads in deeper layers; "
                "use its own projector without film."
            )
        if facts.crosses and (self.projector_type is not None or self.fusion in ("film", "late")):
            raise ConfigError(
                f"{chosen} reads image features, and a {kind_of(self.vlm_config)} has none among its tokens, but looks "
                "at images by cross-attention; use early or cross_attention fusion without a projector."
            )

    def uses_heads_of(self, field: str) -> bool:
        """Whether attention of this model has the width of the language model, or of the vision features."""
        if field == "the vision":
            return self.projector_type == "qformer"
        return self.projector_type == "perceiver" or self.fusion == "cross_attention"


def whole(config: PretrainedConfig) -> dict[str, Any]:
    """All fields, without what differs between lines or says how the weights were once loaded."""
    fields = config.to_dict()
    for name in ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "quantization_config"):
        fields.pop(name, None)
    text = getattr(config, "text_config", None)
    for part, found in (
        ((config, fields), (text, fields.get("text_config"))) if text is not None else ((config, fields),)
    ):
        for older, newer in OLDER_NAMES.get(kind_of(part), {}).items():
            found[older] = getattr(part, older, getattr(part, newer, None))
    return fields


def ties_words(vlm_config: PretrainedConfig) -> bool:
    """Whether a VLM's head is its embeddings, as the running line of transformers decides it."""
    asks_text = transformers.__version__.startswith("4.") or not hasattr(vlm_config, "tie_word_embeddings")
    return (vlm_config.get_text_config(decoder=True) if asks_text else vlm_config).tie_word_embeddings


def kind_of(config: PretrainedConfig) -> str:
    """The model type of a config's class; 4.57.1 answers for a Qwen-VL's with that of its language model."""
    return type(config).model_type


def as_any_config(field: str, value: PretrainedConfig | dict | None) -> PretrainedConfig | None:
    """A config of whatever class its `model_type` names, as the running line of transformers reads it.

    Raises:
        ConfigError: the model type is missing or not one of transformers'.
    """
    if value is None:
        return None
    if isinstance(value, PretrainedConfig):
        return copy.deepcopy(value)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{field} must be a config or a dict of its fields, not {value!r}.")
    fields: dict[str, Any] = copy.deepcopy(dict(value))
    model_type = fields.pop("model_type", None)
    try:
        return AutoConfig.for_model(model_type, **readable_rope(fields))
    except ValueError as error:
        raise ConfigError(f"{field}.model_type is {model_type!r}, which transformers does not know.") from error


def as_flow_config(value: LlamaConfig | dict | None, hidden_size: int) -> LlamaConfig:
    """The stack of the flow head: eight heads and six layers at about half the language model's width."""
    if isinstance(value, LlamaConfig):
        return copy.deepcopy(value)
    kind = value.model_type if isinstance(value, PretrainedConfig) else (value or {}).get("model_type", "llama")
    if kind != "llama":
        raise ConfigError(f"expert_config.model_type is {kind!r}; the stack of the flow head is a 'llama'.")
    heads = 8
    width = max(8, hidden_size // (2 * heads) // 8 * 8) * heads
    fields = {
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_hidden_layers": 6,
        "vocab_size": 1,
        **dict.fromkeys(("bos_token_id", "eos_token_id")),
        **(value or {}),
    }
    fields.setdefault("num_key_value_heads", fields["num_attention_heads"])
    if fields["hidden_size"] % (2 * fields["num_attention_heads"]):
        raise ConfigError(
            f"expert_config.hidden_size={fields['hidden_size']} must be a multiple of twice num_attention_heads="
            f"{fields['num_attention_heads']}."
        )
    fields.setdefault("intermediate_size", 4 * fields["hidden_size"])
    fields.setdefault("head_dim", fields["hidden_size"] // fields["num_attention_heads"])
    return as_language_model_config({**fields, "model_type": "llama"})


def largest_divisor(*widths: int) -> int:
    """The largest number of heads out of a few that divides all widths."""
    return next(count for count in HEAD_COUNTS if all(width % count == 0 for width in widths))
