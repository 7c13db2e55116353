"""One step is one step, however its examples are split: by hand, and by a Trainer that accumulates."""

import numpy as np
import pytest
import torch
from transformers import TrainingArguments
from transformers.loss.loss_utils import ForCausalLMLoss

import vlahub
import vlahub.data
from vlahub.errors import InputError
from vlahub.modeling.loss_items import text_loss, weighted_mean

# Family, and fields of `tiny`; Alpamayo-R1 has no chunks and so no padding of them.
CASES = {
    "cogvla l1": ("cogvla", {"action_head": "l1"}),
    "cogvla diffusion": ("cogvla", {"action_head": "diffusion", "lfp_enable_film": False}),
    "cogvla discrete": ("cogvla", {"action_head": "discrete"}),
    "deep_fusion": ("mapanything_llava3d", {"action_expert_type": "deep_fusion", "labels": True}),
    "dit": ("mapanything_llava3d", {"action_expert_type": "dit", "dit_config": {"dropout": 0.0}}),
    "both": ("mapanything_llava3d", {"action_expert_type": "deep_fusion+dit", "dit_config": {"dropout": 0.0}}),
    "no expert": ("mapanything_llava3d", {"action_expert_type": None, "labels": True}),
    "composed mlp": ("multimodal_vla", {"action_head": "mlp", "labels": True}),
    "composed flow": ("multimodal_vla", {"action_head": "flow"}),
    "composed discrete": ("multimodal_vla", {"action_head": "discrete"}),
    "alpamayo": ("alpamayo_r1", {"labels": True}),
}
every_case = pytest.mark.parametrize("name", CASES)


@pytest.fixture
def made(tiny, name):
    """A model in training mode, and a batch whose rows differ in what they count."""
    family, fields = CASES[name]
    made = tiny(family, **fields)
    if "actions" in made.batch:
        rows, steps = made.batch["actions"].shape[:2]
        made.batch["action_is_pad"] = torch.arange(steps)[None] >= torch.tensor([1] + [steps] * (rows - 1))[:, None]
    if "labels" in made.batch:
        labels = made.batch["labels"].clone()
        last = (labels[0] != -100).nonzero().flatten()
        labels[0, last[: len(last) // 2]] = -100
        made.batch["labels"] = labels
    return made


def in_two(made, batch):
    """The first row of a batch, and the others; of images and their patches those of the rows."""
    rows = dict.fromkeys(batch, 1)
    if "image_grid_thw" in batch:
        patches = batch["image_grid_thw"].prod(dim=1)
        first = (batch["input_ids"][0] == made.model.config.vlm_config.image_token_id).sum() * 4
        rows["image_grid_thw"] = int((patches.cumsum(dim=0) <= first).sum())
        rows["pixel_values"] = int(first)
    return [
        {name: value[: rows[name]] for name, value in batch.items()},
        {name: value[rows[name] :] for name, value in batch.items()},
    ]


def gradients(model, losses):
    model.zero_grad()
    total = 0.0
    for loss in losses():
        loss.backward()
        total += loss.item()
    return total, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@every_case
def test_the_losses_of_parts_add_up_to_that_of_the_whole(made, name):
    model, batch = made.model, made.batch
    batch = batch | model.drawn(**batch)
    assert model.drawn(**batch) == {}  # what a batch has is not drawn again
    torch.manual_seed(0)
    whole = gradients(model, lambda: [model(**batch).loss])
    rows = in_two(made, batch)
    counted = [model.loss_items(**part) for part in rows]
    assert counted[0].keys() == counted[1].keys() and counted[0]
    totals = {item: counted[0][item] + counted[1][item] for item in counted[0]}
    if "labels" in batch or "action_is_pad" in batch:  # a mean of means would be another number
        assert any(counted[0][item] != counted[1][item] for item in totals)
    torch.manual_seed(0)
    parts = gradients(model, lambda: (model(**part, num_items_in_batch=totals).loss for part in rows))
    assert parts[0] == pytest.approx(whole[0], rel=1e-4)
    torch.testing.assert_close(parts[1], whole[1], atol=2e-4, rtol=1e-3)


@every_case
def test_a_loop_of_ones_own_draws_what_weighs_samples_before_it_counts_them(made, name):
    """The losses of all others are counted without; those that are not refuse, and totals of other times, too."""
    model = made.model
    batch = {key: value for key, value in made.batch.items() if key not in ("time", "noise", "timesteps")}
    if name not in ("deep_fusion", "both", "composed flow"):
        totals = model.loss_items(**batch)
        assert model(**batch, num_items_in_batch=totals).loss.isfinite()
        return
    drawn = batch | model.drawn(**batch)
    totals = model.loss_items(**drawn)
    assert model(**drawn, num_items_in_batch=totals).loss.isfinite() and model(**batch).loss.isfinite()
    for step in (lambda: model.loss_items(**batch), lambda: model(**batch, num_items_in_batch=totals)):
        with pytest.raises(InputError, match=r"no time, .* batch\.update\(model\.drawn\(\*\*batch\)\) draws it"):
            step()


@pytest.mark.parametrize("name", ["deep_fusion", "both", "composed flow"])
def test_a_loss_that_weighs_no_times_is_counted_without(made, name):
    model = made.model
    model.config.use_time_weight = False
    if name == "composed flow":
        model.head.module.use_time_weight = False
    batch = {key: value for key, value in made.batch.items() if key != "time"}
    assert model(**batch, num_items_in_batch=model.loss_items(**batch)).loss.isfinite()


@pytest.mark.parametrize("weights", [None, (1.0, 1.0)], ids=["plain", "of samples"])
def test_a_label_in_the_first_place_does_not_count_for_nothing_predicts_it(weights):
    generator = torch.Generator().manual_seed(3)
    logits, labels = torch.randn(2, 5, 11, generator=generator), torch.randint(11, (2, 5), generator=generator)
    labels[0, 3:] = -100
    wanted = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    found = text_loss(ForCausalLMLoss, logits, labels, None, None if weights is None else torch.tensor(weights))
    torch.testing.assert_close(found, wanted)


@every_case
def test_a_batch_in_which_nothing_counts_has_a_loss_of_zero(made, name):
    batch = dict(made.batch)
    if "action_is_pad" in batch:
        batch["action_is_pad"] = torch.ones_like(batch["action_is_pad"])
    if "labels" in batch:
        batch["labels"] = torch.full_like(batch["labels"], -100)
    if name == "alpamayo":  # whose futures all count
        batch = {key: value for key, value in batch.items() if not key.startswith(("ego_future", "time", "noise"))}
    output = made.model(**batch)
    output.loss.backward()
    assert output.loss.item() == 0
    assert all(p.grad.isfinite().all() for p in made.model.parameters() if p.grad is not None)


def test_weights_of_time_that_are_all_zero_are_no_nan(tiny):
    made = tiny("mapanything_llava3d", action_expert_type="deep_fusion")
    output = made.model(**made.batch | {"time": torch.ones(2)})
    output.loss.backward()
    assert output.loss.item() == 0
    assert weighted_mean(torch.ones(2, 3), torch.zeros(2, 3)) == 0


@pytest.mark.parametrize("name", ["cogvla l1", "composed mlp", "composed discrete"])
def test_padding_behind_an_episode_is_not_learnt(made, name):
    batch, (rows, steps) = made.batch, made.batch["actions"].shape[:2]
    pad = (torch.arange(steps) >= steps - 1).expand(rows, -1)
    others = batch["actions"].clone()
    others[:, -1] += 0.5

    def losses(padding):
        chosen = ({"actions": actions, "action_is_pad": padding} for actions in (batch["actions"], others))
        return [made.model(**batch | more).loss.item() for more in chosen]

    first, second = losses(pad)
    assert first == second
    first, second = losses(None)
    assert first != second


@pytest.mark.parametrize("name", ["cogvla diffusion", "deep_fusion", "dit", "both", "composed flow"])
def test_the_noise_in_padding_is_not_learnt_either(made, name):
    """It is an input of the other steps, so that only the error is looked at: of one step it is that step's."""
    batch, (rows, steps) = made.batch, made.batch["actions"].shape[:2]
    batch.pop("labels", None)
    alone = [
        made.model(**batch | {"action_is_pad": torch.arange(steps).expand(rows, -1) != step}) for step in range(steps)
    ]
    whole = made.model(**batch | {"action_is_pad": None})
    each = torch.stack([output.action_loss for output in alone])
    assert each.min() < each.max() and each.mean().item() == pytest.approx(whole.action_loss.item(), rel=1e-4)


@pytest.mark.parametrize("name", ["cogvla l1", "both", "composed mlp"])
def test_padding_of_another_shape_is_refused(made, name):
    with pytest.raises(InputError, match=r"action_is_pad has shape \(1, "):
        made.model(**made.batch | {"action_is_pad": made.batch["action_is_pad"][:1]})


# ---- weights of samples


def drawn_once(made):
    """The batch with every draw of its loss in it."""
    config, batch = made.model.config, made.batch | made.model.drawn(**made.batch)
    if getattr(config, "action_head", None) in ("l1", "discrete", "mlp"):
        return {name: value for name, value in batch.items() if name != "noise"}
    if "actions" in batch and "timesteps" not in batch:
        random = torch.Generator().manual_seed(1)
        draws = torch.rand(len(batch["actions"]), generator=random), torch.randn(batch["actions"].shape)
        return {"time": draws[0], "noise": draws[1], **batch}
    return batch


def put_together(parts):
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@every_case
def test_a_sample_of_weight_three_is_three_samples(made, name):
    """Loss and gradients, whatever the scale of the weights, and also where the step is split."""
    model, batch = made.model, drawn_once(made)
    first, others = in_two(made, batch)
    count = len(batch["input_ids"])
    repeated = gradients(model, lambda: [model(**put_together([first] * 3 + [others])).loss])
    weight = torch.tensor([3.0] + [1.0] * (count - 1))
    alike = gradients(model, lambda: [model(**batch).loss])[0]
    assert repeated[0] != pytest.approx(alike, rel=1e-3)
    for scale in (1.0, 1e-6):
        found = gradients(model, lambda scale=scale: [model(**batch, sample_weight=weight * scale).loss])
        assert found[0] == pytest.approx(repeated[0], rel=1e-4)
        torch.testing.assert_close(found[1], repeated[1], atol=2e-4, rtol=1e-3)
    parts = in_two(made, batch | {"sample_weight": weight})
    counted = [model.loss_items(**part) for part in parts]
    totals = {item: counted[0][item] + counted[1][item] for item in counted[0]}
    split = gradients(model, lambda: (model(**part, num_items_in_batch=totals).loss for part in parts))
    assert split[0] == pytest.approx(repeated[0], rel=1e-4)
    torch.testing.assert_close(split[1], repeated[1], atol=2e-4, rtol=1e-3)
    ones = gradients(model, lambda: [model(**batch, sample_weight=torch.ones(count)).loss])
    assert ones[0] == pytest.approx(alike, rel=1e-5)


@pytest.mark.parametrize("name", ["cogvla l1", "both", "no expert", "composed flow", "alpamayo"])
def test_a_sample_without_weight_is_not_there(made, name):
    model, batch = made.model, drawn_once(made)
    others = in_two(made, batch)[1]
    weight = torch.tensor([0.0] + [2.0] * (len(batch["input_ids"]) - 1))
    assert model(**batch, sample_weight=weight).loss.item() == pytest.approx(model(**others).loss.item(), rel=1e-4)


@pytest.mark.parametrize("name", ["cogvla discrete", "dit", "composed mlp", "alpamayo"])
def test_weights_that_no_mean_can_be_taken_by_are_refused(made, name):
    model, batch, count = made.model, made.batch, len(made.batch["input_ids"])
    good = [1.0] * (count - 1)
    for weights, message in (
        ([float("nan"), *good], r"sample_weight\[0\] is nan; weights are finite numbers of 0 or more"),
        ([*good, -0.5], rf"sample_weight\[{count - 1}\] is -0.5"),
        ([float("inf"), *good], r"sample_weight\[0\] is inf"),
        ([0.0] * count, "sample_weight is 0 for the whole batch"),
        (good, rf"sample_weight has shape \({count - 1},\)"),
    ):
        with pytest.raises(InputError, match=message):
            model(**batch, sample_weight=torch.tensor(weights))
    with pytest.raises(InputError, match=r"sample_weight is torch\.int64"):
        model(**batch, sample_weight=torch.ones(count, dtype=torch.long))


# ---- through a Trainer


def varied(family_examples):
    """Five examples with times, noise and weights of their own, of which some have padding."""
    random, examples = np.random.RandomState(0), []
    for number in range(5):
        example = dict(family_examples[number % 2])
        for name in {"actions", "noise"} & example.keys():
            example[name] = random.standard_normal(np.shape(example[name])).astype(np.float32)
        if "actions" in example:
            example["action_is_pad"] = np.arange(len(example["actions"])) >= 1 + number
        examples.append(example | {"time": 0.1 + 0.18 * number, "sample_weight": 0.5 + number % 3})
    return examples


def test_a_trainer_takes_the_same_step_however_it_accumulates(family, family_checkpoint, family_examples, tmp_path):
    """Also where the last of the batches is smaller than the others: 5, 2 + 2 + 1, and 1 each."""
    examples, found = varied(family_examples), []
    for size, accumulated in ((5, 1), (2, 3), (1, 5)):
        model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        processor = family.processor.from_pretrained(family_checkpoint)
        collator = vlahub.data.collator_for(model.config, processor, unnorm_key=family.unnorm_key)
        arguments = TrainingArguments(
            str(tmp_path),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulated,
            max_steps=1,
            optim="sgd",
            learning_rate=0.1,
            max_grad_norm=0.0,
            logging_steps=1,
            remove_unused_columns=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = vlahub.VLATrainer(model, arguments, collator, examples)
        trainer.train()
        log = next(entry for entry in trainer.state.log_history if "loss" in entry)
        assert log["action_loss"] == pytest.approx(log["loss"], abs=1e-4)  # which 4.57 rounds
        assert {"step_time", "peak_memory", "grad_max_abs", "skipped_steps"} <= log.keys()
        found.append((log["action_loss"], {name: p.detach() for name, p in model.named_parameters()}))
    for loss, weights in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-4)
        torch.testing.assert_close(weights, found[0][1], atol=1e-4, rtol=1e-3)
