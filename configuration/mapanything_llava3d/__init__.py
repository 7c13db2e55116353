"""What can be configured in LLaVA-3D with an action expert."""
