"""Numbers of what several models use: who sees whom, and how values become actions."""

from .planted import planted

PARTS = "tests/modeling/test_action_parts.py"
DEFAULT_DTYPE = "tests/modeling/test_default_dtype.py"
ATTENTION = "tests/modeling/test_attention.py"
PREFIX = "tests/modeling/test_prefix_cache.py"
ODE = "tests/modeling/test_ode_sampling.py"
FLOW = "tests/modeling/test_flow_matching_action_expert.py"
ITEMS = "tests/training/test_loss_items.py"
LAYER = "tests/modeling/test_decoder_layer_pass.py"
ROPE = "tests/modeling/test_mrope_positions.py"
SHARED = "tests/modeling/test_shared_prefix_attention.py"
FINITE = "tests/modeling/test_finite_predictions.py"
SAMPLED_ACTIONS = "tests/modeling/test_sampled_actions.py"
START_ALPAMAYO = "tests/conversion/alpamayo_r1/test_start_alpamayo.py"
ANSWERS = "tests/training/test_answers.py"
SEEDED_NUMBERS = "tests/modeling/test_seeded_numbers.py"
QUANTISED_PREDICTIONS = "tests/modeling/test_quantised_predictions.py"
NEW_PARTS = "tests/modeling/test_new_parts.py"
INITIAL_VALUES = "tests/modeling/common/test_initial_values.py"
ARGUMENTS = "tests/modeling/test_arguments.py"
FAST_PREDICTION = "tests/modeling/test_fast_prediction.py"
MODEL_WATCH = "tests/modeling/test_model_watch.py"
BEGINNERS_MISTAKES_IN_LOADING = "tests/modeling/test_beginners_mistakes_in_loading.py"
EMBODIMENTS = "tests/training/test_embodiments.py"
FUSED_LINEARS = "tests/modeling/test_fused_linears.py"
DTYPES = "tests/modeling/common/test_dtypes.py"
LLAMA_LAYERS = "tests/modeling/test_llama_layers.py"
VISION_LAYERS = "tests/modeling/test_vision_layers.py"
MLPS = "tests/modeling/test_mlp.py"
CACHE_NAMES = "tests/modeling/test_cache_names.py"

MUTANTS = [
    *planted(
        "modeling/action_normalization.py",
        PARTS,
        (
            "no-epsilon-for-standard-scores",
            "share * (span + EPSILON) + reference",
            'share * (span + (0 if normalization_type == "normal" else EPSILON)) + reference',
            "standard_scores_are_those_of_the_formula_in_float64_also_where_nothing_varies",
        ),
        (
            "no-epsilon-where-standard-scores-are-made",
            "exact - reference) / (span + EPSILON)",
            'exact - reference) / (span + (0 if normalization_type == "normal" else EPSILON))',
            "standard_scores_are_those_of_the_formula_in_float64_also_where_nothing_varies",
            "a_constant_becomes_its_lower_bound_exactly_and_comes_back",
        ),
        (
            "units-in-single-precision",
            'torch.float32 if device.type == "mps" else torch.float64',
            "torch.float32",
            "units_are_those_of_the_published_formula_in_float64",
        ),
        (
            "standard-scores-are-cut",
            "return torch.where(mask, share, exact).float()",
            "return torch.where(mask, share.clamp(-1, 1), exact).float()",
            "the_state_is_clipped_to_the_range_and_standard_scores_are_not",
        ),
        (
            "the-mask-of-other-statistics",
            'make(first, second, mask, normalization_type == "normal", like.device)',
            'make(first, second, (True,) * len(first), normalization_type == "normal", like.device)',
            "masked_dimensions_pass_unchanged",
        ),
    ),
    *planted(
        "modeling/action_tokens.py",
        PARTS,
        (
            "the-edge-of-a-bin-in-place-of-its-centre",
            "centres = (edges[:-1] + edges[1:]) / 2",
            "centres = edges[:-1]",
            "a_value_comes_back_within_half_a_bin",
        ),
        (
            "an-edge-belongs-to-the-bin-below",
            "edges, right=True)",
            "edges, right=False)",
            "action_tokens_are_those_of_numpy_digitize",
        ),
    ),
    *planted(
        "modeling/loss_items.py",
        ITEMS,
        (
            "weights-of-samples-are-ignored",
            "return learnt_steps(actions, action_is_pad) * weights[:, None]",
            "return learnt_steps(actions, action_is_pad)",
            "a_sample_of_weight_three_is_three_samples",
        ),
        (
            "labels-of-the-first-place-count",
            "learnt = labels[:, 1:] != IGNORED",
            "learnt = labels != IGNORED",
            "a_label_in_the_first_place_does_not_count_for_nothing_predicts_it",
        ),
        (
            "small-totals-become-one",
            "torch.where(total > 0, total, torch.ones_like(total))",
            "total.clamp(min=1)",
            "a_sample_of_weight_three_is_three_samples",
        ),
        (
            "weights-that-are-all-zero-pass",
            "if items is None and not sum(values):",
            "if False:",
            "weights_that_no_mean_can_be_taken_by_are_refused",
        ),
    ),
    *planted(
        "modeling/moe_aggregator.py",
        PARTS,
        (
            "towers-weighed-the-other-way-round",
            "first, second = ratios",
            "second, first = ratios",
            "the_weights_of_the_towers_add_up_to_one_and_weigh_their_projections",
        ),
        (
            "shares-of-towers-in-half-precision",
            "softmax(dim=-1, dtype=torch.float32)",
            "softmax(dim=-1)",
            "the_shares_of_two_towers_are_float32_and_add_up_to_one",
        ),
    ),
    *planted(
        "modeling/film.py",
        PARTS,
        (
            "a-factor-without-one",
            "return 1 + scale.unsqueeze(1), shift.unsqueeze(1)",
            "return scale.unsqueeze(1), shift.unsqueeze(1)",
            "film_scales_and_shifts_all_views_of_a_sample_alike",
            "tests/modeling/multimodal_vla/test_two_towers.py::test_film_that_changes_nothing_leaves_the_features_of_the_towers_own_call",
        ),
    ),
    *planted(
        "modeling/attention.py",
        ATTENTION,
        (
            "eager-softmax-in-half-precision",
            "scores.softmax(dim=-1, dtype=torch.float32)",
            "scores.softmax(dim=-1)",
            "the_softmax_of_attention_that_is_written_out_is_float32",
        ),
        (
            "a-mask-the-other-way-round",
            "scores.masked_fill(~mask,",
            "scores.masked_fill(mask,",
            "a_bool_mask_shows_the_keys_that_are_true",
        ),
    ),
    *planted(
        "modeling/stack_passes.py",
        PREFIX,
        (
            "a-suffix-of-room-and-one",
            "if prefix.shape[2] >= length and",
            "if prefix.shape[2] >= length - 1 and",
            "suffixes_of_any_lengths_stand_behind_the_prefix",
        ),
        (
            "a-suffix-with-what-was-longer",
            "return tuple(one[:, :, :end] for one in kept)",
            "return kept",
            "suffixes_of_any_lengths_stand_behind_the_prefix",
        ),
        (
            "repeated-with-an-old-suffix",
            "tensor[:, :, : self.length].repeat_interleave",
            "tensor.repeat_interleave",
            "repeated_samples_leave_out_what_a_suffix_wrote",
        ),
        (
            "samples-in-turn",
            "tensor[:, :, : self.length].repeat_interleave(count, dim=0)",
            "tensor[:, :, : self.length].repeat(count, 1, 1, 1)",
            "repeated_samples_leave_out_what_a_suffix_wrote",
        ),
    ),
    *planted(
        "modeling/shared_prefix_attention.py",
        SHARED,
        (
            "padding-of-prefixes-is-seen",
            "seen = torch.cat([shared[:, None, None]",
            "seen = torch.cat([torch.ones_like(shared)[:, None, None]",
            "it_is_attention_over_repeated_keys",
        ),
    ),
    *planted(
        "modeling/ode_sampling.py",
        ODE,
        (
            "heun-at-the-beginning-twice",
            "second = velocity(state - first / per_length, end).float()",
            "second = velocity(state - first / per_length, start).float()",
            "steps_are_those_of_the_textbook_and_their_error_falls_with_the_order_of_the_solver",
        ),
        (
            "cosine-spacing-the-other-way",
            "1 - math.cos(math.pi / 2 * share)",
            "math.sin(math.pi / 2 * share)",
            "steps_are_those_of_the_textbook_and_their_error_falls_with_the_order_of_the_solver",
        ),
        (
            "a-call-says-less-than-the-config",
            "getattr(defaults, name) if value is None else value for name",
            "getattr(defaults, name) for name",
            "a_call_says_more_than_the_defaults_and_unknown_choices_are_refused",
        ),
    ),
    *planted(
        "modeling/flow_matching.py",
        FLOW,
        (
            "time-runs-the-other-way",
            "return time * noise.float() + (1 - time) * actions.float()",
            "return (1 - time) * noise.float() + time * actions.float()",
            "time_one_is_noise_and_time_zero_the_actions",
        ),
        (
            "times-of-another-distribution",
            "** (1 / 1.5)",
            "** 1.5",
            "times_follow_their_distribution_inside_the_margins",
        ),
        (
            "cosines-before-sines",
            "torch.cat([angles.sin(), angles.cos()], dim=-1)",
            "torch.cat([angles.cos(), angles.sin()], dim=-1)",
            "the_time_embedding_holds_sines_and_cosines_of_geometric_periods",
        ),
        (
            "times-below-zero-pass",
            "if not 0 <= t <= 1]",
            "if not t <= 1]",
            "tests/training/test_beginners_mistakes_in_training.py::test_a_time_outside_of_flow_matching_is_refused",
        ),
    ),
    *planted(
        "modeling/decoder_layer_pass.py",
        LAYER,
        (
            "heads-turned-the-other-way",
            "torch.cat([-first, second], dim=-1)",
            "torch.cat([first, -second], dim=-1)",
            "states_keys_and_values_are_those_of_the_stock_layer",
        ),
    ),
    *planted(
        "modeling/mrope_positions.py",
        ROPE,
        (
            "fewer-image-tokens-than-images-have",
            "    if found != wanted:",
            "    if found > wanted:",
            "more_or_fewer_image_tokens_than_features_are_refused",
        ),
        (
            "text-goes-on-behind-the-height",
            "side = torch.maximum(height, width)[image]",
            "side = height[image]",
            "positions_are_those_of_transformers",
        ),
    ),
    *planted(
        "modeling/finite_predictions.py",
        FINITE,
        (
            "weights-of-bfloat16-are-not-looked-at",
            "FLOATING = (torch.float16, torch.bfloat16,",
            "FLOATING = (torch.float16,",
            "tests/modeling/test_bfloat16_on_a_cpu.py::test_a_weight_of_bfloat16_that_is_not_finite_is_named",
        ),
        (
            "a-row-is-finite-where-something-is",
            "values.isfinite().flatten(1).all(dim=1)",
            "values.isfinite().flatten(1).any(dim=1)",
            "what_is_not_finite_is_named_with_its_rows",
            "tests/modeling/alpamayo_r1/test_token_drawing.py::test_rows_of_logits_that_are_not_finite_are_told",
        ),
    ),
    *planted(
        "modeling/flow_matching_action_expert.py",
        SAMPLED_ACTIONS,
        (
            "totals-of-other-times-pass-in-a-flow",
            "        if items is not None and self.use_time_weight:\n            given_times(time)\n",
            "",
            "tests/training/test_loss_items.py::test_a_loop_of_ones_own_draws_what_weighs_samples_before_it_counts_them",
        ),
        (
            "items-are-counted-of-no-times",
            "1 - given_times(time).float()",
            "1 - time.float()",
            "tests/training/test_loss_items.py::test_a_loop_of_ones_own_draws_what_weighs_samples_before_it_counts_them",
        ),
        (
            "noise-that-is-uniform-in-flow",
            "torch.randn(wanted, dtype=torch.float32, device=like.device)",
            "torch.rand(wanted, dtype=torch.float32, device=like.device)",
            "llava3d_draws_over_one_prefix",
        ),
        (
            "the-expert-draws-times-of-beta-alone",
            "return sample_time(batch_size, self.time_sampling, device)",
            "return sample_time(batch_size, device=device)",
            "tests/modeling/test_flow_matching_action_expert.py::test_the_chosen_distribution_of_times_is_drawn_from",
        ),
    ),
    *planted(
        "modeling/sampled_actions.py",
        SAMPLED_ACTIONS,
        (
            "spread-of-samples-by-one-less",
            "correction=0",
            "correction=1",
            "llava3d_draws_over_one_prefix",
        ),
        (
            "entropy-in-half-precision",
            "torch.special.entr(logits.float().softmax(dim=-1))",
            "torch.special.entr(logits.softmax(dim=-1))",
            "bins_of_bfloat16_are_drawn_and_told_by_probabilities_of_float32",
        ),
        (
            "bins-drawn-in-half-precision",
            "probabilities = logits.float().softmax(dim=-1)",
            "probabilities = logits.softmax(dim=-1).float()",
            "bins_of_bfloat16_are_drawn_and_told_by_probabilities_of_float32",
        ),
    ),
    *planted(
        "modeling/vocabulary_rows.py",
        START_ALPAMAYO,
        (
            "new-rows-by-their-variance",
            "NOISE**0.5 * deviation",
            "NOISE * deviation",
            "new_rows_are_transformers_own_but_for_a_noise_that_is_smaller_than_any_rounding",
        ),
        (
            "new-rows-that-repeat",
            "first * len(mean), last * len(mean))",
            "0, (last - first) * len(mean))",
            "tests/modeling/test_seeded_numbers.py::test_new_rows_of_a_vocabulary_are_the_same_in_blocks_and_differ_from_each_other",
        ),
    ),
    *planted(
        "modeling/masking.py",
        ANSWERS,
        (
            "padding-conditions-beside-an-answer",
            "(check_mask(tokens, attention_mask) & ~is_answer).long()",
            "(~is_answer).long()",
            "the_head_sees_the_prompt_alone_and_the_text_is_learnt_behind_it",
        ),
        (
            "samples-stand-behind-each-other",
            "keepdim=True) + places % own",
            "keepdim=True) + places",
            "tests/modeling/test_sampled_actions.py::test_llava3d_draws_over_one_prefix",
        ),
    ),
    *planted(
        "modeling/seeded_numbers.py",
        SEEDED_NUMBERS,
        (
            "numbers-repeat-after-a-piece",
            "generator_of(name, seed, number).standard_normal",
            "generator_of(name, seed, 0).standard_normal",
            "no_piece_repeats_another_nor_another_name_or_seed",
        ),
    ),
    *planted(
        "modeling/quantized_linear.py",
        QUANTISED_PREDICTIONS,
        (
            "nibbles-the-other-way",
            "torch.stack([qweight & 15, qweight >> 4]",
            "torch.stack([qweight >> 4, qweight & 15]",
            "of_two_numbers_in_a_byte_the_first_is_in_the_lower_half",
        ),
        (
            "scales-follow-the-dtype",
            "            self.weight_scale = scale.to(self.weight_scale.device)\n",
            "            pass\n",
            "scales_stay_as_they_are_where_a_model_gets_another_dtype",
        ),
    ),
    *planted(
        "modeling/new_parts.py",
        NEW_PARTS,
        (
            "a-stretch-of-a-name-is-a-part",
            'f".{name}.", f"*.{part}.*"',
            'f"{name}", f"*{part}*"',
            "a_part_is_whole_names_of_a_path",
        ),
        (
            "parts-that-are-there-are-made-new",
            "if there := sorted(inside - missing):",
            "if there := sorted(set()):",
            "parts_that_are_none_or_are_there_are_refused_by_name",
        ),
    ),
    *planted(
        "modeling/initial_values.py",
        INITIAL_VALUES,
        (
            "unknown-deviations-are-small",
            "if len(arguments) > 1 else 1.0)",
            "if len(arguments) > 1 else 0.02)",
            "values_and_deviations_are_those_that_were_asked_for",
        ),
    ),
    *planted(
        "modeling/input_checks.py",
        ARGUMENTS,
        (
            "truth-values-are-token-ids",
            " or input_ids.dtype == torch.bool:",
            ":",
            "ids_and_mask_fit_each_other_and_what_is_cached",
        ),
        (
            "a-mask-of-scores-is-one-of-tokens",
            "    if attention_mask is not None and attention_mask.is_floating_point():\n",
            "    if False:\n",
            "ids_and_mask_fit_each_other_and_what_is_cached",
        ),
        (
            "a-mask-leaves-out-what-is-cached",
            "num_cached + input_ids.shape[1]",
            "input_ids.shape[1]",
            "ids_and_mask_fit_each_other_and_what_is_cached",
        ),
        (
            "a-row-of-just-enough-tokens-is-too-short",
            "    if shortest < least:",
            "    if shortest <= least:",
            "a_row_with_as_many_tokens_as_are_needed_is_long_enough",
        ),
        (
            "an-id-too-many",
            "wrong = (ids < 0) | (ids >= vocab_size)",
            "wrong = (ids < 0) | (ids > vocab_size)",
            "the_last_embedding_has_an_id_and_there_is_none_behind_it",
        ),
    ),
    *planted(
        "modeling/model_watch.py",
        FAST_PREDICTION,
        (
            "graphs-outlive-new-numbers-of-modules",
            "numbers = [fields.get(name) for fields, names in zip(own, self.names, strict=True) for name in names]",
            "numbers = []",
            "a_changed_model_is_never_answered_for_as_it_was",
        ),
        (
            "a-watch-keeps-its-model",
            "self.model, self.parts = weakref.ref(model), modules[1:]",
            "self.model, self.parts = (lambda: model), modules[1:]",
            "a_model_that_nobody_has_any_more_is_gone_at_once_with_its_graphs",
        ),
        (
            "graphs-outlive-other-factors-of-adapters",
            "return tuple(module.active_adapters), factors, ",
            "return tuple(module.active_adapters), ",
            "adapters_that_change_weights_where_they_are",
        ),
        (
            "graphs-outlive-switched-off-adapters",
            "factors, module.disable_adapters, ",
            "factors, ",
            "switching_an_adapter_off_is_seen",
        ),
        (
            "graphs-under-global-hooks",
            "            or any(getattr(torch_module, name) for name in GLOBAL_HOOKS)\n",
            "",
            "tests/modeling/test_model_watch.py::test_reasons_against_graphs",
        ),
    ),
    *planted(
        "modeling/kernel_settings.py",
        MODEL_WATCH,
        (
            "graphs-of-another-determinism",
            "        torch.are_deterministic_algorithms_enabled(),\n",
            "",
            "settings_that_choose_kernels_are_told_apart",
        ),
    ),
    *planted(
        "modeling/loading_arguments.py",
        BEGINNERS_MISTAKES_IN_LOADING,
        (
            "a-device-of-the-same-number",
            "int(number[1] or 0) >= count",
            "int(number[1] or 0) > count",
            "a_device_that_is_not_there_is_named",
        ),
    ),
    *planted(
        "modeling/embodiments.py",
        EMBODIMENTS,
        (
            "an-embodiment-above-the-last",
            "0 <= number < num_embodiments",
            "0 <= number <= num_embodiments",
            "the_command_line_says_whose_and_how_good",
        ),
        (
            "a-negative-embodiment-is-the-last",
            ".masked_fill(embodiment_id[:, None] < 0, math.nan)",
            "",
            "tests/modeling/test_flow_matching_action_expert.py::test_a_negative_embodiment_has_no_weights_where_ids_are_not_looked_at",
            "tests/modeling/mapanything_llava3d/test_llava3d_prediction.py::test_what_a_device_is_asked_once_for_is_named",
        ),
    ),
    *planted(
        "modeling/fused_linears.py",
        FUSED_LINEARS,
        (
            "shared-weights-are-joined",
            "return one_kind and len({weight.data_ptr() for weight in weights}) == len(weights)",
            "return one_kind",
            "what_does_not_fit_is_left_where_it_is",
        ),
        (
            "compiled-products-forget-biases",
            "zip(weights, biases or [None] * len(weights), strict=True)",
            "zip(weights, [None] * len(weights), strict=True)",
            "a_compiled_product_looks_where_the_weights_lie_when_it_runs",
        ),
    ),
    *planted(
        "configuration/vla_config.py",
        "tests/modeling/test_unread_arguments.py",
        (
            "steps-of-a-head-without-steps-are-taken",
            "            check_sampling(config, given)\n",
            "",
            "fields_of_sampling_are_refused_for_a_head_that_makes_actions_at_once",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/multimodal_inputs.py",
        "tests/modeling/test_unread_arguments.py",
        (
            "grid-that-nothing-reads",
            '    given = {"image_grid_thw": image_grid_thw, **vlm_inputs}',
            "    given = {**vlm_inputs}",
            "a_grid_of_patches_is_refused_where_pictures_are_no_patches",
        ),
    ),
    *planted(
        "modeling/modules.py",
        DTYPES,
        (
            "constants-are-put-back-where-they-were",
            "before.to(now.device)",
            "before",
            "a_constant_that_keeps_its_precision_goes_where_its_module_goes",
        ),
    ),
    *planted(
        "modeling/fast_prediction.py",
        FAST_PREDICTION,
        (
            "batches-of-the-largest-size-run-eagerly",
            "len(first) > self.max_batch_size",
            "len(first) >= self.max_batch_size",
            "the_largest_batch_is_replayed_and_a_larger_one_is_not",
        ),
        (
            "a-compiled-core-keeps-its-model",
            "        owner = weakref.ref(model)  #",
            "        owner = lambda: model  #",
            "a_model_that_nobody_has_any_more_is_gone_at_once_with_its_graphs",
        ),
        (
            "graphs-over-freed-buffers-stay",
            "if lies_in(key[3], places)",
            "if key[3] in places",
            "few_sizes_of_buffers_are_kept_and_graphs_go_with_them",
        ),
        (
            "only-graphs-at-the-beginning-of-buffers",
            "first <= start < first + size",
            "first == start",
            "graphs_over_a_part_of_buffers_go_with_them",
        ),
        (
            "the-oldest-graph-goes-though-used",
            "            self.graphs.move_to_end(key)\n",
            "",
            "the_least_recently_used_makes_room",
        ),
        (
            "the-oldest-buffers-go-though-used",
            "            self.buffers.move_to_end(key)\n",
            "",
            "the_least_recently_used_buffers_make_room",
        ),
        (
            "drops-of-nothing-count",
            'self.counts["drops"] += bool(self.graphs)',
            'self.counts["drops"] += 1',
            "a_model_that_changes_before_anything_is_recorded_drops_nothing",
        ),
        (
            "own-code-without-keyword-defaults",
            "    own.__kwdefaults__ = core.__kwdefaults__\n",
            "",
            "a_core_with_code_of_its_own_is_the_same_function",
        ),
        (
            "refusals-are-of-one-address",
            "return core, options, inputs, settings",
            "return key",
            "what_cannot_be_recorded_over_some_buffers_is_not_tried_over_others",
        ),
        (
            "an-inner-session-ends-the-outer",
            "self.in_session = outer",
            "self.in_session = None",
            "a_session_that_began_eagerly_stays_so_behind_one_inside_of_it",
        ),
        (
            "evicted-code-is-kept",
            "        free_compiled(self.compiled_codes.pop(key, None))\n",
            "",
            "what_was_compiled_for_a_core_goes_with_it",
        ),
        (
            "causes-by-from-alone",
            "before = error.__cause__ or error.__context__",
            "before = error.__cause__",
            "a_warning_names_what_an_error_came_from",
        ),
        (
            "refusals-are-kept-for-ever",
            "while len(self.refused) > MAX_REFUSED",
            "while len(self.refused) > 10 * MAX_REFUSED",
            "few_refusals_are_remembered",
        ),
        (
            "compiled-calls-read-the-callers-tensors",
            "    def __call__(self, inputs: Any) -> Any:\n        return self.function(copied(inputs))",
            "    def __call__(self, inputs: Any) -> Any:\n        return self.function(inputs)",
            "a_compiled_core_gets_tensors_of_its_own_in_one_layout",
        ),
        (
            "copies-keep-graphs",
            "        return None\n\n    def __reduce__",
            "        return self\n\n    def __reduce__",
            "a_copy_starts_without",
        ),
    ),
    *planted(
        "modeling/captured_graphs.py",
        FAST_PREDICTION,
        (
            "kept-strides-are-no-signature",
            "(each.data_ptr(), each.stride()) if",
            "(each.data_ptr(),) if",
            "buffers_in_another_order_need_a_graph_of_their_own",
        ),
    ),
    *planted(
        "modeling/prediction_core.py",
        FAST_PREDICTION,
        (
            "padding-of-a-whole-bucket",
            "return -(-length // bucket) * bucket",
            "return (length // bucket + 1) * bucket",
            "prompts_as_long_as_a_bucket_are_not_longer",
        ),
        (
            "bucket-mask-in-its-own-dtype",
            "attention_mask.to(input_ids.dtype)",
            "attention_mask",
            "masks_of_any_dtype_are_one_signature",
        ),
    ),
    *planted(
        "modeling/llama_layers.py",
        LLAMA_LAYERS,
        (
            "norms-of-torchs-epsilon",
            "norm.weight, norm.variance_epsilon)",
            "norm.weight)",
            "states_keys_and_values_are_those_of_the_stock_layer",
        ),
        (
            "norms-in-lower-precision",
            " or norm.weight.dtype != hidden_states.dtype:",
            ":",
            "a_norm_in_another_dtype_than_the_states_is_the_norm_itself",
        ),
        (
            "subclasses-are-stock",
            "type(module) is kind and",
            "isinstance(module, kind) and",
            "a_part_of_a_derived_class_does_what_that_does",
        ),
        (
            "hooks-of-llama-parts-are-passed-by",
            "and not module.training and is_unhooked(module)",
            "and not module.training",
            "a_part_that_is_watched_is_called",
        ),
        (
            "values-of-the-keys",
            "heads[:, queries + keys :]",
            "heads[:, queries : queries + keys]",
            "states_keys_and_values_are_those_of_the_stock_layer",
        ),
        (
            "turned-back",
            "torch.cat([-second, first], dim=-1)",
            "torch.cat([second, -first], dim=-1)",
            "states_keys_and_values_are_those_of_the_stock_layer",
        ),
        (
            "up-gates-the-gate",
            "mlp.act_fn(gate) * up",
            "mlp.act_fn(up) * gate",
            "states_keys_and_values_are_those_of_the_stock_layer",
        ),
    ),
    *planted(
        "modeling/vision_layers.py",
        VISION_LAYERS,
        (
            "second-norm-of-torchs-epsilon",
            "self.norm2 = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)",
            "self.norm2 = nn.LayerNorm(hidden_size)",
            "a_block_is_its_formula_in_trainings_and_predictions",
        ),
        (
            "one-layer-scale-for-both",
            "self.attn(self.norm1(hidden_states)), self.ls1)",
            "self.attn(self.norm1(hidden_states)), self.ls2)",
            "a_block_is_its_formula_in_trainings_and_predictions",
        ),
        (
            "the-gate-is-the-second-half",
            "gate, value = self.w12",
            "value, gate = self.w12",
            "a_block_is_its_formula_in_trainings_and_predictions",
        ),
        (
            "towers-attend-by-sdpa",
            "implementation=self.config._attn_implementation",
            'implementation="sdpa"',
            "a_block_attends_as_its_config_says_also_where_that_changes",
        ),
    ),
    *planted(
        "modeling/flow_sampling.py",
        FLOW,
        (
            "samples-share-though-masked",
            "is_shared = attention_mask is None and position_ids is None",
            "is_shared = position_ids is None",
            "samples_under_a_mask_or_positions_alone_are_those_of_each_noise",
        ),
        (
            "actions-of-no-embodiment",
            "self.expert.read(suffix_out.reshape(suffix.shape), *self.ids)",
            "self.expert.read(suffix_out.reshape(suffix.shape), *[0 * i for i in self.ids])",
            "each_embodiment_has_its_own_encoders_and_decoder",
        ),
        (
            "a-prefix-at-counted-positions",
            "expert.kept_prefix(prefix_embs, attention_mask, position_ids)",
            "expert.kept_prefix(prefix_embs, attention_mask, None)",
            "padding_alone_and_a_joint_mask_give_the_same_loss_and_samples",
        ),
    ),
    *planted(
        "modeling/mlp.py",
        MLPS,
        (
            "predicted-gelu-by-tanh",
            "torch.ops.aten.gelu_(linear(features))",
            'torch.ops.aten.gelu_(linear(features), approximate="tanh")',
            "predictions_and_trainings_are_the_same_arithmetic",
        ),
    ),
    *planted(
        "modeling/cache_names.py",
        CACHE_NAMES,
        (
            "one-cache-twice-is-refused",
            " and cache is not past_key_values:",
            ":",
            "two_caches_under_two_names_are_refused",
        ),
    ),
    *planted(
        "modeling/base_tensors.py",
        "tests/conversion/cogvla/test_create_cogvla.py",
        (
            "starts-with-the-name-of-nothing",
            '    model.name_or_path = model.config.name_or_path = ""  # it lies nowhere yet\n',
            "",
            "from_base_is_what_the_command_writes",
        ),
        (
            "a-start-does-not-write-as-its-base",
            "        model.generation_config = generation\n",
            "",
            "a_start_writes_as_its_base",
        ),
    ),
    *planted(
        "modeling/ode_sampling.py",
        DEFAULT_DTYPE,
        (
            "times-in-the-default-dtype",
            "torch.full((), 1 - progress, dtype=torch.float32, device=device)",
            "torch.full((), 1 - progress, device=device)",
            "what_is_kept_for_later_calls_is_float32",
        ),
    ),
    *planted(
        "modeling/cogvla/ddim.py",
        DEFAULT_DTYPE,
        (
            "frequencies-in-the-default-dtype",
            "torch.arange(half, dtype=torch.float32, device=timesteps.device)",
            "torch.arange(half, device=timesteps.device)",
            "predictions_losses_and_draws_are_the_same",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/vision_encoding.py",
        DEFAULT_DTYPE,
        (
            "places-of-patches-in-the-default-dtype",
            "torch.linspace(0, side - 1, count, dtype=torch.float32)",
            "torch.linspace(0, side - 1, count)",
            "what_is_kept_for_later_calls_is_float32",
        ),
    ),
    *planted(
        "modeling/attention_marks.py",
        "tests/modeling/common/test_attention_implementations.py",
        (
            "attention-is-chosen-in-some-parts",
            "            vars(config)[CHOICE] = choice",
            "            pass",
            "a_choice_that_a_part_refuses_reaches_none",
        ),
        (
            "marks-of-chosen-attention-stay",
            "vars(config).pop(MARK, None)",
            "pass",
            "each_choice_reaches_all_parts_and_is_not_saved",
        ),
    ),
    *planted(
        "modeling/modules.py",
        "tests/modeling/multimodal_vla/test_states_in_16_bits.py",
        (
            "positions-stay-float32-in-a-cast-model",
            "not in IN_DTYPE_OF_STATES",
            "not in ()",
            "a_model_that_is_cast_to_16_bits_predicts_in_them",
        ),
    ),
    *planted(
        "modeling/built_fields.py",
        "tests/modeling/common/test_built_fields.py",
        (
            "changed-fields-of-parts-are-saved",
            "    if not nested:",
            "    if True:",
            "a_field_of_a_part_that_a_model_cannot_follow_is_named_before_it_is_saved",
        ),
        (
            "predictions-do-not-look-at-fields-of-our-parts",
            " or isinstance(value, KnownFieldsConfig)",
            "",
            "a_field_of_a_part_of_ours_that_a_model_cannot_follow_is_named_where_it_predicts",
        ),
        (
            "changeable-fields-are-refused",
            "            if path not in config.changeable_fields:",
            "            if True:",
            "tests/modeling/test_ode_sampling.py::test_alpamayo_follows_its_config_or_the_call",
        ),
    ),
    *planted(
        "modeling/input_checks.py",
        "tests/modeling/common/test_built_fields.py",
        (
            "predictions-do-not-look-at-changed-fields",
            "        check_as_built(model)",
            "        pass",
            "a_field_that_a_model_cannot_follow_is_named_where_it_predicts_and_saves",
        ),
    ),
    *planted(
        "modeling/finite_predictions.py",
        FINITE,
        (
            "all-that-statistics-hold-is-looked-at",
            "for name in STATISTICS[normalization_type]:",
            "for name in statistics:",
            "what_statistics_hold_beside_those_that_are_read_hides_no_error",
        ),
    ),
    *planted(
        "modeling/action_normalization.py",
        FINITE,
        (
            "missing-statistics-are-looked-for",
            "if missing := [name for name in needed if name not in statistics]:",
            "if missing := []:",
            "a_normalisation_whose_statistics_are_missing_is_named",
        ),
    ),
]
