"""Models of ours whose parts get their initial values as transformers' own do."""


class StockInitialisation:
    """Goes before `PreTrainedModel`."""

    @classmethod
    def is_custom_code(cls) -> bool:
        """Never, to 5.x: in models that it takes for custom code it does not ask modules without tensors of their own
        for their initial values, and some write buffers of their children there, which then hold whatever memory held
        (Falcon-H1). What `_init_weights` writes here goes through `torch.nn.init`, which leaves alone what was
        loaded."""
        return False
