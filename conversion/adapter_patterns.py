"""The patterns of an adapter's config are somebody else's regular expressions: they get a limited time."""

import re
import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key

from ..configuration.vla_errors import ConversionError

SECONDS = 10.0


def check_patterns(path: Path, config: LoraConfig, modules: Collection[str]) -> None:
    """Match every pattern of an adapter's config against every module once.

    Raises:
        ConversionError: one is not a regular expression, or takes so long that it would never end.
    """
    patterns = {name: getattr(config, name) or {} for name in ("rank_pattern", "alpha_pattern")}
    try:
        with time_limit(SECONDS):
            for module in modules:
                check_target_module_exists(config, module)
                for pattern in patterns.values():
                    get_pattern_key(pattern.keys(), module)
    except (re.error, RecursionError) as error:
        raise ConversionError(f"{path} holds a pattern that is no regular expression: {error}") from error
    except TimeoutError as error:
        raise ConversionError(
            f"{path}: matching target_modules, exclude_modules, rank_pattern and alpha_pattern against the layers took "
            f"more than {SECONDS:g} s; a pattern with nested repeats never ends, simplify it."
        ) from error


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt the block with a `TimeoutError`; in threads other than the main one, where nothing can, it runs on."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
