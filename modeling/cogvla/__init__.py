"""The model code of CogVLA, OpenVLA-OFT and OpenVLA."""
