"""What CogVLA, OpenVLA-OFT and OpenVLA are given, and what they give back."""
