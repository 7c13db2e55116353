"""Options of `vlahub push`, and of what publishes at the end of another command; without what is slow to import."""

import argparse
from pathlib import Path

from .command_choices import CARDS


def add_push_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="checkpoint folder")
    parser.add_argument("repo_id", metavar="user/name", help="repository on the Hub, made if it does not exist")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--revision", metavar="R", help="branch to commit to, made if it does not exist (default main)")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request instead of committing")
    add_card_argument(parser)
    parser.add_argument("--allow-code", action="store_true", help="publish Python files that are not vlahub's, too")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def add_card_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--card",
        choices=CARDS,
        help="a README.md in the repository: keep it or renew it (default: renew what vlahub wrote and nobody edited)",
    )
