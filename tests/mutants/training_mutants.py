"""What is learnt, from what, and what is said about it."""

from .planted import planted

ACTION_CHUNKS = "tests/training/test_action_chunks.py"
ACTION_ERRORS = "tests/training/test_action_errors.py"
ANSWERS = "tests/training/test_answers.py"
AUGMENTATION = "tests/training/test_augmentation.py"
BEGINNERS_MISTAKES_IN_TRAINING = "tests/training/test_beginners_mistakes_in_training.py"
COLLATORS = "tests/training/test_collators.py"
HEALTH = "tests/training/test_health.py"
LORA_CONFIG = "tests/training/test_lora_config.py"
SAMPLE_WEIGHTS = "tests/training/test_sample_weights.py"
TRAINER = "tests/training/test_trainer.py"
TRAINING_STAGES = "tests/training/test_training_stages.py"
FINETUNE = "tests/training/test_finetune.py"
STATISTICS = "tests/training/test_statistics.py"
DRIVING_SCENES = "tests/training/alpamayo_r1/test_driving_scenes.py"
LEROBOT = "tests/training/test_lerobot.py"
MEMORY_ESTIMATE = "tests/training/test_memory_estimate.py"
SHARDING = "tests/training/test_sharding.py"
SERVING = "tests/properties/test_serving.py"
ADAPTER_CARD = "tests/training/test_adapter_card.py"
PUBLISHED_STAGES = "tests/training/alpamayo_r1/test_published_stages.py"
RUN_DESCRIPTION = "tests/training/test_run_description.py"
INTERRUPTION = "tests/training/test_interruption.py"
HUB_DATASET = "tests/hub/test_dataset.py"
QUANTIZATION = "tests/training/test_quantization.py"

MUTANTS = [
    *planted(
        "training/collator_robot.py",
        COLLATORS,
        (
            "errors-of-padding-alone",
            "[~is_pad]",
            "[is_pad]",
            "errors_are_the_distances_of_actions_that_are_no_padding",
        ),
        (
            "errors-have-signs",
            "actions).abs()[~",
            "actions)[~",
            "errors_are_the_distances_of_actions_that_are_no_padding",
        ),
    ),
    *planted(
        "training/collator_entries.py",
        "tests/training/test_collator_entries.py",
        (
            "entries-of-another-form-are-taken",
            "if tuple(row.shape) != shape:",
            "if row.numel() != np.prod(shape):",
            "an_entry_that_cannot_be_is_named_with_its_place",
        ),
        (
            "advantages-only-where-every-example-has-one",
            "if any(word is not None for word in words)",
            "if all(word is not None for word in words)",
            "what_only_some_examples_have_is_filled_in_where_that_is_possible",
        ),
        (
            "marks-that-are-no-truth-values",
            "value.shape != (size,) or not np.isin(value, (0, 1)).all()",
            "value.shape != (size,)",
            "an_entry_that_cannot_be_is_named_with_its_place",
        ),
    ),
    *planted(
        "training/pushed_checkpoints.py",
        "tests/training/test_pushed_checkpoints.py",
        (
            "a-push-amid-a-training-has-no-code",
            'TAKEN = ("*.py", BASE_WEIGHTS,',
            "TAKEN = (BASE_WEIGHTS,",
            "a_push_amid_a_training_holds_what_the_last_one_does",
        ),
        (
            "a-push-amid-a-training-replaces-an-edited-card",
            "(not own.is_file() or is_unedited(",
            "(True or is_unedited(",
            "nothing_changes_under_a_push_that_is_under_way_and_an_edited_card_stays",
        ),
    ),
    *planted(
        "training/unsaved_tokens.py",
        "tests/training/test_pushed_checkpoints.py",
        (
            "a-token-is-pickled",
            "return type(None), ()",
            "return str, (str(self),)",
            "a_token_is_pushed_with_and_not_pushed",
        ),
        (
            "copied-arguments-lose-their-token",
            "    def __deepcopy__(",
            "    def deep_copy(",
            "a_token_is_pushed_with_and_not_pushed",
        ),
    ),
    *planted(
        "training/trainer.py",
        "tests/training/test_pushed_checkpoints.py",
        (
            "a-trainer-writes-its-token",
            "        with tokens_unsaved(self.args):\n            super()._save(",
            "        if True:\n            super()._save(",
            "a_token_is_pushed_with_and_not_pushed",
        ),
        (
            "files-change-under-a-push",
            "        if is_asked and is_free:",
            "        if is_asked:",
            "nothing_changes_under_a_push_that_is_under_way_and_an_edited_card_stays",
        ),
    ),
    *planted(
        "training/adapter_statistics.py",
        "tests/training/test_trainer.py",
        (
            "adapters-without-a-processor-are-in-the-units-of-the-base",
            "        settle_settings(folder, config, is_adapter=True)",
            "        settle_settings(folder, config, is_adapter=False)",
            "an_adapter_that_is_saved_without_a_processor_predicts_by_the_statistics_of_its_collator",
        ),
        (
            "adapters-without-statistics-begin-in-silence",
            "    if not normalises or settings_of(collator) is not None or",
            "    if normalises or settings_of(collator) is not None or",
            "a_collator_that_says_no_statistics_is_told_of_where_no_processor_does",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/trajectory_bins.py",
        "tests/training/alpamayo_r1/test_published_stages.py",
        (
            "futures-beyond-the-bins-are-cut-in-silence",
            "return (tokens < -0.5) | (tokens > self.count - 0.5)",
            "return tokens.isnan()",
            "futures_beyond_what_tokens_say_are_told_of",
        ),
    ),
    *planted(
        "processing/mapanything_llava3d/spatial_action_tokenizer.py",
        "tests/processing/mapanything_llava3d/test_processing_mapanything_llava3d.py",
        (
            "actions-in-robot-units-are-cut-in-silence",
            "    if outside.any():",
            "    if False:",
            "actions_in_robot_units_are_told_of_once_before_their_tokens_are_cut",
        ),
    ),
    *planted(
        "training/lora_config.py",
        "tests/training/test_lora_config.py",
        (
            "layers-of-gpt2-get-no-lora-in-silence",
            "    if names := list(names):",
            "    if names := [*names][:0]:",
            "layers_of_gpt2_are_named_and_what_the_message_says_trains_and_merges_them",
        ),
        (
            "routers-of-transformers-get-a-lora",
            'if type(module).__module__.startswith("transformers.models."):',
            "if False:",
            "a_router_that_returns_more_than_a_product_gets_no_lora",
        ),
        (
            "further-adapters-adapt-what-peft-has-wrapped",
            '    while isinstance(getattr(module, "disable_adapters", None), bool):',
            "    while False:",
            "a_further_adapter_trains_what_the_first_one_does",
        ),
        (
            "an-adapter-learns-what-actions-do-not-reach",
            "    unreached = {id(model.get_parameter(name)) for",
            "    unreached = {id(name) for",
            "text_that_is_learned_too_adapts_the_last_layer_whole",
        ),
    ),
    *planted(
        "training/trainer.py",
        "tests/training/test_answers.py",
        (
            "generate-writes-on-behind-a-taught-answer",
            "        stop_at_the_end_of_answers(base_of(self.model), self.data_collator)\n",
            "",
            "what_ends_an_answer_ends_what_the_trained_model_writes",
        ),
        (
            "what-ends-an-answer-is-lost-with-the-model",
            "            write_generation(card.parent, base_of(self.model).generation_config)\n",
            "",
            "what_ends_an_answer_lies_beside_the_adapter_that_learnt_it",
        ),
    ),
    *planted(
        "training/trainer.py",
        TRAINER,
        (
            "several-gpus-in-one-process-pass",
            "    if args.n_gpu > 1:",
            "    if False:",
            "several_gpus_in_one_process_are_refused_before_anything_is_copied",
        ),
        (
            "nothing-is-looked-at-in-float16",
            "        if self.accelerator.sync_gradients:",
            "        if self.accelerator.sync_gradients and self.accelerator.scaler is None:",
            "losses_that_stay_not_finite_end_a_training_in_float16",
        ),
        (
            "weight-decay-ignored-with-groups",
            "self.optimizer = optimizer(groups, weight_decay=amount, **options)",
            "self.optimizer = optimizer(self.groups, **options)",
            "groups_decay_what_the_trainer_decays",
        ),
        (
            "groups-all-at-the-full-rate",
            ' * group.get("lr_scale", 1.0)',
            "",
            "a_group_without_a_learning_rate_has_its_share_of_the_arguments_rate",
        ),
        (
            "a-groups-own-rate-is-ignored",
            '{"lr": rate * group.get("lr_scale", 1.0), **group}',
            '{**group, "lr": rate * group.get("lr_scale", 1.0)}',
            "a_group_without_a_learning_rate_has_its_share_of_the_arguments_rate",
        ),
        (
            "times-from-the-trainings-numbers",
            "with own_randomness(seed, self.args.device):",
            "if True:",
            "what_is_drawn_for_a_step_is_of_the_step_and_its_process",
            "tests/training/test_finetune.py::test_a_killed_run_resumes_to_the_same_weights",
        ),
        (
            "every-process-draws-the-same-times",
            "seed_of(self.args.seed, self.args.process_index, self.state.global_step)",
            "seed_of(self.args.seed, self.state.global_step)",
            "what_is_drawn_for_a_step_is_of_the_step_and_its_process",
        ),
        (
            "every-step-draws-the-same-times",
            "self.args.process_index, self.state.global_step)\n        with own",
            "self.args.process_index)\n        with own",
            "what_is_drawn_for_a_step_is_of_the_step_and_its_process",
        ),
        (
            "figures-after-the-reporters",
            "self.callback_handler.callbacks[:0] = [HealthCallback",
            "self.callback_handler.callbacks += [HealthCallback",
            "reporters_see_the_figures_of_health",
        ),
        (
            "evaluation-augments",
            "self.data_collator = without_augmentation(collator)",
            "pass",
            "evaluation_and_predictions_change_no_image",
        ),
        (
            "evaluation-draws-from-the-trainings-numbers",
            "with own_randomness(self.args.seed + self.args.process_index, self.args.device):",
            "if True:",
            "evaluation_has_a_loss_repeats_itself_and_leaves_training_as_it_is",
        ),
        (
            "predictions-are-of-augmented-images",
            "        with self.unchanged_images():\n            return super().get_test_dataloader(*args, **kwargs)",
            "        return super().get_test_dataloader(*args, **kwargs)",
            "evaluation_and_predictions_change_no_image",
        ),
        (
            "an-adapter-inside-of-a-model-trains",
            "        check_adapter(self.model)\n",
            "",
            "an_adapter_that_is_no_model_of_pefts_is_refused_before_it_trains",
        ),
        (
            "weights-of-losses-are-ignored",
            "if self.loss_weights is None:",
            "if True:",
            "weights_of_a_loss_weigh_its_parts",
        ),
        (
            "weights-that-are-not-finite-are-written",
            '        check_finite_weights(self.model, f"after step {self.state.global_step}")\n',
            "",
            "weights_that_are_not_finite_are_never_written",
        ),
        (
            "the-last-checkpoint-by-its-letters",
            'key=lambda path: int(path.name.split("-")[-1])',
            "key=lambda path: path.name",
            "the_last_checkpoint_is_the_whole_one_of_the_largest_step",
        ),
        (
            "label-smoothing-passes",
            "    if args.label_smoothing_factor:",
            "    if False:",
            "arguments_that_do_not_fit_are_refused_by_name",
        ),
    ),
    *planted(
        "training/health.py",
        HEALTH,
        (
            "figures-count-evaluation",
            "if not module.training or getattr(output",
            "if getattr(output",
            "figures_are_those_of_passes_by_hand_and_evaluation_does_not_count",
        ),
        (
            "a-norm-that-is-squared",
            "                mean = math.sqrt(mean)\n",
            "                pass\n",
            "figures_are_those_of_passes_by_hand_and_evaluation_does_not_count",
        ),
        (
            "figures-are-never-reset",
            "        self.sums.clear()\n        self.counts.clear()\n        self.steps = 0\n        return figures",
            "        return figures",
            "figures_are_those_of_passes_by_hand_and_evaluation_does_not_count",
        ),
        (
            "the-largest-gradient-of-all-time",
            "self.seconds, self.steps, self.largest = 0.0, 0, None\n",
            "self.seconds, self.steps = 0.0, 0\n",
            "tests/training/test_trainer.py::test_a_step_that_is_not_finite_is_skipped_and_counted",
        ),
    ),
    *planted(
        "training/finite_guard.py",
        TRAINER,
        (
            "skipped-steps-in-all-count-in-a-row",
            "            self.in_a_row, self.taken = 0, self.taken + 1",
            "            self.taken = self.taken + 1",
            "a_step_that_is_not_finite_is_skipped_and_counted",
            "skipped_steps_count_as_a_row_only_one_behind_the_other",
        ),
        (
            "gradients-that-are-not-finite-are-taken",
            "                parameter.grad = None",
            "                pass",
            "a_step_that_is_not_finite_is_skipped_and_counted",
        ),
        (
            "only-the-loss-is-looked-at",
            "**({} if is_scaled else gradients)})",
            "})",
            "a_step_that_is_not_finite_is_skipped_and_counted",
            "gradients_that_stay_not_finite_end_the_training_with_step_and_parameters",
        ),
        (
            "losses-that-are-not-finite-are-learnt-from-in-float16",
            "gradient.fill_(torch.inf)",
            "pass",
            "a_loss_that_is_not_finite_is_not_learnt_from_in_float16_either",
        ),
        (
            "steps-of-a-scaler-count-as-taken",
            "if scale >= self.scale:",
            "if True:",
            "steps_in_which_the_scaler_of_float16_looks_for_its_scale_are_counted",
            "a_training_in_float16_that_takes_no_step_ends_with_an_error",
        ),
    ),
    *planted(
        "training/action_chunks.py",
        ACTION_CHUNKS,
        (
            "chunks-go-into-the-next-episode",
            'self.ends[np.searchsorted(self.ends, index, side="right")])',
            "len(self))",
            "chunks_are_those_of_a_loop",
        ),
        (
            "the-last-row-belongs-to-the-next-episode",
            'np.searchsorted(self.ends, index, side="right")',
            'np.searchsorted(self.ends, index, side="left")',
            "chunks_are_those_of_a_loop",
        ),
        (
            "one-more-step-is-padding",
            "np.arange(self.num_action_chunks) >= self.stop(index) - index",
            "np.arange(self.num_action_chunks) >= self.stop(index) - index - 1",
            "chunks_are_those_of_a_loop",
        ),
        (
            "chunks-are-padded-with-zeros",
            'mode="edge")',
            'mode="constant")',
            "chunks_are_those_of_a_loop",
        ),
        (
            "columns-of-a-state-in-the-order-of-letters",
            "self.state = column_names(state) if state else []",
            "self.state = sorted(column_names(state)) if state else []",
            "several_columns_are_one_vector_in_the_order_they_are_named",
        ),
        (
            "gaps-in-an-episode-pass",
            "            check_times(frames, self.ends, column)\n",
            "            pass\n",
            "rows_out_of_order_and_gaps_are_refused_by_time",
        ),
    ),
    *planted(
        "training/action_errors.py",
        ACTION_ERRORS,
        (
            "padding-counts-in-the-mean",
            "mae = absolute.sum(axis=0) / count.sum()",
            "mae = absolute.sum(axis=0) / is_pad.size",
            "errors_are_those_of_a_loop_over_all_steps_that_are_no_padding",
        ),
        (
            "deviation-of-padding-too",
            "recorded[real].astype(np.float64).std(axis=0)",
            "recorded.astype(np.float64).std(axis=(0, 1))",
            "errors_are_those_of_a_loop_over_all_steps_that_are_no_padding",
            "what_padding_holds_does_not_matter_and_nothing_else_is_no_answer",
        ),
        (
            "a-chunk-is-followed-one-step-too-long",
            "chosen = ~is_pad & (steps < until_next[:, None])",
            "chosen = ~is_pad & (steps <= until_next[:, None])",
            "a_robot_follows_a_chunk_until_the_next_one_is_there",
        ),
        (
            "a-gap-is-followed",
            "(np.diff(self.episode) == 0) & (np.diff(self.frame) == 1)",
            "(np.diff(self.episode) == 0)",
            "a_robot_follows_a_chunk_until_the_next_one_is_there",
        ),
    ),
    *planted(
        "integrations/lerobot_policy_vlahub/lerobot_policy_vlahub/first_actions.py",
        "tests/test_lerobot_plugin.py",
        (
            "lerobot-looks-on-after-the-first-examples",
            "rows, self.seen = np.concatenate(self.seen), None",
            "rows, self.seen = np.concatenate(self.seen), []",
            "a_training_begins_with_actions_of_its_statistics_or_ends",
        ),
        (
            "lerobot-looks-at-what-fills-a-chunk",
            'example.get("action_is_pad", [False]',
            'example.get("is_pad", [False]',
            "what_fills_a_chunk_is_not_looked_at",
        ),
    ),
    *planted(
        "training/action_units.py",
        "tests/training/test_reach_of_heads.py",
        (
            "bounded-heads-learn-what-they-do-not-reach",
            "np.flatnonzero(~masked & (outside > 1 - LEAST_REACHED))",
            "np.flatnonzero(masked & (outside > 1 - LEAST_REACHED))",
            "a_bounded_head_is_not_trained_on_deviations_nor_on_a_gripper_that_goes_further",
        ),
        (
            "bounded-heads-learn-deviations",
            'if config.normalization_type == "normal":',
            "if False:",
            "a_bounded_head_is_not_trained_on_deviations_nor_on_a_gripper_that_goes_further",
        ),
    ),
    *planted(
        "training/action_units.py",
        BEGINNERS_MISTAKES_IN_TRAINING,
        (
            "masked-dimensions-are-looked-at",
            "np.flatnonzero(masked & (high > low)",
            "np.flatnonzero((high > low)",
            "actions_of_the_statistics_are_not_refused",
        ),
        (
            "parts-of-a-dataset-pass",
            "    elif isinstance(examples, Subset):\n        check_units(examples.dataset, collator)\n",
            "",
            "units_are_looked_at_by_the_statistics_that_normalise_and_in_parts_of_datasets",
        ),
        (
            "standard-scores-of-one-deviation",
            "DEVIATIONS = 4",
            "DEVIATIONS = 0.1",
            "units_are_looked_at_by_the_statistics_that_normalise_and_in_parts_of_datasets",
        ),
    ),
    *planted(
        "training/collator_robot.py",
        COLLATORS,
        (
            "unmasked-actions-are-cut",
            "self.config.normalization_type, clip_unmasked=False)",
            "self.config.normalization_type, clip_unmasked=True)",
            "actions_are_normalised_as_predictions_are_unnormalised",
            "unmasked_actions_are_learnt_as_they_are",
        ),
        (
            "actions-by-one-statistics",
            'statistics = find_statistics(self.config.norm_stats, key)["action"]',
            'statistics = find_statistics(self.config.norm_stats, self.unnorm_keys(examples)[0])["action"]',
            "examples_of_several_datasets_are_each_normalised_by_their_own_statistics",
        ),
        (
            "noise-of-other-rows",
            'batch["noise"] = noise[rows]',
            'batch["noise"] = noise[: len(rows)]',
            "predictions_of_several_datasets_are_those_of_their_rows",
        ),
        (
            "an-examples-own-key-is-ignored",
            'example.get("unnorm_key", self.unnorm_key)',
            "self.unnorm_key",
            "examples_of_several_datasets_are_each_normalised_by_their_own_statistics",
        ),
        (
            "times-beyond-one-pass",
            '        check_range("time", found["time"], 0, 1)\n',
            "        pass\n",
            "draws_are_given_for_all_of_a_batch_or_for_none",
        ),
    ),
    *planted(
        "training/collator_robot.py",
        ANSWERS,
        (
            "answers-without-their-end",
            "answers.append([*ids, *self.end_of_text] if text else [])",
            "answers.append([*ids] if text else [])",
            "labels_are_the_answers_and_the_end_behind_each_prompt",
        ),
    ),
    *planted(
        "training/collator_entries.py",
        SAMPLE_WEIGHTS,
        (
            "weights-below-zero-pass",
            'check_range("sample_weight", found["sample_weight"], 0, float("inf"))',
            "pass",
            "collators_pass_weights_on_and_refuse_what_is_none",
        ),
        (
            "an-embodiment-too-many",
            "ids, 0, count - 1)",
            "ids, 0, count)",
            "tests/training/test_embodiments.py::test_ids_that_there_are_not_are_refused",
        ),
    ),
    *planted(
        "training/collator_answers.py",
        ANSWERS,
        (
            "padding-is-learnt-as-text",
            "is_answer = (place >= ends - lengths.unsqueeze(1)) & (place < ends)",
            "is_answer = place >= ends - lengths.unsqueeze(1)",
            "labels_are_the_answers_and_the_end_behind_each_prompt",
        ),
    ),
    *planted(
        "training/augmentation.py",
        AUGMENTATION,
        (
            "sides-of-the-area",
            "side = math.sqrt(area)",
            "side = area",
            "a_crop_has_its_share_of_the_area_everywhere",
        ),
        (
            "brightness-only-grows",
            "self.brightness * (2 * brightness - 1)",
            "self.brightness * brightness",
            "brightness_adds_the_same_to_every_pixel",
        ),
        (
            "hues-turn-one-way",
            "self.hue * (2 * hue - 1)",
            "self.hue * hue",
            "hue_is_drawn_both_ways_up_to_its_bound",
        ),
        (
            "saturation-by-the-draw-of-contrast",
            "between(self.saturation, saturation)",
            "between(self.saturation, contrast)",
            "each_change_follows_a_draw_of_its_own",
        ),
        (
            "crops-on-the-diagonal",
            "top * (1 - side) * height",
            "left * (1 - side) * height",
            "each_change_follows_a_draw_of_its_own",
        ),
        (
            "saturation-within-the-bounds-of-contrast",
            "between(self.saturation, saturation)",
            "between(self.contrast, saturation)",
            "contrast_and_saturation_scale_distances",
        ),
    ),
    *planted(
        "training/evaluation.py",
        TRAINER,
        (
            "the-last-batch-is-left-out",
            "for first in range(0, len(examples), batch_size):",
            "for first in range(0, len(examples) - batch_size + 1, batch_size):",
            "the_error_of_predictions_is_over_all_examples_however_many_are_asked_at_once",
        ),
    ),
    *planted(
        "training/loss_totals.py",
        TRAINER,
        (
            "a-part-without-a-weight-is-left-out",
            "weights.get(part, 1.0)",
            "weights.get(part, 0.0)",
            "weights_of_a_loss_weigh_its_parts",
        ),
    ),
    *planted(
        "training/lora_config.py",
        LORA_CONFIG,
        (
            "lora-on-a-text-tower-that-does-not-run",
            'NOT_RUN = ("head", "pooler", "text_model")',
            'NOT_RUN = ("head", "pooler")',
            "what_does_not_run_of_a_tower_gets_no_lora",
        ),
        (
            "lora-on-a-pooler-that-does-not-run",
            'NOT_RUN = ("head", "pooler", "text_model")',
            'NOT_RUN = ("head", "text_model")',
            "what_does_not_run_of_a_tower_gets_no_lora",
        ),
    ),
    *planted(
        "training/training_stages.py",
        TRAINING_STAGES,
        (
            "the-first-layers-instead-of-the-last",
            "layers[-backbone_unfreeze_layers:]",
            "layers[:backbone_unfreeze_layers]",
            "a_step_moves_what_the_stage_trains_and_nothing_else",
        ),
        (
            "the-experts-rate-for-the-backbone",
            '"params": backbone, "lr_scale": backbone_lr_scale}',
            '"params": backbone, "lr_scale": expert_lr_scale}',
            "groups_carry_their_learning_rates",
        ),
        (
            "the-vision-rate-for-all-of-a-vlm",
            '{"backbone": (named.keys() - vision, 1.0),',
            '{"backbone": (named.keys() - vision, vision_lr_scale),',
            "the_stage_of_text_trains_what_was_there_before_and_towers_more_slowly",
        ),
    ),
    *planted(
        "training/training_stages.py",
        TRAINER,
        (
            "norms-decay",
            "for is_decaying, value in ((True, amount), (False, 0.0)):",
            "for is_decaying, value in ((True, amount), (False, amount)):",
            "groups_decay_what_the_trainer_decays",
        ),
    ),
    *planted(
        "training/unreached.py",
        TRAINING_STAGES,
        (
            "keys-of-the-last-layer-are-unreached",
            "name.startswith(QUERY_SIDE)}",
            'name.startswith((*QUERY_SIDE, "self_attn.k_proj."))}',
            "what_actions_do_not_reach_of_the_language_model_is_known_beforehand",
        ),
        (
            "experts-that-a-batch-does-not-choose-are-frozen",
            " and of_any_expert(name) not in kinds]",
            "]",
            "experts_that_a_batch_does_not_choose_train_with_those_that_it_does",
        ),
        (
            "experts-of-every-mixture-are-reached-by-those-of-one",
            'r"(?<=\\.experts\\.)(expert_)?\\d+(?=\\.)"',
            'r".*(?<=\\.experts\\.)(expert_)?\\d+(?=\\.)"',
            "experts_that_a_batch_does_not_choose_train_with_those_that_it_does",
        ),
    ),
    *planted(
        "training/open_loop.py",
        ACTION_ERRORS,
        (
            "every-other-frame-of-the-dataset",
            "chosen = np.flatnonzero((frame - first[run]) % stride == 0)",
            "chosen = np.flatnonzero(np.arange(len(rows)) % stride == 0)",
            "samples_are_chosen_by_episode_stride_and_number",
        ),
        (
            "noise-by-frame-alone",
            "np.random.default_rng((seed, *key))",
            "np.random.default_rng((seed, key[1]))",
            "noise_of_a_sample_does_not_depend_on_the_others",
        ),
    ),
    *planted(
        "training/gripper_events.py",
        ACTION_ERRORS,
        (
            "events-of-two-runs-match",
            "np.where(follows, 1, tolerance + 1)",
            "np.where(follows, 1, 1)",
            "switches_of_two_runs_of_frames_are_never_matched",
        ),
        (
            "a-delay-the-other-way-round",
            "second - first for first, second in pairs",
            "first - second for first, second in pairs",
            "directions_delays_thresholds_and_a_gripper_that_never_moves",
        ),
        (
            "precision-of-the-recorded",
            'ratio(totals["matched"], totals["predicted"])',
            'ratio(totals["matched"], totals["recorded"])',
            "gripper_events_are_matched_as_often_as_possible_and_once_each",
        ),
    ),
    *planted(
        "training/episodes.py",
        FINETUNE,
        (
            "the-same-episodes-for-every-seed",
            "np.random.RandomState(seed)",
            "np.random.RandomState(0)",
            "the_share_of_episodes_is_rounded_and_a_seed_chooses_which",
        ),
        (
            "a-share-that-is-cut",
            "min(max(round(share * len(ends)), 1)",
            "min(max(int(share * len(ends)), 1)",
            "the_share_of_episodes_is_rounded_and_a_seed_chooses_which",
        ),
        (
            "a-step-since-the-start-alone",
            "for before in (rows - 1, np.maximum(start, rows - 100)):",
            "for before in (np.maximum(start, rows - 100),):",
            "tests/training/alpamayo_r1/test_driving_scenes.py::test_another_step_than_a_tenth_of_a_second_is_refused",
        ),
        (
            "steps-that-drift",
            "for before in (rows - 1, np.maximum(start, rows - 100)):",
            "for before in (rows - 1,):",
            "tests/training/alpamayo_r1/test_driving_scenes.py::test_another_step_than_a_tenth_of_a_second_is_refused",
        ),
    ),
    *planted(
        "training/dimension_names.py",
        ACTION_ERRORS,
        (
            "names-in-the-order-of-the-file",
            "return sorted(names, key=names.__getitem__)",
            "return list(names)",
            "dimensions_are_called_as_the_dataset_calls_them",
        ),
    ),
    *planted(
        "training/statistics.py",
        STATISTICS,
        (
            "runs-that-begin-with-a-batch",
            "(self.runs == 0 or values[0] != self.last)",
            "1",
            "trajectories_are_runs_of_the_episode_index",
        ),
    ),
    *planted(
        "training/alpamayo_r1/collator_alpamayo_r1.py",
        COLLATORS,
        (
            "rows-of-any-pace",
            "        check_time_step(self.config)\n",
            "",
            DRIVING_SCENES + "::test_a_model_of_another_pace_than_the_rows_of_a_dataset_is_refused",
        ),
        (
            "requests-of-drives-are-not-read",
            '{"text": columns.text, "weight"',
            '{"weight"',
            DRIVING_SCENES
            + "::test_a_training_reads_the_request_that_is_named_and_the_texts_that_are_there_by_themselves",
        ),
        (
            "turned-origins-are-learnt",
            "(rot[:, -1] - torch.eye(3)).abs().amax(dim=(1, 2))",
            "torch.zeros(len(rot))",
            "a_bad_driving_example_is_named",
        ),
    ),
    *planted(
        "training/alpamayo_r1/driving_scenes.py",
        DRIVING_SCENES,
        (
            "scenes-without-all-of-their-frames",
            "before = max(self.num_history, self.num_frames) - 1",
            "before = self.num_history - 1",
            "cameras_come_in_the_order_asked_for_and_frames_may_reach_farther_back_than_poses",
        ),
        (
            "quaternions-as-long-as-they-are",
            "rotations(poses[:, 3:] / length[:, None])",
            "rotations(poses[:, 3:])",
            "quaternions_of_nearly_length_one_are_rotations_all_the_same",
        ),
    ),
    *planted(
        "training/vector_statistics.py",
        STATISTICS,
        (
            "moments-from-zero",
            "self.origin = rows[0].astype(np.float64)",
            "self.origin = np.zeros(self.width)",
            "moments_keep_their_digits_at_a_large_offset",
        ),
    ),
    *planted(
        "training/video_frames.py",
        LEROBOT,
        (
            "frames-however-far-away",
            "if nearest is None or abs(nearest.time - time) > tolerance:",
            "if nearest is None:",
            "no_frame_near_enough_is_refused_with_file_and_both_times",
        ),
    ),
    *planted(
        "training/finetuning/run_data.py",
        FINETUNE,
        (
            "every-run-holds-out-the-same-episodes",
            "hold_out_episodes(frames, options.eval_episodes, arguments.seed)",
            "hold_out_episodes(frames, options.eval_episodes)",
            "the_seed_of_a_run_chooses_the_episodes_that_are_held_out",
        ),
        (
            "goes-on-in-new-units",
            "given = (begun_with, ()) if begun_with else",
            "given = (begun_with, ()) if False else",
            "a_run_goes_on_in_the_units_that_it_began_with",
        ),
        (
            "unread-options-are-taken",
            "    check_read(options, config)\n",
            "",
            "an_unread_option_is_refused_before_the_model_is_loaded",
        ),
    ),
    *planted(
        "training/trainer.py",
        FINETUNE,
        (
            "a-former-run-stays-in-the-repository",
            "            remove() if blocking else",
            "            blocking or",
            "what_a_former_run_left_in_a_repository_goes_with_a_push",
        ),
    ),
    *planted(
        "training/finetuning/run_record.py",
        RUN_DESCRIPTION,
        (
            "examples-in-another-order",
            '    course["train_sampling_strategy"] = order_of(arguments)\n',
            "",
            "a_run_goes_on_in_the_order_of_examples_that_it_was_begun_with_and_says_which",
        ),
        (
            "other-batches-of-accelerate",
            '"split_batches", "even_batches"',
            '"even_batches"',
            "a_run_goes_on_by_the_arguments_that_its_checkpoint_has",
        ),
    ),
    *planted(
        "training/finetuning/finetune.py",
        FINETUNE,
        (
            "what-is-learnt-is-looked-at-by-the-first-step",
            "    check_learnable(config)\n",
            "",
            "a_model_that_would_learn_something_else_is_refused_before_it_is_loaded",
        ),
    ),
    *planted(
        "training/finetuning/arguments.py",
        RUN_DESCRIPTION,
        (
            "options-of-other-kinds-are-taken-from-python",
            "    check_kind(options.train, given_of(options))\n",
            "",
            "an_option_of_another_kind_of_training_is_refused_before_anything_is_read",
        ),
    ),
    *planted(
        "training/finetuning/unread_options.py",
        RUN_DESCRIPTION,
        (
            "answers-without-text",
            "    if not options.learns_text:",
            "    if False:",
            "an_option_that_nothing_reads_is_refused",
        ),
        (
            "states-of-models-without-are-taken",
            'unread | {"state": "this model takes no state"}',
            "unread",
            "an_option_that_nothing_reads_is_refused",
        ),
        (
            "layers-of-every-kind-of-training",
            '    "top_layers": ("B",),\n',
            "",
            "an_option_of_another_kind_of_training_is_refused_before_anything_is_read",
        ),
    ),
    *planted(
        "training/statistics.py",
        STATISTICS,
        (
            "own-statistics-of-any-columns",
            "            check_columns_of(own, *statistics.values(), columns)\n",
            "            pass\n",
            "a_dataset_s_own_statistics_of_other_columns_are_refused",
        ),
        (
            "statistics-of-hub-datasets-stay-unread",
            "folder, dataset = dataset_folder(dataset) or Path(dataset), Path(dataset)",
            "folder, dataset = Path(dataset), Path(dataset)",
            "a_dataset_on_the_hub_has_the_statistics_and_names_that_its_folder_has",
        ),
        (
            "grown-datasets-without-a-word",
            'others = "" if counted in (None, len(frames), total) else',
            'others = "" if True else',
            "it_is_said_that_a_dataset_has_grown_since_its_statistics_were_made",
        ),
        (
            "warned-of-once-for-all-statistics",
            "    processor.warned_of = set()  # by the statistics before\n",
            "",
            "new_statistics_warn_of_far_states_anew",
        ),
    ),
    *planted(
        "training/finetuning/memory.py",
        MEMORY_ESTIMATE,
        (
            "ddp-buckets-are-free",
            "gradients *= 2",
            "gradients *= 1",
            "gradients_are_there_twice_where_devices_share_nothing_else",
        ),
        (
            "states-of-8-bits-are-the-weights",
            '("8bit", 2, 1.0)',
            '("8bit", 2, None)',
            "an_optimisers_states_are_those_of_the_weights_that_train",
        ),
        (
            "lion-has-two-states",
            '    ("lion_8bit", 1, 1.0),\n',
            "",
            "an_optimisers_states_are_those_of_the_weights_that_train",
        ),
        (
            "activations-of-one-example",
            "example_bytes * arguments.per_device_train_batch_size * ",
            "example_bytes * ",
            "activations_are_those_of_each_example_and_half_in_the_place_of_float32",
        ),
    ),
    *planted(
        "training/sharding.py",
        SHARDING,
        (
            "accelerate-rounds-inputs",
            "cast_forward_inputs=False, output_dtype=None",
            "output_dtype=None",
            "what_goes_into_a_model_and_comes_out_is_not_rounded_under_fsdp2",
        ),
        (
            "fsdp1-rounds-inputs",
            "    if not accelerator.is_fsdp2:",
            "    if False:",
            "fsdp1_is_refused_where_it_would_round_what_goes_into_a_model",
        ),
        (
            "sharded-tied-weights-are-written-twice",
            "gathered[names.get(name, name)]",
            "gathered[name]",
            "gathered_weights_that_the_model_ties_are_one_tensor_again",
        ),
    ),
    *planted(
        "training/dataset_columns.py",
        SERVING,
        (
            "several-columns-are-one-view",
            "for column in columns) > 1]",
            "for column in columns) > 2]",
            "two_images_of_one_name_are_an_error",
        ),
        (
            "weights-below-0",
            "np.flatnonzero(weights < 0)",
            "np.flatnonzero(weights < -1)",
            "tests/training/test_sample_weights.py::test_columns_that_are_no_weights_are_refused_before_anything_is_learnt",
        ),
        (
            "columns-are-sorted",
            "for column in columns], axis=1)",
            "for column in sorted(columns)], axis=1)",
            "tests/training/test_dataset_columns.py::test_a_vector_has_its_columns_in_the_order_of_their_names",
        ),
        (
            "vectors-of-the-first-column-twice",
            "len(set(names)) != len(names)",
            "False",
            "tests/training/test_dataset_columns.py::test_a_vector_of_no_column_or_of_one_twice_is_refused",
        ),
    ),
    *planted(
        "training/adapter_card.py",
        ADAPTER_CARD,
        (
            "an-adapters-card-leaks-its-place",
            'name and is_repository(name) and not Path(name).exists() else Path(name or "BASE").name',
            'name else "BASE"',
            "the_trainer_leaves_a_card_that_says_what_the_adapter_is",
        ),
        (
            "a-card-counts-the-names-that-peft-keeps",
            "sum(isinstance(module, BaseTunerLayer) for module in model.modules())",
            "len(targets or ())",
            "the_trainer_leaves_a_card_that_says_what_the_adapter_is",
        ),
    ),
    *planted(
        "training/collators.py",
        PUBLISHED_STAGES,
        (
            "collators-ignore-unknown-options",
            "    if unknown:\n",
            "    if False:\n",
            "what_cannot_be_learnt_is_refused",
        ),
    ),
    *planted(
        "training/lerobot.py",
        LEROBOT,
        (
            "videos-begin-with-their-file",
            "starts[place] + times",
            "times",
            "every_row_has_its_numbers_its_instruction_and_its_picture",
        ),
    ),
    *planted(
        "training/video_checks.py",
        LEROBOT,
        (
            "ntsc-is-thirty",
            "<= 5e-4 * second",
            "<= 1e-3 * second",
            "rates_at_which_a_row_would_come_to_show_its_neighbour_are_not_the_same",
        ),
        (
            "parts-of-videos-may-overlap",
            "video.start < end - tolerance",
            "video.start < end - 1",
            "parts_of_videos_that_do_not_fit_their_episodes_are_refused",
        ),
    ),
    *planted(
        "training/finetuning/overview.py",
        RUN_DESCRIPTION,
        (
            "a-step-of-one-device",
            "arguments.gradient_accumulation_steps * arguments.world_size",
            "arguments.gradient_accumulation_steps",
            "a_step_counts_the_examples_of_all_devices",
        ),
        (
            "epochs-though-steps-are-given",
            "arguments.max_steps if arguments.max_steps > 0 else",
            "arguments.max_steps if arguments.max_steps < 0 else",
            "settings_are_those_that_hold",
        ),
        (
            "precision-of-weights-in-bf16",
            '"bf16" if arguments.bf16 else "fp16" if',
            '"fp16" if',
            "settings_are_those_that_hold",
        ),
        (
            "masks-shown-the-other-way",
            '"normalised" if masked else "passes unchanged"',
            '"passes unchanged" if masked else "normalised"',
            "dimensions_are_shown_with_their_own_names_numbers_and_mask",
        ),
        (
            "names-of-the-actions-columns-for-the-state",
            '"state", data.state or []',
            '"state", options.action',
            "dimensions_are_shown_with_their_own_names_numbers_and_mask",
        ),
        (
            "bytes-by-1024",
            "count, power = count / 1000, power + 1",
            "count, power = count / 1024, power + 1",
            "bytes_are_counted_by_thousands",
        ),
    ),
    *planted(
        "training/finetuning/arguments.py",
        RUN_DESCRIPTION,
        (
            "the-given-loses-to-defaults",
            "{**TRAINING_DEFAULTS, **given}",
            "{**given, **TRAINING_DEFAULTS}",
            "what_is_given_wins_over_the_defaults",
        ),
        (
            "evaluation-of-nothing-passes",
            'if arguments.eval_strategy != "no" and not',
            'if arguments.eval_strategy == "steps" and not',
            "an_evaluation_needs_episodes",
        ),
        (
            "quantise-full-passes",
            'if options.quantize and options.train != "lora":',
            'if options.quantize and options.train == "full":',
            "weights_in_4_bits_are_for_lora_alone",
        ),
        (
            "checkpointing-loses-what-was-asked-for",
            "{**(getattr(arguments, name) or {}), ",
            "{",
            "checkpointing_is_never_reentrant_and_else_as_it_was_asked_for",
        ),
    ),
    *planted(
        "training/precision.py",
        RUN_DESCRIPTION,
        (
            "the-precision-of-the-launch-is-lost",
            "        os.environ[PRECISION] = LAUNCHED_PRECISION\n",
            "        os.environ.pop(PRECISION, None)\n",
            "a_run_computes_in_the_precision_that_it_was_given_whatever_the_one_before_it_had",
        ),
        (
            "precision-of-somebody-else-is-thrown-away",
            'found not in ("no",',
            'found not in (found, "no",',
            "a_precision_that_somebody_else_put_into_the_environment_is_not_thrown_away",
        ),
        (
            "the-precision-of-other-arguments-is-taken",
            "if found != own and not",
            "if False and not",
            "a_trainer_computes_in_the_precision_of_its_arguments",
        ),
    ),
    *planted(
        "training/whole_file.py",
        RUN_DESCRIPTION,
        (
            "a-record-that-a-kill-cuts-off",
            'beside = path.with_name(f".{path.name}.{os.getpid()}.partial")',
            "beside = path",
            "a_run_that_is_killed_while_it_writes_its_records_keeps_those_that_it_had",
        ),
    ),
    *planted(
        "training/finetuning/finetune.py",
        RUN_DESCRIPTION,
        (
            "other-images-without-a-word",
            "if augment and not float(state.epoch).is_integer():",
            "if False:",
            "a_run_that_goes_on_says_where_its_images_change_otherwise",
        ),
    ),
    *planted(
        "training/finetuning/run_card.py",
        RUN_DESCRIPTION,
        (
            "losses-weigh-alike-however-many-steps-they-are-of",
            ", weights=np.diff([0, *losses])",
            "",
            "figures_of_a_run_that_was_gone_on_with_are_of_all_of_its_steps",
        ),
        (
            "times-of-a-part-are-the-runs",
            'if not (resumed and name.startswith("train_"))',
            'if not (resumed and name == "train_loss")',
            "figures_of_a_run_that_was_gone_on_with_are_of_all_of_its_steps",
        ),
    ),
    *planted(
        "training/finetuning/finetune.py",
        FINETUNE,
        (
            "statistics-of-a-replaced-run-stay",
            "(folder / STATISTICS).unlink(missing_ok=True)",
            "pass",
            "tests/training/test_run_description.py::test_statistics_of_a_replaced_run_go_where_the_new_one_has_none",
        ),
        (
            "a-run-is-pushed-without-its-card",
            "trainer.create_model_card = lambda **_: write_card()",
            "pass",
            "what_is_pushed_is_the_folder_with_its_card",
        ),
        (
            "a-run-is-pushed-before-it-has-a-card",
            "trainer.save_model(_internal_call=True)",
            "trainer.save_model()",
            "what_is_pushed_is_the_folder_with_its_card",
        ),
        (
            "a-run-that-was-gone-on-with-counts-as-one-part",
            "resumed=begin is not None",
            "resumed=False",
            "a_killed_run_resumes_to_the_same_weights",
        ),
    ),
    *planted(
        "training/finetuning/trained_parts.py",
        RUN_DESCRIPTION,
        (
            "lora-counts-as-whole",
            '"whole" if self.trained - self.lora == self.parameters - self.lora',
            '"whole" if self.trained == self.parameters - self.lora',
            "how_a_part_trains_in_words",
        ),
        (
            "four-bit-weights-count-once",
            "(2 if type(parameter)",
            "(1 if type(parameter)",
            "parts_are_counted_by_what_trains_of_them",
        ),
        (
            "frozen-copies-are-parts",
            '        if ".original_module." in name:\n            continue\n',
            "",
            "parts_are_counted_by_what_trains_of_them",
        ),
    ),
    *planted(
        "training/finetuning/run_model.py",
        RUN_DESCRIPTION,
        (
            "weights-count-as-activations",
            "if storage.data_ptr() not in own:",
            "if True:",
            "what_a_backward_pass_needs_is_counted_once_and_without_the_weights",
        ),
        (
            "activations-count-each-time",
            "kept[storage.data_ptr()] = storage.nbytes()",
            "kept[len(kept)] = storage.nbytes()",
            "what_a_backward_pass_needs_is_counted_once_and_without_the_weights",
        ),
    ),
    *planted(
        "training/finetuning/run_record.py",
        RUN_DESCRIPTION,
        (
            "other-options-go-on",
            'MAY_CHANGE = {"resume"}',
            'MAY_CHANGE = {"resume", "train", "dataset", "images", "action"}',
            "a_run_goes_on_with_every_option_that_it_was_begun_with",
        ),
        (
            "other-seeds-go-on",
            '"dataloader_drop_last", "seed", "data_seed")',
            '"dataloader_drop_last")',
            "a_run_goes_on_by_the_arguments_that_its_checkpoint_has",
            "tests/conversion/commands/test_train.py::test_an_interrupt_leaves_a_checkpoint_and_resume_goes_on_from_it",
        ),
        (
            "a-run-stays-on-as-many-devices",
            "arguments.gradient_accumulation_steps * arguments.world_size",
            "arguments.gradient_accumulation_steps",
            "how_long_a_run_is_what_it_reports_and_on_how_many_devices_may_change",
        ),
        (
            "an-optimiser-that-begins-anew",
            "    check_optimizer_is_there(last_checkpoint(folder))\n",
            "",
            "a_run_whose_checkpoint_has_weights_alone_does_not_go_on",
            "tests/conversion/commands/test_train.py::test_a_run_that_saved_weights_alone_does_not_go_on",
        ),
    ),
    *planted(
        "training/run_folder.py",
        RUN_DESCRIPTION,
        (
            "an-adapters-config-stays-beside-a-whole-model",
            '("adapter_config.json", "config.json", ',
            '("config.json", ',
            "what_describes_a_run_goes_with_it_and_what_somebody_wrote_stays",
            "tests/training/test_finetune.py::test_a_run_that_is_there_is_not_replaced_unless_it_is_said_so",
        ),
        (
            "a-card-that-was-edited-goes",
            '        if is_unedited(card.read_text(encoding="utf-8")):\n            card.unlink()',
            "        card.unlink()",
            "what_describes_a_run_goes_with_it_and_what_somebody_wrote_stays",
        ),
        (
            "torch-files-are-no-results",
            ', "pytorch_model*.bin")',
            ")",
            "every_result_of_a_run_is_seen_and_goes_when_it_is_replaced",
        ),
        (
            "checkpoints-stay-when-replaced",
            "            shutil.rmtree(path, ignore_errors=True)",
            "            pass",
            "every_result_of_a_run_is_seen_and_goes_when_it_is_replaced",
        ),
    ),
    *planted(
        "training/finetuning/interruption.py",
        INTERRUPTION,
        (
            "interrupt-without-a-checkpoint",
            "control.should_training_stop = control.should_save = True",
            "control.should_training_stop = True",
            "the_first_interrupt_is_for_after_the_step_and_the_second_is_the_processes",
        ),
        (
            "the-second-interrupt-asks-again",
            "        callback.asked = True\n        signal.signal(signal.SIGINT, previous)",
            "        callback.asked = True",
            "the_first_interrupt_is_for_after_the_step_and_the_second_is_the_processes",
        ),
        (
            "several-processes-stop-in-turn",
            "if processes > 1 or ignored or",
            "if ignored or",
            "of_several_processes_each_is_interrupted_as_usual",
        ),
        (
            "the-handler-stays",
            "    try:\n        yield\n    finally:\n        signal.signal(signal.SIGINT, previous)",
            "    yield",
            "an_error_leaves_interrupts_as_they_were",
        ),
    ),
    *planted(
        "training/cogvla/collator_cogvla.py",
        COLLATORS,
        (
            "padding-by-steps-alone",
            "is_pad.repeat_interleave(self.config.action_dim, dim=1)",
            "is_pad.repeat(1, self.config.action_dim)",
            "cogvla_does_not_learn_the_padding_of_a_chunk",
        ),
        (
            "padding-from-the-end",
            "tokens, behind=1)",
            "tokens)",
            "cogvla_does_not_learn_the_padding_of_a_chunk",
        ),
        (
            "continuous-batches-without-padding",
            'return batch | {"actions": actions} | padding | draws',
            'return batch | {"actions": actions} | draws',
            "cogvla_does_not_learn_the_padding_of_a_chunk",
        ),
        (
            "timesteps-are-cut",
            '            if (found["timesteps"] != steps).any():',
            "            if False:",
            "cogvla_diffusion_takes_noise_and_timesteps",
        ),
    ),
    *planted(
        "training/mapanything_llava3d/collator_mapanything_llava3d.py",
        COLLATORS,
        (
            "llava3d-padding-in-the-wrong-order",
            "padding.repeat_interleave(TOKENS_PER_STEP, dim=1)",
            "padding.repeat(1, TOKENS_PER_STEP)",
            "action_tokens_of_padding_are_not_learned",
        ),
        (
            "llava3d-tokens-without-weights",
            'return batch | {"labels": labels} | sample_weights(examples)',
            'return batch | {"labels": labels}',
            "action_tokens_of_padding_are_not_learned",
        ),
    ),
    *planted(
        "training/hub_dataset.py",
        HUB_DATASET,
        (
            "revisions-of-the-info-alone",
            'snapshot_download(name, repo_type="dataset", revision=revision, allow',
            'snapshot_download(name, repo_type="dataset", allow',
            "a_dataset_is_read_by_its_name_and_revision",
        ),
        (
            "videos-are-not-downloaded",
            '"data/*", "videos/*", ',
            '"data/*", ',
            "all_that_a_dataset_is_made_of_is_downloaded_and_nothing_else",
        ),
        (
            "statistics-are-not-downloaded",
            ', "dataset_statistics.json"]',
            "]",
            "all_that_a_dataset_is_made_of_is_downloaded_and_nothing_else",
        ),
    ),
    *planted(
        "training/quantization.py",
        QUANTIZATION,
        (
            "quantisation-without-given-options",
            "{**defaults, **options}",
            "{**options, **defaults}",
            "options_take_the_place_of_defaults_and_the_models_config_stays",
        ),
    ),
    *planted(
        "modeling/model_parts.py",
        QUANTIZATION,
        (
            "output-embeddings-in-4-bits",
            " - {id(model.get_output_embeddings())}",
            "",
            "the_language_models_layers_are_in_4_bits_and_nothing_else",
        ),
    ),
]
