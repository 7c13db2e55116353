"""Names of files of adapters, as PEFT writes them; the first is preferred."""

ADAPTER_NAMES = ("adapter_model.safetensors", "adapter_model.bin")
ADAPTER_FOLDER = "lora_adapter"  # of a run of OpenVLA-OFT or CogVLA, where its adapter lies
