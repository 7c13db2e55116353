"""A checkpoint of vlahub as a folder that LeRobot's `--policy.path` takes, for `--peft`, robots and the policy server.

python -m lerobot_policy_vlahub you/your-vla my-policy
"""

import argparse
import json
import sys
from pathlib import Path

from vlahub.errors import VLAError


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m lerobot_policy_vlahub", description=__doc__.splitlines()[0])
    found.add_argument("checkpoint", help="of vlahub: folder or Hub repository")
    found.add_argument("output", type=Path, help="folder to write; must not be there yet")
    found.add_argument("--revision", help="branch, tag or commit of a repository")
    found.add_argument("--views", type=view_features, default={}, help="""JSON: '{"view": "observation.images.top"}'""")
    found.add_argument("--state-feature", help="the feature that is the robot's state")
    found.add_argument("--unnorm-key", help="whose statistics, where there are several")
    found.add_argument("--statistics", help="a dataset_statistics.json in place of the checkpoint's")
    found.add_argument("--instruction", help="what to do, in place of the robot's task")
    found.add_argument("--n-action-steps", type=int, help="actions of a chunk that are executed")
    return found


def view_features(text: str) -> dict[str, str]:
    """Raises ArgumentTypeError for what is no object of JSON that names an image feature for each view."""
    try:
        views = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON: {error}") from error
    if not isinstance(views, dict) or not all(isinstance(key, str) for key in views.values()):
        raise argparse.ArgumentTypeError(f"""{text!r} is not of the form '{{"view": "observation.images.top"}}'""")
    return views


def write_policy(output: Path, **fields: object) -> None:
    """Write policy and processors. fields: of `VlahubConfig`.

    Raises:
        VLAError: the folder is there, or the checkpoint cannot be a policy.
    """
    from .configuration_vlahub import VlahubConfig
    from .modeling_vlahub import VlahubPolicy
    from .processor_vlahub import make_vlahub_pre_post_processors

    if output.exists():
        raise VLAError(f"{output} is there already; choose another name.")
    policy = VlahubPolicy(VlahubConfig(push_to_hub=False, **fields))
    policy.save_pretrained(output)
    for pipeline in make_vlahub_pre_post_processors(policy.config):
        pipeline.save_pretrained(output)


def main() -> int:
    given = {name: value for name, value in vars(parser().parse_args()).items() if value is not None}
    try:
        write_policy(**given)
    except VLAError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
