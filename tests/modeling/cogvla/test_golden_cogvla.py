"""The published models' own numbers (tests/golden/cogvla and openvla), through conversion, loading and prediction.

Weights are not stored: each follows from its published key, its shape, a mean and a standard deviation.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import FOLDER, draw, expanded
from safetensors.numpy import save_file
from traced_graphs import TracedGraph

from vlahub import CogVLAForActionPrediction
from vlahub.conversion.cli import main
from vlahub.modeling.fast_prediction import FastPrediction

PREDICTIONS = [
    "cogvla/full_3img",
    "cogvla/full_1img_discrete",
    "cogvla/full_8layer_linear",
    "cogvla/film_noaggr_concat",
    "openvla/oft_l1_2img_proprio",
    "openvla/oft_diffusion",
    "openvla/oft_film_1img_discrete",
    "openvla/openvla_greedy",
]
IMPLEMENTATIONS = ["sdpa", "eager"]
LFP_FIELDS = ("use_lfp", "lfp_type", "lfp_average_factor", "lfp_enable_film")
OPENVLA_FIELDS = (
    "timm_model_ids",
    "image_sizes",
    "n_action_bins",
    "pad_to_multiple_of",
    "pad_token_id",
    "norm_stats",
    "vision_aggregate_type",
    "num_vision_aggr",
    "use_aggr",
    "use_film",
)


def case_of(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def published_state(case):
    return {key: draw(key, *spec) for pattern, spec in case["state"].items() for key in expanded(pattern)}


def published_config(golden):
    """The config.json that upstream writes, with the sizes of the tiny towers in `timm_kwargs`."""
    return {
        "model_type": "openvla",
        "architectures": ["OpenVLAForActionPrediction"],
        "use_fused_vision_backbone": True,
        "timm_kwargs": golden["timm_overrides"],
        "text_config": {"model_type": "llama", **golden["text_config"], **present(golden, LFP_FIELDS)},
        **present(golden, OPENVLA_FIELDS),
    }


def present(golden, names):
    return {name: golden[name] for name in names if golden.get(name) is not None}


def convert_options(golden):
    options = {"--num-diffusion-steps": golden["num_diffusion_steps"], "--decoding": golden.get("decoding")}
    options = {name: value for name, value in options.items() if value is not None}
    if golden.get("family") != "openvla":  # plain OpenVLA: one image, one action, percentiles
        options |= {
            "--num-images": golden["num_images_in_input"],
            "--num-action-chunks": golden["NUM_ACTIONS_CHUNK"],
            "--action-dim": golden["ACTION_DIM"],
            "--normalization": golden["normalization"],
        }
    return [str(part) for option in options.items() for part in option]


def golden_input(case, name):
    spec = case["inputs"].get(name)
    if spec is None:
        return None
    if "values" in spec:
        return torch.tensor(spec["values"]).view(spec["shape"])
    return torch.from_numpy(draw(f"input.{name}", spec["shape"], spec["mean"], spec["std"]))


def assert_golden(actual, case, name):
    """Within the case's tolerance, at the sampled positions where only these are stored."""
    golden = case["outputs"][name]
    assert actual.numel() == np.prod(golden["shape"])
    values = actual.detach().flatten().double()
    if "index" in golden:
        values = values[golden["index"]]
    wanted = torch.tensor(golden["values"], dtype=torch.float64).flatten()
    torch.testing.assert_close(values, wanted, **case["tolerance"], msg=lambda text: f"{name}: {text}")


def assert_golden_kept(kept, case):
    ratios = {name: spec for name, spec in case["outputs"].items() if name.endswith(".kept")}
    assert sorted(ratios) == sorted(f"lfp.layer_{layer}.kept" for layer in kept)
    for layer, indices in kept.items():
        assert indices.flatten().tolist() == ratios[f"lfp.layer_{layer}.kept"]["values"], f"layer {layer}"


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Folder of a case's checkpoint after `vlahub convert`, made once for each case."""
    folders = {}

    def make(name):
        if name not in folders:
            case, root = case_of(name), tmp_path_factory.mktemp(Path(name).name)
            source, target = root / "published", root / "converted"
            source.mkdir()
            save_file(published_state(case), source / "model.safetensors")
            (source / "config.json").write_text(json.dumps(published_config(case["config"])), encoding="utf-8")
            options = [*convert_options(case["config"]), "--dtype", "float32", "--quiet"]
            assert main(["convert", str(source), str(target), *options]) == 0
            folders[name] = target
        return folders[name]

    return make


def check_prediction(model, case):
    proprio = golden_input(case, "proprio")
    output = model.predict_action(
        golden_input(case, "input_ids"),
        golden_input(case, "pixel_values"),
        golden_input(case, "attention_mask"),
        proprio=None if proprio is None else proprio.view(1, -1),
        unnorm_key=case["config"]["unnorm_key"],
        noise=golden_input(case, "noise"),
        num_inference_steps=case["config"].get("num_inference_steps"),
        return_dict=True,
    )

    assert_golden(output.action_hidden_states, case, "action_hidden_states")
    assert_golden(output.normalized_actions, case, "normalized_actions")
    assert_golden(output.actions, case, "actions")
    assert_golden_kept(output.kept_vision_tokens, case)
    if case["config"].get("vision_aggregate_type") == "moe":
        assert_golden(output.moe_ratios, case, "moe.ratios")
    if "predicted_token_ids" in case["outputs"]:
        assert output.predicted_token_ids.flatten().tolist() == case["outputs"]["predicted_token_ids"]["values"]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_converted_checkpoint_predicts_the_published_actions(name, implementation, converted):
    case = case_of(name)
    model = CogVLAForActionPrediction.from_pretrained(
        converted(name), dtype=torch.float32, attn_implementation=implementation
    )
    check_prediction(model, case)
    model.enable_fast_prediction()
    check_prediction(model, case)
    assert model.fast_prediction_stats.eager_reasons == {"no graphs on cpu": 1}
    model.fast_prediction = FastPrediction(model, {}, TracedGraph)
    check_prediction(model, case)
    assert model.fast_prediction_stats.replays == 1


@pytest.mark.inductor
@pytest.mark.slow
@pytest.mark.parametrize("name", ["openvla/openvla_greedy", "cogvla/full_3img"])
def test_a_compiled_checkpoint_predicts_the_published_actions(name, converted):
    model = CogVLAForActionPrediction.from_pretrained(converted(name), dtype=torch.float32)
    model.enable_fast_prediction(mode="compile")
    check_prediction(model, case_of(name))
    assert model.fast_prediction_stats.replays == 1
    torch._dynamo.reset()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_converted_checkpoint_reproduces_the_published_training_forward(implementation, converted):
    case = case_of("cogvla/train_forward")
    model = CogVLAForActionPrediction.from_pretrained(
        converted("cogvla/train_forward"), dtype=torch.float32, attn_implementation=implementation
    )
    model.config.language_mean = "padded"
    with torch.no_grad():
        output = model(
            golden_input(case, "input_ids"),
            golden_input(case, "pixel_values"),
            golden_input(case, "attention_mask"),
            labels=golden_input(case, "labels"),
            actions=torch.stack([golden_input(case, f"actions.{i}") for i in range(2)]),
            proprio=golden_input(case, "proprio"),
        )

    assert_golden(output.lm_loss, case, "loss")
    assert_golden(output.action_loss, case, "l1_loss")
    assert_golden(output.predictions, case, "predicted_actions")
    assert_golden(output.moe_ratios, case, "moe.ratios")
    assert_golden_kept(output.kept_vision_tokens, case)
    for sample, states in enumerate(output.action_hidden_states):
        assert_golden(states, case, f"action_hidden_states.{sample}")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_converted_openvla_oft_reproduces_the_published_training_forward(implementation, converted):
    name = "openvla/oft_train_padded"
    case = case_of(name)
    model = CogVLAForActionPrediction.from_pretrained(
        converted(name), dtype=torch.float32, attn_implementation=implementation
    )
    names = ("input_ids", "pixel_values", "attention_mask", "labels", "actions", "proprio")
    with torch.no_grad():
        output = model(**{name: golden_input(case, name) for name in names})

    assert_golden(output.lm_loss, case, "lm_loss")
    assert_golden(output.action_loss, case, "l1_loss")
    assert_golden(output.predictions, case, "predicted_actions")
    assert_golden(output.action_hidden_states, case, "action_hidden_states")


@pytest.mark.parametrize("name", ["cogvla/full_3img", "cogvla/full_8layer_linear"])
def test_the_converted_config_has_the_published_pruning_schedule(name, converted):
    case = case_of(name)
    ratios = CogVLAForActionPrediction.config_class.from_pretrained(converted(name)).lfp_keep_ratios
    assert list(ratios) == case["outputs"]["lfp.layers"]["values"]
    np.testing.assert_allclose(list(ratios.values()), case["outputs"]["lfp.ratios"]["values"], atol=1e-7)


def test_padding_moves_the_published_training_forward_but_not_ours(converted):
    """The one published result that is not the default: its mean text embedding counts padding."""
    case = case_of("cogvla/train_forward")
    model = CogVLAForActionPrediction.from_pretrained(converted("cogvla/train_forward"), dtype=torch.float32)
    inputs = [golden_input(case, name) for name in ("input_ids", "pixel_values", "attention_mask")]
    proprio = golden_input(case, "proprio")
    length = int(inputs[2][1].sum())
    alone = [inputs[0][1:, :length], inputs[1][1:], inputs[2][1:, :length]]
    assert length < inputs[0].shape[1]

    def shift(language_mean):
        model.config.language_mean = language_mean
        with torch.no_grad():
            batch, single = model(*inputs, proprio=proprio), model(*alone, proprio=proprio[1:])
        return (batch.predictions[1] - single.predictions[0]).abs().max()

    assert shift("masked") < 1e-4
    assert shift("padded") > 0.1
