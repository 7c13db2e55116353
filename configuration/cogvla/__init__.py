"""What can be configured in CogVLA, OpenVLA-OFT and OpenVLA."""
