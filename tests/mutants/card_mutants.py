"""What a card says of weights and statistics."""

from .planted import planted

CARD_TABLES = "tests/configuration/test_card_tables.py"

MUTANTS = [
    *planted(
        "configuration/card_weights.py",
        CARD_TABLES,
        (
            "shares-of-a-part-by-bytes",
            "100 * part.parameters / max(1, total)",
            "100 * part.bytes / max(1, total)",
            "a_part_has_its_share_of_parameters_and_not_of_bytes",
        ),
        (
            "sizes-the-other-way-round",
            "size_text(sizes['stored'])} of weights in place of {size_text(sizes['whole'])",
            "size_text(sizes['whole'])} of weights in place of {size_text(sizes['stored'])",
            "lower_precision_is_so_much_in_the_place_of_so_much",
        ),
    ),
    *planted(
        "configuration/card_statistics.py",
        CARD_TABLES,
        (
            "a-constant-by-its-mean",
            'constant = high == 0 if kind == "normal" else low == high',
            "constant = low == high",
            "a_dimension_is_constant_where_its_statistics_say_so",
        ),
        (
            "dimensions-of-the-last-dataset",
            "else keys[:1]",
            "else keys[-1:]",
            "of_many_datasets_the_dimensions_of_the_first_are_shown",
        ),
        (
            "a-state-that-is-not-read",
            "if state_size and state is not None:",
            "if state is not None:",
            "the_state_is_shown_of_models_that_read_it",
        ),
    ),
    *planted(
        "configuration/card_snippet.py",
        "tests/configuration/test_card_content.py",
        (
            "snippet-path-one-pose-too-far",
            "* (poses - 1):g}",
            "* poses:g}",
            "the_example_of_a_car_drives_up_to_its_place",
        ),
        (
            "snippet-key-is-the-last",
            "(min(config.norm_stats) if config.norm_stats",
            "(max(config.norm_stats) if config.norm_stats",
            "the_example_asks_for_the_first_statistics_and_for_one_robot_of_several",
        ),
        (
            "snippet-without-embodiment",
            'if config.num_embodiments > 1 else ""',
            'if config.num_embodiments > 2 else ""',
            "the_example_asks_for_the_first_statistics_and_for_one_robot_of_several",
        ),
        (
            "snippet-names-of-other-count",
            "names if names and len(names) == len(views) else None)",
            "names)",
            "views_of_another_number_than_the_recorded_names_stand_in_a_list",
        ),
    ),
    *planted(
        "configuration/former_card.py",
        "tests/configuration/test_checkpoint_card.py",
        (
            "former-call-key-is-the-last",
            "key=json.dumps(min(config.norm_stats)",
            "key=json.dumps(max(config.norm_stats)",
            "the_words_of_an_earlier_release_are_about_the_first_statistics_and_this_models_views",
        ),
    ),
    *planted(
        "configuration/card_stamp.py",
        "tests/configuration/test_checkpoint_card.py",
        (
            "stamp-without-front-matter",
            "text=text_hash(head + body)",
            "text=text_hash(body)",
            "an_edited_card_is_told_from_ours",
        ),
    ),
]
