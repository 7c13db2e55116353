"""A vision tower's own image processor, and pictures of any shape as patches (SigLIP 2 NaFlex)."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from tiny_configs import BLOCK, COMPOSED, GEMMA, SIGLIP, composed_config
from tiny_text_models import weights_that_matter
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    Dinov2Config,
    PreTrainedTokenizerFast,
    Siglip2Config,
    Siglip2VisionConfig,
)

from vlahub import MultimodalVLAForActionPrediction, MultimodalVLAProcessor
from vlahub.errors import ConfigError, InputError

CLOSE = {"atol": 2e-5, "rtol": 2e-5}
TEXTS = ["pick up the red bowl", "put the cube"]
NAFLEX = {"hidden_size": 24, **BLOCK, "num_patches": 16, "patch_size": 14}
SQUARE = {"height": 28, "width": 28}
OWN = {  # image processors as published for these towers, at a tiny size; settings other than their defaults
    "vit": ("ViTImageProcessor", {"size": SQUARE, "resample": 2}),
    "beit": ("BeitImageProcessor", {"size": SQUARE, "do_center_crop": False}),
    "clip": ("CLIPImageProcessor", {"size": {"shortest_edge": 28}, "crop_size": SQUARE}),
    "convnext": ("ConvNextImageProcessor", {"size": {"shortest_edge": 28}, "crop_pct": 0.875}),
    "dinov2": ("BitImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": SQUARE}),
    "siglip": ("SiglipImageProcessor", {"size": SQUARE, "image_mean": [0.1, 0.2, 0.3]}),
    "siglip2": ("Siglip2ImageProcessor", {"patch_size": 14, "max_num_patches": 16}),
}
PROJECTORS = ("linear", "mlp", "perceiver", "qformer", "token_learner")


def picture(height, width, seed):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


# Two views of two shapes in each sample.
SAMPLES = [[picture(28, 70, 0), picture(56, 56, 1)], [picture(90, 30, 2), picture(40, 41, 3)]]


def write_backbones(folder):
    """A SigLIP without an image processor, and a Gemma with its tokenizer."""
    AutoModel.from_config(AutoConfig.for_model(**SIGLIP)).save_pretrained(folder / "vision")
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**GEMMA)).save_pretrained(folder / "language")
    words = ["<pad>", "<eos>", "<bos>", "<unk>", *sorted({word for text in TEXTS for word in text.split()})]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    names = {f"{name}_token": f"<{name}>" for name in ("pad", "eos", "bos", "unk")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder / "language")


def own_processor(name, settings):
    """The class of PIL and numpy of this line."""
    return getattr(transformers, f"{name}Pil", None) or getattr(transformers, name), settings


@pytest.fixture
def folders(tmp_path):
    """`folders(tower config, own image processor)`: of the tower with its processor, and of a Gemma."""

    def write(config, own=None):
        write_backbones(tmp_path)
        weights_that_matter(AutoModel.from_config(config)).save_pretrained(tmp_path / "tower")
        if own is not None:
            own.save_pretrained(tmp_path / "tower")
        return str(tmp_path / "tower"), str(tmp_path / "language")

    return write


@pytest.fixture
def naflex(folders):
    """A model around a SigLIP 2 NaFlex, and the processor of both; further fields of the config."""

    def make(**fields):
        kind, settings = own_processor(*OWN["siglip2"])
        paths = folders(Siglip2VisionConfig(**NAFLEX), kind(**settings))
        model = MultimodalVLAForActionPrediction.from_backbones(*paths, **{**COMPOSED, **fields})
        weights_that_matter(model)
        return model, MultimodalVLAProcessor.from_backbones(*paths, model.config)

    return make


def inputs_of(processor, rows=(0, 1), side="right"):
    states = [[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, -0.2, -0.1]]
    samples, texts = [SAMPLES[i] for i in rows], [TEXTS[i] for i in rows]
    return dict(processor(images=samples, text=texts, state=[states[i] for i in rows], padding_side=side))


# ---- any tower


@pytest.mark.parametrize("tower", OWN)
def test_images_are_prepared_as_the_towers_own_image_processor_does(tower, tmp_path):
    kind, settings = own_processor(*OWN[tower])
    own = kind(**settings)
    own.save_pretrained(tmp_path / "tower")
    write_backbones(tmp_path)
    config = composed_config(**({"vision_config": Siglip2VisionConfig(**NAFLEX)} if tower == "siglip2" else {}))
    paths = str(tmp_path / "tower"), str(tmp_path / "language")
    processor = MultimodalVLAProcessor.from_backbones(*paths, config)
    found = inputs_of(processor)
    for i, sample in enumerate(SAMPLES):
        for j, view in enumerate(sample):
            wanted = own(images=[Image.fromarray(view)], return_tensors="pt")
            for name, value in wanted.items():
                torch.testing.assert_close(found[name][i, j], value[0], rtol=0, atol=0)
    tokenizer = AutoTokenizer.from_pretrained(paths[1])
    again = MultimodalVLAProcessor.for_config(config, tokenizer, image_processor=own)
    processor.save_pretrained(tmp_path / "all")
    loaded = MultimodalVLAProcessor.from_pretrained(tmp_path / "all")
    for other in (again, loaded):
        for name, value in inputs_of(other).items():
            torch.testing.assert_close(value, found[name], rtol=0, atol=0)
    settings = {"num_images_in_input": 2, "image_settings": {"do_normalize": False}}
    changed = MultimodalVLAProcessor.from_backbones(*paths, config, **settings)
    assert changed.image_processor.num_views == 2
    assert inputs_of(changed)["pixel_values"].min() >= 0 > found["pixel_values"].min()


def test_dinov3_has_pixels_without_torchvision(tmp_path):
    """Within the rounding to 8 bits of those of its own steps: bilinear and antialiased, ImageNet's statistics."""
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps(
            {"image_processor_type": "DINOv3ViTImageProcessorFast", "size": SQUARE, "resample": 2}
            | {"image_mean": mean, "image_std": std, "do_center_crop": None, "device": None, "crop_size": None}
        )
    )
    write_backbones(tmp_path)
    paths = str(tmp_path), str(tmp_path / "language")
    processor = MultimodalVLAProcessor.from_backbones(*paths, composed_config())
    found = inputs_of(processor)["pixel_values"][0, 0]
    pixels = torch.from_numpy(SAMPLES[0][0]).permute(2, 0, 1)[None] / 255
    wanted = F.interpolate(pixels, (28, 28), mode="bilinear", antialias=True)[0]
    shown = found * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
    assert (shown - wanted).abs().max() < 1.01 / 255


def test_a_tower_without_an_image_processor_is_named(tmp_path):
    write_backbones(tmp_path)
    with pytest.raises(ConfigError, match=r"has no image processor of transformers .* for_config has defaults"):
        MultimodalVLAProcessor.from_backbones(str(tmp_path / "vision"), str(tmp_path / "language"), composed_config())


def test_two_towers_share_pictures_in_the_statistics_that_each_was_published_with(tmp_path):
    write_backbones(tmp_path)
    second = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    config = composed_config(second_vision_config=Dinov2Config(**second))
    statistics = {"one": ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7]), "two": ([0.4] * 3, [0.25] * 3)}
    for name, (mean, std) in statistics.items():
        (tmp_path / name).mkdir()
        settings = {"image_processor_type": "ViTImageProcessor", "image_mean": mean, "image_std": std}
        (tmp_path / name / "preprocessor_config.json").write_text(json.dumps(settings))
    towers, text = [str(tmp_path / name) for name in statistics], str(tmp_path / "language")
    found = inputs_of(MultimodalVLAProcessor.from_backbones(towers, text, config))["pixel_values"]
    plain = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
    plain |= {f"second_{name}": value for name, value in plain.items()}
    scaled = inputs_of(MultimodalVLAProcessor.from_backbones(towers, text, config, **plain))["pixel_values"]
    assert found.shape[2:] == (6, 28, 28) and torch.equal(scaled[:, :, :3], scaled[:, :, 3:])
    for i, (mean, std) in enumerate(statistics.values()):
        mean, std = (torch.tensor(values)[:, None, None] for values in (mean, std))
        torch.testing.assert_close(found[:, :, 3 * i : 3 * i + 3], (scaled[:, :, :3] - mean) / std)
    with pytest.raises(ConfigError, match=r"has no image processor of transformers"):
        MultimodalVLAProcessor.from_backbones([towers[0], str(tmp_path / "vision")], text, config)


def test_pictures_that_come_out_in_different_sizes_are_refused(tmp_path):
    kind, settings = own_processor("CLIPImageProcessor", {"size": {"shortest_edge": 28}, "do_center_crop": False})
    write_backbones(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "language")
    processor = MultimodalVLAProcessor.for_config(composed_config(), tokenizer, image_processor=kind(**settings))
    with pytest.raises(InputError, match=r"CLIPImageProcessor.* does not make one batch of these pictures"):
        inputs_of(processor)


# ---- NaFlex


def test_what_enters_the_projector_are_the_patches_of_each_view(naflex):
    model, processor = naflex(projector_type="mlp")
    seen, inputs = [], inputs_of(processor)
    model.projector.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    model.predict_action(**inputs)
    counts = set()
    with torch.no_grad():
        for i in range(2):
            for j in range(2):
                one = {name: inputs[name][i, j][None] for name in model.backbone.image_arguments}
                wanted = model.backbone.vision_tower(**one).last_hidden_state[0]
                count = int(one["pixel_attention_mask"].sum())
                found = seen[0][i, 16 * j : 16 * j + count]
                torch.testing.assert_close(found, wanted[:count], **CLOSE)
                counts.add(count)
    assert len(counts) > 1 and max(counts) <= 16


@pytest.mark.parametrize("fusion", ["early", "cross_attention", "late", "film"])
@pytest.mark.parametrize("projector", PROJECTORS)
def test_padding_of_patches_and_prompts_changes_nothing(naflex, fusion, projector):
    model, processor = naflex(projector_type=projector, fusion=fusion)
    inputs = inputs_of(processor)
    alone = torch.cat([model.predict_action(**inputs_of(processor, [i], "left")) for i in range(2)])
    torch.testing.assert_close(model.predict_action(**inputs), alone, **CLOSE)
    padding = inputs["pixel_attention_mask"] == 0
    assert padding.any()
    inputs["pixel_values"] = inputs["pixel_values"].masked_fill(padding.unsqueeze(-1), 3.0)
    torch.testing.assert_close(model.predict_action(**inputs), alone, **CLOSE)


def test_a_naflex_tower_trains_is_written_and_loads(naflex, tmp_path):
    model, processor = naflex(freeze_vision_tower=False, action_head="discrete")
    inputs = inputs_of(processor)
    loss = model.train()(**inputs, actions=torch.zeros(2, 4, 3)).loss
    loss.backward()
    names = [name for name, p in model.backbone.vision_tower.named_parameters() if p.grad is not None and p.grad.any()]
    assert loss.isfinite() and any("patch_embedding" in name for name in names)
    found = model.eval().predict_action(**inputs)
    model.save_pretrained(tmp_path / "all"), processor.save_pretrained(tmp_path / "all")
    loaded = MultimodalVLAForActionPrediction.from_pretrained(tmp_path / "all").eval()
    again = MultimodalVLAProcessor.from_pretrained(tmp_path / "all")
    torch.testing.assert_close(loaded.predict_action(**inputs_of(again)), found, rtol=0, atol=0)


def test_patches_without_what_goes_with_them_are_refused(naflex):
    model, processor = naflex()
    inputs = inputs_of(processor)
    for name in ("pixel_attention_mask", "spatial_shapes"):
        with pytest.raises(InputError, match=rf"^{name} is missing: this vision tower reads pixel_values, .* together"):
            model.predict_action(**{key: value for key, value in inputs.items() if key != name})
    with pytest.raises(InputError, match=r"^images have the shapes pixel_values \(2, 2, 3, 28, 28\)"):
        model.predict_action(**{**inputs, "pixel_values": torch.zeros(2, 2, 3, 28, 28)})
    for name, shape in (("pixel_attention_mask", (2, 2, 3)), ("spatial_shapes", (2, 2, 1))):
        wrong = torch.ones(shape, dtype=torch.long)
        with pytest.raises(InputError, match=r"^images have the shapes .* or without views, are needed"):
            model.predict_action(**{**inputs, name: wrong})
    with pytest.raises(InputError, match=r"^image_sizes is no argument of this model"):
        model.predict_action(**inputs, image_sizes=torch.zeros(2, 2))
    one = {name: value[:, 0] if name in model.backbone.image_arguments else value for name, value in inputs.items()}
    views = {name: value[:, :1] if name in model.backbone.image_arguments else value for name, value in inputs.items()}
    torch.testing.assert_close(model.predict_action(**one), model.predict_action(**views))


def test_layers_do_not_look_at_the_padding_of_patches(naflex):
    with pytest.raises(ConfigError, match="projector_type='mlp' with fusion='gated_cross_attention'"):
        naflex(fusion="gated_cross_attention")
    model, processor = naflex(fusion="gated_cross_attention", projector_type="token_learner")
    assert model.predict_action(**inputs_of(processor)).isfinite().all()


def test_a_model_of_two_towers_reads_patches_and_gives_grounding(naflex):
    text = {"hidden_size": 24, **BLOCK, "vocab_size": 60, "max_position_embeddings": 16, "projection_size": 24}
    own = weights_that_matter(AutoModel.from_config(Siglip2Config(text_config=text, vision_config=NAFLEX)))
    config = composed_config(vision_config=own.config)
    model = MultimodalVLAForActionPrediction(config, {"vision_tower": own}).eval()
    _, processor = naflex()
    images = {name: value for name, value in inputs_of(processor).items() if name in model.backbone.image_arguments}
    ids = torch.tensor([[5, 6, 7], [8, 9, 4]])
    found = model.grounding_score(input_ids=ids, **images)
    with torch.no_grad():
        flat = {name: value.flatten(0, 1) for name, value in images.items()}
        output = own(input_ids=ids, **flat)
    cosines = F.normalize(output.image_embeds) @ F.normalize(output.text_embeds).T
    wanted = torch.stack([cosines[:2, 0], cosines[2:, 1]])
    torch.testing.assert_close(found, wanted, **CLOSE)
    assert found.shape == (2, 2) and (found[:, 0] - found[:, 1]).abs().min() > 1e-4
