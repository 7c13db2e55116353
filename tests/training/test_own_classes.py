"""Models that cannot answer what training asks are refused by name, before anything is changed."""

from types import SimpleNamespace

import pytest
from torch import nn

import vlahub
from vlahub.data import collator_for
from vlahub.errors import InputError


class OldModel(nn.Linear):
    """As a checkpoint of an earlier release has it in its own code: the config lacks the newer answers."""

    def __init__(self):
        super().__init__(2, 2)
        self.config = SimpleNamespace(model_type="cogvla", norm_stats={})


@pytest.mark.parametrize(
    "use",
    [
        lambda model: collator_for(model.config, None),
        lambda model: vlahub.lora_config(model, r=4),
        lambda model: vlahub.trainable_parameter_groups(model, "A"),
    ],
    ids=["collator", "lora", "groups"],
)
def test_code_of_an_earlier_release_is_refused_with_what_to_do(use):
    model = OldModel()
    with pytest.raises(InputError, match="without trust_remote_code=True"):
        use(model)
    assert all(parameter.requires_grad for parameter in model.parameters())
