"""What becomes of images, states and texts before a model sees them, and of data before statistics are taken."""

from .planted import planted

PIXELS = "tests/processing/cogvla/test_image_processing_cogvla.py"
OPERATIONS = "tests/processing/cogvla/test_image_ops_cogvla.py"
COGVLA = "tests/processing/cogvla/test_processing_cogvla.py"
STATES = "tests/processing/test_states.py"
VIEWS = "tests/processing/test_views.py"
SPATIAL = "tests/processing/mapanything_llava3d/test_spatial_action_tokenizer.py"
LLAVA3D = "tests/processing/mapanything_llava3d/test_processing_mapanything_llava3d.py"
STATISTICS = "tests/training/test_statistics.py"
VECTORS = "tests/training/test_vector_statistics.py"
LEROBOT = "tests/training/test_lerobot.py"
RUNNING = "tests/conversion/datasets/test_running_statistics.py"
CONVERTED = "tests/conversion/datasets/test_data_convert.py"
IMAGE_READER = "tests/processing/test_image_reader.py"
IMAGE_PROCESSING_ALPAMAYO_R1 = "tests/processing/test_image_processing_alpamayo_r1.py"
GROUNDING_TEXT = "tests/processing/multimodal_vla/test_grounding_text.py"
TOWER_IMAGE_PROCESSORS = "tests/modeling/multimodal_vla/test_tower_image_processors.py"
PROCESSING_MULTIMODAL_VLA = "tests/processing/multimodal_vla/test_processing_multimodal_vla.py"
IMAGE_PROCESSING_MAPANYTHING_LLAVA3D = (
    "tests/processing/mapanything_llava3d/test_image_processing_mapanything_llava3d.py"
)
IMAGES = "tests/properties/test_images.py"
CHAT_TURNS = "tests/processing/test_chat_turns.py"
LOADING_PROCESSORS = "tests/processing/test_loading_processors.py"
ADVANTAGE_PROMPT = "tests/processing/test_advantage_prompt.py"
PORTABLE_TOKENIZERS = "tests/processing/test_portable_tokenizers.py"
VLM_PROCESSORS = "tests/processing/multimodal_vla/test_vlm_processors.py"

MUTANTS = [
    *planted(
        "processing/component_settings.py",
        "tests/processing/test_loading_processors.py",
        (
            "two-files-of-other-settings-pass",
            "if nested.get(name) != own.get(name)):",
            "if False):",
            "settings_of_images_that_differ_between_two_files_are_refused",
        ),
        (
            "settings-of-classes-are-compared",
            ".difference(OF_CLASSES)",
            ".difference(())",
            "settings_of_images_that_differ_between_two_files_are_refused",
        ),
    ),
    *planted(
        "processing/cogvla/image_processing_cogvla.py",
        PIXELS,
        (
            "towers-in-each-others-statistics",
            "towers = zip(np.float32(self.means), np.float32(self.stds), strict=True)",
            "towers = zip(np.float32(self.means[::-1]), np.float32(self.stds[::-1]), strict=True)",
            "the_same_picture_is_normalised_once_for_each_tower",
        ),
        (
            "the-crop-of-a-call-is-ignored",
            "crop = self.center_crop if center_crop is None else center_crop",
            "crop = self.center_crop",
            "the_crop_of_a_call_overrides_that_of_the_constructor",
        ),
    ),
    *planted(
        "processing/cogvla/image_ops.py",
        OPERATIONS,
        (
            "crops-by-their-area",
            "side = np.sqrt(np.float32(area))",
            "side = np.float32(area)",
            "center_crop_gives_the_bytes_of_tensorflow",
        ),
    ),
    *planted(
        "processing/robot_processor.py",
        COGVLA,
        (
            "states-by-the-statistics-of-actions",
            "found = [statistics[part] for part in self.state_parts if part in statistics]",
            'found = [statistics["action"]]',
            "the_state_is_normalised_by_the_run_statistics",
        ),
        (
            "states-by-the-first-key",
            "statistics = [self.state_statistics(key) for key in unnorm_key]",
            "statistics = [self.state_statistics(unnorm_key[0]) for key in unnorm_key]",
            "tests/training/test_collators.py::test_examples_of_several_datasets_are_each_normalised_by_their_own_statistics",
        ),
        (
            "far-states-are-not-told",
            "self.warn_of(far_values(rows.numpy(), statistics), unnorm_key)",
            "pass",
            "tests/processing/test_states.py::test_a_state_far_outside_of_the_statistics_is_warned_of",
        ),
        (
            "states-by-the-other-word",
            "        return found[0]\n",
            "        return found[-1]\n",
            "tests/processing/test_robot_processor.py::test_of_statistics_of_the_state_under_both_words_those_of_the_published_word_count",
        ),
    ),
    *planted(
        "processing/state_range.py",
        STATES,
        (
            "far-below-is-near",
            "beyond = np.maximum(low - state, state - high) / length",
            "beyond = (state - high) / length",
            "a_state_far_outside_of_the_statistics_is_warned_of",
        ),
        (
            "a-constant-state-by-one",
            "np.maximum(np.abs(low), 1)",
            "1",
            "a_state_far_outside_of_the_statistics_is_warned_of",
        ),
        (
            "a-state-of-one-deviation",
            "return mean - 3 * std, mean + 3 * std",
            "return mean - std, mean + std",
            "a_state_far_outside_of_the_statistics_is_warned_of",
        ),
    ),
    *planted(
        "processing/sample_inputs.py",
        VIEWS,
        (
            "views-in-the-order-of-the-call",
            "return [(name, found[name]) for name in view_names]",
            "return list(found.items())",
            "a_dict_in_any_order_is_the_list_in_the_recorded_one",
        ),
        (
            "channels-stay-in-front",
            "(image.permute(1, 2, 0) if channels_first else image)",
            "(image.reshape(*image.shape[1:], 3) if channels_first else image)",
            "tests/processing/cogvla/test_image_processing_cogvla.py::test_every_form_of_an_image_gives_the_same_pixels",
        ),
        (
            "the-main-view-where-it-stands",
            "for name in first + [name for name in sample if name not in first]]",
            "for name in sample]",
            "without_recorded_names_the_first_view_decides",
        ),
    ),
    *planted(
        "processing/mapanything_llava3d/spatial_action_tokenizer.py",
        SPATIAL,
        (
            "actions-are-not-cut",
            'actions = np.clip(_with_width("actions", actions, ACTION_DIM), -1, 1)',
            'actions = _with_width("actions", actions, ACTION_DIM)',
            "actions_outside_of_the_unit_cube_are_cut_axis_by_axis_on_both_ways",
        ),
        (
            "decoded-translations-are-not-cut",
            "place = np.clip(cartesian(place) if self.use_spherical else place, -1, 1)",
            "place = cartesian(place) if self.use_spherical else place",
            "actions_outside_of_the_unit_cube_are_cut_axis_by_axis_on_both_ways",
        ),
        (
            "a-gripper-that-opens-above-the-half",
            "(actions[..., 6] >= 0.5)",
            "(actions[..., 6] > 0.5)",
            "the_gripper_is_open_from_the_half_on",
        ),
    ),
    *planted(
        "processing/mapanything_llava3d/spatial_action_bins.py",
        SPATIAL,
        (
            "small-deviations-stay-small",
            'deviation = max(fitted["sigma"], min_sigma)',
            'deviation = fitted["sigma"]',
            "the_least_standard_deviation_stands_in_for_smaller_ones",
        ),
        (
            "a-least-deviation-is-ignored",
            'deviation = max(fitted["sigma"], min_sigma)',
            'deviation = fitted["sigma"]',
            "the_least_standard_deviation_stands_in_for_smaller_ones",
        ),
    ),
    *planted(
        "training/statistics.py",
        STATISTICS,
        (
            "unmasked-actions-are-masked",
            '    statistics["action"]["mask"] = mask\n',
            "",
            "unmasked_actions_count_from_either_end",
        ),
        (
            "an-episode-begins-with-each-batch",
            "(self.runs == 0 or values[0] != self.last)",
            "1",
            "trajectories_are_runs_of_the_episode_index",
        ),
        (
            "percentiles-that-coincide-stay",
            "    widen_quantiles(statistics)\n",
            "",
            "percentiles_that_coincide_though_other_values_occur_become_bounds",
        ),
        (
            "statistics-of-the-model-alone",
            "    processor.norm_stats = copy.deepcopy(norm_stats)\n",
            "",
            "every_robot_family_normalises_by_the_new_statistics",
        ),
        (
            "a-file-beside-the-dataset-wins-over-a-mask",
            "if not file and not unmasked_actions and own.is_file():",
            "if not file and own.is_file():",
            "a_mask_that_is_asked_for_is_computed_beside_a_file_of_the_dataset",
        ),
    ),
    *planted(
        "training/vector_statistics.py",
        VECTORS,
        (
            "other-percentiles",
            "self.sample.quantiles((0.01, 0.99))",
            "self.sample.quantiles((0.02, 0.98))",
            "tests/training/test_statistics.py::test_statistics_are_those_of_numpy_whatever_the_batches",
        ),
        (
            "moments-of-batches-apart",
            " + step**2 * (self.rows * len(rows) / total)",
            "",
            "tests/training/test_statistics.py::test_statistics_are_those_of_numpy_whatever_the_batches",
        ),
        (
            "the-rows-of-the-largest-numbers",
            "chosen = np.argpartition(numbers, self.size - 1)[: self.size]",
            "chosen = np.argpartition(numbers, len(rows) - self.size)[-self.size :]",
            "a_full_sample_is_the_rows_with_the_smallest_numbers_of_the_seed",
        ),
    ),
    *planted(
        "conversion/datasets/running_statistics.py",
        RUNNING,
        (
            "squares-without-what-lies-apart",
            "squares = self.squares + squares + apart**2 * (self.count * count / both)",
            "squares = self.squares + squares",
            "blocks_of_rows_have_the_statistics_of_all_rows",
        ),
        (
            "the-least-of-the-last-block",
            "low, high = np.minimum(self.low, low), np.maximum(self.high, high)",
            "low, high = low, np.maximum(self.high, high)",
            "blocks_of_rows_have_the_statistics_of_all_rows",
        ),
        (
            "the-greatest-value-of-an-image-by-one",
            "255 - found[:, ::-1].argmax(axis=1)",
            "256 - found[:, ::-1].argmax(axis=1)",
            "pictures_have_the_statistics_of_their_channels",
        ),
    ),
    *planted(
        "training/lerobot_layout.py",
        LEROBOT,
        (
            "chunks-of-a-thousand-episodes",
            'index // info.number("chunks_size", 1)',
            "index // 1000",
            "a_chunk_of_the_older_layout_holds_as_many_episodes_as_info_json_says",
        ),
        (
            "every-map-of-depth-is-a-view",
            "and value is True) for key",
            "and value is None) for key",
            "a_depth_map_is_no_view_unless_it_is_asked_for",
        ),
    ),
    *planted(
        "processing/image_reader.py",
        IMAGE_READER,
        (
            "sixteen-bits-are-cut",
            "(np.asarray(image).astype(np.uint32) + 128) // 257",
            "np.asarray(image).astype(np.uint32) >> 8",
            "16_bits_are_scaled_by_the_white_of_each",
        ),
    ),
    *planted(
        "processing/prompts.py",
        COGVLA,
        (
            "prompts-padded-with-their-end",
            "(tokenizer.pad_token_id, tokenizer.eos_token_id) if",
            "(tokenizer.eos_token_id, tokenizer.pad_token_id) if",
            "a_batch_of_prompts_is_padded_on_the_right",
        ),
    ),
    *planted(
        "processing/mapanything_llava3d/camera_intrinsics.py",
        LLAVA3D,
        (
            "the-camera-of-another-dataset",
            "if unnorm_key is None and len(intrinsic_config) == 1:",
            "if len(intrinsic_config) == 1:",
            "the_only_camera_is_used_without_a_key_but_not_for_another_dataset",
        ),
    ),
    *planted(
        "processing/image_processing_alpamayo_r1.py",
        IMAGE_PROCESSING_ALPAMAYO_R1,
        (
            "pixels-without-antialiasing",
            'mode="bicubic", antialias=True)',
            'mode="bicubic", antialias=False)',
            "patches_are_the_published_ones",
        ),
        (
            "clamped-sizes-the-other-way-round",
            "return (short, long) if height <= width else (long, short)",
            "return (short, long)",
            "no_shape_exceeds_max_pixels",
        ),
    ),
    *planted(
        "processing/multimodal_vla/grounding_text.py",
        GROUNDING_TEXT,
        (
            "texts-of-towers-keep-their-case",
            'text.lower() if self.settings["lower_case"] else text',
            "text",
            "siglip_2_reads_lower_case",
        ),
        (
            "texts-of-towers-are-as-long-as-they-are",
            'padded(rows, self.tokenizer, "right", length)',
            'padded(rows, self.tokenizer, "right")',
            "the_score_is_that_of_the_two_towers_for_the_same_pictures_and_texts",
        ),
        (
            "words-for-a-prompt-go-to-a-tower",
            '        if value:\n            raise InputError(f"{name} was',
            '        if False:\n            raise InputError(f"{name} was',
            "a_processor_without_a_text_tower_refuses_grounding_and_says_what_to_do",
        ),
    ),
    *planted(
        "processing/multimodal_vla/processing_multimodal_vla.py",
        GROUNDING_TEXT,
        (
            "advantages-of-texts-for-towers-are-lost",
            "history=history, advantage=advantage)",
            "history=history)",
            "a_processor_without_a_text_tower_refuses_grounding_and_says_what_to_do",
        ),
    ),
    *planted(
        "processing/multimodal_vla/image_processing_tower.py",
        TOWER_IMAGE_PROCESSORS,
        (
            "overrides-of-image-settings-are-lost",
            '        found |= overrides.pop("image_settings", {})\n',
            '        overrides.pop("image_settings", {})\n',
            "images_are_prepared_as_the_towers_own_image_processor_does",
        ),
    ),
    *planted(
        "processing/multimodal_vla/bin_ids.py",
        PROCESSING_MULTIMODAL_VLA,
        (
            "a-bin-too-many",
            "(ids < first) | (ids >= vocab_size)",
            "(ids < first) | (ids > vocab_size)",
            "ids_that_are_no_actions_are_refused",
        ),
    ),
    *planted(
        "processing/image_processors.py",
        IMAGE_PROCESSING_MAPANYTHING_LLAVA3D,
        (
            "images-resized-to-width-first",
            "resize((width, height), Image.Resampling.BICUBIC)",
            "resize((height, width), Image.Resampling.BICUBIC)",
            "pixels_are_those_of_the_published_siglip_processor",
        ),
        (
            "images-settings-in-one-of-two-places",
            'fields["image_processor"] |= json.loads(self.to_json_string())',
            "pass",
            "tests/processing/test_loading_processors.py::test_what_an_image_processor_saves_is_what_its_processor_reads",
        ),
        (
            "image-overrides-of-a-folder-lost",
            "{**read, **overrides}",
            "{**overrides, **image_processor_dict}",
            "tests/processing/test_loading_processors.py::test_words_of_loaders_tokenizers_and_parts_pass",
        ),
    ),
    *planted(
        "processing/mapanything_llava3d/image_processing_mapanything_llava3d.py",
        IMAGE_PROCESSING_MAPANYTHING_LLAVA3D,
        (
            "patches-of-the-height-squared",
            '(self.size["width"] // self.patch_size)',
            '(self.size["height"] // self.patch_size)',
            "the_number_of_image_tokens_is_the_number_of_whole_patches",
        ),
    ),
    *planted(
        "processing/multimodal_vla/image_processing_multimodal_vla.py",
        IMAGES,
        (
            "the-second-tower-in-the-statistics-of-the-first",
            "_normalized(scaled, self.second_image_mean, self.second_image_std)",
            "_normalized(scaled, self.image_mean, self.image_std)",
            "towers_of_fixed_size_see_what_pil_makes_of_an_image",
        ),
    ),
    *planted(
        "processing/mapanything_llava3d/image_prompt.py",
        LLAVA3D,
        (
            "each-image-token-of-a-text-is-all-views",
            "repeats = tokens_per_view * views // count",
            "repeats = tokens_per_view * views",
            "as_many_image_tokens_as_views_get_one_view_each",
        ),
    ),
    *planted(
        "processing/mapanything_llava3d/processing_mapanything_llava3d.py",
        LLAVA3D,
        (
            "decoded-actions-by-no-key",
            "self.action_statistics(unnorm_key), self.norm",
            "self.action_statistics(None), self.norm",
            "the_unnorm_key_selects_the_statistics_of_actions",
        ),
        (
            "padding-behind-actions-is-an-action",
            "(self.tokenizer.eos_token_id, self.tokenizer.pad_token_id)",
            "(self.tokenizer.eos_token_id,)",
            "padding_behind_the_last_action_is_left_out_where_it_is_no_end_token",
        ),
    ),
    *planted(
        "processing/cogvla/processing_cogvla.py",
        COGVLA,
        (
            "cogvla-instructions-keep-capitals",
            "self.instruction_of(t.text).lower() if",
            "self.instruction_of(t.text) if",
            "the_prompt_is_the_published_one_in_lower_case",
        ),
    ),
    *planted(
        "processing/cogvla/prompt_turns.py",
        CHAT_TURNS,
        (
            "unanswered-turns-without-end",
            'pieces[-1] += f"  {end}"',
            "pass",
            "openvlas_conversation_is_that_of_its_prompt_builder",
        ),
    ),
    *planted(
        "processing/loading_words.py",
        LOADING_PROCESSORS,
        (
            "words-of-models-are-nobodys",
            "of_loaders = OF_LOADING | OF_MODELS | ",
            "of_loaders = OF_LOADING | ",
            "words_of_loaders_tokenizers_and_parts_pass",
        ),
        (
            "misspelt-loading-words-pass",
            'check_arguments(f"{kind.__name__}',
            '(lambda *_: None)(f"{kind.__name__}',
            "a_word_that_nobody_reads_is_refused_with_what_may_be_meant",
        ),
        (
            "words-of-base-classes-pass-unread",
            "set(inspect.signature(kind.__init__).parameters)",
            "{name for one in kind.__mro__ for name in inspect.signature(one.__init__).parameters}",
            "a_word_of_another_family_is_refused_and_its_own_read",
        ),
    ),
    *planted(
        "processing/image_processors.py",
        LOADING_PROCESSORS,
        (
            "words-of-other-image-processors-pass-unread",
            "            if name in OF_IMAGES.difference(cls.arguments):\n",
            "            if False:\n",
            "an_image_processor_on_its_own_refuses_the_words_of_others",
        ),
        (
            "image-processors-are-constructed-with-anything",
            "check_arguments(type(self).__name__, kwargs, (*self.arguments, *OF_FILES))",
            "pass",
            "an_image_processor_on_its_own_refuses_the_words_of_others",
        ),
    ),
    *planted(
        "processing/advantage_prompt.py",
        ADVANTAGE_PROMPT,
        (
            "advantage-lists-shorter-than-batch",
            "if len(words) != batch_size:",
            "if len(words) > batch_size:",
            "what_is_no_word_is_refused",
        ),
    ),
    *planted(
        "processing/chat_turns.py",
        CHAT_TURNS,
        (
            "fewer-histories-than-samples",
            "if len(lists) != batch_size:",
            "if len(lists) > batch_size:",
            "histories_are_as_many_as_the_samples",
        ),
        (
            "begin-tokens-of-a-template-are-a-frame",
            'head = head.removeprefix(getattr(tokenizer, "bos_token", None) or "")',
            "pass",
            "a_prompt_of_the_chat_template_is_not_written_twice_where_the_tokenizer_writes_the_begin_token",
        ),
        (
            "parts-of-messages-with-spaces",
            'content = "".join(text_of(part)',
            'content = " ".join(text_of(part)',
            "turns_and_pieces",
        ),
    ),
    *planted(
        "processing/portable_processor.py",
        PORTABLE_TOKENIZERS,
        (
            "tokenizers-lose-additional-tokens",
            'config["additional_special_tokens"] = config.pop("extra_special_tokens")',
            'config.pop("extra_special_tokens")',
            "a_tokenizers_settings_are_those_that_both_lines_read",
        ),
        (
            "named-tokens-are-not-attributes-on-4.57",
            'config["extra_special_tokens"] = named',
            "pass",
            "a_tokenizers_settings_are_those_that_both_lines_read",
        ),
        (
            "processors-of-other-classes-are-read",
            "if {found, by_auto}.isdisjoint(",
            "if False and {found, by_auto}.isdisjoint(",
            "tests/modeling/test_beginners_mistakes_in_loading.py::test_a_processor_of_another_family_is_named",
        ),
        (
            "templates-of-an-earlier-processor-stay",
            "                path.unlink()",
            "                pass",
            "tests/processing/test_loading_processors.py::test_tokens_and_templates_of_an_earlier_processor_do_not_outlive_the_next",
        ),
        (
            "views-named-in-any-number",
            "checked_view_names(view_names, image_processor.num_images_in_input)",
            "checked_view_names(view_names, None)",
            "tests/processing/test_views.py::test_a_processor_has_as_many_names_as_views",
        ),
    ),
    *planted(
        "processing/multimodal_vla/chat_prompts.py",
        VLM_PROCESSORS,
        (
            "chat-templates-see-one-image",
            '[{"type": "image"}] * num_images +',
            '[{"type": "image"}] +',
            "the_prompt_is_that_of_the_chat_template_for_any_number_of_images",
        ),
    ),
    *planted(
        "processing/multimodal_vla/prepared_by_vlm.py",
        "tests/processing/multimodal_vla/test_vlm_processors.py",
        (
            "begin-tokens-twice",
            '"add_special_tokens": not starts,',
            '"add_special_tokens": True,',
            "a_begin_token_that_the_template_writes_is_not_added_once_more",
        ),
    ),
    *planted(
        "processing/multimodal_vla/pixtral_prompts.py",
        "tests/processing/multimodal_vla/test_vlm_processors.py",
        (
            "breaks-behind-the-last-row",
            ".removesuffix(self.image_break_token)",
            "",
            "pixtral_is_prepared_as_published_where_torchvision_is_missing",
        ),
    ),
    *planted(
        "processing/multimodal_vla/processor_defaults.py",
        "tests/processing/multimodal_vla/test_processing_multimodal_vla.py",
        (
            "class-token-for-siglip",
            "(tower_type(vlm.vision_config) in WITH_CLASS_TOKEN)",
            "True",
            "llava_gets_its_published_prompt_and_as_many_tokens_as_its_tower_gives",
        ),
    ),
    *planted(
        "processing/cogvla/processing_cogvla.py",
        "tests/processing/cogvla/test_processing_cogvla.py",
        (
            "another-prompt-is-set-and-lost",
            "        if value != PROMPT:\n",
            "        if False:\n",
            "a_prompt_that_would_not_be_saved_cannot_be_set",
        ),
    ),
    *planted(
        "processing/mapanything_llava3d/spatial_action_bins.py",
        "tests/processing/mapanything_llava3d/test_spatial_action_tokenizer.py",
        (
            "a-distribution-without-a-deviation",
            '{"mu", "sigma"} <= set(fitted)',
            '{"mu"} <= set(fitted)',
            "a_setting_that_cannot_be_is_named",
        ),
        (
            "one-rising-step-makes-bins",
            "not (np.diff(edges) >= 0).all() or",
            "not (np.diff(edges) >= 0).any() or",
            "a_setting_that_cannot_be_is_named",
        ),
    ),
    *planted(
        "processing/mapanything_llava3d/processing_mapanything_llava3d.py",
        "tests/processing/mapanything_llava3d/test_processing_mapanything_llava3d.py",
        (
            "one-action-token-for-all",
            "            add_action_tokens(tokenizer, tokens.vocab_size)",
            "            add_action_tokens(tokenizer, 1)",
            "actions_to_train_on_follow_the_text",
        ),
        (
            "one-embodiment-for-a-batch",
            'whole_numbers("embodiment_id", embodiment_id, len(samples))',
            'whole_numbers("embodiment_id", embodiment_id, 1)',
            "an_embodiment_is_one_for_all_samples_or_one_for_each",
        ),
    ),
    *planted(
        "processing/mapanything_llava3d/image_processing_mapanything_llava3d.py",
        "tests/processing/mapanything_llava3d/test_image_processing_mapanything_llava3d.py",
        (
            "one-patch-is-none",
            "if pixels < patch_size:",
            "if pixels <= patch_size:",
            "the_number_of_image_tokens_is_the_number_of_whole_patches",
        ),
    ),
    *planted(
        "processing/cogvla/processing_cogvla.py",
        "tests/processing/cogvla/test_processing_cogvla.py",
        (
            "a-calls-resize-is-ignored",
            '"image_resize": image_resize}',
            '"image_resize": None}',
            "how_images_are_resized_can_be_asked_for_in_a_call",
        ),
    ),
    *planted(
        "processing/cogvla/image_processing_cogvla.py",
        "tests/processing/cogvla/test_image_processing_cogvla.py",
        (
            "a-whole-image-is-no-crop",
            "not 0 < crop_area <= 1",
            "not 0 < crop_area < 1",
            "a_crop_keeps_its_share_of_the_area",
        ),
        (
            "the-published-file-wins",
            "{**read, **overrides}",
            "{**overrides, **read}",
            "a_published_config_is_read_with_its_sizes_and_statistics",
        ),
        (
            "every-crop-keeps-nine-tenths",
            "crop_to_area(image, self.crop_area)",
            "crop_to_area(image)",
            "a_crop_keeps_its_share_of_the_area",
        ),
        (
            "sizes-of-any-number-of-sides",
            "if len(sides) != 1 or any(len(size) != 2 for size in heights_widths)",
            "if len(sides) != 1",
            "a_constructor_argument_of_the_wrong_form_is_named",
        ),
        (
            "truth-values-are-numbers-of-images",
            "isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))",
            "isinstance(value, (int, float)) and bool(np.isfinite(value))",
            "a_constructor_argument_of_the_wrong_form_is_named",
        ),
    ),
    *planted(
        "processing/cogvla/image_ops.py",
        "tests/processing/cogvla/test_image_ops_cogvla.py",
        (
            "a-kernel-that-shrinks-when-enlarging",
            "kernel_scale = max(inverse_scale, one)",
            "kernel_scale = inverse_scale",
            "enlarging_reads_as_many_pixels_as_the_kernel_of_pil",
        ),
    ),
    *planted(
        "processing/chat_turns.py",
        "tests/processing/test_chat_turns.py",
        (
            "turns-with-anything-beside",
            'set(turn) != {"role", "content"}',
            'not {"role", "content"} <= set(turn)',
            "what_is_no_turn_is_refused",
        ),
        (
            "pictures-with-a-text-are-text",
            'part.get("type") != "text" or not',
            "not",
            "what_is_no_turn_is_refused",
        ),
        (
            "texts-that-are-numbers",
            ' or not isinstance(part.get("text"), str):',
            ":",
            "what_is_no_turn_is_refused",
        ),
    ),
    *planted(
        "processing/chat_turns.py",
        "tests/processing/test_chat_turns.py",
        (
            "a-frame-by-its-head-alone",
            "if before.startswith(head) and behind.endswith(tail)",
            "if before.startswith(head)",
            "a_prompt_that_shares_one_end_with_the_template_stays_as_it_is",
        ),
        (
            "a-frame-by-its-tail-alone",
            "if before.startswith(head) and behind.endswith(tail)",
            "if behind.endswith(tail)",
            "a_prompt_that_shares_one_end_with_the_template_stays_as_it_is",
        ),
    ),
    *planted(
        "processing/robot_processor.py",
        "tests/processing/test_robot_processor.py",
        (
            "states-of-no-size",
            '            check_positive("state_dim", state_dim)\n',
            "            pass\n",
            "sizes_and_kinds_of_tensors_that_there_are_not_are_refused",
        ),
        (
            "a-processor-shares-its-statistics",
            "copy.deepcopy(norm_stats or {})",
            "norm_stats or {}",
            "a_processor_keeps_the_statistics_that_it_was_given",
        ),
        (
            "any-kind-of-tensors",
            "        check_return_tensors(return_tensors)\n",
            "",
            "sizes_and_kinds_of_tensors_that_there_are_not_are_refused",
        ),
        (
            "fewer-keys-than-samples",
            "if len(unnorm_key) != batch_size",
            "if len(unnorm_key) > batch_size",
            "keys_are_as_many_as_the_samples_and_a_far_state_is_warned_of_for_each",
        ),
        (
            "far-states-of-several-datasets-pass",
            "        for key, row, own in zip(unnorm_key, rows, statistics, strict=True):\n"
            "            self.warn_of(far_values(row[None].numpy(), own), key)\n",
            "",
            "keys_are_as_many_as_the_samples_and_a_far_state_is_warned_of_for_each",
        ),
        (
            "a-far-state-of-another-dataset-is-known",
            "(unnorm_key, value.dimension) not in self.warned_of",
            "(None, value.dimension) not in self.warned_of",
            "keys_are_as_many_as_the_samples_and_a_far_state_is_warned_of_for_each",
        ),
    ),
    *planted(
        "processing/robot_processor.py",
        "tests/processing/test_robot_processor.py",
        (
            "numbers-that-are-not-finite-are-saved",
            '        check_finite(self.norm_stats, "norm_stats")\n',
            "",
            "statistics_that_were_put_into_a_processor_are_saved_as_numbers_or_refused",
        ),
    ),
    *planted(
        "processing/image_reader.py",
        "tests/processing/test_image_reader.py",
        (
            "256-grey-levels-and-one",
            "least >= 0 and most <= 255",
            "least >= 0 and most <= 256",
            "values_that_are_no_8_bits_are_refused_with_mode_and_range",
        ),
        (
            "what-is-missing-is-a-pointer",
            '    if not os.path.isfile(path):\n        return False\n    with open(path, "rb") as file:',
            '    if not os.path.isfile(path):\n        return True\n    with open(path, "rb") as file:',
            "what_is_no_image_file_is_refused_by_its_path",
        ),
    ),
    *planted(
        "processing/image_processing_alpamayo_r1.py",
        "tests/processing/test_image_processing_alpamayo_r1.py",
        (
            "means-that-are-no-numbers",
            " or not np.isfinite(values).all()",
            "",
            "settings_that_cannot_work_are_refused_by_name",
        ),
        (
            "channels-behind-win",
            "    if shape[-3] == 3:",
            "    if shape[-1] != 3:",
            "three_channels_in_front_are_channels_whatever_is_behind",
        ),
        (
            "frames-of-any-size",
            "    check_size(images.shape[-2], images.shape[-3], where)\n",
            "",
            "an_image_of_more_pixels_than_are_read_is_refused",
        ),
    ),
    *planted(
        "processing/image_processors.py",
        "tests/processing/mapanything_llava3d/test_image_processing_mapanything_llava3d.py",
        (
            "sizes-with-anything-beside",
            'set(size) != {"height", "width"}',
            'not {"height", "width"} <= set(size)',
            "an_image_setting_of_the_wrong_form_is_named",
        ),
        (
            "an-image-on-its-side-is-as-large",
            "if image.shape[:2] != (height, width)",
            "if image.shape[:2] != (width, height)",
            "an_image_on_its_side_is_resized",
        ),
    ),
    *planted(
        "processing/prompts.py",
        "tests/processing/test_instructions.py",
        (
            "what-is-not-known-is-a-token",
            " - {tokenizer.unk_token_id}\n    template",
            "\n    template",
            "a_slow_tokenizer_takes_what_it_does_not_know_and_what_is_kept_and_refuses_other_tokens",
        ),
        (
            "kept-tokens-are-refused",
            " - {added.get(token) for token in kept}",
            "",
            "a_slow_tokenizer_takes_what_it_does_not_know_and_what_is_kept_and_refuses_other_tokens",
        ),
        (
            "slow-tokenizers-do-without",
            "    if not tokenizer.is_fast:",
            "    if False:",
            "a_slow_tokenizer_takes_what_it_does_not_know_and_what_is_kept_and_refuses_other_tokens",
        ),
    ),
    *planted(
        "processing/mapanything_llava3d/processing_mapanything_llava3d.py",
        "tests/processing/test_chat_turns.py",
        (
            "images-of-an-earlier-turn-are-forgotten",
            "if not any(self.image_token in text for text in (*texts, before, behind))",
            "if not any(self.image_token in text for text in (instruction, before, behind))",
            "llava3ds_images_stand_before_the_last_text_unless_a_text_has_their_place",
        ),
        (
            "images-of-a-template-are-forgotten",
            "if not any(self.image_token in text for text in (*texts, before, behind))",
            "if not any(self.image_token in text for text in texts)",
            "llava3ds_images_stand_before_the_last_text_unless_a_text_has_their_place",
        ),
    ),
]
