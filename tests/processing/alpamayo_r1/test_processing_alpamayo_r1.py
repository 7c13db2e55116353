"""AlpamayoR1Processor: the published tokens and prompt, the driven path in it, texts taken apart, or a named error."""

import copy
import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from alpamayo_prompts import (
    FIRST_HISTORY_VALUE,
    HISTORY_VALUES,
    PIXELS,
    call,
    frames,
    history,
    make_processor,
    tiny_tokenizer,
)
from fresh_python import in_fresh_python

from vlahub.configuration.vla_errors import ConfigError, InputError
from vlahub.modeling.alpamayo_r1.trajectory_tokenizers import DeltaTrajectoryTokenizer, tokenize_history
from vlahub.processing.alpamayo_r1.processing_alpamayo_r1 import AlpamayoR1Processor
from vlahub.processing.alpamayo_r1.special_tokens import SPECIAL_TOKEN_KEYS, TRAJ_TOKEN, add_trajectory_tokens
from vlahub.processing.image_processing_alpamayo_r1 import AlpamayoR1ImageProcessor

CHAT_TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"


@pytest.fixture(scope="module")
def case(golden):
    return golden("alpamayo/special_tokens")


@pytest.fixture
def base_tokenizer(case):
    return tiny_tokenizer(case.config["added_by_base_tokenizer"])


@pytest.fixture
def make(base_tokenizer):
    return partial(make_processor, base_tokenizer)


def check_equal(found, expected):
    assert set(found) == set(expected)
    for name in expected:
        assert torch.equal(found[name], expected[name]), name


# Tokens


@pytest.mark.parametrize("add_special_tokens", [True, False])
def test_tokens_are_added_in_the_published_order(case, base_tokenizer, add_special_tokens):
    wanted = {name.split(".")[1]: value for name, value in case["outputs"].items() if str(add_special_tokens) in name}
    assert len(base_tokenizer) == case.config["base_len"]
    found = add_trajectory_tokens(base_tokenizer, case.config["traj_vocab_size"], add_special_tokens)
    assert found == {name: wanted[name] for name in found}
    assert list(found) == ["traj_token_start_idx", "traj_token_ids", "special_token_ids", "vocab_size"]
    assert base_tokenizer.convert_tokens_to_ids(wanted["added"]["strings"]) == wanted["added"]["ids"]
    assert list(SPECIAL_TOKEN_KEYS) == case.config["SPECIAL_TOKENS_KEYS"] and case.config["TRAJ_TOKEN"] == TRAJ_TOKEN


@pytest.mark.parametrize("add_special_tokens", [True, False])
def test_tokens_that_are_there_already_stay_as_they_are(base_tokenizer, add_special_tokens):
    first = add_trajectory_tokens(base_tokenizer, 20, add_special_tokens)
    vocabulary = base_tokenizer.get_vocab()
    assert add_trajectory_tokens(base_tokenizer, 20, add_special_tokens) == first
    assert base_tokenizer.get_vocab() == vocabulary


@pytest.mark.parametrize(
    ("before", "then"),
    [((20, True), (20, False)), ((20, False), (20, True)), ((20, True), (21, True)), ((20, True), (19, True))],
)
def test_a_tokenizer_with_other_trajectory_tokens_is_refused_unchanged(base_tokenizer, before, then):
    add_trajectory_tokens(base_tokenizer, *before)
    vocabulary = base_tokenizer.get_vocab()
    with pytest.raises(ConfigError, match="differs from what it was made with"):
        add_trajectory_tokens(base_tokenizer, *then)
    assert base_tokenizer.get_vocab() == vocabulary


@pytest.mark.parametrize("token", ["<i3>", "<|traj_future_start|>"])
def test_a_tokenizer_with_some_of_the_tokens_is_refused_unchanged(base_tokenizer, token):
    base_tokenizer.add_tokens([token])
    size = len(base_tokenizer)
    with pytest.raises(ConfigError) as error:
        add_trajectory_tokens(base_tokenizer, 20)
    assert repr(token) in str(error.value) and len(base_tokenizer) == size


@pytest.mark.parametrize("size", [0, -1, 2.0, True, None])
def test_a_number_of_values_that_is_none_is_refused(base_tokenizer, size):
    with pytest.raises(ConfigError, match=f"traj_vocab_size={size}"):
        add_trajectory_tokens(base_tokenizer, size)


# Prompt


@pytest.mark.parametrize("add_special_tokens", [True, False])
def test_the_prompt_is_the_published_one(case, make, add_special_tokens):
    processor = make(add_special_tokens)
    wanted = {name.split(".")[1]: value for name, value in case["outputs"].items() if str(add_special_tokens) in name}
    shapes = case.config["shapes"][f"keys_{add_special_tokens}"]
    assert processor.prompt_text([1, 1]) == wanted["prompt_text"]
    assert processor.prompt_ids([6, 6]) == wanted["prompt_input_ids"]
    output = call(processor)
    assert {name: list(output[name].shape) for name in shapes} == shapes
    placeholder, fused = wanted["traj_token_ids"]["history"], output["input_ids"][0].tolist()
    values = range(FIRST_HISTORY_VALUE, FIRST_HISTORY_VALUE + HISTORY_VALUES["num_bins"])
    for before, after in zip(wanted["prompt_input_ids"], fused, strict=True):
        assert after == before or (before == placeholder and after in values)


# The published calls

PUBLISHED = {"add_generation_prompt": False, "continue_final_message": True, "return_dict": True}
PUBLISHED |= {"return_tensors": "pt"}


@pytest.mark.parametrize("add_special_tokens", [True, False])
def test_the_published_calls_write_the_published_prompt(case, make, add_special_tokens):
    processor, images = make(add_special_tokens), frames()
    wanted = {name.split(".")[1]: value for name, value in case["outputs"].items() if str(add_special_tokens) in name}
    messages = processor.create_message(images)
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
    assert [part["type"] for part in messages[1]["content"]] == ["image", "image", "text"]
    text = processor.apply_chat_template(messages, tokenize=False, continue_final_message=True)
    assert text == wanted["prompt_text"]
    output = processor.apply_chat_template(messages, tokenize=True, **PUBLISHED)
    assert output["input_ids"].tolist() == [wanted["prompt_input_ids"]]
    xyz, rot = (torch.from_numpy(part)[None, None] for part in history())
    whole = processor(images, xyz, rot)
    fused = processor.fuse_traj_tokens(output["input_ids"], {"ego_history_xyz": xyz, "ego_history_rot": rot})
    assert torch.equal(fused, whole["input_ids"]) and not torch.equal(fused, output["input_ids"])
    names = ("attention_mask", "pixel_values", "image_grid_thw")
    check_equal(*({name: each[name] for name in names} for each in (output, whole)))


def test_chats_of_different_lengths_are_padded_and_may_have_no_images(make):
    processor = make()
    chats = [
        [{"role": "user", "content": [{"type": "text", "text": "Is the road clear?"}]}],
        [{"role": "user", "content": [{"type": "image", "image": frames(1)[0]}, {"type": "text", "text": "And now?"}]}],
    ]
    options = {"tokenize": True, "add_generation_prompt": True, "return_dict": True}
    both = processor.apply_chat_template(chats, **options)
    for i, chat in enumerate(chats):
        alone = processor.apply_chat_template(chat, **options)
        assert both["input_ids"][i][both["attention_mask"][i] == 1].tolist() == alone["input_ids"][0].tolist()
        assert ("pixel_values" in alone) == bool(i)
    assert both["attention_mask"][0, 0] == 0 and len(both["image_grid_thw"]) == 1
    text = processor.apply_chat_template(chats, add_generation_prompt=True)
    assert text[0] == "<|im_start|>user\nIs the road clear?<|im_end|>\n<|im_start|>assistant\n"
    assert processor.apply_chat_template([{"role": "user", "content": "Hm."}]) == "<|im_start|>user\nHm.<|im_end|>\n"
    template = "{% for message in messages %}[{{ message.role }}]{% endfor %}"
    assert processor.apply_chat_template(chats[0], template) == "[user]"
    assert torch.equal(
        processor.apply_chat_template(chats[0], tokenize=True),
        processor.apply_chat_template(chats[0], tokenize=True, return_dict=True)["input_ids"],
    )


def test_messages_and_paths_that_cannot_be_used_are_refused(make):
    processor = make()
    video = [{"role": "user", "content": [{"type": "video", "video": "a.mp4"}]}]
    with pytest.raises(InputError, match="'type': 'video'"):
        processor.apply_chat_template(video)
    pad = [{"role": "user", "content": [{"type": "text", "text": "<|image_pad|>"}]}]
    with pytest.raises(InputError, match="1 image tokens and hold 0 images"):
        processor.apply_chat_template(pad, tokenize=True)
    with pytest.raises(InputError, match=r"frames has shape \(3, 60, 90\)"):
        processor.create_message(frames()[0])
    ids = processor.apply_chat_template(processor.create_message(frames()), tokenize=True, continue_final_message=True)
    assert processor.fuse_traj_tokens(ids) is ids and processor.fuse_traj_tokens(ids, {}) is ids
    xyz, rot = history()
    with pytest.raises(InputError, match="ends at"):
        processor.fuse_traj_tokens(ids, {"ego_history_xyz": xyz + 5, "ego_history_rot": rot})
    with pytest.raises(InputError, match="ego_history_rot"):
        processor.fuse_traj_tokens(ids, {"ego_history_xyz": xyz})
    with pytest.raises(InputError, match="1 prompts, ego_history_xyz 2"):
        two = {"ego_history_xyz": np.stack([xyz] * 2), "ego_history_rot": np.stack([rot] * 2)}
        processor.fuse_traj_tokens(ids, two)
    short = history(poses=10)
    with pytest.raises(InputError, match="48 history placeholders, ego_history_xyz gives 30"):
        processor.fuse_traj_tokens(ids, dict(zip(("ego_history_xyz", "ego_history_rot"), short, strict=True)))


def test_the_driven_path_takes_the_place_of_its_placeholders(make):
    processor = make()
    xyz, rot = (torch.from_numpy(array).float()[None] for array in history())
    expected = DeltaTrajectoryTokenizer(**HISTORY_VALUES).encode(xyz[:, :1], rot[:, :1], xyz, rot) + FIRST_HISTORY_VALUE
    ids = call(processor)["input_ids"][0].tolist()
    start, end = (processor.tokenizer.convert_tokens_to_ids(TRAJ_TOKEN[f"history_{end}"]) for end in ("start", "end"))
    assert ids[ids.index(start) + 1 : ids.index(end)] == expected[0].tolist()


def test_the_path_tokens_of_the_release_are_the_golden_ones(golden, base_tokenizer):
    """1000 values, as in the release, behind 10 of the future's; the ids of the golden case start elsewhere."""
    delta = golden("alpamayo/delta_tokenizer")
    first = add_trajectory_tokens(base_tokenizer, 1010)["traj_token_start_idx"] + 10
    processor = AlpamayoR1Processor(AlpamayoR1ImageProcessor(**PIXELS), base_tokenizer, history_token_start_idx=first)
    xyz, rot = delta.input("xyz"), delta.input("rot")  # not all of them end at the origin, as a processor wants it
    ids = tokenize_history(processor.history_values, xyz[:, None], rot[:, None], first)
    values = ids[(ids >= first) & (ids < first + 1000)].reshape(4, -1) - first
    delta.check("history_ids", values + delta.config["history_start_idx"])


def test_image_tokens_are_as_many_as_the_model_makes_of_each_image(make):
    processor = make()
    images = [frames(1, 32, 96), frames(1, 96, 64)]
    output = call(processor, images)
    assert output["image_grid_thw"].tolist() == [[1, 2, 6], [1, 6, 4]]
    text = processor.tokenizer.decode(output["input_ids"][0])
    first, second = (f"<|vision_start|>{'<|image_pad|>' * count}<|vision_end|>" for count in (3, 6))
    assert first + second in text


def test_the_request_can_be_another_one(make):
    output = call(make(), text="turn left, then stop")
    own = call(make(request="turn left, then stop"))
    assert torch.equal(output["input_ids"], own["input_ids"])
    assert not torch.equal(call(make())["input_ids"][:, -10:], own["input_ids"][:, -10:])


def test_the_texts_of_the_prompt_are_settings(make):
    text = make(system_prompt="drive", answer_start="<|answer_start|>").prompt_text([], "why?")
    assert text.startswith("<|im_start|>system\ndrive<|im_end|>\n")
    assert text.endswith("<|traj_history_end|>why?<|im_end|>\n<|im_start|>assistant\n<|answer_start|>")


# Batches


def test_a_batch_is_its_samples_padded_on_the_left(make):
    processor = make()
    images, requests = [frames(1), frames(2, seed=1), frames(3, 40, 40, seed=2)], ["stop", "go on", "output"]
    paths = [history(seed) for seed in range(3)]
    batch = processor(images, *map(np.stack, zip(*paths, strict=True)), text=requests)
    samples = zip(images, paths, requests, strict=True)
    singles = [processor(views, *path, text=request) for views, path, request in samples]
    lengths = [single["input_ids"].shape[1] for single in singles]
    assert batch["input_ids"].shape == (3, max(lengths)) and len(set(lengths)) == 3
    for i, single in enumerate(singles):
        padding = max(lengths) - lengths[i]
        assert torch.equal(batch["input_ids"][i, padding:], single["input_ids"][0])
        assert batch["input_ids"][i, :padding].tolist() == [processor.tokenizer.pad_token_id] * padding
        assert batch["attention_mask"][i].tolist() == [0] * padding + [1] * lengths[i]
    for name in ("pixel_values", "image_grid_thw", "ego_history_xyz", "ego_history_rot"):
        assert torch.equal(batch[name], torch.cat([single[name] for single in singles])), name


def test_padding_may_go_to_the_right(make):
    paths = [np.stack([part] * 2) for part in history()]
    output = make()([frames(1), frames(2)], *paths, padding_side="right")
    assert output["attention_mask"][0, 0] == 1 and output["attention_mask"][0, -1] == 0
    with pytest.raises(InputError, match="padding_side='up'"):
        make()(frames(), *history(), padding_side="up")


def test_every_form_of_one_sample_gives_the_same(make):
    processor = make()
    xyz, rot = history()
    stack = frames(4).reshape(2, 2, 3, 60, 90)
    expected = processor(stack, xyz, rot)
    assert set(expected) == {
        "input_ids", "attention_mask", "pixel_values", "image_grid_thw", "ego_history_xyz", "ego_history_rot"
    }  # fmt: skip
    assert expected["ego_history_xyz"].shape == (1, 1, 16, 3) and expected["ego_history_rot"].shape == (1, 1, 16, 3, 3)
    assert expected["ego_history_xyz"].dtype == expected["ego_history_rot"].dtype == torch.float32
    batched = torch.from_numpy(xyz)[None], torch.from_numpy(rot)[None]
    forms = [
        ([stack], xyz[None], rot[None]),
        (torch.from_numpy(stack), *batched),
        (list(stack), batched[0][:, None], batched[1][:, None]),
        ([[list(camera) for camera in stack]], xyz.tolist(), rot.tolist()),
    ]
    for form in forms:
        found = processor(*form)
        check_equal(found, expected)
    arrays = processor(stack, xyz, rot, return_tensors="np")
    assert all(np.array_equal(arrays[name], expected[name].numpy()) for name in expected)


def test_poses_of_another_frame_and_arrays_of_another_library(make):
    processor, (xyz, rot) = make(), history()
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    world = processor(frames(), xyz @ turn.T + 5, turn @ rot, history_frame="world")
    for name, value in processor(frames(), xyz, rot).items():
        torch.testing.assert_close(world[name], value, atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match="return_tensors='tf'"):
        processor(frames(), xyz, rot, return_tensors="tf")


def test_the_processor_of_a_model_has_its_fields(make):
    tokenizer, names = make().tokenizer, ["camera_front_wide_120fov", "camera_cross_left_120fov"]
    config = SimpleNamespace(min_pixels=PIXELS["min_pixels"], max_pixels=PIXELS["max_pixels"], view_names=names)
    config.tokens_per_history_traj, config.camera_labels = 48, True
    config.hist_traj_tokenizer_cfg, config.hist_token_start_idx = HISTORY_VALUES, FIRST_HISTORY_VALUE
    found = AlpamayoR1Processor.for_config(config, tokenizer, max_pixels=6144, image_std=[1.0, 2.0, 3.0])
    assert (found.view_names, found.camera_labels, found.num_history_tokens) == (names, True, 48)
    assert (found.history_token_config, found.history_token_start_idx) == (HISTORY_VALUES, FIRST_HISTORY_VALUE)
    images = found.image_processor
    assert (images.min_pixels, images.max_pixels, images.image_std) == (PIXELS["min_pixels"], 6144, [1.0, 2.0, 3.0])


def test_inputs_stay_as_they_were(make):
    xyz, rot = history()
    inputs = {
        "images": frames(),
        "ego_history_xyz": torch.from_numpy(xyz).float(),
        "ego_history_rot": torch.from_numpy(rot).float(),
    }
    before = copy.deepcopy(inputs)
    output = make()(**inputs)
    for tensor in output.values():
        tensor.zero_()
    assert np.array_equal(inputs.pop("images"), before.pop("images"))
    check_equal(inputs, before)


# Refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ego_history_xyz": np.zeros((1, 3)), "ego_history_rot": np.eye(3)[None]}, "1 poses; at least two"),
        ({"ego_history_xyz": np.full((16, 3), np.nan)}, "ego_history_xyz holds values that are not finite"),
        ({"ego_history_rot": np.full((16, 3, 3), np.inf)}, "ego_history_rot holds values that are not finite"),
        ({"ego_history_rot": np.zeros((15, 3, 3))}, r"ego_history_rot has shape \(15, 3, 3\)"),
        ({"ego_history_xyz": np.zeros((16, 2)), "ego_history_rot": np.zeros((16, 2, 3))}, r"shape \(16, 2\)"),
        (
            {"ego_history_xyz": np.zeros((1, 2, 16, 3)), "ego_history_rot": np.zeros((1, 2, 16, 3, 3))},
            r"\(1, 2, 16, 3\)",
        ),
        ({"ego_history_xyz": np.zeros(3), "ego_history_rot": np.zeros((3, 3))}, r"shape \(3,\)"),
        ({"ego_history_xyz": np.repeat([[-25.0, 0, 0], [0, 0, 0]], [15, 1], axis=0)}, "moves 25 m from one pose"),
        ({"ego_history_xyz": "straight on"}, "ego_history_xyz must be numbers"),
        ({"images": []}, "no image"),
        ({"text": ["a", "b"]}, "text holds 2 requests, ego_history_xyz 1 samples"),
        ({"text": "see <|image_pad|>"}, "13 image tokens, the images 12"),
        ({"text": "see <|traj_history|>"}, "49 history placeholders, ego_history_xyz gives 48"),
    ],
)
def test_what_the_model_cannot_use_is_refused(make, change, message):
    with pytest.raises(InputError, match=message):
        call(make(), **change)


@pytest.mark.parametrize(("images", "said"), [(frames(3), "3 samples"), (None, "NoneType")])
def test_images_and_histories_of_a_batch_must_be_as_many(make, images, said):
    xyz, rot = (np.stack([part] * 2) for part in history())
    with pytest.raises(InputError, match=f"images holds {said}, ego_history_xyz 2"):
        make()(images, xyz, rot)


@pytest.mark.parametrize(("tokens", "poses"), [(47, 16), (48, 10)])
def test_a_path_that_does_not_fit_its_placeholders_is_refused_with_both_numbers(make, tokens, poses):
    with pytest.raises(InputError, match=f"{tokens} history placeholders, ego_history_xyz gives {3 * poses} tokens"):
        make(num_history_tokens=tokens)(frames(), *history(poses=poses))


def test_a_tokenizer_without_the_tokens_is_refused(base_tokenizer):
    with pytest.raises(ConfigError, match=r"traj_history_start.*add_trajectory_tokens"):
        AlpamayoR1Processor(AlpamayoR1ImageProcessor(), base_tokenizer)


@pytest.mark.parametrize("first", [427, 325])
def test_path_values_outside_of_the_trajectory_tokens_are_refused(make, first):
    with pytest.raises(ConfigError, match=f"history_token_start_idx={first} with 60 values"):
        make(history_token_start_idx=first)


@pytest.mark.parametrize("settings", [{"num_history_tokens": 0}, {"padding_side": "up"}])
def test_settings_that_cannot_work_are_refused_by_name(make, settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        make(**settings)


# Texts


WRITTEN = (
    "Keep distance to the car ahead.<|cot_end|><|meta_action_start|> slow down <|meta_action_end|>"
    "<|answer_start|>yes.<|answer_end|><|traj_future_start|><|endoftext|>"
)
PARTS = {"cot": "Keep distance to the car ahead.", "meta_action": "slow down", "answer": "yes."}


@pytest.mark.parametrize("prompt", ["", "<|im_start|>assistant\n<|cot_start|>"])
def test_what_was_written_is_taken_apart(make, prompt):
    processor = make()
    ids = processor.tokenizer(prompt + WRITTEN)["input_ids"]
    assert processor.decode(ids) == processor.decode(torch.tensor(ids)) == processor.split_reasoning(ids) == PARTS
    rows = torch.tensor([ids, ids])
    assert processor.decode(rows) == {part: [text] * 2 for part, text in PARTS.items()}


def test_parts_without_an_end_are_empty(make):
    processor = make()
    for text, cot in (("Keep lane<|traj_future_start|>", ""), ("Keep lane<|cot_end|>", "Keep lane"), ("", "")):
        ids = processor.tokenizer(text)["input_ids"]
        assert processor.decode(np.array(ids, dtype=int)) == {"cot": cot, "meta_action": "", "answer": ""}


def test_special_tokens_within_a_part_can_be_left_out(make):
    processor = make()
    ids = processor.tokenizer("Keep <|route_pad|>lane<|im_end|><|cot_end|>")["input_ids"]
    assert processor.decode(ids)["cot"] == "Keep <|route_pad|>lane<|im_end|>"
    assert processor.decode(ids, skip_special_tokens=True)["cot"] == "Keep lane"


def test_more_than_rows_are_refused(make):
    with pytest.raises(InputError, match=r"\(1, 1, 2\)"):
        make().decode(torch.zeros(1, 1, 2, dtype=int))


# Saving and loading


def test_a_saved_processor_comes_back_the_same(make, tmp_path):
    processor = make(system_prompt="drive", request="go", answer_start="<|answer_start|>")
    processor.tokenizer.chat_template = CHAT_TEMPLATE
    processor.save_pretrained(tmp_path)
    loaded = AlpamayoR1Processor.from_pretrained(tmp_path)
    assert loaded.image_processor.to_dict() == processor.image_processor.to_dict()
    assert loaded.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    assert loaded.tokenizer.chat_template == CHAT_TEMPLATE
    check_equal(call(loaded), call(processor))
    ids = processor.tokenizer(WRITTEN)["input_ids"]
    assert loaded.decode(ids) == PARTS
    loaded.save_pretrained(tmp_path / "again")
    check_equal(call(AlpamayoR1Processor.from_pretrained(tmp_path / "again")), call(processor))


WITHOUT_VLAHUB = """
import sys
sys.modules["vlahub"] = None
import torch
from transformers import AutoImageProcessor, AutoProcessor
folder, inputs, outputs = sys.argv[1:]
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
image_processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)
found = dict(processor(**torch.load(inputs)))
found["template"] = processor.tokenizer.chat_template
found["settings"] = image_processor.to_dict()["max_pixels"]
torch.save(found, outputs)
"""


def test_a_saved_processor_loads_without_vlahub(make, tmp_path):
    processor = make()
    processor.tokenizer.chat_template = CHAT_TEMPLATE
    processor.save_pretrained(tmp_path / "saved")
    xyz, rot = map(torch.from_numpy, history())
    inputs = {"images": torch.from_numpy(frames()), "ego_history_xyz": xyz, "ego_history_rot": rot}
    torch.save(inputs, tmp_path / "in.pt")
    arguments = [tmp_path / "saved", tmp_path / "in.pt", tmp_path / "out.pt"]
    environment = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    child = in_fresh_python(["-c", WITHOUT_VLAHUB, *arguments], env=environment, cwd=tmp_path)
    assert child.returncode == 0, child.stderr[-3000:]
    found = torch.load(tmp_path / "out.pt")
    assert found.pop("template") == CHAT_TEMPLATE and found.pop("settings") == PIXELS["max_pixels"]
    check_equal(found, call(processor))


def test_a_saved_folder_holds_the_files_that_both_lines_read(make, tmp_path):
    make().save_pretrained(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"} <= names
    code = ("processing_alpamayo_r1", "image_processing_alpamayo_r1", "special_tokens", "trajectory_tokenizers")
    assert {f"{name}.py" for name in code} <= names
    assert not any("cogvla" in name or "llava3d" in name for name in names)
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    assert saved["history_token_config"] == HISTORY_VALUES and saved["auto_map"]
