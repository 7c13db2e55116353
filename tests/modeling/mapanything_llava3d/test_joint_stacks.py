"""Two stacks that attend together: against a slow reference, against transformers, against themselves in parts."""

import copy

import pytest
import torch
import torch.nn.functional as F
from joint_attention import build_joint_attention_inputs
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel, MistralConfig, MistralModel

from vlahub.errors import InputError
from vlahub.modeling.mapanything_llava3d.joint_pass import HIDDEN, fitted
from vlahub.modeling.mapanything_llava3d.llava3d_with_action_expert import LLaVA3DWithActionExpertModel, paired_layers
from vlahub.modeling.stack_passes import PrefixCache

KINDS = {"llama": (LlamaConfig, LlamaModel), "mistral": (MistralConfig, MistralModel)}
HEADS, HEAD_SIZE, PREFIX, SUFFIX = 4, 8, 6, 5
WIDTHS = {"base": (40, 56), "expert": (24, 44)}  # of states and MLP
PADDING = {
    "none": None,
    "right": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0]],
    "left": [[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1]],
    "scattered": [[1, 0, 1, 1, 0, 1], [0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]],
}
BLOCKED = torch.finfo(torch.float32).min
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def config_of(kind, widths, layers, kv_heads, implementation="sdpa", **fields):
    return KINDS[kind][0](
        hidden_size=widths[0],
        intermediate_size=widths[1],
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=kv_heads,
        head_dim=HEAD_SIZE,
        vocab_size=4,
        attn_implementation=implementation,
        **fields,
    )


@pytest.fixture
def stacks(randomized):
    """`stacks(...)` -> the model; its base is `model.base`."""

    def make(kind="llama", layers=3, expert_layers=None, kv_heads=2, implementation="sdpa", same=False, **options):
        base = KINDS[kind][1](config_of(kind, WIDTHS["base"], layers, kv_heads, implementation))
        widths = WIDTHS["base" if same else "expert"]
        expert = config_of(kind, widths, expert_layers or layers, kv_heads, implementation)
        model = LLaVA3DWithActionExpertModel(randomized(base).eval(), expert, **options)
        return randomized(model, seed=1).eval()

    return make


def streams(batch=3, suffix=SUFFIX, width=WIDTHS["expert"][0]):
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(batch, PREFIX, WIDTHS["base"][0], generator=generator),
        torch.randn(batch, suffix, width, generator=generator),
    )


def padding(name):
    return None if PADDING[name] is None else torch.tensor(PADDING[name])


def assert_same(found, wanted, real=None):
    """[prefix_out, suffix_out] twice; padding of the prefix is nobody's concern."""
    real = torch.ones(wanted[0].shape[:2], dtype=torch.bool) if real is None else real
    torch.testing.assert_close(found[0][real], wanted[0][real], **CLOSE)
    torch.testing.assert_close(found[1], wanted[1], **CLOSE)


class SlowStacks:
    """The joined stacks from their description: one sample at a time, all heads, boolean visibility."""

    def __init__(self, model, partners):
        self.base, self.expert, self.partners = model.base, model.expert, partners

    def __call__(self, prefix, suffix, allowed, positions):
        rows = [self.sample(*row) for row in zip(prefix, suffix, allowed, positions, strict=True)]
        return [torch.stack(part) for part in zip(*rows, strict=True)]

    def sample(self, prefix, suffix, allowed, positions):
        n = len(prefix)
        for index, layer in enumerate(self.base.layers):
            if index not in self.partners:
                (prefix,) = self.layer([layer], [prefix], allowed[:n, :n], positions[:n])
            else:
                pair = [layer, self.expert.layers[self.partners.index(index)]]
                prefix, suffix = self.layer(pair, [prefix, suffix], allowed, positions)
        return self.base.norm(prefix), self.expert.norm(suffix)

    def layer(self, layers, states, allowed, positions):
        normed = [layer.input_layernorm(x) for layer, x in zip(layers, states, strict=True)]
        query, key, value = (
            torch.cat([F.linear(x, getattr(layer.self_attn, name).weight) for layer, x in zip(layers, normed)])  # noqa: B905
            .unflatten(1, (-1, HEAD_SIZE))
            .transpose(0, 1)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        query, key = self.rotated(query, positions), self.rotated(key, positions)
        key, value = (x.repeat_interleave(HEADS // len(x), dim=0) for x in (key, value))
        scores = (query @ key.transpose(1, 2) / HEAD_SIZE**0.5).masked_fill(~allowed, -1e30)
        mixed = (scores.softmax(dim=-1) @ value).transpose(0, 1).flatten(1)
        parts = mixed.split([len(x) for x in states])
        states = [x + layer.self_attn.o_proj(y) for layer, x, y in zip(layers, states, parts, strict=True)]
        return [x + layer.mlp(layer.post_attention_layernorm(x)) for layer, x in zip(layers, states, strict=True)]

    @staticmethod
    def rotated(x, positions):
        half = x.shape[-1] // 2
        angles = positions[:, None] * 10000.0 ** (-torch.arange(half) / half)
        turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)
        return torch.cat([turned.real, turned.imag], dim=-1)


# ---- one pass, two passes, and a kept prefix


@pytest.mark.parametrize("prefix_attention", ["bidirectional", "causal"])
@pytest.mark.parametrize("pad", PADDING)
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", KINDS)
def test_joint_pass_two_passes_and_kept_prefix_give_the_slow_reference(
    stacks, kind, implementation, kv_heads, pad, prefix_attention
):
    model = stacks(kind, kv_heads=kv_heads, implementation=implementation, prefix_attention=prefix_attention)
    (prefix, suffix), mask = streams(), padding(pad)
    joint, positions, real = build_joint_attention_inputs(prefix, SUFFIX, mask, prefix_attention == "causal")
    wanted = SlowStacks(model, [0, 1, 2])(prefix, suffix, joint[:, 0] == 0, positions)
    assert_same(model(joint, positions, inputs_embeds=[prefix, suffix])[0], wanted, real)
    for gradients in (True, False):  # without them the kept prefix has room behind it
        with torch.set_grad_enabled(gradients):
            assert_same(model(mask, inputs_embeds=[prefix, suffix])[0], wanted, real)
            (alone, nothing), cache = model(mask, inputs_embeds=[prefix, None], use_cache=True)
            (nothing_either, behind), _ = model(past_key_values=cache, inputs_embeds=[None, suffix])
            assert nothing is None and nothing_either is None
            assert_same([alone, behind], wanted, real)
            # The joint mask and positions do as well, cut to what each pass needs.
            (alone, _), cache = model(joint, positions, inputs_embeds=[prefix, None], use_cache=True)
            (_, behind), _ = model(joint, positions, cache, inputs_embeds=[None, suffix])
            assert_same([alone, behind], wanted, real)


def test_padding_of_a_kept_prefix_may_be_given_again(stacks):
    model, (prefix, suffix), mask = stacks(), streams(), padding("scattered")
    wanted = model(mask, inputs_embeds=[prefix, suffix])[0][1]
    _, cache = model(mask, inputs_embeds=[prefix, None], use_cache=True)
    torch.testing.assert_close(model(mask, past_key_values=cache, inputs_embeds=[None, suffix])[0][1], wanted, **CLOSE)


@torch.no_grad()
def test_a_suffix_sees_what_its_own_mask_leaves_of_a_kept_prefix(stacks):
    model, (_, suffix) = stacks(), streams()
    cache = kept(model)
    for count in (4, 2, 5):
        shorter = PrefixCache(count)
        shorter.layers = [tuple(each[:, :, :count] for each in layer) for layer in cache.layers]
        wanted = model(past_key_values=shorter, inputs_embeds=[None, suffix])[0][1]
        mask = (torch.arange(PREFIX) < count).long().expand(3, -1)
        found = model(mask, past_key_values=cache, inputs_embeds=[None, suffix])[0][1]
        torch.testing.assert_close(found, wanted, **CLOSE)


ALIGNMENTS = [
    (3, 1, "top", [2]),
    (3, 2, "top", [1, 2]),
    (3, 2, "even", [0, 2]),
    (4, 2, "even", [1, 3]),
    (5, 3, "even", [0, 2, 4]),
    (5, 1, "even", [4]),
]


@pytest.mark.parametrize(("layers", "expert_layers", "alignment", "partners"), ALIGNMENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_shorter_expert_pairs_with_the_layers_that_were_asked_for(
    stacks, kind, layers, expert_layers, alignment, partners
):
    model = stacks(kind, layers=layers, expert_layers=expert_layers, expert_layer_alignment=alignment)
    assert paired_layers(layers, expert_layers, alignment) == model.partners == partners
    (prefix, suffix), mask = streams(), padding("left")
    joint, positions, real = build_joint_attention_inputs(prefix, SUFFIX, mask)
    wanted = SlowStacks(model, partners)(prefix, suffix, joint[:, 0] == 0, positions)
    assert_same(model(joint, positions, inputs_embeds=[prefix, suffix])[0], wanted, real)
    assert_same(model(mask, inputs_embeds=[prefix, suffix])[0], wanted, real)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", KINDS)
def test_any_mask_gives_the_slow_reference_also_one_whose_prefix_sees_the_suffix(stacks, kind, implementation):
    model = stacks(kind, expert_layers=2, implementation=implementation)
    prefix, suffix = streams()
    generator = torch.Generator().manual_seed(3)
    allowed = torch.rand(3, PREFIX + SUFFIX, PREFIX + SUFFIX, generator=generator) < 0.5
    allowed |= torch.eye(PREFIX + SUFFIX, dtype=torch.bool)
    positions = torch.randint(0, 50, allowed.shape[:2], generator=generator)
    mask = torch.where(allowed, 0.0, BLOCKED)[:, None]
    found = model(mask, positions, inputs_embeds=[prefix, suffix])[0]
    assert_same(found, SlowStacks(model, [1, 2])(prefix, suffix, allowed, positions))
    places = torch.arange(PREFIX + SUFFIX).expand(3, -1)
    found = model(mask, inputs_embeds=[prefix, suffix])[0]
    assert_same(found, SlowStacks(model, [1, 2])(prefix, suffix, allowed, places))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("which", ["ours", "random", "finite"])
@pytest.mark.parametrize("kind", KINDS)
def test_equal_weights_in_both_stacks_are_one_model_of_transformers(stacks, kind, which, implementation):
    model = stacks(kind, implementation=implementation, same=True)
    model.expert.load_state_dict(model.base.state_dict(), strict=False)
    (prefix, suffix), pad = streams(width=WIDTHS["base"][0]), padding("scattered")
    mask, positions, real = build_joint_attention_inputs(prefix, SUFFIX, pad)
    if which == "random":
        seen = torch.rand(mask.shape, generator=torch.Generator().manual_seed(4)) < 0.6
        mask = torch.where(seen | torch.eye(PREFIX + SUFFIX, dtype=torch.bool), 0.0, BLOCKED)
    if which == "finite":
        mask = torch.randn(mask.shape, generator=torch.Generator().manual_seed(4))
    stock = model.base(
        inputs_embeds=torch.cat([prefix, suffix], dim=1), attention_mask=mask, position_ids=positions, use_cache=False
    )
    found = model(mask, positions, inputs_embeds=[prefix, suffix])[0]
    assert_same(found, stock.last_hidden_state.split([PREFIX, SUFFIX], dim=1), real if which == "ours" else None)


def test_a_suffix_never_reaches_the_prefix_and_padding_reaches_nobody(stacks):
    model, (prefix, suffix), mask = stacks(), streams(), padding("scattered")
    wanted = model(mask, inputs_embeds=[prefix, suffix])[0]
    other = torch.where(mask[..., None] == 1, prefix, torch.full_like(prefix, 7.0))
    found = model(mask, inputs_embeds=[other, suffix])[0]
    assert_same(found, wanted, mask == 1)
    torch.testing.assert_close(model(mask, inputs_embeds=[prefix, suffix + 1])[0][0], wanted[0])


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_padding_that_holds_infinities_is_the_only_thing_that_they_spoil(stacks, implementation):
    """Not promised for NaN; but large numbers in padding must not leak."""
    model, (prefix, suffix), mask = stacks(implementation=implementation), streams(), padding("left")
    wanted = model(mask, inputs_embeds=[prefix, suffix])[0][1]
    huge = torch.where(mask[..., None] == 1, prefix, torch.full_like(prefix, 1e4))
    torch.testing.assert_close(model(mask, inputs_embeds=[huge, suffix])[0][1], wanted, **CLOSE)


def test_a_row_of_padding_alone_leaves_a_suffix_that_sees_only_itself(stacks):
    model, (prefix, suffix) = stacks(), streams()
    mask = torch.ones(3, PREFIX, dtype=torch.long)
    mask[1] = 0
    found = model(mask, inputs_embeds=[prefix, suffix])[0][1]
    assert found.isfinite().all()
    torch.testing.assert_close(found[[0, 2]], model(inputs_embeds=[prefix, suffix])[0][1][[0, 2]], **CLOSE)
    changed = model(mask, inputs_embeds=[prefix + 1, suffix])[0][1]
    torch.testing.assert_close(changed[1], found[1], **CLOSE)


# ---- the kept prefix


def kept(model, mask=None, prefix=None):
    prefix = streams()[0] if prefix is None else prefix
    return model(mask, inputs_embeds=[prefix, None], use_cache=True)[1]


def prefix_part(cache):
    return [(keys[:, :, : cache.length], values[:, :, : cache.length]) for keys, values in cache.layers]


@pytest.mark.parametrize("kv_heads", [2, 4])
@torch.no_grad()
def test_keys_and_values_of_the_prefix_never_change_and_move_for_the_first_suffix_alone(stacks, kv_heads):
    model, mask = stacks(kv_heads=kv_heads), padding("right")
    cache, (_, suffix) = kept(model, mask), streams()
    before = copy.deepcopy(prefix_part(cache))
    first = model(past_key_values=cache, inputs_embeds=[None, suffix])[0][1]
    places = [tensor.data_ptr() for pair in cache.layers for tensor in pair]
    for step in range(10):
        model(past_key_values=cache, inputs_embeds=[None, suffix * (step + 2)])
    assert places == [tensor.data_ptr() for pair in cache.layers for tensor in pair]
    torch.testing.assert_close(prefix_part(cache), before, atol=0, rtol=0)
    assert cache.get_seq_length() == cache.length == PREFIX
    again = model(past_key_values=cache, inputs_embeds=[None, suffix])[0][1]
    torch.testing.assert_close(again, first, atol=0, rtol=0)


@torch.no_grad()
def test_a_suffix_longer_than_the_room_makes_the_cache_grow_once_and_changes_nothing_else(stacks):
    model, mask = stacks(), padding("left")
    prefix, long = streams(suffix=100)
    wanted_short = model(mask, inputs_embeds=[prefix, long[:, :3]])[0][1]
    cache = kept(model, mask)
    before = copy.deepcopy(prefix_part(cache))
    short = model(past_key_values=cache, inputs_embeds=[None, long[:, :3]])[0][1]
    found = model(past_key_values=cache, inputs_embeds=[None, long])[0][1]
    joint, positions, _ = build_joint_attention_inputs(prefix, 100, mask)
    wanted = SlowStacks(model, [0, 1, 2])(prefix, long, joint[:, 0] == 0, positions)[1]
    torch.testing.assert_close(found, wanted, **CLOSE)
    places = [tensor.data_ptr() for pair in cache.layers for tensor in pair]
    model(past_key_values=cache, inputs_embeds=[None, long])
    assert places == [tensor.data_ptr() for pair in cache.layers for tensor in pair]
    torch.testing.assert_close(prefix_part(cache), before, atol=0, rtol=0)
    torch.testing.assert_close(short, wanted_short, **CLOSE)
    again = model(past_key_values=cache, inputs_embeds=[None, long[:, :3]])[0][1]
    torch.testing.assert_close(again, short, atol=0, rtol=0)


def test_gradients_flow_through_a_kept_prefix_as_through_a_joint_pass(stacks):
    model, (prefix, suffix), mask = stacks(), streams(), padding("scattered")
    joint, positions, _ = build_joint_attention_inputs(prefix, SUFFIX, mask)
    parameters = [*model.base.layers[0].parameters(), *model.parameters()]

    def gradients(run):
        leaf = prefix.clone().requires_grad_()
        return torch.autograd.grad(run(leaf).square().sum(), [leaf, *parameters])

    def in_two(leaf):
        cache = kept(model, mask, leaf)
        return model(past_key_values=cache, inputs_embeds=[None, suffix])[0][1]

    wanted = gradients(lambda leaf: model(joint, positions, inputs_embeds=[leaf, suffix])[0][1])
    torch.testing.assert_close(gradients(in_two), wanted, atol=1e-4, rtol=1e-4)
    split = gradients(lambda leaf: model(mask, inputs_embeds=[leaf, suffix])[0][1])
    torch.testing.assert_close(split, wanted, atol=1e-4, rtol=1e-4)
    assert all(gradient.abs().max() > 0 for gradient in wanted)


@pytest.mark.parametrize("kv_heads", [2, 4])
def test_an_expert_trains_for_several_steps_over_a_prefix_kept_without_gradients(stacks, kv_heads):
    """A frozen base need not run again for every step of the expert."""
    model, (prefix, suffix) = stacks(kv_heads=kv_heads), streams()
    with torch.no_grad():
        cache = kept(model)
    fresh = model.run_prefix(prefix)[1]

    def gradients(kept_prefix):
        runs = [model(past_key_values=kept_prefix, inputs_embeds=[None, suffix * (i + 1)])[0][1] for i in range(2)]
        return torch.autograd.grad(sum(run.square().sum() for run in runs), list(model.parameters()))

    wanted = gradients(fresh)
    for _ in range(2):
        torch.testing.assert_close(gradients(cache), wanted, atol=1e-4, rtol=1e-4)
    assert not any(tensor.requires_grad for pair in cache.layers for tensor in pair)


def test_a_pass_without_gradients_does_not_cut_a_kept_prefix_off_from_its_own(stacks):
    """Such as a prediction for the log between the prefix and the loss."""
    model, (prefix, suffix) = stacks(), streams()

    def gradient(look):
        leaf = prefix.clone().requires_grad_()
        cache = kept(model, prefix=leaf)
        with torch.no_grad():
            if look:
                model(past_key_values=cache, inputs_embeds=[None, suffix])
        return torch.autograd.grad(model(past_key_values=cache, inputs_embeds=[None, suffix])[0][1].sum(), leaf)[0]

    torch.testing.assert_close(gradient(look=True), gradient(look=False))


# ---- gradient checkpointing


@pytest.mark.parametrize("arguments", [None, {"use_reentrant": True}, {"use_reentrant": False}])
@pytest.mark.parametrize("how", ["split", "joint"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_checkpointing_changes_neither_outputs_nor_gradients(stacks, kind, how, arguments):
    model = stacks(kind, expert_layers=2).train()
    model.base.train()
    (prefix, suffix), mask = streams(), padding("left")
    joint = build_joint_attention_inputs(prefix, SUFFIX, mask)[:2]
    parameters = [*model.base.layers.parameters(), *model.parameters()]

    def run():
        places = (mask,) if how == "split" else joint
        output = model(*places, inputs_embeds=[prefix, suffix])[0]
        return output, torch.autograd.grad(output[1].square().sum() + output[0][mask == 1].sum(), parameters)

    wanted = run()
    model.gradient_checkpointing_enable(arguments)
    model.base.gradient_checkpointing_enable(arguments)
    calls = []
    model.expert.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    torch.testing.assert_close(run(), wanted)
    assert len(calls) == 2  # once more in the backward pass
    model.eval()
    model.base.eval()
    torch.testing.assert_close(run(), wanted)


# ---- ownership


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_base_is_used_but_not_owned(wrapped, randomized):
    language_model = LlamaForCausalLM(config_of("llama", WIDTHS["base"], 2, 2))
    model = LLaVA3DWithActionExpertModel(language_model if wrapped else language_model.model)
    assert model.base is language_model.model
    whole = nn.ModuleDict({"language_model": language_model, "expert": model})
    names = [name for name, _ in whole.named_parameters(remove_duplicate=False)]
    assert len(names) == len({id(parameter) for parameter in whole.parameters()})
    assert all(name.startswith("expert.layers.") or name == "expert.norm.weight" for name in model.state_dict())


def test_a_copy_of_both_uses_the_copied_base(stacks):
    model = stacks()
    pair = copy.deepcopy(nn.ModuleList([model.base, model]))
    assert pair[1].base is pair[0] is not model.base


def test_the_default_expert_is_the_base_at_half_its_width():
    base = LlamaModel(config_of("llama", (40, 60), 3, 2, "eager"))
    model = LLaVA3DWithActionExpertModel(base)
    assert (model.hidden_size, model.expert_hidden_size) == (40, 20)
    assert model.expert.config.intermediate_size == 30
    assert model.expert.layers[0].self_attn.q_proj.weight.shape == (HEADS * HEAD_SIZE, 20)
    assert model.expert.config._attn_implementation == "eager"
    prefix, suffix = torch.randn(2, 3, 40), torch.randn(2, 2, 20)
    assert model(inputs_embeds=[prefix, suffix])[0][1].shape == (2, 2, 20)


def test_construction_on_the_meta_device_has_the_same_parameters(stacks):
    real = stacks()
    with torch.device("meta"):
        base = LlamaModel(config_of("llama", WIDTHS["base"], 3, 2))
        model = LLaVA3DWithActionExpertModel(base, config_of("llama", WIDTHS["expert"], 3, 2))
    assert {key: value.shape for key, value in model.state_dict().items()} == {
        key: value.shape for key, value in real.state_dict().items()
    }


# ---- dtypes


@torch.no_grad()
def test_bfloat16_weights_stay_close_to_float32(stacks):
    model, (prefix, suffix), mask = stacks(), streams(), padding("left")
    wanted = model(mask, inputs_embeds=[prefix, suffix])[0]
    model.base.bfloat16()
    model.bfloat16()
    joint, positions, _ = build_joint_attention_inputs(prefix.bfloat16(), SUFFIX, mask)
    assert joint.dtype == torch.bfloat16
    for arguments in ((mask,), (joint, positions)):
        found = model(*arguments, inputs_embeds=[prefix.bfloat16(), suffix.bfloat16()])[0]
        assert found[1].dtype == torch.bfloat16
        torch.testing.assert_close(found[1].float(), wanted[1], atol=0.1, rtol=0.1)


@pytest.mark.parametrize("dtypes", [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)])
def test_an_expert_of_another_dtype_than_the_frozen_base_trains_and_samples(stacks, dtypes):
    """Stage A: the base is kept in bfloat16, the expert trains in float32."""
    model, (prefix, suffix), mask = stacks(), streams(), padding("left")
    wanted = model(mask, inputs_embeds=[prefix, suffix])[0][1]
    model.base.to(dtypes[0])
    model.to(dtypes[1])
    prefix, suffix = prefix.to(dtypes[0]), suffix.to(dtypes[1])
    joint, positions, _ = build_joint_attention_inputs(prefix, SUFFIX, mask)
    for gradients in (True, False):
        for arguments in ((mask,), (joint, positions)):
            with torch.set_grad_enabled(gradients):
                found = model(*arguments, inputs_embeds=[prefix, suffix])[0][1]
            assert found.dtype == dtypes[1]
            torch.testing.assert_close(found.float(), wanted, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_autocast_with_padding_gives_finite_outputs_and_gradients(stacks, implementation):
    model, (prefix, suffix), mask = stacks(implementation=implementation), streams(), padding("left")
    joint, positions, _ = build_joint_attention_inputs(prefix, SUFFIX, mask)
    wanted = model(mask, inputs_embeds=[prefix, suffix])[0][1].detach()
    for arguments in ((mask,), (joint, positions)):
        with torch.autocast("cpu", torch.bfloat16):
            found = model(*arguments, inputs_embeds=[prefix, suffix])[0][1]
        torch.testing.assert_close(found.float(), wanted, atol=0.1, rtol=0.1)
        gradients = torch.autograd.grad(found.float().square().sum(), list(model.base.layers[0].parameters()))
        assert all(gradient.isfinite().all() for gradient in gradients)


# ---- refusals


def calls_that_are_refused():
    prefix, suffix = streams()
    square = torch.zeros(3, 1, PREFIX + SUFFIX, PREFIX + SUFFIX)
    return {
        "nothing at all": (lambda model: model(), "inputs_embeds must hold"),
        "two times nothing": (lambda model: model(inputs_embeds=[None, None]), "inputs_embeds must hold"),
        "suffix alone": (lambda model: model(inputs_embeds=[None, suffix]), "past_key_values is missing"),
        "padding of both": (
            lambda model: model(torch.ones(3, PREFIX + SUFFIX), inputs_embeds=[prefix, suffix]),
            r"attention_mask has shape \(3, 11\); \(batch, length\) is \(3, 6\)",
        ),
        "padding of another batch": (
            lambda model: model(torch.ones(2, PREFIX), inputs_embeds=[prefix, suffix]),
            r"attention_mask has shape \(2, 6\)",
        ),
        "mask too small": (
            lambda model: model(square[:, :, :-1, :-1], inputs_embeds=[prefix, suffix]),
            r"attention_mask \(3, 1, 10, 10\) must end in \(11, 11\)",
        ),
        "mask smaller than the prefix": (
            lambda model: model(square[:, :, :4, :4], inputs_embeds=[prefix, None]),
            r"attention_mask \(3, 1, 4, 4\) is smaller than the prefix \(6\)",
        ),
        "mask that does not fit the kept prefix": (
            lambda model: model(square[..., :-1], None, kept(model), [None, suffix]),
            "does not fit a prefix of 6 and a suffix of 5",
        ),
        "a cache of a joint pass": (
            lambda model: model(square, inputs_embeds=[prefix, suffix], use_cache=True),
            "use_cache=True needs a pass of the prefix alone",
        ),
        "positions of the prefix for both": (
            lambda model: model(None, torch.arange(PREFIX).expand(3, -1), inputs_embeds=[prefix, suffix]),
            "position_ids",
        ),
        "positions of the prefix for both, joint": (
            lambda model: model(square, torch.arange(PREFIX).expand(3, -1), inputs_embeds=[prefix, suffix]),
            "position_ids",
        ),
        "too few positions for the suffix": (
            lambda model: model(None, torch.arange(3).expand(3, -1), kept(model), [None, suffix]),
            "position_ids",
        ),
    }


@pytest.mark.parametrize("name", calls_that_are_refused())
def test_a_call_that_cannot_be_meant_is_refused_by_the_arguments_name(stacks, name):
    call, message = calls_that_are_refused()[name]
    with pytest.raises(InputError, match=message):
        call(stacks())


def test_positions_of_the_suffix_alone_pass(stacks):
    model, (prefix, suffix) = stacks(), streams()
    positions = torch.arange(SUFFIX).expand(3, -1) + PREFIX
    found = model(None, positions, kept(model), [None, suffix])[0][1]
    torch.testing.assert_close(found, model(inputs_embeds=[prefix, suffix])[0][1], **CLOSE)


@pytest.mark.parametrize("shape", ["both", "prefix", "suffix"])
def test_a_mask_of_zeros_and_ones_is_not_taken_for_an_additive_one(stacks, shape):
    model, (prefix, suffix) = stacks(), streams()
    mask = torch.ones(3, 1, PREFIX + SUFFIX, PREFIX + SUFFIX, dtype=torch.bool)
    given = {"both": [prefix, suffix], "prefix": [prefix, None], "suffix": [None, suffix]}[shape]
    cache = kept(model) if shape == "suffix" else None
    with pytest.raises(InputError, match="must be floating point"):
        model(mask, past_key_values=cache, inputs_embeds=given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_what_a_callers_mask_hides_is_a_number_in_every_dtype(dtype):
    mask = torch.tensor([0, BLOCKED, float("-inf"), -2.0]).expand(1, 1, 1, -1)
    hidden = torch.tensor(HIDDEN).to(dtype).item()
    assert fitted(mask, dtype).flatten().tolist() == [0, hidden, hidden, -2]
    assert hidden > torch.finfo(torch.float16).min
