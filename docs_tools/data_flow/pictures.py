"""All pictures, by the names of their files: the families' own."""

from . import alpamayo_flow, cogvla_flow, composed_flow, llava3d_flow

PICTURES = {
    "cogvla": cogvla_flow.draw,
    "mapanything_llava3d": llava3d_flow.draw,
    "alpamayo_r1": alpamayo_flow.draw,
    "multimodal_vla": composed_flow.draw,
}
