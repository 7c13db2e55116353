"""Building a model from a caller's parts leaves no trace in them but what it needs, once."""

from transformers import LlamaConfig, LlamaForCausalLM

from vlahub import LLaVA3DWithActionExpertModel

SIZES = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 8}


def test_a_layer_that_several_models_share_is_tied_once():
    base = LlamaForCausalLM(LlamaConfig(**SIZES))
    models = [LLaVA3DWithActionExpertModel(base) for _ in range(3)]
    hooks = [len(layer._forward_hooks) for layer in base.model.layers]
    assert hooks == [0, 1] and len({id(model.base) for model in models}) == 1
