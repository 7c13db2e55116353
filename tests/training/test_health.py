"""HealthCallback in a Trainer: each figure is that of a forward and a backward pass by hand over the same inputs."""

import copy
from collections import defaultdict
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import get_peft_model
from torch import nn
from torch.distributed.tensor import Replicate, Shard
from transformers import Trainer, TrainerCallback, TrainingArguments

import vlahub
from vlahub.modeling.cogvla.cogvla_outputs import CogVLAOutput
from vlahub.training import health
from vlahub.training.collators import collator_for
from vlahub.training.health import StepFigures, number_of_shards

ACCUMULATED, LOGGED, EXAMPLES, CLIP = 2, 2, 8, 0.1  # two forward passes a step, two steps a log
COMMON = {"action_loss", "nonfinite/losses", "nonfinite/gradients"}
# Where each family's velocities come out, and whether with their sign.
VELOCITIES = {
    "mapanything_llava3d": {"action_expert.action_out_proj": 1, "dit_action_head.action_decoder": -1},
    "multimodal_vla": {"action_head.action_out_proj": 1},
    "alpamayo_r1": {"action_out_proj": 1},
}


class Recorder(TrainerCallback):
    """What callbacks after ours see of the logs."""

    def __init__(self):
        self.logs = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.logs.append(dict(logs))


@pytest.fixture(scope="module")
def loaded(family, family_checkpoint):
    """The family's model without dropout, and its collator; the model is not to be changed."""
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    processor = family.processor.from_pretrained(family_checkpoint)
    return SimpleNamespace(model=model, collator=collator_for(model.config, processor, unnorm_key=family.unnorm_key))


@pytest.fixture
def model(loaded):
    return copy.deepcopy(loaded.model)


@pytest.fixture(scope="module")
def examples(family_examples):
    """Eight that differ in their actions, or where there are none, in noise and time."""
    random = np.random.RandomState(0)
    varied = []
    for number in range(EXAMPLES):
        example = dict(family_examples[number % 2])
        for name in {"actions", "noise"} & example.keys():
            example[name] = random.standard_normal(np.shape(example[name])).astype(np.float32)
        varied.append(example | {"time": 0.1 + 0.1 * number})
    return varied


def train(model, collator, examples, folder, callback=None, **options):
    """A Trainer's run at learning rate 0; returns its log history, what others see, and the inputs of training."""
    inputs = []

    def record(module, arguments, given):
        if module.training:
            inputs.append({name: value.clone() for name, value in given.items() if isinstance(value, torch.Tensor)})

    recorder = Recorder()
    arguments = TrainingArguments(
        str(folder),
        **{
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": ACCUMULATED,
            "logging_steps": LOGGED,
            "num_train_epochs": 1,
            "learning_rate": 0.0,
            "max_grad_norm": CLIP,
            "remove_unused_columns": False,
            "report_to": "none",
            "save_strategy": "no",
            "disable_tqdm": True,
            "use_cpu": True,
            **options,
        },
    )
    callback = callback or vlahub.HealthCallback()
    trainer = Trainer(model, arguments, collator, examples, eval_dataset=examples[:1], callbacks=[callback, recorder])
    handle = model.register_forward_pre_hook(record, with_kwargs=True)
    try:
        trainer.train()
    finally:
        handle.remove()
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    return SimpleNamespace(history=history, seen=[log for log in recorder.logs if "loss" in log], inputs=inputs)


def figures_of(log):
    """The callback's entries of a log."""
    trainers = ("loss", "grad_norm", "learning_rate", "epoch", "step", "num_input_tokens_seen")
    return {name: value for name, value in log.items() if name not in trainers}


class ByHand:
    """The figures of one log, from the inputs of its forward passes."""

    def __init__(self, model, base):
        self.model, self.base, self.found = model, base, defaultdict(list)
        self.velocities = {}
        for path in VELOCITIES.get(base.config.model_type, ()):
            base.get_submodule(path).register_forward_hook(
                lambda module, arguments, output, path=path: self.velocities.update({path: output})
            )

    def of(self, inputs):
        self.found.clear()
        for first in range(0, len(inputs), ACCUMULATED):
            self.model.zero_grad(set_to_none=True)
            for given in inputs[first : first + ACCUMULATED]:
                output = self.model(**given)
                (output.loss / ACCUMULATED).backward()
                self.look_at(given, output)
            self.look_at_gradients()
        squares = {name: np.sqrt(np.mean(np.square(v))) for name, v in self.found.items() if "grad_norm" in name}
        return {name: np.mean(values) for name, values in self.found.items()} | squares

    def look_at(self, given, output):
        config = self.base.config
        self.found["action_loss"].append(output.action_loss.item())
        self.found["nonfinite/losses"].append(0.0)
        if output.lm_loss is not None:
            self.found["lm_loss"].append(output.lm_loss.item())
        if config.model_type == "cogvla":
            shares = output.moe_ratios.detach().numpy().reshape(-1, 2).mean(axis=0)
            for tower, share in zip(("featurizer", "fused_featurizer"), shares, strict=True):
                self.found[f"moe_ratio/{tower}"].append(share)
            tokens = config.num_vision_tokens
            for layer, ratio in config.lfp_keep_ratios.items():
                self.found[f"lfp_kept/layer_{layer}"].append(int(tokens * ratio) / tokens)
        for path, sign in VELOCITIES.get(config.model_type, {}).items():
            velocity = sign * self.velocities[path].detach().numpy().reshape(1, -1)
            wanted = self.wanted_velocity(given).numpy().reshape(1, -1)
            cosine = (velocity * wanted).sum() / np.sqrt((velocity**2).sum() * (wanted**2).sum())
            self.found["velocity_cosine"].append(cosine)

    def wanted_velocity(self, given):
        """Noise less actions; Alpamayo-R1 goes the other way."""
        if self.base.config.model_type != "alpamayo_r1":
            return given["noise"] - given["actions"]
        history = given["ego_history_xyz"][:, 0], given["ego_history_rot"][:, 0]
        future = given["ego_future_xyz"], given["ego_future_rot"]
        return self.base.action_space.traj_to_action(*history, *future) - given["noise"]

    def look_at_gradients(self):
        self.found["nonfinite/gradients"].append(0.0)
        squares = {n: p.grad.square().sum().item() for n, p in self.model.named_parameters() if p.grad is not None}
        scale = min(1.0, CLIP / np.sqrt(sum(squares.values())))
        for figure, part in (("aggregation", "aggregation"), ("routers", "router")):
            own = [value for name, value in squares.items() if part in name.split(".")]
            if own:
                self.found[f"grad_norm/{figure}"].append(scale * np.sqrt(sum(own)))


# ---- what is logged


@pytest.mark.parametrize("in_peft", [False, True])
def test_figures_are_those_of_passes_by_hand_and_evaluation_does_not_count(model, loaded, examples, in_peft, tmp_path):
    trained = get_peft_model(model, vlahub.lora_config(model, r=2)).train() if in_peft else model
    copied = copy.deepcopy(trained)
    hand = ByHand(copied, copied.get_base_model() if in_peft else copied)
    hooks = number_of_hooks(trained)
    run = train(trained, loaded.collator, examples, tmp_path, eval_strategy="steps", eval_steps=LOGGED)
    assert len(run.inputs) == EXAMPLES and len(run.history) == len(run.seen) == 2
    for number, (log, seen) in enumerate(zip(run.history, run.seen, strict=True)):
        found, passes = figures_of(log), ACCUMULATED * LOGGED
        wanted = hand.of(run.inputs[number * passes : (number + 1) * passes])
        assert found.keys() == wanted.keys() and found.keys() > COMMON
        assert ("velocity_cosine" in found) != (loaded.model.config.model_type == "cogvla")
        for name, value in found.items():
            assert value == pytest.approx(wanted[name], rel=1e-4, abs=1e-6), name
        assert figures_of(seen) == found
        assert log["loss"] == pytest.approx(found["action_loss"], abs=1e-4)
    assert figures_of(run.history[0])["action_loss"] != figures_of(run.history[1])["action_loss"]
    assert number_of_hooks(trained) == hooks


def number_of_hooks(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_losses_and_gradients_that_are_not_finite_are_counted(model, loaded, examples, tmp_path):
    """The last of the forward passes reads what is no number."""
    batches = []

    def broken(chosen):
        batches.append(loaded.collator(chosen))
        if len(batches) == EXAMPLES:
            batches[-1]["noise" if "noise" in batches[-1] else "state"].fill_(float("nan"))
        return batches[-1]

    logs = [figures_of(log) for log in train(model, broken, examples, tmp_path).history]
    assert [log["nonfinite/losses"] for log in logs] == [0, 1]
    assert [log["nonfinite/gradients"] for log in logs] == [0, 1]


# ---- one family is enough


@pytest.mark.parametrize("family", ["cogvla"], indirect=True)
def test_a_gradient_that_overflows_under_a_finite_loss_is_counted(model, loaded, examples, tmp_path):
    calls = []

    def overflow(gradient):
        calls.append(gradient)
        return gradient * (float("inf") if len(calls) == EXAMPLES else 1)

    model.action_head.model.fc1.weight.register_hook(overflow)
    logs = [figures_of(log) for log in train(model, loaded.collator, examples, tmp_path).history]
    assert [log["nonfinite/losses"] for log in logs] == [0, 0]
    assert [log["nonfinite/gradients"] for log in logs] == [0, 1]


@pytest.mark.parametrize("family", ["cogvla"], indirect=True)
def test_what_is_frozen_has_no_gradient_to_log(model, loaded, examples, tmp_path):
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("router" not in name.split("."))
    run = train(model, loaded.collator, examples[:4], tmp_path)
    assert {name for name in figures_of(run.history[0]) if "grad_norm" in name} == {"grad_norm/aggregation"}


@pytest.mark.parametrize("family", ["multimodal_vla"], indirect=True)
def test_a_second_training_starts_anew_even_after_one_that_broke_off(model, loaded, examples, tmp_path):
    callback, hooks = vlahub.HealthCallback(), number_of_hooks(model)
    first = train(model, loaded.collator, examples[:6], tmp_path, callback)  # the last of three steps is not logged
    assert len(first.history) == 1 and not callback.sums and not callback.counts

    def breaking(chosen):
        if len(chosen[0]["text"]) > 20:
            raise KeyboardInterrupt
        return loaded.collator(chosen)

    with pytest.raises(KeyboardInterrupt):
        train(model, breaking, examples, tmp_path, callback)
    assert number_of_hooks(model) > hooks
    second = train(model, loaded.collator, examples[:4], tmp_path, callback)
    assert number_of_hooks(model) == hooks
    alone = train(copy.deepcopy(loaded.model), loaded.collator, examples[:4], tmp_path)
    assert figures_of(second.history[0]) == pytest.approx(figures_of(alone.history[0]))


def test_nothing_waits_for_the_device_between_logs():
    """On the meta device there are no numbers to wait for: asking for one is an error."""

    def meta(*shape):
        return torch.empty(shape, device="meta")

    layer = nn.Linear(2, 2, device="meta")
    model = nn.ModuleDict({"router": layer, "aggregation": nn.Linear(2, 2, device="meta")})
    model.config = SimpleNamespace(num_vision_tokens=8)
    model.watched_gradients = vlahub.CogVLAForActionPrediction.watched_gradients
    model.training_figures = partial(vlahub.CogVLAForActionPrediction.training_figures, model)
    callback = vlahub.HealthCallback()
    callback.on_train_begin(None, None, None, model=model)
    for parameter in model.parameters():
        parameter.grad = torch.empty_like(parameter)
    output = CogVLAOutput(
        loss=meta(), action_loss=meta(), lm_loss=meta(), moe_ratios=meta(3, 2, 2), kept_vision_tokens={1: meta(3, 4)}
    )
    for _ in range(2):
        callback.watch_output(model, (), output)
        callback.watch_velocity(model, (meta(3, 4, 7), meta(3, 4, 7)), None)
        callback.on_pre_optimizer_step(None, None, None)
    assert len(callback.sums) == 10 and all(total.is_meta for total in callback.sums.values())
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        callback.figures()


@pytest.mark.parametrize(("rows", "largest"), [(0, 0.0), (2, 3.0)])
def test_a_process_without_any_row_has_a_largest_gradient_too(rows, largest):
    """All processes are asked for theirs at once: one that had none would leave the others waiting for ever."""
    model = nn.ParameterList([torch.zeros(rows, 2, dtype=torch.bfloat16)])
    model[0].grad = torch.full_like(model[0], -3)
    figures, logs = StepFigures(), {"loss": 1.0}
    arguments, state = SimpleNamespace(device=torch.device("cpu")), SimpleNamespace(log_history=[{}])
    figures.on_step_begin(arguments, state, None)
    figures.on_pre_optimizer_step(arguments, state, None, model=model)
    figures.on_step_end(arguments, state, None)
    figures.on_log(arguments, state, None, logs=logs)
    assert logs["grad_max_abs"] == largest


# ---- the callbacks by hand


class Watched(nn.Module):
    """A part that trains and is watched, one whose name is alike, and one that is frozen."""

    watched_gradients = {"routers": "router"}

    def __init__(self):
        super().__init__()
        self.router, self.routers_beside = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
        self.frozen = nn.ModuleDict({"router": nn.Linear(2, 1, bias=False)}).requires_grad_(False)


class Output(dict):
    """Of a model, with the losses by name."""

    loss = property(lambda self: self["loss"])


def logged(callback):
    """Of a callback: the log, as reporters and history have it."""
    logs, state = {"loss": 1.0}, SimpleNamespace(log_history=[{}])
    callback.on_log(SimpleNamespace(device=torch.device("cpu")), state, None, logs=logs)
    assert state.log_history[-1] == {name: value for name, value in logs.items() if name != "loss"}
    return state.log_history[-1]


def begun(model, **options):
    callback = vlahub.HealthCallback(**options)
    callback.on_train_begin(None, None, None, model=model)
    return callback


def test_gradients_are_of_what_trains_and_has_exactly_the_name_that_is_watched():
    model = Watched()
    callback = begun(model)
    for gradient in (3.0, 4.0):
        model.router.weight.grad = torch.tensor([[gradient, 0.0]])
        model.routers_beside.weight.grad = model.frozen["router"].weight.grad = torch.full((1, 2), float("inf"))
        callback.on_pre_optimizer_step(None, None, None)
    found = logged(callback)
    assert found["grad_norm/routers"] == pytest.approx(np.sqrt((9 + 16) / 2))
    assert found["nonfinite/gradients"] == 2
    model.routers_beside.weight.grad = None  # a part without a gradient leaves the others theirs
    callback.on_pre_optimizer_step(None, None, None)
    assert logged(callback) == {"grad_norm/routers": 4.0, "nonfinite/gradients": 0}


@pytest.mark.parametrize("losses_add_up", [False, True])
def test_losses_of_a_step_are_a_sum_or_a_mean_and_each_log_begins_anew(losses_add_up):
    model = Watched().train()
    callback = begun(model, losses_add_up=losses_add_up)
    for _ in range(5):  # of a training that was interrupted
        callback.on_pre_optimizer_step(None, None, None)
    callback.on_train_begin(None, None, None, model=model)
    for shift in (0.0, 100.0):
        for value in (1.0, 3.0):  # two steps of two batches
            for _ in range(2):
                loss = model.router.weight.sum() * 0 + value + shift
                callback.watch_output(model, (), Output(loss=loss, action_loss=loss))
                loss.detach().fill_(99.0)  # as a Trainer scales it in place
            callback.on_pre_optimizer_step(None, None, None)
        assert not any(total.requires_grad for total in callback.sums.values())  # which would keep all of a step
        found = logged(callback)
        assert found["action_loss"] == (2.0 + shift) * (2 if losses_add_up else 1)
        assert found["nonfinite/losses"] == 0
    callback.watch_output(model, (), Output(loss=torch.tensor(float("inf"))))
    callback.watch_output(model, (), Output(loss=torch.tensor(float("nan"))))
    callback.watch_output(model, (), Output(loss=torch.tensor(1.0)))
    assert logged(callback) == {"nonfinite/losses": 2}


def test_velocities_are_compared_over_all_of_a_chunk_and_in_training_alone():
    model = Watched()
    callback, wanted = begun(model), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    callback.watch_velocity(model.eval(), (wanted, -wanted), None)
    callback.watch_velocity(model.train(), (torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]), wanted), None)
    assert logged(callback) == {"velocity_cosine": pytest.approx(np.sqrt(0.5))}


def test_a_log_without_a_loss_keeps_the_figures_for_the_next():
    callback = begun(model := Watched().train())
    callback.watch_output(model, (), Output(loss=torch.tensor(float("nan"))))
    callback.on_log(None, SimpleNamespace(log_history=[{}]), None, logs=(evaluated := {"eval_loss": 1.0}))
    assert evaluated == {"eval_loss": 1.0} and logged(callback) == {"nonfinite/losses": 1}


def test_steps_cost_their_mean_and_the_largest_gradient_is_of_all_since_the_last_log(monkeypatch):
    clock, model = iter([0.0, 1.0, 10.0, 13.0, 20.0, 28.0, 30.0, 31.0]), Watched()
    monkeypatch.setattr(health.time, "perf_counter", lambda: next(clock))
    figures, arguments = StepFigures(), SimpleNamespace(device=torch.device("cpu"))

    def step(*gradients):
        figures.on_step_begin(arguments, None, None)
        model.router.weight.grad = torch.tensor([gradients])
        figures.on_pre_optimizer_step(arguments, None, None, model=model)
        figures.on_step_end(arguments, None, None)

    step(1.0, -7.0), step(2.0, 3.0)
    found = logged(figures)
    assert (found["step_time"], found["grad_max_abs"]) == (2.0, 7.0)
    assert 0.01 < found["peak_memory"] < 4096  # GiB
    step(0.5, 0.25)
    found = logged(figures)
    assert (found["step_time"], found["grad_max_abs"]) == (8.0, 0.5)
    step(5.0, 5.0)
    figures.on_train_begin(arguments, None, None)
    assert (figures.steps, figures.seconds, figures.largest) == (0, 0.0, None)


def test_a_gradient_that_is_split_counts_as_often_as_it_is_split(monkeypatch):
    """The mean over processes of what each has of it is multiplied by them."""
    callback = begun(model := Watched())
    model.router.weight.grad = model.routers_beside.weight.grad = torch.ones(1, 2)
    monkeypatch.setattr(health, "squared_norm", lambda parameters: (torch.tensor(3.0), 12))
    callback.on_pre_optimizer_step(None, None, None)
    assert logged(callback) == {"grad_norm/routers": 6.0, "nonfinite/gradients": 0}


def test_a_figure_is_of_as_many_processes_as_its_tensor_is_split_over():
    mesh, split, copied = SimpleNamespace(shape=(2, 3)), Shard(0), Replicate()
    for placements, shards in (((split, split), 6), ((copied, split), 3), ((split, copied), 2), ((copied, copied), 1)):
        assert number_of_shards(SimpleNamespace(device_mesh=mesh, placements=placements)) == shards
