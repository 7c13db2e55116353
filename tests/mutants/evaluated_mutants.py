"""What is evaluated, predicted, counted and inspected, and the recorded data that are read for it."""

from .planted import planted

EVALUATE = "tests/conversion/commands/test_evaluate.py"
PICTURE = "tests/conversion/alpamayo_r1/test_trajectory_plot.py"
NAVIGATION = "tests/conversion/alpamayo_r1/test_navigation_commands.py"
ALPAMAYO = "tests/conversion/alpamayo_r1/test_convert_alpamayo.py"
RUN = "tests/conversion/mapanything_llava3d/test_convert_llava3d.py"
INSPECT = "tests/conversion/inspection/test_inspect_checkpoint.py"
DATA = "tests/conversion/datasets/test_data_convert.py"
STATISTICS = "tests/training/test_statistics.py"

PANEL_WORDS = "tests/conversion/predictions/test_panel_words.py"
DRAWN_PANELS = "tests/conversion/predictions/test_drawn_panels.py"
ACTION_PLOT = "tests/conversion/predictions/test_action_plot.py"

MUTANTS = [
    *planted(
        "conversion/predictions/robot_evaluation.py",
        EVALUATE,
        (
            "evaluate-dtype-is-ignored",
            "load_model(folder, processes.device, arguments.dtype, arguments.fast, arguments.quiet)",
            "load_model(folder, processes.device, None, arguments.fast, arguments.quiet)",
            "weights_are_read_as_options_say",
        ),
        (
            "evaluate-fast-is-ignored",
            "load_model(folder, processes.device, arguments.dtype, arguments.fast, arguments.quiet)",
            "load_model(folder, processes.device, arguments.dtype, None, arguments.quiet)",
            "weights_are_read_as_options_say",
        ),
        (
            "evaluate-unnorm-key-is-ignored",
            "collator_for(config, processor, unnorm_key=arguments.unnorm_key)",
            "collator_for(config, processor)",
            "of_several_statistics_those_that_are_named_count",
        ),
        (
            "a-number-before-a-column-of-robots",
            "    if column is not None and number is not None:",
            "    if False:",
            "a_word_for_the_prompts_and_the_number_of_a_robot",
        ),
        (
            "evaluate-state-columns-are-ignored",
            "state = arguments.state or ([STATE]",
            "state = ([STATE]",
            "names_columns_and_grippers_of_a_dataset",
        ),
        (
            "gripper-of-the-statistics-before-names",
            "given or named or unchanged or [-1]",
            "given or unchanged or named or [-1]",
            "names_columns_and_grippers_of_a_dataset",
        ),
        (
            "evaluate-gripper-threshold-is-ignored",
            "arguments.gripper_tolerance, arguments.gripper_threshold)",
            "arguments.gripper_tolerance, None)",
            "names_columns_and_grippers_of_a_dataset",
        ),
    ),
    *planted(
        "conversion/predictions/evaluated_data.py",
        EVALUATE,
        (
            "views-at-other-places",
            "    check_places(views, view_names)\n",
            "",
            "views_that_a_checkpoint_records_are_looked_at_before_weights_are_read",
        ),
        (
            "views-of-any-number",
            "    if len(columns) != len(view_names):",
            "    if False:",
            "columns_at_other_places_than_their_views_are_refused",
        ),
        (
            "held-out-by-another-seed",
            "hold_out_episodes(frames, arguments.eval_episodes, arguments.eval_seed)",
            "hold_out_episodes(frames, arguments.eval_episodes, 42)",
            "other_seeds_hold_out_the_episodes_that_their_trainings_did",
        ),
        (
            "nan-in-the-figures",
            "return None if isinstance(value, float) and np.isnan(value) else value",
            "return value",
            "the_error_is_what_the_trainer_logs",
        ),
        (
            "settings-of-an-evaluation-without-flow",
            "SETTINGS += FLOW\n",
            "",
            "steps_words_and_seed_reach_every_drive",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/driving_evaluation.py",
        EVALUATE,
        (
            "drives-evaluate-without-navigation",
            "and not reads_routes(processor.tokenizer) else []",
            "else []",
            "a_driving_model_is_asked_with_the_navigation_that_its_training_reads",
        ),
        (
            "drives-evaluate-steps-are-ignored",
            "            start |= flow_options(collator.config, vars(arguments))\n",
            "",
            "steps_words_and_seed_reach_every_drive",
        ),
        (
            "drives-evaluate-advantage-is-ignored",
            "        batch = with_advantage(batch, arguments.advantage)\n",
            "",
            "steps_words_and_seed_reach_every_drive",
        ),
        (
            "text-of-drives-without-its-seed",
            "manual_seed(batch_seed(arguments.seed, samples))",
            "manual_seed(batch_seed(0, samples))",
            "steps_words_and_seed_reach_every_drive",
        ),
        (
            "noise-of-drives-without-its-seed",
            "noise_for(samples, arguments.seed, shape)",
            "noise_for(samples, 0, shape)",
            "steps_words_and_seed_reach_every_drive",
        ),
        (
            "drives-minade-of-all-in-each-episode",
            "errors[samples.episode == episode] for episode",
            "errors for episode",
            "a_driving_model_is_measured_by_its_best_sample",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/driving_prediction.py",
        ALPAMAYO,
        (
            "future-seen-from-the-first-pose",
            "seen_from(xyz, places[-1], axes[-1])",
            "seen_from(xyz, places[0], axes[0])",
            "predict_converts_a_history_of_another_frame_and_refuses_it_otherwise",
        ),
        (
            "history-frame-is-ignored",
            "history_frame=frame, nav_text",
            'history_frame="ego", nav_text',
            "predict_converts_a_history_of_another_frame_and_refuses_it_otherwise",
        ),
        (
            "numbers-of-cameras-are-not-told",
            "nav_text=nav, camera_indices=numbers)",
            "nav_text=nav)",
            "tests/conversion/alpamayo_r1/test_navigation_commands.py::test_a_prediction_obeys_navigation_guidance_and_the_setting_of_labels",
        ),
        (
            "images-beside-folders-of-cameras-are-left-out",
            "if folders and (files := images_in(paths[0])):",
            "if False:",
            "tests/conversion/files/test_view_files.py::test_a_driving_model_gets_all_frames_of_a_folder_in_order_and_no_folder_with_images_beside",
        ),
        (
            "flow-of-a-drive-is-ignored",
            "options = (sampling or {}) | (flow_options(config, flow) if flow else {})",
            "options = sampling or {}",
            "tests/conversion/alpamayo_r1/test_navigation_commands.py::test_a_prediction_obeys_navigation_guidance_and_the_setting_of_labels",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/options.py",
        NAVIGATION,
        (
            "temperature-of-noise-is-ignored",
            'for option in ("num_traj_sets", "guidance_weight", "noise_temperature"):',
            'for option in ("num_traj_sets", "guidance_weight"):',
            "a_prediction_obeys_navigation_guidance_and_the_setting_of_labels",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/asked_question.py",
        NAVIGATION,
        (
            "questions-follow-a-flow",
            '"num_traj_sets", *FLOW)',
            '"num_traj_sets")',
            "what_a_question_has_no_use_for_is_refused",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/camera_names.py",
        PICTURE,
        (
            "cameras-in-the-order-of-the-alphabet",
            "key=numbers.get if is_known else None)",
            "key=None)",
            "cameras_are_called_by_their_numbers_their_folders_or_what_the_model_reads_them_as",
        ),
        (
            "cameras-of-folders-whatever-the-checkpoint-names",
            "return by_views(cameras, view_names) or sorted(",
            "return sorted(",
            "tests/conversion/files/test_view_files.py::test_folders_of_frames_with_the_names_of_the_views_are_in_their_order",
        ),
        (
            "numbers-of-other-cameras-than-their-folders",
            "if own not in (None, number):",
            "if False:",
            "tests/conversion/alpamayo_r1/test_navigation_commands.py::test_a_number_for_the_folder_of_another_camera_is_refused",
        ),
        (
            "frames-by-time-for-cameras",
            "return images.reshape(np.size(scene[INDICES]), -1, *images.shape[1:])",
            "return images.reshape(-1, np.size(scene[INDICES]), *images.shape[1:]).swapaxes(0, 1)",
            "cameras_are_called_by_their_numbers_their_folders_or_what_the_model_reads_them_as",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/from_above.py",
        PICTURE,
        (
            "left-is-right-from-above",
            "axes.set_xlim(middle[1] + left, middle[1] - left)",
            "axes.set_xlim(middle[1] - left, middle[1] + left)",
            "scales_are_equal_and_the_car_is_at_the_origin_with_its_left_on_the_left",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/drawn_samples.py",
        PICTURE,
        (
            "ade-for-fde",
            "(row.mean().item(), row[-1].item())",
            "(row.mean().item(), row.mean().item())",
            "samples_have_their_mean_and_last_distance_from_above_as_far_as_both_paths_go",
        ),
    ),
    *planted(
        "conversion/family_inspection.py",
        INSPECT,
        (
            "all-dimensions-are-normalised",
            'normalised=at("mask", i) is not False,',
            "normalised=True,",
            "what_a_cogvla_reads_and_prunes_is_its_configs",
        ),
        (
            "range-of-other-statistics",
            "ranges = [wanted, *RANGES] if wanted in RANGES else list(RANGES)",
            "ranges = list(RANGES)",
            "ranges_are_those_that_the_model_normalises_by",
        ),
        (
            "state-though-it-is-not-used",
            ' if value_of(config, "use_state") is not False else None',
            "",
            "a_state_that_a_model_does_not_use_is_none",
        ),
    ),
    *planted(
        "conversion/inspection/inspect_checkpoint.py",
        RUN,
        (
            "inspected-parts-of-the-first-step",
            "read_files(place, steps[-1:])",
            "read_files(place, steps[:1])",
            "of_several_steps_inspect_counts_the_one_that_it_names",
        ),
    ),
    *planted(
        "conversion/inspection/weights.py",
        INSPECT,
        (
            "tensors-in-the-wrong-shard-pass",
            "    if wrong:\n",
            "    if False:\n",
            "tensors_that_lie_in_another_shard_than_the_index_says_are_named",
        ),
    ),
    *planted(
        "conversion/commands/stats.py",
        STATISTICS,
        (
            "stats-exact-rows-are-ignored",
            "                exact_rows=arguments.exact_rows,\n",
            "",
            "columns_name_and_sample_size_can_be_given",
        ),
        (
            "stats-key-is-ignored",
            "key = arguments.name or dataset_name(arguments.dataset)",
            "key = dataset_name(arguments.dataset)",
            "columns_name_and_sample_size_can_be_given",
        ),
        (
            "stats-state-column-is-ignored",
            'columns["proprio"] = arguments.state_column or ([STATE]',
            'columns["proprio"] = ([STATE]',
            "columns_name_and_sample_size_can_be_given",
        ),
        (
            "stats-unmasked-is-ignored",
            "                unmasked_actions=arguments.unmasked_actions,\n",
            "",
            "the_command_writes_what_the_model_reads_and_prints_a_table",
        ),
    ),
    *planted(
        "conversion/datasets/hdf5_episodes.py",
        DATA,
        (
            "endings-in-small-letters-alone",
            "path.suffix.lower() in SUFFIXES",
            "path.suffix in SUFFIXES",
            "files_of_a_folder_have_one_rate_and_any_case_of_ending",
        ),
        (
            "rate-of-the-first-file",
            "        if len(rates) > 1:",
            "        if False:",
            "files_of_a_folder_have_one_rate_and_any_case_of_ending",
        ),
        (
            "depth-is-a-camera",
            ' and "depth" not in entry]',
            "]",
            "depth_is_no_camera_and_an_episodes_own_instruction_counts",
        ),
        (
            "the-files-instruction-before-the-episodes",
            "for place in (group, group.parent, file):",
            "for place in (file, group.parent, group):",
            "depth_is_no_camera_and_an_episodes_own_instruction_counts",
        ),
    ),
    *planted(
        "conversion/datasets/lerobot_writer.py",
        DATA,
        (
            "videos-end-a-frame-early",
            '"to_timestamp": len(pictures) / self.fps}',
            '"to_timestamp": (len(pictures) - 1) / self.fps}',
            "videos_hold_the_frames_of_their_episodes",
        ),
        (
            "count-of-episodes-for-rows",
            'result[name]["count"] = [self.frames]',
            'result[name]["count"] = [len(self.episodes)]',
            "rlds_episodes_come_back_bit_by_bit",
        ),
    ),
    *planted(
        "conversion/datasets/recorded_episode.py",
        DATA,
        (
            "doubles-become-floats",
            "values.astype(np.result_type(values.dtype, np.float32), copy=False)",
            "values.astype(np.float32, copy=False)",
            "aloha_episodes_come_back_in_the_order_of_their_numbers",
        ),
    ),
    *planted(
        "conversion/datasets/dataset_conversion.py",
        DATA,
        (
            "the-split-is-ignored",
            'arguments.split or "train"',
            '"train"',
            "entries_that_are_not_there_are_named_and_nothing_is_left",
        ),
    ),
    *planted(
        "conversion/predictions/chunk_panels.py",
        "tests/conversion/predictions/test_drawn_panels.py",
        (
            "chunk-spread-about-the-first",
            "values.mean(axis=0), drawn.spread",
            "values[0], drawn.spread",
            "a_chunk_is_its_first_sample_in_the_band_of_the_spread_about_the_mean",
        ),
        (
            "path-actions-of-one-dimension",
            "path[:, action, number]",
            "path[:, action, 0]",
            "the_way_out_of_noise_is_a_line_for_each_action_of_each_dimension",
        ),
    ),
    *planted(
        "conversion/predictions/view_panels.py",
        "tests/conversion/predictions/test_drawn_panels.py",
        (
            "tokens-kept-by-the-first-layer",
            "last, grid = max(kept.kept), attention[0].grid",
            "last, grid = min(kept.kept), attention[0].grid",
            "attention_is_a_multiple_of_the_even_share_and_that_of_tokens_that_are_read_last",
        ),
        (
            "patches-that-are-read-whitened",
            "~last[number].reshape",
            "last[number].reshape",
            "patches_that_the_last_pruning_layer_leaves_out_are_white",
        ),
        (
            "maps-resampled-by-remainder",
            "np.arange(new) * old // new",
            "np.arange(new) % old",
            "a_map_on_a_finer_grid_repeats_its_patches",
        ),
    ),
    *planted(
        "conversion/predictions/share_panels.py",
        "tests/conversion/predictions/test_drawn_panels.py",
        (
            "encoders-bars-over-each-other",
            "        start = start + share\n",
            "",
            "shares_of_encoders_stand_side_by_side_and_those_of_layers_over_their_number",
        ),
    ),
    *planted(
        "conversion/predictions/flow_path.py",
        "tests/conversion/predictions/test_flow_options.py",
        (
            "steps-in-words-of-the-config",
            "(options.get(name) or getattr(config, name) for",
            "(getattr(config, name) for",
            "the_words_about_a_flow_are_those_of_the_call_before_those_of_the_config",
        ),
    ),
    *planted(
        "conversion/predictions/flow_options.py",
        "tests/conversion/predictions/test_flow_options.py",
        (
            "guidance-of-zero-is-the-configs",
            "if given[name] is not None}",
            "if given[name]}",
            "what_is_given_is_an_argument_and_what_is_not_is_the_models",
        ),
    ),
    *planted(
        "conversion/predictions/action_plot.py",
        "tests/conversion/predictions/test_action_plot.py",
        (
            "switches-of-all-episodes",
            "actions.frame[rows & (found == sign)]",
            "actions.frame[found == sign]",
            "switches_are_those_of_their_own_episode_and_none_is_between_chunks_that_do_not_meet",
        ),
        (
            "switches-follow-nothing",
            "> threshold, actions.follows)",
            "> threshold, np.ones_like(actions.follows))",
            "switches_are_those_of_their_own_episode_and_none_is_between_chunks_that_do_not_meet",
        ),
        (
            "gaps-are-joined",
            "np.insert(values, gaps, np.nan)",
            "np.insert(values, gaps, values[gaps])",
            "lines_are_the_actions_over_time_and_bars_the_errors_by_step",
        ),
    ),
    *planted(
        "conversion/plots/statistics_plot.py",
        "tests/conversion/plots/test_statistics_plot.py",
        (
            "mask-of-statistics-turned",
            '"" if part.statistics["mask"][i] else',
            '"" if not part.statistics["mask"][i] else',
            "names_and_units_are_told",
        ),
    ),
    *planted(
        "conversion/predictions/shown_views.py",
        "tests/conversion/predictions/test_drawn_panels.py",
        (
            "pictures-of-views-over-one",
            ".numpy() * std + mean)",
            ".numpy() * mean + std)",
            "pixels_that_a_model_reads_are_shown_as_the_picture_that_they_were_made_of",
        ),
    ),
    *planted(
        "conversion/inspection/oddities.py",
        "tests/conversion/inspection/test_inspected_records.py",
        (
            "lost-tensors-unsaid",
            "if lost := [name for name in recorded if name not in found]:",
            "if lost := []:",
            "a_record_is_held_against_the_tensors_and_files_that_are_there",
        ),
        (
            "report-of-sizes-unread",
            'and entry["bytes"] != place.sizes[name]]',
            "and False]",
            "a_record_is_held_against_the_tensors_and_files_that_are_there",
        ),
        (
            "names-of-more-views-unsaid",
            "if views and names and len(names) != views:",
            "if False:",
            "as_many_views_have_names_as_the_model_sees",
        ),
    ),
    *planted(
        "conversion/inspection/runs.py",
        "tests/conversion/inspection/test_inspected_records.py",
        (
            "side-files-of-two-steps",
            'if len({file.partition("--")[2] for file in files}) > 1:',
            "if False:",
            "side_files_are_one_of_a_kind_and_of_one_step",
        ),
        (
            "base-of-the-config-first",
            'return (adapter.base if adapter else None) or config.get("_name_or_path") or None',
            'return config.get("_name_or_path") or (adapter.base if adapter else None)',
            "the_base_is_the_one_that_the_adapter_names_before_that_of_the_runs_config",
        ),
    ),
    *planted(
        "conversion/inspection/provenance.py",
        "tests/conversion/inspection/test_inspected_records.py",
        (
            "card-of-licence-name-lost",
            'FACTS = ("license", "license_name",',
            'FACTS = ("license",',
            "licence_base_and_datasets_are_those_of_the_cards_front_matter",
        ),
    ),
    *planted(
        "conversion/inspection/headers.py",
        "tests/conversion/inspection/test_inspect_checkpoint.py",
        (
            "bytes-behind-tensors-unsaid",
            "elif start is not None and size > wanted:",
            "elif False:",
            "a_file_has_as_many_bytes_as_its_header_names_and_no_more",
        ),
        (
            "cut-off-by-the-header",
            "wanted = end + (start or 8)",
            "wanted = end + 8",
            "a_file_that_is_cut_off_is_odd_and_no_failure",
        ),
    ),
    *planted(
        "conversion/predictions/dimensions.py",
        PANEL_WORDS,
        (
            "two-arms-as-one",
            "if count == len(NAMES) else",
            "if count >= len(NAMES) else",
            "seven_dimensions_are_those_of_an_arm_and_others_have_numbers",
        ),
    ),
    *planted(
        "conversion/predictions/patch_attention.py",
        PANEL_WORDS,
        (
            "attention-to-the-first-tokens",
            "[..., -num_tokens - patches : -num_tokens]",
            "[..., :patches]",
            "attention_is_the_share_that_learned_tokens_give_to_patches_as_the_mean_of_heads",
        ),
    ),
    *planted(
        "conversion/predictions/recorded_calls.py",
        "tests/conversion/predictions/test_recorded_calls.py",
        (
            "hooks-stay",
            "hooks.callback(watch(module, read, found[name]).remove)",
            "watch(module, read, found[name])",
            "calls_are_read_with_their_arguments_and_outputs_in_order_until_the_block_ends",
        ),
    ),
    *planted(
        "conversion/predictions/prediction_plot.py",
        PANEL_WORDS,
        (
            "pictures-by-the-first-statistics",
            'asked.options.get("unnorm_key"))["action"]',
            'None)["action"]',
            "ranges_and_steps_are_those_that_were_asked_for",
        ),
        (
            "panels-in-each-others-places",
            "zip(panels, areas[1:], strict=True)",
            "zip(panels[::-1], areas[1:], strict=True)",
            "each_panel_is_as_high_as_it_says_under_a_title_of_few_lines",
        ),
        (
            "pictures-without-grounding",
            "    if trace.grounding is not None:",
            "    if False:",
            "a_picture_has_a_panel_for_all_that_a_trace_has_and_none_else",
        ),
    ),
    *planted(
        "conversion/predictions/view_panels.py",
        DRAWN_PANELS,
        (
            "maps-of-the-first-view",
            "patch_map.values[row], max",
            "patch_map.values[0], max",
            "maps_lie_over_their_own_views_on_one_scale_from_zero_to_the_largest",
        ),
        (
            "maps-upside-down",
            "place = (-0.5, width - 0.5, height - 0.5, -0.5)",
            "place = (-0.5, width - 0.5, -0.5, height - 0.5)",
            "maps_lie_over_their_own_views_on_one_scale_from_zero_to_the_largest",
        ),
    ),
    *planted(
        "conversion/predictions/shown_views.py",
        DRAWN_PANELS,
        (
            "bright-pixels-turn-black",
            " + mean).clip(0, 1)",
            " + mean)",
            "pixels_that_a_model_reads_are_shown_as_the_picture_that_they_were_made_of",
        ),
    ),
    *planted(
        "conversion/predictions/flow_options.py",
        "tests/conversion/predictions/test_flow_options.py",
        (
            "spacings-are-solvers",
            "choices=ODE_CHOICES[name]",
            'choices=ODE_CHOICES["ode_solver"]',
            "a_command_reads_what_a_flow_can_be_and_nothing_else",
        ),
    ),
    *planted(
        "conversion/predictions/action_plot.py",
        ACTION_PLOT,
        (
            "as-many-episodes-beside-two-blocks",
            "[: episodes if blocks == 1 else 1]",
            "[:episodes]",
            "panels_stand_side_by_side_in_two_blocks_of_one_episode_where_there_are_many",
        ),
        (
            "switches-at-frames-beside-seconds",
            "actions.frame[rows & (found == sign)] / (fps or 1)",
            "actions.frame[rows & (found == sign)]",
            "switches_of_a_gripper_are_marked_where_they_are",
        ),
    ),
    *planted(
        "conversion/predictions/evaluated_data.py",
        "tests/conversion/predictions/test_evaluated_data.py",
        (
            "settings-of-zero-are-none",
            "for name, value in given.items() if value is not None}",
            "for name, value in given.items() if value}",
            "settings_are_those_that_were_given_or_have_a_default",
        ),
    ),
    *planted(
        "conversion/predictions/robot_evaluation.py",
        "tests/conversion/predictions/test_evaluated_data.py",
        (
            "the-first-robot-is-none",
            '(column or "embodiment_id") if number is None else number',
            '(column or "embodiment_id") if not number else number',
            "the_robot_is_of_a_column_or_of_all_frames",
        ),
        (
            "grippers-by-the-mask-before-their-names",
            "given or named or unchanged or [-1]",
            "given or unchanged or named or [-1]",
            "grippers_are_those_given_then_named_then_passed_then_the_last",
        ),
    ),
    *planted(
        "conversion/predictions/robot_prediction.py",
        "tests/conversion/predictions/test_robot_options.py",
        (
            "longer-states-pass",
            "if state and len(state) != size:",
            "if state and len(state) < size:",
            "what_a_model_has_no_use_for_is_refused",
        ),
        (
            "other-warnings-are-swallowed",
            "            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)",
            "            pass",
            "a_far_state_is_a_note_and_any_other_warning_stays_one",
        ),
    ),
    *planted(
        "conversion/predictions/evaluation.py",
        "tests/conversion/predictions/test_evaluated_data.py",
        (
            "switches-are-never-a-frame-late",
            "TOLERANCE = 5",
            "TOLERANCE = 0",
            "a_robot_is_evaluated_with_its_picture_and_a_tolerance_of_five_frames",
        ),
        (
            "a-picture-in-the-place-of-figures",
            'files.get("plot")',
            'files.get("output")',
            "a_robot_is_evaluated_with_its_picture_and_a_tolerance_of_five_frames",
        ),
    ),
    *planted(
        "conversion/predictions/robot_evaluation.py",
        "tests/conversion/predictions/test_evaluated_data.py",
        (
            "every-process-evaluates-all",
            "device, part, arguments.num_workers",
            "device, (0, 1), arguments.num_workers",
            "chunks_are_predicted_as_options_say_and_in_the_part_of_the_process",
        ),
        (
            "evaluate-noise-of-one-seed",
            "noise_for(samples, arguments.seed,",
            "noise_for(samples, 0,",
            "chunks_are_predicted_as_options_say_and_in_the_part_of_the_process",
        ),
        (
            "every-process-shows-a-bar",
            "processes.is_main and not arguments.quiet\n",
            "not arguments.quiet\n",
            "chunks_are_predicted_as_options_say_and_in_the_part_of_the_process",
        ),
    ),
    *planted(
        "conversion/predictions/evaluated_data.py",
        "tests/conversion/predictions/test_evaluated_data.py",
        (
            "a-dataset-that-is-here-has-no-name",
            "Path(data.source).resolve().name",
            "Path(data.source).name",
            "a_folder_is_called_by_its_own_name_and_a_repository_by_its_whole",
        ),
    ),
    *planted(
        "conversion/predictions/prediction_plot.py",
        "tests/conversion/predictions/test_panel_words.py",
        (
            "a-checkpoint-that-is-here-was-not-saved",
            "own_name(config.name_or_path) if config.name_or_path else",
            "Path(config.name_or_path).name or",
            "names_and_texts_fit_their_places_and_hold_no_control_characters",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/driving_prediction.py",
        "tests/conversion/commands/test_predict_outputs.py",
        (
            "a-driving-checkpoint-that-is-here-has-no-name",
            "{name or own_name(folder)}",
            "{name or folder.name}",
            "sets_of_trajectories_are_printed_written_and_drawn",
        ),
    ),
    *planted(
        "conversion/commands/evaluate.py",
        "tests/conversion/commands/test_predict_outputs.py",
        (
            "evaluate-downloads-for-an-output-that-is-an-input",
            "check_output_file(path, is_ours[name], files_of(given))",
            "check_output_file(path, is_ours[name], [])",
            "what_cannot_be_is_said_before_a_checkpoint_is_looked_for",
        ),
        (
            "evaluate-downloads-for-two-outputs-in-one",
            "    refuse_same(outputs)\n",
            "",
            "what_cannot_be_is_said_before_a_checkpoint_is_looked_for",
        ),
    ),
    *planted(
        "conversion/commands/predict.py",
        "tests/conversion/commands/test_predict_outputs.py",
        (
            "predict-downloads-for-two-outputs-in-one",
            "    refuse_same(outputs)\n",
            "",
            "what_cannot_be_is_said_before_a_checkpoint_is_looked_for",
        ),
    ),
]
