"""The published Alpamayo-R1 run on a tiny Qwen3-VL (tests/golden/alpamayo): text, keys and values, trajectories."""

from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from alpamayo_golden import driven, published_model
from traced_graphs import TracedGraph

from vlahub.modeling.alpamayo_r1 import modeling_alpamayo_r1
from vlahub.modeling.fast_prediction import FastPrediction

CASES = ["alpamayo_expert_step", "alpamayo_expert_greedy", "alpamayo_expert_eager_4steps"]
IMPLEMENTATIONS = ["sdpa", "eager"]


def recorded(model):
    """What passes through the model while it samples."""
    seen = SimpleNamespace(logits=[], embeds=[], velocities=[], positions=None, mask=None, cache=[])
    model.vlm.lm_head.register_forward_hook(lambda _, args, out: seen.logits.append(out))
    model.action_in_proj.register_forward_hook(lambda _, args, out: seen.embeds.append(out))
    model.action_out_proj.register_forward_hook(lambda _, args, out: seen.velocities.append(out))
    model.expert.rotary_emb.register_forward_hook(lambda _, args, out: setattr(seen, "positions", args[1]))
    model.expert.layers[0].register_forward_pre_hook(
        lambda _, args, kwargs: setattr(seen, "mask", kwargs["attention_mask"]), with_kwargs=True
    )
    return seen


def recording(seen):
    """The expert's first look at a text, which also keeps its keys and values."""
    driven = modeling_alpamayo_r1.driven

    def recorded(model, rollout, *args):
        prompt = rollout.prompt
        seen.room = prompt.keys.written[0][0].shape[2] - rollout.read
        for shared, own in zip(*prompt.keys, strict=True):
            pairs = zip(shared, own, strict=True)
            seen.cache.append([torch.cat([prompt.repeated(s), o[:, :, : rollout.read]], dim=2) for s, o in pairs])
        return driven(model, rollout, *args)

    return mock.patch.object(modeling_alpamayo_r1, "driven", recorded)


def check(case, output):
    case.check("sequences", output.sequences)
    case.check("action", output.actions.flatten(0, 2))
    case.check("pred_xyz", output.pred_xyz)
    case.check("pred_rot", output.pred_rot)
    assert output.has_start_token.all()
    assert output.reasoning is None


@pytest.fixture(scope="module")
def run(golden):
    """`run(name, implementation)` -> the case, its config, what was recorded and the output, once for each."""
    runs = {}

    def make(name, implementation):
        if (name, implementation) not in runs:
            case = golden(f"alpamayo/{name}")
            model = published_model(case, implementation)
            seen = recorded(model)
            with recording(seen):
                output = driven(case, model)
            runs[name, implementation] = case, model, seen, output
        return runs[name, implementation]

    return make


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", CASES)
def test_the_published_scene_gives_the_published_text_and_trajectories(name, implementation, run):
    case, model, _, output = run(name, implementation)

    assert {model.expert.config._attn_implementation, model.vlm.config.text_config._attn_implementation} == {
        implementation
    }
    check(case, output)


FAST = {"graphs": TracedGraph, "compile": None}
RUNS = [(name, "graphs") for name in CASES] + [
    pytest.param(CASES[0], "compile", marks=[pytest.mark.slow, pytest.mark.inductor])
]


@pytest.mark.parametrize(("name", "mode"), RUNS)
def test_fast_prediction_gives_the_published_text_and_trajectories(name, mode, golden):
    torch._dynamo.reset()
    case = golden(f"alpamayo/{name}")
    model = published_model(case, "sdpa")
    model.fast_prediction = FastPrediction(model, {"mode": mode}, FAST[mode])
    check(case, driven(case, model))
    stats = model.fast_prediction_stats
    assert stats.captures and not stats.eager_fallbacks
    torch._dynamo.reset()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", CASES)
def test_the_prompt_and_the_text_leave_the_published_logits_keys_and_values(name, implementation, run):
    case, model, seen, output = run(name, implementation)
    rows, first = len(output.sequences), model.config.traj_token_start_idx
    logits = seen.logits[0].expand(rows, -1)

    case.check("prompt_last_logits_below_traj", logits[:, :first])
    case.check("prompt_last_logits_above_traj", logits[:, first + model.config.traj_vocab_size :])
    assert [seen.cache[0][0].shape[2]] == case["outputs"]["cache_length"]["values"]
    case.check("cache_key_first_layer", seen.cache[0][0])
    case.check("cache_key_last_layer", seen.cache[-1][0])
    case.check("cache_value_last_layer", seen.cache[-1][1])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", CASES)
def test_the_expert_has_the_published_places_mask_embeddings_and_velocities(name, implementation, run):
    case, _, seen, _ = run(name, implementation)
    masked, tokens = seen.mask[:, 0] < 0, seen.embeds[0].shape[1]
    text, unused = masked.shape[-1] - seen.room, seen.room - tokens  # places that no token of the text took
    assert masked[..., text : text + unused].all()
    masked = torch.cat([masked[..., :text], masked[..., text + unused :]], dim=-1)

    case.check("position_ids", seen.positions)
    assert (masked == masked[:, :1]).all(), "all action tokens see the same"
    case.check("masked_positions", masked[:, 0].long())
    case.check("action_embeddings_step0", seen.embeds[0])
    case.check("v_step0", seen.velocities[0])
    case.check("v_last_step", seen.velocities[-1])
