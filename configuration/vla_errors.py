"""The errors of the project: one tree, so that a caller can catch one family or all of them."""


class VLAError(Exception):
    """Base of every error that vlahub raises on purpose. The message names the value and says what to do."""


class ConfigError(VLAError, ValueError):
    """A configuration field is missing, unknown or does not fit the others."""


class InputError(VLAError, ValueError):
    """An argument of a processor or model call has the wrong form; nothing was computed from it."""


class NonFiniteError(VLAError, ArithmeticError):
    """What was computed holds NaN or infinities; the message says what and where."""


class ImageFileError(InputError, OSError):
    """The file of an image is missing, broken, or too large to be decoded."""


class CheckpointError(ConfigError, OSError):
    """A checkpoint's folder or file is missing, broken, or of another kind than what reads it; an `OSError`, too, as
    transformers raises for such."""


class FarStateWarning(UserWarning):
    """A state lies far outside of what the training data had, so that the prediction means little; see
    `state_range.py`. Each dimension is named once by a processor."""


class ConversionError(VLAError, RuntimeError):
    """A source checkpoint, an adapter or an output folder is not what the conversion needs; nothing was written."""
