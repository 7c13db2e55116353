"""How checkpoints are asked for predictions on the command line."""
