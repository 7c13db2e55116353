"""Predictions are repeated by their seed, and by nothing else."""

import pytest
import torch

import vlahub


def without_noise(variant):
    return {key: value for key, value in variant.prediction().items() if key != "noise"}


def draws(variant):
    return "noise" in variant.prediction()


@pytest.mark.newest
def test_the_same_inputs_are_the_same_numbers(variant, saved):
    for _ in range(2):
        assert torch.equal(variant.predict(saved.model, variant.prediction()), saved.actions)


@pytest.mark.newest
def test_drawn_noise_follows_from_the_seed(variant, saved):
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(variant.predict(saved.model, without_noise(variant)))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2]) != draws(variant)


def test_a_prediction_that_draws_nothing_leaves_the_generator_alone(variant, saved):
    """Texts are drawn, also where one token alone is left: from the generator that is given."""
    inputs = variant.prediction()
    if variant.kind is vlahub.AlpamayoR1:
        inputs["generator"] = torch.Generator().manual_seed(1)
    torch.manual_seed(5)
    variant.predict(saved.model, inputs)
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))


def test_a_prediction_changes_nothing_in_the_model(variant, saved):
    before = {key: value.clone() for key, value in saved.model.state_dict().items()}
    config = saved.model.config.to_dict()
    variant.predict(saved.model, variant.prediction())
    assert all(torch.equal(value, before[key]) for key, value in saved.model.state_dict().items())
    assert saved.model.config.to_dict() == config and not saved.model.training


def test_the_losses_of_one_seed_are_the_same(variant):
    """In training, where dropout, noise and times are drawn."""
    model, inputs = variant.model().train(), variant.training()
    inputs = {key: value for key, value in inputs.items() if key not in ("noise", "time", "timesteps")}
    found = []
    for _ in range(2):
        torch.manual_seed(4)
        found.append(model(**inputs).loss)
    assert torch.equal(*found)
