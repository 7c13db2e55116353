"""What is passed to processors and models of every family works, or ends in one sentence that says what to do."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.hooks import AlignDevicesHook, ModelHook, SequentialHook
from model_variants import VARIANTS
from torch._subclasses.fake_tensor import FakeTensorMode

from vlahub.errors import InputError
from vlahub.modeling.input_checks import (
    check_ids,
    check_inputs,
    check_length,
    check_patches,
    check_rows,
    check_tensor,
    execution_device,
    is_same_device,
    model_device,
    views_of,
)

VIEWS = list(np.random.RandomState(0).randint(0, 256, (2, 40, 48, 3)).astype(np.uint8))
STEPS = np.linspace(-8, 0, 16)
PATH = {
    "ego_history_xyz": np.stack([STEPS, 0 * STEPS, 0 * STEPS], axis=-1).astype(np.float32),
    "ego_history_rot": np.tile(np.eye(3, dtype=np.float32), (16, 1, 1)),
}
SURROGATE = "pick\ud800 up"
robots = pytest.mark.parametrize("family", ["cogvla", "mapanything_llava3d", "multimodal_vla"], indirect=True)


@pytest.fixture(scope="module")
def loaded(family, family_checkpoint):
    """Model and processor; `prepare(**changes)` gives a prediction's arguments, `predict(inputs)` its actions."""
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32).eval()
    processor = family.processor.from_pretrained(family_checkpoint)
    robot = family.unnorm_key is not None
    arguments = {"images": VIEWS, "text": "Put the red block"} | ({"state": [0.1] * 8} if robot else PATH)

    def predict(inputs, **more):
        torch.manual_seed(0)
        if robot:
            return model.predict_action(**inputs, **more)
        return model.sample_trajectories(**inputs, num_traj_samples=1, top_k=1, max_new_tokens=2, **more).actions

    return SimpleNamespace(
        model=model,
        processor=processor,
        robot=robot,
        prepare=lambda **changes: processor(**{**arguments, **changes}),
        predict=predict,
    )


# Processors


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text": 5}, r"text is a int \(5\); a string, or for a batch a list of strings"),
        ({"text": []}, r"text is a list \(\[\]\)"),
        ({"text": ["go", None]}, "text is a list"),
        ({"text": SURROGATE}, r"text holds '\\ud800' at place 4, half of a character"),
        ({"text": [SURROGATE]}, r"(text\[0\] holds '\\ud800'|images holds 2 samples)"),
        ({"return_tensors": "tf"}, "return_tensors='tf' is unknown; choose from 'pt'"),
        ({"images": None}, "NoneType"),
        ({"images": "front.png"}, r"(got|holds a) str"),
    ],
)
def test_a_processor_says_what_is_wrong(loaded, changes, words):
    with pytest.raises(InputError, match=words):
        loaded.prepare(**changes)


@robots
def test_a_missing_text_is_named(loaded):
    with pytest.raises(InputError, match="text is None; a string"):
        loaded.prepare(text=None)


@robots
def test_a_list_of_one_text_wants_a_list_of_one_sample(loaded):
    for images in (VIEWS, {"primary": VIEWS[0], "wrist": VIEWS[1]}):
        with pytest.raises(InputError, match=r"(images holds 2 samples, text 1;|images is a dict; for a list)"):
            loaded.prepare(text=["go"], images=images)


@robots
def test_text_and_images_in_the_order_of_openvla(loaded):
    wanted = loaded.prepare()
    state = {"state": [0.1] * 8}
    swapped = loaded.processor("Put the red block", VIEWS, **state)
    batch = loaded.processor(["Put the red block"], [VIEWS], **state)
    for name, value in wanted.items():
        assert torch.equal(swapped[name], value) and torch.equal(batch[name], value), name


def test_gradients_of_a_state_or_path_stay_behind(loaded):
    names = ["state"] if loaded.robot else list(PATH)
    given = {"state": np.full(8, 0.1, np.float32)} if loaded.robot else PATH
    tensors = {name: torch.tensor(given[name], requires_grad=True) for name in names}
    found, wanted = loaded.prepare(**tensors), loaded.prepare(**given)
    for name, value in wanted.items():
        assert torch.equal(found[name], value) and not found[name].requires_grad, name


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_that_are_not_finite_are_refused(loaded, value):
    name = "state" if loaded.robot else "ego_history_xyz"
    given = np.array([0.1] * 8 if loaded.robot else PATH[name], dtype=np.float64)
    given[..., -1] = value
    with pytest.raises(InputError, match=f"{name} holds values that are not finite"):
        loaded.prepare(**{name: given})


# Models


@pytest.mark.parametrize("name", ["input_ids", "attention_mask", "pixel_values"])
@pytest.mark.parametrize("form", [np.asarray, lambda value: value.tolist()], ids=["numpy", "list"])
def test_a_model_wants_tensors(loaded, name, form):
    inputs = loaded.prepare()
    inputs[name] = form(inputs[name])
    kind = type(inputs[name]).__name__
    with pytest.raises(InputError, match=rf"{name} is a {kind}; a torch tensor is needed \(return_tensors='pt'\)"):
        loaded.predict(inputs)
    with pytest.raises(InputError, match=f"{name} is a {kind}"):
        loaded.model(**inputs)


@pytest.mark.parametrize("name", ["input_ids", "attention_mask", "pixel_values"])
def test_inputs_on_another_device_are_named_with_both(loaded, name):
    inputs = loaded.prepare()
    inputs[name] = inputs[name].to("meta")
    with pytest.raises(InputError, match=rf"{name} is on meta, the model on cpu: use \.to\('cpu'\)"):
        loaded.predict(inputs)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("input_ids", lambda x: x.float(), r"input_ids is torch\.float32; token ids are whole numbers"),
        ("input_ids", lambda x: x[0], r"input_ids has shape \(\d+,\)"),
        ("input_ids", lambda x: x[:, :0], r"input_ids has shape \(1, 0\)"),
        (
            "input_ids",
            lambda x: torch.cat([x[:, :-1], x[:, -1:] + 10**6], 1),
            r"input_ids\[0, \d+\] is 100\d+;",
        ),
        ("input_ids", lambda x: torch.cat([x[:, :-1], -1 - 0 * x[:, -1:]], 1), r"input_ids\[0, \d+\] is -1; the model"),
        ("pixel_values", lambda x: x.to(torch.uint8), r"pixel_values is torch\.uint8; floating point"),
        ("pixel_values", lambda x: x[:0], r"pixel_values has shape \(0, .*without a single number"),
        ("attention_mask", lambda x: x[:, 1:], r"attention_mask has shape"),
        ("attention_mask", lambda x: torch.cat([x, x]), r"attention_mask has shape"),
        ("attention_mask", lambda x: 0 * x, "attention_mask has a row of padding alone: row 0"),
    ],
)
def test_a_model_says_what_is_wrong(loaded, name, change, words):
    inputs = loaded.prepare()
    inputs[name] = change(inputs[name])
    with pytest.raises(InputError, match=words):
        loaded.predict(inputs)
    with pytest.raises(InputError, match=words if name != "attention_mask" else f"({words}|real tokens)"):
        loaded.model(**inputs)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ids: ids[:, 1:], r"labels is torch.int64 of shape \(1, \d+\); token ids \(1, \d+\) are needed"),
        (lambda ids: ids.float(), r"labels is torch.float32 of shape"),
        (lambda ids: ids[0], r"labels is torch.int64 of shape \(\d+,\)"),
        (lambda ids: ids.tolist(), "labels is a list; a torch tensor is needed"),
    ],
    ids=["short", "float", "flat", "list"],
)
def test_labels_of_another_form_are_refused(loaded, change, words):
    inputs = loaded.prepare()
    with pytest.raises(InputError, match=words):
        loaded.model(**inputs, labels=change(inputs["input_ids"]))


def test_a_row_of_padding_is_named_in_a_batch(loaded):
    inputs = {name: torch.cat([value, value]) for name, value in loaded.prepare().items()}
    loaded.predict(inputs)
    inputs["attention_mask"][1] = 0
    with pytest.raises(InputError, match=r"padding alone: row 1|row 1 has 0 real tokens"):
        loaded.predict(inputs)


@robots
def test_a_batch_of_images_or_states_of_another_size_is_refused(loaded):
    for name in ("pixel_values", "proprio", "state"):
        inputs = loaded.prepare()
        if name in inputs:
            inputs[name] = torch.cat([inputs[name]] * 2)
            with pytest.raises(InputError, match=r"(has shape|samples)"):
                loaded.predict(inputs)


@pytest.mark.parametrize("family", ["alpamayo_r1"], indirect=True)
@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("pixel_values", lambda x: None, "pixel_values is missing, image_grid_thw was given"),
        ("image_grid_thw", lambda x: None, "image_grid_thw is missing, pixel_values was given"),
        (
            "pixel_values",
            lambda x: torch.cat([x, x]),
            r"pixel_values has shape \(\d+, 1536\), but the images .* have \d+",
        ),
        (
            "image_grid_thw",
            lambda x: x[:1],
            r"pixel_values has shape \(\d+, 1536\), but the images .* have \d+ patches",
        ),
        ("pixel_values", lambda x: x[:-1], r"pixel_values has shape \(\d+, 1536\), but the images .* have \d+ patches"),
        ("image_grid_thw", lambda x: x.tolist(), "image_grid_thw is a list; a torch tensor is needed"),
        ("image_grid_thw", lambda x: x.float(), r"image_grid_thw is torch\.float32 of shape"),
        ("image_grid_thw", lambda x: x.to("meta"), r"image_grid_thw is on meta"),
        ("image_grid_thw", lambda x: x[0], r"image_grid_thw is torch\.int64 of shape \(3,\)"),
    ],
)
def test_patches_and_their_grid_fit_each_other(loaded, name, change, words):
    inputs = loaded.prepare()
    inputs[name] = change(inputs[name])
    with pytest.raises(InputError, match=words):
        loaded.predict(inputs)
    with pytest.raises(InputError, match=words):
        loaded.model(**inputs)


@robots
def test_a_model_takes_the_state_by_its_published_name_but_not_by_both(loaded):
    inputs = loaded.prepare()
    renamed = {"proprio" if name == "state" else name: value for name, value in inputs.items()}
    assert torch.equal(loaded.predict(renamed), loaded.predict(inputs))
    actions = torch.zeros(1, loaded.model.config.num_action_chunks, loaded.model.config.action_dim)
    losses = []
    for given in (inputs, renamed):
        torch.manual_seed(0)
        losses.append(loaded.model(**given, actions=actions).loss)
    assert torch.equal(*losses)
    for call in (loaded.predict, lambda given: loaded.model(**given, actions=actions)):
        with pytest.raises(InputError, match="state and proprio are two names of one argument"):
            call({**inputs, **renamed})


@pytest.mark.parametrize("family", ["cogvla", "mapanything_llava3d"], indirect=True)
def test_text_is_written_with_the_state_under_either_name(loaded):
    inputs = loaded.prepare()
    renamed = {"proprio" if name == "state" else name: value for name, value in inputs.items()}
    found = [loaded.model.generate(**given, max_new_tokens=3, do_sample=False) for given in (inputs, renamed)]
    assert torch.equal(*found)
    with pytest.raises(InputError, match="state and proprio are two names of one argument"):
        loaded.model.generate(**inputs, proprio=inputs["state"], max_new_tokens=3)


@robots
@pytest.mark.parametrize("key", [["demo_tabletop"], 5])
def test_a_key_of_statistics_that_is_no_text_is_named(loaded, key):
    with pytest.raises(InputError, match=r"unnorm_key=.* is unknown; choices: demo_tabletop"):
        loaded.predict(loaded.prepare(), unnorm_key=key)


@robots
def test_do_sample_of_openvlas_readme(loaded):
    inputs = loaded.prepare()
    assert torch.equal(loaded.predict(inputs, do_sample=False), loaded.predict(inputs))
    with pytest.raises(InputError, match="do_sample=True: predict_action gives the model's best actions"):
        loaded.predict(inputs, do_sample=True)


def test_a_prompt_beyond_the_positions_is_refused_with_both_numbers(loaded):
    inputs, config = loaded.prepare(), loaded.model.config
    text = getattr(config, "text_part", None) or getattr(config, "text_config", None) or config.vlm_config.text_config
    limit, length = text.max_position_embeddings, inputs["input_ids"].shape[1]
    text.max_position_embeddings = length
    try:
        with pytest.raises(InputError, match=rf"the sequence has \d+ places .* only {length} positions"):
            loaded.predict(inputs)
    finally:
        text.max_position_embeddings = limit
    loaded.predict(inputs)


def test_the_last_position_counts():
    check_length({"text": 6, "action": 4}, 10)
    check_length({"text": 6}, None)
    with pytest.raises(InputError, match=r"11 places \(7 text, 4 action\), but the language model only 10 positions"):
        check_length({"text": 7, "action": 4, "state": 0}, 10)


# Rows that are too short, wherever the model is


@pytest.mark.parametrize("family", ["cogvla"], indirect=True)
def test_a_row_of_padding_does_not_reach_a_devices_index_check(loaded, monkeypatch):
    """On a device the mask is read at the end; until then nothing may index with -1."""
    from vlahub.modeling.cogvla.action_sequence import right_padded, with_action_block, with_prompt_end

    inputs = loaded.prepare()
    real, ids = right_padded(0 * inputs["attention_mask"], inputs["input_ids"])
    ids, real = with_prompt_end(ids, real, loaded.model.config.prompt_end_token_id)
    sequence = with_action_block(ids, real, loaded.model.config.num_action_tokens, 2)
    assert sequence.last_prompt.min() >= 0


@pytest.mark.parametrize("family", ["cogvla"], indirect=True)
def test_a_row_without_room_for_its_actions_is_refused_in_training(loaded):
    inputs = copy.copy(loaded.prepare())
    needed = loaded.model.config.num_action_tokens + 2
    inputs["input_ids"] = inputs["input_ids"][:, :1].expand(-1, needed - 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with pytest.raises(InputError, match=f"row 0 has {needed - 1} real tokens.* at least {needed}"):
        loaded.model(**inputs)


def test_a_row_with_as_many_tokens_as_are_needed_is_long_enough():
    real = torch.tensor([[1, 1, 1], [0, 1, 1]])
    check_rows(real, least=2)
    with pytest.raises(InputError, match="row 1 has 2 real tokens by attention_mask; a prompt needs at least 3"):
        check_rows(real, least=3)


# Whatever the family


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input_ids": torch.ones(2, 3).bool()}, r"input_ids is torch\.bool; token ids are whole numbers"),
        ({"input_ids": torch.ones(2, 3).cfloat()}, r"input_ids is torch\.complex64; token ids are whole numbers"),
        (
            {"attention_mask": torch.zeros(2, 7)},
            r"attention_mask is torch\.float32; .* is it one that is added to scor",
        ),
        ({"attention_mask": torch.ones(2, 3).long()}, r"input_ids \(2, 3\) behind 4 cached tokens; \(2, 7\) is needed"),
        ({"num_cached": 0}, r"attention_mask has shape \(2, 7\), input_ids \(2, 3\); \(2, 3\) is needed"),
        ({"input_ids": torch.ones(2, 3, 1).long()}, r"input_ids has shape \(2, 3, 1\); \(batch, length\)"),
    ],
)
def test_ids_and_mask_fit_each_other_and_what_is_cached(change, words):
    right = {"input_ids": torch.ones(2, 3).long(), "attention_mask": torch.ones(2, 7).long(), "num_cached": 4}
    check_inputs(torch.nn.Linear(1, 1), **right)
    with pytest.raises(InputError, match=words):
        check_inputs(torch.nn.Linear(1, 1), **{**right, **change})


def test_inputs_go_where_weights_are_that_are_not_offloaded():
    away, here = torch.nn.Linear(2, 2, device="meta"), torch.nn.Linear(2, 2)
    model = torch.nn.Sequential(away, here)
    assert model_device(model) == torch.device("cpu")
    here.to("meta")
    assert model_device(model) is None


def test_inputs_go_where_the_hooks_put_those_of_the_model():
    """Its first weights may lie elsewhere: on the second card, say."""
    away, here = torch.nn.Linear(2, 2, device="meta"), torch.nn.Linear(2, 2)
    model = torch.nn.Sequential(away, here)
    here._hf_hook = SequentialHook(ModelHook(), AlignDevicesHook("cuda:1"))
    assert model_device(model) == torch.device("cuda:1")
    model._hf_hook = AlignDevicesHook("cuda:0", io_same_device=True)
    assert model_device(model) == execution_device(model) == torch.device("cuda:0")
    model._hf_hook = AlignDevicesHook(None)
    assert model_device(model) == torch.device("cuda:1")
    with pytest.raises(InputError, match=r"input_ids is on cpu, the model on cuda:1: use \.to\('cuda:1'\)"):
        check_tensor("input_ids", torch.ones(1, 2), model_device(model))


def test_any_card_is_that_of_a_hook_which_has_its_kind_alone():
    """accelerate's hooks have what `device_map="cuda"` says; tensors that went there name their card."""
    model = torch.nn.Linear(2, 2)
    model._hf_hook = AlignDevicesHook("cuda")
    assert model_device(model) == torch.device("cuda")
    with FakeTensorMode():
        check_tensor("input_ids", torch.ones(1, 2, device="cuda:0"), model_device(model))
    for device, wanted, found in (("cpu", "cuda", False), ("cuda:1", "cuda:0", False), ("cuda:1", "cuda:1", True)):
        assert is_same_device(torch.device(device), torch.device(wanted)) is found


def test_modules_are_not_gone_through_for_each_input_of_a_model_without_hooks(monkeypatch):
    model = torch.nn.Linear(2, 2)
    monkeypatch.setattr(torch.nn.Module, "modules", lambda *_: pytest.fail("in a prediction"))
    assert model_device(model) == torch.device("cpu")
    model._hf_hook = AlignDevicesHook("cuda:1")
    with pytest.raises(pytest.fail.Exception):
        model_device(model)


def test_a_model_in_shards_says_where_its_inputs_go():
    shard = torch.nn.Parameter(torch.ones(1))
    shard.placements = ()  # as FSDP's tensors have
    model = torch.nn.ParameterList([shard])
    assert model_device(model) is None


def test_a_grid_is_read_on_the_host_wherever_patches_and_ids_are():
    patches, grid = torch.empty(4, 3, device="meta"), torch.tensor([[1, 2, 2]])
    check_patches(patches, grid)
    check_patches(patches, grid.to("meta"), on_host=grid)
    check_ids(torch.ones(1, 2, dtype=torch.long, device="meta"), torch.nn.Embedding(5, 2))
    with pytest.raises(InputError, match="the images of image_grid_thw have 4 patches"):
        check_patches(patches[:3], grid)
    with pytest.raises(InputError, match=r"image_grid_thw is torch\.int64 of shape \(1, 2\)"):
        check_patches(patches, grid[:, 1:])


def test_views_are_a_dimension_between_batch_and_channels():
    assert views_of(torch.ones(2, 3, 5, 4)).shape == (2, 1, 3, 5, 4) and views_of(torch.ones(2, 6, 3, 5, 4)).dim() == 5
    for shape in ((3, 5, 4), (1, 2, 6, 3, 5, 4), (2, 6, 5, 4)):
        with pytest.raises(InputError, match=r"pixel_values has shape .*; \(batch, views, 3, height, width\)"):
            views_of(torch.ones(shape))


def test_the_last_embedding_has_an_id_and_there_is_none_behind_it():
    embeddings = torch.nn.Embedding(5, 2)
    check_ids(torch.tensor([[0, 4], [4, 1]]), embeddings)
    with pytest.raises(InputError, match=r"input_ids\[0, 1\] is -1; the model has embeddings of 0 to 4"):
        check_ids(torch.tensor([[0, -1], [4, 1]]), embeddings)
    with pytest.raises(InputError, match=r"input_ids\[1, 0\] is 5; the model has embeddings of 0 to 4"):
        check_ids(torch.tensor([[0, 4], [5, 1]]), embeddings)


WITHOUT_FLOW = ("composed-mlp", "composed-discrete-late", "vlm-llava-late", "cogvla", "cogvla-discrete", "openvla")


@pytest.mark.parametrize("name", WITHOUT_FLOW)
def test_a_head_that_begins_with_no_noise_refuses_what_belongs_to_it(name):
    variant = VARIANTS[name]
    model, inputs, batch = variant.model(), variant.prediction(), variant.training()
    noise = torch.zeros(2, model.config.num_action_chunks, model.config.action_dim)
    steps = {"num_inference_steps": 3} | ({"num_steps": 3} if variant.family == "multimodal_vla" else {})
    time = {"time": torch.rand(2)} if variant.family == "multimodal_vla" else {"timesteps": torch.zeros(2).long()}
    for calls, given, options in ((model.predict_action, inputs, steps), (model, batch, time)):
        for option, value in (options | {"noise": noise}).items():
            with pytest.raises(
                InputError, match=f"^{option}[= 3]* was given, but action_head='{model.config.action_head}'"
            ):
                calls(**given, **{option: value})
