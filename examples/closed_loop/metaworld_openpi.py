"""Episodes of Meta-World in LeRobot's environment, driven through `vlahub serve` by the package openpi-client.

python examples/closed_loop/metaworld_openpi.py ws://127.0.0.1:8777 reach-v3 --seed 1000 --episodes 20
"""

import argparse
import json
from collections import deque
from pathlib import Path

import numpy as np
from closed_loop_figures import Episode, write_strip
from metaworld_scene import MAX_STEPS, MetaworldEnv
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from tqdm import tqdm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="ws://HOST:PORT, with /NAME for one of several models")
    parser.add_argument("task")
    parser.add_argument("--seed", type=int, default=1000, help="of the first episode")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--max-steps", type=int, default=MAX_STEPS)
    parser.add_argument("--actions", type=Path, help="file .npz to write, an array (steps, 4) for each seed")
    parser.add_argument("--figures", type=Path, help="file .json to write, with the share that succeeds")
    parser.add_argument("--strip", type=Path, help="picture to write, frames of the first episode that succeeds")
    arguments = parser.parse_args()
    policy = WebsocketClientPolicy(arguments.url)
    environment = MetaworldEnv(arguments.task, obs_type="pixels_agent_pos")
    seeds = range(arguments.seed, arguments.seed + arguments.episodes)
    episodes = {seed: driven(environment, policy, seed, arguments.max_steps) for seed in tqdm(seeds, unit="episode")}
    if arguments.actions:
        np.savez(arguments.actions, **{str(seed): episode.actions for seed, episode in episodes.items()})
    solved = [episode for episode in episodes.values() if episode.success]
    if arguments.figures:
        steps = [len(episode.actions) for episode in solved]
        arguments.figures.write_text(
            json.dumps({"success": len(solved) / len(episodes), "steps": steps}, allow_nan=False)
        )
    if arguments.strip and solved:
        write_strip(arguments.strip, solved[0].frames)
    print(f"{arguments.task}: {len(solved)} of {len(episodes)} episodes succeed")


def driven(environment: MetaworldEnv, policy: WebsocketClientPolicy, seed: int, max_steps: int) -> Episode:
    """One episode: a chunk of actions is asked for when the last one is done."""
    observation, _ = environment.reset(seed=seed)
    chunk: deque[np.ndarray] = deque()
    frames, actions = [], []
    while len(actions) < max_steps:
        frames.append(observation["pixels"])
        if not chunk:
            chunk.extend(policy.infer(asked(observation, environment.task_description))["actions"])
        actions.append(chunk.popleft())
        observation, _, _, _, info = environment.step(actions[-1])
        if info["is_success"]:
            return Episode(np.array(actions), frames, True)
    return Episode(np.array(actions), frames, False)


def asked(observation: dict[str, np.ndarray], instruction: str) -> dict:
    """As openpi's LIBERO example asks; LeRobot's `agent_pos` is float64, which its policies see in float32."""
    state = observation["agent_pos"].astype(np.float32)
    return {"observation/image": observation["pixels"], "observation/state": state, "prompt": instruction}


if __name__ == "__main__":
    main()
