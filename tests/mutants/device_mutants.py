"""Tensors on the wrong device: on the processor beside a card's, or on the other card."""

from .planted import planted

SIMULATED = "tests/test_simulated_card.py"
MODEL = "a_model_of_each_family_computes_on_a_card_and_spread_over_two"
ASKED = "what_else_each_family_is_asked_it_computes_on_a_card"

MUTANTS = [
    *planted(
        "modeling/spread_parts.py",
        SIMULATED,
        (
            "outputs-stay-on-the-part's-card",
            "hook.io_same_device = True",
            "hook.io_same_device = False",
            f"{MODEL}[cogvla]",
        ),
        (
            "tensors-beside-parts-stay-where-they-are",
            "tensor.data = tensor.data.to(main)",
            "pass",
            f"{MODEL}[cogvla]",
        ),
    ),
    *planted(
        "modeling/action_normalization.py",
        SIMULATED,
        (
            "statistics-on-the-processor",
            "(torch.tensor(numbers, dtype=dtype, device=device) for",
            "(torch.tensor(numbers, dtype=dtype) for",
            f"{MODEL}[mapanything_llava3d]",
        ),
    ),
    *planted(
        "modeling/masking.py",
        SIMULATED,
        (
            "places-of-a-mask-on-the-processor",
            "places = torch.arange(suffix_len, device=suffix.device)",
            "places = torch.arange(suffix_len)",
            f"{MODEL}[mapanything_llava3d]",
        ),
    ),
    *planted(
        "modeling/flow_matching_action_expert.py",
        SIMULATED,
        (
            "a-flow's-noise-drawn-on-the-processor",
            "torch.randn(wanted, dtype=torch.float32, device=like.device)",
            "torch.randn(wanted, dtype=torch.float32)",
            f"{ASKED}[mapanything_llava3d]",
        ),
    ),
    *planted(
        "modeling/cogvla/cogvla_losses.py",
        SIMULATED,
        (
            "timesteps-drawn-on-the-processor",
            "torch.randint(steps, actions.shape[:1], device=actions.device)",
            "torch.randint(steps, actions.shape[:1])",
            f"{ASKED}[cogvla]",
        ),
    ),
    *planted(
        "modeling/cogvla/cogvla_core_inputs.py",
        SIMULATED,
        (
            "bins-drawn-on-the-processor",
            "torch.empty(rows, tokens, config.n_action_bins, dtype=torch.float32, device=device)",
            "torch.empty(rows, tokens, config.n_action_bins, dtype=torch.float32)",
            f"{ASKED}[cogvla]",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/null_condition.py",
        SIMULATED,
        (
            "conditions-dropped-on-the-processor",
            "torch.rand(len(like), dtype=torch.float32, device=like.device)",
            "torch.rand(len(like), dtype=torch.float32)",
            f"{ASKED}[mapanything_llava3d]",
        ),
    ),
    *planted(
        "modeling/mapanything_llava3d/dit_sampling.py",
        SIMULATED,
        (
            "unguided-rows-on-the-processor",
            "torch.arange(len(both[0]), device=both[0].device)",
            "torch.arange(len(both[0]))",
            f"{ASKED}[mapanything_llava3d]",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/vision_tokens.py",
        SIMULATED,
        (
            "numbers-of-pictures-on-the-processor",
            "torch.tensor([len(one) for one in rows], device=rows[0].device)",
            "torch.tensor([len(one) for one in rows])",
            f"{ASKED}[multimodal_vla]",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/written_trajectories.py",
        SIMULATED,
        (
            "places-of-a-written-path-on-the-processor",
            "torch.arange(config.tokens_per_future_traj, device=written.device)",
            "torch.arange(config.tokens_per_future_traj)",
            f"{ASKED}[alpamayo_r1]",
        ),
    ),
    *planted(
        "modeling/alpamayo_r1/rollout.py",
        SIMULATED,
        (
            "a-processor's-generator-draws-on-the-card",
            "torch.empty_like(numbers, device=generator.device)",
            "torch.empty_like(numbers)",
            f"{ASKED}[alpamayo_r1]",
        ),
    ),
]
