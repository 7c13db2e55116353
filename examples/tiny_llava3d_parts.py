"""Writes published-looking parts of a LLaVA-3D model at a tiny size: vision/ (SigLIP), language/ (LLaVA-3D) and
geometry/ (MapAnything), for trying `vlahub assemble` without downloads.

    python examples/tiny_llava3d_parts.py FOLDER

Keys, configs and files are those of google/siglip-so400m-patch14-224, ZCMax/LLaVA-3D-7B and facebook/map-anything, with
the tensors that an assembly leaves out. Every number follows from the seed and its tensor's name.
"""

import json
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION |= {"image_size": 56, "patch_size": 14, "model_type": "siglip_vision_model"}
LANGUAGE = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}
LANGUAGE |= {"num_key_value_heads": 2, "rms_norm_eps": 1e-5, "max_position_embeddings": 512, "rope_theta": 10000.0}
GEOMETRY = {"width": 64, "layers": 2, "hidden": 64, "image_size": 70, "patch_size": 14}
SHARING = {"width": 32, "layers": 2, "hidden": 64, "heads": 2}
ACTION_DIM, STATE_DIM = 7, 8

Shapes = dict[str, tuple[int, ...]]


@dataclass
class TinyParts:
    """What to write. `write` makes vision/, language/, geometry/ and dataset_statistics.json in a folder."""

    seed: int = 0
    language_type: str = "llava_llama"
    vision_width: int = VISION["hidden_size"]
    dtype: torch.dtype = torch.float32

    def write(self, folder: Path) -> None:
        self.write_vision(folder / "vision")
        self.write_language(folder / "language")
        self.write_geometry(folder / "geometry")
        statistics = {"demo_tabletop": {"action": bounds("action", ACTION_DIM), "state": bounds("state", STATE_DIM)}}
        statistics["demo_tabletop"] |= {"num_trajectories": 3, "num_transitions": 120}
        statistics["demo_tabletop"]["action"]["mask"] = [True] * (ACTION_DIM - 1) + [False]
        (folder / "dataset_statistics.json").write_text(json.dumps(statistics, indent=2, allow_nan=False))

    def write_vision(self, folder: Path) -> None:
        width = self.vision_width
        config = {"model_type": "siglip", "architectures": ["SiglipModel"], "initializer_factor": 1.0}
        config |= {"text_config": {"hidden_size": 16}, "vision_config": {**VISION, "hidden_size": width}}
        text = {"logit_scale": (1,), "logit_bias": (1,), "text_model.embeddings.token_embedding.weight": (9, 16)}
        text |= affine("text_model.head", 16, 16)
        write_part(folder, config, "apache-2.0")
        save_file(self.values(siglip_shapes(width) | text), folder / "model.safetensors", {"format": "pt"})

    def write_language(self, folder: Path) -> None:
        """Two shards, as published; LLaVA's own vision side is in the second."""
        tokenizer = make_tokenizer()
        size = tokenizer.get_vocab_size()
        config = {"model_type": self.language_type, "architectures": ["LlavaLlamaForCausalLM"], **LANGUAGE}
        config |= {"vocab_size": size, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "hidden_act": "silu"}
        config |= {"mm_vision_tower": "openai/clip-vit-large-patch14-336", "mm_video_tower": "SpatialAwareModule"}
        config |= {"mm_hidden_size": 1024, "mm_projector_type": "mlp2x_gelu", "tie_word_embeddings": False}
        write_part(folder, config, "llama2")
        dead = affine("model.mm_projector.0", 64, 24) | {"model.vision_tower.vision_tower.class_embedding": (24,)}
        dead |= affine("model.video_tower.prompt_encoder.pos_emb3d.0", 8, 3)
        shards = [language_shapes(size), {"lm_head.weight": (size, LANGUAGE["hidden_size"]), **dead}]
        weight_map = {}
        for number, shapes in enumerate(shards, start=1):
            name = f"model-{number:05d}-of-00002.safetensors"
            save_file(self.values(shapes), folder / name, {"format": "pt"})
            weight_map |= dict.fromkeys(shapes, name)
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, allow_nan=False))
        tokenizer.save(str(folder / "tokenizer.json"))
        tokens = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>"}
        settings = {**tokens, "tokenizer_class": "LlamaTokenizer", "model_max_length": 2048}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2, allow_nan=False))

    def write_geometry(self, folder: Path) -> None:
        config = {"name": "mapanything", "encoder_config": {"encoder_str": "dinov2", "uses_torch_hub": True}}
        sharing = {"depth": SHARING["layers"], "dim": SHARING["width"], "num_heads": SHARING["heads"]}
        config |= {"info_sharing_config": {"model_type": "alternating_attention", "module_args": sharing}}
        write_part(folder, config, "cc-by-nc-4.0")
        other = {"scale_token": (64,), "info_sharing.view_pos_table": (1, SHARING["width"])}
        other |= affine("fusion_norm_layer", 64) | affine("depth_encoder.encoder.0", 8, 3)
        other |= affine("pose_head.fc", 7, 32) | affine("dpt_feature_head.scratch", 4, 4)
        save_file(self.values(geometry_shapes() | other), folder / "model.safetensors", {"format": "pt"})

    def values(self, shapes: Shapes) -> dict[str, torch.Tensor]:
        """Weights of a usual size: norms about one, matrices so that variance is kept."""
        tensors = {}
        for name, shape in shapes.items():
            drawn = np.random.RandomState(zlib.crc32(f"{self.seed}:{name}".encode())).standard_normal(shape)
            if ("norm" in name and name.endswith("weight")) or name.endswith("gamma"):
                drawn = 1 + 0.02 * drawn
            else:
                drawn *= shape[-1] ** -0.5 if len(shape) == 2 else 0.02
            tensors[name] = torch.from_numpy(np.asarray(drawn)).to(self.dtype)
        return tensors


def affine(name: str, rows: int, columns: int | None = None) -> Shapes:
    """Weight and bias of a linear layer, or of a norm."""
    return {f"{name}.weight": (rows,) if columns is None else (rows, columns), f"{name}.bias": (rows,)}


def siglip_shapes(width: int) -> Shapes:
    patch, hidden = VISION["patch_size"], VISION["intermediate_size"]
    positions = (VISION["image_size"] // patch) ** 2
    shapes = {
        "embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "embeddings.patch_embedding.bias": (width,),
    }
    shapes |= {"embeddings.position_embedding.weight": (positions, width), **affine("post_layernorm", width)}
    for i in range(VISION["num_hidden_layers"]):
        at = f"encoder.layers.{i}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= affine(f"{at}self_attn.{name}", width, width)
        shapes |= affine(f"{at}layer_norm1", width) | affine(f"{at}layer_norm2", width)
        shapes |= affine(f"{at}mlp.fc1", hidden, width) | affine(f"{at}mlp.fc2", width, hidden)
    shapes |= {"head.probe": (1, 1, width), **affine("head.layernorm", width)}
    return {f"vision_model.{name}": shape for name, shape in shapes.items()}


def language_shapes(vocab_size: int) -> Shapes:
    width, hidden = LANGUAGE["hidden_size"], LANGUAGE["intermediate_size"]
    shapes = {"model.embed_tokens.weight": (vocab_size, width), "model.norm.weight": (width,)}
    return shapes | decoder_shapes("model.layers.", LANGUAGE["num_hidden_layers"], width, hidden)


def decoder_shapes(prefix: str, layers: int, width: int, hidden: int) -> Shapes:
    """Layers of Llama whose heads are those of `LANGUAGE`, whatever their width."""
    head = LANGUAGE["hidden_size"] // LANGUAGE["num_attention_heads"]
    heads = {"q": LANGUAGE["num_attention_heads"], "k": LANGUAGE["num_key_value_heads"]}
    heads["v"] = heads["k"]
    shapes: Shapes = {}
    for i in range(layers):
        at = f"{prefix}{i}."
        shapes |= {f"{at}{name}_layernorm.weight": (width,) for name in ("input", "post_attention")}
        shapes |= {f"{at}self_attn.{name}_proj.weight": (count * head, width) for name, count in heads.items()}
        shapes[f"{at}self_attn.o_proj.weight"] = (width, heads["q"] * head)
        shapes |= {f"{at}mlp.{name}_proj.weight": (hidden, width) for name in ("gate", "up")}
        shapes[f"{at}mlp.down_proj.weight"] = (width, hidden)
    return shapes


def geometry_shapes() -> Shapes:
    """V1 of MapAnything: plain MLPs, a final norm, and information sharing of another width."""
    width, patch = GEOMETRY["width"], GEOMETRY["patch_size"]
    positions = 1 + (GEOMETRY["image_size"] // patch) ** 2
    shapes = {"encoder.model.cls_token": (1, 1, width), "encoder.model.pos_embed": (1, positions, width)}
    shapes |= {
        "encoder.model.mask_token": (1, width),
        "encoder.model.patch_embed.proj.weight": (width, 3, patch, patch),
    }
    shapes |= {"encoder.model.patch_embed.proj.bias": (width,), **affine("encoder.model.norm", width)}
    shapes |= affine("info_sharing.proj_embed", SHARING["width"], width) | affine("info_sharing.norm", SHARING["width"])
    for prefix, sizes, scale in (
        ("encoder.model.blocks.", GEOMETRY, True),
        ("info_sharing.self_attention_blocks.", SHARING, False),
    ):
        for i in range(sizes["layers"]):
            shapes |= vision_block(f"{prefix}{i}.", sizes["width"], sizes["hidden"], scale)
    return shapes


def vision_block(at: str, width: int, hidden: int, scale: bool) -> Shapes:
    shapes = affine(f"{at}norm1", width) | affine(f"{at}norm2", width)
    shapes |= affine(f"{at}attn.qkv", 3 * width, width) | affine(f"{at}attn.proj", width, width)
    shapes |= affine(f"{at}mlp.fc1", hidden, width) | affine(f"{at}mlp.fc2", width, hidden)
    return shapes | ({f"{at}ls1.gamma": (width,), f"{at}ls2.gamma": (width,)} if scale else {})


def bounds(name: str, size: int) -> dict[str, list[float]]:
    """Statistics with the quantiles inside the extremes."""
    low, high = (np.random.RandomState(zlib.crc32(f"{name}.{n}".encode())).uniform(0.8, 1.2, size) for n in "ab")
    rows = {"min": -low - 0.2, "max": high + 0.2, "q01": -low, "q99": high, "mean": high - low, "std": high}
    return {key: [round(float(v), 4) for v in row] for key, row in rows.items()}


def write_part(folder: Path, config: dict, licence: str) -> None:
    """Config and model card of a part."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2, allow_nan=False))
    (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n\nA part at a tiny size, not trained.\n")


def make_tokenizer() -> Tokenizer:
    """Characters with byte fallback in Llama's scheme."""
    entries = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", *map(chr, range(33, 127))]
    vocab = {entry: i for i, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.BPE(vocab, [], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in ("<unk>", "<s>", "</s>")])
    return tokenizer


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    TinyParts().write(Path(sys.argv[1]))
