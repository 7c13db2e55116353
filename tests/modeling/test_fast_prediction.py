"""The engine behind `enable_fast_prediction`: what it replays is what an eager call would have answered, always."""

import copy
import gc
import pickle
import threading
import warnings
import weakref
from typing import NamedTuple

import pytest
import torch
from torch import nn
from traced_graphs import TracedGraph
from transformers import PretrainedConfig

from vlahub.errors import ConfigError
from vlahub.modeling.captured_graphs import signature_of
from vlahub.modeling.fast_prediction import FastPrediction, causes, lies_in, with_own_code
from vlahub.modeling.fused_linears import lie_side_by_side
from vlahub.modeling.prediction_core import exclusive, kept_buffers, padded_before, padded_behind, run_core
from vlahub.modeling.strict_loading import StrictPreTrainedModel


class ToyConfig(PretrainedConfig):
    model_type = "toy"
    factor = 1.0


class Inputs(NamedTuple):
    x: torch.Tensor
    more: torch.Tensor | None = None


class Found(NamedTuple):
    y: torch.Tensor
    nothing: None = None


class Toy(StrictPreTrainedModel):
    """Two layers, and two ways to use them."""

    config_class = ToyConfig

    def __init__(self, config):
        super().__init__(config)
        self.first, self.second = nn.Linear(4, 6), nn.Linear(4, 6)
        self.gain = 1.0
        self.register_buffer("shift", torch.arange(6.0))
        self.dropout = nn.Dropout()
        self.post_init()

    def projections_to_fuse(self):
        return [[self.first, self.second]]

    @torch.no_grad()
    def predict(self, x, options=(), core=None):
        return run_core(self, core or toy_core, Inputs(x), options)

    @torch.no_grad()
    def count(self, x, times):
        with exclusive(self):
            total = kept_buffers(self, ("count", x.shape), lambda: torch.empty(x.shape[0], 6))
            total.zero_()
            for _ in range(times):
                found = run_core(self, counting_core, Inputs(x, total.clone()), (), total)
            return found.y, total.clone()


def toy_core(model, inputs, options):
    scale = options[0] if options else 1.0
    y = model.dropout(model.first(inputs.x)) * scale + model.second(inputs.x) + model.shift
    y = y * getattr(model.dropout, "gain", 1.0)
    return Found(y * model.config.factor * model.gain)


def counting_core(model, inputs, options, total):
    total.copy_(inputs.more + model.first(inputs.x))
    return Found(total * 2)


def asking_core(model, inputs, options):
    return Found(inputs.x * float(inputs.x.sum()))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Toy(ToyConfig()).eval()


def recorded(model, **options):
    """With graphs as a CPU can have them, or compiled."""
    recorder = None if options.get("mode") == "compile" else TracedGraph
    model.fast_prediction = FastPrediction(model, options, recorder)
    return model


def plain(model, x, options=()):
    with torch.no_grad():
        return toy_core(model, Inputs(x), options).y


@pytest.mark.parametrize("mode", ["graphs", "compile"])
def test_replays_answer_as_eager_calls_do(model, mode):
    recorded(model, mode=mode)
    for shape in ((2, 4), (3, 4), (2, 4)):
        for options in ((), (2.0,)):
            x = torch.randn(shape)
            torch.testing.assert_close(model.predict(x, options).y, plain(model, x, options))
    stats = model.fast_prediction_stats
    assert (stats.captures, stats.replays, stats.eager_fallbacks, stats.graphs) == (4, 6, 0, 4)


@pytest.mark.parametrize("mode", [None, "graphs", "compile"])
def test_a_model_that_nobody_has_any_more_is_gone_at_once_with_its_graphs(mode):
    """Not at the next garbage collection, which counts objects and knows nothing of a card's memory."""
    model = Toy(ToyConfig()).eval()
    if mode is not None:
        recorded(model, mode=mode)
        assert model.predict(torch.ones(2, 4)) and model.fast_prediction_stats.captures == 1
    gone = weakref.ref(model), weakref.ref(model.first.weight)
    gc.collect()
    gc.disable()
    try:
        del model
        assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()


def test_a_shallow_copy_predicts_when_the_model_is_gone():
    model = Toy(ToyConfig()).eval()
    recorded(model)
    before = model.predict(torch.ones(2, 4)).y
    copied = copy.copy(model)
    del model
    assert torch.equal(copied.predict(torch.ones(2, 4)).y, before)


def test_an_answer_stays_what_it_was(model):
    recorded(model)
    first = model.predict(torch.ones(2, 4)).y
    kept = first.clone()
    model.predict(torch.zeros(2, 4))
    assert torch.equal(first, kept)


def test_the_least_recently_used_makes_room(model):
    recorded(model, max_graphs=2)
    for rows in (1, 2, 1, 3, 1, 2):
        model.predict(torch.ones(rows, 4))
    stats = model.fast_prediction_stats
    assert (stats.captures, stats.evictions, stats.graphs) == (4, 2, 2)  # 1, 2, 3 instead of 2, 2 instead of 3


def test_more_signatures_than_dynamo_recompiles(model):
    recorded(model, mode="compile", max_graphs=12)
    with torch._dynamo.config.patch(recompile_limit=2):
        for rows in range(1, 6):
            x = torch.randn(rows, 4)
            torch.testing.assert_close(model.predict(x).y, plain(model, x))
    assert model.fast_prediction_stats.captures == 5


def change_in_place(model):
    model.first.weight.data.mul_(2)


def load_in_place(model):
    model.load_state_dict({name: value * 1.5 for name, value in model.state_dict().items()})


def load_assigned(model):
    model.load_state_dict({name: value * 1.5 for name, value in model.state_dict().items()}, assign=True)


def replace_data(model):
    model.second.weight.data = model.second.weight.data * 2


def change_layout(model):
    model.second.weight.data = model.second.weight.data.as_strided((6, 4), (1, 6))  # where it was


def replace_module(model):
    model.first = nn.Linear(4, 6).eval()


def replace_buffer(model):
    model.shift = torch.ones(6)


def change_config(model):
    model.config.factor = 3.0


def change_a_number(model):
    model.gain = 2.0


def to_double_and_back(model):
    model.double()
    model.float()


def add_parameter(model):
    model.dropout.register_parameter("gain", nn.Parameter(torch.full((6,), 3.0)))


def wrap_forward(model):
    forward = model.first.forward
    model.first.forward = lambda x: forward(x) * 2


def add_adapter(model):
    from peft import LoraConfig, inject_adapter_in_model

    inject_adapter_in_model(LoraConfig(target_modules=["first"], init_lora_weights=False), model)
    model.eval()


CHANGES = [change_in_place, load_in_place, load_assigned, replace_data, replace_module, replace_buffer, change_config]
CHANGES += [change_a_number, to_double_and_back, add_adapter, change_layout, add_parameter, wrap_forward]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_model_is_never_answered_for_as_it_was(model, change):
    recorded(model)
    x = torch.randn(2, 4)
    before = model.predict(x).y
    change(model)
    after = model.predict(x).y
    if change is not to_double_and_back:
        assert not torch.allclose(after, before)
    torch.testing.assert_close(after, plain(model, x))
    assert model.fast_prediction_stats.eager_fallbacks == 0


def test_switching_an_adapter_off_is_seen(model):
    add_adapter(model)
    recorded(model)
    x = torch.randn(2, 4)
    before = model.predict(x).y
    model.first.enable_adapters(False)
    after = model.predict(x).y
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after, plain(model, x))


@pytest.mark.parametrize("change", ["merge", "unmerge", "scaling"])
def test_adapters_that_change_weights_where_they_are(model, change):
    add_adapter(model)
    recorded(model)
    x = torch.randn(2, 4)
    if change == "unmerge":
        model.first.merge()
    model.predict(x)
    if change == "scaling":
        model.first.scale_layer(3.0)
    else:
        getattr(model.first, change)()
    torch.testing.assert_close(model.predict(x).y, plain(model, x))


def test_what_cannot_be_replayed_runs_as_it_is_and_is_counted(model):
    recorded(model, max_batch_size=2)
    x = torch.randn(3, 4)
    seen = []
    torch.testing.assert_close(model.predict(x).y, plain(model, x))
    hook = model.first.register_forward_hook(lambda *arguments: seen.append(1))
    model.predict(x[:1])
    hook.remove()
    model.train().predict(x[:1])
    model.eval()
    with torch.enable_grad():
        run_core(model, toy_core, Inputs(x[:1])).y.sum().backward()
    model.predict(x[:1])
    stats = model.fast_prediction_stats
    reasons = {"batch above max_batch_size": 1, "hooks": 1, "training mode": 1, "gradients are enabled": 1}
    assert stats.eager_reasons == reasons
    assert (stats.captures, stats.replays, len(seen)) == (1, 1, 1)


def test_a_core_that_asks_runs_as_it_is_with_one_warning(model, recwarn):
    recorded(model)
    x = torch.randn(2, 4)
    for _ in range(3):
        assert torch.equal(model.predict(x, core=asking_core).y, x * float(x.sum()))
    assert len([each for each in recwarn if "asking_core runs eagerly" in str(each.message)]) == 1
    assert model.fast_prediction_stats.eager_reasons == {"could not be recorded": 3}


def test_without_a_card_graphs_are_eager(model):
    model.enable_fast_prediction()
    x = torch.randn(2, 4)
    assert torch.equal(model.predict(x).y, plain(model, x))
    assert model.fast_prediction_stats.eager_reasons == {"no graphs on cpu": 1}
    model.disable_fast_prediction()
    assert model.fast_prediction_stats is None


def test_buffers_live_as_long_as_what_was_recorded_over_them(model):
    recorded(model, max_graphs=1)
    x = torch.randn(2, 4)
    with torch.no_grad():
        once = model.first(x)
    for rows in (2, 1, 2):
        found, total = model.count(x[:rows], 3)
        torch.testing.assert_close(total, 3 * once[:rows])
        torch.testing.assert_close(found, 6 * once[:rows])


def test_few_sizes_of_buffers_are_kept_and_graphs_go_with_them(model):
    recorded(model)
    x = torch.randn(4, 4)
    for rows in (1, 2, 3, 4, 3):
        model.count(x[:rows], 2)
    stats = model.fast_prediction_stats
    assert len(model.fast_prediction.buffers) == stats.graphs == 2
    assert (stats.captures, stats.evictions) == (4, 2)


@pytest.mark.parametrize("max_graphs", [1, 8])
def test_many_threads_get_their_own_answers(model, max_graphs):
    recorded(model, max_graphs=max_graphs)
    wrong = []

    def work(seed):
        generator = torch.Generator().manual_seed(seed)
        for number in range(12):
            x = torch.randn(1 + (seed + number) % 3, 4, generator=generator)
            with torch.no_grad():
                total = 3 * model.first(x)
            wrong.extend([seed] * (not torch.allclose(model.predict(x).y, plain(model, x), atol=1e-5)))
            wrong.extend([seed] * (not torch.allclose(model.count(x, 3)[1], total, atol=1e-5)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert model.fast_prediction_stats.eager_fallbacks == 0


def test_calls_under_inference_mode_and_without_are_one(model):
    recorded(model)
    x = torch.randn(2, 4)
    with torch.inference_mode():
        first, total = model.predict(x.clone()).y, model.count(x.clone(), 2)[1]
    assert torch.equal(model.predict(x).y, first)
    torch.testing.assert_close(model.count(x, 2)[1], total)
    with torch.inference_mode():
        assert torch.equal(model.predict(x.clone()).y, first)
    assert model.fast_prediction_stats.captures == 2


def test_what_a_core_itself_raises_its_caller_gets_and_it_is_not_held_against_it(model, recwarn):
    recorded(model)
    x, failing = torch.randn(2, 4), [True]

    def core(model, inputs, options):
        if failing:
            raise ConfigError("not yet")
        return toy_core(model, inputs, options)

    with pytest.raises(ConfigError, match="not yet"):
        model.predict(x, core=core)
    failing.clear()
    torch.testing.assert_close(model.predict(x, core=core).y, plain(model, x))
    assert (model.fast_prediction_stats.captures, len(recwarn)) == (1, 0)


def test_a_callers_own_compilation_is_one_piece(model):
    x = torch.randn(2, 4)
    recorded(model)
    found = torch.compile(model.predict, backend="eager", fullgraph=True)(x).y
    torch.testing.assert_close(found, plain(model, x))
    assert model.fast_prediction_stats.captures == 0


def test_weights_stay_side_by_side_when_a_model_moves(model):
    recorded(model)
    model.predict(torch.randn(2, 4))
    assert model.to("cpu").fast_prediction_stats.graphs == 1  # nothing moved
    assert lie_side_by_side([model.first.weight, model.second.weight])
    model.double()
    assert lie_side_by_side([model.first.weight, model.second.weight])
    stats = model.fast_prediction_stats
    assert (stats.graphs, stats.drops) == (0, 1)
    assert model.num_parameters() == 2 * (24 + 6)


def test_projections_are_one_again_in_another_dtype_without_fast_prediction(model):
    model.fuse_projections()
    model.double()
    assert model.fast_prediction is None and lie_side_by_side([model.first.weight, model.second.weight])


def test_a_copy_starts_without(model):
    recorded(model)
    model.predict(torch.randn(2, 4))
    assert copy.deepcopy(model).fast_prediction is None
    assert pickle.loads(pickle.dumps(model)).fast_prediction_stats is None


@pytest.mark.parametrize("size", [50, "1GB"])
def test_a_saved_model_has_its_own_names_and_numbers(model, tmp_path, size):
    x = torch.randn(2, 4)
    before = plain(model, x)
    model.enable_fast_prediction()
    assert lie_side_by_side([model.first.weight, model.second.weight])
    model.save_pretrained(tmp_path, max_shard_size=size)
    assert "fast_prediction" not in (tmp_path / "config.json").read_text()
    again = Toy.from_pretrained(tmp_path).eval()
    assert set(again.state_dict()) == {"first.weight", "first.bias", "second.weight", "second.bias", "shift"}
    torch.testing.assert_close(plain(again, x), before)


def test_the_largest_batch_is_replayed_and_a_larger_one_is_not(model):
    recorded(model, max_batch_size=2)
    for rows in (2, 3):
        model.predict(torch.ones(rows, 4))
    stats = model.fast_prediction_stats
    assert (stats.captures, stats.eager_reasons) == (1, {"batch above max_batch_size": 1})


def test_a_model_that_changes_before_anything_is_recorded_drops_nothing(model):
    recorded(model)
    replace_module(model)
    model.predict(torch.ones(2, 4))
    assert (model.fast_prediction_stats.captures, model.fast_prediction_stats.drops) == (1, 0)


def test_the_least_recently_used_buffers_make_room(model):
    recorded(model)
    for rows in (1, 2, 1, 3, 1):
        model.count(torch.ones(rows, 4), 1)
    assert model.fast_prediction_stats.captures == 3  # 3 instead of 2, and 1 is there still


def test_graphs_over_a_part_of_buffers_go_with_them(model):
    recorded(model)
    with torch.no_grad():
        for rows in (1, 2, 3):
            x = torch.ones(rows, 4)
            both = kept_buffers(model, rows, lambda rows=rows: torch.zeros(2, rows, 6))
            run_core(model, counting_core, Inputs(x, torch.zeros(rows, 6)), (), both[1])
    stats = model.fast_prediction_stats
    assert len(model.fast_prediction.buffers) == stats.graphs == 2


def test_buffers_in_another_order_need_a_graph_of_their_own(model):
    recorded(model)
    square, more, x = torch.zeros(6, 6), torch.randn(6, 6), torch.randn(6, 4)
    with torch.no_grad():
        wanted = more + model.first(x)
        for buffer in (square, square.mT):
            run_core(model, counting_core, Inputs(x, more), (), buffer)
            torch.testing.assert_close(buffer, wanted)
    assert model.fast_prediction_stats.captures == 2


def test_a_session_that_began_eagerly_stays_so_behind_one_inside_of_it(model):
    recorded(model)
    hook = model.first.register_forward_hook(lambda *arguments: None)
    with torch.no_grad(), exclusive(model):
        with exclusive(model):
            pass
        hook.remove()
        model.predict(torch.ones(2, 4))
    assert model.fast_prediction_stats.eager_reasons == {"hooks": 1}
    model.predict(torch.ones(2, 4))
    assert model.fast_prediction_stats.captures == 1


def asking_over_buffers(model, inputs, options, total):
    total.copy_(inputs.x * float(inputs.x.sum()))
    return Found(total.clone())


def test_what_cannot_be_recorded_over_some_buffers_is_not_tried_over_others(model, recwarn):
    recorded(model)
    x = torch.ones(2, 4)
    with torch.no_grad():
        for buffer in (torch.zeros(2, 4), torch.zeros(2, 4)):
            assert torch.equal(run_core(model, asking_over_buffers, Inputs(x), (), buffer).y, 8 * x)
    assert len([each for each in recwarn if "runs eagerly" in str(each.message)]) == 1
    assert len(model.fast_prediction.refused) == 1


def test_few_refusals_are_remembered(model, monkeypatch):
    monkeypatch.setattr("vlahub.modeling.fast_prediction.MAX_REFUSED", 2)
    recorded(model)
    for rows in (1, 2, 3, 4):
        with pytest.warns(UserWarning, match="asking_core runs eagerly"):
            model.predict(torch.ones(rows, 4), core=asking_core)
    assert len(model.fast_prediction.refused) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(torch.ones(4, 4), core=asking_core)  # the last one is remembered


def test_as_many_buffers_are_kept_as_graphs_where_these_are_fewer(model):
    recorded(model, max_graphs=1)
    for rows in (1, 2):
        model.count(torch.ones(rows, 4), 1)
        assert len(model.fast_prediction.buffers) == 1


def test_a_session_of_one_thread_is_none_of_another(model):
    recorded(model)
    found, ask = [], model.fast_prediction.reason_at_first_sight
    with torch.no_grad(), exclusive(model):
        thread = threading.Thread(target=lambda: found.append(ask(model)))
        thread.start()
        thread.join()
    assert found == ["gradients are enabled"]


def test_the_batch_is_told_by_the_first_tensor_with_a_dimension(model):
    recorded(model, max_batch_size=2)
    reason_in = model.fast_prediction.reason_in
    assert reason_in(Inputs(torch.tensor(1.0), torch.ones(2, 4))) is None
    assert reason_in(Inputs(torch.tensor(1.0), torch.ones(3, 4))) == "batch above max_batch_size"
    assert reason_in(Inputs(None)) == "inputs are not on the model's device"


def test_a_tensor_behind_the_end_of_buffers_does_not_lie_in_them():
    both = torch.zeros(2, 4)
    starts = signature_of((both[0],), with_address=True), signature_of((both[1],), with_address=True)
    place = [(both.data_ptr(), both[0].nbytes)]
    assert [lies_in(start, place) for start in starts] == [True, False]


def test_a_warning_names_what_an_error_came_from(model):
    def failing():
        try:
            raise KeyError("what failed")
        finally:
            raise RuntimeError("the recording ended")

    with pytest.raises(RuntimeError) as caught:
        failing()
    assert causes(caught.value) == "RuntimeError: the recording ended (after KeyError: 'what failed')"
    assert causes(ValueError("alone")) == "ValueError: alone"


@pytest.fixture
def uncompiled(monkeypatch):
    """What torch.compile was asked for, as it is."""
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)


def returning_core(model, inputs, options):
    return Found(inputs.x)


@pytest.mark.usefixtures("uncompiled")
def test_a_compiled_core_gets_tensors_of_its_own_in_one_layout(model):
    recorded(model, mode="compile")
    x = torch.randn(4, 2).mT
    for given in (x, x.contiguous()):
        found = model.predict(given, core=returning_core).y
        assert torch.equal(found, given)
        assert found.data_ptr() != given.data_ptr()
        assert found.stride() == (4, 1)
    assert model.fast_prediction_stats.captures == 1


@pytest.mark.usefixtures("uncompiled")
def test_what_was_compiled_for_a_core_goes_with_it(model):
    recorded(model, mode="compile", max_graphs=2)
    for rows in (1, 2, 3):
        model.predict(torch.ones(rows, 4))
    fast = model.fast_prediction
    assert set(fast.compiled_codes) == set(fast.graphs)
    assert len(fast.graphs) == 2


def test_a_core_with_code_of_its_own_is_the_same_function():
    def core(model, inputs, options=2, *, factor=3):
        return inputs * options * factor

    own = with_own_code(core)
    assert own.__code__ is not core.__code__
    assert own(None, 1) == core(None, 1) == 6


@pytest.mark.parametrize("side", [padded_behind, padded_before])
def test_prompts_of_one_bucket_have_one_length(model, side):
    ids = torch.arange(1, 6).expand(2, -1)
    assert side(model, ids, None) == (ids, None)
    recorded(model, length_bucket=4)
    with torch.no_grad():
        longer, mask = side(model, ids, None)
    assert longer.shape == mask.shape == (2, 8)
    assert torch.equal(longer[mask == 1].view(2, 5), ids)
    assert bool(mask[:, 0].all()) == (side is padded_behind)


@pytest.mark.parametrize("side", [padded_behind, padded_before])
def test_prompts_as_long_as_a_bucket_are_not_longer(model, side):
    recorded(model, length_bucket=4)
    with torch.no_grad():
        lengths = [side(model, torch.ones(2, length, dtype=torch.long), None)[0].shape[1] for length in (3, 4, 5, 8)]
    assert lengths == [4, 4, 8, 8]


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.float32, None], ids=str)
def test_masks_of_any_dtype_are_one_signature(model, dtype):
    ids = torch.arange(1, 6).expand(2, -1)
    mask = None if dtype is None else torch.ones(2, 5).to(dtype)
    recorded(model, length_bucket=4)
    with torch.no_grad():
        padded = padded_behind(model, ids, mask)[1]
    assert torch.equal(padded, torch.tensor([[1] * 5 + [0] * 3] * 2))
    assert padded.dtype == torch.long


WRONG = [
    ({"mode": "fast"}, "mode='fast'"),
    ({"max_graphs": 0}, "max_graphs=0"),
    ({"max_batch_size": 1.5}, "max_batch_size=1.5"),
    ({"length_bucket": True}, "length_bucket=True"),
    ({"fuse_projections": 1}, "fuse_projections=1"),
]


@pytest.mark.parametrize(("options", "text"), WRONG, ids=[text for _, text in WRONG])
def test_options_that_cannot_be_are_refused_by_name(model, options, text):
    with pytest.raises(ConfigError, match=text):
        model.enable_fast_prediction(**options)
    assert model.fast_prediction is None
