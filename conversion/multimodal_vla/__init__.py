"""How composed models become checkpoints."""
