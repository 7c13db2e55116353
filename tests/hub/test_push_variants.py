"""Every variant makes the round trip by its own methods: pushed to a Hub, and loaded by name, the same."""

from pathlib import Path

import pytest
from model_variants import VARIANTS

TESTS = Path(__file__).parents[1]
ROUND_TRIP = """
import sys
sys.path.insert(0, tests)
import torch, transformers
from model_variants import VARIANTS
import vlahub

variant, place = VARIANTS[name], f"user/{name}"
model, inputs = variant.model(), variant.prediction()
model.push_to_hub(place, private=private)
again = vlahub.AutoModelForVision2Seq.from_pretrained(place, dtype=torch.float32).eval()
config = transformers.AutoConfig.from_pretrained(place)
result = {
    "kind": type(again) is variant.kind and type(config) is variant.kind.config_class,
    "weights": all(torch.equal(value, model.state_dict()[key]) for key, value in again.state_dict().items()),
    "actions": torch.equal(variant.predict(again, inputs), variant.predict(model, inputs)),
    "stays": [name for name, value in again.named_parameters() if value.is_meta],
}
"""


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_pushed_is_what_is_loaded_by_name(hub, pusher, name):
    result = pusher(ROUND_TRIP, tests=str(TESTS), name=name, private=name == "openvla")
    assert result == {"kind": True, "weights": True, "actions": True, "stays": []}
    files = hub.repositories[f"user/{name}"].at("main").files
    assert {"config.json", "model.safetensors", "README.md"} <= files.keys()
    assert not [file for file in files if file.endswith((".bin", ".pt", ".pkl"))]
    assert any(file.startswith("modeling_") for file in files)


REPLACED = """
import sys
sys.path.insert(0, tests)
import torch
from huggingface_hub import HfApi
from model_variants import VARIANTS
import vlahub

model, place = VARIANTS[name].model(), "user/replaced"
adapter = b'{"peft_type": "LORA", "base_model_name_or_path": "user/another"}'
result = []
for value, size in enumerate(["5GB", "60KB", "5GB"]):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    if result:
        HfApi().upload_file(
            repo_id=place, path_or_fileobj=adapter, path_in_repo="adapter_config.json", revision=revision
        )
    model.push_to_hub(place, max_shard_size=size, revision=revision)
    again = vlahub.AutoModelForVision2Seq.from_pretrained(place, revision=revision)
    result.append(all((parameter == value).all().item() for parameter in again.parameters()))
"""


@pytest.mark.newest
@pytest.mark.parametrize("revision", [None, "branch"])
def test_what_is_pushed_is_loaded_though_other_files_held_weights_before(hub, pusher, revision):
    name = next(iter(VARIANTS))
    assert pusher(REPLACED, tests=str(TESTS), name=name, revision=revision) == [True] * 3
    files = hub.repositories["user/replaced"].at(revision or "main").files
    assert [file for file in files if "safetensors" in file] == ["model.safetensors"]


TWO_SETS = """
import sys, tempfile
sys.path.insert(0, tests)
from huggingface_hub import HfApi
from model_variants import VARIANTS
import vlahub

model, names = VARIANTS[name].model(), ["model.safetensors", "model.safetensors.index.json"]
if variant:
    names = ["model.fp16.safetensors", "model.safetensors.index.fp16.json"]
with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
    model.save_pretrained(first, variant=variant)
    model.save_pretrained(second, max_shard_size="60KB", variant=variant)
    HfApi().create_repo("user/two", exist_ok=True)
    for folder, kept in ((first, names[:1]), (second, names[1:] + ["config.json", "*-of-*"])):
        HfApi().upload_folder(repo_id="user/two", folder_path=folder, allow_patterns=kept, path_in_repo=subfolder)
"""
LOADED = """
import vlahub
kwargs = {"subfolder": subfolder} if subfolder else {}
result = type(vlahub.AutoModelForVision2Seq.from_pretrained("user/two", variant=variant, **kwargs)).__name__
"""


@pytest.mark.newest
@pytest.mark.parametrize(("variant", "subfolder"), [(None, None), ("fp16", None), (None, "inside")])
def test_a_repository_of_two_sets_of_weights_is_refused(hub, pusher, failed, variant, subfolder):
    given = {"variant": variant, "subfolder": subfolder}
    pusher(TWO_SETS, tests=str(TESTS), name=next(iter(VARIANTS)), **given)
    with pytest.raises(failed, match=r"CheckpointError: user/two holds weights twice, in .*safetensors and in"):
        pusher(LOADED, **given)
    files = hub.repositories["user/two"].at("main").files
    (whole,) = (file for file in files if file.endswith("safetensors") and "-of-" not in file)
    pusher("HfApi().delete_file(whole, 'user/two')", whole=whole)
    assert pusher(LOADED, **given) == VARIANTS[next(iter(VARIANTS))].kind.__name__


ADAPTER_BESIDE = """
import sys
sys.path.insert(0, tests)
from huggingface_hub import HfApi
from model_variants import VARIANTS

place = f"user/{name}-beside"
VARIANTS[name].model().push_to_hub(place)
adapter = b'{"peft_type": "LORA", "base_model_name_or_path": "user/another"}'
HfApi().upload_file(repo_id=place, path_or_fileobj=adapter, path_in_repo="adapter_config.json")
VARIANTS[name].kind.from_pretrained(place)
"""


def test_an_adapter_beside_the_model_of_a_repository_is_refused(hub, pusher, failed):
    given = {"tests": str(TESTS), "name": next(iter(VARIANTS))}
    with pytest.raises(failed, match=r"CheckpointError: user/\S+ holds an adapter .* weights of a model \(model.safet"):
        pusher(ADAPTER_BESIDE, **given)


PROPOSED = """
import sys
sys.path.insert(0, tests)
from model_variants import VARIANTS

model, place = VARIANTS[name].model(), "user/proposed"
model.push_to_hub(place, max_shard_size="60KB")
result = model.push_to_hub(place, create_pr=True).pr_revision
"""


def test_a_pull_request_takes_its_own_weights_away_and_leaves_those_of_main(hub, pusher):
    revision = pusher(PROPOSED, tests=str(TESTS), name=next(iter(VARIANTS)))
    main, proposed = (hub.repositories["user/proposed"].at(place).files for place in ("main", revision))
    assert "model.safetensors.index.json" in main and "model.safetensors" not in main
    assert [file for file in proposed if "safetensors" in file] == ["model.safetensors"]


OF_A_REVISION = """
import sys, tempfile
sys.path.insert(0, tests)
import torch
from huggingface_hub import HfApi
from model_variants import VARIANTS
import vlahub

variant, place, api = VARIANTS[name], "user/revised", HfApi()
model = variant.model()
for revision, value in (("v1", 1.0), (None, 2.0)):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    model.config.num_inference_steps = int(value)
    model.push_to_hub(place, revision=revision)
model.add_adapter(vlahub.lora_config(model, 2, 4))
(config,) = model.peft_config.values()
config.base_model_name_or_path, config.revision = place, "v1"
with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder)
    api.create_repo("user/adapter-of-v1", exist_ok=True)
    api.upload_folder(repo_id="user/adapter-of-v1", folder_path=folder)
result = []
for kind in (variant.kind, vlahub.AutoModelForVision2Seq):
    again = kind.from_pretrained("user/adapter-of-v1", dtype=torch.float32)
    frozen = [value for key, value in again.named_parameters() if "base_layer" in key]
    result.append([all((value == 1.0).all().item() for value in frozen), again.config.num_inference_steps])
"""


@pytest.mark.newest
@pytest.mark.usefixtures("adapters_of_transformers")
def test_the_base_of_an_adapter_has_the_revision_that_the_adapter_names(hub, pusher):
    assert pusher(OF_A_REVISION, tests=str(TESTS), name="composed-flow") == [[True, 1]] * 2
