"""What is checked after writing, and later."""

from .planted import planted

CREATE_COGVLA = "tests/conversion/cogvla/test_create_cogvla.py"
GENERIC_MERGE = "tests/conversion/generic/test_generic_merge.py"
MERGED_ADAPTERS = "tests/conversion/generic/test_merged_adapters.py"
MERGE_LORA = "tests/conversion/cogvla/test_merge_lora.py"
OPTIONS_THAT_REACH = "tests/conversion/commands/test_options_that_reach.py"
OUTPUT_FOLDER = "tests/conversion/test_output_folder.py"
QUANTISED_CHECKPOINTS = "tests/conversion/test_quantised_checkpoints.py"
VERIFY_FOLDER = "tests/conversion/test_verify_folder.py"
VERIFY_TENSORS = "tests/conversion/tensors/test_verify_tensors.py"

MUTANTS = [
    *planted(
        "conversion/tensors/verify_tensors.py",
        GENERIC_MERGE,
        (
            "against-the-sources-a-sample",
            "    recompute(plan.tensors, read_back(group, quiet), quiet, device)",
            "    recompute(sample(plan), read_back(group, quiet), quiet, device)",
            "every_tensor_is_recomputed_by_verifying_against_the_sources_and_a_sample_after_writing",
        ),
        (
            "nothing-is-recomputed-after-writing",
            "    recompute(sample(plan), found, quiet, device)\n",
            "",
            "every_tensor_is_recomputed_by_verifying_against_the_sources_and_a_sample_after_writing",
        ),
    ),
    *planted(
        "conversion/tensors/verify_tensors.py",
        VERIFY_TENSORS,
        (
            "what-was-written-is-not-compared",
            '    if changed:\n        raise ConversionError(f"read back',
            '    if False:\n        raise ConversionError(f"read back',
            "what_is_read_back_is_what_was_written",
        ),
        (
            "a-sum-that-overflows-is-not-finite",
            "return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())",
            "return bool(torch.isfinite(tensor.sum()))",
            "finite_numbers_are_finite_though_their_sum_is_not",
        ),
        (
            "only-the-last-rows-are-looked-at",
            "finite = finite and is_finite(read)",
            "finite = is_finite(read)",
            "a_number_that_is_not_finite_is_found_in_any_block_of_rows",
        ),
        (
            "additional-tensors-pass",
            "    if missing or extra:",
            "    if missing:",
            "names_shapes_and_dtypes_are_those_that_were_planned",
        ),
    ),
    *planted(
        "conversion/verify_folder.py",
        VERIFY_FOLDER,
        (
            "recorded-checksums-are-not-compared",
            '    if changed:\n        raise ConversionError(f"Tensors',
            '    if False:\n        raise ConversionError(f"Tensors',
            "a_changed_number_is_named_by_tensor",
        ),
        (
            "additional-code-passes",
            "FileChanges(differing, missing, additional):",
            "FileChanges(differing, missing, []):",
            "code_is_compared_with_this_release",
        ),
        (
            "what-is-raised-hides-what-was-changed",
            "            if not changes:\n                raise\n",
            "            raise\n",
            "what_fails_in_an_unforeseen_way_hides_no_changed_file",
        ),
        (
            "statistics-of-the-model-alone-are-checked",
            'for name in ("config.json", "processor_config.json"):',
            'for name in ("config.json",):',
            "statistics_that_are_not_whole_are_named",
        ),
        (
            "statistics-of-the-processor-alone-are-checked",
            'for name in ("config.json", "processor_config.json"):',
            'for name in ("processor_config.json",):',
            "statistics_that_are_not_whole_are_named",
        ),
        (
            "code-is-compared-by-its-length",
            "there[name] != wanted[name].encode())",
            "len(there[name]) != len(wanted[name].encode()))",
            "code_is_compared_with_this_release",
        ),
        (
            "missing-code-passes",
            "FileChanges(differing, missing, additional):",
            "FileChanges(differing, [], additional):",
            "code_is_compared_with_this_release",
        ),
        (
            "anything-may-be-accepted",
            "    check_checkpoint(folder)\n    report = read_report(folder)",
            "    report = read_report(folder)",
            "a_name_that_is_neither_folder_nor_repository_is_one_line",
        ),
        (
            "tensors-without-a-checksum-count-as-changed",
            ' or ("crc32" not in known and changes is None)',
            "",
            "a_report_of_an_older_release_keeps_what_it_says_of_tensors_when_it_is_accepted",
        ),
        (
            "an-acceptance-forgets-the-one-before",
            '{*report.get("accepted", ()), *changes.changed',
            "{*changes.changed",
            "a_second_acceptance_adds_to_the_first",
        ),
        (
            "references-are-not-checked",
            "        lambda: checked_references(folder),\n",
            "",
            "an_auto_map_that_leads_elsewhere_is_an_error",
        ),
        (
            "accepted-code-becomes-ours",
            'sorted({*report.get("foreign_code", ()), *foreign_code(folder)})',
            'sorted({*report.get("foreign_code", ())})',
            "code_that_was_added_stays_foreign_when_it_is_accepted",
        ),
        (
            "changed-tensors-keep-their-operation",
            'kept = known if same else {"operation": CHANGED_LATER, "sources": []}',
            "kept = known",
            "changes_on_purpose_are_accepted_once_the_checkpoint_is_whole",
        ),
    ),
    *planted(
        "conversion/model_check.py",
        VERIFY_FOLDER,
        (
            "weights-of-other-shapes-pass",
            '("missing", "unexpected", "mismatched")',
            '("missing", "unexpected")',
            "tensors_of_any_other_model_are_those_of_its_own_class",
        ),
        (
            "missing-weights-pass",
            '("missing", "unexpected", "mismatched")',
            '("unexpected", "mismatched")',
            "tensors_of_any_other_model_are_those_of_its_own_class",
        ),
    ),
    *planted(
        "conversion/job.py",
        OPTIONS_THAT_REACH,
        (
            "no-verify-verifies",
            "        if job.verify:\n",
            "        if True:\n",
            "without_verifying_nothing_is_read_back_and_else_it_is",
        ),
        (
            "a-device-that-is-not-used",
            "job.max_shard_bytes, job.quiet, job.device)",
            'job.max_shard_bytes, job.quiet, "cpu")',
            "a_conversion_computes_and_verifies_on_the_device",
        ),
    ),
    *planted(
        "conversion/job.py",
        MERGED_ADAPTERS,
        (
            "no-merged-adapters-in-the-report",
            "        report[MERGED] = merged\n",
            "        pass\n",
            "an_adapter_is_added_once_to_what_comes_of_its_base",
        ),
    ),
    *planted(
        "conversion/job.py",
        CREATE_COGVLA,
        (
            "untrained-tensors-are-not-marked",
            "    report |= untrained_mark(prepared.plan)\n",
            "",
            "a_quantised_start_is_still_called_untrained",
        ),
    ),
    *planted(
        "conversion/untrained_tensors.py",
        CREATE_COGVLA,
        (
            "what-was-trained-later-stays-untrained",
            "if layer_of(name) not in changed}",
            "}",
            "what_was_trained_and_accepted_is_untrained_no_longer",
        ),
        (
            "a-start-that-was-trained-stays-a-start",
            "not changed and (bool(new) or",
            "(bool(new) or",
            "what_was_trained_and_accepted_is_untrained_no_longer",
        ),
    ),
    *planted(
        "conversion/verify_folder.py",
        CREATE_COGVLA,
        (
            "the-mark-of-a-start-outlives-its-training",
            "    renew_mark(report)\n",
            "",
            "what_was_trained_and_accepted_is_untrained_no_longer",
        ),
    ),
    *planted(
        "conversion/preparation.py",
        VERIFY_FOLDER,
        (
            "verified-with-the-bases-dtype",
            'job.dtype = dtype["value"] if dtype["known"].startswith("given") else "auto"',
            'job.dtype = "auto"',
            "a_checkpoint_of_another_dtype_is_recomputed_in_that_dtype",
        ),
    ),
    *planted(
        "conversion/preparation.py",
        GENERIC_MERGE,
        (
            "a-quantised-base-passes",
            "    if quantization:\n",
            "    if False:\n",
            "a_quantised_base_is_refused_with_what_to_do",
        ),
    ),
    *planted(
        "conversion/checkpoint_plan.py",
        MERGE_LORA,
        (
            "dtype-of-the-strongest-embeddings",
            "versions[0][-1].info.dtype",
            "versions[-1][-1].info.dtype",
            "tests/conversion/tensors/test_collected.py::test_auto_is_the_dtype_of_the_bases_embeddings_whatever_a_run_has",
        ),
    ),
    *planted(
        "conversion/quantised_layers.py",
        QUANTISED_CHECKPOINTS,
        (
            "the-head-is-quantised",
            "module is model.get_output_embeddings() or ",
            "",
            "a_checkpoint_of_lower_precision_loads_verifies_and_predicts",
        ),
        (
            "new-parts-are-quantised",
            ' or name.split(".")[0] not in model.pretrained_parts:',
            ":",
            "bytes_of_the_published_cogvla_at_7b",
            "a_checkpoint_of_lower_precision_loads_verifies_and_predicts",
        ),
    ),
    *planted(
        "conversion/tensors/quantisation.py",
        QUANTISED_CHECKPOINTS,
        (
            "nibbles-the-other-way-round",
            "packed = numbers[:, 0::2] | numbers[:, 1::2] << 4",
            "packed = numbers[:, 1::2] | numbers[:, 0::2] << 4",
            "int8_and_int4_numbers_are_those_of_plain_rounding",
        ),
        (
            "an-error-without-a-root",
            "return (self.squared / self.of_weight) ** 0.5 if",
            "return (self.squared / self.of_weight) if",
            "an_error_of_stored_numbers_is_a_norm_over_a_norm_over_all_rows",
        ),
        (
            "the-range-of-int8-is-halved",
            "INT8_RANGE, INT4_RANGE = (-127, 127), (0, 15)",
            "INT8_RANGE, INT4_RANGE = (-63, 63), (0, 15)",
            "int8_and_int4_numbers_are_those_of_plain_rounding",
        ),
    ),
    *planted(
        "conversion/output_folder.py",
        OUTPUT_FOLDER,
        (
            "others-may-write-at-the-same-time",
            "        if not held:\n",
            "        if False:\n",
            "a_second_writer_is_refused_while_the_first_writes_and_welcome_afterwards",
        ),
    ),
    *planted(
        "conversion/model_check.py",
        "tests/conversion/test_model_check.py",
        (
            "tensors-of-no-class-pass",
            '("missing", "unexpected", "mismatched")',
            '("missing", "mismatched")',
            "a_tensor_that_the_class_does_not_have_is_named",
        ),
        (
            "integers-are-parameters",
            "    check_floating([name for name in integers if name in parameters], folder, kind)\n",
            "",
            "integers_are_named_whatever_the_parameter_is_called",
        ),
        (
            "quantised-weights-are-compared",
            '    if config.get("quantization_config"):\n        return None, "it is quantised"\n',
            "",
            "what_is_compared_with_no_class_says_why",
        ),
        (
            "a-config-without-a-class-is-an-error",
            "    if not names:\n        return None",
            "    if False:\n        return None",
            "what_is_compared_with_no_class_says_why",
        ),
        (
            "transformers-stays-silent",
            "        logging.set_verbosity(verbosity)\n",
            "",
            "transformers_is_as_loud_as_before",
        ),
        (
            "bars-stay-away",
            "        if bars:\n            logging.enable_progress_bar()",
            "        if False:\n            logging.enable_progress_bar()",
            "transformers_is_as_loud_as_before",
        ),
    ),
    *planted(
        "conversion/commands/verify.py",
        "tests/conversion/commands/test_verify_command.py",
        (
            "an-acceptance-has-no-document",
            " or arguments.code or arguments.json):",
            " or arguments.code):",
            "what_is_accepted_is_not_checked_otherwise",
        ),
        (
            "weights-alone-are-verified",
            "everything=True",
            "everything=False",
            "a_whole_repository_is_verified_and_the_answer_is_a_table_a_document_or_nothing",
        ),
        (
            "sources-with-code-are-not-compared",
            "allow_code=True,  # nothing",
            "allow_code=False,  # nothing",
            "sources_are_read_and_nothing_of_their_code_is_written",
        ),
        (
            "bytes-are-numbers-of-files",
            "counted(each.count), counted(each.bytes)",
            "counted(each.bytes), counted(each.count)",
            "counts_and_bytes_stand_in_their_columns",
        ),
        (
            "a-document-with-bars",
            "arguments.quiet or arguments.json, arguments.code",
            "arguments.quiet, arguments.code",
            "a_whole_repository_is_verified_and_the_answer_is_a_table_a_document_or_nothing",
        ),
        (
            "a-quiet-verify-shows-a-table",
            "    elif not arguments.quiet:\n        show",
            "    else:\n        show",
            "a_whole_repository_is_verified_and_the_answer_is_a_table_a_document_or_nothing",
        ),
        (
            "a-comparison-without-its-base",
            "*([arguments.base] if arguments.base else [])",
            "",
            "sources_are_read_and_nothing_of_their_code_is_written",
        ),
        (
            "an-acceptance-without-bars",
            "local_folder(arguments.checkpoint), arguments.quiet)",
            "local_folder(arguments.checkpoint), True)",
            "what_is_accepted_is_said",
        ),
    ),
]
