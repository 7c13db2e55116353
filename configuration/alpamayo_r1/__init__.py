"""What can be configured in Alpamayo-R1."""
