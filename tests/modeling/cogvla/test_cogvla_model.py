"""The whole model at tiny sizes: batches, decoding, text, training, files. Numbers of real runs: test_golden_cogvla."""

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from vlahub import CogVLAForActionPrediction
from vlahub.errors import ConfigError, InputError

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
HEADS = {
    "l1": {"action_head": "l1"},
    "l1-bidirectional": {"action_head": "l1", "action_attention": "bidirectional"},
    "diffusion": {"action_head": "diffusion"},
    "discrete": {"action_head": "discrete"},
    "discrete-bidirectional": {"action_head": "discrete", "action_attention": "bidirectional"},
    "causal": {"action_head": "discrete", "action_attention": "causal"},
}
PARALLEL = ["l1", "l1-bidirectional", "discrete", "discrete-bidirectional"]
PARTS = {
    "all": {},
    "no-lfp": {"use_lfp": False},
    "no-film": {"use_film": False, "lfp_enable_film": False},
    "no-aggregation": {"use_aggr": False},
    "concat": {"vision_aggregate_type": "concat", "state_dim": None},
    "first-layer-pruned": {"lfp_average_factor": 0.3},
    "openvla": {"vision_aggregate_type": "concat", "use_lfp": False, "use_film": False, "use_aggr": False},
}
WITHOUT_PRUNING = {
    "no-lfp": PARTS["no-lfp"],
    "film-alone": PARTS["openvla"] | {"use_film": True},
    "moe-alone": PARTS["openvla"] | {"vision_aggregate_type": "moe"},
    "openvla": PARTS["openvla"],
}
PRUNED_IN_THE_MIDDLE = {"text_config": {"num_hidden_layers": 5}, "lfp_type": "interleave"}

every_head = pytest.mark.parametrize("head", HEADS)
every_part = pytest.mark.parametrize("parts", PARTS)
both_sides = pytest.mark.parametrize("side", ["left", "right"])


def losses(output):
    return [loss for loss in (output.lm_loss, output.action_loss) if loss is not None]


# ---- batches


@both_sides
@every_part
@every_head
def test_a_batch_predicts_what_its_samples_predict_singly(head, parts, side, tiny_model, tiny_batch):
    # The first denoising steps divide rounding by the little that noise has left of the signal.
    close = {"atol": 2e-4, "rtol": 2e-4} if head == "diffusion" else CLOSE
    model = tiny_model(**HEADS[head], **PARTS[parts])
    batch = tiny_batch(model.config, side)
    together = model.predict_action(**batch.prediction(), return_dict=True)
    for i in range(3):
        single = model.predict_action(**batch.prediction([i]), return_dict=True)
        for name in ("actions", "normalized_actions", "action_hidden_states", "moe_ratios", "predicted_token_ids"):
            if (wanted := getattr(single, name)) is not None:
                torch.testing.assert_close(getattr(together, name)[i], wanted[0], **close)
        for layer, kept in single.kept_vision_tokens.items():
            assert torch.equal(together.kept_vision_tokens[layer][i], kept[0])


@both_sides
@every_head
def test_a_training_batch_has_the_predictions_of_its_samples(head, side, tiny_model, tiny_batch):
    model = tiny_model(**HEADS[head])
    batch = tiny_batch(model.config, side, block=True)
    with torch.no_grad():
        together = model(**batch.training())
        singles = [model(**batch.training([i])) for i in range(3)]
    torch.testing.assert_close(together.logits, torch.cat([s.logits for s in singles]), **CLOSE)
    torch.testing.assert_close(together.lm_loss, torch.stack([s.lm_loss for s in singles]).mean(), **CLOSE)
    if together.predictions is not None:
        torch.testing.assert_close(together.predictions, torch.cat([s.predictions for s in singles]), **CLOSE)
        mean = torch.stack([s.action_loss for s in singles]).mean()
        torch.testing.assert_close(together.action_loss, mean, **CLOSE)


@every_head
def test_sdpa_equals_eager(head, tiny_model, tiny_batch):
    sdpa, eager = (tiny_model(attn_implementation=name, **HEADS[head]) for name in ("sdpa", "eager"))
    for model, name in ((sdpa, "sdpa"), (eager, "eager")):
        parts = model.language_model.model, model.vision_backbone.featurizer.blocks[0].attn
        assert [part.config._attn_implementation for part in parts] == [name, name]
    batch = tiny_batch(sdpa.config)
    outputs = [model.predict_action(**batch.prediction(), return_dict=True) for model in (sdpa, eager)]
    torch.testing.assert_close(outputs[0].action_hidden_states, outputs[1].action_hidden_states, **CLOSE)
    torch.testing.assert_close(outputs[0].actions, outputs[1].actions, **CLOSE)


def test_views_may_be_given_as_channels_or_as_a_dimension(tiny_model, tiny_batch):
    model = tiny_model()
    arguments = tiny_batch(model.config).prediction()
    views = arguments["pixel_values"]
    channels = views.reshape(3, 12, *views.shape[-2:])
    actions = model.predict_action(**arguments)
    assert torch.equal(actions, model.predict_action(**{**arguments, "pixel_values": channels}))
    swapped = model.predict_action(**{**arguments, "pixel_values": views.flip(1)})
    assert (actions - swapped).abs().max() > 1e-3


def test_the_prompt_end_token_is_appended_only_where_it_is_missing(tiny_model, tiny_batch):
    model = tiny_model()
    arguments = tiny_batch(model.config).prediction([0])
    end = torch.tensor([[model.config.prompt_end_token_id]])
    longer = torch.cat([arguments["input_ids"], end], dim=1)
    twice = torch.cat([longer, end], dim=1)

    def actions(ids):
        return model.predict_action(**{**arguments, "input_ids": ids, "attention_mask": torch.ones_like(ids)})

    torch.testing.assert_close(actions(arguments["input_ids"]), actions(longer), **CLOSE)
    assert (actions(longer) - actions(twice)).abs().max() > 1e-3


def test_without_a_mask_every_token_is_real(tiny_model, tiny_batch):
    model = tiny_model()
    arguments = tiny_batch(model.config).prediction([0])
    without = {k: v for k, v in arguments.items() if k != "attention_mask"}
    assert torch.equal(model.predict_action(**arguments), model.predict_action(**without))


@every_head
def test_the_tensors_and_dicts_of_the_caller_are_not_modified(head, tiny_model, tiny_batch, snapshot):
    model = tiny_model(**HEADS[head])
    batch = tiny_batch(model.config, block=True)
    statistics = snapshot(model.config.norm_stats)
    for call, arguments in ((model.predict_action, batch.prediction()), (model, batch.training())):
        before = snapshot(arguments)
        call(**arguments)
        assert arguments.keys() == before.keys()
        assert all(torch.equal(arguments[name], before[name]) for name in before)
    assert model.config.norm_stats == statistics


# ---- what actions are made of


@pytest.mark.parametrize("head", PARALLEL)
def test_prediction_and_training_forward_see_the_same_sequence(head, tiny_model, tiny_batch):
    """The ids inside the action block do not matter: nothing of them is visible to a head that works in parallel."""
    model = tiny_model(**HEADS[head])
    batch = tiny_batch(model.config, block=True)
    with torch.no_grad():
        forward = model(**batch.training())
    batch.rows = [row[:-7] for row in batch.rows]
    predicted = model.predict_action(**batch.prediction(), return_dict=True)
    torch.testing.assert_close(forward.action_hidden_states, predicted.action_hidden_states, **CLOSE)


def test_actions_are_the_normalised_ones_in_robot_units(tiny_model, tiny_batch):
    model = tiny_model()
    output = model.predict_action(**tiny_batch(model.config).prediction(), unnorm_key="tiny", return_dict=True)
    low, high = torch.tensor([-1.0, -0.5]), torch.tensor([1.0, 2.0])
    normalized = output.normalized_actions
    torch.testing.assert_close(output.actions[..., :2], (normalized[..., :2] + 1) / 2 * (high - low) + low, **CLOSE)
    assert torch.equal(output.actions[..., 2], normalized[..., 2])
    assert torch.equal(output.actions, model.predict_action(**tiny_batch(model.config).prediction()))


def test_noise_makes_diffusion_deterministic(tiny_model, tiny_batch):
    model = tiny_model(action_head="diffusion")
    arguments = tiny_batch(model.config).prediction()
    first, second = (model.predict_action(**arguments) for _ in range(2))
    other = model.predict_action(**{**arguments, "noise": arguments["noise"].flip(0)})
    assert torch.equal(first, second)
    assert (first - other).abs().max() > 1e-3


def test_diffusion_without_noise_draws_it_from_the_global_generator(tiny_model, tiny_batch):
    model = tiny_model(action_head="diffusion")
    arguments = tiny_batch(model.config).prediction()
    torch.manual_seed(3)
    arguments["noise"] = torch.randn(arguments["noise"].shape)
    given = model.predict_action(**arguments)
    torch.manual_seed(3)
    assert torch.equal(given, model.predict_action(**{**arguments, "noise": None}))


@pytest.mark.parametrize(
    "steps, fewer", [(1, None), (7, None), (7, 7), (7, 3), (10, 4), (10, 5), (6, 1)], ids=lambda value: str(value)
)
def test_diffusion_equals_a_scheduler_around_the_training_forward(steps, fewer, tiny_model, tiny_batch):
    """DDIM by its formulas in float64, over diffusers' "leading" choice of steps; the network is asked through
    `forward`, with noised actions of our making."""
    model = tiny_model(action_head="diffusion", num_diffusion_steps=steps)
    batch = tiny_batch(model.config, block=True)
    arguments = batch.training()
    sample = arguments["noise"].double()

    curve = [math.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(steps + 1)]
    betas = np.array([min(1 - curve[t + 1] / curve[t], 0.999) for t in range(steps)], dtype=np.float32)
    levels = np.cumprod((1 - betas).astype(np.float64))
    count = fewer or steps
    stride = steps // count
    for t in (np.arange(0, count) * stride).round()[::-1]:
        clean = (sample / math.sqrt(levels[t])).float()  # noised to exactly `sample` when no noise is added
        step = {"actions": clean, "noise": torch.zeros_like(clean), "timesteps": torch.full((3,), int(t))}
        with torch.no_grad():
            noise = model(**{**arguments, **step}).predictions.double()
        clean = ((sample - math.sqrt(1 - levels[t]) * noise) / math.sqrt(levels[t])).clamp(-1, 1)
        before = levels[t - stride] if t - stride >= 0 else 1.0
        sample = math.sqrt(before) * clean + math.sqrt(1 - before) * noise

    batch.rows = [row[:-7] for row in batch.rows]
    output = model.predict_action(**batch.prediction(), num_inference_steps=fewer, return_dict=True)
    torch.testing.assert_close(output.normalized_actions.double(), sample, atol=1e-4, rtol=1e-4)
    model.config.num_inference_steps = fewer
    assert torch.equal(model.predict_action(**batch.prediction()), output.actions)


@pytest.mark.parametrize("steps", [0, -1, 6, 2.0, True])
def test_steps_that_the_schedule_does_not_have_are_refused_by_name(steps, tiny_model, tiny_batch):
    model = tiny_model(action_head="diffusion", num_diffusion_steps=5)
    with pytest.raises(InputError, match=rf"^num_inference_steps={steps} must .* num_diffusion_steps=5"):
        model.predict_action(**tiny_batch(model.config).prediction(), num_inference_steps=steps)


def test_only_a_diffusion_head_has_steps(tiny_model, tiny_batch):
    model = tiny_model(action_head="l1")
    with pytest.raises(InputError, match=r"^num_inference_steps=2 was given, but action_head='l1'"):
        model.predict_action(**tiny_batch(model.config).prediction(), num_inference_steps=2)


@every_head
def test_outputs_answer_by_attribute_key_and_position(head, tiny_model, tiny_batch):
    """`Trainer` asks a model's output for `["loss"]`, or takes its first value."""
    model = tiny_model(**HEADS[head])
    batch = tiny_batch(model.config, block=True)
    forward = model(**batch.training())
    assert forward["loss"] is forward.loss
    assert forward[0] is forward.loss
    assert model(**batch.training(), return_dict=False)[0].equal(forward.loss)
    predicted = model.predict_action(**batch.prediction(), return_dict=True)
    assert predicted["actions"] is predicted.actions
    assert predicted[0] is predicted.actions


# ---- token after token


def mean_embedding(model, input_ids, behind=()):
    """Of a prompt and the tokens behind its actions."""
    more = torch.tensor([behind], dtype=torch.long)
    return model.get_input_embeddings()(torch.cat([input_ids, more], dim=1)).mean(dim=1)


class NaiveText:
    """Text of one sample, recomputed by the slow reference; FiLM and fusion are conditioned on the prompt, and on the
    stop token behind actions, which training sees there."""

    def __init__(self, model, naive, arguments, behind=()):
        self.model, self.naive = model, naive(model.language_model.model)
        embeds = model.get_input_embeddings()(arguments["input_ids"])
        state, pixel_values = arguments["state"], arguments["pixel_values"]
        prefix, _ = model.encode_prefix(pixel_values, mean_embedding(model, arguments["input_ids"], behind), state)
        sequence = torch.cat([embeds[0, :1], prefix[0], embeds[0, 1:]])
        length, vision = len(sequence), model.config.num_vision_tokens
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        prompt = torch.arange(length) > vision
        self.state = self.naive.read(sequence, causal, vision, prompt)[-1]

    def log_probabilities(self):
        return self.model.language_model.lm_head(self.state).log_softmax(dim=-1)

    def append(self, token):
        self.state = self.naive.read_on(self.model.get_input_embeddings().weight[token])

    @torch.no_grad()
    def greedy(self, count, never=()):
        tokens = []
        for _ in range(count):
            tokens.append(
                int(self.log_probabilities().index_fill(0, torch.tensor(never, dtype=torch.long), -math.inf).argmax())
            )
            self.append(tokens[-1])
        return tokens

    @torch.no_grad()
    def score(self, tokens):
        total = 0.0
        for token in tokens:
            total += float(self.log_probabilities()[token])
            self.append(token)
        return total


@pytest.mark.parametrize("parts", ["all", "no-lfp", "first-layer-pruned", "openvla"])
def test_tokens_one_by_one_are_those_of_a_slow_reference(parts, tiny_model, tiny_batch, naive_llama):
    model = tiny_model(**HEADS["causal"], **PARTS[parts])
    batch = tiny_batch(model.config)
    batch.rows = [[*row, 190] if row[-1] != 190 else row for row in batch.rows]
    output = model.predict_action(**batch.prediction(), return_dict=True)
    for i in range(3):
        with torch.no_grad():
            naive = NaiveText(model, naive_llama, batch.prediction([i]), behind=[model.config.stop_token_id])
            torch.testing.assert_close(output.action_hidden_states[i, 0], naive.state, **CLOSE)
        tokens = naive.greedy(model.config.num_action_tokens)
        assert output.predicted_token_ids[i].tolist() == tokens
        assert len(set(tokens)) > 1


@pytest.mark.parametrize("parts", ["no-lfp", "openvla"])
def test_tokens_one_by_one_are_those_of_whole_passes_over_the_text_so_far(parts, tiny_model, tiny_batch):
    model = tiny_model(**HEADS["causal"], **PARTS[parts])
    arguments = tiny_batch(model.config).prediction([1])
    prompt_embeds = model.get_input_embeddings()(arguments["input_ids"])
    tokens = []
    with torch.no_grad():
        condition = mean_embedding(model, arguments["input_ids"], [model.config.stop_token_id])
        prefix, _ = model.encode_prefix(arguments["pixel_values"], condition, arguments["state"])
        for _ in range(model.config.num_action_tokens):
            written = model.get_input_embeddings()(torch.tensor([tokens], dtype=torch.long))
            embeds = torch.cat([prompt_embeds[:, :1], prefix, prompt_embeds[:, 1:], written], dim=1)
            states = model.language_model.model(inputs_embeds=embeds, use_cache=False).last_hidden_state
            tokens.append(int(model.language_model.lm_head(states[0, -1]).argmax()))
    assert model.predict_action(**arguments, return_dict=True).predicted_token_ids[0].tolist() == tokens


@pytest.mark.parametrize("language_mean", ["masked", "padded"])
@pytest.mark.parametrize("parts", ["no-lfp", "film-alone", "moe-alone", "openvla"])
def test_what_is_learnt_token_by_token_is_what_is_predicted(parts, language_mean, tiny_model, tiny_batch):
    """The mean that conditions FiLM and fusion is the same, with all actions behind the prompt and before any."""
    model = tiny_model(**HEADS["causal"], **WITHOUT_PRUNING[parts], language_mean=language_mean)
    arguments = tiny_batch(model.config).prediction([1])
    found = model.predict_action(**arguments, return_dict=True)
    stop = torch.tensor([[model.config.stop_token_id]])
    text = torch.cat([arguments["input_ids"], found.predicted_token_ids, stop], dim=1)
    with torch.no_grad():
        learnt = model(**{**arguments, "input_ids": text, "attention_mask": torch.ones_like(text)})
    torch.testing.assert_close(learnt.action_hidden_states, found.action_hidden_states, **CLOSE)
    assert torch.equal(learnt.logits[:, :-1].argmax(dim=-1), found.predicted_token_ids)


def test_a_model_that_prunes_learns_no_tokens_that_are_written_one_by_one(tiny_model, tiny_batch):
    model = tiny_model(**HEADS["causal"]).train()
    with pytest.raises(InputError, match=r"token pruning .*what is learnt would not be what is predicted.*parallel"):
        model(**tiny_batch(model.config, block=True).training())


GENERATE = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "eos_token_id": 2, "pad_token_id": 0}


@both_sides
@pytest.mark.parametrize("parts", ["all", "no-lfp", "no-aggregation", "first-layer-pruned"])
def test_generate_continues_each_prompt_of_a_batch_as_the_slow_reference_does(
    parts, side, tiny_model, tiny_batch, naive_llama
):
    model = tiny_model(**PARTS[parts])
    batch = tiny_batch(model.config, side)
    arguments = batch.prediction()
    output = model.generate(**arguments, **GENERATE)
    length = arguments["input_ids"].shape[1]
    assert torch.equal(output[:, :length], arguments["input_ids"])
    for i in range(3):
        single = batch.prediction([i])
        alone = model.generate(**single, **GENERATE)
        assert output[i, length:].tolist() == alone[0, single["input_ids"].shape[1] :].tolist()
        with torch.no_grad():
            naive = NaiveText(model, naive_llama, single)
        assert output[i, length:].tolist() == naive.greedy(6, never=[2])  # 2 ends a text, here too early


@pytest.mark.parametrize("parts", ["all", "no-lfp", "first-layer-pruned"])
def test_beam_search_scores_its_texts_as_the_slow_reference_does(parts, tiny_model, tiny_batch, naive_llama):
    model = tiny_model(**PARTS[parts])
    batch = tiny_batch(model.config, "left")
    arguments = batch.prediction([0, 1])
    options = {"num_beams": 3, "num_return_sequences": 2, "output_scores": True, "return_dict_in_generate": True}
    output = model.generate(**arguments, **{**GENERATE, "max_new_tokens": 4, "min_new_tokens": 4}, **options)
    length = arguments["input_ids"].shape[1]
    assert torch.equal(output.sequences[:, :length], arguments["input_ids"].repeat_interleave(2, dim=0))
    for row, (sequence, score) in enumerate(zip(output.sequences, output.sequences_scores, strict=True)):
        with torch.no_grad():
            naive = NaiveText(model, naive_llama, batch.prediction([row // 2]))
        assert math.isclose(float(score) * 4, naive.score(sequence[length:].tolist()), rel_tol=1e-4)
    assert output.sequences_scores[0] >= output.sequences_scores[1]


def test_generate_looks_at_the_images(tiny_model, tiny_batch):
    model = tiny_model()
    arguments = tiny_batch(model.config).prediction([0])
    options = {**GENERATE, "return_dict_in_generate": True, "output_scores": True}
    scores = [
        model.generate(**{**arguments, "pixel_values": pixels}, **options).scores[0]
        for pixels in (arguments["pixel_values"], -arguments["pixel_values"])
    ]
    finite = scores[0].isfinite()
    assert (scores[0] - scores[1])[finite].abs().max() > 1e-3


def test_generate_without_images_is_refused(tiny_model, tiny_batch):
    model = tiny_model()
    arguments = {**tiny_batch(model.config).prediction([0]), "pixel_values": None}
    with pytest.raises(InputError, match="pixel_values is missing"):
        model.generate(**arguments, **GENERATE)


# ---- training


@every_head
def test_every_small_step_lowers_the_loss(head, tiny_model, tiny_batch):
    model = tiny_model(**HEADS[head], **(PARTS["no-lfp"] if head == "causal" else {})).train()
    arguments = tiny_batch(model.config, block=True).training()
    optimizer = torch.optim.SGD(model.parameters(), lr=3e-4)
    history = []
    for _ in range(6):
        loss = model(**arguments).loss
        history.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert history == sorted(history, reverse=True)
    assert history[-1] < history[0] - 0.02


def test_the_losses_are_cross_entropy_and_mean_distance(tiny_model, tiny_batch):
    model = tiny_model()
    batch = tiny_batch(model.config, "left", block=True)
    with torch.no_grad():
        output = model(**batch.training())
    wanted = torch.tensor([row[-7:] for row in batch.rows])
    entropy = -output.logits.log_softmax(-1).gather(2, wanted.unsqueeze(-1)).mean()
    torch.testing.assert_close(output.lm_loss, entropy, **CLOSE)
    torch.testing.assert_close(output.action_loss, (output.predictions - batch.actions).abs().mean(), **CLOSE)
    assert output.loss == output.action_loss


def test_labels_of_minus_100_are_not_learned(tiny_model, tiny_batch):
    model = tiny_model()
    batch = tiny_batch(model.config, block=True)
    arguments = batch.training()
    arguments["labels"][0] = -100
    with torch.no_grad():
        masked, whole = model(**arguments), model(**batch.training([1, 2]))
    torch.testing.assert_close(masked.lm_loss, whole.lm_loss, **CLOSE)


@pytest.mark.parametrize("head", ["l1", "diffusion", "causal"])
def test_gradients_reach_every_parameter(head, tiny_model, tiny_batch):
    """FiLM, routers, aggregation tokens, fusion, heads; the pruning layers are not the last, whose vision tokens
    nobody reads."""
    model = tiny_model(**HEADS[head], **(PARTS["no-lfp"] if head == "causal" else PRUNED_IN_THE_MIDDLE)).train()
    assert list(model.config.lfp_keep_ratios) == ([] if head == "causal" else [1, 3])
    sum(losses(model(**tiny_batch(model.config, block=True).training()))).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_neither_loss_nor_gradients(reentrant, tiny_model, tiny_batch):
    results = []
    for checkpointing in (False, True):
        model = tiny_model(**PRUNED_IN_THE_MIDDLE).train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        runs = []
        for mlp in (model.language_model.model.layers[1].mlp, model.vision_backbone.featurizer.blocks[0].mlp):
            mlp.register_forward_hook(lambda *_, seen=runs: seen.append(1))
        output = model(**tiny_batch(model.config, block=True).training())
        sum(losses(output)).backward()
        assert len(runs) == (4 if checkpointing else 2)  # run once more for the gradients
        results.append((output.loss, {name: p.grad for name, p in model.named_parameters()}))
    (loss, gradients), (again, recomputed) = results
    assert torch.equal(loss, again)
    for name, gradient in gradients.items():
        assert recomputed[name] is not None, name
        torch.testing.assert_close(recomputed[name], gradient, msg=lambda text, name=name: f"{name}: {text}", **CLOSE)


# ---- refusals


def test_forward_refuses_a_row_too_short_for_its_action_block(tiny_model, tiny_batch):
    model = tiny_model()
    arguments = tiny_batch(model.config, block=True).training()
    arguments["attention_mask"][2, 7:] = 0
    with pytest.raises(InputError, match=r"input_ids row 2 has 7 real tokens.* at least 8"):
        model(**arguments)


@pytest.mark.parametrize(
    "argument, value",
    [
        ("input_ids", torch.ones(3, dtype=torch.long)),
        ("attention_mask", torch.ones(3, 4, dtype=torch.long)),
        ("pixel_values", None),
        ("pixel_values", torch.zeros(3, 6, 28, 28)),
        ("pixel_values", torch.zeros(3, 2, 6, 28, 14)),
        ("pixel_values", torch.zeros(2, 2, 6, 28, 28)),
        ("state", None),
        ("state", torch.zeros(3, 5)),
        ("unnorm_key", "other"),
        ("noise", torch.zeros(3, 3, 2)),
    ],
)
def test_predict_action_refuses_a_wrong_argument_by_name(argument, value, tiny_model, tiny_batch):
    model = tiny_model(action_head="diffusion")
    arguments = {**tiny_batch(model.config).prediction(), argument: value}
    with pytest.raises(InputError, match=f"^{argument}"):
        model.predict_action(**arguments)


def test_a_prompt_fits_where_all_that_the_language_model_reads_has_a_position(tiny_model, tiny_batch):
    """Beside text, images and actions a token for the state and one for the time of diffusion."""
    model = tiny_model(action_head="diffusion")
    arguments, text = tiny_batch(model.config).prediction(), model.config.text_config
    seen = []
    model.get_input_embeddings().register_forward_pre_hook(lambda _, ids: seen.append(ids[0].shape[1]))
    text.max_position_embeddings = 1
    with pytest.raises(InputError, match=r", 1 state, 1 time, \d+ action\), but") as caught:
        model.predict_action(**arguments)
    text.max_position_embeddings = int(re.search(r"has (\d+) places", str(caught.value))[1])
    model.predict_action(**arguments)
    assert text.max_position_embeddings == seen[-1] + model.config.num_vision_tokens + 2


def test_a_model_without_robot_state_refuses_one(tiny_model, tiny_batch):
    model = tiny_model(state_dim=None)
    arguments = tiny_batch(model.config).prediction()
    with pytest.raises(InputError, match=r"^state .*state_dim is None"):
        model.predict_action(**{**arguments, "state": torch.zeros(3, 4)})


def test_the_state_may_come_under_its_published_name_but_not_under_both(tiny_model, tiny_batch):
    model = tiny_model(action_head="discrete", action_attention="causal", lfp_enable_film=False)
    batch = tiny_batch(model.config, block=True)
    calls = [
        (model.predict_action, batch.prediction()),
        (lambda **inputs: model(**inputs).logits, batch.training()),
        (lambda **inputs: model.generate(**inputs, max_new_tokens=2), batch.prediction()),
    ]
    for call, inputs in calls:
        state = inputs.pop("state")
        assert torch.equal(call(**inputs, state=state), call(**inputs, proprio=state))
        with pytest.raises(InputError, match="two names of one argument"):
            call(**inputs, state=state, proprio=state)


def test_discrete_actions_refuse_continuous_targets(tiny_model, tiny_batch):
    model = tiny_model(action_head="discrete")
    batch = tiny_batch(model.config, block=True)
    with pytest.raises(InputError, match=r"^actions .*action_head='discrete'"):
        model(**batch.training(), actions=batch.actions)


def test_training_draws_normal_noise_and_all_steps_of_diffusion(tiny_model, tiny_batch):
    model = tiny_model(action_head="diffusion", num_diffusion_steps=7)
    batch = tiny_batch(model.config, block=True)
    given = batch.training() | {"noise": None, "timesteps": None}
    for seed in range(3):
        torch.manual_seed(seed)
        found = model(**given).loss
        torch.manual_seed(seed)
        noise = torch.randn(batch.noise.shape)
        timesteps = torch.randint(7, (3,))
        torch.testing.assert_close(found, model(**given | {"noise": noise, "timesteps": timesteps}).loss)


def test_diffusion_cannot_be_trained_without_actions(tiny_model, tiny_batch):
    model = tiny_model(action_head="diffusion")
    with pytest.raises(InputError, match=r"^actions is missing"):
        model(**{**tiny_batch(model.config, block=True).training(), "actions": None})


# ---- construction and files


@every_head
def test_a_model_is_built_on_the_meta_device(head, tiny_config):
    with torch.device("meta"):
        model = CogVLAForActionPrediction(tiny_config(**HEADS[head]))
    assert {p.device.type for p in model.parameters()} == {"meta"}


def test_a_new_model_starts_with_film_as_the_identity_and_finite_weights(tiny_config, tiny_batch):
    torch.manual_seed(0)
    model = CogVLAForActionPrediction(tiny_config()).eval()
    assert all(p.isfinite().all() for p in model.parameters())
    tower = model.vision_backbone.featurizer
    for film in (block.film for block in tower.blocks):
        assert not any(p.any() for p in film.parameters())
    for name in ("pos_embed", "cls_token", "reg_token"):
        assert 0.01 < getattr(tower, name).std() < 0.04
    assert 0.7 < tower.aggregation.tokens.std() < 1.4  # as published
    assert model.predict_action(**tiny_batch(model.config).prediction()).isfinite().all()


def test_a_model_built_after_one_with_pruning_layers_has_plain_ones(tiny_model):
    with_pruning, without = tiny_model(), tiny_model(use_lfp=False)
    names = [[type(layer).__name__ for layer in m.language_model.model.layers] for m in (with_pruning, without)]
    assert names == [["LlamaDecoderLayer"] + 3 * ["LFPDecoderLayer"], 4 * ["LlamaDecoderLayer"]]


@every_head
def test_a_saved_model_comes_back_bit_for_bit(head, tiny_model, tiny_batch, tmp_path, assert_equal_parameters):
    model = tiny_model(**HEADS[head])
    model.save_pretrained(tmp_path)
    loaded, info = CogVLAForActionPrediction.from_pretrained(tmp_path, dtype=torch.float32, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert_equal_parameters(model, loaded)
    assert loaded.config.to_dict().keys() >= {"norm_stats", "action_head", "lfp_type"}
    arguments = tiny_batch(model.config).prediction()
    assert torch.equal(model.predict_action(**arguments), loaded.predict_action(**arguments))


def test_a_saved_bfloat16_model_comes_back_bit_for_bit(tiny_model, tmp_path, assert_equal_parameters):
    model = tiny_model().bfloat16()
    model.save_pretrained(tmp_path)
    loaded = CogVLAForActionPrediction.from_pretrained(tmp_path, dtype="auto")
    assert loaded.dtype == torch.bfloat16
    assert_equal_parameters(model, loaded)


@pytest.mark.parametrize("change", ["missing", "unexpected", "mismatched"])
def test_loading_refuses_weights_that_do_not_fit_by_name(change, tiny_model, tmp_path):
    tiny_model().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    name = "vision_backbone.featurizer.aggregation.tokens"
    if change == "missing":
        del tensors[name]
    elif change == "unexpected":
        name = "language_model.model.layers.0.router.router.weight"
        tensors[name] = torch.zeros(2, 32)
    else:
        tensors[name] = torch.zeros(1, 4, 16)
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ConfigError, match=f"{change} keys.*{re.escape(name)}"):
        CogVLAForActionPrediction.from_pretrained(tmp_path, dtype=torch.float32)


@every_head
def test_bfloat16_predicts_nearly_what_float32_does(head, tiny_model, tiny_batch):
    model = tiny_model(**HEADS[head], use_lfp=False)
    arguments = tiny_batch(model.config).prediction()
    whole = model.predict_action(**arguments, return_dict=True)
    half = model.bfloat16().predict_action(**arguments, return_dict=True)
    assert half.action_hidden_states.dtype == torch.bfloat16
    assert half.actions.dtype == half.normalized_actions.dtype == torch.float32
    first = half.action_hidden_states[:, 0].float(), whole.action_hidden_states[:, 0]
    assert F.cosine_similarity(*first, dim=-1).min() > 0.99


@every_head
def test_bfloat16_runs_with_pruning(head, tiny_model, tiny_batch):
    model = tiny_model(**HEADS[head]).bfloat16()
    actions = model.predict_action(**tiny_batch(model.config).prediction())
    assert actions.shape == (3, 2, 3)
    assert actions.isfinite().all()


def test_tied_embeddings_share_one_tensor_after_loading(tiny_model, tiny_batch, tmp_path):
    model = tiny_model(text_config={"tie_word_embeddings": True})
    model.tie_weights()
    model.save_pretrained(tmp_path)
    loaded = CogVLAForActionPrediction.from_pretrained(tmp_path, dtype=torch.float32)
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
    batch = tiny_batch(model.config, block=True).training()
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, loaded(**batch).logits)
