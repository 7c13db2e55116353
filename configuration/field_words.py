"""Published checkpoints have several words for one thing: those of each field of a config that has several."""

# The words of one field; the first is the project's own.
WORDS = (
    ("num_action_chunks", "action_horizon"),
    ("state_dim", "proprio_dim"),
    ("use_state", "use_proprio"),
    ("num_images_in_input", "num_views"),
    ("num_inference_steps", "num_steps", "num_inference_timesteps"),
)
