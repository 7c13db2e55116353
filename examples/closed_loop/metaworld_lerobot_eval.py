"""`lerobot-eval` as it is, which also writes down what was done in each episode.

python examples/closed_loop/metaworld_lerobot_eval.py ACTIONS.npz OPTIONS-OF-LEROBOT-EVAL...

One environment in this process (`--eval.batch_size=1`); the file has an array (steps, 4) for each seed.
"""

import sys
from pathlib import Path

import numpy as np
from lerobot.scripts.lerobot_eval import main as lerobot_eval
from metaworld_scene import MetaworldEnv


class Notebook:
    """The actions of each episode, by its seed."""

    def __init__(self):
        self.episodes: dict[str, list[np.ndarray]] = {}
        self.current: list[np.ndarray] | None = None

    def watch(self, environment: type) -> None:
        """Write down what is done in all environments of this class; what they do is not changed."""
        reset, step = environment.reset, environment.step

        def watched_reset(scene, seed=None, **kwargs):
            self.current = None if seed is None else self.episodes.setdefault(str(seed), [])
            return reset(scene, seed=seed, **kwargs)

        def watched_step(scene, action):
            if self.current is not None:  # an episode that is solved is begun again without a seed
                self.current.append(np.array(action))
            return step(scene, action)

        environment.reset, environment.step = watched_reset, watched_step

    def save(self, path: Path) -> None:
        np.savez(path, **{seed: np.array(actions) for seed, actions in self.episodes.items()})


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    notebook, path = Notebook(), Path(sys.argv.pop(1))
    notebook.watch(MetaworldEnv)
    lerobot_eval()
    notebook.save(path)
