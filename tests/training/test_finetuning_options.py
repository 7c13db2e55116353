"""What a fine-tune does where nobody says, what `--help` shows, and what a run says of itself."""

import dataclasses
from types import SimpleNamespace

import pytest

from vlahub.training.finetuning.options import ADVANCED, DTYPES, STRATEGIES, TRAINING_DEFAULTS, FinetuneOptions
from vlahub.training.finetuning.prepared import Finetuning

ON_PAGES = {
    "train": "lora",
    "rank": 32,
    "alpha": 16,
    "quantize": False,
    "top_layers": 4,
    "backbone_lr_scale": 0.1,
    "vision_lr_scale": 0.1,
    "dtype": "float32",
    "images": [],
    "action": ["action"],
    "state": ["observation.state"],
    "text": None,
    "statistics": None,
    "unmasked_actions": [],
    "eval_episodes": 0.0,
    "repeat_last": False,
    "augment": False,
    "learn_text": False,
    "trajectory_text": False,
    "stop_grad_from_vlm": None,
    "answer": None,
    "text_weight": 1.0,
    "weight_column": None,
    "advantage_column": None,
    "embodiment_column": None,
    "resume": False,
}
SHOWN = {
    *("model", "dataset", "train", "rank", "alpha", "quantize", "top_layers", "images", "action", "state", "text"),
    *("statistics", "unmasked_actions", "eval_episodes", "augment", "resume"),
}


def test_defaults_are_those_of_the_pages():
    found = dataclasses.asdict(FinetuneOptions("base", "data"))
    assert found == {"model": "base", "dataset": "data", **ON_PAGES}
    assert TRAINING_DEFAULTS == {
        "remove_unused_columns": False,
        "ddp_find_unused_parameters": False,
        "learning_rate": 5e-4,
        "logging_steps": 10,
        "logging_nan_inf_filter": False,
        "save_total_limit": 2,
        "report_to": "none",
    }


def test_what_few_people_change_is_not_in_the_short_help():
    fields = {field.name: field for field in dataclasses.fields(FinetuneOptions)}
    assert fields.keys() - ADVANCED == SHOWN and fields.keys() >= ADVANCED
    choices = {name: field.metadata["choices"] for name, field in fields.items() if "choices" in field.metadata}
    assert choices == {"train": STRATEGIES, "dtype": DTYPES}
    assert STRATEGIES == ["lora", "A", "B", "full", "vlm"] and DTYPES == ["float32", "bfloat16", "float16"]


@pytest.mark.parametrize("given", [{"train": "vlm"}, {"learn_text": True}, {"trajectory_text": True}], ids=str)
def test_text_is_learnt_where_any_option_says_so(given):
    assert FinetuneOptions("base", "data", **given).learns_text
    assert not FinetuneOptions("base", "data", train="full", answer="answer").learns_text


@pytest.mark.parametrize(
    ("process", "quiet", "disable_tqdm", "speaks", "shows_bars"),
    [
        (0, False, False, True, True),
        (0, False, True, True, False),
        (0, True, False, False, False),
        (1, False, False, False, False),
    ],
)
def test_the_first_process_prints_unless_it_is_quiet(process, quiet, disable_tqdm, speaks, shows_bars):
    arguments = SimpleNamespace(process_index=process, disable_tqdm=disable_tqdm)
    found = Finetuning(None, arguments, None, None, None, None, None, None, quiet)
    assert (found.speaks, found.shows_bars) == (speaks, shows_bars)
