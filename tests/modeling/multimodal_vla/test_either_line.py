"""What one line of transformers needs of composed VLAs is done for it, on whichever line the tests run."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import SiglipVisionConfig, SiglipVisionModel

from vlahub.modeling import strict_loading
from vlahub.modeling.masking import additive
from vlahub.modeling.multimodal_vla import backbones, language_masks, portable_weights
from vlahub.modeling.multimodal_vla.grounding import unit_features
from vlahub.modeling.multimodal_vla.language_model_rules import in_dtype_of_input, keep_dtype, without_head
from vlahub.modeling.multimodal_vla.naflex_images import NaflexImages
from vlahub.modeling.multimodal_vla.portable_weights import PortableWeights
from vlahub.modeling.multimodal_vla.tower_conditioning import BLOCK_NAMES, features_by_blocks, run_block
from vlahub.modeling.multimodal_vla.vlm_backbone import VLMBackbone, part_of

REAL = torch.tensor([[True, True, False], [False, True, True]])
SEEN = REAL[:, None, :].expand(-1, 3, -1) | torch.eye(3, dtype=torch.bool)


@pytest.fixture(params=[True, False], ids=["4.57", "5"])
def is_4(request, monkeypatch):
    for module in (language_masks, strict_loading):
        monkeypatch.setattr(module, "IS_4", request.param)
    monkeypatch.setattr(portable_weights, "WRITES_OWN_NAMES", not request.param)
    return request.param


def config_of(kind, implementation):
    return SimpleNamespace(model_type=kind, _attn_implementation=implementation)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_decoders_of_4_add_their_mask_with_any_attention(is_4, implementation):
    found = language_masks.mask_as_taken(implementation, SEEN, torch.float16)
    wanted = additive(SEEN, torch.float16) if is_4 or implementation == "eager" else SEEN[:, None]
    assert found.dtype == wanted.dtype and torch.equal(found, wanted)


@pytest.mark.every_case
@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "mt5", "t5", "umt5"])
@torch.no_grad()
def test_encoders_of_4_make_masks_of_ones_and_zeros(is_4, kind):
    found = language_masks.encoder_mask(config_of(kind, "sdpa"), REAL, torch.float32)
    wanted = (REAL if kind in ("distilbert", "mt5", "t5", "umt5") else SEEN).long() if is_4 else SEEN[:, None]
    assert found.dtype == wanted.dtype and torch.equal(found, wanted)


def test_more_models_of_4_ask_between_their_layers(is_4):
    kinds = ("falcon", "mixtral", "xglm", "qwen3_vl_moe_text", "llama", "llama_text")
    found = [language_masks.asks_in_layers(config_of(kind, "sdpa")) for kind in kinds]
    assert found == [True, is_4, is_4, is_4, False, False]


def test_convolutions_of_4_read_padding(is_4):
    assert language_masks.reads_padding(config_of("lfm2", "sdpa")) == is_4
    assert not language_masks.reads_padding(config_of("mamba", "sdpa"))


def test_tied_weights_are_listed_for_4_and_paired_for_5(is_4):
    pairs = {"head.weight": "embedding.weight"}
    assert strict_loading.tied_weights(pairs) == (["head.weight"] if is_4 else pairs)


def test_of_a_whole_model_4_lists_the_head_and_asks_the_parts(monkeypatch):
    monkeypatch.setattr(portable_weights, "WRITES_OWN_NAMES", False)
    model = nn.ModuleDict({"words": nn.Embedding(3, 2), "inner": nn.ModuleDict({"head": nn.Linear(2, 3)})})
    model.get_output_embeddings = lambda: model["inner"]["head"]
    assert portable_weights.tied_weights_of(model) == ["inner.head.weight"]
    model.get_output_embeddings = lambda: None
    assert portable_weights.tied_weights_of(model) == []


def test_features_are_read_with_and_without_a_wrapper():
    features = torch.tensor([[3.0, 4.0]])
    for given in (features, SimpleNamespace(pooler_output=features)):
        assert unit_features(given).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]


@pytest.mark.parametrize("known, name", [(("attention_mask",), "attention_mask"), ((), "pixel_attention_mask")])
def test_a_mask_of_patches_goes_by_the_name_that_the_tower_has(known, name):
    mask, shapes = torch.ones(1, 2, 3), torch.ones(1, 2, 2)
    assert NaflexImages(torch.zeros(1, 2, 3, 4), mask, shapes).further(known).keys() == {name, "spatial_shapes"}


@pytest.mark.parametrize("with_weights", [True, False])
def test_a_block_takes_the_states_of_an_attention_that_gives_its_weights_too(with_weights):
    names, states = BLOCK_NAMES["siglip_vision_model"], torch.ones(1, 1, 2)
    parts = {names.norm1: torch.clone, names.norm2: torch.zeros_like, "mlp": torch.clone}
    parts[names.attention] = lambda given: (2 * given, given - 9) if with_weights else 2 * given
    found = run_block(SimpleNamespace(**parts), names, states, torch.ones(1, 1, 2), torch.zeros(1, 1, 2))
    assert torch.equal(found, 3 * states)


@torch.no_grad()
def test_a_towers_blocks_are_found_one_level_down_or_at_once():
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    tower = SiglipVisionModel(SiglipVisionConfig(**sizes, image_size=14, patch_size=7)).eval()
    pixels, stack = torch.ones(1, 3, 14, 14), getattr(tower, "vision_model", tower)
    found = [
        features_by_blocks(model, pixels, None, None, None, patches_alone=False)
        for model in (stack, SimpleNamespace(vision_model=stack))
    ]
    assert torch.equal(*found) and torch.equal(found[0], tower(pixels).last_hidden_state)


class OfAVision(PortableWeights, nn.Module):
    """With what a Swin of 4.57 has in a file, and a part whose names only 5.x could change."""

    parts_with_first_names = ("attention",)

    def __init__(self):
        super().__init__()
        self.attention = nn.Module()
        self.attention.self = nn.Module()
        self.attention.self.register_buffer("relative_position_index", torch.zeros(2))
        self.attention.self.register_buffer("weight", torch.zeros(2))


def test_a_state_dict_is_loaded_as_it_is_where_files_have_the_models_own_names(monkeypatch):
    monkeypatch.setattr(portable_weights, "WRITES_OWN_NAMES", False)
    monkeypatch.setattr(portable_weights, "with_first_names", None)
    model = OfAVision()
    assert model.with_written_names({}) == {}
    given = {name: value + 1 for name, value in model.state_dict().items()}
    model.load_state_dict(given)
    assert len(given) == 2 and all(torch.equal(value, given[name]) for name, value in model.state_dict().items())


def test_a_stack_is_found_where_its_model_does_not_know_it_by_name():
    stack = nn.Identity()
    known, unknown = nn.Module(), nn.Module()
    known.base_model = stack
    unknown.model, unknown_stack = stack, unknown
    object.__setattr__(unknown, "base_model", unknown_stack)
    assert without_head(known) is stack and without_head(unknown) is stack
    alone = nn.Module()
    object.__setattr__(alone, "base_model", alone)
    assert without_head(alone) is alone


class XIELUActivation(nn.Module):
    def forward(self, states):
        return states.float() * 2


class CTRLModel(nn.Module):
    dtype = torch.float16
    pos_encoding = torch.ones(2)

    def forward(self, states):
        return states * self.pos_encoding


class Ernie4_5_MoeSparseMoeBlock(nn.Module):
    def __init__(self, gate):
        super().__init__()
        self.gate = gate

    def forward(self, states):
        return self.gate(states.float())


def test_layers_in_16_bits_hand_on_the_dtype_that_they_are_given():
    states = torch.ones(1, 2, dtype=torch.float16)
    for layer in (XIELUActivation(), CTRLModel()):
        assert layer(states).dtype == torch.float32
        keep_dtype(nn.ModuleList([layer]))
        assert layer(states).dtype == torch.float16 and torch.equal(
            layer(states), states * layer(torch.ones_like(states))
        )
    assert in_dtype_of_input(None, (states.bfloat16(),), states.float()).dtype == torch.bfloat16
    layer = Ernie4_5_MoeSparseMoeBlock(nn.Linear(2, 1).half())
    keep_dtype(nn.ModuleList([layer]))
    assert layer(states).dtype == torch.float32
    of_5 = Ernie4_5_MoeSparseMoeBlock(nn.Identity())
    keep_dtype(nn.ModuleList([of_5]))
    assert not of_5.gate._forward_pre_hooks


# ---- what a VLM's `get_image_features` is given and returns


def backbone_of(core, **facts):
    """As much of a `VLMBackbone` as its features need; its images come as they are."""
    known = {"takes_lengths": False, "projects_apart": False, **facts}
    made = SimpleNamespace(core=core, facts=SimpleNamespace(**known), images=lambda given, grid: given, vlm=core)
    made.own_features = lambda images, names: VLMBackbone.own_features(made, images, names)
    return made


FEATURES = torch.arange(12.0).view(2, 3, 2)
FORMS = {
    "a tensor": FEATURES,
    "in a wrapper": SimpleNamespace(pooler_output=FEATURES),
    "with those of deeper layers": ((*FEATURES,), [torch.zeros(6, 2)]),
    "one of each image": [*FEATURES],
    "one of each image in a wrapper": SimpleNamespace(pooler_output=[*FEATURES]),
}


@pytest.mark.every_case
@pytest.mark.parametrize("form", FORMS)
def test_image_features_are_read_in_the_form_of_either_line(form):
    core = SimpleNamespace(get_image_features=lambda pixel_values, **kwargs: FORMS[form])
    found = VLMBackbone.all_features(backbone_of(core), {"pixel_values": torch.zeros(2)})
    assert torch.equal(found, FEATURES.flatten(0, 1))


def test_a_tower_is_given_sizes_by_name_or_along_with_all_else():
    images = {"pixel_values": torch.zeros(1), "image_sizes": torch.ones(1), "spatial_shapes": torch.ones(1)}
    seen = {}

    def by_name(pixel_values, image_sizes):
        seen["by name"] = {"pixel_values": pixel_values, "image_sizes": image_sizes}
        return FEATURES

    def along(pixel_values, **kwargs):
        seen["along"] = {"pixel_values": pixel_values, **kwargs}
        return FEATURES

    for function in (by_name, along):
        VLMBackbone.all_features(backbone_of(SimpleNamespace(get_image_features=function)), images)
    assert seen["by name"].keys() == {"pixel_values", "image_sizes"} and seen["along"].keys() == images.keys()


@pytest.mark.parametrize("is_wrapped", [True, False])
def test_a_strategy_is_told_where_it_is_asked_for(is_wrapped):
    told = []

    def asks(pixel_values, vision_feature_select_strategy):
        told.append(vision_feature_select_strategy)
        return SimpleNamespace(last_hidden_state=FEATURES) if is_wrapped else FEATURES

    def asks_for_nothing(pixel_values):
        return SimpleNamespace(last_hidden_state=FEATURES) if is_wrapped else FEATURES

    for function in (asks, asks_for_nothing):
        core = SimpleNamespace(get_image_features=function, multi_modal_projector=lambda features: 2 * features)
        core.config = SimpleNamespace(vision_config=SimpleNamespace(vision_feature_select_strategy="default"))
        found = VLMBackbone.all_features(backbone_of(core, projects_apart=True), {"pixel_values": torch.zeros(2)})
        assert torch.equal(found, 2 * FEATURES.flatten(0, 1))
    assert told == ["default"]


def test_a_part_goes_by_the_first_of_its_names_that_is_there():
    assert part_of(SimpleNamespace(visual=1), ("vision_tower", "visual")) == 1
    assert part_of(SimpleNamespace(visual=1, vision_tower=2), ("vision_tower", "visual")) == 2


def test_an_activation_that_asks_for_its_values_is_not_made_on_the_meta_device(monkeypatch):
    text = SimpleNamespace(hidden_act="xielu", sub_configs={})
    config, made = SimpleNamespace(text_config=text, vlm_config=None, sub_configs={"text_config": None}), []
    monkeypatch.setattr(backbones, "ComposedBackbone", lambda given: made.append(given.text_config.hidden_act))
    for pretrained in ({"language_model": nn.Identity()}, {}):
        backbones.make_backbone(config, pretrained)
    assert made == ["silu", "xielu"] and text.hidden_act == "xielu"
