"""Bytes on their way to a disk, clients that are waited for, runs that go on, and what LeRobot's policy is told."""

from .planted import planted

ACTION_ERRORS = "tests/training/test_action_errors.py"
CLIENT_FORMS = "tests/conversion/serving/test_client_forms.py"
CLIENT_PRESENCE = "tests/conversion/serving/test_client_presence.py"
INSTRUCTIONS = "tests/processing/test_instructions.py"
LEROBOT = "tests/training/test_lerobot.py"
LEROBOT_PLUGIN = "tests/test_lerobot_plugin.py"
MEMORY_ESTIMATE = "tests/training/test_memory_estimate.py"
RUN_DESCRIPTION = "tests/training/test_run_description.py"
VIEWS = "tests/processing/test_views.py"
VIEW_FILES = "tests/conversion/files/test_view_files.py"
WEIGHT_WRITER = "tests/conversion/tensors/test_weight_writer.py"
PLUGIN = "integrations/lerobot_policy_vlahub/lerobot_policy_vlahub"

MUTANTS = [
    *planted(
        "conversion/tensors/weight_writer.py",
        WEIGHT_WRITER,
        (
            "the-last-block-may-fail",
            "        if pending:\n            pending.result()\n    return errors",
            "    return errors",
            "a_block_that_cannot_be_written_is_an_error_whichever_it_is",
        ),
        (
            "checksums-of-the-last-shard-alone",
            "written.checksums |= output.checksums",
            "written.checksums = output.checksums",
            "checksums_and_hashes_are_of_all_shards",
        ),
        (
            "errors-of-the-last-shard-alone",
            "written.errors |= write_shard",
            "written.errors = write_shard",
            "errors_are_of_every_quantised_weight_and_of_all_its_rows",
        ),
        (
            "shards-are-counted-from-0",
            "model-{i + 1:05d}-of",
            "model-{i:05d}-of",
            "checksums_and_hashes_are_of_all_shards",
        ),
    ),
    *planted(
        "conversion/tensors/direct_file.py",
        WEIGHT_WRITER,
        (
            "the-rest-of-a-short-write-is-lost",
            "start += os.write(self._descriptor, rest)",
            "os.write(self._descriptor, rest)\n                        start = end",
            "a_system_that_takes_less_than_it_is_given_is_given_the_rest",
        ),
        (
            "the-end-of-a-file-is-there-twice",
            "self._flush(self._filled, whole)",
            "self._flush(self._filled)",
            "a_file_holds_all_that_was_handed_over",
        ),
    ),
    *planted(
        "conversion/serving/client_presence.py",
        CLIENT_PRESENCE,
        (
            "the-time-of-a-request-begins-anew",
            "timeout=max(seconds, 0)",
            "timeout=allowed",
            "the_time_is_what_is_left_and_the_message_says_what_was_allowed",
        ),
        (
            "whoever-hangs-up-is-waited-for",
            "asyncio.wait({working, gone}",
            "asyncio.wait({working}",
            "a_client_that_hangs_up_ends_the_work_at_once",
        ),
    ),
    *planted(
        "conversion/serving/client_observations.py",
        CLIENT_FORMS,
        (
            "of-two-images-of-one-key-the-later",
            "if len(named) < len(images):",
            "if False:",
            "one_image_under_two_names_is_refused_and_neither_is_taken_for_the_other",
        ),
        (
            "of-two-states-the-first",
            "if len(texts) > 1 or len(states) > 1:",
            "if len(texts) > 1:",
            "the_keys_of_openpis_clients",
        ),
    ),
    *planted(
        "conversion/files/view_files.py",
        VIEW_FILES,
        (
            "of-two-files-of-one-view-the-later",
            " and len(found) == len(paths)",
            "",
            "two_files_of_one_view_are_both_there_and_none_is_taken_for_the_other",
        ),
    ),
    *planted(
        "processing/sample_inputs.py",
        VIEWS,
        (
            "of-two-images-of-one-view-the-later",
            " or len(found) < len(sample)",
            "",
            "other_names_are_refused_with_both_lists",
        ),
    ),
    *planted(
        "processing/prompts.py",
        INSTRUCTIONS,
        (
            "the-shorter-token-of-a-template-is-meant",
            "sorted(added, key=len, reverse=True)",
            "sorted(added, key=len)",
            "of_two_tokens_of_a_template_the_longer_one_is_meant_where_both_begin",
        ),
        (
            "whitespace-tokens-are-hidden",
            " if token.strip()}",
            "}",
            "whitespace_that_a_tokenizer_has_as_a_token_is_text",
        ),
        (
            "prompts-are-always-padded-on-the-right",
            "slice(shape[1] - len(row), shape[1])",
            "slice(0, len(row))",
            "shorter_prompts_get_the_padding_token_and_the_end_token_where_there_is_none",
        ),
        (
            "the-end-token-pads",
            "(tokenizer.pad_token_id, tokenizer.eos_token_id)",
            "(tokenizer.eos_token_id, tokenizer.pad_token_id)",
            "shorter_prompts_get_the_padding_token_and_the_end_token_where_there_is_none",
        ),
    ),
    *planted(
        "training/lerobot.py",
        LEROBOT,
        (
            "videos-by-the-order-of-the-meta-files",
            "sorted(layout.episodes, key=lambda e: e.index)",
            "layout.episodes",
            "episodes_in_any_order_of_the_meta_files_have_their_own_videos",
        ),
        (
            "times-of-hours-as-exact-as-any",
            "max(tolerance, rounding(times))",
            "tolerance",
            "times_of_hours_are_only_as_exact_as_float32",
        ),
        (
            "images-in-the-datasets-folder-alone",
            ' and (folder / row["path"]).exists()',
            "",
            "images_that_lie_where_the_process_works_are_found_there",
        ),
    ),
    *planted(
        "training/lerobot_layout.py",
        LEROBOT,
        (
            "a-column-called-task-before-the-index",
            'for found in (index, [name for name in texts if name == "task"], texts)',
            'for found in ([name for name in texts if name == "task"], index, texts)',
            "a_second_column_of_texts_beside_the_instructions_is_left_alone",
        ),
    ),
    *planted(
        "training/dimension_names.py",
        ACTION_ERRORS,
        (
            "units-of-other-dimensions",
            'return found if len(found) == size else [""] * size',
            'return found or [""] * size',
            "units_are_those_of_the_dataset_where_there_is_one_for_each_dimension",
        ),
        (
            "a-rate-of-0",
            "and fps > 0 else",
            "and fps >= 0 else",
            "a_rate_is_a_number_above_0_or_none",
        ),
    ),
    *planted(
        "training/finetuning/memory.py",
        MEMORY_ESTIMATE,
        (
            "buffers-are-no-memory",
            "[*model.parameters(), *model.buffers()]",
            "model.parameters()",
            "buffers_are_stored_like_weights",
        ),
        (
            "deepspeed-shards-nothing",
            "bool(arguments.fsdp or arguments.deepspeed)",
            "bool(arguments.fsdp)",
            "gradients_are_there_twice_where_devices_share_nothing_else",
        ),
    ),
    *planted(
        "training/finetuning/run_record.py",
        RUN_DESCRIPTION,
        (
            "an-option-that-is-left-out-later-is-not-looked-at",
            "before[name] != now[name]]",
            "before[name] != now[name] and now[name]]",
            "a_run_goes_on_with_every_option_that_it_was_begun_with",
        ),
        (
            "a-share-of-the-steps-to-warm-up-is-not-recorded",
            'course["warmup_steps"] or getattr(arguments, "warmup_ratio", None) or 0',
            'course["warmup_steps"] or 0',
            "a_share_of_the_steps_to_warm_up_is_of_the_course_by_the_name_that_4_57_has_for_it",
        ),
    ),
    *planted(
        f"{PLUGIN}/robot_features.py",
        LEROBOT_PLUGIN,
        (
            "of-two-features-of-one-name-the-later",
            "view_names is not None and is_one and set",
            "view_names is not None and set",
            "views_that_cannot_be_told_apart_are_refused",
        ),
        (
            "of-two-given-views-of-one-name-the-later",
            "    if len(given) < len(views):\n",
            "    if False:\n",
            "views_that_cannot_be_told_apart_are_refused",
        ),
        (
            "views-in-the-users-order",
            "return [given[view] for view in view_names]",
            "return list(given.values())",
            "a_view_is_the_feature_of_its_name_or_the_only_one_that_it_can_be",
        ),
        (
            "a-vector-by-its-last-dimension",
            "tuple(shapes[name]) != (size,)",
            "not shapes[name] or shapes[name][-1] != size",
            "a_vector_is_a_feature_of_as_many_numbers_and_of_one_dimension",
        ),
        (
            "a-state-is-joined-beside-itself",
            "name not in features and any",
            "any",
            "a_state_in_parts_is_joined_only_where_there_is_none_as_a_whole",
        ),
    ),
    *planted(
        f"{PLUGIN}/robot_actions.py",
        LEROBOT_PLUGIN,
        (
            "a-gripper-opens-to-close",
            "torch.sign(1 - 2 * actions",
            "torch.sign(2 * actions",
            "a_gripper_of_openvla_is_closed_by_1_and_opened_by_minus_1_and_the_arm_moves_as_it_was_told",
        ),
        (
            "a-gripper-that-is-open-stays",
            "1 - 2 * actions[..., -1:]",
            "1 - actions[..., -1:]",
            "a_gripper_of_openvla_is_closed_by_1_and_opened_by_minus_1_and_the_arm_moves_as_it_was_told",
        ),
    ),
    *planted(
        f"{PLUGIN}/checkpoint_folders.py",
        LEROBOT_PLUGIN,
        (
            "a-policys-revision-is-dropped",
            "weights=weights, revision=revision",
            "weights=weights",
            "a_repository_is_read_at_the_revision_that_was_asked_for",
        ),
        (
            "a-driver-as-a-policy",
            'config.predicts != "actions"',
            "False",
            "a_checkpoint_that_predicts_no_actions_is_no_policy",
        ),
    ),
    *planted(
        "conversion/output_folder.py",
        "tests/conversion/test_output_folder.py",
        (
            "outputs-are-refused-when-all-is-done",
            "    check_output(output, overwrite)\n    output = resolved(output)",
            "    output = resolved(output)",
            "an_output_that_may_not_be_replaced_is_refused_before_anything_is_done",
        ),
    ),
]
