"""Files by their hashes, whatever their length beside that of a block."""

import hashlib

import pytest

from vlahub.conversion.files import file_hashes
from vlahub.conversion.files.file_hashes import entry_of, entry_of_file, record


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 32, 55])
def test_a_file_of_several_blocks_has_the_hash_of_its_whole(length, tmp_path, monkeypatch):
    monkeypatch.setattr(file_hashes, "READ_BYTES", 16)
    content = bytes(range(length))
    (tmp_path / "file").write_bytes(content)
    wanted = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": length}
    assert entry_of_file(tmp_path / "file") == entry_of(content) == wanted


def test_what_is_known_is_recorded_without_being_read(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    known = {"a": {"sha256": "as it was written", "bytes": 1}}
    report = {}
    record(report, tmp_path, known)
    assert report["files"] == known | {"b": entry_of(b"b")}
