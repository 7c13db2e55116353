"""Drive with a checkpoint, as its user would: transformers alone, nothing of vlahub is imported.

python examples/predict_trajectory.py CHECKPOINT scene.npz

scene.npz holds images (cameras, frames, 3, height, width) uint8, ego_history_xyz (steps, 3), ego_history_rot (steps, 3,
3) and, if they are known, ego_future_xyz and camera_indices, the number of each camera. A model that was trained with
names of cameras in its prompts (Alpamayo 1.5) gets them, and may be told where to drive.
"""

import argparse
import sys

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

SHOWN = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="folder or Hub repository")
    parser.add_argument("scene", help=".npz with images and driven path")
    parser.add_argument("--num-traj-samples", type=int, default=6)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--nav", help='where to drive, such as "Turn left onto Main St in 40m"')
    parser.add_argument("--guidance-weight", type=float, help="how much more than learnt that decides")
    arguments = parser.parse_args()

    processor = AutoProcessor.from_pretrained(arguments.checkpoint, trust_remote_code=True)
    model = AutoModelForImageTextToText.from_pretrained(
        arguments.checkpoint, trust_remote_code=True, dtype=torch.float32
    )
    scene = np.load(arguments.scene)
    names = ("images", "ego_history_xyz", "ego_history_rot")
    cameras = scene["camera_indices"] if processor.camera_labels and "camera_indices" in scene else None
    inputs = processor(**{name: scene[name] for name in names}, camera_indices=cameras, nav_text=arguments.nav)
    torch.manual_seed(0)
    output = model.sample_trajectories(
        **inputs,
        num_traj_samples=arguments.num_traj_samples,
        max_new_tokens=arguments.max_new_tokens,
        guidance_weight=arguments.guidance_weight,
    )

    print(
        f"code: {type(model).__module__.split('.')[0]}, vlahub imported: {'yes' if 'vlahub' in sys.modules else 'no'}"
    )
    print(f"reasoning of the first of {arguments.num_traj_samples} samples: {output.reasoning[0][0][0]!r}")
    print(f"its first waypoints, metres: {output.pred_xyz[0, 0, 0, :SHOWN].double().numpy().round(3).tolist()}")
    if "ego_future_xyz" in scene:
        print(f"minADE: {min_ade(output.pred_xyz[0, 0].numpy(), scene['ego_future_xyz']):.3f} m")


def min_ade(pred_xyz: np.ndarray, driven_xyz: np.ndarray) -> float:
    """Mean distance in the plane of the closest sample; (samples, steps, 3) against (steps, 3)."""
    return float(np.linalg.norm((pred_xyz - driven_xyz)[..., :2], axis=-1).mean(axis=-1).min())


if __name__ == "__main__":
    main()
