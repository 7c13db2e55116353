"""What README.md of a model of transformers says that adapters were merged into."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from ...configuration.card_markdown import code, words
from ...configuration.card_weights import reported_tensors, sizes_block
from ...configuration.checkpoint_card import CARD_NAME
from ...configuration.weight_parts import PLAIN_PARTS
from ..family_card import of_base
from ..model_card import base_licence, card_metadata_of, command_text, filled, finished, repositories

NOT_OF_MERGED = re.compile(r"(?i)^(gguf|onnx|openvino|mlx|coreml|exllama.*|awq|gptq|.*-bit|arxiv:.*|doi:.*|.+:.+)$")


def write_generic_card(folder: Path, report: dict, base: Path) -> None:
    """Of some transformers model with a LoRA merged into it; licence and base model are inherited in the same way."""
    origin = of_base(report["inputs"], {"base": base_licence(base)})
    adapters = [name for role, name in report["inputs"].items() if role != "base"]
    inherited = task_of_base(card_metadata_of(base))
    metadata = ModelCardData(
        base_model=repositories(origin.base_model),
        library_name="transformers",
        tags=list(dict.fromkeys(["lora", "merged", *inherited.pop("tags")])),
        **inherited,
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


def task_of_base(said: Mapping[str, Any]) -> dict[str, Any]:
    """`pipeline_tag`, `language` and `tags` of the base's card, which hold for what is merged into it, too.

    Left out are tags that speak of the file format, or of something else than the model.
    """
    found = {name: said[name] for name in ("pipeline_tag", "language") if said.get(name)}
    tags = said.get("tags") or []
    tags = [tags] if isinstance(tags, str) else tags
    return found | {"tags": [tag for tag in tags if isinstance(tag, str) and not NOT_OF_MERGED.search(tag)]}
