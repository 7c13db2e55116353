"""What all families' configs say: language models, statistics and quantised layers."""

from .planted import planted

NORMALIZATION_STATISTICS = "tests/configuration/test_normalization_statistics.py"
CONFIGURATION_LLAVA3D = "tests/configuration/mapanything_llava3d/test_configuration_llava3d.py"
QUANTISED_CHECKPOINTS = "tests/conversion/test_quantised_checkpoints.py"

MUTANTS = [
    *planted(
        "configuration/normalization_statistics.py",
        NORMALIZATION_STATISTICS,
        (
            "deviations-below-zero-pass",
            "        if value < 0:\n",
            "        if False:\n",
            "statistics_that_cannot_be_used_are_named",
        ),
        (
            "numbers-beyond-float32-pass",
            "not abs(content) <= LARGEST",
            "not np.isfinite(content)",
            "statistics_that_cannot_be_used_are_named",
        ),
    ),
    *planted(
        "configuration/language_model_config.py",
        CONFIGURATION_LLAVA3D,
        (
            "an-experts-ratio-is-the-bases",
            "ratio = mlp_ratio or text_config",
            "ratio = text_config",
            "the_short_forms_of_the_expert_say_the_same_as_its_config",
        ),
        (
            "heads-that-do-not-fit-pass",
            "if config.num_attention_heads % config.num_key_value_heads:",
            "if False:",
            "a_value_that_cannot_work_is_refused_by_its_name",
        ),
    ),
    *planted(
        "configuration/weight_quantization.py",
        QUANTISED_CHECKPOINTS,
        (
            "groups-as-small-as-can-be",
            "next((size for size in GROUP_SIZES if",
            "next((size for size in GROUP_SIZES[::-1] if",
            "bytes_of_the_published_cogvla_at_7b",
        ),
    ),
]
