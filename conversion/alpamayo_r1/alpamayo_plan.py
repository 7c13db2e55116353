"""From the tensors of a published Alpamayo-R1 to a plan: names, tied embeddings, and constants that are no weights.

Names: nvidia/Alpamayo-R1-10B, model.safetensors.index.json (1166 tensors, 7 of them constants).
"""

import math
from collections.abc import Mapping

import torch

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.vla_errors import ConversionError
from ...modeling.alpamayo_r1.modeling_alpamayo_r1 import AlpamayoR1
from ...modeling.alpamayo_r1.published_constants import BF16_ROUNDING
from ...modeling.alpamayo_r1.waypoint_projection import frequencies
from ..cogvla.openvla_plan import Collected
from ..mapanything_llava3d.llava3d_plan import check_complete, checked_copy, collect
from ..tensors.plan import Plan, PlannedTensor, SourceTensor, cast_info
from ..tensors.rename import Row
from ..tensors.tensor_source import TensorGroup

EMBEDDINGS = "vlm.model.language_model.embed_tokens.weight"
HEAD = "vlm.lm_head.weight"
CONSTANT = "computed from the config"
TABLE = [
    Row(r"(vlm\.model\.visual\..+)", r"\1", "vision tower"),
    Row(r"(?:vlm\.model\.language_model|expert)\.rotary_emb\.\w+", None, "computed, not learned"),
    Row(r"(vlm\.model\.language_model\..+)", r"\1", "language model"),
    Row(r"(vlm\.lm_head\.weight)", r"\1", "output embeddings"),
    Row(r"(expert\.(?:layers\.\d+|norm)\..+)", r"\1", "stack of the expert"),
    Row(r"action_in_proj\.(?:sinus\.\d+|timestep_fourier_encoder)\.freqs", None, CONSTANT),
    Row(r"(action_in_proj\.(?:encoder|norm)\..+)", r"\1", "projection of actions"),
    Row(r"(action_out_proj\.(?:weight|bias))", r"\1", "projection to actions"),
    Row(r"action_space\.(?:accel|curvature)_(?:mean|std)", None, CONSTANT),
]


def collect_published(weights: TensorGroup) -> Collected:
    """All tensors under the names of the model; constants are among the leftovers.

    Raises:
        ConversionError: a name is unknown.
    """
    return collect([(weights, TABLE)])


def make_plan(collected: Collected, config: AlpamayoR1Config, dtype: torch.dtype) -> Plan:
    """Decide about every tensor.

    Raises:
        ConversionError: a tensor is missing, has no place in the model or another shape, tied embeddings differ, or a
            constant is not the config's; the message names tensor and file.
    """
    check_constants([left.source for left in collected.leftovers if left.reason == CONSTANT], config)
    candidates, leftovers = dict(collected.candidates), list(collected.leftovers)
    if config.tie_word_embeddings and HEAD in candidates and EMBEDDINGS in candidates:
        copies = candidates.pop(HEAD).plain
        leftovers += [checked_copy(copy, candidates[EMBEDDINGS].plain[-1]) for copy in copies]
    expected = model_shapes(config)
    for target in sorted(set(candidates) - set(expected)):
        source = candidates[target].plain[-1]
        raise ConversionError(
            f"{source.file.path} holds {source.key}, for which the model that config.json and the base model describe "
            "has no place: do they belong together?"
        )
    check_complete([name for name in expected if name not in candidates])
    tensors = []
    for target, shape in expected.items():
        *copies, source = candidates[target].plain
        check_shape(source, shape)
        source.check_floating()
        leftovers += [checked_copy(copy, source) for copy in copies]
        tensors.append(PlannedTensor(target, cast_info(source, dtype), source))
    return Plan(tensors, leftovers)


def model_shapes(config: AlpamayoR1Config) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the model's parameters, as they are stored."""
    with torch.device("meta"):
        model = AlpamayoR1(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del shapes[HEAD]
    return shapes


def check_shape(source: SourceTensor, shape: tuple[int, ...]) -> None:
    if source.shape != shape:
        raise ConversionError(
            f"{source.file.path}: {source.key} has shape {source.shape}, but by config.json and the base model's it is "
            f"{shape}; does --vlm name the base model that this one was trained from?"
        )


def constants_of(config: AlpamayoR1Config) -> dict[str, torch.Tensor]:
    """What the published modules keep as buffers, from the config alone."""
    space, projection = config.action_space_cfg, config.action_in_proj_cfg
    names = ("accel_mean", "accel_std", "curvature_mean", "curvature_std")
    found = {f"action_space.{name}": torch.tensor(space[name], dtype=torch.float64) for name in names}
    waves = frequencies(projection["num_fourier_feats"], projection["max_freq"], "cpu")[None].double()
    parts = ("sinus.0", "sinus.1", "timestep_fourier_encoder")
    return found | {f"action_in_proj.{part}.freqs": waves for part in parts}


def check_constants(sources: list[SourceTensor], config: AlpamayoR1Config) -> None:
    """Compare stored constants with those that the model will compute; bfloat16 may have rounded them.

    Raises:
        ConversionError: one is another number, or unknown; the message names it and both values.
    """
    known: Mapping[str, torch.Tensor] = constants_of(config)
    for source in sources:
        name = source.key.removeprefix("module.")
        if name not in known:
            raise ConversionError(f"{source.file.path} holds the constant {name}; known are {', '.join(known)}.")
        stored, wanted = source.load().double(), known[name]
        if stored.shape != wanted.shape or not ((stored - wanted).abs() <= BF16_ROUNDING * wanted.abs()).all():
            raise ConversionError(
                f"{source.file.path}: {name} is {shown(stored)}, but config.json gives {shown(wanted)}: was it trained "
                "with another config?"
            )


def shown(values: torch.Tensor) -> str:
    """Numbers in six digits, the first ten of them."""
    numbers = [float(f"{value:.6g}") for value in values.reshape(-1)[:10].tolist()]
    text = str(numbers[0] if math.prod(values.shape) == 1 else numbers)
    return text if values.numel() <= 10 else f"{text}, ... ({values.numel()} numbers)"
