"""Prompts and images as a VLM's own processor of transformers prepares them."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from transformers import ProcessorMixin

from ...configuration.vla_errors import ConfigError
from ..prompts import MARK
from .chat_prompts import chat_prompt
from .image_processing_vlm import VLMImageProcessor
from .processor_defaults import IMAGE_FORMATS, PROMPT_TEMPLATES
from .prompt_tokenizer import PromptParts, PromptTokenizer, place_of
from .vlm_defaults import GIVE_PROMPT, OwnProcessor, image_token_id_of, own_processor_row

KNOW_ONE_PICTURE = ("blip-2",)  # VLMs whose own processors put one picture's tokens before each prompt, or fewer
# Prompts of which the VLM's own processor writes a part: PaliGemma's begin token and line break.
WRITTEN_BY_PROCESSOR = {"paligemma": "{images}{instruction}"}


def prepared_by_vlm(config: Any, tokenizer: Any, overrides: dict[str, Any]) -> dict[str, Any]:
    """`image_processor` and prompt of a VLM whose own processor prepares both; empty where this package does.

    Args:
        config: of the model.
        tokenizer: the VLM's, or its whole processor, which is then used whatever the VLM.
        overrides: of `MultimodalVLAProcessor.for_config`; arguments of the image processor are taken out.

    Raises:
        ConfigError: classes of transformers cannot be used here, the tokenizer is not the VLM's, or its chat template
            gives no prompt.
    """
    if config.vlm_config is None or type(config.vlm_config).model_type in KNOW_ONE_PICTURE:
        return {}
    row, is_whole = own_processor_row(config.vlm_config), isinstance(tokenizer, ProcessorMixin)
    if not is_whole and (row is None or "image_seq_length" in overrides):
        return {}
    given = {name: overrides.pop(name) for name in VLMImageProcessor.arguments if name in overrides}
    owner, tokenizer = tokenizer, tokenizer.tokenizer if is_whole else tokenizer
    if is_whole:
        images = VLMImageProcessor.around(owner, **given)
    else:
        settings = {"image_processor_type": row.image_processor} | row.image_settings(config.vlm_config)
        settings |= given.pop("image_settings", {})
        images = VLMImageProcessor(row.processor, row.settings(config.vlm_config), settings, **given)
    own = images.own_processor(tokenizer)
    check_image_token_id(own, config.vlm_config, tokenizer)
    token = getattr(own, "image_token" if row is None else row.placeholder)
    is_given = {"prompt_template", "image_format"} <= set(overrides)
    prompt = {} if is_given else own_prompt(owner, tokenizer, token, config.vlm_config, row)
    starts = (prompt | overrides)["prompt_template"].startswith(tokenizer.bos_token or MARK)
    return {"image_processor": images, "image_token": token, "add_special_tokens": not starts, **prompt}


def own_prompt(
    owner: Any, tokenizer: Any, image_token: str, vlm_config: Any, row: OwnProcessor | None
) -> dict[str, str]:
    """`prompt_template`, `image_format` and, where they are of a chat template, that, for earlier turns.

    The template of a tokenizer alone may be of text alone: that of the model card is taken then.

    owner: the VLM's processor, or its tokenizer. Raises ConfigError where the template of a processor gives no prompt.
    """
    of_processor = None if owner is tokenizer else default_template(getattr(owner, "chat_template", None))
    template = of_processor or default_template(tokenizer.chat_template)
    if template is None:
        return default_prompt(vlm_config, row)
    try:
        found = chat_prompt(tokenizer, template, image_token)
    except ConfigError:
        if of_processor is not None:
            raise
        return default_prompt(vlm_config, row)
    return {"prompt_template": found[0], "image_format": found[1], "chat_template": template}


def default_template(templates: Any) -> str | None:
    """The chat template that is used by default, where there are several by their names."""
    return templates.get("default") if isinstance(templates, Mapping) else templates


def default_prompt(vlm_config: Any, row: OwnProcessor | None) -> dict[str, str]:
    """Prompt and format of an image of a VLM without a chat template. Raises ConfigError where none is documented."""
    if row is not None:
        return {"prompt_template": row.prompt_template, "image_format": row.image_format}
    kind = type(vlm_config).model_type
    template = WRITTEN_BY_PROCESSOR.get(kind, PROMPT_TEMPLATES.get(kind))
    if template is None:
        raise ConfigError(f"vlm_config.model_type={kind!r} has no default prompt and no chat template; {GIVE_PROMPT}.")
    return {"prompt_template": template, "image_format": IMAGE_FORMATS.get(kind, "{image}")}


def check_image_token_id(own: ProcessorMixin, vlm_config: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer in which the image token of the VLM is another one."""
    wanted = image_token_id_of(vlm_config)
    token = getattr(own.tokenizer, "image_token", None) or own.image_token
    found = {tokenizer.convert_tokens_to_ids(token)} | {getattr(own, "image_token_id", None)} - {None}
    if wanted not in found:
        raise ConfigError(
            f"the tokenizer has the image token {token!r} at {min(found)}, vlm_config.image_token_id is {wanted}; is "
            "it the VLM's?"
        )


def inputs_by_vlm(
    own: ProcessorMixin,
    samples: Sequence[Sequence[np.ndarray]],
    prompts: Sequence[PromptParts],
    padding_side: str,
) -> dict[str, np.ndarray]:
    """All that a VLM's own processor returns for a batch.

    Special tokens that an instruction spells are text: it is put in when the image tokens are there already.

    Args:
        own: the VLM's processor around its tokenizer.
        samples: views (height, width, 3) uint8.
        prompts: of each sample.
        padding_side: as in `MultimodalVLAProcessor`.
    """
    asked = copy.copy(own)
    asked.tokenizer = PromptTokenizer(own.tokenizer, prompts, padding_side)
    texts = [place_of(i).join(prompt.pieces) for i, prompt in enumerate(prompts)]
    images = [[Image.fromarray(view) for view in views] for views in samples]
    found = asked(images=images, text=texts, return_tensors="pt")
    return {name: np.asarray(value) for name, value in found.items()}
