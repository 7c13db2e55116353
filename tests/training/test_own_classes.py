"""Models that cannot answer what training asks are refused by name, before anything is changed."""

from types import SimpleNamespace

import pytest
from peft import get_peft_model
from torch import nn

import vlahub
from vlahub.configuration.vla_config import VLAConfig
from vlahub.data import collator_for
from vlahub.errors import ConfigError, InputError
from vlahub.finetuning import make_arguments
from vlahub.modeling.strict_loading import StrictPreTrainedModel


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


class Unfinished(StrictPreTrainedModel):
    """A family's model whose class does not yet answer what training asks."""

    config_class = VLAConfig

    def __init__(self, pretrained_parts=(), **parts):
        super().__init__(VLAConfig())
        self.pretrained_parts = pretrained_parts
        for name, part in parts.items():
            setattr(self, name, part)


USES = {
    "lora": lambda model: vlahub.lora_config(model, r=4),
    **{stage: lambda model, stage=stage: vlahub.trainable_parameter_groups(model, stage) for stage in ("A", "full")},
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("model", [Unfinished(), Unfinished(("language_model",)), Unfinished(("words",), words=None)])
def test_a_model_without_a_part_that_was_trained_before_is_refused(model, use):
    with pytest.raises(InputError, match="Unfinished has no part that was trained before: its `pretrained_parts`"):
        use(model)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_model_that_peft_wraps_already_is_refused_in_these_words(use, tiny):
    model = tiny("cogvla").model
    wrapped = get_peft_model(model, vlahub.lora_config(model, r=4))
    trained = [parameter.requires_grad for parameter in wrapped.parameters()]
    with pytest.raises(InputError, match=r"a PeftModel .* PEFT wraps already.*model\.get_base_model\(\)"):
        use(wrapped)
    assert [parameter.requires_grad for parameter in wrapped.parameters()] == trained


def test_what_a_wrapped_model_is_refused_for_goes_with_the_one_inside_it(tiny):
    model = tiny("cogvla").model
    wrapped = get_peft_model(model, vlahub.lora_config(model, r=4))
    trained = {name for name, parameter in wrapped.named_parameters() if parameter.requires_grad}
    wrapped.add_adapter("second", vlahub.lora_config(wrapped.get_base_model(), r=4))
    wrapped.set_adapter("second")
    found = {name.replace(".second", ".default") for name, p in wrapped.named_parameters() if p.requires_grad}
    assert found == trained


USES_OF_A_MODEL = USES | {
    "trainer": lambda model: vlahub.VLATrainer(
        model, make_arguments(output_dir="run", use_cpu=True), train_dataset=[], data_collator=list
    )
}


@pytest.mark.parametrize("use", USES_OF_A_MODEL.values(), ids=USES_OF_A_MODEL)
def test_a_model_that_would_learn_something_else_than_it_predicts_is_refused_before_a_step(use, tiny):
    model = tiny("cogvla", action_head="discrete", action_attention="causal").model
    with pytest.raises(InputError, match="what is learnt would not be what is predicted"):
        use(model)


@pytest.mark.parametrize("use", USES_OF_A_MODEL.values(), ids=USES_OF_A_MODEL)
def test_weights_in_lower_precision_are_refused_before_a_step(use, tiny, monkeypatch):
    monkeypatch.setattr("vlahub.training.own_classes.is_quantised", lambda model: True)
    with pytest.raises(InputError, match=r"the weights of this CogVLA\w+ are stored in lower precision"):
        use(tiny("cogvla").model)


@pytest.mark.parametrize("stage", ["A", "full"])
def test_a_model_that_does_not_say_what_its_language_model_is_is_refused(stage):
    with pytest.raises(ConfigError, match="Unfinished has no `language_model`"):
        vlahub.trainable_parameter_groups(Unfinished(("tower",), tower=nn.Linear(2, 2)), stage)
    with pytest.raises(ConfigError, match="a Linear has no `layers`"):
        vlahub.trainable_parameter_groups(Unfinished(("language_model",), language_model=nn.Linear(2, 2)), stage)


def test_lora_takes_a_model_without_a_language_model():
    model = Unfinished(("tower",), tower=nn.Linear(2, 2), words=nn.Embedding(2, 2), head=nn.Linear(2, 2))
    model.get_input_embeddings = lambda: model.words
    config = vlahub.lora_config(model)
    assert config.target_modules == {"tower"} and set(config.modules_to_save) == {"words", "head"}
