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
]
