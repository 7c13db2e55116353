"""Arguments of a fine-tune that would end badly later are refused before anything is read, by name."""

import pytest
from transformers import Trainer
from transformers.integrations import deepspeed

from vlahub.errors import InputError
from vlahub.training.finetuning import arguments as finetuning_arguments
from vlahub.training.finetuning.arguments import check_finetune, make_arguments
from vlahub.training.finetuning.options import FinetuneOptions


@pytest.fixture
def arguments(tmp_path):
    """`arguments(**given)`, as a fine-tune has them."""
    return lambda **given: make_arguments(output_dir=str(tmp_path / "run"), use_cpu=True, **given)


def options_of(**given):
    return FinetuneOptions(**{"model": "base", "dataset": "data"} | given)


@pytest.mark.parametrize("kind", [ValueError, TypeError, ImportError])
def test_what_transformers_refuses_is_told_of_in_its_own_words(kind, arguments, monkeypatch):
    def refuse(**given):
        raise kind("no\n  such thing")

    monkeypatch.setattr(finetuning_arguments, "FinetuneArguments", refuse)
    with pytest.raises(InputError, match=r"^TrainingArguments: no such thing$"):
        arguments()


def test_an_argument_that_there_is_not_is_told_of(arguments):
    with pytest.raises(InputError, match="unexpected keyword argument 'batch_size'"):
        arguments(batch_size=3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"do_predict": True}, "--do_predict has no effect: .*vlahub evaluate does that"),
        ({"resume_from_checkpoint": "run/checkpoint-2"}, "--resume_from_checkpoint has no effect: --resume goes on"),
        ({"remove_unused_columns": True}, "remove_unused_columns=True takes from the examples"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor=0.1: the models make their losses"),
        ({"report_to": ["paper"]}, "report_to='paper' is unknown; choose from .*wandb"),
    ],
    ids=str,
)
def test_an_argument_that_has_no_effect_or_would_end_badly_is_refused(given, said, arguments):
    check_finetune(options_of(), arguments())
    with pytest.raises(InputError, match=said):
        check_finetune(options_of(), arguments(**given))


@pytest.mark.parametrize(("name", "package"), [("wandb", "wandb"), ("azure_ml", "azureml-mlflow")])
def test_a_tracker_that_is_not_installed_is_named_with_its_package(name, package, arguments, monkeypatch):
    installed = [name]
    monkeypatch.setattr(finetuning_arguments, "get_available_reporting_integrations", lambda: installed)
    check_finetune(options_of(), arguments(report_to=[name]))
    installed.clear()
    with pytest.raises(InputError, match=f"report_to='{name}' needs the package {package}, .*install {package}$"):
        check_finetune(options_of(), arguments(report_to=[name]))


@pytest.mark.parametrize("kind", [ValueError, ImportError])
def test_an_optimiser_that_cannot_be_made_is_refused_but_for_one_that_is_made_for_a_model(kind, arguments, monkeypatch):
    def refuse(*_):
        raise kind("it is\nnot installed")

    monkeypatch.setattr(Trainer, "get_optimizer_cls_and_kwargs", refuse)
    with pytest.raises(InputError, match="optim=adamw_bnb_8bit: it is not installed"):
        check_finetune(options_of(), arguments(optim="adamw_bnb_8bit"))
    check_finetune(options_of(), arguments(optim="galore_adamw", optim_target_modules=["q_proj"]))


@pytest.mark.parametrize("what", ["model", "dataset"])
def test_what_a_run_reads_is_not_removed_by_it(what, arguments, tmp_path):
    (checkpoint := tmp_path / "run" / "checkpoint-2").mkdir(parents=True)
    check_finetune(options_of(), arguments(overwrite_output_dir=True))
    with pytest.raises(InputError, match=r"would remove .*checkpoint-2, which this run reads"):
        check_finetune(options_of(**{what: str(checkpoint)}), arguments(overwrite_output_dir=True))
    check_finetune(options_of(**{what: str(checkpoint)}, resume=True), arguments())
    with pytest.raises(InputError, match="go on with it by --resume"):
        check_finetune(options_of(), arguments())


def test_a_model_is_loaded_whole_before_deepspeed_splits_it(arguments):
    """Loading asks transformers, which remembers the DeepSpeed config of the latest arguments."""

    class Config:
        """Stands for DeepSpeed's, which is remembered weakly."""

        is_zero3 = staticmethod(lambda: True)

    given, config = arguments(), Config()
    deepspeed.set_hf_deepspeed_config(config)
    assert deepspeed.is_deepspeed_zero3_enabled()
    check_finetune(options_of(), given)
    assert not deepspeed.is_deepspeed_zero3_enabled()
