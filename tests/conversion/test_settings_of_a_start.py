"""What somebody has set in a checkpoint of ours goes on into a start from it: config, processor, generation, images."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from vlahub.conversion.cli import main

GENERATION = {"eos_token_id": [1, 2], "max_new_tokens": 77, "do_sample": True, "top_k": 7}
WORDS = {"advantage_template": "{advantage}! {instruction}"}
TOKENS = {"bos_token_id": 8, "eos_token_id": 9, "pad_token_id": 6}
OF_ROBOTS = {**WORDS, "view_names": ["left", "right"]}


def create(family, output, *words):
    assert main(["create", "--family", family, "--output", str(output), "--quiet", *map(str, words)]) == 0
    return output


def cogvla(request, folder):
    request.getfixturevalue("tiny_run").TinyRun(layers=4).write(folder)
    return create("cogvla", folder / "begun", "--base", folder / "base", "--action-head", "l1", "--num-images", 2)


def llava3d(request, folder):
    request.getfixturevalue("tiny_parts").TinyParts().write(folder)
    parts = [word for role in ("vision", "language") for word in (f"--{role}", folder / role)]
    return create("mapanything_llava3d", folder / "begun", *parts, "--no-geometry", "--action-expert-type", "none")


def alpamayo(request, folder):
    request.getfixturevalue("tiny_alpamayo").TinyAlpamayo(dtype=torch.float32).write_whole_base(folder / "qwen")
    bins = ("--future-bins", 100, "--history-bins", 60, "--min-pixels", 1024, "--max-pixels", 8192)
    return create("alpamayo_r1", folder / "begun", "--base", folder / "qwen", *bins)


# How a checkpoint is begun; what is set in its config, its processor and its image processor; what a start adds, as a
# command and in Python; and the fields of the config in which base and start differ then.
KINDS = {
    "cogvla": (
        cogvla,
        {**TOKENS, "view_names": ["left", "right"], "language_mean": "padded", "pad_to_multiple_of": 32}
        | {"prompt_end_token_id": 5, "stop_token_id": 7, "lfp_average_factor": 0.4},
        OF_ROBOTS,
        {"crop_area": 0.8, "center_crop": True, "image_resize": "bicubic", "evaluation_size": 128},
        (("--film",), {"film": True}),
        {"use_film"},
    ),
    "mapanything_llava3d": (
        llava3d,
        {**TOKENS, "view_names": ["left", "right"], "prefix_lang_dropout_prob": 0.2, "use_time_weight": True},
        {**OF_ROBOTS, "prompt_template": "USER: {instruction} A:", "padding_side": "left"},
        {"num_images_in_input": 2},
        (
            ("--action-expert-type", "deep_fusion", "--num-action-chunks", 4, "--action-dim", 7),
            {"action_expert_type": "deep_fusion", "num_action_chunks": 4, "action_dim": 7},
        ),
        {"action_expert_type", "action_horizon"},
    ),
    "alpamayo_r1": (
        alpamayo,
        {"num_inference_steps": 7, "ode_solver": "midpoint", "stop_grad_from_vlm": False},
        WORDS,
        {},
        (("--expert-hidden-size", 32), {"expert_cfg": {"hidden_size": 32}}),
        {"expert_cfg", "expert_config"},
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def dressed(request, tmp_path_factory):
    """A base with settings of its own, what was set, and what a start of it adds."""
    make, config, processor, images, added, differ = KINDS[request.param]
    base = make(request, tmp_path_factory.mktemp("dressed"))
    AutoConfig.from_pretrained(base, **config).save_pretrained(base)
    GenerationConfig(**GENERATION).save_pretrained(base)
    found = AutoProcessor.from_pretrained(base)
    for owner, settings in ((found, processor), (found.image_processor, images)):
        for name, value in settings.items():
            setattr(owner, name, value)
    found.tokenizer.chat_template = "{{ messages }} of mine"
    found.save_pretrained(base)
    return request.param, base, added, differ


def settings_of(config):
    return {name: str(getattr(config, name)) for name in vars(config) if name not in ("name_or_path", "_name_or_path")}


def generation_of(found):
    """What it says, but for padding, which is the whole model's, and marks of transformers."""
    said = found.to_diff_dict()
    return {name: value for name, value in said.items() if name not in ("pad_token_id", "transformers_version")}


def test_settings_of_a_checkpoint_go_on_into_a_start_from_it(dressed, tmp_path):
    family, base, (words, _), differ = dressed
    _, config, processor, images, *_ = KINDS[family]
    out = create(family, tmp_path / "out", "--base", base, *words)
    first, second = (AutoModelForImageTextToText.from_pretrained(folder).config for folder in (base, out))
    assert {name: getattr(second, name) for name in config} == config
    before, after = settings_of(first), settings_of(second)
    assert {name for name in before | after if before.get(name) != after.get(name)} == differ
    first, second = (AutoProcessor.from_pretrained(folder) for folder in (base, out))
    assert {name: getattr(second, name) for name in processor} == processor
    assert {name: getattr(second.image_processor, name) for name in images} == images
    before, after = (found.image_processor.to_dict() | {"_processor_class": ""} for found in (first, second))
    assert before == after  # but for a mark of 4.57
    assert second.tokenizer.chat_template == first.tokenizer.chat_template == "{{ messages }} of mine"
    assert generation_of(GenerationConfig.from_pretrained(out)) == GENERATION


def test_a_start_in_python_writes_as_its_base_does(dressed):
    _, base, (_, switches), _ = dressed
    found = type(AutoModelForImageTextToText.from_pretrained(base)).from_base(str(base), **switches).generation_config
    assert generation_of(found) == GENERATION
