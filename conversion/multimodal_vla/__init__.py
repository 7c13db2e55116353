"""Composed models, which are born as checkpoints: nothing but the family's name is needed."""
