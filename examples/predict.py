"""Predict with a checkpoint, as its user would: transformers alone, nothing of vlahub is imported.

python examples/predict.py CHECKPOINT primary.png wrist.png --instruction "pick up the bowl"
"""

import argparse
import sys

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

NAMES = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="folder or Hub repository")
    parser.add_argument("images", nargs="+", help="one file a camera view, the main camera first")
    parser.add_argument("--instruction", required=True)
    parser.add_argument("--state", type=float, nargs="+", help="the robot's state; zeros by default")
    parser.add_argument("--unnorm-key", help="whose statistics to use, where there are several")
    arguments = parser.parse_args()

    processor = AutoProcessor.from_pretrained(arguments.checkpoint, trust_remote_code=True)
    model = AutoModelForImageTextToText.from_pretrained(
        arguments.checkpoint, trust_remote_code=True, dtype=torch.float32
    )
    size = getattr(processor, "proprio_dim", None) or getattr(processor, "state_dim", None)
    state = arguments.state or ([0.0] * size if size else None)
    images = [Image.open(path) for path in arguments.images]
    inputs = processor(images=images, text=arguments.instruction, state=state, unnorm_key=arguments.unnorm_key)
    actions = model.predict_action(**inputs, unnorm_key=arguments.unnorm_key)

    print(
        f"code: {type(model).__module__.split('.')[0]}, vlahub imported: {'yes' if 'vlahub' in sys.modules else 'no'}"
    )
    print_table(actions[0])


def print_table(actions: torch.Tensor) -> None:
    """actions: (num_action_chunks, action_dim) in robot units."""
    names = NAMES if actions.shape[1] == len(NAMES) else [str(i) for i in range(actions.shape[1])]
    print("step " + " ".join(f"{name:>9}" for name in names))
    for step, row in enumerate(actions.tolist()):
        print(f"{step:>4} " + " ".join(f"{value:9.4f}" for value in row))


if __name__ == "__main__":
    main()
