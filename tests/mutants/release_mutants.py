"""Faults of code that some releases of transformers, PEFT or torch run alone: most are seen on any, see `only_on`."""

from .planted import Mutant, planted

RELEASES = "tests/configuration/test_transformers_release.py::test_each_is_done_on_the_releases_that_need_it"
EITHER_LINE = "tests/modeling/multimodal_vla/test_either_line.py"
LINES = "tests/modeling/test_lines_of_transformers.py"
OF_4 = "transformers<5"

MUTANTS: list[Mutant] = [
    *planted(
        "configuration/rope_settings.py",
        "tests/configuration/test_rope_settings.py",
        (
            "a-scaling-is-lost-on-the-older-line",
            '    return found | {"rope_scaling": scaling_of(rope, kind)}',
            "    return found",
            "an_older_line_is_given_its_own_fields_alone",
        ),
        (
            "the-older-line-keeps-what-it-does-not-read",
            '    del found["rope_parameters"]\n',
            "",
            "an_older_line_is_given_its_own_fields_alone",
        ),
        (
            "rotary-settings-of-nested-configs-stay-as-they-are",
            'readable_rope(value) if isinstance(value, Mapping) and name != "rope_parameters" else value',
            "value",
            "an_older_line_is_given_its_own_fields_alone",
        ),
        (
            "a-model-that-needs-a-type-of-rotation-gets-none",
            "None if scaling == DEFAULT and kind not in WANTS_A_TYPE else scaling",
            "None if scaling == DEFAULT else scaling",
            "a_type_is_given_where_a_model_cannot_be_built_without",
        ),
        (
            "a-share-that-rotates-is-dropped-on-the-older-line",
            ' or "partial_rotary_factor" in full:',
            ":",
            "what_an_older_line_has_no_fields_for_is_refused",
        ),
        (
            "an-olmo3-of-5-12-is-given-entries-for-each-layer",
            "OLMO3_HAS_ONE = (5, 0) <= RELEASE < (5, 13)",
            "OLMO3_HAS_ONE = (5, 0) <= RELEASE < (5, 12)",
            RELEASES,
        ),
    ),
    *planted(
        "configuration/multimodal_vla/proven_backbones.py",
        RELEASES,
        ("a-doge-of-5-17-loses-its-mask", "<= RELEASE < (5, 18)", "<= RELEASE < (5, 17)", RELEASES),
    ),
    *planted(
        "modeling/adapter_filling.py",
        RELEASES,
        ("what-5-17-leaves-out-stays-out", "<= RELEASE < (5, 18)", "<= RELEASE < (5, 17)", RELEASES),
    ),
    *planted(
        "modeling/multimodal_vla/capped_attention.py",
        RELEASES,
        ("bounds-are-left-out-on-5-20", "RELEASE < (5, 21)", "RELEASE < (5, 20)", RELEASES),
    ),
    *planted(
        "configuration/multimodal_vla/nested_configs.py",
        "tests/configuration/multimodal_vla/test_configuration_multimodal_vla.py",
        (
            "the-older-line-asks-the-vlm-whether-its-head-is-tied",
            "asks_text = IS_4 or not hasattr",
            "asks_text = not hasattr",
            "each_line_asks_another_config_whether_a_vlms_head_is_tied",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/configuration_multimodal_vla.py",
        "tests/configuration/multimodal_vla/test_configuration_multimodal_vla.py",
        (
            "only-one-line-is-told-whether-a-vlms-head-is-tied",
            '            found["vlm_config"] |= tied\n',
            "",
            "a_vlm_is_written_with_one_word_about_its_head_whichever_config_is_asked",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/configuration_multimodal_vla.py",
        "tests/configuration/multimodal_vla/test_configuration_multimodal_vla.py",
        (
            "a-t5-is-tied-as-its-config-says",
            "        if self.vlm_config is None and is_headless(self.text_config):\n",
            "        if False:\n",
            "a_t5_is_tied_whatever_its_config_says",
        ),
        only_on=OF_4,
    ),
    *planted(
        "modeling/multimodal_vla/language_masks.py",
        EITHER_LINE,
        (
            "a-mask-of-the-older-line-is-not-added",
            "return additive(allowed, dtype) if IS_4 else mask_for",
            "return mask_for",
            "decoders_of_4_add_their_mask_with_any_attention",
        ),
        (
            "encoders-of-the-older-line-are-all-masked-alike",
            'return real.long() if config.model_type in ("distilbert", "mt5", "t5", "umt5") else seen.long()',
            "return seen.long()",
            "encoders_of_4_make_masks_of_ones_and_zeros",
        ),
        (
            "the-older-line-asks-no-more-than-the-newer",
            "asking = (*ASKS_IN_LAYERS, *ASKS_IN_LAYERS_OF_4) if IS_4 else ASKS_IN_LAYERS",
            "asking = ASKS_IN_LAYERS",
            "more_models_of_4_ask_between_their_layers",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/language_model_rules.py",
        EITHER_LINE,
        (
            "a-stack-is-looked-for-by-its-name-alone",
            'return getattr(stack, "model", stack) if stack is language_model else stack',
            "return stack",
            "a_stack_is_found_where_its_model_does_not_know_it_by_name",
        ),
        (
            "activations-hand-on-float32",
            "            module.register_forward_hook(in_dtype_of_input)",
            "            pass",
            "layers_in_16_bits_hand_on_the_dtype_that_they_are_given",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/portable_weights.py",
        EITHER_LINE,
        (
            "the-older-line-ties-no-head",
            'return [f"{name}.weight" for name, part in model.named_modules() if part is head]',
            "return []",
            "of_a_whole_model_4_lists_the_head_and_asks_the_parts",
        ),
        (
            "what-the-older-line-has-in-a-file-is-dropped",
            "if not own or not n.endswith(COMPUTED[0])}",
            "if not n.endswith(COMPUTED[0])}",
            "a_state_dict_is_loaded_as_it_is_where_files_have_the_models_own_names",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/vlm_backbone.py",
        EITHER_LINE,
        (
            "features-of-deeper-layers-are-taken-for-the-images",
            "features = features[0]  # Qwen3-VL",
            "features = features[1]  # Qwen3-VL",
            "image_features_are_read_in_the_form_of_either_line",
        ),
        (
            "a-paligemma-is-trained-without-its-types",
            "if self.facts.open_images or (self.facts.full_prefix and self.core.training):",
            "if self.facts.open_images:",
            "tests/modeling/multimodal_vla/test_multimodal_vlms.py"
            "::test_a_paligemma_in_training_is_told_where_images_are_though_its_mask_is_given_whole",
        ),
        (
            "sizes-reach-no-tower-that-takes-them-along",
            '        if "kwargs" not in known:',
            "        if True:",
            "a_tower_is_given_sizes_by_name_or_along_with_all_else",
        ),
        (
            "a-strategy-is-not-told",
            "{strategy: getattr(self.vlm.config.vision_config, strategy)} if strategy in known else {}",
            "{}",
            "a_strategy_is_told_where_it_is_asked_for",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/tower_conditioning.py",
        EITHER_LINE,
        (
            "weights-of-attention-are-taken-for-its-states",
            "attended[0] if isinstance(attended, tuple) else attended",
            "attended[1] if isinstance(attended, tuple) else attended",
            "a_block_takes_the_states_of_an_attention_that_gives_its_weights_too",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/backbones.py",
        EITHER_LINE,
        (
            "an-activation-is-exchanged-in-the-callers-config",
            "        config = copy.deepcopy(config)\n        config.text_config.hidden_act",
            "        config.text_config.hidden_act",
            "an_activation_that_asks_for_its_values_is_not_made_on_the_meta_device",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/image_sizes.py",
        "tests/modeling/multimodal_vla/test_image_sizes.py",
        (
            "a-release-without-functions-for-grids-cannot-be-imported",
            "except ImportError:  # before 5.9",
            "except AttributeError:  # before 5.9",
            "a_tower_that_asks_by_itself_gets_the_grid_alone",
        ),
        only_on="transformers<5.9",
    ),
    *planted(
        "modeling/multimodal_vla/image_sizes.py",
        "tests/modeling/multimodal_vla/test_image_sizes.py",
        (
            "functions-for-grids-are-asked-of-a-release-without",
            "if vision_utils is None or tower",
            "if tower",
            "a_tower_that_asks_by_itself_gets_the_grid_alone",
        ),
    ),
    *planted(
        "modeling/strict_loading.py",
        LINES,
        (
            "code-runs-unless-it-is-distrusted",
            "        if not trust_remote_code:\n",
            "        if trust_remote_code is False:\n",
            "code_of_a_folder_runs_where_it_is_trusted_alone",
        ),
        (
            "tied-weights-in-the-form-of-the-newer-line",
            "return list(pairs) if IS_4 else pairs",
            "return pairs",
            f"{EITHER_LINE}::test_tied_weights_are_listed_for_4_and_paired_for_5",
        ),
    ),
    *planted(
        "modeling/adapter_loading.py",
        LINES,
        (
            "an-adapter-lacks-what-it-has-too-much",
            '"missing_keys": wanted - given, "unexpected_keys": given - wanted',
            '"missing_keys": given - wanted, "unexpected_keys": wanted - given',
            "of_a_release_that_reports_nothing_the_file_is_read",
        ),
        (
            "an-adapter-misses-the-tensors-of-all-others",
            'if name in key.split(".")}',
            "}",
            "what_a_release_reports_of_an_adapter_is_of_its_own_tensors",
        ),
    ),
    *planted(
        "modeling/adapters_in_use.py",
        LINES,
        (
            "what-parts-stand-for-trains-where-they-are-off",
            "            base.requires_grad_(False)",
            "            pass",
            "parts_are_switched_together_and_what_they_stand_for_stays_frozen",
        ),
    ),
    *planted(
        "modeling/attention_marks.py",
        LINES,
        (
            "a-mark-of-before-stands-in-the-way",
            "    forget_attention_marks(model)\n    before",
            "    before",
            "a_choice_of_attention_finds_no_mark_leaves_none_and_is_undone_where_it_fails",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/prompt_reading.py",
        LINES,
        (
            "a-tuple-of-features-loses-those-of-deeper-layers",
            "        return Images(*output)\n",
            "        return Images(output[0], [])\n",
            "a_tower_that_returns_a_tuple_is_read_as_one_that_names_its_outputs",
        ),
    ),
    *planted(
        "modeling/kernel_settings.py",
        LINES,
        (
            "an-older-torch-is-asked-by-the-newer-word",
            '    if hasattr(cuda.matmul, "fp32_precision"):\n',
            "    if True:\n",
            "the_rounding_of_products_is_read_as_the_release_says_it",
        ),
    ),
    *planted(
        "processing/multimodal_vla/grounding_text.py",
        "tests/processing/multimodal_vla/test_grounding_text.py",
        (
            "a-slow-tokenizer-is-taken-for-one-that-a-file-holds",
            'return tokenizer if getattr(tokenizer, "is_fast", False) else',
            "return tokenizer if tokenizer is not None else",
            "a_towers_tokenizer_is_its_file_where_its_class_needs_more_or_is_slow",
        ),
        (
            "a-tokenizer-whose-class-needs-more-is-an-error",
            "contextlib.suppress(ImportError, KeyError, ValueError)",
            "contextlib.suppress(KeyError, ValueError)",
            "a_towers_tokenizer_is_its_file_where_its_class_needs_more_or_is_slow",
        ),
    ),
    *planted(
        "training/unsaved_tokens.py",
        "tests/training/test_pushed_checkpoints.py",
        (
            "a-token-is-written-by-its-older-name",
            'NAMES = ("hub_token", "push_to_hub_token")',
            'NAMES = ("hub_token",)',
            "a_token_is_unsaved_by_either_of_its_names_while_arguments_are_written_and_then_itself",
        ),
    ),
    *planted(
        "training/finetuning/run_record.py",
        "tests/training/test_run_description.py",
        (
            "no-schedule-is-another-course-on-the-other-line",
            'course["lr_scheduler_kwargs"] = course["lr_scheduler_kwargs"] or {}',
            'course["lr_scheduler_kwargs"] = course["lr_scheduler_kwargs"]',
            "what_either_line_has_where_no_schedule_is_described_is_the_same_course",
        ),
    ),
    *planted(
        "training/finetuning/overview.py",
        "tests/training/test_run_description.py",
        (
            "a-share-to-warm-up-is-not-shown",
            'arguments.warmup_steps or getattr(arguments, "warmup_ratio", None) or 0',
            "arguments.warmup_steps or 0",
            "steps_and_shares_to_warm_up_are_shown_by_the_name_of_either_line",
        ),
    ),
    *planted(
        "training/lora_config.py",
        "tests/training/test_lora_config.py",
        (
            "layers-that-are-not-called-get-a-lora",
            ' or type(module).__name__ == "NonDynamicallyQuantizableLinear"',
            "",
            "linear_layers_of_a_models_own_kind_and_those_that_are_not_called_get_no_lora",
        ),
    ),
    *planted(
        "conversion/tensors/base_model.py",
        "tests/conversion/tensors/test_base_model.py",
        (
            "modules-go-by-two-names-at-once",
            "kept = {name: key for name, key in weights.items() if name not in changed}",
            "kept = weights",
            "modules_go_by_the_names_of_each_release_once_and_never_by_two_in_one_set",
        ),
    ),
    *planted(
        "conversion/tensors/transformers5_names.py",
        "tests/conversion/tensors/test_transformers_names.py",
        (
            "an-encoder-has-no-newer-names",
            '    "MetaClip2VisionModel",\n',
            "",
            "names_of_4_become_those_of_5",
            "every_class_whose_names_differ_is_tried_below",
        ),
    ),
    *planted(
        "conversion/tensors/quantisation.py",
        "tests/conversion/tensors/test_weight_writer.py",
        (
            "a-torchao-without-what-is-used-is-not-named",
            '"_choose_scale_float8", "_quantize_affine_float8")',
            '"_choose_scale_float8")',
            "a_torchao_without_what_is_used_of_it_is_named",
        ),
    ),
    *planted(
        "processing/multimodal_vla/image_processing_vlm.py",
        "tests/processing/multimodal_vla/test_image_processing_vlm.py",
        (
            "no-image-processor-passes-for-one-of-videos",
            '    if "video_processor" in parts:\n',
            "    if False:\n",
            "videos_are_left_out_where_they_are_the_last_part",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/nested_configs.py",
        "tests/configuration/multimodal_vla/test_configuration_multimodal_vla.py",
        (
            "a-config-is-of-the-kind-that-it-answers-with",
            "    return type(config).model_type",
            "    return config.model_type",
            "the_kind_of_a_config_is_its_classs_where_it_answers_for_another",
        ),
        (
            "a-field-is-not-written-by-the-older-name",
            "found[older] = getattr(part, older, getattr(part, newer, None))",
            "found[newer] = getattr(part, older, getattr(part, newer, None))",
            "a_field_is_written_by_the_name_that_the_older_line_reads",
        ),
    ),
]
