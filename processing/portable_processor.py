"""Processors whose folders load the same way on transformers 4.57 and 5.x, without this package installed."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from transformers import ProcessorMixin

from ..configuration.checkpoint_json import reading_files
from ..configuration.checkpoint_place import check_family_of_folder, check_place, check_target
from ..configuration.hub_removals import remove_from_repository
from ..configuration.known_fields import is_known
from ..configuration.remote_code import write_remote_code
from ..configuration.transformers_release import IS_4
from ..configuration.view_names import checked_view_names
from ..configuration.vla_errors import CheckpointError, ConfigError
from ..configuration.words_of_loaders import OF_LOADING, OF_TOKENIZERS
from .component_settings import check_same_settings
from .loading_words import check_loading_words
from .prompts import check_padding_side

# 5.x writes classes that 4.57 does not know, and rebuilds its Llama tokenizer from vocabulary and merges; this one
# reads tokenizer.json as it stands, on both lines.
TOKENIZER_CLASS = "PreTrainedTokenizerFast"
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
# What transformers reads, and does not write for every processor.
SOMETIMES_WRITTEN = (
    "added_tokens.json",
    "additional_chat_templates/*.jinja",
    "chat_template.jinja",
    "chat_template.json",
    "special_tokens_map.json",
)
COMMON_TOKENS = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))


class PortableProcessor(ProcessorMixin):
    """An image processor and a tokenizer; a subclass names its `auto_classes`, `{Auto class: "file.Class"}`, and the
    `model_types` of the models that it is for.

    A subclass has an `__init__` of its own: transformers saves the attributes that have the name of an argument there.

    Args:
        padding_side: of shorter prompts in a batch, "right" or "left".
        view_names: names of the views in the order of training; a dict of views is put in that order.

    Raises:
        ConfigError: another side, or names that are not as many as the image processor's views.
    """

    attributes = ["image_processor", "tokenizer"]
    if IS_4:  # 5.x reads the arguments of `__init__`
        image_processor_class = "AutoImageProcessor"
        tokenizer_class = "AutoTokenizer"
    auto_classes = {}
    model_types = ()

    def __init__(
        self, image_processor: Any, tokenizer: Any, padding_side: str, view_names: Sequence[str] | None, **kwargs: Any
    ):
        check_padding_side(padding_side, ConfigError)
        self.padding_side = padding_side
        self.view_names = checked_view_names(view_names, image_processor.num_images_in_input)
        super().__init__(image_processor, tokenizer, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args: Any, **kwargs: Any):
        """As in transformers.

        Raises:
            CheckpointError: there is no processor, one of another class or family, or one that cannot be read; or see
                `check_same_settings`.
            ConfigError: an argument that neither the processor nor its parts know, and `return_unused_kwargs`, which
                transformers hands on to the parts.
        """
        if kwargs.get("return_unused_kwargs"):
            raise ConfigError("return_unused_kwargs=True: a processor and its parts leave no argument; leave it out.")
        place, subfolder = pretrained_model_name_or_path, kwargs.get("subfolder")
        check_place(place, PROCESSOR_FILES, subfolder)
        check_family_of_folder(place, subfolder, PROCESSOR_FILES[0], cls.model_types, cls.__name__)
        with reading_files(place, "processor or tokenizer"):
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    @classmethod
    def from_args_and_dict(cls, args: Sequence[Any], processor_dict: Mapping[str, Any], **kwargs: Any):
        """As in transformers, of `from_pretrained`, whose error of an unknown argument it raises."""
        check_loading_words(cls, args[0], kwargs)
        return super().from_args_and_dict(args, processor_dict, **kwargs)

    @classmethod
    def _load_tokenizer_from_pretrained(cls, sub_processor_type: str, place: Any, subfolder: str = "", **kwargs: Any):
        """Of 5.x, whose AutoTokenizer reads the model's config by the same words: those of other parts stay here."""
        words = {name: value for name, value in kwargs.items() if is_known(name, OF_LOADING | OF_TOKENIZERS)}
        return super()._load_tokenizer_from_pretrained(sub_processor_type, place, subfolder, **words)

    @classmethod
    def get_processor_dict(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> tuple[dict, dict]:
        """As in transformers, of `from_pretrained`, whose errors of another class and of settings that differ between
        two files it raises."""
        arguments = dict(kwargs)  # transformers takes some of them out
        fields, others = super().get_processor_dict(pretrained_model_name_or_path, **kwargs)
        found = fields.get("processor_class", cls.__name__)
        by_auto = str(fields.get("auto_map", {}).get("AutoProcessor")).rpartition(".")[2]
        if {found, by_auto}.isdisjoint(kind.__name__ for kind in cls.__mro__):
            raise CheckpointError(
                f"{pretrained_model_name_or_path} holds a {found}, and {cls.__name__} cannot read it: load it by that "
                "class, or by AutoProcessor, which takes the right one by itself."
            )
        check_same_settings(pretrained_model_name_or_path, arguments)
        return fields, others

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> None:
        """As in transformers, in the files that both lines read; the folder also gets the code that loads it.

        Special tokens and chat templates of an earlier processor that lie there go away.
        """
        check_target(save_directory)
        for part in (self, self.image_processor):
            part.auto_map = {name: value for name, value in self.auto_classes.items() if "Processor" in name}
        for pattern in SOMETIMES_WRITTEN:
            for path in Path(save_directory).glob(pattern):
                path.unlink()
        super().save_pretrained(save_directory)
        self.image_processor.save_pretrained(save_directory)  # 4.57 reads it from a file of its own
        make_tokenizer_portable(Path(save_directory), type(self).__name__)
        write_remote_code(type(self), self.auto_classes, save_directory)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", Path(save_directory).name), **kwargs)

    def _upload_modified_files(self, working_dir: str | os.PathLike, repo_id: str, *args: Any, **kwargs: Any) -> Any:
        """Of `push_to_hub`. Special tokens and chat templates of an earlier processor go out of the repository, too."""
        commit = super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)
        revision = commit.pr_revision or kwargs.get("revision")
        replaced = partial(replaced_files, Path(working_dir))
        remove_from_repository(repo_id, replaced, revision, kwargs.get("token"))
        return commit


def replaced_files(folder: Path, present: Iterable[str]) -> list[str]:
    """Of a repository's files those of an earlier processor that transformers would read beside those of `folder`."""
    names = [name for name in present if any(fnmatch(name, pattern) for pattern in SOMETIMES_WRITTEN)]
    return sorted(name for name in names if not (folder / name).exists())


def make_tokenizer_portable(folder: Path, processor_class: str) -> None:
    """Rewrite `tokenizer_config.json` in `folder`, if there is one beside a `tokenizer.json`.

    Raises:
        ConfigError: the tokenizer came with a setting that is no finite number.
    """
    path = folder / "tokenizer_config.json"
    if not path.exists() or not (folder / "tokenizer.json").exists():
        return
    config = json.loads(path.read_text(encoding="utf-8"))
    for name in ("auto_map", "backend", "is_local", "local_files_only"):
        config.pop(name, None)
    if isinstance(config.get("extra_special_tokens"), list):  # 4.57 wants a mapping there; both read the older name
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    names = {name for name in config if name.endswith("_token")}.difference(COMMON_TOKENS)
    named = {name: config[name] for name in names if isinstance(config[name], (str, dict))}
    if named and "extra_special_tokens" not in config:  # 4.57 makes attributes of these alone
        config["extra_special_tokens"] = named
    config.update(tokenizer_class=TOKENIZER_CLASS, processor_class=processor_class)
    try:
        text = json.dumps(config, indent=2, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise ConfigError(f"{path.name} would hold a number that JSON has not: {error}; give another one.") from error
    path.write_text(text + "\n", encoding="utf-8")
