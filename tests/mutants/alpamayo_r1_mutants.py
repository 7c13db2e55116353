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

MUTANTS = [
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
]
