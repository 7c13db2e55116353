"""A conversion as a value: for each output tensor its sources and its steps, decided before anything is written."""

from collections import Counter
from dataclasses import dataclass, field, replace

import torch
from peft import LoraConfig

from ...configuration.vla_errors import ConversionError
from ...modeling.quantized_linear import stored_shapes
from ..files.file_kinds import LeftBehind
from .initialised import InitialisedTensor
from .lora_merge import LORA_BIAS
from .safetensors_stream import ALL, TensorInfo
from .tensor_source import TensorFile


@dataclass(frozen=True)
class SourceTensor:
    """One tensor of one file."""

    file: TensorFile
    key: str

    operation = "copy"

    @property
    def info(self) -> TensorInfo:
        """Shape and dtype, as the file has them."""
        return self.file.infos[self.key]

    @property
    def shape(self) -> tuple[int, ...]:
        """As the file has it."""
        return self.info.shape

    @property
    def label(self) -> str:
        """Where it is from, for reports."""
        return self.file.label

    def load(self, rows: slice = ALL, buffer: torch.Tensor | None = None) -> torch.Tensor:
        """See `TensorFile.load`."""
        return self.file.load(self.key, rows, buffer)

    def check_floating(self) -> None:
        """Refuse integers and booleans where weights belong. Raises ConversionError."""
        if not self.info.dtype.is_floating_point:
            dtype = str(self.info.dtype).removeprefix("torch.")
            raise ConversionError(f"{self.file.path}: {self.key} is {dtype}; weights are floating-point numbers.")

    def __str__(self) -> str:
        return f"{self.file.label}:{self.key}"


@dataclass
class Step:
    """One change to a tensor.

    Attributes:
        kind: `lora` (merge into a weight), `lora_bias` (into a bias) or `rows` (replace rows, PEFT's trainable tokens).
        module: the layer's name as the adapter knows it.
        parts: the adapter's tensors by their place in PEFT's layer, such as `lora_A.default.weight`.
        config: the adapter's.
    """

    kind: str
    module: str
    parts: dict[str, SourceTensor]
    config: LoraConfig

    @property
    def file(self) -> TensorFile:
        """That all of its parts are in."""
        return next(iter(self.parts.values())).file

    @property
    def own_parts(self) -> list[SourceTensor]:
        """The parts that go into no other tensor: the bias of B into a bias, all others into the weight."""
        return [part for name, part in self.parts.items() if (name == LORA_BIAS) == (self.kind == "lora_bias")]


@dataclass(frozen=True)
class StoredPart:
    """What of a quantised weight a tensor is: its numbers, their scales or zero points.

    Attributes:
        kind: how the weight is quantised, see `QUANTIZED_KINDS`.
        name: `qweight`, `weight_scale` or `weight_zero_point`.
        dtype: that the weight would have, and is rounded to before it is quantised.
    """

    kind: str
    name: str
    dtype: torch.dtype


@dataclass
class PlannedTensor:
    """One tensor of the output: `source`, changed by `steps` in float32, cast once to the dtype of `info`; or a
    `part` of what a weight that came about so is quantised to."""

    name: str
    info: TensorInfo
    source: SourceTensor | InitialisedTensor
    steps: list[Step] = field(default_factory=list)
    part: StoredPart | None = None

    @property
    def computed(self) -> TensorInfo:
        """What is computed before anything is quantised."""
        return TensorInfo(self.source.info.shape, self.part.dtype) if self.part else self.info

    def quantised(self, kind: str) -> "list[PlannedTensor]":
        """The tensors that take the place of a weight, `...weight`."""
        layer = self.name.removesuffix("weight")
        return [
            replace(self, name=layer + name, info=TensorInfo(*stored), part=StoredPart(kind, name, self.info.dtype))
            for name, stored in stored_shapes(kind, *self.info.shape).items()
        ]

    @property
    def operation(self) -> str:
        """What is done, for reports: `merge_lora+merge_rows`, or `copy` or `initialised` where no step is."""
        done = "+".join(f"merge_{step.kind}" for step in self.steps) or self.source.operation
        return f"{done}+{self.part.kind}" if self.part else done

    @property
    def sources(self) -> list[SourceTensor | InitialisedTensor]:
        """All that is read for it: what it starts from, and the parts of its steps."""
        return [self.source, *(part for step in self.steps for part in step.parts.values())]


@dataclass(frozen=True)
class Leftover:
    """A source tensor that is not in the output: `superseded` by another source, or `unused`; and why."""

    source: SourceTensor
    status: str
    reason: str


@dataclass(frozen=True)
class Fact:
    """A setting of the output and how it is known: `read` from a file, `given` as an option, or `inferred`."""

    name: str
    value: object
    how: str


@dataclass
class Plan:
    """Everything that a conversion will do."""

    tensors: list[PlannedTensor]
    leftovers: list[Leftover] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    left_behind: list[LeftBehind] = field(default_factory=list)  # files of the sources

    @property
    def bytes(self) -> int:
        """Of all tensors of the output."""
        return sum(tensor.info.bytes for tensor in self.tensors)

    @property
    def dtype_name(self) -> str:
        """The dtype of most of the output."""
        sizes = Counter()
        for tensor in self.tensors:
            sizes[str(tensor.info.dtype).removeprefix("torch.")] += tensor.info.bytes
        return sizes.most_common(1)[0][0]

    def shards(self, max_bytes: int) -> list[list[PlannedTensor]]:
        """The output files: tensors in order, a new file where the next would exceed `max_bytes`."""
        shards: list[list[PlannedTensor]] = [[]]
        filled = 0
        for tensor in self.tensors:
            if shards[-1] and filled + tensor.info.bytes > max_bytes:
                shards.append([])
                filled = 0
            shards[-1].append(tensor)
            filled += tensor.info.bytes
        return shards


def cast_info(source: SourceTensor, dtype: torch.dtype | None) -> TensorInfo:
    """What the tensor becomes: floating point numbers get `dtype`, unless it is `None`; all else stays."""
    info = source.info
    return TensorInfo(info.shape, dtype if dtype and info.dtype.is_floating_point else info.dtype)
