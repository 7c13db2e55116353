"""How CogVLA, OpenVLA-OFT and OpenVLA learn."""
