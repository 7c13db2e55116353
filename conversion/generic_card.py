"""README.md of a checkpoint that is some transformers model with a LoRA merged into it."""

from importlib.resources import files
from pathlib import Path
from string import Template

from huggingface_hub import ModelCard, ModelCardData

from .model_card import base_licence, is_repository, licence_text


def write_generic_card(folder: Path, report: dict, base_folder: Path) -> None:
    """Fill `model_cards/generic.md`; licence and base model are inherited as in the families' cards."""
    inputs = dict(report["inputs"])
    base = inputs.pop("base")
    licence = base_licence(base_folder)
    metadata = ModelCardData(
        base_model=base if is_repository(base) else None,
        library_name="transformers",
        tags=["lora", "merged"],
        **licence,
    )
    template = Template(files("vlahub.model_cards").joinpath("generic.md").read_text(encoding="utf-8"))
    text = template.substitute(
        title=" + ".join([base, *inputs.values()]),
        base=base,
        adapters=", then ".join(f"the LoRA adapter `{name}`" for name in inputs.values()),
        licence=licence_text(licence),
        dtype=report["dtype"],
    )
    (folder / "README.md").write_text(str(ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{text}")), encoding="utf-8")
