"""Writes an Alpamayo-R1 at a tiny size, in the layout that is published, for trying `vlahub convert` without downloads.

    python examples/tiny_alpamayo.py FOLDER

FOLDER/published holds config.json with the names of classes, and weights in shards; FOLDER/vlm the files of the base
model, a Qwen3-VL, without its weights; FOLDER/base such a Qwen3-VL with weights, for trying `vlahub create`. Every
number follows from the seed and its tensor's name, and nothing is trained.
"""

import json
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

# What Qwen adds to its vocabulary, in its order; those from <tool_call> on are plain text to a decoder.
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>"]
ADDED += ["<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"]
ADDED += ["<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>"]
ADDED += ["<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>"]
ADDED += ["<think>", "</think>"]
NUM_SPECIAL = 14
BASE = 256 + len(ADDED)  # the tokens of the base: every byte, then those above
HISTORY_BINS, FUTURE_BINS = 60, 100
TRAJ_TOKENS = HISTORY_BINS + FUTURE_BINS
NEW = 28  # special tokens that the release adds behind the trajectory's
MARKERS = {"history": 15, "future": 16, "history_start": 5, "future_start": 12, "history_end": 7, "future_end": 14}
TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT |= {"num_key_value_heads": 1, "head_dim": 16, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 5000000}
TEXT |= {"rope_scaling": {"mrope_interleaved": True, "mrope_section": [4, 2, 2], "rope_type": "default"}}
TEXT |= {"max_position_embeddings": 4096, "model_type": "qwen3_vl_text", "attention_bias": False}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "depth": 2,
    "num_heads": 2,
    "out_hidden_size": 32,
    "in_channels": 3,
}
VISION |= {"patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 64}
VISION |= {"deepstack_visual_indexes": [0], "model_type": "qwen3_vl", "hidden_act": "gelu_pytorch_tanh"}
EXPERT = {"hidden_size": 24, "intermediate_size": 40, "num_attention_heads": 2, "head_dim": 16}
IN_PROJ = {"hidden_size": 20, "num_enc_layers": 2, "max_freq": 2.0, "num_fourier_feats": 8}
SPACE = {"accel_mean": 0.02902694707164455, "accel_std": 0.6810426736454882}
SPACE |= {"curvature_mean": 0.0002692167976330542, "curvature_std": 0.026148280660833106}
SPACE |= {"accel_bounds": [-9.8, 9.8], "curvature_bounds": [-0.33, 0.33], "dt": 0.1, "n_waypoints": 64}
TEMPLATE = """{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.content is string %}{{- message.content }}{%- else %}{%- for part in message.content %}
{%- if part.type == 'image' %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}
{%- elif 'text' in part %}{{- part.text }}{%- endif %}{%- endfor %}{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

LATER = "alpamayo1_5"  # package and model type of the later release
Shapes = dict[str, tuple[int, ...]]


@dataclass
class TinyAlpamayo:
    """What to write. `write` makes published/, vlm/ and base/ in a folder.

    Attributes:
        package: in front of the names of classes, `alpamayo_r1` or, of the later release, `alpamayo1_5`.
        tied: input and output embeddings are one tensor, which is stored once.
    """

    seed: int = 0
    package: str = "alpamayo_r1"
    tied: bool = False
    dtype: torch.dtype = torch.bfloat16

    def write(self, folder: Path) -> None:
        self.write_base(folder / "vlm")
        self.write_published(folder / "published")
        self.write_whole_base(folder / "base")

    def write_whole_base(self, folder: Path, rows: int = BASE + 6) -> None:
        """A Qwen3-VL with its weights; rows: of its embeddings, more than it has tokens, as usual."""
        self.write_base(folder, rows)
        weights = {n.removeprefix("vlm."): w for n, w in self.weights(rows).items() if n.startswith("vlm.")}
        weights = {name: value.to(self.dtype) for name, value in weights.items()}
        save_file(weights, folder / "model.safetensors", {"format": "pt"})

    def write_base(self, folder: Path, rows: int = BASE) -> None:
        """All of a Qwen3-VL but its weights, which the release holds; rows: of its embeddings."""
        special = {name: 256 + ADDED.index(f"<|{name}|>") for name in ("image_pad", "video_pad")}
        config: dict[str, Any] = {"model_type": "qwen3_vl", "architectures": ["Qwen3VLForConditionalGeneration"]}
        config |= {"image_token_id": special["image_pad"], "video_token_id": special["video_pad"]}
        config |= {"vision_start_token_id": 256 + 9, "vision_end_token_id": 256 + 10}
        ends = {"bos_token_id": 256, "eos_token_id": 258}
        config |= {"text_config": {**TEXT, **ends, "vocab_size": rows}, "vision_config": VISION}
        config |= {"tie_word_embeddings": self.tied}
        grey = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        images = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, **grey}
        images |= {"size": {"longest_edge": 16777216, "shortest_edge": 65536}}
        images |= {"image_processor_type": "Qwen2VLImageProcessorFast", "processor_class": "Qwen3VLProcessor"}
        words = {"bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None}
        words |= {"tokenizer_class": "Qwen2Tokenizer", "model_max_length": 4096, "chat_template": TEMPLATE}
        write_folder(folder, "The base model of a tiny Alpamayo-R1.")
        write_json(folder / "config.json", config)
        write_json(folder / "preprocessor_config.json", images)
        write_json(folder / "tokenizer_config.json", words)
        write_json(folder / "chat_template.json", {"chat_template": TEMPLATE})
        make_tokenizer().save(str(folder / "tokenizer.json"))

    def write_published(self, folder: Path) -> None:
        write_folder(folder, "An Alpamayo-R1 at a tiny size, not trained.")
        write_json(folder / "config.json", self.config())
        weights = {name: value.to(self.dtype) for name, value in (self.weights() | buffers()).items()}
        language = {name for name in weights if name.startswith("vlm.")}
        weight_map = {}
        for number, names in enumerate((language, set(weights) - language), start=1):
            file = f"model-{number:05d}-of-00002.safetensors"
            save_file({name: weights[name] for name in sorted(names)}, folder / file, {"format": "pt"})
            weight_map |= dict.fromkeys(sorted(names), file)
        write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})

    def config(self) -> dict[str, Any]:
        space = {"_target_": f"{self.package}.action_space.UnicycleAccelCurvatureActionSpace", **SPACE}
        future = {"_target_": f"{self.package}.action_space.discrete_action_space.DiscreteTrajectoryTokenizer"}
        future |= {"_recursive_": False, "action_space_cfg": space, "num_bins": FUTURE_BINS}
        future |= {"dims_min": [-10, -10], "dims_max": [10, 10]}
        history = {"_target_": f"{self.package}.models.delta_tokenizer.DeltaTrajectoryTokenizer"}
        sampler = {"_target_": f"{self.package}.diffusion.flow_matching.FlowMatching", "int_method": "euler"}
        projection = {"_target_": f"{self.package}.models.action_in_proj.PerWaypointActionInProjV2", **IN_PROJ}
        config: dict[str, Any] = {"model_type": "alpamayo_r1", "architectures": ["AlpamayoR1"]}
        if self.package == LATER:
            config = {"model_type": LATER, "architectures": ["Alpamayo1_5"], "include_camera_ids": True}
            config["include_frame_nums"] = True
        config |= {"vlm_backend": "qwenvl3", "vlm_name_or_path": "somebody/a-base-model", "model_dtype": "bfloat16"}
        config |= {"expert_cfg": EXPERT, "action_space_cfg": space, "diffusion_cfg": {**sampler, "x_dims": None}}
        config |= {"action_in_proj_cfg": projection, "action_out_proj_cfg": {"_target_": "torch.nn.Linear"}}
        config |= {"traj_tokenizer_cfg": future, "hist_traj_tokenizer_cfg": {**history, "num_bins": HISTORY_BINS}}
        config |= {"traj_vocab_size": TRAJ_TOKENS, "traj_token_start_idx": BASE, "vocab_size": BASE + TRAJ_TOKENS + NEW}
        config["traj_token_ids"] = {name: BASE + TRAJ_TOKENS + place for name, place in MARKERS.items()}
        config |= {"tokens_per_history_traj": 48, "tokens_per_future_traj": 128, "add_special_tokens": True}
        config |= {"min_pixels": 1024, "max_pixels": 8192, "padding_side": "left", "dtype": "bfloat16"}
        return config | {"attn_implementation": "sdpa", "keep_same_dtype": True, "expert_non_causal_attention": True}

    def weights(self, rows: int = BASE + TRAJ_TOKENS + NEW) -> dict[str, torch.Tensor]:
        """Weights of a usual size: norms about one, matrices so that variance is kept; rows: of the embeddings."""
        shapes = vision_shapes() | language_shapes(rows) | expert_shapes()
        if self.tied:
            del shapes["vlm.lm_head.weight"]
        tensors = {}
        for name, shape in shapes.items():
            drawn = np.random.RandomState(zlib.crc32(f"{self.seed}:{name}".encode())).standard_normal(shape)
            is_norm = name.endswith("weight") and len(shape) == 1
            drawn = 1 + 0.02 * drawn if is_norm else drawn * (0.02 if len(shape) == 1 else np.prod(shape[1:]) ** -0.5)
            tensors[name] = torch.from_numpy(np.asarray(drawn))
        return tensors


def buffers() -> dict[str, torch.Tensor]:
    """What the published modules compute from their config and store all the same."""
    found = {f"action_space.{name}": torch.tensor(SPACE[name]) for name in list(SPACE)[:4]}
    frequencies = torch.logspace(0, np.log10(IN_PROJ["max_freq"]), IN_PROJ["num_fourier_feats"] // 2)[None]
    names = ("sinus.0", "sinus.1", "timestep_fourier_encoder")
    return found | {f"action_in_proj.{name}.freqs": frequencies.clone() for name in names}


def affine(name: str, rows: int, columns: int | None = None) -> Shapes:
    """Weight and bias of a linear layer, or of a norm."""
    return {f"{name}.weight": (rows,) if columns is None else (rows, columns), f"{name}.bias": (rows,)}


def vision_shapes() -> Shapes:
    at, width, patch = "vlm.model.visual.", VISION["hidden_size"], VISION["patch_size"]
    shapes = {f"{at}patch_embed.proj.weight": (width, 3, VISION["temporal_patch_size"], patch, patch)}
    shapes |= {f"{at}patch_embed.proj.bias": (width,), f"{at}pos_embed.weight": (64, width)}
    for i in range(VISION["depth"]):
        block = f"{at}blocks.{i}."
        shapes |= affine(f"{block}norm1", width) | affine(f"{block}norm2", width)
        shapes |= affine(f"{block}attn.qkv", 3 * width, width) | affine(f"{block}attn.proj", width, width)
        hidden = VISION["intermediate_size"]
        shapes |= affine(f"{block}mlp.linear_fc1", hidden, width) | affine(f"{block}mlp.linear_fc2", width, hidden)
    merged = width * VISION["spatial_merge_size"] ** 2
    for name, normed in (("merger", width), ("deepstack_merger_list.0", merged)):
        shapes |= affine(f"{at}{name}.norm", normed) | affine(f"{at}{name}.linear_fc1", merged, merged)
        shapes |= affine(f"{at}{name}.linear_fc2", VISION["out_hidden_size"], merged)
    return shapes


def language_shapes(rows: int) -> Shapes:
    at, width = "vlm.model.language_model.", TEXT["hidden_size"]
    shapes = {f"{at}embed_tokens.weight": (rows, width), "vlm.lm_head.weight": (rows, width)}
    return shapes | stack_shapes(at, {**TEXT})


def expert_shapes() -> Shapes:
    """The expert's stack and the projections of its actions."""
    width, inner, features = EXPERT["hidden_size"], IN_PROJ["hidden_size"], IN_PROJ["num_fourier_feats"]
    trunk = "action_in_proj.encoder.trunk."
    shapes = stack_shapes("expert.", {**TEXT, **EXPERT}) | affine(f"{trunk}0", inner, 3 * features)
    shapes |= {f"{trunk}2.weight": (inner,), **affine(f"{trunk}3", inner, inner), f"{trunk}5.weight": (inner,)}
    return (
        shapes
        | affine(f"{trunk}6", width, inner)
        | affine("action_in_proj.norm", width)
        | affine("action_out_proj", 2, width)
    )


def stack_shapes(prefix: str, sizes: dict[str, Any]) -> Shapes:
    width, hidden, head = sizes["hidden_size"], sizes["intermediate_size"], sizes["head_dim"]
    rows = {"q": sizes["num_attention_heads"] * head, "k": sizes["num_key_value_heads"] * head}
    rows["v"] = rows["k"]
    shapes: Shapes = {f"{prefix}norm.weight": (width,)}
    for i in range(sizes["num_hidden_layers"]):
        at = f"{prefix}layers.{i}."
        shapes |= {f"{at}{name}_layernorm.weight": (width,) for name in ("input", "post_attention")}
        shapes |= {f"{at}self_attn.{name}_norm.weight": (head,) for name in ("q", "k")}
        shapes |= {f"{at}self_attn.{name}_proj.weight": (count, width) for name, count in rows.items()}
        shapes[f"{at}self_attn.o_proj.weight"] = (width, rows["q"])
        shapes |= {f"{at}mlp.{name}_proj.weight": (hidden, width) for name in ("gate", "up")}
        shapes[f"{at}mlp.down_proj.weight"] = (width, hidden)
    return shapes


def make_tokenizer() -> Tokenizer:
    """Bytes without merges, and what Qwen adds to them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in ADDED[:NUM_SPECIAL]])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ADDED[NUM_SPECIAL:]])
    return tokenizer


def write_folder(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(f"---\nlicense: apache-2.0\n---\n\n{text}\n")


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    TinyAlpamayo().write(Path(sys.argv[1]))
