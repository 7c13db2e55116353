"""Loading that does not let a wrong checkpoint pass: every parameter comes from the file, and nothing is left over."""

from transformers import PreTrainedModel

from ..configuration.vla_errors import ConfigError

SHOWN = 8


class StrictPreTrainedModel(PreTrainedModel):
    """A `PreTrainedModel` whose `from_pretrained` raises where transformers only warns."""

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
