"""What the sequence of a composed VLA is counted and hidden by: labels, windows, positions, the end of a prompt."""

from types import SimpleNamespace

import pytest
import torch

from vlahub.modeling.multimodal_vla import fusion, language_model_rules
from vlahub.modeling.multimodal_vla.language_masks import COUNTS_PLACES, counts_places, windows_below
from vlahub.modeling.multimodal_vla.multimodal_inputs import Prompt


def test_text_is_written_from_the_first_label_on(monkeypatch):
    class Asked(Exception):
        pass

    def look(parts, prompt, behind, written, answer_mask):
        raise Asked(written.tolist())

    monkeypatch.setattr(fusion, "sequence_with_images", look)
    parts = SimpleNamespace(action_queries=None, state_tokens=lambda state: [])
    prompt = SimpleNamespace(input_ids=torch.zeros(1, 5), real=torch.ones(1, 5, dtype=torch.bool))
    for labels, written in (([-100, -100, 7, -100, 8], [0, 0, 1, 1, 1]), ([-100] * 5, [0] * 5), (None, [0] * 5)):
        with pytest.raises(Asked) as found:
            fusion.fuse_early(parts, None, prompt, None, None if labels is None else torch.tensor([labels]), None)
        assert found.value.args == ([[bool(one) for one in written]],)


FULL, SLIDING = "full_attention", "sliding_attention"


@pytest.mark.parametrize(
    ("kinds", "window", "found"),
    [
        ([FULL, SLIDING], 4, (4,)),
        ([SLIDING], 4, (4,)),
        ([FULL], 4, ()),
        ([FULL, SLIDING], 9, ()),
        ([FULL, SLIDING], None, ()),
        ([SLIDING, "linear_attention"], 4, None),
        (None, 4, None),
    ],
)
def test_the_window_of_layers_is_known_where_all_of_their_kinds_are(kinds, window, found):
    config = SimpleNamespace(layer_types=kinds, sliding_window=window)
    assert windows_below(config, 8) == found


def test_a_model_that_is_told_no_positions_counts_places_whatever_its_windows_are():
    config = SimpleNamespace(model_type="llama", layer_types=[FULL], sliding_window=None, _attn_implementation="sdpa")
    assert not counts_places(config, 8)
    config.model_type = next(iter(COUNTS_PLACES))
    assert counts_places(config, 8)


def test_positions_count_what_is_real_from_the_first_on():
    real = torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0]]).bool()
    for first in (0, 2):
        found = language_model_rules.text_positions(real, first) - first
        assert found.tolist() == [[0, 0, 0, 1], [0, 1, 1, 1]]


def test_a_prompt_is_shortened_behind():
    ids = torch.tensor([[5, 9, 6, 0]])
    short = Prompt(ids, ids > 0, ids == 9, {"pixel_values": ids}).shortened(3)
    assert short.input_ids.tolist() == [[5, 9, 6]] and short.real.all() and short.is_image.tolist() == [[0, 1, 0]]
    assert short.pixel_values is ids
