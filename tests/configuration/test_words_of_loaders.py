"""Words that transformers' loaders pass along pass everywhere, and those of one part's loader only where it loads."""

import pytest

import vlahub
from vlahub.configuration.known_fields import check_read
from vlahub.configuration.words_of_loaders import OF_LOADING, OF_MODELS, OF_TOKENIZERS
from vlahub.errors import ConfigError
from vlahub.processing.loading_words import check_loading_words

# As the `from_pretrained` of 4.57 and 5.x and their Auto classes document them.
LOADING = """cache_dir code_revision commit_hash config device device_map dtype force_download local_files_only
    mirror proxies repo_type resume_download revision subfolder token torch_dtype trust_remote_code use_auth_token
    user_agent"""
MODELS = """adapter_kwargs attn_implementation ignore_mismatched_sizes key_mapping low_cpu_mem_usage max_memory
    offload_buffers offload_folder offload_state_dict output_loading_info quantization_config state_dict tp_plan tp_size
    use_kernels use_safetensors variant weights_only"""
TOKENIZERS = """add_prefix_space additional_special_tokens backend bos_token chat_template clean_up_tokenization_spaces
    cls_token eos_token extra_special_tokens fix_mistral_regex from_slow gguf_file mask_token model_input_names
    model_max_length pad_token sep_token split_special_tokens tokenizer_file tokenizer_type truncation_side unk_token
    use_fast verbose vocab_file"""


class Images:
    arguments = ("size",)


@pytest.mark.parametrize("word", LOADING.split() + MODELS.split())
def test_a_word_of_loaders_and_models_passes_by_configs_and_processors(word):
    check_read(vlahub.CogVLAConfig, {word: None})
    check_loading_words(vlahub.CogVLAProcessor, Images(), {word: None})


@pytest.mark.parametrize("word", TOKENIZERS.split())
def test_a_word_of_tokenizers_passes_by_processors(word):
    check_loading_words(vlahub.CogVLAProcessor, Images(), {word: None})


def test_nothing_else_passes():
    assert set(OF_LOADING) == set(LOADING.split()) and set(OF_MODELS) == set(MODELS.split())
    assert set(OF_TOKENIZERS) == {*TOKENIZERS.split(), "padding_side"}
    with pytest.raises(ConfigError, match="from_pretrained has no argument revisions="):
        check_read(vlahub.CogVLAConfig, {"revisions": None})
    with pytest.raises(ConfigError, match="from_pretrained has no argument revisions="):
        check_loading_words(vlahub.CogVLAProcessor, Images(), {"revisions": None})
