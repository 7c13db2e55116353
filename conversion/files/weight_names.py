"""Names of files of weights, as transformers and PEFT write them; the first of each is preferred."""

INDEX_NAMES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WHOLE_NAMES = ("model.safetensors", "pytorch_model.bin")
ADAPTER_NAMES = ("adapter_model.safetensors", "adapter_model.bin")
ADAPTER_FOLDER = "lora_adapter"  # of a run of OpenVLA-OFT or CogVLA, where its adapter lies
