"""How Alpamayo-R1 become checkpoints."""
