"""What LLaVA-3D with an action expert are given, and what they give back."""
