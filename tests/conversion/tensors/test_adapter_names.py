"""What PEFT calls the tensors of an adapter, taken apart: what was trained, and the base's copies beside it."""

import pytest

from vlahub.conversion.tensors.adapter_names import UNTRAINED, full_name, parse_adapter_key, plain_name


@pytest.mark.parametrize(
    ("key", "is_copy"),
    [
        ("lm_head.original_module.weight", True),
        ("embed_tokens.token_adapter.base_layer.weight", True),
        ("embed_tokens.token_adapter.trainable_tokens_original.default", True),
        ("embed_tokens.token_adapter.trainable_tokens_delta.default", False),
        ("lm_head.modules_to_save.default.weight", False),
        ("q_proj.base_layer.weight", False),
    ],
)
def test_copies_of_the_base_that_a_wrapped_module_keeps_are_told_from_what_was_trained(key, is_copy):
    assert bool(UNTRAINED.fullmatch(f"model.{key}")) == is_copy


def test_a_name_is_the_bases_whoever_wrapped_the_model():
    for wrappers in ("", "module.", "_orig_mod.", "module._orig_mod.", "_fsdp_wrapped_module.module."):
        assert full_name(f"{wrappers}base_model.model.x.lora_A.default.weight") == "x.lora_A.default.weight"
    assert plain_name("x.modules_to_save.default.weight") == plain_name("x.base_layer.weight") == "x.weight"
    found = parse_adapter_key("base_model.model.x.lora_B.mine.weight")
    assert (found.module, found.part) == ("x", "lora_B.default.weight")
    assert parse_adapter_key("x.weight") is None
