"""Settings that a conversion or a start reads or is told."""

from .planted import planted

RELEASES = "tests/conversion/alpamayo_r1/test_convert_releases.py"
START = "tests/conversion/cogvla/test_create_cogvla.py"
ASSEMBLE = "tests/conversion/mapanything_llava3d/test_assemble_llava3d.py"
SETTINGS = "tests/conversion/test_settings_of_a_start.py"
GO_ON = "settings_of_a_checkpoint_go_on_into_a_start_from_it"

MUTANTS = [
    *planted(
        "conversion/cogvla/checkpoint.py",
        SETTINGS,
        ("words-of-the-bases-processor-are-lost", "words_of_base(layout) | {", "{", GO_ON),
        ("chat-template-of-the-base-is-lost", 'TOKENIZER_FILES += ("chat_template.jinja",)\n', "", GO_ON),
    ),
    *planted(
        "configuration/mapanything_llava3d/llava3d_start.py",
        SETTINGS,
        ("special-tokens-of-the-base-are-lost", "{*arguments, *TOKEN_IDS}", "{*arguments}", GO_ON),
    ),
    *planted(
        "conversion/alpamayo_r1/checkpoint.py",
        RELEASES,
        (
            "cameras-are-named-in-every-release",
            "        return given, [*facts,",
            "        return True, [*facts,",
            "whether_prompts_name_cameras_is_as_given_in_every_release",
        ),
        (
            "diffusion-of-the-first-stage",
            '    "diffusion_cfg",\n    "action_in_proj_cfg",',
            '    "action_in_proj_cfg",',
            "a_first_stage_takes_the_expert_of_its_release",
        ),
        (
            "means-of-the-default",
            '"merge_size", "image_mean", "image_std")',
            '"merge_size")',
            "images_are_normalised_as_the_base_does_it",
        ),
        (
            "image-token-of-another-tokenizer",
            "    if image != known:",
            "    if False:",
            "a_base_whose_image_token_is_another_in_its_tokenizer_is_refused",
        ),
        (
            "no-pad-token-of-alpamayo",
            "    config.pad_token_id = tokenizer.pad_token_id\n",
            "",
            "tests/conversion/alpamayo_r1/test_convert_alpamayo.py::test_the_checkpoint_is_one_folder_with_sizes_tokens_and_bounds_of_both_sources",
        ),
    ),
    *planted(
        "conversion/cogvla/creation.py",
        START,
        (
            "platform-wins-over-what-is-given",
            "given = {**PLATFORMS[options.platform], **own_fields(given)}",
            "given = {**own_fields(given), **PLATFORMS[options.platform]}",
            "what_is_given_wins_over_the_platform_of_a_start",
        ),
        (
            "a-start-without-the-bases-crop",
            'CogVLAImageProcessor(**{"image_sizes": [size, size], **known, **settings})',
            'CogVLAImageProcessor(**{"image_sizes": [size, size], **settings})',
            "images_of_a_start_are_as_it_is_told_and_else_as_in_its_base",
        ),
        (
            "a-start-crops-as-the-base",
            'settings = {"center_crop": options.center_crop, "image_resize": options.image_resize}',
            'settings = {"image_resize": options.image_resize}',
            "images_of_a_start_are_as_it_is_told_and_else_as_in_its_base",
        ),
        (
            "a-start-resizes-as-the-base",
            'settings = {"center_crop": options.center_crop, "image_resize": options.image_resize}',
            'settings = {"center_crop": options.center_crop}',
            "images_of_a_start_are_as_it_is_told_and_else_as_in_its_base",
        ),
    ),
    *planted(
        "conversion/mapanything_llava3d/processor.py",
        ASSEMBLE,
        (
            "pixel-range-of-the-default",
            ", pixel_range=config.pixel_range\n",
            "\n",
            "options_reach_the_config",
        ),
    ),
    *planted(
        "conversion/mapanything_llava3d/sizes.py",
        ASSEMBLE,
        (
            "epsilon-of-the-tower-is-lost",
            'VISION_FIELDS = ("num_attention_heads", "hidden_act", "layer_norm_eps",',
            'VISION_FIELDS = ("num_attention_heads", "hidden_act",',
            "what_no_tensor_shows_is_as_in_the_published_configs",
        ),
        (
            "epsilon-of-the-language-model-is-lost",
            '    "rms_norm_eps",\n',
            "",
            "what_no_tensor_shows_is_as_in_the_published_configs",
        ),
        (
            "sliding-window-is-lost",
            '    "sliding_window",\n',
            "",
            "what_no_tensor_shows_is_as_in_the_published_configs",
        ),
    ),
    *planted(
        "conversion/settings.py",
        "tests/conversion/test_settings.py",
        (
            "what-is-known-gives-way",
            "if known is not None and known != value:",
            "if False:",
            "what_is_known_stays_and_what_contradicts_it_is_refused",
        ),
        (
            "an-option-loses-to-its-default",
            "        if given is not None:\n            self.know",
            "        if given:\n            self.know",
            "an_option_comes_before_a_default_and_what_nothing_says_is_asked_for",
        ),
    ),
    *planted(
        "conversion/dataset_statistics.py",
        "tests/conversion/test_settings.py",
        (
            "statistics-of-the-first-folder-alone",
            "    for folder in folders:\n",
            "    for folder in folders[:1]:\n",
            "statistics_are_those_of_the_file_that_is_given_then_of_the_first_folder_that_has_some",
        ),
        (
            "statistics-of-any-size",
            "return sizes.pop() if len(sizes) == 1 else None",
            "return max(sizes) if sizes else None",
            "a_size_is_known_where_all_datasets_have_it",
        ),
    ),
    *planted(
        "conversion/preparation.py",
        "tests/conversion/test_unused_options.py",
        (
            "options-of-other-families-are-ignored",
            "refuse_unused(job.given, chosen.options,",
            "refuse_unused({}, chosen.options,",
            "a_merge_into_any_model_refuses_what_only_a_family_reads",
        ),
        (
            "options-of-a-quantised-copy-are-ignored",
            """            refuse_unused(job.given, None, job.parts, "vlahub's own")\n""",
            "",
            "a_checkpoint_of_ours_that_is_quantised_takes_no_settings",
        ),
    ),
    *planted(
        "conversion/settings.py",
        "tests/conversion/test_settings.py",
        (
            "nothing-is-not-known",
            "if known is not None and known != value:",
            "if known and known != value:",
            "what_is_nothing_is_known_as_well_as_anything_else",
        ),
        (
            "given-statistics-are-ignored",
            "read_statistics(file, folders)",
            "read_statistics(None, folders)",
            "statistics_of_training_data_are_a_field_and_a_fact_where_there_are_any",
        ),
        (
            "statistics-of-before-stay",
            'self.fields["norm_stats"] = statistics',
            'self.fields.setdefault("norm_stats", statistics)',
            "statistics_of_training_data_are_a_field_and_a_fact_where_there_are_any",
        ),
    ),
    *planted(
        "conversion/source_folder.py",
        "tests/conversion/folders/test_wrong_folders.py",
        (
            "revisions-are-ignored",
            "revision=revision, allow_patterns",
            "revision=None, allow_patterns",
            "of_a_repository_is_fetched_what_is_asked_for_at_the_revision",
        ),
        (
            "everything-is-not-all",
            "None if everything else PATTERNS",
            "PATTERNS if everything else PATTERNS",
            "of_a_repository_is_fetched_what_is_asked_for_at_the_revision",
        ),
        (
            "side-files-stay-on-the-hub",
            '"*.bin", "*.pt", ',
            '"*.bin", ',
            "tests/conversion/files/test_file_kinds.py::test_of_a_run_weights_adapter_and_side_files_are_fetched",
        ),
    ),
]
