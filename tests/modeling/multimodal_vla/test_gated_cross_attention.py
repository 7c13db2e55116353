"""Gated cross-attention (Flamingo): closed gates change no bit, open ones are the formula, in every language model."""

import pytest
import torch
import torch.nn.functional as F
from of_this_release import skip_unless_here
from peft import get_peft_model
from tiny_configs import GEMMA, LLAMA, SIGLIP, WIDTH, composed_config
from transformers import AutoConfig

from vlahub import MultimodalVLAForActionPrediction
from vlahub.configuration.multimodal_vla.gated_language_models import HAND_DOWN
from vlahub.errors import ConfigError, InputError
from vlahub.modeling.multimodal_vla.fusion import fuse
from vlahub.modeling.multimodal_vla.multimodal_inputs import checked_prompt
from vlahub.modeling.multimodal_vla.vision_tokens import vision_tokens
from vlahub.training.lora_config import lora_config

CLOSE = {"atol": 2e-5, "rtol": 2e-5}
GATED = {"fusion": "gated_cross_attention", "projector_type": "perceiver", "text_config": LLAMA}
ROWS = [torch.tensor([5, 9, 17, 30, 4, 8]), torch.tensor([7, 21, 40])]
WRITE = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": -1}
COMMON = ("llama", "gemma2", "gemma3_text", "mistral", "qwen3", "phi3")  # the others take their time together
# Sizes under the names that models have for them; a config gets those that it knows.
SIZES = {
    **{"hidden_size": WIDTH, "intermediate_size": 48, "num_attention_heads": 2, "num_key_value_heads": 1},
    **{"num_hidden_layers": 3, "head_dim": 16, "vocab_size": 300, "pad_token_id": 1, "bos_token_id": 0},
    **{"eos_token_id": 2, "max_position_embeddings": 64, "num_experts": 4, "num_local_experts": 4},
    **{"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "n_group": 1, "topk_group": 1},
    "sliding_window": 4,  # an image that moved a sequence would be seen
}


@pytest.fixture
def gated(randomized):
    """`gated(**config) -> model` in evaluation mode, every weight of which matters, its gates open."""

    def make(**fields):
        return randomized(MultimodalVLAForActionPrediction(composed_config(**GATED | fields))).eval()

    return make


def batch(side="right", rows=(0, 1)):
    longest = max(len(ROWS[i]) for i in rows)
    ids, mask = torch.full((len(rows), longest), 3), torch.zeros(len(rows), longest, dtype=torch.long)
    for place, i in enumerate(rows):
        part = slice(len(ROWS[i])) if side == "right" else slice(longest - len(ROWS[i]), longest)
        ids[place, part], mask[place, part] = ROWS[i], 1
    pixels = torch.randn(2, 2, 3, 28, 28, generator=torch.Generator().manual_seed(2))[list(rows)]
    return {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels}


def with_state(inputs):
    return inputs | {"state": torch.linspace(-1, 1, 4).expand(len(inputs["input_ids"]), -1)}


def tiny_text_config(kind):
    skip_unless_here(kind)
    base = AutoConfig.for_model(kind)
    fixed = {name for name in SIZES if isinstance(getattr(type(base), name, None), property)}
    return AutoConfig.for_model(kind, **{n: v for n, v in SIZES.items() if hasattr(base, n) and n not in fixed})


def by_the_formula(block, states, tokens):
    """One sample, head by head: x + tanh(gate) * attention, then x + tanh(gate) * MLP."""
    heads, size = block.num_heads, WIDTH // block.num_heads
    query = block.q_proj(block.norm(states))
    key, value = block.keys_values.k_proj(tokens), block.keys_values.v_proj(tokens)
    mixed = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = query[:, part] @ key[:, part].T / size**0.5
        mixed.append(scores.softmax(dim=-1) @ value[:, part])
    states = states + torch.tanh(block.attn_gate) * block.o_proj(torch.cat(mixed, dim=-1))
    return states + torch.tanh(block.mlp_gate) * block.fc2(F.gelu(block.fc1(block.mlp_norm(states))))


class LookingLayers:
    """The layers of a language model, which look by the formula at tokens (tokens, hidden_size) while this is on."""

    def __init__(self, model, tokens):
        self.model, self.tokens, self.handles = model, tokens, []

    def __enter__(self):
        for number, layer in enumerate(self.model.backbone.stack.layers):
            place, rest = divmod(number, self.model.config.cross_layer_interval)
            if not rest:
                block = self.model.gated_layers.blocks[place]
                self.handles.append(layer.register_forward_pre_hook(self.looks(block), with_kwargs=True))

    def looks(self, block):
        def hook(layer, args, kwargs):
            states = args[0] if args else kwargs.pop("hidden_states")
            rows = torch.stack([by_the_formula(block, row, self.tokens) for row in states])
            return (rows, *args[1:]), kwargs

        return hook

    def __exit__(self, *error):
        for handle in self.handles:
            handle.remove()


def tokens_of(model, row):
    """Vision tokens of one sample alone, (tokens, hidden_size)."""
    inputs = batch(rows=[row])
    prompt = checked_prompt(model, inputs["input_ids"], None, inputs["pixel_values"], None)
    return vision_tokens(model.backbone, model.projector, prompt)[0][0]


# ---- the language model


def test_gates_that_a_checkpoint_does_not_have_are_closed():
    model = MultimodalVLAForActionPrediction(composed_config(**GATED))
    block = model.gated_layers.blocks[0]
    for gate in (block.attn_gate, block.mlp_gate):
        torch.nn.init.constant_(gate, 0.5)  # memory that nobody has written to
    model._init_weights(block)
    assert not block.attn_gate.any() and not block.mlp_gate.any()


@pytest.mark.parametrize("text", [LLAMA, GEMMA])
def test_with_closed_gates_the_text_is_that_of_the_language_model_bit_for_bit(text):
    torch.manual_seed(0)
    model = MultimodalVLAForActionPrediction(composed_config(**GATED | {"text_config": text})).eval()
    assert not any(gate.any() for block in model.gated_layers.blocks for gate in (block.attn_gate, block.mlp_gate))
    for side in ("right", "left"):
        inputs = batch(side)
        positions = (inputs["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
        text_only = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        wanted = model.backbone.language_model(**text_only, position_ids=positions, use_cache=False).logits
        found = model(**inputs, state=torch.zeros(2, 4)).logits
        real = inputs["attention_mask"].bool()
        assert torch.equal(found[real], wanted[real])
    wanted = model.backbone.language_model.generate(**text_only, **WRITE)
    assert torch.equal(model.generate(**inputs, **WRITE), wanted[:, text_only["input_ids"].shape[1] :])


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in COMMON else pytest.mark.slow) for kind in HAND_DOWN]
)
@pytest.mark.parametrize("interval", [1, 2])
def test_layers_look_at_the_images_of_their_sample_as_the_formula_says(gated, kind, interval):
    model = gated(text_config=tiny_text_config(kind), cross_layer_interval=interval, use_state=False)
    assert len(model.gated_layers.blocks) == (3 if interval == 1 else 2)
    for block in model.gated_layers.blocks:
        torch.nn.init.constant_(block.attn_gate, 0.7)
        torch.nn.init.constant_(block.mlp_gate, -0.4)
    own, written = [], []
    with torch.no_grad():
        for i, row in enumerate(ROWS):
            plain = model.backbone.stack(input_ids=row[None], use_cache=False).last_hidden_state[0]
            with LookingLayers(model, tokens_of(model, i)):
                own.append(model.backbone.stack(input_ids=row[None], use_cache=False).last_hidden_state[0])
                text = model.backbone.language_model.generate(row[None], attention_mask=row[None] * 0 + 1, **WRITE)
                written.append(text[:, len(row) :])
            assert (plain - own[i]).abs().max() > 1e-2
        for side in ("right", "left"):
            inputs = batch(side)
            prompt = checked_prompt(model, *inputs.values(), None)
            _, _, found = fuse(model.fusion_parts, model.config, prompt, None)
            for i in range(2):
                torch.testing.assert_close(found[i][prompt.real[i]], own[i], **CLOSE)
        for i in range(2):
            assert torch.equal(model.generate(**batch(rows=[i]), **WRITE), written[i])


def test_a_batch_writes_what_its_samples_write_singly_and_so_do_beams(gated):
    model = gated()
    for options in ({}, {"num_beams": 3}, {"num_beams": 2, "num_return_sequences": 2}):
        alone = [model.generate(**batch(rows=[i]), **WRITE | options) for i in range(2)]
        assert torch.equal(model.generate(**batch("left"), **WRITE | options), torch.cat(alone))
    pictures = batch("left")["pixel_values"].flip(0)
    other = model.generate(**batch("left") | {"pixel_values": pictures}, **WRITE)
    assert not torch.equal(other, model.generate(**batch("left"), **WRITE))


def test_text_without_pictures_is_that_of_the_language_model(gated):
    model = gated()
    inputs = {name: value for name, value in batch("left").items() if name != "pixel_values"}
    wanted = model.backbone.language_model.generate(**inputs, **WRITE)
    assert torch.equal(model.generate(**inputs, **WRITE), wanted[:, inputs["input_ids"].shape[1] :])


# ---- training


@pytest.mark.parametrize("frozen", [False, True])
def test_gradient_checkpointing_changes_neither_loss_nor_gradients_nor_text(gated, frozen):
    model, inputs = gated(freeze_language_model=frozen), with_state(batch())
    results = []
    for on in (False, True):
        if on:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.zero_grad()
        loss = model.train()(**inputs, actions=torch.zeros(2, 4, 3)).loss
        loss.backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        results.append((loss, gradients, model.generate(**batch("left"), **WRITE)))
    assert any(name.startswith("projector") for name in results[0][1])
    layer = model.train().backbone.stack.layers[0]  # it is checkpointed though what is inside does not train
    assert layer.training and layer.gradient_checkpointing and layer.mlp.training != frozen
    torch.testing.assert_close(results[0], results[1], **CLOSE)


def test_closed_gates_open_and_a_frozen_language_model_stays_as_it_is(gated):
    model = gated().train()
    for block in model.gated_layers.blocks:
        torch.nn.init.zeros_(block.attn_gate)
        torch.nn.init.zeros_(block.mlp_gate)
    frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    assert set(frozen) == {n for n, _ in model.named_parameters() if n.startswith("backbone.")}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    inputs, actions = with_state(batch()), torch.tensor([0.5, -0.5])[:, None, None].expand(-1, 4, 3)
    inputs["input_ids"], inputs["attention_mask"] = torch.full((2, 3), 9), torch.ones(2, 3, dtype=torch.long)
    losses = []  # the rows differ in their pictures alone
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(model(**inputs, actions=actions).loss)
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.25 * losses[0]
    assert all(block.attn_gate.any() and block.mlp_gate.any() for block in model.gated_layers.blocks)
    assert all(torch.equal(p, frozen[n]) for n, p in model.named_parameters() if n in frozen)


def test_a_lora_is_beside_blocks_that_train_whole_and_not_in_a_frozen_language_model(gated):
    with pytest.raises(InputError, match=r"nothing gets a LoRA.*freeze_language_model=False"):
        lora_config(gated())
    model, inputs = gated(freeze_language_model=False), with_state(batch())
    wrapped = get_peft_model(model, lora_config(model))
    before = model.predict_action(**inputs)
    wrapped(**inputs, actions=torch.zeros(2, 4, 3)).loss.backward()
    trained = {name: p for name, p in wrapped.named_parameters() if p.requires_grad}
    assert all(p.grad is not None for p in trained.values()) and any("language_model" in name for name in trained)
    with torch.no_grad():
        for name, p in trained.items():
            if "keys_values" in name:  # of the copies that PEFT trains
                p.add_(0.3)
    after = model.predict_action(**inputs)
    assert (after - before).abs().max() > 1e-2
    torch.testing.assert_close(wrapped.merge_and_unload().predict_action(**inputs), after, **CLOSE)


def test_a_checkpoint_keeps_gates_and_what_is_frozen(gated, tmp_path):
    model, inputs = gated(), with_state(batch())
    wanted = model.predict_action(**inputs)
    model.save_pretrained(tmp_path)
    loaded = MultimodalVLAForActionPrediction.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded.predict_action(**inputs), wanted, rtol=0, atol=0)
    assert torch.equal(loaded.generate(**batch("left"), **WRITE), model.generate(**batch("left"), **WRITE))
    frozen = {n for n, p in loaded.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, _ in loaded.named_parameters() if n.startswith("backbone.")}


# ---- refusals


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text_config": {"model_type": "gpt2"}}, "does not reach the layers of text_config.model_type='gpt2'"),
        ({"text_config": {"model_type": "jamba"}}, "text_config.model_type='jamba'; it does so with apertus"),
        ({"cross_layer_interval": 0}, "cross_layer_interval"),
        ({"num_resampler_heads": 5}, "num_resampler_heads=5 must divide the language model's width"),
    ],
)
def test_what_cannot_look_is_refused_by_name(fields, message):
    with pytest.raises(ConfigError, match=message):
        composed_config(**GATED | fields)


def test_a_vlm_is_refused():
    vlm = {"model_type": "llava", "vision_config": {**SIGLIP, "num_hidden_layers": 3}, "text_config": LLAMA}
    with pytest.raises(ConfigError, match="a language model that has not learnt to see; with vlm_config"):
        composed_config(fusion="gated_cross_attention", vlm_config=vlm)


@pytest.mark.parametrize("option", [{"use_cache": False}, {"cache_implementation": "static"}])
def test_text_that_would_be_written_without_seeing_is_refused(gated, option):
    model = gated()
    with pytest.raises(InputError, match=f"{next(iter(option))} cannot be chosen"):
        model.generate(**batch("left"), **WRITE, **option)
    assert model.generate(**batch("left"), **WRITE, use_cache=True).shape == (2, 4)
