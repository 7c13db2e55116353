"""The parts of Alpamayo-R1 by the names of their tensors."""

from ..weight_parts import LANGUAGE_MODEL, PartRow, PartRules

ROWS = (
    PartRow(r"vlm\.model\.visual\.", "vision tower (Qwen3-VL)"),
    PartRow(r"vlm\.", LANGUAGE_MODEL),
    PartRow(r"expert\.", "action expert"),
    PartRow(r"action_in_proj\.", "projection of actions"),
    PartRow(r"action_out_proj\.", "projection to actions"),
)
ALPAMAYO_PARTS = PartRules(rows=ROWS, order=tuple(row.part for row in ROWS), pretrained=("vlm",))
