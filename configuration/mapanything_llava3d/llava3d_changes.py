"""Fields of `MapAnythingLlava3DConfig` that a model follows when they change: `changeable_fields` of `VLAConfig`."""

OF_SAMPLING = ("num_inference_steps", "ode_solver", "ode_spacing", "norm_stats", "normalization_type")
OF_INPUTS = ("action_token_begin_idx", "geometry_normalization", "image_token_id", "pixel_range", "prefix_attention")
OF_TRAINING = (
    *("prefix_image_dropout_prob", "prefix_lang_dropout_prob", "stop_grad_from_vlm", "time_sampling"),
    *("use_time_weight", "dit_config.condition_dropout", "dit_config.guidance_scale", "dit_config.noise_beta_alpha"),
    *("dit_config.noise_beta_beta", "dit_config.noise_s", "dit_config.num_timestep_buckets"),
)
UNREAD = (
    *("image_seq_length", "view_names", "language_model_name_or_path", "mapanything_model_name_or_path"),
    "vision_model_name_or_path",
)
LLAVA3D_CHANGES = frozenset([*OF_SAMPLING, *OF_INPUTS, *OF_TRAINING, *UNREAD])
