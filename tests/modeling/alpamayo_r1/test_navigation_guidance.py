"""Guidance by navigation and answers: batches, samples and sets together, what they equal, and what is refused."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from alpamayo_golden import BATCH, Forced, published_model
from host_waits import HostWaits
from traced_graphs import TracedGraph

from vlahub.configuration.ode_choices import ODE_CHOICES
from vlahub.errors import InputError
from vlahub.modeling.alpamayo_r1 import expert_steps
from vlahub.modeling.alpamayo_r1.answer_text import parts_of
from vlahub.modeling.alpamayo_r1.navigation_markers import Route, is_wrong_route, refuse_route, route_of, without_route
from vlahub.modeling.alpamayo_r1.published_calls import published_guided_inputs
from vlahub.modeling.alpamayo_r1.text_keys import TextKeys
from vlahub.modeling.alpamayo_r1.trajectory_flow_matching import FlowMatching
from vlahub.modeling.fast_prediction import FastPrediction
from vlahub.modeling.ode_sampling import OdeSampling

IMPLEMENTATIONS = ["sdpa", pytest.param("eager", marks=pytest.mark.slow)]
ROUTE_START, ROUTE_END, FUTURE_START, PAD = 507, 509, 498, 300
SETS, SAMPLES = 2, 2
CLOSE = {"atol": 2e-4, "rtol": 2e-4}


@pytest.fixture(scope="module")
def case(golden):
    """A batch of two prompts of different lengths, padded on the left; the second has navigation."""
    return golden("alpamayo_1_5/nav_left_padded")


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def model(request, case):
    return published_model(case, request.param, mask_prompt_padding=True)


@pytest.fixture(scope="module")
def scene(case):
    return {name: case.input(name) for name in BATCH}


def row_of(scene, row):
    """One prompt of the batch alone, without its padding."""
    ids = scene["input_ids"][row][scene["attention_mask"][row] != 0][None]
    images = [int((each == 312).sum()) for each in scene["input_ids"]]
    patches = scene["image_grid_thw"].prod(dim=1) // 4
    ends = patches.cumsum(0)
    first, last = sum(images[:row]), sum(images[: row + 1])
    grid = scene["image_grid_thw"][(ends > first) & (ends <= last)]
    pixels = scene["pixel_values"][4 * first : 4 * last]
    poses = {name: scene[name][row : row + 1] for name in ("ego_history_xyz", "ego_history_rot")}
    return {"input_ids": ids, "pixel_values": pixels, "image_grid_thw": grid, **poses}


def noise_of(rows, seed=0):
    return torch.randn(rows, 64, 2, generator=torch.Generator().manual_seed(seed))


def drive(model, scene, noise, sets=1, samples=1, **more):
    options = {"top_k": 1, "max_new_tokens": 6, "num_inference_steps": 3} | more
    return model.sample_trajectories(**scene, noise=noise, num_traj_sets=sets, num_traj_samples=samples, **options)


def forced(scene, rows):
    """Texts that open the trajectory after three tokens."""
    tokens = torch.tensor([[40, 41, FUTURE_START]]).expand(rows, -1)
    return {"logits_processor": [Forced(tokens, scene["input_ids"].shape[1])]}


# ---- what it equals


def test_rows_of_a_batch_with_samples_and_sets_are_as_they_are_alone(model, scene):
    count = SETS * SAMPLES
    noise = noise_of(2 * count)
    together = drive(model, scene, noise, SETS, SAMPLES, guidance_weight=1.5, noise_temperature=0.7)
    assert together.pred_xyz.shape == (2, SETS, SAMPLES, 64, 3)
    for row, weight in ((0, None), (1, 1.5)):  # without navigation a row keeps its own velocity
        part = noise[row * count : (row + 1) * count]
        options = {"guidance_weight": weight, "noise_temperature": 0.7}
        alone = drive(model, row_of(scene, row), part, SETS, SAMPLES, **options)
        torch.testing.assert_close(together.actions[row], alone.actions[0], **CLOSE)


def test_one_step_is_the_mean_of_both_velocities_by_weight(model, scene):
    noise = noise_of(2)
    guided = partial(drive, model, scene, noise, num_inference_steps=1)
    actions = {weight: guided(guidance_weight=weight).actions for weight in (0, 1, 1.5, -0.5)}
    assert torch.equal(actions[1], guided().actions)
    numpys = guided(guidance_weight=np.float32(1.5), noise_temperature=np.int64(1)).actions
    assert torch.equal(actions[1.5], numpys)
    for weight in (1.5, -0.5):
        torch.testing.assert_close(actions[weight], (1 - weight) * actions[0] + weight * actions[1], **CLOSE)
    assert (actions[0][1] - actions[1][1]).abs().max() > 1e-2
    torch.testing.assert_close(actions[0][0], actions[1][0], **CLOSE)


def test_weight_zero_is_the_prompt_without_navigation_with_the_same_text(model, scene):
    routed, route = row_of(scene, 1), Route(ROUTE_START, ROUTE_END, PAD)
    ids, real = without_route(routed["input_ids"], None, route)
    alone = routed | {"input_ids": ids[real][None]}
    noise = noise_of(2)
    found = drive(model, routed, noise, samples=2, guidance_weight=0.0, **forced(routed, 2))
    wanted = drive(model, alone, noise, samples=2, **forced(alone, 2))
    torch.testing.assert_close(found.actions, wanted.actions, **CLOSE)


@pytest.mark.slow
def test_a_text_without_a_start_token_is_guided_too(model, scene):
    routed = row_of(scene, 1)
    guided = partial(drive, model, routed, noise_of(1), max_new_tokens=2, num_inference_steps=1)
    output = guided(guidance_weight=1.5)
    assert not output.has_start_token.any() and output.pred_xyz.isfinite().all()
    mean = -0.5 * guided(guidance_weight=0).actions + 1.5 * guided().actions
    torch.testing.assert_close(output.actions, mean, **CLOSE)


@pytest.mark.slow
def test_guidance_does_not_change_the_text(model, scene):
    options = {"top_k": None, "temperature": 1.0, "num_inference_steps": 1}
    found = []
    for weight in (None, 1.5):
        generator = torch.Generator().manual_seed(4)
        found.append(drive(model, scene, noise_of(4), 2, 1, generator=generator, guidance_weight=weight, **options))
    assert torch.equal(found[0].sequences, found[1].sequences)


@pytest.mark.slow
def test_passes_apart_are_as_both_at_once(model, scene, monkeypatch):
    guided = partial(drive, model, scene, noise_of(4), samples=2, guidance_weight=1.5)
    wanted, passes = guided().actions, []
    monkeypatch.setattr(expert_steps, "BYTES_AT_ONCE", 0)
    hook = model.action_out_proj.register_forward_hook(lambda _, args, out: passes.append(len(out)))
    torch.testing.assert_close(guided().actions, wanted, **CLOSE)
    hook.remove()
    assert passes == [4] * 6, "two passes of four rows in each of three steps"


@pytest.mark.slow
def test_a_watched_language_model_reads_the_text_again_token_by_token(model, scene):
    guided = partial(drive, model, scene, noise_of(4), samples=2, guidance_weight=1.5)
    wanted, calls = guided().actions, []
    layer = model.vlm.model.language_model.layers[0]
    hook = layer.register_forward_hook(lambda *_: calls.append(1))
    torch.testing.assert_close(guided().actions, wanted, **CLOSE)
    hook.remove()
    assert len(calls) > 6


@pytest.mark.slow
def test_padding_that_the_expert_sees_is_that_of_the_prompt_alone(case, scene):
    """Where padding is seen, as R1 was published, what taking navigation out leaves is hidden all the same."""
    seeing, routed = published_model(case, "sdpa"), row_of(scene, 1)
    hiding = published_model(case, "sdpa", mask_prompt_padding=True)
    found, wanted = (drive(each, routed, noise_of(1), guidance_weight=1.5).actions for each in (seeing, hiding))
    torch.testing.assert_close(found, wanted, **CLOSE)
    found, wanted = (drive(seeing, scene, noise_of(2), guidance_weight=weight).actions for weight in (0, None))
    torch.testing.assert_close(found[0], wanted[0], **CLOSE)  # its own, without navigation
    assert (wanted[0] - drive(hiding, scene, noise_of(2)).actions[0]).abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.0, 1.5])
def test_fast_prediction_gives_the_same_without_falling_back(case, scene, weight):
    model = published_model(case, "sdpa", mask_prompt_padding=True)
    guided = partial(drive, model, scene, noise_of(4), samples=2, guidance_weight=weight)
    wanted = guided().actions
    model.fast_prediction = FastPrediction(model, {"mode": "graphs"}, TracedGraph)
    for _ in range(2):
        torch.testing.assert_close(guided().actions, wanted, **CLOSE)
    stats = model.fast_prediction_stats
    assert stats.captures and stats.replays > stats.captures and not stats.eager_fallbacks


@pytest.mark.slow
def test_a_guided_drive_waits_for_a_device_as_often_as_another(case, scene):
    model = published_model(case, "sdpa", mask_prompt_padding=True)
    asked = []
    for weight in (None, 1.5):
        guided = partial(drive, model, scene, None, samples=2, max_new_tokens=4, guidance_weight=weight)
        with HostWaits(elsewhere=True):
            guided()  # what is made once
        with HostWaits(elsewhere=True) as waits:
            guided()
        assert waits.handed == 0, waits
        asked.append(waits.asked)
    assert asked[0] == asked[1]


@pytest.mark.slow
def test_texts_of_other_lengths_need_no_further_graph(case, scene):
    """Prompts are padded to a bucket, with and without navigation, and so are the texts between them."""
    model = published_model(case, "sdpa", mask_prompt_padding=True)
    model.fast_prediction = FastPrediction(model, {"mode": "graphs", "length_bucket": 48}, TracedGraph)
    routed, captures = row_of(scene, 1), []
    for text in ([], [40], [40, 41, 42, 43]):  # longer navigation
        ids = routed["input_ids"]
        place = (ids[0] == ROUTE_END).nonzero().item()
        ids = torch.cat([ids[:, :place], torch.tensor([text], dtype=torch.long), ids[:, place:]], dim=1)
        drive(
            model,
            routed | {"input_ids": ids},
            noise_of(1),
            guidance_weight=1.5,
            **forced(routed | {"input_ids": ids}, 1),
        )
        captures.append(model.fast_prediction_stats.captures)
    assert captures[0] == captures[1] == captures[2] and not model.fast_prediction_stats.eager_fallbacks


@pytest.mark.slow
def test_a_guided_drive_behind_its_images_is_one_graph(case, scene):
    torch._dynamo.reset()
    model = published_model(case, "sdpa", mask_prompt_padding=True)
    guided = partial(drive, model, scene, noise_of(4), samples=2, max_new_tokens=3, guidance_weight=1.5)
    wanted = guided()
    model.predict_trajectories = torch.compile(model.predict_trajectories, backend="eager", fullgraph=True)
    torch.testing.assert_close(guided().actions, wanted.actions, **CLOSE)
    torch._dynamo.reset()


@pytest.mark.slow
def test_graphs_over_halves_go_with_the_buffers_that_they_are_in(case, scene):
    model = published_model(case, "sdpa", mask_prompt_padding=True)
    model.fast_prediction = fast = FastPrediction(model, {"mode": "graphs", "max_graphs": 64}, TracedGraph)
    for limit in (2, 70, 140):  # three sizes of buffers, of which two are kept
        drive(model, scene, noise_of(2), max_new_tokens=limit, num_inference_steps=1, guidance_weight=1.5)
    assert len(fast.buffers) == 2 and fast.stats.evictions


def test_prompts_without_their_route_keep_the_rest_and_move_to_the_right():
    ids = torch.tensor([[0, 0, 5, 1, 7, 8, 2, 6], [9, 8, 7, 6, 5, 4, 3, 3], [4, 1, 2, 5, 6, 7, 8, 9]])
    real = torch.ones_like(ids).bool()
    real[0, :2] = False
    found, kept = without_route(ids, real, Route(1, 2, 11))
    assert found.tolist() == [[11] * 6 + [5, 6], [9, 8, 7, 6, 5, 4, 3, 3], [11, 11, 4, 5, 6, 7, 8, 9]]
    assert kept.sum(dim=1).tolist() == [2, 8, 6] and torch.equal(kept, found != 11)


@pytest.mark.parametrize("solver", ODE_CHOICES["ode_solver"])
@pytest.mark.parametrize("spacing", ODE_CHOICES["ode_spacing"])
def test_a_drive_takes_the_steps_that_were_asked_for(solver, spacing):
    def velocity(x, t):
        return x * t - 1

    model = SimpleNamespace(
        diffusion=FlowMatching((64, 2)), action_space=SimpleNamespace(drive=lambda *given: given[1:])
    )
    inputs = expert_steps.Noise(noise_of(2), None, None, None, torch.tensor([3.0, 4.0]), torch.tensor([0.0, 1.0]))
    found = expert_steps.along(model, inputs, OdeSampling(3, solver, spacing), velocity)
    given = {"noise": inputs.noise, "inference_step": 3, "ode_solver": solver, "ode_spacing": spacing}
    assert torch.equal(found.actions, model.diffusion.sample(2, velocity, **given))
    assert found.xyz is inputs.speed and found.rot is inputs.z


def test_both_passes_are_one_batch_where_their_scores_have_room(monkeypatch):
    parts = SimpleNamespace(expert=SimpleNamespace(config=SimpleNamespace(num_attention_heads=3)))
    keys = TextKeys(*([(torch.empty(1, 1, length, 1),) * 2] for length in (5, 7)))
    scores = 2 * 6 * 3 * 4 * (5 + 7)  # passes, rows, heads, tokens, keys
    for size, fits in ((4 * scores, True), (4 * scores - 1, False)):
        monkeypatch.setattr(expert_steps, "BYTES_AT_ONCE", size)
        assert expert_steps.fit_together(parts, torch.empty(6, 4, 2), keys) == fits


# ---- what is refused


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1, 5, 2, 5], [5, 5, 5, 5]], None),
        ([[5, 5, 5, 5], [5, 5, 5, 5]], "no prompt has navigation"),
        ([[1, 5, 2, 5], [5, 5, 5, 2]], "row 1 .* has 0 .* and 1"),
        ([[1, 2, 1, 2], [1, 5, 2, 5]], "row 0 .* has 2 .* and 2"),
        ([[1, 5, 2, 5], [5, 2, 5, 1]], "row 1 .* before"),
    ],
)
def test_what_is_wrong_about_a_route_is_what_it_is_refused_for(rows, message):
    ids, route = torch.tensor(rows), Route(1, 2, 0)
    assert is_wrong_route(ids, route).item() == (message is not None)
    if message is None:
        return refuse_route(ids, route)
    with pytest.raises(InputError, match=message):
        refuse_route(ids, route)


@pytest.mark.parametrize("lacking", ["route_start", "route_end"])
def test_a_model_without_markers_of_a_route_is_not_guided_and_needs_none_of_weight_one(lacking):
    tokens = {"route_start": 1, "route_end": 2}
    config = SimpleNamespace(special_token_id={**tokens, lacking: None}.get, pad_token_id=None)
    assert route_of(config, None) is None and route_of(config, 1) is None
    with pytest.raises(InputError, match="this model has no tokens"):
        route_of(config, 1.5)
    config.special_token_id = tokens.get
    assert route_of(config, 1.5) == Route(1, 2, 0)
    config.pad_token_id = 0
    assert route_of(config, 1.5).pad == 0


def with_ids(scene, change):
    ids = scene["input_ids"].clone()
    change(ids)
    return scene | {"input_ids": ids}


def swapped(ids):
    places = (ids[1] == ROUTE_START).nonzero().item(), (ids[1] == ROUTE_END).nonzero().item()
    ids[1, places[0]], ids[1, places[1]] = ROUTE_END, ROUTE_START


BROKEN = {
    "no navigation": (lambda ids: ids.masked_fill_((ids == ROUTE_START) | (ids == ROUTE_END), 40), "no prompt has nav"),
    "no end": (lambda ids: ids.masked_fill_(ids == ROUTE_END, 40), r"row 1 .* has 1 <\|route_start\|> and 0"),
    "two starts": (lambda ids: ids.masked_fill_(ids == ROUTE_END - 1, 40)[1, -3:-1].fill_(ROUTE_START), "has 3 <"),
    "end first": (swapped, r"row 1 of input_ids has <\|route_end\|> before <\|route_start\|>"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_navigation_that_is_none_is_refused(model, scene, name):
    change, message = BROKEN[name]
    with pytest.raises(InputError, match=message):
        drive(model, with_ids(scene, change), None, guidance_weight=1.5)


WRONG = {
    "guidance_weight=nan": {"guidance_weight": float("nan")},
    "guidance_weight='1.5'": {"guidance_weight": "1.5"},
    "guidance_weight=1000": {"guidance_weight": 10**400},
    "guidance_weight=True": {"guidance_weight": True},
    "noise temperature=-0.1": {"noise_temperature": -0.1},
    "noise temperature=inf": {"noise_temperature": float("inf")},
}


@pytest.mark.parametrize("message", WRONG)
def test_numbers_that_are_none_are_refused(model, scene, message):
    with pytest.raises(InputError, match=message):
        drive(model, scene, None, **WRONG[message])


FLAG = {"use_classifier_free_guidance": True}
CALLS = {
    "no flag": ("_cfg_nav", {}, "needs use_classifier_free_guidance=True"),
    "flag off": ("_cfg_nav", {"use_classifier_free_guidance": False}, "needs use_classifier_free_guidance=True"),
    "no weight": ("_cfg_nav", FLAG, "needs inference_guidance_weight"),
    "misspelt": ("_cfg_nav", FLAG | {"guidance": 1.5}, r"holds \['guidance'\]; known are inference_step"),
    "no step": ("_cfg_nav", FLAG | {"inference_guidance_weight": 1.5, "inference_step": 0}, "num_inference_steps=0"),
    "plain with the flag": ("", FLAG, "this call is not guided; .*_cfg_nav is"),
    "plain with a weight": ("", {"inference_guidance_weight": 1.5}, "this call is not guided"),
    "plain without a path": ("", None, "data lacks ego_history_xyz, ego_history_rot"),
    "plain without a step": ("", {"inference_step": 0}, "num_inference_steps=0"),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_published_calls_refuse_what_would_be_without_effect(model, scene, name):
    ending, options, message = CALLS[name]
    poses = {name: scene[name] for name in ("ego_history_xyz", "ego_history_rot")}
    prompt = {name: scene[name] for name in scene if name not in poses}
    call = getattr(model, f"sample_trajectories_from_data_with_vlm_rollout{ending}")
    with pytest.raises(InputError, match=message):
        call({"tokenized_data": prompt, **(poses if options is not None else {})}, diffusion_kwargs=options)


@pytest.mark.parametrize("ending", ["", "_cfg_nav"])
def test_the_published_calls_hand_all_options_on(model, scene, ending, monkeypatch):
    asked = {}

    def sample(**arguments):
        asked.update(arguments)
        return SimpleNamespace(pred_xyz=1, pred_rot=2, sequences=None, has_start_token=torch.ones(1))

    monkeypatch.setattr(model, "sample_trajectories", sample)
    options = {"top_p": 0.5, "top_k": 3, "temperature": 0.7, "num_traj_samples": 2, "num_traj_sets": 3}
    guided = FLAG | {"inference_guidance_weight": 1.5} if ending else {}
    diffusion = {"inference_step": 4, "int_method": "euler", "temperature": 0.8, **guided}
    call = getattr(model, f"sample_trajectories_from_data_with_vlm_rollout{ending}")
    given = {**options, "max_generation_length": 5, "check_finite": False, "diffusion_kwargs": diffusion}
    assert call(scene, **given) == (1, 2)
    wanted = options | {"max_new_tokens": 5, "check_finite": False, "num_inference_steps": 4, "ode_solver": "euler"}
    wanted |= {"noise_temperature": 0.8, **({"guidance_weight": 1.5} if ending else {})}
    assert {name: value for name, value in asked.items() if name not in scene} == wanted
    assert all(asked[name] is scene[name] for name in scene)


def test_guidance_that_the_model_was_made_with_needs_no_options(scene):
    flow = FlowMatching((64, 2), use_classifier_free_guidance=True, inference_guidance_weight=1.5)
    assert published_guided_inputs(scene, None, flow)["guidance_weight"] == 1.5
    with pytest.raises(InputError, match="needs use_classifier_free_guidance=True"):
        published_guided_inputs(scene, {"use_classifier_free_guidance": False}, flow)


# ---- answers


@pytest.fixture(scope="module")
def asked(golden):
    """A batch of two questions of different lengths, and the model."""
    case = golden("alpamayo_1_5/vqa_text")
    ids, pixels, grid = (case.input(name) for name in ("input_ids", "pixel_values", "image_grid_thw"))
    longer = torch.cat([ids[:, :-8], ids[:, -12:]], dim=1)
    padded = torch.cat([torch.full((1, 4), PAD), ids], dim=1)
    batch = {"input_ids": torch.cat([padded, longer]), "attention_mask": torch.ones(2, longer.shape[1]).long()}
    batch["attention_mask"][0, :4] = 0
    batch |= {"pixel_values": torch.cat([pixels, pixels]), "image_grid_thw": torch.cat([grid, grid])}
    return batch, {"input_ids": ids, "pixel_values": pixels, "image_grid_thw": grid}, case


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_answers_of_a_batch_are_as_they_are_alone(asked, implementation):
    batch, first, case = asked
    model = published_model(case, implementation)
    options = {"top_k": 1, "max_generation_length": 9, "num_samples": 2}
    together, alone = model.generate_text(batch, **options), model.generate_text(first, **options)
    length = batch["input_ids"].shape[1]
    assert torch.equal(together.sequences[:2, length:], alone.sequences[:, length - 4 :])
    assert together.finished.shape == (2, 2) and not together.finished.any()


@pytest.mark.slow
def test_answers_fast_are_as_answers_slow(asked):
    batch, _, case = asked
    model = published_model(case, "sdpa")
    options = {"top_k": 1, "max_generation_length": 9}
    wanted = model.generate_text(batch, **options).sequences
    model.fast_prediction = FastPrediction(model, {"mode": "graphs"}, TracedGraph)
    assert torch.equal(model.generate_text(batch, **options).sequences, wanted)
    assert model.fast_prediction_stats.captures and not model.fast_prediction_stats.eager_fallbacks


def test_an_answer_that_was_cut_off_is_returned_with_a_flag(asked):
    _, first, case = asked
    model = published_model(case, "sdpa")
    words = {220: " ", 513: "<|answer_end|>", 302: "<|im_end|>"}

    class Letters:
        pad_token_id = PAD

        @staticmethod
        def decode(ids, skip_special_tokens):
            return "".join(words.get(int(i), "x") for i in ids)

    model.tokenizer = Letters()
    options = {"top_k": 1, "num_samples": 2, "max_generation_length": case["run"]["max_generation_length"]}
    options["logits_processor"] = [Forced(case.input("forced_tokens"), first["input_ids"].shape[1])]
    output = model.generate_text(first, **options)
    assert output.finished.tolist() == [[True, False]]
    assert output["answer"].tolist() == [["xxxx xxx", "xx xx xxxxx"]]
    published = model.generate_text(first, as_published=True, **options)
    assert published.answer.tolist() == [["xxxx xxx", ""]] and published.cot.tolist() == [["", ""]]


def test_an_answer_goes_on_behind_what_opens_a_trajectory(asked):
    _, first, case = asked
    tokens = torch.tensor([[40, FUTURE_START, 41, 42]])
    length = first["input_ids"].shape[1]
    options = {"max_generation_length": 4, "logits_processor": [Forced(tokens, length)]}
    output = published_model(case, "sdpa").generate_text(first, **options)
    assert output.sequences[:, length:].tolist() == tokens.tolist()


ANSWERS = {
    "<|answer_start|> one two <|answer_end|><|im_end|>": "one two",
    "thought<|answer_start|><|answer_end|><|im_end|>": "",
    "one two<|im_end|>": "one two",
    "one <|im_end|> two": "one",
    "one two": "one two",
}


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_is_what_was_written_before_its_first_marker(text):
    class Tokenizer:
        @staticmethod
        def decode(ids, skip_special_tokens):
            return text

    arguments = Tokenizer(), torch.tensor([[40]]), torch.tensor([1]), (1, 1)
    assert parts_of(*arguments, as_published=False)["answer"].tolist() == [[ANSWERS[text]]]


def test_a_question_without_room_for_its_answer_is_refused(asked):
    _, first, case = asked
    model = published_model(case, "sdpa")
    length = first["input_ids"].shape[1]
    model.config.vlm_config.text_config.max_position_embeddings = length + 3
    model.generate_text(first, max_generation_length=3)
    with pytest.raises(InputError, match=f"only {length + 3} positions"):
        model.generate_text(first, max_generation_length=4)


def test_questions_that_cannot_be_answered_are_refused(asked, scene, model):
    with pytest.raises(InputError, match="96 history placeholders, and no path is put there"):
        model.generate_text(scene)
    with pytest.raises(InputError, match="data holds no input_ids"):
        model.generate_text({"pixel_values": None})
    with pytest.raises(InputError, match="data holds no input_ids"):
        model.generate_text({"tokenized_data": None})
    with pytest.raises(InputError, match="num_samples=0"):
        model.generate_text(asked[1], num_samples=0)
    with pytest.raises(InputError, match="max_new_tokens=0"):
        model.generate_text(asked[1], max_generation_length=0)
