"""The core of a prediction asks nothing, compiles in one piece, and padding and joined weights do not change it."""

import pytest
import torch
from host_waits import HostWaits
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from traced_graphs import TracedGraph

from vlahub.errors import InputError
from vlahub.modeling.cogvla.growing_cache import GrowingCache
from vlahub.modeling.fast_prediction import FastPrediction
from vlahub.modeling.fused_linears import lay_side_by_side

OPENVLA = {"vision_aggregate_type": "concat", "use_lfp": False, "use_film": False, "use_aggr": False}
HEADS = {
    "l1": {"action_head": "l1"},
    "l1 of openvla-oft": {"action_head": "l1", "action_attention": "bidirectional", **OPENVLA},
    "diffusion": {"action_head": "diffusion", "num_diffusion_steps": 4, "num_inference_steps": 2},
    "discrete": {"action_head": "discrete"},
    "token by token": {"action_head": "discrete", "action_attention": "causal"},
    "token by token of openvla": {"action_head": "discrete", "action_attention": "causal", **OPENVLA},
}
every_head = pytest.mark.parametrize("head", HEADS)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture
def forget_graphs():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def recorded(model):
    """With what stands in for CUDA graphs; its inputs are padded to buckets, its weights joined."""
    model.fast_prediction = FastPrediction(model, {"mode": "graphs"}, TracedGraph)
    return model


def fused(model):
    for group in model.projections_to_fuse():
        lay_side_by_side(group)
    return model


def close(found, wanted, **tolerance):
    assert found.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], **{**CLOSE, **tolerance})


@every_head
def test_a_prediction_asks_its_device_once_and_without_the_check_never(head, tiny_model, tiny_batch):
    model = fused(tiny_model(**HEADS[head]))
    arguments = tiny_batch(model.config, "left").prediction()
    kinds = [{}] if "l1" in head else [{}, {"num_samples": 2}]
    for options in kinds:
        if options:
            arguments.pop("noise", None)
        for prepare in (nn.Module.eval, recorded):
            prepare(model).predict_action(**arguments, **options, check_finite=False)
            model.predict_action(**arguments, **options)
            with HostWaits() as waits:
                model.predict_action(**arguments, **options, check_finite=False)
            assert not waits.found
            with HostWaits() as waits:
                model.predict_action(**arguments, **options)
            assert waits.found == {"_local_scalar_dense": 1}
        assert model.fast_prediction_stats.eager_fallbacks == 0


class AddedMasks(TorchFunctionMode):
    """Those that fused attention gets, where it gets some that is added to scores."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        mask = (kwargs or {}).get("attn_mask")
        if getattr(func, "__name__", "") == "scaled_dot_product_attention" and mask is not None:
            self.found += [mask] * mask.is_floating_point()
        return func(*args, **(kwargs or {}))


@every_head
def test_kernels_of_a_card_can_read_the_masks_of_every_layer(head, tiny_model, tiny_batch):
    """16 bytes at once; torch's attention copies what has other rows than of a multiple of 8, and looks at no more."""
    model = tiny_model(**HEADS[head]).bfloat16()
    for length in range(8, 16):
        arguments = tiny_batch(model.config, lengths=(length, length - 3)).prediction((0, 1))
        with AddedMasks() as masks:
            model.predict_action(**arguments)
        read = [mask for mask in masks.found if not any(stride % 8 for stride in mask.stride()[:-1])]
        assert masks.found and not any(mask.data_ptr() % 16 for mask in read)


@every_head
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_recorded_prediction_of_a_padded_prompt_is_that_of_the_prompt(head, side, tiny_model, tiny_batch):
    implementation = {"left": "sdpa", "right": "eager"}[side]
    model = tiny_model(implementation, **HEADS[head])
    calls = [tiny_batch(model.config, side, lengths=lengths).prediction() for lengths in ((5, 9, 7), (12, 3, 4))]
    plain = [model.predict_action(**arguments, return_dict=True) for arguments in calls]
    recorded(model)
    for arguments, wanted in zip(calls, plain, strict=True):
        close(model.predict_action(**arguments, return_dict=True), wanted)
    assert model.fast_prediction_stats.captures == 1 and model.fast_prediction_stats.replays == 2
    alone = {name: None if each is None else each[1:2] for name, each in calls[0].items()}
    alone["input_ids"] = alone["input_ids"][alone["attention_mask"].bool()][None]
    found = model.predict_action(**{**alone, "attention_mask": None})
    torch.testing.assert_close(found[0], plain[0].actions[1], **CLOSE)


LENGTHS_MATTER = {
    "dynamic": {"max_position_embeddings": 40, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
    "longrope": {
        "max_position_embeddings": 60,
        "rope_scaling": {
            "rope_type": "longrope",
            "factor": 2.0,
            "original_max_position_embeddings": 24,
            "short_factor": [1.0] * 4,
            "long_factor": [3.0] * 4,
        },
    },
}


@pytest.mark.parametrize("kind", LENGTHS_MATTER)
@pytest.mark.parametrize("head", ["diffusion", "token by token"])
@pytest.mark.filterwarnings("ignore:fast prediction")  # such embeddings ask for the last position
def test_rotary_embeddings_that_follow_the_length_are_not_padded_to_another(head, kind, tiny_model, tiny_batch):
    model = tiny_model(**HEADS[head], text_config=LENGTHS_MATTER[kind])
    arguments = tiny_batch(model.config, lengths=(8,)).prediction((0,))
    wanted = model.predict_action(**arguments)
    torch.testing.assert_close(recorded(model).predict_action(**arguments), wanted, **CLOSE)


@pytest.mark.parametrize("head", [name for name in HEADS if "l1" not in name])
def test_samples_of_a_seed_are_the_same_from_a_recording(head, tiny_model, tiny_batch):
    model = tiny_model(**HEADS[head])
    arguments = tiny_batch(model.config, "left").prediction()
    arguments.pop("noise", None)
    found = []
    for prepare in (nn.Module.eval, recorded, nn.Module.eval):
        torch.manual_seed(3)
        found.append(prepare(model).predict_action(**arguments, num_samples=3))
    for name in found[0]:
        torch.testing.assert_close(found[1][name], found[0][name], **CLOSE)
        torch.testing.assert_close(found[2][name], found[0][name], **CLOSE)
    assert found[0].actions.std(dim=1).max() > 0
    assert not torch.equal(found[0].actions, model.predict_action(**arguments, num_samples=3).actions)


@every_head
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_joined_weights_do_not_change_a_prediction(head, implementation, tiny_model, tiny_batch):
    overrides = {**HEADS[head], "text_config": {"num_key_value_heads": 2}}
    model = tiny_model(implementation, **overrides)
    arguments = tiny_batch(model.config).prediction()
    wanted = model.predict_action(**arguments, return_dict=True)
    with Products() as before:
        model.predict_action(**arguments)
    fused(model)
    close(model.predict_action(**arguments, return_dict=True), wanted)
    with Products() as after:
        model.predict_action(**arguments)
    saved = sum(len(group) - 1 for group in model.projections_to_fuse())
    passes = {"diffusion": 2}.get(head, 1)
    films = sum(len(group) - 1 for group in model.projections_to_fuse()[: 2 if model.config.use_film else 0])
    least = films + passes * (saved - films)
    assert before.count - after.count >= least > 0
    if "token" not in head:
        assert before.count - after.count == least


class Products(TorchDispatchMode):
    """Counts matrix products of weights."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
        return func(*args, **(kwargs or {}))


def with_lora(model):
    from peft import LoraConfig, inject_adapter_in_model

    adapter = LoraConfig(target_modules=["q_proj", "up_proj", "scale.0", "shift.2"], init_lora_weights=False)
    return inject_adapter_in_model(adapter, model).eval()


def with_a_hook_that_doubles(path):
    def change(model):
        module = model.get_submodule(path)
        module.register_forward_hook(lambda module, given, found: 2 * found)
        return model

    return change


def with_a_hook_on_the_stack(model):
    model.language_model.model.register_forward_hook(lambda module, given, found: None)
    return model


LAYER = "language_model.model.layers.1"
CHANGES = {
    "lora": with_lora,
    "hook on the stack": with_a_hook_on_the_stack,
    **{
        f"hook on {name}": with_a_hook_that_doubles(f"{LAYER}.{name}")
        for name in ("mlp", "input_layernorm", "self_attn.k_proj", "router.scale.0", "router.shift")
    },
    "hook on a layer": with_a_hook_that_doubles("language_model.model.layers.0"),
    "hook on film": with_a_hook_that_doubles("vision_backbone.featurizer.blocks.0.film.scale"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("head", ["l1", "token by token"])
def test_adapters_and_hooks_act_on_joined_weights_as_on_separate_ones(change, head, tiny_model, tiny_batch):
    models = tiny_model(**HEADS[head]), fused(tiny_model(**HEADS[head]))
    arguments = tiny_batch(models[0].config).prediction()
    plain = models[0].predict_action(**arguments, return_dict=True).action_hidden_states
    found = []
    for model in models:
        torch.manual_seed(0)
        found.append(CHANGES[change](model).predict_action(**arguments, return_dict=True))
    close(found[1], found[0], rtol=1e-4, atol=1e-4)
    assert torch.equal(found[0].action_hidden_states, plain) == (change == "hook on the stack")


@every_head
def test_a_row_of_padding_is_an_error_or_nan_in_its_own_actions(head, tiny_model, tiny_batch):
    model = tiny_model(**HEADS[head])
    arguments = tiny_batch(model.config).prediction()
    wanted = model.predict_action(**arguments)
    arguments["attention_mask"][1] = 0
    with pytest.raises(InputError, match="row of padding alone: row 1"):
        model.predict_action(**arguments)
    found = model.predict_action(**arguments, check_finite=False)
    assert found[1].isnan().all()
    torch.testing.assert_close(found[[0, 2]], wanted[[0, 2]], **CLOSE)


def test_a_cache_that_grows_in_place_holds_what_a_stock_one_does():
    from transformers import DynamicCache

    stock, ours = DynamicCache(), GrowingCache()
    lengths, draw = (5, 3), lambda rows, n: torch.randn(rows, 2, n, 4)
    for layer, length in enumerate(lengths):
        key, value = draw(2, length), draw(2, length)
        stock.update(key, value, layer)
        ours.update(key, value, layer)
    stock.batch_repeat_interleave(3)
    prompt, ours = ours, ours.with_room(2, 3)
    memory = [keys.data_ptr() for keys in ours.keys]
    for _ in range(2):
        for layer in range(2):
            key, value = draw(6, 1), draw(6, 1)
            wanted = stock.update(key, value, layer)
            for one, other in zip(ours.update(key, value, layer), wanted, strict=True):
                assert torch.equal(one, other)
    assert [keys.data_ptr() for keys in ours.keys] == memory
    assert [ours.get_seq_length(layer) for layer in range(2)] == [7, 5]
    assert [prompt.get_seq_length(layer) for layer in range(2)] == [5, 3] and GrowingCache().get_seq_length() == 0


heads_of_compiling = pytest.mark.parametrize(
    "head", ["l1", *(pytest.param(name, marks=pytest.mark.slow) for name in HEADS if name != "l1")]
)


@heads_of_compiling
def test_the_core_compiles_in_one_piece_and_once_for_a_bucket(head, tiny_model, tiny_batch, forget_graphs, monkeypatch):
    counter = CompileCounter()
    plain_compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **given: plain_compile(function, backend=counter, **given))
    check_compiled(head, tiny_model, tiny_batch)
    assert counter.frame_count == 1


@pytest.mark.inductor
@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_compiled_predictions_have_the_numbers_of_eager_ones(head, tiny_model, tiny_batch, forget_graphs):
    check_compiled(head, tiny_model, tiny_batch)


def check_compiled(head, tiny_model, tiny_batch):
    small = {"num_action_chunks": 1} if "token" in head else {}
    model = tiny_model(**HEADS[head], **small, text_config={"num_hidden_layers": 2})
    calls = [tiny_batch(model.config, "left", lengths=lengths).prediction() for lengths in ((5, 9, 7), (12, 3, 4))]
    wanted = [model.predict_action(**arguments, return_dict=True) for arguments in calls]
    model.enable_fast_prediction(mode="compile")
    for arguments, plain in zip(calls, wanted, strict=True):
        close(model.predict_action(**arguments, return_dict=True), plain, rtol=1e-4, atol=1e-4)
    assert model.fast_prediction_stats.captures == 1 and model.fast_prediction_stats.replays == 2
