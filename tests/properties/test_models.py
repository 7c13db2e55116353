"""Losses and predictions of tiny models: however a step is split, prompts are padded, and lengths are bucketed.

Each model is made once a session; rows of tokens, weights and padding are drawn. There are fewer examples of these, for
a model takes its time.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from drawn import SEEDS, numbers
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_configs import PROMPT_END, bounds, cogvla_config, composed_config, llava3d_config
from traced_graphs import TracedGraph

import vlahub
from vlahub.modeling.fast_prediction import FastPrediction
from vlahub.modeling.loss_items import ActionTargets, cross_entropy, text_items, text_loss

FEW = settings(max_examples=max(4, settings.default.max_examples // 5))
IGNORED, IMAGE = -100, 40


def composed(**fields):
    return vlahub.MultimodalVLAForActionPrediction(composed_config(**fields))


def llava3d(**fields):
    statistics = {"a": {"action": bounds(7)}}
    return vlahub.MapAnythingLlava3DForConditionalGeneration(llava3d_config(norm_stats=statistics, **fields))


MODELS = {
    "composed flow": lambda: composed(action_head="flow"),
    "composed mlp": lambda: composed(action_head="mlp"),
    "composed discrete": lambda: composed(action_head="discrete"),
    "cogvla l1": lambda: vlahub.CogVLAForActionPrediction(cogvla_config(action_head="l1")),
    "cogvla diffusion": lambda: vlahub.CogVLAForActionPrediction(cogvla_config(action_head="diffusion")),
    "deep_fusion": lambda: llava3d(action_expert_type="deep_fusion"),
}


@pytest.fixture(scope="session")
def models():
    """`models(name)`, in evaluation, every weight random, for a zero would hide what it multiplies."""
    made = {}

    def model(name):
        if name not in made:
            torch.manual_seed(0)
            made[name] = MODELS[name]().eval()
            with torch.no_grad():
                for key, parameter in made[name].named_parameters():
                    parameter.add_(torch.randn_like(parameter) * (0.02 if "norm" in key else 0.05))
        return made[name]

    return model


def padded(rows, left, fill, more=0):
    length = max(map(len, rows)) + more
    pads = [[fill] * (length - len(row)) for row in rows]
    return torch.tensor([pad + row if left else row + pad for row, pad in zip(rows, pads, strict=True)])


def texts_of(name, lengths, seed):
    """Ids of prompts of these lengths."""
    generator = np.random.default_rng(seed)
    most = {"composed": 299, "cogvla": 180}.get(name.split()[0], IMAGE)
    texts = [generator.integers(3, most, length).tolist() for length in lengths]
    if name.startswith("cogvla"):
        return [[1, *text, PROMPT_END] for text in texts]
    return [[IMAGE] * 4 + text for text in texts] if name == "deep_fusion" else [[2, *text] for text in texts]


def pixels_and_state(model, name, count, seed):
    views = 2 if name.startswith("cogvla") else 1
    channels = 6 if name.startswith("cogvla") else 3
    found = {"pixel_values": numbers(seed, count, views, channels, 28, 28)}
    size = model.config.state_size
    return found if size is None else found | {"state": numbers(seed + 1, count, size)}


class Step:
    """Rows of one training step, of which any can be made a batch."""

    def __init__(self, model, name, lengths, weights, seed, with_text):
        self.model, self.name, count = model, name, len(lengths)
        self.texts = texts_of(name, lengths, seed)
        steps, dim = model.config.num_action_chunks, model.config.action_dim
        generator = np.random.default_rng(seed)
        self.rows = pixels_and_state(model, name, count, seed + 2)
        self.rows["actions"] = numbers(seed + 5, count, steps, dim).clamp(-1, 1)
        self.rows["action_is_pad"] = torch.from_numpy(
            generator.integers(1, steps + 1, count)[:, None] <= np.arange(steps)
        )
        if name in ("composed flow", "cogvla diffusion", "deep_fusion"):
            self.rows["noise"] = numbers(seed + 6, count, steps, dim)
            times = {"timesteps": torch.from_numpy(generator.integers(0, 4, count))}
            flow = {"time": torch.from_numpy(generator.uniform(0.1, 0.9, count)).float()}
            self.rows |= times if name.startswith("cogvla") else flow
        if weights is not None:
            self.rows["sample_weight"] = torch.tensor(weights)
        if name.startswith("cogvla"):
            block = [*range(200, 200 + steps * dim), 2]
            self.texts = [text + block for text in self.texts]
            self.labels = [[IGNORED] * (len(text) - len(block)) + block for text in self.texts]
        else:
            known = [[IGNORED if token == IMAGE else token for token in text] for text in self.texts]
            self.labels = known if with_text else None

    def batch(self, rows, more=0):
        """Arguments of `forward`; more: columns of padding behind the longest row."""
        found = {key: value[rows] for key, value in self.rows.items()}
        texts = [self.texts[i] for i in rows]
        found["input_ids"] = padded(texts, False, 0, more)
        found["attention_mask"] = padded([[1] * len(text) for text in texts], False, 0, more)
        if self.labels is not None:
            found["labels"] = padded([self.labels[i] for i in rows], False, IGNORED, more)
        return found


WEIGHTS = st.sampled_from([0.0, 0.25, 1.0, 3.0])


@FEW
@given(st.sampled_from(sorted(MODELS)), st.lists(st.integers(1, 6), min_size=2, max_size=4), st.booleans(), st.data())
def test_a_step_is_the_sum_of_its_parts_however_it_is_split_and_padded(models, name, lengths, with_text, data):
    """With weights of samples and rows of different lengths: what accumulation and several processes compute."""
    model, count = models(name), len(lengths)
    weights = data.draw(st.one_of(st.none(), st.lists(WEIGHTS, min_size=count, max_size=count).filter(any)))
    step = Step(model, name, lengths, weights, data.draw(SEEDS), with_text)
    order = data.draw(st.permutations(range(count)))
    cuts = sorted(data.draw(st.sets(st.integers(1, count - 1), min_size=1)))
    parts = [
        step.batch(list(order[a:b]), data.draw(st.integers(0, 2)))
        for a, b in zip([0, *cuts], [*cuts, count], strict=True)
    ]
    with torch.no_grad():
        whole = model(**step.batch(list(range(count))))
        counted = [model.loss_items(**part) for part in parts]
        totals = {item: sum(each[item] for each in counted) for item in counted[0]}
        found = [model(**part, num_items_in_batch=totals) for part in parts]
    assert whole.loss.isfinite()
    assert sum(each.loss.item() for each in found) == pytest.approx(whole.loss.item(), rel=2e-4, abs=1e-6)


@FEW
@given(st.sampled_from(sorted(MODELS)), st.lists(st.integers(1, 6), min_size=1, max_size=3), st.data(), SEEDS)
def test_a_prediction_is_that_of_the_prompt_alone_whatever_its_padding_and_bucket(models, name, lengths, data, seed):
    model = models(name)
    count, left = len(lengths), data.draw(st.booleans())
    texts, shown = texts_of(name, lengths, seed), pixels_and_state(model, name, count, seed + 2)
    shape = count, model.config.num_action_chunks, model.config.action_dim
    noise = {"noise": numbers(seed + 9, *shape)} if name in ("composed flow", "cogvla diffusion", "deep_fusion") else {}
    shown |= noise

    def predicted(rows, more=0):
        ids = padded([texts[i] for i in rows], left, 0, more)
        mask = padded([[1] * len(texts[i]) for i in rows], left, 0, more)
        given_rows = {key: value[rows] for key, value in shown.items()}
        return model.predict_action(input_ids=ids, attention_mask=mask, **given_rows)

    alone = torch.cat([predicted([i]) for i in range(count)])
    together = predicted(list(range(count)), data.draw(st.integers(0, 3)))
    torch.testing.assert_close(together, alone, atol=2e-4, rtol=2e-4)
    model.fast_prediction = FastPrediction(model, {"length_bucket": data.draw(st.integers(1, 9))}, TracedGraph)
    try:
        bucketed = predicted(list(range(count)))
        assert model.fast_prediction_stats.eager_fallbacks == 0
    finally:
        model.fast_prediction = None
    torch.testing.assert_close(bucketed, alone, atol=2e-4, rtol=2e-4)


# ---- the losses themselves


@given(st.integers(1, 4), st.integers(2, 6), st.booleans(), st.booleans(), st.data(), SEEDS)
def test_losses_of_text_are_means_over_what_is_learnt_by_its_weight(batch, length, weighted, is_part, data, seed):
    """In numpy's float64: the next token of each place that has a label."""
    generator = np.random.default_rng(seed)
    logits = numbers(seed, batch, length, 7, scale=3)
    labels = torch.from_numpy(
        np.where(generator.random((batch, length)) < 0.5, IGNORED, generator.integers(0, 7, (batch, length)))
    )
    weights = [data.draw(WEIGHTS) for _ in range(batch)] if weighted else [1.0] * batch
    exact = logits.double().numpy()
    shares = exact - np.log(np.exp(exact).sum(axis=-1, keepdims=True))
    errors, count = 0.0, 0.0
    for row in range(batch):
        for place in range(1, length):
            label = int(labels[row, place])
            if label != IGNORED:
                errors, count = errors - weights[row] * shares[row, place - 1, label], count + weights[row]
    sample_weight = torch.tensor(weights) if weighted else None
    assert text_items(labels, sample_weight).item() == pytest.approx(count)
    total = count + 2.5 if is_part else count
    items = {"text": torch.tensor(total)} if is_part else None

    def stock(logits, labels, vocab_size, num_items_in_batch):
        flat = logits[:, :-1].reshape(-1, vocab_size), labels[:, 1:].reshape(-1)
        return F.cross_entropy(*flat, ignore_index=IGNORED, reduction="sum") / num_items_in_batch

    found = text_loss(stock, logits, labels, items, sample_weight)
    assert found.item() == pytest.approx(errors / total if total else 0.0, rel=1e-4, abs=1e-6)
    given_total = torch.tensor(total) if is_part else None
    again = cross_entropy(logits[:, :-1], labels[:, 1:], given_total, sample_weight)
    assert again.item() == pytest.approx(found.item(), rel=1e-4, abs=1e-6)


@given(st.integers(1, 4), st.integers(1, 5), st.booleans(), st.booleans(), st.data(), SEEDS)
def test_losses_of_actions_are_means_over_steps_of_the_episode_by_weight(
    batch, steps, weighted, padded_steps, data, seed
):
    errors = numbers(seed, batch, steps).abs()
    weights = [data.draw(WEIGHTS) for _ in range(batch)] if weighted else [1.0] * batch
    ends = [data.draw(st.integers(0, steps)) if padded_steps else steps for _ in range(batch)]
    is_pad = torch.arange(steps) >= torch.tensor(ends)[:, None]
    targets = ActionTargets(
        torch.zeros(batch, steps, 2),
        action_is_pad=is_pad if padded_steps else None,
        sample_weight=torch.tensor(weights) if weighted else None,
    )
    total = sum(w * end for w, end in zip(weights, ends, strict=True))
    wanted = sum(
        w * errors[i, :end].double().sum().item() for i, (w, end) in enumerate(zip(weights, ends, strict=True))
    )
    assert targets.num_steps()["action"].item() == pytest.approx(total)
    assert targets.mean(errors).item() == pytest.approx(wanted / total if total else 0.0, rel=1e-5)
