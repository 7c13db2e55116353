"""Loading that does not let a wrong checkpoint pass: every parameter comes from the file, and nothing is left over."""

import os

import transformers
from transformers import PreTrainedModel

from ..configuration.checkpoint_card import is_model_of, write_checkpoint_card
from ..configuration.vla_errors import ConfigError

SHOWN = 8


def tied_weights(pairs: dict[str, str]) -> dict[str, str] | list[str]:
    """`_tied_weights_keys` from `{weight: that which it is tied to}`, in the form of the transformers line that runs.

    PEFT reads a model's together with those of its parts, which transformers wrote in that form.
    """
    return list(pairs) if transformers.__version__.startswith("4.") else pairs


class StrictPreTrainedModel(PreTrainedModel):
    """A `PreTrainedModel` whose `from_pretrained` raises where transformers only warns, and which writes its card."""

    def post_init(self) -> None:
        """As in transformers; layers that this model has not are not among those that stay whole: accelerate, which
        shards a model by them (FSDP2), refuses a name that it does not find."""
        super().post_init()
        there = {type(module).__name__ for module in self.modules()}
        self._no_split_modules = sorted(there.intersection(self._no_split_modules))

    def save_pretrained(self, save_directory: str | os.PathLike, *args, **kwargs) -> None:
        """As in transformers; the folder also gets a README.md, unless it has one that was edited."""
        super().save_pretrained(save_directory, *args, **kwargs)
        if kwargs.get("is_main_process", True) and is_model_of(self, self.config):
            write_checkpoint_card(save_directory, self.config)

    def _upload_modified_files(self, working_dir: str | os.PathLike, repo_id: str, *args, **kwargs):
        """Of `push_to_hub`, which has just put the repository's card, or an empty one, into the folder."""
        if is_model_of(self, self.config):
            write_checkpoint_card(working_dir, self.config, repo_id)
        return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, output_loading_info: bool = False, **kwargs):
        """As in transformers.

        Raises:
            ConfigError: the weights lack parameters of the model or hold others; the message names them.
        """
        kwargs["ignore_mismatched_sizes"] = True  # refused below, by name
        model, info = super().from_pretrained(pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs)
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if names := sorted(entry if isinstance(entry, str) else entry[0] for entry in info[kind]):
                more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
                raise ConfigError(
                    f"{pretrained_model_name_or_path}: the weights do not fit the config; {kind.replace('_', ' ')}: "
                    f"{', '.join(names[:SHOWN])}{more}."
                )
        return (model, info) if output_loading_info else model
