"""What `from_pretrained` of processors is given: words that nobody reads, and places where no processor of ours is."""

import contextlib
import inspect
import json
import shutil

import pytest
import transformers

import vlahub
from vlahub.errors import CheckpointError, ConfigError
from vlahub.finetuning import FinetuneOptions, make_arguments, prepare_finetuning
from vlahub.processing.component_settings import check_same_settings

PASSED = {"trust_remote_code": False, "revision": "main", "subfolder": "", "token": "x", "use_fast": True}
PASSED |= {"dtype": "auto"}
PASSED |= {"cache_dir": None, "force_download": False, "local_files_only": True, "code_revision": None}
PASSED |= {"truncation_side": "right", "model_max_length": 99, "backend": "tokenizers", "device_map": "cpu"}
PASSED |= {"attn_implementation": "eager", "low_cpu_mem_usage": True, "use_safetensors": True, "variant": None}


@pytest.fixture(params=["class", "Auto"])
def load(request, family, family_checkpoint):
    kind = family.processor if request.param == "class" else transformers.AutoProcessor
    return lambda **words: kind.from_pretrained(str(family_checkpoint), **words)


@pytest.mark.parametrize(
    ("word", "meant"),
    [("view_name", "view_names"), ("misspelt", "lists those there are"), ("advantage_templates", "advantage_template")],
)
def test_a_word_that_nobody_reads_is_refused_with_what_may_be_meant(word, meant, load):
    with pytest.raises(ConfigError, match=f"from_pretrained has no argument {word}=1; .*{meant}"):
        load(**{word: 1})


def test_what_no_argument_is_left_of_is_refused(family, family_checkpoint):
    with pytest.raises(ConfigError, match="return_unused_kwargs=True: a processor and its parts leave no argument"):
        family.processor.from_pretrained(str(family_checkpoint), return_unused_kwargs=True)


def test_words_of_loaders_tokenizers_and_parts_pass(load, family):
    loaded = load(**PASSED)
    assert loaded.tokenizer.model_max_length == 99
    name = next(iter(set(family_words(loaded.image_processor)) & {"image_mean", "num_views", "num_images_in_input"}))
    value = {"image_mean": [0.25, 0.5, 0.75]}.get(name, 3)
    assert getattr(load(**{name: value}).image_processor, name) == value


# Words that some family reads, and whatever image processors of transformers read.
OF_SOME = {"prompt_template": "do {instruction}", "action_dim": 7, "padding_side": "left", "image_token": "<i>"}
OF_SOME |= {"num_history_tokens": 48, "proprio_dim": 8, "normalization_type": "bounds", "camera_labels": True}
OF_TRANSFORMERS = {"image_mean": [0.25] * 3, "do_resize": False, "resample": 0, "do_normalize": False}
OF_TRANSFORMERS |= {"rescale_factor": 0.5, "size": {"height": 56, "width": 56}, "crop_size": 8, "center_crop": True}


@pytest.mark.parametrize("word", OF_SOME | OF_TRANSFORMERS | {"do_lower_case": True, "legacy": False})
def test_a_word_of_another_family_is_refused_and_its_own_read(word, load, family):
    value = (OF_SOME | OF_TRANSFORMERS).get(word, True)
    images = load().image_processor
    own = {name for name in inspect.signature(family.processor.__init__).parameters if name != "kwargs"}
    if word not in own | set(images.arguments):
        with pytest.raises(ConfigError, match=f"has no argument {word}="):
            load(**{word: value})
    elif word in OF_TRANSFORMERS:
        assert getattr(load(**{word: value}).image_processor, word) == value != getattr(images, word)


@pytest.mark.parametrize("word", OF_TRANSFORMERS)
def test_an_image_processor_on_its_own_refuses_the_words_of_others(word, load, family_checkpoint):
    kind = type(load().image_processor)
    if word in kind.arguments:
        return
    for loader in (kind, transformers.AutoImageProcessor):
        with pytest.raises(ConfigError, match=f"{kind.__name__} has no argument {word}="):
            loader.from_pretrained(family_checkpoint, **{word: OF_TRANSFORMERS[word]})
    with pytest.raises(ConfigError, match=f"{kind.__name__} has no argument {word}="):
        kind(**{word: OF_TRANSFORMERS[word]})


def test_the_file_of_an_image_processor_may_hold_fields_of_another_release(load, family_checkpoint, tmp_path):
    folder = shutil.copytree(family_checkpoint, tmp_path / "checkpoint")
    for path in (folder / "preprocessor_config.json", folder / "processor_config.json"):
        fields = json.loads(path.read_text())
        part = fields.get("image_processor", fields)
        part |= {"do_resize": True, "of_tomorrow": 3}
        path.write_text(json.dumps(fields))
    found = type(load()).from_pretrained(folder).image_processor
    assert (found.do_resize, found.of_tomorrow) == (True, 3)
    assert transformers.AutoImageProcessor.from_pretrained(folder).to_dict()["of_tomorrow"] == 3


def test_words_of_a_processor_do_not_disturb_its_tokenizer(load, capfd):
    load(view_names=None, advantage_template="{instruction} {advantage}")
    assert "instantiate a model of type" not in capfd.readouterr().err


def family_words(image_processor):
    return type(image_processor).arguments


def test_a_misspelt_word_of_an_image_processor_is_refused_there_too(family_checkpoint, family):
    kind = getattr(vlahub, f"{family.prefix}Processor").from_pretrained(family_checkpoint).image_processor
    word = kind.arguments[0]
    for loader in (type(kind), transformers.AutoImageProcessor):
        with pytest.raises(ConfigError, match=f"has no argument {word}z=1: did you mean {word}?"):
            loader.from_pretrained(family_checkpoint, **{f"{word}z": 1})


@pytest.mark.newest
def test_what_an_image_processor_saves_is_what_its_processor_reads(load, family, family_checkpoint, tmp_path):
    folder = shutil.copytree(family_checkpoint, tmp_path / "checkpoint")
    found = load().image_processor
    name = next(iter(set(family_words(found)) & {"image_mean", "num_views", "num_images_in_input"}))
    value = {"image_mean": [0.25, 0.5, 0.75]}.get(name, 3)
    setattr(found, name, value)
    found.save_pretrained(folder)
    for kind in (family.processor, transformers.AutoProcessor):
        assert getattr(kind.from_pretrained(str(folder)).image_processor, name) == value


@pytest.mark.newest
def test_tokens_and_templates_of_an_earlier_processor_do_not_outlive_the_next(load, tmp_path):
    names = ["chat_template.jinja", "chat_template.json", "special_tokens_map.json", "added_tokens.json"]
    names.append("additional_chat_templates/tools.jinja")
    (tmp_path / "additional_chat_templates").mkdir()
    for name in names:
        (tmp_path / name).write_text('{"pad_token": "of another"}')
    processor = load()
    processor.save_pretrained(tmp_path)
    assert [
        name for name in names if (tmp_path / name).is_file() and "of another" in (tmp_path / name).read_text()
    ] == []
    again = type(processor).from_pretrained(tmp_path)
    assert again.tokenizer.pad_token == processor.tokenizer.pad_token
    assert again.chat_template == processor.chat_template


@pytest.mark.newest
def test_settings_of_images_that_differ_between_two_files_are_refused(load, family, family_checkpoint, tmp_path):
    folder = shutil.copytree(family_checkpoint, tmp_path / "checkpoint")
    path, others = folder / "preprocessor_config.json", folder / "processor_config.json"
    before, fields = json.loads(path.read_text()), json.loads(others.read_text())
    name = next(iter(set(family_words(load().image_processor)) & before.keys()))
    write(others, fields | {"image_processor": before | {"processor_class": "Of5", "_of_transformers": 1}})
    kinds = (family.processor, transformers.AutoProcessor)
    for kind in kinds:
        kind.from_pretrained(str(folder))
    if transformers.__version__.startswith("4."):  # the change is in the file that this line does not read
        write(others, fields | {"image_processor": before | {name: [0.9, 0.8, 0.7]}})
    else:
        write(path, before | {name: [0.9, 0.8, 0.7]})
    for kind in kinds:
        with pytest.raises(CheckpointError, match=rf"say different things.*: {name} \(.*\[0.9, 0.8, 0.7\]"):
            kind.from_pretrained(str(folder))


@pytest.mark.parametrize(
    ("own", "nested", "said"),
    [
        ({"size": 1, "_made_by": 1, "feature_extractor_type": "A"}, {"size": 1}, None),
        ({"size": 1}, {}, r"size \(1 and None\)"),
        ({}, {"size": 2}, r"size \(None and 2\)"),
        (None, {"size": 2}, None),
        ({"size": 1}, None, None),
    ],
)
def test_settings_are_compared_where_both_files_have_them(own, nested, said, tmp_path):
    folder = tmp_path / "deeper"
    folder.mkdir()
    if own is not None:
        write(folder / "preprocessor_config.json", own)
    write(folder / "processor_config.json", {} if nested is None else {"image_processor": nested})
    check_same_settings(tmp_path, {"subfolder": "", "other": 1})
    with pytest.raises(CheckpointError, match=said) if said else contextlib.nullcontext():
        check_same_settings(tmp_path, {"subfolder": "deeper", "other": 1})


KINDS = [vlahub.CogVLAProcessor, vlahub.CogVLAImageProcessor, vlahub.CogVLAConfig, vlahub.CogVLAForActionPrediction]


def finetuning_of(folder, output):
    options = FinetuneOptions(model=str(folder), dataset="nowhere")
    return prepare_finetuning(options, make_arguments(output_dir=str(output)))


PLACES = {  # what lies there, and what is said of it
    "nothing": (shutil.rmtree, "there is no such folder"),
    "an empty folder": (lambda folder: None, "is empty, or not there"),
    "a config of nobody": (lambda folder: write(folder / "config.json", {"hello": 1}), "holds no p|no field of a"),
    "a published model": (lambda folder: write_published(folder), "vlahub convert"),
}


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")


def write_published(folder):
    write(folder / "config.json", {"model_type": "openvla", "architectures": ["OpenVLAForActionPrediction"]})
    write(folder / "preprocessor_config.json", {"processor_class": "PrismaticProcessor"})


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", [*KINDS, None], ids=lambda kind: getattr(kind, "__name__", "training"))
def test_a_place_without_a_checkpoint_of_ours_is_named_with_what_to_do(kind, place, tmp_path):
    folder = tmp_path / "place"
    folder.mkdir()
    make, words = PLACES[place]
    if place == "a published model" and kind is vlahub.CogVLAImageProcessor:
        pytest.skip("reads the published file, as its settings are there")
    if place == "a config of nobody" and kind is None:
        pytest.skip("transformers says that the model_type is missing")
    make(folder)
    with pytest.raises(CheckpointError, match=words):
        finetuning_of(folder, tmp_path / "out") if kind is None else kind.from_pretrained(str(folder))


BROKEN = {  # what is done to tokenizer.json, and to tokenizer_config.json
    "a token without an id": (lambda content: content["added_tokens"][0].pop("id"), None),
    "tokens that are a number": (lambda content: content.update(added_tokens=5), None),
    "no model": (lambda content: content.pop("model"), None),
    "a setting of the class": (None, lambda content: content.update(__class__=5)),
    "a side that is none": (None, lambda content: content.update(padding_side=0.5)),
    "a token that is a list": (None, lambda content: content.update(pad_token=["<pad>", 5])),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_tokenizer_is_named(name, family, family_checkpoint, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(family_checkpoint, folder)
    for file, change in zip(("tokenizer.json", "tokenizer_config.json"), BROKEN[name], strict=True):
        if change:
            content = json.loads((folder / file).read_text(encoding="utf-8"))
            if name == "a token without an id" and not content["added_tokens"]:
                pytest.skip("it has no added tokens")
            change(content)
            write(folder / file, content)
    with pytest.raises(CheckpointError, match="cannot be read"):
        family.processor.from_pretrained(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_setting_that_json_has_not_is_not_saved(value, family, family_checkpoint, tmp_path):
    shutil.copytree(family_checkpoint, tmp_path / "copy")
    path = tmp_path / "copy/tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"scale": value}), encoding="utf-8")
    processor = family.processor.from_pretrained(tmp_path / "copy")
    with pytest.raises(ConfigError, match=r"tokenizer_config\.json would hold a number that JSON has not"):
        processor.save_pretrained(tmp_path / "saved")
