"""What README.md of a model of transformers says that adapters were merged into."""

from pathlib import Path

from huggingface_hub import ModelCardData

from ..family_card import of_base
from ..model_card import base_licence, filled, repositories, save_card


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
        "title": " + ".join([origin.base_model, *adapters]),
        "base": origin.base_model,
        "adapters": ", then ".join(f"the LoRA adapter `{name}`" for name in adapters),
        "licence": origin.licence_text,
        "dtype": report["dtype"],
    }
    save_card(folder, metadata, filled("generic", values), report)
