"""CogVLA and OpenVLA: what is pruned, modulated, drawn and sized."""

from .planted import planted

PARTS = "tests/modeling/test_action_parts.py"
PRUNING = "tests/modeling/cogvla/test_token_pruning.py"
COGVLA = "tests/modeling/cogvla/test_cogvla_model.py"
ITEMS = "tests/training/test_loss_items.py"
SAMPLED_ACTIONS = "tests/modeling/test_sampled_actions.py"
COGVLA_START = "tests/configuration/cogvla/test_cogvla_start.py"
OPENVLA_SIZES = "tests/configuration/cogvla/test_openvla_sizes.py"
GOLDEN_COGVLA = "tests/modeling/cogvla/test_golden_cogvla.py"
HEALTH = "tests/training/test_health.py"
CREATE_COGVLA = "tests/conversion/cogvla/test_create_cogvla.py"
REFUSED_RUNS = "tests/conversion/cogvla/test_refused_runs.py"
MERGE_LORA = "tests/conversion/cogvla/test_merge_lora.py"
ASSUMPTIONS = "tests/conversion/test_assumptions.py"
INSPECT_CHECKPOINT = "tests/conversion/inspection/test_inspect_checkpoint.py"
REVEALING_PARTS = "tests/modeling/cogvla/test_revealing_parts.py"
RESIZED_VOCABULARY = "tests/modeling/cogvla/test_resized_vocabulary.py"

MUTANTS = [
    *planted(
        "conversion/cogvla/inspected_cogvla.py",
        "tests/conversion/inspection/test_inspect_checkpoint.py",
        (
            "attention-of-a-run-by-its-bases-config",
            "    elif cogvla_parts(found):",
            "    elif False:",
            "a_run_that_carries_its_bases_config_is_not_said_to_attend_as_an_openvla_oft",
        ),
    ),
    *planted(
        "modeling/cogvla/cogvla_core.py",
        COGVLA,
        (
            "the-mean-before-written-tokens-lacks-the-stop-token",
            "model.prompt_inputs(observed, config.stop_token_id)",
            "model.prompt_inputs(observed)",
            "what_is_learnt_token_by_token_is_what_is_predicted",
        ),
    ),
    *planted(
        "modeling/cogvla/cogvla_losses.py",
        COGVLA,
        (
            "pruning-is-learnt-with-written-tokens",
            "if model.training and (reason := model.config.why_not_trained):",
            "if False:",
            "a_model_that_prunes_learns_no_tokens_that_are_written_one_by_one",
        ),
    ),
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
            "noise-begins-at-the-last-prompt-token",
            "predicting(tokens.shape[1]) + 1",
            "predicting(tokens.shape[1])",
            "a_denoising_step_replaces_the_action_tokens_and_the_time_alone",
        ),
        (
            "time-takes-the-place-of-the-first-patch",
            "[inputs.prefix[:, :-1], time_embeds",
            "[inputs.prefix[:, 1:], time_embeds",
            "a_denoising_step_replaces_the_action_tokens_and_the_time_alone",
        ),
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
            "torch.randn(shape, dtype=torch.float32, device=device) if noise",
            "torch.rand(shape, dtype=torch.float32, device=device) if noise",
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
            "a-start-prunes-before-written-tokens",
            "    if config.why_not_trained:",
            "    if False:",
            "what_has_no_effect_or_cannot_be_is_refused_by_name",
        ),
        (
            "views-of-another-number-keep-their-names",
            '        values["view_names"] = None\n',
            "        pass\n",
            "names_of_views_are_those_of_as_many_views",
        ),
        (
            "two-weighed-towers-are-openvlas",
            'return "block" if cogvla_parts(values) else',
            'return "block" if values["use_aggr"] or values["use_lfp"] else',
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
        (
            "a-cogvla-by-the-config-of-its-base",
            "if (parts := cogvla_parts(found)) and not has_cogvla_fields(published):",
            "if (parts := cogvla_parts(found)) and False:",
            "tests/conversion/cogvla/test_refused_runs.py::test_a_cogvla_is_not_merged_by_the_config_of_its_base",
        ),
    ),
    *planted(
        "modeling/cogvla/cogvla_core.py",
        GOLDEN_COGVLA,
        (
            "cogvla-means-over-action-tokens",
            "averaged = sequence.real & ~sequence.is_action",
            "averaged = sequence.real",
            "a_converted_checkpoint_predicts_the_published_actions",
        ),
        (
            "padding-rows-of-cogvla-keep-actions",
            'decoded.normalized.masked_fill(~has_text, float("nan"))',
            "decoded.normalized",
            "tests/modeling/cogvla/test_cogvla_core.py::test_a_row_of_padding_is_an_error_or_nan_in_its_own_actions",
        ),
    ),
    *planted(
        "modeling/cogvla/cogvla_outputs.py",
        HEALTH,
        (
            "kept-shares-of-all-samples",
            "share = kept.shape[-1] / num_vision_tokens",
            "share = kept.shape[0] / num_vision_tokens",
            "figures_are_those_of_passes_by_hand_and_evaluation_does_not_count",
        ),
    ),
    *planted(
        "modeling/cogvla/cogvla_inputs.py",
        COGVLA,
        (
            "noise-of-no-diffusion",
            'if given and config.action_head != "diffusion":',
            'if given and config.action_head == "discrete":',
            "tests/modeling/test_arguments.py::test_a_head_that_begins_with_no_noise_refuses_what_belongs_to_it",
        ),
        (
            "state-tokens-not-counted-in-places",
            '"state": int(config.state_dim is not None)',
            '"state": 0',
            "a_prompt_fits_where_all_that_the_language_model_reads_has_a_position",
        ),
        (
            "time-tokens-not-counted-in-places",
            '{"time": int(config.action_head == "diffusion"), "action": actions}',
            '{"action": actions}',
            "a_prompt_fits_where_all_that_the_language_model_reads_has_a_position",
        ),
    ),
    *planted(
        "modeling/cogvla/modeling_cogvla.py",
        COGVLA,
        (
            "labels-of-the-token-before",
            "labels.gather(1, sequence.predicting(count) + 1)",
            "labels.gather(1, sequence.predicting(count))",
            "the_losses_are_cross_entropy_and_mean_distance",
        ),
    ),
    *planted(
        "modeling/cogvla/prismatic_vision_backbone.py",
        GOLDEN_COGVLA,
        (
            "both-towers-see-the-channels-of-one",
            "self.fused_featurizer(views[:, 3:], condition)",
            "self.fused_featurizer(views[:, :3], condition)",
            "a_converted_checkpoint_predicts_the_published_actions",
        ),
    ),
    *planted(
        "modeling/cogvla/start_from_base.py",
        CREATE_COGVLA,
        (
            "statistics-beside-a-base-are-not-read",
            "if statistics.exists():",
            "if False:",
            "statistics_beside_a_base_are_what_its_actions_are_un_normalised_with",
        ),
        (
            "quantised-bases-are-taken",
            'if published.get("quantization_config"):',
            "if False:",
            "a_quantised_model_is_no_base",
        ),
    ),
    *planted(
        "conversion/cogvla/settings.py",
        REFUSED_RUNS,
        (
            "statistics-of-the-base-of-a-run",
            "read_statistics(options.statistics, layout.folders[:1])",
            "read_statistics(options.statistics, layout.folders)",
            "statistics_of_the_base_are_none_of_a_run",
        ),
        (
            "film-is-lost-with-its-file",
            "    check_film(collected, found)\n",
            "",
            "names_of_layers_inside_film_are_evidence_of_film_that_no_config_records",
        ),
        (
            "platforms-win-over-what-is-given",
            "if name in platform and given[name][0] is None:",
            "if name in platform:",
            "tests/conversion/cogvla/test_merge_lora.py::test_single_options_stand_in_for_the_platform_and_win_over_it",
        ),
        (
            "given-diffusion-steps-are-dropped",
            "if getattr(options, name) is not None:\n            settings.know(",
            "if getattr(options, name) is not None and name not in settings.fields:\n            settings.know(",
            "other_diffusion_steps_than_the_config_says_are_refused",
        ),
        (
            "noise-projectors-beside-another-head",
            'if predicts_noise != ("noisy',
            'if predicts_noise and not ("noisy',
            "a_projector_of_noisy_actions_belongs_to_a_diffusion_head",
        ),
        (
            "parallel-cogvlas-are-openvla-ofts",
            'attention = parallel if options.decoding == "parallel" else "causal"',
            'attention = "bidirectional" if options.decoding == "parallel" else "causal"',
            "tests/conversion/cogvla/test_merge_lora.py::test_parallel_decoding_of_a_cogvla_is_its_own",
        ),
    ),
    *planted(
        "conversion/cogvla/options.py",
        MERGE_LORA,
        (
            "aloha-by-percentiles",
            '"action_dim": 14, "normalization_type": "bounds"}',
            '"action_dim": 14, "normalization_type": "bounds_q99"}',
            "the_platform_fits_runs_of_other_sizes",
        ),
    ),
    *planted(
        "conversion/cogvla/checkpoint.py",
        ASSUMPTIONS,
        (
            "lost-state-projectors-pass",
            'if "proprio" in run_name:',
            "if False:",
            "a_run_whose_name_tells_of_a_state_is_not_converted_without_it",
        ),
        (
            "padding-of-the-model-is-lost",
            "config.text_config, config.pad_token_id)",
            "config.text_config, None)",
            "tests/conversion/cogvla/test_merge_lora.py::test_a_run_writes_as_it_says_else_as_its_base",
        ),
        (
            "a-processor-without-statistics",
            '        "norm_stats": config.norm_stats,\n',
            "",
            "tests/conversion/cogvla/test_merge_lora.py::test_the_processor_has_the_rules_of_its_model",
        ),
        (
            "a-processor-without-the-rule-of-its-statistics",
            '        "normalization_type": config.normalization_type,\n',
            "",
            "tests/conversion/cogvla/test_merge_lora.py::test_the_processor_has_the_rules_of_its_model",
        ),
        (
            "a-processor-that-knows-no-size-of-the-state",
            '        "proprio_dim": config.proprio_dim,\n',
            "",
            "tests/conversion/cogvla/test_merge_lora.py::test_the_processor_has_the_rules_of_its_model",
        ),
        (
            "added-tokens-stay-behind",
            '"special_tokens_map.json", "added_tokens.json")',
            '"special_tokens_map.json")',
            "tests/conversion/cogvla/test_merge_lora.py::test_all_files_of_a_tokenizer_travel",
        ),
        (
            "view-names-are-not-written",
            '        "view_names": config.view_names,\n',
            "",
            "tests/conversion/cogvla/test_create_cogvla.py::test_names_of_views_go_on_with_the_processor_of_a_start",
        ),
        (
            "loras-of-some-layers-pass",
            "    check_run_adapter(layout, plan)\n    run_name",
            "    run_name",
            "tests/conversion/cogvla/test_refused_runs.py::test_a_damaged_run_is_refused_by_name_and_nothing_changes",
        ),
    ),
    *planted(
        "conversion/cogvla/inspected_cogvla.py",
        INSPECT_CHECKPOINT,
        (
            "inspect-takes-a-cogvla-for-openvla-oft",
            "    if has_cogvla_fields(facts.config):\n        plan.know",
            "    if False:\n        plan.know",
            "what_a_run_would_give_is_what_the_merge_reads",
        ),
        (
            "inspect-draws-the-usual-average",
            "0.5 if average is None else average",
            "0.5",
            "what_a_cogvla_reads_and_prunes_is_its_configs",
        ),
    ),
    *planted(
        "modeling/cogvla/modeling_cogvla.py",
        GOLDEN_COGVLA,
        (
            "padded-mean-of-real-tokens",
            '= ~sequence.is_action if config.language_mean == "padded"',
            '= sequence.real & ~sequence.is_action if config.language_mean == "padded"',
            "a_converted_checkpoint_reproduces_the_published_training_forward",
        ),
    ),
    *planted(
        "modeling/revealing_layers.py",
        REVEALING_PARTS,
        (
            "hooked-blocks-reveal",
            "for module in (block, block.attn, block.mlp, *films)):",
            "for module in (block,)):",
            "parts_of_towers_that_do_something_else_are_looked_at",
        ),
        (
            "queries-reveal-themselves",
            "return [attention.v_proj, attention.o_proj,",
            "return [attention.q_proj, attention.v_proj, attention.o_proj,",
            "most_weights_are_not_looked_at",
        ),
    ),
    *planted(
        "modeling/cogvla/revealing_parts.py",
        REVEALING_PARTS,
        (
            "towers-of-other-classes-reveal",
            "towers = [each for each in towers if is_known(each, FiLMVisionTransformer)]",
            "towers = [each for each in towers if each is not None]",
            "parts_of_towers_that_do_something_else_are_looked_at",
        ),
    ),
    *planted(
        "modeling/cogvla/cogvla_pretrained_model.py",
        RESIZED_VOCABULARY,
        (
            "resized-rows-are-forgotten",
            "        self.config.pad_to_multiple_of += self.config.text_config.vocab_size - before\n",
            "",
            "actions_are_the_same_with_any_size_that_holds_the_bins",
        ),
        (
            "resized-without-rounding-up",
            "-(-new_num_tokens // multiple) * multiple < needed",
            "new_num_tokens < needed",
            "actions_are_the_same_with_any_size_that_holds_the_bins",
        ),
    ),
    *planted(
        "conversion/cogvla/checkpoint.py",
        "tests/conversion/cogvla/test_create_cogvla.py",
        (
            "a-named-tokenizer-comes-last",
            "[layout.tokenizer] if layout.tokenizer else layout.folders",
            "layout.folders + ([layout.tokenizer] if layout.tokenizer else [])",
            "a_tokenizer_that_is_named_is_the_one_that_the_output_has",
        ),
        (
            "a-conversion-has-no-named-tokenizer",
            '    layout.tokenizer = job.parts.get("tokenizer")\n',
            "",
            "a_tokenizer_that_is_named_is_the_one_that_the_output_has",
        ),
        (
            "a-named-tokenizer-is-left-out-unseen",
            "    if tokenizer is None and layout.tokenizer:",
            "    if False:",
            "a_named_tokenizer_that_cannot_travel_is_refused",
        ),
    ),
    *planted(
        "conversion/cogvla/run_names.py",
        ASSUMPTIONS,
        (
            "names-of-runs-with-large-batches",
            r'r"\+b\d+\+lr-"',
            r'r"\+b\d\+lr-"',
            "the_crop_is_read_from_the_runs_name_or_assumed_aloud",
        ),
    ),
    *planted(
        "conversion/cogvla/options.py",
        "tests/conversion/cogvla/test_cogvla_tables.py",
        (
            "bridge-by-chunks-of-libero",
            '"bridge": {"num_action_chunks": 5,',
            '"bridge": {"num_action_chunks": 8,',
            "platforms_are_those_of_the_published_scripts",
        ),
        (
            "images-are-resized-as-the-deploy-script",
            'IMAGE_RESIZES = ("jpeg_lanczos3", "bicubic")',
            'IMAGE_RESIZES = ("bicubic", "jpeg_lanczos3")',
            "ways_to_resize_are_those_of_the_image_processor",
        ),
    ),
    *planted(
        "conversion/cogvla/names.py",
        "tests/conversion/cogvla/test_cogvla_tables.py",
        (
            "routers-are-looked-for-in-the-base",
            'target.startswith("moe_aggregator.") or ".router." in target',
            'target.startswith("moe_aggregator.")',
            "a_missing_tensor_is_looked_for_in_the_file_that_training_writes_it_to",
        ),
    ),
    *planted(
        "conversion/cogvla/card.py",
        "tests/conversion/cogvla/test_cogvla_tables.py",
        (
            "aloha-by-its-other-arm",
            'for side in ("left", "right") for joint in JOINTS',
            'for side in ("right", "left") for joint in JOINTS',
            "dimensions_have_the_names_of_the_platform_that_a_conversion_was_told",
        ),
    ),
]
