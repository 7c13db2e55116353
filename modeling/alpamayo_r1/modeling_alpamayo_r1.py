"""Alpamayo-R1: camera images and a driven path become reasoning in text, and then trajectories (arXiv 2511.00088).

Data flow: Qwen3-VL reads images and prompt once and writes a text for every sample; the expert, a second stack over the
same keys and values, turns noise into normalised accelerations and curvatures; the unicycle model integrates them to
poses. Upstream: NVlabs/alpamayo, src/alpamayo_r1/models/alpamayo_r1.py.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import GenerationMixin, Qwen3VLForConditionalGeneration
from transformers.generation import LogitsProcessor, StoppingCriteria
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel
from transformers.utils import can_return_tuple

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ..input_checks import execution_device
from ..loss_items import Items, check_sample_weight
from ..ode_sampling import chosen_sampling
from ..prediction_core import exclusive
from ..sharded_layer import tie_keys_and_values
from ..stack_passes import without_checkpointing
from .alpamayo_pretrained import AlpamayoR1PreTrainedModel
from .answer_text import AlpamayoR1TextOutput, answer_sampling, written_answers
from .driving_inputs import check_arguments, check_room, checked_history, checked_shape, read_poses
from .expert_steps import driven
from .expert_velocity import ExpertParts
from .navigation_guidance import Guidance, guidance_of, halves, read_unguided
from .navigation_markers import route_of
from .prompt_pass import PromptInputs
from .prompt_reading import decoder_modules, fuse_history, read_scene
from .published_calls import published_guided_inputs, published_inputs, published_outputs, tokenized
from .rollout import TextSampling, keys_for, prefill, sample_text, text_sampling, warpers
from .start_in_memory import start_from_base
from .training_pass import Learnt, training_pass
from .trajectory_flow_matching import FlowMatching
from .trajectory_outputs import AlpamayoR1Output, AlpamayoR1TrajectoryOutput, Trajectories, check_drawn, with_texts
from .trajectory_text import counted_items
from .trajectory_tokenizers import DeltaTrajectoryTokenizer
from .unicycle_action_space import UnicycleAccelCurvatureActionSpace
from .value_checks import checked_scene
from .vision_encoding import Images
from .waypoint_projection import PerWaypointActionInProjV2
from .written_trajectories import with_written_texts, writing, written_trajectories


class AlpamayoR1(AlpamayoR1PreTrainedModel, GenerationMixin):
    """The model that users call: `sample_trajectories` to drive, `generate_text` to ask, `forward` to train.

    Where a checkpoint brings the code, transformers would replace a class that generates and is no `GenerationMixin` by
    a nameless one, of which no object can be pickled.

    Attributes:
        tokenizer: that of the checkpoint, when the model was loaded from one that has it; else `None`.
    """

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
    def from_base(cls, base: str, *, seed: int = 0, dtype: torch.dtype | str = "auto", **switches) -> "AlpamayoR1":
        """The start of a driver: a Qwen3-VL with the tokens of trajectories, and an expert that is not trained.

        It is what `vlahub create` makes, and `model.tokenizer` has the tokens.

        Args:
            base: folder or Hub repository of a Qwen3-VL, or of a checkpoint of this class that gets another expert.
            seed: of what is new; its numbers depend on it and on their tensor's name alone.
            dtype: of all weights; "auto": that of the base's embeddings.
            switches: fields of the config that are not the release's, of dicts what differs
                (`expert_cfg={"hidden_size": 1536}`); and `revision`, `device_map`, ... of `from_pretrained`.

        Raises:
            ConfigError: the base is none of these, or a switch does not fit it; the message names it.
        """
        return start_from_base(cls, base, seed, dtype, switches)

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
        ode_solver: str | None = None,
        ode_spacing: str | None = None,
        guidance_weight: float | None = None,
        noise_temperature: float = 1.0,
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
            num_inference_steps, ode_solver, ode_spacing: steps of the trajectory, and how they are made, see
                `ode_sampling.py`; by default as the config says.
            guidance_weight: how much more than learnt navigation in the prompts decides, of the velocity
                `(1 - weight) * unguided + weight * guided`; 1 or `None` is one pass with navigation, 0 one without,
                the published example has 1.5. A prompt without navigation keeps its own velocity.
            noise_temperature: factor of the noise; below 1 trajectories are less diverse.
            noise: (batch * sets * samples, waypoints, 2), where trajectories start, in this order; drawn when left out.
            generator: for text and noise, of any device.
            logits_processor, stopping_criteria: as in transformers' `generate`; processors run after the mask of the
                trajectory tokens and before temperature, top_k and top_p.
            check_finite: end with an error where trajectories, logits, or what they were computed from are not finite.

        Raises:
            InputError: an argument has the wrong form, the history does not end at the origin, or guidance is asked for
                where no prompt has navigation.
            NonFiniteError: see `check_finite`.
        """
        numbers = {"pixel_values": pixel_values, "noise": noise}
        poses = ego_history_xyz, ego_history_rot
        route = route_of(self.config, guidance_weight)
        history, grid, late = checked_scene(self, input_ids, attention_mask, image_grid_thw, poses, numbers, route)
        shape = checked_shape(len(input_ids), num_traj_sets, num_traj_samples)
        place = execution_device(self)
        start = self.diffusion.checked_or_drawn(math.prod(shape), noise, generator, place, noise_temperature)
        ode = chosen_sampling(self.config, num_inference_steps, None, ode_solver, ode_spacing)
        own, callers = warpers(temperature, top_k, top_p), (logits_processor, stopping_criteria, generator)
        sampling = text_sampling(self.config, self.tokenizer, max_new_tokens, own, *callers)
        check_room(input_ids, self.config, sampling.max_new_tokens)
        scene, sampling.padding, grid = read_scene(self, input_ids, attention_mask, pixel_values, grid)
        scene["guidance"] = guidance_of(self, scene, grid, route, guidance_weight)
        steps = {"num_steps": ode.num_inference_steps, "ode_solver": ode.ode_solver, "ode_spacing": ode.ode_spacing}
        drawn = self.predict_trajectories(**scene, history=history, noise=start, sampling=sampling, **steps)
        check_drawn(self, drawn, shape[0], numbers, late, check_finite)
        return with_texts(drawn, shape, input_ids.shape[1], sampling, self.tokenizer)

    @torch.no_grad()
    def predict_trajectories(
        self,
        input_ids: torch.LongTensor,
        positions: torch.LongTensor,
        real: torch.Tensor | None,
        images: Images | None,
        history: tuple[torch.Tensor, torch.Tensor],
        noise: torch.Tensor,
        sampling: TextSampling,
        num_steps: int,
        ode_solver: str | None = None,
        ode_spacing: str | None = None,
        guidance: Guidance | None = None,
    ) -> Trajectories:
        """The tensors of `sample_trajectories`, of a scene that was checked and whose images were read.

        It is one graph for `torch.compile(model.predict_trajectories, fullgraph=True)`, whose texts are all written to
        their limit; `model.predict_trajectories` may be replaced by that.

        input_ids, positions, real, images: see `read_scene`; history: (batch, steps, 3) and (batch, steps, 3, 3);
        noise: (rows, waypoints, 2), as many for each prompt; num_steps, ode_solver, ode_spacing:
        as in `sample_trajectories`; guidance: of `guidance_of`.
        """
        xyz, rot = history
        ode = chosen_sampling(self.config, None, num_steps, ode_solver, ode_spacing)
        fused, room = self.with_history(input_ids, xyz, rot), (sampling.max_new_tokens, noise.shape[1])
        samples, unguided = len(noise) // len(input_ids), None
        with exclusive(self), without_checkpointing(decoder_modules(self.vlm)):
            keys = keys_for(self, len(fused) * (1 if guidance is None else 2), fused.shape[1], samples, room)
            first = keys if guidance is None else halves(keys)[0]
            rollout = sample_text(
                self, prefill(self, PromptInputs(fused, positions, real, images), samples, first), sampling
            )
            if guidance is not None:
                alone = self.with_history(guidance.prompt.input_ids, xyz, rot)
                unguided = read_unguided(self, rollout, guidance, alone, keys)
            drive = driven(self, rollout, noise, ode, history, unguided)
        return Trajectories(*drive, rollout.sequences, rollout.lengths, rollout.finite, rollout.longest)

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
            diffusion_kwargs: `{"inference_step": steps, "int_method": solver, "temperature": of the noise}`.
            return_extra: also return `{"cot": texts, "meta_action": ..., "answer": ...}`, (batch, sets, samples) each.
            check_finite: as in `sample_trajectories`.

        Returns:
            `pred_xyz, pred_rot`, and the texts on request.
        """
        text = {"top_p": top_p, "top_k": top_k, "temperature": temperature, "max_new_tokens": max_generation_length}
        count = {"num_traj_samples": num_traj_samples, "num_traj_sets": num_traj_sets, "check_finite": check_finite}
        return published_outputs(self, published_inputs(data, diffusion_kwargs) | text | count, return_extra)

    def sample_trajectories_from_data_with_vlm_rollout_cfg_nav(
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
        """The same with guidance by navigation, under the name that Alpamayo 1.5 has for it.

        diffusion_kwargs: as above, with `"use_classifier_free_guidance": True` and `"inference_guidance_weight"`, which
            is `guidance_weight` of `sample_trajectories`.
        """
        text = {"top_p": top_p, "top_k": top_k, "temperature": temperature, "max_new_tokens": max_generation_length}
        count = {"num_traj_samples": num_traj_samples, "num_traj_sets": num_traj_sets, "check_finite": check_finite}
        inputs = published_guided_inputs(data, diffusion_kwargs, self.diffusion)
        return published_outputs(self, inputs | text | count, return_extra)

    @torch.no_grad()
    def generate_text(
        self,
        data: Mapping[str, Any],
        top_p: float = 0.98,
        top_k: int | None = None,
        temperature: float = 0.6,
        num_samples: int = 1,
        max_generation_length: int = 256,
        as_published: bool = False,
        generator: torch.Generator | None = None,
        logits_processor: Sequence[LogitsProcessor] | None = None,
        stopping_criteria: Sequence[StoppingCriteria] | None = None,
    ) -> AlpamayoR1TextOutput:
        """Answer questions about images: text alone, to `<|im_end|>` or the limit.

        Args:
            data: what the processor returns for a question; or `{"tokenized_data": it}`, as published.
            num_samples: texts of each prompt; prompt and images run once whatever it is.
            as_published: trajectory tokens may be written, and an answer that was cut off is empty.
            The others are as in `sample_trajectories`.

        Raises:
            InputError: an argument has the wrong form, or the prompt has placeholders of a path.
            NonFiniteError: logits, or what they were computed from, are not finite.
        """
        callers = logits_processor, stopping_criteria, generator
        sampling = answer_sampling(
            self, max_generation_length, warpers(temperature, top_k, top_p), callers, as_published
        )
        return written_answers(self, tokenized(data), num_samples, sampling, as_published)

    @torch.no_grad()
    def write_trajectories(
        self,
        input_ids: torch.LongTensor,
        ego_history_xyz: torch.Tensor,
        ego_history_rot: torch.Tensor,
        pixel_values: torch.Tensor | None = None,
        image_grid_thw: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        num_traj_samples: int = 1,
        top_p: float = 0.98,
        top_k: int | None = None,
        temperature: float = 0.6,
        max_new_tokens: int | None = None,
        generator: torch.Generator | None = None,
    ) -> AlpamayoR1TrajectoryOutput:
        """`sample_trajectories` without the expert: the VLM writes trajectories as tokens, as it learns them at first.

        The arguments are those of `sample_trajectories`; after `max_new_tokens` of reasoning a trajectory is opened in
        any case, and `has_start_token` tells whether the text did so itself. Raises as it does, and ConfigError where
        the config's tokens do not hold a trajectory.
        """
        numbers = {"pixel_values": pixel_values}
        poses = ego_history_xyz, ego_history_rot
        history, grid, late = checked_scene(self, input_ids, attention_mask, image_grid_thw, poses, numbers)
        shape = checked_shape(len(input_ids), 1, num_traj_samples)
        drawing = warpers(temperature, top_k, top_p), None, None, generator
        sampling = writing(self.config, self.tokenizer, input_ids.shape[1], max_new_tokens, drawing)
        scene, sampling.padding, _ = read_scene(self, input_ids, attention_mask, pixel_values, grid)
        drawn = written_trajectories(self, scene, history, num_traj_samples, sampling)
        check_drawn(self, drawn, shape[0], numbers, late)
        return with_written_texts(drawn, shape, input_ids.shape[1], sampling, self.tokenizer)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.Tensor | None = None,
        image_grid_thw: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        trajectory_labels: torch.LongTensor | None = None,
        ego_history_xyz: torch.Tensor | None = None,
        ego_history_rot: torch.Tensor | None = None,
        ego_future_xyz: torch.Tensor | None = None,
        ego_future_rot: torch.Tensor | None = None,
        time: torch.Tensor | None = None,
        noise: torch.Tensor | None = None,
        stop_grad_from_vlm: bool | None = None,
        num_items_in_batch: Items | None = None,
        sample_weight: torch.Tensor | None = None,
    ) -> AlpamayoR1Output:
        """With a future the flow-matching loss of the expert; with labels, or without a future, the language model.

        Args:
            input_ids: (batch, length), prompts with their reasoning and `<|traj_future_start|>`; what follows it in a
                row is not seen by the expert.
            ego_future_xyz, ego_future_rot: (batch, waypoints, 3) and (batch, waypoints, 3, 3), or with a second
                dimension of 1; in the frame of the last history pose, and not in 16 bits.
            labels: (batch, length), -100 where there is nothing to learn.
            trajectory_labels: the same for the tokens of a future as text, whose mean is taken by itself.
            time, noise: (batch,) in 0..1, 0 being noise, and (batch, waypoints, 2); drawn when left out.
            stop_grad_from_vlm: the expert's loss has no gradient in the VLM; the config's setting by default.
            num_items_in_batch: totals of `loss_items` over the batches that make one step, where this is one of them.
            sample_weight: (batch,), what each sample weighs in the means, of its trajectory and of its text.
            The others are as in `sample_trajectories`.

        Raises:
            InputError: an argument has the wrong form, or a row has no `<|traj_future_start|>`.
        """
        numbers = {"pixel_values": pixel_values, "time": time, "noise": noise, "sample_weight": sample_weight}
        check_arguments(self, input_ids, attention_mask, ego_history_xyz, ego_history_rot, numbers, image_grid_thw)
        check_sample_weight(sample_weight, len(input_ids), num_items_in_batch)
        poses = (ego_history_xyz, ego_history_rot), (ego_future_xyz, ego_future_rot)
        input_ids, target = read_poses(self, input_ids, *poses)
        learnt = Learnt(target, labels, trajectory_labels, time, noise, num_items_in_batch, sample_weight)
        stop = self.config.stop_grad_from_vlm if stop_grad_from_vlm is None else stop_grad_from_vlm
        return training_pass(self, input_ids, attention_mask, (pixel_values, image_grid_thw), learnt, stop)

    def loss_items(
        self,
        ego_future_xyz: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        trajectory_labels: torch.Tensor | None = None,
        sample_weight: torch.Tensor | None = None,
        **kwargs,
    ) -> dict[str, torch.Tensor]:
        """What a batch of `forward` counts in each of its losses, see `loss_items.py`."""
        return counted_items(labels, trajectory_labels, ego_future_xyz, sample_weight)

    def history(
        self, input_ids: torch.LongTensor, xyz: torch.Tensor | None, rot: torch.Tensor | None, wait: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, steps, 3) and (batch, steps, 3, 3) in float32, where the model computes; see `checked_history`."""
        size, device = self.hist_traj_tokenizer.tokens_per_pose, execution_device(self)
        return checked_history(input_ids, xyz, rot, self.config, size, device, wait)

    def with_history(self, input_ids: torch.LongTensor, xyz: torch.Tensor, rot: torch.Tensor) -> torch.LongTensor:
        """The prompts with the history's tokens in the place of its placeholders, see `fuse_history`."""
        tokens = self.hist_traj_tokenizer.encode_finite(xyz, rot) + self.config.hist_token_start_idx
        return fuse_history(input_ids, tokens, self.config.traj_token_ids["history"])

    @property
    def expert_parts(self) -> ExpertParts:
        causal = not self.config.expert_non_causal_attention
        return ExpertParts(self.action_in_proj, self.expert, self.action_out_proj, causal)
