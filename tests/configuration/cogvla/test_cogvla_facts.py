"""What the card of a CogVLA says about pruning and diffusion steps, beside its config."""

import pytest
from tiny_configs import cogvla_config

from vlahub.configuration.cogvla.cogvla_facts import cogvla_facts


def test_the_least_that_a_layer_keeps_is_said():
    config = cogvla_config(use_lfp=True, lfp_type="shiftedcos_decay_0.85_0.15")
    ratios = config.lfp_keep_ratios
    least, most = (f"{100 * share:.0f} %" for share in (min(ratios.values()), max(ratios.values())))
    found = cogvla_facts(config)["pruning of vision tokens"]
    assert f"down to {least} of the tokens" in found and least != most
    assert found.startswith(f"layers {min(ratios)} to {max(ratios)}, `shiftedcos_decay_0.85_0.15`")
    assert cogvla_facts(cogvla_config(use_lfp=False))["pruning of vision tokens"] == "none"


@pytest.mark.parametrize(("steps", "words"), [(3, "3 of 20 diffusion steps"), (None, "20 of 20 diffusion steps")])
def test_the_steps_of_a_prediction_are_told_from_those_of_training(steps, words):
    config = cogvla_config(action_head="diffusion", num_diffusion_steps=20, num_inference_steps=steps)
    assert cogvla_facts(config)["action head"].endswith(words)
