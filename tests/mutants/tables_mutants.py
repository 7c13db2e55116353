"""What is written of models, loaders and options in tables, and how a VLM is prepared by it."""

from .planted import planted

MUTANTS = [
    *planted(
        "processing/multimodal_vla/vlm_defaults.py",
        "tests/processing/multimodal_vla/test_vlm_defaults.py",
        (
            "pictures-wider-than-high",
            'return {"height": height, "width": width}',
            'return {"height": width, "width": height}',
            "pictures_have_a_height_and_then_a_width",
        ),
        (
            "tokens-of-a-tile-by-the-plain-factor",
            "side**2 // vlm.scale_factor**2",
            "side**2 // vlm.scale_factor",
            "a_vlms_processor_is_made_as_its_config_says",
        ),
        (
            "cohere-tiles-without-downsampling",
            "// vlm.vision_config.patch_size // vlm.downsample_factor",
            "// vlm.vision_config.patch_size",
            "a_vlms_processor_is_made_as_its_config_says",
        ),
        (
            "deepseek-in-the-pixels-of-others",
            '**CLIP},\n        "User: ',
            '**HALF},\n        "User: ',
            "a_vlms_processor_is_made_as_its_config_says",
        ),
        (
            "gemma-without-the-begin-of-its-images",
            'placeholder="boi_token",',
            'placeholder="image_token",',
            "a_vlms_prompt_is_the_published_one",
        ),
        (
            "a-class-token-of-any-tower",
            'int(vlm.vision_config.model_type.startswith("clip"))',
            "1",
            "a_tower_without_a_class_token_adds_none",
        ),
        (
            "januss-number-for-all",
            'return {} if found["num_image_tokens"] == JANUS_TOKENS else found',
            "return {}",
            "a_vlms_processor_is_made_as_its_config_says",
        ),
        (
            "pixtral-by-anothers-processor",
            '== "pixtral":',
            '== "none":',
            "whatever_sees_with_pixtral_is_prepared_as_pixtral",
        ),
        (
            "an-image-token-by-one-name",
            'return getattr(vlm_config, "image_token_index", None) if index is None else index',
            "return index",
            "an_image_token_goes_by_either_of_its_names",
        ),
    ),
    *planted(
        "processing/multimodal_vla/image_processing_vlm.py",
        "tests/processing/multimodal_vla/test_image_processing_vlm.py",
        (
            "settings-of-the-caller",
            "copy.deepcopy(dict(image_settings or {}))",
            "image_settings or {}",
            "settings_are_not_the_callers",
        ),
        (
            "what-a-processor-has-wins",
            "return cls(**{**settings, **overrides})",
            "return cls(**{**overrides, **settings})",
            "what_is_given_wins_over_what_a_processor_has_and_the_rest_stays",
        ),
        (
            "the-smallest-picture-is-the-largest",
            '{"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}',
            '{"min_pixels": "longest_edge", "max_pixels": "shortest_edge"}',
            "numbers_of_pixels_reach_an_image_processor_that_does_not_read_sizes",
        ),
        (
            "a-vlms-own-settings-are-lost",
            "own = made(kind, parts | portable_settings(settings, kind))",
            "own = made(kind, parts)",
            "a_vlms_processor_is_read_as_its_files_have_it",
        ),
        (
            "a-vlms-own-template-is-lost",
            '    own.chat_template = settings.get("chat_template")\n',
            "",
            "a_vlms_processor_is_read_as_its_files_have_it",
        ),
    ),
    *planted(
        "processing/multimodal_vla/own_classes_of_vlms.py",
        "tests/processing/multimodal_vla/test_image_processing_vlm.py",
        (
            "torchvision-is-taken-unasked",
            "for each in (tensors, plain) if use_torchvision else (plain, tensors):",
            "for each in (tensors, plain):",
            "of_two_image_processors_the_one_asked_for_is_taken_where_it_can_be_used",
        ),
        (
            "a-class-that-cannot-be-used-is-taken",
            "        if not missing:\n            return found",
            "        return found",
            "of_two_image_processors_the_one_asked_for_is_taken_where_it_can_be_used",
        ),
        (
            "the-last-cause-is-told",
            "    while error.__cause__ is not None:\n        error = error.__cause__\n",
            "",
            "the_reason_of_an_error_is_the_first_sentence_of_what_it_began_with",
        ),
    ),
    *planted(
        "processing/multimodal_vla/prompt_form.py",
        "tests/processing/multimodal_vla/test_prompt_form.py",
        (
            "the-image-token-of-a-vlms-processor-is-asked-for",
            "if not image_processor.makes_prompts and self.image_token not in tokenizer.get_vocab():",
            "if self.image_token not in tokenizer.get_vocab():",
            "what_the_image_processor_does_is_not_asked_of_the_form",
        ),
        (
            "one-image-token-a-view",
            "self.image_token * count) for",
            "self.image_token) for",
            "each_view_has_its_tokens_in_its_format",
        ),
    ),
    *planted(
        "processing/multimodal_vla/prompt_tokenizer.py",
        "tests/processing/multimodal_vla/test_prompt_form.py",
        (
            "the-first-samples-texts-for-all",
            "self.prompts[int(others[0])]",
            "self.prompts[0]",
            "the_texts_of_each_sample_take_their_places",
        ),
        (
            "a-sample-does-not-say-who-begins-it",
            "parts.add_special_tokens and add_special_tokens",
            "add_special_tokens",
            "the_texts_of_each_sample_take_their_places",
        ),
    ),
    *planted(
        "processing/multimodal_vla/prepared_by_vlm.py",
        "tests/processing/multimodal_vla/test_prepared_by_vlm.py",
        (
            "image-settings-of-a-call-are-lost",
            '        settings |= given.pop("image_settings", {})\n        images = VLM',
            '        given.pop("image_settings", {})\n        images = VLM',
            "arguments_of_the_image_processor_are_taken_out_and_win",
        ),
        (
            "a-prompt-without-the-format-of-its-images",
            '{"prompt_template", "image_format"} <= set(overrides)',
            '{"prompt_template"} <= set(overrides)',
            "arguments_of_the_image_processor_are_taken_out_and_win",
        ),
        (
            "a-processors-template-of-text-alone",
            "        if of_processor is not None:\n            raise\n",
            "",
            "the_template_of_a_processor_comes_first_and_has_to_write_images",
        ),
        (
            "a-tokenizers-template-is-not-asked",
            "of_processor or default_template(tokenizer.chat_template)",
            "of_processor",
            "the_prompt_is_that_of_a_template_which_writes_images_and_else_the_documented_one",
        ),
        (
            "a-template-is-not-kept-for-turns",
            '"image_format": found[1], "chat_template": template}',
            '"image_format": found[1]}',
            "the_prompt_is_that_of_a_template_which_writes_images_and_else_the_documented_one",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/vlm_facts.py",
        "tests/configuration/multimodal_vla/test_backbone_tables.py",
        (
            "gemmas-images-are-read-one-way",
            '"gemma3": VLMFacts(open_images=True)',
            '"gemma3": VLMFacts()',
            "a_fact_is_written_of_the_vlms_that_it_is_true_of",
        ),
        (
            "mixed-sizes-of-a-vlm",
            '"janus": VLMFacts(one_size=True)',
            '"janus": VLMFacts()',
            "a_fact_is_written_of_the_vlms_that_it_is_true_of",
        ),
        (
            "crossed-features-are-replaced",
            "not self.layered_features and not self.crosses",
            "not self.layered_features",
            "of_every_vlm_that_may_be_chosen_there_are_facts_and_reasons_of_those_that_may_not",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/backbone_facts.py",
        "tests/configuration/multimodal_vla/test_backbone_tables.py",
        (
            "a-state-that-padding-wears-off",
            '"lfm2", "mamba", "minimax", "qwen3_next")\n# They make',
            '"mamba", "minimax", "qwen3_next")\n# They make',
            "a_fact_is_written_of_the_models_that_it_is_true_of",
        ),
    ),
    *planted(
        "configuration/words_of_loaders.py",
        "tests/configuration/test_words_of_loaders.py",
        (
            "a-revision-is-no-word-of-loaders",
            '        "revision",\n',
            "",
            "a_word_of_loaders_and_models_passes_by_configs_and_processors",
        ),
    ),
    *planted(
        "configuration/fast_prediction_choices.py",
        "tests/configuration/test_fast_prediction_choices.py",
        (
            "true-is-a-number-of-graphs",
            "or isinstance(value, bool) or value < 1",
            "or value < 1",
            "options_that_cannot_be_are_refused_by_name",
        ),
        (
            "any-length-of-a-bucket",
            '("max_graphs", "max_batch_size", "length_bucket")',
            '("max_graphs", "max_batch_size")',
            "options_that_cannot_be_are_refused_by_name",
        ),
        ("one-graph-where-nobody-says", '"max_graphs": 8,', '"max_graphs": 1,', "defaults_are_those_of_the_method"),
    ),
    *planted(
        "training/finetuning/options.py",
        "tests/training/test_finetuning_options.py",
        ("a-tenth-of-the-learning-rate", "5e-4", "5e-5", "defaults_are_those_of_the_pages"),
        (
            "text-is-learnt-by-two-options",
            'self.train == "vlm" or self.learn_text',
            'self.train == "vlm" and self.learn_text',
            "text_is_learnt_where_any_option_says_so",
        ),
    ),
    *planted(
        "training/finetuning/prepared.py",
        "tests/training/test_finetuning_options.py",
        ("every-process-has-bars", "self.speaks and not", "not", "the_first_process_prints_unless_it_is_quiet"),
    ),
]
