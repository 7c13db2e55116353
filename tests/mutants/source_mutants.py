"""Names of tensors across releases of transformers, tensors that are drawn, files that are read and written."""

from .planted import planted

NAMES = "tests/conversion/tensors/test_transformers_names.py"

MUTANTS = [
    *planted(
        "conversion/tensors/transformers5_names.py",
        NAMES,
        (
            "keys-as-queries-of-the-newer-line",
            '(r"attention\\.attention\\.key(?!\\w)", "attention.k_proj")',
            '(r"attention\\.attention\\.key(?!\\w)", "attention.q_proj")',
            "names_of_4_become_those_of_5",
        ),
        (
            "names-within-longer-names",
            '(r"mlp\\.weights_out(?!\\w)", "mlp.down_proj")',
            '(r"mlp\\.weights_out", "mlp.down_proj")',
            "names_of_4_become_those_of_5",
        ),
        (
            "newer-names-the-wrong-way-round",
            "found[newer] = name",
            "found[name] = newer",
            "a_model_of_4_has_a_name_for_each_of_5_that_differs",
        ),
    ),
    *planted(
        "conversion/tensors/transformers_names.py",
        NAMES,
        (
            "names-of-earlier-releases-are-unknown-on-4",
            "for name in (key, self.mapped(key)):",
            "for name in (key,):",
            "a_model_of_4_knows_names_of_any_release",
        ),
        (
            "newer-names-as-they-are-on-4",
            "return Translated(self.newer[candidate], True)",
            "return Translated(candidate, True)",
            "a_model_of_4_knows_names_of_any_release",
        ),
    ),
]
