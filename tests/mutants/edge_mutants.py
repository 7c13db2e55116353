"""Faults that show at an edge alone: a value on a bound, the second of two, a file of another kind, an order."""

from .planted import planted

LEROBOT = "tests/training/test_lerobot.py"
ACTION_ERRORS = "tests/training/test_action_errors.py"
ADVANTAGE = "tests/processing/test_advantage_prompt.py"
LOADING = "tests/processing/test_loading_processors.py"
NO_VIDEO = """
        raise InputError(f"{path} cannot be read as a video: {error}") from error
    return None"""

MUTANTS = [
    *planted(
        "training/video_frames.py",
        LEROBOT,
        (
            "a-video-without-a-rate-has-none-a-second",
            "return None if rate is None else float(rate)",
            "return float(rate or 0)",
            "a_video_without_pictures_is_none_and_one_without_a_rate_is_not_of_another",
        ),
        (
            "a-sound-is-looked-at-as-a-video",
            f"except (OSError, IndexError, av.FFmpegError) as error:{NO_VIDEO}",
            f"except (OSError, av.FFmpegError) as error:{NO_VIDEO}",
            "a_video_without_pictures_is_none_and_one_without_a_rate_is_not_of_another",
        ),
    ),
    *planted(
        "training/video_checks.py",
        LEROBOT,
        (
            "times-of-hours-exact-to-the-tolerance",
            "2 * tolerance + rounding(times)",
            "2 * tolerance",
            "times_of_hours_are_only_as_exact_as_float32",
        ),
        (
            "parts-of-the-first-camera-alone",
            "for camera in layout.episodes[0].videos:",
            "for camera in list(layout.episodes[0].videos)[:1]:",
            "parts_of_videos_that_do_not_fit_their_episodes_are_refused",
        ),
        (
            "a-part-may-lack-a-frame",
            "if abs(frames - length) > 0.5:",
            "if abs(frames - length) > 1.5:",
            "parts_of_videos_that_do_not_fit_their_episodes_are_refused",
        ),
        (
            "parts-lie-as-their-episodes-do",
            "key=lambda e: (e.videos[camera].start, e.index)",
            "key=lambda e: e.index",
            "parts_of_a_video_may_lie_in_another_order_than_their_episodes",
        ),
    ),
    *planted(
        "training/open_loop.py",
        ACTION_ERRORS,
        (
            "no-samples-at-all",
            '(("stride", stride), ("max_samples", max_samples))',
            '(("stride", stride),)',
            "samples_are_chosen_by_episode_stride_and_number",
        ),
        (
            "every-so-many-frames-of-the-drive",
            "(frame - first[run]) % stride == 0",
            "frame % stride == 0",
            "samples_are_chosen_by_episode_stride_and_number",
        ),
        (
            "episodes-of-other-rows",
            "Samples(chosen, numbers[rows[chosen]], frame[chosen])",
            "Samples(chosen, numbers[chosen], frame[chosen])",
            "samples_are_chosen_by_episode_stride_and_number",
        ),
        (
            "episodes-by-half-numbers",
            'numbers.dtype.kind not in "iu" or numbers.min(initial=0) < 0',
            "numbers.min(initial=0) < 0",
            "samples_are_chosen_by_episode_stride_and_number",
        ),
        (
            "all-batches-draw-the-same",
            "own_randomness(batch_seed(seed, chosen), device)",
            "own_randomness(seed, device)",
            "batches_and_their_random_numbers_are_the_same_however_many_processes_share_them",
        ),
        (
            "batches-of-an-episode-draw-the-same",
            "(seed, int(samples.episode[0]), int(samples.frame[0]))",
            "(seed, int(samples.episode[0]))",
            "batches_and_their_random_numbers_are_the_same_however_many_processes_share_them",
        ),
        (
            "processes-share-the-first-batches",
            "places[rank::world]",
            "places[rank : rank + world]",
            "batches_and_their_random_numbers_are_the_same_however_many_processes_share_them",
        ),
        (
            "one-process-reads-all-examples",
            "num_workers=num_workers)",
            "num_workers=0)",
            "batches_and_their_random_numbers_are_the_same_however_many_processes_share_them",
        ),
        (
            "a-bar-where-none-was-wanted",
            "disable=not progress",
            "disable=progress",
            "batches_and_their_random_numbers_are_the_same_however_many_processes_share_them",
        ),
        (
            "the-first-examples-for-any-samples",
            "samples.index[place].tolist()",
            "place.tolist()",
            "batches_and_their_random_numbers_are_the_same_however_many_processes_share_them",
        ),
    ),
    *planted(
        "training/gripper_events.py",
        ACTION_ERRORS,
        (
            "a-threshold-lies-above-itself",
            '"recorded": recorded > threshold, "predicted": predicted > threshold',
            '"recorded": recorded >= threshold, "predicted": predicted >= threshold',
            "directions_delays_thresholds_and_a_gripper_that_never_moves",
        ),
    ),
    *planted(
        "processing/advantage_prompt.py",
        ADVANTAGE,
        (
            "a-template-without-the-word",
            'PLACES = ("{instruction}", "{advantage}")',
            'PLACES = ("{instruction}",)',
            "a_template_without_a_place_is_refused",
        ),
        (
            "an-instruction-is-a-template",
            '    pieces = [piece.replace("{advantage}", advantage) for piece in template.split("{instruction}")]\n'
            "    return instruction.join(pieces)",
            '    return template.replace("{instruction}", instruction).replace("{advantage}", advantage)',
            "an_instruction_stands_at_all_its_places_and_is_no_template",
        ),
    ),
    *planted(
        "processing/component_settings.py",
        LOADING,
        (
            "settings-of-the-folder-above",
            "files = {name: arguments[name] for name in HUB_ARGUMENTS if name in arguments}",
            "files = {}",
            "settings_are_compared_where_both_files_have_them",
        ),
        (
            "an-image-processor-needs-a-file-of-its-own",
            "if None in paths:",
            "if paths[1] is None:",
            "settings_are_compared_where_both_files_have_them",
        ),
    ),
    *planted(
        "processing/multimodal_vla/image_processing_tower.py",
        "tests/processing/multimodal_vla/test_image_processing_vlm.py",
        (
            "notes-of-transformers-are-settings",
            ' and key[0] != "_"}',
            "}",
            "a_towers_settings_are_read_by_their_older_names_and_are_not_the_callers",
        ),
    ),
    *planted(
        "processing/multimodal_vla/processing_multimodal_vla.py",
        "tests/processing/multimodal_vla/test_processing_multimodal_vla.py",
        (
            "the-configs-size-of-the-state-beside-the-given-one",
            "if SIZES.isdisjoint(overrides):",
            "if True:",
            "defaults_give_way_to_overrides_of_both_processors",
        ),
    ),
    *planted(
        "modeling/new_parts.py",
        "tests/modeling/test_new_parts.py",
        (
            "more-names-than-there-are",
            "and {len(there) - SHOWN} more",
            "and {len(there)} more",
            "of_many_names_the_first_and_the_number_of_the_others_are_said",
        ),
    ),
    *planted(
        "modeling/input_checks.py",
        "tests/modeling/test_arguments.py",
        (
            "inputs-go-to-the-meta-device",
            "for each in model.parameters() if not each.is_meta)",
            "for each in model.parameters())",
            "inputs_go_where_weights_are_that_are_not_offloaded",
        ),
    ),
    *planted(
        "conversion/family.py",
        "tests/conversion/test_families.py",
        (
            "every-folder-is-a-run-of-a-family",
            "lambda folder, config: False",
            "lambda folder, config: True",
            "a_family_that_says_nothing_has_its_adapters_merged_key_by_key",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/token_learner.py",
        "tests/modeling/multimodal_vla/test_multimodal_parts.py",
        (
            "hidden-features-count-a-little",
            "masked_fill(~mask.unsqueeze(-1), -torch.inf)",
            "masked_fill(~mask.unsqueeze(-1), 0)",
            "tokens_that_a_mask_hides_are_not_there",
        ),
        (
            "another-gelu-than-flaxs",
            'approximate="tanh"',
            'approximate="none"',
            "a_token_learner_weighs_positions_by_a_softmax_of_an_mlps_scores",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/qformer_projector.py",
        "tests/modeling/multimodal_vla/test_multimodal_parts.py",
        (
            "a-qformer-sees-padding",
            '{} if mask is None else {"encoder_attention_mask": mask.long()}',
            "{}",
            "tokens_that_a_mask_hides_are_not_there",
        ),
        (
            "every-other-layer-looks",
            "cross_attention_frequency=1",
            "cross_attention_frequency=2",
            "every_layer_of_a_qformer_looks_at_the_features_and_none_drops_out",
        ),
        (
            "a-qformer-of-one-head",
            "num_attention_heads=num_heads",
            "num_attention_heads=1",
            "every_layer_of_a_qformer_looks_at_the_features_and_none_drops_out",
        ),
        (
            "a-qformer-drops-out",
            "attention_probs_dropout_prob=0.0",
            "attention_probs_dropout_prob=0.1",
            "every_layer_of_a_qformer_looks_at_the_features_and_none_drops_out",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/perceiver_resampler.py",
        "tests/modeling/multimodal_vla/test_multimodal_parts.py",
        (
            "latents-without-their-last-norm",
            "return self.norm(latents)",
            "return latents",
            "a_perceiver_is_its_layers_one_after_the_other_and_a_norm",
        ),
    ),
    *planted(
        "processing/multimodal_vla/processing_multimodal_vla.py",
        "tests/processing/multimodal_vla/test_processing_multimodal_vla.py",
        (
            "a-processor-in-the-units-of-its-default",
            '"normalization_type", "num_action_chunks", "action_dim", "num_action_bins"',
            '"num_action_chunks", "action_dim", "num_action_bins"',
            "fields_of_the_config_become_arguments",
        ),
        (
            "actions-of-batches-of-batches",
            "values.dim() not in (2, 3) or values.shape",
            "values.shape",
            "actions_of_the_wrong_form_are_refused",
        ),
        (
            "an-instruction-in-its-first-place-alone",
            "[instruction] * (len(pieces) - 1)",
            "[instruction]",
            "an_instruction_stands_in_all_its_places",
        ),
        (
            "bins-become-actions-by-quantiles-alone",
            "return unnormalize(actions, self.action_statistics(unnorm_key), self.normalization_type)",
            'return unnormalize(actions, self.action_statistics(unnorm_key), "bounds_q99")',
            "actions_are_normalised_by_the_statistics_of_the_settings",
        ),
        (
            "grounding-of-views-in-any-order",
            "num_images_in_input, self.view_names)",
            "num_images_in_input, None)",
            "tests/processing/multimodal_vla/test_grounding_text.py::test_grounding_takes_views_and_texts_as_a_prediction_does",
        ),
        (
            "grounding-of-the-whole-prompt",
            "said = [self.instruction_of(text) for text in texts]",
            "said = list(texts)",
            "tests/processing/multimodal_vla/test_grounding_text.py::test_grounding_takes_views_and_texts_as_a_prediction_does",
        ),
    ),
    *planted(
        "processing/multimodal_vla/bin_ids.py",
        "tests/processing/multimodal_vla/test_processing_multimodal_vla.py",
        (
            "a-vocabulary-without-an-id",
            '        check_positive("action_vocab_size", action_vocab_size)',
            "        pass",
            "a_setting_that_cannot_be_is_named",
        ),
        (
            "the-first-bin-has-no-id",
            "(ids < first) |",
            "(ids <= first) |",
            "the_ends_of_the_range_are_the_ends_of_the_vocabulary",
        ),
    ),
    *planted(
        "processing/multimodal_vla/image_processing_multimodal_vla.py",
        "tests/processing/multimodal_vla/test_image_processing_multimodal_vla.py",
        (
            "half-a-second-tower-is-none",
            "if second_image_mean is not None or second_image_std is not None",
            "if second_image_mean is not None and second_image_std is not None",
            "the_channels_of_a_second_tower_come_behind_in_its_own_normalisation",
        ),
        (
            "a-second-tower-in-the-deviation-of-the-first",
            "self.second_image_mean, self.second_image_std)])",
            "self.second_image_mean, self.image_std)])",
            "the_channels_of_a_second_tower_come_behind_in_its_own_normalisation",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/naflex_images.py",
        "tests/modeling/multimodal_vla/test_tower_image_processors.py",
        (
            "shapes-of-patches-of-one-number",
            " and shapes.shape == (*pixels.shape[:2], 2)",
            "",
            "patches_without_what_goes_with_them_are_refused",
        ),
        (
            "a-mask-of-fewer-patches",
            "mask.shape == pixels.shape[:3] and ",
            "",
            "patches_without_what_goes_with_them_are_refused",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/tower_features.py",
        "tests/modeling/multimodal_vla/test_two_towers.py",
        (
            "earlier-layers-for-pictures-of-their-size",
            "output_hidden_states=True, **of_size",
            "output_hidden_states=True",
            "towers_of_different_sizes_read_pictures_of_the_smaller_one",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/context_action_network.py",
        "tests/modeling/multimodal_vla/test_multimodal_parts.py",
        (
            "a-step-forgets-its-cache",
            "cache if use_cache or context is None else None",
            "cache if use_cache else None",
            "context_and_suffix_apart_are_one_joint_pass",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/vision_tokens.py",
        "tests/modeling/multimodal_vla/test_multimodal_parts.py",
        (
            "as-many-heads-as-layers",
            "config.num_resampler_layers, config.num_resampler_heads",
            "config.num_resampler_layers, config.num_resampler_layers",
            "a_choice_is_the_part_of_that_name",
        ),
        (
            "tokens-of-a-number-of-ones-own",
            "TokenLearner(*widths, config.num_latents)",
            "TokenLearner(*widths, 64)",
            "a_choice_is_the_part_of_that_name",
        ),
    ),
    *planted(
        "processing/multimodal_vla/chat_prompts.py",
        "tests/processing/multimodal_vla/test_vlm_processors.py",
        (
            "a-template-of-pictures-alone",
            " and INSTRUCTION in one",
            "",
            "a_chat_template_that_does_not_write_the_instruction_is_refused",
        ),
    ),
    *planted(
        "processing/multimodal_vla/grounding_text.py",
        "tests/processing/multimodal_vla/test_grounding_text.py",
        (
            "no-turns-are-turns",
            "        if value:\n            raise",
            "        if value is not None:\n            raise",
            "a_processor_without_a_text_tower_refuses_grounding_and_says_what_to_do",
        ),
        (
            "a-text-without-a-token",
            "not 0 < len(row) <= length",
            "not len(row) <= length",
            "a_text_has_a_token_and_a_tower_alone_has_no_tokenizer",
        ),
        (
            "a-siglip-2-of-capitals",
            'config.model_type == "siglip2" or ',
            "",
            "siglip_2_reads_lower_case_by_any_tokenizer",
        ),
        (
            "a-tower-alone-grounds",
            "if not source or config.model_type not in TWO_TOWERS:",
            "if not source:",
            "a_text_has_a_token_and_a_tower_alone_has_no_tokenizer",
        ),
        (
            "a-grounding-file-of-the-folder-above",
            "for name in HUB_ARGUMENTS if kwargs.get(name) is not None",
            "for name in HUB_ARGUMENTS[:1] if kwargs.get(name) is not None",
            "the_tokenizer_is_a_file_of_the_checkpoint_and_is_saved_again",
        ),
        (
            "a-text-towers-tokenizer-forgets-its-end",
            "for name in SPECIAL_TOKENS if name in settings",
            "for name in SPECIAL_TOKENS[:1] if name in settings",
            "the_tokenizer_is_a_file_of_the_checkpoint_and_is_saved_again",
        ),
    ),
    *planted(
        "processing/multimodal_vla/prepared_by_vlm.py",
        "tests/processing/multimodal_vla/test_vlm_processors.py",
        (
            "a-vlms-prompts-are-padded-on-the-right",
            "prompts, padding_side)",
            'prompts, "right")',
            "the_whole_processor_of_a_vlm_gives_what_its_tokenizer_alone_gives",
        ),
    ),
    *planted(
        "processing/alpamayo_r1/camera_labels.py",
        "tests/processing/alpamayo_r1/test_scene_texts.py",
        (
            "an-eighth-camera-has-a-name",
            "index < len(NAMES)",
            "index <= len(NAMES)",
            "a_camera_beyond_those_with_names_is_called_by_its_number",
        ),
        (
            "true-is-a-camera",
            "isinstance(index, bool) or ",
            "",
            "a_camera_beyond_those_with_names_is_called_by_its_number",
        ),
    ),
    *planted(
        "processing/alpamayo_r1/driving_prompt.py",
        "tests/processing/alpamayo_r1/test_scene_texts.py",
        (
            "two-system-lines",
            'if turn.role == "system":',
            "if False:",
            "the_systems_line_is_no_turn",
        ),
    ),
    *planted(
        "processing/alpamayo_r1/driving_prompt.py",
        "tests/processing/alpamayo_r1/test_scene_texts.py",
        (
            "a-path-in-a-prompt-is-its-request",
            r"(?:{token}|<i\d+>)*",
            "(?:{token})*",
            "the_request_of_a_whole_prompt_is_found_behind_any_path",
        ),
    ),
    *planted(
        "processing/alpamayo_r1/written_parts.py",
        "tests/processing/alpamayo_r1/test_scene_texts.py",
        (
            "tokens-that-are-words-are-left-out",
            "for token in tokenizer.added_tokens_decoder.values() if token.special]",
            "for token in tokenizer.added_tokens_decoder.values()]",
            "what_was_written_is_taken_apart_without_special_tokens_alone",
        ),
        (
            "a-number-is-a-text",
            "if ids.ndim not in (1, 2):",
            "if ids.ndim > 2:",
            "what_was_written_is_taken_apart_without_special_tokens_alone",
        ),
    ),
    *planted(
        "processing/alpamayo_r1/history_placeholders.py",
        "tests/processing/alpamayo_r1/test_scene_texts.py",
        (
            "a-tokenizer-without-images",
            "for name in (IMAGE_TOKEN, *names):",
            "for name in names:",
            "a_tokenizer_has_the_token_of_images_and_all_values_of_a_path",
        ),
    ),
    *planted(
        "processing/alpamayo_r1/processing_alpamayo_r1.py",
        "tests/processing/alpamayo_r1/test_processing_alpamayo_r1.py",
        (
            "a-processor-forgets-the-views-of-its-model",
            "            view_names=config.view_names,\n",
            "",
            "the_processor_of_a_model_has_its_fields",
        ),
        (
            "given-pixels-give-way-to-the-models",
            '"max_pixels": config.max_pixels, **images}',
            '**images, "max_pixels": config.max_pixels}',
            "the_processor_of_a_model_has_its_fields",
        ),
        (
            "poses-of-the-world-are-taken-for-the-cars",
            "read_history(ego_history_xyz, ego_history_rot, history_frame)",
            "read_history(ego_history_xyz, ego_history_rot)",
            "poses_of_another_frame_and_arrays_of_another_library",
        ),
    ),
    *planted(
        "processing/portable_processor.py",
        "tests/processing/test_portable_tokenizers.py",
        (
            "a-tokenizer-of-one-machine",
            '("auto_map", "backend", "is_local", "local_files_only")',
            '("auto_map", "backend", "is_local")',
            "a_tokenizers_settings_are_those_that_both_lines_read",
        ),
    ),
    *planted(
        "examples/closed_loop/driving_road.py",
        "tests/closed_loop/test_driving_loop.py",
        (
            "a-road-ends-at-its-end",
            "beyond = np.maximum(np.asarray(along) - self.length, 0)",
            "beyond = 0 * np.asarray(along)",
            "a_drawn_road_bends_to_both_sides_and_goes_straight_on_behind_its_end",
        ),
    ),
    *planted(
        "examples/closed_loop/driving_cameras.py",
        "tests/closed_loop/test_driving_loop.py",
        (
            "a-horizon-below-the-middle",
            "self.height_pixels / 2 - focal",
            "self.height_pixels / 2 + focal",
            "the_sky_ends_where_the_ground_does_and_paint_is_yellow_on_the_left",
        ),
    ),
    *planted(
        "examples/closed_loop/drawn_board.py",
        "tests/closed_loop/test_drawn_board.py",
        (
            "the-back-of-the-board-below",
            "SIDE / 2 - y, BLOCK / 2",
            "SIDE / 2 + y, BLOCK / 2",
            "a_block_is_drawn_where_it_lies_with_the_back_of_the_board_above",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/vision_tokens.py",
        "tests/modeling/multimodal_vla/test_multimodal_parts.py",
        (
            "padding-behind-features-is-real",
            "< lengths[:, None]",
            "<= lengths[:, None]",
            "features_of_as_many_tokens_as_a_sample_has_are_projected_and_padded_behind",
        ),
        (
            "all-samples-see-the-first",
            "[projector(one[None])[0] for one in features]",
            "[projector(features[0][None])[0] for one in features]",
            "features_of_as_many_tokens_as_a_sample_has_are_projected_and_padded_behind",
        ),
        (
            "features-of-fewer-samples",
            "    check_samples(len(features), prompt)\n",
            "",
            "features_of_as_many_tokens_as_a_sample_has_are_projected_and_padded_behind",
        ),
    ),
    *planted(
        "training/alpamayo_r1/question_examples.py",
        "tests/training/alpamayo_r1/test_navigation_examples.py",
        (
            "a-padding-token-of-id-0-is-none",
            "if tokenizer.pad_token_id is not None else",
            "if tokenizer.pad_token_id else",
            "neither_padding_nor_what_has_no_labels_is_learnt",
        ),
        (
            "answers-with-the-spaces-around-them",
            "[answer.strip()]",
            "[answer]",
            "questions_are_the_published_ids_and_labels",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/token_sequences.py",
        "tests/modeling/multimodal_vla/test_multimodal_vlms.py",
        (
            "film-in-the-places-of-images-knows-the-answer",
            "condition = text_condition(backbone, embeds, prompt, answer_mask, text_pooling)",
            "condition = text_condition(backbone, embeds, prompt, None, text_pooling)",
            "film_in_the_places_of_images_does_not_know_the_answer",
        ),
    ),
    *planted(
        "modeling/shared_prefix_attention.py",
        "tests/modeling/test_shared_prefix_attention.py",
        (
            "weights-are-of-rounded-scores",
            ".softmax(dim=-1).to(queries.dtype)",
            ".to(queries.dtype).softmax(dim=-1)",
            "scores_of_low_precision_are_weighed_in_float32",
        ),
        (
            "a-bias-rounds-scores",
            "dtype=torch.float32",
            "dtype=torch.bfloat16",
            "scores_of_low_precision_are_weighed_in_float32",
        ),
    ),
    *planted(
        "modeling/vision_layers.py",
        "tests/modeling/test_vision_layers.py",
        (
            "a-watched-scale-is-not-called",
            " and is_unhooked(scale)",
            "",
            "terms_of_film_that_are_known_are_not_made_again_and_watched_scales_are_called",
        ),
        (
            "both-scales-are-one",
            "self.ls2 = LayerScale(hidden_size, layer_scale) if layer_scale else",
            "self.ls2 = self.ls1 if layer_scale else",
            "terms_of_film_that_are_known_are_not_made_again_and_watched_scales_are_called",
        ),
        (
            "known-terms-of-film-are-made-again",
            "if film_terms is None else film_terms",
            "if True else film_terms",
            "terms_of_film_that_are_known_are_not_made_again_and_watched_scales_are_called",
        ),
    ),
    *planted(
        "modeling/sampled_actions.py",
        "tests/modeling/test_sampled_actions.py",
        (
            "true-is-a-number-of-samples",
            " or isinstance(num_samples, bool)",
            "",
            "cogvlas_diffusion_draws_over_one_look_at_the_images",
        ),
    ),
    *planted(
        "modeling/replaced_weights.py",
        "tests/modeling/test_replaced_weights.py",
        (
            "shards-of-the-own-variant-are-kept",
            '!= (variant and f".{variant}")',
            "!= variant",
            "shards_of_other_variants_have_other_names_while_a_model_is_saved",
        ),
        (
            "of-two-kinds-written-the-first-counts",
            "max(names.index",
            "min(names.index",
            "of_two_kinds_that_were_written_none_is_read_with_what_was_there",
        ),
        (
            "views-are-not-put-aside",
            "for name in (STATISTICS, VIEWS):",
            "for name in (STATISTICS,):",
            "whole_weights_put_an_adapter_in_their_folder_aside",
        ),
        (
            "statistics-are-put-aside-without-an-adapter",
            "if adapter and (Path",
            "if (Path",
            "weights_without_an_adapter_put_nothing_aside",
        ),
    ),
    *planted(
        "modeling/replaced_weights.py",
        "tests/modeling/test_replaced_weights.py",
        (
            "files-of-the-same-time-are-new",
            "> times.get(name, -1)",
            ">= times.get(name, -1)",
            "files_since_are_those_of_a_later_time_and_new_ones",
        ),
        (
            "kept-shards-are-lost",
            "            renamed.rename(path)",
            "            renamed.unlink()",
            "shards_of_other_variants_have_other_names_while_a_model_is_saved",
        ),
        (
            "files-of-one-size-are-the-same",
            "state.st_mtime_ns, state.st_size",
            "0, state.st_size",
            "what_was_written_is_told_by_its_time_where_its_size_is_the_same",
        ),
    ),
    *planted(
        "modeling/fast_prediction.py",
        "tests/modeling/test_fast_prediction.py",
        (
            "inputs-without-tensors-are-recorded",
            "not tensors or any",
            "any",
            "the_batch_is_told_by_the_first_tensor_with_a_dimension",
        ),
        (
            "a-number-tells-the-batch",
            "next((each for each in tensors if each.dim()), None)",
            "next((each for each in tensors), None)",
            "the_batch_is_told_by_the_first_tensor_with_a_dimension",
        ),
        (
            "the-last-refusal-is-forgotten-first",
            "popitem(last=False)\n        self.count",
            "popitem(last=True)\n        self.count",
            "few_refusals_are_remembered",
        ),
        (
            "a-session-is-of-all-threads",
            "session[0] == threading.get_ident()",
            "True",
            "a_session_of_one_thread_is_none_of_another",
        ),
        (
            "a-tensor-behind-buffers-lies-in-them",
            "first <= start < first + size",
            "first <= start <= first + size",
            "a_tensor_behind_the_end_of_buffers_does_not_lie_in_them",
        ),
        (
            "more-buffers-than-graphs-are-kept",
            "min(self.max_graphs, MAX_BUFFERS)",
            "MAX_BUFFERS",
            "as_many_buffers_are_kept_as_graphs_where_these_are_fewer",
        ),
    ),
    *planted(
        "modeling/input_checks.py",
        "tests/modeling/test_arguments.py",
        (
            "shards-lie-on-one-device",
            "None if is_sharded or device.type",
            "None if device.type",
            "a_model_in_shards_says_where_its_inputs_go",
        ),
        (
            "complex-numbers-are-ids",
            " or input_ids.is_complex()",
            "",
            "ids_and_mask_fit_each_other_and_what_is_cached",
        ),
    ),
    *planted(
        "modeling/input_checks.py",
        "tests/modeling/test_arguments.py",
        (
            "a-grid-on-the-host-is-refused",
            "None if on_cpu else pixel_values.device",
            "pixel_values.device",
            "a_grid_is_read_on_the_host_wherever_patches_and_ids_are",
        ),
        (
            "a-grid-of-two-numbers-an-image",
            " or image_grid_thw.shape[-1] != 3",
            "",
            "a_grid_is_read_on_the_host_wherever_patches_and_ids_are",
        ),
        (
            "a-grid-is-asked-for-again",
            "image_grid_thw if on_host is None else on_host",
            "image_grid_thw",
            "a_grid_is_read_on_the_host_wherever_patches_and_ids_are",
        ),
        (
            "ids-are-looked-at-wherever-they-are",
            'if input_ids.device.type != "cpu" or torch.compiler.is_compiling()',
            "if torch.compiler.is_compiling()",
            "a_grid_is_read_on_the_host_wherever_patches_and_ids_are",
        ),
    ),
]
