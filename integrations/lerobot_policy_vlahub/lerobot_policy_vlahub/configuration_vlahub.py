"""What LeRobot's command lines can say of a vlahub checkpoint, as `--policy.NAME=VALUE`."""

from dataclasses import dataclass, field
from functools import cached_property

from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import NormalizationMode
from lerobot.optim.optimizers import AdamWConfig
from lerobot.utils.constants import OBS_STATE

from vlahub.errors import ConfigError

DTYPES = ("float32", "bfloat16", "float16")


@PreTrainedConfig.register_subclass("vlahub")
@dataclass
class VlahubConfig(PreTrainedConfig):
    """A checkpoint of vlahub as a policy.

    Args:
        checkpoint: folder or Hub repository. Of a policy that was saved it says where that began; its weights are its
            own then.
        revision: branch, tag or commit of a Hub repository.
        views: `{view of the checkpoint: image feature}`, where the environment or dataset has other names; of a
            checkpoint that records no names the order of training counts, and any names will do.
        state_feature: the feature that is the robot's state.
        instruction: what to do, in place of the environment's or dataset's task.
        unnorm_key: whose statistics, where the checkpoint has several.
        statistics: take other ones than the checkpoint's, for training: a dataset_statistics.json (`vlahub stats`), or
            "dataset" for those that LeRobot computed of the dataset, but for its quantiles, which are means over
            episodes. They are saved with the policy.
        n_action_steps: actions of a chunk that are executed before the next is predicted; all.
        chunk_size: actions of a chunk; that of the checkpoint, and no other.
        temporal_ensemble_coeff: average over all chunks that have this step, as ACT does (0.01 there); a chunk is
            predicted at each step then.
        num_inference_steps: of a flow or diffusion head; the checkpoint's.
        openvla_gripper: the checkpoint's last action is a gripper's, 0 closed and 1 open, as in OpenVLA's copies of
            LIBERO; the simulator is told -1 to open and 1 to close.
        advantage, embodiment_id: of checkpoints that learnt words, or several robots.
        dtype: of the weights in predictions; by default float32 on a CPU, else that of the checkpoint. What trains is
            float32.
        fast: a mode of fast prediction, "graphs" or "compile".
        stage: what trains, see `vlahub train`: "full", "A" (what is new), "B" (also the language model's top layers).
            With LeRobot's `--peft` adapters train, and none of these three is read.
        top_layers: of the language model, with stage B.
        backbone_lr_scale: on the learning rate of what was trained before, with stage B and full.
    """

    checkpoint: str | None = None
    revision: str | None = None
    views: dict[str, str] = field(default_factory=dict)
    state_feature: str = OBS_STATE
    instruction: str | None = None
    unnorm_key: str | None = None
    statistics: str | None = None
    n_action_steps: int | None = None
    chunk_size: int | None = None
    temporal_ensemble_coeff: float | None = None
    num_inference_steps: int | None = None
    openvla_gripper: bool = False
    advantage: str | None = None
    embodiment_id: int | None = None
    dtype: str | None = None
    fast: str | None = None

    stage: str = "full"
    top_layers: int = 4
    backbone_lr_scale: float = 0.1
    optimizer_lr: float = 1e-4
    optimizer_weight_decay: float = 0.0
    optimizer_grad_clip_norm: float = 1.0

    # The processor of the checkpoint normalises; LeRobot's steps, which some of its scripts expect, do nothing.
    normalization_mapping: dict[str, NormalizationMode] = field(
        default_factory=lambda: dict.fromkeys(("VISUAL", "STATE", "ACTION"), NormalizationMode.IDENTITY)
    )

    def __post_init__(self) -> None:
        """Raises ConfigError for what no checkpoint could do."""
        super().__post_init__()
        if any(mode is not NormalizationMode.IDENTITY for mode in self.normalization_mapping.values()):
            raise ConfigError("normalization_mapping: the checkpoint's own processor normalises; leave it out.")
        if self.n_obs_steps != 1:
            raise ConfigError(f"n_obs_steps={self.n_obs_steps}: a vlahub checkpoint sees one observation.")
        if self.n_action_steps is not None and self.n_action_steps < 1:
            raise ConfigError(f"n_action_steps={self.n_action_steps} must be at least 1.")
        if self.temporal_ensemble_coeff is not None and self.n_action_steps not in (None, 1):
            raise ConfigError(
                f"temporal_ensemble_coeff={self.temporal_ensemble_coeff} predicts at each step: n_action_steps="
                f"{self.n_action_steps} has no effect beside it; leave it out."
            )
        if self.instruction is not None and not self.instruction.strip():
            raise ConfigError(f"instruction={self.instruction!r} says nothing; say what to do, as in training.")
        if self.dtype not in (None, *DTYPES):
            raise ConfigError(f"dtype={self.dtype!r} is unknown; choose from {', '.join(DTYPES)}.")

    @cached_property
    def steps_of_chunk(self) -> int:
        """Of the checkpoint, whose config.json alone is read: LeRobot asks before there is a policy."""
        from .checkpoint_folders import checkpoint_folder, robot_config  # slow to import

        return robot_config(checkpoint_folder(self.checkpoint, self.revision, weights=False)).num_action_chunks

    @property
    def observation_delta_indices(self) -> None:
        return None

    @property
    def action_delta_indices(self) -> list[int]:
        return list(range(self.chunk_size or self.steps_of_chunk))

    @property
    def reward_delta_indices(self) -> None:
        return None

    def get_optimizer_preset(self) -> AdamWConfig:
        return AdamWConfig(
            lr=self.optimizer_lr,
            weight_decay=self.optimizer_weight_decay,
            grad_clip_norm=self.optimizer_grad_clip_norm,
        )

    def get_scheduler_preset(self) -> None:
        """None: the learning rate is constant."""

    def validate_features(self) -> None:
        """What the checkpoint needs is known when it is loaded: see `robot_features.py`."""
