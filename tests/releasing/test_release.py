"""`make release`: an sdist does not depend on where it was built, and the list is one that sha256sum reads."""

import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "releasing" / "release.py"

# A stand-in for `python -m build`: what it was given, with the modes of the files that it makes itself.
BUILD = """
import os, pathlib, sys, tarfile, uuid
made, source = map(pathlib.Path, sys.argv[-2:])
made.mkdir()
(source / "made.txt").write_text(os.environ["SOURCE_DATE_EPOCH"])
with tarfile.open(made / "project-1.tar.gz", "w:gz") as archive:
    archive.add(source, "project-1")
(made / "project-1.whl").write_text(str(uuid.uuid4()) if (source / "varies").exists() else "wheel")
"""


@pytest.fixture(scope="module")
def release():
    spec = importlib.util.spec_from_file_location("releasing_release", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def archive(files, seconds, user):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for name, text in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.uid, entry.uname = len(text), seconds, len(user), user
            made.addfile(entry, io.BytesIO(text))
    return out.getvalue()


def test_an_sdist_is_the_same_whoever_built_it_and_when(release):
    files = [("a/one.py", b"1"), ("a/two.py", b"two")]
    first, second = archive(files, 1.5, "me"), archive(files[::-1], 99, "you")
    assert first != second
    packed = release.packed(first, 7)
    assert packed == release.packed(second, 7) != release.packed(archive([("a/one.py", b"2")], 1, "me"), 7)
    with tarfile.open(fileobj=io.BytesIO(packed)) as read:
        assert [(entry.name, read.extractfile(entry).read()) for entry in read] == files
        assert {(entry.mtime, entry.uid, entry.uname) for entry in read} == {(7, 0, "")}


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum")
def test_sha256sum_reads_the_list_and_finds_a_changed_file(release, tmp_path):
    files = {"vlahub-1.tar.gz": b"sdist", "vlahub-1.whl": b"wheel"}
    (tmp_path / release.SUMS).write_text(release.sums(files, "0" * 40))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    check = ["sha256sum", "--check", "--strict", release.SUMS]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 0
    (tmp_path / "vlahub-1.whl").write_bytes(b"other")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 1


def test_what_is_not_committed_is_no_release(release, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(release, "ROOT", tmp_path)
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "new.py").touch()
    assert release.main(tmp_path / "dist") == 1
    assert "?? new.py" in capsys.readouterr().err and not (tmp_path / "dist").exists()


@pytest.fixture
def project(release, tmp_path, monkeypatch):
    """`project(name, ...) -> dist`: a repository of these files is committed, where it is built into `dist`."""
    run, root = subprocess.run, tmp_path / "project"

    def stub(words, **options):
        is_build = words[1:3] == ["-m", "build"]
        return run([sys.executable, "-c", BUILD, *words[-2:]] if is_build else words, **options)

    def commit(*names):
        root.mkdir()
        for name in names:
            (root / name).write_text("dist\nlocal.txt\n" if name == ".gitignore" else name)
        run(["git", "init", "--quiet", str(root)], check=True)
        run(["git", "-C", str(root), "add", "."], check=True)
        user = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        run(["git", "-C", str(root), *user, "commit", "--quiet", "--message", "first"], check=True)
        return root / "dist"

    monkeypatch.setattr(release, "ROOT", root)
    monkeypatch.setattr(release.subprocess, "run", stub)
    return commit


@pytest.fixture
def umask():
    """`umask(mode)` sets it until the test ends."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def test_a_commit_gives_the_same_files_wherever_it_is_built(release, project, umask):
    dist = project("one.py", ".gitignore")
    (dist.parent / "local.txt").touch()
    lists = []
    for mode in (0o077, 0o002):
        umask(mode)
        assert release.main(dist) == 0
        lists.append((dist / release.SUMS).read_text())
    assert lists[0] == lists[1]
    with tarfile.open(dist / "project-1.tar.gz") as archive:
        assert {*archive.getnames()} == {
            "project-1",
            *(f"project-1/{name}" for name in ("one.py", ".gitignore", "made.txt")),
        }


def test_what_is_not_the_same_when_built_again_is_no_release(release, project, umask, capsys):
    dist = project("one.py", "varies", ".gitignore")
    assert release.main(dist) == 1
    assert "not the same bytes when built again: project-1.whl" in capsys.readouterr().err and not dist.exists()
