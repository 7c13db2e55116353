"""How Alpamayo-R1's next tokens are drawn from logits, for all rows together and without asking the device.

All of it is numbers (`Drawing`) and tensors (`WrittenText`), and random numbers are drawn before, so that a step can be
compiled and captured.
"""

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F

from ..finite_predictions import finite_rows


class WrittenText(NamedTuple):
    """Texts as far as they are written.

    Attributes:
        tokens: (rows, places), the text of each row from the first place on, then padding.
        count: (1,) int64, how many places are written; rows advance together, and one that has ended gets padding.
        lengths: (rows,), accepted tokens of each row, with the one that ended it.
        ended: (rows,) bool.
        finite: (rows,) bool, whether every accepted token of a row was drawn from finite logits.
    """

    tokens: torch.LongTensor
    count: torch.LongTensor
    lengths: torch.LongTensor
    ended: torch.Tensor
    finite: torch.Tensor


class TextRule(Protocol):
    """What may be written next: `rule(written, scores)` are scores (rows, vocabulary), minus infinity elsewhere.

    It is hashable, and what is written so far is not changed.
    """

    def __call__(self, written: WrittenText, scores: torch.Tensor) -> torch.Tensor: ...


class WithoutTrajectoryTokens(NamedTuple):
    """Keeps trajectory tokens out of the reasoning: the expert draws the trajectory."""

    first: int
    number: int

    def __call__(self, written: WrittenText, scores: torch.Tensor) -> torch.Tensor:
        ids = torch.arange(scores.shape[1], device=scores.device)
        return scores.masked_fill((ids >= self.first) & (ids < self.first + self.number), float("-inf"))


class Warping(NamedTuple):
    """temperature, then top_k, then top_p, as transformers' warpers; greedy decoding is `top_k=1`."""

    temperature: float
    top_k: int | None
    top_p: float

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        scores = scores / self.temperature if self.temperature != 1 else scores
        if self.top_k is not None:
            least = scores.topk(min(self.top_k, scores.shape[1])).values[:, -1:]
            scores = scores.masked_fill(scores < least, float("-inf"))
        return scores if self.top_p == 1 else likeliest(scores, self.top_p)


def likeliest(scores: torch.Tensor, top_p: float) -> torch.Tensor:
    """Scores (rows, vocabulary) of the fewest tokens whose probabilities make `top_p`, minus infinity elsewhere."""
    ascending, order = scores.sort()
    beyond = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p
    beyond = F.pad(beyond[:, :-1], (0, 1))  # one stays
    return scores.masked_fill(beyond.scatter(1, order, beyond), float("-inf"))


class Drawing(NamedTuple):
    """How tokens are drawn: what may be written, then a caller's processors, then `warping`.

    Attributes:
        end_ids: the tokens that end a text, that which opens the trajectory first.
        pad_token_id: what stands behind an ended text.
    """

    rule: TextRule
    warping: Warping
    end_ids: tuple[int, ...]
    pad_token_id: int


def nothing_written(rows: int, places: int, pad_token_id: int, device: torch.device) -> WrittenText:
    """Texts before their first token, with so many places for them."""
    flags = torch.zeros(rows, dtype=torch.bool, device=device)
    numbers = torch.zeros(rows, dtype=torch.long, device=device)
    tokens = torch.full((rows, places), pad_token_id, dtype=torch.long, device=device)
    return WrittenText(tokens, numbers.new_zeros(1), numbers, flags, ~flags)


def possible(logits: torch.Tensor, written: WrittenText, drawing: Drawing) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (rows, vocabulary) of what may be written, and (rows,) bool, whether logits were finite.

    Logits that are not finite are drawn from as if all were equal, for an error in the middle would cost a CUDA device
    all that it holds.
    """
    sound = finite_rows(logits)
    return drawing.rule(written, logits.masked_fill(~sound[:, None], 0.0)), sound


def chosen(scores: torch.Tensor, exponentials: torch.Tensor) -> torch.LongTensor:
    """(rows,): `torch.multinomial(scores.softmax(-1), 1)`, which draws the same exponentials itself.

    exponentials: like the scores, exponentially distributed numbers.
    """
    return (scores.softmax(dim=-1) / exponentials).argmax(dim=-1)


def with_token(written: WrittenText, token: torch.LongTensor, sound: torch.Tensor, drawing: Drawing) -> WrittenText:
    """One token (rows,) further; it is padding where a text has ended. sound: see `possible`."""
    tokens, count, lengths, ended, finite = written
    token = token.masked_fill(ended, drawing.pad_token_id)
    finite = finite & (sound | ended)
    tokens = tokens.index_copy(1, count, token[:, None])
    lengths = lengths + ~ended
    for end in drawing.end_ids:
        ended = ended | (token == end)
    return WrittenText(tokens, count + 1, lengths, ended, finite)


def draw(logits: torch.Tensor, written: WrittenText, exponentials: torch.Tensor, drawing: Drawing) -> WrittenText:
    """One token further, drawn from logits (rows, vocabulary)."""
    scores, sound = possible(logits, written, drawing)
    return with_token(written, chosen(drawing.warping(scores), exponentials), sound, drawing)


def longest_of_ended(written: WrittenText) -> torch.LongTensor:
    """(), the length of the longest text, 0 where not all have ended."""
    return torch.where(written.ended.all(), written.lengths.amax(), 0)
