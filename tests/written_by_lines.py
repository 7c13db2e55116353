"""What each line of transformers writes for some variants, and predicts: `golden/written_by_transformers_{4,5}.json`.

Weights follow from their names by a formula, so that a config alone makes a checkpoint. In each environment,

    python tests/written_by_lines.py

writes the file of its line anew.
"""

import json
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from model_variants import VARIANTS
from safetensors.torch import load_file, save_file

NAMES = ("cogvla", "openvla", "llava3d-mistral-both", "composed-flow", "composed-two-towers")
NAMES += ("vlm-paligemma-flow", "vlm-llava-late", "vlm-qwen-mlp", "alpamayo-r1", "alpamayo-1.5")
GOLDEN = Path(__file__).parent / "golden"
OWN = transformers.__version__.split(".")[0]
SHOWN = 24  # numbers of a prediction


def path_of(line: str) -> Path:
    return GOLDEN / f"written_by_transformers_{line}.json"


def formula(key: str, like: torch.Tensor) -> torch.Tensor:
    """Norms around 1, embeddings 0.7, all else 0.15, as in `model_variants.randomized`."""
    values = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(like.shape)
    owner = key.rsplit(".", 2)[-2]
    is_scale = ("norm" in owner and key.endswith("weight")) or key.endswith("scale_factor")
    values = 1 + 0.1 * values if is_scale else values * (0.7 if "embed_tokens" in key else 0.15)
    return torch.from_numpy(np.asarray(values)).to(like.dtype)


def checkpoint(folder: Path, name: str, config: dict[str, Any] | None = None) -> Path:
    """A variant with weights of the formula; config: what is in config.json, else that which is written now."""
    VARIANTS[name].model().save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    weights = {key: formula(key, value).contiguous() for key, value in weights.items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def predicted(folder: Path, name: str) -> list[float]:
    """The first numbers of each sample's prediction."""
    variant = VARIANTS[name]
    model = variant.kind.from_pretrained(folder, dtype=torch.float32).eval()
    return variant.predict(model, variant.prediction()).flatten(1)[:, :SHOWN].flatten().tolist()


def written(name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint(Path(folder), name)
        config = json.loads((Path(folder) / "config.json").read_text())
        return {"config": config, "actions": [round(value, 5) for value in predicted(Path(folder), name)]}


if __name__ == "__main__":
    path_of(OWN).write_text(json.dumps({name: written(name) for name in NAMES}, indent=1) + "\n")
