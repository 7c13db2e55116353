"""Alpamayo-R1: what is driven, drawn, guided and said."""

from .planted import planted

UNICYCLE = "tests/modeling/alpamayo_r1/test_unicycle_action_space.py"
DRAWING = "tests/modeling/alpamayo_r1/test_token_drawing.py"
GUIDANCE = "tests/modeling/alpamayo_r1/test_navigation_guidance.py"
DRIVING = "tests/modeling/alpamayo_r1/test_alpamayo_parts.py"
FRAME = "tests/modeling/alpamayo_r1/test_ego_frame.py"
TRAJECTORY_TOKENIZERS = "tests/modeling/alpamayo_r1/test_trajectory_tokenizers.py"
ODE_SAMPLING = "tests/modeling/test_ode_sampling.py"
ALPAMAYO_MODEL = "tests/modeling/alpamayo_r1/test_alpamayo_model.py"
TRAJECTORY_TEXT = "tests/modeling/alpamayo_r1/test_trajectory_text.py"
REASONING_TEXT = "tests/modeling/alpamayo_r1/test_reasoning_text.py"
VISION_ENCODING = "tests/modeling/alpamayo_r1/test_vision_encoding.py"
ALPAMAYO_WAITS = "tests/modeling/alpamayo_r1/test_alpamayo_waits.py"
FINITE_PREDICTIONS = "tests/modeling/test_finite_predictions.py"
START_ALPAMAYO = "tests/conversion/alpamayo_r1/test_start_alpamayo.py"
FAST_PREDICTION_OF_FAMILIES = "tests/modeling/test_fast_prediction_of_families.py"
TEXT_KEYS = "tests/modeling/alpamayo_r1/test_text_keys.py"
ADAPTERS_THROUGH_MODEL = "tests/modeling/test_adapters_through_model.py"

MUTANTS = [
    *planted(
        "modeling/alpamayo_r1/published_calls.py",
        "tests/modeling/test_unread_arguments.py",
        (
            "words-of-other-families-beside-a-prompt-are-dropped",
            "    if unread := [str(name) for name in given if name not in",
            "    if unread := [str(name) for name in given if given is data and name not in",
            "an_argument_of_another_family_is_refused_in_every_call_of_alpamayo",
        ),
        (
            "a-path-that-is-given-twice-is-read-once",
            "    check_once(data, inside, POSES)\n",
            "",
            "the_path_just_driven_is_read_beside_the_prompt_or_inside_of_it_and_once",
        ),
        (
            "a-prompt-that-is-given-twice-is-read-once",
            "    check_once(data, given, TENSORS)\n",
            "",
            "the_path_just_driven_is_read_beside_the_prompt_or_inside_of_it_and_once",
        ),
        (
            "a-path-inside-a-prompt-is-not-read",
            "name: inside.get(name) if data.get(name) is None else data[name]",
            "name: data.get(name)",
            "the_path_just_driven_is_read_beside_the_prompt_or_inside_of_it_and_once",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/alpamayo_pretrained.py",
        "tests/modeling/test_generation_settings.py",
        (
            "alpamayo-writes-by-the-settings-of-its-part",
            "        self.vlm.generation_config = self.generation_config\n",
            "",
            "settings_of_a_model_are_heeded_as_set_and_as_loaded",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/unicycle_action_space.py",
        UNICYCLE,
        (
            "a-step-without-its-acceleration",
            "travelled = speed[..., :-1] * self.dt + accel * (self.dt**2 / 2)\n        heading",
            "travelled = speed[..., :-1] * self.dt\n        heading",
            "a_circle_at_a_steady_acceleration_has_its_physical_values_as_actions",
            "published_actions_drive_the_published_trajectories",
        ),
        (
            "heights-on-the-ground",
            "z = height.unsqueeze(-1).float().expand_as(x)",
            "z = torch.zeros_like(x)",
            "one_history_serves_all_samples_and_its_height_is_kept",
        ),
        (
            "bounds-of-one-of-two",
            "return (inside[0] & inside[1]).all(dim=-1)",
            "return inside[0].all(dim=-1)",
            "only_actions_with_a_value_out_of_bounds_are_out_of_bounds",
        ),
        (
            "a-given-speed-is-ignored",
            "        if t0_states is not None:\n            speed",
            "        if t0_states is not None and xyz.shape[-2] < 2:\n            speed",
            "a_given_speed_replaces_the_historys_and_then_one_pose_is_enough",
        ),
        (
            "a-ridge-of-headings-is-the-default",
            "self.theta_lambda, self.theta_ridge, yaw[..., 0]",
            "self.theta_lambda, 1e-8, yaw[..., 0]",
            "a_ridge_pulls_its_own_values_to_zero_and_a_smoothing_its_own_derivatives",
        ),
        (
            "a-ridge-of-curvatures-is-the-default",
            "self.kappa_lambda, self.kappa_ridge)\n\n",
            "self.kappa_lambda, 1e-4)\n\n",
            "a_ridge_pulls_its_own_values_to_zero_and_a_smoothing_its_own_derivatives",
        ),
        (
            "a-smoothing-of-accelerations-is-the-default",
            "self.dt, self.a_lambda, self.a_ridge)",
            "self.dt, 1e-4, self.a_ridge)",
            "a_ridge_pulls_its_own_values_to_zero_and_a_smoothing_its_own_derivatives",
        ),
        (
            "a-ridge-of-speeds-is-the-default",
            "self.v_lambda, self.v_ridge)[..., -1]",
            "self.v_lambda, 1e-4)[..., -1]",
            "a_ridge_pulls_its_own_values_to_zero_and_a_smoothing_its_own_derivatives",
        ),
        (
            "headings-jump-at-the-half-circle",
            "torch.cumsum(torch.atan2(turns.sin(), turns.cos()), dim=-1)",
            "torch.cumsum(turns, dim=-1)",
            "the_heading_of_more_than_a_full_circle_is_unwrapped",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/token_drawing.py",
        DRAWING,
        (
            "the-likeliest-of-less",
            "beyond = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p",
            "beyond = ascending.softmax(dim=-1).cumsum(dim=-1) <= top_p",
            "scores_are_transformers",
        ),
        (
            "trajectory-tokens-but-the-last",
            "(ids < self.first + self.number)",
            "(ids < self.first + self.number - 1)",
            "tests/modeling/alpamayo_r1/test_alpamayo_model.py::test_no_trajectory_token_is_written_even_where_it_is_the_likeliest",
        ),
        (
            "an-ended-text-grows",
            "lengths = lengths + ~ended",
            "lengths = lengths + 1",
            "a_future_is_opened_written_and_ended_whatever_is_likely",
            "tests/modeling/alpamayo_r1/test_alpamayo_model.py::test_a_row_that_ends_without_a_trajectory_does_not_make_the_others_run_on",
        ),
        (
            "an-ended-text-stays-finite",
            "finite = finite & (sound | ended)",
            "finite = finite & sound",
            "rows_of_logits_that_are_not_finite_are_told",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/guided_velocity.py",
        GUIDANCE,
        (
            "guided-by-the-other-weight",
            "(1 - weight) * unguided.float() + weight * guided.float()",
            "weight * unguided.float() + (1 - weight) * guided.float()",
            "one_step_is_the_mean_of_both_velocities_by_weight",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/trajectory_metrics.py",
        DRIVING,
        (
            "the-best-sample-of-the-horizon",
            "errors.mean(dim=-1, keepdim=True).argmin",
            "errors[..., :timestep_horizon].mean(dim=-1, keepdim=True).argmin",
            "the_best_sample_is_the_best_over_the_whole_trajectory_at_every_horizon",
        ),
        (
            "heights-count",
            "difference[..., :2] if only_xy else difference",
            "difference",
            "the_best_sample_counts_and_the_height_does_not",
        ),
        (
            "the-final-waypoint-at-every-horizon",
            "errors[..., :timestep_horizon][..., -1]",
            "errors[..., -1]",
            "metrics_agree_with_a_loop_over_sets_and_samples",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/ego_frame.py",
        FRAME,
        (
            "mirrored-rotations-pass",
            "no_rotation = ((skew > ROTATION_TOLERANCE) | mirrored).any(dim=1)",
            "no_rotation = (skew > ROTATION_TOLERANCE).any(dim=1)",
            "the_model_refuses_it_before_it_computes",
        ),
        (
            "turned-the-other-way",
            "@ last_rot.double()  # rows",
            "@ last_rot.double().transpose(-1, -2)  # rows",
            "a_world_history_becomes_the_ego_history_that_it_is",
        ),
        (
            "a-turned-last-pose-passes",
            "(xyz[:, -1].norm(dim=-1) > ORIGIN_TOLERANCE) | turned",
            "(xyz[:, -1].norm(dim=-1) > ORIGIN_TOLERANCE)",
            "a_history_of_another_frame_or_without_rotations_is_refused_by_the_processor",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/waypoint_projection.py",
        DRIVING,
        (
            "phases-in-the-precision-of-weights",
            "timesteps.float().expand(*x.shape[:2], 1)], dim=-1)",
            "timesteps.float().expand(*x.shape[:2], 1)], dim=-1).to(floating_dtype(self))",
            "phases_stay_float32_under_bfloat16_weights",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/trajectory_tokenizers.py",
        TRAJECTORY_TOKENIZERS,
        (
            "turns-that-are-not-wrapped",
            "            turn = torch.atan2(turn.sin(), turn.cos())\n",
            "",
            "a_turn_across_the_back_is_a_small_one",
        ),
        (
            "a-standing-car-by-its-steps-alone",
            " & (slopes.abs() > size).any(dim=-1)",
            "",
            "a_car_that_trembles_where_it_stands_keeps_its_heading_when_fixed",
        ),
        (
            "turns-clockwise-in-both-conventions",
            "-steps[..., 3] if fixed else steps[..., 3]",
            "steps[..., 3]",
            "published_headings_of_turn_tokens_are_mirrored_and_fixed_ones_are_not",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/trajectory_flow_matching.py",
        ODE_SAMPLING,
        (
            "times-of-even-steps",
            'times = times if ode.ode_spacing == "uniform" else 1 - torch.cos(times * math.pi / 2)',
            "times = times",
            "alpamayos_sampler_takes_the_same_steps_with_its_own_time",
        ),
        (
            "a-temperature-that-does-nothing",
            "return noise if temperature == 1 else noise * float(temperature)",
            "return noise",
            "tests/modeling/alpamayo_r1/test_golden_navigation.py::test_guidance_gives_the_published_trajectories",
        ),
        (
            "a-generator-that-is-not-asked",
            "torch.randn(wanted, generator=generator, device=place, dtype=torch.float32)",
            "torch.randn(wanted, device=place, dtype=torch.float32)",
            "tests/modeling/alpamayo_r1/test_alpamayo_parts.py::test_a_generator_makes_a_sample_that_can_be_repeated",
        ),
        (
            "noise-that-is-uniform-in-driving",
            "torch.randn(wanted, generator",
            "torch.rand(wanted, generator",
            "tests/modeling/alpamayo_r1/test_alpamayo_parts.py::test_a_generator_makes_a_sample_that_can_be_repeated",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/expert_steps.py",
        ALPAMAYO_MODEL,
        (
            "prompt-padding-is-always-hidden-in-driving",
            "prompt.real if model.config.mask_prompt_padding else torch.ones_like(prompt.real)",
            "prompt.real",
            "only_the_published_mask_lets_padding_change_a_trajectory",
        ),
        (
            "tokens-of-the-expert-see-what-follows",
            "(block.tril() if causal else block)",
            "block",
            "action_tokens_see_later_ones_only_where_the_config_says_so",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/training_pass.py",
        ALPAMAYO_MODEL,
        (
            "prompt-padding-is-always-hidden-in-learning",
            "known = real if config.mask_prompt_padding else None",
            "known = real",
            "training_and_sampling_see_the_same_velocity",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/navigation_markers.py",
        GUIDANCE,
        (
            "padding-of-routes-is-real",
            "kept = kept if real is None else kept & real",
            "kept = kept",
            "one_step_is_the_mean_of_both_velocities_by_weight",
        ),
        (
            "routes-that-end-first-pass",
            "(counts[0] > 1) | backwards).any()",
            "(counts[0] > 1)).any()",
            "navigation_that_is_none_is_refused",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/trajectory_text.py",
        TRAJECTORY_TEXT,
        (
            "weights-of-samples-not-of-futures",
            "        errors = errors * sample_weight.to(errors)[:, None]\n",
            "        pass\n",
            "a_sample_of_weight_three_is_three_samples_in_both_losses_of_text",
        ),
        (
            "values-of-futures-and-one-more",
            "(ids < first + config.traj_vocab_size)",
            "(ids <= first + config.traj_vocab_size)",
            "tokens_beside_the_values_of_trajectories_are_none_of_them",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/reasoning_text.py",
        REASONING_TEXT,
        (
            "the-first-reasoning-marker",
            'before.rpartition(f"<|{part}_start|>")',
            'before.partition(f"<|{part}_start|>")',
            "a_part_reaches_from_its_last_start_to_its_first_end",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/rollout.py",
        ALPAMAYO_MODEL,
        (
            "texts-begin-on-the-prompts-last-place",
            "prompt.repeated(prompt.last_position) + 1, exponentials",
            "prompt.repeated(prompt.last_position), exponentials",
            "the_text_is_that_of_the_base_models_own_generate",
        ),
        (
            "keys-of-the-end-are-not-written",
            "max(read, min(last, longest))",
            "max(read, min(last, longest - 1))",
            "images_and_prompt_are_read_once_however_many_samples_are_drawn",
        ),
        (
            "stopping-criteria-see-all-but-the-last",
            "written.tokens[:, : count + 1]",
            "written.tokens[:, :count]",
            "stopping_criteria_end_rows",
        ),
        (
            "a-top-p-of-nothing",
            "not 0 < top_p <= 1",
            "not 0 <= top_p <= 1",
            "options_out_of_range_are_refused_by_name",
        ),
        (
            "later-tokens-are-not-of-the-generator",
            "fill_exponentials(step.exponentials, sampling.generator)",
            "step.exponentials.exponential_()",
            "a_generator_decides_text_and_noise",
        ),
        (
            "the-first-token-is-not-of-the-generator",
            "fill_exponentials(torch.empty_like(scores), sampling.generator)",
            "torch.empty_like(scores).exponential_()",
            "a_generator_decides_text_and_noise",
        ),
        (
            "what-a-callers-generator-draws-is-drawn-on-the-models-device",
            "torch.empty_like(numbers, device=generator.device)",
            "torch.empty_like(numbers)",
            f"{DRAWING}::test_what_a_callers_generator_draws_is_drawn_where_it_is",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/written_trajectories.py",
        DRAWING,
        (
            "a-reasoning-ends-without-a-future",
            'reasoning = reasoning.masked_fill(ids == end, float("-inf"))',
            "pass",
            "a_future_is_opened_written_and_ended_whatever_is_likely",
        ),
        (
            "a-reasoning-of-one-more",
            "written.count >= self.max_reasoning",
            "written.count > self.max_reasoning",
            "a_future_is_opened_written_and_ended_whatever_is_likely",
        ),
        (
            "no-room-is-kept-for-a-written-future",
            '"trajectory": count + 2}',
            '"trajectory": 0}',
            "tests/modeling/alpamayo_r1/test_trajectory_text.py::test_a_text_without_room_for_a_trajectory_is_refused",
        ),
        (
            "a-future-opened-for-the-model-is-its-own",
            "drawn.lengths < sampling.max_new_tokens",
            "drawn.lengths <= sampling.max_new_tokens",
            "tests/modeling/alpamayo_r1/test_trajectory_text.py::test_a_written_trajectory_is_what_a_loop_over_the_whole_text_writes",
        ),
        (
            "the-end-of-a-written-future-is-cut",
            "max_new_tokens=sampling.max_new_tokens + count + 2,",
            "max_new_tokens=sampling.max_new_tokens + count + 1,",
            "tests/modeling/alpamayo_r1/test_trajectory_text.py::test_a_written_trajectory_is_what_a_loop_over_the_whole_text_writes",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/prompt_reading.py",
        ALPAMAYO_MODEL,
        (
            "a-text-that-is-not-kept-is-not-checkpointed",
            "without_checkpointing(decoder_modules(vlm) if keep else [])",
            "without_checkpointing(decoder_modules(vlm))",
            "gradient_checkpointing_computes_the_layers_of_a_text_alone_once_more",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/vision_encoding.py",
        VISION_ENCODING,
        (
            "frames-of-one-image-see-each-other",
            "for frames, rows, columns in grid for _ in range(frames)]",
            "for frames, rows, columns in grid]",
            "images_are_encoded_as_transformers_does",
        ),
        (
            "a-watched-attention-of-the-tower-is-passed-by",
            "for module in (block, block.attn, block.mlp)]",
            "for module in (block, block.mlp)]",
            "a_tower_with_hooks_on_what_would_not_be_called_is_called_itself",
        ),
        (
            "places-of-patches-in-low-precision",
            "torch.addcmul(heads.float() * cosine, turned, sine).to(heads.dtype)",
            "torch.addcmul(heads * cosine.to(heads.dtype), turned.to(heads.dtype), sine.to(heads.dtype))",
            "patches_of_low_precision_are_turned_in_float32",
        ),
        (
            "deepstack-mergers-in-the-order-of-layers",
            "tower.deepstack_visual_indexes.index(index)]",
            "len(deepstack)]",
            "the_merger_of_a_layer_is_that_of_its_place_in_the_config",
        ),
        (
            "patch-positions-are-the-nearest",
            "exact - before\n",
            "torch.zeros_like(exact)\n",
            "images_are_encoded_as_transformers_does",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/value_checks.py",
        ALPAMAYO_WAITS,
        (
            "one-row-with-its-placeholders-is-enough",
            "(counts != config.tokens_per_history_traj).any()",
            "(counts != config.tokens_per_history_traj).all()",
            "wrong_values_are_refused_by_name_wherever_they_are",
        ),
        (
            "a-history-may-end-anywhere",
            "pose_faults(*poses, True)",
            "pose_faults(*poses, False)",
            "wrong_values_are_refused_by_name_wherever_they_are",
        ),
        (
            "questions-keep-placeholders",
            "at_once([unfilled, wrong])",
            "at_once([wrong])",
            "tests/modeling/alpamayo_r1/test_navigation_guidance.py::test_questions_that_cannot_be_answered_are_refused",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/driving_inputs.py",
        ALPAMAYO_MODEL,
        (
            "a-history-of-another-batch",
            "xyz.shape[::2] != (batch, 3)",
            "xyz.shape[-1] != 3",
            "inputs_of_the_wrong_form_are_refused_by_name",
        ),
        (
            "true-is-a-count",
            " or isinstance(value, bool)",
            "",
            "options_out_of_range_are_refused_by_name",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/trajectory_outputs.py",
        FINITE_PREDICTIONS,
        (
            "one-sound-text-of-several-is-enough",
            "drawn.finite.view(batch, -1).all(dim=1)",
            "drawn.finite.view(batch, -1).any(dim=1)",
            "one_text_of_several_that_is_not_finite_ends_a_drive_with_the_row_of_its_prompt",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/expert_velocity.py",
        ALPAMAYO_MODEL,
        (
            "the-learning-expert-sees-padding",
            "seen = seen if real is None else seen & real",
            "seen = seen",
            "training_and_sampling_see_the_same_velocity",
        ),
        (
            "one-row-that-opens-a-future-is-enough",
            "if not is_start.any(dim=1).all():",
            "if not is_start.any():",
            "a_future_that_cannot_be_learned_is_refused",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/alpamayo_start.py",
        START_ALPAMAYO,
        (
            "a-futures-tokens-are-the-releases",
            '    fields.setdefault("tokens_per_future_traj", sized.num_action_chunks * sized.action_dim)\n',
            "",
            "an_expert_has_the_releases_proportions_unless_it_is_said_otherwise",
        ),
        (
            "an-expert-with-fewer-heads-than-keys",
            "max(text.num_key_value_heads, text.num_attention_heads // 2)",
            "text.num_attention_heads // 2",
            "an_expert_has_a_head_for_each_of_the_bases_keys",
        ),
        (
            "another-experts-dicts-are-whole",
            "{**getattr(base, name), **value}",
            "{**value}",
            "what_is_not_said_of_a_part_of_the_next_expert_is_the_bases",
        ),
        (
            "a-start-without-padding",
            "    config.pad_token_id = tokenizer.pad_token_id\n",
            "",
            "seed_names_and_padding_of_a_start_in_python_are_what_is_said",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/answer_text.py",
        GUIDANCE,
        (
            "answers-end-where-a-future-opens",
            "sampling.end_ids[1:]",
            "sampling.end_ids",
            "an_answer_goes_on_behind_what_opens_a_trajectory",
        ),
        (
            "an-answer-that-was-cut-keeps-its-markers",
            "in text else unmarked(text))",
            "in text else text)",
            "an_answer_is_what_was_written_before_its_first_marker",
        ),
        (
            "an-empty-answer-is-the-whole-text",
            'found or ("" if "<|answer_end|>" in text else unmarked(text))',
            "found or unmarked(text)",
            "an_answer_is_what_was_written_before_its_first_marker",
        ),
        (
            "no-room-is-asked-for-answers",
            '"text to be written": sampling.max_new_tokens}',
            '"text to be written": 0}',
            "a_question_without_room_for_its_answer_is_refused",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/navigation_guidance.py",
        GUIDANCE,
        (
            "the-last-token-is-not-read-again",
            "range(1, tokens.shape[1] + 1)",
            "range(1, tokens.shape[1])",
            "a_watched_language_model_reads_the_text_again_token_by_token",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/prompt_pass.py",
        ALPAMAYO_MODEL,
        (
            "key-heads-of-prompts-in-another-order",
            "each.repeat_interleave(groups, dim=1)",
            "each.repeat(1, groups, 1, 1)",
            "the_text_is_that_of_the_base_models_own_generate",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/smoothed_least_squares.py",
        UNICYCLE,
        (
            "roughness-by-the-step-alone",
            "dt ** (2 * order)",
            "dt**order",
            "published_trajectories_have_the_published_actions",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/start_in_memory.py",
        START_ALPAMAYO,
        (
            "a-named-base-is-the-folder",
            "config.vlm_name_or_path or str(base)",
            "str(base)",
            "seed_names_and_padding_of_a_start_in_python_are_what_is_said",
        ),
        (
            "new-token-rows-of-seed-0",
            "name, seed, 0, rows - len(old)",
            "name, 0, 0, rows - len(old)",
            "seed_names_and_padding_of_a_start_in_python_are_what_is_said",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/text_keys.py",
        FAST_PREDICTION_OF_FAMILIES,
        (
            "keys-keep-what-an-earlier-call-left",
            "        keys.zero_(), values.zero_()\n",
            "        pass\n",
            "predictions_from_graphs_are_those_without",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/text_layer.py",
        TEXT_KEYS,
        (
            "a-watched-attention-runs-in-parts",
            "for module in (layer, layer.self_attn, layer.mlp))",
            "for module in (layer, layer.mlp))",
            "a_layer_with_hooks_on_what_would_not_be_called_is_run_whole",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/trajectory_bins.py",
        TRAJECTORY_TOKENIZERS,
        (
            "numbers-are-cut-to-their-bins",
            ".round().nan_to_num()",
            ".nan_to_num()",
            "steps_have_the_published_tokens",
        ),
        (
            "a-token-behind-the-last-bin",
            "tokens.max() >= self.count",
            "tokens.max() > self.count",
            "what_is_no_step_is_refused",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/alpamayo_pretrained.py",
        ALPAMAYO_MODEL,
        (
            "graphs-for-a-part-of-a-drive",
            "max_graphs=4 * max_graphs",
            "max_graphs=max_graphs",
            "the_published_switch_keeps_the_four_graphs_of_each_shape_of_a_drive",
        ),
        (
            "text-is-written-behind-a-place-without-a-path",
            '        refuse_unfilled(input_ids, self.config.traj_token_ids["history"])\n',
            "",
            "text_is_not_written_behind_a_place_without_a_path",
        ),
        (
            "the-experts-projections-stay-apart",
            "*self.vlm.model.language_model.layers, *self.expert.layers",
            "*self.vlm.model.language_model.layers,",
            "projections_of_text_and_expert_are_fused",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/alpamayo_pretrained.py",
        ADAPTERS_THROUGH_MODEL,
        (
            "an-adapter-takes-the-tokenizer-away",
            "model.tokenizer if found is None else found",
            "found",
            "a_folder_of_an_adapter_loads_its_base_and_itself",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/published_calls.py",
        GUIDANCE,
        (
            "published-calls-read-padding",
            '("input_ids", "attention_mask", "pixel_values"',
            '("input_ids", "pixel_values"',
            "answers_of_a_batch_are_as_they_are_alone",
        ),
        (
            "a-weight-without-guidance-is-dropped",
            "    if (weight := options.pop(WEIGHT, None)) is not None:",
            "    if options.pop(WEIGHT, None) is not None and False:",
            "the_published_calls_refuse_what_would_be_without_effect",
        ),
        (
            "the-models-own-guidance-does-not-count",
            "(flow.use_classifier_free_guidance if flag is None else flag)",
            "flag",
            "guidance_that_the_model_was_made_with_needs_no_options",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/modeling_alpamayo_r1.py",
        GUIDANCE,
        (
            "a-guided-published-call-always-checks",
            '"num_traj_sets": num_traj_sets, "check_finite": check_finite}\n        inputs =',
            '"num_traj_sets": num_traj_sets}\n        inputs =',
            "the_published_calls_hand_all_options_on",
        ),
        (
            "a-published-call-always-checks",
            '"num_traj_sets": num_traj_sets, "check_finite": check_finite}\n        return',
            '"num_traj_sets": num_traj_sets}\n        return',
            "the_published_calls_hand_all_options_on",
        ),
        (
            "noise-at-full-temperature",
            "generator, place, noise_temperature)",
            "generator, place, 1.0)",
            "tests/modeling/alpamayo_r1/test_golden_navigation.py::test_guidance_gives_the_published_trajectories",
        ),
        (
            "the-configs-stop-of-gradients-wins",
            "self.config.stop_grad_from_vlm if stop_grad_from_vlm is None else stop_grad_from_vlm",
            "self.config.stop_grad_from_vlm",
            "tests/modeling/alpamayo_r1/test_alpamayo_model.py::test_the_loss_of_the_expert_stops_at_the_vlms_keys_and_values",
        ),
        (
            "written-trajectories-are-not-checked",
            "        check_drawn(self, drawn, shape[0], numbers, late)\n",
            "",
            "tests/modeling/alpamayo_r1/test_trajectory_text.py::test_a_trajectory_that_is_written_from_what_is_not_finite_is_an_error",
        ),
        (
            "written-trajectories-are-not-of-the-generator",
            "warpers(temperature, top_k, top_p), None, None, generator",
            "warpers(temperature, top_k, top_p), None, None, None",
            "tests/modeling/alpamayo_r1/test_trajectory_text.py::test_samples_of_one_prompt_are_written_together",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/modeling_alpamayo_r1.py",
        ALPAMAYO_MODEL,
        (
            "a-drive-takes-the-steps-it-was-made-for",
            "chosen_sampling(self.config, num_inference_steps, None, ode_solver",
            "chosen_sampling(self.diffusion, num_inference_steps, None, ode_solver",
            "tests/modeling/test_ode_sampling.py::test_alpamayo_follows_its_config_or_the_call",
        ),
        (
            "the-expert-has-flash-attention",
            'if "flash" in (config.expert_config._attn_implementation or ""):',
            "if False:",
            "an_expert_does_without_flash_attention_which_does_not_take_its_masks",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/rollout.py",
        REASONING_TEXT,
        (
            "callers-functions-see-our-padding",
            "drawing, before = sampling.drawing, prompt.repeated(prompt.input_ids[:, sampling.padding :])",
            "drawing, before = sampling.drawing, prompt.repeated(prompt.input_ids)",
            "texts_from_graphs_are_the_same_whatever_the_prompts_are_padded_to",
        ),
        (
            "a-processor-may-leave-no-token",
            "sound & possible_rows",
            "sound",
            "tests/modeling/test_finite_predictions.py::test_a_processor_that_leaves_no_token_ends_a_drive_with_the_rows",
        ),
        (
            "padding-behind-texts-is-the-configs",
            "config.pad_token_id if tokenizer is None else tokenizer.pad_token_id",
            "config.pad_token_id",
            "padding_behind_a_text_is_the_tokenizers_the_configs_or_its_end",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/text_decoding.py",
        REASONING_TEXT,
        (
            "samples-see-other-prompts-when-watched",
            "shared.repeat_interleave(samples, dim=0)",
            "shared.repeat(samples, 1, 1, 1)",
            "texts_of_a_changed_model_are_those_of_its_whole_pass",
        ),
        (
            "samples-see-other-prompts-padding-when-watched",
            "seen[0].repeat_interleave(rows // batch, dim=0)",
            "seen[0].repeat(rows // batch, 1)",
            "texts_of_a_changed_model_are_those_of_its_whole_pass",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/prompt_reading.py",
        REASONING_TEXT,
        (
            "padding-is-added-where-the-expert-sees-it",
            "    if model.config.mask_prompt_padding:\n",
            "    if True:\n",
            "no_padding_is_added_that_the_expert_would_see",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/driving_inputs.py",
        ALPAMAYO_MODEL,
        (
            "a-future-in-16-bits-is-learnt",
            "        if value.dtype in (torch.bfloat16, torch.float16):",
            "        if False:",
            "a_future_in_16_bits_is_refused_and_one_of_more_is_learnt",
        ),
        (
            "a-place-without-a-path-is-trained-on",
            '        refuse_unfilled(input_ids, model.config.traj_token_ids["history"])\n',
            "",
            "half_of_a_path_and_a_place_without_one_are_refused_in_training",
        ),
        (
            "rotations-of-no-history-are-left-out",
            "all(given is None for given in (*history, *future))",
            "history[0] is None and future[0] is None",
            "half_of_a_path_and_a_place_without_one_are_refused_in_training",
        ),
        (
            "rotations-of-no-future-are-left-out",
            "if future == (None, None):",
            "if future[0] is None:",
            "half_of_a_path_and_a_place_without_one_are_refused_in_training",
        ),
        (
            "no-room-is-kept-for-waypoints",
            '"trajectory": config.n_waypoints}',
            '"trajectory": 0}',
            "a_prompt_without_room_for_text_and_waypoints_is_refused",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/alpamayo_start.py",
        START_ALPAMAYO,
        (
            "a-start-has-all-special-tokens",
            'fields.get("add_special_tokens", True))',
            "True)",
            "a_start_may_have_the_markers_of_trajectories_alone",
        ),
    ),
]
