"""An Alpamayo-R1 that is small enough to learn the drawn road on a CPU, not trained; nothing is downloaded."""

import sys
from pathlib import Path

import torch
from driving_demonstrations import CAMERAS, WAYPOINTS

import vlahub

sys.path.append(str(Path(__file__).parents[1]))
from tiny_models import write_model

BEGIN = {"initializer_range": 0.1}  # at this width the usual 0.02 takes long to learn from
SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, **BEGIN}
SIZES |= {"num_key_value_heads": 2}
# A patch of 16 x 16 pixels in two copies is 1,536 numbers, whose sum moves far in a single step of training.
TOWER = {"hidden_size": 64, "intermediate_size": 128, "depth": 2, "num_heads": 4, "out_hidden_size": 64, **BEGIN}
TOWER |= {"patch_size": 8, "temporal_patch_size": 1, "spatial_merge_size": 2}
PROJECTION = {"hidden_size": 128, "num_fourier_feats": 20}
WORDS = {"system_prompt": "drive", "request": "go"}  # a token each byte


def write_driver(folder: Path, seed: int = 0) -> None:
    """Write model and processor; every weight follows from the seed."""
    write_model("alpamayo_r1", folder)
    fields = vlahub.AlpamayoR1Config.from_pretrained(folder).to_dict()
    tokenizer = vlahub.AlpamayoR1Processor.from_pretrained(folder).tokenizer
    fields["vlm_config"]["text_config"] |= SIZES
    fields["vlm_config"]["vision_config"] |= TOWER
    fields["expert_config"] |= SIZES
    fields["action_in_proj_cfg"] |= PROJECTION
    space = fields["action_space_cfg"] | {"n_waypoints": WAYPOINTS}
    fields |= {"num_action_chunks": WAYPOINTS, "tokens_per_future_traj": 2 * WAYPOINTS, "action_space_cfg": space}
    fields["traj_tokenizer_cfg"] |= {"action_space_cfg": space}
    frames = {"view_names": list(CAMERAS), "min_pixels": 256}
    config = vlahub.AlpamayoR1Config(**{**fields, **frames})
    torch.manual_seed(seed)
    vlahub.AlpamayoR1(config).save_pretrained(folder)
    patches = {name: TOWER[name] for name in ("patch_size", "temporal_patch_size")}
    processor = vlahub.AlpamayoR1Processor.for_config(config, tokenizer, **patches)
    for name, words in WORDS.items():
        setattr(processor, name, words)
    processor.save_pretrained(folder)
