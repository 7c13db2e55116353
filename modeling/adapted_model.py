"""Adapters by a model's own methods: one arrives whole or not at all, with the settings of its run, and is in use."""

import copy
from typing import Any

import torch
from transformers import PreTrainedModel

from .adapter_filling import LEAVES_OUT, fill_by_peft
from .adapter_loading import (
    HAS_WEIGHT_MAPPING,
    HUB_ARGUMENTS,
    OF_ADAPTERS,
    FoundAdapter,
    adapter_problems,
    by_their_names,
    check_names,
    commit_of,
    hub_arguments,
    in_subfolder,
    own_weight_mapping,
)
from .adapter_rollback import missing_part_is_named, whole_or_not_at_all
from .adapters_in_use import check_usable, others_stay_in_use, parts_of_peft, switch_adapters, use_adapters
from .base_weights import check_base
from .config_of_run import adapted_arguments
from .generation_settings import apply_generation
from .rows_of_adapters import rows_are_asked_of_their_adapters
from .run_settings import OF_RUN, apply_settings, generation_of_run, settings_of_run
from .stock_initialisation import StockInitialisation


class AdaptedModel(StockInitialisation, PreTrainedModel):
    """A `PreTrainedModel` whose adapters are used, loaded and refused whole, see `adapters_in_use.py` and
    `adapter_rollback.py`."""

    @classmethod
    def from_adapter(cls, adapter: FoundAdapter, args: tuple, output_loading_info: bool, kwargs: dict[str, Any]):
        """The base model, and in it the adapter, with the settings and statistics of its run; 5.x by itself reports on
        the adapter only."""
        kwargs = adapted_arguments(cls.config_class, adapter, kwargs)
        others = {key: value for key, value in kwargs.items() if key not in OF_ADAPTERS + HUB_ARGUMENTS}
        if getattr(others.get("config"), "_commit_hash", None) is not None:  # 4.57 goes by it, and not by the revision
            others["config"] = copy.deepcopy(others["config"])
            others["config"]._commit_hash = commit_of(adapter.base, adapter.base_files)
        loaded = cls.from_pretrained(
            adapter.base, *args, output_loading_info=output_loading_info, **others, **adapter.base_files
        )
        model = loaded[0] if output_loading_info else loaded
        chosen = {name: getattr(model.config, name) for name in OF_RUN if hasattr(model.config, name)}
        given = model.generation_config if kwargs.get("generation_config") is not None else None
        model.load_adapter(adapter.place, kwargs.get("adapter_name"), adapter_kwargs=adapter.files)
        for name, value in chosen.items():
            setattr(model.config, name, value)
        model.generation_config = given or model.generation_config
        return loaded

    def add_adapter(self, adapter_config: Any, adapter_name: str | None = None) -> None:
        """As in transformers, also where adapters were switched off: the new one is in use, with all its parts. A model
        that PEFT cannot add it to is as before."""
        with whole_or_not_at_all(self, adapter_name or "default"):
            super().add_adapter(adapter_config, adapter_name)

    def set_adapter(self, adapter_name: str | list[str]) -> None:
        """As in transformers; parts that an adapter replaces whole go with it, and adapters that were switched off are
        in use again.

        Raises:
            InputError: there is no such adapter, or there are several that do not go together, see `check_usable`.
        """
        check_usable(self, adapter_name)
        use_adapters(self, adapter_name)

    def disable_adapters(self) -> None:
        """As in transformers, of all that an adapter replaces."""
        super().disable_adapters()
        switch_adapters(self, on=False)

    def enable_adapters(self) -> None:
        """As in transformers, of all that the active adapters replace, which trains again."""
        super().enable_adapters()
        switch_adapters(self, on=True)

    def delete_adapter(self, adapter_names: str | list[str]) -> None:
        """As in transformers; of the adapters that are left one is in use with all its parts."""
        with others_stay_in_use(self):
            super().delete_adapter(adapter_names)

    def load_adapter(self, peft_model_id: str | None = None, adapter_name: str | None = None, *args, **kwargs) -> Any:
        """As in transformers; after it the adapter is the one that is in use. The config gets the statistics and the
        names of the views of the adapter's run, from the dataset_statistics.json and the view_names.json, else the
        processor_config.json beside it; and `generate` stops where the run's generation_config.json says. A model that
        refuses an adapter is as before.

        Raises:
            ConfigError: the adapter lacks tensors of its config or holds others, on 5.x also of other shapes; the
                message names them. Or its run's statistics are none that this model can have, or others than those of
                an adapter that it has already; or it was trained beside other weights, see `check_base`.
        """
        kwargs = by_their_names(super().load_adapter, args, kwargs)
        settings = settings_of_run(self, peft_model_id, adapter_name, kwargs)
        generation = generation_of_run(self, peft_model_id, kwargs)
        if HAS_WEIGHT_MAPPING:
            kwargs["weight_mapping"] = own_weight_mapping(self)
            kwargs["ignore_mismatched_sizes"] = True  # refused below, by name
        place, files = in_subfolder(peft_model_id, kwargs.pop("adapter_kwargs"))
        adapter_name = adapter_name or "default"
        if kwargs.get("hotswap"):  # the tensors of the one before are not kept
            check_base(self, place, hub_arguments(files))
        with whole_or_not_at_all(self, adapter_name), missing_part_is_named(), rows_are_asked_of_their_adapters(self):
            info = super().load_adapter(place, adapter_name, adapter_kwargs=dict(files), **kwargs)
            if LEAVES_OUT:
                info = fill_by_peft(self, place, adapter_name, kwargs.get("adapter_state_dict"), hub_arguments(files))
            check_names(peft_model_id, adapter_problems(self, place, adapter_name, info, hub_arguments(files)))
            check_base(self, place, hub_arguments(files))
        apply_settings(self.config, settings, peft_model_id)
        apply_generation(self, generation, adapter_name)
        return info

    def active_adapters(self) -> list[str]:
        """As in transformers, which asks one layer alone: rows of tokens name no adapter that has none."""
        named = (part.active_adapters for part in parts_of_peft(self))
        return super().active_adapters() or next(filter(None, named), [])

    def get_adapter_state_dict(self, *args, **kwargs) -> dict[str, torch.Tensor]:
        """As in transformers, also of an adapter without rows of tokens beside one with them."""
        with rows_are_asked_of_their_adapters(self):
            return super().get_adapter_state_dict(*args, **kwargs)
