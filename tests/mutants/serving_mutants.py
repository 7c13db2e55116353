"""Whose words a server takes, what it predicts together, and what reaches a policy of LeRobot."""

from .planted import planted

SERVICE = "tests/conversion/serving/test_prediction_service.py"
SERVER = "tests/conversion/serving/test_server.py"
FORMS = "tests/conversion/serving/test_client_forms.py"
DRIVES = "tests/conversion/alpamayo_r1/test_served_driving.py"
LEROBOT = "tests/test_lerobot_plugin.py"
PLUGIN = "integrations/lerobot_policy_vlahub/lerobot_policy_vlahub"

MUTANTS = [
    *planted(
        "conversion/serving/server.py",
        "tests/conversion/serving/test_server_socket.py",
        (
            "a-port-that-there-is-not-is-another",
            "bound.bind((address[0], port, *address[2:]))",
            "bound.bind(address)",
            "an_address_that_there_is_not_is_a_named_error",
        ),
    ),
    *planted(
        "conversion/serving/prediction_service.py",
        SERVICE,
        (
            "defaults-of-the-server-win",
            "given = model.defaults | {name: value for name, value in observation.items() if value is not None}",
            "given = {name: value for name, value in observation.items() if value is not None} | model.defaults",
            "what_a_client_sends_counts_and_the_server_says_the_rest",
        ),
        (
            "far-states-are-not-counted",
            "        self.metrics.add_far(model.name, prepared.far)\n",
            "",
            "states_far_outside_are_counted_for_their_model",
        ),
        (
            "batches-of-any-size-from-graphs",
            " if not is_fast or n & (n - 1) == 0)",
            ")",
            "tests/conversion/serving/test_robot_policy.py::test_the_first_prediction_is_of_every_size_of_batch_that_is_recorded",
        ),
        (
            "two-models-predict-at-the-same-time",
            "            with self.predicting:\n                return policy.predicted(requests)",
            "            return policy.predicted(requests)",
            "tests/conversion/serving/test_clients_that_leave.py::test_two_models_are_not_predicted_at_the_same_time",
        ),
    ),
    *planted(
        "conversion/serving/robot_policy.py",
        SERVICE,
        (
            "far-by-other-statistics",
            'self.processor.far_values(known.get("state"), unnorm_key)',
            'self.processor.far_values(known.get("state"), next(iter(self.config.norm_stats)))',
            "a_state_is_far_outside_of_the_statistics_that_are_asked_for",
        ),
        (
            "task-without-its-statistics",
            "task = instruction, unnorm_key, *(",
            "task = instruction, *(",
            "actions_of_a_session_are_for_one_text_dataset_advantage_and_body",
        ),
        (
            "task-without-advantage",
            'for name in ("advantage", "embodiment_id"))\n        far',
            'for name in ("embodiment_id",))\n        far',
            "actions_of_a_session_are_for_one_text_dataset_advantage_and_body",
        ),
        (
            "seeded-requests-are-merged",
            "group = None if seed is not None or not self.merges else",
            "group = None if not self.merges else",
            "tests/conversion/serving/test_robot_policy.py::test_a_request_with_a_seed_is_predicted_by_itself",
        ),
        (
            "robots-that-a-served-model-does-not-know",
            '        check_embodiments(self.config.num_embodiments, inputs.get("embodiment_id"), batch_size=1)\n',
            "",
            "tests/conversion/serving/test_robot_policy.py::test_a_robot_that_a_model_does_not_know_is_refused_before_it_is_asked",
        ),
        (
            "a-served-model-without-statistics",
            "    if not config.norm_stats:\n",
            "    if False:\n",
            "tests/conversion/serving/test_robot_policy.py::test_a_checkpoint_without_statistics_is_not_served",
        ),
    ),
    *planted(
        "conversion/serving/server_metrics.py",
        SERVICE,
        (
            "bounds-of-histograms-are-exclusive",
            "self.counts[bisect_left(self.bounds, value)] += 1",
            "self.counts[sum(bound <= value for bound in self.bounds)] += 1",
            "a_bucket_holds_what_is_at_most_its_bound",
        ),
    ),
    *planted(
        "conversion/serving/request_gate.py",
        SERVER,
        (
            "metrics-need-no-token",
            'OPEN_PATHS = ("/healthz",)',
            'OPEN_PATHS = ("/healthz", "/metrics")',
            "a_token_is_asked_for_and_a_web_page_of_elsewhere_is_not_answered",
        ),
        (
            "hosts-that-begin-with-localhost",
            'if host == "localhost":',
            'if host.startswith("localhost"):',
            "a_token_is_asked_for_and_a_web_page_of_elsewhere_is_not_answered",
        ),
    ),
    *planted(
        "conversion/serving/action_sessions.py",
        SERVER,
        (
            "sessions-age-from-their-beginning",
            "            finally:\n                session.asked = time.monotonic()",
            "            finally:\n                pass",
            "a_session_that_nobody_asked_for_a_while_begins_anew",
        ),
        (
            "sessions-that-are-asked-are-forgotten",
            "if session.asked < before and not session.turn.locked():",
            "if session.asked < before:",
            "tests/conversion/serving/test_action_sessions.py::test_a_session_is_forgotten_whatever_others_ask_meanwhile",
        ),
        (
            "a-session-hides-those-behind-it",
            "            if session.asked < before and not session.turn.locked():\n                del",
            "            if session.asked >= before or session.turn.locked():\n                return\n            del",
            "tests/conversion/serving/test_action_sessions.py::test_a_session_is_forgotten_whatever_others_ask_meanwhile",
        ),
        (
            "chunks-of-the-last-episode-are-averaged",
            "        self.actions.clear()\n        self.chunks.clear()",
            "        self.actions.clear()",
            "tests/conversion/serving/test_action_sessions.py::test_an_average_is_of_chunks_of_one_episode_and_one_task",
        ),
    ),
    *planted(
        "conversion/serving/client_observations.py",
        FORMS,
        (
            "joints-of-droid-after-its-gripper",
            'DROID_STATE = ("observation/joint_position", "observation/gripper_position")',
            'DROID_STATE = ("observation/gripper_position", "observation/joint_position")',
            "the_keys_of_openpis_clients",
        ),
        (
            "choices-of-mapped-clients-are-dropped",
            "return {**chosen(given), **found,",
            "return {**found,",
            "what_any_client_may_choose_reaches_the_model_whatever_its_form",
        ),
        (
            "choices-of-openpi-are-dropped",
            'return {**choices, "images": views',
            'return {"images": views',
            "what_any_client_may_choose_reaches_the_model_whatever_its_form",
        ),
    ),
    *planted(
        "conversion/serving/observation_map.py",
        "tests/conversion/serving/test_observation_map.py",
        (
            "parts-of-the-state-in-any-order",
            "parts = [value_at(given, key) for key in self.state]",
            "parts = [value_at(given, key) for key in sorted(self.state)]",
            "parts_of_a_mapped_state_are_joined_in_the_order_of_the_map",
        ),
        (
            "mapped-clients-are-heard-by-prompt-alone",
            "others = [name for name in INSTRUCTIONS if name in given]",
            'others = [name for name in ("prompt",) if name in given]',
            "an_instruction_is_heard_under_each_usual_key_unless_a_map_names_another",
        ),
        (
            "an-instruction-by-another-key-is-dropped",
            "if len(others) > (self.instruction is None):",
            "if len(others) > 1:",
            "an_instruction_is_heard_under_each_usual_key_unless_a_map_names_another",
        ),
        (
            "maps-with-unknown-fields",
            'or not set(content) <= set(FIELDS) or "images" not in content',
            'or "images" not in content',
            "an_observation_map_says_which_key_is_what",
        ),
        (
            "maps-need-a-state",
            "state = joined(parts) if parts else None",
            "state = joined(parts)",
            "a_map_may_name_views_as_datasets_do_and_leaves_out_a_state_that_there_is_none_of",
        ),
        (
            "paths-go-before-keys",
            "    if key in given:\n        return given[key]\n",
            "",
            "a_key_that_is_there_as_it_stands_goes_before_a_path_and_parts_of_a_state_are_numbers",
        ),
    ),
    *planted(
        "conversion/serving/action_sessions.py",
        "tests/conversion/serving/test_action_sessions.py",
        (
            "sessions-age-while-they-are-asked",
            "            finally:\n                session.asked = time.monotonic()",
            "            finally:\n                pass",
            "a_session_that_is_asked_again_and_again_goes_on_however_old_it_is",
        ),
        (
            "two-questions-of-a-session-at-one-time",
            "        async with session.turn:\n            if begins",
            "        if True:\n            if begins",
            "questions_of_one_session_at_a_time_get_one_action_each",
        ),
    ),
    *planted(
        "conversion/serving/act_requests.py",
        FORMS,
        (
            "beginnings-are-forgotten",
            "if is_double else form, session, begins)",
            "if is_double else form, session, False)",
            "a_session_and_its_beginning_are_of_the_request_and_not_of_the_observation",
        ),
        (
            "resets-that-are-no-truth-values",
            "not isinstance(begins, bool) or (begins and session is None)",
            "begins and session is None",
            "what_cannot_be_read_is_refused_by_name",
        ),
    ),
    *planted(
        "conversion/serving/client_observations.py",
        FORMS,
        (
            "half-a-state-of-droid",
            "if all(name in rest for name in DROID_STATE):",
            "if any(name in rest for name in DROID_STATE):",
            "what_no_client_of_openpi_sends_is_refused_and_not_guessed",
        ),
        (
            "states-for-models-without-one",
            "state = states[0] if states and policy.state_dim else None",
            "state = states[0] if states else None",
            "a_state_that_openpis_client_sends_is_not_for_a_model_without_one",
        ),
        (
            "a-stack-is-one-image",
            'or getattr(image, "ndim", 3) == 4:',
            "or False:",
            "a_stack_of_images_is_the_frames_of_one_camera",
        ),
    ),
    *planted(
        "conversion/serving/msgpack_values.py",
        FORMS,
        (
            "numbers-of-numpy-lose-their-kind",
            "return np.dtype(dtype).type(number)",
            "return number",
            "arrays_are_those_of_json_numpy_and_of_msgpack_numpy",
        ),
    ),
    *planted(
        "conversion/alpamayo_r1/served_driving.py",
        DRIVES,
        (
            "seeds-of-drives-are-ignored",
            "with seeded(request.seed, self.device):",
            "with seeded(None, self.device):",
            "a_scene_gives_bit_for_bit_what_sample_trajectories_gives",
        ),
        (
            "sampling-of-drives-is-ignored",
            "**inputs, **request.sampling)",
            "**inputs)",
            "a_scene_gives_bit_for_bit_what_sample_trajectories_gives",
        ),
        (
            "any-number-of-trajectories",
            "if name in MOST and not 0 < value <= MOST[name]:",
            "if name in MOST and not 0 < value:",
            "what_is_no_scene_is_refused_by_name",
        ),
    ),
    *planted(
        f"{PLUGIN}/robot_observations.py",
        LEROBOT,
        (
            "lerobot-images-are-cut-down",
            "images.float().mul(255).round().to(torch.uint8)",
            "images.float().mul(255).to(torch.uint8)",
            "what_lies_between_eight_bit_values_becomes_the_nearest",
        ),
        (
            "lerobot-state-of-any-size",
            "if state.ndim != 2 or state.shape[1] != state_dim:",
            "if state.ndim != 2:",
            "a_state_of_another_form_is_refused_and_one_that_fits_stays_as_it_is",
        ),
        (
            "lerobot-instruction-of-the-batch",
            "        return [instruction] * count\n",
            "        pass\n",
            "every_sample_has_a_task_or_the_users_instruction",
        ),
    ),
    *planted(
        f"{PLUGIN}/stage_options.py",
        LEROBOT,
        (
            "lerobot-options-of-another-stage-are-dropped",
            '        if name in given and ("lora" if adapters else config.stage) not in kinds:',
            "        if name in given and adapters:",
            "an_option_of_another_stage_is_refused_as_by_the_command_train",
        ),
        (
            "lerobot-stages-beside-adapters-are-dropped",
            '    if adapters and "stage" in given:',
            '    if adapters and "stage" in fields and not given:',
            "where_adapters_train_no_option_of_a_stage_is_read",
        ),
    ),
    *planted(
        f"{PLUGIN}/checkpoint_folders.py",
        LEROBOT,
        (
            "lerobot-configs-of-another-checkpoint",
            "    if is_other or config.revision",
            "    if config.revision",
            "a_config_may_name_what_is_loaded_and_nothing_else",
        ),
        (
            "lerobot-revisions-of-a-folder-are-dropped",
            "        check_revision(name, revision)\n        return Path(name)",
            "        return Path(name)",
            "a_config_may_name_what_is_loaded_and_nothing_else",
        ),
    ),
    *planted(
        f"{PLUGIN}/robot_features.py",
        LEROBOT,
        (
            "lerobot-views-in-the-order-given",
            "return [given[view] for view in view_names]",
            "return list(given.values())",
            "a_view_is_the_feature_of_its_name_or_the_only_one_that_it_can_be",
        ),
        (
            "lerobot-matched-in-the-order-of-features",
            "return [by_name[view] for view in view_names]",
            "return [key for name, key in by_name.items() if name in view_names]",
            "a_view_is_the_feature_of_its_name_or_the_only_one_that_it_can_be",
        ),
    ),
    *planted(
        "conversion/commands/serve.py",
        "tests/conversion/serving/test_serve_command.py",
        (
            "window-in-seconds",
            "Batching(arguments.batch_window / 1000,",
            "Batching(arguments.batch_window,",
            "every_option_of_requests_batches_and_sessions_reaches_its_own_place",
        ),
        (
            "images-limit-pixels",
            "arguments.max_images, arguments.max_pixels, arguments.timeout",
            "arguments.max_pixels, arguments.max_images, arguments.timeout",
            "every_option_of_requests_batches_and_sessions_reaches_its_own_place",
        ),
        (
            "sessions-live-a-minute",
            "ensemble, timeout=arguments.session_timeout)",
            "ensemble)",
            "every_option_of_requests_batches_and_sessions_reaches_its_own_place",
        ),
    ),
    *planted(
        "conversion/serving/limits.py",
        "tests/conversion/serving/test_client_forms.py",
        (
            "channels-first-turned-over",
            "value.transpose(1, 2, 0)",
            "value.transpose(2, 1, 0)",
            "an_array_may_have_its_channels_first_and_is_the_same_picture",
        ),
        (
            "one-image-too-many",
            "if next(number) > self.images:",
            "if next(number) > self.images + 1:",
            "what_cannot_be_read_is_refused_by_name",
        ),
    ),
    *planted(
        "conversion/serving/act_requests.py",
        "tests/conversion/serving/test_client_forms.py",
        (
            "nulls-are-values",
            "in payload.items() if value is not None}",
            "in payload.items()}",
            "a_field_that_is_null_is_as_one_that_is_not_there",
        ),
        (
            "last-action-for-openvla",
            "return encoded(value[0])",
            "return encoded(value[-1])",
            "the_three_forms_and_the_double_encoding",
        ),
        (
            "plain-answers-without-remarks",
            'return {"actions": value.tolist(), **said}',
            'return {"actions": value.tolist()}',
            "the_three_forms_and_the_double_encoding",
        ),
    ),
    *planted(
        "training/evaluation.py",
        "tests/conversion/serving/test_robot_policy.py",
        (
            "a-seed-is-that-of-all-clients",
            "    return nullcontext() if seed is None else own_randomness(int(seed), device)",
            "    return nullcontext(seed is None or torch.manual_seed(seed))",
            "a_seed_leaves_the_noise_of_other_clients_as_it_would_be",
        ),
    ),
    *planted(
        "conversion/serving/prediction_queue.py",
        "tests/conversion/serving/test_prediction_queue.py",
        (
            "only-the-first-of-a-client-is-refused-at-the-end",
            "left = [waiting for entries in self.clients.values() for waiting in entries]",
            "left = [entries[0] for entries in self.clients.values()]",
            "what_has_no_answer_when_the_time_to_end_is_over_is_refused_and_never_predicted",
        ),
        (
            "windows-that-never-end",
            "return first.since + self.window - time.monotonic()",
            "return self.window",
            "a_request_alone_is_predicted_once_its_window_is_over",
        ),
        (
            "some-errors-end-the-thread",
            "except BaseException as error:",
            "except ValueError as error:",
            "a_request_that_fails_in_any_way_fails_alone",
        ),
        (
            "seeds-are-predicted-together",
            "size = 1 if group is None else max",
            "size = max",
            "what_has_no_group_is_predicted_by_itself_and_what_stands_behind_another_group_waits",
        ),
        (
            "waited-of-the-first-of-a-batch",
            "start - waiting.since, seconds)",
            "start - batch[0].since, seconds)",
            "an_answer_says_how_long_its_own_request_waited_and_its_batch_was_predicted",
        ),
        (
            "a-prediction-that-goes-on-for-ever",
            "            self.is_predicting = False\n            while",
            "            while",
            "only_a_batch_that_has_no_answer_yet_is_a_prediction_that_goes_on",
        ),
    ),
    *planted(
        "conversion/serving/prediction_service.py",
        SERVICE,
        (
            "facts-without-the-words-of-the-server",
            "**self.policy.facts(), **self.defaults}",
            "**self.policy.facts()}",
            "facts_are_those_of_the_policy_with_the_words_that_clients_need_not_send",
        ),
        (
            "the-largest-batch-is-one-less",
            "range(1, self.size + 1)",
            "range(1, self.size)",
            "a_queue_is_as_its_batching_says_and_batches_are_of_sizes_that_are_recorded",
        ),
        (
            "all-clients-are-one",
            "prepared, prepared.group, client)",
            "prepared, prepared.group, model.name)",
            "requests_of_a_group_are_predicted_together_whoever_sends_them_and_counted_as_a_batch",
        ),
        (
            "batches-of-what-is-predicted-by-itself",
            "if model.policy.is_fast and request.group is not None else (1,)",
            "if model.policy.is_fast else (1,)",
            "before_anybody_asks_all_sizes_are_predicted_that_will_be_recorded",
        ),
    ),
    *planted(
        "conversion/serving/server_metrics.py",
        "tests/conversion/serving/test_server_metrics.py",
        (
            "all-requests-were-answered",
            '[(*labels, ("status", str(status)))] += 1',
            '[(*labels, ("status", "200"))] += 1',
            "every_count_stands_under_its_own_labels_and_kind",
        ),
        (
            "seconds-by-bounds-of-sizes",
            "Histogram(SECONDS)).add(seconds)",
            "Histogram(SIZES)).add(seconds)",
            "every_count_stands_under_its_own_labels_and_kind",
        ),
    ),
    *planted(
        "conversion/serving/request_gate.py",
        "tests/conversion/serving/test_request_gate.py",
        (
            "web-pages-of-the-network-are-of-this-machine",
            "ipaddress.ip_address(host).is_loopback",
            "ipaddress.ip_address(host).is_private",
            "a_page_of_elsewhere_may_not",
        ),
        (
            "the-beginning-of-a-token",
            "hmac.compare_digest(token.strip().encode(), self.token.encode())",
            "self.token.startswith(token.strip())",
            "without_the_token_nobody_comes_in_and_is_told_so",
        ),
        (
            "a-model-called-healthz-is-open",
            'scope["type"] == "http" and scope["path"] in OPEN_PATHS',
            'scope["path"] in OPEN_PATHS',
            "whether_a_server_lives_anybody_may_ask_and_what_is_no_request_passes",
        ),
    ),
    *planted(
        "conversion/serving/observed_views.py",
        FORMS,
        (
            "two-images-under-one-name",
            "    if len(by_name) < len(images):",
            "    if False:",
            "images_are_views_by_name_or_by_being_the_only_one_of_their_kind",
        ),
        (
            "wrists-in-capitals-are-main-cameras",
            "if WRIST in name.lower()]",
            "if WRIST in name]",
            "images_are_views_by_name_or_by_being_the_only_one_of_their_kind",
        ),
    ),
    *planted(
        "conversion/serving/limits.py",
        FORMS,
        (
            "arrays-of-any-size",
            "    limits.check_pixels(upright.shape[1], upright.shape[0], where)\n",
            "",
            "an_image_has_three_channels_behind_or_in_front_and_as_many_pixels_as_may_be",
        ),
        (
            "three-columns-are-channels",
            "3 not in (value.shape[0], value.shape[-1])",
            "3 not in value.shape",
            "an_image_has_three_channels_behind_or_in_front_and_as_many_pixels_as_may_be",
        ),
    ),
    *planted(
        "conversion/serving/openpi_websocket.py",
        "tests/conversion/serving/test_openpi_connection.py",
        (
            "seconds-for-milliseconds",
            "(found.waited + found.predicted) * 1000",
            "found.waited + found.predicted",
            "facts_come_first_then_an_answer_for_each_frame_with_its_times",
        ),
        (
            "every-frame-is-another-client",
            'asked.request_id.rsplit("-", 1)[0])',
            "asked.request_id)",
            "facts_come_first_then_an_answer_for_each_frame_with_its_times",
        ),
        (
            "a-map-is-ignored",
            "if by is None else mapped(given, by, counted)",
            "if True else mapped(given, by, counted)",
            "a_map_says_which_key_is_what",
        ),
    ),
    *planted(
        "conversion/serving/http_app.py",
        "tests/conversion/serving/test_http_answers.py",
        (
            "the-first-model-answers-for-all",
            "return await answer(service, request, model)",
            "return await answer(service, request, None)",
            "the_model_of_the_path_answers_with_its_times",
        ),
        (
            "bodies-that-never-come",
            "limited_body(request, limits.body), limits.timeout",
            "limited_body(request, limits.body), None",
            "a_body_that_does_not_come_and_a_client_that_goes_within_it_are_told_apart",
        ),
    ),
    *planted(
        "conversion/serving/openapi_texts.py",
        "tests/conversion/serving/test_http_answers.py",
        (
            "examples-hold-what-is-not-there",
            "for name, each in value.items() if each is not None}",
            "for name, each in value.items()}",
            "an_example_is_json_with_images_as_files_and_without_what_is_not_there",
        ),
    ),
]
