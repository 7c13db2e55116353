"""A model whose predictions run at the speed of the card where it is asked to: `model.enable_fast_prediction()`."""

from collections.abc import Iterable, Sequence

from torch import nn
from transformers import PreTrainedModel

from ..configuration.fast_prediction_choices import checked_fast_prediction
from .fast_prediction import FastPrediction, FastPredictionStats
from .fused_linears import lay_side_by_side
from .modules import computed_constants, keep_precision
from .stock_initialisation import StockInitialisation


class FastModel(StockInitialisation, PreTrainedModel):
    """A `PreTrainedModel` that records or compiles its predictions, see `fast_prediction.py`, and lays weights that
    read the same input side by side."""

    fast_prediction = None  # see `enable_fast_prediction`
    are_projections_fused = False  # see `fuse_projections`

    def post_init(self) -> None:
        """As in transformers; then the config's `fast_prediction` is switched on."""
        super().post_init()
        if getattr(self.config, "fast_prediction", None) is not None:
            self.enable_fast_prediction(**checked_fast_prediction(self.config.fast_prediction))

    def enable_fast_prediction(
        self,
        mode: str = "graphs",
        max_graphs: int = 8,
        max_batch_size: int | None = None,
        length_bucket: int = 32,
        fuse_projections: bool = True,
    ) -> None:
        """Predictions at the speed of the card: what Python launches kernel by kernel is recorded once and replayed.

        Nothing else changes for the caller. A call that cannot be replayed (in training, under hooks, on a CPU in
        `graphs` mode) runs as without; `fast_prediction_stats` says how often and why.

        Args:
            mode: `graphs` replays the kernels of the eager prediction; `compile` those that torch.compile makes of
                it, and on CUDA records these.
            max_graphs: how many signatures (lengths of prompts, batch sizes, options) are kept, the latest used.
            max_batch_size: larger batches run eagerly; any size by default.
            length_bucket: prompts are padded to a multiple of so many tokens, which are hidden from everything.
            fuse_projections: weights that read the same input are laid side by side and are one product.

        Raises:
            ConfigError: an argument has a value that cannot be.
        """
        self.fast_prediction = FastPrediction(
            self,
            {
                "mode": mode,
                "max_graphs": max_graphs,
                "max_batch_size": max_batch_size,
                "length_bucket": length_bucket,
                "fuse_projections": fuse_projections,
            },
        )

    def fuse_projections(self) -> None:
        """Lay weights that read the same input (queries, keys and values; gate and up) side by side in memory.

        They are multiplied as one then. Parameters keep their names and values, and a saved checkpoint is as before;
        where some were moved or replaced afterwards, these are multiplied one by one.
        """
        self.are_projections_fused = True
        for linears in self.projections_to_fuse():
            lay_side_by_side(linears)

    def _apply(self, *args, **kwargs):
        """Of `.to()`, `.half()` and their like: weights that were side by side are so again, graphs of weights that
        moved are freed; and computed constants keep their dtype, as where a model is loaded in another one: places in
        a text would be told apart no better than bfloat16 tells numbers."""
        constants = computed_constants(self)
        moved = super()._apply(*args, **kwargs)
        keep_precision(constants)
        if self.are_projections_fused:
            self.fuse_projections()
        if self.fast_prediction is not None:
            self.fast_prediction.look_again(self)
        return moved

    def disable_fast_prediction(self) -> None:
        """Predictions run eagerly again; graphs and their memory are dropped. Weights stay side by side."""
        if self.fast_prediction is not None:
            self.fast_prediction.forget()
        self.fast_prediction = None

    @property
    def fast_prediction_stats(self) -> FastPredictionStats | None:
        """How often predictions were recorded, replayed and run eagerly, and why; `None` where it is not enabled."""
        return None if self.fast_prediction is None else self.fast_prediction.stats

    def projections_to_fuse(self) -> Iterable[Sequence[nn.Linear]]:
        """Groups of linear layers that read the same input, in the order in which `product_of` is asked for them."""
        return ()
