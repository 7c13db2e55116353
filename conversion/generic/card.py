"""What README.md of a model of transformers says that adapters were merged into."""

from pathlib import Path

from huggingface_hub import ModelCardData

from ...configuration.card_markdown import code, words
from ...configuration.card_weights import reported_tensors, sizes_block
from ...configuration.checkpoint_card import CARD_NAME
from ...configuration.weight_parts import PLAIN_PARTS
from ..family_card import of_base
from ..model_card import base_licence, command_text, filled, finished, repositories


def write_generic_card(folder: Path, report: dict, base: Path) -> None:
    """Of some transformers model with a LoRA merged into it; licence and base model are inherited in the same way."""
    origin = of_base(report["inputs"], {"base": base_licence(base)})
    adapters = [name for role, name in report["inputs"].items() if role != "base"]
    metadata = ModelCardData(
        base_model=repositories(origin.base_model),
        library_name="transformers",
        tags=["lora", "merged"],
        **origin.licence,
    )
    values = {
        "title": words(" + ".join([origin.base_model, *adapters])),
        "base": code(origin.base_model),
        "adapters": ", then ".join(f"the LoRA adapter {code(name)}" for name in adapters),
        "licence": origin.licence_text,
        "sizes": sizes_block(reported_tensors(report["tensors"]), PLAIN_PARTS),
        "command": command_text(report),
        "dtype": report["dtype"],
    }
    (folder / CARD_NAME).write_text(finished(metadata, filled("generic", values), report), encoding="utf-8")
