"""What a driver is told, said to be and learnt from: prompts, configs and clips of Alpamayo-R1."""

from .planted import planted

NAVIGATION_PROMPTS = "tests/processing/alpamayo_r1/test_navigation_prompts.py"
PROCESSING_ALPAMAYO_R1 = "tests/processing/alpamayo_r1/test_processing_alpamayo_r1.py"
NAVIGATION_COMPARISON = "tests/conversion/alpamayo_r1/test_navigation_comparison.py"
SOURCES = "tests/conversion/alpamayo_r1/test_alpamayo_sources.py"
START_ALPAMAYO = "tests/conversion/alpamayo_r1/test_start_alpamayo.py"
CONFIGURATION_ALPAMAYO = "tests/configuration/alpamayo_r1/test_configuration_alpamayo.py"
NAVIGATION_GUIDANCE = "tests/modeling/alpamayo_r1/test_navigation_guidance.py"
PHYSICAL_AI_AV_CLIPS = "tests/training/alpamayo_r1/test_physical_ai_av_clips.py"
PUBLISHED_ANNOTATIONS = "tests/training/alpamayo_r1/test_published_annotations.py"
NAVIGATION_EXAMPLES = "tests/training/alpamayo_r1/test_navigation_examples.py"
TRAJECTORY_ERRORS = "tests/training/alpamayo_r1/test_trajectory_errors.py"

MUTANTS = [
    *planted(
        "processing/alpamayo_r1/camera_labels.py",
        NAVIGATION_PROMPTS,
        (
            "frames-are-counted-from-1",
            'f"frame {number} "',
            'f"frame {number + 1} "',
            "prompts_are_the_published_text_and_ids",
        ),
        (
            "cameras-of-several-frames-in-any-number",
            "if len(entries) != cameras or 0 in counts:",
            "if len(entries) != cameras:",
            "a_camera_without_frames_is_refused",
        ),
        (
            "names-of-cameras-in-small-letters-alone",
            "CAMERAS.get(name.lower())",
            "CAMERAS.get(name)",
            "names_of_the_dataset_are_known_in_any_case",
        ),
    ),
    *planted(
        "processing/alpamayo_r1/driving_prompt.py",
        PROCESSING_ALPAMAYO_R1,
        (
            "a-cars-pace-on-average",
            ".norm(dim=-1).amax(dim=1)",
            ".norm(dim=-1).mean(dim=1)",
            "what_the_model_cannot_use_is_refused",
        ),
        (
            "turns-are-not-closed",
            'close = [system_line(prompt.system)], "<|im_end|>\\n"',
            'close = [system_line(prompt.system)], "\\n"',
            "tests/processing/alpamayo_r1/test_navigation_prompts.py::test_prompts_are_the_published_text_and_ids",
        ),
    ),
    *planted(
        "processing/alpamayo_r1/history_placeholders.py",
        PROCESSING_ALPAMAYO_R1,
        (
            "the-last-value-token-is-not-looked-at",
            "for value in (first, last):",
            "for value in (first,):",
            "path_values_outside_of_the_trajectory_tokens_are_refused",
        ),
    ),
    *planted(
        "processing/alpamayo_r1/messages.py",
        NAVIGATION_PROMPTS,
        (
            "published-text-without-its-request",
            "nav_text.join(ROUTE)) + request",
            "nav_text.join(ROUTE))",
            "prompts_are_the_published_text_and_ids",
        ),
    ),
    *planted(
        "processing/alpamayo_r1/navigation_comparison.py",
        NAVIGATION_COMPARISON,
        (
            "comparison-with-the-usual-prompt",
            "        inputs = processor(frames, **poses, nav_text=text",
            "        usual = processor.for_config(model.config, processor.tokenizer)\n"
            "        inputs = usual(frames, **poses, nav_text=text",
            "three_drives_begin_with_the_same_noise_and_guidance_is_of_navigation_alone",
        ),
        (
            "comparison-without-cameras",
            'data.get("camera_indices") if processor.camera_labels else None',
            "None",
            "three_drives_begin_with_the_same_noise_and_guidance_is_of_navigation_alone",
        ),
        (
            "a-drive-without-navigation-is-guided",
            "drive(None, None), swapped",
            "drive(None, guidance_weight), swapped",
            "three_drives_begin_with_the_same_noise_and_guidance_is_of_navigation_alone",
        ),
        (
            "swapped-words-within-words",
            'r"\\b(left|right)\\b"',
            'r"(left|right)"',
            "directions_are_swapped_as_published",
        ),
    ),
    *planted(
        "processing/alpamayo_r1/processing_alpamayo_r1.py",
        START_ALPAMAYO,
        (
            "the-processor-of-a-config-without-its-cameras",
            "            view_names=config.view_names,\n",
            "",
            "seed_names_and_padding_of_a_start_in_python_are_what_is_said",
        ),
        (
            "a-processors-images-of-any-size",
            '"max_pixels": config.max_pixels, **images',
            "**images",
            "seed_names_and_padding_of_a_start_in_python_are_what_is_said",
        ),
    ),
    *planted(
        "processing/alpamayo_r1/scene_samples.py",
        PROCESSING_ALPAMAYO_R1,
        (
            "a-request-of-each-is-the-first",
            "    return texts\n\n\ndef labels_of",
            "    return texts[:1] * batch_size\n\n\ndef labels_of",
            "a_batch_is_its_samples_padded_on_the_left",
        ),
    ),
    *planted(
        "processing/alpamayo_r1/written_parts.py",
        PROCESSING_ALPAMAYO_R1,
        (
            "parts-keep-special-tokens-between-words",
            "if token.special]",
            "if token.special][:1]",
            "special_tokens_within_a_part_can_be_left_out",
        ),
    ),
    *planted(
        "processing/alpamayo_r1/route_and_question.py",
        NAVIGATION_PROMPTS,
        (
            "markers-of-a-tokenizer-pass",
            "next((token for token in added if token.strip() and token in text), None)",
            "None",
            "what_cannot_be_a_prompt_is_refused",
        ),
    ),
    *planted(
        "configuration/alpamayo_r1/action_space_settings.py",
        CONFIGURATION_ALPAMAYO,
        (
            "an-infinite-deviation",
            "is_number(value) and math.isfinite(value)",
            "is_number(value)",
            "bounds_means_and_deviations_of_actions_are_finite_numbers",
        ),
    ),
    *planted(
        "configuration/alpamayo_r1/configuration_alpamayo_r1.py",
        CONFIGURATION_ALPAMAYO,
        (
            "the-card-has-tokens-for-poses",
            "return self.tokens_per_history_traj // self.tokens_per_pose",
            "return self.tokens_per_history_traj",
            "the_card_counts_the_poses_of_a_history",
        ),
        (
            "turns-are-no-tokens-of-a-pose",
            'return 4 if self.hist_traj_tokenizer_cfg.get("predict_yaw") else 3',
            "return 3",
            "the_card_counts_the_poses_of_a_history",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/served_driving.py",
        "tests/conversion/alpamayo_r1/test_served_driving.py",
        (
            "served-poses-have-three-tokens",
            "self.processor.num_history_tokens // self.processor.history_values.tokens_per_pose",
            "self.processor.num_history_tokens // 3",
            "poses_are_those_of_the_processor_with_turns_too",
        ),
    ),
    *planted(
        "configuration/alpamayo_r1/alpamayo_facts.py",
        CONFIGURATION_ALPAMAYO,
        (
            "the-card-has-means-for-deviations",
            'space[f"{field}_mean"], space[f"{field}_std"])\n        rows',
            'space[f"{field}_std"], space[f"{field}_mean"])\n        rows',
            "tests/configuration/test_card_content.py::test_the_cars_statistics_are_those_of_its_config",
        ),
    ),
    *planted(
        "configuration/alpamayo_r1/configuration_alpamayo_r1.py",
        CONFIGURATION_ALPAMAYO,
        (
            "a-config-shares-its-expert-settings",
            "copy.deepcopy(dict(EXPERT if expert_cfg is None else expert_cfg))",
            "EXPERT if expert_cfg is None else expert_cfg",
            "what_is_changed_in_a_config_does_not_become_a_default",
        ),
        (
            "the-later-release-without-names-of-cameras",
            "is_later if camera_labels is None else camera_labels",
            "bool(camera_labels)",
            "the_package_of_either_release_is_known",
        ),
        (
            "a-short-form-wins-without-a-word",
            "if arguments.get(name, value) != value:",
            "if False:",
            "values_that_do_not_fit_are_refused_by_name",
        ),
        (
            "the-published-solver-is-any",
            'if self.diffusion_cfg.get("int_method", "euler") != "euler":',
            "if False:",
            "values_that_do_not_fit_are_refused_by_name",
        ),
        (
            "a-vocabulary-too-small-by-one",
            "self.traj_token_start_idx + self.traj_vocab_size > self.vocab_size",
            "self.traj_token_start_idx + self.traj_vocab_size > self.vocab_size + 1",
            "values_that_do_not_fit_are_refused_by_name",
        ),
        (
            "a-given-base-config-is-changed",
            "        config = copy.deepcopy(value)\n    else:",
            "        config = value\n    else:",
            "a_given_base_config_is_not_changed",
        ),
    ),
    *planted(
        "configuration/alpamayo_r1/trajectory_vocabulary.py",
        NAVIGATION_GUIDANCE,
        (
            "a-special-token-counts-the-bases",
            "added = [key for key in SPECIAL_TOKEN_KEYS if key not in OF_BASE]",
            "added = list(SPECIAL_TOKEN_KEYS)",
            "an_answer_that_was_cut_off_is_returned_with_a_flag",
        ),
    ),
    *planted(
        "configuration/alpamayo_r1/trajectory_vocabulary.py",
        NAVIGATION_PROMPTS,
        (
            "reserved-names-of-the-first-release",
            "is_later = SPECIAL_TOKENS[first] not in vocabulary and LATER_TOKENS[first] in vocabulary",
            "is_later = False",
            "reserved_tokens_have_the_names_of_either_release_at_the_same_ids",
        ),
    ),
    *planted(
        "training/alpamayo_r1/physical_ai_av_clips.py",
        PHYSICAL_AI_AV_CLIPS,
        (
            "moments-of-history-one-step-late",
            "np.arange(1 - num_frames, 1)",
            "np.arange(-num_frames, 0)",
            "a_scene_is_seen_from_the_pose_of_its_moment",
        ),
        (
            "cameras-in-the-order-of-their-names",
            "sorted((camera_index(name), name) for name in camera_features)",
            "[(camera_index(name), name) for name in sorted(camera_features)]",
            "a_scene_is_seen_from_the_pose_of_its_moment",
        ),
        (
            "rotations-turned-from-the-other-side",
            "axes.T @ rot",
            "rot @ axes.T",
            "poses_that_turn_about_any_axis_are_seen_from_the_one_of_the_moment",
        ),
        (
            "stamps-since-the-first-of-each-camera",
            "taken - taken.min()",
            "taken - taken.min(dim=1, keepdim=True).values",
            "a_scene_is_seen_from_the_pose_of_its_moment",
        ),
    ),
    *planted(
        "training/alpamayo_r1/published_annotations.py",
        PUBLISHED_ANNOTATIONS,
        (
            "the-first-frames-of-a-segment",
            "names[len(names) - count :]",
            "names[:count]",
            "questions_come_with_the_last_frames_of_the_front_camera",
        ),
        (
            "questions-without-their-camera",
            '"images": images, "camera_indices": [FRONT]}',
            '"images": images}',
            "questions_come_with_the_last_frames_of_the_front_camera",
        ),
    ),
    *planted(
        "training/alpamayo_r1/question_examples.py",
        NAVIGATION_EXAMPLES,
        (
            "the-opening-of-an-answer-is-not-learnt",
            '    text["labels"][0, ids.shape[1] - 1] = ids[0, -1]  # the token that opens the answer ends the prompt\n',
            "",
            "questions_are_the_published_ids_and_labels",
        ),
        (
            "joined-rows-learn-padding",
            '"labels": IGNORED, "trajectory_labels": IGNORED}',
            '"labels": pad, "trajectory_labels": IGNORED}',
            "neither_padding_nor_what_has_no_labels_is_learnt",
        ),
    ),
    *planted(
        "training/alpamayo_r1/trajectory_errors.py",
        TRAJECTORY_ERRORS,
        (
            "the-last-horizon-is-left-out",
            "sorted({*range(SECOND, steps + 1, SECOND), steps})",
            "sorted({*range(SECOND, steps + 1, SECOND)}) or [steps]",
            "trajectories_are_measured_by_the_best_sample",
        ),
        (
            "the-best-sample-by-heights-too",
            "future_xyz.float()[:, None])[..., :2].norm(dim=-1).mean(dim=-1)",
            "future_xyz.float()[:, None]).norm(dim=-1).mean(dim=-1)",
            "trajectories_are_measured_by_the_best_sample",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/inspected_alpamayo.py",
        "tests/conversion/inspection/test_inspected_records.py",
        (
            "means-of-space-turned",
            'space[f"{key}_mean"], space[f"{key}_std"])',
            'space[f"{key}_std"], space[f"{key}_mean"])',
            "the_action_space_of_a_car_has_its_ranges_means_and_deviations",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/releases.py",
        "tests/conversion/alpamayo_r1/test_convert_releases.py",
        (
            "later-release-by-class-alone",
            'if published.get("include_camera_ids"):',
            "if False:",
            "each_trace_of_the_later_release_tells_it",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/trajectory_plot.py",
        "tests/conversion/alpamayo_r1/test_trajectory_plot.py",
        (
            "first-frames-in-trajectories",
            "read_frames(camera)[-1]",
            "read_frames(camera)[0]",
            "of_each_camera_the_last_frame_is_shown_under_its_name",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/reasoning_texts.py",
        "tests/conversion/alpamayo_r1/test_trajectory_plot.py",
        (
            "distances-of-one-sample",
            "if len(found) > 1 else [])",
            "if len(found) > 2 else [])",
            "a_text_has_the_least_and_the_greatest_distance_of_its_samples_and_those_that_are_not_there_are_counted",
        ),
        (
            "unstarted-unflagged",
            "if not sample.started]",
            "if sample.started]",
            "lines_are_the_arrays_and_each_has_the_colour_of_its_text",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/creation.py",
        "tests/conversion/alpamayo_r1/test_start_alpamayo.py",
        (
            "rows-of-the-head-drawn-otherwise",
            "name = EMBEDDINGS if config.tie_word_embeddings else target",
            "name = target",
            "a_base_with_one_matrix_for_both_ends_stays_so",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/evaluation_plot.py",
        "tests/conversion/alpamayo_r1/test_scenes_plot.py",
        (
            "distance-with-height",
            "(sample - driven)[:, :2]",
            "(sample - driven)[:, :3]",
            "lines_are_the_paths_and_the_errors_those_of_the_file",
        ),
        (
            "seconds-from-zero",
            "seconds = np.arange(1, len(errors) + 1) * TIME_STEP",
            "seconds = np.arange(len(errors)) * TIME_STEP",
            "lines_are_the_paths_and_the_errors_those_of_the_file",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/navigation_plot.py",
        "tests/conversion/alpamayo_r1/test_navigation_comparison.py",
        (
            "first-frames-of-cameras",
            "read_frames(camera)[-1]",
            "read_frames(camera)[0]",
            "each_drive_has_its_own_lines_and_its_first_text_below_the_last_frames",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/constants.py",
        SOURCES,
        (
            "one-equal-number-is-enough",
            "<= BF16_ROUNDING * wanted.abs()).all()",
            "<= BF16_ROUNDING * wanted.abs()).any()",
            "a_constant_of_another_config_is_named_with_both_values",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/weights.py",
        SOURCES,
        (
            "an-expert-is-all-there-is",
            'any(name.partition(".")[0] in EXPERT_PARTS',
            'all(name.partition(".")[0] in EXPERT_PARTS',
            "an_expert_is_there_where_any_tensor_is_its_own",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/card.py",
        SOURCES,
        (
            "constants-are-compared-where-there-are-none",
            '(CONSTANTS if "vlm" in report["inputs"] else "")',
            "CONSTANTS",
            "a_card_says_what_was_compared_which_release_it_is_and_what_grew",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/start_options.py",
        SOURCES,
        (
            "widths-of-an-experts-mlps",
            '"expert_intermediate_size": "intermediate_size"',
            '"expert_intermediate_size": "hidden_size"',
            "every_option_of_a_start_is_its_own_field_of_the_config",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/drawn_example.py",
        "tests/conversion/alpamayo_r1/test_drawn_driving_example.py",
        (
            "a-cards-path-is-driven-backwards",
            "np.linspace(float(start), 0, poses)",
            "np.linspace(0, float(start), poses)",
            "it_is_drawn_as_the_code_of_the_card_asks",
        ),
        (
            "a-cards-picture-without-navigation",
            "        **car_words(model.config, asked),\n",
            "",
            "it_is_drawn_as_the_code_of_the_card_asks",
        ),
    ),
]
