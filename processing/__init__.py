"""What turns images, text and robot state into tensors."""
