"""The model code of LLaVA-3D with an action expert."""
