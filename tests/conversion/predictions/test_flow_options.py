"""What a caller says of the way from noise to actions: it is an argument, the picture tells it, or it is refused."""

import argparse
from types import SimpleNamespace

import pytest

from vlahub.conversion.predictions.flow_options import FLOW, add_flow_arguments, flow_options
from vlahub.conversion.predictions.flow_path import steps_in_words
from vlahub.errors import InputError

NOTHING = dict.fromkeys(FLOW)
GIVEN = {"num_inference_steps": 3, "ode_solver": "heun", "ode_spacing": "cosine", "guidance_scale": 0.0}
NEEDS = {
    "num_inference_steps": "draws_noise",
    "ode_solver": "follows_flow",
    "ode_spacing": "follows_flow",
    "guidance_scale": "can_be_guided",
}


def head(*answers):
    """A config of which these answers are yes."""
    return SimpleNamespace(**{name: name in answers for name in NEEDS.values()})


def test_what_is_given_is_an_argument_and_what_is_not_is_the_models():
    config = head(*NEEDS.values())
    assert flow_options(config, NOTHING) == {} and flow_options(head(), NOTHING) == {}
    assert flow_options(config, GIVEN) == GIVEN  # a guidance of zero among them: the null condition alone
    for name, value in GIVEN.items():
        assert flow_options(config, NOTHING | {name: value}) == {name: value}


def read_from(*words):
    parser = argparse.ArgumentParser()
    add_flow_arguments(parser)
    return vars(parser.parse_args(words))


def test_a_command_reads_what_a_flow_can_be_and_nothing_else():
    assert read_from() == NOTHING
    words = ["--num-inference-steps", "3", "--ode-solver", "heun", "--ode-spacing", "cosine", "--guidance-scale", "0"]
    assert read_from(*words) == GIVEN
    for wrong in ("num-inference-steps 0", "ode-solver cosine", "ode-spacing heun", "guidance-scale -1"):
        with pytest.raises(SystemExit):
            read_from(*f"--{wrong}".split())


@pytest.mark.parametrize("name", FLOW)
def test_what_a_head_has_no_use_for_is_refused(name):
    given = NOTHING | {name: GIVEN[name]}
    assert flow_options(head(NEEDS[name]), given) == {name: GIVEN[name]}
    others = set(NEEDS.values()) - {NEEDS[name]}
    with pytest.raises(InputError, match=rf"^--{name.replace('_', '-')} {GIVEN[name]}: .*leave it out"):
        flow_options(head(*others), given)


def test_the_words_about_a_flow_are_those_of_the_call_before_those_of_the_config():
    config = SimpleNamespace(follows_flow=True, ode_solver="euler", ode_spacing="uniform", can_be_guided=True)
    config.dit_config = SimpleNamespace(guidance_scale=2.5)
    assert steps_in_words(config, {}) == " (euler, uniform, guidance 2.5)"
    said = {"ode_solver": "heun", "ode_spacing": "cosine", "guidance_scale": 1}
    assert steps_in_words(config, said) == " (heun, cosine)"
    assert steps_in_words(config, {"guidance_scale": 0}) == " (euler, uniform, guidance 0)"
    config.can_be_guided = False
    assert steps_in_words(config, {}) == " (euler, uniform)"
    assert not steps_in_words(SimpleNamespace(follows_flow=False), {})
