"""The public surface of vlahub."""
