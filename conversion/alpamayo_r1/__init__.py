"""How a published Alpamayo-R1 becomes a checkpoint, and what it takes from `vlahub predict`."""
