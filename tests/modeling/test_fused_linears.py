"""Linear layers of one input as one product: the same numbers, whatever becomes of their weights."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from vlahub import CogVLAForActionPrediction
from vlahub.modeling.film import ZeroLinear
from vlahub.modeling.fused_linears import joint_product, lay_side_by_side, lie_side_by_side, product_of

SIZES = (6, 4, 5)


def layers(bias=True, kind=nn.Linear, dtype=torch.float32):
    torch.manual_seed(0)
    made = nn.ModuleList(kind(8, size, bias=bias) for size in SIZES).to(dtype)
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made.eval()


def lie(linears):
    return lie_side_by_side([linear.weight for linear in linears])


@torch.no_grad()
def check(linears, joined=True):
    """The products are those of the layers one by one, and are made together or not."""
    assert lie(linears) == joined
    x = torch.randn(3, 2, 8, dtype=linears[0].weight.dtype)
    found, wanted = product_of(linears, x), [linear(x) for linear in linears]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)
    bases = {one.untyped_storage().data_ptr() for one in found}
    assert (len(bases) == 1) == joined
    return found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [nn.Linear, ZeroLinear])
def test_weights_become_views_of_one_memory_and_stay_what_they_were(bias, kind):
    linears = layers(bias, kind)
    before, parameters = copy.deepcopy(linears.state_dict()), list(linears.parameters())
    old = linears[1].weight.untyped_storage()
    check(linears, joined=False)
    lay_side_by_side(linears)
    check(linears)
    assert all(one is other for one, other in zip(linears.parameters(), parameters, strict=True))
    assert linears.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in linears.state_dict().items())
    place = linears[0].weight.data_ptr()
    lay_side_by_side(linears)
    assert linears[0].weight.data_ptr() == place and old.data_ptr() != linears[1].weight.untyped_storage().data_ptr()


def shared(linears):
    linears[1] = linears[0]


def one_without_bias(linears):
    linears[2].bias = None


def other_dtype(linears):
    linears[1].to(torch.float64)


def of_other_input(linears):
    linears[1] = nn.Linear(7, 4)


def hooked(linears):
    linears[1].register_forward_hook(lambda *_: None)


def offloaded(linears):
    linears[1].forward = lambda x: x


def on_meta(linears):
    linears.to("meta")


def parametrised(linears):
    nn.utils.parametrizations.weight_norm(linears[1])


def quantised(linears):
    linears[1] = nn.quantized.dynamic.Linear(8, 4)


WRONG = [shared, one_without_bias, other_dtype, of_other_input, hooked, offloaded, on_meta, parametrised, quantised]


@pytest.mark.parametrize("spoil", WRONG, ids=lambda spoil: spoil.__name__)
def test_what_does_not_fit_is_left_where_it_is(spoil):
    linears = layers()
    spoil(linears)
    places = [parameter.data_ptr() for parameter in linears.parameters()]
    lay_side_by_side(linears)
    assert [parameter.data_ptr() for parameter in linears.parameters()] == places


def test_tied_weights_stay_tied():
    linears, other = layers(bias=False), nn.Linear(8, 4, bias=False)
    other.weight = linears[1].weight
    lay_side_by_side(linears)
    assert other.weight is linears[1].weight and torch.equal(other.weight, linears[1].weight)
    check(linears)


def wrapped(linears):
    """LoRA whose matrix B is not zero."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        nn.ModuleDict({"layers": linears}), LoraConfig(target_modules=["1"], init_lora_weights=False)
    )
    return model.base_model.model["layers"]


def replaced(linears):
    linears.load_state_dict({name: value + 1 for name, value in linears.state_dict().items()}, assign=True)
    return linears


def with_other_data(linears):
    linears[1].weight.data = torch.randn(4, 8)
    return linears


def with_a_hook(linears):
    linears[1].register_forward_hook(lambda module, given, found: found + 1)
    return linears


CHANGES = {
    "copied": copy.deepcopy,
    "pickled": lambda linears: pickle.loads(pickle.dumps(linears)),
    "other dtype": lambda linears: copy.deepcopy(linears).to(torch.float64),
    "lora": wrapped,
    "replaced": replaced,
    "other data": with_other_data,
}


@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_were_moved_are_multiplied_one_by_one_and_can_be_joined_again(change):
    linears = layers()
    lay_side_by_side(linears)
    linears = CHANGES[change](linears)
    if change != "lora":
        assert not lie(linears)
        check(linears, joined=False)
        lay_side_by_side(linears)
        check(linears)
        return
    x = torch.randn(3, 8)
    with torch.no_grad():
        found, plain = product_of(linears, x), linears[1].base_layer(x)
    assert torch.equal(found[1], linears[1](x)) and not torch.allclose(found[1], plain)


def test_numbers_that_change_where_they_lie_change_the_product():
    linears = layers()
    lay_side_by_side(linears)
    before = check(linears)[1]
    linears.load_state_dict({name: 2 * value for name, value in linears.state_dict().items()})
    torch.manual_seed(0)
    check(linears)
    optimizer = torch.optim.AdamW(linears.parameters(), lr=0.1)
    sum(product.square().mean() for product in product_of(linears, torch.randn(3, 8))).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in linears.parameters())
    optimizer.step()
    assert not torch.equal(check(linears)[1], before)


def test_a_hook_that_comes_later_is_run():
    linears = layers()
    lay_side_by_side(linears)
    with torch.no_grad():
        x = torch.randn(3, 8)
        plain = product_of(linears, x)
        assert torch.equal(product_of(with_a_hook(linears), x)[1], linears[1](x))
        torch.testing.assert_close(linears[1](x), plain[1] + 1)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_product_looks_where_the_weights_lie_when_it_runs(backend):
    linears, x = layers(), torch.randn(3, 8)
    lay_side_by_side(linears)
    torch._dynamo.reset()
    compiled = torch.compile(lambda linears, x: product_of(linears, x), backend=backend, fullgraph=True)
    with torch.no_grad():
        for change in (lambda same: same, with_other_data, replaced):
            change(linears)
            for one, linear in zip(compiled(linears, x), linears, strict=True):
                torch.testing.assert_close(one, linear(x))
    torch._dynamo.reset()


def test_the_operator_is_what_torch_takes_for_one():
    linears, x = layers(), torch.randn(3, 8)
    arguments = x, [linear.weight.detach() for linear in linears], [linear.bias.detach() for linear in linears]
    torch.library.opcheck(joint_product, arguments, test_utils=("test_schema", "test_faketensor"))


def lay_projections(model):
    for layer in model.language_model.model.layers:
        lay_side_by_side([layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj])
        lay_side_by_side([layer.mlp.gate_proj, layer.mlp.up_proj])


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "100KB"}], ids=["one file", "shards"])
def test_a_checkpoint_of_joined_weights_is_that_of_separate_ones(shards, tiny_model, tmp_path, assert_equal_parameters):
    model = tiny_model()
    names = model.state_dict().keys()
    model.save_pretrained(tmp_path / "plain", **shards)
    lay_projections(model)
    assert lie([model.language_model.model.layers[0].mlp.gate_proj, model.language_model.model.layers[0].mlp.up_proj])
    model.save_pretrained(tmp_path / "joined", **shards)
    files = [sorted(p.name for p in (tmp_path / name).glob("*.safetensors")) for name in ("plain", "joined")]
    assert files[0] == files[1] and (len(files[0]) > 1) == bool(shards)
    for name in files[0]:
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "joined" / name).read_bytes()
    loaded = CogVLAForActionPrediction.from_pretrained(tmp_path / "joined", dtype=torch.float32)
    assert_equal_parameters(loaded, model)
    assert loaded.state_dict().keys() == names


def test_a_state_dict_on_disk_holds_each_number_once():
    plain, joined = layers(), layers()
    lay_side_by_side(joined)
    sizes = []
    for each in (plain, joined):
        torch.save(each.state_dict(), file := io.BytesIO())
        sizes.append(len(file.getvalue()))
        file.seek(0)
        restored = torch.load(file, weights_only=True)
        assert all(torch.equal(value, restored[name]) for name, value in plain.state_dict().items())
    assert sizes[1] <= sizes[0]
