"""A checkpoint of vlahub as LeRobot's policy."""

import dataclasses
from collections import deque
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from huggingface_hub import HfApi
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.utils.constants import ACTION

from vlahub.conversion.predictions.checkpoint_loading import load_model, load_processor
from vlahub.data import collator_for, record_views
from vlahub.errors import ConfigError, InputError
from vlahub.modeling.action_normalization import find_statistics
from vlahub.training.lora_config import lora_config
from vlahub.training.training_stages import trainable_parameter_groups

from .checkpoint_folders import (
    CHECKPOINT,
    check_same,
    checkpoint_folder,
    is_saved_policy,
    policy_folder,
    robot_config,
    saved_origin,
)
from .configuration_vlahub import VlahubConfig
from .first_actions import FirstActions
from .policy_features import settle_config
from .robot_actions import robosuite_gripper
from .robot_observations import instructions_of, samples_of, size_of, state_of
from .stage_options import check_stage
from .training_statistics import chosen_statistics


class VlahubPolicy(PreTrainedPolicy):
    """Predicts, and learns, what the model of a checkpoint does with its own processor.

    Args:
        config: what LeRobot knows; it gets what the checkpoint says: chunk size, and the features that are read.
        dataset_stats: LeRobot's statistics of a dataset, read with `statistics="dataset"` alone.
        folder: of the checkpoint; by default that of `config.checkpoint`.
        dataset_meta: LeRobot hands it to every policy; not read.

    Raises:
        ConfigError, InputError, ConversionError: the checkpoint cannot be read or is of no robot, or features, sizes or
            statistics do not fit it; the message names them.
    """

    config_class = VlahubConfig
    name = "vlahub"

    def __init__(
        self,
        config: VlahubConfig,
        dataset_stats: dict[str, dict[str, Any]] | None = None,
        folder: Path | None = None,
        dataset_meta: Any = None,
    ):
        super().__init__(config)
        folder = folder or checkpoint_folder(config.checkpoint, config.revision)
        model_config = robot_config(folder)
        self.processor = load_processor(folder)
        self.views = settle_config(config, model_config, self.processor)
        self.model = load_model(folder, config.device, config.dtype, config.fast)
        if config.statistics is not None:
            chosen_statistics(config, self.model.config, self.processor, dataset_stats)
        self.first_actions = None
        if self.model.config.norm_stats:  # asked for before the first prediction
            statistics = find_statistics(self.model.config.norm_stats, config.unnorm_key)
            self.first_actions = FirstActions(statistics["action"], self.model.config)
        self.reset()

    def reset(self) -> None:
        """An episode begins: actions of the last one are never given."""
        self.actions: deque[torch.Tensor] = deque()
        self.tasks: list[str] | None = None
        self.ensembler = None
        if self.config.temporal_ensemble_coeff is not None:
            from lerobot.policies.act.modeling_act import ACTTemporalEnsembler

            self.ensembler = ACTTemporalEnsembler(self.config.temporal_ensemble_coeff, self.config.chunk_size)

    @torch.no_grad()
    def select_action(self, batch: dict[str, Any], noise: torch.Tensor | None = None) -> torch.Tensor:
        """The action (batch, action_dim) of this step in robot units: the next of the chunk, else of a new one.

        noise: see `predict_action_chunk`.
        """
        tasks = instructions_of(batch, size_of(batch, self.views), self.config.instruction)
        if tasks != self.tasks:  # of another task, or another number of environments
            self.reset()
            self.tasks = tasks
        if self.ensembler is not None:
            return self.told(self.ensembler.update(self.predicted(batch, noise)))
        if not self.actions:
            chunk = self.predict_action_chunk(batch, noise)[:, : self.config.n_action_steps]
            self.actions.extend(chunk.transpose(0, 1))
        return self.actions.popleft()

    @torch.no_grad()
    def predict_action_chunk(self, batch: dict[str, Any], noise: torch.Tensor | None = None) -> torch.Tensor:
        """Actions (batch, chunk_size, action_dim) in robot units, float32.

        Args:
            batch: what LeRobot's preprocessor gives: images (batch, 3, height, width) in 0..1, the state, `task`.
            noise: (batch, chunk_size, action_dim), where a flow or diffusion head begins; drawn.

        Raises:
            InputError: something is missing or has the wrong form.
            NonFiniteError: the prediction is not finite.
        """
        return self.told(self.predicted(batch, noise))

    def predicted(self, batch: dict[str, Any], noise: torch.Tensor | None) -> torch.Tensor:
        """The chunk of the checkpoint, see `predict_action_chunk`."""
        if self.training:
            self.eval()
        inputs = {name: value.to(self.device) for name, value in self.read(batch).items()}
        options = {"noise": noise, "num_inference_steps": self.config.num_inference_steps}
        given = {name: value for name, value in options.items() if value is not None}
        return self.model.predict_action(**inputs, **given, unnorm_key=self.config.unnorm_key)

    def told(self, actions: torch.Tensor) -> torch.Tensor:
        """Predicted actions (..., action_dim) as the robot or simulator takes them."""
        return robosuite_gripper(actions) if self.config.openvla_gripper else actions

    def forward(self, batch: dict[str, Any]) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of a batch with its `action`s (batch, chunk_size, action_dim), and its parts as numbers.

        Raises InputError in one of the first steps of a training whose actions lie outside of the statistics.
        """
        collate = collator_for(self.model.config, self.processor, unnorm_key=self.config.unnorm_key)
        examples = self.examples(batch)
        inputs = {name: value.to(self.device) for name, value in collate(examples).items()}
        if self.training and self.first_actions is not None:
            self.first_actions.look_at(examples)
        found = self.model(**inputs)
        parts = {name: getattr(found, name, None) for name in ("action_loss", "lm_loss")}
        return found.loss, {name: float(part.detach()) for name, part in parts.items() if part is not None}

    def get_optim_params(self) -> list[dict[str, Any]]:
        """The optimiser's groups, in float32: what `stage` trains, or the adapters of LeRobot's `--peft`.

        Where the checkpoint records no names of its views it gets those that it is trained with, as by `vlahub train`.

        Raises:
            ConfigError: the weights were rounded when they were loaded, actions are told in other units, or an option
                is for another stage.
            InputError: see `trainable_parameter_groups`.
        """
        if self.config.dtype not in (None, "float32"):
            raise ConfigError(
                f"dtype={self.config.dtype}: what trains is float32; leave it out. `accelerate launch "
                "--mixed_precision=bf16 $(which lerobot-train)` computes in bfloat16."
            )
        if self.config.openvla_gripper:
            raise ConfigError(
                "openvla_gripper=True: what is learnt is the dataset's gripper; leave it out (--policy.openvla_gripper="
                "false), and give it to lerobot-eval where the dataset has OpenVLA's."
            )
        adapters = any(".lora_" in name for name, _ in self.named_parameters())
        check_stage(self.config, adapters)
        if not (self.processor.view_names or self.model.config.view_names):
            record_views(self.model.config, self.processor, list(self.config.views) or self.views)
        self.float()  # exact, whatever the file has
        if adapters:
            return [{"params": [parameter for parameter in self.parameters() if parameter.requires_grad]}]
        layers = self.config.top_layers if self.config.stage == "B" else 0
        scales = {"backbone_lr_scale": self.config.backbone_lr_scale, "lr": self.config.optimizer_lr}
        groups = trainable_parameter_groups(self.model, self.config.stage, layers, **scales)
        return [{"params": group["params"], "lr": group["lr"]} for group in groups]

    def _get_default_peft_targets(self) -> dict[str, Any]:
        """What gets a LoRA, and what is new and trains whole, as in `vlahub train`; for LeRobot's `--peft`."""
        found = lora_config(self.model)
        names = {"target_modules": found.target_modules, "modules_to_save": found.modules_to_save}
        return {name: [f"model.{module}" for module in modules] for name, modules in names.items() if modules}

    def _validate_peft_config(self, peft_config: Any) -> None:
        """Raises ConfigError for statistics that the folder of an adapter would not hold."""
        super()._validate_peft_config(peft_config)
        if self.config.statistics is not None:
            raise ConfigError(
                f"statistics={self.config.statistics}: the folder of an adapter holds none; write a policy with them "
                "first (python -m lerobot_policy_vlahub --statistics), and train that by --policy.path."
            )

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def read(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        """What the checkpoint's processor makes of a batch."""
        images, words = samples_of(batch, self.views), self.words
        texts = instructions_of(batch, len(images), self.config.instruction)
        state = state_of(batch, self.config.state_feature, self.processor.state_dim)
        return dict(self.processor(images, texts, state=state, unnorm_key=self.config.unnorm_key, **words))

    @property
    def words(self) -> dict[str, Any]:
        """What else than images, state and task a checkpoint may be told."""
        words = {"advantage": self.config.advantage, "embodiment_id": self.config.embodiment_id}
        return {name: word for name, word in words.items() if word is not None}

    def examples(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows of a batch of LeRobot's dataset as examples of the checkpoint's collator."""
        if ACTION not in batch:
            raise InputError(f"a batch to learn from needs {ACTION!r}; it holds {', '.join(sorted(batch))}.")
        images = samples_of(batch, self.views)
        texts = instructions_of(batch, len(images), self.config.instruction)
        rows = {"images": images, "text": texts, "actions": list(batch[ACTION].detach().cpu())}
        state = state_of(batch, self.config.state_feature, self.processor.state_dim)
        if state is not None:
            rows["state"] = list(state)
        if "action_is_pad" in batch:
            rows["action_is_pad"] = list(batch["action_is_pad"].cpu().numpy())
        return [dict(zip(rows, row, strict=True)) | self.words for row in zip(*rows.values(), strict=True)]

    def _save_pretrained(self, save_directory: Path, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """LeRobot's config, and the checkpoint with its processor in a folder that vlahub's commands take."""
        dataclasses.replace(self.config, statistics=None)._save_pretrained(save_directory)
        weights = state_dict and {name.removeprefix("model."): value for name, value in state_dict.items()}
        self.model.save_pretrained(save_directory / CHECKPOINT, state_dict=weights or None)
        self.processor.save_pretrained(save_directory / CHECKPOINT)

    def push_model_to_hub(self, cfg: Any, peft_model: Any = None, **options: Any) -> None:
        """As in LeRobot, which uploads no other files than JSON, YAML, Markdown and weights; code and tokenizer follow.

        options: of LeRobot 0.6.
        """
        super().push_model_to_hub(cfg, peft_model, **options)
        if peft_model is not None:
            return
        with TemporaryDirectory() as folder:
            self.model.config.save_pretrained(folder)
            self.processor.save_pretrained(folder)
            HfApi().upload_folder(repo_id=self.config.repo_id, folder_path=folder, path_in_repo=CHECKPOINT)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_name_or_path: str | Path,
        *,
        config: VlahubConfig | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        strict: bool = True,
        dataset_stats: dict[str, dict[str, Any]] | None = None,
        dataset_meta: Any = None,
    ) -> "VlahubPolicy":
        """A policy that was saved, or a checkpoint of vlahub, a folder or on the Hub, in evaluation mode.

        Args:
            config: what else is said of it; `config.checkpoint` is the checkpoint, or where the policy began.
            revision, token, cache_dir, force_download, local_files_only: of a repository.
            strict: LeRobot's; keys of weights are always those of the model.
            dataset_stats, dataset_meta: see the class.

        Raises:
            ConfigError: `config` names another checkpoint than the one that is loaded, or that the policy began from,
                or a folder was given a revision.
        """
        download: dict[str, Any] = {"token": token, "cache_dir": cache_dir, "force_download": force_download}
        folder = policy_folder(pretrained_name_or_path, revision, local_files_only=local_files_only, **download)
        if not is_saved_policy(folder):
            config = config or VlahubConfig(checkpoint=str(pretrained_name_or_path), revision=revision)
            check_same(config, pretrained_name_or_path, revision)
            config.checkpoint, config.revision = str(pretrained_name_or_path), revision
            return cls(config, dataset_stats, folder).eval()
        config = config or PreTrainedConfig.from_pretrained(folder)
        if config.checkpoint != saved_origin(folder):
            raise ConfigError(
                f"--policy.checkpoint={config.checkpoint}: {pretrained_name_or_path} has weights of its own; leave it "
                "out, or give it alone, with --policy.type=vlahub."
            )
        return cls(config, dataset_stats, folder / CHECKPOINT).eval()
