"""LLaVA-3D: its tower, its geometry and its heads."""

from .planted import planted

SAMPLED_ACTIONS = "tests/modeling/test_sampled_actions.py"
DIT_CHOICES = "tests/modeling/mapanything_llava3d/test_dit_choices.py"
LLAVA3D_MODEL = "tests/modeling/mapanything_llava3d/test_llava3d_model.py"
MAPANYTHING_GEOMETRY = "tests/modeling/mapanything_llava3d/test_mapanything_geometry.py"
NEXT_LLAVA3D = "tests/conversion/mapanything_llava3d/test_next_llava3d.py"
DIT_ACTION_HEAD = "tests/modeling/mapanything_llava3d/test_dit_action_head.py"
LLAVA3D_PREDICTION = "tests/modeling/mapanything_llava3d/test_llava3d_prediction.py"
ASSEMBLE_LLAVA3D = "tests/conversion/mapanything_llava3d/test_assemble_llava3d.py"
CONVERT_LLAVA3D = "tests/conversion/mapanything_llava3d/test_convert_llava3d.py"
JOINT_STACKS = "tests/modeling/mapanything_llava3d/test_joint_stacks.py"
ADAPTERS = "tests/modeling/common/test_adapters.py"

MUTANTS = [
    *planted(
        "modeling/padded_prompts.py",
        "tests/modeling/common/test_batches.py",
        (
            "embeddings-that-nothing-reads",
            'if kwargs.get("inputs_embeds") is not None:',
            "if False:",
            "prompts_as_embeddings_are_refused",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/modeling_mapanything_llava3d.py",
        ADAPTERS,
        (
            "text-behind-padding-of-llava3d",
            "mask, ids = padding_before(attention_mask, input_ids)",
            "mask, ids = attention_mask, input_ids",
            "tests/modeling/common/test_batches.py::test_text_is_the_same_on_either_side_of_padding",
        ),
        (
            "an-expert-stays-joined-to-the-first-language-model",
            "network.follow_owner(stack, causal)",
            "network.causal_prefix = causal",
            "a_part_that_peft_trains_whole_takes_the_place_of_the_first",
        ),
        (
            "a-prefix-is-read-as-the-model-was-made",
            "network.follow_owner(stack, causal)",
            "network.follow_owner(stack, network.causal_prefix)",
            "tests/modeling/common/test_saving.py::test_what_is_set_in_a_models_config_is_used_before_it_is_saved",
        ),
        (
            "an-expert-keeps-the-first-stacks",
            "self.action_expert.follow_owner(network, self",
            "self.action_expert.follow_owner(self.action_expert.llava_with_expert, self",
            "a_part_that_peft_trains_whole_takes_the_place_of_the_first",
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
        "modeling/mapanything_llava3d/dit_layers.py",
        DIT_ACTION_HEAD,
        (
            "factors-of-dit-without-one",
            "torch.cat([1 + scale, shift], dim=-1)",
            "torch.cat([scale, shift], dim=-1)",
            "published_losses_with_and_without_mask",
        ),
        (
            "output-shift-and-scale-swapped",
            "shift, scale = (self.output_modulation",
            "scale, shift = (self.output_modulation",
            "published_losses_with_and_without_mask",
        ),
        (
            "frequencies-of-dits-condition-by-another-divisor",
            "timestep_angles(buckets, half, half - 1)",
            "timestep_angles(buckets, half, half)",
            "published_losses_with_and_without_mask",
        ),
        (
            "concatenated-tokens-that-are-normed",
            "own_key, own_value = self.attn1.keys_values(hidden_states)",
            "own_key, own_value = self.attn1.keys_values(normed)",
            "published_losses_with_and_without_mask",
        ),
        (
            "one-dropout-behind-the-attention-of-dit",
            "hidden_states + self.final_dropout(self.attn1(normed, key, value, mask))",
            "hidden_states + self.attn1(normed, key, value, mask)",
            "a_block_drops_twice_behind_its_attention_and_twice_in_its_feed_forward",
        ),
        (
            "the-contraction-of-dit-drops-nothing",
            "nn.Linear(inner, hidden_size), nn.Dropout(dropout)",
            "nn.Linear(inner, hidden_size), nn.Dropout(0.0)",
            "a_block_drops_twice_behind_its_attention_and_twice_in_its_feed_forward",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/llava3d_inputs.py",
        LLAVA3D_MODEL,
        (
            "one-spatial-token-too-many",
            "(index < config.spatial_token_num)",
            "(index <= config.spatial_token_num)",
            "ids_past_the_vocabulary_are_fine_for_spatial_tokens_alone",
        ),
        (
            "cached-text-needs-no-places",
            "num_cached + input_ids.shape[1]",
            "input_ids.shape[1]",
            "text_behind_a_cache_has_to_fit_together_with_it",
        ),
        (
            "image-tokens-counted-over-the-batch",
            "return (counts == num_image_features(config, pixel_values)).all()",
            "return counts.sum() == len(counts) * num_image_features(config, pixel_values)",
            "without_asking_a_device_images_are_counted_in_each_row",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/llava3d_prediction.py",
        LLAVA3D_PREDICTION,
        (
            "padding-of-buckets-that-is-an-image",
            "return config.image_token_id != 0 and (",
            "return (",
            "no_padding_of_a_bucket_is_taken_for_an_image",
        ),
        (
            "states-of-llava3d-are-not-looked-at",
            '("pixel_values", "state", "intrinsic", "noise")',
            '("pixel_values", "intrinsic", "noise")',
            "a_state_that_is_not_finite_is_an_error_also_where_no_action_sees_it",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/expert_of_base_layers.py",
        ASSEMBLE_LLAVA3D,
        (
            "copied-layers-in-the-order-of-the-base",
            "for own, base in enumerate(layers):",
            "for own, base in enumerate(sorted(layers)):",
            "an_expert_can_start_from_layers_of_the_base",
        ),
        (
            "last-norm-of-base-not-copied",
            'found = {f"{EXPERT}norm.weight": f"{DECODER}norm.weight"}',
            "found = {}",
            "an_expert_can_start_from_layers_of_the_base",
        ),
    ),
    *planted(
        "conversion/mapanything_llava3d/assembly.py",
        ASSEMBLE_LLAVA3D,
        (
            "tokenizers-of-the-language-model-first",
            'for role in ("tokenizer", "language") if role in job.parts]',
            'for role in ("language", "tokenizer") if role in job.parts]',
            "a_tokenizer_that_is_named_wins_over_that_of_the_language_model",
        ),
    ),
    *planted(
        "conversion/mapanything_llava3d/run_conversion.py",
        CONVERT_LLAVA3D,
        (
            "no-geometry-does-nothing",
            "wanted and not options.no_geometry, off)",
            "wanted, off)",
            "options_leave_out_what_was_not_trained",
        ),
        (
            "geometry-for-a-model-without-is-not-read",
            '    elif "geometry" in job.parts:',
            "    elif False:",
            "an_option_that_a_run_has_no_use_for_is_refused",
        ),
        (
            "the-dropout-of-a-run-is-lost",
            'fields["dropout"] = diffusion["dropout"]',
            "pass",
            "settings_of_a_run_are_read_from_its_config_and_tensors",
        ),
    ),
    *planted(
        "conversion/mapanything_llava3d/run.py",
        CONVERT_LLAVA3D,
        (
            "normed-hidden-states-are-taken",
            '.get("normalize_vl_hidden"):',
            '.get("normalise"):',
            "a_damaged_run_is_refused_by_name_and_leaves_nothing",
        ),
    ),
    *planted(
        "conversion/mapanything_llava3d/names.py",
        CONVERT_LLAVA3D,
        (
            "state-projectors-without-a-state",
            'if target.startswith(("dit_action_head.state_encoder.", "action_expert.state_proj.")) and not',
            'if target.startswith(("dit_action_head.state_encoder.",)) and not',
            "no_expert_without_a_state_has_use_for_its_projector",
        ),
    ),
    *planted(
        "conversion/mapanything_llava3d/given_parts.py",
        ASSEMBLE_LLAVA3D,
        (
            "sizes-of-no-expert-pass",
            'unused += [] if "deep_fusion" in experts else [(name, "no joined expert") for name in OF_STACK]',
            "unused += []",
            "what_cannot_be_assembled_is_refused_by_name_and_leaves_nothing",
        ),
    ),
    *planted(
        "conversion/mapanything_llava3d/next_step.py",
        NEXT_LLAVA3D,
        (
            "processors-of-starts-keep-the-bases-statistics",
            "processor.norm_stats = copy.deepcopy(config.norm_stats)",
            "pass",
            "the_processor_stays_the_bases_but_for_state_and_statistics",
        ),
        (
            "processors-of-starts-keep-the-bases-normalisation",
            "processor.normalization_type, processor.state_dim = config.normalization_type, config.state_size",
            "processor.state_dim = config.state_size",
            "the_processor_stays_the_bases_but_for_state_and_statistics",
        ),
        (
            "experts-are-replaced-by-copies",
            "        if base.has_deep_fusion:\n",
            "        if False:\n",
            "what_would_lose_or_change_a_part_of_the_base_is_refused",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/llava3d_with_action_expert.py",
        JOINT_STACKS,
        (
            "even-partners-from-the-first",
            "[(i + 1) * num_base_layers // num_expert_layers - 1 for",
            "[i * num_base_layers // num_expert_layers for",
            "a_shorter_expert_pairs_with_the_layers_that_were_asked_for",
        ),
        (
            "the-suffix-sees-the-masked-prefix",
            "            real = check_mask(suffix.new_empty(len(suffix), cache.length), attention_mask)\n",
            "            check_mask(suffix.new_empty(len(suffix), cache.length), attention_mask)\n",
            "a_suffix_sees_what_its_own_mask_leaves_of_a_kept_prefix",
        ),
        (
            "one-cache-of-masks-though-given",
            "if any(value is not None for value in given):",
            "if all(value is not None for value in given):",
            "a_suffix_sees_what_its_own_mask_leaves_of_a_kept_prefix",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/joint_pass.py",
        JOINT_STACKS,
        (
            "infinities-stay-in-masks",
            "return mask.clamp(min=HIDDEN).to(dtype)",
            "return mask.to(dtype)",
            "what_a_callers_mask_hides_is_a_number_in_every_dtype",
        ),
        (
            "layers-alone-in-the-joint-pass-see-no-mask",
            "run_prefix([layer], prefix, mask_alone, rotary_alone)",
            "run_prefix([layer], prefix, 0 * mask_alone, rotary_alone)",
            "a_shorter_expert_pairs_with_the_layers_that_were_asked_for",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/dit_sampling.py",
        DIT_CHOICES,
        (
            "the-other-half-is-without-condition",
            ">= len(both[0]) // 2",
            "< len(both[0]) // 2",
            "guidance_is_the_formula_over_two_plain_passes_in_one_batch",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/dit_sampling.py",
        DIT_ACTION_HEAD,
        (
            "modulations-of-the-first-time",
            "tuple(each[rows] for each in times.modulations)",
            "tuple(each[:1] for each in times.modulations)",
            "published_predictions_with_and_without_mask",
        ),
        (
            "waves-of-the-first-time",
            "times.waves[rows]",
            "times.waves[:1]",
            "published_predictions_with_and_without_mask",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/modeling_mapanything_llava3d.py",
        LLAVA3D_MODEL,
        (
            "time-sampling-of-the-default",
            "self.config.time_sampling)",
            '"beta")',
            "times_are_drawn_as_the_config_says",
        ),
    ),
    *planted(
        "conversion/mapanything_llava3d/given_parts.py",
        "tests/conversion/mapanything_llava3d/test_convert_llava3d.py",
        (
            "dit-options-of-a-run-without-a-dit",
            'unused = [] if "dit" in (experts or "") else [(name,',
            "unused = [] if True else [(name,",
            "an_option_that_a_run_has_no_use_for_is_refused",
        ),
        (
            "geometry-options-without-geometry",
            'unused += [] if has_geometry else [("geometry_normalization", "no geometry branch")]',
            "pass",
            "an_option_that_a_run_has_no_use_for_is_refused",
        ),
        (
            "options-of-actions-without-an-expert",
            'unused += [] if experts else [(name, "no action expert") for name in OF_RUNS_ACTIONS]',
            "pass",
            "an_option_that_a_run_has_no_use_for_is_refused",
        ),
    ),
    *planted(
        "conversion/mapanything_llava3d/run.py",
        "tests/conversion/mapanything_llava3d/test_convert_llava3d.py",
        (
            "a-step-beside-whole-weights-is-ignored",
            'open_checkpoint(folder, "run") if step is None else None',
            'open_checkpoint(folder, "run")',
            "an_option_that_a_run_has_no_use_for_is_refused",
        ),
        (
            "the-first-of-two-files-of-a-step",
            "    if others:\n",
            "    if False:\n",
            "of_two_files_of_one_step_none_is_taken_unseen",
        ),
    ),
]
