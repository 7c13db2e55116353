"""Texts that the samples of a prompt write together, against a loop that runs each text again for every token."""

import pytest
import torch
from transformers.generation import (
    LogitsProcessor,
    StoppingCriteria,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from tests.host_waits import HostWaits
from tests.tiny_configs import alpamayo_config
from vlahub import AlpamayoR1
from vlahub.modeling.alpamayo_r1 import modeling_alpamayo_r1
from vlahub.modeling.alpamayo_r1.rollout import TOKENS_BETWEEN_CHECKS

START, PAD, IMAGE, HISTORY = 498, 300, 312, 501
ENDS = list(range(40, 76))  # some rows write one of them soon, and some do not


@pytest.fixture(scope="module")
def case(golden):
    return golden("alpamayo/alpamayo_expert_step")


@pytest.fixture(scope="module")
def state(case):
    return case.state()


@pytest.fixture
def make_model(case, state):
    def make(**fields):
        model = AlpamayoR1(alpamayo_config(case, **fields)).eval()
        model.load_state_dict(state, strict=True)
        return model

    return make


@pytest.fixture
def model(make_model):
    """It does not write tokens of images, which the oracle would take for images."""
    model = make_model(eos_token_id=ENDS)
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    never = torch.tensor([getattr(model.config.vlm_config, name) for name in names])
    model.vlm.lm_head.register_forward_hook(lambda _, args, logits: logits.index_fill(-1, never, -1e4))
    return model


@pytest.fixture
def scenes(case):
    """Two prompts, the second shorter, padded on the left, with one image where the first has two."""
    long, patches = case.input("input_ids")[0].tolist(), case.input("pixel_values")
    short = [*long[:20], 309, *[IMAGE] * 6, 310, 491, *[HISTORY] * 48, 493, *long[-30:]]
    pads = len(long) - len(short)
    return {
        "input_ids": torch.tensor([long, [PAD] * pads + short]),
        "attention_mask": torch.tensor([[1] * len(long), [0] * pads + [1] * len(short)]),
        "pixel_values": torch.cat([patches, patches[:24].flip(0)]),
        "image_grid_thw": torch.cat([case.input("image_grid_thw"), torch.tensor([[1, 4, 6]])]),
        "ego_history_xyz": torch.cat([case.input("ego_history_xyz"), case.input("ego_history_xyz") * 0.6]),
        "ego_history_rot": torch.cat([case.input("ego_history_rot")] * 2),
    }


@pytest.fixture
def scene(case):
    names = ("input_ids", "pixel_values", "image_grid_thw", "ego_history_xyz", "ego_history_rot")
    return {name: case.input(name) for name in names}


def sampled(model, scene, seed=0, samples=3, **options):
    """One step of the expert from given noise, so that the generator draws texts alone."""
    noise, generator = torch.zeros(len(scene["input_ids"]) * samples, 64, 2), torch.Generator().manual_seed(seed)
    fixed = {"num_traj_samples": samples, "num_inference_steps": 1, "noise": noise, "generator": generator}
    return model.sample_trajectories(**scene, **fixed, **options)


@torch.no_grad()
def written_alone(model, scene, seed=0, samples=3, max_new_tokens=12, temperature=0.6, top_k=None, top_p=0.98, **given):
    """The sequences by one pass over whole texts for every token, transformers' warpers and `torch.multinomial`."""
    generator, ids = torch.Generator().manual_seed(seed), scene["input_ids"]
    fused = model.with_history(ids, *(scene[f"ego_history_{part}"][:, 0] for part in ("xyz", "rot")))
    mask = scene.get("attention_mask", torch.ones_like(ids)).repeat_interleave(samples, dim=0)
    images = {name: scene[name] for name in ("pixel_values", "image_grid_thw")}
    rows, length, first = fused.repeat_interleave(samples, dim=0), ids.shape[1], model.config.traj_token_start_idx
    warpers = [TemperatureLogitsWarper(temperature)] + ([TopKLogitsWarper(top_k)] if top_k else [])
    warpers = [*given.get("logits_processor", ()), *warpers, *([TopPLogitsWarper(top_p)] if top_p < 1 else [])]
    ended = torch.zeros(len(rows), dtype=torch.bool)
    for _ in range(max_new_tokens):
        more = torch.ones(len(rows), rows.shape[1] - length, dtype=torch.long)
        texts = rows.unflatten(0, (-1, samples)), torch.cat([mask, more], dim=1).unflatten(0, (-1, samples))
        each = [model(texts[0][:, i], attention_mask=texts[1][:, i], **images).logits[:, -1] for i in range(samples)]
        scores = torch.stack(each, dim=1).flatten(0, 1).float()
        scores[:, first : first + model.config.traj_vocab_size] = -torch.inf
        for warper in warpers:
            scores = warper(rows, scores)
        token = torch.multinomial(scores.softmax(dim=-1), 1, generator=generator)[:, 0].masked_fill(ended, PAD)
        was_over, rows = ended.all(), torch.cat([rows, token[:, None]], dim=1)
        ended = ended | torch.isin(token, torch.tensor([START, *ENDS]))
        for criterion in given.get("stopping_criteria", ()):
            ended = ended | criterion(rows, None)
        if was_over:
            break
    return rows


class Without(LogitsProcessor):
    """Does not write what stood two tokens before."""

    def __call__(self, input_ids, scores):
        return scores.scatter(1, input_ids[:, -2, None], -torch.inf)


class AfterMany(StoppingCriteria):
    def __init__(self, length):
        self.length = length

    def __call__(self, input_ids, scores, **kwargs):
        return (input_ids.shape[1] > self.length) & (input_ids[:, -1] % 2 == 0)


TEXTS = {
    "drawn": {},
    "another seed": {"seed": 5, "samples": 4},
    "hot": {"temperature": 3.0, "top_p": 1.0, "samples": 2},
    "of few": {"top_k": 5, "top_p": 0.7, "temperature": 1.5, "seed": 1},
    "greedy": {"top_k": 1, "top_p": 1.0, "temperature": 1.0, "samples": 1},
    "of one token": {"max_new_tokens": 1, "seed": 2},
    "of two": {"max_new_tokens": 2, "seed": 2},
    "as a caller says": {"logits_processor": [Without()], "stopping_criteria": [AfterMany(175)], "seed": 3},
}


@pytest.mark.parametrize("options", TEXTS.values(), ids=TEXTS)
def test_texts_are_those_of_a_loop_over_each_whole_text(options, model, scenes):
    options = {"max_new_tokens": 12, "temperature": 1.2, "top_p": 0.98, **options}
    length = scenes["input_ids"].shape[1]
    wanted, found = written_alone(model, scenes, **options), sampled(model, scenes, **options).sequences
    assert torch.equal(found[:, length:], wanted[:, length:])


LENGTHS = {7: 14, 8: 22, 9: 1, 10: 6, 16: 2}  # of the longer of two texts, and the seed that draws it


@pytest.mark.parametrize("length", LENGTHS)
def test_what_was_written_behind_the_last_end_does_not_show(length, model, scene):
    options = {"samples": 2, "max_new_tokens": 30, "temperature": 1.2, "seed": LENGTHS[length]}
    prompt, steps = scene["input_ids"].shape[1], []
    handle = model.vlm.lm_head.register_forward_hook(lambda *_: steps.append(1))
    found = sampled(model, scene, **options).sequences
    handle.remove()
    wanted = written_alone(model, scene, **options)

    assert found.shape[1] == prompt + length + 1
    assert torch.equal(found[:, prompt:], wanted[:, prompt:])
    assert len(steps) - 1 == max(length, -(-(length - 1) // TOKENS_BETWEEN_CHECKS) * TOKENS_BETWEEN_CHECKS)


@pytest.mark.parametrize("limit", [1, 8, 9, 17])
def test_a_device_is_asked_once_for_every_eight_tokens(limit, make_model, scenes, monkeypatch):
    model, found = make_model(), []
    original = modeling_alpamayo_r1.sample_text

    def counted(*args):
        with HostWaits() as waits:
            rollout = original(*args)
        found.append(waits.found)
        return rollout

    monkeypatch.setattr(modeling_alpamayo_r1, "sample_text", counted)
    output = sampled(model, scenes, max_new_tokens=limit, check_finite=False)
    assert output.sequences.shape[1] == scenes["input_ids"].shape[1] + limit
    assert found == [{"_local_scalar_dense": -(-limit // TOKENS_BETWEEN_CHECKS)}]
