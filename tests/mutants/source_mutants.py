"""Names of tensors across releases of transformers, tensors that are drawn, files that are read and written."""

from .planted import planted

PREDICTION_TRACE = "tests/conversion/predictions/test_prediction_trace.py"
NAMES = "tests/conversion/tensors/test_transformers_names.py"

MUTANTS = [
    *planted(
        "conversion/tensors/transformers5_names.py",
        NAMES,
        (
            "keys-as-queries-of-the-newer-line",
            '(r"attention\\.attention\\.key(?!\\w)", "attention.k_proj")',
            '(r"attention\\.attention\\.key(?!\\w)", "attention.q_proj")',
            "names_of_4_become_those_of_5",
        ),
        (
            "names-within-longer-names",
            '(r"mlp\\.weights_out(?!\\w)", "mlp.down_proj")',
            '(r"mlp\\.weights_out", "mlp.down_proj")',
            "names_of_4_become_those_of_5",
        ),
        (
            "newer-names-the-wrong-way-round",
            "found[newer] = name",
            "found[name] = newer",
            "a_model_of_4_has_a_name_for_each_of_5_that_differs",
        ),
    ),
    *planted(
        "conversion/tensors/transformers_names.py",
        NAMES,
        (
            "names-of-earlier-releases-are-unknown-on-4",
            "for name in (key, self.mapped(key)):",
            "for name in (key,):",
            "a_model_of_4_knows_names_of_any_release",
        ),
        (
            "newer-names-as-they-are-on-4",
            "return Translated(self.newer[candidate], True)",
            "return Translated(candidate, True)",
            "a_model_of_4_knows_names_of_any_release",
        ),
    ),
    *planted(
        "conversion/tensors/computation.py",
        "tests/conversion/tensors/test_computation.py",
        (
            "blocks-by-bytes",
            "max(1, info.row_bytes // info.dtype.itemsize)",
            "max(1, info.row_bytes)",
            "blocks_have_so_many_numbers_and_are_the_whole_tensor",
        ),
        (
            "one-step-by-rows-is-enough",
            "not all(is_by_rows",
            "not any(is_by_rows",
            "one_step_that_needs_all_rows_makes_one_block",
        ),
        (
            "merging-on-the-cpu-alone",
            "parts, step.config, device)",
            'parts, step.config, "cpu")',
            "steps_follow_each_other_from_the_row_where_a_block_begins_and_the_cast_is_last",
        ),
        (
            "scales-are-numbers",
            "return stored[part.name].cpu()",
            'return stored["qweight"].cpu()',
            "each_part_of_a_quantised_weight_is_its_own_and_the_error_is_noted_once",
        ),
    ),
    *planted(
        "conversion/tensors/size_limits.py",
        "tests/conversion/tensors/test_size_limits.py",
        (
            "layers-of-lists-are-not-counted",
            "for part in value if isinstance(value, list) else [value]:",
            "for part in [value]:",
            "numbers_of_layers_are_found_in_every_part_under_its_name",
        ),
        (
            "few-layers-are-too-many",
            "value > max(num_tensors, FEW)",
            "value > num_tensors",
            "as_many_layers_as_tensors_or_a_few_are_built_and_no_more",
        ),
    ),
    *planted(
        "conversion/generic/base_class.py",
        "tests/conversion/generic/test_base_class.py",
        (
            "language-models-before-those-of-images",
            "for auto in (image_text, AutoModelForCausalLM, AutoModel):",
            "for auto in (AutoModelForCausalLM, image_text, AutoModel):",
            "the_class_is_the_named_one_else_that_of_the_most_able_auto_class",
        ),
        (
            "somebodys-class-is-taken-for-that-of-transformers",
            'if named and type(loaded).__module__.startswith("transformers."):',
            "if False:",
            "the_class_is_the_named_one_else_that_of_the_most_able_auto_class",
        ),
    ),
    *planted(
        "conversion/folders/other_policies.py",
        "tests/conversion/folders/test_other_policies.py",
        (
            "policies-by-the-start-of-a-name",
            "re.fullmatch(policy.pattern, known_by.lower())",
            "re.match(policy.pattern, known_by.lower())",
            "a_policy_is_known_by_a_whole_name_of_its_config",
        ),
        (
            "the-inner-config-before-the-outer",
            "if not config and (inner",
            "if (inner",
            "a_training_of_lerobot_is_known_by_its_inner_folder_unless_it_has_a_config_itself",
        ),
        (
            "checkpoints-in-jax-without-statistics",
            ' and list(folder.glob("assets/*/norm_stats.json"))',
            "",
            "a_checkpoint_in_jax_is_openpis_where_it_has_statistics",
        ),
    ),
    *planted(
        "conversion/files/json_file.py",
        "tests/conversion/files/test_json_file.py",
        (
            "mappings-are-not-deep",
            "(value.values() if isinstance(value, dict) else value)",
            "value",
            "lists_and_mappings_are_read_as_deep_as_may_be",
        ),
        (
            "the-last-folder-of-several",
            "for folder in folders:\n        path = folder",
            "for folder in reversed(folders):\n        path = folder",
            "of_several_folders_the_first_that_has_the_file_is_read",
        ),
        (
            "nan-travels",
            'if constant == "NaN":',
            'if constant != "NaN":',
            "nan_is_refused_in_a_file_that_travels_and_infinity_is_not",
        ),
    ),
    *planted(
        "conversion/files/output_file.py",
        "tests/conversion/files/test_output_file.py",
        (
            "folders-that-nothing-was-written-into-stay",
            "for folder in made:",
            "for folder in reversed(made):",
            "a_failure_leaves_no_file_and_no_folder_that_was_made_for_it",
        ),
        (
            "inputs-by-other-names-are-outputs",
            "return output.exists() and source.exists() and output.samefile(source)",
            "return False",
            "an_input_by_another_name_is_no_output",
        ),
        (
            "results-of-others-are-replaced",
            "if not output.is_file() or not is_ours(output)",
            "if not output.is_file() and not is_ours(output)",
            "what_is_there_is_replaced_when_it_is_ours_and_may_be",
        ),
    ),
    *planted(
        "conversion/files/given_paths.py",
        "tests/conversion/files/test_given_paths.py",
        (
            "empty-words-behind-an-equals-sign",
            'option = word[:-1] if word.startswith("--") and word.endswith("=") else previous',
            "option = previous",
            "an_empty_word_is_named_by_its_option",
        ),
        (
            "inputs-inside-of-mappings",
            "elif isinstance(value, (list, tuple, dict)):",
            "elif isinstance(value, (list, tuple)):",
            "inputs_are_all_that_is_there_wherever_it_is_named_but_outputs",
        ),
        (
            "a-link-to-a-device-is-a-link-to-nothing",
            '"it is no folder." if path.exists() else',
            '"it is no folder." if not path.is_symlink() else',
            "a_name_that_can_only_mean_a_folder_is_told_what_is_wrong",
        ),
        (
            "pages-within-a-repository-are-paths",
            "if page := PAGE.fullmatch(name) or WITHIN.fullmatch(name):",
            "if page := PAGE.fullmatch(name):",
            "a_name_that_can_only_mean_a_folder_is_told_what_is_wrong",
        ),
    ),
    *planted(
        "conversion/predictions/prediction_trace.py",
        PREDICTION_TRACE,
        (
            "views-that-were-given-are-said-to-be-seen",
            "asked.images, asked.text), as_seen=False)",
            "asked.images, asked.text))",
            "of_a_model_of_which_nothing_else_is_known_views_are_as_they_were_given",
        ),
        (
            "entropy-is-spread",
            "else on_host(found.entropy[0])",
            "else on_host(found.spread[0])",
            "samples_of_a_picture_are_those_of_a_prediction",
        ),
        (
            "paths-in-the-units-of-any-statistics",
            'asked.options.get("unnorm_key")',
            "None",
            "the_path_is_in_the_units_of_the_statistics_that_were_named",
        ),
    ),
    *planted(
        "conversion/multimodal_vla/prediction_trace.py",
        PREDICTION_TRACE,
        (
            "views-as-they-were-given-are-seen",
            "given if seen is None else seen",
            "given",
            "views_are_as_large_as_the_model_saw_them",
        ),
        (
            "tiles-are-views",
            "pixels.dim() != 5 or pixels.shape[:2] != (1, count) or",
            "pixels.dim() != 5 or",
            "as_many_pictures_as_views_are_what_the_first_tower_saw",
        ),
    ),
]
