"""A folder with all that the checks need but torch and transformers: python -m benchmarks.card.carried FOLDER

The project as a wheel, unpacked; tests, examples and benchmarks, whose models and checks these are; the commit; and
packages of pure Python that a machine with a card may lack, which it reads only where it has none of its own. There,
in the folder, without make, network or registry:

    python3 -m benchmarks.card
"""

import configparser
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from benchmarks.card import APART
from benchmarks.card.device import commit

REPOSITORY = Path(__file__).parents[2]
BESIDE = ("tests", "examples", "benchmarks")
FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
PURE = ("datasets", "dill", "multiprocess", "pytest", "pluggy", "iniconfig")
PURE_APART = ("torchao",)
PACKAGES = "packages"  # the folder of these
NOT_CARRIED = shutil.ignore_patterns("__pycache__", "*.pyc", "*.so")
ISOLATION_SINCE = 77  # of setuptools, which `pyproject.toml` asks for


def main(folder: Path) -> None:
    if folder.exists() and not (folder / "commit.txt").exists():
        sys.exit(f"{folder} is there and was not made by this command: name another folder, or move it away.")
    missing = [package for package in (*PURE, *PURE_APART) if not is_installed(package)]
    if lost := [package for package in missing if any(folder.glob(f"**/{package}-*.dist-info"))]:
        sys.exit(
            f"{folder} (commit {(folder / 'commit.txt').read_text().strip()}) holds {', '.join(lost)}, not installed "
            f"here: run python3 -m benchmarks.card in it as it is, or move it away."
        )
    if missing:
        print(f"Not carried, for they are not installed here: {', '.join(missing)}. What needs them is skipped.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "commit.txt").write_text(commit() + "\n", encoding="utf-8")
    for name in BESIDE:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=NOT_CARRIED)
    with tempfile.TemporaryDirectory() as work, zipfile.ZipFile(wheel(Path(work))) as archive:
        archive.extractall(folder)
    for package in (*PURE, *PURE_APART):
        if package not in missing:
            carry(package, folder / PACKAGES if package in PURE else folder / APART.name / package)


def wheel(work: Path) -> Path:
    """Built from a copy: what an older build left in the repository's `build/lib` would be in it, too."""
    sources = work / "sources"
    sources.mkdir()
    for name in FILES:
        shutil.copy(REPOSITORY / name, sources)
    for name in source_folders():
        shutil.copytree(REPOSITORY / name, sources / name, ignore=NOT_CARRIED)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    if can_build():
        command.append("--no-build-isolation")
    ended = subprocess.run([*command, "--wheel-dir", str(work), str(sources)], capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"The wheel could not be built:\n{ended.stderr[-2000:]}")
    return next(work.glob("vlahub-*.whl"))


def source_folders() -> list[str]:
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    lines = settings["options"]["package_dir"].split("\n")
    return [line.split("=")[1].strip() for line in lines if line.strip()]


def can_build() -> bool:
    """Whether the setuptools that is installed here builds it; else pip has to fetch one."""
    try:
        return int(metadata.version("setuptools").split(".")[0]) >= ISOLATION_SINCE
    except metadata.PackageNotFoundError:
        return False


def is_installed(package: str) -> bool:
    try:
        return metadata.files(package) is not None
    except metadata.PackageNotFoundError:
        return False


def carry(package: str, folder: Path) -> None:
    """What is installed here of it, without compiled parts."""
    for file in metadata.files(package):
        source = Path(file.locate())
        if ".." in file.parts or "__pycache__" in file.parts or file.suffix == ".so" or not source.is_file():
            continue
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
