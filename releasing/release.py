"""`make release`: sdist and wheel of the commit that is checked out, the same bytes wherever they are built.

    python releasing/release.py dist

Both are built twice, out of what git has of the commit and nothing else of the folder. Beside them SHA256SUMS gets
their hashes and the commit: `sha256sum --check SHA256SUMS` there compares a download with it, and who builds the
commit again gets the same list.
"""

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUMS = "SHA256SUMS"


def main(output: Path) -> int:
    if changed := git("status", "--porcelain").decode().strip():
        print(f"release: not committed, and so no part of it:\n{changed}", file=sys.stderr)
        return 1
    first, second = build(), build()
    if differing := sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name)):
        print(f"release: not the same bytes when built again: {', '.join(differing)}", file=sys.stderr)
        return 1
    output.mkdir(parents=True, exist_ok=True)
    for name, content in first.items():
        (output / name).write_bytes(content)
    (output / SUMS).write_text(sums(first, commit()), encoding="utf-8")
    print(f"{output}: {', '.join(first)} and {SUMS} of commit {commit()}; sha256sum --check {SUMS} compares them")
    return 0


def commit() -> str:
    return git("rev-parse", "HEAD").decode().strip()


def git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True).stdout


def build() -> dict[str, bytes]:
    """Names and content of the sdist, and of the wheel that is built out of it."""
    epoch = int(git("log", "-1", "--format=%ct"))
    os.umask(0o022)  # modes of files are part of what is packed
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as place:
        source, made = Path(place, "source"), Path(place, "made")
        with tarfile.open(fileobj=io.BytesIO(git("archive", "HEAD"))) as archive:
            archive.extractall(source, filter="data")
        run = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(made), str(source)]
        done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"release: the build failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        content = {path.name: path.read_bytes() for path in sorted(made.iterdir())}
    return {name: packed(data, epoch) if name.endswith(".tar.gz") else data for name, data in content.items()}


def packed(archive: bytes, epoch: int) -> bytes:
    """A `.tar.gz` again, of files in order and without the times and users of the machine that built it."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as old,
        gzip.GzipFile("", "wb", 9, out, mtime=epoch) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for entry in sorted(old.getmembers(), key=lambda entry: entry.name):
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = epoch, 0, 0, "", ""
            entry.pax_headers = {}
            new.addfile(entry, old.extractfile(entry) if entry.isfile() else None)
    return out.getvalue()


def sums(files: dict[str, bytes], commit: str) -> str:
    """As `sha256sum` reads it, which passes over the line of the commit."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in sorted(files.items())]
    return "\n".join([f"# vlahub, commit {commit}", *lines]) + "\n"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
