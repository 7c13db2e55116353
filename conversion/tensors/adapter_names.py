"""The names that tensors of a PEFT adapter have, whoever saved them, taken apart; imports nothing slow."""

import re
from dataclasses import dataclass

# "X.lora_A.weight" (saved adapter) and "X.lora_A.NAME.weight" (a wrapped module's own state, "default" mostly) alike.
LORA_PARTS = r"lora_(?:embedding_)?[AB]|lora_magnitude_vector"
LORA_KEY = re.compile(
    rf"(?P<module>.+)\.(?P<part>{LORA_PARTS})(?:\.(?!(?:weight|bias)$)\w+)?(?P<rest>\.(?:weight|bias))?"
)
BASE_LAYER_KEY = re.compile(r"(?P<module>.+)\.base_layer\.(?P<parameter>\w+)")
ADAPTER_PREFIX = "base_model.model."
# What DDP, torch.compile, FSDP and activation checkpointing put into the names of a model that they wrap.
DDP_PREFIX = "module."
WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
TOKEN_ROWS = re.compile(r"(?P<module>.+)\.token_adapter\.trainable_tokens_delta(?:\.\w+)?")
SAVED_MODULE = re.compile(r"(?P<module>.+)\.modules_to_save(?:\.(?P<adapter>\w+))?\.(?P<rest>.+)")
# A wrapped module's own state also holds what was not trained: the base's copy, which stays as it is in the base.
UNTRAINED = re.compile(r".+\.(?:original_module\..+|token_adapter\.(?:base_layer\.\w+|trainable_tokens_original\.\w+))")


@dataclass(frozen=True)
class AdapterKey:
    """Where a tensor of an adapter belongs: the module it adapts, and its place in PEFT's layer."""

    module: str
    part: str


def parse_adapter_key(key: str) -> AdapterKey | None:
    """`X.lora_A.weight` -> module X, part `lora_A.default.weight`; `None` for a tensor that is not part of a LoRA."""
    match = LORA_KEY.fullmatch(key)
    if match is None:
        return None
    rest = ".weight" if match["part"] == "lora_magnitude_vector" else match["rest"] or ""
    return AdapterKey(match["module"].removeprefix(ADAPTER_PREFIX), f"{match['part']}.default{rest}")


def full_name(key: str) -> str:
    """The name of an adapter's tensor in the model that was trained, without what wrappers added."""
    return WRAPPERS.sub("", WRAPPERS.sub("", key).removeprefix(DDP_PREFIX)).removeprefix(ADAPTER_PREFIX)


def plain_name(name: str) -> str:
    """The base's name for a parameter that is saved whole: `x.modules_to_save.default.weight` -> `x.weight`."""
    if saved := SAVED_MODULE.fullmatch(name):
        name = f"{saved['module']}.{saved['rest']}"
    return name.replace(".base_layer.", ".")
