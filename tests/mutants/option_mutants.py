"""What commands take and refuse, and what they say at their end; what a server tells its clients."""

from .planted import planted

COMMANDS = "tests/conversion/commands"

MUTANTS = [
    *planted(
        "conversion/commands/train_options.py",
        f"{COMMANDS}/test_train_options.py",
        (
            "a-switch-that-is-given-is-off",
            '"nargs": "?", "const": True, "metavar"',
            '"nargs": "?", "const": False, "metavar"',
            "what_was_given_is_in_the_namespace_as_what_it_is_and_nothing_else",
        ),
        (
            "whole-numbers-as-shares",
            "return int(value) if value.is_integer() else value",
            "return value",
            "what_was_given_is_in_the_namespace_as_what_it_is_and_nothing_else",
        ),
        (
            "columns-by-each-others-names",
            '"action": ["--action-column"],\n    "state": ["--state-column"],',
            '"action": ["--state-column"],\n    "state": ["--action-column"],',
            "what_was_given_is_in_the_namespace_as_what_it_is_and_nothing_else",
        ),
        (
            "defaults-of-nothing-are-shown",
            "value in (None, False, 0.0, [])",
            "value in (None, False)",
            "help_shows_defaults_and_on_demand_everything",
        ),
        (
            "defaults-of-training-arguments-count-as-given",
            "action.default, action.required = argparse.SUPPRESS, False",
            "action.required = False",
            "nothing_has_a_default_and_only_what_must_be_is_required",
        ),
    ),
    *planted(
        "conversion/cards/executed_card.py",
        "tests/conversion/cards/test_executed_card.py",
        (
            "metadata-are-not-looked-at",
            "    check_metadata(text)\n",
            "",
            "metadata_that_the_hub_cannot_read_are_refused_before_anything_runs",
        ),
        (
            "code-by-its-place-is-run",
            "code_not_ours(folder) + generation_code(folder)",
            "code_not_ours(folder)",
            "code_that_transformers_runs_by_its_place_is_not_run_unasked",
        ),
        (
            "images-that-are-kept-again-are-removed",
            'no_longer_shown(folder, known or "") if name not in files}',
            'no_longer_shown(folder, known or "")}',
            "images_are_kept_when_it_is_asked_for_without_what_a_camera_noted",
        ),
        (
            "a-new-card-is-somebodys",
            "ours = known is None or is_unedited(known)",
            "ours = known is not None and is_unedited(known)",
            "a_folder_without_a_card_gets_one",
        ),
        (
            "a-picture-that-was-removed-was-written",
            'if files.get(PICTURE_NAME) else ""',
            'if PICTURE_NAME in files else ""',
            "weights_of_an_older_card_take_their_picture_with_them",
        ),
        (
            "somebodys-own-picture-is-removed",
            " and is_marked(picture, PREDICTION_MARK)",
            "",
            "tests/conversion/cards/test_card_request.py::test_pictures_that_are_shown_no_longer_are_those_of_cards_alone",
        ),
        (
            "code-without-a-run-draws-images",
            "drawn=request.run and not images.files",
            "drawn=not images.files",
            "tests/conversion/cards/test_card_request.py::test_the_example_draws_images_where_it_runs_and_nobody_gave_any",
        ),
    ),
    *planted(
        "conversion/serving/server.py",
        "tests/conversion/serving/test_server_socket.py",
        (
            "any-name-of-this-machine-is-loopback",
            "not is_loopback(address[0])",
            "not is_loopback(host)",
            "an_address_that_others_reach_needs_a_token_whatever_its_name",
        ),
        (
            "a-second-signal-waits-too",
            "while self.service.open and not self.force_exit:",
            "while self.service.open:",
            "open_requests_are_waited_for_unless_a_second_signal_comes",
        ),
        (
            "websockets-of-any-size",
            "ws_max_size=service.limits.body",
            "ws_max_size=2**24",
            "what_a_server_takes_is_what_the_limits_say",
        ),
        (
            "signals-stay-the-servers",
            "                signal.signal(number, handler)\n",
            "                pass\n",
            "signals_end_a_server_of_the_main_thread_and_are_anybodys_again_afterwards",
        ),
    ),
    *planted(
        "conversion/serving/refusals.py",
        "tests/conversion/serving/test_refusals.py",
        (
            "errors-of-the-server-are-the-clients",
            "return 400 if isinstance(error, InputError) else 500",
            "return 400 if isinstance(error, VLAError) else 500",
            "a_client_is_told_what_it_can_mend",
        ),
        (
            "halves-of-characters-are-sent",
            'return shown.encode(errors="backslashreplace").decode()',
            "return shown",
            "a_message_has_an_end_and_whole_characters",
        ),
    ),
    *planted(
        "conversion/commands/error_boundary.py",
        f"{COMMANDS}/test_cli.py",
        (
            "what-was-there-before-was-written",
            "return status.st_dev, status.st_ino, status.st_mtime_ns",
            "return status.st_dev, status.st_ino",
            "an_interrupt_names_what_was_written_anew_and_nothing_that_was_there",
        ),
        (
            "words-of-an-interrupt-are-lost",
            "str(error) or interruption(arguments, before)",
            "interruption(arguments, before)",
            "an_interrupt_with_words_of_its_own_says_them",
        ),
        (
            "a-broken-pipe-to-a-file-is-a-reader-that-left",
            "if error.filename is not None or not stdout_is_closed():",
            "if not stdout_is_closed():",
            "every_failure_is_one_line_and_1",
        ),
    ),
    *planted(
        "conversion/commands/data.py",
        "tests/conversion/datasets/test_data_command.py",
        (
            "versions-of-a-dataset-are-not-seen",
            ' or any(source.glob("*/features.json"))',
            "",
            "a_format_is_known_by_the_names_of_files",
        ),
        (
            "actions-are-states",
            "Choice(arguments.action, arguments.state, arguments.images",
            "Choice(arguments.state, arguments.action, arguments.images",
            "entries_of_the_command_line_are_each_their_own",
        ),
    ),
    *planted(
        "conversion/commands/model_kinds.py",
        f"{COMMANDS}/test_model_kinds.py",
        (
            "options-of-zero-are-not-given",
            "if getattr(arguments, option) is not None]",
            "if getattr(arguments, option)]",
            "options_of_other_kinds_are_refused_by_name_whatever_their_value",
        ),
        (
            "one-file-by-two-spellings",
            "first.setdefault(path.resolve(), name)",
            "first.setdefault(path, name)",
            "one_file_by_two_names_is_refused_and_one_inside_of_the_checkpoint_told_of",
        ),
    ),
    *planted(
        "conversion/predictions/prediction.py",
        f"{COMMANDS}/test_model_kinds.py",
        (
            "anything-with-actions-in-it-is-a-prediction",
            "self.result <= set(content) <= self.result | self.sometimes or",
            "self.result <= set(content) or",
            "an_earlier_result_is_known_by_all_its_names",
        ),
        (
            "an-option-of-robots-that-cars-take",
            '"unnorm_key", "advantage", "embodiment_id", "num_samples"),\n        add_arguments',
            '"unnorm_key", "advantage", "num_samples"),\n        add_arguments',
            "every_option_that_a_kind_declares_is_one_that_others_refuse",
        ),
        (
            "pictures-where-numbers-are-written",
            'picture = (trace, files["plot"]) if "plot" in files else None',
            'picture = (trace, files.get("plot")) if "output" in files else None',
            "a_picture_is_drawn_where_one_was_asked_for",
        ),
    ),
    *planted(
        "conversion/predictions/processes.py",
        "tests/conversion/predictions/test_processes.py",
        (
            "processes-that-are-missing",
            "if state.num_processes != count:",
            "if False:",
            "one_device_for_several_processes_and_processes_that_are_missing_are_refused",
        ),
        (
            "the-last-process-prints",
            "return self.rank == 0",
            "return self.rank == self.count - 1",
            "of_several_processes_the_first_prints",
        ),
        (
            "one-process-on-the-cpu-whatever-was-asked",
            'device or "cpu", nullcontext)',
            '"cpu", nullcontext)',
            "one_process_is_the_main_one_and_computes_where_it_is_told",
        ),
    ),
    *planted(
        "conversion/commands/shared_arguments.py",
        "tests/conversion/test_option_values.py",
        (
            "sizes-by-powers-of-two",
            '"MB": 10**6',
            '"MB": 2**20',
            "an_option_of_one_command_takes_its_range_and_nothing_else",
        ),
    ),
    *planted(
        "conversion/commands/suggesting_parser.py",
        f"{COMMANDS}/test_suggesting_parser.py",
        (
            "values-of-three-words",
            "max(place - 2, 0) : place",
            "max(place - 1, 0) : place",
            "wrong_usage_is_two_lines_with_what_was_meant",
        ),
        (
            "options-behind-two-dashes",
            'or word == "--":',
            ":",
            "wrong_usage_is_two_lines_with_what_was_meant",
        ),
        (
            "any-likeness-before-another-commands-option",
            "CLOSER if elsewhere else CLOSE",
            "CLOSE",
            "an_option_of_another_command_is_said_to_be_one_unless_it_is_almost_one_of_this",
        ),
    ),
    *planted(
        "conversion/commands/listed_values.py",
        f"{COMMANDS}/test_listed_values.py",
        (
            "files-with-commas-are-several",
            " or exists(Path(text)):",
            ":",
            "paths_with_commas_between_them_are_told_how_several_are_given",
        ),
        (
            "names-of-views-are-parts-of-paths",
            'Path(part.partition("=")[2] or part)',
            "Path(part)",
            "paths_with_commas_between_them_are_told_how_several_are_given",
        ),
    ),
    *planted(
        "conversion/commands/told_command.py",
        f"{COMMANDS}/test_told_command.py",
        (
            "folders-by-the-way-to-them",
            "return path.resolve().name if path.exists() else path.name",
            "return path.name",
            "a_folder_is_told_by_its_own_name_however_it_is_reached",
        ),
    ),
    *planted(
        "conversion/commands/command.py",
        f"{COMMANDS}/test_cli.py",
        (
            "examples-are-wrapped",
            'if text.startswith("example:"):',
            "if False:",
            "help_says_in_sentences_what_is_required_with_an_example_that_parses",
        ),
    ),
    *planted(
        "conversion/commands/conversion_run.py",
        f"{COMMANDS}/test_conversion_run.py",
        (
            "plans-need-an-empty-output",
            "input_paths(arguments), arguments.dry_run)",
            "input_paths(arguments))",
            "a_repository_that_cannot_be_one_and_an_output_in_use_are_refused_first",
        ),
        (
            "outputs-inside-of-the-base-are-not-told-of",
            "[*job.adapters, *([job.base] if job.base else []), *job.parts.values()]",
            "[*job.adapters, *job.parts.values()]",
            "an_output_inside_of_a_source_is_told_of",
        ),
        (
            "weights-of-parts-that-are-not-read",
            "weights=with_weights[role])",
            "weights=True)",
            "runs_base_and_parts_have_their_roles_and_weights_are_looked_for_where_they_are_read",
        ),
    ),
    *planted(
        "conversion/commands/completion.py",
        "tests/conversion/test_option_values.py",
        (
            "the-program-is-a-word",
            "return shlex.split(line)[1:]",
            "return shlex.split(line)",
            "a_shell_asks_for_the_words_behind_the_program",
        ),
    ),
    *planted(
        "conversion/mapanything_llava3d/options.py",
        "tests/conversion/mapanything_llava3d/test_llava3d_options.py",
        (
            "embodiments-do-not-reach-the-config",
            '    "num_embodiments",\n)',
            ")",
            "options_that_are_fields_of_the_config_reach_it_as_they_are",
        ),
        (
            "a-run-without-state-has-one",
            'dest="use_state", action="store_const", const=False',
            'dest="use_state", action="store_const", const=True',
            "each_option_is_read_as_what_it_is_and_changes_nothing_else",
        ),
    ),
    *planted(
        "conversion/commands/create.py",
        f"{COMMANDS}/test_create_options.py",
        (
            "options-of-the-first-family",
            "for name in named[-1:]:",
            "for name in named[:1]:",
            "the_options_are_those_of_the_family_that_is_named_last",
        ),
        (
            "families-without-a-start-are-choices",
            'names = [family.name for family in FAMILIES.values() if "create" in family.arguments]',
            "names = [family.name for family in FAMILIES.values()]",
            "families_that_have_no_start_are_no_choice",
        ),
    ),
    *planted(
        "conversion/commands/serve.py",
        "tests/conversion/serving/test_serve_command.py",
        (
            "names-within-paths",
            'if not equals or "/" in name:',
            "if not equals:",
            "a_model_has_the_name_before_the_equals_sign_or_that_of_its_folder",
        ),
        (
            "the-variable-before-the-file",
            '(os.environ[TOKEN] if path is None else path.read_text(encoding="utf-8"))',
            '(os.environ.get(TOKEN) or path.read_text(encoding="utf-8"))',
            "the_token_of_a_file_counts_before_that_of_the_variable",
        ),
        (
            "unfinished-folders-are-served",
            "    for folder in folders.values():\n        check_ready(folder)\n",
            "",
            "every_option_of_requests_batches_and_sessions_reaches_its_own_place",
        ),
    ),
    *planted(
        "conversion/commands/train_options.py",
        "tests/conversion/commands/test_train_options.py",
        (
            "shares-of-steps-between-checkpoints-are-refused",
            '"save_steps": ([], {"type": number}',
            '"save_steps": ([], {"type": int}',
            "what_was_given_is_in_the_namespace_as_what_it_is_and_nothing_else",
        ),
        (
            "output-dir-by-half-of-its-names",
            '"--output", "--output-dir", "--output_dir"',
            '"--output", "--output-dir"',
            "the_folder_of_a_run_is_named_as_here_or_as_in_transformers",
        ),
        (
            "a-value-behind-an-equals-sign-is-part-of-the-option",
            '{word.partition("=")[0] for word in argv if word',
            "{word for word in argv if word",
            "transformers_is_asked_for_its_options_where_a_word_may_be_one",
        ),
    ),
    *planted(
        "conversion/commands/shared_arguments.py",
        "tests/conversion/test_option_values.py",
        (
            "sizes-of-less-than-a-byte",
            "if not 1 <= size < math.inf",
            "if not 0 < size < math.inf",
            "an_option_of_one_command_takes_its_range_and_nothing_else",
        ),
    ),
]
