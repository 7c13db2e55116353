"""CogVLAProcessor: prompts, images and state become the arguments of `predict_action`, or a named error."""

import copy
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import PreTrainedTokenizerFast

from vlahub import CogVLAImageProcessor, CogVLAProcessor
from vlahub.errors import ConfigError, InputError

EXAMPLE = Path(__file__).parents[3] / "examples" / "tiny_run.py"
BOS, SPACE, PAD = 1, 259, 32000
INSTRUCTION = "Pick up the RED Bowl"


def load_tiny_run():
    spec = importlib.util.spec_from_file_location("tiny_run", EXAMPLE)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def token(character):
    """The id of a character in the tokenizer of the tiny runs."""
    if character == " ":
        return SPACE
    return 3 + ord(character) if character == "\n" else 260 + ord(character) - 33


def prompt_ids(instruction):
    """The published prompt, character by character, with Llama's space in front."""
    text = f"In: What action should the robot take to {instruction.lower()}?\nOut:"
    return [BOS, SPACE, *map(token, text)]


def bounds(low, high, **more):
    rows = {"min": low, "max": high, "q01": low, "q99": high}
    rows |= {"mean": [(a + b) / 2 for a, b in zip(low, high, strict=True)], "std": [2.0] * len(low)}
    return {**rows, **more}


STATISTICS = {"action": bounds([-1.0, -1.0], [1.0, 1.0]), "proprio": bounds([0.0, -4.0, 10.0], [2.0, 4.0, 20.0])}
STATE = [1.5, -3.0, 11.0]
NORMALIZED = [0.5, -0.75, -0.8]


def noise(seed=0, size=28):
    return np.random.RandomState(seed).randint(0, 256, (size, size, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def tokenizer():
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<PAD>"}
    return PreTrainedTokenizerFast(tokenizer_object=load_tiny_run().make_tokenizer(), **special)


@pytest.fixture
def make(tokenizer):
    def build(views=2, **settings):
        settings = {"norm_stats": {"kitchen": STATISTICS}, "proprio_dim": 3, **settings}
        image_processor = CogVLAImageProcessor(image_sizes=[28, 28], evaluation_size=28, num_images_in_input=views)
        return CogVLAProcessor(image_processor, copy.deepcopy(tokenizer), **settings)

    return build


@pytest.fixture
def processor(make):
    return make()


VIEWS = [noise(0), noise(1)]


# Text


def test_the_prompt_is_the_published_one_in_lower_case(processor):
    ids = processor(images=VIEWS, text=INSTRUCTION, state=STATE)["input_ids"]
    assert ids.tolist() == [prompt_ids("pick up the red bowl")]
    text = processor.tokenizer.decode(ids[0], skip_special_tokens=True)
    assert text.strip() == "In: What action should the robot take to pick up the red bowl?\nOut:"


def test_a_prompt_that_would_not_be_saved_cannot_be_set(processor):
    published = processor.prompt_template
    with pytest.raises(ConfigError, match=r"prompt_template='do \{instruction\}' cannot be set.*In: What"):
        processor.prompt_template = "do {instruction}"
    processor.prompt_template = published
    assert processor.prompt_template == published


def test_only_the_instruction_becomes_lower_case(processor):
    ids = processor(images=VIEWS, text="A", state=STATE)["input_ids"][0].tolist()
    assert token("I") in ids and token("W") in ids and token("O") in ids and token("A") not in ids


def test_braces_in_an_instruction_are_text(processor):
    ids = processor(images=VIEWS, text="move {0} {x}", state=STATE)["input_ids"]
    assert ids.tolist() == [prompt_ids("move {0} {x}")]


def test_a_batch_of_prompts_is_padded_on_the_right(processor):
    texts = ["open the drawer", "wave", "put the bowl on the plate"]
    output = processor(images=[VIEWS] * 3, text=texts, state=[STATE] * 3)
    expected = [prompt_ids(text) for text in texts]
    length = max(map(len, expected))
    assert output["input_ids"].tolist() == [ids + [PAD] * (length - len(ids)) for ids in expected]
    assert output["attention_mask"].tolist() == [[1] * len(ids) + [0] * (length - len(ids)) for ids in expected]


def test_a_tokenizer_that_pads_on_the_left_is_set_right(tokenizer):
    left = copy.deepcopy(tokenizer)
    left.padding_side = "left"
    image_processor = CogVLAImageProcessor(image_sizes=[28, 28], evaluation_size=28)
    output = CogVLAProcessor(image_processor, left)(images=[noise(), noise()], text=["wave", "open the drawer"])
    assert output["attention_mask"][0].tolist() == sorted(output["attention_mask"][0].tolist(), reverse=True)
    assert output["attention_mask"].sum() < output["attention_mask"].numel()


def test_the_output_holds_the_arguments_of_predict_action_and_nothing_else(processor, make):
    output = processor(images=VIEWS, text=INSTRUCTION, state=STATE)
    assert set(output) == {"input_ids", "attention_mask", "pixel_values", "state"}
    assert {name: value.dtype for name, value in output.items()} == {
        "input_ids": torch.int64,
        "attention_mask": torch.int64,
        "pixel_values": torch.float32,
        "state": torch.float32,
    }
    stateless = make(proprio_dim=None)(images=VIEWS, text=INSTRUCTION)
    assert set(stateless) == {"input_ids", "attention_mask", "pixel_values"}


def test_numpy_arrays_are_returned_on_request(processor):
    tensors = processor(images=VIEWS, text=INSTRUCTION, state=STATE)
    arrays = processor(images=VIEWS, text=INSTRUCTION, state=STATE, return_tensors="np")
    for name, value in arrays.items():
        assert isinstance(value, np.ndarray), name
        np.testing.assert_array_equal(value, tensors[name].numpy())


# Images


def test_the_images_are_those_of_the_image_processor(processor):
    output = processor(images=VIEWS, text=INSTRUCTION, state=STATE)
    expected = processor.image_processor(VIEWS, return_tensors="pt")["pixel_values"]
    assert output["pixel_values"].shape == (1, 12, 28, 28)
    assert torch.equal(output["pixel_values"], expected)


@pytest.mark.parametrize(
    "images",
    [
        VIEWS,
        tuple(VIEWS),
        {"primary": VIEWS[0], "wrist": VIEWS[1]},
        {"wrist": VIEWS[1], "primary": VIEWS[0]},
        [Image.fromarray(view) for view in VIEWS],
    ],
    ids=["list", "tuple", "dict", "dict with the first view last", "PIL"],
)
def test_every_form_of_the_images_gives_the_same_pixels(processor, images):
    expected = processor(images=VIEWS, text="wave", state=STATE)["pixel_values"]
    assert torch.equal(processor(images=images, text="wave", state=STATE)["pixel_values"], expected)
    batch = processor(images=[images, VIEWS[::-1]], text=["wave", "stop"], state=[STATE] * 2)["pixel_values"]
    assert torch.equal(batch[:1], expected) and not torch.equal(batch[1:], expected)


def test_one_view_needs_no_list_around_it(make):
    processor = make(views=1)
    single = processor(images=VIEWS[0], text="wave", state=STATE)["pixel_values"]
    assert torch.equal(single, processor(images=[VIEWS[0]], text="wave", state=STATE)["pixel_values"])
    batch = processor(images=VIEWS, text=["wave", "stop"], state=[STATE] * 2)["pixel_values"]
    assert batch.shape == (2, 6, 28, 28) and torch.equal(batch[:1], single)
    array = processor(images=np.stack(VIEWS), text=["wave", "stop"], state=[STATE] * 2)["pixel_values"]
    assert torch.equal(array, batch)


def test_a_batch_equals_its_samples_run_singly(processor):
    samples = [VIEWS, [noise(2), noise(3, size=40)]]
    texts, states = ["wave", "open the drawer"], [STATE, [0.0, 0.0, 15.0]]
    batch = processor(images=samples, text=texts, state=states)
    for i, (views, text, state) in enumerate(zip(samples, texts, states, strict=True)):
        single = processor(images=views, text=text, state=state)
        real = batch["attention_mask"][i].bool()
        assert torch.equal(batch["input_ids"][i][real], single["input_ids"][0])
        assert torch.equal(batch["pixel_values"][i], single["pixel_values"][0])
        assert torch.equal(batch["state"][i], single["state"][0])


def test_the_crop_can_be_asked_for_in_a_call(processor):
    plain, cropped = (
        processor(images=VIEWS, text="wave", state=STATE, center_crop=crop)["pixel_values"] for crop in (None, True)
    )
    expected = processor.image_processor(VIEWS, center_crop=True, return_tensors="pt")["pixel_values"]
    assert torch.equal(cropped, expected) and not torch.equal(cropped, plain)


def test_how_images_are_resized_can_be_asked_for_in_a_call(processor):
    views = [noise(0, size=40), noise(1, size=40)]
    straight = processor(views, INSTRUCTION, STATE, image_resize="bicubic")["pixel_values"]
    wanted = processor.image_processor(views, image_resize="bicubic", return_tensors="pt")["pixel_values"]
    assert torch.equal(straight, wanted) and not torch.equal(
        straight, processor(views, INSTRUCTION, STATE)["pixel_values"]
    )


@pytest.mark.parametrize(
    ("images", "text", "message"),
    [
        (VIEWS[:1], "wave", "sample 0 has 1 images, expected 2"),
        ([*VIEWS, noise(2)], "wave", "sample 0 has 3 images, expected 2"),
        ({"primary": VIEWS[0]}, "wave", "sample 0 has 1 images, expected 2"),
        ([VIEWS, VIEWS[:1]], ["wave", "stop"], "sample 1 has 1 images, expected 2"),
        ([VIEWS] * 3, ["wave", "stop"], "images holds 3 samples, text 2"),
        ({"left": VIEWS[0], "right": VIEWS[1]}, "wave", "exactly one of"),
    ],
)
def test_a_wrong_number_of_images_is_refused_with_both_numbers(processor, images, text, message):
    states = [STATE] * (1 if isinstance(text, str) else len(text))
    with pytest.raises(InputError, match=message):
        processor(images=images, text=text, state=states)


# State


def test_the_state_is_normalised_by_the_run_statistics(processor):
    proprio = processor(images=VIEWS, text="wave", state=STATE)["state"]
    assert proprio.shape == (1, 3)
    torch.testing.assert_close(proprio[0], torch.tensor(NORMALIZED))


def test_a_state_beyond_the_bounds_is_clipped(processor):
    proprio = processor(images=VIEWS, text="wave", state=[-7.0, 400.0, 15.0])["state"]
    torch.testing.assert_close(proprio[0], torch.tensor([-1.0, 1.0, 0.0]))


def test_each_normalisation_reads_its_own_statistics(make):
    rows = {"min": [0.0], "max": [10.0], "q01": [0.0], "q99": [20.0], "mean": [1.0], "std": [4.0]}
    statistics = {"kitchen": {**STATISTICS, "proprio": rows}}
    expected = {"bounds": 0.8, "bounds_q99": -0.1, "normal": 2.0}  # a z-score is not clipped
    for normalization_type, value in expected.items():
        processor = make(norm_stats=statistics, normalization_type=normalization_type, proprio_dim=1)
        proprio = processor(images=VIEWS, text="wave", state=[9.0])["state"]
        torch.testing.assert_close(proprio, torch.tensor([[value]]))


def test_dimensions_that_the_mask_leaves_out_pass_unchanged_but_clipped(make):
    statistics = {"kitchen": {**STATISTICS, "proprio": {**STATISTICS["proprio"], "mask": [True, False, False]}}}
    proprio = make(norm_stats=statistics)(images=VIEWS, text="wave", state=[1.5, 0.25, 7.0])["state"]
    torch.testing.assert_close(proprio[0], torch.tensor([0.5, 0.25, 1.0]))


@pytest.mark.parametrize("form", [list, tuple, np.array, torch.tensor, np.float32])
def test_every_form_of_the_state_gives_the_same_numbers(processor, form):
    proprio = processor(images=VIEWS, text="wave", state=form(STATE))["state"]
    torch.testing.assert_close(proprio[0], torch.tensor(NORMALIZED))
    batch = processor(images=[VIEWS] * 2, text=["wave", "stop"], state=form([STATE, STATE]))["state"]
    torch.testing.assert_close(batch, torch.tensor([NORMALIZED] * 2))


@pytest.mark.parametrize(
    ("state", "shape"),
    [([0.0] * 2, r"\(1, 2\)"), ([0.0] * 4, r"\(1, 4\)"), ([[0.0] * 3] * 2, r"\(2, 3\)"), (0.5, r"\(\)")],
)
def test_a_state_of_the_wrong_size_is_refused_with_both_sizes(processor, state, shape):
    with pytest.raises(InputError, match=rf"state has shape {shape}; \(batch, state_dim\) is \(1, 3\)"):
        processor(images=VIEWS, text="wave", state=state)


def test_one_state_for_a_batch_of_two_is_refused(processor):
    with pytest.raises(InputError, match=r"\(batch, state_dim\) is \(2, 3\)"):
        processor(images=[VIEWS] * 2, text=["wave", "stop"], state=STATE)


@pytest.mark.parametrize("state", [[STATE, STATE[:2]], ["a", "b", "c"], [None] * 3])
def test_a_state_that_is_no_table_of_numbers_is_refused_by_name(processor, state):
    texts = ["wave", "stop"] if len(state) == 2 else ["wave"]
    with pytest.raises(InputError, match="state"):
        processor(images=[VIEWS] * len(texts), text=texts, state=state)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_state_that_is_not_finite_is_refused(processor, value):
    with pytest.raises(InputError, match="state holds values that are not finite"):
        processor(images=VIEWS, text="wave", state=[0.0, value, 0.0])


def test_a_missing_state_is_refused(processor):
    with pytest.raises(InputError, match="state is missing: this checkpoint needs the robot's 3 state values"):
        processor(images=VIEWS, text="wave")


def test_a_state_for_a_model_without_it_is_refused(make):
    with pytest.raises(InputError, match="takes no robot state"):
        make(proprio_dim=None)(images=VIEWS, text="wave", state=STATE)


# Statistics


def test_the_unnorm_key_selects_the_statistics(make):
    other = {**STATISTICS, "proprio": bounds([-10.0] * 3, [10.0] * 3)}
    processor = make(norm_stats={"kitchen": STATISTICS, "lab": other})
    found = {
        key: processor(images=VIEWS, text="wave", state=STATE, unnorm_key=key)["state"][0] for key in ("kitchen", "lab")
    }
    torch.testing.assert_close(found["kitchen"], torch.tensor(NORMALIZED))
    torch.testing.assert_close(found["lab"], torch.tensor([0.15, -0.3, 1.0]))


def test_an_unnorm_key_that_is_unknown_or_ambiguous_is_refused_with_the_choices(make):
    processor = make(norm_stats={"lab": STATISTICS, "kitchen": STATISTICS})
    with pytest.raises(InputError, match=r"unnorm_key='garage' is unknown; choices: kitchen, lab"):
        processor(images=VIEWS, text="wave", state=STATE, unnorm_key="garage")
    with pytest.raises(InputError, match=r"unnorm_key must say which.*choices: kitchen, lab"):
        processor(images=VIEWS, text="wave", state=STATE)


def test_statistics_without_a_state_part_are_refused(make):
    with pytest.raises(ConfigError, match=r"norm_stats\['kitchen'\] has no 'proprio' or 'state' part"):
        make(norm_stats={"kitchen": {"action": STATISTICS["action"]}})


# What belongs to the caller


def test_nothing_that_the_caller_passes_is_changed(processor):
    images = {"primary": noise(0), "wrist": noise(1, size=40)}
    state = np.array([[1.5, -300.0, 11.0]])
    texts, statistics = ["Wave"], copy.deepcopy(processor.norm_stats)
    before = copy.deepcopy((images, state, texts))
    first = processor(images=[images], text=texts, state=state)
    second = processor(images=[images], text=texts, state=state)
    assert list(images) == list(before[0]) and texts == before[2]
    for name in images:
        np.testing.assert_array_equal(images[name], before[0][name])
    np.testing.assert_array_equal(state, before[1])
    assert processor.norm_stats == statistics
    assert torch.equal(first["state"], second["state"])  # not normalised twice


def test_the_output_shares_no_memory_with_the_state(processor):
    state = torch.tensor([STATE])
    output = processor(images=VIEWS, text="wave", state=state)
    output["state"].zero_()
    assert state.tolist() == torch.tensor([STATE]).tolist()


# Saving and loading


def test_a_saved_processor_comes_back_the_same(make, tmp_path):
    processor = make(normalization_type="bounds")
    processor.save_pretrained(tmp_path)
    loaded = CogVLAProcessor.from_pretrained(tmp_path)
    assert loaded.norm_stats == processor.norm_stats
    assert (loaded.normalization_type, loaded.proprio_dim) == ("bounds", 3)
    assert loaded.image_processor.to_dict() == processor.image_processor.to_dict()
    arguments = {"images": [VIEWS] * 2, "text": ["Wave", "open the drawer"], "state": [STATE] * 2}
    expected, got = processor(**arguments), loaded(**arguments)
    assert set(got) == set(expected)
    for name in expected:
        assert torch.equal(got[name], expected[name]), name
