"""Weights of models that hold models of transformers, under names that both lines read.

5.x writes a part of another model under the names of that part's first release, which 4.57 understands only of whole
models, and its SigLIP and CLIP towers lack a level that 4.57 has. What is written here are 4.57's own names; 5.x knows
how to read them.
"""

import math
import os
import re
from collections.abc import Mapping

import torch
from torch import nn
from transformers import PreTrainedModel

from ...configuration.transformers_release import IS_4

# What 4.57 has in a file, and 5.x computes: names there and here, of a Swin's places within its windows.
COMPUTED = ("attention.self.relative_position_index", "attention.relative_position_bias.relative_position_index")
FLATTENED = ("CLIPVisionModel", "Siglip2VisionModel", "SiglipVisionModel")
WRITES_OWN_NAMES = not IS_4


class PortableWeights:
    """Saving for a `PreTrainedModel` whose parts are models of transformers; comes before it among the bases.

    Attributes:
        parts_with_first_names: parts whose first release had the names that they have in 4.57, as it is with models
            of one modality.
        turned_weights: how the names of weights end that 4.57 holds with their last two dimensions exchanged.
    """

    parts_with_first_names: tuple[str, ...] = ()
    turned_weights: tuple[str, ...] = ()
    _keys_to_ignore_on_load_unexpected = [re.escape(COMPUTED[0])]  # of 5.x, which asks the parts' parts for none

    def save_pretrained(
        self, save_directory: str | os.PathLike, state_dict: dict[str, torch.Tensor] | None = None, **kwargs
    ) -> None:
        """As in transformers; an adapter keeps the names of the modules that it is in, by which PEFT picks it out."""
        if WRITES_OWN_NAMES and not getattr(self, "_hf_peft_config_loaded", False):
            kwargs["save_original_format"] = False
            state_dict = self.state_dict() if state_dict is None else state_dict
            state_dict = self.with_written_names(state_dict)
        super().save_pretrained(save_directory, state_dict=state_dict, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, torch.Tensor], *args, **kwargs):
        """As in torch, and also under the names that `save_pretrained` writes: a Trainer that resumes, or takes its
        best weights, loads a saved file so, and leaves out what it does not find."""
        own = self.state_dict() if WRITES_OWN_NAMES else {}
        names = {id(value): name for name, value in own.items()}
        names = {new: names.get(id(value), new) for new, value in self.with_written_names(own).items()}
        found = {n: value for n, value in state_dict.items() if not own or not n.endswith(COMPUTED[0])}
        renamed = {names.get(name, name) if name not in own else name: value for name, value in found.items()}
        written = [name for name in own if name.endswith(self.turned_weights) and name in renamed]
        turned = {name: renamed[name].mT for name in written if renamed[name].shape != own[name].shape}
        return super().load_state_dict(renamed | turned, *args, **kwargs)

    def with_written_names(self, state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The same weights under 4.57's names; for 5.x."""
        for name in self.parts_with_first_names if state_dict else ():
            state_dict = state_dict | computed_places(f"{name}.", self.get_submodule(name))
            state_dict = with_first_names(state_dict, f"{name}.", self.get_submodule(name))
        found = with_level(state_dict, flattened_towers(self, self.parts_with_first_names))
        turned = {name: found[name].mT.contiguous() for name in found if name.endswith(self.turned_weights)}
        return found | turned


def with_first_names(state_dict: dict[str, torch.Tensor], prefix: str, part: nn.Module) -> dict[str, torch.Tensor]:
    """The same weights, those of `part` under the names of its first release, by transformers' own table."""
    from transformers.core_model_loading import revert_weight_conversion  # 4.57 has none

    own = {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
    others = {name: value for name, value in state_dict.items() if not name.startswith(prefix)}
    return others | {prefix + name: value for name, value in revert_weight_conversion(part, own).items()}


def computed_places(prefix: str, part: nn.Module) -> dict[str, torch.Tensor]:
    """What 4.57 has in a file beside the weights of a part, under its names; prefix: of the part's own."""
    found = {name: value for name, value in part.named_buffers() if name.endswith(COMPUTED[1])}
    sides = {name: math.isqrt(value.numel()) for name, value in found.items()}
    return {prefix + name.replace(*COMPUTED[::-1]): value.view(sides[name], -1) for name, value in found.items()}


def flattened_towers(model: nn.Module, done: tuple[str, ...]) -> list[str]:
    """Names of the vision towers that lack the level `vision_model`, but for those inside parts that are done."""
    inside = tuple(f"{name}." for name in done)
    return [
        f"{name}."
        for name, module in model.named_modules()
        if type(module).__name__ in FLATTENED and not hasattr(module, "vision_model") and not name.startswith(inside)
    ]


def with_level(state_dict: dict[str, torch.Tensor], towers: list[str]) -> dict[str, torch.Tensor]:
    """The same weights with the level `vision_model` in the names of these towers, where they lack it."""
    found = {}
    for name, value in state_dict.items():
        tower = next((tower for tower in towers if name.startswith(tower)), None)
        lacking = tower is not None and not name.startswith(f"{tower}vision_model.")
        found[f"{tower}vision_model.{name.removeprefix(tower)}" if lacking else name] = value
    return found


def tied_weights_of(model: PreTrainedModel) -> dict[str, str] | list[str]:
    """`{tied weight: weight}` of all models inside, for a model that ties nothing itself.

    4.57 asks the parts itself. What is tied to the input embeddings, which PEFT adapts together, is listed there.
    """
    if not WRITES_OWN_NAMES:
        head = model.get_output_embeddings()
        return [f"{name}.weight" for name, part in model.named_modules() if part is head]
    return {
        f"{prefix}.{name}": f"{prefix}.{source}"
        for prefix, part in model.named_modules()
        if prefix and isinstance(part, PreTrainedModel)
        for name, source in part.get_expanded_tied_weights_keys().items()
    }
