"""What `vlahub inspect` says: every value in its place, what each file is for, and what of a repository is read."""

from .planted import planted

RECORDS = "tests/conversion/inspection/test_inspected_records.py"

MUTANTS = [
    *planted(
        "conversion/inspection/text.py",
        "tests/conversion/inspection/test_inspected_text.py",
        (
            "licence-without-its-name",
            'inspection.licence.get("license_name") or inspection.licence.get("license")',
            'inspection.licence.get("license")',
            "every_value_stands_in_its_place",
        ),
        (
            "memory-in-bfloat16-as-stored",
            'yield "bfloat16", size_text(memory.bfloat16)',
            'yield "bfloat16", size_text(memory.stored)',
            "every_value_stands_in_its_place",
        ),
        (
            "actions-of-a-chunk-are-dimensions",
            '"actions of a chunk": model.num_action_chunks',
            '"actions of a chunk": model.action_dim',
            "every_value_stands_in_its_place",
        ),
        (
            "yes-is-no",
            '{True: "yes", False: "no"}',
            '{True: "no", False: "yes"}',
            "every_value_stands_in_its_place",
        ),
        (
            "deviation-in-the-place-of-the-mean",
            "(dimension.low, dimension.high, dimension.mean, dimension.std)",
            "(dimension.low, dimension.high, dimension.std, dimension.mean)",
            "every_value_stands_in_its_place",
        ),
        (
            "a-merged-run-needs-nothing",
            '    yield Section("  it needs", [(need.option, need.why) for need in step.needed])\n',
            "",
            "every_value_stands_in_its_place",
        ),
        (
            "an-adapter-that-names-its-base-names-none",
            'adapter.base or "not named"',
            '"not named"',
            "every_value_stands_in_its_place",
        ),
        (
            "states-are-counted-as-datasets",
            'for t in tables if t.part == "action"]',
            "for t in tables]",
            "statistics_of_many_datasets_are_counted",
        ),
        (
            "sizes-of-the-last-file-of-a-kind",
            "sizes[file.role] += file.bytes",
            "sizes[file.role] = file.bytes",
            "files_of_a_checkpoint_and_many_of_a_run_are_counted",
        ),
    ),
    *planted(
        "conversion/inspection/roles.py",
        RECORDS,
        (
            "adapters-in-the-folder-itself-alone",
            "if name in ADAPTER_NAMES:",
            "if file in ADAPTER_NAMES:",
            "each_file_is_said_to_be_what_a_conversion_reads_it_as",
        ),
        (
            "weights-below-the-folder-are-read",
            'KIND_WORDS.get(kind_of(name) or "", NOT_READ) if not folder else NOT_READ',
            'KIND_WORDS.get(kind_of(name) or "", NOT_READ)',
            "each_file_is_said_to_be_what_a_conversion_reads_it_as",
        ),
    ),
    *planted(
        "conversion/inspection/pickled_headers.py",
        RECORDS,
        (
            "half-precision-of-another-kind",
            '"HalfStorage": "float16"',
            '"HalfStorage": "bfloat16"',
            "pickled_tensors_are_listed_as_they_are",
        ),
        (
            "bombs-by-their-compressed-size",
            "if inside.file_size > LONGEST:",
            "if inside.compress_size > LONGEST:",
            "a_pickle_with_code_in_it_or_a_list_without_end_is_not_read",
        ),
    ),
    *planted(
        "conversion/inspection/places.py",
        RECORDS,
        (
            "paths-out-of-a-repository",
            ' and ".." not in path.parts',
            "",
            "of_a_repository_small_files_that_say_something_are_downloaded",
        ),
        (
            "tokenizers-are-downloaded-for-nothing",
            " and name not in NOT_WANTED)",
            ")",
            "of_a_repository_small_files_that_say_something_are_downloaded",
        ),
        (
            "what-tools-leave-is-inspected",
            "if depth and path.is_dir() and path.name not in OF_TOOLS:",
            "if depth and path.is_dir():",
            "a_folder_is_looked_at_as_deep_as_runs_are_and_not_in_what_tools_leave",
        ),
    ),
    *planted(
        "conversion/cogvla/inspected_cogvla.py",
        "tests/conversion/inspection/test_inspected_cogvla.py",
        (
            "published-pruning-is-not-seen",
            'lfp = text if "action_attention" not in config else config',
            "lfp = config",
            "pruning_is_read_where_a_config_has_it",
        ),
        (
            "schedules-of-other-lengths-are-the-published",
            'lfp.get("lfp_schedule_layers") or 32',
            "32",
            "a_schedule_is_of_the_published_layers_or_of_those_that_a_config_says",
        ),
        (
            "schedules-of-nobody-end-an-inspection",
            "except (ConfigError, KeyError, TypeError):",
            "except (KeyError, TypeError):",
            "what_is_no_schedule_prunes_nothing_and_hinders_no_inspection",
        ),
        (
            "pruning-that-is-off-is-shown",
            'if not lfp.get("use_lfp") or not',
            "if not",
            "what_is_no_schedule_prunes_nothing_and_hinders_no_inspection",
        ),
        (
            "tokens-of-parts-that-there-are-not",
            'config.get("num_vision_aggr") if config.get("use_aggr") else None',
            'config.get("num_vision_aggr")',
            "sizes_are_of_parts_that_there_are",
        ),
        (
            "heads-that-are-missing-are-plain-openvlas",
            "(others or not is_cogvla)",
            "not is_cogvla",
            "files_beside_an_adapter_may_be_of_a_model_whose_head_is_missing_unless_they_are_cogvlas_own",
        ),
        (
            "steps-that-a-config-says-are-asked-for",
            "and not any(said):",
            "and not said[0]:",
            "steps_of_a_diffusion_head_are_asked_for_where_no_config_says_them",
        ),
        (
            "every-model-is-a-base-of-cogvla",
            '    if config.get("model_type") != "openvla":\n        return []\n',
            "",
            "a_published_openvla_alone_is_a_base",
        ),
    ),
]
