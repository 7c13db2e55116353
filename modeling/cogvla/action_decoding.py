"""From what the language model reads to a chunk of normalised actions: at once, by denoising, or token by token."""

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import nn

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ..action_tokens import tokens_to_actions
from ..finite_predictions import finite_rows
from ..mlp_resnet import MLPResNet
from ..sampled_actions import drawn_bins, repeated, token_entropy
from .action_sequence import ActionSequence
from .ddim import ddim_step, sampling_steps, signal_levels, sinusoidal_embedding
from .growing_cache import GrowingCache
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
        normalized: (batch, num_action_chunks, action_dim), float32; of samples (batch, num_samples, num_action_chunks,
            action_dim).
        hidden_states: (batch, action tokens, hidden_size), each the state that predicts an action token.
        kept_vision_tokens: see `Pruning`; those of the last denoising step, or of the prompt.
        token_ids: (batch, action tokens), of a discrete head.
        entropy: (batch, num_action_chunks, action_dim), of a discrete head that draws samples.
        finite: what is finite of that which the actions do not show, (batch,) bool by name.
    """

    normalized: torch.Tensor
    hidden_states: torch.Tensor
    kept_vision_tokens: dict[int, torch.Tensor]
    token_ids: torch.Tensor | None = None
    finite: dict[str, torch.Tensor] = field(default_factory=dict)
    entropy: torch.Tensor | None = None

    def of_samples(self, config: CogVLAConfig, batch: int, entropy: torch.Tensor | None = None) -> "DecodedActions":
        """Of rows in the order batch, sample; entropy: (batch, samples, action tokens), of whose mean it is."""
        finite = {name: flags.view(batch, -1).all(dim=1) for name, flags in self.finite.items()}
        normalized, chunk = self.normalized.unflatten(0, (batch, -1)), (config.num_action_chunks, config.action_dim)
        entropy = None if entropy is None else entropy.mean(dim=1).unflatten(1, chunk)
        return replace(self, normalized=normalized, finite=finite, entropy=entropy)


def decode_at_once(
    config: CogVLAConfig,
    language_model: LanguageModel,
    action_head: nn.Module | None,
    inputs: LanguageModelInputs,
    num_samples: int | None = None,
    exponentials: torch.Tensor | None = None,
) -> DecodedActions:
    """All actions from one pass over the sequence; action_head: of L1 regression, `None` for discrete tokens.

    num_samples: draw so many chunks of discrete tokens; exponentials: see `exponentials_of`.
    """
    states, kept = language_model.read(inputs)
    if action_head is not None:
        return DecodedActions(action_head(states).float(), states, kept)
    logits = language_model.lm_head(states)
    token_ids, entropy = chosen_tokens(config, logits, num_samples, exponentials)
    actions, finite = actions_of(config, token_ids), {"logits": finite_rows(logits)}
    decoded = DecodedActions(actions, states, kept, token_ids, finite)
    return decoded if num_samples is None else decoded.of_samples(config, len(logits), entropy)


def denoise(
    config: CogVLAConfig,
    language_model: LanguageModel,
    action_head: nn.Module,
    noisy_action_projector: nn.Module,
    inputs: LanguageModelInputs,
    sequence: ActionSequence,
    noise: torch.Tensor,
    num_inference_steps: int,
    num_samples: int | None = None,
) -> DecodedActions:
    """DDIM from `noise` (batch, num_action_chunks, action_dim): a pass over the sequence a step. The steps clip what is
    infinite, so whether all predicted noise was finite is told apart.

    num_samples: draw so many chunks, from noise (batch * num_samples, num_action_chunks, action_dim). What is made of
    images is made once; the language model, which reads the noisy actions, runs for each sample.
    """
    observed, count = len(inputs.prefix), num_samples or 1
    inputs, sequence = inputs.repeated(count), sequence.repeated(count)
    num_steps, device = config.num_diffusion_steps, inputs.prefix.device
    batch, width = inputs.prefix.shape[0], inputs.prefix.shape[-1]
    mask = language_model.added(inputs.attention_mask, inputs.prefix.dtype)
    inputs, rotary, actions = replace(inputs, attention_mask=mask), language_model.rotary(inputs), noise
    levels, times = signal_levels(num_steps), sinusoidal_embedding(torch.arange(num_steps, device=device), width)
    finite = torch.ones(batch, dtype=torch.bool, device=device)
    steps = sampling_steps(num_steps, num_inference_steps)
    for step in steps:
        tokens = noisy_action_projector(one_token_a_number(actions.to(inputs.prefix.dtype)))
        noised = with_noise(inputs, sequence, tokens, times[step].expand(batch, -1))
        states, kept = language_model.read(noised, rotary=rotary)
        predicted = action_head(states)
        finite = finite & finite_rows(predicted)
        actions = ddim_step(actions, predicted, levels, step, -steps.step)
    decoded = DecodedActions(actions, states, kept, finite={"predicted noise": finite})
    return decoded if num_samples is None else decoded.of_samples(config, observed)


def decode_one_by_one(
    config: CogVLAConfig,
    language_model: LanguageModel,
    prompt: LanguageModelInputs,
    real: torch.Tensor,
    num_samples: int | None = None,
    exponentials: torch.Tensor | None = None,
) -> DecodedActions:
    """Action tokens one after another, each from all before it (OpenVLA).

    prompt: with the last token's state wanted; real: (batch, length) bool, its padding. num_samples: draw so many
    chunks over one pass of the prompt; exponentials: see `exponentials_of`.
    """
    cache, count, following = GrowingCache(), num_samples or 1, config.num_action_tokens - 1
    states, kept = language_model.read(prompt, cache)
    batch, cache = len(states), cache.with_room(following, count)
    longer = F.pad(repeated(real, count), (0, following), value=True)
    ahead = language_model.ahead(longer, prompt.prefix.shape[1], following) if following else None
    all_states, all_ids, all_logits_finite, entropies = [repeated(states, count)], [], [], []
    for number in range(config.num_action_tokens):
        if number:
            all_states.append(language_model.read_on(all_ids[-1], ahead.at(number - 1), cache))
        logits = language_model.lm_head(all_states[-1])
        ids, entropy = next_token(config, logits, num_samples, None if exponentials is None else exponentials[number])
        all_ids.append(ids)
        entropies.append(entropy)
        all_logits_finite.append(finite_rows(logits))
    token_ids = torch.cat(all_ids, dim=1)
    finite = {"logits": torch.stack(all_logits_finite).all(dim=0)}
    decoded = DecodedActions(actions_of(config, token_ids), torch.cat(all_states, dim=1), kept, token_ids, finite)
    if num_samples is None:
        return decoded
    return decoded.of_samples(config, batch, torch.cat(entropies, dim=1).unflatten(0, (batch, -1)))


def next_token(
    config: CogVLAConfig, logits: torch.Tensor, num_samples: int | None, exponentials: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The likeliest token of logits (rows, 1, vocabulary), or one drawn among the bins and their entropy; (rows, 1)."""
    if num_samples is None:
        return logits.argmax(dim=-1), None
    first, scores = scores_of_bins(config, logits)
    return first + drawn_bins(scores, exponentials), token_entropy(scores)


def chosen_tokens(
    config: CogVLAConfig, logits: torch.Tensor, num_samples: int | None, exponentials: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The likeliest tokens of logits (batch, tokens, vocabulary), (batch, tokens); or drawn ones among the bins, (batch
    * num_samples, tokens), and their entropy (batch, 1, tokens)."""
    if num_samples is None:
        return logits.argmax(dim=-1), None
    first, scores = scores_of_bins(config, logits)
    return first + drawn_bins(repeated(scores, num_samples), exponentials), token_entropy(scores)[:, None]


def scores_of_bins(config: CogVLAConfig, logits: torch.Tensor) -> tuple[int, torch.Tensor]:
    """The id of the first bin, and of logits (..., vocabulary) those of the bins: other tokens stand for no action."""
    end = config.text_config.vocab_size - config.pad_to_multiple_of
    return end - config.n_action_bins, logits[..., end - config.n_action_bins : end]


def one_token_a_number(actions: torch.Tensor) -> torch.Tensor:
    """(batch, num_action_chunks, action_dim) -> (batch, num_action_chunks * action_dim, 1)."""
    return actions.flatten(1).unsqueeze(-1)


def actions_of(config: CogVLAConfig, token_ids: torch.Tensor) -> torch.Tensor:
    """(batch, tokens) -> normalised actions (batch, num_action_chunks, action_dim), float32."""
    vocab_size = config.text_config.vocab_size - config.pad_to_multiple_of
    values = tokens_to_actions(token_ids, vocab_size, config.n_action_bins)
    return values.view(-1, config.num_action_chunks, config.action_dim)
