"""Code that checkpoints bring, beside other such code: of two families in one process, of two releases, in a race."""

import json
import os
import re
import shutil
import tempfile

import numpy as np
import pytest
from families import FAMILIES
from fresh_python import FreshPython

# Loads checkpoints one after the other, then predicts with each in turn; without vlahub.
TOGETHER = """
import json, sys
sys.modules["vlahub"] = None
import numpy as np, torch, transformers
torch.set_num_threads(1)
views, jobs = json.loads(sys.argv[1])
views, loaded, result = np.load(views), [], []
for folder, call in jobs:
    model = transformers.AutoModel.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32)
    loaded.append((model, transformers.AutoProcessor.from_pretrained(folder, trust_remote_code=True), call))
for model, processor, call in loaded:
    scope = {"np": np}
    exec(call, scope)
    inputs = scope["prepare"](processor, views)
    torch.manual_seed(0)
    result.append(scope["predict"](model, inputs).flatten().tolist())
print("RESULT" + json.dumps(result))
"""


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    path = tmp_path_factory.mktemp("views") / "views.npy"
    np.save(path, np.random.RandomState(0).randint(0, 255, (2, 60, 80, 3), dtype=np.uint8))
    return str(path)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """`{family: folder}` of two families, whose folders have the same name."""
    names = ("mapanything_llava3d", "multimodal_vla")
    return {name: FAMILIES[name].make(tmp_path_factory.mktemp(name) / "policy") for name in names}


def started(home, views, *jobs):
    """A process of its own that loads (folder, call) pairs, and where it prints; home: of its caches."""
    home.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "HF_MODULES_CACHE": str(home / "modules")}
    arguments = json.dumps([views, [(str(folder), call) for folder, call in jobs]])
    printed = tempfile.TemporaryFile()  # noqa: SIM115 (`answer` closes it)
    with open(os.devnull) as nothing:
        process = FreshPython(["-I", "-c", TOGETHER, arguments], environment, home, nothing, printed, printed)
    return process, printed


def answer(started):
    process, printed = started
    with printed:
        code = process.wait(300)
        printed.seek(0)
        text = printed.read().decode()
    assert code == 0, text[-3000:]
    return json.loads(text.split("RESULT")[1].splitlines()[0])


def alone(home, views, folder, call):
    return answer(started(home, views, (folder, call)))[0]


def of_another_release(folder, target):
    """The same checkpoint with code that adds one to every action, and the mark of a release (`mark_of`) with it."""
    shutil.copytree(folder, target)
    path = target / "modeling_multimodal_vla.py"
    code = path.read_text().replace("            return found.actions\n", "            return found.actions + 1\n")
    assert code != path.read_text()
    path.write_text(code)
    path = target / "configuration_multimodal_vla.py"
    text, marks = re.subn(r"(?<=taken for it: )\w{64}", "0" * 64, path.read_text())
    assert marks == 1
    path.write_text(text)
    return target


@pytest.mark.slow
def test_two_families_in_one_process_are_each_as_alone(checkpoints, views, tmp_path):
    jobs = [(folder, FAMILIES[name].call) for name, folder in checkpoints.items()]
    together = answer(started(tmp_path / "together", views, *jobs))
    wanted = [alone(tmp_path / f"alone-{i}", views, *job) for i, job in enumerate(jobs)]
    assert [np.allclose(one, other, atol=5e-5) for one, other in zip(together, wanted, strict=True)] == [True, True]


@pytest.mark.slow
def test_two_releases_of_one_family_in_one_process_are_each_its_own(checkpoints, views, tmp_path):
    """In folders of the same name, whichever is loaded first; and again from a cache that holds the other's code."""
    own, call = checkpoints["multimodal_vla"], FAMILIES["multimodal_vla"].call
    other = of_another_release(own, tmp_path / own.name)
    found = answer(started(tmp_path / "home", views, (own, call), (other, call)))
    np.testing.assert_allclose(found[1], np.array(found[0]) + 1, atol=5e-5)
    again = answer(started(tmp_path / "home", views, (other, call), (own, call)))
    np.testing.assert_allclose(again, found[::-1], atol=5e-5)


@pytest.mark.slow
def test_three_processes_fill_an_empty_cache_at_once(checkpoints, views, tmp_path):
    job = checkpoints["multimodal_vla"], FAMILIES["multimodal_vla"].call
    processes = [started(tmp_path / "shared", views, job) for _ in range(3)]
    found = [answer(process)[0] for process in processes]
    wanted = alone(tmp_path / "alone", views, *job)
    assert all(np.allclose(one, wanted, atol=5e-5) for one in found)
