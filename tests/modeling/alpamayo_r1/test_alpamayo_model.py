"""Alpamayo-R1 in use: what is computed once, batches, texts that end apart, options, training, checkpoints."""

import builtins
import copy
import json
import socket
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MaxLengthCriteria
from transformers.generation import LogitsProcessor, StoppingCriteria

from vlahub import AlpamayoR1, AlpamayoR1Config
from vlahub.errors import ConfigError, InputError
from vlahub.modeling.alpamayo_r1 import expert_steps
from vlahub.modeling.fused_linears import lie_side_by_side

START, IM_END, PAD, IMAGE, HISTORY = 498, 302, 300, 312, 501
TRAJECTORY = range(326, 486)
FIRST_PLACE = 168  # behind the case's prompt, from its published positions
STEPS = 3
GREEDY = {"top_k": 1, "top_p": 1.0, "temperature": 1.0, "num_traj_samples": 1, "num_inference_steps": STEPS}


@pytest.fixture(scope="module")
def case(golden):
    return golden("alpamayo/alpamayo_expert_step")


@pytest.fixture(scope="module")
def state(case):
    return case.state()


@pytest.fixture(scope="module")
def make_config(case):
    def make(**overrides):
        fields = copy.deepcopy(case.config)
        vlm, expect = fields.pop("vlm"), fields.pop("expect")
        return AlpamayoR1Config(**{"vlm_config": vlm, **expect, **fields, "pad_token_id": PAD, **overrides})

    return make


@pytest.fixture(scope="module")
def make_model(make_config, state):
    def make(attn_implementation="sdpa", **overrides):
        model = AlpamayoR1._from_config(make_config(**overrides), attn_implementation=attn_implementation).eval()
        model.load_state_dict(state, strict=True)
        return model

    return make


@pytest.fixture
def model(make_model):
    return make_model()


class Scenes:
    """Two prompts: two images and a long text, and one image of another size, a shorter text and a slower car."""

    def __init__(self, case):
        long, patches = case.input("input_ids")[0].tolist(), case.input("pixel_values")
        history = [HISTORY] * 48
        short = [*long[:20], 309, *[IMAGE] * 6, 310, 491, *history, 493, *long[-30:]]
        self.rows = [long, short]
        self.pixels = [patches, patches[:24].flip(0)]
        self.grids = [case.input("image_grid_thw"), torch.tensor([[1, 4, 6]])]
        xyz, rot = case.input("ego_history_xyz"), case.input("ego_history_rot")
        self.histories = [(xyz, rot), (xyz * 0.6, rot)]

    def batch(self, *rows, text=(), side="left"):
        """Arguments of the model for these prompts, with `text[i]` behind the i-th."""
        tokens = [self.rows[row] + (list(text[i]) if text else []) for i, row in enumerate(rows)]
        longest = max(map(len, tokens))
        pads = [longest - len(row) for row in tokens]
        pairs = list(zip(tokens, pads, strict=True))
        left = side == "left"
        ids = [[PAD] * pad + row if left else row + [PAD] * pad for row, pad in pairs]
        mask = [[0] * pad + [1] * len(row) if left else [1] * len(row) + [0] * pad for row, pad in pairs]
        return {
            "input_ids": torch.tensor(ids),
            "attention_mask": torch.tensor(mask),
            "pixel_values": torch.cat([self.pixels[row] for row in rows]),
            "image_grid_thw": torch.cat([self.grids[row] for row in rows]),
            "ego_history_xyz": torch.cat([self.histories[row][0] for row in rows]),
            "ego_history_rot": torch.cat([self.histories[row][1] for row in rows]),
        }


@pytest.fixture(scope="module")
def scenes(case):
    return Scenes(case)


def noise(rows, seed=0):
    return torch.randn(rows, 64, 2, generator=torch.Generator().manual_seed(seed))


class Forced(LogitsProcessor):
    """Row by row, the tokens that have to be written; then, or where it says `None`, what the row likes."""

    def __init__(self, *rows):
        self.rows, self.length = rows, None

    def __call__(self, input_ids, scores):
        self.length = self.length or input_ids.shape[1]
        scores, step = scores.clone(), input_ids.shape[1] - self.length
        for row, tokens in enumerate(self.rows):
            if step < len(tokens) and tokens[step] is not None:
                scores[row] = float("-inf")
                scores[row, tokens[step]] = 0.0
        return scores


def with_history(model, batch):
    """The prompts with the tokens of their histories."""
    return model.with_history(batch["input_ids"], *(batch[f"ego_history_{part}"][:, 0] for part in ("xyz", "rot")))


def sample(model, batch, forced=None, **options):
    """Greedy with fixed noise, unless options say otherwise."""
    options = {**GREEDY, "max_new_tokens": 6, **options}
    if forced is not None:
        options["logits_processor"] = [Forced(*forced)]
    if "noise" not in options:
        rows = len(batch["input_ids"]) * options["num_traj_samples"] * options.get("num_traj_sets", 1)
        options["noise"] = noise(rows)
    return model.sample_trajectories(**batch, **options)


def assert_same(found, wanted, row=0, tolerance=1e-4):
    """A row of an output, all rows counted, is the only row of another."""
    for name in ("actions", "pred_xyz", "pred_rot"):
        one, other = getattr(found, name).flatten(0, 2)[row], getattr(wanted, name).flatten(0, 2)[0]
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance, msg=lambda text, n=name: f"{n}: {text}")
    assert found.has_start_token.flatten()[row] == wanted.has_start_token.item()


def new_tokens(output, row, prompt_length):
    """The text of a row without the padding behind it."""
    tokens = output.sequences[row, prompt_length:].tolist()
    while tokens and tokens[-1] == PAD:
        tokens.pop()
    return tokens


# ---- what is computed once


def test_images_and_prompt_are_read_once_however_many_samples_are_drawn(model, scenes):
    batch, calls = scenes.batch(0, 1), {"vision": [], "text": [], "expert": []}

    def count(kind, module):
        def hook(_, args, kwargs):
            states = args[0] if args else kwargs["hidden_states"]
            calls[kind].append(tuple(states.shape[:2]))

        module.register_forward_pre_hook(hook, with_kwargs=True)

    for block in model.vlm.model.visual.blocks:
        count("vision", block)
    for layer in model.vlm.model.language_model.layers:
        count("text", layer)
    for layer in model.expert.layers:
        count("expert", layer)
    sample(model, batch, [[40, 41, START]] * 12, num_traj_samples=3, num_traj_sets=2)

    depth, patches = len(model.expert.layers), len(batch["pixel_values"])
    assert [shape[0] for shape in calls["vision"]] == [patches] * len(model.vlm.model.visual.blocks)
    assert calls["text"] == [(2, batch["input_ids"].shape[1])] * depth + [(12, 1)] * 3 * depth
    assert calls["expert"] == [(12, 64)] * STEPS * depth


def test_the_expert_never_changes_or_copies_the_keys_and_values_of_the_text(model, scenes, monkeypatch):
    steps, drive = [], expert_steps.drive

    def looked_at(model, inputs, options, keys):
        text = keys.written[0][0].shape[2] - inputs.noise.shape[1]

        def look(*_):
            pairs = [*keys.prompt, *((own[:, :, :text] for own in pair) for pair in keys.written)]
            steps.append([(part.data_ptr(), part.clone()) for pair in pairs for part in pair])

        hook = model.expert.norm.register_forward_hook(look)
        look()
        found = drive(model, inputs, options, keys)
        hook.remove()
        return found

    monkeypatch.setattr(expert_steps, "drive", looked_at)
    sample(model, scenes.batch(0), [[40, START], [41, START]], num_traj_samples=2)

    assert len(steps) == STEPS + 1
    assert len(steps[0][0][1]) == 1  # one prompt, whatever the number of its samples
    for parts in steps[1:]:
        for (place, found), (first_place, first) in zip(parts, steps[0], strict=True):
            assert place == first_place
            assert torch.equal(found, first)


def test_the_published_switch_keeps_the_four_graphs_of_each_shape_of_a_drive(model):
    model.enable_diffusion_expert_cuda_graph(max_batch_size=6, max_graphs=2)
    assert (model.fast_prediction.max_graphs, model.fast_prediction.max_batch_size) == (8, 6)


def test_projections_of_text_and_expert_are_fused(model):
    model.fuse_projections()
    for layer in (*model.vlm.model.language_model.layers, *model.expert.layers):
        attention, mlp = layer.self_attn, layer.mlp
        for group in ((attention.q_proj, attention.k_proj, attention.v_proj), (mlp.gate_proj, mlp.up_proj)):
            assert lie_side_by_side([linear.weight for linear in group])


# ---- batches


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_prompts_of_different_lengths_and_images_are_as_each_alone(implementation, make_model, scenes):
    model, start = make_model(implementation), noise(2)
    together = sample(model, scenes.batch(0, 1), noise=start)
    length = scenes.batch(0, 1)["input_ids"].shape[1]
    assert scenes.batch(0, 1)["attention_mask"].sum(1).tolist() != [length, length]

    for row in (0, 1):
        alone = sample(model, scenes.batch(row), noise=start[row : row + 1])
        assert new_tokens(together, row, length) == new_tokens(alone, 0, len(scenes.rows[row]))
        assert_same(together, alone, row)


def test_only_the_published_mask_lets_padding_change_a_trajectory(make_model, scenes):
    forced, shifts = [[40, START]] * 2, {}
    for masked in (True, False):
        model = make_model(mask_prompt_padding=masked)
        together = sample(model, scenes.batch(0, 1), forced)
        alone = sample(model, scenes.batch(1), forced[1:], noise=noise(2)[1:])
        shifts[masked] = (together.actions[1] - alone.actions[0]).abs().max()

    assert shifts[True] < 1e-4
    assert shifts[False] > 1e-2


def test_padding_on_the_right_is_refused(model, scenes):
    with pytest.raises(InputError, match="left"):
        sample(model, scenes.batch(0, 1, side="right"))


def test_samples_lie_in_the_order_batch_set_sample_and_are_as_each_alone(model, scenes):
    forced = [
        [START],
        [40, 41, 42, START],
        [43] * 5,  # the limit
        [44, IM_END],
        [45, START],
        [46, 495, START],
        [IM_END],
        [47, 48, 49, 50, START],  # at the limit
    ]
    start = noise(8, seed=3)
    options = {"max_new_tokens": 5, "num_inference_steps": STEPS}
    together = sample(model, scenes.batch(0, 1), forced, noise=start, num_traj_sets=2, num_traj_samples=2, **options)

    assert together.pred_xyz.shape == (2, 2, 2, 64, 3)
    assert together.pred_rot.shape == (2, 2, 2, 64, 3, 3)
    assert together.actions.shape == (2, 2, 2, 64, 2)
    for prompt in (0, 1):
        for part in (0, 1):
            for i in (0, 1):
                row = 4 * prompt + 2 * part + i
                alone = sample(model, scenes.batch(prompt), [forced[row]], noise=start[row : row + 1], **options)
                picked = SimpleNamespace(
                    **{
                        name: getattr(together, name)[prompt, part, i][None, None, None]
                        for name in ("actions", "pred_xyz", "pred_rot", "has_start_token")
                    }
                )
                assert_same(picked, alone)
                assert alone.has_start_token.item() == (START in forced[row])


def test_a_history_without_its_second_dimension_is_the_same(model, scenes):
    batch = scenes.batch(0)
    flat = {**batch, **{name: batch[name].squeeze(1) for name in ("ego_history_xyz", "ego_history_rot")}}

    assert torch.equal(sample(model, batch).pred_xyz, sample(model, flat).pred_xyz)


def test_a_prompt_with_the_history_in_it_already_is_the_same(model, scenes, case):
    fused = {**scenes.batch(0), "input_ids": case.input("input_ids").clone()}
    wanted = torch.tensor(case["outputs"]["fused_input_ids"]["values"])[None]
    fused["input_ids"] = wanted

    assert torch.equal(sample(model, scenes.batch(0)).pred_xyz, sample(model, fused).pred_xyz)
    assert torch.equal(sample(model, scenes.batch(0)).sequences[:, : wanted.shape[1]], wanted)


# ---- texts that end apart


def recorded_positions(model):
    seen = []
    model.expert.rotary_emb.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    return seen


def test_a_text_that_never_opens_the_trajectory_says_so_and_is_followed_by_one(model, scenes):
    positions = recorded_positions(model)
    output = sample(model, scenes.batch(0), [[40] * 5], max_new_tokens=5)

    assert output.has_start_token.tolist() == [[[False]]]
    assert output.pred_xyz.isfinite().all()
    assert new_tokens(output, 0, len(scenes.rows[0])) == [40] * 5
    assert positions[0].tolist() == [[list(range(FIRST_PLACE + 5, FIRST_PLACE + 5 + 64))]] * 3


def test_action_tokens_follow_the_start_token_of_their_own_text(model, scenes):
    positions = recorded_positions(model)
    sample(model, scenes.batch(0), [[START], [40, 41, START]], num_traj_samples=2)

    assert positions[0][:, :, 0].tolist() == [[FIRST_PLACE + 1, FIRST_PLACE + 3]] * 3


def test_a_row_that_ends_without_a_trajectory_does_not_make_the_others_run_on(model, scenes):
    output = sample(model, scenes.batch(0), [[40, IM_END], [41, 42, START]], num_traj_samples=2, max_new_tokens=40)

    length = len(scenes.rows[0])
    assert output.sequences.shape[1] == length + 4
    assert output.sequences[:, length:].tolist() == [[40, IM_END, PAD, PAD], [41, 42, START, PAD]]
    assert output.has_start_token.tolist() == [[[False, True]]]


def test_no_more_tokens_are_written_than_allowed(model, scenes):
    output = sample(model, scenes.batch(0), [[40] * 9], max_new_tokens=3)
    assert output.sequences.shape[1] == len(scenes.rows[0]) + 3

    by_default = sample(model, scenes.batch(0), [[40] * 200], max_new_tokens=None)
    assert by_default.sequences.shape[1] == len(scenes.rows[0]) + model.config.tokens_per_future_traj


def test_the_text_is_that_of_the_base_models_own_generate(model, scenes):
    batch = scenes.batch(0, 1)
    fused = with_history(model, batch)
    inputs = {name: batch[name] for name in ("attention_mask", "pixel_values", "image_grid_thw")}
    text = model.generate(
        fused,
        **inputs,
        max_new_tokens=5,
        do_sample=False,
        eos_token_id=[START, IM_END],
        pad_token_id=PAD,
        suppress_tokens=list(TRAJECTORY),
    )

    output = sample(model, batch, max_new_tokens=5)
    shared = min(text.shape[1], output.sequences.shape[1])
    assert shared > fused.shape[1] + 1
    assert torch.equal(output.sequences[:, :shared], text[:, :shared])


# ---- options of the text


class Spy(LogitsProcessor):
    def __init__(self):
        self.scores = []

    def __call__(self, input_ids, scores):
        self.scores.append(scores.clone())
        return scores


def test_the_callers_processors_see_masked_logits_before_temperature_top_k_and_top_p(model, scenes):
    spy, logits = Spy(), []
    model.vlm.lm_head.register_forward_hook(lambda _, args, out: logits.append(out.clone()))
    options = {"temperature": 0.5, "top_k": 3, "top_p": 0.5, "max_new_tokens": 3}
    sample(model, scenes.batch(0), **options, logits_processor=[spy], generator=torch.Generator().manual_seed(0))

    assert len(spy.scores) > 1
    for seen, raw in zip(spy.scores, logits, strict=False):
        raw[:, TRAJECTORY.start : TRAJECTORY.stop] = float("-inf")
        assert torch.equal(seen, raw)


def test_temperature_top_k_and_top_p_see_what_the_callers_processors_leave(model, scenes):
    class Only(LogitsProcessor):
        def __call__(self, input_ids, scores):
            left = torch.full_like(scores, float("-inf"))
            left[:, [40, 41, 42]] = torch.tensor([2.0, 2.0, 0.0])
            return left

    generator = torch.Generator().manual_seed(0)
    options = {"num_traj_samples": 8, "logits_processor": [Only()], "generator": generator, "max_new_tokens": 6}
    length = len(scenes.rows[0])

    def drawn(**warping):
        return set(sample(model, scenes.batch(0), **options, **warping).sequences[:, length:].flatten().tolist())

    assert drawn(top_k=None, temperature=3.0) == {40, 41, 42}
    assert drawn(top_k=2, temperature=3.0) == {40, 41}
    assert drawn(top_k=None, top_p=0.9) == {40, 41}
    assert drawn(top_k=None, temperature=0.05) == {40, 41}


def test_no_trajectory_token_is_written_even_where_it_is_the_likeliest(model, scenes):
    model.vlm.lm_head.register_forward_hook(lambda _, args, out: out.index_fill(-1, torch.tensor(TRAJECTORY), 1e4))
    output = sample(model, scenes.batch(0), num_traj_samples=2, top_k=None)

    assert not set(output.sequences[:, len(scenes.rows[0]) :].flatten().tolist()) & set(TRAJECTORY)


class StopAt(StoppingCriteria):
    def __init__(self, token):
        self.token = token

    def __call__(self, input_ids, scores, **kwargs):
        return input_ids[:, -1] == self.token


def test_stopping_criteria_end_rows(model, scenes):
    length = len(scenes.rows[0])
    forced = [[40, 41, 42, 43], [44, 45, 46, START]]
    output = sample(model, scenes.batch(0), forced, num_traj_samples=2, stopping_criteria=[StopAt(41)])

    assert output.has_start_token.tolist() == [[[False, True]]]
    assert new_tokens(output, 0, length) == [40, 41]
    assert new_tokens(output, 1, length) == [44, 45, 46, START]
    limit = sample(model, scenes.batch(0), forced[:1], stopping_criteria=[MaxLengthCriteria(length + 2)])
    assert new_tokens(limit, 0, length) == [40, 41]


def test_a_generator_decides_text_and_noise(model, scenes):
    options = {"top_k": None, "temperature": 2.0, "num_traj_samples": 2, "noise": None}

    def draw(seed):
        return sample(model, scenes.batch(0), **options, generator=torch.Generator().manual_seed(seed))

    before = torch.get_rng_state()
    first, again, other = draw(1), draw(1), draw(2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.sequences, again.sequences) and torch.equal(first.pred_xyz, again.pred_xyz)
    assert first.sequences.tolist() != other.sequences.tolist()
    assert not torch.equal(first.actions, other.actions)
    assert not torch.equal(first.sequences[0], first.sequences[1])


def test_given_noise_is_where_trajectories_start(model, scenes):
    forced, start = [[40, START]], noise(1, seed=5)
    first, again = (sample(model, scenes.batch(0), forced, noise=start) for _ in range(2))

    assert torch.equal(first.actions, again.actions)
    assert not torch.allclose(first.actions, sample(model, scenes.batch(0), forced, noise=start + 1).actions, atol=0.1)


# ---- refusals


REFUSED = {
    "temperature": ({"temperature": 0.0}, "temperature"),
    "negative temperature": ({"temperature": -1.0}, "temperature"),
    "nan temperature": ({"temperature": float("nan")}, "temperature"),
    "top_p 0": ({"top_p": 0.0}, "top_p"),
    "top_p above 1": ({"top_p": 1.1}, "top_p"),
    "top_k 0": ({"top_k": 0}, "top_k"),
    "top_k part": ({"top_k": 1.5}, "top_k"),
    "no samples": ({"num_traj_samples": 0, "noise": None}, "num_traj_samples"),
    "true samples": ({"num_traj_samples": True}, "num_traj_samples=True"),
    "half a sample": ({"num_traj_samples": 0.5, "noise": None}, "num_traj_samples"),
    "no sets": ({"num_traj_sets": 0, "noise": None}, "num_traj_sets"),
    "no steps": ({"num_inference_steps": 0}, "steps"),
    "half a step": ({"num_inference_steps": 2.5}, "steps"),
    "no new tokens": ({"max_new_tokens": 0}, "max_new_tokens"),
    "negative new tokens": ({"max_new_tokens": -3}, "max_new_tokens"),
    "noise": ({"noise": torch.zeros(1, 63, 2)}, r"\(1, 63, 2\)"),
    "noise rows": ({"noise": torch.zeros(2, 64, 2)}, r"\(2, 64, 2\)"),
}


@pytest.mark.parametrize("options, named", REFUSED.values(), ids=REFUSED)
def test_options_out_of_range_are_refused_by_name(options, named, model, scenes):
    with pytest.raises(InputError, match=named):
        sample(model, scenes.batch(0), **{"noise": noise(1), **options})


def test_a_prompt_without_room_for_text_and_waypoints_is_refused(make_model, scenes):
    model, batch = make_model(), scenes.batch(0)
    limit = batch["input_ids"].shape[1] + 6 + 64
    model.config.vlm_config.text_config.max_position_embeddings = limit
    sample(model, batch, max_new_tokens=6)
    with pytest.raises(InputError, match=f"only {limit} positions"):
        sample(model, batch, max_new_tokens=7)


def broken_history(name, change):
    return lambda batch: {**batch, name: change(batch[name])}


def with_value(tensor, value):
    tensor = tensor.clone()
    tensor.flatten()[-1] = value
    return tensor


def of_two(batch):
    """With poses of two prompts."""
    return batch | {name: batch[name].repeat(2, *[1] * (batch[name].dim() - 1)) for name in batch if "ego" in name}


BROKEN = {
    "both of two": (of_two, r"ego_history_xyz has shape \(2, 16, 3\)"),
    "rows": (broken_history("ego_history_xyz", lambda x: x.repeat(2, 1, 1, 1)), r"ego_history_xyz"),
    "two trajectories": (broken_history("ego_history_xyz", lambda x: x.repeat(1, 2, 1, 1)), "ego_history_xyz"),
    "two dimensions": (broken_history("ego_history_xyz", lambda x: x[..., :2]), "ego_history_xyz"),
    "quaternions": (broken_history("ego_history_rot", lambda x: x[..., 0]), "ego_history_rot"),
    "poses apart": (broken_history("ego_history_rot", lambda x: x[:, :, 1:]), "ego_history_rot"),
    "nan": (broken_history("ego_history_xyz", lambda x: with_value(x, float("nan"))), "finite"),
    "infinite": (broken_history("ego_history_rot", lambda x: with_value(x, float("inf"))), "finite"),
    "missing": (broken_history("ego_history_rot", lambda x: None), "ego_history_rot"),
    "images": (broken_history("image_grid_thw", lambda x: x[:1]), "images of image_grid_thw have 48 patches"),
    "mask": (broken_history("attention_mask", lambda x: x[:, 1:]), "attention_mask"),
}


@pytest.mark.parametrize("change, named", BROKEN.values(), ids=BROKEN)
def test_inputs_of_the_wrong_form_are_refused_by_name(change, named, model, scenes):
    with pytest.raises(InputError, match=named):
        sample(model, change(scenes.batch(0)))


@pytest.mark.parametrize("count", [47, 49])
def test_a_wrong_number_of_history_placeholders_is_refused_with_both_counts(count, model, scenes):
    batch = scenes.batch(0)
    places = (batch["input_ids"][0] == HISTORY).nonzero().flatten()
    if count < 48:
        batch["input_ids"][0, places[0]] = 40
    else:
        batch["input_ids"][0, places[-1] + 1] = HISTORY

    with pytest.raises(InputError, match=rf"{count}.*48"):
        sample(model, batch)


INCOMPLETE = {  # what is left out of a batch of training, and what is wrong then
    "no history": (
        ["ego_history_xyz", "ego_history_rot", "ego_future_xyz", "ego_future_rot"],
        "48 history placeholders",
    ),
    "rotations": (["ego_history_xyz", "ego_future_xyz", "ego_future_rot"], "ego_history_rot are both needed"),
    "positions": (["ego_history_rot", "ego_future_xyz", "ego_future_rot"], "ego_history_rot are both needed"),
    "a future alone": (["ego_history_xyz", "ego_history_rot"], "ego_history_rot are both needed"),
    "a future's rotations": (["ego_future_xyz"], "ego_future_rot are both needed"),
    "a future's positions": (["ego_future_rot"], "ego_future_rot are both needed"),
    "noise of no future": (["time", "ego_future_xyz", "ego_future_rot"], "noise was given without ego_future_xyz"),
    "a time of no future": (["noise", "ego_future_xyz", "ego_future_rot"], "time was given without ego_future_xyz"),
}


@pytest.mark.parametrize("missing, named", INCOMPLETE.values(), ids=INCOMPLETE)
def test_half_of_a_path_and_a_place_without_one_are_refused_in_training(missing, named, model, scenes):
    batch = training_batch(model, scenes, 0) | {"labels": training_batch(model, scenes, 0)["input_ids"]}
    with pytest.raises(InputError, match=named):
        model(**{name: value for name, value in batch.items() if name not in missing})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["ego_future_xyz", "ego_future_rot"])
def test_a_future_in_16_bits_is_refused_and_one_of_more_is_learnt(name, dtype, model, scenes):
    batch = training_batch(model, scenes, 0)
    assert torch.equal(model(**batch | {name: batch[name].double()}).loss, model(**batch).loss)
    with pytest.raises(InputError, match=rf"{name} is {dtype}.*pass float32"):
        model(**batch | {name: batch[name].to(dtype)})


def test_text_is_not_written_behind_a_place_without_a_path(model, scenes):
    prompt = {name: value for name, value in scenes.batch(0).items() if "ego" not in name}
    with pytest.raises(InputError, match="48 history placeholders, and no path"):
        model.generate(**prompt, max_new_tokens=1)


# ---- the published name


def test_the_published_method_gives_the_same_and_leaves_its_data_alone(model, scenes):
    batch, options = scenes.batch(0), {"top_k": None, "top_p": 0.9, "temperature": 0.8, "num_traj_samples": 2}
    names = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")
    data = {
        "tokenized_data": {name: batch[name] for name in names},
        "ego_history_xyz": batch["ego_history_xyz"],
        "ego_history_rot": batch["ego_history_rot"],
    }
    before = copy.deepcopy(data)
    torch.manual_seed(0)
    xyz, rot = model.sample_trajectories_from_data_with_vlm_rollout(
        data, **options, num_traj_sets=2, max_generation_length=4, diffusion_kwargs={"inference_step": STEPS}
    )
    torch.manual_seed(0)
    output = model.sample_trajectories(**batch, **options, num_traj_sets=2, max_new_tokens=4, num_inference_steps=STEPS)

    assert torch.equal(xyz, output.pred_xyz) and torch.equal(rot, output.pred_rot)
    assert data.keys() == before.keys() and data["tokenized_data"].keys() == before["tokenized_data"].keys()
    for name in names:
        assert torch.equal(data["tokenized_data"][name], before["tokenized_data"][name])
    for name in ("ego_history_xyz", "ego_history_rot"):
        assert torch.equal(data[name], before[name])


def test_the_published_method_refuses_what_it_does_not_know(model, scenes):
    batch = scenes.batch(0)
    data = {"tokenized_data": batch, "ego_history_xyz": batch["ego_history_xyz"]}
    data["ego_history_rot"] = batch["ego_history_rot"]

    with pytest.raises(InputError, match="inference_steps"):
        model.sample_trajectories_from_data_with_vlm_rollout(data, diffusion_kwargs={"inference_steps": 3})
    with pytest.raises(InputError, match="tokenizer"):
        model.sample_trajectories_from_data_with_vlm_rollout(data, return_extra=True, max_generation_length=1)


def test_sampling_leaves_the_generation_config_the_inputs_and_the_mode_alone(model, scenes):
    batch, settings = scenes.batch(0), model.vlm.generation_config.to_dict()
    before, config = copy.deepcopy(batch), model.vlm.generation_config
    sample(model, batch, top_k=5, temperature=0.3)

    assert model.vlm.generation_config is config and config.to_dict() == settings
    assert all(torch.equal(batch[name], before[name]) for name in batch)
    assert not model.training


def test_a_second_call_is_as_the_first(model, scenes):
    first = sample(model, scenes.batch(0))
    sample(model, scenes.batch(1))
    again = sample(model, scenes.batch(0))

    assert torch.equal(first.sequences, again.sequences) and torch.equal(first.pred_xyz, again.pred_xyz)


# ---- the expert


@pytest.mark.parametrize("both_ways", [True, False])
def test_action_tokens_see_later_ones_only_where_the_config_says_so(both_ways, make_model, scenes):
    model, start = make_model(expert_non_causal_attention=both_ways), noise(1)
    changed = start.clone()
    changed[:, 40:] += 1
    one, other = (sample(model, scenes.batch(0), [[40, START]], noise=x).actions for x in (start, changed))

    assert torch.equal(one[..., :40, :], other[..., :40, :]) is not both_ways
    assert not torch.allclose(one[..., 40:, :], other[..., 40:, :])


def test_an_expert_does_without_flash_attention_which_does_not_take_its_masks(make_config):
    config = make_config()
    config.expert_config._attn_implementation = "flash_attention_2"
    assert AlpamayoR1(config).expert.config._attn_implementation == "sdpa"


def test_weights_of_half_precision_draw_float32_actions_near_the_full_ones(make_model, scenes):
    forced = [[40, START]]
    full, half = sample(make_model(), scenes.batch(0), forced), make_model().to(torch.bfloat16)
    output = sample(half, scenes.batch(0), forced)

    assert output.actions.dtype == output.pred_xyz.dtype == output.pred_rot.dtype == torch.float32
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    assert (output.actions - full.actions).abs().mean() < 0.1 * full.actions.abs().mean()


def test_sampling_while_training_with_checkpointing_is_as_otherwise(model, scenes):
    wanted = sample(model, scenes.batch(0), [[40, START]])
    model.train()
    model.gradient_checkpointing_enable()

    assert_same(sample(model, scenes.batch(0), [[40, START]]), wanted)


# ---- training


TEXTS = ([40, 41, 495, START], [42, START])


def driven(model, batch, seed=7):
    """A future that the model's own vehicle can drive, (batch, 64, 3) and (batch, 64, 3, 3)."""
    actions = 0.3 * noise(len(batch["input_ids"]), seed).cumsum(1) / 8
    history = model.history(batch["input_ids"], batch["ego_history_xyz"], batch["ego_history_rot"])
    xyz, rot = model.action_space.action_to_traj(actions, *history)
    return {"ego_future_xyz": xyz, "ego_future_rot": rot}


def training_batch(model, scenes, *rows, side="left"):
    batch = scenes.batch(*rows, text=[TEXTS[row] for row in rows], side=side)
    draws = {"time": torch.tensor([0.2, 0.7])[list(rows)], "noise": noise(2)[list(rows)]}
    return {**batch, **driven(model, batch), **draws}


def gradients(module):
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def test_the_loss_of_a_future_is_finite_and_reaches_every_parameter_that_is_trained(make_model, scenes):
    model = make_model(stop_grad_from_vlm=False)
    output = model(**training_batch(model, scenes, 0, 1))
    output.loss.backward()

    assert output.loss.isfinite() and output.loss == output.action_loss
    assert output.lm_loss is None and output.logits is None
    trained = {n for n, _ in model.named_parameters() if not n.startswith("vlm.")}
    reached = {n for n, gradient in gradients(model).items() if gradient.abs().sum() > 0}
    assert trained <= reached
    assert any(name.startswith("vlm.model.visual") for name in reached)


def test_the_loss_of_the_expert_stops_at_the_vlms_keys_and_values(model, make_model, scenes):
    """By default, as published; the loss and the experts' gradients are the same, and labels still teach the VLM."""
    batch = training_batch(model, scenes, 0, 1)
    loss = model(**batch).loss
    loss.backward()
    found = gradients(model)
    assert model.config.stop_grad_from_vlm and found and not any(name.startswith("vlm.") for name in found)
    other = make_model(stop_grad_from_vlm=False)
    through = other(**batch).loss
    through.backward()
    torch.testing.assert_close(loss, through)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, gradients(other)[name], atol=1e-5, rtol=1e-4)
    for each, stop in ((model, False), (other, True)):  # the argument wins
        each.zero_grad()
        each(**batch, stop_grad_from_vlm=stop).loss.backward()
        assert any(name.startswith("vlm.") for name in gradients(each)) != stop
    other.zero_grad()
    other(**batch, labels=batch["input_ids"], stop_grad_from_vlm=True).loss.backward()
    model.zero_grad()
    output = model(**batch, labels=batch["input_ids"])
    output.lm_loss.backward()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, gradients(other)[name], atol=1e-5, rtol=1e-4)


def test_a_frozen_base_gets_no_gradient_and_the_others_the_same(make_model, scenes):
    free, frozen = make_model(stop_grad_from_vlm=False), make_model(stop_grad_from_vlm=False)
    frozen.vlm.requires_grad_(False)
    for model in (free, frozen):
        model(**training_batch(model, scenes, 0, 1)).loss.backward()

    found, wanted = gradients(frozen), gradients(free)
    assert found.keys() == {name for name in wanted if not name.startswith("vlm.")}
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], atol=1e-5, rtol=1e-4)


def test_the_loss_is_flow_matchings_own_of_the_velocity(model, scenes):
    velocities = []
    model.action_out_proj.register_forward_hook(lambda _, args, out: velocities.append(out))
    batch = training_batch(model, scenes, 0, 1)
    loss = model(**batch).loss

    history = model.history(batch["input_ids"], batch["ego_history_xyz"], batch["ego_history_rot"])
    target = model.action_space.traj_to_action(*history, batch["ego_future_xyz"], batch["ego_future_rot"])
    data = model.diffusion.construct_training_data(target, batch["noise"], batch["time"])
    torch.testing.assert_close(loss, model.diffusion.compute_loss_from_pred(data, velocities[0]))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [True, False])
def test_training_and_sampling_see_the_same_velocity(masked, causal, make_model, scenes):
    """Each Euler step of the sampler, asked again by way of the training forward."""
    model = make_model(mask_prompt_padding=masked, expert_non_causal_attention=not causal)
    states, velocities = [], []
    model.action_in_proj.register_forward_pre_hook(lambda _, args: states.append((args[0], args[1])))
    model.action_out_proj.register_forward_hook(lambda _, args, out: velocities.append(out.detach()))
    sampled = sample(model, scenes.batch(0, 1), [[40, 41, START], [42, 43, START]])
    length = scenes.batch(0, 1)["input_ids"].shape[1]
    drawn, wanted = list(states), list(velocities)
    assert len(wanted) == STEPS

    batch = scenes.batch(0, 1, text=[[40, 41, START, 77], [42, 43, START, 78]])
    assert torch.equal(batch["input_ids"][:, length:-1], sampled.sequences[:, length:-1])
    with torch.no_grad():
        for (x, t), velocity in zip(drawn, wanted, strict=True):
            # x = t * actions + (1 - t) * noise, with actions and noise both x
            model.action_space.traj_to_action = lambda *_, x=x: x
            model(**batch, **driven(model, batch), time=t.flatten(), noise=x)
            torch.testing.assert_close(states[-1][0], x, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(velocities[-1], velocity, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_loss_of_a_batch_is_the_mean_of_the_losses_of_its_rows(side, model, scenes):
    together = model(**training_batch(model, scenes, 0, 1, side=side)).loss
    alone = []
    for row in (0, 1):
        both = training_batch(model, scenes, 0, 1)
        batch = scenes.batch(row, text=[TEXTS[row]])
        rest = {n: both[n][row : row + 1] for n in ("ego_future_xyz", "ego_future_rot", "time", "noise")}
        alone.append(model(**batch, **rest).loss)

    torch.testing.assert_close(together, torch.stack(alone).mean(), atol=1e-5, rtol=1e-5)


def test_what_follows_the_start_token_does_not_change_the_loss_of_a_future(model, scenes):
    batch = training_batch(model, scenes, 0)
    longer = {**batch, **scenes.batch(0, text=[[*TEXTS[0], 326, 327, 500, IM_END]])}

    torch.testing.assert_close(model(**batch).loss, model(**longer).loss, atol=1e-6, rtol=1e-6)


def test_time_and_noise_are_drawn_where_they_are_not_given(model, scenes):
    batch = training_batch(model, scenes, 0, 1)
    del batch["time"], batch["noise"]
    torch.manual_seed(0)
    first, other = model(**batch).loss, model(**batch).loss
    torch.manual_seed(0)

    assert torch.equal(first, model(**batch).loss)
    assert first != other


def base_inputs(model, batch):
    """The same texts as the base itself takes them."""
    inputs = {name: batch[name] for name in ("attention_mask", "pixel_values", "image_grid_thw")}
    ids = with_history(model, batch)
    types = {"mm_token_type_ids": (ids == IMAGE).int()}
    return {"input_ids": ids, **inputs, **(types if hasattr(model.vlm.config.text_config, "rope_parameters") else {})}


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_loss_of_labels_is_the_base_models_own(side, model, scenes):
    batch = scenes.batch(0, 1, text=TEXTS, side=side)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    labels[:, :60] = -100
    output, wanted = model(**batch, labels=labels), model.vlm(**base_inputs(model, batch), labels=labels)

    torch.testing.assert_close(output.loss, wanted.loss, atol=1e-5, rtol=1e-5)
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(output.logits[real], wanted.logits[real], atol=1e-4, rtol=1e-4)
    assert output.action_loss is None


def test_without_a_future_and_labels_there_are_logits_that_the_base_can_learn_from(model, scenes):
    batch = scenes.batch(0, text=TEXTS[:1])
    output = model(**batch)
    assert output.loss is None and output.logits.shape[:2] == batch["input_ids"].shape
    output.logits.sum().backward()
    assert model.vlm.get_input_embeddings().weight.grad.any()
    model.zero_grad()


def test_both_losses_are_added(model, scenes):
    batch = training_batch(model, scenes, 0, 1)
    output = model(**batch, labels=batch["input_ids"])
    action = model(**batch).loss

    torch.testing.assert_close(output.action_loss, action)
    torch.testing.assert_close(output.loss, output.action_loss + output.lm_loss)
    assert model(**batch, return_dict=False)[0] == action


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("future", [False, True])
def test_gradient_checkpointing_changes_neither_losses_nor_gradients(future, frozen, make_model, scenes):
    results = []
    for checkpointing in (False, True):
        model = make_model(stop_grad_from_vlm=False).train()
        model.vlm.requires_grad_(not frozen)
        model.vlm.lm_head.requires_grad_(True)
        if checkpointing:
            model.gradient_checkpointing_enable()
        batch = training_batch(model, scenes, 0, 1)
        if not future:
            batch = {n: x for n, x in batch.items() if n not in ("ego_future_xyz", "ego_future_rot", "time", "noise")}
        output = model(**batch, labels=batch["input_ids"])
        output.loss.backward()
        results.append((output, gradients(model)))

    (plain, wanted), (output, found) = results
    torch.testing.assert_close(output.loss, plain.loss)
    torch.testing.assert_close(output.logits, plain.logits)
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], atol=1e-5, rtol=1e-4, msg=lambda t, n=name: f"{n}: {t}")


def test_gradient_checkpointing_computes_the_layers_of_the_expert_once_more(model, scenes):
    calls = []
    for layer in model.expert.layers:
        layer.mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    batch = training_batch(model, scenes, 0)
    model.train()(**batch).loss.backward()
    assert len(calls) == len(model.expert.layers)

    model.gradient_checkpointing_enable()
    calls.clear()
    model(**batch).loss.backward()
    assert len(calls) == 2 * len(model.expert.layers)


def test_gradient_checkpointing_computes_the_layers_of_a_text_alone_once_more(model, scenes):
    calls, batch = [], scenes.batch(0)
    layers = model.vlm.model.language_model.layers
    for layer in layers:
        layer.mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    model.train().gradient_checkpointing_enable()
    model(**batch, labels=batch["input_ids"]).loss.backward()
    assert len(calls) == 2 * len(layers)


@pytest.mark.parametrize("sampler", ["beta", "uniform"])
def test_times_are_drawn_as_the_config_says(sampler, make_model, scenes):
    model = make_model(diffusion_cfg={"train_timestep_sampler": sampler})
    batch = training_batch(model, scenes, 0, 1)
    del batch["time"]
    torch.manual_seed(3)
    loss = model(**batch).loss
    torch.manual_seed(3)
    uniform = torch.rand(2)
    times = 0.999 * (1 - uniform ** (1 / 1.5)) if sampler == "beta" else uniform

    torch.testing.assert_close(loss, model(**batch, time=times).loss)


def without_start(input_ids, row):
    changed = input_ids.clone()
    changed[row] = changed[row].masked_fill(changed[row] == START, 40)
    return changed


UNTRAINABLE = {
    "no start token": (lambda b: {**b, "input_ids": b["input_ids"].masked_fill(b["input_ids"] == START, 40)}, "start"),
    "one without": (lambda b: {**b, "input_ids": without_start(b["input_ids"], row=1)}, r"rows \[1\] .* start"),
    "no rotations": (lambda b: {**b, "ego_future_rot": None}, "ego_future_rot"),
    "no history": (lambda b: {**b, "ego_history_xyz": None}, "ego_history_xyz"),
    "waypoints": (lambda b: {**b, **{n: b[n][:, :60] for n in ("ego_future_xyz", "ego_future_rot")}}, "64"),
    "not finite": (lambda b: {**b, "ego_future_xyz": with_value(b["ego_future_xyz"], float("nan"))}, "ego_future_xyz"),
    "time": (lambda b: {**b, "time": torch.tensor([0.1])}, "time"),
    "noise": (lambda b: {**b, "noise": noise(3)}, "noise"),
    "labels": (lambda b: {**b, "labels": b["input_ids"][:, 1:]}, "^labels"),
    "labels of trajectories": (lambda b: {**b, "trajectory_labels": b["input_ids"][:, 1:]}, "^trajectory_labels"),
}


@pytest.mark.parametrize("change, named", UNTRAINABLE.values(), ids=UNTRAINABLE)
def test_a_future_that_cannot_be_learned_is_refused(change, named, model, scenes):
    with pytest.raises(InputError, match=named):
        model(**change(training_batch(model, scenes, 0, 1)))


# ---- checkpoints


def test_a_saved_model_comes_back_the_same(model, scenes, tmp_path, assert_equal_parameters):
    model.save_pretrained(tmp_path)
    loaded, info = AlpamayoR1.from_pretrained(tmp_path, output_loading_info=True)

    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert loaded.tokenizer is None
    assert_equal_parameters(model, loaded)
    found, wanted = sample(loaded, scenes.batch(0)), sample(model, scenes.batch(0))
    assert torch.equal(found.sequences, wanted.sequences)
    assert_same(found, wanted)


def test_a_saved_model_has_no_buffers_and_no_word_embeddings_of_the_expert(model, tmp_path):
    model.save_pretrained(tmp_path)
    keys = load_file(tmp_path / "model.safetensors").keys()

    assert set(keys) == {name for name, _ in model.named_parameters()}
    assert not [key for key in keys if "freq" in key or key.startswith(("action_space", "expert.embed"))]


@pytest.mark.parametrize("change", ["missing", "unexpected", "mismatched"])
def test_a_checkpoint_that_does_not_fit_is_refused_by_the_name_of_the_weight(change, model, tmp_path):
    model.save_pretrained(tmp_path)
    file, name = tmp_path / "model.safetensors", "expert.layers.1.mlp.up_proj.weight"
    weights = load_file(file)
    weight = weights.pop(name)
    if change == "unexpected":
        weights |= {name: weight, "expert.layers.9.mlp.up_proj.weight": weight.clone()}
        name = "expert.layers.9.mlp.up_proj.weight"
    elif change == "mismatched":
        weights[name] = weight[:-1].clone()
    save_file(weights, file, metadata={"format": "pt"})

    with pytest.raises(ConfigError, match=name):
        AlpamayoR1.from_pretrained(tmp_path)


def test_tied_embeddings_are_one_weight_and_come_back_so(make_config, case, scenes, tmp_path):
    torch.manual_seed(0)
    tied = copy.deepcopy(case.config["vlm"])
    tied["tie_word_embeddings"] = tied["text_config"]["tie_word_embeddings"] = True
    model = AlpamayoR1(make_config(vlm_config=tied)).eval()
    model.save_pretrained(tmp_path)
    loaded = AlpamayoR1.from_pretrained(tmp_path)

    for tested in (model, loaded):
        assert tested.get_output_embeddings().weight is tested.get_input_embeddings().weight
    assert "vlm.lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    assert_same(sample(loaded, scenes.batch(0)), sample(model, scenes.batch(0)))


def test_embeddings_that_are_not_tied_stay_apart(model):
    assert not torch.equal(model.get_output_embeddings().weight, model.get_input_embeddings().weight)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_checkpoint_loads_with_the_wanted_dtype_and_attention(implementation, model, scenes, tmp_path):
    model.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    config["vlm_config"]["text_config"]["dtype"] = config["vlm_config"]["vision_config"]["dtype"] = "float16"
    file.write_text(json.dumps(config))
    loaded = AlpamayoR1.from_pretrained(tmp_path, dtype=torch.bfloat16, attn_implementation=implementation)

    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    assert loaded.expert.config._attn_implementation == implementation
    assert loaded.vlm.model.language_model.config._attn_implementation == implementation
    assert sample(loaded, scenes.batch(0), [[40, START]]).actions.dtype == torch.float32


def test_a_model_is_made_without_memory_for_its_weights(make_config, state, scenes, model, tmp_path):
    with torch.device("meta"):
        empty = AlpamayoR1(make_config())
    assert {p.device.type for p in empty.parameters()} == {"meta"}
    assert {name for name, _ in empty.named_parameters()} == {name for name, _ in model.named_parameters()}

    model.save_pretrained(tmp_path)
    loaded = AlpamayoR1.from_pretrained(tmp_path, low_cpu_mem_usage=True)
    assert_same(sample(loaded, scenes.batch(0)), sample(model, scenes.batch(0)))


def test_a_new_model_has_finite_weights_and_draws(make_config, scenes):
    torch.manual_seed(0)
    model = AlpamayoR1(make_config()).eval()

    assert all(p.isfinite().all() and p.abs().max() < 10 for p in model.parameters())
    assert sample(model, scenes.batch(0)).pred_xyz.isfinite().all()


def test_making_config_and_model_opens_no_file_and_no_connection(make_config, monkeypatch):
    AlpamayoR1(make_config())  # what is imported late has been by now

    def refuse(*args, **kwargs):
        raise AssertionError(f"opened {args}")

    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    model = AlpamayoR1(make_config(vlm_name_or_path="../nowhere/at-all"))

    assert "nowhere" in model.config.to_json_string() and "PerWaypointActionInProjV2" in repr(model)
