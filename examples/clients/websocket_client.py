"""Ask `vlahub serve` as openpi's LIBERO example does, with the package openpi-client.

python examples/clients/websocket_client.py ws://127.0.0.1:8777 "pick up the bowl" primary.png wrist.png --state 0 0 0 0
"""

import argparse

import numpy as np
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from PIL import Image

parser = argparse.ArgumentParser()
parser.add_argument("url", help="ws://HOST:PORT, with /NAME for one of several models")
parser.add_argument("instruction")
parser.add_argument("images", nargs=2, help="the main camera and the one on the wrist")
parser.add_argument("--state", type=float, nargs="+")
parser.add_argument("--token")
arguments = parser.parse_args()

policy = WebsocketClientPolicy(arguments.url, api_key=arguments.token)
print(policy.get_server_metadata())
main, wrist = (np.array(Image.open(path).convert("RGB")) for path in arguments.images)
observation = {"observation/image": main, "observation/wrist_image": wrist, "prompt": arguments.instruction}
if arguments.state:
    observation["observation/state"] = np.array(arguments.state)
print(policy.infer(observation)["actions"])
