"""All errors that vlahub raises on purpose."""

from vlahub.configuration.vla_errors import (
    CheckpointError,
    ConfigError,
    ConversionError,
    ImageFileError,
    InputError,
    NonFiniteError,
    VLAError,
)

__all__ = [
    "CheckpointError",
    "ConfigError",
    "ConversionError",
    "ImageFileError",
    "InputError",
    "NonFiniteError",
    "VLAError",
]
