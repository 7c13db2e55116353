"""Texts that the samples of a prompt write together, against a loop that runs each text again for every token."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from host_waits import HostWaits
from peft import LoraConfig, inject_adapter_in_model
from tiny_configs import alpamayo_config
from torch._dynamo.testing import CompileCounter
from traced_graphs import TracedGraph
from transformers.generation import (
    LogitsProcessor,
    StoppingCriteria,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from vlahub import AlpamayoR1
from vlahub.modeling.alpamayo_r1 import modeling_alpamayo_r1, rollout
from vlahub.modeling.alpamayo_r1.reasoning_text import extract_part, parts_of_texts, reasoning_of
from vlahub.modeling.alpamayo_r1.rollout import TOKENS_BETWEEN_CHECKS
from vlahub.modeling.alpamayo_r1.text_decoding import write_token
from vlahub.modeling.fast_prediction import FastPrediction

START, PAD, IMAGE, HISTORY = 498, 300, 312, 501
PROMPT = 184  # tokens of the longer prompt
ENDS = list(range(40, 76))  # some rows write one of them soon, and some do not


@pytest.fixture(scope="module")
def case(golden):
    return golden("alpamayo/alpamayo_expert_step")


@pytest.fixture(scope="module")
def state(case):
    return case.state()


@pytest.fixture
def make_model(case, state):
    def make(**fields):
        model = AlpamayoR1(alpamayo_config(case, **fields)).eval()
        model.load_state_dict(state, strict=True)
        return model

    return make


@pytest.fixture
def model(make_model):
    """It does not write tokens of images, which the oracle would take for images."""
    model = make_model(eos_token_id=ENDS)
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    never = torch.tensor([getattr(model.config.vlm_config, name) for name in names])
    model.vlm.lm_head.register_forward_hook(lambda _, args, logits: logits.index_fill(-1, never, -1e4))
    return model


@pytest.fixture
def scenes(case):
    """Two prompts, the second shorter, padded on the left, with one image where the first has two."""
    long, patches = case.input("input_ids")[0].tolist(), case.input("pixel_values")
    short = [*long[:20], 309, *[IMAGE] * 6, 310, 491, *[HISTORY] * 48, 493, *long[-30:]]
    pads = len(long) - len(short)
    return {
        "input_ids": torch.tensor([long, [PAD] * pads + short]),
        "attention_mask": torch.tensor([[1] * len(long), [0] * pads + [1] * len(short)]),
        "pixel_values": torch.cat([patches, patches[:24].flip(0)]),
        "image_grid_thw": torch.cat([case.input("image_grid_thw"), torch.tensor([[1, 4, 6]])]),
        "ego_history_xyz": torch.cat([case.input("ego_history_xyz"), case.input("ego_history_xyz") * 0.6]),
        "ego_history_rot": torch.cat([case.input("ego_history_rot")] * 2),
    }


@pytest.fixture
def scene(case):
    names = ("input_ids", "pixel_values", "image_grid_thw", "ego_history_xyz", "ego_history_rot")
    return {name: case.input(name) for name in names}


def sampled(model, scene, seed=0, samples=3, **options):
    """One step of the expert from given noise, so that the generator draws texts alone."""
    noise, generator = torch.zeros(len(scene["input_ids"]) * samples, 64, 2), torch.Generator().manual_seed(seed)
    fixed = {"num_traj_samples": samples, "num_inference_steps": 1, "noise": noise, "generator": generator}
    return model.sample_trajectories(**scene, **fixed, **options)


def vlm_logits(model, input_ids, **inputs):
    """Of the token behind each text: what was written may hold the placeholder of a path, which a prompt may not."""
    is_image = (input_ids == model.config.vlm_config.image_token_id).int()
    types = {"mm_token_type_ids": is_image} if hasattr(model.vlm.config.text_config, "rope_parameters") else {}
    return model.vlm(input_ids, **inputs, **types).logits[:, -1]


@torch.no_grad()
def written_alone(model, scene, seed=0, samples=3, max_new_tokens=12, temperature=0.6, top_k=None, top_p=0.98, **given):
    """The sequences by one pass over whole texts for every token, transformers' warpers and `torch.multinomial`."""
    generator, ids = torch.Generator().manual_seed(seed), scene["input_ids"]
    fused = model.with_history(ids, *(scene[f"ego_history_{part}"][:, 0] for part in ("xyz", "rot")))
    mask = scene.get("attention_mask", torch.ones_like(ids)).repeat_interleave(samples, dim=0)
    images = {name: scene[name] for name in ("pixel_values", "image_grid_thw")}
    rows, length, first = fused.repeat_interleave(samples, dim=0), ids.shape[1], model.config.traj_token_start_idx
    warpers = [TemperatureLogitsWarper(temperature)] + ([TopKLogitsWarper(top_k)] if top_k else [])
    warpers = [*given.get("logits_processor", ()), *warpers, *([TopPLogitsWarper(top_p)] if top_p < 1 else [])]
    ended = torch.zeros(len(rows), dtype=torch.bool)
    for _ in range(max_new_tokens):
        more = torch.ones(len(rows), rows.shape[1] - length, dtype=torch.long)
        texts = rows.unflatten(0, (-1, samples)), torch.cat([mask, more], dim=1).unflatten(0, (-1, samples))
        each = [vlm_logits(model, texts[0][:, i], attention_mask=texts[1][:, i], **images) for i in range(samples)]
        scores = torch.stack(each, dim=1).flatten(0, 1).float()
        scores[:, first : first + model.config.traj_vocab_size] = -torch.inf
        for warper in warpers:
            scores = warper(rows, scores)
        token = torch.multinomial(scores.softmax(dim=-1), 1, generator=generator)[:, 0].masked_fill(ended, PAD)
        was_over, rows = ended.all(), torch.cat([rows, token[:, None]], dim=1)
        ended = ended | torch.isin(token, torch.tensor([START, *ENDS]))
        for criterion in given.get("stopping_criteria", ()):
            ended = ended | criterion(rows, None)
        if was_over:
            break
    return rows


def fast(model, bucket=16, **options):
    """The model, with graphs as far as a CPU has them."""
    model.fast_prediction = FastPrediction(model, {"length_bucket": bucket, **options}, TracedGraph)
    return model


def assert_same(found, wanted):
    assert torch.equal(found.sequences, wanted.sequences)
    assert torch.equal(found.has_start_token, wanted.has_start_token)
    for name in ("actions", "pred_xyz", "pred_rot"):
        torch.testing.assert_close(found[name], wanted[name], atol=1e-4, rtol=1e-4)


class Without(LogitsProcessor):
    """Does not write what stood two tokens before."""

    def __call__(self, input_ids, scores):
        return scores.scatter(1, input_ids[:, -2, None], -torch.inf)


class AfterMany(StoppingCriteria):
    def __init__(self, length):
        self.length = length

    def __call__(self, input_ids, scores, **kwargs):
        return (input_ids.shape[1] > self.length) & (input_ids[:, -1] % 2 == 0)


TEXTS = {
    "drawn": {},
    "another seed": {"seed": 5, "samples": 4},
    "hot": {"temperature": 3.0, "top_p": 1.0, "samples": 2},
    "of few": {"top_k": 5, "top_p": 0.7, "temperature": 1.5, "seed": 1},
    "greedy": {"top_k": 1, "top_p": 1.0, "temperature": 1.0, "samples": 1},
    "of one token": {"max_new_tokens": 1, "seed": 2},
    "of two": {"max_new_tokens": 2, "seed": 2},
    "as a caller says": {"logits_processor": [Without()], "stopping_criteria": [AfterMany(PROMPT + 4)], "seed": 3},
}


@pytest.mark.parametrize("options", TEXTS.values(), ids=TEXTS)
def test_texts_are_those_of_a_loop_over_each_whole_text(options, model, scenes):
    options = {"max_new_tokens": 12, "temperature": 1.2, "top_p": 0.98, **options}
    length = scenes["input_ids"].shape[1]
    wanted, found = written_alone(model, scenes, **options), sampled(model, scenes, **options).sequences
    assert torch.equal(found[:, length:], wanted[:, length:])


LENGTHS = {7: 14, 8: 22, 9: 1, 10: 6, 16: 2}  # of the longer of two texts, and the seed that draws it


@pytest.mark.parametrize("length", LENGTHS)
def test_what_was_written_behind_the_last_end_does_not_show(length, model, scene):
    options = {"samples": 2, "max_new_tokens": 30, "temperature": 1.2, "seed": LENGTHS[length]}
    prompt, steps = scene["input_ids"].shape[1], []
    handle = model.vlm.lm_head.register_forward_hook(lambda *_: steps.append(1))
    found = sampled(model, scene, **options).sequences
    handle.remove()
    wanted = written_alone(model, scene, **options)

    assert found.shape[1] == prompt + length + 1
    assert torch.equal(found[:, prompt:], wanted[:, prompt:])
    assert len(steps) - 1 == max(length, -(-(length - 1) // TOKENS_BETWEEN_CHECKS) * TOKENS_BETWEEN_CHECKS)


@pytest.mark.parametrize("limit", [1, 8, 9, 17])
def test_a_device_is_asked_once_for_every_eight_tokens(limit, make_model, scenes, monkeypatch):
    model, found = make_model(), []
    original = modeling_alpamayo_r1.sample_text

    def counted(*args):
        with HostWaits() as waits:
            rollout = original(*args)
        found.append(waits.found)
        return rollout

    monkeypatch.setattr(modeling_alpamayo_r1, "sample_text", counted)
    output = sampled(model, scenes, max_new_tokens=limit, check_finite=False)
    assert output.sequences.shape[1] == scenes["input_ids"].shape[1] + limit
    assert found == [{"_local_scalar_dense": -(-limit // TOKENS_BETWEEN_CHECKS)}]


def decoder_of(model):
    return model.vlm.model.language_model


def watch(module):
    """Adds a hundredth to what a module returns, if it is called."""
    module.register_forward_hook(lambda _, args, output: output * 1.01)


def wrap_layers(model):
    for layer in decoder_of(model).layers:
        add_hook_to_module(layer, AlignDevicesHook(torch.device("cpu"), io_same_device=True))


def add_lora(model):
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    inject_adapter_in_model(config, decoder_of(model))


CHANGES = {
    "a watched layer": lambda model: watch(decoder_of(model).layers[1]),
    "a watched mlp": lambda model: watch(decoder_of(model).layers[0].mlp),
    "a watched projection": lambda model: watch(decoder_of(model).layers[0].self_attn.k_proj),
    "a watched norm": lambda model: watch(decoder_of(model).norm),
    "layers that accelerate wraps": wrap_layers,
    "LoRA": add_lora,
    "products of one memory": lambda model: model.fuse_projections(),
    "attention written out": lambda model: model.set_attn_implementation("eager"),
    "attention written out in watched layers": lambda model: (
        model.set_attn_implementation("eager"),
        watch(decoder_of(model).layers[0]),
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_texts_of_a_changed_model_are_those_of_its_whole_pass(change, model, scenes):
    change(model)
    options, length = {"samples": 2, "max_new_tokens": 6, "temperature": 1.2}, scenes["input_ids"].shape[1]
    found, wanted = sampled(model, scenes, **options).sequences, written_alone(model, scenes, **options)
    assert torch.equal(found[:, length:], wanted[:, length:])


def flash(module, query, key, value, attention_mask, scaling=None, **_):
    """Attention as a flash kernel's interface of transformers takes it: the mask is that of keys, or `None`."""
    ends = key.shape[2] - query.shape[2]
    seen = torch.arange(key.shape[2]) <= torch.arange(query.shape[2])[:, None] + ends
    seen = seen if attention_mask is None else seen & attention_mask.bool()[:, None, None]
    groups = query.shape[1] // key.shape[1]
    keys = (each.repeat_interleave(groups, dim=1) for each in (key, value))
    return F.scaled_dot_product_attention(query, *keys, seen, scale=scaling).nan_to_num().transpose(1, 2), None


def test_texts_of_watched_layers_with_flash_attention_are_the_same(model, scenes, monkeypatch):
    options = {"samples": 2, "max_new_tokens": 6, "temperature": 1.2}
    wanted = sampled(model, scenes, **options).sequences
    wrap_layers(model)
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "flash_attention_2", flash)
    monkeypatch.setattr(decoder_of(model).config, "_attn_implementation_internal", "flash_attention_2")
    assert torch.equal(sampled(model, scenes, **options).sequences, wanted)


def test_a_changed_model_writes_other_texts(model, scenes):
    """What the changes above do is not lost in the draw."""
    options = {"samples": 4, "max_new_tokens": 12, "temperature": 1.2}
    plain = sampled(model, scenes, **options).sequences
    watch(decoder_of(model).layers[1])
    assert not torch.equal(sampled(model, scenes, **options).sequences, plain)


def test_texts_in_autocast_are_written(model, scenes):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sampled(model, scenes, max_new_tokens=4)
    assert found.sequences.shape[1] > scenes["input_ids"].shape[1] and found.pred_xyz.isfinite().all()


@pytest.mark.parametrize("bucket", [None, 16])
def test_a_token_at_the_limit_which_was_not_read_is_not_seen_by_the_expert(bucket, make_model, scenes, monkeypatch):
    """As published: behind it there is no column for which it would have been read."""
    model, original = make_model(), modeling_alpamayo_r1.driven
    wanted = sampled(model, scenes, max_new_tokens=5)

    def without_what_was_not_read(model, rollout, *rest):
        assert rollout.lengths.tolist() == [5] * 6
        for layer in rollout.prompt.keys.written:
            for memory in layer:
                memory[:, :, 4:] = 7.0
        return original(model, rollout, *rest)

    monkeypatch.setattr(modeling_alpamayo_r1, "driven", without_what_was_not_read)
    assert_same(sampled(fast(model, bucket) if bucket else model, scenes, max_new_tokens=5), wanted)


# ---- from graphs


@pytest.mark.parametrize(
    "options", [TEXTS["another seed"], TEXTS["as a caller says"]], ids=["drawn", "as a caller says"]
)
def test_texts_from_graphs_are_the_same_whatever_the_prompts_are_padded_to(options, make_model, scenes):
    model, options = make_model(eos_token_id=ENDS), {"temperature": 1.2, **options}
    shorter = {**scenes, **{name: scenes[name][:, 1:] for name in ("input_ids", "attention_mask")}}
    calls = [(scenes, 12), (scenes, 9), (shorter, 12)]
    wanted = [sampled(model, prompts, max_new_tokens=limit, **options) for prompts, limit in calls]
    captures, fast_model = [], fast(model)
    for (prompts, limit), output in zip(calls, wanted, strict=True):
        assert_same(sampled(fast_model, prompts, max_new_tokens=limit, **options), output)
        captures.append(model.fast_prediction_stats.captures)
    assert captures == [captures[0]] * 3
    assert model.fast_prediction_stats.replays > 3 * 5
    assert model.fast_prediction_stats.eager_fallbacks == 0


def test_no_padding_is_added_that_the_expert_would_see(make_model, scene):
    model, options = make_model(mask_prompt_padding=False), {"samples": 1, "max_new_tokens": 2, "top_k": 1}
    wanted = sampled(model, scene, **options)
    assert_same(sampled(fast(model, bucket=48), scene, **options), wanted)


PADDING = {"tokenizer": (7, 300, 40, 7), "config": (None, 300, 40, 300), "end": (None, None, 40, 40)}


@pytest.mark.parametrize("name", PADDING)
def test_padding_behind_a_text_is_the_tokenizers_the_configs_or_its_end(case, name):
    tokenizers, configs, end, wanted = PADDING[name]
    config = alpamayo_config(case, pad_token_id=configs, eos_token_id=end)
    tokenizer = None if tokenizers is None else SimpleNamespace(pad_token_id=tokenizers)
    sampling = rollout.text_sampling(config, tokenizer, 3, rollout.warpers(1.0, None, 1.0))
    assert sampling.drawing.pad_token_id == wanted


def test_what_an_earlier_call_left_is_not_read(make_model, scenes):
    model = make_model()
    wanted = sampled(model, scenes, max_new_tokens=4)
    broken = {**scenes, "pixel_values": torch.full_like(scenes["pixel_values"], torch.nan)}
    fast(model)
    assert sampled(model, broken, max_new_tokens=14, check_finite=False).pred_xyz.isnan().any()
    assert_same(sampled(model, scenes, max_new_tokens=4), wanted)
    assert model.fast_prediction_stats.captures > 0


def test_trajectories_are_written_from_graphs_too(make_model, scenes):
    """All tokens of reasoning and future are replays of one graph."""
    model = make_model(traj_tokenizer_cfg={"num_bins": 100})
    arguments = {"num_traj_samples": 2, "max_new_tokens": 3, "top_p": 0.9}
    wanted = model.write_trajectories(**scenes, **arguments, generator=torch.Generator().manual_seed(0))
    found = fast(model).write_trajectories(**scenes, **arguments, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.sequences, wanted.sequences)
    torch.testing.assert_close(found.pred_xyz, wanted.pred_xyz)
    assert model.fast_prediction_stats.replays > 100


# ---- compiled


@pytest.fixture
def forget_graphs():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_a_token_is_one_compiled_graph_whatever_its_place(make_model, scenes, monkeypatch, forget_graphs):
    model, counter = make_model(), CompileCounter()
    wanted = sampled(model, scenes, max_new_tokens=6)
    compiled = torch.compile(write_token, backend=counter, fullgraph=True, dynamic=False)
    monkeypatch.setattr(rollout, "run_core", lambda model, core, *rest: compiled(model, *rest))
    assert_same(sampled(model, scenes, max_new_tokens=6), wanted)
    assert counter.frame_count == 1


@pytest.mark.inductor
@pytest.mark.slow
def test_texts_of_compiled_kernels_are_the_same(make_model, scenes, forget_graphs):
    model = make_model(eos_token_id=ENDS)
    wanted = sampled(model, scenes, max_new_tokens=12, temperature=1.2)
    model.enable_fast_prediction(mode="compile", length_bucket=16)
    assert_same(sampled(model, scenes, max_new_tokens=12, temperature=1.2), wanted)
    assert_same(sampled(model, scenes, max_new_tokens=12, temperature=1.2), wanted)
    stats = model.fast_prediction_stats
    assert stats.captures == 4  # images, prompt, a token, the steps of the expert
    assert stats.eager_fallbacks == 0


def test_calls_of_two_threads_do_not_share_what_is_written(make_model, scenes, scene):
    model = make_model()
    calls = [(scenes, 0), (scenes, 1), (scene, 2), (scenes, 3)]
    wanted = [sampled(model, prompts, seed, samples=2, max_new_tokens=10) for prompts, seed in calls]
    fast(model)
    with ThreadPoolExecutor(4) as threads:
        tasks = [threads.submit(sampled, model, prompts, seed, samples=2, max_new_tokens=10) for prompts, seed in calls]
        for task, output in zip(tasks, wanted, strict=True):
            assert_same(task.result(), output)
    assert model.fast_prediction_stats.eager_fallbacks == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("slow down<|cot_end|> more", "slow down"),
        ("<|cot_start|> slow down <|cot_end|>", "slow down"),
        ("<|cot_start|>fast<|cot_start|>slow<|cot_end|>", "slow"),
        ("one<|cot_end|>two<|cot_end|>", "one"),
        ("<|cot_start|>never ended", ""),
    ],
)
def test_a_part_reaches_from_its_last_start_to_its_first_end(text, found):
    """As the published `extract_between_special_tokens`."""
    assert extract_part(text, "cot") == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<|cot_start|>slow<|cot_end|>stop", "slow"),
        (" slow down <|traj_future_start|> 1 <|traj_future_end|> 2", "slow down"),
        ("never ended", "never ended"),
    ],
)
def test_reasoning_without_its_end_reaches_to_the_first_marker(text, found):
    assert reasoning_of(text) == found


def test_parts_of_texts_lie_as_their_tokens_do():
    def batch_decode(token_ids, skip_special_tokens):
        return [
            f"{row[0]}" if skip_special_tokens else f"{row[0]}<|cot_end|>a{row[0]}<|answer_end|>" for row in token_ids
        ]

    found = parts_of_texts(torch.arange(4)[:, None], (1, 2, 2), SimpleNamespace(batch_decode=batch_decode))
    assert found["cot"].tolist() == [[["0", "1"], ["2", "3"]]]
    assert found["meta_action"].tolist() == [[["", ""], ["", ""]]]
