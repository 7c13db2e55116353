"""A run that the published code trained, merged and ran: ours gives the published actions.

The golden file holds no weights: each follows from its name. A row is a key (`#` is the number of a block or layer,
from the range at the end), the name that its formula takes, dtype, shape, mean and standard deviation.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from vlahub import CogVLAForActionPrediction, CogVLAImageProcessor
from vlahub.conversion.cli import merge_lora_main
from vlahub.modeling.action_normalization import normalize

GOLDEN = Path(__file__).parents[2] / "golden"


def formula(name, dtype, shape, mean, std):
    draw = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    return torch.from_numpy(np.asarray(mean + std * draw, dtype=np.float32)).to(getattr(torch, dtype))


def tensors_of(rows):
    tensors = {}
    for key, name, dtype, shape, mean, std, numbers in rows:
        for i in range(numbers[0], numbers[1] + 1) if numbers else [0]:
            value = formula(name.replace("#", str(i)), dtype, tuple(shape), mean, std)
            tensors[key.replace("#", str(i))] = value
    return tensors


@pytest.fixture(scope="module")
def case():
    return json.loads((GOLDEN / "cogvla_merged_run.json").read_text())


@pytest.fixture(scope="module")
def run_folder(case, tmp_path_factory):
    """Base and run as the published training left them, but for the tokenizer."""
    folder = tmp_path_factory.mktemp("published")
    weight_map = {}
    for name, rows in case["weights"].items():
        path, tensors = folder / name, tensors_of(rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(tensors, path) if path.suffix == ".pt" else save_file(tensors, path, {"format": "pt"})
        if name.startswith("base/"):
            weight_map |= dict.fromkeys(tensors, path.name)
    files = {
        "base/model.safetensors.index.json": {"weight_map": weight_map},
        "base/config.json": case["base_config"],
        "base/preprocessor_config.json": case["preprocessor_config"],
        "run/config.json": case["base_config"] | case["run_config"],
        "run/dataset_statistics.json": case["dataset_statistics"],
        "run/lora_adapter/adapter_config.json": case["adapter_config"],
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def predict(case, folder, dtype):
    """The published observation through a merged checkpoint."""
    model = CogVLAForActionPrediction.from_pretrained(folder, dtype=dtype)
    request = case["request"]
    views = [Image.open(GOLDEN / "cogvla_run_images" / f"{name}.png") for name in request["images"]]
    pixel_values = CogVLAImageProcessor.from_pretrained(folder).preprocess(views, return_tensors="pt")["pixel_values"]
    statistics = model.config.norm_stats[request["unnorm_key"]]["proprio"]
    proprio = normalize(torch.tensor([request["state"]]), statistics, "bounds_q99")
    torch.testing.assert_close(proprio[0].tolist(), case["outputs"]["proprio_normalized"]["values"], rtol=0, atol=1e-6)
    return model.predict_action(
        input_ids=torch.tensor([case["outputs"]["input_ids"]["values"]]),
        pixel_values=pixel_values,
        proprio=proprio,
        unnorm_key=request["unnorm_key"],
        return_dict=True,
    )


def merge(run_folder, output, *options):
    sources = ["--base", str(run_folder / "base"), "--adapter", str(run_folder / "run"), "--output", str(output)]
    return merge_lora_main([*sources, "--num-images", "2", "--platform", "libero", "--quiet", *options])


def test_the_merged_run_predicts_the_published_actions(case, run_folder, tmp_path):
    assert merge(run_folder, tmp_path / "out", "--dtype", "float32") == 0
    found, expected = predict(case, tmp_path / "out", torch.float32), case["outputs"]
    for name in ("actions", "normalized_actions"):
        wanted = torch.tensor(expected[name]["values"]).view(1, 8, 7)
        torch.testing.assert_close(found[name], wanted, **case["tolerance"])
    for layer, kept in found.kept_vision_tokens.items():
        assert kept.flatten().tolist() == expected[f"lfp.layer_{layer}.kept"]["values"]
    assert sorted(found.kept_vision_tokens) == [3, 4, 5, 6, 7]


def test_merged_in_bfloat16_it_stays_as_near_as_the_published_merge(case, run_folder, tmp_path):
    assert merge(run_folder, tmp_path / "out") == 0
    found = predict(case, tmp_path / "out", torch.bfloat16).actions
    wanted = torch.tensor(case["outputs_bf16"]["actions"]["values"]).view(1, 8, 7)
    torch.testing.assert_close(found, wanted, **case["tolerance_bf16"])
