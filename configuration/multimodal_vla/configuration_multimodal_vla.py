"""Configuration of a composed VLA: any vision tower and language model of transformers, or a VLM, and a head."""

import copy
from typing import Any

from transformers import AutoConfig, LlamaConfig, PretrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

from ..checkpoint_json import reading_fields
from ..known_fields import keeps_arguments
from ..language_model_config import (
    MAX_STEPS,
    check_choices,
    check_counts,
    check_positive,
    with_token_ids,
)
from ..ode_choices import ODE_CHOICES
from ..view_names import checked_view_names
from ..vla_config import VLAConfig, auto_classes_of, words_on_disk
from ..vla_errors import ConfigError
from .composed_changes import COMPOSED_CHANGES
from .composed_facts import composed_facts
from .composed_weight_parts import COMPOSED_PARTS
from .gated_language_models import check_gated
from .head_facts import HEAD_FACTS
from .nested_configs import as_any_config, as_flow_config, kind_of, ties_words, whole
from .proven_backbones import (
    REASONS,
    check_proven,
    check_tower,
    check_vision_tower,
    is_headless,
    is_text_encoder,
    width_of_features,
    width_of_tokens,
)
from .text_checks import check_text_model
from .tower_checks import check_towers
from .vlm_facts import VLMS, VLMFacts

CHOICES = {
    "projector_type": ("linear", "mlp", "perceiver", "qformer", "prismatic", "token_learner", None),
    "fusion": ("early", "cross_attention", "late", "film", "gated_cross_attention"),
    "vision_aggregate_type": ("concat", "moe"),
    "action_head": tuple(HEAD_FACTS),
    "time_sampling": ("beta", "uniform"),
    **ODE_CHOICES,
    "text_pooling": ("last", "cls", "mean", None),
}
HEAD_COUNTS = (8, 4, 2, 1)


class MultimodalVLAConfig(VLAConfig):
    """Which parts a composed model has, and their sizes.

    Args:
        vlm_config: of a model of `AutoModelForImageTextToText` (config or dict with `model_type`) that
            `vlm_facts.py` lists; it takes the place of `vision_config` and `text_config`.
        vision_config: of any vision model of `AutoModel` (SigLIP, DINOv2, CLIP, ViT, Swin, ResNet, ...). All tokens of
            its last hidden state are features, class and register tokens, too; a map of features is read row by row.
            One with two towers (`siglip`, `siglip2`, `clip`) also gives `grounding_score`.
        second_vision_config: of a second vision tower beside `vision_config`, which reads the same pictures in its own
            normalisation, as DINOv2 and SigLIP do for OpenVLA; both must make the same patches of them.
        text_config: of a language model that `proven_backbones.py` lists, or of an encoder of `TEXT_ENCODERS` (BERT,
            RoBERTa, DistilBERT, T5: its encoder), which writes no text.
        vision_aggregate_type: of two towers: `concat` joins their channels, `moe` gives each a projector and weighs
            them by the instruction (CogVLA).
        use_film: the instruction scales and shifts every block of the towers (CogVLA); a tower then gives its patches
            alone, as it does beside another one.
        use_aggr, num_vision_aggr: only that many learned tokens of each view reach the language model (CogVLA).
        vision_feature_layer: the block of the towers whose states are their features, from -2 (CogVLA, OpenVLA: after
            the second to last block, without a norm) downwards; `None`: what a tower returns, its norm included.
        projector_type: from vision features to tokens of the language model: `linear`, `mlp`, `prismatic` (three
            layers, OpenVLA's), `perceiver`, `qformer` or `token_learner`. `None` is `mlp`, of joined channels
            `prismatic`, and with a VLM its own projector.
        num_latents: tokens that `perceiver`, `qformer` and `token_learner` make of all views together.
        num_resampler_layers, num_resampler_heads: of `perceiver`, `qformer` and the queries of `cross_attention`; the
            heads also of `gated_cross_attention`.
        fusion: `early` (vision, text and state tokens in one sequence), `film` (the same, the text scaling and
            shifting the vision tokens first), `cross_attention` (action queries look at the language model's states),
            `late` (vision and text are pooled apart and joined before the head), `gated_cross_attention` (layers of
            the language model look at the vision tokens through gates that start closed; Flamingo).
        cross_layer_interval: with `gated_cross_attention` every how many layers of the language model look, the first
            one always.
        text_pooling: with `late` and `film`, which states of the text, read alone, stand for it: the `last`, that of
            the first token (`cls`; where that sees the text, as in an encoder) or their `mean`. `None`: with `late` the
            last, with `film` the mean of the embeddings, which costs no pass.
        action_head: `mlp` (regression), `flow` (flow matching) or `discrete` (bins at the end of the vocabulary).
        action_dim, num_action_chunks: dimensions and steps of a prediction.
        use_state, state_dim: whether the robot's state is an input, and its size. Published names: `use_proprio`,
            `proprio_dim`.
        freeze_vision_tower: the vision towers do not train.
        freeze_language_model: the language model does not train, nor get a LoRA; `None`: with `gated_cross_attention`
            alone, as Flamingo does it.
        expert_config: a `LlamaConfig` or dict, the stack of the flow head; sizes follow from the language model's.
        num_inference_steps, time_sampling, use_time_weight: of the flow head, as in `FlowMatchingActionExpert`.
        ode_solver, ode_spacing: how its steps are made: `euler` (one velocity a step), `midpoint` or `heun` (two);
            `uniform`, or `cosine`, shorter near the noise.
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
    changeable_fields = COMPOSED_CHANGES
    weight_parts = COMPOSED_PARTS
    auto_classes = auto_classes_of(
        "configuration_multimodal_vla.MultimodalVLAConfig", "modeling_multimodal_vla.MultimodalVLAForActionPrediction"
    )

    @keeps_arguments
    def __init__(
        self,
        vlm_config: PretrainedConfig | dict | None = None,
        vision_config: PretrainedConfig | dict | None = None,
        text_config: PretrainedConfig | dict | None = None,
        second_vision_config: PretrainedConfig | dict | None = None,
        vision_aggregate_type: str = "concat",
        use_film: bool = False,
        use_aggr: bool = False,
        num_vision_aggr: int = 64,
        vision_feature_layer: int | None = None,
        projector_type: str | None = None,
        num_latents: int = 64,
        num_resampler_layers: int = 2,
        num_resampler_heads: int | None = None,
        fusion: str = "early",
        text_pooling: str | None = None,
        cross_layer_interval: int = 1,
        action_head: str = "mlp",
        action_dim: int = 7,
        num_action_chunks: int = 8,
        use_state: bool = False,
        state_dim: int | None = None,
        freeze_vision_tower: bool = True,
        freeze_language_model: bool | None = None,
        expert_config: LlamaConfig | dict | None = None,
        num_inference_steps: int = 10,
        time_sampling: str = "beta",
        use_time_weight: bool = True,
        num_action_bins: int = 256,
        action_vocab_size: int | None = None,
        norm_stats: dict | None = None,
        normalization_type: str = "bounds_q99",
        view_names: list[str] | None = None,
        ode_solver: str = "euler",
        ode_spacing: str = "uniform",
        **kwargs,
    ):
        given = {"vlm_config": vlm_config, "vision_config": vision_config, "text_config": text_config}
        if all(value is None for value in given.values()):
            given |= {"vision_config": {"model_type": "siglip_vision_model"}, "text_config": {"model_type": "llama"}}
        given["second_vision_config"] = second_vision_config
        for name, value in given.items():
            with reading_fields(name):
                setattr(self, name, as_any_config(name, value))
        self.check_backbones()
        joins = second_vision_config is not None and vision_aggregate_type == "concat"
        default = None if self.vlm_config is not None else "prismatic" if joins else "mlp"
        self.projector_type = projector_type or default
        if freeze_language_model is None:
            self.freeze_language_model = fusion == "gated_cross_attention"
        widths = self.hidden_size if self.projector_type != "qformer" else self.vision_hidden_size
        self.num_resampler_heads = (
            largest_divisor(self.hidden_size, widths) if num_resampler_heads is None else num_resampler_heads
        )
        with reading_fields("expert_config"):
            self.expert_config = as_flow_config(expert_config, self.hidden_size)
        self.action_vocab_size = self.text_part.vocab_size if action_vocab_size is None else action_vocab_size
        self.norm_stats = copy.deepcopy(norm_stats or {})
        self.view_names = checked_view_names(view_names)
        tied = self.text_part.tie_word_embeddings if self.vlm_config is None else ties_words(self.vlm_config)
        super().__init__(**with_token_ids(kwargs, self.text_part, tied))
        if self.vlm_config is None and is_headless(self.text_config):
            self.tie_word_embeddings = True  # what a T5 ties, it always ties; its config may say otherwise on 4.57
        self.check()

    @property
    def sub_configs(self) -> dict[str, type]:
        """The nested configs that there are; 4.57 cannot write a missing one under a name of this table."""
        classes = {
            **dict.fromkeys(("vlm_config", "vision_config", "second_vision_config", "text_config"), AutoConfig),
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

    def get_text_config(self, *args, **kwargs) -> PretrainedConfig:
        """As in transformers, also of a VLM: where its vocabulary is resized, its own config says so."""
        return self.text_part

    @property
    def vision_part(self) -> PretrainedConfig:
        """The config of the vision tower alone, the first where there are two."""
        config = self.vision_config if self.vlm_config is None else self.vlm_config
        return getattr(config, "vision_config", config)

    @property
    def towers(self) -> dict[str, PretrainedConfig]:
        """The configs of the vision towers alone, one or two, by the names of their fields; none with a VLM."""
        if self.vlm_config is not None:
            return {}
        found = {"vision_config": self.vision_part, "second_vision_config": self.second_vision_config}
        return {name: part for name, part in found.items() if part is not None}

    @property
    def conditions_towers(self) -> bool:
        """Whether something is done inside of the vision towers."""
        return self.use_film or self.use_aggr

    @property
    def hidden_size(self) -> int:
        """Width of the language model's tokens."""
        return width_of_tokens(self.text_part)

    @property
    def vision_hidden_size(self) -> int:
        """Width of the vision features that a projector reads, those of two towers side by side; those of a VLM went
        through its own projector."""
        return sum(width_of_features(tower) for tower in self.towers.values()) or self.hidden_size

    @property
    def image_size(self) -> int | None:
        """Pixels along a side, where the vision tower has a fixed size; of two towers the smaller size."""
        if self.second_vision_config is None:
            return getattr(self.vision_part, "image_size", None)
        return min(tower.image_size for tower in self.towers.values())

    @property
    def bounded_actions(self) -> bool:
        """See `VLAConfig`."""
        return self.action_head == "discrete"

    @property
    def draws_noise(self) -> bool:
        """See `VLAConfig`."""
        return HEAD_FACTS[self.action_head].has_draws

    @property
    def follows_flow(self) -> bool:
        """See `VLAConfig`."""
        return self.action_head == "flow"

    @property
    def actions_read(self) -> str:
        """See `VLAConfig`."""
        return HEAD_FACTS[self.action_head].actions_read

    @property
    def draws_samples(self) -> bool:
        """See `VLAConfig`."""
        return HEAD_FACTS[self.action_head].draws_samples

    @property
    def writes_text(self) -> bool:
        """Whether there is a language model, and no encoder."""
        return self.vlm_config is not None or not is_text_encoder(self.text_config)

    @property
    def text_reads_new_parts(self) -> bool:
        """See `VLAConfig`: text sees images by a projector, which may be a VLM's own, but not with `late`."""
        reads_by_own = self.vlm_config is not None and self.projector_type is None and self.fusion != "film"
        return self.fusion != "late" and not reads_by_own

    @property
    def num_queries(self) -> int:
        """Learned tokens whose states the head reads; a flow head reads all states instead, or one query a step."""
        return HEAD_FACTS[self.action_head].num_queries(self)

    @property
    def described(self) -> dict[str, str]:
        """The choices, for the model card."""
        backbone = {"vision-language model": self.vlm_config.model_type} if self.vlm_config is not None else {}
        if self.vlm_config is None:
            towers = [getattr(self, name).model_type for name in self.towers]
            text = "language model" if self.writes_text else "text encoder"
            backbone = {"vision tower": " + ".join(towers), text: self.text_config.model_type}
            inside = ["FiLM"] * self.use_film + [f"{self.num_vision_aggr} aggregation tokens"] * self.use_aggr
            backbone |= {"vision towers joined by": self.vision_aggregate_type} if len(towers) > 1 else {}
            backbone |= {"in the vision tower": " + ".join(inside)} if inside else {}
        projector = {"projector": self.projector_type} if self.projector_type else {}
        return {**backbone, **projector, "fusion": self.fusion, "action head": self.action_head}

    @property
    def facts(self) -> dict[str, str]:
        """Rows of the model card's table, Markdown by name."""
        return composed_facts(self)

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
            if part is None or (field == "text_config" and is_text_encoder(part)):
                continue
            if kind_of(part) not in (*known, *REASONS):
                raise ConfigError(f"{field}.model_type is {kind_of(part)!r}, which is no model of that kind.")
            check_proven(field, kind_of(part))
        if self.vlm_config is not None and self.text_part.is_encoder_decoder:
            raise ConfigError(
                f"the language model is a {kind_of(self.text_part)}, an encoder with a decoder behind it; a head reads "
                "the states of one stack."
            )
        if self.vlm_config is None:
            check_vision_tower(self.vision_part)
        elif kind_of(self.vision_part) != "pixtral":  # VLMs hand the sizes of images to it
            check_tower("vlm_config.vision_config", kind_of(self.vision_part))

    def check(self) -> None:
        """Refuse values that cannot work, by the name of the field."""
        check_choices(self, CHOICES)
        check_towers(self)
        if self.fusion == "gated_cross_attention":
            check_gated(self)
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
        check_text_model(self)
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
        return self.projector_type == "perceiver" or self.fusion in ("cross_attention", "gated_cross_attention")


def largest_divisor(*widths: int) -> int:
    """The largest number of heads out of a few that divides all widths."""
    return next(count for count in HEAD_COUNTS if all(width % count == 0 for width in widths))
