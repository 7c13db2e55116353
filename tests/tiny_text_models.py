"""Tiny language models of any kind of transformers, and weights with which a fault would be seen."""

import torch
from transformers import AutoConfig

BLOCK = {"intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
SPECIAL = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
# The names that models have for their sizes; a config gets those that it knows.
SIZES = {
    **{**BLOCK, "hidden_size": 32, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 300, **SPECIAL},
    **{"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "n_inner": 48, "max_position_embeddings": 64},
    **{"d_model": 32, "d_ff": 48, "dff": 48, "ffn_dim": 48, "num_layers": 2, "n_layers": 2, "n_heads": 2},
    **{"attention_heads": 2, "num_heads": 2, "num_kv_heads": 1, "word_embed_proj_dim": 32, "rotary_dim": 8},
    **{"max_seq_len": 64, "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2},
    **{"use_mamba_kernels": False, "mamba_d_ssm": 32, "mamba_n_heads": 2, "mamba_d_head": 16, "mamba_d_state": 8},
    "mamba_chunk_size": 8,
    **{"logits_scaling": 2.5, "lm_head_multiplier": 0.5},  # of which 1 is no sign that they are read
    **{"moe_intermediate_size": 24, "n_group": 1, "topk_group": 1, "state_size": 8, "conv_kernel": 4},
}


def tiny_text_config(kind):
    base = AutoConfig.for_model(kind)
    fixed = {name for name in SIZES if isinstance(getattr(type(base), name, None), property)}
    return AutoConfig.for_model(kind, **{n: v for n, v in SIZES.items() if hasattr(base, n) and n not in fixed})


def weights_that_matter(model):
    """Norms about one, embeddings of a usual size, and everything else small."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in name.lower() and parameter.dim() == 1 and name.endswith("weight")
            parameter.copy_(1 + 0.1 * values if is_norm else values * (0.5 if "emb" in name else 0.15))
    return model.eval()
