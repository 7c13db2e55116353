"""How LLaVA-3D with an action expert become checkpoints."""
