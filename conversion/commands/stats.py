"""`vlahub stats`: the statistics of a dataset, as a file and as a table."""

import argparse
import json
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..files.given_datasets import check_dataset_name, reading_dataset
from ..files.output_file import check_output_file, files_of, result_file
from ..table_lines import Column, Table
from ..terminal import show
from .command import Command
from .error_boundary import ending_at_interrupt
from .model_kinds import refuse_same

EXACT_ROWS = 2_000_000  # that of `training.statistics`, which is slow to import
STATE = "observation.state"
COLUMNS = ("min", "q01", "mean", "std", "q99", "max")


def add_stats_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="folder (LeRobot, save_to_disk, parquet) or Hub dataset")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit of a dataset on the Hub")
    parser.add_argument(
        "--output", required=True, type=Path, metavar="OUT.json", help="file to write, such as dataset_statistics.json"
    )
    parser.add_argument(
        "--name",
        metavar="KEY",
        help="the unnorm_key of predictions (default: the folder's name, or the Hub's OWNER/NAME)",
    )
    parser.add_argument(
        "--action-column",
        "--action",
        nargs="+",
        default=["action"],
        metavar="COLUMN",
        help="one vector of actions, joined of several columns in their order (default: action)",
    )
    parser.add_argument(
        "--state-column",
        "--state",
        nargs="+",
        metavar="COLUMN",
        help=f"of the state, in the same way (default: {STATE}, where it is there)",
    )
    parser.add_argument(
        "--unmasked-actions",
        type=int,
        nargs="+",
        default=[],
        metavar="I",
        help="dimensions that models pass through as they are, such as the gripper; -1 is the last",
    )
    parser.add_argument(
        "--exact-rows",
        type=int,
        default=EXACT_ROWS,
        metavar="N",
        help=f"rows from which q01 and q99 are taken, at random where there are more (default {EXACT_ROWS:,})",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="OUT.png",
        help="a picture: a histogram of each dimension with its quantiles (pip install 'vlahub[plot]')",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output file if it exists")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run_stats(arguments: argparse.Namespace) -> None:
    """Write the file, and print the table.

    Raises:
        InputError: the dataset cannot be read, its columns do not fit, or the output file exists. Nothing was written.
    """
    with ending_at_interrupt():
        from ...training.dimension_names import record_names
        from ...training.hub_dataset import dataset_folder
        from ...training.lerobot import load_frames
        from ...training.statistics import statistics_and_rows

    check_dataset_name(arguments.dataset)
    inputs = files_of([Path(arguments.dataset)])
    if arguments.plot:
        check_plot(arguments, inputs)
    with output_file(arguments.output, arguments.overwrite, inputs) as file, loading_bars(not arguments.quiet):
        with reading_dataset(arguments.dataset):
            frames = load_frames(arguments.dataset, revision=arguments.revision)
            folder = dataset_folder(arguments.dataset, arguments.revision) or arguments.dataset
        columns = {"action": arguments.action_column}
        columns["proprio"] = arguments.state_column or ([STATE] if STATE in frames.column_names else None)
        with notes_on_stderr():
            statistics, rows = statistics_and_rows(
                frames,
                action=columns["action"],
                state=columns["proprio"],
                unmasked_actions=arguments.unmasked_actions,
                exact_rows=arguments.exact_rows,
                progress=not arguments.quiet,
            )
        record_names(statistics, folder, columns)
        key = arguments.name or dataset_name(arguments.dataset)
        file.write(json.dumps({key: statistics}, indent=1, allow_nan=False) + "\n")
        if arguments.plot:
            draw(arguments.plot, folder, key, statistics, rows, columns, inputs)
    if not arguments.quiet:
        for part in ("action", "proprio"):
            if part in statistics:
                print_statistics(part, statistics[part])
        sampled = " (q01 and q99 of a random sample)" if len(frames) > arguments.exact_rows else ""
        print(f"{key}: {len(frames)} rows{sampled} -> {arguments.output}")


def check_plot(arguments: argparse.Namespace, inputs: Iterable[Path]) -> None:
    """Refuse a place where no picture may be written, before anything is read. Raises InputError or ConversionError."""
    from ..plots.picture_file import check_picture

    check_picture(arguments.plot)
    check_output_file(arguments.plot, is_statistics_picture, inputs)
    refuse_same({"output": arguments.output, "plot": arguments.plot})


def is_statistics_picture(path: Path) -> bool:
    from ..plots.picture_file import is_marked
    from ..plots.statistics_plot import MARK

    return is_marked(path, MARK)


def draw(
    picture: Path,
    dataset: str | Path,
    key: str,
    statistics: dict[str, Any],
    rows: dict[str, Any],
    columns: dict[str, list[str] | None],
    inputs: Iterable[Path],
) -> None:
    """Draw a picture; rows: of each part, those that the quantiles were taken of."""
    from ...training.dimension_names import dimension_names, dimension_units
    from ..plots.statistics_plot import DrawnPart, plot_statistics

    parts = []
    for part, found in rows.items():
        of = dataset, columns[part], found.shape[1]
        title = "state" if part == "proprio" else part
        parts.append(DrawnPart(title, statistics[part], found, dimension_names(*of), dimension_units(*of)))
    title = f"{key}: {statistics['num_transitions']:,} rows"
    with result_file(picture, is_statistics_picture, inputs) as path:
        plot_statistics(path, parts, title)


def dataset_name(dataset: str) -> str:
    """A folder's own name without where it lies, or a repository's id."""
    return Path(dataset).resolve().name if Path(dataset).exists() else dataset


def print_statistics(part: str, statistics: dict[str, Any]) -> None:
    numbers = [Column(name, right=True, width=11) for name in COLUMNS]
    rows = [
        [str(i), *(f"{statistics[name][i]:.5g}" for name in COLUMNS), "" if mask else "passes unchanged"]
        for i, mask in enumerate(statistics["mask"])
    ]
    show(Table([Column(part, width=9), *numbers, Column("", before="  ")], rows))


@contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Print each warning of this package as one line, also with --quiet: it says that numbers were changed."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        yield
    for note in found:
        print(f"note: {note.message}", file=sys.stderr)


@contextmanager
def loading_bars(shown: bool) -> Iterator[None]:
    """The bars of `datasets` itself, which copies what it reads for the first time to its cache."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    hide = not shown and not are_progress_bars_disabled()
    if hide:
        disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            enable_progress_bars()


@contextmanager
def output_file(output: Path, overwrite: bool, inputs: Iterable[Path] = ()) -> Iterator[IO[str]]:
    """Yield a file beside `output`, opened at once; when the block ends without an error it becomes `output`.

    Raises:
        InputError: `output` is a folder or an input, or exists and `overwrite` is not set, or holds something else
            than statistics.
    """
    file_beside = result_file(output, is_replaceable, inputs, overwrite, make_parents=True)
    with file_beside as work, open(work, "w", encoding="utf-8") as file:
        yield file


def is_replaceable(path: Path) -> bool:
    """Whether a file is one of statistics, or a .json file whose text is no JSON at all, such as a broken one."""
    if path.suffix != ".json":
        return False
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return False
    except (ValueError, RecursionError):
        return True
    parts = content.values() if isinstance(content, dict) else [None]
    return all(isinstance(part, dict) and isinstance(part.get("action"), dict) for part in parts)


STATS = Command(
    summary="compute the statistics of a dataset, by which models normalise",
    text="Compute the statistics by which models normalise actions and state, and write them as JSON. Required are "
    "DATASET and --output.",
    example="stats path/to/lerobot --output dataset_statistics.json --unmasked-actions -1",
    add_arguments=add_stats_arguments,
    run=run_stats,
)
