"""Observations of the drawn table as LeRobot's scripts have them."""

import numpy as np
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.envs.utils import preprocess_observation
from lerobot_policy_vlahub.configuration_vlahub import VlahubConfig
from lerobot_policy_vlahub.modeling_vlahub import VlahubPolicy
from lerobot_policy_vlahub.processor_vlahub import make_vlahub_pre_post_processors

HEIGHT, WIDTH = 64, 80
TASKS = ["pick up the red block", "put the blue block on the left tray"]
FEATURES = {
    "observation.images.primary": PolicyFeature(FeatureType.VISUAL, (3, HEIGHT, WIDTH)),
    "observation.images.wrist": PolicyFeature(FeatureType.VISUAL, (3, HEIGHT, WIDTH)),
    "observation.state": PolicyFeature(FeatureType.STATE, (8,)),
}


def policy_of(checkpoint, features=FEATURES, **fields):
    """The policy of a checkpoint as `make_policy` builds it for an environment, with its pipelines."""
    config = VlahubConfig(checkpoint=str(checkpoint), device="cpu", push_to_hub=False, **fields)
    config.input_features = dict(features)
    config.output_features = {"action": PolicyFeature(FeatureType.ACTION, (7,))}
    policy = VlahubPolicy(config).eval()
    return policy, *make_vlahub_pre_post_processors(policy.config)


def seen(count, seed=0):
    """What `count` environments give: uint8 images (height, width, 3) and states."""
    draws = np.random.default_rng(seed)
    pixels = {name: draws.integers(0, 256, (count, HEIGHT, WIDTH, 3), np.uint8) for name in ("primary", "wrist")}
    return {"pixels": pixels, "agent_pos": draws.uniform(-0.4, 0.4, (count, 8)).astype(np.float32)}


def as_lerobot(observation, tasks):
    """The batch that `lerobot-eval` gives to the preprocessor."""
    return preprocess_observation(observation) | {"task": list(tasks)}


def predicted_by_vlahub(policy, observation, tasks, seed=0):
    """The chunks of the policy's own model and processor, called as vlahub's users call them."""
    pixels = observation["pixels"]
    images = [[pixels[name][i] for name in ("primary", "wrist")] for i in range(len(tasks))]
    inputs = policy.processor(images, list(tasks), state=observation["agent_pos"], return_tensors="pt")
    torch.manual_seed(seed)
    return policy.model.predict_action(**inputs)
