"""Configuration of Alpamayo-R1 (arXiv 2511.00088): Qwen3-VL, a trajectory expert, and everything between them.

The published config.json (NVlabs/alpamayo) names classes to build and a base model to download. Here the sizes of the
base are part of the config, and the names are looked up in a list: nothing that a config says is imported or run.
"""

import copy
from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig, Qwen3VLConfig
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLTextConfig

from ..checkpoint_json import reading_fields
from ..known_fields import keeps_arguments
from ..language_model_config import MAX_STEPS, check_choices, check_counts, check_positive, with_token_ids
from ..ode_choices import ODE_CHOICES
from ..rope_settings import readable_rope
from ..view_names import checked_view_names
from ..vla_config import VLAConfig, auto_classes_of, words_on_disk
from ..vla_errors import ConfigError
from .action_space_settings import check_action_space
from .alpamayo_changes import ALPAMAYO_CHANGES
from .alpamayo_facts import alpamayo_actions, alpamayo_does, alpamayo_facts
from .alpamayo_weight_parts import ALPAMAYO_PARTS
from .trajectory_vocabulary import special_token_id

# The published classes that a config may name, by the field that names them, without the package in front.
TARGETS = {
    "action_space_cfg": (
        "action_space.UnicycleAccelCurvatureActionSpace",
        "action_space.unicycle_accel_curvature.UnicycleAccelCurvatureActionSpace",
    ),
    "diffusion_cfg": ("diffusion.flow_matching.FlowMatching", "diffusion.FlowMatching"),
    "action_in_proj_cfg": ("models.action_in_proj.PerWaypointActionInProjV2",),
    "action_out_proj_cfg": ("torch.nn.Linear", "torch.nn.modules.linear.Linear"),
    "traj_tokenizer_cfg": (
        "action_space.discrete_action_space.DiscreteTrajectoryTokenizer",
        "action_space.DiscreteTrajectoryTokenizer",
    ),
    "hist_traj_tokenizer_cfg": ("models.delta_tokenizer.DeltaTrajectoryTokenizer",),
}
ACTION_DIM = 2  # acceleration and curvature
DEFAULT_STEPS = 10  # of `FlowMatching`
PACKAGES = ("alpamayo_r1.", "alpamayo1_5.")
PUBLISHED_RUN = ("attn_implementation", "model_dtype", "keep_same_dtype")  # how the published code ran the model
# Further fields of published files; they are kept as they are.
PUBLISHED_FIELDS = frozenset({"vlm_backend", "padding_side", "include_camera_ids", "include_frame_nums"})
LATER = "alpamayo1_5"  # model type of the later release
NOT_ARGUMENTS = ("_target_", "_recursive_", "_convert_", "load_weights")
# Of `FlowMatching` in both releases (the later one swallows any other), and of ours.
DIFFUSION = ("x_dims", "int_method", "num_inference_steps", "train_timestep_sampler", "train_ignore_guidance_rate")
DIFFUSION += ("inference_guidance_weight", "use_classifier_free_guidance", "ode_solver", "ode_spacing")

ACTION_SPACE = {
    "accel_mean": 0.02902694707164455,
    "accel_std": 0.6810426736454882,
    "curvature_mean": 0.0002692167976330542,
    "curvature_std": 0.026148280660833106,
    "accel_bounds": [-9.8, 9.8],
    "curvature_bounds": [-0.33, 0.33],
    "dt": 0.1,
    "n_waypoints": 64,
    "theta_lambda": 1e-6,
    "theta_ridge": 1e-8,
    "v_lambda": 1e-6,
    "v_ridge": 1e-4,
    "a_lambda": 1e-4,
    "a_ridge": 1e-4,
    "kappa_lambda": 1e-4,
    "kappa_ridge": 1e-4,
}
EXPERT = {"hidden_size": 2048, "intermediate_size": 8256, "num_attention_heads": 16, "head_dim": 128}
ACTION_IN_PROJ = {"hidden_size": 512, "num_enc_layers": 2, "max_freq": 100.0, "num_fourier_feats": 20}
TRAJ_TOKENIZER = {"dims_min": [-10, -10], "dims_max": [10, 10], "num_bins": 3000}
TRAJ_TOKEN_IDS = {
    "history": 155684,
    "future": 155685,
    "history_start": 155674,
    "future_start": 155681,
    "history_end": 155676,
    "future_end": 155683,
}
VLM = {
    "text_config": {
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 262144,
        "rope_theta": 5000000.0,
        "rope_scaling": {"rope_type": "default", "mrope_section": [24, 20, 20], "mrope_interleaved": True},
        "bos_token_id": 151643,
        "eos_token_id": 151645,
    },
    "vision_config": {
        "hidden_size": 1152,
        "depth": 27,
        "out_hidden_size": 4096,
        "deepstack_visual_indexes": [8, 16, 24],
    },
}


class AlpamayoR1Config(VLAConfig):
    """Everything that a checkpoint needs to know about itself; the defaults are the released model's.

    Args:
        vlm_config: a `Qwen3VLConfig` or dict, of the base model; its vocabulary is set to `vocab_size`.
        expert_cfg: what the expert's stack has different from the VLM's text model (a dict, as published).
        expert_config: the whole of it as a `Qwen3VLTextConfig` or dict; follows from `expert_cfg` when left out.
        action_space_cfg: arguments of `UnicycleAccelCurvatureActionSpace`.
        num_action_chunks: its `n_waypoints`, action tokens of one trajectory, as a short form.
        diffusion_cfg: arguments of `FlowMatching`.
        num_inference_steps, ode_solver, ode_spacing: those of it as short forms, steps of one prediction and how they
            are made: `euler` (one velocity a step), `midpoint` or `heun` (two); `uniform`, or `cosine`, shorter near
            the noise. The published `int_method` is `euler`.
        action_in_proj_cfg: arguments of `PerWaypointActionInProjV2`.
        traj_tokenizer_cfg, hist_traj_tokenizer_cfg: arguments of `DiscreteTrajectoryTokenizer` (future) and
            `DeltaTrajectoryTokenizer` (history).
        traj_vocab_size: trajectory tokens, from id `traj_token_start_idx` on; those of the future come first.
        tokens_per_history_traj, tokens_per_future_traj: tokens of one history, and the default limit of new tokens.
        traj_token_ids: ids of the markers `history`, `future`, `history_start`, ... .
        vocab_size: with all added tokens.
        min_pixels, max_pixels: bounds on the size of a resized image, in pixels.
        expert_non_causal_attention: action tokens see each other in both directions.
        mask_prompt_padding: the expert does not see a prompt's padding; False reproduces the published code.
        camera_labels: prompts say which camera an image is of, and its number among that camera's frames: so Alpamayo
            1.5 was trained, and not R1. The processor's default; by default true for the published fields of 1.5
            (`model_type` alpamayo1_5).
        stop_grad_from_vlm: the expert's loss has no gradient in the VLM's keys and values (the published training's
            default): the VLM learns from labels alone. Stages and adapters that train it by actions set it to False.
        vlm_name_or_path: where the base came from; kept as text, never opened.

    The dicts may carry the published `_target_`s, which must be known ones and are dropped.

    Raises:
        ConfigError: a `_target_` or an argument is unknown, or fields do not fit together; the message names it.
    """

    model_type = "alpamayo_r1"
    predicts = "trajectories"
    draws_noise = True
    follows_flow = True
    actions_read = "keys"
    text_reads_new_parts = False
    action_dim = ACTION_DIM
    attribute_map = words_on_disk() | {"n_waypoints": "num_action_chunks"}
    further_fields = PUBLISHED_FIELDS.union(PUBLISHED_RUN)
    sub_configs = {"vlm_config": Qwen3VLConfig, "expert_config": Qwen3VLTextConfig}
    changeable_fields = ALPAMAYO_CHANGES
    weight_parts = ALPAMAYO_PARTS
    auto_classes = auto_classes_of(
        "configuration_alpamayo_r1.AlpamayoR1Config",
        "modeling_alpamayo_r1.AlpamayoR1",
        "processing_alpamayo_r1.AlpamayoR1Processor",
        "image_processing_alpamayo_r1.AlpamayoR1ImageProcessor",
    )

    @keeps_arguments
    def __init__(
        self,
        vlm_config: Qwen3VLConfig | dict | None = None,
        expert_config: Qwen3VLTextConfig | dict | None = None,
        expert_cfg: dict | None = None,
        action_space_cfg: dict | None = None,
        diffusion_cfg: dict | None = None,
        action_in_proj_cfg: dict | None = None,
        action_out_proj_cfg: dict | None = None,
        traj_tokenizer_cfg: dict | None = None,
        hist_traj_tokenizer_cfg: dict | None = None,
        traj_vocab_size: int = 4000,
        traj_token_start_idx: int = 151669,
        traj_token_ids: dict | None = None,
        tokens_per_history_traj: int = 48,
        tokens_per_future_traj: int = 128,
        vocab_size: int = 155697,
        min_pixels: int = 163840,
        max_pixels: int = 196608,
        expert_non_causal_attention: bool = True,
        mask_prompt_padding: bool = True,
        add_special_tokens: bool = True,
        vlm_name_or_path: str | None = None,
        stop_grad_from_vlm: bool = True,
        camera_labels: bool | None = None,
        view_names: list[str] | None = None,
        num_action_chunks: int | None = None,
        num_inference_steps: int | None = None,
        ode_solver: str | None = None,
        ode_spacing: str | None = None,
        **kwargs,
    ):
        for name in PUBLISHED_RUN:
            kwargs.pop(name, None)
        is_later = kwargs.pop("model_type", None) == LATER
        self.camera_labels = is_later if camera_labels is None else camera_labels
        with reading_fields("vlm_config"):
            self.vlm_config = as_vlm_config(vlm_config, vocab_size)
        with reading_fields("expert_cfg or expert_config"):
            self.expert_cfg = copy.deepcopy(dict(EXPERT if expert_cfg is None else expert_cfg))
            self.expert_config = as_expert_text_config(self.vlm_config.text_config, expert_config, self.expert_cfg)
        space = with_short_form(arguments_of("action_space_cfg", action_space_cfg), n_waypoints=num_action_chunks)
        self.action_space_cfg = {**copy.deepcopy(ACTION_SPACE), **space}
        diffusion = arguments_of("diffusion_cfg", diffusion_cfg)
        short = {"num_inference_steps": num_inference_steps, "ode_solver": ode_solver, "ode_spacing": ode_spacing}
        self.diffusion_cfg = checked_diffusion(with_short_form(diffusion, **short))
        self.action_in_proj_cfg = {**ACTION_IN_PROJ, **arguments_of("action_in_proj_cfg", action_in_proj_cfg)}
        self.action_out_proj_cfg = arguments_of("action_out_proj_cfg", action_out_proj_cfg)
        tokenizer = arguments_of("traj_tokenizer_cfg", traj_tokenizer_cfg)
        if "action_space_cfg" in tokenizer:
            tokenizer["action_space_cfg"] = arguments_of("action_space_cfg", tokenizer["action_space_cfg"])
        self.traj_tokenizer_cfg = {**copy.deepcopy(TRAJ_TOKENIZER), **tokenizer}
        self.hist_traj_tokenizer_cfg = arguments_of("hist_traj_tokenizer_cfg", hist_traj_tokenizer_cfg)
        self.traj_token_ids = dict(TRAJ_TOKEN_IDS if traj_token_ids is None else traj_token_ids)
        self.view_names = checked_view_names(view_names)
        tied = self.vlm_config.tie_word_embeddings
        super().__init__(**with_token_ids(kwargs, self.vlm_config.text_config, tied))
        self.check()

    @property
    def num_action_chunks(self) -> int:
        """Waypoints, and action tokens, of one trajectory."""
        return self.action_space_cfg["n_waypoints"]

    @num_action_chunks.setter
    def num_action_chunks(self, value: int) -> None:
        self.action_space_cfg = self.action_space_cfg | {"n_waypoints": value}

    @property
    def does(self) -> str:
        """See `VLAConfig`."""
        return alpamayo_does(self)

    @property
    def facts(self) -> dict[str, str]:
        """See `VLAConfig`."""
        return alpamayo_facts(self)

    @property
    def action_text(self) -> str:
        """See `VLAConfig`."""
        return alpamayo_actions(self)

    @property
    def num_inference_steps(self) -> int:
        """Steps of one prediction."""
        return self.diffusion_cfg.get("num_inference_steps", DEFAULT_STEPS)

    @num_inference_steps.setter
    def num_inference_steps(self, value: int) -> None:
        self.diffusion_cfg = self.diffusion_cfg | {"num_inference_steps": value}

    @property
    def ode_solver(self) -> str:
        """Of the steps, under its own name or the published one."""
        return self.diffusion_cfg.get("ode_solver") or self.diffusion_cfg.get("int_method", "euler")

    @ode_solver.setter
    def ode_solver(self, value: str) -> None:
        self.diffusion_cfg = self.diffusion_cfg | {"ode_solver": value}

    @property
    def ode_spacing(self) -> str:
        """Of the steps."""
        return self.diffusion_cfg.get("ode_spacing", "uniform")

    @ode_spacing.setter
    def ode_spacing(self, value: str) -> None:
        self.diffusion_cfg = self.diffusion_cfg | {"ode_spacing": value}

    @property
    def tokens_per_pose(self) -> int:
        """Tokens of one pose of a history: three, or four with turns."""
        return 4 if self.hist_traj_tokenizer_cfg.get("predict_yaw") else 3

    @property
    def num_history_poses(self) -> int:
        """Poses of a history."""
        return self.tokens_per_history_traj // self.tokens_per_pose

    @property
    def hist_token_start_idx(self) -> int:
        """Id of the first token of a history: behind those of the future."""
        return self.traj_token_start_idx + self.traj_tokenizer_cfg["num_bins"]

    def special_token_id(self, key: str) -> int | None:
        """The id of a special token (`trajectory_vocabulary.py`); `None` where there are only those of `TRAJ_TOKEN`."""
        return special_token_id(key, self.traj_token_ids, self.add_special_tokens)

    def check(self) -> None:
        """Refuse values that cannot work, by the name of the field."""
        self.check_fast_prediction()
        check_action_space(self.action_space_cfg)
        check_counts(self, "traj_vocab_size", "tokens_per_history_traj", "tokens_per_future_traj", "min_pixels")
        check_positive("diffusion_cfg.num_inference_steps", self.num_inference_steps, MAX_STEPS)
        if self.diffusion_cfg.get("int_method", "euler") != "euler":
            raise ConfigError(
                f"diffusion_cfg.int_method={self.diffusion_cfg['int_method']!r} is unknown; it is euler, and other "
                "solvers are an ode_solver."
            )
        check_choices(self, ODE_CHOICES)
        if self.max_pixels < self.min_pixels:
            raise ConfigError(f"max_pixels={self.max_pixels} is below min_pixels={self.min_pixels}.")
        if self.traj_token_start_idx + self.traj_vocab_size > self.vocab_size:
            raise ConfigError(
                f"vocab_size={self.vocab_size} does not hold the {self.traj_vocab_size} trajectory tokens from "
                f"{self.traj_token_start_idx} on."
            )
        missing = sorted(set(TRAJ_TOKEN_IDS) - set(self.traj_token_ids))
        if missing:
            raise ConfigError(f"traj_token_ids lacks {', '.join(missing)}.")
        text, expert = self.vlm_config.text_config, self.expert_config
        for field in ("num_hidden_layers", "num_key_value_heads", "head_dim"):
            if getattr(expert, field) != getattr(text, field):
                raise ConfigError(
                    f"expert_config.{field}={getattr(expert, field)} must be the VLM's, {getattr(text, field)}: the "
                    "expert reads its keys and values."
                )
        if expert.num_attention_heads % expert.num_key_value_heads:
            raise ConfigError(
                f"expert_config.num_attention_heads={expert.num_attention_heads} must be a multiple of the VLM's "
                f"{text.num_key_value_heads} key and value heads."
            )


def arguments_of(field: str, published: Mapping[str, Any] | None) -> dict[str, Any]:
    """The arguments in a dict of a published config, after a look at the class that it names.

    Raises:
        ConfigError: the `_target_` is none of those known for this field.
    """
    given = copy.deepcopy(dict(published or {}))
    target = given.get("_target_")
    if target is not None:
        name = next((target.removeprefix(p) for p in PACKAGES if str(target).startswith(p)), target)
        if name not in TARGETS[field]:
            raise ConfigError(f"{field} names the class {target!r}; known for it are {', '.join(TARGETS[field])}.")
    return {name: value for name, value in given.items() if name not in NOT_ARGUMENTS}


def with_short_form(arguments: dict[str, Any], **short: int | str | None) -> dict[str, Any]:
    """Arguments of a part with those that were also given by themselves.

    Raises:
        ConfigError: the two differ.
    """
    given = {name: value for name, value in short.items() if value is not None}
    for name, value in given.items():
        if arguments.get(name, value) != value:
            raise ConfigError(f"{name} is {arguments[name]!r} in its part's dict and {value!r} beside it; give one.")
    return arguments | given


def checked_diffusion(arguments: dict[str, Any]) -> dict[str, Any]:
    """Raises ConfigError for one that `FlowMatching` does not have in any release."""
    if unknown := sorted(arguments.keys() - set(DIFFUSION)):
        raise ConfigError(f"diffusion_cfg has {unknown[0]!r}; known are {', '.join(DIFFUSION)}.")
    return arguments


def as_vlm_config(value: Qwen3VLConfig | dict | None, vocab_size: int) -> Qwen3VLConfig:
    """The base's config with the vocabulary of the checkpoint."""
    if isinstance(value, PretrainedConfig):
        config = copy.deepcopy(value)
    else:
        fields = copy.deepcopy(dict(VLM if value is None else value))
        model_type = fields.pop("model_type", "qwen3_vl")
        if model_type != "qwen3_vl":
            raise ConfigError(f"vlm_config.model_type is {model_type!r}; the base of this family is a 'qwen3_vl'.")
        fields["text_config"] = readable_rope(fields.get("text_config") or {})
        config = Qwen3VLConfig(**fields)
    config.text_config.vocab_size = vocab_size
    return config


def as_expert_text_config(
    text_config: Qwen3VLTextConfig, value: Qwen3VLTextConfig | dict | None, changes: Mapping[str, Any]
) -> Qwen3VLTextConfig:
    """The expert's stack: the VLM's text model with `changes`, and without a vocabulary."""
    if isinstance(value, PretrainedConfig):
        return copy.deepcopy(value)
    fields = text_config.to_dict() if value is None else copy.deepcopy(dict(value))
    if value is None:
        for name in ("hidden_size", "intermediate_size", "num_attention_heads"):
            check_positive(f"expert_cfg.{name}", changes.get(name, 1))
        fields.update(
            copy.deepcopy(dict(changes)), vocab_size=1, pad_token_id=None, bos_token_id=None, eos_token_id=None
        )
    fields.pop("model_type", None)
    return Qwen3VLTextConfig(**readable_rope(fields))
