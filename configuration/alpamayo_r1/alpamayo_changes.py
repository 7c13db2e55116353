"""Fields of `AlpamayoR1Config` that a model follows when they change: `changeable_fields` of `VLAConfig`."""

OF_SAMPLING = ("diffusion_cfg.num_inference_steps", "diffusion_cfg.ode_solver", "diffusion_cfg.ode_spacing")
OF_TOKENS = (
    "add_special_tokens",
    "tokens_per_future_traj",
    "tokens_per_history_traj",
    "traj_token_ids",
    "traj_token_start_idx",
    "traj_tokenizer_cfg",
    "traj_vocab_size",
    "vocab_size",
)
OF_ATTENTION = ("expert_non_causal_attention", "mask_prompt_padding", "stop_grad_from_vlm")
UNREAD = ("camera_labels", "max_pixels", "min_pixels", "view_names", "vlm_name_or_path")
ALPAMAYO_CHANGES = frozenset([*OF_SAMPLING, *OF_TOKENS, *OF_ATTENTION, *UNREAD])
