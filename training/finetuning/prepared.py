"""A fine-tune that is ready to begin."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import ProcessorMixin

from .arguments import FinetuneArguments
from .options import FinetuneOptions
from .run_data import RunData
from .run_model import FirstPass


@dataclass
class Finetuning:
    """All that a training needs, and what one example said of it.

    Attributes:
        model: inside PEFT for LoRA; what shall not train is frozen.
        groups: of the optimiser; `None` for LoRA.
        quiet: print nothing.
    """

    options: FinetuneOptions
    arguments: FinetuneArguments
    model: nn.Module
    groups: list[dict[str, Any]] | None
    processor: ProcessorMixin
    data: RunData
    collator: Any
    first: FirstPass
    quiet: bool = False

    @property
    def speaks(self) -> bool:
        """Whether this process prints."""
        return self.arguments.process_index == 0 and not self.quiet

    @property
    def shows_bars(self) -> bool:
        """Whether this process shows bars."""
        return self.speaks and not self.arguments.disable_tqdm
