"""`import vlahub` is quick, and our classes are in the tables of the Auto classes whatever is imported first."""

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import vlahub

REPOSITORY = Path(__file__).parents[1]
CONFIG = {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}

# What may happen in a process before its first Auto call; `DATA` is a pickled config of ours.
ORDERS = {
    "vlahub, then transformers": "import vlahub, transformers",
    "an Auto class, then vlahub": "from transformers import AutoModel; import vlahub",
    "vlahub, then a library that imports transformers": "import vlahub, peft",
    "a model of transformers, with vlahub before it": "import vlahub; from transformers import LlamaForCausalLM",
    "a file of vlahub": "from vlahub.modeling.cogvla.modeling_cogvla import CogVLAForActionPrediction",
    "a pickled object": "import pickle; pickle.loads(bytes.fromhex(DATA))",
}
CHECK = """
import sys
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoImageProcessor, AutoProcessor
config = AutoConfig.from_pretrained(FOLDER)
assert type(config).__module__ == "vlahub.configuration.cogvla.configuration_cogvla", type(config)
assert type(config) in AutoModel._model_mapping and type(config) in AutoModelForImageTextToText._model_mapping
assert not any(type(finder).__name__ == "AutoWatcher" for finder in sys.meta_path)
loaders = {getattr(of, name, None) for module in list(sys.modules.values()) for of, name in (
    (module, "__loader__"), (getattr(module, "__spec__", None), "loader"))}
assert "WatchedLoader" not in {type(loader).__name__ for loader in loaders}
"""
# One fork for each order. What transformers imports is there, as it takes most of the time; transformers is not.
FORKS = """
import os, sys, traceback
import numpy, torch, torch._dynamo, torch.distributed.tensor, huggingface_hub, safetensors.torch, tokenizers
assert not {"transformers", "vlahub"}.intersection(sys.modules)
failed = []
for name, order in ORDERS.items():
    if (child := os.fork()) == 0:
        status = 1
        try:
            exec(order + CHECK, {"DATA": DATA, "FOLDER": FOLDER})
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    if os.waitpid(child, 0)[1] != 0:
        failed.append(name)
assert not failed, failed
"""


def run(source, cwd=REPOSITORY / "tests", flags=("-P",)):
    """Run source text in a process of its own, in which the working directory is not on the path (`-P`)."""
    command = [sys.executable, *(flags if sys.version_info >= (3, 11) else ()), "-c", source]
    child = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=200)
    assert child.returncode == 0, child.stderr
    return child.stdout


@pytest.fixture(scope="module")
def config():
    text = {**CONFIG, "vocab_size": 64}
    return vlahub.CogVLAConfig(CONFIG | {"image_size": 28}, CONFIG | {"image_size": 28}, text, use_lfp=False)


@pytest.fixture(scope="module")
def folder(config, tmp_path_factory):
    """A config with its own code beside it, which nothing here may run."""
    path = tmp_path_factory.mktemp("config")
    config.save_pretrained(path)
    return path


def test_importing_vlahub_imports_neither_torch_nor_transformers():
    heavy = run("import sys, vlahub, vlahub.errors; print(*{name.partition('.')[0] for name in sys.modules})").split()
    assert not {"torch", "transformers", "numpy", "peft"}.intersection(heavy)


def test_the_parser_of_every_command_imports_nothing_that_is_slow():
    code = "import sys; from vlahub.conversion.cli import make_parser; make_parser()"
    heavy = run(f"{code}; print(*{{name.partition('.')[0] for name in sys.modules}})").split()
    assert not {"torch", "transformers", "numpy", "peft", "huggingface_hub", "datasets", "PIL"}.intersection(heavy)


def test_the_auto_classes_know_ours_in_every_order(config, folder):
    given = {"DATA": pickle.dumps(config).hex(), "FOLDER": str(folder), "ORDERS": ORDERS, "CHECK": CHECK}
    run("".join(f"{name} = {value!r}\n" for name, value in given.items()) + FORKS)


HIDDEN = """
import transformers

class AutoImageProcessor:
    @classmethod
    def register(cls, *_, **__):
        raise ImportError("AutoImageProcessor requires the Torchvision library")

transformers.AutoImageProcessor = AutoImageProcessor
import vlahub
import vlahub.auto_classes
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING
assert vlahub.CogVLAConfig in IMAGE_PROCESSOR_MAPPING
from vlahub.processing.multimodal_vla import image_processing_vlm
assert image_processing_vlm.AutoImageProcessor is not AutoImageProcessor
"""


def test_a_release_that_hides_the_auto_class_of_image_processors_without_torchvision_will_do():
    run(HIDDEN)


def test_every_public_name_can_be_had_and_is_listed():
    assert all(getattr(vlahub, name) is not None for name in vlahub.__all__)
    assert set(vlahub.__all__) <= set(dir(vlahub)) and {"data", "modeling", "training"} <= set(dir(vlahub))
    with pytest.raises(AttributeError, match="no attribute 'CogVLAConfg'"):
        vlahub.CogVLAConfg  # noqa: B018


def test_what_editors_see_is_what_is_there():
    tree = ast.parse((REPOSITORY / "vlahub" / "__init__.py").read_text())
    (block,) = (
        node for node in tree.body if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    )
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert {name: home for name, home in seen.items() if home != "vlahub"} == vlahub.HOMES
    assert set(vlahub.__all__) <= set(seen)


def test_in_a_clone_the_folders_beside_the_package_are_its_sub_packages():
    """Also where another vlahub is installed: the folder `vlahub` of the clone hides it."""
    found = run("import vlahub.errors, vlahub.configuration; print(vlahub.configuration.__file__)", REPOSITORY, ("-S",))
    assert Path(found.strip()) == REPOSITORY / "configuration" / "__init__.py"
