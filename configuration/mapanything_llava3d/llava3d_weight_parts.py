"""The parts of LLaVA-3D models by the names of their tensors."""

from ..weight_parts import LANGUAGE_MODEL, PartRow, PartRules

ROWS = (
    PartRow(r"vision_tower\.", "vision tower (SigLIP)"),
    PartRow(r"geometric_model\.", "geometry (MapAnything)"),
    PartRow(r"(?:vision|geometric|fusion)_projector\.", "projectors"),
    PartRow(r"spatial_embed_tokens\.", "spatial tokens"),
    PartRow(r"language_model\.", LANGUAGE_MODEL),
    PartRow(r"language_model_with_expert\.", "action expert (joined stack)"),
    PartRow(r"action_expert\.", "action expert (projections)"),
    PartRow(r"dit_action_(?:head|projector)\.", "DiT head"),
)
LLAVA3D_PARTS = PartRules(
    rows=ROWS,
    order=tuple(row.part for row in ROWS),
    pretrained=("vision_tower", "geometric_model", "language_model"),
)
