"""Configuration of CogVLA, OpenVLA-OFT and OpenVLA models (arXiv 2508.21046, 2502.19645, 2406.09246)."""

import copy
from collections.abc import Mapping
from typing import Any

from transformers import LlamaConfig

from ..checkpoint_json import reading_fields
from ..known_fields import keeps_arguments
from ..language_model_config import (
    MAX_STEPS,
    as_language_model_config,
    check_choices,
    check_counts,
    check_positive,
    with_token_ids,
)
from ..view_names import checked_view_names
from ..vla_config import VLAConfig, auto_classes_of, words_on_disk
from ..vla_errors import ConfigError
from .cogvla_changes import COGVLA_CHANGES
from .cogvla_facts import cogvla_facts
from .cogvla_weight_parts import COGVLA_PARTS
from .configuration_cogvla_vision import SIGLIP_SO400M, CogVLAVisionConfig, as_vision_config
from .openvla_names import LFP_FIELDS
from .pruning_schedule import lfp_keep_ratios

CHOICES = {
    "vision_aggregate_type": ("moe", "concat"),
    "action_head": ("discrete", "l1", "diffusion"),
    "action_attention": ("block", "bidirectional", "causal"),
    "language_mean": ("masked", "padded"),
}


class CogVLAConfig(VLAConfig):
    """Everything that a CogVLA, OpenVLA-OFT or OpenVLA checkpoint needs to know about itself.

    Args:
        featurizer_config, fused_featurizer_config: the two vision transformers (`CogVLAVisionConfig` or dict); the
            defaults are DINOv2 ViT-L/14 with 4 registers and SigLIP so400m/14.
        text_config: a `LlamaConfig` or dict.
        vision_aggregate_type: `moe` weighs two projectors by the instruction, `concat` joins the channels.
        use_film: the instruction scales and shifts every vision block.
        use_aggr, num_vision_aggr: only that many learned tokens per image reach the language model.
        use_lfp, lfp_type, lfp_average_factor, lfp_enable_film: pruning of vision tokens in the decoder layers, see
            `pruning_schedule.py`; `lfp_enable_film` lets the instruction modulate the router.
        lfp_schedule_layers: depth that the decay formulas assume; `None` is the depth of `text_config`. Converted
            checkpoints carry 32, as the published code has it.
        num_images_in_input: camera views V of one sample.
        action_head: `discrete` tokens, `l1` regression or `diffusion`.
        num_action_chunks, action_dim: the shape of one prediction (steps, dimensions).
        state_dim: size of the robot's state, or `None` when the model takes none. Published name: `proprio_dim`.
        use_state: False leaves the state out; `None`: whether there is a `state_dim`.
        normalization_type: `bounds` (min, max), `bounds_q99` (1st and 99th percentile) or `normal` (mean, std).
        norm_stats: `{unnorm_key: {"action": {"min": [...], ...}, "proprio": {...}}}`.
        n_action_bins, pad_to_multiple_of: the discrete head's bins sit at the end of the unpadded vocabulary.
        num_diffusion_steps: steps of the noise schedule with which the diffusion head was trained. Published name:
            `num_diffusion_steps_train`.
        num_inference_steps: DDIM steps of one prediction, at most `num_diffusion_steps`; `None` is all of them.
            Published name: `num_diffusion_steps_inference`.
        action_attention: `block` (CogVLA: causal, open inside the action block), `bidirectional` (OpenVLA-OFT) or
            `causal` (OpenVLA: tokens one by one).
        language_mean: `masked` leaves padding out of the mean text embedding that drives FiLM and MoE; `padded`
            reproduces the published training forward, where a sample's actions depend on its padding.
        prompt_end_token_id, stop_token_id: the token that ends a prompt and the one that ends the action block.
        view_names: the cameras in the order of training, in which a dict of views is put; `None`: not recorded.

    Raises:
        ConfigError: a field is unknown or does not fit the others; the message names it.
    """

    model_type = "cogvla"
    attribute_map = words_on_disk("proprio_dim") | {
        "num_diffusion_steps_train": "num_diffusion_steps",
        "num_diffusion_steps_inference": "num_inference_steps",
    }
    sub_configs = {
        "text_config": LlamaConfig,
        "featurizer_config": CogVLAVisionConfig,
        "fused_featurizer_config": CogVLAVisionConfig,
    }
    changeable_fields = COGVLA_CHANGES
    weight_parts = COGVLA_PARTS
    sampling_defaults = {"num_inference_steps": None}
    auto_classes = auto_classes_of(
        "configuration_cogvla.CogVLAConfig",
        "modeling_cogvla.CogVLAForActionPrediction",
        "processing_cogvla.CogVLAProcessor",
        "image_processing_cogvla.CogVLAImageProcessor",
    )

    @keeps_arguments
    def __init__(
        self,
        featurizer_config: CogVLAVisionConfig | dict | None = None,
        fused_featurizer_config: CogVLAVisionConfig | dict | None = None,
        text_config: LlamaConfig | dict | None = None,
        vision_aggregate_type: str = "moe",
        use_film: bool = True,
        use_aggr: bool = True,
        num_vision_aggr: int = 64,
        use_lfp: bool = True,
        lfp_type: str = "shiftedcos_decay_0.85_0.15",
        lfp_average_factor: float = 0.5,
        lfp_enable_film: bool = True,
        lfp_schedule_layers: int | None = None,
        num_images_in_input: int = 1,
        action_head: str = "l1",
        num_action_chunks: int = 8,
        action_dim: int = 7,
        state_dim: int | None = None,
        use_state: bool | None = None,
        normalization_type: str = "bounds_q99",
        norm_stats: dict | None = None,
        n_action_bins: int = 256,
        pad_to_multiple_of: int = 64,
        num_diffusion_steps: int = 100,
        num_inference_steps: int | None = None,
        action_attention: str = "block",
        language_mean: str = "masked",
        prompt_end_token_id: int = 29871,
        stop_token_id: int = 2,
        pad_token_id: int = 32000,
        view_names: list[str] | None = None,
        **kwargs,
    ):
        self.featurizer_config = as_vision_config(featurizer_config, {})
        self.fused_featurizer_config = as_vision_config(fused_featurizer_config, SIGLIP_SO400M)
        with reading_fields("text_config"):
            self.text_config = as_language_model_config(text_config)
        depth = self.text_config.num_hidden_layers
        self.lfp_schedule_layers = depth if lfp_schedule_layers is None else lfp_schedule_layers
        if use_state is not None:
            self.use_state = use_state
        self.norm_stats = copy.deepcopy(norm_stats or {})
        self.view_names = checked_view_names(view_names, num_images_in_input)
        tied = self.text_config.tie_word_embeddings
        super().__init__(**with_token_ids(kwargs | {"pad_token_id": pad_token_id}, self.text_config, tied))
        self.check()

    def check(self) -> None:
        """Refuse values that cannot work, by the name of the field."""
        check_choices(self, CHOICES)
        if self.text_config.model_type != "llama":
            raise ConfigError(f"text_config.model_type is {self.text_config.model_type!r}; this family has a 'llama'.")
        check_counts(self, "num_images_in_input", "n_action_bins")
        check_positive("num_diffusion_steps", self.num_diffusion_steps, MAX_STEPS)
        if self.num_inference_steps is not None:
            check_positive("num_inference_steps", self.num_inference_steps)
            if self.num_inference_steps > self.num_diffusion_steps:
                raise ConfigError(
                    f"num_inference_steps={self.num_inference_steps} must be at most num_diffusion_steps="
                    f"{self.num_diffusion_steps}, the steps of the schedule that it picks from."
                )
        self.check_towers()
        if self.action_attention == "causal" and self.action_head != "discrete":
            raise ConfigError(
                f"action_attention='causal' predicts tokens one by one and needs action_head='discrete', "
                f"not {self.action_head!r}."
            )
        self.check_pruning()
        self.check_robot()

    def check_towers(self) -> None:
        """Raises ConfigError unless the two vision towers give features of one picture that can be joined."""
        sizes = self.featurizer_config.image_size, self.fused_featurizer_config.image_size
        if sizes[0] != sizes[1]:
            raise ConfigError(f"image_size of the two vision towers is {sizes}: they share one picture.")
        if self.use_aggr:
            check_positive("num_vision_aggr", self.num_vision_aggr)
        elif self.featurizer_config.num_patches != self.fused_featurizer_config.num_patches:
            raise ConfigError(
                f"featurizer_config gives {self.featurizer_config.num_patches} patches and fused_featurizer_config "
                f"{self.fused_featurizer_config.num_patches}: without aggregation tokens they must be equal."
            )

    def check_pruning(self) -> None:
        """Raises ConfigError for a share of kept vision tokens outside of 0..1."""
        if not self.use_lfp:
            return
        if self.lfp_schedule_layers < 2:
            raise ConfigError(f"lfp_schedule_layers={self.lfp_schedule_layers} must be at least 2.")
        for layer, ratio in self.lfp_keep_ratios.items():
            if not 0 <= ratio <= 1:
                raise ConfigError(
                    f"lfp_type={self.lfp_type!r} with lfp_average_factor={self.lfp_average_factor} keeps {ratio:.3f} "
                    f"of the vision tokens in layer {layer}; the share must lie between 0 and 1."
                )

    @property
    def use_state(self) -> bool:
        """Whether the robot's state is an input; False forgets `state_dim`.

        Raises:
            ConfigError: it is set to True without one.
        """
        return self.state_dim is not None

    @use_state.setter
    def use_state(self, used: bool) -> None:
        if used and self.state_dim is None:
            raise ConfigError("use_state=True needs state_dim, the size of the robot's state.")
        self.state_dim = self.state_dim if used else None

    @property
    def actions_read(self) -> str:
        """See `VLAConfig`."""
        return "logits" if self.action_head == "discrete" else "states"

    @property
    def bounded_actions(self) -> bool:
        """See `VLAConfig`. Tokens are bins of [-1, 1], and each step of the diffusion clips its answer to it."""
        return self.action_head != "l1"

    @property
    def why_not_trained(self) -> str | None:
        """See `VLAConfig`. Layers that prune scale and place each token of the pass that they prune in; actions written
        one by one come behind that pass, and are neither scaled nor placed so."""
        if self.action_attention != "causal" or not self.lfp_keep_ratios:
            return None
        return (
            "action_attention='causal' writes actions one by one behind the pass in which token pruning (lfp_type="
            f"{self.lfp_type!r}) acts: what is learnt would not be what is predicted. Train a model that predicts in "
            "parallel (vlahub create --decoding parallel, or a continuous head), or one without pruning."
        )

    @property
    def draws_noise(self) -> bool:
        """See `VLAConfig`."""
        return self.action_head == "diffusion"

    @property
    def facts(self) -> dict[str, str]:
        """See `VLAConfig`."""
        return cogvla_facts(self)

    @property
    def draws_samples(self) -> bool:
        """See `VLAConfig`."""
        return self.action_head != "l1"

    @property
    def num_action_tokens(self) -> int:
        """Tokens of one chunk: one a number."""
        return self.num_action_chunks * self.action_dim

    @property
    def num_vision_tokens(self) -> int:
        """Vision tokens of one sample, all views together."""
        per_image = self.num_vision_aggr if self.use_aggr else self.featurizer_config.num_patches
        return per_image * self.num_images_in_input

    @property
    def lfp_keep_ratios(self) -> dict[int, float]:
        """`{layer: share of vision tokens kept}`; empty when nothing is pruned."""
        if not self.use_lfp:
            return {}
        return lfp_keep_ratios(
            self.lfp_type, self.lfp_average_factor, self.text_config.num_hidden_layers, self.lfp_schedule_layers
        )

    @classmethod
    def from_openvla(cls, published: Mapping[str, Any], **options) -> "CogVLAConfig":
        """Read the config.json of a published `openvla` checkpoint, with or without CogVLA's fields.

        Args:
            published: the parsed config.json. An optional `timm_kwargs` (one dict a tower) overrides vision sizes.
            options: what no published file records, under this class's names: `num_images_in_input`, `action_head`,
                `num_action_chunks`, `action_dim`, `state_dim`, `normalization_type`, `action_attention`, ...

        Raises:
            ConfigError: not an `openvla` config, or not one with two fused towers and a Llama.
        """
        check_published(published)
        text = dict(published.get("text_config") or {})
        lfp = {name: text.pop(name) for name in LFP_FIELDS if name in text}
        sizes, towers = published.get("image_sizes", [224, 224]), published["timm_model_ids"]
        overrides = published.get("timm_kwargs") or [{}, {}]
        vision = [CogVLAVisionConfig.from_timm(*args) for args in zip(towers, sizes, overrides, strict=True)]
        fields = {
            "vision_aggregate_type": published.get("vision_aggregate_type") or "concat",
            "use_film": bool(published.get("use_film", False)),
            "use_aggr": bool(published.get("use_aggr", False)),
            "use_lfp": bool(lfp.pop("use_lfp", False)),
            "lfp_schedule_layers": 32,
            **{k: v for k, v in lfp.items() if v is not None},
            **{
                k: published[k]
                for k in ("num_vision_aggr", "n_action_bins", "pad_to_multiple_of", "pad_token_id", "norm_stats")
                if published.get(k) is not None
            },
        }
        dtype = published.get("torch_dtype") or published.get("dtype")
        fields.update({"dtype": dtype} if dtype else {})
        fields.update(options)
        return cls(featurizer_config=vision[0], fused_featurizer_config=vision[1], text_config=text, **fields)


def check_published(published: Mapping[str, Any]) -> None:
    """Raises ConfigError for a published config of another model, of other towers or of another language model."""
    model_type = published.get("model_type")
    if model_type != "openvla":
        raise ConfigError(f"model_type is {model_type!r}: only published 'openvla' configs are read here.")
    if not published.get("use_fused_vision_backbone", True) or len(published.get("timm_model_ids") or ()) != 2:
        raise ConfigError(
            f"timm_model_ids is {published.get('timm_model_ids')!r}: only the fused pair of vision towers "
            "(DINOv2 and SigLIP) is supported."
        )
    text_type = (published.get("text_config") or {}).get("model_type", "llama")
    if text_type != "llama":
        raise ConfigError(f"text_config.model_type is {text_type!r}: only 'llama' is supported.")
