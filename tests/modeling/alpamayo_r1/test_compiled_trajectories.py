"""A drive behind its images is one graph, whatever its texts do, and gives the same numbers."""

import copy

import pytest
import torch
from transformers.generation import LogitsProcessor

from vlahub import AlpamayoR1, AlpamayoR1Config

pytestmark = pytest.mark.slow  # compiling takes seconds; one case a family is in test_compiled_predictions.py

START, IM_END, PAD, IMAGE, HISTORY = 498, 302, 300, 312, 501
LIMIT = 3


@pytest.fixture
def model(golden):
    torch._dynamo.reset()
    case = golden("alpamayo/alpamayo_expert_step")
    fields = copy.deepcopy(case.config)
    config = AlpamayoR1Config(vlm_config=fields.pop("vlm"), **fields.pop("expect"), **fields, pad_token_id=PAD)
    model = AlpamayoR1(config).eval()
    model.load_state_dict(case.state(), strict=True)
    yield model
    torch._dynamo.reset()


@pytest.fixture
def scenes(golden):
    """Two prompts, the second shorter, padded on the left, with one image where the first has two."""
    case = golden("alpamayo/alpamayo_expert_step")
    long, patches = case.input("input_ids")[0].tolist(), case.input("pixel_values")
    short = [*long[:20], 309, *[IMAGE] * 6, 310, 491, *[HISTORY] * 48, 493, *long[-30:]]
    pads = len(long) - len(short)
    return {
        "input_ids": torch.tensor([long, [PAD] * pads + short]),
        "attention_mask": torch.tensor([[1] * len(long), [0] * pads + [1] * len(short)]),
        "pixel_values": torch.cat([patches, patches[:24].flip(0)]),
        "image_grid_thw": torch.cat([case.input("image_grid_thw"), torch.tensor([[1, 4, 6]])]),
        "ego_history_xyz": torch.cat([case.input("ego_history_xyz"), case.input("ego_history_xyz") * 0.6]),
        "ego_history_rot": torch.cat([case.input("ego_history_rot")] * 2),
    }


class Forced(LogitsProcessor):
    """The first rows have to write these tokens, and then what they like, as do the others."""

    def __init__(self, rows, prompt_length):
        self.rows, self.prompt_length = rows, prompt_length

    def __call__(self, input_ids, scores):
        step, scores = input_ids.shape[1] - self.prompt_length, scores.clone()
        for row, tokens in enumerate(self.rows):
            if step < len(tokens):
                scores[row] = float("-inf")
                scores[row, tokens[step]] = 0.0
        return scores


ENDINGS = {
    "apart, and one at the limit": [[START], [40, 41, START], [42, IM_END]],
    "before the limit": [[START], [40, START], [42, IM_END], [START]],  # a loop that may ask stops here
}


@pytest.mark.parametrize("texts", ENDINGS.values(), ids=ENDINGS)
def test_a_drive_behind_its_images_is_one_graph_and_the_same_numbers(texts, model, scenes):
    def drive():
        torch.manual_seed(0)
        forced = [Forced(texts, scenes["input_ids"].shape[1])]
        options = {"num_traj_samples": 2, "max_new_tokens": LIMIT, "num_inference_steps": 2}
        return model.sample_trajectories(**scenes, **options, logits_processor=forced)

    wanted = drive()
    model.predict_trajectories = torch.compile(model.predict_trajectories, backend="eager", fullgraph=True)
    found = drive()

    assert torch.equal(found.sequences, wanted.sequences)
    assert torch.equal(found.has_start_token, wanted.has_start_token)
    for name in ("actions", "pred_xyz", "pred_rot"):
        torch.testing.assert_close(found[name], wanted[name], atol=1e-5, rtol=1e-5)
