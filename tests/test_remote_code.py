"""The code that a checkpoint of each family carries: flat, complete, and enough to predict without vlahub."""

import ast
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from fresh_python import in_fresh_python

import vlahub
from vlahub import AutoModelForVision2Seq

REPOSITORY = Path(__file__).parents[1]
TRANSFORMERS_4 = transformers.__version__.startswith("4.")
AUTO_CLASSES = ["AutoModel", "AutoModelForImageTextToText", *["AutoModelForVision2Seq"] * TRANSFORMERS_4]
ROUNDING = {"rtol": 0, "atol": 5e-5}  # of actions of a few units: sums depend on where weights lie in memory
CODE_FOLDERS = ("configuration", "modeling", "processing")

# Runs in a process that cannot import vlahub: predicts with each class, and saves what it loaded if told where.
FRESH_PROCESS = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "vlahub":
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Blocker())
folder, images, resaved, call, classes = json.loads(sys.argv[1])
try:
    import vlahub
except ImportError:
    pass
else:
    sys.exit("vlahub can be imported")

import numpy as np
import torch
import transformers

torch.set_num_threads(1)
processor = transformers.AutoProcessor.from_pretrained(folder, trust_remote_code=True)
image_processor = transformers.AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)
config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True)
exec(call)
inputs = prepare(processor, np.load(images))
result = {"inputs": {name: list(value.shape) for name, value in inputs.items()}, "actions": {}}
for name in classes:
    model = getattr(transformers, name).from_pretrained(folder, trust_remote_code=True, dtype=torch.float32)
    torch.manual_seed(0)  # of the noise, where actions begin as noise
    result["actions"][name] = predict(model, inputs).tolist()
result["norm_stats"] = sorted(config.norm_stats)
objects = {"model": model, "processor": processor, "image_processor": image_processor, "config": config}
result["modules"] = {role: type(one).__module__ for role, one in objects.items()}
result["names"] = {role: type(one).__name__ for role, one in objects.items()}
if resaved:
    model.save_pretrained(resaved)
    processor.save_pretrained(resaved)
print("RESULT" + json.dumps(result))
"""


def in_a_fresh_process(family, folder, images, home, classes, resaved=None):
    """What `FRESH_PROCESS` found out; with the network off and caches of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "HF_MODULES_CACHE": str(home / "modules")}
    arguments = [str(folder), str(images), resaved and str(resaved), family.call, classes]
    child = in_fresh_python(["-I", "-c", FRESH_PROCESS, json.dumps(arguments)], env=environment, cwd=home)
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout.split("RESULT")[1])


def code_files():
    """Every file that may be bundled."""
    return [path for folder in CODE_FOLDERS for path in (REPOSITORY / folder).rglob("[!_]*.py")]


def bundled(folder):
    """`{base name: syntax tree}` of the code in a checkpoint folder."""
    return {path.stem: ast.parse(path.read_text()) for path in folder.glob("*.py")}


def imports(tree):
    """(level, module, names) of every import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node.level, node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from ((0, alias.name, []) for alias in node.names)


@pytest.fixture(scope="module")
def checkpoint(family_checkpoint):
    return family_checkpoint


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two drawn views as a file: a gradient with a block, and its mirror image."""
    rows, columns = np.mgrid[0:224, 0:224]
    image = np.stack([rows, columns, (rows + columns) // 2], axis=-1).astype(np.uint8)
    image[80:140, 60:120] = (200, 30, 30)
    path = tmp_path_factory.mktemp("images") / "views.npy"
    np.save(path, np.stack([image, image[:, ::-1]]))
    return path


@pytest.fixture(scope="module")
def expected_actions(family, checkpoint, images):
    processor = family.processor.from_pretrained(checkpoint)
    model = family.model.from_pretrained(checkpoint, dtype=torch.float32)
    names = {"np": np}
    exec(family.call, names)
    inputs = names["prepare"](processor, np.load(images))
    torch.manual_seed(0)
    return names["predict"](model, inputs)


@pytest.fixture(scope="module")
def fresh(family, checkpoint, images, tmp_path_factory):
    """A fresh process that loads the checkpoint through every class and saves it again; `{..., "resaved": folder}`."""
    home = tmp_path_factory.mktemp("fresh")
    result = in_a_fresh_process(family, checkpoint, images, home, AUTO_CLASSES, home / "resaved")
    return {**result, "resaved": home / "resaved"}


# Loading where vlahub cannot be imported


@pytest.mark.newest
def test_a_fresh_process_without_vlahub_predicts_the_same_actions(fresh, expected_actions):
    assert len(expected_actions) == 1 and expected_actions.std() > 0.1
    assert list(fresh["actions"]) == AUTO_CLASSES
    for name, actions in fresh["actions"].items():
        torch.testing.assert_close(torch.tensor(actions), expected_actions, **ROUNDING, msg=name)


@pytest.mark.newest
def test_everything_in_a_fresh_process_comes_from_the_checkpoint(family, fresh):
    assert fresh["names"] == {
        "model": family.model_name,
        "processor": f"{family.prefix}Processor",
        "image_processor": f"{family.prefix}ImageProcessor",
        "config": f"{family.prefix}Config",
    }
    assert all(module.startswith("transformers_modules.") for module in fresh["modules"].values()), fresh["modules"]
    assert fresh["norm_stats"] == ([family.unnorm_key] if family.unnorm_key else [])
    assert sorted(fresh["inputs"]) == sorted(family.inputs)


def test_a_checkpoint_saved_again_without_vlahub_loads_in_yet_another_process(
    family, fresh, images, tmp_path, expected_actions
):
    result = in_a_fresh_process(family, fresh["resaved"], images, tmp_path, AUTO_CLASSES[-1:])
    torch.testing.assert_close(torch.tensor(result["actions"][AUTO_CLASSES[-1]]), expected_actions, **ROUNDING)


def test_a_checkpoint_saved_again_without_vlahub_has_the_same_code_and_classes(family, fresh, checkpoint):
    code = {path.name: path.read_text() for path in checkpoint.glob("*.py")}
    saved = {path.name: path.read_text() for path in fresh["resaved"].glob("*.py")}
    assert saved.keys() == code.keys()
    assert [name for name in code if saved[name] != code[name]] == []
    auto_map = json.loads((fresh["resaved"] / "config.json").read_text())["auto_map"]
    assert auto_map == family.config.auto_classes


# Loading where vlahub is installed


def test_the_dropped_auto_class_is_offered_by_vlahub_on_both_lines(family, checkpoint):
    model = AutoModelForVision2Seq.from_pretrained(checkpoint)
    assert type(model) is family.model
    if TRANSFORMERS_4:
        assert AutoModelForVision2Seq is transformers.AutoModelForVision2Seq
    else:
        assert not hasattr(transformers, "AutoModelForVision2Seq")


@pytest.mark.newest
@pytest.mark.parametrize("name", AUTO_CLASSES)
def test_an_installed_vlahub_needs_no_remote_code(family, name, checkpoint):
    model = getattr(transformers, name).from_pretrained(checkpoint)
    assert type(model) is family.model


def test_the_installed_processor_is_found_by_the_auto_class(family, checkpoint):
    assert type(transformers.AutoProcessor.from_pretrained(checkpoint)) is family.processor


def test_saving_a_model_writes_the_same_code_as_the_conversion(family, checkpoint, tmp_path):
    model = family.model.from_pretrained(checkpoint)
    model.save_pretrained(tmp_path)
    if family.apart:
        family.processor.from_pretrained(checkpoint).save_pretrained(tmp_path)
    code = {path.name: path.read_text() for path in checkpoint.glob("*.py")}
    assert {path.name: path.read_text() for path in tmp_path.glob("*.py")} == code
    assert json.loads((tmp_path / "config.json").read_text())["auto_map"] == family.config.auto_classes


def test_what_an_installed_vlahub_saves_loads_without_it(family, checkpoint, images, tmp_path, expected_actions):
    family.model.from_pretrained(checkpoint).save_pretrained(tmp_path / "saved")
    family.processor.from_pretrained(checkpoint).save_pretrained(tmp_path / "saved")
    result = in_a_fresh_process(family, tmp_path / "saved", images, tmp_path, ["AutoModel"])
    torch.testing.assert_close(torch.tensor(result["actions"]["AutoModel"]), expected_actions, **ROUNDING)


def test_saving_a_processor_alone_writes_what_it_needs(family, checkpoint, tmp_path):
    family.processor.from_pretrained(checkpoint).save_pretrained(tmp_path)
    trees = bundled(tmp_path)
    parts = ("processing", "image_processing", *([] if family.apart else ["configuration"]))
    assert {f"{part}_{family.suffix}" for part in parts} <= set(trees)
    needed = {module for tree in trees.values() for level, module, _ in imports(tree) if level}
    assert needed <= set(trees)


# What the bundle holds


def test_the_bundle_is_what_its_entry_files_import_directly_or_not(checkpoint):
    sources = {path.stem: path for path in code_files()}
    settings = [json.loads((checkpoint / f"{name}_config.json").read_text()) for name in ("processor", "preprocessor")]
    settings.append(json.loads((checkpoint / "config.json").read_text()))
    entries = {value.split(".")[0] for one in settings for value in one["auto_map"].values()}
    wanted, waiting = set(), [*entries]
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            found = imports(ast.parse(sources[name].read_text()))
            waiting += [module.split(".")[-1] for level, module, _ in found if level]
    assert set(bundled(checkpoint)) == wanted and len(entries) == 4


def test_the_bundle_is_flat(checkpoint):
    trees = bundled(checkpoint)
    for name, tree in trees.items():
        for level, module, _ in imports(tree):
            assert level in (0, 1), f"{name}: {module}"
            if level:
                assert module in trees and "." not in module, f"{name} imports .{module}"


def test_every_name_imported_from_a_sibling_is_defined_there(checkpoint):
    trees = bundled(checkpoint)
    defined = {name: {"__name__"} for name in trees}
    for name, tree in trees.items():
        for node in tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                defined[name].add(node.name)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found = [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
                defined[name].update(found)
    for name, tree in trees.items():
        for level, module, names in imports(tree):
            assert not level or set(names) <= defined[module], f"{name}: from .{module} import {names}"


def test_the_bundle_needs_nothing_but_what_inference_has(checkpoint):
    """A clean environment: torch, transformers, safetensors, pillow and numpy; neither vlahub nor what converts."""
    allowed = set(sys.stdlib_module_names) | {"torch", "transformers", "safetensors", "PIL", "numpy", "huggingface_hub"}
    for name, tree in bundled(checkpoint).items():
        roots = {module.split(".")[0] for level, module, _ in imports(tree) if not level}
        assert roots <= allowed, f"{name} imports {sorted(roots - allowed)}"


def test_each_file_named_in_the_auto_map_imports_its_whole_closure_itself(family, checkpoint):
    """transformers 4.57 copies only the files that an entry file names from a local folder."""
    trees = bundled(checkpoint)
    direct = {name: {module for level, module, _ in imports(tree) if level} for name, tree in trees.items()}
    entries = {value.split(".")[0] for value in family.config.auto_classes.values()}
    for entry in entries:
        closure, waiting = set(), [entry]
        while waiting:
            name = waiting.pop()
            if name not in closure:
                closure.add(name)
                waiting.extend(direct[name])
        assert closure - {entry} == direct[entry] - {entry}, entry


def test_no_docstring_looks_like_an_import_to_the_scanner_of_transformers(checkpoint):
    """It reads text, not syntax: a line that begins like a relative import counts as one, wherever it stands."""
    for path in checkpoint.glob("*.py"):
        lines = [line.strip() for line in path.read_text().splitlines()]
        seen = {line.split()[1] for line in lines if line.startswith(("from .", "import ."))}
        real = {f".{module}" for level, module, _ in imports(ast.parse(path.read_text())) if level}
        assert seen == real, path.name


def test_base_names_are_unique_over_the_bundled_folders():
    names = [path.stem for path in code_files()]
    assert len(names) > 20 and sorted(names) == sorted(set(names))


def test_no_bundled_folder_imports_training_conversion_or_vlahub():
    for path in code_files():
        for _, module, _ in imports(ast.parse(path.read_text())):
            assert not {"training", "conversion", "vlahub"} & set((module or "").split(".")), f"{path.name}: {module}"


# Files that both lines of transformers read


@pytest.mark.parametrize("resaved", [False, True])
def test_processor_files_are_those_that_both_lines_read(family, resaved, checkpoint, fresh):
    folder = fresh["resaved"] if resaved else checkpoint
    tokenizer, image, processor = (
        json.loads((folder / f"{name}_config.json").read_text()) for name in ("tokenizer", "preprocessor", "processor")
    )
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert tokenizer["processor_class"] == f"{family.prefix}Processor" == processor["processor_class"]
    assert image["image_processor_type"] == f"{family.prefix}ImageProcessor"
    for settings in (image, processor):
        assert settings["auto_map"]["AutoProcessor"] == f"processing_{family.suffix}.{family.prefix}Processor"
    if family.unnorm_key:
        assert list(processor["norm_stats"]) == [family.unnorm_key]
    assert (folder / "tokenizer.json").exists()


def test_the_public_names_exist():
    assert [name for name in vlahub.__all__ if not hasattr(vlahub, name)] == []
