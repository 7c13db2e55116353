"""What the tensors of an OpenVLA, OpenVLA-OFT or CogVLA say of its config: sizes, and which parts there are."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..vla_errors import ConversionError
from .configuration_cogvla_vision import TIMM_MODELS
from .openvla_names import cogvla_parts, has_cogvla_fields

HIDDEN_SIZE_7B = 4096
TOWERS = ("featurizer", "fused_featurizer")
EMBEDDINGS = "language_model.model.embed_tokens.weight"
VISION_FILE, ROUTER_FILE = "vision_backbone--*_checkpoint.pt", "non_lora_trainables--*_checkpoint.pt"
# What config.json says of parts, and the file of a run that they lie in.
PROMISED = {
    "use_film": VISION_FILE,
    "use_aggr": VISION_FILE,
    "vision_aggregate_type": ROUTER_FILE,
    "use_lfp": ROUTER_FILE,
}


class TensorShapes(Mapping[str, tuple[int, ...]]):
    """Shapes of tensors by the names that the model has for them."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]):
        self.shapes = dict(shapes)

    def __getitem__(self, name: str) -> tuple[int, ...]:
        """Raises ConversionError where there is no such tensor."""
        if name not in self.shapes:
            raise ConversionError(f"no source has {name}. Is a file missing?")
        return self.shapes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __contains__(self, name: object) -> bool:
        return name in self.shapes

    def num_layers(self, prefix: str) -> int:
        """How many layers there are with names from `{prefix}0` on.

        Raises:
            ConversionError: none.
        """
        numbers = [int(name[len(prefix) :].split(".")[0]) for name in self if name.startswith(prefix)]
        if not numbers:
            raise ConversionError(f"no source has {prefix}0: these are not the weights of such a model.")
        return max(numbers) + 1


def with_sizes(published: Mapping[str, Any], shapes: TensorShapes) -> dict[str, Any]:
    """A published config.json with the sizes of towers and language model where it is silent.

    Raises:
        ConversionError: a tensor is missing, or a number of attention heads is unknown.
    """
    said = published.get("image_sizes") or [None, None]
    kwargs = published.get("timm_kwargs") or [{}, {}]
    described = zip(TOWERS, published["timm_model_ids"], kwargs, strict=True)
    return {
        **published,
        "timm_kwargs": [{**tower_sizes(shapes, name, model_id, given), **given} for name, model_id, given in described],
        "image_sizes": [image_size(shapes, name, size) for name, size in zip(TOWERS, said, strict=True)],
        "text_config": text_sizes(published.get("text_config") or {}, shapes),
    }


def tower_sizes(shapes: TensorShapes, name: str, model_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of the vision tower `name`, from its tensors.

    given: its entry in timm_kwargs of config.json. Raises ConversionError where the number of heads is unknown.
    """
    prefix = f"vision_backbone.{name}."
    width, _, patch_size, _ = shapes[prefix + "patch_embed.proj.weight"]
    published = TIMM_MODELS.get(model_id, {})
    if "num_heads" not in given and published.get("embed_dim", width) != width:
        raise ConversionError(
            f"{name} is {width} wide, {model_id} is {published['embed_dim']}: its number of attention heads is unknown "
            "(timm_kwargs of config.json may say it)."
        )
    registers = prefix + "reg_token"
    return {
        "embed_dim": width,
        "depth": shapes.num_layers(prefix + "blocks."),
        "intermediate_size": shapes[prefix + "blocks.0.mlp.fc1.weight"][0],
        "patch_size": patch_size,
        "num_registers": shapes[registers][1] if registers in shapes else 0,
        "has_class_token": prefix + "cls_token" in shapes,
        "has_layer_scale": prefix + "blocks.0.ls1.scale_factor" in shapes,
    }


def image_size(shapes: TensorShapes, name: str, said: int | None) -> int:
    """From the number of position embeddings; what config.json says decides how much is left at the edges."""
    prefix = f"vision_backbone.{name}."
    patch_size = shapes[prefix + "patch_embed.proj.weight"][2]
    side = math.isqrt(shapes[prefix + "pos_embed"][1])
    return said if said and said // patch_size == side else side * patch_size


def text_sizes(text: Mapping[str, Any], shapes: TensorShapes) -> dict[str, Any]:
    """text: the published text_config. Raises ConversionError where the number of heads is unknown."""
    vocab_size, hidden_size = shapes[EMBEDDINGS]
    if "num_attention_heads" not in text and hidden_size != HIDDEN_SIZE_7B:
        raise ConversionError(
            f"the language model is {hidden_size} wide and text_config of config.json has no num_attention_heads."
        )
    read = {
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "intermediate_size": shapes["language_model.model.layers.0.mlp.up_proj.weight"][0],
        "num_hidden_layers": shapes.num_layers("language_model.model.layers."),
    }
    return {**read, **text}


def check_promised(published: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """See that the parts of which config.json speaks are those there are; found: see `parts_found`.

    CogVLA's attention and files follow from the fields that it writes; a config.json without any is its base's.

    Raises:
        ConversionError: the message names the field and the file that may be missing.
    """
    promised = {**published, "use_lfp": (published.get("text_config") or {}).get("use_lfp")}
    for name, file in PROMISED.items():
        if promised.get(name) is not None and promised[name] != found[name]:
            raise ConversionError(
                f"config.json says {name}={promised[name]!r}, but the tensors say {found[name]!r}. Is {file} missing?"
            )
    if (parts := cogvla_parts(found)) and not has_cogvla_fields(published):
        raise ConversionError(
            f"the tensors hold {' and '.join(parts)}, of which config.json says nothing: it is the base's. Copy the "
            "run's own config.json, with CogVLA's fields, beside the weights."
        )
