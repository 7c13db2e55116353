"""What transformers loads out of a folder though no field of the model's own files names it; no checkpoint has it."""

from pathlib import Path

from ...configuration.vla_errors import ConversionError

GENERATION = Path("custom_generate", "generate.py")  # runs where code is trusted, in the place of `generate`
ADAPTER = "adapter_config.json"


def check_unnamed(folder: Path) -> None:
    """Refuse code that runs beside the model's own, and an adapter that leads to another model and its code.

    Raises:
        ConversionError: the message says what is there, and what transformers does with it.
    """
    check_no_adapter(folder)
    if code := generation_code(folder):
        raise ConversionError(
            f"{folder / code[0]} is code that transformers runs in the place of the model's own `generate`, and no "
            "part of a checkpoint of vlahub; read it, and remove it."
        )


def check_no_adapter(folder: Path) -> None:
    """Refuse a model with an adapter's config beside it, for the Auto classes load another model then.

    Raises:
        ConversionError: see `check_unnamed`.
    """
    if (folder / ADAPTER).exists() and (folder / "config.json").exists():
        raise ConversionError(
            f"{folder} holds {ADAPTER} beside a model: transformers would load the base that it names, with the "
            "code of that, in the place of this model. Remove it, or move the adapter into a folder of its own."
        )


def generation_code(folder: Path) -> list[str]:
    """The name of the code that takes the place of `generate`, where there is any."""
    return [GENERATION.as_posix()] if (folder / GENERATION).exists() else []
