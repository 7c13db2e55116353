"""What PEFT has to be told so that its adapter folder holds all that a fine-tune trained."""

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from ..configuration.vla_errors import InputError
from ..modeling.model_parts import is_in_vision, is_pretrained
from .own_classes import check_trainable
from .unreached import let_actions_through, unreached_by_actions

if TYPE_CHECKING:
    from peft import LoraConfig

# Of a vision model, what our models do not run: pooling and the text tower.
NOT_RUN = ("head", "pooler", "text_model")


def lora_config(
    model: nn.Module, r: int = 32, lora_alpha: int = 16, action_loss_only: bool = True, **options: Any
) -> "LoraConfig":
    """LoRA on the linear layers of language model and vision tower; all that is new trains whole.

    Modules are named by their full path: PEFT matches the end of a name, so that `head` would also mean `lm_head`. Of
    the new parts only modules with weights of their own are named; what refers to one of them keeps doing so. Where a
    full path is the end of another one (`projector` and `proprio_projector`), that module trains whole, too.

    Args:
        model: of one of our families; quantised or not, and with other adapters or none.
        action_loss_only: leave out what a loss of actions does not depend on, see `trainable_parameter_groups`, and
            set the config's `stop_grad_from_vlm` to False: adapters of the VLM could not learn otherwise.
        options: further arguments of PEFT's `LoraConfig`; `target_modules` and `modules_to_save` replace ours.

    Raises:
        InputError: the model has no part that was trained before, or none that may train, or new parts of it are
            quantised; or layers of it are none that get a LoRA unless `target_modules` names them.
    """
    from peft import LoraConfig  # slow to import, and only needed here

    check_trainable(model)
    frozen = {id(parameter) for part in model.frozen_parts for parameter in part.parameters()}
    if action_loss_only:
        let_actions_through(model)
    unreached = {id(model.get_parameter(name)) for name in unreached_by_actions(model)} if action_loss_only else set()
    there = dict(modules_without_adapters(model))
    weighted = {name: module for name, module in there.items() if has_weights(module, frozen)}
    whole = trained_whole(there, [name for name in weighted if not is_pretrained(model, name)])
    if "target_modules" not in options:
        check_no_conv1d(name for name, each in weighted.items() if isinstance(each, Conv1D))
    targets = []
    for name, module in weighted.items():
        if is_inside(name, whole):
            check_trains_whole(name, next(module.parameters(recurse=False)))
        elif is_adapted(module, name.split(".")) and id(next(module.parameters(recurse=False))) not in unreached:
            targets.append(name)
    if not targets and "target_modules" not in options:
        raise InputError(
            "nothing gets a LoRA: the config keeps all that was trained before out of training; train what is new "
            "(stage A), or free a part of it, as freeze_language_model=False in the config does."
        )
    return LoraConfig(
        r=r, lora_alpha=lora_alpha, **{"target_modules": targets, "modules_to_save": whole or None, **options}
    )


def modules_without_adapters(
    module: nn.Module, name: str = "", seen: set[nn.Module] | None = None
) -> Iterator[tuple[str, nn.Module]]:
    """`named_modules` of a model as it was before PEFT wrapped any of them, for the adapters that it has or had."""
    seen = set() if seen is None else seen
    while isinstance(getattr(module, "disable_adapters", None), bool):  # PEFT's flag; a model's is a method
        module = module.original_module if hasattr(module, "original_module") else module.base_layer
    if module not in seen:
        seen.add(module)
        yield name, module
        for key, child in module.named_children():
            yield from modules_without_adapters(child, f"{name}.{key}" if name else key, seen)


def check_no_conv1d(names: Iterable[str]) -> None:
    """Refuse layers that may train and would get no LoRA: those of GPT-2 and its like are no `nn.Linear`, and PEFT
    writes beside an adapter one `fan_in_fan_out` for all of its layers.

    Raises:
        InputError: there are such; the message names one, and says how they get one.
    """
    if names := list(names):
        ends = sorted({name.rpartition(".")[2] for name in names})
        raise InputError(
            f"{names[0]} and {len(names) - 1} other layers are GPT-2's Conv1D, which get no LoRA unless they are "
            f"named: lora_config(model, target_modules={ends}, fan_in_fan_out=True); or train without LoRA (--train B "
            "or full)."
        )


def has_weights(module: nn.Module, frozen: set[int]) -> bool:
    """Whether a module has weights of its own that may train; frozen: ids of parameters."""
    own = next(module.parameters(recurse=False), None)
    return own is not None and id(own) not in frozen


def trained_whole(there: Iterable[str], names: list[str]) -> list[str]:
    """What PEFT trains whole when it is given these names: every module that is there and whose name ends in one of
    them, outermost."""
    ends = tuple(names)
    caught = [name for name in there if name.endswith(ends)] if ends else []
    return [name for name in caught if not is_inside(name.rpartition(".")[0], caught)]


def is_inside(name: str, modules: Collection[str]) -> bool:
    """Whether a module is one of others, or inside of one."""
    parts = name.split(".")
    return any(".".join(parts[:depth]) in modules for depth in range(1, len(parts) + 1))


def is_adapted(module: nn.Module, parts: list[str]) -> bool:
    """Whether a module of a pretrained part gets a LoRA: any linear layer that runs, but for the output embeddings."""
    if not isinstance(module, nn.Linear) or type(module).__name__ == "NonDynamicallyQuantizableLinear":
        return False  # the latter: torch's MultiheadAttention reads its weight and not the module
    if type(module).__module__.startswith("transformers.models."):
        return False  # a router that returns more than a product, such as Phi-3.5-MoE's on 5.x
    return parts[-1] != "lm_head" and not (is_in_vision(".".join(parts)) and any(part in NOT_RUN for part in parts))


def check_trains_whole(name: str, parameter: nn.Parameter) -> None:
    """Raises InputError for a new part that is quantised."""
    if not parameter.is_floating_point():
        raise InputError(
            f"{name} is new and trains whole, but it is quantised ({parameter.dtype}); load the model with "
            "quantization_config=vlahub.quantization_config(...), which leaves new parts as they are."
        )
