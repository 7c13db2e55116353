"""The pictures in docs/families: they show what the models do today."""

from pathlib import Path

import pytest
import torch
import transformers
from tiny_configs import composed_config, llava3d_config

from docs_tools.data_flow.pictures import PICTURES
from docs_tools.data_flow.svg_drawing import Box
from vlahub import MapAnythingLlava3DForConditionalGeneration, MultimodalVLAForActionPrediction
from vlahub.conversion.families import OURS

# 4.57 asks for the autocast of every device, and there is none of the meta device.
needs_five = pytest.mark.skipif(transformers.__version__.startswith("4."), reason="needs transformers 5")
FAMILIES = Path(__file__).parents[1] / "docs" / "families"


@needs_five
@pytest.mark.parametrize("name", PICTURES)
def test_a_familys_picture_has_the_shapes_of_its_model(name):
    assert PICTURES[name]().svg() == (FAMILIES / f"{name}.svg").read_text(), "python -m docs_tools.data_flow redraws it"


def test_every_family_has_a_page_with_its_picture():
    assert set(PICTURES) == set(OURS)
    for name in OURS:
        assert f"({name}.svg)" in (FAMILIES / f"{name}.md").read_text()


def test_a_text_that_leaves_its_box_is_an_error():
    with pytest.raises(ValueError, match="'a name too long' does not fit into a box 60 wide"):
        Box(0, 0, 60, "a name too long")


@needs_five
@pytest.mark.parametrize(
    "kind, config",
    [
        (
            MapAnythingLlava3DForConditionalGeneration,
            llava3d_config(norm_stats={"a": {"action": {"q01": [0.0] * 7, "q99": [1.0] * 7}}}),
        ),
        (MultimodalVLAForActionPrediction, composed_config(use_state=False, action_head="flow")),
    ],
)
def test_a_model_without_numbers_tells_the_shape_of_its_actions(kind, config):
    with torch.device("meta"):
        model = kind(config).eval()
        actions = model.predict_action(torch.zeros(2, 20).long(), torch.zeros(2, 1, 3, 28, 28), check_finite=False)
    assert actions.is_meta and actions.shape == (2, config.num_action_chunks, config.action_dim)
