"""Whole folders: what they hold, and whether that is what their place in a command needs."""
