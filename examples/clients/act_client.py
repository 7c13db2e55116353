"""Ask `vlahub serve` as OpenVLA-OFT's clients do; pip install requests json-numpy, nothing of vlahub is needed.

python examples/clients/act_client.py http://127.0.0.1:8777 "pick up the bowl" primary.png wrist.png --state 0 0 0 0
"""

import argparse

import json_numpy
import numpy as np
import requests
from PIL import Image

json_numpy.patch()
parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("instruction")
parser.add_argument("images", nargs="+", help="the main camera, then one or two on wrists")
parser.add_argument("--state", type=float, nargs="+")
arguments = parser.parse_args()

names = ["full_image", "wrist_image", "other_wrist_image"][: len(arguments.images)]
if len(arguments.images) > len(names):
    parser.error(f"{len(arguments.images)} images: at most {len(names)} have a name")
views = [np.array(Image.open(path).convert("RGB")) for path in arguments.images]
observation = {**dict(zip(names, views, strict=True)), "instruction": arguments.instruction}
if arguments.state:
    observation["state"] = np.array(arguments.state)
response = requests.post(arguments.url + "/act", json=observation, timeout=60)
print(np.array(response.json()) if response.ok else response.json()["error"]["message"])
