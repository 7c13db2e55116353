"""How composed models learn."""
