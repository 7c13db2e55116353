"""From what the language model reads to a chunk of normalised actions: at once, by denoising, or token by token."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn
from transformers import DynamicCache

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ..action_tokens import tokens_to_actions
from ..finite_predictions import finite_rows
from ..mlp_resnet import MLPResNet
from .action_sequence import ActionSequence
from .ddim import ddim_step, sampling_steps, signal_levels, sinusoidal_embedding
from .pruned_language_model import LanguageModel, LanguageModelInputs, with_noise


class ContinuousActionHead(nn.Module):
    """One vector per step of the chunk, read from the states of that step's action tokens together.

    The L1 head's output is the normalised action, the diffusion head's the noise in it.
    """

    def __init__(self, hidden_size: int, num_action_chunks: int, action_dim: int):
        super().__init__()
        self.num_action_chunks = num_action_chunks
        self.model = MLPResNet(action_dim * hidden_size, hidden_size, action_dim)

    def forward(self, action_hidden_states: torch.Tensor) -> torch.Tensor:
        """(batch, num_action_chunks * action_dim, hidden_size) -> (batch, num_action_chunks, action_dim)."""
        batch = action_hidden_states.shape[0]
        return self.model(action_hidden_states.reshape(batch, self.num_action_chunks, -1))


@dataclass
class DecodedActions:
    """A chunk of actions, and what it was read from.

    Attributes:
        normalized: (batch, num_action_chunks, action_dim), float32.
        hidden_states: (batch, action tokens, hidden_size), each the state that predicts an action token.
        kept_vision_tokens: see `Pruning`; those of the last denoising step, or of the prompt.
        token_ids: (batch, action tokens), of a discrete head.
        finite: what is finite of that which the actions do not show, (batch,) bool by name.
    """

    normalized: torch.Tensor
    hidden_states: torch.Tensor
    kept_vision_tokens: dict[int, torch.Tensor]
    token_ids: torch.Tensor | None = None
    finite: dict[str, torch.Tensor] = field(default_factory=dict)


def decode_at_once(
    config: CogVLAConfig, language_model: LanguageModel, action_head: nn.Module | None, inputs: LanguageModelInputs
) -> DecodedActions:
    """All actions from one pass over the sequence; action_head: of L1 regression, `None` for discrete tokens."""
    states, kept = language_model.read(inputs)
    if action_head is not None:
        return DecodedActions(action_head(states).float(), states, kept)
    logits = language_model.lm_head(states)
    token_ids = logits.argmax(dim=-1)
    return DecodedActions(actions_of(config, token_ids), states, kept, token_ids, {"logits": finite_rows(logits)})


def denoise(
    config: CogVLAConfig,
    language_model: LanguageModel,
    action_head: nn.Module,
    noisy_action_projector: nn.Module,
    inputs: LanguageModelInputs,
    sequence: ActionSequence,
    noise: torch.Tensor | None,
    num_inference_steps: int,
) -> DecodedActions:
    """DDIM from `noise` (batch, num_action_chunks, action_dim), drawn where it is `None`: a pass over the sequence a
    step. The steps clip what is infinite, so whether all predicted noise was finite is told apart."""
    num_steps, device = config.num_diffusion_steps, inputs.prefix.device
    batch, width = inputs.prefix.shape[0], inputs.prefix.shape[-1]
    shape = (batch, config.num_action_chunks, config.action_dim)
    actions = torch.randn(shape, device=device) if noise is None else noise.to(device)
    levels, times = signal_levels(num_steps), sinusoidal_embedding(torch.arange(num_steps, device=device), width)
    finite = torch.ones(batch, dtype=torch.bool, device=device)
    steps = sampling_steps(num_steps, num_inference_steps)
    for step in steps:
        tokens = noisy_action_projector(one_token_a_number(actions.to(inputs.prefix.dtype)))
        noised = with_noise(inputs, sequence, tokens, times[step].expand(batch, -1))
        states, kept = language_model.read(noised)
        predicted = action_head(states)
        finite = finite & finite_rows(predicted)
        actions = ddim_step(actions, predicted, levels, step, -steps.step)
    return DecodedActions(actions, states, kept, finite={"predicted noise": finite})


def decode_one_by_one(
    config: CogVLAConfig, language_model: LanguageModel, prompt: LanguageModelInputs, real: torch.Tensor
) -> DecodedActions:
    """Action tokens one after another, each from all before it (OpenVLA).

    prompt: with the last token's state wanted; real: (batch, length) bool, its padding.
    """
    cache = DynamicCache(config=config.text_config)
    states, kept = language_model.read(prompt, cache)
    logits = language_model.lm_head(states)
    all_states, all_ids, finite = [states], [logits.argmax(dim=-1)], finite_rows(logits)
    for _ in range(config.num_action_tokens - 1):
        real = F.pad(real, (0, 1), value=True)
        all_states.append(language_model.read_on(all_ids[-1], real, prompt.prefix.shape[1], cache))
        logits = language_model.lm_head(all_states[-1])
        all_ids.append(logits.argmax(dim=-1))
        finite = finite & finite_rows(logits)
    token_ids = torch.cat(all_ids, dim=1)
    actions = actions_of(config, token_ids)
    return DecodedActions(actions, torch.cat(all_states, dim=1), kept, token_ids, {"logits": finite})


def one_token_a_number(actions: torch.Tensor) -> torch.Tensor:
    """(batch, num_action_chunks, action_dim) -> (batch, num_action_chunks * action_dim, 1)."""
    return actions.flatten(1).unsqueeze(-1)


def actions_of(config: CogVLAConfig, token_ids: torch.Tensor) -> torch.Tensor:
    """(batch, tokens) -> normalised actions (batch, num_action_chunks, action_dim), float32."""
    vocab_size = config.text_config.vocab_size - config.pad_to_multiple_of
    values = tokens_to_actions(token_ids, vocab_size, config.n_action_bins)
    return values.view(-1, config.num_action_chunks, config.action_dim)
