"""Where an adapter lies, as PEFT and the runs of OpenVLA-OFT and CogVLA leave it; the first name is preferred."""

ADAPTER_NAMES = ("adapter_model.safetensors", "adapter_model.bin")
ADAPTER_FOLDER = "lora_adapter"  # of a run of OpenVLA-OFT or CogVLA, where its adapter lies
