"""What the parameters of a new model start as: the model's own `_init_weights` decides, and is asked without memory.

The model is built and initialised on the meta device, where nothing is computed, while what is written into each
parameter is recorded. So what is new in a start from other models is drawn as in a new model.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PretrainedConfig, PreTrainedModel

from ..configuration.vla_errors import ConfigError

CONSTANTS = {"zero_": 0.0, "zeros": 0.0, "ones": 1.0}


@dataclass(frozen=True)
class InitialValue:
    """Of one parameter.

    Attributes:
        value: what all numbers are (biases, norms), or `None` for normal ones with mean 0.
        deviation: of normal numbers.
    """

    value: float | None = None
    deviation: float = 0.0


class InitialValues(TorchDispatchMode):
    """Records, for every tensor that is made or written inside, what last wrote it as a whole."""

    def __init__(self):
        super().__init__()
        self.written: dict[int, tuple[str, tuple]] = {}
        self.changed: set[int] = set()  # in part, after that

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            name, place = operation.overloadpacket.__name__, place_of(result)
            in_place = name.endswith("_")
            if in_place and result.nbytes < result.untyped_storage().nbytes():
                self.changed.add(place)
            elif in_place or not is_view(result, args):
                self.written[place] = (name, args[1:] if in_place else args)
                self.changed.discard(place)
        return result

    def of(self, model: PreTrainedModel, name: str) -> InitialValue:
        """Of a parameter of the model that was built inside.

        Raises:
            ConfigError: the model leaves it as it comes, or draws it in a way that is not repeated here.
        """
        path, _, parameter = name.rpartition(".")
        owner = model.get_submodule(path)
        place = place_of(getattr(owner, parameter))
        operation, arguments = self.written.get(place, ("unknown", ()))
        if place in self.changed and not isinstance(owner, nn.Embedding):  # of which the row for padding is zeroed
            operation = "a change of a part"
        if operation in CONSTANTS:
            return InitialValue(value=CONSTANTS[operation])
        if operation == "fill_":
            return InitialValue(value=float(arguments[0]))
        if operation == "normal_" and not any(arguments[:1]):
            return InitialValue(deviation=float(arguments[1]) if len(arguments) > 1 else 1.0)
        raise ConfigError(
            f"{name} would be new, and how a {type(owner).__name__} starts is not known here: the last that its "
            f"initialisation does is {operation}."
        )


def place_of(tensor: torch.Tensor) -> int:
    """The same for all tensors in one memory, which need not exist."""
    return tensor.untyped_storage()._cdata


def is_view(result: torch.Tensor, args: tuple) -> bool:
    return any(isinstance(given, torch.Tensor) and place_of(given) == place_of(result) for given in args)


def described(kind: type[PreTrainedModel], config: PretrainedConfig) -> tuple[PreTrainedModel, InitialValues]:
    """A model without memory, and what its parameters start as."""
    with InitialValues() as initial, torch.device("meta"):
        model = kind(config)
        model.initialize_weights()  # 5.x has left it out there
    return model, initial
