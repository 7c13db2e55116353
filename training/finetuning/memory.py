"""How much memory a training needs on its device, from counts of parameters.

weights + gradients + optimiser's states + activations, where

- weights are all parameters and buffers as they are stored (4 bytes in float32, 2 in bfloat16, 1/2 in 4 bits),
- gradients are as large as the weights that train, and under DDP once more for its buckets,
- states are those of `OPTIMIZERS` for each weight that trains,
- activations are what one example keeps for the backward pass (`first_pass`) times the batch of one device; half of it
  where 16-bit autocast computes in float32's place. Gradient checkpointing keeps a fraction of it, which is not known
  beforehand.

Left out are cuDNN's and cuBLAS' work spaces and the allocator's gaps, a GB or so.
"""

from dataclasses import dataclass

from torch import nn
from transformers import TrainingArguments

# In the name of the optimiser -> how many states a weight has, and the bytes of each; None: those of the weight.
OPTIMIZERS = (
    ("4bit", 2, 0.5),
    ("lion_8bit", 1, 1.0),
    ("rmsprop_bnb_8bit", 1, 1.0),
    ("ademamix_8bit", 3, 1.0),
    ("8bit", 2, 1.0),
    ("lomo", 0, None),
    ("adafactor", 0, None),  # one number a row and a column
    ("schedule_free_sgd", 1, None),
    ("sgd", 0, None),
    ("lion", 1, None),
    ("rmsprop", 1, None),
    ("adagrad", 1, None),
    ("ademamix", 3, None),
    ("", 2, None),  # Adam's two moments, and what is not listed
)


@dataclass
class MemoryEstimate:
    """Bytes on one device, without sharding; `notes`: what they leave out."""

    weights: float
    gradients: float
    states: float
    activations: float
    notes: list[str]

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.states + self.activations


def memory_estimate(model: nn.Module, arguments: TrainingArguments, example_bytes: int) -> MemoryEstimate:
    """example_bytes: what one example keeps for the backward pass, see `first_pass`."""
    weights = sum(t.numel() * t.element_size() for t in [*model.parameters(), *model.buffers()])
    trained = [p for p in model.parameters() if p.requires_grad]
    gradients = sum(p.numel() * p.element_size() for p in trained)
    states = states_bytes(trained, str(getattr(arguments.optim, "value", arguments.optim)))
    sharded = bool(arguments.fsdp or arguments.deepspeed)
    autocast = (arguments.bf16 or arguments.fp16) and all(p.element_size() == 4 for p in trained)
    activations = example_bytes * arguments.per_device_train_batch_size * (0.5 if autocast else 1.0)
    notes = ["activations: one example's, measured, times the batch; a rough word"]
    if checkpoints(arguments):
        notes.append(
            "gradient checkpointing keeps a fraction of the activations, at the price of a second forward pass"
        )
    if sharded:
        notes.append(f"sharding divides weights, gradients and states over {arguments.world_size} devices at best")
    elif arguments.world_size > 1:
        gradients *= 2
        notes.append("gradients: twice, for DDP's buckets")
    return MemoryEstimate(weights, gradients, states, activations, notes)


def states_bytes(trained: list[nn.Parameter], optimizer: str) -> float:
    """Of the optimiser's states, by its name in TrainingArguments."""
    count, size = next((count, size) for word, count, size in OPTIMIZERS if word in optimizer)
    return sum(count * p.numel() * (p.element_size() if size is None else size) for p in trained)


def checkpoints(arguments: TrainingArguments) -> bool:
    """Whether activations are checkpointed, by either name of the argument."""
    return bool(arguments.gradient_checkpointing or getattr(arguments, "activation_checkpointing", None))
