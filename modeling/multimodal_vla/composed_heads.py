"""The action heads of composed VLAs: regression (mlp), flow matching (flow), and bins of the vocabulary (discrete)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ...configuration.vla_errors import InputError
from ..action_tokens import actions_to_tokens, tokens_to_actions
from ..finite_predictions import finite_rows
from ..flow_matching_action_expert import FlowMatchingActionExpert
from ..loss_items import ActionTargets
from ..mlp_resnet import MLPResNet
from .context_action_network import ContextActionNetwork


class Prediction(NamedTuple):
    """What a head reads: actions (batch, chunks, action_dim) float32, normalised; of bins also their token ids, and
    `finite_rows` of the scores behind them."""

    normalized: torch.Tensor
    token_ids: torch.LongTensor | None = None
    finite_logits: torch.Tensor | None = None


class RegressionHead(NamedTuple):
    """Actions are read off the states of the queries, (batch, chunks, hidden_size)."""

    network: MLPResNet

    def predict(self, states: torch.Tensor, real: None, steps: int, noise: None) -> Prediction:
        return Prediction(self.network(states).float())

    def loss(self, states: torch.Tensor, real: None, targets: ActionTargets) -> torch.Tensor:
        """Mean absolute error."""
        return targets.mean((self.network(states).float() - targets.actions.float()).abs().mean(dim=2))

    def loss_items(self, targets: ActionTargets) -> dict[str, torch.Tensor]:
        return targets.num_steps()


class FlowHead(NamedTuple):
    """Actions flow out of noise by a network that reads all states, (batch, tokens, hidden_size)."""

    expert: FlowMatchingActionExpert

    def predict(
        self, states: torch.Tensor, real: torch.Tensor | None, steps: int, noise: torch.Tensor | None
    ) -> Prediction:
        return Prediction(self.expert.sample_actions(states, num_steps=steps, attention_mask=real, noise=noise))

    def loss(self, states: torch.Tensor, real: torch.Tensor | None, targets: ActionTargets) -> torch.Tensor:
        """Of flow matching."""
        return self.expert.compute_loss(
            states,
            targets.actions,
            attention_mask=real,
            time=targets.time,
            noise=targets.noise,
            action_is_pad=targets.action_is_pad,
            num_items_in_batch=targets.items,
        )

    def loss_items(self, targets: ActionTargets) -> dict[str, torch.Tensor]:
        return {"flow": self.expert.loss_items(targets.actions, targets.time, targets.action_is_pad)}


class BinsHead(NamedTuple):
    """Actions are the last `count` token ids below `end`, one for each query (batch, chunks * action_dim, hidden_size).

    output_embeddings: of the language model.
    """

    output_embeddings: nn.Module
    end: int
    count: int
    action_dim: int

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(batch, chunks * action_dim, bins) float32."""
        return self.output_embeddings(states)[..., self.end - self.count : self.end].float()

    def predict(self, states: torch.Tensor, real: None, steps: int, noise: None) -> Prediction:
        logits = self.logits(states)
        token_ids = self.end - self.count + logits.argmax(dim=-1).unflatten(1, (-1, self.action_dim))
        return Prediction(tokens_to_actions(token_ids, self.end, self.count), token_ids, finite_rows(logits))

    def loss(self, states: torch.Tensor, real: None, targets: ActionTargets) -> torch.Tensor:
        """Cross entropy among the bins."""
        wanted = actions_to_tokens(targets.actions, self.end, self.count) - (self.end - self.count)
        errors = F.cross_entropy(self.logits(states).mT, wanted.flatten(1), reduction="none")
        return targets.mean(errors.view(targets.actions.shape).mean(dim=2))

    def loss_items(self, targets: ActionTargets) -> dict[str, torch.Tensor]:
        return targets.num_steps()


Head = RegressionHead | FlowHead | BinsHead


def make_action_head(config: MultimodalVLAConfig) -> tuple[nn.Module | None, nn.Module | None]:
    """The network of a flow head, and the head's module; bins have the language model's output embeddings alone."""
    if config.action_head == "mlp":
        return None, MLPResNet(config.hidden_size, config.hidden_size, config.action_dim)
    if config.action_head == "discrete":
        return None, None
    network = ContextActionNetwork(config.hidden_size, config.expert_config)
    options = {"use_time_weight": config.use_time_weight, "time_sampling": config.time_sampling}
    return network, FlowMatchingActionExpert(network, config.action_dim, config.num_action_chunks, **options)


def head_around(module: nn.Module | None, output_embeddings: nn.Module, config: MultimodalVLAConfig) -> Head:
    """The head whose module `make_action_head` made."""
    if config.action_head == "mlp":
        return RegressionHead(module)
    if config.action_head == "flow":
        return FlowHead(module)
    return BinsHead(output_embeddings, config.action_vocab_size, config.num_action_bins, config.action_dim)


def check_actions(actions: torch.Tensor, batch_size: int, config: MultimodalVLAConfig) -> None:
    """Refuse actions that are not of shape (batch, chunks, action_dim)."""
    wanted = batch_size, config.num_action_chunks, config.action_dim
    if tuple(actions.shape) != wanted:
        raise InputError(f"actions has shape {tuple(actions.shape)}; (batch, chunks, action_dim) is {wanted}.")
