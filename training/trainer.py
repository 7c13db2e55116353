"""transformers' Trainer, with what training a VLA on several devices and in stages needs beside it."""

from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, set_seed

from ..configuration.checkpoint_card import CARD_NAME
from .adapter_card import write_adapter_card
from .health import HealthCallback
from .sharding import tied_again


class VLATrainer(Trainer):
    """A `Trainer` that logs health figures, takes groups of parameters and leaves true model cards.

    Every process draws times, noise and augmentation of its own, and the checkpoint of a sharded model ties what the
    model ties.

    Args:
        groups: of the optimiser, from `trainable_parameter_groups`; the Trainer's own without them.
        The others are the Trainer's.
    """

    def __init__(self, *args: Any, groups: list[dict[str, Any]] | None = None, **kwargs: Any):
        self.groups = groups
        super().__init__(*args, **kwargs)
        self.callback_handler.callbacks.insert(0, HealthCallback())  # before those that report what is logged

    def get_train_dataloader(self):
        loader = super().get_train_dataloader()  # which shuffles by the seed that all processes have
        set_seed(self.args.seed + self.args.process_index)
        return loader

    def create_optimizer(self, *args):
        if self.optimizer is None and self.groups:
            optimizer, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            self.optimizer = optimizer(self.groups, weight_decay=self.args.weight_decay, **options)
        return super().create_optimizer(*args)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        card = Path(output_dir or self.args.output_dir, CARD_NAME)
        before = card.read_text(encoding="utf-8") if card.is_file() else None
        super()._save(output_dir, state_dict and tied_again(self.model, state_dict))
        if hasattr(self.model, "peft_config"):  # the card of a whole model is written with it
            write_adapter_card(card.parent, self.model, before)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Of `push_to_hub`: nothing to do, for the card was written when the model was saved."""


def last_checkpoint(folder: str | Path) -> str | None:
    """The last checkpoint in a Trainer's output that was written whole, for `resume_from_checkpoint`.

    A killed run may leave half a one: trainer_state.json is written last, and ends with a brace.
    """
    states = Path(folder).glob("checkpoint-*/trainer_state.json")
    whole = [path.parent for path in states if path.read_text(encoding="utf-8").rstrip().endswith("}")]
    return str(max(whole, key=lambda path: int(path.name.split("-")[-1]))) if whole else None
