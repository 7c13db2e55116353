"""What Alpamayo-R1 computes on the way to a trajectory: bins, routes, texts, equations, steps and what it refuses."""

from .planted import planted

MUTANTS = [
    *planted(
        "modeling/alpamayo_r1/trajectory_bins.py",
        "tests/modeling/alpamayo_r1/test_trajectory_tokenizers.py",
        (
            "a-value-that-is-not-finite-is-out-of-all-bins",
            ".nan_to_num()",
            "",
            "what_is_not_finite_still_has_a_token_of_the_bins",
        ),
        (
            "ranges-of-two-lengths-fail-without-a-name",
            "len(least) != len(greatest) or ",
            "",
            "what_is_no_step_is_refused",
        ),
        (
            "the-last-bin-ends-at-its-middle",
            "tokens > self.count - 0.5",
            "tokens > self.count - 1",
            "outside_is_what_lies_more_than_half_a_bin_from_the_ends",
        ),
        (
            "nothing-lies-below-all-bins",
            "(tokens < -0.5) | ",
            "",
            "outside_is_what_lies_more_than_half_a_bin_from_the_ends",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/guided_velocity.py",
        "tests/modeling/alpamayo_r1/test_alpamayo_parts.py",
        (
            "a-velocity-that-weighs-nothing-is-asked",
            "if weight in (0, 1)",
            "if weight in (1,)",
            "only_the_velocities_that_weigh_something_are_asked",
        ),
        (
            "noise-of-temperature-0-is-refused",
            "or value < least",
            "or value <= least",
            "guidance_without_an_unguided_velocity_is_refused_and_noise_may_be_cold",
        ),
        (
            "guidance-by-nothing",
            "    if unguided is None:",
            "    if False:",
            "guidance_without_an_unguided_velocity_is_refused_and_noise_may_be_cold",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/navigation_markers.py",
        "tests/modeling/alpamayo_r1/test_navigation_guidance.py",
        (
            "weight-1-needs-navigation",
            "    if weight == 1:\n        return None\n",
            "",
            "a_model_without_markers_of_a_route_is_not_guided_and_needs_none_of_weight_one",
        ),
        (
            "a-route-without-a-marker-of-its-end",
            "if None in ids",
            "if ids[0] is None",
            "a_model_without_markers_of_a_route_is_not_guided_and_needs_none_of_weight_one",
        ),
        (
            "a-prompt-has-two-routes",
            "| (counts[0] > 1) ",
            "",
            "what_is_wrong_about_a_route_is_what_it_is_refused_for",
        ),
        (
            "routes-are-padded-with-token-1",
            "0 if config.pad_token_id is None else config.pad_token_id",
            "config.pad_token_id or 1",
            "a_model_without_markers_of_a_route_is_not_guided_and_needs_none_of_weight_one",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/expert_steps.py",
        "tests/modeling/alpamayo_r1/test_navigation_guidance.py",
        (
            "drives-are-spaced-evenly",
            '"ode_spacing": spacing',
            '"ode_spacing": "uniform"',
            "a_drive_takes_the_steps_that_were_asked_for",
        ),
        (
            "drives-are-by-euler",
            '"ode_solver": solver',
            '"ode_solver": "euler"',
            "a_drive_takes_the_steps_that_were_asked_for",
        ),
        (
            "scores-of-one-pass-in-two-bytes",
            "4 * 2 * rows",
            "2 * rows",
            "both_passes_are_one_batch_where_their_scores_have_room",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/smoothed_least_squares.py",
        "tests/modeling/alpamayo_r1/test_unicycle_action_space.py",
        (
            "what-is-not-determined-is-a-number",
            '    found = found.masked_fill(failed.ne(0).unsqueeze(-1), float("nan"))\n',
            "",
            "what_equations_do_not_determine_is_nan",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/waypoint_projection.py",
        "tests/modeling/alpamayo_r1/test_alpamayo_parts.py",
        (
            "a-projection-of-no-features",
            "num_fourier_feats < 2 or num_fourier_feats % 2",
            "num_fourier_feats % 2",
            "projections_that_cannot_work_are_refused",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/trajectory_text.py",
        "tests/modeling/alpamayo_r1/test_trajectory_text.py",
        (
            "fewer-tokens-than-are-said",
            "if waypoints * size != config",
            "if waypoints * size > config",
            "tokens_that_do_not_hold_a_future_are_refused",
        ),
        (
            "one-trajectory-token-has-no-value",
            "if tokenizer.vocab_size > config.traj_vocab_size",
            "if tokenizer.vocab_size >= config.traj_vocab_size",
            "a_future_may_have_all_trajectory_tokens",
        ),
        (
            "futures-are-counted-without-weights",
            "learnt_steps(futures, None, sample_weight)",
            "learnt_steps(futures, None, None)",
            "what_losses_divide_by_counts_each_sample_by_its_weight",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/reasoning_text.py",
        "tests/modeling/alpamayo_r1/test_reasoning_text.py",
        (
            "reasoning-without-its-end-is-lost",
            'extract_part(text, "cot") or unmarked(text)',
            'extract_part(text, "cot")',
            "reasoning_without_its_end_reaches_to_the_first_marker",
        ),
        (
            "reasoning-is-what-follows-the-last-marker",
            "[0].strip()",
            "[-1].strip()",
            "reasoning_without_its_end_reaches_to_the_first_marker",
        ),
        (
            "parts-are-read-without-markers",
            "skip_special_tokens=False",
            "skip_special_tokens=True",
            "parts_of_texts_lie_as_their_tokens_do",
        ),
        (
            "parts-lie-in-one-row",
            ".reshape(shape)",
            "",
            "parts_of_texts_lie_as_their_tokens_do",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/value_checks.py",
        "tests/modeling/alpamayo_r1/test_alpamayo_waits.py",
        (
            "a-grid-without-numbers-is-asked-for-them",
            'not in ("cpu", "meta")',
            'not in ("cpu",)',
            "a_grid_without_numbers_is_not_asked_for_them",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/ego_frame.py",
        "tests/modeling/alpamayo_r1/test_ego_frame.py",
        (
            "rotations-are-not-finite",
            " & rot.isfinite().flatten(1).all(dim=1))",
            ")",
            "poses_that_are_not_finite_are_refused_by_their_row",
        ),
        (
            "a-stretched-matrix-is-a-rotation",
            "ROTATION_TOLERANCE = 2e-2",
            "ROTATION_TOLERANCE = 2e-1",
            "a_history_of_another_frame_or_without_rotations_is_refused_by_the_processor",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/training_pass.py",
        "tests/modeling/alpamayo_r1/test_alpamayo_model.py",
        (
            "labels-of-another-length",
            "    check_labels(learnt.labels, input_ids)\n",
            "",
            "a_future_that_cannot_be_learned_is_refused",
        ),
        (
            "a-prompt-alone-teaches-nothing",
            "learnt.has_labels or target is None or not stop",
            "learnt.has_labels or not stop",
            "without_a_future_and_labels_there_are_logits_that_the_base_can_learn_from",
        ),
        (
            "a-prompt-alone-has-no-logits",
            "    if learnt.has_labels or target is None:\n",
            "    if learnt.has_labels:\n",
            "without_a_future_and_labels_there_are_logits_that_the_base_can_learn_from",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/text_keys.py",
        "tests/modeling/alpamayo_r1/test_text_keys.py",
        (
            "places-of-new-tokens-hold-what-was-there",
            "        keys.zero_(), values.zero_()",
            "        pass",
            "places_of_new_tokens_are_zero_whatever_was_there",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/text_layer.py",
        "tests/modeling/alpamayo_r1/test_text_keys.py",
        (
            "a-layer-in-training-runs-in-parts",
            " and not layer.training",
            "",
            "a_layer_with_hooks_on_what_would_not_be_called_is_run_whole",
        ),
        (
            "a-layer-of-another-class-runs-in-parts",
            "type(layer) is Qwen3VLTextDecoderLayer",
            "isinstance(layer, Qwen3VLTextDecoderLayer)",
            "a_layer_with_hooks_on_what_would_not_be_called_is_run_whole",
        ),
    ),
    *planted(
        "training/alpamayo_r1/driving_scenes.py",
        "tests/training/alpamayo_r1/test_driving_scenes.py",
        (
            "drives-are-episodes-by-one-name",
            "run_ends(frames, episode)",
            'run_ends(frames, "episode_index")',
            "episodes_numbers_and_times_may_have_other_names",
        ),
        (
            "numbers-of-rows-have-one-name",
            "optional_column(frames, frame, FRAME)",
            "optional_column(frames, FRAME, FRAME)",
            "episodes_numbers_and_times_may_have_other_names",
        ),
    ),
    *planted(
        "training/alpamayo_r1/published_annotations.py",
        "tests/training/alpamayo_r1/test_published_annotations.py",
        (
            "options-of-clips-are-lost",
            "moment, self.avdi, **self.options",
            "moment, self.avdi",
            "a_sample_is_asked_for_by_its_clip_moment_and_options",
        ),
        (
            "empty-reasoning-is-learnt",
            'if sample.get("cot") else',
            'if "cot" in sample else',
            "a_sample_is_asked_for_by_its_clip_moment_and_options",
        ),
        (
            "cameras-of-the-release-alone",
            '"camera_indices": data["camera_indices"]}',
            '"camera_indices": [0, 1, 2, 6]}',
            "a_sample_is_asked_for_by_its_clip_moment_and_options",
        ),
        (
            "clips-may-be-numbers",
            ' or not isinstance(sample["clip_id"], str)',
            "",
            "other_files_are_refused",
        ),
        (
            "truth-values-are-moments",
            "isinstance(moment, bool) or ",
            "",
            "other_files_are_refused",
        ),
        (
            "questions-without-pictures",
            "not 0 < count <= len(names)",
            "not count <= len(names)",
            "folders_without_the_questions_are_refused",
        ),
    ),
    *planted(
        "training/alpamayo_r1/physical_ai_av_clips.py",
        "tests/training/alpamayo_r1/test_physical_ai_av_clips.py",
        (
            "poses-are-fetched-at-any-rate",
            "maybe_stream=maybe_stream)\n    times",
            "maybe_stream=True)\n    times",
            "nothing_is_fetched_that_may_not_be",
        ),
        (
            "pictures-are-fetched-at-any-rate",
            "maybe_stream=maybe_stream)\n    try",
            "maybe_stream=True)\n    try",
            "nothing_is_fetched_that_may_not_be",
        ),
        (
            "cameras-of-any-size",
            "if len(set(shapes.values())) > 1",
            "if False",
            "pictures_of_different_sizes_are_refused_by_camera",
        ),
        (
            "cameras-have-no-path",
            '.rsplit("/", 1)[-1].lower()',
            ".lower()",
            "a_camera_may_be_named_by_a_path",
        ),
    ),
]
