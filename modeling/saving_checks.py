"""What `save_pretrained` would write as a whole model, and `from_pretrained` would refuse."""

from collections.abc import Iterable

import transformers
from transformers import PreTrainedModel

from ..configuration.vla_errors import ConfigError
from .adapter_loading import renamed_weight

OF_PEFT = (".original_module.", ".modules_to_save.", ".base_layer.")  # in the names of what PEFT has wrapped


def check_whole(model: PreTrainedModel, names: Iterable[str]) -> None:
    """Refuse to write a whole model of which parts are not what their config says.

    names: of the weights that would be written.

    Raises:
        ConfigError: modules of PEFT are left in the model without an adapter, a part was quantised on its own, or
            weights that were quantised at loading have names that transformers 5.x renames: what is packed with them
            would not be found again.
    """
    wrapped = next((name for name in names if any(word in name for word in OF_PEFT)), None)
    if wrapped is not None:
        raise ConfigError(
            f"modules of PEFT are left in this model, as the name of its weight {wrapped} says; from_pretrained would "
            "not find its own. Save the adapter while it is there, or what peft.PeftModel's merge_and_unload() or "
            "unload() returns."
        )
    if getattr(model, "hf_quantizer", None) is not None:
        if (renamed := renamed_weight(model)) is not None:
            raise ConfigError(
                f"{renamed} was quantised at loading, and transformers {transformers.__version__} would look for it "
                "under another name: save an adapter, or make a checkpoint of lower precision of the one that was "
                "loaded: vlahub convert CHECKPOINT OUTPUT --quantize int8"
            )
        return
    for name, part in model.named_modules():
        if isinstance(part, PreTrainedModel) and getattr(part, "hf_quantizer", None) is not None:
            raise ConfigError(
                f"{name} was quantised on its own, which the config of the whole model does not say: save an adapter, "
                "or make the model without it, save that, and give quantization_config to from_pretrained."
            )
