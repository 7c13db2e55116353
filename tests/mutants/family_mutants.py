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
    ),
]
