"""Model code: one file for each part that has a name of its own in the papers."""
