"""README.md of a checkpoint into which adapters were merged: that of its family, where it is one of ours."""

from pathlib import Path

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ..alpamayo_r1.alpamayo_card import write_alpamayo_card
from ..folders.travelling_code import own_config
from ..mapanything_llava3d.llava3d_card import write_llava3d_card
from ..model_card import write_model_card
from ..multimodal_vla.multimodal_card import write_multimodal_card
from .generic_card import write_generic_card


def write_merged_card(folder: Path, report: dict, base_folder: Path) -> None:
    """Write the card of what `folder` holds: its config.json is there already."""
    config = own_config(folder)
    if config is None:
        write_generic_card(folder, report, base_folder)
    elif config.model_type == CogVLAConfig.model_type:
        write_model_card(folder, config, report, base_folder)
    elif config.model_type == MapAnythingLlava3DConfig.model_type:
        write_llava3d_card(folder, config, report, {"base": base_folder})
    elif config.model_type == AlpamayoR1Config.model_type:
        write_alpamayo_card(folder, config, report, {"base": base_folder})
    else:
        write_multimodal_card(folder, config, report, base_folder)
