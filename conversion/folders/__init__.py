"""Whole folders: what they hold, and whether that fits their place in a command."""
