"""Fields of `CogVLAConfig` that a model follows when they change: `changeable_fields` of `VLAConfig`."""

OF_SAMPLING = ("num_diffusion_steps", "num_inference_steps", "norm_stats", "normalization_type")
OF_TOKENS = ("n_action_bins", "pad_to_multiple_of", "prompt_end_token_id", "stop_token_id")
OF_READING = ("action_attention", "language_mean")
UNREAD = ("pad_token_id", "view_names")
COGVLA_CHANGES = frozenset([*OF_SAMPLING, *OF_TOKENS, *OF_READING, *UNREAD])
