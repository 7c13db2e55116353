"""What Alpamayo-R1 are given, and what they give back."""
