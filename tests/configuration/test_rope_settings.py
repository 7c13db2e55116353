"""Rotary settings as either line of transformers writes them make the same model on the line that runs."""

import pytest
import torch
import transformers
from tiny_text_models import SIZES, weights_that_matter
from transformers import AutoConfig, AutoModelForCausalLM

from vlahub.configuration import rope_settings
from vlahub.configuration.multimodal_vla.nested_configs import as_any_config
from vlahub.errors import ConfigError

LINEAR = {"rope_type": "linear", "factor": 8.0}
PLAIN = {"rope_type": "default"}


def layers(full, sliding):
    return {"rope_parameters": {"full_attention": full, "sliding_attention": sliding}}


# Of a model type: fields of 4.57, and those of 5.x.
FORMS = {
    "gemma3_text": (
        {"rope_theta": 3333.0, "rope_local_base_freq": 77.0, "rope_scaling": LINEAR},
        layers({"rope_theta": 3333.0, **LINEAR}, {"rope_theta": 77.0, **PLAIN}),
    ),
    "modernbert-decoder": (
        {"global_rope_theta": 3333.0, "local_rope_theta": 77.0},  # of which it computes with the former alone
        layers(*[{"rope_theta": 3333.0, **PLAIN}] * 2),
    ),
    "olmo3": (
        {"rope_theta": 77.0, "rope_scaling": LINEAR},
        layers({"rope_theta": 77.0, **LINEAR}, {"rope_theta": 77.0, **PLAIN}),
    ),
    "gpt_neox_japanese": (
        {"rotary_emb_base": 77, "rotary_pct": 0.5},
        {"rope_parameters": {"rope_theta": 77, "partial_rotary_factor": 0.5, **PLAIN}},
    ),
    "gpt_neox": (
        {"rotary_emb_base": 77, "rotary_pct": 0.5},
        {"rope_parameters": {"rope_theta": 77, "partial_rotary_factor": 0.5, **PLAIN}},
    ),
    "llama": (
        {"rope_theta": 77.0, "rope_scaling": LINEAR},
        {"rope_parameters": {"rope_theta": 77.0, **LINEAR}},
    ),
    "phi": (
        {"rope_theta": 77.0, "partial_rotary_factor": 0.25},
        {"rope_parameters": {"rope_theta": 77.0, "partial_rotary_factor": 0.25, **PLAIN}},
    ),
}


def logits_of(model_type, **rope):
    """What a tiny model of six layers, of both kinds where it has two, makes of forty tokens: (1, 40, vocabulary)."""
    base = AutoConfig.for_model(model_type)
    fixed = {name for name in SIZES if isinstance(getattr(type(base), name, None), property)}
    sizes = {name: value for name, value in SIZES.items() if hasattr(base, name) and name not in fixed}
    config = as_any_config("text_config", {"model_type": model_type, **sizes, "num_hidden_layers": 6, **rope})
    again = as_any_config("text_config", config.to_dict())  # as config.json has it
    model = weights_that_matter(AutoModelForCausalLM.from_config(again, dtype=torch.float32)).eval()
    ids = torch.randint(3, 250, (1, 40), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


IS_UPRIGHT = pytest.mark.skipif(
    (5, 5) <= rope_settings.RELEASE < (5, 18),
    reason="transformers 5.5 to 5.17 makes cosines of all dimensions of a GPT-NeoX Japanese, and raises",
)


@pytest.mark.newest
@pytest.mark.parametrize(
    "model_type", [pytest.param(t, marks=IS_UPRIGHT if t == "gpt_neox_japanese" else ()) for t in FORMS]
)
def test_either_form_makes_the_same_model(model_type):
    if model_type == "olmo3" and rope_settings.OLMO3_HAS_ONE:
        for form in FORMS[model_type]:
            with pytest.raises(ConfigError, match="5.13 or newer, or with 4.57".replace(".", r"\.")):
                logits_of(model_type, **form)
        return
    older, newer = (logits_of(model_type, **form) for form in FORMS[model_type])
    torch.testing.assert_close(older, newer, rtol=1e-4, atol=1e-4)
    assert (older - logits_of(model_type)).abs().max() > 1e-2


ONE = {"rope_theta": 77.0, **PLAIN}


@pytest.mark.newest
@pytest.mark.parametrize("form", [layers(ONE, ONE), {"rope_parameters": ONE}])
def test_one_frequency_of_all_layers_is_read_in_every_form(form):
    """That of 5.13, and of 5.0 to 5.12, beside that of 4.57."""
    found, other = logits_of("olmo3", **form), logits_of("olmo3", **layers(*[ONE | {"rope_theta": 3333.0}] * 2))
    torch.testing.assert_close(found, logits_of("olmo3", rope_theta=77.0))
    assert (found - other).abs().max() > 1e-2


@pytest.mark.newest
@pytest.mark.skipif(not transformers.__version__.startswith("5."), reason="4.57 has fields for them")
@pytest.mark.parametrize("kind", ["full_attention", "sliding_attention"])
def test_settings_that_differ_are_refused_where_an_olmo3_has_one(monkeypatch, kind):
    monkeypatch.setattr(rope_settings, "OLMO3_HAS_ONE", True)
    rope = {"full_attention": ONE, "sliding_attention": ONE} | {kind: ONE | LINEAR}
    with pytest.raises(ConfigError, match="5.13 or newer, or with 4.57".replace(".", r"\.")):
        as_any_config("text_config", {"model_type": "olmo3", "rope_parameters": rope})
    scaled = AutoConfig.for_model("olmo3")
    scaled.rope_parameters = ONE | LINEAR  # as these releases read what is published
    with pytest.raises(ConfigError, match="5.13 or newer, or with 4.57".replace(".", r"\.")):
        as_any_config("text_config", scaled)


# Fields of 4.57 that are made of those of 5.x; none of the latter is left beside them, which a change would not reach.
MADE = {
    **{name: FORMS[name][0] for name in ("gemma3_text", "olmo3", "llama")},
    "modernbert-decoder": {"global_rope_theta": 3333.0, "local_rope_theta": 3333.0, "rope_scaling": None},
    **{name: {**FORMS[name][0], "rope_scaling": None} for name in ("gpt_neox", "gpt_neox_japanese", "phi")},
}


@pytest.mark.parametrize("model_type", MADE)
def test_an_older_line_is_given_its_own_fields_alone(model_type, monkeypatch):
    monkeypatch.setattr(rope_settings, "READS_PARAMETERS", False)
    made, form = {"model_type": model_type, **MADE[model_type]}, {"model_type": model_type, **FORMS[model_type][1]}
    assert rope_settings.readable_rope(form) == made
    assert rope_settings.readable_rope({"vlm": {"text_config": form}}) == {"vlm": {"text_config": made}}
    assert rope_settings.readable_rope(made) == made


def test_a_type_is_given_where_a_model_cannot_be_built_without(monkeypatch):
    monkeypatch.setattr(rope_settings, "READS_PARAMETERS", False)
    for kind, scaling in (("mllama_text_model", PLAIN), ("llama", None)):
        found = rope_settings.readable_rope({"model_type": kind, "rope_parameters": {"rope_theta": 77.0, **PLAIN}})
        assert found == {"model_type": kind, "rope_theta": 77.0, "rope_scaling": scaling}


ROPE = {"rope_theta": 77.0, **PLAIN}
REFUSED = {
    "olmo3": layers(ROPE, {"rope_theta": 3333.0, **PLAIN}),
    "modernbert-decoder": layers(ROPE, {"rope_theta": 3333.0, **PLAIN}),
    "gemma3_text": layers(ROPE, {"rope_theta": 3333.0, **LINEAR}),
    "gemma3_text of no base": layers(PLAIN, ROPE),
    "gemma3_text that turns a part": layers({"partial_rotary_factor": 0.5, **ROPE}, ROPE),
    "llama": layers(ROPE, ROPE),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_an_older_line_has_no_fields_for_is_refused(case, monkeypatch):
    monkeypatch.setattr(rope_settings, "READS_PARAMETERS", False)
    kind = case.split()[0]
    with pytest.raises(
        ConfigError, match=f"of a {kind} cannot be expressed in transformers .*: load this with .* 5 or"
    ):
        as_any_config("text_config", {"model_type": kind, **REFUSED[case]})
