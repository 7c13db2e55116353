"""What leaves the machine: uploads to the Hub, and releases of the project."""

from .planted import planted

MUTANTS = [
    *planted(
        "conversion/publishing/push_checkpoint.py",
        "tests/conversion/commands/test_push_dry_run.py",
        (
            "branches-from-a-commit",
            "    if COMMIT.fullmatch(revision):",
            "    if False:",
            "a_dry_run_refuses_what_the_upload_refuses",
        ),
        (
            "odd-branches",
            "    if NO_BRANCH.search(revision):",
            "    if False:",
            "a_dry_run_refuses_what_the_upload_refuses",
        ),
        (
            "pull-request-and-branch",
            "    if create_pr and revision:",
            "    if False:",
            "a_dry_run_refuses_what_the_upload_refuses",
        ),
    ),
    *planted(
        "conversion/publishing/push_checkpoint.py",
        "tests/conversion/test_push_errors.py",
        (
            "own-files-errors-are-the-hubs",
            '        if getattr(error, "filename", None):',
            "        if False:",
            "what_is_wrong_with_a_file_here_is_not_said_of_the_hub",
        ),
        (
            "cause-of-the-wrapper",
            "error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error",
            "error",
            "an_error_is_told_by_its_cause",
        ),
    ),
    *planted(
        "conversion/publishing/push_checkpoint.py",
        "tests/hub/test_publish.py",
        (
            "private-false-for-public",
            "private=private or None",
            "private=private",
            "who_says_nothing_gets_what_the_owner_has_set",
        ),
        (
            "report-keeps-the-old-cards-hash",
            '        report["files"][CARD_NAME] = entry_of(card.encode())\n',
            "",
            "the_report_of_a_repository_is_of_the_files_that_it_has",
        ),
        (
            "report-keeps-its-own-hash",
            "report_text(with_own_hash(report))",
            "report_text(report)",
            "the_report_of_a_repository_is_of_the_files_that_it_has",
        ),
        (
            "pickles-are-pushed",
            'any(file.path.suffix != ".safetensors" for file in weights.files)',
            "False",
            "a_folder_that_nobody_could_load_is_refused_before_the_hub_is_asked",
        ),
        (
            "published-form-is-pushed",
            "    if published_family(read_run_config(folder)) and not (folder / REPORT_NAME).is_file():",
            "    if False:",
            "a_folder_that_nobody_could_load_is_refused_before_the_hub_is_asked",
        ),
        (
            "headers-not-read-before-a-push",
            "    list(weights)  # reads the header of every file\n",
            "",
            "a_damaged_file_of_all_weights_is_refused_before_the_hub_is_asked",
        ),
        (
            "no-warning-of-a-stale-report",
            "    if not changes:\n        return []",
            "    return []",
            "only_the_files_of_a_checkpoint_are_uploaded_in_one_commit",
        ),
        (
            "stale-weights-stay",
            "if WEIGHT_FILES.fullmatch(name))",
            "if False)",
            "weights_of_another_layout_leave_with_the_commit_that_replaces_them",
        ),
        (
            "stale-weights-of-any-name",
            "if WEIGHT_FILES.fullmatch(name))",
            "if name.endswith('.safetensors'))",
            "weights_of_another_layout_leave_with_the_commit_that_replaces_them",
        ),
        (
            "branch-before-its-files",
            "api.preupload_lfs_files(repo_id, [o for o in operations if isinstance(o, CommitOperationAdd)])",
            "pass",
            "an_upload_that_breaks_off_changes_nothing_and_the_next_sends_only_the_rest",
        ),
        (
            "files-of-main-for-a-branch",
            "set(api.list_repo_files(repo_id, revision=source))",
            "set(api.list_repo_files(repo_id))",
            "a_revision_becomes_a_branch_and_main_stays",
        ),
        (
            "card-of-main-for-a-branch",
            "    path = api.hf_hub_download(repo_id, CARD_NAME, revision=revision)",
            "    path = api.hf_hub_download(repo_id, CARD_NAME)",
            "a_card_edited_on_a_branch_survives_there",
        ),
        (
            "public-stays-public",
            "    if private and not api.repo_info(repo_id).private:",
            "    if False:",
            "a_private_repository_is_hidden_and_a_public_one_is_not_taken_for_private",
        ),
    ),
    *planted(
        "conversion/publishing/uploaded_files.py",
        "tests/hub/test_publish.py",
        (
            "shards-by-their-names",
            "sorted({*travelling(folder, *KINDS), *shards} - ",
            "sorted({*travelling(folder, *KINDS)} - ",
            "shards_are_those_that_the_index_names",
        ),
        (
            "foreign-code-of-the-report-is-ours",
            "        known.pop(name, None)",
            "        pass",
            "foreign_code_that_the_report_lists_stays_foreign",
        ),
        (
            "code-elsewhere-is-pushed",
            "if reference_problem(name, folder)]",
            "if False]",
            "code_that_only_a_json_file_names_is_not_ours",
        ),
        (
            "links-out-are-pushed",
            "        if leads_out(path):",
            "        if False:",
            "what_a_checkpoint_cannot_do_without_is_no_link_out_of_its_folder",
        ),
        (
            "old-pictures-are-pushed",
            "    stale = pictures_not_shown(folder)",
            "    stale = []",
            "the_pictures_that_the_card_shows_are_uploaded_and_no_others",
        ),
        (
            "code-of-any-hash",
            'if entry_of_file(folder / name)["sha256"] != known.get(name)',
            "if name not in known",
            "code_that_is_not_ours_is_published_only_when_it_is_allowed",
        ),
    ),
    *planted(
        "releasing/audit.py",
        "tests/releasing/test_audit.py",
        (
            "accepted-by-the-first-name-alone",
            "for name in names if name in accepted), None)",
            "for name in names[:1] if name in accepted), None)",
            "an_accepted_finding_passes_by_any_of_its_names",
        ),
        ("a-mirror-answers", "len(self.unknown) < self.asked", "True", "where_nobody_answers_one_line_says_so"),
        (
            "reasons-of-blanks",
            "not isinstance(reason, str) or not reason.strip()",
            "not isinstance(reason, str)",
            "an_entry_without_a_reason_is_refused",
        ),
        (
            "old-accepted-findings-when-not-whole",
            "if is_whole and (old",
            "if (old",
            "where_nobody_answers_one_line_says_so",
        ),
    ),
    *planted(
        "releasing/release.py",
        "tests/releasing/test_release.py",
        (
            "releases-built-once",
            "first, second = build(), build()",
            "first = second = build()",
            "what_is_not_the_same_when_built_again_is_no_release",
        ),
        (
            "release-of-the-umask",
            "    os.umask(0o022)  # modes of files are part of what is packed\n",
            "",
            "a_commit_gives_the_same_files_wherever_it_is_built",
        ),
        (
            "releases-of-changed-trees",
            '    if changed := git("status", "--porcelain").decode().strip():',
            '    if changed := "":',
            "what_is_not_committed_is_no_release",
        ),
        (
            "sums-out-of-order-of-names",
            '    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}" for name',
            '    lines = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}" for name',
            "sha256sum_reads_the_list_and_finds_a_changed_file",
        ),
        (
            "sdist-with-users",
            'entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = epoch, 0, 0, "", ""',
            "entry.mtime = epoch",
            "an_sdist_is_the_same_whoever_built_it_and_when",
        ),
        (
            "sdist-in-its-own-order",
            "sorted(old.getmembers(), key=lambda entry: entry.name)",
            "old.getmembers()",
            "an_sdist_is_the_same_whoever_built_it_and_when",
        ),
    ),
]
