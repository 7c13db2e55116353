"""Loading that does not let a wrong checkpoint pass: every parameter comes from the file, and nothing is left over."""

import copy
import os
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from ..configuration.checkpoint_card import is_model_of, write_checkpoint_card
from ..configuration.checkpoint_place import check_target
from ..configuration.transformers_release import IS_4
from ..configuration.vla_errors import ConfigError
from .adapted_model import AdaptedModel
from .adapter_loading import adapter_of, check_names, hub_arguments
from .attention_marks import all_parts_or_none
from .base_weights import files_of
from .built_fields import built_fields, check_as_built
from .checkpointed_model import CheckpointedModel
from .fast_models import FastModel
from .film import ZeroLinear
from .loading_arguments import check_disk, check_loading, explain_loading, is_plain, quantisation_of
from .model_parts import kept_in_floating_point
from .new_parts import check_new, parameters_of
from .quantized_linear import quantise_layers, weights_that_are_there
from .replaced_weights import files_since, one_set_of_weights, remove_replaced, shards_of_other_variants
from .run_settings import settle_settings
from .saving_checks import check_whole
from .spread_parts import bring_outputs_back


def tied_weights(pairs: dict[str, str]) -> dict[str, str] | list[str]:
    """`_tied_weights_keys` from `{weight: that which it is tied to}`, in the form of the transformers line that runs.

    PEFT reads a model's together with those of its parts, which transformers wrote in that form.
    """
    return list(pairs) if IS_4 else pairs


def check_read(source: Any, info: dict[str, Any], parts: dict[str, Collection[str]]) -> None:
    """Raises ConfigError for parameters that weights lack, bring or have in other shapes; parts: `{new part: its
    parameters}`, which are all to be missing. info: of `from_pretrained`."""
    problems = {kind: info[kind] for kind in ("unexpected_keys", "mismatched_keys")}
    missing = set(info["missing_keys"])
    check_names(source, {"missing_keys": missing.difference(*parts.values()), **problems})
    check_new(source, parts, missing)


class StrictPreTrainedModel(CheckpointedModel, AdaptedModel, FastModel):
    """A `PreTrainedModel` whose `from_pretrained` raises where transformers only warns, and which writes its card.

    Training asks a family's model for what follows; the attributes below have defaults.

    - `pretrained_parts`: names of children that come out of other models. LoRA, stages and 4 bits need one at least.
    - `language_part`: the language model, `self.language_model` unless this is overridden. It, or its `model`, has
      `layers`, a list of modules, and where actions are made of keys and values a `norm` behind them.
    - `get_input_embeddings`, `get_output_embeddings`: as in transformers; the latter may be `None`.
    - `config.actions_read`: what of the language model actions are made from, see `VLAConfig`.
    - `drawn(**batch)`, `loss_items(**batch)`: what the parts of a loss are divided by, see `loss_items.py`. Without
      them `VLATrainer` takes the mean of the losses of a step's batches, as any `Trainer`.
    - `forward` returns `loss`, and its parts `action_loss` and `lm_loss` if they are to be logged.
    """

    pretrained_parts = ()  # children that come out of other models
    added_parts = ()  # names of parts that are new though they lie inside of those
    action_parts = ()  # beginnings of names: what a loss of actions trains under the config's `stop_grad_from_vlm`
    frozen_parts = ()  # modules that the config keeps out of training
    watched_gradients = {}  # {figure: name of parts}, whose gradient norms `HealthCallback` logs
    named_parts = {}  # {word: paths of modules}, what `new_parts` of `from_pretrained` may call by a word
    # The arguments that said where `name_or_path` holds the weights; `None`: these are of a variant, or of no file.
    weights_from = None
    as_built = None  # of the whole model, what its config said when it was made, see `built_fields.py`

    @property
    def language_part(self) -> nn.Module:
        """The language model, or the part of a VLM that is one.

        Raises:
            ConfigError: the class does not say which that is.
        """
        found = self._modules.get("language_model")  # an AttributeError of a property would name the property
        if found is None:
            raise ConfigError(
                f"{type(self).__name__} has no `language_model`; its class must say what else is its `language_part`."
            )
        return found

    def training_figures(self, output: Any) -> dict[str, torch.Tensor]:
        """Scalars that `HealthCallback` logs of what `forward` returned in training, by their names."""
        return {}

    def drawn(self, **batch) -> dict[str, torch.Tensor]:
        """What a batch of `forward` needs so that its `loss_items` are known, such as times that weigh samples."""
        return {}

    def post_init(self) -> None:
        """As in transformers; layers that this model has not are not among those that stay whole: accelerate, which
        shards a model by them (FSDP2), refuses a name that it does not find."""
        if is_model_of(self, self.config) and getattr(self.config, "weight_quantization", None) is not None:
            quantise_layers(self, self.config.weight_quantization)
        if is_model_of(self, self.config):
            self.as_built = built_fields(self.config)
        super().post_init()
        there = {type(module).__name__ for module in self.modules()}
        self._no_split_modules = sorted(there.intersection(self._no_split_modules))

    def initialize_weights(self) -> None:
        """As in transformers, of quantised layers, too."""
        with weights_that_are_there(self):
            super().initialize_weights()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ZeroLinear):
            nn.init.zeros_(module.weight)

    def save_pretrained(self, save_directory: str | os.PathLike, *args, **kwargs) -> None:
        """As in transformers; the folder also gets a README.md, unless it has one that was edited. Weights of the whole
        model replace those that lie there; an adapter goes into a subfolder, see `one_set_of_weights`, and other
        statistics than the model's go there, too. Where an adapter is saved, the statistics and the names of the views
        that it was trained with lie beside it.

        Raises:
            CheckpointError: there is a file in the folder's place, with which transformers would write nothing.
            ConfigError: see `check_whole` and `check_as_built`.
        """
        check_target(save_directory)
        if not getattr(self, "_hf_peft_config_loaded", False):
            check_as_built(self, nested=True)
            check_whole(self, kwargs.get("state_dict") or (name for name, _ in self.named_parameters()))
        writes, variant = kwargs.get("is_main_process", True), kwargs.get("variant")
        with ExitStack() as around:
            if writes:
                around.enter_context(one_set_of_weights(save_directory, variant))
                around.enter_context(shards_of_other_variants(save_directory, variant))
            super().save_pretrained(save_directory, *args, **kwargs)
        if writes and is_model_of(self, self.config):
            settle_settings(save_directory, self.config, getattr(self, "_hf_peft_config_loaded", False))
            write_checkpoint_card(save_directory, self.config)

    def _upload_modified_files(
        self, working_dir: str | os.PathLike, repo_id: str, files_timestamps: dict[str, float], *args, **kwargs
    ):
        """Of `push_to_hub`, which has just put the repository's card, or an empty one, into the folder. Weights that
        those of the folder replace, and an adapter, go out of the repository: transformers might load them."""
        if is_model_of(self, self.config):
            write_checkpoint_card(working_dir, self.config, repo_id)
        commit = super()._upload_modified_files(working_dir, repo_id, files_timestamps, *args, **kwargs)
        saved = files_since(working_dir, files_timestamps)
        remove_replaced(repo_id, saved, commit.pr_revision or kwargs.get("revision"), kwargs.get("token"))
        return commit

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path,
        *args,
        output_loading_info: bool = False,
        new_parts: Sequence[str] = (),
        fuse_projections: bool = False,
        **kwargs,
    ):
        """As in transformers. A `BitsAndBytesConfig`, its dict, or `load_in_4bit=True` as in OpenVLA's calls, that does
        not say what it leaves alone (`llm_int8_skip_modules`) quantises the language model; new parts, vision towers
        and output embeddings stay in floating point.

        Args:
            new_parts: what the checkpoint lacks and the `config` that goes with this argument has: it starts as in a
                new model, by torch's generator. A part is a word of `named_parts`, or the path of a module, whole
                (`action_head`) or a stretch of it (`film`, `layers.*.router`). Nothing else may be missing, and of a
                part everything has to be.
            fuse_projections: lay weights that read the same input side by side, see `fuse_projections`.

        Raises:
            CheckpointError: there is no checkpoint of this family, or a file of its weights is missing or broken.
            ConfigError: the weights lack parameters of the model, hold others or have other shapes; or one of
                `new_parts` is no part of the model, or the weights hold some of it. The message names them. Also where
                fields of the `config` that goes with the call do not fit together, an argument cannot be, or weights
                go to disk and accelerate is older than 1.15.
        """
        check_loading(cls, pretrained_model_name_or_path, kwargs)
        if (quantisation := quantisation_of(kwargs)) is not None:
            kwargs["quantization_config"] = quantisation
        if fuse_projections:
            loaded = cls.from_pretrained(
                pretrained_model_name_or_path,
                *args,
                output_loading_info=output_loading_info,
                new_parts=new_parts,
                **kwargs,
            )
            (loaded[0] if output_loading_info else loaded).fuse_projections()
            return loaded
        config = kwargs.get("config")
        if getattr(config, "model_type", None) == cls.config_class.model_type:
            config.check()  # its fields may have been changed since it was made
        if (adapter := adapter_of(pretrained_model_name_or_path, kwargs)) is not None:
            kwargs |= {"new_parts": new_parts} if new_parts else {}
            return cls.from_adapter(adapter, args, output_loading_info, kwargs)
        parts = {}
        if new_parts:
            names = cls.without_memory(pretrained_model_name_or_path, kwargs).state_dict()
            parts = parameters_of(new_parts, cls.named_parts, names)
        if is_plain(kwargs.get("quantization_config")):
            kwargs["quantization_config"] = cls.with_new_parts_kept(pretrained_model_name_or_path, kwargs)
        kwargs["ignore_mismatched_sizes"] = True  # refused below, by name
        try:
            model, info = super().from_pretrained(
                pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
            )
        except Exception as error:
            explain_loading(error, cls, pretrained_model_name_or_path, kwargs)
            raise
        check_read(pretrained_model_name_or_path, info, parts)
        check_disk(model)
        bring_outputs_back(model)
        if kwargs.get("variant") is None and kwargs.get("state_dict") is None:
            model.weights_from = files_of(model, kwargs)
        return (model, info) if output_loading_info else model

    @classmethod
    def with_new_parts_kept(cls, name_or_path: Any, kwargs: dict[str, Any]) -> Any:
        """The plain quantisation config of `from_pretrained`'s arguments, with the names of what it leaves alone."""
        quantisation = copy.deepcopy(kwargs["quantization_config"])
        model = cls.without_memory(name_or_path, kwargs)
        quantisation.llm_int8_skip_modules = kept_in_floating_point(model)  # so named for 4 bits, too
        return quantisation

    @classmethod
    def without_memory(cls, name_or_path: Any, kwargs: dict[str, Any]) -> PreTrainedModel:
        """The model that the arguments of `from_pretrained` describe, on the meta device."""
        config = kwargs.get("config")
        if not isinstance(config, PretrainedConfig):
            config = cls.config_class.from_pretrained(name_or_path, **hub_arguments(kwargs))
        with torch.device("meta"):
            return cls(copy.deepcopy(config))  # a model writes into its own

    def load_custom_generate(self, pretrained_model_name_or_path=None, trust_remote_code=None, **kwargs) -> Any:
        """As in transformers, where code is trusted: 4.57 runs that of a local folder without being asked to.

        Raises:
            OSError: it is not trusted; for `from_pretrained` of 4.57 there is none then.
        """
        place = pretrained_model_name_or_path
        if not trust_remote_code:
            raise OSError(f"custom_generate of {place} runs with trust_remote_code=True alone.")
        return super().load_custom_generate(place, trust_remote_code=trust_remote_code, **kwargs)

    def resize_token_embeddings(self, *args, **kwargs) -> nn.Embedding:
        """As in transformers; output embeddings that it makes are in the mode, training or evaluation, of the old."""
        before = self.get_output_embeddings()
        table = super().resize_token_embeddings(*args, **kwargs)
        if before is not None:
            self.get_output_embeddings().train(before.training)
        return table

    def set_attn_implementation(self, attn_implementation: str | dict, *args, **kwargs) -> None:
        """As in transformers; on 4.57, too, each call reaches all parts, or none where one refuses it, and nothing of
        it is saved."""
        with all_parts_or_none(self):
            super().set_attn_implementation(attn_implementation, *args, **kwargs)

    def _check_and_adjust_attn_implementation(self, attn_implementation: str | None, *args, **kwargs) -> str:
        """As in transformers; flash attention is refused where masks do not allow it, whatever is installed.

        Raises:
            ConfigError: the message names what there is instead.
        """
        asked = attn_implementation or ""
        if "flash" in asked and not self._supports_flash_attn:
            raise ConfigError(
                f"attn_implementation={asked!r} is not possible in a {type(self).__name__}: flash attention does not "
                "take its masks; use 'sdpa' or 'eager'."
            )
        return super()._check_and_adjust_attn_implementation(attn_implementation, *args, **kwargs)
