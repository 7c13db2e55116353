"""Every family at a tiny size: how a checkpoint of it is made, and how it is called."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from tiny_configs import bounds, composed_config, llava3d_config
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

import vlahub
from vlahub.conversion.cli import main

REPOSITORY = Path(__file__).parents[1]
INSTRUCTION = "Put the red block on the tray"
STATE = [0.1 * i for i in range(8)]

# How a robot's checkpoint is called, and Alpamayo's; source text, which also runs in other processes.
ROBOT = f"""
def prepare(processor, views):
    return processor(images=list(views), text={INSTRUCTION!r}, state={STATE})

def predict(model, inputs):
    return model.predict_action(**inputs)
"""
CAR = """
def prepare(processor, views):
    xyz = np.stack([np.linspace(-8, 0, 16), np.zeros(16), np.zeros(16)], axis=-1)
    cameras = views.transpose(0, 3, 1, 2)[:, None]  # one frame each
    return processor(images=cameras, ego_history_xyz=xyz, ego_history_rot=np.tile(np.eye(3), (16, 1, 1)))

def predict(model, inputs):
    output = model.sample_trajectories(**inputs, num_traj_samples=2, top_k=1, max_new_tokens=4)
    assert isinstance(output.reasoning[0][0][1], str)  # the tokenizer came along
    return output.actions
"""


@dataclass(frozen=True)
class Family:
    """One family: the beginning of its class names, the end of its file names, and how a tiny checkpoint is made."""

    prefix: str
    model_name: str
    suffix: str
    make: Callable[[Path], Path]
    inputs: tuple[str, ...]
    unnorm_key: str | None = "demo_tabletop"
    call: str = ROBOT
    apart: bool = False  # model and processor bring their code each on its own

    @property
    def config(self):
        return getattr(vlahub, f"{self.prefix}Config")

    @property
    def model(self):
        return getattr(vlahub, self.model_name)

    @property
    def processor(self):
        return getattr(vlahub, f"{self.prefix}Processor")


def make_cogvla(folder):
    """A converted run, float32."""
    spec = importlib.util.spec_from_file_location("tiny_run", REPOSITORY / "examples" / "tiny_run.py")
    tiny_run = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny_run)
    tiny_run.TinyRun().write(folder)
    options = ["--num-images", "2", "--platform", "libero", "--dtype", "float32", "--quiet"]
    arguments = ["--base", str(folder / "base"), "--adapter", str(folder / "run"), "--output", str(folder / "out")]
    assert main(["merge-lora", *arguments, *options]) == 0
    return folder / "out"


def make_llava3d(folder, **fields):
    """A model with random weights, every part in use unless fields say otherwise, and its processor, saved."""
    torch.manual_seed(0)
    statistics = {"demo_tabletop": {"action": bounds(7), "state": bounds(len(STATE))}}
    words = dict.fromkeys(["<unk>", "</s>", *INSTRUCTION.split()])
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    processor = vlahub.MapAnythingLlava3DProcessor(
        vlahub.MapAnythingLlava3DImageProcessor(size={"height": 28, "width": 28}),
        transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="</s>"),
        norm_stats=statistics,
        state_dim=len(STATE),
    )
    config = llava3d_config(
        text_config={"model_type": "mistral", "rope_theta": 5e5},
        **{"action_expert_type": "deep_fusion+dit"} | fields,
        num_action_chunks=8,
        use_state=True,
        state_dim=len(STATE),
        norm_stats=statistics,
        image_token_id=processor.image_token_id,
    )
    vlahub.MapAnythingLlava3DForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def make_alpamayo(folder):
    """A published-looking checkpoint and its base model, converted."""
    spec = importlib.util.spec_from_file_location("tiny_alpamayo", REPOSITORY / "examples" / "tiny_alpamayo.py")
    tiny = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    tiny.TinyAlpamayo().write(folder)
    sources = [str(folder / "published"), str(folder / "out"), "--vlm", str(folder / "vlm")]
    assert main(["convert", *sources, "--quiet"]) == 0
    return folder / "out"


def make_composed(folder):
    """A tiny SigLIP and Gemma, joined, with a flow head; and its processor."""
    torch.manual_seed(0)
    words = dict.fromkeys(["<unk>", "</s>", *INSTRUCTION.split()])
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    config = composed_config(
        projector_type="perceiver",
        fusion="film",
        action_head="flow",
        action_dim=7,
        num_action_chunks=8,
        state_dim=len(STATE),
        norm_stats={"demo_tabletop": {"action": bounds(7), "proprio": bounds(len(STATE))}},
    )
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="</s>")
    vlahub.MultimodalVLAForActionPrediction(config).save_pretrained(folder)
    vlahub.MultimodalVLAProcessor.for_config(config, tokenizer).save_pretrained(folder)
    return folder


TEXT_AND_IMAGES = ("attention_mask", "input_ids", "pixel_values")
FAMILIES = {
    "cogvla": Family("CogVLA", "CogVLAForActionPrediction", "cogvla", make_cogvla, (*TEXT_AND_IMAGES, "state")),
    "mapanything_llava3d": Family(
        "MapAnythingLlava3D",
        "MapAnythingLlava3DForConditionalGeneration",
        "mapanything_llava3d",
        make_llava3d,
        (*TEXT_AND_IMAGES, "state"),
    ),
    "multimodal_vla": Family(
        "MultimodalVLA",
        "MultimodalVLAForActionPrediction",
        "multimodal_vla",
        make_composed,
        (*TEXT_AND_IMAGES, "state"),
        apart=True,
    ),
    "alpamayo_r1": Family(
        "AlpamayoR1",
        "AlpamayoR1",
        "alpamayo_r1",
        make_alpamayo,
        (*TEXT_AND_IMAGES, "image_grid_thw", "ego_history_xyz", "ego_history_rot"),
        unnorm_key=None,
        call=CAR,
    ),
}
