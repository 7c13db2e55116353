"""The published LLaVA-3D numbers (tests/golden/llava3d): masks, joined stacks, flow matching, images, prefix."""

import pytest
import torch
from joint_attention import build_joint_attention_inputs
from torch import nn
from transformers import LlamaConfig, LlamaModel

from vlahub import MapAnythingLlava3DConfig, MapAnythingLlava3DForConditionalGeneration
from vlahub.modeling.flow_matching import sinusoidal_time_embedding
from vlahub.modeling.flow_matching_action_expert import FlowMatchingActionExpert
from vlahub.modeling.fused_linears import lay_side_by_side
from vlahub.modeling.llama_layers import projections_of
from vlahub.modeling.mapanything_llava3d.llava3d_with_action_expert import LLaVA3DWithActionExpertModel

IMPLEMENTATIONS = ["sdpa", "eager"]
GEOMETRY = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "image_size": 28,
    "info_sharing_hidden_size": 20,
    "info_sharing_num_hidden_layers": 1,
    "info_sharing_num_attention_heads": 2,
    "info_sharing_intermediate_size": 8,
}


def below(prefix, state):
    return {key[len(prefix) :]: tensor for key, tensor in state.items() if key.startswith(prefix)}


def stack_config(model, width, mlp, implementation):
    fields = ("num_attention_heads", "num_key_value_heads", "head_dim", "num_hidden_layers", "rms_norm_eps")
    return LlamaConfig(
        hidden_size=width,
        intermediate_size=mlp,
        vocab_size=4,
        attn_implementation=implementation,
        **{name: model[name] for name in fields},
    )


def load(module, state):
    """Everything but the unused word embeddings comes from the case."""
    missing, unexpected = module.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"embed_tokens.weight"}


# ---- flow matching over a stand-in


class LinearNetwork(nn.Module):
    """The published stand-in of the joined stacks: its cache is the mean of the prefix."""

    def __init__(self, state):
        super().__init__()
        self.weights = below("llava_with_expert.", state)
        self.hidden_size, self.expert_hidden_size = self.weights["P"].shape
        self.prefix_passes = 0

    def forward(
        self, attention_mask=None, position_ids=None, past_key_values=None, inputs_embeds=None, use_cache=False
    ):
        prefix, suffix = inputs_embeds
        if prefix is not None:
            self.prefix_passes += 1
            past_key_values = prefix.mean(dim=1, keepdim=True) @ self.weights["P"]
        if suffix is not None:
            mixed = suffix.mean(dim=1, keepdim=True) @ self.weights["M"]
            suffix = suffix @ self.weights["A"] + mixed + past_key_values
        return [prefix, suffix], past_key_values if use_cache else None


@pytest.fixture(params=["flow_expert_math", "flow_expert_math_nostate"])
def flow(request, golden):
    """A case, a function that makes its expert, and its state where there is one."""
    case = golden(f"llava3d/{request.param}")
    weights = case.state()

    def make(**options):
        config = case.config
        expert = FlowMatchingActionExpert(
            LinearNetwork(weights),
            config["action_dim"],
            config["action_horizon"],
            config["state_dim"],
            use_state=config["use_state"],
            **options,
        )
        expert.load_state_dict({k: v for k, v in weights.items() if not k.startswith("llava_with_expert.")})
        return expert

    return case, make, case.input("state") if case.config["use_state"] else None


def test_published_time_embedding(flow):
    case, _, _ = flow
    periods = case.config["min_period"], case.config["max_period"]
    case.check("time_embedding", sinusoidal_time_embedding(case.input("times"), case.config["hidden_size"], *periods))


def test_published_suffix_and_velocity(flow):
    case, make, state = flow
    expert = make(hidden_size=case.config["hidden_size"])
    noisy = case.input("actions")
    suffix = expert.embed_suffix(noisy, case.input("t"), state)
    case.check("suffix_embs", suffix)
    (_, output), _ = expert.llava_with_expert(inputs_embeds=[case.input("prefix_embs"), suffix])
    case.check("velocity", expert.read(output)[0])


@pytest.mark.parametrize(("weighted", "name"), [(True, "loss_time_weighted"), (False, "loss_plain")])
def test_published_loss(flow, weighted, name):
    case, make, state = flow
    arguments = {"time": case.input("t"), "noise": case.input("noise")}
    expert = make(use_time_weight=weighted)
    case.check(name, expert.compute_loss(case.input("prefix_embs"), case.input("actions"), state, **arguments))


@pytest.mark.parametrize("steps", [4, 10])
def test_published_samples_from_one_pass_of_the_prefix(flow, steps):
    case, make, state = flow
    expert = make()
    case.check(
        f"samples_{steps}_steps",
        expert.sample_actions(case.input("prefix_embs"), state, steps, noise=case.input("noise")),
    )
    assert expert.llava_with_expert.prefix_passes == 1


# ---- masks


@pytest.mark.parametrize(
    ("name", "given", "extra"), [("no_state", True, 1), ("with_state", True, 2), ("no_mask_given", False, 1)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_published_joint_mask(golden, name, given, extra, dtype):
    case = golden("llava3d/joint_mask")
    padding = case.input("attention_mask")
    prefix = torch.zeros(*padding.shape, 2, dtype=dtype)
    found = build_joint_attention_inputs(prefix, case.config["action_horizon"] + extra, padding if given else None)
    mask, positions, real = found
    case.check(f"{name}.allowed", (mask == 0).squeeze(1).long())
    case.check(f"{name}.position_ids", positions)
    if given:
        case.check(f"{name}.prefix_pad", real.long())
    assert mask.dtype == dtype
    assert set(mask.unique().tolist()) <= {0.0, torch.finfo(dtype).min}


# ---- joined stacks


@pytest.fixture(params=IMPLEMENTATIONS)
def equal_stacks(request, golden):
    """The case, and a function that makes the joined stacks of its first layers, with equal weights in both."""
    case = golden("llava3d/joint_attention_llama")
    model, weights = case.config["model"], case.state()

    def make(layers):
        config = stack_config(model, model["hidden_size"], model["intermediate_size"], request.param)
        config.num_hidden_layers = layers
        kept = {k: v for k, v in weights.items() if not k.startswith("layers.") or int(k.split(".")[1]) < layers}
        joined = LLaVA3DWithActionExpertModel(LlamaModel(config), config)
        load(joined.base, kept)
        load(joined.expert, kept)
        return joined.eval()

    return case, make


def arguments_of(case, joint):
    prefix, suffix = case.input("prefix_embs"), case.input("suffix_embs")
    masks = build_joint_attention_inputs(prefix, suffix.shape[1], case.input("attention_mask"))
    return {
        "attention_mask": masks[0] if joint else case.input("attention_mask"),
        "position_ids": masks[1] if joint else None,
        "inputs_embeds": [prefix, suffix],
    }


def without_padding(case, prefix):
    return prefix * case.input("attention_mask")[..., None]


@pytest.mark.parametrize("joint", [True, False])
def test_published_outputs_of_joined_stacks(equal_stacks, joint):
    case, make = equal_stacks
    (prefix, suffix), _ = make(4)(**arguments_of(case, joint))
    case.check("prefix_output", without_padding(case, prefix))
    case.check("suffix_output", suffix)


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("layer", range(4))
def test_published_states_after_each_layer(equal_stacks, layer, joint):
    case, make = equal_stacks
    joined = make(layer + 1)
    joined.base.norm = joined.expert.norm = nn.Identity()
    (prefix, suffix), _ = joined(**arguments_of(case, joint))
    case.check(f"hidden_after_layer_{layer}", torch.cat([without_padding(case, prefix), suffix], dim=1))


@pytest.fixture(params=IMPLEMENTATIONS)
def deep_fusion(request, golden):
    """The case and a function that makes its action expert over the joined stacks."""
    case = golden("llava3d/deep_fusion_same_width")
    backbone, weights = case.config["backbone"], case.state()

    def make(**options):
        base, expert = (
            stack_config(
                backbone, backbone[f"{name}_hidden_size"], backbone[f"{name}_intermediate_size"], request.param
            )
            for name in ("base", "expert")
        )
        joined = LLaVA3DWithActionExpertModel(LlamaModel(base), expert).eval()
        load(joined.base, below("base.", weights))
        load(joined.expert, below("expert.", weights))
        sizes = case.config["action_dim"], case.config["action_horizon"], case.config["state_dim"]
        action_expert = FlowMatchingActionExpert(joined, *sizes, use_state=True, **options)
        load(action_expert, below("action_expert.", weights))
        action_expert.joined = joined
        return action_expert

    return case, make


def joint_or_padding(case, joint):
    padding = case.input("attention_mask")
    if not joint:
        return {"attention_mask": padding}
    masks = build_joint_attention_inputs(case.input("prefix_embs"), case.config["action_horizon"] + 2, padding)
    return {"attention_mask": masks[0], "position_ids": masks[1]}


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize(("weighted", "name"), [(True, "loss_time_weighted"), (False, "loss_plain")])
def test_published_deep_fusion_loss(deep_fusion, weighted, name, joint):
    case, make = deep_fusion
    arguments = {"time": case.input("t"), "noise": case.input("noise"), **joint_or_padding(case, joint)}
    inputs = (case.input(key) for key in ("prefix_embs", "actions", "state"))
    case.check(name, make(use_time_weight=weighted).compute_loss(*inputs, **arguments))


@pytest.mark.parametrize("joint", [True, False])
def test_published_deep_fusion_velocity(deep_fusion, joint):
    case, make = deep_fusion
    expert = make()
    noisy = case.input("actions")
    suffix = expert.embed_suffix(noisy, case.input("t"), case.input("state"))
    arguments = joint_or_padding(case, joint)
    (_, output), _ = expert.llava_with_expert(**arguments, inputs_embeds=[case.input("prefix_embs"), suffix])
    case.check("velocity", expert.read(output)[0])


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("joint", [True, False])
def test_published_deep_fusion_samples(deep_fusion, joint, together):
    """Also where queries, keys and values, and gate and up, are one product each."""
    case, make = deep_fusion
    inputs, expert = (case.input("prefix_embs"), case.input("state"), 10), make()
    network = expert.llava_with_expert
    for layer in [*network.base.layers, *network.expert.layers] if together else []:
        for linears in projections_of(layer):
            lay_side_by_side(linears)
    found = expert.sample_actions(*inputs, noise=case.input("noise"), **joint_or_padding(case, joint))
    case.check("samples_10_steps", found)


# ---- images and prefix


class FixedGeometry(nn.Module):
    """Stands in for MapAnything: remembers the pixels and returns the case's features."""

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, pixel_values, intrinsics=None):
        self.pixels, self.intrinsics = pixel_values, intrinsics
        return self.features


@pytest.fixture
def image_model(golden):
    """`image_model(name, **config) -> (case, model)`, with the case's weights and geometry features."""

    def make(name, **fields):
        case = golden(f"llava3d/{name}")
        sizes = case.config
        text = {
            "hidden_size": sizes["hidden_size"],
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "vocab_size": sizes["vocab_size"],
        }
        config = MapAnythingLlava3DConfig(
            vision_config=sizes["vision"],
            text_config=text,
            geometry_config=GEOMETRY,
            image_token_id=sizes["image_token_id"],
            geometry_normalization="none",
            action_expert_type=None,
            **fields,
        )
        model = MapAnythingLlava3DForConditionalGeneration(config).eval()
        weights = case.state()
        if "language_model.embed_tokens.weight" in weights:
            model.get_input_embeddings().load_state_dict({"weight": weights.pop("language_model.embed_tokens.weight")})
        if model.geometric_model is None:
            weights = {k: v for k, v in weights.items() if k.split(".")[0] in ("vision_tower", "vision_projector")}
        else:
            model.geometric_model = FixedGeometry(case.input("geometry_features"))
        missing, unexpected = model.load_state_dict(weights, strict=False)
        assert not unexpected
        assert all(name.startswith("language_model.") for name in missing)
        return case, model

    return make


def test_published_image_features_of_unit_pixels(image_model):
    case, model = image_model("image_features_dev", pixel_range="unit")
    pixels = case.input("pixel_values")
    case.check("vision_last_hidden_state", model.vision_tower((pixels - 0.5) / 0.5))
    case.check("image_features", model.get_image_features(pixels))
    seen = model.geometric_model.pixels
    case.check("pixels_seen_by_geometry", seen.squeeze(1))
    assert seen.shape[1] == 1  # one view is still views


def test_published_image_features_of_two_views(image_model):
    case, model = image_model("image_features_vlm")
    pixels = case.input("pixel_values")
    case.check("vision_last_hidden_state_view0", model.vision_tower(pixels[:, 0]))
    case.check("image_features_two_views", model.get_image_features(pixels))
    case.check("pixels_seen_by_geometry", model.geometric_model.pixels)


@pytest.mark.parametrize("with_view_dimension", [True, False])
def test_published_image_features_of_one_view(image_model, with_view_dimension):
    case, model = image_model("image_features_vlm")
    pixels = case.input("pixel_values")[:, 0]
    case.check("image_features_one_view", model.get_image_features(pixels[:, None] if with_view_dimension else pixels))


def test_published_image_features_without_geometry(image_model):
    case, model = image_model("image_features_vlm", use_geometric_branch=False)
    found = model.get_image_features(case.input("pixel_values"))
    case.check("image_features_two_views_without_geometry", found)


def test_published_prefix(image_model):
    case, model = image_model("image_features_vlm")
    embeds, features = model.embed_prefix(case.input("input_ids"), case.input("pixel_values"), None)
    case.check("prefix_inputs_embeds", embeds)
    case.check("image_features_two_views", features)


def test_an_image_token_outside_the_vocabulary_gives_the_same_prefix(image_model):
    for token in (-200, 40, 32000):
        case, model = image_model("image_features_vlm")
        ids = case.input("input_ids")
        model.config.image_token_id = token
        ids = ids.masked_fill(ids == case.config["image_token_id"], token)
        case.check("prefix_inputs_embeds", model.embed_prefix(ids, case.input("pixel_values"), None)[0])
