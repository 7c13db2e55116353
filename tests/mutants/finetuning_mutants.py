"""What a fine-tune makes of its options: of data, model, arguments, folder and card."""

from .planted import planted

ARGUMENTS = "tests/training/test_finetuning_arguments.py"
CHECKPOINTING_ARGUMENTS = "tests/training/test_checkpointing_arguments.py"
OVERVIEW = "tests/training/test_overview.py"
COURSE = "tests/training/test_finetuning_run.py"
FINITE_GUARD = "tests/training/test_finite_guard.py"
HEALTH = "tests/training/test_health.py"
INTERRUPTION = "tests/training/test_interruption.py"
MEMORY_ESTIMATE = "tests/training/test_memory_estimate.py"
RUN_CARD = "tests/training/test_run_card.py"
RUN_DATA = "tests/training/test_run_data.py"
RUN_DESCRIPTION = "tests/training/test_run_description.py"
RUN_FOLDER = "tests/training/test_run_folder.py"
RUN_MODEL = "tests/training/test_run_model.py"
SETTLED_OPTIONS = "tests/training/test_settled_options.py"
TRAINER = "tests/training/test_trainer.py"

MUTANTS = [
    *planted(
        "training/finetuning/run_data.py",
        RUN_DATA,
        (
            "columns-are-missed-behind-the-statistics",
            "    require_columns(frames, [*options.images, *texts_of(options, config)])\n",
            "",
            "a_column_that_is_missing_is_told_of_before_all_rows_are_read",
        ),
        (
            "statistics-of-the-whole-are-those-of-others",
            "rows = len(frames) + len(held_out or ())",
            "rows = len(frames)",
            "statistics_of_the_whole_dataset_are_not_said_to_be_of_others",
        ),
        (
            "views-that-only-the-processor-knows",
            "processor.view_names or config.view_names, options",
            "config.view_names, options",
            "views_are_those_that_were_named_else_those_that_the_checkpoint_saw",
        ),
        (
            "named-views-lose-to-the-checkpoints",
            "config.view_names, options.images)\n    views",
            "config.view_names, [])\n    views",
            "views_are_those_that_were_named_else_those_that_the_checkpoint_saw",
        ),
        (
            "examples-are-refused-by-the-first-step",
            "    collator([found[0]])  # for what it refuses\n",
            "",
            "an_example_that_the_model_does_not_take_is_refused_before_it_is_loaded",
        ),
        (
            "what-is-learnt-is-measured",
            "collator.examples_from(held_out, columns)",
            "collator.examples_from(frames, columns)",
            "what_is_held_out_is_measured_and_not_learnt",
        ),
        (
            "examples-are-rows",
            "state, len(frames), assumed)",
            "state, len(found), assumed)",
            "rows_of_a_run_are_those_of_its_data_however_many_examples_they_make",
        ),
        (
            "cars-need-an-instruction",
            "options.text or (None if config.normalization_type is None else INSTRUCTION)",
            "options.text or INSTRUCTION",
            "a_car_needs_no_instruction_unless_one_is_named",
        ),
        (
            "answers-of-the-default-column-are-not-learnt",
            "(options.answer or ANSWER) if options.learn_text",
            "options.answer if options.learn_text",
            "every_option_of_a_column_names_the_one_that_is_for_it",
        ),
        (
            "advantages-are-weights",
            "names = options.weight_column, options.advantage_column, options.embodiment_column, answer",
            "names = options.advantage_column, options.weight_column, options.embodiment_column, answer",
            "every_option_of_a_column_names_the_one_that_is_for_it",
        ),
        (
            "the-last-action-is-never-repeated",
            "*names, options.repeat_last)",
            "*names)",
            "every_option_of_a_column_names_the_one_that_is_for_it",
        ),
        (
            "a-named-state-is-left-out-beside-none",
            "options.state == [STATE] and STATE not in frames.column_names",
            "STATE not in frames.column_names",
            "a_state_that_was_named_is_never_left_out",
        ),
        (
            "images-are-never-augmented",
            "RandomAugmentation() if options.augment else None",
            "None",
            "a_collator_learns_what_the_options_say",
        ),
        (
            "a-vlm-by-text-alone-learns-actions",
            '"learn_actions": False}',
            '"learn_actions": True}',
            "a_collator_learns_what_the_options_say",
        ),
        (
            "trajectories-as-text-are-not-learnt",
            "if options.trajectory_text else {}",
            "if False else {}",
            "a_collator_learns_what_the_options_say",
        ),
        (
            "given-statistics-are-assumed-to-be-computed",
            "not options.statistics and not Path",
            "not Path",
            "what_nobody_said_is_told_and_nothing_else",
        ),
        (
            "views-are-taken-for-granted-in-silence",
            "if not options.images and not config.view_names:",
            "if options.images and not config.view_names:",
            "what_nobody_said_is_told_and_nothing_else",
        ),
        (
            "what-was-assumed-is-not-said",
            "state, len(frames), assumed)",
            "state, len(frames))",
            "a_run_has_what_was_assumed_of_it_beside_its_data",
        ),
    ),
    *planted(
        "training/finetuning/arguments.py",
        ARGUMENTS,
        (
            "unknown-arguments-end-in-a-traceback",
            "except (ValueError, TypeError, ImportError) as error:",
            "except (ValueError, ImportError) as error:",
            "what_transformers_refuses_is_told_of_in_its_own_words",
            "an_argument_that_there_is_not_is_told_of",
        ),
        (
            "zero3-splits-a-model-that-is-being-loaded",
            "    unset_hf_deepspeed_config()  # ZeRO-3",
            "    pass  # ZeRO-3",
            "a_model_is_loaded_whole_before_deepspeed_splits_it",
        ),
        (
            "a-run-removes-the-data-that-it-reads",
            "sources = options.model, options.dataset",
            "sources = (options.model,)",
            "what_a_run_reads_is_not_removed_by_it",
        ),
        (
            "arguments-without-effect-pass",
            '        if getattr(arguments, name):\n            raise InputError(f"--{name} has no',
            '        if False:\n            raise InputError(f"--{name} has no',
            "an_argument_that_has_no_effect_or_would_end_badly_is_refused",
        ),
        (
            "what-a-trainer-refuses-is-refused-behind-the-loading",
            "    check_trainers_arguments(arguments)\n",
            "",
            "an_argument_that_has_no_effect_or_would_end_badly_is_refused",
        ),
        (
            "trackers-are-missed-behind-the-loading",
            "    check_trackers(arguments.report_to)\n",
            "",
            "an_argument_that_has_no_effect_or_would_end_badly_is_refused",
            "a_tracker_that_is_not_installed_is_named_with_its_package",
        ),
        (
            "packages-by-the-names-of-their-trackers",
            "PACKAGES.get(name, name)",
            "name",
            "a_tracker_that_is_not_installed_is_named_with_its_package",
        ),
        (
            "optimisers-are-missed-behind-the-loading",
            "    check_optimizer(arguments)\n",
            "",
            "an_optimiser_that_cannot_be_made_is_refused_but_for_one_that_is_made_for_a_model",
        ),
        (
            "optimisers-of-a-model-are-made-without-it",
            "    if name.startswith(OF_THEIR_MODEL):",
            "    if False:",
            "an_optimiser_that_cannot_be_made_is_refused_but_for_one_that_is_made_for_a_model",
        ),
        (
            "optimisers-by-the-name-of-their-enum",
            'name = str(getattr(arguments.optim, "value", arguments.optim))',
            "name = str(arguments.optim)",
            "an_optimiser_that_cannot_be_made_is_refused_but_for_one_that_is_made_for_a_model",
        ),
    ),
    *planted(
        "training/finetuning/arguments.py",
        CHECKPOINTING_ARGUMENTS,
        (
            "checkpointing-by-its-newer-name-is-switched-off",
            "if hasattr(self, new) and getattr(self, new) is None:",
            "if hasattr(self, new):",
            "checkpointing_by_its_newer_name_is_what_was_asked_for",
        ),
    ),
    *planted(
        "training/finetuning/overview.py",
        OVERVIEW,
        (
            "what-is-not-masked-passes",
            'found.get("mask") or [True] * len(pairs)',
            'found.get("mask") or [False] * len(pairs)',
            "statistics_are_those_that_normalise_and_without_a_mask_all_dimensions_are",
        ),
        (
            "states-are-shown-as-gradients",
            'names = ("weights", "gradients", "states", "activations", "total")',
            'names = ("weights", "states", "gradients", "activations", "total")',
            "memory_is_shown_by_what_it_is_of",
        ),
        (
            "what-trains-is-shown-as-all",
            "trained, everything = (sum",
            "everything, trained = (sum",
            "parts_are_shown_with_what_trains_of_them",
        ),
        (
            "notes-below-tables-are-lost",
            '        lines += [f"  {note}" for note in table.notes]\n',
            "",
            "tables_are_text_with_columns_as_wide_as_their_widest_cell",
        ),
        (
            "dimensions-of-the-hub-have-no-names",
            "dataset_folder(options.dataset) or options.dataset\n    rows",
            "options.dataset\n    rows",
            "dimensions_of_a_dataset_on_the_hub_have_the_names_of_its_download",
        ),
    ),
    *planted(
        "training/finetuning/run_card.py",
        RUN_CARD,
        (
            "an-edited-card-of-a-run-is-lost",
            "    if not is_unedited(known):\n        return\n",
            "",
            "a_card_that_somebody_edited_stays",
        ),
        (
            "cards-that-grow-with-each-part-of-a-run",
            "body_of(known).partition(HEADING)[0]",
            "body_of(known)",
            "a_run_that_is_gone_on_with_renews_what_its_card_says",
        ),
        (
            "cards-of-runs-are-nobodys",
            "write_whole(path, stamped(text, base_of(found.model).config))",
            "write_whole(path, text)",
            "a_run_that_is_gone_on_with_renews_what_its_card_says",
        ),
        (
            "steps-that-were-asked-for-are-said-to-be-done",
            '        **settings_of(data, options, found.arguments),\n        "steps": f"{steps:,}",\n',
            '        "steps": f"{steps:,}",\n        **settings_of(data, options, found.arguments),\n',
            "a_card_says_what_was_trained_on_what_and_to_which_figures",
        ),
        (
            "cards-of-runs-leak-their-places",
            "code(shown_name(options.model))",
            "code(options.model)",
            "the_command_that_merges_a_run_is_one_that_a_shell_takes",
        ),
    ),
    *planted(
        "training/finetuning/run_model.py",
        RUN_MODEL,
        (
            "weights-are-loaded-in-float32",
            "getattr(torch, options.dtype)",
            "torch.float32",
            "weights_are_loaded_in_the_dtype_that_was_asked_for",
        ),
        (
            "trajectories-as-text-reach-nothing",
            '{"action_loss_only": not options.learns_text}',
            '{"action_loss_only": not options.learn_text}',
            "groups_have_the_layers_and_the_rates_that_were_asked_for",
        ),
        (
            "a-gradient-is-let-through-by-nobody",
            "    if options.stop_grad_from_vlm is not None:\n",
            "    if options.stop_grad_from_vlm:\n",
            "a_gradient_is_stopped_or_not_where_the_options_say_either",
        ),
        (
            "alpha-is-that-of-everybody",
            "options.rank, options.alpha, **only",
            "options.rank, **only",
            "an_adapter_is_of_the_rank_and_alpha_that_were_asked_for",
        ),
        (
            "the-backbones-rate-is-that-of-everybody",
            "layers, options.backbone_lr_scale, **only)",
            "layers, **only)",
            "groups_have_the_layers_and_the_rates_that_were_asked_for",
        ),
    ),
    *planted(
        "training/finetuning/run_record.py",
        RUN_DESCRIPTION,
        (
            "runs-without-a-record-are-none",
            "        if not results_in(folder):\n",
            "        if True:\n",
            "a_record_of_an_earlier_release_says_nothing_of_the_arguments",
        ),
    ),
    *planted(
        "training/finetuning/unread_options.py",
        RUN_DESCRIPTION,
        (
            "models-without-a-state-have-many-embodiments",
            "return unread if config.state_size else unread | {",
            "return unread if config.state_size else {",
            "an_option_that_nothing_reads_is_refused",
        ),
        (
            "options-of-0-are-not-given",
            "if name in given and train not in kinds",
            "if given.get(name) and train not in kinds",
            "an_option_of_another_kind_of_training_is_refused_with_the_value_that_it_has_anyway",
        ),
    ),
    *planted(
        "training/run_folder.py",
        TRAINER,
        (
            "the-last-checkpoint-by-its-letters",
            'key=lambda path: int(path.name.split("-")[-1])',
            "key=lambda path: path.name",
            "the_last_checkpoint_is_the_whole_one_of_the_largest_step",
        ),
    ),
    *planted(
        "training/run_folder.py",
        RUN_FOLDER,
        (
            "copies-of-checkpoints-go-with-their-run",
            "return CHECKPOINT.fullmatch(path.name) is not None and path.is_dir()",
            "return path.is_dir()",
            "a_copy_of_a_checkpoint_that_somebody_named_is_no_part_of_a_run[checkpoint-3-copy]",
        ),
        (
            "files-named-like-checkpoints-are-runs",
            "CHECKPOINT.fullmatch(path.name) is not None and path.is_dir()",
            "CHECKPOINT.fullmatch(path.name) is not None",
            "a_copy_of_a_checkpoint_that_somebody_named_is_no_part_of_a_run",
        ),
        (
            "resume-wins-over-overwrite",
            "    if resume and overwrite:",
            "    if False:",
            "a_run_is_gone_on_with_or_replaced_and_not_both",
        ),
        (
            "what-lies-in-a-checkpoint-is-removed-under-its-reader",
            "        if place in removed or removed.intersection(place.parents) - {folder.resolve()}:",
            "        if place in removed:",
            "what_a_run_reads_is_not_removed_by_whatever_name_it_has",
        ),
        (
            "what-is-read-by-a-link-is-removed",
            "place = Path(source).resolve()",
            "place = Path(source)",
            "what_a_run_reads_is_not_removed_by_whatever_name_it_has",
        ),
        (
            "a-base-is-replaced-by-its-adapter",
            "{path.resolve() for path in [folder, *found]}",
            "{path.resolve() for path in found}",
            "what_a_run_reads_is_not_removed_by_whatever_name_it_has",
        ),
        (
            "links-to-nothing-are-places",
            "if os.path.lexists(path))",
            "if os.path.exists(path))",
            "a_link_to_nothing_is_no_place_for_a_run",
        ),
        (
            "folders-that-are-read-only-are-found-out-late",
            "os.W_OK | os.X_OK",
            "os.X_OK",
            "a_folder_has_to_be_one_in_which_files_can_be_made",
        ),
        (
            "torch-files-of-others-are-written-over",
            '".pt", ".pth", ".py"',
            '".pth", ".py"',
            "a_folder_with_files_of_something_else_is_no_folder_of_a_run",
        ),
        (
            "files-that-are-not-named-are-counted-all",
            "len(foreign) - SHOWN} more",
            "len(foreign)} more",
            "of_many_files_the_first_are_named_and_the_others_counted",
        ),
    ),
    *planted(
        "training/run_folder.py",
        RUN_DESCRIPTION,
        (
            "base-weights-of-an-adapter-stay-beside-a-whole-model",
            '*("view_names.json", "base_weights.json"),',
            '*("view_names.json",),',
            "what_describes_a_run_goes_with_it_and_what_somebody_wrote_stays",
        ),
    ),
    *planted(
        "training/finetuning/memory.py",
        MEMORY_ESTIMATE,
        (
            "activations-of-bfloat16-are-halved",
            "all(p.element_size() == 4 for p in trained)",
            "any(p.element_size() == 4 for p in trained)",
            "activations_are_half_only_where_all_that_trains_is_float32",
        ),
        (
            "float16-computes-in-float32",
            "(arguments.bf16 or arguments.fp16) and",
            "arguments.bf16 and",
            "activations_are_those_of_each_example_and_half_in_the_place_of_float32",
        ),
        (
            "checkpointing-is-not-told-of",
            "    if checkpoints(arguments):",
            "    if False:",
            "checkpointing_by_either_name_is_told_of_beside_the_activations",
        ),
        (
            "states-by-the-name-of-an-enum",
            'str(getattr(arguments.optim, "value", arguments.optim))',
            "str(arguments.optim)",
            "an_optimisers_states_are_those_of_the_weights_that_train",
        ),
        (
            "states-of-bfloat16-are-float32",
            "(p.element_size() if size is None else size)",
            "(4 if size is None else size)",
            "all_weights_are_stored_and_those_that_train_have_gradients",
        ),
    ),
    *planted(
        "training/finetuning/trained_parts.py",
        OVERVIEW,
        (
            "parts-by-the-names-of-peft",
            '.removeprefix("base_model.model.")',
            "",
            "parts_inside_of_peft_have_the_names_of_the_model",
        ),
        (
            "frozen-adapters-train",
            '            part.lora += count if ".lora_" in own else 0',
            '        part.lora += count if ".lora_" in own else 0',
            "parts_inside_of_peft_have_the_names_of_the_model",
        ),
    ),
    *planted(
        "training/finetuning/settled_options.py",
        SETTLED_OPTIONS,
        (
            "trajectories-as-text-teach-a-vlm-nothing",
            'options.stop_grad_from_vlm, options.train != "A", options.learns_text)',
            'options.stop_grad_from_vlm, options.train != "A", options.learn_text)',
            "a_gradient_that_stops_goes_with_text_and_with_stage_a",
        ),
        (
            "text-that-weighs-nothing-is-refused",
            "if not 0 <= options.text_weight <",
            "if not 0 < options.text_weight <",
            "text_that_weighs_nothing_may_be_learnt",
        ),
        (
            "text-outweighs-all",
            '< float("inf"):',
            '<= float("inf"):',
            "what_a_config_settles_is_refused_by_it",
        ),
        (
            "layers-that-nobody-counts-are-compared",
            "layers if depth is None else depth",
            "depth",
            "a_config_that_counts_no_layers_leaves_their_number_to_the_model",
        ),
    ),
    *planted(
        "training/finetuning/interruption.py",
        INTERRUPTION,
        (
            "a-training-in-a-thread-handles-interrupts",
            " or threading.current_thread() is not threading.main_thread():",
            ":",
            "a_training_in_a_thread_leaves_interrupts_to_the_process",
        ),
    ),
    *planted(
        "training/finite_guard.py",
        FINITE_GUARD,
        (
            "only-the-last-batch-of-a-step-is-looked-at",
            '{"loss": torch.stack(self.losses),',
            '{"loss": self.losses[-1],',
            "a_step_is_skipped_for_any_of_the_losses_that_make_it",
        ),
        (
            "losses-of-an-interrupted-step-are-those-of-the-next-training",
            "        self.losses: list[torch.Tensor] = []\n",
            '        self.losses = getattr(self, "losses", [])\n',
            "a_training_counts_anew_whatever_was_left_of_the_one_before",
        ),
        (
            "a-training-has-learnt-what-the-one-before-did",
            "        self.in_a_row = self.in_all = self.taken = 0\n",
            '        self.in_a_row = self.in_all = 0\n        self.taken = getattr(self, "taken", 0)\n',
            "a_training_counts_anew_whatever_was_left_of_the_one_before",
        ),
        (
            "skipped-steps-are-for-reporters-alone",
            'logs["skipped_steps"] = state.log_history[-1]["skipped_steps"] = self.in_all',
            'logs["skipped_steps"] = self.in_all',
            "a_step_is_skipped_for_any_of_the_losses_that_make_it",
        ),
        (
            "frozen-weights-are-finite",
            "for name, p in model.named_parameters() if p.is_floating_point()}",
            "for name, p in model.named_parameters() if p.requires_grad}",
            "weights_are_looked_at_also_where_they_are_frozen_and_where_they_are_no_floats",
        ),
        (
            "weights-on-meta-are-looked-at",
            "if tensor.numel() and not tensor.is_meta}",
            "if tensor.numel()}",
            "what_has_no_numbers_is_finite_and_what_is_not_is_named",
        ),
        (
            "parameters-that-are-not-named-are-counted-all",
            "len(names) - NAMED} more",
            "len(names)} more",
            "the_first_names_are_said_and_the_others_counted",
        ),
    ),
    *planted(
        "training/health.py",
        HEALTH,
        (
            "gradients-of-what-is-frozen-are-watched",
            "            if parameter.requires_grad:\n",
            "            if True:\n",
            "gradients_are_of_what_trains_and_has_exactly_the_name_that_is_watched",
        ),
        (
            "gradients-of-names-that-are-alike-are-watched",
            'if part in name.split("."):',
            "if part in name:",
            "gradients_are_of_what_trains_and_has_exactly_the_name_that_is_watched",
        ),
        (
            "one-part-without-a-gradient-hides-all",
            "if all(parameter.grad is None for",
            "if any(parameter.grad is None for",
            "gradients_are_of_what_trains_and_has_exactly_the_name_that_is_watched",
        ),
        (
            "figures-keep-the-graphs-of-their-steps",
            "value = value.detach().float()",
            "value = value.float()",
            "losses_of_a_step_are_a_sum_or_a_mean_and_each_log_begins_anew",
        ),
        (
            "losses-are-looked-at-when-they-are-scaled",
            "else value.clone()",
            "else value",
            "losses_of_a_step_are_a_sum_or_a_mean_and_each_log_begins_anew",
        ),
        (
            "steps-of-an-interrupted-training-count",
            "counts.clear()\n        self.steps = 0\n\n    def on_pre",
            "counts.clear()\n\n    def on_pre",
            "losses_of_a_step_are_a_sum_or_a_mean_and_each_log_begins_anew",
        ),
        (
            "a-split-gradient-is-a-part-of-itself",
            "squared * shards)",
            "squared)",
            "a_gradient_that_is_split_counts_as_often_as_it_is_split",
        ),
        (
            "copies-of-a-tensor-are-its-parts",
            "if placement.is_shard())",
            "if placement.is_replicate())",
            "a_figure_is_of_as_many_processes_as_its_tensor_is_split_over",
        ),
        (
            "evaluation-has-velocities",
            "        if module.training:\n            velocity",
            "        if True:\n            velocity",
            "velocities_are_compared_over_all_of_a_chunk_and_in_training_alone",
        ),
        (
            "the-largest-gradient-is-the-last",
            "found = [*(one.to(device) for one in largest), *([] if self.largest is None else [self.largest])]",
            "found = [one.to(device) for one in largest]",
            "steps_cost_their_mean_and_the_largest_gradient_is_of_all_since_the_last_log",
        ),
    ),
    *planted(
        "training/finetuning/finetune.py",
        COURSE,
        (
            "what-is-no-checkpoint-of-ours-is-loaded",
            "    check_is_ours(options.model)\n",
            "",
            "a_run_is_looked_at_before_its_model_is_loaded_and_its_weights_are_drawn_by_its_seed",
        ),
        (
            "adapters-are-drawn-by-any-seed",
            "    set_seed(arguments.seed)\n",
            "",
            "a_run_is_looked_at_before_its_model_is_loaded_and_its_weights_are_drawn_by_its_seed",
        ),
        (
            "a-new-run-learns-in-the-units-of-the-one-before",
            "statistics_of(arguments.output_dir) if options.resume else None",
            "statistics_of(arguments.output_dir)",
            "a_run_is_looked_at_before_its_model_is_loaded_and_its_weights_are_drawn_by_its_seed",
        ),
        (
            "every-process-says-where-its-statistics-are-from",
            "quiet_here = quiet or arguments.process_index > 0",
            "quiet_here = quiet",
            "a_run_is_looked_at_before_its_model_is_loaded_and_its_weights_are_drawn_by_its_seed",
        ),
        (
            "a-new-run-goes-on-from-an-old-checkpoint",
            "begin = last_checkpoint(arguments.output_dir) if options.resume else None",
            "begin = last_checkpoint(arguments.output_dir)",
            "a_run_goes_on_from_its_last_checkpoint_only_where_it_is_told_to",
        ),
        (
            "a-former-run-stays-under-the-next",
            "    if arguments.overwrite_output_dir:\n        clear_run_folder(arguments.output_dir)\n",
            "",
            "a_former_run_goes_before_the_next_is_recorded_and_only_where_that_was_asked_for",
        ),
        (
            "an-interrupt-in-the-last-step-throws-the-run-away",
            "    if stop.asked and trainer.state.global_step < trainer.state.max_steps:",
            "    if stop.asked:",
            "a_run_that_was_interrupted_in_its_last_step_is_done",
        ),
        (
            "an-interrupted-run-is-done",
            "    if stop.asked and trainer.state.global_step < trainer.state.max_steps:",
            "    if False:",
            "a_run_that_was_interrupted_says_what_is_saved_and_saves_nothing_more",
        ),
        (
            "an-interrupt-says-nothing-of-what-is-saved",
            "        raise KeyboardInterrupt(interruption(trainer)) from None\n",
            "        raise\n",
            "a_run_that_was_interrupted_says_what_is_saved_and_saves_nothing_more",
        ),
        (
            "figures-of-the-evaluation-are-lost",
            "        figures |= trainer.evaluate()\n",
            "        trainer.evaluate()\n",
            "a_run_is_recorded_trained_saved_and_measured",
        ),
        (
            "the-weight-of-text-is-lost",
            "    if found.options.learns_text:\n        more",
            "    if found.options.learn_text:\n        more",
            "a_trainer_measures_what_is_held_out_and_weighs_text_where_it_is_learnt",
        ),
        (
            "what-is-learnt-is-evaluated",
            "data.examples, data.held_out, found.processor",
            "data.examples, data.examples, found.processor",
            "a_trainer_measures_what_is_held_out_and_weighs_text_where_it_is_learnt",
        ),
        (
            "runs-without-statistics-go-on-with-some",
            "return file if file.is_file() else None",
            "return file",
            "a_run_that_began_without_statistics_goes_on_without_them",
        ),
        (
            "quiet-trainers-print",
            "    if found.quiet:\n        trainer.remove_callback(PrinterCallback)\n",
            "",
            "a_quiet_trainer_prints_no_figures",
        ),
    ),
    *planted(
        "training/evaluation.py",
        TRAINER,
        (
            "an-error-keeps-the-random-numbers-of-an-evaluation",
            "        try:\n            yield\n        finally:\n            random.setstate(before[0])\n",
            "        yield\n        if True:\n            random.setstate(before[0])\n",
            "an_error_amid_random_numbers_of_ones_own_gives_those_of_before_back",
        ),
    ),
]
