"""What all families' configs say: language models, statistics and quantised layers."""

from .planted import planted

NORMALIZATION_STATISTICS = "tests/configuration/test_normalization_statistics.py"
CONFIGURATION_LLAVA3D = "tests/configuration/mapanything_llava3d/test_configuration_llava3d.py"
QUANTISED_CHECKPOINTS = "tests/conversion/test_quantised_checkpoints.py"
OPENVLA_SIZES = "tests/configuration/cogvla/test_openvla_sizes.py"
CALLERS_VALUES = "tests/configuration/test_callers_values.py"
COGVLA_FACTS = "tests/configuration/cogvla/test_cogvla_facts.py"
MAPANYTHING_GEOMETRY = "tests/modeling/mapanything_llava3d/test_mapanything_geometry.py"
BACKBONE_CHOICES = "tests/modeling/multimodal_vla/test_backbone_choices.py"

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
    *planted(
        "configuration/cogvla/openvla_base.py",
        OPENVLA_SIZES,
        (
            "models-with-a-state-are-plain-openvlas",
            ' and "state_dim" not in found',
            "",
            "each_part_that_openvla_has_not_makes_it_another_model",
        ),
    ),
    *planted(
        "configuration/cogvla/openvla_names.py",
        OPENVLA_SIZES,
        (
            "pruning-always-has-film",
            'found["lfp_enable_film"] = any(".router.scale." in name for name in shapes)',
            'found["lfp_enable_film"] = True',
            "the_tensors_tell_whether_the_instruction_modulates_what_pruning_scores",
        ),
    ),
    *planted(
        "configuration/cogvla/configuration_cogvla_vision.py",
        CALLERS_VALUES,
        (
            "callers-tower-configs-are-kept",
            "return copy.deepcopy(value)",
            "return value",
            "a_config_shares_nothing_with_what_it_was_given",
        ),
    ),
    *planted(
        "configuration/cogvla/cogvla_facts.py",
        COGVLA_FACTS,
        (
            "the-most-that-is-kept-is-called-the-least",
            "least = min(ratios.values())",
            "least = max(ratios.values())",
            "the_least_that_a_layer_keeps_is_said",
        ),
        (
            "shown-steps-of-training",
            "shown = config.num_inference_steps or config.num_diffusion_steps",
            "shown = config.num_diffusion_steps",
            "the_steps_of_a_prediction_are_told_from_those_of_training",
        ),
    ),
    *planted(
        "configuration/mapanything_llava3d/configuration_mapanything.py",
        MAPANYTHING_GEOMETRY,
        (
            "final-norms-are-not-told",
            'final_norm="encoder.model.norm.weight" in shapes',
            "final_norm=False",
            "published_weights_give_the_published_features",
        ),
        (
            "given-heads-are-not-read",
            "width // HEAD_SIZE if num_heads is None else num_heads",
            "width // HEAD_SIZE",
            "published_weights_give_the_published_features",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/text_checks.py",
        BACKBONE_CHOICES,
        (
            "first-tokens-of-causal-models-drive-film",
            'config.fusion in ("late", "film")',
            'config.fusion in ("late",)',
            "the_first_token_of_a_causal_model_stands_for_no_text",
        ),
    ),
    *planted(
        "configuration/multimodal_vla/nested_configs.py",
        CALLERS_VALUES,
        (
            "callers-nested-configs-are-kept",
            "    if isinstance(value, PretrainedConfig):\n        return copy.deepcopy(value)",
            "    if isinstance(value, PretrainedConfig):\n        return value",
            "a_config_shares_nothing_with_what_it_was_given",
        ),
    ),
]
