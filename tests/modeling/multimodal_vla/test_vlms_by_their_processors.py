"""VLMs whose own processor prepares prompts and images: inputs and states are those of the VLM itself."""

import importlib.util
import inspect

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tiny_vlms import TINY_VLMS, layout_of, llama4_tokenizer, tiny_vlm
from transformers import ProcessorMixin

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction, MultimodalVLAProcessor
from vlahub.configuration.multimodal_vla.vlm_facts import VLMS
from vlahub.errors import ConfigError, InputError
from vlahub.modeling.multimodal_vla.fusion import fuse
from vlahub.modeling.multimodal_vla.multimodal_inputs import TOKEN_TYPES, checked_prompt
from vlahub.processing.multimodal_vla.vlm_defaults import own_processor_row

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
QUICK = ("idefics3", "llava_next")
every_vlm = pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in TINY_VLMS]
)
NOT_READ = {"vqmodel", "generation_embeddings", "generation_aligner", "generation_head"}  # Janus draws with them
OWN_FEATURES = {kind for kind in TINY_VLMS if kind in VLMS and not VLMS[kind].replaceable_features}
HEAD = {
    "action_head": "flow",
    "action_dim": 3,
    "num_action_chunks": 2,
    "num_action_bins": 32,
    "num_inference_steps": 2,
    "norm_stats": {"a": {"action": {"q01": [-1.0] * 3, "q99": [1.0] * 3}}},
    "expert_config": {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4, "num_hidden_layers": 1},
}
TEXTS = ["pick up the red cube", "put the bowl"]


def picture(height, width, seed):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


# Views of other sizes in each sample: the numbers of their tiles and tokens differ.
TWO_VIEWS = [[picture(28, 28, 0), picture(30, 60, 1)], [picture(64, 30, 2), picture(56, 56, 3)]]
ONE_VIEW = [[picture(28, 60, 0)], [picture(64, 30, 2)]]


class Case:
    """A VLM with weights that matter, its processor and ours around it."""

    def __init__(self, kind, randomized, samples=TWO_VIEWS, **fields):
        self.samples = samples
        config, self.own = tiny_vlm(kind)
        self.config = MultimodalVLAConfig(vlm_config=config, **{**HEAD, **fields})
        self.model = randomized(MultimodalVLAForActionPrediction(self.config)).eval()
        self.vlm = self.model.backbone.vlm
        self.processor = None if self.own is None else MultimodalVLAProcessor.for_config(self.config, self.own)

    def inputs(self, rows=(0, 1), side="right", texts=TEXTS):
        samples, texts = [self.samples[i] for i in rows], [texts[i] for i in rows]
        if self.processor is None:
            return layout_of(self.config.vlm_config, samples, texts, side)
        return dict(self.processor(images=samples, text=texts, padding_side=side))

    def documented(self, row):
        """What the VLM's own processor returns for the prompt of one sample."""
        if not isinstance(self.own, ProcessorMixin):
            return self.inputs([row])
        prompt = self.processor.prompt_text(TEXTS[row], [1] * len(self.samples[row]))
        images = [[Image.fromarray(view) for view in self.samples[row]]]
        return dict(self.own(text=[prompt], images=images, return_tensors="pt"))

    def states(self, inputs):
        """What the head reads."""
        given = {name: inputs.get(name) for name in ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")}
        further = {name: value for name, value in inputs.items() if name not in given}
        prompt = checked_prompt(self.model, *given.values(), further)
        return fuse(self.model.fusion_parts, self.config, prompt, None)[0]

    def of_vlm(self, inputs, known):
        """Arguments of the VLM itself, which knows views of our own processor as pictures."""
        if self.config.vlm_config.model_type == "llama4" and transformers.__version__.startswith("5.24"):
            pytest.skip("every call of Llama 4 itself ends with an AttributeError in transformers 5.24 (image_outputs)")
        arguments = {name: value for name, value in inputs.items() if name in known or name in TOKEN_TYPES}
        if not isinstance(self.own, ProcessorMixin) and arguments["pixel_values"].dim() == 5:
            arguments["pixel_values"] = arguments["pixel_values"].flatten(0, 1)
        return arguments

    def own_states(self, inputs):
        core = getattr(self.vlm, "model", self.vlm)
        known = inspect.signature(core.forward).parameters
        arguments = self.of_vlm(inputs, known)
        if core is not self.vlm:
            return core(**arguments).last_hidden_state
        output = core(**arguments, output_hidden_states=True)
        return getattr(output, "language_model_outputs", output).hidden_states[-1]


@pytest.fixture
def case(randomized):
    return lambda kind, **fields: Case(kind, randomized, **fields)


views = pytest.mark.parametrize("samples", [ONE_VIEW, TWO_VIEWS], ids=["one view", "two views"])


@every_vlm
@views
def test_inputs_are_those_of_the_vlms_own_processor(case, kind, samples):
    each = case(kind, samples=samples)
    if not isinstance(each.own, ProcessorMixin):
        pytest.skip("its processor needs torchvision here, or knows one picture alone")
    for row in range(2):
        wanted, found = each.documented(row), each.inputs([row])
        assert wanted.keys() == found.keys()
        for name in wanted:
            assert torch.equal(wanted[name], found[name]), name


@every_vlm
@views
@torch.no_grad()
def test_states_are_those_of_the_vlms_own_call_on_either_side_of_padding(case, kind, samples):
    each = case(kind, samples=samples)
    wanted = [each.own_states(each.documented(row))[0] for row in range(2)]
    assert (wanted[0][-2:] - wanted[1][-2:]).abs().max() > 1e-2
    for side in ("right", "left"):
        inputs = each.inputs(side=side)
        for states, real, own in zip(each.states(inputs), inputs["attention_mask"].bool(), wanted, strict=True):
            torch.testing.assert_close(states[real], own, **CLOSE)


@every_vlm
@pytest.mark.parametrize(
    "fields", [{}, {"action_head": "mlp"}, {"fusion": "late", "projector_type": "perceiver", "action_head": "mlp"}]
)
def test_samples_of_a_batch_predict_what_they_predict_alone(case, kind, fields):
    if "projector_type" in fields and kind in OWN_FEATURES:
        pytest.skip("its image features cannot be replaced")
    each = case(kind, **fields)
    noise = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0))
    drawn = (lambda rows: {}) if fields else (lambda rows: {"noise": noise[list(rows)]})
    alone = torch.cat([each.model.predict_action(**each.inputs([i]), **drawn([i])) for i in range(2)])
    assert (alone[0] - alone[1]).abs().max() > 1e-3
    for side in ("right", "left"):
        found = each.model.predict_action(**each.inputs(side=side), **drawn([0, 1]))
        torch.testing.assert_close(found, alone, **CLOSE)


@every_vlm
def test_a_step_of_training_reaches_every_part_that_trains(case, kind):
    each = case(kind, action_head="mlp", freeze_vision_tower=False)
    loss = each.model.train()(**each.inputs(), actions=torch.rand(2, 2, 3)).loss
    loss.backward()
    assert torch.isfinite(loss)
    reached = {name for name, parameter in each.model.named_parameters() if parameter.grad is not None}
    core = "backbone.vlm.model." if hasattr(each.vlm, "model") else "backbone.vlm."
    parts = {n.removeprefix(core).split(".")[0] for n, _ in each.model.named_parameters() if n.startswith(core)}
    assert all(any(f"{core}{part}." in f"{name}." for name in reached) for part in parts - NOT_READ)


@every_vlm
def test_what_is_written_is_read_again(case, kind, tmp_path):
    each = case(kind)
    each.model.save_pretrained(tmp_path)
    if each.processor is not None:
        each.processor.save_pretrained(tmp_path)
        loaded = MultimodalVLAProcessor.from_pretrained(tmp_path)
        found = loaded(images=each.samples, text=TEXTS, padding_side="left")
        wanted = each.inputs(side="left")
        assert wanted.keys() == found.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)
    model = MultimodalVLAForActionPrediction.from_pretrained(tmp_path).eval()
    weights, wanted = model.state_dict(), each.model.state_dict()
    assert weights.keys() == wanted.keys() and all(torch.equal(weights[name], wanted[name]) for name in wanted)
    torch.testing.assert_close(*(fuse_of(one, each) for one in (model, each.model)), **CLOSE)


def fuse_of(model, each):
    each.model = model
    return each.states(each.inputs())


@every_vlm
def test_the_vlm_writes_what_it_writes_without_us(case, kind):
    each = case(kind)
    inputs = each.inputs(side="left")
    known = inspect.signature(each.vlm.forward).parameters
    options = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None}
    own = each.vlm.generate(**each.of_vlm(inputs, known), **options)
    assert torch.equal(each.model.generate(**inputs, **options), own)


@every_vlm
def test_a_published_vlm_becomes_a_policy_with_its_own_processor(case, kind, tmp_path):
    """Of its folder alone; the tokenizer alone is enough for a processor, too."""
    each = case(kind)
    each.vlm.save_pretrained(tmp_path)
    model = MultimodalVLAForActionPrediction.from_vlm(tmp_path, **HEAD).eval()
    wanted, found = each.model.backbone.vlm.state_dict(), model.backbone.vlm.state_dict()
    assert wanted.keys() == found.keys() and all(torch.equal(wanted[name], found[name]) for name in wanted)
    if each.own is None:
        if importlib.util.find_spec("torchvision") is None:
            with pytest.raises(ConfigError, match=r"Llama4ImageProcessor.*torchvision"):
                MultimodalVLAProcessor.for_config(model.config, llama4_tokenizer())
        return
    each.own.save_pretrained(tmp_path)
    by_vlm = own_processor_row(model.config.vlm_config) is not None  # else pixels are by this package
    options = {"use_torchvision": False} if by_vlm else {}  # as `each.own` is
    processor = MultimodalVLAProcessor.from_vlm(tmp_path, model.config, **options)
    found, wanted = processor(images=each.samples, text=TEXTS), each.inputs()
    if by_vlm:
        assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)
    plain = MultimodalVLAProcessor.for_config(model.config, getattr(each.own, "tokenizer", each.own))
    assert plain.prompt_template == processor.prompt_template
    assert model.predict_action(**plain(images=each.samples, text=TEXTS)).shape == (2, 2, 3)


@pytest.mark.parametrize("kind", QUICK)
def test_special_tokens_of_an_instruction_are_text(case, kind):
    each = case(kind)
    spelled = each.processor.tokenizer.convert_tokens_to_ids(["<image>", "<eos>"])
    plain, found = (each.inputs([0], texts=[text])["input_ids"] for text in ("put", "put <image> <eos>"))
    assert all((found == token).sum() == (plain == token).sum() for token in spelled)


def test_an_argument_that_the_vlm_does_not_read_is_refused(case):
    each = case("llava_next")
    with pytest.raises(InputError, match=r"pixel_attention_mask is no argument.*llava_next reads image_sizes"):
        each.model.predict_action(**each.inputs(), pixel_attention_mask=torch.ones(2, 1))
