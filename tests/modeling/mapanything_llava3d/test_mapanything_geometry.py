"""MapAnything's geometry: published numbers, transformers' own DINOv2, published sizes, and what views may see."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import Dinov2Config, Dinov2Model
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from vlahub.configuration.mapanything_llava3d.configuration_mapanything import (
    MapAnythingGeometryConfig,
    infer_geometry_config,
)
from vlahub.errors import ConfigError, InputError
from vlahub.modeling.mapanything_llava3d.mapanything_geometry import (
    MapAnythingGeometry,
    init_geometry_weights,
    reference_mark,
)
from vlahub.modeling.mapanything_llava3d.siglip_tower import geometry_pixels
from vlahub.modeling.strict_loading import StrictPreTrainedModel

VERSIONS = ["v1", "v1_1"]
IMPLEMENTATIONS = ["sdpa", "eager"]
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
HEADS = {"num_attention_heads": 3, "info_sharing_num_attention_heads": 3}
KINDS = {  # the two published forms, tiny
    "v1": {
        "final_norm": True,
        "mlp_type": "mlp",
        "info_sharing_mlp_type": "mlp",
        "info_sharing_layer_scale": False,
        "info_sharing_hidden_size": 16,
    },
    "v1_1": {"info_sharing_hidden_size": 24},
}


def tiny_config(version="v1_1", **overrides):
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    sizes |= {f"info_sharing_{name}": size for name, size in sizes.items()}
    sizes |= {"hidden_size": 24, "image_size": 42, "info_sharing_num_hidden_layers": 3}
    return MapAnythingGeometryConfig(**{**sizes, **KINDS[version], **overrides})


class Holder(StrictPreTrainedModel):
    """The least that holds a geometry: what a family's model does."""

    config_class = MapAnythingGeometryConfig
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config):
        super().__init__(config)
        self.geometry = MapAnythingGeometry(config)
        self.post_init()

    def _init_weights(self, module):
        super()._init_weights(module)
        init_geometry_weights(module, self.config.initializer_range)


@pytest.fixture
def tiny_geometry(randomized):
    """`tiny_geometry(version="v1_1", **overrides) -> MapAnythingGeometry` with random weights."""
    return lambda *args, **overrides: randomized(MapAnythingGeometry(tiny_config(*args, **overrides))).eval()


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def shapes_of(module):
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def on_meta(config):
    with torch.device("meta"):
        return MapAnythingGeometry(config)


# ---- published numbers


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("version", VERSIONS)
@torch.no_grad()
def test_published_weights_give_the_published_features(version, implementation, golden):
    """The config follows from the weights; built on the meta device, where no computed constant would survive."""
    case = golden(f"llava3d/mapanything_geometry_{version}")
    state, images = case.state(), case.input("images")
    config = infer_geometry_config({name: tuple(tensor.shape) for name, tensor in state.items()}, **HEADS)
    config._attn_implementation = implementation
    model = on_meta(config)
    model.load_state_dict(state, assign=True)
    rows, columns = (size // config.patch_size for size in images.shape[-2:])
    assert (rows, columns) != (config.grid_size,) * 2  # positions are interpolated

    for view in (0, 1):
        features = model.encoder["model"](images[:, view]).transpose(1, 2).unflatten(2, (rows, columns))
        case.check(f"encoder_features_view{view}", features)
    case.check("one_view.last_hidden_state", model(images[:, 0]))
    case.check("two_views.last_hidden_state", model(images))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_first_view_is_marked_by_the_published_table(version, golden):
    table = golden(f"llava3d/mapanything_geometry_{version}")["state_constants"]["info_sharing.view_pos_table"]
    mark = reference_mark(torch.zeros(2, 3, 4, table["shape"][1]))
    assert mark[0, 0].tolist() == table["values"] and not mark[1:].any()


# ---- transformers' own DINOv2 as an oracle, under the names of published Dinov2Model checkpoints

DINOV2_NAMES = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "blocks.": "encoder.layer.",
    "attn.proj": "attention.output.dense",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
    "mlp.w12": "mlp.weights_in",
    "mlp.w3": "mlp.weights_out",
}


def dinov2_state(encoder):
    """Our encoder's weights under the names of a `Dinov2Model`."""
    state = {"embeddings.mask_token": torch.zeros(1, encoder.cls_token.shape[-1])}
    for name, tensor in encoder.state_dict().items():
        for ours, theirs in DINOV2_NAMES.items():
            name = name.replace(ours, theirs)
        name = f"layernorm{name[4:]}" if name.startswith("norm.") else name
        if "attn.qkv" in name:
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                state[name.replace("attn.qkv", f"attention.attention.{part}")] = piece.clone()
        else:
            state[name] = tensor
    return state


def dinov2_config(config):
    return Dinov2Config(
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        mlp_ratio=4,
        use_swiglu_ffn=config.mlp_type == "swiglu",
        image_size=config.image_size,
        patch_size=config.patch_size,
    )


@pytest.mark.parametrize("mlp_type, inner", [("mlp", 96), ("swiglu", 64)])
@torch.no_grad()
def test_the_encoder_at_its_trained_size_is_dinov2(mlp_type, inner, tiny_geometry, tmp_path):
    config = {"mlp_type": mlp_type, "intermediate_size": inner, "final_norm": True}
    encoder = tiny_geometry(**config).encoder["model"]
    save_file(dinov2_state(encoder), tmp_path / "model.safetensors", metadata={"format": "pt"})
    dinov2_config(tiny_config(**config)).save_pretrained(tmp_path)
    oracle, info = Dinov2Model.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]

    images = drawn(2, 3, 42, 42)
    torch.testing.assert_close(encoder(images), oracle(images).last_hidden_state[:, 1:], **CLOSE)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_published_encoders_have_as_many_parameters_as_dinov2(version):
    config = getattr(MapAnythingGeometryConfig, version)()
    ours = on_meta(config).encoder["model"]
    with torch.device("meta"):
        theirs = Dinov2Model(dinov2_config(config))
    surplus = config.hidden_size * (1 if config.final_norm else 3)  # mask token, norm
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters()) - surplus


# ---- sizes


PUBLISHED_SHAPES = {
    "v1": {
        "encoder.model.pos_embed": (1, 1370, 1024),
        "encoder.model.blocks.23.mlp.fc1.weight": (4096, 1024),
        "encoder.model.norm.weight": (1024,),
        "info_sharing.proj_embed.weight": (768, 1024),
        "info_sharing.self_attention_blocks.23.mlp.fc2.weight": (768, 3072),
        "info_sharing.self_attention_blocks.23.attn.qkv.bias": (2304,),
        "info_sharing.norm.weight": (768,),
        "info_sharing.self_attention_blocks.0.ls1.gamma": None,
        "encoder.model.blocks.24.norm1.weight": None,
        "info_sharing.self_attention_blocks.24.norm1.weight": None,
    },
    "v1_1": {
        "encoder.model.pos_embed": (1, 1370, 1536),
        "encoder.model.blocks.23.mlp.w12.weight": (8192, 1536),
        "encoder.model.blocks.23.mlp.w3.weight": (1536, 4096),
        "info_sharing.self_attention_blocks.15.mlp.w12.weight": (8192, 1536),
        "info_sharing.self_attention_blocks.15.ls2.gamma": (1536,),
        "info_sharing.norm.bias": (1536,),
        "info_sharing.proj_embed.weight": None,
        "encoder.model.norm.weight": None,
        "encoder.model.blocks.24.norm1.weight": None,
        "info_sharing.self_attention_blocks.16.norm1.weight": None,
    },
}


@pytest.mark.parametrize("version", VERSIONS)
def test_published_sizes_give_published_shapes_and_follow_from_them(version):
    config = getattr(MapAnythingGeometryConfig, version)()
    shapes = shapes_of(on_meta(config))
    assert {name: shapes.get(name) for name in PUBLISHED_SHAPES[version]} == PUBLISHED_SHAPES[version]
    others = {"info_sharing.view_pos_table": (1, 9), "scale_token": (9,), "dense_head.blocks.30.norm1.weight": (9,)}
    assert infer_geometry_config(shapes | others).to_dict() == config.to_dict()


@pytest.mark.parametrize(
    "name",
    [
        "encoder.model.patch_embed.proj.weight",
        "encoder.model.pos_embed",
        "encoder.model.blocks.1.norm1.weight",
        "info_sharing.self_attention_blocks.0.norm1.weight",
        "info_sharing.proj_embed.weight",
    ],
)
def test_a_checkpoint_without_a_tensor_that_sizes_follow_from_is_refused_by_its_name(name):
    shapes = shapes_of(on_meta(tiny_config("v1", num_hidden_layers=3)))
    del shapes[name]
    with pytest.raises(ConfigError, match=f"{name} is missing"):
        infer_geometry_config(shapes, 2, 2)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"encoder.model.blocks.0.mlp.w3.weight": None}, r"neither .*0.mlp.fc2.weight nor .*0.mlp.w3.weight"),
        ({"encoder.model.pos_embed": (1, 12, 24)}, "encoder.model.pos_embed has 11 patch positions"),
        ({"info_sharing.view_pos_table": (1000, 24)}, "info_sharing.view_pos_table has 1000 rows"),
        ({}, "^num_attention_heads cannot be told from hidden_size=24.*64"),
    ],
)
def test_a_checkpoint_of_another_form_is_refused(change, message):
    shapes = {k: v for k, v in (shapes_of(on_meta(tiny_config())) | change).items() if v is not None}
    with pytest.raises(ConfigError, match=message):
        infer_geometry_config(shapes)


@pytest.mark.parametrize(
    "field, value",
    [
        ("hidden_size", 0),
        ("num_attention_heads", 5),
        ("mlp_type", "relu"),
        ("image_size", 40),
        ("patch_size", None),
        ("info_sharing_num_hidden_layers", 2.0),
        ("info_sharing_num_attention_heads", 5),
        ("info_sharing_mlp_type", "relu"),
    ],
)
def test_the_config_refuses_a_value_by_the_name_of_its_field(field, value):
    with pytest.raises(ConfigError, match=f"(^|\\.| ){field}={value!r}"):
        tiny_config(**{field: value})


# ---- inputs


@pytest.mark.parametrize("version", VERSIONS)
@torch.no_grad()
def test_a_batch_gives_what_its_samples_give(version, tiny_geometry):
    model, pixels = tiny_geometry(version), drawn(3, 2, 3, 28, 56)
    features = model(pixels)
    assert features.shape == (3, 2 * 2 * 4, model.config.info_sharing_hidden_size)
    torch.testing.assert_close(features, torch.cat([model(sample[None]) for sample in pixels]), **CLOSE)
    torch.testing.assert_close(model(pixels[:, :1]), model(pixels[:, 0]), **CLOSE)


@torch.no_grad()
def test_views_see_each_other_and_only_the_first_is_special(tiny_geometry):
    model, pixels = tiny_geometry(), drawn(1, 3, 3, 42, 42)
    one, two, three = model(pixels).unflatten(1, (3, 9)).unbind(1)
    swapped = model(pixels[:, [0, 2, 1]]).unflatten(1, (3, 9))
    torch.testing.assert_close(swapped, torch.stack([one, three, two], dim=1), **CLOSE)
    assert not torch.allclose(one, model(pixels[:, 0]), atol=1e-3)
    other_reference = model(pixels[:, [1, 0, 2]]).unflatten(1, (3, 9))
    assert not torch.allclose(other_reference[:, 1], one, atol=1e-2)


@torch.no_grad()
def test_intrinsics_are_taken_and_change_nothing(tiny_geometry):
    model, pixels = tiny_geometry(), drawn(1, 2, 3, 42, 42)
    assert torch.equal(model(pixels, drawn(1, 2, 3, 3)), model(pixels))


@pytest.mark.parametrize(
    "shape, message",
    [
        ((3, 42, 42), r"shape \(3, 42, 42\)"),
        ((2, 6, 42, 42), r"shape \(2, 6, 42, 42\)"),
        ((2, 3, 42, 50), "42 x 50 pixels.*patch_size=14"),
        ((2, 1, 3, 41, 42), "41 x 42 pixels.*patch_size=14"),
    ],
)
def test_pixels_of_another_shape_are_refused(shape, message, tiny_geometry):
    with pytest.raises(InputError, match=message):
        tiny_geometry()(torch.zeros(shape))


# ---- precision, saving, training


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float16, 0.02), (torch.bfloat16, 0.1)])
@torch.no_grad()
def test_half_precision_weights_take_float32_pixels_of_any_size(dtype, tolerance, implementation, tiny_geometry):
    model, pixels = tiny_geometry("v1"), drawn(2, 2, 3, 28, 56)
    expected = model(pixels)
    model.config._attn_implementation = implementation
    features = model.to(dtype)(pixels)
    assert features.dtype == dtype
    torch.testing.assert_close(features.float(), expected, atol=tolerance, rtol=tolerance)


@torch.no_grad()
def test_positions_are_interpolated_in_float32_and_the_trained_ones_are_left_alone(tiny_geometry):
    encoder = tiny_geometry().encoder["model"]
    encoder.pos_embed.copy_(encoder.pos_embed.bfloat16())
    wanted = encoder.positions(2, 5).bfloat16()
    encoder.bfloat16()
    assert torch.equal(encoder.positions(2, 5), wanted)
    assert encoder.positions(3, 3) is encoder.pos_embed
    assert encoder.positions(1, 9).shape == encoder.pos_embed.shape
    assert not torch.equal(encoder.positions(1, 9), encoder.pos_embed)  # as many patches, in another grid


@pytest.mark.parametrize("version", VERSIONS)
@torch.no_grad()
def test_saving_and_loading_keeps_every_name_and_number(version, randomized, tmp_path):
    model = randomized(Holder(tiny_config(version))).eval()
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert names == {f"geometry.{name}" for name in model.geometry.state_dict()}
    assert "geometry.encoder.model.blocks.1.ls1.gamma" in names
    loaded = Holder.from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert loaded.geometry.config._attn_implementation == "eager"
    assert {name: getattr(loaded.config, name) for name in KINDS[version]} == KINDS[version]
    pixels = drawn(1, 2, 3, 28, 42)
    torch.testing.assert_close(loaded.geometry(pixels), model.geometry(pixels), **CLOSE)


def test_a_new_model_is_initialised_throughout_even_where_a_checkpoint_says_nothing(tmp_path):
    """Loaded from an empty file: what nobody initialises is whatever was in memory."""
    config = tiny_config()
    config.save_pretrained(tmp_path)
    save_file({"nothing": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    model = super(StrictPreTrainedModel, Holder).from_pretrained(tmp_path)
    encoder = model.geometry.encoder["model"]
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            assert torch.equal(parameter, torch.ones_like(parameter)), name
    for table in (encoder.cls_token, encoder.pos_embed):
        assert 0.5 * config.initializer_range < table.std() < 2 * config.initializer_range


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_no_gradient_and_they_reach_every_parameter(reentrant, randomized):
    results = []
    for checkpointing in (False, True):
        model = randomized(Holder(tiny_config("v1"))).train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        runs = []
        geometry = model.geometry
        for block in (geometry.encoder["model"].blocks[0], geometry.info_sharing.self_attention_blocks[1]):
            block.norm2.register_forward_hook(lambda *_, seen=runs: seen.append(1))
        geometry(drawn(1, 2, 3, 28, 42)).square().mean().backward()
        assert len(runs) == (4 if checkpointing else 2)  # run once more for the gradients
        results.append({name: parameter.grad for name, parameter in model.named_parameters()})
    plain, recomputed = results
    assert [name for name, gradient in plain.items() if gradient is None or not gradient.any()] == []
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient, msg=lambda text, name=name: f"{name}: {text}", **CLOSE)


@pytest.mark.parametrize("pixel_range", ["unit", "siglip"])
def test_pixels_of_the_geometry_branch_have_the_statistics_of_imagenet(pixel_range):
    shares = torch.rand(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
    given = shares if pixel_range == "unit" else 2 * shares - 1
    torch.testing.assert_close(geometry_pixels(given, pixel_range, "imagenet"), (shares - mean) / std)
    torch.testing.assert_close(geometry_pixels(given, pixel_range, "none"), shares)
