"""What attention kernels get in training and prediction: masks in bool whose every row sees a key, or none."""

import pytest
import torch

from vlahub.modeling.cogvla.action_sequence import right_padded
from vlahub.modeling.mapanything_llava3d.llava3d_with_action_expert import fitted

FUSED = "deep_fusion+dit"
CASES = {
    "cogvla": ("cogvla", {"action_head": "l1"}),
    "cogvla, diffusion": ("cogvla", {"action_head": "diffusion", "lfp_enable_film": False}),
    "deep fusion": ("mapanything_llava3d", {"action_expert_type": "deep_fusion", "labels": True}),
    "deep fusion, causal": (
        "mapanything_llava3d",
        {"action_expert_type": "deep_fusion", "prefix_attention": "causal"},
    ),
    "dit": ("mapanything_llava3d", {"action_expert_type": "dit"}),
    "both": ("mapanything_llava3d", {"action_expert_type": FUSED}),
    "composed": ("multimodal_vla", {"action_head": "flow", "fusion": "early"}),
    "resampled": ("multimodal_vla", {"action_head": "mlp", "fusion": "cross_attention"}),
    "paligemma": ("multimodal_vla", {"vlm": "paligemma", "action_head": "flow", "labels": True}),
    "alpamayo": ("alpamayo_r1", {"labels": True}),
}


def padded(arguments):
    """The arguments with padding at the end of the first row, where they have none, and of every row, as collators."""
    mask = arguments.get("attention_mask", torch.ones_like(arguments["input_ids"])).clone()
    if mask.all():
        mask[0, -2:] = 0
        return {**arguments, "attention_mask": mask}
    names = [name for name in ("input_ids", "labels") if name in arguments]
    real, *moved = right_padded(mask, *(arguments[name] for name in names))
    return {**arguments, "attention_mask": real.long(), **dict(zip(names, moved, strict=True))}


@pytest.fixture
def masks(monkeypatch):
    """The masks of all calls of torch's fused attention."""
    seen, attention = [], torch.nn.functional.scaled_dot_product_attention

    def watched(query, key, value, attn_mask=None, *args, **kwargs):
        seen.append(attn_mask)
        return attention(query, key, value, attn_mask, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    return seen


def allowed(mask):
    """A mask in bool; a prediction may make of it once what torch makes of it in each attention, or what models of 4.57
    add to scores."""
    if mask.dtype == torch.bool:
        return mask
    assert ((mask == 0) | (mask <= torch.finfo(mask.dtype).min)).all()
    return mask == 0


@pytest.mark.parametrize("name", CASES)
def test_fused_attention_gets_masks_in_bool_whose_every_row_sees_a_key(tiny, masks, name):
    family, fields = CASES[name]
    made = tiny(family, **fields)
    made.model(**padded(made.batch)).loss.backward()
    assert all(p.grad.isfinite().all() for p in made.model.parameters() if p.grad is not None)
    assert all(mask.dtype == torch.bool for mask in masks if mask is not None)
    if family != "alpamayo_r1":  # whose prompts are padded on the left, for which masks are transformers' own
        made.prompt = padded(made.prompt)
        made.actions()
    masks = [allowed(mask) for mask in masks if mask is not None]
    assert masks and all(mask.any(dim=-1).all() for mask in masks)
    assert any(not mask.all() for mask in masks)


@pytest.mark.parametrize("name", CASES)
def test_written_out_attention_gives_the_same_loss_and_gradients(tiny, name):
    family, fields = CASES[name]
    made = tiny(family, **fields)
    batch = padded(made.batch)

    def gradients():
        made.model.zero_grad()
        torch.manual_seed(0)
        loss = made.model(**batch).loss
        loss.backward()
        return loss.detach(), {n: p.grad.clone() for n, p in made.model.named_parameters() if p.grad is not None}

    for module in made.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    fused = gradients()
    for module in made.model.modules():
        if getattr(getattr(module, "config", None), "_attn_implementation", None):
            module.config._attn_implementation = "eager"
    torch.testing.assert_close(gradients(), fused, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("blocked", [float("-inf"), torch.finfo(torch.float32).min, -1e9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_callers_mask_hides_the_same_keys_in_every_dtype_and_has_no_empty_row(blocked, dtype):
    mask = torch.tensor([[0.0, blocked, -2.0], [blocked, blocked, blocked]])[None, None]
    found = fitted(mask, dtype)
    assert found.dtype == dtype and found.isfinite().all()
    assert found[0, 0, 0].tolist()[::2] == [0.0, -2.0] and found[0, 0, 0, 1] < -2e4
    assert found[0, 0, 1].tolist() == [0.0, 0.0, 0.0]
