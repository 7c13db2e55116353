"""Whole folders: what they hold, and what of it travels."""
