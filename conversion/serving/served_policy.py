"""What a server asks of a model, whatever it drives."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol


class PreparedRequest(Protocol):
    """An observation that was checked.

    Attributes:
        group: requests of an equal one may be predicted together; `None`: by itself.
        task: what a chunk was predicted for, beside what the robot saw; actions of another task are never given.
        far: dimensions of a robot's state that lie far outside of what the model was trained on.
    """

    group: Hashable
    task: Hashable
    far: Sequence[int]


class ServedPolicy(Protocol):
    """A checkpoint, of which the weights come last. `prepared` may be called by any thread, `predicted` by one.

    Attributes:
        has_actions: whether it answers robots, by chunks of actions; else `POST /act` alone, with the fields that
            `prepared` names, is answered by the object that `predicted` gives.
        is_fast: whether it predicts from recorded graphs or compiled, each size of a batch by itself.
        view_names: of its views, in the order of training; `None`: not recorded.
        num_views: of one observation; `None`: any number.
        state_dim: numbers of the state; `None`: it takes none.
        num_action_chunks: actions of a chunk; `None`: it predicts no actions.
    """

    has_actions: bool
    is_fast: bool
    view_names: Sequence[str] | None
    num_views: int | None
    state_dim: int | None
    num_action_chunks: int | None

    def facts(self) -> dict[str, Any]:
        """What a client may want to know; JSON."""

    def load(self, device: str, fast: str | None, quiet: bool) -> None:
        """Read the weights; fast, quiet: see `load_model`."""

    def check_unnorm_key(self, unnorm_key: str | None) -> None:
        """Raises InputError for a default that the model does not know."""

    def prepared(self, observation: Mapping[str, Any]) -> PreparedRequest:
        """Raises InputError for what does not fit; the message names it."""

    def predicted(self, requests: Sequence[Any]) -> Sequence[Any]:
        """What each request of one group gets."""

    def blank(self) -> dict[str, Any]:
        """An observation that shows nothing."""
