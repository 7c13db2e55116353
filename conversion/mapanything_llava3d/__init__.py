"""How a run of LLaVA-3D with an action expert becomes a checkpoint, and how one is assembled from published parts."""
