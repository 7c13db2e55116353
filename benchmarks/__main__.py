"""python -m benchmarks predict|experts|trajectories [--device cuda] [--dtype bfloat16] | merge [--gigabytes 3]

python -m benchmarks gpu [--family FAMILY] [--mode eager|graphs|compile|all] [--profile] [--write]
python -m benchmarks quantise
python -m benchmarks serve [--seconds 60] [--clients 8]
"""

import argparse
import sys

import torch

from benchmarks import experts, gpu, merge, predict, quantise, trajectories

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
TIMED = {"predict": predict, "experts": experts, "trajectories": trajectories}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Benchmarks of vlahub.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in TIMED.items():
        command = commands.add_parser(name, help=module.__doc__)
        command.add_argument("--device", default="cpu")
        command.add_argument("--dtype", choices=DTYPES, default="float32")
        command.add_argument("--runs", type=int, default=15)
    command = commands.add_parser("merge", help=merge.__doc__)
    command.add_argument("--gigabytes", type=float, default=3.0)
    command.add_argument("--runs", type=int, default=3)
    add_gpu(commands.add_parser("gpu", help=gpu.__doc__))
    commands.add_parser("quantise", help=quantise.__doc__)
    command = commands.add_parser("serve", help="a tiny CogVLA behind vlahub serve, under load")
    command.add_argument("--seconds", type=float, default=60)
    command.add_argument("--clients", type=int, default=8)
    arguments = parser.parse_args()
    if arguments.command == "gpu":
        options = arguments.family, arguments.mode, arguments.device, arguments.minutes
        sys.exit(gpu.main(*options, arguments.profile, arguments.write))
    if arguments.command == "serve":
        from benchmarks import serve_load  # which needs the extra

        sys.exit(serve_load.main(arguments.seconds, arguments.clients))
    if arguments.command == "quantise":
        quantise.main()
    elif arguments.command == "merge":
        merge.main(arguments.gigabytes, arguments.runs)
    else:
        TIMED[arguments.command].main(arguments.runs, arguments.device, DTYPES[arguments.dtype])


def add_gpu(command: argparse.ArgumentParser) -> None:
    command.add_argument("--family", choices=gpu.FAMILIES.values(), help="all of them by default")
    command.add_argument("--mode", choices=(*gpu.MODES, "all"), default="graphs", help="beside eager")
    command.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    command.add_argument("--minutes", type=float, default=4, help="no measurement begins after so many")
    command.add_argument("--profile", action="store_true", help="name the ten costliest kernels of each line")
    command.add_argument("--write", action="store_true", help="put the table into RESULTS.md")


if __name__ == "__main__":
    main()
