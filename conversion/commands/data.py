"""`vlahub data convert`: a dataset of another format as a LeRobot dataset."""

import argparse
from pathlib import Path

from ...configuration.vla_errors import InputError
from ..files.given_paths import REPOSITORY, meant_file, meant_folder
from .command import Command
from .error_boundary import ending_at_interrupt

FORMATS, LEROBOT = ("rlds", "hdf5"), "lerobot"
HDF5_SUFFIXES = (".hdf5", ".h5")


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="convert")
    CONVERT_DATA.complete(actions.add_parser("convert", help=CONVERT_DATA.summary, **CONVERT_DATA.settings()))


def add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder of a dataset, or an HDF5 file")
    parser.add_argument(
        "--from",
        dest="format",
        required=True,
        choices=FORMATS,
        help="rlds: a folder of tensorflow-datasets, as OpenVLA is trained on; hdf5: ALOHA, robomimic or LIBERO",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder to write, new or empty")
    parser.add_argument(
        "--fps",
        type=frequency,
        metavar="N",
        help="frames in a second of the recording, which only robomimic's files say (default: 10, with a note)",
    )
    for name, help_text in (
        ("action", "of the action, joined to one vector in their order (default: action or actions)"),
        ("state", "of the state, in the same way (default: the usual one of the format, where it is there)"),
        ("images", "of the cameras, main one first (default: all)"),
    ):
        parser.add_argument(f"--{name}", nargs="+", metavar="ENTRY", help=f"{help_text}, such as observation/state")
    text = parser.add_mutually_exclusive_group()
    text.add_argument("--text", metavar="ENTRY", help="of the instruction (default: language_instruction and the like)")
    text.add_argument("--instruction", metavar="TEXT", help="of all episodes, where none is recorded")
    parser.add_argument("--split", metavar="NAME", help="of an RLDS dataset (default: train)")
    parser.add_argument("--swap-colours", action="store_true", help="images were recorded as blue, green, red")
    parser.add_argument(
        "--videos", action="store_true", help="write mp4 files: smaller, and not exact (pip install 'vlahub[video]')"
    )
    parser.add_argument("--robot-type", metavar="NAME", help="for info.json")
    parser.add_argument("--max-episodes", type=int, metavar="N", help="convert the first so many")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def frequency(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of frames from 1 on")
    return int(text)


def format_of(source: Path) -> str | None:
    """By the names of files; `None` where they do not tell."""
    files = [source] if source.is_file() else list(source.iterdir())
    if (source / "meta" / "info.json").is_file():
        return LEROBOT
    if any(file.suffix in HDF5_SUFFIXES for file in files):
        return "hdf5"
    is_rlds = (source / "features.json").is_file() or any(source.glob("*/features.json"))
    return "rlds" if is_rlds else None


def check_source(source: Path, kind: str) -> None:
    """Raises InputError for what is not there, or is seen to be of another format."""
    if source.exists():
        if (found := format_of(source)) not in (kind, None):
            advice = "commands read it as it is" if found == LEROBOT else f"pass --from {found}"
            raise InputError(f"--from {kind}: {source} is of the format {found}; {advice}.")
        return
    meant = meant_folder(source) or meant_file(source)
    remote = REPOSITORY.fullmatch(str(source)) or str(source).startswith(("http:/", "https:/"))
    advice = "; of the Hub it is downloaded first: hf download --repo-type dataset" if remote and not meant else ""
    raise InputError(f"{source} does not exist{meant}{advice}.")


def run_convert_data(arguments: argparse.Namespace) -> None:
    """Write the folder, whole or not at all.

    Raises:
        InputError: the source cannot be read, or its episodes do not fit each other.
        ConversionError: the output may not be written.
    """
    with ending_at_interrupt():
        from ..datasets.dataset_conversion import convert_dataset
        from ..datasets.recorded_episode import Choice

    check_source(arguments.source, arguments.format)
    if arguments.split and arguments.format != "rlds":
        raise InputError("--split: HDF5 files have no splits; leave it out.")
    if arguments.max_episodes is not None and arguments.max_episodes < 1:
        raise InputError(f"--max-episodes {arguments.max_episodes} must be at least 1.")
    choice = Choice(arguments.action, arguments.state, arguments.images, arguments.text, arguments.instruction)
    convert_dataset(arguments, choice)


CONVERT_DATA = Command(
    summary="bring a dataset into LeRobot's format",
    text="Bring a dataset of tensorflow-datasets (RLDS) or HDF5 files into LeRobot's format, episode by episode. "
    "Required are SOURCE, --from and --output.",
    example='data convert --from hdf5 path/to/aloha --fps 50 --instruction "fold the shirt" --output my-dataset',
    add_arguments=add_convert_arguments,
    run=run_convert_data,
)
DATA = Command(
    summary="convert datasets of other formats",
    text="Work on datasets. Required is what to do: convert brings a dataset into LeRobot's format; "
    "`vlahub data convert --help` says how.",
    example="data convert --from rlds path/to/bridge_orig/1.0.0 --fps 5 --output my-dataset",
    add_arguments=add_data_arguments,
    run=run_convert_data,
)
