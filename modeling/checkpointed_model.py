"""Activation checkpointing that leaves nothing behind when it is switched off again."""

from typing import Any

from transformers import PreTrainedModel

from ..configuration.transformers_release import IS_4
from .stock_initialisation import StockInitialisation


class CheckpointedModel(StockInitialisation, PreTrainedModel):
    """A `PreTrainedModel` without the hooks by which transformers 5 lets embeddings require gradients for
    checkpointing, once that is off: under them fast predictions run eagerly, and a model cannot be pickled. Whoever
    called `enable_input_require_grads` keeps them."""

    _awaits_hooks = False  # between two lines of transformers, which switches checkpointing and then asks for hooks
    _has_hooks_of_checkpointing = False

    def _set_gradient_checkpointing(self, enable: bool = True, *args: Any, **kwargs: Any) -> None:
        """As in transformers, of which 4.57 asks for hooks beside an adapter alone, and takes them out itself."""
        super()._set_gradient_checkpointing(enable, *args, **kwargs)
        self._awaits_hooks = enable and not IS_4
        if not enable and self._has_hooks_of_checkpointing:
            self.disable_input_require_grads()
            self._has_hooks_of_checkpointing = False

    def enable_input_require_grads(self) -> None:
        """As in transformers; hooks that are there already are replaced, which it would lose sight of."""
        is_there = bool(getattr(self, "_require_grads_hooks", None) or getattr(self, "_require_grads_hook", None))
        is_asked_for = not self._awaits_hooks or (is_there and not self._has_hooks_of_checkpointing)
        self._awaits_hooks, self._has_hooks_of_checkpointing = False, not is_asked_for
        if is_there:
            self.disable_input_require_grads()
        super().enable_input_require_grads()

    def disable_input_require_grads(self) -> None:
        """As in transformers, of which 4.57 asks a model for hooks that got its adapter when checkpointing was on."""
        if getattr(self, "_require_grads_hook", None) is not None:
            super().disable_input_require_grads()
