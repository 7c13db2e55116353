"""The settings of an adapter that can be merged layer by layer. Nothing here is slow to import: `inspect` asks, too."""

from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import ConversionError
from .adapter_patterns import FIELDS, check_adapter_config

# How an adapter may have started. Those of `CHANGE_BASE` took their start out of the base weight, which PEFT repeats
# when it loads them; others that change the base do so at random or from data (pissa_niter_N, corda, loftq, lora_ga).
CHANGE_BASE = ("pissa", "olora")
INITIALISATIONS = (True, False, "gaussian", "eva", "orthogonal", *CHANGE_BASE)
UNMERGED = (
    *("target_parameters", "layer_replication", "alora_invocation_tokens"),
    *("arrow_config", "use_bdlora", "kasa_config", "megatron_config", "monteclora_config", "velora_config"),
)
# What every release of PEFT here knows, and what only says where an adapter comes from.
KNOWN = {
    *FIELDS,
    *("auto_mapping", "base_model_name_or_path", "corda_config", "eva_config", "loftq_config", "megatron_core"),
    *("peft_version", "qalora_group_size", "revision", "task_type"),
}


def check_settings(path: Path, written: Any) -> None:
    """Refuse the settings of an adapter that cannot be merged layer by layer, by the name of the field.

    Args:
        path: of the file, for messages; written: its content.

    Raises:
        ConversionError: as above, or see `check_adapter_config`.
    """
    check_adapter_config(path, written)
    peft_type, start = written.get("peft_type"), written.get("init_lora_weights", True)
    if peft_type != "LORA":
        raise ConversionError(f"{path}: peft_type {peft_type!r} is not supported; only LORA adapters can be merged.")
    for name in UNMERGED:
        if written.get(name):
            raise ConversionError(f"{path}: {name} is set; adapters with it are not supported.")
    if start not in INITIALISATIONS:
        raise ConversionError(
            f"{path}: init_lora_weights={start!r} changed the base model in a way that is not repeated here; save the "
            "adapter with PEFT's `path_initial_model_for_weight_conversion` first."
        )
    check_known(path, written)


def check_known(path: Path, written: dict) -> None:
    """Refuse fields that say something to another release of PEFT: the one that is installed would leave them out."""
    said = {name for name, value in written.items() if value} - KNOWN
    if unknown := sorted(said and said - known_fields()):
        saved = f" (it was saved by PEFT {written['peft_version']})" if written.get("peft_version") else ""
        raise ConversionError(
            f"{path}: PEFT {version('peft')}, which is installed, does not know {', '.join(unknown)}{saved}, and would "
            "merge as if nothing were said: install a release of PEFT that knows it, or take it out of the file if it "
            "does not change what the adapter computes."
        )


def known_fields() -> set[str]:
    """Of the installed PEFT's `LoraConfig`."""
    from peft import LoraConfig  # seconds to import

    return {field.name for field in fields(LoraConfig)}
