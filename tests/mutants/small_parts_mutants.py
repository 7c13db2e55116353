"""Small files: what a card says in words, the code of a checkpoint, what a push leaves, and parts of models."""

from .planted import planted

MUTANTS = [
    *planted(
        "configuration/card_example.py",
        "tests/configuration/test_card_example.py",
        (
            "a-block-ends-before-its-comment",
            "Block(pairs[0][0].start(), pairs[0][1].end()",
            "Block(pairs[0][0].start(), pairs[0][1].start()",
            "a_word_of_somebodys_own_is_seen_in_either_block",
        ),
        (
            "another-repository-is-an-edit",
            'sha256(REPOSITORY.sub("", normalised(text)))',
            "sha256(normalised(text))",
            "the_name_of_a_repository_and_what_tools_do_are_no_edits",
        ),
    ),
    *planted(
        "configuration/card_licence.py",
        "tests/configuration/test_card_metadata.py",
        (
            "a-known-licence-without-its-link",
            'return {"license": first, **links}',
            'return {"license": first}',
            "a_licence_is_one_that_the_hub_takes",
        ),
    ),
    *planted(
        "configuration/checkpoint_card.py",
        "tests/configuration/test_card_sentences.py",
        (
            "a-car-with-the-limits-of-text",
            '{"trajectories": LIMITS_OF_CARS, "text": LIMITS_OF_TEXT}',
            '{"trajectories": LIMITS_OF_TEXT, "text": LIMITS_OF_CARS}',
            "limits_and_actions_are_those_of_what_is_predicted",
        ),
        (
            "where-weights-are-from-above-all-else",
            "known, sizes, origin, warning)\n",
            "known, sizes, warning, origin)\n",
            "all_that_is_given_stands_in_a_new_card_and_an_edited_one_says_that_it_may_be_wrong",
        ),
        (
            "a-card-without-rows-of-actions",
            "rows = (facts or {}) | config.facts | fields_of_actions(config)",
            "rows = (facts or {}) | config.facts",
            "what_a_command_knows_stands_in_the_body_beside_what_the_config_says",
        ),
        (
            "what-was-seen-outlives-its-weights",
            '        if (text := without_seen(known)) != known:\n            path.write_text(text, encoding="utf-8")\n',
            "",
            "all_that_is_given_stands_in_a_new_card_and_an_edited_one_says_that_it_may_be_wrong",
        ),
    ),
    *planted(
        "configuration/card_markdown.py",
        "tests/configuration/test_card_sentences.py",
        (
            "parts-with-gaps-between",
            "for part in parts if part)",
            "for part in parts)",
            "parts_that_are_empty_leave_no_gap",
        ),
    ),
    *planted(
        "configuration/card_metadata.py",
        "tests/configuration/test_card_sentences.py",
        (
            "the-first-of-several-datasets",
            "[value] if isinstance(value, str) else value",
            "value",
            "licence_and_origin_of_a_card_of_ours_hold_for_the_next_and_of_no_other",
        ),
    ),
    *planted(
        "configuration/checkpoint_card.py",
        "tests/configuration/test_checkpoint_card.py",
        (
            "a-model-is-no-model-of-its-class",
            "for kind in type(model).__mro__",
            "for kind in type(model).__mro__[1:]",
            "a_model_whose_class_was_derived_from_ours_is_one_of_ours",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/composed_facts.py",
        "tests/configuration/test_card_facts.py",
        (
            "a-card-without-a-second-tower",
            "for name, part in config.towers.items()]",
            "for name, part in [*config.towers.items()][:1]]",
            "parts_of_a_composed_vla",
        ),
        (
            "solver-steps-on-a-card-without-a-flow",
            'if config.action_head == "flow":',
            'if config.action_head != "flow":',
            "parts_of_a_composed_vla",
        ),
    ),
    *planted(
        "configuration/mapanything_llava3d/llava3d_facts.py",
        "tests/configuration/test_card_facts.py",
        (
            "an-experts-embodiments-are-not-told",
            "if config.num_embodiments > 1 else",
            "if config.num_embodiments > 2 else",
            "parts_of_a_llava3d",
        ),
    ),
    *planted(
        "configuration/checkpoint_json.py",
        "tests/configuration/test_checkpoint_json.py",
        (
            "a-missing-file-is-a-broken-one",
            "except (VLAError, OSError, MemoryError):\n        raise",
            "except (VLAError, MemoryError):\n        raise",
            "what_a_library_raises_over_a_file_or_a_field_names_it_once",
        ),
        (
            "no-memory-is-a-broken-field",
            "except (VLAError, MemoryError):\n        raise",
            "except VLAError:\n        raise",
            "what_a_library_raises_over_a_file_or_a_field_names_it_once",
        ),
        (
            "a-file-of-an-index-twice",
            "sorted({index.parent / name for name in weight_map.values()})",
            "sorted([index.parent / name for name in weight_map.values()])",
            "an_index_names_each_file_once_and_in_order",
        ),
        (
            "a-folder-is-not-there",
            "        return path.exists()\n    except (OSError, ValueError):",
            "        return path.is_file()\n    except (OSError, ValueError):",
            "files_and_what_is_there_are_told_apart",
        ),
    ),
    *planted(
        "configuration/remote_code.py",
        "tests/configuration/test_remote_code_files.py",
        (
            "code-of-a-checkpoint-is-bundled-by-half",
            "if not all(entry in sources for entry in entries):",
            "if not any(entry in sources for entry in entries):",
            "code_of_a_checkpoint_is_left_to_transformers",
        ),
        (
            "imports-of-imports-stay-behind",
            "            waiting.extend(relative_imports(sources[name]))",
            "            found |= relative_imports(sources[name])",
            "a_file_needs_all_that_it_imports_from_us_directly_or_not",
        ),
        (
            "a-late-import-stays-as-it-is",
            "(?m)^(\\s*from )",
            "(?m)^(from )",
            "imports_from_any_folder_become_imports_from_files_beside_it",
        ),
    ),
    *planted(
        "configuration/hub_removals.py",
        "tests/configuration/test_hub_removals.py",
        (
            "files-go-from-the-main-branch",
            "commit_message=MESSAGE, revision=revision)",
            "commit_message=MESSAGE)",
            "what_was_replaced_goes_by_one_commit_on_the_branch_of_the_push",
        ),
        (
            "files-go-as-somebody-else",
            "HfApi(token=token)",
            "HfApi()",
            "what_was_replaced_goes_by_one_commit_on_the_branch_of_the_push",
        ),
    ),
    *planted(
        "training/former_files.py",
        "tests/training/test_former_files.py",
        (
            "templates-go-without-a-processor",
            "if (folder / PROCESSOR_FILES[0]).is_file():",
            "if True:",
            "weights_and_templates_of_a_former_run_are_named_where_such_were_pushed",
        ),
    ),
    *planted(
        "training/dataset_advice.py",
        "tests/training/test_dataset_advice.py",
        (
            "rows-in-some-files-are-none",
            "all(map(is_rowless, tables))",
            "any(map(is_rowless, tables))",
            "what_a_place_holds_instead_of_a_dataset_is_named_with_what_to_do",
        ),
        (
            "the-first-file-is-the-pointer",
            "{pointers[0]} is",
            "{tables[0]} is",
            "what_a_place_holds_instead_of_a_dataset_is_named_with_what_to_do",
        ),
    ),
    *planted(
        "training/lerobot_paths.py",
        "tests/training/test_lerobot_paths.py",
        (
            "names-that-begin-with-dots-lead-out",
            "tidy.startswith(os.pardir + os.sep)",
            "tidy.startswith(os.pardir)",
            "a_path_inside_is_tidied",
        ),
        (
            "a-brace-that-nothing-closes",
            'set("{}") & set(FIELD',
            'set("{") & set(FIELD',
            "braces_of_no_field_are_refused",
        ),
    ),
    *planted(
        "training/own_classes.py",
        "tests/training/test_own_classes.py",
        (
            "stored-integers-are-trained",
            "    check_full_precision_weights(model)\n",
            "",
            "weights_in_lower_precision_are_refused_before_a_step",
        ),
    ),
    *planted(
        "training/waiting.py",
        "tests/training/test_waiting.py",
        (
            "a-bar-at-once-or-never",
            "if ended.wait(WAIT):",
            "if not ended.wait(WAIT):",
            "work_that_takes_long_has_a_bar_that_goes_with_it",
        ),
    ),
    *planted(
        "modeling/sharded_layer.py",
        "tests/modeling/test_sharded_layer.py",
        (
            "the-first-layers-keys-are-tied",
            "cache.layers[layer.self_attn.layer_idx]",
            "cache.layers[0]",
            "a_gradient_of_the_keys_alone_reaches_the_output",
        ),
        (
            "keys-tied-as-values",
            "hidden_states, kept.keys, kept.values = Tied",
            "hidden_states, kept.values, kept.keys = Tied",
            "a_gradient_of_the_keys_alone_reaches_the_output",
        ),
        (
            "a-layer-is-tied-twice",
            "if tie_to_output not in layer._forward_hooks.values():",
            "if True:",
            "a_layer_is_tied_once",
        ),
    ),
    *planted(
        "modeling/mlp_resnet.py",
        "tests/modeling/test_small_parts.py",
        (
            "a-block-without-what-it-adds-to",
            "return hidden_states + self.ffn(hidden_states)",
            "return self.ffn(hidden_states)",
            "the_residual_mlp_adds_each_block_to_what_it_reads",
        ),
    ),
    *planted(
        "modeling/weight_files.py",
        "tests/modeling/test_small_parts.py",
        (
            "a-pointer-is-a-damaged-file",
            "        if is_pointer:",
            "        if not is_pointer:",
            "a_file_of_weights_that_cannot_be_read_is_named_with_the_reason",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/image_sizes.py",
        "tests/modeling/multimodal_vla/test_image_sizes.py",
        (
            "windows-of-the-size-of-patches",
            "merge, tower.window_size, tower.patch_size",
            "merge, tower.patch_size, tower.window_size",
            "what_follows_from_a_grid_is_made_once",
        ),
        (
            "pixels-are-fetched",
            "value.cpu() if name in SIZES else value",
            "value if name in SIZES else value.cpu()",
            "sizes_are_fetched_and_pixels_are_not",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/llava3d_language_model.py",
        "tests/modeling/mapanything_llava3d/test_llava3d_parts.py",
        (
            "places-of-a-text-are-lost",
            "            position_ids=position_ids,\n",
            "",
            "every_argument_reaches_the_model_inside",
        ),
        (
            "weighed-labels-are-not-shifted",
            "places = labels[:, 1:]",
            "places = labels[:, :-1]",
            "labels_of_a_row_weigh_what_it_weighs",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/image_features.py",
        "tests/modeling/mapanything_llava3d/test_llava3d_parts.py",
        (
            "geometry-of-the-next-sample",
            ".mean(dim=1, keepdim=True)",
            ".mean(dim=0, keepdim=True)",
            "features_of_both_branches_stand_side_by_side_in_the_order_of_the_views",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/llava3d_outputs.py",
        "tests/modeling/mapanything_llava3d/test_llava3d_parts.py",
        (
            "an-output-without-its-cache",
            "        **{OUTPUT_NAME: getattr(text, OUTPUT_NAME)},\n",
            "",
            "losses_are_summed_and_each_is_told",
        ),
    ),
]
