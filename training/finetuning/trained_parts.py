"""Which parts of a model train, and how much of each."""

from dataclasses import dataclass

from torch import nn

from ...modeling.model_parts import is_in_vision, is_pretrained
from ..loss_totals import base_of


@dataclass
class PartCount:
    """Parameters of one part: all, those that train, and those of LoRA among the latter."""

    name: str
    parameters: int = 0
    trained: int = 0
    lora: int = 0

    @property
    def how(self) -> str:
        """In a word or two, how it trains."""
        if not self.trained:
            return "frozen"
        if self.lora == self.trained:
            return "LoRA"
        whole = "whole" if self.trained - self.lora == self.parameters - self.lora else "in part"
        return f"LoRA, and {whole}" if self.lora else whole


def trained_parts(model: nn.Module) -> list[PartCount]:
    """The children of a model of ours, also inside PEFT, in their order; towers and added parts by themselves.

    The frozen copy that PEFT keeps beside what trains whole is no part. A byte of weights in 4 bits counts as two.
    """
    base = base_of(model)
    found: dict[str, PartCount] = {}
    for name, parameter in model.named_parameters():
        if ".original_module." in name:
            continue
        own = name.removeprefix("base_model.model.")
        label = part_of(base, own)
        part = found.setdefault(label, PartCount(label))
        count = parameter.numel() * (2 if type(parameter).__name__ == "Params4bit" else 1)
        part.parameters += count
        if parameter.requires_grad:
            part.trained += count
            part.lora += count if ".lora_" in own else 0
    return list(found.values())


def part_of(base: nn.Module, name: str) -> str:
    """The part that a parameter belongs to, in words."""
    first, *inner = name.split(".")
    if first not in base.pretrained_parts:
        return first
    if not is_pretrained(base, name):
        added = next(part for part in inner if part in base.added_parts)
        return f"{first}: {added}"
    return f"{first}: vision" if is_in_vision(".".join(inner)) and not is_in_vision(first) else first
