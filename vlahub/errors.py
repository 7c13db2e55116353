"""All errors that vlahub raises on purpose."""

from vlahub.configuration.vla_errors import (
    ConfigError,
    ConversionError,
    ImageFileError,
    InputError,
    NonFiniteError,
    VLAError,
)

__all__ = ["ConfigError", "ConversionError", "ImageFileError", "InputError", "NonFiniteError", "VLAError"]
