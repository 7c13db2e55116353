"""`VLATrainer` with bfloat16 and gradient checkpointing: its first loss is the model's own, and all are finite."""

import tempfile
from collections.abc import Iterator
from functools import partial

import torch
from transformers import TrainingArguments

from benchmarks.card.cases import Case, cases, on, placed
from benchmarks.card.learning import loss_and_gradients
from benchmarks.card.results import Figure, Job, Skipped

STEPS = 3
BOUND = 0.1  # of bfloat16


def jobs(device: str, family: str | None) -> Iterator[Job]:
    for case in cases(family, is_trained=True):
        yield Job("trainer", case.name, partial(trainer, case, device))


def trainer(case: Case, device: str) -> Iterator[Figure]:
    try:
        from vlahub import VLATrainer
    except ImportError as error:
        raise Skipped(f"VLATrainer needs a package that is not here: {error}") from error
    tiny = case.tiny()
    model = placed(tiny.model, device).train()
    wanted, _ = loss_and_gradients(model, on(device, tiny.batch))
    with tempfile.TemporaryDirectory() as folder:
        arguments = arguments_of(folder, device)
        learner = VLATrainer(
            model, arguments, data_collator=lambda rows: dict(tiny.batch), train_dataset=[*range(STEPS)]
        )
        learner.train()
    logs = [entry for entry in learner.state.log_history if "loss" in entry]
    losses = [entry["loss"] for entry in logs]
    yield Figure("steps without a loss", STEPS - len(losses), 0)
    # The Trainer logs a loss that is not finite as the one before, and such a step is skipped.
    yield Figure("losses that are not finite", sum(entry["nonfinite/losses"] for entry in logs), 0)
    yield Figure("steps that were skipped", logs[-1]["skipped_steps"], 0)
    yield Figure("first loss", abs(losses[0] - wanted) / wanted, BOUND)
    finite = [bool(torch.isfinite(each).all()) for each in model.parameters()]
    yield Figure("weights that are not finite", finite.count(False), 0)


def arguments_of(folder: str, device: str) -> TrainingArguments:
    return TrainingArguments(
        output_dir=folder,
        max_steps=STEPS,
        per_device_train_batch_size=1,
        learning_rate=1e-4,
        bf16=True,
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        logging_steps=1,
        remove_unused_columns=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=device == "cpu",
    )
