"""Vision towers and text models of `from_backbones`, each in transformers' own class.

Their states are those of their own documented call, with padding; each trains, is written and loads.
"""

import inspect
import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_configs import COMPOSED, GEMMA, LLAMA, SIGLIP, STATE, TOWER, composed_config
from tiny_text_models import tiny_text_config, weights_that_matter
from tiny_towers import TEXTS, TOWERS, encoder_config, tower_config
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForTextEncoding,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction, trainable_parameter_groups
from vlahub.configuration.multimodal_vla.backbone_facts import FEATURE_MAPS, TEXT_ENCODERS, WIDTHS_OF_STAGES
from vlahub.errors import ConfigError, InputError
from vlahub.modeling.multimodal_vla.multimodal_inputs import TokenSequence
from vlahub.modeling.multimodal_vla.text_pooling import pooled_text
from vlahub.modeling.multimodal_vla.tower_outputs import tokens_of
from vlahub.training.multimodal_vla.collator_multimodal_vla import MultimodalVLACollator

CLOSE = {"atol": 2e-5, "rtol": 2e-5}
LENGTHS = (7, 4)
FUSIONS = ("early", "cross_attention", "late", "film")
STATISTICS = {"norm_stats": COMPOSED["norm_stats"]}


def slow_but(*fast):
    """Of a table of parameters those that are named run always, the others with the slow tests."""
    return lambda kinds: [kind if kind in fast else pytest.param(kind, marks=pytest.mark.slow) for kind in kinds]


every_tower = pytest.mark.parametrize("kind", slow_but("dinov3_vit", "resnet", "swin")(TOWERS))
every_encoder = pytest.mark.parametrize("kind", slow_but("bert", "t5")(TEXT_ENCODERS))


def composed(**fields):
    return weights_that_matter(MultimodalVLAForActionPrediction(composed_config(**fields)))


def inputs_of(config, size=28, side="right", rows=(0, 1)):
    """Two samples of different lengths with two views and a state, or some of them, padded on one side."""
    generator = torch.Generator().manual_seed(5)
    texts = [torch.randint(3, 200, (length,), generator=generator) for length in LENGTHS]
    pixels = torch.randn(2, 2, 3, size, size, generator=generator)
    states, noise = torch.randn(2, STATE, generator=generator), torch.randn(2, 4, 3, generator=generator)
    ids, mask = torch.full((len(rows), 9), 7), torch.zeros(len(rows), 9, dtype=torch.long)
    for place, i in enumerate(rows):
        part = slice(LENGTHS[i]) if side == "right" else slice(9 - LENGTHS[i], 9)
        ids[place, part], mask[place, part] = texts[i], 1
    rows = list(rows)
    given = {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels[rows], "state": states[rows]}
    return given | ({"noise": noise[rows]} if config.action_head == "flow" else {})


def check_step_and_round_trip(model, inputs, folder):
    """A training step has a gradient in every part, and what is written predicts the same."""
    actions = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(1))
    loss = model.train()(**inputs, actions=actions).loss
    loss.backward()
    parts = {
        name.split(".")[0] if "backbone" not in name else name.split(".")[1] for name, _ in model.named_parameters()
    }
    reached = {
        name
        for name in parts
        if any(name in n and p.grad is not None and p.grad.any() for n, p in model.named_parameters())
    }
    assert loss.isfinite() and reached == parts
    found = model.eval().predict_action(**inputs)
    model.save_pretrained(folder)
    loaded = MultimodalVLAForActionPrediction.from_pretrained(folder).eval()
    torch.testing.assert_close(loaded.predict_action(**inputs), found, rtol=0, atol=0)


# ---- vision


@every_tower
def test_what_enters_the_projector_is_what_the_tower_gives_for_each_view(kind, tmp_path):
    count, _ = TOWERS[kind]
    weights_that_matter(AutoModel.from_config(tower_config(kind))).save_pretrained(tmp_path / "vision")
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**LLAMA)).save_pretrained(tmp_path / "text")
    own = AutoModel.from_pretrained(tmp_path / "vision").eval()
    paths = str(tmp_path / "vision"), str(tmp_path / "text")
    model, seen = MultimodalVLAForActionPrediction.from_backbones(*paths, **COMPOSED).eval(), []
    model.projector.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    known = inspect.signature(own.forward).parameters
    for size in (64, 96):
        inputs = inputs_of(model.config, size)
        model.predict_action(**inputs)
        other = {"interpolate_pos_encoding": True} if size == 96 and "interpolate_pos_encoding" in known else {}
        wanted = []
        with torch.no_grad():
            for views in inputs["pixel_values"]:
                states = own(views, **other).last_hidden_state
                assert (states.dim() == 4) == (kind in FEATURE_MAPS)
                if states.dim() == 4:
                    rows, columns = states.shape[2:]
                    states = torch.stack([states[:, :, r, c] for r in range(rows) for c in range(columns)], dim=1)
                wanted.append(torch.cat(list(states)))
        torch.testing.assert_close(seen[-1], torch.stack(wanted), **CLOSE)
        assert size == 96 or seen[-1].shape == (2, 2 * count, 24)


@every_tower
def test_a_model_with_each_tower_trains_is_written_and_takes_rows_apart(kind, tmp_path):
    model = composed(vision_config=tower_config(kind), text_config=LLAMA, freeze_vision_tower=False)
    inputs = inputs_of(model.config, 64)
    check_step_and_round_trip(model, inputs, tmp_path)
    alone = [model.predict_action(**inputs_of(model.config, 64, "left", [i])) for i in range(2)]
    torch.testing.assert_close(model.predict_action(**inputs), torch.cat(alone), **CLOSE)


def test_a_swins_file_has_what_4_57_reads_on_both_lines(tmp_path):
    """5.x computes the places within windows; 4.57 reads them."""
    model = composed(vision_config=tower_config("swin"))
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    name = "backbone.vision_tower.encoder.layers.{}.blocks.0.attention.self.relative_position_index"
    for layer in range(2):
        assert weights[name.format(layer)].shape == (49, 49)
    assert weights[name.format(0)][:2, :3].tolist() == [[84, 83, 82], [85, 84, 83]]
    other = composed(vision_config=tower_config("swin"))
    torch.nn.init.zeros_(next(other.projector.parameters()))
    assert not other.load_state_dict(weights, strict=False).unexpected_keys
    assert torch.equal(next(other.projector.parameters()), next(model.projector.parameters()))


@pytest.mark.parametrize("kind", ["resnet", "swin"])
def test_a_frozen_tower_is_the_same_in_training(kind):
    """Batch norms would learn, and whole layers drop out."""
    changes = {"drop_path_rate": 0.9} if kind == "swin" else {}
    config = tower_config(kind)
    config.update(changes)
    model = composed(vision_config=config)
    before = {name: value.clone() for name, value in model.backbone.vision_tower.state_dict().items()}
    inputs = inputs_of(model.config, 64)
    actions = torch.zeros(2, 4, 3)
    wanted = model(**inputs, actions=actions).loss
    torch.testing.assert_close(model.train()(**inputs, actions=actions).loss, wanted)
    after = model.backbone.vision_tower.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert model.projector.training and not model.backbone.vision_tower.training
    model.backbone.vision_tower.requires_grad_(True)
    assert model.train().backbone.vision_tower.training


@pytest.mark.parametrize("kind", ["opt", "xglm", "biogpt", "falcon", "gpt2", "t5"])
@pytest.mark.parametrize("frozen_by", ["config", "stage"])
def test_a_frozen_text_model_is_the_same_in_training_however_it_is_checkpointed(kind, frozen_by):
    """Layers drop out by themselves, or by modules of theirs; those that are checkpointed ask whether they train."""
    config = encoder_config(kind)
    assert config.model_type == kind
    for name in ("dropout", "dropout_rate", "activation_dropout", "hidden_dropout", "hidden_dropout_prob"):
        if hasattr(config, name):
            setattr(config, name, 0.5)
    model = composed(text_config=config, freeze_language_model=frozen_by == "config")
    if frozen_by == "stage":
        trainable_parameter_groups(model, "A", action_loss_only=False)
    inputs = inputs_of(model.config) | {"actions": torch.zeros(2, 4, 3)}
    wanted = model(**inputs).loss
    with warnings.catch_warnings(action="ignore"):  # of names that go in transformers 6
        for call in ("eval", "train", "gradient_checkpointing_enable", "train"):
            getattr(model, call)(*[{"use_reentrant": False}] * ("enable" in call))
            loss = model(**inputs).loss
            torch.testing.assert_close(loss, wanted)
            loss.backward()
            torch.testing.assert_close(model(**inputs).loss, wanted)
        model.gradient_checkpointing_disable()
    torch.testing.assert_close(model(**inputs).loss, wanted)


@pytest.mark.parametrize("kind", ["opt", "falcon"])
def test_a_text_model_that_trains_again_drops_out_again(kind):
    config = tiny_text_config(kind)
    config.update({"dropout": 0.5, "hidden_dropout": 0.5})
    model = composed(text_config=config, freeze_language_model=True)
    inputs = inputs_of(model.config) | {"actions": torch.zeros(2, 4, 3)}
    with warnings.catch_warnings(action="ignore"):
        model.train().gradient_checkpointing_enable({"use_reentrant": False})
    model.language_part.requires_grad_(True)
    losses = {model.train()(**inputs).loss.item() for _ in range(3)}
    assert len(losses) == 3


def test_layers_of_a_frozen_text_model_are_checkpointed():
    model = composed(text_config=tiny_text_config("opt"), freeze_language_model=True)
    with warnings.catch_warnings(action="ignore"):
        model.train().gradient_checkpointing_enable({"use_reentrant": False})
    ran = []
    model.language_part.model.decoder.layers[0].fc1.register_forward_hook(lambda *_: ran.append(1))
    model(**inputs_of(model.config), actions=torch.zeros(2, 4, 3)).loss.backward()
    assert len(ran) == 2


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("resnet", (2, 4, 4, 24)), ("vit", (2, 24, 4, 4)), ("vit", (2, 9, 16)), ("vit", (2, 24))],
)
def test_features_of_another_form_are_refused(kind, shape):
    shown = re.escape(str(shape))
    with pytest.raises(ConfigError, match=rf"'{kind}' cannot be the vision tower .* shape {shown}, .* width 24"):
        tokens_of(torch.zeros(shape), tower_config(kind))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("efficientnet", "no vision tower with features of one width"),
        ("mobilevit", "no vision tower with features of one width"),
        ("detr", "no vision tower"),
        ("gpt2", "reads input_ids"),
        ("sam_vision_model", "another width than its layers"),
        ("vilt", "reads input_ids"),
        ("vit_mae", "at random"),
    ],
)
def test_a_vision_model_that_cannot_be_read_is_refused_before_weights_are_read(kind, reason, tmp_path, monkeypatch):
    AutoConfig.for_model(kind).save_pretrained(tmp_path / "vision")
    AutoConfig.for_model(**LLAMA).save_pretrained(tmp_path / "text")
    monkeypatch.setattr(AutoModel, "from_pretrained", None)
    with pytest.raises(ConfigError, match=rf"vision_config.model_type.*'{kind}'.*{reason}"):
        MultimodalVLAForActionPrediction.from_backbones(str(tmp_path / "vision"), str(tmp_path / "text"), **COMPOSED)


# Written out: the table of the package is what is asked.
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("dinat", "height, width, channels"),
        ("mgp-str", "characters"),
        ("pixtral", "sizes of its images"),
        ("sam_hq_vision_model", "another width"),
        ("swin2sr", "another picture"),
        ("timesformer", "videos"),
        ("videomae", "videos"),
        ("vit_mae", "at random"),
        ("vivit", "videos"),
    ],
)
def test_what_gives_no_features_of_a_picture_is_refused_wherever_a_tower_stands(kind, reason):
    for field in ("vision_config", "second_vision_config"):
        with pytest.raises(ConfigError, match=rf"^{field}.model_type='{kind}' cannot be the vision tower .*{reason}"):
            composed_config(**{field: AutoConfig.for_model(kind)})


# ---- text


@every_encoder
def test_an_encoder_has_the_states_of_its_own_call_on_either_side_of_padding(kind, tmp_path):
    """In both directions: the last token changes the first state."""
    auto = AutoModelForTextEncoding if kind in TEXTS else AutoModel  # of a T5, its encoder
    weights_that_matter(auto.from_config(encoder_config(kind))).save_pretrained(tmp_path / "text")
    AutoModel.from_config(AutoConfig.for_model(**SIGLIP)).save_pretrained(tmp_path / "vision")
    own = auto.from_pretrained(tmp_path / "text").eval()
    paths = str(tmp_path / "vision"), str(tmp_path / "text")
    backbone = MultimodalVLAForActionPrediction.from_backbones(*paths, **COMPOSED).eval().backbone
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(3, 200, (length,), generator=generator) for length in LENGTHS]
    with torch.no_grad():
        wanted = [own(input_ids=row[None]).last_hidden_state[0] for row in rows]
        for side in ("right", "left", "between"):
            ids, real = torch.full((2, 9), 7), torch.zeros(2, 9, dtype=torch.bool)
            for i, row in enumerate(rows):
                places = torch.arange(len(row)) + (9 - len(row) if side == "left" else 0)
                places = places + (9 - len(row)) * (places > 1) if side == "between" else places
                ids[i, places], real[i, places] = row, True
            found = backbone.run(TokenSequence(backbone.embed(ids), real))
            for i in range(2):
                torch.testing.assert_close(found[i][real[i]], wanted[i], **CLOSE)
        changed = rows[0].clone()
        changed[-1] += 1
        assert (own(input_ids=changed[None]).last_hidden_state[0, 0] - wanted[0][0]).abs().max() > 1e-3


@every_encoder
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("head", ["mlp", "flow"])
def test_a_model_with_each_encoder_trains_is_written_and_takes_rows_apart(kind, fusion, head, tmp_path):
    model = composed(text_config=encoder_config(kind), fusion=fusion, action_head=head, freeze_vision_tower=False)
    inputs = inputs_of(model.config)
    check_step_and_round_trip(model, inputs, tmp_path)
    alone = [model.predict_action(**inputs_of(model.config, 28, "left", [i])) for i in range(2)]
    torch.testing.assert_close(model.predict_action(**inputs), torch.cat(alone), atol=1e-4, rtol=1e-4)
    changed = {**inputs, "input_ids": inputs["input_ids"] + 1}
    assert (model.predict_action(**changed) - torch.cat(alone)).abs().max() > 1e-3


@pytest.mark.parametrize("tied", [True, False])
def test_of_a_whole_t5_the_encoder_is_read(tied, tmp_path):
    """Flan's ties no output embeddings."""
    fields = {**TEXTS["t5"], "num_decoder_layers": 1, "tie_word_embeddings": tied, "decoder_start_token_id": 0}
    whole = weights_that_matter(T5ForConditionalGeneration(T5Config(**fields)))
    whole.save_pretrained(tmp_path / "text")
    AutoModel.from_config(AutoConfig.for_model(**SIGLIP)).save_pretrained(tmp_path / "vision")
    paths = str(tmp_path / "vision"), str(tmp_path / "text")
    model = MultimodalVLAForActionPrediction.from_backbones(*paths, **COMPOSED).eval()
    ids = torch.tensor([[5, 9, 7, 1]])
    encoder = model.backbone.language_model
    assert type(encoder) is T5EncoderModel and not [n for n, _ in model.named_parameters() if "decoder" in n]
    with torch.no_grad():
        wanted = whole.get_encoder()(input_ids=ids).last_hidden_state
        found = model.backbone.run(TokenSequence(model.backbone.embed(ids), torch.ones_like(ids) > 0))
    torch.testing.assert_close(found, wanted, **CLOSE)
    check_step_and_round_trip(model.requires_grad_(True), inputs_of(model.config), tmp_path / "all")


def test_what_needs_a_language_model_is_refused_of_an_encoder():
    config = composed_config(text_config=encoder_config("bert"))
    model = MultimodalVLAForActionPrediction(config)
    inputs = inputs_of(model.config)
    text = {name: inputs[name] for name in ("input_ids", "attention_mask", "pixel_values")}
    with pytest.raises(ConfigError, match=r"action_head='discrete' scores tokens .*'bert' is an encoder"):
        composed_config(text_config=encoder_config("bert"), action_head="discrete")
    with pytest.raises(InputError, match=r"^generate needs a language model, .*'bert' is an encoder"):
        model.generate(**text)
    with pytest.raises(InputError, match=r"^labels needs a language model"):
        model(**inputs, labels=inputs["input_ids"])
    with pytest.raises(InputError, match=r"^a call without actions needs a language model"):
        model(**inputs)
    with pytest.raises(InputError, match=r"^learn_text=True: the text model is an encoder"):
        MultimodalVLACollator(config, SimpleNamespace(state_dim=STATE), learn_text=True)
    assert config.described["text encoder"] == "bert" and "language model" not in config.described


def test_a_roberta_that_is_a_decoder_is_a_language_model():
    config = tiny_text_config("roberta")
    assert not composed_config(text_config=config).writes_text
    config.is_decoder = True
    assert composed_config(text_config=config, action_head="discrete").writes_text


@pytest.mark.newest
@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float32])
def test_auto_is_the_dtype_of_the_language_model_for_all_parts(stored, tmp_path):
    other = torch.float32 if stored == torch.bfloat16 else torch.bfloat16
    for auto, part, dtype in ((AutoModel, SIGLIP, other), (AutoModelForCausalLM, LLAMA, stored)):
        config = AutoConfig.for_model(**part)
        weights_that_matter(auto.from_config(config)).to(dtype).save_pretrained(tmp_path / part["model_type"])
    model = MultimodalVLAForActionPrediction.from_backbones(
        *(str(tmp_path / part["model_type"]) for part in (SIGLIP, LLAMA)),
        dtype="auto",
        **{"action_head": "mlp", "action_dim": 3, "num_action_chunks": 2, **STATISTICS},
    )
    assert {p.dtype for p in model.parameters()} == {stored}
    assert model.predict_action(torch.full((1, 4), 5), torch.zeros(1, 1, 3, 28, 28)).shape == (1, 2, 3)


@pytest.mark.parametrize(("kind", "reason"), [("albert", "narrower"), ("electra", "narrower"), ("deberta", "is no")])
def test_an_encoder_that_is_not_proven_is_refused(kind, reason):
    with pytest.raises(ConfigError, match=rf"text_config.model_type.*'{kind}'.*{reason}"):
        MultimodalVLAConfig(vision_config=SIGLIP, text_config={"model_type": kind})


@pytest.mark.parametrize("head", ["mlp", "flow", "discrete"])
def test_an_opt_whose_tokens_are_narrower_than_its_layers(head, tmp_path):
    """OPT-350m: what it reads and its states have the width of its embeddings."""
    config = tiny_text_config("opt")
    config.word_embed_proj_dim, config.do_layer_norm_before = 16, False
    model = composed(text_config=config, action_head=head, freeze_vision_tower=False)
    assert model.config.hidden_size == 16
    check_step_and_round_trip(model, inputs_of(model.config), tmp_path)


LAST_LAYERS = {
    "bert": "encoder.layer.1.",
    "distilbert": "transformer.layer.1.",
    "t5": "encoder.block.1.",
    "gpt2": "transformer.h.1.",
    "opt": "model.decoder.layers.1.",
}


@pytest.mark.parametrize("kind", LAST_LAYERS)
def test_stages_of_training_find_the_layers_of_each_text_model(kind):
    model = composed(text_config=encoder_config(kind))
    text = {name for name, _ in model.named_parameters() if name.startswith("backbone.")}
    for stage, count in (("A", 0), ("B", 1)):
        trainable_parameter_groups(model, stage=stage, backbone_unfreeze_layers=count)
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        last = {name for name in text if name.startswith(f"backbone.language_model.{LAST_LAYERS[kind]}")}
        assert last and trained & text == (last if stage == "B" else set())
        assert any(name.startswith("projector.") for name in trained)


# ---- pooling


@pytest.mark.parametrize("side", ["left", "right", "between"])
def test_a_text_is_pooled_without_its_padding(side):
    generator = np.random.default_rng(0)
    states, real = generator.standard_normal((3, 6, 4)).astype(np.float32), np.zeros((3, 6), dtype=bool)
    for row, length in zip(real, (6, 3, 1), strict=True):
        row[{"left": slice(6 - length, 6), "right": slice(length), "between": slice(None, None, 6 // length)}[side]] = (
            True
        )
    for pooling in ("last", "cls", "mean"):
        found = pooled_text(torch.from_numpy(states), torch.from_numpy(real), pooling).numpy()
        for i in range(3):
            tokens = [states[i, j] for j in range(6) if real[i, j]]
            wanted = {"last": tokens[-1], "cls": tokens[0], "mean": sum(tokens) / len(tokens)}[pooling]
            np.testing.assert_allclose(found[i, 0], wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("fusion", ["late", "film"])
@pytest.mark.parametrize(("text", "pooling"), [("bert", "cls"), ("bert", "mean"), ("gemma", "last"), ("gemma", "mean")])
def test_pooled_text_reaches_the_prediction_and_rows_stay_apart(fusion, text, pooling, tmp_path):
    config = GEMMA if text == "gemma" else encoder_config(text)
    model = composed(text_config=config, fusion=fusion, text_pooling=pooling)
    found = []
    for side in ("left", "right"):
        inputs = inputs_of(model.config, 28, side)
        found.append(model.predict_action(**inputs))
    alone = torch.cat([model.predict_action(**inputs_of(model.config, rows=[i])) for i in range(2)])
    for one in found:
        torch.testing.assert_close(one, alone, **CLOSE)
    for other in (None, *({"last", "cls", "mean"} - {pooling})):
        model.config.text_pooling = other
        is_default = (fusion, pooling, other) == ("late", "last", None)
        assert torch.equal(model.predict_action(**inputs), found[1]) == is_default, other


@pytest.mark.parametrize("fusion", ["late", "film"])
def test_the_first_token_of_a_causal_model_stands_for_no_text(fusion):
    with pytest.raises(ConfigError, match=r"text_pooling='cls' .* in a 'gemma' sees nothing of the text"):
        composed_config(fusion=fusion, text_pooling="cls")
    with pytest.raises(ConfigError, match="text_pooling='first'"):
        composed_config(fusion=fusion, text_pooling="first")


def test_the_tables_of_facts_are_tested():
    assert {*FEATURE_MAPS, *WIDTHS_OF_STAGES} <= set(TOWERS) and set(TEXT_ENCODERS) <= set(CONFIG_MAPPING_NAMES)


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2"])
def test_a_towers_weights_are_written_with_the_level_that_one_line_lacks(kind, tmp_path):
    sizes = {**TOWER, "num_patches": 16} if kind == "siglip2" else TOWER
    model = composed(vision_config={"model_type": f"{kind}_vision_model", **sizes})
    model.save_pretrained(tmp_path)
    written = [name for name in load_file(tmp_path / "model.safetensors") if "vision_tower" in name]
    assert written and all(name.startswith("backbone.vision_tower.vision_model.") for name in written)
    again, wanted = MultimodalVLAForActionPrediction.from_pretrained(tmp_path).state_dict(), model.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in again.items())
