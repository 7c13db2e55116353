"""The model code of Alpamayo-R1."""
