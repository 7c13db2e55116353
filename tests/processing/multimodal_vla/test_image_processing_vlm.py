"""A VLM's own processor kept as settings: what is given wins, nothing is kept by reference, classes go by one name."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import transformers
from tiny_vlms import tiny_vlm, tokenizer_with

from vlahub import VLMImageProcessor
from vlahub.errors import ConfigError, InputError
from vlahub.processing.multimodal_vla import image_processing_vlm, own_classes_of_vlms
from vlahub.processing.multimodal_vla.image_processing_tower import TowerImageProcessor
from vlahub.processing.multimodal_vla.image_processing_vlm import (
    made,
    own_processor_from,
    portable_settings,
    uses_torchvision,
    without_parts,
    without_videos,
)
from vlahub.processing.multimodal_vla.own_classes_of_vlms import (
    image_processor_class,
    missing_backends,
    processor_class,
    root_of,
    without_backend,
)
from vlahub.processing.multimodal_vla.pixtral_prompts import PixtralProcessor

CLIP = {"image_processor_type": "CLIPImageProcessor", "crop_size": {"height": 28, "width": 28}}


def lines(monkeypatch, version, **classes):
    """transformers of a line, with image processors of these names."""
    monkeypatch.setattr(own_classes_of_vlms, "transformers", SimpleNamespace(__version__=version, **classes))
    monkeypatch.setattr(own_classes_of_vlms, "IS_4", version.startswith("4."))


# Settings


def test_settings_are_not_the_callers():
    images, words = {**CLIP, "crop_size": {"height": 28, "width": 28}}, {"sizes": [1]}
    processor = VLMImageProcessor("LlavaProcessor", words, images)
    images["crop_size"]["height"] = words["sizes"][0] = 7
    assert processor.image_settings == CLIP and processor.vlm_processor_settings == {"sizes": [1]}


def test_views_go_by_either_of_their_names_and_are_counted():
    assert VLMImageProcessor(image_settings=CLIP, num_views=3).num_images_in_input == 3
    assert VLMImageProcessor(image_settings=CLIP, num_views=3, num_images_in_input=2).num_views == 2
    assert VLMImageProcessor(image_settings=CLIP).num_views is None
    with pytest.raises(ConfigError, match="num_views=0"):
        VLMImageProcessor(image_settings=CLIP, num_images_in_input=0)
    with pytest.raises(ConfigError, match="'NoSuch' cannot be used here"):
        VLMImageProcessor(image_settings={"image_processor_type": "NoSuch"})


def test_what_is_given_wins_over_what_a_processor_has_and_the_rest_stays():
    _, own = tiny_vlm("idefics3")
    found = VLMImageProcessor.around(own)
    assert found.vlm_processor_class == "Idefics3Processor" and not found.use_torchvision
    assert found.image_settings["image_processor_type"] == "Idefics3ImageProcessor"
    assert found.image_settings["do_image_splitting"] and "processor_class" not in found.image_settings
    other = VLMImageProcessor.around(
        own,
        image_settings={"do_image_splitting": False},
        vlm_processor_settings={"image_seq_len": 9},
        use_torchvision=True,
        num_views=2,
    )
    assert other.image_settings == {**found.image_settings, "do_image_splitting": False}
    assert (other.vlm_processor_settings, other.use_torchvision, other.num_views) == ({"image_seq_len": 9}, True, 2)
    assert other.own_processor(own.tokenizer).image_seq_len == 9


def test_an_image_processor_of_torchvision_stays_one():
    kind = "CLIPImageProcessor" + "Fast" * transformers.__version__.startswith("4.")
    images = type(kind, (), {"to_dict": lambda self: {"do_resize": False}})()
    own = type("LlavaProcessor", (), {"image_processor": images, "to_dict": lambda self: {}})()
    found = VLMImageProcessor.around(own)
    assert found.use_torchvision and not VLMImageProcessor.around(own, use_torchvision=False).use_torchvision
    assert found.image_settings == {"do_resize": False, "image_processor_type": "CLIPImageProcessor"}


def test_what_is_given_wins_over_the_class_of_a_towers_own_processor():
    own = image_processor_class("CLIPImageProcessor", False)()
    assert not TowerImageProcessor.around(own).use_torchvision
    assert TowerImageProcessor.around(own, use_torchvision=True).use_torchvision


def test_a_towers_settings_are_read_by_their_older_names_and_are_not_the_callers():
    settings = {"feature_extractor_type": "ViTFeatureExtractor", "size": {"height": 28, "width": 28}}
    processor = TowerImageProcessor.of_settings(settings | {"_processor_class": "AutoProcessor"})
    settings["size"]["height"] = 7
    kept = {"image_processor_type": "ViTImageProcessor", "size": {"height": 28, "width": 28}}
    assert processor.image_settings == kept
    with pytest.raises(ConfigError, match="num_views=0"):
        TowerImageProcessor.of_settings(kept, num_views=0)
    with pytest.raises(ConfigError, match="name no image_processor_type"):
        TowerImageProcessor.of_settings({"size": 28})


def test_a_towers_processor_takes_no_option_in_a_call():
    processor = TowerImageProcessor({**CLIP, "image_processor_type": "CLIPImageProcessor"})
    with pytest.raises(InputError, match=r"unknown options \['do_resize'\]"):
        processor([np.zeros((28, 28, 3), np.uint8)], do_resize=False)


def test_a_vlms_processor_is_read_as_its_files_have_it(tmp_path):
    """Its class may stand in the file of the image processor alone, as in older folders."""
    _, own = tiny_vlm("llava_next")
    own.chat_template, own.num_additional_image_tokens = "{{ messages }}", 5
    own.image_processor.do_normalize = False
    own.save_pretrained(tmp_path)
    found = own_processor_from(tmp_path)
    assert type(found).__name__ == "LlavaNextProcessor" and found.chat_template == "{{ messages }}"
    assert found.num_additional_image_tokens == 5 and not found.image_processor.do_normalize
    settings = own.image_processor.to_dict() | {"processor_class": "LlavaProcessor"}
    for path in tmp_path.glob("*processor_config.json"):
        path.unlink()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings, default=str))
    assert type(own_processor_from(tmp_path)).__name__ == "LlavaProcessor"


def test_arguments_of_a_call_reach_the_vlms_image_processor():
    processor = VLMImageProcessor(image_settings=CLIP)
    picture = np.zeros((28, 28, 3), np.uint8)
    found = processor(picture, return_tensors="np", do_normalize=False)["pixel_values"]
    assert isinstance(found, np.ndarray) and not found.any()
    assert processor(picture, return_tensors="pt")["pixel_values"].lt(0).all()


def test_numbers_of_pixels_reach_an_image_processor_that_does_not_read_sizes(monkeypatch):
    """Qwen's on 4.57, whose saved settings have both; a number that is given by its own name wins."""

    class Images:
        def __init__(self, min_pixels=1, max_pixels=2, size=None):
            self.pixels = min_pixels, max_pixels

    monkeypatch.setattr(image_processing_vlm, "image_processor_class", lambda name, use_torchvision: Images)
    size = {"shortest_edge": 16, "longest_edge": 64}
    for settings, wanted in (
        ({"size": size}, (16, 64)),
        ({"size": size, "max_pixels": 32}, (16, 32)),
        ({"size": {"longest_edge": 64}}, (1, 64)),
        ({}, (1, 2)),
    ):
        assert VLMImageProcessor(image_settings=settings).own_image_processor().pixels == wanted


def test_settings_of_a_processor_are_those_of_its_arguments_that_json_can_hold():
    class Own:
        def __init__(self, image_processor, tokenizer, text="", count=0, share=0.0, names=(), sizes=None, other=None):
            pass

    kept = {"text": "a", "count": 3, "share": 0.5, "names": ["b"], "sizes": {"c": 1}}
    given = {**kept, "other": object(), "image_processor": "I", "tokenizer": "T", "unknown": 1}
    assert portable_settings(given, Own) == kept


def test_a_class_that_needs_what_is_not_installed_is_refused_with_the_reason():
    def kind(**arguments):
        raise ImportError("A needs B. Install it.") from ImportError("no module named b. Sorry.")

    with pytest.raises(ConfigError, match=r"kind of transformers cannot be used here: no module named b\.$"):
        made(kind, {})


def test_videos_are_left_out_where_they_are_the_last_part():
    class Own:
        attributes = ["image_processor", "tokenizer", "video_processor"]

        def __init__(self, image_processor=None, tokenizer=None, video_processor=None):
            pass

    class Before:
        def __init__(self, image_processor=None, video_processor=None, tokenizer=None):
            pass

    images = object()
    assert without_videos(Own).attributes == ["image_processor", "tokenizer"]
    assert without_parts(without_videos(Own), images) == {"video_processor": None}
    assert without_videos(Before).attributes == ["image_processor", "video_processor", "tokenizer"]
    assert without_parts(without_videos(Before), images) == {"video_processor": images}
    assert without_parts(without_videos(processor_class("LlavaProcessor")), images) == {}
    # An image processor in the place of one for videos passes for one, and classes that 4.57 would refuse are taken.
    assert without_videos(Before)().check_argument_for_proper_class("video_processor", images) is object
    assert not hasattr(without_videos(Own), "check_argument_for_proper_class")
    kinds = {(kind.image_processor_class, kind.tokenizer_class) for kind in map(without_videos, (Own, Before))}
    assert kinds == {("AutoImageProcessor", "AutoTokenizer")}


# Classes


@pytest.mark.parametrize(("version", "plain", "tensors"), [("4.57.6", "A", "AFast"), ("5.1.0", "APil", "A")])
def test_of_two_image_processors_the_one_asked_for_is_taken_where_it_can_be_used(version, plain, tensors, monkeypatch):
    of_pil, of_torch = type(plain, (), {}), type(tensors, (), {})
    lines(monkeypatch, version, **{plain: of_pil, tensors: of_torch})
    assert image_processor_class("A", False) is of_pil and image_processor_class("A", True) is of_torch
    for name, other in ((plain, of_torch), (tensors, of_pil)):
        lines(monkeypatch, version, **{other.__name__: other})
        assert image_processor_class("A", name == tensors) is other
    of_torch._backends = ["torch", "no_such_package"]
    lines(monkeypatch, version, **{plain: of_pil, tensors: of_torch})
    assert image_processor_class("A", True) is of_pil
    lines(monkeypatch, version, **{tensors: of_torch})
    with pytest.raises(ConfigError, match=r"'A' cannot be used here: it needs no_such_package \(pip install no_such"):
        image_processor_class("A", False)
    assert list(missing_backends(of_torch)) == ["no_such_package"] and not list(missing_backends(of_pil))
    monkeypatch.setattr(image_processing_vlm, "IS_4", version.startswith("4."))
    assert uses_torchvision(tensors) and not uses_torchvision(plain)
    assert without_backend(plain) == without_backend(tensors) == "A"


def test_a_processor_that_shares_anothers_file_and_one_that_writes_images_as_another_are_found():
    assert processor_class("SmolVLMProcessor").__name__ == "Idefics3Processor"
    assert processor_class("LlavaProcessor").__module__.endswith("llava.processing_llava")
    with pytest.raises(ConfigError, match=r"'VideoProcessor' cannot be used here: transformers .* none of this name"):
        processor_class("VideoProcessor")


def test_a_processor_is_looked_for_in_the_file_of_each_kind_that_has_it(monkeypatch):
    kinds = {"llama": "LlavaProcessor", "clip": "LlavaProcessor", "llava": "LlavaProcessor"}
    monkeypatch.setattr(own_classes_of_vlms, "PROCESSOR_MAPPING_NAMES", kinds)
    assert processor_class("LlavaProcessor").__name__ == "LlavaProcessor"
    del kinds["llava"], kinds["clip"]
    with pytest.raises(ConfigError, match=r"'LlavaProcessor' cannot be used here: transformers .* none of this name"):
        processor_class("LlavaProcessor")


def test_a_processor_whose_file_needs_what_is_not_installed_says_so_or_is_ours(monkeypatch):
    def refuse(name):
        raise ModuleNotFoundError("No module named 'tea'. Or so.", name="tea")

    monkeypatch.setattr(own_classes_of_vlms.importlib, "import_module", refuse)
    with pytest.raises(ConfigError, match=r"cannot be used here: No module named 'tea' \(pip install tea\)\.$"):
        processor_class("LlavaProcessor")
    assert processor_class("PixtralProcessor") is PixtralProcessor


def test_the_reason_of_an_error_is_the_first_sentence_of_what_it_began_with():
    first, second = ValueError("one\n  two. Three."), RuntimeError("four. five")
    second.__cause__ = first
    assert root_of(second) == "one two" and root_of(ValueError("six.")) == "six"


def test_a_processor_takes_the_settings_that_it_was_made_with():
    settings = {"patch_size": 14, "vision_feature_select_strategy": "full", "num_additional_image_tokens": 3}
    own = VLMImageProcessor("LlavaProcessor", settings, CLIP).own_processor(tokenizer_with("<image>"))
    assert {name: getattr(own, name) for name in settings} == settings
