"""The action heads of composed VLAs: regression (mlp), flow matching (flow), and bins of the vocabulary (discrete)."""

from typing import Any, NamedTuple

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
from ..ode_sampling import OdeSampling
from ..sampled_actions import drawn_bins, token_entropy
from .context_action_network import ContextActionNetwork


class Prediction(NamedTuple):
    """What a head reads: actions (batch, chunks, action_dim) float32, normalised, or (batch, samples, chunks,
    action_dim); of bins also their token ids, `finite_rows` of the scores behind them, and of samples the entropy
    (batch, chunks, action_dim)."""

    normalized: torch.Tensor
    token_ids: torch.LongTensor | None = None
    finite_logits: torch.Tensor | None = None
    entropy: torch.Tensor | None = None


class HeadParts(NamedTuple):
    """What a head reads actions with.

    Attributes:
        module: the head's own, as its `modules` made it.
        output_embeddings: of the language model.
    """

    module: nn.Module | None
    output_embeddings: nn.Module
    config: MultimodalVLAConfig


class RegressionHead(HeadParts):
    """Actions are read off the states of the queries, (batch, chunks, hidden_size)."""

    @staticmethod
    def modules(config: MultimodalVLAConfig) -> tuple[None, MLPResNet]:
        """The network that the head's module uses and does not own, and the module; `None`: there is none."""
        return None, MLPResNet(config.hidden_size, config.hidden_size, config.action_dim)

    def draws(
        self, input_ids: torch.LongTensor, noise: torch.Tensor | None, num_samples: int | None
    ) -> torch.Tensor | None:
        """What is drawn before a prediction: nothing."""
        return None

    def predict(
        self, states: torch.Tensor, real: None, ode: OdeSampling, draws: None, num_samples: int | None
    ) -> Prediction:
        """ode is that of the flow head, and not read."""
        return Prediction(self.module(states).float())

    def loss(self, states: torch.Tensor, real: None, targets: ActionTargets) -> torch.Tensor:
        """Mean absolute error."""
        return targets.mean((self.module(states).float() - targets.actions.float()).abs().mean(dim=2))

    def loss_items(self, targets: ActionTargets) -> dict[str, torch.Tensor]:
        """The steps that are learnt."""
        return targets.num_steps()


class FlowHead(HeadParts):
    """Actions flow out of noise by a network that reads all states, (batch, tokens, hidden_size)."""

    @staticmethod
    def modules(config: MultimodalVLAConfig) -> tuple[ContextActionNetwork, FlowMatchingActionExpert]:
        """See `RegressionHead.modules`."""
        network = ContextActionNetwork(config.hidden_size, config.expert_config)
        options = {"use_time_weight": config.use_time_weight, "time_sampling": config.time_sampling}
        return network, FlowMatchingActionExpert(network, config.action_dim, config.num_action_chunks, **options)

    def draws(
        self, input_ids: torch.LongTensor, noise: torch.Tensor | None, num_samples: int | None
    ) -> torch.Tensor | None:
        """Noise (batch, chunks, action_dim), or (batch, num_samples, ...), float32, drawn where it is `None`."""
        return self.module.checked_or_drawn_noise(input_ids, noise, num_samples)

    def predict(
        self,
        states: torch.Tensor,
        real: torch.Tensor | None,
        ode: OdeSampling,
        draws: torch.Tensor,
        num_samples: int | None,
    ) -> Prediction:
        """In steps from noise, as of `draws`.

        real: (batch, tokens) bool, false on padding; `None`: no padding. num_samples: chunks of each row, of which the
        noise is then (batch, num_samples, chunks, action_dim); `None`: one.
        """
        options = {"attention_mask": real, "noise": draws, "num_samples": num_samples, **ode._asdict()}
        return Prediction(self.module.sample_actions(states, **options))

    def loss(self, states: torch.Tensor, real: torch.Tensor | None, targets: ActionTargets) -> torch.Tensor:
        """Of flow matching."""
        return self.module.compute_loss(
            states,
            targets.actions,
            attention_mask=real,
            time=targets.time,
            noise=targets.noise,
            action_is_pad=targets.action_is_pad,
            num_items_in_batch=targets.items,
            sample_weight=targets.sample_weight,
        )

    def loss_items(self, targets: ActionTargets) -> dict[str, torch.Tensor]:
        """What the steps weigh at their times."""
        weighed = targets.actions, targets.time, targets.action_is_pad, targets.sample_weight
        return {"flow": self.module.loss_items(*weighed)}


class BinsHead(HeadParts):
    """Actions are the last `num_action_bins` token ids below `action_vocab_size`, one for each query (batch, chunks *
    action_dim, hidden_size), scored by the language model's output embeddings."""

    @staticmethod
    def modules(config: MultimodalVLAConfig) -> tuple[None, None]:
        """See `RegressionHead.modules`."""
        return None, None

    @property
    def bins(self) -> tuple[int, int]:
        """The id behind the last bin, and how many there are."""
        return self.config.action_vocab_size, self.config.num_action_bins

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(batch, chunks * action_dim, bins) float32."""
        end, count = self.bins
        return self.output_embeddings(states)[..., end - count : end].float()

    def draws(
        self, input_ids: torch.LongTensor, noise: torch.Tensor | None, num_samples: int | None
    ) -> torch.Tensor | None:
        """For samples, the exponentials of `drawn_bins`, (batch, num_samples, chunks * action_dim, bins) float32."""
        if num_samples is None:
            return None
        shape = len(input_ids), num_samples, self.config.num_queries, self.bins[1]
        return torch.empty(shape, dtype=torch.float32, device=input_ids.device).exponential_()

    def predict(
        self,
        states: torch.Tensor,
        real: None,
        ode: OdeSampling,
        draws: torch.Tensor | None,
        num_samples: int | None,
    ) -> Prediction:
        """The likeliest bins, or those that `draws` say; ode is that of the flow head, and not read."""
        (end, count), logits, shape = self.bins, self.logits(states), (-1, self.config.action_dim)
        if num_samples is None:
            token_ids, entropy = end - count + logits.argmax(dim=-1).unflatten(1, shape), None
        else:
            drawn = drawn_bins(logits[:, None].expand(-1, num_samples, -1, -1), draws)
            token_ids, entropy = end - count + drawn.unflatten(2, shape), token_entropy(logits).unflatten(1, shape)
        return Prediction(tokens_to_actions(token_ids, end, count), token_ids, finite_rows(logits), entropy)

    def loss(self, states: torch.Tensor, real: None, targets: ActionTargets) -> torch.Tensor:
        """Cross entropy among the bins."""
        end, count = self.bins
        wanted = actions_to_tokens(targets.actions, end, count) - (end - count)
        errors = F.cross_entropy(self.logits(states).mT, wanted.flatten(1), reduction="none")
        return targets.mean(errors.view(targets.actions.shape).mean(dim=2))

    def loss_items(self, targets: ActionTargets) -> dict[str, torch.Tensor]:
        """The steps that are learnt."""
        return targets.num_steps()


Head = RegressionHead | FlowHead | BinsHead
HEADS: dict[str, type[Head]] = {"mlp": RegressionHead, "flow": FlowHead, "discrete": BinsHead}  # as in `HEAD_FACTS`


def check_actions(actions: torch.Tensor, batch_size: int, config: MultimodalVLAConfig) -> None:
    """Refuse actions that are not of shape (batch, chunks, action_dim)."""
    wanted = batch_size, config.num_action_chunks, config.action_dim
    if tuple(actions.shape) != wanted:
        raise InputError(f"actions has shape {tuple(actions.shape)}; (batch, chunks, action_dim) is {wanted}.")


def check_flow_options(config: MultimodalVLAConfig, **options: Any) -> None:
    """Refuse options of a call that only the flow head can follow; those that are `None` were not given."""
    given = {name: value for name, value in options.items() if value is not None}
    if given and config.action_head != "flow":
        name, value = next(iter(given.items()))
        shown = name if isinstance(value, torch.Tensor) else f"{name}={value!r}"
        raise InputError(f"{shown} was given, but action_head={config.action_head!r} follows no flow.")
