"""README.md of a checkpoint that is some transformers model with a LoRA merged into it."""

from pathlib import Path

from huggingface_hub import ModelCardData

from ..model_card import base_licence, filled, is_repository, licence_text, save_card


def write_generic_card(folder: Path, config: None, report: dict, sources: dict[str, Path]) -> None:
    """Fill `model_cards/generic.md`; licence and base model are inherited as in the families' cards."""
    inputs = dict(report["inputs"])
    base = inputs.pop("base")
    licence = base_licence(sources["base"])
    metadata = ModelCardData(
        base_model=base if is_repository(base) else None,
        library_name="transformers",
        tags=["lora", "merged"],
        **licence,
    )
    values = {
        "title": " + ".join([base, *inputs.values()]),
        "base": base,
        "adapters": ", then ".join(f"the LoRA adapter `{name}`" for name in inputs.values()),
        "licence": licence_text(licence),
        "dtype": report["dtype"],
    }
    save_card(folder, metadata, filled("generic", values), report)
