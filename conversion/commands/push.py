"""`vlahub push`."""

import argparse
from pathlib import Path

from .command import Command
from .error_boundary import ending_at_interrupt
from .shared_arguments import add_card_argument


def add_push_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="checkpoint folder")
    parser.add_argument("repo_id", metavar="user/name", help="repository on the Hub, made if it does not exist")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--revision", metavar="R", help="branch to commit to, made if it does not exist (default main)")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request instead of committing")
    add_card_argument(parser)
    parser.add_argument("--allow-code", action="store_true", help="publish Python files that are not vlahub's, too")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be uploaded, and stop; the Hub is not asked"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run_push(arguments: argparse.Namespace) -> None:
    """Prints the URL, or what would be uploaded."""
    with ending_at_interrupt():
        from ..publishing.push_checkpoint import push_checkpoint
        from ..publishing.upload_plan import show_upload

    if arguments.dry_run:
        show_upload(arguments.checkpoint, arguments.repo_id, arguments.revision, arguments.create_pr,
                    arguments.allow_code, arguments.quiet)  # fmt: skip
        return
    url = push_checkpoint(
        arguments.checkpoint,
        arguments.repo_id,
        private=arguments.private,
        revision=arguments.revision,
        create_pr=arguments.create_pr,
        quiet=arguments.quiet,
        card=arguments.card,
        allow_code=arguments.allow_code,
    )
    if not arguments.quiet:
        print(url)


PUSH = Command(
    summary="publish a checkpoint on the Hub",
    text="Upload a checkpoint folder in one commit. Required are CKPT and user/name, and a token that may write there "
    "(`hf auth login`).",
    example="push my-vla user/my-vla --private",
    add_arguments=add_push_arguments,
    run=run_push,
)
