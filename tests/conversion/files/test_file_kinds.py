"""Which files belong to a checkpoint, by names that transformers, publishers and we give them."""

import pytest
from huggingface_hub.utils import filter_repo_objects

from vlahub.conversion.files.file_kinds import (
    CARD,
    CODE,
    CONFIG,
    PICTURE,
    PROCESSOR,
    REPORT,
    STATISTICS,
    TOKENIZER,
    VIEWS,
    WEIGHTS,
    kind_of,
)
from vlahub.conversion.source_folder import PATTERNS, SETTINGS

NAMES = {
    WEIGHTS: "model.safetensors model-00001-of-00003.safetensors model.safetensors.index.json",
    CONFIG: "config.json generation_config.json",
    PROCESSOR: """processor_config.json preprocessor_config.json video_preprocessor_config.json
        image_preprocessor_config.json audio_preprocessor_config.json audio_tokenizer_config.json""",
    # Vocabularies: `vocab_files_names` of the tokenizers of transformers 4.57 and 5.
    TOKENIZER: """tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json chat_template.jinja
        chat_template.json grounding_tokenizer.json vocab.json vocab.txt vocab-src.json vocab_1.txt merges.txt
        dict.txt normalizer.json entity_vocab.json target_vocab.json emoji.json byte_maps.json word_shape.json
        word_pronunciation.json tokenizer.model spiece.model sentencepiece.bpe.model source.spm target.spm
        qwen.tiktoken bpe.codes tekken.json prophetnet.tokenizer""",
    CARD: "README.md LICENSE LICENSE.txt LICENCE NOTICE NOTICE.md COPYING USE_POLICY.md",
    PICTURE: "prediction.png example_view_0.png example_view_12.png",
    STATISTICS: "dataset_statistics.json",
    VIEWS: "view_names.json",
    REPORT: "conversion_report.json",
    CODE: "modeling_cogvla.py _private.py",
    None: """adapter_config.json adapter_model.safetensors optimizer.pt pytorch_model.bin trainer_state.json run.sh
        model.safetensors.bak model-1.safetensors.part evil.PY 1module.py .env data.json notes.txt view.png Makefile
        config.json.orig README.md.tmp example_view_.png LICENSED""",
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMES.items() for name in names.split()])
def test_a_name_is_of_a_kind(kind, name):
    assert kind_of(name) == kind


def test_of_a_run_weights_adapter_and_side_files_are_fetched():
    names = {"pytorch_model.bin", "action_head--10_checkpoint.pt", "lora_adapter/adapter_model.safetensors", "a.yaml"}
    names.add("lora_adapter/adapter_config.json")
    assert set(filter_repo_objects(names, allow_patterns=PATTERNS)) == names
    settings = {"a.yaml", "lora_adapter/adapter_config.json"}
    assert set(filter_repo_objects(names, allow_patterns=SETTINGS)) == settings


@pytest.mark.parametrize("kind", [kind for kind in NAMES if kind])
def test_what_travels_from_a_folder_is_fetched_of_a_repository(kind):
    names = set(NAMES[kind].split()) - {"prediction.png"}  # drawn anew, for other weights
    assert set(filter_repo_objects(names, allow_patterns=PATTERNS if kind == WEIGHTS else SETTINGS)) == names
