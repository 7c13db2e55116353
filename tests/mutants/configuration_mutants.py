"""What all families' configs say: language models, statistics and quantised layers."""

from .planted import planted

NORMALIZATION_STATISTICS = "tests/configuration/test_normalization_statistics.py"
CONFIGURATION_LLAVA3D = "tests/configuration/mapanything_llava3d/test_configuration_llava3d.py"
QUANTISED_CHECKPOINTS = "tests/conversion/test_quantised_checkpoints.py"
OPENVLA_SIZES = "tests/configuration/cogvla/test_openvla_sizes.py"
CALLERS_VALUES = "tests/configuration/test_callers_values.py"
COGVLA_FACTS = "tests/configuration/cogvla/test_cogvla_facts.py"
MAPANYTHING_GEOMETRY = "tests/modeling/mapanything_llava3d/test_mapanything_geometry.py"
BACKBONE_CHOICES = "tests/modeling/multimodal_vla/test_backbone_choices.py"

MUTANTS = [
    *planted(
        "configuration/vla_config.py",
        "tests/modeling/test_unread_arguments.py",
        (
            "a-constructor-takes-steps-that-nothing-reads",
            "for name in defaults if getattr(self, name) != defaults[name]})",
            "for name in () if getattr(self, name) != defaults[name]})",
            "they_are_refused_in_a_constructor_and_in_a_file_too",
        ),
        (
            "fields-of-the-head-before-are-refused",
            "                    setattr(config, name, default)",
            "                    given.setdefault(name, default)",
            "a_head_that_takes_the_place_of_one_that_samples_leaves_its_fields_behind",
        ),
    ),
    *planted(
        "configuration/normalization_statistics.py",
        NORMALIZATION_STATISTICS,
        (
            "deviations-below-zero-pass",
            "        if value < 0:\n",
            "        if False:\n",
            "statistics_that_cannot_be_used_are_named",
        ),
        (
            "numbers-beyond-float32-pass",
            "not abs(content) <= LARGEST",
            "not np.isfinite(content)",
            "statistics_that_cannot_be_used_are_named",
        ),
    ),
    *planted(
        "configuration/language_model_config.py",
        CONFIGURATION_LLAVA3D,
        (
            "an-experts-ratio-is-the-bases",
            "ratio = mlp_ratio or text_config",
            "ratio = text_config",
            "the_short_forms_of_the_expert_say_the_same_as_its_config",
        ),
        (
            "heads-that-do-not-fit-pass",
            "if config.num_attention_heads % config.num_key_value_heads:",
            "if False:",
            "a_value_that_cannot_work_is_refused_by_its_name",
        ),
    ),
    *planted(
        "configuration/known_fields.py",
        "tests/configuration/test_vocabulary.py",
        (
            "the-last-of-two-words-wins",
            "    given = in_own_words(kind, changes)",
            "    given = dict(changes)",
            "two_words_for_one_field_must_say_the_same",
        ),
        (
            "changes-in-the-order-of-the-call",
            "return dict(sorted(given.items(), key=lambda item: isinstance(getattr(kind, item[0], None), property)))",
            "return given",
            "what_is_changed_while_loading_is_what_the_constructor_makes_of_it",
        ),
        (
            "nested-changes-by-any-word",
            "{part.attribute_map.get(word, word): field for",
            "{word: field for",
            "tests/configuration/mapanything_llava3d/test_configuration_llava3d.py"
            "::test_a_sampling_that_would_have_no_effect_is_refused_where_it_is_given",
        ),
    ),
    *planted(
        "configuration/mapanything_llava3d/configuration_mapanything_llava3d.py",
        "tests/configuration/mapanything_llava3d/test_configuration_llava3d.py",
        (
            "sampling-of-a-dit-head-without-effect",
            "if asked[name] != getattr(config, name):",
            "if False:",
            "a_sampling_that_would_have_no_effect_is_refused_where_it_is_given",
        ),
        (
            "pictures-that-the-geometry-cannot-cut",
            "self.geometry_config.check_pictures(self.vision_config.image_size)",
            "pass",
            "a_value_that_cannot_work_is_refused_by_its_name",
        ),
        (
            "times-of-a-dit-head-without-effect",
            'if self.time_sampling != "beta" and not self.has_deep_fusion:',
            "if False:",
            "a_value_that_cannot_work_is_refused_by_its_name",
        ),
    ),
    *planted(
        "configuration/vla_config.py",
        "tests/configuration/test_normalization_statistics.py",
        (
            "statistics-saved-as-they-are",
            "            self.norm_stats = plain(self.norm_stats)",
            "            pass",
            "statistics_in_numbers_of_numpy_are_saved_and_predicted_with",
        ),
    ),
    *planted(
        "configuration/rope_settings.py",
        "tests/configuration/test_rope_settings.py",
        (
            "one-frequency-of-two-kinds-of-layers",
            "found |= parameters_of_one_frequency(kind, found) if kind",
            "found |= {} if kind",
            "either_form_makes_the_same_model[olmo3]",
        ),
        (
            "one-setting-of-an-early-5-is-that-of-no-layer",
            """if kind == "olmo3" and rope and "rope_type" in rope:""",
            "if False:",
            "one_frequency_of_all_layers_is_read_in_every_form",
        ),
        (
            "layers-that-differ-where-there-is-one-setting",
            "    if full != sliding:",
            "    if False:",
            "settings_that_differ_are_refused_where_an_olmo3_has_one",
        ),
        (
            "scaled-in-every-kind-of-layer",
            'DEFAULT | theta if kind == "olmo3" else full',
            "full",
            "either_form_makes_the_same_model[olmo3]",
        ),
        (
            "a-frequency-that-4-did-not-read",
            'ONE_FREQUENCY = ("modernbert-decoder", "olmo3")',
            'ONE_FREQUENCY = ("olmo3",)',
            "either_form_makes_the_same_model[modernbert-decoder]",
        ),
    ),
    *planted(
        "configuration/weight_quantization.py",
        QUANTISED_CHECKPOINTS,
        (
            "groups-as-small-as-can-be",
            "next((size for size in GROUP_SIZES if",
            "next((size for size in GROUP_SIZES[::-1] if",
            "bytes_of_the_published_cogvla_at_7b",
        ),
    ),
    *planted(
        "configuration/cogvla/openvla_base.py",
        OPENVLA_SIZES,
        (
            "models-with-a-state-are-plain-openvlas",
            ' and "state_dim" not in found',
            "",
            "each_part_that_openvla_has_not_makes_it_another_model",
        ),
    ),
    *planted(
        "configuration/cogvla/openvla_names.py",
        OPENVLA_SIZES,
        (
            "pruning-always-has-film",
            'found["lfp_enable_film"] = any(".router.scale." in name for name in shapes)',
            'found["lfp_enable_film"] = True',
            "the_tensors_tell_whether_the_instruction_modulates_what_pruning_scores",
        ),
    ),
    *planted(
        "configuration/cogvla/configuration_cogvla_vision.py",
        CALLERS_VALUES,
        (
            "callers-tower-configs-are-kept",
            "return copy.deepcopy(value)",
            "return value",
            "a_config_shares_nothing_with_what_it_was_given",
        ),
    ),
    *planted(
        "configuration/cogvla/cogvla_facts.py",
        COGVLA_FACTS,
        (
            "the-most-that-is-kept-is-called-the-least",
            "least = min(ratios.values())",
            "least = max(ratios.values())",
            "the_least_that_a_layer_keeps_is_said",
        ),
        (
            "shown-steps-of-training",
            "shown = config.num_inference_steps or config.num_diffusion_steps",
            "shown = config.num_diffusion_steps",
            "the_steps_of_a_prediction_are_told_from_those_of_training",
        ),
    ),
    *planted(
        "configuration/mapanything_llava3d/configuration_mapanything.py",
        MAPANYTHING_GEOMETRY,
        (
            "final-norms-are-not-told",
            'final_norm="encoder.model.norm.weight" in shapes',
            "final_norm=False",
            "published_weights_give_the_published_features",
        ),
        (
            "given-heads-are-not-read",
            "width // HEAD_SIZE if num_heads is None else num_heads",
            "width // HEAD_SIZE",
            "published_weights_give_the_published_features",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/text_checks.py",
        BACKBONE_CHOICES,
        (
            "first-tokens-of-causal-models-drive-film",
            'config.fusion in ("late", "film")',
            'config.fusion in ("late",)',
            "the_first_token_of_a_causal_model_stands_for_no_text",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/nested_configs.py",
        "tests/configuration/multimodal_vla/test_configuration_multimodal_vla.py",
        (
            "marks-of-quantised-weights-are-written",
            'name != "_pre_quantization_dtype"',
            'name != "_pre_quantization_dtypes"',
            "nothing_is_written_of_how_and_where_the_weights_of_a_part_were_once_loaded",
        ),
        (
            "a-flow-stack-of-odd-heads",
            '% (2 * fields["num_attention_heads"])',
            '% (fields["num_attention_heads"])',
            "a_value_that_cannot_work_is_refused_by_its_name",
        ),
    ),
    *planted(
        "configuration/mapanything_llava3d/configuration_mapanything.py",
        "tests/configuration/mapanything_llava3d/test_configuration_llava3d.py",
        (
            "a-published-geometry-wins-over-what-is-given",
            "{**V1, **overrides}",
            "{**overrides, **V1}",
            "what_is_given_wins_over_the_sizes_of_a_published_geometry",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/nested_configs.py",
        CALLERS_VALUES,
        (
            "callers-nested-configs-are-kept",
            "return copy.deepcopy(check_scaled_layers(value))",
            "return check_scaled_layers(value)",
            "a_config_shares_nothing_with_what_it_was_given",
        ),
    ),
    *planted(
        "configuration/view_names.py",
        "tests/processing/test_views.py",
        (
            "record-views-config-forgets",
            "    config.view_names = list(names)\n",
            "",
            "names_are_saved_with_config_and_processor",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/tower_checks.py",
        "tests/modeling/multimodal_vla/test_two_towers.py",
        (
            "layer-minus-one-is-accepted",
            "<= layer <= -2:",
            "<= layer <= -1:",
            "choices_of_towers_that_cannot_work_are_refused_by_name",
        ),
        (
            "deepest-layer-is-refused",
            "not -depth <= layer",
            "not -depth < layer",
            "one_tower_gives_all_tokens_of_a_layer",
        ),
        (
            "moe-chosen-with-a-vlm",
            'given += ["vision_aggregate_type"] * (config.vision_aggregate_type != "concat")',
            "given += []",
            "choices_of_towers_are_refused_with_a_vlm",
        ),
        (
            "gated-over-padding",
            "if config.projector_type not in JOINING:",
            "if False:",
            "tests/modeling/multimodal_vla/test_tower_image_processors.py::test_layers_do_not_look_at_the_padding_of_patches",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/proven_backbones.py",
        "tests/modeling/multimodal_vla/test_backbone_choices.py",
        (
            "vit-mae-as-tower",
            '    "vit_mae": "it leaves out patches at random",\n',
            "",
            "a_vision_model_that_cannot_be_read_is_refused_before_weights_are_read",
        ),
        (
            "swin2sr-as-tower",
            '    "swin2sr": "it gives another picture, and no features",\n',
            "",
            "what_gives_no_features_of_a_picture_is_refused_wherever_a_tower_stands",
        ),
        (
            "width-of-first-stage",
            "vision_config.hidden_sizes[-1]",
            "vision_config.hidden_sizes[0]",
            "what_enters_the_projector_is_what_the_tower_gives_for_each_view",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/configuration_multimodal_vla.py",
        "tests/configuration/multimodal_vla/test_configuration_multimodal_vla.py",
        (
            "heads-of-the-text-alone",
            'widths = self.hidden_size if self.projector_type != "qformer" else self.vision_hidden_size',
            "widths = self.hidden_size",
            "resamplers_have_as_many_heads_as_divide_all_that_they_read",
        ),
        (
            "vlm-tied-otherwise-inside",
            'found["vlm_config"]["text_config"] |= tied',
            "pass",
            "a_vlm_is_written_with_one_word_about_its_head_whichever_config_is_asked",
        ),
        (
            "bins-above-the-vocabulary",
            "if self.action_vocab_size > self.text_part.vocab_size:",
            "if False:",
            "a_value_that_cannot_work_is_refused_by_its_name",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/configuration_multimodal_vla.py",
        "tests/modeling/multimodal_vla/test_gated_cross_attention.py",
        (
            "gated-language-model-trains",
            'self.freeze_language_model = fusion == "gated_cross_attention"',
            "self.freeze_language_model = False",
            "closed_gates_open_and_a_frozen_language_model_stays_as_it_is",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/gated_language_models.py",
        "tests/modeling/multimodal_vla/test_gated_cross_attention.py",
        (
            "gated-in-any-model",
            "if config.text_config.model_type not in HAND_DOWN:",
            "if False:",
            "what_cannot_look_is_refused_by_name",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/head_facts.py",
        "tests/modeling/test_sampled_actions.py",
        (
            "regression-draws-samples",
            "config.num_action_chunks, draws_samples=False)",
            "config.num_action_chunks)",
            "regression_has_nothing_to_draw",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/composed_weight_parts.py",
        "tests/configuration/test_weight_parts.py",
        (
            "second-tower-counted-as-first",
            'second_vision_tower\\.", SECOND)',
            'second_vision_tower\\.", TOWER)',
            "the_tensors_of_each_family_are_of_the_parts_that_its_papers_name",
        ),
    ),
    *planted(
        "configuration/mapanything_llava3d/configuration_mapanything_llava3d.py",
        "tests/configuration/mapanything_llava3d/test_configuration_llava3d.py",
        (
            "sampling-of-the-dit-ignored",
            "default = default if self.has_deep_fusion else getattr(self.dit_config, name)",
            "",
            "the_sampling_of_a_dit_head_alone_is_that_of_its_own_config",
        ),
        (
            "dit-of-another-robot-number",
            '            "num_embodiments": self.num_embodiments,\n',
            "",
            "a_dit_head_has_the_robots_of_the_model_and_no_others",
        ),
    ),
    *planted(
        "configuration/mapanything_llava3d/configuration_dit_action_head.py",
        "tests/configuration/mapanything_llava3d/test_configuration_llava3d.py",
        (
            "last-layer-read-by-own-blocks",
            'return self.context == "self" or self.context_of_block(self.num_hidden_layers - 1) != "own"',
            'return self.context == "self" or self.context_of_block(self.num_hidden_layers) != "own"',
            "the_last_layer_of_the_vlm_is_read_where_the_last_block_looks_at_it",
        ),
    ),
    *planted(
        "configuration/cogvla/configuration_cogvla.py",
        "tests/configuration/cogvla/test_configuration_cogvla.py",
        (
            "tokens-of-one-view",
            "return per_image * self.num_images_in_input",
            "return per_image",
            "towers_with_different_patches_fit_together_by_aggregation_tokens",
        ),
        (
            "schedule-of-the-models-depth",
            '"lfp_schedule_layers": 32,',
            '"lfp_schedule_layers": None,',
            "a_cogvla_config_is_read_with_its_schedule_of_32_layers",
        ),
    ),
    *planted(
        "configuration/mapanything_llava3d/configuration_dit_action_head.py",
        "tests/modeling/mapanything_llava3d/test_dit_action_head.py",
        ("noise-beyond-one", "if self.noise_s > 1:", "if False:", "fields_that_cannot_work_are_refused_by_name"),
    ),
]
