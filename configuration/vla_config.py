"""What the configs of all families have: one vocabulary, answers about the model, and the code of a checkpoint.

Published checkpoints have several words for one thing. Each config is read, written and constructed by any of them; its
config.json has the one that was published for its family.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .card_markdown import code
from .checkpoint_json import reading_files
from .checkpoint_place import check_model_type, check_place, check_target
from .dtype_names import check_dtype
from .fast_prediction_choices import checked_fast_prediction
from .field_words import WORDS
from .known_fields import (
    KnownFieldsConfig,
    check_attention,
    check_changes,
    check_read,
    in_own_words,
    known_fields,
    own_arguments,
)
from .language_model_config import check_counts
from .normalization_statistics import check_finite, check_statistics, plain
from .remote_code import write_remote_code
from .vla_errors import CheckpointError, ConfigError
from .weight_parts import NO_PARTS
from .words_of_loaders import OF_TOKENIZERS


def words_on_disk(*published: str) -> dict[str, str]:
    """An `attribute_map` for all of `WORDS`: config.json has the project's own, or else one of these.

    A word of one family alone is added to it: `words_on_disk(...) | {"its_word": "the_field"}`; one of several families
    is a word of `WORDS`.

    Raises:
        ConfigError: `WORDS` does not have one of these.
    """
    unknown = sorted(set(published) - {word for words in WORDS for word in words})
    if unknown:
        raise ConfigError(
            f"words_on_disk does not know {', '.join(map(repr, unknown))}: add it to WORDS (field_words.py), or to the "
            'attribute_map of its family, | {"its_word": "the_field"}.'
        )
    keys = {next((word for word in words if word in published), words[0]): words for words in WORDS}
    return {word: key for key, words in keys.items() for word in words if word != key}


def auto_classes_of(
    config: str, model: str, processor: str | None = None, image_processor: str | None = None
) -> dict[str, str]:
    """`{Auto class: "file.Class"}` of a family, whose model predicts and writes.

    processor, image_processor: `None` where they bring their code by themselves.
    """
    classes = {
        "AutoConfig": config,
        "AutoModel": model,
        "AutoModelForVision2Seq": model,
        "AutoModelForImageTextToText": model,
        "AutoProcessor": processor,
        "AutoImageProcessor": image_processor,
    }
    return {name: value for name, value in classes.items() if value}


def alias(name: str) -> property:
    """Another word, outside of configs, for the attribute `name`, which it reads and writes."""
    return property(lambda self: getattr(self, name), lambda self, value: setattr(self, name, value))


class VLAConfig(KnownFieldsConfig):
    """A config that names its Auto classes in `auto_classes`, and whose `save_pretrained` writes the code for them.

    The class attributes are the answers of families that do not have the field. None of them has an annotation, or
    transformers 5 takes them for fields.
    """

    attribute_map = words_on_disk()
    auto_classes = {}  # {Auto class: "file.Class"}
    weight_parts = NO_PARTS  # which tensors belong to which part of the model
    predicts = "actions"  # what is asked of the model: actions, trajectories or text
    described = {}  # what the model card says about parts that were chosen
    does = "A vision-language-action model"  # the beginning of the sentence of the model card
    action_text = ""  # what the model card says about actions that no statistics describe, Markdown
    draws_noise = False  # whether predictions are made from noise, and repeat only with a seed
    bounded_actions = False  # whether the head reaches normalised actions from -1 to 1 alone
    # `{field: value where nobody says}` of fields of sampling that no config of a head without samples may have; files
    # of composed models have theirs for every head.
    sampling_defaults = {}
    follows_flow = False  # whether that is done along a flow, by a solver whose steps can be chosen
    can_be_guided = False  # whether a prediction takes `guidance_scale`
    num_images_in_input = None  # camera views of one sample; `None` is any number
    use_state = False  # whether the robot's state is an input
    state_dim = None  # numbers of one state
    num_embodiments = 1  # robots with encoders and decoders of their own
    normalization_type = None  # which of the statistics normalise; `None` where a family normalises by its own numbers
    norm_stats = MappingProxyType({})  # `{unnorm_key: statistics}` of the training data
    why_not_trained = None  # a sentence, where a model of such a config can predict and would learn something else
    draws_samples = True  # whether several predictions for one observation differ
    stop_grad_from_vlm = False  # whether the loss of actions stops at the expert
    text_reads_new_parts = True  # whether text that the model writes depends on what a VLA adds to its backbone
    # What actions are made from of the language model: its `logits`, the `states` behind its last layer, the `keys` and
    # values of all its layers, or its `earlier layers`, all but the last one.
    actions_read = "states"

    shared_fields = frozenset({"fast_prediction", "weight_quantization"})
    # Fields of a family that a model follows where they change after it was made, or that nothing in it reads; of its
    # dicts and nested configs by `field.inner`. The others are fixed then, see `built_fields.py`.
    changeable_fields = frozenset({"norm_stats", "normalization_type", "view_names"})
    fast_prediction = None  # arguments of `enable_fast_prediction` for a model of this config, or a mode alone
    weight_quantization = None  # layers whose weights are stored in lower precision, see `weight_quantization.py`

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args: Any, **kwargs: Any):
        """As in transformers.

        Raises:
            CheckpointError: see `get_config_dict`; or a nested config holds values that cannot be used.
            ConfigError: see `from_dict`, or a field does not fit the others.
        """
        with reading_files(pretrained_model_name_or_path, "config"):
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> tuple[dict, dict]:
        """As in transformers, of `from_pretrained`, which takes a config.json or the folder that it lies in.

        Raises:
            CheckpointError: there is no config, or one of another family.
        """
        is_config = str(pretrained_model_name_or_path).endswith(".json")
        if not (is_config and os.path.isfile(pretrained_model_name_or_path)):
            check_place(pretrained_model_name_or_path, ("config.json",), kwargs.get("subfolder"))
        fields, others = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        check_model_type(pretrained_model_name_or_path, fields, [cls.model_type], cls.__name__)
        if "model_type" not in fields and known_fields(cls).isdisjoint(name for name in fields if name[0] != "_"):
            raise CheckpointError(
                f"the config.json of {pretrained_model_name_or_path} has no model_type, and no field of a "
                f"{cls.__name__}: it is no model's."
            )
        return fields, others

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any):
        """As in transformers.

        Raises:
            ConfigError: a field that takes the place of the file's does not fit the others, is none that can be
                changed, says how to sample a head that does not, or comes by two words with different values; nothing
                reads an argument, unless the rest is asked for; or `dtype` is none.
        """
        for name in ("dtype", "torch_dtype"):
            check_dtype(name, kwargs.get(name, config_dict.get(name)))
        check_changes(cls, kwargs)
        check_attention(cls, kwargs.get("attn_implementation"))
        changed = not own_arguments(cls).union(cls.shared_fields).isdisjoint(kwargs)
        rest_is_wanted = kwargs.pop("return_unused_kwargs", False)
        config, rest = super().from_dict(config_dict, **kwargs, return_unused_kwargs=True)
        if not rest_is_wanted:
            by_auto = "name_or_path" in kwargs  # AutoTokenizer of 5.x passes its own words to AutoConfig
            check_read(cls, {name: value for name, value in rest.items() if not (by_auto and name in OF_TOKENIZERS)})
        if kwargs.get("attn_implementation") is not None:  # a family may leave out that of a published file
            config._attn_implementation = kwargs["attn_implementation"]
        if changed:
            given = in_own_words(cls, kwargs)
            check_sampling(config, given)
            for name, default in cls.sampling_defaults.items():
                if name in unread_sampling(config) and name not in given:  # another head takes the place of the file's
                    setattr(config, name, default)
            config.check()
        return (config, rest) if rest_is_wanted else config

    @property
    def facts(self) -> dict[str, str]:
        """Rows of the model card's table, Markdown by name."""
        return {name: code(value) for name, value in self.described.items()}

    @property
    def state_size(self) -> int | None:
        """Numbers of the robot's state that the model reads; `None` where it reads none."""
        return self.state_dim if self.use_state else None

    def check(self) -> None:
        """Refuse values that cannot work, by the name of the field; families have more to say than `check_robot`."""
        self.check_robot()

    def check_robot(self) -> None:
        """Refuse what no model of a robot can work with: sizes of actions and state, statistics, fast prediction; and
        what says how to sample a head that does not.

        Raises:
            ConfigError: the message names the field.
        """
        check_counts(self, "action_dim", "num_action_chunks")
        if self.use_state:
            check_counts(self, "state_dim")
        check_statistics(self.norm_stats, self.normalization_type, self.action_dim, self.state_size)
        defaults = self.sampling_defaults
        check_sampling(self, {name: getattr(self, name) for name in defaults if getattr(self, name) != defaults[name]})
        self.check_fast_prediction()

    def check_fast_prediction(self) -> None:
        """Refuse a `fast_prediction` that `enable_fast_prediction` would not take.

        Raises:
            ConfigError: the message names the option.
        """
        if self.fast_prediction is not None:
            checked_fast_prediction(self.fast_prediction)

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs) -> None:
        """As in transformers; the folder also gets the code that loads it.

        Raises:
            ConfigError: statistics that were put into the config hold a number that is not finite: JSON has no such.
        """
        check_target(save_directory)
        check_finite(self.norm_stats, "norm_stats")
        if self.norm_stats:  # not every family has them
            self.norm_stats = plain(self.norm_stats)
        self.auto_map = dict(self.auto_classes)
        write_remote_code(type(self), self.auto_classes, save_directory)
        super().save_pretrained(save_directory)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", Path(save_directory).name), **kwargs)


def unread_sampling(config: VLAConfig) -> set[str]:
    """The fields that say how actions are sampled, and that its head does not read."""
    reads = {"num_inference_steps": config.draws_noise, "ode_solver": config.follows_flow}
    reads["ode_spacing"] = config.follows_flow
    return {name for name, is_read in reads.items() if not is_read}


def check_sampling(config: VLAConfig, given: Mapping[str, Any]) -> None:
    """Refuse fields that say how actions are sampled, of a head that makes them at once.

    Raises:
        ConfigError: the message names the field and its value.
    """
    for name in sorted(unread_sampling(config)):
        if given.get(name) is not None:
            head = getattr(config, "action_head", None)
            raise ConfigError(f"{name}={given[name]!r} has no effect with action_head={head!r}: leave it out.")
