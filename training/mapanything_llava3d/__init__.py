"""How LLaVA-3D with an action expert learn."""
