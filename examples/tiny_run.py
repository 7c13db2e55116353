"""A CogVLA, OpenVLA-OFT or OpenVLA training run at a tiny size, in the layout that training leaves on disk.

Weights follow from a formula over their names, so that the same run can be made anywhere:

    python examples/tiny_run.py FOLDER

writes FOLDER/base (the base model) and FOLDER/run (adapter, side files, statistics). It predicts nonsense, of course.
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

TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 4}
VOCAB_SIZE, PAD_ID, PATCH = 32064, 32000, 14
TOWERS = {
    "featurizer": {"embed_dim": 32, "depth": 4, "num_heads": 2, "hidden": 128, "registers": 4, "dino": True},
    "fused_featurizer": {"embed_dim": 48, "depth": 5, "num_heads": 2, "hidden": 179, "registers": 0, "dino": False},
}
TIMM_IDS = ["vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"]
LORA_RANK, LORA_ALPHA = 4, 16


@dataclass
class TinyRun:
    """What the run trained.

    Attributes:
        cogvla: MoE fusion, FiLM, aggregation tokens and token pruning; otherwise OpenVLA-OFT's joined channels.
        action_head: "l1", "diffusion" or "discrete".
        proprio_dim: size of the robot state, or 0.
        image_size: of both towers, in pixels; a multiple of 14.
    """

    cogvla: bool = True
    action_head: str = "l1"
    proprio_dim: int = 8
    action_dim: int = 7
    layers: int = 8
    num_vision_aggr: int = 4
    image_size: int = 56
    lfp_type: str = "shiftedcos_decay_0.78_0.15"
    lfp_average_factor: float = 0.3
    lfp_enable_film: bool = True
    pruning_layers: tuple[int, ...] = (3, 4, 5, 6, 7)
    dataset: str = "demo_tabletop"

    def write(self, folder: Path) -> None:
        """Write `folder/base` and `folder/run`."""
        base, run = folder / "base", folder / "run"
        write_model_files(base, self.config(cogvla=False), {**self.vision(wrapped=False), **self.language()})
        run.mkdir(parents=True)
        write_text_files(run, self.config(cogvla=self.cogvla))
        (run / "dataset_statistics.json").write_text(
            json.dumps({self.dataset: self.statistics()}, indent=2, allow_nan=False)
        )
        write_adapter(run / "lora_adapter", self.lora_targets())
        for kind, tensors in self.side_files().items():
            torch.save(tensors, run / f"{kind}--10_checkpoint.pt")

    def config(self, cogvla: bool) -> dict:
        """The published `openvla` config.json."""
        text = {**TEXT, "model_type": "llama", "num_hidden_layers": self.layers, "pad_token_id": PAD_ID}
        text["vocab_size"] = VOCAB_SIZE
        config = {
            "model_type": "openvla",
            "architectures": ["OpenVLAForActionPrediction"],
            "use_fused_vision_backbone": True,
            "image_sizes": [self.image_size, self.image_size],
            "timm_model_ids": TIMM_IDS,
            "timm_kwargs": [{k: t[k] for k in ("embed_dim", "depth", "num_heads")} for t in TOWERS.values()],
            "n_action_bins": 256,
            "pad_to_multiple_of": 64,
            "pad_token_id": PAD_ID,
            "torch_dtype": "bfloat16",
            "norm_stats": {"base_only": self.statistics()},
        }
        if cogvla:
            config |= {"use_film": True, "use_aggr": True, "num_vision_aggr": self.num_vision_aggr}
            config["vision_aggregate_type"] = "moe"
            text |= {"use_lfp": True, "lfp_type": self.lfp_type, "lfp_average_factor": self.lfp_average_factor}
            text["lfp_enable_film"] = self.lfp_enable_film
        return {**config, "text_config": text}

    def statistics(self) -> dict:
        return {
            "action": {**bounds("action", self.action_dim), "mask": [True] * (self.action_dim - 1) + [False]},
            "proprio": bounds("proprio", self.proprio_dim or 8),
            "num_transitions": 432,
            "num_trajectories": 9,
        }

    def vision(self, wrapped: bool) -> dict[str, tuple[int, ...]]:
        """Names and shapes of both towers in the base model; `wrapped`: relative to FiLM's backbone."""
        inside = "block." if wrapped else ""
        shapes = {}
        for name, tower in TOWERS.items():
            at, width, hidden = f"vision_backbone.{name}.", tower["embed_dim"], tower["hidden"]
            shapes |= {f"{at}pos_embed": (1, (self.image_size // PATCH) ** 2, width)}
            shapes |= {f"{at}{n}": s for n, s in weight_and_bias("patch_embed.proj", width, (3, PATCH, PATCH)).items()}
            shapes |= {f"{at}norm.{n}": (width,) for n in ("weight", "bias")}
            if tower["dino"]:
                shapes |= {f"{at}cls_token": (1, 1, width), f"{at}reg_token": (1, tower["registers"], width)}
            for i in range(tower["depth"]):
                block = f"{at}blocks.{i}.{inside}"
                shapes |= {f"{block}{n}.{p}": (width,) for n in ("norm1", "norm2") for p in ("weight", "bias")}
                if tower["dino"]:
                    shapes |= {f"{block}{n}.scale_factor": (width,) for n in ("ls1", "ls2")}
                for n, (rows, columns) in vision_linears(width, hidden).items():
                    shapes |= {f"{block}{k}": s for k, s in weight_and_bias(n, rows, (columns,)).items()}
                if wrapped:
                    for n in ("scale", "shift"):
                        film = weight_and_bias(f"blocks.{i}.{n}", width, (TEXT["hidden_size"],))
                        shapes |= {f"{at}{k}": s for k, s in film.items()}
        return shapes

    def language(self) -> dict[str, tuple[int, ...]]:
        width = TEXT["hidden_size"]
        shapes = {f"language_model.{n}.weight": (VOCAB_SIZE, width) for n in ("model.embed_tokens", "lm_head")}
        shapes["language_model.model.norm.weight"] = (width,)
        for i in range(self.layers):
            at = f"language_model.model.layers.{i}."
            shapes |= {f"{at}{n}.weight": (width,) for n in ("input_layernorm", "post_attention_layernorm")}
            shapes |= {f"{at}{n}.weight": s for n, s in language_linears(width, TEXT["intermediate_size"]).items()}
        joined = sum(tower["embed_dim"] for tower in TOWERS.values())
        for n, rows, columns in (("fc1", 4 * joined, joined), ("fc2", width, 4 * joined), ("fc3", width, width)):
            shapes |= weight_and_bias(f"projector.{n}", rows, (columns,))
        return shapes

    def lora_targets(self) -> dict[str, tuple[int, ...]]:
        """Weights that the adapter changes; with FiLM, those of the towers carry the names of the wrapped modules."""
        vision = self.vision(wrapped=self.cogvla)
        vision = {f"vision_backbone.{k}" if self.cogvla else k: s for k, s in vision.items()}
        found = {k: s for k, s in {**vision, **self.language()}.items() if len(s) == 2 and "embed_tokens" not in k}
        return {k: s for k, s in found.items() if ".scale." not in k and ".shift." not in k}

    def side_files(self) -> dict[str, dict[str, torch.Tensor]]:
        width, files = TEXT["hidden_size"], {}
        if self.cogvla:
            files["vision_backbone"] = self.wrapped_vision()
            files["non_lora_trainables"] = values("tuned", self.routers())
        if self.action_head != "discrete":
            core = "module.noise_predictor.mlp_resnet." if self.action_head == "diffusion" else "module.model."
            shapes = {f"{core}{k}": s for k, s in head_shapes(self.action_dim, width).items()}
            files["action_head"] = values("head", shapes)
        for kind, size in (("proprio_projector", self.proprio_dim), ("noisy_action_projector", 1)):
            if size and (kind == "proprio_projector" or self.action_head == "diffusion"):
                layers = {
                    **weight_and_bias("module.fc1", width, (size,)),
                    **weight_and_bias("module.fc2", width, (width,)),
                }
                files[kind] = values(kind, layers, torch.float32)
        return files

    def wrapped_vision(self) -> dict[str, torch.Tensor]:
        """The vision side file: LoRA beside the weights that it changes, not merged."""
        tensors = {}
        for name, value in values("tuned", self.vision(wrapped=True)).items():
            module, _, parameter = name.rpartition(".")
            if f"{module}.weight" not in self.vision_lora():
                tensors[name] = value
                continue
            tensors[f"{module}.base_layer.{parameter}"] = value
            if parameter == "weight":
                for part, lora in lora_values(f"{module}.", value.shape).items():
                    tensors[f"{module}.{part}.default.weight"] = lora
        for name, tower in TOWERS.items():
            shape = {f"vision_aggr_{name}": (1, self.num_vision_aggr, tower["embed_dim"])}
            tensors |= values("tuned", shape, torch.float32)
        return tensors

    def vision_lora(self) -> set[str]:
        return {name.removeprefix("vision_backbone.") for name in self.lora_targets() if "featurizer" in name}

    def routers(self) -> dict[str, tuple[int, ...]]:
        width = TEXT["hidden_size"]
        shapes = {**weight_and_bias("aggregation_router.router.0", width, (width,))}
        shapes |= weight_and_bias("aggregation_router.router.2", 2, (width,))
        for name, tower in TOWERS.items():
            shapes |= weight_and_bias(f"{name}_proj.fc1", width, (tower["embed_dim"],))
            shapes |= weight_and_bias(f"{name}_proj.fc2", width, (width,))
        for layer in self.pruning_layers:
            at = f"language_model.model.layers.{layer}.router."
            shapes |= weight_and_bias(f"{at}router", 2, (width,))
            for n in ("scale", "shift") if self.lfp_enable_film else ():
                shapes |= weight_and_bias(f"{at}{n}.0", width // 2, (width,))
                shapes |= weight_and_bias(f"{at}{n}.2", width, (width // 2,))
        return shapes


def formula(name: str, shape: tuple[int, ...], mean: float, std: float) -> np.ndarray:
    """Numbers that depend on nothing but the name."""
    return mean + std * np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)


def values(origin: str, shapes: dict[str, tuple[int, ...]], dtype=torch.bfloat16) -> dict[str, torch.Tensor]:
    """Weights of a usual size: norms about one, matrices so that variance is kept."""
    tensors = {}
    for name, shape in shapes.items():
        norm = ("norm" in name and name.endswith("weight")) or name.endswith("ffn.0.weight")
        std = shape[-1] ** -0.5 if len(shape) == 2 else 0.02
        std = 0.5 if name.endswith(("embed_tokens.weight", "pos_embed", "token")) or "aggr_" in name else std
        mean, std = (1.0, 0.02) if norm else (0.6, 0.1) if "scale_factor" in name else (0.0, std)
        tensors[name] = torch.from_numpy(formula(f"{origin}:{name}", shape, mean, std)).to(dtype)
    return tensors


def lora_values(module: str, shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
    return {
        "lora_A": torch.from_numpy(formula(f"{module}A", (LORA_RANK, shape[1]), 0, shape[1] ** -0.5)).bfloat16(),
        "lora_B": torch.from_numpy(formula(f"{module}B", (shape[0], LORA_RANK), 0, 0.05)).bfloat16(),
    }


def weight_and_bias(name: str, rows: int, columns: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (rows, *columns), f"{name}.bias": (rows,)}


def vision_linears(width: int, hidden: int) -> dict[str, tuple[int, int]]:
    return {
        "attn.qkv": (3 * width, width),
        "attn.proj": (width, width),
        "mlp.fc1": (hidden, width),
        "mlp.fc2": (width, hidden),
    }


def language_linears(width: int, hidden: int) -> dict[str, tuple[int, int]]:
    linears = {f"self_attn.{n}_proj": (width, width) for n in "qkvo"}
    return linears | {
        "mlp.gate_proj": (hidden, width),
        "mlp.up_proj": (hidden, width),
        "mlp.down_proj": (width, hidden),
    }


def head_shapes(action_dim: int, width: int) -> dict[str, tuple[int, ...]]:
    size = action_dim * width
    shapes = {"layer_norm1.weight": (size,), "layer_norm1.bias": (size,), **weight_and_bias("fc1", width, (size,))}
    for i in range(2):
        shapes |= {f"mlp_resnet_blocks.{i}.ffn.0.{p}": (width,) for p in ("weight", "bias")}
        shapes |= weight_and_bias(f"mlp_resnet_blocks.{i}.ffn.1", width, (width,))
    shapes |= {"layer_norm2.weight": (width,), "layer_norm2.bias": (width,)}
    return shapes | weight_and_bias("fc2", action_dim, (width,))


def bounds(name: str, size: int) -> dict[str, list[float]]:
    """Statistics with the quantiles inside the extremes."""
    low, high = (
        -1 - np.abs(formula(f"{name}.low", (size,), 0, 0.2)),
        1 + np.abs(formula(f"{name}.high", (size,), 0, 0.2)),
    )
    rows = {
        "min": low - 0.2,
        "max": high + 0.2,
        "q01": low,
        "q99": high,
        "mean": (low + high) / 2,
        "std": (high - low) / 4,
    }
    return {key: [round(float(v), 4) for v in row] for key, row in rows.items()}


def write_model_files(folder: Path, config: dict, shapes: dict[str, tuple[int, ...]]) -> None:
    """A checkpoint in two shards."""
    folder.mkdir(parents=True)
    write_text_files(folder, config)
    tensors = values("base", shapes)
    last = {name: tensors.pop(name) for name in list(tensors) if "lm_head" in name}
    weight_map = {}
    for i, shard in enumerate((tensors, last)):
        name = f"model-{i + 1:05d}-of-00002.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, name)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map}, allow_nan=False)
    )


def write_text_files(folder: Path, config: dict) -> None:
    """config.json, the published image processor's config and the tokenizer."""
    (folder / "config.json").write_text(json.dumps(config, indent=2, allow_nan=False))
    size = config["image_sizes"][0]
    preprocessor = {
        "image_processor_type": "PrismaticImageProcessor",
        "image_resize_strategy": "resize-naive",
        "input_sizes": [[3, size, size]] * 2,
        "interpolations": ["bicubic", "bicubic"],
        "means": [[0.484375, 0.455078125, 0.40625], [0.5, 0.5, 0.5]],
        "stds": [[0.228515625, 0.2236328125, 0.224609375], [0.5, 0.5, 0.5]],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2, allow_nan=False))
    make_tokenizer().save(str(folder / "tokenizer.json"))
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<PAD>"}
    settings = {**tokens, "tokenizer_class": "LlamaTokenizer", "padding_side": "right", "model_max_length": 2048}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2, allow_nan=False))


def make_tokenizer() -> Tokenizer:
    """Characters with byte fallback in Llama's scheme, filled up to 32000 entries and a padding token."""
    entries = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁"]
    entries += [chr(c) for c in range(33, 127)]
    entries += [f"<unused{i}>" for i in range(PAD_ID - len(entries))]
    vocab = {entry: i for i, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.BPE(vocab, [], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in ("<unk>", "<s>", "</s>", "<PAD>")])
    return tokenizer


def write_adapter(folder: Path, targets: dict[str, tuple[int, ...]]) -> None:
    """The adapter in PEFT's layout."""
    folder.mkdir()
    tensors = {}
    for name, shape in targets.items():
        module = name.removesuffix(".weight")
        for part, lora in lora_values(module.removeprefix("vision_backbone.") + ".", shape).items():
            tensors[f"base_model.model.{module}.{part}.weight"] = lora
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "r": LORA_RANK,
        "lora_alpha": LORA_ALPHA,
        "target_modules": sorted(name.removesuffix(".weight") for name in targets),
        "base_model_name_or_path": "base",
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, allow_nan=False))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    TinyRun().write(Path(sys.argv[1]))
