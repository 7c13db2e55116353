"""`vlahub serve`: checkpoints behind the protocols of the clients that there are."""

import argparse
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...configuration.vla_errors import ConversionError, InputError
from .command import Command
from .error_boundary import ending_at_interrupt
from .model_kinds import family_of
from .shared_arguments import add_fast_argument, byte_size

if TYPE_CHECKING:  # slow to import
    from ..serving.observation_map import ObservationMap
    from ..serving.prediction_service import PredictionService
    from ..serving.served_policy import ServedPolicy

NEEDED = ("fastapi", "uvicorn", "websockets", "msgpack", "yaml")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
RESERVED = ("act", "docs", "healthz", "metadata", "metrics", "openapi.json", "redoc")
TOKEN = "VLAHUB_SERVE_TOKEN"


def add_serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoints",
        nargs="+",
        metavar="CKPT",
        help="folder or Hub repository of a checkpoint, or NAME=CKPT; of several the first answers where no name is "
        "asked for, the others at /NAME",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default 127.0.0.1; others need a token)")
    parser.add_argument("--port", type=port_number, default=8777, help="default 8777; 0: any that is free")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"token that requests need; or the variable {TOKEN}"
    )
    parser.add_argument("--device", default="cpu", help="where to compute, such as cuda")
    add_fast_argument(parser)
    parser.add_argument("--unnorm-key", metavar="KEY", help="whose statistics, for clients that send no unnorm_key")
    parser.add_argument("--instruction", metavar="TEXT", help="for clients that send none, as those of openpi's ALOHA")
    parser.add_argument(
        "--observation-map", type=Path, metavar="FILE.yaml", help="which keys of a client are which views and state"
    )
    add_queue_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def add_queue_arguments(parser: argparse.ArgumentParser) -> None:
    """Batches, sessions and limits."""
    parser.add_argument(
        "--batch-window", type=milliseconds, default=5.0, metavar="MS", help="to wait for more requests (default 5)"
    )
    parser.add_argument("--max-batch", type=above_zero, default=8, metavar="N", help="of one prediction (default 8)")
    parser.add_argument("--max-queue", type=above_zero, default=64, metavar="N", help="requests at a time (default 64)")
    parser.add_argument("--timeout", type=seconds, default=30.0, metavar="S", help="of a request (default 30)")
    parser.add_argument(
        "--n-action-steps", type=above_zero, metavar="N", help="of a chunk, for clients of sessions (default: all)"
    )
    parser.add_argument(
        "--temporal-ensemble", type=weight, metavar="M", help="average chunks in sessions, as ACT does with 0.01"
    )
    parser.add_argument(
        "--session-timeout",
        type=seconds,
        default=60.0,
        metavar="S",
        help="without a question, after which a session's actions are dropped (default 60)",
    )
    parser.add_argument("--max-body", type=byte_size, default=32 * 10**6, metavar="SIZE", help="default 32MB")
    parser.add_argument("--max-images", type=above_zero, default=16, metavar="N", help="of a request (default 16)")
    parser.add_argument(
        "--max-pixels", type=above_zero, default=3840 * 2160, metavar="N", help="of an image (default 3840 x 2160)"
    )


def run_serve(arguments: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        ConversionError: a package is missing, a checkpoint cannot be served, or the port is taken.
        InputError: an option does not fit; nothing was loaded.
    """
    check_packages()
    with ending_at_interrupt():
        from ...training.waiting import waiting
        from ..job import check_device
        from ..serving.observation_map import read_map
        from ..serving.server import address_of, bound_socket, run_server

    check_device(arguments.device)
    named = named_checkpoints(arguments.checkpoints)
    token = token_of(arguments.token_file)
    by = read_map(arguments.observation_map) if arguments.observation_map else None
    with bound_socket(arguments.host, arguments.port, token) as bound:
        service = loaded(named, arguments, by)
        try:
            with waiting("predicting for the first time"):
                first = service.warm_up()
            for name, taken in first.items():
                say(arguments, f"{name}: the first prediction took {taken:.2f} s")
            line = f"serving {', '.join(service.models)} at {address_of(bound)} (stop with Ctrl-C)"
            run_server(service, bound, token, ready=lambda: say(arguments, line))
        finally:
            service.close(0)
    say(arguments, "stopped")
    if service.is_predicting():  # in a thread that cannot be ended; torch would abort the process under it
        sys.stderr.flush()
        os._exit(0)


def loaded(named: dict[str, str], arguments: argparse.Namespace, by: "ObservationMap | None") -> "PredictionService":
    """The service of all checkpoints.

    Raises:
        ConversionError, InputError: see `run_serve`.
    """
    from ..folders.folder_roles import check_ready
    from ..serving.action_sessions import ActionSessions
    from ..serving.limits import Limits
    from ..serving.prediction_service import Batching, PredictionService
    from ..source_folder import source_folder

    limits = Limits(arguments.max_body, arguments.max_images, arguments.max_pixels, arguments.timeout)
    service = PredictionService(limits, by)
    batching = Batching(arguments.batch_window / 1000, arguments.max_batch, arguments.max_queue)
    folders = {name: source_folder(checkpoint) for name, checkpoint in named.items()}
    for folder in folders.values():
        check_ready(folder)
    policies = {name: family_of(folder).served(folder) for name, folder in folders.items()}
    for name, policy in policies.items():
        check_options(policy, name, arguments, by)
    for policy in policies.values():  # once all that was given is known to fit: it takes minutes
        policy.load(arguments.device, arguments.fast, arguments.quiet)
    for name, policy in policies.items():
        steps, ensemble = arguments.n_action_steps, arguments.temporal_ensemble
        sessions = ActionSessions(steps, ensemble, timeout=arguments.session_timeout)
        service.add(name, policy, batching, sessions, arguments.unnorm_key, arguments.instruction)
    return service


def check_options(
    policy: "ServedPolicy", name: str, arguments: argparse.Namespace, by: "ObservationMap | None"
) -> None:
    """Raises InputError or ConversionError for options that do not fit a model."""
    for_robots = {"--observation-map": by, "--n-action-steps": arguments.n_action_steps}
    for_robots |= {"--temporal-ensemble": arguments.temporal_ensemble, "--instruction": arguments.instruction}
    given = [option for option, value in for_robots.items() if value is not None]
    if given and not policy.has_actions:
        raise InputError(f"{', '.join(given)}: {name} drives, and has no use for it; leave it out.")
    if by is not None:
        by.check(policy, name)
    if arguments.instruction is not None and not arguments.instruction.strip():
        raise InputError("--instruction says nothing; leave it out where all clients send one.")
    policy.check_unnorm_key(arguments.unnorm_key)
    steps, most = arguments.n_action_steps, policy.num_action_chunks
    if steps is not None and arguments.temporal_ensemble is not None:
        raise InputError(
            "--n-action-steps, --temporal-ensemble: averaging predicts at every step; leave one of them out."
        )
    if steps is not None and steps > (most or 0):
        raise InputError(f"--n-action-steps {steps}: a chunk of {name} has {most} actions.")


def check_packages() -> None:
    """Raises ConversionError where the extra is not installed."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise ConversionError(f"`vlahub serve` needs {', '.join(missing)}: pip install 'vlahub[serve]'.")


def named_checkpoints(given: list[str]) -> dict[str, str]:
    """Checkpoints by name: the one before a `=`, else the last part of the path.

    Raises:
        InputError: a name is there twice, or cannot be part of an address.
    """
    named: dict[str, str] = {}
    for text in given:
        name, equals, checkpoint = text.partition("=")
        if not equals or "/" in name:
            name, checkpoint = Path(text).resolve().name, text
        if not NAME.fullmatch(name) or name in RESERVED:
            raise InputError(f"{text}: {name!r} cannot be the name of a model; give one, such as my-vla={checkpoint}.")
        if name in named:
            raise InputError(f"{text}: a model {name!r} is there already; give names, such as other={checkpoint}.")
        named[name] = checkpoint
    return named


def token_of(path: Path | None) -> str | None:
    """The token that requests need.

    Raises:
        ConversionError: the file cannot be read, or it or the variable holds what no header can carry.
    """
    if path is None and not os.environ.get(TOKEN):
        return None
    source = TOKEN if path is None else f"--token-file {path}"
    try:
        token = (os.environ[TOKEN] if path is None else path.read_text(encoding="utf-8")).strip()
    except (OSError, ValueError) as error:
        raise ConversionError(f"{source} cannot be read: {error}.") from error
    if not re.fullmatch("[!-~]+", token):  # what a header carries as it is
        raise ConversionError(f"{source} holds no token: one line of ASCII without spaces is needed.")
    return token


def say(arguments: argparse.Namespace, text: str) -> None:
    if not arguments.quiet:
        print(text, flush=True)


def above_zero(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def port_number(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port, 0 to 65535")
    return int(text)


def milliseconds(text: str) -> float:
    return checked_number(text, 0, 1000)


def seconds(text: str) -> float:
    return checked_number(text, 0.001, 86400)


def weight(text: str) -> float:
    return checked_number(text, 0, 100)


def checked_number(text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of {least:g} to {most:g}")
    return value


SERVE = Command(
    summary="answer the clients of OpenVLA, OpenVLA-OFT and openpi with a checkpoint",
    text="Answer requests for actions over HTTP (POST /act, as OpenVLA and OpenVLA-OFT publish it) and by websocket "
    "(as openpi publishes it), until Ctrl-C. Required is CKPT. docs/serve.md has the fields of requests and answers.",
    example="serve my-vla --device cuda --fast",
    add_arguments=add_serve_arguments,
    run=run_serve,
)
