"""`VLATrainer`: what is not finite, evaluation, decay, and arguments that do not fit."""

import copy
import json
import os
import random

import numpy as np
import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import EarlyStoppingCallback, TrainerCallback, TrainingArguments

import vlahub
from vlahub.data import collator_for
from vlahub.errors import InputError, NonFiniteError
from vlahub.training.evaluation import action_error, own_randomness
from vlahub.training.trainer import last_checkpoint

QUIET = {"remove_unused_columns": False, "report_to": "none", "disable_tqdm": True, "use_cpu": True}
QUIET |= {"save_strategy": "no", "logging_steps": 1, "per_device_train_batch_size": 2, "logging_nan_inf_filter": False}


@pytest.fixture(scope="module")
def loaded(family, family_checkpoint):
    """The family's model, its collator; neither is to be changed."""
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    processor = family.processor.from_pretrained(family_checkpoint)
    return model, collator_for(model.config, processor, unnorm_key=family.unnorm_key)


@pytest.fixture
def trainer(loaded, family_examples, tmp_path):
    """`trainer(steps, spoilt={2}, ...)`: one whose batches of these steps, from 1 on, hold NaN."""

    def make(steps=4, spoilt=(), groups=None, predict=False, callbacks=None, weights=None, text=False, **options):
        model, collator = copy.deepcopy(loaded[0]), copy.copy(loaded[1])
        collator.learn_text = text
        made = []

        def spoiling(examples):
            made.append(collator(examples))
            if len(made) in spoilt:
                name = next(n for n in ("actions", "ego_future_xyz") if n in made[-1])
                place = "noise" if name == "ego_future_xyz" else name  # whose values are checked
                made[-1][place] = torch.full((2, 64, 2) if place == "noise" else made[-1][name].shape, float("nan"))
            return made[-1]

        arguments = TrainingArguments(str(tmp_path / "out"), **{**QUIET, "max_steps": steps, **options})
        examples = [example | {"time": 0.3} for example in family_examples * 2]
        given = {
            "callbacks": callbacks,
            "groups": groups and groups(model),
            "predict_in_evaluation": predict,
            "loss_weights": weights,
        }
        return vlahub.VLATrainer(model, arguments, spoiling if spoilt else collator, examples, family_examples, **given)

    return make


def weights_of(trainer):
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


# ---- adapters without a processor


def adapted(model, collator, folder, **options):
    """The trainer of an adapter of a model."""
    wrapped = get_peft_model(copy.deepcopy(model), vlahub.lora_config(copy.deepcopy(model), 2, 4))
    return vlahub.VLATrainer(wrapped, TrainingArguments(str(folder), **QUIET), collator, **options)


def test_an_adapter_that_is_saved_without_a_processor_predicts_by_the_statistics_of_its_collator(
    family, family_checkpoint, loaded, tmp_path, caplog
):
    model, collator = loaded
    collator = copy.copy(collator)
    collator.config = copy.deepcopy(collator.config)
    if family.unnorm_key:
        scaled = json.loads(json.dumps(collator.config.norm_stats))
        scaled["kitchen"] = scaled.pop(next(iter(scaled)))
        collator.config.norm_stats = scaled
        collator.config.view_names = ["left", "right"][: collator.config.num_images_in_input or 2]
    adapted(model, collator, tmp_path).save_model()
    assert "no statistics" not in caplog.text
    again = family.model.from_pretrained(family_checkpoint)
    again.load_adapter(str(tmp_path))
    if family.unnorm_key:
        assert again.config.norm_stats == collator.config.norm_stats != model.config.norm_stats
        assert again.config.view_names == collator.config.view_names
    else:
        assert not (tmp_path / "dataset_statistics.json").exists()


def test_a_collator_that_says_no_statistics_is_told_of_where_no_processor_does(family, loaded, tmp_path, caplog):
    model, collator = loaded
    adapted(model, lambda examples: collator(examples), tmp_path).save_model()
    assert ("there will be no statistics" in caplog.text) == bool(family.unnorm_key)
    assert not (tmp_path / "dataset_statistics.json").exists()
    caplog.clear()
    adapted(model, lambda examples: collator(examples), tmp_path, processing_class=collator.processor)
    assert "there will be no statistics" not in caplog.text


def test_statistics_of_a_former_run_are_not_those_of_the_next(family, family_checkpoint, loaded, tmp_path, caplog):
    """In its folder: the processor's are, where the collator does not say."""
    if not family.unnorm_key:
        pytest.skip("a model that normalises by numbers of its own")
    model, collator = loaded
    former = copy.copy(collator)
    former.config = copy.deepcopy(collator.config)
    former.config.norm_stats = {"former": next(iter(collator.config.norm_stats.values()))}
    former.config.view_names = ["left", "right"][: collator.config.num_images_in_input or 2]
    adapted(model, former, tmp_path).save_model()

    def plain(examples):
        return collator(examples)

    caplog.clear()
    adapted(model, plain, tmp_path)
    assert "will predict by" in caplog.text and "there will be no statistics" not in caplog.text
    adapted(model, plain, tmp_path, processing_class=collator.processor).save_model()
    again = family.model.from_pretrained(family_checkpoint)
    again.load_adapter(str(tmp_path))
    assert again.config.norm_stats.keys() == collator.processor.norm_stats.keys() != {"former"}
    assert again.config.view_names != former.config.view_names


# ---- not finite


def test_a_step_that_is_not_finite_is_skipped_and_counted(trainer):
    made = trainer(3, spoilt={2})
    made.train()
    logs = [log for log in made.state.log_history if "loss" in log]
    assert [log["skipped_steps"] for log in logs] == [0, 1, 1]
    assert [log["nonfinite/losses"] for log in logs] == [0, 1, 0]
    assert np.isfinite([log["grad_max_abs"] for log in (logs[0], logs[2])]).all()
    assert all(p.isfinite().all() for p in made.model.parameters())
    states = made.optimizer.state.values()
    assert all(tensor.isfinite().all() for state in states for tensor in state.values())
    made.save_model()


def test_gradients_that_stay_not_finite_end_the_training_with_step_and_parameters(trainer, tmp_path):
    made = trainer(6, spoilt={2, 3, 4, 5, 6}, save_strategy="steps", save_steps=1)
    with pytest.raises(NonFiniteError, match=r"in step 3, 2 in a row: \w+") as error:
        made.train()
    named = str(error.value).split(": ")[1].split(",")[0].split(". ")[0]
    assert named in (["loss"] if made.model.config.model_type == "cogvla" else weights_of(made))
    assert all(p.isfinite().all() for p in made.model.parameters())


def test_a_training_whose_every_step_is_not_finite_ends_with_an_error_however_short(trainer):
    with pytest.raises(NonFiniteError, match=r"no step was finite.* in step 1"):
        trainer(1, spoilt={1}).train()


def test_weights_that_are_not_finite_are_never_written(trainer, tmp_path):
    made = trainer(1)
    name, parameter = next((n, p) for n, p in made.model.named_parameters() if p.requires_grad)
    with torch.no_grad():
        parameter.view(-1)[-1] = float("inf")
    with pytest.raises(NonFiniteError, match=rf"after step 0: weights are not finite.*{name}"):
        made.save_model()
    assert not list((tmp_path / "out").rglob("*.safetensors"))


def test_skipped_steps_count_as_a_row_only_one_behind_the_other(trainer):
    made = trainer(5, spoilt={2, 4})
    made.train()
    assert [log["skipped_steps"] for log in made.state.log_history if "loss" in log] == [0, 1, 1, 2, 2]


def in_float16(made):
    """What a Trainer with `fp16` has on a card: a scaler, of small gradients here."""
    accelerator = made.accelerator
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    accelerator.native_amp, accelerator.state._mixed_precision = True, "fp16"
    return made


def test_a_loss_that_is_not_finite_is_not_learnt_from_in_float16_either(trainer):
    made = in_float16(trainer(3, spoilt={2}))
    made.train()
    assert [log["skipped_steps"] for log in made.state.log_history if "loss" in log] == [0, 1, 1]
    assert made.guard.losses == [] and all(p.isfinite().all() for p in made.model.parameters())
    assert {int(state["step"]) for state in made.optimizer.state.values()} == {2}


def test_losses_that_stay_not_finite_end_a_training_in_float16(trainer):
    made = in_float16(trainer(6, spoilt={1, 2, 3}))
    before = weights_of(made)
    with pytest.raises(NonFiniteError, match=r"in step 2, 2 in a row: loss"):
        made.train()
    assert all(torch.equal(p, before[name]) for name, p in made.model.named_parameters())


class Overflowing(TrainerCallback):
    """Of gradients, in these steps."""

    def __init__(self, *steps):
        self.steps = steps

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        factor = float("inf") if state.global_step + 1 in self.steps else 1.0
        trained = (p for p in model.parameters() if p.requires_grad)
        self.hooks = [p.register_hook(lambda gradient: gradient * factor) for p in trained]

    def on_step_end(self, *arguments, **kwargs):
        for hook in self.hooks:
            hook.remove()


def test_steps_in_which_the_scaler_of_float16_looks_for_its_scale_are_counted(trainer):
    made = in_float16(trainer(3, callbacks=[Overflowing(1, 2)]))
    made.train()
    assert [log["skipped_steps"] for log in made.state.log_history if "loss" in log] == [1, 2, 2]
    assert made.accelerator.scaler.get_scale() == 1.0


def test_a_training_in_float16_that_takes_no_step_ends_with_an_error(trainer):
    with pytest.raises(NonFiniteError, match=r"no step was finite.*gradients overflow in step 2"):
        in_float16(trainer(2, callbacks=[Overflowing(1, 2)])).train()


def test_gradients_that_overflow_at_any_scale_end_a_training_in_float16(trainer):
    with pytest.raises(NonFiniteError, match=r"gradients overflow in step 3, even with the scale of float16 at 0.5"):
        in_float16(trainer(6, callbacks=[Overflowing(1, 2, 3, 4)])).train()


@pytest.mark.parametrize(("limit", "best"), [(2, False), (1, False), (1, True)])
def test_checkpoints_that_a_trainer_did_not_write_are_not_removed_to_keep_so_many(trainer, tmp_path, limit, best):
    copies = [tmp_path / "out" / f"checkpoint-{name}" for name in ("1-good", "best", "2.old")]
    for age, copied in enumerate(copies):
        copied.mkdir(parents=True)
        os.utime(copied, (age, age))  # of all that there is the oldest
    options = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": limit}
    if best:
        options |= {"eval_strategy": "steps", "eval_steps": 1, "load_best_model_at_end": True}
    trained = trainer(steps=3, **options)
    trained.train()
    found = sorted((tmp_path / "out").glob("checkpoint-*"))
    assert [path for path in found if path in copies] == sorted(copies)
    kept = [path for path in found if path not in copies]
    assert len(kept) == limit and (best or kept[-1].name == "checkpoint-3")


def test_the_last_checkpoint_is_the_whole_one_of_the_largest_step(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for step, state in ((900, "{}"), (1000, '{"a": 1}\n'), (99, "{}"), (2000, '{"broken": ')):
        (folder := tmp_path / f"checkpoint-{step}").mkdir()
        (folder / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-3000").mkdir()
    for copied in ("checkpoint-best", "checkpoint-4000-copy"):  # somebody's own
        (folder := tmp_path / copied).mkdir()
        (folder / "trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-1000")


# ---- steps


def test_what_is_drawn_for_a_step_is_of_the_step_and_its_process(trainer, family_examples, monkeypatch):
    """And leaves the random numbers of everything else as they are."""
    made, drawn = trainer(1), []
    monkeypatch.setattr(made, "counts_items", True)
    monkeypatch.setattr(
        "vlahub.training.trainer.loss_totals",
        lambda *given: drawn.append((torch.rand(1).item(), np.random.rand(), random.random())),
    )
    for step, process, seed in ((0, 0, 0), (0, 0, 1), (1, 0, 0), (0, 1, 0)):
        made.state.global_step = step
        monkeypatch.setattr(type(made.args), "process_index", process)
        torch.manual_seed(seed)
        before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
        made.get_batch_samples(iter([{}]), 1, made.args.device)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]
    assert drawn[0] == drawn[1]
    assert all(len({values[kind] for values in drawn}) == 3 for kind in range(3))


def test_an_error_amid_random_numbers_of_ones_own_gives_those_of_before_back():
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    with pytest.raises(ValueError, match="amid"), own_randomness(5, torch.device("cpu")):
        torch.rand(1), random.random(), np.random.rand()
        raise ValueError("amid")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]


# ---- evaluation


def test_evaluation_has_a_loss_repeats_itself_and_leaves_training_as_it_is(trainer):
    without, made = trainer(4), trainer(4, eval_strategy="steps", eval_steps=1)
    without.train(), made.train()
    for name, value in weights_of(without).items():
        torch.testing.assert_close(weights_of(made)[name], value, rtol=0, atol=0, msg=name)
    first, second = (made.evaluate()["eval_loss"] for _ in range(2))
    assert np.isfinite(first) and first == second


def test_the_best_model_is_found_and_training_stops_early(trainer, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
    options |= {"load_best_model_at_end": True, "learning_rate": 0.0, "metric_for_best_model": "loss"}
    made = trainer(5, callbacks=[EarlyStoppingCallback(1)], **options)
    made.train()
    assert made.state.global_step == 2 and made.state.best_model_checkpoint.endswith("checkpoint-1")


def test_the_error_of_predictions_is_that_of_predictions_by_hand(trainer, family, loaded, family_examples):
    made = trainer(1, predict=True, per_device_eval_batch_size=1)
    torch.manual_seed(3)
    metrics = made.evaluate()
    torch.manual_seed(4)
    assert made.evaluate()["eval_action_error"] == metrics["eval_action_error"] > 0
    if family.unnorm_key is None or getattr(loaded[0].config, "action_head", "") == "flow":
        return  # noise is drawn
    if loaded[0].config.model_type == "cogvla":
        inputs = loaded[1].inputs(family_examples)
        found = loaded[0].eval().predict_action(**inputs, unnorm_key=family.unnorm_key).numpy()
        wanted = np.abs(found - np.stack([example["actions"] for example in family_examples])).mean()
        assert metrics["eval_action_error"] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 9])
def test_the_error_of_predictions_is_over_all_examples_however_many_are_asked_at_once(batch_size):
    class Collator:
        def prediction_errors(self, model, chosen, device):
            assert len(chosen) <= batch_size
            return torch.tensor(chosen)

    total = action_error(nn.Identity(), Collator(), [1.0, 2.0, 4.0, 8.0, 16.0], batch_size, torch.device("cpu"))
    assert total.tolist() == [31, 5]


@pytest.mark.parametrize("family", ["cogvla"], indirect=True)
def test_evaluation_and_predictions_change_no_image(loaded, trainer):
    made = trainer(1)
    made.data_collator.augment = lambda image: 1 / 0
    made.evaluate()
    made.predict(made.eval_dataset)
    with pytest.raises(ZeroDivisionError):
        made.train()


# ---- parts of a loss


@pytest.mark.parametrize("family", ["alpamayo_r1"], indirect=True)
def test_weights_of_a_loss_weigh_its_parts(trainer):
    found = []
    for weights in (None, {"text": 1.0}, {"text": 0.1}, {"action": 0.0, "text": 1.0}):
        made = trainer(1, weights=weights, text=True, learning_rate=0.0)
        made.train()
        found.append(next(log for log in made.state.log_history if "loss" in log))
    plain, ones, tenth, text = found
    action, lm = plain["action_loss"], plain["lm_loss"]
    assert [plain["loss"], ones["loss"]] == pytest.approx([action + lm] * 2, abs=2e-4)
    assert tenth["loss"] == pytest.approx(action + 0.1 * lm, abs=2e-4)
    assert text["loss"] == pytest.approx(lm, abs=2e-4) and tenth["grad_norm"] != plain["grad_norm"]
    for wrong in ({"words": 1.0}, {"text": -1.0}, {"text": float("nan")}):
        with pytest.raises(InputError, match="loss_weights"):
            trainer(1, weights=wrong)


# ---- what is logged


class Reporter(TrainerCallback):
    """What a reporter sees of the logs."""

    def __init__(self):
        self.logs = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.logs.append(dict(logs))


def test_reporters_see_the_figures_of_health(trainer):
    reporter = Reporter()
    trainer(1, callbacks=[reporter]).train()
    assert {"grad_max_abs", "nonfinite/losses", "skipped_steps"} <= reporter.logs[0].keys()


# ---- decay


def test_groups_decay_what_the_trainer_decays(trainer):
    plain, grouped = (
        trainer(1, weight_decay=0.1, groups=groups)
        for groups in (None, lambda model: vlahub.trainable_parameter_groups(model, "full", lr=1e-3))
    )

    def decaying(made):
        made.create_optimizer()
        names = {id(p): name for name, p in made.model.named_parameters() if p.requires_grad}
        groups = made.optimizer.param_groups
        assert {group["weight_decay"] for group in groups} == {0.0, 0.1}
        assert {id(p) for group in groups for p in group["params"]} >= names.keys()
        return {names[id(p)] for group in groups if group["weight_decay"] for p in group["params"] if id(p) in names}

    found = decaying(grouped)
    trained = {name for name, p in grouped.model.named_parameters() if p.requires_grad}
    assert found == decaying(plain) & trained and not any(name.endswith("bias") for name in found)
    norms = [n for n, m in grouped.model.named_modules() if isinstance(m, nn.LayerNorm)]
    assert not found & {f"{name}.weight" for name in norms}


def test_a_group_without_a_learning_rate_has_its_share_of_the_arguments_rate(trainer):
    """With decay each group becomes two, and without it the one that it is."""
    for decay in (0.0, 0.1):
        made = trainer(1, learning_rate=0.5, weight_decay=decay, groups=lambda m: trainable(m, lr=None))
        made.create_optimizer()
        rates = {group["name"]: group["lr"] for group in made.optimizer.param_groups}
        assert rates == pytest.approx({"expert": 0.25, "backbone": 0.05})
    made = trainer(1, learning_rate=0.5, groups=lambda m: [{"params": list(m.parameters())}])
    made.create_optimizer()
    assert [group["lr"] for group in made.optimizer.param_groups] == [0.5]
    made = trainer(1, learning_rate=0.5, groups=lambda m: trainable(m, lr=3.0))
    made.create_optimizer()
    assert sorted(group["lr"] for group in made.optimizer.param_groups) == pytest.approx([0.3, 1.5])


def trainable(model, lr):
    return vlahub.trainable_parameter_groups(model, "full", expert_lr_scale=0.5, lr=lr)


# ---- arguments


@pytest.mark.parametrize(("name", "value"), [("remove_unused_columns", True), ("label_smoothing_factor", 0.1)])
@pytest.mark.parametrize("family", ["cogvla"], indirect=True)
def test_arguments_that_do_not_fit_are_refused_by_name(trainer, name, value):
    with pytest.raises(InputError, match=f"{name}={value}"):
        trainer(1, **{name: value})


@pytest.mark.parametrize("family", ["cogvla"], indirect=True)
def test_several_gpus_in_one_process_are_refused_before_anything_is_copied(trainer, monkeypatch):
    monkeypatch.setattr(TrainingArguments, "n_gpu", 2)
    with pytest.raises(InputError, match=r"one process sees 2 GPUs.*torchrun --nproc_per_node 2"):
        trainer(1)


@pytest.mark.parametrize("family", ["cogvla"], indirect=True)
def test_an_adapter_that_is_no_model_of_pefts_is_refused_before_it_trains(loaded, tmp_path):
    model = copy.deepcopy(loaded[0])
    model.add_adapter(vlahub.lora_config(model, r=2, lora_alpha=4))
    with pytest.raises(InputError, match=r"add_adapter.*get_peft_model"):
        vlahub.VLATrainer(model, TrainingArguments(str(tmp_path), **QUIET))


@pytest.mark.parametrize("family", ["cogvla"], indirect=True)
def test_a_trainer_of_transformers_says_what_took_the_entries(loaded):
    with pytest.raises(InputError, match="remove_unused_columns=False"):
        loaded[1]([{"actions": np.zeros((8, 7))}])


@pytest.mark.parametrize("family", ["cogvla"], indirect=True)
def test_deepspeed_gets_floats_as_they_are(trainer, monkeypatch):
    made = trainer(1)
    made.is_deepspeed_enabled = True
    assert made._prepare_inputs({"time": torch.tensor([0.5699])})["time"].dtype == torch.float32


@pytest.mark.parametrize("family", ["multimodal_vla"], indirect=True)
def test_a_forward_pass_without_a_loss_does_not_break_the_figures(loaded, family_examples):
    model, collator = copy.deepcopy(loaded[0]).train(), loaded[1]
    callback = vlahub.HealthCallback()
    callback.on_train_begin(None, None, None, model=model)
    batch = collator(family_examples)
    for name in ("actions", "action_is_pad", "time", "noise"):
        batch.pop(name, None)
    assert model(**batch).loss is None and not callback.sums
    model(**batch, return_dict=False)
    model(**collator(family_examples))
    assert json.dumps(callback.figures())
    callback.on_train_end(None, None, None)
