"""Answers of Alpamayo 1.5 to questions about images: text of its VLM, without a path and without an expert.

Published form: NVlabs/alpamayo1.5, models/base_model.py (`generate_text`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers.modeling_outputs import ModelOutput

from ..input_checks import check_length
from ..prediction_core import exclusive
from ..stack_passes import without_checkpointing
from .driving_inputs import check_count
from .prompt_pass import PromptInputs
from .prompt_reading import decoder_modules, read_scene
from .reasoning_text import split_text, unmarked
from .rollout import TextSampling, keys_for, prefill, sample_text, text_sampling
from .token_drawing import Warping, WithoutTrajectoryTokens
from .trajectory_outputs import check_outputs
from .value_checks import checked_prompt


@dataclass
class AlpamayoR1TextOutput(ModelOutput):
    """What `generate_text` returns.

    Attributes:
        answer, cot, meta_action: texts, arrays (batch, samples); `None` where the model has no tokenizer. An answer
            whose end was not written is all that was.
        finished: (batch, samples) bool, whether `<|answer_end|>` was written.
        sequences: (batch * samples, length), prompts and new tokens, then padding.
    """

    answer: np.ndarray | None = None
    cot: np.ndarray | None = None
    meta_action: np.ndarray | None = None
    finished: torch.Tensor | None = None
    sequences: torch.LongTensor | None = None


def answer_sampling(model: nn.Module, limit: int, warping: Warping, callers: tuple, as_published: bool) -> TextSampling:
    """How answers are drawn; callers: processors, stopping criteria and generator of the caller.

    model: an `AlpamayoR1`. Raises InputError as `text_sampling`.
    """
    sampling = text_sampling(model.config, model.tokenizer, limit, warping, *callers)
    rule, ends = sampling.drawing.rule, sampling.end_ids[1:]  # a trajectory that is opened ends no answer
    rule = WithoutTrajectoryTokens(rule.first, 0) if as_published else rule
    return replace(sampling, drawing=sampling.drawing._replace(rule=rule, end_ids=ends))


def written_answers(
    model: nn.Module, inputs: Mapping[str, Any], samples: int, sampling: TextSampling, as_published: bool
) -> AlpamayoR1TextOutput:
    """See `AlpamayoR1.generate_text`; inputs: of `tokenized`."""
    input_ids, mask = inputs["input_ids"], inputs.get("attention_mask")
    numbers = {"pixel_values": inputs.get("pixel_values")}
    grid, late = checked_prompt(model, input_ids, mask, inputs.get("image_grid_thw"), numbers)
    check_count("num_samples", samples)
    parts = {"prompt": input_ids.shape[1], "text to be written": sampling.max_new_tokens}
    check_length(parts, model.config.vlm_config.text_config.max_position_embeddings)
    scene, sampling.padding, _ = read_scene(model, input_ids, mask, numbers["pixel_values"], grid)
    with exclusive(model), without_checkpointing(decoder_modules(model.vlm)):
        keys = keys_for(model, *scene["input_ids"].shape, samples, (sampling.max_new_tokens, 0))
        rollout = sample_text(model, prefill(model, PromptInputs(**scene), samples, keys), sampling)
    shape = len(input_ids), samples
    check_outputs(model, {"logits of the text": rollout.finite.view(shape).all(dim=1)}, numbers, late)
    longest = int(rollout.lengths.max()) if rollout.longest is None else rollout.longest
    written, length = rollout.tokens[:, :longest], input_ids.shape[1]
    ended = written == -1 if (end := model.config.special_token_id("answer_end")) is None else written == end
    texts = {} if model.tokenizer is None else parts_of(model.tokenizer, written, rollout.lengths, shape, as_published)
    finished, sequences = ended.any(dim=1).view(shape), rollout.sequences[:, : length + longest]
    return AlpamayoR1TextOutput(**texts, finished=finished, sequences=sequences)


def parts_of(
    tokenizer: Any, written: torch.LongTensor, lengths: torch.LongTensor, shape: tuple[int, int], as_published: bool
) -> dict[str, np.ndarray]:
    """The parts of texts (rows, columns) of these lengths, arrays of the shape."""
    rows = torch.cat([lengths[:, None], written], dim=1).cpu().numpy()  # read at once
    texts = [tokenizer.decode(row[1 : 1 + row[0]], skip_special_tokens=False) for row in rows]
    parts = split_text(texts)
    if not as_published:
        pairs = zip(parts["answer"], texts, strict=True)
        parts["answer"] = [found or ("" if "<|answer_end|>" in text else unmarked(text)) for found, text in pairs]
    return {part: np.array(found, dtype=object).reshape(shape) for part, found in parts.items()}
