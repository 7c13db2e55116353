"""What `enable_fast_prediction` takes, as a config and a command line write it, too."""

from collections.abc import Mapping
from typing import Any

from .vla_errors import ConfigError

FAST_PREDICTION_MODES = ("graphs", "compile")
FAST_PREDICTION_DEFAULTS = {
    "mode": "graphs",
    "max_graphs": 8,
    "max_batch_size": None,
    "length_bucket": 32,
    "fuse_projections": True,
}


def checked_fast_prediction(given: Any) -> dict[str, Any]:
    """The arguments of `enable_fast_prediction`: a mapping of them, or a mode alone.

    Raises:
        ConfigError: one is unknown, or has a value that cannot be.
    """
    options = {"mode": given} if isinstance(given, str) else given
    if not isinstance(options, Mapping):
        raise ConfigError(f"fast_prediction={given!r} must be a mode, {modes()}, or a mapping of options.")
    if unknown := sorted(set(options) - set(FAST_PREDICTION_DEFAULTS)):
        known = ", ".join(FAST_PREDICTION_DEFAULTS)
        raise ConfigError(f"fast_prediction does not know {', '.join(unknown)}; its options are {known}.")
    if options.get("mode", "graphs") not in FAST_PREDICTION_MODES:
        raise ConfigError(f"fast_prediction: mode={options['mode']!r} is unknown; choose {modes()}.")
    for name in ("max_graphs", "max_batch_size", "length_bucket"):
        value = options.get(name, 1)
        if name == "max_batch_size" and value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"fast_prediction: {name}={value!r} must be a whole number above 0.")
    if not isinstance(options.get("fuse_projections", True), bool):
        raise ConfigError(f"fast_prediction: fuse_projections={options['fuse_projections']!r} must be true or false.")
    return dict(options)


def modes() -> str:
    return " or ".join(map(repr, FAST_PREDICTION_MODES))
