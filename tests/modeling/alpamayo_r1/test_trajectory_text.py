"""Futures as text: the published fine-tuning's losses, and trajectories that the VLM writes without the expert."""

import pytest
import torch
import torch.nn.functional as F
from tiny_configs import alpamayo_config

from vlahub import AlpamayoR1
from vlahub.errors import ConfigError, InputError, NonFiniteError
from vlahub.modeling.alpamayo_r1.trajectory_text import counted_items, future_tokenizer, is_of_trajectory, text_losses

GREEDY = {"top_k": 1}


def published(golden, name, **fields):
    """The case, its model, and the model's arguments."""
    case = golden(f"alpamayo_1_5/{name}")
    model = AlpamayoR1(alpamayo_config(case, **fields)).eval()
    missing, unexpected = model.load_state_dict(case.state(), strict=False)
    assert not unexpected and not missing
    names = "attention_mask", "pixel_values", "image_grid_thw"
    arguments = {each: case.input(each) for each in names}
    poses = [f"ego_{time}_{part}" for time in ("history", "future") for part in ("xyz", "rot")]
    arguments |= {each: case.input(each) for each in poses if each in case["inputs"]}
    return case, model, arguments


def stored(case, name):
    return torch.tensor(case["outputs"][name]["values"]).view(case["outputs"][name]["shape"])


def split(labels, config):
    """Labels as the two arguments of `forward`."""
    is_future = is_of_trajectory(labels, config)
    return {
        "labels": labels.masked_fill(is_future, -100),
        "trajectory_labels": labels.masked_fill(~is_future, -100),
    }


def without_future(arguments):
    return {name: value for name, value in arguments.items() if "future" not in name}


def norm(model, name):
    return model.get_parameter(name).grad.norm()


# ---- the losses of the published fine-tuning


@pytest.mark.parametrize("has_text", [True, False])
def test_a_sample_of_weight_three_is_three_samples_in_both_losses_of_text(has_text):
    """Logits of two samples, whose labels are of a text and of a future in turn."""
    generator = torch.Generator().manual_seed(0)
    logits, ids = torch.randn(2, 9, 30, generator=generator), torch.randint(30, (2, 9), generator=generator)
    is_future = torch.arange(9) % 2 == torch.tensor([[0], [1]])
    is_future[1, 5:] = True
    labels = ids.masked_fill(is_future, -100) if has_text else None
    futures = ids.masked_fill(~is_future, -100)
    found = text_losses(None, logits, labels, futures, None, torch.tensor([1.0, 3.0]))
    rows = [0, 1, 1, 1]
    wanted = text_losses(None, logits[rows], labels[rows] if has_text else None, futures[rows], None)
    for one, other in zip(found, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)
    assert (found[0] is not None) == has_text
    plain = text_losses(None, logits, labels, futures, None)
    assert abs(found[1] - plain[1]) > 1e-3


def test_what_losses_divide_by_counts_each_sample_by_its_weight():
    labels, weight = torch.tensor([[5, 5, -100], [5, 5, 5]]), torch.tensor([3.0, 1.0])
    found = counted_items(labels, labels.flip(0), torch.zeros(2, 1, 4, 3), weight)
    assert {name: each.item() for name, each in found.items()} == {"text": 5, "trajectory": 7, "action": 16}


def test_tokens_beside_the_values_of_trajectories_are_none_of_them(golden):
    config = alpamayo_config(golden("alpamayo_1_5/sft_nav"))
    first, count, markers = config.traj_token_start_idx, config.traj_vocab_size, config.traj_token_ids
    ids = torch.tensor([first - 1, first, first + count - 1, first + count])
    known = torch.tensor([i in (markers["future_start"], markers["future_end"]) for i in ids.tolist()])
    assert torch.equal(is_of_trajectory(ids, config) & ~known, torch.tensor([False, True, True, False]) & ~known)
    assert not known[-1]


def test_a_futures_tokens_are_the_published_ones(golden):
    case, model, arguments = published(golden, "sft_nav")
    poses = [arguments[f"ego_{time}_{part}"].squeeze(1) for time in ("history", "future") for part in ("xyz", "rot")]
    values = future_tokenizer(model.config).encode(*poses) + model.config.traj_token_start_idx
    ids = case.input("input_ids")
    fused = model.with_history(ids, *poses[:2]).masked_scatter(ids == model.config.traj_token_ids["future"], values)
    assert torch.equal(fused, stored(case, "stage1.fused_input_ids"))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_the_first_stages_loss_is_the_published_one(golden, implementation):
    case, model, arguments = published(golden, "sft_nav", attn_implementation=implementation)
    labels = split(stored(case, "stage1.labels"), model.config)
    output = model(stored(case, "stage1.fused_input_ids"), **without_future(arguments), **labels)
    case.check("stage1.loss", output.loss)
    case.check("stage1.loss_future_traj", output.trajectory_lm_loss)
    case.check("stage1.loss_others", output.lm_loss)
    items = model.loss_items(**labels)
    counts = case["outputs"]["stage1.count_future_traj"], case["outputs"]["stage1.count_others"]
    assert (items["trajectory"], items["text"]) == counts and "action" not in items
    output.loss.backward()
    for name, parameter in (
        ("embed_tokens", "vlm.model.language_model.embed_tokens.weight"),
        ("last_k_proj", "vlm.model.language_model.layers.3.self_attn.k_proj.weight"),
        ("patch_embed", "vlm.model.visual.patch_embed.proj.weight"),
    ):
        case.check(f"stage1.grad_norm.{name}", norm(model, parameter))
    assert all(p.grad is None for n, p in model.named_parameters() if not n.startswith("vlm."))


def test_the_loss_of_answers_is_the_published_one(golden):
    """Where no future is asked for its part is 0."""
    case, model, arguments = published(golden, "sft_vqa")
    labels = split(stored(case, "stage1.labels"), model.config)
    output = model(case.input("input_ids"), **arguments, **labels)
    case.check("stage1.loss", output.loss)
    assert output.trajectory_lm_loss == 0
    alone = model(case.input("input_ids"), **arguments, labels=labels["labels"])
    torch.testing.assert_close(alone.loss, output.lm_loss)
    assert alone.trajectory_lm_loss is None


@pytest.mark.parametrize("stop", [True, False])
def test_the_second_stages_losses_are_the_published_ones(golden, stop):
    """Of the row without padding, with the expert's causal mask; the labels that the published code has there are
    those of placeholders."""
    case, model, arguments = published(golden, "sft_nav", expert_non_causal_attention=False)
    row = {name: value[:1] for name, value in arguments.items() if "pixel" not in name and "grid" not in name}
    row |= {"pixel_values": arguments["pixel_values"][:48], "image_grid_thw": arguments["image_grid_thw"][:2]}
    draws = {name: case.input(name) for name in ("noise", "time")}
    ids = case.input("input_ids")[:1]
    labels = ids.masked_fill(~case.input("labels_mask")[:1], -100)
    together = model(ids, **row, **draws, labels=labels, stop_grad_from_vlm=stop)
    case.check("stage2.cotrain_loss", together.loss)
    case.check("stage2.loss", together.action_loss)
    together.loss.backward()
    kind = "stop_grad" if stop else "no_stop_grad"
    key = "vlm.model.language_model.layers.1.self_attn.k_proj.weight"
    case.check(f"stage2.cotrain.grad_norm.vlm_layer1_k_proj.{kind}", norm(model, key))
    case.check("stage2.grad_norm.expert_last_q_proj", norm(model, "expert.layers.3.self_attn.q_proj.weight"))
    case.check("stage2.grad_norm.action_out_proj", norm(model, "action_out_proj.weight"))


def test_both_means_are_by_hand(golden):
    """Of two batches of a step, with their totals."""
    case, model, arguments = published(golden, "sft_nav")
    ids, labels = stored(case, "stage1.fused_input_ids"), split(stored(case, "stage1.labels"), model.config)
    labels["labels"][1] = -100
    totals = {"text": torch.tensor(5.0), "trajectory": torch.tensor(1000.0)}
    with torch.no_grad():
        output = model(ids, **without_future(arguments), **labels, num_items_in_batch=totals)
        alone = model(
            ids, **without_future(arguments), trajectory_labels=labels["trajectory_labels"], num_items_in_batch=totals
        )
    for found, name, total in (
        (output.lm_loss, "labels", 5),
        (output.trajectory_lm_loss, "trajectory_labels", 1000),
        (alone.loss, "trajectory_labels", 1000),
    ):
        by_hand = F.cross_entropy(
            output.logits[:, :-1].flatten(0, 1), labels[name][:, 1:].flatten(), reduction="sum", ignore_index=-100
        )
        torch.testing.assert_close(found, by_hand / total)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tokens_per_future_traj": 100}, r"tokens_per_future_traj=100, but a future of 64 waypoints has 128 tokens"),
        ({"tokens_per_future_traj": 130}, r"tokens_per_future_traj=130, but a future of 64 waypoints has 128 tokens"),
        ({"traj_tokenizer_cfg": {"num_bins": 161}}, r"161 values, but there are traj_vocab_size=160"),
    ],
)
def test_tokens_that_do_not_hold_a_future_are_refused(golden, fields, words):
    with pytest.raises(ConfigError, match=words):
        future_tokenizer(alpamayo_config(golden("alpamayo_1_5/sft_nav"), **fields))


def test_a_future_may_have_all_trajectory_tokens(golden):
    case = golden("alpamayo_1_5/sft_nav")
    fields = alpamayo_config(case).traj_tokenizer_cfg
    assert future_tokenizer(alpamayo_config(case, traj_tokenizer_cfg={**fields, "num_bins": 160})).vocab_size == 160


# ---- trajectories that the VLM writes


@pytest.fixture
def scene(golden):
    """A model, and the prompts up to where the answer begins, padded on the left."""
    case, model, arguments = published(golden, "sft_nav")
    ids = case.input("input_ids")
    length = int((ids[0] == model.config.traj_token_ids["future_start"]).int().argmax())
    cut = {"input_ids": ids[:, :length], "attention_mask": arguments["attention_mask"][:, :length]}
    assert torch.equal(ids[:, length], ids[:1, length].expand(2))
    return model, without_future(arguments) | cut


def test_a_written_trajectory_is_what_a_loop_over_the_whole_text_writes(scene):
    """Greedy, two prompts, the second padded; the oracle runs all of the text again for every token."""
    model, prompt = scene
    config, markers = model.config, model.config.traj_token_ids
    output = model.write_trajectories(**prompt, max_new_tokens=2, **GREEDY)
    ids, mask = (
        model.with_history(prompt["input_ids"], *(p[:, 0] for p in history_of(prompt))),
        prompt["attention_mask"],
    )
    length, first = ids.shape[1], config.traj_token_start_idx
    images = {name: prompt[name] for name in ("pixel_values", "image_grid_thw")}
    for step in range(7):
        with torch.no_grad():
            scores = model(ids, attention_mask=mask, **images).logits[:, -1]
        if step < 2:
            scores[:, first : first + config.traj_vocab_size] = -torch.inf
            scores[:, [markers["future_end"], 302]] = -torch.inf
        else:
            scores[:, :first] = scores[:, first + config.traj_tokenizer_cfg["num_bins"] :] = -torch.inf
        token = scores.argmax(dim=-1, keepdim=True) if step != 2 else torch.full((2, 1), markers["future_start"])
        ids, mask = torch.cat([ids, token], dim=1), torch.cat([mask, torch.ones_like(token)], dim=1)
    assert torch.equal(output.sequences[:, : ids.shape[1]], ids)
    values = output.sequences[:, length + 3 : length + 131] - first
    assert (values >= 0).all() and (values < config.traj_tokenizer_cfg["num_bins"]).all()
    assert (output.sequences[:, length + 131] == markers["future_end"]).all()
    assert not output.has_start_token.any()
    xyz, rot, _ = future_tokenizer(config).decode(*(p[:, 0] for p in history_of(prompt)), values)
    torch.testing.assert_close(output.pred_xyz[:, 0, 0], xyz)
    torch.testing.assert_close(output.pred_rot[:, 0, 0], rot)


def history_of(prompt):
    return prompt["ego_history_xyz"], prompt["ego_history_rot"]


def test_samples_of_one_prompt_are_written_together(scene):
    model, prompt = scene
    one = model.write_trajectories(**prompt, max_new_tokens=1, **GREEDY)
    three = model.write_trajectories(**prompt, num_traj_samples=3, max_new_tokens=1, **GREEDY)
    assert three.pred_xyz.shape == (2, 1, 3, 64, 3)
    torch.testing.assert_close(three.pred_xyz, one.pred_xyz.expand_as(three.pred_xyz), rtol=1e-4, atol=1e-3)
    generator = torch.Generator().manual_seed(0)
    drawn = model.write_trajectories(**prompt, num_traj_samples=2, max_new_tokens=1, generator=generator)
    assert not torch.equal(drawn.sequences[0], drawn.sequences[1])
    torch.manual_seed(5)  # what is drawn depends on the generator alone
    generator = torch.Generator().manual_seed(0)
    again = model.write_trajectories(**prompt, num_traj_samples=2, max_new_tokens=1, generator=generator)
    assert torch.equal(again.sequences, drawn.sequences)


def test_a_trajectory_that_is_written_from_what_is_not_finite_is_an_error(scene):
    model, prompt = scene
    model.vlm.lm_head.weight.data[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match=r"logits of the text.* from: vlm\.lm_head\.weight"):
        model.write_trajectories(**prompt, max_new_tokens=1, **GREEDY)


def test_a_text_that_opens_its_trajectory_says_so(scene):
    model, prompt = scene
    start = model.config.traj_token_ids["future_start"]
    with torch.no_grad():
        embeddings = model.vlm.lm_head.weight
        embeddings[start] = 50 * embeddings.std() * torch.sign(torch.randn(embeddings.shape[1:]))
        states = model.vlm.lm_head.register_forward_hook(
            lambda _, __, logits: logits.index_fill(-1, torch.tensor([start]), 1e3)
        )
    output = model.write_trajectories(**prompt, max_new_tokens=4, **GREEDY)
    states.remove()
    assert output.has_start_token.all()
    assert (output.sequences[:, prompt["input_ids"].shape[1]] == start).all()
    assert output.pred_xyz.isfinite().all()


def test_a_text_without_room_for_a_trajectory_is_refused(scene):
    model, prompt = scene
    model.config.vlm_config.text_config.max_position_embeddings = 400
    with pytest.raises(InputError, match=r"130 trajectory.*400 positions"):
        model.write_trajectories(**prompt, max_new_tokens=200)
