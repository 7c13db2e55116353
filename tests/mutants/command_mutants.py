"""Options that do not reach what they are for, what is published, and what a server answers."""

from .planted import planted

FILES = "tests/conversion/test_checkpoint_files.py"
REACH = "tests/conversion/commands/test_options_that_reach.py"
GENERIC = "tests/conversion/generic/test_generic_merge.py"
DRY_RUN = "tests/conversion/commands/test_push_dry_run.py"
EVALUATE = "tests/conversion/commands/test_evaluate.py"
PUBLISH = "tests/hub/test_publish.py"
TRAVELLING = "tests/conversion/travelling/test_travelling_files.py"
SERVER = "tests/conversion/serving/test_server.py"
FORMS = "tests/conversion/serving/test_client_forms.py"
QUEUE = "tests/conversion/serving/test_prediction_queue.py"
POLICY = "tests/conversion/serving/test_robot_policy.py"
SESSIONS = "tests/conversion/serving/test_action_sessions.py"

MUTANTS = [
    *planted(
        "training/finetuning/options.py",
        "tests/conversion/commands/test_usage.py",
        (
            "quaternions-of-any-order",
            "of a car's pose (x y z qw qx qy qz: w first)",
            "of a car's pose",
            "what_takes_rotations_says_in_which_form",
        ),
    ),
    *planted(
        "conversion/commands/verify.py",
        REACH,
        (
            "verify-base-is-ignored",
            "base=base_folder(arguments.base, adapters),",
            "base=None,",
            "verify_reads_the_base_the_runs_and_the_device",
        ),
        (
            "verify-device-is-ignored",
            "        device=arguments.device,\n",
            "",
            "verify_reads_the_base_the_runs_and_the_device",
        ),
        (
            "verify-checks-no-code",
            "arguments.quiet or arguments.json, arguments.code)]",
            "arguments.quiet or arguments.json)]",
            "tests/conversion/test_verify_folder.py::test_code_is_compared_with_this_release",
        ),
    ),
    *planted(
        "conversion/preparation.py",
        REACH,
        (
            "recomputing-on-the-cpu-alone",
            "    verify_against(plan, folder, quiet, job.device)",
            '    verify_against(plan, folder, quiet, "cpu")',
            "recomputing_takes_place_on_the_device",
        ),
    ),
    *planted(
        "conversion/commands/conversion_run.py",
        REACH,
        (
            "a-dry-run-pushes",
            "if arguments.push_to_hub and not job.dry_run:",
            "if arguments.push_to_hub:",
            "tests/conversion/generic/test_generic_merge.py::test_a_dry_run_pushes_nothing",
        ),
        (
            "no-verify-is-ignored",
            "verify=not arguments.no_verify",
            "verify=True",
            "an_option_of_a_conversion_changes_its_job_alone",
        ),
        (
            "an-upload-that-is-loud",
            '"allow_code": job.allow_code, "quiet": job.quiet}',
            '"allow_code": job.allow_code, "quiet": False}',
            "an_upload_after_a_conversion_is_as_quiet_as_the_conversion",
        ),
        (
            "code-is-published-unasked",
            '"allow_code": job.allow_code, "quiet"',
            '"allow_code": True, "quiet"',
            "an_upload_after_a_conversion_is_as_quiet_as_the_conversion",
        ),
    ),
    *planted(
        "conversion/commands/push.py",
        REACH,
        (
            "private-is-ignored",
            "        private=arguments.private,\n",
            "",
            "an_option_of_push_reaches_the_upload",
        ),
        (
            "push-quiet-is-ignored",
            "        quiet=arguments.quiet,\n",
            "",
            "an_option_of_push_reaches_the_upload",
        ),
    ),
    *planted(
        "conversion/checkpoint_files.py",
        FILES,
        (
            "no-pad-token-for-generation",
            "    settings.pad_token_id = pad_token_id\n",
            "",
            "generation_pads_as_the_model_does_whatever_its_language_model_says",
        ),
        (
            "parts-do-not-say-how-to-write",
            "next(filter(None, found), None) or",
            "",
            "a_checkpoint_writes_as_the_first_of_its_parts_that_says_how",
        ),
        (
            "settings-of-writing-from-elsewhere",
            " if not leads_out(folder / GENERATION_NAME))",
            ")",
            "a_link_that_leads_out_is_not_followed",
        ),
        (
            "a-class-of-another-name",
            "config.architectures = [family.model.__name__]",
            "pass",
            "generation_pads_as_the_model_does_whatever_its_language_model_says",
        ),
    ),
    *planted(
        "conversion/predictions/robot_prediction.py",
        REACH,
        (
            "predict-statistics-of-another-key",
            'inputs.to(device), {"unnorm_key": unnorm_key, **options})',
            'inputs.to(device), {"unnorm_key": next(iter(sorted(config.norm_stats))), **options})',
            "tests/conversion/commands/test_predict_outputs.py::test_statistics_and_state_that_are_given_are_those_of_the_prediction",
        ),
        (
            "predict-state-is-ignored",
            "    state = state or ([0.0] * size if size else None)",
            "    state = [0.0] * size if size else None",
            "tests/conversion/commands/test_predict_outputs.py::test_statistics_and_state_that_are_given_are_those_of_the_prediction",
        ),
    ),
    *planted(
        "conversion/commands/train.py",
        REACH,
        (
            "train-is-loud",
            '        given |= {"disable_tqdm": True}\n',
            "        pass\n",
            "arguments_of_the_training_reach_it",
        ),
    ),
    *planted(
        "conversion/publishing/push_checkpoint.py",
        PUBLISH,
        (
            "weights-of-another-layout-stay",
            "*(CommitOperationDelete(name) for name in files_to_delete(present, content)),",
            "",
            "weights_of_another_layout_leave_with_the_commit_that_replaces_them",
        ),
        (
            "private-for-a-public-repository",
            "    if private and not api.repo_info(repo_id).private:",
            "    if False:",
            "a_private_repository_is_hidden_and_a_public_one_is_not_taken_for_private",
        ),
        (
            "a-branch-that-is-main",
            "commit_message=message, revision=revision, create_pr=create_pr)",
            "commit_message=message, create_pr=create_pr)",
            "a_revision_becomes_a_branch_and_main_stays",
        ),
    ),
    *planted(
        "conversion/publishing/uploaded_files.py",
        PUBLISH,
        (
            "foreign-code-is-ours",
            "        known.pop(name, None)\n",
            "        pass\n",
            "code_that_is_not_ours_is_published_only_when_it_is_allowed",
            "tests/conversion/test_verify_folder.py::test_code_that_was_added_stays_foreign_when_it_is_accepted",
        ),
    ),
    *planted(
        "conversion/travelling/auto_map.py",
        TRAVELLING,
        (
            "code-that-code-imports-may-be-missing",
            "        waiting += found.siblings - seen\n",
            "",
            "allowed_code_must_lie_in_the_base[missing file]",
        ),
        (
            "custom-pipelines-pass",
            'CODE_KEYS = ("auto_map", "custom_pipelines")',
            'CODE_KEYS = ("auto_map",)',
            "code_that_an_adapter_names_never_gets_through",
        ),
        (
            "code-of-another-repository-passes",
            '    if "--" in reference:',
            "    if False:",
            "tests/conversion/test_verify_folder.py::test_an_auto_map_that_leads_elsewhere_is_an_error",
        ),
    ),
    *planted(
        "conversion/serving/action_sessions.py",
        SESSIONS,
        (
            "a-new-task-goes-on-with-the-old-chunk",
            "            if begins or task != session.task:",
            "            if begins:",
            "a_session_gets_one_action_after_the_other_and_begins_anew_with_a_task",
        ),
        (
            "all-steps-of-a-chunk",
            "session.actions.extend((await predict())[: self.n_action_steps])",
            "session.actions.extend(await predict())",
            "a_session_gets_one_action_after_the_other_and_begins_anew_with_a_task",
        ),
        (
            "the-newest-chunk-weighs-most",
            "np.exp(-self.ensemble * np.arange(len(actions)))",
            "np.exp(-self.ensemble * np.arange(len(actions))[::-1])",
            "chunks_that_have_an_action_for_a_step_are_weighed_the_oldest_first",
        ),
        (
            "chunks-that-have-ended-count",
            "while session.steps - session.chunks[0][0] >= len(session.chunks[0][1]):",
            "while session.steps - session.chunks[0][0] > len(session.chunks[0][1]):",
            "chunks_that_have_an_action_for_a_step_are_weighed_the_oldest_first",
        ),
        (
            "the-session-asked-last-is-forgotten",
            "self.sessions.popitem(last=False)",
            "self.sessions.popitem(last=True)",
            "of_too_many_sessions_the_one_that_was_asked_first_is_forgotten",
        ),
    ),
    *planted(
        "conversion/serving/prediction_queue.py",
        QUEUE,
        (
            "answers-to-others",
            "zip(batch, values, strict=True)",
            "zip(batch, values[::-1], strict=True)",
            "clients_take_turns_and_a_batch_holds_one_group",
            "requests_that_come_within_the_window_are_predicted_together",
        ),
    ),
    *planted(
        "conversion/serving/robot_policy.py",
        POLICY,
        (
            "seeds-of-requests-are-ignored",
            "with seeded(first.seed, self.device):",
            "with seeded(None, self.device):",
            "one_observation_gives_bit_for_bit_what_predict_action_gives",
        ),
        (
            "requests-of-two-datasets-together",
            "(unnorm_key, *forms_of(inputs))",
            "forms_of(inputs)",
            "requests_of_two_datasets_are_of_two_groups",
        ),
    ),
    *planted(
        "conversion/serving/observed_views.py",
        FORMS,
        (
            "left-for-right",
            " or any(are_opposite(*pair) for pair in pairs):",
            ":",
            "images_are_views_by_name_or_by_being_the_only_one_of_their_kind",
        ),
    ),
    *planted(
        "conversion/option_values.py",
        "tests/conversion/test_option_values.py",
        (
            "certainty-is-refused",
            "if not 0 < (value := number(text)) <= 1:",
            "if not 0 < (value := number(text)) < 1:",
            "an_option_takes_its_range_with_both_ends_and_nothing_else",
        ),
        (
            "nothing-is-above-zero",
            "if not 0 < (value := number(text)) < math.inf:",
            "if not 0 <= (value := number(text)) < math.inf:",
            "an_option_takes_its_range_with_both_ends_and_nothing_else",
        ),
        (
            "largest-seed-one-too-small",
            "<= int(text) <= LARGEST_SEED",
            "<= int(text) < LARGEST_SEED",
            "an_option_takes_its_range_with_both_ends_and_nothing_else",
        ),
    ),
    *planted(
        "conversion/files/view_files.py",
        "tests/conversion/files/test_view_files.py",
        (
            "files-of-a-folder-as-they-lie",
            "return sorted(path for",
            "return list(path for",
            "a_folder_stands_for_its_images_by_name_whatever_the_case_of_their_suffixes",
        ),
        (
            "files-of-views-in-any-order",
            "    if ordered is not None and ordered != list(paths):",
            "    if False:",
            "a_folder_of_files_with_the_names_of_the_views_is_in_their_order",
        ),
        (
            "suffixes-in-small-letters",
            "if path.suffix.lower() in SUFFIXES)",
            "if path.suffix in SUFFIXES)",
            "a_folder_stands_for_its_images_by_name_whatever_the_case_of_their_suffixes",
        ),
        (
            "frames-by-the-alphabet",
            "key=numbered)",
            "key=None)",
            "frames_of_a_camera_are_in_the_order_of_the_numbers_in_their_names",
        ),
        (
            "seconds-without-their-fraction",
            "([0-9]+(?:\\.[0-9]+)?)",
            "([0-9]+)",
            "frames_of_a_camera_are_in_the_order_of_the_numbers_in_their_names",
        ),
        (
            "views-of-a-folder-by-the-alphabet",
            "return by_views(found, view_names) or found",
            "return found",
            "a_folder_of_files_with_the_names_of_the_views_is_in_their_order",
            "predictions_and_cards_see_the_views_of_a_folder_in_the_order_of_training",
        ),
        (
            "views-with-the-prefix-of-columns-are-others",
            "{short_name(view_of(path)).lower(): path",
            "{view_of(path).lower(): path",
            "a_folder_of_files_with_the_names_of_the_views_is_in_their_order",
        ),
    ),
    *planted(
        "conversion/commands/serve.py",
        "tests/conversion/serving/test_serve_command.py",
        (
            "steps-and-averages-together",
            "if steps is not None and arguments.temporal_ensemble is not None:",
            "if False:",
            "what_cannot_be_served_is_refused_before_weights_are_read",
        ),
        (
            "names-of-routes-for-models",
            "if not NAME.fullmatch(name) or name in RESERVED:",
            "if not NAME.fullmatch(name):",
            "what_cannot_be_served_is_refused_before_weights_are_read",
        ),
    ),
    *planted(
        "conversion/commands/serve.py",
        "tests/conversion/serving/test_serve_command.py",
        (
            "whole-chunks-are-refused",
            "steps > (most or 0)",
            "steps >= (most or 0)",
            "as_many_actions_of_a_chunk_are_executed_as_it_has_at_most",
        ),
    ),
    *planted(
        "conversion/commands/stats.py",
        "tests/training/test_statistics.py",
        (
            "anything-with-one-dataset-of-actions-is-replaced",
            "return all(isinstance(part, dict) and",
            "return any(isinstance(part, dict) and",
            "a_file_is_of_statistics_where_each_of_its_datasets_has_actions",
        ),
        (
            "all-rows-are-a-sample",
            "len(frames) > arguments.exact_rows",
            "len(frames) >= arguments.exact_rows",
            "columns_name_and_sample_size_can_be_given",
        ),
        (
            "names-of-a-dataset-are-not-recorded",
            "        record_names(statistics, folder, columns)\n",
            "",
            "the_command_records_the_names_of_the_dataset",
        ),
    ),
]
