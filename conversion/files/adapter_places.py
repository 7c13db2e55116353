"""Where an adapter lies, as PEFT and the runs of OpenVLA-OFT and CogVLA leave it; the first place is preferred."""

from pathlib import Path

ADAPTER_FOLDER = "lora_adapter"  # of a run of OpenVLA-OFT or CogVLA, where its adapter lies
ADAPTER_NAMES = ("adapter_model.safetensors", "adapter_model.bin")
PLACES = tuple(f"{inside}{name}" for inside in (f"{ADAPTER_FOLDER}/", "") for name in ADAPTER_NAMES)


def adapter_files(folder: Path) -> list[str]:
    """The adapters of a run, or of a folder of PEFT's, by their places in it; all who read one take the first."""
    return [place for place in PLACES if (folder / place).exists()]
