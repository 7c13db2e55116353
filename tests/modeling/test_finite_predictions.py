"""A prediction of any family and head is finite, or an error that says what is not."""

import numpy as np
import pytest
import torch
from host_waits import HostWaits
from PIL import Image
from transformers import AutoProcessor

from vlahub import (
    MapAnythingLlava3DConfig,
    MapAnythingLlava3DForConditionalGeneration,
    MultimodalVLAConfig,
    MultimodalVLAForActionPrediction,
)
from vlahub.conversion.cli import main
from vlahub.errors import ConfigError, InputError, NonFiniteError
from vlahub.modeling.finite_predictions import is_whole, require_finite
from vlahub.modeling.input_checks import check_rows

NAN = float("nan")
COGVLA = {
    "l1": {"action_head": "l1"},
    "diffusion": {"action_head": "diffusion"},
    "discrete": {"action_head": "discrete"},
    "token by token": {"action_head": "discrete", "action_attention": "causal"},
}
BLOCK = {"intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TOWER = {"hidden_size": 16, **BLOCK, "image_size": 28, "patch_size": 14}
STATE = {"q01": [-1.0] * 2, "q99": [1.0] * 2}
COMPOSED = {
    "action_dim": 3,
    "num_action_chunks": 2,
    "num_action_bins": 16,
    "use_proprio": True,
    "proprio_dim": 2,
    "text_config": {"model_type": "llama", "hidden_size": 16, **BLOCK, "vocab_size": 40},
    "vision_config": {"model_type": "siglip_vision_model", **TOWER},
    "norm_stats": {
        "a": {"action": {"q01": [-1.0] * 3, "q99": [1.0] * 3, "mask": [True, True, False]}, "proprio": STATE}
    },
    "expert_config": {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 1},
    "num_inference_steps": 2,
}
LLAVA3D = {
    "vision_config": TOWER,
    "text_config": {"hidden_size": 16, **BLOCK, "vocab_size": 40},
    "use_geometric_branch": False,
    "image_token_id": 39,
    "action_dim": 3,
    "action_horizon": 2,
    "use_state": True,
    "state_dim": 2,
    "num_inference_steps": 2,
    "norm_stats": {"a": {"action": {"q01": [-1.0] * 3, "q99": [1.0] * 3}, "state": STATE}},
}
DIT = {"attention_head_dim": 8, "num_future_tokens": 2, "mlp_hidden_dim": 8, "dropout": 0.0}
CASES = [
    *(("cogvla", head) for head in COGVLA),
    *(("composed", head) for head in ("mlp", "flow", "discrete")),
    *(("llava3d", kind) for kind in ("deep_fusion", "dit", "deep_fusion+dit")),
]
every_head = pytest.mark.parametrize("case", CASES, ids=" ".join)


@pytest.fixture
def made(tiny_model, tiny_batch, randomized):
    """`made(("cogvla", "l1"))` -> a model and the arguments of a prediction for two samples."""

    def cogvla(head):
        model = tiny_model(**COGVLA[head])
        return model, tiny_batch(model.config, lengths=(5, 7)).prediction((0, 1))

    def composed(head):
        model = MultimodalVLAForActionPrediction(MultimodalVLAConfig(**COMPOSED, action_head=head))
        noise = {"noise": torch.randn(2, 2, 3)} if head == "flow" else {}
        ids = torch.tensor([[1, 5, 6], [1, 7, 8]])
        return randomized(model).eval(), {
            "input_ids": ids,
            "pixel_values": torch.randn(2, 3, 28, 28),
            "state": torch.randn(2, 2),
            **noise,
        }

    def llava3d(kind):
        config = MapAnythingLlava3DConfig(**LLAVA3D, action_expert_type=kind, dit_config=DIT)
        model = randomized(MapAnythingLlava3DForConditionalGeneration(config)).eval()
        ids = torch.tensor([[1, 39, 39, 39, 39, 5], [1, 39, 39, 39, 39, 7]])
        inputs = {"input_ids": ids, "pixel_values": torch.randn(2, 1, 3, 28, 28), "state": torch.randn(2, 2)}
        return model, inputs | {"noise": torch.randn(2, 2, 3)}

    def make(case):
        torch.manual_seed(0)
        return {"cogvla": cogvla, "composed": composed, "llava3d": llava3d}[case[0]](case[1])

    return make


def with_value(tensor, value, row=1):
    changed = tensor.clone()
    changed[row].view(-1)[0] = value
    return changed


@every_head
def test_each_weight_that_is_nan_is_an_error_that_names_it(case, made):
    model, inputs = made(case)
    wanted = model.predict_action(**inputs)
    for name, parameter in list(model.named_parameters())[:: 1 + len(list(model.parameters())) // 12]:
        kept = parameter.detach().clone()
        parameter.data.view(-1)[-1] = NAN
        with pytest.raises(NonFiniteError, match=f"computed from.* {name}"):
            model.predict_action(**inputs)
        parameter.data.copy_(kept)
    assert torch.equal(model.predict_action(**inputs), wanted)


@pytest.mark.slow
@every_head
def test_each_parameter_that_is_not_finite_is_an_error_that_names_it_or_has_no_part(case, made):
    model, inputs = made(case)
    wanted, silent = model.predict_action(**inputs), set()
    for number, (name, parameter) in enumerate(model.named_parameters()):
        for value in (NAN, float("inf"), -float("inf")):
            place = parameter.data.view(-1)[number % parameter.numel()]
            kept = place.clone()
            place.fill_(value)
            try:
                assert torch.equal(model.predict_action(**inputs), wanted)
                silent.add(name)
            except NonFiniteError as error:
                assert name in str(error)
            place.copy_(kept)
    has_other_head = case[0] == "cogvla" and model.config.action_head != "discrete"
    assert silent == ({"language_model.lm_head.weight"} if has_other_head else set())


@every_head
@pytest.mark.parametrize("value", [NAN, float("inf")], ids=["nan", "inf"])
def test_what_is_not_finite_is_named_with_its_rows(case, value, made):
    model, inputs = made(case)
    for name in ("pixel_values", "proprio", "state", "noise"):
        if name not in inputs:
            continue
        with pytest.raises(NonFiniteError, match=f"computed from.* {name}") as raised:
            model.predict_action(**{**inputs, name: with_value(inputs[name], value)})
        assert "rows [1] of the batch" in str(raised.value) and "rows [0" not in str(raised.value)
        others = {"pixel_values", "proprio", "state", "noise"} - {name}
        sources = str(raised.value).rpartition("computed from: ")[2]
        assert not any(other in sources for other in others)
    assert model.predict_action(**inputs).isfinite().all()


@every_head
def test_statistics_that_are_not_finite_are_named(case, made):
    model, inputs = made(case)
    statistics = next(iter(model.config.norm_stats.values()))["action"]
    statistics["q99"] = [NAN, *statistics["q99"][1:]]
    with pytest.raises(NonFiniteError, match=r"statistics\['q99'\]"):
        model.predict_action(**inputs)
    if "mask" in statistics:  # a dimension that is left out needs none
        statistics["q99"] = [1.0, 1.0, NAN]
        assert model.predict_action(**inputs).isfinite().all()


FURTHER = {
    "names": {"names": ["x", "y", "z"]},
    "a count of frames": {"count": [1234]},
    "a mask of numpy": {"mask": np.array([True, True, False])},
    "statistics of numpy": {"q01": np.full(3, -1.0), "q99": np.ones(3)},
}


@pytest.mark.parametrize("further", FURTHER)
@every_head
def test_what_statistics_hold_beside_those_that_are_read_hides_no_error(case, further, made):
    model, inputs = made(case)
    statistics = next(iter(model.config.norm_stats.values()))["action"]
    size = len(statistics["q01"])
    statistics |= {k: v if k == "count" else np.resize(v, size) for k, v in FURTHER[further].items()}
    spoilt = {**inputs, "pixel_values": with_value(inputs["pixel_values"], NAN)}
    with pytest.raises(NonFiniteError, match=r"computed from.* pixel_values") as raised:
        model.predict_action(**spoilt)
    assert "statistics" not in str(raised.value)
    statistics["q99"] = np.array([NAN, *statistics["q99"][1:]])
    with pytest.raises(NonFiniteError, match=r"statistics\['q99'\]"):
        model.predict_action(**inputs)


@every_head
def test_a_normalisation_whose_statistics_are_missing_is_named(case, made):
    model, inputs = made(case)
    for edited, message in (("bounds", r"'bounds' needs min and max.*lack min, max.*q01"), ("other", "unknown")):
        model.config.normalization_type = edited
        with pytest.raises(ConfigError, match=message):
            model.predict_action(**inputs)


@every_head
def test_the_check_can_be_left_out(case, made):
    model, inputs = made(case)
    assert not model.predict_action(
        **{**inputs, "pixel_values": with_value(inputs["pixel_values"], NAN)}, check_finite=False
    )[1].isfinite().all() or case[1] in ("discrete", "token by token")


def test_noise_that_a_diffusion_step_would_clip_is_an_error(made):
    model, inputs = made(("cogvla", "diffusion"))
    model.action_head.model.fc2.bias.data.fill_(float("inf"))
    with pytest.raises(NonFiniteError, match="predicted noise"):
        model.predict_action(**inputs)


@pytest.mark.parametrize(
    ("head", "part", "name"),
    [
        ("diffusion", "action_head", "predicted noise"),
        ("discrete", "language_model.lm_head", "logits"),
        ("token by token", "language_model.lm_head", "logits"),
    ],
)
def test_one_sample_of_several_that_is_not_finite_is_an_error_that_names_its_row(head, part, name, made):
    model, inputs = made(("cogvla", head))
    calls = []

    def spoil(module, arguments, found):
        calls.append(found)
        if len(calls) == (1 if head == "discrete" else 2):
            found[-1, 0, 0] = NAN

    model.get_submodule(part).register_forward_hook(spoil)
    with pytest.raises(NonFiniteError, match=rf"{name} \(rows \[1\] of the batch\)"):
        model.predict_action(**inputs | {"num_samples": 2, "noise": None})
    assert all(len(found) == (2 if head == "discrete" else 4) for found in calls)


def test_grounding_scores_are_checked(randomized):
    text = {"hidden_size": 16, **BLOCK, "vocab_size": 40, "max_position_embeddings": 8, "projection_size": 16}
    vision = {"model_type": "siglip", "text_config": text, "vision_config": TOWER}
    model = randomized(MultimodalVLAForActionPrediction(MultimodalVLAConfig(**{**COMPOSED, "vision_config": vision})))
    pixels, ids = torch.randn(2, 3, 28, 28), torch.tensor([[1, 2], [3, 4]])
    assert model.grounding_score(pixels, ids).isfinite().all()
    with pytest.raises(NonFiniteError, match=r"scores \(rows \[1\] .*pixel_values"):
        model.grounding_score(with_value(pixels, NAN), ids)
    with pytest.raises(InputError, match="spatial_shape is no argument of this model"):
        model.grounding_score(pixels, ids, spatial_shape=torch.ones(1, 2))
    assert not model.grounding_score(with_value(pixels, NAN), ids, check_finite=False).isfinite().all()


def scene_arguments(family, views, folder):
    """Of `vlahub predict`."""
    paths = [folder / f"{i}.png" for i in range(len(views))]
    for path, view in zip(paths, views, strict=True):
        Image.fromarray(view).save(path)
    common = ["--images", *map(str, paths), "--output", str(folder / "out.json")]
    if family.unnorm_key:
        return [*common, "--instruction", "Put the red block on the tray"]
    xyz = np.linspace(-8, 0, 16)[:, None] * [1, 0, 0]
    np.savez(folder / "scene.npz", ego_history_xyz=xyz, ego_history_rot=np.tile(np.eye(3), (16, 1, 1)))
    return [*common, "--history", str(folder / "scene.npz"), "--max-new-tokens", "2", "--num-traj-samples", "1"]


def test_every_family_ends_with_the_check_and_the_command_with_exit_1(
    family, family_checkpoint, family_call, tmp_path, capsys
):
    processor = AutoProcessor.from_pretrained(family_checkpoint)
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32).eval()
    views = np.random.RandomState(0).randint(0, 256, (2, 40, 40, 3)).astype(np.uint8)
    assert family_call(model, processor, views).isfinite().all()
    name, last = list(model.named_parameters())[-1]
    last.data.fill_(NAN)
    with pytest.raises(NonFiniteError, match=name):
        family_call(model, processor, views)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert main(["predict", str(tmp_path), *scene_arguments(family, views, tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "NaN or infinite" in error and "Traceback" not in error
    assert not (tmp_path / "out.json").exists()


def test_a_device_is_asked_once_whatever_there_is_to_look_at():
    tensors = {name: torch.ones(2, 3) for name in "abcd"} | {"flags": torch.tensor([True, True])}
    inputs = {"pixel_values": torch.ones(9, dtype=torch.bfloat16), "state": None, "noise": torch.ones(1).double()}
    model, real = torch.nn.Linear(2, 2), torch.tensor([[1, 1], [1, 0]])
    with HostWaits() as waits:
        whole = is_whole(tensors, inputs, real)
    assert whole and not waits.found
    with HostWaits() as waits:
        require_finite(model, tensors, inputs, real=real)
        require_finite(model, tensors, inputs, real=real, whole=whole)
    assert waits.found == {"_local_scalar_dense": 2}


@pytest.mark.parametrize("spoilt", ["output", "flags", "input", "row"])
def test_what_a_core_found_ends_a_prediction_with_the_same_message(spoilt):
    outputs, inputs = {"actions": torch.ones(2, 3), "logits": torch.ones(2, dtype=torch.bool)}, {"state": torch.ones(2)}
    real = torch.tensor([[1, 1], [1, 0]])
    at = {"output": outputs["actions"], "flags": outputs["logits"], "input": inputs["state"], "row": real}[spoilt]
    at[1] = {"flags": False, "row": 0}.get(spoilt, -float("inf"))
    said = {"output": r"actions \(rows \[1\]", "flags": r"logits \(rows \[1\]", "input": "from: state", "row": "row 1"}
    whole = is_whole(outputs, inputs, real)
    for known in (None, whole):
        with pytest.raises(InputError if spoilt == "row" else NonFiniteError, match=said[spoilt]):
            require_finite(torch.nn.Identity(), outputs, inputs, real=real, whole=known)


@pytest.mark.parametrize("what", ["input", "weight"])
def test_a_compiled_prediction_holds_the_check_in_its_one_graph(what):
    layer = torch.nn.Linear(3, 2)

    @torch.no_grad()
    def predict(x):
        actions = layer(x)
        require_finite(layer, {"actions": actions}, {"x": x})
        return actions

    compiled, x = torch.compile(predict, backend="eager", fullgraph=True), torch.randn(2, 3)
    assert torch.equal(compiled(x), predict(x))
    (x if what == "input" else layer.weight.data)[0, 0] = NAN
    try:
        with pytest.raises(RuntimeError, match="NaN or infinite: call predict_action uncompiled"):
            compiled(x)
    finally:
        torch.set_grad_enabled(True)  # torch leaves it off behind a compiled function that raised


@pytest.mark.parametrize("text", [torch.tensor([[1, 1], [0, 0]]), torch.tensor([[1, 1], [1, 0]])])
def test_a_compiled_prediction_refuses_rows_that_are_too_short(text):
    compiled = torch.compile(lambda mask: check_rows(mask, least=2) or mask, backend="eager", fullgraph=True)
    compiled(torch.ones_like(text))
    with pytest.raises(RuntimeError, match="row of padding alone, or too short for a prompt"):
        compiled(text)


# ---- the text of a driving model


@pytest.fixture(scope="module")
def driving(golden):
    """An Alpamayo-R1 and a scene of the golden case, twice."""
    from vlahub import AlpamayoR1, AlpamayoR1Config

    case = golden("alpamayo/alpamayo_expert_step")
    fields = dict(case.config)
    config = AlpamayoR1Config(vlm_config=fields.pop("vlm"), **fields.pop("expect"), **fields, pad_token_id=300)
    model = AlpamayoR1(config).eval()
    model.load_state_dict(case.state(), strict=True)
    names = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw", "ego_history_xyz", "ego_history_rot")
    scene = {name: torch.cat([case.input(name)] * 2) for name in names}
    options = {"num_traj_samples": 2, "num_inference_steps": 2, "max_new_tokens": 3, "noise": torch.randn(4, 64, 2)}
    return model, scene, options


WEIGHTS = ("vlm.lm_head.weight", "vlm.model.visual.patch_embed.proj.bias", "expert.norm.weight", "action_out_proj.bias")


@pytest.mark.parametrize("top_k", [1, None])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_nan_end_a_drive_with_the_error_and_not_within_the_text(driving, name, top_k):
    model, scene, options = driving
    parameter = model.get_parameter(name)
    kept = parameter.detach().clone()
    parameter.data.view(-1)[0] = NAN
    try:
        with pytest.raises(NonFiniteError, match=name) as raised:
            model.sample_trajectories(**scene, **options, top_k=top_k)
        assert ("logits of the text" in str(raised.value)) == name.startswith("vlm")
        model.sample_trajectories(**scene, **options, top_k=top_k, check_finite=False)
    finally:
        parameter.data.copy_(kept)


def test_one_text_of_several_that_is_not_finite_ends_a_drive_with_the_row_of_its_prompt(driving):
    model, scene, options = driving
    spoil = torch.zeros(4, 1, dtype=torch.bool)
    spoil[3] = True  # the second sample of the second prompt

    def spoilt(_, arguments, logits):
        return logits.masked_fill(spoil, NAN) if len(logits) == len(spoil) else logits

    hook = model.vlm.lm_head.register_forward_hook(spoilt)
    try:
        with pytest.raises(NonFiniteError, match=r"logits of the text \(rows \[1\]"):
            model.sample_trajectories(**scene, **options, top_k=1)
    finally:
        hook.remove()


@pytest.mark.parametrize("left", [float("-inf"), NAN])
def test_a_processor_that_leaves_no_token_ends_a_drive_with_the_rows(driving, left):
    model, scene, options = driving

    def emptied(_, scores):
        return scores.index_fill(0, torch.tensor([2]), left)  # the first sample of the second prompt

    with pytest.raises(NonFiniteError, match=r"logits of the text \(rows \[1\]"):
        model.sample_trajectories(**scene, **options, logits_processor=[emptied])


def test_a_scene_that_is_not_finite_is_named_by_its_row_under_each_name_of_the_method(driving):
    model, scene, options = driving
    half = len(scene["pixel_values"]) // 2
    pixels = with_value(scene["pixel_values"], NAN, row=half)
    with pytest.raises(NonFiniteError, match=r"pred_xyz \(rows \[1\] of the batch.*from: pixel_values"):
        model.sample_trajectories(**{**scene, "pixel_values": pixels}, **options)
    with pytest.raises(NonFiniteError, match=r"actions \(rows \[1\].*from: noise"):
        model.sample_trajectories(**scene, **{**options, "noise": with_value(options["noise"], NAN, row=3)})
    poses = {name: scene[name] for name in scene if name.startswith("ego")}
    tokenized = {name: scene[name] for name in scene if name not in poses} | {"pixel_values": pixels}
    call = model.sample_trajectories_from_data_with_vlm_rollout
    with pytest.raises(NonFiniteError, match="pixel_values"):
        call({"tokenized_data": tokenized, **poses}, num_traj_samples=1, max_generation_length=2)
    xyz, _ = call(
        {"tokenized_data": tokenized, **poses}, num_traj_samples=1, max_generation_length=2, check_finite=False
    )
    assert xyz[0].isfinite().all() and not xyz[1].isfinite().all()
