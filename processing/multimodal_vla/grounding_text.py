"""Texts for the text tower of a SigLIP or a CLIP: its own tokenizer, and the length that it was trained with.

Published forms: the processors of transformers (models/siglip, models/siglip2, models/clip) and the text towers there.
SigLIP reads the state of the last of all its positions, and was trained on texts padded to them, without a mask; CLIP
reads the state of the end token.
"""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import get_tokenizer_config
from transformers.utils import cached_file

from ...configuration.multimodal_vla.backbone_facts import (
    FIRST_END_TOKEN,
    LOWER_CASE_TOKENIZERS,
    READS_ALL_POSITIONS,
    TWO_TOWERS,
)
from ...configuration.vla_errors import ConfigError, InputError
from ..prompts import padded, prompt_token_ids

GROUNDING_FILE = "grounding_tokenizer.json"
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
AS_THEY_STAND = ("PreTrainedTokenizerFast", "TokenizersBackend")  # for SigLIP 2, 5.x makes another class of these, too
SPECIAL_TOKENS = ("pad_token", "eos_token", "bos_token", "unk_token")


class GroundingText:
    """Instructions become the ids that a text tower reads.

    Args:
        tokenizer: the text tower's, one of the `tokenizers` library.
        settings: JSON: `max_length`, the positions of the tower; `fills_length`, whether a text is padded to all of
            them; `lower_case`, whether the tower was trained on such text and its tokenizer does not make it; and the
            tokenizer's special tokens.
    """

    def __init__(self, tokenizer: Any, settings: Mapping[str, Any]):
        self.tokenizer = tokenizer
        self.settings = dict(settings)

    @classmethod
    def for_towers(cls, config: Any, tokenizer: Any) -> "GroundingText":
        """Of a vision backbone with two towers.

        Args:
            config: `vision_config` of the model.
            tokenizer: the text tower's, its folder or its Hub id.

        Raises:
            ConfigError: there is no text tower, or the tokenizer is not one that it can read.
        """
        if config is None or config.model_type not in TWO_TOWERS:
            kind = "a VLM" if config is None else config.model_type
            raise ConfigError(
                f"grounding_tokenizer was given, but {kind} has no text tower; {', '.join(TWO_TOWERS)} have, with "
                "from_backbones(..., grounding=True)."
            )
        if isinstance(tokenizer, (str, os.PathLike)):
            tokenizer = loaded_tokenizer(tokenizer)
        if not getattr(tokenizer, "is_fast", False):
            raise ConfigError(
                f"grounding_tokenizer is a {type(tokenizer).__name__}, which no single file holds; give a fast one, "
                "such as PreTrainedTokenizerFast.from_pretrained(...) of a folder with a tokenizer.json."
            )
        check_fits(tokenizer, config.model_type, config.text_config)
        names = {name: getattr(tokenizer, name) for name in SPECIAL_TOKENS}
        settings = {
            "max_length": config.text_config.max_position_embeddings,
            "fills_length": config.model_type in READS_ALL_POSITIONS,
            "lower_case": config.model_type == "siglip2" or type(tokenizer).__name__ in LOWER_CASE_TOKENIZERS,
        }
        return cls(tokenizer, settings | {name: token for name, token in names.items() if token is not None})

    def __call__(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """`input_ids` (batch, length) and, where the tower reads one, `attention_mask`: arguments of `grounding_score`.

        Raises:
            InputError: a text is longer than the tower reads.
        """
        length = self.settings["max_length"]
        texts = [text.lower() if self.settings["lower_case"] else text for text in texts]
        rows = [prompt_token_ids(self.tokenizer, ["", ""], text) for text in texts]
        for text, row in zip(texts, rows, strict=True):
            if not 0 < len(row) <= length:
                raise InputError(
                    f"the text {text!r:.60} has {len(row)} tokens for the text tower, which reads 1 to {length}: ask "
                    "for what the scene should show in fewer words."
                )
        if self.settings["fills_length"]:
            return {"input_ids": padded(rows, self.tokenizer, "right", length)["input_ids"]}
        return padded(rows, self.tokenizer, "right")

    def save(self, folder: str | os.PathLike) -> None:
        """Write the tokenizer beside the processor's files; its settings are in the processor's."""
        settings = json.loads(self.tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
        Path(folder).mkdir(parents=True, exist_ok=True)
        text = json.dumps(settings, ensure_ascii=False, allow_nan=False)
        (Path(folder) / GROUNDING_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, source: str | os.PathLike, settings: Mapping[str, Any], **kwargs: Any) -> "GroundingText":
        """From a folder or the Hub; kwargs: those of `from_pretrained` that say where to find a file."""
        where = {name: kwargs[name] for name in HUB_ARGUMENTS if kwargs.get(name) is not None}
        tokens = {name: settings[name] for name in SPECIAL_TOKENS if name in settings}
        file = cached_file(source, GROUNDING_FILE, **where)
        return cls(PreTrainedTokenizerFast(tokenizer_file=file, **tokens), settings)


def grounding_ids(
    grounding_text: GroundingText | None, texts: Sequence[str], **of_prompts: Any
) -> dict[str, np.ndarray]:
    """What `GroundingText` makes of texts.

    of_prompts: arguments that only a prompt has a place for, by their names.

    Raises:
        InputError: there is no `GroundingText`, or an argument of a prompt is given.
    """
    if grounding_text is None:
        raise InputError(
            "grounding=True needs the tokenizer of a text tower, and this processor has none: build the model with "
            "from_backbones(..., grounding=True), and the processor with for_config(config, tokenizer, "
            "grounding_tokenizer=...)."
        )
    for name, value in of_prompts.items():
        if value:
            raise InputError(f"{name} was given with grounding=True; a text tower reads one text: say all of it there.")
    return grounding_text(texts)


def check_fits(tokenizer: Any, kind: str, text_config: Any) -> None:
    """Refuse a tokenizer that is not the text tower's; kind: the model type of both towers.

    Raises:
        ConfigError: it has ids that the tower does not know, or does not end a text as the tower expects.
    """
    last = max(tokenizer.get_vocab().values())
    if last >= text_config.vocab_size:
        raise ConfigError(
            f"grounding_tokenizer has ids up to {last}, the text tower's vocab_size is {text_config.vocab_size}; it "
            "must be the text tower's own, not the language model's."
        )
    if kind not in FIRST_END_TOKEN:
        return
    end, found = text_config.eos_token_id, tokenizer("a")["input_ids"][-1:]
    wanted = last if end == 2 else end  # 2: of configs from before the right number, where the largest id ends a text
    if found != [wanted]:
        raise ConfigError(
            f"grounding_tokenizer ends a text with id {found}, and a {kind} reads the state of eos_token_id={wanted}: "
            "is it the text tower's own?"
        )


def tokenizer_of_towers(config: Any) -> Any:
    """That of the folder or Hub id that a vision backbone was loaded from; `None` where there is none.

    config: `vision_config` of the model; `None` with a VLM.
    """
    source = getattr(config, "_name_or_path", None)
    if not source or config.model_type not in TWO_TOWERS:
        return None
    try:
        return loaded_tokenizer(source)
    except ConfigError:
        return None


def loaded_tokenizer(source: str | os.PathLike) -> Any:
    """The tokenizer of a folder or a Hub id, as one of the `tokenizers` library.

    SigLIP's own class needs sentencepiece, and 4.57 has no other; its tokenizer.json says the same.

    Raises:
        ConfigError: there is no tokenizer.json.
    """
    try:
        cached_file(source, "tokenizer.json")
    except OSError as error:
        raise ConfigError(f"grounding_tokenizer={str(source)!r} has no tokenizer.json: {error}") from error
    tokenizer = None
    if get_tokenizer_config(source).get("tokenizer_class") not in AS_THEY_STAND:
        with contextlib.suppress(ImportError, KeyError, ValueError):
            tokenizer = AutoTokenizer.from_pretrained(source)
    return tokenizer if getattr(tokenizer, "is_fast", False) else PreTrainedTokenizerFast.from_pretrained(source)
