"""How Alpamayo-R1 learn."""
