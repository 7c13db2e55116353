"""The text tower's tokenizer: it travels with the checkpoint, and the score is that of transformers' own two towers."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fresh_python import in_fresh_python
from tiny_configs import BLOCK, COMPOSED, LLAMA, TOWER
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModel,
    AutoProcessor,
    CLIPConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Siglip2Config,
    SiglipConfig,
)

from vlahub import MultimodalVLAForActionPrediction, MultimodalVLAProcessor
from vlahub.conversion.files.file_kinds import TOKENIZER, travelling
from vlahub.errors import ConfigError, InputError
from vlahub.processing.multimodal_vla import grounding_text
from vlahub.processing.multimodal_vla.grounding_text import GROUNDING_FILE, GroundingText, tokenizer_of_towers

WORDS = ["<pad>", "</s>", "<s>", "<unk>", *["a", "red", "cup", "on", "the", "table", "Red", "blue"]]
TEXTS = ["a red cup", "the blue table on the table"]
VIEWS = list(np.random.RandomState(0).randint(0, 256, (2, 28, 28, 3)).astype(np.uint8))
LENGTH = 9
TEXT_TOWER = {"hidden_size": 24, **BLOCK, "max_position_embeddings": LENGTH}
TOWERS = {
    "siglip": lambda: SiglipConfig(
        text_config={**TEXT_TOWER, "projection_size": 24, "vocab_size": len(WORDS)}, vision_config=TOWER
    ),
    "siglip2": lambda: Siglip2Config(
        text_config={**TEXT_TOWER, "projection_size": 24, "vocab_size": len(WORDS)},
        vision_config={name: value for name, value in TOWER.items() if name != "image_size"} | {"num_patches": 16},
    ),
    "clip": lambda: CLIPConfig(
        text_config={**TEXT_TOWER, "vocab_size": len(WORDS), "eos_token_id": 1, "bos_token_id": 2, "pad_token_id": 0},
        vision_config=TOWER,
        projection_dim=16,
    ),
}
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def word_tokenizer(words=WORDS, begins=False, lower=False):
    """Whole words, `</s>` behind them and `<s>` before them as CLIP has it."""
    raw = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.normalizer = normalizers.Lowercase() if lower else None
    single = "<s> $A </s>" if begins else "$A </s>"
    raw.post_processor = TemplateProcessing(single=single, special_tokens=[("<s>", 2), ("</s>", 1)])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=raw, **names)


@pytest.fixture(scope="module", params=TOWERS)
def towers(request, tmp_path_factory):
    """A folder with `vision` (two towers and their tokenizer) and `language`; the name of the towers."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    both = AutoModel.from_config(TOWERS[request.param]())
    with torch.no_grad():
        for name, start in (("logit_scale", 1.7), ("logit_bias", -2.5)):  # of which a CLIP has the first
            if hasattr(both, name):
                getattr(both, name).fill_(start)
    both.save_pretrained(folder / "vision")
    word_tokenizer(begins=request.param == "clip").save_pretrained(folder / "vision")
    LlamaForCausalLM(LlamaConfig(**{k: v for k, v in LLAMA.items() if k != "model_type"})).save_pretrained(
        folder / "language"
    )
    return folder, request.param


@pytest.fixture(scope="module")
def saved(towers, tmp_path_factory):
    """The checkpoint of a VLA over the towers, and what its own processor makes of `TEXTS`."""
    folder, out = towers[0], tmp_path_factory.mktemp("out")
    torch.manual_seed(1)
    model = MultimodalVLAForActionPrediction.from_backbones(
        str(folder / "vision"), str(folder / "language"), grounding=True, **COMPOSED
    )
    processor = MultimodalVLAProcessor.for_config(model.config, word_tokenizer([*WORDS[:4], "pick"]))
    model.save_pretrained(out), processor.save_pretrained(out)
    return out, processor([VIEWS, VIEWS[::-1]], TEXTS, grounding=True)


def test_the_score_is_that_of_the_two_towers_for_the_same_pictures_and_texts(towers, saved):
    folder, kind = towers
    tower = AutoModel.from_pretrained(folder / "vision")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "vision")
    padding = {"padding": "max_length", "max_length": LENGTH} if kind != "clip" else {"padding": True}
    model = MultimodalVLAForActionPrediction.from_pretrained(saved[0])
    inputs = AutoProcessor.from_pretrained(saved[0])([VIEWS, VIEWS[::-1]], TEXTS, grounding=True)
    found, logits = model.grounding_score(**inputs), model.grounding_score(**inputs, as_logits=True)
    assert found.shape == (2, 2) and (found[0] - found[1]).abs().max() > 1e-3
    text = tokenizer(TEXTS, return_tensors="pt", **padding)
    text = {"input_ids": text["input_ids"]} | ({"attention_mask": text["attention_mask"]} if kind == "clip" else {})
    for view in range(2):
        with torch.no_grad():
            pictures = {name: inputs[name][:, view] for name in inputs if name not in ("input_ids", "attention_mask")}
            wanted = tower(**pictures, **text)
        torch.testing.assert_close(logits[:, view], wanted.logits_per_image.diagonal(), **CLOSE)
        torch.testing.assert_close(found[:, view], (wanted.image_embeds * wanted.text_embeds).sum(-1), **CLOSE)


def test_a_batch_is_its_samples_and_pixels_are_those_of_a_prediction(saved):
    processor = MultimodalVLAProcessor.from_pretrained(saved[0])
    model = MultimodalVLAForActionPrediction.from_pretrained(saved[0])
    together = model.grounding_score(**saved[1])
    for i, views in enumerate((VIEWS, VIEWS[::-1])):
        one = processor(views, TEXTS[i], grounding=True)
        torch.testing.assert_close(model.grounding_score(**one), together[i : i + 1], **CLOSE)
        pixels = processor(views, "pick", state=[0.0] * 4)["pixel_values"]
        assert torch.equal(pixels, one["pixel_values"])
    assert isinstance(processor(VIEWS, "a cup", grounding=True, return_tensors="np")["input_ids"], np.ndarray)


def test_grounding_takes_views_and_texts_as_a_prediction_does(saved):
    processor = MultimodalVLAProcessor.from_pretrained(saved[0])
    plain = processor(VIEWS, TEXTS[0], grounding=True)
    processor.view_names, processor.prompt_template = ["top", "wrist"], "what is {instruction} ?"
    named = processor({"wrist": VIEWS[1], "top": VIEWS[0]}, f"what is {TEXTS[0]} ?", grounding=True)
    assert set(named) == set(plain) and all(torch.equal(named[name], plain[name]) for name in plain)
    with pytest.raises(InputError, match="return_tensors='tf'"):
        processor(VIEWS[:1] * 2, TEXTS[0], grounding=True, return_tensors="tf")


def test_the_tokenizer_is_a_file_of_the_checkpoint_and_is_saved_again(saved, tmp_path):
    processor = MultimodalVLAProcessor.from_pretrained(saved[0])
    processor.save_pretrained(tmp_path)
    assert tmp_path / GROUNDING_FILE in travelling(tmp_path, TOKENIZER)
    again = MultimodalVLAProcessor.from_pretrained(tmp_path)([VIEWS, VIEWS], TEXTS, grounding=True)
    assert torch.equal(again["input_ids"], saved[1]["input_ids"])
    deeper = GroundingText.load(tmp_path.parent, processor.grounding_config, subfolder=tmp_path.name, dtype="auto")
    assert deeper.tokenizer.special_tokens_map == processor.grounding_text.tokenizer.special_tokens_map
    assert (deeper.tokenizer.eos_token, deeper.tokenizer.unk_token) == ("</s>", "<unk>")
    spelt = processor(VIEWS, "a </s> cup", grounding=True)["input_ids"][0].tolist()
    assert [i for i in spelt if i not in (0, 2)][:4] == [4, 3, 6, 1]  # text: no word that it knows


SCORES = """
import json, sys
sys.modules["vlahub"] = None
import numpy as np, transformers
folder, texts, views = json.loads(sys.argv[1])
processor = transformers.AutoProcessor.from_pretrained(folder, trust_remote_code=True)
model = transformers.AutoModel.from_pretrained(folder, trust_remote_code=True)
views = np.array(views, dtype=np.uint8)
inputs = processor([list(views), list(views[::-1])], texts, grounding=True)
print("RESULT" + json.dumps([model.grounding_score(**inputs).tolist(), type(processor).__module__]))
"""


@pytest.mark.slow
def test_a_checkpoint_scores_where_vlahub_is_not(saved, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HF_MODULES_CACHE": str(tmp_path / "modules")}
    arguments = json.dumps([str(saved[0]), TEXTS, np.array(VIEWS).tolist()])
    child = in_fresh_python(["-I", "-c", SCORES, arguments], env=environment, cwd=tmp_path)
    assert child.returncode == 0, child.stderr
    scores, module = json.loads(child.stdout.split("RESULT")[1])
    wanted = MultimodalVLAForActionPrediction.from_pretrained(saved[0]).grounding_score(**saved[1])
    torch.testing.assert_close(torch.tensor(scores), wanted, **CLOSE)
    assert module.startswith("transformers_modules.")


def config_of(kind, **text):
    config = TOWERS[kind]()
    for name, value in text.items():
        setattr(config.text_config, name, value)
    return MultimodalVLAForActionPrediction.config_class(
        **{**COMPOSED, "use_state": False}, vision_config=config, text_config=LLAMA
    )


def made(config, tokenizer=None, **options):
    return MultimodalVLAProcessor.for_config(config, word_tokenizer([*WORDS[:4], "pick"]), tokenizer, **options)


def test_siglip_2_reads_lower_case(tmp_path):
    tokenizer = word_tokenizer()
    assert made(config_of("siglip"), tokenizer)(VIEWS, "a Red cup", grounding=True)["input_ids"][0, 1] == 10
    gemma = type("GemmaTokenizerFast", (PreTrainedTokenizerFast,), {})  # that of SigLIP 2's repositories
    gemma = gemma(tokenizer_object=tokenizer.backend_tokenizer, pad_token="<pad>", unk_token="<unk>")
    processor = made(config_of("siglip"), gemma)
    wanted = [4, 5, 6, 1, *[0] * (LENGTH - 4)]
    assert processor(VIEWS, "a Red cup", grounding=True)["input_ids"][0].tolist() == wanted
    processor.save_pretrained(tmp_path)
    assert (
        AutoProcessor.from_pretrained(tmp_path)(VIEWS, "a Red cup", grounding=True)["input_ids"][0].tolist() == wanted
    )


def test_siglip_2_reads_lower_case_by_any_tokenizer():
    processor = made(config_of("siglip2"), word_tokenizer())
    assert processor(VIEWS, "a Red cup", grounding=True)["input_ids"][0, :4].tolist() == [4, 5, 6, 1]


def test_a_text_has_a_token_and_a_tower_alone_has_no_tokenizer(tmp_path):
    tokenizer = word_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    text = GroundingText(tokenizer, {"max_length": LENGTH, "fills_length": True, "lower_case": False})
    assert text(["a"])["input_ids"][0, 0] == 4
    with pytest.raises(InputError, match=f"has 0 tokens for the text tower, which reads 1 to {LENGTH}"):
        text(["a", " "])
    nothing = SimpleNamespace(model_type="siglip", _name_or_path=str(tmp_path))
    assert tokenizer_of_towers(nothing) is None
    word_tokenizer().save_pretrained(tmp_path)
    alone, both = (
        SimpleNamespace(model_type=kind, _name_or_path=str(tmp_path)) for kind in ("siglip_vision", "siglip")
    )
    assert tokenizer_of_towers(alone) is None and tokenizer_of_towers(both).is_fast


def test_what_is_no_text_towers_tokenizer_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="ids up to 11, the text tower's vocab_size is 11; it must be the"):
        made(config_of("siglip", vocab_size=11), word_tokenizer())
    with pytest.raises(ConfigError, match=r"ends a text with id \[1\], and a clip reads the state of eos_token_id=7"):
        made(config_of("clip", eos_token_id=7), word_tokenizer())
    with pytest.raises(ConfigError, match="eos_token_id=11: is it"):
        made(config_of("clip", eos_token_id=2), word_tokenizer())  # the largest id, in configs of old
    with pytest.raises(ConfigError, match=r"has no tokenizer\.json"):
        made(config_of("siglip"), tmp_path)
    with pytest.raises(ConfigError, match="grounding_tokenizer is a object, which no single file holds"):
        made(config_of("siglip"), object())
    plain = config_of("siglip")
    plain.vision_config = plain.vision_config.vision_config
    with pytest.raises(ConfigError, match="grounding_tokenizer was given, but siglip_vision_model has no text tower"):
        made(plain, word_tokenizer())


def test_a_processor_without_a_text_tower_refuses_grounding_and_says_what_to_do():
    processor = made(config_of("siglip"))
    with pytest.raises(InputError, match="grounding=True needs the tokenizer of a text tower, and this"):
        processor(VIEWS, "a cup", grounding=True)
    processor = made(config_of("siglip"), word_tokenizer())
    with pytest.raises(InputError, match=f"has 11 tokens for the text tower, which reads 1 to {LENGTH}"):
        processor(VIEWS, "a red cup on the table a red cup on", grounding=True)
    plain, bare = (processor(VIEWS, "a cup", grounding=True, history=turns) for turns in (None, []))
    assert torch.equal(plain["input_ids"], bare["input_ids"])
    for name, value in {"history": ["a red cup"], "advantage": "positive"}.items():
        with pytest.raises(InputError, match=f"{name} was given with grounding=True"):
            processor(VIEWS, "a cup", grounding=True, **{name: value})
    with pytest.raises(InputError, match="must be as many"):
        processor([VIEWS], ["a cup", "a red cup"], grounding=True)


@pytest.mark.every_case
@pytest.mark.parametrize("found", [ImportError("sentencepiece"), KeyError("x"), ValueError("x"), "slow", "fast"])
def test_a_towers_tokenizer_is_its_file_where_its_class_needs_more_or_is_slow(found, monkeypatch, tmp_path):
    def from_pretrained(source):
        if isinstance(found, Exception):
            raise found
        return SimpleNamespace(is_fast=found == "fast")

    word_tokenizer().save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "SiglipTokenizer"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    monkeypatch.setattr(grounding_text, "AutoTokenizer", SimpleNamespace(from_pretrained=from_pretrained))
    tokenizer = grounding_text.loaded_tokenizer(tmp_path)
    if found == "fast":
        assert isinstance(tokenizer, SimpleNamespace)
    else:
        assert tokenizer("a red cup").input_ids == word_tokenizer()("a red cup").input_ids


@pytest.mark.parametrize("kind", ["PreTrainedTokenizerFast", "TokenizersBackend"])
def test_a_tokenizer_that_its_file_says_all_of_is_read_as_it_stands(kind, monkeypatch, tmp_path):
    word_tokenizer().save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": kind}))
    monkeypatch.setattr(grounding_text, "AutoTokenizer", None)
    assert type(grounding_text.loaded_tokenizer(tmp_path)).__name__ in ("PreTrainedTokenizerFast", "TokenizersBackend")
