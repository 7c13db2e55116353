"""Composed VLAs: what is pooled, fused and grounded."""

from .planted import planted

LATE = "tests/modeling/multimodal_vla/test_late_fusion.py"
COMPOSED = "tests/modeling/multimodal_vla/test_multimodal_vla.py"
CHOICES = "tests/modeling/multimodal_vla/test_backbone_choices.py"
MULTIMODAL_PARTS = "tests/modeling/multimodal_vla/test_multimodal_parts.py"
TOWER_IMAGE_PROCESSORS = "tests/modeling/multimodal_vla/test_tower_image_processors.py"
GATED_CROSS_ATTENTION = "tests/modeling/multimodal_vla/test_gated_cross_attention.py"
GROUNDING_TEXT = "tests/processing/multimodal_vla/test_grounding_text.py"
TWO_TOWERS = "tests/modeling/multimodal_vla/test_two_towers.py"
SAMPLED_ACTIONS = "tests/modeling/test_sampled_actions.py"
BACKBONE_STATES = "tests/modeling/multimodal_vla/test_backbone_states.py"
MULTIMODAL_VLMS = "tests/modeling/multimodal_vla/test_multimodal_vlms.py"
ADAPTERS = "tests/modeling/common/test_adapters.py"

MUTANTS = [
    *planted(
        "modeling/multimodal_vla/language_masks.py",
        "tests/modeling/multimodal_vla/test_backbone_states.py",
        (
            "a-falcon-of-distances-is-masked-as-one-of-rotations",
            'config.model_type == "falcon" and config.alibi',
            'config.model_type == "falcon" and config.rope_parameters is None',
            "a_language_model_has_the_states_of_its_own_call_on_either_side_of_padding",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/language_model_rules.py",
        MULTIMODAL_PARTS,
        (
            "an-early-5-scales-no-embeddings",
            "RELEASE < (5, 4) and",
            "RELEASE < (5, 0) and",
            "what_is_given_to_a_stack_that_scales_it_is_divided_first",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/modeling_multimodal_vla.py",
        "tests/modeling/test_generation_settings.py",
        (
            "a-composed-model-writes-by-the-settings-of-its-part",
            "        self.backbone.language_model.generation_config = self.generation_config\n",
            "",
            "settings_of_a_model_are_heeded_as_set_and_as_loaded",
        ),
        (
            "settings-of-a-vlm-are-lost-in-a-composed-model",
            "        model.generation_config = generation_of(owner) or model.generation_config\n",
            "",
            "a_composed_model_stops_where_its_vlm_stops",
        ),
    ),
    *planted(
        "modeling/generation_settings.py",
        "tests/modeling/test_generation_settings.py",
        (
            "settings-that-cannot-be-saved-are-taken-over",
            "    if not found.do_sample:\n",
            "    if False:\n",
            "a_composed_model_stops_where_its_language_model_stops",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/modeling_multimodal_vla.py",
        ADAPTERS,
        (
            "text-behind-padding-of-a-composed-model",
            "sequence, _ = padding_first(prompt_sequence(self.fusion_parts, self.config, prompt))",
            "sequence = prompt_sequence(self.fusion_parts, self.config, prompt)",
            "tests/modeling/common/test_batches.py::test_text_is_the_same_on_either_side_of_padding",
        ),
        (
            "a-flow-head-draws-and-weighs-as-it-was-made",
            "times = self.config.use_time_weight, self.config.time_sampling",
            "times = self.action_head.use_time_weight, self.action_head.time_sampling",
            "tests/modeling/common/test_saving.py::test_what_is_set_in_a_models_config_is_used_before_it_is_saved",
        ),
        (
            "a-flow-head-keeps-the-first-network",
            "follow_owner(self.action_network, *times)",
            "follow_owner(self.action_head.llava_with_expert, *times)",
            "a_part_that_peft_trains_whole_takes_the_place_of_the_first",
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
        "modeling/multimodal_vla/perceiver_resampler.py",
        MULTIMODAL_PARTS,
        (
            "perceiver-latents-hidden-by-the-mask",
            "mask.new_ones(latents.shape[:2])",
            "mask.new_zeros(latents.shape[:2])",
            "tokens_that_a_mask_hides_are_not_there",
        ),
        (
            "a-perceiver-of-tokens-that-are-not-normed",
            "self.norm_tokens(tokens), latents]",
            "tokens, latents]",
            "latents_look_at_tokens_and_at_themselves_each_normed",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/tower_conditioning.py",
        TWO_TOWERS,
        (
            "film-of-the-last-block-in-all",
            "checkpointed(block, run_block, block, names, states, *terms[number])",
            "checkpointed(block, run_block, block, names, states, *terms[-1])",
            "the_tokens_of_two_towers_are_those_of_cogvlas_own_parts",
        ),
        (
            "blocks-without-layer-scale",
            "block.drop_path(getattr(block, name)(branch))",
            "block.drop_path(branch)",
            "the_tokens_of_two_towers_are_those_of_cogvlas_own_parts",
        ),
        (
            "paths-that-are-not-dropped",
            "block.drop_path(getattr(block, name)(branch))",
            "getattr(block, name)(branch)",
            "blocks_that_film_acts_in_drop_paths_as_they_do_without_it",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/tower_features.py",
        TWO_TOWERS,
        (
            "layers-of-towers-by-one",
            "features = tokens_of(states[feature_layer], tower.config)",
            "features = tokens_of(states[feature_layer + 1], tower.config)",
            "one_tower_gives_all_tokens_of_a_layer",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/vision_tokens.py",
        TWO_TOWERS,
        (
            "widths-of-weighed-towers-swapped",
            "widths = [tower.config.hidden_size for tower in backbone.towers]",
            "widths = [tower.config.hidden_size for tower in backbone.towers[::-1]]",
            "the_tokens_of_two_towers_are_those_of_cogvlas_own_parts",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/composed_heads.py",
        SAMPLED_ACTIONS,
        (
            "bins-drawn-by-uniform-numbers",
            "torch.empty(shape, dtype=torch.float32, device=input_ids.device).exponential_()",
            "torch.rand(shape, dtype=torch.float32, device=input_ids.device)",
            "a_composed_discrete_head_draws_its_bins_by_exponential_numbers",
        ),
        (
            "time-weights-are-not-read",
            '{"use_time_weight": config.use_time_weight, "time_sampling"',
            '{"use_time_weight": False, "time_sampling"',
            "tests/modeling/multimodal_vla/test_multimodal_parts.py::test_a_flow_head_weighs_and_draws_times_as_its_config_says",
        ),
        (
            "flow-loss-weighs-no-samples",
            "            sample_weight=targets.sample_weight,\n",
            "            sample_weight=None,\n",
            "tests/training/test_loss_items.py::test_a_sample_of_weight_three_is_three_samples",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/context_action_network.py",
        COMPOSED,
        (
            "context-that-sees-padding",
            "prefix_attention(states, attention_mask, False, self.implementation)",
            "prefix_attention(states, None, False, self.implementation)",
            "a_padded_row_predicts_what_it_predicts_alone",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/language_masks.py",
        BACKBONE_STATES,
        (
            "windows-counted-in-places",
            "count[:, None, :] > count[:, :, None] - window",
            "place[None, None, :] > place[None, :, None] - window",
            "a_window_is_as_wide_as_the_models_own_wherever_padding_is",
        ),
        (
            "windows-one-wider",
            "count[:, :, None] - window)",
            "count[:, :, None] - window - 1)",
            "a_window_is_as_wide_as_the_models_own_wherever_padding_is",
        ),
        (
            "windows-in-training-counted-in-places",
            "is_made = not torch.is_grad_enabled() and not",
            "is_made = not",
            "a_window_is_as_wide_as_the_models_own_wherever_padding_is",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/vlm_backbone.py",
        BACKBONE_STATES,
        (
            "windows-beside-images-counted-in-places",
            "self.facts.carries_state or windowed or",
            "self.facts.carries_state or",
            "queries_behind_gemma_3_see_what_they_see_without_padding",
        ),
        (
            "images-stay-where-padding-was",
            "(each.gather(-1, order.expand_as(each)) for each in places)",
            "(places[0].gather(-1, order), places[1])",
            "queries_behind_gemma_3_see_what_they_see_without_padding",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/language_model_rules.py",
        BACKBONE_STATES,
        (
            "logit-divisors-left-out",
            "if config.model_type in LOGIT_DIVISORS:",
            "if False:",
            "a_language_model_has_the_states_of_its_own_call_on_either_side_of_padding",
        ),
        (
            "logits-without-soft-cap",
            "return logits if cap is None else cap * torch.tanh(logits / cap)",
            "return logits",
            "a_language_model_has_the_states_of_its_own_call_on_either_side_of_padding",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/naflex_images.py",
        TOWER_IMAGE_PROCESSORS,
        (
            "naflex-padding-is-real",
            "return self.pixel_attention_mask.flatten(1) != 0",
            "return self.pixel_attention_mask.flatten(1) >= 0",
            "padding_of_patches_and_prompts_changes_nothing",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/vlm_backbone.py",
        MULTIMODAL_VLMS,
        (
            "added-tokens-see-no-later-ones",
            " | (added[None, :] & added[:, None])",
            "",
            "added_tokens_see_everything_and_what_is_written_what_is_before_it",
        ),
        (
            "text-behind-padding-of-a-vlm",
            "real, ids, is_image = padding_before(prompt.real, prompt.input_ids, prompt.is_image)",
            "real, ids, is_image = prompt.real, prompt.input_ids, prompt.is_image",
            "tests/modeling/common/test_batches.py::test_text_is_the_same_on_either_side_of_padding",
        ),
        (
            "videos-are-taken-and-not-seen",
            '*("pixel_values_videos", "video_grid_thw", ',
            '*("pixel_values_videos", ',
            "a_video_is_no_part_of_an_observation",
        ),
        (
            "image-tokens-are-called-text",
            "image_places(prompt, real)\n        if",
            "image_places(None, real)\n        if",
            "tests/modeling/multimodal_vla/test_backbone_states.py::test_queries_behind_a_prompt_of_gemma_3_do_not_change_its_states",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/frozen_parts.py",
        CHOICES,
        (
            "frozen-parts-train-on",
            "part.train(not is_frozen)",
            "part.train()",
            "a_frozen_tower_is_the_same_in_training",
        ),
        (
            "a-frozen-layer-drops-out-where-it-is-checkpointed",
            "        self.layer.training = False\n",
            "",
            "a_frozen_text_model_is_the_same_in_training_however_it_is_checkpointed",
        ),
        (
            "layers-of-a-frozen-part-are-not-checkpointed",
            "                layer.training = True\n",
            "",
            "layers_of_a_frozen_text_model_are_checkpointed",
        ),
        (
            "what-was-frozen-never-drops-out-again",
            "CheckpointInEvaluation(layer, function) if is_frozen else function",
            "CheckpointInEvaluation(layer, function)",
            "a_text_model_that_trains_again_drops_out_again",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/composed_pretrained_model.py",
        CHOICES,
        (
            "what-a-stage-freezes-drops-out",
            "keep_in_evaluation([*self.backbone.vision_parts, self.language_part])",
            "keep_in_evaluation(self.frozen_parts)",
            "a_frozen_text_model_is_the_same_in_training_however_it_is_checkpointed",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/composed_pretrained_model.py",
        MULTIMODAL_PARTS,
        (
            "learned-tokens-by-one-deviation",
            'std = getattr(text, "initializer_range", None) or getattr(text, "init_std", 0.02)',
            "std = 0.02",
            "learned_tokens_begin_as_wide_as_the_text_models_weights",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/backbones.py",
        "tests/modeling/multimodal_vla/test_backbone_choices.py",
        (
            "each-part-in-the-dtype-it-is-stored-in",
            'floating_dtype(language_model) if dtype == "auto" else dtype',
            "dtype",
            "auto_is_the_dtype_of_the_language_model_for_all_parts",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/composed_backbone.py",
        "tests/modeling/multimodal_vla/test_states_in_16_bits.py",
        (
            "states-in-the-dtype-of-the-residuals",
            "return states.to(sequence.embeds.dtype)",
            "return states",
            "a_language_model_predicts_and_learns_in_16_bits",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/composed_backbone.py",
        TWO_TOWERS,
        (
            "sizes-of-the-first-tower",
            "size = self.image_sizes[number]",
            "size = self.image_sizes[0]",
            "a_tower_of_another_size_than_its_pictures_is_told_so",
        ),
        (
            "conditions-of-one-tower",
            "self.of_size(i, views), inside[i], embedding",
            "self.of_size(i, views), inside[0], embedding",
            "the_tokens_of_two_towers_are_those_of_cogvlas_own_parts",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/multimodal_inputs.py",
        TWO_TOWERS,
        (
            "images-of-any-samples",
            "if count != len(prompt.input_ids):",
            "if count > len(prompt.input_ids):",
            "pictures_in_one_normalisation_are_refused_and_so_are_those_of_other_samples",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/grounding.py",
        "tests/modeling/multimodal_vla/test_multimodal_vla.py",
        (
            "grounding-by-both-vision-towers",
            "[:, :, :3]  # a second",
            "  # a second",
            "grounding_is_that_of_the_first_of_two_vision_towers",
        ),
        (
            "grounding-of-padding",
            'mask = {} if attention_mask is None else {"attention_mask": attention_mask}',
            "mask = {}",
            "grounding_is_the_cosine_of_the_two_towers_for_each_view",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/fusion.py",
        "tests/modeling/multimodal_vla/test_sequence_rules.py",
        (
            "only-labels-are-written",
            "(labels != IGNORED).cumsum(dim=1) > 0",
            "(labels != IGNORED)",
            "text_is_written_from_the_first_label_on",
        ),
        (
            "gated-towers-know-the-answer",
            "    condition = text_embedding(backbone, embeds, prompt, answer_mask)",
            "    condition = text_embedding(backbone, embeds, prompt)",
            "tests/modeling/multimodal_vla/test_two_towers.py::test_what_layers_see_of_images_is_asked_by_the_prompt_and_not_by_the_answer_behind_it",
        ),
        (
            "late-fusion-learns-no-text-alone",
            "query_attention=None, late_projector=None)",
            "query_attention=None)",
            "tests/modeling/multimodal_vla/test_late_fusion.py::test_text_is_learnt_without_actions_as_with_them",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/tower_conditioning.py",
        "tests/modeling/multimodal_vla/test_two_towers.py",
        (
            "patches-of-a-square",
            "(height // tower_config.patch_size) * (width",
            "(height // tower_config.patch_size) * (height",
            "patches_of_a_picture_that_is_no_square_are_counted_along_both_sides",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/composed_pretrained_model.py",
        "tests/modeling/multimodal_vla/test_two_towers.py",
        (
            "weights-of-towers-are-exchanged-in-the-log",
            '("vision_tower", "second_vision_tower"))',
            '("second_vision_tower", "vision_tower"))',
            "what_each_tower_weighs_is_logged_by_its_name",
        ),
        (
            "new-gates-of-mlps-are-open",
            "            nn.init.zeros_(module.mlp_gate)\n",
            "",
            "tests/modeling/multimodal_vla/test_gated_cross_attention.py::test_gates_that_a_checkpoint_does_not_have_are_closed",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/language_masks.py",
        "tests/modeling/multimodal_vla/test_sequence_rules.py",
        (
            "windows-beside-layers-of-any-kind",
            "SLIDING in kinds and kinds <= {FULL, SLIDING} else",
            "SLIDING in kinds else",
            "the_window_of_layers_is_known_where_all_of_their_kinds_are",
        ),
        (
            "models-without-positions-count-tokens",
            "    if config.model_type in COUNTS_PLACES:\n        return True\n",
            "",
            "a_model_that_is_told_no_positions_counts_places_whatever_its_windows_are",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/language_model_rules.py",
        "tests/modeling/multimodal_vla/test_sequence_rules.py",
        (
            "positions-of-padding-are-of-text",
            ".clamp(min=0) + first",
            ".clamp(min=0)",
            "positions_count_what_is_real_from_the_first_on",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/multimodal_inputs.py",
        "tests/modeling/multimodal_vla/test_sequence_rules.py",
        (
            "a-short-prompt-with-images-of-a-long-one",
            '("input_ids", "real", "is_image")}',
            '("input_ids", "real")}',
            "a_prompt_is_shortened_behind",
        ),
        (
            "a-prompt-is-shortened-in-front",
            "[:, :length] for name",
            "[:, -length:] for name",
            "a_prompt_is_shortened_behind",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/composed_backbone.py",
        "tests/modeling/multimodal_vla/test_two_towers.py",
        (
            "both-towers-have-the-size-of-the-first",
            "self.image_sizes[number]",
            "self.image_sizes[0]",
            "towers_of_different_sizes_read_pictures_of_the_smaller_one",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/backbones.py",
        "tests/modeling/multimodal_vla/test_pretrained_backbones.py",
        (
            "a-composed-model-without-a-tower",
            "if len(towers) not in (1, 2)",
            "if len(towers) > 2",
            "a_composed_model_has_one_tower_or_two",
        ),
        (
            "a-second-text-tower-for-grounding",
            "not (grounding and number == 0)",
            "not grounding",
            "only_the_first_tower_keeps_its_text_tower_and_only_for_grounding",
        ),
        (
            "parts-in-the-dtype-of-their-files",
            "torch.float32 if dtype is None else dtype\n    text_class",
            '"auto" if dtype is None else dtype\n    text_class',
            "parts_are_read_in_the_dtype_and_with_the_arguments_that_were_given",
        ),
        (
            "arguments-of-a-text-model-are-lost",
            "dtype=dtype, **(text_kwargs or {}))",
            "dtype=dtype)",
            "parts_are_read_in_the_dtype_and_with_the_arguments_that_were_given",
        ),
        (
            "arguments-of-a-vlm-are-lost",
            "**(vlm_kwargs or {})",
            "**{}",
            "a_vlm_is_read_with_the_arguments_that_were_given",
        ),
        (
            "settings-of-writing-that-cannot-be-saved",
            "None if found is None else savable(found)",
            "found",
            "settings_of_writing_are_those_of_the_part_as_they_can_be_saved",
        ),
        (
            "pretrained-parts-are-cast-as-new-ones",
            '        if name != "backbone":',
            "        if True:",
            "new_parts_have_the_dtype_of_the_pretrained_one_but_for_buffers",
        ),
        (
            "buffers-in-the-dtype-of-weights",
            "            child.to(owner.device)",
            "            child.to(owner.device, owner.dtype)",
            "new_parts_have_the_dtype_of_the_pretrained_one_but_for_buffers",
        ),
    ),
]
