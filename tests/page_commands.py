"""Command lines in the pages: how they are read, which are carried out and how, and which are not and why.

Carried out, in the process of the tests and in the folder of the page: `vlahub`, `merge-lora`, `python examples/...`;
training with the smaller numbers of `SMALLER`. `vlahub push` reaches a Hub on loopback, in a process of its own.
"""

import configparser
import re
import runpy
import shlex
import sys
from importlib.util import find_spec
from itertools import chain

from page_blocks import COMMANDS, REPOSITORY, Block

from vlahub.conversion.cli import main, make_parser, merge_lora_main

# What stands on a page for a real model or run, and what takes its place here.
SMALLER = {"--bf16": "False", "--max_steps": "2", "--warmup_steps": "1", "--expert-hidden-size": "64"}
TRAINING = ["--max_steps", "2", "--per_device_train_batch_size", "2", "--disable_tqdm", "True"]
TRAINING += ["--use_cpu", "True"]
DRIVING = ["--max-new-tokens", "4", "--num-traj-samples", "2"]

# Beginnings of commands that are not carried out, the reason, and what is checked of them instead.
NOT_RUN = {
    "pip install": "would change the environment of the tests; the extras that it names exist",
    "eval": "is for a shell that is used by hand; tests/conversion/commands/test_usage.py asks as a shell does",
    "make": "runs in CI by itself; the target exists",
    "vlahub data convert --from rlds": "needs tensorflow-datasets; its options are parsed",
    "vlahub serve": "answers until it is stopped; tests/conversion/serving starts it; its options are parsed",
    "python examples/clients/act_client.py": "asks a server; tests/conversion/serving runs it with one",
    "python examples/clients/websocket_client.py": "the same, of openpi",
    **dict.fromkeys(
        (
            *("lerobot-eval", "lerobot-train", "lerobot-rollout", "python -m lerobot.async_inference.robot_client"),
            *("python -m lerobot_policy_vlahub", "python -m lerobot_policy_vlahub.policy_server"),
        ),
        "needs LeRobot; the tests of integrations/lerobot_policy_vlahub run it, and know its options",
    ),
    "accelerate launch": "needs several devices; what it launches is parsed",
    "torchrun": "needs several devices; what it launches is parsed",
}

# Words of a command that need a package of the extra `dev`; where it is missing the command is parsed alone.
NEEDED = {"--quantize": "torchao", "hdf5": "h5py", "--plot": "matplotlib"}


def commands_of(block: Block) -> list[list[str]]:
    """The commands of a block as words; environment variables in front of a command, and `$ `, are left out."""
    if block.language not in COMMANDS:
        return []
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":  # lines without `$ ` are what a command prints
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    commands = [shlex.split(line, comments=True) for line in lines]
    return [words[next(i for i, word in enumerate(words) if not is_variable(word)) :] for words in commands if words]


def is_variable(word: str) -> bool:
    return bool(re.fullmatch(r"[A-Z_]+=.*", word, re.DOTALL))


def reason_not_run(words: list[str]) -> str | None:
    """Why a command is not carried out; `None` where it is."""
    missing = (
        f"{package} is not installed" for word, package in NEEDED.items() if word in words and not find_spec(package)
    )
    listed = (why for start, why in NOT_RUN.items() if words[: len(start.split())] == start.split())
    return next(chain(listed, missing), None)


def check(words: list[str], where: str) -> None:
    """Whether a command could be carried out at all: an unknown program, option, target or script is an error."""
    program, *rest = words
    if "vlahub" in (program, *words[1:]) and (program == "vlahub" or "-m" in words):
        parsed(words[words.index("vlahub") + 1 :], where)
    elif program == "merge-lora":
        parsed(["merge-lora", *rest], where)
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.M)
        assert not set(rest) - set(targets), f"{where}: make has no target {set(rest) - set(targets)}"
    elif words[:2] == ["pip", "install"]:
        check_extras(rest[1:], where)
    elif program == "python" and rest[0] != "-m":
        assert (REPOSITORY / rest[0]).is_file(), f"{where}: there is no script {rest[0]}"
    else:
        assert reason_not_run(words), f"{where}: the tests do not know how to run {shlex.join(words)!r}"


def parsed(argv: list[str], where: str) -> None:
    try:
        make_parser(argv).parse_args(argv)
    except SystemExit as error:
        raise AssertionError(f"{where}: vlahub {shlex.join(argv)} is no command line of vlahub") from error


def check_extras(packages: list[str], where: str) -> None:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    known = setup.options("options.extras_require")
    named = re.findall(r"vlahub\[([\w,]+)\]", " ".join(packages))
    assert all(extra in known for names in named for extra in names.split(",")), f"{where}: no such extra in setup.cfg"


def carry_out(words: list[str], where: str) -> None:
    """Run a command in the current folder.

    Raises:
        AssertionError: it ends with another exit code than 0.
    """
    words = smaller(words)
    program, *rest = words
    carried_out = {"python": script, "merge-lora": merge_lora_main, "vlahub": main}[program]
    code = carried_out(rest)
    assert not code, f"{where}: {shlex.join(words)} ended with exit code {code}"


def smaller(words: list[str]) -> list[str]:
    """The same command with the sizes of tiny models."""
    pairs = zip(("", *words), words, strict=False)
    words = [SMALLER.get(option, word) for option, word in pairs]
    if "examples/finetune.py" in words or "--training" in words:
        words = [*words, *TRAINING]
    return [*words, *DRIVING] if words[:2] == ["vlahub", "predict"] and "--history" in words else words


def script(words: list[str]) -> int | str | None:
    """`python examples/x.py ...`, in this process."""
    old = sys.argv, list(sys.path)
    path = REPOSITORY / words[0]
    sys.argv, sys.path[:0] = [str(path), *words[1:]], [str(path.parent)]
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as error:
        return error.code
    finally:
        sys.argv, sys.path[:] = old
    return 0


def is_push(words: list[str]) -> bool:
    return words[:2] == ["vlahub", "push"] or "--push-to-hub" in words
