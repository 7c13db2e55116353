"""MapAnythingLlava3DProcessor: image tokens, state, cameras and action tokens, or a named error."""

import copy

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE, WordLevel
from transformers import PreTrainedTokenizerFast

from vlahub.configuration.vla_errors import ConfigError, InputError
from vlahub.processing.mapanything_llava3d import spatial_action_tokenizer
from vlahub.processing.mapanything_llava3d.image_processing_mapanything_llava3d import MapAnythingLlava3DImageProcessor
from vlahub.processing.mapanything_llava3d.processing_mapanything_llava3d import MapAnythingLlava3DProcessor
from vlahub.processing.mapanything_llava3d.spatial_action_tokenizer import SpatialActionTokenizer

WORDS = ["pick", "up", "the", "bowl", "wave", "task", ":", "do"]
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
ACTION_TOKENS = {
    "num_bins": {
        "translation": {"theta_bins": 4, "phi_bins": 4, "r_bins": 2},
        "rotation": {"roll_bins": 2, "pitch_bins": 3, "yaw_bins": 2},
        "gripper": 2,
    }
}
LOW, HIGH = [-2.0] * 6 + [0.0], [2.0] * 6 + [1.0]
MASK = [True] * 6 + [False]
STATISTICS = {
    "action": {"min": LOW, "max": HIGH, "q01": LOW, "q99": HIGH, "mean": [0.0] * 7, "std": [1.0] * 7, "mask": MASK},
    "state": {"q01": [0.0, -4.0, 10.0], "q99": [2.0, 4.0, 20.0], "mean": [0.0] * 3, "std": [2.0] * 3},
}
STATE, NORMALIZED = [1.5, -3.0, 11.0], [0.5, -0.75, -0.8]
CAMERA = [[100.0, 0.0, 40.0], [0.0, 200.0, 30.0], [0.0, 0.0, 1.0]]
KITCHEN = {"kitchen": {"intrinsic": CAMERA, "width": 56, "height": 14}}


def noise(height=28, width=28, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


VIEWS = [noise(seed=1), noise(14, 56, seed=2)]


def word_level():
    """Words between spaces, a begin token, and nothing that fills up."""
    tokens = ["<unk>", "<s>", "</s>", *WORDS]
    tokenizer = Tokenizer(WordLevel({token: i for i, token in enumerate(tokens)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)


def bpe():
    """Pieces of words that carry the space before them, as Llama's."""
    pieces = sorted(set("".join(WORDS)) | set("\u2581<image>"))
    merges = [("\u2581", "p"), ("\u2581p", "i"), ("t", "h"), ("th", "e"), ("<", "i"), ("<i", "m")]
    tokens = ["<unk>", "<s>", "</s>", "<pad>", *pieces, *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(BPE({token: i for i, token in enumerate(tokens)}, merges, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", **SPECIAL)


TOKENIZERS = {"words": word_level, "pieces": bpe}


@pytest.fixture
def make():
    def build(tokenizer="words", **settings):
        images = {"size": {"height": 28, "width": 28}, **settings.pop("images", {})}
        tokenizer = TOKENIZERS[tokenizer]() if isinstance(tokenizer, str) else tokenizer
        return MapAnythingLlava3DProcessor(MapAnythingLlava3DImageProcessor(**images), tokenizer, **settings)

    return build


# Prompts


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("views", [1, 3])
@pytest.mark.parametrize("text", ["wave", "pick <image> up", "<image>wave", "wave<image>", "  <image>  \n wave"])
def test_each_view_has_its_image_tokens_in_one_row(make, tokenizer, views, text):
    processor = make(tokenizer)
    output = processor(images=[noise()] * views, text=text)
    images = output["input_ids"][0] == processor.image_token_id
    assert images.sum() == processor.image_seq_length * views == 4 * views
    first = int(images.nonzero()[0])
    assert images[first : first + 4 * views].all()


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_words_around_the_image_tokens_stay_as_they_were(make, tokenizer):
    processor = make(tokenizer)
    for text in ("pick <image> up", "<image> wave"):
        plain = processor.tokenizer(text)["input_ids"]
        place = plain.index(processor.image_token_id)
        expected = plain[:place] + [processor.image_token_id] * 8 + plain[place + 1 :]
        assert processor(images=VIEWS, text=text)["input_ids"].tolist() == [expected]


def test_a_text_without_an_image_token_gets_it_in_front(make):
    processor = make()
    ids = processor(images=noise(), text="wave")["input_ids"]
    assert ids.tolist() == [[1, *[processor.image_token_id] * 4, 3 + WORDS.index("wave")]]
    assert ids.tolist() == processor(images=noise(), text="<image> wave")["input_ids"].tolist()


def test_as_many_image_tokens_as_views_get_one_view_each(make):
    processor = make()
    ids = processor(images=VIEWS, text="pick <image> up <image> bowl")["input_ids"][0].tolist()
    image, (pick, up, bowl) = processor.image_token_id, (3 + WORDS.index(word) for word in ("pick", "up", "bowl"))
    assert ids == [1, pick, *[image] * 4, up, *[image] * 4, bowl]


@pytest.mark.parametrize(("count", "views"), [(2, 1), (2, 3), (3, 2)])
def test_another_number_of_image_tokens_is_refused_with_both_numbers(make, count, views):
    with pytest.raises(InputError, match=f"text holds {count} image tokens, the sample {views} views"):
        make()(images=[noise()] * views, text="<image> " * count + "wave")


def test_the_number_of_tokens_of_a_view_can_be_set(make):
    processor = make(image_seq_length=7)
    ids = processor(images=VIEWS, text="wave")["input_ids"]
    assert (ids == processor.image_token_id).sum() == 14


def test_the_template_is_filled_with_the_instruction_as_it_is(make):
    processor = make(prompt_template="task : {instruction} do {it}")
    ids = processor(images=noise(), text="wave {0}")["input_ids"]
    assert ids.tolist() == processor(images=noise(), text="wave {0}")["input_ids"].tolist()
    expected = processor.tokenizer("<image> task : wave {0} do {it}")["input_ids"]
    assert ids[0, 5:].tolist() == expected[2:]


def test_the_template_may_hold_the_image_token(make):
    processor = make(prompt_template="task : <image> {instruction}")
    ids = processor(images=noise(), text="wave")["input_ids"][0].tolist()
    assert ids[3:7] == [processor.image_token_id] * 4
    with pytest.raises(InputError, match="holds 2 image tokens, the sample 1 views"):
        processor(images=noise(), text="<image> wave")


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(("tokenizer", "filler"), [("words", 2), ("pieces", 3)], ids=["end token", "padding token"])
def test_shorter_prompts_are_filled_up_on_the_side_asked_for(make, side, tokenizer, filler):
    processor = make(tokenizer, padding_side=side)
    texts = ["wave", "pick up the bowl"]
    singles = [processor(images=noise(), text=text)["input_ids"][0].tolist() for text in texts]
    batch = processor(images=[noise()] * 2, text=texts)
    missing = len(singles[1]) - len(singles[0])
    fill, real = [filler] * missing, [1] * len(singles[0])
    ids = singles[0] + fill if side == "right" else fill + singles[0]
    mask = real + [0] * missing if side == "right" else [0] * missing + real
    assert batch["input_ids"].tolist() == [ids, singles[1]]
    assert batch["attention_mask"].tolist() == [mask, [1] * len(singles[1])]
    other = "left" if side == "right" else "right"
    turned = processor(images=[noise()] * 2, text=texts, padding_side=other)
    assert turned["attention_mask"][0].tolist() == mask[::-1]


def test_an_unknown_padding_side_is_refused(make):
    with pytest.raises(InputError, match="padding_side='middle' is unknown; choose from right, left"):
        make()(images=noise(), text="wave", padding_side="middle")


def test_a_tokenizer_with_nothing_to_fill_up_with_is_refused(make):
    tokenizer = word_level()
    tokenizer.eos_token = None
    with pytest.raises(ConfigError, match="neither a pad_token nor an eos_token"):
        make(tokenizer)(images=noise(), text="wave")


# The image token


def test_the_image_token_is_added_once_as_a_token_that_is_not_split(make):
    tokenizer = bpe()
    before = len(tokenizer)
    processor = make(tokenizer)
    assert (len(tokenizer), processor.image_token_id) == (before + 1, before)
    assert (len(make(tokenizer).tokenizer), make(tokenizer).image_token_id) == (before + 1, before)
    ids = processor(images=noise(), text="wave")["input_ids"][0]
    assert "<image>" not in tokenizer.decode(ids, skip_special_tokens=True)


def test_a_tokenizer_that_has_the_image_token_keeps_its_id(make):
    tokenizer = word_level()
    tokenizer.add_tokens(["<picture>", "</picture>"], special_tokens=True)
    processor = make(tokenizer, image_token="<picture>")
    assert (processor.image_token_id, len(tokenizer)) == (11, 13)
    assert (processor(images=noise(), text="wave")["input_ids"] == 11).sum() == 4


def test_an_image_token_that_is_only_a_word_of_the_vocabulary_becomes_a_special_token(make):
    tokens = ["<unk>", "<s>", "</s>", "<image>", "wave"]
    raw = Tokenizer(WordLevel({token: i for i, token in enumerate(tokens)}, "<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()  # splits '<', 'image' and '>'
    processor = make(PreTrainedTokenizerFast(tokenizer_object=raw, **SPECIAL))
    assert processor.image_token_id == 3
    assert processor(images=noise(), text="wave")["input_ids"].tolist() == [[3, 3, 3, 3, 4]]


def test_an_image_token_that_the_tokenizer_does_not_see_is_refused(make):
    """Never go on with fewer image tokens than views: features would be left out in silence."""
    tokenizer = word_level()
    tokenizer.add_tokens([AddedToken("<image>", single_word=True, special=True)], special_tokens=True)
    processor = make(tokenizer)
    assert (processor(images=noise(), text="<image> wave")["input_ids"] == processor.image_token_id).sum() == 4
    with pytest.raises(InputError, match="sees 0 of 1 image tokens in 'wave<image>wave'"):
        processor(images=noise(), text="wave<image>wave")


# Batches


def test_a_batch_equals_its_samples_run_singly(make):
    settings = {"norm_stats": {"kitchen": STATISTICS}, "state_dim": 3, "action_token_config": ACTION_TOKENS}
    processor = make("pieces", **settings)
    samples, texts = [VIEWS, [noise(seed=3), noise(60, 20, seed=4)]], ["wave", "pick up the bowl"]
    more = {"state": [STATE, [0.0, 0.0, 15.0]], "actions": some_actions(2, 2)}
    batch = processor(images=samples, text=texts, intrinsic=CAMERA, **more)
    for i, (views, text) in enumerate(zip(samples, texts, strict=True)):
        one = {name: value[i] for name, value in more.items()}
        single = processor(images=views, text=text, intrinsic=CAMERA, **one)
        real = batch["attention_mask"][i].bool()
        assert torch.equal(batch["input_ids"][i][real], single["input_ids"][0])
        for name in ("pixel_values", "state", "intrinsic"):
            assert torch.equal(batch[name][i], single[name][0]), name


def test_the_output_holds_the_arguments_of_predict_action_and_nothing_else(make):
    processor = make(norm_stats={"kitchen": STATISTICS}, state_dim=3, intrinsic_config=KITCHEN)
    output = processor(images=VIEWS, text="wave", state=STATE)
    assert {name: (value.dtype, tuple(value.shape)) for name, value in output.items()} == {
        "input_ids": (torch.int64, (1, 10)),
        "attention_mask": (torch.int64, (1, 10)),
        "pixel_values": (torch.float32, (1, 2, 3, 28, 28)),
        "state": (torch.float32, (1, 3)),
        "intrinsic": (torch.float32, (1, 2, 3, 3)),
    }
    assert set(make()(images=VIEWS, text="wave")) == {"input_ids", "attention_mask", "pixel_values"}
    arrays = processor(images=VIEWS, text="wave", state=STATE, return_tensors="np")
    for name, value in arrays.items():
        assert isinstance(value, np.ndarray), name
        np.testing.assert_array_equal(value, output[name].numpy())


def test_an_embodiment_is_one_for_all_samples_or_one_for_each(make):
    processor, batch = make(), {"images": [[noise()]] * 2, "text": ["wave", "pick up"]}
    for given, wanted in ((1, [1, 1]), ([2, 0], [2, 0])):
        assert processor(**batch, embodiment_id=given)["embodiment_id"].tolist() == wanted
    with pytest.raises(InputError, match="embodiment_id"):
        processor(**batch, embodiment_id=[0, 1, 2])


@pytest.mark.parametrize(
    ("images", "text", "message"),
    [
        ([VIEWS] * 3, ["wave", "wave"], "images holds 3 samples, text 2"),
        ([VIEWS, VIEWS[:1]], ["wave", "wave"], "sample 1 has 1 images, expected 2"),
        ({"left": noise()}, "wave", "exactly one of"),
    ],
)
def test_images_that_do_not_fit_the_texts_are_refused(make, images, text, message):
    with pytest.raises(InputError, match=message):
        make()(images=images, text=text)


# State


@pytest.fixture
def with_state(make):
    return make(norm_stats={"kitchen": STATISTICS}, state_dim=3)


@pytest.mark.parametrize("form", [list, tuple, np.array, torch.tensor, lambda state: torch.tensor(state).double()])
def test_every_form_of_the_state_gives_the_same_numbers(with_state, form):
    for state, count in ((STATE, 1), ([STATE], 1), ([[STATE]], 1), ([STATE] * 2, 2), ([[STATE]] * 2, 2)):
        output = with_state(images=[[noise()]] * count, text=["wave"] * count, state=form(state))
        torch.testing.assert_close(output["state"], torch.tensor([NORMALIZED] * count))


def test_statistics_named_proprio_serve_the_state_unless_there_are_others(make):
    proprio = {"q01": [0.0] * 3, "q99": [20.0] * 3}
    both = {"action": STATISTICS["action"], "proprio": proprio}
    processor = make(norm_stats={"a": both, "b": {**both, "state": STATISTICS["state"]}}, state_dim=3)
    states = [processor(images=noise(), text="wave", state=STATE, unnorm_key=key)["state"][0] for key in "ab"]
    torch.testing.assert_close(states[0], torch.tensor([-0.85, -1.0, 0.1]))
    torch.testing.assert_close(states[1], torch.tensor(NORMALIZED))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, "state is missing: this checkpoint needs the robot's 3 state values"),
        ([0.0] * 4, r"state has shape \(1, 4\); \(batch, state_dim\) is \(1, 3\)"),
        ([[STATE, STATE]], r"state has shape \(1, 2, 3\)"),
        ([0.0, float("nan"), 0.0], "state holds values that are not finite"),
        ([STATE, STATE[:2]], "state must be numbers"),
    ],
)
def test_a_state_of_the_wrong_form_is_refused(with_state, state, message):
    with pytest.raises(InputError, match=message):
        with_state(images=VIEWS, text="wave", state=state)


def test_a_state_for_a_model_without_it_is_refused(make):
    with pytest.raises(InputError, match=r"takes no robot state \(state_dim is None\)"):
        make()(images=VIEWS, text="wave", state=STATE)


@pytest.mark.parametrize(
    ("stats", "key", "message"),
    [
        ({"kitchen": STATISTICS, "lab": STATISTICS}, None, "unnorm_key must say which.*choices: kitchen, lab"),
        ({"kitchen": STATISTICS}, "garage", "unnorm_key='garage' is unknown; choices: kitchen"),
    ],
)
def test_statistics_are_never_guessed(make, stats, key, message):
    with pytest.raises(InputError, match=message):
        make(norm_stats=stats, state_dim=3)(images=VIEWS, text="wave", state=STATE, unnorm_key=key)


# Cameras


def scaled(width_ratio, height_ratio):
    return torch.tensor(CAMERA) * torch.tensor([[width_ratio], [height_ratio], [1.0]])


def test_a_camera_matrix_follows_each_image_to_its_new_size(make):
    found = make()(images=VIEWS, text="wave", intrinsic=CAMERA)["intrinsic"]
    torch.testing.assert_close(found, torch.stack([scaled(1.0, 1.0), scaled(0.5, 2.0)])[None])


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3), (2, 2, 3, 3)])
def test_camera_matrices_may_be_given_for_all_for_views_or_for_each_image(make, shape):
    matrices = np.random.RandomState(0).uniform(1, 9, shape)
    found = make()(images=[VIEWS, VIEWS[::-1]], text=["wave"] * 2, intrinsic=matrices)["intrinsic"]
    factors = torch.tensor([[[1.0, 1.0, 1.0], [0.5, 2.0, 1.0]], [[0.5, 2.0, 1.0], [1.0, 1.0, 1.0]]])
    expected = torch.tensor(matrices).float().expand(2, 2, 3, 3) * factors.unsqueeze(-1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (np.ones((3, 3, 3)), r"shape \(3, 3, 3\); accepted is .* with batch 1 and views 2"),
        (np.ones((2, 2, 3, 3)), r"shape \(2, 2, 3, 3\)"),
        (np.full((3, 3), np.inf), "intrinsic holds values that are not finite"),
    ],
)
def test_camera_matrices_of_the_wrong_form_are_refused(make, matrices, message):
    with pytest.raises(InputError, match=message):
        make()(images=VIEWS, text="wave", intrinsic=matrices)


def test_the_camera_of_the_dataset_is_used_where_none_is_given(make):
    other = {"intrinsic": np.eye(3), "width": 28, "height": 28}
    cameras = {**KITCHEN, "default": other}
    processor = make(intrinsic_config=cameras)
    found = {
        key: processor(images=noise(), text="wave", unnorm_key=key)["intrinsic"] for key in ("kitchen", "lab", None)
    }
    torch.testing.assert_close(found["kitchen"], scaled(0.5, 2.0)[None, None])
    torch.testing.assert_close(found["lab"], torch.eye(3)[None, None])
    torch.testing.assert_close(found[None], torch.eye(3)[None, None])
    given = processor(images=noise(), text="wave", unnorm_key="kitchen", intrinsic=CAMERA)["intrinsic"]
    torch.testing.assert_close(given, torch.tensor(CAMERA)[None, None])


def test_the_only_camera_is_used_without_a_key_but_not_for_another_dataset(make):
    processor = make(intrinsic_config=KITCHEN)
    found = processor(images=noise(), text="wave")["intrinsic"]
    torch.testing.assert_close(found, scaled(0.5, 2.0)[None, None])
    assert "intrinsic" not in processor(images=noise(), text="wave", unnorm_key="garage")


# Actions


def some_actions(*shape):
    actions = np.random.RandomState(0).uniform(-1, 1, (*shape, 7))
    actions[..., 6] = actions[..., 6] > 0
    return actions


@pytest.fixture
def with_actions(make):
    return make(norm_stats={"kitchen": STATISTICS}, action_token_config=ACTION_TOKENS)


def test_actions_to_train_on_follow_the_text(with_actions):
    actions = some_actions(2, 3)
    output = with_actions(images=[[noise()]] * 2, text=["wave", "pick up"], actions=actions)
    tokens = with_actions.action_tokens
    expected = tokens.encode(actions).reshape(2, 9).tolist()
    prompt = with_actions(images=noise(), text="pick up")["input_ids"][0].tolist()
    assert output["input_ids"][1].tolist() == prompt + expected[1]
    assert output["input_ids"][0, -10:-1].tolist() == expected[0]
    assert output["attention_mask"].tolist() == [[1] * 15 + [0], [1] * 16]
    assert tokens.first_token_id == with_actions.tokenizer.convert_tokens_to_ids("<ACTION00000>") == 12
    assert len(with_actions.tokenizer) == 12 + tokens.vocab_size


def test_actions_in_robot_units_are_told_of_once_before_their_tokens_are_cut(with_actions, monkeypatch):
    said = []
    monkeypatch.setattr(spatial_action_tokenizer.logger, "warning_once", said.append)
    actions = some_actions(1, 3)
    with_actions(images=noise(), text="wave", actions=actions)
    assert said == []
    actions[0, :, 2] = 40
    output = with_actions(images=noise(), text="wave", actions=actions)
    assert len(said) == 1 and "14.3% of the numbers in `actions` lie beyond -1 to 1 (dimensions [2], up" in said[0]
    actions[0, :, 2] = 1
    assert torch.equal(output["input_ids"], with_actions(images=noise(), text="wave", actions=actions)["input_ids"])


@pytest.mark.parametrize("form", [lambda ids: ids, torch.Tensor.tolist, torch.Tensor.numpy], ids=["pt", "list", "np"])
def test_generated_tokens_become_actions_in_robot_units(with_actions, form):
    tokens = SpatialActionTokenizer.from_dict(ACTION_TOKENS, first_token_id=12)
    ids = torch.from_numpy(tokens.encode(some_actions(2, 3))).reshape(2, 9)
    actions = with_actions.decode_actions(form(ids))
    normalized = torch.from_numpy(tokens.decode(ids.reshape(2, 3, 3).numpy())).float()
    expected = torch.cat([normalized[..., :6] * 2, normalized[..., 6:]], -1)
    assert actions.dtype == torch.float32 and actions.shape == (2, 3, 7)
    torch.testing.assert_close(actions, expected)
    torch.testing.assert_close(with_actions.decode_actions(form(ids[0])), expected[:1])


def test_end_tokens_behind_the_last_action_are_left_out(with_actions):
    ids = with_actions.action_tokens.encode(some_actions(2, 3)).reshape(2, 9)
    ended = np.concatenate([ids, [[with_actions.tokenizer.eos_token_id] * 2] * 2], axis=1)
    assert torch.equal(with_actions.decode_actions(ended), with_actions.decode_actions(ids))
    with pytest.raises(InputError, match=r"token_ids\[1, 6\]"):  # one row ends a step early
        with_actions.decode_actions([ids[0].tolist(), [*ids[1, :6].tolist(), 2, 2, 2]])


def test_padding_behind_the_last_action_is_left_out_where_it_is_no_end_token(make):
    processor = make("pieces", norm_stats={"kitchen": STATISTICS}, action_token_config=ACTION_TOKENS)
    ids, end, filler = processor.action_tokens.encode(some_actions(1, 2)).flatten().tolist(), 2, 3
    assert (processor.tokenizer.eos_token_id, processor.tokenizer.pad_token_id) == (end, filler)
    assert torch.equal(processor.decode_actions([*ids, end, filler, filler]), processor.decode_actions(ids))


def test_the_unnorm_key_selects_the_statistics_of_actions(make):
    doubled = {"action": {**STATISTICS["action"], "q01": [-4.0] * 7, "q99": [4.0] * 7}}
    stats = {"kitchen": STATISTICS, "lab": doubled}
    processor = make(norm_stats=stats, action_token_config=ACTION_TOKENS)
    ids = processor.action_tokens.encode(some_actions(3)).flatten()
    kitchen, lab = (processor.decode_actions(ids, unnorm_key=key) for key in ("kitchen", "lab"))
    torch.testing.assert_close(kitchen[..., :6] * 2, lab[..., :6])
    with pytest.raises(InputError, match=r"unnorm_key must say which.*kitchen, lab"):
        processor.decode_actions(ids)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([12, 44, 56, 12], r"shape \(1, 4\); a step has 3 action tokens"),
        ([12, 44, 3], r"token_ids\[0, 2\] is 3; the ids of gripper tokens are 56 to 57"),
        ([[12, 44, 56], [12, 12, 56]], r"token_ids\[1, 1\] is 12; the ids of rotation tokens are 44 to 55"),
    ],
)
def test_tokens_that_are_no_actions_are_refused_with_what_they_are(with_actions, ids, message):
    with pytest.raises(InputError, match=message):
        with_actions.decode_actions(ids)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros((2, 6)), r"shape \(1, 2, 6\); accepted is \(batch, steps, 7\) with batch 1"),
        (np.zeros((2, 2, 7)), r"shape \(2, 2, 7\)"),
        (np.full((2, 7), np.nan), "actions holds values that are not finite"),
    ],
)
def test_actions_of_the_wrong_form_are_refused(with_actions, actions, message):
    with pytest.raises(InputError, match=message):
        with_actions(images=noise(), text="wave", actions=actions)


def test_a_processor_without_action_tokens_refuses_both_directions(make):
    processor = make()
    assert processor.action_tokens is None and "<ACTION00000>" not in processor.tokenizer.get_vocab()
    with pytest.raises(InputError, match="no action tokens"):
        processor.decode_actions([0, 1, 2])
    with pytest.raises(InputError, match="no action tokens"):
        processor(images=noise(), text="wave", actions=some_actions(1))


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_seq_length": 0}, "image_seq_length"),
        ({"normalization_type": "minmax"}, "normalization_type='minmax' is unknown; choose from bounds"),
        ({"prompt_template": "wave"}, "prompt_template='wave' has no '{instruction}'"),
        ({"padding_side": "middle"}, "padding_side='middle'"),
        ({"norm_stats": {"kitchen": STATISTICS}, "state_dim": 4}, r"\['kitchen'\]\['state'\]\['q01'\] has 3 values"),
        ({"norm_stats": {"lab": {"action": STATISTICS["action"]}}, "state_dim": 3}, "no 'proprio' or 'state' part"),
        ({"action_token_config": {"num_bins": 256}}, "num_bins"),
        ({"action_token_config": {}}, "num_bins and perhaps"),
        ({"norm_stats": {"lab": {}}, "action_token_config": ACTION_TOKENS}, r"\['lab'\]\['action'\].* needs 7"),
        ({"intrinsic_config": {"lab": CAMERA}}, r"intrinsic_config\['lab'\] must hold 'intrinsic', 'width'"),
        ({"intrinsic_config": {"lab": {**KITCHEN["kitchen"], "width": 0}}}, r"intrinsic_config\['lab'\]: width"),
        ({"intrinsic_config": {"lab": {**KITCHEN["kitchen"], "intrinsic": [1.0]}}}, r"must be \(3, 3\), got shape"),
    ],
)
def test_a_setting_that_cannot_be_is_named(make, settings, message):
    with pytest.raises(ConfigError, match=message):
        make(**settings)


def test_a_refused_setting_leaves_the_tokenizer_as_it_was(make):
    tokenizer = word_level()
    with pytest.raises(ConfigError):
        make(tokenizer, padding_side="middle", action_token_config=ACTION_TOKENS)
    assert len(tokenizer) == 11


def test_nothing_that_the_caller_passes_is_changed(make):
    settings = {
        "norm_stats": {"kitchen": STATISTICS},
        "intrinsic_config": KITCHEN,
        "action_token_config": ACTION_TOKENS,
    }
    inputs = {"images": VIEWS, "state": np.array([STATE]), "intrinsic": np.array(CAMERA), "actions": some_actions(2)}
    before = copy.deepcopy((settings, inputs))
    processor = make(state_dim=3, **settings)
    outputs = [processor(text="wave", **inputs) for _ in range(2)]
    outputs[0]["state"].zero_()
    np.testing.assert_equal((settings, inputs), before)
    torch.testing.assert_close(outputs[1]["state"], torch.tensor([NORMALIZED]))


# Saving and loading


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_a_saved_processor_comes_back_the_same(make, tokenizer, tmp_path):
    processor = make(
        tokenizer,
        images={"pixel_range": "unit", "num_views": 2},
        image_seq_length=5,
        norm_stats={"kitchen": STATISTICS},
        normalization_type="normal",
        state_dim=3,
        intrinsic_config={"kitchen": {**KITCHEN["kitchen"], "intrinsic": np.array(CAMERA)}},
        action_token_config={**ACTION_TOKENS, "min_sigma": 0.5},
        prompt_template="task : {instruction}",
        padding_side="left",
    )
    processor.save_pretrained(tmp_path)
    loaded = MapAnythingLlava3DProcessor.from_pretrained(tmp_path)
    assert loaded.image_processor.to_dict() == processor.image_processor.to_dict()
    assert len(loaded.tokenizer) == len(processor.tokenizer)
    assert loaded.action_token_config == processor.action_token_config
    arguments = {
        "images": [VIEWS] * 2,
        "text": ["wave", "pick up"],
        "state": [STATE] * 2,
        "actions": some_actions(2, 2),
    }
    expected, got = processor(**arguments), loaded(**arguments)
    assert set(got) == set(expected) == {"input_ids", "attention_mask", "pixel_values", "state", "intrinsic"}
    for name in expected:
        assert torch.equal(got[name], expected[name]), name
    ids = expected["input_ids"][:, -6:]
    assert torch.equal(loaded.decode_actions(ids), processor.decode_actions(ids))


def test_a_saved_folder_holds_the_files_and_the_code_that_both_lines_read(make, tmp_path):
    make().save_pretrained(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"} <= names
    code = ("processing_mapanything_llava3d", "image_processing_mapanything_llava3d", "spatial_action_tokenizer")
    assert {f"{name}.py" for name in (*code, "sample_inputs", "configuration_mapanything_llava3d")} <= names
    assert not any("cogvla" in name for name in names)
