"""A new family is its folders and a row in each of three tables, and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
TOY = Path(__file__).with_name("toy_family")
LAYERS = ("configuration", "modeling", "processing", "training", "conversion")
CLASSES = {
    "ToyVLAConfig": "configuration.toy_vla.configuration_toy_vla",
    "ToyVLAForActionPrediction": "modeling.toy_vla.modeling_toy_vla",
    "ToyVLAProcessor": "processing.toy_vla.processing_toy_vla",
    "ToyVLAImageProcessor": "processing.toy_vla.processing_toy_vla",
}
# Table: what is imported there, and the end of the line before its row.
ROWS = {
    "vlahub/auto_classes.py": (
        "".join(f"from vlahub.{file} import {name}\n" for name, file in CLASSES.items()),
        "FAMILIES = (\n",
        f"    ({', '.join(CLASSES)}),\n",
    ),
    "training/collators.py": (
        "from .toy_vla.collator_toy_vla import ToyVLACollator\n",
        "COLLATORS = {\n",
        '    "toy_vla": ToyVLACollator,\n',
    ),
    "conversion/families.py": (
        "from .toy_vla.toy_family import TOY_VLA\n",
        "family in (",
        "TOY_VLA, ",
    ),
}
INSTRUCTION = "pick up the bowl"
PUBLISHED = f"""
import json, sys, torch
from pathlib import Path
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

folder = Path(sys.argv[1])
torch.manual_seed(0)
shapes = dict(embed=(32, 16), vision=(16, 3 * 14 * 14), head=(28, 16))
weights = {{f"{{name}}.weight": torch.randn(shape) / 8 for name, shape in shapes.items()}}
weights |= {{f"{{name}}.bias": torch.randn(shapes[name][0]) for name in ("vision", "head")}}
save_file(weights, folder / "model.safetensors")
(folder / "config.json").write_text(json.dumps({{"model_type": "toy"}}))
bounds = {{"q01": [-1.0] * 7, "q99": [3.0] * 7}}
(folder / "dataset_statistics.json").write_text(json.dumps({{"table": {{"action": bounds}}}}))
words = dict.fromkeys(["<unk>", "<pad>", *{INSTRUCTION!r}.split()])
tokenizer = Tokenizer(WordLevel({{word: i for i, word in enumerate(words)}}, unk_token="<unk>"))
tokenizer.pre_tokenizer = Whitespace()
PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>").save_pretrained(folder)
Image.new("RGB", (40, 30), (200, 40, 90)).save(folder / "view.png")
"""
TRAINED = f"""
import sys, numpy as np, torch, vlahub
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainingArguments
from vlahub.data import collator_for

checkpoint, output = sys.argv[1:]
model = AutoModelForImageTextToText.from_pretrained(checkpoint)
processor = AutoProcessor.from_pretrained(checkpoint)
before = model.action_head.weight.clone()
view = np.full((20, 20, 3), 90, np.uint8)
example = dict(images=[view], text={INSTRUCTION!r}, actions=np.zeros((4, 7)))
arguments = TrainingArguments(
    output, max_steps=1, remove_unused_columns=False, report_to=[], use_cpu=True, disable_tqdm=True
)
trainer = vlahub.VLATrainer(
    model, arguments, collator_for(model.config, processor), [example] * 8, processing_class=processor
)
trainer.train()
assert not torch.equal(before, model.action_head.weight)
trainer.save_model(output + "/final")
again = AutoModelForImageTextToText.from_pretrained(output + "/final")
assert torch.equal(again.action_head.weight, model.action_head.weight.detach())
"""
FAR = f"""
import sys, torch
from pathlib import Path
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModel, AutoProcessor

checkpoint, published = map(Path, sys.argv[1:])
model = AutoModel.from_pretrained(checkpoint, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(checkpoint, trust_remote_code=True)
assert "vlahub" not in sys.modules
inputs = processor(Image.open(published / "view.png"), {INSTRUCTION!r})
weights = load_file(published / "model.safetensors")
words = weights["embed.weight"][inputs["input_ids"]].mean(dim=1)
states = words + inputs["pixel_values"].flatten(1) @ weights["vision.weight"].T + weights["vision.bias"]
actions = (states @ weights["head.weight"].T + weights["head.bias"]).view(1, 4, 7)
torch.testing.assert_close(model.predict_action(**inputs), actions * 2 + 1)
print(model.predict_action(**inputs).tolist())
"""


def source_lines():
    return sum(len(path.read_text().splitlines()) for path in TOY.rglob("*.py"))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project's layers with the toy's folders and its three rows."""
    root = tmp_path_factory.mktemp("project")
    skipped = shutil.ignore_patterns("__pycache__")
    for folder in ("vlahub", "model_cards", *LAYERS):
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=skipped)
    shutil.copytree(TOY, root, dirs_exist_ok=True, ignore=skipped)
    for table, (imports, before, row) in ROWS.items():
        text = (root / table).read_text()
        first = text.index("\nfrom ") + 1
        at = text.index(before) + len(before)
        (root / table).write_text(text[:first] + imports + text[first:at] + row + text[at:])
    return root


@pytest.fixture(scope="module")
def python(project):
    """`python(code or module, *arguments, inside=True)` in the copy of the project -> what was printed."""

    def run(*command, inside=True):
        environment = {**os.environ, "PYTHONPATH": str(project) if inside else "", "HF_HUB_OFFLINE": "1"}
        here = project if inside else project.parent
        done = subprocess.run(
            [sys.executable, *map(str, command)], cwd=here, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def published(python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    python("-c", PUBLISHED, folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint(python, published, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted") / "toy"
    python("-m", "vlahub.conversion.cli", "convert", published, folder, "--quiet")
    return folder


def test_a_family_is_its_folders_of_less_than_150_lines():
    assert 50 < source_lines() < 150


def test_its_checkpoint_is_verified_against_what_was_published(python, checkpoint, published):
    printed = python("-m", "vlahub.conversion.cli", "verify", checkpoint, "--against", published)
    assert "all 5 tensors equal their recomputation" in printed


def test_it_predicts_the_same_on_the_command_line_and_where_vlahub_is_not_installed(
    python, checkpoint, published, tmp_path
):
    far = json.loads(python("-I", "-c", FAR, checkpoint, published, inside=False))
    command = ["predict", checkpoint, "--images", published / "view.png", "--instruction", INSTRUCTION]
    python("-m", "vlahub.conversion.cli", *command, "--output", tmp_path / "actions.json")
    near = json.loads((tmp_path / "actions.json").read_text())["actions"]
    assert [*chain(*near)] == pytest.approx([*chain(*far[0])])


def test_it_trains_and_what_was_trained_loads_again(python, checkpoint, tmp_path):
    python("-c", TRAINED, checkpoint, tmp_path / "run")


def test_what_it_becomes_is_ready_to_be_published(checkpoint):
    card = (checkpoint / "README.md").read_text()
    assert "toy_vla" in card and "predict_action" in card
    config = json.loads((checkpoint / "config.json").read_text())
    files = {path.stem for path in checkpoint.glob("*.py")}
    assert {value.split(".")[0] for value in config["auto_map"].values()} <= files
