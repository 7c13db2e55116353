"""Where things are in a sequence of text and action tokens: one function for each value, no loop over the batch."""

from dataclasses import dataclass

import torch

from ..input_checks import check_rows
from ..sampled_actions import repeated


@dataclass
class ActionSequence:
    """Text with its action block: prompt, `num_action_tokens` action tokens, stop token, padding.

    Attributes:
        input_ids: (batch, length).
        real: (batch, length) bool, false on padding.
        last_prompt: (batch,) index of the last prompt token.
        num_action_tokens: chunk length times action dimension.
    """

    input_ids: torch.Tensor
    real: torch.Tensor
    last_prompt: torch.Tensor
    num_action_tokens: int

    @property
    def offset(self) -> torch.Tensor:
        """(batch, length): 0 at the last prompt token, 1 at the first action token, negative in the prompt."""
        return torch.arange(self.real.shape[1], device=self.real.device) - self.last_prompt.unsqueeze(1)

    @property
    def is_action(self) -> torch.Tensor:
        """(batch, length) bool: the action tokens, without the stop token."""
        return (self.offset >= 1) & (self.offset <= self.num_action_tokens)

    @property
    def is_block(self) -> torch.Tensor:
        """(batch, length) bool: action tokens and stop token."""
        return (self.offset >= 1) & (self.offset <= self.num_action_tokens + 1)

    @property
    def is_prompt(self) -> torch.Tensor:
        """(batch, length) bool: what stands between BOS and the action block."""
        after_bos = torch.arange(self.real.shape[1], device=self.real.device) > 0
        return (self.offset <= 0) & self.real & after_bos

    def repeated(self, count: int) -> "ActionSequence":
        """Each text `count` times, one behind the other."""
        rows = (repeated(each, count) for each in (self.input_ids, self.real, self.last_prompt))
        return ActionSequence(*rows, self.num_action_tokens)

    def predicting(self, count: int) -> torch.Tensor:
        """(batch, count): the last prompt token and those after it, each of which predicts its successor."""
        return self.last_prompt.unsqueeze(1) + torch.arange(count, device=self.real.device)


def right_padded(attention_mask: torch.Tensor, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Padding moved behind the text, whatever side it is on: the bool mask and each (batch, length) tensor."""
    order = attention_mask.ne(0).int().sort(dim=1, descending=True, stable=True)
    return order.values.bool(), *(tensor.gather(1, order.indices) for tensor in tensors)


def left_padded(attention_mask: torch.Tensor, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """As `right_padded`, with the padding before the text."""
    return tuple(x.flip(1) for x in right_padded(attention_mask.flip(1), *(tensor.flip(1) for tensor in tensors)))


def with_prompt_end(
    input_ids: torch.Tensor, real: torch.Tensor, prompt_end_token_id: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Append the prompt-end token to the rows whose last real token is another; ids and mask, one longer."""
    lengths = real.sum(dim=1, keepdim=True)
    missing = input_ids.gather(1, (lengths - 1).clamp(min=0)) != prompt_end_token_id  # a row of padding: see the caller
    filler = input_ids.new_full((input_ids.shape[0], 1), prompt_end_token_id)
    ids = torch.cat([input_ids, filler], dim=1)
    position = torch.arange(ids.shape[1], device=ids.device)
    ids = torch.where(position == lengths, prompt_end_token_id, ids)
    return ids, position < lengths + missing


def with_action_block(
    input_ids: torch.Tensor, real: torch.Tensor, num_action_tokens: int, stop_token_id: int
) -> ActionSequence:
    """Append action placeholders and the stop token to right-padded prompts."""
    lengths = real.sum(dim=1)
    block = input_ids.new_full((input_ids.shape[0], num_action_tokens + 1), stop_token_id)
    ids = torch.cat([input_ids, block], dim=1)
    position = torch.arange(ids.shape[1], device=ids.device)
    ids = torch.where(position >= lengths.unsqueeze(1), stop_token_id, ids)
    longer = position < (lengths + num_action_tokens + 1).unsqueeze(1)
    return ActionSequence(ids, longer, lengths - 1, num_action_tokens)


def find_action_block(input_ids: torch.Tensor, real: torch.Tensor, num_action_tokens: int) -> ActionSequence:
    """The action block of right-padded text that ends with it, as the published collators make it.

    Raises:
        InputError: a row is too short to hold it. That is one number read before the first kernel of a training step,
            on every device; where a device would find it, its process ends.
    """
    what = f"a prompt, num_action_chunks * action_dim = {num_action_tokens} action tokens and a stop token"
    check_rows(real, num_action_tokens + 2, what)
    return ActionSequence(input_ids, real, real.sum(dim=1) - num_action_tokens - 2, num_action_tokens)
