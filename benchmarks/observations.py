"""What a robot sees one after the other, for calls that replay what an earlier one has recorded."""

import torch

DRAWN = {"pixel_values", "state", "proprio", "noise"}
ROWS = {"input_ids", "attention_mask"}


def observations(prompt: dict, count: int) -> list[dict]:
    """The prompt and others of its form, as a robot sees them one after the other, so that a replay which goes on with
    the inputs of the recording shows. The last also has texts and masks of other rows, where no row has images of its
    own sizes."""
    generator, found = torch.Generator().manual_seed(1), [prompt]
    for number in range(1, count):
        other = dict(prompt)
        for name in sorted(DRAWN.intersection(prompt)):
            drawn = torch.randn(prompt[name].shape, generator=generator)
            other[name] = drawn.to(prompt[name].device, prompt[name].dtype)
        if "ego_history_xyz" in prompt:  # the last pose stays where it is, in the origin
            other["ego_history_xyz"] = prompt["ego_history_xyz"] * (1 - 0.2 * number)
        if number == count - 1 and "image_grid_thw" not in prompt:
            other |= {name: prompt[name].flip(0) for name in ROWS.intersection(prompt)}
        found.append(other)
    return found
