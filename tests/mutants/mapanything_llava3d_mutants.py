"""LLaVA-3D: its tower, its geometry and its heads."""

from .planted import planted

SAMPLED_ACTIONS = "tests/modeling/test_sampled_actions.py"
DIT_CHOICES = "tests/modeling/mapanything_llava3d/test_dit_choices.py"
LLAVA3D_MODEL = "tests/modeling/mapanything_llava3d/test_llava3d_model.py"
MAPANYTHING_GEOMETRY = "tests/modeling/mapanything_llava3d/test_mapanything_geometry.py"
NEXT_LLAVA3D = "tests/conversion/mapanything_llava3d/test_next_llava3d.py"

MUTANTS = [
    *planted(
        "modeling/mapanything_llava3d/dit_action_head.py",
        SAMPLED_ACTIONS,
        (
            "noise-that-is-uniform-in-dit",
            "torch.randn(shape, dtype=torch.float32, device=like.device)",
            "torch.rand(shape, dtype=torch.float32, device=like.device)",
            "llava3d_draws_over_one_prefix",
        ),
        (
            "learnt-noise-that-is-uniform-in-dit",
            "torch.randn_like(actions, dtype=torch.float32)",
            "torch.rand_like(actions, dtype=torch.float32)",
            "tests/modeling/mapanything_llava3d/test_dit_action_head.py::test_training_brings_the_loss_down_and_predictions_to_the_actions",
        ),
        (
            "times-of-dit-denser-towards-actions",
            "Beta(alpha, beta, validate_args=False)",
            "Beta(beta, alpha, validate_args=False)",
            "tests/modeling/mapanything_llava3d/test_dit_action_head.py::test_drawn_times_follow_the_published_distribution",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/null_condition.py",
        DIT_CHOICES,
        (
            "most-conditions-are-dropped",
            "device=like.device) < config.condition_dropout",
            "device=like.device) > config.condition_dropout",
            "the_share_of_samples_that_is_asked_for_sees_the_null_condition_in_training_alone",
        ),
        (
            "conditions-dropped-outside-of-training",
            "if not training or not config.condition_dropout:",
            "if not config.condition_dropout:",
            "the_share_of_samples_that_is_asked_for_sees_the_null_condition_in_training_alone",
        ),
        (
            "the-null-condition-of-all-tokens",
            "torch.where(dropped[:, None], is_first, seen)",
            "torch.where(dropped[:, None], torch.ones_like(is_first), seen)",
            "guidance_is_the_formula_over_two_plain_passes_in_one_batch",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/prefix_tokens.py",
        LLAVA3D_MODEL,
        (
            "numbers-are-dropped-instead-of-tokens",
            "torch.ones_like(embeds[..., :1])",
            "torch.ones_like(embeds)",
            "tokens_are_dropped_in_training_alone_whole_and_of_their_own_kind",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/mapanything_geometry.py",
        MAPANYTHING_GEOMETRY,
        (
            "all-views-are-the-reference",
            "mark[0, :, 1::2]",
            "mark[:, :, 1::2]",
            "published_weights_give_the_published_features",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/siglip_tower.py",
        LLAVA3D_MODEL,
        (
            "geometry-in-the-range-of-siglip",
            "(pixel_values * SIGLIP_STD + SIGLIP_MEAN).clamp(0, 1)",
            "pixel_values",
            "both_pixel_ranges_show_the_same_picture_to_both_branches",
        ),
        (
            "deviations-of-imagenet-in-another-order",
            "(0.229, 0.224, 0.225)",
            "(0.225, 0.224, 0.229)",
            "tests/modeling/mapanything_llava3d/test_mapanything_geometry.py::test_pixels_of_the_geometry_branch_have_the_statistics_of_imagenet",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/action_experts.py",
        LLAVA3D_MODEL,
        (
            "the-sum-of-two-experts",
            "return sum(losses) / 2",
            "return sum(losses)",
            "the_loss_of_both_experts_is_the_mean_of_theirs_over_one_pass_of_the_prefix",
        ),
        (
            "a-head-whose-time-runs-the-other-way",
            "head.bucket(1 - time)",
            "head.bucket(time)",
            "the_loss_of_both_experts_is_the_mean_of_theirs_over_one_pass_of_the_prefix",
        ),
    ),
    *planted(
        "configuration/mapanything_llava3d/llava3d_start.py",
        NEXT_LLAVA3D,
        (
            "statistics-of-the-base-are-lost",
            '{**base.norm_stats, **(given.get("norm_stats") or {})}',
            '{**(given.get("norm_stats") or {})}',
            "what_is_switched_on_step_by_step_is_what_is_switched_on_at_once",
        ),
    ),
]
