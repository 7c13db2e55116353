"""Models, configs and processors go to other processes: pickle, `torch.save`, deep copies, and a spawned worker."""

import copy
import io
import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

VIEWS = np.random.RandomState(0).randint(0, 255, (2, 60, 80, 3), dtype=np.uint8)


def through_torch(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


WAYS = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "torch.save": through_torch,
    "deepcopy": copy.deepcopy,
}


@pytest.fixture(scope="module", params=["installed", "from the checkpoint"])
def loaded(request, family, family_checkpoint):
    """Model and processor: of the installed package, and of the code that the checkpoint brings."""
    if request.param == "installed":
        return family.model.from_pretrained(family_checkpoint), family.processor.from_pretrained(family_checkpoint)
    config = family.config.from_pretrained(family_checkpoint)
    classes = {
        name: transformers.dynamic_module_utils.get_class_from_dynamic_module(config.auto_map[name], family_checkpoint)
        for name in ("AutoConfig", "AutoModel")
    }
    classes["AutoModel"] = transformers.models.auto.auto_factory.add_generation_mixin_to_remote_model(
        classes["AutoModel"]  # as `AutoModel` does with a class that it loads from a checkpoint
    )
    config = classes["AutoConfig"].from_pretrained(family_checkpoint)
    return classes["AutoModel"].from_pretrained(family_checkpoint, config=config), None


def test_a_token_for_the_hub_goes_nowhere(family, family_checkpoint, tmp_path):
    secret = "hf_secret_of_nobody"
    model = family.model.from_pretrained(family_checkpoint, token=secret)
    processor = family.processor.from_pretrained(family_checkpoint, token=secret)
    for part in (model, processor):
        assert secret.encode() not in pickle.dumps(part)
        part.save_pretrained(tmp_path)
    assert not [path.name for path in tmp_path.iterdir() if secret.encode() in path.read_bytes()]


@pytest.mark.newest
@pytest.mark.parametrize("way", WAYS)
def test_a_model_and_what_belongs_to_it_arrive_whole(loaded, way):
    model, processor = loaded
    found = WAYS[way](model)
    assert type(found) is type(model) and not found.training
    state = found.state_dict()
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert WAYS[way](model.config).to_dict() == model.config.to_dict()
    if processor is not None:
        assert WAYS[way](processor).to_dict() == processor.to_dict()


def test_a_copy_predicts_the_same(loaded, family_call):
    model, processor = loaded
    if processor is None:
        pytest.skip("the same as of the installed package")
    found = pickle.loads(pickle.dumps(model))
    torch.testing.assert_close(family_call(found, processor, VIEWS), family_call(model, processor, VIEWS))


def parameters_in_worker(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_a_spawned_process_gets_the_model(family, family_checkpoint):
    if family.model_name != "AlpamayoR1":
        pytest.skip("one family will do: starting a process takes seconds")
    model = family.model.from_pretrained(family_checkpoint)
    data = pickle.dumps(model)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(pickle.loads, (data,))
    assert parameters_in_worker(found) == parameters_in_worker(model)


def test_a_saved_file_is_loaded_as_a_trainer_does_that_resumes(family, family_checkpoint):
    """By `load_state_dict` without strictness, which would leave weights of other names as they are."""
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    saved = load_file(Path(family_checkpoint) / "model.safetensors")
    wanted = {name: parameter.clone() for name, parameter in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    result = model.load_state_dict(saved, strict=False)
    assert result.unexpected_keys == []
    assert [name for name, parameter in model.named_parameters() if not torch.equal(parameter, wanted[name])] == []
