"""All errors that vlahub raises on purpose, and the warning that it has a class of."""

from vlahub.configuration.vla_errors import (
    CheckpointError,
    ConfigError,
    ConversionError,
    FarStateWarning,
    ImageFileError,
    InputError,
    NonFiniteError,
    VLAError,
)

__all__ = [
    "CheckpointError",
    "ConfigError",
    "ConversionError",
    "FarStateWarning",
    "ImageFileError",
    "InputError",
    "NonFiniteError",
    "VLAError",
]
