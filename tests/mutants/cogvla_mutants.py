"""CogVLA and OpenVLA: what is pruned, modulated, drawn and sized."""

from .planted import planted

PARTS = "tests/modeling/test_action_parts.py"
PRUNING = "tests/modeling/cogvla/test_token_pruning.py"
COGVLA = "tests/modeling/cogvla/test_cogvla_model.py"
ITEMS = "tests/training/test_loss_items.py"
SAMPLED_ACTIONS = "tests/modeling/test_sampled_actions.py"
COGVLA_START = "tests/configuration/cogvla/test_cogvla_start.py"
OPENVLA_SIZES = "tests/configuration/cogvla/test_openvla_sizes.py"

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
]
