"""Alpamayo-R1: camera images and a driven path become reasoning in text, and then trajectories (arXiv 2511.00088).

Data flow: Qwen3-VL reads images and prompt once and writes a text for every sample; the expert, a second stack over the
same keys and values, turns noise into normalised accelerations and curvatures; the unicycle model integrates them to
poses. Upstream: NVlabs/alpamayo, src/alpamayo_r1/models/alpamayo_r1.py.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import GenerationMixin, LogitsProcessorList, Qwen3VLForConditionalGeneration, StoppingCriteriaList
from transformers.generation import LogitsProcessor, StoppingCriteria
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel
from transformers.utils import can_return_tuple

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.vla_errors import InputError
from ..cache_names import CACHE_NAMES
from ..finite_predictions import require_finite
from ..floating_dtype import floating_dtype
from ..flow_matching import check_steps
from ..input_checks import (
    check_ids,
    check_inputs,
    check_length,
    check_patches,
    check_rows,
    check_tensor,
    execution_device,
)
from ..loss_items import Items, items_of_text
from ..prefix_cache import without_checkpointing
from ..sharded_layer import tie_keys_and_values
from ..strict_loading import StrictPreTrainedModel, tied_weights
from .alpamayo_flow_matching import FlowMatching
from .alpamayo_outputs import AlpamayoR1Output, AlpamayoR1TrajectoryOutput
from .alpamayo_training import AlpamayoTraining
from .ego_frame import at_hand, check_poses
from .reasoning_text import reasoning_of, split_text
from .rollout import (
    Rollout,
    TrajectoryTokenMask,
    check_count,
    decoder_modules,
    prefill,
    sample_text,
    warpers,
)
from .tokenizer_beside_model import load_tokenizer
from .trajectory_expert import action_mask, kept_text, run_expert
from .trajectory_tokenizers import DeltaTrajectoryTokenizer, tokenize_history
from .unicycle_action_space import UnicycleAccelCurvatureActionSpace
from .waypoint_projection import PerWaypointActionInProjV2


class AlpamayoR1(AlpamayoTraining, StrictPreTrainedModel, GenerationMixin):
    """The model that users call: `sample_trajectories` to drive, `forward` to train, `generate` for text.

    Where a checkpoint brings the code, transformers would replace a class that generates and is no `GenerationMixin` by
    a nameless one, of which no object can be pickled.

    Attributes:
        tokenizer: that of the checkpoint, when the model was loaded from one that has it; else `None`.
    """

    config_class = AlpamayoR1Config
    base_model_prefix = "vlm"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False
    pretrained_parts = ("vlm",)
    action_parts = ("expert.", "action_in_proj.", "action_out_proj.")
    _no_split_modules = ["Qwen3VLTextDecoderLayer", "Qwen3VLVisionBlock"]
    _skip_keys_device_placement = list(CACHE_NAMES)
    _supports_sdpa = True
    _supports_flash_attn = True
    _tied_weights_keys = tied_weights({"vlm.lm_head.weight": "vlm.model.language_model.embed_tokens.weight"})

    def __init__(self, config: AlpamayoR1Config):
        super().__init__(config)
        if "flash" in (config.expert_config._attn_implementation or ""):
            config.expert_config._attn_implementation = "sdpa"  # its masks are four-dimensional
        for part in (config.vlm_config.text_config, config.vlm_config.vision_config):
            part.dtype = torch.get_default_dtype()  # the stock model would make its parts in the dtype of their configs
        width = config.expert_config.hidden_size
        self.vlm = Qwen3VLForConditionalGeneration(config.vlm_config)
        tie_keys_and_values(self.vlm.model.language_model.layers[-1])
        self.expert = Qwen3VLTextModel(config.expert_config)
        self.expert.embed_tokens = None
        self.action_space = UnicycleAccelCurvatureActionSpace(**config.action_space_cfg)
        dims = self.action_space.get_action_space_dims()
        self.diffusion = FlowMatching(**{**config.diffusion_cfg, "x_dims": dims})
        self.action_in_proj = PerWaypointActionInProjV2(in_dims=dims, out_dim=width, **config.action_in_proj_cfg)
        self.action_out_proj = nn.Linear(width, dims[-1], **config.action_out_proj_cfg)
        self.hist_traj_tokenizer = DeltaTrajectoryTokenizer(**config.hist_traj_tokenizer_cfg)
        self.tokenizer = None
        self.post_init()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """As in transformers; the tokenizer of the checkpoint comes along, for the texts of the samples."""
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        found = load_tokenizer(pretrained_model_name_or_path, kwargs)
        model.tokenizer = model.tokenizer if found is None else found  # an adapter has its base model's
        return loaded

    @property
    def language_part(self) -> nn.Module:
        return self.vlm.model.language_model

    def get_input_embeddings(self) -> nn.Module:
        return self.vlm.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.vlm.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.vlm.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.vlm.lm_head = value

    @torch.no_grad()
    def sample_trajectories(
        self,
        input_ids: torch.LongTensor,
        ego_history_xyz: torch.Tensor,
        ego_history_rot: torch.Tensor,
        pixel_values: torch.Tensor | None = None,
        image_grid_thw: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        num_traj_samples: int = 6,
        num_traj_sets: int = 1,
        top_p: float = 0.98,
        top_k: int | None = None,
        temperature: float = 0.6,
        max_new_tokens: int | None = None,
        num_inference_steps: int | None = None,
        noise: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        logits_processor: Sequence[LogitsProcessor] | None = None,
        stopping_criteria: Sequence[StoppingCriteria] | None = None,
        check_finite: bool = True,
    ) -> AlpamayoR1TrajectoryOutput:
        """Reason about a scene and draw trajectories, `num_traj_sets` times `num_traj_samples` for each prompt.

        Args:
            input_ids: (batch, length), padded on the left; history placeholders are replaced by the history's tokens,
                unless the processor has done so.
            ego_history_xyz, ego_history_rot: (batch, 1, steps, 3) metres and (batch, 1, steps, 3, 3), or without the
                second dimension; in the frame of the last pose, 0.1 s apart.
            pixel_values, image_grid_thw: (patches, 1536) and (images, 3), of the whole batch.
            attention_mask: (batch, length), 0 on padding.
            top_p, top_k, temperature: of the reasoning; `top_k=1` is greedy.
            max_new_tokens: limit of the reasoning; `tokens_per_future_traj` of the config by default.
            num_inference_steps: Euler steps of the trajectory.
            noise: (batch * sets * samples, waypoints, 2), where the trajectories start, in the order batch, set,
                sample; drawn when left out.
            generator: for text and noise.
            logits_processor, stopping_criteria: as in transformers' `generate`; processors run after the mask of the
                trajectory tokens and before temperature, top_k and top_p.
            check_finite: end with an error where the trajectories, the logits of the text, or what they were computed
                from are not finite.

        Raises:
            InputError: an argument has the wrong form, or the history does not end at the origin.
            NonFiniteError: see `check_finite`.
        """
        numbers = {"pixel_values": pixel_values, "noise": noise}
        self.check_arguments(input_ids, attention_mask, ego_history_xyz, ego_history_rot, numbers, image_grid_thw)
        history = self.checked_history(input_ids, ego_history_xyz, ego_history_rot, wait=False)
        samples = checked_counts(num_traj_sets, num_traj_samples)
        rows = input_ids.shape[0] * samples
        inputs = {"pixel_values": pixel_values, "noise": noise}
        noise = self.diffusion.checked_or_drawn(rows, noise, generator, execution_device(self))
        steps = self.diffusion.num_inference_steps if num_inference_steps is None else num_inference_steps
        check_steps(steps)
        limit = self.config.tokens_per_future_traj if max_new_tokens is None else max_new_tokens
        check_count("max_new_tokens", limit)
        parts = {"prompt": input_ids.shape[1], "text to be written": limit, "trajectory": noise.shape[1]}
        check_length(parts, self.config.vlm_config.text_config.max_position_embeddings)
        processors = self.processors(logits_processor, warpers(temperature, top_k, top_p))
        ids = self.fuse_history(input_ids, *history)
        criteria = StoppingCriteriaList(stopping_criteria or [])
        ends = [self.config.traj_token_ids["future_start"], *self.end_ids]
        with without_checkpointing(decoder_modules(self.vlm)):
            prompt = prefill(self.vlm, ids, attention_mask, pixel_values, image_grid_thw).repeated(samples)
            rollout = sample_text(self.vlm, prompt, limit, ends, self.pad_id, processors, criteria, generator)
        actions = self.denoise(rollout, noise, steps)
        poses = [pose.repeat_interleave(samples, dim=0) for pose in history]
        pred_xyz, pred_rot = self.action_space.action_to_traj(actions, *poses)
        shape = (input_ids.shape[0], num_traj_sets, num_traj_samples)
        if not at_hand(ego_history_xyz):  # what was not looked at before
            check_poses("ego_history", *history, ends_at_origin=True)
        if check_finite:
            outputs = {"actions": actions, "pred_xyz": pred_xyz, "pred_rot": pred_rot}
            outputs = {name: output.unflatten(0, (len(input_ids), -1)) for name, output in outputs.items()}
            outputs["logits of the text"] = rollout.finite.view(len(input_ids), -1).all(dim=1)
            require_finite(self, outputs, inputs)
        return AlpamayoR1TrajectoryOutput(
            pred_xyz=pred_xyz.unflatten(0, shape),
            pred_rot=pred_rot.unflatten(0, shape),
            actions=actions.unflatten(0, shape),
            has_start_token=(rollout.generated == ends[0]).any(dim=1).view(shape),
            reasoning=self.texts(rollout, shape),
            sequences=rollout.sequences,
        )

    def sample_trajectories_from_data_with_vlm_rollout(
        self,
        data: dict[str, Any],
        top_p: float = 0.98,
        top_k: int | None = None,
        temperature: float = 0.6,
        num_traj_samples: int = 6,
        num_traj_sets: int = 1,
        diffusion_kwargs: dict[str, Any] | None = None,
        max_generation_length: int | None = None,
        return_extra: bool = False,
        check_finite: bool = True,
    ) -> tuple:
        """`sample_trajectories` under the published name, for existing scripts.

        Args:
            data: `{"tokenized_data": {"input_ids": ..., "pixel_values": ..., ...}, "ego_history_xyz": ...,
                "ego_history_rot": ...}`; it is left as it is.
            diffusion_kwargs: `{"inference_step": Euler steps}`.
            return_extra: also return `{"cot": texts, "meta_action": ..., "answer": ...}`, arrays (batch, sets,
                samples).
            check_finite: as in `sample_trajectories`.

        Returns:
            `pred_xyz, pred_rot`, and the texts on request.
        """
        options = dict(diffusion_kwargs or {})
        steps = options.pop("inference_step", None)
        if options:
            raise InputError(f"diffusion_kwargs holds {sorted(options)}; known is inference_step.")
        known = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")
        tokenized = {name: data["tokenized_data"][name] for name in known if name in data["tokenized_data"]}
        output = self.sample_trajectories(
            **tokenized,
            ego_history_xyz=data["ego_history_xyz"],
            ego_history_rot=data["ego_history_rot"],
            num_traj_samples=num_traj_samples,
            num_traj_sets=num_traj_sets,
            top_p=top_p,
            top_k=top_k,
            temperature=temperature,
            max_new_tokens=max_generation_length,
            num_inference_steps=steps,
            check_finite=check_finite,
        )
        if not return_extra:
            return output.pred_xyz, output.pred_rot
        if self.tokenizer is None:
            raise InputError("return_extra needs the tokenizer: load the model from a checkpoint that has one.")
        texts = split_text(self.tokenizer.batch_decode(output.sequences, skip_special_tokens=False))
        shape = tuple(output.has_start_token.shape)
        extra = {part: np.array(found, dtype=object).reshape(shape) for part, found in texts.items()}
        return output.pred_xyz, output.pred_rot, extra

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.Tensor | None = None,
        image_grid_thw: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        ego_history_xyz: torch.Tensor | None = None,
        ego_history_rot: torch.Tensor | None = None,
        ego_future_xyz: torch.Tensor | None = None,
        ego_future_rot: torch.Tensor | None = None,
        time: torch.Tensor | None = None,
        noise: torch.Tensor | None = None,
        stop_grad_from_vlm: bool | None = None,
        num_items_in_batch: Items | None = None,
    ) -> AlpamayoR1Output:
        """With a future the flow-matching loss of the expert; with labels, or without a future, the language model.

        Args:
            input_ids: (batch, length), prompts with their reasoning and `<|traj_future_start|>`; what follows it in a
                row is not seen by the expert.
            ego_future_xyz, ego_future_rot: (batch, waypoints, 3) and (batch, waypoints, 3, 3), or with a second
                dimension of 1; in the frame of the last history pose.
            labels: (batch, length), -100 where there is nothing to learn.
            time, noise: (batch,) in 0..1, 0 being noise, and (batch, waypoints, 2); drawn when left out.
            stop_grad_from_vlm: the expert's loss has no gradient in the VLM; the config's setting by default.
            num_items_in_batch: totals of `loss_items` over the batches that make one step, where this is one of them.
            The others are as in `sample_trajectories`.

        Raises:
            InputError: an argument has the wrong form, or a row has no `<|traj_future_start|>`.
        """
        numbers = {"pixel_values": pixel_values, "time": time, "noise": noise}
        self.check_arguments(input_ids, attention_mask, ego_history_xyz, ego_history_rot, numbers, image_grid_thw)
        with_future = ego_future_xyz is not None
        history = None
        if ego_history_xyz is not None or with_future:
            history = self.checked_history(input_ids, ego_history_xyz, ego_history_rot)
            input_ids = self.fuse_history(input_ids, *history)
        target = self.action_target(history, ego_future_xyz, ego_future_rot) if with_future else None
        stop = self.config.stop_grad_from_vlm if stop_grad_from_vlm is None else stop_grad_from_vlm
        learns = labels is not None or not with_future or not stop
        states, cache, positions, real = self.read_text(
            input_ids, attention_mask, pixel_values, image_grid_thw, keep=with_future, learns=learns
        )
        action_loss = lm_loss = logits = None
        if with_future:
            total = None if num_items_in_batch is None else num_items_in_batch["action"]
            action_loss = self.action_loss(input_ids, real, positions, cache, target, time, noise, stop, total)
        if labels is not None or not with_future:
            logits = self.vlm.lm_head(states)
        if labels is not None:
            count = items_of_text(labels, num_items_in_batch)
            lm_loss = self.vlm.loss_function(
                logits=logits, labels=labels, vocab_size=logits.shape[-1], num_items_in_batch=count
            )
        losses = [loss for loss in (action_loss, lm_loss) if loss is not None]
        return AlpamayoR1Output(
            loss=sum(losses) if losses else None, action_loss=action_loss, lm_loss=lm_loss, logits=logits
        )

    @torch.no_grad()
    def generate(self, input_ids: torch.LongTensor, **kwargs) -> Any:
        """Text alone, by the VLM's own `generate`."""
        if "mm_token_type_ids" in inspect.signature(self.vlm.forward).parameters:  # also under accelerate's hooks
            is_image = input_ids == self.config.vlm_config.image_token_id
            kwargs.setdefault("mm_token_type_ids", is_image.int())  # 5.x computes wrong positions without them
        return self.vlm.generate(input_ids=input_ids, **kwargs)

    # ---- the steps of sampling

    def denoise(self, rollout: Rollout, noise: torch.Tensor, num_steps: int) -> torch.Tensor:
        """Normalised actions (rows, waypoints, 2), float32, over accepted texts."""
        length, tokens = rollout.cache.get_seq_length(), noise.shape[1]
        offset = rollout.prompt.input_ids.shape[1] + rollout.lengths
        seen = torch.arange(length, device=noise.device)[None] < offset[:, None]
        if self.config.mask_prompt_padding:
            prompt = rollout.prompt.real
            seen = seen & torch.cat([prompt, prompt.new_ones(len(prompt), length - prompt.shape[1])], dim=1)
        first = rollout.prompt.last_position + 1 + rollout.lengths
        positions = (first[:, None] + torch.arange(tokens, device=noise.device))[None].expand(3, -1, -1)
        mask = self.action_mask(seen, tokens)
        rotary = self.expert.rotary_emb(noise.to(self.expert_dtype), positions)
        text = kept_text(rollout.cache, room=tokens)

        def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            embeds = self.action_in_proj(x, t)
            return self.action_out_proj(run_expert(self.expert, embeds, text, mask, rotary)).float()

        return self.diffusion.sample(
            batch_size=len(noise), step_fn=velocity, device=noise.device, inference_step=num_steps, noise=noise
        )

    def action_mask(self, seen: torch.Tensor, num_tokens: int) -> torch.Tensor:
        """Who of the expert's tokens sees what; see the function of this name."""
        causal, kind = not self.config.expert_non_causal_attention, self.expert.config._attn_implementation
        return action_mask(seen, num_tokens, causal, self.expert_dtype, kind)

    def fuse_history(self, input_ids: torch.LongTensor, xyz: torch.Tensor, rot: torch.Tensor) -> torch.LongTensor:
        """The prompts with the history's tokens in the place of its placeholders, where there are any.

        Raises:
            InputError: there are more or fewer placeholders than tokens.
        """
        places = input_ids == self.config.traj_token_ids["history"]
        counts = places.sum(dim=1)
        if not counts.any():
            return input_ids
        tokens = tokenize_history(
            self.hist_traj_tokenizer, xyz.unsqueeze(1), rot.unsqueeze(1), self.config.hist_token_start_idx
        )
        if (counts != tokens.shape[1]).any():
            raise InputError(
                f"input_ids has {counts.tolist()} history placeholders in its rows; a history of {xyz.shape[1]} poses "
                f"has {tokens.shape[1]} tokens."
            )
        return input_ids.masked_scatter(places, tokens.to(input_ids))

    def processors(self, given: Sequence[LogitsProcessor] | None, own: list[LogitsProcessor]) -> LogitsProcessorList:
        mask = TrajectoryTokenMask(self.config.traj_token_start_idx, self.config.traj_vocab_size)
        return LogitsProcessorList([mask, *(given or []), *own])

    def texts(self, rollout: Rollout, shape: tuple[int, ...]) -> list | None:
        """The reasoning of each sample, nested like `shape`."""
        if self.tokenizer is None:
            return None
        rows = [row[:length] for row, length in zip(rollout.generated, rollout.lengths, strict=True)]
        texts = [reasoning_of(self.tokenizer.decode(row, skip_special_tokens=False)) for row in rows]
        return np.array(texts, dtype=object).reshape(shape).tolist()

    @property
    def expert_dtype(self) -> torch.dtype:
        return floating_dtype(self.action_out_proj)

    @property
    def end_ids(self) -> list[int]:
        """Tokens that end a text without opening a trajectory."""
        ends = self.config.eos_token_id
        return [] if ends is None else list(ends) if isinstance(ends, (list, tuple)) else [ends]

    @property
    def pad_id(self) -> int:
        """What stands behind an ended text: the tokenizer's padding token, or any that no one sees."""
        known = self.tokenizer.pad_token_id if self.tokenizer is not None else self.config.pad_token_id
        return known if known is not None else (self.end_ids or [0])[0]

    # ---- arguments

    def check_arguments(
        self, input_ids: Any, attention_mask: Any, xyz: Any, rot: Any, numbers: dict[str, Any], image_grid_thw: Any
    ) -> None:
        """Refuse what cannot be read before anything is computed; poses may be on any device, see `checked_poses`."""
        check_inputs(self, input_ids, attention_mask, numbers)
        check_patches(numbers["pixel_values"], image_grid_thw)
        check_ids(input_ids, self.get_input_embeddings())
        for name, value in (("ego_history_xyz", xyz), ("ego_history_rot", rot)):
            if value is not None:
                check_tensor(name, value, None)
        if attention_mask is not None:
            check_rows(attention_mask)

    def checked_history(
        self, input_ids: torch.LongTensor, xyz: torch.Tensor | None, rot: torch.Tensor | None, wait: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, steps, 3) and (batch, steps, 3, 3) in float32, where the model computes; see `check_poses`.

        wait: look at values that are on an accelerator, too, which waits for it.
        """
        if xyz is None or rot is None:
            raise InputError("ego_history_xyz and ego_history_rot are both needed.")
        xyz, rot = shaped_poses("ego_history", xyz, rot, input_ids.shape[0])
        found, wanted = xyz.shape[1] * self.hist_traj_tokenizer.tokens_per_pose, self.config.tokens_per_history_traj
        if found != wanted:
            raise InputError(
                f"ego_history_xyz has {xyz.shape[1]} poses, of {found} tokens; tokens_per_history_traj is {wanted}."
            )
        if wait or at_hand(xyz):
            check_poses("ego_history", xyz, rot, ends_at_origin=True)
        device = execution_device(self)
        return xyz.to(device, torch.float32), rot.to(device, torch.float32)

    def checked_future(self, xyz: torch.Tensor, rot: torch.Tensor, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, waypoints, 3) and (batch, waypoints, 3, 3) in float32, where the model computes."""
        xyz, rot = shaped_poses("ego_future", xyz, rot, batch)
        check_poses("ego_future", xyz, rot, ends_at_origin=False)
        device = execution_device(self)
        return xyz.to(device, torch.float32), rot.to(device, torch.float32)


def shaped_poses(name: str, xyz: torch.Tensor, rot: torch.Tensor, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(batch, steps, 3) and (batch, steps, 3, 3). Raises InputError for another shape."""
    xyz = xyz.squeeze(1) if xyz.dim() == 4 else xyz
    rot = rot.squeeze(1) if rot.dim() == 5 else rot
    if xyz.dim() != 3 or xyz.shape[::2] != (batch, 3) or rot.shape != (*xyz.shape, 3):
        raise InputError(
            f"{name}_xyz has shape {tuple(xyz.shape)} and {name}_rot {tuple(rot.shape)}; ({batch}, steps, 3) and "
            f"({batch}, steps, 3, 3), or with a second dimension of 1, are needed."
        )
    return xyz, rot


def checked_counts(num_traj_sets: int, num_traj_samples: int) -> int:
    """Samples of one prompt in all sets."""
    check_count("num_traj_sets", num_traj_sets)
    check_count("num_traj_samples", num_traj_samples)
    return num_traj_sets * num_traj_samples
