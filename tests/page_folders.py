"""What stands behind the names of models, runs and data in the pages: tiny ones, in a folder of the same name.

transformers, datasets and vlahub look for a folder before they ask the Hub, so that `openvla/openvla-7b` on a page is
the folder of this name in the page's working directory.
"""

import functools
import json
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import transformers
from page_blocks import REPOSITORY

from vlahub.conversion.cli import main

sys.path.append(str(REPOSITORY / "examples"))
from drawn_scene import draw_scene
from driving_scene import driving_scene
from tiny_alpamayo import LATER, TinyAlpamayo
from tiny_backbones import SIZES, write_backbones
from tiny_dataset import write_dataset
from tiny_driving_dataset import write_driving_dataset
from tiny_llava3d_parts import TinyParts
from tiny_models import make_tokenizer, write_model
from tiny_run import TinyRun

IMAGES = {"image_size": 56, "patch_size": 14}
TURNS = "{% for turn in messages %}<s> {{ turn.role }} {{ turn.content }} </s>{% endfor %}<s> assistant"
STATISTICS = {"demo_tabletop": TinyRun().statistics()}


def run_of_cogvla(folder: Path) -> Path:
    """`base`, `run`, and `merged`, the checkpoint that they make."""
    TinyRun().write(folder)
    sources = ["--base", str(folder / "base"), "--adapter", str(folder / "run"), "--output", str(folder / "merged")]
    assert main(["merge-lora", *sources, "--num-images", "2", "--platform", "libero", "--quiet"]) == 0
    return folder


def merged_with_side_files(folder: Path) -> Path:
    """An OpenVLA-OFT as its authors publish: weights that are merged, and heads beside them."""
    TinyRun(cogvla=False).write(folder)
    for file in (folder / "run").glob("*.pt"):
        shutil.copy(file, folder / "base")
    shutil.copy(folder / "run" / "dataset_statistics.json", folder / "base")
    return folder / "base"


def merged_oft(folder: Path) -> Path:
    """An OpenVLA-OFT run that was merged: joined channels, no FiLM."""
    TinyRun(cogvla=False).write(folder)
    sources = ["--base", str(folder / "base"), "--adapter", str(folder / "run"), "--output", str(folder / "merged")]
    assert main(["merge-lora", *sources, "--num-images", "2", "--platform", "libero", "--quiet"]) == 0
    return folder / "merged"


def composed(folder: Path, **fields) -> Path:
    """A composed model of any number of views, without state, whose actions are drawn; its tokenizer knows turns."""
    own = {"action_head": "flow", "use_state": False, "state_dim": 0, "norm_stats": STATISTICS}
    write_model("multimodal_vla", folder, **own, **fields)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    processor.chat_template = TURNS
    processor.save_pretrained(folder)
    return folder


def llava3d(folder: Path) -> Path:
    parts = folder / "parts"
    TinyParts().write(parts)
    sources = [option for role in ("vision", "language", "geometry") for option in (f"--{role}", str(parts / role))]
    sizes = ["--action-dim", "7", "--num-action-chunks", "4", "--expert-hidden-size", "64"]
    sources += ["--statistics", str(parts / "dataset_statistics.json"), "--output", str(folder / "out"), "--quiet"]
    assert main(["assemble", "--family", "mapanything_llava3d", *sources, *sizes]) == 0
    return folder / "out"


def alpamayo(folder: Path) -> Path:
    """`published`, `vlm`, `base`, and `driver`, the checkpoint of the first two."""
    TinyAlpamayo().write(folder)
    sources = [str(folder / "published"), str(folder / "driver"), "--vlm", str(folder / "vlm"), "--quiet"]
    assert main(["convert", *sources]) == 0
    return folder


def later_alpamayo(folder: Path) -> Path:
    """The same of the later release."""
    TinyAlpamayo(package=LATER).write(folder)
    return folder


def siglip(folder: Path) -> Path:
    """Both towers, and a tokenizer of the text tower."""
    torch.manual_seed(0)
    text = {**SIZES, "vocab_size": 64, "max_position_embeddings": 16}
    config = transformers.SiglipConfig(text_config=text, vision_config={**SIZES, **IMAGES})
    transformers.SiglipModel(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def dinov2(folder: Path) -> Path:
    config = transformers.Dinov2WithRegistersConfig(**{**SIZES, **IMAGES}, mlp_ratio=2)
    transformers.Dinov2WithRegistersModel(config).save_pretrained(folder)
    return folder


def qwen3(folder: Path) -> Path:
    config = transformers.Qwen3Config(**SIZES, num_key_value_heads=1, head_dim=16, vocab_size=320, use_cache=True)
    transformers.Qwen3ForCausalLM(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def idefics3(folder: Path) -> Path:
    from tiny_vlms import tiny_vlm

    config, processor = tiny_vlm("idefics3")
    config = transformers.Idefics3Config(**{name: value for name, value in config.items() if name != "model_type"})
    transformers.Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def language_model(folder: Path) -> Path:
    write_backbones(folder)
    return folder / "language"


def adapter_of_a_language_model(folder: Path, seed: int) -> Path:
    from peft import LoraConfig, get_peft_model

    write_backbones(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "language")
    torch.manual_seed(seed)
    settings = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(model, settings).save_pretrained(folder / "adapter")
    return folder / "adapter"


def lerobot(folder: Path) -> Path:
    write_dataset(folder / "data", episodes=10, frames=4)
    return folder / "data"


def statistics(folder: Path) -> Path:
    file = folder / "dataset_statistics.json"
    file.write_text(json.dumps({"demo_tabletop": TinyRun().statistics()}))
    return file


def scene(folder: Path) -> Path:
    np.savez_compressed(folder / "scene.npz", **driving_scene())
    return folder / "scene.npz"


def drives(folder: Path) -> Path:
    write_driving_dataset(folder / "drives", episodes=2)
    return folder / "drives"


def bridge(folder: Path) -> Path:
    from tiny_rlds import write_rlds

    write_rlds(folder / "rlds", [4, 5])
    return folder / "rlds"


def aloha(folder: Path) -> Path:
    (folder / "aloha").mkdir(parents=True)
    if not find_spec("h5py"):
        return folder / "aloha"
    import h5py

    random = np.random.RandomState(0)
    with h5py.File(folder / "aloha" / "episode_0.hdf5", "w") as file:
        file["action"], file["observations/qpos"] = random.rand(4, 14), random.rand(4, 14)
        file["observations/images/cam_high"] = random.randint(0, 255, (4, 24, 32, 3), np.uint8)
    return folder / "aloha"


def view(folder: Path) -> Path:

    draw_scene().save(folder / "view.png")
    return folder / "view.png"


def llava3d_part(folder: Path, role: str) -> Path:
    TinyParts().write(folder)
    return folder / role


# Name on a page: its maker, and the part of what that makes.
FOLDERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "openvla/openvla-7b": (run_of_cogvla, "base"),
    "runs/my-run": (run_of_cogvla, "run"),
    "my-vla": (run_of_cogvla, "merged"),
    "my-oft": (merged_oft, ""),
    "you/your-two-camera-vla": (run_of_cogvla, "merged"),
    "you/your-vla": (composed, ""),
    "path/to/merged": (merged_with_side_files, ""),
    "path/to/model": (language_model, ""),
    "path/to/adapter": (functools.partial(adapter_of_a_language_model, seed=1), ""),
    "path/to/another": (functools.partial(adapter_of_a_language_model, seed=2), ""),
    "path/to/lerobot": (lerobot, ""),
    "you/your-dataset": (lerobot, ""),
    "bridge": (lerobot, ""),
    "path/to/bridge_orig": (bridge, ""),
    "path/to/aloha": (aloha, ""),
    "dataset_statistics.json": (statistics, ""),
    "my-3dvla": (llava3d, ""),
    "google/siglip-so400m-patch14-224": (siglip, ""),
    "ZCMax/LLaVA-3D-7B": (functools.partial(llava3d_part, role="language"), ""),
    "facebook/map-anything": (functools.partial(llava3d_part, role="geometry"), ""),
    "nvidia/Alpamayo-R1-10B": (alpamayo, "published"),
    "Qwen/Qwen3-VL-8B-Instruct": (alpamayo, "base"),
    "nvidia/Alpamayo-1.5-10B": (later_alpamayo, "published"),
    "nvidia/Cosmos-Reason2-8B": (later_alpamayo, "base"),
    "my-driver": (alpamayo, "driver"),
    "scene.npz": (scene, ""),
    "drives": (drives, ""),
    "google/siglip-base-patch16-224": (siglip, ""),
    "google/gemma-2b": (language_model, ""),
    "facebook/dinov2-with-registers-large": (dinov2, ""),
    "Qwen/Qwen3-1.7B": (qwen3, ""),
    "HuggingFaceM4/Idefics3-8B-Llama3": (idefics3, ""),
    "view_0.png": (view, ""),
    "view_1.png": (view, ""),
}


def prepare(name: str, page_folder: Path, cache: Path) -> None:
    """Put what a page calls `name` into its folder; what was made before is copied."""
    maker, part = FOLDERS[name]
    label = getattr(maker, "__name__", name) if maker in (run_of_cogvla, alpamayo, later_alpamayo) else name
    made = cache / label.replace("/", "--")
    source = made / ".source"
    if not source.exists():
        made.mkdir(parents=True)
        source.write_text(str(maker(made)))
    origin, target = Path(source.read_text()) / part, page_folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if origin.is_dir():
        shutil.copytree(origin, target, ignore=shutil.ignore_patterns(".source"))
    else:
        shutil.copy(origin, target)
