"""A new family is its folders and a row in each of three tables, and nothing else."""

import importlib.util
import json
import os
import shutil
import sys
from itertools import chain
from pathlib import Path

import pytest
from fresh_python import in_fresh_python

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
shapes = {{"embed": (32, 16), "layers.0": (16, 16), "vision": (16, 3 * 14 * 14), "head": (28, 16)}}
weights = {{f"{{name}}.weight": torch.randn(shape) / 8 for name, shape in shapes.items()}}
weights |= {{f"{{name}}.bias": torch.randn(shapes[name][0]) for name in shapes if name != "embed"}}
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
TUNED = f"""
import sys, numpy as np, torch, vlahub
from peft import get_peft_model
from transformers import AutoModelForImageTextToText, AutoProcessor
from vlahub.conversion.cli import main
from vlahub.data import collator_for

checkpoint, output = sys.argv[1:]
processor = AutoProcessor.from_pretrained(checkpoint)

def load(folder):
    return AutoModelForImageTextToText.from_pretrained(folder)

def step(model, groups):
    example = dict(images=[np.full((20, 20, 3), 90, np.uint8)], text={INSTRUCTION!r}, actions=np.zeros((4, 7)))
    batch = collator_for(model.config, processor)([example])
    before = {{name: p.detach().clone() for name, p in model.named_parameters()}}
    model(**batch).loss.backward()
    torch.optim.SGD(groups, lr=0.1).step()
    batch.pop("actions")
    return {{name for name, p in model.named_parameters() if not torch.equal(p, before[name])}}, batch

names = {{name for name, _ in load(checkpoint).named_parameters()}}
layer = {{name for name in names if ".layers." in name}}
new = {{name for name in names if not name.startswith("language_model")}}
assert len(names) == 7 and len(layer) == 2 and len(new) == 4
for stage, moved, layers in (("A", new, 0), ("B", new | layer, 1), ("full", names, 0)):
    model = load(checkpoint)
    groups = vlahub.trainable_parameter_groups(model, stage, backbone_unfreeze_layers=layers, lr=0.1)
    assert step(model, groups)[0] == moved, stage

config = vlahub.lora_config(load(checkpoint), r=2)
assert config.target_modules == {{"language_model.layers.0"}}
assert set(config.modules_to_save) == {{"pixels", "action_head"}}
model = get_peft_model(load(checkpoint), config)
moved, batch = step(model, [p for p in model.parameters() if p.requires_grad])
assert any("lora_B" in name for name in moved) and any("action_head" in name for name in moved)
model.save_pretrained(output + "/adapter")
sources = ["--base", checkpoint, "--adapter", output + "/adapter", "--output", output + "/merged"]
sources += ["--statistics", checkpoint + "/config.json"]  # PEFT saves none
assert main(["merge-lora", *sources, "--quiet"]) == 0
merged = load(output + "/merged")
torch.testing.assert_close(merged.predict_action(**batch), model.eval().predict_action(**batch))
"""
COMMANDS = """
import json, sys
from vlahub.conversion.cli import main

sys.exit(any([main(line) for line in json.loads(sys.argv[1])]))
"""
FAR = f"""
import sys, torch
sys.modules["vlahub"] = None  # every import of it fails
from pathlib import Path
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModel, AutoProcessor

published, *names = sys.argv[1:]  # folders and repositories
loaded = [AutoModel.from_pretrained(name, trust_remote_code=True) for name in names]
processors = [AutoProcessor.from_pretrained(name, trust_remote_code=True) for name in names]
both = [processor(Image.open(Path(published) / "view.png"), {INSTRUCTION!r}) for processor in processors]
inputs = both[0]
weights = load_file(Path(published) / "model.safetensors")
words = weights["embed.weight"][inputs["input_ids"]].mean(dim=1)
words = words + words @ weights["layers.0.weight"].T + weights["layers.0.bias"]
states = words + inputs["pixel_values"].flatten(1) @ weights["vision.weight"].T + weights["vision.bias"]
actions = (states @ weights["head.weight"].T + weights["head.bias"]).view(1, 4, 7)
for model, inputs in zip(loaded, both, strict=True):
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
    """`python(code or module, *arguments, inside=True, **environment)` in the copy of the project -> its output."""

    def run(*command, inside=True, **environment):
        path = str(project) if inside else ""
        environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", **environment}
        here = project if inside else project.parent
        done = in_fresh_python(command, env=environment, cwd=here)
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
    assert "all 7 tensors equal their recomputation" in printed


@pytest.fixture
def hub(tmp_path):
    """The environment of processes that see the Hub on loopback, and no other."""
    spec = importlib.util.spec_from_file_location("hub_server", REPOSITORY / "tests" / "hub" / "hub_server.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.HubServer() as server:
        settings = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        yield {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "dummy", **settings}


def test_published_it_predicts_without_vlahub_what_it_predicts_on_the_command_line(
    python, checkpoint, published, hub, tmp_path
):
    """From the folder, and from the repository that it was pushed to."""
    predict = ["predict", checkpoint, "--images", published / "view.png", "--instruction", INSTRUCTION]
    commands = [["push", checkpoint, "user/toy", "--quiet"], [*predict, "--output", tmp_path / "actions.json"]]
    python("-c", COMMANDS, json.dumps(commands, default=str), **hub)
    far = json.loads(python("-I", "-c", FAR, published, checkpoint, "user/toy", inside=False, **hub))
    near = json.loads((tmp_path / "actions.json").read_text())["actions"]
    assert [*chain(*near)] == pytest.approx([*chain(*far[0])])


def test_it_trains_and_what_was_trained_loads_again(python, checkpoint, tmp_path):
    python("-c", TRAINED, checkpoint, tmp_path / "run")


def test_it_trains_in_stages_and_by_lora_and_the_adapter_merges(python, checkpoint, tmp_path):
    python("-c", TUNED, checkpoint, tmp_path)


def test_what_it_becomes_is_ready_to_be_published(checkpoint):
    card = (checkpoint / "README.md").read_text()
    assert "toy_vla" in card and "predict_action" in card
    config = json.loads((checkpoint / "config.json").read_text())
    files = {path.stem for path in checkpoint.glob("*.py")}
    assert {value.split(".")[0] for value in config["auto_map"].values()} <= files
