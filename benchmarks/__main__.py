"""python -m benchmarks predict|experts|trajectories [--device cuda] [--dtype bfloat16] | merge [--gigabytes 3]"""

import argparse

import torch

from benchmarks import experts, merge, predict, trajectories

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
    arguments = parser.parse_args()
    if arguments.command == "merge":
        merge.main(arguments.gigabytes, arguments.runs)
    else:
        TIMED[arguments.command].main(arguments.runs, arguments.device, DTYPES[arguments.dtype])


if __name__ == "__main__":
    main()
