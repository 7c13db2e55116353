"""Keyword arguments that loaders of transformers pass along to everything that they load, on 4.57 and 5.x."""

# Where files come from, and what Auto classes and pipelines pass along.
OF_LOADING = frozenset(
    [
        "cache_dir",
        "code_revision",
        "commit_hash",
        "config",
        "device",
        "device_map",
        "dtype",
        "force_download",
        "local_files_only",
        "mirror",
        "proxies",
        "repo_type",
        "resume_download",
        "revision",
        "subfolder",
        "token",
        "torch_dtype",
        "trust_remote_code",
        "use_auth_token",
        "user_agent",
    ]
)
# Of tokenizers that are read from a tokenizer.json, with their special tokens.
OF_TOKENIZERS = frozenset(
    [
        "add_prefix_space",
        "additional_special_tokens",
        "backend",
        "bos_token",
        "chat_template",
        "clean_up_tokenization_spaces",
        "cls_token",
        "eos_token",
        "extra_special_tokens",
        "fix_mistral_regex",
        "from_slow",
        "gguf_file",
        "mask_token",
        "model_input_names",
        "model_max_length",
        "pad_token",
        "padding_side",
        "sep_token",
        "split_special_tokens",
        "tokenizer_file",
        "tokenizer_type",
        "truncation_side",
        "unk_token",
        "use_fast",
        "verbose",
        "vocab_file",
    ]
)
# Of models, which a pipeline's `model_kwargs` bring to the config and the processor, too.
OF_MODELS = frozenset(
    [
        "adapter_kwargs",
        "attn_implementation",
        "ignore_mismatched_sizes",
        "key_mapping",
        "low_cpu_mem_usage",
        "max_memory",
        "offload_buffers",
        "offload_folder",
        "offload_state_dict",
        "output_loading_info",
        "quantization_config",
        "state_dict",
        "tp_plan",
        "tp_size",
        "use_kernels",
        "use_safetensors",
        "variant",
        "weights_only",
    ]
)
