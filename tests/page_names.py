"""What each page needs before its first block: folders (see `page_folders.py`) and names of Python.

Every page has torch, the Auto classes, all public names of vlahub, a picture (`image`), two (`views`), a batch of two
samples (`texts`, and what goes with them), and `statistics`. What else a page takes as known stands in `PAGES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import peft
import torch
import transformers
from page_folders import STATISTICS, draw_scene, make_tokenizer
from transformers import TrainingArguments

import vlahub
import vlahub.data

STATE = [0.1 * i for i in range(8)]

# Of a block, and what takes its place on a machine without a card.
INSTEAD = {'.to("cuda")': '.to("cpu")'}


@dataclass(frozen=True)
class Page:
    """Attributes:
    folders: names that are there before the first block.
    names: makes what its Python takes as known; called in the page's folder when they are.
    slow: it trains, merges or converts, and runs with `make test-slow`.
    """

    folders: tuple[str, ...] = ()
    names: Callable[[], dict[str, Any]] = dict
    slow: bool = True


def common_names() -> dict[str, Any]:
    views = [draw_scene(), draw_scene().transpose(0)]
    names = {name: getattr(vlahub, name) for name in vlahub.__all__}
    names |= {name: getattr(transformers, name) for name in ("AutoConfig", "AutoModel", "AutoProcessor")}
    names |= {"AutoModelForImageTextToText": transformers.AutoModelForImageTextToText}
    names |= {"torch": torch, "np": np, "vlahub": vlahub, "get_peft_model": peft.get_peft_model}
    names |= {"image": views[0], "views": views, "state": STATE, "statistics": STATISTICS}
    names |= {"tokenizer": make_tokenizer(), "RandomAugmentation": vlahub.data.RandomAugmentation}
    return names


def loaded(name: str, **options: Any) -> dict[str, Any]:
    """`model` and `processor` of a folder."""
    model = transformers.AutoModelForImageTextToText.from_pretrained(name, **options).eval()
    return {"model": model, "processor": transformers.AutoProcessor.from_pretrained(name)}


def a_policy() -> dict[str, Any]:
    names = loaded("you/your-vla")
    inputs = names["processor"](images=[draw_scene()], text="put the bowl on the plate", return_tensors="pt")
    return names | {"inputs": inputs}


def an_unsure_policy() -> dict[str, Any]:
    names = a_policy()
    return names | {"held_out": [names["inputs"]] * 2, "ask": print, "act": print}


def a_batch(horizon: int, width: int = 7) -> dict[str, Any]:
    views = [draw_scene(), draw_scene()]
    return {
        "views": [views, views],
        "texts": ["pick up the bowl", "put the bowl on the plate"],
        "states": [STATE, STATE],
        "normalized_actions": torch.zeros(2, horizon, width),
    }


def a_trainer() -> dict[str, Any]:
    arguments = TrainingArguments("runs/own", remove_unused_columns=False, use_cpu=True, report_to="none")
    return loaded("you/your-vla") | {"arguments": arguments}


def a_driver() -> dict[str, Any]:
    with np.load("scene.npz") as scene:
        history = {"images": scene["images"], "xyz": scene["ego_history_xyz"], "rot": scene["ego_history_rot"]}
    return loaded("my-driver") | history


def recorded_actions() -> dict[str, Any]:
    random = np.random.RandomState(0)
    pads = {"is_pad": np.zeros((6, 4), bool), "episode": np.zeros(6, int), "frame": np.arange(6)}
    return {name: random.standard_normal((6, 4, 7)) for name in ("predicted", "recorded")} | pads


def scenes() -> dict[str, Any]:
    view = [draw_scene()]
    names = {"scenes": [(view, "a black bowl")], "scenes_with_texts_of_others": [(view, "a red drawer")]}
    return names | {"views": view}


def a_vlm() -> dict[str, Any]:
    sizes = {"action_dim": 7, "num_action_chunks": 4, "num_action_bins": 16, "norm_stats": STATISTICS}
    return {"options": sizes, "primary": draw_scene(), "wrist": draw_scene()}


RUN = ("openvla/openvla-7b", "runs/my-run")
PAGES = {
    "README.md": Page((*RUN, "you/your-vla", "path/to/lerobot")),
    "docs/index.md": Page(("you/your-vla",), slow=False),
    "docs/loading.md": Page(
        ("you/your-vla", "you/your-two-camera-vla", "my-vla", "view_0.png", "view_1.png"), slow=False
    ),
    "docs/quick-start.md": Page(RUN),
    "docs/merging.md": Page((*RUN, "path/to/merged", "path/to/model", "path/to/adapter", "path/to/another")),
    "docs/which-file-goes-where.md": Page(RUN, slow=False),
    "docs/publishing.md": Page((*RUN, "my-vla")),
    "docs/security.md": Page(("you/your-vla",), slow=False),
    "docs/from-base-to-policy.md": Page(
        ("openvla/openvla-7b", "dataset_statistics.json", "you/your-dataset", "my-3dvla", "my-oft")
    ),
    "docs/assembling-llava3d.md": Page(
        ("google/siglip-so400m-patch14-224", "ZCMax/LLaVA-3D-7B", "facebook/map-anything", "dataset_statistics.json"),
        lambda: a_batch(50),
    ),
    "docs/driving-with-alpamayo-r1.md": Page(
        (
            *("nvidia/Alpamayo-R1-10B", "Qwen/Qwen3-VL-8B-Instruct", "scene.npz"),
            *("nvidia/Alpamayo-1.5-10B", "nvidia/Cosmos-Reason2-8B"),
        ),
        a_driver,
    ),
    "docs/closed-loop.md": Page(slow=False),
    "docs/driving-loop.md": Page(slow=False),
    "docs/training-alpamayo-r1.md": Page(("Qwen/Qwen3-VL-8B-Instruct", "drives")),
    "docs/composing.md": Page(("google/siglip-base-patch16-224", "google/gemma-2b"), lambda: a_batch(8)),
    "docs/fine-tuning.md": Page(("you/your-vla", "path/to/lerobot"), a_trainer),
    "docs/data.md": Page(("path/to/lerobot", "path/to/bridge_orig", "path/to/aloha", "bridge")),
    "docs/evaluation.md": Page(("my-vla", "path/to/lerobot"), recorded_actions),
    "docs/asking-when-unsure.md": Page(("you/your-vla",), an_unsure_policy, slow=False),
    "docs/talking-to-a-policy.md": Page(
        ("google/siglip-base-patch16-224", "google/gemma-2b", "you/your-vla"), scenes, slow=False
    ),
    "docs/real-time.md": Page(("you/your-vla",), a_policy, slow=False),
    "docs/vision-in-composed-models.md": Page(
        (
            "facebook/dinov2-with-registers-large",
            "google/siglip-so400m-patch14-224",
            "Qwen/Qwen3-1.7B",
            "google/siglip-base-patch16-224",
            "you/your-vla",
        )
    ),
    "docs/families/cogvla.md": Page(("you/your-two-camera-vla",), slow=False),
    "docs/families/mapanything_llava3d.md": Page(("my-3dvla",), lambda: a_batch(50), slow=False),
    "docs/families/alpamayo_r1.md": Page(("my-driver", "scene.npz"), a_driver),
    "docs/families/multimodal_vla.md": Page(("google/siglip-base-patch16-224", "google/gemma-2b"), slow=False),
    "docs/migrating.md": Page(
        (*RUN, "my-vla", "my-driver", "path/to/merged", "nvidia/Alpamayo-R1-10B", "Qwen/Qwen3-VL-8B-Instruct")
    ),
    "docs/cards.md": Page(("my-vla", "view_0.png", "view_1.png")),
    "docs/pictures.md": Page(("my-vla", "view_0.png", "view_1.png"), lambda: loaded("my-vla")),
    "docs/training.md": Page(("my-vla", "path/to/lerobot")),
    "docs/inspect.md": Page((*RUN, "my-vla")),
    "docs/lerobot.md": Page(("path/to/lerobot",)),
    "docs/vlm-backbones.md": Page(("HuggingFaceM4/Idefics3-8B-Llama3",), a_vlm),
}
