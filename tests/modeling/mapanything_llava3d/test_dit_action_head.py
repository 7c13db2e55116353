"""The DiT action head: the published head's numbers, what it attends to, and what it refuses."""

from functools import partial

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from vlahub.configuration.mapanything_llava3d.configuration_dit_action_head import DiTActionHeadConfig
from vlahub.configuration.vla_errors import ConfigError, InputError
from vlahub.modeling.flow_matching import interpolate
from vlahub.modeling.mapanything_llava3d.dit_action_head import DiTActionHead

CASES = {
    "dit_action_head": ("cross", "adaln"),
    "dit_action_head_concat": ("concat", "adaln"),
    "dit_action_head_starvla": ("interleave", "none"),
}
CONTEXTS = ["interleave", "cross", "concat"]
BATCH, TOKENS, WIDTH, HORIZON, ACTION_DIM, STATE_DIM = 3, 6, 32, 4, 3, 5
TABLES = ("future_tokens.weight", "position_embedding.weight")
every_context = pytest.mark.parametrize("context", CONTEXTS)


# ---- the published numbers


def golden_config(case, context, output_projection, implementation):
    fields, sizes = case.config["action_model"], case.config["derived"]
    return DiTActionHeadConfig(
        hidden_size=case.config["vl_hidden_dim"],
        num_hidden_layers=sizes["dit_layers"],
        num_future_tokens=fields["num_target_vision_tokens"],
        output_dim=fields["diffusion_model_cfg"].get("output_dim"),
        context=context,
        output_projection=output_projection,
        attn_implementation=implementation,
        **{name: sizes[name] for name in ("num_attention_heads", "attention_head_dim", "mlp_hidden_dim")},
        **{name: fields[name] for name in ("action_dim", "action_horizon", "state_dim", "max_seq_len")},
        **{name: fields[name] for name in ("num_timestep_buckets", "num_inference_timesteps", "noise_s")},
    )


@pytest.fixture(params=[(name, how) for name in CASES for how in ("sdpa", "eager")], ids="-".join)
def published(request, golden):
    """A case, the head with its weights, and the arguments that every method takes of the VLM, mask apart."""
    name, implementation = request.param
    case = golden(name="llava3d/" + name)
    context, output_projection = CASES[name]
    head = DiTActionHead(golden_config(case, context, output_projection, implementation))
    state = case.state()
    if output_projection == "none":  # published, and read by nothing
        state = {key: value for key, value in state.items() if not key.startswith("model.proj_out_")}
    head.load_state_dict(state)
    layers = [case.input(f"vl_hidden_{i}") for i in range(head.config.num_hidden_layers)]
    return case, head.eval(), {"vl_embs_list": layers, "state": case.input("state") if head.state_encoder else None}


def test_published_losses_with_and_without_mask(published):
    case, head, vlm = published
    chunk = {name: case.input(key) for name, key in [("actions", "actions"), ("noise", "noise"), ("time", "t")]}
    case.check("loss_without_mask", head.compute_loss(**vlm, **chunk))
    mask = case.input("encoder_attention_mask")
    case.check("loss", head.compute_loss(**vlm, **chunk, encoder_attention_mask=mask))
    case.check("loss", head.compute_loss(**vlm, **chunk, encoder_attention_mask=mask.bool()))


def test_published_velocity_and_its_parts(published):
    case, head, vlm = published
    noisy = interpolate(case.input("actions"), case.input("noise"), 1 - case.input("t"))
    buckets = head.bucket(case.input("t"))
    case.check("t_discretized", buckets)
    case.check("timestep_embedding", head.model.timestep_encoder(buckets, torch.float32))
    case.check("action_features", head.action_encoder(noisy, buckets))
    mask = case.input("encoder_attention_mask")
    case.check(
        "velocity_in_loss", head.velocity(noisy_actions=noisy, buckets=buckets, encoder_attention_mask=mask, **vlm)
    )


def test_published_predictions_with_and_without_mask(published):
    case, head, vlm = published
    noise, mask = case.input("noise"), case.input("encoder_attention_mask")
    case.check("predicted_actions_without_mask", head.predict_action(**vlm, noise=noise))
    case.check("predicted_actions", head.predict_action(**vlm, noise=noise, encoder_attention_mask=mask))


# ---- tiny heads


def make_config(**fields):
    sizes = {
        "hidden_size": WIDTH,
        "num_hidden_layers": 3,
        "attention_head_dim": 8,
        "action_dim": ACTION_DIM,
        "action_horizon": HORIZON,
        "state_dim": STATE_DIM,
        "num_future_tokens": 2,
        "max_seq_len": 8,
        "mlp_hidden_dim": 24,
        "output_dim": 20,
        "dropout": 0.0,
    }
    return DiTActionHeadConfig(**{**sizes, **fields})


def make_head(**fields):
    """A head whose every part matters: weights that keep the size of what passes, embeddings as large as features."""
    torch.manual_seed(0)
    head = DiTActionHead(make_config(**fields)).eval()
    for name, weight in head.named_parameters():
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=0.5 if name in TABLES else weight.shape[1] ** -0.5)
    return head


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def vlm_inputs(layers=3, tokens=TOKENS, state=True):
    inputs = {"vl_embs_list": [random(BATCH, tokens, WIDTH, seed=i) for i in range(layers)]}
    return {**inputs, "state": random(BATCH, STATE_DIM, seed=20)} if state else inputs


def chunk_inputs():
    return {
        "actions": random(BATCH, HORIZON, ACTION_DIM, seed=10),
        "noise": random(BATCH, HORIZON, ACTION_DIM, seed=11),
        "time": torch.tensor([0.0, 0.3, 0.9]),
    }


NOISE = chunk_inputs()["noise"]
close = partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)


@every_context
def test_a_mask_is_leaving_out_what_it_hides(context):
    head, vlm = make_head(context=context), vlm_inputs()
    keep = torch.tensor([0, 2, 3])
    mask = torch.zeros(BATCH, TOKENS, dtype=torch.int64)
    mask[:, keep] = 1
    shorter = {**vlm, "vl_embs_list": [layer[:, keep] for layer in vlm["vl_embs_list"]]}
    close(
        head.predict_action(**vlm, noise=NOISE, encoder_attention_mask=mask),
        head.predict_action(**shorter, noise=NOISE),
    )
    masked = head.compute_loss(**vlm, **chunk_inputs(), encoder_attention_mask=mask)
    close(masked, head.compute_loss(**shorter, **chunk_inputs()))
    assert (masked - head.compute_loss(**vlm, **chunk_inputs())).abs() > 1e-4


@every_context
def test_a_sample_does_not_depend_on_its_batch(context):
    head, vlm = make_head(context=context), vlm_inputs()
    mask = torch.ones(BATCH, TOKENS)
    mask[1, 2:] = 0
    together = head.predict_action(**vlm, noise=NOISE, encoder_attention_mask=mask)
    alone = {"vl_embs_list": [layer[1:2, :2] for layer in vlm["vl_embs_list"]], "state": vlm["state"][1:2]}
    close(head.predict_action(**alone, noise=NOISE[1:2]), together[1:2])


@pytest.mark.parametrize("context", ["interleave", "concat"])
def test_state_and_future_tokens_influence_the_actions(context):
    head, vlm = make_head(context=context), vlm_inputs()
    actions = head.predict_action(**vlm, noise=NOISE)
    moved = head.predict_action(**{**vlm, "state": vlm["state"] + 1}, noise=NOISE)
    assert (moved - actions).abs().max() > 1e-4
    head.future_tokens.weight.data.add_(random(2, WIDTH))
    assert (head.predict_action(**vlm, noise=NOISE) - actions).abs().max() > 1e-4


def test_state_and_future_tokens_have_no_influence_where_every_block_reads_the_vlm_only():
    head, vlm = make_head(context="cross"), vlm_inputs()
    actions = head.predict_action(**vlm, noise=NOISE)
    head.future_tokens.weight.data.add_(random(2, WIDTH))
    close(head.predict_action(**{**vlm, "state": vlm["state"] + 1}, noise=NOISE), actions)


def test_interleaved_odd_blocks_do_not_look_at_the_vlm():
    head, vlm = make_head(context="interleave"), vlm_inputs()
    actions = head.predict_action(**vlm, noise=NOISE)
    for layer, reads in enumerate([True, False, True]):
        layers = list(vlm["vl_embs_list"])
        layers[layer] = layers[layer] + random(BATCH, TOKENS, WIDTH, seed=30)
        changed = head.predict_action(layers, vlm["state"], noise=NOISE)
        assert ((changed - actions).abs().max() > 1e-4) == reads


@every_context
def test_of_more_vlm_layers_the_top_most_are_read(context):
    head, vlm = make_head(context=context), vlm_inputs(layers=5)
    top = {**vlm, "vl_embs_list": vlm["vl_embs_list"][-3:]}
    assert torch.equal(head.predict_action(**vlm, noise=NOISE), head.predict_action(**top, noise=NOISE))


@every_context
def test_a_prediction_is_the_sum_of_its_velocities(context):
    """Keys and values made once give what blocks make anew in every step."""
    head, vlm = make_head(context=context), vlm_inputs()
    mask = torch.tensor([[1] * TOKENS, [1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0]])
    state = NOISE
    for bucket in (0, 333, 666):
        state = state + head.velocity(vlm["vl_embs_list"], state, torch.full((BATCH,), bucket), vlm["state"], mask) / 3
    close(head.predict_action(**vlm, noise=NOISE, encoder_attention_mask=mask, num_steps=3), state)


def test_action_features_from_elsewhere_take_the_encoders_place():
    head, vlm = make_head(), vlm_inputs()
    buckets = torch.tensor([0, 250, 999])
    features = head.action_encoder(NOISE, buckets)
    expected = head.velocity(noisy_actions=NOISE, buckets=buckets, **vlm)
    given = head.velocity(noisy_actions=0 * NOISE, buckets=buckets, **vlm, action_features=features)
    close(given, expected)
    other = head.velocity(noisy_actions=NOISE, buckets=buckets, **vlm, action_features=features.flip(1))
    assert (other - expected).abs().max() > 1e-4


def test_positions_tell_actions_apart_only_where_the_head_has_them():
    same = {"noise": torch.ones(BATCH, HORIZON, ACTION_DIM)}
    spread = [
        make_head(add_pos_embed=has).predict_action(**vlm_inputs(), **same).std(dim=1).max() for has in (True, False)
    ]
    assert spread[0] > 1e-4 and spread[1] < 1e-5


def test_the_state_may_have_a_time_axis():
    head, vlm = make_head(), vlm_inputs()
    with_axis = {**vlm, "state": vlm["state"][:, None]}
    assert torch.equal(head.predict_action(**vlm, noise=NOISE), head.predict_action(**with_axis, noise=NOISE))


# ---- training


@every_context
def test_training_brings_the_loss_down_and_predictions_to_the_actions(context):
    head = make_head(context=context).train()
    vlm, actions = vlm_inputs(), chunk_inputs()["actions"].repeat(16, 1, 1)  # 16 draws of noise and time a sample
    vlm = {"vl_embs_list": [x.repeat(16, 1, 1) for x in vlm["vl_embs_list"]], "state": vlm["state"].repeat(16, 1)}
    optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = head.compute_loss(**vlm, actions=actions)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.3 * sum(losses[:10])
    error = (head.eval().predict_action(**vlm, num_steps=10) - actions).square().mean()
    assert error < 0.2 * actions.square().mean()


def test_drawn_times_follow_the_published_distribution():
    """1 - b / s with b from Beta(1.5, 1), whose distribution function is b ** 1.5."""
    torch.manual_seed(0)
    time = make_head().sample_time(20000)
    assert time.dtype == torch.float32
    assert time.min() >= 0 and time.max() < 1
    for limit in (0.1, 0.5, 0.9):
        share = (time < limit).float().mean().item()
        assert abs(share - (1 - (0.999 * (1 - limit)) ** 1.5)) < 0.015


def test_drawn_times_stay_between_noise_and_actions():
    time = make_head(noise_beta_alpha=0.05, noise_beta_beta=0.05).sample_time(5000)
    assert time.min() == 0 and 0.999 < time.max() < 1
    assert make_head().bucket(time).max() == 999


def test_dropout_acts_in_training_only():
    head, arguments = make_head(dropout=0.5), {**vlm_inputs(), **chunk_inputs()}
    assert torch.equal(head.compute_loss(**arguments), head.compute_loss(**arguments))
    head.train()
    assert not torch.equal(head.compute_loss(**arguments), head.compute_loss(**arguments))


def test_a_block_drops_twice_behind_its_attention_and_twice_in_its_feed_forward(monkeypatch):
    block, kept = make_head(dropout=0.25, context="interleave").model.transformer_blocks[1], 0.75
    states, temb = random(BATCH, TOKENS, WIDTH), random(BATCH, WIDTH, seed=1)
    attended = states + kept**2 * block.attn1(block.norm1(states, temb))
    expand, _, contract, _ = block.ff.net
    wanted = attended + kept * contract(kept * expand(block.norm3(attended)))
    monkeypatch.setattr(
        torch.nn.functional, "dropout", lambda values, p, training, inplace: values * (1 - p) if training else values
    )
    torch.testing.assert_close(block.train()(states, temb), wanted)


@every_context
def test_gradient_checkpointing_changes_neither_loss_nor_gradients(context):
    def trained(checkpointing):
        head = make_head(context=context).train()
        for block in head.model.transformer_blocks:
            block.gradient_checkpointing = checkpointing
            block._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
        vlm = vlm_inputs()
        for layer in vlm["vl_embs_list"]:
            layer.requires_grad_()
        loss = head.compute_loss(**vlm, **chunk_inputs(), encoder_attention_mask=torch.ones(BATCH, TOKENS))
        loss.backward()
        gradients = [p.grad for p in head.parameters()] + [layer.grad for layer in vlm["vl_embs_list"]]
        return [loss, *(g for g in gradients if g is not None)]

    plain, checkpointed = trained(False), trained(True)
    assert len(plain) > 50
    for a, b in zip(plain, checkpointed, strict=True):
        assert torch.equal(a, b)


# ---- dtypes, devices, configuration


def test_bfloat16_weights_keep_the_flow_in_float32(monkeypatch):
    head = make_head().to(torch.bfloat16)
    seen = []
    forward = head.velocity_in
    monkeypatch.setattr(head, "velocity_in", lambda *args: (seen.append((args[1], forward(*args))), seen[-1][1])[1])
    actions = head.predict_action(**vlm_inputs(), noise=NOISE)
    assert actions.dtype == torch.float32
    assert {state.dtype for state, _ in seen} == {torch.float32}
    assert {velocity.dtype for _, velocity in seen} == {torch.bfloat16}
    exact = make_head().predict_action(**vlm_inputs(), noise=NOISE)
    torch.testing.assert_close(actions, exact, atol=0.05, rtol=0.05)
    loss = head.compute_loss(**vlm_inputs(), **chunk_inputs())
    assert loss.dtype == torch.float32


def test_vlm_states_and_robot_state_of_another_dtype_are_taken():
    head, vlm = make_head(), vlm_inputs()
    half = {"vl_embs_list": [layer.bfloat16() for layer in vlm["vl_embs_list"]], "state": vlm["state"].double()}
    rounded = {**vlm, "vl_embs_list": [layer.float() for layer in half["vl_embs_list"]]}
    assert torch.equal(head.predict_action(**half, noise=NOISE), head.predict_action(**rounded, noise=NOISE))


@pytest.mark.parametrize("output_projection", ["adaln", "none"])
def test_a_head_built_on_meta_and_filled_is_the_head(output_projection):
    fields = {"output_projection": output_projection, "output_dim": None}
    head = make_head(**fields)
    with torch.device("meta"):
        filled = DiTActionHead(make_config(**fields))
    filled.load_state_dict(head.state_dict(), assign=True)
    assert not list(filled.buffers())
    vlm = vlm_inputs()
    assert torch.equal(filled.eval().predict_action(**vlm, noise=NOISE), head.predict_action(**vlm, noise=NOISE))
    assert any(key.startswith("model.proj_out_") for key in head.state_dict()) == (output_projection == "adaln")


def test_the_configuration_survives_being_written(tmp_path):
    config = make_config(context="concat", noise_s=0.9)
    config.save_pretrained(tmp_path)
    read = DiTActionHeadConfig.from_pretrained(tmp_path)
    for field in ("context", "noise_s", "output_dim", "num_attention_heads", "state_dim", "num_future_tokens"):
        assert getattr(read, field) == getattr(config, field), field


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"context": "own"}, "^context='own' is unknown; choose from interleave, cross, concat, self"),
        ({"output_projection": None}, "^output_projection=None is unknown; choose from adaln, none"),
        ({"hidden_size": 0}, "^hidden_size=0 must be a positive whole number"),
        ({"action_dim": 7.0}, r"^action_dim=7\.0"),
        ({"state_dim": 0}, "^state_dim=0"),
        ({"num_inference_timesteps": True}, "^num_inference_steps=True"),
        ({"num_attention_heads": 3}, "^num_attention_heads=3 times attention_head_dim=8 is 24, not hidden_size=32"),
        ({"attention_head_dim": 64}, "^num_attention_heads=1 times attention_head_dim=64 is 64, not hidden_size=32"),
        ({"hidden_size": 15, "attention_head_dim": 15}, "^hidden_size=15 must be even"),
        ({"action_horizon": 9}, "^num_action_chunks=9 needs as many positions; max_seq_len=8"),
        ({"output_projection": "none"}, "^output_dim=20 belongs to output_projection='adaln'"),
        ({"noise_beta_beta": 0}, "^noise_beta_beta=0 must be above 0"),
        ({"noise_s": 1.5}, r"^noise_s=1\.5 must be at most 1"),
        ({"dropout": 1.0}, r"^dropout=1\.0 must lie in \[0, 1\)"),
    ],
)
def test_fields_that_cannot_work_are_refused_by_name(fields, message):
    with pytest.raises(ConfigError, match=message):
        make_config(**fields)


# ---- inputs


LAYERS = vlm_inputs()["vl_embs_list"]


@pytest.mark.parametrize(
    "inputs, message",
    [
        ({"vl_embs_list": LAYERS[:2]}, "^vl_embs_list has 2 layers, the head has 3 blocks"),
        (
            {"vl_embs_list": [*LAYERS[:2], LAYERS[2][:, :4]]},
            r"^vl_embs_list\[-1\] has the shape \(3, 4, 32\).*\(3, 6, 32\)",
        ),
        ({"vl_embs_list": [x[..., :8] for x in LAYERS]}, r"^vl_embs_list\[-3\] has the shape \(3, 6, 8\)"),
        ({"state": None}, "^state is missing, state_dim of the head is 5: pass the state"),
        ({"state": torch.zeros(BATCH, 4)}, r"^state has the shape \(3, 1, 4\); the head needs \(3, 1, 5\)"),
        ({"state": torch.zeros(BATCH, 2, 5)}, r"^state has the shape \(3, 2, 5\)"),
        ({"encoder_attention_mask": torch.ones(BATCH, 5)}, r"^encoder_attention_mask has the shape \(3, 5\)"),
        ({"noise": torch.zeros(BATCH, 5, 3)}, r"^noise has the shape \(3, 5, 3\); the head needs \(3, 4, 3\)"),
    ],
)
def test_inputs_of_another_shape_are_refused_by_name(inputs, message):
    head, inputs = make_head(), {**vlm_inputs(), **inputs}
    with pytest.raises(InputError, match=message):
        head.predict_action(**inputs)
    with pytest.raises(InputError, match=message):
        head.compute_loss(**{**chunk_inputs(), **inputs})


@pytest.mark.parametrize(
    "inputs, message",
    [
        ({"actions": torch.zeros(BATCH, HORIZON, 2)}, r"^actions has the shape \(3, 4, 2\)"),
        ({"time": torch.zeros(BATCH, 1)}, r"^time has the shape \(3, 1\); the head needs \(3,\)"),
    ],
)
def test_training_inputs_of_another_shape_are_refused_by_name(inputs, message):
    with pytest.raises(InputError, match=message):
        make_head().compute_loss(**{**vlm_inputs(), **chunk_inputs(), **inputs})


def test_velocity_refuses_features_and_times_of_another_shape():
    head, vlm, buckets = make_head(), vlm_inputs(), torch.zeros(BATCH, dtype=torch.int64)
    with pytest.raises(InputError, match=r"^action_features has the shape \(3, 4, 16\)"):
        head.velocity(noisy_actions=NOISE, buckets=buckets, **vlm, action_features=torch.zeros(BATCH, HORIZON, 16))
    with pytest.raises(InputError, match=r"^buckets has the shape \(1,\)"):
        head.velocity(noisy_actions=NOISE, buckets=buckets[:1], **vlm)
    with pytest.raises(InputError, match=r"^noisy_actions has the shape \(3, 3, 3\)"):
        head.velocity(noisy_actions=NOISE[:, 1:], buckets=buckets, **vlm)


def test_a_state_for_a_head_without_one_and_no_steps_are_refused():
    with pytest.raises(InputError, match=r"^state is given, state_dim of the head is None: leave out the state"):
        make_head(state_dim=None).predict_action(**vlm_inputs())
    for name in ("num_steps", "num_inference_steps"):
        with pytest.raises(InputError, match=rf"^{name}=0 must be a whole number above 0"):
            make_head().predict_action(**vlm_inputs(), **{name: 0})
