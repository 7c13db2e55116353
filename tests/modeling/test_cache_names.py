"""The two names of a cache of keys and values, on whatever line of transformers runs."""

import copy
import functools
import warnings

import pytest
import torch
from transformers import DynamicCache, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.mistral.modeling_mistral import MistralDecoderLayer
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextDecoderLayer

from vlahub.errors import InputError
from vlahub.modeling.cache_names import CACHE_NAMES, OUTPUT_NAME, cache_argument, one_cache
from vlahub.modeling.cogvla.cogvla_outputs import CogVLAOutput
from vlahub.modeling.mapanything_llava3d.llava3d_outputs import MapAnythingLlava3DOutput
from vlahub.modeling.stack_passes import LAYERS_CACHE

pytestmark = pytest.mark.newest


@pytest.fixture
def tiny_text(tiny_model, tiny_batch, llava3d):
    """`tiny_text(family)` -> a tiny model and the arguments of `generate`."""

    def make(family):
        if family == "cogvla":
            model = tiny_model(vision_aggregate_type="moe")
            prompt = tiny_batch(model.config, "left").prediction()
            return model, prompt
        model, batch = llava3d()
        return model, {name: batch[name] for name in ("input_ids", "pixel_values")}

    return make


def test_the_name_is_read_off_what_is_called_whatever_is_wrapped_around_it():
    def old(self, past_key_values=None, **kwargs): ...

    def new(self, cache=None, **kwargs): ...

    @functools.wraps(new)
    def wrapped(*args, **kwargs): ...

    assert (cache_argument(old), cache_argument(new), cache_argument(wrapped)) == ("past_key_values", "cache", "cache")
    assert cache_argument(functools.update_wrapper(functools.partial(wrapped), wrapped)) == "cache"


@pytest.mark.parametrize("layer", [LlamaDecoderLayer, MistralDecoderLayer, Qwen3VLTextDecoderLayer])
def test_all_layers_that_ours_are_built_on_have_one_name_for_it(layer):
    assert cache_argument(layer.forward) == LAYERS_CACHE == cache_argument(LlamaForCausalLM.forward)


@pytest.mark.parametrize("output_class", [CogVLAOutput, MapAnythingLlava3DOutput])
def test_an_output_answers_to_both_names_and_gives_the_loss_first(output_class):
    cache = DynamicCache()
    output = output_class(loss=torch.ones(()), logits=torch.zeros(1), **{OUTPUT_NAME: cache})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert output.cache is cache and output.past_key_values is cache
        assert all(name in output and output[name] is cache and output.get(name) is cache for name in CACHE_NAMES)
    assert output[0] == 1 and output.to_tuple()[-1] is cache
    assert copy.copy(output).past_key_values is cache
    empty = output_class(loss=torch.ones(()))
    assert empty.cache is None and empty.past_key_values is None and len(empty.to_tuple()) == 1


def test_two_caches_under_two_names_are_refused():
    first, second = DynamicCache(), DynamicCache()
    assert one_cache(first, None) is first and one_cache(None, second) is second and one_cache(first, first) is first
    with pytest.raises(InputError, match="two names of one argument"):
        one_cache(first, second)


@pytest.mark.parametrize("family", ["cogvla", "mapanything_llava3d"])
@torch.no_grad()
def test_text_is_written_over_a_cache_without_a_warning(tiny_text, family):
    """`generate` reads the cache out of one step's output and hands it to the next."""
    model, prompt = tiny_text(family)
    options = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*past_key_values.*")
        found = model.generate(**prompt, **options, return_dict_in_generate=True)
    assert found.sequences.shape[1] == prompt["input_ids"].shape[1] + 3
    assert getattr(found, OUTPUT_NAME).get_seq_length() > 0


@pytest.mark.parametrize("name", CACHE_NAMES)
@torch.no_grad()
def test_a_caller_may_use_either_name(tiny_text, name):
    model, prompt = tiny_text("mapanything_llava3d")
    token = torch.tensor([[3]] * len(prompt["input_ids"]))
    whole = model(**{**prompt, "input_ids": torch.cat([prompt["input_ids"], token], dim=1)}).logits[:, -1]
    cache = model(**prompt, use_cache=True).cache
    found = model(token, **{name: cache}).logits[:, -1]
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_several_tokens_go_on_over_a_cache_under_the_mask_of_the_whole_text(tiny_text):
    """As when a second question follows, or when drafted tokens are checked."""
    model, prompt = tiny_text("mapanything_llava3d")
    more = torch.tensor([[3, 4]] * len(prompt["input_ids"]))
    ids = torch.cat([prompt["input_ids"], more], dim=1)
    mask = torch.ones_like(ids)
    whole = model(**{**prompt, "input_ids": ids}, attention_mask=mask).logits[:, -2:]
    cache = model(**prompt, use_cache=True).cache
    torch.testing.assert_close(model(more, attention_mask=mask, cache=cache).logits, whole, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_tokens_that_are_drafted_need_no_images(llava3d):
    """Several tokens are read at once then; the text is the same."""
    model, batch = llava3d()
    prompt = {name: batch[name][:1] for name in ("input_ids", "pixel_values")}
    wanted = model.generate(**prompt, max_new_tokens=6, do_sample=False)
    assert torch.equal(model.generate(**prompt, max_new_tokens=6, do_sample=False, prompt_lookup_num_tokens=2), wanted)
