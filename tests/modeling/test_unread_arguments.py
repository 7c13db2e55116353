"""What says how actions are sampled, or how images lie, to a model that does not read it is refused by its name."""

import json

import pytest
import torch
from model_variants import VARIANTS

from vlahub.errors import ConfigError, InputError

SAMPLING = {"num_inference_steps": 2, "ode_solver": "heun", "ode_spacing": "cosine"}
OF_FILES = ("architectures", "auto_map", "model_type", "transformers_version")
PROMPT = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")
AT_ONCE = ("cogvla", "cogvla-discrete", "openvla", "composed-mlp", "composed-discrete-late", "vlm-qwen-mlp")


@pytest.mark.parametrize("name", AT_ONCE)
def test_fields_of_sampling_are_refused_for_a_head_that_makes_actions_at_once(name, tmp_path):
    variant = VARIANTS[name]
    model = variant.model()
    model.save_pretrained(tmp_path)
    for field, value in SAMPLING.items():
        with pytest.raises(ConfigError, match=field):
            variant.kind.config_class.from_pretrained(tmp_path, **{field: value})
        if variant.family != "cogvla" or field == "num_inference_steps":
            with pytest.raises(InputError, match=field):
                model.predict_action(**variant.prediction(), **{field: value})


@pytest.mark.parametrize("name", ["cogvla", "cogvla-discrete", "openvla"])
def test_they_are_refused_in_a_constructor_and_in_a_file_too(name, tmp_path):
    variant = VARIANTS[name]
    kind, config = variant.kind.config_class, variant.make()
    config.save_pretrained(tmp_path)
    assert kind.from_pretrained(tmp_path).sampling_defaults == {"num_inference_steps": None}
    fields = json.loads((tmp_path / "config.json").read_text())
    for field in kind.sampling_defaults:
        for word in (field, *(word for word, key in kind.attribute_map.items() if key == field)):
            changed = {key: value for key, value in fields.items() if key != field} | {word: SAMPLING[field]}
            with pytest.raises(ConfigError, match=f"{field}={SAMPLING[field]!r} has no effect with action_head="):
                kind(**{key: value for key, value in changed.items() if key not in OF_FILES})
            (tmp_path / "config.json").write_text(json.dumps(changed))
            with pytest.raises(ConfigError, match=f"{field}={SAMPLING[field]!r} has no effect with action_head="):
                kind.from_pretrained(tmp_path)


def test_a_head_that_takes_the_place_of_one_that_samples_leaves_its_fields_behind(tmp_path):
    config = VARIANTS["cogvla-diffusion"].make()
    config.num_inference_steps = 2
    config.save_pretrained(tmp_path)
    kind = type(config)
    assert kind.from_pretrained(tmp_path).num_inference_steps == 2
    assert kind.from_pretrained(tmp_path, action_head="l1").num_inference_steps is None
    with pytest.raises(ConfigError, match="num_inference_steps=2 has no effect"):
        kind.from_pretrained(tmp_path, action_head="l1", num_inference_steps=2)


@pytest.mark.parametrize("name", ["cogvla-diffusion", "llava3d-flow", "composed-flow", "alpamayo-r1"])
def test_fields_of_sampling_are_read_for_a_head_that_samples(name, tmp_path):
    variant = VARIANTS[name]
    variant.make().save_pretrained(tmp_path)
    for field, value in SAMPLING.items():
        if name != "cogvla-diffusion" or field == "num_inference_steps":
            found = variant.kind.config_class.from_pretrained(tmp_path, **{field: value})
            assert getattr(found, field) == value


@pytest.mark.parametrize("name", ["composed-mlp", "composed-two-towers", "vlm-paligemma-flow"])
def test_a_grid_of_patches_is_refused_where_pictures_are_no_patches(name):
    variant = VARIANTS[name]
    model, grid = variant.model(), torch.tensor([[1, 4, 4]] * 2)
    with pytest.raises(InputError, match="image_grid_thw is no argument of this model"):
        model.predict_action(**variant.prediction(), image_grid_thw=grid)
    with pytest.raises(InputError, match="image_grid_thw is no argument of this model"):
        model(**variant.training(), image_grid_thw=grid)


OF_OTHERS = {
    **{"state": torch.zeros(2, 3), "proprio": torch.zeros(2, 3), "actions": torch.zeros(2, 4, 2), "embodiment_id": 1},
    **{"unnorm_key": "a", "num_samples": 2, "advantage": "positive", "pixel_attention_mask": torch.ones(2, 4)},
}


@pytest.fixture(scope="module")
def driver():
    """An Alpamayo-R1 with the arguments of its prediction, and of a question."""
    variant = VARIANTS["alpamayo-r1"]
    given = variant.prediction()
    scene = {name: given[name] for name in (*PROMPT, "ego_history_xyz", "ego_history_rot") if name in given}
    return variant.model(), given, scene, {"input_ids": torch.randint(3, 39, (2, 6))}


@pytest.mark.parametrize("name", OF_OTHERS)
def test_an_argument_of_another_family_is_refused_in_every_call_of_alpamayo(driver, name):
    model, given, scene, question = driver
    other = {name: OF_OTHERS[name]}
    with pytest.raises(TypeError, match=name):
        model.sample_trajectories(**given, **other)
    with pytest.raises(TypeError, match=name):
        model.write_trajectories(**scene, **other)
    with pytest.raises(TypeError, match=name):
        model(**VARIANTS["alpamayo-r1"].training(), **other)
    with pytest.raises(ValueError, match=name):
        model.generate(**question, max_new_tokens=1, **other)
    for call in (model.sample_trajectories_from_data_with_vlm_rollout, model.generate_text):
        for data in (scene | other, {"tokenized_data": question | other} | scene):
            with pytest.raises(InputError, match=f"{name} is nothing that this model reads of a prompt"):
                call(data)


def test_what_a_dataset_holds_beside_its_prompt_is_left_alone_as_published(driver):
    model, _, scene, _ = driver
    prompt = {name: scene[name] for name in PROMPT if name in scene}
    poses = {name: value for name, value in scene.items() if name not in prompt}
    call = model.sample_trajectories_from_data_with_vlm_rollout
    options = {"num_traj_samples": 1, "max_generation_length": 1}
    call({"tokenized_data": prompt, **poses, "image_frames": None, "clip_id": "a", "t0_us": 1}, **options)
    call(scene, **options)


def test_the_path_just_driven_is_read_beside_the_prompt_or_inside_of_it_and_once(driver):
    model, _, scene, _ = driver
    prompt = {name: scene[name] for name in PROMPT if name in scene}
    poses = {name: value for name, value in scene.items() if name not in prompt}
    options = {"num_traj_samples": 1, "top_k": 1, "max_generation_length": 1}

    def call(data):
        return model.sample_trajectories_from_data_with_vlm_rollout(data, **options)[0]

    torch.manual_seed(0)
    wanted = call({"tokenized_data": prompt, **poses})
    for data in ({"tokenized_data": scene}, {"tokenized_data": scene, **poses}):
        torch.manual_seed(0)
        assert torch.equal(call(data), wanted)
    name = "ego_history_xyz"
    with pytest.raises(InputError, match=f"data holds {name} twice, with other numbers"):
        call({"tokenized_data": scene, **poses, name: poses[name] + 1})
    torch.manual_seed(0)
    assert torch.equal(call({"tokenized_data": scene, name: None}), wanted)
    with pytest.raises(InputError, match="data holds pixel_values twice, with other numbers"):
        call({"tokenized_data": scene, "pixel_values": scene["pixel_values"] + 1})
    with pytest.raises(InputError, match=f"data lacks {name}, the path just driven"):
        call({"tokenized_data": prompt, "ego_history_rot": poses["ego_history_rot"]})
