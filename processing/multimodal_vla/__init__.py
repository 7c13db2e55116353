"""What composed models are given, and what they give back."""
