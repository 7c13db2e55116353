"""Fields of `MultimodalVLAConfig` that a model follows when they change: `changeable_fields` of `VLAConfig`."""

OF_SAMPLING = ("num_inference_steps", "ode_solver", "ode_spacing", "norm_stats", "normalization_type")
OF_READING = ("action_vocab_size", "num_action_bins", "text_pooling")
OF_TRAINING = ("freeze_language_model", "freeze_vision_tower", "time_sampling", "use_time_weight")
UNREAD = ("view_names",)
COMPOSED_CHANGES = frozenset([*OF_SAMPLING, *OF_READING, *OF_TRAINING, *UNREAD])
