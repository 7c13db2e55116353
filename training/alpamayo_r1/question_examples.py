"""What examples of Alpamayo 1.5 have beside a drive: questions with answers, navigation, numbers of cameras.

Published form: NVlabs/alpamayo-recipes, alpamayo1_5_sft (template r1_5).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...configuration.alpamayo_r1.trajectory_vocabulary import SPECIAL_TOKENS
from ...configuration.vla_errors import InputError
from ...processing.alpamayo_r1.camera_labels import read_indices
from ...processing.alpamayo_r1.route_and_question import MARKER
from ...processing.alpamayo_r1.scene_samples import check_named
from ...processing.prompts import prompt_token_ids
from ..collator_answers import IGNORED, with_answers
from ..collator_entries import Example, texts

TURN_END = "<|im_end|>"


def is_question(example: Example) -> bool:
    """Whether an example asks, and drives nowhere."""
    return isinstance(example, Mapping) and example.get("question") is not None


def routes(examples: Sequence[Example], view_names: Sequence[str] | None) -> dict[str, Any]:
    """Navigation and numbers of cameras of examples for a call of the processor that has `view_names`, as far as any
    has them.

    Raises:
        InputError: some have numbers of cameras and some have none, or see `read_indices` and `check_named`.
    """
    texts_of = [example.get("nav_text") for example in examples]
    cameras = [example.get("camera_indices") for example in examples]
    found = {} if all(text is None for text in texts_of) else {"nav_text": texts_of}
    if all(each is None for each in cameras):
        return found
    if any(each is None for each in cameras):
        row = next(i for i, each in enumerate(cameras) if each is None)
        raise InputError(f"examples[{row}] has no camera_indices, and others of the batch have them.")
    numbers = [read_indices(each, 1)[0] for each in cameras]
    for example, indices in zip(examples, numbers, strict=True):
        if isinstance(example.get("images"), Mapping):
            check_named(indices, view_names)
    return found | {"camera_indices": numbers}


def joined_rows(rows: Sequence[Mapping[str, torch.Tensor]], tokenizer: Any) -> dict[str, torch.Tensor]:
    """Batches of one example each as one, padded on the right; without the paths, which the prompts hold already."""
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    fillers = {"input_ids": pad, "attention_mask": 0, "labels": IGNORED, "trajectory_labels": IGNORED}
    length = max(row["input_ids"].shape[1] for row in rows)
    batch = {name: torch.cat([row[name] for row in rows]) for name in ("pixel_values", "image_grid_thw")}
    for name, filler in fillers.items():
        if any(name in row for row in rows):
            parts = [row.get(name, torch.full_like(row["input_ids"], filler)) for row in rows]
            padded_rows = [torch.nn.functional.pad(part, (0, length - part.shape[1]), value=filler) for part in parts]
            batch[name] = torch.cat(padded_rows)
    return batch


def question_row(processor: Any, example: Example, images: Any) -> dict[str, torch.Tensor]:
    """A batch of one question with its answer, which is learnt with its markers, and the end of the turn.

    images: of the example, as the processor reads them. Raises InputError where an entry is none, or holds a marker.
    """
    (answer,), (question,) = (texts([example], name) for name in ("answer", "question"))
    if marker := MARKER.search(answer):
        raise InputError(f"an example's 'answer' holds the marker {marker[0]!r}; give the text alone.")
    cameras = routes([example], processor.view_names).get("camera_indices")
    batch = dict(processor(images, question=question, camera_indices=cameras))
    tokenizer, ids = processor.tokenizer, batch["input_ids"]
    pieces = ["", SPECIAL_TOKENS["answer_end"] + TURN_END]
    said = prompt_token_ids(tokenizer, pieces, [answer.strip()], add_special_tokens=False)
    text = with_answers(ids, batch["attention_mask"], [said], tokenizer)
    text["labels"][0, ids.shape[1] - 1] = ids[0, -1]  # the token that opens the answer ends the prompt
    return batch | text
