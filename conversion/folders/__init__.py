"""Whole folders: what they hold, whether that fits their place in a command, and whether one may be written."""
