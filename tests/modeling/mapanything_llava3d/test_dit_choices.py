"""What a DiT head can be beside the published ones: guided, of its own attention only, of several embodiments."""

import pytest
import torch
from torch import nn

import vlahub
from vlahub import DiTActionHead, DiTActionHeadConfig
from vlahub.errors import ConfigError, InputError
from vlahub.modeling.embodiments import EmbodimentLinear

LAYERS, TOKENS, BATCH = 2, 5, 3
SIZES = {
    "hidden_size": 16,
    "attention_head_dim": 8,
    "num_hidden_layers": LAYERS,
    "action_dim": 3,
    "num_action_chunks": 4,
    "state_dim": 6,
    "num_future_tokens": 2,
    "mlp_hidden_dim": 24,
    "max_seq_len": 8,
    "dropout": 0.0,
    "vl_hidden_size": 12,
    "num_inference_steps": 3,
}
CONTEXTS = ["interleave", "cross", "concat", "self"]
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture
def make(randomized):
    """`make(**fields)` -> a head in evaluation mode and its inputs."""

    def build(**fields):
        head = randomized(DiTActionHead(DiTActionHeadConfig(**SIZES | fields))).eval()
        random = torch.Generator().manual_seed(3)
        inputs = {
            "vl_embs_list": [torch.randn(BATCH, TOKENS, 12, generator=random) for _ in range(LAYERS)],
            "state": torch.randn(BATCH, 6, generator=random),
            "encoder_attention_mask": torch.tensor([[1] * 5, [1, 1, 1, 0, 0], [0, 1, 1, 1, 1]]),
        }
        return head, inputs, torch.randn(BATCH, 4, 3, generator=random)

    return build


# ---- guidance


def null_inputs(inputs):
    """What a head without a condition would be shown: one token of zeros in the width of the blocks."""
    rows = len(inputs["state"])
    return {"vl_embs_list": [torch.zeros(rows, 1, 12)] * LAYERS, "state": inputs["state"]}


@pytest.mark.parametrize("context", CONTEXTS)
def test_guidance_is_the_formula_over_two_plain_passes_in_one_batch(make, context):
    head, inputs, noise = make(context=context, condition_dropout=0.2)
    head.vl_projector.bias.data.zero_()  # so that zeros before it are the null condition behind it
    rows = []
    head.model.register_forward_hook(lambda _, given, __: rows.append(len(given[0])))
    plain = head.predict_action(**inputs, noise=noise)
    assert rows == [BATCH] * 3
    assert torch.equal(head.predict_action(**inputs, noise=noise, guidance_scale=1.0), plain) and rows == [BATCH] * 6
    for scale in (0.0, 2.5):
        x = noise
        with torch.no_grad():
            for step in range(3):
                buckets = torch.full((BATCH,), int(step / 3 * 1000))
                conditional = head.velocity(noisy_actions=x, buckets=buckets, **inputs)
                null = head.velocity(noisy_actions=x, buckets=buckets, **null_inputs(inputs))
                x = x + (null + scale * (conditional - null)) / 3
        rows.clear()
        found = head.predict_action(**inputs, noise=noise, guidance_scale=scale)
        torch.testing.assert_close(found, x, **CLOSE)
        assert rows == [2 * BATCH] * 3
        assert (found - plain).abs().max() > 1e-3
        several = head.predict_action(**inputs, noise=noise[:, None].repeat(1, 2, 1, 1), num_samples=2,
                                      guidance_scale=scale)  # fmt: skip
        torch.testing.assert_close(several, found[:, None].expand(-1, 2, -1, -1), **CLOSE)


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("context", CONTEXTS)
def test_samples_are_those_of_each_noise_alone_and_cross_attention_has_their_keys_once(make, context, scale):
    head, inputs, noise = make(context=context, condition_dropout=0.2)
    noise = torch.stack([noise, -noise, noise + 1], dim=1)
    keys = []
    for block in head.model.transformer_blocks:
        block.register_forward_pre_hook(lambda _, given: keys.append([len(x) for x in given[4:] if x is not None]))
    found = head.predict_action(**inputs, noise=noise, num_samples=3, guidance_scale=scale)
    rows = BATCH * (1 if scale == 1 else 2) * (3 if context == "concat" else 1)
    assert {size for sizes in keys for size in sizes} == (set() if context == "self" else {rows})
    single = [head.predict_action(**inputs, noise=each, guidance_scale=scale) for each in noise.unbind(1)]
    torch.testing.assert_close(found, torch.stack(single, dim=1), **CLOSE)


def test_the_share_of_samples_that_is_asked_for_sees_the_null_condition_in_training_alone(make):
    head, inputs, actions = make(condition_dropout=0.3)
    known = {"actions": actions, "time": torch.tensor([0.2, 0.5, 0.8]), "noise": actions.flip(0)}
    plain = head.compute_loss(**inputs, **known)
    assert head.compute_loss(**inputs, **known) == plain  # in evaluation nothing is dropped
    dropped = torch.tensor([False, True, False])
    one = head.compute_loss(**inputs, **known, dropped=dropped)
    others = inputs | {"vl_embs_list": [each.clone() for each in inputs["vl_embs_list"]]}
    for each in others["vl_embs_list"]:
        each[1] += 1
    assert head.compute_loss(**others, **known, dropped=dropped) == one != plain
    head.train()
    counted = []
    prepare = head.prepare_context
    head.prepare_context = lambda *args, **kwargs: counted.append(kwargs["dropped"]) or prepare(*args, **kwargs)
    torch.manual_seed(0)
    for _ in range(300):
        head.compute_loss(**inputs, **known)
    assert torch.stack(counted).float().mean(dim=0).tolist() == pytest.approx([0.3] * 3, abs=0.08)


def test_a_head_that_was_not_trained_for_it_refuses_guidance(make, llava3d):
    head, inputs, noise = make()
    with pytest.raises(
        InputError, match=r"guidance_scale=2\.0 needs a head that knows the null condition.*condition_dr"
    ):
        head.predict_action(**inputs, noise=noise, guidance_scale=2.0)
    head, inputs, noise = make(condition_dropout=0.1)
    for scale in (-1.0, float("nan"), "3"):
        with pytest.raises(InputError, match=r"guidance_scale=.*must be a number of 0 or more"):
            head.predict_action(**inputs, noise=noise, guidance_scale=scale)
    with pytest.raises(ConfigError, match="guidance_scale=3 needs condition_dropout above 0"):
        DiTActionHeadConfig(guidance_scale=3)
    with pytest.raises(ConfigError, match=r"condition_dropout=1\.0 must lie in"):
        DiTActionHeadConfig(condition_dropout=1.0)
    with pytest.raises(ConfigError, match=r"condition_dropout=0\.1 is for a DiT head alone"):
        llava3d(action_expert_type="deep_fusion+dit", dit_config={"condition_dropout": 0.1})
    model, batch = llava3d(norm_stats={"a": {"action": {"q01": [-1.0] * 7, "q99": [1.0] * 7}}})
    with pytest.raises(InputError, match=r"guidance_scale=2\.0 was given, but only a DiT head alone can be guided"):
        model.predict_action(batch["input_ids"], batch["pixel_values"], guidance_scale=2.0)


def test_a_model_is_guided_as_its_config_says_or_the_call(llava3d, tmp_path):
    statistics = {"a": {"action": {"q01": [-1.0] * 7, "q99": [1.0] * 7}}}
    fields = {"action_expert_type": "dit", "dit_config": {"condition_dropout": 0.1, "guidance_scale": 2.0}}
    model, batch = llava3d(norm_stats=statistics, **fields)
    inputs = {"input_ids": batch["input_ids"], "pixel_values": batch["pixel_values"], "noise": torch.randn(2, 4, 7)}
    guided, plain = model.predict_action(**inputs), model.predict_action(**inputs, guidance_scale=1.0)
    assert (guided - plain).abs().max() > 0
    assert torch.equal(model.predict_action(**inputs, guidance_scale=2.0), guided)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path, dtype=torch.float32)
    assert torch.equal(again.predict_action(**inputs), guided)
    again.config.dit_config.guidance_scale = 1.0  # a loaded model can be told otherwise, and go on learning otherwise
    assert torch.equal(again.predict_action(**inputs), plain)
    again.config.dit_config.condition_dropout = 0.0
    with pytest.raises(InputError, match="guidance_scale=2 needs a head that knows the null condition"):
        again.predict_action(**inputs, guidance_scale=2)


@pytest.mark.slow
def test_a_guided_prediction_of_several_embodiments_is_one_graph(llava3d):
    statistics = {"a": {"action": {"q01": [-1.0] * 7, "q99": [1.0] * 7}}}
    dit = {"condition_dropout": 0.1, "guidance_scale": 2.0, "context": "self"}
    fields = {"action_expert_type": "dit", "dit_config": dit, "num_embodiments": 2, "num_inference_steps": 2}
    model, batch = llava3d(norm_stats=statistics, **fields)
    inputs = {"input_ids": batch["input_ids"], "pixel_values": batch["pixel_values"], "noise": torch.randn(2, 4, 7)}
    inputs["embodiment_id"] = torch.tensor([1, 0])
    plain = model.predict_action(**inputs)
    torch._dynamo.reset()
    found = torch.compile(model.predict_action, backend="eager", fullgraph=True)(**inputs)
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-4)
    torch._dynamo.reset()


# ---- own attention only


def test_a_head_of_its_own_attention_reads_the_last_layer_alone_and_no_padding(make):
    head, inputs, noise = make(context="self", num_hidden_layers=4)
    found = head.predict_action(**inputs, noise=noise)
    layers = [each.clone() for each in inputs["vl_embs_list"]]
    layers[0] += 1
    layers[1][1, 3:] += 1  # padding
    assert torch.equal(head.predict_action(**inputs | {"vl_embs_list": layers}, noise=noise), found)
    layers[1][1, 0] += 1
    changed = head.predict_action(**inputs | {"vl_embs_list": layers}, noise=noise)
    assert (changed - found).abs().amax(dim=(1, 2)).gt(1e-4).tolist() == [False, True, False]
    single = [
        {name: value[i : i + 1] for name, value in inputs.items() if name != "vl_embs_list"} for i in range(BATCH)
    ]
    for i, rest in enumerate(single):
        one = [layer[i : i + 1] for layer in inputs["vl_embs_list"]]
        torch.testing.assert_close(head.predict_action(one, **rest, noise=noise[i : i + 1]), found[i : i + 1], **CLOSE)


def test_its_blocks_are_those_of_a_plain_transformer_over_one_sequence(make):
    """Against torch's own attention, block by block."""
    head, inputs, noise = make(context="self")
    del inputs["encoder_attention_mask"]
    buckets = torch.tensor([0, 300, 999])
    found = head.velocity(noisy_actions=noise, buckets=buckets, **inputs)
    with torch.no_grad():
        actions = head.action_encoder(noise, buckets) + head.position_embedding.weight[:4]
        parts = [head.vl_projector(inputs["vl_embs_list"][-1]), head.state_encoder(inputs["state"][:, None])]
        x = torch.cat([*parts, head.future_tokens.weight.expand(BATCH, -1, -1), actions], dim=1)
        temb = head.model.timestep_encoder(buckets, x.dtype)
        for block in head.model.transformer_blocks:
            attention, normed = block.attn1, block.norm1(x, temb)
            reference = nn.MultiheadAttention(16, 2, batch_first=True)
            rows = attention.to_q, attention.to_k, attention.to_v
            reference.in_proj_weight.data = torch.cat([each.weight for each in rows])
            reference.in_proj_bias.data = torch.cat([each.bias for each in rows])
            reference.out_proj.weight.data, reference.out_proj.bias.data = (
                attention.to_out[0].weight.data,
                attention.to_out[0].bias.data,
            )
            x = x + reference(normed, normed, normed)[0]
            x = x + block.ff(block.norm3(x))
        shift, scale = head.model.proj_out_1(nn.functional.silu(temb))[:, None].chunk(2, dim=-1)
        x = head.model.proj_out_2(head.model.norm_out(x) * (1 + scale) + shift)
    torch.testing.assert_close(found, head.action_decoder(x[:, -4:]), **CLOSE)


@pytest.mark.parametrize("kind", ["dit", "deep_fusion+dit"])
def test_a_model_with_such_a_head_learns_and_may_be_deeper_than_its_base(llava3d, kind, tmp_path):
    statistics = {"a": {"action": {"q01": [-1.0] * 7, "q99": [1.0] * 7}}}
    fields = {"action_expert_type": kind, "dit_config": {"context": "self", "num_hidden_layers": 5}}
    model, batch = llava3d(norm_stats=statistics, **fields)
    assert model.config.actions_read == "states"
    model(**batch).loss.backward()
    lacking = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max()}
    assert not {name for name in lacking if name.startswith(("dit_", "vision_tower", "language_model.model.model"))}
    inputs = {"input_ids": batch["input_ids"], "pixel_values": batch["pixel_values"], "noise": torch.randn(2, 4, 7)}
    found = model.eval().predict_action(**inputs)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert torch.equal(again.predict_action(**inputs), found)


# ---- embodiments

IDS = torch.tensor([2, 0, 1])


def single(head, index):
    """The head of one embodiment, with plain layers."""
    plain = DiTActionHead(DiTActionHeadConfig(**SIZES)).eval()
    state = head.state_dict()
    for name, module in head.named_modules():
        if isinstance(module, EmbodimentLinear):
            for part in ("weight", "bias"):
                state[f"{name}.{part}"] = state[f"{name}.{part}"][index]
    plain.load_state_dict(state)
    return plain


def test_each_embodiment_has_its_own_encoders_and_decoder(make):
    head, inputs, noise = make(num_embodiments=3)
    many = [name for name, module in head.named_modules() if isinstance(module, EmbodimentLinear)]
    assert {name.split(".")[0] for name in many} == {"state_encoder", "action_encoder", "action_decoder"}
    found = head.predict_action(**inputs, noise=noise, embodiment_id=IDS)
    several = head.predict_action(**inputs, embodiment_id=IDS, noise=noise[:, None].repeat(1, 2, 1, 1), num_samples=2)
    torch.testing.assert_close(several[:, 1], found, **CLOSE)
    for row, index in enumerate(IDS.tolist()):
        own = single(head, index).predict_action(**inputs, noise=noise)[row]
        torch.testing.assert_close(found[row], own, **CLOSE)


@pytest.mark.parametrize("kind", ["deep_fusion", "dit", "deep_fusion+dit"])
def test_an_embodiment_learns_by_its_own_examples(llava3d, kind, tmp_path):
    statistics = {"a": {"action": {"q01": [-1.0] * 7, "q99": [1.0] * 7}, "state": {"q01": [0.0] * 5, "q99": [1.0] * 5}}}
    robot = {"norm_stats": statistics, "use_state": True, "state_dim": 5}
    model, batch = llava3d(action_expert_type=kind, num_embodiments=3, **robot)
    batch |= {"state": torch.rand(2, 5), "embodiment_id": torch.tensor([2, 0])}
    model(**batch).loss.backward()
    layers = [module for module in model.modules() if isinstance(module, EmbodimentLinear)]
    assert layers
    for layer in layers:
        assert layer.weight.grad.abs().amax(dim=(1, 2)).gt(0).tolist() == [True, False, True]
    inputs = {name: batch[name] for name in ("input_ids", "pixel_values", "state", "embodiment_id")}
    inputs["noise"] = torch.randn(2, 4, 7)
    found = model.predict_action(**inputs)
    other = model.predict_action(**inputs | {"embodiment_id": torch.tensor([1, 0])})
    assert (found - other).abs().amax(dim=(1, 2)).gt(0).tolist() == [True, False]
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path, dtype=torch.float32)
    assert torch.equal(again.predict_action(**inputs), found)
    for ids, message in (
        (None, r"embodiment_id is missing: this model has 3 embodiments; pass \(batch,\) ids from 0 to 2"),
        (torch.tensor([0, 3]), r"embodiment_id\[1\] is 3; the model has embodiments 0 to 2"),
        (torch.tensor([-1, 0]), r"embodiment_id\[0\] is -1"),
        (torch.tensor([0]), r"embodiment_id is torch\.int64 of shape \(1,\)"),
        (torch.tensor([0.0, 1.0]), r"embodiment_id is torch\.float32"),
        ([0, 1], r"embodiment_id is \[0, 1\]; a tensor of whole numbers"),
    ):
        for call, given in ((model.predict_action, inputs), (model, batch)):
            with pytest.raises(InputError, match=message):
                call(**given | {"embodiment_id": ids})


def test_one_embodiment_is_the_model_that_there_was(llava3d):
    model, batch = llava3d()
    assert not any(isinstance(module, EmbodimentLinear) for module in model.modules())
    with pytest.raises(InputError, match="embodiment_id was given, but this model has one embodiment"):
        model(**batch, embodiment_id=torch.zeros(2, dtype=torch.long))
    for count in (0, 1.5):
        with pytest.raises(ConfigError, match=f"num_embodiments={count} must be a positive whole number"):
            vlahub.MapAnythingLlava3DConfig(num_embodiments=count)
    with pytest.raises(ConfigError, match="num_embodiments=2 is of action experts; action_expert_type is None"):
        vlahub.MapAnythingLlava3DConfig(num_embodiments=2, action_expert_type=None)
    with pytest.raises(ConfigError, match=r"dit_config\.num_embodiments=4 must be 2"):
        vlahub.MapAnythingLlava3DConfig(num_embodiments=2, action_expert_type="dit", dit_config={"num_embodiments": 4})
