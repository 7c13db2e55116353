"""transformers' Trainer, with what training a VLA on several devices and in stages needs beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import set_seed
from transformers.trainer_utils import HubStrategy

from ..configuration.checkpoint_card import CARD_NAME
from ..configuration.vla_errors import InputError
from ..modeling.base_weights import weights_beside, write_base_weights
from ..modeling.generation_settings import write_generation
from .action_units import check_units
from .adapter_card import write_adapter_card
from .adapter_statistics import warn_of_missing_statistics, write_statistics
from .end_of_answers import stop_at_the_end_of_answers
from .evaluation import action_error, own_randomness, seed_of, targets_of, without_augmentation
from .finite_guard import FiniteGuard, check_finite_weights
from .former_files import remove_former_files
from .health import HealthCallback, StepFigures
from .kept_checkpoints import KeepsCopies
from .loss_totals import base_of, check_weights, loss_totals, weighted_loss
from .own_classes import check_full_precision_weights, check_learnable
from .precision import check_precision
from .pushed_checkpoints import take_along
from .run_folder import checkpoints_in
from .sharding import keep_inputs_whole, tied_again
from .training_stages import split_by_decay
from .unsaved_tokens import tokens_unsaved

# All but cuDNN's, whose gradients are NaN for some lengths and masks (pytorch/pytorch#196678).
ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class VLATrainer(KeepsCopies):
    """A `Trainer` for VLAs of every family.

    - The loss of a step does not depend on how its examples are split into batches and processes (`loss_items.py`).
    - Gradients and weights that are not finite end it with an error, and are never saved (`FiniteGuard`).
    - Flow times, noise and actions stay float32, whatever the weights are computed in.
    - Examples weigh what their `sample_weight` says, in a mean over the whole step; in evaluation all weigh alike.
    - Every process draws times, noise and augmentation of its own, and a run that goes on from a checkpoint draws what
      it would have drawn, all but augmentation in the middle of an epoch. Evaluation draws the same ones each time, and
      leaves training as it would be without it; neither it nor `predict` changes an image.
    - The checkpoint of a sharded model ties what the model ties.
    - What a collator with `learn_text` puts behind answers is among the tokens at which the model's `generate` stops;
      beside an adapter, too, lies the generation_config.json that says it.
    - Beside an adapter lie the statistics and the names of the views that its collator has, else its processor, and
      which weights it was trained beside (`base_weights.json`; not where these were changed in memory), so that it is
      not loaded into, or merged with, others.
    - What `hub_strategy` pushes amid a training is as whole as what is pushed at its end. Of a `hub_token` nothing is
      written into training_args.bin, which is pushed, too.
    - `save_total_limit` counts and removes checkpoints that a Trainer wrote, and no copies by other names.
    - Figures of health and cost are logged (`HealthCallback`, `StepFigures`).

    Args:
        groups: of the optimiser, from `trainable_parameter_groups`; the Trainer's own without them. Norms and biases
            do not decay, as in the Trainer's own. One without an `lr` has the arguments' learning rate times its
            `lr_scale`.
        max_skipped_steps: how many steps in a row may have gradients that are not finite; they are skipped.
        predict_in_evaluation: also log `eval_action_error`, the mean error of predictions for the evaluation's
            examples: of actions in robot units, of trajectories in metres. Sharded models are left out.
        loss_weights: `{"action": 1.0, "text": 0.1}`, of the parts of a loss that has both; 1 by default. It is for
            models that add the two up, not for CogVLA, which learns one of them.
        The others are the Trainer's.

    Raises:
        InputError: an argument of the Trainer's is set that does not fit, accelerate has the precision of other
            arguments, one process sees several GPUs, FSDP is the first in lower precision, the model has an adapter by
            `add_adapter`, or the actions of the training data lie outside of the statistics that normalise them
            (`check_units`).
        NonFiniteError: gradients or weights are not finite; the message says in which step, and names parameters.
    """

    def __init__(
        self,
        *args: Any,
        groups: list[dict[str, Any]] | None = None,
        max_skipped_steps: int = 1,
        predict_in_evaluation: bool = False,
        loss_weights: dict[str, float] | None = None,
        **kwargs: Any,
    ):
        self.groups = groups
        self.predict_in_evaluation = predict_in_evaluation
        self.loss_weights = loss_weights
        check_weights(loss_weights or {})
        super().__init__(*args, **kwargs)
        check_precision(self)
        check_full_precision_weights(self.model)
        check_learnable(getattr(base_of(self.model), "config", None))
        check_adapter(self.model)
        check_arguments(self.args)
        check_units(self.train_dataset, self.data_collator)
        stop_at_the_end_of_answers(base_of(self.model), self.data_collator)
        self.base_weights = None
        if hasattr(self.model, "peft_config") and self.args.should_save:
            self.base_weights = weights_beside(base_of(self.model))
            beside = self.data_collator, self.processing_class, self.args.output_dir
            warn_of_missing_statistics(base_of(self.model), *beside)
        self.guard = FiniteGuard(max_skipped_steps)
        self.counts_items = hasattr(base_of(self.model), "loss_items")
        if self.counts_items:
            self.model_accepts_loss_kwargs = self.args.average_tokens_across_devices = True
        # Before those that report what is logged; the guard takes gradients away after the others have seen them.
        self.callback_handler.callbacks[:0] = [HealthCallback(self.counts_items), StepFigures(), self.guard]

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        keep_inputs_whole(self.accelerator)

    def get_train_dataloader(self):
        loader = super().get_train_dataloader()  # which shuffles by the seed that all processes have
        set_seed(self.args.seed + self.args.process_index)
        return loader

    def create_optimizer(self, *args):
        if self.optimizer is None and self.groups:
            optimizer, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            decaying, amount = self.get_decay_parameter_names(self.model), self.args.weight_decay
            rate = self.args.learning_rate
            groups = [{"lr": rate * group.get("lr_scale", 1.0), **group} for group in self.groups]
            groups = split_by_decay(self.model, groups, decaying, amount)
            self.optimizer = optimizer(groups, weight_decay=amount, **options)
        return super().create_optimizer(*args)

    # ---- steps

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        if not self.counts_items:
            return super().get_batch_samples(epoch_iterator, num_batches, device)
        batches = list(islice(epoch_iterator, num_batches))
        # Amid an epoch transformers restores a checkpoint's random numbers behind this: these are the step's own.
        seed = seed_of(self.args.seed, self.args.process_index, self.state.global_step)
        with own_randomness(seed, self.args.device):
            return batches, loss_totals(base_of(self.model), batches, self.accelerator)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if self.counts_items and not isinstance(num_items_in_batch, dict):
            num_items_in_batch = None  # evaluation counts labels; there a loss is the mean over its batch
        if self.loss_weights is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        counted = num_items_in_batch is not None
        outputs = model(**inputs, **({"num_items_in_batch": num_items_in_batch} if counted else {}))
        loss = weighted_loss(outputs, self.loss_weights) * (self.accelerator.num_processes if counted else 1)
        return (loss, outputs) if return_outputs else loss

    def _prepare_input(self, data: Any) -> Any:
        if isinstance(data, torch.Tensor):  # under DeepSpeed the Trainer would round floats to the weights' dtype
            return data.to(self.args.device)
        return super()._prepare_input(data)

    def training_step(self, model, *args, **kwargs):
        with sdpa_kernel(ATTENTION):
            loss = super().training_step(model, *args, **kwargs)
        self.guard.add_loss(loss)
        if self.accelerator.sync_gradients:
            self.guard.look_at(self.model, self.state.global_step + 1, self.accelerator.scaler is not None)
        return loss

    # ---- evaluation

    def get_eval_dataloader(self, *args, **kwargs):
        with self.unchanged_images():
            return super().get_eval_dataloader(*args, **kwargs)

    def get_test_dataloader(self, *args, **kwargs):
        with self.unchanged_images():
            return super().get_test_dataloader(*args, **kwargs)

    @contextmanager
    def unchanged_images(self) -> Iterator[None]:
        """The collator without augmentation, for the dataloaders that are made inside."""
        collator = self.data_collator
        self.data_collator = without_augmentation(collator)
        try:
            yield
        finally:
            self.data_collator = collator

    def evaluation_loop(self, dataloader, *args, **kwargs):
        with own_randomness(self.args.seed + self.args.process_index, self.args.device):
            output = super().evaluation_loop(dataloader, *args, **kwargs)
            if self.predict_in_evaluation and not (self.is_fsdp_enabled or self.is_deepspeed_enabled):
                prefix = kwargs.get("metric_key_prefix", "eval")
                output.metrics[f"{prefix}_action_error"] = self.action_error(dataloader.dataset)
        return output

    def prediction_step(self, model, inputs, *args, **kwargs):
        inputs = {name: value for name, value in inputs.items() if name != "sample_weight"}
        if self.args.label_names is None:
            self.label_names = targets_of(inputs)
        return super().prediction_step(model, inputs, *args, **kwargs)

    def action_error(self, examples) -> float:
        """The mean error of predictions for examples, over all processes."""
        rank, world = self.args.process_index, self.args.world_size
        mine = torch.utils.data.Subset(examples, range(rank, len(examples), world))
        model = self.model.eval()
        collator, size = without_augmentation(self.data_collator), self.args.per_device_eval_batch_size
        found = action_error(model, collator, mine, size, self.args.device)
        total, count = self.accelerator.reduce(found.to(self.args.device, torch.float32), "sum").tolist()
        return total / count

    # ---- saving

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        check_finite_weights(self.model, f"after step {self.state.global_step}")
        super().save_model(output_dir, _internal_call)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        card = Path(output_dir or self.args.output_dir, CARD_NAME)
        writes = self.args.should_save  # transformers 5.23 comes here in every process, 4.57 in the one that writes
        before = card.read_text(encoding="utf-8") if writes and card.is_file() else None
        with tokens_unsaved(self.args):
            super()._save(output_dir, state_dict and tied_again(self.model, state_dict))
        if writes and hasattr(self.model, "peft_config"):  # the card of a whole model is written with it
            write_generation(card.parent, base_of(self.model).generation_config)
            write_base_weights(card.parent, self.base_weights)
            write_statistics(card.parent, self.data_collator, self.processing_class)
            write_adapter_card(card.parent, self.model, before)

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """As in transformers. What transformers would read of a former model or processor goes out of the repository by
        a second commit, behind the upload where that is waited for by somebody else (`blocking=False`)."""
        pushed = super().push_to_hub(commit_message, blocking, token, revision, **kwargs)
        if self.is_world_process_zero():
            place = self.hub_model_id, revision or self.args.hub_revision, token or self.args.hub_token
            remove = partial(remove_former_files, self.args.output_dir, *place)
            remove() if blocking else pushed.add_done_callback(lambda done: done.exception() or remove())
        return pushed

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        is_free = self.push_in_progress is None or self.push_in_progress.is_done() or self.args.hub_always_push
        is_asked = self.is_world_process_zero() and self.args.hub_strategy != HubStrategy.END
        if is_asked and is_free:  # else files of the last push are being read
            take_along(checkpoint_folder, self.args.output_dir)
        with tokens_unsaved(self.args):
            super()._push_from_checkpoint(checkpoint_folder)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Of `push_to_hub`: nothing to do, for the card was written when the model was saved."""


def check_arguments(args: Any) -> None:
    """Raises InputError for arguments of a Trainer that would end in an error of another name, or in none."""
    if args.remove_unused_columns:
        raise InputError(
            "remove_unused_columns=True takes from the examples what collators read (images, text, ...); set it to "
            "False."
        )
    if args.label_smoothing_factor:
        raise InputError(
            f"label_smoothing_factor={args.label_smoothing_factor}: the models make their losses themselves, without "
            "label smoothing; leave it at 0."
        )
    if args.n_gpu > 1:
        raise InputError(
            f"one process sees {args.n_gpu} GPUs, in which transformers would copy the model (DataParallel): start one "
            f"process each with `torchrun --nproc_per_node {args.n_gpu} ...`, or use one with CUDA_VISIBLE_DEVICES=0."
        )


def check_adapter(model: Any) -> None:
    """Raises InputError for an adapter inside of a model, of which no whole checkpoint and no card can be written."""
    if hasattr(model, "peft_config") and base_of(model) is model:
        raise InputError(
            f"this {type(model).__name__} has an adapter by `add_adapter`; train the model that "
            "`peft.get_peft_model(model, vlahub.lora_config(model))` makes of it instead."
        )


def last_checkpoint(folder: str | Path) -> str | None:
    """The last checkpoint in a Trainer's output that was written whole, for `resume_from_checkpoint`.

    A killed run may leave half a one: trainer_state.json is written last, and ends with a brace.
    """
    states = [path / "trainer_state.json" for path in checkpoints_in(Path(folder))]
    whole = [file for file in states if file.is_file() and file.read_text(encoding="utf-8").rstrip().endswith("}")]
    return str(whole[-1].parent) if whole else None
