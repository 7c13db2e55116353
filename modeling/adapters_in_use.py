"""Which adapters a model predicts and trains with: one state for all of PEFT's modules. transformers' methods leave the
parts that an adapter replaces whole in another state than its LoRA layers, or do not reach them."""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from ..configuration.vla_errors import InputError

OF_WHOLE_PARTS = ("modules_to_save", "trainable_token_indices")  # in the config of an adapter


def parts_of_peft(model: nn.Module) -> list[nn.Module]:
    """Layers with adapters, and what PEFT wraps whole; what is PEFT's has a flag where models have a method."""
    return [module for module in model.modules() if isinstance(getattr(module, "disable_adapters", None), bool)]


def adapters_of(model: nn.Module) -> tuple[list[str], list[str], bool]:
    """The names of a model's adapters, those that are active, and whether these are switched off."""
    if not getattr(model, "_hf_peft_config_loaded", False):
        return [], [], False
    return list(model.peft_config), list(model.active_adapters()), any(p.disable_adapters for p in parts_of_peft(model))


def check_name_free(model: nn.Module, name: str) -> None:
    """Raises InputError for the name of an adapter that PEFT put into a model: transformers would write over it, and
    refuses only those that it put in itself."""
    by_peft = not getattr(model, "_hf_peft_config_loaded", False) and parts_of_peft(model)
    if by_peft and name in getattr(model, "peft_config", {}):
        raise InputError(
            f"adapter {name!r} is in the model already, which PEFT wraps; give the new one another name, or call the "
            "methods of the PeftModel."
        )


def switch_adapters(model: nn.Module, on: bool) -> None:
    for part in parts_of_peft(model):
        part.enable_adapters(on)
        if isinstance(base := getattr(part, "original_module", None), nn.Module):
            base.requires_grad_(False)  # which PEFT 0.18 trains while its part is off, and no adapter keeps


def use_adapters(model: nn.Module, names: str | Sequence[str], is_frozen: bool = False) -> None:
    """Predict with these adapters and no others, and train them and no others unless they are frozen."""
    switch_adapters(model, on=False)  # all are frozen by that, also copies of parts that are in use no more
    switch_adapters(model, on=True)  # before the frozen are, as PEFT trains what it switches on
    # By name: transformers asks whoever loads a checkpoint for all that its files import, and PEFT is for adapters.
    peft = importlib.import_module("peft.functional")
    peft.set_adapter(model, names, inference_mode=is_frozen)
    asked = [names] if isinstance(names, str) else list(names)
    for part in parts_of_peft(model):
        if (rows := getattr(part, "token_adapter", None)) is not None:  # of which PEFT does not ask who has any
            rows.set_adapter([name for name in asked if name in rows.token_indices], inference_mode=is_frozen)
        if part.disable_adapters:  # 0.18 switches parts off that the adapter has not, and lets the base's train
            part.enable_adapters(True)


def check_usable(model: nn.Module, names: str | Sequence[str]) -> None:
    """Refuse adapters that a model cannot use together.

    Raises:
        InputError: the model has not one of them; or there are several, and one of them replaces parts whole, of which
            a model can use but one.
    """
    asked, there = [names] if isinstance(names, str) else list(names), adapters_of(model)[0]
    if not asked or set(asked) - set(there):
        raise InputError(
            f"set_adapter({names!r}): the model has {', '.join(there) or 'no adapter'}; name one that it has, or "
            "load_adapter or add_adapter first."
        )
    whole = [name for name in asked if any(getattr(model.peft_config[name], field, None) for field in OF_WHOLE_PARTS)]
    if len(asked) > 1 and whole:
        raise InputError(
            f"adapters {', '.join(asked)} cannot be used together: {', '.join(whole)} trained parts whole "
            f"({' or '.join(OF_WHOLE_PARTS)}), and a part is of one adapter. Use one of them."
        )


@contextmanager
def others_stay_in_use(model: nn.Module) -> Iterator[None]:
    """Around the deletion of adapters: of those that are left the active ones stay so in all modules, else the first
    is; and they stay switched off."""
    _, active, were_off = adapters_of(model)
    trained = any(parameter.requires_grad for part in parts_of_peft(model) for parameter in part.parameters())
    if len(active) > 1:
        use_adapters(model, active[:1])  # PEFT deletes no part that was trained whole beside several
    try:
        yield
    finally:
        left = adapters_of(model)[0]
        stay = [name for name in active if name in left]
        if left and (len(active) > 1 or stay != active):
            stay = stay or sorted(left)[:1]
            use_adapters(model, stay, is_frozen=not trained or model.peft_config[stay[0]].inference_mode)
            if were_off:
                switch_adapters(model, on=False)
