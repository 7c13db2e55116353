"""What transformers leaves in configs where another attention is chosen for a model that is there: marks (4.57), and
where a part refuses it, the choice in those that came before."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers import PretrainedConfig

MARK = "_attn_was_changed"  # 4.57's, of a config that it has changed, and leaves in those of parts in parts
CHOICE = "_attn_implementation_internal"


@contextmanager
def all_parts_or_none(model: nn.Module) -> Iterator[None]:
    """Around such a choice: it has no mark behind it, and after an error each part has the attention of before."""
    forget_attention_marks(model)
    before = [(config, vars(config)[CHOICE]) for config in configs_of(model) if CHOICE in vars(config)]
    try:
        yield
    except BaseException:
        for config, choice in before:
            vars(config)[CHOICE] = choice
        raise
    finally:
        forget_attention_marks(model)


def forget_attention_marks(model: nn.Module) -> None:
    """Take the marks out of the configs of all parts: 4.57 leaves a marked part as it is, and saves the mark."""
    for config in configs_of(model):
        vars(config).pop(MARK, None)


def configs_of(model: nn.Module) -> Iterator[PretrainedConfig]:
    """Those of the modules, and what is nested in them; some come more than once."""
    for module in model.modules():
        if isinstance(config := getattr(module, "config", None), PretrainedConfig):
            yield config
            yield from (each for each in vars(config).values() if isinstance(each, PretrainedConfig))
