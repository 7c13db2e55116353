"""README.md of a PEFT adapter that was trained on one of our models: what is in it, and how it is used."""

import shlex
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from ..configuration.card_markdown import code, words
from ..configuration.checkpoint_card import CARD_NAME, body_of, is_repository, is_unedited, normalised, stamped
from .whole_file import write_whole

TEXT = """# An adapter of {title}

A {kind} of {architecture}, trained with PEFT: it changes the base model, and is nothing without it.

| | |
| --- | --- |
| base model | {shown} |
| LoRA | rank {rank}, alpha {alpha}, {layers} |
| trained whole | {whole} |

{merge}

```bash
merge-lora --base {word} --adapter FOLDER --output my-vla
```

(`pip install vlahub`) writes one checkpoint that loads without PEFT, with this run's statistics in it.

{use}

```python
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("FOLDER", trust_remote_code=True)
processor = AutoProcessor.from_pretrained("FOLDER", trust_remote_code=True)
```

loads the base that `adapter_config.json` names, the adapter, and this run's statistics and views. PEFT's own
`PeftModel.from_pretrained(base, "FOLDER")` leaves those of the base, whose units are others: actions would be wrong."""
MERGE, USE = "## Merge it", "## Use it beside its base"  # headings
SHOWN = 8


def write_adapter_card(folder: str | Path, model: Any, before: str | None = None) -> None:
    """Write README.md into a folder into which a `PeftModel` of one of our models was just saved.

    PEFT writes an empty one there, or adds to what it finds.

    Args:
        model: the `PeftModel`.
        before: the text of README.md from before the model was saved, `None` where there was none. One that was
            edited stays, as PEFT has changed it.
    """
    if before is not None and not (is_unedited(before) or is_pefts_own(before)):
        return
    path = Path(folder) / CARD_NAME
    write_whole(path, adapter_card(model))


def is_pefts_own(text: str) -> bool:
    """Whether a text is the empty template with what PEFT adds at its end."""
    body = body_of(text).split("### Framework versions")[0]
    return normalised(body) == normalised(ModelCard.from_template(ModelCardData()).text)


def adapter_card(model: Any) -> str:
    """The card of a `PeftModel` of one of our models."""
    config, base_model = model.peft_config[model.active_adapter], model.get_base_model()
    base = shown_name(config.base_model_name_or_path)
    data = ModelCardData(
        base_model=base if is_repository(base) else None,
        library_name="peft",
        pipeline_tag="robotics",
        tags=["robotics", "vision-language-action", "lora", base_model.config.model_type],
    )
    text = TEXT.format(
        merge=MERGE,
        use=USE,
        title=words(base),
        shown=code(base),
        word=shlex.quote(base),
        kind="LoRA" if config.peft_type == "LORA" else str(config.peft_type),
        architecture=type(base_model).__name__,
        rank=getattr(config, "r", "none"),
        alpha=getattr(config, "lora_alpha", "none"),
        layers=layers_text(getattr(config, "target_modules", None), model),
        whole=", ".join(some(config.modules_to_save)) or "nothing",
    )
    return stamped(f"---\n{data.to_yaml()}\n---\n\n{text}", base_model.config)


def layers_text(targets: Any, model: Any) -> str:
    """How many layers have an adapter, or the pattern that names them; one name that PEFT keeps may be of many."""
    from peft.tuners.tuners_utils import BaseTunerLayer  # slow to import

    if isinstance(targets, str):
        return f"layers that match {code(targets)}"
    return f"{sum(isinstance(module, BaseTunerLayer) for module in model.modules())} layers"


def some(names: Any) -> list[str]:
    """The first of these names in their order, Markdown, and how many more there are."""
    names = sorted(names or ())
    return [*map(code, names[:SHOWN]), *([f"{len(names) - SHOWN} more"] if len(names) > SHOWN else [])]


def shown_name(name: str | None) -> str:
    """A repository's id, or a folder's own name without where it lies."""
    return name if name and is_repository(name) and not Path(name).exists() else Path(name or "BASE").name
