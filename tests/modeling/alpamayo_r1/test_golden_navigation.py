"""The published Alpamayo 1.5 run on a tiny Qwen3-VL: navigation, guidance by it, and answers to questions."""

import pytest
import torch
from alpamayo_golden import BATCH, Forced, driven, published_model

from vlahub.modeling.alpamayo_r1.trajectory_flow_matching import FlowMatching

IMPLEMENTATIONS = ["sdpa", pytest.param("eager", marks=pytest.mark.slow)]
GUIDED = ("alpamayo_1_5/nav_guided", 1.5, 0.6)


def published_data(case):
    named = {name: case.input(name) for name in BATCH}
    poses = {name: named.pop(name) for name in ("ego_history_xyz", "ego_history_rot")}
    return {"tokenized_data": named, **poses}


def check(case, output, prefix=""):
    case.check(f"{prefix}sequences", output.sequences)
    case.check(f"{prefix}action", output.actions.flatten(0, 2))
    case.check(f"{prefix}pred_xyz", output.pred_xyz)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_prompt_with_navigation_gives_the_published_trajectories(golden, implementation):
    case = golden("alpamayo_1_5/nav_rollout")
    output = driven(case, published_model(case, implementation))
    check(case, output)
    case.check("pred_rot", output.pred_rot)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_padding_is_hidden_from_the_expert_as_the_later_release_does(golden, implementation):
    case = golden("alpamayo_1_5/nav_left_padded")
    check(case, driven(case, published_model(case, implementation, mask_prompt_padding=True)), "batch.")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_guidance_gives_the_published_trajectories(golden, implementation):
    name, weight, temperature = GUIDED
    case = golden(name)
    model = published_model(case, implementation, mask_prompt_padding=True)
    output = driven(case, model, guidance_weight=weight, noise_temperature=temperature)
    check(case, output)
    case.check("pred_rot", output.pred_rot)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_both_passes_of_a_step_are_the_published_ones(golden, implementation):
    name, weight, temperature = GUIDED
    case = golden(name)
    model = published_model(case, implementation, mask_prompt_padding=True)
    seen, velocities, vision = [], [], []
    model.expert.rotary_emb.register_forward_hook(lambda _, args, out: seen.append(args[1]))
    model.action_out_proj.register_forward_hook(lambda _, args, out: velocities.append(out))
    model.vlm.model.visual.merger.register_forward_hook(lambda *_: vision.append(1))
    driven(case, model, guidance_weight=weight, noise_temperature=temperature)
    assert len(seen) == 1 and len(velocities) == case["run"]["diffusion_kwargs"]["inference_step"]
    assert len(vision) == 1, "images are read once"
    guided, unguided = seen[0].chunk(2, dim=1)
    case.check("position_ids", guided)
    case.check("unguided.position_ids", unguided)
    first, last = velocities[0].chunk(2), velocities[-1].chunk(2)
    case.check("v_step0", first[0])
    case.check("unguided.v_step0", first[1])
    case.check("mixed_v_step0", (1 - weight) * first[1] + weight * first[0])
    case.check("v_last_step", last[0])
    case.check("unguided.v_last_step", last[1])


@pytest.mark.parametrize("weight", [0.0, 1.0, 1.5])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_a_guided_flow_is_the_published_one(golden, weight, temperature):
    case = golden("alpamayo_1_5/guided_flow")

    def velocity(kind):
        matrix, bias, slope = (case.input(f"{name}_{kind}") for name in ("A", "b", "w"))
        return lambda x, t: x @ matrix.T + t * slope + bias

    flow = FlowMatching(x_dims=(64, 2), inference_guidance_weight=weight, use_classifier_free_guidance=True)
    given = {"noise": case.input("noise"), "temperature": temperature, "unguided_step_fn": velocity("unguided")}
    states, _ = flow.sample(2, velocity("guided"), return_all_steps=True, **given)
    case.check(f"w{weight}_temperature{temperature}.all_steps", states)
    case.check(f"w{weight}_temperature{temperature}.sample", states[:, -1])
    plain = flow.sample(2, velocity("guided"), use_classifier_free_guidance=False, **given)
    if temperature != 1:
        case.check("plain_temperature0.6.sample", plain)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("forced", [True, False])
def test_answers_are_the_published_tokens(golden, implementation, forced):
    case = golden("alpamayo_1_5/vqa_text")
    model = published_model(case, implementation)
    data = {name: case.input(name) for name in BATCH if name in case["inputs"]}
    run, length = case["run"], data["input_ids"].shape[1]
    limit = run["max_generation_length" if forced else "natural_max_generation_length"]
    options = {name: run[name] for name in ("top_p", "top_k", "temperature", "num_samples")}
    options["logits_processor"] = [Forced(case.input("forced_tokens"), length)] if forced else None
    output = model.generate_text({"tokenized_data": data}, max_generation_length=limit, as_published=True, **options)
    case.check("generated" if forced else "natural.generated", output.sequences[:, length:])
    assert output.answer is None, "without a tokenizer"
    assert output.finished.tolist() == [[forced, False]]
    if not forced:
        masked = model.generate_text(data, max_generation_length=limit, **options).sequences[:, length:]
        first, count = model.config.traj_token_start_idx, model.config.traj_vocab_size
        assert not ((masked >= first) & (masked < first + count)).any()


@pytest.mark.slow
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_published_call_with_guidance_is_sample_trajectories(golden, implementation):
    name, weight, temperature = GUIDED
    case = golden(name)
    model = published_model(case, implementation, mask_prompt_padding=True)
    data, run = published_data(case), case["run"]
    kept = {**data, "tokenized_data": dict(data["tokenized_data"])}
    named = ("num_traj_samples", "num_traj_sets", "top_p", "top_k", "temperature", "max_generation_length")
    torch.manual_seed(3)
    call = model.sample_trajectories_from_data_with_vlm_rollout_cfg_nav
    xyz, _ = call(data, diffusion_kwargs=run["diffusion_kwargs"], **{name: run[name] for name in named})
    assert data.keys() == kept.keys() and data["tokenized_data"].keys() == kept["tokenized_data"].keys()
    torch.manual_seed(3)
    options = {name: run[name] for name in named[:-1]}
    flat = kept["tokenized_data"] | {name: data[name] for name in ("ego_history_xyz", "ego_history_rot")}
    own = model.sample_trajectories(
        **flat,
        **options,
        max_new_tokens=16,
        num_inference_steps=4,
        guidance_weight=weight,
        noise_temperature=temperature,
    )
    assert torch.equal(xyz, own.pred_xyz)
