"""How CogVLA, OpenVLA-OFT and OpenVLA become checkpoints."""
