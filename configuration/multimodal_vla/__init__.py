"""What can be configured in composed models."""
