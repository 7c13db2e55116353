"""Adapters into bases: which numbers, into which tensor, with what beside them."""

from .planted import planted

COLLECTED = "tests/conversion/tensors/test_collected.py"
DAMAGED_ARCHIVES = "tests/conversion/tensors/test_damaged_archives.py"
FILE_HASHES = "tests/conversion/files/test_file_hashes.py"
FILE_KINDS = "tests/conversion/files/test_file_kinds.py"
GENERIC_MERGE = "tests/conversion/generic/test_generic_merge.py"
GROWN_VOCABULARY = "tests/conversion/generic/test_grown_vocabulary.py"
INCOMPLETE_ADAPTERS = "tests/conversion/tensors/test_incomplete_adapters.py"
BASE_WEIGHTS = "tests/training/test_base_weights.py"
BASES_OF_ADAPTERS = "tests/conversion/test_bases_of_adapters.py"
MERGED_ADAPTERS = "tests/conversion/generic/test_merged_adapters.py"
MERGE_COMPOSED = "tests/conversion/multimodal_vla/test_merge_composed.py"
REFUSED_RUNS = "tests/conversion/cogvla/test_refused_runs.py"
RESIZED_ROWS = "tests/conversion/tensors/test_resized_rows.py"
SAFETENSORS_STREAM = "tests/conversion/tensors/test_safetensors_stream.py"
SIDE_FILES = "tests/conversion/tensors/test_side_files.py"
TIED_EMBEDDINGS = "tests/conversion/generic/test_tied_embeddings.py"
TOKEN_ROWS = "tests/conversion/tensors/test_token_rows.py"

MUTANTS = [
    *planted(
        "conversion/inspection/runs.py",
        SIDE_FILES,
        (
            "adapters-that-no-merge-takes-are-inspected-in-silence",
            '        return [f"{NO_MERGE}{error}"]',
            "        return []",
            "what_a_merge_refuses_of_settings_is_said_by_inspect",
        ),
    ),
    *planted(
        "conversion/inspection/inspect_checkpoint.py",
        SIDE_FILES,
        (
            "a-merge-that-is-refused-is-proposed",
            "    if not any(problem.startswith(NO_MERGE) for problem in look.problems):",
            "    if True:",
            "what_a_merge_refuses_of_settings_is_said_by_inspect",
        ),
    ),
    *planted(
        "modeling/base_weights.py",
        BASE_WEIGHTS,
        (
            "what-was-rounded-twice-is-another-base",
            "wanted <= others and not rounded)",
            "wanted <= others)",
            "numbers_that_were_rounded_twice_are_not_certain",
        ),
        (
            "a-base-that-holds-adapters-is-another",
            "    return path.is_file() and bool(read_mapping(path).get(MERGED))",
            "    return False",
            "a_base_that_holds_other_adapters_is_taken",
        ),
        (
            "weights-of-a-subfolder-are-those-of-its-folder",
            '        return Path(name, files.get("subfolder") or "")',
            "        return Path(name)",
            "the_weights_of_a_subfolder_are_meant_where_a_model_was_loaded_from_it",
        ),
        (
            "weights-of-a-subfolder-are-those-of-its-repository",
            "None)} | files | ON_THIS_MACHINE",
            'None)} | {"cache_dir": files.get("cache_dir")} | ON_THIS_MACHINE',
            "the_weights_of_a_repository_are_those_of_the_commit_that_was_loaded",
        ),
        (
            "a-model-of-its-config-alone-has-weights",
            "    if not name or files is None:",
            "    if not name:",
            "a_model_that_was_made_of_a_config_alone_has_no_weights_to_record",
        ),
        (
            "a-record-is-of-any-adapter",
            '    if found.get("adapter") != mark_of_adapter(folder):',
            '    if "adapter" not in found:',
            "a_record_is_of_the_adapter_that_it_lies_beside",
        ),
    ),
    *planted(
        "modeling/adapted_model.py",
        BASE_WEIGHTS,
        (
            "an-adapter-is-loaded-into-any-weights",
            "            check_base(self, place, hub_arguments(files))\n        apply",
            "        apply",
            "another_base_of_the_same_name_is_refused",
        ),
        (
            "a-swapped-adapter-is-refused-too-late",
            '        if kwargs.get("hotswap"):',
            "        if False:",
            "a_model_that_refuses_to_swap_an_adapter_keeps_the_one_before",
        ),
    ),
    *planted(
        "conversion/bases_of_adapters.py",
        BASE_WEIGHTS,
        (
            "an-adapter-is-merged-into-any-weights",
            "    if first is not None and first.is_certain:",
            "    if first is not None and first.total == 0:",
            "another_base_of_the_same_name_is_refused",
        ),
    ),
    *planted(
        "conversion/job.py",
        "tests/conversion/test_assumptions.py",
        (
            "quiet-commands-assume-in-silence",
            "        if warning:  #",
            "        if warning and not job.quiet:  #",
            "a_quiet_command_still_warns_of_what_it_assumed",
        ),
    ),
    *planted(
        "conversion/generic/checkpoint.py",
        GENERIC_MERGE,
        (
            "a-run-gets-the-statistics-of-its-base",
            '    if known := ", ".join(sorted(config["norm_stats"] or {})):',
            '    if known := "":',
            "a_run_without_statistics_does_not_silently_get_those_of_its_base",
        ),
    ),
    *planted(
        "conversion/checkpoint_plan.py",
        GENERIC_MERGE,
        (
            "verifying-asks-for-statistics-that-were-given",
            "if statistics else {}  # the run",
            "if False else {}  # the run",
            "a_run_without_statistics_does_not_silently_get_those_of_its_base",
        ),
    ),
    *planted(
        "conversion/generic/checkpoint.py",
        GENERIC_MERGE,
        (
            "statistics-of-the-base-beside-those-of-the-run",
            'return {**config, "norm_stats": statistics}, [fact]',
            'return {**config, "norm_stats": {**config["norm_stats"], **statistics}}, [fact]',
            "statistics_of_a_run_replace_those_of_the_base_and_do_not_join_them",
        ),
        (
            "statistics-of-the-first-adapter",
            "for number, folder in reversed(list(enumerate(adapters, start=1))):\n        statistics",
            "for number, folder in enumerate(adapters, start=1):\n        statistics",
            "of_several_adapters_the_last_brings_statistics_and_views",
        ),
        (
            "views-of-the-first-adapter",
            "for number, folder in reversed(list(enumerate(adapters, start=1))):\n        found",
            "for number, folder in enumerate(adapters, start=1):\n        found",
            "of_several_adapters_the_last_brings_statistics_and_views",
        ),
        (
            "merged-config-keeps-the-bases-dtype",
            "config = {**config, **dict.fromkeys(names, dtype)}",
            "config = {**dict.fromkeys(names, dtype), **config}",
            "dtype_converts_at_the_end",
        ),
    ),
    *planted(
        "conversion/generic/checkpoint.py",
        MERGE_COMPOSED,
        (
            "a-file-of-statistics-contradicts-the-config",
            "    if new_statistics and ",
            "    if False and ",
            "a_plain_merge_takes_statistics_from_another_folder_and_checks_them",
            "of_several_runs_all_files_have_the_statistics_of_the_last",
        ),
        (
            "processors-statistics-are-left",
            'for name in ("config.json", PROCESSOR_CONFIG):\n        written',
            'for name in ("config.json",):\n        written',
            "a_plain_merge_takes_statistics_from_another_folder_and_checks_them",
        ),
        (
            "merged-statistics-are-not-checked",
            "    check_config_statistics(config)\n    return config, facts",
            "    return config, facts",
            "a_plain_merge_takes_statistics_from_another_folder_and_checks_them",
        ),
    ),
    *planted(
        "conversion/generic/copied_files.py",
        GENERIC_MERGE,
        (
            "a-merged-model-writes-as-its-base",
            "    return [*travelling(adapter, *FROM_ADAPTER), *generation]",
            "    return travelling(adapter, *FROM_ADAPTER)",
            "a_merged_model_writes_as_the_last_run_and_stops_where_any_of_them_ends",
        ),
        (
            "a-merged-model-stops-as-its-last-adapter-alone",
            "    if len(found) > 1:",
            "    if False:",
            "a_merged_model_writes_as_the_last_run_and_stops_where_any_of_them_ends",
        ),
        (
            "tokenizer-of-the-first-adapter",
            "    for adapter in adapters:\n        files",
            "    for adapter in reversed(adapters):\n        files",
            "of_several_adapters_the_last_brings_tokenizer_and_processor",
        ),
        (
            "the-bases-template-is-read-for-the-runs",
            "(TEMPLATES if has_template else ())",
            "()",
            "no_part_of_an_earlier_tokenizer_is_read_for_that_of_a_run",
        ),
        (
            "templates-of-the-base-go-with-any-tokenizer",
            "(TEMPLATES if has_template else ())",
            "TEMPLATES",
            "no_part_of_an_earlier_tokenizer_is_read_for_that_of_a_run",
        ),
        (
            "special-tokens-of-the-base-stay",
            'SPECIAL_TOKENS if "tokenizer.json" in files else ()',
            "()",
            "no_part_of_an_earlier_tokenizer_is_read_for_that_of_a_run",
        ),
    ),
    *planted(
        "conversion/generic/merged_base.py",
        TIED_EMBEDDINGS,
        (
            "one-copy-of-a-tied-weight",
            "return [self.tensors[key] for key in keys or [self.key(name)]]",
            "return [self.tensors[key] for key in keys[:1] or [self.key(name)]]",
            "a_tied_pair_is_merged_as_peft_merges_it",
        ),
    ),
    *planted(
        "conversion/generic/merged_base.py",
        GENERIC_MERGE,
        (
            "an-end-that-only-looks-alike",
            "if len(found) == 1:\n            return found[0]",
            "if found:\n            return found[0]",
            "a_name_that_two_tensors_of_the_base_end_in_is_neither",
        ),
        (
            "the-other-name-of-a-shared-weight-is-not-asked",
            "return found or self.tied_key(name) or similar_key",
            "return found or similar_key",
            f"{TIED_EMBEDDINGS}::test_a_tied_pair_is_merged_as_peft_merges_it",
        ),
    ),
    *planted(
        "conversion/generic/shared_weights.py",
        TIED_EMBEDDINGS,
        (
            "config-says-still-tied",
            "            merged.config = untied(merged.config, merged.model.model.config, merged.model.vocabulary)\n",
            "",
            "a_tied_pair_is_merged_as_peft_merges_it",
        ),
        (
            "split-loses-earlier-steps",
            "list(stored.steps))",
            "[])",
            "a_second_adapter_finds_the_pair_as_the_first_left_it",
        ),
        (
            "different-tied-numbers-pass",
            "if first.info.shape == second.info.shape and are_equal(first.source, second.source):",
            "if first.info.shape == second.info.shape:",
            "a_tied_pair_with_different_numbers_is_refused_by_both_names",
        ),
    ),
    *planted(
        "conversion/generic/adapter_steps.py",
        GENERIC_MERGE,
        (
            "trained-biases-of-a-lora-are-dropped",
            "        if LORA_BIAS in parts:",
            "        if False:",
            "a_merge_is_bit_for_bit_what_peft_merges[bias of B]",
        ),
        (
            "layers-of-the-kind-that-peft-saved-last",
            "    own.fan_in_fan_out = isinstance(layer, Conv1D)\n",
            "",
            "a_merge_is_bit_for_bit_what_peft_merges[layers of both kinds]",
        ),
        (
            "all-layers-of-a-known-model-are-linear",
            "isinstance(layer, Conv1D)",
            "False",
            "a_merge_is_bit_for_bit_what_peft_merges[transposed layers]",
        ),
    ),
    *planted(
        "conversion/tensors/lora_merge.py",
        GENERIC_MERGE,
        (
            "token-rows-in-the-order-of-ids",
            "        return list(indices or [])",
            "        return sorted(indices or [])",
            "a_merge_is_bit_for_bit_what_peft_merges[some tokens of the embeddings]",
        ),
        (
            "lora-bias-without-its-scale",
            'parts[LORA_BIAS].float() * layer.scaling["default"]',
            "parts[LORA_BIAS].float()",
            "a_merge_is_bit_for_bit_what_peft_merges[bias of B]",
        ),
        (
            "blocks-take-the-first-rows-of-b",
            "rows = slice(first, first + len(weight))",
            "rows = slice(0, len(weight))",
            "merging_in_blocks_of_rows_changes_nothing_but_rounding",
        ),
        (
            "transposed-layers-in-blocks",
            'and "lora_A.default.weight" in parts and not config.fan_in_fan_out',
            'and "lora_A.default.weight" in parts',
            "merging_in_blocks_of_rows_changes_nothing_but_rounding",
        ),
        (
            "magnitudes-of-the-first-rows",
            'ROW_PARTS = ("lora_B.default.weight", LORA_BIAS, "lora_magnitude_vector.default.weight")',
            'ROW_PARTS = ("lora_B.default.weight", LORA_BIAS)',
            "merging_in_blocks_of_rows_changes_nothing_but_rounding",
        ),
        (
            "adapters-in-their-own-precision",
            "tensor.to(device, torch.float32) for name, tensor in parts.items()",
            "tensor.to(device, torch.bfloat16).to(torch.float32) for name, tensor in parts.items()",
            "a_merge_is_bit_for_bit_what_peft_merges[DoRA]",
        ),
        (
            "pissa-not-repeated",
            "    if not changes_base(config):\n        config.init_lora_weights = True",
            "    if True:\n        config.init_lora_weights = True",
            "a_merge_is_bit_for_bit_what_peft_merges[PiSSA]",
        ),
        (
            "token-rows-of-the-shortest-fit",
            "indices[max(fits, key=len)]",
            "indices[min(fits, key=len)]",
            f"{TOKEN_ROWS}::test_rows_are_those_of_the_name_that_fits_best",
        ),
    ),
    *planted(
        "conversion/tensors/adapter_settings.py",
        SIDE_FILES,
        (
            "olora-is-random",
            'CHANGE_BASE = ("pissa", "olora")',
            'CHANGE_BASE = ("pissa",)',
            f"{GENERIC_MERGE}::test_a_merge_is_bit_for_bit_what_peft_merges[OLoRA]",
        ),
        (
            "layer-replication-passes",
            '"layer_replication", ',
            "",
            "an_adapter_with_what_cannot_be_merged_layer_by_layer_is_refused_by_the_field",
        ),
        (
            "target-parameters-pass",
            '("target_parameters", ',
            "(",
            "an_adapter_with_what_cannot_be_merged_layer_by_layer_is_refused_by_the_field",
        ),
        (
            "arrow-adapters-pass",
            '"arrow_config", "use_bdlora", ',
            "",
            "an_adapter_with_what_cannot_be_merged_layer_by_layer_is_refused_by_the_field",
        ),
        (
            "what-peft-does-not-know-is-left-out",
            "    check_known(path, written)\n",
            "",
            "what_the_installed_peft_does_not_know_is_refused_by_name_where_it_says_something",
        ),
        (
            "fields-that-say-nothing-are-refused",
            "for name, value in written.items() if value} - KNOWN",
            "for name, value in written.items()} - KNOWN",
            "what_the_installed_peft_does_not_know_is_refused_by_name_where_it_says_something",
        ),
    ),
    *planted(
        "conversion/tensors/adapter_coverage.py",
        INCOMPLETE_ADAPTERS,
        (
            "missing-rows-pass",
            "    missing += missing_rows(config, content)\n",
            "",
            "what_the_config_names_and_the_file_lacks_is_named",
        ),
        (
            "missing-whole-modules-pass",
            "    missing += [name for name in named_whole(config, names, shapes) if name not in content.whole]\n",
            "",
            "what_the_config_names_and_the_file_lacks_is_named",
        ),
    ),
    *planted(
        "conversion/tensors/adapter_coverage.py",
        GENERIC_MERGE,
        (
            "missing-biases-pass",
            "name in named_biases(config, names, shapes, content) if name not in content.whole]",
            "name in () if name not in content.whole]",
            "biases_that_the_config_says_were_trained_are_there",
        ),
    ),
    *planted(
        "conversion/tensors/adapter_file.py",
        GROWN_VOCABULARY,
        (
            "numbers-beside-an-adapter-are-ignored",
            "    refuse_foreign_files(path.parent)\n",
            "",
            "trained_numbers_beside_an_adapter_are_refused_by_name",
        ),
        (
            "numbers-above-a-lora-adapter-are-ignored",
            "    if folder.name == ADAPTER_FOLDER:\n",
            "    if False:\n",
            "trained_numbers_beside_an_adapter_are_refused_by_name",
        ),
    ),
    *planted(
        "conversion/tensors/collected.py",
        COLLECTED,
        (
            "an-earlier-file-wins",
            "return self.versions[-1][-1]",
            "return self.versions[0][-1]",
            "a_later_file_supersedes_an_earlier_one",
        ),
        (
            "the-longest-name-wins",
            "names.sort(key=lambda source: (-len(source.key), source.key))",
            "names.sort(key=lambda source: (len(source.key), source.key))",
            "copies_in_one_file_are_one_tensor_under_its_shortest_name",
        ),
        (
            "the-last-of-two-loras-in-a-file",
            "first = known.parts.setdefault(key.part, source)",
            "known.parts[key.part] = first = source",
            "a_part_of_a_lora_under_two_names_is_one_or_refused",
        ),
        (
            "the-bias-of-a-runs-lora-is-dropped",
            "if lora.part == LORA_BIAS:",
            "if False:",
            "the_bias_of_a_lora_goes_into_the_bias_that_lacks_it_and_into_no_other",
        ),
    ),
    *planted(
        "conversion/tensors/choice.py",
        COLLECTED,
        (
            "an-adapter-into-weights-that-hold-it",
            "return by_file.get(collected.adapter) if lacks_it else None",
            "return by_file.get(collected.adapter)",
            "an_adapter_goes_into_the_weights_that_lack_it_and_into_no_others",
        ),
    ),
    *planted(
        "conversion/tensors/choice.py",
        REFUSED_RUNS,
        (
            "a-wrapped-weight-without-its-lora",
            "    elif winner in candidates.wrapped:",
            "    elif False:",
            "a_merged_run_whose_side_files_hold_lora_needs_the_adapter_config",
            "a_damaged_run_is_refused_by_name_and_nothing_changes",
        ),
    ),
    *planted(
        "conversion/tensors/plan.py",
        INCOMPLETE_ADAPTERS,
        (
            "integers-are-cast",
            "dtype if dtype and info.dtype.is_floating_point else info.dtype",
            "dtype if dtype else info.dtype",
            "a_buffer_of_integers_is_copied_as_it_is",
        ),
    ),
    *planted(
        "conversion/tensors/safetensors_stream.py",
        SAFETENSORS_STREAM,
        (
            "rows-from-the-start-of-a-tensor",
            "self.infos[key].row_bytes * (rows.start or 0)",
            "self.infos[key].row_bytes * 0",
            "what_the_library_wrote_is_read_whole_and_by_rows",
        ),
    ),
    *planted(
        "conversion/tensors/safetensors_stream.py",
        GENERIC_MERGE,
        (
            "checksums-of-the-last-block",
            "zlib.crc32(content, self.checksums.get(key, 0))",
            "zlib.crc32(content)",
            "merging_in_blocks_of_rows_changes_nothing_but_rounding",
            "a_verified_merge_is_recomputed_from_its_sources_bit_for_bit",
        ),
    ),
    *planted(
        "conversion/tensors/tensor_source.py",
        DAMAGED_ARCHIVES,
        (
            "an-index-may-leave-tensors-out",
            "    if left_out:",
            "    if False:",
            "an_index_that_leaves_out_a_tensor_of_its_shards_is_refused_by_its_name",
        ),
    ),
    *planted(
        "conversion/tensors/tensor_source.py",
        SAFETENSORS_STREAM,
        (
            "a-key-twice-in-an-index",
            'raise ValueError(f"{key!r} appears twice")',
            "pass",
            "an_index_that_is_not_valid_is_refused",
        ),
    ),
    *planted(
        "conversion/bases_of_adapters.py",
        BASES_OF_ADAPTERS,
        (
            "another-base-is-taken-in-silence",
            "if name and not any(may_be_one(base, name) for base in known)",
            "if name and not known",
            "a_base_of_another_name_is_told",
        ),
        (
            "the-newest-base-whatever-the-adapter-names",
            "return source_folder(base, revision=revision_of_base(base, runs)) if base else None",
            "return source_folder(base) if base else None",
            "a_repository_is_taken_in_the_revision_that_the_adapter_names",
        ),
    ),
    *planted(
        "conversion/merged_adapters.py",
        MERGED_ADAPTERS,
        (
            "adapters-of-the-base-are-forgotten",
            "return [*held_by(base), *filter(None, map(digest_of, adapters))]",
            "return [*filter(None, map(digest_of, adapters))]",
            "an_adapter_is_added_once_to_what_comes_of_its_base",
        ),
        (
            "the-last-adapter-of-a-run-is-recorded",
            "for file in adapter_files(run)), None)",
            "for file in reversed(adapter_files(run))), None)",
            "of_two_adapters_in_a_run_the_one_that_is_merged_is_recorded",
        ),
    ),
    *planted(
        "conversion/tensors/resized_rows.py",
        RESIZED_ROWS,
        (
            "new-rows-of-every-part-are-the-first",
            "first - there, last - there)",
            "0, last - first)",
            "parts_are_those_of_the_whole",
        ),
        (
            "moments-of-the-first-block",
            "moments_of(self.file.load(self.key, rows) for rows in blocks)",
            "moments_of(self.file.load(self.key, rows) for rows in [next(blocks)])",
            "new_rows_differ_and_lie_around_the_mean_of_all_old_ones",
        ),
        (
            "a-last-row-that-is-drawn",
            "slice(first, min(last, there))",
            "slice(first, min(last, there - 1))",
            "parts_are_those_of_the_whole",
        ),
    ),
    *planted(
        "conversion/files/file_hashes.py",
        FILE_HASHES,
        (
            "the-hash-of-the-last-block",
            "            digest.update(block)\n",
            "            digest = hashlib.sha256(block)\n",
            "a_file_of_several_blocks_has_the_hash_of_its_whole",
        ),
        (
            "what-is-known-is-read-again",
            "{name: known.get(name) or entry_of_file(path, progress)",
            "{name: entry_of_file(path, progress)",
            "what_is_known_is_recorded_without_being_read",
        ),
    ),
    *planted(
        "conversion/files/file_kinds.py",
        FILE_KINDS,
        (
            "tokenizers-without-their-normalizer",
            "dict|normalizer|",
            "dict|",
            "a_name_is_of_a_kind[tokenizer-normalizer.json]",
        ),
        (
            "notices-stay-behind",
            "(LICENSE|LICENCE|NOTICE|COPYING|USE_POLICY)",
            "(LICENSE|LICENCE|COPYING|USE_POLICY)",
            "a_name_is_of_a_kind[card-NOTICE]",
        ),
    ),
    *planted(
        "conversion/tensors/base_model.py",
        "tests/conversion/tensors/test_base_model.py",
        (
            "either-of-two-tensors",
            "        if len(found) > 1:\n            raise",
            "        if False:\n            raise",
            "a_name_that_two_tensors_answer_to_is_refused",
        ),
        (
            "another-form-is-merged",
            "if not whole and translated == name:",
            "if False:",
            "what_is_computed_with_in_another_form_is_refused_and_what_the_file_has_of_it_is_not",
        ),
    ),
    *planted(
        "conversion/tensors/adapter_patterns.py",
        "tests/conversion/commands/test_error_boundary.py",
        (
            "ranks-without-a-limit",
            "type(value) is int and 1 <= value <= MAX_RANK",
            "type(value) is int and 1 <= value",
            "fields_of_an_adapter_that_cannot_be_are_named",
        ),
    ),
    *planted(
        "conversion/tensors/adapter_names.py",
        "tests/conversion/tensors/test_adapter_names.py",
        (
            "untrained-stay-behind",
            "(?:original_module\\..+|token_adapter",
            "(?:token_adapter",
            "copies_of_the_base_that_a_wrapped_module_keeps_are_told_from_what_was_trained",
        ),
    ),
    *planted(
        "conversion/generic/vocabulary.py",
        GROWN_VOCABULARY,
        (
            "a-later-adapter-shrinks-the-vocabulary",
            "    if new < before > merged.model.vocabulary:\n",
            "    if False:\n",
            "tokens_that_an_earlier_adapter_added_are_not_lost_to_a_later_one",
        ),
    ),
    *planted(
        "conversion/own_checkpoint.py",
        "tests/conversion/test_quantised_checkpoints.py",
        (
            "views-of-a-card-stay-behind",
            "if is_example_view(path.name) and path.name in card:",
            "if False:",
            "a_card_that_stays_has_the_images_that_its_example_reads",
        ),
        (
            "pictures-of-other-weights-come-along",
            "if is_example_view(path.name) and path.name in card:",
            "if path.name in card:",
            "a_card_that_stays_has_the_images_that_its_example_reads",
        ),
    ),
    *planted(
        "conversion/source_folder.py",
        "tests/conversion/files/test_file_kinds.py",
        (
            "licences-stay-on-the-hub",
            'SETTINGS += ["LICENSE*", ',
            "SETTINGS += [",
            "what_travels_from_a_folder_is_fetched_of_a_repository",
        ),
    ),
    *planted(
        "conversion/generic/copied_files.py",
        "tests/conversion/generic/test_copied_files.py",
        (
            "statistics-of-the-base-where-one-adapter-has-none",
            "any(map(has_statistics, adapters))",
            "all(map(has_statistics, adapters))",
            "statistics_of_the_base_go_where_any_adapter_has_its_own",
        ),
        (
            "statistics-in-a-processor-are-overlooked",
            'return bool(processor.get("norm_stats")) or (adapter / STATISTICS_NAME).is_file()',
            "return (adapter / STATISTICS_NAME).is_file()",
            "statistics_of_the_base_go_where_any_adapter_has_its_own",
        ),
        (
            "an-adapter-names-its-own-code",
            'auto_map = read(same).get("auto_map") if same.exists() else None',
            'auto_map = read(path).get("auto_map")',
            "an_adapters_processor_names_the_code_of_the_base_and_keeps_its_letters",
        ),
        (
            "configs-are-followed-anywhere",
            '    if leads_out(folder / "config.json"):',
            "    if False:",
            "a_config_that_lies_elsewhere_is_refused",
        ),
    ),
    *planted(
        "conversion/generic/shared_weights.py",
        "tests/conversion/generic/test_shared_weights.py",
        (
            "ends-of-an-unknown-class-are-apart",
            "        if merged.model is None and is_tied(merged.config) and name.endswith(ENDS):",
            "        if False:",
            "an_end_that_an_unknown_class_shares_is_refused",
        ),
        (
            "ends-of-an-unknown-class-are-shared",
            "if merged.model is None and is_tied(merged.config) and name.endswith(ENDS):",
            "if merged.model is None and name.endswith(ENDS):",
            "an_end_that_an_unknown_class_shares_is_refused",
        ),
        (
            "only-a-config-itself-shares-ends",
            'config.get("tie_word_embeddings", (',
            'config.get("tie_word_embeddings", False and (',
            "an_end_that_an_unknown_class_shares_is_refused",
        ),
        (
            "adapters-change-integers",
            "                planned.source.check_floating()\n",
            "                pass\n",
            "an_adapter_changes_no_integers",
        ),
        (
            "one-equal-row-makes-a-tie",
            "return all(torch.equal",
            "return any(torch.equal",
            "copies_of_a_shared_tensor_are_the_same_in_every_row",
        ),
    ),
    *planted(
        "conversion/generic/shared_weights.py",
        "tests/conversion/generic/test_tied_embeddings.py",
        (
            "any-saved-pair-is-untied",
            '        if len(group) > 1 and name.rpartition(".")[0].endswith(saved):',
            "        if len(group) > 1:",
            "a_pair_stays_tied_where_another_part_was_trained_whole",
        ),
    ),
    *planted(
        "conversion/generic/base_code.py",
        "tests/conversion/generic/test_base_code.py",
        (
            "own-code-is-foreign-where-any-is-allowed",
            "if not (allowed and replaced):",
            "if not allowed:",
            "a_base_of_ours_gets_this_releases_code_unless_another_one_is_allowed",
        ),
        (
            "processors-of-runs-name-no-code",
            "[base, *adapters]",
            "[base]",
            "a_base_of_ours_gets_this_releases_code_unless_another_one_is_allowed",
        ),
    ),
]
