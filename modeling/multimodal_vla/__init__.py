"""The model code of composed models."""
