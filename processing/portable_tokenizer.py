"""Tokenizer files that load the same way on transformers 4.57 and 5.x."""

import json
from pathlib import Path

# 5.x writes classes that 4.57 does not know, and rebuilds its Llama tokenizer from vocabulary and merges; this one
# reads tokenizer.json as it stands, on both lines.
TOKENIZER_CLASS = "PreTrainedTokenizerFast"


def make_tokenizer_portable(folder: Path, processor_class: str) -> None:
    """Rewrite `tokenizer_config.json` in `folder`, if there is one beside a `tokenizer.json`."""
    path = folder / "tokenizer_config.json"
    if not path.exists() or not (folder / "tokenizer.json").exists():
        return
    config = json.loads(path.read_text(encoding="utf-8"))
    for name in ("auto_map", "backend", "is_local", "local_files_only"):
        config.pop(name, None)
    if isinstance(config.get("extra_special_tokens"), list):  # 4.57 wants a mapping there; both read the older name
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    config.update(tokenizer_class=TOKENIZER_CLASS, processor_class=processor_class)
    path.write_text(
        json.dumps(config, indent=2, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8"
    )
