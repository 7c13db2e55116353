"""Golden cases of Alpamayo-R1 and 1.5: the published model at a tiny size, and its calls."""

import torch
from transformers.generation import LogitsProcessor

from vlahub import AlpamayoR1, AlpamayoR1Config

BATCH = ("input_ids", "ego_history_xyz", "ego_history_rot", "pixel_values", "image_grid_thw", "attention_mask")


class Forced(LogitsProcessor):
    """Each row has to write its row of tokens, and then what it likes."""

    def __init__(self, tokens, prompt_length):
        self.tokens, self.prompt_length = tokens, prompt_length

    def __call__(self, input_ids, scores):
        step = input_ids.shape[1] - self.prompt_length
        if step >= self.tokens.shape[1]:
            return scores
        return torch.full_like(scores, float("-inf")).scatter(1, self.tokens[:, step, None], 0.0)


def published_model(case, implementation, mask_prompt_padding=False):
    """The case's config, as it is published but for the base's sizes, and its weights."""
    fields = dict(case.config)
    shown = {"pad_token_id": 300, "mask_prompt_padding": mask_prompt_padding}
    config = AlpamayoR1Config(vlm_config=fields.pop("vlm"), **fields.pop("expect"), **fields, **shown)
    model = AlpamayoR1._from_config(config, attn_implementation=implementation).eval()
    model.load_state_dict(case.state(), strict=True)
    return model


def driven(case, model, **more):
    """The model's output for the case's scene."""
    options, forced = case["run"], "forced_tokens" in case["inputs"]
    named = ("num_traj_samples", "num_traj_sets", "top_p", "top_k", "temperature")
    return model.sample_trajectories(
        **{argument: case.input(argument) for argument in BATCH},
        **{option: options[option] for option in named},
        max_new_tokens=options["max_generation_length"],
        num_inference_steps=options.get("diffusion_kwargs", {}).get("inference_step"),
        noise=case.input("noise"),
        logits_processor=[Forced(case.input("forced_tokens"), case.input("input_ids").shape[1])] if forced else None,
        **more,
    )
