"""Numbers of each family's own parts: what is pruned, drawn, driven and fused."""

from .planted import planted

PARTS = "tests/modeling/test_action_parts.py"
PRUNING = "tests/modeling/cogvla/test_token_pruning.py"
COGVLA = "tests/modeling/cogvla/test_cogvla_model.py"
ITEMS = "tests/training/test_loss_items.py"
UNICYCLE = "tests/modeling/alpamayo_r1/test_unicycle_action_space.py"
DRAWING = "tests/modeling/alpamayo_r1/test_token_drawing.py"
GUIDANCE = "tests/modeling/alpamayo_r1/test_navigation_guidance.py"
DRIVING = "tests/modeling/alpamayo_r1/test_alpamayo_parts.py"
FRAME = "tests/modeling/alpamayo_r1/test_ego_frame.py"
LATE = "tests/modeling/multimodal_vla/test_late_fusion.py"
COMPOSED = "tests/modeling/multimodal_vla/test_multimodal_vla.py"
CHOICES = "tests/modeling/multimodal_vla/test_backbone_choices.py"
TRAJECTORY_TOKENIZERS = "tests/modeling/alpamayo_r1/test_trajectory_tokenizers.py"
ODE_SAMPLING = "tests/modeling/test_ode_sampling.py"
SAMPLED_ACTIONS = "tests/modeling/test_sampled_actions.py"
DIT_CHOICES = "tests/modeling/mapanything_llava3d/test_dit_choices.py"
LLAVA3D_MODEL = "tests/modeling/mapanything_llava3d/test_llava3d_model.py"
MAPANYTHING_GEOMETRY = "tests/modeling/mapanything_llava3d/test_mapanything_geometry.py"
MULTIMODAL_PARTS = "tests/modeling/multimodal_vla/test_multimodal_parts.py"
TOWER_IMAGE_PROCESSORS = "tests/modeling/multimodal_vla/test_tower_image_processors.py"
GATED_CROSS_ATTENTION = "tests/modeling/multimodal_vla/test_gated_cross_attention.py"
ALPAMAYO_MODEL = "tests/modeling/alpamayo_r1/test_alpamayo_model.py"
COGVLA_START = "tests/configuration/cogvla/test_cogvla_start.py"
OPENVLA_SIZES = "tests/configuration/cogvla/test_openvla_sizes.py"
NORMALIZATION_STATISTICS = "tests/configuration/test_normalization_statistics.py"
CONFIGURATION_LLAVA3D = "tests/configuration/mapanything_llava3d/test_configuration_llava3d.py"
NEXT_LLAVA3D = "tests/conversion/mapanything_llava3d/test_next_llava3d.py"
QUANTISED_CHECKPOINTS = "tests/conversion/test_quantised_checkpoints.py"
GROUNDING_TEXT = "tests/processing/multimodal_vla/test_grounding_text.py"
TRAJECTORY_TEXT = "tests/modeling/alpamayo_r1/test_trajectory_text.py"
REASONING_TEXT = "tests/modeling/alpamayo_r1/test_reasoning_text.py"

MUTANTS = [
    *planted(
        "configuration/cogvla/pruning_schedule.py",
        PRUNING,
        (
            "a-layer-at-the-maximum-does-not-prune",
            "if ratio <= highest}",
            "if ratio < highest}",
            "a_layer_whose_ratio_is_the_largest_or_the_smallest_exactly_has_it",
        ),
        (
            "a-schedule-as-deep-as-the-model",
            "ratio_of(i, schedule_layers) + average",
            "ratio_of(i, num_layers) + average",
            "the_linear_schedule_of_a_shallow_model_follows_the_depth_of_the_schedule",
        ),
    ),
    *planted(
        "modeling/cogvla/token_pruning.py",
        PRUNING,
        (
            "scores-of-routers-in-half-precision",
            "softmax(dim=-1, dtype=torch.float32)[..., 1]",
            "softmax(dim=-1)[..., 1]",
            "scores_are_float32_in_a_bfloat16_model",
        ),
        (
            "kept-tokens-by-their-scores",
            ".indices[:, :count].sort(dim=1).values",
            ".indices[:, :count]",
            "kept_tokens_are_the_best_ones_in_ascending_order",
        ),
        (
            "one-more-token-is-kept",
            "count = int(scores.shape[1] * keep_ratio)",
            "count = -int(-scores.shape[1] * keep_ratio // 1)",
            "the_number_of_kept_tokens_is_rounded_down_and_may_be_zero",
        ),
        (
            "places-from-the-first-token-on",
            "kept + 1, places",
            "kept, places",
            "selected_tokens_can_be_put_back",
            "the_model_equals_one_that_takes_tokens_out_of_a_list",
        ),
        (
            "the-mean-of-padding-too",
            "self.count = self.prompt.unsqueeze(1), self.prompt.sum(dim=1).view(-1, 1, 1)",
            "self.count = self.prompt.unsqueeze(1), self.prompt.shape[1]",
            "the_film_router_equals_a_loop_over_samples_and_tokens",
            "scores_do_not_depend_on_padding",
        ),
    ),
    *planted(
        "modeling/cogvla/pruned_language_model.py",
        PRUNING,
        (
            "a-block-that-is-causal",
            "visible = visible | (block[:, :, None] & block[:, None, :])",
            "visible = visible",
            "the_attention_mask_equals_its_definition_token_by_token",
        ),
    ),
    *planted(
        "modeling/cogvla/action_sequence.py",
        COGVLA,
        (
            "an-end-that-is-appended-twice",
            "return ids, position < lengths + missing",
            "return ids, position < lengths + 1",
            "the_prompt_end_token_is_appended_only_where_it_is_missing",
        ),
        (
            "states-one-place-early",
            "return self.last_prompt.unsqueeze(1) + torch",
            "return self.last_prompt.unsqueeze(1) - 1 + torch",
            "tests/modeling/cogvla/test_golden_cogvla.py::test_a_converted_checkpoint_predicts_the_published_actions",
        ),
    ),
    *planted(
        "modeling/cogvla/cogvla_losses.py",
        ITEMS,
        (
            "padding-behind-an-episode-is-learnt",
            "learnt_steps(target, action_is_pad, sample_weight), total)",
            "learnt_steps(target, None, sample_weight), total)",
            "padding_behind_an_episode_is_not_learnt",
        ),
        (
            "squares-where-distances-are-meant",
            "errors.square() if squared else errors.abs()",
            "errors.square()",
            "tests/modeling/cogvla/test_cogvla_model.py::test_the_losses_are_cross_entropy_and_mean_distance",
        ),
        (
            "items-of-the-batch-alone",
            'total = None if items is None else items["action"]',
            "total = None",
            "the_losses_of_parts_add_up_to_that_of_the_whole",
        ),
        (
            "learnt-noise-that-is-uniform-in-cogvla",
            "torch.randn_like(actions) if noise",
            "torch.rand_like(actions) if noise",
            "tests/modeling/cogvla/test_cogvla_model.py::test_training_draws_normal_noise_and_all_steps_of_diffusion",
        ),
        (
            "steps-of-diffusion-that-are-always-the-first",
            "torch.randint(steps, actions.shape[:1]",
            "torch.randint(1, actions.shape[:1]",
            "tests/modeling/cogvla/test_cogvla_model.py::test_training_draws_normal_noise_and_all_steps_of_diffusion",
        ),
        (
            "weights-of-samples-not-of-their-tokens",
            "(learnt if sample_weight is None else learnt * sample_weight.to(learnt)).sum()",
            "learnt.sum()",
            "a_sample_of_weight_three_is_three_samples",
        ),
    ),
    *planted(
        "modeling/cogvla/ddim.py",
        PARTS,
        (
            "levels-without-their-root",
            "levels.sqrt() * clean.float()",
            "levels * clean.float()",
            "noise_is_added_by_the_level_of_each_sample",
        ),
        (
            "the-step-before-by-one",
            "levels[step - stride] if step >= stride else 1.0",
            "levels[step - 1] if step >= 1 else 1.0",
            "a_ddim_step_follows_the_published_formula",
            "tests/modeling/cogvla/test_cogvla_model.py::test_diffusion_equals_a_scheduler_around_the_training_forward",
        ),
        (
            "steps-that-begin-at-the-end",
            "range((num_inference_steps - 1) * stride, -1, -stride)",
            "range(num_steps - 1, -1, -stride)",
            "tests/modeling/cogvla/test_cogvla_model.py::test_diffusion_equals_a_scheduler_around_the_training_forward",
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
        "modeling/multimodal_vla/fusion.py",
        COMPOSED,
        (
            "states-behind-the-queries",
            "return states[:, -config.num_queries :], None, text_states",
            "return states[:, : config.num_queries], None, text_states",
            "all_that_a_prediction_is_given_has_an_influence",
            "the_discrete_heads_loss_is_the_cross_entropy_of_its_bins",
        ),
        (
            "the-mean-of-hidden-patches-too",
            "masked_mean(tokens, seen)",
            "masked_mean(tokens, torch.ones_like(seen))",
            "tests/modeling/multimodal_vla/test_tower_image_processors.py::test_padding_of_patches_and_prompts_changes_nothing",
            "tests/modeling/multimodal_vla/test_late_fusion.py",
        ),
        (
            "written-until-the-answer-ends",
            "(labels != IGNORED).cumsum(dim=1) > 0",
            "labels != IGNORED",
            "tests/modeling/multimodal_vla/test_multimodal_vlms.py::test_the_language_loss_does_not_see_what_it_predicts",
        ),
        (
            "a-resampler-that-looks-at-padding",
            "parts.query_attention(states, sequence.real), None",
            "parts.query_attention(states), None",
            "a_padded_row_predicts_what_it_predicts_alone",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/token_sequences.py",
        LATE,
        (
            "late-text-sees-places-of-images",
            "return TokenSequence(backbone.embed(prompt.input_ids), prompt.real & ~prompt.is_image)",
            "return TokenSequence(backbone.embed(prompt.input_ids), prompt.real)",
            "what_stands_in_the_places_of_images_does_not_matter",
        ),
        (
            "answers-condition-the-vision-tokens",
            "return is_text if answer_mask is None else is_text & (answer_mask == 0)",
            "return is_text",
            "tests/training/test_answers.py::test_no_fusion_lets_the_answer_through",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/text_pooling.py",
        CHOICES,
        (
            "the-last-place-in-place-of-the-last-token",
            "place = places.masked_fill(~real, -1).amax(dim=1)",
            "place = places.amax().expand(len(states))",
            "a_text_is_pooled_without_its_padding",
        ),
        (
            "the-first-place-in-place-of-the-first-token",
            "place = places.masked_fill(~real, real.shape[1]).amin(dim=1)",
            "place = places.amin().expand(len(states))",
            "a_text_is_pooled_without_its_padding",
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
        "modeling/cogvla/cogvla_core_inputs.py",
        SAMPLED_ACTIONS,
        (
            "noise-that-is-uniform-in-cogvla",
            "torch.randn(shape, device=device) if noise",
            "torch.rand(shape, device=device) if noise",
            "cogvlas_diffusion_draws_over_one_look_at_the_images",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/dit_action_head.py",
        SAMPLED_ACTIONS,
        (
            "noise-that-is-uniform-in-dit",
            "torch.randn(shape, dtype=torch.float32, device=like.device)",
            "torch.rand(shape, dtype=torch.float32, device=like.device)",
            "llava3d_draws_over_one_prefix",
        ),
        (
            "learnt-noise-that-is-uniform-in-dit",
            "torch.randn_like(actions, dtype=torch.float32)",
            "torch.rand_like(actions, dtype=torch.float32)",
            "tests/modeling/mapanything_llava3d/test_dit_action_head.py::test_training_brings_the_loss_down_and_predictions_to_the_actions",
        ),
        (
            "times-of-dit-denser-towards-actions",
            "Beta(alpha, beta, validate_args=False)",
            "Beta(beta, alpha, validate_args=False)",
            "tests/modeling/mapanything_llava3d/test_dit_action_head.py::test_drawn_times_follow_the_published_distribution",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/null_condition.py",
        DIT_CHOICES,
        (
            "most-conditions-are-dropped",
            "device=like.device) < config.condition_dropout",
            "device=like.device) > config.condition_dropout",
            "the_share_of_samples_that_is_asked_for_sees_the_null_condition_in_training_alone",
        ),
        (
            "conditions-dropped-outside-of-training",
            "if not training or not config.condition_dropout:",
            "if not config.condition_dropout:",
            "the_share_of_samples_that_is_asked_for_sees_the_null_condition_in_training_alone",
        ),
        (
            "the-null-condition-of-all-tokens",
            "torch.where(dropped[:, None], is_first, seen)",
            "torch.where(dropped[:, None], torch.ones_like(is_first), seen)",
            "guidance_is_the_formula_over_two_plain_passes_in_one_batch",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/prefix_tokens.py",
        LLAVA3D_MODEL,
        (
            "numbers-are-dropped-instead-of-tokens",
            "torch.ones_like(embeds[..., :1])",
            "torch.ones_like(embeds)",
            "tokens_are_dropped_in_training_alone_whole_and_of_their_own_kind",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/mapanything_geometry.py",
        MAPANYTHING_GEOMETRY,
        (
            "all-views-are-the-reference",
            "mark[0, :, 1::2]",
            "mark[:, :, 1::2]",
            "published_weights_give_the_published_features",
        ),
    ),
    *planted(
        "modeling/cogvla/action_decoding.py",
        SAMPLED_ACTIONS,
        (
            "entropy-of-the-first-sample",
            "entropy.mean(dim=1).unflatten(1, chunk)",
            "entropy[:, 0].unflatten(1, chunk)",
            "cogvla_tells_the_entropy_of_its_tokens_at_once_or_one_by_one",
        ),
        (
            "samples-finite-where-one-is",
            "flags.view(batch, -1).all(dim=1)",
            "flags.view(batch, -1).any(dim=1)",
            "tests/modeling/test_finite_predictions.py::test_one_sample_of_several_that_is_not_finite_is_an_error_that_names_its_row",
        ),
    ),
    *planted(
        "modeling/cogvla/film_vision_transformer.py",
        COGVLA,
        (
            "aggregation-tokens-that-start-small",
            "nn.init.normal_(module.tokens)  # as published",
            "nn.init.normal_(module.tokens, std=std)",
            "a_new_model_starts_with_film_as_the_identity_and_finite_weights",
        ),
        (
            "fused-factors-without-one",
            "zip((1 + scales).split",
            "zip(scales.split",
            "tests/modeling/test_fast_prediction_of_families.py::test_predictions_from_graphs_are_those_without",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/token_learner.py",
        MULTIMODAL_PARTS,
        (
            "shares-of-places-in-half-precision",
            "scores.softmax(dim=1, dtype=torch.float32).to(features.dtype)",
            "scores.softmax(dim=1)",
            "the_weights_of_a_token_learner_of_bfloat16_are_made_in_float32",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/qformer_projector.py",
        TOWER_IMAGE_PROCESSORS,
        (
            "a-qformer-that-looks-at-padding",
            "seen = {} if mask is None else",
            "seen = {} if True else",
            "padding_of_patches_and_prompts_changes_nothing",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/gated_cross_attention.py",
        GATED_CROSS_ATTENTION,
        (
            "gates-that-do-not-close",
            "states + self.attn_gate.tanh() * attended",
            "states + self.attn_gate.sigmoid() * attended",
            "with_closed_gates_the_text_is_that_of_the_language_model_bit_for_bit",
        ),
        (
            "gates-without-a-bound",
            "self.mlp_gate.tanh() * self.fc2",
            "self.mlp_gate * self.fc2",
            "layers_look_at_the_images_of_their_sample_as_the_formula_says",
        ),
        (
            "beams-see-each-others-images",
            "one.repeat_interleave(rows, dim=0) if rows > 1",
            "one.repeat(rows, 1, 1, 1) if rows > 1",
            "a_batch_writes_what_its_samples_write_singly_and_so_do_beams",
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
        "configuration/cogvla/cogvla_start.py",
        COGVLA_START,
        (
            "views-of-another-number-keep-their-names",
            '        values["view_names"] = None\n',
            "        pass\n",
            "names_of_views_are_those_of_as_many_views",
        ),
        (
            "two-weighed-towers-are-openvlas",
            ' or values["vision_aggregate_type"] == "moe"\n',
            "\n",
            "actions_are_predicted_as_published_for_the_parts_unless_said_otherwise",
        ),
    ),
    *planted(
        "configuration/cogvla/openvla_sizes.py",
        OPENVLA_SIZES,
        (
            "image-sizes-by-their-patches",
            "return said if said and said // patch_size == side else side * patch_size",
            "return side * patch_size",
            "config_json_decides_about_pixels_beside_the_last_patch_alone",
        ),
    ),
    *planted(
        "configuration/normalization_statistics.py",
        NORMALIZATION_STATISTICS,
        (
            "deviations-below-zero-pass",
            "        if value < 0:\n",
            "        if False:\n",
            "statistics_that_cannot_be_used_are_named",
        ),
        (
            "numbers-beyond-float32-pass",
            "not abs(content) <= LARGEST",
            "not np.isfinite(content)",
            "statistics_that_cannot_be_used_are_named",
        ),
    ),
    *planted(
        "configuration/language_model_config.py",
        CONFIGURATION_LLAVA3D,
        (
            "an-experts-ratio-is-the-bases",
            "ratio = mlp_ratio or text_config",
            "ratio = text_config",
            "the_short_forms_of_the_expert_say_the_same_as_its_config",
        ),
        (
            "heads-that-do-not-fit-pass",
            "if config.num_attention_heads % config.num_key_value_heads:",
            "if False:",
            "a_value_that_cannot_work_is_refused_by_its_name",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/siglip_tower.py",
        LLAVA3D_MODEL,
        (
            "geometry-in-the-range-of-siglip",
            "(pixel_values * SIGLIP_STD + SIGLIP_MEAN).clamp(0, 1)",
            "pixel_values",
            "both_pixel_ranges_show_the_same_picture_to_both_branches",
        ),
        (
            "deviations-of-imagenet-in-another-order",
            "(0.229, 0.224, 0.225)",
            "(0.225, 0.224, 0.229)",
            "tests/modeling/mapanything_llava3d/test_mapanything_geometry.py::test_pixels_of_the_geometry_branch_have_the_statistics_of_imagenet",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/action_experts.py",
        LLAVA3D_MODEL,
        (
            "the-sum-of-two-experts",
            "return sum(losses) / 2",
            "return sum(losses)",
            "the_loss_of_both_experts_is_the_mean_of_theirs_over_one_pass_of_the_prefix",
        ),
        (
            "a-head-whose-time-runs-the-other-way",
            "head.bucket(1 - time)",
            "head.bucket(time)",
            "the_loss_of_both_experts_is_the_mean_of_theirs_over_one_pass_of_the_prefix",
        ),
    ),
    *planted(
        "configuration/mapanything_llava3d/llava3d_start.py",
        NEXT_LLAVA3D,
        (
            "statistics-of-the-base-are-lost",
            '{**base.norm_stats, **(given.get("norm_stats") or {})}',
            '{**(given.get("norm_stats") or {})}',
            "what_is_switched_on_step_by_step_is_what_is_switched_on_at_once",
        ),
    ),
    *planted(
        "configuration/weight_quantization.py",
        QUANTISED_CHECKPOINTS,
        (
            "groups-as-small-as-can-be",
            "next((size for size in GROUP_SIZES if",
            "next((size for size in GROUP_SIZES[::-1] if",
            "bytes_of_the_published_cogvla_at_7b",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/grounding.py",
        GROUNDING_TEXT,
        (
            "scores-without-their-shift",
            "return scores if shift is None else scores + shift.float()",
            "return scores",
            "the_score_is_that_of_the_two_towers_for_the_same_pictures_and_texts",
        ),
        (
            "cosines-in-half-precision",
            'F.normalize(getattr(features, "pooler_output", features).float(), dim=-1)',
            'F.normalize(getattr(features, "pooler_output", features), dim=-1)',
            "tests/modeling/multimodal_vla/test_multimodal_vla.py::test_cosines_of_bfloat16_features_are_float32",
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
